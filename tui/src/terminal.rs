//! The edge: the terminal, the editor, files, the clock, and the one loop.

use std::io::{self, BufWriter, IsTerminal, Stdout, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use crossterm::event::{
    DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture, Event, EventStream,
};
use crossterm::{cursor, execute, terminal};
use futures_util::StreamExt as _;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::{Backend, Effect, Failed, Input, Link, Options, State, draw, update};

/// Between two drawings, at the least: thirty a second.
const BETWEEN: Duration = Duration::from_millis(33);

/// How many inputs of the backend may wait; it waits itself beyond that.
const WAITING: usize = 1024;

/// The terminal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TerminalError {
    /// It is none.
    #[error("the dashboard needs a terminal, and this is none")]
    NoTerminal,
    /// It could not be set up, read or written.
    #[error("cannot use the terminal")]
    Io(#[from] io::Error),
}

type Screen = Terminal<CrosstermBackend<BufWriter<Stdout>>>;

/// Takes the terminal; gives it back when it is dropped, however that comes about.
struct Taken {
    mouse: bool,
}

impl Taken {
    fn take(mouse: bool) -> io::Result<Self> {
        terminal::enable_raw_mode()?;
        let taken = Self { mouse };
        execute!(io::stdout(), terminal::EnterAlternateScreen, EnableBracketedPaste, cursor::Hide)?;
        if mouse {
            execute!(io::stdout(), EnableMouseCapture)?;
        }
        Ok(taken)
    }

    fn give_back() {
        // Nobody is left to tell of a fault.
        let _ = execute!(
            io::stdout(),
            DisableMouseCapture,
            DisableBracketedPaste,
            terminal::LeaveAlternateScreen,
            cursor::Show
        );
        let _ = terminal::disable_raw_mode();
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        Self::give_back();
    }
}

/// A panic prints its message onto a sane terminal.
fn mind_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            Taken::give_back();
            before(info);
        }));
    });
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Runs the dashboard until it is quit.
///
/// # Errors
/// [`TerminalError`] when standard input or output is no terminal, or the terminal cannot be set up or written to.
pub async fn run(backend: impl Backend, options: Options) -> Result<(), TerminalError> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Err(TerminalError::NoTerminal);
    }
    mind_panics();
    let (to_backend, effects) = mpsc::unbounded_channel();
    let (to_loop, inputs) = mpsc::channel(WAITING);
    let backend = tokio::spawn(backend.run(Link { effects, inputs: to_loop.clone() }));
    let size = terminal::size()?;
    let edge = Edge {
        state: State::new(options, size, now()),
        screen: screen()?,
        taken: Some(Taken::take(false)?),
        keys: Some(EventStream::new()),
        to_backend,
        to_loop,
        dirty: true,
    };
    let ended = edge.work(inputs).await;
    backend.abort();
    ended
}

fn screen() -> io::Result<Screen> {
    Terminal::new(CrosstermBackend::new(BufWriter::with_capacity(1 << 16, io::stdout())))
}

struct Edge {
    state: State,
    screen: Screen,
    /// Nothing while another program has the terminal.
    taken: Option<Taken>,
    keys: Option<EventStream>,
    to_backend: mpsc::UnboundedSender<Effect>,
    to_loop: mpsc::Sender<Input>,
    dirty: bool,
}

impl Edge {
    async fn work(mut self, mut inputs: mpsc::Receiver<Input>) -> Result<(), TerminalError> {
        let mut terminated = signal(SignalKind::terminate())?;
        let mut hung_up = signal(SignalKind::hangup())?;
        // Here Ctrl-C is a key. While an editor has the terminal it goes to both, and is meant for the editor alone.
        let _interrupted = signal(SignalKind::interrupt())?;
        let mut second = tokio::time::interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut drawn: Option<Instant> = None;
        loop {
            if self.dirty && drawn.is_none_or(|at| at.elapsed() >= BETWEEN) {
                let state = &self.state;
                self.screen.draw(|frame| draw(state, frame.area(), frame.buffer_mut()))?;
                drawn = Some(Instant::now());
                self.dirty = false;
            }
            let wait = drawn.map_or(Duration::ZERO, |at| BETWEEN.saturating_sub(at.elapsed()));
            let Some(keys) = &mut self.keys else { return Ok(()) };
            let input = tokio::select! {
                // Keys go before all that the cluster says.
                biased;
                event = keys.next() => match event {
                    Some(Ok(event)) => match event {
                        Event::Key(key) => Some(Input::Key(key)),
                        Event::Mouse(mouse) => Some(Input::Mouse(mouse)),
                        Event::Paste(text) => Some(Input::Paste(text)),
                        Event::Resize(columns, rows) => Some(Input::Resize(columns, rows)),
                        Event::FocusGained | Event::FocusLost => None,
                    },
                    // The terminal is gone.
                    Some(Err(_)) | None => return Ok(()),
                },
                () = tokio::time::sleep(wait), if self.dirty => None,
                _ = terminated.recv() => return Ok(()),
                _ = hung_up.recv() => return Ok(()),
                _ = second.tick() => Some(Input::Tick(now())),
                Some(input) = inputs.recv() => Some(input),
            };
            let Some(input) = input else { continue };
            if self.take(input).await? {
                return Ok(());
            }
            // What came meanwhile is shown at once, a frame's worth of it.
            let until = Instant::now() + Duration::from_millis(8);
            while Instant::now() < until
                && let Ok(input) = inputs.try_recv()
            {
                if self.take(input).await? {
                    return Ok(());
                }
            }
        }
    }

    /// Takes an input and carries out what comes of it; true when that is the end.
    async fn take(&mut self, input: Input) -> Result<bool, TerminalError> {
        let tick = matches!(input, Input::Tick(_));
        let shown = self.state.shown();
        if !tick {
            // Time passes before whatever happens.
            for effect in update(&mut self.state, Input::Tick(now())) {
                self.carry_out(effect).await?;
            }
        }
        let effects = update(&mut self.state, input);
        self.dirty |= if tick { self.state.shown() != shown } else { self.state.changed(&shown) };
        for effect in effects {
            if self.carry_out(effect).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn carry_out(&mut self, effect: Effect) -> Result<bool, TerminalError> {
        match effect {
            Effect::Quit => return Ok(true),
            Effect::Redraw => {
                self.screen.clear()?;
                self.dirty = true;
            }
            Effect::Suspend => {
                self.aside(|| {
                    // Stops here until somebody lets it go on.
                    let _ = rustix::process::kill_current_process_group(rustix::process::Signal::TSTP);
                    Value::Null
                })
                .await?;
            }
            Effect::Copy(text) => self.copy(&text)?,
            Effect::Mouse(on) => {
                if let Some(taken) = &mut self.taken {
                    taken.mouse = on;
                }
                if on {
                    execute!(io::stdout(), EnableMouseCapture)?;
                } else {
                    execute!(io::stdout(), DisableMouseCapture)?;
                }
            }
            Effect::Save(number, name, text) => {
                let saved = save(Path::new("."), &name, &text);
                let answer = saved.map(|path| Value::String(path.display().to_string()));
                self.answer(number, answer.map_err(|fault| failed(&format!("cannot save {name}"), &fault)));
            }
            Effect::Edit(number, text, ending) => {
                let answer = self.edit(text, ending).await?;
                self.answer(number, answer);
            }
            Effect::Shell(number, _) => {
                let text = "shells in tasks are not supported yet".to_owned();
                let hint = "log in to the node with ssh".to_owned();
                self.answer(number, Err(Failed { text, hint, ..Failed::default() }));
            }
            other @ (Effect::Ask(..) | Effect::Forget(_) | Effect::Follow(..) | Effect::Reconnect) => {
                // It has ended: then so does this, with the process.
                let _ = self.to_backend.send(other);
            }
        }
        Ok(false)
    }

    fn answer(&mut self, number: u64, answer: Result<Value, Failed>) {
        let sender = self.to_loop.clone();
        // Never waited for: the loop itself empties the channel.
        tokio::spawn(async move {
            let _ = sender.send(Input::Answer(number, answer)).await;
        });
    }

    /// Gives the terminal to something else as long as it takes.
    async fn aside<T: Send + 'static>(
        &mut self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, TerminalError> {
        let mouse = self.taken.as_ref().is_some_and(|taken| taken.mouse);
        // Whoever gets the terminal is the only one who reads it.
        self.keys = None;
        self.taken = None;
        let done = tokio::task::spawn_blocking(work).await;
        self.taken = Some(Taken::take(mouse)?);
        self.keys = Some(EventStream::new());
        self.screen.clear()?;
        let (columns, rows) = terminal::size()?;
        update(&mut self.state, Input::Resize(columns, rows));
        self.dirty = true;
        done.map_err(|fault| TerminalError::Io(io::Error::other(fault)))
    }

    async fn edit(&mut self, text: String, ending: String) -> Result<Result<Value, Failed>, TerminalError> {
        self.aside(move || {
            let named =
                |variable: &str| std::env::var(variable).ok().filter(|editor| !editor.trim().is_empty());
            let editor = named("VISUAL").or_else(|| named("EDITOR")).unwrap_or_else(|| "vi".to_owned());
            edited(&editor, &text, &ending)
                .map(|changed| changed.map_or(Value::Null, Value::String))
                .map_err(|fault| failed(&format!("cannot edit with {editor}"), &fault))
        })
        .await
    }

    /// OSC 52; tmux passes it on in its own wrapping, or takes it itself.
    fn copy(&mut self, text: &str) -> io::Result<()> {
        let encoded = base64::engine::general_purpose::STANDARD.encode(text);
        let mut out = io::stdout();
        if std::env::var_os("TMUX").is_some() {
            write!(out, "\x1bPtmux;\x1b\x1b]52;c;{encoded}\x07\x1b\\")?;
        }
        write!(out, "\x1b]52;c;{encoded}\x07")?;
        out.flush()
    }
}

fn failed(what: &str, fault: &io::Error) -> Failed {
    Failed { text: format!("{what}: {fault}"), ..Failed::default() }
}

/// Writes a text below a directory, whole or not at all, and never over another file: the path that it got.
fn save(directory: &Path, name: &str, text: &str) -> io::Result<PathBuf> {
    let name: String =
        name.chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect();
    let name = name.trim_start_matches(['.', '-']);
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    for number in 0..1000 {
        let path = match (number, name.rsplit_once('.')) {
            (0, _) => directory.join(name),
            (number, Some((stem, ending))) => directory.join(format!("{stem}-{number}.{ending}")),
            (number, None) => directory.join(format!("{name}-{number}")),
        };
        match file.persist_noclobber(&path) {
            Ok(_) => return Ok(path),
            Err(fault) if fault.error.kind() == io::ErrorKind::AlreadyExists => file = fault.file,
            Err(fault) => return Err(fault.error),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "there are a thousand files of that name"))
}

/// The text as the editor left it; nothing when it was not changed.
fn edited(editor: &str, text: &str, ending: &str) -> io::Result<Option<String>> {
    let mut file = tempfile::Builder::new().prefix("clusterctl-").suffix(ending).tempfile()?;
    file.write_all(text.as_bytes())?;
    file.flush()?;
    // An editor with arguments is several words; the shell splits them, and the path is no part of its text.
    let status =
        Command::new("sh").args(["-c", &format!("{editor} \"$1\""), "sh"]).arg(file.path()).status()?;
    if !status.success() {
        return Err(io::Error::other(format!("it ended with {status}")));
    }
    let changed = std::fs::read_to_string(file.path())?;
    Ok((changed != text).then_some(changed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_never_written_over() {
        let directory = tempfile::tempdir().unwrap();
        let first = save(directory.path(), "web.log", "one").unwrap();
        let second = save(directory.path(), "web.log", "two").unwrap();
        assert_eq!(first.file_name().unwrap(), "web.log");
        assert_eq!(second.file_name().unwrap(), "web-1.log");
        let odd = save(directory.path(), "../../etc/passwd", "three").unwrap();
        assert_eq!(odd.parent().unwrap(), directory.path());
        assert_eq!(std::fs::read_to_string(first).unwrap(), "one");
    }

    #[test]
    fn an_editor_may_have_arguments_and_may_change_nothing() {
        assert_eq!(edited("true", "a", ".json").unwrap(), None);
        assert_eq!(edited("sed -i s/a/b/", "a", ".json").unwrap().as_deref(), Some("b"));
        assert!(edited("false", "a", ".json").is_err());
    }
}
