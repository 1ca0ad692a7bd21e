//! What takes time.

use crossterm::event::KeyEvent;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::Effect;
use crate::keys::Binding;
use crate::state::State;

/// What this page remembers.
#[derive(Debug, Default)]
pub(crate) struct Deployments {}

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
