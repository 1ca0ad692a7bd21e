//! Which hierarchies this machine has, and with which controllers.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::CgroupError;

/// v1 hierarchies that a task takes part in: those that limit and count, the one that freezes, and systemd's,
/// by which a unit's restart finds what it kills.
const V1_NAMES: [&str; 6] = ["cpu", "cpuacct", "memory", "pids", "freezer", "name=systemd"];

/// The hierarchies a task gets a group in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// One per set of controllers; v1 in the order of the mount table.
    pub hierarchies: Vec<Hierarchy>,
}

/// A mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hierarchy {
    /// Where its root is mounted.
    pub mount: PathBuf,
    /// This process's own group in it, without the leading slash.
    pub own: String,
    /// v1 or v2, with its controllers.
    pub kind: Kind,
}

/// Version and controllers of a hierarchy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Version 1, with those of its controllers that tasks need.
    V1(BTreeSet<String>),
    /// Version 2, with the controllers its root has; on a hybrid machine perhaps none.
    V2(BTreeSet<String>),
}

/// How a machine is set up, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// No hierarchy at all.
    None,
    /// Version 1 only.
    V1,
    /// Version 1 controllers beside a v2 hierarchy.
    Hybrid,
    /// Version 2 only.
    V2,
}

impl Hierarchy {
    /// Whether it is v1 and has this controller.
    #[must_use]
    pub fn has_v1(&self, controller: &str) -> bool {
        matches!(&self.kind, Kind::V1(names) if names.contains(controller))
    }

    /// Whether it is v2 and has this controller.
    #[must_use]
    pub fn has_v2(&self, controller: &str) -> bool {
        matches!(&self.kind, Kind::V2(names) if names.contains(controller))
    }

    /// Whether it is the v2 hierarchy.
    #[must_use]
    pub fn is_v2(&self) -> bool {
        matches!(self.kind, Kind::V2(_))
    }
}

impl Layout {
    /// The layout of this machine as this process sees it.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn detect() -> Result<Self, CgroupError> {
        let read = |path: &str| fs::read_to_string(path).map_err(CgroupError::io("read", path));
        let mut layout = Self::parse(&read("/proc/self/mountinfo")?, &read("/proc/self/cgroup")?);
        for hierarchy in &mut layout.hierarchies {
            if let Kind::V2(controllers) = &mut hierarchy.kind {
                let path = hierarchy.mount.join("cgroup.controllers");
                let text = fs::read_to_string(&path).map_err(CgroupError::io("read", path))?;
                controllers.extend(text.split_whitespace().map(str::to_owned));
            }
        }
        Ok(layout)
    }

    /// Reads `mountinfo` (proc(5)) and `/proc/self/cgroup` (cgroups(7)). Of a v2 hierarchy the mount table does
    /// not tell the controllers; they are left empty. Mounts that do not show the root are left out: paths
    /// below them would not be the ones that `/proc` names. So are mounts that only read: a container may be given some
    /// hierarchies and not others.
    #[must_use]
    pub fn parse(mountinfo: &str, own_groups: &str) -> Self {
        let mut hierarchies: Vec<Hierarchy> = Vec::new();
        for line in mountinfo.lines() {
            let Some(mount) = parse_mount(line) else { continue };
            let Some(own) = own_group(own_groups, &mount.kind) else { continue };
            if !hierarchies.iter().any(|h| h.kind == mount.kind) {
                hierarchies.push(Hierarchy { own, ..mount });
            }
        }
        Self { hierarchies }
    }

    /// v1, hybrid or v2.
    #[must_use]
    pub fn mode(&self) -> Mode {
        let v2 = self.hierarchies.iter().any(Hierarchy::is_v2);
        match (self.hierarchies.iter().any(|h| !h.is_v2()), v2) {
            (false, false) => Mode::None,
            (true, false) => Mode::V1,
            (true, true) => Mode::Hybrid,
            (false, true) => Mode::V2,
        }
    }
}

fn parse_mount(line: &str) -> Option<Hierarchy> {
    // Before ` - ` fields are positional, but optional ones follow the mount point.
    let (place, what) = line.split_once(" - ")?;
    let place: Vec<&str> = place.split(' ').collect();
    let mut what = what.split(' ');
    let (root, mount) = (place.get(3)?, place.get(4)?);
    if place.get(5)?.split(',').any(|option| option == "ro") {
        return None;
    }
    let kind = match what.next()? {
        "cgroup2" => Kind::V2(BTreeSet::new()),
        "cgroup" => {
            let options = what.nth(1)?.split(',');
            let names: BTreeSet<String> =
                options.filter(|name| V1_NAMES.contains(name)).map(str::to_owned).collect();
            if names.is_empty() {
                return None;
            }
            Kind::V1(names)
        }
        _ => return None,
    };
    (*root == "/").then(|| Hierarchy { mount: unescape(mount), own: String::new(), kind })
}

/// The line of `/proc/self/cgroup` that belongs to a hierarchy: `id:controllers:/path`.
fn own_group(text: &str, kind: &Kind) -> Option<String> {
    text.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (id, names, path) = (fields.next()?, fields.next()?, fields.next()?);
        let is_this = match kind {
            Kind::V1(wanted) => names.split(',').any(|name| wanted.contains(name)),
            Kind::V2(_) => id == "0" && names.is_empty(),
        };
        is_this.then(|| path.trim_start_matches('/').to_owned())
    })
}

/// The mount table writes blank, tab, newline and backslash as octal numbers.
fn unescape(text: &str) -> PathBuf {
    let plain = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    PathBuf::from(plain.iter().fold(text.to_owned(), |text, (code, sign)| text.replace(code, sign)))
}

#[cfg(test)]
pub(crate) mod examples {
    use super::*;

    pub(crate) const HYBRID_MOUNTS: &str = "\
24 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 24 0:26 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
33 30 0:29 / /sys/fs/cgroup/blkio rw,relatime - cgroup cgroup rw,blkio
34 30 0:30 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
35 30 0:31 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer
36 30 0:32 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
37 30 0:33 / /sys/fs/cgroup/unified rw,relatime shared:4 - cgroup2 cgroup2 rw
38 24 0:28 /inner /somewhere/memory rw,relatime - cgroup cgroup rw,memory
39 24 0:28 / /again/memory rw,relatime - cgroup cgroup rw,memory
";
    pub(crate) const HYBRID_OWN: &str = "\
9:name=systemd:/system.slice/agent.service
8:pids:/
7:blkio:/
6:freezer:/
4:memory:/a b
1:cpu,cpuacct:/
0::/system.slice/agent.service
";

    pub(crate) fn hybrid() -> Layout {
        Layout::parse(HYBRID_MOUNTS, HYBRID_OWN)
    }

    pub(crate) fn v1() -> Layout {
        let mut layout = hybrid();
        layout.hierarchies.retain(|h| !h.is_v2());
        layout
    }

    pub(crate) fn v2() -> Layout {
        let mut layout = Layout::parse(
            "26 24 0:24 / /sys/fs/cgroup rw shared:1 shared:2 - cgroup2 cgroup2 rw,nsdelegate\n",
            "0::/system.slice/agent.service\n",
        );
        layout.hierarchies[0].kind = Kind::V2(["cpu", "io", "memory", "pids"].map(str::to_owned).into());
        layout
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(layout: &Layout) -> Vec<String> {
        layout.hierarchies.iter().map(|h| format!("{} {}", h.mount.display(), h.own)).collect()
    }

    #[test]
    fn a_hybrid_machine_gives_each_hierarchy_once_with_the_own_group() {
        let layout = examples::hybrid();
        assert_eq!(layout.mode(), Mode::Hybrid);
        assert_eq!(
            shown(&layout),
            [
                "/sys/fs/cgroup/cpu,cpuacct ",
                "/sys/fs/cgroup/memory a b",
                "/sys/fs/cgroup/pids ",
                "/sys/fs/cgroup/freezer ",
                "/sys/fs/cgroup/systemd system.slice/agent.service",
                "/sys/fs/cgroup/unified system.slice/agent.service",
            ]
        );
        assert!(layout.hierarchies[0].has_v1("cpu") && layout.hierarchies[0].has_v1("cpuacct"));
    }

    #[test]
    fn every_kind_of_machine_has_its_word() {
        for (mounts, own, mode) in [
            ("", "", Mode::None),
            ("garbage\n\n1 2 - \n3 - cgroup\n", "0::/\n", Mode::None),
            ("1 2 0:1 / /m rw - cgroup cgroup rw,memory\n", "3:memory:/\n", Mode::V1),
            ("1 2 0:1 / /m rw - cgroup2 none rw\n", "0::/\n", Mode::V2),
            ("1 2 0:1 /docker/1 /m rw - cgroup2 none rw\n", "0::/\n", Mode::None),
            ("1 2 0:1 / /m rw - cgroup2 none rw\n", "3:memory:/\n", Mode::None),
            ("1 2 0:1 / /m ro,nosuid - cgroup cgroup rw,memory\n", "3:memory:/\n", Mode::None),
        ] {
            assert_eq!(Layout::parse(mounts, own).mode(), mode, "{mounts}");
        }
        assert_eq!(examples::v1().mode(), Mode::V1);
        assert_eq!(examples::v2().mode(), Mode::V2);
    }

    #[test]
    fn mount_points_with_blanks_are_understood() {
        let layout = Layout::parse("1 2 0:1 / /a\\040b\\134c rw - cgroup2 none rw\n", "0::/\n");
        assert_eq!(shown(&layout), ["/a b\\c "]);
    }

    #[test]
    fn this_machine_is_read_without_error() {
        Layout::detect().unwrap();
    }
}
