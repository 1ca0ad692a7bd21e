//! Certificates as TLS and other programs see them, and the table of judgements.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use identity::{Identity, PeerRole};
use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use secrecy::ExposeSecret as _;

use crate::*;

const DAY: Duration = Duration::from_secs(86_400);

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_790_000_000)
}

fn ca_of(cluster: &str, kind: Kind) -> Ca {
    Ca::create(kind, cluster, now(), Draw::new().unwrap()).unwrap()
}

fn ca() -> Ca {
    ca_of("demo", Kind::Cluster)
}

fn request(role: PeerRole, name: &str, hosts: &[&str]) -> Request {
    let request = Request::new(Identity::new("demo", role, name).unwrap());
    hosts.iter().fold(request, |request, host| request.host(host).unwrap())
}

fn issue(ca: &Ca, request: &Request, at: SystemTime) -> Leaf {
    ca.issue(request, at, Draw::new().unwrap()).unwrap()
}

fn uri(text: &str) -> AltName {
    AltName::Uri(text.to_owned())
}

// ---- judgements -------------------------------------------------------------------------------

#[test]
fn what_was_just_issued_is_kept_until_thirty_days_before_its_end() {
    let (ca, wanted) = (ca(), request(PeerRole::Master, "m1", &["192.0.2.11", "m1.example"]));
    let leaf = issue(&ca, &wanted, now());
    assert_eq!(leaf.expires, now() + 365 * DAY);
    let second = Duration::from_secs(1);
    let judged = |at| judge(Some(&leaf.certificate), &ca, &wanted, at);
    let keep = Verdict::Keep { expires: leaf.expires };
    for (at, verdict) in [
        (
            now() - Duration::from_secs(3601),
            Verdict::Renew(Reason::NotYetValid { from: now() - Duration::from_secs(3600) }),
        ),
        (now() - Duration::from_secs(3600), keep.clone()),
        (now(), keep.clone()),
        (leaf.expires - 30 * DAY, keep),
        (leaf.expires - 30 * DAY + second, Verdict::Renew(Reason::ExpiresSoon { days: 29 })),
        (leaf.expires - second, Verdict::Renew(Reason::ExpiresSoon { days: 0 })),
        (leaf.expires, Verdict::Renew(Reason::Expired { on: leaf.expires })),
        (leaf.expires + 400 * DAY, Verdict::Renew(Reason::Expired { on: leaf.expires })),
    ] {
        assert_eq!(judged(at), verdict);
    }
}

#[test]
fn other_names_and_other_usages_are_renewed_and_named() {
    let ca = ca();
    let has = request(PeerRole::Agent, "a1", &["192.0.2.21", "a1"]);
    let leaf = issue(&ca, &has, now());
    let other = |missing: &[AltName], extra: &[AltName]| {
        Verdict::Renew(Reason::NamesDiffer { missing: missing.to_vec(), extra: extra.to_vec() })
    };
    let ip = |text: &str| AltName::Ip(text.parse().unwrap());
    let dns = |text: &str| AltName::Dns(text.to_owned());
    for (wanted, verdict) in [
        (request(PeerRole::Agent, "a1", &["192.0.2.21", "A1."]), Verdict::Keep { expires: leaf.expires }),
        (request(PeerRole::Agent, "a1", &["192.0.2.21", "a1", "::1"]), other(&[ip("::1")], &[])),
        (request(PeerRole::Agent, "a1", &["a1"]), other(&[], &[ip("192.0.2.21")])),
        (
            request(PeerRole::Agent, "a1", &["192.0.2.22", "a1"]),
            other(&[ip("192.0.2.22")], &[ip("192.0.2.21")]),
        ),
        (
            request(PeerRole::Agent, "a1", &["192.0.2.21", "a1", "a1.example"]),
            other(&[dns("a1.example")], &[]),
        ),
        (
            request(PeerRole::Agent, "a2", &["192.0.2.21", "a1"]),
            other(&[uri("clusterctl://demo/agent/a2")], &[uri("clusterctl://demo/agent/a1")]),
        ),
        (
            request(PeerRole::Master, "a1", &["192.0.2.21", "a1"]),
            other(&[uri("clusterctl://demo/master/a1")], &[uri("clusterctl://demo/agent/a1")]),
        ),
        (has.clone().usage(Usage::Client), Verdict::Renew(Reason::UsageDiffers)),
    ] {
        assert_eq!(judge(Some(&leaf.certificate), &ca, &wanted, now()), verdict, "{wanted:?}");
    }
}

#[test]
fn what_is_missing_or_no_certificate_is_renewed() {
    let (ca, wanted) = (ca(), request(PeerRole::Agent, "a1", &[]));
    let leaf = issue(&ca, &wanted, now());
    for nothing in [None, Some(""), Some(" \n")] {
        assert_eq!(judge(nothing, &ca, &wanted, now()), Verdict::Renew(Reason::Missing));
    }
    let half = &leaf.certificate[..leaf.certificate.len() / 2];
    for text in [
        "no PEM",
        half,
        leaf.key.expose_secret(),
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        let judged = judge(Some(text), &ca, &wanted, now());
        assert!(matches!(judged, Verdict::Renew(Reason::Unreadable { .. })), "{text}: {judged:?}");
    }
}

#[test]
fn each_changed_bit_of_a_certificate_is_noticed() {
    let (ca, wanted) = (ca(), request(PeerRole::Agent, "a1", &["192.0.2.21"]));
    let der = CertificateDer::from_pem_slice(issue(&ca, &wanted, now()).certificate.as_bytes()).unwrap();
    for place in 0..der.len() {
        let mut changed = der.to_vec();
        changed[place] ^= 1;
        let pem = pem_of(&changed);
        let judged = judge(Some(&pem), &ca, &wanted, now());
        assert!(!matches!(judged, Verdict::Keep { .. }), "byte {place} of {}", der.len());
    }
    assert!(matches!(judge(Some(&pem_of(&der)), &ca, &wanted, now()), Verdict::Keep { .. }));
}

/// With the textbook's base64, so that no library of the crate's own is trusted with both directions.
fn pem_of(der: &[u8]) -> String {
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in der.chunks(48) {
        for three in line.chunks(3) {
            let bits =
                three.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
            for place in 0..4 {
                let sign = SIGNS[(bits >> (18 - 6 * place) & 63) as usize];
                text.push(if place > three.len() { '=' } else { char::from(sign) });
            }
        }
        text.push('\n');
    }
    text + "-----END CERTIFICATE-----\n"
}

#[test]
fn a_certificate_of_another_authority_is_foreign_whatever_else_is_wrong_with_it() {
    let (ours, wanted) = (ca(), request(PeerRole::Agent, "a1", &["192.0.2.21"]));
    // The same cluster's name, made anew after the directory was lost; another cluster; etcd's.
    let prod = ca_of("prod", Kind::Cluster);
    let of_prod = Request::new(Identity::new("prod", PeerRole::Agent, "a1").unwrap());
    for (other, leaf) in
        [(ca(), None), (prod.clone(), Some(issue(&prod, &of_prod, now()))), (ca_of("demo", Kind::Etcd), None)]
    {
        let leaf = leaf.unwrap_or_else(|| issue(&other, &wanted, now()));
        for at in [now(), leaf.expires + DAY, now() - DAY] {
            let judged = judge(Some(&leaf.certificate), &ours, &wanted, at);
            let der = CertificateDer::from_pem_slice(leaf.certificate.as_bytes()).unwrap();
            let Verdict::Foreign { issuer, fingerprint } = &judged else { panic!("{judged:?}") };
            assert!(issuer.contains(&format!("{} {} CA ", other.cluster(), other.kind())), "{issuer}");
            assert_eq!(*fingerprint, Fingerprint::of(&der));
            assert!(judged.to_string().contains("another authority"), "{judged}");
        }
    }
}

#[test]
fn the_authoritys_own_certificate_is_no_leaf() {
    let ca = ca();
    let judged = judge(Some(ca.certificate()), &ca, &request(PeerRole::Agent, "a1", &[]), now());
    assert!(matches!(judged, Verdict::Renew(Reason::NamesDiffer { .. })), "{judged:?}");
}

#[test]
fn a_leaf_that_ends_with_its_authority_is_not_renewed_for_nothing() {
    let (ca, wanted) = (ca(), request(PeerRole::Agent, "a1", &[]));
    let late = ca.expires() - 20 * DAY;
    let leaf = issue(&ca, &wanted, late);
    assert_eq!(leaf.expires, ca.expires());
    assert_eq!(judge(Some(&leaf.certificate), &ca, &wanted, late), Verdict::Keep { expires: ca.expires() });
    let over = judge(Some(&leaf.certificate), &ca, &wanted, ca.expires());
    assert_eq!(over, Verdict::Renew(Reason::Expired { on: ca.expires() }));
}

#[test]
fn each_reason_says_what_is_wrong() {
    let said = |reason: Reason| Verdict::Renew(reason).to_string();
    let names = |missing: &[AltName], extra: &[AltName]| {
        said(Reason::NamesDiffer { missing: missing.to_vec(), extra: extra.to_vec() })
    };
    assert_eq!(said(Reason::ExpiresSoon { days: 12 }), "it expires in 12 days");
    assert_eq!(said(Reason::Expired { on: now() }), "it expired on Mon, 21 Sep 2026 14:13:20 +0000");
    assert_eq!(names(&[uri("u")], &[]), "it is not for u");
    assert_eq!(names(&[], &[uri("u"), uri("v")]), "it is still for u, v");
    assert_eq!(names(&[uri("u")], &[uri("v")]), "it is not for u, but for v");
}

// ---- issuing ----------------------------------------------------------------------------------

#[test]
fn nothing_is_issued_outside_of_the_authoritys_life_or_for_another_cluster() {
    let (ca, wanted) = (ca(), request(PeerRole::Agent, "a1", &[]));
    let refused = |request: &Request, at| ca.issue(request, at, Draw::new().unwrap()).unwrap_err();
    assert!(matches!(refused(&wanted, ca.expires()), PkiError::Expired { kind: Kind::Cluster, .. }));
    let behind = refused(&wanted, now() - 2 * DAY);
    assert!(matches!(behind, PkiError::ClockBehind { .. }));
    assert!(behind.to_string().contains("set its clock"), "{behind}");
    let other = Request::new(Identity::new("prod", PeerRole::Agent, "a1").unwrap());
    assert!(matches!(refused(&other, now()), PkiError::OtherCluster { .. }));
}

#[test]
fn a_name_that_no_certificate_can_carry_makes_no_authority() {
    for name in ["", "a\nb", &"x".repeat(65)] {
        let refused = Ca::create(Kind::Cluster, name, now(), Draw::new().unwrap());
        assert!(matches!(refused, Err(PkiError::ClusterName { .. })), "{name:?}");
    }
    for name in ["x".repeat(64), "Düsseldorf 2".to_owned()] {
        let ca = Ca::create(Kind::Etcd, &name, now(), Draw::new().unwrap()).unwrap();
        assert_eq!((ca.cluster(), ca.kind()), (name.as_str(), Kind::Etcd));
        assert_eq!(ca.expires(), now() + 3652 * DAY);
    }
}

#[test]
fn serial_numbers_and_keys_differ() {
    let (ca, wanted) = (ca(), request(PeerRole::Agent, "a1", &[]));
    let (one, other) = (issue(&ca, &wanted, now()), issue(&ca, &wanted, now()));
    assert_ne!(one.key.expose_secret(), other.key.expose_secret());
    let serial = |leaf: &Leaf| {
        let der = CertificateDer::from_pem_slice(leaf.certificate.as_bytes()).unwrap();
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).unwrap();
        parsed.raw_serial().to_vec()
    };
    assert_eq!(serial(&one).len(), 16);
    assert_ne!(serial(&one), serial(&other));
}

#[test]
fn an_authority_of_someone_elses_making_is_not_taken() {
    let (ca, wanted) = (ca(), request(PeerRole::Agent, "a1", &[]));
    let leaf = issue(&ca, &wanted, now());
    let refused = Ca::from_pem(&leaf.certificate, leaf.key).unwrap_err();
    assert!(
        matches!(&refused, PkiError::Certificate { detail } if detail.contains("may not sign")),
        "{refused}"
    );
    let other = ca_of("demo", Kind::Cluster);
    let refused = Ca::from_pem(ca.certificate(), other.key().clone()).unwrap_err();
    assert!(matches!(refused, PkiError::KeyDiffers));
}

// ---- as others see them -----------------------------------------------------------------------

/// A handshake in memory: whether it succeeds.
fn handshake(server: (&Leaf, &Ca), client: Option<(&Leaf, &Ca)>, name: &str) -> Result<(), rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let roots = |ca: &Ca| {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca.certificate().as_bytes()).unwrap()).unwrap();
        Arc::new(roots)
    };
    let chain = |leaf: &Leaf| vec![CertificateDer::from_pem_slice(leaf.certificate.as_bytes()).unwrap()];
    let key = |leaf: &Leaf| PrivateKeyDer::from_pem_slice(leaf.key.expose_secret().as_bytes()).unwrap();

    let (server_leaf, server_trusts) = server;
    let verifier =
        WebPkiClientVerifier::builder_with_provider(roots(server_trusts), provider.clone()).build().unwrap();
    let config = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain(server_leaf), key(server_leaf))?;
    let mut server = ServerConnection::new(Arc::new(config)).unwrap();

    let trusted = client.map_or(server_trusts, |(_, ca)| ca);
    let verifier =
        WebPkiServerVerifier::builder_with_provider(roots(trusted), provider.clone()).build().unwrap();
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_webpki_verifier(verifier);
    let config = match client {
        Some((leaf, _)) => config.with_client_auth_cert(chain(leaf), key(leaf))?,
        None => config.with_no_client_auth(),
    };
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();

    while client.is_handshaking() || server.is_handshaking() || server.wants_write() || client.wants_write() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets()?;
        let mut wire = Vec::new();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    Ok(())
}

#[test]
fn peers_of_one_cluster_accept_each_other_over_tls_and_no_others() {
    let present = SystemTime::now();
    let make = |cluster: &str| Ca::create(Kind::Cluster, cluster, present, Draw::new().unwrap()).unwrap();
    let (ca, other) = (make("demo"), make("demo"));
    let master = request(PeerRole::Master, "m1", &["192.0.2.11", "m1.example"]);
    let agent = request(PeerRole::Agent, "a1", &["192.0.2.21"]);
    let admin = request(PeerRole::Admin, "root", &[]);
    let leaf = |ca: &Ca, request| issue(ca, request, present);
    let (m1, a1, boss) = (leaf(&ca, &master), leaf(&ca, &agent), leaf(&ca, &admin));
    let stranger = leaf(&other, &agent);

    handshake((&m1, &ca), Some((&a1, &ca)), "192.0.2.11").unwrap();
    handshake((&m1, &ca), Some((&boss, &ca)), "m1.example").unwrap();
    handshake((&a1, &ca), Some((&m1, &ca)), "192.0.2.21").unwrap();
    for (server, client, name) in [
        (&m1, Some((&stranger, &ca)), "192.0.2.11"), // a client that another authority signed
        (&m1, Some((&a1, &other)), "192.0.2.11"),    // a server that another authority signed
        (&m1, Some((&a1, &ca)), "192.0.2.12"),       // a server of another address
        (&boss, Some((&a1, &ca)), "192.0.2.11"),     // an operator's certificate at a server
        (&m1, None, "192.0.2.11"),                   // no certificate
    ] {
        assert!(handshake((server, &ca), client, name).is_err(), "{name}");
    }
    // What is issued now is accepted by a host whose clock is behind, and not by one that is a day behind: see `judge`.
    let ahead = issue(&ca, &agent, present + Duration::from_secs(50 * 60));
    handshake((&m1, &ca), Some((&ahead, &ca)), "192.0.2.11").unwrap();
    let far_ahead = issue(&ca, &agent, present + DAY);
    assert!(handshake((&m1, &ca), Some((&far_ahead, &ca)), "192.0.2.11").is_err());
}

#[test]
fn strict_checkers_accept_what_is_issued() {
    let present = SystemTime::now();
    let ca = Ca::create(Kind::Cluster, "demo", present, Draw::new().unwrap()).unwrap();
    let leaf = issue(&ca, &request(PeerRole::Master, "m1", &["192.0.2.11", "m1"]), present);
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    fs::write(path("ca"), ca.certificate()).unwrap();
    fs::write(path("leaf"), &leaf.certificate).unwrap();
    let openssl = |arguments: &[&str]| {
        let output = Command::new("openssl").args(arguments).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    for purpose in ["sslserver", "sslclient"] {
        let (fine, said) = openssl(&[
            "verify",
            "-x509_strict",
            "-purpose",
            purpose,
            "-verify_ip",
            "192.0.2.11",
            "-CAfile",
            &path("ca"),
            &path("leaf"),
        ]);
        assert!(fine, "{purpose}: {said}");
    }
    let (_, printed) = openssl(&["x509", "-noout", "-fingerprint", "-sha256", "-in", &path("ca")]);
    assert!(printed.trim().ends_with(&format!("={}", ca.fingerprint())), "{printed}");
    let (_, names) = openssl(&["x509", "-noout", "-ext", "subjectAltName", "-in", &path("leaf")]);
    assert!(names.contains("URI:clusterctl://demo/master/m1, DNS:m1, IP Address:192.0.2.11"), "{names}");
}
