//! `clusterctl node`: the machines that run tasks.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::connect::{ClusterArgs, block_on};
use crate::error::CliError;
use crate::exit::Exit;
use crate::output::OutputArgs;
use crate::printer::Printer;
use crate::{text, value};

mod view;

const EXAMPLES: &str = "\
Examples:
  clusterctl node list            what each node has, and how much of it is used
  clusterctl node list -o wide    with ids, versions and when they came
  clusterctl node show n1         one node and what runs there

NODE is a name, a hostname, or the beginning of an id.";

/// Arguments of `clusterctl node`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct NodeArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    #[command(subcommand)]
    command: NodeCommand,
}

#[derive(Debug, Subcommand)]
enum NodeCommand {
    /// List nodes with their resources
    #[command(after_help = "Example:\n  clusterctl node list -o wide")]
    List {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show one node and what runs there
    #[command(after_help = "Example:\n  clusterctl node show n1")]
    Show {
        /// The node: its name, hostname, or the beginning of its id
        node: String,
        #[command(flatten)]
        output: OutputArgs,
    },
}

/// Carries out a `node` command.
pub(crate) fn run(ui: &mut Printer, args: &NodeArgs) -> Result<Exit, CliError> {
    let client = args.cluster.client()?;
    block_on(async {
        let answer = client.nodes().await?;
        match &args.command {
            NodeCommand::List { output } => {
                if value::nodes(&answer).is_empty() && output.is_table() && !ui.is_json() {
                    ui.hint("no node has registered yet; `clusterctl cluster status` shows the masters");
                    return Ok(Exit::Done);
                }
                let now = text::now();
                output.show(ui, "nodes", &answer, |wide| view::nodes(&answer, wide, now).render())
            }
            NodeCommand::Show { node, output } => {
                let node = find(&value::nodes(&answer), node)?;
                let tasks = if output.is_table() { client.tasks().await? } else { json!({}) };
                let now = text::now();
                output.show(ui, "node", node, |wide| view::node(node, &tasks, wide, now))
            }
        }
    })
}

/// The one node that is meant.
fn find<'a>(nodes: &[&'a Value], wanted: &str) -> Result<&'a Value, CliError> {
    let rules: [&dyn Fn(&&Value) -> bool; 3] = [
        &|node| ["name", "id"].iter().any(|key| value::text(node, key) == wanted),
        &|node| value::text(node, "hostname") == wanted,
        &|node| value::text(node, "id").starts_with(wanted),
    ];
    for rule in rules {
        let found: Vec<&Value> = nodes.iter().copied().filter(rule).collect();
        match found.as_slice() {
            [] => {}
            [one] => return Ok(one),
            many => return Err(ambiguous(wanted, many)),
        }
    }
    let names = nodes.iter().flat_map(|node| [value::text(node, "name"), value::text(node, "hostname")]);
    let mut near = text::similar(wanted, names.filter(|name| !name.is_empty()));
    near.dedup();
    let error = CliError::usage(format!("there is no node {wanted:?}"));
    let error = near.iter().fold(error, |error, name| error.hint(format!("did you mean `{name}`?")));
    Err(error.hint("`clusterctl node list` shows all nodes"))
}

fn ambiguous(wanted: &str, found: &[&Value]) -> CliError {
    let mut error = CliError::usage(format!("{wanted:?} means {} nodes", found.len()));
    error.causes.extend(
        found.iter().map(|node| format!("{} ({})", value::text(node, "id"), value::text(node, "hostname"))),
    );
    error.hint("write its whole id")
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;

    fn found(wanted: &str) -> String {
        let node =
            |id: &str, name: &str, hostname: &str| json!({"id": id, "name": name, "hostname": hostname});
        let nodes = [
            node("c1-S0", "n1", "127.0.0.2"),
            node("c1-S1", "n2", "127.0.0.3"),
            node("c1-S2", "", "127.0.0.3"),
        ];
        match find(&nodes.iter().collect::<Vec<_>>(), wanted) {
            Ok(node) => value::text(node, "id").to_owned(),
            Err(error) => strip_str(&error.styled()).to_string(),
        }
    }

    #[test]
    fn a_name_a_hostname_or_the_beginning_of_an_id_will_do() {
        assert_eq!([found("n2"), found("127.0.0.2"), found("c1-S2")], ["c1-S1", "c1-S0", "c1-S2"]);
    }

    #[test]
    fn what_means_none_or_several_is_said() {
        insta::assert_snapshot!(found("127.0.0.3"), @r#"
        error: "127.0.0.3" means 2 nodes
          caused by: c1-S1 (127.0.0.3)
          caused by: c1-S2 (127.0.0.3)
        hint: write its whole id
        "#);
        insta::assert_snapshot!(found("n11"), @r#"
        error: there is no node "n11"
        hint: did you mean `n1`?
        hint: `clusterctl node list` shows all nodes
        "#);
    }
}
