//! `clusterctl secret`: what services need and nobody is to read.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use secrecy::SecretString;
use serde_json::Value;

use crate::confirm::confirm;
use crate::connect::{ClusterArgs, block_on};
use crate::error::CliError;
use crate::event::Event;
use crate::exit::Exit;
use crate::output::OutputArgs;
use crate::password;
use crate::printer::Printer;
use crate::table::{Cell, Table};
use crate::value;

/// The longest secret that masters take, in bytes.
const LONGEST: u64 = 64 << 10;

const EXAMPLES: &str = "\
Examples:
  clusterctl secret set db/password                  asks for it, without showing it
  clusterctl secret set db/certificate --file key.pem
  pass show db | clusterctl secret set db/password --file -
  clusterctl secret list
  clusterctl secret remove db/password

A service names it, and its tasks find the value in their environment from their next start on:
  {id: /web, secrets: {db: {source: db/password}}, env: {DB_PASSWORD: {secret: db}}, …}

The cluster keeps values encrypted. No command and no API call shows one again.";

/// Arguments of `clusterctl secret`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SecretArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    #[command(subcommand)]
    command: SecretCommand,
}

#[derive(Debug, Subcommand)]
enum SecretCommand {
    /// List the secrets: their names, never their values
    #[command(after_help = "Example:\n  clusterctl secret list -o json")]
    List {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Keep a secret, or give one a new value; tasks see it from their next start on
    #[command(after_help = EXAMPLES)]
    Set {
        /// Its name, like db/password
        name: String,
        /// Where the value stands, whole, but for a line end at its end; - for standard input. Without it, it is asked for
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Remove a secret; tasks that run keep it, those that need it do not start any more
    #[command(after_help = "Example:\n  clusterctl secret remove db/password -y")]
    Remove {
        /// Its name
        name: String,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

/// Carries out a `secret` command.
pub(crate) fn run(ui: &mut Printer, args: &SecretArgs) -> Result<Exit, CliError> {
    let client = args.cluster.client()?;
    match &args.command {
        SecretCommand::List { output } => {
            let answer = block_on(async { Ok(client.secrets().await?) })?;
            if let Some(problem) = answer.get("problem").and_then(Value::as_str) {
                ui.hint(problem);
            }
            output.show(ui, "secrets", &answer, |_wide| table(&answer).render())
        }
        SecretCommand::Set { name, file } => {
            client.safe_for("a secret")?;
            let value = match file {
                Some(file) => from(file)?,
                None => password::read_new(ui, None, &format!("Value of {name}")).map_err(|error| {
                    CliError::usage(format!("the value of {name} is not known: {}", error.message))
                        .hint("`--file FILE` reads it from a file, `--file -` from standard input")
                })?,
            };
            block_on(async { Ok(client.put_secret(name, &value).await?) })?;
            ui.result(&format!("{name} is kept\n"), &Event::Done { what: "set", name })?;
            Ok(Exit::Done)
        }
        SecretCommand::Remove { name, yes } => {
            confirm(
                ui,
                *yes,
                &format!("Remove the secret {name}? Tasks that need it do not start any more."),
            )?;
            block_on(async { Ok(client.remove_secret(name).await?) })
                .map_err(|error| error.hint("`clusterctl secret list` lists what there is"))?;
            ui.result(&format!("{name} is removed\n"), &Event::Done { what: "removed", name })?;
            Ok(Exit::Done)
        }
    }
}

fn from(file: &Path) -> Result<SecretString, CliError> {
    let (name, read) = if file == Path::new("-") {
        ("standard input".to_owned(), whole(io::stdin().lock()))
    } else {
        (file.display().to_string(), File::open(file).and_then(whole))
    };
    read.map_err(|cause| CliError::usage(format!("cannot read a secret from {name}")).caused_by(&cause))
}

fn whole(from: impl io::Read) -> io::Result<SecretString> {
    let mut text = String::new();
    from.take(LONGEST + 3).read_to_string(&mut text)?;
    // Editors and `echo` put one there.
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    match text.len() as u64 {
        0 => Err(io::Error::other("it is empty")),
        size if size > LONGEST => Err(io::Error::other("it has more than 64 KiB")),
        _ => Ok(text.into()),
    }
}

fn table(answer: &Value) -> Table {
    let mut table = Table::new(&["SECRET", "BYTES", "CHANGED", "BY", "PACKAGE"]);
    for one in value::list(answer, "secrets") {
        let size = one.get("size").map(Value::to_string).unwrap_or_default();
        table.row(vec![
            Cell::plain(value::text(one, "path")),
            Cell::plain(size),
            Cell::plain(value::text(one, "changed")),
            Cell::plain(value::text(one, "by")),
            Cell::plain(value::text(one, "package")),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn a_file_is_taken_whole_but_for_its_last_line_end() {
        for (text, secret) in
            [("one", "one"), ("one\n", "one"), ("one\r\n", "one"), ("a\nb\n\n", "a\nb\n"), (" a ", " a ")]
        {
            assert_eq!(whole(text.as_bytes()).unwrap().expose_secret(), secret);
        }
        let longest = usize::try_from(LONGEST).unwrap();
        assert!(whole(format!("{}\n", "x".repeat(longest)).as_bytes()).is_ok());
        for text in ["".to_owned(), "\n".to_owned(), "x".repeat(longest + 1)] {
            assert!(whole(text.as_bytes()).is_err());
        }
        assert!(whole(&[0xff, 0xfe][..]).is_err());
    }
}
