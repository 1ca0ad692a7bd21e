//! Help and palette: both are made of the table of keys.

use crossterm::event::KeyEvent;

use crate::Effect;
use crate::state::State;

/// The help, and how far it is scrolled.
#[derive(Clone, Debug, Default)]
pub(crate) struct Help {
    pub(crate) line: usize,
}

/// What is being typed into the palette.
#[derive(Clone, Debug, Default)]
pub(crate) struct Palette {
    pub(crate) typed: String,
    pub(crate) cursor: usize,
}

impl Palette {
    pub(crate) fn paste(&mut self, text: &str) {
        self.typed.push_str(&crate::text::clean(text));
    }
}

pub(crate) fn help_key(state: &mut State, _key: KeyEvent) -> Vec<Effect> {
    state.help = None;
    Vec::new()
}

pub(crate) fn palette_key(state: &mut State, _key: KeyEvent) -> Vec<Effect> {
    state.palette = None;
    Vec::new()
}

pub(crate) fn draw_help(
    state: &State,
    help: &Help,
    place: ratatui::layout::Rect,
    canvas: &mut ratatui::buffer::Buffer,
) {
    let _ = (state, help, place, canvas);
}

pub(crate) fn draw_palette(
    state: &State,
    palette: &Palette,
    place: ratatui::layout::Rect,
    canvas: &mut ratatui::buffer::Buffer,
) {
    let _ = (state, palette, place, canvas);
}
