//! `clusterctl user`: who may use the cluster.

use std::path::PathBuf;
use std::time::Duration;

use api::client::Client;
use clap::{Args, Subcommand, ValueEnum};
use secrecy::ExposeSecret as _;
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
use crate::{text, value};

const EXAMPLES: &str = "\
Examples:
  clusterctl user list
  clusterctl user add ann --role operator                     asks for a password
  clusterctl user add ci --role viewer --token --expires 90d  prints a token, once
  clusterctl user passwd ann
  clusterctl user remove ann";

/// Arguments of `clusterctl user`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct UserArgs {
    #[command(flatten)]
    cluster: ClusterArgs,
    #[command(subcommand)]
    command: UserCommand,
}

/// What a user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Role {
    /// Read.
    Viewer,
    /// Change services, groups and tasks, too.
    Operator,
    /// Manage users, tokens and admissions, too.
    Admin,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// List the users
    #[command(after_help = "Example:\n  clusterctl user list -o json")]
    List {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Add a user, with a password or a token
    #[command(after_help = EXAMPLES)]
    Add {
        /// The name
        name: String,
        /// What the user may do
        #[arg(long, value_enum, default_value = "viewer", hide_possible_values = false)]
        role: Role,
        /// Where the password stands; - for standard input. Without it, it is asked for
        #[arg(long, value_name = "FILE", conflicts_with = "token")]
        password_file: Option<PathBuf>,
        /// No password but a token, which is printed once
        #[arg(long)]
        token: bool,
        /// How long the token holds, like 12h or 30d
        #[arg(long, value_name = "TIME", requires = "token", value_parser = days)]
        expires: Option<Duration>,
    },
    /// Remove a user and all tokens of that user
    #[command(after_help = "Example:\n  clusterctl user remove ann -y")]
    Remove {
        /// The name
        name: String,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Give a user a new password; logins with the old one, and tokens made by that user, end
    #[command(after_help = "Example:\n  clusterctl user passwd ann --password-file -")]
    Passwd {
        /// The name
        name: String,
        /// Where the password stands; - for standard input. Without it, it is asked for
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
}

/// A time with days.
fn days(text: &str) -> Result<Duration, String> {
    match text.strip_suffix('d').map(str::parse::<u32>) {
        Some(Ok(days @ 1..)) => Ok(Duration::from_secs(u64::from(days) * 86_400)),
        Some(_) => Err(format!("{text:?} is no number of days; write 30d")),
        None => text::duration(text),
    }
}

/// Carries out a `user` command.
pub(crate) fn run(ui: &mut Printer, args: &UserArgs) -> Result<Exit, CliError> {
    let client = args.cluster.client()?;
    match &args.command {
        UserCommand::List { output } => {
            let answer = block_on(async { Ok(client.users().await?) })?;
            output.show(ui, "users", &answer, |_| table(&answer).render())
        }
        UserCommand::Add { name, role, password_file, token, expires } => {
            refuse_known(&client, name)?;
            if *token {
                return add_with_token(ui, &client, name, *role, *expires);
            }
            client.safe_for("a password")?;
            let password = password::read_new(ui, password_file.as_deref(), "Password of the new user")?;
            block_on(async { Ok(client.put_user(name, role.name(), Some(&password)).await?) })?;
            done(ui, "added", name, &format!("{name} is {}", role.name()))
        }
        UserCommand::Remove { name, yes } => {
            confirm(ui, *yes, &format!("Remove {name} and all tokens of that user?"))?;
            block_on(async { Ok(client.remove_user(name).await?) })?;
            done(ui, "removed", name, &format!("{name} is removed"))
        }
        UserCommand::Passwd { name, password_file } => {
            let user = block_on(async { Ok(client.user(name).await?) })?;
            client.safe_for("a password")?;
            let password = password::read_new(ui, password_file.as_deref(), "New password")?;
            let role = value::text(&user, "role").to_owned();
            block_on(async { Ok(client.put_user(name, &role, Some(&password)).await?) })?;
            done(
                ui,
                "changed",
                name,
                &format!("{name} has a new password; old logins, and tokens that {name} made, are over"),
            )
        }
    }
}

/// What adds a user must not give an old one another role.
fn refuse_known(client: &Client, name: &str) -> Result<(), CliError> {
    match block_on(async { Ok(client.user(name).await) })? {
        Err(error) if error.status() == Some(404) => Ok(()),
        Err(error) => Err(error.into()),
        Ok(_) => Err(CliError::usage(format!("there is a user {name} already"))
            .hint(format!("`clusterctl user passwd {name}` gives a new password"))),
    }
}

fn add_with_token(
    ui: &mut Printer,
    client: &Client,
    name: &str,
    role: Role,
    expires: Option<Duration>,
) -> Result<Exit, CliError> {
    let new = block_on(async {
        client.put_user(name, role.name(), None).await?;
        Ok(client.make_token(name, "made with the user", expires).await?)
    })?;
    let until = value::text(&new.about, "expires").to_owned();
    ui.hint(&format!("the token of {name} ({}) holds until {until}, and is not shown again", role.name()));
    let mut answer = new.about.clone();
    if let Some(answer) = answer.as_object_mut() {
        answer.insert("token".to_owned(), new.token.expose_secret().into());
    }
    ui.result(&format!("{}\n", new.token.expose_secret()), &Event::Answer { of: "token", answer: &answer })?;
    Ok(Exit::Done)
}

fn done(ui: &mut Printer, what: &'static str, name: &str, words: &str) -> Result<Exit, CliError> {
    ui.result(&format!("{words}\n"), &Event::Done { what, name })?;
    Ok(Exit::Done)
}

fn table(answer: &Value) -> Table {
    let mut table = Table::new(&["USER", "ROLE", "PASSWORD", "CHANGED", "BY"]);
    for user in value::list(answer, "users") {
        let has_password = user.get("has_password").and_then(Value::as_bool).unwrap_or_default();
        table.row(vec![
            Cell::plain(value::text(user, "name")),
            Cell::plain(value::text(user, "role")),
            Cell::plain(if has_password { "yes" } else { "no" }),
            Cell::plain(value::text(user, "changed")),
            Cell::plain(value::text(user, "by")),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_hold_for_days() {
        assert_eq!(days("30d"), Ok(Duration::from_secs(30 * 86_400)));
        assert_eq!(days("12h"), Ok(Duration::from_secs(12 * 3600)));
        assert!(days("0d").is_err() && days("xd").is_err() && days("-1d").is_err());
    }
}
