//! Scripts on real servers and on this machine.

#[cfg(test)]
mod harness;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use harness::{Client, Sshd};
use ssh::{Exec, ExecError, Limits, Session, Status};

#[cfg(test)]
async fn session(server: &Sshd) -> Session {
    Client::knowing(&[server]).connector().connect(&server.target()).await.unwrap()
}

/// A server's session, and this machine's.
#[cfg(test)]
async fn both() -> (Sshd, [Session; 2]) {
    let server = Sshd::start(&[]);
    let remote = session(&server).await;
    (server, [remote, Session::local()])
}

#[tokio::test]
async fn output_errors_and_status_are_the_scripts_own() {
    let (_server, sessions) = both().await;
    for session in sessions {
        let output = session.exec(Exec::new("echo out; echo err >&2; (exit 3)")).await.unwrap();
        assert_eq!((output.text().as_str(), output.stderr.as_slice()), ("out\n", b"err\n".as_slice()));
        assert_eq!(output.status, Status::Exit(3));
        let output = session.exec(Exec::new("kill -KILL $$")).await.unwrap();
        assert_eq!(output.status, Status::Signal("KILL".to_owned()));
        let output = session.exec(Exec::new("")).await.unwrap();
        assert!(output.status.success() && output.stdout.is_empty());
        // Odd texts: quotes, backslashes, no end of line, a comment at the end, a heredoc.
        let script = "printf '%s|' \"a'b\" 'c\"d' 'e\\f' \"$LC_ALL\"\ncat <<E\n$((1+1))\nE\n# end";
        assert_eq!(session.exec(Exec::new(script)).await.unwrap().text(), "a'b|c\"d|e\\f|C|2\n");
        assert_eq!(session.exec(Exec::new("exec true # exec")).await.unwrap().status, Status::Exit(0));
    }
}

#[tokio::test]
async fn input_follows_the_script_to_the_last_byte() {
    let (_server, sessions) = both().await;
    let block = Bytes::from((0..=255u8).cycle().take(1 << 20).collect::<Vec<_>>());
    for session in sessions {
        let mut exec = Exec::new("cat");
        exec.max_output = 32 << 20;
        exec.input = vec![block.clone(); 20];
        let output = session.exec(exec).await.unwrap();
        assert_eq!(output.stdout.len(), 20 << 20);
        assert!(output.stdout.chunks(1 << 20).all(|chunk| chunk == block));
        // The script itself may be long, and may read lines of what follows.
        let long = format!("# {}\nread a; read b; echo \"$b $a\"", "x".repeat(100_000));
        let output = session.exec(Exec::new(long).input("one\n").input("two\n")).await.unwrap();
        assert_eq!(output.text(), "two one\n");
    }
}

#[tokio::test]
async fn a_script_that_ends_before_its_input_is_at_its_end() {
    let (_server, sessions) = both().await;
    for session in sessions {
        let exec = Exec::new("head -c 3; exit 4").input(Bytes::from(vec![b'x'; 20 << 20]));
        let output = session.exec(exec).await.unwrap();
        assert_eq!((output.text().as_str(), output.status), ("xxx", Status::Exit(4)));
    }
}

#[tokio::test]
async fn lines_are_told_while_the_script_goes_on() {
    let (_server, sessions) = both().await;
    for session in sessions {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (sender, mut first) = tokio::sync::mpsc::unbounded_channel();
        let to = Arc::clone(&heard);
        // The script waits for a file that is made when its first line was heard.
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("go");
        let script =
            format!("echo one; until [ -e {} ]; do sleep 0.02; done; echo two; printf last", file.display());
        let mut exec = Exec::new(script);
        exec.on_line = Some(Arc::new(move |line| {
            to.lock().unwrap().push(String::from_utf8(line.to_vec()).unwrap());
            let _ = sender.send(());
        }));
        let go = async {
            first.recv().await.unwrap();
            std::fs::write(&file, "").unwrap();
        };
        let (output, ()) = tokio::join!(session.exec(exec), go);
        assert_eq!(output.unwrap().text(), "one\ntwo\nlast");
        assert_eq!(*heard.lock().unwrap(), ["one", "two", "last"]);
    }
}

#[tokio::test]
async fn every_login_shell_runs_the_same_script() {
    for shell in ["sh", "bash", "dash", "fish", "tcsh", "csh", "busybox ash"] {
        let force = format!("ForceCommand exec {shell} -c \"$SSH_ORIGINAL_COMMAND\"");
        let server = Sshd::start(&[&force]);
        let session = session(&server).await;
        let output =
            session.exec(Exec::new("read x; echo \"$x it's 100% \\$HOME!\"; exit 7").input("IN\n")).await;
        let output = output.unwrap_or_else(|error| panic!("{shell}: {error}"));
        assert_eq!(
            (output.text().as_str(), &output.status),
            ("IN it's 100% $HOME!\n", &Status::Exit(7)),
            "{shell}"
        );
    }
}

#[tokio::test]
async fn the_tools_of_busybox_are_enough() {
    // With its own dd, read and echo, and none of the system's programs.
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().display().to_string();
    let installed = std::process::Command::new("busybox").args(["--install", "-s", &path]).status().unwrap();
    assert!(installed.success());
    let force =
        format!("ForceCommand PATH={path}; export PATH; exec busybox ash -c \"$SSH_ORIGINAL_COMMAND\"");
    let server = Sshd::start(&[&force]);
    let output =
        session(&server).await.exec(Exec::new("cat; busybox | head -n 1").input("IN\n")).await.unwrap();
    assert!(output.text().starts_with("IN\nBusyBox"), "{output:?}");
}

#[tokio::test]
async fn noise_of_start_up_files_is_left_out() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("noise");
    let noise = "echo Welcome; echo warning >&2; i=0; while [ $i -lt 2000 ]; do echo \"line $i of noise\"; i=$((i+1)); done; printf 'no end'";
    std::fs::write(&file, noise).unwrap();
    let force = format!("ForceCommand . {}; exec sh -c \"$SSH_ORIGINAL_COMMAND\"", file.display());
    let server = Sshd::start(&[&force]);
    let output = session(&server).await.exec(Exec::new("echo data; echo fault >&2")).await.unwrap();
    assert_eq!(
        (output.stdout.as_slice(), output.stderr.as_slice()),
        (b"data\n".as_slice(), b"fault\n".as_slice())
    );
}

#[tokio::test]
async fn a_shell_that_does_not_run_commands_is_an_error_with_its_words() {
    let server = Sshd::start(&["ForceCommand echo This account is not available.; exit 0"]);
    let error = session(&server).await.exec(Exec::new("true")).await.unwrap_err();
    assert!(matches!(error, ExecError::NotStarted { .. }), "{error}");
    assert!(error.to_string().ends_with("This account is not available."), "{error}");
    assert!(error.hint().is_some());
}

#[tokio::test]
async fn a_script_that_was_cut_off_does_not_run() {
    // The connection passes on no more than the first bytes of what is sent.
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ran");
    let force = "ForceCommand head -c 60 | sh -c \"$SSH_ORIGINAL_COMMAND\"";
    let server = Sshd::start(&[force]);
    let script = format!("touch {}\n{}", file.display(), "# more\n".repeat(100));
    let error = session(&server).await.exec(Exec::new(script)).await.unwrap_err();
    assert!(matches!(error, ExecError::NotStarted { status: Status::Exit(125), .. }), "{error}");
    assert!(!file.exists());
}

/// Waits until a process is no more, by a script that looks for it.
#[cfg(test)]
async fn gone(session: &Session, pid: &str) {
    let script = format!("while kill -0 {pid} 2>/dev/null; do sleep 0.05; done");
    assert!(session.exec(Exec::new(script)).await.unwrap().status.success());
}

/// A script that tells its process, and then does nothing for long.
#[cfg(test)]
fn sleeper() -> (Exec, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    let mut exec = Exec::new("echo $$; exec sleep 1000");
    exec.on_line = Some(Arc::new(move |line| drop(sender.send(String::from_utf8(line.to_vec()).unwrap()))));
    (exec, receiver)
}

#[tokio::test]
async fn a_script_that_says_nothing_or_too_much_is_ended() {
    let (_server, sessions) = both().await;
    for session in sessions {
        let (mut exec, mut pid) = sleeper();
        // Long enough for the script to begin on a busy machine.
        exec.limits.idle = Duration::from_secs(6);
        let error = session.exec(exec).await.unwrap_err();
        assert!(matches!(error, ExecError::Idle { .. }), "{error}");
        gone(&session, &pid.recv().await.unwrap()).await;

        let exec = Exec {
            limits: Limits { idle: Duration::from_secs(60), total: Duration::from_millis(300) },
            ..Exec::new("while :; do echo x; sleep 0.02; done")
        };
        let error = session.exec(exec).await.unwrap_err();
        assert!(matches!(error, ExecError::TooLong { .. }), "{error}");

        let exec = Exec { max_output: 1 << 20, ..Exec::new("yes") };
        let error = session.exec(exec).await.unwrap_err();
        assert!(matches!(error, ExecError::TooMuchOutput { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_script_that_nobody_waits_for_any_longer_is_ended() {
    let (_server, sessions) = both().await;
    for session in sessions {
        let (exec, mut pid) = sleeper();
        let pid = tokio::select! {
            result = session.exec(exec) => panic!("it ended: {result:?}"),
            pid = pid.recv() => pid.unwrap(),
        };
        gone(&session, &pid).await;
    }
}

#[tokio::test]
async fn more_scripts_at_once_than_a_server_allows_wait_for_each_other() {
    let (_server, sessions) = both().await;
    for session in sessions {
        let outputs = join_all((0..40).map(|number| session.exec(Exec::new(format!("echo {number}"))))).await;
        for (number, output) in outputs.into_iter().enumerate() {
            assert_eq!(output.unwrap().text(), format!("{number}\n"));
        }
        assert_eq!(session.counters().execs, 40);
    }
}

#[tokio::test]
async fn a_connection_that_breaks_is_neither_an_end_nor_a_wait() {
    let server = Sshd::start(&[]);
    let session = session(&server).await;
    let error = session.exec(Exec::new("echo before; kill -KILL $PPID; sleep 1000")).await.unwrap_err();
    assert!(matches!(error, ExecError::ConnectionLost { .. }), "{error}");
    assert!(session.exec(Exec::new("true")).await.is_err());
    assert!(session.is_closed());
}

#[tokio::test]
async fn root_needs_no_sudo() {
    if rustix::process::geteuid().is_root() {
        let (_server, sessions) = both().await;
        for session in sessions {
            // The script's own parent is no sudo.
            let output = session.exec(Exec::new("id -u; echo \"[$SUDO_USER]\"").sudo(None)).await.unwrap();
            assert_eq!(output.text(), "0\n[]\n");
        }
    }
}
