//! `clusterctl agent`: the daemon of a node that runs tasks. systemd starts it, or `clusterctl up`.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use agent::daemon::{self, DaemonError, Options, Parts};
use agent::fetch::{self, Fetcher};
use agent::files::{self, Attached};
use agent::launch::Program;
use clap::Args;
use scheduler::TextError;
use tokio::net::unix::pipe;

use crate::error::CliError;
use crate::exit::Exit;

/// Arguments of `clusterctl agent`.
#[derive(Args, Debug)]
pub(crate) struct AgentArgs {
    /// Where it keeps its state and the sandboxes of its tasks
    #[arg(long, value_name = "DIR")]
    work_dir: PathBuf,

    /// Where a master is, like http://192.0.2.11:5050; may be given several times
    #[arg(long, value_name = "URL", required = true)]
    master: Vec<String>,

    /// Its name, for people; default: the host's
    #[arg(long)]
    name: Option<String>,

    /// Its Mesos hostname; default: its address
    #[arg(long)]
    hostname: Option<String>,

    /// Where its tasks are reached, and it serves their files
    #[arg(long)]
    address: IpAddr,

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
    let options = options(args)?;
    // One thread is enough for what it does, and is the least memory on every node.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|cause| CliError::internal("cannot start").caused_by(&cause))?;
    let ended = runtime.block_on(async {
        let lifeline = if args.lifeline { Some(standard_input()?) } else { None };
        let parts = parts(args, &options, lifeline);
        daemon::run(options, parts).await.map_err(|cause| refused(&cause))
    });
    runtime.shutdown_background();
    ended.map(|()| Exit::Done)
}

fn options(args: &AgentArgs) -> Result<Options, CliError> {
    let shim = Program { path: own_file()?, args: vec![crate::SHIM.into()] };
    let resources = args.resources.parse().map_err(|cause: TextError| {
        CliError::usage("`--resources` is not understood")
            .caused_by(&cause)
            .hint("write it like cpus:4;mem:8192")
    })?;
    let attributes = args.attributes.parse().map_err(|cause: TextError| {
        CliError::usage("`--attributes` is not understood")
            .caused_by(&cause)
            .hint("write it like rack:r1;zone:a")
    })?;
    let mut options = Options::new(args.work_dir.clone(), args.master.clone(), shim);
    options.name = args.name.clone().unwrap_or_else(host_name);
    options.hostname = args.hostname.clone().unwrap_or_else(|| args.address.to_string());
    options.address = args.address;
    options.port = args.port;
    options.resources = resources;
    options.attributes = attributes;
    options.user.clone_from(&args.task_user);
    options.host_paths = host_paths(&args.allow_host_path)?;
    Ok(options)
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

fn parts(args: &AgentArgs, options: &Options, lifeline: Option<pipe::Receiver>) -> AgentParts {
    let mut fetching = fetch::Options::new(options.work_dir.join("cache"), options.shim.clone());
    fetching.masters.clone_from(&args.master);
    fetching.file_roots.clone_from(&args.file_root);
    let fetcher = Fetcher::new(fetching);
    let attached = Attached::default();
    let router = files::router(attached.clone());
    Parts { fetcher, attached, router, lifeline, ready: None }
}

fn refused(cause: &DaemonError) -> CliError {
    match cause {
        DaemonError::Io { .. }
        | DaemonError::InUse { .. }
        | DaemonError::Listen { .. }
        | DaemonError::Master { .. }
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
