//! A group as the interface shows it (§3).

use serde::Serialize;

use crate::marathon::path_id::{GroupId, PathId};
use crate::marathon::timestamp::Timestamp;
use crate::marathon::view::AppInfo;

/// A group and, as `embed` asks, what stands in it. What was not asked for is not written.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupInfo {
    /// Absolute.
    pub id: GroupId,
    /// The apps that stand directly in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apps: Option<Vec<AppInfo>>,
    /// The groups that stand directly in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<GroupInfo>>,
    /// Always empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods: Option<[(); 0]>,
    /// What comes first.
    pub dependencies: Vec<PathId>,
    /// Of the last change to it or to anything in it.
    pub version: Timestamp,
    /// Written only when the user set it: released clients do not know it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enforce_role: Option<bool>,
}
