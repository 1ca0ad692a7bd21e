//! A program that is nothing but a shim; the tests and benches of this crate start it.

fn main() -> std::process::ExitCode {
    agent::shim::main(std::env::args_os().skip(1))
}
