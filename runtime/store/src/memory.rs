//! A cluster in memory, for tests: several candidates share one, and leases end when the test says so. It passes the
//! same suite as the others.
//!
//! ```
//! # use store::{*, memory::MemoryCluster};
//! # async fn example() -> Result<(), StoreError> {
//! let cluster = MemoryCluster::new();
//! let (one, two) = (cluster.candidate(), cluster.candidate());
//! let old = one.campaign(&Candidate::new("m1")).await?;
//! cluster.expire();
//! let new = two.campaign(&Candidate::new("m2")).await?;
//! assert!(matches!(one.commit(&old, Batch::new()).await, Err(StoreError::NotLeading { .. })));
//! # Ok(()) }
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::batch::Op;
use crate::{
    Answer, Batch, Candidate, ClusterVersion, Entry, Key, Leader, LeaderView, Leadership, Prefix, Snapshot,
    Stamp, Store, StoreError,
};

/// As far as a leader of this cluster may look ahead while its lease is not ended by hand.
const FAR: Duration = Duration::from_secs(3600);

/// The cluster. Clones are the same one.
#[derive(Clone, Default)]
pub struct MemoryCluster(Arc<Shared>);

/// One candidate of a [`MemoryCluster`].
pub struct MemoryStore {
    cluster: MemoryCluster,
    id: usize,
    version: ClusterVersion,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Something changed that a waiting candidate may want to know.
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    entries: BTreeMap<Key, Entry>,
    stamp: Stamp,
    /// Who leads, and which candidate it is.
    leader: Option<(Leader, usize)>,
    candidates: Vec<Member>,
}

/// What the cluster knows of a candidate.
struct Member {
    view: watch::Sender<LeaderView>,
    closed: bool,
    /// Since when it is cut off.
    cut: Option<Instant>,
    /// When its last leadership ended.
    ended: Instant,
}

impl MemoryCluster {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more candidate.
    pub fn candidate(&self) -> MemoryStore {
        self.candidate_of(ClusterVersion::OWN)
    }

    /// One more candidate, which is another binary.
    pub fn candidate_of(&self, version: ClusterVersion) -> MemoryStore {
        let mut state = self.state();
        let id = state.candidates.len();
        let view = watch::Sender::new(LeaderView::Unknown);
        state.candidates.push(Member { view, closed: false, cut: None, ended: Instant::now() });
        self.tell(&state);
        drop(state);
        MemoryStore { cluster: self.clone(), id, version }
    }

    /// Ends the lease of the one who leads, as if it ran out: what it commits is refused from now on, and a candidate that
    /// waits wins. A leader that is cut off learns of it when it is healed.
    pub fn expire(&self) {
        let mut state = self.state();
        state.end();
        self.tell(&state);
    }

    /// Cuts a candidate off: its calls fail as those to an etcd that does not answer, and it does not know who leads. If it
    /// leads, its lease goes on until [`MemoryCluster::expire`].
    pub fn cut(&self, store: &MemoryStore) {
        self.set_cut(store, Some(Instant::now()));
    }

    /// Undoes [`MemoryCluster::cut`].
    pub fn heal(&self, store: &MemoryStore) {
        self.set_cut(store, None);
    }

    fn set_cut(&self, store: &MemoryStore, cut: Option<Instant>) {
        let mut state = self.state();
        if let Some(member) = state.candidates.get_mut(store.id) {
            member.cut = cut;
        }
        self.tell(&state);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows everybody what is.
    fn tell(&self, state: &State) {
        for member in &state.candidates {
            let view = match &state.leader {
                _ if member.closed || member.cut.is_some() => LeaderView::Unknown,
                Some((leader, _)) => LeaderView::Led(leader.clone()),
                None => LeaderView::Vacant,
            };
            member.view.send_if_modified(|shown| {
                let differs = *shown != view;
                *shown = view;
                differs
            });
        }
        self.0.changed.send_replace(());
    }
}

impl State {
    /// The leadership is over.
    fn end(&mut self) {
        if let Some((_, id)) = self.leader.take()
            && let Some(member) = self.candidates.get_mut(id)
        {
            member.ended = Instant::now();
        }
    }

    fn member(&self, id: usize) -> Result<&Member, StoreError> {
        match self.candidates.get(id) {
            Some(member) if member.closed => Err(StoreError::Closed),
            Some(Member { cut: Some(_), .. }) => Err(StoreError::Unreachable {
                place: "memory".to_owned(),
                source: Arc::new(io::Error::other("cut off")),
            }),
            Some(member) => Ok(member),
            None => Err(StoreError::Closed),
        }
    }

    fn guard(&self, id: usize, leadership: &Leadership) -> Result<(), StoreError> {
        self.member(id)?;
        match &self.leader {
            Some((leader, holder)) if *holder == id && leader.epoch == leadership.epoch() => Ok(()),
            _ => Err(StoreError::NotLeading { held: leadership.epoch(), current: self.stamp.epoch }),
        }
    }

    fn commit(&mut self, id: usize, leadership: &Leadership, batch: Batch) -> Result<Stamp, StoreError> {
        batch.check()?;
        self.guard(id, leadership)?;
        for (key, wanted) in batch.conditions {
            let found = self.entries.get(&key).map(|entry| entry.modified);
            if !wanted.holds(found) {
                return Err(StoreError::Precondition { key, wanted, found });
            }
        }
        if batch.ops.is_empty() {
            return Ok(self.stamp);
        }
        let modified = self.stamp.revision.next();
        for (key, op) in batch.ops {
            match op {
                Op::Put(value) => self.entries.insert(key, Entry { value, modified }),
                Op::Delete => self.entries.remove(&key),
            };
        }
        self.stamp.revision = modified;
        Ok(self.stamp)
    }

    /// `None` while another leads.
    fn campaign(
        &mut self,
        id: usize,
        candidate: &Candidate,
        own: ClusterVersion,
    ) -> Result<Option<Leadership>, StoreError> {
        self.member(id)?;
        if self.leader.as_ref().is_some_and(|(_, holder)| *holder != id) {
            return Ok(None);
        }
        let Some(epoch) = self.stamp.epoch.above(candidate.above) else {
            return Err(StoreError::EpochExhausted(self.stamp.epoch.max(candidate.above)));
        };
        let modified = self.stamp.revision.next();
        match self.entries.get(&ClusterVersion::key()) {
            Some(entry) => own.admits(ClusterVersion::from_bytes(&entry.value)?)?,
            None => {
                self.entries.insert(ClusterVersion::key(), Entry { value: own.to_bytes(), modified });
            }
        }
        self.end();
        self.stamp = Stamp { epoch, revision: modified };
        let leader = Leader { name: candidate.name.clone(), epoch };
        self.leader = Some((leader.clone(), id));
        Ok(Some(Leadership::new(leader)))
    }
}

impl Store for MemoryStore {
    fn load<'a>(&'a self, prefix: &'a Prefix) -> Answer<'a, Snapshot> {
        Box::pin(async move {
            let state = self.cluster.state();
            state.member(self.id)?;
            let entries = state.entries.iter().filter(|(key, _)| prefix.covers(key));
            let entries = entries.map(|(key, entry)| (key.clone(), entry.clone())).collect();
            Ok(Snapshot { stamp: state.stamp, prefix: prefix.clone(), entries })
        })
    }

    fn commit<'a>(&'a self, leadership: &'a Leadership, batch: Batch) -> Answer<'a, Stamp> {
        Box::pin(async move {
            // As one that asks a disk or a network does: others get their turn.
            tokio::task::yield_now().await;
            self.cluster.state().commit(self.id, leadership, batch)
        })
    }

    fn campaign<'a>(&'a self, candidate: &'a Candidate) -> Answer<'a, Leadership> {
        Box::pin(async move {
            let mut changed = self.cluster.0.changed.subscribe();
            loop {
                changed.borrow_and_update();
                {
                    let mut state = self.cluster.state();
                    if let Some(leadership) = state.campaign(self.id, candidate, self.version)? {
                        self.cluster.tell(&state);
                        return Ok(leadership);
                    }
                }
                // The sender lives as long as this store.
                let _ = changed.changed().await;
            }
        })
    }

    fn observe_leader(&self) -> watch::Receiver<LeaderView> {
        let state = self.cluster.state();
        match state.candidates.get(self.id) {
            Some(member) => member.view.subscribe(),
            None => watch::Sender::default().subscribe(),
        }
    }

    fn valid_until(&self, leadership: &Leadership) -> Option<Instant> {
        let state = self.cluster.state();
        let member = state.candidates.get(self.id)?;
        let leads = matches!(&state.leader, Some((leader, id)) if *id == self.id && leader.epoch == leadership.epoch());
        Some(match member.cut {
            Some(since) => since,
            None if leads => Instant::now() + FAR,
            None => member.ended,
        })
    }

    fn resign<'a>(&'a self, leadership: &'a Leadership) -> Answer<'a, ()> {
        Box::pin(async move {
            let mut state = self.cluster.state();
            state.guard(self.id, leadership)?;
            state.end();
            self.cluster.tell(&state);
            Ok(())
        })
    }

    fn close(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            let mut state = self.cluster.state();
            if state.leader.as_ref().is_some_and(|(_, id)| *id == self.id) {
                state.end();
            }
            if let Some(member) = state.candidates.get_mut(self.id) {
                member.closed = true;
            }
            self.cluster.tell(&state);
            Ok(())
        })
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("id", &self.id).finish_non_exhaustive()
    }
}

impl fmt::Debug for MemoryCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryCluster").finish_non_exhaustive()
    }
}
