//! The list: a tree of groups, or all services in one row.

use std::cell::{Cell, Ref, RefCell};
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use api::watch::Service;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::pieces::{Column, Stand, below, column, figure, headings, moment, put, row, stands};
use crate::Effect;
use crate::cluster::{Cluster, service_status};
use crate::draw::{panel, sentence, unread};
use crate::filter::{self, Fields, Kind, Prompt};
use crate::list::List;
use crate::state::State;
use crate::text::{age, clean, mebibytes, width};
use crate::theme::Tone;

/// What a filter can ask of services.
pub(super) const FIELDS: Fields = &[
    ("status", Kind::Text),
    ("health", Kind::Text),
    ("node", Kind::Text),
    ("version", Kind::Text),
    ("package", Kind::Text),
    ("image", Kind::Text),
    ("label", Kind::Label),
    ("cpu", Kind::Number),
    ("mem", Kind::Mebibytes),
    ("instances", Kind::Number),
    ("running", Kind::Number),
    ("age", Kind::Time),
];

const COLUMNS: &[Column] = &[
    column("SERVICE", 22, 99),
    column("STATUS", 12, 9),
    column("HEALTH", 9, 6),
    figure("RUNNING", 9, 8),
    column("VERSION", 10, 5),
    figure("CPU", 6, 4),
    figure("MEM", 9, 3),
    figure("UPDATED", 8, 2),
];

/// In which order services stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Order {
    #[default]
    Look,
    Name,
    Cpu,
    Mem,
}

impl Order {
    const fn next(self) -> Self {
        match self {
            Self::Look => Self::Name,
            Self::Name => Self::Cpu,
            Self::Cpu => Self::Mem,
            Self::Mem => Self::Look,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Look => "what needs a look first",
            Self::Name => "by name",
            Self::Cpu => "most cpu first",
            Self::Mem => "most memory first",
        }
    }
}

/// A service as a filter sees it.
struct Looked<'a> {
    cluster: &'a Cluster,
    service: &'a Service,
    now: u64,
}

impl Looked<'_> {
    fn health(&self) -> &'static str {
        let service = self.service;
        match (service.checked, service.unhealthy) {
            (_, 1..) => "unhealthy",
            (true, 0) if service.running > 0 && service.healthy >= service.running => "healthy",
            (true, 0) => "unknown",
            (false, 0) => "none",
        }
    }
}

impl filter::Row for Looked<'_> {
    fn any(&self, fits: &dyn Fn(&str) -> bool) -> bool {
        fits(&self.service.id)
            || fits(service_status(self.service).1)
            || self.service.labels.get(PACKAGE).is_some_and(|name| fits(name))
    }

    fn text(&self, field: &str, fits: &dyn Fn(&str) -> bool) -> bool {
        let label = |key: &str| self.service.labels.get(key).is_some_and(|value| fits(value));
        match field {
            "status" => fits(service_status(self.service).1),
            "health" => fits(self.health()),
            "node" => self.cluster.tasks_of(&self.service.id).any(|task| fits(&task.host)),
            "version" => label(PACKAGE_VERSION) || fits(&self.service.version),
            "package" => label(PACKAGE),
            "image" => fits(&self.service.runs),
            _ => false,
        }
    }

    fn number(&self, field: &str) -> Option<f64> {
        let service = self.service;
        let there = f64::from(service.running + service.staged);
        #[expect(clippy::cast_precision_loss, reason = "an age in milliseconds is far below 2^53")]
        match field {
            "cpu" => Some(service.each.cpus * there),
            "mem" => Some(service.each.mem * there),
            "instances" => Some(f64::from(service.instances)),
            "running" => Some(f64::from(service.running)),
            "age" => moment(&service.version).map(|at| self.now.saturating_sub(at) as f64),
            _ => None,
        }
    }

    fn label(&self, key: &str) -> Option<&str> {
        self.service.labels.get(key).map(String::as_str)
    }
}

/// The label with the name of the package that a service was installed from, as DC/OS writes it.
const PACKAGE: &str = "DCOS_PACKAGE_NAME";
/// The label with that package's version.
const PACKAGE_VERSION: &str = "DCOS_PACKAGE_VERSION";

/// What a row sums up: one service, or all below a group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sum {
    tone: Tone,
    word: &'static str,
    instances: u64,
    running: u64,
    healthy: u64,
    unhealthy: u64,
    checked: bool,
    cpus: f64,
    mem: f64,
}

impl Sum {
    fn of(service: &Service) -> Self {
        let (tone, word) = service_status(service);
        let there = f64::from(service.running + service.staged);
        Self {
            tone,
            word,
            instances: service.instances.into(),
            running: service.running.into(),
            healthy: service.healthy.into(),
            unhealthy: service.unhealthy.into(),
            checked: service.checked,
            cpus: service.each.cpus * there,
            mem: service.each.mem * there,
        }
    }

    fn add(&mut self, service: &Service) {
        let other = Self::of(service);
        if other.tone < self.tone {
            (self.tone, self.word) = (other.tone, other.word);
        }
        self.instances += other.instances;
        self.running += other.running;
        self.healthy += other.healthy;
        self.unhealthy += other.unhealthy;
        self.checked |= other.checked;
        self.cpus += other.cpus;
        self.mem += other.mem;
    }
}

/// A service or a group while rows are made: its name ends at a byte of the first id, and it is a group where there is a sum.
struct Entry<'a> {
    end: usize,
    key: (Tone, f64, f64),
    sum: Option<Box<Sum>>,
    inside: &'a [&'a Arc<Service>],
}

/// A row of the list.
#[derive(Clone, Debug)]
pub(super) enum Row {
    /// With the newest version of those below it.
    Group {
        id: String,
        depth: usize,
        open: bool,
        sum: Box<Sum>,
        updated: String,
    },
    Service {
        service: Arc<Service>,
        depth: usize,
    },
}

impl Row {
    pub(super) fn id(&self) -> &str {
        match self {
            Self::Group { id, .. } => id,
            Self::Service { service, .. } => &service.id,
        }
    }
}

/// What was made of the cluster, and where one is in it.
#[derive(Debug, Default)]
struct Seen {
    /// Of which cluster and which wishes it was made.
    of: Option<(u64, u64)>,
    rows: Vec<Row>,
    /// How many services are in it, those in folded groups too.
    services: usize,
    list: List,
    /// What stands under the cursor, which stays there when rows move.
    at: Option<String>,
}

/// The list.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(super) prompt: Prompt,
    pub(super) marks: BTreeSet<String>,
    flat: bool,
    order: Order,
    folded: BTreeSet<String>,
    /// Counts changes of the wishes above.
    revision: u64,
    seen: RefCell<Seen>,
    /// Where the rows were drawn.
    place: Cell<Rect>,
}

impl Table {
    /// Makes the rows anew when anything that they are made of has changed.
    fn refresh(&self, cluster: &Cluster, now: u64) {
        let of = (cluster.generation, self.revision);
        let mut seen = self.seen.borrow_mut();
        if seen.of == Some(of) {
            return;
        }
        let looked = |service: &&Arc<Service>| {
            self.prompt.filter.is_empty() || self.prompt.filter.fits(&Looked { cluster, service, now })
        };
        let services: Vec<&Arc<Service>> = cluster.services.values().filter(looked).collect();
        seen.services = services.len();
        seen.rows.clear();
        if self.flat {
            let mut all: Vec<_> = services.into_iter().map(|service| (key_of(service), service)).collect();
            all.sort_by(|(a, _), (b, _)| self.compare(a, b));
            seen.rows.extend(
                all.into_iter().map(|(_, service)| Row::Service { service: service.clone(), depth: 0 }),
            );
        } else {
            self.level(&services, 1, 0, &mut seen.rows);
        }
        let at = seen.at.as_ref().and_then(|at| seen.rows.iter().position(|row| row.id() == at));
        if let Some(at) = at {
            seen.list.cursor = at;
        }
        let rows = seen.rows.len();
        seen.list.clamp(rows);
        seen.at = seen.rows.get(seen.list.cursor).map(|row| row.id().to_owned());
        seen.of = Some(of);
    }

    /// Those that are alike stay as they were: by id.
    fn compare(&self, a: &(Tone, f64, f64), b: &(Tone, f64, f64)) -> Ordering {
        match self.order {
            Order::Look => a.0.cmp(&b.0),
            Order::Name => Ordering::Equal,
            Order::Cpu => b.1.total_cmp(&a.1),
            Order::Mem => b.2.total_cmp(&a.2),
        }
    }

    /// The rows of one group. Its services are sorted by id, have it in common up to `from`, and those of each group below stand
    /// together.
    fn level(&self, services: &[&Arc<Service>], from: usize, depth: usize, rows: &mut Vec<Row>) {
        let mut entries: Vec<Entry<'_>> = Vec::new();
        let mut rest = services;
        while let Some(first) = rest.first() {
            let name = first.id.get(from..).and_then(|rest| rest.find('/'));
            let Some(end) = name.map(|at| from + at) else {
                entries.push(Entry {
                    end: first.id.len(),
                    key: key_of(first),
                    sum: None,
                    inside: &rest[..1],
                });
                rest = &rest[1..];
                continue;
            };
            let prefix = &first.id[..=end];
            let count = rest.iter().take_while(|service| service.id.starts_with(prefix)).count();
            let (inside, after) = rest.split_at(count);
            let mut sum = Sum::of(first);
            inside.iter().skip(1).for_each(|service| sum.add(service));
            let key = (sum.tone, sum.cpus, sum.mem);
            entries.push(Entry { end, key, sum: Some(Box::new(sum)), inside });
            rest = after;
        }
        entries.sort_by(|a, b| self.compare(&a.key, &b.key));
        for Entry { end, sum, inside, .. } in entries {
            let Some(sum) = sum else {
                rows.push(Row::Service { service: inside[0].clone(), depth });
                continue;
            };
            let id = inside[0].id[..end].to_owned();
            let open = !self.prompt.filter.is_empty() || !self.folded.contains(&id);
            let newest = inside.iter().map(|service| service.version.as_str()).max();
            let updated = newest.unwrap_or_default().to_owned();
            rows.push(Row::Group { id, depth, open, sum, updated });
            if open {
                self.level(inside, end + 1, depth + 1, rows);
            }
        }
    }

    fn seen(&self, state: &State) -> Ref<'_, Seen> {
        self.refresh(&state.cluster, state.now);
        self.seen.borrow()
    }

    /// The row under the cursor.
    pub(super) fn current(&self, state: &State) -> Option<Row> {
        let seen = self.seen(state);
        seen.rows.get(seen.list.cursor).cloned()
    }

    fn to(&self, id: &str) {
        let mut seen = self.seen.borrow_mut();
        if let Some(at) = seen.rows.iter().position(|row| row.id() == id) {
            seen.list.cursor = at;
            seen.at = Some(id.to_owned());
        }
    }

    fn wish(&mut self) {
        self.revision += 1;
    }

    /// Shows a service: unfolds the groups around it, and drops a filter that hides it.
    pub(super) fn show(&mut self, state: &State, id: &str) {
        for (at, _) in id.match_indices('/').filter(|(at, _)| *at > 0) {
            self.folded.remove(&id[..at]);
        }
        self.wish();
        self.refresh(&state.cluster, state.now);
        let known = self.seen.borrow().rows.iter().any(|row| row.id() == id);
        if !known && self.prompt.clear() {
            self.wish();
            self.refresh(&state.cluster, state.now);
        }
        self.to(id);
    }

    /// Takes a key of the list itself; what opens and changes is the page's.
    pub(super) fn key(&mut self, state: &State, key: KeyEvent) -> bool {
        if self.prompt.open {
            let moves = matches!(key.code, KeyCode::Down | KeyCode::Up);
            if self.prompt.key(key, FIELDS) {
                self.wish();
            }
            return !moves || self.moves(state, key);
        }
        if self.moves(state, key) {
            return true;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return false;
        }
        let current = self.current(state);
        match (key.code, current) {
            (KeyCode::Char('/'), _) => self.prompt.open = true,
            (KeyCode::Char('t'), _) => self.flat = !self.flat,
            (KeyCode::Char('o'), _) => self.order = self.order.next(),
            (KeyCode::Char(' '), Some(Row::Service { service, .. })) => {
                if !self.marks.remove(&service.id) {
                    self.marks.insert(service.id.clone());
                }
                self.moves(state, KeyCode::Down.into());
            }
            (KeyCode::Enter | KeyCode::Char(' '), Some(Row::Group { id, .. })) => {
                if !self.folded.remove(&id) {
                    self.folded.insert(id);
                }
            }
            (KeyCode::Char('l') | KeyCode::Right, Some(Row::Group { id, .. })) => {
                self.folded.remove(&id);
            }
            (KeyCode::Char('h') | KeyCode::Left, Some(Row::Group { id, open: true, .. }))
                if self.prompt.filter.is_empty() =>
            {
                self.folded.insert(id);
            }
            (KeyCode::Char('h') | KeyCode::Left, Some(row)) => {
                // To the group that it is in.
                if let Some((group, _)) = row.id().rsplit_once('/').filter(|_| !self.flat) {
                    self.to(group);
                }
            }
            (KeyCode::Esc, _) if self.prompt.clear() => {}
            (KeyCode::Esc, _) if !self.marks.is_empty() => self.marks.clear(),
            _ => return false,
        }
        self.wish();
        true
    }

    fn moves(&self, state: &State, key: KeyEvent) -> bool {
        self.refresh(&state.cluster, state.now);
        let mut seen = self.seen.borrow_mut();
        let rows = seen.rows.len();
        let moved = seen.list.key(key, rows);
        if moved {
            seen.at = seen.rows.get(seen.list.cursor).map(|row| row.id().to_owned());
        }
        moved
    }

    /// Something was clicked: true when the row was under the cursor already, which opens it.
    pub(super) fn click(&self, state: &State, x: u16, y: u16) -> Option<bool> {
        let place = self.place.get();
        if !place.contains((x, y).into()) {
            return None;
        }
        self.refresh(&state.cluster, state.now);
        let mut seen = self.seen.borrow_mut();
        let at = seen.list.row_at(usize::from(y - place.y));
        let id = seen.rows.get(at)?.id().to_owned();
        let again = seen.list.cursor == at;
        seen.list.cursor = at;
        seen.at = Some(id);
        Some(again)
    }

    pub(super) fn draw(&self, state: &State, focused: bool, place: Rect, canvas: &mut Buffer) {
        let look = state.look();
        let seen = self.seen(state);
        let mut title = format!("Services · {}", seen.services);
        if seen.services != state.cluster.services.len() {
            title += &format!(" of {}", state.cluster.services.len());
        }
        if !self.marks.is_empty() {
            title += &format!(" · {} marked", self.marks.len());
        }
        if let Some(chip) = self.prompt.chip() {
            title += &format!(" · {chip}");
        }
        title += &format!(" · {}", self.order.name());
        let inside = panel(state, &title, focused, place, canvas);
        if let Some((tone, text)) = unread(state) {
            return sentence(state, tone, &text, inside, canvas);
        }
        if seen.rows.is_empty() {
            let (tone, text) = if state.cluster.services.is_empty() {
                (
                    Tone::Off,
                    "Nothing runs here yet. N begins a new service, 4 shows packages that can be installed.",
                )
            } else {
                (Tone::Look, "No service fits the filter. / changes it, esc clears it.")
            };
            return sentence(state, tone, text, inside, canvas);
        }
        let room = Rect { x: inside.x + 1, width: inside.width.saturating_sub(2), ..inside };
        let stands = stands(COLUMNS, room);
        headings(state, COLUMNS, &stands, inside.y, canvas);
        let body = below(inside, 1);
        self.place.set(body);
        let window = seen.list.window(seen.rows.len(), usize::from(body.height));
        for (line, at) in window.enumerate() {
            let (Some(row), Some(place)) = (seen.rows.get(at), row(body, line)) else { break };
            self.draw_row(state, row, &stands, place, canvas);
            if at == seen.list.cursor {
                if focused {
                    canvas.set_style(place, look.selected());
                } else {
                    canvas.set_string(place.x, place.y, look.plain("▌"), look.strong());
                }
            }
        }
    }

    fn draw_row(&self, state: &State, row: &Row, stands: &[Stand], place: Rect, canvas: &mut Buffer) {
        let look = state.look();
        let (name, sum, version, updated);
        match row {
            Row::Group { id, depth, open, sum: of_all, updated: newest } => {
                let shown = if *depth == 0 { id.as_str() } else { last(id) };
                let arrow = if *open { "▾" } else { "▸" };
                name = format!("{}{arrow} {}", "  ".repeat((*depth).min(20)), clean(shown));
                sum = **of_all;
                version = "–".to_owned();
                updated = newest.clone();
            }
            Row::Service { service, depth } => {
                let shown = if *depth == 0 { service.id.as_str() } else { last(&service.id) };
                name = format!("{}{}", "  ".repeat((*depth).min(20)), clean(shown));
                sum = Sum::of(service);
                version = version_of(service);
                updated = service.version.clone();
                if self.marks.contains(&service.id) {
                    canvas.set_string(place.x, place.y, look.plain("✓"), look.tone(Tone::Moving));
                }
            }
        }
        let mut cell = |at: usize, text: &str, style| {
            let right = COLUMNS.get(at).is_some_and(|column| column.right);
            let stand = stands.get(at).copied().flatten();
            put(canvas, stand, place.y, &look.plain(text), style, right);
        };
        let strong = if matches!(row, Row::Group { .. }) { look.strong() } else { look.text() };
        cell(0, &name, strong);
        cell(1, &format!("{} {}", look.glyph(sum.tone), sum.word), look.tone(sum.tone));
        cell(3, &format!("{}/{}", sum.running, sum.instances), look.text());
        cell(4, &clean(&version), look.text());
        cell(5, &format!("{:.1}", sum.cpus), look.text());
        cell(6, &mebibytes(sum.mem), look.text());
        let ago = moment(&updated).map_or("–".to_owned(), |at| age(state.now.saturating_sub(at)));
        cell(7, ago.split(' ').next().unwrap_or_default(), look.dim());
        // Of a package: said at the end of the name, where there is room.
        if let (Row::Service { service, .. }, Some(Some((x, wide)))) = (row, stands.first())
            && service.labels.contains_key(PACKAGE)
            && usize::from(*wide) > width(&name) + 5
        {
            canvas.set_string(x + wide - 3, place.y, "pkg", look.dim());
        }
        if let Some(Some((x, wide))) = stands.get(2) {
            health(state, &sum, Rect { x: *x, width: *wide, ..place }, canvas);
        }
    }
}

/// `8● 0✖`.
fn health(state: &State, sum: &Sum, place: Rect, canvas: &mut Buffer) {
    let look = state.look();
    if !sum.checked {
        canvas.set_stringn(place.x, place.y, look.plain("–"), usize::from(place.width), look.dim());
        return;
    }
    let good = format!("{}{} ", sum.healthy, look.glyph(Tone::Good));
    let x = super::pieces::span(canvas, place, place.x, &good, look.tone(Tone::Good));
    let tone = if sum.unhealthy > 0 { Tone::Bad } else { Tone::Off };
    super::pieces::span(
        canvas,
        place,
        x,
        &format!("{}{}", sum.unhealthy, look.glyph(Tone::Bad)),
        look.tone(tone),
    );
}

/// What rows are ordered by.
fn key_of(service: &Service) -> (Tone, f64, f64) {
    let there = f64::from(service.running + service.staged);
    (service_status(service).0, service.each.cpus * there, service.each.mem * there)
}

fn last(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

/// The version of its package, or how many versions it had.
pub(super) fn version_of(service: &Service) -> String {
    match service.labels.get(PACKAGE_VERSION) {
        Some(version) => version.clone(),
        None if service.versions > 0 => format!("v{}", service.versions),
        None => "–".to_owned(),
    }
}

/// Takes a key while the list has the focus.
pub(super) fn key(state: &mut State, key: KeyEvent) -> Option<Vec<Effect>> {
    let mut table = std::mem::take(&mut state.services.table);
    let taken = table.key(state, key);
    state.services.table = table;
    if taken {
        return Some(Vec::new());
    }
    let current = state.services.table.current(state);
    let service = match &current {
        Some(Row::Service { service, .. }) => Some(service.clone()),
        _ => None,
    };
    match (key.code, service) {
        (KeyCode::Enter | KeyCode::Right, Some(service)) => Some(super::open(state, &service.id)),
        (KeyCode::Char('l'), Some(service)) => {
            let mut effects = super::open(state, &service.id);
            effects.extend(super::logs::begin(state, super::logs::Of::Service));
            Some(effects)
        }
        (KeyCode::Char('c'), _) => {
            let id = current?.id().to_owned();
            state.say(Tone::Good, format!("copied {}", clean(&id)));
            Some(vec![Effect::Copy(id)])
        }
        (KeyCode::Tab | KeyCode::BackTab, _) if state.services.open.is_some() => {
            state.services.in_detail = true;
            Some(Vec::new())
        }
        (KeyCode::Esc, _) if state.services.open.is_some() => Some(super::close(state)),
        _ => super::change::key(state, key),
    }
}
