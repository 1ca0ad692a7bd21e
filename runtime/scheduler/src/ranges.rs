//! Ranges of whole numbers, such as ports.

use std::fmt;

/// From `begin` to `end`, both included; never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Range {
    begin: u64,
    end: u64,
}

impl Range {
    /// `None` when `begin` lies behind `end`.
    pub const fn new(begin: u64, end: u64) -> Option<Range> {
        if begin <= end { Some(Range { begin, end }) } else { None }
    }

    /// The first number of it.
    pub const fn begin(self) -> u64 {
        self.begin
    }

    /// The last number of it.
    pub const fn end(self) -> u64 {
        self.end
    }
}

/// A set of numbers as ranges in ascending order, with a gap between any two.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ranges(Vec<Range>);

impl FromIterator<Range> for Ranges {
    /// In any order; what overlaps or touches is merged.
    fn from_iter<I: IntoIterator<Item = Range>>(ranges: I) -> Ranges {
        let mut all: Vec<Range> = ranges.into_iter().collect();
        all.sort_unstable();
        Ranges(merged(all.into_iter()))
    }
}

/// Merges ranges that come in ascending order of their begin.
fn merged(ascending: impl Iterator<Item = Range>) -> Vec<Range> {
    let mut out: Vec<Range> = Vec::with_capacity(ascending.size_hint().0);
    for range in ascending {
        match out.last_mut() {
            Some(last) if range.begin <= last.end.saturating_add(1) => last.end = last.end.max(range.end),
            _ => out.push(range),
        }
    }
    out
}

impl Ranges {
    /// True when there is no number in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The ranges in ascending order, with a gap between any two.
    pub fn as_slice(&self) -> &[Range] {
        &self.0
    }

    /// How many numbers there are; `u64::MAX` also for one more than that.
    pub fn count(&self) -> u64 {
        self.0.iter().fold(0, |sum: u64, r| sum.saturating_add(r.end - r.begin).saturating_add(1))
    }

    /// The numbers in ascending order.
    pub fn values(&self) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().flat_map(|r| r.begin..=r.end)
    }

    /// Whether this number is in it.
    pub fn contains_value(&self, value: u64) -> bool {
        let after = self.0.partition_point(|r| r.begin <= value);
        after > 0 && self.0[after - 1].end >= value
    }

    /// Whether every number of `other` is in it.
    pub fn contains(&self, other: &Ranges) -> bool {
        let mut mine = self.0.iter();
        let mut current = mine.next();
        other.0.iter().all(|wanted| {
            while current.is_some_and(|r| r.end < wanted.begin) {
                current = mine.next();
            }
            current.is_some_and(|r| r.begin <= wanted.begin && wanted.end <= r.end)
        })
    }

    /// Puts in the numbers of `other`; those that were there stay.
    pub fn add(&mut self, other: &Ranges) {
        if other.0.is_empty() {
            return;
        }
        if self.0.is_empty() {
            self.0.clone_from(&other.0);
            return;
        }
        let mut all = Vec::with_capacity(self.0.len() + other.0.len());
        let (mut a, mut b) = (self.0.iter().peekable(), other.0.iter().peekable());
        loop {
            let next = match (a.peek(), b.peek()) {
                (Some(x), Some(y)) if x <= y => a.next(),
                (_, Some(_)) => b.next(),
                (_, None) => a.next(),
            };
            let Some(range) = next else { break };
            all.push(*range);
        }
        self.0 = merged(all.into_iter());
    }

    /// Takes out the numbers of `other`; those that were not there do no harm.
    pub fn subtract(&mut self, other: &Ranges) {
        if self.0.is_empty() || other.0.is_empty() {
            return;
        }
        if self.0 == other.0 {
            self.0.clear();
            return;
        }
        let mut out = Vec::with_capacity(self.0.len() + other.0.len());
        let mut cuts = other.0.as_slice();
        for range in &self.0 {
            while cuts.first().is_some_and(|cut| cut.end < range.begin) {
                cuts = &cuts[1..];
            }
            // A cut may reach into the next range, so this loop looks ahead and throws nothing away.
            let mut rest = Some(*range);
            for cut in cuts.iter().take_while(|cut| cut.begin <= range.end) {
                let Some(piece) = rest else { break };
                if cut.begin > piece.begin {
                    out.push(Range { begin: piece.begin, end: cut.begin - 1 });
                }
                rest = cut.end.checked_add(1).and_then(|begin| Range::new(begin, piece.end));
            }
            out.extend(rest);
        }
        self.0 = out;
    }

    /// Takes out numbers that must all be there. Returns false, and changes nothing, when one is missing.
    #[must_use]
    pub fn checked_subtract(&mut self, other: &Ranges) -> bool {
        let there = self.contains(other);
        if there {
            self.subtract(other);
        }
        there
    }
}

impl fmt::Display for Ranges {
    /// `[31000-32000,33000-33001]`; a single number is written `5-5`, as Mesos does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (at, range) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{}-{}", range.begin, range.end)?;
        }
        f.write_str("]")
    }
}
