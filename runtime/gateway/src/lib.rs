//! The door of a master: one port for every interface. It says who may come in ([`api::server::guard`]), sends each request to the room
//! that answers it ([`route`]), and keeps slow, silent or careless clients from holding up the others ([`api::server`]). `lead`
//! takes the leadership of the store, starts master and services on it, and starts them again when the store fails.
//!
//! With a certificate it speaks TLS alone, and asks [`access`] about every request before a byte of its body is read; without
//! one it has no login, and serves loopback alone. It decides nothing about agents, tasks or services.

mod artifacts;
mod door;
mod figures;
mod lead;
pub mod route;

pub use lead::{Gateway, GatewayError, Options};
