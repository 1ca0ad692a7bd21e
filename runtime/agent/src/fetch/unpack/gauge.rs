//! What went in and came out, against the limits.

use std::cell::Cell;
use std::io::{self, Read, Seek, SeekFrom};
use std::rc::Rc;

use super::super::job::Limits;

/// What one step from an entry to the next may read: long names, extended headers.
const HEADERS: u64 = 1 << 20;

/// Counts of one job.
#[derive(Debug)]
pub(super) struct Gauge {
    limits: Limits,
    packed: Cell<u64>,
    unpacked: Cell<u64>,
    written: Cell<u64>,
    entries: Cell<u64>,
    ahead: Cell<u64>,
}

impl Gauge {
    pub(super) fn new(limits: Limits) -> Self {
        let zero = || Cell::new(0);
        Self {
            limits,
            packed: zero(),
            unpacked: zero(),
            written: zero(),
            entries: zero(),
            ahead: Cell::new(u64::MAX),
        }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) fn entries(&self) -> u64 {
        self.entries.get()
    }

    pub(super) fn written(&self) -> u64 {
        self.written.get()
    }

    /// One more entry.
    pub(super) fn entry(&self) -> io::Result<()> {
        self.entries.set(self.entries.get() + 1);
        if self.entries.get() > self.limits.entries {
            return Err(too_much(format!("it is one more than {} entries", self.limits.entries)));
        }
        Ok(())
    }

    /// What is read from now on is headers, which decoders hold in memory.
    pub(super) fn headers(&self) {
        self.ahead.set(HEADERS);
    }

    /// What is read from now on is written out piece by piece.
    pub(super) fn contents(&self) {
        self.ahead.set(u64::MAX);
    }

    /// So many bytes are about to be written.
    pub(super) fn write(&self, bytes: u64) -> io::Result<()> {
        self.written.set(self.written.get().saturating_add(bytes));
        self.check(self.written.get())
    }

    fn unpack(&self, bytes: u64) -> io::Result<()> {
        self.unpacked.set(self.unpacked.get().saturating_add(bytes));
        let ahead = self.ahead.get().checked_sub(bytes);
        self.ahead.set(ahead.ok_or_else(|| too_much(format!("a header is longer than {HEADERS} bytes")))?);
        self.check(self.unpacked.get())
    }

    fn check(&self, out: u64) -> io::Result<()> {
        let Limits { bytes, ratio, ratio_from, .. } = self.limits;
        if out > bytes {
            return Err(too_much(format!("more than {bytes} bytes come out of the archive")));
        }
        if out > ratio_from && out / ratio.max(1) > self.packed.get() {
            return Err(too_much(format!("the archive grows more than {ratio} times when it is unpacked")));
        }
        Ok(())
    }
}

fn too_much(why: String) -> io::Error {
    io::Error::other(why)
}

/// Counts what goes into a decoder.
#[derive(Debug)]
pub(super) struct Intake<R> {
    inner: R,
    gauge: Rc<Gauge>,
}

impl<R> Intake<R> {
    pub(super) fn new(inner: R, gauge: Rc<Gauge>) -> Self {
        Self { inner, gauge }
    }
}

impl<R: Read> Read for Intake<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.gauge.packed.set(self.gauge.packed.get().saturating_add(n as u64));
        Ok(n)
    }
}

impl<R: Seek> Seek for Intake<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}

/// Counts and bounds what comes out of a decoder.
#[derive(Debug)]
pub(super) struct Meter<R> {
    inner: R,
    gauge: Rc<Gauge>,
}

impl<R> Meter<R> {
    pub(super) fn new(inner: R, gauge: Rc<Gauge>) -> Self {
        Self { inner, gauge }
    }
}

impl<R: Read> Read for Meter<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.gauge.unpack(n as u64)?;
        Ok(n)
    }
}
