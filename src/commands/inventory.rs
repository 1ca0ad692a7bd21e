//! `clusterctl inventory`: the form of inventories, and what one says.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use inventory::{Address, Host, Inventory, Role};
use serde::Serialize;

use crate::error::CliError;
use crate::event::Event;
use crate::exit::Exit;
use crate::inventory_file::{self, DEFAULT};
use crate::output::OutputArgs;
use crate::printer::Printer;
use crate::table::{Cell, Table};
use crate::text::count;

const EXAMPLES: &str = "\
Examples:
  clusterctl inventory check                   every mistake in inventory.yaml, with its place
  clusterctl inventory show prod.yaml -o wide  its hosts, ranges expanded
  clusterctl inventory schema > inventory.schema.json

An editor with a YAML language server completes and checks inventories that begin with
  # yaml-language-server: $schema=inventory.schema.json";

/// Arguments of `clusterctl inventory`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct InventoryArgs {
    #[command(subcommand)]
    command: InventoryCommand,
}

#[derive(Debug, Subcommand)]
enum InventoryCommand {
    /// Print the JSON Schema of inventories, for editors
    #[command(after_help = "Example:\n  clusterctl inventory schema > inventory.schema.json")]
    Schema {
        /// The form of the output
        #[arg(short, long, value_name = "FORMAT", value_enum, default_value_t = SchemaFormat::Json)]
        output: SchemaFormat,
    },
    /// Name every mistake in an inventory; no host is asked anything
    #[command(after_help = "Example:\n  clusterctl inventory check prod.yaml")]
    Check {
        /// The inventory
        #[arg(value_name = "INVENTORY", default_value = DEFAULT)]
        file: PathBuf,
    },
    /// Show the hosts of an inventory, with ranges expanded and defaults filled in
    #[command(after_help = "Example:\n  clusterctl inventory show prod.yaml -o yaml")]
    Show {
        /// The inventory
        #[arg(value_name = "INVENTORY", default_value = DEFAULT)]
        file: PathBuf,
        #[command(flatten)]
        output: OutputArgs,
    },
}

/// The forms of a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SchemaFormat {
    /// As editors read it.
    Json,
    /// The same as YAML.
    Yaml,
}

/// Carries out an `inventory` command.
pub(crate) fn run(ui: &mut Printer, args: &InventoryArgs) -> Result<Exit, CliError> {
    match &args.command {
        InventoryCommand::Schema { output } => {
            let schema = inventory::schema();
            let text = match output {
                SchemaFormat::Json => {
                    serde_json::to_string_pretty(&schema).map_err(|error| internal(&error))? + "\n"
                }
                SchemaFormat::Yaml => serde_yaml::to_string(&schema).map_err(|error| internal(&error))?,
            };
            ui.result(&text, &Event::Answer { of: "inventory_schema", answer: &schema })?;
        }
        InventoryCommand::Check { file } => {
            let inventory = inventory_file::read(file)?;
            let name = file.display().to_string();
            ui.result(&verdict(&name, &inventory), &Event::Done { what: "checked", name: &name })?;
        }
        InventoryCommand::Show { file, output } => {
            let inventory = inventory_file::read(file)?;
            let value = serde_json::to_value(&inventory).map_err(|error| internal(&error))?;
            return output.show(ui, "inventory", &value, |wide| hosts(&inventory, wide).render());
        }
    }
    Ok(Exit::Done)
}

fn internal(error: &dyn std::error::Error) -> CliError {
    CliError::internal(format!("cannot write: {error}"))
}

/// Like `inventory.yaml: no mistakes; cluster demo with 1 master and 3 agents on 4 hosts`.
fn verdict(name: &str, inventory: &Inventory) -> String {
    let number = |role| inventory.with_role(role).count() as u64;
    let agents = number(Role::Agent) + number(Role::PublicAgent);
    format!(
        "{name}: no mistakes; cluster {} with {} and {} on {}\n",
        inventory.cluster.name,
        count(number(Role::Master), "master"),
        count(agents, "agent"),
        count(inventory.hosts.len() as u64, "host"),
    )
}

fn hosts(inventory: &Inventory, wide: bool) -> Table {
    let mut head = vec!["HOST", "ADDRESS", "ROLES", "LOGIN", "BECOME"];
    if wide {
        head.extend(["PRIVATE", "JUMP", "ATTRIBUTES", "RESOURCES", "LINE"]);
    }
    let mut table = Table::new(&head);
    for host in &inventory.hosts {
        let ssh = &host.ssh;
        let mut row = vec![
            Cell::plain(&host.name),
            Cell::plain(host.address.to_string()),
            Cell::plain(host.roles.iter().map(word).collect::<Vec<_>>().join(",")),
            Cell::plain(login(host)),
            Cell::plain(word(&ssh.becoming)),
        ];
        if wide {
            let jumps = ssh.jump.iter().flatten().map(|jump| jump.host.to_string());
            let resources = host.resources.as_ref().map(ToString::to_string);
            row.extend([
                Cell::or_none(host.private_address.as_ref().map(Address::to_string).as_deref()),
                Cell::or_none(Some(&jumps.collect::<Vec<_>>().join(","))),
                Cell::or_none(Some(&host.attributes.to_string())),
                Cell::or_none(resources.as_deref()),
                Cell::plain(host.declared.line.to_string()),
            ]);
        }
        table.row(row);
    }
    table
}

/// Like `admin:2222`; what SSH's own configuration says is not known here.
fn login(host: &Host) -> String {
    if host.connection == inventory::Connection::Local {
        return "(this machine)".to_owned();
    }
    let user = host.ssh.user.as_deref().unwrap_or("-");
    host.ssh.port.map_or_else(|| user.to_owned(), |port| format!("{user}:{port}"))
}

/// The word that stands in an inventory.
fn word(value: &impl Serialize) -> String {
    let text = serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned));
    text.unwrap_or_else(|| "-".to_owned())
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;
    use insta::assert_snapshot;

    use super::*;

    const INVENTORY: &[u8] = br#"
cluster: {name: demo}
ssh: {user: admin, jump: [ops@bastion.example.org]}
hosts:
  - {name: m1, address: 192.0.2.11, private_address: 10.0.0.1, roles: [master], ssh: {user: root, port: 2222, become: none}}
  - {name: "a[1:2]", address: "192.0.2.[21:22]", roles: [agent], attributes: {rack: r1}, resources: {cpus: 8, mem: 15000}}
  - {name: edge, address: edge.example.org, roles: [public_agent], connection: local}
"#;

    fn inventory() -> Inventory {
        inventory::read("inventory.yaml", INVENTORY, |_| None).unwrap()
    }

    #[test]
    fn hosts_are_shown_with_ranges_expanded() {
        assert_snapshot!(strip_str(&hosts(&inventory(), false).render()), @r"
        HOST  ADDRESS           ROLES         LOGIN           BECOME
        m1    192.0.2.11        master        root:2222       none
        a1    192.0.2.21        agent         admin           sudo
        a2    192.0.2.22        agent         admin           sudo
        edge  edge.example.org  public_agent  (this machine)  sudo
        ");
        assert_snapshot!(strip_str(&hosts(&inventory(), true).render()), @r"
        HOST  ADDRESS           ROLES         LOGIN           BECOME  PRIVATE   JUMP                 ATTRIBUTES  RESOURCES         LINE
        m1    192.0.2.11        master        root:2222       none    10.0.0.1  bastion.example.org  -           -                 5
        a1    192.0.2.21        agent         admin           sudo    -         bastion.example.org  rack:r1     cpus:8;mem:15000  6
        a2    192.0.2.22        agent         admin           sudo    -         bastion.example.org  rack:r1     cpus:8;mem:15000  6
        edge  edge.example.org  public_agent  (this machine)  sudo    -         bastion.example.org  -           -                 7
        ");
    }

    #[test]
    fn the_verdict_counts() {
        assert_eq!(
            verdict("inventory.yaml", &inventory()),
            "inventory.yaml: no mistakes; cluster demo with 1 master and 3 agents on 4 hosts\n"
        );
    }
}
