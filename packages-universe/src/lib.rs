//! Packages: from what somebody wrote to a definition that services take.
//!
//! ```text
//!  directory ─┐
//!  archive ───┼─▶ load ─▶ Package ─▶ options::resolve ─▶ render ─▶ app or group, with the labels
//!  index ─────┘     │                 defaults ⊕ user     tera       by which it is found again
//!  catalog() ───────┘                 against the schema  mustache
//! ```
//!
//! Two forms are read: our own (YAML, tera) and that of the packaging versions 2.0 to 5.0 (JSON, mustache), unmodified. [`Universe`]
//! is several repositories in their order. [`lint()`] says of a directory all that is wrong, with file and line.
//!
//! It is pure, but for [`load::directory`] and [`lint()`], which read files: nothing is fetched, no schema from elsewhere, no artifact. What a
//! package brings is somebody else's: sizes, loops, patterns and archives have limits, and secret options leave the definition
//! before it is rendered.

pub mod artifact;
mod catalog;
mod fault;
mod lint;
pub mod load;
pub mod mustache;
pub mod options;
mod package;
mod render;
mod schema;
mod similar;
pub mod template;
#[cfg(test)]
mod tests;
mod universe;
pub mod version;

pub use catalog::{CATALOG_NAME, CATALOG_URI, catalog};
pub use fault::{Fault, Severity};
pub use lint::lint;
pub use load::{LoadError, Loaded};
pub use options::{OptionFault, OptionFaults};
pub use package::{Form, Needs, Notes, Package, Web};
pub use render::{
    LABEL_ID, LABEL_PEERS, RenderError, Rendered, Request, Resolved, SecretOption, next, render, unpack,
};
pub use universe::{Found, Hit, Missing, Repository, Universe};
