//! What master and services know of one thing, as its row. Pure.

use api::Moment;
use api::marathon::{App, AppId, Deployment, Task, Timestamp};
use api::watch::{self, Failure, Node, Service, Waiting};
use master::core::Agent;
use scheduler::Resources;
use services::core::view::{AppView, Queued};

/// Longer texts of people and programs are cut: rows are to be looked at, and the whole of it is elsewhere.
const TEXT: usize = 1000;

/// What can be in a frame.
pub(crate) trait Row: PartialEq {
    /// About how many bytes of it others choose.
    fn weight(&self) -> usize;
}

impl Row for Node {
    fn weight(&self) -> usize {
        weight(&self.attributes)
    }
}

impl Row for Service {
    fn weight(&self) -> usize {
        weight(&self.labels)
    }
}

impl Row for watch::Task {
    fn weight(&self) -> usize {
        0
    }
}

fn weight(texts: &std::collections::BTreeMap<String, String>) -> usize {
    texts.iter().map(|(key, value)| key.len() + value.len()).sum()
}

/// `now` is any moment of this master's clock.
pub(crate) fn node(agent: &Agent, now: Moment) -> Node {
    let (facts, host) = (&agent.facts, &agent.facts.host);
    let ago = now.elapsed.saturating_sub(agent.since).as_millis();
    Node {
        id: agent.id.to_string(),
        hostname: host.hostname.clone(),
        address: std::net::SocketAddr::new(facts.address, facts.port).to_string(),
        state: agent.state.name().to_owned(),
        since: millis(now.wall).saturating_sub(u64::try_from(ago).unwrap_or(u64::MAX)),
        total: amounts(&facts.total),
        used: amounts(&agent.used),
        attributes: host.attributes.iter().map(|(name, one)| (name.to_owned(), one.to_string())).collect(),
        region: host.region.clone(),
        zone: host.zone.clone(),
        version: facts.version.clone(),
    }
}

fn amounts(resources: &Resources) -> watch::Amounts {
    let mut sum = master::view::Amounts::default();
    sum.push(resources);
    watch::Amounts { cpus: sum.cpus, mem: sum.mem, disk: sum.disk }
}

pub(crate) fn service(id: &AppId, view: &AppView) -> Service {
    let app = view.app.as_deref();
    let failure = view.failure.as_ref().map(|failure| Failure {
        at: millis(failure.timestamp),
        task: failure.task_id.to_string(),
        state: failure.state.clone(),
        host: failure.host.clone(),
        message: cut(&failure.message),
    });
    Service {
        id: id.to_string(),
        version: app.and_then(|app| app.version).map(|version| version.to_string()).unwrap_or_default(),
        instances: app.map_or(0, |app| app.instances),
        each: app.map_or_else(Default::default, |app| watch::Amounts {
            cpus: app.cpus,
            mem: app.mem,
            disk: app.disk,
        }),
        staged: view.counts.tasks_staged,
        running: view.counts.tasks_running,
        healthy: view.counts.tasks_healthy,
        unhealthy: view.counts.tasks_unhealthy,
        checked: app.is_some_and(|app| !app.health_checks.is_empty()),
        deployment: view.deployment.map(|deployment| deployment.to_string()),
        waiting: view.queued.as_ref().map(waiting),
        failure,
        runs: app.map(runs).unwrap_or_default(),
        labels: app.map(|app| app.labels.clone()).unwrap_or_default(),
        versions: u32::try_from(view.versions.len()).unwrap_or(u32::MAX),
    }
}

fn waiting(queued: &Queued) -> Waiting {
    let declined = queued.offers.reject_summary_last_offers.iter().filter(|reason| reason.declined > 0);
    Waiting {
        count: queued.count,
        since: millis(queued.since),
        why: cut(&queued.why),
        declined: declined.map(|reason| (reason.reason.clone(), reason.declined)).collect(),
    }
}

fn runs(app: &App) -> String {
    let image = app.container.as_ref().and_then(|container| container.docker.as_ref());
    match (image, &app.cmd) {
        (Some(docker), _) => cut(&docker.image),
        (None, Some(command)) => cut(command),
        (None, None) => cut(&app.args.join(" ")),
    }
}

pub(crate) fn task(task: &Task, healthy: Option<bool>) -> watch::Task {
    watch::Task {
        id: task.id.to_string(),
        service: task.app_id.to_string(),
        state: task.state.clone(),
        host: task.host.clone(),
        node: task.slave_id.clone(),
        ports: task.ports.clone(),
        healthy,
        version: task.version.to_string(),
        staged: task.staged_at.map(millis).unwrap_or_default(),
        started: task.started_at.map(millis),
    }
}

pub(crate) fn deployment(one: &Deployment) -> watch::Deployment {
    let doing = one.current_actions.iter().map(|current| &current.action);
    let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    watch::Deployment {
        id: one.id.to_string(),
        version: one.version.to_string(),
        services: one.affected_apps.iter().map(ToString::to_string).collect(),
        step: small(one.current_step),
        steps: small(one.total_steps),
        doing: doing.map(|action| format!("{} {}", action.action.name(), action.app)).collect(),
    }
}

pub(crate) fn millis(at: Timestamp) -> u64 {
    u64::try_from(at.as_millis()).unwrap_or_default()
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(TEXT) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
