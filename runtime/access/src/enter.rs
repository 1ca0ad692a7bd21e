//! Who a caller is, and whether it may do what it asks for.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::marathon::Timestamp;
use axum::http::{HeaderMap, Method};
use identity::{Identity, PeerRole};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use crate::book::{Book, User};
use crate::header::{self, Credential};
use crate::limit::Limits;
use crate::name::UserName;
use crate::password::{Gate, MAX_PASSWORD, PasswordHash};
use crate::refusal::Refusal;
use crate::role::{Caller, Right};
use crate::secret::{RandomError, Sum, random, sum_of};
use crate::table::{Found, look};

/// A password that was right is known for so long without a new check: clients that send one with every request would
/// otherwise cost tens of milliseconds each time.
const REMEMBERED_MS: i64 = 60_000;
/// Of so many users.
const REMEMBERED: usize = 1024;

/// Whether the caller may send this request; `path` as the rooms see it. Pure.
///
/// # Errors
/// 401 when nobody showed who it is, 403 when it is somebody who may not, 404 and 405 for who may read, where no room has such a
/// path or method.
pub fn authorize(caller: &Caller, method: &Method, path: &str) -> Result<(), Refusal> {
    let anyone = *caller == Caller::Anyone;
    let no_credential =
        |wanted: &str| Refusal::NoCredential { wanted: wanted.to_owned(), path: path.to_owned() };
    match look(method, path) {
        Found::Right(right) if caller.may(right) => Ok(()),
        Found::Right(right) if anyone => Err(no_credential(&right.to_string())),
        Found::Right(wanted) => Err(match caller {
            Caller::Peer { identity, admitted: false } if agents_may(identity, wanted) => {
                Refusal::NotAdmitted { name: identity.name().to_owned() }
            }
            caller => Refusal::NotAllowed { who: caller.who(), wanted },
        }),
        Found::Methods(_) | Found::Nothing if anyone => Err(no_credential("a user")),
        Found::Methods(_) | Found::Nothing if !caller.may(Right::View) => {
            Err(Refusal::NotListed { who: caller.who() })
        }
        Found::Methods(allowed) => Err(Refusal::OtherMethod(allowed)),
        Found::Nothing => Err(Refusal::Nothing(path.to_owned())),
    }
}

/// Whether it is only its admission that this agent lacks.
fn agents_may(identity: &Identity, wanted: Right) -> bool {
    identity.role() == PeerRole::Agent
        && Caller::Peer { identity: identity.clone(), admitted: true }.may(wanted)
}

/// Checks credentials against a book.
#[derive(Debug)]
pub(crate) struct Checker {
    cluster: String,
    gate: Gate,
    memory: Arc<Memory>,
}

/// What is remembered between requests.
#[derive(Debug)]
struct Memory {
    limits: Mutex<Limits>,
    right: Mutex<HashMap<UserName, Remembered>>,
    salt: [u8; 32],
    nobody: PasswordHash,
}

#[derive(Debug)]
struct Remembered {
    shown: Sum,
    /// That it was checked against: another password makes it void.
    hash: PasswordHash,
    at: Timestamp,
}

impl Checker {
    /// `nobody` is what is checked for users who have no password.
    pub(crate) fn new(cluster: String, nobody: PasswordHash) -> Result<Self, RandomError> {
        let memory = Memory {
            limits: Mutex::new(Limits::new(std::hash::RandomState::new())),
            right: Mutex::default(),
            salt: random()?,
            nobody,
        };
        Ok(Self { cluster, gate: Gate::new(), memory: Arc::new(memory) })
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.gate
    }

    pub(crate) async fn authenticate(
        &self,
        book: &Book,
        headers: &HeaderMap,
        peer: Option<&Identity>,
        from: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<Caller, Refusal> {
        match (header::read(headers)?, peer) {
            (Some(Credential::Token(token)), _) => by_token(book, &token, now),
            (Some(Credential::Basic { user, password }), _) => {
                let (user, _) = self.by_password(book, &user, password, true, from, now).await?;
                Ok(Caller::User { name: user.name.clone(), role: user.role, token: None })
            }
            (None, Some(identity)) => self.by_certificate(book, identity),
            (None, None) => Ok(Caller::Anyone),
        }
    }

    fn by_certificate(&self, book: &Book, identity: &Identity) -> Result<Caller, Refusal> {
        if identity.cluster() != self.cluster {
            let (found, own) = (identity.cluster().to_owned(), self.cluster.clone());
            return Err(Refusal::OtherCluster { found, own });
        }
        let admitted = identity.role() == PeerRole::Agent && book.admission(identity.name()).is_some();
        Ok(Caller::Peer { identity: identity.clone(), admitted })
    }

    /// The user who has this password, and what of it is kept. A user who is not there costs as much as one who is.
    pub(crate) async fn by_password(
        &self,
        book: &Book,
        name: &str,
        password: SecretString,
        remember: bool,
        from: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<(Arc<User>, PasswordHash), Refusal> {
        let user = name.parse::<UserName>().ok().and_then(|name| book.user(&name).cloned());
        if remember
            && let Some(user) = &user
            && let Some(hash) = self.memory.knows(user, &password, now)
        {
            return Ok((Arc::clone(user), hash));
        }
        // A longer one is nobody's. Something is checked all the same, and found wrong.
        let fits = password.expose_secret().len() <= MAX_PASSWORD;
        let password = if fits { password } else { SecretString::from("") };
        let (memory, name) = (Arc::clone(&self.memory), name.to_owned());
        self.gate.run(from, move || memory.check(user, &name, &password, remember, from, now)).await?
    }
}

impl Memory {
    /// Takes its time. Looks again at what other checks have found out while this one waited for its turn: so no more wrong
    /// passwords get through than the limit and those that are under way at once, and a client's many requests cost one check.
    fn check(
        &self,
        user: Option<Arc<User>>,
        name: &str,
        password: &SecretString,
        remember: bool,
        from: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<(Arc<User>, PasswordHash), Refusal> {
        if remember
            && let Some(user) = &user
            && let Some(hash) = self.knows(user, password, now)
        {
            return Ok((Arc::clone(user), hash));
        }
        if let Some(wait) = lock(&self.limits).wait(name, from, now) {
            return Err(Refusal::TooOften { wait });
        }
        let hash = user.as_ref().and_then(|user| user.password.as_ref());
        let right = hash.unwrap_or(&self.nobody).matches(password)?;
        match (user, right) {
            (Some(user), true) if user.has_password() => {
                let hash = user.password.clone().unwrap_or_else(|| self.nobody.clone());
                if remember {
                    self.remember(&user, &hash, password, now);
                }
                Ok((user, hash))
            }
            _ => {
                lock(&self.limits).failed(name, from, now);
                Err(Refusal::WrongPassword)
            }
        }
    }

    fn knows(&self, user: &User, password: &SecretString, now: Timestamp) -> Option<PasswordHash> {
        let shown = self.sum(&user.name, password);
        let known = lock(&self.right);
        let known = known.get(&user.name)?;
        let age = now.as_millis() - known.at.as_millis();
        let good = (0..REMEMBERED_MS).contains(&age)
            && known.shown == shown
            && user.password.as_ref() == Some(&known.hash);
        good.then(|| known.hash.clone())
    }

    fn remember(&self, user: &User, hash: &PasswordHash, password: &SecretString, now: Timestamp) {
        let shown = self.sum(&user.name, password);
        let mut known = lock(&self.right);
        if known.len() >= REMEMBERED && !known.contains_key(&user.name) {
            known.clear();
        }
        known.insert(user.name.clone(), Remembered { shown, hash: hash.clone(), at: now });
    }

    /// Of no use outside of this process, whose salt it has.
    fn sum(&self, name: &UserName, password: &SecretString) -> Sum {
        // No name has a zero byte in it.
        let parts = [&self.salt, name.as_str().as_bytes(), b"\0", password.expose_secret().as_bytes()];
        let sum = parts.into_iter().fold(Sha256::new(), |sum, part: &[u8]| sum.chain_update(part));
        Sum(sum.finalize().into())
    }
}

fn by_token(book: &Book, token: &SecretString, now: Timestamp) -> Result<Caller, Refusal> {
    let token = book.by_sum(&sum_of(token)).ok_or(Refusal::UnknownToken)?;
    if token.expires <= now {
        return Err(Refusal::Expired);
    }
    let user = book.user(&token.user).ok_or(Refusal::UnknownToken)?;
    Ok(Caller::User { name: user.name.clone(), role: user.role, token: Some(token.id.clone()) })
}

/// What is in these is whole after every statement: a thread that panicked elsewhere has left nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
