//! Where an instance runs or would run, as constraints see it.

use crate::attributes::Attributes;

/// What can be said about an agent's place: its name, its domain and its attributes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// The agent's Mesos hostname: its address unless one is set.
    pub hostname: String,
    /// The region of its fault domain.
    pub region: Option<String>,
    /// The zone within the region.
    pub zone: Option<String>,
    /// Its attributes.
    pub attributes: Attributes,
}
