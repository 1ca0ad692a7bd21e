//! A gateway with its store on a disk, and a fleet.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway::{Gateway, Options, Shared};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::agent::Behaviour;
use crate::beside::{Beside, Standing};
use crate::client::Http;
use crate::fleet::Fleet;
use crate::options::Common;
use crate::{Result, machine};

/// How long agents may take to register, each.
const REGISTERED_WITHIN: Duration = Duration::from_millis(20);

/// A master that is alone leads within this time.
const LEADS_WITHIN: Duration = Duration::from_secs(30);

/// What a fleet says of itself comes within this time.
const SAID_WITHIN: Duration = Duration::from_secs(5);

enum Agents {
    Here(Fleet),
    Beside(Beside),
}

/// A running cluster.
pub struct Cluster {
    master: Option<Runtime>,
    gateway: Option<Gateway>,
    address: SocketAddr,
    agents: Agents,
    /// From the first dialling until all agents were registered.
    pub registering: Duration,
    _dir: TempDir,
}

impl Cluster {
    /// A cluster with so many agents, all registered. Its store is made anew in the directory that `common` names, and removed
    /// with it. The master has two threads called `master`, as in `clusterctl up`.
    ///
    /// # Errors
    /// When it does not come to stand.
    pub async fn start(common: &Common, agents: usize, behaviour: &Behaviour) -> Result<Self> {
        Self::start_on(common, agents, behaviour, None).await
    }

    /// The same, on a store that several masters share.
    ///
    /// # Errors
    /// When it does not come to stand.
    pub async fn start_on(
        common: &Common,
        agents: usize,
        behaviour: &Behaviour,
        store: Option<Arc<dyn Shared>>,
    ) -> Result<Self> {
        // Another cluster of this process may have been first.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        machine::allow_open_files(agents * if common.fleet_here { 2 } else { 1 } + 1024)?;
        let dir = tempfile::Builder::new().prefix("clusterctl-bench-").tempdir_in(&common.dir)?;
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
            let mut options = Options::one_machine(&path, address, http);
            if let Some(store) = store {
                options.share(store);
            }
            let gateway = Gateway::start(listener, options).await?;
            // On a shared store it stands for election first, and sends agents away until it leads.
            tokio::time::timeout(LEADS_WITHIN, gateway.agents_registered(0)).await?;
            Result::Ok((gateway, address))
        });
        let (gateway, address) = starting.await??;
        let begin = Instant::now();
        let started = if common.fleet_here {
            Agents::Here(Fleet::start(address, agents, behaviour)?)
        } else {
            Agents::Beside(Beside::start(address, agents, behaviour)?)
        };
        let registered = gateway.agents_registered(agents);
        let mut cluster = Self {
            master: Some(master),
            gateway: Some(gateway),
            address,
            agents: started,
            registering: Duration::ZERO,
            _dir: dir,
        };
        let within = REGISTERED_WITHIN * u32::try_from(agents).unwrap_or(u32::MAX) + Duration::from_secs(10);
        if tokio::time::timeout(within, registered).await.is_err() {
            cluster.check()?;
            let count = cluster.standing().registered;
            return Err(format!("{count} of {agents} agents were registered within {within:?}").into());
        }
        cluster.registering = begin.elapsed();
        Ok(cluster)
    }

    /// How the fleet stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        match &self.agents {
            Agents::Here(fleet) => fleet.standing(),
            Agents::Beside(fleet) => fleet.standing(),
        }
    }

    /// An error when an agent has lost its link: then figures say nothing.
    ///
    /// # Errors
    /// Says which agent, and why.
    pub fn check(&self) -> Result<()> {
        self.standing().failure.map_or(Ok(()), |why| Err(why.into()))
    }

    /// Waits until the agents have so many tasks.
    ///
    /// # Errors
    /// When they have another number for too long, or one has lost its link.
    pub async fn has_tasks(&self, wanted: usize) -> Result<()> {
        let begin = Instant::now();
        while self.standing().tasks != wanted {
            self.check()?;
            if begin.elapsed() > SAID_WITHIN {
                return Err(
                    format!("agents have {} tasks, {wanted} are wanted", self.standing().tasks).into()
                );
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.check()
    }

    /// A client of it.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn http(&self) -> Result<Http> {
        Http::new(self.address)
    }

    /// Ends it.
    ///
    /// # Errors
    /// When an agent had lost its link, or the store does not close in order.
    pub async fn stop(mut self) -> Result<()> {
        self.check()?;
        if let (Some(master), Some(gateway)) = (&self.master, self.gateway.take()) {
            master.spawn(gateway.stop()).await??;
        }
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // One that is merely dropped would wait, and must not where others are waited for.
        if let Some(master) = self.master.take() {
            master.shutdown_background();
        }
    }
}
