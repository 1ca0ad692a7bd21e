//! Logs: of one task, or of all of a service in one.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use api::watch::Task;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::detail::{Tab, short};
use super::pieces::{below, row, span};
use super::text::cut;
use super::{Wanted, title_of};
use crate::draw::sentence;
use crate::filter::Needle;
use crate::keys::{Binding, looks};
use crate::state::State;
use crate::text::{clean, pad, width};
use crate::theme::Tone;
use crate::{Effect, Failed, LogPiece, LogSource};

/// How many lines are kept.
const KEPT: usize = 10_000;
/// How much of a line is kept, in characters.
const LONGEST: usize = 4096;
/// How much of a line that has not ended is kept, in bytes.
const UNENDED: usize = 64 * 1024;
/// How many tasks are followed at once.
const TASKS: usize = 50;

/// Whose log it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// All tasks of the service.
    Service,
    /// One task on a node.
    Task { id: String, node: String },
}

impl Of {
    pub(super) fn task(task: &Task) -> Self {
        Self::Task { id: task.id.clone(), node: task.node.clone() }
    }
}

#[derive(Debug)]
struct Line {
    /// Which of the names.
    task: usize,
    kind: Kind,
    /// Clean already: nothing in it is taken for a control sequence.
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Out,
    Err,
    /// It is about the reading, and no part of the log.
    Fault,
}

/// What is looked for.
#[derive(Debug)]
struct Find {
    typed: String,
    needle: Needle,
    /// In how many lines it is.
    count: usize,
}

/// A log that is followed.
#[derive(Debug)]
pub(super) struct Logs {
    of: Of,
    /// The numbers under which pieces come.
    follows: BTreeSet<u64>,
    /// The tasks that are followed, or were.
    followed: BTreeSet<String>,
    /// How many tasks there are that are not followed, being too many.
    left_out: usize,
    names: Vec<String>,
    name_of: BTreeMap<String, usize>,
    /// Lines that have not ended, by task and whether they are of standard error.
    unended: BTreeMap<(usize, bool), String>,
    lines: VecDeque<Line>,
    /// The number of the first of them.
    first: u64,
    /// The line under the cursor, by number.
    cursor: u64,
    /// The cursor stays on the newest line.
    follow: bool,
    wrap: bool,
    find: Option<Find>,
    /// What is being typed to look for, and what is wrong with it.
    prompt: Option<(String, Option<String>)>,
    /// It goes on when the page is in sight again.
    paused: bool,
    top: Cell<u64>,
    height: Cell<usize>,
}

impl Logs {
    fn new(of: Of) -> Self {
        Self {
            of,
            follows: BTreeSet::new(),
            followed: BTreeSet::new(),
            left_out: 0,
            names: Vec::new(),
            name_of: BTreeMap::new(),
            unended: BTreeMap::new(),
            lines: VecDeque::new(),
            first: 0,
            cursor: 0,
            follow: true,
            wrap: false,
            find: None,
            prompt: None,
            paused: false,
            top: Cell::new(0),
            height: Cell::new(1),
        }
    }

    pub(super) fn types(&self) -> bool {
        self.prompt.is_some()
    }

    fn merges(&self) -> bool {
        self.of == Of::Service
    }

    /// The number of the line after the last one.
    fn end(&self) -> u64 {
        self.first + u64::try_from(self.lines.len()).unwrap_or(u64::MAX)
    }

    fn line(&self, number: u64) -> Option<&Line> {
        self.lines.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    fn name(&mut self, task: &str) -> usize {
        if let Some(at) = self.name_of.get(task) {
            return *at;
        }
        let at = self.names.len();
        self.names.push(clean(&short(task)));
        self.name_of.insert(task.to_owned(), at);
        at
    }

    fn take(&mut self, piece: LogPiece) {
        let task = self.name(&piece.task);
        let key = (task, piece.stderr);
        let kind = if piece.stderr { Kind::Err } else { Kind::Out };
        let mut text = self.unended.remove(&key).unwrap_or_default();
        text.push_str(&piece.text);
        let mut rest = text.as_str();
        while let Some((line, after)) = rest.split_once('\n') {
            self.push(task, kind, line);
            rest = after;
        }
        if rest.len() > UNENDED {
            // It is shown as if it had ended: nobody waits for its end.
            self.push(task, kind, rest);
        } else if !rest.is_empty() {
            self.unended.insert(key, rest.to_owned());
        }
        if let Some(fault) = piece.fault {
            self.push(task, Kind::Fault, &fault);
        }
        if self.follow {
            self.cursor = self.end().saturating_sub(1);
        }
        self.cursor = self.cursor.max(self.first);
    }

    fn push(&mut self, task: usize, kind: Kind, line: &str) {
        let text = neutral(line);
        if let Some(find) = &mut self.find {
            find.count += usize::from(find.needle.is_in(&text));
        }
        self.lines.push_back(Line { task, kind, text });
        if self.lines.len() > KEPT
            && let Some(gone) = self.lines.pop_front()
        {
            self.first += 1;
            if let Some(find) = &mut self.find {
                find.count -= usize::from(find.needle.is_in(&gone.text));
            }
        }
    }

    /// Goes to the next line, or the one before, in which is what is looked for.
    fn next(&mut self, forward: bool) -> bool {
        let (Some(find), count) = (&self.find, self.lines.len()) else { return false };
        let at = usize::try_from(self.cursor - self.first).unwrap_or(0);
        let step = |by: usize| if forward { (at + by) % count } else { (at + count - by % count) % count };
        let hit = (1..=count).map(step).find(|line| find.needle.is_in(&self.lines[*line].text));
        let Some(hit) = hit else { return false };
        self.cursor = self.first + u64::try_from(hit).unwrap_or(0);
        self.follow = false;
        true
    }

    fn look_for(&mut self, typed: String) -> Result<(), String> {
        let needle = Needle::new(&typed)?;
        let count = self.lines.iter().filter(|line| needle.is_in(&line.text)).count();
        self.find = Some(Find { typed, needle, count });
        Ok(())
    }

    /// Moves the cursor; the end follows.
    fn moves(&mut self, key: KeyEvent) -> bool {
        let half = u64::try_from(self.height.get() / 2).unwrap_or(1).max(1);
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        let last = self.end().saturating_sub(1);
        let to = match key.code {
            KeyCode::Char('d') if control => self.cursor + half,
            KeyCode::Char('u') if control => self.cursor.saturating_sub(half),
            _ if control => return false,
            KeyCode::Char('j') | KeyCode::Down => self.cursor + 1,
            KeyCode::Char('k') | KeyCode::Up => self.cursor.saturating_sub(1),
            KeyCode::Char('g') | KeyCode::Home => self.first,
            KeyCode::Char('G') | KeyCode::End => last,
            KeyCode::PageDown => self.cursor + 2 * half,
            KeyCode::PageUp => self.cursor.saturating_sub(2 * half),
            _ => return false,
        };
        self.follow = matches!(key.code, KeyCode::Char('G') | KeyCode::End);
        self.cursor = to.min(last).max(self.first);
        true
    }

    /// All lines as a file has them.
    fn text(&self) -> String {
        let mut text = String::new();
        for line in self.lines.iter().filter(|line| line.kind != Kind::Fault) {
            if self.merges() {
                text.push_str(&self.names[line.task]);
                text.push_str("  ");
            }
            text.push_str(&line.text);
            text.push('\n');
        }
        text
    }

    fn title(&self, service: &str) -> String {
        match &self.of {
            Of::Service if self.left_out > 0 => title_of(
                service,
                &format!(
                    " · {} of {} tasks merged",
                    self.followed.len(),
                    self.followed.len() + self.left_out
                ),
            ),
            Of::Service => title_of(service, &format!(" · {} tasks merged", self.followed.len())),
            Of::Task { id, .. } => title_of(&short(id), ""),
        }
    }

    pub(super) fn draw(&self, state: &State, place: Rect, canvas: &mut Buffer) {
        let look = state.look();
        let service = state.services.open.as_ref().map_or("", |detail| detail.id.as_str());
        if let Some(bar) = row(place, 0) {
            let on = |on: bool| if on { look.glyph(Tone::Good).to_owned() } else { "off".to_owned() };
            let find = match (&self.prompt, &self.find) {
                (Some((typed, fault)), _) => {
                    let fault = fault.as_ref().map(|fault| format!(" ({fault})")).unwrap_or_default();
                    format!("/{typed}_{fault}   ")
                }
                (None, Some(find)) => format!("find: {} ({})   ", find.typed, find.count),
                (None, None) => String::new(),
            };
            let dropped = if self.first > 0 { format!("   {} dropped", self.first) } else { String::new() };
            let text = format!(
                "{} · stdout+stderr   {}follow {}   wrap {}   {} lines{dropped}",
                self.title(service),
                clean(&find),
                on(self.follow),
                on(self.wrap),
                self.lines.len()
            );
            // The glyph of the look is left as it is.
            let text = if look.ascii { look.plain(&text) } else { text };
            span(canvas, bar, bar.x, &text, look.dim());
        }
        let body = below(place, 1);
        self.height.set(usize::from(body.height).max(1));
        if self.lines.is_empty() {
            let (tone, text) = if self.followed.is_empty() {
                (Tone::Look, "No task runs whose log could be followed. It begins by itself when one does.")
            } else {
                (Tone::Moving, "Nothing was written yet, or it is on its way. What comes appears here.")
            };
            return sentence(state, tone, text, body, canvas);
        }
        // One column for what kind of line it is, and the task's name where there are several.
        let name = if self.merges() {
            self.names.iter().map(|name| width(name)).max().unwrap_or(0).min(22)
        } else {
            0
        };
        let margin = 2 + if name > 0 { name + 2 } else { 0 };
        let columns = usize::from(body.width).saturating_sub(margin).max(1);
        let mut used = 0;
        for number in self.window(columns, usize::from(body.height)) {
            let Some(line) = self.line(number) else { break };
            let mut rest = line.text.as_str();
            let mut part = 0;
            loop {
                let at = if self.wrap { cut(rest, columns) } else { rest.len() };
                let Some(row) = row(body, used) else { return };
                let (shown, after) = rest.split_at(at);
                self.draw_line(state, line, part == 0, (name, margin), shown, row, canvas);
                if number == self.cursor {
                    canvas.set_style(Rect { width: 1, ..row }, look.selected());
                    if part == 0 {
                        canvas.set_style(
                            Rect { width: row.width.min(u16::try_from(margin).unwrap_or(2)), ..row },
                            look.selected(),
                        );
                    }
                }
                used += 1;
                part += 1;
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "all of one line")]
    fn draw_line(
        &self,
        state: &State,
        line: &Line,
        first: bool,
        (name, margin): (usize, usize),
        text: &str,
        place: Rect,
        canvas: &mut Buffer,
    ) {
        let look = state.look();
        let style = match line.kind {
            Kind::Out => look.text(),
            Kind::Err => look.tone(Tone::Look),
            Kind::Fault => look.tone(Tone::Bad),
        };
        if first {
            let mark = match line.kind {
                Kind::Out => " ",
                Kind::Err => "!",
                Kind::Fault => look.glyph(Tone::Bad),
            };
            canvas.set_string(place.x, place.y, mark, style);
            if name > 0 {
                let shown = self.names.get(line.task).map_or("", String::as_str);
                canvas.set_string(place.x + 2, place.y, look.plain(&pad(shown, name)), look.dim());
            }
        }
        let x = place.x.saturating_add(u16::try_from(margin).unwrap_or(u16::MAX));
        let room = usize::from(place.right().saturating_sub(x));
        if room == 0 {
            return;
        }
        let text = look.plain(text);
        let text = if width(&text) > room { crate::text::fit(&text, room) } else { text };
        canvas.set_stringn(x, place.y, &text, room, style);
        let Some(find) = &self.find else { return };
        let mut from = 0;
        while let Some(found) = find.needle.next(&text, from) {
            let before = u16::try_from(width(&text[..found.start])).unwrap_or(u16::MAX);
            let wide = u16::try_from(width(&text[found.clone()])).unwrap_or(u16::MAX);
            let start = x.saturating_add(before).min(place.right());
            let hit = Rect { x: start, width: wide.min(place.right() - start), ..place };
            canvas.set_style(hit, look.selected());
            from = found.end;
        }
    }

    /// The lines in sight: the cursor is among them, and where the end is followed it is the last of them.
    fn window(&self, columns: usize, height: usize) -> std::ops::Range<u64> {
        let rows = |number: u64| match self.line(number) {
            Some(line) if self.wrap => width(&line.text).div_ceil(columns).max(1),
            _ => 1,
        };
        let mut least = self.cursor;
        let mut used = rows(self.cursor);
        while least > self.first && used + rows(least - 1) <= height {
            least -= 1;
            used += rows(least);
        }
        let mut top = self.top.get().clamp(self.first, self.cursor.max(self.first));
        if self.follow || top < least {
            top = least;
        }
        self.top.set(top);
        // No more than one line a row.
        let most = top + u64::try_from(height).unwrap_or(u64::MAX);
        top..most.min(self.end())
    }
}

/// A line without colours and whatever else a terminal would obey, and not too long. What a carriage return would write over
/// is left out, as a terminal does with bars of progress.
fn neutral(line: &str) -> String {
    let line = line.strip_suffix('\r').unwrap_or(line);
    let line = line.rsplit_once('\r').map_or(line, |(_, last)| last);
    let mut text = String::with_capacity(line.len().min(LONGEST));
    let mut chars = line.chars().peekable();
    let mut taken = 0;
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => match chars.next() {
                Some('[') => skip_parameters(&mut chars),
                Some(']' | 'P' | 'X' | '^' | '_') => skip_string(&mut chars),
                // Two bytes, or three: what character set, and the like.
                Some(' '..='/') => {
                    while chars.next_if(|c| matches!(c, ' '..='/')).is_some() {}
                    chars.next();
                }
                _ => {}
            },
            '\u{9b}' => skip_parameters(&mut chars),
            '\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}' => skip_string(&mut chars),
            c => {
                if taken == LONGEST {
                    text.push('…');
                    break;
                }
                taken += 1;
                if c == '\t' {
                    // To the next eighth column, as far as that is known.
                    let blanks = 8 - taken.saturating_sub(1) % 8;
                    text.extend(std::iter::repeat_n(' ', blanks));
                    taken += blanks - 1;
                } else {
                    text.push(c);
                }
            }
        }
    }
    clean(&text)
}

fn skip_parameters(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    while chars.next_if(|c| matches!(c, ' '..='?')).is_some() {}
    chars.next_if(|c| matches!(c, '@'..='~'));
}

/// Until its end, a bell or `ESC \`.
fn skip_string(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    while let Some(c) = chars.next() {
        match c {
            '\u{7}' | '\u{9c}' => return,
            '\u{1b}' => {
                chars.next_if_eq(&'\\');
                return;
            }
            _ => {}
        }
    }
}

fn open(state: &mut State) -> Option<&mut Logs> {
    state.services.open.as_mut()?.logs.as_mut()
}

/// Begins to follow a log, in place of what is followed.
pub(super) fn begin(state: &mut State, of: Of) -> Vec<Effect> {
    let mut effects = end(state);
    let Some(detail) = &mut state.services.open else { return effects };
    detail.logs = Some(Logs::new(of.clone()));
    detail.tab = Tab::Logs;
    match of {
        Of::Service => effects.extend(more_tasks(state)),
        Of::Task { id, node } => effects.extend(follow(state, vec![(id, node)], 500)),
    }
    effects
}

/// The log of the task that failed last.
pub(super) fn of_failure(state: &mut State) -> Vec<Effect> {
    let id = state.services.open.as_ref().map(|detail| detail.id.clone()).unwrap_or_default();
    let failure = state.cluster.services.get(&id).and_then(|service| service.failure.clone());
    let Some(failure) = failure else {
        state.say(Tone::Look, "no task of this service has failed; a follows all of them");
        return Vec::new();
    };
    // It may be gone from what is known; where it was is known by the host's name.
    let node = match state.cluster.tasks.get(&failure.task) {
        Some(task) => Some(task.node.clone()),
        None => state
            .cluster
            .nodes
            .values()
            .find(|node| node.hostname == failure.host)
            .map(|node| node.id.clone()),
    };
    match node {
        Some(node) => begin(state, Of::Task { id: failure.task, node }),
        None => {
            let text =
                format!("the node {} that had the task is no part of the cluster any more", failure.host);
            state.say(Tone::Look, text);
            Vec::new()
        }
    }
}

fn follow(state: &mut State, tasks: Vec<(String, String)>, lines: usize) -> Vec<Effect> {
    let number = super::number(state, Wanted::Log);
    let Some(logs) = open(state) else { return vec![state.forget(number)] };
    logs.follows.insert(number);
    let mut sources = Vec::new();
    for (task, node) in tasks {
        for stderr in [false, true] {
            sources.push(LogSource { task: task.clone(), node: node.clone(), stderr, lines });
        }
        logs.followed.insert(task);
    }
    vec![Effect::Follow(number, sources)]
}

/// Follows tasks of the service that have come since, where all of them are followed.
pub(super) fn more_tasks(state: &mut State) -> Vec<Effect> {
    let Some(detail) = &state.services.open else { return Vec::new() };
    let Some(logs) = detail.logs.as_ref().filter(|logs| logs.merges() && !logs.paused) else {
        return Vec::new();
    };
    let is_new = |task: &&std::sync::Arc<Task>| {
        !logs.followed.contains(&task.id) && task.state != "TASK_STAGING" && !task.node.is_empty()
    };
    let alive = state.cluster.tasks_of(&detail.id).filter(|task| logs.followed.contains(&task.id)).count();
    let mut fresh: Vec<(u64, String, String)> = state
        .cluster
        .tasks_of(&detail.id)
        .filter(is_new)
        .map(|task| (task.staged, task.id.clone(), task.node.clone()))
        .collect();
    // The newest say most.
    fresh.sort_by(|a, b| b.cmp(a));
    let room = TASKS.saturating_sub(alive);
    let left_out = fresh.len().saturating_sub(room);
    fresh.truncate(room);
    let lines = if fresh.len() > 5 { 50 } else { 200 };
    if let Some(logs) = open(state) {
        logs.left_out = left_out;
    }
    if fresh.is_empty() {
        return Vec::new();
    }
    follow(state, fresh.into_iter().map(|(_, id, node)| (id, node)).collect(), lines)
}

/// Stops to follow, and forgets what came.
pub(super) fn end(state: &mut State) -> Vec<Effect> {
    let logs = state.services.open.as_mut().and_then(|detail| detail.logs.take());
    let follows = logs.map(|logs| logs.follows).unwrap_or_default();
    follows.into_iter().map(|number| state.forget(number)).collect()
}

/// Stops to follow while another page is in sight.
pub(super) fn pause(state: &mut State) -> Vec<Effect> {
    let Some(logs) = open(state).filter(|logs| !logs.paused) else { return Vec::new() };
    logs.paused = true;
    let follows = std::mem::take(&mut logs.follows);
    follows.into_iter().map(|number| state.forget(number)).collect()
}

/// Follows anew what was followed when the page went out of sight.
pub(super) fn again(state: &mut State) -> Vec<Effect> {
    match open(state).filter(|logs| logs.paused).map(|logs| (logs.of.clone(), logs.wrap)) {
        Some((of, wrap)) => {
            let effects = begin(state, of);
            if let Some(logs) = open(state) {
                logs.wrap = wrap;
            }
            effects
        }
        None => Vec::new(),
    }
}

/// A piece came.
pub(super) fn take(state: &mut State, number: u64, piece: LogPiece) {
    if let Some(logs) = open(state).filter(|logs| logs.follows.contains(&number)) {
        logs.take(piece);
    }
}

/// A log cannot be followed.
pub(super) fn failed(state: &mut State, number: u64, failed: &Failed) {
    if let Some(logs) = open(state).filter(|logs| logs.follows.contains(&number)) {
        let task = logs.followed.first().cloned().unwrap_or_default();
        let fault = Some(super::said(failed));
        logs.take(LogPiece { task, stderr: false, text: String::new(), fault });
    }
}

pub(super) fn bindings(logs: Option<&Logs>) -> Vec<Binding> {
    if logs.is_some_and(Logs::types) {
        return vec![looks("enter", "find"), looks("esc", "cancel")];
    }
    vec![
        looks("/", "find"),
        looks("n/N", "next"),
        looks("s", "follow"),
        looks("w", "wrap"),
        looks("c", "copy line"),
        looks("x", "save"),
        looks("z", "full screen"),
        looks("a", "all tasks"),
        looks("h/arrows", "tabs"),
        looks("esc", "back"),
    ]
}

/// Takes a key while a log is in sight; nothing for those that do the same on every tab.
pub(super) fn key(state: &mut State, key: KeyEvent) -> Option<Vec<Effect>> {
    let service = state.services.open.as_ref()?.id.clone();
    let logs = open(state)?;
    if let Some((typed, fault)) = &mut logs.prompt {
        *fault = None;
        match key.code {
            KeyCode::Esc => {
                logs.prompt = None;
                logs.find = None;
            }
            KeyCode::Enter => {
                let typed = typed.clone();
                if typed.is_empty() {
                    logs.prompt = None;
                    logs.find = None;
                    return Some(Vec::new());
                }
                match logs.look_for(typed.clone()) {
                    Ok(()) => {
                        logs.prompt = None;
                        // What is looked for most is what was written last.
                        let here = logs.find.as_ref().zip(logs.line(logs.cursor));
                        let here = here.is_some_and(|(find, line)| find.needle.is_in(&line.text));
                        if here {
                            logs.follow = false;
                        } else if !logs.next(false) {
                            state.say(Tone::Look, format!("{typed} is in none of the lines"));
                        }
                    }
                    Err(wrong) => logs.prompt = Some((typed, Some(wrong))),
                }
            }
            KeyCode::Backspace => {
                typed.pop();
            }
            KeyCode::Char('u') if key.modifiers.contains(KeyModifiers::CONTROL) => typed.clear(),
            KeyCode::Char(c) if !key.modifiers.contains(KeyModifiers::CONTROL) && typed.len() < 200 => {
                typed.push(c);
            }
            _ => {}
        }
        return Some(Vec::new());
    }
    if logs.moves(key) {
        return Some(Vec::new());
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return None;
    }
    Some(match key.code {
        KeyCode::Char('/') => {
            let typed = logs.find.as_ref().map(|find| find.typed.clone()).unwrap_or_default();
            logs.prompt = Some((typed, None));
            Vec::new()
        }
        KeyCode::Char(c @ ('n' | 'N')) => {
            if logs.find.is_none() {
                state.say(Tone::Look, "/ says what to look for");
            } else if !logs.next(c == 'n') {
                state.say(Tone::Look, "it is in none of the lines");
            }
            Vec::new()
        }
        KeyCode::Char('s') => {
            logs.follow = !logs.follow;
            if logs.follow {
                logs.cursor = logs.end().saturating_sub(1).max(logs.first);
            }
            Vec::new()
        }
        KeyCode::Char('w') => {
            logs.wrap = !logs.wrap;
            Vec::new()
        }
        KeyCode::Char('c') => match logs.line(logs.cursor).map(|line| line.text.clone()) {
            Some(line) => {
                state.say(Tone::Good, "copied the line");
                vec![Effect::Copy(line)]
            }
            None => Vec::new(),
        },
        KeyCode::Char('x') => {
            let name = match &logs.of {
                Of::Service => service.trim_matches('/').replace('/', "-"),
                Of::Task { id, .. } => short(id),
            };
            let text = logs.text();
            let number = super::number(state, Wanted::Saved);
            vec![Effect::Save(number, format!("{name}.log"), text)]
        }
        KeyCode::Esc if logs.find.is_some() => {
            logs.find = None;
            Vec::new()
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn piece(task: &str, text: &str) -> LogPiece {
        LogPiece { task: task.into(), stderr: false, text: text.into(), fault: None }
    }

    fn shown(logs: &Logs) -> Vec<&str> {
        logs.lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn what_a_terminal_would_obey_is_taken_out() {
        for (line, says) in [
            ("\u{1b}[1;31merror\u{1b}[0m: no", "error: no"),
            ("\u{1b}]0;title\u{7}text", "text"),
            ("\u{1b}]8;;http://x\u{1b}\\link", "link"),
            ("\u{1b}P1;2q###\u{1b}\\after", "after"),
            ("\u{1b}(Bplain", "plain"),
            ("\u{9b}31mred", "red"),
            ("a\u{1b}", "a"),
            ("a\u{1b}[", "a"),
            ("a\u{7}b\u{202e}c", "a�b�c"),
            ("10 %\r20 %\rdone", "done"),
            ("windows\r", "windows"),
            ("a\tb", "a       b"),
        ] {
            assert_eq!(neutral(line), says, "{line:?}");
        }
        let long = neutral(&"x".repeat(10_000));
        assert_eq!(long.chars().count(), LONGEST + 1);
        assert!(long.ends_with('…'));
    }

    #[test]
    fn pieces_become_lines_and_no_more_than_the_newest_are_kept() {
        let mut logs = Logs::new(Of::Service);
        logs.take(piece("a", "one\ntw"));
        logs.take(piece("b", "other\n"));
        assert_eq!(shown(&logs), ["one", "other"]);
        logs.take(piece("a", "o\nthree\n"));
        assert_eq!(shown(&logs), ["one", "other", "two", "three"]);
        let many: String = (0..10_100).map(|n| format!("{n}\n")).collect();
        logs.look_for("100".into()).unwrap();
        logs.take(piece("a", &many));
        assert_eq!((logs.lines.len(), logs.first, logs.cursor), (KEPT, 104, 10_103));
        let plain = (100..10_100).filter(|n: &u32| n.to_string().contains("100")).count();
        assert_eq!(logs.find.as_ref().unwrap().count, plain, "counted as lines come and go");
        logs.take(piece("a", &"y".repeat(UNENDED + 1)));
        assert!(logs.unended.is_empty(), "a line without an end is not kept without end");
    }

    #[test]
    fn the_cursor_is_in_sight_and_only_lines_in_sight_are_looked_at() {
        let mut logs = Logs::new(Of::Service);
        logs.take(piece("a", &(0..100).map(|n| format!("{n}\n")).collect::<String>()));
        assert_eq!(logs.window(80, 10), 90..100, "the end is followed");
        logs.height.set(10);
        assert!(logs.moves(KeyCode::Char('k').into()) && !logs.follow);
        assert_eq!(logs.window(80, 10), 90..100);
        logs.take(piece("a", "more\n"));
        assert_eq!(logs.cursor, 98, "what comes does not move the cursor");
        assert!(logs.moves(KeyCode::Char('g').into()));
        assert_eq!(logs.window(80, 10), 0..10);
        assert!(logs.moves(KeyCode::Char('G').into()) && logs.follow);
        assert_eq!(logs.window(80, 10), 91..101);
        // Wrapped, a line takes more rows.
        logs.wrap = true;
        logs.take(piece("a", &format!("{}\n", "z".repeat(25))));
        assert_eq!(logs.window(10, 10), 94..102, "seven lines of one row and one of three");
    }

    #[test]
    fn what_is_looked_for_is_found_forwards_and_backwards() {
        let mut logs = Logs::new(Of::Service);
        logs.take(piece("a", "Timeout\nb\nc timeout\nd\n"));
        logs.look_for("timeout".into()).unwrap();
        assert_eq!(logs.find.as_ref().unwrap().count, 2);
        for (forward, cursor) in [(false, 2), (false, 0), (false, 2), (true, 0), (true, 2)] {
            assert!(logs.next(forward));
            assert_eq!(logs.cursor, cursor);
        }
        logs.look_for("~^x".into()).unwrap();
        assert!(!logs.next(true));
        assert!(logs.look_for("~(".into()).is_err());
        assert!(!Logs::new(Of::Service).next(true));
    }

    proptest! {
        #[test]
        fn no_line_is_anything_to_obey(line in "[\\x00-\\x1f\\x80-\\x9fa-f\\[\\]\\\\;0-9é]{0,60}") {
            let text = neutral(&line);
            prop_assert!(text.chars().all(|c| !c.is_control()), "{:?}", text);
        }
    }
}
