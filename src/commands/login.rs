//! `clusterctl login` and `clusterctl logout`: a token of the cluster for this user's file, and its end.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use api::Secret;
use api::client::{ClientError, MasterUrl};
use clap::Args;
use secrecy::ExposeSecret as _;

use crate::commands::cluster::change;
use crate::confirm::confirm;
use crate::connect::{ClusterArgs, block_on};
use crate::context::{self, Contexts, Target};
use crate::error::CliError;
use crate::event::Event;
use crate::exit::Exit;
use crate::password;
use crate::printer::Printer;

const EXAMPLES: &str = "\
Examples:
  clusterctl login                                        to the current cluster; asks for name and password
  clusterctl login prod --user ops --ca prod-ca.pem       trusts this authority from now on
  clusterctl login --user ci --password-file - < secret   for scripts

A cluster is added with `clusterctl cluster add`. The token is kept in ~/.config/clusterctl/config.yaml, the password nowhere.";

/// Arguments of `clusterctl login`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct LoginArgs {
    #[command(flatten)]
    cluster: ClusterArgs,

    /// The cluster, as `clusterctl cluster list` shows it; default: the current one
    context: Option<String>,

    /// Who you are
    #[arg(long, value_name = "NAME")]
    user: Option<String>,

    /// Where the password stands; - for standard input. Without it, it is asked for
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,

    /// The certificate of the authority that the masters' certificates are from
    #[arg(long, value_name = "FILE", conflicts_with = "ca_fingerprint")]
    ca: Option<PathBuf>,

    /// Trust the authority that the masters show if it has this fingerprint, like SHA256:5A:…
    #[arg(long, value_name = "FINGERPRINT")]
    ca_fingerprint: Option<String>,
}

/// Arguments of `clusterctl logout`.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  clusterctl logout prod")]
pub(crate) struct LogoutArgs {
    #[command(flatten)]
    cluster: ClusterArgs,

    /// The cluster; default: the current one
    context: Option<String>,
}

/// Logs in.
pub(crate) fn log_in(ui: &mut Printer, args: &LoginArgs) -> Result<Exit, CliError> {
    let (name, mut target) = named(&args.cluster, args.context.as_deref())?;
    target.token = None;
    let before = target.ca.clone();
    if let Some(file) = &args.ca {
        target.ca = Some(context::read_ca(file)?);
    } else if args.ca_fingerprint.is_some()
        || target.ca.is_none() && target.masters.iter().any(|url| !url.is_plain())
    {
        target.ca = Some(trust(ui, &target.masters, args.ca_fingerprint.as_deref())?);
    }
    let ca = target.ca.clone();
    let client = args.cluster.client_of(target)?;
    client.safe_for("a password")?;
    let user = match &args.user {
        Some(user) => user.clone(),
        None => ask_user(ui)?,
    };
    let password = password::read(ui, args.password_file.as_deref(), "Password")?;
    let label = format!("login from {}", rustix::system::uname().nodename().to_string_lossy());
    let new = block_on(async { Ok(client.login(&user, &password, &label).await) })?.map_err(no_login)?;
    change(&name, |contexts| {
        if let Some(context) = contexts.contexts.get_mut(&name) {
            context.token = Some(Secret::from(new.token.expose_secret()));
            context.ca = ca.or(before);
        }
    })?;
    let role = crate::value::text(&new.about, "role").to_owned();
    let expires = crate::value::text(&new.about, "expires").to_owned();
    let words = format!("logged in to {name} as {user} ({role}), until {expires}\n");
    ui.result(&words, &Event::Done { what: "logged_in", name: &name })?;
    Ok(Exit::Done)
}

/// Revokes the token, and forgets it also when the cluster does not know it any more.
pub(crate) fn log_out(ui: &mut Printer, args: &LogoutArgs) -> Result<Exit, CliError> {
    let (name, target) = named(&args.cluster, args.context.as_deref())?;
    if target.token.is_none() {
        return Err(CliError::usage(format!("you are not logged in to {name}")));
    }
    let client = args.cluster.client_of(target)?;
    match block_on(async { Ok(client.logout().await) })? {
        Ok(()) => {}
        Err(error) if error.status() == Some(401) => {}
        Err(error) => {
            return Err(CliError::from(error).hint(format!(
                "the token is kept, since it still holds; `clusterctl cluster remove {name}` forgets it"
            )));
        }
    }
    change(&name, |contexts| {
        if let Some(context) = contexts.contexts.get_mut(&name) {
            context.token = None;
        }
    })?;
    ui.result(&format!("logged out of {name}\n"), &Event::Done { what: "logged_out", name: &name })?;
    Ok(Exit::Done)
}

/// The context that is meant.
fn named(cluster: &ClusterArgs, context: Option<&str>) -> Result<(String, Target), CliError> {
    if cluster.url().is_some() {
        return Err(CliError::usage("a login is kept with a cluster that has a name, not with a URL")
            .hint("`clusterctl cluster add NAME URL` gives it one, then `clusterctl login NAME`"));
    }
    let path = context::path()?;
    let contexts = Contexts::load(&path)?;
    let name = context.map(str::to_owned).or_else(|| contexts.current.clone()).ok_or_else(|| {
        CliError::usage("no cluster is named, and none is the current one")
            .hint("`clusterctl cluster add NAME URL` adds one")
    })?;
    let target = contexts.target_of(&name, &path)?;
    Ok((name, target))
}

/// The authority that the first master to answer shows, if somebody vouches for its fingerprint.
fn trust(ui: &mut Printer, masters: &[MasterUrl], wanted: Option<&str>) -> Result<String, CliError> {
    let look = async {
        let mut faults = Vec::new();
        for master in masters.iter().filter(|master| !master.is_plain()) {
            let (host, port) = master.host_and_port();
            match tls::claimed_authority(host, port).await {
                Ok(pem) => return Ok(pem),
                Err(error) => faults.push(format!("{master}: {error}")),
            }
        }
        let mut error = CliError::unreachable("no master shows the authority of its certificate");
        error.causes = faults;
        Err(error.hint("`--ca FILE` names the authority's certificate; the install left it in `pki/`"))
    };
    let pem = block_on(look)?;
    let found = tls::fingerprint(&pem)
        .map_err(|cause| CliError::internal("what the master shows is no certificate").caused_by(&cause))?;
    match wanted {
        Some(wanted) if same(wanted, &found) => Ok(pem),
        Some(wanted) => {
            Err(CliError::usage(format!("the masters' authority has the fingerprint {found}, not {wanted}"))
                .hint("somebody else may be answering there; ask whoever installed the cluster"))
        }
        None => {
            ui.hint(&format!("you do not know this cluster's authority yet; its fingerprint is {found}"));
            confirm(ui, false, "Is that what whoever installed the cluster told you?").map_err(
                |mut error| {
                    // There is no `-y` for this: whoever says yes has compared.
                    error.hints.clear();
                    error.hint(format!(
                        "say beforehand what you trust: `--ca FILE` or `--ca-fingerprint {found}`"
                    ))
                },
            )?;
            Ok(pem)
        }
    }
}

/// Fingerprints are compared by their digits.
fn same(one: &str, other: &str) -> bool {
    let digits = |text: &str| {
        let text = text.trim().to_ascii_uppercase();
        let digits: String = text.trim_start_matches("SHA256:").chars().filter(|c| *c != ':').collect();
        digits
    };
    digits(one) == digits(other) && !digits(one).is_empty()
}

fn ask_user(ui: &Printer) -> Result<String, CliError> {
    if ui.is_json() || !io::stdin().is_terminal() {
        return Err(CliError::usage("nobody is here to say who logs in").hint("`--user NAME` says it"));
    }
    dialoguer::Input::new()
        .with_prompt("User")
        .interact_text()
        .map_err(|cause| CliError::interrupted("nobody said who logs in").caused_by(&cause))
}

fn no_login(error: ClientError) -> CliError {
    match error.status() {
        Some(401) => CliError::usage("the name or the password is wrong"),
        Some(404) => CliError::usage("this cluster has no login")
            .hint("a cluster that `clusterctl up` started answers without one"),
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_the_same_however_they_are_written() {
        assert!(
            same("SHA256:AB:CD", "SHA256:AB:CD")
                && same("sha256:abcd", "SHA256:AB:CD")
                && same("ab:cd", "ABCD")
        );
        assert!(!same("SHA256:AB:CE", "SHA256:AB:CD") && !same("", "") && !same("SHA256:", "SHA256:"));
    }
}
