//! Writes down what must be on disk, in order, on a thread of its own, and hands on what may follow.

use tokio::sync::mpsc;

use super::core::{Effect, Input, Past};
use super::paths::Meta;
use crate::record::RecordError;
use crate::shim::chain;

/// What comes back from the disk.
pub(super) enum Done {
    /// All effects before this one are on disk: carry it out.
    Effect(Effect),
    /// Something to decide about.
    Input(Box<Input>),
}

/// Takes effects until there are no more. Its thread ends when `effects` is closed.
pub(super) fn run(meta: &Meta, mut effects: mpsc::Receiver<Effect>, done: &mpsc::Sender<Done>) {
    while let Some(effect) = effects.blocking_recv() {
        if let Some(word) = carry_out(meta, effect) {
            // A loop that has ended wants no answers, but what it decided is still written down.
            let _ = done.blocking_send(word);
        }
    }
}

fn carry_out(meta: &Meta, effect: Effect) -> Option<Done> {
    match effect {
        Effect::KeepEpoch(epoch) => answer(Input::EpochKept(epoch, told(meta.keep_epoch(epoch)))),
        Effect::KeepId(id) => {
            logged("this agent's id", meta.keep_agent_id(id.as_str()));
            Some(Done::Effect(Effect::KeepId(id)))
        }
        Effect::Checkpoint(task) => {
            let kept = told(meta.checkpoint(&task));
            answer(Input::Kept(task.container, kept))
        }
        Effect::Journal(container, journal) => {
            // It is said all the same; after a crash it is said again.
            logged("what is said of a task", meta.keep_journal(container, &journal));
            None
        }
        Effect::Remove(container, past) => {
            remove(meta, container, &past);
            Some(Done::Effect(Effect::Remove(container, past)))
        }
        other => Some(Done::Effect(other)),
    }
}

fn answer(input: Input) -> Option<Done> {
    Some(Done::Input(Box::new(input)))
}

fn remove(meta: &Meta, container: api::marathon::Uuid, past: &Past) {
    let directory = meta.read_checkpoint(container).ok().flatten().map(|task| task.directory);
    logged("the end of a task", meta.remove(container, past, &directory.unwrap_or_default()));
}

fn told(written: Result<(), RecordError>) -> Result<(), String> {
    written.map_err(|e| chain(&e))
}

fn logged(what: &str, written: Result<(), RecordError>) {
    if let Err(e) = written {
        tracing::error!("{what} is not written down: {}", chain(&e));
    }
}
