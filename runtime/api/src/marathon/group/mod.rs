//! Groups (§3): their bodies read (`read`), their answers written (`view`), their paths taken apart (`route`).

mod read;
mod route;
mod view;

#[cfg(test)]
mod tests;

pub use read::{GroupChange, GroupUpdate};
pub use route::{GroupRoute, parse_group_path};
pub use view::GroupInfo;
