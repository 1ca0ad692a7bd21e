//! What takes time: deployments, with what they change.

use std::sync::Arc;

use api::watch::{Deployment, Service};
use crossterm::event::{KeyCode, KeyEvent};
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use crate::cluster::{Cluster, service_status, task_tone, word};
use crate::dialog::{Asks, Dialog};
use crate::draw::{panel, sentence, unread};
use crate::keys::{Binding, changes, looks};
use crate::list::List;
use crate::state::State;
use crate::text::{age, clean, pad, right};
use crate::theme::Tone;
use crate::{Effect, Request};

/// What this page remembers.
#[derive(Debug, Default)]
pub(crate) struct Deployments {
    list: List,
    /// What the one under the cursor changes.
    below: List,
    /// The keys go to the lower panel.
    inside: bool,
    /// The panel with the keys takes all.
    whole: bool,
}

/// What keys do here.
pub(crate) fn bindings(state: &State) -> Vec<Binding> {
    if state.cluster.deployments.is_empty() {
        return vec![];
    }
    vec![
        looks("enter", "open its service"),
        looks("tab", "next panel"),
        changes("U", "undo"),
        changes("X", "leave as it is"),
        looks("c", "copy the id"),
        looks("z", "whole page"),
    ]
}

/// Puts the cursor on one of them.
pub(crate) fn show(state: &mut State, id: &str) {
    if let Some(at) = state.cluster.deployments.iter().position(|deployment| deployment.id == id) {
        state.deployments.list.cursor = at;
        state.deployments.inside = false;
    }
}

/// When it began, in milliseconds since 1970: its version says so.
pub(crate) fn began(deployment: &Deployment) -> Option<u64> {
    time(&deployment.version)
}

/// A timestamp as Marathon writes it (`2026-11-22T10:22:53.000Z`), in milliseconds since 1970.
pub(crate) fn time(text: &str) -> Option<u64> {
    let (date, rest) = text.split_once('T')?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut clock = rest.trim_end_matches('Z').splitn(3, ':');
    let (hour, minute) = (clock.next()?.parse::<u64>().ok()?, clock.next()?.parse::<u64>().ok()?);
    let (second, part) = clock.next()?.split_once('.').unwrap_or(("", ""));
    let second: u64 = second.parse().ok()?;
    let part: u64 = format!("{part:0<3}").get(..3)?.parse().ok()?;
    // Days since 1970 of the proleptic Gregorian calendar, counted from March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (month * 153 + 2) / 5
        + day
        - 719_469;
    let days = u64::try_from(days).ok()?;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + part)
}

/// How much of it is done, 0 to 1: whole steps, and how many instances are new in the step that is made.
pub(crate) fn progress(cluster: &Cluster, deployment: &Deployment) -> f64 {
    if deployment.steps == 0 {
        return 0.0;
    }
    let (mut done, mut of) = (0.0, 0.0);
    for id in &deployment.services {
        let Some(service) = cluster.services.get(id) else { continue };
        let wanted = f64::from(service.instances);
        let new = cluster
            .tasks_of(id)
            .filter(|task| {
                task.state == "TASK_RUNNING" && task.version == service.version && task.healthy != Some(false)
            })
            .count();
        done += (new as f64).min(wanted);
        of += wanted;
    }
    let part = if of > 0.0 { done / of } else { 0.0 };
    let whole = f64::from(deployment.step.saturating_sub(1));
    ((whole + part.min(0.99)) / f64::from(deployment.steps)).clamp(0.0, 0.99)
}

/// `replace /web` of `RestartApplication /web`.
pub(crate) fn doing(deployment: &Deployment) -> String {
    let plain = |doing: &String| {
        let (action, rest) = doing.split_once(' ').unwrap_or((doing, ""));
        let action = match action {
            "StartApplication" => "start",
            "StopApplication" => "stop",
            "ScaleApplication" => "scale",
            "RestartApplication" => "replace",
            other => other,
        };
        format!("{action} {rest}").trim_end().to_owned()
    };
    deployment.doing.iter().map(plain).collect::<Vec<_>>().join(", ")
}

/// What it changes, in few words.
pub(crate) fn what(deployment: &Deployment) -> String {
    match deployment.services.as_slice() {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
    }
}

fn chosen(state: &State) -> Option<&Deployment> {
    let last = state.cluster.deployments.len().checked_sub(1)?;
    state.cluster.deployments.get(state.deployments.list.cursor.min(last))
}

/// A line of the lower panel.
enum Part {
    Service(String, Option<Arc<Service>>),
    Task(Arc<api::watch::Task>),
}

fn parts(cluster: &Cluster, deployment: &Deployment) -> Vec<Part> {
    let mut parts = Vec::new();
    for id in &deployment.services {
        parts.push(Part::Service(id.clone(), cluster.services.get(id).cloned()));
        let mut tasks: Vec<_> = cluster.tasks_of(id).cloned().collect();
        // What is new and not yet there first.
        tasks.sort_by(|a, b| b.staged.cmp(&a.staged).then_with(|| a.id.cmp(&b.id)));
        parts.extend(tasks.into_iter().map(Part::Task));
    }
    parts
}

fn stop(state: &mut State, undo: bool) -> Vec<Effect> {
    let Some(deployment) = chosen(state).cloned() else { return Vec::new() };
    let what = what(&deployment);
    let dialog = if undo {
        let lines = vec![
            (
                None,
                format!(
                    "Everything that it changed goes back to how it was: {}.",
                    deployment.services.join(", ")
                ),
            ),
            (None, "That is a deployment of its own, which takes the place of this one.".to_owned()),
        ];
        Dialog::ask(
            format!("Undo the deployment of {what}"),
            lines,
            "Undo",
            Asks::Send(Request::Undo(deployment.id)),
        )
    } else {
        let lines = vec![
            (None, "It ends where it is: what was started stays, what was to be started is not.".to_owned()),
            (
                Some(Tone::Look),
                "Old and new instances may run side by side until the next change.".to_owned(),
            ),
        ];
        Dialog::ask(
            format!("Leave {what} as it is"),
            lines,
            "Leave it",
            Asks::Send(Request::Drop(deployment.id)),
        )
    };
    state.open(dialog);
    Vec::new()
}

/// Takes a key; nothing when it has no use for it.
pub(crate) fn key(state: &mut State, key: KeyEvent) -> Option<Vec<Effect>> {
    let rows = state.cluster.deployments.len();
    let inner = chosen(state).map_or(0, |deployment| parts(&state.cluster, deployment).len());
    let page = &mut state.deployments;
    page.list.clamp(rows);
    page.below.clamp(inner);
    let moved = if page.inside { page.below.key(key, inner) } else { page.list.key(key, rows) };
    if moved {
        if !page.inside {
            page.below = List::default();
        }
        return Some(Vec::new());
    }
    match key.code {
        KeyCode::Tab | KeyCode::BackTab => page.inside = !page.inside && rows > 0,
        KeyCode::Char('z') => page.whole = !page.whole,
        KeyCode::Esc | KeyCode::Char('q') if page.whole => page.whole = false,
        KeyCode::Esc | KeyCode::Char('q') if page.inside => page.inside = false,
        KeyCode::Enter => {
            let at = if page.inside { page.below.cursor } else { 0 };
            let deployment = chosen(state)?;
            let id = match parts(&state.cluster, deployment).into_iter().nth(at) {
                Some(Part::Service(id, _)) => id,
                Some(Part::Task(task)) => task.service.clone(),
                None => return Some(Vec::new()),
            };
            return Some(state.open_service(&id));
        }
        KeyCode::Char('U') => return Some(stop(state, true)),
        KeyCode::Char('X') => return Some(stop(state, false)),
        KeyCode::Char('c') => {
            let id = chosen(state)?.id.clone();
            state.say(Tone::Good, format!("copied {id}"));
            return Some(vec![Effect::Copy(id)]);
        }
        _ => return None,
    }
    Some(Vec::new())
}

/// The two panels: the list and what one changes.
fn places(state: &State, place: Rect) -> (Rect, Rect) {
    let page = &state.deployments;
    let none = Rect { width: 0, height: 0, ..place };
    if page.whole {
        return if page.inside { (none, place) } else { (place, none) };
    }
    if place.width > 160 {
        let [a, b] = Layout::horizontal([Constraint::Percentage(50), Constraint::Fill(1)]).areas(place);
        return (a, b);
    }
    let rows = u16::try_from(state.cluster.deployments.len()).unwrap_or(u16::MAX).saturating_add(3);
    let upper = rows.clamp(4, (place.height / 2).max(4));
    let [a, b] = Layout::vertical([Constraint::Length(upper), Constraint::Fill(1)]).areas(place);
    (a, b)
}

/// Something was clicked at that place of the screen.
pub(crate) fn click(state: &mut State, column: u16, row: u16) -> Vec<Effect> {
    let place = crate::draw::page_place(state.size);
    let (upper, lower) = places(state, place);
    let at = ratatui::layout::Position::new(column, row);
    if upper.contains(at) && row >= upper.y + 2 {
        let rows = state.cluster.deployments.len();
        let chosen = state.deployments.list.row_at(usize::from(row - upper.y - 2));
        if chosen < rows {
            state.deployments.list.cursor = chosen;
            state.deployments.below = List::default();
            state.deployments.inside = false;
        }
    } else if lower.contains(at) && row > lower.y + 1 {
        let inner = chosen(state).map_or(0, |deployment| parts(&state.cluster, deployment).len());
        let under = state.deployments.below.row_at(usize::from(row - lower.y - 2));
        if under < inner {
            let again = state.deployments.inside && state.deployments.below.cursor == under;
            state.deployments.below.cursor = under;
            state.deployments.inside = true;
            if again {
                return key(state, KeyCode::Enter.into()).unwrap_or_default();
            }
        }
    }
    Vec::new()
}

pub(crate) fn draw(state: &State, place: Rect, canvas: &mut Buffer) {
    if let Some((tone, text)) = unread(state) {
        let inside = panel(state, "Deployments", true, place, canvas);
        return sentence(state, tone, &text, inside, canvas);
    }
    if state.cluster.deployments.is_empty() {
        let inside = panel(state, "Deployments", true, place, canvas);
        let text = "Nothing is being deployed. Changes of services show here while they are made; 6 tells what was done.";
        return sentence(state, Tone::Good, text, inside, canvas);
    }
    let (upper, lower) = places(state, place);
    if upper.height > 0 {
        draw_list(state, upper, canvas);
    }
    if lower.height > 0
        && let Some(deployment) = chosen(state)
    {
        draw_parts(state, deployment, lower, canvas);
    }
}

fn draw_list(state: &State, place: Rect, canvas: &mut Buffer) {
    let look = state.look();
    let all = &state.cluster.deployments;
    let inside =
        panel(state, &format!("Deployments · {}", all.len()), !state.deployments.inside, place, canvas);
    if inside.height == 0 {
        return;
    }
    let wide = usize::from(inside.width);
    // What it is and what it does share what the other columns leave.
    let bar = if wide >= 100 { 16 } else { 8 };
    let rest = wide.saturating_sub(10 + bar + 7 + 9 + 10);
    let (what_wide, step_wide) = (rest * 2 / 5, rest - rest * 2 / 5);
    let head = format!(
        " {} {} {} {} {}",
        pad("ID", 9),
        pad("AFFECTS", what_wide),
        pad("PROGRESS", bar + 6),
        pad("STEP", step_wide + 6),
        right("STARTED", 8)
    );
    canvas.set_stringn(inside.x, inside.y, head, wide, look.dim());
    let list = Rect { y: inside.y + 1, height: inside.height - 1, ..inside };
    let cursor = state.deployments.list.cursor.min(all.len() - 1);
    for (row, at) in list.rows().zip(state.deployments.list.window(all.len(), usize::from(list.height))) {
        let Some(deployment) = all.get(at) else { break };
        let share = progress(&state.cluster, deployment);
        let since = began(deployment).map_or("-".to_owned(), |at| age(state.now.saturating_sub(at)));
        let text = look.plain(&clean(&format!(
            " {} {} ",
            pad(&deployment.id.chars().take(8).collect::<String>(), 9),
            pad(&what(deployment), what_wide),
        )));
        let step = format!("{}/{} {}", deployment.step, deployment.steps, doing(deployment));
        let line = Line::from_iter([
            Span::raw(text),
            Span::styled(look.bar(share, bar), look.tone(Tone::Moving)),
            Span::raw(right(&format!("{:.0} %", share * 100.0), 6)),
            Span::raw(look.plain(&clean(&format!(" {} {}", pad(&step, step_wide + 6), right(&since, 8))))),
        ]);
        line.render(row, canvas);
        if at == cursor && !state.deployments.inside {
            canvas.set_style(row, look.selected());
        } else if at == cursor {
            canvas.set_style(row, look.strong());
        }
    }
}

fn draw_parts(state: &State, deployment: &Deployment, place: Rect, canvas: &mut Buffer) {
    let look = state.look();
    let title = format!(
        "{} · step {} of {} · {}",
        what(deployment),
        deployment.step,
        deployment.steps,
        doing(deployment)
    );
    let inside = panel(state, &title, state.deployments.inside, place, canvas);
    if inside.height == 0 {
        return;
    }
    let wide = usize::from(inside.width);
    let host = if wide >= 100 { 20 } else { 10 };
    let name = wide.saturating_sub(18 + host + 10 + 4 + 12);
    let head = format!(
        " {} {} {} {} {}",
        pad("SERVICE, TASK", name),
        pad("STATE", 18),
        pad("NODE", host),
        pad("VERSION", 10),
        right("AGE", 9)
    );
    canvas.set_stringn(inside.x, inside.y, head, wide, look.dim());
    let parts = parts(&state.cluster, deployment);
    let list = Rect { y: inside.y + 1, height: inside.height - 1, ..inside };
    let cursor = state.deployments.below.cursor.min(parts.len().saturating_sub(1));
    for (row, at) in list.rows().zip(state.deployments.below.window(parts.len(), usize::from(list.height))) {
        let (tone, line, style): (Tone, [String; 5], Style) = match &parts[at] {
            Part::Service(id, None) => (
                Tone::Off,
                [id.clone(), "not there yet, or removed".into(), String::new(), String::new(), String::new()],
                look.strong(),
            ),
            Part::Service(id, Some(service)) => {
                let (tone, status) = service_status(service);
                let count = format!("{status} {}/{}", service.running, service.instances);
                let healthy =
                    if service.checked { format!("{} healthy", service.healthy) } else { String::new() };
                (tone, [id.clone(), count, healthy, String::new(), String::new()], look.strong())
            }
            Part::Task(task) => {
                let new =
                    state.cluster.services.get(&task.service).is_some_and(|of| of.version == task.version);
                let since = task.started.unwrap_or(task.staged);
                let health = match task.healthy {
                    Some(false) => " unhealthy",
                    _ => "",
                };
                (
                    task_tone(task),
                    [
                        format!("  {}", short(&task.id)),
                        format!("{}{health}", word(&task.state)),
                        task.host.clone(),
                        if new { "new" } else { "old" }.into(),
                        age(state.now.saturating_sub(since)),
                    ],
                    look.text(),
                )
            }
        };
        let [first, state_of, node, version, since] = line.map(|cell| look.plain(&clean(&cell)));
        Line::from_iter([
            Span::styled(format!(" {} ", pad(&first, name)), style),
            Span::styled(format!("{} {} ", look.glyph(tone), pad(&state_of, 16)), look.tone(tone)),
            Span::raw(format!("{} {} {}", pad(&node, host), pad(&version, 10), right(&since, 9))),
        ])
        .render(row, canvas);
        if at == cursor && state.deployments.inside {
            canvas.set_style(row, look.selected());
        }
    }
}

/// The part of a task's id that tells it from the others of its service.
pub(crate) fn short(id: &str) -> String {
    match id.split_once(".instance-") {
        Some((service, rest)) => {
            let unique = rest.split("._app").next().unwrap_or(rest);
            let name = service.rsplit('_').next().unwrap_or(service);
            format!("{name}.{unique}")
        }
        None => id.to_owned(),
    }
}
