//! `agent.yaml`: what the install writes for the agent of a node.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use agent::daemon::{Alive, Isolation, Options};
use identity::PeerRole;
use serde::Deserialize;

use super::{attributes, resources, shim};
use crate::daemon::{self, TlsFiles};
use crate::error::CliError;

/// The file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The cluster's name.
    cluster: String,
    /// The agent's name, as its certificate has it.
    name: String,
    /// Its Mesos hostname; its address when absent.
    #[serde(default)]
    hostname: Option<String>,
    /// Where its tasks are reached, and masters read their files.
    address: IpAddr,
    #[serde(default = "port")]
    port: u16,
    /// Like `https://192.0.2.11:5050`.
    masters: Vec<String>,
    #[serde(default = "work_dir")]
    work_dir: PathBuf,
    /// Whom tasks run as that name no user; root when absent.
    #[serde(default)]
    task_user: Option<String>,
    /// Whose resources those are that name no role; everybody's when absent.
    #[serde(default)]
    role: Option<String>,
    /// What it gives away; what is not named is detected.
    #[serde(default)]
    resources: String,
    #[serde(default)]
    attributes: String,
    #[serde(default)]
    region: String,
    #[serde(default)]
    zone: String,
    /// The group that tasks live below: a path below each hierarchy's root.
    #[serde(default = "group")]
    group: String,
    /// Directories that tasks may fetch `file:` addresses from.
    #[serde(default)]
    file_roots: Vec<PathBuf>,
    /// Directories of this host that tasks may have as volumes.
    #[serde(default)]
    host_paths: Vec<PathBuf>,
    tls: TlsFiles,
}

fn port() -> u16 {
    5051
}

fn work_dir() -> PathBuf {
    PathBuf::from("/var/lib/clusterctl/agent")
}

fn group() -> String {
    "system.slice/clusterctl-tasks.service".to_owned()
}

/// Reads it; the agent's options, and where tasks may fetch files from.
pub(super) fn read(file: &Path) -> Result<(Options, Vec<PathBuf>), CliError> {
    let config: Config = daemon::configuration(file)?;
    let of = |key: &str| format!("{}: `{key}`", file.display());
    let mut options = Options::new(config.work_dir, config.masters, shim()?);
    options.tls = Some(config.tls.load(&config.cluster, PeerRole::Agent, &config.name)?);
    options.name = config.name;
    options.hostname = config.hostname.unwrap_or_else(|| config.address.to_string());
    options.address = config.address;
    options.port = config.port;
    options.resources = resources(&of("resources"), &config.resources)?;
    if let Some(role) = &config.role {
        options.role = role.parse().map_err(|cause: scheduler::RoleError| {
            CliError::usage(format!("{} is no role", of("role")))
                .caused_by(&cause)
                .hint("write one like slave_public")
        })?;
    }
    options.attributes = attributes(&of("attributes"), &config.attributes)?;
    options.region = config.region;
    options.zone = config.zone;
    options.user = config.task_user;
    options.isolation = Isolation::Auto { parent: config.group };
    options.host_paths = daemon::absolute("host_paths", &config.host_paths)?;
    options.alive = daemon::watchdog().map(|every| Alive { every, tell: daemon::tell_alive });
    Ok((options, daemon::absolute("file_roots", &config.file_roots)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "
cluster: demo
name: a1
address: 192.0.2.21
masters: ['https://192.0.2.11:5050']
tls: {ca: /ca.pem, certificate: /cert.pem, key: /key.pem}
";

    fn parse(text: &str) -> Result<Config, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.yaml");
        std::fs::write(&path, text).unwrap();
        daemon::configuration(&path)
            .map_err(|error: CliError| error.message.replace(&dir.path().display().to_string(), "DIR"))
    }

    #[test]
    fn what_is_not_written_has_its_default() {
        let config = parse(LEAST).unwrap();
        assert_eq!((config.port, config.hostname, config.task_user), (5051, None, None));
        assert_eq!(config.work_dir, PathBuf::from("/var/lib/clusterctl/agent"));
        assert_eq!(config.group, "system.slice/clusterctl-tasks.service");
        let whole = format!(
            "{LEAST}port: 6051\nresources: 'cpus:8;mem:15000'\nattributes: 'rack:r1'\nregion: r\nzone: z\ntask_user: nobody\n\
             group: g\nfile_roots: [/srv/files]\nhost_paths: [/srv/data]\nwork_dir: /w\nhostname: node1\n"
        );
        assert_eq!(parse(&whole).unwrap().port, 6051);
    }

    #[test]
    fn what_nobody_knows_is_refused_with_its_place() {
        insta::assert_snapshot!(parse(&format!("{LEAST}maters: []\n")).unwrap_err(), @"DIR/agent.yaml:7:1: unknown field `maters`, expected one of cluster, name, hostname, address, port, masters, work_dir, task_user, role, resources, attributes, region, zone, group, file_roots, host_paths, tls");
        insta::assert_snapshot!(parse(&LEAST.replace("192.0.2.21", "nowhere")).unwrap_err(), @"DIR/agent.yaml:4:10: invalid IP address syntax");
    }
}
