//! All output goes through here: it knows quiet, verbose, colour, `--json` and what is no terminal.
//!
//! | | for people | with `--json` |
//! |---|---|---|
//! | results | standard output | events on standard output |
//! | errors | standard error | an event on standard output |
//! | hints | standard error, not with `--quiet` | left out |
//! | diagnostics ([`crate::logging`]) | standard error | standard error |
//!
//! So standard output holds nothing but JSON when `--json` is given; `--help` and `--version` stay text.
//! A reader that goes away (`| head`) is no fault: what it would have got is dropped, the command goes on
//! and ends with its own exit code. Any other failure to write a result is an error.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};

use anstream::adapter::strip_str;
use clap::ColorChoice;

use crate::error::{CliError, labelled};
use crate::event::Event;

/// How a meaning looks. One colour each, and never the only sign of it.
pub(crate) mod style {
    use anstyle::{AnsiColor, Style};
    use clap::builder::Styles;

    /// Something failed, or the part of the input that is wrong.
    pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();
    /// Something is not as it should be, and nothing stops for it.
    pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default().bold();
    /// The reason for it.
    pub(crate) const CAUSE: Style = Style::new().dimmed();
    /// What to do or to type.
    pub(crate) const ACTION: Style = AnsiColor::Cyan.on_default().bold();
    /// The head of a section.
    pub(crate) const HEADING: Style = Style::new().bold();

    /// The same, for the help that clap writes.
    pub(crate) const HELP: Styles = Styles::plain()
        .header(HEADING)
        .usage(HEADING)
        .literal(ACTION)
        .valid(ACTION)
        .error(ERROR)
        .invalid(ERROR);
}

/// How much the user wants to read beside the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verbosity {
    /// Results and errors.
    Quiet,
    /// Hints and warnings too.
    Normal,
    /// Diagnostics too, from this many `-v`.
    Verbose(u8),
}

/// Standard output or standard error, or what a test puts in its place.
pub(crate) struct Stream {
    sink: Box<dyn Write>,
    terminal: bool,
    colour: bool,
    reader_gone: bool,
}

impl Stream {
    fn new(sink: Box<dyn Write>, terminal: bool, colour: bool) -> Self {
        Self { sink, terminal, colour, reader_gone: false }
    }

    fn of(sink: impl Write + IsTerminal + 'static, choice: ColorChoice) -> Self {
        let terminal = sink.is_terminal();
        Self::new(Box::new(sink), terminal, wants_colour(choice, terminal, |name| std::env::var_os(name)))
    }

    /// Writes bytes as they are.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.reader_gone {
            return Ok(());
        }
        match self.sink.write_all(bytes).and_then(|()| self.sink.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.reader_gone = true;
                Ok(())
            }
            written => written,
        }
    }

    /// Writes text that holds colours, without them where they are not wanted.
    fn write_styled(&mut self, text: &str) -> io::Result<()> {
        if self.colour {
            self.write(text.as_bytes())
        } else {
            self.write(strip_str(text).to_string().as_bytes())
        }
    }
}

/// Whether a stream gets colours: the flag, then `NO_COLOR`, then `CLICOLOR_FORCE`, then what the stream is.
fn wants_colour(choice: ColorChoice, terminal: bool, variable: impl Fn(&str) -> Option<OsString>) -> bool {
    let set = |name| variable(name).filter(|value| !value.is_empty());
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto if set("NO_COLOR").is_some() => false,
        ColorChoice::Auto if set("CLICOLOR_FORCE").is_some_and(|value| value != "0") => true,
        ColorChoice::Auto => terminal && set("TERM").is_some_and(|value| value != "dumb"),
    }
}

/// Prints results, hints and errors in the form the user asked for.
pub(crate) struct Printer {
    verbosity: Verbosity,
    json: bool,
    stdout: Stream,
    stderr: Stream,
    started: bool,
}

impl Printer {
    /// The printer of this process.
    pub(crate) fn stdio(verbosity: Verbosity, color: ColorChoice, json: bool) -> Self {
        Self::new(verbosity, json, Stream::of(io::stdout(), color), Stream::of(io::stderr(), color))
    }

    /// One that says nothing, for work whose progress is shown in another way.
    pub(crate) fn mute() -> Self {
        let nowhere = || Stream::new(Box::new(io::sink()), false, false);
        Self::new(Verbosity::Quiet, false, nowhere(), nowhere())
    }

    fn new(verbosity: Verbosity, json: bool, stdout: Stream, stderr: Stream) -> Self {
        Self { verbosity, json, stdout, stderr, started: false }
    }

    /// How much the user wants to read.
    pub(crate) fn verbosity(&self) -> Verbosity {
        self.verbosity
    }

    /// Whether diagnostics, which go to standard error, are coloured.
    pub(crate) fn diagnostics_in_colour(&self) -> bool {
        self.stderr.colour
    }

    /// Whether a person sees the result, rather than a file or a program.
    pub(crate) fn result_is_seen(&self) -> bool {
        self.stdout.terminal
    }

    /// The result of a command: the plain form byte for byte, or the event with `--json`.
    pub(crate) fn result(&mut self, plain: &str, event: &Event<'_>) -> Result<(), CliError> {
        let written = if self.json { self.write_event(event) } else { self.stdout.write(plain.as_bytes()) };
        written.map_err(|cause| cannot_write(&cause))
    }

    /// The same for a text with colours, which go where they are not wanted.
    pub(crate) fn styled_result(&mut self, styled: &str, event: &Event<'_>) -> Result<(), CliError> {
        let written = if self.json { self.write_event(event) } else { self.stdout.write_styled(styled) };
        written.map_err(|cause| cannot_write(&cause))
    }

    /// What happens on the way to a result.
    pub(crate) fn progress(&mut self, styled: &str, event: &Event<'_>) -> Result<(), CliError> {
        if self.json {
            return self.write_event(event).map_err(|cause| cannot_write(&cause));
        }
        if self.verbosity != Verbosity::Quiet {
            self.tell(&format!("{styled}\n"));
        }
        Ok(())
    }

    /// Whether what happens on the way may be shown by a line that changes.
    pub(crate) fn is_live(&self) -> bool {
        !self.json && self.verbosity != Verbosity::Quiet && self.stderr.terminal
    }

    /// A question, which is left out of nothing: somebody has to answer it.
    pub(crate) fn prompt(&mut self, text: &str) {
        self.tell(text);
    }

    /// Whether events are printed.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether nobody reads the results any more: what would print for ever may end.
    pub(crate) fn reader_is_gone(&self) -> bool {
        self.stdout.reader_gone
    }

    /// Text the user asked for with `--help` or `--version`, which may hold colours.
    pub(crate) fn help(&mut self, text: &str) -> Result<(), CliError> {
        self.stdout.write_styled(text).map_err(|cause| cannot_write(&cause))
    }

    /// The help as an answer to a command line that says too little.
    pub(crate) fn unasked_help(&mut self, text: &str) {
        self.tell(text);
    }

    /// What the user may want to do next.
    pub(crate) fn hint(&mut self, text: &str) {
        if !self.json && self.verbosity != Verbosity::Quiet {
            self.tell(&format!("{}\n", labelled(style::ACTION, "hint:", text)));
        }
    }

    /// The error that ends the run.
    pub(crate) fn error(&mut self, error: &CliError) {
        let told = self.json && self.write_event(&Event::from(error)).is_ok();
        if !told {
            self.tell(&error.styled());
        }
    }

    /// The first line of `--json`, before somebody else writes events to standard output.
    pub(crate) fn begin(&mut self) -> Result<(), CliError> {
        if !self.json || self.started {
            return Ok(());
        }
        let line = self.first_line().map_err(io::Error::from);
        line.and_then(|line| self.stdout.write(&line)).map_err(|cause| cannot_write(&cause))
    }

    /// What opens the stream, once.
    fn first_line(&mut self) -> serde_json::Result<Vec<u8>> {
        let mut line = Vec::new();
        if !self.started {
            serde_json::to_writer(&mut line, &Event::start())?;
            line.push(b'\n');
            self.started = true;
        }
        Ok(line)
    }

    fn write_event(&mut self, event: &Event<'_>) -> io::Result<()> {
        let mut lines = self.first_line()?;
        serde_json::to_writer(&mut lines, event)?;
        lines.push(b'\n');
        self.stdout.write(&lines)
    }

    fn tell(&mut self, text: &str) {
        // Where standard error cannot be written there is no place left to say so; the exit code stands.
        let _ = self.stderr.write_styled(text);
    }
}

fn cannot_write(cause: &io::Error) -> CliError {
    CliError::internal("cannot write to standard output").caused_by(cause)
}

/// Printers whose output a test can read.
#[cfg(test)]
pub(crate) mod testing {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    /// What a run printed.
    #[derive(Clone, Default)]
    pub(crate) struct Captured(Rc<RefCell<Vec<u8>>>);

    impl Captured {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.borrow().clone()).expect("output is UTF-8")
        }
    }

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A printer with neither colour nor terminals but where said so.
    pub(crate) struct Setup {
        pub(crate) verbosity: Verbosity,
        pub(crate) json: bool,
        pub(crate) terminal: bool,
        pub(crate) colour: bool,
    }

    impl Default for Setup {
        fn default() -> Self {
            Self { verbosity: Verbosity::Normal, json: false, terminal: false, colour: false }
        }
    }

    impl Setup {
        /// Printer, standard output, standard error.
        pub(crate) fn printer(&self) -> (Printer, Captured, Captured) {
            let (stdout, stderr) = (Captured::default(), Captured::default());
            let stream =
                |captured: &Captured| Stream::new(Box::new(captured.clone()), self.terminal, self.colour);
            let printer = Printer::new(self.verbosity, self.json, stream(&stdout), stream(&stderr));
            (printer, stdout, stderr)
        }
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::testing::{Captured, Setup};
    use super::*;

    const EVENT: Event<'_> = Event::Completions { shell: "bash", script: "complete\n" };

    fn error() -> CliError {
        CliError::usage("no such host")
            .caused_by(&io::Error::other("m1 is gone"))
            .hint("`clusterctl node list`")
    }

    /// A sink that takes nothing.
    struct Failing(io::ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn with_failing_stdout(kind: io::ErrorKind, json: bool) -> (Printer, Captured) {
        let stderr = Captured::default();
        let printer = Printer::new(
            Verbosity::Normal,
            json,
            Stream::new(Box::new(Failing(kind)), false, false),
            Stream::new(Box::new(stderr.clone()), false, false),
        );
        (printer, stderr)
    }

    #[test]
    fn for_people_results_go_to_stdout_and_the_rest_to_stderr() {
        let (mut ui, stdout, stderr) = Setup::default().printer();
        ui.result("complete\n", &EVENT).unwrap();
        ui.hint("read it");
        ui.error(&error());
        assert_eq!(stdout.text(), "complete\n");
        assert_snapshot!(stderr.text(), @r"
        hint: read it
        error: no such host
          caused by: m1 is gone
        hint: `clusterctl node list`
        ");
    }

    #[test]
    fn the_stream_is_opened_once_whoever_writes_first() {
        let (mut ui, stdout, _) = Setup { json: true, ..Setup::default() }.printer();
        ui.begin().unwrap();
        ui.begin().unwrap();
        ui.result("complete\n", &EVENT).unwrap();
        let text = stdout.text();
        let types: Vec<_> = text.lines().map(|line| line.split('"').nth(3).unwrap()).collect();
        assert_eq!(types, ["start", "completions"]);
        let (mut ui, stdout, _) = Setup::default().printer();
        ui.begin().unwrap();
        assert_eq!(stdout.text(), "");
    }

    #[test]
    fn json_puts_all_events_on_stdout_and_the_schema_into_the_first() {
        let (mut ui, stdout, stderr) = Setup { json: true, ..Setup::default() }.printer();
        ui.result("complete\n", &EVENT).unwrap();
        ui.hint("read it");
        ui.error(&error());
        assert_snapshot!(stdout.text(), @r#"
        {"type":"start","schema":1,"version":"0.1.0"}
        {"type":"completions","shell":"bash","script":"complete\n"}
        {"type":"error","kind":"usage","message":"no such host","causes":["m1 is gone"],"hints":["`clusterctl node list`"],"exit_code":2}
        "#);
        assert_eq!(stderr.text(), "");
    }

    #[test]
    fn quiet_leaves_results_and_errors() {
        let (mut ui, stdout, stderr) = Setup { verbosity: Verbosity::Quiet, ..Setup::default() }.printer();
        ui.result("complete\n", &EVENT).unwrap();
        ui.hint("read it");
        ui.error(&CliError::internal("broken"));
        assert_eq!((stdout.text().as_str(), stderr.text().as_str()), ("complete\n", "error: broken\n"));
    }

    #[test]
    fn colour_is_kept_in_messages_where_wanted_and_results_are_never_touched() {
        for (colour, expected) in
            [(true, "\u{1b}[1m\u{1b}[31merror:\u{1b}[0m broken\n"), (false, "error: broken\n")]
        {
            let (mut ui, stdout, stderr) = Setup { colour, ..Setup::default() }.printer();
            ui.result("\u{1b}[0m", &EVENT).unwrap();
            ui.error(&CliError::internal("broken"));
            assert_eq!((stdout.text().as_str(), stderr.text().as_str()), ("\u{1b}[0m", expected));
        }
    }

    fn decide(choice: ColorChoice, terminal: bool, variables: &[(&str, &str)]) -> bool {
        wants_colour(choice, terminal, |name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
        })
    }

    #[test]
    fn the_flag_decides_on_colour_before_all_variables() {
        assert!(decide(ColorChoice::Always, false, &[("NO_COLOR", "1"), ("TERM", "dumb")]));
        assert!(!decide(ColorChoice::Never, true, &[("CLICOLOR_FORCE", "1"), ("TERM", "xterm")]));
    }

    #[test]
    fn without_the_flag_variables_decide_on_colour_and_then_the_terminal() {
        for (terminal, variables, colour) in [
            (true, "TERM=xterm", true),
            (false, "TERM=xterm", false),
            (true, "TERM=dumb", false),
            (true, "", false),
            (true, "TERM=xterm NO_COLOR=1", false),
            (true, "TERM=xterm NO_COLOR=", true),
            (false, "CLICOLOR_FORCE=1", true),
            (false, "CLICOLOR_FORCE=1 NO_COLOR=1", false),
            (false, "CLICOLOR_FORCE=0 TERM=xterm", false),
        ] {
            let pairs: Vec<_> = variables.split(' ').filter_map(|pair| pair.split_once('=')).collect();
            assert_eq!(
                decide(ColorChoice::Auto, terminal, &pairs),
                colour,
                "terminal: {terminal}, {variables}"
            );
        }
    }

    #[test]
    fn a_reader_that_went_away_is_no_fault() {
        let (mut ui, stderr) = with_failing_stdout(io::ErrorKind::BrokenPipe, false);
        assert_eq!(ui.result("complete\n", &EVENT), Ok(()));
        assert_eq!(ui.help("usage"), Ok(()));
        assert_eq!(stderr.text(), "");
    }

    #[test]
    fn a_result_that_cannot_be_written_is_an_internal_error() {
        let (mut ui, _) = with_failing_stdout(io::ErrorKind::StorageFull, false);
        assert_eq!(ui.result("complete\n", &EVENT).unwrap_err(), ui.help("usage").unwrap_err());
        let error = ui.result("complete\n", &EVENT).unwrap_err();
        assert_eq!((error.message.as_str(), error.causes.len()), ("cannot write to standard output", 1));
    }

    #[test]
    fn an_error_that_cannot_be_an_event_is_told_on_stderr() {
        let (mut ui, stderr) = with_failing_stdout(io::ErrorKind::StorageFull, true);
        ui.error(&CliError::internal("broken"));
        assert_eq!(stderr.text(), "error: broken\n");
    }
}
