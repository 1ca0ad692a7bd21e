//! A cluster full of tasks, brought up through the interface: what [`crate::latency`] and [`crate::reads`] begin with.

use std::time::{Duration, Instant};

use clap::Args;
use reqwest::Method;
use serde::Serialize;
use serde_json::{Value, json};

use crate::agent::Behaviour;
use crate::client::Ends;
use crate::cluster::Cluster;
use crate::options::{Common, progress};
use crate::{Result, machine};

/// So many apps are brought up together; more deployments than a hundred are refused.
const TOGETHER: usize = 20;

/// How much is loaded.
#[derive(Args, Clone, Copy, Debug)]
pub struct Size {
    /// How many simulated agents there are
    #[arg(long, default_value_t = 10_000)]
    pub agents: usize,

    /// How many apps run, beside those that are measured
    #[arg(long, default_value_t = 200)]
    pub apps: usize,

    /// How many instances each has
    #[arg(long, default_value_t = 500)]
    pub instances: usize,
}

/// What it took to load it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Loaded {
    /// Simulated agents.
    pub agents: usize,
    /// Tasks that run.
    pub tasks: usize,
    /// From the first dialling to the last registration.
    pub registering_s: f64,
    /// From the first request to the last end of a deployment.
    pub loading_s: f64,
    /// Of the master's process: without agents, with all of them, and when all tasks ran.
    pub resident_mib: [u64; 3],
}

/// An app of so many instances.
#[must_use]
pub fn app(id: &str, instances: usize) -> Value {
    json!({"id": id, "cmd": "sleep 100000", "cpus": 0.1, "mem": 32.0, "instances": instances})
}

/// The id of the app of this number.
#[must_use]
pub fn id(number: usize) -> String {
    format!("/load/app-{number:04}")
}

impl Size {
    /// Starts a cluster and fills it.
    ///
    /// # Errors
    /// When not all tasks run in the end.
    pub async fn bring_up(self, common: &Common) -> Result<(Cluster, Loaded)> {
        let empty = machine::resident_mib();
        let cluster = Cluster::start(common, self.agents, &Behaviour::default()).await?;
        let registering_s = cluster.registering.as_secs_f64();
        progress(&format!("{} agents registered in {registering_s:.1} s", self.agents));
        let registered = machine::resident_mib();
        let http = cluster.http()?;
        let mut ends = Ends::listen(&http).await?;
        let begin = Instant::now();
        for first in (0..self.apps).step_by(TOGETHER) {
            let mut deployments = Vec::new();
            for number in first..self.apps.min(first + TOGETHER) {
                let app = app(&id(number), self.instances);
                deployments.push(http.change(Method::POST, "/v2/apps", Some(&app)).await?);
            }
            ends.of(&deployments).await?;
            let so_far = begin.elapsed();
            let done = self.apps.min(first + TOGETHER) * self.instances;
            progress(&format!("{done} tasks run after {:.1} s", so_far.as_secs_f64()));
        }
        let loading = begin.elapsed();
        let tasks = self.apps * self.instances;
        cluster.has_tasks(tasks).await?;
        let resident_mib = [empty, registered, machine::resident_mib()];
        let loading_s = loading.as_secs_f64();
        Ok((cluster, Loaded { agents: self.agents, tasks, registering_s, loading_s, resident_mib }))
    }
}

impl std::fmt::Display for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { agents, tasks, registering_s, loading_s, resident_mib: [empty, registered, full] } = self;
        let rate = f64::from(u32::try_from(*tasks).unwrap_or(u32::MAX)) / loading_s;
        let each = |before: u64, after: u64, count: usize| {
            let mib = u32::try_from(after.saturating_sub(before)).unwrap_or(u32::MAX);
            f64::from(mib) * 1024.0 / f64::from(u32::try_from(count.max(1)).unwrap_or(u32::MAX))
        };
        writeln!(
            f,
            "{agents} agents registered in {registering_s:.1} s; {tasks} tasks ran after {loading_s:.1} s ({rate:.0}/s)"
        )?;
        writeln!(
            f,
            "memory of the master's process: {empty} MiB, then {registered} MiB ({:.1} KiB an agent), then {full} MiB ({:.1} KiB a task)",
            each(*empty, *registered, *agents),
            each(*registered, *full, *tasks)
        )
    }
}

/// Waits for the next turn of `rate` turns a second; when it was late, the next one comes at once.
pub struct Pace {
    next: Instant,
    gap: Duration,
}

impl Pace {
    /// Begins now.
    #[must_use]
    pub fn new(rate: f64) -> Self {
        Self { next: Instant::now(), gap: Duration::from_secs_f64(1.0 / rate) }
    }

    /// Waits for the next turn, and says when it was to be: what is late counts from there.
    pub async fn turn(&mut self) -> Instant {
        let at = self.next;
        self.next = at + self.gap;
        tokio::time::sleep_until(at.into()).await;
        at
    }
}
