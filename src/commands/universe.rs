//! `clusterctl universe`: where packages come from, and whether one's own are in order.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write};
use std::path::{Path, PathBuf};

use api::client::{Client, CosmosCall};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::connect::{ClusterArgs, block_on};
use crate::error::CliError;
use crate::event::Event;
use crate::exit::Exit;
use crate::output::OutputArgs;
use crate::printer::Printer;
use crate::table::{Cell, Table};
use crate::{text, value};

pub(super) mod local;

use local::Local;

const EXAMPLES: &str = "\
Examples:
  clusterctl universe list
  clusterctl universe lint ./packages            what is wrong in packages of your own
  clusterctl universe add ours ./packages        a directory: it is uploaded to the masters, with the files that its packages name
  clusterctl universe add public https://universe.example.org/repo --index 0
  clusterctl universe remove ours

Repositories are searched in the order of the list: of a package that is in two, the first one's counts.";

/// Arguments of `clusterctl universe`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct UniverseArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    #[command(subcommand)]
    command: UniverseCommand,
}

#[derive(Debug, Subcommand)]
enum UniverseCommand {
    /// List the repositories that packages come from
    #[command(after_help = "Example:\n  clusterctl universe list")]
    List {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Add a repository: an index by its URL, or a directory of packages
    #[command(
        after_help = "Examples:\n  clusterctl universe add ours ./packages\n  clusterctl universe add public https://universe.example.org/repo --index 0"
    )]
    Add {
        /// A name for it
        name: String,
        /// The URL of an index, or a directory or archive of packages on this machine
        #[arg(value_name = "URL|DIR")]
        from: String,
        /// Its place in the list, from 0; without it, the end
        #[arg(long, value_name = "N")]
        index: Option<usize>,
    },
    /// Remove a repository; what is installed stays
    #[command(after_help = "Example:\n  clusterctl universe remove ours")]
    Remove {
        /// Its name
        name: String,
    },
    /// Say what is wrong in packages of your own; no cluster is needed
    ///
    /// Reads packages in both forms, checks them against each other's rules, and renders each with its default options. Exits with 2 when
    /// something is wrong.
    #[command(after_help = "Example:\n  clusterctl universe lint ./packages")]
    Lint {
        /// One package, or a directory of packages
        dir: PathBuf,
    },
}

/// Carries out a `universe` command.
pub(crate) fn run(ui: &mut Printer, args: &UniverseArgs) -> Result<Exit, CliError> {
    match &args.command {
        UniverseCommand::Lint { dir } => lint(ui, dir),
        command => {
            let client = args.cluster.client()?;
            block_on(change(ui, &client, command))
        }
    }
}

fn lint(ui: &mut Printer, dir: &Path) -> Result<Exit, CliError> {
    let faults = universe::lint(dir)
        .map_err(|error| CliError::usage(format!("{} cannot be read", dir.display())).caused_by(&error))?;
    if faults.is_empty() {
        let text = format!("{}: nothing is wrong\n", dir.display());
        ui.result(&text, &Event::Done { what: "linted", name: &dir.to_string_lossy() })?;
        return Ok(Exit::Done);
    }
    let number = text::count(u64::try_from(faults.len()).unwrap_or(u64::MAX), "mistake");
    let mut error = CliError::usage(format!("{number} in {}", dir.display()));
    error.causes.extend(faults.iter().map(ToString::to_string));
    Err(error)
}

async fn change(ui: &mut Printer, client: &Client, command: &UniverseCommand) -> Result<Exit, CliError> {
    match command {
        UniverseCommand::List { output } => {
            let answer = client.cosmos(CosmosCall::RepositoryList, &json!({})).await?;
            output.show(ui, "repositories", &answer, |_wide| table(&answer).render())
        }
        UniverseCommand::Add { name, from, index } => {
            let (uri, local) = match from.contains("://") {
                true => (from.clone(), Local::default()),
                false => upload(ui, client, Path::new(from)).await?,
            };
            let mut body =
                Map::from_iter([("name".to_owned(), name.as_str().into()), ("uri".to_owned(), uri.into())]);
            body.extend(index.map(|index| ("index".to_owned(), index.into())));
            client.cosmos(CosmosCall::RepositoryAdd, &Value::Object(body)).await?;
            local.tell(client).await?;
            ui.result(&format!("{name} is added\n"), &Event::Done { what: "added", name })?;
            ui.hint("`clusterctl package search` lists what is in it");
            Ok(Exit::Done)
        }
        UniverseCommand::Remove { name } => {
            client.cosmos(CosmosCall::RepositoryDelete, &json!({ "name": name })).await.map_err(|error| {
                CliError::from(error).hint("`clusterctl universe list` lists what there is")
            })?;
            ui.result(&format!("{name} is removed\n"), &Event::Done { what: "removed", name })?;
            Ok(Exit::Done)
        }
        UniverseCommand::Lint { dir } => lint(ui, dir),
    }
}

fn table(answer: &Value) -> Table {
    let mut table = Table::new(&["REPOSITORY", "ADDRESS"]);
    for one in value::list(answer, "repositories") {
        table.row(vec![Cell::plain(value::text(one, "name")), Cell::plain(value::text(one, "uri"))]);
    }
    table
}

/// Checks packages on this machine and gives them to the masters; the address that they have there, and what they bring along.
async fn upload(ui: &mut Printer, client: &Client, from: &Path) -> Result<(String, Local), CliError> {
    let unreadable =
        |source: &io::Error| CliError::usage(format!("{} cannot be read", from.display())).caused_by(source);
    let kind = std::fs::metadata(from).map_err(|error| unreadable(&error))?;
    let mut packed = tempfile::NamedTempFile::new().map_err(|error| unreadable(&error))?;
    let mut local = Local::default();
    if kind.is_dir() {
        let faults = universe::lint(from).map_err(|error| {
            CliError::usage(format!("{} cannot be read", from.display())).caused_by(&error)
        })?;
        if let Some(first) = faults.iter().find(|fault| fault.severity == universe::Severity::Error) {
            return Err(CliError::usage(format!("there are mistakes in {}: {first}", from.display()))
                .hint(format!("`clusterctl universe lint {}` lists all", from.display())));
        }
        let loaded = universe::load::directory(from).map_err(|error| {
            CliError::usage(format!("{} cannot be read", from.display())).caused_by(&error)
        })?;
        local = Local::upload(ui, client, from, &loaded.packages).await?;
        pack(from, &local, packed.as_file_mut()).map_err(|error| unreadable(&error))?;
    } else {
        io::copy(&mut File::open(from).map_err(|error| unreadable(&error))?, packed.as_file_mut())
            .map_err(|error| unreadable(&error))?;
    }
    let sum = sum(packed.as_file_mut()).map_err(|error| unreadable(&error))?;
    if !client.has_artifact(&sum).await? {
        client.put_artifact(&sum, packed.path(), |_bytes| {}).await?;
    }
    tracing::debug!(sum, "packages are uploaded");
    Ok((format!("artifact://sha256/{sum}"), local))
}

/// The same bytes for the same files, whoever packs them; without those that are uploaded by themselves.
fn pack(dir: &Path, local: &Local, to: impl Write) -> io::Result<()> {
    let mut files = Vec::new();
    gather(dir, dir, &mut files)?;
    files.sort();
    let mut tar = tar::Builder::new(to);
    for name in files {
        let path = dir.join(&name);
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        if let Some(text) = local.resources.get(&path) {
            header.set_size(u64::try_from(text.len()).unwrap_or(u64::MAX));
            tar.append_data(&mut header, &name, text.as_bytes())?;
        } else if !local.uploaded.contains(&path) {
            let mut file = File::open(&path)?;
            header.set_size(file.metadata()?.len());
            tar.append_data(&mut header, &name, &mut file)?;
        }
    }
    tar.finish()
}

/// All files below a directory, but for hidden ones and links.
fn gather(top: &Path, dir: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if kind.is_dir() {
            gather(top, &path, files)?;
        } else if kind.is_file() {
            files.extend(path.strip_prefix(top).map(Path::to_owned));
        }
    }
    Ok(())
}

/// The SHA-256 of a whole file.
pub(super) fn sum(file: &mut File) -> io::Result<String> {
    file.rewind()?;
    let (mut sum, mut part) = (Sha256::new(), vec![0; 64 << 10]);
    loop {
        match file.read(&mut part)? {
            0 => break,
            read => sum.update(part.get(..read).unwrap_or_default()),
        }
    }
    Ok(hex(&sum.finalize()))
}

/// In lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_packages_are_packed_the_same_way() {
        let packed = || {
            let dir = tempfile::tempdir().unwrap();
            for (name, text) in [("b/1/package.yaml", "b"), ("a/1/package.yaml", "a"), (".git/x", "x")] {
                let path = dir.path().join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            let mut bytes = Vec::new();
            pack(dir.path(), &Local::default(), &mut bytes).unwrap();
            bytes
        };
        let bytes = packed();
        assert_eq!(bytes, packed());
        let mut tar = tar::Archive::new(bytes.as_slice());
        let names: Vec<_> =
            tar.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().into_owned()).collect();
        assert_eq!(names, [Path::new("a/1/package.yaml"), Path::new("b/1/package.yaml")]);
    }
}
