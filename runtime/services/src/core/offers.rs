//! What becomes of offers: instances that wait are launched on them, the rest goes back.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use api::marathon::{App, AppId, Condition, InstanceId};
use api::mesos::{Call, Offer, TaskInfo};
use scheduler::constraints::Tally;
use scheduler::{Filter, Resources};

use super::matching::{Demand, Fit, Rejection};
use super::state::{Instance, State};
use super::turn::{MOST_AT_ONCE, Turn};
use super::{launch, record};

/// An offer in the hands of this step.
struct Hand {
    offer: Arc<Offer>,
    left: Resources,
    tasks: Vec<TaskInfo>,
}

/// What one app asks for in this step, and what it has: counted once, and kept up with each launch.
struct Asking<'a> {
    app: &'a Arc<App>,
    demand: Demand<'a>,
    placed: Vec<Tally>,
    indexes: launch::FreeIndexes,
}

impl<'a> Asking<'a> {
    /// `None` when the definition holds what only an older validation let pass.
    fn new(state: &State, app: &'a Arc<App>) -> Option<Asking<'a>> {
        let instances = &state.apps.get(&app.id)?.instances;
        let demand = Demand::new(app, &state.config.role)?;
        let counting = instances.values().filter(|instance| counts(instance, app));
        let placed = demand.tally(counting.map(|instance| &*instance.host));
        let indexes = launch::FreeIndexes::beside(instances.values().map(|instance| instance.index));
        Some(Asking { app, demand, placed, indexes })
    }
}

/// Whether instances of the app wait and may be launched now.
fn is_ready(state: &State, app: &AppId, now: std::time::Duration) -> bool {
    let Some(entry) = state.apps.get(app) else { return false };
    let Some(definition) = entry.definition() else { return false };
    let backoff = entry.backoff.get(&super::state::config_version(definition));
    entry.waiting.is_some() && backoff.is_none_or(|backoff| backoff.until <= now)
}

/// Asks for offers when something new waits for them, and for none when nothing does.
pub(crate) fn want(turn: &mut Turn<'_>) {
    if !turn.state.link.connected {
        return;
    }
    let now = turn.now.elapsed;
    let ready: std::collections::BTreeSet<AppId> = if turn.state.frozen {
        std::collections::BTreeSet::new()
    } else {
        turn.state.waiting.iter().filter(|app| is_ready(turn.state, app, now)).cloned().collect()
    };
    let link = &mut turn.state.link;
    let news = ready.iter().any(|app| !link.ready.contains(app));
    let suppressed = link.suppressed;
    link.suppressed = ready.is_empty();
    link.ready = ready;
    if link.suppressed && !suppressed {
        turn.call(Call::Suppress(Vec::new()));
    } else if !turn.state.link.suppressed && (suppressed || news) {
        turn.call(Call::Revive(Vec::new()));
    }
}

/// Launches what waits on the offers and gives the rest back.
pub(crate) fn offered(turn: &mut Turn<'_>, offers: Vec<Offer>) {
    let hands = offers.into_iter().map(|offer| Hand {
        left: offer.resources.clone(),
        offer: Arc::new(offer),
        tasks: Vec::new(),
    });
    let mut hands: Vec<Hand> = hands.collect();
    let now = turn.now.elapsed;
    let mut apps: Vec<AppId> = if turn.state.frozen {
        Vec::new()
    } else {
        turn.state.waiting.iter().filter(|app| is_ready(turn.state, app, now)).cloned().collect()
    };
    let since = |state: &State, app: &AppId| {
        state.apps.get(app).and_then(|entry| Some(entry.waiting.as_ref()?.since))
    };
    apps.sort_by_key(|app| since(turn.state, app));
    let definition = |app: &AppId| turn.state.apps.get(app).and_then(|entry| entry.definition().cloned());
    let definitions: Vec<Arc<App>> = apps.iter().filter_map(definition).collect();
    let mut asking: Vec<Asking<'_>> =
        definitions.iter().filter_map(|app| Asking::new(turn.state, app)).collect();

    let mut outcomes: BTreeMap<AppId, BTreeMap<usize, Option<Rejection>>> = BTreeMap::new();
    let (mut launched, mut cursor) = (0, 0);
    // One of each app in turn, each on the next offer that it fits: apps and agents get their share.
    while !asking.is_empty() && launched < MOST_AT_ONCE {
        asking.retain_mut(|asking| {
            if launched == MOST_AT_ONCE {
                return true;
            }
            let id = &asking.app.id;
            if !outcomes.contains_key(id) {
                outcomes.insert(id.clone(), BTreeMap::new());
            }
            let Some(looked) = outcomes.get_mut(id) else { return false };
            let Some(at) = place(turn, asking, &mut hands, cursor, looked) else { return false };
            (launched, cursor) = (launched + 1, at + 1);
            turn.state.waiting.contains(&asking.app.id)
        });
    }
    for (app, looked) in outcomes {
        turn.state.touch(&app);
        let offer = |(at, outcome): (usize, _)| Some((hands.get(at)?.offer.clone(), outcome));
        let outcomes: Vec<_> = looked.into_iter().filter_map(offer).collect();
        if let Some(waiting) = turn.state.apps.get_mut(&app).and_then(|entry| entry.waiting.as_mut()) {
            waiting.looked_at(&outcomes, turn.now.wall);
        }
    }
    super::peers::give(turn, hands.iter_mut().flat_map(|hand| &mut hand.tasks));
    // Cut short: what is left is wanted again at once.
    let filter = if launched == MOST_AT_ONCE { Filter::NONE } else { Filter::DEFAULT };
    let mut declined = Vec::new();
    for hand in hands {
        if hand.tasks.is_empty() {
            declined.push(hand.offer.id.clone());
        } else {
            turn.call(Call::Accept { offers: vec![hand.offer.id.clone()], tasks: hand.tasks, filter });
        }
    }
    if !declined.is_empty() {
        turn.call(Call::Decline { offers: declined, filter });
    }
}

/// Launches one instance on the first offer that it fits, from `cursor` on. Returns the offer's place.
fn place(
    turn: &mut Turn<'_>,
    asking: &mut Asking<'_>,
    hands: &mut [Hand],
    cursor: usize,
    looked: &mut BTreeMap<usize, Option<Rejection>>,
) -> Option<usize> {
    for step in 0..hands.len() {
        let at = (cursor + step) % hands.len();
        let hand = hands.get_mut(at)?;
        let from = next_port(turn.state, hand);
        match asking.demand.fit(&hand.offer, &hand.left, &asking.placed, from) {
            Ok(fit) => {
                looked.insert(at, None);
                start(turn, asking.app, hand, fit, asking.indexes.take())?;
                asking.placed.iter_mut().for_each(|tally| tally.place(&hand.offer.host));
                return Some(at);
            }
            Err(rejection) => {
                looked.entry(at).or_insert(Some(rejection));
            }
        }
    }
    None
}

/// Instances of an older configuration are about to go: they take no place from their successors (as in the reference).
fn counts(instance: &Instance, app: &App) -> bool {
    instance.is_active() && !instance.is_outdated(app) || instance.killing && !instance.is_outdated(app)
}

fn next_port(state: &mut State, hand: &Hand) -> u64 {
    if let Some(next) = state.next_port.get(&hand.offer.agent) {
        return *next;
    }
    let count: u64 = hand.left.parts().map(|(_, part)| part.ports().count()).sum();
    let at = state.random.next() % count.max(1);
    let ports = hand.left.parts().flat_map(|(_, part)| part.ports().values().collect::<Vec<u64>>());
    let next = ports.into_iter().nth(usize::try_from(at).unwrap_or(0)).unwrap_or(0);
    state.next_port.insert(hand.offer.agent.clone(), next);
    next
}

fn start(turn: &mut Turn<'_>, app: &Arc<App>, hand: &mut Hand, fit: Fit, index: u32) -> Option<()> {
    let id = InstanceId { app: app.id.clone(), uuid: turn.state.random.uuid() };
    let task = id.task(1);
    if let Some(last) = fit.ports.last().filter(|_| !app.require_ports) {
        turn.state.next_port.insert(hand.offer.agent.clone(), u64::from(*last) + 1);
    }
    let entry = turn.state.apps.get_mut(&app.id)?;
    let (condition, state) = launch::FRESH;
    let instance = Instance {
        key: task.to_string().parse().ok()?,
        task,
        spec: app.clone(),
        version: app.version?,
        agent: hand.offer.agent.clone(),
        host: hand.offer.host.clone(),
        address: hand.offer.address,
        ports: fit.ports.clone(),
        role: hand.offer.role.to_string(),
        index,
        staged_at: turn.now.wall,
        killing: false,
        looked_at: entry.deployment.is_some() && !app.readiness_checks.is_empty(),
        marked: false,
        started_at: None,
        condition,
        state,
        confirmed: false,
        known_since: turn.now.elapsed,
        running_since: None,
        kill_asked: None,
        unreachable_since: None,
        addresses: Vec::new(),
        health: vec![None; app.health_checks.len()],
        said_healthy: None,
        readiness: None,
        check: None,
        told: super::peers::Told::default(),
        shown: OnceLock::new(),
        id: id.clone(),
    };
    if let Some(waiting) = &mut entry.waiting {
        waiting.count = waiting.count.saturating_sub(1);
        if waiting.count == 0 {
            entry.waiting = None;
            turn.state.waiting.remove(&app.id);
        }
    }
    turn.put(record::instance_key(&id), record::instance_bytes(&instance));
    hand.left.saturating_sub(&fit.resources);
    hand.tasks.push(launch::task(&instance, &hand.offer, fit));
    super::status::say_condition(turn, &instance, Condition::Provisioned);
    let entry = turn.state.apps.get_mut(&app.id)?;
    entry.instances.insert(id.uuid, instance);
    turn.state.touch(&app.id);
    Some(())
}
