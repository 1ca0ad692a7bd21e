//! What the daemons of a node have in common: their configuration files, what they tell systemd, and the signals that end
//! them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use identity::{Identity, PeerRole};
use sd_notify::NotifyState;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use tls::{Files, Tls};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::CliError;
use crate::{input, text};

/// The most that a configuration may hold, in bytes.
const MAX_FILE: u64 = 1 << 20;
/// How often it is looked whether the certificate is about to end, or was replaced.
pub(crate) const DAY: Duration = Duration::from_secs(24 * 3600);

/// Where a node has its certificate, as configurations write it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsFiles {
    ca: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl TlsFiles {
    /// The node's certificate, which must be for this role and name.
    pub(crate) fn load(&self, cluster: &str, role: PeerRole, name: &str) -> Result<Tls, CliError> {
        let own = Identity::new(cluster, role, name).map_err(|cause| {
            CliError::usage("`cluster` or `name` of the configuration is wrong").caused_by(&cause)
        })?;
        let files =
            Files { ca: self.ca.clone(), certificate: self.certificate.clone(), key: self.key.clone() };
        let tls = Tls::load(files, own, SystemTime::now()).map_err(|cause| {
            CliError::usage("this node's certificate cannot be used")
                .caused_by(&cause)
                .hint("`clusterctl install` writes certificates, and renews what is about to end")
        })?;
        tls.warn_of_expiry(SystemTime::now());
        Ok(tls)
    }
}

/// A duration as flags have it: `75s`, `10m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text::duration(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// Reads a configuration; a mistake is named with its line and column.
pub(crate) fn configuration<T: DeserializeOwned>(path: &Path) -> Result<T, CliError> {
    let unreadable =
        |cause: io::Error| CliError::usage(format!("cannot read {}", path.display())).caused_by(&cause);
    let size = fs::metadata(path).map_err(unreadable)?.len();
    if size > MAX_FILE {
        return Err(unreadable(io::Error::other("it is too large for a configuration")));
    }
    let text = fs::read_to_string(path).map_err(unreadable)?;
    serde_yaml::from_str_with_options(&text, serde_yaml::options! { with_snippet: false }).map_err(|error| {
        let place = error.location().map(|at| format!(":{}:{}", at.line(), at.column()));
        let place = place.unwrap_or_default();
        CliError::usage(format!("{}{place}: {}", path.display(), input::without_place(&error)))
    })
}

/// Directories as a configuration names them: absolute, without `..`. Those that are not there are left out where a task
/// asks for them.
pub(crate) fn absolute(what: &str, paths: &[PathBuf]) -> Result<Vec<PathBuf>, CliError> {
    let one = |path: &PathBuf| {
        let climbs = path.components().any(|part| part == std::path::Component::ParentDir);
        if climbs || !path.is_absolute() {
            return Err(CliError::usage(format!("`{what}: {}` is not possible", path.display()))
                .hint("write a whole path, like /srv/data, without '..'"));
        }
        Ok(path.components().collect())
    };
    paths.iter().map(one).collect()
}

/// Tells systemd, if it is there. That it does not hear is no reason to end.
pub(crate) fn tell(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!(%error, "systemd cannot be told");
    }
}

/// It works.
pub(crate) fn tell_alive() {
    tell(NotifyState::Watchdog);
}

/// How often systemd wants to hear that it works: twice in the time that it waits.
pub(crate) fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|within| within / 2).filter(|every| !every.is_zero())
}

/// Keeps the certificate that is on disk in use, and warns when it is about to end. Never done.
pub(crate) async fn keep_certificate(tls: Tls, mut hangup: Signal) {
    let mut day = tokio::time::interval(DAY);
    day.tick().await;
    loop {
        tokio::select! {
            heard = hangup.recv() => if heard.is_none() {
                return;
            },
            _ = day.tick() => {}
        }
        match tls.reload(SystemTime::now()) {
            Ok(()) => tracing::info!(days = tls.days_left(SystemTime::now()), "certificate read again"),
            Err(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "the certificate cannot be read again; the one before stays in use"
            ),
        }
        tls.warn_of_expiry(SystemTime::now());
    }
}

/// SIGHUP.
pub(crate) fn hangup() -> Result<Signal, CliError> {
    signal(SignalKind::hangup()).map_err(|cause| no_signals(&cause))
}

/// SIGTERM and SIGINT.
pub(crate) struct End(Signal, Signal);

impl End {
    pub(crate) fn new() -> Result<Self, CliError> {
        let listen = |kind| signal(kind).map_err(|cause| no_signals(&cause));
        Ok(Self(listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?))
    }

    /// Waits for one of them.
    pub(crate) async fn asked(&mut self) {
        tokio::select! {
            _ = self.0.recv() => {}
            _ = self.1.recv() => {}
        }
    }
}

fn no_signals(cause: &io::Error) -> CliError {
    CliError::internal("cannot hear signals").caused_by(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Example {
        name: String,
        wait: Span,
    }

    fn read(text: &str) -> Result<Example, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.yaml");
        fs::write(&path, text).unwrap();
        configuration(&path)
            .map_err(|error: CliError| error.message.replace(&dir.path().display().to_string(), "DIR"))
    }

    #[test]
    fn mistakes_have_a_place() {
        let good = Example { name: "m1".to_owned(), wait: Span(Duration::from_secs(75)) };
        assert_eq!(read("name: m1\nwait: 75s\n"), Ok(good));
        insta::assert_snapshot!(read("name: m1\nwait: 75x\n").unwrap_err(), @"");
        insta::assert_snapshot!(read("name: m1\nwiat: 75s\n").unwrap_err(), @"");
        insta::assert_snapshot!(read("name: m1\n").unwrap_err(), @"");
        insta::assert_snapshot!(read("name: [\n").unwrap_err(), @"");
    }

    #[test]
    fn directories_are_whole_paths() {
        let paths = |text: &str| absolute("host_paths", &[PathBuf::from(text)]);
        assert_eq!(paths("/srv//data/./x/").unwrap(), [PathBuf::from("/srv/data/x")]);
        assert!(paths("srv").is_err() && paths("/srv/../etc").is_err());
    }
}
