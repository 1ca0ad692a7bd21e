//! Packages: search, options, review, progress.

use crossterm::event::KeyEvent;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::Effect;
use crate::keys::Binding;
use crate::state::State;

/// What this page remembers.
#[derive(Debug, Default)]
pub(crate) struct Universe {}

/// For what an answer is.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {}

/// The page comes into sight.
pub(crate) fn enter(_state: &mut State) -> Vec<Effect> {
    Vec::new()
}

/// Takes an answer.
pub(crate) fn answer(
    _state: &mut State,
    _number: u64,
    _wanted: Wanted,
    _result: Result<serde_json::Value, crate::Failed>,
) -> Vec<Effect> {
    Vec::new()
}

/// Whether letters go into a text.
pub(crate) fn types(_state: &State) -> bool {
    false
}

/// Where one is on this page.
pub(crate) fn path(_state: &State) -> String {
    String::new()
}

/// How far an installation has come.
pub(crate) fn progress(_state: &mut State, _number: u64, _progress: crate::Progress) {}

/// A second has passed.
pub(crate) fn tick(_state: &mut State) -> Vec<Effect> {
    Vec::new()
}

/// What was typed is given up.
pub(crate) fn leave(_state: &mut State) -> Vec<Effect> {
    Vec::new()
}

/// What keys do here.
pub(crate) fn bindings(_state: &State) -> Vec<Binding> {
    Vec::new()
}

/// Takes a key; nothing when it has no use for it.
pub(crate) fn key(_state: &mut State, _key: KeyEvent) -> Option<Vec<Effect>> {
    None
}

/// Something was clicked at that place of the screen.
pub(crate) fn click(_state: &mut State, _column: u16, _row: u16) -> Vec<Effect> {
    Vec::new()
}

pub(crate) fn draw(_state: &State, _place: Rect, _canvas: &mut Buffer) {}

/// Whether something here is under way whose time shows.
pub(crate) fn moves(_state: &State) -> bool {
    false
}
