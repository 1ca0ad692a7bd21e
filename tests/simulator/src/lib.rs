//! Whole clusters in one thread, from one seed: masters, their store, agents with their disks and tasks, the network between
//! them, clients, clocks and faults. What decides is what ships: [`master::core`], [`services::core`] with the scheduler below
//! them, and [`agent::daemon::core`]. What is simulated is all that those promise nothing about.
//!
//! ```text
//!  clients ─▶ services ◀─channel─▶ master ◀═ streams that lag, stop and break ═▶ agent ─▶ disk
//!                 └──▶ store ◀───────┘        one queue of events, one clock        └──▶ shims, which outlive it
//! ```
//!
//! After every event that matters, and at the end, when all faults are over, the promises are checked (`checks`, `clients`).
//! The same seed gives the same history, to the byte. It never looks at a clock, a file or the system's randomness, and
//! nothing of it is in the shipped binary.

mod agents;
mod checks;
mod clients;
mod faults;
mod masters;
mod network;
mod random;
mod store_model;
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub use masters::Point;
use world::World;

/// A guard that is left out on purpose, to see that its absence is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// Agents take any epoch for a good one.
    AgentTakesAnyEpoch,
    /// Agents go on before what they have to keep is on their disk.
    AgentWritesLater,
    /// The store makes commits of whoever led once.
    StoreComparesNothing,
    /// Services launch before the instance is on record.
    LaunchBeforeCommit,
    /// Services answer clients before the change is on record.
    AnswerBeforeCommit,
    /// A shim starts its task although its agent has said that it never will.
    ShimStartsAnyway,
    /// News of tasks is acknowledged to agents as it comes, before anybody has dealt with it.
    MasterAcknowledgesUnheard,
}

impl Switch {
    /// Every one.
    pub const ALL: [Switch; 7] = [
        Self::AgentTakesAnyEpoch,
        Self::AgentWritesLater,
        Self::StoreComparesNothing,
        Self::LaunchBeforeCommit,
        Self::AnswerBeforeCommit,
        Self::ShimStartsAnyway,
        Self::MasterAcknowledgesUnheard,
    ];
}

/// What happened in a history.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Milliseconds that were simulated.
    pub millis: u64,
    /// Events.
    pub events: u64,
    /// Faults, by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// How often each place was passed, and how often its process was struck there.
    pub points: BTreeMap<Point, (u64, u64)>,
    /// Tasks that ran.
    pub tasks: u64,
    /// What clients asked for, by what became of it.
    pub asked: BTreeMap<&'static str, u64>,
    /// Reigns that began.
    pub reigns: u64,
    /// From the end of all faults until everything was as it should be, in milliseconds.
    pub settled: u64,
}

impl Figures {
    /// Adds another history's.
    pub fn add(&mut self, other: &Figures) {
        self.millis += other.millis;
        self.events += other.events;
        self.tasks += other.tasks;
        self.reigns += other.reigns;
        self.settled = self.settled.max(other.settled);
        for (name, count) in &other.faults {
            *self.faults.entry(name).or_default() += count;
        }
        for (name, count) in &other.asked {
            *self.asked.entry(name).or_default() += count;
        }
        for (point, (passed, struck)) in &other.points {
            let all = self.points.entry(*point).or_default();
            *all = (all.0 + passed, all.1 + struck);
        }
    }
}

/// A promise that was broken.
#[derive(Clone, Debug)]
pub struct Broken {
    /// Of the history.
    pub seed: u64,
    /// The number of the event.
    pub step: u64,
    /// Simulated milliseconds.
    pub at: u64,
    /// Which promise, and how.
    pub what: String,
}

/// A history and how it went.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What happened.
    pub figures: Figures,
    /// What should not have.
    pub broken: Option<Broken>,
    /// All events, when they were to be recorded.
    pub log: Vec<String>,
}

/// Plays one history. `steps` ends it after so many events, and `record` keeps its log.
#[must_use]
pub fn play(seed: u64, switch: Option<Switch>, steps: Option<u64>, record: bool) -> Outcome {
    let mut world = World::new(seed, switch, record);
    let played = catch_unwind(AssertUnwindSafe(|| world.run(steps)));
    if played.is_err() {
        world.fail("nothing panics: a core did".to_owned());
    }
    world.outcome()
}

/// What somebody has to know to look into it: the last events, and the command that shows them all.
#[must_use]
pub fn report(broken: &Broken, switch: Option<Switch>) -> String {
    let again = play(broken.seed, switch, None, true);
    let from = again.log.len().saturating_sub(50);
    let last: String = again.log.iter().skip(from).map(|line| format!("  {line}\n")).collect();
    format!(
        "seed {}, step {}, {}.{:03} s: {}\nthe last events:\n{last}replay: cargo run -p simulator --bin simulate -- --seed {}\n",
        broken.seed,
        broken.step,
        broken.at / 1000,
        broken.at % 1000,
        broken.what,
        broken.seed,
    )
}
