//! What one check of one task has found, and what follows: a pure machine.

use std::time::Duration;

use api::Moment;
use api::marathon::Timestamp;
use api::mesos::{Check, Purpose, Response, Sight};

/// What one look found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// All is well.
    Good,
    /// It is not, and why.
    Bad(String),
    /// Neither (a status from 100 to 199 where those do not count).
    Ignored,
}

/// What one look came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether it is well.
    pub probe: Probe,
    /// What was seen, where the check's purpose asks for that.
    pub sight: Option<Sight>,
}

impl From<Probe> for Finding {
    fn from(probe: Probe) -> Self {
        Self { probe, sight: None }
    }
}

/// That a task was found ready, which is looked at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// When.
    pub at: Timestamp,
    /// The answer that said so, where it is kept.
    pub response: Option<Response>,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Time has passed.
    Tick,
    /// A look that was asked for came to an end, in time or not.
    Found(Finding),
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Look, and say what was found: [`Input::Found`], exactly once.
    Look,
    /// Tell what is known now.
    Report,
    /// Kill the task.
    Kill,
}

/// One check of one task that runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Watch {
    check: Check,
    /// When the task started; grace counts from here, also for an agent that was started later.
    started: Duration,
    next: Next,
    /// What was found so far.
    pub found: Findings,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// The next look is at this moment.
    At(Duration),
    /// One is under way, since then.
    Looking(Duration),
    /// There is none.
    Never,
}

/// What was found so far, since this agent runs the check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Whether the last result was good; nothing before the first.
    pub alive: Option<bool>,
    /// Whether the task counts as healthy: failures in the grace period do not change that.
    pub healthy: Option<bool>,
    /// Failures in a row that count.
    pub consecutive_failures: u32,
    /// The first good result.
    pub first_success: Option<Timestamp>,
    /// The last good result.
    pub last_success: Option<Timestamp>,
    /// The last bad result.
    pub last_failure: Option<Timestamp>,
    /// Why it was bad.
    pub last_failure_cause: Option<String>,
    /// What the last look saw.
    pub sight: Option<Sight>,
}

impl Watch {
    /// Starts watching at `now` a task that started at `started`, on the clock of [`Moment::elapsed`]. The delay
    /// counts from the task's start.
    #[must_use]
    pub fn new(check: Check, started: Duration, now: Duration) -> Self {
        let first = started.saturating_add(check.delay).max(now);
        Self { check, started, next: Next::At(first), found: Findings::default() }
    }

    /// A readiness check that has found the task ready already.
    #[must_use]
    pub fn ended(check: Check, ready: Ready) -> Self {
        let mut watch = Self::new(check, Duration::ZERO, Duration::ZERO);
        watch.next = Next::Never;
        let found = &mut watch.found;
        found.alive = Some(true);
        (found.first_success, found.last_success) = (Some(ready.at), Some(ready.at));
        found.sight = ready.response.map(Sight::Response);
        watch
    }

    /// That a readiness check found its task ready; nothing of other checks, or before.
    #[must_use]
    pub fn ready(&self) -> Option<Ready> {
        let at =
            self.found.first_success.filter(|_| matches!(self.check.purpose, Purpose::Readiness { .. }))?;
        let response = match &self.found.sight {
            Some(Sight::Response(response)) => Some(response.clone()),
            _ => None,
        };
        Some(Ready { at, response })
    }

    /// The check.
    #[must_use]
    pub fn check(&self) -> &Check {
        &self.check
    }

    /// When a tick is due; nothing while a look is under way, or after the last.
    #[must_use]
    pub fn wake_at(&self) -> Option<Duration> {
        match self.next {
            Next::At(at) => Some(at),
            Next::Looking(_) | Next::Never => None,
        }
    }

    /// A check by which the agent kills waits from the end of one to the next, as Mesos' own do; one that only
    /// reports goes by the clock, as Marathon's do, but never twice at a time.
    fn after(&self, began: Duration, now: Duration) -> Duration {
        let from = if self.check.kill_after.is_some() { now } else { began };
        from.saturating_add(self.check.interval).max(now)
    }

    fn good(&mut self, wall: Timestamp) -> Vec<Action> {
        let found = &mut self.found;
        found.alive = Some(true);
        found.healthy = Some(true);
        found.consecutive_failures = 0;
        found.first_success.get_or_insert(wall);
        found.last_success = Some(wall);
        vec![Action::Report]
    }

    /// Only news is told.
    fn informed(&mut self, finding: Finding, wall: Timestamp) -> Vec<Action> {
        let found = &mut self.found;
        let before = (found.alive, found.sight.take());
        match finding.probe {
            Probe::Good => {
                found.first_success.get_or_insert(wall);
                (found.alive, found.last_success) = (Some(true), Some(wall));
            }
            Probe::Bad(why) => {
                (found.alive, found.last_failure) = (Some(false), Some(wall));
                found.last_failure_cause = Some(why);
            }
            Probe::Ignored => {}
        }
        found.sight = finding.sight;
        let news = found.alive.is_some() && before != (found.alive, found.sight.clone());
        if news { vec![Action::Report] } else { vec![] }
    }

    fn bad(&mut self, why: String, now: Moment) -> Vec<Action> {
        let in_grace = now.elapsed < self.started.saturating_add(self.check.grace_period);
        let found = &mut self.found;
        found.alive = Some(false);
        found.last_failure = Some(now.wall);
        found.last_failure_cause = Some(why);
        if in_grace && found.first_success.is_none() {
            return vec![Action::Report];
        }
        found.healthy = Some(false);
        found.consecutive_failures = found.consecutive_failures.saturating_add(1);
        // Zero kills at the first failure, like one.
        let limit = self.check.kill_after.map(|limit| limit.max(1));
        match limit.is_some_and(|limit| found.consecutive_failures >= limit) {
            true => vec![Action::Report, Action::Kill],
            false => vec![Action::Report],
        }
    }
}

/// The next state, and what must be done for it, in this order.
#[must_use]
pub fn step(watch: &mut Watch, input: Input, now: Moment) -> Vec<Action> {
    match (watch.next, input) {
        (Next::At(at), Input::Tick) if now.elapsed >= at => {
            watch.next = Next::Looking(now.elapsed);
            vec![Action::Look]
        }
        (_, Input::Tick) | (Next::At(_) | Next::Never, Input::Found(_)) => vec![],
        (Next::Looking(began), Input::Found(finding)) => {
            watch.next = Next::At(watch.after(began, now.elapsed));
            if watch.check.purpose == Purpose::Information {
                return watch.informed(finding, now.wall);
            }
            watch.found.sight = finding.sight;
            match finding.probe {
                Probe::Good => {
                    if watch.check.purpose != Purpose::Health {
                        watch.next = Next::Never;
                    }
                    watch.good(now.wall)
                }
                Probe::Bad(why) => watch.bad(why, now),
                Probe::Ignored => vec![],
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::mesos::{CheckAddress, CheckKind};

    fn check(kill_after: Option<u32>) -> Check {
        Check {
            kind: CheckKind::Tcp { address: CheckAddress::Agent, port: 1 },
            delay: Duration::from_secs(5),
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(3),
            grace_period: Duration::from_secs(30),
            kill_after,
            purpose: Purpose::Health,
        }
    }

    fn at(seconds: u64) -> Moment {
        let wall = Timestamp::from_millis(i64::try_from(seconds * 1000).unwrap());
        Moment { elapsed: Duration::from_secs(seconds), wall }
    }

    fn watch(kill_after: Option<u32>) -> Watch {
        Watch::new(check(kill_after), at(100).elapsed, at(100).elapsed)
    }

    fn look(watch: &mut Watch, begin: u64, end: u64, probe: Probe) -> Vec<Action> {
        assert_eq!(step(watch, Input::Tick, at(begin)), [Action::Look]);
        step(watch, Input::Found(probe.into()), at(end))
    }

    fn bad() -> Probe {
        Probe::Bad("refused".into())
    }

    #[test]
    fn the_first_look_comes_after_the_delay() {
        let mut watch = watch(None);
        assert_eq!(watch.wake_at(), Some(at(105).elapsed));
        assert_eq!(step(&mut watch, Input::Tick, at(104)), []);
        assert_eq!(look(&mut watch, 105, 106, Probe::Good), [Action::Report]);
    }

    #[test]
    fn the_interval_counts_from_the_end_where_the_agent_kills_and_from_the_start_elsewhere() {
        for (kill_after, end, next) in [(None, 107, 115), (Some(1), 107, 117), (None, 118, 118)] {
            let mut watch = watch(kill_after);
            let _ = look(&mut watch, 105, end, Probe::Good);
            assert_eq!(watch.wake_at(), Some(at(next).elapsed), "{kill_after:?} {end}");
        }
    }

    #[test]
    fn failures_count_after_grace_or_after_the_first_success() {
        let mut late = watch(Some(2));
        assert_eq!(look(&mut late, 105, 105, bad()), [Action::Report]);
        assert_eq!((late.found.consecutive_failures, late.found.healthy), (0, None));
        assert_eq!(look(&mut late, 131, 131, bad()), [Action::Report]);
        assert_eq!((late.found.consecutive_failures, late.found.healthy), (1, Some(false)));
        assert_eq!(look(&mut late, 141, 141, bad()), [Action::Report, Action::Kill]);

        let mut early = watch(Some(1));
        let _ = look(&mut early, 105, 105, Probe::Good);
        assert_eq!(look(&mut early, 115, 115, bad()), [Action::Report, Action::Kill]);
    }

    #[test]
    fn zero_kills_at_the_first_failure_and_none_never() {
        for (kill_after, kills) in [(Some(0), true), (Some(1), true), (Some(2), false), (None, false)] {
            let mut watch = watch(kill_after);
            assert_eq!(look(&mut watch, 140, 141, bad()).contains(&Action::Kill), kills, "{kill_after:?}");
        }
    }

    #[test]
    fn a_success_starts_the_count_anew_and_an_ignored_result_changes_nothing() {
        let mut watch = watch(Some(3));
        for (second, probe, failures) in [
            (140, bad(), 1),
            (150, bad(), 2),
            (160, Probe::Ignored, 2),
            (170, Probe::Good, 0),
            (180, bad(), 1),
        ] {
            let _ = look(&mut watch, second, second, probe);
            assert_eq!(watch.found.consecutive_failures, failures, "at {second}");
        }
        assert_eq!(watch.found.first_success, Some(at(170).wall));
        assert_eq!(watch.found.last_failure_cause.as_deref(), Some("refused"));
    }

    #[test]
    fn an_agent_that_was_started_anew_gives_no_new_grace() {
        let mut watch = Watch::new(check(Some(1)), at(100).elapsed, at(500).elapsed);
        assert_eq!(watch.wake_at(), Some(at(500).elapsed), "the delay is over too");
        assert_eq!(look(&mut watch, 500, 501, bad()), [Action::Report, Action::Kill]);
    }

    #[test]
    fn nothing_is_looked_at_twice_at_a_time_and_nothing_unasked_counts() {
        let mut watch = watch(Some(1));
        assert_eq!(step(&mut watch, Input::Found(bad().into()), at(140)), []);
        assert_eq!(step(&mut watch, Input::Tick, at(140)), [Action::Look]);
        assert_eq!(step(&mut watch, Input::Tick, at(999)), []);
        assert_eq!(watch.wake_at(), None);
    }

    fn of_purpose(purpose: Purpose) -> Watch {
        let check = Check { purpose, delay: Duration::ZERO, grace_period: Duration::ZERO, ..check(None) };
        Watch::new(check, at(100).elapsed, at(100).elapsed)
    }

    fn readiness() -> Purpose {
        Purpose::Readiness { statuses: vec![200], keep_response: true }
    }

    #[test]
    fn readiness_is_looked_at_until_the_first_success() {
        let mut watch = of_purpose(readiness());
        let answer = |status| {
            Some(Sight::Response(Response { status, content_type: String::new(), body: String::new() }))
        };
        for (second, probe, status) in [(100, bad(), 503), (110, Probe::Good, 200)] {
            assert_eq!(step(&mut watch, Input::Tick, at(second)), [Action::Look]);
            assert_eq!(watch.ready(), None);
            let finding = Finding { probe, sight: answer(status) };
            assert_eq!(step(&mut watch, Input::Found(finding), at(second)), [Action::Report], "{second}");
            assert_eq!(watch.found.sight, answer(status));
        }
        let ready = watch.ready().unwrap();
        assert_eq!((ready.at, ready.response.as_ref().map(|it| it.status)), (at(110).wall, Some(200)));
        assert_eq!((watch.found.alive, watch.wake_at()), (Some(true), None));
        assert_eq!(step(&mut watch, Input::Tick, at(999)), []);
        assert_eq!(step(&mut watch, Input::Found(bad().into()), at(999)), []);

        let again = Watch::ended(watch.check().clone(), ready.clone());
        assert_eq!((again.ready(), again.wake_at()), (Some(ready), None));
        assert_eq!(again.found.alive, Some(true));
    }

    #[test]
    fn information_is_told_when_it_changes_and_never_kills() {
        let mut watch = of_purpose(Purpose::Information);
        let exit = |code| Finding {
            probe: if code == 0 { Probe::Good } else { bad() },
            sight: Some(Sight::Exit(code)),
        };
        for (at_second, finding, told) in [
            (100, exit(0), true),
            (110, exit(0), false),
            (120, exit(1), true),
            (130, exit(2), true),
            (140, bad().into(), true),
            (150, bad().into(), false),
            (160, exit(2), true),
        ] {
            assert_eq!(step(&mut watch, Input::Tick, at(at_second)), [Action::Look]);
            let expected: &[Action] = if told { &[Action::Report] } else { &[] };
            let sight = finding.sight.clone();
            assert_eq!(step(&mut watch, Input::Found(finding), at(at_second)), expected, "{at_second}");
            assert_eq!(watch.found.sight, sight);
        }
        assert_eq!((watch.ready(), watch.found.healthy), (None, None));
    }
}
