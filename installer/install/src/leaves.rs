//! Which certificates a host is to have, and whether it keeps those that it has. Pure, but for randomness.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use identity::{Identity, PeerRole};
use inventory::{Host, Inventory};
use pki::{Ca, Draw, PkiError, Request, Verdict, judge};

use crate::desired::{CA, Daemon, Leaf};
use crate::facts::Facts;
use crate::item::Sum;
use crate::preflight::{Finding, Level};

/// What came of a host's certificates.
#[derive(Debug, Default)]
pub struct Leaves {
    /// One for each daemon.
    pub all: BTreeMap<Daemon, Leaf>,
    /// Why there are new ones, in words.
    pub renewed: Vec<String>,
    /// What stops an install.
    pub findings: Vec<Finding>,
}

/// Why a certificate cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum LeafError {
    /// A name that cannot stand in one.
    #[error(transparent)]
    Name(#[from] identity::IdentityError),
    /// Anything else.
    #[error(transparent)]
    Pki(#[from] PkiError),
}

/// What a certificate of a host is to say.
///
/// # Errors
/// When a name cannot stand in a certificate.
pub fn request(inventory: &Inventory, host: &Host, daemon: Daemon) -> Result<Request, LeafError> {
    let role = match daemon {
        Daemon::Master => PeerRole::Master,
        Daemon::Agent => PeerRole::Agent,
    };
    let identity = Identity::new(&inventory.cluster.name, role, &host.name)?;
    let mut request =
        Request::new(identity).host(&host.address.to_string())?.host(&host.cluster_address().to_string())?;
    if daemon == Daemon::Master {
        request = request.host("localhost")?.host("127.0.0.1")?;
    }
    if let Some(hostname) = &host.hostname {
        request = request.host(hostname)?;
    }
    Ok(request)
}

/// Looks at what the host has, and issues what it lacks.
///
/// # Errors
/// When a certificate cannot be made.
pub fn leaves(
    inventory: &Inventory,
    host: &Host,
    facts: &Facts,
    ca: &Ca,
    now: SystemTime,
) -> Result<Leaves, LeafError> {
    let mut leaves = Leaves::default();
    // The authority that the host believes, where one was put there.
    if let Some(theirs) = facts.paths.get(CA).and_then(|found| found.content.as_deref())
        && theirs.trim() != ca.certificate().trim()
    {
        leaves.findings.push(foreign(host, "it believes another cluster's certificate authority"));
    }
    for daemon in Daemon::of(host) {
        let wanted = request(inventory, host, daemon)?;
        let found = facts.paths.get(daemon.leaf());
        let certificate = found.and_then(|found| found.certificate.as_deref());
        let reason = match (judge(certificate, ca, &wanted, now), found.and_then(|found| found.sum.clone())) {
            (Verdict::Keep { .. }, Some(file)) if was_put(facts, daemon.leaf(), &file) => {
                let certificate = certificate.unwrap_or_default().to_owned();
                leaves.all.insert(daemon, Leaf::Kept { certificate, file });
                continue;
            }
            // The certificate is good; of the key behind it nothing is known.
            (Verdict::Keep { .. }, Some(_)) => "it is not the file that was put there".to_owned(),
            (Verdict::Keep { .. }, None) => "it cannot be read whole".to_owned(),
            (Verdict::Foreign { issuer, .. }, _) => {
                leaves.findings.push(foreign(host, &format!("it has a certificate of {issuer}")));
                continue;
            }
            (Verdict::Renew(reason), _) => reason.to_string(),
        };
        let leaf = ca.issue(&wanted, now, Draw::new()?)?;
        leaves.renewed.push(format!("{}: {reason}", daemon.leaf()));
        leaves.all.insert(daemon, Leaf::New { certificate: leaf.certificate, key: Arc::new(leaf.key) });
    }
    Ok(leaves)
}

fn was_put(facts: &Facts, path: &str, file: &Sum) -> bool {
    facts.manifest.files.get(path).is_none_or(|sums| sums.contains(file))
}

fn foreign(host: &Host, what: &str) -> Finding {
    Finding {
        host: host.name.clone(),
        check: "cluster",
        level: Level::Error,
        what: format!("it belongs to another cluster: {what}"),
        remedy: "`clusterctl reset` with that cluster's inventory frees it; or, when this is the same cluster, bring back its \
                 directory .clusterctl beside the inventory"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::facts::{Found, Kind};
    use crate::item::Access;
    use crate::manifest::Entry;
    use pki::Kind as CaKind;
    use secrecy::ExposeSecret as _;

    const INVENTORY: &str = "\
cluster: {name: demo}
hosts:
  - {name: m1, address: 192.0.2.11, private_address: 198.51.100.11, roles: [master, agent]}
";

    fn found(leaf: &Leaf) -> Found {
        let Leaf::New { certificate, key } = leaf else { panic!("it is new") };
        Found {
            kind: Kind::File,
            access: Access::root(0o600),
            size: 1,
            sum: Some(Sum::of(format!("{certificate}{}", key.expose_secret()).as_bytes())),
            content: None,
            target: None,
            certificate: Some(certificate.clone()),
        }
    }

    #[test]
    fn certificates_are_made_kept_renewed_and_another_clusters_refused() {
        let inventory = inventory::read("i", INVENTORY.as_bytes(), |_| None).unwrap();
        let host = &inventory.hosts[0];
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_660_530);
        let ca = Ca::create(CaKind::Cluster, "demo", now, Draw::new().unwrap()).unwrap();
        let first = leaves(&inventory, host, &Facts::default(), &ca, now).unwrap();
        assert_eq!((first.all.len(), first.renewed.len(), first.findings.len()), (2, 2, 0));

        let mut facts = Facts::default();
        for (daemon, leaf) in &first.all {
            facts.paths.insert(daemon.leaf().to_owned(), found(leaf));
        }
        let second = leaves(&inventory, host, &facts, &ca, now + Duration::from_secs(86_400)).unwrap();
        assert!(
            second.renewed.is_empty() && second.all.values().all(|leaf| matches!(leaf, Leaf::Kept { .. }))
        );

        facts.manifest.read(&Entry::File(Daemon::Agent.leaf(), &Sum::of(b"another")).line());
        let third = leaves(&inventory, host, &facts, &ca, now).unwrap();
        assert_eq!(third.renewed.len(), 1, "a file that is not the one that was put there is replaced");

        let later = now + Duration::from_secs(340 * 86_400);
        assert_eq!(leaves(&inventory, host, &facts, &ca, later).unwrap().renewed.len(), 2);

        let other = Ca::create(CaKind::Cluster, "demo", now, Draw::new().unwrap()).unwrap();
        let foreign = leaves(&inventory, host, &facts, &other, now).unwrap();
        assert_eq!((foreign.all.len(), foreign.findings.len()), (0, 2), "{:?}", foreign.findings);
    }
}
