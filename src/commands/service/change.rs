//! Commands that change a service and wait for the deployment.

use std::path::Path;

use api::client::{AppEmbed, Client, ClientError};
use api::marathon::AppId;
use serde_json::{Map, Value, json};

use super::wait::{Subject, until_done};
use super::watch::{Goal, Watch};
use super::{ChangeArgs, QuickArgs, WaitArgs, app_id, existing, set};
use crate::confirm::confirm;
use crate::error::CliError;
use crate::event::Event;
use crate::exit::Exit;
use crate::printer::Printer;
use crate::{input, text, value};

/// What has to be known of a service before it is changed, to tell afterwards what is new.
const CHANGED: [AppEmbed; 2] = [AppEmbed::Tasks, AppEmbed::LastTaskFailure];

/// What `service update` was told.
pub(super) struct Update<'a> {
    pub(super) file: Option<&'a Path>,
    pub(super) set: &'a [String],
    pub(super) replace: bool,
}

/// Says what was begun, then waits or does not. `before` is the service before the change.
async fn begun(
    ui: &mut Printer,
    client: &Client,
    subject: &Subject<'_>,
    deployment: Option<String>,
    goal: Goal,
    before: &Value,
    wait: WaitArgs,
) -> Result<Exit, CliError> {
    let app = subject.app;
    let id = deployment.as_deref();
    let event = Event::Deployment { app: app.as_str(), id, state: "started", step: 0, steps: 0 };
    let words =
        id.map_or_else(|| format!("{app}: nothing to deploy"), |id| format!("{app}: deployment {id}"));
    if wait.no_wait {
        ui.result(&format!("{words}\n"), &event)?;
        ui.hint(&format!("`clusterctl service wait {app}` waits for it"));
        return Ok(Exit::Done);
    }
    ui.progress(&words, &event)?;
    until_done(ui, client, subject, Watch::new(app.as_str(), deployment, goal).knowing(before), wait.timeout)
        .await
}

fn deployment(result: &Value) -> Option<String> {
    let id = value::text(result, "deploymentId");
    (!id.is_empty()).then(|| id.to_owned())
}

/// A definition with one service in it.
fn definition(file: &Path) -> Result<Map<String, Value>, CliError> {
    let name = file.display();
    match input::read(file)? {
        Value::Object(object) if object.contains_key("apps") || object.contains_key("groups") => {
            Err(CliError::usage(format!("{name} describes a group, not a service"))
                .hint("write one file per service, each with its own `id`"))
        }
        Value::Object(mut object) => match object.remove("app") {
            // What `service show -o json` prints can be edited and sent back.
            Some(Value::Object(app)) if object.is_empty() => Ok(sendable(app)),
            Some(app) => {
                object.insert("app".to_owned(), app);
                Ok(object)
            }
            None => Ok(object),
        },
        Value::Array(_) => {
            Err(CliError::usage(format!("{name} holds a list; one service at a time, please")))
        }
        _ => Err(CliError::usage(format!("{name} describes no service"))
            .hint("the smallest definition is {\"id\": \"/web\", \"cmd\": \"sleep 1000\"}")),
    }
}

/// Without what the server says about a service.
fn sendable(mut app: Map<String, Value>) -> Map<String, Value> {
    const SERVERS: [&str; 11] = [
        "version",
        "versionInfo",
        "tasksStaged",
        "tasksRunning",
        "tasksHealthy",
        "tasksUnhealthy",
        "deployments",
        "tasks",
        "lastTaskFailure",
        "taskStats",
        "readinessCheckResults",
    ];
    app.retain(|key, _| !SERVERS.contains(&key.as_str()));
    app
}

/// A definition out of flags.
fn quick(id: &str, args: &QuickArgs) -> Result<Map<String, Value>, CliError> {
    let mut definition = Map::new();
    definition.insert("id".to_owned(), app_id(id)?.as_str().into());
    definition.insert("cmd".to_owned(), args.cmd.clone().into());
    let amounts = [("cpus", args.cpus), ("mem", args.mem)];
    for (key, amount) in amounts.into_iter().filter_map(|(key, amount)| Some((key, amount?))) {
        definition.insert(key.to_owned(), amount.into());
    }
    definition.insert("instances".to_owned(), args.instances.into());
    for pair in &args.env {
        set::apply(&mut definition, &Value::Null, &format!("env.{pair}"))?;
    }
    Ok(definition)
}

pub(super) async fn create(
    ui: &mut Printer,
    client: &Client,
    file: Option<&Path>,
    flags: Option<(&str, &QuickArgs)>,
    wait: WaitArgs,
) -> Result<Exit, CliError> {
    let definition = match (file, flags) {
        (Some(file), _) => definition(file)?,
        (None, Some((id, args))) => quick(id, args)?,
        (None, None) => Map::new(),
    };
    let Some(Value::String(id)) = definition.get("id") else {
        return Err(
            CliError::usage("the definition names no service").hint("give it an `id`, like \"id\": \"/web\"")
        );
    };
    // What cannot be an id is the server's to refuse, along with all other mistakes.
    let made = client.create_app(&Value::Object(definition.clone())).await;
    let made = made.map_err(|error| about_create(error, id))?;
    let app = app_id(value::text(&made, "id"))?;
    let first = value::list(&made, "deployments").first();
    let deployment = first.map(|deployment| value::text(deployment, "id").to_owned());
    let subject = Subject {
        app: &app,
        done: format!("{app} is created"),
        what: "created",
        undo: format!("clusterctl service remove {app}"),
    };
    begun(ui, client, &subject, deployment, Goal::Up, &Value::Null, wait).await
}

fn about_create(error: ClientError, id: &str) -> CliError {
    let taken = matches!(&error, ClientError::Refused(refusal) if refusal.status == 409 && refusal.deployments.is_empty());
    let shown = CliError::from(error);
    if taken { shown.hint(format!("`clusterctl service update {id} -f FILE` changes it")) } else { shown }
}

pub(super) async fn update(
    ui: &mut Printer,
    client: &Client,
    app: &AppId,
    what: &Update<'_>,
    args: ChangeArgs,
) -> Result<Exit, CliError> {
    let mut change = what.file.map(definition).transpose()?.unwrap_or_default();
    if let Some(Value::String(id)) = change.get("id") {
        let named = app_id(id)?;
        if named != *app {
            return Err(CliError::usage(format!("the definition is of {named}, not of {app}"))
                .hint("`clusterctl service create -f FILE` creates it"));
        }
    }
    let now = existing(client, app, &CHANGED).await?;
    for assignment in what.set {
        set::apply(&mut change, &now, assignment)?;
    }
    let change = Value::Object(change);
    let result = if what.replace {
        client.put_app(app, &change, args.force).await?
    } else {
        client.patch_app(app, &change, args.force).await?
    };
    let subject = Subject {
        app,
        done: format!("{app} is updated"),
        what: "updated",
        undo: format!("clusterctl service rollback {app}"),
    };
    begun(ui, client, &subject, deployment(&result), Goal::Up, &now, args.wait).await
}

pub(super) async fn scale(
    ui: &mut Printer,
    client: &Client,
    app: &AppId,
    instances: u32,
    args: ChangeArgs,
) -> Result<Exit, CliError> {
    let now = existing(client, app, &CHANGED).await?;
    let before = value::whole(&now, "instances");
    let result = client.patch_app(app, &json!({ "instances": instances }), args.force).await?;
    let subject = Subject {
        app,
        done: format!("{app} is scaled to {}", text::count(instances.into(), "instance")),
        what: "scaled",
        undo: format!("clusterctl service scale {app} {before} --force"),
    };
    begun(ui, client, &subject, deployment(&result), Goal::Up, &now, args.wait).await
}

pub(super) async fn restart(
    ui: &mut Printer,
    client: &Client,
    app: &AppId,
    args: ChangeArgs,
) -> Result<Exit, CliError> {
    let now = existing(client, app, &CHANGED).await?;
    let result = client.restart_app(app, args.force).await?;
    let subject = Subject {
        app,
        done: format!("{app} is restarted"),
        what: "restarted",
        undo: format!("clusterctl service rollback {app}"),
    };
    begun(ui, client, &subject, deployment(&result), Goal::Up, &now, args.wait).await
}

pub(super) async fn rollback(
    ui: &mut Printer,
    client: &Client,
    app: &AppId,
    wait: WaitArgs,
) -> Result<Exit, CliError> {
    let now = existing(client, app, &CHANGED).await?;
    let result = match value::list(&now, "deployments").first() {
        Some(running) => client.undo_deployment(value::text(running, "id")).await?,
        None => {
            let versions = client.app_versions(app).await?;
            let current = value::text(&now, "version");
            let mut older = value::list(&versions, "versions").iter().filter_map(Value::as_str);
            let Some(before) = older.find(|version| *version < current) else {
                return Err(CliError::usage(format!("{app} has no version before this one")));
            };
            client.patch_app(app, &json!({ "version": before }), false).await?
        }
    };
    let subject = Subject {
        app,
        done: format!("{app} is rolled back"),
        what: "rolled_back",
        undo: format!("clusterctl service rollback {app}"),
    };
    // What is restored may be that there is no such service.
    begun(ui, client, &subject, deployment(&result), Goal::Restored, &now, wait).await
}

pub(super) async fn remove(
    ui: &mut Printer,
    client: &Client,
    app: &AppId,
    yes: bool,
    wait: WaitArgs,
) -> Result<Exit, CliError> {
    let now = existing(client, app, &CHANGED).await?;
    let instances = text::count(value::whole(&now, "tasksRunning"), "running instance");
    confirm(ui, yes, &format!("Remove {app} with {instances}?"))?;
    let result = client.delete_app(app).await?;
    let subject = Subject {
        app,
        done: format!("{app} is removed"),
        what: "removed",
        undo: "clusterctl service create -f FILE".to_owned(),
    };
    begun(ui, client, &subject, deployment(&result), Goal::Removed, &now, wait).await
}
