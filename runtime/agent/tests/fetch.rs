//! Fetching from a real server into real sandboxes, with the real child.

#[cfg(test)]
mod fetching;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use agent::fetch::Why;
use agent::launch::Program;
use api::mesos::Uri;
use fetching::{Agent, Server, archive, sum, uri};

#[tokio::test]
async fn files_archives_and_programs_come_into_the_sandbox() {
    let server = Server::start().await;
    let agent = Agent::new(|_| ());
    let program = Uri { executable: true, ..server.uri("to/text/run.sh") };
    let named = Uri { output_file: Some("conf/app.txt".into()), ..server.uri("text/x?token=1") };
    agent.fetch("s", &[server.uri("archive/app.tar.gz"), program, named]).await.unwrap();
    assert_eq!(agent.read("s/bin/run"), "#!sh");
    assert_eq!(agent.read("s/run.sh"), "hello");
    assert_eq!(agent.read("s/conf/app.txt"), "hello");
    let mode = fs::metadata(agent.dir.path().join("s/run.sh")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o755);
    assert_eq!((agent.cached(), fs::read_dir(agent.dir.path().join("cache/tmp")).unwrap().count()), (0, 0));
}

#[tokio::test]
async fn what_fails_says_which_and_why() {
    let server = Server::start().await;
    let agent = Agent::new(|options| {
        options.attempts = 2;
        options.redirects = 3;
        options.idle_timeout = Duration::from_millis(100);
        options.max_bytes = 1 << 20;
    });
    let wrong = format!("text/a#sha256={}", sum(b"other"));
    for (path, asked, expected) in [
        ("none", 1, "127.0.0.1 answered 404"),
        ("busy", 2, "127.0.0.1 answered 502"),
        ("loop", 4, "it redirects too often"),
        ("silent", 2, "127.0.0.1: "),
        ("torn", 2, "127.0.0.1: "),
        ("endless", 1, "it is larger than the 1048576 bytes allowed"),
        (
            &wrong,
            1,
            "its SHA-256 sum is 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824, but",
        ),
        ("text/not-one.tgz", 1, "cannot put it into the sandbox: "),
    ] {
        let error = agent.fetch("s", &[server.uri(path)]).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains(expected) && text.starts_with("cannot fetch http://127.0.0.1:"), "{text}");
        let path = path.split('#').next().unwrap();
        assert!(server.asked(path) >= asked, "{path}: {}", server.asked(path));
    }
    assert_eq!(agent.cached(), 0);
    // Nobody listens on a port that was just given back.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = agent.fetch("s", &[uri(&format!("http://127.0.0.1:{port}/x"))]).await.unwrap_err();
    assert!(matches!(error.why, Why::Network { .. }), "{error}");
}

#[tokio::test]
async fn a_download_has_a_limit_in_time_however_it_trickles() {
    let server = Server::start().await;
    let agent = Agent::new(|options| options.download_timeout = Duration::from_millis(100));
    let error = agent.fetch("s", &[server.uri("silent")]).await.unwrap_err();
    assert!(matches!(error.why, Why::Slow(_)), "{error}");
    assert_eq!(server.asked("silent"), 1, "what is too slow is not tried again");
}

#[tokio::test]
async fn a_fault_that_passes_is_tried_again() {
    let server = Server::start().await;
    let agent = Agent::new(|_| ());
    agent.fetch("s", &[server.uri("third")]).await.unwrap();
    assert_eq!((agent.read("s/third").as_str(), server.asked("third")), ("hello", 3));
}

#[tokio::test]
async fn many_tasks_share_one_download() {
    let server = Server::start().await;
    let agent = Agent::new(|_| ());
    let value = format!("gated/x#sha256={}", sum(b"hello"));
    let tasks: Vec<_> = (0..10)
        .map(|n| {
            let (fetcher, uri) = (agent.fetcher.clone(), server.uri(&value));
            let sandbox = agent.sandbox(&n.to_string());
            tokio::spawn(async move { fetcher.fetch(&[uri], &sandbox, None).await })
        })
        .collect();
    while server.asked("gated/x") == 0 {
        tokio::task::yield_now().await;
    }
    // One that goes away does not take the download with it.
    tasks[0].abort();
    server.gate.add_permits(1);
    for (n, task) in tasks.into_iter().enumerate().skip(1) {
        task.await.unwrap().unwrap();
        assert_eq!(agent.read(&format!("{n}/x")), "hello");
    }
    assert_eq!((server.asked("gated/x"), agent.cached()), (1, 1));
    // Another address with this sum needs no download at all.
    agent.fetch("later", &[uri(&format!("http://127.0.0.1:1/y#sha256={}", sum(b"hello")))]).await.unwrap();
    assert_eq!(agent.read("later/y"), "hello");
}

#[tokio::test]
async fn a_download_that_nobody_waits_for_is_given_up() {
    let server = Server::start().await;
    let agent = Agent::new(|_| ());
    let cached = Uri { cache: true, ..server.uri("gated/y") };
    let task = tokio::spawn({
        let (fetcher, uri, sandbox) = (agent.fetcher.clone(), cached.clone(), agent.sandbox("1"));
        async move { fetcher.fetch(&[uri], &sandbox, None).await }
    });
    while server.asked("gated/y") == 0 {
        tokio::task::yield_now().await;
    }
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    server.gate.add_permits(2);
    agent.fetch("2", &[cached]).await.unwrap();
    assert_eq!((agent.read("2/y").as_str(), server.asked("gated/y")), ("hello", 2));
}

#[tokio::test]
async fn a_damaged_cache_entry_is_fetched_again() {
    let server = Server::start().await;
    let agent = Agent::new(|_| ());
    let wanted = server.uri(&format!("text/z#sha256={}", sum(b"hello")));
    agent.fetch("1", std::slice::from_ref(&wanted)).await.unwrap();
    let entry = agent.dir.path().join("cache/sha256").join(sum(b"hello").to_string());
    fs::write(&entry, "hellO").unwrap();
    agent.fetch("2", &[wanted]).await.unwrap();
    assert_eq!((agent.read("2/z").as_str(), server.asked("text/z")), ("hello", 2));
    assert_eq!(fs::read_to_string(entry).unwrap(), "hello");
}

#[tokio::test]
async fn a_cached_address_is_asked_whether_it_changed() {
    let server = Server::start().await;
    let agent = Agent::new(|_| ());
    let cached = Uri { cache: true, ..server.uri("tagged") };
    for (name, expected) in [("1", "old"), ("2", "old"), ("3", "old"), ("4", "new")] {
        agent.fetch(name, std::slice::from_ref(&cached)).await.unwrap();
        assert_eq!(agent.read(&format!("{name}/tagged")), expected);
    }
    assert_eq!((server.asked("tagged"), agent.cached()), (4, 2));
}

#[tokio::test]
async fn artifacts_come_from_any_master_that_has_them() {
    let server = Server::start().await;
    let sum = sum(b"hello");
    let wanted = Uri { output_file: Some("app".into()), ..uri(&format!("artifact://sha256/{sum}")) };
    let agent = Agent::new(|options| options.masters = vec!["http://127.0.0.1:1".into(), server.url.clone()]);
    agent.fetch("s", std::slice::from_ref(&wanted)).await.unwrap();
    assert_eq!(agent.read("s/app"), "hello");
    let alone = Agent::new(|_| ());
    let error = alone.fetch("s", &[wanted]).await.unwrap_err();
    assert!(matches!(error.why, Why::NoMaster), "{error}");
}

#[tokio::test]
async fn local_files_come_from_named_directories_only() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let roots = tempfile::tempdir().unwrap();
    let path = roots.path().join("app.tgz");
    fs::write(&path, archive()).unwrap();
    let plain = path.to_str().unwrap().to_owned();
    let agent = Agent::new(|options| options.file_roots = vec![roots.path().to_owned()]);
    for (name, value) in [
        ("1", plain.clone()),
        ("2", format!("file://{plain}")),
        ("3", format!("{plain}#sha256={}", sum(&archive()))),
    ] {
        agent.fetch(name, &[uri(&value)]).await.unwrap();
        assert_eq!(agent.read(&format!("{name}/bin/run")), "#!sh");
    }
    let error = Agent::new(|_| ()).fetch("s", &[uri(&plain)]).await.unwrap_err();
    assert!(error.to_string().contains("its option file_roots: none is named"), "{error}");
    let wrong = format!("{plain}#sha256={}", sum(b""));
    assert!(matches!(agent.fetch("s", &[uri(&wrong)]).await.unwrap_err().why, Why::Sum { .. }));
}

#[tokio::test]
async fn a_program_that_is_no_child_is_an_error() {
    let server = Server::start().await;
    for (path, expected) in [("/no/such/program", "cannot start"), ("/bin/true", "said nothing")] {
        let agent = Agent::new(|options| options.program = Program { path: path.into(), args: vec![] });
        let error = agent.fetch("s", &[server.uri("text")]).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}
