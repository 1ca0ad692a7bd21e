//! Replays one history with its log: `simulate --seed N [--steps M]`.

use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)?.parse::<u64>().ok()
    };
    let mut out = std::io::stdout().lock();
    let Some(seed) = number("--seed") else {
        let _ = writeln!(std::io::stderr(), "usage: simulate --seed N [--steps M]");
        return ExitCode::from(2);
    };
    let outcome = simulator::play(seed, None, number("--steps"), true);
    for line in &outcome.log {
        if writeln!(out, "{line}").is_err() {
            return ExitCode::FAILURE;
        }
    }
    match outcome.broken {
        None => ExitCode::SUCCESS,
        Some(broken) => {
            let _ = writeln!(out, "{broken:?}");
            ExitCode::FAILURE
        }
    }
}
