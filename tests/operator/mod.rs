//! An operator's machine: a home, an inventory, and the program, as a person has them.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

pub(crate) mod catalogue;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;
use testbed::{Host, Testbed};

/// The operator. Nothing of it is left when it is dropped.
pub(crate) struct Operator {
    home: TempDir,
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Operator {
    /// With the inventory of these hosts.
    pub(crate) fn of(testbed: &Testbed) -> Self {
        Self::with(&testbed.inventory())
    }

    /// With this inventory.
    pub(crate) fn with(inventory: &str) -> Self {
        let home = tempfile::Builder::new().prefix("operator").tempdir().unwrap();
        let operator = Self { home };
        operator.write("inventory.yaml", inventory);
        // What goes to nodes carries no line tables: a fraction of the size. `tests/release` makes what is shipped.
        let built =
            env::var_os("CLUSTERCTL_RELEASE").unwrap_or_else(|| env!("CARGO_BIN_EXE_clusterctl").into());
        let program = operator.path("clusterctl");
        let done =
            Command::new("strip").args(["--strip-all", "-o"]).arg(&program).arg(built).status().unwrap();
        assert!(done.success(), "{done}");
        operator
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// The program with these arguments, not yet started: in the operator's home, which is also that of its settings.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.path("clusterctl"));
        command
            .args(arguments)
            .current_dir(self.home.path())
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .env("USER", "operator")
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.command(arguments).output().unwrap().into()
    }

    /// Runs a command that has to end well.
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!(ran.status, 0, "{arguments:?}: {ran}");
        ran.stdout
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self {
            status: output.status.code().unwrap_or(-1),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "status {}\n{}\n{}", self.status, self.stdout, self.stderr)
    }
}

/// Every file of a host with its kind, mode and owner, and with its content where a package does not own it, but for what a running system writes by itself: logs, caches,
/// timers' stamps, what is in memory, and what stands in the copies that useradd makes of the files it changes (/etc/passwd-).
pub(crate) async fn everything_on(host: &Host) -> String {
    const LIST: &str = r"
        leave='-path /proc -o -path /sys -o -path /run -o -path /tmp -o -path /dev -o -path /var/log -o -path /var/tmp
            -o -path /var/cache -o -path /var/lib/systemd -o -path /home/*/.cache'
        set -f
        find / -xdev \( $leave \) -prune -o -printf '%y %#m %u:%g %p %l\n' | sort
        find /etc /home /opt /root /srv /usr/local /var -xdev \( $leave \) -prune -o -type f ! -path '/etc/*-' -exec sha256sum {} + | sort -k 2
    ";
    host.run(LIST).await.unwrap()
}

/// What one has and the other has not.
pub(crate) fn difference(before: &str, after: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let gone = old.iter().filter(|line| !new.contains(line)).map(|line| format!("- {line}\n"));
    let came = new.iter().filter(|line| !old.contains(line)).map(|line| format!("+ {line}\n"));
    gone.chain(came).collect()
}

/// Whether a file is private to its owner.
pub(crate) fn is_private(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).unwrap().permissions().mode() & 0o077 == 0
}
