//! Real SSH servers on this machine, as whoever runs the tests, and what is needed to go there.

#![expect(dead_code, reason = "each test binary uses a part of it")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};

use ssh::known_hosts::Entry;
use ssh::{Connector, HostKey, Settings, Target};
use tempfile::TempDir;

/// Where Debian puts sshd, which is not on everybody's PATH.
const SSHD: &str = "/usr/sbin/sshd";

/// A server of its own, ended and removed with this.
pub(crate) struct Sshd {
    directory: TempDir,
    child: Child,
    port: u16,
    log: Arc<Log>,
}

#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

impl Log {
    fn push(&self, line: String) {
        self.lines.lock().unwrap().push(line);
        self.more.notify_all();
    }

    fn count(&self, text: &str) -> usize {
        self.lines.lock().unwrap().iter().filter(|line| line.contains(text)).count()
    }

    fn wait_for(&self, text: &str) {
        let mut lines = self.lines.lock().unwrap();
        while !lines.iter().any(|line| line.contains(text)) {
            assert!(!lines.iter().any(|line| line == END), "sshd ended: {lines:?}");
            lines = self.more.wait(lines).unwrap();
        }
    }
}

const END: &str = "(end of the log)";

impl Sshd {
    /// A server that takes the key that [`Sshd::identity`] has, with more lines of configuration.
    pub(crate) fn start(more: &[&str]) -> Self {
        Self::with_host_keys(&["ed25519"], more)
    }

    /// One with host keys of some types.
    pub(crate) fn with_host_keys(kinds: &[&str], more: &[&str]) -> Self {
        Self::launch(kinds, more, None)
    }

    /// One that sees a machine with other users: a script, run as root, changes an `/etc` that only the server and what
    /// it starts see.
    pub(crate) fn with_users(script: &str, more: &[&str]) -> Self {
        assert!(rustix::process::geteuid().is_root(), "needs root");
        Self::launch(&["ed25519"], more, Some(script))
    }

    fn launch(kinds: &[&str], more: &[&str], users: Option<&str>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        // Users other than ours must see which keys let them in.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        keygen(&directory.path().join("id"), "ed25519", "");
        fs::copy(directory.path().join("id.pub"), directory.path().join("authorized_keys")).unwrap();
        let host_keys: Vec<_> = kinds
            .iter()
            .map(|kind| {
                let path = directory.path().join(format!("host_{kind}"));
                keygen(&path, kind, "");
                format!("HostKey {}\n", path.display())
            })
            .collect();
        if rustix::process::geteuid().is_root() {
            // Debian's own unit makes it before each start.
            fs::create_dir_all("/run/sshd").unwrap();
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let config = directory.path().join("config");
        let text = format!(
            "{}ListenAddress 127.0.0.1:{port}\n{}AuthorizedKeysFile {}\nStrictModes no\nUsePAM no\nPidFile none\n\
             PermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPrintMotd no\nPrintLastLog no\n",
            more.iter().map(|line| format!("{line}\n")).collect::<String>(),
            host_keys.concat(),
            directory.path().join("authorized_keys").display(),
        );
        fs::write(&config, text).unwrap();
        let mut command = match users {
            None => Command::new(SSHD),
            Some(script) => {
                let own = directory.path().join("etc");
                let mut command = Command::new("unshare");
                let setup = format!(
                    "cp -a /etc {0} && mount --bind {0} /etc\n{script}\nexec {SSHD} \"$@\"",
                    own.display()
                );
                command.args(["--mount", "--propagation", "private", "/bin/sh", "-ec", &setup, "sshd"]);
                command
            }
        };
        let mut child = command
            .args(["-D", "-e", "-f"])
            .arg(&config)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("these tests need sshd: install openssh-server");
        let log = Arc::new(Log::default());
        let stderr = child.stderr.take().unwrap();
        let to = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                to.push(line);
            }
            to.push(END.to_owned());
        });
        log.wait_for("Server listening");
        Self { directory, child, port, log }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The key that lets in.
    pub(crate) fn identity(&self) -> PathBuf {
        self.path("id")
    }

    pub(crate) fn host_key(&self, kind: &str) -> HostKey {
        let text = fs::read_to_string(self.path(&format!("host_{kind}.pub"))).unwrap();
        text.trim().parse().unwrap()
    }

    /// What makes its ed25519 key known.
    pub(crate) fn entry(&self) -> Entry {
        Entry { host: "127.0.0.1".to_owned(), port: self.port, key: self.host_key("ed25519") }
    }

    /// Lets in whoever has a key, besides those that it lets in already.
    pub(crate) fn authorize(&self, key: &Path) {
        let path = self.path("authorized_keys");
        let text = fs::read_to_string(&path).unwrap() + &fs::read_to_string(public(key)).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A target that names the right key.
    pub(crate) fn target(&self) -> Target {
        Target { identities: vec![self.identity()], ..self.bare() }
    }

    /// A target that names no key.
    pub(crate) fn bare(&self) -> Target {
        Target { port: Some(self.port), ..Target::new("host", "127.0.0.1") }
    }

    pub(crate) fn logged(&self, text: &str) -> usize {
        self.log.count(text)
    }

    pub(crate) fn wait_for_log(&self, text: &str) {
        self.log.wait_for(text);
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A user's side: a home directory, known hosts, and what connects.
pub(crate) struct Client {
    pub(crate) home: TempDir,
    pub(crate) settings: Settings,
}

impl Client {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let mut settings = Settings::for_user(home.path(), &user());
        settings.known_hosts.truncate(1);
        settings.retry_delay = std::time::Duration::from_millis(1);
        Self { home, settings }
    }

    /// One that knows some servers.
    pub(crate) fn knowing(servers: &[&Sshd]) -> Self {
        let client = Self::new();
        let entries: Vec<_> = servers.iter().map(|server| server.entry()).collect();
        ssh::known_hosts::learn(&client.known_hosts(), &entries).unwrap();
        client
    }

    pub(crate) fn known_hosts(&self) -> PathBuf {
        self.settings.known_hosts[0].clone()
    }

    pub(crate) fn connector(&self) -> Connector {
        Connector::new(self.settings.clone()).unwrap()
    }
}

pub(crate) fn user() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

pub(crate) fn public(key: &Path) -> PathBuf {
    PathBuf::from(format!("{}.pub", key.display()))
}

pub(crate) fn keygen(path: &Path, kind: &str, passphrase: &str) {
    let status = Command::new("ssh-keygen")
        .args(["-q", "-t", kind, "-N", passphrase, "-C", "a key of the tests", "-f"])
        .arg(path)
        .status()
        .expect("these tests need ssh-keygen: install openssh-client");
    assert!(status.success());
}
