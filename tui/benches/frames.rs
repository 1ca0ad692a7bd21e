//! What the dashboard costs with a large cluster: `cargo bench -p tui`.
//!
//! 10,000 agents and 100,000 tasks, of which 1,000 change each second, on a screen of 200x60. A frame is what is drawn, compared
//! with what was there, and turned into bytes; it is set beside a frame of plain text of the same size.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "figures for people")]

use std::cell::Cell;
use std::io::{self, Write};
use std::rc::Rc;
use std::time::{Duration, Instant};

use api::watch::{Amounts, Frame, Hello, Node, ROWS, Rows, Service, Task};
use crossterm::event::{KeyCode, KeyEvent};
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use ratatui::widgets::Widget;
use ratatui::{Terminal, TerminalOptions, Viewport};
use tui::{Connection, Input, Options, State, draw, update};

const NOW: u64 = 1_795_343_031_000;
const SIZE: Rect = Rect { x: 0, y: 0, width: 200, height: 60 };
const AGENTS: u32 = 10_000;
const SERVICES: u32 = 20;
const TASKS: u32 = 100_000;
/// Frames that are measured of each.
const FRAMES: u64 = 300;

/// Counts what would be sent to a terminal.
#[derive(Clone, Default)]
struct Counted(Rc<Cell<usize>>);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.set(self.0.get() + bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn task(n: u32, state: &str) -> Task {
    Task {
        id: format!("svc-{}.instance-{n:08x}-0000-4000-8000-000000000000._app.1", n % SERVICES),
        service: format!("/group/svc-{}", n % SERVICES),
        state: state.into(),
        host: format!("agent-{:05}", n % AGENTS),
        node: format!("{}-S", n % AGENTS),
        ports: vec![31_000],
        healthy: None,
        version: "2026-11-22T09:00:00.000Z".into(),
        staged: NOW - 60_000,
        started: Some(NOW - 50_000),
    }
}

fn frames() -> Vec<Frame> {
    let hello = Hello { cluster: "large".into(), leader: "m1".into(), operates: true, ..Hello::default() };
    let nodes: Vec<_> = (0..AGENTS)
        .map(|n| Node {
            id: format!("{n}-S"),
            hostname: format!("agent-{n:05}"),
            state: "active".into(),
            total: Amounts { cpus: 16.0, mem: 65_536.0, disk: 1e6 },
            used: Amounts { cpus: 1.0, mem: 640.0, disk: 0.0 },
            ..Node::default()
        })
        .collect();
    let services = (0..SERVICES)
        .map(|n| Service {
            id: format!("/group/svc-{n}"),
            version: "2026-11-22T09:00:00.000Z".into(),
            instances: TASKS / SERVICES,
            running: TASKS / SERVICES,
            each: Amounts { cpus: 0.1, mem: 64.0, disk: 0.0 },
            ..Service::default()
        })
        .collect();
    let tasks: Vec<_> = (0..TASKS).map(|n| task(n, "TASK_RUNNING")).collect();
    let mut frames = vec![Frame::Hello(hello)];
    frames.extend(nodes.chunks(ROWS).map(|part| Frame::Nodes(Rows { set: part.to_vec(), gone: vec![] })));
    frames.push(Frame::Services(Rows { set: services, gone: vec![] }));
    frames.extend(tasks.chunks(ROWS).map(|part| Frame::Tasks(Rows { set: part.to_vec(), gone: vec![] })));
    frames.push(Frame::Ready { now: NOW });
    frames
}

struct Bench {
    state: State,
    terminal: Terminal<CrosstermBackend<Counted>>,
    sent: Counted,
    now: u64,
    next: u32,
}

impl Bench {
    fn show(&mut self) {
        let state = &self.state;
        self.terminal.draw(|frame| draw(state, frame.area(), frame.buffer_mut())).unwrap();
    }

    fn key(&mut self, code: KeyCode) {
        update(&mut self.state, Input::Key(KeyEvent::from(code)));
    }

    /// A thirtieth of a second goes by: 33 tasks change.
    fn pass(&mut self) {
        self.now += 33;
        update(&mut self.state, Input::Tick(self.now));
        let changed = (0..33).map(|_| {
            self.next = (self.next + 7_919) % TASKS;
            let state = ["TASK_RUNNING", "TASK_KILLING"][usize::from(self.next.is_multiple_of(2))];
            task(self.next, state)
        });
        let rows = Rows { set: changed.collect(), gone: vec![] };
        update(&mut self.state, Input::Frame(Box::new(Frame::Tasks(rows))));
        update(&mut self.state, Input::Frame(Box::new(Frame::Ready { now: self.now })));
    }
}

/// Milliseconds: median, the 99th of 100, the most.
fn told(what: &str, mut times: Vec<Duration>, bytes: usize, goal: &str) {
    times.sort_unstable();
    let at = |share: f64| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
        let index = ((times.len() - 1) as f64 * share) as usize;
        times[index].as_secs_f64() * 1000.0
    };
    println!(
        "{what:<44} {:>8.3} {:>8.3} {:>8.3} {:>10}   {goal}",
        at(0.5),
        at(0.99),
        at(1.0),
        bytes / times.len()
    );
}

fn main() {
    let sent = Counted::default();
    let options = TerminalOptions { viewport: Viewport::Fixed(SIZE) };
    let terminal = Terminal::with_options(CrosstermBackend::new(sent.clone()), options).unwrap();
    let state = State::new(Options::default(), (SIZE.width, SIZE.height), NOW);
    let mut bench = Bench { state, terminal, sent, now: NOW, next: 0 };
    let begin = Instant::now();
    update(&mut bench.state, Input::Connection(Connection::Live));
    for frame in frames() {
        update(&mut bench.state, Input::Frame(Box::new(frame)));
    }
    println!("{AGENTS} agents and {TASKS} tasks taken in {:.2} s", begin.elapsed().as_secs_f64());
    println!("{:<44} {:>8} {:>8} {:>8} {:>10}", "milliseconds", "p50", "p99", "most", "bytes each");
    for (key, page) in
        [('1', "dashboard"), ('2', "services"), ('3', "nodes"), ('5', "deployments"), ('6', "events")]
    {
        bench.key(KeyCode::Char(key));
        bench.show();
        let before = bench.sent.0.get();
        let times = (0..FRAMES).map(|_| {
            bench.pass();
            let begin = Instant::now();
            bench.show();
            begin.elapsed()
        });
        let times = times.collect();
        told(
            &format!("{page}: a frame, 1,000 changes a second"),
            times,
            bench.sent.0.get() - before,
            "goal p99 8",
        );
        let before = bench.sent.0.get();
        let times = (0..FRAMES).map(|n| {
            bench.pass();
            let begin = Instant::now();
            bench.key(KeyCode::Char(if n % 40 < 20 { 'j' } else { 'k' }));
            bench.show();
            begin.elapsed()
        });
        let times = times.collect();
        told(&format!("{page}: from a key to bytes"), times, bench.sent.0.get() - before, "goal p99 33");
    }
    beside(&mut bench);
}

/// A frame of plain text of the same size, all of it new each time.
fn beside(bench: &mut Bench) {
    let before = bench.sent.0.get();
    let times = (0..FRAMES).map(|n| {
        let text = format!("{n:0>12000}");
        let begin = Instant::now();
        bench
            .terminal
            .draw(|frame| {
                let area = frame.area();
                let lines: Vec<_> =
                    text.as_bytes().chunks(200).map(|line| String::from_utf8_lossy(line)).collect();
                let lines: Vec<_> =
                    lines.iter().map(|line| ratatui::text::Line::raw(line.as_ref())).collect();
                ratatui::text::Text::from(lines).render(area, frame.buffer_mut());
            })
            .unwrap();
        begin.elapsed()
    });
    let times = times.collect();
    told("beside it: plain text of the same size", times, bench.sent.0.get() - before, "");
}
