//! What is asked before the first inventory is written: each question has a flag that answers it.

use std::path::Path;

use inventory::answers::{self, Answers, Machine};

use super::InitArgs;
use crate::error::CliError;

/// What means that the SSH agent's keys are used.
const AGENT: &str = "agent";

/// One question.
pub(super) struct Question<'a> {
    /// In a few words.
    pub(super) text: &'a str,
    /// What an empty answer means.
    pub(super) default: Option<String>,
    /// Says what is wrong with an answer.
    pub(super) check: &'a dyn Fn(&str) -> Result<(), String>,
}

/// Who answers.
pub(super) trait Asked {
    /// An answer that passed the question's check.
    fn ask(&mut self, question: &Question<'_>) -> Result<String, CliError>;
}

/// What is likely, from where the command runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Likely {
    pub(super) cluster: Option<String>,
    pub(super) user: Option<String>,
    pub(super) identity_file: Option<String>,
}

impl Likely {
    /// The cluster is called as the directory is, the user as here, and the key is the one that OpenSSH would try first.
    pub(super) fn find(
        directory: &Path,
        variable: impl Fn(&str) -> Option<String>,
        is_file: impl Fn(&Path) -> bool,
    ) -> Self {
        let cluster = directory.file_name().and_then(|name| name.to_str()).map(str::to_owned);
        let user = ["USER", "LOGNAME"].into_iter().find_map(&variable);
        let keys = ["id_ed25519", "id_ecdsa", "id_rsa"];
        let identity_file = variable("HOME").filter(|home| !home.is_empty()).and_then(|home| {
            let is_there = |key: &&str| is_file(&Path::new(&home).join(".ssh").join(key));
            keys.into_iter().find(is_there).map(|key| format!("~/.ssh/{key}"))
        });
        Self {
            cluster: cluster.filter(|name| answers::check_cluster(name).is_ok()),
            user: user.filter(|name| answers::check_user(name).is_ok()),
            identity_file,
        }
    }
}

/// Refuses flags with mistakes, all at once.
pub(super) fn check_flags(args: &InitArgs) -> Result<(), CliError> {
    let user = args.user.as_deref().map(answers::check_user);
    let task_user = args.task_user.as_deref().map(answers::check_user);
    let mistakes: Vec<String> = [
        ("--name", args.name.as_deref().map(answers::check_cluster)),
        ("--user", user),
        ("--identity-file", args.identity_file.as_deref().map(check_key)),
        ("--master", flag(&args.masters).map(|text| check_masters(&text))),
        ("--agent", flag(&args.agents).map(|text| check_agents(&text))),
        ("--task-user", task_user),
    ]
    .into_iter()
    .filter_map(|(flag, checked)| Some(format!("{flag}: {}", checked?.err()?)))
    .collect();
    match mistakes.as_slice() {
        [] => Ok(()),
        [one] => Err(CliError::usage(one)),
        many => {
            let mut error = CliError::usage(format!("{} mistakes; nothing was written", many.len()));
            error.causes = mistakes;
            Err(error)
        }
    }
}

/// The flags without which somebody has to be asked.
pub(super) fn missing(args: &InitArgs) -> Vec<&'static str> {
    [
        ("--name", args.name.is_none()),
        ("--user", args.user.is_none()),
        ("--master", args.masters.is_empty()),
        ("--agent", args.agents.is_empty()),
    ]
    .into_iter()
    .filter_map(|(flag, is_missing)| is_missing.then_some(flag))
    .collect()
}

/// Flags alone, where all that are needed are there.
pub(super) fn from_flags(args: &InitArgs) -> Result<Answers, CliError> {
    let (masters, agents) = (args.masters.join(" "), args.agents.join(" "));
    assemble(
        args.name.clone().unwrap_or_default(),
        args.user.clone().unwrap_or_default(),
        args.identity_file.as_deref().unwrap_or(AGENT),
        &masters,
        &agents,
        args.task_user.clone().unwrap_or_else(task_user),
    )
}

/// Asks for what no flag says.
pub(super) fn ask(args: &InitArgs, likely: &Likely, asked: &mut dyn Asked) -> Result<Answers, CliError> {
    let mut put = |given: Option<String>,
                   text: &str,
                   default: Option<String>,
                   check: &dyn Fn(&str) -> Result<(), String>| {
        given.map_or_else(|| asked.ask(&Question { text, default, check }), Ok)
    };
    let cluster = likely.cluster.clone().or_else(|| Some("demo".to_owned()));
    let name = put(args.name.clone(), "Name of the cluster", cluster, &answers::check_cluster)?;
    let user =
        put(args.user.clone(), "Log in to its machines as", likely.user.clone(), &answers::check_user)?;
    let key = likely.identity_file.clone().or_else(|| Some(AGENT.to_owned()));
    let key = put(
        args.identity_file.clone(),
        "File of your private key, or `agent` for those of the SSH agent",
        key,
        &check_key,
    )?;
    let masters = put(
        flag(&args.masters),
        "Masters: the address of one machine, or of three or five that bear the loss of some",
        None,
        &check_masters,
    )?;
    // A single machine can be all.
    let alone = answers::machines(&masters, "m").is_ok_and(|machines| machines.len() == 1);
    let agents = put(
        flag(&args.agents),
        "Agents, which run tasks: addresses with blanks between them, or ranges like 192.0.2.[21:40]",
        alone.then(|| masters.clone()),
        &check_agents,
    )?;
    let tasks =
        put(args.task_user.clone(), "User of tasks that name none", Some(task_user()), &answers::check_user)?;
    assemble(name, user, &key, &masters, &agents, tasks)
}

fn task_user() -> String {
    "nobody".to_owned()
}

fn assemble(
    cluster: String,
    user: String,
    key: &str,
    masters: &str,
    agents: &str,
    task_user: String,
) -> Result<Answers, CliError> {
    let identity_file = (key != AGENT).then(|| key.to_owned());
    let masters = answers::machines(masters, "m").map_err(CliError::usage)?;
    let agents = answers::machines(agents, "a").map_err(CliError::usage)?;
    Ok(Answers { cluster, user, identity_file, masters, agents, task_user })
}

/// What a flag that may be repeated says.
fn flag(values: &[String]) -> Option<String> {
    (!values.is_empty()).then(|| values.join(" "))
}

fn check_key(text: &str) -> Result<(), String> {
    answers::check_path(text)
}

fn check_masters(text: &str) -> Result<(), String> {
    answers::machines(text, "m").and_then(|machines| answers::check_masters(&machines))
}

fn check_agents(text: &str) -> Result<(), String> {
    let machines: Vec<Machine> = answers::machines(text, "a")?;
    if machines.is_empty() {
        Err("without agents no task can run; write the address of one".to_owned())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
