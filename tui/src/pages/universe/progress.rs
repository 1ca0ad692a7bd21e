//! The third step: how far an installation has come. It goes on when nobody looks.

use crossterm::event::{KeyCode, KeyEvent};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use serde_json::Value;
use std::sync::Arc;

use api::watch::Service;

use crate::cluster::{Cluster, service_status, task_tone, word};
use crate::state::{State, Wanted as All};
use crate::text::{age, clean, fit, mebibytes, pad, right, width};
use crate::theme::Tone;
use crate::{Effect, Failed, Progress, Request};

use super::{View, Wanted, count, text, wrap};

/// So long after an update was accepted it is believed to be done when nothing differs, in milliseconds.
const SETTLED: u64 = 5000;
/// How many installations are remembered.
const MOST: usize = 20;

/// One installation or update.
#[derive(Debug)]
pub(super) struct Job {
    number: u64,
    /// An update.
    update: bool,
    name: String,
    version: String,
    /// The service or the group; until it is known, as what it was asked for.
    id: Option<String>,
    package: Arc<Value>,
    steps: Vec<Step>,
    began: u64,
    phase: Phase,
    /// What the masters say to do next.
    notes: String,
    /// The versions of its services before an update.
    before: Vec<(String, String)>,
}

#[derive(Debug)]
struct Step {
    name: String,
    what: String,
    done: u64,
    of: u64,
    began: u64,
    ended: Option<u64>,
}

#[derive(Debug)]
enum Phase {
    /// Files are brought and the masters are asked.
    Sending,
    /// The masters took it; instances come.
    Deploying {
        since: u64,
    },
    /// All are well.
    Ready {
        since: u64,
        until: u64,
    },
    /// The package runs nothing.
    Nothing,
    Failed(Failed),
}

impl Job {
    pub(super) fn title(&self) -> String {
        let id = self.id.as_deref().map(|id| format!(" as {id}")).unwrap_or_default();
        let (doing, done) = if self.update { ("updating", "updated") } else { ("installing", "installed") };
        let verb = match self.phase {
            Phase::Sending | Phase::Deploying { .. } => doing,
            Phase::Ready { .. } | Phase::Nothing => done,
            Phase::Failed(_) => return format!("not {done}: {} {}{id}", self.name, self.version),
        };
        format!("{verb} {} {}{id}", self.name, self.version)
    }

    pub(super) fn moves(&self) -> bool {
        matches!(self.phase, Phase::Sending | Phase::Deploying { .. })
    }

    pub(super) fn failed(&self) -> bool {
        matches!(self.phase, Phase::Failed(_))
    }

    /// Its services, by the stream.
    fn services<'a>(&self, cluster: &'a Cluster) -> Vec<&'a Arc<Service>> {
        let Some(id) = &self.id else { return Vec::new() };
        let below = format!("{id}/");
        let services = cluster.services.range(id.clone()..).map(|(_, service)| service);
        services
            .take_while(|service| service.id.starts_with(id.as_str()))
            .filter(|service| service.id == *id || service.id.starts_with(&below))
            .collect()
    }

    /// Whether all its instances are there and well.
    fn is_well(&self, state: &State, since: u64) -> bool {
        let services = self.services(&state.cluster);
        let well = |service: &Arc<Service>| {
            service.deployment.is_none()
                && service.running >= service.instances
                && service.staged == 0
                && service.unhealthy == 0
                && (!service.checked || service.healthy >= service.instances)
        };
        // The stream may still show what was there before an update.
        let fresh = !self.update
            || state.now.saturating_sub(since) >= SETTLED
            || services.iter().any(|service| {
                !self.before.iter().any(|(id, version)| *id == service.id && *version == service.version)
            });
        !services.is_empty() && fresh && services.iter().all(|service| well(service))
    }
}

/// Sends what was reviewed.
pub(super) fn begin(state: &mut State) -> Vec<Effect> {
    let Some(draft) = &state.universe.draft else { return Vec::new() };
    let (name, version, id) = (draft.name.clone(), draft.version.clone(), draft.as_what());
    let update = draft.target.is_some();
    // Once more while it is being sent. What the masters have taken is theirs to refuse.
    let same = |job: &&Job| {
        matches!(job.phase, Phase::Sending) && job.name == name && job.id == id && job.version == version
    };
    if state.universe.jobs.iter().any(|job| same(&job)) {
        state.universe.job = state.universe.jobs.iter().position(|job| same(&job)).unwrap_or(0);
        state.universe.view = View::Progress;
        return Vec::new();
    }
    let options = draft.form.options();
    let package = Arc::clone(&draft.package);
    let request = match &draft.target {
        Some(id) => {
            Request::UpdatePackage { id: id.clone(), name: name.clone(), version: version.clone(), options }
        }
        None => Request::Install { name: name.clone(), version: version.clone(), options, id: id.clone() },
    };
    let number = state.number(All::Universe(Wanted::Install));
    let mut job = Job {
        number,
        update,
        name,
        version,
        id,
        package,
        steps: Vec::new(),
        began: state.now,
        phase: Phase::Sending,
        notes: String::new(),
        before: Vec::new(),
    };
    if update {
        job.before = job
            .services(&state.cluster)
            .iter()
            .map(|service| (service.id.clone(), service.version.clone()))
            .collect();
    }
    let page = &mut state.universe;
    if page.jobs.len() >= MOST
        && let Some(old) = page.jobs.iter().position(|job| !job.moves())
    {
        page.jobs.remove(old);
    }
    page.jobs.push(job);
    page.job = page.jobs.len() - 1;
    page.view = View::Progress;
    vec![Effect::Ask(number, request)]
}

/// How far it has come.
pub(super) fn heard(state: &mut State, number: u64, progress: Progress) {
    let now = state.now;
    let review = state.universe.draft.as_mut().and_then(|draft| draft.review.as_mut());
    if let Some(review) = review.filter(|review| review.number == number) {
        match review.brought.iter_mut().find(|step| step.step == progress.step) {
            Some(step) => *step = progress,
            None => review.brought.push(progress),
        }
        return;
    }
    let Some(job) = state.universe.jobs.iter_mut().find(|job| job.number == number) else { return };
    let ended = (progress.what == "done").then_some(now);
    let Progress { step: name, what, done, of } = progress;
    match job.steps.iter_mut().find(|step| step.name == name) {
        Some(step) => {
            (step.what, step.done, step.of) = (what, done, of);
            step.ended = step.ended.or(ended);
        }
        None => job.steps.push(Step { name, what, done, of, began: now, ended }),
    }
}

/// The masters took it, or did not.
pub(super) fn answered(state: &mut State, number: u64, result: Result<Value, Failed>) -> Vec<Effect> {
    let now = state.now;
    let elsewhere = state.page != crate::Page::Universe || state.universe.view != View::Progress;
    let Some(job) = state.universe.jobs.iter_mut().find(|job| job.number == number) else {
        return Vec::new();
    };
    let sent_by = |draft: &super::Draft| {
        draft.is_for(&job.name, &job.version, job.id.as_deref().filter(|_| job.update))
    };
    match result {
        Ok(answer) => {
            for step in job.steps.iter_mut().filter(|step| step.ended.is_none()) {
                step.ended = Some(now);
                step.what = "done".to_owned();
            }
            if state.universe.draft.as_ref().is_some_and(sent_by) {
                state.universe.draft = None;
            }
            job.notes = text(&answer, "postInstallNotes").to_owned();
            if !job.update {
                job.id = answer.get("appId").and_then(Value::as_str).map(str::to_owned);
            }
            job.phase = if job.id.is_some() { Phase::Deploying { since: now } } else { Phase::Nothing };
            look(state);
            vec![super::ask_installed(state)]
        }
        Err(failed) => {
            if let Some(draft) = state.universe.draft.as_mut().filter(|draft| sent_by(draft))
                && draft.form.said(&failed.body)
            {
                draft.find_fault();
            }
            job.phase = Phase::Failed(failed);
            let title = job.title();
            if elsewhere {
                state.say(Tone::Bad, title);
            }
            Vec::new()
        }
    }
}

/// Sees which of those under way are done.
pub(super) fn look(state: &mut State) {
    let mut jobs = std::mem::take(&mut state.universe.jobs);
    let mut said = None;
    for job in &mut jobs {
        if let Phase::Deploying { since } = job.phase
            && state.cluster.complete
            && job.is_well(state, since)
        {
            job.phase = Phase::Ready { since, until: state.now };
            said = Some(job.title());
        }
    }
    state.universe.jobs = jobs;
    if let Some(title) = said
        && (state.page != crate::Page::Universe || state.universe.view != View::Progress)
    {
        state.say(Tone::Good, title);
    }
}

pub(super) fn key(state: &mut State, key: KeyEvent) -> Option<Vec<Effect>> {
    let page = &mut state.universe;
    let again = page.jobs.get(page.job).is_some_and(Job::failed) && page.draft.is_some();
    match key.code {
        KeyCode::Esc | KeyCode::Char('q') => page.view = View::List,
        KeyCode::Char('h') | KeyCode::Left => page.job = page.job.saturating_sub(1),
        KeyCode::Char('l') | KeyCode::Right => {
            page.job = (page.job + 1).min(page.jobs.len().saturating_sub(1));
        }
        KeyCode::Char('e') if again => page.view = View::Options,
        KeyCode::Char('T') if again => return Some(super::review::begin(state)),
        KeyCode::Enter => {
            let job = page.jobs.get(page.job)?;
            let first = job.services(&state.cluster).first().map(|service| service.id.clone());
            return Some(first.map_or_else(Vec::new, |id| state.open_service(&id)));
        }
        _ => return None,
    }
    Some(Vec::new())
}

/// Where it answers: host and port of each instance of the service that the package names.
fn addresses(job: &Job, cluster: &Cluster) -> Vec<String> {
    let (Some(id), Some(web)) = (&job.id, job.package.get("web").filter(|web| web.is_object())) else {
        return Vec::new();
    };
    let app = match text(web, "app") {
        "" => id.clone(),
        app => format!("{id}/{app}"),
    };
    let port = usize::try_from(web.get("port").and_then(Value::as_u64).unwrap_or(0)).unwrap_or(usize::MAX);
    let path = text(web, "path");
    cluster
        .tasks_of(&app)
        .filter(|task| task.state == "TASK_RUNNING")
        .filter_map(|task| Some(format!("http://{}:{}{path}", task.host, task.ports.get(port)?)))
        .collect()
}

fn bytes(count: u64) -> String {
    if count < 1 << 20 { format!("{} KiB", count >> 10) } else { mebibytes(count as f64 / 1_048_576.0) }
}

pub(super) fn draw(state: &State, place: Rect, canvas: &mut Buffer) {
    let page = &state.universe;
    let look = state.look();
    let Some(job) = page.jobs.get(page.job) else {
        return crate::draw::sentence(
            state,
            Tone::Off,
            "Nothing is being installed; esc goes to the packages.",
            place,
            canvas,
        );
    };
    let many = if page.jobs.len() > 1 {
        format!(" · {} of {}", page.job + 1, page.jobs.len())
    } else {
        String::new()
    };
    let mut title = job.title();
    if let Some(first) = title.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    let inside = crate::draw::panel(state, &format!("{title}{many}"), true, place, canvas);
    let wide = usize::from(inside.width).saturating_sub(1);
    let mut lines: Vec<Line<'static>> = Vec::new();
    // Glyph, name, text, and time at the right.
    let row = |indent: usize,
               tone: Tone,
               name: &str,
               words: &str,
               time: Option<u64>,
               lines: &mut Vec<Line<'static>>| {
        let time = time.map(age).unwrap_or_default();
        let name = pad(&look.plain(&clean(name)), 18 + indent.saturating_sub(2));
        let head = format!("{}{} {name} ", " ".repeat(indent), look.glyph(tone));
        let room = wide.saturating_sub(width(&head) + 8);
        lines.push(Line::from_iter([
            Span::styled(head, look.tone(tone)),
            Span::raw(pad(&look.plain(&clean(words)), room)),
            Span::styled(right(&time, 8), look.dim()),
        ]));
    };
    for step in &job.steps {
        let failed = job.failed() && step.ended.is_none();
        let tone = if failed {
            Tone::Bad
        } else if step.ended.is_some() {
            Tone::Good
        } else {
            Tone::Moving
        };
        let words = match (step.ended, step.of) {
            (Some(_), 0) => step.what.clone(),
            (Some(_), of) => format!("{}  {}", bytes(of), step.what),
            (None, 0) if step.done == 0 => step.what.clone(),
            (None, 0) => format!("{}  {}", bytes(step.done), step.what),
            (None, of) => {
                let share = step.done as f64 / of as f64;
                format!(
                    "{}  {} of {}  {:.0} %  {}",
                    "\u{0}",
                    bytes(step.done),
                    bytes(of),
                    (share * 100.0).min(100.0),
                    step.what
                )
            }
        };
        let end = step.ended.unwrap_or(state.now);
        let before = lines.len();
        row(
            1,
            tone,
            &step.name,
            words.trim_start_matches('\u{0}').trim_start(),
            Some(end.saturating_sub(step.began)),
            &mut lines,
        );
        // The bar has glyphs of its own for ASCII, so it is put in after the text was made plain.
        if words.starts_with('\u{0}')
            && let Some(line) = lines.get_mut(before)
            && let Some(middle) = line.spans.get_mut(1)
        {
            let columns = width(&middle.content);
            let bar = look.bar(step.done as f64 / step.of.max(1) as f64, 10);
            middle.content = pad(&format!("{bar}  {}", middle.content.trim_end()), columns).into();
        }
    }
    let services = job.services(&state.cluster);
    match &job.phase {
        Phase::Sending => {
            let words = if job.steps.is_empty() {
                "the package is sent to the masters"
            } else {
                "waits for its files"
            };
            let tone =
                if job.steps.iter().all(|step| step.ended.is_some()) { Tone::Moving } else { Tone::Off };
            row(1, tone, "deploy", words, Some(state.now.saturating_sub(job.began)), &mut lines);
            row(1, Tone::Off, "ready", "waits for its instances", None, &mut lines);
        }
        Phase::Nothing => row(1, Tone::Good, "ready", "this package runs nothing", None, &mut lines),
        Phase::Failed(failed) => {
            lines.push(Line::default());
            for (at, line) in wrap(&clean(&failed.text), wide.saturating_sub(4)).into_iter().enumerate() {
                let glyph = if at == 0 { look.glyph(Tone::Bad) } else { " " };
                lines.push(Line::styled(format!(" {glyph} {}", look.plain(&line)), look.tone(Tone::Bad)));
            }
            for line in wrap(&clean(&failed.hint), wide.saturating_sub(4)) {
                lines.push(Line::raw(format!("   {}", look.plain(&line))));
            }
            if page.draft.is_some() {
                lines.extend([
                    Line::default(),
                    Line::raw("   What was typed is kept: e changes it, T tries again."),
                ]);
            }
        }
        Phase::Deploying { since } | Phase::Ready { since, .. } => {
            let (done, end) = match job.phase {
                Phase::Ready { until, .. } => (true, until),
                _ => (false, state.now),
            };
            let wanted: u32 = services.iter().map(|service| service.instances).sum();
            let running: u32 = services.iter().map(|service| service.running.min(service.instances)).sum();
            let tone = if done { Tone::Good } else { Tone::Moving };
            let before = lines.len();
            let words = if services.is_empty() {
                "the masters took it; its service is not in sight yet".to_owned()
            } else {
                format!("            {running} of {} run", count(wanted.into(), "instance"))
            };
            row(1, tone, "deploy", &words, Some(end.saturating_sub(*since)), &mut lines);
            if !services.is_empty()
                && let Some(middle) = lines.get_mut(before).and_then(|line| line.spans.get_mut(1))
            {
                let bar = look.bar(f64::from(running) / f64::from(wanted.max(1)), 10);
                middle.content = middle.content.replacen("          ", &bar, 1).into();
            }
            let room = usize::from(inside.height).saturating_sub(lines.len() + 8).max(3);
            let mut left = room;
            let mut more = 0;
            let hosts = services.iter().flat_map(|service| state.cluster.tasks_of(&service.id));
            let host = hosts.map(|task| width(&task.host)).max().unwrap_or(0).min(24);
            for service in &services {
                if services.len() > 1 {
                    let (tone, word) = service_status(service);
                    row(3, tone, service.id.rsplit('/').next().unwrap_or_default(), word, None, &mut lines);
                }
                if let Some(waiting) = &service.waiting {
                    row(
                        5,
                        Tone::Look,
                        "waiting",
                        &format!("{}: {}", waiting.count, waiting.why),
                        Some(state.now.saturating_sub(waiting.since)),
                        &mut lines,
                    );
                }
                if let Some(failure) = service.failure.as_ref().filter(|failure| failure.at >= job.began) {
                    row(
                        5,
                        Tone::Bad,
                        "failed",
                        &format!("{} on {}: {}", word(&failure.state), failure.host, failure.message),
                        Some(state.now.saturating_sub(failure.at)),
                        &mut lines,
                    );
                }
                for task in state.cluster.tasks_of(&service.id) {
                    if left == 0 {
                        more += 1;
                        continue;
                    }
                    left -= 1;
                    let health = match task.healthy {
                        Some(true) => "healthy",
                        Some(false) => "unhealthy",
                        None if service.checked => "not checked yet",
                        None => "",
                    };
                    let words =
                        format!("{} {}  {health}", pad(&word(&task.state), 11), pad(&task.host, host));
                    let began = task.started.unwrap_or(task.staged);
                    row(
                        5,
                        task_tone(task),
                        fit_task(&task.id),
                        &words,
                        Some(state.now.saturating_sub(began)),
                        &mut lines,
                    );
                }
            }
            if more > 0 {
                lines.push(Line::styled(
                    look.plain(&format!("       … and {more} more; enter opens the service")),
                    look.dim(),
                ));
            }
            if done {
                row(1, Tone::Good, "ready", "all are well", None, &mut lines);
                let all = addresses(job, &state.cluster);
                if !all.is_empty() {
                    lines.extend([Line::default(), Line::styled(" Where it answers", look.strong())]);
                    lines.extend(
                        all.iter()
                            .take(5)
                            .map(|one| Line::raw(fit(&format!("   {}", look.plain(&clean(one))), wide))),
                    );
                }
            } else {
                let checked = services.iter().any(|service| service.checked);
                let what = if checked { "healthy instance" } else { "running instance" };
                let words = if services.is_empty() {
                    "waits for its instances".to_owned()
                } else {
                    format!("waits for {}", count(wanted.into(), what))
                };
                row(1, Tone::Off, "ready", &words, None, &mut lines);
            }
        }
    }
    if matches!(job.phase, Phase::Ready { .. } | Phase::Nothing) && !job.notes.is_empty() {
        lines.extend([Line::default(), Line::styled(" What is next", look.strong())]);
        for note in job.notes.lines() {
            // Columns of commands and what they do stay as they are where they fit.
            if width(note) + 3 <= wide {
                lines.push(Line::raw(format!("   {}", look.plain(&clean(note)))));
            } else {
                lines.extend(
                    wrap(&clean(note), wide.saturating_sub(3))
                        .into_iter()
                        .map(|line| Line::raw(format!("   {}", look.plain(&line)))),
                );
            }
        }
    }
    super::put(lines, inside, canvas);
}

/// The part of a task's id that differs.
fn fit_task(id: &str) -> &str {
    id.split_once(".instance-").map_or(id, |(_, rest)| rest.split('.').next().unwrap_or(rest))
}
