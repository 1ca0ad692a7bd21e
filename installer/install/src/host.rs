//! One host during a run: a session, and what is done over it. I/O.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use secrecy::SecretString;
use ssh::{Become, Exec, ExecError, Limits, Session, SudoFault};
use tokio::sync::Semaphore;

use crate::apply::{Parcel, Places, Progress, parcel, progress};
use crate::event::{Event, Failure, Listener};
use crate::facts::{Facts, Looked};
use crate::item::Desired;
use crate::phase::Phase;
use crate::plan::Step;
use crate::probe::Look;

/// A look takes a second; one that is silent for so long hangs in a dead mount.
const LOOK: Limits = Limits { idle: Duration::from_secs(30), total: Duration::from_secs(60) };
/// A unit may take a minute to start, and a package its time.
const APPLY: Limits = Limits { idle: Duration::from_secs(120), total: Duration::from_secs(1800) };
/// Beyond this an upload is shown.
const SHOWN: u64 = 1 << 20;
const SHOW_EVERY: Duration = Duration::from_millis(250);

/// A host that is connected to.
pub struct Host {
    /// Its name in the inventory.
    pub name: String,
    session: Session,
    becoming: Become,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Why a host could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blind {
    /// What is the matter.
    pub failure: Failure,
    /// Whether a password for sudo would help.
    pub wants_password: bool,
}

impl From<Failure> for Blind {
    fn from(failure: Failure) -> Self {
        Self { failure, wants_password: false }
    }
}

/// A step that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// What it was.
    pub what: String,
    /// How it failed.
    pub failure: Failure,
}

impl Host {
    /// Over this session.
    #[must_use]
    pub fn new(name: impl Into<String>, session: Session, becoming: Become) -> Self {
        Self { name: name.into(), session, becoming }
    }

    /// With this password for sudo from now on.
    pub fn use_password(&mut self, password: SecretString) {
        if matches!(self.becoming, Become::Sudo { .. }) {
            self.becoming = Become::Sudo { password: Some(password) };
        }
    }

    /// Runs a script, and gives what it printed.
    ///
    /// # Errors
    /// When it cannot be run, or does not end well.
    pub async fn run(&self, script: String) -> Result<String, Failure> {
        self.run_within(script, LOOK).await.map_err(|blind| blind.failure)
    }

    /// The same for a script that takes its time.
    ///
    /// # Errors
    /// As [`Host::run`].
    pub async fn run_long(&self, script: String) -> Result<String, Failure> {
        self.run_within(script, APPLY).await.map_err(|blind| blind.failure)
    }

    async fn run_within(&self, script: String, limits: Limits) -> Result<String, Blind> {
        let mut exec = Exec::new(script);
        exec.r#become = self.becoming.clone();
        exec.limits = limits;
        let output = self.session.exec(exec).await.map_err(|error| Blind {
            wants_password: matches!(&error, ExecError::Sudo { fault: SudoFault::PasswordNeeded, .. }),
            failure: failure(error),
        })?;
        if output.status.success() {
            Ok(output.text())
        } else {
            Err(ended(&output.status, &output.stderr).into())
        }
    }

    /// Looks at it.
    ///
    /// # Errors
    /// When that is not possible.
    pub async fn look(&self, look: &Look) -> Result<Facts, Blind> {
        let began = SystemTime::now();
        let text = self.run_within(look.script(), LOOK).await?;
        let looked = Looked { began, ended: SystemTime::now() };
        Look::read(&text, looked).map_err(|error| Failure::of(&error, Some("run it again".to_owned())).into())
    }

    /// Takes steps, and tells of each.
    ///
    /// # Errors
    /// At the first that fails.
    pub async fn take(&self, work: &Work<'_>) -> Result<(), Stopped> {
        let sending = "what is sent to the host";
        (work.listener)(Event::StepStarted {
            host: self.name.clone(),
            phase: work.phase,
            what: "making ready what is sent".to_owned(),
            step: 0,
            of: work.steps.len(),
            expected: 10,
        });
        let heard = Arc::new(Mutex::new(Heard::new(&self.name, work)));
        let stopped = |failure| {
            let stopped = Stopped { what: sending.to_owned(), failure };
            heard.lock().unwrap_or_else(PoisonError::into_inner).fail(stopped)
        };
        let made = {
            let (places, desired) = (work.places.clone(), work.desired.clone());
            let (steps, facts) = (work.steps.to_vec(), work.facts.clone());
            // Large files are compressed here.
            tokio::task::spawn_blocking(move || parcel(&places, &desired, &steps, &facts)).await
        };
        let parcel = match made {
            Ok(Ok(parcel)) => parcel,
            Ok(Err(error)) => return Err(stopped(Failure::of(&error, None))),
            Err(error) => return Err(stopped(Failure::of(&error, None))),
        };
        let result = self.send(parcel, work, &heard).await;
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        match (heard.failed.clone(), heard.ended, result) {
            (Some(stopped), ..) => Err(stopped),
            (None, true, Ok(_)) => Ok(()),
            (None, _, Err(error)) => Err(heard.stopped(failure(error))),
            // The status alone is no proof of anything: it did not come to its end.
            (None, false, Ok(output)) => Err(heard.stopped(ended(&output.status, &output.stderr))),
        }
    }

    async fn send(
        &self,
        parcel: Parcel,
        work: &Work<'_>,
        heard: &Arc<Mutex<Heard>>,
    ) -> Result<ssh::Output, ExecError> {
        let total: u64 = parcel.input.iter().map(|piece| piece.len() as u64).sum();
        let sink = Arc::clone(heard);
        let mut exec = Exec::new(parcel.script);
        exec.input = parcel.input;
        exec.r#become = self.becoming.clone();
        exec.limits = APPLY;
        exec.on_line = Some(Arc::new(move |line: &[u8]| {
            sink.lock().unwrap_or_else(PoisonError::into_inner).line(&String::from_utf8_lossy(line));
        }));
        if total < SHOWN {
            return self.session.exec(exec).await;
        }
        let Ok(_permit) = work.uploads.acquire().await else { return self.session.exec(exec).await };
        let before = self.session.counters().bytes_up;
        let mut running = std::pin::pin!(self.session.exec(exec));
        let mut tick = tokio::time::interval(SHOW_EVERY);
        loop {
            tokio::select! {
                output = &mut running => return output,
                _ = tick.tick() => {
                    let sent = self.session.counters().bytes_up.saturating_sub(before).min(total);
                    (work.listener)(Event::Upload { host: self.name.clone(), sent, total });
                }
            }
        }
    }

    /// What the session has cost.
    #[must_use]
    pub fn counters(&self) -> ssh::Counters {
        self.session.counters()
    }

    /// Ends the connection.
    pub async fn close(self) {
        self.session.close().await;
    }
}

/// What is to be done on a host.
pub struct Work<'a> {
    /// When.
    pub phase: Phase,
    /// What it is to have.
    pub desired: &'a Arc<Desired>,
    /// The steps.
    pub steps: &'a [Step],
    /// What was found there.
    pub facts: &'a Arc<Facts>,
    /// Where a host keeps what belongs to installing.
    pub places: &'a Places,
    /// How many large uploads go on at once.
    pub uploads: &'a Semaphore,
    /// Who hears of it.
    pub listener: &'a Listener,
}

impl std::fmt::Debug for Work<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Work")
            .field("phase", &self.phase)
            .field("steps", &self.steps.len())
            .finish_non_exhaustive()
    }
}

/// What was heard of a host at work.
struct Heard {
    host: String,
    phase: Phase,
    steps: Vec<(String, u64)>,
    listener: Listener,
    running: Option<(usize, Instant)>,
    failed: Option<Stopped>,
    ended: bool,
}

impl Heard {
    fn new(host: &str, work: &Work<'_>) -> Self {
        Self {
            host: host.to_owned(),
            phase: work.phase,
            steps: work
                .steps
                .iter()
                .map(|s| (format!("{}: {}", s.what, s.deed.words()), s.deed.expected_seconds()))
                .collect(),
            listener: Arc::clone(work.listener),
            running: None,
            failed: None,
            ended: false,
        }
    }

    fn what(&self, step: usize) -> String {
        self.steps.get(step).map_or_else(|| "a step".to_owned(), |(what, _)| what.clone())
    }

    fn line(&mut self, line: &str) {
        let (host, phase) = (self.host.clone(), self.phase);
        match progress(line) {
            Some(Progress::Started(step)) => {
                self.running = Some((step, Instant::now()));
                let (what, expected) = self.steps.get(step).cloned().unwrap_or_default();
                let of = self.steps.len();
                (self.listener)(Event::StepStarted { host, phase, what, step: step + 1, of, expected });
            }
            Some(Progress::Done(step)) => {
                let took = self.running.take().map_or(Duration::ZERO, |(_, since)| since.elapsed());
                let (what, millis) = (self.what(step), millis(took));
                (self.listener)(Event::StepDone { host, phase, what, changed: true, millis });
            }
            Some(Progress::Failed { step, status, said }) => {
                let what = step.map_or_else(|| "what is sent to the host".to_owned(), |step| self.what(step));
                let failure = Failure {
                    what: "it failed on the host".to_owned(),
                    status: Some(status),
                    said,
                    hint: None,
                };
                self.fail(Stopped { what, failure });
            }
            Some(Progress::Ended) => self.ended = true,
            None => {}
        }
    }

    /// Every failure is told, since the log is made of what is told.
    fn fail(&mut self, stopped: Stopped) -> Stopped {
        let (host, phase, what) = (self.host.clone(), self.phase, stopped.what.clone());
        (self.listener)(Event::StepFailed { host, phase, what, failure: stopped.failure.clone() });
        self.failed = Some(stopped.clone());
        stopped
    }

    /// It ended without a word of its own: the step that ran is the one that is in doubt.
    fn stopped(&mut self, failure: Failure) -> Stopped {
        let what = match self.running {
            Some((step, _)) => self.what(step),
            None => "what is sent to the host".to_owned(),
        };
        self.fail(Stopped { what, failure })
    }
}

/// Milliseconds, as events have them.
#[must_use]
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The report says on which host, and equal errors of many hosts once.
fn failure(error: ExecError) -> Failure {
    let error = error.without_host();
    Failure::of(&error, error.hint())
}

fn ended(status: &ssh::Status, said: &[u8]) -> Failure {
    let said = String::from_utf8_lossy(said);
    let lines: Vec<&str> = said.lines().collect();
    Failure {
        what: format!("it ended early: {status}"),
        status: None,
        said: lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n"),
        hint: None,
    }
}
