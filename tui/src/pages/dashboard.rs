//! The dashboard proper: how much is in use, what needs attention, what is under way.

use std::cell::{Ref, RefCell};
use std::cmp::Reverse;
use std::sync::Arc;

use api::watch::{Node, Service};
use crossterm::event::{KeyCode, KeyEvent};
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Position, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;
use serde_json::Value;

use super::{deployments, events};
use crate::Effect;
use crate::cluster::{Cluster, SAMPLES, node_tone, service_status};
use crate::draw::{page_place, panel, sentence, unread};
use crate::keys::{Binding, looks};
use crate::list::List;
use crate::state::{Page, State};
use crate::text::{age, clean, mebibytes, pad, right};
use crate::theme::Tone;

/// How long a failure needs attention, in milliseconds.
const RECENT: u64 = 600_000;

/// The panels, in the order of `tab`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Panel {
    #[default]
    Attention,
    Progress,
    Events,
    Use,
    Tasks,
    Nodes,
    Masters,
}

const PANELS: [Panel; 7] = [
    Panel::Attention,
    Panel::Progress,
    Panel::Events,
    Panel::Use,
    Panel::Tasks,
    Panel::Nodes,
    Panel::Masters,
];

/// What this page remembers.
#[derive(Debug, Default)]
pub(crate) struct Dashboard {
    focus: Panel,
    /// The panel with the keys takes the whole page.
    whole: bool,
    attention: List,
    progress: List,
    events: List,
    /// What needs attention, and of which cluster and time that was made.
    kept: RefCell<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    made_of: Option<(u64, u64)>,
    rows: Vec<Attention>,
}

/// Something to look at.
#[derive(Clone, Debug)]
struct Attention {
    tone: Tone,
    /// Since when, in milliseconds since 1970.
    since: u64,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Unhealthy(Arc<Service>),
    Waiting(Arc<Service>),
    Failed(Arc<Service>),
    Deploying(Arc<Service>),
    Node(Arc<Node>),
    /// A master or coordinator: which, and what of it.
    Leads(String, String),
}

fn words<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

fn entries<'v>(cluster: &'v Cluster, key: &str) -> impl Iterator<Item = &'v Value> {
    cluster.masters[key].as_array().into_iter().flatten()
}

/// How a master or coordinator is: tone and word.
pub(crate) fn lead_state(entry: &Value) -> (Tone, String) {
    let leads = entry["leader"] == Value::Bool(true);
    match words(entry, "state") {
        _ if leads => (Tone::Good, "leader".to_owned()),
        "leader" => (Tone::Good, "leader".to_owned()),
        _ if entry["error"].is_string() => (Tone::Bad, "does not answer".to_owned()),
        "" | "standby" => (Tone::Good, "standby".to_owned()),
        "follower" => (Tone::Good, "follower".to_owned()),
        "unreachable" => (Tone::Bad, "does not answer".to_owned()),
        other => (Tone::Bad, other.to_owned()),
    }
}

/// What a master or coordinator is called.
pub(crate) fn lead_name(entry: &Value) -> String {
    let id = words(entry, "id");
    if id.is_empty() { words(entry, "address") } else { id }.to_owned()
}

/// What needs attention at that time, the worst first, then the newest.
fn attention(cluster: &Cluster, now: u64) -> Vec<Attention> {
    let mut rows = Vec::new();
    let mut add = |tone, since, what| rows.push(Attention { tone, since, what });
    for service in cluster.services.values() {
        let recent = service.failure.as_ref().filter(|failure| now.saturating_sub(failure.at) < RECENT);
        let (tone, status) = service_status(service);
        if status == "ending" {
            continue;
        }
        if service.unhealthy > 0 {
            let since = recent.map_or(now, |failure| failure.at);
            add(Tone::Bad, since, What::Unhealthy(Arc::clone(service)));
        } else if let Some(waiting) = service.waiting.as_ref().filter(|_| service.staged == 0) {
            // With nothing running it is as good as down.
            let down = service.running == 0 && recent.is_some();
            add(if down { Tone::Bad } else { Tone::Look }, waiting.since, What::Waiting(Arc::clone(service)));
        } else if let Some(failure) = recent {
            let down = service.running == 0 && service.instances > 0;
            add(if down { Tone::Bad } else { Tone::Look }, failure.at, What::Failed(Arc::clone(service)));
        } else if tone == Tone::Moving && service.deployment.is_some() {
            let began = cluster.deployments.iter().find(|all| service.deployment.as_deref() == Some(&all.id));
            let since = began.and_then(deployments::began).unwrap_or(now);
            add(Tone::Moving, since, What::Deploying(Arc::clone(service)));
        }
    }
    for node in cluster.nodes.values().filter(|node| node.state != "active") {
        add(node_tone(&node.state), node.since, What::Node(Arc::clone(node)));
    }
    for (kind, key) in [("master", "masters"), ("coordinator", "coordinators")] {
        for entry in entries(cluster, key) {
            let (tone, state) = lead_state(entry);
            let name = format!("{kind} {}", lead_name(entry));
            if tone != Tone::Good {
                add(tone, now, What::Leads(name.clone(), state));
            }
            if let Some(days) = entry["certificate_days"].as_i64().filter(|days| *days < 30) {
                let tone = if days < 3 { Tone::Bad } else { Tone::Look };
                add(tone, now, What::Leads(name, format!("its certificate ends in {days} days")));
            }
        }
    }
    rows.sort_by_key(|row| (row.tone, Reverse(row.since)));
    rows
}

impl Attention {
    /// Whom it is about, and what of it.
    fn texts(&self, cluster: &Cluster) -> (String, String) {
        let of = |service: &Service| format!("{} {}/{}", service.id, service.running, service.instances);
        match &self.what {
            What::Unhealthy(service) => {
                let why = match &service.failure {
                    Some(failure) => format!("; last failure on {}: {}", failure.host, failure.message),
                    None => String::new(),
                };
                (of(service), format!("unhealthy: {} of {} running{why}", service.unhealthy, service.running))
            }
            What::Waiting(service) => {
                let Some(waiting) = &service.waiting else { return (of(service), "waiting".to_owned()) };
                let mut why = waiting.why.clone();
                let mut declined: Vec<_> = waiting.declined.iter().collect();
                declined.sort_by_key(|(_, count)| Reverse(**count));
                let declined: Vec<_> = declined.iter().map(|(why, count)| format!("{why} {count}")).collect();
                if why.is_empty() {
                    why = declined.join(", ");
                } else if !declined.is_empty() {
                    why = format!("{why} ({})", declined.join(", "));
                }
                (of(service), format!("waiting for room for {}: {why}", waiting.count))
            }
            What::Failed(service) => {
                let Some(failure) = &service.failure else { return (of(service), "failed".to_owned()) };
                let state = crate::cluster::word(&failure.state);
                (of(service), format!("{state} on {}: {}", failure.host, failure.message))
            }
            What::Deploying(service) => {
                let held = service.deployment.as_deref();
                let doing = cluster.deployments.iter().find(|all| held == Some(&all.id));
                let text = doing.map_or("deploying".to_owned(), |all| {
                    format!("deploying, step {} of {}: {}", all.step, all.steps, deployments::doing(all))
                });
                (of(service), text)
            }
            What::Node(node) => {
                let tasks = cluster.tasks_on.get(&node.id).map_or(0, std::collections::BTreeSet::len);
                let tasks = format!("{tasks} task{}", if tasks == 1 { "" } else { "s" });
                (format!("node {}", node.hostname), format!("{}, {tasks} on it", node.state))
            }
            What::Leads(name, what) => (name.clone(), what.clone()),
        }
    }
}

impl Dashboard {
    fn attention(&self, cluster: &Cluster, now: u64) -> Ref<'_, Vec<Attention>> {
        // Failures grow old: that is looked at every ten seconds.
        let made_of = Some((cluster.generation, now / 10_000));
        if self.kept.borrow().made_of != made_of {
            *self.kept.borrow_mut() = Kept { made_of, rows: attention(cluster, now) };
        }
        Ref::map(self.kept.borrow(), |kept| &kept.rows)
    }
}

/// What keys do here.
pub(crate) fn bindings(state: &State) -> Vec<Binding> {
    let page = &state.dashboard;
    vec![
        looks("tab", "next panel"),
        looks("enter", "open"),
        looks("z", if page.whole { "all panels" } else { "expand panel" }),
        looks("p", if state.paused.is_some() { "go on" } else { "pause" }),
    ]
}

/// Where the panels are on a page of that size; those that are missing have no room.
fn places(page: &Dashboard, place: Rect) -> Vec<(Panel, Rect)> {
    if page.whole {
        return vec![(page.focus, place)];
    }
    let narrow = place.width < 100;
    let (use_rows, small_rows) = match place.height {
        0..16 => (3, 0),
        16..28 => (4, 4),
        28..40 => (7, 5),
        _ => (9, 6),
    };
    let rest = place.height.saturating_sub(use_rows + small_rows);
    let events = (rest * 2 / 5).max(3);
    let [uses, small, middle, below] = Layout::vertical([
        Constraint::Length(use_rows),
        Constraint::Length(small_rows),
        Constraint::Fill(1),
        Constraint::Length(events),
    ])
    .areas(place);
    let mut places = Vec::new();
    if narrow {
        places.push((Panel::Attention, middle));
    } else {
        let [left, side] =
            Layout::horizontal([Constraint::Percentage(67), Constraint::Fill(1)]).areas(middle);
        places.extend([(Panel::Attention, left), (Panel::Progress, side)]);
    }
    places.extend([(Panel::Events, below), (Panel::Use, uses)]);
    if small_rows > 0 {
        let three = if narrow {
            [Constraint::Percentage(40), Constraint::Fill(1), Constraint::Length(0)]
        } else {
            [Constraint::Ratio(1, 3); 3]
        };
        let [tasks, nodes, masters] = Layout::horizontal(three).areas(small);
        places.extend([(Panel::Tasks, tasks), (Panel::Nodes, nodes)]);
        if !narrow {
            places.push((Panel::Masters, masters));
        }
    }
    places
}

/// Opens what is under the cursor of the panel with the keys.
fn enter(state: &mut State) -> Vec<Effect> {
    match state.dashboard.focus {
        Panel::Attention => {
            let row = {
                let rows = state.dashboard.attention(&state.cluster, state.now);
                let at = state.dashboard.attention.cursor.min(rows.len().saturating_sub(1));
                rows.get(at).map(|row| row.what.clone())
            };
            match row {
                Some(
                    What::Unhealthy(service)
                    | What::Waiting(service)
                    | What::Failed(service)
                    | What::Deploying(service),
                ) => state.open_service(&service.id),
                Some(What::Node(node)) => state.open_node(&node.id),
                Some(What::Leads(..)) => state.go(Page::Nodes),
                None => Vec::new(),
            }
        }
        Panel::Progress => {
            let at = state.dashboard.progress.cursor;
            if let Some(id) = state.cluster.deployments.get(at).map(|deployment| deployment.id.clone()) {
                deployments::show(state, &id);
            }
            state.go(Page::Deployments)
        }
        Panel::Events => {
            let at = state.dashboard.events.cursor;
            match state.cluster.events.iter().rev().nth(at).cloned() {
                Some(event) => events::open(state, &event),
                None => state.go(Page::Events),
            }
        }
        Panel::Tasks => state.go(Page::Services),
        Panel::Use | Panel::Nodes | Panel::Masters => state.go(Page::Nodes),
    }
}

/// Takes a key; nothing when it has no use for it.
pub(crate) fn key(state: &mut State, key: KeyEvent) -> Option<Vec<Effect>> {
    let attention = state.dashboard.attention(&state.cluster, state.now).len();
    let deployments = state.cluster.deployments.len();
    let happened = state.cluster.events.len();
    let page = &mut state.dashboard;
    let moved = match page.focus {
        Panel::Attention => page.attention.key(key, attention),
        Panel::Progress => page.progress.key(key, deployments),
        Panel::Events => page.events.key(key, happened),
        _ => false,
    };
    if moved {
        return Some(Vec::new());
    }
    match key.code {
        KeyCode::Tab | KeyCode::BackTab => {
            // A panel that is expanded gives way to the next one, also to one that has no room beside others.
            let order: Vec<Panel> = if page.whole {
                PANELS.to_vec()
            } else {
                places(page, page_place(state.size)).into_iter().map(|(panel, _)| panel).collect()
            };
            let at = order.iter().position(|panel| *panel == page.focus).unwrap_or(0);
            let step = if key.code == KeyCode::Tab { 1 } else { order.len().saturating_sub(1) };
            if let Some(next) = order.get((at + step) % order.len().max(1)) {
                page.focus = *next;
            }
        }
        KeyCode::Char('z') => page.whole = !page.whole,
        KeyCode::Esc | KeyCode::Char('q') if page.whole => page.whole = false,
        KeyCode::Enter => return Some(enter(state)),
        _ => return None,
    }
    Some(Vec::new())
}

/// Something was clicked at that place of the screen.
pub(crate) fn click(state: &mut State, column: u16, row: u16) -> Vec<Effect> {
    let at = Position::new(column, row);
    let places = places(&state.dashboard, page_place(state.size));
    let Some((panel, place)) = places.into_iter().find(|(_, place)| place.contains(at)) else {
        return Vec::new();
    };
    let before = state.dashboard.focus;
    state.dashboard.focus = panel;
    let line = row.saturating_sub(place.y + 1);
    let page = &mut state.dashboard;
    let (list, line) = match panel {
        Panel::Attention => (&mut page.attention, line),
        Panel::Progress => (&mut page.progress, line / 2),
        Panel::Events => (&mut page.events, line),
        _ => return Vec::new(),
    };
    let chosen = list.row_at(usize::from(line));
    let again = before == panel && list.cursor == chosen;
    list.cursor = chosen;
    if again { enter(state) } else { Vec::new() }
}

pub(crate) fn draw(state: &State, place: Rect, canvas: &mut Buffer) {
    if let Some((tone, text)) = unread(state) {
        let inside = panel(state, "Dashboard", true, place, canvas);
        return sentence(state, tone, &text, inside, canvas);
    }
    for (which, place) in places(&state.dashboard, place) {
        if place.height < 2 || place.width < 4 {
            continue;
        }
        let focused = state.dashboard.focus == which;
        match which {
            Panel::Use => draw_use(state, focused, place, canvas),
            Panel::Tasks => draw_tasks(state, focused, place, canvas),
            Panel::Nodes => draw_nodes(state, focused, place, canvas),
            Panel::Masters => draw_masters(state, focused, place, canvas),
            Panel::Attention => draw_attention(state, focused, place, canvas),
            Panel::Progress => draw_progress(state, focused, place, canvas),
            Panel::Events => draw_events(state, focused, place, canvas),
        }
    }
}

/// Shares of what was given to tasks, and how they were in the past minute.
fn draw_use(state: &State, focused: bool, place: Rect, canvas: &mut Buffer) {
    let look = state.look();
    let (used, total) = (state.cluster.used, state.cluster.total);
    let cores = |of: f64| format!("{:.1}", of).trim_end_matches(".0").to_owned();
    let three = Layout::horizontal([Constraint::Ratio(1, 3); 3]).split(place);
    let kinds = [
        ("CPU", used.cpus, total.cpus, format!("{} of {} cores", cores(used.cpus), cores(total.cpus))),
        ("Memory", used.mem, total.mem, of_sizes(used.mem, total.mem)),
        ("Disk", used.disk, total.disk, of_sizes(used.disk, total.disk)),
    ];
    for (at, ((name, used, total, amount), place)) in kinds.into_iter().zip(three.iter()).enumerate() {
        let wide = usize::from(place.width.saturating_sub(4));
        let title =
            if wide > 34 { format!("{name} allocated · last 60 s") } else { format!("{name} allocated") };
        let inside = panel(state, &title, focused, *place, canvas);
        let share = if total > 0.0 { used / total } else { 0.0 };
        let tone = if share >= 0.9 { Tone::Look } else { Tone::Good };
        let percent = format!("{:.0} %", share * 100.0);
        let mut rows =
            inside.rows().map(|row| Rect { x: row.x + 1, width: row.width.saturating_sub(2), ..row });
        let Some(first) = rows.next() else { continue };
        Line::from_iter([Span::styled(percent, look.tone(tone)), Span::raw("  "), Span::raw(amount)])
            .render(first, canvas);
        let mut rows: Vec<Rect> = rows.collect();
        if rows.len() >= 4
            && let Some(axis) = rows.pop()
        {
            let now = right("now", wide.saturating_sub(5));
            canvas.set_stringn(axis.x, axis.y, format!("-60 s{now}"), wide, look.dim());
        }
        let height = rows.len();
        for (line, row) in rows.into_iter().enumerate() {
            for column in 0..wide {
                let Some(share) = sample(&state.cluster, at, column, wide) else { continue };
                let level = share * height as f64 - (height - 1 - line) as f64;
                let x = row.x + u16::try_from(column).unwrap_or(u16::MAX);
                canvas.set_stringn(x, row.y, look.spark(level), 1, look.tone(tone));
            }
        }
    }
}

/// The share of a kind in a column of `wide` that are the past minute.
fn sample(cluster: &Cluster, kind: usize, column: usize, wide: usize) -> Option<f64> {
    let slot = (column * SAMPLES + SAMPLES - 1) / wide.max(1);
    let slot = slot.min(SAMPLES - 1);
    let missing = SAMPLES - cluster.history.len().min(SAMPLES);
    cluster.history.get(slot.checked_sub(missing)?).map(|shares| shares[kind])
}

/// `460 of 640 GiB`: the unit once where both have the same.
fn of_sizes(used: f64, total: f64) -> String {
    let short = |size: f64| {
        let text = mebibytes(size);
        match text.split_once(' ').map(|(number, unit)| (number.split_once('.'), unit)) {
            // A tenth of some hundreds tells nothing.
            Some((Some((whole, part)), unit)) if part == "0" || whole.len() > 2 => format!("{whole} {unit}"),
            _ => text,
        }
    };
    let (used, total) = (short(used), short(total));
    match (used.split_once(' '), total.split_once(' ')) {
        (Some((number, one)), Some((_, other))) if one == other => format!("{number} of {total}"),
        _ => format!("{used} of {total}"),
    }
}

fn draw_tasks(state: &State, focused: bool, place: Rect, canvas: &mut Buffer) {
    let look = state.look();
    let cluster = &state.cluster;
    let title = format!("Tasks · {}", cluster.tasks.len());
    let inside = panel(state, &title, focused, place, canvas);
    let count = |state: &str| cluster.states.get(state).copied().unwrap_or(0);
    let unhealthy: usize = cluster.services.values().map(|service| service.unhealthy as usize).sum();
    let waiting: usize = cluster
        .services
        .values()
        .filter_map(|service| service.waiting.as_ref())
        .map(|waiting| waiting.count as usize)
        .sum();
    let staging = count("TASK_STAGING") + count("TASK_STARTING");
    let lost = count("TASK_UNREACHABLE") + count("TASK_UNKNOWN");
    let mut states = vec![
        (Tone::Good, "running", count("TASK_RUNNING")),
        (Tone::Moving, "staging", staging),
        (Tone::Bad, "unhealthy", unhealthy),
        (Tone::Look, "waiting", waiting),
        (Tone::Unknown, "unreachable", lost),
        (Tone::Moving, "ending", count("TASK_KILLING")),
    ];
    // What is not there is left out when there is little room.
    let room = usize::from(inside.height) * 2;
    if states.len() > room {
        states.retain(|(_, word, count)| *count > 0 || *word == "running");
    }
    let column = usize::from(inside.width) / 2;
    for (row, pair) in inside.rows().zip(states.chunks(2)) {
        let spans = pair.iter().flat_map(|(tone, word, count)| {
            let text = if column < 22 {
                format!("{word} {count}")
            } else {
                format!("{} {}", pad(word, 11), right(&count.to_string(), 5))
            };
            let tone = if *count == 0 { Tone::Off } else { *tone };
            let glyph = Span::styled(format!(" {} ", look.glyph(tone)), look.tone(tone));
            [glyph, Span::raw(pad(&text, column.saturating_sub(3)))]
        });
        Line::from_iter(spans).render(row, canvas);
    }
}

fn draw_nodes(state: &State, focused: bool, place: Rect, canvas: &mut Buffer) {
    let look = state.look();
    let nodes = &state.cluster.nodes;
    let inside = panel(state, &format!("Nodes · {}", nodes.len()), focused, place, canvas);
    if inside.height == 0 {
        return;
    }
    if nodes.is_empty() {
        let text = " no agent has registered yet";
        canvas.set_stringn(inside.x, inside.y, text, usize::from(inside.width), look.dim());
        return;
    }
    let mut counts = std::collections::BTreeMap::<(Tone, &str), usize>::new();
    for node in nodes.values() {
        *counts.entry((node_tone(&node.state), node.state.as_str())).or_default() += 1;
    }
    // Without their words where those do not fit.
    let wide: usize =
        counts.iter().map(|((_, state), count)| state.len() + count.to_string().len() + 5).sum();
    let words = counts.iter().flat_map(|((tone, state), count)| {
        let word = if wide > usize::from(inside.width) { String::new() } else { format!("{state} ") };
        [
            Span::styled(format!(" {} ", look.glyph(*tone)), look.tone(*tone)),
            Span::raw(clean(&format!("{word}{count} "))),
        ]
    });
    Line::from_iter(words).render(Rect { height: 1, ..inside }, canvas);
    let mut dots = Rect { y: inside.y + 1, height: inside.height - 1, ..inside };
    if dots.height > 2 {
        dots = Rect { y: dots.y + 1, height: dots.height - 1, ..dots };
    }
    // The worst come first, so that they are in sight however many nodes there are.
    let groups = usize::from(dots.width.saturating_sub(1)) / 6;
    let all = counts.iter().flat_map(|((tone, _), count)| std::iter::repeat_n(*tone, *count));
    let fits = groups * 5 * usize::from(dots.height);
    let mut all = all.take(fits);
    for row in dots.rows() {
        let mut spans = vec![Span::raw(" ")];
        for _ in 0..groups {
            for tone in all.by_ref().take(5) {
                spans.push(Span::styled(look.glyph(tone), look.tone(tone)));
            }
            spans.push(Span::raw(" "));
        }
        Line::from(spans).render(row, canvas);
    }
    if nodes.len() > fits
        && let Some(row) = dots.rows().next_back()
    {
        let more = format!(" +{} more", nodes.len() - fits);
        let wide = u16::try_from(more.len()).unwrap_or(u16::MAX).min(row.width);
        canvas.set_stringn(row.right() - wide, row.y, more, usize::from(wide), look.dim());
    }
}

fn draw_masters(state: &State, focused: bool, place: Rect, canvas: &mut Buffer) {
    let look = state.look();
    let inside = panel(state, "Masters and coordinators", focused, place, canvas);
    let cluster = &state.cluster;
    let mut rows: Vec<(Tone, String, String)> = Vec::new();
    for (kind, key) in [("master", "masters"), ("coordinator", "coordinators")] {
        rows.extend(entries(cluster, key).map(|entry| {
            let (tone, word) = lead_state(entry);
            (tone, format!("{kind} {}", lead_name(entry)), word)
        }));
    }
    if rows.is_empty() {
        let leader = cluster.hello.as_ref().map(|hello| hello.leader.clone()).unwrap_or_default();
        rows.push((Tone::Good, format!("master {leader}"), "leader".to_owned()));
    }
    let fits = usize::from(inside.height);
    if rows.len() > fits {
        // Little room: how many of each are well, and those that are not first.
        rows.sort_by_key(|(tone, ..)| *tone);
        let summary = [("masters", "masters"), ("coordinators", "coordinators")].map(|(name, key)| {
            let all: Vec<Tone> = entries(cluster, key).map(|entry| lead_state(entry).0).collect();
            let well = all.iter().filter(|tone| **tone == Tone::Good).count();
            let tone = all.iter().min().copied().unwrap_or(Tone::Off);
            (tone, name.to_owned(), format!("{well} of {} well", all.len()))
        });
        rows.retain(|(tone, ..)| *tone != Tone::Good);
        rows.splice(0..0, summary);
    }
    for (row, (tone, name, word)) in inside.rows().zip(rows) {
        let room = usize::from(inside.width).saturating_sub(4);
        let name = pad(&clean(&name), room / 2);
        Line::from_iter([
            Span::styled(format!(" {} ", look.glyph(tone)), look.tone(tone)),
            Span::raw(format!("{name} {}", clean(&word))),
        ])
        .render(row, canvas);
    }
}

fn draw_attention(state: &State, focused: bool, place: Rect, canvas: &mut Buffer) {
    let look = state.look();
    let rows = state.dashboard.attention(&state.cluster, state.now);
    let title = if rows.is_empty() {
        "Needs attention".to_owned()
    } else {
        format!("Needs attention · {}", rows.len())
    };
    let inside = panel(state, &title, focused, place, canvas);
    if rows.is_empty() {
        let text = match (state.cluster.nodes.is_empty(), state.cluster.services.is_empty()) {
            (true, _) => {
                "No agent has registered yet: `clusterctl install` or `clusterctl agent` brings one."
            }
            (_, true) => "All is well, and nothing runs yet: 4 opens the Universe, 2 then N makes a service.",
            _ => "All is well.",
        };
        let tone = if state.cluster.nodes.is_empty() { Tone::Off } else { Tone::Good };
        return sentence(state, tone, text, inside, canvas);
    }
    let list = &state.dashboard.attention;
    let cursor = list.cursor.min(rows.len() - 1);
    let wide = usize::from(inside.width);
    let name = (wide / 3).clamp(14, 40);
    for (row, at) in inside.rows().zip(list.window(rows.len(), usize::from(inside.height))) {
        let attention = &rows[at];
        let (subject, text) = attention.texts(&state.cluster);
        let since = match state.now.saturating_sub(attention.since) {
            0..1000 => String::new(),
            old => age(old),
        };
        let text_wide = wide.saturating_sub(name + 4 + 9);
        Line::from_iter([
            Span::styled(format!(" {} ", look.glyph(attention.tone)), look.tone(attention.tone)),
            Span::styled(format!("{} ", pad(&look.plain(&clean(&subject)), name)), look.strong()),
            Span::raw(look.plain(&pad(&clean(&text), text_wide))),
            Span::styled(right(&since, 8), look.dim()),
        ])
        .render(row, canvas);
        if at == cursor && focused {
            canvas.set_style(row, look.selected());
        }
    }
}

fn draw_progress(state: &State, focused: bool, place: Rect, canvas: &mut Buffer) {
    let look = state.look();
    let all = &state.cluster.deployments;
    let title =
        if all.is_empty() { "In progress".to_owned() } else { format!("In progress · {}", all.len()) };
    let inside = panel(state, &title, focused, place, canvas);
    if all.is_empty() {
        return sentence(state, Tone::Off, "Nothing is being deployed.", inside, canvas);
    }
    let list = &state.dashboard.progress;
    let cursor = list.cursor.min(all.len() - 1);
    let wide = usize::from(inside.width);
    let bar = (wide / 3).clamp(5, 24);
    // Two lines each: what and how far, and the step.
    let mut rows = inside.rows();
    for at in list.window(all.len(), usize::from(inside.height / 2).max(1)) {
        let deployment = &all[at];
        let share = deployments::progress(&state.cluster, deployment);
        let name = pad(&look.plain(&clean(&deployments::what(deployment))), wide.saturating_sub(bar + 8));
        let Some(first) = rows.next() else { break };
        Line::from_iter([
            Span::styled(format!(" {name} "), look.strong()),
            Span::styled(look.bar(share, bar), look.tone(Tone::Moving)),
            Span::raw(right(&format!("{:.0} %", share * 100.0), 6)),
        ])
        .render(first, canvas);
        if at == cursor && focused {
            canvas.set_style(first, look.selected());
        }
        if let Some(second) = rows.next() {
            let step =
                format!("   {}/{} {}", deployment.step, deployment.steps, deployments::doing(deployment));
            canvas.set_stringn(
                second.x,
                second.y,
                look.plain(&clean(&step)),
                wide.saturating_sub(1),
                look.dim(),
            );
        }
    }
}

fn draw_events(state: &State, focused: bool, place: Rect, canvas: &mut Buffer) {
    let look = state.look();
    let all = &state.cluster.events;
    let inside = panel(state, "Events · the newest first", focused, place, canvas);
    if all.is_empty() {
        return sentence(state, Tone::Off, "Nothing has happened since the dashboard began.", inside, canvas);
    }
    let list = &state.dashboard.events;
    let cursor = list.cursor.min(all.len() - 1);
    for (row, at) in inside.rows().zip(list.window(all.len(), usize::from(inside.height))) {
        let Some(event) = all.get(all.len() - 1 - at) else { break };
        events::line(look, event, usize::from(inside.width)).render(row, canvas);
        if at == cursor && focused {
            canvas.set_style(row, look.selected());
        }
    }
}
