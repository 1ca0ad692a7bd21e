//! One service: what it is, and its tabs.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use api::watch::{Service, Task};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::logs::{self, Logs, Of};
use super::pieces::{Column, below, column, cores, figure, headings, moment, put, row, span, stands};
use super::text::Pane;
use super::versions::Versions;
use super::{Fetched, Wanted, change, why};
use crate::cluster::{Cluster, Happening, service_status, task_tone, word};
use crate::draw::{panel, sentence, unread};
use crate::keys::{Binding, changes, looks};
use crate::list::List;
use crate::state::{Page, State};
use crate::text::{age, clean, clock, mebibytes, width};
use crate::theme::Tone;
use crate::{Effect, Request};

/// What of a service is in sight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tab {
    #[default]
    Tasks,
    Configuration,
    Versions,
    Why,
    Endpoints,
    Logs,
    Events,
}

impl Tab {
    const ALL: [Self; 7] = [
        Self::Tasks,
        Self::Configuration,
        Self::Versions,
        Self::Why,
        Self::Endpoints,
        Self::Logs,
        Self::Events,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Tasks => "Tasks",
            Self::Configuration => "Configuration",
            Self::Versions => "Versions",
            Self::Why => "Why",
            Self::Endpoints => "Endpoints",
            Self::Logs => "Logs",
            Self::Events => "Events",
        }
    }

    fn step(self, forward: bool) -> Self {
        let at = Self::ALL.iter().position(|tab| *tab == self).unwrap_or(0);
        let next = if forward { at + 1 } else { at + Self::ALL.len() - 1 } % Self::ALL.len();
        Self::ALL[next]
    }
}

const TASKS: &[Column] = &[
    column("TASK", 20, 99),
    column("STATE", 13, 9),
    column("HEALTH", 6, 7),
    column("NODE", 10, 8),
    column("ADDRESS", 21, 4),
    column("VERSION", 8, 5),
    figure("STARTED", 8, 6),
];

/// The tasks of the service, made anew when the cluster has changed.
#[derive(Debug, Default)]
struct Tasks {
    of: Option<u64>,
    rows: Vec<Arc<Task>>,
    list: List,
    at: Option<String>,
}

/// A service that is open.
#[derive(Debug)]
pub(super) struct Detail {
    pub(super) id: String,
    pub(super) tab: Tab,
    pub(super) definition: Fetched<Vec<String>>,
    pub(super) versions: Versions,
    pub(super) logs: Option<Logs>,
    /// The tab in sight takes the whole page.
    pub(super) zoom: bool,
    /// The version that was asked about last.
    asked: String,
    tasks: RefCell<Tasks>,
    pane: Pane,
    why: Pane,
    events: List,
    tabs: Cell<Rect>,
    body: Cell<Rect>,
}

impl Detail {
    pub(super) fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            tab: Tab::default(),
            definition: Fetched::Nothing,
            versions: Versions::default(),
            logs: None,
            zoom: false,
            asked: String::new(),
            tasks: RefCell::default(),
            pane: Pane::default(),
            why: Pane::default(),
            events: List::default(),
            tabs: Cell::default(),
            body: Cell::default(),
        }
    }

    pub(super) fn types(&self) -> bool {
        self.tab == Tab::Logs && self.logs.as_ref().is_some_and(Logs::types)
    }

    fn refresh(&self, cluster: &Cluster) {
        let mut tasks = self.tasks.borrow_mut();
        if tasks.of == Some(cluster.generation) {
            return;
        }
        tasks.rows = cluster.tasks_of(&self.id).cloned().collect();
        tasks.rows.sort_by(|a, b| {
            // What needs a look first, and the newest of those.
            (task_tone(a), b.staged, &a.id).cmp(&(task_tone(b), a.staged, &b.id))
        });
        let at = tasks.at.as_ref().and_then(|at| tasks.rows.iter().position(|task| task.id == *at));
        if let Some(at) = at {
            tasks.list.cursor = at;
        }
        let rows = tasks.rows.len();
        tasks.list.clamp(rows);
        tasks.at = tasks.rows.get(tasks.list.cursor).map(|task| task.id.clone());
        tasks.of = Some(cluster.generation);
    }

    /// The task under the cursor.
    pub(super) fn task(&self, state: &State) -> Option<Arc<Task>> {
        self.refresh(&state.cluster);
        let tasks = self.tasks.borrow();
        tasks.rows.get(tasks.list.cursor).cloned()
    }

    fn moves(&self, state: &State, key: KeyEvent) -> bool {
        self.refresh(&state.cluster);
        let mut tasks = self.tasks.borrow_mut();
        let rows = tasks.rows.len();
        let moved = tasks.list.key(key, rows);
        if moved {
            tasks.at = tasks.rows.get(tasks.list.cursor).map(|task| task.id.clone());
        }
        moved
    }

    pub(super) fn bindings(&self) -> Vec<Binding> {
        let mut all = match self.tab {
            Tab::Logs => return logs::bindings(self.logs.as_ref()),
            Tab::Tasks => vec![looks("l", "log"), looks("a", "all logs")],
            Tab::Versions => vec![looks("j k", "version"), looks("J K", "scroll")],
            Tab::Why => vec![looks("l", "log of what failed"), looks("a", "all logs")],
            Tab::Configuration => vec![looks("j k", "scroll"), looks("c", "copy")],
            Tab::Endpoints => vec![looks("c", "copy address"), looks("l", "log")],
            Tab::Events => vec![looks("j k", "line")],
        };
        all.push(looks("h/arrows", "tabs"));
        all.extend([changes("S", "scale"), changes("R", "restart"), changes("B", "roll back")]);
        if self.tab == Tab::Tasks {
            all.extend([changes("K", "kill"), changes("!", "shell"), looks("n", "node")]);
        }
        all.extend([
            changes("P", "suspend"),
            changes("E", "edit"),
            changes("D", "delete"),
            looks("z", "full screen"),
        ]);
        all
    }

    fn happenings<'a>(&'a self, cluster: &'a Cluster) -> Vec<&'a Happening> {
        let prefix = format!("{}.", self.id.trim_start_matches('/').replace('/', "_"));
        let about = |event: &&Happening| {
            event.subject == self.id
                || event.subject.starts_with(&prefix)
                || (event.kind == "deploy" && event.subject.split(", ").any(|id| id == self.id))
        };
        cluster.events.iter().rev().filter(about).collect()
    }

    pub(super) fn draw(&self, state: &State, focused: bool, place: Rect, canvas: &mut Buffer) {
        let service = state.cluster.services.get(&self.id);
        let status = service.map(|service| service_status(service));
        let title = match status {
            Some((tone, word)) => {
                super::title_of(&self.id, &format!(" · {} {word}", state.look().glyph(tone)))
            }
            None => super::title_of(&self.id, " · ? not known"),
        };
        // A glyph of the ASCII set is none of the characters that `panel` replaces.
        let inside = panel(state, &title, focused, place, canvas);
        let inside = Rect { x: inside.x + 1, width: inside.width.saturating_sub(2), ..inside };
        if let (Some((tone, text)), None) = (unread(state), service) {
            return sentence(state, tone, &text, inside, canvas);
        }
        let Some(service) = service else {
            let text = format!("There is no service {} (any more). esc goes back to the list.", self.id);
            return sentence(state, Tone::Unknown, &text, inside, canvas);
        };
        let body = if self.zoom {
            inside
        } else {
            let used = self.head(state, service, inside, canvas);
            let rest = below(inside, used);
            if let Some(tabs) = row(rest, 0) {
                self.tabs.set(tabs);
                self.draw_tabs(state, service, tabs, canvas);
            }
            below(rest, 1)
        };
        self.body.set(body);
        match self.tab {
            Tab::Tasks => self.draw_tasks(state, service, focused, body, canvas),
            Tab::Configuration => match self.definition.here() {
                Some(lines) => self.pane.draw(state, lines, body, canvas),
                None => {
                    if let Some((tone, text)) = self.definition.why_not() {
                        sentence(state, tone, &text, body, canvas);
                    }
                }
            },
            Tab::Versions => self.versions.draw(state, &self.id, body, canvas),
            Tab::Why => self.why.draw_sentences(state, &why::sentences(state, service), body, canvas),
            Tab::Endpoints => self.draw_endpoints(state, focused, body, canvas),
            Tab::Logs => match &self.logs {
                Some(logs) => logs.draw(state, body, canvas),
                None => sentence(
                    state,
                    Tone::Off,
                    "No log is being followed. a follows all tasks; l, on a task, that one alone.",
                    body,
                    canvas,
                ),
            },
            Tab::Events => self.draw_events(state, focused, body, canvas),
        }
    }

    /// What it is and how it stands: how many rows that took.
    fn head(&self, state: &State, service: &Service, place: Rect, canvas: &mut Buffer) -> u16 {
        let look = state.look();
        let mut lines: Vec<(Option<Tone>, String)> = Vec::new();
        let each = service.each;
        let disk = if each.disk > 0.0 { format!("   disk {}", mebibytes(each.disk)) } else { String::new() };
        let checks = if service.checked {
            format!("   healthy {}   unhealthy {}", service.healthy, service.unhealthy)
        } else {
            "   no health checks".to_owned()
        };
        lines.push((
            None,
            format!(
                "instances {} of {}{checks}   each cpus {}   mem {}{disk}",
                service.running,
                service.instances,
                cores(each.cpus),
                mebibytes(each.mem)
            ),
        ));
        let runs = if service.runs.is_empty() { "(nothing is said of what it runs)" } else { &service.runs };
        lines.push((None, format!("runs {runs}")));
        let under_way = service
            .deployment
            .as_ref()
            .and_then(|id| state.cluster.deployments.iter().find(|deployment| deployment.id == *id));
        if let Some(deployment) = under_way {
            let share = f64::from(deployment.step.saturating_sub(1)) / f64::from(deployment.steps.max(1));
            let since = moment(&deployment.version)
                .map_or(String::new(), |at| format!("   began {} ago", age(state.now.saturating_sub(at))));
            lines.push((
                Some(Tone::Moving),
                format!(
                    "deployment {} step {} of {}: {}{since}",
                    look.bar(share, 10),
                    deployment.step,
                    deployment.steps,
                    deployment.doing.join(", ")
                ),
            ));
        }
        // The tab Why begins with these two.
        let why = self.tab == Tab::Why;
        if let Some(waiting) = service.waiting.as_ref().filter(|_| !why) {
            lines.push((Some(Tone::Look), why::waits(waiting, state.now)));
        }
        if let Some(failure) = service.failure.as_ref().filter(|_| !why) {
            lines.push((Some(Tone::Bad), why::failed(failure)));
        }
        // The tabs and some of what is in them stay in sight.
        lines.truncate(usize::from(place.height.saturating_sub(6)).max(1));
        for (at, (tone, text)) in lines.iter().enumerate() {
            let Some(line) = row(place, at) else { break };
            let style = tone.map_or(look.text(), |tone| look.tone(tone));
            let glyph = tone.map_or(String::new(), |tone| format!("{} ", look.glyph(tone)));
            // The bar is of the look already.
            let text = if text.starts_with("deployment") { clean(text) } else { look.plain(&clean(text)) };
            span(canvas, line, line.x, &format!("{glyph}{text}"), style);
        }
        u16::try_from(lines.len()).unwrap_or(u16::MAX)
    }

    /// The names of the tabs, shorter where there is no room for all of them with what is in them.
    fn tab_titles(&self, service: &Service, columns: u16) -> Vec<(Tab, String)> {
        let title = |tab: Tab| match tab {
            Tab::Tasks => format!("Tasks {}", self.tasks.borrow().rows.len()),
            Tab::Versions if service.versions > 0 => format!("Versions {}", service.versions),
            tab => tab.name().to_owned(),
        };
        let titles: Vec<(Tab, String)> = Tab::ALL.into_iter().map(|tab| (tab, title(tab))).collect();
        let wide: usize = titles.iter().map(|(_, title)| width(title) + 2).sum();
        if wide <= usize::from(columns) {
            return titles;
        }
        let short = |tab: Tab| if tab == Tab::Configuration { "Config" } else { tab.name() };
        Tab::ALL.into_iter().map(|tab| (tab, short(tab).to_owned())).collect()
    }

    fn draw_tabs(&self, state: &State, service: &Service, place: Rect, canvas: &mut Buffer) {
        let look = state.look();
        self.refresh(&state.cluster);
        let mut x = place.x;
        for (tab, title) in self.tab_titles(service, place.width) {
            let style = if tab == self.tab { look.selected() } else { look.dim() };
            x = span(canvas, place, x, &format!(" {title} "), style);
        }
    }

    fn draw_tasks(&self, state: &State, service: &Service, focused: bool, place: Rect, canvas: &mut Buffer) {
        let look = state.look();
        self.refresh(&state.cluster);
        let tasks = self.tasks.borrow();
        if tasks.rows.is_empty() {
            let (tone, text) = match (&service.waiting, service.instances) {
                (Some(_), _) => (Tone::Look, "No task has a place yet. The tab Why says why."),
                (None, 0) => (Tone::Off, "It is suspended: no instances are wanted. S starts some."),
                (None, _) => (Tone::Moving, "No task yet: the first ones are being placed."),
            };
            return sentence(state, tone, text, place, canvas);
        }
        let room = Rect { x: place.x + 2, width: place.width.saturating_sub(2), ..place };
        let stands = stands(TASKS, room);
        headings(state, TASKS, &stands, place.y, canvas);
        let body = below(place, 1);
        for (line, at) in tasks.list.window(tasks.rows.len(), usize::from(body.height)).enumerate() {
            let (Some(task), Some(row)) = (tasks.rows.get(at), row(body, line)) else { break };
            let mut cell = |column: usize, text: &str, style| {
                let right = TASKS.get(column).is_some_and(|column| column.right);
                put(canvas, stands.get(column).copied().flatten(), row.y, &look.plain(text), style, right);
            };
            let tone = task_tone(task);
            let health = match task.healthy {
                Some(true) => (look.glyph(Tone::Good).to_owned(), look.tone(Tone::Good)),
                Some(false) => (look.glyph(Tone::Bad).to_owned(), look.tone(Tone::Bad)),
                None => (look.plain("–"), look.dim()),
            };
            cell(0, &clean(&short(&task.id)), look.text());
            cell(1, &format!("{} {}", look.glyph(tone), word(&task.state)), look.tone(tone));
            cell(2, &health.0, health.1);
            cell(3, &clean(&task.host), look.text());
            cell(4, &clean(&address(&state.cluster, task, 0).unwrap_or_else(|| "–".to_owned())), look.text());
            cell(5, &clean(&self.version_name(service, &task.version)), look.text());
            let since = age(state.now.saturating_sub(task.started.unwrap_or(task.staged)));
            cell(6, since.split(' ').next().unwrap_or_default(), look.dim());
            if at == tasks.list.cursor {
                if focused {
                    canvas.set_style(row, look.selected());
                } else {
                    canvas.set_string(row.x, row.y, look.plain("▌"), look.strong());
                }
            }
        }
    }

    /// `v42`, where it is known which that is; else the day of the version.
    fn version_name(&self, service: &Service, version: &str) -> String {
        if let Some(number) = self.versions.number(version) {
            return format!("v{number}");
        }
        if version == service.version && service.versions > 0 {
            return format!("v{}", service.versions);
        }
        version.get(5..10).unwrap_or("–").to_owned()
    }

    /// Every port of every task.
    fn endpoints(&self, cluster: &Cluster) -> Vec<(Arc<Task>, usize)> {
        self.refresh(cluster);
        let tasks = self.tasks.borrow();
        tasks.rows.iter().flat_map(|task| (0..task.ports.len()).map(|port| (task.clone(), port))).collect()
    }

    fn draw_endpoints(&self, state: &State, focused: bool, place: Rect, canvas: &mut Buffer) {
        const COLUMNS: &[Column] = &[
            column("ADDRESS", 22, 99),
            column("PORT", 6, 7),
            column("HEALTH", 6, 8),
            column("NODE", 12, 6),
            column("TASK", 22, 5),
        ];
        let look = state.look();
        let endpoints = self.endpoints(&state.cluster);
        if endpoints.is_empty() {
            let text = "No task of this service has a port. Its definition asks for them with portDefinitions, or in its container.";
            return sentence(state, Tone::Off, text, place, canvas);
        }
        let room = Rect { x: place.x + 2, width: place.width.saturating_sub(2), ..place };
        let stands = stands(COLUMNS, room);
        headings(state, COLUMNS, &stands, place.y, canvas);
        let body = below(place, 1);
        for (line, at) in self.events.window(endpoints.len(), usize::from(body.height)).enumerate() {
            let (Some((task, port)), Some(row)) = (endpoints.get(at), row(body, line)) else { break };
            let mut cell = |column: usize, text: &str, style| {
                put(canvas, stands.get(column).copied().flatten(), row.y, &look.plain(text), style, false);
            };
            let health = match task.healthy {
                Some(true) => Tone::Good,
                Some(false) => Tone::Bad,
                None => Tone::Unknown,
            };
            let address = address(&state.cluster, task, *port).unwrap_or_default();
            cell(0, &clean(&address), look.strong());
            cell(1, &format!("PORT{port}"), look.dim());
            cell(2, look.glyph(health), look.tone(health));
            cell(3, &clean(&task.host), look.text());
            cell(4, &clean(&short(&task.id)), look.text());
            if focused && at == self.events.cursor.min(endpoints.len() - 1) {
                canvas.set_style(row, look.selected());
            }
        }
    }

    fn draw_events(&self, state: &State, focused: bool, place: Rect, canvas: &mut Buffer) {
        let look = state.look();
        let events = self.happenings(&state.cluster);
        if events.is_empty() {
            let text = "Nothing has happened to this service since the dashboard began. The tab Why shows its last failure.";
            return sentence(state, Tone::Off, text, place, canvas);
        }
        for (line, at) in self.events.window(events.len(), usize::from(place.height)).enumerate() {
            let (Some(event), Some(row)) = (events.get(at), row(place, line)) else { break };
            let subject = if event.subject == self.id { String::new() } else { short(&event.subject) };
            let x = span(canvas, row, row.x, &format!("{}  ", clock(event.at)), look.dim());
            let x = span(canvas, row, x, &format!("{} ", look.glyph(event.tone)), look.tone(event.tone));
            let x = span(canvas, row, x, &format!("{:8}", event.kind), look.text());
            let x = span(canvas, row, x, &look.plain(&clean(&format!("{subject:22}"))), look.text());
            span(canvas, row, x, &look.plain(&clean(&format!(" {}", event.text))), look.text());
            if focused && at == self.events.cursor.min(events.len() - 1) {
                canvas.set_style(row, look.selected());
            }
        }
    }
}

/// The name of a task, short enough for a table: `web.9c1d2f00` of `shop_web.instance-9c1d2f00-…._app.1`.
pub(super) fn short(task: &str) -> String {
    match task.split_once(".instance-") {
        Some((service, rest)) => {
            let name = service.rsplit('_').next().unwrap_or(service);
            let rest: String = rest.chars().take_while(|c| *c != '.' && *c != '-').take(8).collect();
            format!("{name}.{rest}")
        }
        None => crate::text::fit(task, 22),
    }
}

/// `host:port` of a port of a task: the agent's address where it is known.
fn address(cluster: &Cluster, task: &Task, port: usize) -> Option<String> {
    let port = task.ports.get(port)?;
    let node = cluster.nodes.get(&task.node).and_then(|node| node.address.rsplit_once(':'));
    let host = node.map(|(host, _)| host).filter(|host| !host.is_empty()).unwrap_or(&task.host);
    Some(format!("{host}:{port}"))
}

/// Asks for the versions, and the definition where it is shown, when they are not those of the service as it is now.
pub(super) fn follow_version(state: &mut State) -> Vec<Effect> {
    let Some(detail) = &mut state.services.open else { return Vec::new() };
    let Some(service) = state.cluster.services.get(&detail.id) else { return Vec::new() };
    if detail.asked == service.version {
        return Vec::new();
    }
    detail.asked.clone_from(&service.version);
    let id = detail.id.clone();
    detail.versions.begin();
    let again = !matches!(detail.definition, Fetched::Nothing);
    let mut effects = vec![super::ask(state, Wanted::Versions(id.clone()), Request::Versions(id.clone()))];
    if again {
        effects.push(super::ask(state, Wanted::Definition(id.clone()), Request::Service(id)));
    }
    effects
}

/// Goes to a tab, and asks for what it needs.
pub(super) fn to_tab(state: &mut State, tab: Tab) -> Vec<Effect> {
    let mut effects = Vec::new();
    let Some(detail) = &mut state.services.open else { return effects };
    let before = std::mem::replace(&mut detail.tab, tab);
    if tab != Tab::Logs {
        detail.zoom &= before != Tab::Logs;
    }
    detail.events = List::default();
    let id = detail.id.clone();
    match tab {
        Tab::Configuration if !matches!(detail.definition, Fetched::Here(_) | Fetched::Asked) => {
            detail.definition = Fetched::Asked;
            effects.push(super::ask(state, Wanted::Definition(id.clone()), Request::Service(id)));
        }
        Tab::Versions => {
            if detail.versions.has_failed() {
                detail.versions.begin();
                effects.push(super::ask(state, Wanted::Versions(id.clone()), Request::Versions(id)));
            } else {
                effects.extend(super::versions::want(state));
            }
        }
        Tab::Logs if detail.logs.is_none() => effects.extend(logs::begin(state, Of::Service)),
        _ => {}
    }
    if before == Tab::Logs && tab != Tab::Logs {
        effects.extend(logs::end(state));
    }
    effects
}

/// Takes a key while a service has the focus.
pub(super) fn key(state: &mut State, key: KeyEvent) -> Option<Vec<Effect>> {
    let tab = super::tab(state)?;
    if tab == Tab::Logs
        && let Some(effects) = logs::key(state, key)
    {
        return Some(effects);
    }
    let task = state.services.open.as_ref().and_then(|detail| detail.task(state));
    let detail = state.services.open.as_mut()?;
    if key.modifiers.contains(KeyModifiers::CONTROL) || !matches!(key.code, KeyCode::Char('h')) {
        let moved = match tab {
            Tab::Tasks => {
                let detail = state.services.open.as_ref()?;
                detail.moves(state, key)
            }
            Tab::Configuration => detail.pane.key(key),
            Tab::Versions => {
                if detail.versions.key(key) {
                    return Some(super::versions::want(state));
                }
                false
            }
            Tab::Why => detail.why.key(key),
            Tab::Endpoints | Tab::Events => {
                let detail = state.services.open.as_ref()?;
                let rows = match tab {
                    Tab::Endpoints => detail.endpoints(&state.cluster).len(),
                    _ => detail.happenings(&state.cluster).len(),
                };
                let detail = state.services.open.as_mut()?;
                detail.events.key(key, rows)
            }
            Tab::Logs => false,
        };
        if moved {
            return Some(Vec::new());
        }
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return None;
    }
    // The list is beside it, and can be gone to.
    let aside = super::is_wide(state) && !state.services.open.as_ref()?.zoom;
    let detail = state.services.open.as_mut()?;
    let shown = (tab == Tab::Tasks).then_some(task).flatten();
    Some(match key.code {
        KeyCode::Right => to_tab(state, tab.step(true)),
        KeyCode::Left | KeyCode::Char('h') => to_tab(state, tab.step(false)),
        KeyCode::Tab | KeyCode::BackTab if aside => {
            state.services.in_detail = false;
            Vec::new()
        }
        KeyCode::Tab => to_tab(state, tab.step(true)),
        KeyCode::BackTab => to_tab(state, tab.step(false)),
        KeyCode::Esc | KeyCode::Char('q') => {
            if detail.zoom {
                detail.zoom = false;
                Vec::new()
            } else if tab == Tab::Logs {
                to_tab(state, Tab::Tasks)
            } else {
                super::close(state)
            }
        }
        KeyCode::Char('z') => {
            detail.zoom = !detail.zoom;
            Vec::new()
        }
        KeyCode::Char('a') => logs::begin(state, Of::Service),
        KeyCode::Char('l') => match tab {
            Tab::Why => logs::of_failure(state),
            Tab::Endpoints => {
                let detail = state.services.open.as_ref()?;
                let at = detail.endpoints(&state.cluster).get(detail.events.cursor).cloned();
                at.map_or_else(Vec::new, |(task, _)| logs::begin(state, Of::task(&task)))
            }
            Tab::Tasks => match shown {
                Some(task) => logs::begin(state, Of::task(&task)),
                None => {
                    state.say(Tone::Look, "there is no task whose log could be followed");
                    Vec::new()
                }
            },
            _ => logs::begin(state, Of::Service),
        },
        KeyCode::Enter | KeyCode::Char('n') if shown.is_some() => {
            let task = shown?;
            if key.code == KeyCode::Enter {
                logs::begin(state, Of::task(&task))
            } else {
                state.go(Page::Nodes);
                state.open_node(&task.node)
            }
        }
        KeyCode::Char('c') => {
            let text = match tab {
                Tab::Configuration => detail.definition.here().map(|lines| lines.join("\n")),
                Tab::Tasks => shown.map(|task| task.id.clone()),
                Tab::Endpoints => {
                    let detail = state.services.open.as_ref()?;
                    let at = detail.endpoints(&state.cluster).get(detail.events.cursor).cloned();
                    at.and_then(|(task, port)| address(&state.cluster, &task, port))
                }
                Tab::Versions => detail.versions.shown().map(str::to_owned),
                _ => Some(detail.id.clone()),
            };
            match text {
                Some(text) => {
                    let said = if text.contains('\n') { "the definition".to_owned() } else { clean(&text) };
                    state.say(Tone::Good, format!("copied {said}"));
                    vec![Effect::Copy(text)]
                }
                None => Vec::new(),
            }
        }
        KeyCode::Char('K') if tab == Tab::Tasks => {
            if let Some(task) = shown {
                change::kill(state, &task);
            }
            Vec::new()
        }
        KeyCode::Char('!') if tab == Tab::Tasks => match shown {
            Some(task) => change::shell(state, &task),
            None => Vec::new(),
        },
        _ => return change::key(state, key),
    })
}

/// Something was clicked: a tab, or a row.
pub(super) fn click(state: &mut State, x: u16, y: u16) -> Vec<Effect> {
    let Some(detail) = &state.services.open else { return Vec::new() };
    let (tabs, body) = (detail.tabs.get(), detail.body.get());
    if tabs.contains((x, y).into()) && !detail.zoom {
        let Some(service) = state.cluster.services.get(&detail.id) else { return Vec::new() };
        let mut end = tabs.x;
        let hit = detail.tab_titles(service, tabs.width).into_iter().find(|(_, title)| {
            end = end.saturating_add(u16::try_from(width(title) + 2).unwrap_or(u16::MAX));
            x < end
        });
        state.services.in_detail = true;
        return hit.map_or_else(Vec::new, |(tab, _)| to_tab(state, tab));
    }
    if body.contains((x, y).into()) {
        if detail.tab == Tab::Tasks && y > body.y {
            let mut tasks = detail.tasks.borrow_mut();
            let at = tasks.list.row_at(usize::from(y - body.y - 1));
            if let Some(id) = tasks.rows.get(at).map(|task| task.id.clone()) {
                tasks.list.cursor = at;
                tasks.at = Some(id);
            }
        }
        state.services.in_detail = true;
    }
    Vec::new()
}
