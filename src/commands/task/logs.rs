//! What tasks wrote, of one or of many at once.

use std::collections::BTreeMap;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use api::client::{Client, ClientError};
use api::marathon::AppId;
use clap::Args;
use futures_util::stream::{self, StreamExt as _};
use serde_json::Value;

use super::find::{is_over, short};
use super::view;
use crate::error::CliError;
use crate::event::Event;
use crate::exit::Exit;
use crate::printer::Printer;
use crate::sandbox::{Reader, Sandbox};
use crate::{text, value};

/// How often files are looked at for more.
const PAUSE: Duration = Duration::from_millis(500);

/// How often new instances are looked for, counted in pauses.
const LOOK_EVERY: u32 = 6;

/// How many files are read at once: a master passes on only so many.
const AT_ONCE: usize = 8;

/// How many failures of the network in a row end a run that follows, one per pause.
const PATIENCE: u32 = 60;

/// Flags of the commands that print logs.
#[derive(Args, Clone, Debug)]
pub(crate) struct LogArgs {
    /// Go on printing what is written, until Ctrl-C
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// How many of the last lines to begin with
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100)]
    pub(crate) lines: usize,
    /// What was written to standard error instead of standard output
    #[arg(long)]
    pub(crate) stderr: bool,
}

impl LogArgs {
    fn file(&self) -> &'static str {
        if self.stderr { "stderr" } else { "stdout" }
    }
}

const COLOURS: [AnsiColor; 6] = [
    AnsiColor::Cyan,
    AnsiColor::Green,
    AnsiColor::Yellow,
    AnsiColor::Magenta,
    AnsiColor::Blue,
    AnsiColor::BrightCyan,
];

/// One task whose log is read.
struct Source<'a> {
    id: String,
    name: String,
    style: Style,
    reader: Reader<'a>,
    begun: bool,
    over: bool,
    done: bool,
}

impl<'a> Source<'a> {
    fn new(client: &'a Client, task: &Value, file: &str, at: usize) -> Option<Self> {
        let id = value::text(task, "id");
        Some(Self {
            id: id.to_owned(),
            name: short(id),
            style: COLOURS[at % COLOURS.len()].on_default(),
            reader: Reader::new(client, &Sandbox::of(task)?, file),
            begun: false,
            over: is_over(task),
            done: false,
        })
    }

    /// The last lines at first, then what came since. A file that is not there yet is empty.
    async fn read(&mut self, lines: usize) -> Result<Vec<String>, ClientError> {
        let read = if self.begun { self.reader.more().await } else { self.reader.last(lines).await };
        match read {
            Err(error) if error.status() == Some(404) => Ok(Vec::new()),
            Ok(read) => {
                self.begun = true;
                Ok(read)
            }
            Err(error) => Err(error),
        }
    }
}

/// Prints logs of these tasks; with `service` and `--follow` also those of instances that come later.
pub(crate) async fn of_tasks(
    ui: &mut Printer,
    client: &Client,
    tasks: Vec<Value>,
    args: &LogArgs,
    service: Option<&AppId>,
) -> Result<Exit, CliError> {
    let mut run = Run { client, args, prefix: service.is_some(), sources: Vec::new() };
    run.add(&tasks, false);
    if !args.follow {
        return run.once(ui).await;
    }
    tokio::select! {
        ended = run.follow(ui, service) => ended,
        // Ctrl-C is how following ends.
        _ = tokio::signal::ctrl_c() => Ok(Exit::Interrupted),
    }
}

struct Run<'a> {
    client: &'a Client,
    args: &'a LogArgs,
    prefix: bool,
    sources: Vec<Source<'a>>,
}

impl<'a> Run<'a> {
    /// Adds tasks that are not read yet, and notes which have come to their end. Those that come later are read from
    /// their beginning.
    fn add(&mut self, tasks: &[Value], later: bool) {
        let known: BTreeMap<String, usize> =
            self.sources.iter().enumerate().map(|(at, source)| (source.id.clone(), at)).collect();
        for task in tasks {
            match known.get(value::text(task, "id")).and_then(|at| self.sources.get_mut(*at)) {
                Some(source) => source.over = is_over(task),
                None => {
                    let at = self.sources.len();
                    let source = Source::new(self.client, task, self.args.file(), at);
                    self.sources.extend(source.map(|source| Source { begun: later, ..source }));
                }
            }
        }
    }

    async fn once(&mut self, ui: &mut Printer) -> Result<Exit, CliError> {
        let mut nothing = true;
        for at in 0..self.sources.len() {
            let Some(source) = self.sources.get_mut(at) else { break };
            let mut lines = source.read(self.args.lines).await?;
            if self.args.lines > 0 {
                lines.extend(source.reader.rest());
            }
            nothing &= lines.is_empty();
            self.print(ui, at, &lines)?;
            if ui.reader_is_gone() {
                break;
            }
        }
        if nothing {
            let (file, other) =
                if self.args.stderr { ("error", "without `--stderr`") } else { ("output", "`--stderr`") };
            ui.hint(&format!("nothing was written to standard {file} yet; {other} shows the other stream"));
        }
        Ok(Exit::Done)
    }

    async fn follow(&mut self, ui: &mut Printer, service: Option<&AppId>) -> Result<Exit, CliError> {
        let mut failures = 0;
        let mut round: u32 = 0;
        loop {
            let lines = self.args.lines;
            let reads =
                self.sources.iter_mut().filter(|source| !source.done).map(|source| source.read(lines));
            let answers: Vec<_> = stream::iter(reads).buffered(AT_ONCE).collect().await;
            let mut answers = answers.into_iter();
            let mut failure = None;
            for at in 0..self.sources.len() {
                if self.sources.get(at).is_none_or(|source| source.done) {
                    continue;
                }
                match answers.next() {
                    Some(Ok(lines)) => {
                        self.print(ui, at, &lines)?;
                        self.end(ui, at, lines.is_empty())?;
                    }
                    Some(Err(error)) if error.is_passing() => failure = Some(error),
                    Some(Err(error)) => return Err(error.into()),
                    None => {}
                }
            }
            if ui.reader_is_gone() {
                return Ok(Exit::Done);
            }
            round = round.wrapping_add(1);
            if round.is_multiple_of(LOOK_EVERY) || failure.is_some() {
                failure = failure.or(self.look(service).await?);
            }
            failures = if failure.is_some() { failures + 1 } else { 0 };
            match failure {
                Some(error) if failures >= PATIENCE => return Err(error.into()),
                _ => {}
            }
            if service.is_none() && self.sources.iter().all(|source| source.done) {
                return Ok(Exit::Done);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// A task that is over and has nothing more to say is done.
    fn end(&mut self, ui: &mut Printer, at: usize, silent: bool) -> Result<(), CliError> {
        let Some(source) = self.sources.get_mut(at) else { return Ok(()) };
        if !(source.over && silent) {
            return Ok(());
        }
        source.done = true;
        let rest: Vec<String> = source.reader.rest().into_iter().collect();
        let name = source.name.clone();
        self.print(ui, at, &rest)?;
        if !ui.is_json() {
            ui.hint(&format!("{name} is over"));
        }
        Ok(())
    }

    /// Reads the tasks anew; answers a fault that may pass.
    async fn look(&mut self, service: Option<&AppId>) -> Result<Option<ClientError>, CliError> {
        let answer = match self.client.tasks().await {
            Ok(answer) => answer,
            Err(error) if error.is_passing() => return Ok(Some(error)),
            Err(error) => return Err(error.into()),
        };
        let all = value::list(&answer, "tasks");
        let tasks = match service {
            // New ones that are over already are read too: why they ended may be of interest.
            Some(app) => view::wanted(all, true, Some(app)),
            None => all.to_vec(),
        };
        let known: Vec<&str> = self.sources.iter().map(|source| source.id.as_str()).collect();
        let of_interest = |task: &&Value| {
            let id = value::text(task, "id");
            known.contains(&id) || (service.is_some() && !is_over(task))
        };
        let tasks: Vec<Value> = tasks.iter().filter(of_interest).cloned().collect();
        self.add(&tasks, true);
        Ok(None)
    }

    fn print(&self, ui: &mut Printer, at: usize, lines: &[String]) -> Result<(), CliError> {
        let Some(source) = self.sources.get(at) else { return Ok(()) };
        for line in lines {
            let shown = text::visible(line);
            let (style, name) = (source.style, &source.name);
            let styled =
                if self.prefix { format!("{style}{name}{style:#} {shown}\n") } else { format!("{shown}\n") };
            ui.styled_result(&styled, &Event::Log { task: &source.id, stream: self.args.file(), line })?;
        }
        Ok(())
    }
}
