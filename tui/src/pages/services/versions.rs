//! The versions of a service, and what differs between the current one and another.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crossterm::event::{KeyCode, KeyEvent};
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use serde_json::Value;

use super::detail::Tab;
use super::pieces::{moment, row, span};
use super::text::{Pane, yaml};
use super::{Fetched, Wanted, change};
use crate::diff::{Sign, diff};
use crate::draw::sentence;
use crate::list::List;
use crate::state::State;
use crate::text::{age, clean, fit, pad};
use crate::theme::Tone;
use crate::{Effect, Failed, Request};

/// The difference that was made last, and between which versions.
type Made = Option<(String, String, Vec<(Sign, String)>)>;

/// What is known of the versions.
#[derive(Debug, Default)]
pub(super) struct Versions {
    /// The newest first.
    known: Fetched<Vec<String>>,
    list: List,
    /// Definitions that were asked for.
    texts: BTreeMap<String, Fetched<String>>,
    made: RefCell<Made>,
    pane: Pane,
}

/// The timestamps of an answer.
pub(super) fn read(body: &Value) -> Vec<String> {
    let versions = body["versions"].as_array().into_iter().flatten();
    versions.filter_map(|version| version.as_str().map(str::to_owned)).collect()
}

impl Versions {
    /// They are being asked for; what is known stays in sight.
    pub(super) fn begin(&mut self) {
        if self.known.here().is_none() {
            self.known = Fetched::Asked;
        }
    }

    pub(super) fn has_failed(&self) -> bool {
        matches!(self.known, Fetched::Failed(_))
    }

    /// N of vN: the oldest that is known is 1.
    pub(super) fn number(&self, version: &str) -> Option<usize> {
        let known = self.known.here()?;
        known.iter().position(|known| known == version).map(|at| known.len() - at)
    }

    /// The newest first; nothing when they are not known.
    pub(super) fn known(&self) -> Option<&Vec<String>> {
        self.known.here()
    }

    /// The one under the cursor.
    pub(super) fn shown(&self) -> Option<&str> {
        self.known.here()?.get(self.list.cursor).map(String::as_str)
    }

    fn current(&self) -> Option<&str> {
        self.known.here()?.first().map(String::as_str)
    }

    pub(super) fn key(&mut self, key: KeyEvent) -> bool {
        match key.code {
            // The list is beside the difference: capitals scroll that.
            KeyCode::Char('J') => self.pane.key(KeyCode::Down.into()),
            KeyCode::Char('K') => self.pane.key(KeyCode::Up.into()),
            KeyCode::PageDown | KeyCode::PageUp => self.pane.key(key),
            _ => {
                let rows = self.known.here().map_or(0, Vec::len);
                let moved = self.list.key(key, rows);
                if moved {
                    self.pane = Pane::default();
                }
                moved
            }
        }
    }

    pub(super) fn draw(&self, state: &State, id: &str, place: Rect, canvas: &mut Buffer) {
        let look = state.look();
        let Some(known) = self.known.here() else {
            if let Some((tone, text)) = self.known.why_not() {
                sentence(state, tone, &text, place, canvas);
            }
            return;
        };
        let wide = place.width >= 70;
        let [left, gap, right] = if wide {
            Layout::horizontal([Constraint::Length(24), Constraint::Length(1), Constraint::Fill(1)])
                .areas(place)
        } else {
            let rows = u16::try_from(known.len()).unwrap_or(u16::MAX).min(place.height / 3).max(1);
            Layout::vertical([Constraint::Length(rows), Constraint::Length(1), Constraint::Fill(1)])
                .areas(place)
        };
        for (line, at) in self.list.window(known.len(), usize::from(left.height)).enumerate() {
            let (Some(version), Some(row)) = (known.get(at), row(left, line)) else { break };
            let name = format!("v{}", known.len() - at);
            let when = moment(version)
                .map_or_else(|| clean(version), |at| format!("{} ago", age(state.now.saturating_sub(at))));
            let x = span(canvas, row, row.x, &format!(" {}", pad(&name, 6)), look.strong());
            let x = span(canvas, row, x, &pad(&when, 12), look.text());
            if at == 0 {
                span(canvas, row, x, "now", look.tone(Tone::Good));
            }
            if at == self.list.cursor {
                canvas.set_style(row, look.selected());
            }
        }
        if wide {
            for y in gap.y..gap.bottom() {
                canvas.set_string(gap.x, y, look.border().vertical_left, look.dim());
            }
        } else {
            canvas.set_string(
                gap.x,
                gap.y,
                look.border().horizontal_top.repeat(usize::from(gap.width)),
                look.dim(),
            );
        }
        self.draw_difference(state, id, right, canvas);
    }

    fn draw_difference(&self, state: &State, id: &str, place: Rect, canvas: &mut Buffer) {
        let look = state.look();
        let (Some(current), Some(shown)) = (self.current(), self.shown()) else {
            return sentence(state, Tone::Off, "No version of this service is known.", place, canvas);
        };
        if current == shown {
            let text = if self.known.here().is_some_and(|known| known.len() > 1) {
                "This is the current version. j goes to an older one, and shows what differs."
            } else {
                "This is the only version that is known."
            };
            return sentence(state, Tone::Off, text, place, canvas);
        }
        let text = |version: &str| self.texts.get(version).unwrap_or(&Fetched::Nothing);
        let (Some(old), Some(new)) = (text(current).here(), text(shown).here()) else {
            let why = text(current).why_not().filter(|(tone, _)| *tone == Tone::Bad);
            if let Some((tone, text)) = why.or_else(|| text(shown).why_not()) {
                sentence(state, tone, &text, place, canvas);
            } else {
                sentence(state, Tone::Moving, "Asking the cluster …", place, canvas);
            }
            return;
        };
        let number = |version: &str| self.number(version).unwrap_or_default();
        let title = format!("v{} → v{}   {shown}", number(current), number(shown));
        let [head, body, foot] =
            Layout::vertical([Constraint::Length(1), Constraint::Fill(1), Constraint::Length(1)])
                .areas(place);
        span(canvas, head, head.x, &look.plain(&clean(&title)), look.strong());
        let mut made = self.made.borrow_mut();
        if !made.as_ref().is_some_and(|(a, b, _)| a == current && b == shown) {
            *made = Some((current.to_owned(), shown.to_owned(), diff(old, new)));
        }
        let lines = made.as_ref().map_or(&[][..], |(_, _, lines)| lines.as_slice());
        if lines.is_empty() {
            sentence(state, Tone::Off, "Nothing differs but the time.", body, canvas);
        } else {
            self.pane.draw_diff(state, lines, body, canvas);
        }
        let request = Request::RollBack { id: id.to_owned(), version: shown.to_owned(), force: false };
        let command = request.command().unwrap_or_default();
        let command = fit(&clean(&format!("B: {command}")), usize::from(foot.width));
        span(canvas, foot, foot.x, &command, look.dim());
    }
}

/// The versions came.
pub(super) fn came(state: &mut State, id: &str, result: Result<Value, Failed>) -> Vec<Effect> {
    let Some(detail) = state.services.open.as_mut().filter(|detail| detail.id == id) else {
        return Vec::new();
    };
    match result {
        Ok(body) => {
            let versions = read(&body);
            let at = detail.versions.shown().map(str::to_owned);
            let at = at.and_then(|at| versions.iter().position(|version| *version == at));
            // The one before the current one is what is looked for most.
            let first = usize::from(versions.len() > 1);
            detail.versions.list.cursor = at.filter(|at| *at > 0).unwrap_or(first);
            detail.versions.known = Fetched::Here(versions);
        }
        // What was known stays.
        Err(_) if detail.versions.known.here().is_some() => {}
        Err(failed) => detail.versions.known = Fetched::Failed(failed),
    }
    want(state)
}

/// Asks for the two definitions that are compared, where the tab is in sight.
pub(super) fn want(state: &mut State) -> Vec<Effect> {
    let mut effects = Vec::new();
    let Some(detail) = state.services.open.as_mut().filter(|detail| detail.tab == Tab::Versions) else {
        return effects;
    };
    let versions = &mut detail.versions;
    let wanted = [versions.current().map(str::to_owned), versions.shown().map(str::to_owned)];
    if wanted[0] == wanted[1] {
        return effects;
    }
    let id = detail.id.clone();
    for version in wanted.into_iter().flatten() {
        let Some(detail) = &mut state.services.open else { break };
        let text = detail.versions.texts.entry(version.clone()).or_default();
        if matches!(text, Fetched::Nothing | Fetched::Failed(_)) {
            *text = Fetched::Asked;
            let wanted = Wanted::Version(id.clone(), version.clone());
            effects.push(super::ask(state, wanted, Request::Version(id.clone(), version)));
        }
    }
    effects
}

/// One of the definitions came.
pub(super) fn one_came(state: &mut State, id: &str, version: String, result: Result<Value, Failed>) {
    let Some(detail) = state.services.open.as_mut().filter(|detail| detail.id == id) else { return };
    let text = match result {
        Ok(definition) => Fetched::Here(yaml(&change::bare(definition)).join("\n")),
        Err(failed) => Fetched::Failed(failed),
    };
    detail.versions.texts.insert(version, text);
}
