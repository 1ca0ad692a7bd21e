//! Packages of a running cluster, by the interface of DC/OS' Cosmos: which there are, what is installed, and the way from a
//! package and its options to services.
//!
//! [`Packages`] lasts as long as one leadership. It is a client of services like any other: it sends them definitions that
//! `universe` renders, and finds what is installed by the labels of what runs. Of its own it stores two things only (`book`): the
//! list of repositories, and by which checksums the artifacts of packages were uploaded. It never fetches an artifact, and never
//! talks to an agent. Section numbers (§) are those of interfaces/universe-cosmos.md.
//!
//! ```text
//!  /package/install ─► find ─► options ─► render ─► services ─► answer
//!                       ▲                   ▲
//!              repositories (cached)   artifacts' sums (store)
//! ```

mod book;
mod calls;
mod error;
mod http;
mod installed;
mod marathon;
mod media;
mod plan;
mod shell;
mod sources;

pub use book::{ArtifactRecord, Artifacts, BUILT_IN, Book, RecordError, RepositoryEntry};
pub use http::serves;
pub use shell::{Options, Packages};
