//! The real sudo, for users that only the test's server knows. Run with `--ignored`, as root.

#[cfg(test)]
mod harness;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use harness::{Client, Sshd};
use secrecy::SecretString;
use ssh::{Exec, ExecError, Session, SudoFault, Target};

const USERS: &str = r#"
for user in free asks none tty lost; do
    useradd -l -M -N -d / -s /bin/sh "cc-$user"
    printf '%s\n' "cc-$user:right'\"\\ \$x" | chpasswd
done
cat > /etc/sudoers.d/cc-tests <<'END'
cc-free ALL=(ALL) NOPASSWD: ALL
cc-asks ALL=(ALL) ALL
cc-tty ALL=(ALL) ALL
Defaults:cc-tty requiretty
END
chmod 440 /etc/sudoers.d/cc-tests
"#;
const RIGHT: &str = r#"right'"\ $x"#;

#[cfg(test)]
fn server() -> Sshd {
    // A shell that finds no programs finds no sudo.
    Sshd::with_users(USERS, &["Match User cc-lost\nSetEnv PATH=/nonexistent\nMatch all"])
}

#[cfg(test)]
async fn login(server: &Sshd, user: &str) -> Session {
    let target = Target { user: Some(format!("cc-{user}")), ..server.target() };
    Client::knowing(&[server]).connector().connect(&target).await.unwrap()
}

#[cfg(test)]
fn password(text: &str) -> Option<SecretString> {
    Some(SecretString::from(text))
}

#[cfg(test)]
async fn fault(session: &Session, with: Option<SecretString>) -> SudoFault {
    match session.exec(Exec::new("echo must not run").sudo(with)).await {
        Err(ExecError::Sudo { fault, .. }) => fault,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_script_runs_as_root_and_its_input_is_its_own() {
    let server = server();
    let input = Bytes::from((0..=255u8).cycle().take(1 << 20).collect::<Vec<_>>());
    for (user, with) in [("free", None), ("free", password("unused")), ("asks", password(RIGHT))] {
        let session = login(&server, user).await;
        // The second time, what sudo wants is known.
        for _ in 0..2 {
            let output = session
                .exec(Exec::new("id -u >&2; cat; exit 5").input(input.clone()).sudo(with.clone()))
                .await;
            let output = output.unwrap_or_else(|error| panic!("{user}: {error}"));
            assert_eq!(output.stdout.len(), input.len(), "{user}");
            assert!(output.stdout == input && output.stderr == b"0\n", "{user}: {:?}", output.stderr);
            assert_eq!(output.status, ssh::Status::Exit(5));
        }
        let output = session.exec(Exec::new("id -un")).await.unwrap();
        assert_eq!(output.text(), format!("cc-{user}\n"));
    }
}

#[tokio::test]
#[ignore = "needs root"]
async fn the_password_stands_in_no_argument_and_no_environment() {
    let server = server();
    let session = login(&server, "asks").await;
    for _ in 0..2 {
        let look = "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'; true";
        let output = session.exec(Exec::new(look).sudo(password(RIGHT))).await.unwrap();
        assert!(output.text().contains("sudo"), "it looks at the right place");
        assert!(!output.text().contains("right'"));
    }
}

#[tokio::test]
#[ignore = "needs root"]
async fn each_reason_why_sudo_does_not_run_is_found_at_once() {
    let server = server();
    let asks = login(&server, "asks").await;
    assert_eq!(fault(&asks, None).await, SudoFault::PasswordNeeded);
    assert_eq!(fault(&asks, password("wrong")).await, SudoFault::WrongPassword);
    assert_eq!(fault(&asks, password("")).await, SudoFault::WrongPassword);
    // It works with the right one afterwards, and a wrong one is noticed after that.
    assert!(asks.exec(Exec::new("true").sudo(password(RIGHT))).await.unwrap().status.success());
    assert_eq!(fault(&asks, password("wrong")).await, SudoFault::WrongPassword);

    let none = login(&server, "none").await;
    assert!(matches!(fault(&none, password(RIGHT)).await, SudoFault::NotAllowed(_)));
    assert_eq!(fault(&none, password("wrong")).await, SudoFault::WrongPassword);
    let tty = login(&server, "tty").await;
    assert_eq!(fault(&tty, password(RIGHT)).await, SudoFault::RequiresTerminal);
    assert_eq!(fault(&tty, None).await, SudoFault::RequiresTerminal);
    let lost = login(&server, "lost").await;
    assert_eq!(fault(&lost, password(RIGHT)).await, SudoFault::Missing);
    assert_eq!(fault(&lost, None).await, SudoFault::Missing);
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_script_of_root_that_is_given_up_is_ended() {
    let server = server();
    let session = login(&server, "asks").await;
    let (sender, mut pid) = tokio::sync::mpsc::unbounded_channel();
    let mut exec = Exec::new("echo $$; exec sleep 1000").sudo(password(RIGHT));
    exec.limits.idle = Duration::from_secs(4);
    exec.on_line = Some(Arc::new(move |line| drop(sender.send(String::from_utf8(line.to_vec()).unwrap()))));
    assert!(matches!(session.exec(exec).await, Err(ExecError::Idle { .. })));
    let pid = pid.recv().await.unwrap();
    let wait = format!("while [ -e /proc/{pid} ]; do sleep 0.05; done");
    assert!(session.exec(Exec::new(wait)).await.unwrap().status.success());
}
