//! Questions of frameworks about tasks (§3, Reconcile).

use api::mesos::{Event, Reason, Source, TaskKey, TaskState, TaskStatus};
use scheduler::{AgentId, FrameworkId};

use super::{Agent, AgentState, TaskId, Turn};

/// A status as the answer to a question: it need not be acknowledged.
pub(super) fn answer(status: &TaskStatus) -> TaskStatus {
    TaskStatus { source: Source::Master, reason: Some(Reason::Reconciliation), uuid: None, ..status.clone() }
}

impl Turn<'_> {
    /// About these tasks, or about all.
    pub(super) fn reconcile(&mut self, framework: &FrameworkId, tasks: Vec<(TaskKey, Option<AgentId>)>) {
        if tasks.is_empty() {
            for id in self.tasks_of_framework(framework) {
                self.reconcile_one(&id, None);
            }
            return;
        }
        for (task, agent) in tasks {
            self.reconcile_one(&(framework.clone(), task), agent.as_ref());
        }
    }

    pub(super) fn reconcile_one(&mut self, id: &TaskId, agent: Option<&AgentId>) {
        let status = match self.state.tasks.get(id) {
            Some(task) => answer(&task.status),
            None => match self.unknown_task(agent) {
                Some((state, text)) => self.own_status(&id.1, agent, state, Reason::Reconciliation, text),
                // Whoever has it may be about to say so.
                None => return,
            },
        };
        self.send_framework(&id.0, Event::Update(status));
    }

    /// What is to be said of a task that the master does not know.
    fn unknown_task(&self, agent: Option<&AgentId>) -> Option<(TaskState, String)> {
        let Some(id) = agent else {
            // It may be on any agent that has not come back yet.
            let waits = self.state.agents.values().any(|agent| is_awaited(agent));
            return (!waits).then(|| (TaskState::Unknown, "the task is not known".to_owned()));
        };
        match self.state.agents.get(id) {
            None => Some((TaskState::Unknown, format!("neither the task nor agent {id} is known"))),
            Some(agent) if is_awaited(agent) => None,
            Some(agent) if agent.state == AgentState::Unreachable => {
                Some((TaskState::Unreachable, format!("agent {id} does not answer")))
            }
            Some(_) => Some((TaskState::Gone, format!("agent {id} does not have the task"))),
        }
    }
}

/// What it has is not known yet, but may be soon.
fn is_awaited(agent: &Agent) -> bool {
    agent.state == AgentState::Recovering || (agent.state != AgentState::Unreachable && !agent.proved)
}
