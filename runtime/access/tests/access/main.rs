//! The whole crate over a real store: who comes in, what its routes do, what is never said.

mod commits;
mod matrix;
mod own;
mod secrets;
mod world;
