//! The core against a small world: a store that is a map, a cluster that is a list of tasks.

mod checks;
mod crashes;
mod crashes_of_groups;
mod groups;
mod peers;
mod placement;
mod planning;
mod rules;
mod shown;
mod world;
