//! Taking a cluster away: by each host's own list of what was put there.

use std::collections::BTreeSet;

use futures_util::StreamExt as _;
use futures_util::stream;

use super::{CarryError, Run};
use crate::apply::{Progress, progress};
use crate::desired::{AGENT_UNIT, CA, ETCD_UNIT, MASTER_UNIT, TASKS_UNIT};
use crate::event::{Event, Failure, Outcome};
use crate::facts::{Facts, Kind};
use crate::host::Blind;
use crate::item::Sum;
use crate::lock::Owner;
use crate::manifest::{self, Entry, Manifest};
use crate::phase::Phase;
use crate::probe::Look;
use crate::shell::line;

const SCRIPT: &str = include_str!("../shell/remove.sh");

/// What a reset does on a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removal {
    /// Calls of the script's functions.
    calls: Vec<Vec<String>>,
    /// Lines for people, in the order in which it is done.
    pub words: Vec<String>,
    /// What stays, and why.
    pub kept: Vec<(String, String)>,
}

impl Removal {
    /// Whether there is nothing to remove.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    fn call<'a>(&mut self, words: impl IntoIterator<Item = &'a str>, what: String) {
        self.calls.push(words.into_iter().map(str::to_owned).collect());
        self.words.push(what);
    }

    /// The script.
    #[must_use]
    fn script(&self) -> String {
        let places = crate::apply::Places::default();
        let mut script = format!("{SCRIPT}lock={} staging={}\nalone\n", places.lock, places.staging);
        for (number, call) in self.calls.iter().enumerate() {
            let number = number.to_string();
            let words = ["step", &number].into_iter().chain(call.iter().map(String::as_str));
            script += &line(words);
        }
        script.push_str("say end .\n");
        script
    }
}

/// What there is to remove, by what stands in the list and what is there. Pure.
#[must_use]
pub fn removal(facts: &Facts) -> Removal {
    let list = &facts.manifest;
    let mut removal = Removal::default();
    if list.is_empty() {
        return removal;
    }
    // Agents first, so that nothing starts tasks again, and last what masters keep the state in; units that others made later are none
    // of ours.
    let order = [AGENT_UNIT, TASKS_UNIT, MASTER_UNIT, ETCD_UNIT];
    let known = order.into_iter().filter(|unit| list.units.contains(*unit));
    let others = list.units.iter().map(String::as_str).filter(|unit| !order.contains(unit));
    for unit in known.chain(others) {
        let what =
            if unit == TASKS_UNIT { format!("end all tasks, stop {unit}") } else { format!("stop {unit}") };
        removal.call(["stop_unit", unit], what);
    }
    let mut kept = Manifest::default();
    for (path, sums) in &list.files {
        match facts.paths.get(path) {
            None => {}
            Some(found)
                if found.kind == Kind::File && found.sum.as_ref().is_some_and(|sum| sums.contains(sum)) =>
            {
                let words = ["remove_file", path].into_iter().chain(sums.iter().map(Sum::as_str));
                removal.call(words, format!("remove {path}"));
            }
            Some(_) => {
                removal.kept.push((path.clone(), "it was changed since it was put there".to_owned()));
                kept.files.insert(path.clone(), sums.clone());
            }
        }
    }
    for path in &list.links {
        match facts.paths.get(path).map(|found| found.kind) {
            None => {}
            Some(Kind::Link) => removal.call(["remove_link", path], format!("remove {path}")),
            Some(_) => {
                removal.kept.push((path.clone(), "it is no link any more".to_owned()));
                kept.links.insert(path.clone());
            }
        }
    }
    if list.files.keys().any(|path| path.starts_with(crate::plan::UNITS)) {
        removal.call(["reload"], "systemd reads its units".to_owned());
    }
    // What is deepest goes first.
    let list_dir =
        std::path::Path::new(manifest::PATH).parent().and_then(std::path::Path::to_str).unwrap_or_default();
    for (path, data) in list.dirs.iter().rev().filter(|(path, _)| path.as_str() != list_dir) {
        match data {
            true => removal.call(["remove_data", path], format!("remove {path} with all that is in it")),
            false => removal.call(["remove_dir", path], format!("remove {path} when it is empty")),
        }
    }
    for user in &list.users {
        removal.call(["remove_user", user], format!("remove the user {user}"));
    }
    for package in &list.packages {
        removal
            .kept
            .push((format!("package {package}"), "packages are not removed by this version".to_owned()));
        kept.packages.insert(package.clone());
    }
    for line in &list.unknown {
        removal.kept.push((line.clone(), "this version does not know what it is".to_owned()));
    }
    remove_list(&mut removal, &kept, list, list_dir);
    removal
}

/// At last the list itself, or what stayed of it.
fn remove_list(removal: &mut Removal, kept: &Manifest, list: &Manifest, list_dir: &str) {
    if removal.kept.is_empty() {
        removal.call(["remove_data", manifest::PATH], "remove the list of what was put there".to_owned());
        removal.call(["remove_dir", list_dir], format!("remove {list_dir} when it is empty"));
        return;
    }
    let mut lines: Vec<String> = Vec::new();
    for (path, sums) in &kept.files {
        lines.extend(sums.iter().map(|sum| Entry::File(path, sum).line()));
    }
    lines.extend(kept.links.iter().map(|path| Entry::Link(path).line()));
    // Directories that what stayed is in.
    let inside =
        |dir: &str| kept.files.keys().chain(&kept.links).any(|path| path.starts_with(&format!("{dir}/")));
    lines.extend(
        list.dirs.keys().filter(|dir| inside(dir) || *dir == list_dir).map(|dir| Entry::Dir(dir).line()),
    );
    lines.extend(kept.packages.iter().map(|name| format!("package\t{name}")));
    lines.extend(list.unknown.iter().cloned());
    let text = lines.join("\n") + "\n";
    removal.call(["keep_list", manifest::PATH, &text], "keep a list of what stayed".to_owned());
}

impl Run {
    /// Looks at what was put on hosts, in two looks: the list, and then what it names.
    ///
    /// `ca` is the digest of this cluster's authority: a host that believes another one, or any where this is none, is another cluster's.
    pub async fn look_for_removal(&mut self, ca: Option<&Sum>) {
        let names: Vec<String> =
            self.active().map(|host| host.name.clone()).filter(|name| self.is_unseen(name)).collect();
        let phase = self.begin(Phase::Facts, names.len());
        let links: Vec<_> = names.iter().filter_map(|name| self.link(name)).collect();
        let looked: Vec<_> = stream::iter(links)
            .map(|link| async move {
                let facts: Result<Facts, Blind> = async {
                    let first = Look { manifest: true, system: true, ..Look::default() };
                    let seen = link.look(&first).await?;
                    if !seen.system.root {
                        let hint = "write `become: sudo` under `ssh:`, or log in as root";
                        return Err(Failure::new("the login user is not root", Some(hint.to_owned())).into());
                    }
                    let list = seen.manifest;
                    if let Some(theirs) = list.files.get(CA)
                        && ca.is_none_or(|ca| !theirs.contains(ca))
                    {
                        let hint = "correct its address, or reset it with that cluster's inventory and its directory .clusterctl";
                        return Err(Failure::new("it belongs to another cluster", Some(hint.to_owned())).into());
                    }
                    let paths: BTreeSet<String> =
                        list.files.keys().chain(&list.links).chain(list.dirs.keys()).cloned().collect();
                    let second =
                        Look { manifest: true, paths: paths.into_iter().collect(), ..Look::default() };
                    if list.is_empty() { Ok(Facts::default()) } else { link.look(&second).await }
                }
                .await;
                (link.name.clone(), facts)
            })
            .buffer_unordered(self.options.parallel.max(1))
            .collect()
            .await;
        for (name, result) in looked {
            self.seen(&name, result, "what was put on the host");
        }
        self.close_phase(phase);
    }

    /// What there is to remove, by host.
    #[must_use]
    pub fn removals(&self) -> Vec<(String, Removal)> {
        let one = |host: &inventory::Host| {
            let facts = self.members.get(&host.name)?.facts.as_deref()?;
            Some((host.name.clone(), removal(facts)))
        };
        self.active().filter_map(one).collect()
    }

    /// Removes it.
    ///
    /// # Errors
    /// When another installer is at work on this cluster.
    pub async fn remove(&mut self, removals: &[(String, Removal)], owner: &Owner) -> Result<(), CarryError> {
        if removals.iter().all(|(_, removal)| removal.is_empty()) {
            self.remove_all(removals).await;
            return Ok(());
        }
        self.under_lock(owner, async |run: &mut Self| run.remove_all(removals).await).await
    }

    async fn remove_all(&mut self, removals: &[(String, Removal)]) {
        let begun = self.begin(Phase::Remove, removals.len());
        let this = &*self;
        let removed: Vec<_> = stream::iter(removals)
            .map(|(name, removal)| async move { (name, removal, this.remove_from(name, removal).await) })
            .buffer_unordered(self.options.parallel.max(1))
            .collect()
            .await;
        for (name, removal, result) in removed {
            match result {
                Ok(()) if removal.is_empty() => self.end(name, Outcome::Ok),
                Ok(()) => self.end(name, Outcome::Changed { steps: removal.calls.len() }),
                Err((what, failure)) => self.fail(name, Phase::Remove, &what, failure),
            }
        }
        self.close_phase(begun);
    }

    async fn remove_from(&self, name: &str, removal: &Removal) -> Result<(), (String, Failure)> {
        for (path, why) in &removal.kept {
            self.tell(Event::Note { host: Some(name.to_owned()), text: format!("{path} is left: {why}") });
        }
        let Some(link) = self.link(name).filter(|_| !removal.is_empty()) else { return Ok(()) };
        let what = |step: Option<usize>| {
            step.and_then(|step| removal.words.get(step)).cloned().unwrap_or_else(|| "the removal".to_owned())
        };
        let answer = link.run_long(removal.script()).await.map_err(|failure| (what(None), failure))?;
        for path in answer.lines().filter_map(|line| line.strip_prefix("stays\t")) {
            let text = format!("{path} is left: there is something in it that no installer put there");
            self.tell(Event::Note { host: Some(name.to_owned()), text });
        }
        let last = answer.lines().filter_map(progress).next_back();
        match last {
            Some(Progress::Ended) => Ok(()),
            Some(Progress::Failed { step, status, said }) => {
                let failure = Failure {
                    what: "it failed on the host".to_owned(),
                    status: Some(status),
                    said,
                    hint: None,
                };
                Err((what(step), failure))
            }
            _ => Err((what(None), Failure::new("it did not come to its end", None))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Found;
    use crate::item::Access;

    fn found(kind: Kind, sum: Option<Sum>) -> Found {
        let access = Access::root(0o644);
        Found { kind, access, size: 0, sum, content: None, target: None, certificate: None }
    }

    fn facts() -> Facts {
        let mut facts = Facts::default();
        let (ours, newer) = (Sum::of(b"ours"), Sum::of(b"newer"));
        for entry in [
            Entry::Dir("/opt/clusterctl"),
            Entry::Dir("/opt/clusterctl/1"),
            Entry::File("/opt/clusterctl/1/clusterctl", &ours),
            Entry::File("/etc/systemd/system/clusterctl-agent.service", &ours),
            Entry::File("/etc/systemd/system/clusterctl-agent.service", &newer),
            Entry::File("/etc/clusterctl/agent.yaml", &ours),
            Entry::File("/etc/gone", &ours),
            Entry::Link("/opt/clusterctl/current"),
            Entry::Dir("/etc/clusterctl"),
            Entry::Dir("/var/lib/clusterctl"),
            Entry::Data("/var/lib/clusterctl/agent"),
            Entry::User("clusterctl"),
            Entry::Unit("clusterctl-tasks.service"),
            Entry::Unit("clusterctl-agent.service"),
        ] {
            facts.manifest.read(&entry.line());
        }
        let mut at = |path: &str, found: Found| _ = facts.paths.insert(path.to_owned(), found);
        at("/opt/clusterctl/1/clusterctl", found(Kind::File, Some(ours.clone())));
        at("/etc/systemd/system/clusterctl-agent.service", found(Kind::File, Some(newer)));
        at("/etc/clusterctl/agent.yaml", found(Kind::File, Some(ours)));
        at("/opt/clusterctl/current", found(Kind::Link, None));
        facts
    }

    #[test]
    fn what_was_put_there_goes_in_an_order_that_works() {
        let removal = removal(&facts());
        insta::assert_snapshot!(removal.words.join("\n"), @r"
        stop clusterctl-agent.service
        end all tasks, stop clusterctl-tasks.service
        remove /etc/clusterctl/agent.yaml
        remove /etc/systemd/system/clusterctl-agent.service
        remove /opt/clusterctl/1/clusterctl
        remove /opt/clusterctl/current
        systemd reads its units
        remove /var/lib/clusterctl/agent with all that is in it
        remove /opt/clusterctl/1 when it is empty
        remove /opt/clusterctl when it is empty
        remove /etc/clusterctl when it is empty
        remove the user clusterctl
        remove the list of what was put there
        remove /var/lib/clusterctl when it is empty
        ");
        assert!(removal.kept.is_empty());
    }

    #[test]
    fn etcd_is_stopped_last_and_loses_its_data_and_its_user() {
        let mut facts = Facts::default();
        for entry in [
            Entry::Dir("/opt/clusterctl/etcd"),
            Entry::Dir("/opt/clusterctl/etcd/3.4.23-0123"),
            Entry::User("clusterctl"),
            Entry::User("clusterctl-etcd"),
            Entry::Data("/var/lib/clusterctl/etcd"),
            Entry::Data("/var/lib/clusterctl/master"),
            Entry::Unit(ETCD_UNIT),
            Entry::Unit(MASTER_UNIT),
            Entry::Unit(AGENT_UNIT),
        ] {
            facts.manifest.read(&entry.line());
        }
        insta::assert_snapshot!(removal(&facts).words.join("\n"), @r"
        stop clusterctl-agent.service
        stop clusterctl-master.service
        stop clusterctl-etcd.service
        remove /var/lib/clusterctl/master with all that is in it
        remove /var/lib/clusterctl/etcd with all that is in it
        remove /opt/clusterctl/etcd/3.4.23-0123 when it is empty
        remove /opt/clusterctl/etcd when it is empty
        remove the user clusterctl
        remove the user clusterctl-etcd
        remove the list of what was put there
        remove /var/lib/clusterctl when it is empty
        ");
    }

    #[test]
    fn what_a_user_changed_stays_and_stays_in_the_list() {
        let mut facts = facts();
        let changed = found(Kind::File, Some(Sum::of(b"by a user")));
        facts.paths.insert("/etc/clusterctl/agent.yaml".to_owned(), changed);
        let removal = removal(&facts);
        assert_eq!(
            removal.kept,
            [("/etc/clusterctl/agent.yaml".to_owned(), "it was changed since it was put there".to_owned())]
        );
        assert!(!removal.words.iter().any(|words| words.contains("agent.yaml")));
        let list = removal.calls.last().unwrap();
        assert_eq!(list[0], "keep_list");
        let mut again = Manifest::default();
        list[2].lines().for_each(|line| again.read(line));
        assert!(again.has("/etc/clusterctl/agent.yaml") && again.has("/etc/clusterctl"));
        assert!(!again.has("/opt/clusterctl"));
    }

    #[test]
    fn a_host_without_a_list_is_left_alone() {
        assert_eq!(removal(&Facts::default()), Removal::default());
    }
}
