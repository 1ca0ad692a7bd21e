//! A list to choose one thing from.

use crossterm::event::{KeyCode, KeyEvent};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::{Clear, Widget};
use serde_json::Value;

use crate::Effect;
use crate::list::List;
use crate::state::State;
use crate::text::{clean, pad, width};

use super::list;

/// What is chosen.
#[derive(Clone, Debug)]
pub(super) enum Pick {
    /// The service to update.
    Update,
    /// The service to remove.
    Uninstall,
    /// A value for a field.
    Value(usize, Vec<Value>),
}

/// The list.
#[derive(Clone, Debug)]
pub(super) struct Popup {
    pub(super) title: String,
    pub(super) rows: Vec<String>,
    pub(super) list: List,
    pub(super) pick: Pick,
}

pub(super) fn key(state: &mut State, key: KeyEvent) -> Vec<Effect> {
    let Some(popup) = &mut state.universe.popup else { return Vec::new() };
    match key.code {
        KeyCode::Esc | KeyCode::Char('q') => state.universe.popup = None,
        KeyCode::Enter | KeyCode::Char(' ') => {
            let Some(popup) = state.universe.popup.take() else { return Vec::new() };
            let Some(row) = popup.rows.get(popup.list.cursor) else { return Vec::new() };
            match &popup.pick {
                Pick::Update => return list::update(state, row),
                Pick::Uninstall => super::uninstall(state, row),
                Pick::Value(field, values) => {
                    if let (Some(value), Some(draft)) =
                        (values.get(popup.list.cursor), &mut state.universe.draft)
                    {
                        draft.form.change(*field, |field| field.put(value.clone()));
                    }
                }
            }
        }
        _ => {
            let rows = popup.rows.len();
            popup.list.key(key, rows);
        }
    }
    Vec::new()
}

impl Popup {
    pub(super) fn draw(&self, state: &State, screen: Rect, canvas: &mut Buffer) {
        let wide = self.rows.iter().map(|row| width(row)).chain([width(&self.title) + 2]).max().unwrap_or(0);
        let columns = u16::try_from(wide + 4).unwrap_or(u16::MAX);
        let rows = u16::try_from(self.rows.len() + 2).unwrap_or(u16::MAX).min(screen.height);
        let place = crate::dialog::centered(screen, columns, rows);
        Clear.render(place, canvas);
        let inside = crate::draw::panel(state, &self.title, true, place, canvas);
        let look = state.look();
        let window = self.list.window(self.rows.len(), usize::from(inside.height));
        let lines = self.rows.iter().enumerate().skip(window.start).take(window.len()).map(|(at, row)| {
            let style = if at == self.list.cursor { look.selected() } else { look.text() };
            Line::styled(pad(&look.plain(&format!(" {}", clean(row))), usize::from(inside.width)), style)
        });
        super::put(lines, inside, canvas);
    }
}
