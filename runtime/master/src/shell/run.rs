//! The one task that owns the state.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use api::mesos::{Event, FrameworkInfo};
use store::{Batch, LeaderView, Leadership, Stamp, Store, StoreError, failpoint};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::link::{Out, ToStream, to_wire};
use super::table::{Peer, Table};
use super::{Clock, Secrets};
use crate::MasterError;
use crate::core::{Effect, Input, Registration, State, ToAgent, step};
use crate::metrics::Gauges;
use crate::view::View;

/// What is stepped before readers are shown the result.
const BATCH: usize = 512;

/// What reaches the loop.
pub(super) enum Post {
    Input(Input),
    Agent {
        connection: u64,
        registration: Registration,
        sender: Out,
        end: oneshot::Sender<()>,
    },
    Framework {
        channel: u64,
        info: FrameworkInfo,
        sender: mpsc::Sender<Event>,
        end: oneshot::Sender<()>,
    },
    /// Answered when the loop comes to it.
    Alive(oneshot::Sender<()>),
    Stop,
}

type Commit = (u64, String, Result<Stamp, StoreError>, Duration);

pub(super) struct Loop {
    state: State,
    clock: Clock,
    gap: Duration,
    store: Arc<dyn Store>,
    leadership: Leadership,
    publish: watch::Sender<Arc<View>>,
    gauges: Gauges,
    agents: Table<ToStream>,
    frameworks: Table<Event>,
    inputs: VecDeque<Input>,
    commits: JoinSet<Commit>,
    /// Commits that wait for an earlier one of the same subject.
    waiting: HashMap<String, VecDeque<(u64, Batch)>>,
    last_cycle: Instant,
    /// Something changed since the last cycle.
    stale: bool,
    stopped: bool,
    pub(super) secrets: Option<Arc<dyn Secrets>>,
}

impl Loop {
    pub(super) fn new(
        state: State,
        clock: Clock,
        gap: Duration,
        store: Arc<dyn Store>,
        leadership: Leadership,
        publish: watch::Sender<Arc<View>>,
        gauges: Gauges,
    ) -> Self {
        Self {
            state,
            clock,
            gap,
            store,
            leadership,
            publish,
            gauges,
            agents: Table::new(),
            frameworks: Table::new(),
            inputs: VecDeque::new(),
            commits: JoinSet::new(),
            waiting: HashMap::new(),
            last_cycle: Instant::now(),
            stale: false,
            stopped: false,
            secrets: None,
        }
    }

    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<Post>) -> Result<(), MasterError> {
        let mut leaders = self.store.observe_leader();
        let mut observing = true;
        let mut tick = interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let next_cycle = self.last_cycle + self.gap;
            tokio::select! {
                post = inbox.recv() => match post {
                    Some(post) => self.take(post),
                    None => return Ok(()),
                },
                Some(done) = self.commits.join_next() => self.committed(done)?,
                _ = tick.tick() => {
                    self.inputs.extend([Input::Tick, Input::Cycle]);
                    self.last_cycle = Instant::now();
                }
                () = sleep_until(next_cycle), if self.stale => self.inputs.push_back(Input::Cycle),
                changed = leaders.changed(), if observing => observing = changed.is_ok(),
            }
            for _ in 0..BATCH {
                let Ok(post) = inbox.try_recv() else { break };
                self.take(post);
            }
            self.deposed(&leaders.borrow())?;
            self.settle();
            if self.stopped {
                return Ok(());
            }
        }
    }

    /// A master that knows that another one leads says nothing more.
    fn deposed(&self, leader: &LeaderView) -> Result<(), MasterError> {
        match leader {
            LeaderView::Led(leader) if leader.epoch > self.leadership.epoch() => Err(MasterError::Deposed {
                held: self.leadership.epoch(),
                leader: leader.name.clone(),
                epoch: leader.epoch,
            }),
            _ => Ok(()),
        }
    }

    fn take(&mut self, post: Post) {
        match post {
            Post::Input(input) => self.inputs.push_back(input),
            Post::Agent { connection, registration, sender, end } => {
                self.agents.open(connection, Peer { sender, _end: end });
                self.inputs.push_back(Input::AgentConnected { connection, registration });
            }
            Post::Framework { channel, info, sender, end } => {
                self.frameworks.open(channel, Peer { sender, _end: end });
                self.inputs.push_back(Input::Subscribed { channel, info });
            }
            Post::Alive(answer) => {
                // Whoever does not wait any more needs no answer.
                let _ = answer.send(());
            }
            Post::Stop => self.stopped = true,
        }
    }

    fn committed(&mut self, done: Result<Commit, JoinError>) -> Result<(), MasterError> {
        let (ticket, subject, answer, took) = done.map_err(|error| MasterError::Lost(error.to_string()))?;
        self.gauges.store.observe(took.as_secs_f64());
        self.gauges.store_ms.set(took.as_secs_f64() * 1000.0);
        if let Err(error) = answer {
            // Whoever waited is told before the master ends.
            self.inputs.push_back(Input::CommitFailed { ticket });
            self.settle();
            return Err(error.into());
        }
        self.inputs.push_back(Input::Committed { ticket });
        let next = self.waiting.get_mut(&subject).and_then(VecDeque::pop_front);
        match next {
            Some((ticket, batch)) => self.start(ticket, subject, batch),
            None => {
                self.waiting.remove(&subject);
            }
        }
        Ok(())
    }

    fn commit(&mut self, ticket: u64, subject: String, batch: Batch) {
        if let Some(waiting) = self.waiting.get_mut(&subject) {
            waiting.push_back((ticket, batch));
        } else {
            self.waiting.insert(subject.clone(), VecDeque::new());
            self.start(ticket, subject, batch);
        }
    }

    fn start(&mut self, ticket: u64, subject: String, batch: Batch) {
        let (store, leadership) = (self.store.clone(), self.leadership.clone());
        self.commits.spawn(async move {
            let began = Instant::now();
            let answer = store.commit(&leadership, batch).await;
            (ticket, subject, answer, began.elapsed())
        });
    }

    /// Steps all that waits, carries out what follows, and shows the result.
    fn settle(&mut self) {
        if self.inputs.is_empty() {
            return;
        }
        let began = Instant::now();
        while let Some(input) = self.inputs.pop_front() {
            let cycle = input == Input::Cycle;
            if cycle {
                self.last_cycle = Instant::now();
                self.stale = false;
            }
            self.let_go(&input);
            let now = self.clock.now();
            for effect in step(&mut self.state, input, now) {
                self.perform(effect);
            }
            if cycle {
                self.gauges.cycle.observe(self.last_cycle.elapsed().as_secs_f64());
            } else {
                self.stale = true;
            }
        }
        self.gauges.batch.observe(began.elapsed().as_secs_f64());
        let now = self.clock.now();
        self.publish.send_replace(Arc::new(View::of(&self.state, now)));
    }

    /// Whoever is gone is sent nothing more: with its sender its stream ends, and what was kept for it.
    fn let_go(&mut self, input: &Input) {
        match input {
            Input::AgentDisconnected { connection } => self.agents.close(*connection),
            Input::ChannelClosed { channel } => self.frameworks.close(*channel),
            _ => {}
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::SendAgent { connection, message } => {
                let sent = match message {
                    ToAgent::Launch { .. } => {
                        // What it rests on is committed.
                        failpoint::reach("launching");
                        Some("launched")
                    }
                    ToAgent::Kill { .. } => Some("killed"),
                    ToAgent::Acknowledge { .. } => Some("acknowledged"),
                    _ => None,
                };
                let message = match reveal(self.secrets.as_deref(), message) {
                    Ok(message) => message,
                    Err(failed) => return self.inputs.push_back(*failed),
                };
                let message = to_wire(self.leadership.epoch().get(), self.state.master(), message);
                if !self.agents.send(connection, Box::new(Ok(message))) {
                    self.inputs.push_back(Input::AgentDisconnected { connection });
                }
                if let Some(sent) = sent {
                    failpoint::reach(sent);
                }
            }
            Effect::CloseAgent { connection } => self.agents.close(connection),
            Effect::SendFramework { channel, event } => {
                if !self.frameworks.send(channel, event) {
                    tracing::warn!(channel, "a framework left too much unread, or is gone");
                    self.inputs.push_back(Input::ChannelClosed { channel });
                }
            }
            Effect::CloseFramework { channel } => self.frameworks.close(channel),
            Effect::Commit { ticket, subject, batch } => self.commit(ticket, subject, batch),
            Effect::Note(text) => tracing::info!("{text}"),
        }
    }
}

/// Puts the values of secrets into a launch. They are in the message alone, which is on its way then. What is to be done where one is not
/// to be had.
fn reveal(secrets: Option<&dyn Secrets>, message: ToAgent) -> Result<ToAgent, Box<Input>> {
    let (framework, info) = match message {
        ToAgent::Launch { framework, info } if !info.command.secrets.is_empty() => (framework, info),
        other => return Ok(other),
    };
    let mut whole = (*info).clone();
    for (name, path) in std::mem::take(&mut whole.command.secrets) {
        let value = match secrets {
            Some(secrets) => secrets.reveal(&path),
            None => Err(format!("this master has no secrets, and so not {path}")),
        };
        match value {
            Ok(value) => {
                whole.command.env.insert(name, value);
            }
            Err(why) => {
                let why = format!("the variable {name} has no value: {why}");
                return Err(Box::new(Input::LaunchFailed { framework, task: whole.id, why }));
            }
        }
    }
    Ok(ToAgent::Launch { framework, info: Arc::new(whole) })
}
