//! What an install asks of the cluster itself, over its API and with the operator's certificate. I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime};

use identity::{Identity, PeerRole};
use pki::{Ca, Draw, Request};
use reqwest::{Method, StatusCode};
use secrecy::SecretString;
use serde_json::{Value, json};
use thiserror::Error;

/// One request.
const REQUEST: Duration = Duration::from_secs(10);
/// A connection that is not there by then does not come.
const CONNECT: Duration = Duration::from_secs(3);
/// Between two questions to a cluster that is not there yet: quick first, then less so.
const ASK_AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));
/// How long the operator's token lasts, in seconds: as long as a certificate.
const TOKEN_SECONDS: u64 = 365 * 86_400;
/// The user that an install makes for the operator.
pub const ADMIN: &str = "admin";

/// Why the cluster did not do what it was asked.
#[derive(Debug, Error)]
pub enum ControlError {
    /// A certificate for the operator cannot be made.
    #[error("cannot make the operator's certificate")]
    Certificate(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// There is no way to it.
    #[error("the master at {url} does not answer")]
    Unreachable {
        /// Where.
        url: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// It said no.
    #[error("the master at {url} answers {status}: {message}")]
    Refused {
        /// Where.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What it says.
        message: String,
    },
    /// It takes too long.
    #[error("{what} within {} s", .after.as_secs())]
    TooLong {
        /// What did not happen.
        what: String,
        /// How long was waited.
        after: Duration,
    },
}

/// A client of the cluster.
#[derive(Debug)]
pub struct Control {
    http: reqwest::Client,
    masters: Vec<String>,
}

/// An agent as the cluster sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Like `active`.
    pub state: String,
}

impl Control {
    /// With a certificate made for this run alone; nothing is sent yet. `masters` are `https://…` as this machine reaches them.
    ///
    /// # Errors
    /// When no certificate can be made.
    pub fn new(ca: &Ca, masters: Vec<String>, now: SystemTime) -> Result<Self, ControlError> {
        let failed = |error: &dyn std::fmt::Display| ControlError::Certificate(error.to_string().into());
        let own = Identity::new(ca.cluster(), PeerRole::Admin, "operator").map_err(|e| failed(&e))?;
        let draw = Draw::new().map_err(|e| failed(&e))?;
        let leaf = ca.issue(&Request::new(own), now, draw).map_err(|e| failed(&e))?;
        let authority = tls::Authority { ca: ca.certificate(), own: Some((&leaf.certificate, &leaf.key)) };
        let dialler = authority.dialler(now).map_err(|e| failed(&e))?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(dialler.config())
            .connect_timeout(CONNECT)
            .timeout(REQUEST)
            // All masters are asked anyway, and a leader's own address may be one that is not reached from here.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|e| failed(&e))?;
        Ok(Self { http, masters })
    }

    /// The same client, for this master alone.
    #[must_use]
    pub fn at(&self, master: String) -> Self {
        Self { http: self.http.clone(), masters: vec![master] }
    }

    /// Asks the masters in turn until one answers; a follower that does not ask the leader itself is passed over.
    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, ControlError> {
        let mut last = None;
        for master in &self.masters {
            let url = format!("{master}{path}");
            let mut request = self.http.request(method.clone(), &url);
            if let Some(body) = body {
                request = request.json(body);
            }
            let unreachable = |source| ControlError::Unreachable { url: master.clone(), source };
            let answer = match request.send().await {
                Ok(answer) => answer,
                Err(error) => {
                    last = Some(unreachable(error));
                    continue;
                }
            };
            let status = answer.status();
            let bytes = answer.bytes().await.map_err(unreachable)?;
            let value: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
            if status.is_success() {
                return Ok(value);
            }
            let message =
                value.get("message").and_then(Value::as_str).unwrap_or("no reason given").to_owned();
            let refused = ControlError::Refused { url: master.clone(), status: status.as_u16(), message };
            let asks_others =
                [StatusCode::SERVICE_UNAVAILABLE, StatusCode::BAD_GATEWAY, StatusCode::GATEWAY_TIMEOUT];
            if !asks_others.contains(&status) && !status.is_redirection() {
                return Err(refused);
            }
            last = Some(refused);
        }
        Err(last.unwrap_or_else(|| ControlError::TooLong {
            what: "no master is named".to_owned(),
            after: Duration::ZERO,
        }))
    }

    /// Agents that the cluster knows, by name.
    ///
    /// # Errors
    /// When it does not say.
    pub async fn agents(&self) -> Result<BTreeMap<String, Seen>, ControlError> {
        let cluster = self.call(Method::GET, "/clusterctl/v1/cluster", None).await?;
        let text =
            |agent: &Value, key: &str| agent.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let agents = cluster.get("agents").and_then(Value::as_array).cloned().unwrap_or_default();
        // A name may be there twice, when an agent lost its disk: the one that is active counts.
        let mut all: BTreeMap<String, Seen> = BTreeMap::new();
        for agent in &agents {
            let (name, state) = (text(agent, "name"), text(agent, "state"));
            let seen = all.entry(name).or_insert_with(|| Seen { state: state.clone() });
            if state == "active" {
                seen.state = state;
            }
        }
        Ok(all)
    }

    /// Waits until a master leads.
    ///
    /// # Errors
    /// When none does in time; with what was the matter last.
    pub async fn leader(&self, within: Duration) -> Result<(), ControlError> {
        self.until(within, || async {
            let known = self.agents().await?;
            Ok((known, true))
        })
        .await
        .map(|_| ())
    }

    /// Waits until these agents are active; answers those that are not in time.
    ///
    /// # Errors
    /// When the cluster does not answer any more.
    pub async fn registered(
        &self,
        names: &BTreeSet<String>,
        within: Duration,
        mut progress: impl FnMut(usize),
    ) -> Result<BTreeSet<String>, ControlError> {
        let missing = |known: &BTreeMap<String, Seen>| -> BTreeSet<String> {
            let active = |name: &&String| known.get(*name).is_some_and(|seen| seen.state == "active");
            names.iter().filter(|name| !active(name)).cloned().collect()
        };
        let waited = self
            .until(within, || async {
                let missing = missing(&self.agents().await?);
                let all = missing.is_empty();
                Ok((missing, all))
            })
            .await;
        match waited {
            Ok(missing) => {
                progress(names.len() - missing.len());
                Ok(missing)
            }
            Err(ControlError::TooLong { .. }) => Ok(missing(&self.agents().await?)),
            Err(error) => Err(error),
        }
    }

    /// Asks again and again, until the answer is the one that is waited for.
    async fn until<T, F>(&self, within: Duration, ask: impl Fn() -> F) -> Result<T, ControlError>
    where
        F: Future<Output = Result<(T, bool), ControlError>>,
    {
        let began = Instant::now();
        let mut pause = ASK_AGAIN.0;
        loop {
            let error = match ask().await {
                Ok((answer, true)) => return Ok(answer),
                Ok((_, false)) => {
                    ControlError::TooLong { what: "it did not come to it".to_owned(), after: within }
                }
                // Who we are will not change by waiting.
                Err(error @ ControlError::Refused { status: 401 | 403, .. }) => return Err(error),
                Err(error) => error,
            };
            if began.elapsed() + pause > within {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(ASK_AGAIN.1);
        }
    }

    /// Agents that are let in, by name.
    ///
    /// # Errors
    /// When the cluster does not say.
    pub async fn admitted(&self) -> Result<BTreeSet<String>, ControlError> {
        let admitted = self.call(Method::GET, "/clusterctl/v1/admissions", None).await?;
        let all = admitted.get("admissions").and_then(Value::as_array).into_iter().flatten();
        Ok(all.filter_map(|admission| Some(admission.get("name")?.as_str()?.to_owned())).collect())
    }

    /// Lets these agents in.
    ///
    /// # Errors
    /// When the cluster refuses.
    pub async fn admit(&self, names: &BTreeSet<String>) -> Result<(), ControlError> {
        for name in names {
            // Names of hosts are plain: letters, digits, `-`, `_` and `.`.
            self.call(Method::PUT, &format!("/clusterctl/v1/admissions/{name}"), Some(&json!({}))).await?;
        }
        Ok(())
    }

    /// Makes the operator's user, if need be, and a token for it.
    ///
    /// # Errors
    /// When the cluster refuses.
    pub async fn token(&self, label: &str) -> Result<SecretString, ControlError> {
        self.call(Method::PUT, &format!("/clusterctl/v1/users/{ADMIN}"), Some(&json!({"role": "admin"})))
            .await?;
        let wanted = json!({"user": ADMIN, "label": label, "lifetime_seconds": TOKEN_SECONDS});
        let made = self.call(Method::POST, "/clusterctl/v1/tokens", Some(&wanted)).await?;
        match made.get("token").and_then(Value::as_str) {
            Some(token) => Ok(SecretString::from(token.to_owned())),
            None => Err(ControlError::Refused {
                url: self.masters.first().cloned().unwrap_or_default(),
                status: 201,
                message: "the answer has no token in it".to_owned(),
            }),
        }
    }
}
