//! What tasks wrote, of one or of many at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use api::client::{Client, ClientError};
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

const COLOURS: [AnsiColor; 10] = [
    AnsiColor::Cyan,
    AnsiColor::Green,
    AnsiColor::Yellow,
    AnsiColor::Magenta,
    AnsiColor::Blue,
    AnsiColor::BrightCyan,
    AnsiColor::BrightGreen,
    AnsiColor::BrightYellow,
    AnsiColor::BrightMagenta,
    AnsiColor::BrightBlue,
];

/// The colour of an instance's name: the same in every run, whatever runs beside it.
fn colour(name: &str) -> Style {
    // FNV-1a: short names that differ in one letter are far apart.
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let folded = (hash ^ (hash >> 32)) & 0xffff_ffff;
    let at = usize::try_from(folded).unwrap_or_default() % COLOURS.len();
    COLOURS[at].on_default()
}

/// Whose new instances are read as well.
#[derive(Clone, Debug)]
pub(crate) struct Following {
    pub(crate) scope: view::Scope,
    /// Those that were over when it began: nobody asked for them.
    pub(crate) over: Vec<String>,
}

/// One task whose log is read.
struct Source<'a> {
    id: String,
    name: String,
    style: Style,
    reader: Reader<'a>,
    begun: bool,
    over: bool,
    done: bool,
    /// Its last reading failed.
    failing: bool,
}

impl<'a> Source<'a> {
    fn new(client: &'a Client, task: &Value, file: &str) -> Option<Self> {
        let id = value::text(task, "id");
        let name = short(id);
        Some(Self {
            id: id.to_owned(),
            style: colour(&name),
            name,
            reader: Reader::new(client, &Sandbox::of(task)?, file),
            begun: false,
            over: is_over(task),
            done: false,
            failing: false,
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

/// Prints logs of these tasks; with `following` and `--follow` also those of instances that come later.
pub(crate) async fn of_tasks(
    ui: &mut Printer,
    client: &Client,
    tasks: Vec<Value>,
    args: &LogArgs,
    following: Option<Following>,
) -> Result<Exit, CliError> {
    let gone = following.iter().flat_map(|following| following.over.iter().cloned()).collect();
    let scope = following.map(|following| following.scope);
    let mut run = Run { client, args, scope, sources: Vec::new(), gone };
    run.add(&tasks, false);
    if !args.follow {
        return run.once(ui).await;
    }
    tokio::select! {
        ended = run.follow(ui) => ended,
        // Ctrl-C is how following ends.
        _ = tokio::signal::ctrl_c() => Ok(Exit::Interrupted),
    }
}

struct Run<'a> {
    client: &'a Client,
    args: &'a LogArgs,
    /// Whose instances are read, and named before each line; nothing for a single task.
    scope: Option<view::Scope>,
    sources: Vec<Source<'a>>,
    /// Those that are not read any more.
    gone: BTreeSet<String>,
}

impl Run<'_> {
    /// Adds tasks that are not read yet, and notes which have come to their end. Those that come later are read from
    /// their beginning.
    fn add(&mut self, tasks: &[Value], later: bool) {
        let known: BTreeMap<String, usize> =
            self.sources.iter().enumerate().map(|(at, source)| (source.id.clone(), at)).collect();
        for task in tasks {
            let id = value::text(task, "id");
            match known.get(id).and_then(|at| self.sources.get_mut(*at)) {
                Some(source) => source.over = is_over(task),
                None if later && self.gone.contains(id) => {}
                None => {
                    let source = Source::new(self.client, task, self.args.file());
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

    async fn follow(&mut self, ui: &mut Printer) -> Result<Exit, CliError> {
        let mut failures = 0;
        let mut round: u32 = 0;
        loop {
            let mut failure = self.read(ui).await?;
            if ui.reader_is_gone() {
                return Ok(Exit::Done);
            }
            round = round.wrapping_add(1);
            if round.is_multiple_of(LOOK_EVERY) || failure.is_some() {
                // An instance that cannot be read may have ended with its node; the others go on.
                failure = self.look().await?;
            }
            failures = if failure.is_some() { failures + 1 } else { 0 };
            match failure {
                Some(error) if failures >= PATIENCE => return Err(error.into()),
                Some(error) if failures == 1 => ui.hint(&format!("{error}; trying again")),
                _ => {}
            }
            if self.scope.is_none() && self.sources.is_empty() {
                return Ok(Exit::Done);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Reads all once; answers a fault that may pass.
    async fn read(&mut self, ui: &mut Printer) -> Result<Option<ClientError>, CliError> {
        let lines = self.args.lines;
        let reads = self.sources.iter_mut().map(|source| source.read(lines));
        let answers: Vec<_> = stream::iter(reads).buffered(AT_ONCE).collect().await;
        let mut failure = None;
        for (at, answer) in answers.into_iter().enumerate() {
            match answer {
                Ok(lines) => {
                    self.print(ui, at, &lines)?;
                    self.end(ui, at, lines.is_empty())?;
                }
                Err(error) if error.is_passing() => {
                    self.failed(ui, at, &error);
                    failure = Some(error);
                }
                Err(error) => return Err(error.into()),
            }
        }
        let done = self.sources.iter().filter(|source| source.done).map(|source| source.id.clone());
        self.gone.extend(done);
        self.sources.retain(|source| !source.done);
        Ok(failure)
    }

    /// Says once that an instance cannot be read. One that is over, too, will not come back.
    fn failed(&mut self, ui: &mut Printer, at: usize, error: &ClientError) {
        let Some(source) = self.sources.get_mut(at) else { return };
        source.done = source.over;
        if !std::mem::replace(&mut source.failing, true) {
            ui.hint(&format!("{} cannot be read at the moment: {error}", source.name));
        }
    }

    /// A task that is over and has nothing more to say is done.
    fn end(&mut self, ui: &mut Printer, at: usize, silent: bool) -> Result<(), CliError> {
        let Some(source) = self.sources.get_mut(at) else { return Ok(()) };
        source.failing = false;
        if !(source.over && silent) {
            return Ok(());
        }
        source.done = true;
        let rest: Vec<String> = source.reader.rest().into_iter().collect();
        let name = source.name.clone();
        self.print(ui, at, &rest)?;
        ui.hint(&format!("{name} is over"));
        Ok(())
    }

    /// Reads the tasks anew; answers a fault that may pass.
    async fn look(&mut self) -> Result<Option<ClientError>, CliError> {
        let answer = match self.client.tasks().await {
            Ok(answer) => answer,
            Err(error) if error.is_passing() => return Ok(Some(error)),
            Err(error) => return Err(error.into()),
        };
        let all = value::list(&answer, "tasks");
        let tasks = match &self.scope {
            // New ones that are over already are read too: why they ended may be of interest.
            Some(scope) => view::wanted(all, true, Some(scope)),
            None => all.iter().filter(|task| self.reads(task)).cloned().collect(),
        };
        self.add(&tasks, true);
        Ok(None)
    }

    fn reads(&self, task: &Value) -> bool {
        self.sources.iter().any(|source| source.id == value::text(task, "id"))
    }

    fn print(&self, ui: &mut Printer, at: usize, lines: &[String]) -> Result<(), CliError> {
        let Some(source) = self.sources.get(at) else { return Ok(()) };
        for line in lines {
            let shown = text::visible(line);
            let (style, name) = (source.style, &source.name);
            let styled = match self.scope {
                Some(_) => format!("{style}{name}{style:#} {shown}\n"),
                None => format!("{shown}\n"),
            };
            ui.styled_result(&styled, &Event::Log { task: &source.id, stream: self.args.file(), line })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_keeps_its_colour_and_neighbours_differ() {
        assert_eq!(colour("web.3f0c8a52"), colour("web.3f0c8a52"));
        let names: Vec<String> = (0..40).map(|number| format!("web.3f0c8a{number:02x}")).collect();
        let mut used: Vec<String> = names.iter().map(|name| format!("{:?}", colour(name))).collect();
        used.sort();
        used.dedup();
        assert!(used.len() >= 8, "{used:?}");
    }
}
