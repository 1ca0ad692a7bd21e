//! Filters of lists (`tui-design.md` §9): `web|api !canary ~v[0-9]+ status:waiting label:team=shop cpu:>80 age:<1h`.
//!
//! All terms must fit. `a|b` is either, `!x` its opposite, `~x` a regular expression, `field:value` looks into one field, and
//! `field:>value` compares figures. Case does not matter. Rows are looked at in place: nothing is allocated for them.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use regex::{Regex, RegexBuilder};

use crate::text::clean;

/// The longest filter that is read; what is pasted beyond it is left out.
const LONGEST: usize = 500;

/// What a field holds, which says how its value is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Texts.
    Text,
    /// A figure.
    Number,
    /// MiB: `2g`, `512`.
    Mebibytes,
    /// Milliseconds: `30s`, `1h`, `2d`.
    Time,
    /// `key=value`, or a key alone.
    Label,
}

/// The fields that rows of a list have.
pub(crate) type Fields = &'static [(&'static str, Kind)];

/// A row of a list, as a filter sees it.
pub(crate) trait Row {
    /// Whether one of the texts that words are looked for in fits.
    fn any(&self, fits: &dyn Fn(&str) -> bool) -> bool;
    /// Whether one of the texts in a field fits.
    fn text(&self, field: &str, fits: &dyn Fn(&str) -> bool) -> bool;
    /// The figure in a field.
    fn number(&self, field: &str) -> Option<f64>;
    /// The value of a label.
    fn label(&self, key: &str) -> Option<&str>;
}

/// Something that is looked for in texts.
#[derive(Clone, Debug)]
pub(crate) enum Needle {
    /// ASCII in lower case: compared byte by byte.
    Word(Vec<u8>),
    /// What else there is.
    Pattern(Regex),
}

impl Needle {
    /// A word, or a regular expression behind a `~`; the error says what is wrong with that.
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        match text.strip_prefix('~') {
            Some(pattern) => Self::pattern(pattern),
            None => Self::word(text),
        }
    }

    fn word(text: &str) -> Result<Self, String> {
        if text.is_ascii() {
            Ok(Self::Word(text.to_ascii_lowercase().into_bytes()))
        } else {
            Self::pattern(&regex::escape(text))
        }
    }

    fn pattern(pattern: &str) -> Result<Self, String> {
        RegexBuilder::new(pattern)
            .case_insensitive(true)
            .size_limit(1 << 20)
            .build()
            .map(Self::Pattern)
            .map_err(|error| {
                // The last line says it; those before draw the place.
                let text = error.to_string();
                let last = text.lines().last().unwrap_or_default();
                format!("~{pattern}: {}", last.strip_prefix("error: ").unwrap_or(last))
            })
    }

    pub(crate) fn is_in(&self, text: &str) -> bool {
        match self {
            Self::Word(word) => find(text.as_bytes(), word, 0).is_some(),
            Self::Pattern(pattern) => pattern.is_match(text),
        }
    }

    /// Where it stands in a text, from a byte on; never empty.
    pub(crate) fn next(&self, text: &str, from: usize) -> Option<std::ops::Range<usize>> {
        match self {
            Self::Word(word) if word.is_empty() => None,
            Self::Word(word) => find(text.as_bytes(), word, from).map(|at| at..at + word.len()),
            Self::Pattern(pattern) => {
                let rest = text.get(from..)?;
                pattern
                    .find_iter(rest)
                    .find(|found| !found.is_empty())
                    .map(|m| from + m.start()..from + m.end())
            }
        }
    }
}

/// Where a word in lower case stands in a text of any case.
fn find(text: &[u8], word: &[u8], from: usize) -> Option<usize> {
    let Some((first, rest)) = word.split_first() else { return (from <= text.len()).then_some(from) };
    let last = text.len().checked_sub(word.len())?;
    // Both cases of the first byte: one comparison each, and nothing else where they do not stand.
    let upper = first.to_ascii_uppercase();
    let starts = text.get(from..=last)?;
    let hit = |(at, byte): (usize, &u8)| {
        (*byte == *first || *byte == upper)
            && text[from + at + 1..from + at + word.len()].eq_ignore_ascii_case(rest)
    };
    starts.iter().enumerate().position(|(at, byte)| hit((at, byte))).map(|at| from + at)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Less,
    AtMost,
    Same,
    AtLeast,
    More,
}

#[derive(Clone, Debug)]
enum Test {
    Any(Needle),
    Text(&'static str, Needle),
    Number(&'static str, Comparison, f64),
    /// Key, and what its value is; nothing where the key alone is asked for.
    Label(String, Option<String>),
}

impl Test {
    fn fits(&self, row: &impl Row) -> bool {
        match self {
            Self::Any(needle) => row.any(&|text| needle.is_in(text)),
            Self::Text(field, needle) => row.text(field, &|text| needle.is_in(text)),
            Self::Number(field, comparison, wanted) => {
                row.number(field).is_some_and(|found| match comparison {
                    Comparison::Less => found < *wanted,
                    Comparison::AtMost => found <= *wanted,
                    Comparison::Same => (found - wanted).abs() < 1e-9,
                    Comparison::AtLeast => found >= *wanted,
                    Comparison::More => found > *wanted,
                })
            }
            Self::Label(key, None) => row.label(key).is_some(),
            Self::Label(key, Some(value)) => {
                row.label(key).is_some_and(|found| found.eq_ignore_ascii_case(value))
            }
        }
    }
}

/// One of its tests has to fit, or none.
#[derive(Clone, Debug)]
struct Term {
    not: bool,
    tests: Vec<Test>,
}

/// What rows have to be like.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    terms: Vec<Term>,
    /// What of it could not be read, and is left out.
    pub(crate) fault: Option<String>,
}

impl Filter {
    /// Reads a filter. What cannot be read is left out and said: it may be half typed.
    pub(crate) fn new(text: &str, fields: Fields) -> Self {
        let mut filter = Self::default();
        for word in text.split_whitespace() {
            let (not, word) = match word.strip_prefix('!') {
                Some(rest) => (true, rest),
                None => (false, word),
            };
            match tests(word, fields) {
                Ok(tests) if tests.is_empty() => {}
                Ok(tests) => filter.terms.push(Term { not, tests }),
                Err(fault) => filter.fault = Some(fault),
            }
        }
        filter
    }

    /// Whether everything fits.
    pub(crate) fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    pub(crate) fn fits(&self, row: &impl Row) -> bool {
        self.terms.iter().all(|term| term.tests.iter().any(|test| test.fits(row)) != term.not)
    }
}

/// The tests of one term: alternatives, of which those after a field without one are of the same field.
fn tests(word: &str, fields: Fields) -> Result<Vec<Test>, String> {
    // A regular expression has its own alternatives.
    if word.len() > 1 && word.starts_with('~') {
        return Ok(vec![Test::Any(Needle::new(word)?)]);
    }
    let mut tests = Vec::new();
    let mut field = None;
    for part in word.split('|') {
        let named = part.split_once(':').and_then(|(name, value)| {
            fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|known| (known, value))
        });
        let value = match named {
            Some((known, value)) => {
                field = Some(known);
                value
            }
            None => part,
        };
        if value.is_empty() || value == "~" {
            continue;
        }
        tests.push(match field {
            None => Test::Any(Needle::word(value)?),
            Some((name, Kind::Text)) => Test::Text(name, Needle::new(value)?),
            Some((_, Kind::Label)) => match value.split_once('=') {
                Some((key, value)) => Test::Label(key.to_owned(), Some(value.to_owned())),
                None => Test::Label(value.to_owned(), None),
            },
            Some((name, kind)) => {
                let (comparison, figure) = comparison(value);
                if figure.is_empty() {
                    continue;
                }
                let figure = number(figure, *kind)
                    .ok_or_else(|| format!("{name}:{value}: {} is no {}", figure, what(*kind)))?;
                Test::Number(name, comparison, figure)
            }
        });
    }
    Ok(tests)
}

fn comparison(value: &str) -> (Comparison, &str) {
    for (sign, comparison) in [
        (">=", Comparison::AtLeast),
        ("<=", Comparison::AtMost),
        (">", Comparison::More),
        ("<", Comparison::Less),
        ("=", Comparison::Same),
    ] {
        if let Some(rest) = value.strip_prefix(sign) {
            return (comparison, rest);
        }
    }
    (Comparison::Same, value)
}

fn what(kind: Kind) -> &'static str {
    match kind {
        Kind::Time => "time like 30s, 5m, 1h, 2d",
        Kind::Mebibytes => "amount like 512m, 2g",
        _ => "number",
    }
}

fn number(text: &str, kind: Kind) -> Option<f64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == '%');
    let unit = text[digits.len()..].to_ascii_lowercase();
    let factor = match (kind, unit.as_str()) {
        (Kind::Number, "" | "%") => 1.0,
        (Kind::Mebibytes, "" | "m" | "mb" | "mib") => 1.0,
        (Kind::Mebibytes, "k" | "kb" | "kib") => 1.0 / 1024.0,
        (Kind::Mebibytes, "g" | "gb" | "gib") => 1024.0,
        (Kind::Mebibytes, "t" | "tb" | "tib") => 1024.0 * 1024.0,
        (Kind::Time, "" | "s") => 1000.0,
        (Kind::Time, "m") => 60_000.0,
        (Kind::Time, "h") => 3_600_000.0,
        (Kind::Time, "d") => 86_400_000.0,
        _ => return None,
    };
    let figure: f64 = digits.parse().ok()?;
    figure.is_finite().then_some(figure * factor)
}

/// A filter that is typed and kept: each page has its own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prompt {
    /// What stands in it.
    pub(crate) typed: String,
    /// What that means.
    pub(crate) filter: Filter,
    /// Letters go into it.
    pub(crate) open: bool,
}

impl Prompt {
    /// Takes a key while it is open: whether what it means has changed.
    pub(crate) fn key(&mut self, key: KeyEvent, fields: Fields) -> bool {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Esc => {
                self.open = false;
                self.typed.clear();
            }
            KeyCode::Enter | KeyCode::Down | KeyCode::Up => self.open = false,
            KeyCode::Backspace => {
                self.typed.pop();
            }
            KeyCode::Char('u') if control => self.typed.clear(),
            KeyCode::Char('w') if control => {
                let kept = self.typed.trim_end();
                let kept = kept.rfind(char::is_whitespace).map_or(0, |at| at + 1);
                self.typed.truncate(kept);
            }
            KeyCode::Char(c) if !control && self.typed.len() < LONGEST => self.typed.push(c),
            _ => return false,
        }
        self.read(fields);
        true
    }

    /// Empties it: whether anything stood in it.
    pub(crate) fn clear(&mut self) -> bool {
        let stood = !self.typed.is_empty();
        *self = Self::default();
        stood
    }

    fn read(&mut self, fields: Fields) {
        self.filter = Filter::new(&self.typed, fields);
    }

    /// As a title shows it: while it is typed with a cursor; nothing where there is none.
    pub(crate) fn chip(&self) -> Option<String> {
        let fault =
            self.filter.fault.as_ref().map(|fault| format!(" ({})", clean(fault))).unwrap_or_default();
        match (self.open, self.typed.is_empty()) {
            (true, _) => Some(format!("/{}_{fault}", clean(&self.typed))),
            (false, false) => Some(format!("/{} ×{fault}", clean(&self.typed))),
            (false, true) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FIELDS: Fields = &[
        ("status", Kind::Text),
        ("label", Kind::Label),
        ("cpu", Kind::Number),
        ("mem", Kind::Mebibytes),
        ("age", Kind::Time),
    ];

    struct Sample {
        name: String,
        status: &'static str,
        team: Option<&'static str>,
        cpu: f64,
        age: f64,
    }

    impl Row for Sample {
        fn any(&self, fits: &dyn Fn(&str) -> bool) -> bool {
            fits(&self.name) || fits(self.status)
        }

        fn text(&self, field: &str, fits: &dyn Fn(&str) -> bool) -> bool {
            field == "status" && fits(self.status)
        }

        fn number(&self, field: &str) -> Option<f64> {
            match field {
                "cpu" => Some(self.cpu),
                "mem" => Some(self.cpu * 1024.0),
                "age" => Some(self.age),
                _ => None,
            }
        }

        fn label(&self, key: &str) -> Option<&str> {
            self.team.filter(|_| key == "team")
        }
    }

    fn row() -> Sample {
        Sample {
            name: "/Shop/web-7".into(),
            status: "deploying",
            team: Some("Blue"),
            cpu: 8.0,
            age: 90_000.0,
        }
    }

    #[test]
    fn terms_mean_what_the_design_says() {
        for (text, fits) in [
            ("", true),
            ("shop web", true),
            ("SHOP", true),
            ("shop cart", false),
            ("cart|web", true),
            ("cart|db", false),
            ("!cart", true),
            ("!web", false),
            ("!cart|web", false),
            ("~web-[0-9]$", true),
            ("~cart|web", true),
            ("!~web-[0-9]$", false),
            ("status:deploy", true),
            ("status:wait", false),
            ("status:wait|deploy", true),
            ("STATUS:~^dep", true),
            ("!status:wait", true),
            ("status:wait|label:team=blue", true),
            ("label:team", true),
            ("label:team=blue", true),
            ("label:team=red", false),
            ("label:other", false),
            ("cpu:>7", true),
            ("cpu:>8", false),
            ("cpu:>=8", true),
            ("cpu:<8", false),
            ("cpu:<=8", true),
            ("cpu:8", true),
            ("cpu:=7", false),
            ("cpu:>80%", false),
            ("mem:>7.5g", true),
            ("mem:<1t", true),
            ("age:>1m", true),
            ("age:<1h", true),
            ("age:>2d", false),
            // Half typed: as if it were not there.
            ("!", true),
            ("|", true),
            ("status:", true),
            ("cpu:>", true),
            ("~", true),
            // No field of that name: a word.
            ("other:8080", false),
            ("/shop/web-7", true),
        ] {
            let filter = Filter::new(text, FIELDS);
            assert_eq!(filter.fits(&row()), fits, "{text}");
            assert_eq!(filter.fault, None, "{text}");
        }
        let umlaut = Sample { name: "Größe".into(), ..row() };
        assert!(Filter::new("GRÖSSE|gröẞe|GRÖß", FIELDS).fits(&umlaut));
    }

    #[test]
    fn what_cannot_be_read_is_left_out_and_said() {
        for (text, says) in [
            ("web ~(", "~(: unclosed group"),
            ("cpu:>many", "cpu:>many: many is no number"),
            ("age:<1y", "age:<1y: 1y is no time like 30s, 5m, 1h, 2d"),
            ("mem:>x", "mem:>x: x is no amount like 512m, 2g"),
        ] {
            let filter = Filter::new(text, FIELDS);
            assert_eq!(filter.fault.as_deref(), Some(says));
            assert!(filter.fits(&row()), "{text}");
        }
    }

    #[test]
    fn a_hundred_thousand_rows_are_filtered_as_a_plain_search_does() {
        let rows: Vec<Sample> = (0..100_000)
            .map(|n| Sample {
                name: format!("/group-{}/Service-{n}", n % 97),
                status: if n % 5 == 0 { "waiting" } else { "running" },
                team: (n % 3 == 0).then_some("blue"),
                cpu: f64::from(n % 100),
                age: f64::from(n) * 1000.0,
            })
            .collect();
        let filter =
            Filter::new("service-1|service-2 !99 status:waiting label:team=blue cpu:>=50 age:<1d", FIELDS);
        let found = rows.iter().filter(|row| filter.fits(*row)).count();
        let plain = (0..100_000_u32)
            .filter(|n| {
                let name = format!("/group-{}/service-{n}", n % 97);
                (name.contains("service-1") || name.contains("service-2"))
                    && !name.contains("99")
                    && n % 5 == 0
                    && n % 3 == 0
                    && n % 100 >= 50
                    && *n < 86_400
            })
            .count();
        assert_eq!(found, plain);
        assert!(found > 100, "the sample must have some: {found}");
    }

    #[test]
    fn a_prompt_is_typed_kept_and_cleared() {
        let mut prompt = Prompt { open: true, ..Prompt::default() };
        for c in "web status:wait".chars() {
            assert!(prompt.key(KeyCode::Char(c).into(), FIELDS));
        }
        assert_eq!(prompt.chip().as_deref(), Some("/web status:wait_"));
        prompt.key(KeyEvent::new(KeyCode::Char('w'), KeyModifiers::CONTROL), FIELDS);
        prompt.key(KeyCode::Enter.into(), FIELDS);
        assert_eq!(prompt.chip().as_deref(), Some("/web  ×"));
        assert!(!prompt.open && prompt.filter.fits(&row()));
        assert!(prompt.clear() && !prompt.clear());
        assert_eq!(prompt.chip(), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_a_filter_fail_badly(text in "\\PC{0,40}", parts in prop::collection::vec(
            prop::sample::select(vec!["!", "|", "~", ":", "=", ">", "<=", "status:", "label:", "cpu:", "age:", "(", "[", "\\", "é", "1h", " "]), 0..12)) {
            for text in [text.clone(), parts.concat(), format!("{text}{}", parts.concat())] {
                let filter = Filter::new(&text, FIELDS);
                filter.fits(&row());
                if let Ok(needle) = Needle::new(&text) {
                    let name = "Grösse web (x) [y] \u{1b} é|~";
                    let mut from = 0;
                    while let Some(found) = needle.next(name, from) {
                        prop_assert!(found.start >= from && found.end > found.start);
                        prop_assert!(name.is_char_boundary(found.start) && name.is_char_boundary(found.end));
                        from = found.end;
                    }
                }
            }
        }

        #[test]
        fn a_word_is_found_where_a_plain_search_finds_it(text in "[a-cA-C]{0,12}", word in "[a-cA-C]{1,3}") {
            let needle = Needle::new(&word).unwrap();
            prop_assert_eq!(needle.is_in(&text), text.to_lowercase().contains(&word.to_lowercase()));
        }
    }
}
