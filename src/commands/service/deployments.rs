//! `service deployments` and `service stop-deployment`.

use api::client::{AppEmbed, Client};
use api::marathon::{AppId, Timestamp};
use serde_json::Value;

use super::change::{begun, deployment};
use super::plan::actions;
use super::reason::Reasons;
use super::wait::Subject;
use super::watch::{Goal, Watch};
use super::{WaitArgs, app_id, existing};
use crate::commands::task::view::time;
use crate::confirm::confirm;
use crate::error::CliError;
use crate::event::Event;
use crate::exit::Exit;
use crate::output::OutputArgs;
use crate::printer::Printer;
use crate::table::{Cell, Table};
use crate::{text, value};

/// How much of a deployment's id is shown where there is not much room.
const SHORT: usize = 8;

fn affected(deployment: &Value) -> Vec<&str> {
    value::list(deployment, "affectedApps").iter().filter_map(Value::as_str).collect()
}

pub(super) async fn list(
    ui: &mut Printer,
    client: &Client,
    app: Option<&AppId>,
    output: OutputArgs,
) -> Result<Exit, CliError> {
    let mut answer = client.deployments().await?;
    if let (Some(app), Value::Array(deployments)) = (app, &mut answer) {
        deployments.retain(|deployment| affected(deployment).contains(&app.as_str()));
        if deployments.is_empty() {
            // An id that was mistyped has no deployments either.
            existing(client, app, &[]).await?;
        }
    }
    if value::items(&answer).is_empty() && output.is_table() && !ui.is_json() {
        ui.hint("no deployment runs");
        return Ok(Exit::Done);
    }
    let (reasons, apps) = match output.is_table() {
        true => {
            (Reasons::read(client).await, client.apps(&[AppEmbed::LastTaskFailure]).await.unwrap_or_default())
        }
        false => (Reasons::default(), Value::Null),
    };
    let now = text::now();
    output.show(ui, "deployments", &answer, |wide| {
        table(value::items(&answer), &reasons, value::list(&apps, "apps"), wide, now).render()
    })
}

fn table(deployments: &[Value], reasons: &Reasons, apps: &[Value], wide: bool, now: Timestamp) -> Table {
    let mut table = Table::new(&["DEPLOYMENT", "SERVICES", "STEP", "DOES", "AGE", "WAITS"]);
    for deployment in deployments {
        let id = value::text(deployment, "id");
        let doing = actions(value::list(deployment, "currentActions"));
        let step =
            format!("{}/{}", value::whole(deployment, "currentStep"), value::whole(deployment, "totalSteps"));
        table.row(vec![
            Cell::plain(if wide { id } else { id.get(..SHORT).unwrap_or(id) }),
            Cell::or_none(Some(&affected(deployment).join(", "))),
            Cell::plain(step),
            Cell::or_none(Some(&doing)),
            time(deployment.get("version").and_then(text::time), wide, now),
            waits(deployment, reasons, apps).map_or_else(Cell::none, Cell::warn),
        ]);
    }
    table
}

/// What the current step waits for: a place, or instances that run and are healthy.
fn waits(deployment: &Value, reasons: &Reasons, apps: &[Value]) -> Option<String> {
    let current = value::list(deployment, "currentActions");
    let of_service = |action: &Value| {
        let id = value::text(action, "app");
        let app = apps.iter().find(|app| value::text(app, "id") == id);
        let why = reasons.waiting(id).or_else(|| progress(app?, value::text(action, "action")))?;
        Some(if current.len() > 1 { format!("{id}: {why}") } else { why })
    };
    let all: Vec<String> = current.iter().filter_map(of_service).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// How far a service is from what it is to be.
fn progress(app: &Value, action: &str) -> Option<String> {
    let wanted = value::whole(app, "instances");
    let (running, healthy) = (value::whole(app, "tasksRunning"), value::whole(app, "tasksHealthy"));
    let checked = !value::list(app, "healthChecks").is_empty();
    match action {
        "StopApplication" => Some(format!("{} to end", text::count(running, "instance"))),
        "StartApplication" => None,
        _ if running < wanted => Some(format!("{running} of {} run", text::count(wanted, "instance"))),
        _ if checked && healthy < wanted => {
            Some(format!("{healthy} of {} are healthy", text::count(wanted, "instance")))
        }
        _ if running > wanted => Some(format!("{} to end", text::count(running - wanted, "instance"))),
        _ => None,
    }
}

/// The one deployment that is meant: by its id, the beginning of it, or a service that it changes.
fn find<'a>(deployments: &'a [Value], wanted: &str) -> Result<&'a Value, CliError> {
    let service = app_id(wanted).ok();
    let rules: [&dyn Fn(&&Value) -> bool; 3] = [
        &|one| value::text(one, "id") == wanted,
        &|one| !wanted.is_empty() && value::text(one, "id").starts_with(wanted),
        &|one| service.as_ref().is_some_and(|app| affected(one).contains(&app.as_str())),
    ];
    for rule in rules {
        let found: Vec<&Value> = deployments.iter().filter(rule).collect();
        match found.as_slice() {
            [] => {}
            [one] => return Ok(one),
            many => {
                let mut error = CliError::usage(format!("{wanted} means {} deployments", many.len()));
                let shown =
                    |one: &&Value| format!("{} of {}", value::text(one, "id"), affected(one).join(", "));
                error.causes.extend(many.iter().map(shown));
                return Err(error.hint("write more of the id"));
            }
        }
    }
    let names =
        deployments.iter().flat_map(|one| std::iter::once(value::text(one, "id")).chain(affected(one)));
    let near = text::similar(service.as_ref().map_or(wanted, AppId::as_str), names);
    let error = CliError::usage(format!("there is no deployment {wanted}; it may be done"));
    let error = near.iter().fold(error, |error, name| error.hint(format!("did you mean `{name}`?")));
    Err(error.hint("`clusterctl service deployments` lists those that run"))
}

pub(super) async fn stop(
    ui: &mut Printer,
    client: &Client,
    wanted: &str,
    force: bool,
    yes: bool,
    wait: WaitArgs,
) -> Result<Exit, CliError> {
    let running = client.deployments().await?;
    let found = find(value::items(&running), wanted)?;
    let id = value::text(found, "id");
    let apps = affected(found).join(", ");
    let step =
        format!("step {} of {}", value::whole(found, "currentStep"), value::whole(found, "totalSteps"));
    if force {
        confirm(
            ui,
            yes,
            &format!(
                "Drop deployment {id} of {apps} at {step}? Nothing is rolled back: instances stay as they are now, of the old version and of the new."
            ),
        )?;
        client.drop_deployment(id).await?;
        ui.result(&format!("deployment {id} is dropped\n"), &Event::Done { what: "dropped", name: id })?;
        ui.hint("what was done until now stays, and what was left is not done; `clusterctl service list` shows how it is");
        return Ok(Exit::Done);
    }
    confirm(ui, yes, &format!("Stop deployment {id} of {apps} at {step}, and roll back what it has done?"))?;
    let before = client.apps(&[AppEmbed::Tasks, AppEmbed::LastTaskFailure]).await?;
    let result = client.undo_deployment(id).await?;
    let subject = Subject {
        name: apps,
        done: format!("deployment {id} is rolled back"),
        what: "rolled_back",
        undo: "clusterctl service rollback ID".to_owned(),
        again: "clusterctl service wait ID".to_owned(),
        more: "`clusterctl service deployments` and `clusterctl service show ID` say more".to_owned(),
    };
    let mut watches = Vec::new();
    for name in affected(found) {
        let app = app_id(name)?;
        let known = value::list(&before, "apps").iter().find(|known| value::text(known, "id") == name);
        watches.push(
            Watch::new(&app, deployment(&result), Goal::Restored).knowing(known.unwrap_or(&Value::Null)),
        );
    }
    begun(ui, client, &subject, watches, wait).await
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;
    use serde_json::json;

    use super::*;

    fn deployments() -> Vec<Value> {
        let one = |id: &str, apps: &[&str], step: u64, actions: Value| {
            json!({"id": id, "version": "2026-11-22T11:58:00.000Z", "affectedApps": apps, "currentStep": step,
                   "totalSteps": 3, "steps": [], "currentActions": actions})
        };
        vec![
            one(
                "5d0c8a52-0000-4000-8000-000000000001",
                &["/web"],
                2,
                json!([{"action": "ScaleApplication", "app": "/web"}]),
            ),
            one(
                "5d777777-0000-4000-8000-000000000002",
                &["/db", "/kv"],
                1,
                json!([
                {"action": "RestartApplication", "app": "/db"}, {"action": "StopApplication", "app": "/kv"}]),
            ),
            one("60000000-0000-4000-8000-000000000003", &["/old"], 0, json!([])),
        ]
    }

    #[test]
    fn deployments_say_what_they_do_and_why_they_wait() {
        let queue = json!({"queue": [{"app": {"id": "/web", "cpus": 2.0}, "count": 1,
            "delay": {"timeLeftSeconds": 0, "overdue": true}, "processedOffersSummary": {"processedOffersCount": 1,
            "rejectSummaryLastOffers": [{"reason": "InsufficientCpus", "declined": 1, "processed": 1}]}}]});
        let apps = [
            json!({"id": "/db", "instances": 3, "tasksRunning": 3, "tasksHealthy": 1, "healthChecks": [{}]}),
            json!({"id": "/kv", "instances": 2, "tasksRunning": 2}),
        ];
        let now = "2026-11-22T12:00:00.000Z".parse().unwrap();
        let reasons = Reasons::new(queue, Value::Null);
        insta::assert_snapshot!(strip_str(&table(&deployments(), &reasons, &apps, false, now).render()), @r"
        DEPLOYMENT  SERVICES  STEP  DOES                   AGE     WAITS
        5d0c8a52    /web      2/3   scale /web             2m ago  1 instance waits: 1 of 1 offer lacks cpus (2 wanted)
        5d777777    /db, /kv  1/3   restart /db; stop /kv  2m ago  /db: 1 of 3 instances are healthy; /kv: 2 instances to end
        60000000    /old      0/3   -                      2m ago  -
        ");
    }

    #[test]
    fn a_deployment_is_found_by_its_beginning_or_its_service() {
        let all = deployments();
        let found = |wanted: &str| match find(&all, wanted) {
            Ok(one) => value::text(one, "id").get(..SHORT).unwrap().to_owned(),
            Err(error) => strip_str(&error.styled()).to_string(),
        };
        for (wanted, id) in [("5d0", "5d0c8a52"), ("kv", "5d777777"), ("/old", "60000000")] {
            assert_eq!(found(wanted), id);
        }
        insta::assert_snapshot!(found("5d"), @r"
        error: 5d means 2 deployments
          caused by: 5d0c8a52-0000-4000-8000-000000000001 of /web
          caused by: 5d777777-0000-4000-8000-000000000002 of /db, /kv
        hint: write more of the id
        ");
        insta::assert_snapshot!(found("wbe"), @r"
        error: there is no deployment wbe; it may be done
        hint: did you mean `/web`?
        hint: `clusterctl service deployments` lists those that run
        ");
    }
}
