//! The agent link: protobuf messages over one HTTP/2 stream that the agent opens (`proto/link.proto`), and their
//! translation from and to [`crate::mesos`]. What comes over the link is checked here: a [`LinkError`] says what is wrong
//! in it.

mod codec;
mod convert;

use thiserror::Error;

pub use codec::Codec;
pub use convert::{
    check_uuid, health_from_wire, health_to_wire, info_from_wire, info_to_wire, peers_from_wire,
    peers_to_wire, resources_from_wire, resources_to_wire, status_from_wire, status_to_wire,
};

/// Messages, client and server, as generated from `proto/link.proto`.
#[expect(
    missing_docs,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated"
)]
pub mod wire {
    tonic::include_proto!("clusterctl.link.v1");

    // Both may hold secrets.
    impl std::fmt::Debug for Command {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Command(***)")
        }
    }

    impl std::fmt::Debug for CommandLine {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("CommandLine(***)")
        }
    }
}

#[cfg(test)]
mod tests;

/// The largest message, in bytes; a registration lists all of an agent's tasks.
pub const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// Where a master that does not lead names the one that does, as a URL, when it answers an agent `UNAVAILABLE`.
pub const LEADER: &str = "x-clusterctl-leader";

/// A message says something that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{field}: {problem}")]
pub struct LinkError {
    /// Where.
    pub field: &'static str,
    /// What.
    pub problem: String,
}
