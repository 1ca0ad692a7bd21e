//! From the flags of a command to a client, and from a client's faults to what the user gets to read.

use std::time::Duration;

use api::client::{Client, ClientError, Refusal};
use clap::Args;

use crate::context;
use crate::error::CliError;
use crate::text;

/// Which cluster a command speaks to.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Cluster options")]
pub(crate) struct ClusterArgs {
    /// The URL of a master, or several with commas between them [env: CLUSTERCTL_URL]
    ///
    /// Without it, the current context of `clusterctl cluster list`, or else http://127.0.0.1:5050.
    #[arg(long, global = true, value_name = "URL")]
    url: Option<String>,

    /// How long one request may take, like 500ms or 2m
    #[arg(long, global = true, value_name = "TIME", default_value = "30s", value_parser = text::duration)]
    request_timeout: Duration,
}

impl ClusterArgs {
    /// A client of that cluster. No connection is made yet.
    pub(crate) fn client(&self) -> Result<Client, CliError> {
        let masters = context::masters(self.url.as_deref())?;
        tracing::debug!(masters = ?masters.iter().map(ToString::to_string).collect::<Vec<_>>(), "the cluster");
        Ok(Client::new(masters, self.request_timeout)?)
    }
}

/// Carries out what waits for a network, on this thread.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::internal("cannot start the runtime").caused_by(&error))?
        .block_on(work)
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> Self {
        let message = error.to_string();
        match error {
            ClientError::BadUrl { .. } => Self::usage(message),
            ClientError::CannotConnect { tried } => {
                let mut shown = Self::unreachable("cannot reach the cluster");
                shown.causes = tried.iter().map(|(url, reason)| format!("{url}: {reason}")).collect();
                shown
                    .hint("is it running? `clusterctl up` starts a cluster on this machine")
                    .hint("`--url` or CLUSTERCTL_URL names another one; `clusterctl cluster list` shows those you know")
            }
            ClientError::Timeout { .. } => {
                Self::unreachable(message).hint("`--request-timeout` gives it more time")
            }
            ClientError::Broken { .. } => {
                Self::unreachable(message).hint("the master may have stopped or changed; try again")
            }
            ClientError::Refused(refusal) => refused(&refusal),
            ClientError::BadAnswer { .. } => {
                Self::internal(message).hint("is this URL a master of clusterctl? `--url` names another one")
            }
            ClientError::Setup { .. } | ClientError::TooLarge { .. } => Self::internal(message),
            ClientError::Write { source } => Self::internal(message).caused_by(&source),
        }
    }
}

fn refused(refusal: &Refusal) -> CliError {
    let mut shown = match refusal.status {
        // The server goes on with what to do over HTTP.
        409 if !refusal.deployments.is_empty() => {
            CliError::locked(refusal.message.split(" Override with").next().unwrap_or_default())
        }
        400 | 403..=499 => CliError::usage(&refusal.message),
        502..=504 => CliError::unreachable(&refusal.message),
        401 => CliError::usage(format!("the cluster wants to know who you are: {}", refusal.message)),
        _ => CliError::internal(&refusal.message),
    };
    for mistake in &refusal.mistakes {
        let errors = mistake.errors.join("; ");
        let cause = if mistake.path.is_empty() { errors } else { format!("{}: {errors}", mistake.path) };
        shown.causes.push(cause);
    }
    shown.causes.extend(refusal.deployments.iter().map(|id| format!("deployment {id} is not done")));
    match refusal.status {
        409 if !refusal.deployments.is_empty() => shown.hint(
            "`--force` puts this change in its place; `clusterctl service wait ID` waits until it is done",
        ),
        502..=504 => shown.hint("the cluster may be choosing its leader; try again"),
        500 => shown.hint(format!("the master's log says more about `{}`", refusal.request)),
        _ => shown,
    }
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;
    use api::client::Mistake;

    use super::*;
    use crate::exit::Exit;

    fn shown(error: ClientError) -> (Exit, String) {
        let error = CliError::from(error);
        (error.exit(), strip_str(&error.styled()).to_string())
    }

    fn refusal(status: u16, message: &str) -> Refusal {
        Refusal {
            request: "PUT http://m:5050/v2/apps/web".to_owned(),
            status,
            message: message.to_owned(),
            mistakes: Vec::new(),
            deployments: Vec::new(),
        }
    }

    #[test]
    fn a_cluster_that_is_not_there_says_what_to_start() {
        let (exit, text) = shown(ClientError::CannotConnect {
            tried: vec![("http://127.0.0.1:5050".to_owned(), "Connection refused (os error 111)".to_owned())],
        });
        assert_eq!(exit, Exit::HostsUnreachable);
        insta::assert_snapshot!(text, @r"
        error: cannot reach the cluster
          caused by: http://127.0.0.1:5050: Connection refused (os error 111)
        hint: is it running? `clusterctl up` starts a cluster on this machine
        hint: `--url` or CLUSTERCTL_URL names another one; `clusterctl cluster list` shows those you know
        ");
    }

    #[test]
    fn every_mistake_of_a_definition_is_shown() {
        let mut refusal = refusal(422, "Object is not valid");
        refusal.mistakes = (1..=5)
            .map(|number| Mistake { path: format!("/path{number}"), errors: vec!["is wrong".to_owned()] })
            .collect();
        let (exit, text) = shown(ClientError::Refused(Box::new(refusal)));
        assert_eq!(exit, Exit::WrongUsage);
        insta::assert_snapshot!(text, @r"
        error: Object is not valid
          caused by: /path1: is wrong
          caused by: /path2: is wrong
          caused by: /path3: is wrong
          caused by: /path4: is wrong
          caused by: /path5: is wrong
        ");
    }

    #[test]
    fn a_locked_service_names_the_deployment() {
        let mut refusal = refusal(
            409,
            "App is locked by one or more deployments. Override with the option '?force=true'. View details at \
             '/v2/deployments/<DEPLOYMENT_ID>'.",
        );
        refusal.deployments = vec!["3f0c8a52".to_owned()];
        let (exit, text) = shown(ClientError::Refused(Box::new(refusal)));
        assert_eq!(exit, Exit::Locked);
        insta::assert_snapshot!(text, @r"
        error: App is locked by one or more deployments.
          caused by: deployment 3f0c8a52 is not done
        hint: `--force` puts this change in its place; `clusterctl service wait ID` waits until it is done
        ");
    }
}
