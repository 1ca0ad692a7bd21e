//! From what was to what shall be: the steps of a deployment (§8).

use std::cmp::Reverse;
use std::collections::BTreeMap;

use api::marathon::{ActionKind, App, AppId, DeploymentAction, DeploymentStep};

use super::state::config_version;

/// What a deployment does at one time: its actions run in parallel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The actions, one for each app at most, in the order of the apps.
    pub actions: Vec<Action>,
}

/// One action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// What is done.
    pub kind: ActionKind,
    /// To which app.
    pub app: AppId,
}

/// An app before and after. Versions count: those of the configuration say whether instances are replaced.
#[derive(Debug, Clone, Copy)]
pub struct Pair<'a> {
    /// Before.
    pub old: Option<&'a App>,
    /// After.
    pub new: Option<&'a App>,
    /// Whether instances may be there that `old` says nothing about.
    pub left: Left,
}

/// What an app may have besides the instances that its old definition asks for: some of an earlier app of its name, or of a
/// deployment that was given up on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Left {
    /// Nothing.
    #[default]
    Nothing,
    /// Too many or too few of the new configuration.
    Current,
    /// Some of another configuration.
    Outdated,
}

/// For each app how many others come one after the other before it; none for an app that is not named.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Levels {
    /// As things shall be: what starts, scales and restarts comes after what it depends on.
    pub start: BTreeMap<AppId, usize>,
    /// As things were: what stops goes before what it depends on.
    pub stop: BTreeMap<AppId, usize>,
}

impl Step {
    fn new(kind: impl Fn(&AppId) -> ActionKind, mut apps: Vec<AppId>) -> Step {
        apps.sort();
        Step { actions: apps.into_iter().map(|app| Action { kind: kind(&app), app }).collect() }
    }

    /// What is done to `app`.
    pub(crate) fn action(&self, app: &AppId) -> Option<ActionKind> {
        let at = self.actions.binary_search_by(|action| action.app.cmp(app)).ok()?;
        self.actions.get(at).map(|action| action.kind)
    }

    /// As the interface shows it.
    pub(crate) fn view(&self) -> DeploymentStep {
        let action = |action: &Action| DeploymentAction { action: action.kind, app: action.app.clone() };
        DeploymentStep { actions: self.actions.iter().map(action).collect() }
    }
}

/// The steps that lead from each old definition to the new one: all that is new comes into being, then what is to scale or
/// restart does so, level by level, and what is to go goes last, the highest level first.
pub fn plan(pairs: &[Pair<'_>], levels: &Levels) -> Vec<Step> {
    let mut fresh: Vec<AppId> = Vec::new();
    let mut work: BTreeMap<usize, BTreeMap<AppId, ActionKind>> = BTreeMap::new();
    let mut last: BTreeMap<Reverse<usize>, Vec<AppId>> = BTreeMap::new();
    for pair in pairs {
        match (pair.old, pair.new) {
            (None, None) => {}
            (Some(old), None) => {
                let level = levels.stop.get(&old.id).copied().unwrap_or(0);
                last.entry(Reverse(level)).or_default().push(old.id.clone());
            }
            (old, Some(new)) => {
                if old.is_none() {
                    fresh.push(new.id.clone());
                }
                if let Some(kind) = work_on(old, new, pair.left) {
                    let level = levels.start.get(&new.id).copied().unwrap_or(0);
                    work.entry(level).or_default().insert(new.id.clone(), kind);
                }
            }
        }
    }
    let fresh = Step::new(|_| ActionKind::StartApplication, fresh);
    let work = work.into_values().map(|actions| Step {
        actions: actions.into_iter().map(|(app, kind)| Action { kind, app }).collect(),
    });
    let last = last.into_values().map(|apps| Step::new(|_| ActionKind::StopApplication, apps));
    let steps = std::iter::once(fresh).chain(work).chain(last);
    steps.filter(|step| !step.actions.is_empty()).collect()
}

/// What is done to the instances.
fn work_on(old: Option<&App>, new: &App, left: Left) -> Option<ActionKind> {
    use ActionKind::{RestartApplication, ScaleApplication};
    match (old, left) {
        (_, Left::Outdated) => Some(RestartApplication),
        (Some(_), Left::Current) => Some(ScaleApplication),
        (None, _) => (new.instances > 0).then_some(ScaleApplication),
        (Some(old), Left::Nothing) if config_version(old) != config_version(new) => Some(RestartApplication),
        (Some(old), Left::Nothing) => (old.instances != new.instances).then_some(ScaleApplication),
    }
}
