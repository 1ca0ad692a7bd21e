//! How far this host lets tasks be kept apart.

use std::path::Path;
use std::time::Duration;

use api::marathon::Uuid;

use crate::cgroup::{Group, Layout, Limits, plan};
use crate::shim;
use crate::spec::{Groups, Namespaces};

/// How often, and how far apart, the agent's own group is tried to be removed.
const GONE_TRIES: u32 = 50;
const GONE_AGAIN: Duration = Duration::from_millis(20);

/// What the operator wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// With root: groups below this one (a path below each hierarchy's root), namespaces, users. Without: nothing of
    /// that, and limits per process.
    Auto {
        /// The group.
        parent: String,
    },
    /// None, root or not: users stay, limits are per process.
    Off,
}

impl Default for Isolation {
    fn default() -> Self {
        Self::Auto { parent: "clusterctl-tasks".to_owned() }
    }
}

/// What can be done here.
#[derive(Clone, Debug)]
pub(super) struct Means {
    /// Hierarchies, and the group of this agent's tasks.
    groups: Option<(Layout, String)>,
    pub(super) namespaces: Namespaces,
    pub(super) no_new_privileges: bool,
    /// Whether tasks can have another user than the agent.
    pub(super) users: bool,
    /// Limits that no hierarchy here can enforce.
    unenforceable: Vec<&'static str>,
}

impl Means {
    /// Finds out, and says what is missing.
    pub(super) fn find(wanted: &Isolation, work_dir: &Path) -> Self {
        let users = rustix::process::geteuid().is_root();
        let mut means = Self {
            groups: None,
            namespaces: Namespaces::default(),
            no_new_privileges: true,
            users,
            unenforceable: Vec::new(),
        };
        let Isolation::Auto { parent } = wanted else { return means };
        if !users {
            tracing::warn!(
                "without root, tasks are not kept apart: no control groups, no namespaces, one user; \
                 memory is limited per process, CPU not at all"
            );
            return means;
        }
        match groups(parent, work_dir) {
            Ok((layout, group)) => {
                let all = Limits {
                    cpu_shares: Some(2),
                    cpu_millis: Some(10),
                    memory_bytes: Some(1),
                    pids: Some(1),
                };
                means.unenforceable = plan(&all, &layout, &group).unenforceable;
                if !means.unenforceable.is_empty() {
                    let limits = means.unenforceable.join(", ");
                    tracing::warn!(
                        "no control group hierarchy here can enforce: {limits}; tasks run without"
                    );
                }
                means.groups = Some((layout, group));
            }
            Err(why) => tracing::warn!("tasks run without control groups: {why}"),
        }
        let own = shim::can_unshare();
        means.namespaces = Namespaces { pid: own, mount: own };
        if !own {
            tracing::warn!("tasks see all processes and mounts: this host lets root make no namespaces");
        }
        means
    }

    /// Where a task stands.
    pub(super) fn groups(&self, container: Uuid) -> Option<Groups> {
        let (layout, parent) = self.groups.as_ref()?;
        Some(Groups {
            layout: layout.clone(),
            task: format!("{parent}/{container}"),
            shim: format!("{parent}/shims"),
        })
    }

    /// Removes what the agent made for itself, when nothing of its tasks runs any more.
    pub(super) fn remove_groups(&self) {
        let Some((layout, path)) = &self.groups else { return };
        let mut paths = Path::new(path).ancestors().filter_map(Path::to_str).filter(|path| !path.is_empty());
        let named = |path| Group::new(layout.clone(), path).ok();
        let Some(own) = paths.next().and_then(named) else { return };
        // A process that has just ended holds its group for a moment.
        let gone = (0..GONE_TRIES).any(|_| {
            let removed = own.remove();
            if removed.is_err() {
                std::thread::sleep(GONE_AGAIN);
            }
            removed.is_ok()
        });
        if !gone {
            tracing::warn!("the control group {path} is left: something runs in it");
        }
        // Other agents may use these; and what systemd made it removes.
        paths
            .take_while(|path| !is_systemd(path))
            .filter_map(named)
            .for_each(|group| group.remove_if_unused());
    }

    /// Without what cannot be enforced here.
    pub(super) fn enforceable(&self, limits: &Limits) -> Limits {
        let can = |name| !self.unenforceable.contains(&name);
        Limits {
            cpu_shares: limits.cpu_shares.filter(|_| can("cpu shares")),
            cpu_millis: limits.cpu_millis.filter(|_| can("cpu limit")),
            memory_bytes: limits.memory_bytes.filter(|_| can("memory")),
            // Without groups it counts what else the user runs, so a machine's own load would stop tasks.
            pids: limits.pids.filter(|_| can("pids") && self.groups.is_some()),
        }
    }
}

/// Whether systemd keeps the group of this path: a unit's.
fn is_systemd(path: &str) -> bool {
    let units = [".service", ".slice", ".scope"];
    path.rsplit('/').next().is_some_and(|name| units.iter().any(|unit| name.ends_with(unit)))
}

/// The group of an agent's tasks has the work directory in its name, so that two agents of a machine do not meet.
fn groups(parent: &str, work_dir: &Path) -> Result<(Layout, String), String> {
    let layout = Layout::detect().map_err(|e| shim::chain(&e))?;
    if layout.hierarchies.is_empty() {
        return Err("none is mounted".to_owned());
    }
    let name = crate::record::checksum(work_dir.as_os_str().as_encoded_bytes());
    let path = format!("{}/{name:016x}", parent.trim_matches('/'));
    let group = Group::new(layout.clone(), &path).map_err(|e| e.to_string())?;
    // Again: an agent that ends may just have removed the parent.
    group.ensure().or_else(|_| group.ensure()).map_err(|e| shim::chain(&e))?;
    Ok((layout, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_left_to_systemd() {
        for (path, systemd) in [
            ("system.slice/clusterctl-tasks.service", true),
            ("system.slice", true),
            ("clusterctl-tasks", false),
            ("system.slice/clusterctl-tasks.service/00ff", false),
        ] {
            assert_eq!(is_systemd(path), systemd, "{path}");
        }
    }
}
