//! What all connections share: known hosts, keys, agent, jump hosts, and how many handshakes there are at once.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use thiserror::Error;
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::{Instant, sleep};

use crate::agent::Agent;
use crate::auth::Login;
use crate::config::{Local, SshConfig};
use crate::connection::{Connection, Stream, greet, open_tcp};
use crate::error::{ConnectError, Phase};
use crate::handler::Expectation;
use crate::jump::{Stop, Usual, route};
use crate::keys::{Keys, Prompt};
use crate::known_hosts::{Entry, FileError, KnownHosts, learn, load};
use crate::session::Session;
use crate::target::{Checking, Target};

/// How often a connection that breaks before anybody logs in is tried.
const MAX_TRIES: u32 = 3;
/// How long a jump host that failed counts as failed: hosts behind it that come a little later need not find out again.
const FAILED_FOR: Duration = Duration::from_secs(10);

/// What a [`Connector`] works with.
#[derive(Clone)]
pub struct Settings {
    /// Files of known hosts. What is learned is added to the first.
    pub known_hosts: Vec<PathBuf>,
    /// The user's configuration; [`SshConfig::load`] reads it.
    pub config: SshConfig,
    /// The home directory, for paths in the configuration.
    pub home: PathBuf,
    /// Who runs this: the user to log in as when nothing says otherwise.
    pub user: String,
    /// The socket of the agent, as `SSH_AUTH_SOCK` names it.
    pub agent: Option<PathBuf>,
    /// Key files that are tried for hosts for which none is named. Those that are not there are left out.
    pub identities: Vec<PathBuf>,
    /// Who is asked for passphrases.
    pub prompt: Option<Arc<dyn Prompt>>,
    /// How many connections may be between their first byte and the end of their login. sshd begins to turn some away
    /// at 10 (`MaxStartups 10:30:100`), and the host that all go through sees all of them.
    pub handshakes: usize,
    /// How long to wait before trying again after a connection broke; twice as long after the second time.
    pub retry_delay: Duration,
}

impl Settings {
    /// What `ssh` would use for a user, but for the agent, the configuration and questions, which the caller adds.
    pub fn for_user(home: &Path, user: &str) -> Self {
        let ssh = home.join(".ssh");
        Self {
            known_hosts: vec![ssh.join("known_hosts"), PathBuf::from("/etc/ssh/ssh_known_hosts")],
            config: SshConfig::default(),
            home: home.to_owned(),
            user: user.to_owned(),
            agent: None,
            identities: ["id_ed25519", "id_ecdsa", "id_rsa"].map(|name| ssh.join(name)).to_vec(),
            prompt: None,
            handshakes: 9,
            retry_delay: Duration::from_millis(300),
        }
    }
}

/// Why there can be no connector.
#[derive(Debug, Error)]
pub enum SetupError {
    /// A file of known hosts cannot be read. It is not taken for an empty one.
    #[error("the known hosts cannot be used")]
    KnownHosts(#[source] FileError),
    /// There is no file to learn into.
    #[error("no file of known hosts is named: name at least the one that new hosts are written to")]
    NoKnownHosts,
}

/// The outcome for a jump host, for all that go through it.
type Outcome = (Instant, Result<Arc<Connection>, ConnectError>);
type Shared = Arc<OnceCell<Outcome>>;

/// Connects to hosts. One is made for a whole run.
pub struct Connector {
    settings: Settings,
    local: Local,
    keys: Keys,
    agent: Agent,
    known: Mutex<HashMap<Vec<PathBuf>, Arc<Vec<KnownHosts>>>>,
    jumps: Mutex<HashMap<Vec<String>, Shared>>,
    handshakes: Semaphore,
}

impl Connector {
    /// Reads the known hosts, so that a file that cannot be used is found before anything is connected to.
    pub fn new(settings: Settings) -> Result<Self, SetupError> {
        if settings.known_hosts.is_empty() {
            return Err(SetupError::NoKnownHosts);
        }
        let files = read_all(&settings.known_hosts).map_err(SetupError::KnownHosts)?;
        Ok(Self {
            local: Local { home: settings.home.clone(), user: settings.user.clone() },
            keys: Keys::new(settings.prompt.clone()),
            agent: Agent::new(settings.agent.clone()),
            known: Mutex::new(HashMap::from([(settings.known_hosts.clone(), Arc::new(files))])),
            jumps: Mutex::default(),
            handshakes: Semaphore::new(settings.handshakes.max(1)),
            settings,
        })
    }

    /// Connects to a host and logs in.
    pub async fn connect(&self, target: &Target) -> Result<Session, ConnectError> {
        let usual = Usual {
            config: &self.settings.config,
            local: &self.local,
            known_hosts: &self.settings.known_hosts,
            identities: &self.settings.identities,
        };
        let stops = route(target, &usual)?;
        let Some((last, way)) = stops.split_last() else {
            return Err(ConnectError::TooManyHops { host: target.host.clone(), limit: 0 });
        };
        let through = self.through(way).await?;
        let connection = self.establish(last, through).await?;
        Ok(Session::remote(target.name.clone(), &last.credentials.user, Arc::new(connection)))
    }

    /// Writes down keys that somebody agreed to. Hosts with them can be connected to then.
    pub async fn learn(&self, entries: Vec<Entry>) -> Result<(), FileError> {
        let Some(path) = self.settings.known_hosts.first().cloned() else { return Ok(()) };
        let place = path.clone();
        let work = tokio::task::spawn_blocking(move || learn(&path, &entries));
        let failed = |error| FileError {
            path: place,
            action: "add to the known hosts",
            source: std::io::Error::other(error),
        };
        work.await.map_err(failed)??;
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clear();
        // What failed for want of a key may work now.
        let mut jumps = self.jumps.lock().unwrap_or_else(PoisonError::into_inner);
        jumps.retain(|_, shared| !matches!(shared.get(), Some((_, Err(_)))));
        Ok(())
    }

    /// The connection to the last of some jump hosts; one for all that go the same way.
    fn through<'a>(
        &'a self,
        way: &'a [Stop],
    ) -> BoxFuture<'a, Result<Option<Arc<Connection>>, ConnectError>> {
        Box::pin(async move {
            let Some((last, before)) = way.split_last() else { return Ok(None) };
            let shared = self.shared(way);
            let make = || async {
                let made = match self.through(before).await {
                    Ok(through) => self.establish(last, through).await.map(Arc::new),
                    Err(error) => Err(error),
                };
                (Instant::now(), made)
            };
            match &shared.get_or_init(make).await.1 {
                Ok(connection) => Ok(Some(Arc::clone(connection))),
                // The first host that failed is the one to name.
                Err(error @ ConnectError::Jump { .. }) => Err(error.clone()),
                Err(error) => Err(ConnectError::Jump { hop: last.label(), source: Arc::new(error.clone()) }),
            }
        })
    }

    /// The place for a way's connection; a new one when the old one has ended, or has failed some time ago.
    fn shared(&self, way: &[Stop]) -> Shared {
        let mut key: Vec<_> = way.iter().map(Stop::label).collect();
        // Hosts that show different keys do not share what only one of them may be let in to.
        key.extend(
            way.iter().flat_map(|stop| &stop.credentials.named).map(|path| path.display().to_string()),
        );
        let mut jumps = self.jumps.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = jumps.entry(key).or_default();
        let spent = match shared.get() {
            Some((_, Ok(connection))) => connection.handle.is_closed(),
            Some((at, Err(_))) => at.elapsed() > FAILED_FOR,
            None => false,
        };
        if spent {
            *shared = Shared::default();
        }
        Arc::clone(shared)
    }

    /// Connects to one host, again where that may help and cannot hurt.
    async fn establish(
        &self,
        stop: &Stop,
        through: Option<Arc<Connection>>,
    ) -> Result<Connection, ConnectError> {
        let mut learned = false;
        let mut tries = 1;
        loop {
            match self.attempt(stop, through.clone()).await {
                Err(ConnectError::UnknownHostKey(unknown))
                    if stop.checking == Checking::AcceptNew && !learned =>
                {
                    self.learn(vec![unknown.entry()])
                        .await
                        .map_err(|error| ConnectError::KnownHosts(Arc::new(error)))?;
                    learned = true;
                }
                Err(error) if error.is_passing() && tries < MAX_TRIES => {
                    tracing::debug!(host = stop.host, %error, tries, "trying again");
                    sleep(jittered(self.settings.retry_delay * tries, random())).await;
                    tries += 1;
                }
                other => return other,
            }
        }
    }

    async fn attempt(
        &self,
        stop: &Stop,
        through: Option<Arc<Connection>>,
    ) -> Result<Connection, ConnectError> {
        let known = self.known(&stop.known_hosts).await?;
        let (host, port, patience) = (&stop.host, stop.port, stop.patience);
        // Hosts that are down take their time here, and must not keep others from their handshakes.
        let stream: Box<dyn Stream> = match &through {
            Some(jump) => Box::new(jump.open_through(host, port, patience).await?),
            None => Box::new(open_tcp(host, port, patience).await?),
        };
        let closed = |_| ConnectError::Dropped {
            host: host.clone(),
            phase: Phase::Tcp,
            reason: "the installer ends".to_owned(),
        };
        let _permit = self.handshakes.acquire().await.map_err(closed)?;
        let expectation = Expectation { host: host.clone(), port, pinned: stop.pinned.clone(), known };
        let mut greeted = greet(stream, expectation, patience).await?;
        let with = (&self.keys, &self.agent);
        let logged_in =
            Login::new(&mut greeted.handle, host, &stop.credentials, with, patience).run().await?;
        // The connection, versions and keys: three answers before the login's own.
        Ok(greeted.logged_in(host.clone(), 3 + logged_in, through))
    }

    async fn known(&self, paths: &[PathBuf]) -> Result<Arc<Vec<KnownHosts>>, ConnectError> {
        let cached = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(paths).cloned();
        if let Some(known) = cached {
            return Ok(known);
        }
        let wanted = paths.to_vec();
        let read = tokio::task::spawn_blocking(move || read_all(&wanted)).await;
        let unreadable = |reason: String| ConnectError::Unreadable {
            path: paths.first().cloned().unwrap_or_default(),
            reason,
        };
        let read = read.map_err(|error| unreadable(error.to_string()))?;
        let known = Arc::new(read.map_err(|error| ConnectError::KnownHosts(Arc::new(error)))?);
        let mut cache = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        cache.insert(paths.to_vec(), Arc::clone(&known));
        Ok(known)
    }
}

fn read_all(paths: &[PathBuf]) -> Result<Vec<KnownHosts>, FileError> {
    let files = paths.iter().map(|path| load(path)).collect::<Result<Vec<_>, _>>()?;
    for file in files.iter().filter(|file| !file.unreadable().is_empty()) {
        tracing::warn!(path = %file.path().display(), lines = ?file.unreadable(), "lines that cannot be read mean nothing");
    }
    Ok(files)
}

/// Between half and one and a half of a delay: hosts that were turned away together do not come back together.
fn jittered(delay: Duration, random: u8) -> Duration {
    delay.mul_f64(0.5 + f64::from(random) / 255.0)
}

fn random() -> u8 {
    let mut byte = [128];
    // Without randomness the delays are merely even.
    let _ = getrandom::fill(&mut byte);
    let [byte] = byte;
    byte
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_spread_around_what_was_asked_for() {
        let delay = Duration::from_millis(100);
        assert_eq!(jittered(delay, 0), delay / 2);
        assert_eq!(jittered(delay, 255), delay * 3 / 2);
    }

    #[test]
    fn known_hosts_that_cannot_be_read_are_an_error_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let mut settings = Settings::for_user(directory.path(), "ada");
        settings.known_hosts = vec![directory.path().to_owned()];
        assert!(matches!(Connector::new(settings.clone()), Err(SetupError::KnownHosts(_))));
        settings.known_hosts.clear();
        assert!(matches!(Connector::new(settings), Err(SetupError::NoKnownHosts)));
    }
}
