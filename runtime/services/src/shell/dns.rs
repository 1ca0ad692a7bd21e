//! Names of what runs, as Mesos-DNS has them, over HTTP: where a service's ports are, and where a task or the leader is.
//!
//! An app's name is its path from the inside out: `/shop/web` is `web-shop`, or `web.shop` as the task is called. What is not known
//! is answered with one entry of empty texts, as Mesos-DNS does it.

use api::marathon::{App, Task};
use axum::response::Response;
use serde_json::{Value, json};

use super::Services;
use super::reply;
use super::view::View;

const FRAMEWORK: &str = "marathon";
const DOMAIN: &str = "mesos";

/// `GET /mesos_dns/v1/services/{name}`.
pub(crate) fn services(services: &Services, name: &str) -> Response {
    reply::json(&ports(&services.view(), name))
}

/// `GET /mesos_dns/v1/hosts/{name}`.
pub(crate) fn hosts(services: &Services, name: &str) -> Response {
    reply::json(&addresses(&services.view(), &services.options.leader, name))
}

/// A name without its last dot, in lower case.
fn plain(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// What stands before the framework's domain, `marathon.mesos`, or that of its tasks' agents.
fn below_framework(name: &str) -> Option<&str> {
    let below = name.strip_suffix(DOMAIN)?.strip_suffix('.')?;
    let below = below.strip_suffix(".slave").unwrap_or(below);
    below.strip_suffix(FRAMEWORK)?.strip_suffix('.')
}

/// What an app is called here.
fn app_name(app: &App) -> String {
    let mut elements: Vec<&str> = app.id.path().elements().collect();
    elements.reverse();
    elements.join("-").replace('.', "-")
}

/// A question about ports: `_web._tcp`, or `_http._web._tcp` for a port by its name.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    port: Option<String>,
    app: String,
    protocol: &'static str,
}

impl Asked {
    fn read(name: &str) -> Option<Asked> {
        let mut labels: Vec<&str> = below_framework(name)?.split('.').collect();
        let protocol = match labels.pop()? {
            "_tcp" => "tcp",
            "_udp" => "udp",
            _ => return None,
        };
        let begins = labels.iter().rposition(|label| label.starts_with('_'))?;
        let (before, app) = labels.split_at(begins);
        let port = match before {
            [] => None,
            [port] => Some(port.strip_prefix('_')?.to_owned()),
            _ => return None,
        };
        Some(Asked { port, app: app.join("-").strip_prefix('_')?.to_owned(), protocol })
    }
}

/// Names of the apps' ports, and whether they are of a protocol.
fn wanted(app: &App, asked: &Asked) -> Vec<bool> {
    let names = app.port_names();
    let protocols = app.port_definitions.iter().flatten().map(|port| Some(port.protocol));
    let all = names.into_iter().zip(protocols.chain(std::iter::repeat(None)));
    all.map(|(name, protocol)| {
        let spoken =
            protocol.is_none_or(|protocol| protocol.word().split(',').any(|word| word == asked.protocol));
        spoken && asked.port.as_deref().is_none_or(|port| name.is_some_and(|n| n.eq_ignore_ascii_case(port)))
    })
    .collect()
}

/// The running tasks of an app, by its name here.
fn running<'v>(view: &'v View, app: &'v str) -> impl Iterator<Item = (&'v App, &'v Task)> {
    let apps = view.apps.values().filter_map(|view| Some((view.app.as_deref()?, view)));
    let tasks = apps
        .filter(move |(known, _)| app_name(known) == app)
        .flat_map(|(known, view)| view.tasks.iter().map(move |task| (known, task.as_ref())));
    tasks.filter(|(_, task)| task.state == "TASK_RUNNING")
}

fn ip(task: &Task) -> &str {
    task.ip_addresses.first().map_or(task.host.as_str(), |address| address.ip_address.as_str())
}

fn ports(view: &View, name: &str) -> Vec<Value> {
    let name = plain(name);
    let mut found = Vec::new();
    if let Some(asked) = Asked::read(&name) {
        for (app, task) in running(view, &asked.app) {
            // Ports that the app does not describe are of every protocol, and have no name.
            let wanted = wanted(app, &asked);
            let fits = |at: usize| wanted.get(at).copied().unwrap_or(asked.port.is_none());
            for (_, port) in task.ports.iter().enumerate().filter(|(at, _)| fits(*at)) {
                found.push(json!({
                    "service": name, "host": task.host, "ip": ip(task), "port": port.to_string(),
                }));
            }
        }
    }
    if found.is_empty() {
        found.push(json!({"service": "", "host": "", "ip": "", "port": ""}));
    }
    found
}

fn addresses(view: &View, leader: &str, name: &str) -> Vec<Value> {
    let name = plain(name);
    let entry = |ip: &str| json!({"host": format!("{name}."), "ip": ip});
    let mut found = Vec::new();
    if matches!(name.as_str(), "leader.mesos" | "master.mesos" | "marathon.mesos") {
        let host = leader.rsplit_once(':').map_or(leader, |(host, _)| host);
        found.push(entry(host.trim_start_matches('[').trim_end_matches(']')));
    } else if let Some(app) = below_framework(&name) {
        let app = app.replace('.', "-");
        let mut ips: Vec<&str> = running(view, &app).map(|(_, task)| ip(task)).collect();
        ips.sort_unstable();
        ips.dedup();
        found.extend(ips.into_iter().map(entry));
    }
    if found.is_empty() {
        found.push(json!({"host": "", "ip": ""}));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_ports_are_read() {
        let asked = |port: Option<&str>, app: &str, protocol| {
            Some(Asked { port: port.map(str::to_owned), app: app.to_owned(), protocol })
        };
        for (name, expected) in [
            ("_web._tcp.marathon.mesos", asked(None, "web", "tcp")),
            ("_web._udp.marathon.slave.mesos", asked(None, "web", "udp")),
            ("_http._web._tcp.marathon.mesos", asked(Some("http"), "web", "tcp")),
            ("_web-shop._tcp.marathon.mesos", asked(None, "web-shop", "tcp")),
            ("_web.shop._tcp.marathon.mesos", asked(None, "web-shop", "tcp")),
            ("_http._web.shop.eu._tcp.marathon.mesos", asked(Some("http"), "web-shop-eu", "tcp")),
            ("web._tcp.marathon.mesos", None),
            ("_web.marathon.mesos", None),
            ("_a._b._web._tcp.marathon.mesos", None),
            ("_web._tcp.chronos.mesos", None),
            ("_web._tcpmarathon.mesos", None),
            ("marathon.mesos", None),
            ("", None),
        ] {
            assert_eq!(Asked::read(name), expected, "{name}");
        }
    }

    #[test]
    fn the_leader_has_names_and_what_is_not_known_is_empty() {
        let view = View::default();
        for name in ["leader.mesos", "Master.Mesos.", "marathon.mesos"] {
            assert_eq!(addresses(&view, "10.0.0.1:5050", name)[0]["ip"], "10.0.0.1", "{name}");
        }
        assert_eq!(addresses(&view, "[::1]:5050", "leader.mesos")[0]["ip"], "::1");
        assert_eq!(addresses(&view, "h:1", "web.marathon.mesos"), [json!({"host": "", "ip": ""})]);
        let nothing = json!({"service": "", "host": "", "ip": "", "port": ""});
        assert_eq!(ports(&view, "_web._tcp.marathon.mesos"), [nothing]);
    }
}
