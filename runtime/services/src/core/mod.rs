//! The decisions: a function from state, input and time to effects.
//!
//! What a step changes at once stands in one commit. Records that never change and that only this commit refers to may go ahead
//! of it, when there are more than one takes, and so do records of instances, each of which stands for itself. Commits are
//! made in the order in which they were decided. All else that the step decides (replies, calls, events) is held until the
//! last one is acknowledged, so that nothing is visible that a crash could undo.

mod backoff;
mod books;
mod change;
mod goal;
mod group_requests;
mod health;
mod history;
mod launch;
mod load;
mod matching;
mod offers;
mod order;
mod peers;
mod plan;
mod ports;
mod queue;
mod reconcile;
mod record;
mod requests;
mod run;
mod select;
mod service_ports;
mod state;
mod status;
mod support;
mod turn;
pub mod view;
mod work;

#[cfg(test)]
mod tests;

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

use api::Moment;
use api::marathon::{
    ApiError, App, AppEdit, AppId, AppUpdate, DeploymentResult, DeploymentStep, GroupChange, GroupId,
    GroupUpdate, Task, TaskId, TimedEvent, Timestamp, Uuid,
};
use api::mesos::{Call, Event};
use scheduler::Role;
use store::Key;

pub use history::{Group, Past};
pub use plan::{Action, Left, Levels, Pair, Step, plan};
pub use record::LoadError;
pub use state::State;

/// Tells one commit from another.
pub type Ticket = u64;

/// What the core is set up with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The role of apps that name none.
    pub role: Role,
    /// All roles that offers are asked for in, the default one included.
    pub roles: Vec<Role>,
    /// Where service ports are given from.
    pub service_ports: RangeInclusive<u16>,
    /// How many deployments may run at once.
    pub max_deployments: usize,
    /// How many versions of an app are kept.
    pub max_versions: usize,
    /// The longest app definition, in bytes of its JSON.
    pub max_app_bytes: usize,
    /// What of agents' hosts tasks may have.
    pub host_paths: HostPaths,
}

/// What of agents' hosts tasks may have as volumes. Agents have the same from their operators, and the last word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostPaths {
    /// In these directories; absolute.
    pub allowed: Vec<PathBuf>,
    /// Whether agents cannot mount, having no root: then a volume is a link in the sandbox, which can be written through.
    pub links_only: bool,
}

/// Who asked, for the event that says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// Its address.
    pub ip: String,
    /// What it asked for.
    pub uri: String,
}

/// What a client asks to be changed.
#[derive(Clone, Debug)]
pub enum Request {
    /// `POST /v2/apps`.
    Create(Box<App>),
    /// `PUT /v2/apps/{id}?partialUpdate=false`: creates it where it is missing.
    Replace(Box<App>),
    /// `PATCH`, and `PUT`, which creates (`create`) what is missing.
    Update {
        /// The app.
        id: AppId,
        /// What changes.
        update: AppUpdate,
        /// Whether a missing app is created.
        create: bool,
    },
    /// `PUT` and `PATCH` of several apps: all or none, in one deployment.
    UpdateAll {
        /// What changes, in the order of the body.
        edits: Vec<AppEdit>,
        /// Whether missing apps are created.
        create: bool,
    },
    /// `POST` of a group that must not exist.
    CreateGroup(Box<GroupUpdate>),
    /// `PUT` of a group, which is created where it is missing.
    ChangeGroup {
        /// What changes.
        change: Box<GroupChange>,
        /// Whether only the steps are to be told, and nothing is changed.
        dry_run: bool,
    },
    /// Away with the group and all that stands in it.
    DeleteGroup(GroupId),
    /// The versions of the root at which the group existed.
    GroupVersions(GroupId),
    /// The group as it was.
    GroupAt {
        /// Which group.
        id: GroupId,
        /// The version of the root.
        version: Timestamp,
    },
    /// New instances for all.
    Restart(AppId),
    /// Away with the app.
    Delete(AppId),
    /// Ends tasks. Without `scale` others take their place.
    Kill {
        /// Only tasks of this app, which must exist.
        app: Option<AppId>,
        /// Which tasks.
        which: Which,
        /// Whether the app shrinks by as many.
        scale: bool,
    },
    /// Gives a deployment up.
    Cancel {
        /// Which.
        id: Uuid,
        /// Whether nothing is undone; else a new deployment restores what was before.
        drop: bool,
    },
    /// Forgets the launch delay of an app.
    ResetDelay(AppId),
}

/// Which tasks are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// All of the app, or those on one host.
    All {
        /// The agent's hostname.
        host: Option<String>,
    },
    /// One, which must exist.
    One(TaskId),
    /// These; unknown ones are skipped.
    These(Vec<TaskId>),
}

/// A request and who waits for its answer.
#[derive(Clone, Debug)]
pub struct Ask {
    /// By which the answer finds its way.
    pub number: u64,
    /// What is asked.
    pub request: Request,
    /// Whether running deployments in the way are cancelled.
    pub force: bool,
    /// Who asked.
    pub caller: Caller,
}

/// What happens.
#[derive(Clone, Debug)]
pub enum Input {
    /// A client asks.
    Request(Box<Ask>),
    /// The master says something.
    Event(Event),
    /// The subscription ended.
    Disconnected,
    /// A commit is durable.
    Committed(Ticket),
    /// A commit was not made, or it is not known whether it was.
    CommitFailed(Ticket),
    /// Launch and kill nothing from now on.
    Freeze,
    /// Time has passed.
    Tick,
}

/// One change of a commit.
#[derive(Clone, PartialEq, Eq)]
pub enum Change {
    /// The key gets this value.
    Put(Key, Vec<u8>),
    /// The key goes.
    Delete(Key),
}

/// What is to be done.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Make these changes at once, after those of earlier commits, and answer with the ticket.
    Commit {
        /// For the answer.
        ticket: Ticket,
        /// Of different keys.
        changes: Vec<Change>,
    },
    /// Tell the master.
    Call(Call),
    /// Tell the subscribers of events.
    Publish(TimedEvent),
    /// Answer a request.
    Reply {
        /// Which.
        request: u64,
        /// With what.
        result: Result<Answer, ApiError>,
    },
}

/// What a request is answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The app was created by `POST`.
    Created(Box<App>, Uuid),
    /// A deployment does it.
    Deployment {
        /// Which.
        result: DeploymentResult,
        /// Whether an app came into being.
        created: bool,
    },
    /// These tasks are being ended.
    Tasks(Vec<Arc<Task>>),
    /// The steps that a change would take.
    Plan(Vec<DeploymentStep>),
    /// Versions, the newest first.
    Versions(Vec<Timestamp>),
    /// A group as it was.
    Group(Box<Past>),
    /// Nothing more to say.
    Done,
}

/// Keys and lengths alone: definitions may hold secrets.
impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Put(key, value) => write!(f, "Put({key}, {} bytes)", value.len()),
            Self::Delete(key) => write!(f, "Delete({key})"),
        }
    }
}

/// Decides what follows from `input` at `now`.
pub fn step(state: &mut State, input: Input, now: Moment) -> Vec<Effect> {
    steps(state, [input], now)
}

/// Decides what follows from these inputs, in their order. What becomes of an app is decided once for all news of its tasks that
/// come together, and committed together: a burst costs no more looks at an app than it brings to commit.
pub fn steps(state: &mut State, inputs: impl IntoIterator<Item = Input>, now: Moment) -> Vec<Effect> {
    let mut effects = Vec::new();
    let mut inputs = inputs.into_iter().peekable();
    while let Some(input) = inputs.next() {
        match input {
            Input::Committed(ticket) => {
                effects.extend(state.release(ticket));
                // What one step had no room for.
                if !state.dirty.is_empty() || !state.books.is_empty() {
                    let mut turn = turn::Turn::new(state, now);
                    run::advance(&mut turn);
                    books::keep(&mut turn);
                    effects.extend(turn.finish());
                }
                continue;
            }
            Input::CommitFailed(ticket) => {
                effects.extend(state.give_up(ticket));
                continue;
            }
            _ => {}
        }
        let mut turn = turn::Turn::new(state, now);
        let together = is_news(&input);
        take(&mut turn, input);
        while together
            && !turn.is_full()
            && let Some(next) = inputs.next_if(is_news)
        {
            take(&mut turn, next);
        }
        run::advance(&mut turn);
        offers::want(&mut turn);
        books::keep(&mut turn);
        effects.extend(turn.finish());
    }
    effects
}

/// Of a task: nothing is launched on account of it before its app was looked at.
fn is_news(input: &Input) -> bool {
    matches!(input, Input::Event(Event::Update(_) | Event::Health(_) | Event::PeersHeld { .. }))
}

fn take(turn: &mut turn::Turn<'_>, input: Input) {
    match input {
        Input::Request(ask) => requests::handle(turn, *ask),
        Input::Event(event) => on_event(turn, event),
        Input::Disconnected => reconcile::disconnected(turn),
        Input::Freeze => turn.state.frozen = true,
        Input::Tick | Input::Committed(_) | Input::CommitFailed(_) => on_tick(turn),
    }
}

fn on_event(turn: &mut turn::Turn<'_>, event: Event) {
    match event {
        Event::Subscribed { framework, master } => reconcile::subscribed(turn, &framework, master),
        Event::Offers(offers) => offers::offered(turn, offers),
        // Offers are answered as they come: none is held.
        Event::Rescind(_) => {}
        Event::Update(status) => status::update(turn, &status),
        Event::Health(report) => health::report(turn, report),
        Event::PeersHeld { task, version } => peers::held(turn, &task, version),
        Event::AgentLost(agent) => reconcile::agent_lost(turn, &agent),
        Event::Error(message) => tracing::warn!(%message, "the master ended the subscription"),
    }
}

fn on_tick(turn: &mut turn::Turn<'_>) {
    status::timers(turn);
    run::ask_again(turn);
    reconcile::tick(turn);
    peers::tick(turn);
    turn.state.forget_untimed();
}
