//! Cluster state that outlives its writer. This crate keeps what the masters must not lose, as bytes under slash paths,
//! behind one trait, [`Store`]: [`EmbeddedStore`] for a cluster with one master; etcd, for several, takes the same trait
//! and passes the same `suite`. Every write is guarded by a [`Leadership`] whose [`Epoch`] is compared inside the
//! write's own transaction, and is acknowledged only when it is on the disk.
//!
//! It never knows what a value means, never serves a read to anyone but its own process, never decides who ought to
//! lead, never writes without a leadership, and never changes a file that it finds damaged or newer than itself.
//!
//! ```
//! # use store::*;
//! # async fn example(dir: &std::path::Path) -> Result<(), StoreError> {
//! let store = EmbeddedStore::open(dir, Options::default()).await?;
//! let leadership = store.campaign(&Candidate::new("m1")).await?;
//! let key = Key::new("services/web")?;
//! let stamp = store.commit(&leadership, Batch::new().require(key.clone(), Condition::Absent).put(key, b"v1")).await?;
//! assert_eq!(stamp.epoch, leadership.epoch());
//! let all = store.load(&Prefix::all()).await?;
//! # Ok(()) }
//! ```

mod batch;
mod coordinator;
mod copy;
mod embedded;
mod error;
mod etcd;
pub mod failpoint;
mod key;
pub mod large;
mod leadership;
mod queue;
mod snapshot;
mod store;
mod version;

#[cfg(feature = "suite")]
pub mod memory;
#[cfg(feature = "suite")]
pub mod suite;

pub use batch::{Batch, BatchError, Condition, MAX_BATCH_BYTES, MAX_OPS, MAX_VALUE_BYTES};
pub use coordinator::{Coordinator, CoordinatorState};
pub use copy::{copy, import_pending};
#[cfg(feature = "failpoints")]
pub use embedded::{DiskAct, DiskHook};
pub use embedded::{EmbeddedStore, Options};
pub use error::{Cause, Outcome, StoreError};
#[cfg(feature = "failpoints")]
pub use etcd::{EtcdHook, Fate, Held};
pub use etcd::{EtcdOptions, EtcdStore, EtcdTls, wait_for_quorum};
pub use key::{Key, KeyError, MAX_KEY_BYTES, Prefix};
pub use leadership::{Candidate, Epoch, Leader, LeaderView, Leadership, Revision, Stamp};
pub use snapshot::{Entry, Snapshot};
pub use store::{Answer, Made, Store};
pub use version::{ClusterVersion, VersionError};
