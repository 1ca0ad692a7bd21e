//! Numbers about the master, as Prometheus reads them.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;

use api::mesos::TaskState;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::Master;
use crate::core::AgentState;
use crate::view::View;

/// What the loop measures itself by.
#[derive(Clone, Debug)]
pub(crate) struct Gauges {
    pub(crate) cycle: Histogram,
    pub(crate) batch: Histogram,
    pub(crate) store: Histogram,
    /// The last commit.
    pub(crate) store_ms: Milliseconds,
    /// Reading what was stored, at the start.
    pub(crate) fetch_ms: Milliseconds,
}

type Milliseconds = Gauge<f64, AtomicU64>;

impl Default for Gauges {
    fn default() -> Self {
        let histogram = || Histogram::new(exponential_buckets(0.000_01, 4.0, 10));
        Self {
            cycle: histogram(),
            batch: histogram(),
            store: histogram(),
            store_ms: Milliseconds::default(),
            fetch_ms: Milliseconds::default(),
        }
    }
}

type Labelled = Family<Vec<(&'static str, String)>, Gauge>;

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// How many tasks there are in each state, those included whose end is not acknowledged.
pub(crate) fn tasks_by_state(view: &View) -> BTreeMap<TaskState, usize> {
    let mut counts = BTreeMap::new();
    for task in view.tasks.values() {
        *counts.entry(task.status.state).or_default() += 1;
    }
    counts
}

/// How many agents there are in each state.
pub(crate) fn agents_in(view: &View, state: AgentState) -> usize {
    view.agents.values().filter(|agent| agent.state == state).count()
}

impl Master {
    /// All numbers, in the text form that Prometheus reads (OpenMetrics 1.0).
    #[must_use]
    pub fn prometheus(&self) -> String {
        let view = self.view();
        let mut registry = Registry::with_prefix("clusterctl_master");
        let gauges = self.gauges();
        registry.register("cycle_seconds", "Time of an offer cycle", gauges.cycle.clone());
        registry.register("batch_seconds", "Time of a batch of inputs", gauges.batch.clone());
        registry.register("commit_seconds", "Time of a commit", gauges.store.clone());
        let queue: Gauge = Gauge::default();
        queue.set(number(self.waiting()));
        registry.register("queue_depth", "Inputs that wait", queue);
        let agents = Labelled::default();
        for state in AgentState::ALL {
            let label = vec![("state", state.name().to_owned())];
            agents.get_or_create(&label).set(number(agents_in(&view, state)));
        }
        registry.register("agents", "Agents by state", agents);
        let tasks = Labelled::default();
        let counts = tasks_by_state(&view);
        for state in TaskState::ALL {
            let label = vec![("state", state.name().to_owned())];
            tasks.get_or_create(&label).set(number(counts.get(state).copied().unwrap_or_default()));
        }
        registry.register("tasks", "Tasks by state", tasks);
        let offers: Gauge = Gauge::default();
        offers.set(number(view.offers.size()));
        registry.register("offers_outstanding", "Offers without an answer", offers);
        counters(&mut registry, &view);
        let mut text = String::new();
        match encode(&mut text, &registry) {
            Ok(()) => text,
            Err(error) => format!("# the numbers cannot be written: {error}\n# EOF\n"),
        }
    }
}

fn counters(registry: &mut Registry, view: &View) {
    let counters = &view.counters;
    for (name, help, count) in [
        ("registrations", "Registrations of new agents", counters.registrations),
        ("reregistrations", "Registrations of known agents", counters.reregistrations),
        ("registrations_refused", "Registrations refused", counters.refusals),
        ("status_updates", "Status updates of agents", counters.updates),
        ("status_updates_unknown", "Status updates of unknown frameworks", counters.updates_unknown),
        ("status_updates_repeated", "Status updates seen before", counters.updates_repeated),
        ("acknowledgements", "Acknowledgements passed on", counters.acknowledgements),
        ("acknowledgements_invalid", "Acknowledgements dropped", counters.invalid_acknowledgements),
        ("health_reports", "Results of health checks", counters.health),
        ("pongs", "Answers to pings", counters.pongs),
        ("tasks_launched", "Tasks launched", counters.launched),
        ("agents_lost", "Agents that became unreachable", counters.unreachable),
        ("offers_made", "Offers made", counters.offers),
        ("offers_rescinded", "Offers taken back", counters.rescinded),
        ("cycles", "Offer cycles", counters.cycles),
    ] {
        registry.register(name, help, ConstCounter::new(count));
    }
    for (call, count) in &counters.calls {
        let name = format!("calls_{}", call.to_ascii_lowercase());
        registry.register(name, "Calls of frameworks", ConstCounter::new(*count));
    }
    for (state, count) in &counters.ended {
        let name = format!("ended_{}", state.to_ascii_lowercase());
        registry.register(name, "Tasks ended in this state", ConstCounter::new(*count));
    }
}
