//! The frame around the pages: what cluster this is, how fresh, which pages there are, what keys do.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Widget};

use crate::Connection;
use crate::pages::{dashboard, deployments, events, nodes, services, universe};
use crate::state::{Page, State};
use crate::text::{age, clean, width};
use crate::theme::Tone;

/// The least size that anything can be shown in.
const LEAST: (u16, u16) = (60, 15);

/// Draws the whole screen. Pure, but for where lists are scrolled to, which only the drawing can know.
pub fn draw(state: &State, screen: Rect, canvas: &mut Buffer) {
    let look = state.look();
    canvas.set_style(screen, look.text());
    if screen.width < LEAST.0 || screen.height < LEAST.1 {
        let text =
            format!("{}x{} is too small: {}x{} at the least", screen.width, screen.height, LEAST.0, LEAST.1);
        canvas.set_stringn(screen.x, screen.y, text, usize::from(screen.width), look.text());
        return;
    }
    let [top, tabs, page, where_, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Fill(1),
        Constraint::Length(1),
        Constraint::Length(1),
    ])
    .areas(screen);
    head(state, top, canvas);
    page_names(state, tabs, canvas);
    match state.page {
        Page::Dashboard => dashboard::draw(state, page, canvas),
        Page::Services => services::draw(state, page, canvas),
        Page::Nodes => nodes::draw(state, page, canvas),
        Page::Universe => universe::draw(state, page, canvas),
        Page::Deployments => deployments::draw(state, page, canvas),
        Page::Events => events::draw(state, page, canvas),
    }
    if state.stale().is_some() {
        canvas.set_style(page, look.dim());
    }
    below(state, where_, canvas);
    footer(state, keys, canvas);
    if let Some(palette) = &state.palette {
        crate::help::draw_palette(state, palette, page, canvas);
    }
    if let Some(help) = &state.help {
        crate::help::draw_help(state, help, page, canvas);
    }
    if let Some(dialog) = &state.dialog {
        dialog.draw(look, page, canvas);
    }
    if look.ascii {
        // Whatever a page let through: an ellipsis, names in other letters.
        for cell in canvas.content.iter_mut().filter(|cell| !cell.symbol().is_ascii()) {
            let plain = look.plain(cell.symbol());
            cell.set_char(plain.chars().next().unwrap_or('?'));
        }
    }
}

/// Where pages are on a screen of that size.
pub(crate) fn page_place((columns, rows): (u16, u16)) -> Rect {
    Rect { x: 0, y: 2, width: columns, height: rows.saturating_sub(4) }
}

/// Cluster, leader, counts; and to the right how fresh it is, who looks, and whether anything can be changed.
fn head(state: &State, place: Rect, canvas: &mut Buffer) {
    let look = state.look();
    let cluster = &state.cluster;
    let name = cluster.hello.as_ref().map_or(state.options.context.as_str(), |hello| hello.cluster.as_str());
    let mut left = vec![
        Span::styled(" clusterctl ", look.strong()),
        Span::styled(format!(" {} ", clean(name)), look.strong()),
    ];
    if state.options.demo {
        left.push(Span::styled(" DEMO, made up ", look.selected()));
    }
    if let Some(hello) = &cluster.hello {
        let masters = cluster.masters["masters"].as_array().map_or(0, Vec::len);
        let of = match masters {
            0 => String::new(),
            1 => " (1 master)".to_owned(),
            _ => format!(" ({masters} masters)"),
        };
        left.push(Span::raw(format!("  leader {}{of}", clean(&hello.leader))));
        let active = cluster.nodes.values().filter(|node| node.state == "active").count();
        left.push(Span::raw(format!("   agents {active}/{}", cluster.nodes.len())));
        left.push(Span::raw(format!("   tasks {}", cluster.tasks.len())));
    }
    let (tone, fresh) = match (&state.connection, state.stale()) {
        _ if state.paused.is_some() => (Tone::Look, "paused".to_owned()),
        (Some(Connection::Live), None) if cluster.complete => (Tone::Good, "live".to_owned()),
        (Some(Connection::Live), None) => (Tone::Moving, "reading".to_owned()),
        (Some(Connection::Live), Some(old)) => (Tone::Moving, format!("{} old", age(old))),
        (Some(Connection::Connecting) | None, _) => (Tone::Moving, "connecting".to_owned()),
        (Some(Connection::Lost(_)), _) => {
            (Tone::Bad, format!("no answer for {}", age(state.now.saturating_sub(state.lost_at))))
        }
    };
    let user = cluster.hello.as_ref().and_then(|hello| hello.user.clone()).unwrap_or_default();
    let right = Line::from(vec![
        Span::styled(format!("{} {fresh}", look.glyph(tone)), look.tone(tone)),
        Span::raw(format!("   {}   {} ", clean(&user), if state.may_change() { "rw" } else { "ro" })),
    ]);
    let taken = u16::try_from(right.width()).unwrap_or(place.width).min(place.width);
    let [a, b] = Layout::horizontal([Constraint::Fill(1), Constraint::Length(taken)]).areas(place);
    Line::from(left).render(a, canvas);
    right.render(b, canvas);
}

fn titles() -> impl Iterator<Item = (Page, String)> {
    Page::ALL.into_iter().enumerate().map(|(at, page)| (page, format!(" {} {} ", at + 1, page.name())))
}

fn page_names(state: &State, place: Rect, canvas: &mut Buffer) {
    let look = state.look();
    let spans = titles().map(|(page, title)| {
        if page == state.page {
            Span::styled(title, look.selected())
        } else {
            Span::styled(title, look.dim())
        }
    });
    Line::from_iter(spans.flat_map(|span| [span, Span::raw(" ")])).render(place, canvas);
}

/// The page whose name stands in that column.
pub(crate) fn page_at(_state: &State, column: u16) -> Option<Page> {
    let mut end = 0;
    for (page, title) in titles() {
        end += width(&title) + 1;
        if usize::from(column) < end {
            return Some(page);
        }
    }
    None
}

/// A message, what is wrong with the stream, or where one is.
fn below(state: &State, place: Rect, canvas: &mut Buffer) {
    let look = state.look();
    let line = if let Some(message) = &state.message {
        Line::styled(
            format!(" {} {}", look.glyph(message.tone), look.plain(&clean(&message.text))),
            look.tone(message.tone),
        )
    } else if let Some(Connection::Lost(why)) = &state.connection {
        Line::styled(format!(" {} {}; trying again", look.glyph(Tone::Bad), clean(why)), look.tone(Tone::Bad))
    } else if let Some(old) = state.stale() {
        let text =
            format!(" {} this is how it was {} ago; ctrl-r connects anew", look.glyph(Tone::Look), age(old));
        Line::styled(text, look.tone(Tone::Look))
    } else {
        let way = match state.page {
            Page::Services => services::path(state),
            Page::Nodes => nodes::path(state),
            Page::Universe => universe::path(state),
            _ => String::new(),
        };
        let name = &state.options.context;
        let way = if way.is_empty() { String::new() } else { format!(" › {way}") };
        Line::styled(look.plain(&clean(&format!(" {name} › {}{way}", state.page.name()))), look.dim())
    };
    line.render(place, canvas);
}

fn footer(state: &State, place: Rect, canvas: &mut Buffer) {
    let look = state.look();
    let may = state.may_change();
    let mut spans = vec![Span::raw(" ")];
    let mut left = usize::from(place.width);
    let all = state.bindings();
    let everywhere =
        crate::keys::EVERYWHERE.iter().filter(|binding| ["?", ":", "q"].contains(&binding.key)).copied();
    for binding in all.into_iter().chain(everywhere).filter(|binding| may || !binding.changes) {
        let wide = width(binding.key) + width(binding.does) + 3;
        if wide > left {
            break;
        }
        left -= wide;
        spans.push(Span::styled(binding.key, look.strong()));
        spans.push(Span::styled(format!(":{}  ", binding.does), look.dim()));
    }
    Line::from(spans).render(place, canvas);
}

/// Why nothing can be shown yet, and what to do about it; nothing once the cluster was read.
pub(crate) fn unread(state: &State) -> Option<(Tone, String)> {
    if state.cluster.complete {
        return None;
    }
    Some(match &state.connection {
        Some(Connection::Lost(why)) => (
            Tone::Bad,
            format!(
                "The cluster does not answer: {}. It is tried again by itself; ctrl-r tries now, q quits.",
                why.trim_end_matches('.')
            ),
        ),
        Some(Connection::Live) => {
            (Tone::Moving, "Reading the cluster. All of it is shown when it is whole.".to_owned())
        }
        Some(Connection::Connecting) | None => (
            Tone::Moving,
            "Connecting to the cluster. If it takes long: ctrl-r begins anew, q quits.".to_owned(),
        ),
    })
}

/// A sentence in the middle of a place, on as many lines as it takes.
pub(crate) fn sentence(state: &State, tone: Tone, text: &str, place: Rect, canvas: &mut Buffer) {
    let look = state.look();
    let columns = usize::from(place.width.saturating_sub(6)).clamp(1, 70);
    let mut lines = vec![String::new()];
    for word in look.plain(&clean(text)).split(' ') {
        let line = lines.last().map_or(0, |line| width(line));
        match lines.last_mut() {
            Some(last) if line == 0 => last.push_str(word),
            Some(last) if line + 1 + width(word) <= columns => {
                last.push(' ');
                last.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    let rows = u16::try_from(lines.len()).unwrap_or(u16::MAX).min(place.height);
    let widest = lines.iter().map(|line| width(line)).max().unwrap_or(0);
    let x = place.x + place.width.saturating_sub(u16::try_from(widest + 2).unwrap_or(u16::MAX)) / 2;
    let top = place.y + (place.height - rows) / 3;
    for (at, (line, y)) in lines.iter().zip(top..top + rows).enumerate() {
        let glyph = if at == 0 { look.glyph(tone) } else { " " };
        let room = usize::from(place.right().saturating_sub(x));
        canvas.set_stringn(x, y, format!("{glyph} {line}"), room, look.tone(tone));
    }
}

/// A panel with a title; answers what is inside.
pub(crate) fn panel(state: &State, title: &str, focused: bool, place: Rect, canvas: &mut Buffer) -> Rect {
    let look = state.look();
    let title = crate::text::fit(
        &look.plain(&format!(" {} ", clean(title))),
        usize::from(place.width.saturating_sub(2)),
    );
    let block = Block::bordered()
        .border_set(look.border())
        .border_style(look.frame(focused))
        .title(Span::styled(title, if focused { look.strong() } else { look.text() }));
    let inside = block.inner(place);
    block.render(place, canvas);
    inside
}
