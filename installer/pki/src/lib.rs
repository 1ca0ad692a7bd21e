//! The cluster's own certificate authorities, and the certificates of its masters, agents and operators.
//!
//! [`Ca::create`] and [`Ca::issue`] make certificates, [`judge`] says whether the one that a node has will do. They are
//! functions from data to data: the time is an argument, and what has to be random is a [`Draw`]. [`directory`] is the
//! edge: the one directory in which the operator keeps both authorities.
//!
//! It never speaks to a node, never writes outside that directory, never decides what a role may do, and prints no key:
//! each one is a `SecretString`.
//!
//! ```
//! use std::time::{Duration, SystemTime};
//! use identity::{Identity, PeerRole};
//! use pki::{Ca, Draw, Kind, Request, Verdict, judge};
//!
//! let now = SystemTime::now();
//! let ca = Ca::create(Kind::Cluster, "demo", now, Draw::new()?)?;
//! let wanted = Request::new(Identity::new("demo", PeerRole::Agent, "a1")?).host("192.0.2.21")?;
//! let leaf = ca.issue(&wanted, now, Draw::new()?)?;
//!
//! assert!(matches!(judge(Some(&leaf.certificate), &ca, &wanted, now), Verdict::Keep { .. }));
//! let later = now + Duration::from_secs(340 * 86_400);
//! assert!(matches!(judge(Some(&leaf.certificate), &ca, &wanted, later), Verdict::Renew(_)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod ca;
pub mod directory;
mod error;
mod fingerprint;
mod judge;
mod leaf;
mod names;
mod time;

pub use ca::{Ca, Draw, Kind};
pub use directory::{DirectoryError, Origin, Pki};
pub use error::PkiError;
pub use fingerprint::{Fingerprint, FingerprintError};
pub use judge::{RENEW_BEFORE, Reason, Verdict, judge};
pub use leaf::{Leaf, Request, Usage};
pub use names::AltName;

#[cfg(test)]
mod tests;
