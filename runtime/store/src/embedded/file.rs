//! The file: made whole, opened only when sound.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Database, DatabaseError, ReadableDatabase, StorageError, TableDefinition};

use super::Options;
use super::disk::{Backend, Disk};
use super::lock::{self, Lock};
use super::writer::place_of;
use crate::{ClusterVersion, StoreError};

/// The layout of the tables below; raised when it changes.
const FORMAT: u64 = 1;

/// What redb may keep in memory. The masters keep the data themselves, and read it once.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

/// Key to the revision of its last write and its value.
pub(super) const ENTRIES: TableDefinition<'_, &str, (u64, &[u8])> = TableDefinition::new("entries");

/// The numbers below.
pub(super) const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");
pub(super) const EPOCH: &str = "epoch";
pub(super) const REVISION: &str = "revision";
const FORMAT_NAME: &str = "format";

/// An open store. The lock is released after the database is closed: fields drop in this order.
pub(super) struct Opened {
    pub(super) database: Database,
    pub(super) path: PathBuf,
    pub(super) _lock: Lock,
}

pub(super) fn open(dir: &Path, options: &Options) -> Result<Opened, StoreError> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(fault(dir, "make the directory"))?;
    let lock = lock::take(dir)?;
    let path = dir.join("store.redb");
    // One that is there but empty is not a new store: it has lost its content.
    if !path.try_exists().map_err(fault(&path, "look for the file"))? {
        create(dir, &path)?;
    }
    sync_directories(dir, options)?;
    let file =
        OpenOptions::new().read(true).write(true).open(&path).map_err(fault(&path, "open the file"))?;
    let disk = Arc::new(Disk::holding(file, options));
    disk.forget_cache().map_err(fault(&path, "sync the file before it is read"))?;
    // redb promises an error for a damaged file; a panic would be its mistake, and says the same.
    let sound = panic::catch_unwind(AssertUnwindSafe(|| read_all(&disk, &path, options)));
    let database = sound.unwrap_or_else(|_panic| Err(damaged(&path, "redb cannot read it")))?;
    disk.release().map_err(fault(&path, "write the file"))?;
    Ok(Opened { database, path, _lock: lock })
}

/// Checks every page, the format and the version.
fn read_all(disk: &Arc<Disk>, path: &Path, options: &Options) -> Result<Database, StoreError> {
    if redb::StorageBackend::len(&Backend(disk.clone())).map_err(fault(path, "read the file"))? == 0 {
        return Err(damaged(path, "the file is empty"));
    }
    let database = Database::builder()
        .set_cache_size(CACHE_BYTES)
        .set_check_integrity_on_open(true)
        .create_with_backend(Backend(disk.clone()))
        .map_err(|error| open_error(path, error))?;
    let read = || -> Result<_, redb::Error> {
        let snapshot = database.begin_read()?;
        let numbers = snapshot.open_table(NUMBERS)?;
        let entries = snapshot.open_table(ENTRIES)?;
        let number = |name| Ok::<_, redb::Error>(numbers.get(name)?.map(|number| number.value()));
        let version = entries.get(ClusterVersion::KEY)?.map(|entry| entry.value().1.to_vec());
        Ok((number(FORMAT_NAME)?, number(EPOCH)?, number(REVISION)?, version))
    };
    match read().map_err(|error| damaged(path, &error.to_string()))? {
        (Some(format), ..) if format > FORMAT => Err(StoreError::NewerFormat {
            path: path.to_owned(),
            store: format,
            known: FORMAT,
            binary: options.version,
        }),
        (Some(FORMAT), Some(_), Some(_), version) => {
            if let Some(version) = version {
                options.version.admits(ClusterVersion::from_bytes(&version)?)?;
            }
            Ok(database)
        }
        (format, ..) => Err(damaged(path, &format!("its numbers are not a store's (format {format:?})"))),
    }
}

/// Makes the file under another name, so that it appears whole or not at all.
fn create(dir: &Path, path: &Path) -> Result<(), StoreError> {
    let new = dir.join("store.redb.new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(fault(&new, "remove a half-made file")(error));
        }
        _ => {}
    }
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)
        .map_err(fault(&new, "make the file"))?;
    fill(&file).map_err(|error| StoreError::Open {
        path: new.clone(),
        action: "write the file",
        source: Arc::new(error),
    })?;
    file.sync_all().map_err(fault(&new, "sync the file"))?;
    fs::rename(&new, path).map_err(fault(path, "put the file in its place"))
}

/// A name in a directory is durable when the directory is. Which of those above were made by us is not known when an
/// earlier open failed at this: all are synced, each time. One that has nothing to write costs next to nothing.
fn sync_directories(dir: &Path, options: &Options) -> Result<(), StoreError> {
    for (height, directory) in dir.ancestors().enumerate() {
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        match sync_directory(directory, options) {
            // We cannot have made anything in one that we may not even read, but for the one just above.
            Err(error) if height > 1 && error.kind() == io::ErrorKind::PermissionDenied => {}
            // Its file system has nothing to sync.
            Err(error) if height > 1 && error.kind() == io::ErrorKind::InvalidInput => {}
            synced => synced.map_err(fault(directory, "sync the directory"))?,
        }
    }
    Ok(())
}

#[cfg_attr(not(feature = "failpoints"), expect(unused_variables, reason = "what only a test sees"))]
fn sync_directory(directory: &Path, options: &Options) -> io::Result<()> {
    #[cfg(feature = "failpoints")]
    if let Some(hook) = &options.hook {
        hook.before_sync_of(directory)?;
    }
    File::open(directory)?.sync_all()
}

fn fill(file: &File) -> Result<(), redb::Error> {
    let disk = Arc::new(Disk::holding(file.try_clone()?, &Options::default()));
    disk.release()?;
    let database = Database::builder().create_with_backend(Backend(disk))?;
    let transaction = database.begin_write()?;
    {
        transaction.open_table(ENTRIES)?;
        let mut numbers = transaction.open_table(NUMBERS)?;
        numbers.insert(FORMAT_NAME, FORMAT)?;
        numbers.insert(EPOCH, 0)?;
        numbers.insert(REVISION, 0)?;
    }
    transaction.commit()?;
    Ok(database.close()?)
}

fn open_error(path: &Path, error: DatabaseError) -> StoreError {
    match error {
        DatabaseError::Storage(StorageError::Io(error))
            if !matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
        {
            fault(path, "read the file")(error)
        }
        error => damaged(path, &error.to_string()),
    }
}

fn damaged(path: &Path, detail: &str) -> StoreError {
    StoreError::Damaged { place: place_of(path), detail: detail.to_owned() }
}

fn fault(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Open { path, action, source: Arc::new(source) }
}
