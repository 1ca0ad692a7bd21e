//! What readers see: made after each batch, taken whole, never waited for.

use std::sync::Arc;

use api::marathon::{AppId, Deployment, GroupId};
use rpds::RedBlackTreeMapSync;

use crate::core::view::AppView;
use crate::core::{Group, State};

/// All at one moment. What did not change is shared with the moment before. Copies cost nothing.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// All apps, those among them that are gone while their tasks end.
    pub apps: RedBlackTreeMapSync<AppId, Arc<AppView>>,
    pub(crate) groups: RedBlackTreeMapSync<GroupId, Arc<Group>>,
    /// All deployments, the oldest first.
    pub deployments: Arc<Vec<Deployment>>,
    pub(crate) framework: Option<String>,
}

impl View {
    /// Takes over what changed; false when nothing did.
    pub(crate) fn update(&mut self, state: &mut State) -> bool {
        let touched = state.take_touched();
        let framework = state.framework().map(ToString::to_string);
        let groups = state.take_touched_groups();
        let deployments = state.take_touched_deployments();
        if touched.is_empty() && groups.is_empty() && !deployments && framework == self.framework {
            return false;
        }
        for app in touched {
            match state.app_view(&app) {
                Some(view) => self.apps.insert_mut(app, Arc::new(view)),
                None => {
                    self.apps.remove_mut(&app);
                }
            }
        }
        for group in groups {
            match state.group(&group) {
                Some(known) => self.groups.insert_mut(group, known.clone()),
                None => {
                    self.groups.remove_mut(&group);
                }
            }
        }
        if deployments {
            self.deployments = Arc::new(state.deployment_views());
        }
        self.framework = framework;
        true
    }
}
