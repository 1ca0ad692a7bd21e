//! The second step: what would run, what it takes, and whether there is room for it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use crossterm::event::{KeyCode, KeyEvent};
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::list::List;
use crate::state::{State, Wanted as All};
use crate::text::{clean, fit, mebibytes, pad, right};
use crate::theme::Tone;
use crate::{Effect, Failed, Request};

use super::detail::number;
use super::options::Draft;
use super::{View, Wanted, count, entries, list, text, wrap};

/// What the masters would make of the options.
#[derive(Debug)]
pub(super) struct Review {
    pub(super) number: u64,
    answer: Option<Result<Rendered, Failed>>,
    list: List,
    /// Whether the first button has the keys; the other goes back.
    button: bool,
    /// The files that are brought to the masters before they can say: how far each is.
    pub(super) brought: Vec<crate::Progress>,
}

#[derive(Debug)]
struct Rendered {
    yaml: Vec<String>,
    wants: Vec<Want>,
    /// Where it fits, of a moment of the cluster.
    fits: RefCell<Option<(u64, Arc<Vec<Fit>>)>>,
}

/// What one kind of instance takes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Want {
    pub(super) app: String,
    pub(super) instances: u64,
    cpus: f64,
    mem: f64,
    disk: f64,
    /// No two on one host.
    unique: bool,
}

/// How one of them comes out.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fit {
    /// On how many nodes.
    pub(super) nodes: usize,
    /// How many instances find no place, and why.
    pub(super) missing: Option<(u64, String)>,
}

/// All that a definition runs, of a service or a group.
pub(super) fn wants(definition: &Value) -> Vec<Want> {
    fn gather(definition: &Value, above: &str, all: &mut Vec<Want>) {
        let id = text(definition, "id");
        let id =
            if id.starts_with('/') { id.to_owned() } else { format!("{}/{id}", above.trim_end_matches('/')) };
        if definition.get("apps").is_some() || definition.get("groups").is_some() {
            for one in entries(definition, "apps").iter().chain(entries(definition, "groups")) {
                gather(one, &id, all);
            }
            return;
        }
        let number = |key: &str, default: f64| definition.get(key).and_then(Value::as_f64).unwrap_or(default);
        let unique = |one: &Value| {
            let words: Vec<&str> = one.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            matches!(words.as_slice(), ["hostname" | "@hostname", "UNIQUE", ..])
        };
        all.push(Want {
            app: id,
            instances: definition.get("instances").and_then(Value::as_u64).unwrap_or(1),
            // Marathon's defaults.
            cpus: number("cpus", 1.0),
            mem: number("mem", 128.0),
            disk: number("disk", 0.0),
            unique: entries(definition, "constraints").iter().any(unique),
        });
    }
    let mut all = Vec::new();
    gather(definition, "", &mut all);
    all
}

/// What each active node has left, and its name.
pub(super) type Free = (String, [f64; 3]);

pub(super) fn free(cluster: &Cluster) -> Vec<Free> {
    let active = cluster.nodes.values().filter(|node| node.state == "active");
    active
        .map(|node| {
            let (total, used) = (&node.total, &node.used);
            let left = [total.cpus - used.cpus, total.mem - used.mem, total.disk - used.disk];
            (node.hostname.clone(), left)
        })
        .collect()
}

/// How many instances are tried: of more than that it is enough to know that they are many.
const MOST: u64 = 10_000;

/// Places one after the other, each instance where most memory is left. A look ahead: others may take it meanwhile.
pub(super) fn place(wants: &[Want], mut free: Vec<Free>) -> Vec<Fit> {
    wants
        .iter()
        .map(|want| {
            let needs = [want.cpus, want.mem, want.disk];
            let has = |left: &[f64; 3]| left.iter().zip(needs).all(|(left, need)| left + 1e-9 >= need);
            let mut taken: BTreeMap<usize, u64> = BTreeMap::new();
            for done in 0..want.instances.min(MOST) {
                let best = free
                    .iter()
                    .enumerate()
                    .filter(|(at, (_, left))| has(left) && !(want.unique && taken.contains_key(at)))
                    .max_by(|(_, a), (_, b)| a.1[1].total_cmp(&b.1[1]));
                let Some((at, _)) = best else {
                    let why = why(want, &free, &taken);
                    return Fit { nodes: taken.len(), missing: Some((want.instances - done, why)) };
                };
                for (left, need) in free[at].1.iter_mut().zip(needs) {
                    *left -= need;
                }
                *taken.entry(at).or_default() += 1;
            }
            Fit { nodes: taken.len(), missing: None }
        })
        .collect()
}

fn why(want: &Want, free: &[Free], taken: &BTreeMap<usize, u64>) -> String {
    if free.is_empty() {
        return "there is no active node".to_owned();
    }
    let open = free.iter().enumerate().filter(|(at, _)| !(want.unique && taken.contains_key(at)));
    let lacking = |left: &[f64; 3]| {
        let mut lacks = Vec::new();
        if want.cpus > left[0] + 1e-9 {
            lacks.push(format!("{} cores wanted, {} free", number(want.cpus), number(left[0].max(0.0))));
        }
        for (need, left, what) in [(want.mem, left[1], "memory"), (want.disk, left[2], "disk")] {
            if need > left + 1e-9 {
                lacks.push(format!("{what} {} wanted, {} free", mebibytes(need), mebibytes(left.max(0.0))));
            }
        }
        lacks
    };
    let nearest = open
        .map(|(_, (host, left))| (lacking(left), host, left))
        .min_by(|a, b| a.0.len().cmp(&b.0.len()).then(b.2[1].total_cmp(&a.2[1])));
    match nearest {
        Some((lacks, host, _)) => format!("nearest is {host}: {}", lacks.join(", ")),
        None => format!("each has to be on a node of its own, and {} are active", free.len()),
    }
}

/// Goes to the review, unless the form knows better.
pub(super) fn begin(state: &mut State) -> Vec<Effect> {
    let Some(draft) = &mut state.universe.draft else { return Vec::new() };
    let faults = draft.form.count() + usize::from(draft.id_fault().is_some());
    if faults > 0 {
        draft.find_fault();
        let words = format!(
            "{} first",
            if faults == 1 {
                "one option has to be mended".to_owned()
            } else {
                format!("{faults} options have to be mended")
            }
        );
        state.say(Tone::Bad, words);
        return Vec::new();
    }
    let request = Request::Render {
        name: draft.name.clone(),
        version: draft.version.clone(),
        options: draft.form.options(),
        id: draft.as_what(),
    };
    let number = state.number(All::Universe(Wanted::Render));
    let review = Review { number, answer: None, list: List::default(), button: false, brought: Vec::new() };
    if let Some(draft) = &mut state.universe.draft {
        draft.review = Some(review);
    }
    state.universe.view = View::Review;
    vec![Effect::Ask(number, request)]
}

/// What the masters made of it.
pub(super) fn rendered(state: &mut State, number: u64, result: Result<Value, Failed>) -> Vec<Effect> {
    let Some(draft) = &mut state.universe.draft else { return Vec::new() };
    let Some(review) = draft.review.as_mut().filter(|review| review.number == number) else {
        return Vec::new();
    };
    match result {
        Ok(answer) => {
            let definition = answer.get("marathonJson").unwrap_or(&Value::Null);
            review.answer = Some(Ok(Rendered {
                yaml: super::yaml_lines(&short(definition)),
                wants: wants(definition),
                fits: RefCell::default(),
            }));
        }
        Err(failed) => {
            let at_fields = draft.form.said(&failed.body);
            review.answer = Some(Err(failed));
            if at_fields {
                draft.find_fault();
                if state.universe.view == View::Review {
                    state.universe.view = View::Options;
                }
                state.say(Tone::Bad, "the masters do not take these options");
            }
        }
    }
    Vec::new()
}

/// A definition whose labels that no person reads are cut.
fn short(definition: &Value) -> Value {
    let mut definition = definition.clone();
    fn cut(value: &mut Value, depth: usize) {
        match value {
            Value::Object(map) if depth < 100 => {
                for (name, value) in map {
                    match value {
                        Value::String(text) if name.starts_with("DCOS_PACKAGE_") && text.len() > 60 => {
                            *text = format!(
                                "{}… ({} characters)",
                                fit(text, 20).trim_end_matches('…'),
                                text.len()
                            );
                        }
                        other => cut(other, depth + 1),
                    }
                }
            }
            Value::Array(all) if depth < 100 => all.iter_mut().for_each(|value| cut(value, depth + 1)),
            _ => {}
        }
    }
    cut(&mut definition, 0);
    definition
}

/// The files that the masters do not hold yet: what is rendered names them by their sums, so there is nothing to show before.
fn lacking(failed: &Failed) -> Option<Vec<String>> {
    (text(&failed.body, "type") == "ArtifactsMissing").then(|| {
        let names = failed.body.pointer("/data/artifacts").and_then(Value::as_array);
        names.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    })
}

impl Review {
    /// Whether it may be sent.
    fn ready(&self) -> bool {
        match &self.answer {
            Some(Ok(_)) => true,
            Some(Err(failed)) => lacking(failed).is_some(),
            None => false,
        }
    }
}

pub(super) fn key(state: &mut State, key: KeyEvent) -> Option<Vec<Effect>> {
    let may_change = state.may_change();
    let Some((update, review)) = state.universe.draft.as_mut().and_then(|draft| {
        let update = draft.target.is_some();
        Some((update, draft.review.as_mut()?))
    }) else {
        state.universe.view = View::List;
        return Some(Vec::new());
    };
    let go = match key.code {
        KeyCode::Esc | KeyCode::Char('q') => false,
        KeyCode::Tab | KeyCode::BackTab | KeyCode::Left | KeyCode::Right => {
            review.button = !review.button;
            return Some(Vec::new());
        }
        KeyCode::Enter if review.button => true,
        KeyCode::Enter => false,
        KeyCode::Char('I') if !update => true,
        KeyCode::Char('U') if update => true,
        _ => {
            let rows = match &review.answer {
                Some(Ok(rendered)) => rendered.yaml.len(),
                _ => 0,
            };
            return review.list.key(key, rows).then(Vec::new);
        }
    };
    if !go {
        state.universe.view = View::Options;
        return Some(Vec::new());
    }
    match &review.answer {
        _ if !may_change => state.say(Tone::Look, state.why_not()),
        None => state.say(Tone::Moving, "the masters have not answered yet"),
        Some(Err(failed)) if !review.ready() => {
            let words = failed.text.clone();
            state.say(Tone::Bad, words);
        }
        Some(_) => return Some(super::progress::begin(state)),
    }
    Some(Vec::new())
}

/// What it takes, and whether it fits.
fn summary(state: &State, wide: usize) -> Vec<Line<'static>> {
    let look = state.look();
    let Some(draft) = &state.universe.draft else { return Vec::new() };
    let Some(review) = &draft.review else { return Vec::new() };
    let mut lines = Vec::new();
    let said = |tone: Tone, words: &str, lines: &mut Vec<Line<'static>>| {
        for (at, line) in wrap(&clean(words), wide.saturating_sub(3)).into_iter().enumerate() {
            let glyph = if at == 0 { look.glyph(tone) } else { " " };
            lines.push(Line::styled(format!(" {glyph} {}", look.plain(&line)), look.tone(tone)));
        }
    };
    match &review.answer {
        None if review.brought.is_empty() => {
            said(Tone::Moving, "The masters are asked what they would make of it …", &mut lines);
        }
        None => {
            said(
                Tone::Moving,
                "Its files are brought to the masters, which name them by their sums:",
                &mut lines,
            );
            for step in &review.brought {
                #[expect(clippy::cast_precision_loss, reason = "a share of a bar")]
                let bar = match step.of {
                    0 => String::new(),
                    of => format!("{} ", look.bar(step.done as f64 / of as f64, 10)),
                };
                said(Tone::Moving, &format!("{}  {bar}{}", step.step, step.what), &mut lines);
            }
        }
        Some(Err(failed)) => match lacking(failed) {
            Some(files) => {
                let words = format!(
                    "The masters do not hold its files yet: {}. They are brought first, and what it takes can be said after that.",
                    files.join(", ")
                );
                said(Tone::Look, &words, &mut lines);
                if let Some(needs) = draft.package.get("needs").filter(|needs| needs.is_object()) {
                    let of = |key: &str| needs.get(key).and_then(Value::as_f64).unwrap_or(0.0);
                    let words = format!(
                        " By its defaults it needs {} cores, {}.",
                        number(of("cpus")),
                        mebibytes(of("mem"))
                    );
                    lines.push(Line::raw(words));
                }
            }
            None => said(Tone::Bad, &list::blamed(failed, "esc goes back to the options"), &mut lines),
        },
        Some(Ok(rendered)) => {
            let free = free(&state.cluster);
            let nodes = free.len() as u64;
            let mut kept = rendered.fits.borrow_mut();
            let fresh = kept.as_ref().filter(|(generation, _)| *generation == state.cluster.generation);
            let fits = match fresh {
                Some((_, fits)) => Arc::clone(fits),
                None => {
                    let fits = Arc::new(place(&rendered.wants, free));
                    *kept = Some((state.cluster.generation, Arc::clone(&fits)));
                    fits
                }
            };
            let id = wide.saturating_sub(39).clamp(10, 40);
            lines.push(Line::styled(
                format!(
                    " {} {} {} {} {}",
                    pad("SERVICE", id),
                    right("INST", 4),
                    right("CORES", 7),
                    right("MEMORY", 10),
                    right("DISK", 10)
                ),
                look.dim(),
            ));
            let mut sums = [0.0; 3];
            for want in &rendered.wants {
                let times = want.instances as f64;
                for (sum, each) in sums.iter_mut().zip([want.cpus, want.mem, want.disk]) {
                    *sum += each * times;
                }
                lines.push(Line::raw(format!(
                    " {} {} {} {} {}",
                    pad(&look.plain(&clean(&want.app)), id),
                    right(&format!("{}{}", want.instances, look.plain("×")), 4),
                    right(&number(want.cpus), 7),
                    right(&mebibytes(want.mem), 10),
                    right(&mebibytes(want.disk), 10)
                )));
            }
            lines.push(Line::styled(
                format!(
                    " {} {} {} {} {}",
                    pad("in all", id),
                    right("", 4),
                    right(&number(sums[0]), 7),
                    right(&mebibytes(sums[1]), 10),
                    right(&mebibytes(sums[2]), 10)
                ),
                look.strong(),
            ));
            lines.push(Line::default());
            let missing: u64 =
                fits.iter().filter_map(|fit| fit.missing.as_ref()).map(|(count, _)| count).sum();
            if !state.cluster.complete {
                said(
                    Tone::Unknown,
                    "Whether it fits is not known: the cluster is still being read.",
                    &mut lines,
                );
            } else if missing == 0 {
                let most = fits.iter().map(|fit| fit.nodes).max().unwrap_or(0);
                let beside = if draft.target.is_some() { ", beside what runs of it now" } else { "" };
                let words = format!("It fits now, on {most} of {}{beside}.", count(nodes, "active node"));
                said(Tone::Good, &words, &mut lines);
            } else {
                for (want, fit) in rendered.wants.iter().zip(fits.iter()) {
                    if let Some((count, why)) = &fit.missing {
                        let words = format!("{}: {count} of {} would wait, {why}.", want.app, want.instances);
                        said(Tone::Look, &words, &mut lines);
                    }
                }
                let words =
                    format!("{} looked at; what has no place waits for one.", count(nodes, "active node"));
                let rest = wrap(&words, wide.saturating_sub(3)).into_iter();
                lines.extend(rest.map(|line| Line::raw(format!("   {line}"))));
            }
        }
    }
    if let Some(words) = not_foreseen(state, draft) {
        lines.push(Line::default());
        said(Tone::Look, &words, &mut lines);
    }
    let files = artifacts(&draft.package);
    if !files.is_empty() {
        lines.extend([Line::default(), Line::styled(" Files it brings", look.strong())]);
        let more = files.len().saturating_sub(6);
        for (name, what) in files.into_iter().take(6) {
            let words = fit(&format!(" {} {what}", pad(&clean(&name), 20)), wide);
            lines.push(Line::raw(look.plain(&words)));
        }
        if more > 0 {
            lines.push(Line::raw(look.plain(&format!(" … and {more} more"))));
        }
    }
    lines
}

/// Why the masters will refuse to go from one version to another.
pub(super) fn not_foreseen(state: &State, draft: &Draft) -> Option<String> {
    let id = draft.target.as_ref()?;
    let one = state.universe.installed.iter().flatten().find(|one| one.id == *id)?;
    if one.version == draft.version {
        return None;
    }
    let named = |all: &[String], version: &str| all.iter().any(|known| known == "*" || known == version);
    let foreseen = named(&super::words(&draft.package, "upgradesFrom"), &one.version)
        || named(&one.downgrades, &draft.version);
    (!foreseen).then(|| {
        format!(
            "Neither version says that {} can become {}: the masters refuse that.",
            one.version, draft.version
        )
    })
}

/// The files that a package says it brings, and their sums.
pub(super) fn artifacts(package: &Value) -> Vec<(String, String)> {
    let all = package
        .pointer("/resource/artifacts")
        .or_else(|| package.get("artifacts"))
        .and_then(Value::as_object);
    let mut files: Vec<(String, String)> = Vec::new();
    for (name, artifact) in all.into_iter().flatten() {
        let size = artifact.get("size").and_then(Value::as_f64).map(|size| mebibytes(size / 1_048_576.0));
        let sum = match text(artifact, "sha256") {
            "" => None,
            sum => Some(format!("sha256 {}", fit(sum, 16))),
        };
        let what = match (entries(artifact, "closure").len(), artifact.get("rootfs")) {
            (0, None) if sum.is_none() => "put together here".to_owned(),
            (0, None) => [size, sum].into_iter().flatten().collect::<Vec<_>>().join(", "),
            (0, Some(_)) => "a root file system, put together here".to_owned(),
            (parts, _) => format!("put together of {}, each with its sha256", count(parts as u64, "file")),
        };
        files.push((name.clone(), what));
    }
    for key in ["uris", "container/docker"] {
        let all = package.pointer(&format!("/resource/assets/{key}")).and_then(Value::as_object);
        for (name, from) in all.into_iter().flatten() {
            files.push((name.clone(), clean(from.as_str().unwrap_or_default())));
        }
    }
    files
}

pub(super) fn draw(state: &State, place: Rect, canvas: &mut Buffer) {
    let Some(draft) = &state.universe.draft else { return };
    let Some(review) = &draft.review else { return };
    let look = state.look();
    let [top, middle, buttons] =
        Layout::vertical([Constraint::Length(1), Constraint::Fill(1), Constraint::Length(1)]).areas(place);
    super::options::head(state, draft, 1, top, canvas);
    let wide = middle.width >= 100;
    let [facts, definition] = if wide {
        Layout::horizontal([Constraint::Percentage(52), Constraint::Fill(1)]).areas(middle)
    } else {
        Layout::vertical([Constraint::Percentage(76), Constraint::Fill(1)]).areas(middle)
    };
    let changed = super::yaml_lines(&draft.form.differs());
    let rows = u16::try_from(changed.len().max(1) + 2).unwrap_or(u16::MAX).min(facts.height * 2 / 5).max(3);
    let [taken, differs] = Layout::vertical([Constraint::Fill(1), Constraint::Length(rows)]).areas(facts);
    let inside = crate::draw::panel(state, "What it takes", false, taken, canvas);
    super::put(summary(state, usize::from(inside.width)), inside, canvas);
    let inside = crate::draw::panel(state, "What differs from the defaults", false, differs, canvas);
    if changed.is_empty() {
        super::put([Line::styled(" nothing", look.dim())], inside, canvas);
    }
    let columns = usize::from(inside.width);
    let hidden = changed.len().saturating_sub(usize::from(inside.height));
    let shown = changed.len() - if hidden > 0 { hidden + 1 } else { 0 };
    let mut lines: Vec<Line<'static>> = changed
        .into_iter()
        .take(shown)
        .map(|line| Line::raw(fit(&look.plain(&format!(" {line}")), columns)))
        .collect();
    if hidden > 0 {
        lines.push(Line::styled(look.plain(&format!(" … {} more lines", hidden + 1)), look.dim()));
    }
    super::put(lines, inside, canvas);
    let inside = crate::draw::panel(state, "Definition", true, definition, canvas);
    match &review.answer {
        Some(Ok(rendered)) => {
            let window = review.list.window(rendered.yaml.len(), usize::from(inside.height));
            let columns = usize::from(inside.width);
            let lines =
                rendered.yaml.iter().enumerate().skip(window.start).take(window.len()).map(|(at, line)| {
                    let mark = if at == review.list.cursor { "▌" } else { " " };
                    Line::raw(fit(&look.plain(&format!("{mark}{line}")), columns))
                });
            super::put(lines, inside, canvas);
        }
        Some(Err(_)) => super::put([Line::styled(" not known", look.dim())], inside, canvas),
        None => super::put([Line::styled(look.plain(" …"), look.dim())], inside, canvas),
    }
    let button = |name: &str, focused: bool| {
        Span::styled(format!("[ {name} ]"), if focused { look.selected() } else { look.text() })
    };
    let mut spans = Vec::new();
    if state.may_change() {
        let name = if draft.target.is_some() { "Update" } else { "Install" };
        spans.extend([button(name, review.button), Span::raw("   ")]);
    }
    spans.push(button("Back to the options", !review.button));
    super::put([Line::from(spans).centered()], buttons, canvas);
}
