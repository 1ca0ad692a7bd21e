//! Artifacts on the operator's machine (design §10): from what a package says of a file to the file, checked and kept by its
//! SHA-256, ready to be uploaded to masters.
//!
//! ```text
//!  Sources ─▶ url (http) │ file │ purl (pip, mvn, npm, apt) ─▶ sums ─▶ cache/sha256/<hex>
//!  Closure ─▶ members, each as above ─▶ tree (names, links, limits) ─▶ one tar, always the same
//!  Rootfs  ─▶ mmdebstrap ─▶ one tar
//! ```
//!
//! Pure: [`purl`], `sums`, `tree`, `names`. At the edge: `http`, `program`, `clients`, `cache`, `closure`, `rootfs`, and
//! [`Resolver`], which takes one source after the other. What comes from elsewhere is hostile until it has the sum.

mod archive;
mod bundle;
mod cache;
mod clients;
mod closure;
mod error;
mod event;
mod http;
mod names;
mod program;
pub mod purl;
mod resolver;
mod rootfs;
pub mod spec;
mod sums;
mod tree;

pub use bundle::{Bundle, BundleError, Bundled, Packed, load, pack};
pub use error::{Fault, ObtainError, Tried};
pub use event::{Event, Progress};
pub use resolver::{Obtained, Options, Resolver};
pub use tree::Limits;
