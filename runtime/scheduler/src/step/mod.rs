//! One event after the other.

mod agents;
mod cycle;
mod frameworks;
mod offers;

use std::time::Duration;

use crate::event::{Action, Event, Refusal};
use crate::state::{Schedule, State};

/// Carries out one event.
///
/// `now` is the time since a beginning of the caller's choice that stays the same for one state; it only
/// decides when filters end. Returns what the master has to do, in this order. An event that cannot be carried out
/// changes nothing but what its [`Refusal`] says, and never panics, whatever it holds.
pub fn step(state: &mut State, event: Event, now: Duration) -> Vec<Action> {
    let mut actions = Vec::new();
    if let Err(refusal) = dispatch(state, event, now, &mut actions) {
        actions.push(Action::Refuse(refusal));
    }
    actions
}

fn dispatch(
    state: &mut State,
    event: Event,
    now: Duration,
    actions: &mut Vec<Action>,
) -> Result<(), Refusal> {
    match event {
        Event::FrameworkAdded(info) => frameworks::add(state, &info, actions),
        Event::FrameworkUpdated(info) => frameworks::update(state, &info, actions)?,
        Event::FrameworkDeactivated(id) => frameworks::deactivate(state, &id, actions)?,
        Event::FrameworkRemoved(id) => frameworks::remove(state, &id, actions)?,
        Event::AgentAdded { agent, used } => agents::add(state, agent, &used)?,
        Event::AgentUpdated(info) => agents::update(state, info, actions)?,
        Event::AgentRemoved(id) => agents::remove(state, &id, actions)?,
        Event::AgentUnreachable(id) => agents::set_reachable(state, &id, false, actions)?,
        Event::AgentReachable(id) => agents::set_reachable(state, &id, true, actions)?,
        Event::AgentDrain(id) => agents::set_schedule(state, &id, Schedule::Draining, actions)?,
        Event::AgentDeactivate(id) => agents::set_schedule(state, &id, Schedule::Deactivated, actions)?,
        Event::AgentUndrain(id) => agents::set_schedule(state, &id, Schedule::Active, actions)?,
        Event::Accept { framework, offers, consumed, filter } => {
            offers::accept(state, &framework, &offers, &consumed, now, filter)?;
        }
        Event::Decline { framework, offers, filter } => {
            offers::decline(state, &framework, &offers, now, filter, actions)?;
        }
        Event::Rescind(ids) => {
            for id in ids {
                if !state.rescind(id, actions) {
                    actions.push(Action::Refuse(Refusal::UnknownOffer(id)));
                }
            }
        }
        Event::Suppress { framework, roles } => frameworks::suppress(state, &framework, &roles, actions)?,
        Event::Revive { framework, roles } => frameworks::revive(state, &framework, &roles, actions)?,
        Event::Recovered { framework, role, agent, resources } => {
            offers::recover(state, &framework, &role, &agent, &resources)?;
        }
        Event::WeightSet { role, weight } => {
            if !(weight > 0.0 && weight.is_finite()) {
                return Err(Refusal::BadWeight(role));
            }
            state.tree.set_weight(&role, weight);
        }
        Event::Cycle => cycle::run(state, now, actions),
    }
    Ok(())
}
