//! `clusterctl tui`: the dashboard, over the same client as all commands.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::client::{Client, ClientError, CosmosCall};
use api::marathon::{AppId, GroupId};
use clap::Args;
use serde_json::{Map, Value, json};
use tokio::sync::{Notify, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tui::{
    Backend, Connection, Demo, Effect, Failed, Input, Link, LogPiece, LogSource, Look, Options, Progress,
    Request, TerminalError, Theme,
};

use crate::commands::package::artifacts;
use crate::connect::{ClusterArgs, block_on};
use crate::error::CliError;
use crate::exit::Exit;
use crate::printer::Printer;
use crate::sandbox::{Reader, Sandbox};
use crate::value;

/// Between two looks at logs that are followed.
const LOOK: Duration = Duration::from_millis(700);
/// Before the stream is tried again, at first; twice as long each time.
const AGAIN: Duration = Duration::from_millis(500);
/// And at most.
const AT_MOST: Duration = Duration::from_secs(5);

/// Arguments of `clusterctl tui`.
#[derive(Args, Debug)]
pub(crate) struct TuiArgs {
    #[command(flatten)]
    cluster: ClusterArgs,

    /// Change nothing: keys that would are off
    #[arg(long)]
    read_only: bool,

    /// Show a cluster that is made up, of 20 nodes, for a look without one
    #[arg(long)]
    demo: bool,

    /// The colours; `mono` where NO_COLOR is set
    #[arg(long, value_name = "THEME", value_parser = Theme::ALL.map(|(name, _)| name))]
    theme: Option<String>,

    /// Draw with ASCII alone
    #[arg(long)]
    ascii: bool,
}

/// Runs the dashboard.
pub(crate) fn run(args: &TuiArgs) -> Result<Exit, CliError> {
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let theme = match &args.theme {
        Some(name) => Theme::named(name).unwrap_or_default(),
        None if no_colour => Theme::Mono,
        None => Theme::default(),
    };
    let look = Look { theme, ascii: args.ascii };
    let options = |context: String| Options { read_only: args.read_only, look, demo: args.demo, context };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::internal("cannot start the runtime").caused_by(&error))?;
    let ended = if args.demo {
        runtime.block_on(tui::run(Demo::default(), options("demo".to_owned())))
    } else {
        let client = Arc::new(args.cluster.client()?);
        let name = client.masters().first().map(ToString::to_string).unwrap_or_default();
        let live = Live { client, cluster: args.cluster.clone() };
        runtime.block_on(tui::run(live, options(name)))
    };
    // Files that are on their way to the masters are not waited for: what was fetched is kept for the next time.
    runtime.shutdown_background();
    match ended {
        Ok(()) => Ok(Exit::Done),
        Err(error @ TerminalError::NoTerminal) => Err(CliError::usage(error.to_string())
            .hint("`clusterctl service list` and its neighbours print what it shows")),
        Err(error) => Err(CliError::internal("the dashboard cannot be shown").caused_by(&error)),
    }
}

/// A cluster, over its API.
struct Live {
    client: Arc<Client>,
    cluster: ClusterArgs,
}

impl Backend for Live {
    async fn run(self, mut link: Link) {
        let anew = Arc::new(Notify::new());
        let mut work = JoinSet::new();
        work.spawn(watch(self.client.clone(), link.inputs.clone(), anew.clone()));
        let mut asked: BTreeMap<u64, AbortHandle> = BTreeMap::new();
        while let Some(effect) = link.effects.recv().await {
            while work.try_join_next().is_some() {}
            asked.retain(|_, task| !task.is_finished());
            let (client, inputs) = (self.client.clone(), link.inputs.clone());
            match effect {
                Effect::Ask(number, request) => {
                    let (may_end, cluster) = (!request.changes(), self.cluster.clone());
                    let task = work.spawn(async move {
                        let answer = ask(&client, &cluster, number, request, &inputs).await;
                        let _ = inputs.send(Input::Answer(number, answer)).await;
                    });
                    // What changes something goes on, whoever waits for it.
                    if may_end {
                        asked.insert(number, task);
                    }
                }
                Effect::Follow(number, sources) => {
                    asked.insert(number, work.spawn(follow(client, number, sources, inputs)));
                }
                Effect::Forget(number) => {
                    if let Some(task) = asked.remove(&number) {
                        task.abort();
                    }
                }
                Effect::Reconnect => anew.notify_one(),
                _ => {}
            }
        }
    }
}

/// Keeps the stream alive.
async fn watch(client: Arc<Client>, inputs: mpsc::Sender<Input>, anew: Arc<Notify>) {
    let mut pause = AGAIN;
    loop {
        let _ = inputs.send(Input::Connection(Connection::Connecting)).await;
        let ended = tokio::select! {
            ended = stream(&client, &inputs, &mut pause) => ended,
            () = anew.notified() => None,
        };
        let Some(why) = ended else {
            pause = AGAIN;
            continue;
        };
        if inputs.send(Input::Connection(Connection::Lost(why))).await.is_err() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(AT_MOST),
            () = anew.notified() => pause = AGAIN,
        }
    }
}

/// One connection; answers why it ended, or nothing when nobody listens any more.
async fn stream(client: &Client, inputs: &mpsc::Sender<Input>, pause: &mut Duration) -> Option<String> {
    let mut frames = match client.watch().await {
        Ok(frames) => frames,
        Err(error) => return Some(failed(error).text),
    };
    inputs.send(Input::Connection(Connection::Live)).await.ok()?;
    loop {
        match frames.next().await {
            Ok(Some(frame)) => {
                *pause = AGAIN;
                inputs.send(Input::Frame(Box::new(frame))).await.ok()?;
            }
            Ok(None) => return Some("the master ended the stream; another one may lead".to_owned()),
            Err(error) => return Some(failed(error).text),
        }
    }
}

/// A client's fault as the dashboard shows it.
fn failed(error: ClientError) -> Failed {
    let (locked, body) = match &error {
        ClientError::Refused(refusal) => {
            (refusal.status == 409 && !refusal.deployments.is_empty(), refusal.body.clone())
        }
        _ => (false, Value::Null),
    };
    Failed { locked, body, ..told(&error.into()) }
}

fn told(error: &CliError) -> Failed {
    let causes: Vec<&str> = error.causes.iter().map(String::as_str).collect();
    let text = [&[error.message.as_str()], causes.as_slice()].concat().join(": ");
    Failed { text, hint: error.hints.first().cloned().unwrap_or_default(), ..Failed::default() }
}

fn bad_id(id: &str) -> Failed {
    Failed { text: format!("{id:?} is no id of a service"), ..Failed::default() }
}

fn app_id(id: &str) -> Result<AppId, Failed> {
    id.parse().map_err(|_unreadable| bad_id(id))
}

/// Answers a request.
async fn ask(
    client: &Arc<Client>,
    cluster: &ClusterArgs,
    number: u64,
    request: Request,
    inputs: &mpsc::Sender<Input>,
) -> Result<Value, Failed> {
    let answer = match request {
        Request::Cluster => cluster_with_masters(client).await,
        Request::Service(id) => client.app(&app_id(&id)?, &[]).await,
        Request::Versions(id) => client.app_versions(&app_id(&id)?).await,
        Request::Version(id, version) => client.app_version(&app_id(&id)?, &version).await,
        Request::Create(definition) => {
            let group = ["apps", "groups"].iter().any(|key| definition.get(key).is_some());
            if group { client.create_group(&definition).await } else { client.create_app(&definition).await }
        }
        Request::Replace { id, definition, force } => client.put_app(&app_id(&id)?, &definition, force).await,
        Request::Scale { id, instances, force } => {
            client.patch_app(&app_id(&id)?, &json!({ "instances": instances }), force).await
        }
        Request::Restart { id, force } => client.restart_app(&app_id(&id)?, force).await,
        Request::RollBack { id, version, force } => {
            client.patch_app(&app_id(&id)?, &json!({ "version": version }), force).await
        }
        Request::Delete(id) => client.delete_app(&app_id(&id)?).await,
        Request::DeleteGroup(id) => {
            let group: GroupId = id.parse().map_err(|_unreadable| bad_id(&id))?;
            client.delete_group(&group, false).await
        }
        Request::Kill { service, task, scale } => {
            client.kill_app_task(&app_id(&service)?, &task, scale).await
        }
        Request::Undo(id) => client.undo_deployment(&id).await,
        Request::Drop(id) => client.drop_deployment(&id).await.map(|()| Value::Null),
        Request::Files { task, node, path } => {
            let sandbox = sandbox(client, &task, &node).await?;
            client.browse(&sandbox.agent, &sandbox.path(&path)).await
        }
        Request::Search(query) => client.cosmos(CosmosCall::Search, &json!({ "query": query })).await,
        Request::PackageVersions(name) => {
            let body = json!({ "packageName": name, "includePackageVersions": true });
            client.cosmos(CosmosCall::ListVersions, &body).await
        }
        Request::Describe { name, version } => {
            client.cosmos(CosmosCall::Describe, &package(&name, version.as_deref(), None, None)).await
        }
        Request::Render { name, version, options, id } => {
            let body = package(&name, Some(&version), Some(options), id);
            match client.cosmos(CosmosCall::Render, &body).await {
                // It is told by their sums, and those are known when they are there.
                Err(ClientError::Refused(refusal))
                    if value::text(&refusal.body, "type") == "ArtifactsMissing" =>
                {
                    bring(cluster, number, (name, version), inputs.clone()).await?;
                    client.cosmos(CosmosCall::Render, &body).await
                }
                answer => answer,
            }
        }
        Request::Install { name, version, options, id } => {
            bring(cluster, number, (name.clone(), version.clone()), inputs.clone()).await?;
            let body = package(&name, Some(&version), Some(options), id);
            client.cosmos(CosmosCall::Install, &body).await
        }
        Request::UpdatePackage { id, name, version, options } => {
            bring(cluster, number, (name, version.clone()), inputs.clone()).await?;
            let body = json!({
                "appId": id, "packageVersion": version, "options": options, "replace": true,
            });
            client.cosmos(CosmosCall::ServiceUpdate, &body).await
        }
        Request::Installed => client.cosmos(CosmosCall::List, &json!({})).await,
        Request::Uninstall { name, id } => {
            client.cosmos(CosmosCall::Uninstall, &json!({ "packageName": name, "appId": id })).await
        }
        Request::Repositories => client.cosmos(CosmosCall::RepositoryList, &json!({})).await,
    };
    answer.map_err(failed)
}

/// The cluster as its leader says it, and each master as it says itself.
async fn cluster_with_masters(client: &Client) -> Result<Value, ClientError> {
    let mut cluster = client.cluster().await?;
    let asked = (0..client.masters().len()).map(|at| async move {
        match client.master(at).await {
            Ok(said) => json!({
                "id": said.get("name"), "address": said.get("address"), "leader": said.get("leads"),
                "version": said.get("version"), "certificate_days": said.get("certificate_days"),
            }),
            Err(error) => json!({
                "id": Value::Null, "address": client.masters().get(at).map(ToString::to_string),
                "leader": false, "error": failed(error).text,
            }),
        }
    });
    let masters = futures_util::future::join_all(asked).await;
    if let Some(cluster) = cluster.as_object_mut().filter(|_| !masters.is_empty()) {
        cluster.insert("masters".to_owned(), Value::Array(masters));
    }
    Ok(cluster)
}

fn package(name: &str, version: Option<&str>, options: Option<Value>, id: Option<String>) -> Value {
    let mut body = Map::from_iter([("packageName".to_owned(), name.into())]);
    body.extend(version.map(|version| ("packageVersion".to_owned(), version.into())));
    body.extend(options.map(|options| ("options".to_owned(), options)));
    body.extend(id.map(|id| ("appId".to_owned(), id.into())));
    Value::Object(body)
}

/// Sees to it that the masters hold what a package brings along, and tells how far that is. On a thread of its own: it may take
/// minutes of this machine's time, and whoever asked may have gone on.
async fn bring(
    cluster: &ClusterArgs,
    number: u64,
    (name, version): (String, String),
    inputs: mpsc::Sender<Input>,
) -> Result<(), Failed> {
    let cluster = cluster.clone();
    let work = move || {
        let ear = move |now: &crate::commands::package::obtain::Now| {
            let step = Progress {
                step: now.artifact.clone(),
                what: now.what.clone(),
                done: now.done,
                of: now.total.unwrap_or_default(),
            };
            // How far it is said again a moment later.
            let _ = inputs.try_send(Input::Progress(number, step));
        };
        block_on(async {
            let client = cluster.client()?;
            let described = package(&name, Some(&version), None, None);
            let described = client.cosmos(CosmosCall::Describe, &described).await?;
            let described = described.get("package").unwrap_or(&Value::Null);
            artifacts::bring(&mut Printer::mute(), &client, described, Some(Box::new(ear))).await
        })
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(brought) => brought.map_err(|error| told(&error)),
        Err(fault) => Err(Failed { text: format!("its files cannot be had: {fault}"), ..Failed::default() }),
    }
}

/// Where a task's files are.
async fn sandbox(client: &Client, task: &str, node: &str) -> Result<Sandbox, Failed> {
    let info = client.info().await.map_err(failed)?;
    Sandbox::new(node, value::text(&info, "frameworkId"), task)
        .ok_or_else(|| Failed { text: format!("it is not known where {task} runs"), ..Failed::default() })
}

/// Reads logs as they grow, until it is dropped.
async fn follow(client: Arc<Client>, number: u64, sources: Vec<LogSource>, inputs: mpsc::Sender<Input>) {
    let piece = |source: &LogSource, text: String, fault: Option<String>| {
        let LogSource { task, stderr, .. } = source;
        Input::Log(number, LogPiece { task: task.clone(), stderr: *stderr, text, fault })
    };
    let mut readers: Vec<(&LogSource, Option<Reader<'_>>, Option<String>)> =
        sources.iter().map(|source| (source, None, None)).collect();
    loop {
        for (source, reader, said) in &mut readers {
            let read = async {
                match reader {
                    Some(reader) => reader.more().await.map_err(failed),
                    none => {
                        let sandbox = sandbox(&client, &source.task, &source.node).await?;
                        let file = if source.stderr { "stderr" } else { "stdout" };
                        let mut first = Reader::new(&client, &sandbox, file);
                        let lines = first.last(source.lines).await.map_err(failed)?;
                        *none = Some(first);
                        Ok(lines)
                    }
                }
            };
            let input = match read.await {
                Ok(lines) if lines.is_empty() => {
                    *said = None;
                    continue;
                }
                Ok(lines) => {
                    *said = None;
                    piece(source, lines.join("\n") + "\n", None)
                }
                // Each trouble once.
                Err(failed) if said.as_ref() == Some(&failed.text) => continue,
                Err(failed) => {
                    *said = Some(failed.text.clone());
                    piece(source, String::new(), Some(failed.text))
                }
            };
            if inputs.send(input).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}
