//! What is in a group, at any depth.

use serde_json::Value;

use crate::value;

/// The group itself and all groups below it, each before those in it.
pub(super) fn groups(group: &Value) -> Vec<&Value> {
    let below = value::list(group, "groups").iter().flat_map(groups);
    std::iter::once(group).chain(below).collect()
}

/// All services in it, in the order of their ids.
pub(super) fn services(group: &Value) -> Vec<&Value> {
    let mut apps: Vec<&Value> =
        groups(group).into_iter().flat_map(|group| value::list(group, "apps")).collect();
    apps.sort_by_key(|app| value::text(app, "id"));
    apps
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn everything_below_is_found() {
        let root = json!({"id": "/", "apps": [{"id": "/z"}], "groups": [
            {"id": "/a", "apps": [{"id": "/a/web"}], "groups": [{"id": "/a/b", "apps": [{"id": "/a/b/db"}], "groups": []}]},
            {"id": "/c"},
        ]});
        let ids =
            |all: Vec<&Value>| all.iter().map(|one| value::text(one, "id").to_owned()).collect::<Vec<_>>();
        assert_eq!(ids(groups(&root)), ["/", "/a", "/a/b", "/c"]);
        assert_eq!(ids(services(&root)), ["/a/b/db", "/a/web", "/z"]);
    }
}
