//! The first inventory, written from what a person said.
//!
//! Machines are given as addresses, names or ranges: `192.0.2.11`, `192.0.2.[21:40]`, `db=192.0.2.50`. Without a name of
//! their own they get one.

use std::fmt::Write as _;

use crate::faults::{Problem, quoted};
use crate::mistake::Mistakes;
use crate::model::Inventory;
use crate::names;
use crate::range::Pattern;
use crate::read::read;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answers {
    /// The cluster's name.
    pub cluster: String,
    /// Whom to log in as on all hosts.
    pub user: String,
    /// The file with the private key; else what the SSH agent has.
    pub identity_file: Option<String>,
    /// One, or an odd number of them, which are coordinators too.
    pub masters: Vec<Machine>,
    /// Those that run tasks. A machine that is among the masters too is both.
    pub agents: Vec<Machine>,
    /// Whom tasks run as.
    pub task_user: String,
}

/// One machine, or with ranges many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// What it is called, possibly with a range.
    pub name: String,
    /// Where it is, possibly with a range.
    pub address: String,
}

/// Whether a cluster can have this name.
///
/// # Errors
/// With what to write instead.
pub fn check_cluster(text: &str) -> Result<(), String> {
    said(text, names::cluster_name)
}

/// Whether a user can have this name.
///
/// # Errors
/// With what to write instead.
pub fn check_user(text: &str) -> Result<(), String> {
    said(text, names::user)
}

/// Whether this is a path.
///
/// # Errors
/// With what to write instead.
pub fn check_path(text: &str) -> Result<(), String> {
    said(text, names::path)
}

fn said<T>(text: &str, check: impl Fn(&str) -> Result<T, Problem>) -> Result<(), String> {
    match check(text) {
        Ok(_) => Ok(()),
        Err(problem) => Err(sentence(text, problem)),
    }
}

fn sentence(text: &str, problem: Problem) -> String {
    let write = problem.write.map(|write| format!("; {write}")).unwrap_or_default();
    format!("{} {}{write}", quoted(text), problem.message)
}

/// Reads the machines of an answer: addresses, names and ranges, each with or without `NAME=`, between them spaces or commas.
/// Those without a name are called `prefix` and a number.
///
/// # Errors
/// With what to write instead.
pub fn machines(text: &str, prefix: &str) -> Result<Vec<Machine>, String> {
    let words: Vec<&str> = text.split([' ', ',', '\t']).filter(|word| !word.is_empty()).collect();
    let mut patterns = Vec::new();
    for word in &words {
        let (name, address) =
            word.split_once('=').map_or((None, *word), |(name, address)| (Some(name), address));
        let names = name.map(|name| pattern(name, names::host_name)).transpose()?;
        let addresses = pattern(address, names::address)?;
        if let Some(names) = names.as_ref().filter(|names| names.count() != addresses.count()) {
            let (named, there) = (names.count(), addresses.count());
            return Err(format!(
                "`{word}`: the name stands for {named}, the address for {there}; write ranges of the same length"
            ));
        }
        patterns.push((names, addresses));
    }
    let unnamed: usize =
        patterns.iter().filter(|(name, _)| name.is_none()).map(|(_, address)| address.count()).sum();
    let width = if unnamed >= 10 { unnamed.to_string().len() } else { 0 };
    let mut next = 1;
    let machines = patterns.into_iter().map(|(name, address)| {
        let name = name.map(|name| name.to_string()).unwrap_or_else(|| {
            let (first, last) = (next, next + address.count() - 1);
            next = last + 1;
            let is_range = address.is_range();
            if is_range {
                format!("{prefix}[{first:0width$}:{last:0width$}]")
            } else {
                format!("{prefix}{first:0width$}")
            }
        });
        Machine { name, address: address.to_string() }
    });
    Ok(machines.collect())
}

fn pattern<T>(text: &str, check: impl Fn(&str) -> Result<T, Problem>) -> Result<Pattern, String> {
    let pattern =
        Pattern::parse(text).map_err(|error| format!("`{text}` {error}; {}", error.problem.write()))?;
    for single in pattern.texts() {
        said(&single, &check)?;
    }
    Ok(pattern)
}

/// Whether so many masters can lead together.
///
/// # Errors
/// With what to write instead.
pub fn check_masters(masters: &[Machine]) -> Result<(), String> {
    match count(masters) {
        0 => Err("a cluster needs a master; write the address of one, or of three".to_owned()),
        even if even.is_multiple_of(2) => Err(format!(
            "{even} masters bear the loss of no more hosts than {}; write an odd number",
            even - 1
        )),
        _ => Ok(()),
    }
}

fn count(machines: &[Machine]) -> usize {
    machines
        .iter()
        .filter_map(|machine| Pattern::parse(&machine.address).ok())
        .map(|pattern| pattern.count())
        .sum()
}

impl Answers {
    /// Reads back what [`render`] writes.
    ///
    /// # Errors
    /// With the mistakes that answers have with each other, such as a machine that stands in two ranges.
    pub fn check(&self) -> Result<Inventory, Mistakes> {
        read("the answers", render(self).as_bytes(), |_| None)
    }
}

/// The inventory as YAML, with comments for whoever goes on with it.
pub fn render(answers: &Answers) -> String {
    let Answers { cluster, user, identity_file, masters, agents, task_user } = answers;
    let mut text = format!(
        "# The inventory of the cluster {name}. `clusterctl install` makes the cluster that it describes;\n\
         # `clusterctl inventory schema` describes every key that may stand here.\n\
         cluster:\n  name: {}\n  task_user: {}  # whom tasks run as that do not say it\n\n\
         ssh:  # for all hosts; each may have an `ssh:` of its own\n  user: {}\n",
        scalar(cluster),
        scalar(task_user),
        scalar(user),
        name = cluster.replace(char::is_control, " "),
    );
    // Writing to a string does not fail.
    let _ = match identity_file {
        Some(file) => writeln!(text, "  identity_file: {}", scalar(file)),
        None => writeln!(text, "  # identity_file: ~/.ssh/id_ed25519  # without it: what the SSH agent has"),
    };
    let becoming = if user == "root" { "none" } else { "sudo" };
    let _ = write!(
        text,
        "  host_key_checking: ask  # or strict, accept-new\n  become: {becoming}\n  # jump: [ops@bastion.example.org]\n\nhosts:\n"
    );
    let highly_available = count(masters) > 1;
    for machine in masters {
        let is_agent = agents.iter().any(|agent| agent.address == machine.address);
        let roles = match (highly_available, is_agent) {
            (true, true) => "[coordinator, master, agent]",
            (true, false) => "[coordinator, master]",
            (false, true) => "[master, agent]",
            (false, false) => "[master]",
        };
        host(&mut text, machine, roles);
    }
    for machine in agents.iter().filter(|agent| masters.iter().all(|master| master.address != agent.address))
    {
        host(&mut text, machine, "[agent]");
    }
    text.push_str(
        "  # An agent's resources are detected unless they are written here:\n  \
         # - {name: \"b[01:20]\", address: \"192.0.2.[21:40]\", roles: [agent], attributes: {rack: r1}, resources: {cpus: 8, mem: 15000}}\n",
    );
    text
}

fn host(text: &mut String, machine: &Machine, roles: &str) {
    let Machine { name, address } = machine;
    let _ = writeln!(text, "  - {{name: {}, address: {}, roles: {roles}}}", scalar(name), scalar(address));
}

/// A text as YAML. What could mean something else is quoted; a dollar begins a variable.
fn scalar(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | '~');
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/')
        || text.strip_prefix("~/").is_some_and(|rest| !rest.is_empty());
    let is_word = !matches!(text, "null" | "Null" | "NULL");
    if begins && is_word && text.chars().all(is_plain) {
        return text.to_owned();
    }
    // A JSON string is a YAML string.
    serde_json::Value::from(text.replace('$', "$$")).to_string()
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use proptest::prelude::*;

    use super::*;

    fn answers(masters: &str, agents: &str) -> Answers {
        Answers {
            cluster: "demo".to_owned(),
            user: "admin".to_owned(),
            identity_file: Some("~/.ssh/id_ed25519".to_owned()),
            masters: machines(masters, "m").unwrap(),
            agents: machines(agents, "a").unwrap(),
            task_user: "nobody".to_owned(),
        }
    }

    #[test]
    fn the_first_inventory_is_one_to_go_on_with() {
        let answers = answers("192.0.2.11 192.0.2.12 192.0.2.13", "192.0.2.[21:40], db=db.example.org");
        assert_snapshot!(render(&answers), @r#"
        # The inventory of the cluster demo. `clusterctl install` makes the cluster that it describes;
        # `clusterctl inventory schema` describes every key that may stand here.
        cluster:
          name: demo
          task_user: nobody  # whom tasks run as that do not say it

        ssh:  # for all hosts; each may have an `ssh:` of its own
          user: admin
          identity_file: ~/.ssh/id_ed25519
          host_key_checking: ask  # or strict, accept-new
          become: sudo
          # jump: [ops@bastion.example.org]

        hosts:
          - {name: m1, address: 192.0.2.11, roles: [coordinator, master]}
          - {name: m2, address: 192.0.2.12, roles: [coordinator, master]}
          - {name: m3, address: 192.0.2.13, roles: [coordinator, master]}
          - {name: "a[01:20]", address: "192.0.2.[21:40]", roles: [agent]}
          - {name: db, address: db.example.org, roles: [agent]}
          # An agent's resources are detected unless they are written here:
          # - {name: "b[01:20]", address: "192.0.2.[21:40]", roles: [agent], attributes: {rack: r1}, resources: {cpus: 8, mem: 15000}}
        "#);
        assert_eq!(answers.check().unwrap().hosts.len(), 24);
    }

    #[test]
    fn one_machine_can_be_all() {
        let answers = answers("192.0.2.11", "192.0.2.11 192.0.2.12");
        let inventory = answers.check().unwrap();
        let hosts: Vec<_> =
            inventory.hosts.iter().map(|host| (host.name.as_str(), host.roles.len())).collect();
        assert_eq!(hosts, [("m1", 2), ("a2", 1)]);
    }

    #[test]
    fn machines_without_a_name_are_counted() {
        let named = |text: &str| -> Vec<String> {
            let machines = machines(text, "a").unwrap();
            machines.into_iter().map(|machine| format!("{}={}", machine.name, machine.address)).collect()
        };
        assert_eq!(named("192.0.2.1"), ["a1=192.0.2.1"]);
        assert_eq!(named("x,192.0.2.[1:3]  y"), ["a1=x", "a[2:4]=192.0.2.[1:3]", "a5=y"]);
        assert_eq!(named("n[1:2]=192.0.2.[1:2] 192.0.2.3"), ["n[1:2]=192.0.2.[1:2]", "a1=192.0.2.3"]);
        assert_eq!(named("10.0.0.[1:9] b"), ["a[01:09]=10.0.0.[1:9]", "a10=b"]);
        assert_eq!(named(""), Vec::<String>::new());
    }

    #[test]
    fn what_is_wrong_in_an_answer_is_told_at_once() {
        for (text, says) in [
            ("192.0.2.300", "`192.0.2.300` is no IPv4 address; write four numbers"),
            ("192.0.2.[250:256]", "`192.0.2.256` is no IPv4 address"),
            ("a[1", "`a[1` has a bracket without the other one; a range is"),
            ("n=192.0.2.[1:2]", "`n=192.0.2.[1:2]`: the name stands for 1, the address for 2"),
            ("a_b=x", "`a_b` is no name of a host, since it has an underscore"),
        ] {
            let message = machines(text, "a").unwrap_err();
            assert!(message.starts_with(says), "{message}");
        }
        assert!(check_masters(&[]).is_err());
        assert!(check_masters(&machines("x y", "m").unwrap()).unwrap_err().contains("odd number"));
        assert!(check_masters(&machines("x[1:3]", "m").unwrap()).is_ok());
        assert!(check_cluster("a b").unwrap_err().starts_with("`a b` is no name of a cluster; write"));
        assert!(check_user("root").is_ok() && check_user("a b").is_err());
        assert!(check_path("~/my keys/id").is_ok() && check_path(" ").is_err());
    }

    #[test]
    fn answers_that_do_not_fit_together_are_told() {
        let mistakes = answers("192.0.2.11", "192.0.2.[10:12]").check().unwrap_err();
        assert!(
            mistakes.to_string().contains("192.0.2.11 is the address of `m1` in line 15 already"),
            "{mistakes}"
        );
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            cluster in "[a-zA-Z0-9][a-zA-Z0-9._-]{0,20}", user in "[a-z_][a-z0-9_.$-]{0,10}", file in "[ -~é]{1,30}",
            task_user in "[a-z0-9][a-z0-9]{0,8}", masters in 0_usize..3, agents in 0_usize..60,
        ) {
            prop_assume!(check_path(&file).is_ok());
            let answers = Answers {
                cluster, user, task_user, identity_file: Some(file),
                masters: machines(&format!("192.0.2.[0:{}]", 2 * masters), "m").unwrap(),
                agents: machines(&format!("198.51.100.[1:{}]", agents + 1), "a").unwrap(),
            };
            let inventory = answers.check().map_err(|mistakes| TestCaseError::fail(mistakes.to_string()))?;
            prop_assert_eq!(inventory.hosts.len(), 2 * masters + 1 + agents + 1);
            prop_assert_eq!(&inventory.cluster.name, &answers.cluster);
            prop_assert_eq!(&inventory.cluster.task_user, &answers.task_user);
            for host in &inventory.hosts {
                prop_assert_eq!(host.ssh.user.as_ref(), Some(&answers.user));
                prop_assert_eq!(host.ssh.identity_files.first(), answers.identity_file.as_ref());
            }
        }
    }
}
