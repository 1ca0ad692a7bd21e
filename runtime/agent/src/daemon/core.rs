//! The agent's book of tasks, as a pure machine: inputs in, effects out.
//!
//! Effects are carried out in their order: what is written to disk is there before anything that follows it
//! happens, so a task is known before its shim starts, and a statement is kept before it is sent.
//!
//! ```text
//!   Launch ──▶ Checkpoint ──Kept──▶ Prepare ──Prepared──▶ StartShim ──Ran──▶ (states) ──▶ statements
//!     a task stays in the book until its last statement is acknowledged; then only its name is kept
//! ```

mod life;
mod link;
mod peers;
mod task;
#[cfg(test)]
pub(crate) mod tests;
mod update;
mod verdict;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use api::Moment;
use api::link::wire;
use api::marathon::Uuid;
use api::mesos::{Check, Peers, TaskInfo, TaskKey};
use scheduler::{AgentId, FrameworkId, Resources};

use crate::adopt::Why;
use crate::health::{Finding, Ready};
use crate::spec::Exit;

pub use link::Link;
pub use task::{Stage, Task};
pub use update::{Update, Updates};
pub use verdict::{KillWhy, Verdict, not_prepared, verdict_of};

/// What an agent says about itself, and what it may give away.
#[derive(Clone, Debug, PartialEq)]
pub struct About {
    /// For people.
    pub name: String,
    /// Its Mesos hostname.
    pub hostname: String,
    /// Where its tasks can be reached.
    pub address: IpAddr,
    /// Where it serves files.
    pub port: u16,
    /// What its tasks may use in sum.
    pub resources: Resources,
    /// In Mesos' text form.
    pub attributes: String,
    /// Its region.
    pub region: String,
    /// Its zone.
    pub zone: String,
    /// Its work directory.
    pub work_dir: PathBuf,
    /// From SIGTERM to SIGKILL for tasks that do not say.
    pub grace: Duration,
}

/// A task that is not in the book any more, and the last that was said of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Past {
    /// Whose it was.
    pub framework: FrameworkId,
    /// Its id.
    pub task: TaskKey,
    /// The last word.
    pub last: Update,
}

/// What is written before anything is done for a task.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// Whose it is.
    pub framework: FrameworkId,
    /// What it is.
    pub info: TaskInfo,
    /// The name of this run: that of its directory among the records, of its sandbox, and of its group.
    pub container: Uuid,
    /// Its sandbox.
    pub directory: PathBuf,
}

/// What is written of a task's statements.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Journal {
    /// Not acknowledged, in order.
    pub pending: Vec<Update>,
    /// The newest.
    pub last: Option<Update>,
    /// Why the agent is ending it.
    pub kill: Option<KillWhy>,
    /// That it was found ready.
    pub ready: Option<Ready>,
    /// Which peers its sandbox tells of.
    pub peers: Option<u64>,
}

/// What became of a task that an agent finds when it starts.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// Its shim lives; since when the task runs, in milliseconds since 1970, where that is known.
    Running(Option<u64>),
    /// It ended.
    Exited(Box<Exit>),
    /// There is no shim and no word about the end; something of it may still run.
    Lost(Why),
    /// It could not be looked at, which says nothing about it.
    Unknown,
}

/// A task that an agent finds when it starts.
#[derive(Clone, Debug, PartialEq)]
pub struct Recovered {
    /// As it was launched.
    pub checkpoint: Checkpoint,
    /// As it was told.
    pub journal: Journal,
    /// As it is.
    pub found: Found,
}

/// What can happen. Tasks are named by their container.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A stream to a master is open; numbers never come twice.
    LinkUp(u64),
    /// It is closed.
    LinkDown(u64),
    /// The master says something.
    Heard(u64, Box<wire::MasterMessage>),
    /// An epoch is on disk, or could not be written.
    EpochKept(u64, Result<(), String>),
    /// A checkpoint is on disk, or could not be written.
    Kept(Uuid, Result<(), String>),
    /// A sandbox is ready, or could not be made so.
    Prepared(Uuid, Result<(), String>),
    /// A shim answered: the program runs.
    Ran(Uuid),
    /// No shim could be started, or it did not answer.
    NotStarted(Uuid, String),
    /// A shim is gone: how its task ended, or why that is not known.
    ShimEnded(Uuid, Result<Box<Exit>, Why>),
    /// What became of a task could not be looked at, or was looked at again.
    LookedAt(Uuid, Found),
    /// A group was emptied, or would not be.
    Emptied(Uuid, Result<(), String>),
    /// A sandbox tells of these peers, or could not be made to.
    PeersWritten(Uuid, u64, Result<(), String>),
    /// A check looked.
    Probed(Uuid, usize, Finding),
    /// Time has passed.
    Tick,
    /// End all tasks, then this agent; `at_once` with SIGKILL.
    ShutDown {
        /// Without any grace.
        at_once: bool,
    },
    /// The name of a past task is not kept any more.
    Forgotten(Uuid),
}

/// What to do, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Write the highest epoch, then [`Input::EpochKept`].
    KeepEpoch(u64),
    /// Write this agent's id.
    KeepId(AgentId),
    /// Write a task down, then [`Input::Kept`].
    Checkpoint(Box<Checkpoint>),
    /// Write what is to be said about a task.
    Journal(Uuid, Box<Journal>),
    /// Make a sandbox and fetch into it, then [`Input::Prepared`].
    Prepare(Uuid),
    /// Stop that, and whatever it says.
    CancelPrepare(Uuid),
    /// Start a shim, then [`Input::Ran`] or [`Input::NotStarted`], and at its end [`Input::ShimEnded`].
    StartShim(Uuid),
    /// SIGTERM to the shim.
    AskShim(Uuid),
    /// SIGKILL to all of the task's processes; its shim tells of the end.
    KillTask(Uuid),
    /// SIGKILL to the shim and all of the task's processes, then [`Input::Emptied`].
    Empty(Uuid),
    /// Look at what became of a task, then [`Input::LookedAt`].
    LookAgain(Uuid),
    /// Look after a task, by its check of this number, then [`Input::Probed`].
    Probe(Uuid, usize, Box<Check>),
    /// Let a sandbox tell of these peers, then [`Input::PeersWritten`].
    WritePeers(Uuid, Peers),
    /// Tell the master.
    Send(u64, Box<wire::AgentMessage>),
    /// Close a stream to a master; the reason is for the log.
    CloseLink(u64, String),
    /// Remove a task's records, and keep its name.
    Remove(Uuid, Box<Past>),
    /// This agent is done.
    Done(Result<(), String>),
}

/// The book.
#[derive(Clone, Debug)]
pub struct State {
    /// About this agent.
    pub about: About,
    /// Its id, once a master has given it one.
    pub id: Option<AgentId>,
    /// The tasks, by container.
    pub tasks: BTreeMap<Uuid, Task>,
    /// Tasks of the past, by container.
    pub past: BTreeMap<Uuid, Past>,
    /// What was refused or dropped.
    pub counters: Counters,
    by_name: BTreeMap<(FrameworkId, TaskKey), Uuid>,
    link: Option<Link>,
    /// The highest seen, and the highest on disk.
    epoch: u64,
    epoch_kept: u64,
    ending: Option<Ending>,
    random: u128,
}

/// Things that should not happen often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages of masters that are not leading any more.
    pub old_epochs: u64,
    /// Messages that could not be understood.
    pub bad_messages: u64,
    /// Acknowledgements of something else than what was said last.
    pub stray_acknowledgements: u64,
}

#[derive(Clone, Copy, Debug)]
struct Ending {
    at_once: bool,
    /// When the last task was seen to have ended; the master has a moment to hear of it.
    ended_at: Option<Duration>,
    done: bool,
}

/// How long an agent that ends waits for the last acknowledgements.
const LAST_WORDS: Duration = Duration::from_secs(3);

impl State {
    /// An empty book. `random` is drawn by the caller; all uuids come from it.
    #[must_use]
    pub fn new(about: About, id: Option<AgentId>, epoch: u64, random: u128) -> Self {
        Self {
            about,
            id,
            tasks: BTreeMap::new(),
            past: BTreeMap::new(),
            counters: Counters::default(),
            by_name: BTreeMap::new(),
            link: None,
            epoch,
            epoch_kept: epoch,
            ending: None,
            random,
        }
    }

    /// When a [`Input::Tick`] is due.
    #[must_use]
    pub fn wake_at(&self) -> Option<Duration> {
        let speaking = self.speaking().is_some();
        let tasks = self.tasks.values().filter_map(|task| task.wake_at(speaking)).min();
        let ending = self.ending.filter(|e| !e.done).and_then(|e| e.ended_at).map(|at| at + LAST_WORDS);
        tasks.into_iter().chain(ending).min()
    }

    /// Whether it was to end with all its tasks, and that is done.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.ending.is_some_and(|ending| ending.done)
    }

    /// The highest epoch seen.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether a master knows this agent now.
    #[must_use]
    pub fn is_registered(&self) -> bool {
        self.speaking().is_some()
    }

    /// The stream on which statements can be sent.
    fn speaking(&self) -> Option<u64> {
        self.link.as_ref().filter(|link| link.registered).map(|link| link.number)
    }

    /// The next of a sequence that looks random to everybody else (a mixer like `splitmix64`, of twice its width).
    fn draw(&mut self) -> Uuid {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        let mut z = self.random;
        z = (z ^ (z >> 67)).wrapping_mul(0xbf58_476d_1ce4_e5b9_94d0_49bb_1331_11eb);
        z = (z ^ (z >> 59)).wrapping_mul(0x94d0_49bb_1331_11eb_bf58_476d_1ce4_e5b9);
        Uuid::from_random(z ^ (z >> 63))
    }

    /// Takes in what an earlier agent left: first of all inputs.
    pub fn recover(&mut self, tasks: Vec<Recovered>, past: Vec<(Uuid, Past)>, now: Moment) -> Vec<Effect> {
        for (container, past) in past {
            self.by_name.insert((past.framework.clone(), past.task.clone()), container);
            self.past.insert(container, past);
        }
        let mut effects = Vec::new();
        for task in tasks {
            let Recovered { checkpoint, journal, found } = task;
            let container = checkpoint.container;
            self.by_name.insert((checkpoint.framework.clone(), checkpoint.info.id.clone()), container);
            self.tasks.insert(container, Task::recovered(checkpoint, journal, self.about.grace, now));
            life::found(self, container, found, now, &mut effects);
        }
        effects
    }
}

/// The next state, and what must be done for it, in this order.
#[must_use]
pub fn step(state: &mut State, input: Input, now: Moment) -> Vec<Effect> {
    let mut effects = Vec::new();
    let out = &mut effects;
    match input {
        Input::LinkUp(number) => link::up(state, number, now, out),
        Input::LinkDown(number) => link::down(state, number),
        Input::Heard(number, message) => link::heard(state, number, *message, now, out),
        Input::EpochKept(epoch, kept) => link::epoch_kept(state, epoch, kept, now, out),
        Input::Kept(container, kept) => life::kept(state, container, kept, now, out),
        Input::Prepared(container, ready) => life::prepared(state, container, ready, now, out),
        Input::Ran(container) => life::ran(state, container, now, out),
        Input::NotStarted(container, why) => life::not_started(state, container, why, now, out),
        Input::ShimEnded(container, end) => life::shim_ended(state, container, end, now, out),
        Input::LookedAt(container, found) => life::found(state, container, found, now, out),
        // What is not empty is tried again when its time has come.
        Input::Emptied(_, Err(_)) => {}
        Input::Emptied(container, Ok(())) => life::emptied(state, container, now, out),
        Input::Probed(container, check, probe) => life::probed(state, container, check, probe, now, out),
        Input::PeersWritten(container, version, written) => {
            peers::written(state, container, version, written.is_ok(), out);
        }
        Input::Tick => life::tick(state, now, out),
        Input::ShutDown { at_once } => life::shut_down(state, at_once, now, out),
        Input::Forgotten(container) => {
            if let Some(past) = state.past.remove(&container) {
                state.by_name.remove(&(past.framework, past.task));
            }
        }
    }
    link::flush(state, now, &mut effects);
    life::perhaps_done(state, now, &mut effects);
    effects
}
