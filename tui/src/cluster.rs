//! What is known of the cluster, filled by the frames of its stream.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use api::watch::{Amounts, Deployment, Frame, Hello, Node, Rows, Service, Task};
use serde_json::Value;

use crate::theme::Tone;

/// How many happenings are kept.
const EVENTS: usize = 2000;

/// How many samples of the past minute the curves have, one a second.
pub(crate) const SAMPLES: usize = 60;

/// The cluster as the stream told it, and what can be said of it without asking again.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    /// Who speaks; nothing before the first frame.
    pub hello: Option<Hello>,
    /// Agents by id.
    pub nodes: BTreeMap<String, Arc<Node>>,
    /// Services by id.
    pub services: BTreeMap<String, Arc<Service>>,
    /// Instances by id.
    pub tasks: BTreeMap<String, Arc<Task>>,
    /// The oldest first.
    pub deployments: Vec<Deployment>,
    /// The ids of each service's tasks.
    pub tasks_of: BTreeMap<String, BTreeSet<String>>,
    /// The ids of each agent's tasks.
    pub tasks_on: BTreeMap<String, BTreeSet<String>>,
    /// What happened since the dashboard began, the oldest first.
    pub events: VecDeque<Happening>,
    /// How many happenings there were, those forgotten too.
    pub happened: u64,
    /// The answer to the last question for masters and coordinators.
    pub masters: Value,
    /// How much was given to tasks, the newest last: shares of 0 to 1 of cores, memory and disk, one a second.
    pub history: VecDeque<[f64; 3]>,
    /// Whether all has been told once.
    pub complete: bool,
    /// Counts changes: whoever keeps something that was made of this makes it anew when the number differs.
    pub generation: u64,
    /// When a frame came last, in milliseconds since 1970, on this machine's clock.
    pub heard: u64,
    /// What all agents that take part have, and what of it is used.
    pub total: Amounts,
    /// See `total`.
    pub used: Amounts,
    /// How many tasks are in which state.
    pub states: BTreeMap<String, usize>,
    /// While the first rows come: what was there before the stream was made anew, so that old data stays in sight.
    staged: Option<Box<Cluster>>,
}

/// Something that happened, as its difference shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// When it was heard of, in milliseconds since 1970.
    pub at: u64,
    /// `task`, `deploy`, `service`, `node` or `master`.
    pub kind: &'static str,
    /// How it is to be taken.
    pub(crate) tone: Tone,
    /// What it is about: the id of a service, a task, a node, a deployment.
    pub subject: String,
    /// What happened.
    pub text: String,
}

impl Cluster {
    /// Takes one frame at `now`.
    pub fn apply(&mut self, frame: Frame, now: u64) {
        self.heard = now;
        match frame {
            Frame::Hello(hello) => {
                let known = self.hello.is_some();
                if known && self.hello.as_ref().is_some_and(|before| before.leader != hello.leader) {
                    let text = format!("{} leads now, epoch {}", hello.leader, hello.epoch);
                    self.tell(now, "master", Tone::Look, hello.leader.clone(), text);
                }
                // All comes anew; what was known stays in sight until it is whole.
                self.staged = Some(Box::default());
                self.hello = Some(hello);
            }
            // A sign of life.
            Frame::Ready { .. } if self.is_settled() => return,
            Frame::Ready { .. } => {
                if let Some(fresh) = self.staged.take() {
                    self.replace(*fresh, now);
                }
                self.complete = true;
            }
            other => match &mut self.staged {
                Some(staged) => staged.rows(other, now, false),
                None => {
                    let quiet = !self.complete;
                    self.rows(other, now, !quiet);
                }
            },
        }
        self.generation += 1;
    }

    /// Whether all has been told, and nothing is being told anew.
    pub(crate) fn is_settled(&self) -> bool {
        self.complete && self.staged.is_none()
    }

    /// What came after the stream was made anew takes the place of what was known, and what differs is told.
    fn replace(&mut self, fresh: Cluster, now: u64) {
        let tell = self.complete;
        let gone = |known: Vec<String>, has: &dyn Fn(&str) -> bool| -> Vec<String> {
            known.into_iter().filter(|id| !has(id)).collect()
        };
        let nodes = Rows {
            gone: gone(self.nodes.keys().cloned().collect(), &|id| fresh.nodes.contains_key(id)),
            set: fresh.nodes.into_values().map(Arc::unwrap_or_clone).collect(),
        };
        let services = Rows {
            gone: gone(self.services.keys().cloned().collect(), &|id| fresh.services.contains_key(id)),
            set: fresh.services.into_values().map(Arc::unwrap_or_clone).collect(),
        };
        let tasks = Rows {
            gone: gone(self.tasks.keys().cloned().collect(), &|id| fresh.tasks.contains_key(id)),
            set: fresh.tasks.into_values().map(Arc::unwrap_or_clone).collect(),
        };
        self.rows(Frame::Nodes(nodes), now, tell);
        self.rows(Frame::Services(services), now, tell);
        self.rows(Frame::Tasks(tasks), now, tell);
        self.rows(Frame::Deployments { set: fresh.deployments }, now, tell);
    }

    fn rows(&mut self, frame: Frame, now: u64, tell: bool) {
        match frame {
            Frame::Nodes(rows) => {
                for id in rows.gone {
                    self.nodes.remove(&id);
                    if tell {
                        self.tell(
                            now,
                            "node",
                            Tone::Look,
                            id,
                            "is no part of the cluster any more".to_owned(),
                        );
                    }
                }
                for node in rows.set {
                    let before = self.nodes.get(&node.id).map(|node| node.state.clone());
                    if tell && before.as_ref() != Some(&node.state) {
                        let text = match (&before, node.state.as_str()) {
                            (None, state) => format!("joined, {state}"),
                            (Some(before), state) => format!("{state}, was {before}"),
                        };
                        self.tell(now, "node", node_tone(&node.state), node.hostname.clone(), text);
                    }
                    self.nodes.insert(node.id.clone(), Arc::new(node));
                }
                self.sum_up();
            }
            Frame::Services(rows) => {
                for id in rows.gone {
                    self.services.remove(&id);
                    if tell {
                        self.tell(now, "service", Tone::Off, id, "removed".to_owned());
                    }
                }
                for service in rows.set {
                    if tell {
                        self.tell_of_service(&service, now);
                    }
                    self.services.insert(service.id.clone(), Arc::new(service));
                }
            }
            Frame::Tasks(rows) => {
                for id in rows.gone {
                    if let Some(task) = self.forget_task(&id)
                        && tell
                        && task.state == "TASK_RUNNING"
                    {
                        self.tell(now, "task", Tone::Off, id, format!("ended on {}", task.host));
                    }
                }
                for task in rows.set {
                    let before = self.forget_task(&task.id);
                    if tell {
                        self.tell_of_task(before.as_deref(), &task, now);
                    }
                    *self.states.entry(task.state.clone()).or_default() += 1;
                    self.tasks_of.entry(task.service.clone()).or_default().insert(task.id.clone());
                    self.tasks_on.entry(task.node.clone()).or_default().insert(task.id.clone());
                    self.tasks.insert(task.id.clone(), Arc::new(task));
                }
            }
            Frame::Deployments { set } => {
                if tell {
                    self.tell_of_deployments(&set, now);
                }
                self.deployments = set;
            }
            Frame::Hello(_) | Frame::Ready { .. } => {}
        }
    }

    fn forget_task(&mut self, id: &str) -> Option<Arc<Task>> {
        let task = self.tasks.remove(id)?;
        for (index, key) in [(&mut self.tasks_of, &task.service), (&mut self.tasks_on, &task.node)] {
            if let Some(ids) = index.get_mut(key) {
                ids.remove(id);
                if ids.is_empty() {
                    index.remove(key);
                }
            }
        }
        if let Some(count) = self.states.get_mut(&task.state) {
            *count -= 1;
            if *count == 0 {
                self.states.remove(&task.state);
            }
        }
        Some(task)
    }

    fn sum_up(&mut self) {
        let (mut total, mut used) = (Amounts::default(), Amounts::default());
        for node in self.nodes.values() {
            let add = |sum: &mut Amounts, of: &Amounts| {
                sum.cpus += of.cpus;
                sum.mem += of.mem;
                sum.disk += of.disk;
            };
            add(&mut used, &node.used);
            if matches!(node.state.as_str(), "active" | "disconnected") {
                add(&mut total, &node.total);
            }
        }
        (self.total, self.used) = (total, used);
    }

    /// One more second has passed.
    pub(crate) fn sample(&mut self) {
        let share = |used: f64, total: f64| if total > 0.0 { used / total } else { 0.0 };
        self.history.push_back([
            share(self.used.cpus, self.total.cpus),
            share(self.used.mem, self.total.mem),
            share(self.used.disk, self.total.disk),
        ]);
        while self.history.len() > SAMPLES {
            self.history.pop_front();
        }
    }

    /// Writes down something that happened.
    pub(crate) fn tell(&mut self, at: u64, kind: &'static str, tone: Tone, subject: String, text: String) {
        self.events.push_back(Happening { at, kind, tone, subject, text });
        self.happened += 1;
        while self.events.len() > EVENTS {
            self.events.pop_front();
        }
    }

    fn tell_of_service(&mut self, service: &Service, now: u64) {
        let Some(before) = self.services.get(&service.id).cloned() else {
            let text = format!("created, {} wanted", service.instances);
            return self.tell(now, "service", Tone::Moving, service.id.clone(), text);
        };
        if before.instances != service.instances {
            let text = format!("{} wanted, were {}", service.instances, before.instances);
            self.tell(now, "service", Tone::Moving, service.id.clone(), text);
        } else if before.version != service.version && !service.version.is_empty() {
            self.tell(now, "service", Tone::Moving, service.id.clone(), "changed".to_owned());
        }
        if let Some(failure) = &service.failure
            && before.failure.as_ref() != Some(failure)
        {
            let text = format!("{} on {}: {}", failure.state, failure.host, failure.message);
            self.tell(now, "task", Tone::Bad, failure.task.clone(), text);
        }
    }

    fn tell_of_task(&mut self, before: Option<&Task>, task: &Task, now: u64) {
        let tone = task_tone(task);
        let text = match before {
            Some(before) if before.state == task.state && before.healthy == task.healthy => return,
            Some(before) if before.state == task.state => match task.healthy {
                Some(true) => format!("healthy on {}", task.host),
                Some(false) => format!("unhealthy on {}", task.host),
                None => return,
            },
            _ => format!("{} on {}", word(&task.state), task.host),
        };
        self.tell(now, "task", tone, task.id.clone(), text);
    }

    fn tell_of_deployments(&mut self, set: &[Deployment], now: u64) {
        for old in std::mem::take(&mut self.deployments) {
            if !set.iter().any(|new| new.id == old.id) {
                self.tell(
                    now,
                    "deploy",
                    Tone::Good,
                    old.services.join(", "),
                    "the deployment has ended".to_owned(),
                );
            } else {
                self.deployments.push(old);
            }
        }
        for new in set {
            let step = self.deployments.iter().find(|old| old.id == new.id).map(|old| old.step);
            if step != Some(new.step) {
                let text = format!("step {} of {}: {}", new.step, new.steps, new.doing.join(", "));
                self.tell(now, "deploy", Tone::Moving, new.services.join(", "), text);
            }
        }
    }

    /// The tasks of a service.
    pub fn tasks_of(&self, service: &str) -> impl Iterator<Item = &Arc<Task>> {
        self.tasks_of.get(service).into_iter().flatten().filter_map(|id| self.tasks.get(id))
    }

    /// The tasks on an agent, by the agent's id.
    pub fn tasks_on(&self, node: &str) -> impl Iterator<Item = &Arc<Task>> {
        self.tasks_on.get(node).into_iter().flatten().filter_map(|id| self.tasks.get(id))
    }
}

/// `running` of `TASK_RUNNING`.
pub(crate) fn word(state: &str) -> String {
    state.strip_prefix("TASK_").unwrap_or(state).to_lowercase()
}

pub(crate) fn task_tone(task: &Task) -> Tone {
    match (task.state.as_str(), task.healthy) {
        ("TASK_RUNNING", Some(false)) => Tone::Look,
        ("TASK_RUNNING", _) => Tone::Good,
        ("TASK_STAGING" | "TASK_STARTING" | "TASK_KILLING", _) => Tone::Moving,
        ("TASK_UNREACHABLE" | "TASK_UNKNOWN", _) => Tone::Unknown,
        ("TASK_FINISHED" | "TASK_KILLED", _) => Tone::Off,
        _ => Tone::Bad,
    }
}

pub(crate) fn node_tone(state: &str) -> Tone {
    match state {
        "active" => Tone::Good,
        "disconnected" => Tone::Look,
        "recovering" => Tone::Moving,
        "unreachable" => Tone::Bad,
        _ => Tone::Unknown,
    }
}

/// How a service stands: tone and word.
pub(crate) fn service_status(service: &Service) -> (Tone, &'static str) {
    if service.version.is_empty() {
        (Tone::Off, "ending")
    } else if service.unhealthy > 0 {
        (Tone::Bad, "unhealthy")
    } else if service.waiting.is_some() && service.staged == 0 {
        (Tone::Look, "waiting")
    } else if service.deployment.is_some() {
        (Tone::Moving, "deploying")
    } else if service.instances == 0 {
        (Tone::Off, "suspended")
    } else if service.running < service.instances {
        (Tone::Moving, "starting")
    } else {
        (Tone::Good, "running")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(id: &str, state: &str, healthy: Option<bool>) -> Task {
        Task {
            id: id.into(),
            service: "/web".into(),
            node: "n1".into(),
            host: "a01".into(),
            state: state.into(),
            healthy,
            ..Task::default()
        }
    }

    fn tasks(set: Vec<Task>, gone: &[&str]) -> Frame {
        Frame::Tasks(Rows { set, gone: gone.iter().map(|id| (*id).to_owned()).collect() })
    }

    fn hello(leader: &str) -> Frame {
        Frame::Hello(Hello { leader: leader.into(), ..Hello::default() })
    }

    #[test]
    fn frames_make_the_cluster_and_its_indices() {
        let mut cluster = Cluster::default();
        cluster.apply(hello("m1"), 1);
        cluster.apply(tasks(vec![task("a", "TASK_RUNNING", None), task("b", "TASK_STAGING", None)], &[]), 2);
        assert!(cluster.tasks.is_empty(), "nothing is shown by halves");
        cluster.apply(Frame::Ready { now: 0 }, 3);
        assert_eq!(cluster.tasks_of("/web").count(), 2);
        assert_eq!(cluster.events.len(), 0, "what was there before did not happen now");
        cluster.apply(tasks(vec![task("b", "TASK_RUNNING", None)], &["a"]), 4);
        assert_eq!(cluster.tasks_on("n1").map(|task| task.id.as_str()).collect::<Vec<_>>(), ["b"]);
        assert_eq!(cluster.states, BTreeMap::from([("TASK_RUNNING".to_owned(), 1)]));
        let told: Vec<_> =
            cluster.events.iter().map(|event| format!("{} {}", event.subject, event.text)).collect();
        assert_eq!(told, ["a ended on a01", "b running on a01"]);
    }

    #[test]
    fn after_another_leader_what_differs_is_told_and_nothing_flickers() {
        let mut cluster = Cluster::default();
        for frame in [hello("m1"), tasks(vec![task("a", "TASK_RUNNING", None)], &[]), Frame::Ready { now: 0 }]
        {
            cluster.apply(frame, 1);
        }
        cluster.apply(hello("m2"), 2);
        assert_eq!(cluster.tasks.len(), 1, "what was known stays");
        cluster.apply(tasks(vec![task("b", "TASK_RUNNING", None)], &[]), 3);
        cluster.apply(Frame::Ready { now: 0 }, 4);
        let told: Vec<_> = cluster.events.iter().map(|event| event.text.as_str()).collect();
        assert_eq!(told, ["m2 leads now, epoch 0", "ended on a01", "running on a01"]);
        assert_eq!(cluster.tasks.keys().collect::<Vec<_>>(), ["b"]);
    }
}
