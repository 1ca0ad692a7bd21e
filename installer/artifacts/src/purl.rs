//! Package URLs: which file of which registry. Pure.
//!
//! Every part of one becomes an argument of somebody's client: none may look like an option, lead elsewhere, or hold what a client
//! would read as more than a name.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::names::{decode, is_plain};

/// Why a package URL is not understood.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PurlError {
    /// Not one.
    #[error("{0:?} is no package URL: they read pkg:pypi/NAME@VERSION")]
    Form(String),
    /// Of another kind.
    #[error("package URLs of the type {0:?} are not supported: use pypi, maven, npm or deb")]
    Kind(String),
    /// A part of it.
    #[error("the {part} {value:?} of the package URL cannot be one")]
    Part {
        /// Which part.
        part: &'static str,
        /// What it is.
        value: String,
    },
    /// Any version would do.
    #[error(
        "the package URL names no version, so that it would be another file tomorrow: write @VERSION behind the name"
    )]
    NoVersion,
    /// A qualifier that means nothing here.
    #[error("the package URL's qualifier {0:?} is not supported")]
    Qualifier(String),
}

/// One file of a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Package {
    /// Python's.
    Pypi {
        /// The project.
        name: String,
        /// Its version.
        version: String,
        /// The file, where the package URL says it.
        file: Option<String>,
    },
    /// Java's.
    Maven {
        /// The group.
        group: String,
        /// The artifact.
        name: String,
        /// Its version.
        version: String,
        /// Its type: `jar` unless another one is named.
        kind: String,
        /// Which of several.
        classifier: Option<String>,
    },
    /// JavaScript's.
    Npm {
        /// With its scope.
        name: String,
        /// Its version.
        version: String,
    },
    /// Debian's.
    Deb {
        /// The binary package.
        name: String,
        /// Its version: the newest where none is named, since old ones vanish.
        version: Option<String>,
        /// Its architecture.
        arch: Option<String>,
    },
}

/// Reads a package URL.
///
/// # Errors
/// When it is none, of a type that is not supported, or has parts that cannot be.
pub fn parse(text: &str) -> Result<Package, PurlError> {
    let form = || PurlError::Form(text.chars().filter(|c| !c.is_control()).take(200).collect());
    let rest = text.strip_prefix("pkg:").ok_or_else(form)?.trim_start_matches('/');
    let (rest, subpath) = rest.split_once('#').map_or((rest, None), |(rest, sub)| (rest, Some(sub)));
    if subpath.is_some() {
        return Err(PurlError::Part { part: "subpath", value: subpath.unwrap_or_default().to_owned() });
    }
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (kind, rest) = rest.split_once('/').ok_or_else(form)?;
    let (path, version) = match rest.rsplit_once('@') {
        Some((path, version)) if !path.is_empty() => (path, Some(decode(version).ok_or_else(form)?)),
        _ => (rest, None),
    };
    let (namespace, name) = path.rsplit_once('/').map_or((None, path), |(space, name)| (Some(space), name));
    let (name, namespace) = (decode(name).ok_or_else(form)?, namespace.map(decode));
    let namespace = namespace.map(|space| space.ok_or_else(form)).transpose()?;
    let mut asked = Qualifiers::read(query).ok_or_else(form)?;
    let package = match (kind.to_ascii_lowercase().as_str(), namespace) {
        ("pypi", None) => Package::Pypi {
            name: checked("name", name)?,
            version: checked("version", version.ok_or(PurlError::NoVersion)?)?,
            file: asked.take("file_name")?,
        },
        ("maven", Some(group)) => Package::Maven {
            group: checked("group", group)?,
            name: checked("name", name)?,
            version: checked("version", version.ok_or(PurlError::NoVersion)?)?,
            kind: asked.take("type")?.unwrap_or_else(|| "jar".to_owned()),
            classifier: asked.take("classifier")?,
        },
        ("npm", scope) => {
            let name = checked("name", name)?;
            let name = match scope {
                Some(scope) => {
                    let plain = scope.strip_prefix('@').ok_or_else(|| part("scope", &scope))?;
                    format!("@{}/{name}", checked("scope", plain.to_owned())?)
                }
                None => name,
            };
            Package::Npm { name, version: checked("version", version.ok_or(PurlError::NoVersion)?)? }
        }
        ("deb", space) => {
            if let Some(space) = space.filter(|space| !matches!(space.as_str(), "debian" | "ubuntu")) {
                return Err(part("namespace", &space));
            }
            let version = version.map(|version| checked(EPOCHAL, version)).transpose()?;
            Package::Deb { name: checked("name", name)?, version, arch: asked.take("arch")? }
        }
        ("pypi", Some(space)) => return Err(part("namespace", &space)),
        ("maven", None) => return Err(part("group", "")),
        (other, _) => return Err(PurlError::Kind(other.chars().take(40).collect())),
    };
    match asked.0.into_keys().next() {
        None => Ok(package),
        Some(other) => Err(PurlError::Qualifier(other)),
    }
}

fn part(part: &'static str, value: &str) -> PurlError {
    PurlError::Part { part, value: value.chars().take(200).collect() }
}

/// A version that may have an epoch.
const EPOCHAL: &str = "version of Debian";

/// A name or version as registries have them.
fn checked(which: &'static str, value: String) -> Result<String, PurlError> {
    let begins = value.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+' | '~' | '!');
    // Debian's versions may have an epoch; to others a colon is where the next part begins.
    let plain = |c: char| plain(c) || which == EPOCHAL && c == ':';
    if begins && value.len() <= 200 && value.chars().all(plain) && is_plain(&value) {
        Ok(value)
    } else {
        Err(part(which, &value))
    }
}

struct Qualifiers(BTreeMap<String, String>);

impl Qualifiers {
    fn read(query: &str) -> Option<Self> {
        let mut all = BTreeMap::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=')?;
            if all.insert(key.to_ascii_lowercase(), decode(value)?).is_some() {
                return None;
            }
        }
        Some(Self(all))
    }

    fn take(&mut self, key: &'static str) -> Result<Option<String>, PurlError> {
        self.0.remove(key).map(|value| checked(key, value)).transpose()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn package_urls_name_one_file() {
        let pypi = |name: &str, version: &str, file: Option<&str>| Package::Pypi {
            name: name.into(),
            version: version.into(),
            file: file.map(Into::into),
        };
        let maven = |kind: &str, classifier: Option<&str>| Package::Maven {
            group: "org.apache.cassandra".into(),
            name: "apache-cassandra".into(),
            version: "4.1.5".into(),
            kind: kind.into(),
            classifier: classifier.map(Into::into),
        };
        let npm = |name: &str| Package::Npm { name: name.into(), version: "1.2.3".into() };
        for (text, expected) in [
            ("pkg:pypi/pyspark@3.5.3", pypi("pyspark", "3.5.3", None)),
            ("pkg:pypi/torch@2.0.1%2Bcpu", pypi("torch", "2.0.1+cpu", None)),
            ("pkg:pypi/a@1?file_name=a-1-py3-none-any.whl", pypi("a", "1", Some("a-1-py3-none-any.whl"))),
            ("pkg:maven/org.apache.cassandra/apache-cassandra@4.1.5", maven("jar", None)),
            (
                "pkg:maven/org.apache.cassandra/apache-cassandra@4.1.5?classifier=bin&type=tar.gz",
                maven("tar.gz", Some("bin")),
            ),
            ("pkg:npm/left-pad@1.2.3", npm("left-pad")),
            ("pkg:npm/%40scope/x@1.2.3", npm("@scope/x")),
            (
                "pkg:deb/debian/redis-server@5%3A7.0.15-1~deb12u1?arch=amd64",
                Package::Deb {
                    name: "redis-server".into(),
                    version: Some("5:7.0.15-1~deb12u1".into()),
                    arch: Some("amd64".into()),
                },
            ),
            ("pkg:deb/debian/nginx", Package::Deb { name: "nginx".into(), version: None, arch: None }),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_would_be_more_than_a_name_is_refused() {
        for text in [
            "",
            "pypi/x@1",
            "pkg:pypi",
            "pkg:pypi/x",
            "pkg:pypi/x@",
            "pkg:pypi/@1",
            "pkg:pypi/--index-url=http:@1",
            "pkg:pypi/-r@1",
            "pkg:pypi/x@1;os_name",
            "pkg:pypi/x@1 --pre",
            "pkg:pypi/x@1%0a--pre",
            "pkg:pypi/..%2fx@1",
            "pkg:pypi/x@1?file_name=../x.whl",
            "pkg:pypi/x@1?file_name=-x",
            "pkg:pypi/x@1?other=1",
            "pkg:pypi/x@1?file_name=a&file_name=b",
            "pkg:pypi/a/x@1",
            "pkg:maven/x@1",
            "pkg:maven/a%3Ab/x@1",
            "pkg:maven/a/x@1:jar",
            "pkg:maven/a/x@1?type=jar:x",
            "pkg:npm/scope/x@1",
            "pkg:npm/x@http:%2F%2Fh",
            "pkg:deb/fedora/x@1",
            "pkg:golang/x/y@1",
            "pkg:pypi/x@1#sub",
        ] {
            assert!(parse(text).is_err(), "{text}: {:?}", parse(text));
        }
    }

    proptest! {
        #[test]
        fn no_part_ever_looks_like_an_option_or_a_path(text in "pkg:(pypi|maven|npm|deb)/[ -~]{0,40}") {
            let parts = match parse(&text) {
                Err(_) => vec![],
                Ok(Package::Pypi { name, version, file }) => vec![Some(name), Some(version), file],
                Ok(Package::Maven { group, name, version, kind, classifier }) => {
                    vec![Some(group), Some(name), Some(version), Some(kind), classifier]
                }
                Ok(Package::Npm { name, version }) => {
                    vec![Some(name.trim_start_matches('@').replacen('/', "", 1)), Some(version)]
                }
                Ok(Package::Deb { name, version, arch }) => vec![Some(name), version, arch],
            };
            for part in parts.into_iter().flatten() {
                prop_assert!(!part.starts_with(['-', '.']) && !part.contains(['/', ' ', '=', ';', '@', ',']), "{part}");
            }
        }
    }
}
