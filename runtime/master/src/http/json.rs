//! Pieces of Mesos' JSON.

use api::marathon::Timestamp;
use scheduler::attributes::{Attribute, Attributes};
use scheduler::{Bundle, Resources};
use serde_json::{Map, Value, json};

/// Seconds since 1970, as Mesos' legacy endpoints write times.
pub(super) fn seconds(at: Timestamp) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of any date that is written fit 53 bits")]
    let millis = at.as_millis() as f64;
    millis / 1000.0
}

/// One part: the four amounts that are always there, and what else there is.
pub(super) fn bundle(bundle: &Bundle) -> Value {
    let mut out = Map::new();
    for name in ["cpus", "gpus", "mem", "disk"] {
        out.insert(name.to_owned(), json!(bundle.scalar(name).as_f64()));
    }
    for (name, amount) in bundle.scalar_entries() {
        out.insert(name.to_owned(), json!(amount.as_f64()));
    }
    for (name, ranges) in bundle.ranges_entries().filter(|(_, ranges)| !ranges.is_empty()) {
        out.insert(name.to_owned(), json!(ranges.to_string()));
    }
    for (name, items) in bundle.set_entries() {
        let items: Vec<&str> = items.iter().map(String::as_str).collect();
        out.insert(name.to_owned(), json!(format!("{{{}}}", items.join(", "))));
    }
    Value::Object(out)
}

/// All parts of one agent or task together.
pub(super) fn resources(resources: &Resources) -> Value {
    let mut sum = Bundle::default();
    for (_, part) in resources.parts() {
        sum.add(part);
    }
    bundle(&sum)
}

/// The reserved parts by role.
pub(super) fn reserved(resources: &Resources) -> Value {
    resources.reserved().map(|(role, part)| (role.to_string(), bundle(part))).collect::<Map<_, _>>().into()
}

/// Attributes by name: numbers as numbers, all else as text.
pub(super) fn attributes(attributes: &Attributes) -> Value {
    let value = |attribute: &Attribute| match attribute {
        Attribute::Scalar(amount) => json!(amount.as_f64()),
        other => json!(other.to_string()),
    };
    attributes.iter().map(|(name, one)| (name.to_owned(), value(one))).collect::<Map<_, _>>().into()
}

/// Labels as a list of key and value.
pub(super) fn labels<'l>(labels: impl IntoIterator<Item = (&'l String, &'l String)>) -> Value {
    labels.into_iter().map(|(key, value)| json!({ "key": key, "value": value })).collect()
}
