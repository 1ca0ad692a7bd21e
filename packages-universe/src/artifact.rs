//! What a package brings besides its definition: files that the operator's machine gets and gives to the masters.
//!
//! These types say where an artifact can be had. Whoever gets it takes the first source that answers, compares its checksum, and
//! unpacks nothing outside of where it may.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::fault::Problem;
use crate::similar::did_you_mean;

/// One artifact of a package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// By what templates call it: `[a-z][a-z0-9-]*`.
    pub name: String,
    /// Its name in the sandbox, where the package says one.
    pub file: Option<String>,
    /// Whether agents unpack it, where the package says so.
    pub extract: Option<bool>,
    /// Where it is from.
    pub kind: ArtifactKind,
}

impl Artifact {
    /// Its name in the sandbox: the one that was written, else the last segment of where it was found, else its own name.
    pub fn file_name(&self, found: Option<&str>) -> String {
        if let Some(file) = &self.file {
            return file.clone();
        }
        match &self.kind {
            ArtifactKind::Sources(_) => {
                let path = found.unwrap_or_default().split(['?', '#']).next().unwrap_or_default();
                let last = path.rsplit('/').next().unwrap_or_default();
                if is_file_name(last) { last.to_owned() } else { self.name.clone() }
            }
            ArtifactKind::Closure(_) | ArtifactKind::Rootfs { .. } => format!("{}.tar", self.name),
        }
    }

    /// Whether agents unpack it: as was written, else by the file's name.
    pub fn extracts(&self, file: &str) -> bool {
        const ARCHIVES: [&str; 9] =
            [".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".zip", ".whl"];
        self.extract.unwrap_or_else(|| {
            let file = file.to_lowercase();
            ARCHIVES.iter().any(|ending| file.ends_with(ending))
        })
    }
}

/// Where an artifact is from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ArtifactKind {
    /// One file, with the places where it can be had, the preferred one first.
    Sources(Vec<Source>),
    /// Many files, put together to one tar that is the same each time.
    Closure(Vec<Member>),
    /// A root file system of a distribution's packages.
    Rootfs {
        /// The release of Debian, by its code name.
        debian: String,
        /// The packages in it, besides what every system has.
        packages: Vec<String>,
    },
}

/// A place where an artifact can be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Where.
    pub at: At,
    /// What it has to be. Only local files may go without.
    pub sum: Option<Sum>,
    /// The directory within the archive in which the software is; empty for its top.
    pub home: String,
}

/// One file of a closure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Where it can be had.
    pub at: At,
    /// What it has to be. Only local files may go without.
    pub sum: Option<Sum>,
    /// Its path within the tar; of an unpacked one the directory that its content goes below.
    pub path: String,
    /// Whether its content goes in, instead of the file.
    pub unpack: bool,
}

/// A place of any kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum At {
    /// `https://` or `http://`.
    Url(String),
    /// A package URL, for the registry's own client.
    Purl(String),
    /// A file of the operator's machine: absolute, or relative to the package's directory.
    File(String),
}

impl At {
    /// The address as it was written.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Url(at) | Self::Purl(at) | Self::File(at) => at,
        }
    }
}

/// What a file has to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sum {
    /// SHA-256 in lower-case hexadecimal.
    Sha256(String),
    /// SHA-512 in lower-case hexadecimal.
    Sha512(String),
    /// The URL of a published file that holds it.
    Published(String),
}

/// Whether a text is a name in a directory, and no way out of it.
pub(crate) fn is_file_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 255
        && name != "."
        && name != ".."
        && !name.contains(['/', '\\', '\0', '\n'])
}

/// Whether a path stays below where it starts.
pub(crate) fn is_inner_path(path: &str) -> bool {
    !path.is_empty() && path.len() <= 4096 && path.split('/').all(is_file_name)
}

/// The artifacts that a definition names, as the masters give it: `{"resource": {"artifacts": …}}`. Files of one machine are sources only
/// with a sum then, by which the masters may have been given them.
///
/// # Errors
/// What is wrong with them.
pub fn of_definition(definition: &Value) -> Result<BTreeMap<String, Artifact>, Vec<String>> {
    let mut problems = Vec::new();
    let resource = definition.get("resource").unwrap_or(&Value::Null);
    let artifacts = read(resource, false, &mut problems);
    if problems.is_empty() {
        return Ok(artifacts);
    }
    Err(problems.into_iter().map(|problem| format!("{}: {}", problem.path.join("."), problem.what)).collect())
}

/// The artifacts that a resource file names, and what is wrong with them. `files` says whether files of this machine may be sources
/// without a sum.
pub(crate) fn read(resource: &Value, files: bool, problems: &mut Vec<Problem>) -> BTreeMap<String, Artifact> {
    let mut artifacts = BTreeMap::new();
    let Some(listed) = resource.get("artifacts") else { return artifacts };
    let Some(listed) = listed.as_object() else {
        problems.push(Problem::new(
            &["artifacts"],
            "`artifacts` is no map of artifacts",
            "write `artifacts:` and below it `<name>:` with its `sources:`",
        ));
        return artifacts;
    };
    for (name, written) in listed {
        let mut reader = Reader { path: vec!["artifacts".to_owned(), name.clone()], files, problems };
        if let Some(artifact) = reader.artifact(name, written) {
            artifacts.insert(name.clone(), artifact);
        }
    }
    artifacts
}

/// Reads one artifact; remembers where it is.
struct Reader<'a> {
    path: Vec<String>,
    files: bool,
    problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    /// Notes what is wrong, here or at a key below.
    fn wrong(&mut self, key: &str, what: String, hint: impl Into<String>) {
        let mut path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        if !key.is_empty() {
            path.push(key);
        }
        let problem = Problem::new(&path, what, hint);
        self.problems.push(problem);
    }

    /// The map that has to stand here, with no key but these.
    fn map<'v>(&mut self, value: &'v Value, known: &[&str], what: &str) -> Option<&'v Map<String, Value>> {
        let Some(map) = value.as_object() else {
            self.wrong("", format!("{what} is no map"), format!("it has the keys {}", known.join(", ")));
            return None;
        };
        for key in map.keys().filter(|key| !known.contains(&key.as_str())) {
            let near = did_you_mean(key, known.iter().copied());
            let hint = if near.is_empty() { format!("the keys are {}", known.join(", ")) } else { near };
            self.wrong(key, format!("{what} has no key `{key}`"), hint);
        }
        Some(map)
    }

    /// A text at a key, if there is one.
    fn text(&mut self, map: &Map<String, Value>, key: &str) -> Option<String> {
        match map.get(key)? {
            Value::String(text) => Some(text.clone()),
            other => {
                let found = crate::schema::kind(other);
                self.wrong(key, format!("`{key}` is no text but {found}"), format!("write `{key}: \"…\"`"));
                None
            }
        }
    }

    fn flag(&mut self, map: &Map<String, Value>, key: &str) -> Option<bool> {
        let value = map.get(key)?;
        let flag = value.as_bool();
        if flag.is_none() {
            self.wrong(key, format!("`{key}` is neither true nor false"), "");
        }
        flag
    }

    fn artifact(&mut self, name: &str, written: &Value) -> Option<Artifact> {
        let before = self.problems.len();
        let plain = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        if !plain {
            self.wrong(
                "",
                format!("`{name}` is no name of an artifact"),
                "lower-case letters, digits and `-`, a letter first",
            );
        }
        let map = self.map(written, &["extract", "file", "sources", "closure", "rootfs"], "an artifact")?;
        let extract = self.flag(map, "extract");
        let file = self.text(map, "file");
        if let Some(file) = file.as_ref().filter(|file| !is_file_name(file)) {
            self.wrong("file", format!("`{file}` is no name of a file"), "a name alone, without directories");
        }
        let kind = match (map.get("sources"), map.get("closure"), map.get("rootfs")) {
            (Some(sources), None, None) => {
                self.many(sources, "sources", Self::source).map(ArtifactKind::Sources)
            }
            (None, Some(members), None) => {
                self.many(members, "closure", Self::member).map(ArtifactKind::Closure)
            }
            (None, None, Some(rootfs)) => self.rootfs(rootfs),
            (None, None, None) => {
                self.wrong(
                    "",
                    format!("the artifact `{name}` says not where it is from"),
                    "write `sources:`, `closure:` or `rootfs:`",
                );
                None
            }
            _ => {
                self.wrong(
                    "",
                    format!("the artifact `{name}` is from more than one kind of place"),
                    "leave one of `sources:`, `closure:` and `rootfs:`",
                );
                None
            }
        };
        let kind = kind?;
        (self.problems.len() == before).then(|| Artifact { name: name.to_owned(), file, extract, kind })
    }

    /// The entries of a list that has at least one.
    fn many<T>(
        &mut self,
        list: &Value,
        key: &str,
        one: fn(&mut Self, &Value) -> Option<T>,
    ) -> Option<Vec<T>> {
        let Some(entries) = list.as_array().filter(|entries| !entries.is_empty()) else {
            self.wrong(key, format!("`{key}` is no list with entries"), "each entry begins with `- `");
            return None;
        };
        self.path.push(key.to_owned());
        let mut all = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            self.path.push(index.to_string());
            all.extend(one(self, entry));
            self.path.pop();
        }
        self.path.pop();
        Some(all)
    }

    fn source(&mut self, written: &Value) -> Option<Source> {
        let known = ["url", "purl", "file", "sha256", "sha512", "checksum_url", "home"];
        let map = self.map(written, &known, "a source")?;
        let home = self.text(map, "home").unwrap_or_default();
        let home = home.trim_end_matches('/').to_owned();
        if !home.is_empty() && !is_inner_path(&home) {
            self.wrong("home", format!("`{home}` leads out of the archive"), "a relative path without `..`");
        }
        let (at, sum) = self.place(map)?;
        Some(Source { at, sum, home })
    }

    fn member(&mut self, written: &Value) -> Option<Member> {
        let known = ["url", "purl", "file", "sha256", "sha512", "checksum_url", "path", "unpack"];
        let map = self.map(written, &known, "a member of a closure")?;
        let unpack = self.flag(map, "unpack").unwrap_or(false);
        let path = self.text(map, "path").unwrap_or_default();
        // What is unpacked may go to the top.
        let path = if path == "." && unpack { String::new() } else { path.trim_end_matches('/').to_owned() };
        if !(is_inner_path(&path) || (unpack && path.is_empty())) {
            self.wrong(
                "path",
                format!("`{path}` is no path within the tar"),
                "write `path:`, relative and without `..`",
            );
        }
        let (at, sum) = self.place(map)?;
        Some(Member { at, sum, path, unpack })
    }

    /// Where it is and what it has to be.
    fn place(&mut self, map: &Map<String, Value>) -> Option<(At, Option<Sum>)> {
        let (url, purl, file) = (self.text(map, "url"), self.text(map, "purl"), self.text(map, "file"));
        let at = match (url, purl, file) {
            (Some(url), None, None) => At::Url(url),
            (None, Some(purl), None) => At::Purl(purl),
            (None, None, Some(file)) => At::File(file),
            _ => {
                self.wrong(
                    "",
                    "an entry has not exactly one place".to_owned(),
                    "write one of `url:`, `purl:` and `file:`",
                );
                return None;
            }
        };
        // With a sum it says which file, and the masters may have been given it.
        let pinned = ["sha256", "sha512"].iter().any(|key| map.contains_key(*key));
        match &at {
            At::Url(url) if !is_url(url) => {
                self.wrong(
                    "url",
                    format!("`{url}` is no URL that can be fetched"),
                    "it begins with https://, and has no blanks",
                );
            }
            At::Purl(purl) if !is_purl(purl) => {
                self.wrong(
                    "purl",
                    format!("`{purl}` is no package URL with a version"),
                    "for example `pkg:pypi/pyspark@3.5.3`",
                );
            }
            At::File(path) if !self.files && !pinned => {
                self.wrong(
                    "file",
                    format!(
                        "`{path}` is a file of one machine, and this package is not loaded from a directory"
                    ),
                    "write `url:` or `purl:`",
                );
            }
            At::File(path) if path.is_empty() || path.split('/').any(|part| part == "..") => {
                self.wrong(
                    "file",
                    format!("`{path}` leads out of the package's directory"),
                    "a path without `..`, or an absolute one",
                );
            }
            _ => {}
        }
        let mut sums = Vec::new();
        for (key, digits) in [("sha256", 64), ("sha512", 128)] {
            let Some(sum) = self.text(map, key) else { continue };
            let sum = sum.to_ascii_lowercase();
            if sum.len() != digits || !sum.bytes().all(|b| b.is_ascii_hexdigit()) {
                self.wrong(
                    key,
                    format!("`{key}` is not {digits} hexadecimal digits"),
                    format!("`{key}sum FILE` prints it"),
                );
            }
            sums.push(if digits == 64 { Sum::Sha256(sum) } else { Sum::Sha512(sum) });
        }
        if let Some(url) = self.text(map, "checksum_url") {
            if !is_url(&url) {
                self.wrong(
                    "checksum_url",
                    format!("`{url}` is no URL that can be fetched"),
                    "it begins with https://",
                );
            }
            sums.push(Sum::Published(url));
        }
        let told = ["sha256", "sha512", "checksum_url"].iter().any(|key| map.contains_key(*key));
        if !told && !matches!(at, At::File(_)) {
            self.wrong(
                "",
                format!("`{}` has no checksum", at.as_str()),
                "write `sha256:`, `sha512:`, or `checksum_url:` with the published file",
            );
        }
        // The first is the strongest statement that does not need the network.
        Some((at, sums.into_iter().next()))
    }

    fn rootfs(&mut self, written: &Value) -> Option<ArtifactKind> {
        self.path.push("rootfs".to_owned());
        let read = self.rootfs_below(written);
        self.path.pop();
        read
    }

    fn rootfs_below(&mut self, written: &Value) -> Option<ArtifactKind> {
        let map = self.map(written, &["debian", "packages"], "a root file system")?;
        let plain = |text: &str| {
            text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
                && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c))
        };
        let debian = self.text(map, "debian").unwrap_or_default();
        if !plain(&debian) {
            self.wrong(
                "debian",
                format!("`{debian}` is no code name of a Debian release"),
                "for example `debian: bookworm`",
            );
        }
        let listed = map.get("packages").and_then(Value::as_array);
        let packages: Option<Vec<String>> =
            listed.and_then(|list| list.iter().map(|one| one.as_str().map(str::to_owned)).collect());
        let Some(packages) = packages.filter(|list| !list.is_empty() && list.iter().all(|one| plain(one)))
        else {
            self.wrong(
                "packages",
                "`packages` is no list of Debian packages".to_owned(),
                "for example `packages: [redis-server]`",
            );
            return None;
        };
        Some(ArtifactKind::Rootfs { debian, packages })
    }
}

/// Whether a text is an address for HTTP.
fn is_url(url: &str) -> bool {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[')
            && url.chars().all(|c| c.is_ascii_graphic())
            && !rest.split('/').next().unwrap_or_default().contains('@')
    })
}

/// Whether a text is a package URL with a version.
fn is_purl(purl: &str) -> bool {
    let Some(rest) = purl.strip_prefix("pkg:") else { return false };
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    let parts: Vec<&str> = path.split('/').collect();
    purl.chars().all(|c| c.is_ascii_graphic())
        && parts.len() >= 2
        && parts.iter().all(|part| !part.is_empty() && *part != ".." && !part.starts_with('-'))
        && parts
            .last()
            .and_then(|last| last.rsplit_once('@'))
            .is_some_and(|(name, version)| !name.is_empty() && !version.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problems(resource: &Value, files: bool) -> Vec<String> {
        let mut problems = Vec::new();
        read(resource, files, &mut problems);
        problems.into_iter().map(|problem| format!("{}: {}", problem.path.join("/"), problem.what)).collect()
    }

    #[test]
    fn artifacts_of_every_kind_are_read() {
        let hex = "A".repeat(64);
        let resource = json!({"artifacts": {
            "spark": {"sources": [
                {"url": "https://a.example/x/spark.tgz?y=1", "sha256": hex, "home": "spark-3/"},
                {"purl": "pkg:pypi/pyspark@3.5.3", "checksum_url": "https://a.example/s"},
                {"file": "local.tgz"}]},
            "jars": {"closure": [{"purl": "pkg:maven/org.x/y@1?type=jar", "sha256": hex, "path": "lib/y.jar"},
                {"purl": "pkg:pypi/z@1", "sha512": "0".repeat(128), "path": ".", "unpack": true}]},
            "root": {"rootfs": {"debian": "bookworm", "packages": ["redis-server"]}, "extract": false}}});
        let mut problems = Vec::new();
        let artifacts = read(&resource, true, &mut problems);
        assert_eq!(problems, []);
        insta::assert_snapshot!(serde_json::to_string_pretty(&artifacts).unwrap());
        let spark = &artifacts["spark"];
        assert_eq!(spark.file_name(Some("https://a.example/x/spark.tgz?y=1")), "spark.tgz");
        assert_eq!(spark.file_name(None), "spark");
        assert!(spark.extracts("spark.tgz"));
        assert!(!spark.extracts("spark.jar"));
        assert_eq!(artifacts["jars"].file_name(None), "jars.tar");
        assert!(!artifacts["root"].extracts("root.tar"));
    }

    #[test]
    fn mistakes_are_named_where_they_are() {
        let sum = "0".repeat(64);
        for (artifact, wrong) in [
            (json!({}), "artifacts/a: the artifact `a` says not where it is from"),
            (json!({"sources": []}), "artifacts/a/sources: `sources` is no list with entries"),
            (json!({"source": []}), "artifacts/a/source: an artifact has no key `source`"),
            (
                json!({"sources": [{"url": "https://x/y"}]}),
                "artifacts/a/sources/0: `https://x/y` has no checksum",
            ),
            (
                json!({"sources": [{"url": "ftp://x/y", "sha256": sum}]}),
                "artifacts/a/sources/0/url: `ftp://x/y` is no URL that can be fetched",
            ),
            (
                json!({"sources": [{"url": "https://u:p@x/y", "sha256": sum}]}),
                "artifacts/a/sources/0/url: `https://u:p@x/y` is no URL that can be fetched",
            ),
            (
                json!({"sources": [{"url": "https://x/y", "sha256": "12"}]}),
                "artifacts/a/sources/0/sha256: `sha256` is not 64 hexadecimal digits",
            ),
            (
                json!({"sources": [{"url": "https://x/y", "sha256": sum, "home": "../x"}]}),
                "artifacts/a/sources/0/home: `../x` leads out of the archive",
            ),
            (
                json!({"sources": [{"url": "https://x/y", "sha256": sum, "home": "/x"}]}),
                "artifacts/a/sources/0/home: `/x` leads out of the archive",
            ),
            (
                json!({"sources": [{"purl": "pkg:pypi/x", "sha256": sum}]}),
                "artifacts/a/sources/0/purl: `pkg:pypi/x` is no package URL with a version",
            ),
            (
                json!({"sources": [{"purl": "pkg:pypi/--index-url@1", "sha256": sum}]}),
                "artifacts/a/sources/0/purl: `pkg:pypi/--index-url@1` is no package URL with a version",
            ),
            (
                json!({"sources": [{"file": "../x", "sha256": sum}]}),
                "artifacts/a/sources/0/file: `../x` leads out of the package's directory",
            ),
            (
                json!({"sources": [{"url": "https://x/y", "purl": "pkg:a/b@1"}]}),
                "artifacts/a/sources/0: an entry has not exactly one place",
            ),
            (
                json!({"file": "a/b", "sources": [{"file": "x"}]}),
                "artifacts/a/file: `a/b` is no name of a file",
            ),
            (
                json!({"extract": "yes", "sources": [{"file": "x"}]}),
                "artifacts/a/extract: `extract` is neither true nor false",
            ),
            (json!({"closure": [{"file": "x"}]}), "artifacts/a/closure/0/path: `` is no path within the tar"),
            (
                json!({"closure": [{"file": "x", "path": "a/../../b"}]}),
                "artifacts/a/closure/0/path: `a/../../b` is no path within the tar",
            ),
            (
                json!({"rootfs": {"debian": "bookworm", "packages": ["--x"]}}),
                "artifacts/a/rootfs/packages: `packages` is no list of Debian packages",
            ),
            (
                json!({"rootfs": {"debian": "$(x)", "packages": ["x"]}}),
                "artifacts/a/rootfs/debian: `$(x)` is no code name of a Debian release",
            ),
        ] {
            let found = problems(&json!({"artifacts": {"a": artifact}}), true);
            assert!(found.iter().any(|one| one == wrong), "{found:?}");
        }
        assert_eq!(
            problems(&json!({"artifacts": {"A_b": {"sources": [{"file": "x"}]}}}), true),
            ["artifacts/A_b: `A_b` is no name of an artifact"]
        );
        assert_eq!(problems(&json!({"artifacts": {"a": {"sources": [{"file": "x"}]}}}), false).len(), 1);
        let pinned = json!({"artifacts": {"a": {"sources": [{"file": "x", "sha256": sum}]}}});
        assert_eq!(problems(&pinned, false), Vec::<String>::new());
    }
}
