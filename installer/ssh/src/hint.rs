//! What to do about a connection that failed.

use crate::error::{ConnectError, Phase};
use crate::known_hosts::{Place, host_name};

impl ConnectError {
    /// What to do about it: a sentence, with the command to type where there is one.
    pub fn hint(&self) -> String {
        match self {
            Self::Unresolvable { .. } => "check the spelling of `address` and your DNS, or write the IP address".into(),
            Self::Refused { .. } => "check that sshd runs there, and the port".into(),
            Self::Unreachable { .. } => "check the address and the routes to it; a jump host may be needed".into(),
            Self::TimedOut { phase: Phase::Tcp, .. } => {
                "check that the host is up, its address, and firewalls on the way; a jump host may be needed".into()
            }
            Self::TimedOut { phase: Phase::Auth, .. } => {
                "the host may be overloaded, or its logins wait for a directory service; try `ssh -v`".into()
            }
            Self::TimedOut { .. } => {
                "something accepts connections there but does not serve them: check sshd and its load".into()
            }
            Self::Dropped { phase: Phase::Auth, .. } => {
                "the server gave up on the login: name the right key with `identity_file`, so that fewer are tried".into()
            }
            Self::Dropped { .. } => {
                "the server turns connections away: MaxStartups, a deny list, or a firewall; see its log".into()
            }
            Self::Protocol { .. } => "check that the port is that of an SSH server".into(),
            Self::NoCommonAlgorithm { .. } => "update the SSH server there".into(),
            Self::UnknownHostKey(unknown) => format!(
                "compare the fingerprint with `ssh-keygen -lf /etc/ssh/ssh_host_{}_key.pub` on the host, then pin it as \
                 `host_key: \"{}\"`, or accept it when asked",
                short(unknown.key.kind()),
                unknown.key.fingerprint(),
            ),
            Self::ChangedHostKey { host, port, recorded, .. } => format!(
                "if the host was set up anew, {}; if not, somebody else may be answering for it",
                forget(host, *port, recorded)
            ),
            Self::OtherKeyType { host, port, recorded, .. } => format!(
                "a host that is known does not change its type of key by itself; if it was set up anew, {}",
                forget(host, *port, recorded)
            ),
            Self::RevokedHostKey { .. } => "give the host new keys: this one must not be trusted any more".into(),
            Self::HostCertificate { found, .. } => format!("pin the plain key, if it is the right one: `host_key: \"{found}\"`"),
            Self::WrongPinnedKey { .. } => {
                "if the host was set up anew, write its new fingerprint as `host_key`; if not, somebody else may be \
                 answering for it"
                    .into()
            }
            Self::KnownHosts(error) => format!("make {} readable, or name other files", error.path.display()),
            Self::AuthRefused { user, host, .. } => format!(
                "check the user, put a public key into its authorized_keys with `ssh-copy-id {user}@{host}`, or name the \
                 key with `identity_file`"
            ),
            Self::TooManyHops { .. } => "look for a circle among ProxyJump entries of ssh_config".into(),
            Self::Jump { source, .. } => source.hint(),
            Self::NoForwarding { .. } => {
                "check the address as seen from the jump host, and that its sshd allows it (AllowTcpForwarding)".into()
            }
            Self::Unreadable { path, .. } => format!("check that {} is there and that it is a private key", path.display()),
        }
    }
}

/// The command that takes a host out of the first file that names it.
fn forget(host: &str, port: u16, recorded: &[Place]) -> String {
    let name = quoted(&host_name(host, port));
    match recorded.first() {
        Some(place) => {
            format!(
                "forget its old key: `ssh-keygen -f {} -R {name}`",
                quoted(&place.path.display().to_string())
            )
        }
        None => format!("forget its old key: `ssh-keygen -R {name}`"),
    }
}

fn quoted(text: &str) -> String {
    if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/@%+=:,".contains(&byte)) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// The part of a type that stands in the name of its file.
fn short(kind: &str) -> &str {
    match kind {
        "ssh-rsa" => "rsa",
        "ssh-ed25519" => "ed25519",
        kind if kind.starts_with("ecdsa-") => "ecdsa",
        _ => "*",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::error::UnknownKey;
    use crate::key::HostKey;
    use crate::key::tests::{ED25519, ED25519_OTHER};

    fn recorded() -> Vec<Place> {
        let key: HostKey = ED25519_OTHER.parse().unwrap();
        let path = Arc::new("/home/ada/my hosts".into());
        vec![Place { path, line: 7, kind: key.kind().to_owned(), fingerprint: key.fingerprint() }]
    }

    #[test]
    fn a_changed_key_says_where_both_fingerprints_and_the_command() {
        let (new, old): (HostKey, HostKey) = (ED25519.parse().unwrap(), ED25519_OTHER.parse().unwrap());
        let found = new.fingerprint();
        let error =
            ConnectError::ChangedHostKey { host: "m1".into(), port: 2222, found, recorded: recorded() };
        assert_eq!(
            error.to_string(),
            format!(
                "m1 has another host key than is recorded: {found}, but /home/ada/my hosts line 7 has ssh-ed25519 {}",
                old.fingerprint()
            )
        );
        assert!(
            error.hint().contains("`ssh-keygen -f '/home/ada/my hosts' -R '[m1]:2222'`"),
            "{}",
            error.hint()
        );
    }

    #[test]
    fn a_fault_of_a_jump_host_keeps_its_hint_and_its_question() {
        let key = UnknownKey { host: "b".into(), port: 22, key: ED25519.parse().unwrap() };
        let inner = ConnectError::UnknownHostKey(key.clone());
        let error = ConnectError::Jump { hop: "ops@b".into(), source: Arc::new(inner.clone()) };
        assert_eq!(error.hint(), inner.hint());
        assert_eq!(error.unknown_key(), Some(&key));
        assert!(inner.hint().contains("ssh_host_ed25519_key.pub"));
    }

    #[test]
    fn a_refused_login_lists_all_that_was_tried() {
        let error = ConnectError::AuthRefused {
            host: "m1".into(),
            user: "root".into(),
            tried: vec!["key /k (SHA256:a)".into(), "password".into()],
            accepts: vec!["publickey".into()],
        };
        assert_eq!(
            error.to_string(),
            "m1 does not let root in; tried key /k (SHA256:a); password; it takes publickey"
        );
    }
}
