//! Waiting for a deployment: events as they come, and a reading every few seconds for what they may have missed.

use std::time::Duration;

use api::client::{AppEmbed, Client, ClientError, EventStream, ServerEvent};
use api::marathon::AppId;
use serde_json::Value;
use tokio::time::{Instant, sleep_until, timeout};

use super::reason;
use super::watch::{End, Failure, Goal, Note, Reading, Watch};
use crate::commands::task::find::short;
use crate::error::CliError;
use crate::event::Event;
use crate::exit::Exit;
use crate::printer::{Printer, style};
use crate::sandbox::{Reader, Sandbox};
use crate::text::{spoken, visible};
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

const EVENTS: [&str; 4] =
    ["status_update_event", "instance_health_changed_event", "deployment_success", "deployment_failed"];

/// What the user is told about the change that is waited for.
pub(super) struct Subject<'a> {
    pub(super) app: &'a AppId,
    /// Printed when it is done, like `/web is created`.
    pub(super) done: String,
    /// One word for `--json`.
    pub(super) what: &'static str,
    /// The command that takes the change back.
    pub(super) undo: String,
}

/// Waits until a service is deployed and up, whoever changed it.
pub(super) async fn until_up(
    ui: &mut Printer,
    client: &Client,
    app: &AppId,
    timeout: Duration,
) -> Result<Exit, CliError> {
    let now = super::existing(client, app, &[AppEmbed::Tasks, AppEmbed::LastTaskFailure]).await?;
    let subject = Subject {
        app,
        done: format!("{app} is up"),
        what: "up",
        undo: format!("clusterctl service rollback {app}"),
    };
    until_done(ui, client, &subject, Watch::new(app.as_str(), None, Goal::Up).knowing(&now), timeout).await
}

/// Waits until the watch has come to its end, or for `timeout`, or until Ctrl-C.
pub(super) async fn until_done(
    ui: &mut Printer,
    client: &Client,
    subject: &Subject<'_>,
    watch: Watch,
    timeout: Duration,
) -> Result<Exit, CliError> {
    let mut wait = Wait {
        client,
        subject,
        watch,
        reason: None,
        framework: None,
        failed_shown: 0,
        begun: Instant::now(),
    };
    let ended = tokio::select! {
        ended = wait.run(ui) => Some(ended?),
        () = sleep_until(wait_until(timeout)) => None,
        pressed = tokio::signal::ctrl_c() => {
            pressed.map_err(|error| CliError::internal("cannot hear Ctrl-C").caused_by(&error))?;
            return Err(wait.interrupted());
        }
    };
    match ended {
        Some(End::Succeeded) => {
            let event = Event::Done { what: subject.what, name: subject.app.as_str() };
            ui.result(&format!("{}\n", wait.success()), &event)?;
            Ok(Exit::Done)
        }
        Some(End::GivenUp(reason)) => {
            Err(wait.unsuccessful(&format!("{}: {reason}", subject.app), false).await)
        }
        None => {
            let message = format!("{} is not done after {}", subject.app, spoken(timeout));
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
    subject: &'a Subject<'a>,
    watch: Watch,
    reason: Option<String>,
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
    async fn run(&mut self, ui: &mut Printer) -> Result<End, CliError> {
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
                    let notes = self.watch.event(&event.kind, &event.data);
                    self.tell(ui, notes).await?;
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
            if let Some(end) = self.watch.end.take() {
                return Ok(end);
            }
        }
    }

    /// The event stream, if it can be had soon; readings say the same, only later.
    async fn events(&self) -> Option<EventStream> {
        timeout(EVENTS_IN, self.client.events(&EVENTS)).await.ok()?.ok()
    }

    async fn read(&mut self, ui: &mut Printer) -> Result<(), Fault> {
        let deployments = self.client.deployments().await?;
        let embed = [AppEmbed::Tasks, AppEmbed::LastTaskFailure];
        let app = match self.client.app(self.subject.app, &embed).await {
            Ok(mut answer) => answer.get_mut("app").map(Value::take),
            Err(error) if error.status() == Some(404) => None,
            Err(error) => return Err(error.into()),
        };
        let notes = self.watch.reading(&Reading { app: app.as_ref(), deployments: &deployments });
        self.tell(ui, notes).await?;
        if self.begun.elapsed() >= REASON_AFTER && self.watch.end.is_none() {
            let queue = self.client.queue().await?;
            let reason = reason::waiting(&queue, self.subject.app.as_str());
            if let Some(reason) = reason.as_deref().filter(|_| self.is_new(reason.as_deref())) {
                let app = self.subject.app.as_str();
                ui.progress(&format!("  {}", visible(reason)), &Event::Waiting { app, reason })?;
            }
            self.reason = reason;
        }
        Ok(())
    }

    /// Figures that count down are no news.
    fn is_new(&self, reason: Option<&str>) -> bool {
        let words = |text: &str| text.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
        self.reason.as_deref().map(words) != reason.map(words)
    }

    async fn tell(&mut self, ui: &mut Printer, notes: Vec<Note>) -> Result<(), CliError> {
        let app = self.subject.app.as_str();
        for note in notes {
            match note {
                Note::Step { at, of } => {
                    let id = self.watch.deployment().map(str::to_owned);
                    let event =
                        Event::Deployment { app, id: id.as_deref(), state: "step", step: at, steps: of };
                    ui.progress(&format!("  step {at} of {of}"), &event)?;
                }
                Note::Instance { task, host, state, message } => {
                    let event =
                        Event::Instance { app, task: &task, host: &host, state: &state, message: &message };
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
        let (running, wanted) = self.watch.running;
        if self.subject.what == "removed" || wanted == 0 {
            return self.subject.done.clone();
        }
        format!("{}: {running} of {}", self.subject.done, crate::text::count(wanted, "instance"))
    }

    /// Why it did not come to a good end, as far as anybody knows.
    async fn unsuccessful(&mut self, message: &str, goes_on: bool) -> CliError {
        let app = self.subject.app;
        let (running, wanted) = self.watch.running;
        let mut error = CliError::failed(message);
        if wanted > 0 {
            error.causes.push(format!("{running} of {} run", crate::text::count(wanted, "instance")));
        }
        if let Some(failure) = self.watch.failure.clone() {
            error.causes.push(failure_words(&failure));
            let lines = self.last_words(&failure).await;
            if !lines.is_empty() {
                error.causes.push(format!("its standard error ends with\n{}", lines.join("\n")));
            }
        }
        // The queue as it is now says more than what was read before; without it, that has to do.
        let queue = self.client.queue().await.ok();
        let reason = queue.map_or(self.reason.clone(), |queue| reason::waiting(&queue, app.as_str()));
        error.causes.extend(reason);
        if let Some(id) = self.watch.deployment().filter(|_| goes_on) {
            error = error
                .hint(format!("deployment {id} goes on; `clusterctl service wait {app}` waits for it again"));
        }
        error
            .hint(format!(
                "`clusterctl service show {app}` and `clusterctl service logs {app} --stderr` say more"
            ))
            .hint(format!("`{}` takes the change back", self.subject.undo))
    }

    fn interrupted(&self) -> CliError {
        let app = self.subject.app;
        let message = match self.watch.deployment() {
            Some(id) => format!("stopped waiting; deployment {id} goes on"),
            None => "stopped waiting".to_owned(),
        };
        CliError::interrupted(message)
            .hint(format!("`clusterctl service wait {app}` waits for it again"))
            .hint(format!("`{}` takes the change back", self.subject.undo))
    }
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
