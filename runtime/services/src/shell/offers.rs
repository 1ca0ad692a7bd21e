//! Offers as the queue shows them (§3): `{"id","agentId","hostname","resources":[],"attributes":[]}`.

use api::marathon::UnusedOffer;
use api::mesos::Offer;
use scheduler::Ranges;
use scheduler::attributes::Attribute;
use serde_json::{Value, json};

use crate::core::view::Unused;

pub(crate) fn unused(unused: &Unused) -> UnusedOffer {
    UnusedOffer {
        offer: offer(&unused.offer),
        reason: vec![unused.reason.to_owned()],
        timestamp: unused.timestamp,
    }
}

fn offer(offer: &Offer) -> Value {
    let mut resources = Vec::new();
    for (role, part) in offer.resources.parts() {
        let role = role.as_str();
        let scalars = part.scalar_entries();
        resources.extend(
            scalars.map(|(name, amount)| json!({ "name": name, "role": role, "scalar": amount.as_f64() })),
        );
        let all = part.ranges_entries();
        resources.extend(all.map(|(name, all)| json!({ "name": name, "role": role, "ranges": ranges(all) })));
        let sets = part.set_entries();
        resources.extend(sets.map(|(name, items)| json!({ "name": name, "role": role, "set": items })));
    }
    let attributes: Vec<Value> =
        offer.host.attributes.iter().map(|(name, value)| attribute(name, value)).collect();
    json!({
        "id": offer.id, "agentId": offer.agent.to_string(), "hostname": offer.host.hostname,
        "resources": resources, "attributes": attributes,
    })
}

fn attribute(name: &str, value: &Attribute) -> Value {
    match value {
        Attribute::Text(text) => json!({ "name": name, "text": text }),
        Attribute::Scalar(amount) => json!({ "name": name, "scalar": amount.as_f64() }),
        Attribute::Ranges(all) => json!({ "name": name, "ranges": ranges(all) }),
        Attribute::Set(items) => json!({ "name": name, "set": items }),
    }
}

fn ranges(ranges: &Ranges) -> Vec<Value> {
    let range = |range: &scheduler::Range| json!({ "begin": range.begin(), "end": range.end() });
    ranges.as_slice().iter().map(range).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use api::marathon::Timestamp;
    use scheduler::{AgentId, Host, Role};

    use super::*;

    #[test]
    fn an_offer_shows_all_its_resources_and_attributes() {
        let offer = Offer {
            id: "m-O1".to_owned(),
            role: Role::star(),
            agent: AgentId::from("m-S0".to_owned()),
            host: Host {
                hostname: "10.0.0.1".to_owned(),
                attributes: "rack:r1;level:10".parse().unwrap(),
                ..Host::default()
            }
            .into(),
            address: "10.0.0.1".parse().unwrap(),
            resources: "cpus:0.5;mem:64;ports:[31000-31002];cpus(ops):1".parse().unwrap(),
        };
        let shown = unused(&Unused {
            offer: Arc::new(offer),
            reason: "InsufficientCpus",
            timestamp: Timestamp::from_millis(0),
        });
        let expected = json!({
            "offer": {
                "id": "m-O1", "agentId": "m-S0", "hostname": "10.0.0.1",
                "resources": [
                    {"name": "cpus", "role": "*", "scalar": 0.5},
                    {"name": "mem", "role": "*", "scalar": 64.0},
                    {"name": "ports", "role": "*", "ranges": [{"begin": 31000, "end": 31002}]},
                    {"name": "cpus", "role": "ops", "scalar": 1.0},
                ],
                "attributes": [{"name": "rack", "text": "r1"}, {"name": "level", "scalar": 10.0}],
            },
            "reason": ["InsufficientCpus"],
            "timestamp": "1970-01-01T00:00:00.000Z",
        });
        assert_eq!(serde_json::to_value(shown).unwrap(), expected);
    }
}
