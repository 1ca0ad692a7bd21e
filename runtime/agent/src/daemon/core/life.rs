//! The life of a task, from its checkpoint to its last word.

use std::time::Duration;

use api::Moment;
use api::marathon::Uuid;
use api::mesos::{Purpose, Reason, TaskState};

use super::task::millis;
use super::{Effect, Ending, Found, KillWhy, LAST_WORDS, Stage, State, Update, Verdict, link};
use crate::adopt::Why;
use crate::health::{self, Finding, Watch};
use crate::spec::Exit;
use crate::states::{self, Action, Ended, Event, Phase};

/// Says something about a task: it is written down, then sent when its turn comes.
pub(super) fn say(
    state: &mut State,
    container: Uuid,
    told: TaskState,
    reason: Option<Reason>,
    message: Option<String>,
    now: Moment,
    out: &mut Vec<Effect>,
) {
    let uuid = state.draw();
    let Some(task) = state.tasks.get_mut(&container) else { return };
    if task.has_ended() {
        return;
    }
    let healthy = task.healthy();
    task.updates.say(Update { uuid, state: told, message, reason, healthy, at: now.wall });
    out.push(Effect::Journal(container, Box::new(task.journal())));
}

fn end(state: &mut State, container: Uuid, verdict: Verdict, now: Moment, out: &mut Vec<Effect>) {
    let Verdict { state: told, reason, message } = verdict;
    say(state, container, told, reason, Some(message), now, out);
    if let Some(task) = state.tasks.get_mut(&container) {
        task.watches.clear();
        task.kill_at = None;
    }
}

fn end_as(state: &mut State, container: Uuid, ended: &Ended, now: Moment, out: &mut Vec<Effect>) {
    let Some(task) = state.tasks.get(&container) else { return };
    let verdict = super::verdict_of(ended, task.kill.as_ref(), &task.info);
    end(state, container, verdict, now, out);
}

/// Hands an event to the task's own machine and does what it says.
fn apply(state: &mut State, container: Uuid, event: Event, now: Moment, out: &mut Vec<Effect>) {
    let Some(task) = state.tasks.get_mut(&container) else { return };
    for action in states::step(&mut task.state, event, millis(now.elapsed)) {
        match action {
            Action::StartShim => out.push(Effect::StartShim(container)),
            Action::AskShim => out.push(Effect::AskShim(container)),
            Action::Empty => out.push(Effect::Empty(container)),
            Action::LookAgain => out.push(Effect::LookAgain(container)),
            // Said when the launch was accepted.
            Action::ReportStarting => {}
            Action::ReportRunning => runs(state, container, now, out),
            Action::ReportKilling => say_killing(state, container, now, out),
            Action::ReportEnded(ended) => end_as(state, container, &ended, now, out),
            Action::ReportAgain => {
                if let Some(task) = state.tasks.get_mut(&container) {
                    task.updates.hurry();
                }
            }
        }
    }
}

fn runs(state: &mut State, container: Uuid, now: Moment, out: &mut Vec<Effect>) {
    let Some(task) = state.tasks.get_mut(&container) else { return };
    if task.watches.is_empty() {
        watch_from(task, now.elapsed, now);
    }
    if matches!(task.last_state(), None | Some(TaskState::Staging | TaskState::Starting)) {
        say(state, container, TaskState::Running, None, None, now, out);
    }
}

fn watch_from(task: &mut super::Task, started: Duration, now: Moment) {
    let watch = |check: &api::mesos::Check| match (&check.purpose, &task.ready) {
        (Purpose::Readiness { .. }, Some(ready)) => Watch::ended(check.clone(), ready.clone()),
        _ => Watch::new(check.clone(), started, now.elapsed),
    };
    task.watches = task.info.checks.iter().map(watch).collect();
}

fn say_killing(state: &mut State, container: Uuid, now: Moment, out: &mut Vec<Effect>) {
    let said = state.tasks.get(&container).and_then(super::Task::last_state);
    if said != Some(TaskState::Killing) {
        say(state, container, TaskState::Killing, None, None, now, out);
    }
}

pub(super) fn found(state: &mut State, container: Uuid, found: Found, now: Moment, out: &mut Vec<Effect>) {
    let Some(task) = state.tasks.get_mut(&container) else { return };
    if task.has_ended() {
        // Only its last words are left to be acknowledged.
        task.state.phase = Phase::Ended(Ended::NeverRan("it ended before".to_owned()));
        return;
    }
    match found {
        Found::Running(since) => {
            let first = task.watches.is_empty();
            let ago = since.map_or(0, |since| now.wall.as_millis().saturating_sub_unsigned(since).max(0));
            let ago = Duration::from_millis(u64::try_from(ago).unwrap_or(0));
            if first {
                watch_from(task, now.elapsed.saturating_sub(ago), now);
            }
            if task.kill.is_some() {
                apply(state, container, Event::Kill, now, out);
            }
            apply(state, container, Event::Runs, now, out);
        }
        Found::Exited(exit) => apply(state, container, Event::ShimEnded(exit), now, out),
        Found::Lost(why) => apply(state, container, Event::ShimLost(why), now, out),
        Found::Unknown => {
            if task.kill.is_some() {
                apply(state, container, Event::Kill, now, out);
            }
            apply(state, container, Event::Unknown, now, out);
        }
    }
}

pub(super) fn kept(
    state: &mut State,
    container: Uuid,
    kept: Result<(), String>,
    now: Moment,
    out: &mut Vec<Effect>,
) {
    let Some(task) = state.tasks.get_mut(&container).filter(|t| t.stage == Stage::Checkpoint) else { return };
    task.stage = Stage::Prepare;
    if task.has_ended() {
        return;
    }
    match kept {
        Ok(()) => out.push(Effect::Prepare(container)),
        Err(why) => fail(state, container, &format!("The task cannot be written down: {why}"), now, out),
    }
}

pub(super) fn prepared(
    state: &mut State,
    container: Uuid,
    ready: Result<(), String>,
    now: Moment,
    out: &mut Vec<Effect>,
) {
    let Some(task) = state.tasks.get_mut(&container).filter(|t| t.stage == Stage::Prepare) else { return };
    if task.has_ended() {
        return;
    }
    match ready {
        Ok(()) => {
            task.stage = Stage::Shim;
            super::peers::prepared(state, container, out);
            apply(state, container, Event::Launch, now, out);
        }
        Err(why) => fail(state, container, &why, now, out),
    }
}

fn fail(state: &mut State, container: Uuid, why: &str, now: Moment, out: &mut Vec<Effect>) {
    if let Some(task) = state.tasks.get_mut(&container) {
        task.state.phase = Phase::Ended(Ended::NeverRan(why.to_owned()));
    }
    end(state, container, super::not_prepared(why), now, out);
}

pub(super) fn ran(state: &mut State, container: Uuid, now: Moment, out: &mut Vec<Effect>) {
    apply(state, container, Event::Runs, now, out);
    let Some(task) = state.tasks.get(&container) else { return };
    // A kill that came while it started is carried out now, with the grace that it asked for.
    if task.kill_at.is_some_and(|at| at <= now.elapsed) {
        kill_hard(state, container, out);
    }
}

pub(super) fn not_started(
    state: &mut State,
    container: Uuid,
    why: String,
    now: Moment,
    out: &mut Vec<Effect>,
) {
    apply(state, container, Event::NotStarted(why), now, out);
}

pub(super) fn shim_ended(
    state: &mut State,
    container: Uuid,
    end: Result<Box<Exit>, Why>,
    now: Moment,
    out: &mut Vec<Effect>,
) {
    let event = match end {
        Ok(exit) => Event::ShimEnded(exit),
        Err(why) => Event::ShimLost(why),
    };
    apply(state, container, event, now, out);
}

pub(super) fn emptied(state: &mut State, container: Uuid, now: Moment, out: &mut Vec<Effect>) {
    apply(state, container, Event::Emptied, now, out);
}

/// Ends a task, for this reason. A shorter grace than the shim was told is enforced by the agent itself; a longer one
/// is what the shim was told.
pub(super) fn kill(
    state: &mut State,
    container: Uuid,
    why: KillWhy,
    grace: Option<Duration>,
    now: Moment,
    out: &mut Vec<Effect>,
) {
    let Some(task) = state.tasks.get_mut(&container) else { return };
    if task.kill.is_none() {
        task.kill = Some(why);
        out.push(Effect::Journal(container, Box::new(task.journal())));
    }
    if let Some(grace) = grace.filter(|grace| *grace < task.grace()) {
        let at = now.elapsed.saturating_add(grace);
        task.kill_at = Some(task.kill_at.map_or(at, |before| before.min(at)));
    }
    match task.stage {
        Stage::Checkpoint => {}
        Stage::Prepare => out.push(Effect::CancelPrepare(container)),
        Stage::Shim => {
            apply(state, container, Event::Kill, now, out);
            return kill_if_due(state, container, now, out);
        }
    }
    apply(state, container, Event::Kill, now, out);
}

fn kill_if_due(state: &mut State, container: Uuid, now: Moment, out: &mut Vec<Effect>) {
    let Some(task) = state.tasks.get(&container) else { return };
    // While it starts, there is nothing yet that could be killed for sure.
    let killing = matches!(task.state.phase, Phase::Killing { .. });
    if killing && task.kill_at.is_some_and(|at| at <= now.elapsed) {
        kill_hard(state, container, out);
    }
}

fn kill_hard(state: &mut State, container: Uuid, out: &mut Vec<Effect>) {
    if let Some(task) = state.tasks.get_mut(&container) {
        task.kill_at = None;
        out.push(Effect::KillTask(container));
    }
}

pub(super) fn probed(
    state: &mut State,
    container: Uuid,
    check: usize,
    finding: Finding,
    now: Moment,
    out: &mut Vec<Effect>,
) {
    let Some(task) = state.tasks.get_mut(&container) else { return };
    let before = task.healthy();
    let Some(watch) = task.watches.get_mut(check) else { return };
    let actions = health::step(watch, health::Input::Found(finding), now);
    let found = watch.found.clone();
    if let Some(ready) = watch.ready().filter(|_| task.ready.is_none()) {
        // The next agent does not ask again what was answered.
        task.ready = Some(ready);
        out.push(Effect::Journal(container, Box::new(task.journal())));
    }
    let changed = task.healthy() != before;
    for action in actions {
        match action {
            health::Action::Look => {}
            health::Action::Report => link::send_health(state, container, check, out),
            health::Action::Kill => {
                let last = found.last_failure_cause.as_deref().unwrap_or("no cause is known");
                let why = format!("{} failures in a row, the last: {last}", found.consecutive_failures);
                kill(state, container, KillWhy::Unhealthy(why), None, now, out);
            }
        }
    }
    let runs = state.tasks.get(&container).is_some_and(|t| t.last_state() == Some(TaskState::Running));
    if changed && runs {
        let reason = Some(Reason::TaskHealthCheckStatusUpdated);
        say(state, container, TaskState::Running, reason, None, now, out);
    }
}

pub(super) fn tick(state: &mut State, now: Moment, out: &mut Vec<Effect>) {
    let due = |at: Option<Duration>| at.is_some_and(|at| at <= now.elapsed);
    let containers: Vec<Uuid> = state.tasks.keys().copied().collect();
    for container in containers {
        let Some(task) = state.tasks.get_mut(&container) else { continue };
        let watches = task.watches.iter_mut().enumerate().filter(|_| task.state.phase == Phase::Running);
        for (number, watch) in watches {
            if health::step(watch, health::Input::Tick, now).contains(&health::Action::Look) {
                out.push(Effect::Probe(container, number, Box::new(watch.check().clone())));
            }
        }
        if due(task.state.wake_at().map(Duration::from_millis)) {
            apply(state, container, Event::Tick, now, out);
        }
        kill_if_due(state, container, now, out);
    }
}

pub(super) fn shut_down(state: &mut State, at_once: bool, now: Moment, out: &mut Vec<Effect>) {
    let ending = state.ending.get_or_insert(Ending { at_once, ended_at: None, done: false });
    ending.at_once |= at_once;
    let grace = ending.at_once.then_some(Duration::ZERO);
    let containers: Vec<Uuid> =
        state.tasks.values().filter(|t| !t.has_ended()).map(|t| t.container).collect();
    for container in containers {
        kill(state, container, KillWhy::Shutdown, grace, now, out);
    }
}

/// An agent that is to end is done when all its tasks have ended, and either the master knows or had its moment.
pub(super) fn perhaps_done(state: &mut State, now: Moment, out: &mut Vec<Effect>) {
    if !state.tasks.values().all(super::Task::has_ended) {
        return;
    }
    let listening = state.is_registered() && !state.tasks.is_empty();
    let Some(ending) = state.ending.as_mut().filter(|ending| !ending.done) else { return };
    let ended_at = *ending.ended_at.get_or_insert(now.elapsed);
    if !listening || now.elapsed >= ended_at.saturating_add(LAST_WORDS) {
        ending.done = true;
        out.push(Effect::Done(Ok(())));
    }
}
