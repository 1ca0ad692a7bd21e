//! What the tasks of one store know together: who leads, and how long this one may believe that it does.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, Semaphore, watch};

use super::EtcdOptions;
use super::layout::{Elected, Layout, Reigned};
use super::members::Members;
use crate::{Epoch, Leader, LeaderView, StoreError};

/// Loads at the same time: each holds a copy of what it reads.
const LOADS: usize = 4;

/// A leadership of this store.
pub(super) struct Reign {
    pub(super) leader: Leader,
    pub(super) lease: i64,
    /// Of the leader key: who deletes it ends the reign for good.
    pub(super) created: i64,
    /// As this reign wrote it.
    pub(super) reigned: Reigned,
    /// As long as the lease is sure to live, by the clock here.
    valid_until: Mutex<Instant>,
    over: watch::Sender<bool>,
}

impl Reign {
    pub(super) fn new(
        leader: Leader,
        lease: i64,
        created: i64,
        reigned: Reigned,
        valid_until: Instant,
    ) -> Self {
        let over = watch::Sender::new(false);
        Self { leader, lease, created, reigned, valid_until: Mutex::new(valid_until), over }
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.leader.epoch
    }

    /// The end of what is sure; in the past once it is over.
    pub(super) fn valid_until(&self) -> Instant {
        *self.valid_until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It is neither over nor past what is sure.
    pub(super) fn holds(&self) -> bool {
        !*self.over.borrow() && Instant::now() < self.valid_until()
    }

    /// The lease was renewed.
    pub(super) fn extend(&self, until: Instant) {
        let mut valid_until = self.valid_until.lock().unwrap_or_else(PoisonError::into_inner);
        if !*self.over.borrow() {
            *valid_until = until.max(*valid_until);
        }
    }

    fn end(&self) {
        let mut valid_until = self.valid_until.lock().unwrap_or_else(PoisonError::into_inner);
        self.over.send_replace(true);
        *valid_until = Instant::now().min(*valid_until);
    }

    /// Waits until it is over.
    pub(super) async fn over(&self) {
        // The sender lives as long as `self`.
        let _ = self.over.subscribe().wait_for(|over| *over).await;
    }

    fn is(&self, found: &Elected) -> bool {
        found.created == self.created && found.leader.epoch == self.epoch()
    }
}

pub(super) struct Shared {
    pub(super) members: Members,
    pub(super) layout: Layout,
    pub(super) options: EtcdOptions,
    pub(super) view: watch::Sender<LeaderView>,
    pub(super) loads: Semaphore,
    /// The highest epoch of which nobody received the leadership.
    pub(super) given_up: AtomicU64,
    pub(super) wake: Notify,
    /// Of its own: who waits for the end by the view would look at `seen` with the view locked, and what is shown is locked
    /// the other way round.
    closed: watch::Sender<bool>,
    seen: Mutex<Seen>,
}

struct Seen {
    /// Of etcd, of what was shown last.
    revision: i64,
    /// How often something was shown.
    turn: u64,
    /// The highest that was seen.
    epoch: Epoch,
    reign: Option<Arc<Reign>>,
    /// The lease of this store's last reign: a leader key that has it is nobody else's.
    lease: i64,
    /// Of the last reign; before the first one, when the store was made.
    ended: Instant,
    closed: bool,
}

/// The moment at which a read began.
#[derive(Clone, Copy)]
pub(super) struct Turn(u64);

impl Shared {
    pub(super) fn new(members: Members, layout: Layout, options: EtcdOptions) -> Self {
        let seen = Seen {
            revision: 0,
            turn: 0,
            epoch: Epoch::default(),
            reign: None,
            lease: 0,
            ended: Instant::now(),
            closed: false,
        };
        Self {
            members,
            layout,
            options,
            view: watch::Sender::new(LeaderView::Unknown),
            loads: Semaphore::new(LOADS),
            given_up: AtomicU64::new(0),
            wake: Notify::new(),
            closed: watch::Sender::new(false),
            seen: Mutex::new(seen),
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn turn(&self) -> Turn {
        Turn(self.seen().turn)
    }

    /// The highest epoch that was seen.
    pub(super) fn epoch(&self) -> Epoch {
        self.seen().epoch
    }

    pub(super) fn reign(&self) -> Option<Arc<Reign>> {
        self.seen().reign.clone()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.seen().closed
    }

    /// Waits until the store is closed.
    pub(super) async fn closed(&self) {
        // The sender lives as long as `self`.
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }

    /// Whether a leader key is of a reign of this store, whatever became of it.
    pub(super) fn is_own(&self, found: &Elected) -> bool {
        let seen = self.seen();
        seen.lease != 0 && found.lease == seen.lease
    }

    pub(super) fn valid_until(&self, epoch: Epoch) -> Instant {
        let seen = self.seen();
        match &seen.reign {
            Some(reign) if reign.epoch() == epoch => reign.valid_until(),
            _ => seen.ended,
        }
    }

    /// Refuses one who does not lead, as far as is known here.
    pub(super) fn guard(&self, held: Epoch) -> Result<Arc<Reign>, StoreError> {
        let seen = self.seen();
        if seen.closed {
            return Err(StoreError::Closed);
        }
        match &seen.reign {
            Some(reign) if reign.epoch() == held && reign.holds() => Ok(reign.clone()),
            _ => Err(StoreError::NotLeading { held, current: seen.epoch }),
        }
    }

    /// What a read found that began at `since`. It counts unless something later was shown meanwhile: also when etcd's
    /// history went back, as after a restore.
    pub(super) fn read(&self, since: Turn, revision: i64, found: Option<Elected>) {
        let mut seen = self.seen();
        if seen.turn == since.0 || revision >= seen.revision {
            self.show(&mut seen, revision, found);
        }
    }

    /// What a watch told, which may be old.
    pub(super) fn told(&self, revision: i64, found: Option<Elected>) {
        let mut seen = self.seen();
        if revision >= seen.revision {
            self.show(&mut seen, revision, found);
        }
    }

    fn show(&self, seen: &mut Seen, revision: i64, found: Option<Elected>) {
        seen.revision = revision;
        seen.turn += 1;
        if let Some(found) = &found {
            seen.epoch = seen.epoch.max(found.leader.epoch);
        }
        if let Some(reign) = &seen.reign
            && !found.as_ref().is_some_and(|found| reign.is(found))
        {
            seen.end_reign();
        }
        let view = match found {
            _ if seen.closed => LeaderView::Unknown,
            None => LeaderView::Vacant,
            // Of a reign that is over for this store, and that etcd has not forgotten yet.
            Some(found) if seen.reign.is_none() && seen.lease != 0 && found.lease == seen.lease => {
                LeaderView::Unknown
            }
            Some(found) => LeaderView::Led(found.leader),
        };
        self.set_view(view);
    }

    fn set_view(&self, view: LeaderView) {
        self.view.send_if_modified(|shown| {
            let differs = *shown != view;
            *shown = view;
            differs
        });
    }

    /// Nothing can be read. A leader whose lease lives goes on.
    pub(super) fn blind(&self) {
        let mut seen = self.seen();
        if seen.reign.is_none() {
            seen.turn += 1;
            self.set_view(LeaderView::Unknown);
        }
    }

    pub(super) fn knows(&self, epoch: Epoch) {
        let mut seen = self.seen();
        seen.epoch = seen.epoch.max(epoch);
    }

    pub(super) fn begin(&self, reign: Arc<Reign>, revision: i64) {
        let mut seen = self.seen();
        if seen.reign.is_some() {
            seen.end_reign();
        }
        seen.revision = revision.max(seen.revision);
        seen.turn += 1;
        seen.epoch = seen.epoch.max(reign.epoch());
        seen.lease = reign.lease;
        let view = LeaderView::Led(reign.leader.clone());
        seen.reign = Some(reign);
        self.set_view(view);
    }

    /// This reign is over; what comes after it is shown when it is read.
    pub(super) fn end(&self, reign: &Reign) {
        let mut seen = self.seen();
        reign.end();
        if seen.reign.as_ref().is_some_and(|current| current.epoch() == reign.epoch()) {
            seen.end_reign();
            seen.turn += 1;
            self.set_view(LeaderView::Unknown);
        }
    }

    pub(super) fn close(&self) {
        let mut seen = self.seen();
        seen.closed = true;
        seen.turn += 1;
        self.loads.close();
        // Also when it was unknown before: whoever looks is told.
        self.view.send_replace(LeaderView::Unknown);
        self.closed.send_replace(true);
    }

    /// Nobody received the leadership of this epoch.
    pub(super) fn give_up(&self, epoch: Epoch) {
        self.given_up.fetch_max(epoch.get(), Ordering::SeqCst);
        self.wake.notify_one();
    }

    pub(super) fn is_given_up(&self, epoch: Epoch) -> bool {
        epoch.get() <= self.given_up.load(Ordering::SeqCst)
    }

    /// What is sure of a lease of `ttl` that was asked for at `sent`. The server's clock starts later and may run a
    /// little faster.
    pub(super) fn sure(sent: Instant, ttl: Duration) -> Instant {
        sent + ttl.mul_f64(0.9)
    }
}

impl Seen {
    fn end_reign(&mut self) {
        if let Some(reign) = self.reign.take() {
            reign.end();
            self.ended = reign.valid_until();
        }
    }
}
