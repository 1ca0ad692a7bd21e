//! What is true, and what was promised about it.

use std::collections::{BTreeMap, BTreeSet};

use api::Moment;
use api::marathon::{Timestamp, Uuid};
use api::mesos::{Source, TaskState, TaskStatus};
use master::core::AgentState;
use master::view::View;

use crate::agents::RESOURCES;
use crate::world::World;

/// What happened to tasks, as nobody in the cluster can know all of it.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    /// How often each task's program was started.
    pub(crate) starts: BTreeMap<String, u32>,
    /// Those that run, and where.
    live: BTreeMap<String, (usize, Uuid)>,
    /// What agents said of the end of each.
    ends: BTreeMap<String, TaskState>,
    /// Those of which the services were told that they are over.
    over: BTreeSet<String>,
}

/// The part of a task's id that names the instance.
fn instance(task: &str) -> &str {
    task.split("._app").next().unwrap_or(task)
}

impl World {
    fn task_of(&self, agent: usize, container: Uuid) -> String {
        self.hosts[agent].names.get(&container).map(|task| task.info.id.to_string()).unwrap_or_default()
    }

    pub(crate) fn task_started(&mut self, agent: usize, container: Uuid) {
        let task = self.task_of(agent, container);
        self.note(|| format!("a{agent}: {task} runs"));
        let starts = self.truth.starts.entry(task.clone()).or_default();
        *starts += 1;
        if *starts > 1 {
            return self.fail(format!("P2, a task is started once: {task} again on a{agent}"));
        }
        if self.truth.over.contains(&task) {
            return self.fail(format!("P3, what was told to be over is: {task} starts on a{agent}"));
        }
        let twin = self.truth.live.keys().find(|live| instance(live) == instance(&task)).cloned();
        if let Some(twin) = twin {
            return self.fail(format!("P2, one task per instance: {task} beside {twin}"));
        }
        self.truth.live.insert(task, (agent, container));
    }

    pub(crate) fn task_ended(&mut self, agent: usize, container: Uuid) {
        let task = self.task_of(agent, container);
        self.note(|| format!("a{agent}: {task} ends"));
        self.truth.live.remove(&task);
    }

    /// The services are told something about a task.
    pub(crate) fn told(&mut self, status: &TaskStatus) {
        let (task, state) = (status.task.to_string(), status.state);
        self.note(|| format!("services are told: {task} {state} ({:?})", status.source));
        if state == TaskState::Unknown {
            self.truth.over.remove(&task);
            self.truth.ends.entry(task).or_insert(state);
            return;
        }
        if !state.is_terminal() {
            return;
        }
        if status.source == Source::Agent {
            let first = *self.truth.ends.entry(task.clone()).or_insert(state);
            if first != state && first != TaskState::Unknown && first.is_terminal() {
                return self.fail(format!("P3, a task ends once: {task} ended {first}, then {state}"));
            }
        }
        if let Some((agent, _)) = self.truth.live.get(&task) {
            return self
                .fail(format!("P3, what is told to be over is: {task} {state}, and runs on a{agent}"));
        }
        self.truth.over.insert(task);
    }

    /// P6: nobody uses or is offered more than there is.
    pub(crate) fn check_resources(&mut self) {
        let Ok(total) = RESOURCES.parse::<scheduler::Resources>() else { return };
        let mut wrong = None;
        for (agent, host) in self.hosts.iter().enumerate() {
            let mut used = scheduler::Resources::default();
            for container in host.running() {
                if let Some(task) = host.names.get(&container) {
                    used.add(&task.info.resources);
                }
            }
            if !total.contains(&used) {
                wrong = Some(format!("P6, tasks fit their host: a{agent} runs {used} of {total}"));
            }
        }
        for process in &self.masters {
            let Some(reign) = &process.reign else { continue };
            let pool = reign.master.pool();
            for agent in pool.agents() {
                let mut taken = scheduler::Resources::default();
                pool.used(agent).for_each(|(_, _, used)| taken.add(used));
                pool.offers()
                    .filter(|offer| offer.agent == agent.info().id)
                    .for_each(|offer| taken.add(&offer.resources));
                if !agent.info().total.contains(&taken) {
                    let id = &agent.info().id;
                    wrong =
                        Some(format!("P6, offers fit: {id} has {} and {taken} is taken", agent.info().total));
                }
            }
        }
        if let Some(wrong) = wrong {
            self.fail(wrong);
        }
    }

    /// Whether everybody agrees, and all is as it was asked for.
    pub(crate) fn settled(&self) -> Result<(), String> {
        let leader = self.masters.iter().enumerate().find_map(|(at, process)| {
            let reign = process.reign.as_ref().filter(|reign| reign.epoch == self.store.epoch)?;
            Some((at, reign))
        });
        let Some((leader, reign)) = leader else { return Err("nobody leads".to_owned()) };
        let zero = Moment { elapsed: std::time::Duration::ZERO, wall: Timestamp::from_millis(0) };
        let view = View::of(&reign.master, zero);
        for (at, host) in self.hosts.iter().enumerate() {
            let Some(state) = host.state() else { return Err(format!("a{at} is down")) };
            let stream = host.stream().and_then(|id| self.streams.get(&id));
            if !state.is_registered() || stream.is_none_or(|stream| stream.master != leader) {
                return Err(format!("a{at} is not registered with m{leader}"));
            }
            let known = host.id().and_then(|id| view.agents.get(id));
            if known.is_none_or(|agent| agent.state != AgentState::Active) {
                return Err(format!("the master does not know that a{at} is there"));
            }
            let mut used = scheduler::Resources::default();
            for task in state.tasks.values() {
                used.add(&task.info.resources);
                let id = task.info.id.to_string();
                if self.truth.live.get(&id).is_none_or(|(on, _)| *on != at) {
                    return Err(format!("a{at} has {id} in its book ({:?})", task.last_state()));
                }
                if !task.updates.pending.is_empty() {
                    return Err(format!("a{at} has something to say of {id}"));
                }
            }
            let pooled = host.id().and_then(|id| reign.master.pool().agent(id));
            let mut sum = scheduler::Resources::default();
            for (_, _, part) in pooled.into_iter().flat_map(|agent| reign.master.pool().used(agent)) {
                sum.add(part);
            }
            if sum != used {
                return Err(format!("of a{at} {sum} is booked, and {used} used"));
            }
        }
        for ((_, task), known) in &view.tasks {
            let id = task.to_string();
            let on = self.truth.live.get(&id).and_then(|(on, _)| self.hosts[*on].id());
            if on != Some(&known.info.agent) || known.status.state != TaskState::Running {
                return Err(format!("the master has {id} as {}", known.status.state));
            }
        }
        if view.tasks.size() != self.truth.live.len() {
            return Err(format!("the master has {} tasks of {}", view.tasks.size(), self.truth.live.len()));
        }
        let deployments = reign.services.deployment_views();
        if let Some(deployment) = deployments.first() {
            return Err(format!("deployment {:?} goes on", deployment.current_actions));
        }
        let mut wanted = 0;
        for app in self.clients.apps() {
            let Some(seen) = reign.services.app_view(&app) else { continue };
            let instances = seen.app.as_ref().map_or(0, |app| app.instances as usize);
            wanted += instances;
            if seen.tasks.len() != instances {
                return Err(format!(
                    "{app} has {} tasks of {instances}: {:?}",
                    seen.tasks.len(),
                    seen.queued
                ));
            }
            for task in &seen.tasks {
                if task.state != "TASK_RUNNING" || !self.truth.live.contains_key(&task.id.to_string()) {
                    return Err(format!("{} is {} for the services", task.id, task.state));
                }
            }
        }
        if wanted != self.truth.live.len() {
            return Err(format!("{} tasks run, and {wanted} are wanted", self.truth.live.len()));
        }
        Ok(())
    }

    /// When all is at rest: nothing was forgotten, and nothing lost.
    pub(crate) fn check_end(&mut self) {
        let forgotten = self.truth.starts.keys().find(|task| {
            !self.truth.live.contains_key(*task)
                && !self.truth.over.contains(*task)
                && !self.truth.ends.contains_key(*task)
        });
        if let Some(task) = forgotten.cloned() {
            return self.fail(format!("P3, no task is lost silently: nobody heard of the end of {task}"));
        }
        let epoch = self.store.epoch;
        let at = self.masters.iter().position(|p| p.reign.as_ref().is_some_and(|r| r.epoch == epoch));
        let Some(at) = at else { return };
        let Some(reign) = self.masters[at].reign.take() else { return };
        self.check_clients(&reign.services);
        self.masters[at].reign = Some(reign);
    }
}
