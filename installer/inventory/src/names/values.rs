//! What all other values may be: users, paths, ports, lengths of time, checksums.

use std::time::Duration;

use super::{Checked, MAX_LABEL};
use crate::faults::Problem;

/// A cluster's name. It stands in paths and certificates.
pub(crate) fn cluster_name(text: &str) -> Checked<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_name = text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(is_part);
    if !is_name || text.len() > MAX_LABEL {
        return Err(Problem::new(
            "is no name of a cluster",
            "write at most 63 letters, digits, `-`, `_` and `.`, a letter or digit first",
        ));
    }
    Ok(text.to_owned())
}

/// A user's name, as Linux has it.
pub(crate) fn user(text: &str) -> Checked<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@' | '\\' | '$');
    let is_name =
        text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') && text.chars().all(is_part);
    if !is_name || text.len() > MAX_LABEL {
        return Err(Problem::new("is no name of a user", "write a login name, like `admin`"));
    }
    Ok(text.to_owned())
}

/// A port that can be listened on.
pub(crate) fn port(text: &str) -> Checked<u16> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let port = is_number.then(|| text.parse().ok()).flatten().filter(|port| *port > 0);
    port.ok_or_else(|| Problem::new("is no port", "write a number from 1 to 65535"))
}

/// `yes` and `on` are what people write too.
pub(crate) fn truth(text: &str) -> Checked<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => Ok(true),
        "false" | "no" | "off" => Ok(false),
        _ => Err(Problem::new("is neither true nor false", "write `true` or `false`")),
    }
}

/// A length of time with its unit.
pub(crate) fn duration(text: &str) -> Checked<Duration> {
    let wrong = || {
        Problem::new(
            "is no length of time",
            "write a whole number and a unit, like `500ms`, `75s`, `10m` or `1h`",
        )
    };
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_error| wrong())?;
    let millis = match unit.trim_start() {
        "ms" => 1,
        "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "" => {
            let write = format!("write the unit too, like `{number}s`");
            return Err(Problem::new("is a length of time without a unit", write));
        }
        _ => return Err(wrong()),
    };
    let longest = Duration::from_secs(24 * 3600);
    let duration = number.checked_mul(millis).map(Duration::from_millis);
    match duration.filter(|duration| !duration.is_zero() && *duration <= longest) {
        Some(duration) => Ok(duration),
        None => Err(Problem::new("is not possible here", "write more than nothing and at most `24h`")),
    }
}

/// A path on the operator's machine.
pub(crate) fn path(text: &str) -> Checked<String> {
    if text.trim().is_empty() || text.chars().any(char::is_control) {
        return Err(Problem::new("is no path", "write the path of a file, like `~/.ssh/id_ed25519`"));
    }
    if text.contains("PRIVATE KEY") {
        return Err(Problem::new("is a key, not a path", "write the path of the file that has the key"));
    }
    Ok(text.to_owned())
}

/// A directory on a host.
pub(crate) fn directory(text: &str) -> Checked<String> {
    let has_parts = text.split('/').all(|part| part != ".." && part != ".");
    if !text.starts_with('/') || !has_parts || text.chars().any(char::is_control) {
        return Err(Problem::new(
            "is no directory of a host",
            "write a path from the root, like `/srv/data`, without `..`",
        ));
    }
    let text = text.trim_end_matches('/');
    Ok(if text.is_empty() { "/".to_owned() } else { text.to_owned() })
}

/// A region or zone.
pub(crate) fn domain(text: &str) -> Checked<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() || text.len() > MAX_LABEL || !text.chars().all(is_part) {
        return Err(Problem::new(
            "is no name of a region or zone",
            "write letters, digits, `-`, `_` and `.`",
        ));
    }
    Ok(text.to_owned())
}

/// The fingerprint of a host key.
pub(crate) fn fingerprint(text: &str) -> Checked<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/');
    let digest = text.strip_prefix("SHA256:").map(|digest| digest.trim_end_matches('='));
    match digest.filter(|digest| digest.len() == 43 && digest.chars().all(is_part)) {
        Some(digest) => Ok(format!("SHA256:{digest}")),
        None => Err(Problem::new(
            "is no fingerprint of a host key",
            "write `SHA256:` and 43 characters; on the host, `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` prints it",
        )),
    }
}

/// A SHA-256 in hexadecimal digits.
pub(crate) fn sha256(text: &str) -> Checked<String> {
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(text.to_ascii_lowercase());
    }
    Err(Problem::new("is no SHA-256", "write its 64 hexadecimal digits, as `sha256sum FILE` prints them"))
}

/// What can be fetched without a secret in it.
pub(crate) fn url(text: &str) -> Checked<String> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or_default();
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.contains('@') {
        return Err(Problem::new(
            "has a user or password in it",
            "write the URL without them; a `file:` needs none",
        ));
    }
    if host.is_empty() || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(Problem::new(
            "is no URL that can be fetched",
            "write it like `https://example.org/etcd.tar.gz`",
        ));
    }
    Ok(text.to_owned())
}

/// A package of a distribution: its name is given to a package manager.
pub(crate) fn package(text: &str) -> Checked<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.' | '_' | ':' | '=' | '~');
    if !text.starts_with(|c: char| c.is_ascii_alphanumeric())
        || text.len() > 200
        || !text.chars().all(is_part)
    {
        return Err(Problem::new(
            "is no name of a package",
            "write it as the package manager has it, like `etcd-server`",
        ));
    }
    Ok(text.to_owned())
}

/// A package URL with a version.
pub(crate) fn purl(text: &str) -> Checked<String> {
    let rest = text.strip_prefix("pkg:").unwrap_or_default();
    let has_all = rest.split_once('/').is_some_and(|(kind, name)| !kind.is_empty() && name.contains('@'));
    if !has_all || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(Problem::new(
            "is no package URL with a version",
            "write it like `pkg:github/etcd-io/etcd@v3.6.0`",
        ));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_have_units() {
        for (text, millis) in
            [("500ms", 500), ("3s", 3000), ("10 m", 600_000), ("2min", 120_000), ("1h", 3_600_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in [
            "",
            "3",
            "s",
            "1.5s",
            "-1s",
            "0s",
            "25h",
            "3 weeks",
            "99999999999999999999s",
            "9999999999999999999h",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn other_values_are_what_they_have_to_be() {
        let fingerprint_of = |digest: &str| fingerprint(&format!("SHA256:{digest}")).is_ok();
        assert!(fingerprint_of(&"a".repeat(43)) && fingerprint_of(&("a".repeat(43) + "=")));
        assert!(
            !fingerprint_of("abc")
                && !fingerprint_of(&"!".repeat(43))
                && fingerprint("ssh-ed25519 AAAA").is_err()
        );
        assert_eq!((port("1"), port("65535")), (Ok(1), Ok(65535)));
        for text in ["0", "65536", "-1", "", "22.0", "+22", "0x16"] {
            assert!(port(text).is_err(), "{text}");
        }
        assert_eq!((truth("yes"), truth("Off")), (Ok(true), Ok(false)));
        assert_eq!(directory("/srv/"), Ok("/srv".to_owned()));
        assert_eq!(directory("/"), Ok("/".to_owned()));
        for text in ["srv", "/srv/../etc", "~/x", "", "/a\nb"] {
            assert!(directory(text).is_err(), "{text}");
        }
        for text in ["ftp://x/", "https://", "https://u:p@x/", "https://x/a b", "/usr/bin/etcd"] {
            assert!(url(text).is_err(), "{text}");
        }
        assert!(url("http://mirror.example.org:8080/etcd.tar.gz").is_ok());
        assert!(package("etcd-server").is_ok() && package("-y").is_err() && package("a;b").is_err());
        assert!(purl("pkg:github/etcd-io/etcd@v3.6.0").is_ok() && purl("etcd").is_err());
        assert!(
            user("deploy").is_ok() && user("-x").is_err() && user("a b").is_err() && user("a;b").is_err()
        );
        assert!(
            cluster_name("demo-1.a_b").is_ok() && cluster_name("../x").is_err() && cluster_name("").is_err()
        );
    }
}
