//! `clusterctl hold`: the only process of the unit in which all tasks of a node live. It does nothing; while it is there, systemd
//! keeps the unit's group, and agents come and go without touching it.

use sd_notify::NotifyState;

use crate::daemon::{self, End};
use crate::error::CliError;
use crate::exit::Exit;

/// Makes room for tasks' groups, and waits to be ended.
pub(crate) fn run() -> Result<Exit, CliError> {
    // Before there is a second thread.
    agent::cgroup::make_room().map_err(|cause| {
        CliError::usage("the tasks' control group cannot be held")
            .caused_by(&cause)
            .hint("systemd starts this in a unit with `Delegate=yes`")
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|cause| CliError::internal("cannot start").caused_by(&cause))?;
    runtime.block_on(async {
        let mut end = End::new()?;
        daemon::tell(NotifyState::Ready);
        end.asked().await;
        Ok(Exit::Done)
    })
}
