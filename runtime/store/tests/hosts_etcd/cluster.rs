//! etcd clusters of this machine's own, which end with their values.

use std::fs::File;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use etcd_client::Client;
use store::{EtcdHook, EtcdOptions, EtcdStore};

/// How to start an etcd: the program, and what comes before its own arguments.
#[derive(Clone)]
pub(crate) struct Program(
    Vec<PathBuf>,
    #[expect(dead_code, reason = "keeps it in the cache")] Option<testbed::Root>,
);

impl Program {
    /// Of this machine.
    pub(crate) fn own() -> Self {
        Self(vec!["etcd".into()], None)
    }

    /// Of Debian 13, with the libraries that it was built for.
    pub(crate) fn of_trixie() -> Self {
        let root = testbed::root_of(testbed::Release::Trixie, &["etcd-server"]).unwrap();
        let path = root.path();
        let loader = ["lib64/ld-linux-x86-64.so.2", "lib/ld-linux-aarch64.so.1"]
            .iter()
            .map(|loader| path.join("usr").join(loader))
            .find(|loader| loader.exists())
            .expect("a loader of Debian 13");
        let libraries = format!("{}/usr/lib/{}-linux-gnu", path.display(), std::env::consts::ARCH);
        let etcd = path.join("usr/bin/etcd");
        Self(vec![loader, "--library-path".into(), libraries.into(), etcd], Some(root))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.0[0]);
        command.args(&self.0[1..]);
        command
    }

    pub(crate) fn version(&self) -> String {
        let output = self.command().arg("--version").output().unwrap_or_else(|fault| {
            panic!("{}: {fault}; these tests need the package etcd-server", self.0[0].display())
        });
        String::from_utf8(output.stdout).unwrap()
    }
}

/// One or more members. Each can be killed and started again.
pub(crate) struct Cluster {
    program: Program,
    directory: tempfile::TempDir,
    members: Mutex<Vec<Member>>,
    more: Vec<String>,
}

struct Member {
    client: u16,
    peer: u16,
    child: Option<Child>,
}

fn free_ports<const N: usize>() -> [u16; N] {
    let listeners: [_; N] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

impl Cluster {
    pub(crate) fn start(program: &Program, members: usize) -> Self {
        Self::start_with(program, members, &[])
    }

    pub(crate) fn start_with(program: &Program, members: usize, more: &[&str]) -> Self {
        let members: Vec<Member> = (0..members)
            .map(|_| {
                let [client, peer] = free_ports();
                Member { client, peer, child: None }
            })
            .collect();
        let count = members.len();
        let cluster = Self {
            program: program.clone(),
            directory: tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap(),
            members: Mutex::new(members),
            more: more.iter().map(|text| (*text).to_owned()).collect(),
        };
        for n in 0..count {
            cluster.run(n);
        }
        cluster
    }

    /// Starts a member, with what it had.
    pub(crate) fn run(&self, n: usize) {
        let mut members = self.members.lock().unwrap();
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let client_url = |port: u16| format!("{}://127.0.0.1:{port}", self.scheme());
        let all: Vec<_> =
            members.iter().enumerate().map(|(n, member)| format!("m{n}={}", url(member.peer))).collect();
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.directory.path().join(format!("{n}.log")))
            .unwrap();
        let member = &mut members[n];
        let mut command = self.program.command();
        command
            .args(["--name", &format!("m{n}"), "--heartbeat-interval", "50", "--election-timeout", "500"])
            .arg("--data-dir")
            .arg(self.directory.path().join(format!("m{n}")))
            .args([
                "--listen-client-urls",
                &client_url(member.client),
                "--advertise-client-urls",
                &client_url(member.client),
            ])
            .args([
                "--listen-peer-urls",
                &url(member.peer),
                "--initial-advertise-peer-urls",
                &url(member.peer),
            ])
            .args(["--initial-cluster", &all.join(","), "--initial-cluster-state", "new"])
            .args(&self.more)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let child = command
            .spawn()
            .unwrap_or_else(|fault| panic!("etcd: {fault}; these tests need the package etcd-server"));
        member.child = Some(child);
    }

    /// As `kill -9` does it.
    pub(crate) fn kill(&self, n: usize) {
        if let Some(mut child) = self.members.lock().unwrap()[n].child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn scheme(&self) -> &'static str {
        if self.more.iter().any(|text| text == "--cert-file") { "https" } else { "http" }
    }

    pub(crate) fn endpoints(&self) -> Vec<String> {
        let members = self.members.lock().unwrap();
        members.iter().map(|member| format!("{}://127.0.0.1:{}", self.scheme(), member.client)).collect()
    }

    pub(crate) fn options(&self) -> EtcdOptions {
        EtcdOptions {
            lease: Duration::from_secs(4),
            request: Duration::from_secs(1),
            patience: Duration::from_secs(10),
            ..EtcdOptions::new(self.endpoints(), None)
        }
    }

    /// Waits until etcd can be used.
    pub(crate) async fn ready(&self) {
        if let Err(error) = store::wait_for_quorum(&self.options(), Duration::from_secs(60)).await {
            let log = std::fs::read_to_string(self.directory.path().join("0.log")).unwrap_or_default();
            panic!("{error}: {error:?}\n{log}");
        }
    }

    pub(crate) async fn store(&self) -> Arc<EtcdStore> {
        self.ready().await;
        Arc::new(EtcdStore::connect(self.options()).await.unwrap())
    }

    pub(crate) async fn store_with(&self, hook: Arc<dyn EtcdHook>) -> Arc<EtcdStore> {
        self.ready().await;
        let options = EtcdOptions { hook: Some(hook), ..self.options() };
        Arc::new(EtcdStore::connect(options).await.unwrap())
    }

    /// Past the store.
    pub(crate) async fn raw(&self) -> Client {
        self.ready().await;
        Client::connect(self.endpoints(), None).await.unwrap()
    }

    /// Ends the lease of the one who leads.
    pub(crate) async fn end_lease(&self) {
        let mut raw = self.raw().await;
        let found = raw.get("clusterctl/leader", None).await.unwrap();
        if let Some(key) = found.kvs().first() {
            // Its holder may have given it back meanwhile.
            let _ = raw.lease_revoke(key.lease()).await;
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let count = self.members.lock().map_or(0, |members| members.len());
        for n in 0..count {
            self.kill(n);
        }
    }
}
