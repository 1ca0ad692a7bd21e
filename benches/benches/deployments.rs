//! See [`benches::deployments`].

use std::process::ExitCode;

use benches::{deployments, options};

fn main() -> ExitCode {
    options::run(|options: &deployments::Options| &options.common, deployments::measure)
}
