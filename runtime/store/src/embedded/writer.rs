//! The thread that writes, and what it shares with the tasks that read.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;

use redb::ReadableDatabase;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::apply::{Applied, Group};
use super::file::{ENTRIES, EPOCH, NUMBERS, Opened, REVISION};
use super::request::{Reply, Request};
use super::won::Won;
use crate::failpoint::{Failpoint, hit};
use crate::queue::Queued;
use crate::{
    Cause, ClusterVersion, Entry, Epoch, Key, Leader, LeaderView, Leadership, Prefix, Revision, Snapshot,
    Stamp, StoreError,
};

/// The most commits of one group: what waits while a disk syncs.
const GROUP_COMMITS: usize = 512;

/// The most bytes of one group, so that the first of it does not wait for megabytes of others.
const GROUP_BYTES: usize = 4 * 1024 * 1024;

/// Loads at the same time: each holds a copy of what it reads.
const LOADS: u32 = 4;

pub(super) struct Shared {
    pub(super) leader: watch::Sender<LeaderView>,
    /// Empty once the store is closed.
    opened: Mutex<Option<Arc<Opened>>>,
    /// The first fault of the engine. Nothing is read or written after it.
    fault: OnceLock<Cause>,
    loads: Arc<Semaphore>,
    /// The highest epoch of which nobody received the leadership.
    given_up: AtomicU64,
    /// The writer has ended, and the file is closed.
    ended: watch::Sender<bool>,
    place: String,
}

/// A place for an error.
pub(super) fn place_of(path: &Path) -> String {
    path.display().to_string()
}

pub(super) fn start(
    opened: Opened,
    version: ClusterVersion,
    requests: mpsc::Receiver<Queued<Request>>,
) -> Result<Arc<Shared>, StoreError> {
    let path = opened.path.clone();
    let shared = Arc::new(Shared {
        leader: watch::Sender::new(LeaderView::Vacant),
        opened: Mutex::new(Some(Arc::new(opened))),
        fault: OnceLock::new(),
        loads: Arc::new(Semaphore::new(LOADS as usize)),
        given_up: AtomicU64::new(0),
        ended: watch::Sender::new(false),
        place: place_of(&path),
    });
    let writer = Writer { shared: shared.clone(), requests, version, leader: None };
    thread::Builder::new()
        .name("store-writer".to_owned())
        .spawn(move || writer.run())
        .map_err(|error| StoreError::Open { path, action: "start the writer", source: Arc::new(error) })?;
    Ok(shared)
}

impl Shared {
    /// Reads on a thread that may block.
    pub(super) async fn load(self: Arc<Self>, prefix: Prefix) -> Result<Snapshot, StoreError> {
        let permit = self.loads.clone().acquire_owned().await.map_err(|_closed| StoreError::Closed)?;
        let reading = tokio::task::spawn_blocking({
            let shared = self.clone();
            move || {
                let read = shared.read(prefix);
                // Not before the file was let go of: who has all permits closes it.
                drop((shared, permit));
                read
            }
        });
        reading
            .await
            .map_err(|fault| StoreError::Failed { place: self.place.clone(), source: Arc::new(fault) })?
    }

    /// Waits for the loads under way and refuses later ones. `None` when that was done before.
    pub(super) async fn end_loads(&self) -> Option<OwnedSemaphorePermit> {
        let all = self.loads.clone().acquire_many_owned(LOADS).await.ok()?;
        self.loads.close();
        Some(all)
    }

    fn read(&self, prefix: Prefix) -> Result<Snapshot, StoreError> {
        let opened = self.opened().ok_or(StoreError::Closed)?;
        self.sound()?;
        read(&opened, prefix).map_err(|error| self.failed(Arc::new(error)))?
    }

    fn opened(&self) -> Option<Arc<Opened>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Closes the file and releases the lock, where the writer could not.
    pub(super) fn let_go(&self) {
        drop(self.opened.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Waits for the writer, whoever had it close the file.
    pub(super) async fn ended(&self) {
        // The sender is ours: there is no other end.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }

    /// The leadership of this epoch has no holder. Its epoch stays raised.
    pub(super) fn give_up(&self, epoch: Epoch) {
        self.given_up.fetch_max(epoch.get(), Ordering::SeqCst);
        self.leader.send_if_modified(|view| match view {
            LeaderView::Led(leader) if leader.epoch == epoch => {
                *view = LeaderView::Vacant;
                true
            }
            _ => false,
        });
    }

    /// Tells who leads, unless a fault was met: then nobody knows.
    fn publish(&self, leader: Option<Leader>) {
        self.leader.send_if_modified(|view| {
            let sound = self.fault.get().is_none();
            if sound {
                *view = leader.map_or(LeaderView::Vacant, LeaderView::Led);
            }
            sound
        });
    }

    /// The fault that was met, if one was.
    pub(super) fn sound(&self) -> Result<(), StoreError> {
        match self.fault.get() {
            Some(fault) => Err(StoreError::Failed { place: self.place.clone(), source: fault.clone() }),
            None => Ok(()),
        }
    }

    /// Remembers the first fault, and that nobody knows any more who leads.
    fn failed(&self, fault: Cause) -> StoreError {
        let first = self.fault.get_or_init(|| {
            tracing::error!(place = self.place, %fault, "the store failed and must be opened again");
            fault
        });
        self.leader.send_replace(LeaderView::Unknown);
        StoreError::Failed { place: self.place.clone(), source: first.clone() }
    }
}

/// One transaction of redb is one moment, numbers included.
fn read(opened: &Opened, prefix: Prefix) -> Result<Result<Snapshot, StoreError>, redb::Error> {
    let transaction = opened.database.begin_read()?;
    let numbers = transaction.open_table(NUMBERS)?;
    let number = |name| Ok::<_, redb::Error>(numbers.get(name)?.map_or(0, |number| number.value()));
    let stamp = Stamp { epoch: Epoch::new(number(EPOCH)?), revision: Revision::new(number(REVISION)?) };
    let mut snapshot = Snapshot { stamp, prefix, entries: Default::default() };
    for entry in transaction.open_table(ENTRIES)?.range(snapshot.prefix.start()..)? {
        let (key, value) = entry?;
        let key = match Key::stored(key.value()) {
            Ok(key) => key,
            Err(fault) => {
                let place = place_of(&opened.path);
                return Ok(Err(StoreError::Damaged { place, detail: fault.to_string() }));
            }
        };
        if !snapshot.prefix.covers(&key) {
            break;
        }
        let (modified, value) = value.value();
        snapshot.entries.insert(key, Entry { value: value.to_vec(), modified: Revision::new(modified) });
    }
    Ok(Ok(snapshot))
}

struct Writer {
    shared: Arc<Shared>,
    requests: mpsc::Receiver<Queued<Request>>,
    version: ClusterVersion,
    leader: Option<Leader>,
}

/// What a caller is told once its group is durable; with an error, in place of that, if it is not.
type Reporter = Box<dyn FnOnce(Option<StoreError>) + Send>;

impl Writer {
    fn run(mut self) {
        let mut closing = Vec::new();
        while let Some(first) = self.requests.blocking_recv() {
            let group = self.take_group(first, &mut closing);
            self.write(group);
            if !closing.is_empty() {
                // What is queued by now is carried out; what comes later is told that the store is closed.
                self.requests.close();
            }
        }
        let closed = self.end();
        for answer in closing {
            let _ = answer.send(closed.clone());
        }
    }

    /// All that waits, up to the limits of a group.
    fn take_group(&mut self, first: Queued<Request>, closing: &mut Vec<Reply<()>>) -> Vec<Queued<Request>> {
        let (mut group, mut bytes, mut next) = (Vec::new(), 0, Some(first));
        while let Some(queued) = next {
            bytes += queued.bytes;
            match queued.request {
                Request::Close { answer } => closing.push(answer),
                _ => group.push(queued),
            }
            let full = group.len() >= GROUP_COMMITS || bytes >= GROUP_BYTES || !closing.is_empty();
            next = if full { None } else { self.requests.try_recv().ok() };
        }
        group
    }

    fn write(&mut self, group: Vec<Queued<Request>>) {
        if group.is_empty() {
            return;
        }
        hit(Failpoint::BeforeWrite);
        let given_up = self.shared.given_up.load(Ordering::SeqCst);
        self.leader = self.leader.take().filter(|leader| leader.epoch.get() > given_up);
        let mut reporters = Vec::with_capacity(group.len());
        let mut leader = self.leader.clone();
        let fault = self.transact(group, &mut leader, &mut reporters).err();
        if fault.is_none() && self.leader != leader {
            self.leader = leader;
            self.shared.publish(self.leader.clone());
        }
        hit(Failpoint::BeforeAck);
        for (at, report) in reporters.into_iter().enumerate() {
            if at == 1 {
                hit(Failpoint::InAck);
            }
            report(fault.clone());
        }
    }

    /// One transaction. Each request leaves a reporter, whatever happens.
    fn transact(
        &self,
        group: Vec<Queued<Request>>,
        leader: &mut Option<Leader>,
        reporters: &mut Vec<Reporter>,
    ) -> Result<(), StoreError> {
        let mut group = group.into_iter();
        let done = self.apply(&mut group, leader, reporters);
        // Those behind a fault were not looked at.
        reporters.extend(group.map(|queued| match queued.request {
            Request::Commit { answer, .. } => unreached(answer),
            Request::Campaign { answer, .. } => unreached(answer),
            Request::Resign { answer, .. } | Request::Close { answer } => unreached(answer),
        }));
        done
    }

    fn apply(
        &self,
        group: &mut impl Iterator<Item = Queued<Request>>,
        leader: &mut Option<Leader>,
        reporters: &mut Vec<Reporter>,
    ) -> Result<(), StoreError> {
        self.shared.sound()?;
        let opened = self.shared.opened().ok_or(StoreError::Closed)?;
        let failed = |error: redb::Error| self.shared.failed(Arc::new(error));
        let mut transaction = opened.database.begin_write().map_err(|error| failed(error.into()))?;
        let mut campaigns = false;
        let mut applying = Group::begin(&transaction, leader.clone()).map_err(failed)?;
        for (at, queued) in group.enumerate() {
            if at == 1 {
                hit(Failpoint::InGroup);
            }
            let applied = match queued.request {
                Request::Commit { epoch, batch, answer } => {
                    report(reporters, answer, applying.commit(epoch, batch))
                }
                // Who has gone away does not stand any more.
                Request::Campaign { answer, .. } if answer.is_closed() => Ok(()),
                Request::Campaign { candidate, answer } => {
                    campaigns = true;
                    let won = applying.campaign(candidate, self.version);
                    report_won(reporters, answer, won, self.shared.clone())
                }
                Request::Resign { epoch, answer } => report(reporters, answer, Ok(applying.resign(epoch))),
                Request::Close { answer } => report(reporters, answer, Ok(Ok(()))),
            };
            applied.map_err(failed)?;
        }
        let (leads, changed) = applying.finish().map_err(failed)?;
        *leader = leads;
        if !changed {
            return transaction.abort().map_err(|error| failed(error.into()));
        }
        // After damage an epoch must not be issued again, as it could be if this group looked like one that was cut off.
        transaction.set_two_phase_commit(campaigns);
        transaction.commit().map_err(|error| {
            let source: Cause = Arc::new(redb::Error::from(error));
            self.shared.failed(source.clone());
            StoreError::Unknown { place: self.shared.place.clone(), source }
        })
    }

    /// Closes the file in order, and then releases the lock.
    fn end(&self) -> Result<(), StoreError> {
        let opened = self.shared.opened.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.shared.leader.send_replace(LeaderView::Unknown);
        // A load whose store object is gone may still have it, and closes it in our place.
        let Some(Opened { database, _lock, .. }) = opened.and_then(Arc::into_inner) else { return Ok(()) };
        let closed = database.close();
        match (self.shared.sound(), closed) {
            (Ok(()), Err(error)) => {
                Err(StoreError::Failed { place: self.shared.place.clone(), source: Arc::new(error) })
            }
            _ => Ok(()),
        }
    }
}

/// Nobody waits for a thread that is gone. A panic of redb's is a fault of the engine.
impl Drop for Writer {
    fn drop(&mut self) {
        if thread::panicking() {
            self.shared.failed(Arc::new(io::Error::other("the writer panicked")));
        }
        self.shared.ended.send_replace(true);
    }
}

/// Keeps the answer until the group is durable.
fn report<T: Send + 'static>(
    reporters: &mut Vec<Reporter>,
    answer: Reply<T>,
    applied: Applied<T>,
) -> Result<(), redb::Error> {
    report_as(reporters, answer, applied, |done| done)
}

/// Only what is durable was won, and can be given up.
fn report_won(
    reporters: &mut Vec<Reporter>,
    answer: Reply<Won>,
    applied: Applied<Leadership>,
    shared: Arc<Shared>,
) -> Result<(), redb::Error> {
    report_as(reporters, answer, applied, |leadership| Won::new(leadership, shared))
}

fn report_as<T: Send + 'static, U: Send + 'static>(
    reporters: &mut Vec<Reporter>,
    answer: Reply<U>,
    applied: Applied<T>,
    done: impl FnOnce(T) -> U + Send + 'static,
) -> Result<(), redb::Error> {
    let (result, fault) = match applied {
        Ok(result) => (Some(result), None),
        Err(fault) => (None, Some(fault)),
    };
    reporters.push(Box::new(move |fault| {
        let result = match fault {
            Some(fault) => Err(fault),
            None => result.unwrap_or(Err(StoreError::Closed)).map(done),
        };
        // A caller that has gone away misses its answer, not its commit.
        let _ = answer.send(result);
    }));
    fault.map_or(Ok(()), Err)
}

fn unreached<T: Send + 'static>(answer: Reply<T>) -> Reporter {
    Box::new(move |fault| {
        let _ = answer.send(Err(fault.unwrap_or(StoreError::Closed)));
    })
}
