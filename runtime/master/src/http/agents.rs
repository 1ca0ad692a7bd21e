//! Agents, as Mesos' `/slaves` lists them.

use std::collections::HashMap;

use scheduler::Resources;
use serde_json::{Map, Value, json};

use super::MESOS_VERSION;
use super::json::{attributes, bundle, reserved, resources, seconds};
use crate::core::{Agent, AgentState};
use crate::view::View;

pub(super) fn slaves(view: &View, only: Option<&str>) -> Value {
    let (slaves, recovered) = lists(view, only);
    json!({ "slaves": slaves, "recovered_slaves": recovered })
}

/// Those that came to this master, and those that are awaited.
pub(super) fn lists(view: &View, only: Option<&str>) -> (Vec<Value>, Vec<Value>) {
    let offered = offered(view);
    let (mut slaves, mut recovered) = (Vec::new(), Vec::new());
    for agent in view.agents.values().filter(|agent| only.is_none_or(|id| id == agent.id.as_str())) {
        let item = item(agent, offered.get(agent.id.as_str()));
        match agent.state {
            AgentState::Recovering => recovered.push(item),
            _ => slaves.push(item),
        }
    }
    (slaves, recovered)
}

fn offered(view: &View) -> HashMap<&str, Resources> {
    let mut sums: HashMap<&str, Resources> = HashMap::new();
    for offer in view.offers.values() {
        sums.entry(offer.agent.as_str()).or_default().add(&offer.resources);
    }
    sums
}

fn item(agent: &Agent, offered: Option<&Resources>) -> Value {
    let facts = &agent.facts;
    let nothing = Resources::default();
    let mut item = json!({
        "id": agent.id.as_str(),
        "name": facts.name,
        "state": agent.state.name(),
        "hostname": facts.host.hostname,
        "address": facts.address,
        "port": facts.port,
        "attributes": attributes(&facts.host.attributes),
        "pid": format!("slave(1)@{}:{}", facts.address, facts.port),
        "resources": resources(&facts.total),
        "used_resources": resources(&agent.used),
        "offered_resources": resources(offered.unwrap_or(&nothing)),
        "reserved_resources": reserved(&facts.total),
        "unreserved_resources": bundle(facts.total.unreserved()),
        "active": agent.state == AgentState::Active,
        "deactivated": false,
        "version": MESOS_VERSION,
        "clusterctl_version": facts.version,
        "capabilities": ["MULTI_ROLE", "HIERARCHICAL_ROLE"],
    });
    let mut extra = Map::new();
    if let Some(at) = agent.registered {
        extra.insert("registered_time".to_owned(), json!(seconds(at)));
    }
    if let Some(at) = agent.reregistered {
        extra.insert("reregistered_time".to_owned(), json!(seconds(at)));
    }
    if let Some(region) = &facts.host.region {
        let mut domain = json!({ "region": { "name": region } });
        if let Some(zone) = &facts.host.zone {
            domain["zone"] = json!({ "name": zone });
        }
        extra.insert("domain".to_owned(), json!({ "fault_domain": domain }));
    }
    if let Value::Object(item) = &mut item {
        item.extend(extra);
    }
    item
}
