//! Which certificates a host is to have, and whether it keeps those that it has. Pure, but for randomness.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use identity::{Identity, PeerRole};
use inventory::{Host, Inventory};
use pki::{Draw, Kind, Pki, PkiError, Request, Usage, Verdict, judge};

use crate::desired::{CA, Credential, ETCD_CA, Leaf};
use crate::facts::Facts;
use crate::item::Sum;
use crate::preflight::{Finding, Level};

/// What came of a host's certificates.
#[derive(Debug, Default)]
pub struct Leaves {
    /// One for each that the host is to have.
    pub all: BTreeMap<Credential, Leaf>,
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
pub fn request(inventory: &Inventory, host: &Host, credential: Credential) -> Result<Request, LeafError> {
    // Etcd knows no roles: with its authority's certificates one is let in or not.
    let role = match credential {
        Credential::Coordinator | Credential::EtcdClient | Credential::Master => PeerRole::Master,
        Credential::Agent => PeerRole::Agent,
    };
    let request = Request::new(Identity::new(&inventory.cluster.name, role, &host.name)?);
    if credential == Credential::EtcdClient {
        // Without names and addresses etcd does not compare them with where it is called from.
        return Ok(request.usage(Usage::Client));
    }
    let mut request = request.host(&host.address.to_string())?.host(&host.cluster_address().to_string())?;
    if credential == Credential::Master {
        request = request.host("localhost")?.host("127.0.0.1")?;
    }
    if let Some(hostname) = host.hostname.as_ref().filter(|_| credential.authority() == Kind::Cluster) {
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
    pki: &Pki,
    now: SystemTime,
) -> Result<Leaves, LeafError> {
    let mut leaves = Leaves::default();
    // The authorities that the host believes, where some were put there.
    let believed =
        [(CA, &pki.cluster, "another cluster's"), (ETCD_CA, &pki.etcd, "another cluster's etcd's")];
    for (path, ca, whose) in believed {
        if let Some(theirs) = facts.paths.get(path).and_then(|found| found.content.as_deref())
            && theirs.trim() != ca.certificate().trim()
        {
            leaves.findings.push(foreign(host, &format!("it believes {whose} certificate authority")));
        }
    }
    for credential in Credential::of(inventory, host) {
        let ca = match credential.authority() {
            Kind::Cluster => &pki.cluster,
            Kind::Etcd => &pki.etcd,
        };
        let wanted = request(inventory, host, credential)?;
        let found = facts.paths.get(credential.leaf());
        let certificate = found.and_then(|found| found.certificate.as_deref());
        let reason = match (judge(certificate, ca, &wanted, now), found.and_then(|found| found.sum.clone())) {
            (Verdict::Keep { .. }, Some(file)) if was_put(facts, credential.leaf(), &file) => {
                let certificate = certificate.unwrap_or_default().to_owned();
                leaves.all.insert(credential, Leaf::Kept { certificate, file });
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
        leaves.renewed.push(format!("{}: {reason}", credential.leaf()));
        leaves.all.insert(credential, Leaf::New { certificate: leaf.certificate, key: Arc::new(leaf.key) });
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
    use secrecy::ExposeSecret as _;

    const INVENTORY: &str = "\
cluster: {name: demo}
hosts:
  - {name: m1, address: 192.0.2.11, private_address: 198.51.100.11, roles: [master, agent]}
";

    fn authorities(now: SystemTime) -> Pki {
        Pki::create("demo", now, [Draw::new().unwrap(), Draw::new().unwrap()]).unwrap()
    }

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
        let ca = authorities(now);
        let first = leaves(&inventory, host, &Facts::default(), &ca, now).unwrap();
        assert_eq!((first.all.len(), first.renewed.len(), first.findings.len()), (2, 2, 0));

        let mut facts = Facts::default();
        for (credential, leaf) in &first.all {
            facts.paths.insert(credential.leaf().to_owned(), found(leaf));
        }
        let second = leaves(&inventory, host, &facts, &ca, now + Duration::from_secs(86_400)).unwrap();
        assert!(
            second.renewed.is_empty() && second.all.values().all(|leaf| matches!(leaf, Leaf::Kept { .. }))
        );

        facts.manifest.read(&Entry::File(Credential::Agent.leaf(), &Sum::of(b"another")).line());
        let third = leaves(&inventory, host, &facts, &ca, now).unwrap();
        assert_eq!(third.renewed.len(), 1, "a file that is not the one that was put there is replaced");

        let later = now + Duration::from_secs(340 * 86_400);
        assert_eq!(leaves(&inventory, host, &facts, &ca, later).unwrap().renewed.len(), 2);

        let other = authorities(now);
        let foreign = leaves(&inventory, host, &facts, &other, now).unwrap();
        assert_eq!((foreign.all.len(), foreign.findings.len()), (0, 2), "{:?}", foreign.findings);
    }
    #[test]
    fn coordinators_and_masters_alone_have_certificates_of_etcd() {
        let text = "\
cluster: {name: demo}
hosts:
  - {name: c1, address: 192.0.2.1, private_address: 198.51.100.1, hostname: one.example.org, roles: [coordinator]}
  - {name: m1, address: 192.0.2.11, roles: [master, agent]}
  - {name: a1, address: 192.0.2.21, roles: [agent]}
";
        let inventory = inventory::read("i", text.as_bytes(), |_| None).unwrap();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_660_530);
        let pki = authorities(now);
        let of = |name: &str| {
            leaves(&inventory, inventory.host(name).unwrap(), &Facts::default(), &pki, now).unwrap().all
        };
        let kinds = |name: &str| of(name).into_keys().collect::<Vec<_>>();
        assert_eq!(kinds("c1"), [Credential::Coordinator]);
        assert_eq!(kinds("m1"), [Credential::EtcdClient, Credential::Master, Credential::Agent]);
        assert_eq!(kinds("a1"), [Credential::Agent]);
        let names = |name: &str, credential| {
            let request = request(&inventory, inventory.host(name).unwrap(), credential).unwrap();
            request.names().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            names("c1", Credential::Coordinator),
            "clusterctl://demo/master/c1 192.0.2.1 198.51.100.1"
        );
        assert_eq!(names("m1", Credential::EtcdClient), "clusterctl://demo/master/m1");

        // Each is judged by its own authority: one of the other kind is none of ours.
        let mut facts = Facts::default();
        for (credential, leaf) in of("m1") {
            facts.paths.insert(credential.leaf().to_owned(), found(&leaf));
        }
        let host = inventory.host("m1").unwrap();
        assert!(leaves(&inventory, host, &facts, &pki, now).unwrap().renewed.is_empty());
        let swapped = facts.paths[Credential::Master.leaf()].clone();
        facts.paths.insert(Credential::EtcdClient.leaf().to_owned(), swapped);
        assert_eq!(leaves(&inventory, host, &facts, &pki, now).unwrap().findings.len(), 1);
        let mut theirs = found(&of("m1")[&Credential::Master]);
        theirs.content = Some("another authority".to_owned());
        facts.paths.insert(ETCD_CA.to_owned(), theirs);
        assert_eq!(leaves(&inventory, host, &facts, &pki, now).unwrap().findings.len(), 2);
    }
}
