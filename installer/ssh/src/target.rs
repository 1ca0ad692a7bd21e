//! Where to go, and how.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use secrecy::SecretString;
use thiserror::Error;

use crate::key::Fingerprint;

/// What happens to a host key that is not recorded. A key that contradicts a record is refused whatever this says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Checking {
    /// The caller asks: [`crate::ConnectError::UnknownHostKey`] carries what there is to ask.
    #[default]
    Ask,
    /// It is refused. The same error, for a caller that does not ask.
    Strict,
    /// It is written down and taken.
    AcceptNew,
}

/// A host that others are reached through.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Hop {
    /// The user there, if not the default one.
    pub user: Option<String>,
    /// Its name or address.
    pub host: String,
    /// Its port, if not the default one.
    pub port: Option<u16>,
}

/// A text that is no hop.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text:?} is no jump host: write [user@]host[:port]")]
pub struct HopError {
    /// What was given.
    pub text: String,
}

impl FromStr for Hop {
    type Err = HopError;

    fn from_str(text: &str) -> Result<Self, HopError> {
        let wrong = || HopError { text: text.to_owned() };
        let rest = text.strip_prefix("ssh://").unwrap_or(text);
        let (user, rest) = match rest.rsplit_once('@') {
            Some(("", _)) => return Err(wrong()),
            Some((user, rest)) => (Some(user.to_owned()), rest),
            None => (None, rest),
        };
        let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, rest)) => (host, Some(rest.strip_prefix(':').ok_or_else(wrong)?)),
            // More than one colon: an IPv6 address as it stands.
            None if rest.matches(':').count() > 1 => (rest, None),
            None => rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
        };
        // A colon stands in an IPv6 address alone, which has two at least.
        if host.is_empty()
            || host.matches(':').count() == 1
            || host.contains(|c: char| c.is_whitespace() || c.is_control() || "/,[]@".contains(c))
        {
            return Err(wrong());
        }
        let port = match port {
            Some(port) => Some(port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?),
            None => None,
        };
        Ok(Self { user, host: host.to_owned(), port })
    }
}

impl fmt::Display for Hop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        match (self.port, self.host.contains(':')) {
            (Some(port), true) => write!(f, "[{}]:{port}", self.host),
            (Some(port), false) => write!(f, "{}:{port}", self.host),
            (None, _) => write!(f, "{}", self.host),
        }
    }
}

/// A host to connect to. What is not said here is taken from the user's `ssh_config`, then from defaults.
#[derive(Debug, Clone)]
pub struct Target {
    /// How people call it: in errors and logs.
    pub name: String,
    /// Its name or address, or its alias in the configuration.
    pub host: String,
    /// Its port; 22 when nothing says otherwise.
    pub port: Option<u16>,
    /// The user to log in as; whoever runs this when nothing says otherwise.
    pub user: Option<String>,
    /// Key files to log in with. They are tried first, in this order.
    pub identities: Vec<PathBuf>,
    /// Whether no other keys are tried.
    pub identities_only: bool,
    /// A password, tried after all keys.
    pub password: Option<SecretString>,
    /// Hosts to go through, the nearest first. When empty, the configuration's `ProxyJump`.
    pub jump: Vec<Hop>,
    /// The fingerprints of which its key must have one, if there are any. No file of known hosts counts then.
    pub host_keys: Vec<Fingerprint>,
    /// What happens to a key that is not recorded; also to those of the hosts on the way.
    pub checking: Checking,
    /// How long each step of connecting may take; the configuration's, or 10 seconds when nothing says otherwise.
    pub connect_timeout: Option<Duration>,
}

impl Target {
    /// A host with nothing said about it but its name and address.
    pub fn new(name: impl Into<String>, host: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            host: host.into(),
            port: None,
            user: None,
            identities: Vec::new(),
            identities_only: false,
            password: None,
            jump: Vec::new(),
            host_keys: Vec::new(),
            checking: Checking::default(),
            connect_timeout: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hops_are_written_as_ssh_takes_them() {
        for (text, user, host, port) in [
            ("bastion", None, "bastion", None),
            ("ops@bastion.example.org", Some("ops"), "bastion.example.org", None),
            ("ops@bastion:2222", Some("ops"), "bastion", Some(2222)),
            ("a@b@c:1", Some("a@b"), "c", Some(1)),
            ("2001:db8::1", None, "2001:db8::1", None),
            ("u@[2001:db8::1]:22", Some("u"), "2001:db8::1", Some(22)),
            ("[::1]", None, "::1", None),
            ("ssh://u@h:3", Some("u"), "h", Some(3)),
        ] {
            let hop = Hop { user: user.map(str::to_owned), host: host.to_owned(), port };
            assert_eq!(text.parse(), Ok(hop.clone()), "{text}");
            assert_eq!(hop.to_string().parse(), Ok(hop), "{text}");
        }
        for text in
            ["", "@h", "u@", "h:", "h:0", "h:x", "h:65536", "[::1]x", "[]:1", "a b", "a,b", "a/b", "h\n"]
        {
            assert_eq!(text.parse::<Hop>(), Err(HopError { text: text.to_owned() }), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_for_a_hop_is_one_when_written_again(text in "[a-z@:\\[\\]0-9.]{0,16}") {
            if let Ok(hop) = text.parse::<Hop>() {
                prop_assert_eq!(hop.to_string().parse(), Ok(hop));
            }
        }
    }
}
