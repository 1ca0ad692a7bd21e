use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use secrecy::SecretString;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::testing::{DAY, TestCa, Wanted};

const CLUSTER: &str = "prod";

fn id(role: PeerRole, name: &str) -> Identity {
    Identity::new(CLUSTER, role, name).unwrap()
}

fn load(files: Files) -> Result<Tls, String> {
    Tls::load(files, id(PeerRole::Agent, "a1"), SystemTime::now()).map_err(|error| {
        let causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
        causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
    })
}

/// One connection from end to end, with a byte each way, since a refusal by the server comes after a TLS 1.3 client is
/// satisfied. What the server saw, and what the client did.
async fn meet(acceptor: &Acceptor, dialler: &Dialler) -> (Result<Option<Identity>, String>, io::Result<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = async {
        let (stream, _) = listener.accept().await.unwrap();
        let mut accepted = acceptor.accept(stream).await.map_err(|error| match &error {
            AcceptError::Handshake(cause) => format!("{error}: {cause}"),
            _ => error.to_string(),
        })?;
        let mut byte = [0];
        accepted.stream.read_exact(&mut byte).await.map_err(|error| error.to_string())?;
        accepted.stream.write_all(&byte).await.map_err(|error| error.to_string())?;
        Ok(accepted.peer)
    };
    let client = async {
        let mut stream = dialler.connect("127.0.0.1", port).await?;
        stream.write_all(b"x").await?;
        stream.read_exact(&mut [0]).await?;
        Ok(())
    };
    tokio::join!(server, client)
}

struct Stage {
    dir: tempfile::TempDir,
    ca: TestCa,
    master: Tls,
}

impl Stage {
    fn new() -> Self {
        let (dir, ca) = (tempfile::tempdir().unwrap(), TestCa::new());
        let master = ca.node(&dir.path().join("master"), CLUSTER, PeerRole::Master, "m1");
        Self { dir, ca, master }
    }

    fn node(&self, role: PeerRole, name: &str) -> Tls {
        self.ca.node(&self.dir.path().join(name), CLUSTER, role, name)
    }
}

#[tokio::test]
async fn a_master_and_an_agent_know_each_other() {
    let stage = Stage::new();
    let agent = stage.node(PeerRole::Agent, "a1");
    let door = stage.master.acceptor(Clients::Any).unwrap();
    let (seen, done) = meet(&door, &agent.dialler(PeerRole::Master, &["h2"]).unwrap()).await;
    assert_eq!(seen.unwrap(), Some(id(PeerRole::Agent, "a1")));
    done.unwrap();
    let door = agent.acceptor(Clients::Only(PeerRole::Master)).unwrap();
    let (seen, done) = meet(&door, &stage.master.dialler(PeerRole::Agent, &[]).unwrap()).await;
    assert_eq!(seen.unwrap(), Some(id(PeerRole::Master, "m1")));
    done.unwrap();
}

#[tokio::test]
async fn who_has_no_certificate_comes_in_only_where_anybody_may() {
    let stage = Stage::new();
    let nobody = Authority { ca: &stage.ca.pem, own: None }.dialler(SystemTime::now()).unwrap();
    let (seen, done) = meet(&stage.master.acceptor(Clients::Any).unwrap(), &nobody).await;
    assert_eq!(seen.unwrap(), None);
    done.unwrap();
    let door = stage.master.acceptor(Clients::Only(PeerRole::Agent)).unwrap();
    let (seen, done) = meet(&door, &nobody).await;
    assert!(seen.is_err() && done.is_err(), "{seen:?}");
}

#[tokio::test]
async fn a_client_with_a_certificate_that_is_not_good_is_refused_wherever_it_goes() {
    let stage = Stage::new();
    let other = TestCa::new();
    let now = SystemTime::now();
    let good = Wanted::peer(CLUSTER, PeerRole::Agent, "a1");
    let uri = good.uris[0].clone();
    let table = [
        ("of another authority", other.issue(&good)),
        ("expired", stage.ca.issue(&Wanted { to: now - DAY / 2, ..good.clone() })),
        ("not yet valid", stage.ca.issue(&Wanted { from: now + DAY, ..good.clone() })),
        ("of another cluster", stage.ca.leaf("test", PeerRole::Agent, "a1")),
        ("of nobody", stage.ca.issue(&Wanted { uris: vec![], ..good.clone() })),
        ("of two", stage.ca.issue(&Wanted { uris: vec![uri.clone(), uri.clone()], ..good.clone() })),
        ("of no role", stage.ca.issue(&Wanted { uris: vec![uri.replace("agent", "root")], ..good.clone() })),
    ];
    let doors = [Clients::Any, Clients::Only(PeerRole::Agent)];
    for (what, leaf) in table {
        let key = SecretString::from(leaf.key.clone());
        // As its owner would load it if it were good; its own side does not look.
        let names = material::Names { ca: "ca".into(), certificate: "c".into(), key: "k".into() };
        let mut fixed = material::Material::parse(stage.ca.pem.as_bytes(), None, &names, now).unwrap();
        fixed.key = Some(testing_key(&leaf.certificate, &key));
        let dialler = dial::with(fixed, &["h2"]).unwrap();
        for clients in doors {
            let (seen, done) = meet(&stage.master.acceptor(clients).unwrap(), &dialler).await;
            assert!(seen.is_err() && done.is_err(), "{what}, {clients:?}: {seen:?}");
        }
    }
    // The right authority and cluster, the wrong role.
    for role in [PeerRole::Agent, PeerRole::Admin] {
        let peer = stage.node(role, "x");
        let door = stage.master.acceptor(Clients::Only(PeerRole::Master)).unwrap();
        let (seen, done) = meet(&door, &peer.dialler(PeerRole::Master, &[]).unwrap()).await;
        assert!(seen.is_err() && done.is_err(), "{role}: {seen:?}");
    }
}

fn testing_key(certificate: &str, key: &SecretString) -> Arc<rustls::sign::CertifiedKey> {
    use rustls_pki_types::pem::PemObject as _;
    use secrecy::ExposeSecret as _;
    let chain = vec![rustls_pki_types::CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = rustls_pki_types::PrivateKeyDer::from_pem_slice(key.expose_secret().as_bytes()).unwrap();
    Arc::new(rustls::sign::CertifiedKey::from_der(chain, key, &material::provider()).unwrap())
}

#[tokio::test]
async fn a_server_of_another_role_or_cluster_is_not_spoken_to() {
    let stage = Stage::new();
    let agent = stage.node(PeerRole::Agent, "a1");
    let to_masters = agent.dialler(PeerRole::Master, &[]).unwrap();
    let client = Authority { ca: &stage.ca.pem, own: None }.dialler(SystemTime::now()).unwrap();
    let impostor = stage.node(PeerRole::Agent, "a2");
    for dialler in [&to_masters, &client] {
        let (_, done) = meet(&impostor.acceptor(Clients::Any).unwrap(), dialler).await;
        assert!(done.unwrap_err().to_string().contains("is no master"));
    }
    let elsewhere = stage.ca.node(&stage.dir.path().join("m2"), "test", PeerRole::Master, "m1");
    let (_, done) = meet(&elsewhere.acceptor(Clients::Any).unwrap(), &to_masters).await;
    assert!(done.unwrap_err().to_string().contains("another cluster"));
    let foreign = TestCa::new().node(&stage.dir.path().join("m3"), CLUSTER, PeerRole::Master, "m1");
    for dialler in [&to_masters, &client] {
        let (_, done) = meet(&foreign.acceptor(Clients::Any).unwrap(), dialler).await;
        done.unwrap_err();
    }
}

#[tokio::test]
async fn a_client_of_the_cluster_dials_only_names_of_the_certificate() {
    let stage = Stage::new();
    let client = Authority { ca: &stage.ca.pem, own: None }.dialler(SystemTime::now()).unwrap();
    let listener = TcpListener::bind("127.0.0.10:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let door = stage.master.acceptor(Clients::Any).unwrap();
    let server = async { door.accept(listener.accept().await.unwrap().0).await };
    let (_, done) = tokio::join!(server, client.connect("127.0.0.10", port));
    assert!(done.unwrap_err().to_string().contains("not valid for name"));
}

#[tokio::test]
async fn one_who_speaks_in_the_clear_is_told_and_goes() {
    let stage = Stage::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    stream.write_all(b"GET /v2/apps HTTP/1.1\r\n\r\n").await.unwrap();
    let door = stage.master.acceptor(Clients::Any).unwrap();
    let refused = door.accept(listener.accept().await.unwrap().0).await.unwrap_err();
    assert!(matches!(refused, AcceptError::Plain));
    let mut answer = [0; 1024];
    let read = stream.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]);
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("https://"), "{answer}");
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    assert!(answer.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
}

#[tokio::test(start_paused = true)]
async fn one_who_does_not_finish_the_handshake_is_not_waited_for() {
    let stage = Stage::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    for (clients, begun, seconds) in [
        (Clients::Any, b"".as_slice(), 10),
        (Clients::Any, b"\x16\x03\x01", 10),
        (Clients::Only(PeerRole::Master), b"", 3),
    ] {
        let door = stage.master.acceptor(clients).unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        stream.write_all(begun).await.unwrap();
        let late = door.accept(listener.accept().await.unwrap().0).await.unwrap_err();
        assert!(matches!(late, AcceptError::Late { within } if within.as_secs() == seconds), "{late}");
    }
}

#[tokio::test]
async fn a_certificate_that_was_replaced_is_shown_without_a_restart() {
    let stage = Stage::new();
    let agent = stage.node(PeerRole::Agent, "a1");
    let dialler = agent.dialler(PeerRole::Master, &[]).unwrap();
    let door = stage.master.acceptor(Clients::Any).unwrap();
    // A new authority: each side alone does not know the other any more, and both do when both have it.
    let ca = TestCa::new();
    let (master_dir, agent_dir) = (stage.dir.path().join("master"), stage.dir.path().join("a1"));
    let _ = ca.write(&master_dir, &ca.leaf(CLUSTER, PeerRole::Master, "m1"));
    stage.master.reload(SystemTime::now()).unwrap();
    assert!(meet(&door, &dialler).await.1.is_err());
    let good = ca.leaf(CLUSTER, PeerRole::Agent, "a1");
    let files = ca.write(&agent_dir, &good);
    fs::write(&files.certificate, "cut off").unwrap();
    agent.reload(SystemTime::now()).unwrap_err();
    assert!(meet(&door, &dialler).await.1.is_err(), "what cannot be read changes nothing");
    let _ = ca.write(&agent_dir, &good);
    agent.reload(SystemTime::now()).unwrap();
    let (seen, done) = meet(&door, &dialler).await;
    assert_eq!(seen.unwrap(), Some(id(PeerRole::Agent, "a1")));
    done.unwrap();
}

#[test]
fn files_that_are_not_good_are_named_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let ca = TestCa::new();
    let leaf = ca.leaf(CLUSTER, PeerRole::Agent, "a1");
    let at = |name: &str| ca.write(&dir.path().join(name), &leaf);
    assert!(load(at("good")).is_ok());

    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let files = at("group");
    mode(&files.key, 0o640);
    assert!(load(files).is_ok());
    for open in [0o644, 0o660, 0o604, 0o700] {
        let files = at("open");
        mode(&files.key, open);
        let error = load(files).unwrap_err();
        assert!(error.contains("chmod 600") && error.contains(&format!("{open:04o}")), "{error}");
    }

    let files = at("missing");
    fs::remove_file(&files.ca).unwrap();
    assert!(load(files).unwrap_err().contains("ca.pem"));
    let files = at("cut");
    fs::write(&files.key, &leaf.key[..60]).unwrap();
    let error = load(files).unwrap_err();
    assert!(error.contains("cut off") && !error.contains(&leaf.key[30..50]), "{error}");
    let files = at("half");
    fs::write(&files.key, ca.leaf(CLUSTER, PeerRole::Agent, "a1").key).unwrap();
    assert!(load(files).unwrap_err().contains("does not belong to"));
    let files = at("foreign");
    fs::write(&files.ca, TestCa::new().pem).unwrap();
    assert!(load(files).unwrap_err().contains("not good under"));
    let other = ca.leaf(CLUSTER, PeerRole::Agent, "a2");
    let error = load(ca.write(&dir.path().join("other"), &other)).unwrap_err();
    assert!(error.contains("clusterctl://prod/agent/a2") && error.contains("agent/a1"), "{error}");
}

#[test]
fn the_days_that_are_left_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let ca = TestCa::new();
    let now = SystemTime::now();
    let wanted = Wanted { to: now + 20 * DAY + DAY / 2, ..Wanted::peer(CLUSTER, PeerRole::Agent, "a1") };
    let tls = load(ca.write(dir.path(), &ca.issue(&wanted))).unwrap();
    assert_eq!([now, now + 10 * DAY, now + 30 * DAY].map(|now| tls.days_left(now)), [20, 10, 0]);
}

#[test]
fn an_authority_has_a_fingerprint() {
    let pem = TestCa::new().pem;
    let print = fingerprint(&pem).unwrap();
    assert!(print.starts_with("SHA256:") && print.len() == 7 + 32 * 3 - 1, "{print}");
    assert!(fingerprint("nothing").is_err());
}

#[tokio::test]
async fn a_server_shows_its_authority_to_one_who_does_not_know_it_yet() {
    let stage = Stage::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let door = stage.master.acceptor(Clients::Any).unwrap();
    let server = async { door.accept(listener.accept().await.unwrap().0).await };
    let (served, shown) = tokio::join!(server, claimed_authority("127.0.0.1", port));
    assert!(served.is_err(), "nothing is spoken with one who is not known");
    assert_eq!(fingerprint(&shown.unwrap()).unwrap(), fingerprint(&stage.ca.pem).unwrap());
}
