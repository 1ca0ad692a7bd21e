//! The palette: the words of the command line, pages, themes, and the names of what there is.

use std::collections::BTreeSet;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Widget};

use crate::draw::panel;
use crate::pages::universe;
use crate::state::{Page, State};
use crate::text::{clean, pad, width};
use crate::theme::{Theme, Tone};
use crate::{Effect, Request};

/// How many candidates there are at most, and how many lines of them are shown.
const MOST: usize = 200;
const LINES: usize = 10;

/// How many lines the history has at most.
const HISTORY: usize = 100;

/// What is being typed into the palette.
#[derive(Clone, Debug, Default)]
pub(crate) struct Palette {
    pub(crate) typed: String,
    pub(crate) cursor: usize,
    /// How far back in the history, from 1; 0 is what is typed.
    back: usize,
}

impl Palette {
    pub(crate) fn paste(&mut self, text: &str) {
        self.typed.push_str(&clean(text));
        self.cursor = 0;
    }
}

/// What stands behind the words of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    Nothing,
    Service,
    /// A service and a number.
    Scale,
    Node,
    Package,
}

/// What a command does, with what was given to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    Page(Page),
    Theme(Theme),
    Show,
    /// The service's page with this key pressed: the same dialogs as there.
    Press(char),
    ShowNode,
    ShowPackage,
    Help,
    Mouse,
    Ascii,
    Quit,
}

/// A command: its words, what follows, what it is for.
struct Command {
    words: String,
    takes: Takes,
    does: Does,
    hint: &'static str,
    changes: bool,
}

fn commands(may_change: bool) -> Vec<Command> {
    let command = |words: &str, takes, does, hint| Command {
        words: words.to_owned(),
        takes,
        does,
        hint,
        changes: matches!(does, Does::Press('S' | 'R' | 'P' | 'B' | 'E' | 'D' | 'N')),
    };
    let mut all = vec![
        command("service show", Takes::Service, Does::Show, "open a service"),
        command("service logs", Takes::Service, Does::Press('l'), "follow its logs"),
        command("service scale", Takes::Scale, Does::Press('S'), "how many instances there are"),
        command("service restart", Takes::Service, Does::Press('R'), "replace its instances"),
        command("service suspend", Takes::Service, Does::Press('P'), "run no instance any more"),
        command("service rollback", Takes::Service, Does::Press('B'), "go back to an older version"),
        command("service edit", Takes::Service, Does::Press('E'), "change it in your editor"),
        command("service remove", Takes::Service, Does::Press('D'), "remove it"),
        command("service create", Takes::Nothing, Does::Press('N'), "write a new one in your editor"),
        command("service list", Takes::Nothing, Does::Page(Page::Services), "the page of services"),
        command("service deployments", Takes::Nothing, Does::Page(Page::Deployments), "what is under way"),
        command("node show", Takes::Node, Does::ShowNode, "open a node"),
        command("node list", Takes::Nothing, Does::Page(Page::Nodes), "the page of nodes"),
        command("package install", Takes::Package, Does::ShowPackage, "find it, and go on from there"),
        command("package describe", Takes::Package, Does::ShowPackage, "what it is and needs"),
        command("package search", Takes::Nothing, Does::Page(Page::Universe), "the page of packages"),
    ];
    all.extend(
        Page::ALL.map(|page| command(&page.name().to_lowercase(), Takes::Nothing, Does::Page(page), "page")),
    );
    all.extend(Theme::ALL.iter().map(|(name, theme)| {
        command(&format!("theme {name}"), Takes::Nothing, Does::Theme(*theme), "colours")
    }));
    all.extend([
        command("ascii", Takes::Nothing, Does::Ascii, "signs of ASCII alone, or not"),
        command("mouse", Takes::Nothing, Does::Mouse, "listen to the mouse, or do not"),
        command("help", Takes::Nothing, Does::Help, "keys and signs"),
        command("quit", Takes::Nothing, Does::Quit, "leave the dashboard"),
    ]);
    all.retain(|command| may_change || !command.changes);
    all
}

/// Something that can be chosen now.
#[derive(Clone, Debug)]
struct Candidate {
    /// The whole line.
    line: String,
    hint: String,
    /// Something has to be added before it can be done.
    open: bool,
    does: Does,
    /// The name of a service, a node, a package.
    name: String,
    /// How many instances.
    number: Option<u32>,
    score: i32,
}

/// How well `wanted` fits `text`, whose letters it must have in its order: what stands in it as it is typed counts most, then
/// beginnings of words and neighbours.
fn fuzzy(wanted: &str, text: &str) -> Option<i32> {
    let length = i32::try_from(text.len()).unwrap_or(i32::MAX).min(200) / 4;
    let letters: Vec<char> = wanted.chars().filter(|c| !c.is_whitespace()).collect();
    let text: Vec<char> = text.chars().collect();
    let Some(first) = letters.first() else { return Some(-length) };
    let begins = |at: usize| at == 0 || !text[at - 1].is_alphanumeric();
    let from = |start: usize| {
        let (mut score, mut at, mut last) = (0, start, None);
        for wanted in &letters {
            while !text.get(at)?.eq_ignore_ascii_case(wanted) {
                at += 1;
            }
            score += 1;
            if begins(at) {
                score += 6;
            }
            if last.is_some_and(|last: usize| last + 1 == at) {
                score += 8;
            }
            last = Some(at);
            at += 1;
        }
        // As it was typed, and all of a word.
        let together = last? + 1 - start == letters.len();
        if together && text.get(at).is_none_or(|next| !next.is_alphanumeric()) && begins(start) {
            score += 10;
        }
        Some(score)
    };
    let starts = (0..text.len()).filter(|at| text[*at].eq_ignore_ascii_case(first));
    starts.filter_map(from).max().map(|score| score * 4 - length)
}

/// What there is of a kind, and how it stands.
fn names(state: &State, takes: Takes) -> Vec<(String, String)> {
    let cluster = &state.cluster;
    match takes {
        Takes::Nothing => Vec::new(),
        Takes::Service | Takes::Scale => {
            let of = |service: &api::watch::Service| {
                let (_, status) = crate::cluster::service_status(service);
                format!("{status} {}/{}", service.running, service.instances)
            };
            cluster.services.values().map(|service| (service.id.clone(), of(service))).collect()
        }
        Takes::Node => {
            cluster.nodes.values().map(|node| (node.hostname.clone(), node.state.clone())).collect()
        }
        Takes::Package => {
            let of = |service: &'_ std::sync::Arc<api::watch::Service>| {
                service.labels.get("DCOS_PACKAGE_NAME").cloned()
            };
            let mut known: std::collections::BTreeMap<String, String> =
                universe::names(state).map(|name| (name.to_owned(), String::new())).collect();
            known.extend(cluster.services.values().filter_map(of).map(|name| (name, "installed".to_owned())));
            known.into_iter().collect()
        }
    }
}

/// What can be chosen with what is typed, the best first.
fn candidates(state: &State, typed: &str) -> Vec<Candidate> {
    let typed = typed.trim_start();
    let typed = typed.strip_prefix("clusterctl ").unwrap_or(typed);
    let mut found = Vec::new();
    for command in commands(state.may_change()) {
        let rest = typed.strip_prefix(command.words.as_str());
        match rest.and_then(|rest| rest.strip_prefix(' ')) {
            Some(rest) if command.takes != Takes::Nothing => with_name(state, &command, rest, &mut found),
            _ => {
                let line = command.words.clone();
                let Some(score) = fuzzy(typed.trim_end(), &line) else { continue };
                let what = match command.takes {
                    Takes::Nothing => "",
                    Takes::Service => " SERVICE",
                    Takes::Scale => " SERVICE INSTANCES",
                    Takes::Node => " NODE",
                    Takes::Package => " PACKAGE",
                };
                found.push(Candidate {
                    line,
                    hint: format!("{}{what}", command.hint).trim().to_owned(),
                    open: command.takes != Takes::Nothing,
                    does: command.does,
                    name: String::new(),
                    number: None,
                    score,
                });
            }
        }
    }
    // A name alone opens what it names.
    if !typed.trim().is_empty() {
        for (takes, does, words) in
            [(Takes::Service, Does::Show, "service show"), (Takes::Node, Does::ShowNode, "node show")]
        {
            let of = names(state, takes).into_iter().filter_map(|(name, hint)| {
                let score = fuzzy(typed.trim_end(), &name)?;
                Some(Candidate {
                    line: format!("{words} {name}"),
                    hint,
                    open: false,
                    does,
                    name,
                    number: None,
                    score,
                })
            });
            let known: BTreeSet<String> = found.iter().map(|candidate| candidate.line.clone()).collect();
            found.extend(of.filter(|candidate| !known.contains(&candidate.line)));
        }
    }
    found.sort_by(|a, b| b.score.cmp(&a.score).then_with(|| a.line.cmp(&b.line)));
    found.truncate(MOST);
    found
}

/// A command's candidates with the names that fit what stands behind its words.
fn with_name(state: &State, command: &Command, rest: &str, found: &mut Vec<Candidate>) {
    let mut words = rest.split_whitespace();
    let wanted = words.next().unwrap_or_default();
    let number: Option<u32> = words.next().and_then(|number| number.parse().ok());
    let mut any = false;
    for (name, hint) in names(state, command.takes) {
        let Some(score) = fuzzy(wanted, &name) else { continue };
        any = true;
        let exact = if name == wanted { 1000 } else { 0 };
        let number_text = number.map(|number| format!(" {number}")).unwrap_or_default();
        found.push(Candidate {
            line: format!("{} {name}{number_text}", command.words),
            hint,
            open: false,
            does: command.does,
            name,
            number,
            // What the words of a command stand before is meant more than what fits by its letters alone.
            score: score + 500 + exact,
        });
    }
    // Packages that no service is of are known to the Universe alone.
    if command.takes == Takes::Package && !any && !wanted.is_empty() {
        found.push(Candidate {
            line: format!("{} {wanted}", command.words),
            hint: "look for it in the Universe".to_owned(),
            open: false,
            does: command.does,
            name: wanted.to_owned(),
            number: None,
            score: 500,
        });
    }
}

impl Candidate {
    /// The same as a command line.
    fn command(&self) -> Option<String> {
        match self.does {
            Does::Press('S') => match (self.name.is_empty(), self.number) {
                (true, _) => None,
                (false, Some(instances)) => {
                    Request::Scale { id: self.name.clone(), instances, force: false }.command()
                }
                (false, None) => Some(format!("clusterctl {} INSTANCES", self.line)),
            },
            Does::Show | Does::Press(_) | Does::ShowNode | Does::ShowPackage => {
                Some(format!("clusterctl {}", self.line))
            }
            Does::Page(Page::Services) => Some("clusterctl service list".to_owned()),
            Does::Page(Page::Nodes) => Some("clusterctl node list".to_owned()),
            Does::Page(Page::Universe) => Some("clusterctl package search".to_owned()),
            Does::Page(Page::Deployments) => Some("clusterctl service deployments".to_owned()),
            _ => None,
        }
    }
}

pub(crate) fn palette_key(state: &mut State, key: KeyEvent) -> Vec<Effect> {
    let Some(mut palette) = state.palette.take() else { return Vec::new() };
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    let found = candidates(state, &palette.typed);
    match key.code {
        KeyCode::Esc => return Vec::new(),
        KeyCode::Enter => {
            let Some(chosen) = found.get(palette.cursor.min(found.len().saturating_sub(1))) else {
                state.palette = Some(palette);
                return Vec::new();
            };
            if chosen.open {
                palette.typed = format!("{} ", chosen.line);
                palette.cursor = 0;
            } else {
                return run(state, chosen);
            }
        }
        KeyCode::Tab => {
            if let Some(chosen) = found.get(palette.cursor.min(found.len().saturating_sub(1))) {
                let more = chosen.open || (chosen.does == Does::Press('S') && chosen.number.is_none());
                palette.typed = format!("{}{}", chosen.line, if more { " " } else { "" });
                palette.cursor = 0;
            }
        }
        // Up from the first line goes back in the history, as in a shell.
        KeyCode::Up if palette.cursor == 0 => {
            if let Some(line) = state.palette_history.iter().rev().nth(palette.back) {
                palette.typed.clone_from(line);
                palette.back += 1;
            }
        }
        KeyCode::Down if palette.back > 0 => {
            palette.back -= 1;
            let line = palette.back.checked_sub(1).and_then(|at| state.palette_history.iter().rev().nth(at));
            palette.typed = line.cloned().unwrap_or_default();
        }
        KeyCode::Up => palette.cursor -= 1,
        KeyCode::Down => palette.cursor = (palette.cursor + 1).min(found.len().saturating_sub(1)),
        KeyCode::Backspace if palette.typed.is_empty() => return Vec::new(),
        KeyCode::Backspace => {
            palette.typed.pop();
            (palette.cursor, palette.back) = (0, 0);
        }
        KeyCode::Char('u') if control => palette = Palette::default(),
        KeyCode::Char('w') if control => {
            let kept = palette.typed.trim_end();
            let kept = kept.rfind(char::is_whitespace).map_or(0, |at| at + 1);
            palette.typed.truncate(kept);
            (palette.cursor, palette.back) = (0, 0);
        }
        KeyCode::Char(c) if !control => {
            palette.typed.push(c);
            (palette.cursor, palette.back) = (0, 0);
        }
        _ => {}
    }
    state.palette = Some(palette);
    Vec::new()
}

/// Does what was chosen. What changes something opens the dialog that its page has for it.
fn run(state: &mut State, chosen: &Candidate) -> Vec<Effect> {
    state.palette_history.retain(|line| *line != chosen.line);
    state.palette_history.push(chosen.line.clone());
    if state.palette_history.len() > HISTORY {
        state.palette_history.remove(0);
    }
    match chosen.does {
        Does::Page(page) => state.go(page),
        Does::Theme(theme) => {
            state.options.look.theme = theme;
            Vec::new()
        }
        Does::Ascii => {
            state.options.look.ascii = !state.options.look.ascii;
            Vec::new()
        }
        Does::Show => state.open_service(&chosen.name),
        Does::Press(key) => {
            let mut effects = if chosen.name.is_empty() {
                state.go(Page::Services)
            } else {
                state.open_service(&chosen.name)
            };
            effects.extend(state.page_key(KeyCode::Char(key).into()));
            if let Some(number) = chosen.number
                && let Some(field) = state.dialog.as_mut().and_then(|dialog| dialog.field.as_mut())
            {
                field.1 = number.to_string();
            }
            effects
        }
        Does::ShowNode => {
            let is = |node: &&std::sync::Arc<api::watch::Node>| node.hostname == chosen.name;
            match state.cluster.nodes.values().find(is).map(|node| node.id.clone()) {
                Some(id) => state.open_node(&id),
                None => state.go(Page::Nodes),
            }
        }
        Does::ShowPackage => {
            let mut effects = state.go(Page::Universe);
            effects.extend(universe::find(state, &chosen.name));
            effects
        }
        Does::Help => {
            state.help = Some(super::Help::default());
            Vec::new()
        }
        Does::Mouse => {
            state.mouse = !state.mouse;
            state.say(Tone::Good, if state.mouse { "the mouse is on" } else { "the mouse is off" });
            vec![Effect::Mouse(state.mouse)]
        }
        Does::Quit => vec![Effect::Quit],
    }
}

pub(crate) fn draw_palette(state: &State, palette: &Palette, place: Rect, canvas: &mut Buffer) {
    let look = state.look();
    let found = candidates(state, &palette.typed);
    let lines = LINES.min(usize::from(place.height.saturating_sub(6)));
    let rows = u16::try_from(lines + 4).unwrap_or(u16::MAX).min(place.height);
    let columns = place.width.min(90);
    let place =
        Rect { x: place.x + (place.width - columns) / 2, y: place.y + 1, width: columns, height: rows };
    let place = place.intersection(canvas.area);
    Clear.render(place, canvas);
    canvas.set_style(place, look.text());
    let inside = panel(state, "Palette · tab completes, up is history, esc closes", true, place, canvas);
    let wide = usize::from(inside.width);
    let mut rows = inside.rows();
    if let Some(row) = rows.next() {
        // The end of what is typed is in sight.
        let typed = look.plain(&clean(&palette.typed));
        let skip = (width(&typed) + 4).saturating_sub(wide);
        let typed: String = typed.chars().skip(skip).collect();
        Line::styled(format!(" :{typed}_"), look.strong()).render(row, canvas);
    }
    let cursor = palette.cursor.min(found.len().saturating_sub(1));
    let first = (cursor + 1).saturating_sub(lines);
    let name = wide * 3 / 5;
    for at in first..first + lines {
        let Some(row) = rows.next() else { break };
        let Some(candidate) = found.get(at) else { continue };
        Line::from_iter([
            Span::raw(format!("  {} ", pad(&look.plain(&clean(&candidate.line)), name))),
            Span::styled(look.plain(&clean(&candidate.hint)), look.dim()),
        ])
        .render(row, canvas);
        if at == cursor {
            canvas.set_style(row, look.selected());
        }
    }
    if let Some(row) = rows.next() {
        let text = match found.get(cursor) {
            None => "nothing fits; backspace, or esc closes".to_owned(),
            Some(candidate) => candidate.command().unwrap_or_default(),
        };
        canvas.set_stringn(row.x + 1, row.y, look.plain(&clean(&text)), wide.saturating_sub(1), look.dim());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::sample;
    use crate::{Input, update};

    fn press(state: &mut State, code: KeyCode) -> Vec<Effect> {
        update(state, Input::Key(code.into()))
    }

    fn typed(state: &mut State, text: &str) {
        press(state, KeyCode::Char(':'));
        for c in text.chars() {
            press(state, KeyCode::Char(c));
        }
    }

    #[test]
    fn what_is_typed_finds_what_is_meant() {
        let state = sample();
        for (text, line) in [
            ("nodes", "nodes"),
            ("sca", "service scale"),
            ("service scale web 12", "service scale /shop/web 12"),
            ("clusterctl service restart /shop/cart", "service restart /shop/cart"),
            ("kafka", "service show /data/kafka"),
            ("a07", "node show a07"),
            ("node show a1", "node show a10"),
            ("hc", "theme high-contrast"),
            ("package install spark", "package install spark"),
            ("package install kaf", "package install kafka"),
        ] {
            let found = candidates(&state, text);
            assert_eq!(found.first().map(|candidate| candidate.line.as_str()), Some(line), "{text}");
        }
        assert!(candidates(&state, "zzzz").is_empty());
    }

    #[test]
    fn scaling_goes_through_the_dialog_of_its_page_with_the_number_in_it() {
        let mut state = sample();
        typed(&mut state, "service scale web 12");
        press(&mut state, KeyCode::Enter);
        assert!(state.palette.is_none());
        let dialog = state.dialog.as_ref().expect("a dialog");
        assert_eq!(dialog.field.as_ref().map(|(_, value)| value.as_str()), Some("12"));
        assert!(dialog.title.contains("/shop/web"), "{}", dialog.title);
    }

    #[test]
    fn a_read_only_dashboard_has_no_commands_that_change() {
        let mut state = sample();
        state.options.read_only = true;
        assert!(candidates(&state, "").iter().all(|candidate| {
            !matches!(candidate.does, Does::Press('S' | 'R' | 'P' | 'B' | 'E' | 'D' | 'N'))
        }));
    }

    #[test]
    fn tab_completes_up_recalls_and_escape_closes() {
        let mut state = sample();
        typed(&mut state, "sca");
        press(&mut state, KeyCode::Tab);
        assert_eq!(state.palette.as_ref().unwrap().typed, "service scale ");
        press(&mut state, KeyCode::Esc);
        assert!(state.palette.is_none());
        typed(&mut state, "theme light");
        press(&mut state, KeyCode::Enter);
        assert_eq!(state.options.look.theme, Theme::Light);
        press(&mut state, KeyCode::Char(':'));
        press(&mut state, KeyCode::Up);
        assert_eq!(state.palette.as_ref().unwrap().typed, "theme light");
        press(&mut state, KeyCode::Down);
        assert_eq!(state.palette.as_ref().unwrap().typed, "");
    }
}
