//! The task that owns the state.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use api::marathon::ApiError;
use api::mesos::{Call, Subscribe, Subscription};
use store::{Batch, Leadership, MAX_BATCH_BYTES, MAX_OPS, Store, failpoint};
use tokio::sync::mpsc::{self, error::TryRecvError};
use tokio::sync::{oneshot, watch};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::events::Hub;
use super::view::View;
use super::{Clock, Message, Options, ServicesError, ask_of};
use crate::core::{Answer, Change, Effect, Input, State, Ticket, step, steps};

/// How many inputs are decided together, so that one commit serves them all.
const TOGETHER: usize = 1024;
/// So many events and calls go out in one go.
const SAID_AT_ONCE: usize = 1024;
/// A subscription that takes longer is tried again.
const SUBSCRIBING: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// So many calls that the master does not take mean that it is stuck: the subscription is made anew.
const MOST_CALLS: usize = 100_000;

type Subscribing = Pin<Box<dyn Future<Output = Option<Option<Subscription>>> + Send>>;

pub(crate) struct Owner {
    state: State,
    options: Arc<Options>,
    store: Arc<dyn Store>,
    leadership: Leadership,
    master: Arc<dyn Subscribe>,
    views: watch::Sender<Arc<View>>,
    hub: Hub,
    clock: Clock,
    waiting: BTreeMap<u64, oneshot::Sender<Result<Answer, ApiError>>>,
    next_request: u64,
    calls: VecDeque<Call>,
    link: Link,
    pause: Duration,
    /// Who waits to hear that nothing is launched any more.
    freezing: Vec<oneshot::Sender<()>>,
}

/// The connection to the master.
enum Link {
    Subscribing(Subscribing),
    Up(Subscription),
}

/// What woke the loop.
enum Wake {
    Message(Option<Message>),
    Event(Option<api::mesos::Event>),
    Subscribed(Option<Option<Subscription>>),
    Sent(bool),
    Tick,
}

impl Owner {
    #[expect(clippy::too_many_arguments, reason = "called once, with everything that the loop owns")]
    pub(crate) fn new(
        state: State,
        options: Arc<Options>,
        store: Arc<dyn Store>,
        leadership: Leadership,
        master: Arc<dyn Subscribe>,
        views: watch::Sender<Arc<View>>,
        hub: Hub,
        clock: Clock,
    ) -> Owner {
        let link = Link::Subscribing(subscribing(&master, &options, &state, Duration::ZERO));
        Owner {
            state,
            options,
            store,
            leadership,
            master,
            views,
            hub,
            clock,
            waiting: BTreeMap::new(),
            next_request: 0,
            calls: VecDeque::new(),
            link,
            pause: Duration::ZERO,
            freezing: Vec::new(),
        }
    }

    pub(crate) async fn run(mut self, mut inbox: mpsc::Receiver<Message>) -> Result<(), ServicesError> {
        let mut ticks = interval(self.options.tick);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let wake = self.wake(&mut inbox, &mut ticks).await;
            let mut inputs = Vec::new();
            let mut go_on = self.take(wake, &mut inputs);
            while go_on && inputs.len() < TOGETHER {
                match self.more(&mut inbox) {
                    Some(wake) => go_on = self.take(wake, &mut inputs),
                    None => break,
                }
            }
            self.decide(inputs).await?;
            for done in self.freezing.drain(..) {
                let _caller_gone = done.send(());
            }
            if !go_on {
                return Ok(());
            }
        }
    }

    async fn wake(&mut self, inbox: &mut mpsc::Receiver<Message>, ticks: &mut tokio::time::Interval) -> Wake {
        let calls = &mut self.calls;
        match &mut self.link {
            Link::Subscribing(subscribing) => tokio::select! {
                message = inbox.recv() => Wake::Message(message),
                subscription = subscribing => Wake::Subscribed(subscription),
                _ = ticks.tick() => Wake::Tick,
            },
            Link::Up(subscription) => tokio::select! {
                message = inbox.recv() => Wake::Message(message),
                event = subscription.events.recv() => Wake::Event(event),
                permit = subscription.calls.reserve(), if !calls.is_empty() => match (permit, calls.pop_front()) {
                    (Ok(permit), Some(call)) => {
                        permit.send(call);
                        Wake::Sent(true)
                    }
                    _ => Wake::Sent(false),
                },
                _ = ticks.tick() => Wake::Tick,
            },
        }
    }

    /// What is there already, without waiting.
    fn more(&mut self, inbox: &mut mpsc::Receiver<Message>) -> Option<Wake> {
        match inbox.try_recv() {
            Ok(message) => return Some(Wake::Message(Some(message))),
            Err(TryRecvError::Disconnected) => return Some(Wake::Message(None)),
            Err(TryRecvError::Empty) => {}
        }
        let Link::Up(subscription) = &mut self.link else { return None };
        subscription.events.try_recv().ok().map(|event| Wake::Event(Some(event)))
    }

    /// Turns what came into inputs; false at the end.
    fn take(&mut self, wake: Wake, inputs: &mut Vec<Input>) -> bool {
        match wake {
            Wake::Message(None | Some(Message::Stop)) => return false,
            Wake::Message(Some(Message::Freeze(done))) => {
                inputs.push(Input::Freeze);
                self.freezing.push(done);
            }
            Wake::Message(Some(Message::Ask { request, force, caller, answer })) => {
                self.next_request += 1;
                self.waiting.insert(self.next_request, answer);
                inputs.push(Input::Request(ask_of(self.next_request, request, force, caller)));
            }
            Wake::Event(Some(event)) => {
                if matches!(event, api::mesos::Event::Subscribed { .. }) {
                    self.pause = Duration::ZERO;
                }
                inputs.push(Input::Event(event));
            }
            Wake::Event(None) | Wake::Sent(false) => {
                inputs.push(Input::Disconnected);
                self.again();
            }
            Wake::Sent(true) => {}
            Wake::Subscribed(Some(Some(subscription))) => self.link = Link::Up(subscription),
            Wake::Subscribed(Some(None)) => return false,
            Wake::Subscribed(None) => self.again(),
            Wake::Tick => inputs.push(Input::Tick),
        }
        true
    }

    /// Subscribes again, at once for the first time, then with longer and longer pauses.
    fn again(&mut self) {
        // What the old subscription did not take belongs to it.
        self.calls.clear();
        let subscribing = subscribing(&self.master, &self.options, &self.state, self.pause);
        self.link = Link::Subscribing(subscribing);
        self.pause = (self.pause * 2).clamp(Duration::from_millis(100), LONGEST_PAUSE);
    }

    /// Decides, stores what was decided, publishes the new view, and only then lets anything be seen or done.
    async fn decide(&mut self, inputs: Vec<Input>) -> Result<(), ServicesError> {
        let now = self.clock.now();
        let asked = inputs.iter().any(|input| matches!(input, Input::Request(_)));
        let mut effects = steps(&mut self.state, inputs, now);
        let mut free = Vec::new();
        loop {
            let mut commits = Vec::new();
            for effect in std::mem::take(&mut effects) {
                match effect {
                    Effect::Commit { ticket, changes } => commits.push((ticket, changes)),
                    other => free.push(other),
                }
            }
            if commits.is_empty() {
                break;
            }
            let (tickets, batches): (Vec<_>, Vec<_>) = batches(commits).into_iter().unzip();
            if asked {
                failpoint::reach("validated");
            }
            let (made, error) = self.store.commit_all(&self.leadership, batches).await;
            if asked {
                failpoint::reach("committed");
            }
            for ticket in tickets.into_iter().take(made).flatten() {
                effects.extend(step(&mut self.state, Input::Committed(ticket), now));
            }
            if let Some(error) = error {
                free.extend(effects);
                self.fail(free);
                return Err(error.into());
            }
        }
        let mut view = View::clone(&self.views.borrow());
        if view.update(&mut self.state) {
            self.views.send_replace(Arc::new(view));
        }
        for (said, effect) in free.into_iter().enumerate() {
            if said % SAID_AT_ONCE == SAID_AT_ONCE - 1 {
                // Whoever reads events gets a turn before there are more than it may be behind.
                tokio::task::yield_now().await;
            }
            self.carry_out(effect);
        }
        self.flush();
        if self.calls.len() > MOST_CALLS {
            tracing::warn!("the master takes no calls: subscribing again");
            self.again();
            for effect in step(&mut self.state, Input::Disconnected, now) {
                self.carry_out(effect);
            }
        }
        Ok(())
    }

    /// Sends what the master takes without being waited for; the loop sends the rest as it can.
    fn flush(&mut self) {
        let Link::Up(subscription) = &self.link else { return };
        while !self.calls.is_empty() {
            let Ok(permit) = subscription.calls.try_reserve() else { break };
            if let Some(call) = self.calls.pop_front() {
                permit.send(call);
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Call(call) => {
                if matches!(self.link, Link::Up(_)) {
                    match call {
                        // What they rest on is committed.
                        Call::Accept { ref tasks, .. } if !tasks.is_empty() => failpoint::reach("accepting"),
                        Call::Acknowledge { .. } => failpoint::reach("acknowledging"),
                        _ => {}
                    }
                    self.calls.push_back(call);
                }
            }
            Effect::Publish(event) => self.hub.publish(&event),
            Effect::Reply { request, result } => {
                if let Some(waiting) = self.waiting.remove(&request) {
                    let _client_gone = waiting.send(result);
                }
            }
            Effect::Commit { .. } => {}
        }
    }

    /// Those whose changes are stored are told so, the others that it is not known.
    fn fail(&mut self, free: Vec<Effect>) {
        free.into_iter()
            .filter(|effect| matches!(effect, Effect::Reply { .. }))
            .for_each(|effect| self.carry_out(effect));
        for (_, waiting) in std::mem::take(&mut self.waiting) {
            let message = "The change could not be stored. Look whether it was made before you try again.";
            let _client_gone = waiting.send(Err(ApiError::Unavailable(message.to_owned())));
        }
    }
}

/// Whoever reads events hears that no more come, however the task ends.
impl Drop for Owner {
    fn drop(&mut self) {
        self.hub.close();
    }
}

fn subscribing(
    master: &Arc<dyn Subscribe>,
    options: &Options,
    state: &State,
    pause: Duration,
) -> Subscribing {
    let (master, info) = (master.clone(), options.framework(state));
    Box::pin(async move {
        sleep(pause).await;
        timeout(SUBSCRIBING, master.subscribe(info)).await.ok()
    })
}

/// As few batches as possible, in order. Of two changes of one key the later one counts.
#[must_use]
pub fn batches(commits: Vec<(Ticket, Vec<Change>)>) -> Vec<(Vec<Ticket>, Batch)> {
    let mut done: Vec<(Vec<Ticket>, Batch)> = Vec::new();
    let mut tickets = Vec::new();
    let mut merged: BTreeMap<store::Key, Option<Vec<u8>>> = BTreeMap::new();
    let size = |merged: &BTreeMap<store::Key, Option<Vec<u8>>>| -> usize {
        merged.iter().map(|(key, value)| key.as_str().len() + value.as_ref().map_or(0, Vec::len)).sum()
    };
    for (ticket, changes) in commits {
        let more: usize = changes
            .iter()
            .map(|change| match change {
                Change::Put(key, value) => key.as_str().len() + value.len(),
                Change::Delete(key) => key.as_str().len(),
            })
            .sum();
        if !tickets.is_empty()
            && (merged.len() + changes.len() > MAX_OPS || size(&merged) + more > MAX_BATCH_BYTES)
        {
            done.push((std::mem::take(&mut tickets), batch(std::mem::take(&mut merged))));
        }
        tickets.push(ticket);
        for change in changes {
            match change {
                Change::Put(key, value) => merged.insert(key, Some(value)),
                Change::Delete(key) => merged.insert(key, None),
            };
        }
    }
    if !tickets.is_empty() {
        done.push((tickets, batch(merged)));
    }
    done
}

fn batch(changes: BTreeMap<store::Key, Option<Vec<u8>>>) -> Batch {
    changes.into_iter().fold(Batch::new(), |batch, (key, value)| match value {
        Some(value) => batch.put(key, value),
        None => batch.delete(key),
    })
}
