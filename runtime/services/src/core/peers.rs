//! Whom tasks work with. Apps whose label [`LABEL`] has the same value are peers: the sandbox of each instance has a list of all
//! of them, as of its launch, and later lists as messages.
//!
//! A message may get lost, so what counts is what agents say that sandboxes hold: whoever holds something else is sent the list
//! again. Changes are waited for a moment, the longer the more members there are, so that a scaling is not told instance by
//! instance.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use api::marathon::{AppId, Condition, TaskId};
use api::mesos::{Call, Peers, TaskInfo, TaskKey, TaskState};
use serde_json::json;

use super::state::{Instance, State};
use super::turn::Turn;

/// The label by which apps are peers.
pub(crate) const LABEL: &str = "CLUSTERCTL_PEERS";
/// What is said of a change together: what comes within this time, and this much more for each member.
const GAP: Duration = Duration::from_millis(500);
const GAP_EACH: Duration = Duration::from_millis(10);
const LONGEST_GAP: Duration = Duration::from_secs(10);
/// What was sent is waited for so long, then doubly.
const AGAIN: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// So many bytes are sent from one tick to the next, about.
const MOST_SENT: usize = 4 << 20;
/// A list is no longer than this, about: an agent takes descriptions of 1 MiB.
const MOST_LISTED: usize = 384 << 10;

/// What an instance's sandbox is known to hold, and was sent.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    pub(crate) held: Option<u64>,
    sent: Option<Sent>,
}

#[derive(Debug, Clone, Copy)]
struct Sent {
    version: u64,
    at: Duration,
    tries: u32,
}

/// All groups of peers.
#[derive(Debug, Default)]
pub(crate) struct Book {
    groups: BTreeMap<String, Group>,
    /// Of each app, the groups that its instances are in.
    of: BTreeMap<AppId, BTreeSet<String>>,
    /// Apps of which something changed since their groups were looked at.
    touched: BTreeSet<AppId>,
}

#[derive(Debug, Default)]
struct Group {
    apps: BTreeSet<AppId>,
    /// How many members there were when it was last looked at.
    size: u32,
    version: Option<u64>,
    /// When it is to be looked at.
    due: Option<Duration>,
}

impl Group {
    fn hurry(&mut self, now: Duration) {
        let at = now + gap(self.size);
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }
}

impl Book {
    /// Something of the app may be other than it was.
    pub(crate) fn touch(&mut self, app: &AppId) {
        if !self.touched.contains(app) {
            self.touched.insert(app.clone());
        }
    }
}

fn gap(members: u32) -> Duration {
    GAP.saturating_add(GAP_EACH.saturating_mul(members)).min(LONGEST_GAP)
}

fn wait(tries: u32) -> Duration {
    AGAIN.saturating_mul(1 << tries.min(16)).min(LONGEST_WAIT)
}

fn group_of(instance: &Instance) -> Option<&str> {
    instance.spec.labels.get(LABEL).map(String::as_str).filter(|group| !group.is_empty())
}

/// `web-0`: what an instance is called among those of its app.
pub(crate) fn instance_name(instance: &Instance) -> String {
    let last = instance.id.app.path().elements().last().unwrap_or_default();
    format!("{last}-{}", instance.index)
}

/// Brings the groups up to what instances there are.
fn note(state: &mut State, now: Duration) {
    for app in std::mem::take(&mut state.peers.touched) {
        let instances = state.apps.get(&app).into_iter().flat_map(|entry| entry.instances.values());
        let groups: BTreeSet<String> = instances.filter_map(group_of).map(str::to_owned).collect();
        let before = if groups.is_empty() {
            state.peers.of.remove(&app)
        } else {
            state.peers.of.insert(app.clone(), groups.clone())
        };
        for name in before.unwrap_or_default().difference(&groups) {
            let Some(group) = state.peers.groups.get_mut(name) else { continue };
            group.apps.remove(&app);
            group.hurry(now);
            if group.apps.is_empty() {
                state.peers.groups.remove(name);
            }
        }
        for name in groups {
            let group = state.peers.groups.entry(name).or_default();
            group.apps.insert(app.clone());
            group.hurry(now);
        }
    }
}

fn members<'s>(state: &'s State, group: &'s str) -> Vec<&'s Instance> {
    let apps = state.peers.groups.get(group).into_iter().flat_map(|group| &group.apps);
    let entries = apps.filter_map(|app| state.apps.get(app));
    let instances = entries.flat_map(|entry| entry.instances.values());
    let mut members: Vec<&Instance> =
        instances.filter(|instance| group_of(instance) == Some(group)).collect();
    // Of two with one index, since the older one is ending, the order is that of their ids.
    members.sort_by_key(|member| (&member.id.app, member.index, member.id.uuid));
    members
}

/// The state in a word that stays the same while nothing changes for those who would connect.
fn word(instance: &Instance) -> &'static str {
    match instance.state {
        _ if instance.is_unreachable() => "unreachable",
        _ if instance.killing || instance.state == TaskState::Killing => "killing",
        TaskState::Running => "running",
        // An earlier leader launched it, and nothing was heard of it yet: most likely it goes on as it did.
        _ if instance.condition == Condition::Unknown => "running",
        _ => "staging",
    }
}

/// The files of a group.
fn files(group: &str, members: &[&Instance]) -> Peers {
    let (mut listed, mut lines, mut bytes) = (Vec::new(), String::new(), 0);
    for member in members {
        let (name, host) = (instance_name(member), member.addresses.first().unwrap_or(&member.address));
        let app = member.id.app.as_str();
        let entry = json!({
            "app": app,
            "index": member.index,
            "name": name,
            "task": member.task.to_string(),
            "host": host.to_string(),
            "ports": member.ports,
            "state": word(member),
        });
        let mut line = format!("{app}\t{}\t{name}\t{host}", member.index);
        for port in &member.ports {
            line.push_str(&format!("\t{port}"));
        }
        bytes += entry.to_string().len() + line.len() + 2;
        if bytes > MOST_LISTED {
            break;
        }
        listed.push(entry);
        lines.push_str(&line);
        lines.push('\n');
    }
    let left_out = members.len() - listed.len();
    let mut all = json!({"peers": group, "members": listed});
    if let (true, Some(all)) = (left_out > 0, all.as_object_mut()) {
        all.insert("left_out".to_owned(), left_out.into());
    }
    let json = all.to_string();
    Peers { version: sum(json.as_bytes()), json: json.into(), tsv: lines.into() }
}

/// FNV-1a: equal for equal lists, whoever leads and whatever was built.
fn sum(bytes: &[u8]) -> u64 {
    let step = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

/// Gives tasks that are about to be launched their lists, in which they all are.
pub(crate) fn give<'t>(turn: &mut Turn<'_>, tasks: impl Iterator<Item = &'t mut TaskInfo>) {
    let mut tasks: Vec<&mut TaskInfo> = tasks.filter(|task| task.labels.contains_key(LABEL)).collect();
    if tasks.is_empty() {
        return;
    }
    note(turn.state, turn.now.elapsed);
    let mut lists: BTreeMap<String, Peers> = BTreeMap::new();
    for task in &mut tasks {
        let Some(group) = task.labels.get(LABEL).filter(|group| !group.is_empty()) else { continue };
        if !lists.contains_key(group) {
            lists.insert(group.clone(), files(group, &members(turn.state, group)));
        }
        let Some(list) = lists.get(group) else { continue };
        task.peers = Some(list.clone());
        if let Some(instance) = instance_of(turn.state, &task.id) {
            // Without its files nothing of it runs.
            instance.told.held = Some(list.version);
        }
    }
}

fn instance_of<'s>(state: &'s mut State, task: &TaskKey) -> Option<&'s mut Instance> {
    let id: TaskId = task.as_str().parse().ok()?;
    let entry = state.apps.get_mut(id.app())?;
    entry.instances.get_mut(&id.instance().uuid).filter(|instance| instance.key == *task)
}

/// An agent says what a sandbox holds.
pub(crate) fn held(turn: &mut Turn<'_>, task: &TaskKey, version: u64) {
    let Some(instance) = instance_of(turn.state, task) else { return };
    instance.told.held = Some(version);
    let Some(group) = group_of(instance).map(str::to_owned) else { return };
    let now = turn.now.elapsed;
    if let Some(group) = turn.state.peers.groups.get_mut(&group)
        && group.version.is_some_and(|current| current != version)
    {
        // It is there, and behind: what was sent may be lost.
        group.hurry(now);
        if let Some(instance) = instance_of(turn.state, task) {
            instance.told.sent = None;
        }
    }
}

/// A new subscription: what was sent on an earlier one may be lost.
pub(crate) fn subscribed(state: &mut State, now: Duration) {
    for instance in state.apps.values_mut().flat_map(|entry| entry.instances.values_mut()) {
        instance.told.sent = None;
    }
    state.peers.groups.values_mut().for_each(|group| group.hurry(now));
}

/// Sends what is due.
pub(crate) fn tick(turn: &mut Turn<'_>) {
    if turn.state.frozen || !turn.state.link.connected {
        return;
    }
    let now = turn.now.elapsed;
    note(turn.state, now);
    let groups = turn.state.peers.groups.iter();
    let due: Vec<String> = groups
        .filter(|(_, group)| group.due.is_some_and(|due| due <= now))
        .map(|(name, _)| name.clone())
        .collect();
    let mut budget = MOST_SENT;
    for name in due {
        look_at(turn, &name, &mut budget);
    }
}

fn look_at(turn: &mut Turn<'_>, name: &str, budget: &mut usize) {
    let now = turn.now.elapsed;
    let all = members(turn.state, name);
    let (list, size) = (files(name, &all), u32::try_from(all.len()).unwrap_or(u32::MAX));
    let (version, bytes) = (list.version, list.json.len() + list.tsv.len());
    let Some(group) = turn.state.peers.groups.get_mut(name) else { return };
    (group.size, group.version, group.due) = (size, Some(version), None);
    let apps = group.apps.clone();
    let (mut next, mut calls): (Option<Duration>, Vec<Call>) = (None, Vec::new());
    let mut wake = |at: Duration| next = Some(next.map_or(at, |next| next.min(at)));
    for app in apps {
        let Some(entry) = turn.state.apps.get_mut(&app) else { continue };
        for instance in entry.instances.values_mut() {
            // What is not there cannot be told; when it is again, its app is touched.
            let there = (instance.confirmed || instance.told.held.is_some()) && !instance.is_unreachable();
            let wants = group_of(instance) == Some(name) && instance.told.held != Some(version);
            if !there || !wants || instance.killing {
                continue;
            }
            let before = instance.told.sent.filter(|sent| sent.version == version);
            if let Some(sent) = before
                && now < sent.at + wait(sent.tries)
            {
                wake(sent.at + wait(sent.tries));
                continue;
            }
            if *budget == 0 {
                wake(now);
                continue;
            }
            *budget = budget.saturating_sub(bytes);
            let sent = Sent { version, at: now, tries: before.map_or(0, |sent| sent.tries + 1) };
            instance.told.sent = Some(sent);
            wake(now + wait(sent.tries));
            calls.push(Call::Peers { task: instance.key.clone(), peers: list.clone() });
        }
    }
    if let Some(group) = turn.state.peers.groups.get_mut(name) {
        group.due = next;
    }
    calls.into_iter().for_each(|call| turn.call(call));
}
