//! Patterns of host names, as both `known_hosts` and `ssh_config` have them: `*`, `?`, and `!` before one that must not
//! match.

/// Some patterns, of which one must match and none that is negated may.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Patterns(Vec<(bool, String)>);

impl Patterns {
    /// Takes patterns as they stand. Names are compared in lower case.
    pub(crate) fn new<'a>(patterns: impl Iterator<Item = &'a str>) -> Self {
        let split = |text: &'a str| match text.strip_prefix('!') {
            Some(rest) => (true, rest.to_ascii_lowercase()),
            None => (false, text.to_ascii_lowercase()),
        };
        Self(patterns.filter(|text| !text.is_empty()).map(split).collect())
    }

    /// Whether a name, in lower case, is meant.
    pub(crate) fn matches(&self, name: &str) -> bool {
        let mut any = false;
        for (negated, pattern) in &self.0 {
            if is_match(pattern.as_bytes(), name.as_bytes()) {
                if *negated {
                    return false;
                }
                any = true;
            }
        }
        any
    }
}

/// Linear but for one step back to the last `*`, so no pattern can make it slow.
fn is_match(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut of) = (0, 0);
    let mut star = None;
    while at < name.len() {
        match pattern.get(of) {
            Some(b'*') => {
                star = Some((of, at));
                of += 1;
            }
            Some(byte) if *byte == b'?' || Some(byte) == name.get(at) => {
                at += 1;
                of += 1;
            }
            _ => match star {
                Some((back, from)) => {
                    star = Some((back, from + 1));
                    of = back + 1;
                    at = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern.get(of..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(patterns: &str, name: &str) -> bool {
        Patterns::new(patterns.split(',')).matches(name)
    }

    #[test]
    fn stars_question_marks_and_negation_mean_what_openssh_says() {
        for (patterns, name, expected) in [
            ("a", "a", true),
            ("a", "b", false),
            ("", "", false),
            ("*", "anything", true),
            ("*.example.org", "a.example.org", true),
            ("*.example.org", "example.org", false),
            ("192.0.2.?", "192.0.2.7", true),
            ("192.0.2.?", "192.0.2.17", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("*.org,!evil.org", "good.org", true),
            ("*.org,!evil.org", "evil.org", false),
            ("!evil.org,*.org", "evil.org", false),
            ("!a", "b", false),
            ("HOST", "host", true),
            ("[host]:2222", "[host]:2222", true),
        ] {
            assert_eq!(matches(patterns, name), expected, "{patterns} {name}");
        }
    }

    /// The plain definition, exponential and obvious.
    fn naive(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern, name) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => naive(rest, name) || (!name.is_empty() && naive(pattern, &name[1..])),
            ([b'?', rest @ ..], [_, name @ ..]) => naive(rest, name),
            ([byte, rest @ ..], [first, name @ ..]) => byte == first && naive(rest, name),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_plain_definition(pattern in "[ab*?]{0,8}", name in "[ab]{0,8}") {
            prop_assert_eq!(is_match(pattern.as_bytes(), name.as_bytes()), naive(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
