//! Wire types of the interfaces that clusters of this kind already speak.
//!
//! The crate says how requests are read, what is wrong with them, and how answers are written: pure functions from data
//! to data. It never opens a socket or a file, never reads a clock, and never decides what is to be done with a request.
//! The exceptions are behind features of their own: `client`, which sends requests to a cluster, and `server`, which lets
//! requests in.

#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "link")]
pub mod link;
pub mod marathon;
pub mod mesos;
mod moment;
mod secret;
#[cfg(feature = "server")]
pub mod server;
pub mod watch;

pub use moment::Moment;
pub use secret::Secret;
