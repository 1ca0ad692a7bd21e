//! Services: the list, one of them, its logs.

mod change;
mod detail;
mod list;
mod logs;
mod pieces;
mod text;
mod versions;
mod why;

#[cfg(test)]
mod tests;

use crossterm::event::KeyEvent;
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use serde_json::Value;

use self::change::{Draft, Review};
use self::detail::{Detail, Tab};
use crate::keys::Binding;
use crate::state::{Page, State};
use crate::text::clean;
use crate::theme::Tone;
use crate::{Effect, Failed, LogPiece, Request};

/// From this many columns on, a service opens beside the list.
const WIDE: u16 = 160;

/// What this page remembers.
#[derive(Debug, Default)]
pub(crate) struct Services {
    table: list::Table,
    /// The one that is open.
    open: Option<Detail>,
    /// Keys go to the one that is open, where the list is beside it.
    in_detail: bool,
    /// What is to be sent, for a last look.
    review: Option<Review>,
}

/// For what an answer is.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    /// The definition of a service, to be shown.
    Definition(String),
    /// Its versions.
    Versions(String),
    /// One of them.
    Version(String, String),
    /// Pieces of a log.
    Log,
    /// Something was saved.
    Saved,
    /// The versions, to go back to the one before.
    ToRollBack(String),
    /// The definition, to be edited.
    ToEdit(String),
    /// A definition is in the editor.
    Edited(Box<Draft>),
    /// A definition was sent.
    Sent(Box<Draft>),
    /// A shell has the terminal.
    Shell,
}

/// Something that has to be asked for.
#[derive(Clone, Debug, Default)]
enum Fetched<T> {
    #[default]
    Nothing,
    Asked,
    Here(T),
    Failed(Failed),
}

impl<T> Fetched<T> {
    fn here(&self) -> Option<&T> {
        match self {
            Self::Here(it) => Some(it),
            _ => None,
        }
    }

    /// Why it is not there, as a sentence.
    fn why_not(&self) -> Option<(Tone, String)> {
        match self {
            Self::Here(_) => None,
            Self::Nothing | Self::Asked => Some((Tone::Moving, "Asking the cluster …".to_owned())),
            Self::Failed(failed) => Some((Tone::Bad, said(failed))),
        }
    }
}

/// A failure in one sentence, with what to do.
fn said(failed: &Failed) -> String {
    let hint = if failed.hint.is_empty() { String::new() } else { format!("; {}", failed.hint) };
    format!("{}{hint}", failed.text)
}

fn is_wide(state: &State) -> bool {
    state.size.0 >= WIDE
}

/// Whether keys go to the service that is open.
fn in_detail(state: &State) -> bool {
    state.services.open.is_some() && (state.services.in_detail || !is_wide(state))
}

/// The page comes into sight.
pub(crate) fn enter(state: &mut State) -> Vec<Effect> {
    logs::again(state)
}

/// Time has passed: what is open is kept up with the cluster.
pub(crate) fn tick(state: &mut State) -> Vec<Effect> {
    if state.services.open.is_none() {
        return Vec::new();
    }
    if state.page != Page::Services {
        return logs::pause(state);
    }
    let mut effects = detail::follow_version(state);
    effects.extend(logs::more_tasks(state));
    effects
}

/// Opens one of them.
pub(crate) fn open(state: &mut State, id: &str) -> Vec<Effect> {
    let same = state.services.open.as_ref().is_some_and(|detail| detail.id == id);
    state.services.in_detail = true;
    if same {
        return Vec::new();
    }
    let mut effects = close(state);
    let mut table = std::mem::take(&mut state.services.table);
    table.show(state, id);
    state.services.table = table;
    state.services.open = Some(Detail::new(id));
    state.services.in_detail = true;
    effects.extend(detail::follow_version(state));
    effects
}

/// Closes what is open.
fn close(state: &mut State) -> Vec<Effect> {
    let effects = logs::end(state);
    state.services.open = None;
    state.services.in_detail = false;
    effects
}

/// Takes an answer.
pub(crate) fn answer(
    state: &mut State,
    number: u64,
    wanted: Wanted,
    result: Result<Value, Failed>,
) -> Vec<Effect> {
    match wanted {
        Wanted::Definition(id) => {
            if let Some(detail) = state.services.open.as_mut().filter(|detail| detail.id == id) {
                detail.definition = match result {
                    Ok(body) => Fetched::Here(text::yaml(&change::bare(body["app"].clone()))),
                    Err(failed) => Fetched::Failed(failed),
                };
            }
            Vec::new()
        }
        Wanted::Versions(id) => versions::came(state, &id, result),
        Wanted::Version(id, version) => {
            versions::one_came(state, &id, version, result);
            Vec::new()
        }
        Wanted::Log => {
            if let Err(failed) = result {
                logs::failed(state, number, &failed);
            }
            Vec::new()
        }
        Wanted::Saved => {
            match result {
                Ok(path) => {
                    state.say(Tone::Good, format!("saved as {}", path.as_str().unwrap_or_default()));
                }
                Err(failed) => state.say(Tone::Bad, said(&failed)),
            }
            Vec::new()
        }
        Wanted::ToRollBack(id) => {
            match result {
                Ok(body) => change::roll_back_to(state, &id, &versions::read(&body), None),
                Err(failed) => state.say(Tone::Bad, format!("cannot roll back {id}: {}", said(&failed))),
            }
            Vec::new()
        }
        Wanted::ToEdit(id) => match result {
            Ok(body) => change::edit(state, &id, body["app"].clone()),
            Err(failed) => {
                state.say(Tone::Bad, format!("cannot edit {id}: {}", said(&failed)));
                Vec::new()
            }
        },
        Wanted::Edited(draft) => {
            change::edited(state, *draft, result);
            Vec::new()
        }
        Wanted::Sent(draft) => {
            change::sent(state, *draft, result);
            Vec::new()
        }
        Wanted::Shell => {
            if let Err(failed) = result {
                state.say(Tone::Bad, said(&failed));
            }
            Vec::new()
        }
    }
}

/// Whether letters go into a text.
pub(crate) fn types(state: &State) -> bool {
    if state.services.review.is_some() {
        return false;
    }
    match &state.services.open {
        Some(detail) if in_detail(state) => detail.types(),
        _ => state.services.table.prompt.open,
    }
}

/// Where one is on this page.
pub(crate) fn path(state: &State) -> String {
    match &state.services.open {
        Some(detail) => format!("{} › {}", detail.id, detail.tab.name()),
        None => String::new(),
    }
}

/// Whether a letter that has a meaning everywhere has another one here.
pub(crate) fn takes(_state: &State, _letter: char) -> bool {
    false
}

/// A log that is followed has more.
pub(crate) fn log(state: &mut State, number: u64, piece: LogPiece) {
    logs::take(state, number, piece);
}

/// What keys do here.
pub(crate) fn bindings(state: &State) -> Vec<Binding> {
    use crate::keys::{changes, looks};
    if let Some(review) = &state.services.review {
        return review.bindings();
    }
    if let Some(detail) = state.services.open.as_ref().filter(|_| in_detail(state)) {
        return detail.bindings();
    }
    let mut all = vec![looks("enter", "open"), looks("l", "logs"), looks("/", "filter")];
    if state.services.table.prompt.open {
        all = vec![looks("enter", "keep"), looks("esc", "clear")];
    }
    all.extend([
        changes("S", "scale"),
        changes("R", "restart"),
        changes("B", "roll back"),
        changes("P", "suspend"),
        changes("E", "edit"),
        changes("N", "new"),
        changes("D", "delete"),
        looks("o", "sort"),
        looks("t", "tree/flat"),
        looks("space", "mark"),
        looks("h", "fold"),
        looks("c", "copy id"),
    ]);
    all
}

/// Takes a key; nothing when it has no use for it.
pub(crate) fn key(state: &mut State, key: KeyEvent) -> Option<Vec<Effect>> {
    if state.services.review.is_some() {
        return Some(change::review_key(state, key));
    }
    if in_detail(state) { detail::key(state, key) } else { list::key(state, key) }
}

/// Something was clicked at that place of the screen.
pub(crate) fn click(state: &mut State, column: u16, row: u16) -> Vec<Effect> {
    if state.services.review.is_some() {
        return Vec::new();
    }
    let narrow_detail = state.services.open.is_some() && !is_wide(state);
    if !narrow_detail && let Some(again) = state.services.table.click(state, column, row) {
        state.services.in_detail = false;
        return if again {
            list::key(state, crossterm::event::KeyCode::Enter.into()).unwrap_or_default()
        } else {
            Vec::new()
        };
    }
    detail::click(state, column, row)
}

pub(crate) fn draw(state: &State, place: Rect, canvas: &mut Buffer) {
    draw_all(state, place, canvas);
    if state.look().ascii {
        // What was cut to fit, and what else may have come in from outside.
        for at in place.positions() {
            if let Some(cell) = canvas.cell_mut(at).filter(|cell| !cell.symbol().is_ascii()) {
                let plain = state.look().plain(cell.symbol());
                cell.set_char(plain.chars().next().unwrap_or('?'));
            }
        }
    }
}

fn draw_all(state: &State, place: Rect, canvas: &mut Buffer) {
    if let Some(review) = &state.services.review {
        return review.draw(state, place, canvas);
    }
    let Some(detail) = &state.services.open else {
        return state.services.table.draw(state, true, place, canvas);
    };
    if detail.zoom {
        return detail.draw(state, true, place, canvas);
    }
    if !is_wide(state) {
        return detail.draw(state, true, place, canvas);
    }
    let [left, right] = Layout::horizontal([Constraint::Fill(2), Constraint::Fill(3)]).areas(place);
    state.services.table.draw(state, !in_detail(state), left, canvas);
    detail.draw(state, in_detail(state), right, canvas);
}

/// A label for a title, of somebody else's words.
fn title_of(id: &str, rest: &str) -> String {
    format!("{}{rest}", clean(id))
}

/// Asks for something of the service that is open.
fn ask(state: &mut State, wanted: Wanted, request: Request) -> Effect {
    state.ask(crate::state::Wanted::Services(wanted), request)
}

/// A number for an effect of this page.
fn number(state: &mut State, wanted: Wanted) -> u64 {
    state.number(crate::state::Wanted::Services(wanted))
}

/// Which tab is in sight.
fn tab(state: &State) -> Option<Tab> {
    state.services.open.as_ref().map(|detail| detail.tab)
}
