//! The operator's directory with both authorities: there as a whole or not at all, and nobody else's to read.
//!
//! ```text
//! .clusterctl/<cluster>/pki/    0700
//!     cluster-ca.pem            certificate of the authority of masters, agents and clients
//!     cluster-ca.key     0600   its private key
//!     etcd-ca.pem               the same two of etcd's authority
//!     etcd-ca.key        0600
//!     secrets.key        0600   what the masters encrypt secrets with
//! .clusterctl/<cluster>/pki.lock
//! ```
//!
//! Keys are not encrypted: whoever can read this directory can make himself an administrator of the cluster.

mod error;
mod files;

use std::fs::File;
use std::path::Path;
use std::time::SystemTime;

use secrecy::{ExposeSecret as _, SecretString};

pub use self::error::DirectoryError;
use crate::{Ca, Draw, Kind, PkiError};

/// Both authorities of a cluster.
#[derive(Debug, Clone)]
pub struct Pki {
    /// The one of masters, agents and clients.
    pub cluster: Ca,
    /// The one of etcd.
    pub etcd: Ca,
}

/// Whether authorities were there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// They were made now.
    Created,
    /// They were made before.
    Found,
}

impl Pki {
    /// Makes both authorities, in memory alone.
    ///
    /// # Errors
    /// As [`Ca::create`].
    pub fn create(cluster: &str, now: SystemTime, draws: [Draw; 2]) -> Result<Self, PkiError> {
        let [first, second] = draws;
        Ok(Self {
            cluster: Ca::create(Kind::Cluster, cluster, now, first)?,
            etcd: Ca::create(Kind::Etcd, cluster, now, second)?,
        })
    }

    const fn of(&self, kind: Kind) -> &Ca {
        match kind {
            Kind::Cluster => &self.cluster,
            Kind::Etcd => &self.etcd,
        }
    }
}

/// Loads the authorities of `cluster` from `dir`, or answers that there are none. Changes nothing.
///
/// # Errors
/// [`DirectoryError`], when what is there is not whole, not of this cluster, or can be read by others.
pub fn open(dir: &Path, cluster: &str) -> Result<Option<Pki>, DirectoryError> {
    if !files::holds_something(dir)? {
        return Ok(None);
    }
    files::check_dir(dir)?;
    let missing: Vec<String> = Kind::ALL
        .into_iter()
        .flat_map(|kind| [certificate_name(kind), key_name(kind)])
        .filter(|name| !dir.join(name).exists())
        .collect();
    if !missing.is_empty() {
        return Err(DirectoryError::Incomplete { dir: dir.to_owned(), missing });
    }
    Ok(Some(Pki { cluster: load(dir, Kind::Cluster, cluster)?, etcd: load(dir, Kind::Etcd, cluster)? }))
}

/// Loads the authorities of `cluster` from `dir`, or makes them. Of several processes that do so at once, one makes them
/// and the others find them.
///
/// # Errors
/// [`DirectoryError`]; authorities that are there are never replaced.
pub fn open_or_create(dir: &Path, cluster: &str, now: SystemTime) -> Result<(Pki, Origin), DirectoryError> {
    if let Some(found) = open(dir, cluster)? {
        return Ok((found, Origin::Found));
    }
    let _held = lock(dir)?;
    if let Some(found) = open(dir, cluster)? {
        return Ok((found, Origin::Found));
    }
    let made = Pki::create(cluster, now, [Draw::new()?, Draw::new()?])?;
    save(dir, &made)?;
    Ok((made, Origin::Created))
}

/// What the file `name` of a directory with authorities holds; where there is none, it is made and holds `new` from then on. Of several
/// processes that do so at once, one makes it and the others find it.
///
/// # Errors
/// [`DirectoryError`]; a file that is there is never replaced.
pub fn keep(dir: &Path, name: &str, new: &SecretString) -> Result<(SecretString, Origin), DirectoryError> {
    files::check_dir(dir)?;
    let path = dir.join(name);
    if let Some(found) = kept(&path)? {
        return Ok((found, Origin::Found));
    }
    let _held = lock(dir)?;
    if let Some(found) = kept(&path)? {
        return Ok((found, Origin::Found));
    }
    let temporary = files::beside(&path, ".new");
    // Left by a run that was killed; nobody else writes while the lock is held.
    files::remove_file(&temporary)?;
    files::write(&temporary, new.expose_secret().as_bytes(), 0o600)?;
    files::rename(&temporary, &path)?;
    Ok((new.clone(), Origin::Created))
}

fn kept(path: &Path) -> Result<Option<SecretString>, DirectoryError> {
    if !files::is_there(path)? {
        return Ok(None);
    }
    files::check_key(path)?;
    Ok(Some(files::read(path)?.into()))
}

/// Held while authorities are made, which takes milliseconds. The kernel gives it up when its holder dies.
fn lock(dir: &Path) -> Result<File, DirectoryError> {
    let path = files::beside(dir, ".lock");
    files::make_parent(dir)?;
    let locked = || {
        let file = files::open_lock(&path)?;
        file.lock()?;
        Ok(file)
    };
    locked().map_err(|source| DirectoryError::Io { path: path.clone(), action: "lock", source })
}

/// Writes all files into a directory of another name, and gives it its own when they are on the disk.
fn save(dir: &Path, pki: &Pki) -> Result<(), DirectoryError> {
    let temporary = files::beside(dir, ".new");
    // Left by a run that was killed; nobody else writes while the lock is held.
    files::remove(&temporary)?;
    files::make_dir(&temporary)?;
    for kind in Kind::ALL {
        let ca = pki.of(kind);
        files::write(&temporary.join(certificate_name(kind)), ca.certificate().as_bytes(), 0o644)?;
        files::write(&temporary.join(key_name(kind)), ca.key().expose_secret().as_bytes(), 0o600)?;
    }
    files::sync_dir(&temporary)?;
    files::rename(&temporary, dir)
}

fn load(dir: &Path, kind: Kind, cluster: &str) -> Result<Ca, DirectoryError> {
    let (certificate_path, key_path) = (dir.join(certificate_name(kind)), dir.join(key_name(kind)));
    files::check_key(&key_path)?;
    let certificate = files::read(&certificate_path)?;
    let ca = Ca::from_pem(&certificate, files::read(&key_path)?.into()).map_err(|fault| {
        let path = match fault {
            PkiError::Key | PkiError::KeyDiffers => key_path,
            _ => certificate_path.clone(),
        };
        DirectoryError::Damaged { path, source: Box::new(fault) }
    })?;
    if ca.cluster() != cluster || ca.kind() != kind {
        return Err(DirectoryError::Other {
            path: certificate_path,
            found: format!("{} authority of cluster {:?}", ca.kind(), ca.cluster()),
            wanted: format!("{kind} authority of cluster {cluster:?}"),
        });
    }
    Ok(ca)
}

fn certificate_name(kind: Kind) -> String {
    format!("{kind}-ca.pem")
}

fn key_name(kind: Kind) -> String {
    format!("{kind}-ca.key")
}

#[cfg(test)]
mod tests;
