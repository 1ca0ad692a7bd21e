//! The inventory: from the text that an operator wrote to hosts that the installer can work with, or to every mistake in it.
//!
//! [`read`] takes the file's name and bytes, and a function that looks variables up; [`schema`] describes the form for editors;
//! [`answers`] writes the first inventory from what a person said. One table, `form`, has every key with its help: reader and
//! schema are made from it.
//!
//! ```text
//!   bytes ──► source ──► tree ──────────► read ──────────► check ──► Inventory
//!             UTF-8,     every node with   keys, values,    hosts     or Mistakes: place, line,
//!             limits     its place         ranges           together  caret, what to write
//! ```
//!
//! It does no I/O: no file, no environment, no name is looked up. It never says what is secret: what stands behind a key
//! like `password`, and what a variable holds, is not in a mistake. What the installer cannot do yet is no matter of it.

pub mod answers;
mod check;
mod faults;
mod fields;
mod form;
mod mistake;
mod model;
mod names;
mod range;
mod read;
mod schema;
mod similar;
mod source;
mod tree;
mod variables;

pub use mistake::{Mistake, Mistakes, Place};
pub use model::{
    Address, Arch, Artifact, Artifacts, Become, Cluster, Connection, Host, HostKeyChecking, Inventory, Jump,
    Origin, Role, Ssh, SshConfig, Timeouts,
};
pub use range::{MAX_HOSTS, Pattern};
pub use read::read;
pub use schema::schema;
pub use source::{MAX_BYTES, Source};
