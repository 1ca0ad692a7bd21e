//! Which task is meant: by its id, the short name that we print, or any part of it that only one has.

use api::marathon::TaskId;
use serde_json::Value;

use crate::error::CliError;
use crate::text;
use crate::value;

/// How many candidates are named.
const SHOWN: usize = 10;

/// The short name of a task: the service and the beginning of the instance's id. What is no instance keeps its name.
pub(crate) fn short(id: &str) -> String {
    let Ok(task) = id.parse::<TaskId>() else { return id.to_owned() };
    let instance = task.instance().uuid.to_string();
    let app = task.app().path().elements().collect::<Vec<_>>().join("_");
    format!("{app}.{}", instance.get(..8).unwrap_or(&instance))
}

/// Whether a task has come to its end.
pub(crate) fn is_over(task: &Value) -> bool {
    matches!(
        value::text(task, "state"),
        "TASK_FINISHED"
            | "TASK_FAILED"
            | "TASK_KILLED"
            | "TASK_ERROR"
            | "TASK_LOST"
            | "TASK_DROPPED"
            | "TASK_GONE"
            | "TASK_GONE_BY_OPERATOR"
    )
}

/// The one task that `wanted` means. What runs goes before what is over.
pub(crate) fn task<'a>(tasks: &'a [Value], wanted: &str) -> Result<&'a Value, CliError> {
    let id = |task: &&Value| value::text(task, "id").to_owned();
    let rules: [&dyn Fn(&&Value) -> bool; 4] = [
        &|task| id(task) == wanted,
        &|task| short(&id(task)) == wanted,
        &|task| id(task).starts_with(wanted) || short(&id(task)).starts_with(wanted),
        &|task| id(task).contains(wanted),
    ];
    for rule in rules {
        let found: Vec<&Value> = tasks.iter().filter(rule).collect();
        let alive: Vec<&Value> = found.iter().copied().filter(|task| !is_over(task)).collect();
        match (alive.as_slice(), found.as_slice()) {
            ([one], _) | ([], [one]) => return Ok(one),
            ([], []) => {}
            ([], many) | (many, _) => return Err(ambiguous(wanted, many)),
        }
    }
    let names: Vec<String> = tasks.iter().map(|task| short(value::text(task, "id"))).collect();
    let near = text::similar(wanted, names.iter().map(String::as_str));
    let error = CliError::usage(format!("there is no task {wanted:?}"));
    let error = near.iter().fold(error, |error, name| error.hint(format!("did you mean `{name}`?")));
    Err(error.hint("`clusterctl task list --all` shows all tasks"))
}

fn ambiguous(wanted: &str, found: &[&Value]) -> CliError {
    let mut error = CliError::usage(format!("{wanted:?} means {} tasks", found.len()));
    for task in found.iter().take(SHOWN) {
        error.causes.push(format!("{} ({})", value::text(task, "id"), value::text(task, "state")));
    }
    if found.len() > SHOWN {
        error.causes.push(format!("and {} more", found.len() - SHOWN));
    }
    error.hint("write more of the id")
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;
    use serde_json::json;

    use super::*;

    fn tasks() -> Vec<Value> {
        let task = |id: &str, state: &str| json!({"id": id, "state": state});
        vec![
            task("shop_web.instance-3f0c8a52-9f0e-4d0b-8a43-0b6c3a0d1e2f._app.1", "TASK_RUNNING"),
            task("shop_web.instance-3a00ffff-9f0e-4d0b-8a43-0b6c3a0d1e2f._app.1", "TASK_RUNNING"),
            task("shop_web.instance-77777777-9f0e-4d0b-8a43-0b6c3a0d1e2f._app.1", "TASK_FAILED"),
            task("db.instance-11111111-9f0e-4d0b-8a43-0b6c3a0d1e2f._app.2", "TASK_RUNNING"),
            task("spark-7", "TASK_FINISHED"),
        ]
    }

    fn found(wanted: &str) -> String {
        let tasks = tasks();
        match task(&tasks, wanted) {
            Ok(task) => short(value::text(task, "id")),
            Err(error) => strip_str(&error.styled()).to_string(),
        }
    }

    #[test]
    fn a_part_that_only_one_has_is_enough() {
        for (wanted, name) in [
            ("spark-7", "spark-7"),
            ("shop_web.3f0c8a52", "shop_web.3f0c8a52"),
            ("shop_web.instance-3f", "shop_web.3f0c8a52"),
            ("db", "db.11111111"),
            ("77777777", "shop_web.77777777"),
        ] {
            assert_eq!(found(wanted), name, "{wanted}");
        }
    }

    #[test]
    fn what_means_several_names_them() {
        insta::assert_snapshot!(found("shop_web"), @r#"
        error: "shop_web" means 2 tasks
          caused by: shop_web.instance-3f0c8a52-9f0e-4d0b-8a43-0b6c3a0d1e2f._app.1 (TASK_RUNNING)
          caused by: shop_web.instance-3a00ffff-9f0e-4d0b-8a43-0b6c3a0d1e2f._app.1 (TASK_RUNNING)
        hint: write more of the id
        "#);
    }

    #[test]
    fn what_means_none_is_shown_what_is_near() {
        insta::assert_snapshot!(found("sparc-7"), @r#"
        error: there is no task "sparc-7"
        hint: did you mean `spark-7`?
        hint: `clusterctl task list --all` shows all tasks
        "#);
    }
}
