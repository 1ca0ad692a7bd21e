//! What happened: differences that the stream showed since the dashboard began.

use std::cell::RefCell;

use crossterm::event::{KeyCode, KeyEvent};
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Position, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;
use serde_json::json;

use crate::Effect;
use crate::cluster::{Cluster, Happening};
use crate::draw::{panel, sentence, unread};
use crate::filter::{Fields, Kind, Prompt, Row};
use crate::keys::{Binding, looks};
use crate::list::List;
use crate::state::{Page, State, Wanted as For};
use crate::text::{clean, clock, pad};
use crate::theme::{Look, Tone};

const FIELDS: Fields = &[("kind", Kind::Text), ("level", Kind::Text), ("subject", Kind::Text)];

/// What this page remembers.
#[derive(Debug, Default)]
pub(crate) struct Events {
    list: List,
    /// The cursor stays where it is when more happens.
    stays: bool,
    /// What is under the cursor shows whole.
    raw: bool,
    prompt: Prompt,
    /// Which happenings pass the filter, as their numbers; and for what that was made.
    passing: RefCell<Passing>,
}

/// Numbers count from the first happening, also of those that are forgotten.
#[derive(Debug, Default)]
struct Passing {
    filter: String,
    seen: u64,
    numbers: std::collections::VecDeque<u64>,
}

/// For what an answer is.
#[derive(Clone, Debug)]
pub(crate) struct Saved;

/// Whether letters go into a text.
pub(crate) fn types(state: &State) -> bool {
    state.events.prompt.open
}

/// The answer to saving: a path.
pub(crate) fn saved(state: &mut State, result: Result<serde_json::Value, crate::Failed>) {
    match result {
        Ok(path) => state.say(Tone::Good, format!("saved as {}", path.as_str().unwrap_or("a file"))),
        Err(failed) => state.say(Tone::Bad, format!("not saved: {}", failed.text)),
    }
}

/// What keys do here.
pub(crate) fn bindings(state: &State) -> Vec<Binding> {
    if state.events.prompt.open {
        return vec![looks("enter", "keep the filter"), looks("esc", "no filter")];
    }
    vec![
        looks("enter", "what it is about"),
        looks("/", "filter"),
        looks("s", if state.events.stays { "follow" } else { "stay" }),
        looks("y", "raw"),
        looks("x", "save"),
        looks("c", "copy"),
    ]
}

/// How serious it is, in a word beside its colour.
pub(crate) fn level(tone: Tone) -> &'static str {
    match tone {
        Tone::Bad => "error",
        Tone::Look | Tone::Unknown => "warn",
        Tone::Moving | Tone::Good | Tone::Off => "info",
    }
}

impl Row for Happening {
    fn any(&self, fits: &dyn Fn(&str) -> bool) -> bool {
        fits(&self.subject) || fits(&self.text) || fits(self.kind)
    }

    fn text(&self, field: &str, fits: &dyn Fn(&str) -> bool) -> bool {
        match field {
            "kind" => fits(self.kind),
            "level" => fits(level(self.tone)),
            "subject" => fits(&self.subject),
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

impl Events {
    /// Brings what passes the filter up to date: only what is new is looked at.
    fn look_through(&self, cluster: &Cluster) {
        let mut passing = self.passing.borrow_mut();
        let first = cluster.happened - cluster.events.len() as u64;
        if passing.filter != self.prompt.typed || passing.seen > cluster.happened {
            *passing = Passing { filter: self.prompt.typed.clone(), ..Passing::default() };
        }
        while passing.numbers.front().is_some_and(|number| *number < first) {
            passing.numbers.pop_front();
        }
        let from = usize::try_from(passing.seen.saturating_sub(first)).unwrap_or(usize::MAX);
        for (number, event) in (passing.seen.max(first)..).zip(cluster.events.iter().skip(from)) {
            if self.prompt.filter.fits(event) {
                passing.numbers.push_back(number);
            }
        }
        passing.seen = cluster.happened;
    }

    fn count(&self, cluster: &Cluster) -> usize {
        self.look_through(cluster);
        self.passing.borrow().numbers.len()
    }

    /// The one of a row: the newest is the last.
    fn at<'c>(&self, cluster: &'c Cluster, row: usize) -> Option<&'c Happening> {
        let number = *self.passing.borrow().numbers.get(row)?;
        let first = cluster.happened - cluster.events.len() as u64;
        cluster.events.get(usize::try_from(number.checked_sub(first)?).ok()?)
    }

    /// The row under the cursor; the newest while it follows.
    fn row(&self, count: usize) -> usize {
        let last = count.saturating_sub(1);
        if self.stays { self.list.cursor.min(last) } else { last }
    }
}

/// Opens what a happening is about.
pub(crate) fn open(state: &mut State, event: &Happening) -> Vec<Effect> {
    let cluster = &state.cluster;
    let gone = |state: &mut State, what: &str| {
        state.say(Tone::Look, format!("{what} is no part of the cluster any more"));
        Vec::new()
    };
    match event.kind {
        "node" => {
            let is = |node: &&std::sync::Arc<api::watch::Node>| {
                node.id == event.subject || node.hostname == event.subject
            };
            match cluster.nodes.values().find(is).map(|node| node.id.clone()) {
                Some(id) => state.open_node(&id),
                None => gone(state, &event.subject),
            }
        }
        "master" => state.go(Page::Nodes),
        _ => match service_of(cluster, event) {
            Some(id) => state.open_service(&id),
            None => gone(state, &event.subject),
        },
    }
}

/// The service that a happening is about, if there is one now.
fn service_of(cluster: &Cluster, event: &Happening) -> Option<String> {
    if event.kind == "task" {
        if let Some(task) = cluster.tasks.get(&event.subject) {
            return Some(task.service.clone());
        }
        // A task that has ended: its id begins with its service's path, with `_` between.
        let (path, _) = event.subject.split_once('.')?;
        let is = |id: &&String| id.trim_start_matches('/').replace('/', "_") == path;
        return cluster.services.keys().find(is).cloned();
    }
    let first = event.subject.split(", ").next()?;
    cluster.services.get_key_value(first).map(|(id, _)| id.clone())
}

/// One as a line.
pub(crate) fn line(look: Look, event: &Happening, wide: usize) -> Line<'static> {
    let kind = if wide >= 50 { format!("{} ", pad(event.kind, 8)) } else { String::new() };
    let level = if wide >= 100 { format!("{} ", pad(level(event.tone), 6)) } else { String::new() };
    let name = (wide / 3).clamp(12, 44);
    let subject = match event.kind {
        "task" => super::deployments::short(&event.subject),
        _ => event.subject.clone(),
    };
    let tone = look.tone(event.tone);
    Line::from_iter([
        Span::styled(format!(" {} ", clock(event.at)), look.dim()),
        Span::styled(format!("{} {kind}{level}", look.glyph(event.tone)), tone),
        Span::styled(format!("{} ", pad(&look.plain(&clean(&subject)), name)), look.strong()),
        Span::raw(look.plain(&clean(&event.text))),
    ])
}

fn as_json(event: &Happening) -> serde_json::Value {
    json!({
        "at": event.at, "time": clock(event.at), "kind": event.kind, "level": level(event.tone),
        "subject": event.subject, "text": event.text,
    })
}

/// Takes a key; nothing when it has no use for it.
pub(crate) fn key(state: &mut State, key: KeyEvent) -> Option<Vec<Effect>> {
    let page = &mut state.events;
    if page.prompt.open {
        page.prompt.key(key, FIELDS);
        return Some(Vec::new());
    }
    let count = page.count(&state.cluster);
    page.list.cursor = page.row(count);
    if page.list.key(key, count) {
        // At the end it follows again.
        page.stays = page.list.cursor + 1 < count;
        return Some(Vec::new());
    }
    match key.code {
        KeyCode::Char('/') => page.prompt.open = true,
        KeyCode::Char('s') => page.stays = !page.stays,
        KeyCode::Char('y') => page.raw = !page.raw,
        KeyCode::Esc | KeyCode::Char('q') if page.raw => page.raw = false,
        KeyCode::Esc | KeyCode::Char('q') if page.prompt.clear() => {}
        KeyCode::Enter => {
            let event = page.at(&state.cluster, page.list.cursor)?.clone();
            return Some(open(state, &event));
        }
        KeyCode::Char('c') => {
            let event = page.at(&state.cluster, page.list.cursor)?;
            let text = format!("{} {} {} {}", clock(event.at), event.kind, event.subject, event.text);
            state.say(Tone::Good, "copied the line");
            return Some(vec![Effect::Copy(text)]);
        }
        KeyCode::Char('x') => {
            let rows = (0..count).filter_map(|row| page.at(&state.cluster, row));
            let text: String = rows.map(|event| format!("{}\n", as_json(event))).collect();
            if text.is_empty() {
                state.say(Tone::Look, "there is nothing to save");
                return Some(Vec::new());
            }
            let name = format!("clusterctl-events-{}.jsonl", state.now / 1000);
            let number = state.number(For::Events(Saved));
            return Some(vec![Effect::Save(number, name, text)]);
        }
        _ => return None,
    }
    Some(Vec::new())
}

fn places(state: &State, place: Rect) -> (Rect, Rect) {
    let raw = if state.events.raw { 10.min(place.height / 2) } else { 0 };
    let [a, b] = Layout::vertical([Constraint::Fill(1), Constraint::Length(raw)]).areas(place);
    (a, b)
}

/// Something was clicked at that place of the screen.
pub(crate) fn click(state: &mut State, column: u16, row: u16) -> Vec<Effect> {
    let (upper, _) = places(state, crate::draw::page_place(state.size));
    let count = state.events.count(&state.cluster);
    if !upper.contains(Position::new(column, row)) || row <= upper.y {
        return Vec::new();
    }
    let line = usize::from(row - upper.y - 1);
    let chosen = if state.events.stays {
        state.events.list.row_at(line)
    } else {
        count.saturating_sub(usize::from(upper.height.saturating_sub(2))) + line
    };
    if chosen >= count {
        return Vec::new();
    }
    let again = state.events.stays && state.events.list.cursor == chosen;
    state.events.list.cursor = chosen;
    state.events.stays = true;
    if again { key(state, KeyCode::Enter.into()).unwrap_or_default() } else { Vec::new() }
}

pub(crate) fn draw(state: &State, place: Rect, canvas: &mut Buffer) {
    let look = state.look();
    let page = &state.events;
    let count = page.count(&state.cluster);
    let mut title = format!(
        "Events · {} · {}",
        count,
        if state.paused.is_some() {
            "paused"
        } else if page.stays {
            "stays here, s follows"
        } else {
            "follows"
        }
    );
    if let Some(chip) = page.prompt.chip() {
        title = format!("{title} · {chip}");
    }
    let (upper, lower) = places(state, place);
    let inside = panel(state, &title, true, upper, canvas);
    if let Some((tone, text)) = unread(state) {
        return sentence(state, tone, &text, inside, canvas);
    }
    if count == 0 {
        let text = if state.cluster.events.is_empty() {
            "Nothing has happened since the dashboard began. Tasks, deployments, services and nodes that change show here."
        } else {
            "Nothing that happened has these words; esc shows all. kind:task, level:error and !word are understood."
        };
        return sentence(state, Tone::Off, text, inside, canvas);
    }
    // While it follows the list is shown to its end, wherever its cursor was.
    let height = usize::from(inside.height);
    let cursor = page.row(count);
    let mut window = page.list.window(count, height);
    if !page.stays {
        window = count.saturating_sub(height)..count;
    }
    for (row, at) in inside.rows().zip(window) {
        let Some(event) = page.at(&state.cluster, at) else { break };
        line(look, event, usize::from(inside.width)).render(row, canvas);
        if at == cursor {
            canvas.set_style(row, look.selected());
        }
    }
    if lower.height > 2
        && let Some(event) = page.at(&state.cluster, cursor)
    {
        let inside = panel(state, "Raw", false, lower, canvas);
        let text = serde_json::to_string_pretty(&as_json(event)).unwrap_or_default();
        for (row, text) in inside.rows().zip(text.lines()) {
            canvas.set_stringn(
                row.x + 1,
                row.y,
                look.plain(&clean(text)),
                usize::from(row.width.saturating_sub(1)),
                look.text(),
            );
        }
    }
}
