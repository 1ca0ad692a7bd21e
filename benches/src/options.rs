//! Arguments that all measurements take, and how they end.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser};
use serde::Serialize;

use crate::Result;
use crate::machine::Machine;

/// Arguments of every measurement.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// Print raw figures as one JSON object
    #[arg(long)]
    pub json: bool,

    /// Where the store is made, on the disk that is to be measured; removed afterwards
    #[arg(long, value_name = "DIR", default_value_os_t = std::env::temp_dir())]
    pub dir: PathBuf,

    /// Chooses what is asked for when
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// Given by `cargo bench`; says nothing
    #[arg(long, hide = true)]
    pub bench: bool,
}

impl Common {
    /// For tests: a store in this directory.
    #[must_use]
    pub fn in_dir(dir: PathBuf) -> Self {
        Self { json: false, dir, seed: 1, bench: false }
    }
}

/// A sequence of numbers that looks random and is the same for the same seed (splitmix64).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// From a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        let end = u64::try_from(end.max(1)).unwrap_or(1);
        usize::try_from(z % end).unwrap_or(0)
    }
}

/// Figures with what they depend on.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a, T> {
    version: &'static str,
    machine: &'a Machine,
    load_at_end: String,
    seed: u64,
    figures: &'a T,
}

/// The body of a measurement's `main`: reads its arguments, measures, prints figures as a table or as JSON.
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "of programs whose output is their result")]
pub fn run<O, T>(common: impl FnOnce(&O) -> &Common, measure: impl AsyncFnOnce(&O) -> Result<T>) -> ExitCode
where
    O: Parser,
    T: Serialize + std::fmt::Display,
{
    let options = O::parse();
    let common = common(&options).clone();
    let machine = Machine::look();
    let measured = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(crate::Error::from)
        .and_then(|runtime| runtime.block_on(measure(&options)));
    let figures = match measured {
        Ok(figures) => figures,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    if common.json {
        let (version, load_at_end) = (env!("CARGO_PKG_VERSION"), crate::machine::load());
        let report = Report { version, machine: &machine, load_at_end, seed: common.seed, figures: &figures };
        match serde_json::to_string(&report) {
            Ok(json) => println!("{json}"),
            Err(error) => eprintln!("error: {error}"),
        }
    } else {
        println!("{machine}\n\n{figures}\nload at the end {}", crate::machine::load());
    }
    ExitCode::SUCCESS
}

/// Tells whoever waits how far it is.
#[expect(clippy::print_stderr, reason = "a measurement takes minutes")]
pub fn progress(text: &str) {
    if !cfg!(test) {
        eprintln!("{text}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let numbers = |seed| {
            let mut dice = Dice::new(seed);
            (0..8).map(|_| dice.below(1000)).collect::<Vec<_>>()
        };
        assert_eq!(numbers(1), numbers(1));
        assert_ne!(numbers(1), numbers(2));
        assert!(numbers(3).iter().all(|number| *number < 1000));
    }
}
