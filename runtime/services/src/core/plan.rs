//! From what was to what shall be: the steps of a deployment (§8).

use api::marathon::{ActionKind, App, AppId, DeploymentAction, DeploymentStep};

use super::state::config_version;

/// What a deployment does at one time: its actions run in parallel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The actions.
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
}

impl Step {
    /// As the interface shows it.
    pub(crate) fn view(&self) -> DeploymentStep {
        let action = |action: &Action| DeploymentAction { action: action.kind, app: action.app.clone() };
        DeploymentStep { actions: self.actions.iter().map(action).collect() }
    }
}

/// The steps that lead from each old definition to the new one: what starts, scales and restarts first, what stops last.
/// The order of `pairs` is the order of dependencies.
pub fn plan(pairs: &[Pair<'_>]) -> Vec<Step> {
    let (mut first, mut last) = (Vec::new(), Vec::new());
    for pair in pairs {
        let step = |kind, app: &App| Step { actions: vec![Action { kind, app: app.id.clone() }] };
        match (pair.old, pair.new) {
            (None, None) => {}
            (None, Some(new)) => {
                first.push(step(ActionKind::StartApplication, new));
                if new.instances > 0 {
                    first.push(step(ActionKind::ScaleApplication, new));
                }
            }
            (Some(old), None) => last.push(step(ActionKind::StopApplication, old)),
            (Some(old), Some(new)) if config_version(old) != config_version(new) => {
                first.push(step(ActionKind::RestartApplication, new));
            }
            (Some(old), Some(new)) if old.instances != new.instances => {
                first.push(step(ActionKind::ScaleApplication, new));
            }
            (Some(_), Some(_)) => {}
        }
    }
    first.extend(last);
    first
}
