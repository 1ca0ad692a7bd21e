//! The cluster that is made up: what is in it, how it goes on, what it answers. No clock and no chance of its own.

use std::collections::BTreeMap;

use api::watch::{Amounts, Deployment, Failure, Frame, Hello, Node, ROWS, Rows, Service, Task, Waiting};
use serde_json::{Value, json};

use super::packages;
use crate::{Failed, LogSource, Request};

/// How long things take, in milliseconds.
const STAGES: u64 = 3000;
const CHECKS: u64 = 3000;
const ENDS: u64 = 1500;
/// How long a node is silent before it counts as unreachable, and how long until its tasks are replaced.
const SILENT: u64 = 8000;
const LOST: u64 = 20_000;
const AWAY: u64 = 45_000;

/// Everything that there is.
#[derive(Debug)]
pub(super) struct Model {
    nodes: BTreeMap<String, Node>,
    services: BTreeMap<String, App>,
    tasks: BTreeMap<String, Task>,
    deployments: Vec<Doing>,
    /// What was told; nothing before the first frames.
    told: Option<Told>,
    chance: u64,
    count: u64,
    /// When something happens by itself next: a failure, a node that goes away, a change.
    fails_at: u64,
    node_at: u64,
    change_at: u64,
    ready_at: u64,
}

#[derive(Debug, Default)]
struct Told {
    nodes: BTreeMap<String, Node>,
    services: BTreeMap<String, Service>,
    tasks: BTreeMap<String, Task>,
    deployments: Vec<Deployment>,
}

#[derive(Debug)]
struct App {
    /// Versions with their definitions, the oldest first; the last one is in force.
    versions: Vec<(String, Value)>,
    failure: Option<Failure>,
    waiting: Option<Waiting>,
    /// It is removed as soon as its tasks are gone.
    ending: bool,
}

#[derive(Debug)]
struct Doing {
    row: Deployment,
    /// The definition before; nothing where there was none.
    before: Option<Value>,
}

impl App {
    fn version(&self) -> &str {
        self.versions.last().map_or("", |(version, _)| version)
    }

    fn definition(&self) -> &Value {
        self.versions.last().map_or(&Value::Null, |(_, definition)| definition)
    }

    fn instances(&self) -> u32 {
        if self.ending {
            return 0;
        }
        self.definition()["instances"].as_u64().and_then(|count| u32::try_from(count).ok()).unwrap_or(1)
    }

    fn each(&self) -> Amounts {
        let of = |key: &str, default| self.definition()[key].as_f64().unwrap_or(default);
        Amounts { cpus: of("cpus", 0.1), mem: of("mem", 128.0), disk: of("disk", 0.0) }
    }

    fn checked(&self) -> bool {
        self.definition()["healthChecks"].as_array().is_some_and(|checks| !checks.is_empty())
    }
}

/// A moment as Marathon writes it.
pub(super) fn timestamp(milliseconds: u64) -> String {
    // Civil date of days since 1970, counted from March of the year 0.
    let days = milliseconds / 86_400_000 + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let clock = crate::text::clock(milliseconds);
    format!("{:04}-{month:02}-{day:02}T{clock}.{:03}Z", era * 400 + year + next, milliseconds % 1000)
}

fn refused(text: impl Into<String>) -> Failed {
    Failed { text: text.into(), ..Failed::default() }
}

impl Model {
    /// As it is at the beginning.
    pub(super) fn new(now: u64) -> Self {
        let nodes = (1_u32..=20)
            .map(|n| {
                let node = Node {
                    id: format!("d3m0-S{n:02}"),
                    hostname: format!("a{n:02}"),
                    address: format!("192.0.2.{}:5051", 20 + n),
                    state: "active".into(),
                    since: now.saturating_sub(86_400_000 * 9),
                    total: Amounts { cpus: 8.0, mem: 32_768.0, disk: 1_048_576.0 },
                    attributes: BTreeMap::from([("rack".into(), format!("r{}", 1 + n % 4))]),
                    region: Some("eu".into()),
                    zone: Some(format!("eu-{}", 1 + n % 3)),
                    version: env!("CARGO_PKG_VERSION").into(),
                    ..Node::default()
                };
                (node.id.clone(), node)
            })
            .collect();
        let mut model = Self {
            nodes,
            services: BTreeMap::new(),
            tasks: BTreeMap::new(),
            deployments: Vec::new(),
            told: None,
            chance: 0x2545_f491_4f6c_dd1d,
            count: 0,
            fails_at: now + 12_000,
            node_at: now + 30_000,
            change_at: now + 8000,
            ready_at: 0,
        };
        for (id, instances, cpus, mem, checks, command) in [
            ("/shop/web", 10, 1.0, 2048.0, true, "exec /srv/web --port $PORT0"),
            ("/shop/cart", 4, 1.0, 2048.0, true, "exec /srv/cart --port $PORT0"),
            ("/shop/search", 3, 0.5, 1024.0, true, "exec /srv/search"),
            ("/shop/images", 6, 0.5, 512.0, true, "exec /srv/images"),
            ("/data/postgres", 1, 4.0, 16_384.0, true, "exec postgres"),
            ("/data/warehouse", 2, 12.0, 8192.0, false, "exec /srv/warehouse"),
            ("/metrics/collector", 20, 0.1, 64.0, false, "exec /srv/collect"),
            ("/metrics/store", 2, 2.0, 8192.0, true, "exec /srv/store"),
            ("/batch/report", 0, 0.5, 256.0, false, "exec /srv/report"),
            ("/mail/relay", 3, 0.2, 128.0, true, "exec /srv/relay"),
            ("/ping", 2, 0.1, 32.0, false, "exec sleep 100000"),
        ] {
            let check = json!([{ "protocol": "HTTP", "path": "/health", "portIndex": 0 }]);
            let old = json!({
                "id": id, "cmd": command, "instances": instances, "cpus": cpus, "mem": mem / 2.0, "env": {},
                "labels": { "team": id.split('/').nth(1).unwrap_or_default() },
                "healthChecks": if checks { check } else { json!([]) },
            });
            let mut new = old.clone();
            new["mem"] = mem.into();
            let [first, second] = [9, 2].map(|days| timestamp(now.saturating_sub(days * 86_400_000)));
            model.put(id, vec![(first, old), (second, new)]);
        }
        if let Ok(kafka) = packages::render("kafka", "3.8.0", &json!({}), Some("/data/kafka")) {
            model.put("/data/kafka", vec![(timestamp(now.saturating_sub(86_400_000)), kafka)]);
        }
        // What there was before runs already.
        for id in model.services.keys().cloned().collect::<Vec<_>>() {
            while model.live(&id) < model.services.get(&id).map_or(0, |app| app.instances() as usize) {
                let Some(task) = model.launch(&id, now.saturating_sub(7_200_000)) else { break };
                if let Some(task) = model.tasks.get_mut(&task) {
                    task.state = "TASK_RUNNING".into();
                    task.started = Some(task.staged + STAGES);
                    let checked = model.services.get(&id).is_some_and(App::checked);
                    task.healthy = checked.then_some(true);
                }
            }
        }
        model
    }

    fn put(&mut self, id: &str, versions: Vec<(String, Value)>) {
        let app = App { versions, failure: None, waiting: None, ending: false };
        self.services.insert(id.to_owned(), app);
    }

    /// All is told anew.
    pub(super) fn forget_told(&mut self) {
        self.told = None;
    }

    pub(super) fn has_task(&self, id: &str) -> bool {
        self.tasks.contains_key(id)
    }

    /// A number below `below`: always the same row of them.
    fn draw_lot(&mut self, below: usize) -> usize {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        usize::try_from(self.chance % (below.max(1) as u64)).unwrap_or(0)
    }

    fn is_live(task: &Task) -> bool {
        matches!(task.state.as_str(), "TASK_STAGING" | "TASK_RUNNING")
    }

    fn live(&self, service: &str) -> usize {
        self.tasks.values().filter(|task| task.service == service && Self::is_live(task)).count()
    }

    fn free(&self, node: &Node) -> Amounts {
        let mut free = node.total;
        for task in self.tasks.values().filter(|task| task.node == node.id) {
            if let Some(app) = self.services.get(&task.service) {
                let each = app.each();
                free.cpus -= each.cpus;
                free.mem -= each.mem;
            }
        }
        free
    }

    /// Starts an instance where there is the most room.
    fn launch(&mut self, service: &str, now: u64) -> Option<String> {
        let (each, version) = self.services.get(service).map(|app| (app.each(), app.version().to_owned()))?;
        let mut best: Option<(f64, String)> = None;
        let (mut most, mut declined) = (0.0_f64, BTreeMap::new());
        for node in self.nodes.values().filter(|node| node.state == "active") {
            let free = self.free(node);
            most = most.max(free.cpus);
            if free.cpus < each.cpus {
                *declined.entry("InsufficientCpus".to_owned()).or_insert(0) += 1;
            } else if free.mem < each.mem {
                *declined.entry("InsufficientMemory".to_owned()).or_insert(0) += 1;
            } else if best.as_ref().is_none_or(|(room, _)| free.cpus > *room) {
                best = Some((free.cpus, node.id.clone()));
            }
        }
        let Some((_, node)) = best else {
            let missing = self.services.get(service).map_or(0, App::instances);
            let count = missing.saturating_sub(u32::try_from(self.live(service)).unwrap_or(0));
            if let Some(app) = self.services.get_mut(service) {
                let since = app.waiting.as_ref().map_or(now, |waiting| waiting.since);
                let why =
                    format!("no agent has {} cores: the most that one has free is {most:.1}", each.cpus);
                app.waiting = Some(Waiting { count, since, why, declined });
            }
            return None;
        };
        self.count += 1;
        let name = service.trim_start_matches('/').replace('/', "_");
        let id =
            format!("{name}.instance-{:08x}-d3m0._app.1", self.count.wrapping_mul(0x9e37_79b9) & 0xffff_ffff);
        let task = Task {
            id: id.clone(),
            service: service.to_owned(),
            state: "TASK_STAGING".into(),
            host: self.nodes.get(&node).map(|node| node.hostname.clone()).unwrap_or_default(),
            node,
            ports: vec![u16::try_from(31_000 + self.count % 1000).unwrap_or(31_000)],
            healthy: None,
            version,
            staged: now,
            started: None,
        };
        self.tasks.insert(id.clone(), task);
        Some(id)
    }

    fn end(&mut self, task: &str, now: u64) {
        if let Some(task) = self.tasks.get_mut(task) {
            task.state = "TASK_KILLING".into();
            task.healthy = None;
            // From now on it is its end that takes time.
            task.started = Some(now);
        }
    }

    /// Changes a service; what changes it is a deployment.
    fn change(&mut self, id: &str, definition: Value, action: &str, now: u64) -> Value {
        let version = timestamp(now);
        let before = self.services.get(id).map(|app| app.definition().clone());
        match self.services.get_mut(id) {
            Some(app) => {
                app.versions.push((version.clone(), definition));
                app.ending = false;
            }
            None => self.put(id, vec![(version.clone(), definition)]),
        }
        // Scaling leaves the instances as they are: they count as new ones.
        if action == "ScaleApplication" {
            for task in self.tasks.values_mut().filter(|task| task.service == id) {
                task.version.clone_from(&version);
            }
        }
        let steps: &[&str] =
            if action == "StartApplication" { &["StartApplication", "ScaleApplication"] } else { &[action] };
        self.begin(id, before, steps, now)
    }

    fn begin(&mut self, id: &str, before: Option<Value>, steps: &[&str], now: u64) -> Value {
        self.deployments.retain(|doing| !doing.row.services.iter().any(|service| service == id));
        self.count += 1;
        let count = u32::try_from(steps.len()).unwrap_or(1);
        let row = Deployment {
            id: format!("d3m0c0de-0000-4000-8000-{:012}", self.count),
            version: timestamp(now),
            services: vec![id.to_owned()],
            step: count,
            steps: count,
            doing: vec![format!("{} {id}", steps.last().copied().unwrap_or_default())],
        };
        let answer = json!({ "version": row.version, "deploymentId": row.id });
        self.deployments.push(Doing { row, before });
        answer
    }

    /// Brings a service nearer to what it is to be.
    fn go_on_with(&mut self, id: &str, now: u64) {
        let Some(app) = self.services.get(id) else { return };
        let (wanted, version, checked) = (app.instances() as usize, app.version().to_owned(), app.checked());
        let of = |new: bool, model: &Self| -> Vec<String> {
            let mine = model.tasks.values().filter(|task| task.service == id && Self::is_live(task));
            mine.filter(|task| (task.version == version) == new).map(|task| task.id.clone()).collect()
        };
        let (mut new, old) = (of(true, self), of(false, self));
        let ready = new
            .iter()
            .filter_map(|id| self.tasks.get(id))
            .filter(|task| task.state == "TASK_RUNNING" && (!checked || task.healthy == Some(true)))
            .count();
        // An old one goes for each new one that is ready; at most two are started at once.
        for task in old.iter().take((ready + old.len()).saturating_sub(wanted)) {
            self.end(task, now);
        }
        for task in new.split_off(wanted.min(new.len())) {
            self.end(&task, now);
        }
        if let Some(app) = self.services.get_mut(id)
            && new.len() >= wanted
        {
            app.waiting = None;
        }
        for _ in 0..wanted.saturating_sub(new.len()).min(2) {
            if self.launch(id, now).is_none() {
                break;
            }
            if let Some(app) = self.services.get_mut(id) {
                app.waiting = None;
            }
        }
        let over = old.is_empty()
            && ready >= wanted
            && !self.tasks.values().any(|task| task.service == id && task.state == "TASK_KILLING");
        if over {
            self.deployments.retain(|doing| !doing.row.services.iter().any(|service| service == id));
            if self.services.get(id).is_some_and(|app| app.ending) {
                self.services.remove(id);
            }
        }
    }

    /// What time alone does to tasks.
    fn age(&mut self, now: u64) {
        let checked: BTreeMap<String, bool> =
            self.services.iter().map(|(id, app)| (id.clone(), app.checked())).collect();
        let mut gone = Vec::new();
        for task in self.tasks.values_mut() {
            let since = now.saturating_sub(task.started.unwrap_or(task.staged));
            match task.state.as_str() {
                "TASK_STAGING" if since >= STAGES => {
                    task.state = "TASK_RUNNING".into();
                    task.started = Some(now);
                }
                "TASK_RUNNING" if task.healthy.is_none() && since >= CHECKS => {
                    task.healthy = checked.get(&task.service).copied().unwrap_or(false).then_some(true);
                }
                "TASK_KILLING" if since >= ENDS => gone.push(task.id.clone()),
                _ => {}
            }
        }
        for id in gone {
            self.tasks.remove(&id);
        }
    }

    /// What happens by itself.
    fn happen(&mut self, now: u64) {
        if now >= self.fails_at {
            self.fails_at = now + 15_000 + self.draw_lot(20_000) as u64;
            let running: Vec<String> = self
                .tasks
                .values()
                .filter(|task| task.state == "TASK_RUNNING" && !task.service.starts_with("/data"))
                .map(|task| task.id.clone())
                .collect();
            let at = self.draw_lot(running.len());
            if let Some(task) = running.get(at).and_then(|id| self.tasks.remove(id)) {
                let message = if self.draw_lot(2) == 0 {
                    "Command exited with status 137: it used more than its memory limit"
                } else {
                    "Command exited with status 1"
                };
                if let Some(app) = self.services.get_mut(&task.service) {
                    app.failure = Some(Failure {
                        at: now,
                        task: task.id,
                        state: "TASK_FAILED".into(),
                        host: task.host,
                        message: message.into(),
                    });
                }
            }
        }
        if now >= self.change_at {
            self.change_at = now + 40_000 + self.draw_lot(20_000) as u64;
            let id = ["/shop/web", "/shop/search", "/shop/images", "/mail/relay"][self.draw_lot(4)];
            if self.free_to_change(id).is_ok()
                && let Some(definition) = self.services.get(id).map(|app| app.definition().clone())
            {
                let mut definition = definition;
                definition["env"]["RELEASE"] = json!(timestamp(now));
                self.change(id, definition, "RestartApplication", now);
            }
        }
        if now >= self.node_at {
            self.node_at = now + 90_000 + self.draw_lot(30_000) as u64;
            let active: Vec<String> = self
                .nodes
                .values()
                .filter(|node| node.state == "active")
                .map(|node| node.id.clone())
                .collect();
            let at = self.draw_lot(active.len());
            if let Some(node) = active.get(at).and_then(|id| self.nodes.get_mut(id)) {
                (node.state, node.since) = ("disconnected".into(), now);
            }
        }
        for node in self.nodes.values_mut() {
            let since = now.saturating_sub(node.since);
            let here = |task: &&mut Task| task.node == node.id;
            match node.state.as_str() {
                "disconnected" if since >= SILENT => {
                    (node.state, node.since) = ("unreachable".into(), now);
                    for task in self.tasks.values_mut().filter(here) {
                        task.state = "TASK_UNREACHABLE".into();
                        task.healthy = None;
                    }
                }
                "unreachable" if since >= AWAY => (node.state, node.since) = ("active".into(), now),
                "unreachable" if since >= LOST => {
                    let id = node.id.clone();
                    self.tasks.retain(|_, task| task.node != id);
                }
                _ => {}
            }
        }
    }

    /// Rows as they are now.
    fn rows(&self) -> Told {
        let mut told = Told {
            nodes: self.nodes.clone(),
            services: BTreeMap::new(),
            tasks: self.tasks.clone(),
            deployments: self.deployments.iter().map(|doing| doing.row.clone()).collect(),
        };
        for (id, app) in &self.services {
            let mine = || self.tasks.values().filter(|task| task.service == *id);
            let count = |fits: &dyn Fn(&Task) -> bool| {
                u32::try_from(mine().filter(|task| fits(task)).count()).unwrap_or(u32::MAX)
            };
            let definition = app.definition();
            let labels = definition["labels"].as_object().into_iter().flatten();
            let labels = labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
            let held = |doing: &&Doing| doing.row.services.iter().any(|service| service == id);
            let row = Service {
                id: id.clone(),
                version: if app.ending { String::new() } else { app.version().to_owned() },
                instances: app.instances(),
                each: app.each(),
                staged: count(&|task| task.state == "TASK_STAGING"),
                running: count(&|task| task.state == "TASK_RUNNING"),
                healthy: count(&|task| task.healthy == Some(true)),
                unhealthy: count(&|task| task.healthy == Some(false)),
                checked: app.checked(),
                deployment: self.deployments.iter().find(held).map(|doing| doing.row.id.clone()),
                waiting: app.waiting.clone(),
                failure: app.failure.clone(),
                runs: definition["container"]["docker"]["image"]
                    .as_str()
                    .or(definition["cmd"].as_str())
                    .unwrap_or_default()
                    .to_owned(),
                labels: labels.collect(),
                versions: u32::try_from(app.versions.len()).unwrap_or(u32::MAX),
            };
            told.services.insert(id.clone(), row);
        }
        for node in told.nodes.values_mut() {
            node.used = Amounts::default();
        }
        for task in self.tasks.values() {
            if let (Some(node), Some(app)) =
                (told.nodes.get_mut(&task.node), self.services.get(&task.service))
            {
                let each = app.each();
                node.used.cpus += each.cpus;
                node.used.mem += each.mem;
                node.used.disk += each.disk;
            }
        }
        told
    }

    /// A deployment that holds a service forbids changes.
    fn free_to_change(&self, id: &str) -> Result<(), Failed> {
        let held = |doing: &&Doing| doing.row.services.iter().any(|service| service == id);
        match self.deployments.iter().find(held) {
            None => Ok(()),
            Some(doing) => Err(Failed {
                text: format!("{id} is locked by the deployment {}", doing.row.id),
                hint: "force it, or wait until it is done".into(),
                locked: true,
                body: json!({ "deployments": [{ "id": doing.row.id }] }),
            }),
        }
    }

    fn app(&self, id: &str) -> Result<&App, Failed> {
        self.services
            .get(id)
            .filter(|app| !app.ending)
            .ok_or_else(|| refused(format!("App '{id}' does not exist")))
    }

    /// Answers a request, and does what it asks.
    pub(super) fn answer(&mut self, request: &Request, now: u64) -> Result<Value, Failed> {
        let changed = |mut definition: Value, key: &str, value: Value| {
            definition[key] = value;
            definition
        };
        match request {
            Request::Cluster => Ok(self.cluster()),
            Request::Service(id) => {
                let app = self.app(id)?;
                let mut definition = app.definition().clone();
                definition["version"] = app.version().into();
                Ok(json!({ "app": definition }))
            }
            Request::Versions(id) => {
                let versions: Vec<&String> = self.app(id)?.versions.iter().rev().map(|(at, _)| at).collect();
                Ok(json!({ "versions": versions }))
            }
            Request::Version(id, version) => {
                let found = self.app(id)?.versions.iter().find(|(at, _)| at == version);
                let (at, definition) =
                    found.ok_or_else(|| refused(format!("App '{id}' has no version {version}")))?;
                Ok(changed(definition.clone(), "version", at.as_str().into()))
            }
            Request::Create(definition) => {
                let apps = match definition["apps"].as_array() {
                    Some(apps) => apps.clone(),
                    None => vec![definition.clone()],
                };
                let mut answer = Value::Null;
                for app in apps {
                    let id = app["id"].as_str().ok_or_else(|| refused("a service needs an id"))?;
                    let id = format!("/{}", id.trim_start_matches('/'));
                    if self.services.contains_key(&id) {
                        return Err(refused(format!("An app with id [{id}] already exists.")));
                    }
                    let started =
                        self.change(&id, changed(app, "id", id.as_str().into()), "StartApplication", now);
                    answer = if definition.get("apps").is_some() {
                        started
                    } else {
                        changed(definition.clone(), "id", id.into())
                    };
                }
                Ok(answer)
            }
            Request::Replace { id, definition, force } => {
                self.may(id, *force)?;
                Ok(self.change(
                    id,
                    changed(definition.clone(), "id", id.as_str().into()),
                    "RestartApplication",
                    now,
                ))
            }
            Request::Scale { id, instances, force } => {
                self.may(id, *force)?;
                let definition =
                    changed(self.app(id)?.definition().clone(), "instances", (*instances).into());
                Ok(self.change(id, definition, "ScaleApplication", now))
            }
            Request::Restart { id, force } => {
                self.may(id, *force)?;
                let definition = self.app(id)?.definition().clone();
                Ok(self.change(id, definition, "RestartApplication", now))
            }
            Request::RollBack { id, version, force } => {
                self.may(id, *force)?;
                let found = self.app(id)?.versions.iter().find(|(at, _)| at == version);
                let (_, definition) =
                    found.ok_or_else(|| refused(format!("App '{id}' has no version {version}")))?;
                let definition = definition.clone();
                Ok(self.change(id, definition, "RestartApplication", now))
            }
            Request::Delete(id) => {
                self.app(id)?;
                Ok(self.remove(id, now))
            }
            Request::DeleteGroup(id) => {
                let below = format!("{}/", id.trim_end_matches('/'));
                let inside: Vec<String> =
                    self.services.keys().filter(|service| service.starts_with(&below)).cloned().collect();
                if inside.is_empty() {
                    return Err(refused(format!("Group '{id}' does not exist")));
                }
                Ok(inside.iter().map(|service| self.remove(service, now)).last().unwrap_or_default())
            }
            Request::Kill { service, task, scale } => {
                if self.tasks.get(task).is_none_or(|found| found.service != *service) {
                    return Err(refused(format!("Task '{task}' does not exist")));
                }
                self.end(task, now);
                if *scale {
                    let instances = self.app(service)?.instances().saturating_sub(1);
                    let request = Request::Scale { id: service.clone(), instances, force: true };
                    return self.answer(&request, now);
                }
                Ok(json!({ "task": self.tasks.get(task) }))
            }
            Request::Undo(id) => {
                let at = self.at(id)?;
                let doing = self.deployments.remove(at);
                let service = doing.row.services.first().cloned().unwrap_or_default();
                Ok(match doing.before {
                    Some(before) => self.change(&service, before, "RestartApplication", now),
                    None => self.remove(&service, now),
                })
            }
            Request::Drop(id) => {
                let at = self.at(id)?;
                self.deployments.remove(at);
                Ok(Value::Null)
            }
            Request::Files { task, .. } => {
                if !self.has_task(task) {
                    return Err(refused("the sandbox is gone"));
                }
                let file = |name: &str| json!({ "path": name, "size": 4096, "mode": "-rw-r--r--", "mtime": now / 1000, "nlink": 1, "uid": "root", "gid": "root" });
                Ok(json!([file("stderr"), file("stdout")]))
            }
            Request::Search(query) => Ok(packages::search(query)),
            Request::PackageVersions(name) => packages::versions(name),
            Request::Describe { name, version } => packages::describe(name, version.as_deref()),
            Request::Render { name, version, options, id } => {
                Ok(json!({ "marathonJson": packages::render(name, version, options, id.as_deref())? }))
            }
            Request::Install { name, version, options, id } => {
                let app = packages::render(name, version, options, id.as_deref())?;
                let id = app["id"].as_str().unwrap_or_default().to_owned();
                if self.services.contains_key(&id) {
                    let data = json!({ "packageName": name, "appId": id });
                    let text = format!("Package [{name}] is already installed as {id}");
                    return Err(packages::refused("PackageAlreadyInstalled", text, &data));
                }
                self.change(&id, app, "StartApplication", now);
                let notes = format!("{name} is being started.");
                Ok(
                    json!({ "packageName": name, "packageVersion": version, "appId": id, "postInstallNotes": notes }),
                )
            }
            Request::UpdatePackage { id, name, version, options } => {
                self.may(id, false)?;
                let app = packages::render(name, version, options, Some(id))?;
                let answer = self.change(id, app, "RestartApplication", now);
                Ok(json!({
                    "package": packages::describe(name, Some(version))?["package"],
                    "resolvedOptions": options, "marathonDeploymentId": answer["deploymentId"],
                }))
            }
            Request::Installed => {
                let mut all: Vec<_> = self
                    .services
                    .iter()
                    .filter_map(|(id, app)| {
                        let labels = &app.definition()["labels"];
                        let (name, version) =
                            (labels["DCOS_PACKAGE_NAME"].as_str()?, labels["DCOS_PACKAGE_VERSION"].as_str()?);
                        Some((name.to_owned(), packages::installed(id, name, version)?))
                    })
                    .collect();
                all.sort_by(|(a, _), (b, _)| a.cmp(b));
                Ok(json!({ "packages": all.into_iter().map(|(_, package)| package).collect::<Vec<_>>() }))
            }
            Request::Uninstall { name, id } => {
                let labels = &self.app(id)?.definition()["labels"];
                if labels["DCOS_PACKAGE_NAME"] != name.as_str() {
                    let text = format!("Package [{name}] is not installed as {id}");
                    return Err(packages::refused(
                        "PackageNotInstalled",
                        text,
                        &json!({ "packageName": name }),
                    ));
                }
                self.remove(id, now);
                Ok(json!({ "results": [{ "packageName": name, "appId": id }] }))
            }
            Request::Repositories => {
                Ok(json!({ "repositories": [{ "name": "Demo", "uri": "demo://packages" }] }))
            }
        }
    }

    fn may(&self, id: &str, force: bool) -> Result<(), Failed> {
        self.app(id)?;
        if force { Ok(()) } else { self.free_to_change(id) }
    }

    fn at(&self, id: &str) -> Result<usize, Failed> {
        let at = self.deployments.iter().position(|doing| doing.row.id == *id);
        at.ok_or_else(|| refused(format!("Deployment {id} does not exist")))
    }

    fn remove(&mut self, id: &str, now: u64) -> Value {
        let before = self.services.get(id).map(|app| app.definition().clone());
        if let Some(app) = self.services.get_mut(id) {
            app.ending = true;
            app.waiting = None;
        }
        self.begin(id, before, &["StopApplication"], now)
    }

    fn cluster(&self) -> Value {
        let masters = (1..=3).map(|n| {
            json!({ "id": format!("m{n}"), "address": format!("192.0.2.{}:5050", 10 + n), "leader": n == 2, "certificate_days": 300 })
        });
        let coordinators = (1..=3).map(|n| {
            let state = if n == 1 { "leader" } else { "follower" };
            json!({ "id": format!("m{n}"), "address": format!("https://192.0.2.{}:2379", 10 + n), "state": state })
        });
        json!({
            "name": "demo", "version": env!("CARGO_PKG_VERSION"), "epoch": 7, "leader": "192.0.2.12:5050",
            "masters": masters.collect::<Vec<_>>(), "coordinators": coordinators.collect::<Vec<_>>(),
            "agents": [],
        })
    }

    /// What a task writes in the half second of that moment, if it writes anything.
    pub(super) fn line(&self, source: &LogSource, now: u64) -> Option<String> {
        let task = self.tasks.get(&source.task)?;
        let moment = now / 500;
        let mixed =
            source.task.bytes().fold(moment, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        let lot = (mixed ^ (mixed >> 29)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        let at = timestamp(now);
        match (source.stderr, lot % 12) {
            (false, 0..7) => {
                let path = ["/", "/cart", "/search?q=lamp", "/images/7.webp", "/health"]
                    [usize::try_from(lot % 5).unwrap_or(0)];
                Some(format!("{at} info GET {path} 200 {}ms on {}\n", 1 + lot % 40, task.host))
            }
            (true, 0) => Some(format!("{at} warn upstream: timeout after 1000ms, retry {}\n", 1 + lot % 3)),
            (true, 1) if lot % 5 == 0 => Some(format!("{at} error GET /checkout 504 3003ms\n")),
            _ => None,
        }
    }
}

/// Lets the time until `now` pass: what differs, as a master tells it. The first time, and after it was told to forget, everything.
pub(super) fn step(model: &mut Model, now: u64) -> Vec<Frame> {
    model.age(now);
    model.happen(now);
    for id in model.services.keys().cloned().collect::<Vec<_>>() {
        model.go_on_with(&id, now);
    }
    let rows = model.rows();
    let mut frames = Vec::new();
    let first = model.told.is_none();
    let told = model.told.take().unwrap_or_default();
    if first {
        frames.push(Frame::Hello(Hello {
            cluster: "demo".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            leader: "m2".into(),
            epoch: 7,
            user: Some("you".into()),
            operates: true,
        }));
    }
    frames.extend(differences(&told.nodes, &rows.nodes).into_iter().map(Frame::Nodes));
    frames.extend(differences(&told.services, &rows.services).into_iter().map(Frame::Services));
    frames.extend(differences(&told.tasks, &rows.tasks).into_iter().map(Frame::Tasks));
    if first || told.deployments != rows.deployments {
        frames.push(Frame::Deployments { set: rows.deployments.clone() });
    }
    model.told = Some(rows);
    // A sign of life comes every five seconds also when nothing changes.
    if !frames.is_empty() || now >= model.ready_at {
        frames.push(Frame::Ready { now });
        model.ready_at = now + 5000;
    }
    frames
}

fn differences<T: Clone + PartialEq>(told: &BTreeMap<String, T>, rows: &BTreeMap<String, T>) -> Vec<Rows<T>> {
    let gone: Vec<String> = told.keys().filter(|id| !rows.contains_key(*id)).cloned().collect();
    let set: Vec<T> =
        rows.iter().filter(|(id, row)| told.get(*id) != Some(row)).map(|(_, row)| row.clone()).collect();
    let mut all: Vec<Rows<T>> =
        set.chunks(ROWS).map(|part| Rows { set: part.to_vec(), gone: Vec::new() }).collect();
    match all.first_mut() {
        Some(first) => first.gone = gone,
        None if !gone.is_empty() => all.push(Rows { set: Vec::new(), gone }),
        None => {}
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Cluster;
    use crate::testing::NOW;

    /// Lets it run, half a second at a time, and answers what a dashboard knows then.
    fn run(model: &mut Model, cluster: &mut Cluster, from: u64, seconds: u64) -> u64 {
        for at in 0..seconds * 2 {
            for frame in step(model, from + at * 500) {
                cluster.apply(frame, from + at * 500);
            }
        }
        from + seconds * 1000
    }

    #[test]
    fn it_is_the_same_each_time_and_begins_with_all_of_it() {
        let mut one = Model::new(NOW);
        let first = step(&mut one, NOW);
        assert_eq!(first, step(&mut Model::new(NOW), NOW));
        assert!(matches!((first.first(), first.last()), (Some(Frame::Hello(_)), Some(Frame::Ready { .. }))));
        let mut cluster = Cluster::default();
        first.into_iter().for_each(|frame| cluster.apply(frame, NOW));
        assert!(cluster.complete);
        assert_eq!((cluster.nodes.len(), cluster.services.len()), (20, 12));
        let waiting = cluster.services["/data/warehouse"].waiting.as_ref().expect("it is too big");
        assert!(waiting.why.starts_with("no agent has 12 cores"), "{}", waiting.why);
        assert_eq!(cluster.services["/shop/web"].healthy, 10);
    }

    #[test]
    fn tasks_fail_and_come_back_and_a_node_goes_away_and_comes_back() {
        let (mut model, mut cluster) = (Model::new(NOW), Cluster::default());
        run(&mut model, &mut cluster, NOW, 300);
        for what in [
            "running on",
            "disconnected, was active",
            "unreachable, was disconnected",
            "active, was unreachable",
            "step 1 of 1",
        ] {
            assert!(cluster.events.iter().any(|event| event.text.contains(what)), "{what}");
        }
        assert!(cluster.services.values().any(|service| service.failure.is_some()));
        for node in cluster.nodes.values() {
            assert!(node.used.cpus <= node.total.cpus + 1e-6, "{} gives more than it has", node.hostname);
        }
    }

    #[test]
    fn what_is_asked_is_done() {
        let (mut model, mut cluster) = (Model::new(NOW), Cluster::default());
        // Nothing happens by itself here.
        (model.fails_at, model.node_at, model.change_at) = (u64::MAX, u64::MAX, u64::MAX);
        let mut now = run(&mut model, &mut cluster, NOW, 5);
        let scale = |force| Request::Scale { id: "/shop/cart".into(), instances: 7, force };
        model.answer(&scale(false), now).expect("scaled");
        assert!(model.answer(&scale(false), now).expect_err("a deployment holds it").locked);
        now = run(&mut model, &mut cluster, now, 30);
        assert_eq!((cluster.services["/shop/cart"].healthy, cluster.deployments.len()), (7, 0));

        let restart = Request::Restart { id: "/shop/cart".into(), force: false };
        let before: Vec<String> = cluster.tasks_of("/shop/cart").map(|task| task.id.clone()).collect();
        let id = model.answer(&restart, now).expect("restarted")["deploymentId"].as_str().unwrap().to_owned();
        now = run(&mut model, &mut cluster, now, 60);
        assert!(cluster.tasks_of("/shop/cart").all(|task| !before.contains(&task.id)));
        assert_eq!(cluster.services["/shop/cart"].healthy, 7);
        assert!(model.answer(&Request::Undo(id), now).is_err(), "it has ended");

        let install = Request::Install {
            name: "spark".into(),
            version: "4.0.0".into(),
            options: json!({"service": {"count": 3}}),
            id: None,
        };
        model.answer(&install, now).expect("installed");
        assert!(model.answer(&install, now).is_err(), "it is there already");
        now = run(&mut model, &mut cluster, now, 30);
        assert_eq!(cluster.services["/spark"].healthy, 3);
        let installed = model.answer(&Request::Installed, now).expect("a list");
        assert_eq!(installed["packages"][1]["packageInformation"]["packageDefinition"]["name"], "spark");
        model.answer(&Request::Uninstall { name: "spark".into(), id: "/spark".into() }, now).expect("gone");
        run(&mut model, &mut cluster, now, 10);
        assert!(!cluster.services.contains_key("/spark"));
        assert!(cluster.tasks_of("/spark").next().is_none());
    }

    #[test]
    fn a_deployment_can_be_undone() {
        let (mut model, mut cluster) = (Model::new(NOW), Cluster::default());
        (model.fails_at, model.node_at, model.change_at) = (u64::MAX, u64::MAX, u64::MAX);
        let now = run(&mut model, &mut cluster, NOW, 5);
        let scale = Request::Scale { id: "/ping".into(), instances: 9, force: false };
        let id = model.answer(&scale, now).unwrap()["deploymentId"].as_str().unwrap().to_owned();
        model.answer(&Request::Undo(id), now + 1).expect("undone");
        run(&mut model, &mut cluster, now, 60);
        assert_eq!((cluster.services["/ping"].instances, cluster.services["/ping"].running), (2, 2));
    }

    #[test]
    fn moments_are_written_as_they_are_read() {
        for moment in [0, 951_782_400_000, NOW, NOW + 86_400_000 * 400 + 7] {
            assert_eq!(crate::pages::deployments::time(&timestamp(moment)), Some(moment));
        }
        assert_eq!(timestamp(NOW), "2026-11-22T10:23:51.000Z");
    }
}
