//! What a path below `/v2/groups` asks for (§1, "Path shape").

use crate::marathon::path_id::{GroupId, IdError};
use crate::marathon::route::{absolute, decode, literal};

/// What a path below `/v2/groups` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupRoute {
    /// `/v2/groups` and `/{id}`.
    Group(GroupId),
    /// `/{id}/apps`: the apps of the group, those of its groups included.
    Apps(GroupId),
    /// `/{id}/versions`.
    Versions(GroupId),
    /// `/{id}/versions/{ts}`; the timestamp is not parsed yet.
    Version(GroupId, String),
    /// The part that should be an id is none: 404 where something is read, 422 at `/id` where it would be created.
    BadId {
        /// The id as it was asked for, absolute, to be named in the answer.
        id: String,
        /// What is wrong with it.
        error: IdError,
    },
}

/// Reads what follows `/v2/groups` in a URL, without the query. Slashes are collapsed, escaped ones included. Only when
/// something is read does a suffix mean anything: `/apps` may also be the name of a group.
pub fn parse_group_path(path: &str, reading: bool) -> GroupRoute {
    let path = decode(path);
    let elements: Vec<&str> = path.split('/').filter(|element| !element.is_empty()).collect();
    match elements.as_slice() {
        [id @ .., "apps"] if reading => with_group(id, GroupRoute::Apps),
        [id @ .., "versions"] if reading => with_group(id, GroupRoute::Versions),
        [id @ .., "versions", ts] if reading => {
            with_group(id, |id| GroupRoute::Version(id, (*ts).to_owned()))
        }
        id => with_group(id, GroupRoute::Group),
    }
}

fn with_group(elements: &[&str], route: impl FnOnce(GroupId) -> GroupRoute) -> GroupRoute {
    let id = absolute(elements);
    match literal(elements).and_then(|()| id.parse()) {
        Ok(group) => route(group),
        Err(error) => GroupRoute::BadId { id, error },
    }
}
