//! How soon a task runs on a cluster that is full of others: from the request to the event that says so.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use clap::Parser;
use reqwest::Method;
use serde::Serialize;
use tokio::sync::mpsc;

use crate::Result;
use crate::figures::{Spread, Table};
use crate::load::{Loaded, Pace, Size, app};
use crate::machine;
use crate::options::Common;

/// An event that has not come by then does not come.
const PATIENCE: Duration = Duration::from_secs(30);

/// `cargo bench -p benches --bench latency`: from POST of an app of one instance to its TASK_RUNNING on the event stream
#[derive(Parser, Clone, Debug)]
pub struct Options {
    /// How much runs already.
    #[command(flatten)]
    pub size: Size,

    /// Requests a second
    #[arg(long, default_value_t = 10.0)]
    pub rate: f64,

    /// Requests
    #[arg(long, default_value_t = 300)]
    pub posts: usize,

    /// Of every measurement.
    #[command(flatten)]
    pub common: Common,
}

/// All that was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// The cluster.
    pub loaded: Loaded,
    /// A second.
    pub rate: f64,
    /// From the moment that a request was to be sent to its answer: the app is on disk.
    pub accepted: Option<Spread>,
    /// To the event that the task runs.
    pub running: Option<Spread>,
    /// CPU seconds by threads, for each second of the measurement.
    pub cpu: std::collections::BTreeMap<String, f64>,
}

/// Measures.
///
/// # Errors
/// When a request is refused, or a task does not come to run.
pub async fn measure(options: &Options) -> Result<Figures> {
    let (cluster, loaded) = options.size.bring_up(&options.common).await?;
    let http = cluster.http()?;
    let mut events = http.events(&["status_update_event"]).await?;
    let (seen, mut running) = mpsc::unbounded_channel();
    let listening = tokio::spawn(async move {
        while let Ok(Some(event)) = events.next().await {
            if event.data["taskStatus"] == "TASK_RUNNING" {
                let app = event.data["appId"].as_str().unwrap_or_default().to_owned();
                if seen.send((app, Instant::now())).is_err() {
                    return;
                }
            }
        }
    });
    let (cpu, begin) = (machine::cpu_seconds(), Instant::now());
    let mut pace = Pace::new(options.rate);
    let mut asking = tokio::task::JoinSet::new();
    for number in 0..options.posts {
        let at = pace.turn().await;
        let (http, id) = (http.clone(), format!("/probe/app-{number}"));
        asking.spawn(async move {
            http.change(Method::POST, "/v2/apps", Some(&app(&id, 1))).await?;
            Result::Ok((id, at, at.elapsed()))
        });
    }
    let mut asked: HashMap<String, Instant> = HashMap::new();
    let mut accepted = Vec::new();
    while let Some(answered) = asking.join_next().await {
        let (id, at, took) = answered??;
        asked.insert(id, at);
        accepted.push(took);
    }
    let mut ran = Vec::new();
    while !asked.is_empty() {
        let next = tokio::time::timeout(PATIENCE, running.recv()).await;
        let Ok(Some((app, seen))) = next else {
            return Err(format!("{} of {} tasks were not seen to run", asked.len(), options.posts).into());
        };
        ran.extend(asked.remove(&app).map(|at| seen.duration_since(at)));
    }
    let seconds = begin.elapsed().as_secs_f64();
    let cpu = machine::cpu_since(&cpu).into_iter().map(|(thread, spent)| (thread, spent / seconds)).collect();
    listening.abort();
    cluster.stop().await?;
    let (accepted, running) = (Spread::of(&accepted), Spread::of(&ran));
    Ok(Figures { loaded, rate: options.rate, accepted, running, cpu })
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", self.loaded)?;
        writeln!(f, "milliseconds from the moment that a request was due, {} a second", self.rate)?;
        let mut table = Table::new(&["to", "p50", "p99", "max"]);
        for (name, spread) in [("answer", self.accepted), ("TASK_RUNNING seen", self.running)] {
            table.row([name.to_owned()].into_iter().chain(Spread::cells(spread)));
        }
        writeln!(f, "{table}")?;
        for (thread, share) in &self.cpu {
            writeln!(f, "threads called {thread} used {:.1} % of a CPU", share * 100.0)?;
        }
        Ok(())
    }
}
