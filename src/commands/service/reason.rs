//! Why instances wait: what turned the nodes' offers away, in one sentence.

use serde_json::Value;

use crate::{text, value};

/// Why instances of a service have no place yet, out of `/v2/queue`; nothing when none waits.
pub(super) fn waiting(queue: &Value, app: &str) -> Option<String> {
    let item = value::list(queue, "queue")
        .iter()
        .find(|item| value::text(item.get("app").unwrap_or(&Value::Null), "id") == app)?;
    let count = text::count(value::whole(item, "count"), "instance");
    let delay = item.get("delay").unwrap_or(&Value::Null);
    let seconds = value::whole(delay, "timeLeftSeconds");
    let overdue = delay.get("overdue").and_then(Value::as_bool).unwrap_or(true);
    if !overdue && seconds > 0 {
        return Some(format!("{count} to be started in {seconds} s, after failures"));
    }
    let summary = item.get("processedOffersSummary").unwrap_or(&Value::Null);
    let processed = value::whole(summary, "processedOffersCount");
    let refused =
        reasons(item.get("app").unwrap_or(&Value::Null), value::list(summary, "rejectSummaryLastOffers"));
    Some(match (processed, refused.is_empty()) {
        (0, _) => format!("{count} waiting for a place; no node has offered anything yet"),
        (_, true) => format!("{count} waiting for a place"),
        (_, false) => format!("{count} waiting for a place: {}", refused.join("; ")),
    })
}

/// Each step of the funnel that turned offers away, the one that turned most away first.
fn reasons(app: &Value, funnel: &[Value]) -> Vec<String> {
    let mut steps: Vec<(u64, &Value)> = funnel
        .iter()
        .map(|step| (value::whole(step, "declined"), step))
        .filter(|(declined, _)| *declined > 0)
        .collect();
    steps.sort_by_key(|(declined, _)| std::cmp::Reverse(*declined));
    let offers = funnel.iter().map(|step| value::whole(step, "processed")).max().unwrap_or_default();
    steps
        .into_iter()
        .map(|(declined, step)| {
            format!(
                "{declined} of {} {}",
                text::count(offers, "offer"),
                words(value::text(step, "reason"), app)
            )
        })
        .collect()
}

fn words(reason: &str, app: &Value) -> String {
    let wanted = |key: &str| text::number(value::number(app, key));
    let size = |key: &str| text::mebibytes(value::number(app, key));
    match reason {
        "UnfulfilledRole" => "were for another role".to_owned(),
        "UnfulfilledConstraint" => "did not fulfil the constraints".to_owned(),
        "NoCorrespondingReservationFound" => "had no reservation for it".to_owned(),
        "AgentMaintenance" => "were of nodes in maintenance".to_owned(),
        "InsufficientCpus" => format!("had too few cpus (it wants {})", wanted("cpus")),
        "InsufficientMemory" => format!("had too little memory (it wants {})", size("mem")),
        "InsufficientDisk" => format!("had too little disk (it wants {})", size("disk")),
        "InsufficientGpus" => format!("had too few gpus (it wants {})", wanted("gpus")),
        "InsufficientPorts" => "did not have the ports".to_owned(),
        "DeclinedScarceResources" => "had GPUs, which are kept for what needs them".to_owned(),
        other => format!("were turned away: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn queue(overdue: bool, left: u64, processed: u64, funnel: &Value) -> Value {
        json!({"queue": [{
            "app": {"id": "/web", "cpus": 64.0, "mem": 128.0}, "count": 2,
            "delay": {"timeLeftSeconds": left, "overdue": overdue},
            "processedOffersSummary": {"processedOffersCount": processed, "rejectSummaryLastOffers": funnel},
        }]})
    }

    #[test]
    fn what_turned_most_offers_away_comes_first() {
        let funnel = json!([
            {"reason": "UnfulfilledRole", "declined": 0, "processed": 12},
            {"reason": "UnfulfilledConstraint", "declined": 2, "processed": 12},
            {"reason": "InsufficientCpus", "declined": 10, "processed": 10},
        ]);
        assert_eq!(
            waiting(&queue(true, 0, 12, &funnel), "/web").unwrap(),
            "2 instances waiting for a place: 10 of 12 offers had too few cpus (it wants 64); \
             2 of 12 offers did not fulfil the constraints"
        );
    }

    #[test]
    fn waiting_without_offers_and_after_failures_is_told_apart() {
        assert_eq!(
            waiting(&queue(true, 0, 0, &json!([])), "/web").unwrap(),
            "2 instances waiting for a place; no node has offered anything yet"
        );
        assert_eq!(
            waiting(&queue(false, 7, 3, &json!([])), "/web").unwrap(),
            "2 instances to be started in 7 s, after failures"
        );
        assert_eq!(waiting(&queue(true, 0, 0, &json!([])), "/db"), None);
    }
}
