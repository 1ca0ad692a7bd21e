//! What one address asks for: where it comes from, what it must come to, and what becomes of it.

use std::path::{Component, Path, PathBuf};

use api::mesos::Uri;
use reqwest::Url;

use super::digest::Digest;
use super::error::Why;
use super::job::{Action, Archive};
use crate::files::beneath::is_name;

const SUM: &str = "sha256=";

/// Where something is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Without its fragment.
    Http(Url),
    File(PathBuf),
    /// On the masters, by its sum.
    Artifact(Digest),
}

/// What to do for one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) source: Source,
    /// What it must come to.
    pub(super) sum: Option<Digest>,
    pub(super) cache: bool,
    pub(super) action: Action,
}

/// An address for messages: without what may be secret in it.
pub(super) fn shown(value: &str) -> String {
    let end = value.find(['?', '#']).unwrap_or(value.len());
    let (plain, rest) = value.split_at(end);
    let hidden = if rest.starts_with('?') { "?…" } else { "" };
    let plain = match plain.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
            format!("{scheme}://{host}{path}")
        }
        None => plain.to_owned(),
    };
    let plain: String = plain.chars().filter(|c| !c.is_control()).take(500).collect();
    format!("{plain}{hidden}")
}

/// Decides what an address asks for.
pub(super) fn plan(uri: &Uri) -> Result<Plan, Why> {
    let (source, sum, name) = source(&uri.value)?;
    let to = match &uri.output_file {
        Some(path) => output(path)?,
        None => PathBuf::from(name?),
    };
    let action = if uri.executable {
        Action::Copy { to, executable: true }
    } else if uri.extract {
        unpacking(to)
    } else {
        Action::Copy { to, executable: false }
    };
    Ok(Plan { source, sum, cache: uri.cache, action })
}

/// The source, its sum, and the name that the address gives the file.
type Read = (Source, Option<Digest>, Result<String, Why>);

fn source(value: &str) -> Result<Read, Why> {
    if value.starts_with('/') {
        let (path, sum) = match value.rsplit_once("#sha256=") {
            Some((path, sum)) => (path, Some(digest(sum)?)),
            None => (value, None),
        };
        let name = checked(path.rsplit('/').next().unwrap_or_default().as_bytes().to_vec());
        return Ok((Source::File(path.into()), sum, name));
    }
    let Some((scheme, rest)) = value.split_once(':') else {
        return Err(Why::Address("it is neither an address with a scheme nor an absolute path".into()));
    };
    let scheme = scheme.to_ascii_lowercase();
    if scheme == "artifact" {
        return artifact(rest);
    }
    if !matches!(scheme.as_str(), "http" | "https" | "file") {
        return Err(Why::Scheme(scheme.chars().filter(|c| !c.is_control()).take(20).collect()));
    }
    let mut url = Url::parse(value).map_err(|e| Why::Address(e.to_string()))?;
    let sum = url.fragment().and_then(|f| f.strip_prefix(SUM)).map(digest).transpose()?;
    url.set_fragment(None);
    let name = checked(decode(url.path().rsplit('/').next().unwrap_or_default()));
    if scheme == "file" {
        let path = url.to_file_path().map_err(|()| {
            Why::Address("a file: address must name an absolute path on this machine".into())
        })?;
        return Ok((Source::File(path), sum, name));
    }
    Ok((Source::Http(url), sum, name))
}

fn artifact(rest: &str) -> Result<Read, Why> {
    let (rest, sum) = match rest.split_once('#') {
        Some((rest, fragment)) => (rest, fragment.strip_prefix(SUM).map(digest).transpose()?),
        None => (rest, None),
    };
    let hex = rest.strip_prefix("//sha256/").ok_or_else(|| {
        Why::Address("an artifact's address is artifact://sha256/ and 64 hexadecimal digits".into())
    })?;
    let wanted = digest(hex)?;
    if let Some(sum) = sum.filter(|sum| *sum != wanted) {
        return Err(Why::Sum { wanted: sum, got: wanted });
    }
    Ok((Source::Artifact(wanted), Some(wanted), Ok(wanted.to_string())))
}

fn digest(hex: &str) -> Result<Digest, Why> {
    Digest::parse(hex).ok_or_else(|| Why::Address("a SHA-256 sum is 64 hexadecimal digits".into()))
}

fn checked(name: Vec<u8>) -> Result<String, Why> {
    match String::from_utf8(name) {
        Ok(name) if is_name(name.as_bytes()) && !name.contains(char::is_control) => Ok(name),
        _ => Err(Why::Address("its last part cannot name a file; give it an output_file".into())),
    }
}

/// A path that a task asks for, below its sandbox.
fn output(path: &str) -> Result<PathBuf, Why> {
    let refused = |why: &str| Err(Why::Output { path: path.to_owned(), why: why.to_owned() });
    let mut parts = PathBuf::new();
    for part in Path::new(path).components() {
        match part {
            Component::CurDir => {}
            Component::Normal(name) if is_name(name.as_encoded_bytes()) => parts.push(name),
            Component::Normal(_) => return refused("a part of it cannot name a file"),
            Component::ParentDir => return refused("it must not hold \"..\""),
            Component::RootDir | Component::Prefix(_) => {
                return refused("it must be relative to the sandbox");
            }
        }
    }
    if parts.as_os_str().is_empty() || path.ends_with('/') || path.len() > 4000 {
        return refused("it must name a file");
    }
    Ok(parts)
}

/// As Mesos: by the file's name, and what is no archive stays as it is.
fn unpacking(to: PathBuf) -> Action {
    let name = to.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    for (suffixes, kind) in [
        (&[".tar"][..], Archive::Tar),
        (&[".tar.gz", ".tgz"], Archive::TarGzip),
        (&[".tar.bz2", ".tbz2"], Archive::TarBzip2),
        (&[".tar.xz", ".txz"], Archive::TarXz),
        (&[".zip"], Archive::Zip),
    ] {
        if suffixes.iter().any(|suffix| name.ends_with(suffix)) {
            return Action::Extract { kind };
        }
    }
    match name.strip_suffix(".gz") {
        Some(plain) if !plain.is_empty() => Action::Gunzip { to: to.with_file_name(plain) },
        _ => Action::Copy { to, executable: false },
    }
}

fn decode(text: &str) -> Vec<u8> {
    let mut rest = text.as_bytes();
    let mut decoded = Vec::with_capacity(text.len());
    let hex = |digit: u8| char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok());
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        if let (b'%', [high, low, behind @ ..]) = (byte, behind)
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            decoded.push((high << 4) | low);
            rest = behind;
        } else {
            decoded.push(*byte);
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUM: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn uri(value: &str) -> Uri {
        Uri { value: value.into(), executable: false, extract: true, cache: false, output_file: None }
    }

    fn copy(to: &str) -> Action {
        Action::Copy { to: to.into(), executable: false }
    }

    #[test]
    fn names_say_what_becomes_of_a_file() {
        let extract = |kind| Action::Extract { kind };
        for (value, expected) in [
            ("http://h/a/b.tar", extract(Archive::Tar)),
            ("http://h/b.tar.gz?x=y.zip", extract(Archive::TarGzip)),
            ("http://h/b.tgz#frag", extract(Archive::TarGzip)),
            ("https://h/b.tar.bz2", extract(Archive::TarBzip2)),
            ("https://h/b.tbz2", extract(Archive::TarBzip2)),
            ("https://h/b.tar.xz", extract(Archive::TarXz)),
            ("https://h/b.txz", extract(Archive::TarXz)),
            ("/opt/b.zip", extract(Archive::Zip)),
            ("file:///opt/b%20c.gz", Action::Gunzip { to: "b c".into() }),
            ("http://h/.gz", copy(".gz")),
            ("http://h/b.jar", copy("b.jar")),
            ("http://h/b%2Ejar", copy("b.jar")),
            ("http://h/100%25%zz", copy("100%%zz")),
        ] {
            assert_eq!(plan(&uri(value)).unwrap().action, expected, "{value}");
        }
        let plain = Uri { extract: false, ..uri("http://h/b.zip") };
        assert_eq!(plan(&plain).unwrap().action, copy("b.zip"));
        let program = Uri { executable: true, ..uri("http://h/b.zip") };
        assert_eq!(plan(&program).unwrap().action, Action::Copy { to: "b.zip".into(), executable: true });
        let named = Uri { output_file: Some("d/./x.gz".into()), ..uri("http://h/") };
        assert_eq!(plan(&named).unwrap().action, Action::Gunzip { to: "d/x".into() });
    }

    #[test]
    fn what_cannot_be_fetched_says_why() {
        let mut messages = Vec::new();
        for value in [
            "hdfs://h/x",
            "S3://b/x",
            "x.tgz",
            "http://",
            "http://h/",
            "http://h/a%2Fb",
            "http://h/%2e%2e",
            "http://h/a%00",
            "file://other/x",
            "http://h/x#sha256=12",
            "artifact://md5/12",
            "artifact://sha256/12",
            "/opt/",
        ] {
            messages.push(plan(&uri(value)).unwrap_err().to_string());
        }
        for output in ["", "/etc/x", "../x", "a/../x", "a/", ".", &"x".repeat(256)] {
            let uri = Uri { output_file: Some(output.into()), ..uri("http://h/x") };
            assert!(matches!(plan(&uri), Err(Why::Output { .. })), "{output}");
        }
        insta::assert_snapshot!(messages.join("\n"), @r#"
        the scheme hdfs: is not supported; use http, https, file or artifact
        the scheme s3: is not supported; use http, https, file or artifact
        it is neither an address with a scheme nor an absolute path
        empty host
        its last part cannot name a file; give it an output_file
        its last part cannot name a file; give it an output_file
        its last part cannot name a file; give it an output_file
        its last part cannot name a file; give it an output_file
        a file: address must name an absolute path on this machine
        a SHA-256 sum is 64 hexadecimal digits
        an artifact's address is artifact://sha256/ and 64 hexadecimal digits
        a SHA-256 sum is 64 hexadecimal digits
        its last part cannot name a file; give it an output_file
        "#);
    }

    #[test]
    fn a_sum_stands_in_the_fragment_or_in_the_artifacts_address() {
        let sum = Digest::parse(SUM);
        for value in ["http://h/x", "/opt/x", "file:///opt/x"] {
            let plan = plan(&uri(&format!("{value}#sha256={SUM}"))).unwrap();
            assert_eq!(plan.sum, sum, "{value}");
            assert!(!format!("{:?}", plan.source).contains("sha256"), "{value}");
        }
        let plan = plan(&uri(&format!("artifact://sha256/{SUM}"))).unwrap();
        assert_eq!((plan.source, plan.sum, plan.action), (Source::Artifact(sum.unwrap()), sum, copy(SUM)));
    }

    #[test]
    fn messages_hold_no_secrets() {
        assert_eq!(shown("https://me:pass@h:1/a/b.tgz?token=x#f"), "https://h:1/a/b.tgz?…");
        assert_eq!(shown("/opt/x#sha256=1"), "/opt/x");
    }
}
