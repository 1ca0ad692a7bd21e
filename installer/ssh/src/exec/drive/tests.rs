use std::sync::Mutex;

use secrecy::SecretString;

use super::*;
use crate::exec::start;

const MARK: &str = "cc";

/// A command that says what it is told to say, and a note of what it was sent.
struct Script(std::vec::IntoIter<Event>);

impl Source for Script {
    async fn next(&mut self) -> Event {
        // So that what an event leads to is sent before the next one. Giving up here loses nothing.
        tokio::task::yield_now().await;
        match self.0.next() {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }
}

#[derive(Default)]
struct Sent(Mutex<Vec<u8>>, std::sync::atomic::AtomicBool);

impl Sink for Sent {
    async fn write(&self, bytes: Bytes) -> Result<(), Broken> {
        self.0.lock().unwrap().extend_from_slice(&bytes);
        Ok(())
    }

    async fn finish(&self) -> Result<(), Broken> {
        self.1.store(true, Ordering::Relaxed);
        Ok(())
    }
}

fn out(text: &str) -> Event {
    Event::Out(Bytes::copy_from_slice(text.as_bytes()))
}

fn err(text: &str) -> Event {
    Event::Err(Bytes::copy_from_slice(text.as_bytes()))
}

async fn run(exec: &Exec, way: SudoWay, events: Vec<Event>) -> (Driven, String) {
    let (start, sink) = (start(exec, way, MARK), Sent::default());
    let driven = drive("h", exec, &start, (&mut Script(events.into_iter()), &sink), &AtomicU32::new(0)).await;
    let sent = String::from_utf8(sink.0.into_inner().unwrap()).unwrap();
    (driven, sent)
}

async fn plain(events: Vec<Event>) -> Result<Output, ExecError> {
    run(&Exec::new("x"), SudoWay::None, events).await.0.result
}

fn with_password() -> Exec {
    Exec::new("x").sudo(Some(SecretString::from("PASS")))
}

#[tokio::test]
async fn only_what_the_script_itself_says_is_kept() {
    let output = plain(vec![
        err("warning: locale\n"),
        out("Welcome!\nno end"),
        out("cc:start\nda"),
        err("cc:start\n!"),
        out("ta"),
        Event::Exit(3),
        Event::Closed,
    ])
    .await
    .unwrap();
    assert_eq!(output, Output { status: Status::Exit(3), stdout: b"data".to_vec(), stderr: b"!".to_vec() });
}

#[tokio::test]
async fn a_status_that_is_missing_or_said_twice_is_no_success() {
    let begin = || vec![out("cc:start\n")];
    let ends: [(Vec<Event>, Status); 5] = [
        (vec![], Status::Missing),
        (vec![Event::Exit(0)], Status::Exit(0)),
        (vec![Event::Exit(0), Event::Exit(0)], Status::Exit(0)),
        (vec![Event::Exit(0), Event::Exit(1)], Status::Missing),
        (vec![Event::Exit(0), Event::Signal("KILL".into())], Status::Missing),
    ];
    for (end, expected) in ends {
        let events = begin().into_iter().chain(end).chain([Event::Closed]).collect();
        let status = plain(events).await.unwrap().status;
        assert_eq!(status.success(), expected == Status::Exit(0));
        assert_eq!(status, expected);
    }
}

#[tokio::test]
async fn a_status_without_a_beginning_is_an_error_with_what_was_said_instead() {
    let error = plain(vec![out("This account is not available.\n"), Event::Exit(0), Event::Closed])
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "h did not start the script (exit status 0); the login shell said: This account is not available."
    );
}

#[tokio::test]
async fn a_connection_that_breaks_is_no_end() {
    let error =
        plain(vec![out("cc:start\n"), Event::Exit(0), Event::Lost("reset".into())]).await.unwrap_err();
    assert!(matches!(error, ExecError::ConnectionLost { .. }));
}

#[tokio::test]
async fn too_much_output_ends_it() {
    let exec = Exec { max_output: 3, ..Exec::new("x") };
    let (driven, _) = run(&exec, SudoWay::None, vec![out("cc:start\nab"), out("cd")]).await;
    assert!(matches!(driven.result, Err(ExecError::TooMuchOutput { limit: 3, .. })));
    let (driven, _) = run(&exec, SudoWay::None, vec![out("cc:start\nabcd")]).await;
    assert!(matches!(driven.result, Err(ExecError::TooMuchOutput { limit: 3, .. })));
}

#[tokio::test(start_paused = true)]
async fn silence_and_slowness_have_limits_of_their_own() {
    let limits = crate::Limits { idle: Duration::from_secs(5), total: Duration::from_secs(30) };
    let exec = Exec { limits, ..Exec::new("x") };
    let (driven, _) = run(&exec, SudoWay::None, vec![out("cc:start\n")]).await;
    assert!(matches!(driven.result, Err(ExecError::Idle { after, .. }) if after == limits.idle));

    /// Says something every second, for ever.
    struct Ticking;
    impl Source for Ticking {
        async fn next(&mut self) -> Event {
            tokio::time::sleep(Duration::from_secs(1)).await;
            out("cc:start\n")
        }
    }
    // The wait begins anew when it was given up, so the limit of the whole is what ends it.
    let begun = start(&exec, SudoWay::None, MARK);
    let driven = drive("h", &exec, &begun, (&mut Ticking, &Sent::default()), &AtomicU32::new(0)).await;
    assert!(matches!(driven.result, Err(ExecError::TooLong { after, .. }) if after == limits.total));
}

#[tokio::test]
async fn the_script_follows_the_password_only_when_that_was_right() {
    let good = || vec![out("cc:need\n"), out("cc:good\n")];
    let ready = [out("cc:ready\n"), out("cc:start\n"), Event::Exit(0), Event::Closed];
    let (driven, sent) =
        run(&with_password(), SudoWay::Unknown, good().into_iter().chain(ready).collect()).await;
    assert!(driven.result.unwrap().status.success());
    assert_eq!((driven.way, driven.round_trips), (Some(SudoWay::Password), 4));
    assert_eq!(sent, "PASS\nPASS\ncc:sync\nx\n#cc");
    // sudo-rs would take what stands behind a password, too.
    let (_, sent) =
        run(&with_password(), SudoWay::Unknown, good().into_iter().chain([Event::Closed]).collect()).await;
    assert_eq!(sent, "PASS\nPASS\n");

    let events = vec![
        out("cc:need\n"),
        err("Sorry, try again.\nsudo: no password was provided\n"),
        out("cc:denied\n"),
        Event::Exit(1),
        Event::Closed,
    ];
    let (driven, sent) = run(&with_password(), SudoWay::Unknown, events).await;
    assert!(matches!(driven.result, Err(ExecError::Sudo { fault: SudoFault::WrongPassword, .. })));
    assert_eq!(sent, "PASS\n");
}

#[tokio::test]
async fn a_password_that_nobody_wants_is_not_sent() {
    let events = vec![out("cc:free\n"), out("cc:start\n"), Event::Exit(0), Event::Closed];
    let (driven, sent) = run(&with_password(), SudoWay::Unknown, events).await;
    assert_eq!(driven.way, Some(SudoWay::Free));
    assert_eq!(sent, "cc:sync\nx\n#cc");
}

#[tokio::test]
async fn each_fault_of_sudo_is_told_from_the_others() {
    let sudo = Exec::new("x").sudo(None);
    let cases: [(&Exec, Vec<Event>, SudoFault); 4] = [
        (&with_password(), vec![out("cc:missing\n")], SudoFault::Missing),
        (&with_password(), vec![out("cc:shell\n")], SudoFault::Shell),
        (&sudo, vec![err("sudo: a password is required\n")], SudoFault::PasswordNeeded),
        (&sudo, vec![err("sudo: sorry, you must have a tty to run sudo\n")], SudoFault::RequiresTerminal),
    ];
    for (exec, mut events, expected) in cases {
        events.extend([Event::Exit(1), Event::Closed]);
        let (driven, _) = run(exec, SudoWay::Unknown, events).await;
        match driven.result {
            Err(ExecError::Sudo { fault, .. }) => assert_eq!(fault, expected),
            other => panic!("{expected:?}: {other:?}"),
        }
        assert_eq!(driven.way, Some(SudoWay::Unknown));
    }
}

#[tokio::test]
async fn a_password_that_is_right_no_more_ends_the_wait_for_another() {
    let (start, sink) = (start(&with_password(), SudoWay::Password, MARK), Sent::default());
    let events = vec![err("Sorry, try again.\n"), Event::Exit(1), Event::Closed];
    let mut script = Script(events.into_iter());
    let driven = drive("h", &with_password(), &start, (&mut script, &sink), &AtomicU32::new(0)).await;
    let Err(ExecError::Sudo { fault, .. }) = driven.result else { panic!("{:?}", driven.result) };
    assert_eq!(fault, SudoFault::WrongPassword);
    assert!(sink.1.load(Ordering::Relaxed), "its input has ended");
    assert_eq!(sink.0.into_inner().unwrap(), b"PASS\n");
}
