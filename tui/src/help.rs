//! Help and palette: both are made of the table of keys.

mod palette;

use crossterm::event::{KeyCode, KeyEvent};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Widget};

pub(crate) use palette::{Palette, draw_palette, palette_key};

use crate::Effect;
use crate::dialog::centered;
use crate::draw::panel;
use crate::keys::{Binding, EVERYWHERE, LISTS};
use crate::state::State;
use crate::text::pad;
use crate::theme::Tone;

/// The help, and how far it is scrolled.
#[derive(Clone, Debug, Default)]
pub(crate) struct Help {
    pub(crate) line: usize,
}

/// How wide the help is at most.
const WIDE: u16 = 96;

const GLYPHS: [(Tone, &str); 6] = [
    (Tone::Good, "well: it runs, it is healthy"),
    (Tone::Moving, "under way: starting, deploying, ending"),
    (Tone::Look, "look at it: waiting, unhealthy, disconnected"),
    (Tone::Bad, "failed, or cannot be reached"),
    (Tone::Off, "off: nothing is to run, or it has ended"),
    (Tone::Unknown, "nothing is known of it"),
];

/// A line of the help.
enum Part {
    Title(&'static str),
    /// Two keys beside each other.
    Keys(Binding, Option<Binding>),
    Glyph(Tone, &'static str),
    Text(&'static str),
    Nothing,
}

fn parts(state: &State) -> Vec<Part> {
    let mut parts = Vec::new();
    let may = state.may_change();
    let here: Vec<Binding> = state.bindings().into_iter().filter(|binding| may || !binding.changes).collect();
    for (title, keys) in
        [("This page", here.as_slice()), ("Lists and texts", LISTS), ("Everywhere", EVERYWHERE)]
    {
        if keys.is_empty() {
            continue;
        }
        parts.push(Part::Title(title));
        // Down the left column, then down the right one.
        let half = keys.len().div_ceil(2);
        parts.extend((0..half).map(|at| Part::Keys(keys[at], keys.get(half + at).copied())));
        parts.push(Part::Nothing);
    }
    parts.push(Part::Title("What the signs mean"));
    parts.extend(GLYPHS.map(|(tone, means)| Part::Glyph(tone, means)));
    parts.push(Part::Nothing);
    parts.push(Part::Title("Rules"));
    parts.extend(
        [
            "Small letters look, capitals change. What changes something asks first, and stands on Cancel.",
            "A filter takes words (all must be there), a|b, !word, ~regex, and fields like status:waiting.",
            "Old data stays in sight, dimmed; the first line says how old it is.",
        ]
        .map(Part::Text),
    );
    parts
}

pub(crate) fn help_key(state: &mut State, key: KeyEvent) -> Vec<Effect> {
    let last = parts(state).len().saturating_sub(1);
    let Some(help) = &mut state.help else { return Vec::new() };
    help.line = match key.code {
        KeyCode::Char('j') | KeyCode::Down => help.line + 1,
        KeyCode::Char('k') | KeyCode::Up => help.line.saturating_sub(1),
        KeyCode::PageDown | KeyCode::Char(' ' | 'd') => help.line + 10,
        KeyCode::PageUp | KeyCode::Char('u') => help.line.saturating_sub(10),
        KeyCode::Char('g') | KeyCode::Home => 0,
        KeyCode::Char('G') | KeyCode::End => last,
        _ => {
            state.help = None;
            return Vec::new();
        }
    }
    .min(last);
    Vec::new()
}

pub(crate) fn draw_help(state: &State, help: &Help, place: Rect, canvas: &mut Buffer) {
    let look = state.look();
    let parts = parts(state);
    let rows = u16::try_from(parts.len() + 2).unwrap_or(u16::MAX);
    let place = centered(place, WIDE.min(place.width), rows.min(place.height));
    Clear.render(place, canvas);
    canvas.set_style(place, look.text());
    let height = usize::from(place.height.saturating_sub(2));
    let first = help.line.min(parts.len().saturating_sub(height));
    let more = if parts.len() > height { " · j k scroll" } else { "" };
    let title = format!("Help · {}{more} · esc closes", state.page.name());
    let inside = panel(state, &title, true, place, canvas);
    let half = usize::from(inside.width.saturating_sub(2)) / 2;
    let key = |binding: Binding| {
        let tone = if binding.changes { look.tone(Tone::Look) } else { look.strong() };
        [
            Span::styled(format!(" {} ", pad(binding.key, 13)), tone),
            Span::raw(pad(binding.does, half.saturating_sub(15))),
        ]
    };
    for (row, part) in inside.rows().zip(parts.into_iter().skip(first)) {
        let line = match part {
            Part::Title(title) => Line::styled(format!(" {title}"), look.strong()),
            Part::Keys(one, other) => {
                Line::from_iter(key(one).into_iter().chain(other.into_iter().flat_map(key)))
            }
            Part::Glyph(tone, means) => Line::from_iter([
                Span::styled(format!(" {}  ", look.glyph(tone)), look.tone(tone)),
                Span::raw(means),
            ]),
            Part::Text(text) => Line::raw(format!(" {}", look.plain(text))),
            Part::Nothing => Line::default(),
        };
        line.render(row, canvas);
    }
}
