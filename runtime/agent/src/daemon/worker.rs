//! Writes down what must be on disk, in order, on a thread of its own, what is queued together, and hands on what may follow.

use api::marathon::Uuid;
use tokio::sync::mpsc;

use super::core::{Effect, Input, Past};
use super::drafts::finish;
use super::paths::Meta;
use crate::record::{Draft, RecordError};
use crate::shim::chain;

/// What comes back from the disk.
pub(super) enum Done {
    /// All effects before this one are on disk: carry it out.
    Effect(Effect),
    /// Something to decide about.
    Input(Box<Input>),
}

/// So many effects at most are carried out together.
const MOST: usize = 256;

/// Takes effects until there are no more. Its thread ends when `effects` is closed.
pub(super) fn run(meta: &Meta, mut effects: mpsc::Receiver<Effect>, done: &mpsc::Sender<Done>) {
    let mut waiting = Vec::with_capacity(MOST);
    while effects.blocking_recv_many(&mut waiting, MOST) > 0 {
        let mut batch = Batch { meta, drafts: Vec::new(), words: Vec::new() };
        waiting.drain(..).for_each(|effect| batch.carry_out(effect));
        for word in batch.finish() {
            // A loop that has ended wants no answers, but what it decided is still written down.
            let _ = done.blocking_send(word);
        }
    }
}

/// What is carried out together. Nothing is handed on before all of it is on disk.
struct Batch<'a> {
    meta: &'a Meta,
    /// Checkpoints that are not durable yet, each with the place of its answer.
    drafts: Vec<(usize, Uuid, Draft)>,
    words: Vec<Done>,
}

impl Batch<'_> {
    fn carry_out(&mut self, effect: Effect) {
        let meta = self.meta;
        match effect {
            Effect::KeepEpoch(epoch) => self.answer(Input::EpochKept(epoch, told(meta.keep_epoch(epoch)))),
            Effect::KeepId(id) => {
                logged("this agent's id", meta.keep_agent_id(id.as_str()));
                self.words.push(Done::Effect(Effect::KeepId(id)));
            }
            Effect::Checkpoint(task) => {
                let kept = meta.draft(&task).map(|draft| {
                    self.drafts.push((self.words.len(), task.container, draft));
                });
                self.answer(Input::Kept(task.container, told(kept)));
            }
            Effect::Journal(container, journal) => {
                // It is said all the same; after a crash it is said again.
                logged("what is said of a task", meta.keep_journal(container, &journal));
            }
            Effect::Remove(container, past) => {
                // It may be of a checkpoint that was only begun.
                self.sync();
                remove(meta, container, &past);
                self.words.push(Done::Effect(Effect::Remove(container, past)));
            }
            other => self.words.push(Done::Effect(other)),
        }
    }

    fn answer(&mut self, input: Input) {
        self.words.push(Done::Input(Box::new(input)));
    }

    fn sync(&mut self) {
        let begun = std::mem::take(&mut self.drafts);
        let (places, drafts): (Vec<_>, Vec<_>) =
            begun.into_iter().map(|(place, container, draft)| ((place, container), draft)).unzip();
        for ((place, container), kept) in places.into_iter().zip(finish(self.meta, drafts)) {
            if let Some(word) = self.words.get_mut(place) {
                *word = Done::Input(Box::new(Input::Kept(container, told(kept))));
            }
        }
    }

    fn finish(mut self) -> Vec<Done> {
        self.sync();
        self.words
    }
}

fn remove(meta: &Meta, container: Uuid, past: &Past) {
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
