//! A fleet in a process of its own: as many open connections again, and the master's memory and time apart from the agents'.
//!
//! The process is this same program, started anew with an order in its environment. It writes a line about itself whenever
//! something has changed, and ends when its standard input does.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::agent::Behaviour;
use crate::fleet::Fleet;
use crate::{Result, machine};

/// The variable that makes a program a fleet.
const ORDER: &str = "CLUSTERCTL_BENCH_FLEET";
/// How often the process looks at itself.
const LOOK: Duration = Duration::from_millis(10);

/// What the process is told.
#[derive(Serialize, Deserialize)]
struct Order {
    master: SocketAddr,
    agents: usize,
    resources: String,
    start_ms: u64,
    end_ms: u64,
    healthy_ms: Option<u64>,
}

/// How a fleet stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// Agents that were admitted.
    pub registered: usize,
    /// Tasks whose end is not acknowledged.
    pub tasks: usize,
    /// Why figures say nothing: an agent has lost its link.
    pub failure: Option<String>,
}

/// A fleet in a process of its own; it ends with this.
pub struct Beside {
    child: Child,
    standing: Arc<Mutex<Standing>>,
}

impl Beside {
    /// Starts the process.
    ///
    /// # Errors
    /// When the system does not.
    pub fn start(master: SocketAddr, agents: usize, behaviour: &Behaviour) -> Result<Self> {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let order = Order {
            master,
            agents,
            resources: behaviour.resources.to_string(),
            start_ms: millis(behaviour.start),
            end_ms: millis(behaviour.end),
            healthy_ms: behaviour.healthy.map(millis),
        };
        let mut child = Command::new(std::env::current_exe()?)
            .env(ORDER, serde_json::to_string(&order)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let lines = child.stdout.take().ok_or("the fleet says nothing")?;
        let standing = Arc::new(Mutex::new(Standing::default()));
        let written = standing.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(lines).lines().map_while(std::result::Result::ok) {
                if let Ok(now) = serde_json::from_str(&line) {
                    *written.lock().unwrap_or_else(PoisonError::into_inner) = now;
                }
            }
            let mut last = written.lock().unwrap_or_else(PoisonError::into_inner);
            last.failure.get_or_insert_with(|| "the fleet's process has ended".to_owned());
        });
        Ok(Self { child, standing })
    }

    /// As it said last, some milliseconds ago.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // It has no more to do than to end.
        let _ = self.child.wait();
    }
}

/// Whether this process is to be a fleet; if so, is one until it is told to end.
///
/// # Errors
/// When it cannot be.
pub fn be_told() -> Result<bool> {
    let Ok(order) = std::env::var(ORDER) else { return Ok(false) };
    let order: Order = serde_json::from_str(&order)?;
    machine::allow_open_files(order.agents + 256)?;
    let behaviour = Behaviour {
        resources: order.resources.parse()?,
        start: Duration::from_millis(order.start_ms),
        end: Duration::from_millis(order.end_ms),
        healthy: order.healthy_ms.map(Duration::from_millis),
    };
    let fleet = Fleet::start(order.master, order.agents, &behaviour)?;
    let (over, ended) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        // Nothing is ever written there: it ends with whoever started this.
        let _ = std::io::stdin().read(&mut [0]);
        drop(over);
    });
    let mut said = Standing::default();
    while ended.recv_timeout(LOOK) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
        let now = fleet.standing();
        if now != said {
            let line = serde_json::to_string(&now)?;
            writeln!(std::io::stdout(), "{line}")?;
            said = now;
        }
    }
    Ok(true)
}
