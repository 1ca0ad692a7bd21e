//! Whether what a package runs finds a place now, and where: a preview, since others may take it meanwhile. Pure.

use serde_json::Value;

use crate::value;

/// What one kind of instance takes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Want {
    pub(super) app: String,
    pub(super) instances: u64,
    pub(super) cpus: f64,
    pub(super) mem: f64,
    pub(super) disk: f64,
    pub(super) gpus: f64,
    pub(super) ports: u64,
    /// No two on one host.
    unique: bool,
    role: String,
}

/// What an agent has left.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Free {
    host: String,
    cpus: f64,
    mem: f64,
    disk: f64,
    gpus: f64,
    ports: u64,
    public: bool,
}

/// How one app comes out.
#[derive(Debug, PartialEq)]
pub(super) struct Fit {
    /// Hosts and how many instances each gets.
    pub(super) places: Vec<(String, u64)>,
    /// How many find none, and why, of the host that is nearest to it.
    pub(super) missing: Option<(u64, String)>,
}

/// All apps of a definition, an app's or a group's.
pub(super) fn wants(definition: &Value) -> Vec<Want> {
    let mut all = Vec::new();
    gather(definition, "", &mut all);
    all
}

fn gather(definition: &Value, above: &str, all: &mut Vec<Want>) {
    let id = value::text(definition, "id");
    let id =
        if id.starts_with('/') { id.to_owned() } else { format!("{}/{id}", above.trim_end_matches('/')) };
    let (apps, groups) = (value::list(definition, "apps"), value::list(definition, "groups"));
    if definition.get("apps").is_some() || definition.get("groups").is_some() {
        for one in apps.iter().chain(groups) {
            gather(one, &id, all);
        }
        return;
    }
    let number = |key: &str, default: f64| definition.get(key).and_then(Value::as_f64).unwrap_or(default);
    let constraint = |one: &Value| {
        let words: Vec<&str> = one.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        matches!(words.as_slice(), ["hostname" | "@hostname", "UNIQUE", ..])
    };
    let ports = match definition.get("portDefinitions").or_else(|| definition.get("ports")) {
        Some(ports) => ports.as_array().map_or(0, Vec::len),
        None => 1,
    };
    all.push(Want {
        app: id,
        instances: definition.get("instances").and_then(Value::as_u64).unwrap_or(1),
        // Marathon's defaults.
        cpus: number("cpus", 1.0),
        mem: number("mem", 128.0),
        disk: number("disk", 0.0),
        gpus: number("gpus", 0.0),
        ports: u64::try_from(ports).unwrap_or(0),
        unique: value::list(definition, "constraints").iter().any(constraint),
        role: definition
            .pointer("/acceptedResourceRoles/0")
            .and_then(Value::as_str)
            .unwrap_or("*")
            .to_owned(),
    });
}

/// What each agent has left, by the master's list of them.
pub(super) fn free(slaves: &Value) -> Vec<Free> {
    value::list(slaves, "slaves")
        .iter()
        .filter(|agent| agent.get("active").and_then(Value::as_bool).unwrap_or_default())
        .map(|agent| {
            let of = |kind: &str, key: &str| {
                agent.get(kind).map(|kind| value::number(kind, key)).unwrap_or_default()
            };
            let left = |key: &str| of("resources", key) - of("used_resources", key);
            let ports = |kind: &str| agent.get(kind).map_or(0, |kind| ranges(value::text(kind, "ports")));
            let public = agent.pointer("/reserved_resources_full/slave_public").is_some()
                || agent.pointer("/reserved_resources/slave_public").is_some();
            Free {
                host: value::text(agent, "hostname").to_owned(),
                cpus: left("cpus"),
                mem: left("mem"),
                disk: left("disk"),
                gpus: left("gpus"),
                ports: ports("resources").saturating_sub(ports("used_resources")),
                public,
            }
        })
        .collect()
}

/// How many numbers are in `[31000-31009, 31020-31020]`.
fn ranges(text: &str) -> u64 {
    let one = |range: &str| {
        let (begin, end) = range.trim().split_once('-')?;
        Some(end.trim().parse::<u64>().ok()?.checked_sub(begin.trim().parse().ok()?)? + 1)
    };
    text.trim_matches(['[', ']']).split(',').filter_map(one).sum()
}

/// Places one app after the other, each instance on the host that has most memory left.
pub(super) fn place(wants: &[Want], mut free: Vec<Free>) -> Vec<Fit> {
    wants.iter().map(|want| place_one(want, &mut free)).collect()
}

fn place_one(want: &Want, free: &mut [Free]) -> Fit {
    let mut places: Vec<(String, u64)> = Vec::new();
    for done in 0..want.instances {
        let taken = |host: &str| want.unique && places.iter().any(|(known, _)| known == host);
        let fits = |agent: &&mut Free| lacks(want, agent).is_empty() && !taken(&agent.host);
        let best = free.iter_mut().filter(fits).max_by(|a, b| a.mem.total_cmp(&b.mem));
        let Some(agent) = best else {
            return Fit { missing: Some((want.instances - done, why(want, free, &places))), places };
        };
        agent.cpus -= want.cpus;
        agent.mem -= want.mem;
        agent.disk -= want.disk;
        agent.gpus -= want.gpus;
        agent.ports = agent.ports.saturating_sub(want.ports);
        match places.iter_mut().find(|(host, _)| *host == agent.host) {
            Some((_, count)) => *count += 1,
            None => places.push((agent.host.clone(), 1)),
        }
    }
    Fit { places, missing: None }
}

/// What this agent has too little of.
fn lacks(want: &Want, agent: &Free) -> Vec<String> {
    let mut lacking = Vec::new();
    let mut need = |name: &str, wanted: f64, has: f64, unit: &str| {
        if wanted > has + 1e-9 {
            lacking.push(format!("{name} {wanted}{unit} wanted, {:.1}{unit} free", has.max(0.0)));
        }
    };
    need("cpus", want.cpus, agent.cpus, "");
    need("memory", want.mem, agent.mem, " MiB");
    need("disk", want.disk, agent.disk, " MiB");
    need("gpus", want.gpus, agent.gpus, "");
    if want.ports > agent.ports {
        lacking.push(format!("{} ports wanted, {} free", want.ports, agent.ports));
    }
    if agent.public != (want.role == "slave_public") {
        lacking.push(if agent.public {
            "it is a public agent".to_owned()
        } else {
            "it is no public agent".to_owned()
        });
    }
    lacking
}

fn why(want: &Want, free: &[Free], places: &[(String, u64)]) -> String {
    let nearest = free
        .iter()
        .filter(|agent| !(want.unique && places.iter().any(|(host, _)| *host == agent.host)))
        .map(|agent| (lacks(want, agent), agent))
        .min_by(|a, b| a.0.len().cmp(&b.0.len()).then(b.1.mem.total_cmp(&a.1.mem)));
    match nearest {
        Some((lacking, agent)) => format!("on {}: {}", agent.host, lacking.join(", ")),
        None if free.is_empty() => "there are no agents".to_owned(),
        None => format!("each has to be on a host of its own, and there are {} agents", free.len()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn slaves() -> Value {
        let agent = |host: &str, mem: u64, used: u64| {
            json!({
                "hostname": host, "active": true,
                "resources": {"cpus": 4.0, "mem": mem, "disk": 1000, "gpus": 0, "ports": "[31000-31009]"},
                "used_resources": {"cpus": 0.0, "mem": used, "disk": 0, "gpus": 0, "ports": "[31000-31000]"},
            })
        };
        json!({ "slaves": [agent("a1", 1000, 0), agent("a2", 1000, 600)] })
    }

    fn group(worker: &Value) -> Value {
        json!({ "id": "/spark", "apps": [{ "id": "master", "cpus": 0.5, "mem": 300, "portDefinitions": [{}, {}] }, worker] })
    }

    #[test]
    fn what_fits_says_where() {
        let wants = wants(&group(
            &json!({ "id": "worker", "instances": 2, "mem": 350, "constraints": [["hostname", "UNIQUE"]] }),
        ));
        assert_eq!(wants[0].app, "/spark/master");
        assert_eq!((wants[0].ports, wants[1].ports, wants[1].unique), (2, 1, true));
        let fits = place(&wants, free(&slaves()));
        assert_eq!(fits[0], Fit { places: vec![("a1".to_owned(), 1)], missing: None });
        assert_eq!(fits[1], Fit { places: vec![("a1".to_owned(), 1), ("a2".to_owned(), 1)], missing: None });
    }

    #[test]
    fn what_does_not_fit_says_what_is_missing_where() {
        let wants = wants(&group(&json!({ "id": "worker", "instances": 4, "mem": 500, "cpus": 1 })));
        let fits = place(&wants, free(&slaves()));
        assert_eq!(fits[1].missing, Some((3, "on a2: memory 500 MiB wanted, 400.0 MiB free".to_owned())));
    }

    #[test]
    fn hosts_of_their_own_can_run_out() {
        let wants = wants(
            &json!({ "id": "/a", "instances": 3, "mem": 10, "cpus": 0.1, "constraints": [["hostname", "UNIQUE"]] }),
        );
        let fits = place(&wants, free(&slaves()));
        assert_eq!(
            fits[0].missing,
            Some((1, "each has to be on a host of its own, and there are 2 agents".to_owned()))
        );
        assert_eq!(place(&wants, Vec::new())[0].missing, Some((3, "there are no agents".to_owned())));
    }

    #[test]
    fn ranges_are_counted() {
        assert_eq!(ranges("[31000-31009, 31020-31020]"), 11);
        assert_eq!(ranges("[]"), 0);
    }
}
