//! Offers are answered, and what was used comes back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::event::{Action, Filter, Refusal};
use crate::ids::{AgentId, FrameworkId, OfferId};
use crate::resources::{Missing, Resources};
use crate::role::Role;
use crate::state::{Outstanding, State};

pub(super) fn accept(
    state: &mut State,
    id: &FrameworkId,
    ids: &[OfferId],
    consumed: &Resources,
    now: Duration,
    filter: Filter,
) -> Result<(), Refusal> {
    let framework = state.framework_at(id)?;
    let checked = check_accept(state, framework, ids, consumed);
    let (agent, client, mut rest) = match checked {
        Ok(checked) => checked,
        Err(refusal) => {
            for id in ids {
                if owned(state, framework, *id).is_some() {
                    state.return_offer(*id);
                }
            }
            return Err(refusal);
        }
    };
    for id in ids {
        state.take_offer(*id);
    }
    state.use_more(agent, client, consumed);
    rest.saturating_sub(consumed);
    if !rest.is_empty() {
        let rest = Arc::new(rest);
        state.tree.release(client, &rest.scalars());
        state.give_back(agent, &rest);
        refuse(state, agent, client, &rest, now, filter);
    }
    state.settle_client(client);
    Ok(())
}

/// Agent, client and sum of the offers, when they belong together and cover what is to be used.
fn check_accept(
    state: &State,
    framework: usize,
    ids: &[OfferId],
    consumed: &Resources,
) -> Result<(usize, usize, Resources), Refusal> {
    let mut seen = BTreeSet::new();
    let mut sum: Option<(usize, usize, Resources)> = None;
    for id in ids {
        let offer = owned(state, framework, *id).filter(|_| seen.insert(*id));
        let offer = offer.ok_or(Refusal::UnknownOffer(*id))?;
        match &mut sum {
            None => sum = Some((offer.agent, offer.client, (*offer.resources).clone())),
            Some((agent, client, resources)) if (*agent, *client) == (offer.agent, offer.client) => {
                resources.add(&offer.resources);
            }
            Some(_) => return Err(Refusal::MixedOffers),
        }
    }
    let (agent, client, resources) = sum.ok_or(Refusal::NoOffers)?;
    match resources.missing(consumed) {
        None => Ok((agent, client, resources)),
        Some(missing) => Err(Refusal::NotOffered(missing)),
    }
}

fn owned(state: &State, framework: usize, id: OfferId) -> Option<&Outstanding> {
    state.offers.get(&id).filter(|offer| state.tree.clients[offer.client].framework == framework)
}

pub(super) fn decline(
    state: &mut State,
    id: &FrameworkId,
    ids: &[OfferId],
    now: Duration,
    filter: Filter,
    actions: &mut Vec<Action>,
) -> Result<(), Refusal> {
    let framework = state.framework_at(id)?;
    for id in ids {
        if owned(state, framework, *id).is_some()
            && let Some(offer) = state.return_offer(*id)
        {
            refuse(state, offer.agent, offer.client, &offer.resources, now, filter);
        } else {
            actions.push(Action::Refuse(Refusal::UnknownOffer(*id)));
        }
    }
    Ok(())
}

fn refuse(
    state: &mut State,
    agent: usize,
    client: usize,
    rest: &Arc<Resources>,
    now: Duration,
    filter: Filter,
) {
    if filter != Filter::NONE {
        state.filters.add(agent, client, rest, now.saturating_add(filter.duration()));
    }
}

pub(super) fn recover(
    state: &mut State,
    framework: &FrameworkId,
    role: &Role,
    agent: &AgentId,
    resources: &Resources,
) -> Result<(), Refusal> {
    let at = state.agent_at(agent)?;
    // Also of one that is gone: that is how its resources come back.
    let known = state.framework_index.get(framework).copied();
    let known = known.ok_or_else(|| Refusal::UnknownFramework(framework.clone()))?;
    let client = state.frameworks[known]
        .clients
        .get(role)
        .copied()
        .ok_or_else(|| Refusal::UnknownRole { framework: framework.clone(), role: role.clone() })?;
    let used = &mut state.agents[at].used;
    let nothing = Resources::default();
    let missing: Option<Missing> = used.get(&client).unwrap_or(&nothing).missing(resources);
    if let Some(missing) = missing {
        return Err(Refusal::NotInUse(missing));
    }
    if let Some(mine) = used.get_mut(&client) {
        mine.saturating_sub(resources);
        if mine.is_empty() {
            used.remove(&client);
            state.tree.clients[client].uses -= 1;
        }
        state.tree.release(client, &resources.scalars());
        state.give_back(at, resources);
        state.settle_client(client);
    }
    Ok(())
}
