//! What comes before a script's own output: noise, and marked words of the wrapper between it. Pure.

/// How much noise is kept, to be shown when nothing else comes.
const KEPT: usize = 4096;

/// A word of the wrapper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Word {
    /// The script begins, as this process where it says so: what follows is its own.
    Start(Option<u32>),
    Other(String),
}

/// One stream, up to the script's beginning.
#[derive(Debug)]
pub(crate) struct Head {
    mark: Vec<u8>,
    /// The noise that is kept, and behind it what may be a part of a mark.
    buffer: Vec<u8>,
    /// How much of the buffer was looked through.
    seen: usize,
}

impl Head {
    pub(crate) fn new(mark: &str) -> Self {
        Self { mark: format!("{mark}:").into_bytes(), buffer: Vec::new(), seen: 0 }
    }

    /// Takes bytes; the next word, if it is whole. To be called with nothing until there is none. After
    /// [`Word::Start`], [`Head::rest`] has the first bytes of the script's own.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Option<Word> {
        self.buffer.extend_from_slice(bytes);
        let tail = self.buffer.get(self.seen..).unwrap_or_default();
        let Some(at) = find(tail, &self.mark).map(|at| at + self.seen) else {
            // A mark may have begun at the end.
            self.seen = self.buffer.len().saturating_sub(self.mark.len() - 1).max(self.seen);
            self.forget();
            return None;
        };
        let begin = at + self.mark.len();
        let after = self.buffer.get(begin..).unwrap_or_default();
        let Some(length) = after.iter().position(|byte| *byte == b'\n') else {
            self.seen = at;
            self.forget();
            return None;
        };
        let word = String::from_utf8_lossy(after.get(..length).unwrap_or_default()).trim_end().to_owned();
        self.buffer.drain(at..begin + length + 1);
        self.seen = at;
        Some(match word.strip_prefix("start") {
            Some(pid) => Word::Start(pid.trim().parse().ok()),
            None => Word::Other(word),
        })
    }

    fn forget(&mut self) {
        let excess = self.seen.saturating_sub(KEPT);
        self.buffer.drain(..excess);
        self.seen -= excess;
        // A mark without an end is no mark of ours.
        if self.buffer.len() > 4 * KEPT {
            self.seen = self.buffer.len();
        }
    }

    /// What follows the last word.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        self.buffer.split_off(self.seen.min(self.buffer.len()))
    }

    /// The end of the noise, as a person may read it.
    pub(crate) fn noise(&self) -> String {
        let text = String::from_utf8_lossy(&self.buffer);
        text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { ' ' } else { c }).collect()
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All words, and the rest after the start.
    fn read(pieces: &[&[u8]]) -> (Vec<String>, Option<Vec<u8>>) {
        let (mut head, mut words) = (Head::new("cc"), Vec::new());
        let mut rest: Option<Vec<u8>> = None;
        for piece in pieces {
            if let Some(rest) = &mut rest {
                rest.extend_from_slice(piece);
                continue;
            }
            let mut word = head.push(piece);
            while let Some(found) = word {
                match found {
                    Word::Other(other) => words.push(other),
                    Word::Start(_) => {
                        rest = Some(head.rest());
                        break;
                    }
                }
                word = head.push(b"");
            }
        }
        (words, rest)
    }

    #[test]
    fn words_are_found_in_noise_and_the_rest_is_left_whole() {
        assert_eq!(read(&[b"motd\ncc:start\nabc"]), (vec![], Some(b"abc".to_vec())));
        assert_eq!(read(&[b"no end of linecc:start\n\ncc:x\n"]), (vec![], Some(b"\ncc:x\n".to_vec())));
        assert_eq!(
            read(&[b"cc:need\nnoise\ncc:good\ncc:start\r\n"]),
            (vec!["need".into(), "good".into()], Some(vec![]))
        );
        assert_eq!(read(&[b"c", b"c:", b"sta", b"rt", b"\nX"]), (vec![], Some(b"X".to_vec())));
        assert_eq!(Head::new("cc").push(b"cc:start 123\n"), Some(Word::Start(Some(123))));
        assert_eq!(read(&[b"ccc:start\n"]), (vec![], Some(vec![])));
        assert_eq!(read(&[b"cc start\n"]), (vec![], None));
    }

    #[test]
    fn noise_without_end_takes_no_memory_and_its_end_is_kept() {
        let mut head = Head::new("cc");
        for number in 0..100_000 {
            assert_eq!(head.push(format!("line {number} cc\x1b[31m\n").as_bytes()), None);
        }
        assert!(head.buffer.len() < 3 * KEPT);
        assert!(head.noise().ends_with("line 99999 cc [31m\n"));
        assert_eq!(head.push(b"cc:start\n"), Some(Word::Start(None)));
        let mut head = Head::new("cc");
        for _ in 0..1000 {
            head.push(b"cc:a word that never ends, which is no word of ours ");
        }
        assert!(head.buffer.len() < 10 * KEPT);
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_the_network_cuts(
            noise in "[a-c:\\n]{0,30}", body in "[a-c:\\n]{0,30}", cuts in prop::collection::vec(0usize..80, 0..6),
        ) {
            let text = format!("{noise}\nzz:need\n{noise}zz:start\n{body}").replace("zz", "cc").into_bytes();
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
            prop_assert_eq!(read(&pieces), read(&[&text]));
        }
    }
}
