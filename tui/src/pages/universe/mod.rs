//! Packages: search, options, review, progress (`tui-design.md` §5).

mod detail;
mod list;
mod options;
mod popup;
mod progress;
mod review;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;
use ratatui::widgets::Widget;
use serde_json::Value;

use crate::dialog::{Asks, Dialog};
use crate::form::Form;
use crate::keys::{Binding, changes, looks};
use crate::list::List;
use crate::state::{State, Wanted as All};
use crate::theme::Tone;
use crate::{Effect, Failed, Request};

use options::Draft;
use popup::Popup;
use progress::Job;

/// What this page remembers.
#[derive(Debug, Default)]
pub(crate) struct Universe {
    view: View,
    search: list::Search,
    /// What is installed, once it is known.
    installed: Option<Vec<Installed>>,
    /// Which services of packages there were when that was asked.
    seen: Vec<(String, String)>,
    /// The generation of the cluster that this was last compared with.
    compared: u64,
    described: BTreeMap<(String, String), Result<Known, Failed>>,
    /// The versions of packages, the newest first.
    versions: BTreeMap<String, Vec<String>>,
    describing: Option<u64>,
    /// The versions that were chosen in place of the newest.
    chosen: BTreeMap<String, String>,
    /// How far a long text is scrolled.
    reader: List,
    repositories: Option<Result<Vec<(String, String)>, Failed>>,
    popup: Option<Popup>,
    draft: Option<Draft>,
    /// Installations and updates, the oldest first.
    jobs: Vec<Job>,
    /// Which of them is in sight.
    job: usize,
}

/// What of the page is in sight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum View {
    #[default]
    List,
    Reader,
    Repositories,
    Options,
    Review,
    Progress,
}

/// An installed package.
#[derive(Clone, Debug, PartialEq)]
struct Installed {
    id: String,
    name: String,
    version: String,
    /// What its definition says of its removal.
    notes: String,
    /// Versions that it gives way to.
    downgrades: Vec<String>,
}

/// A package that was read, and what is said of its options: to make their form takes long.
#[derive(Clone, Debug)]
struct Known {
    package: Arc<Value>,
    sections: usize,
    /// How many have no default and are required.
    needed: usize,
    /// Name, default and description.
    options: Vec<(String, String, String)>,
}

impl Known {
    fn new(package: Value) -> Self {
        let form = Form::new(package.get("config").unwrap_or(&Value::Null), &Value::Null);
        let options = form.fields.iter().map(|field| {
            let default = match &field.default {
                Some(_) if field.hidden() => "secret".to_owned(),
                Some(Value::String(text)) if text.is_empty() => "empty".to_owned(),
                Some(default) => crate::form::shown(default),
                None if field.required => "required".to_owned(),
                None => "–".to_owned(),
            };
            (field.path.join("."), default, field.about.clone())
        });
        Self {
            options: options.collect(),
            sections: form.sections.len(),
            needed: form.needed(),
            package: Arc::new(package),
        }
    }
}

/// For what an answer is.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    Search(String),
    Installed,
    Describe(String, String),
    Versions(String),
    Repositories,
    /// The options in the editor: all of them, or one field.
    Edited(Option<usize>),
    Render,
    Install,
}

/// A text of an answer.
fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn entries<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn words(value: &Value, key: &str) -> Vec<String> {
    entries(value, key).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The page comes into sight.
pub(crate) fn enter(state: &mut State) -> Vec<Effect> {
    // What could not be read may be there by now.
    state.universe.described.retain(|_, known| known.is_ok());
    let mut effects = list::ask(state);
    effects.push(ask_installed(state));
    effects
}

fn ask_installed(state: &mut State) -> Effect {
    state.universe.seen = seen(state);
    state.ask(All::Universe(Wanted::Installed), Request::Installed)
}

/// The services that are of packages, as the stream tells them: when these change, what is installed has.
fn seen(state: &State) -> Vec<(String, String)> {
    let version = |labels: &BTreeMap<String, String>| labels.get("DCOS_PACKAGE_VERSION").cloned();
    let services = state.cluster.services.values();
    let packages = services.filter(|service| service.labels.contains_key("DCOS_PACKAGE_NAME"));
    packages.map(|service| (service.id.clone(), version(&service.labels).unwrap_or_default())).collect()
}

/// Takes an answer.
pub(crate) fn answer(
    state: &mut State,
    number: u64,
    wanted: Wanted,
    result: Result<Value, Failed>,
) -> Vec<Effect> {
    match wanted {
        Wanted::Search(query) => list::found(state, number, &query, result),
        Wanted::Installed => {
            match result {
                Ok(answer) => state.universe.installed = Some(installed(&answer)),
                // What was known stays; what is wrong is said where it is asked for.
                Err(failed) if state.universe.installed.is_none() => {
                    state.say(Tone::Look, format!("what is installed is not known: {}", failed.text));
                }
                Err(_) => {}
            }
            Vec::new()
        }
        Wanted::Describe(name, version) => {
            if state.universe.describing == Some(number) {
                state.universe.describing = None;
            }
            let package = result
                .map(|mut answer| Known::new(answer.get_mut("package").map_or(Value::Null, Value::take)));
            // A few hundred are few; more than that are forgotten.
            if state.universe.described.len() > 300 {
                state.universe.described.clear();
            }
            state.universe.described.insert((name, version), package);
            list::follow(state)
        }
        Wanted::Versions(name) => {
            if let Ok(answer) = result {
                let versions = list::newest_first(answer.get("results").unwrap_or(&Value::Null));
                state.universe.versions.insert(name, versions);
            }
            Vec::new()
        }
        Wanted::Repositories => {
            state.universe.repositories = Some(result.map(|answer| {
                let all = entries(&answer, "repositories").iter();
                all.map(|one| (text(one, "name").to_owned(), text(one, "uri").to_owned())).collect()
            }));
            Vec::new()
        }
        Wanted::Edited(field) => options::edited(state, field, result),
        Wanted::Render => review::rendered(state, number, result),
        Wanted::Install => progress::answered(state, number, result),
    }
}

fn installed(answer: &Value) -> Vec<Installed> {
    let all = entries(answer, "packages").iter();
    all.map(|one| {
        let definition = one.pointer("/packageInformation/packageDefinition").unwrap_or(&Value::Null);
        Installed {
            id: text(one, "appId").to_owned(),
            name: text(definition, "name").to_owned(),
            version: text(definition, "version").to_owned(),
            notes: text(definition, "postUninstallNotes").to_owned(),
            downgrades: words(definition, "downgradesTo"),
        }
    })
    .collect()
}

impl Universe {
    fn installed_of(&self, name: &str) -> impl Iterator<Item = &Installed> {
        self.installed.iter().flatten().filter(move |one| one.name == name)
    }

    fn package(&self, name: &str, version: &str) -> Option<&Result<Known, Failed>> {
        self.described.get(&(name.to_owned(), version.to_owned()))
    }
}

/// Whether letters go into a text.
pub(crate) fn types(state: &State) -> bool {
    let page = &state.universe;
    page.popup.is_some()
        || match page.view {
            View::List => page.search.typing,
            View::Options => page.draft.as_ref().is_some_and(Draft::types),
            View::Reader | View::Repositories | View::Review | View::Progress => false,
        }
}

/// Where one is on this page.
pub(crate) fn path(state: &State) -> String {
    let page = &state.universe;
    let draft = || page.draft.as_ref().map(Draft::title).unwrap_or_default();
    match page.view {
        View::List => list::path(state),
        View::Reader => {
            list::chosen(page).map(|(name, version)| format!("{name} {version}")).unwrap_or_default()
        }
        View::Repositories => "repositories".to_owned(),
        View::Options => format!("{} › options", draft()),
        View::Review => format!("{} › review", draft()),
        View::Progress => page.jobs.get(page.job).map(Job::title).unwrap_or_default(),
    }
}

/// How far an installation has come.
pub(crate) fn progress(state: &mut State, number: u64, progress: crate::Progress) {
    progress::heard(state, number, progress);
}

/// A second has passed.
pub(crate) fn tick(state: &mut State) -> Vec<Effect> {
    progress::look(state);
    let mut effects = Vec::new();
    if state.page == crate::Page::Universe {
        effects.extend(list::tick(state));
        let generation = state.cluster.generation;
        if state.universe.installed.is_some() && state.universe.compared != generation {
            state.universe.compared = generation;
            if state.universe.seen != seen(state) {
                effects.push(ask_installed(state));
            }
        }
    }
    effects
}

/// What was typed is given up.
pub(crate) fn leave(state: &mut State) -> Vec<Effect> {
    state.universe.draft = None;
    state.universe.view = View::List;
    Vec::new()
}

/// What keys do here.
pub(crate) fn bindings(state: &State) -> Vec<Binding> {
    let page = &state.universe;
    if page.popup.is_some() {
        return vec![looks("j k", "line"), looks("enter", "choose"), looks("esc", "back")];
    }
    let mut keys = Vec::new();
    match page.view {
        View::List => {
            keys.extend([looks("/", "search"), looks("j k", "package"), looks("h l", "version")]);
            keys.extend([looks("enter", "read all"), changes("I", "install"), changes("U", "update")]);
            keys.extend([changes("D", "uninstall"), looks("r", "repositories")]);
            if !page.jobs.is_empty() {
                keys.push(looks("i", "installations"));
            }
        }
        View::Reader => {
            keys.extend([looks("j k", "line"), looks("h l", "version"), changes("I", "install")]);
            keys.extend([changes("U", "update"), changes("D", "uninstall"), looks("esc", "back")]);
        }
        View::Repositories => keys.extend([looks("j k", "line"), looks("c", "copy"), looks("esc", "back")]),
        View::Options => {
            keys.extend([looks("tab", "next"), looks("enter", "choose"), looks("del", "default")]);
            keys.extend([looks("pgup pgdn", "section"), looks("ctrl-s", "review"), looks("ctrl-e", "YAML")]);
            keys.push(looks("esc", "leave"));
        }
        View::Review => {
            let update = page.draft.as_ref().is_some_and(|draft| draft.target.is_some());
            let install = if update { changes("U", "update") } else { changes("I", "install") };
            keys.extend([install, looks("j k", "line"), looks("esc", "back to the options")]);
        }
        View::Progress => {
            let job = page.jobs.get(page.job);
            if job.is_some_and(Job::failed) && page.draft.is_some() {
                keys.extend([looks("e", "change options"), changes("T", "try again")]);
            }
            let leave = if job.is_some_and(Job::moves) { "leave: it goes on" } else { "packages" };
            keys.extend([looks("enter", "open the service"), looks("esc", leave)]);
            if page.jobs.len() > 1 {
                keys.push(looks("h l", "another one"));
            }
        }
    }
    keys
}

/// Takes a key; nothing when it has no use for it.
pub(crate) fn key(state: &mut State, key: KeyEvent) -> Option<Vec<Effect>> {
    if state.universe.popup.is_some() {
        return Some(popup::key(state, key));
    }
    match state.universe.view {
        View::List => list::key(state, key),
        View::Reader => {
            let control = key.modifiers.contains(KeyModifiers::CONTROL);
            match key.code {
                KeyCode::Esc | KeyCode::Char('q') | KeyCode::Enter => {
                    state.universe.view = View::List;
                    return Some(Vec::new());
                }
                _ if control => {}
                KeyCode::Char('h' | 'l' | 'I' | 'U' | 'D') | KeyCode::Left | KeyCode::Right => {
                    return list::package_key(state, key);
                }
                _ => {}
            }
            let rows = detail::height(state);
            let rows = state.universe.reader.key(key, rows);
            rows.then(Vec::new)
        }
        View::Repositories => repositories_key(state, key),
        View::Options => options::key(state, key),
        View::Review => review::key(state, key),
        View::Progress => progress::key(state, key),
    }
}

fn repositories_key(state: &mut State, key: KeyEvent) -> Option<Vec<Effect>> {
    match key.code {
        KeyCode::Esc | KeyCode::Char('q' | 'r') => {
            state.universe.view = View::List;
            Some(Vec::new())
        }
        KeyCode::Char('c') => {
            let Some(Ok(all)) = &state.universe.repositories else { return Some(Vec::new()) };
            let uri = all.get(state.universe.reader.cursor).map(|(_, uri)| uri.clone());
            Some(uri.map(Effect::Copy).into_iter().collect())
        }
        _ => {
            let rows = match &state.universe.repositories {
                Some(Ok(all)) => all.len(),
                _ => 0,
            };
            state.universe.reader.key(key, rows).then(Vec::new)
        }
    }
}

/// Begins to install a version of a package, or to update a service of it.
fn begin(state: &mut State, name: &str, version: &str, target: Option<&str>) -> Vec<Effect> {
    if !state.may_change() {
        state.say(Tone::Look, state.why_not());
        return Vec::new();
    }
    let package = match state.universe.package(name, version) {
        Some(Ok(known)) => Arc::clone(&known.package),
        Some(Err(failed)) => {
            let text = format!("{name} {version} cannot be read: {}", failed.text);
            state.say(Tone::Bad, text);
            return Vec::new();
        }
        None => {
            state.say(Tone::Moving, format!("{name} {version} is still being read; try again in a moment"));
            return list::follow(state);
        }
    };
    // What was typed and not sent is not lost: it opens again.
    let same = |draft: &&Draft| draft.is_for(name, version, target);
    if state.universe.draft.as_ref().filter(same).is_none() {
        let given = target.map(|id| options::stored(state, id));
        state.universe.draft = Some(Draft::new(package, name, version, target, given.as_ref()));
    }
    state.universe.view = View::Options;
    Vec::new()
}

/// Asks before a service of a package is removed.
fn uninstall(state: &mut State, id: &str) {
    let Some(one) = state.universe.installed.iter().flatten().find(|one| one.id == id).cloned() else {
        return;
    };
    let below = format!("{id}/");
    let services: Vec<_> = state
        .cluster
        .services
        .values()
        .filter(|service| service.id == id || service.id.starts_with(&below))
        .collect();
    let running: u32 = services.iter().map(|service| service.running).sum();
    let mut lines = vec![(
        Some(Tone::Look),
        format!(
            "{} of {} {} end, and what their sandboxes hold is gone.",
            count(running.into(), "instance"),
            one.name,
            one.version
        ),
    )];
    if services.len() > 1 {
        lines.push((None, format!("It is a group of {} services.", services.len())));
    }
    lines.extend(one.notes.lines().take(4).map(|line| (None, crate::text::fit(line, 90))));
    let request = Request::Uninstall { name: one.name, id: one.id.clone() };
    let dialog = Dialog::ask(format!("Uninstall {}", one.id), lines, "Uninstall", Asks::Send(request));
    state.open(dialog.with_confirm(&one.id));
}

/// `1 instance`, `2 instances`.
fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Something was clicked at that place of the screen.
pub(crate) fn click(state: &mut State, column: u16, row: u16) -> Vec<Effect> {
    if state.universe.popup.is_some() || state.universe.view != View::List {
        return Vec::new();
    }
    list::click(state, column, row)
}

pub(crate) fn draw(state: &State, place: Rect, canvas: &mut Buffer) {
    match state.universe.view {
        View::List => list::draw(state, place, canvas),
        View::Reader => detail::draw_all(state, place, canvas),
        View::Repositories => detail::draw_repositories(state, place, canvas),
        View::Options => options::draw(state, place, canvas),
        View::Review => review::draw(state, place, canvas),
        View::Progress => progress::draw(state, place, canvas),
    }
    if let Some(popup) = &state.universe.popup {
        popup.draw(state, place, canvas);
    }
}

/// The names of the packages that were found last.
pub(crate) fn names(state: &State) -> impl Iterator<Item = &str> {
    state.universe.search.found.iter().flatten().map(|found| found.name.as_str())
}

/// Looks for a package, unless an installation is being prepared here.
pub(crate) fn find(state: &mut State, name: &str) -> Vec<Effect> {
    if matches!(state.universe.view, View::Options | View::Review) || state.universe.popup.is_some() {
        state.say(Tone::Look, "an installation is being prepared here: finish it, or leave it, first");
        return Vec::new();
    }
    state.universe.view = View::List;
    state.universe.search.typing = false;
    name.clone_into(&mut state.universe.search.query);
    list::ask(state)
}

/// Whether something here is under way whose time shows.
pub(crate) fn moves(state: &State) -> bool {
    state.universe.jobs.iter().any(Job::moves)
}

/// Lines of a place, from the top.
fn put(lines: impl IntoIterator<Item = Line<'static>>, place: Rect, canvas: &mut Buffer) {
    for (line, row) in lines.into_iter().zip(place.rows()) {
        line.render(row, canvas);
    }
}

/// A text in lines of at most so many columns, between words where that is possible.
fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let mut word = word.to_owned();
        if !line.is_empty() && crate::text::width(&line) + 1 + crate::text::width(&word) > columns {
            lines.push(std::mem::take(&mut line));
        }
        while crate::text::width(&word) > columns {
            let cut = cut_at(&word, columns);
            let rest = word.split_off(cut);
            lines.push(std::mem::replace(&mut word, rest));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&word);
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// Where to cut a word so that what is before it has at most so many columns; after the first character at the least.
fn cut_at(word: &str, columns: usize) -> usize {
    let mut taken = 0;
    for (at, c) in word.char_indices() {
        taken += crate::text::width(c.encode_utf8(&mut [0; 4]));
        if taken > columns && at > 0 {
            return at;
        }
    }
    word.len()
}

/// YAML as lines that are fit for the screen.
fn yaml_lines(value: &Value) -> Vec<String> {
    if value.as_object().is_some_and(serde_json::Map::is_empty) {
        return Vec::new();
    }
    crate::form::to_yaml(value).lines().map(crate::text::clean).collect()
}

/// A list whose cursor is there.
fn at(cursor: usize) -> List {
    let mut list = List::default();
    list.cursor = cursor;
    list
}
