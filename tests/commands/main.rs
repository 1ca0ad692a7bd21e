//! Commands of the built binary against a server of fixtures.

mod changes;
mod clusters;
mod editor;
mod files;
mod fixtures;
mod groups;
mod inventory;
mod server;
mod service;
mod tasks;
mod waits;
