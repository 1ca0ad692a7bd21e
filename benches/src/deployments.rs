//! How long deployments take: the matrix that OpenStack measured Marathon 0.15 with, of apps that are created, updated,
//! restarted and deleted at the same time.

use std::collections::BTreeMap;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use reqwest::Method;
use serde::Serialize;
use serde_json::{Value, json};

use crate::agent::Behaviour;
use crate::client::{Ends, Http};
use crate::cluster::Cluster;
use crate::figures::{Table, exponent, least, median};
use crate::load::app;
use crate::options::{Common, progress};
use crate::{Result, machine};

/// `cargo bench -p benches --bench deployments`: from a request to the event that its deployment has succeeded
#[derive(Parser, Clone, Debug)]
pub struct Options {
    /// How many simulated agents there are
    #[arg(long, default_value_t = 189)]
    pub agents: usize,

    /// How many apps are deployed at the same time
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 4, 8, 16])]
    pub apps: Vec<usize>,

    /// How many instances each has
    #[arg(long, value_delimiter = ',', default_values_t = [50, 100, 500])]
    pub instances: Vec<usize>,

    /// Whether apps have a health check
    #[arg(long, value_enum, default_value_t = Health::Both)]
    pub health: Health,

    /// How often each is measured
    #[arg(long, default_value_t = 3)]
    pub runs: usize,

    #[command(flatten)]
    /// Of every measurement.
    pub common: Common,
}

/// With health checks, without, or first without and then with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Health {
    /// Without.
    Off,
    /// With.
    On,
    /// One after the other.
    Both,
}

/// What is done to all apps at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// They come into being.
    Create,
    /// Another definition takes the place of theirs.
    Update,
    /// All instances are replaced.
    Restart,
    /// They go.
    Delete,
}

/// In their order.
pub const PHASES: [Phase; 4] = [Phase::Create, Phase::Update, Phase::Restart, Phase::Delete];

/// One combination, measured several times.
#[derive(Clone, Debug, Serialize)]
pub struct Cell {
    /// Whether with a health check.
    pub health: bool,
    /// Apps at the same time.
    pub apps: usize,
    /// Instances of each.
    pub instances: usize,
    /// What was done.
    pub phase: Phase,
    /// Of each run: from the request to its end, the mean over apps, in seconds.
    pub mean_s: Vec<f64>,
    /// Of each run: from the first request to the last end, in seconds.
    pub last_s: Vec<f64>,
    /// CPU seconds of all runs by threads.
    pub cpu_s: BTreeMap<String, f64>,
}

/// All that was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    /// Simulated agents.
    pub agents: usize,
    /// All combinations.
    pub cells: Vec<Cell>,
    /// By what power of the number of tasks the times grow, without health checks and with them.
    pub exponents: Vec<(bool, Phase, f64)>,
    /// How often a stream of events was cut off.
    pub cuts: u32,
}

/// Measures.
///
/// # Errors
/// When a deployment fails, or does something else than was asked for.
pub async fn measure(options: &Options) -> Result<Figures> {
    let healths = match options.health {
        Health::Off => vec![false],
        Health::On => vec![true],
        Health::Both => vec![false, true],
    };
    let mut figures = Figures { agents: options.agents, cells: Vec::new(), exponents: Vec::new(), cuts: 0 };
    let cluster = Cluster::start(&options.common.dir, options.agents, &Behaviour::default()).await?;
    let http = cluster.http()?;
    let mut ends = Ends::listen(&http).await?;
    for health in healths {
        for (&apps, &instances) in options
            .apps
            .iter()
            .flat_map(|apps| options.instances.iter().map(move |instances| (apps, instances)))
        {
            let run = Run { health, apps, instances };
            figures.cells.extend(run.measure(&cluster, &http, &mut ends, options.runs).await?);
        }
    }
    figures.cuts = ends.cuts;
    figures.exponents = exponents(&figures.cells);
    cluster.stop().await?;
    Ok(figures)
}

#[derive(Clone, Copy)]
struct Run {
    health: bool,
    apps: usize,
    instances: usize,
}

impl Run {
    async fn measure(
        self,
        cluster: &Cluster,
        http: &Http,
        ends: &mut Ends,
        runs: usize,
    ) -> Result<Vec<Cell>> {
        let Self { health, apps, instances } = self;
        let cell = |phase| Cell {
            health,
            apps,
            instances,
            phase,
            mean_s: vec![],
            last_s: vec![],
            cpu_s: BTreeMap::new(),
        };
        let mut cells = PHASES.map(cell);
        for run in 0..runs {
            for cell in &mut cells {
                let before = machine::cpu_seconds();
                let (mean, last) = self.phase(cell.phase, http, ends).await?;
                cell.mean_s.push(mean);
                cell.last_s.push(last);
                for (thread, seconds) in machine::cpu_since(&before) {
                    *cell.cpu_s.entry(thread).or_insert(0.0) += seconds;
                }
                cluster.fleet.check()?;
                self.check(cell.phase, cluster, http).await?;
            }
            let times: Vec<String> = cells.iter().map(|cell| format!("{:.2}", cell.last_s[run])).collect();
            let checks = if health { "with" } else { "without" };
            progress(&format!("{apps} x {instances} {checks} checks: {} s", times.join(", ")));
        }
        Ok(cells.into())
    }

    fn id(number: usize) -> String {
        format!("/bench/app-{number}")
    }

    fn definition(self, number: usize) -> Value {
        let mut definition = app(&Self::id(number), self.instances);
        if self.health {
            definition["healthChecks"] = json!([{"protocol": "HTTP", "path": "/", "gracePeriodSeconds": 5}]);
        }
        definition
    }

    /// Does it to all apps at once. The mean over apps, and the time of the last one, in seconds.
    async fn phase(self, phase: Phase, http: &Http, ends: &mut Ends) -> Result<(f64, f64)> {
        let mut asking = tokio::task::JoinSet::new();
        let begin = Instant::now();
        for number in 0..self.apps {
            let path = format!("/v2/apps{}", Self::id(number));
            let (method, path, body) = match phase {
                Phase::Create => (Method::POST, "/v2/apps".to_owned(), Some(self.definition(number))),
                Phase::Update => (Method::PUT, path, Some(json!({"cpus": 0.2}))),
                Phase::Restart => (Method::POST, format!("{path}/restart"), Some(json!({}))),
                Phase::Delete => (Method::DELETE, path, None),
            };
            let http = http.clone();
            asking.spawn(async move { http.change(method, &path, body.as_ref()).await });
        }
        let mut deployments = Vec::new();
        while let Some(asked) = asking.join_next().await {
            deployments.push(asked??);
        }
        let ended = ends.of(&deployments).await?;
        let times: Vec<f64> = ended.iter().map(|at| at.duration_since(begin).as_secs_f64()).collect();
        let count = f64::from(u32::try_from(times.len())?);
        Ok((times.iter().sum::<f64>() / count, times.iter().copied().fold(0.0, f64::max)))
    }

    /// Whether what was asked for is what runs.
    async fn check(self, phase: Phase, cluster: &Cluster, http: &Http) -> Result<()> {
        let wanted = if phase == Phase::Delete { 0 } else { self.apps * self.instances };
        let apps: Value = serde_json::from_slice(&http.get("/v2/apps").await?)?;
        let sum = |name: &str| -> u64 {
            apps["apps"].as_array().into_iter().flatten().filter_map(|app| app[name].as_u64()).sum()
        };
        let name = if self.health { "tasksHealthy" } else { "tasksRunning" };
        let (shown, there) = (usize::try_from(sum(name))?, cluster.fleet.tasks());
        // Ends that are on their way to the agents are still counted there.
        if shown != wanted || there < wanted {
            return Err(format!("{phase:?}: {shown} {name}, {there} on agents, {wanted} wanted").into());
        }
        Ok(())
    }
}

fn exponents(cells: &[Cell]) -> Vec<(bool, Phase, f64)> {
    let mut all = Vec::new();
    for (health, phase) in [false, true].iter().flat_map(|health| PHASES.map(|phase| (*health, phase))) {
        let of = cells.iter().filter(|cell| (cell.health, cell.phase) == (health, phase));
        let count = |cell: &Cell| f64::from(u32::try_from(cell.apps * cell.instances).unwrap_or(u32::MAX));
        let points: Vec<(f64, f64)> = of.map(|cell| (count(cell), median(&cell.last_s))).collect();
        all.extend(exponent(&points).map(|exponent| (health, phase, exponent)));
    }
    all
}

/// What OpenStack's performance documentation measured with Marathon 0.15.2 and Mesos 0.27 on 189 machines: the mean over apps,
/// in seconds.
const MARATHON: [(Phase, usize, usize, f64); 7] = [
    (Phase::Create, 1, 50, 6.15),
    (Phase::Create, 1, 500, 14.2),
    (Phase::Create, 16, 500, 297.0),
    (Phase::Update, 16, 500, 883.0),
    (Phase::Restart, 1, 500, 28.6),
    (Phase::Restart, 8, 500, 439.0),
    (Phase::Restart, 16, 500, 709.0),
];

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "{} agents; seconds from the request to deployment_success; `all`: to the last one",
            self.agents
        )?;
        let mut table = Table::new(&[
            "phase",
            "checks",
            "apps",
            "instances",
            "mean",
            "mean, min",
            "all",
            "all, min",
            "master CPU",
            "Marathon 0.15",
        ]);
        for cell in &self.cells {
            let of = |(phase, apps, instances, _): &&(Phase, usize, usize, f64)| {
                (*phase, *apps, *instances) == (cell.phase, cell.apps, cell.instances)
            };
            let marathon = MARATHON.iter().find(of).map(|known| format!("{}", known.3)).unwrap_or_default();
            let runs = f64::from(u32::try_from(cell.mean_s.len()).unwrap_or(1));
            let cpu: f64 = ["master", "store-writer"].iter().filter_map(|name| cell.cpu_s.get(*name)).sum();
            let seconds = |seconds: f64| format!("{seconds:.3}");
            table.row([
                format!("{:?}", cell.phase).to_lowercase(),
                if cell.health { "on" } else { "off" }.to_owned(),
                cell.apps.to_string(),
                cell.instances.to_string(),
                seconds(median(&cell.mean_s)),
                seconds(least(&cell.mean_s)),
                seconds(median(&cell.last_s)),
                seconds(least(&cell.last_s)),
                seconds(cpu / runs),
                marathon,
            ]);
        }
        writeln!(f, "{table}")?;
        for (health, phase, exponent) in &self.exponents {
            let checks = if *health { "with" } else { "without" };
            writeln!(f, "{phase:?} {checks} checks grows as tasks^{exponent:.2}")?;
        }
        if self.cuts > 0 {
            writeln!(f, "the stream of events was cut off {} times", self.cuts)?;
        }
        Ok(())
    }
}
