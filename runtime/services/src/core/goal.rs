//! What is to be launched and killed now so that an app comes to be as it shall be (§8). Pure, and made anew whenever
//! something of the app changed: a new leader goes on from any point.

use api::marathon::{ActionKind, App, Uuid};

use super::select::to_kill;
use super::state::{Entry, Instance};

/// What is to be done about the instances of one app.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Goal {
    /// So many more of the current definition.
    pub(crate) launch: u32,
    /// These go.
    pub(crate) kill: Vec<Uuid>,
    /// Nothing is left to do or to wait for.
    pub(crate) done: bool,
}

/// `action` is what a deployment does to the app at the moment; without one it is kept as it is.
pub(crate) fn goal(entry: &Entry, action: Option<ActionKind>) -> Goal {
    if matches!(action, Some(ActionKind::StartApplication | ActionKind::ResolveArtifacts)) {
        return Goal { done: true, ..Goal::default() };
    }
    let Some(app) = entry.definition().map(|app| &**app) else {
        // A new app that its deployment has not come to yet, or one that is gone.
        return if entry.held.is_some() { Goal::default() } else { stop(entry) };
    };
    match action {
        Some(ActionKind::StopApplication) => stop(entry),
        Some(ActionKind::RestartApplication) => restart(entry, app),
        _ => scale(entry, app),
    }
}

fn stop(entry: &Entry) -> Goal {
    let kill = entry.instances.values().filter(|instance| !instance.killing).map(|instance| instance.id.uuid);
    Goal { launch: 0, kill: kill.collect(), done: entry.instances.is_empty() }
}

fn scale(entry: &Entry, app: &App) -> Goal {
    let active: Vec<&Instance> = entry.instances.values().filter(|instance| instance.is_active()).collect();
    let ending = entry.instances.values().filter(|instance| instance.killing).count();
    let wanted = usize_of(app.instances);
    let surplus = active.len().saturating_sub(wanted);
    Goal {
        // Those that end still take room: others come when they are gone.
        launch: u32_of(wanted.saturating_sub(active.len() + ending)),
        kill: to_kill(app, active.clone(), &active, surplus),
        done: ending == 0 && active.len() == wanted && active.iter().all(|instance| instance.is_ready()),
    }
}

/// The bounds of a rolling restart: how many must stay healthy, and how many may exist.
pub(crate) fn bounds(app: &App, healthy: usize) -> (usize, usize) {
    let wanted = f64::from(app.instances);
    let least = count_of((wanted * app.upgrade_strategy.minimum_health_capacity).ceil());
    let most = count_of((wanted * (1.0 + app.upgrade_strategy.maximum_over_capacity)).floor());
    if least != most || healthy < least {
        return (least, most);
    }
    // Neither could one be started nor one be killed.
    if app.residency.is_some() { (least.saturating_sub(1), most) } else { (least, most + 1) }
}

fn restart(entry: &Entry, app: &App) -> Goal {
    let present = entry.instances.values().filter(|instance| !instance.is_inactive());
    let all: Vec<&Instance> = present.collect();
    let (old, new): (Vec<&Instance>, Vec<&Instance>) =
        entry.instances.values().partition(|instance| instance.is_outdated(app));
    let old_staying: Vec<&Instance> = old.iter().copied().filter(|instance| !instance.killing).collect();
    let new_active: Vec<&Instance> = new.iter().copied().filter(|instance| instance.is_active()).collect();
    let healthy = all.iter().filter(|instance| instance.is_active() && instance.carries(app)).count();
    let (least, most) = bounds(app, healthy);
    let wanted = usize_of(app.instances);

    let (bad, good): (Vec<&Instance>, Vec<&Instance>) =
        old_staying.into_iter().partition(|instance| instance.is_known_bad());
    let mut kill: Vec<Uuid> = bad.iter().map(|instance| instance.id.uuid).collect();
    let spare = if least == 0 { all.len() } else { healthy.saturating_sub(least) };
    // What is not known to be healthy may be so all the same: it waits until that is known, unless nobody must be.
    let is_sure = |instance: &&Instance| least == 0 || instance.carries(app);
    let going = to_kill(app, good.into_iter().filter(is_sure).collect(), &all, spare);
    let spare = spare.saturating_sub(going.len());
    kill.extend(going);
    // More than are wanted, since fewer are wanted than when they were started.
    let surplus = new_active.len().saturating_sub(wanted);
    let (bad, good): (Vec<&Instance>, Vec<&Instance>) =
        new_active.iter().copied().partition(|instance| instance.is_known_bad() || instance.is_unready());
    let going = to_kill(app, bad, &new_active, surplus);
    let surplus = surplus.saturating_sub(going.len());
    kill.extend(going);
    kill.extend(to_kill(app, good.into_iter().filter(is_sure).collect(), &new_active, surplus.min(spare)));
    let room = most.saturating_sub(all.len());
    let ending = entry.instances.values().any(|instance| instance.killing);
    Goal {
        launch: u32_of(wanted.saturating_sub(new_active.len()).min(room)),
        kill,
        done: old.is_empty()
            && !ending
            && new_active.len() == wanted
            && new_active.iter().all(|instance| instance.is_ready()),
    }
}

fn usize_of(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn u32_of(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a whole number from 0 to twice a u32, and casts of floats saturate"
)]
fn count_of(number: f64) -> usize {
    number as usize
}
