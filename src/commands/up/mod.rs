//! `clusterctl up`: a one-machine cluster in the foreground. This process is the master; each agent is a child process; tasks
//! run below shims of their own, which outlive both.

mod agents;
mod share;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use scheduler::{Range, Resources, TextError};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use self::agents::{News, Order, Setup};
use crate::context;
use crate::error::CliError;
use crate::event::{Event, UpAgent};
use crate::exit::Exit;
use crate::printer::Printer;

const EXAMPLES: &str = "\
Examples:
  clusterctl up                        one agent with all of this machine, state in ~/.local/state/clusterctl/up
  clusterctl up --dir /tmp/c --agents 3 --port 5051
  curl localhost:5050/v2/apps -H 'Content-Type: application/json' -d '{\"id\": \"/hello\", \"cmd\": \"sleep 1000\", \"mem\": 32}'

Ctrl-C ends the tasks and the cluster; what was to run is kept, and runs again after the next `clusterctl up` on the
same directory. When the process is killed instead, tasks run on, and the next `clusterctl up` takes them over.";

/// Arguments of `clusterctl up`.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct UpArgs {
    /// Where the cluster keeps its state; made if it is not there
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,

    /// The port on 127.0.0.1 that everything is answered on; 0 takes a free one
    #[arg(long, default_value_t = 5050)]
    port: u16,

    /// How many agents share the machine
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=100))]
    agents: u8,

    /// What the agents share, like cpus:4;mem:8192;disk:10000; what is not named is detected
    #[arg(long, value_name = "RESOURCES")]
    resources: Option<String>,

    /// The ports that tasks are given
    #[arg(long, value_name = "FIRST-LAST", default_value = "31000-32000", value_parser = share::port_range)]
    task_ports: Range,

    /// A directory that tasks may fetch file:// addresses from; may be given several times
    #[arg(long, value_name = "DIR")]
    file_root: Vec<PathBuf>,

    /// A directory of this machine that tasks may have as a volume; may be given several times
    #[arg(long, value_name = "DIR")]
    allow_host_path: Vec<PathBuf>,
}

/// Runs the cluster until it is told to stop.
pub(crate) fn run(ui: &mut Printer, args: &UpArgs) -> Result<Exit, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|cause| CliError::internal("cannot start").caused_by(&cause))?;
    let ended = runtime.block_on(up(ui, args));
    runtime.shutdown_background();
    ended
}

async fn up(ui: &mut Printer, args: &UpArgs) -> Result<Exit, CliError> {
    let mut signals =
        Signals::new().map_err(|cause| CliError::internal("cannot hear Ctrl-C").caused_by(&cause))?;
    let dir = directory(args.dir.as_deref())?;
    let shares = shares(args, &dir)?;
    let host_paths = super::agent::host_paths(&args.allow_host_path)?;
    let listener = listen(args.port).await?;
    let address = listener.local_addr().map_err(|cause| cannot_listen(args.port, &cause))?;
    let url = format!("http://{address}");

    let gateway = start_master(listener, address, &dir, &host_paths).await?;
    let setup = Setup {
        program: super::agent::own_file()?,
        dir: dir.join("agents"),
        master: url.clone(),
        file_roots: args.file_root.clone(),
        host_paths,
    };
    let (orders, ordered) = watch::channel(Order::Run);
    let (news, mut heard) = mpsc::channel(64);
    let mut keepers = JoinSet::new();
    for share in &shares {
        keepers.spawn(agents::keep(setup.clone(), share.clone(), ordered.clone(), news.clone()));
    }
    drop((ordered, news));

    let mut cluster =
        Cluster { dir: &dir, url: &url, shares: shares.len(), pids: BTreeMap::new(), ready: false };
    let mut registered = std::pin::pin!(gateway.agents_registered(shares.len()));
    loop {
        tokio::select! {
            name = signals.next() => {
                tracing::info!(name, "asked to stop");
                break;
            }
            Some(news) = heard.recv() => cluster.tell(ui, news)?,
            () = &mut registered, if !cluster.ready => {
                cluster.ready = true;
                save_context(ui, &url);
                cluster.welcome(ui)?;
            }
        }
    }

    ui.result(
        "\nStopping: tasks are asked to end. Ctrl-C again ends them at once.\n",
        &Event::UpStopping { dir: &dir.display().to_string() },
    )?;
    // What ends from here on is not to be replaced.
    gateway.freeze().await;
    orders.send_replace(Order::Stop);
    loop {
        tokio::select! {
            joined = keepers.join_next() => if joined.is_none() { break },
            _ = signals.next() => { orders.send_replace(Order::Kill); }
            Some(news) = heard.recv() => tracing::debug!(?news, "agent"),
        }
    }
    gateway
        .stop()
        .await
        .map_err(|cause| CliError::internal("the cluster did not end in order").caused_by(&cause))?;
    ui.result(
        &format!("Stopped. `clusterctl up --dir {}` starts it again with its services.\n", dir.display()),
        &Event::UpStopped { dir: &dir.display().to_string() },
    )?;
    Ok(Exit::Done)
}

/// The directory, made if need be: absolute, since agents are told it.
fn directory(asked: Option<&Path>) -> Result<PathBuf, CliError> {
    let dir = match asked {
        Some(dir) => std::path::absolute(dir).map_err(|cause| {
            CliError::usage(format!("{} is no directory", dir.display())).caused_by(&cause)
        })?,
        None => default_directory()?,
    };
    // What tasks print and what they are given may be secret.
    std::fs::create_dir_all(&dir)
        .and_then(|()| {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o711))
        })
        .map_err(|cause| {
            CliError::usage(format!("cannot make {}", dir.display()))
                .caused_by(&cause)
                .hint("`clusterctl up --dir DIR` keeps its state in a directory of your choice")
        })?;
    Ok(dir)
}

fn default_directory() -> Result<PathBuf, CliError> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("XDG_STATE_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".local/state")))
        .map(|state| state.join("clusterctl/up"))
        .ok_or_else(|| {
            CliError::usage("there is no HOME to keep the cluster's state in").hint("give `--dir DIR`")
        })
}

fn shares(args: &UpArgs, dir: &Path) -> Result<Vec<share::Share>, CliError> {
    let hint = "`--resources 'cpus:2;mem:2048;disk:4096'` states what the agents share";
    let stated: Resources =
        args.resources.as_deref().unwrap_or_default().parse().map_err(|cause: TextError| {
            CliError::usage("`--resources` is not understood").caused_by(&cause).hint(hint)
        })?;
    let facts = agent::detect::facts(dir).map_err(|cause| {
        CliError::internal("cannot tell what this machine has to share").caused_by(&cause).hint(hint)
    })?;
    Ok(share::share(&agent::detect::resources(facts, &stated), args.task_ports, args.agents))
}

async fn listen(port: u16) -> Result<TcpListener, CliError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(|cause| cannot_listen(port, &cause))
}

fn cannot_listen(port: u16, cause: &io::Error) -> CliError {
    let error = CliError::usage(format!("cannot listen on 127.0.0.1:{port}")).caused_by(cause);
    match cause.kind() {
        io::ErrorKind::AddrInUse => error
            .hint("another program has this port, perhaps another `clusterctl up`")
            .hint("`--port 5051` takes another one, `--port 0` any that is free"),
        io::ErrorKind::PermissionDenied => {
            error.hint("ports below 1024 need a right; take another with `--port`")
        }
        _ => error,
    }
}

async fn start_master(
    listener: TcpListener,
    address: SocketAddr,
    dir: &Path,
    host_paths: &[PathBuf],
) -> Result<gateway::Gateway, CliError> {
    let mut options = gateway::Options::one_machine(&dir.join("master"), address, http()?);
    options.host_paths(host_paths.to_vec(), !rustix::process::geteuid().is_root());
    gateway::Gateway::start(listener, options).await.map_err(|cause| {
        let error = CliError::usage("cannot start the master").caused_by(&cause);
        match cause {
            gateway::GatewayError::Store(store::StoreError::InUse { .. }) => {
                error.hint("a cluster runs on this directory already; stop it, or give another `--dir`")
            }
            _ => error,
        }
    })
}

/// For files of agents.
fn http() -> Result<reqwest::Client, CliError> {
    reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(5))
        .no_proxy()
        .build()
        .map_err(|cause| CliError::internal("cannot make HTTP requests").caused_by(&cause))
}

/// So that other commands find this cluster. One that cannot be written is a nuisance, no reason not to run.
fn save_context(ui: &mut Printer, url: &str) {
    let saved = url
        .parse()
        .map_err(|error| format!("{error}"))
        .and_then(|url| context::save("up", &[url], true).map_err(|error| error.to_string()));
    if let Err(error) = saved {
        tracing::warn!(%error, "other commands need --url");
        ui.hint(&format!("other commands find this cluster with `--url {url}`: {error}"));
    }
}

/// The signals that end it in order.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.hangup.recv() => "SIGHUP",
        }
    }
}

/// What is told of the cluster while it runs.
struct Cluster<'a> {
    dir: &'a Path,
    url: &'a str,
    shares: usize,
    pids: BTreeMap<String, u32>,
    ready: bool,
}

impl Cluster<'_> {
    fn tell(&mut self, ui: &mut Printer, news: News) -> Result<(), CliError> {
        match news {
            News::Started { name, pid } => {
                let first = self.pids.insert(name.clone(), pid).is_none();
                if !first {
                    ui.result(
                        &format!("{name} is started again (process {pid}); its tasks run on.\n"),
                        &Event::UpAgentStarted { agent: UpAgent { name: &name, pid } },
                    )?;
                }
                Ok(())
            }
            News::Ended { name, status, pause, log } => ui.result(
                &format!(
                    "{name} ended ({status}) and is started again in {} ms. Its log: {}\n",
                    pause.as_millis(),
                    log.display()
                ),
                &Event::UpAgentEnded { name: &name, status: &status.to_string() },
            ),
            News::Failed { name, error, pause } => ui.result(
                &format!("{name} cannot be started: {error}; trying again in {} ms.\n", pause.as_millis()),
                &Event::UpAgentEnded { name: &name, status: &error.to_string() },
            ),
        }
    }

    fn welcome(&self, ui: &mut Printer) -> Result<(), CliError> {
        let agents: Vec<_> = self.pids.iter().map(|(name, pid)| UpAgent { name, pid: *pid }).collect();
        let event = Event::UpReady { url: self.url, dir: &self.dir.display().to_string(), agents: &agents };
        ui.result(&banner(self.url, self.dir, self.shares, rustix::process::geteuid().is_root()), &event)
    }
}

/// What a newcomer needs to know.
fn banner(url: &str, dir: &Path, agents: usize, root: bool) -> String {
    let mut text = format!(
        "clusterctl is up: {url}, {agents} agent{}, state in {}\n\n",
        if agents == 1 { "" } else { "s" },
        dir.display()
    );
    // Writing to a string does not fail.
    let _ = write!(
        text,
        "Try, in another terminal:\n\
         \x20 echo '{{id: /hello, cmd: \"python3 -m http.server $PORT0\", mem: 64, healthChecks: [{{protocol: TCP}}]}}' |\n\
         \x20   clusterctl service create -f -\n\
         \x20 clusterctl service list\n\n"
    );
    text.push_str(if root {
        "Tasks are held to their CPU, memory and processes, and see no others. They run as root unless they name a user.\n"
    } else {
        "Without root, tasks are not isolated: they run as you, see your files and processes, and may use more CPU and\n\
         memory together than they asked for. Run only what you trust.\n"
    });
    text.push_str(
        "Only programs on this machine are answered, without login. Ctrl-C ends the tasks and the cluster.\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    #[test]
    fn the_banner_says_where_what_next_and_what_is_not_isolated() {
        assert_snapshot!(banner("http://127.0.0.1:5050", Path::new("/state"), 2, false), @r#"
        clusterctl is up: http://127.0.0.1:5050, 2 agents, state in /state

        Try, in another terminal:
          echo '{id: /hello, cmd: "python3 -m http.server $PORT0", mem: 64, healthChecks: [{protocol: TCP}]}' |
            clusterctl service create -f -
          clusterctl service list

        Without root, tasks are not isolated: they run as you, see your files and processes, and may use more CPU and
        memory together than they asked for. Run only what you trust.
        Only programs on this machine are answered, without login. Ctrl-C ends the tasks and the cluster.
        "#);
        assert!(banner("u", Path::new("/"), 1, true).contains("1 agent,"));
    }

    #[test]
    fn a_port_in_use_names_the_way_out() {
        let error = cannot_listen(5050, &io::Error::from(io::ErrorKind::AddrInUse));
        assert!(error.hints.iter().any(|hint| hint.contains("--port")));
    }
}
