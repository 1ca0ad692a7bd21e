//! The list of packages, and the search.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use serde_json::Value;

use crate::list::List;
use crate::state::{State, Wanted as All};
use crate::text::{clean, pad, width};
use crate::theme::Tone;
use crate::{Effect, Failed, Request};

use super::popup::{Pick, Popup};
use super::{Universe, View, Wanted, detail, entries, text};

/// So long after the last letter the search goes out, in milliseconds.
const DEBOUNCE: u64 = 250;

/// So long after a search that failed it is tried again.
const AGAIN: u64 = 10_000;

/// The search and what it found.
#[derive(Debug, Default)]
pub(super) struct Search {
    pub(super) query: String,
    /// Letters go into it.
    pub(super) typing: bool,
    /// When the last letter was typed that has not been searched for.
    typed: Option<u64>,
    asked: Option<u64>,
    pub(super) found: Option<Vec<Found>>,
    /// How many packages there are in all, once it is known.
    all: Option<usize>,
    failed: Option<Failed>,
    /// When that was.
    failed_at: u64,
    pub(super) list: List,
}

/// A package.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    pub(super) name: String,
    version: String,
    about: String,
    versions: Vec<String>,
    untested: bool,
}

/// The names of versions with their numbers as texts, the newest first.
pub(super) fn newest_first(versions: &Value) -> Vec<String> {
    let number = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(0);
    let mut all: Vec<(u64, &String)> =
        versions.as_object().into_iter().flatten().map(|(version, at)| (number(at), version)).collect();
    all.sort_by(|a, b| b.cmp(a));
    all.into_iter().map(|(_, version)| version.clone()).collect()
}

/// Searches.
pub(super) fn ask(state: &mut State) -> Vec<Effect> {
    let query = state.universe.search.query.trim().to_owned();
    state.universe.search.typed = None;
    let mut effects = Vec::new();
    if let Some(number) = state.universe.search.asked.take() {
        effects.push(state.forget(number));
    }
    let number = state.number(All::Universe(Wanted::Search(query.clone())));
    state.universe.search.asked = Some(number);
    effects.push(Effect::Ask(number, Request::Search(query)));
    effects
}

pub(super) fn tick(state: &mut State) -> Vec<Effect> {
    let search = &state.universe.search;
    let typed = search.typed.is_some_and(|typed| state.now.saturating_sub(typed) >= DEBOUNCE);
    let failed = search.failed.is_some() && state.now.saturating_sub(search.failed_at) >= AGAIN;
    let due = typed || (failed && search.asked.is_none());
    if due { ask(state) } else { Vec::new() }
}

/// What a search found.
pub(super) fn found(
    state: &mut State,
    number: u64,
    query: &str,
    result: Result<Value, Failed>,
) -> Vec<Effect> {
    let search = &mut state.universe.search;
    if search.asked != Some(number) {
        return Vec::new();
    }
    search.asked = None;
    match result {
        Ok(answer) => {
            let before = search.found.iter().flatten().nth(search.list.cursor).map(|one| one.name.clone());
            let found: Vec<Found> = entries(&answer, "packages")
                .iter()
                .map(|one| Found {
                    name: text(one, "name").to_owned(),
                    version: text(one, "currentVersion").to_owned(),
                    about: text(one, "description").lines().next().unwrap_or_default().to_owned(),
                    versions: newest_first(one.get("versions").unwrap_or(&Value::Null)),
                    untested: one.get("tested") == Some(&Value::Bool(false)),
                })
                .collect();
            // The cursor stays at its package.
            let at = before.and_then(|name| found.iter().position(|one| one.name == name));
            search.list.cursor = at.unwrap_or(0);
            if query.is_empty() {
                search.all = Some(found.len());
            }
            search.found = Some(found);
            search.failed = None;
        }
        Err(failed) => {
            search.failed = Some(failed);
            search.failed_at = state.now;
        }
    }
    follow(state)
}

/// The package under the cursor, and the version of it that was chosen.
pub(super) fn chosen(page: &Universe) -> Option<(&str, &str)> {
    let found = page.search.found.as_ref()?.get(page.search.list.cursor)?;
    let version = page.chosen.get(&found.name).unwrap_or(&found.version);
    Some((&found.name, version))
}

/// Reads what is under the cursor, one at a time: whoever runs through the list asks for the last one alone.
pub(super) fn follow(state: &mut State) -> Vec<Effect> {
    let page = &state.universe;
    let Some((name, version)) = chosen(page) else { return Vec::new() };
    if page.describing.is_some() || page.package(name, version).is_some() {
        return Vec::new();
    }
    let (name, version) = (name.to_owned(), version.to_owned());
    let mut effects = Vec::new();
    if !page.versions.contains_key(&name) {
        let wanted = All::Universe(Wanted::Versions(name.clone()));
        effects.push(state.ask(wanted, Request::PackageVersions(name.clone())));
    }
    let number = state.number(All::Universe(Wanted::Describe(name.clone(), version.clone())));
    state.universe.describing = Some(number);
    effects.push(Effect::Ask(number, Request::Describe { name, version: Some(version) }));
    effects
}

pub(super) fn path(state: &State) -> String {
    let search = &state.universe.search;
    if search.typing {
        format!("search: {}_   enter or esc when done", search.query)
    } else if search.query.is_empty() {
        chosen(&state.universe).map(|(name, _)| name.to_owned()).unwrap_or_default()
    } else {
        format!("find: {}   esc: all", search.query)
    }
}

pub(super) fn key(state: &mut State, key: KeyEvent) -> Option<Vec<Effect>> {
    let search = &mut state.universe.search;
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    if search.typing {
        match key.code {
            KeyCode::Esc if !search.query.is_empty() => {
                search.query.clear();
                return Some(ask(state));
            }
            KeyCode::Esc => search.typing = false,
            KeyCode::Enter => {
                search.typing = false;
                if search.typed.is_some() {
                    return Some(ask(state));
                }
            }
            KeyCode::Backspace => {
                search.query.pop();
                search.typed = Some(state.now);
            }
            KeyCode::Char('u') if control => {
                search.query.clear();
                search.typed = Some(state.now);
            }
            KeyCode::Char(c) if !control => {
                search.query.push(c);
                search.typed = Some(state.now);
            }
            KeyCode::Up | KeyCode::Down => {
                let rows = search.found.as_ref().map_or(0, Vec::len);
                search.list.key(key, rows);
                return Some(follow(state));
            }
            _ => {}
        }
        return Some(Vec::new());
    }
    match key.code {
        KeyCode::Char('/') => {
            search.typing = true;
            Some(Vec::new())
        }
        KeyCode::Esc if !search.query.is_empty() => {
            search.query.clear();
            Some(ask(state))
        }
        KeyCode::Char('r') if !control => {
            state.universe.view = View::Repositories;
            state.universe.reader = List::default();
            state.universe.repositories = None;
            Some(vec![state.ask(All::Universe(Wanted::Repositories), Request::Repositories)])
        }
        KeyCode::Char('i') if !state.universe.jobs.is_empty() => {
            state.universe.job = state.universe.jobs.len() - 1;
            state.universe.view = View::Progress;
            Some(Vec::new())
        }
        KeyCode::Enter => {
            if chosen(&state.universe).is_some() {
                state.universe.reader = List::default();
                state.universe.view = View::Reader;
            }
            Some(Vec::new())
        }
        _ => package_key(state, key).or_else(|| {
            let search = &mut state.universe.search;
            let rows = search.found.as_ref().map_or(0, Vec::len);
            search.list.key(key, rows).then(|| follow(state))
        }),
    }
}

/// Keys that concern the package under the cursor.
pub(super) fn package_key(state: &mut State, key: KeyEvent) -> Option<Vec<Effect>> {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return None;
    }
    let letter = match key.code {
        KeyCode::Left => 'h',
        KeyCode::Right => 'l',
        KeyCode::Char(letter @ ('h' | 'l' | 'I' | 'U' | 'D')) => letter,
        _ => return None,
    };
    let (name, version) =
        chosen(&state.universe).map(|(name, version)| (name.to_owned(), version.to_owned()))?;
    match letter {
        'h' | 'l' => {
            let versions = versions(&state.universe, &name);
            let at = versions.iter().position(|one| *one == version).unwrap_or(0);
            // To the right are newer ones.
            let next = if letter == 'l' { at.checked_sub(1) } else { Some(at + 1) };
            if let Some(other) = next.and_then(|next| versions.get(next)) {
                let other = other.clone();
                state.universe.chosen.insert(name, other);
            }
            Some(follow(state))
        }
        'I' => Some(super::begin(state, &name, &version, None)),
        _ => {
            if !state.may_change() {
                state.say(Tone::Look, state.why_not());
                return Some(Vec::new());
            }
            let ids: Vec<String> = state.universe.installed_of(&name).map(|one| one.id.clone()).collect();
            match (ids.as_slice(), letter) {
                ([], _) if state.universe.installed.is_none() => {
                    state.say(Tone::Moving, "what is installed is not known yet");
                }
                ([], _) => state.say(Tone::Look, format!("{name} is not installed; I installs it")),
                ([only], 'U') => return Some(update(state, only)),
                ([only], _) => super::uninstall(state, only),
                (_, _) => {
                    let update = letter == 'U';
                    state.universe.popup = Some(Popup {
                        title: format!("{} which?", if update { "Update" } else { "Uninstall" }),
                        rows: ids,
                        list: List::default(),
                        pick: if update { Pick::Update } else { Pick::Uninstall },
                    });
                }
            }
            Some(Vec::new())
        }
    }
}

/// Begins to update a service to the version that is chosen.
pub(super) fn update(state: &mut State, id: &str) -> Vec<Effect> {
    let Some((name, version)) = chosen(&state.universe) else { return Vec::new() };
    let (name, version) = (name.to_owned(), version.to_owned());
    super::begin(state, &name, &version, Some(id))
}

/// All versions of a package, the newest first.
pub(super) fn versions<'a>(page: &'a Universe, name: &str) -> &'a [String] {
    match page.versions.get(name) {
        Some(versions) if !versions.is_empty() => versions,
        _ => page
            .search
            .found
            .iter()
            .flatten()
            .find(|one| one.name == name)
            .map(|one| one.versions.as_slice())
            .unwrap_or_default(),
    }
}

/// List and detail beside each other; the detail folds away where there is no room.
fn places(place: Rect) -> [Rect; 2] {
    let share = match place.width {
        0..100 => return [place, Rect { width: 0, ..place }],
        100..160 => 48,
        _ => 38,
    };
    Layout::horizontal([Constraint::Percentage(share), Constraint::Fill(1)]).areas(place)
}

pub(super) fn click(state: &mut State, column: u16, row: u16) -> Vec<Effect> {
    let [left, _] = places(crate::draw::page_place(state.size));
    let search = &mut state.universe.search;
    let rows = search.found.as_ref().map_or(0, Vec::len);
    if column < left.right() && row > left.y && row + 1 < left.bottom() {
        let at = search.list.row_at(usize::from(row - left.y - 1));
        if at < rows {
            search.list.cursor = at;
            return follow(state);
        }
    }
    Vec::new()
}

pub(super) fn draw(state: &State, place: Rect, canvas: &mut Buffer) {
    let page = &state.universe;
    let search = &page.search;
    let [left, right] = match &search.found {
        Some(found) if !found.is_empty() => places(place),
        // There is nothing to tell of.
        _ => [place, Rect { width: 0, ..place }],
    };
    let look = state.look();
    let count = search.found.as_ref().map(Vec::len);
    let of = match (count, search.all) {
        (Some(count), Some(all)) if count != all => format!(" · {count} of {all}"),
        (Some(count), _) => format!(" · {count}"),
        _ => String::new(),
    };
    let find = match (search.typing, search.query.as_str()) {
        (false, "") => String::new(),
        (typing, query) => format!(" · find: {query}{}", if typing { "_" } else { "" }),
    };
    let inside = crate::draw::panel(state, &format!("Packages{of}{find}"), true, left, canvas);
    let Some(found) = &search.found else {
        let (tone, words) = match &search.failed {
            Some(failed) => (Tone::Bad, blamed(failed, "it is tried again by itself")),
            None => (Tone::Moving, "Reading the repositories …".to_owned()),
        };
        let (tone, words) = crate::draw::unread(state).unwrap_or((tone, words));
        crate::draw::sentence(state, tone, &words, inside, canvas);
        return;
    };
    let mut rows = inside;
    if let Some(failed) = &search.failed {
        let words = clean(&blamed(failed, "below is what was found before"));
        let lines = super::wrap(&words, usize::from(inside.width.saturating_sub(4))).into_iter().take(2);
        let lines: Vec<Line<'_>> = lines
            .enumerate()
            .map(|(at, line)| {
                let glyph = if at == 0 { look.glyph(Tone::Bad) } else { " " };
                Line::styled(format!(" {glyph} {}", look.plain(&line)), look.tone(Tone::Bad))
            })
            .collect();
        let taken = u16::try_from(lines.len()).unwrap_or(0).min(inside.height);
        super::put(lines, inside, canvas);
        rows = Rect { y: inside.y + taken, height: inside.height - taken, ..inside };
    }
    if found.is_empty() {
        let words = if search.query.is_empty() {
            "There are no packages: r shows the repositories, `clusterctl universe add` adds one.".to_owned()
        } else {
            format!("No package has {:?} in its name, description or tags; esc shows all.", search.query)
        };
        crate::draw::sentence(state, Tone::Off, &words, rows, canvas);
    }
    let window = search.list.window(found.len(), usize::from(rows.height));
    let widest = |of: &dyn Fn(&Found) -> usize| found[window.clone()].iter().map(of).max().unwrap_or(0);
    let version = |one: &Found| page.chosen.get(&one.name).unwrap_or(&one.version).clone();
    let names = widest(&|one| width(&one.name)).clamp(10, 28);
    let numbers = widest(&|one| width(&version(one))).clamp(5, 12);
    let lines = found.iter().enumerate().skip(window.start).take(window.len()).map(|(at, one)| {
        let here = at == search.list.cursor;
        let mut spans = vec![
            Span::raw(look.plain(if here { "▌" } else { " " })),
            Span::raw(pad(&look.plain(&clean(&one.name)), names)),
            Span::raw("  "),
            Span::raw(pad(&look.plain(&clean(&version(one))), numbers)),
            Span::raw("  "),
        ];
        let there: Vec<_> = page.installed_of(&one.name).collect();
        match there.as_slice() {
            [] => {}
            [only] => spans.push(Span::styled(
                format!("{} installed {}  ", look.glyph(Tone::Good), clean(&only.version)),
                look.tone(Tone::Good),
            )),
            several => spans.push(Span::styled(
                format!("{} installed {}×  ", look.glyph(Tone::Good), several.len())
                    .replace('×', &look.plain("×")),
                look.tone(Tone::Good),
            )),
        }
        let untested = one.untested || detail::untested(page, &one.name, &version(one));
        if untested {
            spans.push(Span::styled(format!("{} untested  ", look.glyph(Tone::Look)), look.tone(Tone::Look)));
        }
        spans.push(Span::styled(look.plain(&clean(&one.about)), look.dim()));
        let taken: usize = spans.iter().map(|span| width(&span.content)).sum();
        spans.push(Span::raw(" ".repeat(usize::from(rows.width).saturating_sub(taken))));
        let line = Line::from(spans);
        if here { line.style(look.selected()) } else { line }
    });
    super::put(lines, rows, canvas);
    if right.width > 0 {
        detail::draw(state, right, canvas);
    }
}

/// What went wrong, and what to do.
pub(super) fn blamed(failed: &Failed, otherwise: &str) -> String {
    let hint = if failed.hint.is_empty() { otherwise } else { &failed.hint };
    format!("{}; {hint}", failed.text.trim_end_matches('.'))
}
