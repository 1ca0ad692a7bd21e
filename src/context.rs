//! Which cluster a command speaks to: the flag, the variable, or the current context of the user's own file.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use api::Secret;
use api::client::{ClientError, MasterUrl};
use serde::{Deserialize, Serialize};

use crate::error::CliError;
use crate::text::similar;

/// The variable that stands for `--url`.
pub(crate) const URL_VARIABLE: &str = "CLUSTERCTL_URL";

/// The variable with the file of the authority that masters' certificates are from.
pub(crate) const CA_VARIABLE: &str = "CLUSTERCTL_CA";

/// The variable with a token.
pub(crate) const TOKEN_VARIABLE: &str = "CLUSTERCTL_TOKEN";

/// Where `clusterctl up` listens unless told otherwise.
pub(crate) const DEFAULT_URL: &str = "http://127.0.0.1:5050";

/// The most that the file may hold, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// `config.yaml`: the clusters that the user knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Contexts {
    /// The one that is spoken to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<String>,
    /// All of them, by name.
    #[serde(default)]
    pub(crate) contexts: BTreeMap<String, Context>,
}

/// One cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Context {
    /// The URLs of its masters.
    pub(crate) masters: Vec<String>,
    /// The authority that its masters' certificates are from, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca: Option<String>,
    /// What logging in gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<Secret>,
}

/// What is wrong with the file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContextError {
    #[error("neither XDG_CONFIG_HOME nor HOME says where clusterctl's file belongs")]
    NoHome,
    #[error("cannot read {}", .path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{}{}: {reason}", .path.display(), .at.map_or_else(String::new, |(line, column)| format!(":{line}:{column}")))]
    Syntax { path: PathBuf, at: Option<(u64, u64)>, reason: String },
    #[error("cannot write {}", .path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("there is no cluster {name:?} in {}", .path.display())]
    Unknown { name: String, path: PathBuf, known: Vec<String> },
    #[error("the cluster {name:?} in {} has no usable master", .path.display())]
    Masters { name: String, path: PathBuf, source: ClientError },
}

impl From<ContextError> for CliError {
    fn from(error: ContextError) -> Self {
        let shown = Self::usage(error.to_string());
        let shown = match std::error::Error::source(&error) {
            Some(cause) => shown.caused_by(cause),
            None => shown,
        };
        match &error {
            ContextError::NoHome => shown.hint(format!("set HOME, or say `--url {DEFAULT_URL}`")),
            ContextError::Syntax { .. } => shown.hint(
                "its form is `{current: NAME, contexts: {NAME: {masters: [URL], ca: PEM, token: TEXT}}}`; mend it, or remove it",
            ),
            ContextError::Unknown { name, known, .. } => {
                let near = similar(name, known.iter().map(String::as_str));
                let shown =
                    near.iter().fold(shown, |shown, near| shown.hint(format!("did you mean `{near}`?")));
                shown.hint("`clusterctl cluster list` shows the clusters you know; `clusterctl cluster add` adds one")
            }
            ContextError::Masters { name, .. } => {
                shown.hint(format!("`clusterctl cluster add {name} URL` writes it anew"))
            }
            ContextError::Read { .. } | ContextError::Write { .. } => shown,
        }
    }
}

/// Where the file is.
pub(crate) fn path() -> Result<PathBuf, ContextError> {
    path_in(|name| env::var_os(name).map(PathBuf::from))
}

/// A relative `XDG_CONFIG_HOME` is to be ignored, says its specification.
fn path_in(variable: impl Fn(&str) -> Option<PathBuf>) -> Result<PathBuf, ContextError> {
    let set = |name| variable(name).filter(|path| path.is_absolute());
    let folder = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")));
    folder.map(|folder| folder.join("clusterctl/config.yaml")).ok_or(ContextError::NoHome)
}

impl Contexts {
    /// Reads the file; one that is not there knows no cluster.
    pub(crate) fn load(path: &Path) -> Result<Self, ContextError> {
        let unreadable = |source| ContextError::Read { path: path.to_owned(), source };
        match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(unreadable(error)),
            Ok(meta) if meta.len() > MAX_FILE => {
                return Err(unreadable(io::Error::other("it is too large to be clusterctl's file")));
            }
            Ok(_) => {}
        }
        let text = fs::read_to_string(path).map_err(unreadable)?;
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        // No snippet: a line of the file may hold what is nobody's business.
        serde_yaml::from_str_with_options(&text, serde_yaml::options! { with_snippet: false }).map_err(
            |error| ContextError::Syntax {
                path: path.to_owned(),
                at: error.location().map(|at| (at.line(), at.column())),
                reason: crate::input::without_place(&error),
            },
        )
    }

    /// Writes the file, whole or not at all, for the user's eyes alone.
    pub(crate) fn store(&self, path: &Path) -> Result<(), ContextError> {
        let text = serde_yaml::to_string(self).map_err(io::Error::other);
        text.and_then(|text| replace(path, text.as_bytes()))
            .map_err(|source| ContextError::Write { path: path.to_owned(), source })
    }

    /// The context of that name.
    pub(crate) fn find(&self, name: &str, path: &Path) -> Result<&Context, ContextError> {
        self.contexts.get(name).ok_or_else(|| ContextError::Unknown {
            name: name.to_owned(),
            path: path.to_owned(),
            known: self.contexts.keys().cloned().collect(),
        })
    }

    /// The current context, if there is one, and what it says.
    fn target(&self, path: &Path) -> Result<Option<Target>, ContextError> {
        let Some(name) = &self.current else { return Ok(None) };
        self.target_of(name, path).map(Some)
    }

    /// What the context of this name says.
    pub(crate) fn target_of(&self, name: &str, path: &Path) -> Result<Target, ContextError> {
        let context = self.find(name, path)?;
        let none = ClientError::BadUrl { text: String::new(), reason: "it names no master".to_owned() };
        let masters: Result<Vec<MasterUrl>, _> = context.masters.iter().map(|url| url.parse()).collect();
        let masters = masters.and_then(|masters| if masters.is_empty() { Err(none) } else { Ok(masters) });
        let masters = masters.map_err(|source| ContextError::Masters {
            name: name.to_owned(),
            path: path.to_owned(),
            source,
        })?;
        Ok(Target { masters, ca: context.ca.clone(), token: context.token.clone() })
    }
}

/// The cluster that a command speaks to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Its masters.
    pub(crate) masters: Vec<MasterUrl>,
    /// Whom to believe, PEM; else whom the system believes.
    pub(crate) ca: Option<String>,
    /// What to show.
    pub(crate) token: Option<Secret>,
}

/// Writes beside the file, then puts it in its place.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // Where people keep such files elsewhere and link to them, the link stays.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let path = target.as_path();
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder)?;
    let temporary = folder.join(format!(".config.yaml.{}", std::process::id()));
    let written = write_new(&temporary, bytes).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&temporary);
        return written;
    }
    File::open(folder)?.sync_all()
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    // The mode above holds for a new file alone.
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Remembers a cluster in the user's file, and speaks to it from now on if `make_current`.
pub(crate) fn save(name: &str, masters: &[MasterUrl], make_current: bool) -> Result<PathBuf, ContextError> {
    let path = path()?;
    let mut contexts = Contexts::load(&path)?;
    contexts.put(name, masters, make_current);
    contexts.store(&path)?;
    Ok(path)
}

impl Contexts {
    /// Adds or replaces a context; the first becomes the current one. What was known of the same masters stays; other masters are
    /// not shown the token of those before.
    pub(crate) fn put(&mut self, name: &str, masters: &[MasterUrl], make_current: bool) {
        let masters: Vec<String> = masters.iter().map(ToString::to_string).collect();
        let before = self.contexts.remove(name).filter(|before| before.masters == masters);
        let (ca, token) = before.map(|before| (before.ca, before.token)).unwrap_or_default();
        self.contexts.insert(name.to_owned(), Context { masters, ca, token });
        if make_current || self.current.is_none() {
            self.current = Some(name.to_owned());
        }
    }
}

/// The cluster to speak to: `--url`, `CLUSTERCTL_URL`, the current context, or what `up` uses. Several masters are separated
/// by commas. `CLUSTERCTL_CA` and `CLUSTERCTL_TOKEN` count before what a context has; a context's own are never for a URL.
pub(crate) fn target(flag: Option<&str>) -> Result<Target, CliError> {
    let set = |name: &str| env::var(name).ok().filter(|text| !text.trim().is_empty());
    let variable = set(URL_VARIABLE);
    let named = flag.map(|text| (text, "--url")).or(variable.as_deref().map(|text| (text, URL_VARIABLE)));
    let mut target = match named {
        Some((text, from)) => {
            let masters = list(text).map_err(|error| {
                CliError::usage(format!("{from} is wrong"))
                    .caused_by(&error)
                    .hint(format!("write `--url {DEFAULT_URL}`, or several with commas between them"))
            })?;
            Target { masters, ca: None, token: None }
        }
        None => {
            // Without a home there is no file, but still a cluster on this machine.
            let known = match path() {
                Ok(path) => Contexts::load(&path)?.target(&path)?,
                Err(_) => None,
            };
            let own = || list(DEFAULT_URL).map_err(|error| CliError::internal(error.to_string()));
            match known {
                Some(target) => target,
                None => Target { masters: own()?, ca: None, token: None },
            }
        }
    };
    if let Some(file) = set(CA_VARIABLE) {
        target.ca = Some(read_ca(Path::new(&file)).map_err(|error| error.context(CA_VARIABLE))?);
    }
    if let Some(token) = set(TOKEN_VARIABLE) {
        target.token = Some(Secret::from(token));
    }
    Ok(target)
}

/// The certificate of an authority, PEM.
pub(crate) fn read_ca(file: &Path) -> Result<String, CliError> {
    let unreadable =
        |cause: io::Error| CliError::usage(format!("cannot read {}", file.display())).caused_by(&cause);
    if fs::metadata(file).map_err(unreadable)?.len() > MAX_FILE {
        return Err(unreadable(io::Error::other("it is too large for a certificate")));
    }
    let text = fs::read_to_string(file).map_err(unreadable)?;
    tls::fingerprint(&text).map_err(|cause| {
        CliError::usage(format!("{} is no certificate", file.display())).caused_by(&cause)
    })?;
    Ok(text)
}

/// Reads URLs with commas between them.
pub(crate) fn list(text: &str) -> Result<Vec<MasterUrl>, ClientError> {
    text.split(',').map(str::trim).filter(|url| !url.is_empty()).map(str::parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(text: &str) -> Vec<MasterUrl> {
        list(text).unwrap()
    }

    #[test]
    fn the_file_lies_where_the_system_says() {
        let at = |xdg: Option<&str>, home: Option<&str>| {
            path_in(|name| if name == "HOME" { home } else { xdg }.map(PathBuf::from)).ok()
        };
        assert_eq!(at(Some("/x"), Some("/h")), Some("/x/clusterctl/config.yaml".into()));
        assert_eq!(at(Some("x"), Some("/h")), Some("/h/.config/clusterctl/config.yaml".into()));
        assert_eq!(at(None, None), None);
    }

    #[test]
    fn what_is_stored_is_loaded_again_and_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/clusterctl/config.yaml");
        assert_eq!(Contexts::load(&path).unwrap(), Contexts::default());

        let mut contexts = Contexts::default();
        contexts.put("one", &urls("http://127.0.0.1:5050"), false);
        contexts.put("two", &urls("m1:5050, m2:5050"), false);
        contexts.store(&path).unwrap();
        contexts.put("two", &urls("m1:5050,m2:5050"), true);
        contexts.store(&path).unwrap();

        assert_eq!(Contexts::load(&path).unwrap(), contexts);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no temporary file is left");
        insta::assert_snapshot!(fs::read_to_string(&path).unwrap(), @r"
        current: two
        contexts:
          one:
            masters:
            - http://127.0.0.1:5050
          two:
            masters:
            - http://m1:5050
            - http://m2:5050
        ");
    }

    #[test]
    fn a_token_stays_with_its_masters_and_is_never_shown() {
        let mut contexts = Contexts::default();
        contexts.put("prod", &urls("https://m1:5050"), false);
        let context = contexts.contexts.get_mut("prod").unwrap();
        (context.ca, context.token) = (Some("CA".to_owned()), Some(Secret::from("hunter2")));
        assert!(!format!("{contexts:?}").contains("hunter2"));
        let before = contexts.clone();
        contexts.put("prod", &urls("https://m1:5050"), true);
        assert_eq!(contexts, before);
        contexts.put("prod", &urls("https://evil:5050"), true);
        assert_eq!(
            (contexts.contexts["prod"].ca.as_ref(), contexts.contexts["prod"].token.as_ref()),
            (None, None)
        );
    }

    fn refused(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.yaml");
        fs::write(&path, text).unwrap();
        let error = Contexts::load(&path).and_then(|contexts| contexts.target(&path)).unwrap_err();
        let shown = CliError::from(error).styled();
        let shown = anstream::adapter::strip_str(&shown).to_string();
        shown.replace(&folder.path().display().to_string(), "DIR")
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        insta::assert_snapshot!(refused("current: a\ncontext: {}\n"), @r"
        error: DIR/config.yaml:2:1: unknown field `context`, expected one of current, contexts
        hint: its form is `{current: NAME, contexts: {NAME: {masters: [URL], ca: PEM, token: TEXT}}}`; mend it, or remove it
        ");
        insta::assert_snapshot!(refused("contexts:\n  a: {masters: nonsense\n"), @r"
        error: DIR/config.yaml:2:16: expected sequence start
        hint: its form is `{current: NAME, contexts: {NAME: {masters: [URL], ca: PEM, token: TEXT}}}`; mend it, or remove it
        ");
        insta::assert_snapshot!(refused("current: demo\ncontexts:\n  dmeo: {masters: ['http://m:1']}\n"), @r#"
        error: there is no cluster "demo" in DIR/config.yaml
        hint: did you mean `dmeo`?
        hint: `clusterctl cluster list` shows the clusters you know; `clusterctl cluster add` adds one
        "#);
        insta::assert_snapshot!(refused("current: a\ncontexts:\n  a: {masters: ['ftp://m:1']}\n"), @r#"
        error: the cluster "a" in DIR/config.yaml has no usable master
          caused by: "ftp://m:1" is no URL of a master: only http:// and https:// are spoken
        hint: `clusterctl cluster add a URL` writes it anew
        "#);
    }
}
