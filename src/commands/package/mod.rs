//! `clusterctl package`: what can be installed, and what is.

use api::client::{Client, ClientError, CosmosCall};
use api::marathon::{AppId, GroupId};
use serde_json::{Map, Value, json};

use crate::commands::service::change::begun;
use crate::commands::service::wait::Subject;
use crate::commands::service::watch::{Goal, Watch};
use crate::commands::service::{ChangeArgs, WaitArgs};
use crate::confirm::confirm;
use crate::connect::block_on;
use crate::error::CliError;
use crate::event::Event;
use crate::exit::Exit;
use crate::output::OutputArgs;
use crate::printer::Printer;
use crate::{text, value};

mod args;
pub(crate) mod artifacts;
mod fit;
pub(crate) mod obtain;
mod options;
mod view;

pub(crate) use args::PackageArgs;
use args::{InstallArgs, PackageCommand};

/// Carries out a `package` command.
pub(crate) fn run(ui: &mut Printer, args: &PackageArgs) -> Result<Exit, CliError> {
    let client = args.cluster.client()?;
    block_on(command(ui, &client, &args.command))
}

async fn command(ui: &mut Printer, client: &Client, command: &PackageCommand) -> Result<Exit, CliError> {
    match command {
        PackageCommand::Search { query, output } => search(ui, client, query.as_deref(), *output).await,
        PackageCommand::Describe { package, version, output } => {
            describe(ui, client, package, version.as_deref(), *output).await
        }
        PackageCommand::Options { package, version, output } => {
            list_options(ui, client, package, version.as_deref(), *output).await
        }
        PackageCommand::Install(args) => install(ui, client, args).await,
        PackageCommand::List { output } => list(ui, client, *output).await,
        PackageCommand::Update { installed, version, replace, options, yes, change } => {
            let to = Change { version: version.as_deref(), replace: *replace, options };
            update(ui, client, installed, &to, *yes, *change).await
        }
        PackageCommand::Uninstall { package, id, all, yes, wait } => {
            uninstall(ui, client, package, (id.as_deref(), *all), *yes, *wait).await
        }
    }
}

async fn search(
    ui: &mut Printer,
    client: &Client,
    query: Option<&str>,
    output: OutputArgs,
) -> Result<Exit, CliError> {
    let body = query.map_or_else(|| json!({}), |query| json!({ "query": query }));
    let answer = client.cosmos(CosmosCall::Search, &body).await?;
    if value::list(&answer, "packages").is_empty() && output.is_table() && !ui.is_json() {
        ui.hint("nothing was found; `clusterctl package search` lists all, `clusterctl universe list` where they come from");
        return Ok(Exit::Done);
    }
    output.show(ui, "packages", &answer, |wide| view::found(&answer, wide).render())
}

/// The definition of a package, or an error that knows what to do.
async fn package(client: &Client, name: &str, version: Option<&str>) -> Result<Value, CliError> {
    let mut body = json!({ "packageName": name });
    if let (Some(body), Some(version)) = (body.as_object_mut(), version) {
        body.insert("packageVersion".to_owned(), version.into());
    }
    match client.cosmos(CosmosCall::Describe, &body).await {
        Ok(mut answer) => Ok(answer.get_mut("package").map(Value::take).unwrap_or_default()),
        Err(error) => {
            let unknown = error.status() == Some(400);
            let shown = CliError::from(error);
            Err(if unknown { shown.hint("`clusterctl package search` lists what there is") } else { shown })
        }
    }
}

async fn describe(
    ui: &mut Printer,
    client: &Client,
    name: &str,
    version: Option<&str>,
    output: OutputArgs,
) -> Result<Exit, CliError> {
    let package = package(client, name, version).await?;
    let body = json!({ "packageName": name, "includePackageVersions": true });
    let versions = client.cosmos(CosmosCall::ListVersions, &body).await?;
    let versions: Vec<String> = versions
        .get("results")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(version, _)| version.clone())
        .collect();
    output.show(ui, "package", &package, |_wide| view::described(&package, &versions))
}

async fn list_options(
    ui: &mut Printer,
    client: &Client,
    name: &str,
    version: Option<&str>,
    output: OutputArgs,
) -> Result<Exit, CliError> {
    let package = package(client, name, version).await?;
    let Some(config) = package.get("config") else {
        ui.hint(&format!("{name} has no options"));
        return Ok(Exit::Done);
    };
    let defaults = universe::options::defaults(config);
    let lines = options::lines(config);
    output.show(ui, "options", &defaults, |wide| view::options(&lines, wide).render())
}

async fn install(ui: &mut Printer, client: &Client, args: &InstallArgs) -> Result<Exit, CliError> {
    let package = package(client, &args.package, args.version.as_deref()).await?;
    let (name, version) = (value::text(&package, "name"), value::text(&package, "version"));
    let given = options::read(&args.options, package.get("config"))?;
    let mut request = json!({ "packageName": name, "packageVersion": version, "options": given });
    if let (Some(request), Some(id)) = (request.as_object_mut(), &args.id) {
        request.insert("appId".to_owned(), absolute(id)?.into());
    }
    notes(ui, value::text(&package, "preInstallNotes"));
    // Wrong options are to be known before anything is fetched.
    if let Some(config) = package.get("config") {
        options::check(config, &given, name)?;
    }
    artifacts::bring(ui, client, &package, None).await?;
    let rendered = client.cosmos(CosmosCall::Render, &request).await?;
    let definition = rendered.get("marathonJson").cloned().unwrap_or_default();
    let wants = fit::wants(&definition);
    let fits = fit::place(&wants, fit::free(&client.nodes().await?));
    let id = value::text(&definition, "id").to_owned();
    let event = Event::Answer { of: "preview", answer: &definition };
    if args.dry_run {
        ui.styled_result(&view::preview(&wants, &fits).render(), &event)?;
        return Ok(Exit::Differences);
    }
    if !ui.is_json() {
        ui.progress(view::preview(&wants, &fits).render().trim_end(), &event)?;
    }
    let without: u64 = fits.iter().filter_map(|fit| fit.missing.as_ref()).map(|(count, _)| count).sum();
    if without > 0 {
        ui.hint(&format!(
            "{} now; what has no place waits until there is one",
            text::count(without, "instance") + " would find no place"
        ));
    }
    confirm(ui, args.yes, &format!("Install {name} {version} as {id}?"))?;
    let answer = client.cosmos(CosmosCall::Install, &request).await?;
    let done = up(
        ui,
        client,
        &id,
        ("installed", &format!("clusterctl package uninstall {name} --id {id}")),
        args.wait,
    )
    .await?;
    if done == Exit::Done && !args.wait.no_wait {
        afterwards(ui, client, &package, &answer, &id).await?;
    }
    Ok(done)
}

/// Where it answers, and what to do next.
async fn afterwards(
    ui: &mut Printer,
    client: &Client,
    package: &Value,
    answer: &Value,
    id: &str,
) -> Result<(), CliError> {
    if let Some(web) = package.get("web").filter(|web| !web.is_null()) {
        let app = match value::text(web, "app") {
            "" => id.to_owned(),
            app => format!("{id}/{app}"),
        };
        let tasks = match app.parse::<AppId>() {
            Ok(app) => client.app_tasks(&app).await?,
            Err(_none) => Value::Null,
        };
        let port = usize::try_from(value::whole(web, "port")).unwrap_or(0);
        for task in value::list(&tasks, "tasks") {
            let Some(port) = value::list(task, "ports").get(port).and_then(Value::as_u64) else { continue };
            let path = value::text(web, "path");
            let line = format!("web: http://{}:{port}{path}", value::text(task, "host"));
            ui.result(&format!("{line}\n"), &Event::Done { what: "web", name: &line })?;
        }
    }
    notes(ui, value::text(answer, "postInstallNotes"));
    Ok(())
}

fn absolute(id: &str) -> Result<String, CliError> {
    GroupId::resolve(id, &GroupId::root()).map(|id| id.to_string()).map_err(|error| {
        CliError::usage(format!("{id:?} cannot be an id"))
            .caused_by(&error)
            .hint("ids are like /spark or /team/spark")
    })
}

/// All apps at this id, or below it.
async fn apps_of(client: &Client, id: &str) -> Result<Vec<(AppId, Value)>, CliError> {
    let mut answer = client.apps(&[]).await?;
    let Some(Value::Array(apps)) = answer.get_mut("apps").map(Value::take) else { return Ok(Vec::new()) };
    let below = format!("{id}/");
    let with_id = |app: Value| {
        let known = value::text(&app, "id");
        (known == id || known.starts_with(&below)).then_some(())?;
        Some((known.parse::<AppId>().ok()?, app))
    };
    Ok(apps.into_iter().filter_map(with_id).collect())
}

/// Waits until all that is at this id is up.
async fn up(
    ui: &mut Printer,
    client: &Client,
    id: &str,
    (verb, undo): (&'static str, &str),
    wait: WaitArgs,
) -> Result<Exit, CliError> {
    let apps = apps_of(client, id).await?;
    let deployments = client.deployments().await?;
    let subject = Subject {
        name: id.to_owned(),
        done: format!("{id} is {verb}"),
        what: verb,
        undo: undo.to_owned(),
        again: match apps.as_slice() {
            [(only, _)] if only.as_str() == id => format!("clusterctl service wait {id}"),
            _ => format!("clusterctl group wait {id}"),
        },
        more: format!("`clusterctl service list` and `clusterctl service logs {id} --stderr` say more"),
    };
    let watches =
        apps.iter().map(|(app, _)| Watch::new(app, touching(&deployments, app), Goal::Up)).collect();
    begun(ui, client, &subject, watches, wait).await
}

/// The deployment that changes this app.
fn touching(deployments: &Value, app: &AppId) -> Option<String> {
    let touches = |one: &&Value| value::list(one, "affectedApps").iter().any(|known| known == app.as_str());
    value::items(deployments).iter().find(touches).map(|one| value::text(one, "id").to_owned())
}

/// Notes of a package, a hint for each line.
fn notes(ui: &mut Printer, text: &str) {
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        ui.hint(&text::visible(line));
    }
}

async fn list(ui: &mut Printer, client: &Client, output: OutputArgs) -> Result<Exit, CliError> {
    let answer = client.cosmos(CosmosCall::List, &json!({})).await?;
    if value::list(&answer, "packages").is_empty() && output.is_table() && !ui.is_json() {
        ui.hint("nothing is installed; `clusterctl package search` lists what can be");
        return Ok(Exit::Done);
    }
    output.show(ui, "packages", &answer, |_wide| view::installed(&answer).render())
}

struct Change<'a> {
    version: Option<&'a str>,
    replace: bool,
    options: &'a args::OptionArgs,
}

/// The id of what is installed by this id or name.
async fn id_of(client: &Client, installed: &str) -> Result<String, CliError> {
    let all = client.cosmos(CosmosCall::List, &json!({})).await?;
    let all = value::list(&all, "packages");
    let id = format!("/{}", installed.trim_matches('/'));
    if all.iter().any(|one| value::text(one, "appId") == id) {
        return Ok(id);
    }
    let named = |one: &&Value| {
        one.pointer("/packageInformation/packageDefinition/name").and_then(Value::as_str) == Some(installed)
    };
    let ids: Vec<&str> = all.iter().filter(named).map(|one| value::text(one, "appId")).collect();
    match ids.as_slice() {
        [only] => Ok((*only).to_owned()),
        [] => Err(CliError::usage(format!("{installed} is not installed"))
            .hint("`clusterctl package list` lists what is")),
        several => Err(CliError::usage(format!("{installed} is installed more than once"))
            .hint(format!("name one of {}", several.join(", ")))),
    }
}

async fn update(
    ui: &mut Printer,
    client: &Client,
    installed: &str,
    change: &Change<'_>,
    yes: bool,
    args: ChangeArgs,
) -> Result<Exit, CliError> {
    let id = id_of(client, installed).await?;
    let now = client.cosmos(CosmosCall::ServiceDescribe, &json!({ "appId": id })).await?;
    let of = |key: &str| {
        now.get("package").map(|package| value::text(package, key)).unwrap_or_default().to_owned()
    };
    let (name, old) = (of("name"), of("version"));
    let version = change.version.unwrap_or(&old);
    let package = package(client, &name, Some(version)).await?;
    let given = options::read(change.options, package.get("config"))?;
    artifacts::bring(ui, client, &package, None).await?;
    let what =
        if version == old { "with new options".to_owned() } else { format!("from {old} to {version}") };
    confirm(ui, yes, &format!("Update {id} ({name}) {what}?"))?;
    let mut body = Map::from_iter([
        ("appId".to_owned(), id.as_str().into()),
        ("packageVersion".to_owned(), version.into()),
        ("replace".to_owned(), change.replace.into()),
    ]);
    body.insert("options".to_owned(), given);
    body.insert("force".to_owned(), args.force.into());
    client.cosmos(CosmosCall::ServiceUpdate, &Value::Object(body)).await.map_err(|error| match &error {
        // In Cosmos' words it is as bad an answer as any.
        ClientError::Refused(refusal) if refusal.message.contains("is locked by") => CliError::locked(
            format!("{id} is being changed"),
        )
        .hint(
            "`--force` puts this change in its place; `clusterctl service list` shows how far the other is",
        ),
        _ => error.into(),
    })?;
    up(ui, client, &id, ("updated", &format!("clusterctl package update {id} --version {old}")), args.wait)
        .await
}

async fn uninstall(
    ui: &mut Printer,
    client: &Client,
    name: &str,
    (id, all): (Option<&str>, bool),
    yes: bool,
    wait: WaitArgs,
) -> Result<Exit, CliError> {
    let mut body = Map::from_iter([("packageName".to_owned(), name.into())]);
    let mut ids: Vec<String> = Vec::new();
    match id {
        Some(id) => ids.push(absolute(id)?),
        None => {
            let there = client.cosmos(CosmosCall::List, &json!({ "packageName": name })).await?;
            ids.extend(
                value::list(&there, "packages").iter().map(|one| value::text(one, "appId").to_owned()),
            );
        }
    }
    if ids.is_empty() {
        return Err(CliError::usage(format!("{name} is not installed"))
            .hint("`clusterctl package list` lists what is"));
    }
    if ids.len() > 1 && !all {
        return Err(CliError::usage(format!("{name} is installed more than once"))
            .hint(format!("`--id` names one of {}; `--all` removes them all", ids.join(", "))));
    }
    let mut before = Vec::new();
    for id in &ids {
        before.extend(apps_of(client, id).await?);
    }
    let running = before.iter().map(|(_, app)| value::whole(app, "tasksRunning")).sum();
    confirm(
        ui,
        yes,
        &format!("Remove {} with {}?", ids.join(", "), text::count(running, "running instance")),
    )?;
    if let Some(id) = id {
        body.insert("appId".to_owned(), absolute(id)?.into());
    }
    if all {
        body.insert("all".to_owned(), true.into());
    }
    let answer = client.cosmos(CosmosCall::Uninstall, &Value::Object(body)).await?;
    let subject = Subject {
        name: ids.join(", "),
        done: format!("{} is removed", ids.join(", ")),
        what: "removed",
        undo: format!("clusterctl package install {name}"),
        again: "clusterctl package list".to_owned(),
        more: "`clusterctl service list` says more".to_owned(),
    };
    let deployments = client.deployments().await?;
    let watch = |(app, known): &(AppId, Value)| {
        Watch::new(app, touching(&deployments, app), Goal::Removed).knowing(known)
    };
    let watches = before.iter().map(watch).collect();
    let done = begun(ui, client, &subject, watches, wait).await?;
    for result in value::list(&answer, "results") {
        notes(ui, value::text(result, "postUninstallNotes"));
    }
    Ok(done)
}
