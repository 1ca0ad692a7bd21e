//! Commands of the built binary against a server of fixtures.

mod clusters;
mod fixtures;
mod server;
mod service;
mod tasks;
mod waits;
