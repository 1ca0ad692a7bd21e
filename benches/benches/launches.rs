//! See [`benches::launches`].

use std::process::ExitCode;

use benches::{launches, options};

fn main() -> ExitCode {
    options::run(|options: &launches::Options| &options.common, launches::measure)
}
