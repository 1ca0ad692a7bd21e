//! Words of the process that holds this agent: one per line.

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};

/// A longer line is none of ours.
const MAX_LINE: u64 = 64;

/// What the holder wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// End all tasks with their grace, then the agent.
    Stop,
    /// End all tasks at once, then the agent.
    Kill,
    /// End the agent; its tasks stay.
    Leave,
}

/// A holder's words, to be awaited again and again.
pub(super) struct Lifeline<R> {
    reader: Option<BufReader<R>>,
    /// Kept over calls, so that one that is given up loses nothing.
    line: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Lifeline<R> {
    pub(super) fn new(reader: Option<R>) -> Self {
        Self { reader: reader.map(BufReader::new), line: Vec::new() }
    }

    /// The next wish; never, without a holder. What is not understood is passed over.
    pub(super) async fn next(&mut self) -> Wish {
        let Some(reader) = &mut self.reader else { return std::future::pending().await };
        loop {
            let read = reader.take(MAX_LINE).read_until(b'\n', &mut self.line).await;
            let line = std::mem::take(&mut self.line);
            match (read, line.trim_ascii()) {
                (Ok(0) | Err(_), _) => {
                    self.reader = None;
                    return Wish::Leave;
                }
                (Ok(_), b"stop") => return Wish::Stop,
                (Ok(_), b"kill") => return Wish::Kill,
                (Ok(_), _) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn words_are_understood_and_the_end_means_leave() {
        let long = "x".repeat(500);
        let text = format!("stop\nwhat?\n{long}\nkill\n");
        let mut line = Lifeline::new(Some(text.as_bytes()));
        assert_eq!(line.next().await, Wish::Stop);
        assert_eq!(line.next().await, Wish::Kill);
        assert_eq!(line.next().await, Wish::Leave);
    }
}
