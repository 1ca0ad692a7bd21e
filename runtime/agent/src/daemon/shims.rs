//! The living shims: started, adopted, waited for and ended, never on a thread that others wait for.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::marathon::Uuid;
use rustix::process::Signal;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{Semaphore, mpsc};

use super::core::Input;
use super::paths::Meta;
use crate::adopt::{self, Leader, State, Why};
use crate::launch::{self, Program};
use crate::process::Process;
use crate::record;
use crate::shim::{Outcome, Tree, chain};
use crate::spec::{Exit, Spec, Started};

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
    inputs: mpsc::Sender<Input>,
    permits: Arc<Semaphore>,
    live: Arc<Mutex<BTreeMap<Uuid, Arc<Process>>>>,
}

impl Shims {
    pub(super) fn new(program: Program, meta: Meta, inputs: mpsc::Sender<Input>) -> Self {
        let permits = Arc::new(Semaphore::new(AT_ONCE));
        Self { program: Arc::new(program), meta, inputs, permits, live: Arc::default() }
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
        let dir = self.meta.task(container);
        let ended = self.blocking(move || {
            if let Some(shim) = shim {
                shim.reap();
            }
            how_it_ended(&dir)
        });
        let end = ended.await.unwrap_or_else(|e| Err(Why::Damaged(e)));
        self.live().remove(&container);
        self.tell(Input::ShimEnded(container, end)).await;
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
        let (dir, shim) = (self.meta.task(container), self.process(container));
        let left = self.blocking(move || match group_of(&dir) {
            Some(group) => group.kill(KILL_LIMIT).err().map(|e| e.to_string()),
            None => shim.and_then(|shim| {
                let left = Tree::new(None, shim.pid()).kill(KILL_LIMIT);
                (!left.is_empty()).then(|| format!("processes {left:?} did not end"))
            }),
        });
        if let Ok(Some(why)) | Err(why) = left.await {
            tracing::warn!("container {container}: {why}");
        }
    }

    /// SIGKILL to the shim and all of the task's processes.
    pub(super) async fn empty(self, container: Uuid) {
        let (dir, shim) = (self.meta.task(container), self.process(container));
        let emptied = self.blocking(move || empty(&dir, shim.as_deref())).await.and_then(|emptied| emptied);
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

fn how_it_ended(dir: &Path) -> Result<Box<Exit>, Why> {
    let exit = match record::read::<Exit>(dir) {
        Ok(Some(exit)) => exit,
        Ok(None) => return Err(Why::ShimGone { leader: Leader::Gone }),
        Err(e) => return Err(Why::Damaged(e.to_string())),
    };
    if exit.stuck.is_empty()
        && let Some(group) = group_of(dir)
    {
        // The shim did so; what was moved in meanwhile kept it.
        let _ = group.kill(KILL_LIMIT).map(|()| group.remove());
    }
    Ok(Box::new(exit))
}

fn group_of(dir: &Path) -> Option<crate::cgroup::Group> {
    record::read::<Spec>(dir).ok()??.groups?.task().ok()
}

fn empty(dir: &Path, shim: Option<&Process>) -> Result<(), String> {
    if let Some(shim) = shim {
        shim.signal(Signal::KILL);
        if !shim.wait(KILL_LIMIT) {
            return Err(format!("the shim, process {}, does not end", shim.pid()));
        }
    }
    if let Ok(Some(started)) = record::read::<Started>(dir) {
        return adopt::clean_up(&started, KILL_LIMIT).map_err(|e| chain(&e));
    }
    let Some(group) = group_of(dir) else { return Ok(()) };
    group.kill(KILL_LIMIT).map_err(|e| chain(&e))?;
    group.remove().map_err(|e| chain(&e))
}
