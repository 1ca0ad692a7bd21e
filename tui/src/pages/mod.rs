//! The pages. Each has its state, and the same functions: what keys do, what answers change, how it is drawn.

pub(crate) mod dashboard;
pub(crate) mod deployments;
pub(crate) mod events;
pub(crate) mod nodes;
#[cfg(test)]
mod screens;
pub(crate) mod services;
pub(crate) mod universe;
