//! The built binary, as a shell or a script meets it.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

/// The binary with these arguments, and with nothing of the environment that would change what it prints.
fn clusterctl(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clusterctl"));
    command.args(arguments).stdin(Stdio::null());
    for variable in ["NO_COLOR", "CLICOLOR_FORCE", "CLUSTERCTL_LOG"] {
        command.env_remove(variable);
    }
    command
}

fn run(arguments: &[&str]) -> io::Result<Finished> {
    clusterctl(arguments).output().map(Finished::from)
}

/// What a run left behind.
#[derive(Debug)]
struct Finished {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl From<Output> for Finished {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }
}

impl Finished {
    fn events(&self) -> serde_json::Result<Vec<Value>> {
        self.stdout.lines().map(serde_json::from_str).collect()
    }
}

/// The commit that is checked out, when the sources are a checkout with a commit.
fn checked_out() -> io::Result<Option<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    if !root.join(".git").exists() {
        return Ok(None);
    }
    let output = Command::new("git")
        .current_dir(root)
        .args(["rev-parse", "--verify", "--short=12", "HEAD"])
        .output()?;
    Ok(output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned()))
}

#[test]
fn the_version_names_the_commit_and_the_day_of_the_build() {
    let long = run(&["--version"]).unwrap();
    assert_eq!((long.code, long.stderr.as_str()), (Some(0), ""));
    assert_eq!(run(&["-V"]).unwrap().stdout, long.stdout);

    let build = long.stdout.strip_prefix(concat!("clusterctl ", env!("CARGO_PKG_VERSION"), " (")).unwrap();
    let (commit, date) = build.strip_suffix(")\n").unwrap().split_once(' ').unwrap();
    let expected = checked_out().unwrap().unwrap_or_else(|| "unknown".to_owned());
    assert_eq!(commit.strip_suffix("-dirty").unwrap_or(commit), expected);
    let shape: String = date.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    assert_eq!(shape, "9999-99-99", "{date}");
}

#[test]
fn help_lists_the_exit_codes() {
    let help = run(&["--help"]).unwrap();
    assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
    let (_, table) = help.stdout.split_once("Exit codes:\n").unwrap();
    insta::assert_snapshot!(table, @r"
        0  done, or no difference
        1  internal fault
        2  wrong usage or invalid input
        3  differences (plan, diff, --dry-run)
        4  hosts are unreachable
        5  preflight or checks failed
        6  steps failed on some hosts
        7  a health gate stopped an upgrade
        8  locked by another run
      130  interrupted
    ");
}

#[test]
fn without_arguments_the_help_comes_on_stderr_with_code_2() {
    let bare = run(&[]).unwrap();
    assert_eq!((bare.code, bare.stdout.as_str()), (Some(2), ""));
    assert!(bare.stderr.contains("Usage: clusterctl"), "{}", bare.stderr);
}

#[test]
fn completions_are_scripts_of_their_shells() {
    for (shell, mark) in [
        ("bash", "complete -F _clusterctl"),
        ("zsh", "#compdef clusterctl"),
        ("fish", "complete -c clusterctl"),
    ] {
        let finished = run(&["completions", shell]).unwrap();
        assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{shell}");
        assert!(finished.stdout.contains(mark), "{shell}");
    }
}

#[test]
fn bash_accepts_its_completions() {
    let script = run(&["completions", "bash"]).unwrap().stdout;
    let mut bash =
        Command::new("bash").arg("-n").stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    bash.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let verdict = Finished::from(bash.wait_with_output().unwrap());
    assert_eq!((verdict.code, verdict.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_mistyped_command_ends_with_code_2_and_the_right_word() {
    let mistyped = run(&["completoins", "bash"]).unwrap();
    assert_eq!((mistyped.code, mistyped.stdout.as_str()), (Some(2), ""));
    assert!(mistyped.stderr.contains("did you mean `clusterctl completions`?"), "{}", mistyped.stderr);
}

#[test]
fn completions_without_a_shell_list_the_shells() {
    let missing = run(&["completions"]).unwrap();
    assert_eq!(missing.code, Some(2));
    assert!(missing.stderr.contains("bash, elvish, fish, powershell, zsh"), "{}", missing.stderr);
}

#[test]
fn a_reader_that_goes_away_ends_the_run_quietly() {
    for arguments in [["completions", "bash"], ["--json", "nonsense"], ["completions", "--help"]] {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let finished = Finished::from(clusterctl(&arguments).stdout(writer).output().unwrap());
        assert_eq!(finished.stderr, "", "{arguments:?}");
        let expected = if arguments.contains(&"nonsense") { 2 } else { 0 };
        assert_eq!(finished.code, Some(expected), "{arguments:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error_with_code_1() {
    for arguments in
        [&["completions", "bash"][..], &["completions", "bash", "--json"], &["--help"], &["--version"]]
    {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let finished = Finished::from(clusterctl(arguments).stdout(full).output().unwrap());
        assert_eq!(finished.code, Some(1), "{arguments:?}");
        insta::allow_duplicates! {
            insta::assert_snapshot!(finished.stderr, @r"
            error: cannot write to standard output
              caused by: No space left on device (os error 28)
            ");
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn diagnostics_that_cannot_be_written_stop_nothing() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let finished =
        Finished::from(clusterctl(&["-vvv", "completions", "bash"]).stderr(full).output().unwrap());
    assert_eq!(finished.code, Some(0));
    assert!(!finished.stdout.is_empty());
}

#[test]
fn json_turns_a_usage_error_into_events_on_stdout() {
    let wrong = run(&["completions", "bsh", "--json"]).unwrap();
    assert_eq!((wrong.code, wrong.stderr.as_str()), (Some(2), ""));
    let events = wrong.events().unwrap();
    assert_eq!(events[0], json!({"type": "start", "schema": 1, "version": env!("CARGO_PKG_VERSION")}));
    assert_eq!(
        events[1],
        json!({
            "type": "error",
            "kind": "usage",
            "message": "invalid value 'bsh' for '<SHELL>'",
            "causes": [],
            "hints": [
                "did you mean `bash`?",
                "possible values are bash, elvish, fish, powershell, zsh",
                "`clusterctl completions --help` says more",
            ],
            "exit_code": 2,
        })
    );
    assert_eq!(events.len(), 2);
}

#[test]
fn json_wraps_a_result_and_leaves_diagnostics_on_stderr() {
    let plain = run(&["completions", "zsh"]).unwrap().stdout;
    let finished = run(&["-v", "--json", "completions", "zsh"]).unwrap();
    let events = finished.events().unwrap();
    assert_eq!(events[1], json!({"type": "completions", "shell": "zsh", "script": plain}));
    assert!(finished.stderr.contains("INFO"), "{}", finished.stderr);
}

#[test]
fn colour_follows_the_flag_then_no_color_then_clicolor_force() {
    let coloured = |arguments: &[&str], variables: &[&str]| {
        let mut command = clusterctl(arguments);
        command.envs(variables.iter().map(|name| (name, "1")));
        Finished::from(command.output().unwrap()).stderr.contains('\u{1b}')
    };
    assert!(!coloured(&["nonsense"], &[]));
    assert!(coloured(&["nonsense"], &["CLICOLOR_FORCE"]));
    assert!(!coloured(&["nonsense"], &["CLICOLOR_FORCE", "NO_COLOR"]));
    assert!(coloured(&["nonsense", "--color=always"], &["NO_COLOR"]));
    assert!(!coloured(&["nonsense", "--color", "never"], &["CLICOLOR_FORCE"]));
    assert!(coloured(&["-v", "completions", "bash"], &["CLICOLOR_FORCE"]), "diagnostics");
}

#[test]
fn levels_come_from_flags_and_from_the_variable() {
    let diagnostics = |flags: &[&str], variable: &str| {
        let arguments = [&["completions", "bash"], flags].concat();
        Finished::from(clusterctl(&arguments).env("CLUSTERCTL_LOG", variable).output().unwrap()).stderr
    };
    assert_eq!(diagnostics(&[], ""), "");
    assert!(diagnostics(&["-v"], "").contains("INFO clusterctl::commands::completions"));
    assert!(diagnostics(&[], "clusterctl=info").contains("INFO clusterctl::commands::completions"));
    assert_eq!(diagnostics(&["-q"], "info"), "");
}

#[test]
fn a_bad_log_directive_is_a_usage_error_that_says_where() {
    let mut command = clusterctl(&["completions", "bash"]);
    let finished = Finished::from(command.env("CLUSTERCTL_LOG", "info,clusterctl=debgu").output().unwrap());
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(2), ""));
    insta::assert_snapshot!(finished.stderr, @r#"
    error: cannot understand CLUSTERCTL_LOG="info,clusterctl=debgu"
      caused by: column 17: `debgu` is not a level
    hint: write LEVEL or TARGET=LEVEL, separated by commas: `CLUSTERCTL_LOG=info,clusterctl=debug`
    hint: levels are off, error, warn, info, debug and trace
    "#);
}
