//! The few words between shim and entry, on a socket that is the entry's standard input.
//!
//! The entry waits for one byte before it runs anything. It answers in lines; the end of the stream without
//! any means that exec closed it.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};

use crate::process::timespec;
use crate::spec::End;

/// The byte that lets the entry go on.
const GO: u8 = b'g';

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// The task's program runs (below process 1).
    Runs,
    /// The task's main process has ended.
    Ended(End),
}

impl Word {
    fn parse(line: &str) -> Option<Self> {
        let (key, rest) = line.split_once(' ')?;
        Some(match key {
            "runs" => Self::Runs,
            "code" => Self::Ended(End::Code(rest.parse().ok()?)),
            "signal" => Self::Ended(End::Signal(rest.parse().ok()?)),
            "failed" => Self::Ended(End::Failed(rest.to_owned())),
            _ => return None,
        })
    }

    fn line(&self) -> String {
        match self {
            Self::Runs => "runs \n".into(),
            Self::Ended(End::Code(code)) => format!("code {code}\n"),
            Self::Ended(End::Signal(signal)) => format!("signal {signal}\n"),
            Self::Ended(End::Failed(why) | End::Stuck(why)) => {
                format!("failed {}\n", why.replace('\n', "; "))
            }
        }
    }
}

/// Tells the shim; when it is gone, so are we soon.
pub(super) fn say(control: &mut UnixStream, word: &Word) {
    let _ = control.write_all(word.line().as_bytes());
}

/// Waits for the shim's leave to run the program; `false` when it is gone.
pub(super) fn may_go(control: &mut UnixStream) -> bool {
    let mut byte = [0];
    // The byte may have been sent by one who is gone by now, before we asked to go with it.
    control.read_exact(&mut byte).is_ok() && byte == [GO] && !is_gone(control)
}

fn is_gone(control: &UnixStream) -> bool {
    let mut fds = [PollFd::new(control, PollFlags::RDHUP)];
    match poll(&mut fds, Some(&timespec(Duration::ZERO))) {
        Ok(ready) => ready > 0,
        Err(_) => true,
    }
}

/// The shim's end.
pub(super) struct Line {
    stream: UnixStream,
    buffer: Vec<u8>,
    open: bool,
}

impl Line {
    pub(super) fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream, buffer: Vec::new(), open: true })
    }

    pub(super) fn go(&mut self) {
        // An entry that died already is noticed by its end.
        let _ = self.stream.write_all(&[GO]);
    }

    /// The stream, while there is something to wait for.
    pub(super) fn stream(&self) -> Option<&UnixStream> {
        self.open.then_some(&self.stream)
    }

    /// Reads what is there; afterwards [`Self::stream`] tells whether more can come.
    pub(super) fn words(&mut self) -> Vec<Word> {
        let mut chunk = [0; 512];
        while self.open {
            match self.stream.read(&mut chunk) {
                Ok(0) => self.open = false,
                Ok(n) => self.buffer.extend_from_slice(chunk.get(..n).unwrap_or_default()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => self.open = false,
            }
        }
        let mut words = Vec::new();
        while let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.buffer.drain(..=end).collect();
            words.extend(Word::parse(String::from_utf8_lossy(&line).trim_end_matches('\n')));
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_arrive_as_they_were_said() {
        let (mut entry, shim) = UnixStream::pair().unwrap();
        let mut shim = Line::new(shim).unwrap();
        shim.go();
        assert!(may_go(&mut entry));
        let words = [
            Word::Runs,
            Word::Ended(End::Code(3)),
            Word::Ended(End::Signal(9)),
            Word::Ended(End::Failed("no\nsuch thing".into())),
        ];
        for word in &words {
            say(&mut entry, word);
        }
        let heard = shim.words();
        assert_eq!(heard[..3], words[..3]);
        assert_eq!(heard[3], Word::Ended(End::Failed("no; such thing".into())));
        assert!(shim.stream().is_some());
        drop(entry);
        assert_eq!(shim.words(), []);
        assert!(shim.stream().is_none());
    }

    #[test]
    fn an_entry_whose_shim_is_gone_does_not_go_on() {
        let (mut entry, shim) = UnixStream::pair().unwrap();
        drop(shim);
        assert!(!may_go(&mut entry));
    }

    #[test]
    fn leave_from_a_shim_that_is_gone_meanwhile_is_none() {
        let (mut entry, shim) = UnixStream::pair().unwrap();
        let mut shim = Line::new(shim).unwrap();
        shim.go();
        drop(shim);
        assert!(!may_go(&mut entry));
    }

    #[test]
    fn nonsense_is_not_a_word() {
        for line in ["", "code", "code x", "signal ", "ran 1"] {
            assert_eq!(Word::parse(line), None, "{line}");
        }
    }
}
