//! For tests: an authority and certificates that are as good or as bad as a test wants them.

#![expect(clippy::unwrap_used, reason = "where a test's own certificates cannot be made, the test fails")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use identity::{Identity, PeerRole};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

use crate::{Files, Tls};

/// A day.
pub const DAY: Duration = Duration::from_secs(24 * 3600);

/// An authority of its own.
#[derive(Debug)]
pub struct TestCa {
    issuer: Issuer<'static, KeyPair>,
    /// PEM.
    pub pem: String,
}

/// A certificate and its key, PEM.
#[derive(Clone, Debug)]
pub struct TestLeaf {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

/// How a leaf is to be.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The URIs among its names.
    pub uris: Vec<String>,
    /// Valid from.
    pub from: SystemTime,
    /// Valid to.
    pub to: SystemTime,
}

impl Wanted {
    /// A good one for this peer.
    #[must_use]
    pub fn peer(cluster: &str, role: PeerRole, name: &str) -> Self {
        let now = SystemTime::now();
        let identity = Identity::new(cluster, role, name).unwrap();
        Self { uris: vec![identity.to_string()], from: now - DAY, to: now + 365 * DAY }
    }
}

impl TestCa {
    /// Another one each time.
    #[must_use]
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "authority of a test");
        params.not_before = (SystemTime::now() - 2 * DAY).into();
        params.not_after = (SystemTime::now() + 3650 * DAY).into();
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate as it is wanted; for localhost and 127.0.0.1 to 127.0.0.9.
    #[must_use]
    pub fn issue(&self, wanted: &Wanted) -> TestLeaf {
        let mut params = CertificateParams::default();
        params.subject_alt_names.push(SanType::DnsName("localhost".try_into().unwrap()));
        params.subject_alt_names.extend((1..10).map(|n| SanType::IpAddress([127, 0, 0, n].into())));
        let uris = wanted.uris.iter().map(|uri| SanType::URI(uri.as_str().try_into().unwrap()));
        params.subject_alt_names.extend(uris);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = wanted.from.into();
        params.not_after = wanted.to.into();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        TestLeaf { certificate, key: key.serialize_pem() }
    }

    /// A good certificate for a peer.
    #[must_use]
    pub fn leaf(&self, cluster: &str, role: PeerRole, name: &str) -> TestLeaf {
        self.issue(&Wanted::peer(cluster, role, name))
    }

    /// Writes the authority and a leaf where a node has them.
    #[must_use]
    pub fn write(&self, dir: &Path, leaf: &TestLeaf) -> Files {
        fs::create_dir_all(dir).unwrap();
        let files =
            Files { ca: dir.join("ca.pem"), certificate: dir.join("cert.pem"), key: dir.join("key.pem") };
        fs::write(&files.ca, &self.pem).unwrap();
        fs::write(&files.certificate, &leaf.certificate).unwrap();
        fs::write(&files.key, &leaf.key).unwrap();
        fs::set_permissions(&files.key, fs::Permissions::from_mode(0o600)).unwrap();
        files
    }

    /// All at once: a node's certificate in `dir`, loaded.
    #[must_use]
    pub fn node(&self, dir: &Path, cluster: &str, role: PeerRole, name: &str) -> Tls {
        let files = self.write(dir, &self.leaf(cluster, role, name));
        Tls::load(files, Identity::new(cluster, role, name).unwrap(), SystemTime::now()).unwrap()
    }
}

impl Default for TestCa {
    fn default() -> Self {
        Self::new()
    }
}
