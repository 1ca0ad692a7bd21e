//! What an agent says it has, against what the master thinks it has.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::mesos::{Event, Reason, TaskState};
use scheduler::{AgentId, AgentInfo, Used};

use super::{AgentState, Framework, FrameworkState, Report, Task, TaskId, ToAgent, Turn, Uses};

impl Turn<'_> {
    /// The agent is back, or new: its list of tasks is the truth about what is there.
    pub(super) fn take_over(&mut self, id: &AgentId, tasks: Vec<Report>, was: AgentState, changed: bool) {
        let listed: BTreeMap<TaskId, Report> =
            tasks.into_iter().map(|task| ((task.framework.clone(), task.info.id.clone()), task)).collect();
        for task in self.tasks_of(id) {
            if !listed.contains_key(&task) {
                self.missing(&task);
            }
        }
        let mut news = Vec::new();
        for (task, report) in listed {
            if self.listed(id, &task, report, was) {
                news.push(task);
            }
        }
        self.sync_pool(id, changed);
        for task in news {
            self.tell_again(&task);
        }
        for task in self.tasks_of(id) {
            self.tell_peers(&task);

            let killed = self.state.tasks.get(&task).filter(|known| !known.status.state.is_terminal());
            if let Some(grace) = killed.and_then(|known| known.kill) {
                let (framework, key) = task;
                self.send_agent(id, ToAgent::Kill { framework, task: key, grace });
            }
        }
    }

    /// The agent does not have a task that the master thinks it has.
    fn missing(&mut self, id: &TaskId) {
        let Some(task) = self.state.tasks.get(id) else { return };
        let (state, text) = match task.status.state {
            ended if ended.is_terminal() => {
                // Its end was reported, and the agent has forgotten it since: nothing will be sent again.
                let mut status = task.status.clone();
                status.uuid = None;
                self.complete(id);
                return self.tell(&id.0, status);
            }
            TaskState::Staging => (TaskState::Dropped, "the launch did not reach the agent"),
            _ => (TaskState::Gone, "the agent came back without it"),
        };
        let agent = task.info.agent.clone();
        let status = self.own_status(&id.1, Some(&agent), state, Reason::AgentReregistered, text);
        self.end(id, status);
    }

    /// The agent has a task. True when its framework is to be told.
    fn listed(&mut self, agent: &AgentId, id: &TaskId, mut report: Report, was: AgentState) -> bool {
        for one in &mut report.health {
            one.agent = agent.clone();
        }
        let removed = self.is_removed(&id.0);
        let ended = report.status.state.is_terminal();
        let known = self.state.tasks.get(id).map(|task| task.info.agent == *agent);
        if let Some(uuid) = report.status.uuid
            && (self.was_acknowledged(id, Some(uuid)) || (removed && ended))
        {
            self.acknowledge_to(agent, id, uuid);
        }
        if known.is_none() && ended && (removed || self.was_acknowledged(id, report.status.uuid)) {
            return false;
        }
        match known {
            Some(false) => {
                self.note(format!("task {} of {} is on two agents; {agent} is not believed", id.1, id.0));
                false
            }
            Some(true) => {
                let before = self.state.tasks.get(id).map(|task| task.status.state);
                if let Some(task) = self.task_mut(id) {
                    task.health.extend(report.health.into_iter().map(|one| (one.check, one)));
                    task.directory = report.directory;
                    task.peers = report.peers;
                }
                self.apply(id, report.status);
                let after = self.state.tasks.get(id).map(|task| task.status.state);
                was == AgentState::Unreachable || before != after
            }
            None => {
                self.learn(agent, id, report, removed);
                !removed
            }
        }
    }

    /// A task that the master did not know of, since an earlier master launched it.
    fn learn(&mut self, agent: &AgentId, id: &TaskId, report: Report, removed: bool) {
        let mut info = report.info;
        if info.agent != *agent {
            Arc::make_mut(&mut info).agent = agent.clone();
        }
        self.state.next_task += 1;
        let wish = self.state.wishes.remove(id);
        let task = Task {
            framework: id.0.clone(),
            info,
            history: vec![(report.status.state, report.status.timestamp)],
            number: self.state.next_task,
            health: report.health.into_iter().map(|one| (one.check, one)).collect(),
            directory: report.directory,
            peers: report.peers,
            counted: !report.status.state.is_terminal(),
            status: report.status,
            unacknowledged: None,
            acknowledged: None,
            // A framework that is gone has ended all its tasks.
            kill: removed.then_some(None).or(wish),
        };
        self.insert_task(task);
    }

    /// Says the state of a task, as an answer to a question that nobody asked.
    fn tell_again(&mut self, id: &TaskId) {
        let Some(task) = self.state.tasks.get(id) else { return };
        let (status, health) = (super::reconcile::answer(&task.status), task.health.clone());
        self.tell(&id.0, status);
        for report in health.into_values() {
            self.send_framework(&id.0, Event::Health(report));
        }
    }

    /// Says which peers a sandbox tells of, so that others are sent again where they got lost.
    pub(super) fn tell_peers(&mut self, id: &TaskId) {
        let Some(version) = self.state.tasks.get(id).and_then(|task| task.peers) else { return };
        self.send_framework(&id.0, Event::PeersHeld { task: id.1.clone(), version });
    }

    /// Makes the pool's agent as the registry's: its resources, place, and what is used of it.
    fn sync_pool(&mut self, id: &AgentId, changed: bool) {
        let Some(agent) = self.state.agents.get(id) else { return };
        let info =
            AgentInfo { id: id.clone(), host: (*agent.facts.host).clone(), total: agent.facts.total.clone() };
        let mut wanted = Uses::new();
        for task in self.tasks_of(id) {
            if let Some(task) = self.state.tasks.get(&task).filter(|task| task.counted) {
                let part = wanted.entry((task.framework.clone(), task.info.role.clone())).or_default();
                part.add(&task.info.resources);
            }
        }
        let pooled = self.state.pool.agent(id).map(|agent| {
            let used = self.state.pool.used(agent);
            used.map(|(framework, role, used)| ((framework.clone(), role.clone()), used.clone()))
                .collect::<Uses>()
        });
        if pooled.as_ref() == Some(&wanted) {
            if changed {
                self.pool(scheduler::Event::AgentUpdated(info));
            }
        } else {
            if pooled.is_some() {
                self.pool(scheduler::Event::AgentRemoved(id.clone()));
            }
            let used = wanted.into_iter();
            let used = used.map(|((framework, role), resources)| Used { framework, role, resources });
            self.pool(scheduler::Event::AgentAdded { agent: info, used: used.collect() });
        }
        self.pool(scheduler::Event::AgentReachable(id.clone()));
        self.recount(id);
    }

    pub(super) fn is_removed(&self, framework: &scheduler::FrameworkId) -> bool {
        let known = self.state.frameworks.get(framework).map(|known| -> &Framework { known });
        known.is_some_and(|known| known.state == FrameworkState::Removed)
    }
}
