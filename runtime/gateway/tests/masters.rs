//! Three masters on one store, over real TLS: who leads, what the others do with requests, and what is left when a leader goes.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use gateway::{Adopting, Gateway, Options, Shared, Standing};
use identity::PeerRole;
use reqwest::{Client, Method, Response};
use secrecy::SecretString;
use serde_json::{Value, json};
use store::memory::{MemoryCluster, MemoryStore};
use store::{Answer, Store};
use tls::testing::TestCa;
use tokio::net::TcpListener;

const CLUSTER: &str = "demo";
const PASSWORD: &str = "correct horse battery staple";
const LINK: &str = "/clusterctl.link.v1.Link/Connect";
const CALLER: &str = "x-clusterctl-caller";
const ADMIN: &str = "clusterctl://demo/admin/operator";
/// Nothing here takes that long unless it hangs.
const WITHIN: Duration = Duration::from_secs(60);

/// One master's way to the store, which can be cut.
#[derive(Clone, Debug)]
struct Way {
    cluster: MemoryCluster,
    cut: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<Arc<MemoryStore>>>>,
}

impl Way {
    fn new(cluster: &MemoryCluster) -> Self {
        Self { cluster: cluster.clone(), cut: Arc::default(), open: Arc::default() }
    }

    fn set_cut(&self, cut: bool) {
        self.cut.store(cut, Ordering::SeqCst);
        for store in self.open.lock().unwrap().iter() {
            if cut { self.cluster.cut(store) } else { self.cluster.heal(store) }
        }
    }
}

impl Shared for Way {
    fn open(&self) -> Answer<'_, Arc<dyn Store>> {
        let store = Arc::new(self.cluster.candidate());
        self.open.lock().unwrap().push(store.clone());
        if self.cut.load(Ordering::SeqCst) {
            self.cluster.cut(&store);
        }
        Box::pin(async move { Ok(store as Arc<dyn Store>) })
    }
}

struct One {
    gateway: Gateway,
    address: String,
    url: String,
    way: Way,
}

impl One {
    /// Waits until it stands so.
    async fn until(&self, wanted: impl Fn(&Standing) -> bool) -> Standing {
        let waiting = async {
            let mut now = self.gateway.standing();
            while !wanted(&now) {
                now = self.gateway.stands_otherwise(now).await;
            }
            now
        };
        let waited = tokio::time::timeout(WITHIN, waiting).await;
        waited.unwrap_or_else(|_| panic!("{} {}", self.address, self.gateway.standing()))
    }
}

struct Masters {
    dir: tempfile::TempDir,
    ca: TestCa,
    cluster: MemoryCluster,
    all: Vec<One>,
}

impl Masters {
    async fn start(count: usize) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut masters = Self {
            dir: tempfile::tempdir().unwrap(),
            ca: TestCa::new(),
            cluster: MemoryCluster::new(),
            all: Vec::new(),
        };
        for _ in 0..count {
            masters.one_more(|_, way| Arc::new(way)).await;
        }
        masters
    }

    /// All of them know each other from the beginning.
    async fn acquainted(count: usize) -> Self {
        let mut masters = Self::start(0).await;
        let mut places = Vec::new();
        for _ in 0..count {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            places.push((listener.local_addr().unwrap().to_string(), listener));
        }
        let all: Vec<String> = places.iter().map(|(address, _)| address.clone()).collect();
        for (_, listener) in places {
            masters.one_at(listener, all.clone(), |_, way| Arc::new(way)).await;
        }
        masters
    }

    async fn one_more(&mut self, shared: impl FnOnce(&Path, Way) -> Arc<dyn Shared>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        self.one_at(listener, Vec::new(), shared).await;
    }

    async fn one_at(
        &mut self,
        listener: TcpListener,
        all: Vec<String>,
        shared: impl FnOnce(&Path, Way) -> Arc<dyn Shared>,
    ) {
        let name = format!("m{}", self.all.len());
        let dir = self.dir.path().join(&name);
        let tls = self.ca.node(&dir.join("tls"), CLUSTER, PeerRole::Master, &name);
        let address = listener.local_addr().unwrap().to_string();
        let mut options = Options::new(CLUSTER, &dir, address.clone(), Client::new());
        options.tls = Some(tls);
        options.masters = all;
        let way = Way::new(&self.cluster);
        options.share(shared(&dir, way.clone()));
        let gateway = Gateway::start(listener, options).await.unwrap();
        self.all.push(One { gateway, url: format!("https://{address}"), address, way });
    }

    /// Waits until one leads and the others follow it: that one, and another.
    async fn settled(&self) -> (&One, &One) {
        let leads = async |one: &One| one.until(|now| *now == Standing::Leads).await;
        let any = futures_util::future::select_all(self.all.iter().map(|one| Box::pin(leads(one))));
        let (_, at, _) = tokio::time::timeout(WITHIN, any).await.unwrap();
        let leader = &self.all[at];
        let others = || self.all.iter().filter(|one| one.address != leader.address);
        for one in others() {
            one.until(|now| *now == Standing::Follows(leader.address.clone())).await;
        }
        (leader, others().next().unwrap_or(leader))
    }

    fn client(&self, peer: Option<(PeerRole, &str)>) -> Client {
        let leaf = peer.map(|(role, name)| self.ca.leaf(CLUSTER, role, name));
        let key = leaf.as_ref().map(|leaf| SecretString::from(leaf.key.clone()));
        let own = leaf.as_ref().zip(key.as_ref()).map(|(leaf, key)| (leaf.certificate.as_str(), key));
        let dialler = tls::Authority { ca: &self.ca.pem, own }.dialler(SystemTime::now()).unwrap();
        let builder = Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy();
        builder.tls_backend_preconfigured(dialler.config()).build().unwrap()
    }

    fn admin(&self) -> Client {
        self.client(Some((PeerRole::Admin, "operator")))
    }

    async fn stop(self) {
        for one in self.all {
            one.gateway.stop().await.unwrap();
        }
    }
}

async fn ask(by: &Client, method: Method, one: &One, path: &str, body: Option<Value>) -> Response {
    let mut request = by.request(method, format!("{}{path}", one.url));
    if let Some(body) = body {
        request = request.json(&body);
    }
    tokio::time::timeout(WITHIN, request.send()).await.unwrap().unwrap()
}

async fn get(by: &Client, one: &One, path: &str) -> Response {
    ask(by, Method::GET, one, path, None).await
}

fn header<'r>(response: &'r Response, name: &str) -> &'r str {
    response.headers().get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
}

async fn create(by: &Client, one: &One, id: &str) -> Response {
    let app = json!({"id": id, "cmd": "true", "instances": 0});
    ask(by, Method::POST, one, "/v2/apps", Some(app)).await
}

/// The ids of all apps, as this master has them.
async fn apps(by: &Client, one: &One) -> Vec<String> {
    let answer = get(by, one, "/v2/apps").await.json::<Value>().await.unwrap();
    let apps = answer["apps"].as_array().unwrap().iter();
    apps.map(|app| app["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_follower_sends_some_to_the_leader_passes_others_on_and_speaks_for_itself() {
    let masters = Masters::start(3).await;
    let (leader, follower) = masters.settled().await;
    let (admin, nobody) = (masters.admin(), masters.client(None));

    for path in ["/state?a=b", "/master/slaves", "/api/v1", "/tasks?limit=1"] {
        let moved = get(&admin, follower, path).await;
        let wanted = format!("//{}{path}", leader.address);
        assert_eq!((moved.status().as_u16(), header(&moved, "location")), (307, wanted.as_str()), "{path}");
    }
    let moved = get(&admin, follower, "/redirect").await;
    assert_eq!(header(&moved, "location"), format!("//{}", leader.address));
    let events = get(&admin, follower, "/v2/events?event_type=x").await;
    let wanted = format!("{}/v2/events?event_type=x", leader.url);
    assert_eq!((events.status().as_u16(), header(&events, "location")), (302, wanted.as_str()));

    // Passed on: changes, reads, with prefixes and slashes, and streams.
    let created = create(&admin, follower, "/one").await;
    assert_eq!(created.status(), 201);
    assert_eq!(header(&created, "x-marathon-leader"), leader.url);
    assert_eq!(header(&created, "x-marathon-via"), format!("1.1 {}", follower.address));
    assert!(!header(&created, "marathon-deployment-id").is_empty());
    for path in ["/v2/apps/one", "//v2//apps/one", "/service/marathon/v2/apps/one"] {
        let one = get(&admin, follower, path).await;
        assert_eq!(one.status(), 200, "{path}");
        assert_eq!(one.json::<Value>().await.unwrap()["app"]["id"], "/one");
    }
    let state = get(&admin, follower, "/mesos/state.json").await;
    assert_eq!(state.status(), 200, "as DC/OS' own proxy does it");
    let told = get(&admin, follower, "/v2/leader").await.json::<Value>().await.unwrap();
    assert_eq!(told, json!({"leader": leader.address}));
    let cluster = get(&admin, follower, "/clusterctl/v1/cluster").await.json::<Value>().await.unwrap();
    assert_eq!(cluster["leader"], json!(leader.address));
    let head = ask(&admin, Method::HEAD, follower, "/v2/apps", None).await;
    assert_eq!((head.status().as_u16(), head.bytes().await.unwrap().len()), (200, 0));
    assert_eq!(get(&admin, follower, "/nothing").await.status(), 404);
    let stream = admin.get(format!("{}/service/marathon/v2/events", follower.url));
    let mut stream = stream.header("accept", "text/event-stream").send().await.unwrap();
    let attached = stream.chunk().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&attached).contains("\"remoteAddress\":\"127.0.0.1\""), "{attached:?}");
    drop(stream);

    // A body has its limit where it is read, and is not gathered on the way.
    let large = json!({"id": "/large", "cmd": "x".repeat(9 << 20)});
    assert_eq!(ask(&admin, Method::POST, follower, "/v2/apps", Some(large)).await.status(), 413);
    let sum = "0".repeat(64);
    let put = admin.put(format!("{}/clusterctl/v1/artifacts/sha256/{sum}", follower.url)).body("x");
    let direct = admin.put(format!("{}/clusterctl/v1/artifacts/sha256/{sum}", leader.url)).body("x");
    let (put, direct) = (put.send().await.unwrap(), direct.send().await.unwrap());
    assert_eq!((put.status(), put.text().await.unwrap()), (direct.status(), direct.text().await.unwrap()));
    // HTTP/2 has no such thing.
    let leaf = masters.ca.leaf(CLUSTER, PeerRole::Admin, "operator");
    let key = SecretString::from(leaf.key);
    let authority = tls::Authority { ca: &masters.ca.pem, own: Some((&leaf.certificate, &key)) };
    let mut config = authority.dialler(SystemTime::now()).unwrap().config();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let old = Client::builder().no_proxy().http1_only().tls_backend_preconfigured(config).build().unwrap();
    let upgrade = old.get(format!("{}/v2/apps", follower.url)).header("upgrade", "websocket");
    let upgrade = upgrade.header("connection", "upgrade").send().await.unwrap();
    assert_eq!(upgrade.status(), 501);
    assert!(upgrade.text().await.unwrap().contains(&leader.url));

    // Its own.
    for path in ["/ping", "/health", "/master/health"] {
        assert_eq!(get(&nobody, follower, path).await.status(), 200, "{path}");
    }
    for (one, leads) in [(leader, 1), (follower, 0)] {
        let figures = get(&admin, one, "/metrics").await.text().await.unwrap();
        assert!(figures.contains(&format!("\nclusterctl_master_leads {leads}\n")), "{figures}");
        let numbers = get(&admin, one, "/metrics/snapshot").await.json::<Value>().await.unwrap();
        assert_eq!(numbers["master/elected"], json!(f64::from(leads)));
        let this = get(&admin, one, "/clusterctl/v1/master").await.json::<Value>().await.unwrap();
        assert_eq!((&this["address"], &this["leader"]), (&json!(one.address), &json!(leader.address)));
        assert_eq!((&this["leads"], &this["epoch"]), (&json!(leads == 1), &cluster["epoch"]), "{this}");
    }

    // An agent is told where to go.
    let agent = masters.client(Some((PeerRole::Agent, "a1")));
    let answer = ask(&agent, Method::POST, follower, LINK, None).await;
    assert_eq!((answer.status().as_u16(), header(&answer, "grpc-status")), (200, "14"));
    assert_eq!(header(&answer, "x-clusterctl-leader"), leader.url);
    masters.stop().await;
}

#[tokio::test]
async fn everybody_is_who_he_is_also_through_another_master_and_no_more() {
    let masters = Masters::start(2).await;
    let (leader, follower) = masters.settled().await;
    let (admin, nobody) = (masters.admin(), masters.client(None));
    let agent = masters.client(Some((PeerRole::Agent, "a1")));
    let master = masters.client(Some((PeerRole::Master, "m9")));
    let wish = json!({ "role": "viewer", "password": PASSWORD });
    let made = ask(&admin, Method::PUT, follower, "/clusterctl/v1/users/ann", Some(wish)).await;
    assert!(made.status().is_success(), "{}", made.status());
    let log_in = |password: &str| json!({ "user": "ann", "password": password });
    let path = "/clusterctl/v1/login";
    let wrong = ask(&nobody, Method::POST, follower, path, Some(log_in("wrong"))).await;
    assert_eq!(wrong.status(), 401);
    let token = ask(&nobody, Method::POST, follower, path, Some(log_in(PASSWORD))).await;
    let token = token.json::<Value>().await.unwrap();
    let token = token["token"].as_str().unwrap_or_else(|| panic!("{token}")).to_owned();

    let reads = ["/v2/apps", "/metrics", "/clusterctl/v1/master", "/version"];
    for one in [leader, follower] {
        for path in reads {
            let status = async |by: &Client, headers: &[(&str, &str)]| {
                let mut request = by.get(format!("{}{path}", one.url));
                for (name, value) in headers {
                    request = request.header(*name, *value);
                }
                request.send().await.unwrap().status().as_u16()
            };
            let bearer = format!("Bearer {token}");
            let forged = [(CALLER, ADMIN), ("x-clusterctl-from", "127.0.0.1")];
            assert_eq!(status(&admin, &[]).await, 200, "{path}");
            assert_eq!(status(&nobody, &[]).await, 401, "{path}");
            assert_eq!(status(&nobody, &[("authorization", &bearer)]).await, 200, "{path}");
            assert_eq!(status(&nobody, &[("authorization", "Bearer x")]).await, 401, "{path}");
            assert_eq!(status(&admin, &[("authorization", "Bearer x")]).await, 401, "{path}");
            assert_eq!(status(&agent, &[]).await, 403, "{path}");
            assert_eq!(status(&master, &[]).await, 403, "{path}");
            // Words that only masters are believed, said by others.
            assert_eq!(status(&nobody, &forged).await, 401, "{path}");
            assert_eq!(status(&agent, &forged).await, 403, "{path}");
        }
    }
    let viewer = nobody.post(format!("{}/v2/apps", follower.url)).bearer_auth(&token);
    assert_eq!(viewer.json(&json!({"id": "/x", "cmd": "true"})).send().await.unwrap().status(), 403);

    // A master is believed, and is not itself let in by what it says.
    let says = async |one: &One, caller: &str, path: &str| {
        let request = master.get(format!("{}{path}", one.url)).header(CALLER, caller);
        request.header("x-clusterctl-from", "192.0.2.7").send().await.unwrap()
    };
    assert_eq!(says(leader, ADMIN, "/v2/apps").await.status(), 200);
    assert_eq!(says(leader, "anyone", "/v2/apps").await.status(), 401);
    assert_eq!(says(leader, "clusterctl://demo/agent/a1", "/v2/apps").await.status(), 403);
    assert_eq!(says(leader, "the operator", "/v2/apps").await.status(), 400);
    // One that was passed on to a master that does not lead goes no further.
    let again = says(follower, ADMIN, "/v2/apps").await;
    assert_eq!((again.status().as_u16(), header(&again, "retry-after")), (503, "1"));
    masters.stop().await;
}

#[tokio::test]
async fn a_leader_that_ends_hands_over_and_the_next_one_has_everything() {
    let mut masters = Masters::start(3).await;
    let admin = masters.admin();
    let first = masters.settled().await.0.address.clone();
    for id in ["/one", "/two"] {
        let one = masters.settled().await.1;
        assert_eq!(create(&admin, one, id).await.status(), 201);
    }
    // In memory no lease runs out: without being handed over, nobody would lead.
    let at = masters.all.iter().position(|one| one.address == first).unwrap();
    masters.all.remove(at).gateway.stop().await.unwrap();
    let (leader, follower) = masters.settled().await;
    assert_ne!(leader.address, first);
    for one in [leader, follower] {
        assert_eq!(apps(&admin, one).await, ["/one", "/two"]);
    }

    // On request, another one than before.
    let abdicated = ask(&admin, Method::DELETE, follower, "/v2/leader", None).await;
    assert_eq!(abdicated.status(), 200);
    let (old, new) = (leader, follower);
    new.until(|now| *now == Standing::Leads).await;
    old.until(|now| *now == Standing::Follows(new.address.clone())).await;
    assert_eq!(create(&admin, old, "/three").await.status(), 201);
    assert_eq!(apps(&admin, new).await, ["/one", "/three", "/two"]);
    masters.stop().await;
}

#[tokio::test]
async fn a_lease_that_is_over_lets_nothing_more_be_changed() {
    let masters = Masters::start(3).await;
    let admin = masters.admin();
    let (old, _) = masters.settled().await;
    assert_eq!(create(&admin, old, "/before").await.status(), 201);
    masters.cluster.expire();
    // Whatever the old one still believes: it is the store that refuses, or another master that does it.
    let status = create(&admin, old, "/between").await.status().as_u16();
    assert!([201, 502, 503].contains(&status), "{status}");
    let moved = |now: &Standing| matches!(now, Standing::Follows(_));
    old.until(moved).await;
    let (leader, _) = masters.settled().await;
    assert_ne!(leader.address, old.address);
    let mut wanted = vec!["/before"];
    if status == 201 {
        wanted.push("/between");
    }
    assert_eq!(apps(&admin, leader).await, wanted);
    assert_eq!(apps(&admin, old).await, wanted);
    masters.stop().await;
}

#[tokio::test]
async fn a_leader_that_is_cut_off_tells_what_it_knew_with_its_age_and_refuses_the_rest() {
    let masters = Masters::start(2).await;
    let (admin, nobody) = (masters.admin(), masters.client(None));
    let (old, new) = masters.settled().await;
    assert_eq!(create(&admin, old, "/before").await.status(), 201);
    old.way.set_cut(true);
    old.until(|now| matches!(now, Standing::Waits { .. })).await;
    new.until(|now| *now == Standing::Leads).await;
    assert_eq!(create(&admin, new, "/after").await.status(), 201);

    let stale = get(&admin, old, "/v2/apps").await;
    assert_eq!(stale.status(), 200);
    assert_eq!(header(&stale, "warning"), "110 clusterctl \"Response is Stale\"");
    assert!(header(&stale, "x-clusterctl-stale").parse::<u64>().unwrap() >= 1);
    assert_eq!(header(&stale, "x-marathon-leader"), "");
    assert_eq!(apps(&admin, old).await, ["/before"]);
    assert_eq!(get(&admin, old, "/slaves").await.status(), 200);
    assert_eq!(get(&nobody, old, "/v2/apps").await.status(), 401);
    let refused = create(&admin, old, "/lost").await;
    assert_eq!((refused.status().as_u16(), header(&refused, "retry-after")), (503, "1"));
    assert_eq!(get(&admin, old, "/v2/leader").await.status(), 404);
    let agent = masters.client(Some((PeerRole::Agent, "a1")));
    assert_eq!(header(&ask(&agent, Method::POST, old, LINK, None).await, "grpc-status"), "14");
    assert_eq!(get(&nobody, old, "/ping").await.status(), 200);

    old.way.set_cut(false);
    old.until(|now| *now == Standing::Follows(new.address.clone())).await;
    let fresh = get(&admin, old, "/v2/apps").await;
    assert_eq!((header(&fresh, "warning"), header(&fresh, "x-marathon-leader")), ("", new.url.as_str()));
    assert_eq!(apps(&admin, old).await, ["/after", "/before"]);
    masters.stop().await;
}

#[tokio::test]
async fn a_leader_that_is_gone_is_said_to_be_so_and_its_streams_end() {
    let mut masters = Masters::start(2).await;
    let admin = masters.admin();
    let (leader, follower) = masters.settled().await;
    let stream = admin.get(format!("{}/service/marathon/v2/events", follower.url));
    let mut stream = stream.header("accept", "text/event-stream").send().await.unwrap();
    assert!(stream.chunk().await.unwrap().is_some());
    // The follower knows no better than that the old one leads, as when a whole host has just gone.
    follower.way.set_cut(true);
    let gone = leader.address.clone();
    let at = masters.all.iter().position(|one| one.address == gone).unwrap();
    masters.all.remove(at).gateway.stop().await.unwrap();
    let ended = async { while let Ok(Some(_)) = stream.chunk().await {} };
    tokio::time::timeout(WITHIN, ended).await.unwrap();
    let follower = &masters.all[0];
    let refused = get(&admin, follower, "/v2/apps").await;
    assert_eq!((refused.status().as_u16(), header(&refused, "retry-after")), (503, "1"));
    assert!(refused.text().await.unwrap().contains(&gone));
    follower.way.set_cut(false);
    follower.until(|now| *now == Standing::Leads).await;
    assert_eq!(get(&admin, follower, "/v2/apps").await.status(), 200);
    masters.stop().await;
}

/// What is said until `ready`, each frame by its data.
async fn until_ready(stream: &mut Response) -> Vec<Value> {
    let (mut text, mut frames) = (String::new(), Vec::<Value>::new());
    while frames.last().is_none_or(|frame| frame["type"] != "ready") {
        let chunk = tokio::time::timeout(WITHIN, stream.chunk()).await.unwrap().unwrap().unwrap();
        text += std::str::from_utf8(&chunk).unwrap();
        let whole = text.rmatch_indices("\n\n").next().map_or(0, |(at, _)| at + 2);
        let data = text.drain(..whole).collect::<String>();
        let data = data.lines().filter_map(|line| line.strip_prefix("data: "));
        frames.extend(data.map(|data| serde_json::from_str::<Value>(data).unwrap()));
    }
    frames
}

#[tokio::test]
async fn a_dashboard_at_any_master_watches_the_leader_as_who_it_is() {
    let mut masters = Masters::start(2).await;
    let (admin, nobody) = (masters.admin(), masters.client(None));
    let (leader, follower) = masters.settled().await;
    assert_eq!(create(&admin, leader, "/one").await.status(), 201);
    let viewer = json!({"role": "viewer", "password": PASSWORD});
    let made = ask(&admin, Method::PUT, leader, "/clusterctl/v1/users/joe", Some(viewer)).await;
    assert!(made.status().is_success(), "{}", made.text().await.unwrap());
    let by = format!("joe:{PASSWORD}");
    let basic = format!("Basic {}", base64::Engine::encode(&base64::engine::general_purpose::STANDARD, by));
    let watch = |one: &One| format!("{}/clusterctl/v1/watch", one.url);
    for one in [leader, follower] {
        assert_eq!(nobody.get(watch(one)).send().await.unwrap().status(), 401);
        for (by, credential, user, operates) in
            [(&admin, None, "operator", true), (&nobody, Some(&basic), "joe", false)]
        {
            let mut request = by.get(watch(one));
            if let Some(credential) = credential {
                request = request.header("authorization", credential);
            }
            let mut stream = request.send().await.unwrap();
            let frames = until_ready(&mut stream).await;
            let hello = &frames[0];
            assert_eq!((&hello["user"], &hello["operates"]), (&json!(user), &json!(operates)), "{hello}");
            assert_eq!(hello["cluster"], json!(CLUSTER));
            assert_eq!(frames[1]["set"][0]["id"], json!("/one"), "{frames:?}");
        }
    }

    // Through the follower, until another one leads.
    let mut stream = admin.get(watch(follower)).send().await.unwrap();
    let first = until_ready(&mut stream).await;
    let gone = leader.address.clone();
    let at = masters.all.iter().position(|one| one.address == gone).unwrap();
    masters.all.remove(at).gateway.stop().await.unwrap();
    let ended = async { while let Ok(Some(_)) = stream.chunk().await {} };
    tokio::time::timeout(WITHIN, ended).await.unwrap();
    let left = &masters.all[0];
    left.until(|now| *now == Standing::Leads).await;
    let mut stream = admin.get(watch(left)).send().await.unwrap();
    let next = until_ready(&mut stream).await;
    assert!(next[0]["epoch"].as_u64() > first[0]["epoch"].as_u64(), "{next:?}");
    assert_ne!(next[0]["leader"], first[0]["leader"]);
    assert_eq!(next[1]["set"][0]["id"], json!("/one"));
    masters.stop().await;
}

#[tokio::test]
async fn what_the_only_master_had_in_a_file_is_what_several_have() {
    let mut masters = Masters::start(0).await;
    let admin = masters.admin();
    let dir = masters.dir.path().join("m0");
    let tls = masters.ca.node(&dir.join("tls"), CLUSTER, PeerRole::Master, "m0");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut options = Options::new(CLUSTER, &dir, address.clone(), Client::new());
    options.tls = Some(tls);
    let alone = One {
        gateway: Gateway::start(listener, options).await.unwrap(),
        url: format!("https://{address}"),
        address,
        way: Way::new(&masters.cluster),
    };
    assert_eq!(create(&admin, &alone, "/one").await.status(), 201);
    let epoch = async |one: &One| {
        let this = get(&masters.admin(), one, "/clusterctl/v1/master").await;
        this.json::<Value>().await.unwrap()["epoch"].as_u64().unwrap()
    };
    let before = epoch(&alone).await;
    alone.gateway.stop().await.unwrap();

    masters.one_more(|dir, way| Arc::new(Adopting::new(dir, "m0", Arc::new(way)))).await;
    masters.all[0].until(|now| *now == Standing::Leads).await;
    masters.one_more(|dir, way| Arc::new(Adopting::new(dir, "m1", Arc::new(way)))).await;
    let (leader, follower) = masters.settled().await;
    assert_eq!(apps(&admin, follower).await, ["/one"]);
    let this = get(&admin, leader, "/clusterctl/v1/master").await.json::<Value>().await.unwrap();
    assert!(this["epoch"].as_u64().unwrap() > before, "{this} {before}");
    let store = dir.join("store");
    assert!(store.join("store.redb.copied").exists() && !store.join("store.redb").exists());
    masters.stop().await;
}

/// Of `hello`.
const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

impl Masters {
    /// Where a master keeps it.
    fn copy(&self, one: &One) -> std::path::PathBuf {
        let at = self.all.iter().position(|other| other.address == one.address).unwrap();
        self.dir.path().join(format!("m{at}/artifacts/{HELLO}"))
    }

    fn holders(&self) -> usize {
        self.all.iter().filter(|one| self.copy(one).exists()).count()
    }
}

#[tokio::test]
async fn an_upload_is_acknowledged_when_most_masters_have_it_and_any_gives_it() {
    let masters = Masters::acquainted(3).await;
    let (leader, follower) = masters.settled().await;
    let (admin, nobody) = (masters.admin(), masters.client(None));
    let agent = masters.client(Some((PeerRole::Agent, "a1")));
    let path = format!("/clusterctl/v1/artifacts/sha256/{HELLO}");
    let put = async |one: &One, body: &'static str| {
        let put = admin.put(format!("{}{path}", one.url)).body(body);
        tokio::time::timeout(WITHIN, put.send()).await.unwrap().unwrap()
    };
    assert_eq!(get(&admin, follower, &path).await.status(), 404);
    assert_eq!(put(follower, "hullo").await.status(), 422);
    assert_eq!(masters.holders(), 0);
    assert_eq!(put(follower, "hello").await.status(), 201);
    assert!(masters.holders() >= 2, "{}", masters.holders());
    // The last one has it soon, too.
    let copies = format!("/clusterctl/v1/copies/sha256/{HELLO}");
    let master = masters.client(Some((PeerRole::Master, "m9")));
    let all = async {
        for one in &masters.all {
            while get(&master, one, &copies).await.status() == 404 {}
        }
    };
    tokio::time::timeout(WITHIN, all).await.unwrap();
    assert_eq!(masters.holders(), 3);

    // Whoever lacks it has it from another one; agents are served where they ask, once they are admitted.
    for one in &masters.all {
        let _ = std::fs::remove_file(masters.copy(one));
    }
    std::fs::write(masters.copy(leader), "hello").unwrap();
    assert_eq!(get(&agent, follower, &path).await.status(), 403);
    assert_eq!(get(&nobody, follower, &path).await.status(), 401);
    assert!(!masters.copy(follower).exists());
    let admitted = ask(&admin, Method::PUT, leader, "/clusterctl/v1/admissions/a1", Some(json!({}))).await;
    assert!(admitted.status().is_success(), "{}", admitted.text().await.unwrap());
    let given = get(&agent, follower, &path).await;
    assert_eq!((given.status().as_u16(), header(&given, "x-marathon-via")), (200, ""), "by itself");
    assert_eq!(given.text().await.unwrap(), "hello");
    assert_eq!(std::fs::read(masters.copy(follower)).unwrap(), b"hello");

    // What another master gives and is not what it is called is not kept.
    for one in &masters.all {
        std::fs::write(masters.copy(one), "hullo").unwrap();
    }
    std::fs::remove_file(masters.copy(follower)).unwrap();
    let refused = get(&admin, follower, &path).await;
    assert_eq!(refused.status(), 503);
    assert!(!masters.copy(follower).exists());
    // Copies are the masters' own affair.
    for one in [leader, follower] {
        assert_eq!(get(&admin, one, &copies).await.status(), 403);
        assert_eq!(get(&agent, one, &copies).await.status(), 403);
        assert_eq!(get(&nobody, one, &copies).await.status(), 401);
    }
    assert_eq!(get(&master, follower, &copies).await.status(), 404);
    assert_eq!(get(&master, leader, &copies).await.status(), 200);
    assert_eq!(ask(&admin, Method::DELETE, follower, &path, None).await.status(), 204);
    assert_eq!(masters.holders(), 0);
    masters.stop().await;
}

#[tokio::test]
async fn an_upload_that_too_few_masters_took_is_not_acknowledged_and_goes_on_later() {
    let masters = Masters::acquainted(3).await;
    let (leader, _) = masters.settled().await;
    let admin = masters.admin();
    let path = format!("/clusterctl/v1/artifacts/sha256/{HELLO}");
    // The disks of the others are as good as full: their directories are gone.
    let others: Vec<_> = masters.all.iter().filter(|one| one.address != leader.address).collect();
    for one in &others {
        std::fs::remove_dir(masters.copy(one).parent().unwrap()).unwrap();
    }
    let put = async || admin.put(format!("{}{path}", leader.url)).body("hello").send().await.unwrap();
    let refused = put().await;
    assert_eq!(refused.status(), 503);
    let text = refused.text().await.unwrap();
    assert!(text.contains("too few") && text.contains(&others[0].address), "{text}");
    // One of them is well again: to send it once more is enough.
    std::fs::create_dir(masters.copy(others[0]).parent().unwrap()).unwrap();
    assert_eq!(put().await.status(), 200);
    assert_eq!(masters.holders(), 2);
    // One that cannot be asked may be the one that has it.
    std::fs::remove_file(masters.copy(leader)).unwrap();
    std::fs::remove_file(masters.copy(others[0])).unwrap();
    std::fs::create_dir(masters.copy(others[1]).parent().unwrap()).unwrap();
    assert_eq!(get(&admin, leader, &path).await.status(), 404);
    masters.stop().await;
}
