//! The living shims: started, adopted, waited for and ended, never on a thread that others wait for.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::marathon::Uuid;
use rustix::process::Signal;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{Semaphore, mpsc};

use super::core::{Found, Input};
use super::isolation::Means;
use super::paths::Meta;
use super::recover::find;
use crate::adopt::{self, Leader, State, Why};
use crate::cgroup::Group;
use crate::launch::{self, Program};
use crate::process::Process;
use crate::record::{self, RecordError};
use crate::shim::{Outcome, Tree, chain};
use crate::spec::{Exit, Groups, Spec, Started};

/// So many things at a time are done that may block.
const AT_ONCE: usize = 8;
/// How long the killed may take to be gone.
const KILL_LIMIT: Duration = Duration::from_secs(5);
/// Nobody waits longer for a task.
const FOREVER: Duration = Duration::from_secs(1 << 30);

/// All shims of this agent. Cheap to clone.
#[derive(Clone)]
pub(super) struct Shims {
    program: Arc<Program>,
    meta: Meta,
    means: Means,
    inputs: mpsc::Sender<Input>,
    permits: Arc<Semaphore>,
    live: Arc<Mutex<BTreeMap<Uuid, Arc<Process>>>>,
}

impl Shims {
    pub(super) fn new(program: Program, meta: Meta, means: Means, inputs: mpsc::Sender<Input>) -> Self {
        let permits = Arc::new(Semaphore::new(AT_ONCE));
        Self { program: Arc::new(program), meta, means, inputs, permits, live: Arc::default() }
    }

    fn live(&self) -> std::sync::MutexGuard<'_, BTreeMap<Uuid, Arc<Process>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn process(&self, container: Uuid) -> Option<Arc<Process>> {
        self.live().get(&container).cloned()
    }

    /// Runs something that may block, among few others.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, String> {
        let _permit = self.permits.acquire().await.map_err(|e| e.to_string())?;
        tokio::task::spawn_blocking(work).await.map_err(|e| e.to_string())
    }

    /// A task's directory, and where this agent would let it stand.
    fn place(&self, container: Uuid) -> (PathBuf, Option<Groups>) {
        (self.meta.task(container), self.means.groups(container))
    }

    async fn tell(&self, input: Input) {
        // Without a loop that listens there is nobody to tell.
        let _ = self.inputs.send(input).await;
    }

    /// Starts a task's shim and stays with it to its end.
    pub(super) async fn run(
        self,
        container: Uuid,
        spec: impl FnOnce() -> Result<Spec, String> + Send + 'static,
    ) {
        match self.start(container, spec).await {
            Ok((Outcome::Running { .. }, shim)) => {
                self.tell(Input::Ran(container)).await;
                self.wait(container, Some(shim)).await;
            }
            Ok((Outcome::Failed { .. }, shim)) => self.wait(container, Some(shim)).await,
            // Another shim has the task, or none lived long enough to say: what is on disk tells.
            Ok((Outcome::Already, shim)) => {
                let _ = self.blocking(move || shim.reap()).await;
                self.look_again(container, "the task already had a shim").await;
            }
            Err(why) => self.look_again(container, &why).await,
        }
    }

    async fn start(
        &self,
        container: Uuid,
        spec: impl FnOnce() -> Result<Spec, String> + Send + 'static,
    ) -> Result<(Outcome, launch::Shim), String> {
        let (program, dir) = (self.program.clone(), self.meta.task(container));
        let launching = self
            .blocking(move || {
                let spec = spec()?;
                let launching = launch::launch(&program, &dir, &spec).map_err(|e| chain(&e))?;
                let pipe = launching.pipe().as_fd().try_clone_to_owned().map_err(|e| e.to_string())?;
                Ok::<_, String>((launching, pipe))
            })
            .await??;
        let (launching, pipe) = launching;
        if let Some(process) = launching.process() {
            self.live().insert(container, Arc::new(process));
        }
        readable(pipe).await.map_err(|e| format!("cannot wait for the shim: {e}"))?;
        self.blocking(move || launching.outcome().map_err(|e| chain(&e))).await?
    }

    /// Stays with a shim that an earlier agent started, to its end.
    pub(super) async fn adopt(self, container: Uuid, process: Process) {
        self.live().insert(container, Arc::new(process));
        self.wait(container, None).await;
    }

    async fn wait(&self, container: Uuid, shim: Option<launch::Shim>) {
        if let Some(process) = self.process(container) {
            let waited = match process.try_clone_fd() {
                Ok(fd) => readable(fd).await,
                Err(e) => Err(e),
            };
            if let Err(e) = waited {
                // Out of descriptors: a thread waits instead.
                tracing::warn!("a thread waits for the shim of {container}: {e}");
                let _ = tokio::task::spawn_blocking(move || process.wait(FOREVER)).await;
            }
        }
        let (dir, here) = self.place(container);
        let ended = self.blocking(move || {
            if let Some(shim) = shim {
                shim.reap();
            }
            how_it_ended(&dir, here)
        });
        let input = match ended.await {
            Ok(Some(end)) => {
                self.live().remove(&container);
                Input::ShimEnded(container, end)
            }
            Ok(None) | Err(_) => Input::LookedAt(container, Found::Unknown),
        };
        self.tell(input).await;
    }

    /// Looks at what became of a task that could not be looked at before.
    pub(super) async fn look(self, container: Uuid, task: String) {
        let dir = self.meta.task(container);
        let (found, shim) = self.blocking(move || find(&dir, &task)).await.unwrap_or((Found::Unknown, None));
        let lives = shim.is_some();
        if let Some(shim) = shim {
            self.live().insert(container, Arc::new(shim));
        } else if found != Found::Unknown {
            self.live().remove(&container);
        }
        self.tell(Input::LookedAt(container, found)).await;
        if lives {
            self.wait(container, None).await;
        }
    }

    async fn look_again(&self, container: Uuid, why: &str) {
        self.live().remove(&container);
        let dir = self.meta.task(container);
        let found = self.blocking(move || adopt::recover_one(&dir).state).await;
        let input = match found {
            Ok(State::Running(running)) => {
                self.tell(Input::Ran(container)).await;
                self.live().insert(container, Arc::new(running.shim));
                return Box::pin(self.wait(container, None)).await;
            }
            Ok(State::Exited(exit)) => Input::ShimEnded(container, Ok(Box::new(exit))),
            Ok(State::Lost { why: Why::NeverStarted, .. }) => Input::NotStarted(container, why.to_owned()),
            Ok(State::Lost { why, .. }) => Input::ShimEnded(container, Err(why)),
            Ok(State::Unknown(unknown)) => {
                tracing::warn!("container {container} is looked at again: {}", chain(&unknown));
                Input::LookedAt(container, Found::Unknown)
            }
            Err(e) => Input::NotStarted(container, e),
        };
        self.tell(input).await;
    }

    /// SIGTERM: the shim ends its task with the grace it was told.
    pub(super) fn ask(&self, container: Uuid) {
        if let Some(process) = self.process(container) {
            process.signal(Signal::TERM);
        }
    }

    /// SIGKILL to all of the task's processes, but not to its shim.
    pub(super) async fn kill_task(self, container: Uuid) {
        let ((dir, here), shim) = (self.place(container), self.process(container));
        let left = self.blocking(move || match (group_of(&dir, here), shim) {
            (Ok(Some(group)), _) => group.kill(KILL_LIMIT).err().map(|e| e.to_string()),
            (_, Some(shim)) => {
                let left = Tree::new(None, shim.pid()).kill(KILL_LIMIT);
                (!left.is_empty()).then(|| format!("processes {left:?} did not end"))
            }
            (group, None) => group.err(),
        });
        if let Ok(Some(why)) | Err(why) = left.await {
            tracing::warn!("container {container}: {why}");
        }
    }

    /// SIGKILL to the shim and all of the task's processes.
    pub(super) async fn empty(self, container: Uuid) {
        let ((dir, here), shim) = (self.place(container), self.process(container));
        let emptied =
            self.blocking(move || empty(&dir, here, shim.as_deref())).await.and_then(|emptied| emptied);
        if let Err(why) = &emptied {
            tracing::error!("container {container} is not empty, this is tried again: {why}");
        }
        self.tell(Input::Emptied(container, emptied)).await;
    }
}

/// Waits until something can be read, or the other end is closed.
async fn readable(fd: OwnedFd) -> io::Result<()> {
    #[expect(
        deprecated,
        reason = "the unsafe successor guards against descriptors that somebody else closes; this one is owned"
    )]
    let fd = AsyncFd::with_interest(fd, Interest::READABLE)?;
    let _ready = fd.readable().await?;
    Ok(())
}

/// By its records, now that the shim is gone; `None` when they cannot be looked at.
fn how_it_ended(dir: &Path, here: Option<Groups>) -> Option<Result<Box<Exit>, Why>> {
    match adopt::recover_one(dir).state {
        State::Exited(exit) => {
            if exit.stuck.is_empty()
                && let Err(e) = remove_group(dir, here)
            {
                // The shim did so; what was moved in meanwhile kept it.
                tracing::warn!("a control group is left: {e}");
            }
            Some(Ok(Box::new(exit)))
        }
        // It did not say that it started, but what it made may be there.
        State::Lost { why: Why::NeverStarted, .. } => Some(Err(Why::ShimGone { leader: Leader::Gone })),
        State::Lost { why, .. } => Some(Err(why)),
        // That it still shows will pass as well.
        State::Running(_) => None,
        State::Unknown(unknown) => {
            tracing::warn!("the end of a task is looked at again: {}", chain(&unknown));
            None
        }
    }
}

/// Where a task stands; `None` when it has no group.
fn group_of(dir: &Path, here: Option<Groups>) -> Result<Option<Group>, String> {
    let groups = match record::read::<Spec>(dir) {
        Ok(spec) => spec.and_then(|spec| spec.groups),
        // As a power cut leaves it; nothing of the boot before runs.
        Err(RecordError::Damaged { .. }) => here,
        Err(e) => return Err(chain(&e)),
    };
    groups.map(|groups| groups.task().map_err(|e| chain(&e))).transpose()
}

fn remove_group(dir: &Path, here: Option<Groups>) -> Result<(), String> {
    let Some(group) = group_of(dir, here)? else { return Ok(()) };
    group.kill(KILL_LIMIT).map_err(|e| chain(&e))?;
    group.remove().map_err(|e| chain(&e))
}

fn empty(dir: &Path, here: Option<Groups>, shim: Option<&Process>) -> Result<(), String> {
    if let Some(shim) = shim {
        shim.signal(Signal::KILL);
        if !shim.wait(KILL_LIMIT) {
            return Err(format!("the shim, process {}, does not end", shim.pid()));
        }
    }
    match record::read::<Started>(dir) {
        Ok(Some(started)) => return adopt::clean_up(&started, KILL_LIMIT).map_err(|e| chain(&e)),
        // The spec says where it would stand.
        Ok(None) | Err(RecordError::Damaged { .. }) => {}
        Err(e) => return Err(chain(&e)),
    }
    remove_group(dir, here)
}
