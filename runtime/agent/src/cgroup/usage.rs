//! What a group uses and has used.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::group::Group;
use super::kernel::Kernel;
use super::layout::Hierarchy;

/// A reading. What is `None` is not counted here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// CPU time since the group was made, in nanoseconds.
    pub cpu_ns: Option<u64>,
    /// Memory that the kernel cannot simply take back, in bytes: without page cache that nobody used lately.
    pub memory_bytes: Option<u64>,
    /// The most memory ever charged, page cache included, in bytes.
    pub memory_peak_bytes: Option<u64>,
    /// Processes and threads now.
    pub pids: Option<u64>,
    /// How often the kernel killed a process of the group because its memory was at the limit.
    pub oom_kills: Option<u64>,
}

impl Usage {
    pub(super) fn read<K: Kernel>(group: &Group<K>) -> Self {
        Reader { group }.usage()
    }
}

struct Reader<'a, K> {
    group: &'a Group<K>,
}

impl<K: Kernel> Reader<'_, K> {
    fn usage(&self) -> Usage {
        let usage_us = || {
            self.v2_any("cpu.stat").and_then(|t| value_of(&t, "usage_usec")).map(|us| us.saturating_mul(1000))
        };
        let memory = |now: &str, stat_key: &str, controller: Option<String>| {
            let stat = controller.and_then(|t| value_of(&t, stat_key)).unwrap_or(0);
            number(now).map(|now| now.saturating_sub(stat))
        };
        Usage {
            cpu_ns: self.v1("cpuacct", "cpuacct.usage").and_then(|t| number(&t)).or_else(usage_us),
            memory_bytes: match self.v1("memory", "memory.usage_in_bytes") {
                Some(now) => memory(&now, "total_inactive_file", self.v1("memory", "memory.stat")),
                None => self
                    .v2("memory", "memory.current")
                    .and_then(|now| memory(&now, "inactive_file", self.v2("memory", "memory.stat"))),
            },
            memory_peak_bytes: self
                .v1("memory", "memory.max_usage_in_bytes")
                .or_else(|| self.v2("memory", "memory.peak"))
                .and_then(|t| number(&t)),
            pids: self
                .v1("pids", "pids.current")
                .or_else(|| self.v2("pids", "pids.current"))
                .and_then(|t| number(&t)),
            oom_kills: self
                .v1("memory", "memory.oom_control")
                .or_else(|| self.v2("memory", "memory.events"))
                .and_then(|t| value_of(&t, "oom_kill")),
        }
    }

    fn v1(&self, controller: &str, file: &str) -> Option<String> {
        self.read(|h| h.has_v1(controller), file)
    }

    fn v2(&self, controller: &str, file: &str) -> Option<String> {
        self.read(|h| h.has_v2(controller), file)
    }

    /// CPU time is counted on v2 without any controller.
    fn v2_any(&self, file: &str) -> Option<String> {
        self.read(Hierarchy::is_v2, file)
    }

    fn read(&self, wanted: impl Fn(&Hierarchy) -> bool, file: &str) -> Option<String> {
        let hierarchy = self.group.layout().hierarchies.iter().find(|h| wanted(h))?;
        let path: PathBuf = hierarchy.mount.join(self.group.path()).join(file);
        self.group.kernel().read(&path).ok()
    }
}

fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// The value of a line `key value`.
fn value_of(text: &str, key: &str) -> Option<u64> {
    text.lines().filter_map(|line| line.split_once(' ')).find(|(k, _)| *k == key).and_then(|(_, v)| number(v))
}

#[cfg(test)]
mod tests {
    use super::super::kernel::double::Recorder;
    use super::super::layout::{Layout, examples};
    use super::*;

    fn usage(layout: Layout, files: &[(&str, &str)]) -> Usage {
        Group::with_kernel(layout, "t", Recorder::with(files)).unwrap().usage()
    }

    #[test]
    fn v1_is_read_from_its_controllers() {
        let files = [
            ("/sys/fs/cgroup/cpu,cpuacct/t/cpuacct.usage", "123456\n"),
            ("/sys/fs/cgroup/memory/t/memory.usage_in_bytes", "5000\n"),
            ("/sys/fs/cgroup/memory/t/memory.stat", "cache 9\ninactive_file 1\ntotal_inactive_file 1000\n"),
            ("/sys/fs/cgroup/memory/t/memory.max_usage_in_bytes", "7000\n"),
            ("/sys/fs/cgroup/memory/t/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"),
            ("/sys/fs/cgroup/pids/t/pids.current", "3\n"),
        ];
        let expected = Usage {
            cpu_ns: Some(123_456),
            memory_bytes: Some(4000),
            memory_peak_bytes: Some(7000),
            pids: Some(3),
            oom_kills: Some(2),
        };
        assert_eq!(usage(examples::v1(), &files), expected);
        assert_eq!(usage(examples::hybrid(), &files), expected);
    }

    #[test]
    fn v2_is_read_from_its_one_group() {
        let files = [
            ("/sys/fs/cgroup/t/cpu.stat", "usage_usec 12\nuser_usec 5\n"),
            ("/sys/fs/cgroup/t/memory.current", "5000\n"),
            ("/sys/fs/cgroup/t/memory.stat", "anon 9\ninactive_file 1000\n"),
            ("/sys/fs/cgroup/t/memory.events", "low 0\nhigh 0\nmax 4\noom 1\noom_kill 1\noom_group_kill 0\n"),
            ("/sys/fs/cgroup/t/pids.current", "3\n"),
        ];
        let expected = Usage {
            cpu_ns: Some(12_000),
            memory_bytes: Some(4000),
            memory_peak_bytes: None,
            pids: Some(3),
            oom_kills: Some(1),
        };
        assert_eq!(usage(examples::v2(), &files), expected);
    }

    #[test]
    fn what_is_missing_or_garbled_is_not_counted() {
        assert_eq!(usage(examples::v2(), &[]), Usage::default());
        let garbled =
            [("/sys/fs/cgroup/t/memory.current", "max\n"), ("/sys/fs/cgroup/t/cpu.stat", "usage_usec\n")];
        assert_eq!(usage(examples::v2(), &garbled), Usage::default());
    }
}
