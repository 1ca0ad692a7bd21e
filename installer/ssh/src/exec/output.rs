//! What a script writes: held to a limit, and told line by line. Pure.

use super::LineSink;

/// A longer line is told in pieces.
const MAX_LINE: usize = 64 << 10;

/// Standard output: too much of it is an error.
pub(crate) struct Output {
    bytes: Vec<u8>,
    limit: usize,
    /// Where the line that goes on began.
    line: usize,
    sink: Option<LineSink>,
}

/// More than the limit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooMuch;

impl Output {
    pub(crate) fn new(limit: usize, sink: Option<LineSink>) -> Self {
        Self { bytes: Vec::new(), limit, line: 0, sink }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), TooMuch> {
        if self.bytes.len() + bytes.len() > self.limit {
            return Err(TooMuch);
        }
        let mut from = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        let Some(sink) = &self.sink else { return Ok(()) };
        while let Some(end) =
            self.bytes.get(from..).and_then(|new| new.iter().position(|byte| *byte == b'\n'))
        {
            let line = self.bytes.get(self.line..from + end).unwrap_or_default();
            line.chunks(MAX_LINE).for_each(|piece| sink(piece));
            if line.is_empty() {
                sink(line);
            }
            from += end + 1;
            self.line = from;
        }
        while self.bytes.len() - self.line > MAX_LINE {
            sink(self.bytes.get(self.line..self.line + MAX_LINE).unwrap_or_default());
            self.line += MAX_LINE;
        }
        Ok(())
    }

    /// All of it. A last line without its end is told too.
    pub(crate) fn finish(self) -> Vec<u8> {
        if let (Some(sink), Some(line)) = (&self.sink, self.bytes.get(self.line..))
            && !line.is_empty()
        {
            sink(line);
        }
        self.bytes
    }
}

/// Standard error: of too much, the end is kept.
pub(crate) struct Tail {
    bytes: Vec<u8>,
    limit: usize,
}

impl Tail {
    pub(crate) fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), limit }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        // Twice as much as is kept, so that not every push moves all of it.
        if self.bytes.len() > self.limit.saturating_mul(2) {
            self.cut();
        }
    }

    fn cut(&mut self) {
        self.bytes.drain(..self.bytes.len().saturating_sub(self.limit));
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.cut();
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    fn lines(pieces: &[&str]) -> Vec<String> {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let to = Arc::clone(&heard);
        let sink: LineSink =
            Arc::new(move |line| to.lock().unwrap().push(String::from_utf8_lossy(line).into_owned()));
        let mut output = Output::new(1 << 20, Some(sink));
        for piece in pieces {
            output.push(piece.as_bytes()).unwrap();
        }
        assert_eq!(output.finish(), pieces.concat().into_bytes());
        let heard = heard.lock().unwrap();
        heard.clone()
    }

    #[test]
    fn lines_are_told_whole_wherever_they_are_cut() {
        assert_eq!(lines(&["a\nb", "c\n", "\nlast"]), ["a", "bc", "", "last"]);
        assert_eq!(lines(&["a\n"]), ["a"]);
        assert!(lines(&[]).is_empty());
        let long = "x".repeat(MAX_LINE + 5);
        assert_eq!(lines(&[&long, "y\n"]).iter().map(String::len).collect::<Vec<_>>(), [MAX_LINE, 6]);
    }

    #[test]
    fn output_over_its_limit_is_refused_and_of_errors_the_end_is_kept() {
        let mut output = Output::new(4, None);
        assert_eq!(output.push(b"1234"), Ok(()));
        assert_eq!(output.push(b"5"), Err(TooMuch));
        let mut tail = Tail::new(4);
        for byte in b"0123456789" {
            tail.push(&[*byte]);
        }
        assert_eq!(tail.finish(), b"6789");
    }
}
