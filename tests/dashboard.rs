//! The dashboard of the real binary, on a real pseudo-terminal, by keys alone.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

mod terminal;

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use terminal::{Terminal, given_back, program};

#[test]
fn the_demo_is_marked_and_every_page_opens_and_the_terminal_is_given_back() {
    let mut terminal = Terminal::start(&["tui", "--demo"], &[], 120, 35);
    terminal.sees("DEMO");
    terminal.sees("agents 20/20");
    for (key, shown) in [
        ("2", "Services"),
        ("3", "Nodes"),
        ("4", "Universe"),
        ("5", "Deployments"),
        ("6", "Events"),
        ("1", "Dashboard"),
    ] {
        terminal.press(key);
        terminal.until(shown, |screen| screen.lines().rev().nth(1).is_some_and(|line| line.contains(shown)));
    }
    terminal.press("q");
    let (status, written) = terminal.end();
    assert!(status.success(), "{status}");
    given_back(&written);
}

#[test]
fn what_is_no_terminal_is_refused_with_what_to_do_instead() {
    let output = Command::new(program()).args(["tui", "--demo"]).stdin(Stdio::null()).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(error.contains("needs a terminal") && error.contains("clusterctl service list"), "{error}");
}

#[test]
fn a_signal_gives_the_terminal_back_as_well() {
    let mut terminal = Terminal::start(&["tui", "--demo"], &[], 80, 24);
    terminal.sees("DEMO");
    // Ctrl-C is a key here.
    terminal.press("\x03");
    let (status, written) = terminal.end();
    assert!(status.success(), "{status}");
    given_back(&written);
}

/// A cluster, which ends in order when it is dropped.
struct Up {
    process: Child,
    url: String,
    dir: TempDir,
}

impl Up {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut process = Command::new(program())
            .args(["--json", "up", "--port", "0", "--resources", "cpus:4;mem:1024;disk:512", "--dir"])
            .arg(dir.path().join("up"))
            .env_remove("CLUSTERCTL_URL")
            .env("XDG_CONFIG_HOME", dir.path().join("config"))
            .stdout(Stdio::piped())
            .stderr(File::create(dir.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let url = loop {
            let line = lines.next().unwrap_or_else(|| panic!("it ended: {}", log(dir.path()))).unwrap();
            let event: Value = serde_json::from_str(&line).unwrap();
            if let Some(url) = event.get("url").and_then(Value::as_str) {
                break url.to_owned();
            }
        };
        // Whatever it says later must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, url, dir }
    }

    fn clusterctl(&self, arguments: &[&str]) -> String {
        let output = Command::new(program())
            .args(arguments)
            .env("CLUSTERCTL_URL", &self.url)
            .env("XDG_CONFIG_HOME", self.dir.path().join("config"))
            .env("XDG_CACHE_HOME", self.dir.path().join("cache"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout) + &text(&output.stderr)
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.process);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.process.wait();
    }
}

fn log(dir: &Path) -> String {
    fs::read_to_string(dir.join("log")).unwrap_or_default()
}

/// A package that greets: its own form, with one option.
fn greeter(dir: &Path) {
    let package = dir.join("greeter/1.0.0");
    fs::create_dir_all(&package).unwrap();
    let files = [
        (
            "package.yaml",
            "name: greeter\nversion: 1.0.0\ndescription: Says hello, again and again.\nmaintainer: tests\ntags: [hello]\nselected: true\n",
        ),
        (
            "config.yaml",
            "type: object\nadditionalProperties: false\nproperties:\n  greeting:\n    description: What is said.\n    type: object\n    additionalProperties: false\n    required: [word]\n    properties:\n      word: {description: The word., type: string, default: hello}\n",
        ),
        ("resource.yaml", "images: {}\n"),
        (
            "service.json.tera",
            "{\"id\": \"{{ id }}\", \"instances\": 1, \"cpus\": 0.1, \"mem\": 32, \"env\": {\"WORD\": \"{{ options.greeting.word }}\"}, \"cmd\": \"while :; do echo \\\"$WORD world\\\"; sleep 1; done\"}\n",
        ),
    ];
    for (name, text) in files {
        fs::write(package.join(name), text).unwrap();
    }
}

#[test]
fn a_package_is_installed_scaled_read_and_removed_by_keys_alone() {
    let up = Up::start();
    greeter(up.dir.path());
    up.clusterctl(&["universe", "add", "own", up.dir.path().join("greeter").to_str().unwrap()]);
    let config = up.dir.path().join("config");
    let cache = up.dir.path().join("cache");
    let variables =
        [("XDG_CONFIG_HOME", config.to_str().unwrap()), ("XDG_CACHE_HOME", cache.to_str().unwrap())];
    let mut terminal = Terminal::start(&["tui", "--url", &up.url], &variables, 120, 35);
    terminal.sees("● live");

    // From the Universe page to a service that runs.
    terminal.press("4");
    terminal.sees("greeter");
    terminal.press("/greeter\r");
    terminal.sees("Packages · 1 of");
    terminal.sees("greeter 1.0.0 ─");
    terminal.press("I");
    terminal.sees("1 Options");
    terminal.sees("greeting");
    // Ctrl-S.
    terminal.press("\x13");
    terminal.sees("WORD: hello");
    terminal.press("I");
    terminal.until("it does not run", |screen| screen.contains("● ready"));

    // Scaled.
    terminal.press("2");
    terminal.sees("SERVICE");
    terminal.sees("greeter");
    terminal.press("S");
    terminal.sees("Scale /greeter");
    terminal.press("\x7f2\t\r");
    terminal.sees("2/2");

    // Its log is followed.
    terminal.press("\r");
    terminal.sees("Configuration");
    terminal.press("l");
    terminal.sees("hello world");
    terminal.press("\x1b");
    terminal.sees("ADDRESS");
    terminal.press("\x1b");
    terminal.sees("SERVICE");

    // Removed, and not by a slip of the finger.
    terminal.press("4");
    terminal.sees("Installed greeter");
    terminal.press("\x1b");
    terminal.sees("Packages ·");
    terminal.press("D");
    terminal.sees("Type /greeter");
    terminal.press("\r\r");
    terminal.sees("type /greeter to confirm");
    terminal.press("/greeter\r\r");
    terminal.press("2");
    terminal.sees("Nothing runs here yet");
    assert!(!up.clusterctl(&["service", "list"]).contains("greeter"));
    terminal.press("1");
    terminal.sees("Needs attention");
    terminal.press("q");
    let (status, written) = terminal.end();
    assert!(status.success(), "{status}");
    given_back(&written);
}
