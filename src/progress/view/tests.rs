use std::sync::{Arc, Mutex};

use installer::phase::Phase;

use super::*;

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn plain(most: Weight) -> (Plain, impl Fn() -> String) {
    let captured = Captured::default();
    let plain = Plain::new(Box::new(captured.clone()), most, false);
    (plain, move || String::from_utf8(std::mem::take(&mut *captured.0.lock().unwrap())).unwrap())
}

fn started() -> Event {
    Event::StepStarted {
        host: "a1".to_owned(),
        phase: Phase::Distribute,
        what: "reload".to_owned(),
        step: 1,
        of: 1,
        expected: 30,
    }
}

#[test]
fn after_ten_seconds_of_silence_plain_lines_say_who_is_busy() {
    let (mut plain, said) = plain(Weight::Change);
    plain.event(&Event::PhaseStarted { phase: Phase::Distribute, hosts: 1 }, at(1));
    plain.event(&started(), at(2));
    assert_eq!(said(), "distribute: 1 host\n");
    plain.tick(at(10));
    assert_eq!(said(), "");
    plain.tick(at(11));
    assert_eq!(said(), "still busy: a1 (distribute 1/1 reload, 9s)\n");
    plain.tick(at(20));
    assert_eq!(said(), "");
    plain.tick(at(21));
    assert_eq!(said(), "still busy: a1 (distribute 1/1 reload, 19s)\n");
}

#[test]
fn a_quiet_reader_hears_no_heartbeat_and_the_thread_sleeps_on() {
    let (mut plain, said) = plain(Weight::Failure);
    plain.event(&started(), at(2));
    plain.tick(at(12));
    assert_eq!(said(), "");
    assert_eq!(View::Plain(plain).idle(at(12)), HEARTBEAT);
}

#[test]
fn with_nobody_busy_silence_is_kept() {
    let (mut plain, said) = plain(Weight::Change);
    plain.tick(at(12));
    assert_eq!((said(), View::Plain(plain).idle(at(15))), (String::new(), at(7)));
}
