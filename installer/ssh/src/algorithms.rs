//! What is offered to servers, and how patient a connection is.

use std::borrow::Cow;
use std::time::Duration;

use russh::keys::{Algorithm, EcdsaCurve, HashAlg};
use russh::{Preferred, cipher, client, kex};

/// A server that says nothing for three times this long is gone.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// Plain curve25519 first: a connection with one script costs the installer 4 ms of CPU with it, 5 to 6 ms with ML-KEM, which also sends
/// 1 KiB more each way. What an install sends that is secret, is worth nothing once its certificates have expired. Servers that
/// insist on ML-KEM get it.
const KEX: &[kex::Name] = &[
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::MLKEM768X25519_SHA256,
    kex::ECDH_SHA2_NISTP256,
    kex::DH_GEX_SHA256,
    kex::DH_G16_SHA512,
    kex::DH_G14_SHA256,
    kex::EXTENSION_SUPPORT_AS_CLIENT,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
];

const CIPHERS: &[cipher::Name] =
    &[cipher::AES_256_GCM, cipher::CHACHA20_POLY1305, cipher::AES_256_CTR, cipher::AES_128_CTR];

/// No SHA-1: `ssh-rsa` keys sign with SHA-2.
const HOST_KEYS: [Algorithm; 6] = [
    Algorithm::Ed25519,
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
    Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
    Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
];

/// The settings of one connection. The types of key that are recorded for the host are asked for first, so that a host
/// with several keys shows the one that is known; the others stay in the list, so that a host that has none of them says
/// which it has.
pub(crate) fn config(recorded: &[String]) -> client::Config {
    client::Config {
        client_id: russh::SshId::Standard(Cow::Borrowed(concat!(
            "SSH-2.0-clusterctl_",
            env!("CARGO_PKG_VERSION")
        ))),
        preferred: Preferred {
            kex: Cow::Borrowed(KEX),
            key: Cow::Owned(host_keys(recorded)),
            cipher: Cow::Borrowed(CIPHERS),
            ..Preferred::DEFAULT
        },
        keepalive_interval: Some(KEEPALIVE),
        keepalive_max: 3,
        nodelay: true,
        ..client::Config::default()
    }
}

fn host_keys(recorded: &[String]) -> Vec<Algorithm> {
    let kind = |algorithm: &Algorithm| match algorithm {
        Algorithm::Rsa { .. } => "ssh-rsa".to_owned(),
        other => other.as_str().to_owned(),
    };
    let (mut first, others): (Vec<_>, Vec<_>) =
        HOST_KEYS.into_iter().partition(|algorithm| recorded.contains(&kind(algorithm)));
    first.extend(others);
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_that_are_recorded_come_first_and_none_is_lost() {
        let names = |recorded: &[&str]| {
            let recorded: Vec<_> = recorded.iter().map(ToString::to_string).collect();
            host_keys(&recorded).iter().map(|algorithm| algorithm.as_str().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names(&[])[0], "ssh-ed25519");
        assert_eq!(names(&["ssh-rsa"])[..3], ["rsa-sha2-512", "rsa-sha2-256", "ssh-ed25519"]);
        assert_eq!(names(&["ecdsa-sha2-nistp384", "unheard-of"])[0], "ecdsa-sha2-nistp384");
        assert_eq!(names(&["ssh-rsa"]).len(), HOST_KEYS.len());
        assert!(!names(&[]).contains(&"ssh-rsa".to_owned()));
    }
}
