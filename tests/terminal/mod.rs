//! A pseudo-terminal with the binary in it, and what its screen shows.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// Nothing here takes so long; what does is a failure.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

fn positive(count: u16) -> std::num::NonZeroU16 {
    count.try_into().unwrap()
}

pub(crate) fn program() -> &'static str {
    env!("CARGO_BIN_EXE_clusterctl")
}

/// A terminal with a program in it.
pub(crate) struct Terminal {
    child: Child,
    keys: File,
    pieces: Receiver<Vec<u8>>,
    parser: vt100::Parser,
    /// All that was ever written to it.
    written: Vec<u8>,
}

impl Terminal {
    pub(crate) fn start(arguments: &[&str], variables: &[(&str, &str)], columns: u16, rows: u16) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&master, size).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let slave = || File::options().read(true).write(true).open(&name).unwrap();
        let child = Command::new("setsid")
            .args(["--ctty", "--wait", program()])
            .args(arguments)
            .envs(variables.iter().copied())
            .env("TERM", "xterm-256color")
            .env_remove("NO_COLOR")
            .env_remove("TMUX")
            .stdin(slave())
            .stdout(slave())
            .stderr(slave())
            .spawn()
            .unwrap();
        let keys = File::from(master);
        let mut reader = keys.try_clone().unwrap();
        let (sender, pieces) = channel();
        // Ends with an error when nobody holds the other end any more.
        std::thread::spawn(move || {
            let mut piece = vec![0; 65_536];
            while let Ok(count @ 1..) = reader.read(&mut piece) {
                if sender.send(piece[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            keys,
            pieces,
            parser: vt100::Parser::new(positive(rows), positive(columns), 0),
            written: Vec::new(),
        }
    }

    pub(crate) fn screen(&self) -> String {
        self.parser.screen().contents()
    }

    /// Waits until the screen is as wanted.
    pub(crate) fn until(&mut self, what: &str, wanted: impl Fn(&str) -> bool) {
        let end = Instant::now() + LIMIT;
        while !wanted(&self.screen()) {
            match self.pieces.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(piece) => self.take(&piece),
                Err(why) => panic!("{what}: {why}; the screen is\n{}", self.screen()),
            }
        }
    }

    fn take(&mut self, piece: &[u8]) {
        self.parser.process(piece);
        self.written.extend_from_slice(piece);
    }

    pub(crate) fn sees(&mut self, text: &str) {
        self.until(&format!("{text:?} does not appear"), |screen| screen.contains(text));
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until the program has ended, and reads what it said at last.
    pub(crate) fn end(mut self) -> (ExitStatus, Vec<u8>) {
        let status = self.child.wait().unwrap();
        // The reader ends when nobody holds the other end any more.
        while let Ok(piece) = self.pieces.recv_timeout(LIMIT) {
            self.take(&piece);
        }
        (status, std::mem::take(&mut self.written))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn given_back(written: &[u8]) {
    let last = |sequence: &[u8]| written.windows(sequence.len()).rposition(|found| found == sequence);
    for (taken, given) in [(&b"\x1b[?1049h"[..], &b"\x1b[?1049l"[..]), (b"\x1b[?25l", b"\x1b[?25h")] {
        assert!(last(taken).unwrap() < last(given).unwrap(), "the terminal is not as it was");
    }
}
