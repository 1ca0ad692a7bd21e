//! Questions before something is changed: what it takes, the same as a command line, and Cancel first.

use crossterm::event::{KeyCode, KeyEvent};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Widget};

use crate::Request;
use crate::text::{clean, fit, width};
use crate::theme::{Look, Tone};

/// A question with at most one field, a word to type where nothing can be undone, and two buttons.
#[derive(Clone, Debug)]
pub(crate) struct Dialog {
    pub(crate) title: String,
    /// What it is about: a tone for the first column, and the text.
    pub(crate) lines: Vec<(Option<Tone>, String)>,
    /// A field with its name and what stands in it.
    pub(crate) field: Option<(String, String)>,
    /// What has to be typed before it is done.
    pub(crate) confirm: Option<(String, String)>,
    /// What the first button says.
    pub(crate) button: &'static str,
    /// What is to be done.
    pub(crate) what: Asks,
    /// Where the keys go.
    pub(crate) focus: Focus,
    /// What is wrong with what was typed.
    pub(crate) fault: Option<String>,
}

/// What a dialog does when it is accepted.
#[derive(Clone, Debug)]
pub(crate) enum Asks {
    /// Sends this request.
    Send(Request),
    /// Sets how many instances there are of this service; the number is in the field.
    Scale(String),
    /// Leaves the page with what was typed in it.
    Leave,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Focus {
    Field,
    Confirm,
    Accept,
    Cancel,
}

/// What a key made of a dialog.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It goes on.
    Open,
    /// It was cancelled.
    Cancelled,
    /// It was accepted.
    Accepted(Accepted),
}

/// What is to be done now.
#[derive(Debug)]
pub(crate) enum Accepted {
    Send(Request),
    Leave,
}

impl Dialog {
    /// A question with the two buttons alone.
    pub(crate) fn ask(
        title: String,
        lines: Vec<(Option<Tone>, String)>,
        button: &'static str,
        what: Asks,
    ) -> Self {
        Self { title, lines, field: None, confirm: None, button, what, focus: Focus::Cancel, fault: None }
    }

    /// With a field, where the keys go first.
    pub(crate) fn with_field(mut self, name: &str, value: String) -> Self {
        self.field = Some((name.to_owned(), value));
        self.focus = Focus::Field;
        self
    }

    /// With a word that has to be typed.
    pub(crate) fn with_confirm(mut self, word: &str) -> Self {
        self.confirm = Some((word.to_owned(), String::new()));
        self.focus = Focus::Confirm;
        self
    }

    fn stops(&self) -> Vec<Focus> {
        let mut stops = Vec::new();
        if self.field.is_some() {
            stops.push(Focus::Field);
        }
        if self.confirm.is_some() {
            stops.push(Focus::Confirm);
        }
        stops.extend([Focus::Accept, Focus::Cancel]);
        stops
    }

    fn step(&mut self, forward: bool) {
        let stops = self.stops();
        let at = stops.iter().position(|stop| *stop == self.focus).unwrap_or(0);
        let next = if forward { at + 1 } else { at + stops.len() - 1 } % stops.len();
        self.focus = stops[next];
    }

    pub(crate) fn key(&mut self, key: KeyEvent) -> Outcome {
        match (key.code, self.focus) {
            (KeyCode::Esc, _) => return Outcome::Cancelled,
            (KeyCode::Tab | KeyCode::Down, _) => self.step(true),
            (KeyCode::BackTab | KeyCode::Up, _) => self.step(false),
            (KeyCode::Left | KeyCode::Right, Focus::Accept | Focus::Cancel) => {
                self.focus = if self.focus == Focus::Accept { Focus::Cancel } else { Focus::Accept };
            }
            (KeyCode::Enter, Focus::Cancel) => return Outcome::Cancelled,
            (KeyCode::Enter, Focus::Field | Focus::Confirm) => self.step(true),
            (KeyCode::Enter, Focus::Accept) => return self.accept(),
            (KeyCode::Backspace, _) => {
                if let Some(text) = self.typed() {
                    text.pop();
                }
            }
            (KeyCode::Char('h' | 'l'), Focus::Accept | Focus::Cancel) => {
                self.focus = if self.focus == Focus::Accept { Focus::Cancel } else { Focus::Accept };
            }
            (KeyCode::Char(c), _) => {
                if let Some(text) = self.typed() {
                    text.push(c);
                }
            }
            _ => {}
        }
        self.fault = None;
        Outcome::Open
    }

    fn typed(&mut self) -> Option<&mut String> {
        match self.focus {
            Focus::Field => self.field.as_mut().map(|(_, text)| text),
            Focus::Confirm => self.confirm.as_mut().map(|(_, text)| text),
            _ => None,
        }
    }

    pub(crate) fn paste(&mut self, pasted: &str) {
        if let Some(text) = self.typed() {
            text.push_str(&clean(pasted));
        }
    }

    fn accept(&mut self) -> Outcome {
        if let Some((word, typed)) = &self.confirm
            && word != typed
        {
            self.fault = Some(format!("type {word} to confirm"));
            self.focus = Focus::Confirm;
            return Outcome::Open;
        }
        match &self.what {
            Asks::Send(request) => Outcome::Accepted(Accepted::Send(request.clone())),
            Asks::Leave => Outcome::Accepted(Accepted::Leave),
            Asks::Scale(_) => match self.request() {
                Some(request) => Outcome::Accepted(Accepted::Send(request)),
                None => {
                    self.fault = Some("a whole number of instances, 0 or more".to_owned());
                    self.focus = Focus::Field;
                    Outcome::Open
                }
            },
        }
    }

    /// The request as it stands now.
    fn request(&self) -> Option<Request> {
        match &self.what {
            Asks::Send(request) => Some(request.clone()),
            Asks::Scale(id) => {
                let (_, typed) = self.field.as_ref()?;
                let instances = typed.trim().parse().ok()?;
                Some(Request::Scale { id: id.clone(), instances, force: false })
            }
            Asks::Leave => None,
        }
    }

    pub(crate) fn draw(&self, look: Look, screen: Rect, canvas: &mut Buffer) {
        let mut lines: Vec<Line<'_>> = Vec::new();
        for (tone, text) in &self.lines {
            let glyph = tone.map(|tone| Span::styled(format!("{} ", look.glyph(tone)), look.tone(tone)));
            lines.push(Line::from_iter(glyph.into_iter().chain([Span::raw(look.plain(&clean(text)))])));
        }
        let field = |name: &str, value: &str, focused: bool| {
            let style = if focused { look.selected() } else { look.text() };
            Line::from_iter([
                Span::raw(format!("{name}   ")),
                Span::styled(format!("[ {}{} ]", clean(value), if focused { "_" } else { "" }), style),
            ])
        };
        if let Some((name, value)) = &self.field {
            lines.push(field(name, value, self.focus == Focus::Field));
        }
        if let Some((word, typed)) = &self.confirm {
            lines.push(field(&format!("Type {word}:"), typed, self.focus == Focus::Confirm));
        }
        if let Some(command) = self.request().and_then(|request| request.command()) {
            lines.push(Line::styled(clean(&command), look.dim()));
        }
        if let Some(fault) = &self.fault {
            lines.push(Line::styled(format!("{} {fault}", look.glyph(Tone::Bad)), look.tone(Tone::Bad)));
        }
        let button = |name: &str, focused: bool| {
            Span::styled(format!("[ {name} ]"), if focused { look.selected() } else { look.text() })
        };
        lines.push(Line::default());
        lines.push(
            Line::from_iter([
                button(self.button, self.focus == Focus::Accept),
                Span::raw("   "),
                button("Cancel", self.focus == Focus::Cancel),
            ])
            .centered(),
        );
        let wide = lines.iter().map(|line| line.width()).chain([width(&self.title) + 4]).max().unwrap_or(0);
        let columns = u16::try_from(wide + 4).unwrap_or(u16::MAX).min(screen.width);
        let rows = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX).min(screen.height);
        let place = centered(screen, columns, rows);
        Clear.render(place, canvas);
        let block = Block::bordered()
            .border_set(look.border())
            .border_style(look.frame(true))
            .title(fit(&format!(" {} ", clean(&self.title)), usize::from(columns.saturating_sub(2))));
        let inside = block.inner(place);
        block.render(place, canvas);
        for (line, row) in lines.into_iter().zip(inside.rows()) {
            let inner = Rect { x: row.x + 1, width: row.width.saturating_sub(2), ..row };
            line.render(inner, canvas);
        }
    }
}

/// A place of that size in the middle of another.
pub(crate) fn centered(within: Rect, columns: u16, rows: u16) -> Rect {
    Rect {
        x: within.x + within.width.saturating_sub(columns) / 2,
        y: within.y + within.height.saturating_sub(rows) / 2,
        width: columns.min(within.width),
        height: rows.min(within.height),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enter_alone_changes_nothing_and_a_word_has_to_be_typed() {
        let request = Request::Delete("/web".into());
        let mut dialog = Dialog::ask("Delete".into(), vec![], "Delete", Asks::Send(request.clone()));
        assert!(matches!(dialog.key(KeyCode::Enter.into()), Outcome::Cancelled));
        let mut dialog =
            Dialog::ask("Delete".into(), vec![], "Delete", Asks::Send(request.clone())).with_confirm("/web");
        dialog.key(KeyCode::Enter.into());
        assert!(matches!(dialog.key(KeyCode::Enter.into()), Outcome::Open), "nothing was typed");
        assert!(dialog.fault.is_some());
        for c in "/web".chars() {
            dialog.key(KeyCode::Char(c).into());
        }
        dialog.key(KeyCode::Enter.into());
        let Outcome::Accepted(Accepted::Send(found)) = dialog.key(KeyCode::Enter.into()) else { panic!() };
        assert_eq!(found, request);
    }

    #[test]
    fn a_number_that_is_none_is_refused() {
        let mut dialog = Dialog::ask("Scale".into(), vec![], "Scale", Asks::Scale("/web".into()))
            .with_field("Instances", "x".into());
        dialog.key(KeyCode::Enter.into());
        assert!(matches!(dialog.key(KeyCode::Enter.into()), Outcome::Open));
        assert_eq!(dialog.focus, Focus::Field);
        dialog.key(KeyCode::Backspace.into());
        dialog.key(KeyCode::Char('3').into());
        dialog.key(KeyCode::Enter.into());
        let Outcome::Accepted(Accepted::Send(found)) = dialog.key(KeyCode::Enter.into()) else { panic!() };
        assert_eq!(found, Request::Scale { id: "/web".into(), instances: 3, force: false });
    }
}
