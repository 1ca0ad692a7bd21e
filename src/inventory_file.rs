//! The operator's inventory: read from its file, with every mistake shown where it stands.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use inventory::{Inventory, MAX_BYTES, Mistakes};

use crate::error::CliError;
use crate::text::count;

/// Where it is unless something else is said.
pub(crate) const DEFAULT: &str = "inventory.yaml";
/// So many mistakes are shown; the rest is counted.
const SHOWN: usize = 50;

/// Reads it; `${NAME}` in it is a variable of the environment.
pub(crate) fn read(path: &Path) -> Result<Inventory, CliError> {
    let name = path.display().to_string();
    let bytes = bytes(path).map_err(|cause| {
        let error = CliError::usage(format!("cannot read {name}")).caused_by(&cause);
        match cause.kind() {
            io::ErrorKind::NotFound => {
                error.hint(format!("`clusterctl init {name}` asks a few questions and writes one"))
            }
            _ => error,
        }
    })?;
    inventory::read(&name, &bytes, |variable| std::env::var(variable).ok())
        .map_err(|mistakes| refused(&name, &mistakes))
}

/// One byte more than it may have, so that the reader sees that it is too large.
fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Every mistake as a cause of its own.
pub(crate) fn refused(name: &str, Mistakes(mistakes): &Mistakes) -> CliError {
    let mut error = CliError::usage(format!("{} in {name}", count(mistakes.len() as u64, "mistake")));
    error.causes.extend(mistakes.iter().take(SHOWN).map(ToString::to_string));
    if mistakes.len() > SHOWN {
        error.causes.push(format!("and {} more", mistakes.len() - SHOWN));
    }
    error
}
