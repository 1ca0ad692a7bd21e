//! The whole crate over a real store: who comes in, what its routes do, what is never said.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

mod commits;
mod matrix;
mod own;
mod secrets;
mod world;
