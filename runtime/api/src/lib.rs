//! Wire types of the interfaces that clusters of this kind already speak.
//!
//! The crate says how requests are read, what is wrong with them, and how answers are written: pure functions from data
//! to data. It never opens a socket or a file, never reads a clock, and never decides what is to be done with a request.
//! The one exception is behind its own feature: `client`, which sends requests to a cluster.

#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "link")]
pub mod link;
pub mod marathon;
pub mod mesos;
mod moment;
mod secret;

pub use moment::Moment;
pub use secret::Secret;
