//! What a path below `/v2/apps` asks for (§1, "Path shape").

use super::path_id::{AppId, GroupId, IdError};

/// What a path below `/v2/apps` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppRoute {
    /// `/v2/apps`: all apps.
    Apps,
    /// `/{id}`.
    App(AppId),
    /// `/{group}/*`: the apps of a group, those of its groups included.
    Group(GroupId),
    /// `/{id}/restart`.
    Restart(AppId),
    /// `/{id}/tasks`.
    Tasks(AppId),
    /// `/{group}/*/tasks`.
    GroupTasks(GroupId),
    /// `/{id}/tasks/{taskId}`; the task id is not parsed yet.
    Task(AppId, String),
    /// `/{id}/versions`.
    Versions(AppId),
    /// `/{id}/versions/{ts}`; the timestamp is not parsed yet.
    Version(AppId, String),
    /// The part that should be an id is none: 404 where something is read, 422 at `/id` where it would be created.
    BadId {
        /// The id as it was asked for, absolute, to be named in the answer.
        id: String,
        /// What is wrong with it.
        error: IdError,
    },
}

/// Undoes percent-encoding; what is no valid escape stays as it is, and no id will match it.
pub(super) fn decode(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let hex = |at: usize| {
            tail.get(at).and_then(|c| char::from(*c).to_digit(16)).and_then(|d| u8::try_from(d).ok())
        };
        match (first, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(high * 16 + low);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads what follows `/v2/apps` in a URL, without the query. Slashes are collapsed, escaped ones included, then the
/// suffix is matched; all before it is the id.
pub fn parse_app_path(path: &str) -> AppRoute {
    let path = decode(path);
    let elements: Vec<&str> = path.split('/').filter(|element| !element.is_empty()).collect();
    match elements.as_slice() {
        [] => AppRoute::Apps,
        [group @ .., "*"] => with_group(group, AppRoute::Group),
        [group @ .., "*", "tasks"] => with_group(group, AppRoute::GroupTasks),
        [id @ .., "restart"] if !id.is_empty() => with_app(id, AppRoute::Restart),
        [id @ .., "tasks"] if !id.is_empty() => with_app(id, AppRoute::Tasks),
        [id @ .., "versions"] if !id.is_empty() => with_app(id, AppRoute::Versions),
        [id @ .., "tasks", task] if !id.is_empty() => {
            with_app(id, |id| AppRoute::Task(id, (*task).to_owned()))
        }
        [id @ .., "versions", ts] if !id.is_empty() => {
            with_app(id, |id| AppRoute::Version(id, (*ts).to_owned()))
        }
        id => with_app(id, AppRoute::App),
    }
}

pub(super) fn absolute(elements: &[&str]) -> String {
    format!("/{}", elements.join("/"))
}

fn with_app(elements: &[&str], route: impl FnOnce(AppId) -> AppRoute) -> AppRoute {
    let id = absolute(elements);
    match literal(elements).and_then(|()| id.parse()) {
        Ok(app) => route(app),
        Err(error) => AppRoute::BadId { id, error },
    }
}

fn with_group(elements: &[&str], route: impl FnOnce(GroupId) -> AppRoute) -> AppRoute {
    let id = absolute(elements);
    match literal(elements).and_then(|()| id.parse()) {
        Ok(group) => route(group),
        Err(error) => AppRoute::BadId { id, error },
    }
}

/// In a URL `.` and `..` are no way to get from one id to another: that would get around rules about prefixes.
pub(super) fn literal(elements: &[&str]) -> Result<(), IdError> {
    match elements.iter().find(|element| matches!(**element, "." | "..")) {
        Some(element) => Err(IdError::Element { element: (*element).to_owned() }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(id: &str) -> AppId {
        id.parse().unwrap()
    }

    #[test]
    fn both_ways_in_which_clients_build_paths_lead_to_the_same_place() {
        let group = |id: &str| id.parse::<GroupId>().unwrap();
        for (path, route) in [
            ("", AppRoute::Apps),
            ("//", AppRoute::Apps),
            ("/web", AppRoute::App(app("/web"))),
            ("//web/", AppRoute::App(app("/web"))),
            ("/%2Fshop%2fweb", AppRoute::App(app("/shop/web"))),
            ("/shop/web", AppRoute::App(app("/shop/web"))),
            ("/web//restart", AppRoute::Restart(app("/web"))),
            ("//shop/web/tasks/", AppRoute::Tasks(app("/shop/web"))),
            ("/web/tasks/web.1", AppRoute::Task(app("/web"), "web.1".to_owned())),
            ("/web/versions", AppRoute::Versions(app("/web"))),
            (
                "/web/versions/2026-01-31T08:15:30.123Z",
                AppRoute::Version(app("/web"), "2026-01-31T08:15:30.123Z".to_owned()),
            ),
            (
                "/web/versions/2026-01-31T08%3A15%3A30.123Z",
                AppRoute::Version(app("/web"), "2026-01-31T08:15:30.123Z".to_owned()),
            ),
            ("/*", AppRoute::Group(GroupId::root())),
            ("/shop/*", AppRoute::Group(group("/shop"))),
            ("/shop/*/tasks", AppRoute::GroupTasks(group("/shop"))),
            ("/tasks/web", AppRoute::App(app("/tasks/web"))),
        ] {
            assert_eq!(parse_app_path(path), route, "{path}");
        }
    }

    #[test]
    fn what_is_no_id_is_named_as_it_was_asked_for() {
        for (path, asked) in [
            ("/Web", "/Web"),
            ("/restart", "/restart"),
            ("/a/../b", "/a/../b"),
            ("/a/%2e%2e/b/tasks", "/a/../b"),
            ("/a/..;/b", "/a/..;/b"),
            ("/a%0d%0ab", "/a\r\nb"),
            ("/a%zz", "/a%zz"),
        ] {
            match parse_app_path(path) {
                AppRoute::BadId { id, .. } => assert_eq!(id, asked),
                route => panic!("{path} gave {route:?}"),
            }
        }
    }
}
