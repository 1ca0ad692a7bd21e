//! Limits as a list of files and values.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::layout::{Hierarchy, Layout};

/// The period over which a hard limit of CPU time is counted; the kernel's own default.
const PERIOD_US: u64 = 100_000;
/// The kernel takes no shorter quota.
const MIN_QUOTA_US: u64 = 1_000;
/// The kernel's bounds of v1 shares.
const SHARES: (u64, u64) = (2, 262_144);

/// What a task may use. What is `None` is not limited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Weight against other tasks when CPU is short: 1024 for one core.
    pub cpu_shares: Option<u64>,
    /// Hard limit of CPU time, in thousandths of a core.
    pub cpu_millis: Option<u64>,
    /// Hard limit of memory, in bytes; page cache counts.
    pub memory_bytes: Option<u64>,
    /// Most processes and threads, counting the small first process of an own pid namespace.
    pub pids: Option<u64>,
}

/// What must be written where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In this order.
    pub settings: Vec<Setting>,
    /// Limits that were asked for and that no hierarchy here can enforce.
    pub unenforceable: Vec<&'static str>,
}

/// One value for one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The file.
    pub file: PathBuf,
    /// Its new content.
    pub value: String,
    /// Whether the kernel may lack the file, as those for swap.
    pub optional: bool,
}

/// Says how `limits` are set for the group `group` (a path below each hierarchy's root).
#[must_use]
pub fn plan(limits: &Limits, layout: &Layout, group: &str) -> Plan {
    let mut planner = Planner { layout, group, plan: Plan::default() };
    if let Some(shares) = limits.cpu_shares {
        let shares = shares.clamp(SHARES.0, SHARES.1);
        planner.limit(
            "cpu shares",
            "cpu",
            &[("cpu.shares", shares.to_string(), false)],
            &[("cpu.weight", weight(shares).to_string(), false)],
        );
    }
    if let Some(millis) = limits.cpu_millis {
        let quota = millis.saturating_mul(PERIOD_US / 1000).max(MIN_QUOTA_US);
        planner.limit(
            "cpu limit",
            "cpu",
            &[
                ("cpu.cfs_period_us", PERIOD_US.to_string(), false),
                ("cpu.cfs_quota_us", quota.to_string(), false),
            ],
            &[("cpu.max", format!("{quota} {PERIOD_US}"), false)],
        );
    }
    if let Some(bytes) = limits.memory_bytes {
        // v1 limits memory and swap together, and never below memory alone, hence the order.
        planner.limit(
            "memory",
            "memory",
            &[
                ("memory.limit_in_bytes", bytes.to_string(), false),
                ("memory.memsw.limit_in_bytes", bytes.to_string(), true),
            ],
            &[("memory.max", bytes.to_string(), false), ("memory.swap.max", "0".into(), true)],
        );
    }
    if let Some(pids) = limits.pids {
        let setting = [("pids.max", pids.to_string(), false)];
        planner.limit("pids", "pids", &setting, &setting);
    }
    planner.plan
}

/// v2's weight for v1's shares: the line through both scales' ends, as systemd and the OCI runtimes have it.
fn weight(shares: u64) -> u64 {
    1 + (shares - SHARES.0) * 9_999 / (SHARES.1 - SHARES.0)
}

struct Planner<'a> {
    layout: &'a Layout,
    group: &'a str,
    plan: Plan,
}

impl Planner<'_> {
    fn limit(
        &mut self,
        name: &'static str,
        controller: &str,
        v1: &[(&str, String, bool)],
        v2: &[(&str, String, bool)],
    ) {
        let find = |has: fn(&Hierarchy, &str) -> bool| {
            self.layout.hierarchies.iter().find(|h| has(h, controller)).map(|h| h.mount.as_path())
        };
        let found: Option<(&Path, _)> =
            find(Hierarchy::has_v1).map(|m| (m, v1)).or_else(|| find(Hierarchy::has_v2).map(|m| (m, v2)));
        let Some((mount, settings)) = found else {
            self.plan.unenforceable.push(name);
            return;
        };
        let dir = mount.join(self.group);
        self.plan.settings.extend(settings.iter().map(|(file, value, optional)| Setting {
            file: dir.join(file),
            value: value.clone(),
            optional: *optional,
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::super::layout::examples;
    use super::*;
    use insta::assert_snapshot;

    fn all() -> Limits {
        Limits {
            cpu_shares: Some(1024),
            cpu_millis: Some(1500),
            memory_bytes: Some(64 << 20),
            pids: Some(100),
        }
    }

    fn shown(plan: &Plan) -> String {
        let mark = |optional| if optional { " (if there)" } else { "" };
        let lines = plan
            .settings
            .iter()
            .map(|s| format!("{} = {}{}", s.file.display(), s.value, mark(s.optional)))
            .chain(plan.unenforceable.iter().map(|name| format!("unenforceable: {name}")));
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn on_v1_each_limit_goes_to_its_controller() {
        assert_snapshot!(shown(&plan(&all(), &examples::v1(), "tasks/t1")), @"
        /sys/fs/cgroup/cpu,cpuacct/tasks/t1/cpu.shares = 1024
        /sys/fs/cgroup/cpu,cpuacct/tasks/t1/cpu.cfs_period_us = 100000
        /sys/fs/cgroup/cpu,cpuacct/tasks/t1/cpu.cfs_quota_us = 150000
        /sys/fs/cgroup/memory/tasks/t1/memory.limit_in_bytes = 67108864
        /sys/fs/cgroup/memory/tasks/t1/memory.memsw.limit_in_bytes = 67108864 (if there)
        /sys/fs/cgroup/pids/tasks/t1/pids.max = 100
        ");
    }

    #[test]
    fn on_a_hybrid_machine_without_v2_controllers_v1_is_used() {
        assert_eq!(plan(&all(), &examples::hybrid(), "t"), plan(&all(), &examples::v1(), "t"));
    }

    #[test]
    fn on_v2_one_group_takes_them_all() {
        assert_snapshot!(shown(&plan(&all(), &examples::v2(), "tasks/t1")), @"
        /sys/fs/cgroup/tasks/t1/cpu.weight = 39
        /sys/fs/cgroup/tasks/t1/cpu.max = 150000 100000
        /sys/fs/cgroup/tasks/t1/memory.max = 67108864
        /sys/fs/cgroup/tasks/t1/memory.swap.max = 0 (if there)
        /sys/fs/cgroup/tasks/t1/pids.max = 100
        ");
    }

    #[test]
    fn a_controller_of_a_hybrid_machine_may_be_on_v2_alone() {
        let mut layout = examples::hybrid();
        layout.hierarchies.retain(|h| !h.has_v1("memory"));
        for hierarchy in &mut layout.hierarchies {
            if hierarchy.is_v2() {
                hierarchy.kind = super::super::Kind::V2(["memory".to_owned()].into());
            }
        }
        let limits = Limits { memory_bytes: Some(4096), pids: Some(9), ..Limits::default() };
        assert_snapshot!(shown(&plan(&limits, &layout, "t")), @"
        /sys/fs/cgroup/unified/t/memory.max = 4096
        /sys/fs/cgroup/unified/t/memory.swap.max = 0 (if there)
        /sys/fs/cgroup/pids/t/pids.max = 9
        ");
    }

    #[test]
    fn what_nothing_can_enforce_is_named() {
        assert_snapshot!(shown(&plan(&all(), &Layout::default(), "t")), @"
        unenforceable: cpu shares
        unenforceable: cpu limit
        unenforceable: memory
        unenforceable: pids
        ");
        assert_eq!(plan(&Limits::default(), &Layout::default(), "t"), Plan::default());
    }

    #[test]
    fn extremes_stay_within_what_the_kernel_takes() {
        for (shares, expected) in [(0, 1), (2, 1), (1024, 39), (262_144, 10_000), (u64::MAX, 10_000)] {
            let limits = Limits { cpu_shares: Some(shares), ..Limits::default() };
            assert_eq!(
                plan(&limits, &examples::v2(), "t").settings[0].value,
                expected.to_string(),
                "{shares}"
            );
        }
        for (millis, expected) in [(0, "1000 100000"), (1, "1000 100000"), (100, "10000 100000")] {
            let limits = Limits { cpu_millis: Some(millis), ..Limits::default() };
            assert_eq!(plan(&limits, &examples::v2(), "t").settings[0].value, expected, "{millis}");
        }
    }
}
