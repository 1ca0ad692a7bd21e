//! What a supervisor waits on: signals, and the task's output.

use std::io::{self, PipeReader, Read};
use std::os::unix::net::UnixStream;

use signal_hook::consts::{SIGCHLD, SIGTERM};

use super::log::Log;

/// How many bytes of a stream are copied before other work gets its turn.
const TURN: usize = 256 << 10;
/// The most that a pipe holds (`/proc/sys/fs/pipe-max-size`, as it is by default).
const MAX_PIPE: usize = 1 << 20;

/// Signals as readable pipes.
pub(super) struct Signals {
    pub(super) term: UnixStream,
    pub(super) child: UnixStream,
}

impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        let pipe = |signal| {
            let (read, write) = UnixStream::pair()?;
            read.set_nonblocking(true)?;
            signal_hook::low_level::pipe::register(signal, write)?;
            Ok::<_, io::Error>(read)
        };
        Ok(Self { term: pipe(SIGTERM)?, child: pipe(SIGCHLD)? })
    }
}

/// Whether anything was there.
pub(super) fn drain(mut stream: &UnixStream) -> bool {
    let mut any = false;
    let mut bytes = [0; 64];
    while stream.read(&mut bytes).is_ok_and(|n| n > 0) {
        any = true;
    }
    any
}

/// One stream of the task's output.
pub(super) struct Stream {
    pub(super) pipe: Option<PipeReader>,
    pub(super) log: Log,
}

impl Stream {
    /// Copies what is there, at most so much that other work gets its turn.
    pub(super) fn copy(&mut self, buffer: &mut [u8]) {
        self.copy_about(buffer, TURN);
    }

    /// Copies as much as can have been in the pipe when its writers had ended, and closes it: whoever else has it
    /// open and writes on is not waited for.
    pub(super) fn finish(&mut self, buffer: &mut [u8]) {
        self.copy_about(buffer, MAX_PIPE);
        self.pipe = None;
    }

    fn copy_about(&mut self, buffer: &mut [u8], bytes: usize) {
        let mut copied = 0;
        while copied < bytes {
            let Some(pipe) = &mut self.pipe else { return };
            match pipe.read(buffer) {
                Ok(0) => self.pipe = None,
                Ok(n) => {
                    copied += n;
                    self.log.write(buffer.get(..n).unwrap_or_default());
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.pipe = None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_writer_that_never_pauses_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::open(dir.path(), "stdout", 1 << 16, 0, None).unwrap();
        let (read, mut write) = io::pipe().unwrap();
        let writer = std::thread::spawn(move || while write.write_all(&[b'x'; 4096]).is_ok() {});
        // Blocking, so that the writer is always fast enough.
        let mut stream = Stream { pipe: Some(read), log };
        let mut buffer = vec![0; 4096];
        stream.copy(&mut buffer);
        assert!(stream.pipe.is_some());
        stream.finish(&mut buffer);
        assert!(stream.pipe.is_none());
        writer.join().unwrap();
    }
}
