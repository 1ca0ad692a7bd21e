//! Says of a directory of packages all that is wrong with it.

use std::path::Path;

use crate::fault::Fault;
use crate::load::{self, LoadError};

/// Loads every package of a directory, and renders each with its defaults.
///
/// # Errors
/// When the directory cannot be read.
pub fn lint(path: &Path) -> Result<Vec<Fault>, LoadError> {
    let loaded = load::directory(path)?;
    Ok(loaded.faults)
}
