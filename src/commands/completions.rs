//! `clusterctl completions`: scripts by which shells complete our commands and flags.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::error::CliError;
use crate::event::Event;
use crate::exit::Exit;
use crate::printer::Printer;

const WHERE_TO_PUT_IT: &str = "\
Where the script belongs:
  bash  clusterctl completions bash > ~/.local/share/bash-completion/completions/clusterctl
  fish  clusterctl completions fish > ~/.config/fish/completions/clusterctl.fish
  zsh   clusterctl completions zsh > DIR/_clusterctl, where DIR is a folder in $fpath

Make the folder first where it is not there. A shell reads the script when it starts: open a new one.";

/// Arguments of `clusterctl completions`.
#[derive(Args, Debug)]
#[command(after_long_help = WHERE_TO_PUT_IT)]
pub(crate) struct CompletionsArgs {
    /// The shell that is to read the script
    shell: Shell,
}

/// Prints the script.
pub(crate) fn run(ui: &mut Printer, args: &CompletionsArgs) -> Result<Exit, CliError> {
    let script = script(args.shell);
    let shell = args.shell.to_string();
    tracing::info!(shell, bytes = script.len(), "made the completion script");
    ui.result(&script, &Event::Completions { shell: &shell, script: &script })?;
    if ui.result_is_seen() {
        ui.hint("`clusterctl completions --help` says where your shell looks for this script");
    }
    Ok(Exit::Done)
}

fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    clap_complete::generate(shell, &mut command, name, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;
    use clap::ValueEnum as _;

    use super::*;
    use crate::printer::testing::Setup;

    fn printed(setup: &Setup) -> (String, String) {
        let (mut ui, stdout, stderr) = setup.printer();
        assert_eq!(run(&mut ui, &CompletionsArgs { shell: Shell::Bash }), Ok(Exit::Done));
        (stdout.text(), stderr.text())
    }

    #[test]
    fn a_file_gets_the_script_alone() {
        let (stdout, stderr) = printed(&Setup::default());
        assert_eq!((stdout, stderr.as_str()), (script(Shell::Bash), ""));
    }

    #[test]
    fn a_person_is_told_what_to_do_with_it() {
        let (stdout, stderr) = printed(&Setup { terminal: true, ..Setup::default() });
        assert_eq!(stdout, script(Shell::Bash));
        assert!(
            strip_str(&stderr).to_string().starts_with("hint: `clusterctl completions --help`"),
            "{stderr}"
        );
    }

    #[test]
    fn each_shell_gets_a_script_that_knows_the_flags() {
        for shell in Shell::value_variants() {
            assert!(script(*shell).contains("json"), "{shell}");
        }
    }
}
