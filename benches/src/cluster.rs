//! A gateway with its store on a disk, and a fleet.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use gateway::{Gateway, Options};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::agent::Behaviour;
use crate::client::Http;
use crate::fleet::Fleet;
use crate::{Result, machine};

/// How long agents may take to register, each.
const REGISTERED_WITHIN: Duration = Duration::from_millis(20);

/// A running cluster.
pub struct Cluster {
    master: Runtime,
    gateway: Option<Gateway>,
    address: SocketAddr,
    /// The simulated agents.
    pub fleet: Fleet,
    /// From the first dialling until all agents were registered.
    pub registering: Duration,
    _dir: TempDir,
}

impl Cluster {
    /// A cluster with so many agents, all registered. Its store is made anew in a directory below `dir`, and removed with it.
    /// The master has two threads called `master`, as in `clusterctl up`.
    ///
    /// # Errors
    /// When it does not come to stand.
    pub async fn start(dir: &Path, agents: usize, behaviour: &Behaviour) -> Result<Self> {
        // Another cluster of this process may have been first.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        machine::allow_open_files(agents * 2 + 1024)?;
        let dir = tempfile::Builder::new().prefix("clusterctl-bench-").tempdir_in(dir)?;
        let master = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("master")
            .enable_all()
            .build()?;
        let path = dir.path().to_owned();
        let starting = master.spawn(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let address = listener.local_addr()?;
            let http = reqwest::Client::builder().no_proxy().build()?;
            let gateway = Gateway::start(listener, Options::one_machine(&path, address, http)).await?;
            Result::Ok((gateway, address))
        });
        let (gateway, address) = starting.await??;
        let begin = Instant::now();
        let fleet = Fleet::start(address, agents, behaviour)?;
        let within = REGISTERED_WITHIN * u32::try_from(agents).unwrap_or(u32::MAX) + Duration::from_secs(10);
        let registered = master.spawn(gateway.agents_registered(agents));
        match tokio::time::timeout(within, registered).await {
            Ok(registered) => registered?,
            Err(_elapsed) => {
                fleet.check()?;
                let count = fleet.registered();
                return Err(format!("{count} of {agents} agents were registered within {within:?}").into());
            }
        }
        let registering = begin.elapsed();
        Ok(Self { master, gateway: Some(gateway), address, fleet, registering, _dir: dir })
    }

    /// A client of it.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn http(&self) -> Result<Http> {
        Http::new(self.address)
    }

    /// Ends it, the agents first.
    ///
    /// # Errors
    /// When an agent had lost its link, or the store does not close in order.
    pub async fn stop(mut self) -> Result<()> {
        self.fleet.check()?;
        self.fleet.stop();
        if let Some(gateway) = self.gateway.take() {
            self.master.spawn(gateway.stop()).await??;
        }
        self.master.shutdown_background();
        Ok(())
    }
}
