//! The lock that keeps two installers apart, on every coordinator, else on a host of the cluster (design §6). Pure, but for what this
//! machine says of its own processes.
//!
//! It is ours while a majority of these hosts has it for ours. They are asked one after another in the same order by every installer, and
//! whoever meets another's gives up: of two that begin at once, one goes on.
//! It has an owner, a command, a time and an end: one whose installer was killed on this machine is taken over at once, any other when
//! it has run out.

use std::collections::BTreeMap;
use std::fs;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use inventory::{Inventory, Role};

use crate::coordinators::majority;
use crate::shell::quote;

const SCRIPT: &str = include_str!("shell/lock.sh");
/// Below `/run`, so that a host that was restarted has none.
pub const DIR: &str = "/run/clusterctl-install.lock";
/// Without being renewed it lasts so long, in seconds; a controller that was cut off keeps nobody out for longer.
pub const SECONDS: u64 = 90;

/// Who holds a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Of this run alone.
    pub token: String,
    /// `user@host`.
    pub who: String,
    /// The machine that it runs on, and the boot.
    pub machine: String,
    /// Its process.
    pub pid: u32,
    /// When that process started, in ticks since the boot.
    pub started: String,
    /// What the user typed.
    pub command: String,
    /// When it was taken, RFC 3339.
    pub since: String,
}

/// What a host answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is ours.
    Taken,
    /// It is somebody else's.
    Held(Owner),
    /// It is nobody's any more.
    Released,
}

/// What is done with the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act<'a> {
    /// Take it; also from a holder whose token is known to be a dead one's.
    Acquire {
        /// The token of a holder that is dead.
        dead: Option<&'a str>,
    },
    /// Keep it for another while.
    Renew,
    /// Give it back.
    Release,
}

/// Where it is taken, in this order: on all coordinators, also on those that are not reached, but for those that are left out on
/// purpose. Without coordinators on one host that is reached, a master where there is one.
pub fn places(
    inventory: &Inventory,
    is_left_out: impl Fn(&str) -> bool,
    is_reached: impl Fn(&str) -> bool,
) -> Vec<String> {
    let coordinators = inventory.with_role(Role::Coordinator).map(|host| &host.name);
    let coordinators: Vec<String> = coordinators.filter(|name| !is_left_out(name)).cloned().collect();
    if !coordinators.is_empty() {
        return coordinators;
    }
    let reached = |host: &&inventory::Host| is_reached(&host.name);
    let master = inventory.with_role(Role::Master).find(reached);
    let one = master.or_else(|| inventory.hosts.iter().find(reached));
    one.map(|host| host.name.clone()).into_iter().collect()
}

/// Whose the lock is on one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Ours.
    Ours,
    /// Somebody else's.
    Theirs(Owner),
    /// The host does not say.
    Unknown,
}

/// Whose it is as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Ours: a majority has it for ours.
    Held,
    /// It cannot be ours any more.
    Lost(Box<Owner>),
    /// It is not known to be ours.
    Unsure,
}

/// Whose it is, by what all hosts say.
#[must_use]
pub fn standing(parts: &[Part]) -> Standing {
    let most = majority(parts.len());
    let ours = parts.iter().filter(|part| **part == Part::Ours).count();
    let theirs: Vec<&Owner> = parts
        .iter()
        .filter_map(|part| match part {
            Part::Theirs(owner) => Some(owner),
            Part::Ours | Part::Unknown => None,
        })
        .collect();
    match theirs.first() {
        _ if ours >= most => Standing::Held,
        Some(owner) if parts.len() - theirs.len() < most => Standing::Lost(Box::new((*owner).clone())),
        _ => Standing::Unsure,
    }
}

/// The script for it.
#[must_use]
pub fn script(dir: &str, owner: &Owner, act: Act<'_>) -> String {
    let (call, dead) = match act {
        Act::Acquire { dead } => ("acquire", dead.unwrap_or_default()),
        Act::Renew => ("renew", ""),
        Act::Release => ("release", ""),
    };
    format!(
        "dir={} owner={} token={} dead={} seconds={SECONDS}\n{SCRIPT}{call}\n",
        quote(dir),
        quote(&owner.text()),
        quote(&owner.token),
        quote(dead)
    )
}

/// Reads the answer; nothing when it is none.
#[must_use]
pub fn answer(text: &str) -> Option<Answer> {
    let line = text.lines().last()?;
    match line.split_once('\t') {
        Some(("held", owner)) => {
            let owner = BASE64_STANDARD.decode(owner).ok()?;
            Some(Answer::Held(Owner::read(&String::from_utf8_lossy(&owner))))
        }
        None if line == "taken" => Some(Answer::Taken),
        None if line == "released" => Some(Answer::Released),
        _ => None,
    }
}

impl Owner {
    /// This process.
    #[must_use]
    pub fn this_process(token: String, command: String, since: String) -> Self {
        let user = std::env::var("USER")
            .or_else(|_| std::env::var("LOGNAME"))
            .unwrap_or_else(|_| "somebody".to_owned());
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let pid = std::process::id();
        Self {
            token,
            who: format!("{user}@{}", host.trim()),
            machine: this_machine(),
            pid,
            started: start_of(pid).unwrap_or_default(),
            command,
            since,
        }
    }

    /// Whether it ran on this machine and has ended.
    #[must_use]
    pub fn is_dead_here(&self) -> bool {
        // Another boot of this machine has another name.
        let machine = this_machine();
        if self.machine.is_empty() || self.machine.split('/').next() != machine.split('/').next() {
            return false;
        }
        self.machine != machine
            || (start_of(self.pid).as_deref() != Some(&self.started) && !is_hidden(self.pid))
    }

    fn text(&self) -> String {
        let flat = |text: &str| text.replace('\n', " ");
        format!(
            "token={}\nwho={}\nmachine={}\npid={}\nstarted={}\ncommand={}\nsince={}",
            flat(&self.token),
            flat(&self.who),
            flat(&self.machine),
            self.pid,
            flat(&self.started),
            flat(&self.command),
            flat(&self.since)
        )
    }

    fn read(text: &str) -> Self {
        let fields: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once('=')).collect();
        let get = |name: &str| fields.get(name).copied().unwrap_or_default().to_owned();
        Self {
            token: get("token"),
            who: get("who"),
            machine: get("machine"),
            pid: get("pid").parse().unwrap_or(0),
            started: get("started"),
            command: get("command"),
            since: get("since"),
        }
    }
}

/// Whether there is such a process that this user may not see (proc(5), `hidepid`).
fn is_hidden(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::PERM))
}

/// The machine's id with that of the name space of its processes, and that of its boot: containers of one image share ids.
fn this_machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let machine = read("/etc/machine-id");
    let machine = if machine.is_empty() { read("/proc/sys/kernel/hostname") } else { machine };
    let processes =
        fs::read_link("/proc/self/ns/pid").map(|link| link.display().to_string()).unwrap_or_default();
    format!("{machine}@{processes}/{}", read("/proc/sys/kernel/random/boot_id"))
}

/// When a process started, in ticks since the boot: the 22nd field of its `stat` (proc(5)), the second of which is in brackets and may
/// hold anything.
fn start_of(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let rest = stat.rsplit_once(')')?.1;
    let state = rest.split_whitespace().next()?;
    // A zombie holds nothing.
    if state == "Z" {
        return None;
    }
    rest.split_whitespace().nth(19).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn owner(token: &str) -> Owner {
        Owner::this_process(
            token.to_owned(),
            "install it's.yaml".to_owned(),
            "2026-11-26T02:00:00Z".to_owned(),
        )
    }

    fn run(dir: &str, owner: &Owner, act: Act<'_>) -> Answer {
        let output = Command::new("sh").args(["-c", &script(dir, owner, act)]).output().unwrap();
        answer(&String::from_utf8(output.stdout).unwrap()).unwrap_or_else(|| panic!("{:?}", output.stderr))
    }

    const TAKE: Act<'static> = Act::Acquire { dead: None };

    #[test]
    fn one_has_it_the_other_is_told_who_until_it_is_given_back() {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join("lock").display().to_string();
        let (one, two) = (owner("one"), owner("two"));
        assert_eq!(run(&dir, &one, TAKE), Answer::Taken);
        assert_eq!(run(&dir, &one, Act::Renew), Answer::Taken);
        assert_eq!(run(&dir, &two, TAKE), Answer::Held(one.clone()));
        assert_eq!(run(&dir, &two, Act::Release), Answer::Released, "it is not two's to give back");
        assert_eq!(run(&dir, &two, TAKE), Answer::Held(one.clone()));
        assert_eq!(run(&dir, &one, Act::Release), Answer::Released);
        assert_eq!(run(&dir, &two, TAKE), Answer::Taken);
        assert_eq!(run(&dir, &one, Act::Renew), Answer::Held(two.clone()));
        assert_eq!(run(&dir, &two, Act::Release), Answer::Released);
        assert!(!place.path().join("lock").exists());
    }

    #[test]
    fn one_that_has_run_out_or_whose_holder_is_dead_is_taken_over() {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join("lock").display().to_string();
        let (one, two) = (owner("one"), owner("two"));
        run(&dir, &one, TAKE);
        assert_eq!(run(&dir, &two, Act::Acquire { dead: Some("another") }), Answer::Held(one.clone()));
        assert_eq!(run(&dir, &two, Act::Acquire { dead: Some("one") }), Answer::Taken);
        let path = format!("{dir}/owner");
        let text = fs::read_to_string(&path).unwrap();
        let (kept, _) = text.rsplit_once("expires=").unwrap();
        fs::write(&path, format!("{kept}expires=1000\n")).unwrap();
        assert_eq!(run(&dir, &one, TAKE), Answer::Taken);
    }

    #[test]
    fn a_process_of_this_machine_is_known_to_be_dead_or_alive() {
        let alive = owner("x");
        assert!(!alive.is_dead_here());
        let mut child = Command::new("true").spawn().unwrap();
        let pid = child.id();
        let started = start_of(pid);
        child.wait().unwrap();
        assert!(Owner { pid, started: started.unwrap_or_default(), ..alive.clone() }.is_dead_here());
        let (machine, _) = alive.machine.split_once('/').unwrap();
        assert!(Owner { machine: format!("{machine}/earlier boot"), ..alive.clone() }.is_dead_here());
        assert!(!Owner { machine: "another/boot".to_owned(), pid, ..alive }.is_dead_here());
    }

    #[test]
    fn it_is_taken_on_coordinators_or_on_one_host() {
        let text = "\
cluster: {name: demo}
hosts:
  - {name: a1, address: 192.0.2.21, roles: [agent]}
  - {name: m1, address: 192.0.2.11, roles: [master]}
  - {name: c1, address: 192.0.2.1, roles: [coordinator]}
  - {name: c2, address: 192.0.2.2, roles: [coordinator]}
  - {name: c3, address: 192.0.2.3, roles: [coordinator]}
";
        let places = |text: &str, out: &[&str], reached: &[&str]| {
            let inventory = inventory::read("i", text.as_bytes(), |_| None).unwrap();
            places(&inventory, |name| out.contains(&name), |name| reached.contains(&name)).join(" ")
        };
        let all = ["a1", "m1", "c1", "c2", "c3"];
        assert_eq!(places(text, &[], &all), "c1 c2 c3");
        assert_eq!(places(text, &[], &["a1"]), "c1 c2 c3", "those that are down count");
        assert_eq!(places(text, &["c2"], &all), "c1 c3");
        let single: String =
            text.lines().filter(|line| !line.contains("name: c")).map(|l| format!("{l}\n")).collect();
        assert_eq!(places(&single, &[], &all), "m1");
        assert_eq!(places(&single, &[], &["a1"]), "a1");
        assert_eq!(places(&single, &[], &[]), "");
    }

    #[test]
    fn a_majority_holds_it() {
        // One letter a host: ours, theirs, unknown.
        for (parts, expected) in [
            ("o", "held"),
            ("t", "lost"),
            ("u", "unsure"),
            ("ooo", "held"),
            ("oou", "held"),
            ("oot", "held"),
            ("ouu", "unsure"),
            ("otu", "unsure"),
            ("ott", "lost"),
            ("uuu", "unsure"),
            ("uut", "unsure"),
            ("ooouu", "held"),
            ("ooutt", "unsure"),
            ("oottt", "lost"),
            ("oo", "held"),
            ("ou", "unsure"),
            ("ot", "lost"),
            ("", "unsure"),
        ] {
            let parts: Vec<Part> = parts
                .chars()
                .map(|part| match part {
                    'o' => Part::Ours,
                    't' => Part::Theirs(owner("them")),
                    _ => Part::Unknown,
                })
                .collect();
            let found = match standing(&parts) {
                Standing::Held => "held",
                Standing::Lost(owner) if owner.token == "them" => "lost",
                Standing::Lost(_) => "lost to whom?",
                Standing::Unsure => "unsure",
            };
            assert_eq!(found, expected, "{parts:?}");
        }
    }

    #[test]
    fn an_answer_that_is_none_is_told_from_one() {
        for text in ["", "held", "held\t%%", "taken by", "x\ty"] {
            assert_eq!(answer(text), None, "{text}");
        }
    }
}
