//! Bad days of an install, on real hosts: what is wrong is found and named, healthy hosts are not held up, and a second run
//! repairs. Needs root; `tests/run` runs it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

mod broken;
mod keys;
mod killed;
#[path = "../operator/mod.rs"]
mod operator;
mod passwords;
mod preflight;
mod typed;
mod watched;
mod written;
