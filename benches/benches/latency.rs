//! See [`benches::latency`].

use std::process::ExitCode;

use benches::{latency, options};

fn main() -> ExitCode {
    options::run(|options: &latency::Options| &options.common, latency::measure)
}
