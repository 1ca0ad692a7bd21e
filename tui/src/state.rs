//! The whole state of the dashboard, and the one function that changes it.

use std::collections::BTreeMap;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::dialog::{Accepted, Dialog, Outcome};
use crate::help::{Help, Palette};
use crate::keys::Binding;
use crate::pages::{dashboard, deployments, events, nodes, services, universe};
use crate::theme::{Look, Tone};
use crate::{Connection, Effect, Failed, Input, Request};

/// How the dashboard was started.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Nothing is changed.
    pub read_only: bool,
    /// How it looks.
    pub look: Look,
    /// The cluster is made up, which is said on the screen.
    pub demo: bool,
    /// The context's name.
    pub context: String,
}

/// The pages, in the order of their keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Page {
    /// What needs attention.
    #[default]
    Dashboard,
    /// Services, and one of them.
    Services,
    /// Agents and masters.
    Nodes,
    /// Packages.
    Universe,
    /// What takes time.
    Deployments,
    /// What happened.
    Events,
}

impl Page {
    /// All of them.
    pub const ALL: [Page; 6] =
        [Self::Dashboard, Self::Services, Self::Nodes, Self::Universe, Self::Deployments, Self::Events];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dashboard => "Dashboard",
            Self::Services => "Services",
            Self::Nodes => "Nodes",
            Self::Universe => "Universe",
            Self::Deployments => "Deployments",
            Self::Events => "Events",
        }
    }
}

/// For whom an answer is.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    /// The masters, asked every few seconds.
    Masters,
    /// Something that was changed: said what it was.
    Action {
        said: String,
        request: Request,
    },
    Services(services::Wanted),
    Universe(universe::Wanted),
    Events(events::Saved),
}

/// A line for the user, until the next key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) tone: Tone,
    pub(crate) text: String,
}

/// Everything that the dashboard knows. Times are milliseconds since 1970.
#[derive(Debug, Default)]
pub struct State {
    /// How it was started.
    pub options: Options,
    /// The cluster.
    pub cluster: Cluster,
    pub(crate) now: u64,
    pub(crate) size: (u16, u16),
    pub(crate) connection: Option<Connection>,
    /// Since when the stream is not there.
    pub(crate) lost_at: u64,
    pub(crate) page: Page,
    pub(crate) dashboard: dashboard::Dashboard,
    pub(crate) services: services::Services,
    pub(crate) nodes: nodes::Nodes,
    pub(crate) universe: universe::Universe,
    pub(crate) deployments: deployments::Deployments,
    pub(crate) events: events::Events,
    pub(crate) dialog: Option<Dialog>,
    pub(crate) help: Option<Help>,
    pub(crate) palette: Option<Palette>,
    /// What was done with the palette, the oldest first.
    pub(crate) palette_history: Vec<String>,
    pub(crate) message: Option<Message>,
    pub(crate) mouse: bool,
    /// While it is on, what is shown stays as it is; frames wait here.
    pub(crate) paused: Option<Vec<api::watch::Frame>>,
    asked: BTreeMap<u64, Wanted>,
    next: u64,
    asked_masters: u64,
    /// The last input was a sign of life and no more: the generation that it left.
    quiet: Option<u64>,
}

impl State {
    /// At the beginning: nothing is known.
    #[must_use]
    pub fn new(options: Options, size: (u16, u16), now: u64) -> Self {
        Self { options, size, now, connection: Some(Connection::Connecting), lost_at: now, ..Self::default() }
    }

    pub(crate) fn look(&self) -> Look {
        self.options.look
    }

    /// Whether anything may be changed from here.
    pub(crate) fn may_change(&self) -> bool {
        !self.options.read_only && self.cluster.hello.as_ref().is_none_or(|hello| hello.operates)
    }

    /// Whether what is shown is old, and how old, in milliseconds.
    pub(crate) fn stale(&self) -> Option<u64> {
        let age = self.now.saturating_sub(self.cluster.heard);
        let lost = !matches!(self.connection, Some(Connection::Live));
        (self.cluster.complete && (lost || age > 12_000)).then_some(age)
    }

    /// The effect that asks something, and remembers for whom.
    pub(crate) fn ask(&mut self, wanted: Wanted, request: Request) -> Effect {
        Effect::Ask(self.number(wanted), request)
    }

    /// A new number for an effect that is answered.
    pub(crate) fn number(&mut self, wanted: Wanted) -> u64 {
        self.next += 1;
        self.asked.insert(self.next, wanted);
        self.next
    }

    /// Nobody waits for that any more.
    pub(crate) fn forget(&mut self, number: u64) -> Effect {
        self.asked.remove(&number);
        Effect::Forget(number)
    }

    pub(crate) fn say(&mut self, tone: Tone, text: impl Into<String>) {
        self.message = Some(Message { tone, text: text.into() });
    }

    /// Opens a dialog, unless nothing may be changed here.
    pub(crate) fn open(&mut self, dialog: Dialog) {
        if self.may_change() {
            self.dialog = Some(dialog);
        } else {
            self.say(Tone::Look, self.why_not());
        }
    }

    /// Why nothing may be changed.
    pub(crate) fn why_not(&self) -> &'static str {
        if self.options.read_only {
            "this dashboard was started with --read-only"
        } else {
            "you may look at this cluster, and not change it"
        }
    }

    /// Goes to a page.
    pub(crate) fn go(&mut self, page: Page) -> Vec<Effect> {
        self.page = page;
        match page {
            Page::Universe => universe::enter(self),
            Page::Nodes => nodes::enter(self),
            Page::Services => services::enter(self),
            _ => Vec::new(),
        }
    }

    /// Opens a service on its page.
    pub(crate) fn open_service(&mut self, id: &str) -> Vec<Effect> {
        let mut effects = self.go(Page::Services);
        effects.extend(services::open(self, id));
        effects
    }

    /// Opens a node on its page, by its id.
    pub(crate) fn open_node(&mut self, id: &str) -> Vec<Effect> {
        let mut effects = self.go(Page::Nodes);
        effects.extend(nodes::open(self, id));
        effects
    }

    /// Whether letters go into a text, and are no keys.
    fn types(&self) -> bool {
        match self.page {
            Page::Services => services::types(self),
            Page::Nodes => nodes::types(self),
            Page::Universe => universe::types(self),
            Page::Events => events::types(self),
            Page::Dashboard | Page::Deployments => false,
        }
    }

    /// What the keys of the page in sight do.
    pub(crate) fn bindings(&self) -> Vec<Binding> {
        match self.page {
            Page::Dashboard => dashboard::bindings(self),
            Page::Services => services::bindings(self),
            Page::Nodes => nodes::bindings(self),
            Page::Universe => universe::bindings(self),
            Page::Deployments => deployments::bindings(self),
            Page::Events => events::bindings(self),
        }
    }

    /// Takes one input. Whether anything is to be drawn anew is for [`update`] to say.
    fn take(&mut self, input: Input) -> Vec<Effect> {
        let sign_of_life =
            matches!(&input, Input::Frame(frame) if matches!(**frame, api::watch::Frame::Ready { .. }));
        self.quiet = (sign_of_life && self.paused.is_none() && self.cluster.is_settled())
            .then_some(self.cluster.generation);
        match input {
            Input::Tick(now) => self.tick(now),
            Input::Key(key) if key.kind != KeyEventKind::Release => self.key(key),
            Input::Key(_) => Vec::new(),
            Input::Mouse(mouse) => self.mouse(mouse),
            Input::Paste(text) => self.paste(&text),
            Input::Resize(columns, rows) => {
                self.size = (columns, rows);
                Vec::new()
            }
            Input::Frame(frame) => {
                match &mut self.paused {
                    // Not without end: what is paused too long goes on.
                    Some(waiting) if waiting.len() < 10_000 => waiting.push(*frame),
                    _ => {
                        self.resume();
                        self.cluster.apply(*frame, self.now);
                    }
                }
                Vec::new()
            }
            Input::Connection(connection) => {
                if !matches!(connection, Connection::Live)
                    && matches!(self.connection, Some(Connection::Live) | None)
                {
                    self.lost_at = self.now;
                }
                self.connection = Some(connection);
                Vec::new()
            }
            Input::Answer(number, result) => match self.asked.remove(&number) {
                Some(wanted) => self.answer(number, wanted, result),
                None => Vec::new(),
            },
            Input::Progress(number, progress) => {
                if matches!(self.asked.get(&number), Some(Wanted::Universe(_))) {
                    universe::progress(self, number, progress);
                }
                Vec::new()
            }
            Input::Log(number, piece) => {
                if matches!(self.asked.get(&number), Some(Wanted::Services(_))) {
                    services::log(self, number, piece);
                }
                Vec::new()
            }
        }
    }

    fn resume(&mut self) {
        for frame in self.paused.take().into_iter().flatten() {
            self.cluster.apply(frame, self.now);
        }
    }

    fn tick(&mut self, now: u64) -> Vec<Effect> {
        let seconds = (now / 1000).saturating_sub(self.now / 1000);
        self.now = now;
        let mut effects = Vec::new();
        if seconds > 0 && self.cluster.complete {
            self.cluster.sample();
        }
        let live = matches!(self.connection, Some(Connection::Live));
        if live && now.saturating_sub(self.asked_masters) >= 5000 {
            self.asked_masters = now;
            effects.push(self.ask(Wanted::Masters, Request::Cluster));
        }
        effects.extend(services::tick(self));
        effects.extend(universe::tick(self));
        effects
    }

    fn answer(&mut self, number: u64, wanted: Wanted, result: Result<Value, Failed>) -> Vec<Effect> {
        match wanted {
            Wanted::Masters => {
                if let Ok(masters) = result {
                    self.cluster.masters = masters;
                    self.cluster.generation += 1;
                }
                Vec::new()
            }
            Wanted::Action { said, request } => {
                match result {
                    Ok(_) => self.say(Tone::Good, said),
                    Err(failed) => self.blame(&said, &failed, request),
                }
                Vec::new()
            }
            Wanted::Services(wanted) => services::answer(self, number, wanted, result),
            Wanted::Universe(wanted) => universe::answer(self, number, wanted, result),
            Wanted::Events(events::Saved) => {
                events::saved(self, result);
                Vec::new()
            }
        }
    }

    /// Says why something was not done. What a deployment holds can be forced.
    fn blame(&mut self, what: &str, failed: &Failed, request: Request) {
        let forced = match request {
            Request::Scale { id, instances, force: false } => {
                Some(Request::Scale { id, instances, force: true })
            }
            Request::Restart { id, force: false } => Some(Request::Restart { id, force: true }),
            Request::RollBack { id, version, force: false } => {
                Some(Request::RollBack { id, version, force: true })
            }
            Request::Replace { id, definition, force: false } => {
                Some(Request::Replace { id, definition, force: true })
            }
            _ => None,
        };
        // A question that is open is not replaced by another: keys meant for it would answer that one.
        if let Some(forced) = forced.filter(|_| failed.locked && self.dialog.is_none()) {
            let lines = vec![
                (Some(Tone::Look), failed.text.clone()),
                (None, "Forced, the deployment that is under way ends where it is.".to_owned()),
            ];
            self.open(Dialog::ask(what.to_owned(), lines, "Force", crate::dialog::Asks::Send(forced)));
            return;
        }
        let hint = if failed.hint.is_empty() { String::new() } else { format!("; {}", failed.hint) };
        self.say(Tone::Bad, format!("{what}: {}{hint}", failed.text));
    }

    fn paste(&mut self, text: &str) -> Vec<Effect> {
        if let Some(dialog) = &mut self.dialog {
            dialog.paste(text);
        } else if let Some(palette) = &mut self.palette {
            palette.paste(text);
        } else if self.types() {
            // As if it had been typed; a line's end is no confirmation.
            let line: String = text.chars().filter(|c| !c.is_control()).collect();
            let mut effects = Vec::new();
            for c in line.chars() {
                // The field may be gone by now; the rest is no command.
                if !self.types() || self.dialog.is_some() {
                    break;
                }
                effects.extend(self.page_key(KeyCode::Char(c).into()));
            }
            return effects;
        }
        Vec::new()
    }

    fn mouse(&mut self, mouse: crossterm::event::MouseEvent) -> Vec<Effect> {
        use crossterm::event::MouseEventKind::{Down, ScrollDown, ScrollUp};
        if self.dialog.is_some() || self.palette.is_some() || self.help.is_some() {
            return Vec::new();
        }
        match mouse.kind {
            ScrollDown => self.page_key(KeyCode::Down.into()),
            ScrollUp => self.page_key(KeyCode::Up.into()),
            Down(_) if mouse.row == 1 => match crate::draw::page_at(self, mouse.column) {
                Some(page) => self.go(page),
                None => Vec::new(),
            },
            Down(_) => self.click(mouse.column, mouse.row),
            _ => Vec::new(),
        }
    }

    fn click(&mut self, column: u16, row: u16) -> Vec<Effect> {
        match self.page {
            Page::Dashboard => dashboard::click(self, column, row),
            Page::Services => services::click(self, column, row),
            Page::Nodes => nodes::click(self, column, row),
            Page::Universe => universe::click(self, column, row),
            Page::Deployments => deployments::click(self, column, row),
            Page::Events => events::click(self, column, row),
        }
    }

    fn key(&mut self, key: KeyEvent) -> Vec<Effect> {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        if control && key.code == KeyCode::Char('c') {
            return vec![Effect::Quit];
        }
        if control && key.code == KeyCode::Char('z') {
            return vec![Effect::Suspend];
        }
        self.message = None;
        if let Some(dialog) = &mut self.dialog {
            return match dialog.key(key) {
                Outcome::Open => Vec::new(),
                Outcome::Cancelled => {
                    self.dialog = None;
                    Vec::new()
                }
                Outcome::Accepted(accepted) => {
                    let title = self.dialog.take().map(|dialog| dialog.title).unwrap_or_default();
                    self.accepted(&title, accepted)
                }
            };
        }
        if self.help.is_some() {
            return crate::help::help_key(self, key);
        }
        if self.palette.is_some() {
            return crate::help::palette_key(self, key);
        }
        if self.types() {
            return self.page_key(key);
        }
        match (key.code, control) {
            (KeyCode::Char('t'), true) => {
                self.mouse = !self.mouse;
                self.say(Tone::Good, if self.mouse { "the mouse is on" } else { "the mouse is off" });
                vec![Effect::Mouse(self.mouse)]
            }
            (KeyCode::Char('r'), true) => vec![Effect::Reconnect, Effect::Redraw],
            (KeyCode::Char('l'), true) => vec![Effect::Redraw],
            (KeyCode::Char(':'), false) => {
                self.palette = Some(Palette::default());
                Vec::new()
            }
            (KeyCode::Char('?'), false) => {
                self.help = Some(Help::default());
                Vec::new()
            }
            (KeyCode::Char('p'), false) if !self.page_takes('p') => {
                if self.paused.is_some() {
                    self.resume();
                } else {
                    self.paused = Some(Vec::new());
                    self.say(Tone::Look, "paused: what is shown stays as it is until p");
                }
                Vec::new()
            }
            (KeyCode::Char(c @ '1'..='6'), false) if !self.page_takes(c) => {
                let at = usize::from(c as u8 - b'1');
                Page::ALL.get(at).map_or_else(Vec::new, |page| self.go(*page))
            }
            _ => self.page_key(key),
        }
    }

    /// Whether the page in sight has a use of its own for a letter that otherwise has the same meaning everywhere.
    fn page_takes(&self, letter: char) -> bool {
        match self.page {
            Page::Services => services::takes(self, letter),
            _ => false,
        }
    }

    pub(crate) fn page_key(&mut self, key: KeyEvent) -> Vec<Effect> {
        let taken = match self.page {
            Page::Dashboard => dashboard::key(self, key),
            Page::Services => services::key(self, key),
            Page::Nodes => nodes::key(self, key),
            Page::Universe => universe::key(self, key),
            Page::Deployments => deployments::key(self, key),
            Page::Events => events::key(self, key),
        };
        match (taken, key.code) {
            (Some(effects), _) => effects,
            // The page has no step to go back.
            (None, KeyCode::Char('q')) if self.page == Page::Dashboard => vec![Effect::Quit],
            (None, KeyCode::Char('q') | KeyCode::Esc) => self.go(Page::Dashboard),
            (None, _) => Vec::new(),
        }
    }

    pub(crate) fn accepted(&mut self, title: &str, accepted: Accepted) -> Vec<Effect> {
        match accepted {
            Accepted::Leave => universe::leave(self),
            Accepted::Send(request) => {
                if request.changes() && !self.may_change() {
                    self.say(Tone::Look, self.why_not());
                    return Vec::new();
                }
                self.say(Tone::Moving, format!("{title} …"));
                let wanted = Wanted::Action { said: format!("{title}: accepted"), request: request.clone() };
                vec![self.ask(wanted, request)]
            }
        }
    }
}

/// What of the state shows on the screen and changes with time alone.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shown {
    /// Seconds where something under way shows them, else minutes: ages.
    at: u64,
    stale: Option<u64>,
    curves: Option<Vec<[f64; 3]>>,
    generation: u64,
    message: Option<Message>,
}

impl State {
    /// To compare with what it is later: when it is the same, nothing has to be drawn.
    pub(crate) fn shown(&self) -> Shown {
        let live = matches!(self.connection, Some(Connection::Live)) && self.stale().is_none();
        let under_way = !live
            || !self.cluster.deployments.is_empty()
            || self.paused.is_some()
            || (self.page == Page::Universe && universe::moves(self));
        Shown {
            at: if under_way { self.now / 1000 } else { self.now / 60_000 },
            stale: self.stale().map(|age| age / 1000),
            curves: (self.page == Page::Dashboard).then(|| self.cluster.history.iter().copied().collect()),
            generation: self.cluster.generation,
            message: self.message.clone(),
        }
    }

    /// Whether an input that was no tick changed anything that shows: all of them do, but signs of life.
    pub(crate) fn changed(&self, before: &Shown) -> bool {
        self.quiet.is_none_or(|generation| generation != self.cluster.generation) || self.shown() != *before
    }
}

/// Takes one input: changes the state, and says what is to be done. Pure.
pub fn update(state: &mut State, input: Input) -> Vec<Effect> {
    state.take(input)
}
