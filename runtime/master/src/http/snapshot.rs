//! Mesos' `/metrics/snapshot`: a flat object of numbers.

use api::mesos::TaskState;
use serde_json::{Map, Value, json};

use super::json::seconds;
use crate::Master;
use crate::core::{AgentState, FrameworkState};
use crate::metrics::{agents_in, tasks_by_state};
use crate::view::View;

pub(super) fn snapshot(master: &Master, view: &View) -> Value {
    let mut out = Map::new();
    let mut put = |name: &str, value: Value| {
        out.insert(name.to_owned(), value);
    };
    put("master/uptime_secs", json!(seconds(view.now.wall) - seconds(master.started())));
    put("master/elected", json!(if master.leads() { 1.0 } else { 0.0 }));
    let sums = view.sums();
    for (name, total, used) in [
        ("cpus", sums.total.cpus, sums.used.cpus),
        ("mem", sums.total.mem, sums.used.mem),
        ("disk", sums.total.disk, sums.used.disk),
        ("gpus", sums.total.gpus, sums.used.gpus),
    ] {
        put(&format!("master/{name}_total"), json!(total));
        put(&format!("master/{name}_used"), json!(used));
        put(&format!("master/{name}_percent"), json!(if total > 0.0 { used / total } else { 0.0 }));
    }
    let active = agents_in(view, AgentState::Active);
    let disconnected = agents_in(view, AgentState::Disconnected);
    for (name, count) in [
        ("active", active),
        ("connected", active),
        ("disconnected", disconnected),
        ("inactive", disconnected),
        ("unreachable", agents_in(view, AgentState::Unreachable)),
    ] {
        put(&format!("master/slaves_{name}"), json!(count));
    }
    let frameworks = |state| view.frameworks.values().filter(|one| one.state == state).count();
    let active = frameworks(FrameworkState::Active);
    let away = frameworks(FrameworkState::Disconnected) + frameworks(FrameworkState::Recovered);
    for (name, count) in
        [("active", active), ("connected", active), ("disconnected", away), ("inactive", away)]
    {
        put(&format!("master/frameworks_{name}"), json!(count));
    }
    put("master/outstanding_offers", json!(view.offers.size()));
    let counts = tasks_by_state(view);
    for state in TaskState::ALL {
        let name = state.name().trim_start_matches("TASK_").to_ascii_lowercase();
        // Those that ended are counted from the master's start on, as Mesos does.
        let count = if state.is_terminal() {
            view.counters.ended.get(state.name()).copied().unwrap_or_default()
        } else {
            counts.get(state).map_or(0, |count| *count as u64)
        };
        put(&format!("master/tasks_{name}"), json!(count));
    }
    messages(view, &mut put);
    put("master/event_queue_messages", json!(master.waiting()));
    put("master/event_queue_dispatches", json!(0));
    put("master/event_queue_http_requests", json!(0));
    put("allocator/mesos/allocation_runs", json!(view.counters.cycles));
    let gauges = master.gauges();
    put("registrar/state_fetch_ms", json!(gauges.fetch_ms.get()));
    put("registrar/state_store_ms", json!(gauges.store_ms.get()));
    system(&mut put);
    Value::Object(out)
}

/// What the machine says of itself; what it does not say is left out.
fn system(put: &mut impl FnMut(&str, Value)) {
    if let Ok(cpus) = std::thread::available_parallelism() {
        put("system/cpus_total", json!(cpus.get()));
    }
    let loads = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    for (name, load) in ["1min", "5min", "15min"].iter().zip(loads.split(' ')) {
        if let Ok(load) = load.parse::<f64>() {
            put(&format!("system/load_{name}"), json!(load));
        }
    }
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    for line in memory.lines() {
        let mut words = line.split_ascii_whitespace();
        let name = match words.next() {
            Some("MemTotal:") => "system/mem_total_bytes",
            Some("MemFree:") => "system/mem_free_bytes",
            _ => continue,
        };
        if let Some(kib) = words.next().and_then(|word| word.parse::<u64>().ok()) {
            put(name, json!(kib.saturating_mul(1024)));
        }
    }
}

fn messages(view: &View, put: &mut impl FnMut(&str, Value)) {
    let counters = &view.counters;
    let call = |name: &str| counters.calls.get(name).copied().unwrap_or_default();
    let (valid, invalid) = (counters.acknowledgements, counters.invalid_acknowledgements);
    for (name, count) in [
        ("messages_register_framework", call("SUBSCRIBE")),
        ("messages_launch_tasks", call("ACCEPT")),
        ("messages_decline_offers", call("DECLINE")),
        ("messages_revive_offers", call("REVIVE")),
        ("messages_suppress_offers", call("SUPPRESS")),
        ("messages_kill_task", call("KILL")),
        ("messages_reconcile_tasks", call("RECONCILE")),
        ("messages_unregister_framework", call("TEARDOWN")),
        ("messages_status_update_acknowledgement", call("ACKNOWLEDGE")),
        ("messages_register_slave", counters.registrations),
        ("messages_reregister_slave", counters.reregistrations),
        ("messages_status_update", counters.updates),
        ("valid_status_updates", counters.updates - counters.updates_unknown),
        ("invalid_status_updates", counters.updates_unknown),
        ("valid_status_update_acknowledgements", valid),
        ("invalid_status_update_acknowledgements", invalid),
        ("slave_unreachable_completed", counters.unreachable),
    ] {
        put(&format!("master/{name}"), json!(count));
    }
}
