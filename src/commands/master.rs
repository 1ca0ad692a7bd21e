//! `clusterctl master`: the daemon of a node that leads, or stands by while another one does. systemd starts it, on what the
//! install wrote.

mod etcd;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use identity::PeerRole;
use sd_notify::NotifyState;
use serde::Deserialize;
use tls::Tls;
use tokio::net::TcpListener;

use self::etcd::EtcdPlace;
use crate::daemon::{self, End, Span, TlsFiles};
use crate::error::CliError;
use crate::exit::Exit;

/// Whoever asks whether the master works waits so long; then it does not.
const ALIVE_WITHIN: Duration = Duration::from_secs(10);

/// Arguments of `clusterctl master`.
#[derive(Args, Debug)]
pub(crate) struct MasterArgs {
    /// What `clusterctl install` wrote for it
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// `master.yaml`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The cluster's name.
    cluster: String,
    /// This master's name, as its certificate has it.
    name: String,
    /// Where it listens.
    #[serde(default = "listen")]
    listen: SocketAddr,
    /// `host:port` that clients and agents reach it at.
    advertise: String,
    /// `host:port` of every master, this one among them; none where it is the only one.
    #[serde(default)]
    masters: Vec<String>,
    /// Where it keeps its state.
    #[serde(default = "state")]
    state: PathBuf,
    /// The store that several masters share; absent where there is one, whose store is a file in `state`.
    #[serde(default)]
    store: Option<Stored>,
    tls: TlsFiles,
    /// The key of the cluster's secrets, the same for all masters; without it, there are none.
    #[serde(default)]
    secrets_key: Option<PathBuf>,
    #[serde(default)]
    timeouts: Timeouts,
    /// Whose tasks are that name no user. What holds is each agent's own; this is what clients are told.
    #[serde(default)]
    task_user: Option<String>,
    /// Directories of agents' hosts that tasks may have as volumes.
    #[serde(default)]
    host_paths: Vec<PathBuf>,
}

/// Where the masters' common store is.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    etcd: EtcdPlace,
}

/// Times that are no constants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Timeouts {
    /// An agent that is silent for so long is unreachable.
    #[serde(default)]
    unreachable: Option<Span>,
    /// After a change of leader, agents have so long to come back.
    #[serde(default)]
    reregistration: Option<Span>,
}

fn listen() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], 5050))
}

fn state() -> PathBuf {
    PathBuf::from("/var/lib/clusterctl/master")
}

/// Runs the daemon until a signal ends it.
pub(crate) fn run(args: &MasterArgs) -> Result<Exit, CliError> {
    let config: Config = daemon::configuration(&args.config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|cause| CliError::internal("cannot start").caused_by(&cause))?;
    let ended = runtime.block_on(lead(&config, &args.config));
    runtime.shutdown_background();
    ended
}

async fn lead(config: &Config, file: &Path) -> Result<Exit, CliError> {
    let mut end = End::new()?;
    let hangup = daemon::hangup()?;
    let tls = config.tls.load(&config.cluster, PeerRole::Master, &config.name)?;
    let options = options(config, file, &tls)?;
    let listener = TcpListener::bind(config.listen).await.map_err(|cause| {
        CliError::usage(format!("cannot listen on {}", config.listen))
            .caused_by(&cause)
            .hint(format!("`listen` in {} says where; is another master running?", file.display()))
    })?;
    let gateway = gateway::Gateway::start(listener, options).await.map_err(|cause| {
        let error = CliError::usage("the master cannot start").caused_by(&cause);
        match cause {
            gateway::GatewayError::Store(store::StoreError::InUse { .. }) => {
                error.hint(format!("`state` in {} is another running master's", file.display()))
            }
            _ => error,
        }
    })?;
    let mut standing = gateway.standing();
    tracing::info!(address = %gateway.address(), "the master of {} listens, and {standing}", config.cluster);
    // Also while its store is away: it keeps trying, and nothing is gained by starting it again.
    daemon::tell(NotifyState::Ready);
    daemon::tell(NotifyState::Status(&standing.to_string()));

    let keeping = tokio::spawn(daemon::keep_certificate(tls, hangup));
    let mut watchdog = daemon::watchdog().map(tokio::time::interval);
    loop {
        tokio::select! {
            () = end.asked() => break,
            now = gateway.stands_otherwise(standing.clone()) => {
                daemon::tell(NotifyState::Status(&now.to_string()));
                standing = now;
            }
            () = beat(&mut watchdog) => {
                match tokio::time::timeout(ALIVE_WITHIN, gateway.is_alive()).await {
                    Ok(true) => daemon::tell_alive(),
                    _ => tracing::error!("the master's loop does not answer"),
                }
            }
        }
    }
    daemon::tell(NotifyState::Stopping);
    tracing::info!("asked to end");
    keeping.abort();
    gateway
        .stop()
        .await
        .map_err(|cause| CliError::internal("the master did not end in order").caused_by(&cause))?;
    Ok(Exit::Done)
}

/// When systemd wants to know; never, where it does not.
async fn beat(watchdog: &mut Option<tokio::time::Interval>) {
    match watchdog {
        Some(interval) => {
            interval.tick().await;
        }
        None => std::future::pending().await,
    }
}

fn options(config: &Config, file: &Path, tls: &Tls) -> Result<gateway::Options, CliError> {
    let advertised = config.advertise.clone();
    let port = advertised.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    if !port.is_some_and(|(host, port)| !host.is_empty() && !host.contains('/') && port > 0) {
        return Err(CliError::usage(format!("{}: `advertise: {advertised}` is no address", file.display()))
            .hint("write host and port, like 192.0.2.11:5050"));
    }
    let mut options = gateway::Options::new(&config.cluster, &config.state, advertised, to_agents(tls)?);
    options.tls = Some(tls.clone());
    options.masters.clone_from(&config.masters);
    if let Some(Stored { etcd }) = &config.store {
        let etcd = Arc::new(etcd.checked(file)?);
        let advertised = options.advertised.clone();
        options.share(Arc::new(gateway::Adopting::new(&config.state, advertised, etcd)));
    }
    options.packages.http = to_others()?;
    if let Some(file) = &config.secrets_key {
        options.secrets_key = gateway::KeyFile::At(file.clone());
    }
    let times = &mut options.master.config;
    if let Some(Span(unreachable)) = config.timeouts.unreachable {
        times.unreachable_after = unreachable;
        // Three pings without a word make the agent dial anew, which is to be before it is given up.
        times.ping = times.ping.min(unreachable / 5);
    }
    if let Some(Span(reregistration)) = config.timeouts.reregistration {
        times.reregistration = reregistration;
    }
    if let Some(user) = &config.task_user {
        options.services.user.clone_from(user);
    }
    options.host_paths(daemon::absolute("host_paths", &config.host_paths)?, false);
    Ok(options)
}

/// For indexes of repositories: believes whom the system believes, and shows nothing of this master.
fn to_others() -> Result<reqwest::Client, CliError> {
    reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(5))
        .build()
        .map_err(|cause| CliError::internal("cannot make HTTP requests to repositories").caused_by(&cause))
}

/// For files of agents: with the master's certificate, and telling whose the agent's is.
fn to_agents(tls: &Tls) -> Result<reqwest::Client, CliError> {
    let failed = |cause: &dyn std::error::Error| {
        CliError::internal(format!("cannot make HTTP requests to agents: {cause}"))
    };
    let dialler = tls.dialler(PeerRole::Agent, &["http/1.1"]).map_err(|cause| failed(&cause))?;
    reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(5))
        .tls_backend_preconfigured(dialler.config())
        .tls_info(true)
        .https_only(true)
        .no_proxy()
        .build()
        .map_err(|cause| failed(&cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "
cluster: demo
name: m1
advertise: 192.0.2.11:5050
tls: {ca: /ca.pem, certificate: /cert.pem, key: /key.pem}
";

    fn read(text: &str) -> Result<Config, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.yaml");
        std::fs::write(&path, text).unwrap();
        daemon::configuration(&path)
            .map_err(|error: CliError| error.message.replace(&dir.path().display().to_string(), "DIR"))
    }

    #[test]
    fn what_is_not_written_has_its_default() {
        let config = read(LEAST).unwrap();
        assert_eq!(config.listen, "0.0.0.0:5050".parse().unwrap());
        assert_eq!(config.state, PathBuf::from("/var/lib/clusterctl/master"));
        assert_eq!((config.timeouts, config.task_user, config.store), (Timeouts::default(), None, None));
        let whole = format!(
            "{LEAST}listen: '[::]:5051'\nstate: /s\ntimeouts: {{unreachable: 6s, reregistration: 1m}}\ntask_user: nobody\nhost_paths: [/srv]\n"
        );
        let config = read(&whole).unwrap();
        assert_eq!(config.timeouts.unreachable, Some(Span(Duration::from_secs(6))));
        assert_eq!(config.listen.port(), 5051);
    }

    #[test]
    fn what_nobody_knows_is_refused_with_its_place() {
        insta::assert_snapshot!(read(&format!("{LEAST}timeout: 3s\n")).unwrap_err(), @"DIR/master.yaml:6:1: unknown field `timeout`, expected one of cluster, name, listen, advertise, masters, state, store, tls, secrets_key, timeouts, task_user, host_paths");
        insta::assert_snapshot!(read(&LEAST.replace("key:", "kye:")).unwrap_err(), @"DIR/master.yaml:5:44: unknown field `kye`, expected one of ca, certificate, key");
    }
}
