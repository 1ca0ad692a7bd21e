//! From an inventory to a cluster: facts of hosts, checks, the plan, and its execution over SSH.
//!
//! It decides nothing about what runs on the cluster, prints nothing, and keeps no state but what stands beside the inventory and
//! in the manifest on each host.

pub mod step;
