//! A cluster that is made up, for a look without one.

use crate::{Backend, Link};

/// A simulated cluster of twenty nodes.
#[derive(Debug, Default)]
pub struct Demo {}

impl Backend for Demo {
    async fn run(self, link: Link) {
        let _ = link;
    }
}
