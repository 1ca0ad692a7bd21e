//! What single values may be. Each check says what is wrong and what to write.

mod hosts;
mod values;

pub(crate) use hosts::{address, host_name, jump};
pub(crate) use values::{
    cluster_name, directory, domain, duration, fingerprint, package, path, port, purl, sha256, truth, url,
    user,
};

use crate::faults::Problem;

type Checked<T> = Result<T, Problem>;

/// The longest part between two dots.
const MAX_LABEL: usize = 63;
