//! The cluster's secrets: texts by path, encrypted in the cluster's store, and given out in launches alone.
//!
//! [`Secrets`] lasts as long as one leadership. Each value is sealed (AES-256-GCM) with the [`Key`] of the cluster, which masters have
//! in a file and the store has not; its path is part of what is sealed, so that no record passes for another one. With each record
//! stands by which key it was sealed. A master without the key, or with another one, says so, and refuses secrets alone: all else
//! goes on. No call tells a value to a client: [`Secrets::reveal`] is the master's, for the moment at which it sends a launch.

mod book;
mod http;
mod key;
mod path;
mod record;
mod shell;

pub use book::{Book, SecretError, Shown};
pub use http::serves;
pub use key::{Key, KeyError, KeyFile};
pub use path::{PathError, SecretPath};
pub use shell::{Options, Secrets};

/// The longest secret, in bytes.
pub const MAX_SECRET: usize = 64 << 10;
