//! Logging in: keys that are named, the agent's, the usual files, then the password.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::agent::AgentIdentity;
use russh::keys::{HashAlg, PrivateKeyWithHashAlg, PublicKey};
use russh::{MethodKind, MethodSet};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;

use crate::agent::Agent;
use crate::error::{ConnectError, Phase};
use crate::handler::Handler;
use crate::keys::{Keys, Loaded};

/// How long an agent may take to sign: somebody may have to touch a token or confirm.
const SIGNING: Duration = Duration::from_secs(60);
/// How many questions in a row a server may ask for one password.
const MAX_QUESTIONS: usize = 8;

/// As whom, and with what.
#[derive(Debug, Clone, Default)]
pub(crate) struct Credentials {
    pub(crate) user: String,
    pub(crate) named: Vec<PathBuf>,
    pub(crate) only_named: bool,
    pub(crate) usual: Vec<PathBuf>,
    pub(crate) password: Option<SecretString>,
}

/// What came of one attempt.
enum Attempt {
    In,
    /// Not in; and whether more methods are wanted after this one, which was right.
    Refused {
        remaining: MethodSet,
        partial: bool,
    },
    /// It could not be tried to the end.
    Failed(String),
}

impl From<AuthResult> for Attempt {
    fn from(result: AuthResult) -> Self {
        match result {
            AuthResult::Success => Self::In,
            AuthResult::Failure { remaining_methods, partial_success } => {
                Self::Refused { remaining: remaining_methods, partial: partial_success }
            }
        }
    }
}

/// A login that goes on.
pub(crate) struct Login<'a> {
    pub(crate) handle: &'a mut Handle<Handler>,
    pub(crate) host: &'a str,
    pub(crate) credentials: &'a Credentials,
    pub(crate) keys: &'a Keys,
    pub(crate) agent: &'a Agent,
    pub(crate) patience: Duration,
    tried: Vec<String>,
    shown: HashSet<Vec<u8>>,
    accepts: Option<MethodSet>,
    rsa: Option<Option<HashAlg>>,
    /// What was sent to the server, and waited for.
    pub(crate) round_trips: u64,
}

/// Whether the login is through.
type Step = Result<bool, ConnectError>;

impl<'a> Login<'a> {
    pub(crate) fn new(
        handle: &'a mut Handle<Handler>,
        host: &'a str,
        credentials: &'a Credentials,
        (keys, agent): (&'a Keys, &'a Agent),
        patience: Duration,
    ) -> Self {
        Self {
            handle,
            host,
            credentials,
            keys,
            agent,
            patience,
            tried: Vec::new(),
            shown: HashSet::new(),
            accepts: None,
            rsa: None,
            round_trips: 0,
        }
    }

    /// Tries all there is, in order, until the server is content.
    pub(crate) async fn run(mut self) -> Result<u64, ConnectError> {
        let credentials = self.credentials;
        for path in &credentials.named {
            if self.file(path, true).await? {
                return Ok(self.round_trips);
            }
        }
        if !credentials.only_named {
            if self.agents().await? {
                return Ok(self.round_trips);
            }
            for path in &credentials.usual {
                if self.file(path, false).await? {
                    return Ok(self.round_trips);
                }
            }
        }
        if let Some(password) = &credentials.password
            && (self.password(password).await? || self.interactive(password).await?)
        {
            return Ok(self.round_trips);
        }
        if self.accepts.is_none() {
            // Nothing could be tried. A server may let the user in as it is; if not, it says what it wants.
            let asked = timeout(self.patience, self.handle.authenticate_none(&credentials.user)).await;
            if self.done("no credential", self.answered(asked)?)? {
                return Ok(self.round_trips);
            }
        }
        Err(self.refused())
    }

    /// A key in a file. When the agent holds it, the agent signs: nobody has to be asked for a passphrase then.
    async fn file(&mut self, path: &Path, named: bool) -> Step {
        if !self.takes(MethodKind::PublicKey) {
            return Ok(false);
        }
        if let Some(public) = self.keys.look(path).await
            && let Ok(identities) = self.agent.identities().await
            && let Some(identity) = identities.iter().find(|identity| {
                matches!(identity, AgentIdentity::PublicKey { key, .. } if key.key_data() == public.key_data())
            })
        {
            return self.agent_key(&identity.clone(), &format!("key {}, held by the agent", path.display())).await;
        }
        let key = match self.keys.load(path).await {
            Loaded::Key(key) => key,
            Loaded::Missing => {
                if named {
                    self.tried.push(format!("key {} (not there)", path.display()));
                }
                return Ok(false);
            }
            Loaded::Unusable(reason) => {
                self.tried.push(format!("key {} ({reason})", path.display()));
                return Ok(false);
            }
        };
        let public = key.public_key().clone();
        if !self.is_new(&public) {
            return Ok(false);
        }
        let what = format!("key {} ({})", path.display(), public.fingerprint(HashAlg::Sha256));
        let hash = self.hash_for(&public).await?;
        let key = PrivateKeyWithHashAlg::new(Arc::clone(&key), hash);
        let asked =
            timeout(self.patience, self.handle.authenticate_publickey(&self.credentials.user, key)).await;
        let attempt = self.answered(asked)?;
        self.done(&what, attempt)
    }

    /// All that the agent holds. Certificates are for authorities that are not supported; their plain keys are tried.
    async fn agents(&mut self) -> Step {
        let identities = match self.agent.identities().await {
            Ok(identities) => identities.to_vec(),
            Err(reason) => {
                self.tried.push(format!("agent ({reason})"));
                return Ok(false);
            }
        };
        for identity in identities {
            let comment: String = identity.comment().chars().filter(|c| !c.is_control()).take(80).collect();
            if self.takes(MethodKind::PublicKey)
                && self.agent_key(&identity, &format!("agent's key {comment}")).await?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn agent_key(&mut self, identity: &AgentIdentity, what: &str) -> Step {
        let public = identity.public_key().into_owned();
        if !self.is_new(&public) {
            return Ok(false);
        }
        let what = format!("{what} ({})", public.fingerprint(HashAlg::Sha256));
        let binding = self.handle.agent_session_binding().cloned();
        let mut client = match self.agent.connect(binding.as_ref()).await {
            Ok(Some(client)) => client,
            Ok(None) => return Ok(false),
            Err(reason) => return self.done(&what, Attempt::Failed(reason)),
        };
        let hash = self.hash_for(&public).await?;
        let user = &self.credentials.user;
        let signing = self.handle.authenticate_publickey_with(user, public, hash, &mut client);
        let attempt = match timeout(self.patience.max(SIGNING), signing).await {
            Ok(Ok(result)) => result.into(),
            Ok(Err(error)) => Attempt::Failed(format!("the agent does not sign: {error}")),
            Err(_) => return Err(self.late()),
        };
        self.done(&what, attempt)
    }

    async fn password(&mut self, password: &SecretString) -> Step {
        if !self.takes(MethodKind::Password) {
            return Ok(false);
        }
        let user = &self.credentials.user;
        let asked =
            timeout(self.patience, self.handle.authenticate_password(user, password.expose_secret())).await;
        let attempt = self.answered(asked)?;
        self.done("password", attempt)
    }

    /// The same password, to a server that asks for it in its own words. Only a single hidden question is answered.
    async fn interactive(&mut self, password: &SecretString) -> Step {
        if !self.takes(MethodKind::KeyboardInteractive) {
            return Ok(false);
        }
        let user = &self.credentials.user;
        let start = self.handle.authenticate_keyboard_interactive_start(user, None);
        let mut answer = timeout(self.patience, start).await;
        let mut given = false;
        for _ in 0..MAX_QUESTIONS {
            self.round_trips += 1;
            let prompts = match answer.map_err(|_elapsed| self.late())? {
                Ok(KeyboardInteractiveAuthResponse::Success) => {
                    return self.done("keyboard-interactive", Attempt::In);
                }
                Ok(KeyboardInteractiveAuthResponse::Failure { remaining_methods, partial_success }) => {
                    let attempt = Attempt::Refused { remaining: remaining_methods, partial: partial_success };
                    return self.done("keyboard-interactive", attempt);
                }
                Ok(KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. }) => prompts,
                Err(error) => return self.done("keyboard-interactive", Attempt::Failed(error.to_string())),
            };
            let responses = match prompts.as_slice() {
                [] => Vec::new(),
                [one] if !one.echo && !given => {
                    given = true;
                    vec![password.expose_secret().to_owned()]
                }
                _ => {
                    let reason = "the server asks for more than a password".to_owned();
                    return self.done("keyboard-interactive", Attempt::Failed(reason));
                }
            };
            answer = timeout(self.patience, self.handle.authenticate_keyboard_interactive_respond(responses))
                .await;
        }
        self.done("keyboard-interactive", Attempt::Failed("the server does not stop asking".to_owned()))
    }

    /// RSA keys sign with the best hash that the server says it takes, and never with SHA-1.
    async fn hash_for(&mut self, key: &PublicKey) -> Result<Option<HashAlg>, ConnectError> {
        if !key.algorithm().is_rsa() {
            return Ok(None);
        }
        if self.rsa.is_none() {
            let best = timeout(self.patience, self.handle.best_supported_rsa_hash()).await;
            let best = best.map_err(|_elapsed| self.late())?.ok().flatten().flatten();
            self.rsa = Some(best);
        }
        Ok(self.rsa.flatten().or(Some(HashAlg::Sha512)))
    }

    fn is_new(&mut self, key: &PublicKey) -> bool {
        key.to_bytes().is_ok_and(|bytes| self.shown.insert(bytes))
    }

    fn takes(&self, method: MethodKind) -> bool {
        self.accepts.as_ref().is_none_or(|methods| methods.contains(&method))
    }

    fn answered<E: std::fmt::Display>(
        &self,
        answer: Result<Result<AuthResult, E>, tokio::time::error::Elapsed>,
    ) -> Result<Attempt, ConnectError> {
        let answer = answer.map_err(|_elapsed| self.late())?;
        Ok(answer.map_or_else(|error| Attempt::Failed(error.to_string()), Attempt::from))
    }

    fn done(&mut self, what: &str, attempt: Attempt) -> Step {
        // A key is shown first, and signed with when the server would take it.
        self.round_trips += 2;
        match attempt {
            Attempt::In => return Ok(true),
            Attempt::Refused { remaining, partial } => {
                self.tried.push(if partial {
                    format!("{what} (right, but more is wanted)")
                } else {
                    what.to_owned()
                });
                // An empty answer is what is left of a connection that ended, and says nothing about methods.
                if !remaining.is_empty() {
                    self.accepts = Some(remaining);
                }
            }
            Attempt::Failed(reason) => self.tried.push(format!("{what} ({reason})")),
        }
        if self.handle.is_closed() { Err(self.refused()) } else { Ok(false) }
    }

    fn late(&self) -> ConnectError {
        ConnectError::TimedOut { host: self.host.to_owned(), phase: Phase::Auth, after: self.patience }
    }

    fn refused(&mut self) -> ConnectError {
        let mut tried = std::mem::take(&mut self.tried);
        if self.handle.is_closed() {
            tried.push("then the server ended the connection".to_owned());
        }
        let methods = self.accepts.iter().flat_map(|methods| methods.iter());
        ConnectError::AuthRefused {
            host: self.host.to_owned(),
            user: self.credentials.user.clone(),
            tried,
            accepts: methods.map(|method| <&str>::from(method).to_owned()).collect(),
        }
    }
}
