//! Real hosts on one Linux machine, for tests and for people: each with its own address, sshd, systemd,
//! hostname, machine id and SSH host keys.
//!
//! Hosts are `systemd-nspawn` containers over a bridge, or virtual machines where control groups v2 are
//! needed; all share one root file system that mmdebstrap builds once. Several testbeds stand side by side.
//! One is torn down when its value is dropped; what a killed run left is removed by [`gc`].
//!
//! ```no_run
//! # async fn example() -> testbed::Result<()> {
//! let testbed = testbed::Testbed::builder().hosts(3).start().await?;
//! let [h1, h2, _] = testbed.hosts() else { unreachable!("three were asked for") };
//! h1.partition_from(&[h2])?;
//! assert_eq!(h1.run("systemctl is-system-running").await?, "running\n");
//! testbed.heal()?;
//! # Ok(()) }
//! ```
//!
//! This crate never touches interfaces, mounts or processes that it did not make, sends to no network but its
//! own bridges (building a root file system aside), and knows nothing of clusterctl but the form of its
//! inventory.

mod cgroup;
mod command;
mod error;
mod gc;
mod host;
mod inventory;
mod launch;
mod layout;
mod net;
mod prepare;
mod requirements;
mod rootfs;
mod ssh;
mod state;
mod testbed;

pub use command::Output;
pub use error::{Error, Result};
pub use gc::{Collected, gc};
pub use host::{Disk, EXEC_LIMIT, Host, Loss, Status};
pub use layout::Kind;
pub use prepare::ADMIN_PASSWORD;
pub use rootfs::{Release, Root, root_of};
pub use testbed::{Builder, Owner, Testbed};
