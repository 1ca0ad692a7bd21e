//! Why instances wait: what turned the nodes' offers away, in one sentence.

use api::client::Client;
use serde_json::Value;

use crate::{text, value};

/// What is known about why instances wait: the queue, and the nodes for what they have left.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reasons {
    queue: Value,
    nodes: Value,
}

impl Reasons {
    #[cfg(test)]
    pub(crate) fn new(queue: Value, nodes: Value) -> Self {
        Self { queue, nodes }
    }

    /// Asks for both, the nodes only when something waits. What cannot be had is left out: it only explains.
    pub(crate) async fn read(client: &Client) -> Self {
        let queue = client.queue().await.unwrap_or_else(|error| {
            tracing::debug!(%error, "cannot read what waits");
            Value::Null
        });
        let waits = !value::list(&queue, "queue").is_empty();
        let nodes = if waits { client.nodes().await.unwrap_or_default() } else { Value::Null };
        Self { queue, nodes }
    }

    fn item(&self, app: &str) -> Option<Item<'_>> {
        let of_app = |item: &&Value| value::text(item.get("app").unwrap_or(&Value::Null), "id") == app;
        value::list(&self.queue, "queue").iter().find(of_app).map(Item)
    }

    /// Why instances of a service have no place yet; nothing when none waits.
    pub(crate) fn waiting(&self, app: &str) -> Option<String> {
        let item = self.item(app)?;
        let count = value::whole(item.0, "count");
        let instances = text::count(count, "instance");
        if let Some(seconds) = item.backs_off() {
            let starts = if count == 1 { "starts" } else { "start" };
            return Some(format!(
                "{instances} {starts} again in {seconds} s, since the last ones ended too soon"
            ));
        }
        let waits = if count == 1 { "waits" } else { "wait" };
        let refused = self.refused(&item);
        Some(if item.processed() == 0 {
            let none = self.nodes.is_object() && value::nodes(&self.nodes).is_empty();
            let why = if none { "no node is there" } else { "no node has offered anything yet" };
            format!("{instances} {waits}: {why}")
        } else if refused.is_empty() {
            format!("{instances} {waits}: the last offers were used, more are to come")
        } else {
            format!("{instances} {waits}: {}", refused.join(", "))
        })
    }

    /// The same in a word or two, for a table.
    pub(crate) fn short(&self, app: &str) -> Option<String> {
        let item = self.item(app)?;
        if let Some(seconds) = item.backs_off() {
            return Some(format!("again in {seconds} s"));
        }
        if item.processed() == 0 {
            return Some("no offers".to_owned());
        }
        Some(item.declined().first().map_or("offers", |(_, reason)| in_short(reason)).to_owned())
    }

    /// Each reason that turned offers away, the one that turned most away first.
    fn refused(&self, item: &Item<'_>) -> Vec<String> {
        let offers = item.offers();
        let declined = item.declined();
        let sentence = |(at, (count, reason)): (usize, &(u64, &str))| {
            let words = self.words(reason, *count, item.app());
            if at == 0 {
                format!("{count} of {} {words}", text::count(offers, "offer"))
            } else {
                format!("{count} {words}")
            }
        };
        declined.iter().enumerate().map(sentence).collect()
    }

    fn words(&self, reason: &str, count: u64, app: &Value) -> String {
        let one = count == 1;
        let verb = |singular: &str, plural: &str| if one { singular.to_owned() } else { plural.to_owned() };
        let (lack, are) = (verb("lacks", "lack"), verb("is", "are"));
        let amount = |key: &str| self.amount(app, key);
        match reason {
            "UnfulfilledRole" => format!("{are} for another role"),
            "UnfulfilledConstraint" => format!("{} {}", verb("fails", "fail"), constraints(app)),
            "NoCorrespondingReservationFound" => format!("{} no reservation for it", verb("has", "have")),
            "AgentMaintenance" => format!("{are} of {} in maintenance", verb("a node", "nodes")),
            "InsufficientCpus" => format!("{lack} cpus ({})", amount("cpus")),
            "InsufficientMemory" => format!("{lack} memory ({})", amount("mem")),
            "InsufficientDisk" => format!("{lack} disk ({})", amount("disk")),
            "InsufficientGpus" => format!("{lack} gpus ({})", amount("gpus")),
            "InsufficientPorts" => format!("{lack} {}", ports(app)),
            "DeclinedScarceResources" => {
                format!("{} GPUs, which are kept for what needs them", verb("has", "have"))
            }
            other => format!("{} turned away: {other}", verb("was", "were")),
        }
    }

    /// `2 wanted, at most 1.5 there`.
    fn amount(&self, app: &Value, key: &str) -> String {
        let wanted = value::number(app, key);
        let say = |amount: f64| {
            if matches!(key, "cpus" | "gpus") { text::number(amount) } else { text::mebibytes(amount) }
        };
        let of = |node: &Value, what: &str| value::number(node.get(what).unwrap_or(&Value::Null), key);
        let nodes: Vec<&Value> = value::list(&self.nodes, "slaves").iter().collect();
        let most = |amounts: &dyn Fn(&Value) -> f64| nodes.iter().map(|node| amounts(node)).reduce(f64::max);
        let largest = most(&|node| of(node, "resources"));
        let left = most(&|node| (of(node, "resources") - of(node, "used_resources")).max(0.0));
        match (largest, left) {
            (Some(largest), _) if largest < wanted => {
                format!("{} wanted, no node has more than {}", say(wanted), say(largest))
            }
            (_, Some(left)) if left < wanted => {
                format!("{} wanted, at most {} there", say(wanted), say(left))
            }
            _ => format!("{} wanted", say(wanted)),
        }
    }
}

fn in_short(reason: &str) -> &'static str {
    match reason {
        "UnfulfilledRole" => "role",
        "UnfulfilledConstraint" => "constraint",
        "NoCorrespondingReservationFound" => "reservation",
        "AgentMaintenance" => "maintenance",
        "InsufficientCpus" => "cpus",
        "InsufficientMemory" => "memory",
        "InsufficientDisk" => "disk",
        "InsufficientGpus" | "DeclinedScarceResources" => "gpus",
        "InsufficientPorts" => "ports",
        _ => "offers",
    }
}

/// Which constraint it was is known when there is only one.
fn constraints(app: &Value) -> String {
    let all: Vec<String> = value::list(app, "constraints")
        .iter()
        .map(|one| value::items(one).iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "))
        .collect();
    match all.as_slice() {
        [] => "the constraints".to_owned(),
        [one] => format!("the constraint {one}"),
        several => format!("one of the constraints {}", several.join("; ")),
    }
}

fn ports(app: &Value) -> String {
    let definitions = value::list(app, "portDefinitions");
    let numbers: Vec<String> =
        definitions.iter().map(|port| value::whole(port, "port").to_string()).collect();
    let required = app.get("requirePorts").and_then(Value::as_bool).unwrap_or_default();
    match numbers.as_slice() {
        [one] if required => format!("port {one}"),
        several if required && !several.is_empty() => format!("one of the ports {}", several.join(", ")),
        [] => "free ports".to_owned(),
        several => format!("free ports ({} wanted)", several.len()),
    }
}

/// One line of the queue.
struct Item<'a>(&'a Value);

impl<'a> Item<'a> {
    fn app(&self) -> &'a Value {
        self.0.get("app").unwrap_or(&Value::Null)
    }

    /// For how many seconds yet nothing is started, after failures.
    fn backs_off(&self) -> Option<u64> {
        let delay = self.0.get("delay").unwrap_or(&Value::Null);
        let overdue = delay.get("overdue").and_then(Value::as_bool).unwrap_or(true);
        let seconds = value::whole(delay, "timeLeftSeconds");
        (!overdue && seconds > 0).then_some(seconds)
    }

    fn summary(&self) -> &'a Value {
        self.0.get("processedOffersSummary").unwrap_or(&Value::Null)
    }

    fn processed(&self) -> u64 {
        value::whole(self.summary(), "processedOffersCount")
    }

    fn funnel(&self) -> &'a [Value] {
        value::list(self.summary(), "rejectSummaryLastOffers")
    }

    /// How many offers came last: all of them came to the first step of the funnel.
    fn offers(&self) -> u64 {
        self.funnel().iter().map(|step| value::whole(step, "processed")).max().unwrap_or_default()
    }

    fn declined(&self) -> Vec<(u64, &'a str)> {
        let steps =
            self.funnel().iter().map(|step| (value::whole(step, "declined"), value::text(step, "reason")));
        let mut steps: Vec<_> = steps.filter(|(declined, _)| *declined > 0).collect();
        steps.sort_by_key(|(declined, _)| std::cmp::Reverse(*declined));
        steps
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn queue(count: u64, left: u64, processed: u64, funnel: &[(&str, u64)]) -> Value {
        let mut open = 4;
        let funnel: Vec<Value> = funnel
            .iter()
            .map(|(reason, declined)| {
                let step = json!({"reason": reason, "declined": declined, "processed": open});
                open -= declined;
                step
            })
            .collect();
        json!({"queue": [{
            "app": {"id": "/web", "cpus": 2.0, "mem": 16384.0, "disk": 1.0, "gpus": 1, "requirePorts": true,
                    "portDefinitions": [{"port": 8080}], "constraints": [["hostname", "UNIQUE"]]},
            "count": count, "delay": {"timeLeftSeconds": left, "overdue": left == 0},
            "processedOffersSummary": {"processedOffersCount": processed, "rejectSummaryLastOffers": funnel},
        }]})
    }

    fn nodes() -> Value {
        json!({"slaves": [
            {"resources": {"cpus": 4.0, "mem": 8192.0, "gpus": 0}, "used_resources": {"cpus": 2.5, "mem": 0.0}},
            {"resources": {"cpus": 1.0, "mem": 4096.0, "gpus": 0}, "used_resources": {"cpus": 0.0, "mem": 0.0}},
        ]})
    }

    fn why(count: u64, funnel: &[(&str, u64)]) -> (String, String) {
        let reasons = Reasons::new(queue(count, 0, 4, funnel), nodes());
        (reasons.waiting("/web").unwrap(), reasons.short("/web").unwrap())
    }

    #[test]
    fn what_turned_most_offers_away_comes_first_with_how_much_there_is() {
        let (sentence, short) =
            why(1, &[("UnfulfilledRole", 0), ("UnfulfilledConstraint", 1), ("InsufficientCpus", 3)]);
        assert_eq!(
            sentence,
            "1 instance waits: 3 of 4 offers lack cpus (2 wanted, at most 1.5 there), 1 fails the constraint hostname UNIQUE"
        );
        assert_eq!(short, "cpus");
    }

    #[test]
    fn every_reason_has_words_of_its_own() {
        for (reason, count, words, short) in [
            ("UnfulfilledRole", 4, "are for another role", "role"),
            ("UnfulfilledConstraint", 4, "fail the constraint hostname UNIQUE", "constraint"),
            ("NoCorrespondingReservationFound", 1, "has no reservation for it", "reservation"),
            ("AgentMaintenance", 2, "are of nodes in maintenance", "maintenance"),
            (
                "InsufficientMemory",
                1,
                "lacks memory (16 GiB wanted, no node has more than 8192 MiB)",
                "memory",
            ),
            ("InsufficientDisk", 2, "lack disk (1 MiB wanted, no node has more than 0 MiB)", "disk"),
            ("InsufficientGpus", 2, "lack gpus (1 wanted, no node has more than 0)", "gpus"),
            ("InsufficientPorts", 2, "lack port 8080", "ports"),
            ("DeclinedScarceResources", 2, "have GPUs, which are kept for what needs them", "gpus"),
            ("OfANewerServer", 1, "was turned away: OfANewerServer", "offers"),
        ] {
            let sentence = format!("2 instances wait: {count} of 4 offers {words}");
            assert_eq!(why(2, &[(reason, count)]), (sentence, short.to_owned()));
        }
    }

    #[test]
    fn waiting_without_offers_after_failures_and_between_offers_is_told_apart() {
        let of = |queue: Value, nodes: Value| Reasons::new(queue, nodes).waiting("/web");
        for (queue, nodes, says) in [
            (queue(2, 0, 0, &[]), nodes(), Some("2 instances wait: no node has offered anything yet")),
            (queue(2, 0, 0, &[]), json!({"slaves": []}), Some("2 instances wait: no node is there")),
            (
                queue(1, 7, 3, &[]),
                nodes(),
                Some("1 instance starts again in 7 s, since the last ones ended too soon"),
            ),
            (
                queue(1, 0, 3, &[]),
                nodes(),
                Some("1 instance waits: the last offers were used, more are to come"),
            ),
            (json!({"queue": []}), nodes(), None),
        ] {
            assert_eq!(of(queue, nodes).as_deref(), says);
        }
    }

    #[test]
    fn without_nodes_only_what_is_wanted_is_said() {
        let reasons = Reasons::new(queue(1, 0, 4, &[("InsufficientCpus", 4)]), Value::Null);
        assert_eq!(reasons.waiting("/web").unwrap(), "1 instance waits: 4 of 4 offers lack cpus (2 wanted)");
    }
}
