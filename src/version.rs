//! Which build this is.

#[cfg(test)]
mod date;

/// The released version.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The version with the commit and the day it was built on, as `--version` prints it.
pub(crate) const BUILD: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (",
    env!("CLUSTERCTL_COMMIT"),
    " ",
    env!("CLUSTERCTL_BUILD_DATE"),
    ")"
);
