//! Decides who is offered what: the pool of agents, frameworks and roles on one side, offers on the other.
//!
//! Everything here is a function from data to data. [`step`] takes the [`State`], one [`Event`] and the
//! time, changes the state and returns the [`Action`]s that the master carries out. Beside it stand the
//! types that such a decision is made of: [`resources`] in fixed point, [`attributes`] of agents and
//! Marathon's placement [`constraints`].
//!
//! It never does I/O, never reads a clock, never draws a random number, never starts a thread, and does not
//! know what a task is: tasks are resources that were consumed and come back. The same state, event and
//! time always give the same actions, in the same order.
//!
//! ```text
//!   Event ──► step ──► state.agents, state.frameworks      who there is, what is free, what is held
//!                 ├──► drf          who stands next: roles as a tree, frameworks within a role
//!                 ├──► filters      what a framework does not want to see again yet
//!                 └──► Vec<Action>  Offer, Rescind, Refuse
//! ```

pub mod attributes;
pub mod constraints;
mod drf;
mod event;
mod filters;
mod host;
mod ids;
mod ranges;
pub mod resources;
mod role;
mod scalar;
mod slab;
mod state;
mod step;
mod text;

pub use event::{Action, AgentInfo, Event, Filter, FrameworkInfo, Offer, Refusal, Used};
pub use host::Host;
pub use ids::{AgentId, FrameworkId, OfferId};
pub use ranges::{Range, Ranges};
pub use resources::{Bundle, Missing, Resources, Scalars};
pub use role::{MAX_ROLE_BYTES, MAX_ROLE_PARTS, Role, RoleError};
pub use scalar::{Scalar, ScalarError};
pub use state::{Agent, Schedule, State};
pub use step::step;
pub use text::{TextError, TextProblem};
