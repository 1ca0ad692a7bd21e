//! Figures about this master, in the two forms in which they are read: Prometheus' text and Marathon's JSON. Pure.

use std::fmt::Write as _;

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use serde_json::{Map, Value, json};
use services::Figure;

/// The form of the JSON, as its readers know it.
const JSON_VERSION: &str = "4.0.0";
/// What ends a text of figures.
const END: &str = "# EOF\n";

/// Whether the request would rather have JSON than text.
pub(crate) fn wants_json(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let kinds = values.flat_map(|value| value.split(','));
    let mut kinds = kinds.map(|kind| kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    let known = |kind: &String| {
        kind == "*/*"
            || kind == "application/json"
            || kind.starts_with("text/")
            || kind.contains("openmetrics")
    };
    kinds.find(known).is_some_and(|kind| kind == "application/json")
}

/// What every master says of itself, whether it leads or not.
pub(crate) fn own(leads: bool, certificate_days: Option<u64>) -> Vec<Figure> {
    let figure = |name, help, value| Figure { name, help, value };
    let leads = figure("clusterctl_master_leads", "Whether this master leads", if leads { 1.0 } else { 0.0 });
    let days = certificate_days.map(|days| {
        let days = f64::from(u32::try_from(days).unwrap_or(u32::MAX));
        figure("clusterctl_master_certificate_days", "Days until the certificate of this master ends", days)
    });
    std::iter::once(leads).chain(days).collect()
}

/// The master's figures and those about services, as Prometheus reads them.
pub(crate) fn text(master: &str, services: &[Figure]) -> String {
    let mut text = master.strip_suffix(END).unwrap_or(master).to_owned();
    for Figure { name, help, value } in services {
        let name = name.replace(['.', '-'], "_");
        // Writing to a string does not fail.
        let _ = write!(text, "# HELP {name} {help}.\n# TYPE {name} gauge\n{name} {value}\n");
    }
    text + END
}

/// The same as Marathon writes it: `{"version","counters":{},"gauges":{},"histograms":{},"meters":{},"timers":{}}`. The
/// master's keep their names and labels; of distributions there are count and mean.
pub(crate) fn json(master: &str, services: &[Figure]) -> Value {
    let mut all = Sorted::default();
    let mut kind = ("", "");
    for line in master.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            kind = rest.split_once(' ').unwrap_or((rest, ""));
        } else if !line.starts_with('#')
            && let Some((name, value)) = line.rsplit_once(' ')
            && let Ok(value) = value.parse::<f64>()
        {
            all.sort(kind, name, value);
        }
    }
    for figure in services {
        all.gauges.insert(figure.name.to_owned(), json!({ "value": figure.value }));
    }
    let Sorted { counters, gauges, histograms } = all;
    json!({
        "version": JSON_VERSION, "counters": counters, "gauges": gauges, "histograms": histograms,
        "meters": {}, "timers": {},
    })
}

#[derive(Default)]
struct Sorted {
    counters: Map<String, Value>,
    gauges: Map<String, Value>,
    histograms: Map<String, Value>,
}

impl Sorted {
    /// Takes one line of the text, of the figure `kind` (its name and type).
    fn sort(&mut self, kind: (&str, &str), name: &str, value: f64) {
        match kind {
            (_, "counter") => {
                let name = name.replacen("_total", "", 1);
                self.counters.insert(name, json!({ "count": whole(value) }));
            }
            (_, "gauge") => {
                self.gauges.insert(name.to_owned(), json!({ "value": value }));
            }
            (figure, "histogram") => {
                let entry =
                    self.histograms.entry(figure).or_insert_with(|| json!({ "count": 0, "mean": 0.0 }));
                // The sum comes before the count, and waits for it in the mean's place.
                match name.strip_prefix(figure) {
                    Some("_sum") => entry["mean"] = json!(value),
                    Some("_count") => {
                        let sum = entry["mean"].as_f64().unwrap_or_default();
                        *entry = json!({
                            "count": whole(value), "mean": if value > 0.0 { sum / value } else { 0.0 },
                        });
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
}

/// A count as JSON readers expect it, without a fraction.
fn whole(value: f64) -> Value {
    format!("{value:.0}").parse::<u64>().map_or(json!(value), Value::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASTER: &str = "\
# HELP m_cycle_seconds Time of an offer cycle.
# TYPE m_cycle_seconds histogram
m_cycle_seconds_sum 0.5
m_cycle_seconds_count 2
m_cycle_seconds_bucket{le=\"0.1\"} 1
m_cycle_seconds_bucket{le=\"+Inf\"} 2
# HELP m_agents Agents by state.
# TYPE m_agents gauge
m_agents{state=\"active\"} 3
# HELP m_registrations Registrations of new agents.
# TYPE m_registrations counter
m_registrations_total 7
# EOF
";

    fn services() -> [Figure; 1] {
        [Figure { name: "marathon.apps.active.gauge", help: "Apps", value: 2.0 }]
    }

    #[test]
    fn the_text_has_one_end_and_both_kinds_of_figures() {
        let text = text(MASTER, &services());
        assert!(text.starts_with("# HELP m_cycle_seconds"), "{text}");
        assert!(
            text.ends_with("# TYPE marathon_apps_active_gauge gauge\nmarathon_apps_active_gauge 2\n# EOF\n"),
            "{text}"
        );
        assert_eq!(text.matches(END).count(), 1);
    }

    #[test]
    fn the_json_sorts_figures_by_their_kind() {
        let expected = json!({
            "version": "4.0.0",
            "counters": {"m_registrations": {"count": 7}},
            "gauges": {
                "m_agents{state=\"active\"}": {"value": 3.0},
                "marathon.apps.active.gauge": {"value": 2.0},
            },
            "histograms": {"m_cycle_seconds": {"count": 2, "mean": 0.25}},
            "meters": {},
            "timers": {},
        });
        assert_eq!(json(MASTER, &services()), expected);
    }

    #[test]
    fn json_is_for_those_who_ask_for_it() {
        for (accept, wanted) in [
            (None, false),
            (Some("application/json"), true),
            (Some("application/json, text/plain;q=0.5"), true),
            (Some("text/plain;version=0.0.4, application/json"), false),
            (Some("application/openmetrics-text;version=1.0.0,text/plain"), false),
            (Some("image/png, application/json"), true),
            (Some("*/*"), false),
        ] {
            let headers = accept.map(|accept| (ACCEPT, accept.parse().unwrap()));
            assert_eq!(wants_json(&HeaderMap::from_iter(headers)), wanted, "{accept:?}");
        }
    }
}
