//! Keys of a testbed, and commands over SSH as an operator would run them: host keys are always checked.

use std::ffi::OsString;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use crate::command::{run, search_path};
use crate::error::{Error, Result};

/// Kinds of host keys each host has; the first is the one in the inventory.
pub(crate) const HOST_KEY_TYPES: [&str; 2] = ["ed25519", "ecdsa"];

/// The key by which a testbed's hosts let one in, and the keys by which they are known.
#[derive(Clone, Debug)]
pub(crate) struct Ssh {
    dir: PathBuf,
}

impl Ssh {
    pub(crate) fn new(testbed: &Path) -> Self {
        Self { dir: testbed.join("ssh") }
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.dir.join("id_ed25519")
    }

    pub(crate) fn known_hosts(&self) -> PathBuf {
        self.dir.join("known_hosts")
    }

    /// Makes the key for logging in. Returns its public line.
    pub(crate) fn create_key(&self) -> Result<String> {
        fs::create_dir_all(&self.dir).map_err(Error::io("create", &self.dir))?;
        let key = self.key();
        keygen("ed25519", &key, "testbed")?;
        let public = key.with_extension("pub");
        fs::read_to_string(&public).map_err(Error::io("read", public))
    }

    /// The `ssh` arguments for a login, without a command.
    pub(crate) fn args(&self, user: &str, address: Ipv4Addr) -> Vec<OsString> {
        let option = |name: &str, value: &Path| {
            let mut text = OsString::from(name);
            text.push("=");
            text.push(value);
            text
        };
        let mut args: Vec<OsString> = vec!["-F".into(), "none".into(), "-i".into(), self.key().into()];
        for text in [
            option("UserKnownHostsFile", &self.known_hosts()),
            "GlobalKnownHostsFile=/dev/null".into(),
            "StrictHostKeyChecking=yes".into(),
            "IdentitiesOnly=yes".into(),
            // An emulated machine under load takes its time to answer.
            "ConnectTimeout=15".into(),
            // A connection to a host that is gone ends by itself.
            "ServerAliveInterval=5".into(),
            "ServerAliveCountMax=3".into(),
            // The default key exchange costs four times the processor time of this one.
            "KexAlgorithms=curve25519-sha256".into(),
            "LogLevel=ERROR".into(),
        ] {
            args.push("-o".into());
            args.push(text);
        }
        args.push(format!("{user}@{address}").into());
        args
    }

    /// A command for `user` on the host, through its login shell.
    pub(crate) fn command(&self, user: &str, address: Ipv4Addr, command: &str) -> tokio::process::Command {
        let mut ssh = tokio::process::Command::new("ssh");
        ssh.env("PATH", search_path())
            .arg("-oBatchMode=yes")
            .args(self.args(user, address))
            .arg("--")
            .arg(command);
        ssh
    }
}

/// Makes a host's keys in `etc_ssh`. Returns the lines for known_hosts and the first key's fingerprint.
pub(crate) fn create_host_keys(etc_ssh: &Path, host: &str, address: Ipv4Addr) -> Result<(String, String)> {
    let mut lines = String::new();
    let mut fingerprint = String::new();
    for kind in HOST_KEY_TYPES {
        let key = etc_ssh.join(format!("ssh_host_{kind}_key"));
        keygen(kind, &key, host)?;
        let public = key.with_extension("pub");
        let text = fs::read_to_string(&public).map_err(Error::io("read", &public))?;
        lines.push_str(&known_hosts_line(address, &text));
        if fingerprint.is_empty() {
            let shown = run("ssh-keygen", &["-l".as_ref(), "-f".as_ref(), public.as_os_str()])?;
            fingerprint = shown.split_whitespace().nth(1).unwrap_or_default().to_owned();
        }
    }
    Ok((lines, fingerprint))
}

/// A public key's line (`type key comment`) as known_hosts has it.
fn known_hosts_line(address: Ipv4Addr, public: &str) -> String {
    let mut parts = public.split_whitespace();
    format!("{address} {} {}\n", parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}

fn keygen(kind: &str, path: &Path, comment: &str) -> Result<()> {
    let args: [&std::ffi::OsStr; 9] = [
        "-q".as_ref(),
        "-t".as_ref(),
        kind.as_ref(),
        "-N".as_ref(),
        "".as_ref(),
        "-C".as_ref(),
        comment.as_ref(),
        "-f".as_ref(),
        path.as_os_str(),
    ];
    run("ssh-keygen", &args).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_host_is_its_address_and_key_without_the_comment() {
        let address = Ipv4Addr::new(10, 213, 1, 11);
        assert_eq!(known_hosts_line(address, "ssh-ed25519 AAAA h1\n"), "10.213.1.11 ssh-ed25519 AAAA\n");
    }

    #[test]
    fn logins_never_skip_the_host_key() {
        let args = Ssh::new(Path::new("/t")).args("admin", Ipv4Addr::LOCALHOST);
        let text = args.iter().map(|a| a.to_string_lossy()).collect::<Vec<_>>().join(" ");
        assert!(
            text.contains("-o StrictHostKeyChecking=yes")
                && text.contains("UserKnownHostsFile=/t/ssh/known_hosts")
        );
        assert!(text.ends_with("admin@127.0.0.1"), "{text}");
    }
}
