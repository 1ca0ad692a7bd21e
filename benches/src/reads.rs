//! What readers of a full cluster wait for: one app at a steady rate, all tasks at once, and one app and `/ping` while others
//! read all there is again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use serde::Serialize;
use tokio::task::JoinSet;

use crate::Result;
use crate::client::Http;
use crate::figures::{Spread, Table};
use crate::load::{Loaded, Pace, Size, id};
use crate::options::{Common, Dice, progress};

/// `cargo bench -p benches --bench reads`: answers of a full cluster
#[derive(Parser, Clone, Debug)]
pub struct Options {
    /// How much runs.
    #[command(flatten)]
    pub size: Size,

    /// Requests for one app a second
    #[arg(long, default_value_t = 1_000.0)]
    pub rate: f64,

    /// For how long each rate is kept up, in seconds
    #[arg(long, default_value_t = 10.0)]
    pub seconds: f64,

    /// How often all tasks are read
    #[arg(long, default_value_t = 7)]
    pub dumps: usize,

    /// How many clients read everything at the same time
    #[arg(long, default_value_t = 8)]
    pub dumpers: usize,

    /// Of every measurement.
    #[command(flatten)]
    pub common: Common,
}

/// Times of one kind of request.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// What was asked for, and meanwhile what else.
    pub what: String,
    /// Bytes of the last answer.
    pub bytes: usize,
    /// Milliseconds.
    pub spread: Option<Spread>,
}

/// All that was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// The cluster.
    pub loaded: Loaded,
    /// Each kind.
    pub lines: Vec<Line>,
    /// How many dumps of everything were read meanwhile, a second.
    pub dumps_per_second: f64,
}

/// Measures.
///
/// # Errors
/// When a request fails, or a dump does not hold all tasks.
pub async fn measure(options: &Options) -> Result<Figures> {
    let (cluster, loaded) = options.size.bring_up(&options.common).await?;
    let http = cluster.http()?;
    let period = Duration::from_secs_f64(options.seconds);
    let mut dice = Dice::new(options.common.seed);
    let apps = options.size.apps;
    let mut one = |plain: bool| {
        let embed = if plain { "?embed=app.counts" } else { "" };
        format!("/v2/apps{}{embed}", id(dice.below(apps)))
    };
    let mut lines = Vec::new();
    lines.push(steady(&http, "one app, without its tasks", options.rate, period, || one(true)).await?);
    lines.push(steady(&http, "one app", options.rate, period, || one(false)).await?);
    for (what, path) in [("all tasks", "/v2/tasks"), ("all apps with tasks", "/v2/apps?embed=apps.tasks")] {
        progress(what);
        lines.push(dump(&http, what, path, options.dumps, loaded.tasks).await?);
    }

    progress("one app and /ping beside dumpers");
    let (stop, dumped) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut dumping = JoinSet::new();
    for _ in 0..options.dumpers {
        let (http, stop, dumped) = (cluster.http()?, stop.clone(), dumped.clone());
        dumping.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                http.get("/v2/apps?embed=apps.tasks").await?;
                dumped.fetch_add(1, Ordering::Relaxed);
            }
            Result::Ok(())
        });
    }
    let begin = Instant::now();
    let rate = options.rate.min(100.0);
    lines.push(steady(&http, "/ping beside dumpers", rate, period, || "/ping".to_owned()).await?);
    lines
        .push(steady(&http, "one app, without its tasks, beside dumpers", rate, period, || one(true)).await?);
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = dumping.join_next().await {
        ended??;
    }
    let dumped = f64::from(u32::try_from(dumped.load(Ordering::Relaxed))?);
    let dumps_per_second = dumped / begin.elapsed().as_secs_f64();
    cluster.stop().await?;
    Ok(Figures { loaded, lines, dumps_per_second })
}

/// Requests at a steady rate, whether or not earlier ones were answered.
async fn steady(
    http: &Http,
    what: &str,
    rate: f64,
    period: Duration,
    mut path: impl FnMut() -> String,
) -> Result<Line> {
    progress(what);
    let (begin, mut pace) = (Instant::now(), Pace::new(rate));
    let (mut asking, mut times, mut bytes) = (JoinSet::new(), Vec::new(), 0);
    while begin.elapsed() < period {
        let at = pace.turn().await;
        let (http, path) = (http.clone(), path());
        asking.spawn(async move {
            let body = http.get(&path).await?;
            Result::Ok((at.elapsed(), body.len()))
        });
        while let Some(answered) = asking.try_join_next() {
            let (took, length) = answered??;
            times.push(took);
            bytes = length;
        }
    }
    while let Some(answered) = asking.join_next().await {
        let (took, length) = answered??;
        times.push(took);
        bytes = length;
    }
    Ok(Line { what: format!("{what}, {rate}/s"), bytes, spread: Spread::of(&times) })
}

/// Everything, one time after the other.
async fn dump(http: &Http, what: &str, path: &str, times: usize, tasks: usize) -> Result<Line> {
    let (mut took, mut bytes) = (Vec::new(), 0);
    for _ in 0..times {
        let begin = Instant::now();
        let body = http.get(path).await?;
        took.push(begin.elapsed());
        let found = body.windows(10).filter(|window| window == b"\"stagedAt\"").count();
        if found != tasks {
            return Err(format!("{path} shows {found} tasks, {tasks} run").into());
        }
        bytes = body.len();
    }
    Ok(Line { what: what.to_owned(), bytes, spread: Spread::of(&took) })
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", self.loaded)?;
        writeln!(f, "milliseconds to the last byte, from the moment that the request was due")?;
        let mut table = Table::new(&["GET", "bytes", "answers", "p50", "p99", "max"]);
        for line in &self.lines {
            let count = line.spread.map_or(0, |spread| spread.count);
            let cells = [line.what.clone(), line.bytes.to_string(), count.to_string()];
            table.row(cells.into_iter().chain(Spread::cells(line.spread)));
        }
        writeln!(f, "{table}\n{:.1} dumps a second were read beside them", self.dumps_per_second)
    }
}
