//! Connecting to real servers: host keys, logins, jump hosts.

#[cfg(test)]
mod harness;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::future::{BoxFuture, join_all};
use harness::{Client, Sshd, keygen, user};
use secrecy::SecretString;
use ssh::known_hosts::{Entry, learn};
use ssh::{Checking, ConnectError, Exec, Hop, Prompt, Session, Target};

#[cfg(test)]
async fn runs(session: &Session) {
    let output = session.exec(Exec::new("echo it runs")).await.unwrap();
    assert_eq!((output.text().as_str(), output.status.success()), ("it runs\n", true));
}

#[cfg(test)]
fn hop(server: &Sshd) -> Hop {
    Hop { user: None, host: "127.0.0.1".to_owned(), port: Some(server.port()) }
}

#[tokio::test]
async fn a_named_key_lets_in() {
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let server = Sshd::start(&[]);
        let client = Client::knowing(&[&server]);
        let key = client.home.path().join(kind);
        keygen(&key, kind, "");
        server.authorize(&key);
        let target = Target { identities: vec![key], ..server.bare() };
        let session = client.connector().connect(&target).await.unwrap();
        runs(&session).await;
        let counters = session.counters();
        assert_eq!(counters.execs, 1);
        assert!(
            counters.bytes_up > 500 && counters.bytes_down > 500 && counters.round_trips > 4,
            "{counters:?}"
        );
        session.close().await;
    }
}

#[tokio::test]
async fn the_usual_key_files_are_tried_when_none_is_named() {
    let server = Sshd::start(&[]);
    let client = Client::knowing(&[&server]);
    fs::copy(server.identity(), client.home.path().join(".ssh/id_ecdsa")).unwrap();
    runs(&client.connector().connect(&server.bare()).await.unwrap()).await;
}

#[tokio::test]
async fn an_unknown_key_is_asked_about_learned_and_known_then() {
    let server = Sshd::start(&[]);
    let client = Client::new();
    let connector = client.connector();
    for checking in [Checking::Ask, Checking::Strict] {
        let error = connector.connect(&Target { checking, ..server.target() }).await.err().unwrap();
        let unknown = error.unknown_key().expect("unknown").clone();
        assert_eq!(unknown.entry(), server.entry());
        assert!(error.to_string().contains(&server.host_key("ed25519").fingerprint().to_string()), "{error}");
        assert!(!client.known_hosts().exists());
    }
    connector.learn(vec![server.entry()]).await.unwrap();
    runs(&connector.connect(&Target { checking: Checking::Strict, ..server.target() }).await.unwrap()).await;
    assert_eq!(server.logged("Accepted publickey"), 1);
}

#[tokio::test]
async fn the_fingerprint_is_the_one_that_openssh_prints() {
    let server = Sshd::start(&[]);
    let output = Command::new("ssh-keygen").arg("-lf").arg(server.path("host_ed25519.pub")).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        printed.split(' ').nth(1),
        Some(server.host_key("ed25519").fingerprint().to_string().as_str())
    );
}

#[tokio::test]
async fn accept_new_learns_what_is_unknown_and_nothing_else() {
    let (server, other) = (Sshd::start(&[]), Sshd::start(&[]));
    let client = Client::new();
    let target = Target { checking: Checking::AcceptNew, ..server.target() };
    runs(&client.connector().connect(&target).await.unwrap()).await;
    let learned = fs::read_to_string(client.known_hosts()).unwrap();
    assert_eq!(learned, format!("[127.0.0.1]:{} {}\n", server.port(), server.host_key("ed25519")));

    // The same address with another key, in the same file.
    let lie = Entry { key: server.host_key("ed25519"), ..other.entry() };
    learn(&client.known_hosts(), &[lie]).unwrap();
    let target = Target { checking: Checking::AcceptNew, ..other.target() };
    let error = client.connector().connect(&target).await.err().unwrap();
    assert!(matches!(error, ConnectError::ChangedHostKey { .. }), "{error}");
}

#[tokio::test]
async fn a_host_that_is_known_otherwise_is_refused_before_any_login() {
    let server = Sshd::start(&[]);
    let other = Sshd::with_host_keys(&["ed25519", "ecdsa"], &[]);
    let name = format!("[127.0.0.1]:{}", server.port());
    type Expected = fn(&ConnectError) -> bool;
    let cases: [(String, Expected); 4] = [
        (format!("{name} {}", other.host_key("ed25519")), |error| {
            matches!(error, ConnectError::ChangedHostKey { .. })
        }),
        (format!("{name} {}", other.host_key("ecdsa")), |error| {
            matches!(error, ConnectError::OtherKeyType { .. })
        }),
        (format!("{name} {0}\n@revoked * {0}", server.host_key("ed25519")), |error| {
            matches!(error, ConnectError::RevokedHostKey { .. })
        }),
        (format!("@cert-authority * {}", other.host_key("ecdsa")), |error| {
            matches!(error, ConnectError::HostCertificate { .. })
        }),
    ];
    for (text, expected) in cases {
        let client = Client::new();
        fs::create_dir(client.home.path().join(".ssh")).unwrap();
        fs::write(client.known_hosts(), &text).unwrap();
        for checking in [Checking::Ask, Checking::AcceptNew] {
            let error =
                client.connector().connect(&Target { checking, ..server.target() }).await.err().unwrap();
            assert!(expected(&error), "{text}: {error}");
            assert!(error.unknown_key().is_none() && !error.hint().is_empty());
        }
        assert_eq!(fs::read_to_string(client.known_hosts()).unwrap(), text);
    }
    assert_eq!(server.logged("Accepted"), 0);
}

#[tokio::test]
async fn of_several_host_keys_the_one_that_is_recorded_is_asked_for() {
    let server = Sshd::with_host_keys(&["ed25519", "ecdsa", "rsa"], &[]);
    for kind in ["rsa", "ecdsa", "ed25519"] {
        let client = Client::new();
        let entry = Entry { key: server.host_key(kind), ..server.entry() };
        learn(&client.known_hosts(), &[entry]).unwrap();
        runs(&client.connector().connect(&server.target()).await.unwrap()).await;
    }
}

#[tokio::test]
async fn a_pinned_fingerprint_counts_and_files_do_not() {
    let (server, other) = (Sshd::start(&[]), Sshd::start(&[]));
    let client = Client::new();
    let pinned = |key| Target { host_keys: vec![key], ..server.target() };
    let right = pinned(server.host_key("ed25519").fingerprint());
    runs(&client.connector().connect(&right).await.unwrap()).await;
    let wrong = pinned(other.host_key("ed25519").fingerprint());
    let error = Client::knowing(&[&server]).connector().connect(&wrong).await.err().unwrap();
    assert!(matches!(error, ConnectError::WrongPinnedKey { .. }), "{error}");
}

#[tokio::test]
async fn a_refused_login_says_all_that_was_tried_in_order() {
    let server = Sshd::start(&[]);
    let client = Client::knowing(&[&server]);
    let wrong = client.home.path().join("wrong");
    keygen(&wrong, "ed25519", "");
    let target = Target {
        identities: vec![client.home.path().join("none"), wrong.clone()],
        password: Some(SecretString::from("PASS-CANARY")),
        ..server.bare()
    };
    let error = client.connector().connect(&target).await.err().unwrap();
    let ConnectError::AuthRefused { tried, accepts, user: who, .. } = &error else { panic!("{error}") };
    assert_eq!(tried[0], format!("key {} (not there)", client.home.path().join("none").display()));
    assert!(tried[1].starts_with(&format!("key {} (SHA256:", wrong.display())), "{tried:?}");
    // The server takes no passwords, so none was sent.
    assert_eq!((tried.len(), accepts.as_slice(), who), (2, ["publickey".to_owned()].as_slice(), &user()));
    assert!(!format!("{error} {error:?} {target:?}").contains("CANARY"));
}

#[tokio::test]
async fn a_client_with_nothing_to_try_learns_what_the_server_takes() {
    let server = Sshd::start(&[]);
    let error = Client::knowing(&[&server]).connector().connect(&server.bare()).await.err().unwrap();
    let ConnectError::AuthRefused { accepts, .. } = &error else { panic!("{error}") };
    assert_eq!(accepts, &["publickey"]);
}

/// Gives answers in turn, and counts the questions.
struct Answers(&'static [Option<&'static str>], AtomicU32);

#[cfg(test)]
impl Prompt for Answers {
    fn passphrase<'a>(&'a self, _path: &'a Path, _attempt: u32) -> BoxFuture<'a, Option<SecretString>> {
        let number = self.1.fetch_add(1, Ordering::Relaxed) as usize;
        Box::pin(async move { self.0.get(number).copied().flatten().map(SecretString::from) })
    }
}

#[cfg(test)]
fn asked(client: &mut Client, answers: &'static [Option<&'static str>]) -> Arc<Answers> {
    let prompt = Arc::new(Answers(answers, AtomicU32::new(0)));
    client.settings.prompt = Some(Arc::clone(&prompt) as Arc<dyn Prompt>);
    prompt
}

#[tokio::test]
async fn a_passphrase_is_asked_for_once_for_all_hosts_and_keys() {
    let server = Sshd::start(&["MaxStartups 100"]);
    let mut client = Client::knowing(&[&server]);
    let (first, second) = (client.home.path().join("first"), client.home.path().join("second"));
    keygen(&first, "ed25519", "secret");
    keygen(&second, "ecdsa", "secret");
    server.authorize(&second);
    let prompt = asked(&mut client, &[Some("wrong"), Some("secret")]);
    let connector = client.connector();
    let target = Target { identities: vec![first, second], ..server.bare() };
    let sessions = join_all((0..5).map(|_| connector.connect(&target))).await;
    for session in sessions {
        runs(&session.unwrap()).await;
    }
    assert_eq!(prompt.1.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn three_wrong_passphrases_end_the_questions() {
    let server = Sshd::start(&[]);
    let mut client = Client::knowing(&[&server]);
    let key = client.home.path().join("key");
    keygen(&key, "ed25519", "secret");
    server.authorize(&key);
    let target = Target { identities: vec![key], ..server.bare() };
    for (answers, questions, why) in [
        (&[Some("a"), Some("b"), Some("c"), Some("secret")][..], 3, "wrong three times"),
        (&[None, Some("secret")], 1, "no passphrase was given"),
    ] {
        let prompt = asked(&mut client, answers);
        let connector = client.connector();
        for _ in 0..2 {
            let error = connector.connect(&target).await.err().unwrap();
            assert!(error.to_string().contains(why), "{error}");
        }
        assert_eq!(prompt.1.load(Ordering::Relaxed), questions);
    }
    client.settings.prompt = None;
    let error = client.connector().connect(&target).await.err().unwrap();
    assert!(error.to_string().contains("nobody to ask"), "{error}");
}

/// An agent, ended with this.
struct Agent(std::process::Child, std::path::PathBuf);

#[cfg(test)]
impl Agent {
    fn start(client: &Client, keys: &[&Path]) -> Self {
        let socket = client.home.path().join("agent");
        let mut child = Command::new("ssh-agent")
            .arg("-D")
            .arg("-a")
            .arg(&socket)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // It says where it listens once it does.
        let mut said = std::io::BufReader::new(child.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut said, &mut String::new()).unwrap();
        for key in keys {
            let added =
                Command::new("ssh-add").arg("-q").arg(key).env("SSH_AUTH_SOCK", &socket).status().unwrap();
            assert!(added.success());
        }
        Self(child, socket)
    }
}

#[cfg(test)]
impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn keys_of_the_agent_are_tried_unless_only_named_ones_are() {
    let server = Sshd::start(&[]);
    for kind in ["ed25519", "rsa"] {
        let mut client = Client::knowing(&[&server]);
        let (held, other) = (client.home.path().join("held"), client.home.path().join("other"));
        keygen(&held, kind, "");
        keygen(&other, "ed25519", "");
        server.authorize(&held);
        let agent = Agent::start(&client, &[&other, &held]);
        client.settings.agent = Some(agent.1.clone());
        runs(&client.connector().connect(&server.bare()).await.unwrap()).await;

        let only = Target { identities: vec![other.clone()], identities_only: true, ..server.bare() };
        let error = client.connector().connect(&only).await.err().unwrap();
        let ConnectError::AuthRefused { tried, .. } = &error else { panic!("{error}") };
        assert_eq!(tried.len(), 1, "{tried:?}");
        assert!(tried[0].contains("held by the agent"), "{tried:?}");
    }
}

#[tokio::test]
async fn an_encrypted_key_that_the_agent_holds_needs_no_passphrase() {
    let server = Sshd::start(&[]);
    let mut client = Client::knowing(&[&server]);
    let key = client.home.path().join("key");
    keygen(&key, "ed25519", "");
    server.authorize(&key);
    let agent = Agent::start(&client, &[&key]);
    let locked =
        Command::new("ssh-keygen").args(["-q", "-p", "-N", "secret", "-f"]).arg(&key).status().unwrap();
    assert!(locked.success());
    client.settings.agent = Some(agent.1.clone());
    let prompt = asked(&mut client, &[]);
    let target = Target { identities: vec![key], identities_only: true, ..server.bare() };
    runs(&client.connector().connect(&target).await.unwrap()).await;
    assert_eq!(prompt.1.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn an_agent_that_is_gone_is_said_and_other_keys_are_tried() {
    let server = Sshd::start(&[]);
    let mut client = Client::knowing(&[&server]);
    client.settings.agent = Some(client.home.path().join("gone"));
    runs(&client.connector().connect(&server.target()).await.unwrap()).await;
    let error = client.connector().connect(&server.bare()).await.err().unwrap();
    assert!(error.to_string().contains("the agent at"), "{error}");
}

#[tokio::test]
async fn jump_hosts_are_shared_by_all_behind_them() {
    let (outer, inner, last) = (Sshd::start(&[]), Sshd::start(&[]), Sshd::start(&["MaxStartups 100"]));
    for server in [&inner, &last] {
        server.authorize(&outer.identity());
    }
    let client = Client::knowing(&[&outer, &inner, &last]);
    let connector = client.connector();
    let target =
        Target { identities: vec![outer.identity()], jump: vec![hop(&outer), hop(&inner)], ..last.bare() };
    let sessions = join_all((0..12).map(|_| connector.connect(&target))).await;
    for session in &sessions {
        runs(session.as_ref().unwrap()).await;
    }
    assert_eq!((outer.logged("Accepted"), inner.logged("Accepted"), last.logged("Accepted")), (1, 1, 12));
}

#[tokio::test]
async fn faults_of_jump_hosts_name_them() {
    let (bastion, last) = (Sshd::start(&[]), Sshd::start(&[]));
    last.authorize(&bastion.identity());
    let target = Target { identities: vec![bastion.identity()], jump: vec![hop(&bastion)], ..last.bare() };

    // Its key is not known: it can be asked about, and the host behind it is asked about next.
    let client = Client::new();
    let connector = client.connector();
    for server in [&bastion, &last] {
        let error = connector.connect(&target).await.err().unwrap();
        assert_eq!(error.unknown_key().unwrap().entry(), server.entry(), "{error}");
        connector.learn(vec![server.entry()]).await.unwrap();
    }
    runs(&connector.connect(&target).await.unwrap()).await;

    // Nobody listens behind it.
    let nobody = Target { port: Some(1), ..target.clone() };
    let error = connector.connect(&nobody).await.err().unwrap();
    assert!(matches!(error, ConnectError::NoForwarding { port: 1, .. }), "{error}");

    // It lets nothing through.
    let closed = Sshd::start(&["AllowTcpForwarding no"]);
    let client = Client::knowing(&[&closed, &last]);
    let target = Target { identities: vec![closed.identity()], jump: vec![hop(&closed)], ..last.bare() };
    let error = client.connector().connect(&target).await.err().unwrap();
    assert!(error.to_string().contains("forbidden"), "{error}");

    // It is not there: found once, for all that come in the next seconds.
    let gone = Hop { port: Some(1), ..hop(&bastion) };
    let connector = client.connector();
    let target = Target { jump: vec![gone], ..last.target() };
    for error in join_all((0..5).map(|_| connector.connect(&target))).await {
        let error = error.err().unwrap();
        let ConnectError::Jump { hop, source } = &error else { panic!("{error}") };
        assert!(hop.ends_with("@127.0.0.1:1") && matches!(**source, ConnectError::Refused { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_jump_host_that_went_away_is_connected_to_again() {
    let (bastion, last) = (Sshd::start(&[]), Sshd::start(&[]));
    last.authorize(&bastion.identity());
    let connector = Client::knowing(&[&bastion, &last]).connector();
    let target = Target { identities: vec![bastion.identity()], jump: vec![hop(&bastion)], ..last.bare() };
    runs(&connector.connect(&target).await.unwrap()).await;
    // The server's process for this connection ends; the server stays.
    let direct = connector.connect(&bastion.target()).await.unwrap();
    let others =
        "for pid in $(ps -o pid= --ppid $(ps -o ppid= -p $PPID)); do [ $pid = $PPID ] || kill $pid; done";
    let _ = direct.exec(Exec::new(others)).await;
    loop {
        match connector.connect(&target).await {
            Ok(session) => return runs(&session).await,
            // The old connection may not know yet that it has ended.
            Err(error) => {
                assert!(matches!(error, ConnectError::Dropped { .. } | ConnectError::Jump { .. }), "{error}");
            }
        }
    }
}
