//! The work of the provisioning benchmark, done with the installer's own parts: one connection and one look per host, a plan,
//! and one stream with all that differs. `provision WORK.json`; `run`, beside it, compares it with others.

mod work;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream;
use installer::apply::Places;
use installer::event::Listener;
use installer::host::{Host, Work};
use installer::phase::Phase;
use installer::plan::plan;
use installer::run::UPLOADS;
use ssh::{Become, Connector, Counters, Settings, Target};
use tokio::sync::Semaphore;

use work::Ready;

/// What all hosts share.
struct Shared {
    ready: Ready,
    connector: Connector,
    uploads: Semaphore,
    listener: Listener,
}

/// What one host took.
struct Outcome {
    steps: usize,
    cost: Counters,
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a program whose output is its result")]
fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: provision WORK.json");
        return ExitCode::from(2);
    };
    match measure(&path) {
        Ok(summary) => {
            println!("{summary}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(path: &Path) -> Result<String, Box<dyn Error>> {
    let ready = Ready::read(path)?;
    let known_hosts = ready.work.hosts.iter().map(|host| host.known_hosts.clone()).take(1).collect();
    let settings = Settings { known_hosts, ..Settings::for_user(Path::new("/nonexistent"), "nobody") };
    let shared = Shared {
        ready,
        connector: Connector::new(settings)?,
        uploads: Semaphore::new(UPLOADS),
        listener: Arc::new(|_event| {}),
    };
    // As the command line's own.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let all = &shared;
    let outcomes: Vec<_> = runtime.block_on(
        stream::iter(&all.ready.work.hosts)
            .map(|host| async move { (host, provision(all, host).await) })
            .buffer_unordered(all.ready.work.parallel.max(1))
            .collect(),
    );
    let mut whole = Outcome { steps: 0, cost: Counters::default() };
    for (host, outcome) in &outcomes {
        let outcome = outcome.as_ref().map_err(|error| format!("{}: {error}", host.name))?;
        whole.steps += outcome.steps;
        whole.cost.execs += outcome.cost.execs;
        whole.cost.round_trips += outcome.cost.round_trips;
        whole.cost.bytes_up += outcome.cost.bytes_up;
        whole.cost.bytes_down += outcome.cost.bytes_down;
    }
    let Outcome { steps, cost } = whole;
    Ok(format!(
        "{} hosts, {steps} steps, {} execs, {} round trips, {} bytes sent, {} received",
        outcomes.len(),
        cost.execs,
        cost.round_trips,
        cost.bytes_up,
        cost.bytes_down
    ))
}

/// One host, from connection to end.
async fn provision(shared: &Shared, host: &work::Host) -> Result<Outcome, Box<dyn Error>> {
    let mut target = Target::new(&host.name, &host.address);
    target.port = Some(host.port);
    target.user = Some(host.user.clone());
    target.identities = vec![host.identity_file.clone()];
    target.identities_only = true;
    let session = shared.connector.connect(&target).await?;
    let link = Host::new(&host.name, session, Become::No);
    let look = shared.ready.look(host)?;
    let facts = Arc::new(link.look(&look).await.map_err(|blind| blind.failure.what)?);
    let desired = Arc::new(shared.ready.desired(host, &facts)?);
    let steps = plan(&desired, &facts).map_err(|conflicts| format!("in the way: {conflicts:?}"))?;
    if !steps.is_empty() {
        let work = Work {
            phase: Phase::Distribute,
            desired: &desired,
            steps: &steps,
            facts: &facts,
            places: &places(host),
            uploads: &shared.uploads,
            listener: &shared.listener,
        };
        let failed = link.take(&work).await;
        failed.map_err(|stopped| {
            format!("{}: {} {}", stopped.what, stopped.failure.what, stopped.failure.said)
        })?;
    }
    let cost = link.counters();
    link.close().await;
    Ok(Outcome { steps: steps.len(), cost })
}

/// Below the host's own directory, since all of these hosts are one machine. Nothing is ever to be taken away by a list.
fn places(host: &work::Host) -> Places {
    Places {
        staging: format!("{}/.staging", host.root),
        lock: format!("{}/.lock", host.root),
        manifest: None,
    }
}
