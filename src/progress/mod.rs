//! What a long command shows while it runs: one stream of events, three views.
//!
//! ```text
//!  tasks ──Event──▶ channel ──▶ thread: Model, Teller ──▶ live lines │ plain lines │ JSON lines
//! ```
//!
//! | | where | what |
//! |---|---|---|
//! | `--json` | standard output | every event |
//! | a terminal on standard error | there | phases and busy hosts in their places, failures and notes above them |
//! | else | standard error | a line for each change, and who is busy after a while of silence |
//!
//! With `-q` failures alone are said; with `-v` plain lines and every step, since diagnostics come between. The thread alone
//! writes; whoever tells it something does not wait. Nothing is to be printed meanwhile but by [`Screen::aside`].

use std::env;
use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use installer::event::{Event, Listener};

use crate::error::CliError;
use crate::printer::{Printer, Verbosity};

mod line;
mod model;
mod view;
mod words;

use view::{Json, Live, Plain, View};
use words::Weight;

/// How often lines are drawn again, here and over a line that may be slow.
const EVERY: Duration = Duration::from_millis(250);
const EVERY_REMOTE: Duration = Duration::from_secs(1);

/// A view of a run. Dropping it ends it as [`finish`](Self::finish) does.
#[derive(Debug)]
pub(crate) struct Progress {
    screen: Screen,
    thread: Option<JoinHandle<Option<io::Error>>>,
}

/// Whoever wants to say or ask something while a view is there.
#[derive(Clone, Debug)]
pub(crate) struct Screen(Sender<Message>);

enum Message {
    Event(Box<Event>),
    /// Somebody asks something: told when there is room, heard from when it is answered.
    Aside {
        room: Sender<()>,
        answered: Receiver<()>,
    },
    End,
}

impl Progress {
    /// Shows what happens from now on. With `--json` the printer's own first line comes first.
    pub(crate) fn start(ui: &mut Printer) -> Result<Self, CliError> {
        ui.begin()?;
        let verbosity = ui.verbosity();
        let is_dumb = env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        let colour = ui.diagnostics_in_colour();
        let view = if ui.is_json() {
            View::Json(Json::new(Box::new(io::stdout())))
        } else if verbosity == Verbosity::Normal && io::stderr().is_terminal() && !is_dumb {
            let remote = env::var_os("SSH_CONNECTION").is_some();
            View::Live(Live::new(if remote { EVERY_REMOTE } else { EVERY }, colour))
        } else {
            View::Plain(Plain::new(Box::new(io::stderr()), weight(verbosity), colour))
        };
        Self::show(view)
    }

    fn show(view: View) -> Result<Self, CliError> {
        let (sender, receiver) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("progress".to_owned())
            .spawn(move || run(view, &receiver))
            .map_err(|cause| CliError::internal("cannot start a thread").caused_by(&cause))?;
        Ok(Self { screen: Screen(sender), thread: Some(thread) })
    }

    /// Who hears the events. It never waits; what it hears after the end is left out.
    pub(crate) fn listener(&self) -> Listener {
        let Screen(sender) = self.screen.clone();
        Arc::new(move |event| {
            // It fails only after the end.
            let _ = sender.send(Message::Event(Box::new(event)));
        })
    }

    /// For whoever asks something meanwhile.
    pub(crate) fn screen(&self) -> Screen {
        self.screen.clone()
    }

    /// Shows what was heard until now, and leaves the terminal as it was.
    ///
    /// # Errors
    /// When an event could not be written.
    pub(crate) fn finish(mut self) -> Result<(), CliError> {
        match self.end() {
            Some(cause) => Err(CliError::internal("cannot write to standard output").caused_by(&cause)),
            None => Ok(()),
        }
    }

    fn end(&mut self) -> Option<io::Error> {
        let thread = self.thread.take()?;
        // It fails only when the thread has ended.
        let _ = self.screen.0.send(Message::End);
        thread.join().unwrap_or_else(|_| Some(io::Error::other("the thread that shows progress failed")))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

impl Screen {
    /// Does something for which the terminal is needed, such as a question. The view comes back afterwards.
    pub(crate) fn aside<T>(&self, ask: impl FnOnce() -> T) -> T {
        let (room, has_room) = mpsc::channel();
        let (answer, answered) = mpsc::channel();
        if self.0.send(Message::Aside { room, answered }).is_ok() {
            // It fails only when the view has ended, and then there is room.
            let _ = has_room.recv();
        }
        let result = ask();
        drop::<Sender<()>>(answer);
        result
    }
}

fn weight(verbosity: Verbosity) -> Weight {
    match verbosity {
        Verbosity::Quiet => Weight::Failure,
        Verbosity::Normal => Weight::Change,
        Verbosity::Verbose(_) => Weight::Detail,
    }
}

/// Until the end, or until nobody is left who could say something.
fn run(mut view: View, receiver: &Receiver<Message>) -> Option<io::Error> {
    let began = Instant::now();
    loop {
        let now = began.elapsed();
        view.tick(now);
        match receiver.recv_timeout(view.idle(now)) {
            Ok(Message::Event(event)) => view.event(&event, began.elapsed()),
            Ok(Message::Aside { room, answered }) => view.aside(|| {
                let _ = room.send(());
                // An error, since nothing is ever sent: whoever asked has let go of it.
                let _ = answered.recv();
            }),
            Err(RecvTimeoutError::Timeout) => {}
            Ok(Message::End) | Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    view.clear();
    view.fault()
}

#[cfg(test)]
mod tests;
