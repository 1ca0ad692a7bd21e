//! The part of `ssh_config` that says where hosts are and who logs in to them: `Host`, `Include`, `HostName`, `User`, `Port`,
//! `IdentityFile`, `IdentitiesOnly`, `ProxyJump`, `UserKnownHostsFile`, `ConnectTimeout`. The first value that is found wins,
//! as for OpenSSH. What has a meaning that is left out is warned of, not guessed at.

mod parse;
mod read;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::pattern::Patterns;
use crate::target::Hop;

/// Something in a file that is left out, though it may matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The file.
    pub path: PathBuf,
    /// Its line, from 1.
    pub line: usize,
    /// What is left out, and what that means.
    pub text: String,
}

/// An `ssh_config`, with all that it includes.
#[derive(Debug, Clone, Default)]
pub struct SshConfig {
    settings: Vec<Setting>,
    warnings: Vec<Warning>,
}

/// For which hosts something is set.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    Host(Patterns),
    /// A `Match` whose criteria are not understood: for none.
    Never,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Setting {
    /// All of them must hold: an included file's own come on top of those of the place that includes it.
    conditions: Vec<Condition>,
    value: Value,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    HostName(String),
    User(String),
    Port(u16),
    IdentityFile(String),
    IdentitiesOnly(bool),
    /// None: explicitly no jump.
    ProxyJump(Vec<Hop>),
    UserKnownHostsFile(Vec<String>),
    ConnectTimeout(Duration),
}

/// Who asks: what names in the configuration are filled in with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Local {
    pub(crate) home: PathBuf,
    pub(crate) user: String,
}

/// What the configuration says of one host.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostConfig {
    /// Its real name or address.
    pub host_name: Option<String>,
    /// The user to log in as.
    pub user: Option<String>,
    /// The port.
    pub port: Option<u16>,
    /// Key files, all of them, in order.
    pub identities: Vec<PathBuf>,
    /// Whether only those keys are tried.
    pub identities_only: bool,
    /// The hosts to go through.
    pub jump: Vec<Hop>,
    /// Files of known hosts that are used instead of the usual ones.
    pub known_hosts: Option<Vec<PathBuf>>,
    /// How long each step of connecting may take.
    pub connect_timeout: Option<Duration>,
}

impl SshConfig {
    /// What is left out, though it may matter.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// What it says of a host as it is named on the command line or in an inventory.
    pub(crate) fn resolve(&self, host: &str, local: &Local) -> HostConfig {
        let name = host.to_ascii_lowercase();
        let holds = |condition: &Condition| match condition {
            Condition::Host(patterns) => patterns.matches(&name),
            Condition::Never => false,
        };
        let mut found = HostConfig::default();
        let (mut identities, mut known) = (Vec::new(), None);
        let (mut only, mut jump) = (None, None);
        for setting in self.settings.iter().filter(|setting| setting.conditions.iter().all(holds)) {
            match &setting.value {
                Value::HostName(value) => first(&mut found.host_name, value),
                Value::User(value) => first(&mut found.user, value),
                Value::Port(value) => first(&mut found.port, value),
                Value::IdentityFile(value) => identities.push(value),
                Value::IdentitiesOnly(value) => first(&mut only, value),
                Value::ProxyJump(value) => first(&mut jump, value),
                Value::UserKnownHostsFile(value) => first(&mut known, value),
                Value::ConnectTimeout(value) => first(&mut found.connect_timeout, value),
            }
        }
        found.identities_only = only.unwrap_or(false);
        found.jump = jump.unwrap_or_default();
        // `%h` here is the name as given; everywhere else it is the real one.
        found.host_name = found.host_name.map(|value| expand(&value, &[('h', host)]));
        let port = found.port.unwrap_or(22).to_string();
        let home = local.home.to_string_lossy();
        let tokens = [
            ('h', found.host_name.as_deref().unwrap_or(host)),
            ('n', host),
            ('p', &port),
            ('r', found.user.as_deref().unwrap_or(&local.user)),
            ('u', &local.user),
            ('d', &home),
        ];
        let path = |value: &String| in_home(&expand(value, &tokens), &local.home);
        let files = |values: Vec<&String>| {
            values.into_iter().filter(|value| !value.eq_ignore_ascii_case("none")).map(path).collect()
        };
        let (identities, known) =
            (files(identities), known.as_ref().map(|known| files(known.iter().collect())));
        HostConfig { identities, known_hosts: known, ..found }
    }
}

fn first<T: Clone>(slot: &mut Option<T>, value: &T) {
    if slot.is_none() {
        *slot = Some(value.clone());
    }
}

/// Fills in tokens like `%h`. One that is not known stays as it is.
fn expand(text: &str, tokens: &[(char, &str)]) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '%' {
            expanded.push(c);
            continue;
        }
        match rest.next() {
            Some('%') => expanded.push('%'),
            Some(token) => match tokens.iter().find(|(name, _)| *name == token) {
                Some((_, value)) => expanded.push_str(value),
                None => expanded.extend(['%', token]),
            },
            None => expanded.push('%'),
        }
    }
    expanded
}

/// A path as a user writes it: `~/` is the home directory.
pub(crate) fn in_home(text: &str, home: &Path) -> PathBuf {
    match text.strip_prefix("~/") {
        Some(rest) => home.join(rest),
        None if text == "~" => home.to_owned(),
        None => PathBuf::from(text),
    }
}

#[cfg(test)]
mod tests;
