//! What readers see: made after each batch, taken whole, never waited for.

use std::sync::Arc;

use api::marathon::{AppId, Deployment};
use rpds::RedBlackTreeMapSync;

use crate::core::State;
use crate::core::view::AppView;

/// All at one moment.
#[derive(Clone, Default)]
pub(crate) struct View {
    pub(crate) apps: RedBlackTreeMapSync<AppId, Arc<AppView>>,
    pub(crate) deployments: Arc<Vec<Deployment>>,
    pub(crate) framework: Option<String>,
}

impl View {
    /// Takes over what changed; false when nothing did.
    pub(crate) fn update(&mut self, state: &mut State) -> bool {
        let touched = state.take_touched();
        let framework = state.framework().map(ToString::to_string);
        if touched.is_empty() && framework == self.framework {
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
        self.deployments = Arc::new(state.deployment_views());
        self.framework = framework;
        true
    }
}
