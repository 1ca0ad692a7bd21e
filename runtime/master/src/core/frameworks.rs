//! Frameworks subscribe, fall silent, come back and go.

use std::collections::BTreeSet;

use api::mesos::{Call, Event, FrameworkInfo};
use scheduler::{FrameworkId, Role};

use super::records::{counters_record, framework_record};
use super::{Effect, Framework, FrameworkState, ToAgent, Turn};

/// A framework whose id is being recorded.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    id: FrameworkId,
    info: FrameworkInfo,
    /// `None` when it hung up meanwhile.
    pub(super) channel: Option<u64>,
}

impl Turn<'_> {
    /// A framework subscribes. One that the store knows, by id or else by name, goes on; another one is recorded first.
    pub(super) fn subscribe(&mut self, channel: u64, mut info: FrameworkInfo) {
        self.count_call("SUBSCRIBE");
        if info.roles.is_empty() {
            info.roles.push(Role::star());
        }
        let known = info.id.clone().or_else(|| self.state.names.get(&info.name).cloned());
        if let Some(id) = known.filter(|id| self.state.frameworks.contains_key(id)) {
            return self.resubscribe(channel, &id, info);
        }
        let same = |pending: &&mut Pending| match &info.id {
            Some(id) => pending.id == *id,
            None => pending.info.name == info.name,
        };
        if let Some(pending) = self.state.subscriptions.values_mut().find(same) {
            pending.info = info;
            if let Some(older) = pending.channel.replace(channel) {
                self.end_channel(older, "Framework failed over");
            }
            return;
        }
        let id = match &info.id {
            Some(id) => id.clone(),
            None => {
                let id = FrameworkId::from(format!("{}-{:04}", self.state.master, self.state.next_framework));
                self.state.next_framework += 1;
                id
            }
        };
        let batch = framework_record(store::Batch::new(), &id, &info, false);
        match batch.and_then(|batch| counters_record(batch, self.state)) {
            Ok(batch) => {
                let ticket = self.commit(id.as_str(), batch);
                self.state.subscriptions.insert(ticket, Pending { id, info, channel: Some(channel) });
            }
            Err(error) => self.end_channel(channel, &format!("the framework cannot be recorded: {error}")),
        }
    }

    /// The framework is on record: it may be told.
    pub(super) fn subscription_recorded(&mut self, pending: Pending) {
        let Pending { id, mut info, channel } = pending;
        info.id = Some(id.clone());
        self.state.names.insert(info.name.clone(), id.clone());
        let framework = Framework {
            id: id.clone(),
            info,
            state: FrameworkState::Disconnected,
            registered: None,
            reregistered: None,
            unregistered: None,
            channel: None,
        };
        self.state.frameworks.insert_mut(id.clone(), framework.into());
        if let Some(channel) = channel {
            self.activate(channel, &id);
        }
    }

    fn resubscribe(&mut self, channel: u64, id: &FrameworkId, mut info: FrameworkInfo) {
        info.id = Some(id.clone());
        let Some(framework) = self.framework_mut(id) else { return };
        if framework.state == FrameworkState::Removed {
            return self.end_channel(channel, "Framework has been removed");
        }
        let older = framework.channel.take();
        let before = std::mem::replace(&mut framework.info, info.clone());
        if let Some(older) = older {
            self.end_channel(older, "Framework failed over");
        }
        if before != info {
            if before.name != info.name {
                self.state.names.remove(&before.name);
                self.state.names.insert(info.name.clone(), id.clone());
            }
            match framework_record(store::Batch::new(), id, &info, false) {
                Ok(batch) => {
                    self.commit(id.as_str(), batch);
                }
                Err(error) => self.note(format!("framework {id} cannot be recorded: {error}")),
            }
        }
        self.activate(channel, id);
    }

    /// From now on the framework is heard on this channel, and told what it missed.
    fn activate(&mut self, channel: u64, id: &FrameworkId) {
        let wall = self.now.wall;
        let Some(framework) = self.framework_mut(id) else { return };
        framework.state = FrameworkState::Active;
        framework.channel = Some(channel);
        match framework.registered {
            None => framework.registered = Some(wall),
            Some(_) => framework.reregistered = Some(wall),
        }
        let roles = framework.info.roles.clone();
        self.state.channels.insert(channel, id.clone());
        let master = self.state.master.clone();
        let event = Event::Subscribed { framework: id.clone(), master };
        self.effects.push(Effect::SendFramework { channel, event });
        let info = scheduler::FrameworkInfo { id: id.clone(), roles, suppressed: BTreeSet::new() };
        self.pool(scheduler::Event::FrameworkAdded(info));
        for status in self.state.untold.remove(id).unwrap_or_default().into_values() {
            self.effects.push(Effect::SendFramework { channel, event: Event::Update(status) });
        }
        for task in self.tasks_of_framework(id) {
            let health = self.state.tasks.get(&task).map(|task| task.health.clone()).unwrap_or_default();
            for report in health.into_values() {
                self.effects.push(Effect::SendFramework { channel, event: Event::Health(report) });
            }
            self.tell_peers(&task);
        }
    }

    /// Says why, and ends a channel. If a framework was heard on it, that is not any more.
    pub(super) fn end_channel(&mut self, channel: u64, why: &str) {
        self.state.channels.remove(&channel);
        self.effects.push(Effect::SendFramework { channel, event: Event::Error(why.to_owned()) });
        self.effects.push(Effect::CloseFramework { channel });
    }

    /// A channel is over: the framework's offers are taken back, its tasks run on.
    pub(super) fn close_channel(&mut self, channel: u64) {
        let waiting = self.state.subscriptions.values_mut().find(|waits| waits.channel == Some(channel));
        if let Some(pending) = waiting {
            pending.channel = None;
            return;
        }
        let Some(id) = self.state.channels.remove(&channel) else { return };
        let wall = self.now.wall;
        if let Some(framework) = self.framework_mut(&id) {
            framework.state = FrameworkState::Disconnected;
            framework.channel = None;
            framework.unregistered = Some(wall);
        }
        self.pool(scheduler::Event::FrameworkDeactivated(id));
    }

    fn count_call(&mut self, name: &'static str) {
        *self.state.counters.calls.entry(name).or_default() += 1;
    }

    /// A framework asks for something. Nothing is heard on a channel that is over, or not subscribed yet.
    pub(super) fn call(&mut self, channel: u64, call: Call) {
        let Some(framework) = self.state.channels.get(&channel).cloned() else { return };
        self.count_call(call_name(&call));
        match call {
            Call::Accept { offers, tasks, filter } => self.accept(&framework, &offers, tasks, filter),
            Call::Decline { offers, filter } => self.decline(&framework, &offers, filter),
            Call::Revive(roles) => self.pool(scheduler::Event::Revive { framework, roles }),
            Call::Suppress(roles) => self.pool(scheduler::Event::Suppress { framework, roles }),
            Call::Kill { task, agent, grace } => self.kill(&framework, task, agent.as_ref(), grace),
            Call::Acknowledge { agent, task, uuid } => self.acknowledge(&framework, &agent, task, uuid),
            Call::Reconcile(tasks) => self.reconcile(&framework, tasks),
            Call::Peers { task, peers } => self.peers(framework, task, peers),
            Call::Teardown => self.teardown(channel, &framework),
        }
    }

    /// A framework goes for good: its id is not given or taken again, its tasks are killed wherever they turn up.
    fn teardown(&mut self, channel: u64, id: &FrameworkId) {
        let wall = self.now.wall;
        let Some(framework) = self.framework_mut(id) else { return };
        framework.state = FrameworkState::Removed;
        framework.channel = None;
        framework.unregistered = Some(wall);
        let info = framework.info.clone();
        if self.state.names.get(&info.name) == Some(id) {
            self.state.names.remove(&info.name);
        }
        self.state.untold.remove(id);
        match framework_record(store::Batch::new(), id, &info, true) {
            Ok(batch) => {
                self.commit(id.as_str(), batch);
            }
            Err(error) => self.note(format!("the end of framework {id} cannot be recorded: {error}")),
        }
        self.pool(scheduler::Event::FrameworkRemoved(id.clone()));
        for (framework, task) in self.tasks_of_framework(id) {
            let key = (framework.clone(), task.clone());
            let Some(known) = self.task_mut(&key).filter(|known| !known.status.state.is_terminal()) else {
                // Its end will be acknowledged by nobody else.
                self.settle_for_removed(&key);
                continue;
            };
            known.kill = Some(None);
            let agent = known.info.agent.clone();
            self.send_agent(&agent, ToAgent::Kill { framework, task, grace: None });
        }
        self.state.channels.remove(&channel);
        self.effects.push(Effect::CloseFramework { channel });
    }

    /// The tasks of a framework, in order.
    pub(super) fn tasks_of_framework(&self, id: &FrameworkId) -> Vec<super::TaskId> {
        let all = self.state.on_agent.values().flatten();
        all.filter(|(framework, _)| framework == id).cloned().collect()
    }
}

const fn call_name(call: &Call) -> &'static str {
    match call {
        Call::Accept { .. } => "ACCEPT",
        Call::Decline { .. } => "DECLINE",
        Call::Revive(_) => "REVIVE",
        Call::Suppress(_) => "SUPPRESS",
        Call::Kill { .. } => "KILL",
        Call::Acknowledge { .. } => "ACKNOWLEDGE",
        Call::Reconcile(_) => "RECONCILE",
        Call::Peers { .. } => "MESSAGE",
        Call::Teardown => "TEARDOWN",
    }
}
