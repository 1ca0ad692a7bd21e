//! What becomes of tasks: updates, acknowledgements, kills, ends.

use std::time::Duration;

use api::marathon::Uuid;
use api::mesos::{Event, HealthReport, Peers, Reason, Source, TaskKey, TaskState, TaskStatus};
use scheduler::{AgentId, FrameworkId};

use super::{Agent, AgentState, Effect, Task, TaskId, ToAgent, Turn};

/// Statuses that are kept for a framework which is not subscribed, and kills of tasks that may turn up. Beyond that it
/// has to ask again.
const MAX_UNTOLD: usize = 100_000;

/// How far a task has come: news that would take it back is old.
const fn rank(state: TaskState) -> u8 {
    match state {
        TaskState::Unreachable | TaskState::Unknown => 0,
        TaskState::Staging => 1,
        TaskState::Starting => 2,
        TaskState::Running => 3,
        TaskState::Killing => 4,
        _ => 5,
    }
}

impl Turn<'_> {
    /// An agent has news of a task. It sends each until it is acknowledged.
    pub(super) fn update(&mut self, agent: &AgentId, framework: &FrameworkId, status: TaskStatus) {
        self.state.counters.updates += 1;
        if !self.state.frameworks.contains_key(framework) {
            self.state.counters.updates_unknown += 1;
            return self.note(format!("agent {agent} has news of a task of {framework}, which is not known"));
        }
        let id = (framework.clone(), status.task.clone());
        let (uuid, removed) = (status.uuid, self.is_removed(framework));
        if self.was_acknowledged(&id, uuid) {
            self.state.counters.updates_repeated += 1;
            if let Some(uuid) = uuid {
                self.acknowledge_to(agent, &id, uuid);
            }
            return;
        }
        let known = self.state.tasks.get(&id).map(|task| (task.info.agent == *agent, task.unacknowledged));
        match known {
            Some((false, _)) => {
                return self.note(format!("agent {agent} has news of task {}, which is elsewhere", id.1));
            }
            Some((true, last)) => {
                if uuid.is_some() && last == uuid {
                    self.state.counters.updates_repeated += 1;
                } else {
                    self.apply(&id, status.clone());
                    if let Some(task) = self.task_mut(&id) {
                        task.unacknowledged = uuid;
                    }
                }
            }
            None => {}
        }
        if removed {
            // Nobody else will.
            if let Some(uuid) = uuid {
                self.settle(agent, &id, uuid);
            }
            return;
        }
        self.send_framework(framework, Event::Update(status));
    }

    /// Notes what an agent says of a task, unless something later is known already.
    pub(super) fn apply(&mut self, id: &TaskId, status: TaskStatus) {
        let Some(task) = self.task_mut(id) else { return };
        if task.status.state.is_terminal() || rank(status.state) < rank(task.status.state) {
            return;
        }
        let ended = status.state.is_terminal();
        let name = status.state.name();
        task.set_status(status);
        if ended {
            *self.state.counters.ended.entry(name).or_default() += 1;
            self.release(id);
        }
    }

    /// A task's end that the master states itself: said once, and the record is closed.
    pub(super) fn end(&mut self, id: &TaskId, status: TaskStatus) {
        let Some(task) = self.task_mut(id) else { return };
        task.set_status(status.clone());
        *self.state.counters.ended.entry(status.state.name()).or_default() += 1;
        self.release(id);
        self.complete(id);
        self.tell(&id.0, status);
    }

    /// A task that never reached its agent has failed.
    pub(super) fn launch_failed(&mut self, id: &TaskId, why: String) {
        let open = self.state.tasks.get(id).filter(|task| !task.status.state.is_terminal());
        let Some(agent) = open.map(|task| task.info.agent.clone()) else { return };
        let status = self.own_status(&id.1, Some(&agent), TaskState::Failed, Reason::TaskInvalid, why);
        self.end(id, status);
    }

    /// A task's resources are free again.
    fn release(&mut self, id: &TaskId) {
        let Some(task) = self.task_mut(id) else { return };
        if !std::mem::take(&mut task.counted) {
            return;
        }
        let (info, framework) = (task.info.clone(), id.0.clone());
        if self.state.pool.agent(&info.agent).is_some() {
            self.pool(scheduler::Event::Recovered {
                framework,
                role: info.role.clone(),
                agent: info.agent.clone(),
                resources: info.resources.clone(),
            });
            self.recount(&info.agent);
        }
    }

    pub(super) fn insert_task(&mut self, task: Task) {
        let id = task.id();
        self.state.on_agent.entry(task.info.agent.clone()).or_default().insert(id.clone());
        self.state.tasks.insert_mut(id, task.into());
    }

    /// A task has ended and its framework knows: it is kept for readers alone, for a while.
    pub(super) fn complete(&mut self, id: &TaskId) {
        let Some(task) = self.state.tasks.get(id).cloned() else { return };
        self.state.tasks.remove_mut(id);
        if let Some(tasks) = self.state.on_agent.get_mut(&task.info.agent) {
            tasks.remove(id);
            if tasks.is_empty() {
                self.state.on_agent.remove(&task.info.agent);
            }
        }
        let order = self.state.completed_order.entry(id.0.clone()).or_default();
        if self.state.completed.contains_key(id) {
            order.retain(|known| *known != id.1);
        }
        order.push_back(id.1.clone());
        self.state.completed.insert_mut(id.clone(), task);
        while order.len() > self.state.config.completed_per_framework {
            if let Some(oldest) = order.pop_front() {
                self.state.completed.remove_mut(&(id.0.clone(), oldest));
            }
        }
    }

    /// Whether a framework has acknowledged this update of this task before.
    pub(super) fn was_acknowledged(&self, id: &TaskId, uuid: Option<Uuid>) -> bool {
        let task = self.state.tasks.get(id).or_else(|| self.state.completed.get(id));
        uuid.is_some() && task.is_some_and(|task| task.acknowledged == uuid)
    }

    pub(super) fn acknowledge_to(&mut self, agent: &AgentId, id: &TaskId, uuid: Uuid) {
        let (framework, task) = id.clone();
        self.send_agent(agent, ToAgent::Acknowledge { framework, task, uuid });
    }

    /// A framework has dealt with an update.
    pub(super) fn acknowledge(
        &mut self,
        framework: &FrameworkId,
        agent: &AgentId,
        task: TaskKey,
        uuid: Uuid,
    ) {
        let id = (framework.clone(), task);
        match self.state.tasks.get(&id) {
            Some(known) if known.unacknowledged == Some(uuid) && known.info.agent == *agent => {
                self.state.counters.acknowledgements += 1;
                self.settle(agent, &id, uuid);
            }
            Some(_) => self.state.counters.invalid_acknowledgements += 1,
            None => {
                self.state.counters.acknowledgements += 1;
                self.acknowledge_to(agent, &id, uuid);
            }
        }
    }

    /// An update was dealt with: the agent need not send it again, and the last one closes the record.
    fn settle(&mut self, agent: &AgentId, id: &TaskId, uuid: Uuid) {
        if let Some(task) = self.task_mut(id) {
            task.unacknowledged = None;
            task.acknowledged = Some(uuid);
            if task.status.state.is_terminal() && task.status.uuid == Some(uuid) {
                self.complete(id);
            }
        }
        self.acknowledge_to(agent, id, uuid);
    }

    /// A task of a removed framework has ended: nobody but the master acknowledges that.
    pub(super) fn settle_for_removed(&mut self, id: &TaskId) {
        let Some(task) = self.state.tasks.get(id) else { return };
        let (agent, uuid) = (task.info.agent.clone(), task.unacknowledged);
        if let Some(uuid) = uuid {
            self.settle(&agent, id, uuid);
        }
    }

    /// A check's result: kept for readers and passed on.
    pub(super) fn health(&mut self, agent: &AgentId, framework: &FrameworkId, mut report: HealthReport) {
        self.state.counters.health += 1;
        report.agent = agent.clone();
        let id = (framework.clone(), report.task.clone());
        if let Some(task) = self.task_mut(&id)
            && task.info.agent == *agent
        {
            task.health.insert(report.check, report.clone());
            self.send_framework(framework, Event::Health(report));
        }
    }

    /// A framework has other peers for a task. What does not reach its agent is the framework's to send again.
    pub(super) fn peers(&mut self, framework: FrameworkId, task: TaskKey, peers: Peers) {
        let id = (framework, task);
        let known = self.state.tasks.get(&id).filter(|known| !known.status.state.is_terminal());
        let Some(agent) = known.map(|known| known.info.agent.clone()) else { return };
        let (framework, task) = id;
        self.send_agent(&agent, ToAgent::Peers { framework, task, peers });
    }

    /// A sandbox tells of these peers.
    pub(super) fn peers_held(&mut self, agent: &AgentId, id: &TaskId, version: u64) {
        if let Some(task) = self.task_mut(id)
            && task.info.agent == *agent
        {
            task.peers = Some(version);
            self.tell_peers(id);
        }
    }

    /// A framework wants a task to end. An agent that is away hears of it when it is back.
    pub(super) fn kill(
        &mut self,
        framework: &FrameworkId,
        task: TaskKey,
        agent: Option<&AgentId>,
        grace: Option<Duration>,
    ) {
        let id = (framework.clone(), task);
        let Some(known) = self.task_mut(&id) else {
            self.wish(&id, agent, grace);
            return self.reconcile_one(&id, agent);
        };
        let on = known.info.agent.clone();
        if known.status.state.is_terminal() {
            return self.reconcile_one(&id, Some(&on));
        }
        known.kill = Some(grace);
        let kill = ToAgent::Kill { framework: id.0.clone(), task: id.1.clone(), grace };
        if !self.send_agent(&on, kill)
            && self.state.agents.get(&on).is_some_and(|agent| agent.state == AgentState::Unreachable)
        {
            self.reconcile_one(&id, Some(&on));
        }
    }

    /// A task that is not known, but may be on an agent that is away: it is killed when it turns up.
    fn wish(&mut self, id: &TaskId, agent: Option<&AgentId>, grace: Option<Duration>) {
        let away = |agent: &Agent| matches!(agent.state, AgentState::Recovering | AgentState::Unreachable);
        let may_be = match agent {
            Some(agent) => self.state.agents.get(agent).is_some_and(|agent| away(agent)),
            None => self.state.agents.values().any(|agent| away(agent)),
        };
        if may_be && self.state.wishes.len() < MAX_UNTOLD {
            self.state.wishes.insert(id.clone(), grace);
        }
    }

    /// Says something about a task of the master's own accord: now, or when its framework is there again.
    pub(super) fn tell(&mut self, framework: &FrameworkId, status: TaskStatus) {
        if let Some(channel) = self.channel_of(framework) {
            self.effects.push(Effect::SendFramework { channel, event: Event::Update(status) });
        } else if !self.is_removed(framework) {
            let untold = self.state.untold.entry(framework.clone()).or_default();
            if untold.len() < MAX_UNTOLD || untold.contains_key(&status.task) {
                untold.insert(status.task.clone(), status);
            }
        }
    }

    /// A status that the master makes itself.
    pub(super) fn own_status(
        &self,
        task: &TaskKey,
        agent: Option<&AgentId>,
        state: TaskState,
        reason: Reason,
        message: impl Into<String>,
    ) -> TaskStatus {
        TaskStatus {
            task: task.clone(),
            state,
            message: Some(message.into()),
            source: Source::Master,
            reason: Some(reason),
            agent: agent.cloned(),
            uuid: None,
            healthy: None,
            timestamp: self.now.wall,
            addresses: Vec::new(),
        }
    }
}
