//! The agents of a one-machine cluster: child processes, each held by a pipe on its standard input. What they are told goes
//! down that pipe, and its end is the end of us: then they leave their tasks running and go, so that a later `up` finds
//! the tasks and adopts them.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::share::Share;

/// An agent that ends within this time of its start is started again later and later.
const SHORT_LIFE: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(10);
/// The log of an agent is begun anew above this size, when the agent starts.
const MAX_LOG_BYTES: u64 = 16 << 20;

/// What is to be told of an agent.
#[derive(Debug)]
pub(crate) enum News {
    /// It was started.
    Started { name: String, pid: u32 },
    /// It ended though nobody asked it to, and is started again after the pause.
    Ended { name: String, status: ExitStatus, pause: Duration, log: PathBuf },
    /// It cannot be started.
    Failed { name: String, error: io::Error, pause: Duration },
}

/// What agents are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Order {
    /// Nothing yet.
    Run,
    /// End all tasks, each within its grace period, and go.
    Stop,
    /// End all tasks at once, and go.
    Kill,
}

impl Order {
    fn line(self) -> &'static [u8] {
        match self {
            Self::Run => b"",
            Self::Stop => b"stop\n",
            Self::Kill => b"kill\n",
        }
    }
}

/// What every agent is started with.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// This program.
    pub(crate) program: PathBuf,
    /// Where agents keep their state, one directory each.
    pub(crate) dir: PathBuf,
    /// `http://127.0.0.1:5050`.
    pub(crate) master: String,
    /// For every agent: directories that tasks may fetch files from.
    pub(crate) file_roots: Vec<PathBuf>,
    /// For every agent: directories that tasks may have as volumes.
    pub(crate) host_paths: Vec<PathBuf>,
}

impl Setup {
    /// The directory of one agent.
    pub(crate) fn dir_of(&self, share: &Share) -> PathBuf {
        self.dir.join(&share.name)
    }

    fn command(&self, share: &Share, log: std::fs::File) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("agent").arg("--lifeline").arg("--work-dir").arg(self.dir_of(share));
        for (flag, value) in [
            ("--master", self.master.clone()),
            ("--name", share.name.clone()),
            ("--hostname", share.address.to_string()),
            ("--address", share.address.to_string()),
            ("--port", "0".to_owned()),
            ("--resources", share.resources.clone()),
        ] {
            command.arg(flag).arg(value);
        }
        for root in &self.file_roots {
            command.arg("--file-root").arg(root);
        }
        for path in &self.host_paths {
            command.arg("--allow-host-path").arg(path);
        }
        // A group of its own: Ctrl-C is for us, and we tell the agents what to do.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log).process_group(0);
        command
    }

    fn start(&self, share: &Share) -> io::Result<(Child, ChildStdin)> {
        let dir = self.dir_of(share);
        std::fs::create_dir_all(&dir)?;
        let mut child = self.command(share, open_log(&log_of(&dir))?).spawn()?;
        let lifeline =
            child.stdin.take().ok_or_else(|| io::Error::other("the agent has no standard input"))?;
        Ok((child, lifeline))
    }
}

/// The log of the agent whose directory this is.
fn log_of(dir: &Path) -> PathBuf {
    dir.join("agent.log")
}

fn open_log(path: &Path) -> io::Result<std::fs::File> {
    if std::fs::metadata(path).is_ok_and(|log| log.len() > MAX_LOG_BYTES) {
        std::fs::rename(path, path.with_extension("log.1"))?;
    }
    OpenOptions::new().create(true).append(true).open(path)
}

/// Keeps one agent running until it is told to stop and has gone.
pub(crate) async fn keep(
    setup: Setup,
    share: Share,
    mut orders: tokio::sync::watch::Receiver<Order>,
    news: mpsc::Sender<News>,
) {
    let mut pause = FIRST_PAUSE;
    loop {
        let since = Instant::now();
        let name = share.name.clone();
        let told = match setup.start(&share) {
            Ok((mut child, lifeline)) => {
                let pid = child.id().unwrap_or_default();
                let _ = news.send(News::Started { name: name.clone(), pid }).await;
                let ended = attend(&mut child, lifeline, &mut orders).await;
                if *orders.borrow() != Order::Run {
                    return;
                }
                if since.elapsed() > SHORT_LIFE {
                    pause = FIRST_PAUSE;
                }
                match ended {
                    Ok(status) => News::Ended { name, status, pause, log: log_of(&setup.dir_of(&share)) },
                    Err(error) => News::Failed { name, error, pause },
                }
            }
            Err(error) => News::Failed { name, error, pause },
        };
        let _ = news.send(told).await;
        tokio::select! {
            // Nothing runs here now; what its tasks left is ended by the agent alone, so it is started once more for that.
            () = tokio::time::sleep(pause) => {}
            _ = orders.wait_for(|order| *order != Order::Run) => {}
        }
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

/// Passes orders on until the agent ends.
async fn attend(
    child: &mut Child,
    mut lifeline: ChildStdin,
    orders: &mut tokio::sync::watch::Receiver<Order>,
) -> io::Result<ExitStatus> {
    let mut told = Order::Run;
    loop {
        let order = *orders.borrow_and_update();
        if order > told {
            told = order;
            // One that is gone does not hear it; its end is what counts.
            let _ = lifeline.write_all(order.line()).await;
            let _ = lifeline.flush().await;
        }
        tokio::select! {
            ended = child.wait() => return ended,
            changed = orders.changed() => if changed.is_err() {
                // We are going without an order: so does the pipe.
                drop(lifeline);
                return child.wait().await;
            },
        }
    }
}
