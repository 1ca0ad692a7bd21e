//! What figures depend on beside the program: the machine, and what else runs on it.

use std::collections::BTreeMap;
use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;

use crate::Result;

/// Ticks of `/proc/PID/stat` per second: the same on every Linux that this runs on.
const TICKS: f64 = 100.0;

/// The machine and how busy it is.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    /// Of its CPU.
    pub model: String,
    /// How many CPUs this process may use.
    pub cpus: usize,
    /// Of its memory, in MiB.
    pub memory_mib: u64,
    /// The kernel's version.
    pub kernel: String,
    /// Load averages over 1, 5 and 15 minutes.
    pub load: String,
    /// Whether this program was compiled to be fast.
    pub optimized: bool,
}

impl Machine {
    /// As it is now.
    #[must_use]
    pub fn look() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let after = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
        };
        let total = after(&text("/proc/meminfo"), "MemTotal");
        let kib: u64 = total.split_whitespace().next().and_then(|kib| kib.parse().ok()).unwrap_or(0);
        Self {
            model: after(&text("/proc/cpuinfo"), "model name"),
            cpus: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory_mib: kib / 1024,
            kernel: text("/proc/sys/kernel/osrelease").trim().to_owned(),
            load: load(),
            optimized: !cfg!(debug_assertions),
        }
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { model, cpus, memory_mib, kernel, load, .. } = self;
        write!(f, "{cpus} CPUs of {model}, {memory_mib} MiB, Linux {kernel}, load {load}")?;
        if self.optimized { Ok(()) } else { f.write_str(", NOT OPTIMIZED") }
    }
}

/// Load averages over 1, 5 and 15 minutes.
#[must_use]
pub fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

/// The memory of this process, in MiB.
#[must_use]
pub fn resident_mib() -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// CPU time of this process so far, in seconds, by the names of its threads.
#[must_use]
pub fn cpu_seconds() -> BTreeMap<String, f64> {
    let mut seconds = BTreeMap::new();
    for thread in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let text = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // A name may hold spaces; it stands in parentheses.
        let Some((name, rest)) = text.split_once('(').and_then(|(_, rest)| rest.rsplit_once(") ")) else {
            continue;
        };
        let ticks = rest.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u32>().ok());
        *seconds.entry(name.to_owned()).or_insert(0.0) += ticks.map(f64::from).sum::<f64>() / TICKS;
    }
    seconds
}

/// CPU time since an earlier look, without what took none.
#[must_use]
pub fn cpu_since(before: &BTreeMap<String, f64>) -> BTreeMap<String, f64> {
    let spent = |(name, now): (String, f64)| {
        let spent = now - before.get(&name).copied().unwrap_or(0.0);
        (spent >= 0.01).then_some((name, (spent * 100.0).round() / 100.0))
    };
    cpu_seconds().into_iter().filter_map(spent).collect()
}

/// Lets this process have so many files and connections open.
///
/// # Errors
/// When the system's limit is lower.
pub fn allow_open_files(wanted: usize) -> Result<()> {
    let wanted = u64::try_from(wanted)?;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    let maximum = limit.maximum.map(|maximum| maximum.max(wanted));
    setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum })
        .map_err(|error| format!("{wanted} open files are needed (`ulimit -n`): {error}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_takes_memory_and_time() {
        assert!(resident_mib() > 0);
        assert!(!cpu_seconds().is_empty());
        let machine = Machine::look();
        assert!(machine.cpus > 0 && machine.memory_mib > 0 && machine.load.contains(' '), "{machine}");
    }
}
