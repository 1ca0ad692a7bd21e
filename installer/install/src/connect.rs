//! From a host of the inventory to what the SSH transport needs to know. Pure.

use std::path::{Path, PathBuf};

use inventory::{Become as Becoming, Host, HostKeyChecking};
use secrecy::SecretString;
use ssh::{Become, Checking, Hop, Target};

/// Where paths of an inventory begin.
#[derive(Clone, Debug)]
pub struct Base {
    /// The operator's home.
    pub home: PathBuf,
    /// The inventory's directory.
    pub dir: PathBuf,
}

impl Base {
    /// A path as it is written: `~` is the home, and what is relative begins at the inventory.
    #[must_use]
    pub fn resolve(&self, written: &str) -> PathBuf {
        match written.strip_prefix('~') {
            Some("") => self.home.clone(),
            Some(rest) if rest.starts_with('/') => self.home.join(rest.trim_start_matches('/')),
            _ => self.dir.join(written),
        }
    }
}

/// A fingerprint in an inventory that is none.
#[derive(Debug, thiserror::Error)]
#[error("{text:?} is no fingerprint of a host key")]
pub struct NoFingerprint {
    text: String,
}

/// Where to go, and how.
///
/// # Errors
/// When the host's pinned key is none.
pub fn target(host: &Host, base: &Base, password: Option<SecretString>) -> Result<Target, NoFingerprint> {
    let ssh = &host.ssh;
    let mut target = Target::new(&host.name, host.address.to_string());
    target.port = ssh.port;
    target.user.clone_from(&ssh.user);
    target.identities = ssh.identity_files.iter().map(|path| base.resolve(path)).collect();
    target.identities_only = ssh.identities_only.unwrap_or(false);
    target.password = password;
    target.jump = ssh.jump.iter().flatten().map(hop).collect();
    let read = |text: &String| text.parse().map_err(|_not_shown| NoFingerprint { text: text.clone() });
    target.host_keys = host.host_keys.iter().map(read).collect::<Result<_, _>>()?;
    target.checking = match ssh.host_key_checking {
        HostKeyChecking::Ask => Checking::Ask,
        HostKeyChecking::Strict => Checking::Strict,
        HostKeyChecking::AcceptNew => Checking::AcceptNew,
    };
    target.connect_timeout = Some(ssh.connect_timeout);
    Ok(target)
}

fn hop(jump: &inventory::Jump) -> Hop {
    Hop { user: jump.user.clone(), host: jump.host.to_string(), port: jump.port }
}

/// How to become root there.
#[must_use]
pub fn becoming(host: &Host, password: Option<SecretString>) -> Become {
    match host.ssh.becoming {
        Becoming::Sudo => Become::Sudo { password },
        Becoming::None => Become::No,
    }
}

/// Files of known hosts that the inventory names, instead of the user's own.
#[must_use]
pub fn known_hosts(hosts: &[Host], base: &Base) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = hosts
        .iter()
        .filter_map(|host| host.ssh.known_hosts.as_deref())
        .map(|path| base.resolve(path))
        .collect();
    files.sort();
    files.dedup();
    files
}

/// Where the operator's state of a cluster is.
#[must_use]
pub fn state_dir(inventory: &Path, cluster: &str) -> PathBuf {
    inventory.parent().unwrap_or(Path::new("")).join(".clusterctl").join(cluster)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_a_host_become_a_target() {
        let text = "\
cluster: {name: demo}
ssh: {user: admin, identity_file: ~/.ssh/id, jump: ['ops@bastion:2222'], host_key_checking: strict}
hosts:
  - {name: m1, address: 192.0.2.11, roles: [master], port: 2022}
  - {name: a1, address: 192.0.2.12, roles: [agent], ssh: {become: none, jump: [], identity_file: keys/a}}
";
        let inventory = inventory::read("i", text.as_bytes(), |_| None).unwrap();
        let base = Base { home: "/home/ada".into(), dir: "/srv/demo".into() };
        let m1 = target(&inventory.hosts[0], &base, None).unwrap();
        assert_eq!((m1.port, m1.user.as_deref(), m1.checking), (Some(2022), Some("admin"), Checking::Strict));
        assert_eq!(m1.identities, [Path::new("/home/ada/.ssh/id")]);
        assert_eq!(m1.jump[0].to_string(), "ops@bastion:2222");
        assert!(matches!(becoming(&inventory.hosts[0], None), Become::Sudo { password: None }));
        let a1 = target(&inventory.hosts[1], &base, None).unwrap();
        assert_eq!(a1.identities, [Path::new("/srv/demo/keys/a")]);
        assert!(a1.jump.is_empty() && matches!(becoming(&inventory.hosts[1], None), Become::No));
    }

    #[test]
    fn the_state_lies_beside_the_inventory() {
        assert_eq!(
            state_dir(Path::new("/srv/x/inventory.yaml"), "demo"),
            Path::new("/srv/x/.clusterctl/demo")
        );
        assert_eq!(state_dir(Path::new("inventory.yaml"), "demo"), Path::new(".clusterctl/demo"));
    }
}
