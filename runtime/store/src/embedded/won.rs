//! A leadership on its way to the one who campaigned for it.

use std::fmt;
use std::sync::Arc;

use super::writer::Shared;
use crate::Leadership;

/// What is dropped on the way, since the one who campaigned has gone away, is given up: nobody else holds it.
pub(super) struct Won {
    leadership: Option<Leadership>,
    shared: Arc<Shared>,
}

impl Won {
    pub(super) fn new(leadership: Leadership, shared: Arc<Shared>) -> Self {
        Self { leadership: Some(leadership), shared }
    }

    /// It has arrived.
    pub(super) fn take(mut self) -> Option<Leadership> {
        self.leadership.take()
    }
}

impl Drop for Won {
    fn drop(&mut self) {
        if let Some(leadership) = self.leadership.take() {
            self.shared.give_up(leadership.epoch());
        }
    }
}

impl fmt::Debug for Won {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Won").field("leadership", &self.leadership).finish_non_exhaustive()
    }
}
