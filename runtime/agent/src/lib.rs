//! Runs tasks on one machine: isolation by control groups and namespaces, the shim that supervises one
//! task and outlives the agent, and the adoption of what an earlier agent left running. The [`daemon`] does with
//! them what the leading master says. It decides nothing about where tasks run, keeps no cluster state, and never forks a process with much memory: the agent
//! spawns a shim, and all that must happen between fork and exec happens in programs of a few pages.
//!
//! ```text
//! agent ──posix_spawn──▶ shim ──posix_spawn──▶ entry ──exec──▶ task          (no pid namespace)
//!   ▲    (ready pipe)     │                      └───spawn───▶ task (pid 2)  (entry stays as pid 1)
//!   └── pidfd, exit.json ─┘
//! ```
//!
//! A task's directory holds what an agent must know after a crash, each file written whole, with a protocol
//! version and a checksum: `spec.json` (by the agent), `started.json` and `exit.json` (by the shim). The shim
//! holds a lock on `lock` as long as it lives; the kernel says whose that lock is.

pub mod adopt;
pub mod cgroup;
pub mod daemon;
pub mod detect;
pub mod fetch;
pub mod files;
pub mod health;
pub mod launch;
pub mod proc;
pub mod process;
pub mod record;
pub mod shim;
pub mod spec;
pub mod states;
pub mod user;
