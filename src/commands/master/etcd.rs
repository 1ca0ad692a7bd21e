//! `store.etcd` of `master.yaml`: where the store is that several masters share.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gateway::Shared;
use secrecy::SecretString;
use serde::Deserialize;
use store::{Answer, EtcdOptions, EtcdStore, EtcdTls, Store, StoreError};

use crate::daemon::Span;
use crate::error::CliError;

/// How long a leader that went silent keeps the others from being elected, unless the configuration says it.
const LEASE: Duration = Duration::from_secs(3);
/// etcd gives none that is shorter.
const SHORTEST_LEASE: Duration = Duration::from_secs(2);
/// No certificate or key is larger, in bytes.
const MAX_PEM: u64 = 1 << 20;

/// The members, and how they are spoken to.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EtcdPlace {
    /// Like `https://192.0.2.11:2379`.
    endpoints: Vec<String>,
    /// This master's certificate for etcd, which has an authority of its own.
    tls: EtcdFiles,
    #[serde(default)]
    lease: Option<Span>,
}

/// Where it is.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct EtcdFiles {
    ca: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl EtcdPlace {
    /// The same, when it can be used.
    pub(super) fn checked(&self, file: &Path) -> Result<Self, CliError> {
        let wrong =
            |key: &str, what: &str| CliError::usage(format!("{}: `store.etcd.{key}` {what}", file.display()));
        if self.endpoints.is_empty() {
            return Err(
                wrong("endpoints", "is empty").hint("write each member, like https://192.0.2.11:2379")
            );
        }
        for endpoint in &self.endpoints {
            let host = endpoint.strip_prefix("https://").and_then(|rest| rest.rsplit_once(':'));
            let good = host.is_some_and(|(host, port)| {
                !host.is_empty()
                    && !host.contains(['/', '@'])
                    && port.parse::<u16>().is_ok_and(|port| port > 0)
            });
            if !good {
                return Err(wrong("endpoints", &format!("has {endpoint:?}, which is no member's address"))
                    .hint("write scheme, host and port, like https://192.0.2.11:2379"));
            }
        }
        if self.lease.is_some_and(|Span(lease)| lease < SHORTEST_LEASE) {
            return Err(wrong("lease", "is too short").hint("etcd keeps one for 2s or more"));
        }
        self.tls.read().map_err(|(path, cause)| {
            wrong("tls", &format!("names {}, which cannot be used", path.display()))
                .caused_by(&cause)
                .hint("`clusterctl install` writes certificates, and renews what is about to end")
        })?;
        Ok(self.clone())
    }

    fn options(&self) -> Result<EtcdOptions, StoreError> {
        let tls = self.tls.read().map_err(|(path, cause)| StoreError::Open {
            path,
            action: "read what etcd is to be shown",
            source: Arc::new(cause),
        })?;
        let mut options = EtcdOptions::new(self.endpoints.clone(), Some(tls));
        options.lease = self.lease.map_or(LEASE, |Span(lease)| lease);
        Ok(options)
    }
}

/// Certificates that were replaced on disk count from the next opening on.
impl Shared for EtcdPlace {
    fn open(&self) -> Answer<'_, Arc<dyn Store>> {
        Box::pin(async move {
            let store: Arc<dyn Store> = Arc::new(EtcdStore::connect(self.options()?).await?);
            Ok(store)
        })
    }
}

impl EtcdFiles {
    fn read(&self) -> Result<EtcdTls, (PathBuf, io::Error)> {
        let text = |path: &PathBuf, secret| pem(path, secret).map_err(|cause| (path.clone(), cause));
        Ok(EtcdTls {
            ca: text(&self.ca, false)?,
            certificate: text(&self.certificate, false)?,
            key: SecretString::from(text(&self.key, true)?),
        })
    }
}

/// What stands in a file; one with a secret is for its owner, or for one group to read.
fn pem(path: &Path, secret: bool) -> io::Result<String> {
    let file = fs::File::open(path)?;
    if secret && file.metadata()?.permissions().mode() & 0o037 != 0 {
        let why = "others than its owner can read or change it: `chmod 600` it, and make a new key if somebody may have";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    let mut text = String::new();
    file.take(MAX_PEM).read_to_string(&mut text)?;
    if !text.contains("-----BEGIN ") {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "there is no PEM in it"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(dir: &Path) -> EtcdPlace {
        for name in ["ca.pem", "cert.pem", "key.pem"] {
            fs::write(dir.join(name), "-----BEGIN X-----\n").unwrap();
            fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o600)).unwrap();
        }
        let at = |name: &str| dir.join(name);
        EtcdPlace {
            endpoints: vec!["https://192.0.2.11:2379".to_owned(), "https://[2001:db8::1]:2379".to_owned()],
            tls: EtcdFiles { ca: at("ca.pem"), certificate: at("cert.pem"), key: at("key.pem") },
            lease: None,
        }
    }

    fn refused(place: &EtcdPlace, dir: &Path) -> String {
        let error = place.checked(Path::new("/m.yaml")).unwrap_err();
        let mut lines = vec![error.message];
        lines.extend(error.causes);
        lines.join("; ").replace(&dir.display().to_string(), "DIR")
    }

    #[test]
    fn what_can_be_used_is_taken_with_a_lease_of_three_seconds() {
        let dir = tempfile::tempdir().unwrap();
        let good = place(dir.path());
        let options = good.checked(Path::new("/m.yaml")).unwrap().options().unwrap();
        assert_eq!((options.lease, options.endpoints), (LEASE, good.endpoints));
    }

    #[test]
    fn mistakes_say_which_key_and_what_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let good = place(dir.path());
        let with = |change: &dyn Fn(&mut EtcdPlace)| {
            let mut changed = good.clone();
            change(&mut changed);
            refused(&changed, dir.path())
        };
        insta::assert_snapshot!(with(&|place| place.endpoints.clear()), @"/m.yaml: `store.etcd.endpoints` is empty");
        for bad in [
            "192.0.2.11:2379",
            "http://192.0.2.11:2379",
            "https://192.0.2.11",
            "https://m:0",
            "https://m:1/x",
        ] {
            let text = with(&|place| place.endpoints.push(bad.to_owned()));
            assert!(text.contains(bad) && text.contains("store.etcd.endpoints"), "{text}");
        }
        insta::assert_snapshot!(with(&|place| place.lease = Some(Span(Duration::from_millis(1900)))), @"/m.yaml: `store.etcd.lease` is too short");
        insta::assert_snapshot!(with(&|place| place.tls.ca = dir.path().join("none.pem")), @"/m.yaml: `store.etcd.tls` names DIR/none.pem, which cannot be used; No such file or directory (os error 2)");
        fs::write(dir.path().join("cert.pem"), "").unwrap();
        insta::assert_snapshot!(with(&|_| ()), @"/m.yaml: `store.etcd.tls` names DIR/cert.pem, which cannot be used; there is no PEM in it");
        place(dir.path());
        fs::set_permissions(dir.path().join("key.pem"), fs::Permissions::from_mode(0o604)).unwrap();
        assert!(with(&|_| ()).contains("key.pem, which cannot be used; others than its owner"));
    }
}
