//! Whether what is recorded is what runs: questions to the master after every subscription, again and again while
//! anything is unconfirmed, and for all from time to time.

use std::collections::BTreeSet;
use std::time::Duration;

use api::marathon::{AppId, Event};
use api::mesos::{Call, TaskKey};
use scheduler::{AgentId, FrameworkId};

use super::record;
use super::state::Instance;
use super::turn::Turn;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);
const ALL: Duration = Duration::from_secs(600);

/// The connection to the master.
#[derive(Debug, Clone, Default)]
pub(crate) struct Link {
    pub(crate) connected: bool,
    pub(crate) master: String,
    pub(crate) suppressed: bool,
    /// Apps that offers were asked for.
    pub(crate) ready: BTreeSet<AppId>,
    /// When to ask again about what is unconfirmed, and how long after that.
    again: Duration,
    wait: Duration,
    all_at: Duration,
}

pub(crate) fn subscribed(turn: &mut Turn<'_>, framework: &FrameworkId, master: String) {
    let known = turn.state.framework.as_ref() == Some(framework);
    if !known {
        turn.put(record::framework_key(), framework.as_str().as_bytes().to_vec());
        turn.state.framework = Some(framework.clone());
    }
    let (framework_id, address) = (framework.to_string(), master.clone());
    turn.publish(if known {
        Event::SchedulerReregistered { framework_id, master: address }
    } else {
        Event::SchedulerRegistered { framework_id, master: address }
    });
    let now = turn.now.elapsed;
    turn.state.link = Link {
        connected: true,
        master,
        again: now + FIRST,
        wait: FIRST,
        all_at: now + ALL,
        ..Link::default()
    };
    super::peers::subscribed(turn.state, now);
    // What was asked of an earlier subscription may be lost.
    let apps: Vec<AppId> = turn.state.apps.keys().cloned().collect();
    for entry in turn.state.apps.values_mut() {
        entry.instances.values_mut().for_each(|instance| instance.kill_asked = None);
    }
    apps.iter().for_each(|app| turn.state.touch(app));
    ask_all(turn);
}

pub(crate) fn disconnected(turn: &mut Turn<'_>) {
    if std::mem::take(&mut turn.state.link.connected) {
        let framework_id = turn.state.framework.as_ref().map(ToString::to_string).unwrap_or_default();
        let master = turn.state.link.master.clone();
        turn.publish(Event::SchedulerDisconnected { framework_id, master });
    }
}

pub(crate) fn agent_lost(turn: &mut Turn<'_>, agent: &AgentId) {
    let agent = agent.clone();
    ask(turn, |instance| instance.agent == agent);
}

pub(crate) fn tick(turn: &mut Turn<'_>) {
    if !turn.state.link.connected {
        return;
    }
    let now = turn.now.elapsed;
    if now >= turn.state.link.all_at {
        turn.state.link.all_at = now + ALL;
        ask_all(turn);
    } else if now >= turn.state.link.again {
        let due = |instance: &Instance| !instance.confirmed && now >= instance.known_since + FIRST;
        if turn.state.timed().flat_map(|entry| entry.instances.values()).any(due) {
            turn.state.link.wait = (turn.state.link.wait * 2).min(LONGEST);
            ask(turn, due);
        } else {
            turn.state.link.wait = FIRST;
        }
        turn.state.link.again = now + turn.state.link.wait;
    }
}

/// About what is recorded, and about what runs without being recorded: the answers to an empty list are all tasks.
fn ask_all(turn: &mut Turn<'_>) {
    ask(turn, |_| true);
    if turn.state.link.connected {
        turn.call(Call::Reconcile(Vec::new()));
    }
}

/// Asks about those instances. None is asked about before its launch was sent: calls keep their order.
fn ask(turn: &mut Turn<'_>, which: impl Fn(&Instance) -> bool) {
    if !turn.state.link.connected {
        return;
    }
    let tasks: Vec<(TaskKey, Option<AgentId>)> = turn
        .state
        .instances()
        .filter(|instance| which(instance))
        .map(|instance| (instance.key.clone(), Some(instance.agent.clone())))
        .collect();
    // An empty list would mean all tasks.
    if !tasks.is_empty() {
        turn.call(Call::Reconcile(tasks));
    }
}
