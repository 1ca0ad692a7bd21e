//! `ssh`: settings for all hosts and for one; what a host sets goes before what all have.

use std::time::Duration;

use crate::faults::Faults;
use crate::fields::Fields;
use crate::form;
use crate::model::{Become, HostKeyChecking, Jump, Ssh, SshConfig};
use crate::names;
use crate::tree::Node;

/// Long enough for a host far away, short enough for a person who waits.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What was written in one place.
#[derive(Clone, Default)]
pub(super) struct Settings {
    user: Option<String>,
    pub(super) port: Option<u16>,
    identity_files: Option<Vec<String>>,
    identities_only: Option<bool>,
    host_key_checking: Option<HostKeyChecking>,
    becoming: Option<Become>,
    jump: Option<Vec<Jump>>,
    known_hosts: Option<String>,
    connect_timeout: Option<Duration>,
    config: Option<SshConfig>,
    password_file: Option<String>,
}

impl Settings {
    /// These settings, and those of all hosts where these say nothing.
    pub(super) fn over(self, all: &Settings) -> Ssh {
        let all = all.clone();
        Ssh {
            user: self.user.or(all.user),
            port: self.port.or(all.port),
            identity_files: self.identity_files.or(all.identity_files).unwrap_or_default(),
            identities_only: self.identities_only.or(all.identities_only),
            host_key_checking: self
                .host_key_checking
                .or(all.host_key_checking)
                .unwrap_or(HostKeyChecking::Ask),
            becoming: self.becoming.or(all.becoming).unwrap_or(Become::Sudo),
            jump: self.jump.or(all.jump),
            known_hosts: self.known_hosts.or(all.known_hosts),
            connect_timeout: self.connect_timeout.or(all.connect_timeout).unwrap_or(CONNECT_TIMEOUT),
            config: self.config.or(all.config).unwrap_or(SshConfig::Default),
            password_file: self.password_file.or(all.password_file),
        }
    }
}

pub(super) fn read(node: &Node, faults: &mut Faults<'_>) -> Option<Settings> {
    let fields = Fields::of(node, &form::SSH, faults)?;
    let checking = |word: &str| match word {
        "ask" => Some(HostKeyChecking::Ask),
        "strict" => Some(HostKeyChecking::Strict),
        "accept-new" => Some(HostKeyChecking::AcceptNew),
        _ => None,
    };
    let becoming = |word: &str| match word {
        "sudo" => Some(Become::Sudo),
        "none" => Some(Become::None),
        _ => None,
    };
    let config = |text: &str| match text {
        "none" => Ok(SshConfig::None),
        file => names::path(file).map(SshConfig::File),
    };
    Some(Settings {
        user: fields.value("user", faults, names::user).map(|read| read.value),
        port: fields.value("port", faults, names::port).map(|read| read.value),
        identity_files: values(fields.values("identity_file", faults, names::path)),
        identities_only: fields.value("identities_only", faults, names::truth).map(|read| read.value),
        host_key_checking: fields.choice("host_key_checking", faults, checking).map(|read| read.value),
        becoming: fields.choice("become", faults, becoming).map(|read| read.value),
        jump: jump(&fields, faults),
        known_hosts: fields.value("known_hosts", faults, names::path).map(|read| read.value),
        connect_timeout: fields.value("connect_timeout", faults, names::duration).map(|read| read.value),
        config: fields.value("config", faults, config).map(|read| read.value),
        password_file: fields.value("password_file", faults, names::path).map(|read| read.value),
    })
}

/// The hosts on the way; `none` or an empty list for a direct way.
fn jump(fields: &Fields<'_>, faults: &mut Faults<'_>) -> Option<Vec<Jump>> {
    let read = fields.values("jump", faults, |text| match text {
        "none" => Ok(None),
        host => names::jump(host).map(Some),
    })?;
    if let Some(none) = read.iter().find(|read| read.value.is_none()).filter(|_| read.len() > 1) {
        faults.add(
            none.place,
            "`none` stands beside a jump host",
            "write `jump: none` for a direct way, or the hosts alone",
        );
    }
    Some(read.into_iter().filter_map(|read| read.value).collect())
}

fn values<T>(read: Option<Vec<crate::fields::Read<T>>>) -> Option<Vec<T>> {
    Some(read?.into_iter().map(|read| read.value).collect())
}
