//! Our own overview of the cluster.

use std::time::SystemTime;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use store::Coordinator;

use super::Grouped;
use crate::Master;
use crate::view::Amounts;

pub(super) async fn cluster(State(master): State<Master>) -> Json<Value> {
    let coordinators = master.coordinators().await;
    let view = master.view();
    let grouped = Grouped::new(&view);
    let options = master.options();
    let agents = view.agents.values().map(|agent| {
        json!({
            "id": agent.id.as_str(),
            "name": agent.facts.name,
            "hostname": agent.facts.host.hostname,
            "address": agent.facts.address,
            "state": agent.state.name(),
            "tasks": grouped.of_agent(agent.id.as_str()).len(),
        })
    });
    let sums = view.sums();
    // What is read after its end is what was known last.
    let leads = master.leads();
    // One without a certificate has no name, and is the only one.
    let name = options.certificate.as_ref().map_or(master.id(), |tls| tls.own().name());
    Json(json!({
        "name": options.cluster,
        "version": options.version,
        "epoch": master.epoch(),
        "id": master.id(),
        "leader": leads.then_some(&options.address),
        "masters": [{
            "id": name, "address": options.address, "leader": leads,
            "certificate_days": options.certificate.as_ref().map(|tls| tls.days_left(SystemTime::now())),
        }],
        "coordinators": coordinators.iter().map(coordinator).collect::<Vec<_>>(),
        "agents": agents.collect::<Vec<_>>(),
        "resources": {
            "total": amounts(&sums.total),
            "used": amounts(&sums.used),
            "offered": amounts(&sums.offered),
        },
    }))
}

fn coordinator(coordinator: &Coordinator) -> Value {
    let Coordinator { name, address, state } = coordinator;
    json!({ "id": name, "address": address, "state": state.name() })
}

fn amounts(amounts: &Amounts) -> Value {
    let Amounts { cpus, mem, disk, gpus, ports } = amounts;
    json!({ "cpus": cpus, "mem": mem, "disk": disk, "gpus": gpus, "ports": ports })
}
