//! Clusters of simulated agents, and what is measured with them: `cargo bench -p benches --bench deployments`.
//!
//! A [`cluster::Cluster`] is a real gateway with its store on a real disk, as `clusterctl up` starts it, and a
//! [`fleet::Fleet`] of agents that speak the real agent link over loopback, one connection each. What they simulate is the
//! tasks alone: [`agent::Agent`] says at once, or after a given time, what a real agent would say. Clients speak HTTP.
//!
//! The fleet is a process of its own ([`beside`]), in tests a thread of this one. Threads have names that tell whose they are:
//! [`machine::cpu_seconds`] says what each cost.
//! [`deployments`], [`latency`], [`launches`] and [`reads`] are the measurements; each takes its sizes as arguments, and returns figures
//! that print as a table or as JSON.

pub mod agent;
pub mod beside;
pub mod client;
pub mod cluster;
pub mod deployments;
pub mod etcd;
pub mod figures;
pub mod fleet;
pub mod latency;
pub mod launches;
pub mod load;
pub mod machine;
pub mod options;
pub mod reads;

/// What went wrong, in one sentence with its causes.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// Of everything here.
pub type Result<T> = std::result::Result<T, Error>;
