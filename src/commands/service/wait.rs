//! Waiting for a deployment: events as they come, and a reading every few seconds for what they may have missed.

use std::collections::BTreeMap;
use std::time::Duration;

use api::client::{AppEmbed, Client, ClientError, EventStream, ServerEvent};
use api::marathon::AppId;
use serde_json::Value;
use tokio::time::{Instant, sleep_until, timeout};

use super::plan;
use super::reason::Reasons;
use super::watch::{End, Failure, Goal, Note, Reading, Watch};
use crate::commands::task::find::short;
use crate::error::CliError;
use crate::event::Event;
use crate::exit::Exit;
use crate::printer::{Printer, style};
use crate::sandbox::{Reader, Sandbox};
use crate::text::{self, spoken, visible};
use crate::value;

/// How often everything is read anew, events or not.
const READ_EVERY: Duration = Duration::from_secs(2);

/// How long the first reason to wait is kept back: most instances have a place by then.
const REASON_AFTER: Duration = Duration::from_secs(4);

/// How long a cluster that does not answer is waited for; a new leader is there long before.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long the event stream may take to begin.
const EVENTS_IN: Duration = Duration::from_secs(3);

/// How many lines of a failed instance's standard error are shown, and of how many instances.
const LINES_OF_FAILED: usize = 8;
const FAILED_SHOWN: u32 = 3;

/// Of how many services it is said why they are not done.
const EXPLAINED: usize = 5;

const EVENTS: [&str; 4] =
    ["status_update_event", "instance_health_changed_event", "deployment_success", "deployment_failed"];

/// What the user is told about the change that is waited for.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    /// What is changed, like `/web`, `/shop` or `3 services`.
    pub(crate) name: String,
    /// Printed when it is done, like `/web is created`.
    pub(crate) done: String,
    /// One word for `--json`.
    pub(crate) what: &'static str,
    /// The command that takes the change back.
    pub(crate) undo: String,
    /// The command that waits again.
    pub(crate) again: String,
    /// Where there is more to read, as a sentence.
    pub(crate) more: String,
}

impl Subject {
    /// A change of one service; `verb` like `created`, and the command that takes it back.
    pub(crate) fn service(app: &AppId, verb: &str, what: &'static str, undo: impl Into<String>) -> Self {
        Self {
            name: app.to_string(),
            done: format!("{app} is {verb}"),
            what,
            undo: undo.into(),
            again: format!("clusterctl service wait {app}"),
            more: format!(
                "`clusterctl service show {app}` and `clusterctl service logs {app} --stderr` say more"
            ),
        }
    }
}

/// Waits until a service is deployed and up, whoever changed it.
pub(super) async fn until_up(
    ui: &mut Printer,
    client: &Client,
    app: &AppId,
    timeout: Duration,
) -> Result<Exit, CliError> {
    let now = super::existing(client, app, &[AppEmbed::Tasks, AppEmbed::LastTaskFailure]).await?;
    let subject = Subject::service(app, "up", "up", format!("clusterctl service rollback {app}"));
    until_done(ui, client, &subject, vec![Watch::new(app, None, Goal::Up).knowing(&now)], timeout).await
}

/// Waits until all watches have come to their ends, or for `timeout`, or until Ctrl-C.
pub(crate) async fn until_done(
    ui: &mut Printer,
    client: &Client,
    subject: &Subject,
    watches: Vec<Watch>,
    timeout: Duration,
) -> Result<Exit, CliError> {
    let mut wait = Wait {
        client,
        subject,
        watches,
        reasons: BTreeMap::new(),
        steps: BTreeMap::new(),
        framework: None,
        failed_shown: 0,
        begun: Instant::now(),
    };
    let in_time = tokio::select! {
        ended = wait.run(ui) => { ended?; true }
        () = sleep_until(wait_until(timeout)) => false,
        pressed = tokio::signal::ctrl_c() => {
            pressed.map_err(|error| CliError::internal("cannot hear Ctrl-C").caused_by(&error))?;
            return Err(wait.interrupted());
        }
    };
    let given_up = wait.watches.iter().find_map(|watch| match &watch.end {
        Some(End::GivenUp(reason)) => Some(reason.clone()),
        _ => None,
    });
    match given_up {
        Some(reason) => Err(wait.unsuccessful(&format!("{}: {reason}", subject.name), !in_time).await),
        None if in_time => {
            wait.count().await;
            let event = Event::Done { what: subject.what, name: &subject.name };
            ui.result(&format!("{}\n", wait.success()), &event)?;
            Ok(Exit::Done)
        }
        None => {
            let message = format!("{} is not done after {}", subject.name, spoken(timeout));
            Err(wait.unsuccessful(&message, true).await)
        }
    }
}

/// A timeout beyond the clock's end is as good as none.
fn wait_until(timeout: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 86_400);
    let now = Instant::now();
    now.checked_add(timeout.min(YEAR)).unwrap_or(now)
}

struct Wait<'a> {
    client: &'a Client,
    subject: &'a Subject,
    /// One for each service.
    watches: Vec<Watch>,
    /// What was said last about each service that waits.
    reasons: BTreeMap<AppId, String>,
    /// The step of each deployment that was said last.
    steps: BTreeMap<String, (u64, u64)>,
    framework: Option<String>,
    failed_shown: u32,
    begun: Instant,
}

/// The next event, if there is a stream.
async fn next(stream: &mut Option<EventStream>) -> Option<ServerEvent> {
    let Some(events) = stream else { return std::future::pending().await };
    match events.next().await {
        Ok(Some(event)) => Some(event),
        ended => {
            tracing::debug!(?ended, "the event stream ended");
            *stream = None;
            None
        }
    }
}

impl Wait<'_> {
    async fn run(&mut self, ui: &mut Printer) -> Result<(), CliError> {
        let mut stream = None;
        let mut heard = Instant::now();
        let mut next_reading = Instant::now();
        loop {
            let event = tokio::select! {
                biased;
                () = sleep_until(next_reading) => None,
                event = next(&mut stream) => event,
            };
            match event {
                Some(event) => {
                    for at in 0..self.watches.len() {
                        let Some(watch) = self.watches.get_mut(at) else { break };
                        let notes = watch.event(&event.kind, &event.data);
                        self.tell(ui, at, notes, &Value::Null).await?;
                    }
                }
                None => {
                    if stream.is_none() {
                        stream = self.events().await;
                    }
                    match self.read(ui).await {
                        Ok(()) => heard = Instant::now(),
                        Err(Fault::Client(error)) if error.is_passing() && heard.elapsed() < PATIENCE => {
                            tracing::warn!(%error, "the cluster did not answer; trying again");
                        }
                        Err(Fault::Client(error)) => return Err(error.into()),
                        Err(Fault::Cli(error)) => return Err(error),
                    }
                    next_reading = Instant::now() + READ_EVERY;
                }
            }
            if self.watches.iter().all(|watch| watch.end.is_some()) {
                return Ok(());
            }
        }
    }

    /// The event stream, if it can be had soon; readings say the same, only later.
    async fn events(&self) -> Option<EventStream> {
        timeout(EVENTS_IN, self.client.events(&EVENTS)).await.ok()?.ok()
    }

    async fn read(&mut self, ui: &mut Printer) -> Result<(), Fault> {
        let deployments = self.client.deployments().await?;
        let apps = self.apps().await?;
        for at in 0..self.watches.len() {
            let Some(watch) = self.watches.get_mut(at) else { break };
            let app = apps.iter().find(|app| value::text(app, "id") == watch.app().as_str());
            let notes = watch.reading(&Reading { app, deployments: &deployments });
            self.tell(ui, at, notes, &deployments).await?;
        }
        if self.begun.elapsed() >= REASON_AFTER && self.open().next().is_some() {
            self.tell_reasons(ui).await?;
        }
        Ok(())
    }

    /// Those that are waited for yet.
    fn open(&self) -> impl Iterator<Item = &Watch> {
        self.watches.iter().filter(|watch| watch.end.is_none())
    }

    /// The services that are waited for, as they are now, as far as they are there.
    async fn apps(&self) -> Result<Vec<Value>, ClientError> {
        let embed = [AppEmbed::Tasks, AppEmbed::LastTaskFailure];
        match self.watches.as_slice() {
            [one] => match self.client.app(one.app(), &embed).await {
                Ok(mut answer) => Ok(answer.get_mut("app").map(Value::take).into_iter().collect()),
                Err(error) if error.status() == Some(404) => Ok(Vec::new()),
                Err(error) => Err(error),
            },
            // One request for all, however many there are.
            _ => Ok(value::list(&self.client.apps(&embed).await?, "apps").to_vec()),
        }
    }

    /// An event may have ended it after the last reading: how many run is read once more, if that can be had.
    async fn count(&mut self) {
        let apps = self.apps().await.unwrap_or_default();
        for watch in &mut self.watches {
            if let Some(app) = apps.iter().find(|app| value::text(app, "id") == watch.app().as_str()) {
                watch.count(app);
            }
        }
    }

    async fn tell_reasons(&mut self, ui: &mut Printer) -> Result<(), Fault> {
        let reasons = Reasons::read(self.client).await;
        let waiting = |watch: &Watch| Some((watch.app().clone(), reasons.waiting(watch.app().as_str())?));
        let now: BTreeMap<AppId, String> = self.open().filter_map(waiting).collect();
        for (app, reason) in &now {
            if self.reasons.get(app).map(|old| without_figures(old)) == Some(without_figures(reason)) {
                continue;
            }
            let who = if self.watches.len() > 1 { format!("{app}: ") } else { String::new() };
            let event = Event::Waiting { app: app.as_str(), reason };
            ui.progress(&format!("  {}", visible(&format!("{who}{reason}"))), &event)?;
        }
        self.reasons = now;
        Ok(())
    }

    async fn tell(
        &mut self,
        ui: &mut Printer,
        at: usize,
        notes: Vec<Note>,
        deployments: &Value,
    ) -> Result<(), CliError> {
        let Some(watch) = self.watches.get(at) else { return Ok(()) };
        let (id, app) = (watch.app().clone(), watch.app().to_string());
        let deployment = watch.deployment().map(str::to_owned);
        for note in notes {
            match note {
                Note::Step { at, of } => {
                    self.tell_step(ui, &id, deployment.as_deref(), (at, of), deployments)?;
                }
                Note::Instance { task, host, state, message } => {
                    let event = Event::Instance {
                        app: &app,
                        task: &task,
                        host: &host,
                        state: &state,
                        message: &message,
                    };
                    ui.progress(&instance_line(&task, &host, &state, &message), &event)?;
                }
                Note::Failed(failure) if self.failed_shown < FAILED_SHOWN => {
                    self.failed_shown += 1;
                    for line in self.last_words(&failure).await {
                        let event = Event::Log { task: &failure.task, stream: "stderr", line: &line };
                        ui.progress(&format!("      {}", visible(&line)), &event)?;
                    }
                }
                Note::Failed(_) => {}
            }
        }
        Ok(())
    }

    /// A deployment's step, said once however many services it has; with what it does where that is not plain.
    fn tell_step(
        &mut self,
        ui: &mut Printer,
        app: &AppId,
        deployment: Option<&str>,
        step: (u64, u64),
        deployments: &Value,
    ) -> Result<(), CliError> {
        let key = deployment.map_or_else(|| app.to_string(), str::to_owned);
        if self.steps.insert(key, step) == Some(step) {
            return Ok(());
        }
        let (at, of) = step;
        let ours = |one: &&Value| Some(value::text(one, "id")) == deployment;
        let doing = value::items(deployments).iter().find(ours);
        let doing = doing.map(|one| plan::actions(value::list(one, "currentActions"))).unwrap_or_default();
        let doing =
            if self.watches.len() < 2 || doing.is_empty() { String::new() } else { format!(": {doing}") };
        let event =
            Event::Deployment { app: app.as_str(), id: deployment, state: "step", step: at, steps: of };
        ui.progress(&format!("  step {at} of {of}{}", visible(&doing)), &event)
    }

    /// The end of what a failed instance wrote to standard error; best effort, it only explains.
    async fn last_words(&mut self, failure: &Failure) -> Vec<String> {
        if self.framework.is_none() {
            let info = self.client.info().await.unwrap_or_default();
            self.framework = Some(value::text(&info, "frameworkId").to_owned());
        }
        let framework = self.framework.as_deref().unwrap_or_default();
        let Some(sandbox) = Sandbox::new(&failure.agent, framework, &failure.task) else { return Vec::new() };
        let mut reader = Reader::new(self.client, &sandbox, "stderr");
        let mut lines = reader.last(LINES_OF_FAILED).await.unwrap_or_default();
        lines.extend(reader.rest());
        lines
    }

    fn success(&self) -> String {
        let sum = |of: fn(&Watch) -> u64| self.watches.iter().map(of).sum::<u64>();
        let (running, wanted) = (sum(|watch| watch.running.0), sum(|watch| watch.running.1));
        if self.subject.what == "removed" || wanted == 0 {
            return self.subject.done.clone();
        }
        format!("{}: {running} of {}", self.subject.done, text::count(wanted, "instance"))
    }

    /// Why it did not come to a good end, as far as anybody knows.
    async fn unsuccessful(&mut self, message: &str, goes_on: bool) -> CliError {
        let mut error = CliError::failed(message);
        // What is there now says more than what was read before; without it, that has to do.
        let reasons = Reasons::read(self.client).await;
        let several = self.watches.len() > 1;
        // Of many only those that have something to say.
        let is_short = |watch: &Watch| {
            let waits = reasons.waiting(watch.app().as_str()).is_some();
            watch.running.0 < watch.running.1 || watch.failure.is_some() || waits
        };
        let open = self.watches.iter().filter(|watch| watch.end != Some(End::Succeeded));
        let unfinished: Vec<Watch> = open.filter(|watch| !several || is_short(watch)).cloned().collect();
        for watch in unfinished.iter().take(EXPLAINED) {
            let who = if several { format!("{}: ", watch.app()) } else { String::new() };
            let (running, wanted) = watch.running;
            if wanted > 0 {
                error.causes.push(format!("{who}{running} of {} run", text::count(wanted, "instance")));
            }
            if let Some(failure) = watch.failure.clone() {
                error.causes.push(format!("{who}{}", failure_words(&failure)));
                let lines = self.last_words(&failure).await;
                if !lines.is_empty() {
                    error.causes.push(format!("its standard error ends with\n{}", lines.join("\n")));
                }
            }
            let reason = reasons.waiting(watch.app().as_str()).or(self.reasons.get(watch.app()).cloned());
            error.causes.extend(reason.map(|reason| format!("{who}{reason}")));
        }
        if unfinished.len() > EXPLAINED {
            let more = unfinished.len() - EXPLAINED;
            error.causes.push(format!("and {more} more that are not done"));
        }
        let Subject { again, more, undo, .. } = self.subject;
        if let Some(id) = self.deployment().filter(|_| goes_on) {
            error = error.hint(format!("deployment {id} goes on; `{again}` waits for it again"));
        }
        error.hint(more.clone()).hint(format!("`{undo}` takes the change back"))
    }

    /// The deployment that is waited for, where it is one.
    fn deployment(&self) -> Option<&str> {
        self.watches.iter().find_map(Watch::deployment)
    }

    fn interrupted(&self) -> CliError {
        let message = match self.deployment() {
            Some(id) => format!("stopped waiting; deployment {id} goes on"),
            None => "stopped waiting".to_owned(),
        };
        let Subject { again, undo, .. } = self.subject;
        CliError::interrupted(message)
            .hint(format!("`{again}` waits for it again"))
            .hint(format!("`{undo}` takes the change back"))
    }
}

/// Figures that count down are no news.
fn without_figures(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_digit()).collect()
}

fn failure_words(failure: &Failure) -> String {
    let Failure { task, host, state, message, .. } = failure;
    let place = if host.is_empty() { String::new() } else { format!(" on {host}") };
    let message = if message.is_empty() { String::new() } else { format!(": {message}") };
    format!("instance {}{place} ended with {state}{message}", short(task))
}

fn instance_line(task: &str, host: &str, state: &str, message: &str) -> String {
    let colour = match state {
        "TASK_RUNNING" | "healthy" => anstyle::AnsiColor::Green.on_default(),
        "TASK_STAGING" | "TASK_STARTING" | "TASK_KILLING" | "TASK_KILLED" => {
            anstyle::AnsiColor::Yellow.on_default()
        }
        _ => style::ERROR,
    };
    let words = state.trim_start_matches("TASK_").to_lowercase().replace('_', " ");
    let place = if host.is_empty() { String::new() } else { format!(" on {}", visible(host)) };
    let message = if message.is_empty() { String::new() } else { format!(": {}", visible(message)) };
    format!("  {} {colour}{}{colour:#}{place}{message}", visible(&short(task)), visible(&words))
}

/// What ends a reading: the network, which may come back, or the output, which does not.
enum Fault {
    Client(ClientError),
    Cli(CliError),
}

impl From<ClientError> for Fault {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl From<CliError> for Fault {
    fn from(error: CliError) -> Self {
        Self::Cli(error)
    }
}
