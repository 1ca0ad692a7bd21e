//! The three views, and what each does with an event.

use std::io::{self, Write};
use std::time::Duration;

use anstream::adapter::strip_str;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use installer::event::Event;
use rustix::termios::tcgetwinsize;

use super::model::Model;
use super::words::{Teller, Weight};

/// After so long without a word, plain lines say who is busy.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// What a terminal is wide that does not say it.
const WIDTH: usize = 80;

/// Where lines go.
pub(super) type Sink = Box<dyn Write + Send>;

/// One of the three.
pub(super) enum View {
    /// One object a line.
    Json(Json),
    /// One line for each change.
    Plain(Plain),
    /// Lines that change in their places.
    Live(Live),
}

impl View {
    /// Takes in what happened, `now` since the beginning.
    pub(super) fn event(&mut self, event: &Event, now: Duration) {
        match self {
            Self::Json(json) => json.event(event),
            Self::Plain(plain) => plain.event(event, now),
            Self::Live(live) => live.event(event, now),
        }
    }

    /// Shows what is due.
    pub(super) fn tick(&mut self, now: Duration) {
        match self {
            Self::Json(_) => {}
            Self::Plain(plain) => plain.tick(now),
            Self::Live(live) => live.tick(now),
        }
    }

    /// How long nothing is due.
    pub(super) fn idle(&self, now: Duration) -> Duration {
        match self {
            // Nothing ever is: any long time.
            Self::Json(_) => Duration::from_secs(3600),
            Self::Plain(plain) => (plain.last + HEARTBEAT).saturating_sub(now),
            Self::Live(live) => (live.drawn + live.every).saturating_sub(now),
        }
    }

    /// Leaves the terminal as it was.
    pub(super) fn clear(&mut self) {
        if let Self::Live(live) = self {
            live.bar.suspend(|| ());
            live.bar.finish_and_clear();
        }
    }

    /// Makes room for somebody who asks something, for as long as `wait` takes.
    pub(super) fn aside(&mut self, wait: impl FnOnce()) {
        match self {
            Self::Live(live) => live.bar.suspend(wait),
            Self::Json(_) | Self::Plain(_) => wait(),
        }
    }

    /// What could not be written.
    pub(super) fn fault(self) -> Option<io::Error> {
        match self {
            Self::Json(json) => json.fault,
            Self::Plain(_) | Self::Live(_) => None,
        }
    }
}

/// `--json`.
pub(super) struct Json {
    sink: Sink,
    reader_gone: bool,
    fault: Option<io::Error>,
}

impl Json {
    pub(super) fn new(sink: Sink) -> Self {
        Self { sink, reader_gone: false, fault: None }
    }

    /// A reader that goes away ends the output, not the work.
    fn event(&mut self, event: &Event) {
        if self.reader_gone || self.fault.is_some() {
            return;
        }
        let written = serde_json::to_vec(event).map_err(io::Error::from).and_then(|mut line| {
            line.push(b'\n');
            self.sink.write_all(&line).and_then(|()| self.sink.flush())
        });
        match written {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.reader_gone = true,
            Err(error) => self.fault = Some(error),
        }
    }
}

/// Off a terminal.
pub(super) struct Plain {
    sink: Sink,
    colour: bool,
    /// What is heavier is left out.
    most: Weight,
    model: Model,
    teller: Teller,
    /// When something was said last.
    last: Duration,
}

impl Plain {
    pub(super) fn new(sink: Sink, most: Weight, colour: bool) -> Self {
        let (model, teller) = (Model::default(), Teller::default());
        Self { sink, colour, most, model, teller, last: Duration::ZERO }
    }

    fn event(&mut self, event: &Event, now: Duration) {
        self.model.apply(event, now);
        if let Some((weight, text)) = self.teller.tell(event)
            && weight <= self.most
        {
            self.say(&text, now);
        }
    }

    fn tick(&mut self, now: Duration) {
        if now < self.last + HEARTBEAT {
            return;
        }
        match self.model.heartbeat(now) {
            Some(line) if self.most >= Weight::Change => self.say(&line, now),
            _ => self.last = now,
        }
    }

    fn say(&mut self, text: &str, now: Duration) {
        let line = if self.colour { format!("{text}\n") } else { format!("{}\n", strip_str(text)) };
        // Where standard error cannot be written there is no place left to say so.
        let _ = self.sink.write_all(line.as_bytes()).and_then(|()| self.sink.flush());
        self.last = now;
    }
}

/// On a terminal.
pub(super) struct Live {
    bar: ProgressBar,
    colour: bool,
    every: Duration,
    model: Model,
    teller: Teller,
    drawn: Duration,
}

impl Live {
    /// Draws again after each `every`.
    pub(super) fn new(every: Duration, colour: bool) -> Self {
        // How often is decided here alone: the bar's own limit is far above that.
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(100));
        if let Ok(style) = ProgressStyle::with_template("{msg}") {
            bar.set_style(style);
        }
        let (model, teller) = (Model::default(), Teller::default());
        Self { bar, colour, every, model, teller, drawn: Duration::ZERO }
    }

    fn event(&mut self, event: &Event, now: Duration) {
        self.model.apply(event, now);
        if let Some((weight, text)) = self.teller.tell(event)
            && weight <= Weight::Note
        {
            let text = if self.colour { text } else { strip_str(&text).to_string() };
            self.bar.println(text);
        }
    }

    fn tick(&mut self, now: Duration) {
        if now < self.drawn + self.every {
            return;
        }
        self.drawn = now;
        // A line that fills the last column would make some terminals begin another one.
        let lines = self.model.lines(now, width().saturating_sub(1), self.colour);
        self.bar.set_message(lines.join("\n"));
    }
}

/// Of the terminal, as it is now.
fn width() -> usize {
    match tcgetwinsize(io::stderr()) {
        Ok(size) if size.ws_col > 0 => usize::from(size.ws_col),
        _ => WIDTH,
    }
}

#[cfg(test)]
mod tests;
