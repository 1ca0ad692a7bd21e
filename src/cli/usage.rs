//! Turns what clap answers into our own output: help, the version, or the one error of the command line.

use std::ffi::{OsStr, OsString};

use clap::CommandFactory as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::Cli;
use crate::error::CliError;
use crate::exit::Exit;
use crate::printer::Printer;

/// What to print instead of carrying out a command.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Help or version, as asked for.
    Help(String),
    /// Help, since the arguments say too little to know better.
    UnaskedHelp(String),
    /// The arguments are wrong.
    Wrong(CliError),
}

impl Answer {
    /// Takes over clap's answer to the arguments of the process.
    pub(super) fn new(error: &clap::Error, arguments: &[OsString]) -> Self {
        let styled = || error.render().ansi().to_string();
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Self::Help(styled()),
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => Self::UnaskedHelp(styled()),
            _ => Self::Wrong(usage_error(error, &named_command(arguments))),
        }
    }

    /// Prints it.
    pub(crate) fn print(self, ui: &mut Printer) -> Result<Exit, CliError> {
        match self {
            Self::Help(text) => ui.help(&text).map(|()| Exit::Done),
            Self::UnaskedHelp(text) => {
                ui.unasked_help(&text);
                Ok(Exit::WrongUsage)
            }
            Self::Wrong(error) => Err(error),
        }
    }
}

/// The command that the arguments name, as far as they name one; its name is what one has to type for it.
fn named_command(arguments: &[OsString]) -> clap::Command {
    let mut command = Cli::command();
    command.build();
    let mut named = &command;
    for argument in arguments.iter().skip(1).map(OsString::as_os_str).take_while(|argument| *argument != "--")
    {
        named = find(named, argument).unwrap_or(named);
    }
    named.clone()
}

/// `help` is left out: it takes the names of commands, and has no help of its own.
fn find<'a>(command: &'a clap::Command, name: &OsStr) -> Option<&'a clap::Command> {
    command.get_subcommands().find(|subcommand| subcommand.get_name() == name && name != "help")
}

/// Clap's words for what is wrong, and its advice as hints.
fn usage_error(error: &clap::Error, command: &clap::Command) -> CliError {
    let name = command.get_bin_name().unwrap_or(command.get_name());
    let help = format!("`{name} --help` says more");

    let mut ours = CliError::usage(message(&error.render().to_string()));
    ours.hints.extend(ADVICE.iter().filter_map(|kind| hint(*kind, error.get(*kind)?, name)));
    ours.hints.extend(values_of_missing(error, command));
    ours.hint(match error.get(ContextKind::Usage) {
        Some(usage) => format!("usage: `{}`; {help}", usage.to_string().trim_start_matches("Usage:").trim()),
        None => help,
    })
}

/// The first paragraph; those after it are advice. Lists in brackets become hints.
fn message(rendered: &str) -> String {
    let paragraph = rendered.split("\n\n").next().unwrap_or(rendered).trim_end();
    let lines: Vec<&str> = paragraph.lines().map(str::trim).filter(|line| !line.starts_with('[')).collect();
    let text = lines.join(" ");
    text.strip_prefix("error: ").map(str::to_owned).unwrap_or(text)
}

/// What clap may know beside the fault, the most useful first.
const ADVICE: [ContextKind; 6] = [
    ContextKind::SuggestedSubcommand,
    ContextKind::SuggestedArg,
    ContextKind::SuggestedValue,
    ContextKind::Suggested,
    ContextKind::ValidSubcommand,
    ContextKind::ValidValue,
];

fn hint(kind: ContextKind, value: &ContextValue, command: &str) -> Option<String> {
    let values = match value {
        ContextValue::Strings(values) => values.clone(),
        ContextValue::StyledStrs(values) => values.iter().map(ToString::to_string).collect(),
        single => vec![single.to_string()],
    };
    if values.is_empty() {
        return None;
    }
    Some(match kind {
        ContextKind::SuggestedSubcommand => {
            format!("did you mean `{command} {}`?", values.join(&format!("` or `{command} ")))
        }
        ContextKind::SuggestedArg | ContextKind::SuggestedValue => {
            format!("did you mean `{}`?", values.join("` or `"))
        }
        ContextKind::ValidSubcommand => {
            let shown: Vec<String> = values.into_iter().filter(|name| !is_hidden(name)).collect();
            format!("subcommands are {}", shown.join(", "))
        }
        ContextKind::ValidValue => format!("possible values are {}", values.join(", ")),
        _ => values.join("; "),
    })
}

/// Whether nobody types it: systemd does.
fn is_hidden(name: &str) -> bool {
    Cli::command().get_subcommands().any(|command| command.is_hide_set() && command.get_name() == name)
}

/// Clap names the arguments that are missing, but not what may stand there.
fn values_of_missing(error: &clap::Error, command: &clap::Command) -> Vec<String> {
    let Some(ContextValue::Strings(missing)) = error.get(ContextKind::InvalidArg) else { return Vec::new() };
    let with_values = |argument: &clap::Arg| {
        let values: Vec<String> =
            argument.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
        (!values.is_empty()).then(|| format!("{argument} is one of {}", values.join(", ")))
    };
    command
        .get_arguments()
        .filter(|argument| missing.contains(&argument.to_string()))
        .filter_map(with_values)
        .collect()
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;
    use insta::assert_snapshot;

    use super::*;
    use crate::cli::Invocation;

    fn arguments(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    fn refused(line: &str) -> String {
        let arguments = arguments(line);
        match Invocation::parse(&arguments) {
            Invocation::Answer { answer: Answer::Wrong(error), .. } => strip_str(&error.styled()).to_string(),
            _ => panic!("{line} is accepted"),
        }
    }

    #[test]
    fn a_mistyped_command_is_shown_the_right_one() {
        assert_snapshot!(refused("clusterctl completoins bash"), @r"
        error: unrecognized subcommand 'completoins'
        hint: did you mean `clusterctl completions`?
        hint: usage: `clusterctl [OPTIONS] <COMMAND>`; `clusterctl --help` says more
        ");
    }

    #[test]
    fn a_mistyped_flag_is_shown_the_right_one() {
        assert_snapshot!(refused("clusterctl completions bash --verbos"), @r"
        error: unexpected argument '--verbos' found
        hint: did you mean `--verbose`?
        hint: usage: `clusterctl completions --verbose... <SHELL>`; `clusterctl completions --help` says more
        ");
    }

    #[test]
    fn a_mistyped_value_is_shown_the_right_one() {
        assert_snapshot!(refused("clusterctl completions bsh"), @r"
        error: invalid value 'bsh' for '<SHELL>'
        hint: did you mean `bash`?
        hint: possible values are bash, elvish, fish, powershell, zsh
        hint: `clusterctl completions --help` says more
        ");
    }

    #[test]
    fn a_missing_argument_is_shown_what_it_may_be() {
        assert_snapshot!(refused("clusterctl completions"), @r"
        error: the following required arguments were not provided: <SHELL>
        hint: <SHELL> is one of bash, elvish, fish, powershell, zsh
        hint: usage: `clusterctl completions <SHELL>`; `clusterctl completions --help` says more
        ");
    }

    #[test]
    fn a_missing_command_is_shown_the_commands() {
        assert_snapshot!(refused("clusterctl --json"), @r"
        error: 'clusterctl' requires a subcommand but one was not provided
        hint: subcommands are init, inventory, install, plan, check, reset, up, master, agent, service, group, package, task, node, cluster, universe, tui, bundle, secret, login, logout, user, completions, help
        hint: usage: `clusterctl [OPTIONS] <COMMAND>`; `clusterctl --help` says more
        ");
    }

    #[test]
    fn flags_that_contradict_each_other_are_refused_wherever_they_stand() {
        for line in ["clusterctl -qv completions bash", "clusterctl -q completions bash --verbose"] {
            assert_eq!(
                refused(line),
                "error: '--quiet' cannot be used with '--verbose'\nhint: `clusterctl completions --help` says more\n",
                "{line}"
            );
        }
    }

    #[test]
    fn the_named_command_is_what_help_is_offered_for() {
        for (line, name) in [
            ("clusterctl", "clusterctl"),
            ("clusterctl --color always completions bsh", "clusterctl completions"),
            ("clusterctl -- completions", "clusterctl"),
            ("clusterctl help no-such", "clusterctl"),
        ] {
            let command = named_command(&arguments(line));
            assert_eq!(command.get_bin_name().unwrap_or(command.get_name()), name, "{line}");
        }
    }
}
