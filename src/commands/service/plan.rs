//! What a deployment does, in words.

use serde_json::Value;

use crate::value;

/// One kind of action, by the verb that people use for it.
fn verb(action: &str) -> &str {
    match action {
        "StartApplication" | "StartPod" => "start",
        "StopApplication" | "StopPod" => "stop",
        "ScaleApplication" | "ScalePod" => "scale",
        "RestartApplication" | "RestartPod" => "restart",
        "ResolveArtifacts" => "fetch files of",
        other => other,
    }
}

/// `start /shop/db, /shop/cache; scale /shop/web`; nothing for no actions.
pub(crate) fn actions(actions: &[Value]) -> String {
    let mut verbs: Vec<(&str, Vec<&str>)> = Vec::new();
    for action in actions {
        let app =
            [value::text(action, "app"), value::text(action, "pod")].into_iter().find(|app| !app.is_empty());
        let (verb, app) = (verb(value::text(action, "action")), app.unwrap_or("?"));
        match verbs.iter_mut().find(|(known, _)| *known == verb) {
            Some((_, apps)) => apps.push(app),
            None => verbs.push((verb, vec![app])),
        }
    }
    let words: Vec<String> =
        verbs.into_iter().map(|(verb, apps)| format!("{verb} {}", apps.join(", "))).collect();
    words.join("; ")
}

/// A line for each step of a plan: `step 1 of 2: start /shop/db`.
pub(crate) fn steps(plan: &Value) -> Vec<String> {
    let steps = value::list(plan, "steps");
    let line = |(step, number): (&Value, usize)| {
        format!("step {number} of {}: {}", steps.len(), actions(value::list(step, "actions")))
    };
    steps.iter().zip(1..).map(line).collect()
}

/// The services that a plan does something to in one way, like `StopApplication`.
pub(crate) fn of_kind<'a>(plan: &'a Value, kind: &str) -> Vec<&'a str> {
    let actions = value::list(plan, "steps").iter().flat_map(|step| value::list(step, "actions"));
    actions
        .filter(|action| value::text(action, "action") == kind)
        .map(|action| value::text(action, "app"))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn steps_say_what_is_done_to_which_services() {
        let action = |action: &str, app: &str| json!({"action": action, "app": app});
        let plan = json!({"steps": [
            {"actions": [action("StartApplication", "/db"), action("RestartApplication", "/web"), action("StartApplication", "/kv")]},
            {"actions": [action("StopApplication", "/old"), action("Juggle", "/x")]},
        ]});
        assert_eq!(
            steps(&plan),
            ["step 1 of 2: start /db, /kv; restart /web", "step 2 of 2: stop /old; Juggle /x"]
        );
        assert_eq!(of_kind(&plan, "StopApplication"), ["/old"]);
    }
}
