//! The task that writes: one transaction at a time, each with all that waits and fits.
//!
//! ```text
//!  when   leader was created by this reign     nobody else was elected since
//!         epoch  is this reign's               nor this store itself
//!         last   was written by the commit     an answer that got lost, and a copy that is late,
//!                before this one               are told apart from one that is new
//!         the conditions hold
//!  then   the changes; last = "<epoch>/<count>"
//!  else   read leader, epoch, last, and what the conditions look at
//! ```
//!
//! A transaction that is not answered is sent again, the same, to the next member, as long as the lease is sure to live.
//! At most one of the copies changes something. When they all failed, `last` says which of them was made.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use etcd_client::{
    Client, Compare, CompareOp, GetOptions, KeyValue, PutOptions, Txn, TxnOp, TxnOpResponse, TxnResponse,
};
use tokio::sync::{mpsc, oneshot};

use super::layout::{Elected, Last, Mark, Reigned, revision};
use super::members::{Asked, Fault};
use super::shared::{Reign, Shared};
use super::{merge, renew};
use crate::batch::Op;
use crate::queue::Queued;
use crate::{
    Batch, Candidate, Cause, ClusterVersion, Epoch, Leader, Leadership, Revision, Stamp, StoreError,
};

/// The most requests that are taken from the queue at once.
const GROUP: usize = 512;

/// To the caller of a request.
pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// What the writer is asked for.
pub(super) enum Request {
    Commit {
        epoch: Epoch,
        batch: Batch,
        answer: Reply<Stamp>,
    },
    /// Answered with nothing while another leads.
    Campaign {
        candidate: Candidate,
        answer: Reply<Option<Won>>,
    },
    Resign {
        epoch: Epoch,
        answer: Reply<()>,
    },
    Close {
        answer: Reply<()>,
    },
}

/// A leadership on its way to the one who campaigned for it. What is dropped on the way is given up: nobody else holds it.
pub(super) struct Won {
    leadership: Option<Leadership>,
    shared: Arc<Shared>,
}

impl Won {
    /// It has arrived.
    pub(super) fn take(mut self) -> Option<Leadership> {
        self.leadership.take()
    }
}

impl Drop for Won {
    fn drop(&mut self) {
        if let Some(leadership) = self.leadership.take() {
            self.shared.give_up(leadership.epoch());
        }
    }
}

/// A commit that waits.
struct Waiting {
    epoch: Epoch,
    batch: Batch,
    answer: Reply<Stamp>,
}

impl Waiting {
    fn answer(self, result: Result<Stamp, StoreError>) {
        // A caller that has gone away misses its answer, not its commit.
        let _ = self.answer.send(result);
    }
}

/// What became of a transaction.
enum Sent {
    Made(i64),
    /// Nothing was changed: what the conditions look at was last written at these revisions.
    Unmet(Vec<Option<Revision>>),
    /// Nothing was changed, since the reign is over.
    Over,
    /// Nothing was changed.
    Refused(Fault),
    /// The reign is over, and the changes were made or not.
    Undecided(Cause),
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    requests: mpsc::Receiver<Queued<Request>>,
    version: ClusterVersion,
    /// The commit of this reign that was made last.
    last: Last,
    /// How many marks of this reign were used.
    count: u64,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, requests: mpsc::Receiver<Queued<Request>>) -> Self {
        let version = shared.options.version;
        Self { shared, requests, version, last: Last::default(), count: 0 }
    }

    pub(super) async fn run(mut self) {
        let mut closing = Vec::new();
        loop {
            let first = tokio::select! {
                first = self.requests.recv() => first,
                () = self.shared.wake.notified() => {
                    self.drop_given_up().await;
                    continue;
                }
            };
            let Some(first) = first else { break };
            let mut group = VecDeque::from([first]);
            while group.len() < GROUP
                && let Ok(next) = self.requests.try_recv()
            {
                group.push_back(next);
            }
            self.carry_out(group, &mut closing).await;
            if !closing.is_empty() {
                self.requests.close();
            }
        }
        if let Some(reign) = self.shared.reign() {
            let _ = self.leave(&reign, self.shared.options.request).await;
        }
        self.shared.close();
        for answer in closing {
            let _ = answer.send(Ok(()));
        }
    }

    async fn carry_out(&mut self, group: VecDeque<Queued<Request>>, closing: &mut Vec<Reply<()>>) {
        let mut commits = VecDeque::new();
        for queued in group {
            match queued.request {
                Request::Commit { epoch, batch, answer } => {
                    commits.push_back(Waiting { epoch, batch, answer });
                    continue;
                }
                Request::Campaign { answer, .. } if answer.is_closed() => {}
                Request::Campaign { candidate, answer } => {
                    self.commit(std::mem::take(&mut commits)).await;
                    let won = self.campaign(&candidate).await;
                    let won = won.map(|won| {
                        won.map(|leadership| Won {
                            leadership: Some(leadership),
                            shared: self.shared.clone(),
                        })
                    });
                    // Who has gone away drops it, and so gives it up.
                    let _ = answer.send(won);
                }
                Request::Resign { epoch, answer } => {
                    self.commit(std::mem::take(&mut commits)).await;
                    let resigned = match self.shared.guard(epoch) {
                        Ok(reign) => self.leave(&reign, self.shared.options.patience).await,
                        Err(refused) => Err(refused),
                    };
                    let _ = answer.send(resigned);
                }
                Request::Close { answer } => closing.push(answer),
            }
        }
        self.commit(commits).await;
    }

    /// Makes the commits, in their order.
    async fn commit(&mut self, mut waiting: VecDeque<Waiting>) {
        while let Some(first) = waiting.front() {
            let reign = match self.shared.guard(first.epoch) {
                Ok(reign) => reign,
                Err(refused) => {
                    if let Some(first) = waiting.pop_front() {
                        first.answer(Err(refused));
                    }
                    continue;
                }
            };
            // Those of other reigns come to the front in their turn, and are refused there.
            let same = waiting.iter().take_while(|next| next.epoch == reign.epoch());
            let count = merge::together(same.map(|next| &next.batch));
            let group: Vec<Waiting> = waiting.drain(..count).collect();
            let left = self.commit_together(&reign, group).await;
            for left in left.into_iter().rev() {
                waiting.push_front(left);
            }
        }
    }

    /// Makes some commits in one transaction. Answers those that it could not be said of, for another turn.
    async fn commit_together(&mut self, reign: &Arc<Reign>, group: Vec<Waiting>) -> Vec<Waiting> {
        let shared = self.shared.clone();
        let everyone = |group: Vec<Waiting>, result: Result<Stamp, StoreError>| {
            for waiting in group {
                waiting.answer(result.clone());
            }
        };
        let over = || StoreError::NotLeading { held: reign.epoch(), current: shared.epoch() };
        let batches: Vec<&Batch> = group.iter().map(|waiting| &waiting.batch).collect();
        match self.send(reign, &batches).await {
            Sent::Made(modified) => {
                let stamp = Stamp { epoch: reign.epoch(), revision: revision(modified) };
                everyone(group, Ok(stamp));
            }
            Sent::Over => everyone(group, Err(over())),
            Sent::Undecided(source) => {
                let place = shared.members.place();
                everyone(group, Err(StoreError::Undecided { place, source }));
            }
            Sent::Refused(fault) if group.len() == 1 || matches!(fault, Fault::NoSpace) => {
                everyone(group, Err(shared.members.error(fault)));
            }
            // Whichever of them it is meant for: each by itself.
            Sent::Refused(_) => {
                for waiting in group {
                    Box::pin(self.commit_together(reign, vec![waiting])).await;
                }
            }
            Sent::Unmet(found) => {
                let mut found = found.into_iter();
                let mut left = Vec::new();
                for waiting in group {
                    // All of its own are taken out of the row.
                    let held = waiting.batch.conditions.iter().map(|(key, wanted)| {
                        let found = found.next().flatten();
                        (!wanted.holds(found)).then(|| StoreError::Precondition {
                            key: key.clone(),
                            wanted: *wanted,
                            found,
                        })
                    });
                    let unmet = held.collect::<Vec<_>>().into_iter().flatten().next();
                    match unmet {
                        Some(unmet) => waiting.answer(Err(unmet)),
                        None => left.push(waiting),
                    }
                }
                return left;
            }
        }
        Vec::new()
    }

    /// Sends the changes of `batches` until it is known what became of them.
    async fn send(&mut self, reign: &Arc<Reign>, batches: &[&Batch]) -> Sent {
        let changes = batches.iter().any(|batch| !batch.ops.is_empty());
        if !changes {
            return self.attempt(reign, None, batches, None).await.0;
        }
        let mark = self.next_mark(reign);
        let (sent, unsure) = self.attempt(reign, Some(mark), batches, None).await;
        match sent {
            Sent::Unmet(_) if unsure => {}
            Sent::Refused(fault) if unsure => {
                // A copy that is late may still be made: only the end of the reign keeps it from that.
                return self.settle(reign, mark, fault).await;
            }
            sent => return sent,
        }
        // A copy that is late may still be made, should the conditions hold by then. What moves `last` keeps it from that.
        let fence = self.next_mark(reign);
        match self.attempt(reign, Some(fence), &[], Some(mark)).await.0 {
            Sent::Made(modified) if self.last.mark == mark => Sent::Made(modified),
            Sent::Made(_) => sent,
            Sent::Refused(fault) => self.settle(reign, mark, fault).await,
            other => other,
        }
    }

    fn next_mark(&mut self, reign: &Reign) -> Mark {
        self.count += 1;
        Mark { epoch: reign.epoch(), count: self.count }
    }

    /// One transaction, to one member after the other. `earlier` is the mark of one that may have been made meanwhile.
    async fn attempt(
        &mut self,
        reign: &Arc<Reign>,
        mark: Option<Mark>,
        batches: &[&Batch],
        earlier: Option<Mark>,
    ) -> (Sent, bool) {
        let txn = self.transaction(reign, mark, batches);
        let shared = self.shared.clone();
        let asked =
            shared.members.ask(|| reign.valid_until(), |client| deliver(&shared, &client, txn.clone())).await;
        let Asked { mut result, unsure } = asked;
        if result.as_ref().is_err_and(Fault::passes) {
            // Nothing is sure any more: a last time, so that the caller learns what became of it.
            let until = Instant::now() + shared.options.request;
            let last = shared.members.ask(|| until, |client| deliver(&shared, &client, txn.clone()));
            result = last.await.result;
        }
        let sent = match result {
            Ok(answer) => self.judge(reign, &answer, mark, earlier, unsure),
            Err(fault) if !fault.passes() => Ok(Sent::Refused(fault)),
            Err(Fault::Silent(cause) | Fault::NoQuorum(cause)) => {
                self.shared.end(reign);
                Ok(if mark.is_some() { Sent::Undecided(cause) } else { Sent::Over })
            }
            Err(fault) => Ok(Sent::Refused(fault)),
        };
        let sent = sent.unwrap_or_else(|damaged| {
            self.shared.end(reign);
            Sent::Refused(Fault::Refused(Arc::new(damaged)))
        });
        (sent, unsure)
    }

    fn guards(&self, reign: &Reign) -> Vec<Compare> {
        let layout = &self.shared.layout;
        let guards = vec![
            Compare::create_revision(layout.leader(), CompareOp::Equal, reign.created),
            Compare::value(layout.epoch(), CompareOp::Equal, reign.reigned.value()),
            Compare::mod_revision(layout.last(), CompareOp::Equal, self.last.modified),
        ];
        #[cfg(feature = "failpoints")]
        let guards = super::hook::guards(&self.shared.options, guards);
        guards
    }

    fn transaction(&self, reign: &Reign, mark: Option<Mark>, batches: &[&Batch]) -> Txn {
        let layout = &self.shared.layout;
        let mut when = self.guards(reign);
        let mut then = Vec::new();
        let mut reads: Vec<TxnOp> =
            [layout.leader(), layout.epoch(), layout.last()].map(|key| TxnOp::get(key, None)).into();
        for (key, wanted) in batches.iter().flat_map(|batch| &batch.conditions) {
            when.push(compare(layout.data(key), *wanted));
            reads.push(TxnOp::get(layout.data(key), Some(GetOptions::new().with_keys_only())));
        }
        for (key, op) in batches.iter().flat_map(|batch| &batch.ops) {
            then.push(match op {
                Op::Put(value) => TxnOp::put(layout.data(key), value.as_slice(), None),
                Op::Delete => TxnOp::delete(layout.data(key), None),
            });
        }
        match mark {
            Some(mark) => then.push(TxnOp::put(layout.last(), mark.to_string(), None)),
            None => then.push(TxnOp::get(layout.last(), None)),
        }
        Txn::new().when(when).and_then(then).or_else(reads)
    }

    /// What an answer says of a transaction, and of copies of it whose answers are missing.
    fn judge(
        &mut self,
        reign: &Arc<Reign>,
        answer: &TxnResponse,
        mark: Option<Mark>,
        earlier: Option<Mark>,
        unsure: bool,
    ) -> Result<Sent, StoreError> {
        let at = answer.header().map_or(0, etcd_client::ResponseHeader::revision);
        if answer.succeeded() {
            return Ok(match mark {
                Some(mark) => {
                    self.last = Last { mark, modified: at };
                    Sent::Made(at)
                }
                None => Sent::Made(self.last.modified),
            });
        }
        let mut reads = gets(answer);
        let conditions = reads.split_off(merge::GUARDS.min(reads.len()));
        let mut reads = reads.into_iter();
        let mut read = || reads.next().flatten();
        let leader = read().as_ref().map(Elected::parse).transpose()?;
        let reigned = Reigned::parse(read().as_ref())?;
        let last = Last::parse(read().as_ref())?;
        self.shared.knows(reigned.epoch);
        let leads =
            leader.as_ref().is_some_and(|leader| leader.created == reign.created) && reigned == reign.reigned;
        let asked_for = |last: Last| mark == Some(last.mark) || earlier == Some(last.mark);
        if asked_for(last) {
            self.last = last;
            if !leads {
                self.shared.end(reign);
            }
            return Ok(Sent::Made(last.modified));
        }
        if leads && last == self.last {
            let found = conditions.iter().map(|read| read.as_ref().map(|key| revision(key.mod_revision())));
            return Ok(Sent::Unmet(found.collect()));
        }
        self.shared.end(reign);
        // The one who was elected next wrote down what was made before.
        let next = reigned.epoch > reign.epoch() && reigned.before.mark.epoch == reign.epoch();
        if next && asked_for(reigned.before) {
            self.last = reigned.before;
            return Ok(Sent::Made(reigned.before.modified));
        }
        let known = next || last.mark.epoch == reign.epoch();
        Ok(match unsure && !known {
            true => Sent::Undecided(Arc::new(std::io::Error::other("several have led since"))),
            false => Sent::Over,
        })
    }

    /// Ends the reign, so that no copy of what was sent can be made any more, and learns whether one was.
    async fn settle(&mut self, reign: &Arc<Reign>, mark: Mark, fault: Fault) -> Sent {
        match self.leave_reading(reign, self.shared.options.patience).await {
            Ok(last) if last.mark == mark => Sent::Made(last.modified),
            Ok(last) if last == self.last => Sent::Refused(fault),
            _ => {
                let why = self.shared.members.error(fault);
                Sent::Undecided(Arc::new(why))
            }
        }
    }

    /// Gives the leadership up.
    async fn leave(&mut self, reign: &Arc<Reign>, patience: Duration) -> Result<(), StoreError> {
        self.leave_reading(reign, patience).await.map(drop)
    }

    /// Gives the leadership up, and answers which commit was made last.
    async fn leave_reading(&mut self, reign: &Arc<Reign>, patience: Duration) -> Result<Last, StoreError> {
        let shared = self.shared.clone();
        let layout = &shared.layout;
        // Whatever comes of it: this store does not lead any more.
        shared.end(reign);
        let delete = Txn::new()
            .when(vec![Compare::create_revision(layout.leader(), CompareOp::Equal, reign.created)])
            .and_then(vec![TxnOp::get(layout.last(), None), TxnOp::delete(layout.leader(), None)])
            .or_else(vec![TxnOp::get(layout.last(), None), TxnOp::get(layout.epoch(), None)]);
        let turn = shared.turn();
        let until = Instant::now() + patience;
        let Asked { result, unsure } = shared
            .members
            .ask(
                || until,
                |client| {
                    let (delete, mut kv) = (delete.clone(), client.kv_client());
                    async move { kv.txn(delete).await }
                },
            )
            .await;
        let answer = result.map_err(|fault| shared.members.error(fault))?;
        let reads = gets(&answer);
        let last = Last::parse(reads.first().and_then(Option::as_ref))?;
        let at = answer.header().map_or(0, etcd_client::ResponseHeader::revision);
        if answer.succeeded() {
            shared.read(turn, at, None);
        } else if !unsure {
            let reigned = Reigned::parse(reads.get(1).and_then(Option::as_ref))?;
            shared.knows(reigned.epoch);
            return Err(StoreError::NotLeading { held: reign.epoch(), current: shared.epoch() });
        }
        renew::revoke(shared.clone(), reign.lease);
        Ok(last)
    }

    async fn drop_given_up(&mut self) {
        if let Some(reign) = self.shared.reign()
            && self.shared.is_given_up(reign.epoch())
        {
            let _ = self.leave(&reign, self.shared.options.patience).await;
        }
    }

    /// Stands for election once. `None` while another leads.
    async fn campaign(&mut self, candidate: &Candidate) -> Result<Option<Leadership>, StoreError> {
        let until = Instant::now() + self.shared.options.patience;
        loop {
            let state = self.read_state(until).await?;
            if let Some(stored) = &state.version {
                self.version.admits(ClusterVersion::from_bytes(stored.value())?)?;
            }
            let Some(epoch) = state.reigned.epoch.above(candidate.above) else {
                return Err(StoreError::EpochExhausted(state.reigned.epoch.max(candidate.above)));
            };
            if state.leader.as_ref().is_some_and(|leader| !self.shared.is_own(leader)) {
                return Ok(None);
            }
            let leader = Leader { name: candidate.name.clone(), epoch };
            if let Some(reign) = self.stand(&state, leader, until).await? {
                let leadership = Leadership::new(reign.leader.clone());
                self.shared.begin(reign.clone(), self.last.modified);
                tokio::spawn(renew::renew(self.shared.clone(), reign));
                return Ok(Some(leadership));
            }
            // Somebody was faster, or what was read has changed.
        }
    }

    /// What an election depends on, at one moment.
    async fn read_state(&self, until: Instant) -> Result<State, StoreError> {
        let shared = &self.shared;
        let layout = &shared.layout;
        let version = layout.data(&ClusterVersion::key());
        let reads = Txn::new().and_then(
            [layout.leader(), layout.epoch(), layout.last(), version]
                .map(|key| TxnOp::get(key, None))
                .to_vec(),
        );
        let turn = shared.turn();
        let asked = shared.members.ask(
            || until,
            |client| {
                let (reads, mut kv) = (reads.clone(), client.kv_client());
                async move { kv.txn(reads).await }
            },
        );
        let answer = asked.await.result.map_err(|fault| shared.members.error(fault))?;
        let at = answer.header().map_or(0, etcd_client::ResponseHeader::revision);
        let mut reads = gets(&answer).into_iter();
        let mut read = || reads.next().flatten();
        let leader = read().as_ref().map(Elected::parse).transpose()?;
        let state = State {
            leader,
            reigned: Reigned::parse(read().as_ref())?,
            last: Last::parse(read().as_ref())?,
            version: read(),
        };
        shared.knows(state.reigned.epoch);
        shared.read(turn, at, state.leader.clone());
        Ok(state)
    }

    /// The election's transaction. `None` when what was read does not hold any more.
    async fn stand(
        &mut self,
        state: &State,
        leader: Leader,
        until: Instant,
    ) -> Result<Option<Arc<Reign>>, StoreError> {
        let shared = self.shared.clone();
        let (lease, valid_until) = renew::grant(&shared, until).await?;
        let layout = &shared.layout;
        let version = ClusterVersion::key();
        let at = |read: &Option<KeyValue>| read.as_ref().map_or(0, KeyValue::mod_revision);
        let created = state.leader.as_ref().map_or(0, |leader| leader.created);
        let mut reigned = Reigned { epoch: leader.epoch, before: state.last, modified: 0 };
        let mark = Mark { epoch: leader.epoch, count: 0 };
        let mut then = vec![
            TxnOp::put(layout.leader(), Elected::value(&leader), Some(PutOptions::new().with_lease(lease))),
            TxnOp::put(layout.epoch(), reigned.value(), None),
            TxnOp::put(layout.last(), mark.to_string(), None),
        ];
        if state.version.is_none() {
            then.push(TxnOp::put(layout.data(&version), self.version.to_bytes(), None));
        }
        let txn = Txn::new()
            .when(vec![
                Compare::create_revision(layout.leader(), CompareOp::Equal, created),
                Compare::mod_revision(layout.epoch(), CompareOp::Equal, state.reigned.modified),
                Compare::mod_revision(layout.last(), CompareOp::Equal, state.last.modified),
                Compare::mod_revision(layout.data(&version), CompareOp::Equal, at(&state.version)),
            ])
            .and_then(then)
            .or_else(vec![TxnOp::get(layout.leader(), None)]);
        let until = until.min(valid_until);
        let asked = shared.members.ask(
            || until,
            |client| {
                let (txn, mut kv) = (txn.clone(), client.kv_client());
                async move { kv.txn(txn).await }
            },
        );
        let answer = match asked.await.result {
            Ok(answer) => answer,
            Err(fault) => {
                // A copy that is late finds no lease.
                renew::revoke(shared.clone(), lease);
                return Err(shared.members.error(fault));
            }
        };
        let revision = answer.header().map_or(0, etcd_client::ResponseHeader::revision);
        let elected = match answer.succeeded() {
            true => Some((if created == 0 { revision } else { created }, revision)),
            // Or an earlier copy was made: no other has this lease.
            false => gets(&answer)
                .into_iter()
                .flatten()
                .find(|found| found.lease() == lease)
                .map(|found| (found.create_revision(), found.mod_revision())),
        };
        let Some((created, modified)) = elected else {
            renew::revoke(shared.clone(), lease);
            return Ok(None);
        };
        let before = shared.reign();
        reigned.modified = modified;
        self.last = Last { mark, modified };
        self.count = 0;
        if let Some(before) = before {
            // The leader key has moved to the new lease.
            renew::revoke(shared.clone(), before.lease);
        }
        Ok(Some(Arc::new(Reign::new(leader, lease, created, reigned, valid_until))))
    }
}

/// Sends a transaction to a member.
#[cfg(not(feature = "failpoints"))]
fn deliver(
    _: &Shared,
    client: &Client,
    txn: Txn,
) -> impl Future<Output = Result<TxnResponse, etcd_client::Error>> + use<> {
    let mut kv = client.kv_client();
    async move { kv.txn(txn).await }
}

/// Sends a transaction to a member, as a test has it.
#[cfg(feature = "failpoints")]
fn deliver(
    shared: &Shared,
    client: &Client,
    txn: Txn,
) -> impl Future<Output = Result<TxnResponse, etcd_client::Error>> + use<> {
    super::hook::deliver(&shared.options, client.kv_client(), txn)
}

/// What an election depends on.
struct State {
    leader: Option<Elected>,
    reigned: Reigned,
    last: Last,
    version: Option<KeyValue>,
}

fn compare(key: String, wanted: crate::Condition) -> Compare {
    use crate::Condition;
    match wanted {
        Condition::Absent => Compare::create_revision(key, CompareOp::Equal, 0),
        Condition::Present => Compare::create_revision(key, CompareOp::Greater, 0),
        // No key of etcd's has such a high one.
        Condition::At(revision) => {
            Compare::mod_revision(key, CompareOp::Equal, i64::try_from(revision.get()).unwrap_or(i64::MAX))
        }
    }
}

/// The keys that the single reads of an answer found, in their order.
fn gets(answer: &TxnResponse) -> Vec<Option<KeyValue>> {
    answer
        .op_responses()
        .into_iter()
        .filter_map(|response| match response {
            TxnOpResponse::Get(mut get) => Some(get.take_kvs().into_iter().next()),
            _ => None,
        })
        .collect()
}
