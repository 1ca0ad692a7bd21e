//! The agent: dials the leading master, runs what it is told to run, and tells what becomes of it.
//!
//! ```text
//!  dial ─Word─▶ ┌──────┐ ─Effect─▶ worker (disk, in order) ─▶ back to the loop, which carries out the rest:
//!  shims ─Input▶│ loop │            send, prepare, start and end shims, look after health
//!  holder ─────▶│ core │
//!  HTTP ───────▶└──────┘
//! ```
//!
//! All decisions are in [`core`]; the loop waits for nothing but the next thing to decide about. Tasks survive this
//! process: what it knows of them is in `meta` below the work directory.

mod clock;
pub mod core;
mod dial;
mod disk;
mod drafts;
mod fetching;
mod gc;
mod isolation;
mod launching;
mod lifeline;
mod lock;
mod paths;
mod recover;
mod roots;
mod run;
mod sandbox_files;
mod shims;
mod signals;
mod view;
mod volumes;
mod worker;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use scheduler::Resources;
use scheduler::attributes::Attributes;
use tls::Tls;
use tokio::sync::oneshot;

pub use fetching::{Attach, Fetcher, NothingToFetch, NothingToShow};
pub use gc::keep_for;
pub use isolation::Isolation;
pub(crate) use launching::command_of;
pub use run::run;

use crate::launch::Program;
use crate::record::RecordError;

/// How an agent is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where sandboxes and the agent's own state are. Tasks' users must be able to reach it.
    pub work_dir: PathBuf,
    /// The masters, like `https://m1:5050`, or `http://127.0.0.1:5050` without [`Options::tls`]; they are dialled in turn until
    /// one admits this agent.
    pub masters: Vec<String>,
    /// For people.
    pub name: String,
    /// Its Mesos hostname.
    pub hostname: String,
    /// Where its tasks can be reached, and where it serves files.
    pub address: IpAddr,
    /// Where it serves files; 0 for any port that is free.
    pub port: u16,
    /// What it gives away; what is not named here is detected.
    pub resources: Resources,
    /// Whose resources those are that are stated or detected for no role in particular.
    pub role: scheduler::Role,
    /// Its attributes.
    pub attributes: Attributes,
    /// Its region, or nothing.
    pub region: String,
    /// Its zone, or nothing.
    pub zone: String,
    /// Who runs tasks that do not say; the agent's own user when absent.
    pub user: Option<String>,
    /// How this program is started as a shim.
    pub shim: Program,
    /// How tasks are kept apart.
    pub isolation: Isolation,
    /// From SIGTERM to SIGKILL for tasks that do not say. A master that asks for less gets it; one that asks for more
    /// gets what the task says.
    pub grace: Duration,
    /// Most processes and threads of a task, where control groups can hold it to that.
    pub pids: u64,
    /// Directories of this host that tasks may have as volumes; absolute.
    pub host_paths: Vec<PathBuf>,
    /// Whether SIGTERM and SIGINT end the agent; its tasks stay.
    pub signals: bool,
    /// The agent's certificate. With it masters are spoken to by TLS alone, and files are for masters alone; without it, both are in
    /// the clear, and nothing of it leaves loopback.
    pub tls: Option<Tls>,
    /// How often the loop says that it turns, and to whom.
    pub alive: Option<Alive>,
}

/// To be told, by the loop itself, that it turns.
#[derive(Clone, Copy, Debug)]
pub struct Alive {
    /// So often, or later when the loop has more to do.
    pub every: Duration,
    /// Called there: it must not wait.
    pub tell: fn(),
}

impl Options {
    /// An agent of 127.0.0.1 with all that is detected.
    #[must_use]
    pub fn new(work_dir: PathBuf, masters: Vec<String>, shim: Program) -> Self {
        Self {
            work_dir,
            masters,
            name: "agent".to_owned(),
            hostname: "127.0.0.1".to_owned(),
            address: std::net::Ipv4Addr::LOCALHOST.into(),
            port: 0,
            resources: Resources::default(),
            role: scheduler::Role::star(),
            attributes: Attributes::default(),
            region: String::new(),
            zone: String::new(),
            user: None,
            shim,
            isolation: Isolation::default(),
            grace: Duration::from_secs(5),
            pids: 8192,
            host_paths: Vec::new(),
            signals: true,
            tls: None,
            alive: None,
        }
    }
}

/// Who works with the agent.
#[derive(Debug)]
pub struct Parts<F, A, L> {
    /// Brings tasks' files.
    pub fetcher: F,
    /// Shows sandboxes.
    pub attached: A,
    /// More routes beside the agent's own `/health`, `/state` and `/metrics/snapshot`: those of files.
    pub router: Router,
    /// The process that holds this agent: `stop` ends all tasks with their grace, `kill` at once, and then the agent;
    /// the end of it ends the agent alone.
    pub lifeline: Option<L>,
    /// Told where files are served, once they are.
    pub ready: Option<oneshot::Sender<SocketAddr>>,
}

/// Why an agent cannot be, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The operating system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Another agent is there.
    #[error("{} is in use by {holder}: end that, or choose another work directory", work_dir.display())]
    InUse {
        /// The directory.
        work_dir: PathBuf,
        /// Who has it.
        holder: String,
    },
    /// The agent's own state cannot be read or written.
    #[error(
        "the agent's state cannot be used; if the file is damaged, move it away when no old master can be alive"
    )]
    Record(#[from] RecordError),
    /// The port is taken, or the address is not of this host.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A master's address is none.
    #[error("`{master}` is no address of a master: write it like http://127.0.0.1:5050")]
    Master {
        /// As it was given.
        master: String,
        /// The cause.
        #[source]
        source: tonic::transport::Error,
    },
    /// A master is to be spoken to in the wrong way.
    #[error(
        "{master} cannot be dialled {}: write {scheme}://…",
        if *scheme == "https" { "in the clear, since this agent has a certificate" } else { "over TLS, since this agent has no certificate" }
    )]
    Scheme {
        /// As it was given.
        master: String,
        /// What it should begin with.
        scheme: &'static str,
    },
    /// Without a certificate only loopback is listened on.
    #[error(
        "files are not shown on {address} in the clear: give the agent a certificate, or an address like 127.0.0.1"
    )]
    Exposed {
        /// Where.
        address: SocketAddr,
    },
    /// The certificate cannot be used.
    #[error("TLS cannot be set up")]
    Tls(#[from] tls::TlsError),
    /// There is nobody to dial.
    #[error("no master is named: name at least one, like http://127.0.0.1:5050")]
    NoMaster,
    /// Health checks cannot be made.
    #[error("cannot set up HTTP for health checks")]
    Http(#[source] reqwest::Error),
    /// A master says that trying again cannot help.
    #[error("the master refuses this agent: {0}")]
    Refused(String),
    /// Randomness, signals or a part of the agent failed.
    #[error("the agent cannot go on: {0}")]
    Broken(String),
}
