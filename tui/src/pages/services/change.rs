//! What changes services: questions first, then requests; definitions through the editor and a last look.

use std::sync::Arc;

use api::watch::{Service, Task};
use crossterm::event::{KeyCode, KeyEvent};
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget as _;
use serde_json::{Map, Value};

use super::detail::{Tab, short};
use super::list::Row;
use super::text::{Pane, json};
use super::why::{amounts, room};
use super::{Wanted, said, title_of};
use crate::dialog::{Accepted, Asks, Dialog};
use crate::diff::{Sign, diff};
use crate::draw::panel;
use crate::keys::{Binding, changes, looks};
use crate::state::State;
use crate::text::{age, clean};
use crate::theme::Tone;
use crate::{Effect, Failed, Request};

/// What the master says about a service, and nobody sets.
const SERVERS: [&str; 11] = [
    "version",
    "versionInfo",
    "tasksStaged",
    "tasksRunning",
    "tasksHealthy",
    "tasksUnhealthy",
    "deployments",
    "tasks",
    "lastTaskFailure",
    "taskStats",
    "readinessCheckResults",
];

/// Where a new service begins.
const TEMPLATE: &str = r#"{
  "id": "/my-service",
  "cmd": "exec sleep 100000",
  "cpus": 0.1,
  "mem": 64,
  "instances": 1,
  "labels": {}
}
"#;

/// A definition without what the master says about it.
pub(super) fn bare(mut definition: Value) -> Value {
    if let Value::Object(object) = &mut definition {
        object.retain(|key, _| !SERVERS.contains(&key.as_str()));
    }
    definition
}

/// A definition on its way through the editor.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    /// The service; nothing for a new one.
    id: Option<String>,
    /// The version that it was read as.
    version: String,
    /// How it was before.
    before: String,
    /// How it is in the editor.
    text: String,
}

/// A last look at what is to be sent.
#[derive(Debug)]
pub(crate) struct Review {
    title: String,
    lines: Vec<(Option<Tone>, String)>,
    diff: Vec<(Sign, String)>,
    /// What is sent; nothing when it cannot be.
    requests: Vec<Request>,
    draft: Option<Draft>,
    button: &'static str,
    /// The first button has the focus.
    accept: bool,
    pane: Pane,
}

impl Review {
    #[cfg(test)]
    pub(super) fn can_send(&self) -> bool {
        !self.requests.is_empty()
    }

    pub(super) fn bindings(&self) -> Vec<Binding> {
        let mut all = vec![looks("tab", "button"), looks("enter", "choose"), looks("j k", "scroll")];
        if self.draft.is_some() {
            all.push(changes("E", "edit again"));
        }
        all.push(looks("esc", "cancel"));
        all
    }

    pub(super) fn draw(&self, state: &State, place: Rect, canvas: &mut Buffer) {
        let look = state.look();
        let inside = panel(state, &self.title, true, place, canvas);
        let width = usize::from(inside.width.saturating_sub(2)).max(1);
        let rows: usize =
            self.lines.iter().map(|(_, text)| super::text::broken(&clean(text), width).len()).sum();
        let rows = u16::try_from(rows).unwrap_or(u16::MAX).min(inside.height / 2);
        let [head, gap, body, buttons] = Layout::vertical([
            Constraint::Length(rows),
            Constraint::Length(1),
            Constraint::Fill(1),
            Constraint::Length(1),
        ])
        .areas(inside);
        Pane::default().draw_sentences(state, &self.lines, head, canvas);
        if !self.diff.is_empty() {
            canvas.set_string(
                gap.x,
                gap.y,
                look.border().horizontal_top.repeat(usize::from(gap.width)),
                look.dim(),
            );
        }
        self.pane.draw_diff(state, &self.diff, body, canvas);
        let button = |name: &str, focused: bool| {
            Span::styled(format!("[ {name} ]"), if focused { look.selected() } else { look.text() })
        };
        let mut line = Vec::new();
        if !self.requests.is_empty() {
            line.extend([button(self.button, self.accept), Span::raw("   ")]);
        }
        line.push(button("Cancel", !self.accept));
        Line::from(line).centered().render(buttons, canvas);
    }
}

/// Takes a key while something is looked at before it is sent.
pub(super) fn review_key(state: &mut State, key: KeyEvent) -> Vec<Effect> {
    let Some(review) = &mut state.services.review else { return Vec::new() };
    if review.pane.key(key) {
        return Vec::new();
    }
    match key.code {
        KeyCode::Tab | KeyCode::BackTab | KeyCode::Left | KeyCode::Right | KeyCode::Char('h' | 'l') => {
            review.accept = !review.accept && !review.requests.is_empty();
            Vec::new()
        }
        KeyCode::Enter if review.accept => {
            let Some(review) = state.services.review.take() else { return Vec::new() };
            send(state, review)
        }
        KeyCode::Esc | KeyCode::Enter | KeyCode::Char('q') => {
            state.services.review = None;
            state.say(Tone::Off, "nothing was changed");
            Vec::new()
        }
        KeyCode::Char('E') => match state.services.review.take() {
            Some(Review { draft: Some(draft), .. }) => to_editor(state, draft),
            other => {
                state.services.review = other;
                Vec::new()
            }
        },
        _ => Vec::new(),
    }
}

fn send(state: &mut State, review: Review) -> Vec<Effect> {
    if !state.may_change() {
        state.say(Tone::Look, state.why_not());
        return Vec::new();
    }
    let Review { title, mut requests, draft, .. } = review;
    match (draft, requests.pop()) {
        (Some(draft), Some(request)) => {
            state.say(Tone::Moving, format!("{title} …"));
            vec![super::ask(state, Wanted::Sent(Box::new(draft)), request)]
        }
        (None, Some(last)) => {
            state.services.table.marks.clear();
            requests.push(last);
            let send = |request| state.accepted(&title, Accepted::Send(request));
            requests.into_iter().flat_map(send).collect()
        }
        (_, None) => Vec::new(),
    }
}

/// What a definition that was sent came to. What was typed is not lost when it is refused.
pub(super) fn sent(state: &mut State, draft: Draft, result: Result<Value, Failed>) {
    let title = title(&draft);
    let Err(failed) = result else {
        state.say(Tone::Good, format!("{title}: accepted"));
        return;
    };
    state.say(Tone::Bad, format!("{title}: {}", failed.text));
    let mut review = reviewed(state, draft);
    review.lines.insert(0, (Some(Tone::Bad), said(&failed)));
    // What the interface says of each field.
    for detail in failed.body["details"].as_array().into_iter().flatten() {
        let path = detail["path"].as_str().unwrap_or_default();
        for error in detail["errors"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            review.lines.insert(1, (Some(Tone::Bad), format!("{path} {error}")));
        }
    }
    if failed.locked
        && let Some(Request::Replace { force, .. }) = review.requests.first_mut()
    {
        *force = true;
        review.button = "Force";
        let text = "Forced, the deployment that is under way ends where it is.".to_owned();
        review.lines.insert(1, (None, text));
    }
    state.services.review = Some(review);
}

fn title(draft: &Draft) -> String {
    match &draft.id {
        Some(id) => title_of(id, ": new definition"),
        None => "New service".to_owned(),
    }
}

/// Gives the definition of a service to the editor.
pub(super) fn edit(state: &mut State, id: &str, app: Value) -> Vec<Effect> {
    let version = app["version"].as_str().unwrap_or_default().to_owned();
    if !app.is_object() {
        state.say(Tone::Bad, format!("cannot edit {id}: the cluster has answered without its definition"));
        return Vec::new();
    }
    state.message = None;
    let text = json(&bare(app));
    to_editor(state, Draft { id: Some(id.to_owned()), version, before: text.clone(), text })
}

fn to_editor(state: &mut State, draft: Draft) -> Vec<Effect> {
    let text = draft.text.clone();
    let number = super::number(state, Wanted::Edited(Box::new(draft)));
    vec![Effect::Edit(number, text, ".json".to_owned())]
}

/// The editor has ended.
pub(super) fn edited(state: &mut State, mut draft: Draft, result: Result<Value, Failed>) {
    match result {
        Ok(Value::String(text)) => draft.text = text,
        // Left as it was: a template too can be meant so, and so can what was edited before.
        Ok(_) if draft.id.is_none() || draft.text != draft.before => {}
        Ok(_) => {
            state.say(Tone::Off, "left as it was: nothing is sent");
            return;
        }
        Err(failed) => {
            state.say(Tone::Bad, said(&failed));
            return;
        }
    }
    state.services.review = Some(reviewed(state, draft));
}

/// What is typed, as what is to be sent; or what is wrong with it.
fn parsed(draft: &Draft) -> Result<Map<String, Value>, String> {
    let value: Value = if draft.text.trim_start().starts_with(['{', '[']) {
        serde_json::from_str(&draft.text).map_err(|error| format!("This is no JSON: {error}."))?
    } else {
        serde_yaml::from_str_with_options(&draft.text, serde_yaml::options! { with_snippet: false })
            .map_err(|error| format!("This is neither JSON nor YAML: {error}."))?
    };
    let Value::Object(object) = bare(value) else {
        return Err("A definition is an object: { \"id\": …, \"cmd\": … }.".to_owned());
    };
    let typed = object.get("id").and_then(Value::as_str).unwrap_or_default();
    match &draft.id {
        Some(id) if !typed.is_empty() && typed.trim_matches('/') != id.trim_matches('/') => {
            Err(format!("The id of {id} cannot be changed; N makes a new service."))
        }
        None if typed.trim_matches('/').is_empty() => Err("It needs an id, like \"/my-service\".".to_owned()),
        _ => Ok(object),
    }
}

fn reviewed(state: &State, draft: Draft) -> Review {
    let mut review = Review {
        title: title(&draft),
        lines: Vec::new(),
        diff: diff(if draft.id.is_some() { &draft.before } else { "" }, &draft.text),
        requests: Vec::new(),
        draft: None,
        button: if draft.id.is_some() { "Deploy" } else { "Create" },
        accept: false,
        pane: Pane::default(),
    };
    match parsed(&draft) {
        Err(wrong) => {
            review.lines.push((Some(Tone::Bad), wrong));
            review
                .lines
                .push((None, "E edits it again; what was typed is kept until it is cancelled.".to_owned()));
        }
        Ok(mut object) => match &draft.id {
            Some(id) => {
                let now = state.cluster.services.get(id);
                if review.diff.is_empty() {
                    review.lines.push((Some(Tone::Look), "Nothing differs from how it is.".to_owned()));
                }
                match now {
                    None => review
                        .lines
                        .push((Some(Tone::Look), format!("{id} is not there any more: this makes it anew."))),
                    Some(now) if now.version != draft.version && !draft.version.is_empty() => {
                        let text =
                            "Somebody else has changed it since it was read: that would be overwritten.";
                        review.lines.push((Some(Tone::Look), text.to_owned()));
                    }
                    Some(_) => {}
                }
                let text = "Instances are replaced by new ones where what they run has changed.";
                review.lines.push((None, text.to_owned()));
                object.insert("id".to_owned(), Value::String(id.clone()));
                let definition = Value::Object(object);
                review.requests.push(Request::Replace { id: id.clone(), definition, force: false });
            }
            None => {
                let id = object.get("id").and_then(Value::as_str).unwrap_or_default();
                let id = format!("/{}", id.trim_matches('/'));
                if state.cluster.services.contains_key(&id) {
                    let text = format!("There is a service {id} already: the cluster will refuse this one.");
                    review.lines.push((Some(Tone::Look), text));
                }
                review.lines.push((None, format!("Creates {}.", clean(&id))));
                review.requests.push(Request::Create(Value::Object(object)));
            }
        },
    }
    review.draft = Some(draft);
    review
}

/// Which service the keys mean: the one that is open, or the one under the cursor.
fn meant(state: &mut State) -> Option<Arc<Service>> {
    let id = match state.services.open.as_ref().filter(|_| super::in_detail(state)) {
        Some(detail) => detail.id.clone(),
        None => match state.services.table.current(state) {
            Some(Row::Service { service, .. }) => service.id.clone(),
            Some(Row::Group { id, .. }) => {
                state.say(Tone::Look, format!("{id} is a group; this is done to one service"));
                return None;
            }
            None => {
                state.say(Tone::Look, "there is no service under the cursor");
                return None;
            }
        },
    };
    let service = state.cluster.services.get(&id).cloned();
    if service.is_none() {
        state.say(Tone::Look, format!("there is no service {id} any more"));
    }
    service
}

/// Takes a key that changes something; nothing for all others.
pub(super) fn key(state: &mut State, key: KeyEvent) -> Option<Vec<Effect>> {
    let KeyCode::Char(c @ ('S' | 'R' | 'B' | 'P' | 'D' | 'E' | 'N')) = key.code else { return None };
    if !state.may_change() {
        state.say(Tone::Look, state.why_not());
        return Some(Vec::new());
    }
    if c == 'N' {
        let draft = Draft {
            id: None,
            version: String::new(),
            before: TEMPLATE.to_owned(),
            text: TEMPLATE.to_owned(),
        };
        return Some(to_editor(state, draft));
    }
    let marked = marked(state);
    if !marked.is_empty() {
        match c {
            'R' | 'P' => many(state, c, &marked),
            _ => state.say(Tone::Look, "this is done to one service at a time; esc takes the marks away"),
        }
        return Some(Vec::new());
    }
    if c == 'D'
        && !super::in_detail(state)
        && let Some(Row::Group { id, .. }) = state.services.table.current(state)
    {
        delete_group(state, &id);
        return Some(Vec::new());
    }
    let Some(service) = meant(state) else { return Some(Vec::new()) };
    let mut effects = Vec::new();
    match c {
        'S' => scale(state, &service),
        'R' => restart(state, &service),
        'B' => effects = roll_back(state, &service),
        'P' => suspend(state, &service),
        'D' => delete(state, &service),
        _ => {
            state.say(Tone::Moving, format!("reading the definition of {} …", clean(&service.id)));
            let id = service.id.clone();
            effects.push(super::ask(state, Wanted::ToEdit(id.clone()), Request::Service(id)));
        }
    }
    Some(effects)
}

fn marked(state: &State) -> Vec<Arc<Service>> {
    if super::in_detail(state) {
        return Vec::new();
    }
    state.services.table.marks.iter().filter_map(|id| state.cluster.services.get(id)).cloned().collect()
}

/// The same for all that are marked.
fn many(state: &mut State, what: char, marked: &[Arc<Service>]) {
    let (verb, button) = if what == 'R' { ("Restart", "Restart") } else { ("Suspend", "Suspend") };
    let mut lines = Vec::new();
    let mut requests = Vec::new();
    for service in marked {
        let id = service.id.clone();
        let request = if what == 'R' {
            Request::Restart { id, force: false }
        } else {
            Request::Scale { id, instances: 0, force: false }
        };
        lines.push((None, request.command().unwrap_or_default()));
        requests.push(request);
    }
    let running: u32 = marked.iter().map(|service| service.running).sum();
    lines.insert(
        0,
        (Some(Tone::Look), format!("{running} tasks run now. Each service is a deployment of its own:")),
    );
    let count = marked.len();
    let title = format!("{verb} {count} {}", if count == 1 { "service" } else { "services" });
    state.services.review = Some(Review {
        title,
        lines,
        diff: Vec::new(),
        requests,
        draft: None,
        button,
        accept: false,
        pane: Pane::default(),
    });
}

fn held(service: &Service) -> Option<(Option<Tone>, String)> {
    service.deployment.as_ref()?;
    Some((
        Some(Tone::Look),
        "A deployment holds it now: this may be refused, and can be forced then.".to_owned(),
    ))
}

fn scale(state: &mut State, service: &Service) {
    let room = room(&state.cluster, &service.each);
    let now = format!("Now {} run of {} that are wanted.", service.running, service.instances);
    let mut lines = vec![(None, now), (None, format!("Each takes {}.", amounts(&service.each)))];
    lines.push(if room.active == 0 {
        (Some(Tone::Bad), "No node takes part now: more would wait.".to_owned())
    } else if room.instances == 0 {
        (
            Some(Tone::Look),
            format!("Room now: for none, on none of {} active nodes; more would wait.", room.active),
        )
    } else {
        let more = if room.instances >= 1_000_000 {
            "any number".to_owned()
        } else {
            format!("{} more", room.instances)
        };
        (
            Some(Tone::Good),
            format!("Room now: for {more}, on {} of {} active nodes.", room.nodes, room.active),
        )
    });
    lines.push((None, "Constraints and ports are not counted in that.".to_owned()));
    lines.extend(held(service));
    let dialog =
        Dialog::ask(format!("Scale {}", service.id), lines, "Scale", Asks::Scale(service.id.clone()))
            .with_field("Instances", service.instances.to_string());
    state.open(dialog);
}

fn restart(state: &mut State, service: &Service) {
    if service.instances == 0 {
        state.say(Tone::Look, format!("{} is suspended: there is nothing to restart", clean(&service.id)));
        return;
    }
    let tasks = if service.running == 1 { "The task that runs is" } else { "The tasks that run are" };
    let mut lines = vec![(None, format!("{tasks} replaced by new ones ({} in all).", service.running))];
    if !service.checked {
        let text = "It has no health checks: a new one counts as well as soon as it runs.";
        lines.push((Some(Tone::Look), text.to_owned()));
    }
    lines.extend(held(service));
    let request = Request::Restart { id: service.id.clone(), force: false };
    state.open(Dialog::ask(format!("Restart {}", service.id), lines, "Restart", Asks::Send(request)));
}

fn suspend(state: &mut State, service: &Service) {
    if service.instances == 0 {
        state.say(Tone::Look, format!("{} is suspended already; S starts it again", clean(&service.id)));
        return;
    }
    let mut lines = vec![
        (Some(Tone::Look), format!("Its {} tasks end; its definition stays.", service.running)),
        (None, format!("It had {} instances: S starts them again.", service.instances)),
    ];
    lines.extend(held(service));
    let request = Request::Scale { id: service.id.clone(), instances: 0, force: false };
    state.open(Dialog::ask(format!("Suspend {}", service.id), lines, "Suspend", Asks::Send(request)));
}

fn delete(state: &mut State, service: &Service) {
    let mut lines = vec![
        (
            Some(Tone::Bad),
            format!("Its {} tasks end, and its definition and versions are gone.", service.running),
        ),
        (None, "This cannot be undone.".to_owned()),
    ];
    if let Some(package) = service.labels.get("DCOS_PACKAGE_NAME") {
        let text = format!("It is of the package {package}: better removed on page 4, with D there.");
        lines.insert(0, (Some(Tone::Look), text));
    }
    let request = Request::Delete(service.id.clone());
    let dialog = Dialog::ask(format!("Delete {}", service.id), lines, "Delete", Asks::Send(request))
        .with_confirm(&service.id);
    state.open(dialog);
}

fn delete_group(state: &mut State, id: &str) {
    let prefix = format!("{id}/");
    let below = state.cluster.services.range(prefix.clone()..).take_while(|(id, _)| id.starts_with(&prefix));
    let (services, tasks) =
        below.fold((0_usize, 0_u32), |(n, tasks), (_, service)| (n + 1, tasks + service.running));
    let lines = vec![
        (
            Some(Tone::Bad),
            format!("Its {services} services and their {tasks} tasks end, and all definitions are gone."),
        ),
        (None, "This cannot be undone.".to_owned()),
    ];
    let request = Request::DeleteGroup(id.to_owned());
    let dialog =
        Dialog::ask(format!("Delete group {id}"), lines, "Delete", Asks::Send(request)).with_confirm(id);
    state.open(dialog);
}

/// To the version under the cursor of the tab Versions, else the one before the current one.
fn roll_back(state: &mut State, service: &Service) -> Vec<Effect> {
    let open =
        state.services.open.as_ref().filter(|detail| detail.id == service.id && super::in_detail(state));
    let known = open.and_then(|detail| {
        let shown = detail.versions.shown().filter(|_| detail.tab == Tab::Versions).map(str::to_owned);
        detail.versions.known().map(|known| (known.clone(), shown))
    });
    match known {
        Some((known, shown)) => {
            roll_back_to(state, &service.id, &known, shown);
            Vec::new()
        }
        None => {
            state.say(Tone::Moving, format!("reading the versions of {} …", clean(&service.id)));
            let id = service.id.clone();
            vec![super::ask(state, Wanted::ToRollBack(id.clone()), Request::Versions(id))]
        }
    }
}

/// Asks whether to go back to a version, the one before where there is none.
pub(super) fn roll_back_to(state: &mut State, id: &str, known: &[String], version: Option<String>) {
    state.message = None;
    let current = known.first();
    let version = version.filter(|version| Some(version) != current).or_else(|| known.get(1).cloned());
    let Some(version) = version else {
        state.say(Tone::Look, format!("{} has no version but this one", clean(id)));
        return;
    };
    let number = |version: &str| known.len() - known.iter().position(|known| known == version).unwrap_or(0);
    let mut lines = Vec::new();
    let when = super::pieces::moment(&version)
        .map_or(String::new(), |at| format!(", of {} ago", age(state.now.saturating_sub(at))));
    lines.push((None, format!("From v{} to v{}{when}.", known.len(), number(&version))));
    lines.push((None, "That becomes the newest version; the tab Versions shows what differs.".to_owned()));
    lines.extend(state.cluster.services.get(id).and_then(|service| held(service)));
    let request = Request::RollBack { id: id.to_owned(), version, force: false };
    state.open(Dialog::ask(format!("Roll back {id}"), lines, "Roll back", Asks::Send(request)));
}

/// Asks whether to end a task.
pub(super) fn kill(state: &mut State, task: &Task) {
    let lines = vec![
        (None, format!("{} on {}", task.id, task.host)),
        (Some(Tone::Look), "It ends, and another one takes its place.".to_owned()),
    ];
    let request = Request::Kill { service: task.service.clone(), task: task.id.clone(), scale: false };
    state.open(Dialog::ask(format!("Kill {}", short(&task.id)), lines, "Kill", Asks::Send(request)));
}

/// A shell in a task: what is typed there may change things.
pub(super) fn shell(state: &mut State, task: &Task) -> Vec<Effect> {
    if !state.may_change() {
        state.say(Tone::Look, state.why_not());
        return Vec::new();
    }
    let number = super::number(state, Wanted::Shell);
    vec![Effect::Shell(number, task.id.clone())]
}
