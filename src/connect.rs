//! From the flags of a command to a client, and from a client's faults to what the user gets to read.

use std::time::{Duration, SystemTime};

use api::client::{Client, ClientError, Credentials, Refusal};
use clap::Args;
use secrecy::SecretString;

use crate::context::{self, Target};
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
        self.client_of(context::target(self.url.as_deref())?)
    }

    /// A client of this cluster, with what is known of it.
    pub(crate) fn client_of(&self, target: Target) -> Result<Client, CliError> {
        let Target { masters, ca, token } = target;
        tracing::debug!(masters = ?masters.iter().map(ToString::to_string).collect::<Vec<_>>(), "the cluster");
        let dialler =
            ca.map(|ca| tls::Authority { ca: &ca, own: None }.dialler(SystemTime::now())).transpose();
        let dialler = dialler.map_err(|cause| {
            CliError::usage("what is known of the cluster's authority is no certificate")
                .caused_by(&cause)
                .hint("`clusterctl login --ca FILE` writes it anew")
        })?;
        let token = token.map(|token| SecretString::from(token.expose().to_owned()));
        Ok(Client::with(masters, self.request_timeout, Credentials { dialler, token })?)
    }

    /// The flag's masters.
    pub(crate) fn url(&self) -> Option<&str> {
        self.url.as_deref()
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
            ClientError::Clear { .. } => Self::usage(message).hint("name its masters with https://"),
            ClientError::CannotConnect { tried } => {
                let mut shown = Self::unreachable("cannot reach the cluster");
                shown.causes = tried.iter().map(|(url, reason)| format!("{url}: {reason}")).collect();
                if let Some(hint) = tried.iter().find_map(|(_, reason)| about_certificate(reason)) {
                    return shown.hint(hint);
                }
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
            ClientError::Write { source } | ClientError::Read { source } => {
                Self::internal(message).caused_by(&source)
            }
        }
    }
}

/// What to do about a certificate that was not believed.
fn about_certificate(reason: &str) -> Option<&'static str> {
    let about = reason.split_once("invalid peer certificate").map(|(_, about)| about)?;
    Some(if about.contains("xpired") {
        "the master's certificate has ended; `clusterctl install` renews it"
    } else if about.contains("not valid for") || about.contains("NotValidForName") {
        "the master's certificate is for other names and addresses; name the master as the inventory does"
    } else if about.contains("UnknownIssuer") {
        "its authority is not the one that you trust; `clusterctl login` shows its fingerprint, `--ca FILE` takes one that you have"
    } else {
        "somebody else than a master of your cluster answers there"
    })
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
        401 => shown.hint("`clusterctl login` logs you in; CLUSTERCTL_TOKEN gives a token"),
        403 => shown.hint("an administrator gives rights; `clusterctl user list` shows who has which"),
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
            body: serde_json::Value::Null,
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
    fn a_certificate_that_is_not_believed_says_what_to_do() {
        for (reason, hint) in [
            ("invalid peer certificate: UnknownIssuer", "clusterctl login"),
            (
                "invalid peer certificate: certificate expired: verification time 2 (UNIX)",
                "clusterctl install",
            ),
            ("invalid peer certificate: certificate not valid for name \"m9\"", "inventory"),
            ("invalid peer certificate: clusterctl://prod/agent/a1 is no master", "somebody else"),
        ] {
            let tried = vec![("https://m1:5050".to_owned(), reason.to_owned())];
            let error = CliError::from(ClientError::CannotConnect { tried });
            assert!(error.hints[0].contains(hint), "{reason}: {:?}", error.hints);
        }
        assert_eq!(about_certificate("Connection refused"), None);
    }

    #[test]
    fn whoever_is_not_known_is_told_to_log_in() {
        let (exit, text) = shown(ClientError::Refused(Box::new(refusal(401, "the token has expired"))));
        assert_eq!(exit, Exit::WrongUsage);
        insta::assert_snapshot!(text, @r"
        error: the cluster wants to know who you are: the token has expired
        hint: `clusterctl login` logs you in; CLUSTERCTL_TOKEN gives a token
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
