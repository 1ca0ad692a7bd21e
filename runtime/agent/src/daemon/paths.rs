//! The work directory: sandboxes where Mesos has them, the agent's own state below `meta`.

use std::path::{Path, PathBuf};

use api::marathon::Uuid;

/// The sandbox of one run of a task.
#[must_use]
pub(super) fn sandbox(work_dir: &Path, agent: &str, framework: &str, task: &str, container: Uuid) -> PathBuf {
    work_dir
        .join("slaves")
        .join(agent)
        .join("frameworks")
        .join(framework)
        .join("executors")
        .join(task)
        .join("runs")
        .join(container.to_string())
}

/// The paths by which clients ask for a sandbox's files.
#[must_use]
pub(super) fn virtual_paths(framework: &str, task: &str, container: Uuid, sandbox: &Path) -> [String; 3] {
    let runs = format!("/frameworks/{framework}/executors/{task}/runs");
    [format!("{runs}/latest"), format!("{runs}/{container}"), sandbox.to_string_lossy().into_owned()]
}

/// The agent's own state.
#[derive(Clone, Debug)]
pub(super) struct Meta {
    root: PathBuf,
}

impl Meta {
    /// That of a work directory.
    #[must_use]
    pub(super) fn of(work_dir: &Path) -> Self {
        Self { root: work_dir.join("meta") }
    }

    /// Its directory.
    #[must_use]
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The tasks' directories, each named by its container.
    #[must_use]
    pub(super) fn tasks(&self) -> PathBuf {
        self.root.join("tasks")
    }

    /// One task's directory.
    #[must_use]
    pub(super) fn task(&self, container: Uuid) -> PathBuf {
        self.tasks().join(container.to_string())
    }

    /// The names of past tasks.
    #[must_use]
    pub(super) fn past(&self) -> PathBuf {
        self.root.join("past")
    }

    /// What could not be read, for people to look at.
    #[must_use]
    pub(super) fn damaged(&self) -> PathBuf {
        self.root.join("damaged")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sandboxes_are_where_mesos_has_them() {
        let container = Uuid::from_bits(7);
        let path = sandbox(Path::new("/w"), "A-S1", "F", "web.1", container);
        let name = "00000000-0000-0000-0000-000000000007";
        assert_eq!(
            path.to_str(),
            Some(format!("/w/slaves/A-S1/frameworks/F/executors/web.1/runs/{name}").as_str())
        );
        let [latest, run, real] = virtual_paths("F", "web.1", container, &path);
        assert_eq!(latest, "/frameworks/F/executors/web.1/runs/latest");
        assert_eq!(run, format!("/frameworks/F/executors/web.1/runs/{name}"));
        assert_eq!(Some(real.as_str()), path.to_str());
    }
}
