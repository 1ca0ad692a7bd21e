//! What the agent writes down, and reads again when it starts.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use api::link::{info_from_wire, info_to_wire, wire};
use api::marathon::{Timestamp, Uuid};
use api::mesos::{Reason, Response, TaskInfo, TaskState};
use prost::Message;
use scheduler::FrameworkId;
use serde::{Deserialize, Serialize};

use super::core::{Checkpoint, Journal, KillWhy, Past, Update};
use super::paths::Meta;
use crate::health::Ready;
use crate::record::{self, Draft, Durability, PROTOCOL, Record, RecordError};

/// How long the name of a past task is kept at least, so that a late launch of it is recognised.
pub(super) const KEEP_PAST: Duration = Duration::from_secs(7 * 24 * 3600);

macro_rules! record {
    ($name:ident, $file:literal) => {
        impl Record for $name {
            const FILE: &'static str = $file;
            fn version(&self) -> u32 {
                self.version
            }
        }
    };
}

#[derive(Serialize, Deserialize)]
struct EpochFile {
    version: u32,
    epoch: u64,
}
record!(EpochFile, "epoch");

#[derive(Serialize, Deserialize)]
struct IdFile {
    version: u32,
    agent_id: String,
}
record!(IdFile, "agent");

/// The description is a protobuf message in hexadecimal digits, as the link carries it.
#[derive(Serialize, Deserialize)]
struct TaskFile {
    version: u32,
    framework: String,
    directory: PathBuf,
    info: String,
}
record!(TaskFile, "task.json");

#[derive(Serialize, Deserialize)]
struct JournalFile {
    version: u32,
    pending: Vec<Said>,
    #[serde(default)]
    last: Option<Said>,
    #[serde(default)]
    kill: Option<KillWhy>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ready: Option<ReadyFile>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    peers: Option<u64>,
}

/// That a task was found ready, and by which answer.
#[derive(Serialize, Deserialize)]
struct ReadyFile {
    at_ms: i64,
    #[serde(default)]
    status: Option<u16>,
    #[serde(default)]
    content_type: String,
    #[serde(default)]
    body: String,
}

impl ReadyFile {
    fn of(ready: &Ready) -> Self {
        let response = ready.response.clone();
        let status = response.as_ref().map(|response| response.status);
        let (content_type, body) =
            response.map(|response| (response.content_type, response.body)).unwrap_or_default();
        Self { at_ms: ready.at.as_millis(), status, content_type, body }
    }

    fn ready(self) -> Ready {
        let (content_type, body) = (self.content_type, self.body);
        let response = self.status.map(|status| Response { status, content_type, body });
        Ready { at: Timestamp::from_millis(self.at_ms), response }
    }
}
record!(JournalFile, "said.json");

#[derive(Serialize, Deserialize)]
struct PastFile {
    version: u32,
    framework: String,
    task: String,
    directory: PathBuf,
    last: Said,
}
record!(PastFile, "past.json");

#[derive(Serialize, Deserialize)]
struct Said {
    uuid: String,
    state: String,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    healthy: Option<bool>,
    at_ms: i64,
}

impl Said {
    fn of(update: &Update) -> Self {
        Self {
            uuid: update.uuid.to_string(),
            state: update.state.name().to_owned(),
            message: update.message.clone(),
            reason: update.reason.map(|reason| reason.name().to_owned()),
            healthy: update.healthy,
            at_ms: update.at.as_millis(),
        }
    }

    fn update(self) -> Option<Update> {
        Some(Update {
            uuid: self.uuid.parse().ok()?,
            state: TaskState::from_name(&self.state)?,
            message: self.message,
            reason: self.reason.and_then(|name| Reason::from_name(&name)),
            healthy: self.healthy,
            at: Timestamp::from_millis(self.at_ms),
        })
    }
}

fn damaged(path: PathBuf, what: impl std::fmt::Display) -> RecordError {
    RecordError::Damaged { path, what: what.to_string() }
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RecordError {
    let path = path.to_owned();
    move |source| RecordError::Io { action, path, source }
}

/// A name of the past.
pub(super) struct PastEntry {
    pub(super) container: Uuid,
    pub(super) past: Past,
    pub(super) directory: PathBuf,
    /// How long ago it ended.
    pub(super) age: Duration,
}

impl Meta {
    /// Makes the directories; only this user can look inside.
    pub(super) fn make(&self) -> Result<(), RecordError> {
        use std::os::unix::fs::PermissionsExt;
        for dir in [self.root().to_owned(), self.tasks(), self.past()] {
            fs::create_dir_all(&dir).map_err(failed("create", &dir))?;
        }
        let private = fs::Permissions::from_mode(0o700);
        fs::set_permissions(self.root(), private).map_err(failed("close to others", self.root()))
    }

    /// The highest epoch that was seen.
    pub(super) fn epoch(&self) -> Result<u64, RecordError> {
        Ok(record::read::<EpochFile>(self.root())?.map_or(0, |file| file.epoch))
    }

    pub(super) fn keep_epoch(&self, epoch: u64) -> Result<(), RecordError> {
        record::write(self.root(), &EpochFile { version: PROTOCOL, epoch }, Durability::Synced)
    }

    /// This agent's id, once it has one.
    pub(super) fn agent_id(&self) -> Result<Option<String>, RecordError> {
        Ok(record::read::<IdFile>(self.root())?.map(|file| file.agent_id))
    }

    pub(super) fn keep_agent_id(&self, id: &str) -> Result<(), RecordError> {
        let file = IdFile { version: PROTOCOL, agent_id: id.to_owned() };
        record::write(self.root(), &file, Durability::Synced)
    }

    /// Writes a task down, to be believed after [`super::drafts::finish`].
    pub(super) fn draft(&self, task: &Checkpoint) -> Result<Draft, RecordError> {
        let dir = self.task(task.container);
        fs::create_dir(&dir).map_err(failed("create", &dir))?;
        let file = TaskFile {
            version: PROTOCOL,
            framework: task.framework.to_string(),
            directory: task.directory.clone(),
            info: hex(&description(&task.info).encode_to_vec()),
        };
        record::draft(&dir, &file)
    }

    /// What is said after a power cut is found out anew, so this need not survive one.
    pub(super) fn keep_journal(&self, container: Uuid, journal: &Journal) -> Result<(), RecordError> {
        let file = JournalFile {
            version: PROTOCOL,
            pending: journal.pending.iter().map(Said::of).collect(),
            last: journal.last.as_ref().map(Said::of),
            kill: journal.kill.clone(),
            ready: journal.ready.as_ref().map(ReadyFile::of),
            peers: journal.peers,
        };
        record::write(&self.task(container), &file, Durability::ThisBoot)
    }

    /// A task's checkpoint; `None` when there is none (its writer was killed before).
    pub(super) fn read_checkpoint(&self, container: Uuid) -> Result<Option<Checkpoint>, RecordError> {
        let dir = self.task(container);
        let Some(file) = record::read::<TaskFile>(&dir)? else { return Ok(None) };
        let wrong = |what: String| damaged(dir.join(TaskFile::FILE), what);
        let bytes =
            unhex(&file.info).ok_or_else(|| wrong("the description is no hexadecimal number".into()))?;
        let info = wire::TaskInfo::decode(bytes.as_slice()).map_err(|e| wrong(e.to_string()))?;
        let info = info_from_wire(info).map_err(|e| wrong(e.to_string()))?;
        let framework = FrameworkId::from(file.framework);
        Ok(Some(Checkpoint { framework, info, container, directory: file.directory }))
    }

    /// What was said of a task; nothing where that cannot be read, since it is found out anew.
    pub(super) fn read_journal(&self, container: Uuid) -> Journal {
        match record::read::<JournalFile>(&self.task(container)) {
            Ok(Some(file)) => Journal {
                pending: file.pending.into_iter().filter_map(Said::update).collect(),
                last: file.last.and_then(Said::update),
                kill: file.kill,
                ready: file.ready.map(ReadyFile::ready),
                peers: file.peers,
            },
            Ok(None) => Journal::default(),
            Err(e) => {
                tracing::warn!("what was said of a task is said again: {e}");
                Journal::default()
            }
        }
    }

    /// Forgets a task but for its name.
    pub(super) fn remove(&self, container: Uuid, past: &Past, directory: &Path) -> Result<(), RecordError> {
        let dir = self.past().join(container.to_string());
        match fs::create_dir(&dir) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(failed("create", &dir)(e)),
            _ => {}
        }
        let file = PastFile {
            version: PROTOCOL,
            framework: past.framework.to_string(),
            task: past.task.to_string(),
            directory: directory.to_owned(),
            last: Said::of(&past.last),
        };
        record::write(&dir, &file, Durability::ThisBoot)?;
        let task = self.task(container);
        fs::remove_dir_all(&task).map_err(failed("remove", &task))
    }

    /// The names of the past; what cannot be read is said and left out.
    pub(super) fn read_past(&self) -> Vec<PastEntry> {
        let entries = fs::read_dir(self.past()).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| {
                let container: Uuid = entry.file_name().to_str()?.parse().ok()?;
                let file = match record::read::<PastFile>(&entry.path()) {
                    Ok(file) => file?,
                    Err(e) => {
                        tracing::warn!("the name of a past task is forgotten: {e}");
                        return None;
                    }
                };
                let ended =
                    fs::metadata(entry.path().join(PastFile::FILE)).and_then(|m| m.modified()).ok()?;
                let past = Past {
                    framework: FrameworkId::from(file.framework),
                    task: file.task.parse().ok()?,
                    last: file.last.update()?,
                };
                let age = SystemTime::now().duration_since(ended).unwrap_or_default();
                Some(PastEntry { container, past, directory: file.directory, age })
            })
            .collect()
    }

    pub(super) fn forget(&self, container: Uuid) -> Result<(), RecordError> {
        let dir = self.past().join(container.to_string());
        fs::remove_dir_all(&dir).map_err(failed("remove", &dir))
    }

    /// Puts a task's directory aside that cannot be read, and says where.
    pub(super) fn put_aside(&self, dir: &Path) -> Result<PathBuf, RecordError> {
        let damaged = self.damaged();
        fs::create_dir_all(&damaged).map_err(failed("create", &damaged))?;
        let to = damaged.join(dir.file_name().unwrap_or_default());
        fs::rename(dir, &to).map_err(failed("put aside", dir))?;
        Ok(to)
    }
}

/// Which peers it was launched with, not who they are: that is in its sandbox, and may be long.
fn description(info: &TaskInfo) -> wire::TaskInfo {
    let mut wire = info_to_wire(info);
    if let Some(peers) = &mut wire.peers {
        (peers.json, peers.tsv) = (String::new(), String::new());
    }
    wire
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|two| (two.len() == 2).then(|| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok())?)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::core::tests::info;
    use crate::daemon::drafts::finish;

    fn update(state: TaskState) -> Update {
        Update {
            uuid: Uuid::from_bits(5),
            state,
            message: Some("m".into()),
            reason: Some(Reason::TaskInvalid),
            healthy: Some(true),
            at: Timestamp::from_millis(9),
        }
    }

    fn checkpoint() -> Checkpoint {
        Checkpoint {
            framework: "f".into(),
            info: info("t", "cpus:1"),
            container: Uuid::from_bits(1),
            directory: "/w/t".into(),
        }
    }

    fn keep(meta: &Meta, task: &Checkpoint) {
        let kept = finish(meta, vec![meta.draft(task).unwrap()]);
        assert!(kept.iter().all(Result::is_ok), "{kept:?}");
    }

    #[test]
    fn what_is_written_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let meta = Meta::of(dir.path());
        meta.make().unwrap();
        assert_eq!((meta.epoch().unwrap(), meta.agent_id().unwrap()), (0, None));
        meta.keep_epoch(7).unwrap();
        meta.keep_agent_id("A-S1").unwrap();
        assert_eq!((meta.epoch().unwrap(), meta.agent_id().unwrap()), (7, Some("A-S1".to_owned())));

        let task = checkpoint();
        keep(&meta, &task);
        assert_eq!(meta.read_checkpoint(task.container).unwrap(), Some(task.clone()));
        assert_eq!(meta.read_journal(task.container), Journal::default());
        let journal = Journal {
            pending: vec![update(TaskState::Running)],
            last: Some(update(TaskState::Running)),
            kill: Some(KillWhy::Unhealthy("w".into())),
            ready: Some(Ready {
                at: Timestamp::from_millis(5),
                response: Some(Response { status: 200, content_type: "t".into(), body: "b".into() }),
            }),
            peers: Some(u64::MAX),
        };
        meta.keep_journal(task.container, &journal).unwrap();
        assert_eq!(meta.read_journal(task.container), journal);

        let id = task.info.id.clone();
        let past = Past { framework: task.framework, task: id, last: update(TaskState::Finished) };
        meta.remove(task.container, &past, &task.directory).unwrap();
        assert!(!meta.task(task.container).exists());
        let found = meta.read_past();
        assert_eq!((found.len(), &found[0].past, &found[0].directory), (1, &past, &task.directory));
        meta.forget(task.container).unwrap();
        assert!(meta.read_past().is_empty());
    }

    #[test]
    fn a_checkpoint_torn_anywhere_is_damaged_and_never_a_crash() {
        let dir = tempfile::tempdir().unwrap();
        let meta = Meta::of(dir.path());
        meta.make().unwrap();
        let task = checkpoint();
        keep(&meta, &task);
        let path = meta.task(task.container).join(TaskFile::FILE);
        let bytes = fs::read(&path).unwrap();
        for end in 0..bytes.len() {
            fs::write(&path, &bytes[..end]).unwrap();
            assert!(
                matches!(meta.read_checkpoint(task.container), Err(RecordError::Damaged { .. })),
                "{end}"
            );
        }
        let aside = meta.put_aside(&meta.task(task.container)).unwrap();
        assert!(aside.join(TaskFile::FILE).exists());
    }

    #[test]
    fn hexadecimal_digits_are_two_a_byte() {
        assert_eq!(unhex(&hex(&[0, 15, 255])), Some(vec![0, 15, 255]));
        for text in ["0", "0g", "é0"] {
            assert_eq!(unhex(text), None, "{text}");
        }
    }
}
