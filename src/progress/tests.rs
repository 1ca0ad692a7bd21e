use std::io::Write;
use std::sync::{Arc, Mutex};

use installer::phase::Phase;

use super::*;

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Failing(io::ErrorKind);

impl Write for Failing {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn waiting(what: &str) -> Event {
    Event::Waiting { what: what.to_owned() }
}

#[test]
fn many_tasks_tell_one_view_and_all_is_shown_at_the_end() {
    let captured = Captured::default();
    let view = View::Plain(Plain::new(Box::new(captured.clone()), Weight::Change, false));
    let progress = Progress::show(view).unwrap();
    let listener = progress.listener();
    thread::scope(|scope| {
        for task in 0..8 {
            let listener = Arc::clone(&listener);
            scope.spawn(move || (0..100).for_each(|n| listener(waiting(&format!("{task}-{n}")))));
        }
    });
    progress.finish().unwrap();
    assert_eq!(captured.text().lines().count(), 800);
    // What comes late is left out, and stops nobody.
    listener(waiting("nobody"));
    assert_eq!(captured.text().lines().count(), 800);
}

#[test]
fn json_is_each_event_on_a_line() {
    let captured = Captured::default();
    let progress = Progress::show(View::Json(Json::new(Box::new(captured.clone())))).unwrap();
    let events = [Event::PhaseStarted { phase: Phase::Connect, hosts: 2 }, waiting("a leader")];
    events.iter().cloned().for_each(|event| progress.listener()(event));
    progress.finish().unwrap();
    insta::assert_snapshot!(captured.text(), @r#"
    {"type":"phase_started","phase":"connect","hosts":2}
    {"type":"run_waiting","what":"a leader"}
    "#);
}

#[test]
fn a_reader_that_goes_away_is_no_fault_and_a_full_disk_is_one() {
    for (kind, fails) in [(io::ErrorKind::BrokenPipe, false), (io::ErrorKind::StorageFull, true)] {
        let progress = Progress::show(View::Json(Json::new(Box::new(Failing(kind))))).unwrap();
        progress.listener()(waiting("a"));
        progress.listener()(waiting("b"));
        assert_eq!(progress.finish().is_err(), fails, "{kind}");
    }
}

#[test]
fn a_question_has_the_terminal_to_itself() {
    let captured = Captured::default();
    let view = View::Plain(Plain::new(Box::new(captured.clone()), Weight::Change, false));
    let progress = Progress::show(view).unwrap();
    let (listener, screen) = (progress.listener(), progress.screen());
    listener(waiting("before"));
    let answer = screen.aside(|| {
        listener(waiting("meanwhile"));
        captured.text()
    });
    assert_eq!(answer, "waiting for before\n");
    progress.finish().unwrap();
    assert_eq!(captured.text(), "waiting for before\nwaiting for meanwhile\n");
    assert_eq!(screen.aside(|| 7), 7, "without a view there is nothing to wait for");
}
