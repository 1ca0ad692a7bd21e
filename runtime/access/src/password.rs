//! Passwords: argon2id, off the async threads, few at once.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use argon2::{Algorithm, Argon2, Params, Version};
use secrecy::{ExposeSecret as _, SecretString};
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::limit::network;
use crate::secret::{RandomError, Sum, random};

/// The shortest password that is taken.
pub const MIN_PASSWORD: usize = 8;
/// The longest, in bytes.
pub const MAX_PASSWORD: usize = 1024;
/// Each check takes 19 MiB and a core for tens of milliseconds: two at once leave the rest of a small machine to its work.
const AT_ONCE: usize = 2;
/// So many more may wait; who comes then is told to come again.
const WAITING: usize = 32;
/// Of these places nobody has more than so many; as many as may wait wait for them outside.
const OF_ONE: usize = 4;
/// And so long.
const WAIT: Duration = Duration::from_secs(10);

/// What one check costs. The default is what OWASP asks for at least: 19 MiB, two passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
}

/// More memory than this is no cost that we wrote: a damaged record must not take all there is.
const MAX_MEMORY_KIB: u32 = 256 * 1024;
const MAX_PASSES: u32 = 16;

impl Default for Cost {
    fn default() -> Self {
        Self { memory_kib: Params::DEFAULT_M_COST, passes: Params::DEFAULT_T_COST }
    }
}

/// Why a password was not hashed or checked.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum PasswordError {
    /// Too many passwords are being checked.
    #[error("too many passwords are being checked at once; try again in a moment")]
    Busy,
    /// Nothing can be made of the costs.
    #[error("argon2id cannot work with {memory_kib} KiB and {passes} passes")]
    Cost {
        /// Memory.
        memory_kib: u32,
        /// Passes.
        passes: u32,
    },
    /// No salt.
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// What is kept of a password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PasswordHash {
    pub(crate) cost: Cost,
    pub(crate) salt: [u8; 16],
    pub(crate) sum: Sum,
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl PasswordHash {
    /// Takes its time: not for async threads.
    pub(crate) fn new(password: &SecretString, cost: Cost) -> Result<Self, PasswordError> {
        let salt = random()?;
        Ok(Self { cost, salt, sum: derive(password, cost, salt)? })
    }

    /// A hash that no password has: what is checked for a user who has none, so that the answer takes as long.
    pub(crate) fn of_nobody(cost: Cost) -> Result<Self, PasswordError> {
        Ok(Self { cost, salt: random()?, sum: Sum(random()?) })
    }

    /// Takes its time: not for async threads.
    pub(crate) fn matches(&self, password: &SecretString) -> Result<bool, PasswordError> {
        Ok(derive(password, self.cost, self.salt)? == self.sum)
    }
}

fn derive(password: &SecretString, cost: Cost, salt: [u8; 16]) -> Result<Sum, PasswordError> {
    let Cost { memory_kib, passes } = cost;
    let wrong = || PasswordError::Cost { memory_kib, passes };
    if memory_kib > MAX_MEMORY_KIB || passes > MAX_PASSES {
        return Err(wrong());
    }
    let params = Params::new(memory_kib, passes, 1, Some(32)).map_err(|_faulty| wrong())?;
    let mut sum = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password.expose_secret().as_bytes(), &salt, &mut sum)
        .map_err(|_faulty| wrong())?;
    Ok(Sum(sum))
}

/// Lets a few pieces of heavy work through at once, off the async threads; a few more wait, and the rest is sent away.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
    guests: Arc<Mutex<HashMap<IpAddr, Guest>>>,
}

/// Those of one network.
#[derive(Debug)]
struct Guest {
    places: Arc<Semaphore>,
    count: usize,
}

/// One of them, as long as this is kept.
struct Visit {
    guests: Arc<Mutex<HashMap<IpAddr, Guest>>>,
    from: IpAddr,
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut guests = self.guests.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(guest) = guests.get_mut(&self.from) {
            guest.count -= 1;
            if guest.count == 0 {
                guests.remove(&self.from);
            }
        }
    }
}

/// What whoever works holds.
type Passed = (OwnedSemaphorePermit, OwnedSemaphorePermit, Option<(OwnedSemaphorePermit, Visit)>);

impl Gate {
    pub(crate) fn new() -> Self {
        let (places, turns) = (Semaphore::new(AT_ONCE + WAITING), Semaphore::new(AT_ONCE));
        Self { places: Arc::new(places), turns: Arc::new(turns), guests: Arc::default() }
    }

    /// Lets in whoever comes from there, or anybody trusted when that is nowhere.
    async fn pass(&self, from: Option<IpAddr>) -> Result<Passed, PasswordError> {
        let visit = match from {
            Some(from) => Some(self.visit(network(from)).await?),
            None => None,
        };
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_full| PasswordError::Busy)?;
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_closed| PasswordError::Busy)?;
        Ok((turn, place, visit))
    }

    async fn visit(&self, from: IpAddr) -> Result<(OwnedSemaphorePermit, Visit), PasswordError> {
        let (places, visit) = {
            let mut guests = self.guests.lock().unwrap_or_else(PoisonError::into_inner);
            let new = || Guest { places: Arc::new(Semaphore::new(OF_ONE)), count: 0 };
            let guest = guests.entry(from).or_insert_with(new);
            if guest.count >= OF_ONE + WAITING {
                return Err(PasswordError::Busy);
            }
            guest.count += 1;
            (Arc::clone(&guest.places), Visit { guests: Arc::clone(&self.guests), from })
        };
        let place = places.acquire_owned().await.map_err(|_closed| PasswordError::Busy)?;
        Ok((place, visit))
    }

    /// Does it when its turn comes, for whoever comes from there. It holds its turn to its end also when nobody waits for its result any more.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        from: Option<IpAddr>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PasswordError> {
        let passed = timeout(WAIT, self.pass(from)).await.map_err(|_elapsed| PasswordError::Busy)??;
        let done = tokio::task::spawn_blocking(move || {
            let result = work();
            drop(passed);
            result
        });
        done.await.map_err(|error| {
            tracing::error!(%error, "a check of a password ended without a result");
            PasswordError::Busy
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    const CHEAP: Cost = Cost { memory_kib: 8, passes: 1 };

    #[test]
    fn only_the_password_matches_and_two_hashes_of_it_differ() {
        let password = SecretString::from("correct horse");
        let hash = PasswordHash::new(&password, CHEAP).unwrap();
        assert!(hash.matches(&password).unwrap());
        assert!(!hash.matches(&SecretString::from("correct horsf")).unwrap());
        assert!(hash != PasswordHash::new(&password, CHEAP).unwrap());
        assert!(!PasswordHash::of_nobody(CHEAP).unwrap().matches(&password).unwrap());
        assert_eq!(format!("{hash:?}"), "***");
    }

    #[test]
    fn the_default_cost_works_and_absurd_ones_are_refused() {
        let password = SecretString::from("correct horse");
        assert!(PasswordHash::new(&password, Cost::default()).unwrap().matches(&password).unwrap());
        for cost in [
            Cost { memory_kib: u32::MAX, passes: 1 },
            Cost { memory_kib: 8, passes: u32::MAX },
            Cost { memory_kib: 8, passes: 0 },
            Cost { memory_kib: 1, passes: 1 },
        ] {
            assert!(
                matches!(PasswordHash::new(&password, cost), Err(PasswordError::Cost { .. })),
                "{cost:?}"
            );
        }
    }

    #[tokio::test]
    async fn two_work_some_wait_and_the_rest_is_sent_away() {
        let gate = Gate::new();
        let (started, starts) = mpsc::channel();
        let busy = Arc::new(AtomicUsize::new(0));
        let most = Arc::new(AtomicUsize::new(0));
        let mut ends = Vec::new();
        let mut running = Vec::new();
        for _ in 0..AT_ONCE + WAITING {
            let (gate, started, busy, most) = (gate.clone(), started.clone(), busy.clone(), most.clone());
            let (end, ended) = mpsc::channel::<()>();
            ends.push(end);
            running.push(tokio::spawn(async move {
                let work = move || {
                    most.fetch_max(busy.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    let _ = started.send(());
                    let _ = ended.recv();
                    busy.fetch_sub(1, Ordering::SeqCst);
                };
                gate.run(None, work).await
            }));
        }
        // All have their place once each was polled, which one turn of this thread's queue does.
        while gate.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(matches!(gate.run(None, || ()).await, Err(PasswordError::Busy)));
        for end in ends {
            drop(end);
        }
        for work in running {
            work.await.unwrap().unwrap();
        }
        drop(started);
        assert_eq!(starts.iter().count(), AT_ONCE + WAITING);
        assert!(most.load(Ordering::SeqCst) <= AT_ONCE);
        assert!(gate.run(None, || ()).await.is_ok());
    }

    #[tokio::test]
    async fn nobody_takes_all_places_alone() {
        let gate = Gate::new();
        let (end, ended) = mpsc::channel::<()>();
        let ended = Arc::new(Mutex::new(ended));
        let (here, there) = ("192.0.2.66".parse().unwrap(), "192.0.2.1".parse().unwrap());
        let work = |from: IpAddr| {
            let (gate, ended) = (gate.clone(), Arc::clone(&ended));
            tokio::spawn(async move {
                let wait = move || {
                    let _ = ended.lock().unwrap_or_else(PoisonError::into_inner).recv();
                };
                gate.run(Some(from), wait).await
            })
        };
        let mut running: Vec<_> = (0..OF_ONE + WAITING).map(|_| work(here)).collect();
        let free = || gate.places.available_permits();
        while gate.guests.lock().unwrap().get(&here).is_none_or(|guest| guest.count < OF_ONE + WAITING) {
            tokio::task::yield_now().await;
        }
        assert!(free() >= AT_ONCE + WAITING - OF_ONE, "{}", free());
        assert!(matches!(gate.run(Some(here), || ()).await, Err(PasswordError::Busy)));
        // Another one has a place, and a turn like everybody.
        running.push(work(there));
        while gate.guests.lock().unwrap().len() < 2 {
            tokio::task::yield_now().await;
        }
        drop(end);
        for work in running {
            work.await.unwrap().unwrap();
        }
        assert!(gate.guests.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_caller_who_gives_up_does_not_free_the_turn_of_work_that_goes_on() {
        let gate = Gate::new();
        let (end, ended) = mpsc::channel::<()>();
        let (started, start) = tokio::sync::oneshot::channel();
        let worker = {
            let gate = gate.clone();
            tokio::spawn(async move {
                gate.run(None, move || {
                    let _ = started.send(());
                    let _ = ended.recv();
                })
                .await
            })
        };
        start.await.unwrap();
        worker.abort();
        assert!(worker.await.is_err());
        assert_eq!(gate.turns.available_permits(), AT_ONCE - 1);
        drop(end);
        let all = u32::try_from(AT_ONCE).unwrap();
        drop(Arc::clone(&gate.turns).acquire_many_owned(all).await.unwrap());
    }
}
