//! Wire types of the interfaces that the field already has: how a request is read, checked and normalised, and how an
//! answer, an error or an event is written. Pure: data to data. This crate never opens a socket or a file, never reads
//! a clock and draws no random numbers: timestamps, identifiers and ports come in as arguments, and what is sent where
//! is decided elsewhere. Today it holds Marathon's REST interface, version 2.

pub mod marathon;
