//! What happens to etcd itself.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use secrecy::SecretString;
use store::{
    Batch, Candidate, Coordinator, CoordinatorState, EtcdHook, EtcdOptions, EtcdStore, EtcdTls, Held, Key,
    LeaderView, Outcome, Prefix, Store, StoreError,
};
use tokio::sync::watch;

use crate::cluster::{Cluster, Program};

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn run(test: impl Future<Output = ()>) {
    store::suite::run(test);
}

/// The member that leads etcd itself.
async fn etcd_leader(cluster: &Cluster) -> usize {
    loop {
        for (n, endpoint) in cluster.endpoints().into_iter().enumerate() {
            let mut raw = etcd_client::Client::connect([endpoint], None).await.unwrap();
            let Ok(status) = raw.status().await else { continue };
            if status.header().is_some_and(|header| header.member_id() == status.leader()) {
                return n;
            }
        }
    }
}

#[test]
#[ignore = "etcd"]
fn a_member_that_dies_costs_neither_commits_nor_the_reign_and_a_lost_majority_ends_it() {
    run(async {
        let cluster = Cluster::start(&Program::own(), 3);
        let store = cluster.store().await;
        let reign = store.campaign(&Candidate::new("m1")).await.unwrap();
        let made = watch::Sender::new(0_u64);
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let (store, reign, made) = (store.clone(), reign.clone(), made.clone());
                tokio::spawn(async move {
                    for n in 0.. {
                        let at = format!("w{writer}/{n}");
                        if let Err(error) = store.commit(&reign, Batch::new().put(key(&at), "x")).await {
                            return (writer, n, error);
                        }
                        made.send_modify(|made| *made += 1);
                    }
                    unreachable!("it writes until it is refused")
                })
            })
            .collect();
        let more = |count: u64| {
            let mut made = made.subscribe();
            async move {
                let until = *made.borrow() + count;
                made.wait_for(|made| *made >= until).await.unwrap();
            }
        };
        more(200).await;
        let dead = etcd_leader(&cluster).await;
        cluster.kill(dead);
        more(200).await;
        assert_eq!(*store.observe_leader().borrow(), LeaderView::Led(reign.leader().clone()));
        assert!(store.valid_until(&reign).unwrap() > Instant::now());

        cluster.kill((dead + 1) % 3);
        let mut acknowledged = vec![];
        for writer in writers {
            let (writer, count, error) = writer.await.unwrap();
            assert!(matches!(error, StoreError::NotLeading { .. } | StoreError::Undecided { .. }), "{error}");
            acknowledged.push((writer, count, error.outcome()));
        }
        let began = Instant::now();
        assert!(store.commit(&reign, Batch::new()).await.is_err());
        assert!(began.elapsed() < Duration::from_millis(500), "it is refused without asking");
        let unreadable = store.load(&Prefix::all()).await;
        assert!(
            matches!(unreadable, Err(StoreError::NoQuorum { .. } | StoreError::Unreachable { .. })),
            "{unreadable:?}"
        );

        cluster.run(dead);
        cluster.run((dead + 1) % 3);
        cluster.ready().await;
        let next = store.campaign(&Candidate::new("m1")).await.unwrap();
        assert!(next.epoch() > reign.epoch());
        let loaded = store.load(&Prefix::all()).await.unwrap();
        for (writer, count, outcome) in acknowledged {
            let there = loaded.below(&key(&format!("w{writer}"))).count();
            let possible = if outcome == Outcome::Unknown { count..=count + 1 } else { count..=count };
            assert!(possible.contains(&there), "{there} of {count} are there, {outcome:?}");
        }
        store.commit(&next, Batch::new().put(key("after"), "x")).await.unwrap();
    });
}

#[test]
#[ignore = "etcd"]
fn an_etcd_that_is_away_is_told_and_used_when_it_comes() {
    run(async {
        let cluster = Cluster::start(&Program::own(), 1);
        cluster.ready().await;
        cluster.kill(0);
        let options = EtcdOptions { patience: Duration::from_millis(300), ..cluster.options() };
        let store = EtcdStore::connect(options.clone()).await.unwrap();
        let refused = store.load(&Prefix::all()).await.unwrap_err();
        assert!(matches!(refused, StoreError::Unreachable { .. }), "{refused}");
        assert!(refused.to_string().contains(&cluster.endpoints()[0]), "{refused}");
        assert!(store.campaign(&Candidate::new("m1")).await.is_err());
        assert!(store::wait_for_quorum(&options, Duration::from_millis(300)).await.is_err());
        assert_eq!(*store.observe_leader().borrow(), LeaderView::Unknown);
        cluster.run(0);
        cluster.ready().await;
        store.observe_leader().wait_for(|view| *view == LeaderView::Vacant).await.unwrap();
        let reign = store.campaign(&Candidate::new("m1")).await.unwrap();
        store.commit(&reign, Batch::new().put(key("a"), "x")).await.unwrap();
    });
}

/// Compacts all between the first pages.
struct Compacts {
    cluster: Arc<Cluster>,
    left: AtomicU64,
}

impl EtcdHook for Compacts {
    fn page(&self) -> Held {
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        let cluster = self.cluster.clone();
        Box::pin(async move {
            if left.is_ok() {
                let mut raw = cluster.raw().await;
                let put = raw.put("elsewhere", "x", None).await.unwrap();
                raw.compact(put.header().unwrap().revision(), None).await.unwrap();
            }
        })
    }
}

#[test]
#[ignore = "etcd"]
fn compaction_beneath_a_load_and_beneath_a_watch_is_not_noticed() {
    run(async {
        let cluster = Arc::new(Cluster::start(&Program::own(), 1));
        let hook = Arc::new(Compacts { cluster: cluster.clone(), left: 2.into() });
        let (one, two) = (cluster.store_with(hook.clone()).await, cluster.store().await);
        let reign = one.campaign(&Candidate::new("m1")).await.unwrap();
        let batches = (0..500).map(|n| Batch::new().put(key(&format!("n/{n}")), "x")).collect();
        let (made, error) = one.commit_all(&reign, batches).await;
        assert!(made == 500 && error.is_none(), "{error:?}");
        assert_eq!(one.load(&Prefix::below(&key("n"))).await.unwrap().entries.len(), 500);
        assert_eq!(hook.left.load(Ordering::SeqCst), 0, "it was not compacted");
        let mut view = two.observe_leader();
        view.wait_for(|view| *view == LeaderView::Led(reign.leader().clone())).await.unwrap();
        one.resign(&reign).await.unwrap();
        view.wait_for(|view| *view == LeaderView::Vacant).await.unwrap();
        two.campaign(&Candidate::new("m2")).await.unwrap();
    });
}

#[test]
#[ignore = "etcd"]
fn a_full_etcd_is_told_and_neither_reads_nor_the_leadership_end() {
    run(async {
        let cluster = Cluster::start_with(&Program::own(), 1, &["--quota-backend-bytes", "8000000"]);
        let store = cluster.store().await;
        let reign = store.campaign(&Candidate::new("m1")).await.unwrap();
        let first = store.valid_until(&reign).unwrap();
        let mut error = None;
        for n in 0..64 {
            let batch = Batch::new().put(key(&format!("n/{n}")), vec![1; 1024 * 1024]);
            if let Err(refused) = store.commit(&reign, batch).await {
                error = Some((n, refused));
                break;
            }
        }
        let Some((made, StoreError::NoSpace { place })) = error else { panic!("{error:?}") };
        assert!(place.contains("127.0.0.1"));
        let loaded = store.load(&Prefix::below(&key("n"))).await.unwrap();
        assert_eq!(loaded.entries.len(), made);
        // It is renewed all the same.
        while store.valid_until(&reign).unwrap() <= first {
            assert_eq!(*store.observe_leader().borrow(), LeaderView::Led(reign.leader().clone()));
            tokio::task::yield_now().await;
        }
        store.commit(&reign, Batch::new()).await.unwrap();
        store.resign(&reign).await.unwrap();
    });
}

/// A CA, and a certificate for 127.0.0.1 that is good for either side.
fn certificates(directory: &std::path::Path) {
    let openssl = |arguments: &str| {
        let output = Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(directory)
            .output()
            .expect("openssl");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
    for ca in ["ca", "other"] {
        openssl(&format!("req -x509 {key} -keyout {ca}.key -out {ca}.pem -subj /CN={ca}"));
    }
    std::fs::write(
        directory.join("ext"),
        "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\nbasicConstraints=CA:FALSE\n",
    )
    .unwrap();
    openssl(
        "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout own.key -out own.csr -subj /CN=own",
    );
    for ca in ["ca", "other"] {
        openssl(&format!(
            "x509 -req -in own.csr -CA {ca}.pem -CAkey {ca}.key -CAcreateserial -days 2 -extfile ext -out {ca}-own.pem"
        ));
    }
}

#[test]
#[ignore = "etcd"]
fn both_sides_show_certificates_of_one_authority() {
    let directory = tempfile::tempdir().unwrap();
    certificates(directory.path());
    let file = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
    run(async {
        let cluster = Cluster::start_with(
            &Program::own(),
            1,
            &[
                "--client-cert-auth",
                "--trusted-ca-file",
                &file("ca.pem"),
                "--cert-file",
                &file("ca-own.pem"),
                "--key-file",
                &file("own.key"),
            ],
        );
        let with = |ca: &str, certificate: &str| EtcdOptions {
            tls: Some(EtcdTls {
                ca: read(ca),
                certificate: read(certificate),
                key: SecretString::from(read("own.key")),
            }),
            ..cluster.options()
        };
        let good = with("ca.pem", "ca-own.pem");
        store::wait_for_quorum(&good, Duration::from_secs(60)).await.unwrap();
        let store = EtcdStore::connect(good).await.unwrap();
        let reign = store.campaign(&Candidate::new("m1")).await.unwrap();
        store.commit(&reign, Batch::new().put(key("a"), "x")).await.unwrap();
        for (ca, certificate) in [("other.pem", "ca-own.pem"), ("ca.pem", "other-own.pem")] {
            let refused = store::wait_for_quorum(&with(ca, certificate), Duration::from_secs(2)).await;
            assert!(
                matches!(refused, Err(StoreError::Unreachable { .. })),
                "{ca} {certificate}: {refused:?}"
            );
        }
        let clear = EtcdStore::connect(cluster.options()).await;
        assert!(matches!(clear, Err(StoreError::Endpoint { .. })), "{clear:?}");
    });
}

#[test]
#[ignore = "etcd"]
fn each_member_says_how_it_is() {
    run(async {
        let cluster = Cluster::start(&Program::own(), 3);
        let store = cluster.store().await;
        store.campaign(&Candidate::new("m1")).await.unwrap();
        let states = |looked: &[Coordinator]| {
            let mut states: Vec<_> = looked.iter().map(|one| one.state.name()).collect();
            states.sort_unstable();
            states
        };
        let looked = store.coordinators().await;
        assert_eq!(states(&looked), ["follower", "follower", "leader"]);
        for (one, endpoint) in looked.iter().zip(cluster.endpoints()) {
            assert!(one.name.is_some() && endpoint.ends_with(&one.address), "{one:?} {endpoint}");
        }
        let dead = etcd_leader(&cluster).await;
        cluster.kill(dead);
        assert_eq!(store.coordinators().await[dead].state, CoordinatorState::Unreachable);
        let leads = etcd_leader(&cluster).await;
        assert_eq!(store.coordinators().await[leads].state, CoordinatorState::Leader);
        // A leader that loses its majority gives up after an election's timeout.
        let follows = (0..3).find(|n| ![dead, leads].contains(n)).unwrap();
        cluster.kill(leads);
        loop {
            let looked = store.coordinators().await;
            match looked[follows].state {
                CoordinatorState::NoQuorum => break,
                state => assert_eq!(state, CoordinatorState::Follower),
            }
        }
    });
}
