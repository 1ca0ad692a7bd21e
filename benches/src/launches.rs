//! Durable launches a second: of instances whose record is committed before they are launched, in etcd and beside it in the
//! embedded store; and what of that is the store's part.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use etcd_client::Client;
use reqwest::Method;
use serde::Serialize;
use store::{Batch, Candidate, EmbeddedStore, EtcdStore, Key, Store};

use crate::Result;
use crate::agent::Behaviour;
use crate::client::{Ends, Http};
use crate::cluster::Cluster;
use crate::etcd::Etcd;
use crate::figures::{Table, median};
use crate::load::app;
use crate::machine;
use crate::options::{Common, progress};

/// `cargo bench -p benches --bench launches`: launches that are durable, a second
#[derive(Parser, Clone, Debug)]
pub struct Options {
    /// How many simulated agents there are
    #[arg(long, default_value_t = 1_000)]
    pub agents: usize,

    /// How many members etcd has
    #[arg(long, default_value_t = 1)]
    pub members: usize,

    /// Apps and instances of each, deployed at the same time; several sets
    #[arg(long, value_delimiter = ',', default_values_t = [Set { apps: 16, instances: 500 }, Set { apps: 1, instances: 10_000 }])]
    pub sets: Vec<Set>,

    /// How often each is measured
    #[arg(long, default_value_t = 5)]
    pub runs: usize,

    /// How many records are committed to the store alone
    #[arg(long, default_value_t = 20_000)]
    pub records: usize,

    /// For how long one client puts records one after the other, in seconds
    #[arg(long, default_value_t = 2.0)]
    pub seconds: f64,

    /// Of every measurement.
    #[command(flatten)]
    pub common: Common,
}

/// So many apps of so many instances: `16x500`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Set {
    /// Apps.
    pub apps: usize,
    /// Instances of each.
    pub instances: usize,
}

impl std::fmt::Display for Set {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.apps, self.instances)
    }
}

impl std::str::FromStr for Set {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let wrong = || format!("{text:?} is not like 16x500");
        let (apps, instances) = text.split_once('x').ok_or_else(wrong)?;
        let number = |text: &str| text.parse().map_err(|_no_number| wrong());
        Ok(Self { apps: number(apps)?, instances: number(instances)? })
    }
}

/// One way to make something durable, measured several times.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// What was done.
    pub what: String,
    /// Where it is durable.
    pub store: &'static str,
    /// Of each run.
    pub per_second: Vec<f64>,
    /// CPU seconds of the master's threads, for ten thousand.
    pub master_cpu_s: Option<f64>,
}

/// All that was measured.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// Simulated agents.
    pub agents: usize,
    /// Of etcd.
    pub members: usize,
    /// The last is what the others are compared with.
    pub lines: Vec<Line>,
}

const EMBEDDED: &str = "embedded";
const ETCD: &str = "etcd";
/// As long as the record of an instance is.
const RECORD_BYTES: usize = 640;
/// As many records as the services change with one commit.
const TOGETHER: usize = 100;

/// Measures.
///
/// # Errors
/// When there is no etcd, or a deployment or a commit fails.
pub async fn measure(options: &Options) -> Result<Figures> {
    let mut lines = Vec::new();
    for store in [ETCD, EMBEDDED] {
        // etcd outlives the cluster that stands on it.
        let etcd =
            if store == ETCD { Some(Etcd::start(&options.common.dir, options.members).await?) } else { None };
        let shared = etcd.as_ref().map(Etcd::shared);
        let cluster =
            Cluster::start_on(&options.common, options.agents, &Behaviour::default(), shared).await?;
        let http = cluster.http()?;
        let mut ends = Ends::listen(&http).await?;
        for set in &options.sets {
            lines.push(launches(*set, store, options.runs, &cluster, &http, &mut ends).await?);
        }
        drop(ends);
        cluster.stop().await?;
    }
    lines.extend(stores(options).await?);
    Ok(Figures { agents: options.agents, members: options.members, lines })
}

/// From the first request to the last end of a deployment, which comes when all run.
async fn launches(
    set: Set,
    store: &'static str,
    runs: usize,
    cluster: &Cluster,
    http: &Http,
    ends: &mut Ends,
) -> Result<Line> {
    let tasks = set.apps * set.instances;
    let count = f64::from(u32::try_from(tasks)?);
    let (mut per_second, mut cpu) = (Vec::new(), Vec::new());
    let id = |number: usize| format!("/bench/app-{number}");
    for _ in 0..runs {
        let before = machine::cpu_seconds();
        let begin = Instant::now();
        let create = |number: usize| {
            let (http, app) = (http.clone(), app(&id(number), set.instances));
            async move { http.change(Method::POST, "/v2/apps", Some(&app)).await }
        };
        let deployments = futures_util::future::try_join_all((0..set.apps).map(create)).await?;
        let ended = ends.of(&deployments).await?;
        let last = ended.iter().max().copied().unwrap_or(begin);
        per_second.push(count / last.duration_since(begin).as_secs_f64());
        let spent = machine::cpu_since(&before);
        let threads = ["master", "store-writer"].iter().filter_map(|name| spent.get(*name));
        cpu.push(threads.sum::<f64>() * 10_000.0 / count);
        cluster.has_tasks(tasks).await?;
        let delete = |number: usize| {
            let (http, path) = (http.clone(), format!("/v2/apps{}", id(number)));
            async move { http.change(Method::DELETE, &path, None).await }
        };
        let deployments = futures_util::future::try_join_all((0..set.apps).map(delete)).await?;
        ends.of(&deployments).await?;
        cluster.has_tasks(0).await?;
    }
    let line = Line { what: format!("launches, {set}"), store, per_second, master_cpu_s: Some(median(&cpu)) };
    progress(&format!("{} in {store}: {:.0} a second", line.what, median(&line.per_second)));
    Ok(line)
}

/// The stores alone, in turn, so that what else the machine does meets all of them.
async fn stores(options: &Options) -> Result<Vec<Line>> {
    let dir = tempfile::Builder::new().prefix("clusterctl-bench-").tempdir_in(&options.common.dir)?;
    let etcd = Etcd::start(&options.common.dir, options.members).await?;
    let embedded: Arc<dyn Store> =
        Arc::new(EmbeddedStore::open(dir.path(), store::Options::default()).await?);
    let shared: Arc<dyn Store> = Arc::new(EtcdStore::connect(etcd.options()).await?);
    let mut client = Client::connect(&etcd.endpoints, None).await?;
    let line =
        |what: &str, store| Line { what: what.to_owned(), store, per_second: Vec::new(), master_cpu_s: None };
    let many = format!("records, {TOGETHER} a commit");
    let mut lines = vec![
        line(&many, ETCD),
        line("records, one a commit, merged", ETCD),
        line(&many, EMBEDDED),
        line("records, one a commit, merged", EMBEDDED),
        line("puts of one client", ETCD),
    ];
    for _ in 0..options.runs {
        let mut found = Vec::new();
        for store in [&shared, &embedded] {
            for together in [TOGETHER, 1] {
                found.push(commits(store.as_ref(), options.records, together).await?);
            }
        }
        found.push(puts(&mut client, Duration::from_secs_f64(options.seconds)).await?);
        for (line, found) in lines.iter_mut().zip(found) {
            line.per_second.push(found);
        }
    }
    shared.close().await?;
    embedded.close().await?;
    Ok(lines)
}

async fn commits(store: &dyn Store, records: usize, together: usize) -> Result<f64> {
    let leadership = store.campaign(&Candidate::new("bench")).await?;
    let keys = (0..records).map(|n| Key::new(format!("services/instances/{n}"))).collect::<Vec<_>>();
    let keys = keys.into_iter().collect::<std::result::Result<Vec<Key>, _>>()?;
    let batch =
        |keys: &[Key]| keys.iter().fold(Batch::new(), |batch, key| batch.put(key.clone(), [7; RECORD_BYTES]));
    let batches: Vec<Batch> = keys.chunks(together).map(batch).collect();
    let count = batches.len();
    let begin = Instant::now();
    let (made, error) = store.commit_all(&leadership, batches).await;
    let took = begin.elapsed();
    if let Some(error) = error {
        return Err(error.into());
    }
    if made != count {
        return Err(format!("{made} of {count} commits were made").into());
    }
    store.resign(&leadership).await?;
    Ok(f64::from(u32::try_from(records)?) / took.as_secs_f64())
}

async fn puts(client: &mut Client, period: Duration) -> Result<f64> {
    let (begin, mut count) = (Instant::now(), 0_u32);
    while begin.elapsed() < period {
        client.put(format!("puts/{}", count % 1000), [7; RECORD_BYTES], None).await?;
        count += 1;
    }
    Ok(f64::from(count) / begin.elapsed().as_secs_f64())
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "{} agents, {} member(s) of etcd; medians of the runs; launches from the request to deployment_success",
            self.agents, self.members
        )?;
        let base = self.lines.last().map_or(f64::NAN, |line| median(&line.per_second));
        let mut table = Table::new(&[
            "what",
            "store",
            "a second",
            "most",
            "of one client's puts",
            "master CPU s of 10,000",
        ]);
        for line in &self.lines {
            let middle = median(&line.per_second);
            let most = line.per_second.iter().copied().fold(f64::NAN, f64::max);
            table.row([
                line.what.clone(),
                line.store.to_owned(),
                format!("{middle:.0}"),
                format!("{most:.0}"),
                format!("{:.1}", middle / base),
                line.master_cpu_s.map(|cpu| format!("{cpu:.2}")).unwrap_or_default(),
            ]);
        }
        write!(f, "{table}")
    }
}

#[cfg(test)]
mod tests {
    use super::Set;

    #[test]
    fn a_set_is_read_as_it_is_written() {
        let set = Set { apps: 16, instances: 500 };
        assert_eq!(set.to_string().parse(), Ok(set));
        for wrong in ["16", "x", "16x", "ax5", "1x2x3"] {
            assert!(wrong.parse::<Set>().is_err(), "{wrong}");
        }
    }
}
