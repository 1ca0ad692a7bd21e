//! The door of a master: one port for every interface. It says who may come in ([`api::server::guard`]), sends each request to the room
//! that answers it ([`route`]), and keeps slow, silent or careless clients from holding up the others ([`api::server`]). `lead`
//! stands for election, starts master and services on the leadership (`reign`), and again after each end of it; `follow` and `proxy`
//! are what a master does with requests while another one leads.
//!
//! ```text
//!             ┌─ this one: rooms of its reign
//!  request ─▶ ├─ another:  307, 302, or passed on to it (proxy), with who asks (behalf)
//!    (seat)   ├─ nobody:   what the last reign here left, marked as stale; or 503
//!             └─ own affairs of each master: /ping, /health, /metrics, /clusterctl/v1/master
//! ```
//!
//! With a certificate it speaks TLS alone, and asks [`access`] about every request before a byte of its body is read; without
//! one it has no login, and serves loopback alone. It decides nothing about agents, tasks or services.

mod adopt;
mod artifacts;
mod behalf;
mod dcos;
mod door;
mod figures;
mod follow;
mod lead;
mod options;
mod proxy;
mod reign;
pub mod route;
mod seat;
mod watch;

pub use adopt::Adopting;
pub use lead::Gateway;
pub use options::{GatewayError, Options, Shared, Source};
pub use seat::Standing;
pub use secrets::KeyFile;
