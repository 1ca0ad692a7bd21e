//! What a package says of itself, and where packages come from.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use serde_json::Value;

use crate::state::State;
use crate::text::{clean, fit, mebibytes, pad};
use crate::theme::Tone;

use super::{Universe, entries, list, text, wrap};

/// How wide the names of facts are.
const NAMES: usize = 13;

/// Whether a package that was read says that nobody has run it.
pub(super) fn untested(page: &Universe, name: &str, version: &str) -> bool {
    matches!(page.package(name, version), Some(Ok(known)) if known.package.get("tested") == Some(&Value::Bool(false)))
}

/// A number without needless zeros.
pub(super) fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// All facts of the package that is chosen.
pub(super) fn lines(state: &State, columns: usize) -> Vec<Line<'static>> {
    let look = state.look();
    let page = &state.universe;
    let Some((name, version)) = list::chosen(page) else { return Vec::new() };
    let known = match page.package(name, version) {
        Some(Ok(known)) => known,
        Some(Err(failed)) => {
            let words = list::blamed(failed, "h and l choose another version");
            let lines = wrap(&clean(&words), columns).into_iter();
            return lines.map(|line| Line::styled(look.plain(&line), look.tone(Tone::Bad))).collect();
        }
        None => return vec![Line::styled(look.plain("Reading …"), look.tone(Tone::Moving))],
    };
    let package = &known.package;
    let mut lines: Vec<Line<'static>> = Vec::new();
    let room = columns.saturating_sub(NAMES).max(10);
    let fact = |name: &str, tone: Option<Tone>, value: &str, lines: &mut Vec<Line<'static>>| {
        let mut rest =
            wrap(&clean(value), room.saturating_sub(if tone.is_some() { 2 } else { 0 })).into_iter();
        let mut spans = vec![Span::styled(pad(name, NAMES), look.dim())];
        if let Some(tone) = tone {
            spans.push(Span::styled(format!("{} ", look.glyph(tone)), look.tone(tone)));
        }
        spans.push(Span::raw(look.plain(&rest.next().unwrap_or_default())));
        lines.push(Line::from(spans));
        let indent = NAMES + if tone.is_some() { 2 } else { 0 };
        lines.extend(rest.map(|line| Line::raw(format!("{}{}", " ".repeat(indent), look.plain(&line)))));
    };
    for line in wrap(&clean(text(package, "description")), columns) {
        lines.push(Line::raw(look.plain(&line)));
    }
    lines.push(Line::default());
    for one in page.installed_of(name) {
        fact("installed", Some(Tone::Good), &format!("{} as {}", one.version, one.id), &mut lines);
    }
    match package.get("tested") {
        Some(Value::Bool(true)) => {
            fact("tested", Some(Tone::Good), "installed, used and removed for real", &mut lines);
        }
        Some(Value::Bool(false)) => {
            fact(
                "tested",
                Some(Tone::Look),
                "untested: nobody has run it on this version of clusterctl",
                &mut lines,
            );
        }
        _ => {}
    }
    if let Some(needs) = package.get("needs").filter(|needs| needs.is_object()) {
        let of = |key: &str| needs.get(key).and_then(Value::as_f64).unwrap_or(0.0);
        fact(
            "needs",
            None,
            &format!("{} cores, {} in all", number(of("cpus")), mebibytes(of("mem"))),
            &mut lines,
        );
        if state.cluster.complete {
            let active = state.cluster.nodes.values().filter(|node| node.state == "active");
            let (nodes, cpus, mem) = active.fold((0, 0.0, 0.0), |(nodes, cpus, mem), node| {
                (nodes + 1, cpus + node.total.cpus - node.used.cpus, mem + node.total.mem - node.used.mem)
            });
            let fits = cpus >= of("cpus") && mem >= of("mem");
            let tone = if fits { Tone::Good } else { Tone::Look };
            let words = format!(
                "{}: {} cores, {} free on {}",
                if fits { "yes" } else { "no" },
                number(cpus),
                mebibytes(mem),
                super::count(nodes, "active node"),
            );
            fact("room now", Some(tone), &words, &mut lines);
        }
    }
    let sections = super::count(known.sections as u64, "section");
    let options = match (known.options.len(), known.needed) {
        (0, _) => "none".to_owned(),
        (all, 0) => format!("{all} in {sections}, all have defaults"),
        (all, needed) => format!("{all} in {sections}, {needed} without a default have to be set"),
    };
    fact("options", None, &options, &mut lines);
    if let Some(web) = package.get("web").filter(|web| web.is_object()) {
        let app = match text(web, "app") {
            "" => String::new(),
            app => format!("{app}: "),
        };
        let port = web.get("port").and_then(Value::as_u64).unwrap_or(0);
        let words = format!("{app}port number {} of each instance, {}", port + 1, text(web, "path"));
        fact("web", None, &words, &mut lines);
    }
    let versions = list::versions(page, name);
    if versions.len() > 1 {
        let names = versions.iter().map(|one| if one == version { format!("[{one}]") } else { one.clone() });
        fact("versions", None, &names.collect::<Vec<_>>().join("  "), &mut lines);
    }
    let from: Vec<&str> = entries(package, "upgradesFrom").iter().filter_map(Value::as_str).collect();
    if !from.is_empty() {
        let from = if from.contains(&"*") { "any version".to_owned() } else { from.join(", ") };
        fact("upgrades", None, &format!("from {from}"), &mut lines);
    }
    let licences: Vec<&str> = entries(package, "licenses").iter().map(|one| text(one, "name")).collect();
    if !licences.is_empty() {
        fact("licences", None, &licences.join(", "), &mut lines);
    }
    for (name, key) in [("by", "maintainer"), ("website", "website"), ("source", "scm")] {
        if !text(package, key).is_empty() {
            fact(name, None, text(package, key), &mut lines);
        }
    }
    let tags: Vec<&str> = entries(package, "tags").iter().filter_map(Value::as_str).collect();
    if !tags.is_empty() {
        fact("tags", None, &tags.join(", "), &mut lines);
    }
    let notes = text(package, "preInstallNotes");
    if !notes.is_empty() {
        lines.extend([Line::default(), Line::styled("Before you install", look.strong())]);
        for line in notes.lines().flat_map(|line| wrap(&clean(line), columns.saturating_sub(1))) {
            lines.push(Line::raw(format!(" {}", look.plain(&line))));
        }
    }
    lines
}

/// All options with their defaults, for who reads all.
fn options(state: &State, columns: usize) -> Vec<Line<'static>> {
    let look = state.look();
    let page = &state.universe;
    let Some((name, version)) = list::chosen(page) else { return Vec::new() };
    let Some(Ok(known)) = page.package(name, version) else { return Vec::new() };
    if known.options.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![Line::default(), Line::styled("Options", look.strong())];
    for (name, default, about) in &known.options {
        let default = fit(&clean(default), 24);
        let name = look.plain(&clean(name));
        let room = columns.saturating_sub(58);
        let mut about = wrap(&clean(about), room.max(20)).into_iter();
        if room < 20 {
            lines.push(Line::from_iter([
                Span::raw(format!(" {}  ", pad(&name, 30))),
                Span::styled(look.plain(&default), look.dim()),
            ]));
            continue;
        }
        lines.push(Line::from_iter([
            Span::raw(format!(" {}  ", pad(&name, 30))),
            Span::styled(pad(&look.plain(&default), 24), look.dim()),
            Span::raw(format!(" {}", look.plain(&about.next().unwrap_or_default()))),
        ]));
        lines.extend(about.map(|line| Line::raw(format!("{}{}", " ".repeat(58), look.plain(&line)))));
    }
    lines
}

fn title(state: &State) -> String {
    let chosen = list::chosen(&state.universe);
    chosen.map(|(name, version)| format!("{name} {version}")).unwrap_or_else(|| "Package".to_owned())
}

/// Beside the list.
pub(super) fn draw(state: &State, place: Rect, canvas: &mut Buffer) {
    let inside = crate::draw::panel(state, &title(state), false, place, canvas);
    let inside = Rect { x: inside.x + 1, width: inside.width.saturating_sub(2), ..inside };
    super::put(lines(state, usize::from(inside.width)), inside, canvas);
}

/// On the whole page.
pub(super) fn draw_all(state: &State, place: Rect, canvas: &mut Buffer) {
    let inside = crate::draw::panel(state, &title(state), true, place, canvas);
    let inside = Rect { x: inside.x + 1, width: inside.width.saturating_sub(2), ..inside };
    let columns = usize::from(inside.width);
    let mut all = lines(state, columns.min(120));
    all.extend(options(state, columns));
    scrolled(state, all, inside, canvas);
}

/// How many lines the whole text has.
pub(super) fn height(state: &State) -> usize {
    let columns = usize::from(state.size.0.saturating_sub(4));
    lines(state, columns.min(120)).len() + options(state, columns).len()
}

fn scrolled(state: &State, all: Vec<Line<'static>>, place: Rect, canvas: &mut Buffer) {
    // The cursor is the first line in sight.
    let last = all.len().saturating_sub(usize::from(place.height));
    let first = state.universe.reader.cursor.min(last);
    super::put(all.into_iter().skip(first), place, canvas);
}

pub(super) fn draw_repositories(state: &State, place: Rect, canvas: &mut Buffer) {
    let look = state.look();
    let inside = crate::draw::panel(state, "Repositories · searched in this order", true, place, canvas);
    let all = match &state.universe.repositories {
        None => {
            return crate::draw::sentence(state, Tone::Moving, "Reading the repositories …", inside, canvas);
        }
        Some(Err(failed)) => {
            let words = list::blamed(failed, "esc and r tries again");
            return crate::draw::sentence(state, Tone::Bad, &words, inside, canvas);
        }
        Some(Ok(all)) if all.is_empty() => {
            let words = "There is no repository: `clusterctl universe add NAME URI` adds one.";
            return crate::draw::sentence(state, Tone::Off, words, inside, canvas);
        }
        Some(Ok(all)) => all,
    };
    let reader = &state.universe.reader;
    let window = reader.window(all.len(), usize::from(inside.height));
    let lines = all.iter().enumerate().skip(window.start).take(window.len()).map(|(at, (name, uri))| {
        let style = if at == reader.cursor { look.selected() } else { look.text() };
        let words = look.plain(&format!(" {} {}", pad(&clean(name), 24), clean(uri)));
        Line::styled(pad(&words, usize::from(inside.width)), style)
    });
    super::put(lines, inside, canvas);
}
