//! `clusterctl cluster`: how the cluster is, and which cluster commands speak to.

use std::path::{Path, PathBuf};

use api::client::MasterUrl;
use clap::{Args, Subcommand};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::connect::{ClusterArgs, block_on};
use crate::context::{self, ContextError, Contexts};
use crate::error::CliError;
use crate::event::Event;
use crate::exit::Exit;
use crate::output::OutputArgs;
use crate::printer::Printer;

mod view;

const EXAMPLES: &str = "\
Examples:
  clusterctl cluster status                                  leader, nodes, resources
  clusterctl cluster add prod https://m1:5050 https://m2:5050
  clusterctl cluster use prod                                all commands speak to it from now on
  CLUSTERCTL_URL=http://m1:5050 clusterctl cluster status    once, without remembering it

Clusters are kept in ~/.config/clusterctl/config.yaml.";

/// Arguments of `clusterctl cluster`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ClusterCommandArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    #[command(subcommand)]
    command: ClusterCommand,
}

#[derive(Debug, Subcommand)]
enum ClusterCommand {
    /// Show the leader, the masters, the nodes and how much is used
    #[command(after_help = "Example:\n  clusterctl cluster status -o json")]
    Status {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// List the clusters that you know
    #[command(after_help = "Example:\n  clusterctl cluster list")]
    List {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Remember a cluster; the first one becomes the current one
    #[command(after_help = "Examples:\n  clusterctl cluster add prod https://m1:5050 https://m2:5050 --use")]
    Add {
        /// What to call it
        name: String,
        /// The URLs of its masters
        #[arg(required = true, value_name = "MASTER")]
        masters: Vec<MasterUrl>,
        /// The certificate of the authority that its masters' certificates are from
        #[arg(long, value_name = "FILE")]
        ca: Option<PathBuf>,
        /// Speak to it from now on
        #[arg(long = "use")]
        make_current: bool,
    },
    /// Speak to a cluster from now on
    #[command(after_help = "Example:\n  clusterctl cluster use prod")]
    Use {
        /// The cluster
        name: String,
    },
    /// Forget a cluster; nothing happens to it
    #[command(after_help = "Example:\n  clusterctl cluster remove prod")]
    Remove {
        /// The cluster
        name: String,
    },
}

/// Carries out a `cluster` command.
pub(crate) fn run(ui: &mut Printer, args: &ClusterCommandArgs) -> Result<Exit, CliError> {
    match &args.command {
        ClusterCommand::Status { output } => {
            let client = args.cluster.client()?;
            let answer = block_on(async {
                let mut cluster = client.cluster().await?;
                let masters = client.masters();
                if masters.len() > 1 {
                    let each = join_all((0..masters.len()).map(|at| client.master(at))).await;
                    let each = masters.iter().zip(each.into_iter().map(Result::ok));
                    view::put_masters(&mut cluster, each.map(|(url, said)| (url.host_and_port(), said)));
                }
                Ok(cluster)
            })?;
            output.show(ui, "cluster", &answer, |wide| view::status(&answer, wide))
        }
        ClusterCommand::List { output } => list(ui, *output),
        ClusterCommand::Add { name, masters, ca, make_current } => {
            add(ui, name, masters, ca.as_deref(), *make_current)
        }
        ClusterCommand::Use { name } => {
            change(name, |contexts| contexts.current = Some(name.clone()))?;
            done(ui, "used", name, &format!("commands speak to {name} from now on"))
        }
        ClusterCommand::Remove { name } => {
            let contexts = change(name, |contexts| {
                contexts.contexts.remove(name);
                contexts.current = contexts.current.take().filter(|current| current != name);
            })?;
            done(ui, "forgotten", name, &format!("{name} is forgotten"))?;
            if contexts.current.is_none() && !contexts.contexts.is_empty() {
                ui.hint("no cluster is current now; `clusterctl cluster use NAME` chooses one");
            }
            Ok(Exit::Done)
        }
    }
}

fn done(ui: &mut Printer, what: &'static str, name: &str, words: &str) -> Result<Exit, CliError> {
    ui.result(&format!("{words}\n"), &Event::Done { what, name })?;
    Ok(Exit::Done)
}

/// Changes the file, in which there has to be a cluster of that name.
pub(crate) fn change(name: &str, with: impl FnOnce(&mut Contexts)) -> Result<Contexts, ContextError> {
    let path = context::path()?;
    let mut contexts = Contexts::load(&path)?;
    contexts.find(name, &path)?;
    with(&mut contexts);
    contexts.store(&path)?;
    Ok(contexts)
}

fn add(
    ui: &mut Printer,
    name: &str,
    masters: &[MasterUrl],
    ca: Option<&Path>,
    make_current: bool,
) -> Result<Exit, CliError> {
    if name.is_empty() || name.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(CliError::usage(format!("{name:?} cannot be a cluster's name"))
            .hint("names have no blanks, like `prod`"));
    }
    let ca = ca.map(context::read_ca).transpose()?;
    context::save(name, masters, make_current)?;
    if let Some(ca) = ca {
        change(name, |contexts| {
            if let Some(context) = contexts.contexts.get_mut(name) {
                context.ca = Some(ca);
            }
        })?;
    }
    done(ui, "added", name, &format!("{name} is remembered"))
}

fn list(ui: &mut Printer, output: OutputArgs) -> Result<Exit, CliError> {
    let contexts = Contexts::load(&context::path()?)?;
    if contexts.contexts.is_empty() && output.is_table() && !ui.is_json() {
        ui.hint(&format!(
            "you know no clusters yet; commands speak to {}, where `clusterctl up` listens; \
             `clusterctl cluster add NAME URL` remembers another one",
            context::DEFAULT_URL
        ));
        return Ok(Exit::Done);
    }
    let answer = as_json(&contexts);
    output.show(ui, "clusters", &answer, |_| view::contexts(&contexts).render())
}

fn as_json(contexts: &Contexts) -> Value {
    let clusters: Vec<Value> = contexts
        .contexts
        .iter()
        .map(|(name, context)| {
            let current = contexts.current.as_ref() == Some(name);
            json!({
                "name": name, "current": current, "masters": context.masters,
                "ca": context.ca.is_some(), "token": context.token.is_some(),
            })
        })
        .collect();
    json!({ "clusters": clusters })
}
