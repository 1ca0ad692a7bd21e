//! An etcd of this machine's own, on the disk that is measured: the members' processes end with it.

use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use gateway::Shared;
use store::{Answer, EtcdOptions, EtcdStore, Store};
use tempfile::TempDir;

use crate::Result;

/// A new cluster elects within a second or two.
const QUORUM_WITHIN: Duration = Duration::from_secs(30);
/// As a master's configuration has it unless it says otherwise.
const LEASE: Duration = Duration::from_secs(3);

/// Members that run.
pub struct Etcd {
    members: Vec<Child>,
    /// Each member's address for clients.
    pub endpoints: Vec<String>,
    _dir: TempDir,
}

impl Etcd {
    /// So many members in a new directory in `above`, once a majority answers.
    ///
    /// # Errors
    /// When there is no program `etcd` (Debian's package `etcd-server`), or it does not come to stand.
    pub async fn start(above: &Path, members: usize) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("clusterctl-bench-etcd-").tempdir_in(above)?;
        // All are held until all are known, so that none is given twice.
        let listeners = (0..2 * members)
            .map(|_| TcpListener::bind("127.0.0.1:0"))
            .collect::<std::io::Result<Vec<TcpListener>>>()?;
        let urls = listeners
            .iter()
            .map(|listener| Ok(format!("http://{}", listener.local_addr()?)))
            .collect::<std::io::Result<Vec<String>>>()?;
        drop(listeners);
        let (clients, peers) = urls.split_at(members);
        let named: Vec<String> = peers.iter().enumerate().map(|(n, url)| format!("m{n}={url}")).collect();
        let mut etcd = Self { members: Vec::new(), endpoints: clients.to_vec(), _dir: dir };
        for (n, (client, peer)) in clients.iter().zip(peers).enumerate() {
            let log = File::create(etcd._dir.path().join(format!("m{n}.log")))?;
            let child = Command::new("etcd")
                .args(["--name", &format!("m{n}")])
                .arg("--data-dir")
                .arg(etcd._dir.path().join(format!("m{n}")))
                .args(["--listen-client-urls", client, "--advertise-client-urls", client])
                .args(["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer])
                .args(["--initial-cluster", &named.join(","), "--initial-cluster-state", "new"])
                .stdin(Stdio::null())
                .stdout(log.try_clone()?)
                .stderr(log)
                .spawn()
                .map_err(|error| format!("etcd: {error}; this needs Debian's package etcd-server"))?;
            etcd.members.push(child);
        }
        store::wait_for_quorum(&etcd.options(), QUORUM_WITHIN).await?;
        Ok(etcd)
    }

    /// How a master speaks to it.
    #[must_use]
    pub fn options(&self) -> EtcdOptions {
        let mut options = EtcdOptions::new(self.endpoints.clone(), None);
        options.lease = LEASE;
        options
    }

    /// The store of a master.
    #[must_use]
    pub fn shared(&self) -> Arc<dyn Shared> {
        Arc::new(Place(self.options()))
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for member in &mut self.members {
            // It may have ended already; what it had is thrown away.
            let _ = member.kill();
            let _ = member.wait();
        }
    }
}

#[derive(Debug)]
struct Place(EtcdOptions);

impl Shared for Place {
    fn open(&self) -> Answer<'_, Arc<dyn Store>> {
        Box::pin(async move {
            let store: Arc<dyn Store> = Arc::new(EtcdStore::connect(self.0.clone()).await?);
            Ok(store)
        })
    }
}
