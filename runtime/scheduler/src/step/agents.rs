//! Agents come, change, fall silent, are drained and go.

use std::collections::BTreeMap;

use crate::event::{Action, AgentInfo, Refusal, Used};
use crate::ids::AgentId;
use crate::resources::Resources;
use crate::state::{Agent, Schedule, State};

pub(super) fn add(state: &mut State, info: AgentInfo, used: &[Used]) -> Result<(), Refusal> {
    if state.agent_index.contains_key(&info.id) {
        return Err(Refusal::DuplicateAgent(info.id));
    }
    let (id, amounts) = (info.id.clone(), info.total.scalars());
    state.tree.change_total(|total| total.add(&amounts));
    let at = state.agents.insert(Agent {
        info,
        schedule: Schedule::Active,
        reachable: true,
        free: Resources::default(),
        used: BTreeMap::new(),
        offers: Vec::new(),
        overcommitted: false,
        dirty: false,
    });
    state.agent_index.insert(id, at);
    for part in used.iter().filter(|part| !part.resources.is_empty()) {
        let framework = state.framework_or_note(&part.framework);
        let client = state.client_or_note(framework, &part.role);
        state.use_more(at, client, &part.resources);
        state.tree.hold(client, &part.resources.scalars(), false);
    }
    state.recount(at);
    state.mark(at);
    Ok(())
}

pub(super) fn update(state: &mut State, info: AgentInfo, actions: &mut Vec<Action>) -> Result<(), Refusal> {
    let at = state.agent_at(&info.id)?;
    state.rescind_agent(at, actions);
    let (old, new) = (state.agents[at].info.total.scalars(), info.total.scalars());
    if old != new {
        state.tree.change_total(|total| {
            total.sub(&old);
            total.add(&new);
        });
    }
    if state.agents[at].info.host != info.host {
        // Who refused it refused another place, as in Mesos.
        state.filters.forget_agent(at);
    }
    state.agents[at].info = info;
    state.recount(at);
    state.mark(at);
    Ok(())
}

pub(super) fn remove(state: &mut State, id: &AgentId, actions: &mut Vec<Action>) -> Result<(), Refusal> {
    let at = state.agent_at(id)?;
    state.rescind_agent(at, actions);
    state.filters.forget_agent(at);
    state.agent_index.remove(id);
    let Some(agent) = state.agents.remove(at) else { return Ok(()) };
    let amounts = agent.info.total.scalars();
    state.tree.change_total(|total| total.sub(&amounts));
    for (client, resources) in agent.used {
        state.tree.release(client, &resources.scalars());
        state.tree.clients[client].uses -= 1;
        state.settle_client(client);
    }
    Ok(())
}

pub(super) fn set_reachable(
    state: &mut State,
    id: &AgentId,
    reachable: bool,
    actions: &mut Vec<Action>,
) -> Result<(), Refusal> {
    let at = state.agent_at(id)?;
    state.agents[at].reachable = reachable;
    became(state, at, actions);
    Ok(())
}

pub(super) fn set_schedule(
    state: &mut State,
    id: &AgentId,
    schedule: Schedule,
    actions: &mut Vec<Action>,
) -> Result<(), Refusal> {
    let at = state.agent_at(id)?;
    state.agents[at].schedule = schedule;
    became(state, at, actions);
    Ok(())
}

/// An agent that may be offered is looked at in the next cycle; of one that may not, no offer stays.
fn became(state: &mut State, at: usize, actions: &mut Vec<Action>) {
    if state.agents[at].is_offerable() {
        state.mark(at);
    } else {
        state.rescind_agent(at, actions);
    }
}
