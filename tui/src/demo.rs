//! A cluster that is made up, for a look without one: it lives in [`model`], this is its clock and its ears.

mod model;
mod packages;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;
use tokio::time::Instant;

use self::model::Model;
use crate::{Backend, Connection, Effect, Input, Link, LogPiece, LogSource, Progress, Request};

/// How often something may happen.
const STEP: Duration = Duration::from_millis(500);

/// A simulated cluster of twenty nodes. The same each time, but for the time of day.
#[derive(Debug, Default)]
pub struct Demo {}

/// An installation that is under way: what is still to be told of it, and what is asked at its end.
struct Bringing {
    number: u64,
    left: std::vec::IntoIter<Progress>,
    request: Request,
}

impl Backend for Demo {
    async fn run(self, mut link: Link) {
        let began = Instant::now();
        let base = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = || u64::try_from((base + began.elapsed()).as_millis()).unwrap_or(u64::MAX);
        let mut model = Model::new(now());
        let mut ticks = tokio::time::interval(STEP);
        let mut followed: BTreeMap<u64, Vec<LogSource>> = BTreeMap::new();
        let mut bringing: Vec<Bringing> = Vec::new();
        if link.inputs.send(Input::Connection(Connection::Live)).await.is_err() {
            return;
        }
        loop {
            let done = tokio::select! {
                effect = link.effects.recv() => match effect {
                    None => return,
                    Some(Effect::Ask(number, request)) => match packages::progress(&request) {
                        steps if steps.is_empty() => {
                            let answer = model.answer(&request, now());
                            link.inputs.send(Input::Answer(number, answer)).await
                        }
                        steps => {
                            bringing.push(Bringing { number, left: steps.into_iter(), request });
                            Ok(())
                        }
                    },
                    Some(Effect::Forget(number)) => {
                        followed.remove(&number);
                        Ok(())
                    }
                    Some(Effect::Follow(number, sources)) => {
                        let sent = begin_log(&model, number, &sources, now(), &link.inputs).await;
                        followed.insert(number, sources);
                        sent
                    }
                    Some(Effect::Reconnect) => {
                        model.forget_told();
                        link.inputs.send(Input::Connection(Connection::Live)).await
                    }
                    Some(_) => Ok(()),
                },
                _ = ticks.tick() => tick(&mut model, now(), &followed, &mut bringing, &link.inputs).await,
            };
            if done.is_err() {
                return;
            }
        }
    }
}

type Sent = Result<(), mpsc::error::SendError<Input>>;

/// Half a second has passed.
async fn tick(
    model: &mut Model,
    now: u64,
    followed: &BTreeMap<u64, Vec<LogSource>>,
    bringing: &mut Vec<Bringing>,
    inputs: &mpsc::Sender<Input>,
) -> Sent {
    for frame in model::step(model, now) {
        inputs.send(Input::Frame(Box::new(frame))).await?;
    }
    for (number, sources) in followed {
        for source in sources {
            let piece = piece(model, source, model.line(source, now));
            if let Some(piece) = piece {
                inputs.send(Input::Log(*number, piece)).await?;
            }
        }
    }
    let mut ended = Vec::new();
    for (at, one) in bringing.iter_mut().enumerate() {
        match one.left.next() {
            Some(progress) => inputs.send(Input::Progress(one.number, progress)).await?,
            None => ended.push(at),
        }
    }
    for at in ended.into_iter().rev() {
        let one = bringing.remove(at);
        let answer = model.answer(&one.request, now);
        inputs.send(Input::Answer(one.number, answer)).await?;
    }
    Ok(())
}

fn piece(model: &Model, source: &LogSource, text: Option<String>) -> Option<LogPiece> {
    let gone = !model.has_task(&source.task);
    let fault = gone.then(|| "the task has ended".to_owned());
    let text = text.unwrap_or_default();
    (!text.is_empty() || fault.is_some()).then(|| LogPiece {
        task: source.task.clone(),
        stderr: source.stderr,
        text,
        fault,
    })
}

/// The last lines of each log.
async fn begin_log(
    model: &Model,
    number: u64,
    sources: &[LogSource],
    now: u64,
    inputs: &mpsc::Sender<Input>,
) -> Sent {
    for source in sources {
        let lines = u64::try_from(source.lines.min(200)).unwrap_or(0);
        let text: String =
            (1..=lines).rev().filter_map(|back| model.line(source, now.saturating_sub(back * 500))).collect();
        if let Some(piece) = piece(model, source, Some(text)) {
            inputs.send(Input::Log(number, piece)).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_speaks_as_a_cluster_does_and_ends_with_the_dashboard() {
        let (effects, heard) = mpsc::unbounded_channel();
        let (inputs, mut said) = mpsc::channel(64);
        let demo = tokio::spawn(Demo::default().run(Link { effects: heard, inputs }));
        effects.send(Effect::Ask(7, Request::Cluster)).unwrap();
        let (mut live, mut ready, mut answered) = (false, false, false);
        while !(live && ready && answered) {
            match said.recv().await.expect("it goes on") {
                Input::Connection(Connection::Live) => live = true,
                Input::Frame(frame) => ready |= matches!(*frame, api::watch::Frame::Ready { .. }),
                Input::Answer(7, Ok(cluster)) => answered = cluster["masters"][1]["leader"] == true,
                other => panic!("{other:?}"),
            }
        }
        drop(effects);
        while said.recv().await.is_some() {}
        demo.await.unwrap();
    }
}
