//! Agents, masters and coordinators: as a table or a grid, and one of them.

use std::cell::{Ref, RefCell};
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use api::watch::{Amounts, Node, Task};
use crossterm::event::{KeyCode, KeyEvent};
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Position, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use super::dashboard::{lead_name, lead_state};
use super::deployments::short;
use crate::Effect;
use crate::cluster::{Cluster, node_tone, task_tone, word};
use crate::draw::{page_place, panel, sentence, unread};
use crate::filter::{Fields, Kind, Prompt};
use crate::keys::{Binding, looks};
use crate::list::List;
use crate::state::State;
use crate::text::{age, clean, mebibytes, pad, right, width};
use crate::theme::{Look, Tone};

const FIELDS: Fields = &[
    ("status", Kind::Text),
    ("node", Kind::Text),
    ("zone", Kind::Text),
    ("version", Kind::Text),
    ("label", Kind::Label),
    ("cpu", Kind::Number),
    ("mem", Kind::Number),
    ("disk", Kind::Number),
    ("tasks", Kind::Number),
    ("age", Kind::Time),
];

/// What rows are sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Order {
    #[default]
    Status,
    Name,
    Tasks,
    Cpu,
    Memory,
    Disk,
}

const ORDERS: [(Order, &str); 6] = [
    (Order::Status, "status"),
    (Order::Name, "name"),
    (Order::Tasks, "tasks"),
    (Order::Cpu, "CPU"),
    (Order::Memory, "memory"),
    (Order::Disk, "disk"),
];

/// What this page remembers.
#[derive(Debug, Default)]
pub(crate) struct Nodes {
    list: List,
    order: Order,
    /// The attribute by which nodes are put together; `zone` is one.
    by: Option<String>,
    grid: bool,
    prompt: Prompt,
    kept: RefCell<Kept>,
    open: Option<Open>,
    /// The second tab instead of the first one.
    details: bool,
    inside: List,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Open {
    /// An agent, by its id.
    Node(String),
    /// A master or coordinator: kind and name.
    Lead(&'static str, String),
}

/// Rows, and of what they were made.
#[derive(Debug, Default)]
struct Kept {
    made_of: Option<(u64, String, Order, Option<String>)>,
    rows: Vec<Row>,
}

#[derive(Clone, Debug)]
enum Row {
    /// Nodes that have something in common: what, how many, and how much of their cores is given.
    Group(String, usize, Option<f64>),
    Node(Arc<Node>, usize),
    Lead(Lead),
}

/// A master or coordinator.
#[derive(Clone, Debug)]
struct Lead {
    kind: &'static str,
    name: String,
    address: String,
    tone: Tone,
    state: String,
    /// How long its certificate is good.
    days: Option<i64>,
}

/// A node, as the filter sees it.
struct Seen<'c> {
    node: &'c Node,
    tasks: usize,
    now: u64,
}

impl crate::filter::Row for Seen<'_> {
    fn any(&self, fits: &dyn Fn(&str) -> bool) -> bool {
        let node = self.node;
        [&node.hostname, &node.address, &node.state, &node.id].into_iter().any(|text| fits(text))
            || node.zone.as_deref().is_some_and(fits)
            || node.attributes.values().any(|value| fits(value))
    }

    fn text(&self, field: &str, fits: &dyn Fn(&str) -> bool) -> bool {
        match field {
            "status" => fits(&self.node.state),
            "node" => fits(&self.node.hostname) || fits(&self.node.id),
            "zone" => self.node.zone.as_deref().is_some_and(fits),
            "version" => fits(&self.node.version),
            _ => false,
        }
    }

    fn number(&self, field: &str) -> Option<f64> {
        let (used, total) = (&self.node.used, &self.node.total);
        Some(match field {
            "cpu" => 100.0 * share(used.cpus, total.cpus),
            "mem" => 100.0 * share(used.mem, total.mem),
            "disk" => 100.0 * share(used.disk, total.disk),
            "tasks" => self.tasks as f64,
            "age" => self.now.saturating_sub(self.node.since) as f64,
            _ => return None,
        })
    }

    fn label(&self, key: &str) -> Option<&str> {
        self.node.attributes.get(key).map(String::as_str)
    }
}

/// The page comes into sight.
pub(crate) fn enter(_state: &mut State) -> Vec<Effect> {
    Vec::new()
}

/// Whether letters go into a text.
pub(crate) fn types(state: &State) -> bool {
    state.nodes.prompt.open
}

/// Where one is on this page.
pub(crate) fn path(state: &State) -> String {
    match &state.nodes.open {
        Some(Open::Node(id)) => {
            state.cluster.nodes.get(id).map_or_else(|| id.clone(), |node| node.hostname.clone())
        }
        Some(Open::Lead(kind, name)) => format!("{kind} {name}"),
        None => String::new(),
    }
}

/// Opens one of them.
pub(crate) fn open(state: &mut State, id: &str) -> Vec<Effect> {
    if !state.cluster.nodes.contains_key(id) {
        state.say(Tone::Look, "that node is no part of the cluster any more");
        return Vec::new();
    }
    state.nodes.prompt.clear();
    let at = {
        let rows = state.nodes.rows(&state.cluster, state.now);
        rows.iter().position(|row| matches!(row, Row::Node(node, _) if node.id == id))
    };
    state.nodes.list.cursor = at.unwrap_or(0);
    state.nodes.open = Some(Open::Node(id.to_owned()));
    state.nodes.details = false;
    state.nodes.inside = List::default();
    Vec::new()
}

/// What keys do here.
pub(crate) fn bindings(state: &State) -> Vec<Binding> {
    let page = &state.nodes;
    if page.prompt.open {
        return vec![looks("enter", "keep the filter"), looks("esc", "no filter")];
    }
    if page.open.is_some() {
        return vec![
            looks("enter", "open its service"),
            looks("tab", if page.details { "tasks" } else { "details" }),
            looks("c", "copy the id"),
            looks("esc", "back"),
        ];
    }
    vec![
        looks("enter", "open"),
        looks("v", if page.grid { "table" } else { "grid" }),
        looks("b", "group by"),
        looks("o", "sort"),
        looks("/", "filter"),
        looks("c", "copy the address"),
    ]
}

fn share(used: f64, total: f64) -> f64 {
    if total > 0.0 { used / total } else { 0.0 }
}

/// What nodes can be put together by: where they are, and their attributes.
fn ways(cluster: &Cluster) -> Vec<String> {
    let mut ways = BTreeSet::new();
    for node in cluster.nodes.values() {
        ways.extend(node.attributes.keys().map(String::as_str));
    }
    let mut all = Vec::new();
    if cluster.nodes.values().any(|node| node.zone.is_some()) {
        all.push("zone".to_owned());
    }
    all.extend(ways.into_iter().filter(|way| *way != "zone").map(str::to_owned));
    all
}

/// Where a node belongs when nodes are put together.
fn place_of<'n>(node: &'n Node, by: &str) -> &'n str {
    let zone = node.zone.as_deref().filter(|_| by == "zone");
    zone.or_else(|| node.attributes.get(by).map(String::as_str)).unwrap_or("-")
}

impl Nodes {
    fn rows(&self, cluster: &Cluster, now: u64) -> Ref<'_, Vec<Row>> {
        let same = self.kept.borrow().made_of.as_ref().is_some_and(|(generation, filter, order, by)| {
            *generation == cluster.generation
                && *filter == self.prompt.typed
                && *order == self.order
                && *by == self.by
        });
        if !same {
            let made_of = (cluster.generation, self.prompt.typed.clone(), self.order, self.by.clone());
            *self.kept.borrow_mut() = Kept { made_of: Some(made_of), rows: self.make(cluster, now) };
        }
        Ref::map(self.kept.borrow(), |kept| &kept.rows)
    }

    fn make(&self, cluster: &Cluster, now: u64) -> Vec<Row> {
        let filter = &self.prompt.filter;
        let mut nodes: Vec<(Arc<Node>, usize)> = Vec::new();
        for node in cluster.nodes.values() {
            let tasks = cluster.tasks_on.get(&node.id).map_or(0, BTreeSet::len);
            if filter.fits(&Seen { node, tasks, now }) {
                nodes.push((Arc::clone(node), tasks));
            }
        }
        let more = |a: f64, b: f64| b.partial_cmp(&a).unwrap_or(Ordering::Equal);
        nodes.sort_by(|(a, a_tasks), (b, b_tasks)| {
            let group = self.by.as_deref().map_or(Ordering::Equal, |by| place_of(a, by).cmp(place_of(b, by)));
            let of = |part: fn(&Amounts) -> f64| {
                more(share(part(&a.used), part(&a.total)), share(part(&b.used), part(&b.total)))
            };
            let order = match self.order {
                Order::Status => node_tone(&a.state).cmp(&node_tone(&b.state)),
                Order::Name => Ordering::Equal,
                Order::Tasks => b_tasks.cmp(a_tasks),
                Order::Cpu => of(|amounts| amounts.cpus),
                Order::Memory => of(|amounts| amounts.mem),
                Order::Disk => of(|amounts| amounts.disk),
            };
            group.then(order).then_with(|| a.hostname.cmp(&b.hostname)).then_with(|| a.id.cmp(&b.id))
        });
        let mut rows = Vec::with_capacity(nodes.len());
        match self.by.as_deref() {
            None => rows.extend(nodes.into_iter().map(|(node, tasks)| Row::Node(node, tasks))),
            Some(by) => {
                for group in nodes.chunk_by(|(a, _), (b, _)| place_of(a, by) == place_of(b, by)) {
                    let name = group.first().map_or("", |(node, _)| place_of(node, by));
                    let sum = |part: fn(&Node) -> f64| group.iter().map(|(node, _)| part(node)).sum::<f64>();
                    let given = share(sum(|node| node.used.cpus), sum(|node| node.total.cpus));
                    rows.push(Row::Group(format!("{by} {name}"), group.len(), Some(given)));
                    rows.extend(group.iter().map(|(node, tasks)| Row::Node(Arc::clone(node), *tasks)));
                }
            }
        }
        let mut leads = leads(cluster);
        leads.retain(|lead| filter.is_empty() || filter.fits(lead));
        if self.order == Order::Status && self.by.is_none() {
            // One that is not well stands with the agents that are not.
            for lead in leads {
                let at = rows
                    .iter()
                    .position(|row| matches!(row, Row::Node(node, _) if node_tone(&node.state) > lead.tone));
                let at = at.filter(|_| lead.tone < Tone::Good).unwrap_or(rows.len());
                rows.insert(at, Row::Lead(lead));
            }
        } else {
            if self.by.is_some() && !leads.is_empty() {
                rows.push(Row::Group("masters, coordinators".to_owned(), leads.len(), None));
            }
            rows.extend(leads.into_iter().map(Row::Lead));
        }
        rows
    }
}

impl crate::filter::Row for Lead {
    fn any(&self, fits: &dyn Fn(&str) -> bool) -> bool {
        fits(&self.name) || fits(&self.address) || fits(&self.state) || fits(self.kind)
    }

    fn text(&self, field: &str, fits: &dyn Fn(&str) -> bool) -> bool {
        match field {
            "status" => fits(&self.state),
            "node" => fits(&self.name),
            _ => false,
        }
    }

    fn number(&self, _field: &str) -> Option<f64> {
        None
    }

    fn label(&self, _key: &str) -> Option<&str> {
        None
    }
}

fn leads(cluster: &Cluster) -> Vec<Lead> {
    let mut leads = Vec::new();
    for (kind, key) in [("master", "masters"), ("coordinator", "coordinators")] {
        for entry in cluster.masters[key].as_array().into_iter().flatten() {
            let (tone, state) = lead_state(entry);
            leads.push(Lead {
                kind,
                name: lead_name(entry),
                address: entry["address"]
                    .as_str()
                    .map(|address| address.split_once("://").map_or(address, |(_, rest)| rest))
                    .unwrap_or_default()
                    .to_owned(),
                tone,
                state,
                days: entry["certificate_days"].as_i64(),
            });
        }
    }
    leads
}

/// The tasks on a node, those of a service together.
fn tasks_on(cluster: &Cluster, id: &str) -> Vec<Arc<Task>> {
    let mut tasks: Vec<_> = cluster.tasks_on(id).cloned().collect();
    tasks.sort_by(|a, b| a.service.cmp(&b.service).then_with(|| a.id.cmp(&b.id)));
    tasks
}

/// Takes a key; nothing when it has no use for it.
pub(crate) fn key(state: &mut State, key: KeyEvent) -> Option<Vec<Effect>> {
    if state.nodes.prompt.open {
        if state.nodes.prompt.key(key, FIELDS) {
            state.nodes.list = List::default();
        }
        return Some(Vec::new());
    }
    if state.nodes.open.is_some() {
        return open_key(state, key);
    }
    let count = state.nodes.rows(&state.cluster, state.now).len();
    state.nodes.list.clamp(count);
    let columns = if state.nodes.grid { grid_columns(state, page_place(state.size)) } else { 1 };
    let page = &mut state.nodes;
    let last = count.saturating_sub(1);
    match key.code {
        KeyCode::Char('j') | KeyCode::Down if page.grid => {
            page.list.cursor = (page.list.cursor + columns).min(last);
        }
        KeyCode::Char('k') | KeyCode::Up if page.grid => {
            page.list.cursor = page.list.cursor.saturating_sub(columns);
        }
        KeyCode::Char('l') | KeyCode::Right if page.grid => {
            page.list.cursor = (page.list.cursor + 1).min(last);
        }
        KeyCode::Char('h') | KeyCode::Left if page.grid => {
            page.list.cursor = page.list.cursor.saturating_sub(1);
        }
        _ if page.list.key(key, count) => {}
        KeyCode::Char('/') => page.prompt.open = true,
        KeyCode::Char('v') => page.grid = !page.grid,
        KeyCode::Char('o') => {
            let at = ORDERS.iter().position(|(order, _)| *order == page.order).unwrap_or(0);
            page.order = ORDERS[(at + 1) % ORDERS.len()].0;
        }
        KeyCode::Char('b') => {
            let ways = ways(&state.cluster);
            let next = match &page.by {
                None => 0,
                Some(by) => ways.iter().position(|way| way == by).map_or(ways.len(), |at| at + 1),
            };
            page.by = ways.get(next).cloned();
            page.list = List::default();
        }
        KeyCode::Esc | KeyCode::Char('q') if page.prompt.clear() => {}
        KeyCode::Enter => {
            let row = page.rows(&state.cluster, state.now).get(page.list.cursor).cloned();
            page.open = match row {
                Some(Row::Node(node, _)) => Some(Open::Node(node.id.clone())),
                Some(Row::Lead(lead)) => Some(Open::Lead(lead.kind, lead.name)),
                Some(Row::Group(..)) | None => None,
            };
            page.details = matches!(page.open, Some(Open::Lead(..)));
            page.inside = List::default();
        }
        KeyCode::Char('c') => {
            let row = page.rows(&state.cluster, state.now).get(page.list.cursor).cloned();
            let text = match row {
                Some(Row::Node(node, _)) => node.address.clone(),
                Some(Row::Lead(lead)) => lead.address,
                Some(Row::Group(..)) | None => return Some(Vec::new()),
            };
            state.say(Tone::Good, format!("copied {text}"));
            return Some(vec![Effect::Copy(text)]);
        }
        _ => return None,
    }
    Some(Vec::new())
}

fn open_key(state: &mut State, key: KeyEvent) -> Option<Vec<Effect>> {
    let open = state.nodes.open.clone()?;
    let count = match (&open, state.nodes.details) {
        (Open::Node(id), false) => state.cluster.tasks_on.get(id).map_or(0, BTreeSet::len),
        _ => details(state, &open).len(),
    };
    let page = &mut state.nodes;
    page.inside.clamp(count);
    if page.inside.key(key, count) {
        return Some(Vec::new());
    }
    match key.code {
        KeyCode::Tab | KeyCode::BackTab | KeyCode::Left | KeyCode::Right | KeyCode::Char('h' | 'l')
            if matches!(open, Open::Node(_)) =>
        {
            page.details = !page.details;
            page.inside = List::default();
        }
        KeyCode::Esc | KeyCode::Char('q') => page.open = None,
        KeyCode::Enter if !page.details => {
            let Open::Node(id) = open else { return Some(Vec::new()) };
            let task = tasks_on(&state.cluster, &id).into_iter().nth(page.inside.cursor);
            return Some(task.map_or_else(Vec::new, |task| state.open_service(&task.service)));
        }
        KeyCode::Enter => {}
        KeyCode::Char('c') => {
            let text = match open {
                Open::Node(id) | Open::Lead(_, id) => id,
            };
            state.say(Tone::Good, format!("copied {text}"));
            return Some(vec![Effect::Copy(text)]);
        }
        _ => return None,
    }
    Some(Vec::new())
}

/// The list, and what is opened.
fn places(state: &State, place: Rect) -> (Rect, Rect) {
    let none = Rect { width: 0, height: 0, ..place };
    match (&state.nodes.open, place.width > 160) {
        (None, _) => (place, none),
        (Some(_), false) => (none, place),
        (Some(_), true) => {
            let [a, b] = Layout::horizontal([Constraint::Percentage(54), Constraint::Fill(1)]).areas(place);
            (a, b)
        }
    }
}

/// Something was clicked at that place of the screen.
pub(crate) fn click(state: &mut State, column: u16, row: u16) -> Vec<Effect> {
    let at = Position::new(column, row);
    let (list, detail) = places(state, page_place(state.size));
    if list.contains(at) && row > list.y + 1 && !state.nodes.grid {
        let count = state.nodes.rows(&state.cluster, state.now).len();
        let chosen = state.nodes.list.row_at(usize::from(row - list.y - 2));
        if chosen < count {
            let again = state.nodes.list.cursor == chosen || state.nodes.open.is_some();
            state.nodes.list.cursor = chosen;
            if again {
                state.nodes.open = None;
                return key(state, KeyCode::Enter.into()).unwrap_or_default();
            }
        }
    } else if detail.contains(at) && row > detail.y + 4 {
        let chosen = state.nodes.inside.row_at(usize::from(row - detail.y - 5));
        let again = state.nodes.inside.cursor == chosen;
        state.nodes.inside.cursor = chosen;
        if again {
            return key(state, KeyCode::Enter.into()).unwrap_or_default();
        }
    }
    Vec::new()
}

pub(crate) fn draw(state: &State, place: Rect, canvas: &mut Buffer) {
    if let Some((tone, text)) = unread(state) {
        let inside = panel(state, "Nodes", true, place, canvas);
        return sentence(state, tone, &text, inside, canvas);
    }
    let (list, detail) = places(state, place);
    if list.height > 0 {
        draw_list(state, list, canvas);
    }
    if let Some(open) = state.nodes.open.as_ref().filter(|_| detail.height > 0) {
        draw_open(state, open, detail, canvas);
    }
}

fn draw_list(state: &State, place: Rect, canvas: &mut Buffer) {
    let page = &state.nodes;
    let rows = page.rows(&state.cluster, state.now);
    let by = page.by.as_ref().map(|by| format!(" · by {by}")).unwrap_or_default();
    let order = ORDERS.iter().find(|(order, _)| *order == page.order).map_or("", |(_, name)| name);
    let chip = page.prompt.chip().map(|chip| format!(" · {chip}")).unwrap_or_default();
    let title = format!("Nodes · agents {}{by} · sorted by {order}{chip}", state.cluster.nodes.len());
    let inside = panel(state, &title, page.open.is_none(), place, canvas);
    if rows.is_empty() {
        let text = if page.prompt.typed.is_empty() {
            "No agent has registered yet. `clusterctl install` puts agents on hosts, `clusterctl agent` runs one here."
        } else {
            "No node fits the filter; esc shows all. status:, zone:, label:rack=r1, cpu:>80, tasks:0 are understood."
        };
        return sentence(state, Tone::Off, text, inside, canvas);
    }
    if page.grid {
        draw_grid(state, &rows, inside, canvas);
    } else {
        draw_table(state, &rows, inside, canvas);
    }
}

/// How wide the columns are.
struct Columns {
    node: usize,
    address: usize,
    status: usize,
    zone: usize,
    bar: usize,
    version: usize,
}

impl Columns {
    fn new(wide: usize) -> Self {
        let (address, zone, version) = match wide {
            ..90 => (0, 0, 0),
            90..130 => (22, 10, 8),
            _ => (22, 14, 10),
        };
        let bar = match wide {
            ..90 => 5,
            90..130 => 6,
            _ => 10,
        };
        let status = 17;
        let gaps = [address, zone, version].into_iter().filter(|columns| *columns > 0).count();
        let taken = 2 + address + status + zone + 6 + 3 * (bar + 6) + version + gaps + 4;
        Self { node: wide.saturating_sub(taken).clamp(8, 40), address, status, zone, bar, version }
    }

    fn line(
        &self,
        look: Look,
        [node, address, status, zone, tasks, version]: [&str; 6],
        shares: [Option<f64>; 3],
        glyph: Option<Tone>,
    ) -> Line<'static> {
        let optional = |text: &str, columns: usize| {
            if columns > 0 { format!("{} ", pad(text, columns)) } else { String::new() }
        };
        let tone = glyph.map_or(look.dim(), |tone| look.tone(tone));
        let mark = glyph.map_or(String::new(), |tone| format!("{} ", look.glyph(tone)));
        let mut spans = vec![
            Span::raw(format!(" {} {}", pad(node, self.node), optional(address, self.address))),
            Span::styled(format!("{} ", pad(&format!("{mark}{status}"), self.status)), tone),
            Span::raw(format!("{}{} ", optional(zone, self.zone), right(tasks, 5))),
        ];
        for share in shares {
            match share {
                Some(share) => {
                    let tone = if share >= 0.9 { Tone::Look } else { Tone::Good };
                    spans.push(Span::styled(look.bar(share, self.bar), look.tone(tone)));
                    spans.push(Span::raw(right(&format!("{:.0}% ", share * 100.0), 6)));
                }
                None => spans.push(Span::raw(" ".repeat(self.bar + 6))),
            }
        }
        spans.push(Span::raw(optional(version, self.version)));
        Line::from(spans)
    }
}

/// Zone, or rack where there is none.
fn where_is(node: &Node) -> String {
    let rack = node.attributes.get("rack");
    match (&node.zone, rack) {
        (Some(zone), Some(rack)) => format!("{zone}/{rack}"),
        (Some(place), None) | (None, Some(place)) => place.clone(),
        (None, None) => "-".to_owned(),
    }
}

fn draw_table(state: &State, rows: &[Row], place: Rect, canvas: &mut Buffer) {
    let look = state.look();
    let columns = Columns::new(usize::from(place.width));
    let bars = columns.bar + 6;
    let optional = |text: &str, columns: usize| {
        if columns > 0 { format!("{} ", pad(text, columns)) } else { String::new() }
    };
    let head = format!(
        " {} {}{} {}{} {}{}{}{}",
        pad("NODE", columns.node),
        optional("ADDRESS", columns.address),
        pad("STATUS", columns.status),
        optional("ZONE/RACK", columns.zone),
        right("TASKS", 5),
        pad("CPU", bars),
        pad("MEM", bars),
        pad("DISK", bars),
        optional("VERSION", columns.version),
    );
    canvas.set_stringn(place.x, place.y, head, usize::from(place.width), look.dim());
    let list = Rect { y: place.y + 1, height: place.height.saturating_sub(1), ..place };
    let cursor = state.nodes.list.cursor.min(rows.len() - 1);
    let plain = |text: &str| look.plain(&clean(text));
    for (row, at) in list.rows().zip(state.nodes.list.window(rows.len(), usize::from(list.height))) {
        match &rows[at] {
            Row::Group(name, count, given) => {
                let given = given.map(|given| format!(" · {:.0} % of the cores", given * 100.0));
                let s = if *count == 1 { "" } else { "s" };
                let text = plain(&format!(" ▾ {name} · {count} node{s}{}", given.unwrap_or_default()));
                canvas.set_stringn(row.x, row.y, text, usize::from(row.width), look.strong());
            }
            Row::Node(node, tasks) => {
                let shares = [
                    share(node.used.cpus, node.total.cpus),
                    share(node.used.mem, node.total.mem),
                    share(node.used.disk, node.total.disk),
                ];
                let texts = [
                    &plain(&node.hostname),
                    &plain(&node.address),
                    &plain(&node.state),
                    &plain(&where_is(node)),
                    &tasks.to_string(),
                    &plain(&node.version),
                ];
                columns
                    .line(look, texts.map(String::as_str), shares.map(Some), Some(node_tone(&node.state)))
                    .render(row, canvas);
            }
            Row::Lead(lead) => {
                let texts = [&plain(&lead.name), &plain(&lead.address), &plain(&lead.state)];
                let [name, address, status] = texts.map(String::as_str);
                let line = columns.line(
                    look,
                    [name, address, status, lead.kind, "", ""],
                    [None; 3],
                    Some(lead.tone),
                );
                line.render(row, canvas);
                if columns.zone < lead.kind.len() {
                    let x = row.x + u16::try_from(columns.node + columns.status + 3).unwrap_or(u16::MAX);
                    let x = x.saturating_add(if columns.address > 0 {
                        u16::try_from(columns.address + 1).unwrap_or(u16::MAX)
                    } else {
                        0
                    });
                    let room = usize::from(row.right().saturating_sub(x));
                    canvas.set_stringn(x, row.y, lead.kind, room, look.dim());
                }
            }
        }
        if at == cursor && state.nodes.open.is_none() {
            canvas.set_style(row, look.selected());
        } else if at == cursor {
            canvas.set_style(row, look.strong());
        }
    }
}

/// How wide a cell of the grid is.
const CELL: usize = 12;

fn grid_columns(state: &State, place: Rect) -> usize {
    let (list, _) = places(state, place);
    (usize::from(list.width.saturating_sub(3)) / CELL).max(1)
}

/// How full: four shades.
fn shade(look: Look, share: f64) -> &'static str {
    let shades: [&str; 5] =
        if look.ascii { ["_", ".", ":", "+", "#"] } else { ["·", "░", "▒", "▓", "█"] };
    match share {
        ..0.02 => shades[0],
        ..0.25 => shades[1],
        ..0.5 => shades[2],
        ..0.85 => shades[3],
        _ => shades[4],
    }
}

/// A cell for each node: its state, its name, and how much of it is given.
fn draw_grid(state: &State, rows: &[Row], place: Rect, canvas: &mut Buffer) {
    let look = state.look();
    let columns = (usize::from(place.width.saturating_sub(1)) / CELL).max(1);
    // Lines of cells; a group begins a new one.
    let mut lines: Vec<std::ops::Range<usize>> = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        let alone = matches!(row, Row::Group(..));
        match lines.last_mut() {
            Some(line) if !alone && line.len() < columns && !matches!(rows[line.start], Row::Group(..)) => {
                line.end = at + 1;
            }
            _ => lines.push(at..at + 1),
        }
    }
    let cursor = state.nodes.list.cursor.min(rows.len() - 1);
    let on = lines.iter().position(|line| line.contains(&cursor)).unwrap_or(0);
    let legend = usize::from(place.height > 4);
    let height = usize::from(place.height) - legend;
    // The line with the cursor is in the middle where there are more than fit.
    let first = on.saturating_sub(height / 2).min(lines.len().saturating_sub(height));
    for (row, line) in place.rows().zip(lines.iter().skip(first).take(height)) {
        for (column, at) in line.clone().enumerate() {
            let x = row.x + 1 + u16::try_from(column * CELL).unwrap_or(u16::MAX);
            let (tone, name, full) = match &rows[at] {
                Row::Group(name, count, _) => {
                    let text = look.plain(&clean(&format!("{name} · {count}")));
                    canvas.set_stringn(x, row.y, text, usize::from(row.width), look.strong());
                    if at == cursor {
                        canvas.set_style(row, look.selected());
                    }
                    continue;
                }
                Row::Node(node, _) => {
                    let cpus = share(node.used.cpus, node.total.cpus);
                    let full = cpus.max(share(node.used.mem, node.total.mem));
                    (node_tone(&node.state), node.hostname.as_str(), shade(look, full))
                }
                Row::Lead(lead) => (lead.tone, lead.name.as_str(), " "),
            };
            let name = look.plain(&crate::text::fit(&clean(name), CELL - 4));
            let style = if at == cursor { look.selected() } else { look.tone(tone) };
            let text = format!("{}{name}{full}", look.glyph(tone));
            canvas.set_stringn(x, row.y, text, CELL - 1, style);
        }
    }
    if legend > 0 {
        let text = format!(
            " given to tasks: {} nearly nothing  {} to 25 %  {} to 50 %  {} to 85 %  {} more",
            shade(look, 0.0),
            shade(look, 0.1),
            shade(look, 0.3),
            shade(look, 0.6),
            shade(look, 1.0)
        );
        let y = place.bottom() - 1;
        canvas.set_stringn(place.x, y, text, usize::from(place.width), look.dim());
    }
}

/// Everything that is known of what is open: names and values.
fn details(state: &State, open: &Open) -> Vec<(String, String)> {
    let pair = |name: &str, value: String| (name.to_owned(), value);
    match open {
        Open::Node(id) => {
            let Some(node) = state.cluster.nodes.get(id) else { return Vec::new() };
            let amounts = |amounts: &Amounts| {
                format!(
                    "{:.1} cores, {} memory, {} disk",
                    amounts.cpus,
                    mebibytes(amounts.mem),
                    mebibytes(amounts.disk)
                )
            };
            let none = || "-".to_owned();
            let mut pairs = vec![
                pair("id", node.id.clone()),
                pair("host", node.hostname.clone()),
                pair("address", node.address.clone()),
                pair("state", node.state.clone()),
                pair("since", format!("{} ago", age(state.now.saturating_sub(node.since)))),
                pair("region", node.region.clone().unwrap_or_else(none)),
                pair("zone", node.zone.clone().unwrap_or_else(none)),
                pair("version", node.version.clone()),
                pair("has", amounts(&node.total)),
                pair("given to tasks", amounts(&node.used)),
            ];
            let attributes = node.attributes.iter();
            pairs.extend(attributes.map(|(name, value)| (format!("attribute {name}"), value.clone())));
            pairs
        }
        Open::Lead(kind, name) => {
            let leads = leads(&state.cluster);
            let Some(lead) = leads.iter().find(|lead| lead.kind == *kind && lead.name == *name) else {
                return Vec::new();
            };
            let mut pairs = vec![
                pair("name", lead.name.clone()),
                pair("role", lead.kind.to_owned()),
                pair("address", lead.address.clone()),
                pair("state", lead.state.clone()),
            ];
            if let Some(days) = lead.days {
                pairs.push(pair("certificate ends in", format!("{days} days")));
            }
            pairs
        }
    }
}

fn draw_open(state: &State, open: &Open, place: Rect, canvas: &mut Buffer) {
    let look = state.look();
    let page = &state.nodes;
    let node = match open {
        Open::Node(id) => state.cluster.nodes.get(id),
        Open::Lead(..) => None,
    };
    let title = match (open, node) {
        (_, Some(node)) => {
            let glyph = look.glyph(node_tone(&node.state));
            format!("{} · {glyph} {}", node.hostname, node.state)
        }
        (Open::Node(id), None) => id.clone(),
        (Open::Lead(kind, name), _) => format!("{kind} {name}"),
    };
    let inside = panel(state, &title, true, place, canvas);
    let pairs = details(state, open);
    if pairs.is_empty() {
        let text = "It is no part of the cluster any more; esc goes back to the list.";
        return sentence(state, Tone::Look, text, inside, canvas);
    }
    let [uses, tabs, body] =
        Layout::vertical([Constraint::Length(2), Constraint::Length(1), Constraint::Fill(1)]).areas(inside);
    let body = match node {
        Some(node) => {
            draw_amounts(look, node, uses, canvas);
            let count = state.cluster.tasks_on.get(&node.id).map_or(0, BTreeSet::len);
            let tab = |name: String, on: bool| {
                Span::styled(format!(" {name} "), if on { look.selected() } else { look.dim() })
            };
            Line::from_iter([
                Span::raw(" "),
                tab(format!("Tasks {count}"), !page.details),
                Span::raw(" "),
                tab("Details".into(), page.details),
            ])
            .render(tabs, canvas);
            body
        }
        None => inside,
    };
    if let Some(node) = node.filter(|_| !page.details) {
        return draw_tasks(state, node, body, canvas);
    }
    let names = pairs.iter().map(|(name, _)| width(name)).max().unwrap_or(0).min(30);
    for (row, at) in body.rows().zip(page.inside.window(pairs.len(), usize::from(body.height))) {
        let (name, value) = &pairs[at];
        Line::from_iter([
            Span::styled(format!(" {}  ", pad(&look.plain(&clean(name)), names)), look.dim()),
            Span::raw(look.plain(&clean(value))),
        ])
        .render(row, canvas);
        if at == page.inside.cursor.min(pairs.len() - 1) {
            canvas.set_style(row, look.selected());
        }
    }
}

fn draw_amounts(look: Look, node: &Node, place: Rect, canvas: &mut Buffer) {
    let (used, total) = (&node.used, &node.total);
    let bar = if place.width >= 100 { 10 } else { 6 };
    let part = |name: &str, used: f64, total: f64, text: String| {
        let share = share(used, total);
        let tone = if share >= 0.9 { Tone::Look } else { Tone::Good };
        [
            Span::styled(format!(" {name} "), look.dim()),
            Span::styled(look.bar(share, bar), look.tone(tone)),
            Span::raw(format!(" {text}  ")),
        ]
    };
    let cores = format!("{:.1} of {:.1}", used.cpus, total.cpus);
    let memory = format!("{} of {}", mebibytes(used.mem), mebibytes(total.mem));
    let disk = format!("{} of {}", mebibytes(used.disk), mebibytes(total.disk));
    let [cpu, mem, disk] = [
        part("CPU", used.cpus, total.cpus, cores),
        part("MEM", used.mem, total.mem, memory),
        part("DISK", used.disk, total.disk, disk),
    ];
    let [first, second] = Layout::vertical([Constraint::Length(1); 2]).areas(place);
    Line::from_iter(cpu.into_iter().chain(mem)).render(first, canvas);
    Line::from_iter(disk).render(second, canvas);
}

fn draw_tasks(state: &State, node: &Node, place: Rect, canvas: &mut Buffer) {
    let look = state.look();
    let tasks = tasks_on(&state.cluster, &node.id);
    if tasks.is_empty() {
        return sentence(state, Tone::Off, "Nothing runs here.", place, canvas);
    }
    let wide = usize::from(place.width);
    let rest = wide.saturating_sub(18 + 9 + 5);
    let (task_wide, service_wide) = (rest / 2, rest - rest / 2);
    let head = format!(
        " {} {} {} {}",
        pad("TASK", task_wide),
        pad("SERVICE", service_wide),
        pad("STATE", 18),
        right("AGE", 8)
    );
    canvas.set_stringn(place.x, place.y, head, wide, look.dim());
    let list = Rect { y: place.y + 1, height: place.height.saturating_sub(1), ..place };
    let cursor = state.nodes.inside.cursor.min(tasks.len() - 1);
    for (row, at) in list.rows().zip(state.nodes.inside.window(tasks.len(), usize::from(list.height))) {
        let task = &tasks[at];
        let plain = |text: &str| look.plain(&clean(text));
        let health = if task.healthy == Some(false) { " unhealthy" } else { "" };
        let since = task.started.unwrap_or(task.staged);
        let tone = task_tone(task);
        Line::from_iter([
            Span::raw(format!(
                " {} {} ",
                pad(&plain(&short(&task.id)), task_wide),
                pad(&plain(&task.service), service_wide)
            )),
            Span::styled(
                format!("{} {} ", look.glyph(tone), pad(&format!("{}{health}", word(&task.state)), 16)),
                look.tone(tone),
            ),
            Span::raw(right(&age(state.now.saturating_sub(since)), 8)),
        ])
        .render(row, canvas);
        if at == cursor {
            canvas.set_style(row, look.selected());
        }
    }
}
