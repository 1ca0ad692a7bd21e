//! Query parameters: booleans (§1) and `embed` (§3).

use super::error::ApiError;

/// Reads a boolean of the query: `true` or `false` in any case. `None`, the parameter being absent, gives `default`;
/// a parameter without a value is false, as in the reference.
pub fn parse_boolean(name: &str, value: Option<&str>, default: bool) -> Result<bool, ApiError> {
    match value {
        None => Ok(default),
        Some("") => Ok(false),
        Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        Some(_) => {
            Err(ApiError::IllegalArgument(format!("The query parameter '{name}' must be true or false")))
        }
    }
}

/// What an app's view holds besides the app (§3, `embed`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Embed {
    /// The tasks.
    pub tasks: bool,
    /// How many tasks are staged, running, healthy and unhealthy.
    pub counts: bool,
    /// The ids of the deployments that hold the app. The key is always there; without this it is empty.
    pub deployments: bool,
    /// The results of readiness checks.
    pub readiness: bool,
    /// The last task that failed.
    pub last_task_failure: bool,
    /// Statistics over tasks.
    pub task_stats: bool,
}

impl Embed {
    /// For `GET /v2/apps`: counts and deployments always, and what was asked for.
    pub fn for_list<'a>(values: impl IntoIterator<Item = &'a str>) -> Embed {
        Embed { counts: true, deployments: true, ..Embed::asked(values) }
    }

    /// For `GET /v2/apps/{id}`: also tasks and the last failure always.
    pub fn for_app<'a>(values: impl IntoIterator<Item = &'a str>) -> Embed {
        let asked = Embed::asked(values);
        Embed { tasks: true, counts: true, deployments: true, last_task_failure: true, ..asked }
    }

    /// Exactly what was asked for. Unknown values are ignored.
    pub fn asked<'a>(values: impl IntoIterator<Item = &'a str>) -> Embed {
        let mut embed = Embed::default();
        for value in values {
            let name = ["group.apps.", "apps.", "app."].iter().find_map(|prefix| value.strip_prefix(prefix));
            match name.unwrap_or(value) {
                "tasks" => (embed.tasks, embed.deployments) = (true, true),
                "counts" => embed.counts = true,
                "deployments" => embed.deployments = true,
                "readiness" => embed.readiness = true,
                "lastTaskFailure" => embed.last_task_failure = true,
                "failures" => {
                    (embed.tasks, embed.last_task_failure, embed.deployments) = (true, true, true);
                }
                "taskStats" => embed.task_stats = true,
                _ => {}
            }
        }
        embed
    }
}

/// What a group's view holds (§3, Groups).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupEmbed {
    /// The groups below.
    pub groups: bool,
    /// The apps.
    pub apps: bool,
    /// The pods.
    pub pods: bool,
    /// What the views of the apps hold; `None` when only their definitions are wanted.
    pub app: Option<Embed>,
}

impl GroupEmbed {
    /// Reads the values of `embed`; without any, all but what is known about the apps.
    pub fn parse<'a>(values: impl IntoIterator<Item = &'a str>) -> GroupEmbed {
        let values: Vec<&str> = values.into_iter().collect();
        let has = |name: &str| values.contains(&name);
        let of_apps = values.iter().copied().filter(|value| value.starts_with("group.apps."));
        let app = Embed::asked(of_apps);
        let app = (app != Embed::default()).then_some(app);
        GroupEmbed {
            groups: values.is_empty() || has("group.groups"),
            apps: values.is_empty() || has("group.apps") || app.is_some(),
            pods: values.is_empty() || has("group.pods"),
            app,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_are_read_in_any_case() {
        for (value, default, expected) in [
            (None, false, Some(false)),
            (None, true, Some(true)),
            (Some("true"), false, Some(true)),
            (Some("True"), false, Some(true)),
            (Some("FALSE"), true, Some(false)),
            (Some(""), true, Some(false)),
            (Some("1"), true, None),
            (Some("yes"), true, None),
        ] {
            assert_eq!(parse_boolean("force", value, default).ok(), expected, "{value:?}");
        }
    }

    #[test]
    fn embed_is_understood_with_every_prefix() {
        let none = Embed::default();
        let tasks = Embed { tasks: true, deployments: true, ..none };
        let failures = Embed { last_task_failure: true, ..tasks };
        for (value, expected) in [
            ("tasks", tasks),
            ("apps.tasks", tasks),
            ("app.tasks", tasks),
            ("group.apps.tasks", tasks),
            ("apps.failures", failures),
            ("app.counts", Embed { counts: true, ..none }),
            ("deployments", Embed { deployments: true, ..none }),
            ("apps.readiness", Embed { readiness: true, ..none }),
            ("apps.lastTaskFailure", Embed { last_task_failure: true, ..none }),
            ("app.taskStats", Embed { task_stats: true, ..none }),
            ("pods.tasks", none),
            ("apps.apps.tasks", none),
            ("", none),
        ] {
            assert_eq!(Embed::asked([value]), expected, "{value}");
        }
        assert_eq!(Embed::for_list([]), Embed { counts: true, deployments: true, ..none });
        assert_eq!(
            Embed::for_app(["app.readiness"]),
            Embed { task_stats: false, counts: true, readiness: true, ..failures }
        );
    }

    #[test]
    fn a_group_shows_groups_and_apps_unless_told_what_to_show() {
        let parse = |values: &[&'static str]| GroupEmbed::parse(values.iter().copied());
        assert_eq!(parse(&[]), GroupEmbed { groups: true, apps: true, pods: true, app: None });
        assert_eq!(
            parse(&["group.groups"]),
            GroupEmbed { groups: true, apps: false, pods: false, app: None }
        );
        let counts = Embed { counts: true, ..Embed::default() };
        assert_eq!(
            parse(&["group.apps.counts"]),
            GroupEmbed { groups: false, apps: true, pods: false, app: Some(counts) }
        );
    }
}
