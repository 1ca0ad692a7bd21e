//! `clusterctl agent`: the daemon of a node that runs tasks. systemd starts it, or `clusterctl up`.

mod config;

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use agent::daemon::{self as agent_daemon, DaemonError, Options, Parts};
use agent::fetch::{self, Fetcher};
use agent::files::{self, Attached};
use agent::launch::Program;
use clap::Args;
use identity::PeerRole;
use scheduler::attributes::Attributes;
use scheduler::{Resources, TextError};
use sd_notify::NotifyState;
use tls::Tls;
use tokio::net::unix::pipe;
use tokio::sync::oneshot;

use crate::daemon;
use crate::error::CliError;
use crate::exit::Exit;

/// Arguments of `clusterctl agent`.
#[derive(Args, Debug)]
pub(crate) struct AgentArgs {
    /// What `clusterctl install` wrote for it; then no other flag is taken
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "work_dir", "master", "name", "hostname", "address", "port", "resources", "attributes", "file_root",
        "allow_host_path", "task_user",
    ])]
    config: Option<PathBuf>,

    /// Where it keeps its state and the sandboxes of its tasks
    #[arg(long, value_name = "DIR", required_unless_present = "config")]
    work_dir: Option<PathBuf>,

    /// Where a master is, like http://127.0.0.1:5050; may be given several times
    #[arg(long, value_name = "URL", required_unless_present = "config")]
    master: Vec<String>,

    /// Its name, for people; default: the host's
    #[arg(long)]
    name: Option<String>,

    /// Its Mesos hostname; default: its address
    #[arg(long)]
    hostname: Option<String>,

    /// Where its tasks are reached, and it serves their files; without a certificate an address like 127.0.0.1
    #[arg(long, required_unless_present = "config")]
    address: Option<IpAddr>,

    /// The port that it serves files on; 0 takes a free one
    #[arg(long, default_value_t = 5051)]
    port: u16,

    /// What it has to give, like cpus:4;mem:8192; what is not named is detected
    #[arg(long, value_name = "RESOURCES", default_value = "")]
    resources: String,

    /// What placement constraints can ask for, like rack:r1;zone:a
    #[arg(long, value_name = "ATTRIBUTES", default_value = "")]
    attributes: String,

    /// A directory that tasks may fetch file:// addresses from; may be given several times
    #[arg(long, value_name = "DIR")]
    file_root: Vec<PathBuf>,

    /// A directory of this host that tasks may have as a volume; may be given several times
    #[arg(long, value_name = "DIR")]
    allow_host_path: Vec<PathBuf>,

    /// Whom tasks run as that name no user; default: whoever the agent runs as
    #[arg(long, value_name = "USER")]
    task_user: Option<String>,

    /// Read orders from standard input, and leave when it ends
    #[arg(long)]
    lifeline: bool,
}

/// Runs the daemon until a signal, its holder or a master ends it.
pub(crate) fn run(args: &AgentArgs) -> Result<Exit, CliError> {
    let (options, file_roots) = match &args.config {
        Some(file) => config::read(file)?,
        None => (options(args)?, args.file_root.clone()),
    };
    // One thread is enough for what it does, and is the least memory on every node.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|cause| CliError::internal("cannot start").caused_by(&cause))?;
    let ended = runtime.block_on(async {
        let lifeline = if args.lifeline { Some(standard_input()?) } else { None };
        let mut parts = parts(&options, file_roots, lifeline)?;
        if let Some(tls) = &options.tls {
            tokio::spawn(daemon::keep_certificate(tls.clone(), daemon::hangup()?));
        }
        let (ready, heard) = oneshot::channel();
        parts.ready = Some(ready);
        tokio::spawn(async move {
            if heard.await.is_ok() {
                daemon::tell(NotifyState::Ready);
            }
        });
        let ended = agent_daemon::run(options, parts).await;
        daemon::tell(NotifyState::Stopping);
        ended.map_err(|cause| refused(&cause))
    });
    runtime.shutdown_background();
    ended.map(|()| Exit::Done)
}

fn options(args: &AgentArgs) -> Result<Options, CliError> {
    let needed = |flag| CliError::usage(format!("`{flag}` is missing"));
    let work_dir = args.work_dir.clone().ok_or_else(|| needed("--work-dir"))?;
    let address = args.address.ok_or_else(|| needed("--address"))?;
    let mut options = Options::new(work_dir, args.master.clone(), shim()?);
    options.name = args.name.clone().unwrap_or_else(host_name);
    options.hostname = args.hostname.clone().unwrap_or_else(|| address.to_string());
    options.address = address;
    options.port = args.port;
    options.resources = resources("`--resources`", &args.resources)?;
    options.attributes = attributes("`--attributes`", &args.attributes)?;
    options.user.clone_from(&args.task_user);
    options.host_paths = host_paths(&args.allow_host_path)?;
    Ok(options)
}

fn shim() -> Result<Program, CliError> {
    Ok(Program { path: own_file()?, args: vec![crate::SHIM.into()] })
}

fn resources(what: &str, text: &str) -> Result<Resources, CliError> {
    text.parse().map_err(|cause: TextError| {
        CliError::usage(format!("{what} is not understood"))
            .caused_by(&cause)
            .hint("write it like cpus:4;mem:8192")
    })
}

fn attributes(what: &str, text: &str) -> Result<Attributes, CliError> {
    text.parse().map_err(|cause: TextError| {
        CliError::usage(format!("{what} is not understood"))
            .caused_by(&cause)
            .hint("write it like rack:r1;zone:a")
    })
}

/// Directories that are there, as absolute paths. Links to them count by their own names.
pub(crate) fn host_paths(given: &[PathBuf]) -> Result<Vec<PathBuf>, CliError> {
    let one = |path: &PathBuf| {
        let wrong = || CliError::usage(format!("`--allow-host-path {}` is not possible", path.display()));
        let hint = "name a directory of this host that is there, without '..'";
        let full = std::path::absolute(path).map_err(|cause| wrong().caused_by(&cause).hint(hint))?;
        let climbs = full.components().any(|part| part == std::path::Component::ParentDir);
        let is_dir = std::fs::metadata(&full).map_err(|cause| wrong().caused_by(&cause).hint(hint))?.is_dir();
        // Slashes and dots that say nothing are left out, since paths are compared by their parts.
        if climbs || !is_dir { Err(wrong().hint(hint)) } else { Ok(full.components().collect()) }
    };
    given.iter().map(one).collect()
}

/// This program's own file, which is also the shim.
pub(crate) fn own_file() -> Result<PathBuf, CliError> {
    std::env::current_exe()
        .map_err(|cause| CliError::internal("cannot find this program's own file").caused_by(&cause))
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn standard_input() -> Result<pipe::Receiver, CliError> {
    rustix::io::dup(rustix::stdio::stdin())
        .map_err(io::Error::from)
        .and_then(pipe::Receiver::from_owned_fd)
        .map_err(|cause| CliError::usage("`--lifeline` needs a pipe as standard input").caused_by(&cause))
}

type AgentParts = Parts<Fetcher, Attached, pipe::Receiver>;

fn parts(
    options: &Options,
    file_roots: Vec<PathBuf>,
    lifeline: Option<pipe::Receiver>,
) -> Result<AgentParts, CliError> {
    let mut fetching = fetch::Options::new(options.work_dir.join("cache"), options.shim.clone());
    fetching.masters.clone_from(&options.masters);
    fetching.file_roots = file_roots;
    if let Some(tls) = &options.tls {
        fetching.master_client = Some(to_masters(tls, &fetching)?);
    }
    let fetcher = Fetcher::new(fetching);
    let attached = Attached::default();
    let router = files::router(attached.clone());
    Ok(Parts { fetcher, attached, router, lifeline, ready: None })
}

/// For artifacts: with the agent's certificate, and to masters alone.
fn to_masters(tls: &Tls, options: &fetch::Options) -> Result<reqwest::Client, CliError> {
    let failed = |cause: &dyn std::error::Error| {
        CliError::internal(format!("cannot make HTTP requests to masters: {cause}"))
    };
    let dialler = tls.dialler(PeerRole::Master, &["http/1.1"]).map_err(|cause| failed(&cause))?;
    reqwest::Client::builder()
        .connect_timeout(options.connect_timeout)
        .read_timeout(options.idle_timeout)
        .tls_backend_preconfigured(dialler.config())
        .redirect(reqwest::redirect::Policy::none())
        .https_only(true)
        .no_proxy()
        .build()
        .map_err(|cause| failed(&cause))
}

fn refused(cause: &DaemonError) -> CliError {
    match cause {
        DaemonError::Io { .. }
        | DaemonError::InUse { .. }
        | DaemonError::Listen { .. }
        | DaemonError::Master { .. }
        | DaemonError::Scheme { .. }
        | DaemonError::Exposed { .. }
        | DaemonError::Tls(_)
        | DaemonError::NoMaster => CliError::usage("the agent cannot start").caused_by(cause),
        _ => CliError::internal("the agent ended").caused_by(cause),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_for_volumes_are_there_and_absolute() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "x").unwrap();
        let slashes = PathBuf::from(format!("{}//./", dir.path().display()));
        assert_eq!(host_paths(&[slashes]).unwrap(), [dir.path()]);
        for wrong in ["file", "none", "../x"] {
            let error = host_paths(&[dir.path().join(wrong)]).unwrap_err();
            assert!(error.message.contains("--allow-host-path") && !error.hints.is_empty(), "{wrong}");
        }
    }
}
