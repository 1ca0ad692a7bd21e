//! The installer's way onto hosts. [`Connector::connect`] goes to a [`Target`], through jump hosts that all hosts behind
//! them share, makes sure that the host is the one it ought to be ([`known_hosts`]), and logs in with keys, an agent or a
//! password. [`Session::exec`] then runs a script, as root where it is asked to, whatever the login shell is. A
//! [`Session::local`] does the same on this machine.
//!
//! It never asks a person anything but through [`Prompt`], never accepts a host key that is not recorded, pinned or
//! learned on request, never puts a secret or a script into an argument list, never takes a missing exit status for a
//! success, and knows nothing of clusters, inventories or terminals.
//!
//! ```no_run
//! # use ssh::*;
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let connector = Connector::new(Settings::for_user(std::path::Path::new("/home/ada"), "ada"))?;
//! let session = connector.connect(&Target::new("a1", "192.0.2.21")).await?;
//! let output = session.exec(Exec::new("uname -m")).await?;
//! assert!(output.status.success());
//! session.close().await;
//! # Ok(()) }
//! ```
//!
//! Who must be asked about unknown keys goes in two passes: connect to all, collect each [`ConnectError::unknown_key`], ask
//! once, [`Connector::learn`] what was agreed to, and connect again.

mod agent;
mod algorithms;
mod auth;
mod config;
mod connection;
mod connector;
mod error;
mod exec;
mod handler;
mod hint;
mod jump;
mod key;
mod keys;
pub mod known_hosts;
mod local;
mod pattern;
mod remote;
mod session;
mod stream;
mod target;

pub use config::{HostConfig, SshConfig, Warning};
pub use connector::{Connector, Settings, SetupError};
pub use error::{ConnectError, Phase, UnknownKey};
pub use exec::{Become, Exec, ExecError, Limits, LineSink, Output, Status, SudoFault};
pub use key::{Fingerprint, HostKey, KeyError};
pub use keys::Prompt;
pub use session::{Counters, Session};
pub use target::{Checking, Hop, HopError, Target};
