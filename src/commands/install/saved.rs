//! A plan in a file: written by `plan --out`, carried out by `install --plan` if hosts are still as they were.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use installer::item::Sum;
use installer::plan::fingerprint;
use installer::run::Planned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::setup::Setup;
use crate::error::CliError;

/// The form of the file.
const FORM: u32 = 1;

/// The file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Saved {
    form: u32,
    cluster: String,
    /// What each host is to go through: a digest to compare, and the steps for people and programs to read.
    hosts: Vec<SavedHost>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedHost {
    host: String,
    fingerprint: Sum,
    steps: Value,
}

/// Writes it, whole or not at all.
pub(super) fn write(file: &Path, setup: &Setup, planned: &Planned) -> Result<(), CliError> {
    let hosts = planned.hosts.iter().map(|(host, steps)| SavedHost {
        host: host.clone(),
        fingerprint: fingerprint(steps),
        steps: serde_json::to_value(steps).unwrap_or(Value::Null),
    });
    let saved = Saved { form: FORM, cluster: setup.cluster().to_owned(), hosts: hosts.collect() };
    let failed = |cause: &std::io::Error| {
        CliError::usage(format!("the plan cannot be written to {}", file.display())).caused_by(cause)
    };
    let text = serde_json::to_vec_pretty(&saved)
        .map_err(|cause| CliError::internal("the plan cannot be written").caused_by(&cause))?;
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let temporary = file.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = || -> std::io::Result<()> {
        let mut out = File::options().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        out.write_all(&text)?;
        out.sync_all()?;
        std::fs::rename(&temporary, file)
    };
    written().map_err(|cause| {
        // The first error is the one to tell.
        let _ = std::fs::remove_file(&temporary);
        failed(&cause)
    })
}

/// Reads it.
pub(super) fn read(file: &Path) -> Result<Saved, CliError> {
    let wrong = |cause: &(dyn std::error::Error + 'static)| {
        CliError::usage(format!("{} is no plan that can be carried out", file.display()))
            .caused_by(cause)
            .hint("`clusterctl plan INVENTORY --out FILE` writes one")
    };
    let text = std::fs::read(file).map_err(|cause| wrong(&cause))?;
    let saved: Saved = serde_json::from_slice(&text).map_err(|cause| wrong(&cause))?;
    if saved.form != FORM {
        return Err(CliError::usage(format!(
            "{} has form {}, and this version carries out form {FORM}",
            file.display(),
            saved.form
        ))
        .hint("make the plan anew with this version"));
    }
    Ok(saved)
}

impl Saved {
    /// Refuses when what there is to do now is something else.
    pub(super) fn check(&self, setup: &Setup, planned: &Planned) -> Result<(), CliError> {
        if self.cluster != setup.cluster() {
            return Err(CliError::usage(format!(
                "the plan is for the cluster {}, and the inventory is of {}",
                self.cluster,
                setup.cluster()
            )));
        }
        let moved = |host: &SavedHost| {
            let now = planned.hosts.iter().find(|(name, _)| *name == host.host);
            now.is_none_or(|(_, steps)| fingerprint(steps) != host.fingerprint)
        };
        let mut changed: Vec<&str> =
            self.hosts.iter().filter(|host| moved(host)).map(|host| host.host.as_str()).collect();
        let new = planned.hosts.iter().filter(|(name, _)| !self.hosts.iter().any(|host| host.host == *name));
        changed.extend(new.map(|(name, _)| name.as_str()));
        if changed.is_empty() {
            return Ok(());
        }
        Err(CliError::usage("hosts or the inventory have changed since the plan was made; nothing was done")
            .hint(format!("look at what is different now: {}", changed.join(", ")))
            .hint(format!("`clusterctl plan {} --out FILE` makes a new plan", setup.file().display())))
    }
}
