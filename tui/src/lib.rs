//! The dashboard (`tui-design.md`): the whole cluster in a terminal.
//!
//! ```text
//! keys, frames, answers, time ─▶ Input ─▶ update(&mut State) ─▶ Effects ─▶ the edge ─▶ cluster, terminal
//!                                              │
//!                                              └─ draw(&State) ─▶ cells
//! ```
//!
//! `update` and `draw` are pure: no clock, no network, no terminal. What is known of the cluster is in [`Cluster`], filled by
//! the frames of `api::watch`; what else a page needs it asks for with a [`Request`]. The edge is `terminal` and whoever
//! implements [`Backend`].

mod backend;
mod cluster;
mod demo;
mod dialog;
mod diff;
mod draw;
mod effect;
mod filter;
mod form;
mod help;
mod input;
mod keys;
mod list;
mod pages;
mod state;
mod terminal;
#[cfg(test)]
mod testing;
mod text;
mod theme;

pub use backend::{Backend, Link};
pub use cluster::Cluster;
pub use demo::Demo;
pub use draw::draw;
pub use effect::{Effect, LogSource, Request};
pub use input::{Connection, Failed, Input, LogPiece, Progress};
pub use state::{Options, Page, State, update};
pub use terminal::{TerminalError, run};
pub use theme::{Look, Theme};
