//! The first step: a package's options.

use std::sync::Arc;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;
use serde_json::{Map, Value};

use crate::dialog::{Asks, Dialog};
use crate::form::{FEW, Field, Form, Hint, Kind, Row, shown};
use crate::list::List;
use crate::state::{State, Wanted as All};
use crate::text::{clean, fit, pad, width};
use crate::theme::{Look, Tone};
use crate::{Effect, Failed};

use super::popup::{Pick, Popup};
use super::review::Review;
use super::{View, Wanted, wrap};

/// An installation or an update that is being put together.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) package: Arc<Value>,
    /// The service that is updated; nothing for a new one.
    pub(super) target: Option<String>,
    pub(super) form: Form,
    /// As what it is installed, as it was typed; empty for the package's own choice.
    pub(super) id: String,
    id_touched: bool,
    /// The keys go to the id.
    pub(super) at_id: bool,
    pub(super) section: usize,
    pub(super) list: List,
    /// How many characters are to the right of where letters go.
    back: usize,
    pub(super) review: Option<Review>,
    /// The options that are installed could not be read.
    lost: bool,
}

/// The options that a service of a package was installed with: they stand in a label of it, or of its parts.
pub(super) fn stored(state: &State, id: &str) -> Option<Value> {
    use base64::Engine as _;
    let below = format!("{id}/");
    let services = state.cluster.services.values();
    let mut of_it = services.filter(|service| {
        let label = service.labels.get("CLUSTERCTL_PACKAGE_ID");
        label.is_some_and(|label| label == id)
            || (label.is_none() && (service.id == id || service.id.starts_with(&below)))
    });
    of_it.find_map(|service| {
        let text = service.labels.get("DCOS_PACKAGE_OPTIONS")?;
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
        serde_json::from_slice(&bytes).ok().filter(Value::is_object)
    })
}

impl Draft {
    /// `given` are the options of a service that is updated: `Some(None)` when they are not known.
    pub(super) fn new(
        package: Arc<Value>,
        name: &str,
        version: &str,
        target: Option<&str>,
        given: Option<&Option<Value>>,
    ) -> Self {
        let options = given.cloned().flatten().unwrap_or_else(|| Value::Object(Map::new()));
        let form = Form::new(package.get("config").unwrap_or(&Value::Null), &options);
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            target: target.map(str::to_owned),
            at_id: target.is_none(),
            id: String::new(),
            id_touched: false,
            section: 0,
            list: super::at(first_field(&form, 0)),
            back: 0,
            review: None,
            lost: given == Some(&None),
            form,
            package,
        }
    }

    pub(super) fn is_for(&self, name: &str, version: &str, target: Option<&str>) -> bool {
        self.name == name && self.version == version && self.target.as_deref() == target
    }

    pub(super) fn title(&self) -> String {
        match &self.target {
            Some(id) => format!("update {id} to {} {}", self.name, self.version),
            None => format!("install {} {}", self.name, self.version),
        }
    }

    /// As what it is installed; nothing for the package's own choice.
    pub(super) fn as_what(&self) -> Option<String> {
        if let Some(id) = &self.target {
            return Some(id.clone());
        }
        let id = self.id.trim().trim_matches('/');
        (!id.is_empty()).then(|| format!("/{id}"))
    }

    /// What the package would call itself.
    fn own_id(&self) -> String {
        let by_form = self.form.fields.iter().find(|field| field.path == ["service", "name"]);
        let name = by_form.and_then(Field::value).map_or_else(|| self.name.clone(), |name| shown(&name));
        format!("/{}", name.trim_matches('/'))
    }

    pub(super) fn id_fault(&self) -> Option<&'static str> {
        let id = self.id.trim().trim_matches('/');
        let good = |part: &str| {
            let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
            !part.is_empty() && part.chars().all(inner) && !part.starts_with('-') && !part.ends_with('-')
        };
        (!id.is_empty() && !id.split('/').all(good))
            .then_some("parts of a-z, 0-9, - and ., with / between them: /team/kafka")
    }

    fn field(&self) -> Option<usize> {
        match self.form.sections.get(self.section)?.rows.get(self.list.cursor)? {
            Row::Field(number) if !self.at_id => Some(*number),
            _ => None,
        }
    }

    pub(super) fn current(&self) -> Option<&Field> {
        self.form.fields.get(self.field()?)
    }

    /// Whether letters go into a text.
    pub(super) fn types(&self) -> bool {
        self.at_id || self.current().is_some_and(Field::types)
    }

    pub(super) fn touched(&self) -> bool {
        self.form.touched || self.id_touched
    }

    /// Goes to the next field, over the ends of sections.
    fn step(&mut self, forward: bool) {
        let fields: Vec<usize> = (0..self.form.fields.len()).collect();
        let order: Vec<usize> = self
            .form
            .sections
            .iter()
            .flat_map(|section| section.rows.iter())
            .filter_map(|row| if let Row::Field(number) = row { Some(*number) } else { None })
            .collect();
        debug_assert_eq!(order.len(), fields.len(), "every field is in one section");
        let here = self.field().and_then(|field| order.iter().position(|one| *one == field));
        let can_id = self.target.is_none();
        let next = match (here, forward) {
            (None, true) => order.first(),
            (None, false) => order.last(),
            (Some(at), true) => order.get(at + 1),
            (Some(at), false) => at.checked_sub(1).and_then(|at| order.get(at)),
        };
        match next {
            Some(number) => self.go(*number),
            // Past an end: the id, or around.
            None if can_id => self.at_id = true,
            None => {
                let around = if forward { order.first() } else { order.last() };
                if let Some(number) = around {
                    self.go(*number);
                }
            }
        }
    }

    fn go(&mut self, number: usize) {
        if let Some((section, row)) = self.form.place(number) {
            if self.section != section {
                self.list = List::default();
            }
            self.section = section;
            self.list.cursor = row;
            self.at_id = false;
        }
    }

    /// Goes to another section.
    fn turn(&mut self, forward: bool) {
        let last = self.form.sections.len().saturating_sub(1);
        let next = if forward { (self.section + 1).min(last) } else { self.section.saturating_sub(1) };
        if next != self.section || self.at_id {
            self.section = next;
            self.list = super::at(first_field(&self.form, next));
            self.at_id = self.form.sections.is_empty() && self.target.is_none();
        }
    }

    /// Goes to the first field with a fault.
    pub(super) fn find_fault(&mut self) {
        let first =
            self.form.faults.at.keys().filter_map(|number| Some((self.form.place(*number)?, *number))).min();
        if let Some((_, number)) = first {
            self.go(number);
        }
    }
}

fn first_field(form: &Form, section: usize) -> usize {
    let rows = form.sections.get(section).map(|section| section.rows.as_slice()).unwrap_or_default();
    rows.iter().position(|row| matches!(row, Row::Field(_))).unwrap_or(0)
}

pub(super) fn key(state: &mut State, key: KeyEvent) -> Option<Vec<Effect>> {
    let Some(draft) = &mut state.universe.draft else {
        state.universe.view = View::List;
        return Some(Vec::new());
    };
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    let typing = draft.types();
    let back = std::mem::take(&mut draft.back);
    let number = draft.field();
    match key.code {
        KeyCode::Esc => return Some(leave(state)),
        KeyCode::Char('q') if !typing => return Some(leave(state)),
        KeyCode::Char('s') if control => return Some(super::review::begin(state)),
        KeyCode::Char('e') if control => {
            let text = draft.form.yaml();
            let number = state.number(All::Universe(Wanted::Edited(None)));
            return Some(vec![Effect::Edit(number, text, ".yaml".to_owned())]);
        }
        KeyCode::Tab | KeyCode::Down => draft.step(true),
        KeyCode::BackTab | KeyCode::Up => draft.step(false),
        KeyCode::Char('j') if !typing && !control => draft.step(true),
        KeyCode::Char('k') if !typing && !control => draft.step(false),
        KeyCode::PageDown => draft.turn(true),
        KeyCode::PageUp => draft.turn(false),
        KeyCode::Delete => {
            if let Some(number) = number {
                draft.form.change(number, Field::reset);
            }
        }
        KeyCode::Enter => return Some(enter(state)),
        KeyCode::Left | KeyCode::Right | KeyCode::Home | KeyCode::End if typing => {
            let most = match draft.current() {
                Some(field) => field.length(),
                None => draft.id.chars().count(),
            };
            draft.back = match key.code {
                KeyCode::Left => (back + 1).min(most),
                KeyCode::Right => back.saturating_sub(1),
                KeyCode::Home => most,
                _ => 0,
            };
        }
        _ if draft.at_id => {
            match key.code {
                KeyCode::Backspace => crate::form::take_before(&mut draft.id, back),
                KeyCode::Char('u') if control => draft.id.clear(),
                KeyCode::Char(c) if !control && !c.is_whitespace() => {
                    crate::form::put_before(&mut draft.id, back, c);
                }
                _ => return Some(Vec::new()),
            }
            draft.back = back.min(draft.id.chars().count());
            draft.id_touched = true;
        }
        _ => {
            let number = number?;
            let choice =
                matches!(draft.current().map(|field| &field.kind), Some(Kind::Check | Kind::Choice(_)));
            match key.code {
                KeyCode::Char(' ' | 'l') | KeyCode::Right if choice && !control => {
                    draft.form.change(number, |field| field.turn(true));
                }
                KeyCode::Char('h') | KeyCode::Left if choice && !control => {
                    draft.form.change(number, |field| field.turn(false));
                }
                KeyCode::Char('u') if typing && control => draft.form.change(number, Field::empty),
                KeyCode::Backspace if typing => {
                    draft.form.change(number, |field| field.pop(back));
                    draft.back = back;
                }
                KeyCode::Char(c) if typing && !control => {
                    draft.form.change(number, |field| field.push(c, back));
                    draft.back = back;
                }
                _ if typing => {}
                _ => return None,
            }
        }
    }
    Some(Vec::new())
}

fn enter(state: &mut State) -> Vec<Effect> {
    let regions: Vec<Value> = {
        let all: std::collections::BTreeSet<&String> =
            state.cluster.nodes.values().filter_map(|node| node.region.as_ref()).collect();
        all.into_iter().map(|region| Value::String(region.clone())).collect()
    };
    let Some(draft) = &mut state.universe.draft else { return Vec::new() };
    let Some((number, field)) =
        draft.field().and_then(|number| Some((number, draft.form.fields.get(number)?)))
    else {
        draft.step(true);
        return Vec::new();
    };
    let values = match &field.kind {
        Kind::Check => {
            draft.form.change(number, |field| field.turn(true));
            return Vec::new();
        }
        Kind::Choice(values) if values.len() <= FEW => {
            draft.form.change(number, |field| field.turn(true));
            return Vec::new();
        }
        Kind::Choice(values) => values.clone(),
        Kind::Text(Hint::Region) if !regions.is_empty() => regions,
        Kind::Yaml | Kind::Lines => {
            let Some((text, ending)) = field.for_editor() else { return Vec::new() };
            let number = state.number(All::Universe(Wanted::Edited(Some(number))));
            return vec![Effect::Edit(number, text, ending)];
        }
        _ => {
            draft.step(true);
            return Vec::new();
        }
    };
    let now = field.value();
    let cursor = values.iter().position(|value| Some(value) == now.as_ref()).unwrap_or(0);
    state.universe.popup = Some(Popup {
        title: field.path.join("."),
        rows: values.iter().map(shown).collect(),
        list: super::at(cursor),
        pick: Pick::Value(number, values),
    });
    Vec::new()
}

fn leave(state: &mut State) -> Vec<Effect> {
    if !state.universe.draft.as_ref().is_some_and(Draft::touched) {
        return super::leave(state);
    }
    // Not through `open`: who may not change anything may still leave.
    let lines = vec![(Some(Tone::Look), "What was typed here is lost then.".to_owned())];
    state.dialog = Some(Dialog::ask("Leave these options?".to_owned(), lines, "Leave", Asks::Leave));
    Vec::new()
}

/// The editor is closed.
pub(super) fn edited(state: &mut State, field: Option<usize>, result: Result<Value, Failed>) -> Vec<Effect> {
    let Some(draft) = &mut state.universe.draft else { return Vec::new() };
    match result {
        Err(failed) => state.say(Tone::Bad, format!("the editor: {}", failed.text)),
        // Left as it was.
        Ok(Value::String(text)) => match field {
            Some(number) => draft.form.change(number, |field| field.edited(text)),
            None => match draft.form.read(&text) {
                Ok(()) => {
                    draft.section = 0;
                    draft.list = super::at(first_field(&draft.form, 0));
                    draft.find_fault();
                }
                Err(why) => state.say(Tone::Bad, format!("nothing was taken: {why}")),
            },
        },
        Ok(_) => {}
    }
    Vec::new()
}

/// The head of all three steps.
pub(super) fn head(state: &State, draft: &Draft, step: usize, place: Rect, canvas: &mut Buffer) {
    let look = state.look();
    let mut spans = match &draft.target {
        Some(id) => vec![Span::styled(
            format!(" Update {} to {} {}", clean(id), clean(&draft.name), clean(&draft.version)),
            look.strong(),
        )],
        None => {
            let focused = step == 0 && draft.at_id;
            let (typed, style) = match (draft.id.is_empty(), focused) {
                (true, false) => (draft.own_id(), look.dim()),
                (_, true) => (marked(&draft.id, draft.back), look.selected()),
                _ => (draft.id.clone(), look.text()),
            };
            vec![
                Span::styled(
                    format!(" Install {} {} as ", clean(&draft.name), clean(&draft.version)),
                    look.strong(),
                ),
                Span::styled(format!("[ {} ]", pad(&clean(&typed), 20)), style),
            ]
        }
    };
    if step == 0 && draft.id_fault().is_some() {
        spans.push(Span::styled(format!(" {}", look.glyph(Tone::Bad)), look.tone(Tone::Bad)));
    }
    Line::from(spans).render(place, canvas);
    let steps = Line::from_iter(["1 Options", "2 Review", "3 Progress"].into_iter().enumerate().flat_map(
        |(at, name)| {
            let style = if at == step { look.selected() } else { look.dim() };
            [
                Span::raw(if at == 0 { String::new() } else { look.plain(" › ") }),
                Span::styled(format!(" {name} "), style),
            ]
        },
    ));
    let wide = u16::try_from(steps.width() + 1).unwrap_or(place.width);
    if wide + 50 <= place.width {
        steps.render(Rect { x: place.right() - wide, width: wide, ..place }, canvas);
    }
}

pub(super) fn draw(state: &State, place: Rect, canvas: &mut Buffer) {
    let Some(draft) = &state.universe.draft else { return };
    let look = state.look();
    let [top, middle] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(place);
    head(state, draft, 0, top, canvas);
    let left = if place.width >= 80 { 24 } else { 0 };
    let right = match place.width {
        0..100 => 0,
        100..160 => 34,
        _ => 56,
    };
    let [sections, fields, yaml] =
        Layout::horizontal([Constraint::Length(left), Constraint::Fill(1), Constraint::Length(right)])
            .areas(middle);
    if left > 0 {
        draw_sections(state, draft, sections, canvas);
    }
    draw_fields(state, draft, left == 0, fields, canvas);
    if right > 0 {
        let inside = crate::draw::panel(state, "options.yaml · what differs", false, yaml, canvas);
        let lines = super::yaml_lines(&draft.form.differs());
        if lines.is_empty() {
            super::put([Line::styled(" nothing: all as the defaults", look.dim())], inside, canvas);
        }
        let wide = usize::from(inside.width);
        let lines = lines.into_iter().map(|line| Line::raw(fit(&look.plain(&format!(" {line}")), wide)));
        super::put(lines, inside, canvas);
    }
}

fn draw_sections(state: &State, draft: &Draft, place: Rect, canvas: &mut Buffer) {
    let look = state.look();
    let inside = crate::draw::panel(state, "Sections", false, place, canvas);
    let list = super::at(draft.section);
    let window = list.window(draft.form.sections.len(), usize::from(inside.height));
    let lines =
        draft.form.sections.iter().enumerate().skip(window.start).take(window.len()).map(|(at, section)| {
            let faults = draft.form.faults_in(section);
            let fields = section.rows.iter().filter(|row| matches!(row, Row::Field(_))).count();
            let tone = if faults > 0 { Tone::Bad } else { Tone::Good };
            let counted =
                if faults > 0 { format!("{} {faults}", look.glyph(Tone::Bad)) } else { fields.to_string() };
            let room = usize::from(inside.width).saturating_sub(width(&counted) + 4);
            let style = if at == draft.section && !draft.at_id { look.selected() } else { look.text() };
            Line::from_iter([
                Span::styled(format!(" {} ", look.glyph(tone)), look.tone(tone)),
                Span::styled(pad(&look.plain(&clean(&section.name)), room), style),
                Span::styled(counted, if faults > 0 { look.tone(Tone::Bad) } else { look.dim() }),
            ])
        });
    super::put(lines, inside, canvas);
}

/// A text with a mark where letters go.
fn marked(text: &str, back: usize) -> String {
    let mut text = clean(text);
    crate::form::put_before(&mut text, back, '_');
    text
}

/// How a field's value looks.
fn control(field: &Field, back: Option<usize>, look: Look, room: usize) -> Vec<Span<'static>> {
    let focused = back.is_some();
    let style = if focused { look.selected() } else { look.text() };
    match &field.kind {
        Kind::Check => {
            let mark = match field.value() {
                Some(Value::Bool(true)) => "[x]".to_owned(),
                Some(Value::Bool(false)) => "[ ]".to_owned(),
                None => "[-] not set".to_owned(),
                Some(other) => format!("[?] {}", fit(&clean(&shown(&other)), room.saturating_sub(4))),
            };
            vec![Span::styled(mark, style)]
        }
        Kind::Choice(values)
            if values.len() <= FEW
                && values.iter().map(|value| width(&shown(value)) + 5).sum::<usize>() <= room =>
        {
            let now = field.value();
            let known = values.iter().any(|value| Some(value) == now.as_ref());
            let mut spans: Vec<Span<'static>> = values
                .iter()
                .flat_map(|value| {
                    let here = Some(value) == now.as_ref();
                    let words =
                        format!("({}) {}", if here { "x" } else { " " }, look.plain(&clean(&shown(value))));
                    [Span::styled(words, if here { style } else { look.dim() }), Span::raw(" ")]
                })
                .collect();
            if let (false, Some(other)) = (known, now) {
                spans.push(Span::styled(format!("now {}", look.plain(&clean(&shown(&other)))), style));
            } else if !known && focused {
                spans.push(Span::styled("not set", style));
            }
            spans
        }
        Kind::Yaml | Kind::Lines => {
            let words = match field.text() {
                text if text.is_empty() => "empty".to_owned(),
                text if text.lines().count() > 1 => format!("{} lines", text.lines().count()),
                text => fit(&look.plain(&clean(&text)), room.saturating_sub(12)),
            };
            vec![Span::styled(format!("{{ {words} }}"), style), Span::styled(" $EDITOR", look.dim())]
        }
        _ => {
            let text = clean(&field.text());
            let many = matches!(field.kind, Kind::Choice(_));
            let inner = room.saturating_sub(4).min(40);
            // Of a long text is shown where it is being typed.
            let back = back.filter(|_| field.types());
            let mut words = back.map_or_else(|| text.clone(), |back| marked(&text, back));
            if width(&words) > inner && focused {
                let right = back.unwrap_or(0).saturating_sub(inner / 2);
                let skip = words.chars().count().saturating_sub(right + inner.saturating_sub(1));
                words = format!("…{}", words.chars().skip(skip).collect::<String>());
            }
            let least = match field.kind {
                Kind::Integer | Kind::Number => 8,
                _ => 16,
            };
            let inner = width(&words).clamp(least.min(inner), inner);
            let words = look
                .plain(&pad(&words, inner))
                .replace('?', if look.ascii && field.hidden() { "*" } else { "?" });
            vec![Span::styled(
                format!("[ {words} ]{}", if many { " …" } else { "" }).replace('…', &look.plain("…")),
                style,
            )]
        }
    }
}

fn draw_fields(state: &State, draft: &Draft, named: bool, place: Rect, canvas: &mut Buffer) {
    let look = state.look();
    let Some(section) = draft.form.sections.get(draft.section) else {
        let inside = crate::draw::panel(state, "Options", !draft.at_id, place, canvas);
        let words = "This package has no options. ctrl-s goes on.";
        let [text, foot] = Layout::vertical([Constraint::Fill(1), Constraint::Length(2)]).areas(inside);
        crate::draw::sentence(state, Tone::Off, words, text, canvas);
        super::put(foot_of_id(draft, look, usize::from(foot.width)), foot, canvas);
        return;
    };
    let title = if named {
        format!("{} · section {} of {}", section.name, draft.section + 1, draft.form.sections.len())
    } else {
        section.name.clone()
    };
    let inside = crate::draw::panel(state, &title, true, place, canvas);
    let about = draft.current().map_or(section.about.as_str(), |field| field.about.as_str());
    let wide = usize::from(inside.width).saturating_sub(2);
    let mut foot: Vec<Line<'static>> = Vec::new();
    if draft.at_id {
        foot.extend(foot_of_id(draft, look, wide));
    } else {
        foot.extend(
            wrap(&clean(about), wide)
                .into_iter()
                .take(3)
                .map(|line| Line::raw(format!(" {}", look.plain(&line)))),
        );
        if let Some(field) = draft.current() {
            let facts = clean(&field.facts().join(", "));
            foot.extend(
                wrap(&facts, wide)
                    .into_iter()
                    .take(2)
                    .map(|line| Line::styled(format!(" {}", look.plain(&line)), look.dim())),
            );
            if let Some(fault) = draft.field().and_then(|number| draft.form.faults.at.get(&number)) {
                let words = wrap(&clean(fault), wide.saturating_sub(2)).into_iter().take(2).enumerate();
                foot.extend(words.map(|(at, line)| {
                    let glyph = if at == 0 { look.glyph(Tone::Bad) } else { " " };
                    Line::styled(format!(" {glyph} {}", look.plain(&line)), look.tone(Tone::Bad))
                }));
            }
        }
    }
    for other in draft.form.faults.other.iter().take(2) {
        foot.push(Line::styled(
            fit(&format!(" {} {}", look.glyph(Tone::Bad), look.plain(&clean(other))), wide + 1),
            look.tone(Tone::Bad),
        ));
    }
    if draft.lost {
        let words = " ▲ The options it was installed with cannot be read: these are the defaults.";
        foot.push(Line::styled(
            fit(&words.replace('▲', look.glyph(Tone::Look)), wide + 1),
            look.tone(Tone::Look),
        ));
    }
    let below = u16::try_from(foot.len()).unwrap_or(0).min(inside.height / 2);
    let [rows, rule, text] =
        Layout::vertical([Constraint::Fill(1), Constraint::Length(1), Constraint::Length(below)])
            .areas(inside);
    let line = if look.ascii { "-" } else { "─" };
    canvas.set_stringn(
        rule.x,
        rule.y,
        line.repeat(usize::from(rule.width)),
        usize::from(rule.width),
        look.dim(),
    );
    super::put(foot, text, canvas);
    let names = section.rows.iter().map(|row| match row {
        Row::Group(name, depth) => width(name) + depth * 2,
        Row::Field(number) => {
            draft.form.fields.get(*number).map_or(0, |field| width(field.name()) + field.depth * 2)
        }
    });
    let column = names.max().unwrap_or(0).clamp(12, (wide / 2).clamp(12, 30));
    let window = draft.list.window(section.rows.len(), usize::from(rows.height));
    let lines = section.rows.iter().enumerate().skip(window.start).take(window.len()).map(|(at, row)| {
        let here = !draft.at_id && at == draft.list.cursor;
        let mark = Span::raw(look.plain(if here { "▌" } else { " " }));
        match row {
            Row::Group(name, depth) => Line::from_iter([
                mark,
                Span::styled(format!("{}{}", "  ".repeat(*depth), look.plain(&clean(name))), look.strong()),
            ]),
            Row::Field(number) => {
                let Some(field) = draft.form.fields.get(*number) else { return Line::default() };
                let name = format!("{}{}", "  ".repeat(field.depth), clean(field.name()));
                let differs = field.kept().is_some();
                let style = if differs { look.strong() } else { Style::new() };
                let mut spans =
                    vec![mark, Span::styled(pad(&look.plain(&name), column), style), Span::raw("  ")];
                spans.extend(control(
                    field,
                    here.then_some(draft.back),
                    look,
                    wide.saturating_sub(column + 3),
                ));
                let taken: usize = spans.iter().map(|span| width(&span.content)).sum();
                let room = wide.saturating_sub(taken + 1);
                let (words, style) = match draft.form.faults.at.get(number) {
                    Some(fault) => (
                        format!("{} {}", look.glyph(Tone::Bad), look.plain(&clean(fault))),
                        look.tone(Tone::Bad),
                    ),
                    None => (look.plain(&clean(&field.facts().join(", "))), look.dim()),
                };
                if room > 3 {
                    spans.push(Span::styled(format!("  {}", fit(&words, room - 1)), style));
                }
                Line::from(spans)
            }
        }
    });
    super::put(lines, rows, canvas);
}

fn foot_of_id(draft: &Draft, look: Look, wide: usize) -> Vec<Line<'static>> {
    let words = format!("The id of the service; left empty, it is {}.", draft.own_id());
    let mut lines = vec![Line::raw(fit(&look.plain(&clean(&format!(" {words}"))), wide))];
    if let Some(fault) = draft.id_fault() {
        lines.push(Line::styled(
            fit(&format!(" {} {fault}", look.glyph(Tone::Bad)), wide),
            look.tone(Tone::Bad),
        ));
    }
    lines
}
