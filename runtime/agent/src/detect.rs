//! What a host has to offer, by Mesos' own rules: all but what the host itself needs.

use std::fs;
use std::io;
use std::path::Path;

use scheduler::resources::Bundle;
use scheduler::{Range, Ranges, Resources, Scalar};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// The ports that tasks are given, as everywhere in this world.
const PORTS: (u64, u64) = (31_000, 32_000);

/// What was read from a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Cores that this process may use.
    pub cores: u64,
    /// Memory, in bytes.
    pub memory_bytes: u64,
    /// What is free on the work directory's file system, in bytes.
    pub disk_free_bytes: u64,
}

/// Reads the facts. `work_dir` must be there.
///
/// # Errors
/// When `/proc` or the file system cannot be asked.
pub fn facts(work_dir: &Path) -> io::Result<Facts> {
    let meminfo = fs::read_to_string("/proc/meminfo")?;
    let kib = memory_kib(&meminfo)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/meminfo has no MemTotal"))?;
    let disk = rustix::fs::statvfs(work_dir)?;
    Ok(Facts {
        cores: std::thread::available_parallelism()?.get() as u64,
        memory_bytes: kib.saturating_mul(1024),
        disk_free_bytes: disk.f_bavail.saturating_mul(disk.f_frsize),
    })
}

fn memory_kib(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// What the host offers: what is `stated`, and what is detected for each of cpus, mem, disk and ports that is not.
#[must_use]
pub fn resources(facts: Facts, stated: &Resources) -> Resources {
    let mut all = stated.clone();
    let names = |name: &str| {
        stated.parts().any(|(_, bundle)| {
            bundle.scalar_entries().any(|(known, _)| known == name)
                || bundle.ranges_entries().any(|(known, _)| known == name)
        })
    };
    let mut detected = Bundle::default();
    let scalars = [
        ("cpus", facts.cores),
        ("mem", kept_back(facts.memory_bytes, 2 * GIB, GIB) / MIB),
        ("disk", kept_back(facts.disk_free_bytes, 10 * GIB, 5 * GIB) / MIB),
    ];
    for (name, amount) in scalars.into_iter().filter(|(name, _)| !names(name)) {
        detected.add_scalar(name, Scalar::whole(i64::try_from(amount).unwrap_or(0)));
    }
    if let Some(range) = Range::new(PORTS.0, PORTS.1).filter(|_| !names("ports")) {
        detected.add_ranges("ports", &Ranges::from_iter([range]));
    }
    all.add_part(&scheduler::Role::star(), &detected);
    all
}

/// The same resources, with those of no role in particular given to this one (Mesos' `--default_role`).
#[must_use]
pub fn of_role(all: &Resources, role: &scheduler::Role) -> Resources {
    let mut given = Resources::default();
    for (own, bundle) in all.parts() {
        given.add_part(if own == scheduler::Role::star() { role } else { &own }, bundle);
    }
    given
}

/// `total` without `kept`, or half of it where there is little.
fn kept_back(total: u64, little: u64, kept: u64) -> u64 {
    if total > little { total - kept } else { total / 2 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: Facts = Facts { cores: 8, memory_bytes: 16 * GIB, disk_free_bytes: 100 * GIB };

    #[test]
    fn what_has_no_role_gets_the_agents_own() {
        let all: Resources = "cpus:2;mem(eng):64;ports:[1-2]".parse().unwrap();
        let given = of_role(&all, &"slave_public".parse().unwrap());
        assert_eq!(given, "cpus(slave_public):2;mem(eng):64;ports(slave_public):[1-2]".parse().unwrap());
        assert_eq!(of_role(&all, &scheduler::Role::star()), all);
    }

    #[test]
    fn what_is_not_stated_is_detected() {
        for (stated, expected) in [
            ("", "cpus:8;disk:97280;mem:15360;ports:[31000-32000]"),
            ("cpus:2", "cpus:2;disk:97280;mem:15360;ports:[31000-32000]"),
            (
                "cpus:2;mem:1024;disk:2048;ports:[31000-31100]",
                "cpus:2;disk:2048;mem:1024;ports:[31000-31100]",
            ),
            ("gpus:1;mem(prod):512;ports:[1-2]", "cpus:8;disk:97280;gpus:1;mem(prod):512;ports:[1-2]"),
        ] {
            let stated: Resources = stated.parse().unwrap();
            let expected: Resources = expected.parse().unwrap();
            assert_eq!(resources(FACTS, &stated), expected, "{stated}");
        }
    }

    #[test]
    fn a_small_host_keeps_half() {
        let small = Facts { cores: 1, memory_bytes: GIB, disk_free_bytes: 4 * GIB };
        let expected: Resources = "cpus:1;mem:512;disk:2048;ports:[31000-32000]".parse().unwrap();
        assert_eq!(resources(small, &Resources::default()), expected);
    }

    #[test]
    fn this_host_has_something() {
        let facts = facts(Path::new("/")).unwrap();
        assert!(facts.cores > 0 && facts.memory_bytes > 0, "{facts:?}");
        assert_eq!(memory_kib("MemFree: 1 kB\nMemTotal:       16384 kB\n"), Some(16384));
        assert_eq!(memory_kib("MemFree: 1 kB\n"), None);
    }
}
