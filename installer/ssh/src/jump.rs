//! Which way leads to a host: the hosts to go through, and what is known of each. Pure.

use std::path::PathBuf;
use std::time::Duration;

use crate::auth::Credentials;
use crate::config::{Local, SshConfig};
use crate::error::ConnectError;
use crate::key::Fingerprint;
use crate::target::{Checking, Hop, Target};

/// Longer ways are circles.
const MAX_HOPS: usize = 16;
/// How long each step may take when nobody says otherwise.
const PATIENCE: Duration = Duration::from_secs(10);

/// One host on the way, or the last.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) credentials: Credentials,
    pub(crate) known_hosts: Vec<PathBuf>,
    pub(crate) pinned: Vec<Fingerprint>,
    pub(crate) checking: Checking,
    pub(crate) patience: Duration,
}

impl Stop {
    /// How people read it.
    pub(crate) fn label(&self) -> String {
        let user = Some(self.credentials.user.clone());
        Hop { user, host: self.host.clone(), port: (self.port != 22).then_some(self.port) }.to_string()
    }
}

/// What goes for all hosts.
pub(crate) struct Usual<'a> {
    pub(crate) config: &'a SshConfig,
    pub(crate) local: &'a Local,
    pub(crate) known_hosts: &'a [PathBuf],
    pub(crate) identities: &'a [PathBuf],
}

/// The way to a target: first the nearest jump host, last the target itself.
pub(crate) fn route(target: &Target, usual: &Usual<'_>) -> Result<Vec<Stop>, ConnectError> {
    let config = usual.config.resolve(&target.host, usual.local);
    let mut hops = if target.jump.is_empty() { config.jump } else { target.jump.clone() };
    // The nearest jump host may itself be behind others. Those further on are reached through their predecessor.
    while let Some(first) = hops.first() {
        let before = usual.config.resolve(&first.host, usual.local).jump;
        if before.is_empty() {
            break;
        }
        if hops.len() + before.len() > MAX_HOPS {
            return Err(ConnectError::TooManyHops { host: target.host.clone(), limit: MAX_HOPS });
        }
        hops.splice(0..0, before);
    }
    let mut stops: Vec<_> = hops.iter().map(|hop| stop(&as_target(hop, target), usual)).collect();
    stops.push(stop(target, usual));
    Ok(stops)
}

/// A jump host as a target. It gets the same keys to try, but never the password: that is for the host alone.
fn as_target(hop: &Hop, target: &Target) -> Target {
    Target {
        user: hop.user.clone(),
        port: hop.port,
        identities: target.identities.clone(),
        identities_only: target.identities_only,
        checking: target.checking,
        connect_timeout: target.connect_timeout,
        ..Target::new(hop.host.clone(), hop.host.clone())
    }
}

fn stop(target: &Target, usual: &Usual<'_>) -> Stop {
    let config = usual.config.resolve(&target.host, usual.local);
    let named: Vec<_> = target.identities.iter().chain(&config.identities).cloned().collect();
    Stop {
        host: config.host_name.unwrap_or_else(|| target.host.clone()),
        port: target.port.or(config.port).unwrap_or(22),
        credentials: Credentials {
            user: target.user.clone().or(config.user).unwrap_or_else(|| usual.local.user.clone()),
            only_named: (target.identities_only || config.identities_only) && !named.is_empty(),
            usual: if named.is_empty() { usual.identities.to_vec() } else { Vec::new() },
            named,
            password: target.password.clone(),
        },
        known_hosts: config.known_hosts.iter().flatten().chain(usual.known_hosts).cloned().collect(),
        pinned: target.host_keys.clone(),
        checking: target.checking,
        patience: target.connect_timeout.or(config.connect_timeout).unwrap_or(PATIENCE),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use secrecy::SecretString;

    use super::*;

    fn labels(text: &str, target: &Target) -> Result<Vec<String>, ConnectError> {
        let config = SshConfig::parse(Path::new("/c"), text, &mut |_| Vec::new());
        let local = Local { home: PathBuf::from("/home/ada"), user: "ada".to_owned() };
        let usual = Usual { config: &config, local: &local, known_hosts: &[], identities: &["/id".into()] };
        route(target, &usual).map(|stops| stops.iter().map(Stop::label).collect())
    }

    fn via(hops: &[&str]) -> Target {
        Target { jump: hops.iter().map(|hop| hop.parse().unwrap()).collect(), ..Target::new("t", "t") }
    }

    #[test]
    fn the_inventory_wins_over_the_configuration_and_hops_have_their_own() {
        let text = "Host t\nHostName 192.0.2.1\nPort 2200\nUser conf\nProxyJump x\nHost b1\nHostName b1.example.org\nUser jumper";
        assert_eq!(labels(text, &Target::new("t", "t")).unwrap(), ["ada@x", "conf@192.0.2.1:2200"]);
        let target = Target { user: Some("root".into()), port: Some(22), ..via(&["b1", "ops@b2:23"]) };
        assert_eq!(labels(text, &target).unwrap(), ["jumper@b1.example.org", "ops@b2:23", "root@192.0.2.1"]);
    }

    #[test]
    fn a_jump_host_behind_others_is_reached_through_them_and_circles_end() {
        let text = "Host a\nProxyJump b\nHost b\nProxyJump c,d";
        assert_eq!(labels(text, &via(&["a"])).unwrap(), ["ada@c", "ada@d", "ada@b", "ada@a", "ada@t"]);
        let circle = labels("Host a\nProxyJump b\nHost b\nProxyJump a", &via(&["a"]));
        assert!(matches!(circle, Err(ConnectError::TooManyHops { .. })));
    }

    #[test]
    fn a_jump_host_never_gets_the_password() {
        let (config, local) = (SshConfig::default(), Local { home: "/".into(), user: "ada".into() });
        let usual = Usual { config: &config, local: &local, known_hosts: &[], identities: &[] };
        let target = Target { password: Some(SecretString::from("secret")), ..via(&["b"]) };
        let stops = route(&target, &usual).unwrap();
        assert!(stops[0].credentials.password.is_none() && stops[1].credentials.password.is_some());
    }
}
