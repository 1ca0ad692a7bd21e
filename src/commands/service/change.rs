//! Commands that change a service and wait for the deployment.

use std::path::Path;

use api::client::{AppEmbed, Client, ClientError};
use api::marathon::AppId;
use serde_json::{Map, Value, json};

use super::args::QuickArgs;
use super::wait::{Subject, until_done};
use super::watch::{Goal, Watch};
use super::{ChangeArgs, WaitArgs, app_id, existing, many, set};
use crate::confirm::confirm;
use crate::definition::{self, Definition};
use crate::error::CliError;
use crate::event::Event;
use crate::exit::Exit;
use crate::printer::Printer;
use crate::{text, value};

/// What has to be known of a service before it is changed, to tell afterwards what is new.
const CHANGED: [AppEmbed; 2] = [AppEmbed::Tasks, AppEmbed::LastTaskFailure];

/// A service as the user described it.
pub(crate) struct Described {
    pub(super) object: Map<String, Value>,
    /// Where; nothing for one that flags describe.
    pub(super) from: Option<Definition>,
}

impl Described {
    /// `FILE:LINE: ` of its id, for messages; nothing without a file.
    pub(super) fn at(&self) -> String {
        self.from.as_ref().map(|from| format!("{}: ", from.near("/id"))).unwrap_or_default()
    }

    /// Its id as it is written.
    fn written_id(&self) -> Result<&str, CliError> {
        let id = self.object.get("id").and_then(Value::as_str);
        id.ok_or_else(|| {
            CliError::usage(format!("{}the definition names no service", self.at()))
                .hint("give it an `id`, like \"id\": \"/web\"")
        })
    }

    /// Its id.
    pub(super) fn id(&self) -> Result<AppId, CliError> {
        app_id(self.written_id()?).map_err(|mut error| {
            error.message = format!("{}{}", self.at(), error.message);
            error
        })
    }
}

impl From<Definition> for Described {
    fn from(definition: Definition) -> Self {
        Self { object: definition.object.clone(), from: Some(definition) }
    }
}

/// What `service create` was told, by a file or by flags.
pub(super) fn definitions(
    file: Option<&Path>,
    flags: Option<(&str, &QuickArgs)>,
) -> Result<Vec<Described>, CliError> {
    match (file, flags) {
        (Some(file), _) => Ok(definition::services(file)?.into_iter().map(Described::from).collect()),
        (None, Some((id, args))) => Ok(vec![Described { object: quick(id, args)?, from: None }]),
        (None, None) => Ok(Vec::new()),
    }
}

/// What `service update` was told.
pub(super) struct Update {
    pub(super) described: Vec<Described>,
    pub(super) ids: Vec<AppId>,
    pub(super) set: Vec<String>,
    pub(super) replace: bool,
}

impl Update {
    /// Without an id, the definitions say which services they are of.
    pub(super) fn read(
        id: Option<AppId>,
        file: Option<&Path>,
        set: &[String],
        replace: bool,
    ) -> Result<Self, CliError> {
        let mut described = definitions(file, None)?;
        let ids = match (id, described.as_slice()) {
            (Some(id), []) => {
                described.push(Described { object: Map::new(), from: None });
                vec![id]
            }
            (Some(id), [one]) => {
                if one.object.contains_key("id") && one.id()? != id {
                    return Err(CliError::usage(format!("the definition is of {}, not of {id}", one.id()?))
                        .hint("without ID the definition says which service is updated")
                        .hint("`clusterctl service create -f FILE` creates it"));
                }
                vec![id]
            }
            (Some(id), several) => {
                return Err(CliError::usage(format!(
                    "there are {} definitions, and {id} is one service",
                    several.len()
                ))
                .hint("without ID all that are described are updated"));
            }
            (None, described) => described.iter().map(Described::id).collect::<Result<_, _>>()?,
        };
        if ids.len() > 1 && !set.is_empty() {
            return Err(CliError::usage("--set changes one service, and there are several definitions")
                .hint("name the service before the flags"));
        }
        Ok(Self { described, ids, set: set.to_vec(), replace })
    }

    /// What is sent about the one service, given what it is now.
    pub(super) fn change(&self, now: &Value) -> Result<Value, CliError> {
        let mut change = self.described.first().map(|one| one.object.clone()).unwrap_or_default();
        for assignment in &self.set {
            set::apply(&mut change, now, assignment)?;
        }
        Ok(Value::Object(change))
    }
}

/// Says what was begun, then waits or does not.
pub(crate) async fn begun(
    ui: &mut Printer,
    client: &Client,
    subject: &Subject,
    watches: Vec<Watch>,
    wait: WaitArgs,
) -> Result<Exit, CliError> {
    let name = &subject.name;
    let id = watches.iter().find_map(Watch::deployment).map(str::to_owned);
    let words = match &id {
        Some(id) => format!("{name}: deployment {id}"),
        None => format!("{name}: nothing to deploy"),
    };
    for (at, watch) in watches.iter().enumerate() {
        let app = watch.app().as_str();
        let event = Event::Deployment { app, id: watch.deployment(), state: "started", step: 0, steps: 0 };
        // For people once, for programs once for each service.
        match (at > 0 && !ui.is_json(), wait.no_wait) {
            (true, _) => {}
            (false, true) => ui.result(&format!("{words}\n"), &event)?,
            (false, false) => ui.progress(&words, &event)?,
        }
    }
    if wait.no_wait {
        ui.hint(&format!("`{}` waits for it", subject.again));
        return Ok(Exit::Done);
    }
    until_done(ui, client, subject, watches, wait.timeout).await
}

/// The deployment that an answer names.
pub(crate) fn deployment(result: &Value) -> Option<String> {
    let id = value::text(result, "deploymentId");
    (!id.is_empty()).then(|| id.to_owned())
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
    described: &[Described],
    wait: WaitArgs,
) -> Result<Exit, CliError> {
    let [one] = described else { return many::create(ui, client, described, wait).await };
    let id = one.written_id()?;
    // What cannot be an id is the server's to refuse, along with all other mistakes.
    let made = client.create_app(&Value::Object(one.object.clone())).await;
    let made = made.map_err(|error| about_create(error, one, id))?;
    let app = app_id(value::text(&made, "id"))?;
    let first = value::list(&made, "deployments").first();
    let deployment = first.map(|deployment| value::text(deployment, "id").to_owned());
    let subject = Subject::service(&app, "created", "created", format!("clusterctl service remove {app}"));
    begun(ui, client, &subject, vec![Watch::new(&app, deployment, Goal::Up)], wait).await
}

fn about_create(error: ClientError, one: &Described, id: &str) -> CliError {
    let taken = matches!(&error, ClientError::Refused(refusal) if refusal.status == 409 && refusal.deployments.is_empty());
    let shown = refused(error, std::slice::from_ref(one));
    if taken { shown.hint(format!("`clusterctl service update {id} -f FILE` changes it")) } else { shown }
}

/// A refusal in which every mistake names its file and line, where they are known.
pub(crate) fn refused(error: ClientError, described: &[Described]) -> CliError {
    let mistakes = match &error {
        ClientError::Refused(refusal) => refusal.mistakes.clone(),
        _ => Vec::new(),
    };
    let mut shown = CliError::from(error);
    for (mistake, cause) in mistakes.iter().zip(&mut shown.causes) {
        let (one, path) = match described {
            [one] => (Some(one), mistake.path.as_str()),
            several => match numbered(&mistake.path) {
                Some((at, path)) => (several.get(at), path),
                None => (None, mistake.path.as_str()),
            },
        };
        let Some(from) = one.and_then(|one| one.from.as_ref()) else { continue };
        // Where there are several, the file says which one it is even if the line is not known.
        let near = (described.len() > 1).then(|| from.near(path));
        if let Some(place) = from.place(path).filter(|_| !path.is_empty()).or(near) {
            *cause = format!("{place}: {cause}");
        }
    }
    shown
}

/// The number of a definition in a list, and the path within it, out of `/apps(1)/id` or `(1)/id`.
fn numbered(path: &str) -> Option<(usize, &str)> {
    let path = path.trim_start_matches('/');
    let inside = path.strip_prefix("apps").unwrap_or(path).trim_start_matches(['(', '[', '/']);
    let end = inside.find(|c: char| !c.is_ascii_digit()).unwrap_or(inside.len());
    let (number, rest) = inside.split_at(end);
    Some((number.parse().ok()?, rest.trim_start_matches([')', ']'])))
}

pub(super) async fn update(
    ui: &mut Printer,
    client: &Client,
    update: Update,
    args: ChangeArgs,
) -> Result<Exit, CliError> {
    let [app] = update.ids.as_slice() else { return many::update(ui, client, &update, args).await };
    let now = existing(client, app, &CHANGED).await?;
    let change = update.change(&now)?;
    send(ui, client, app, &now, &change, &update, args).await
}

/// Sends a change of one service, as a whole or by keys.
async fn send(
    ui: &mut Printer,
    client: &Client,
    app: &AppId,
    now: &Value,
    change: &Value,
    update: &Update,
    args: ChangeArgs,
) -> Result<Exit, CliError> {
    let result = if update.replace {
        client.put_app(app, change, args.force).await
    } else {
        client.patch_app(app, change, args.force).await
    };
    let result = result.map_err(|error| refused(error, &update.described))?;
    updated(ui, client, app, now, &result, args.wait).await
}

/// What follows when a change of one service was accepted.
pub(super) async fn updated(
    ui: &mut Printer,
    client: &Client,
    app: &AppId,
    now: &Value,
    result: &Value,
    wait: WaitArgs,
) -> Result<Exit, CliError> {
    let subject = Subject::service(app, "updated", "updated", format!("clusterctl service rollback {app}"));
    let watch = Watch::new(app, deployment(result), Goal::Up).knowing(now);
    begun(ui, client, &subject, vec![watch], wait).await
}

pub(super) async fn scale(
    ui: &mut Printer,
    client: &Client,
    app: &AppId,
    instances: u32,
    args: ChangeArgs,
) -> Result<Exit, CliError> {
    let now = existing(client, app, &CHANGED).await?;
    let verb = format!("scaled to {}", text::count(instances.into(), "instance"));
    scaled(ui, client, app, &now, instances, (&verb, "scaled"), args).await
}

async fn scaled(
    ui: &mut Printer,
    client: &Client,
    app: &AppId,
    now: &Value,
    instances: u32,
    (verb, what): (&str, &'static str),
    args: ChangeArgs,
) -> Result<Exit, CliError> {
    let result = client.patch_app(app, &json!({ "instances": instances }), args.force).await?;
    let before = value::whole(now, "instances");
    let undo = format!("clusterctl service scale {app} {before} --force");
    let subject = Subject::service(app, verb, what, undo);
    let watch = Watch::new(app, deployment(&result), Goal::Up).knowing(now);
    begun(ui, client, &subject, vec![watch], args.wait).await
}

pub(super) async fn suspend(
    ui: &mut Printer,
    client: &Client,
    app: &AppId,
    args: ChangeArgs,
) -> Result<Exit, CliError> {
    let now = existing(client, app, &CHANGED).await?;
    let before = value::whole(&now, "instances");
    let exit = scaled(ui, client, app, &now, 0, ("suspended", "suspended"), args).await?;
    // How many there were is remembered nowhere but on the user's screen.
    ui.hint(&format!("`clusterctl service scale {app} {}` runs it again", before.max(1)));
    Ok(exit)
}

pub(super) async fn restart(
    ui: &mut Printer,
    client: &Client,
    app: &AppId,
    args: ChangeArgs,
) -> Result<Exit, CliError> {
    let now = existing(client, app, &CHANGED).await?;
    let result = client.restart_app(app, args.force).await?;
    let subject =
        Subject::service(app, "restarted", "restarted", format!("clusterctl service rollback {app}"));
    let watch = Watch::new(app, deployment(&result), Goal::Up).knowing(&now);
    begun(ui, client, &subject, vec![watch], args.wait).await
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
    let subject = Subject::service(app, "removed", "removed", "clusterctl service create -f FILE");
    let watch = Watch::new(app, deployment(&result), Goal::Removed).knowing(&now);
    begun(ui, client, &subject, vec![watch], wait).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_in_a_list_says_in_which_definition_it_is() {
        for (path, expected) in [
            ("/apps(1)/id", Some((1, "/id"))),
            ("(0)/env/A", Some((0, "/env/A"))),
            ("/(12)", Some((12, ""))),
            ("/2/cpus", Some((2, "/cpus"))),
            ("/id", None),
            ("", None),
        ] {
            assert_eq!(numbered(path), expected, "{path}");
        }
    }
}
