//! From an inventory to a cluster: facts of hosts, checks, the plan, and its execution over SSH.
//!
//! ```text
//!  inventory ─▶ desired ─┐
//!                        ├─▶ plan ─▶ apply ─▶ postflight        events ─▶ views, journal
//!  probe ─────▶ facts ───┘
//! ```
//!
//! It decides nothing about what runs on the cluster, prints nothing, and keeps no state but what stands beside the inventory and
//! in the manifest on each host.

pub mod apply;
pub mod artifact;
pub mod binary;
pub mod blob;
pub mod connect;
pub mod control;
pub mod coordinators;
pub mod desired;
pub mod event;
pub mod facts;
pub mod host;
pub mod item;
pub mod journal;
pub mod leaves;
pub mod lock;
pub mod manifest;
pub mod phase;
pub mod plan;
pub mod preflight;
pub mod probe;
pub mod report;
pub mod run;
pub mod shell;
pub mod templates;
