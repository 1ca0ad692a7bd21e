//! See [`benches::reads`].

use std::process::ExitCode;

use benches::{options, reads};

fn main() -> ExitCode {
    options::run(|options: &reads::Options| &options.common, reads::measure)
}
