//! From the events of the YAML reader to the tree: variables put in, aliases and `<<` followed, limits kept.

use std::collections::HashMap;

use serde_yaml::granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, options};

use super::{Entry, Kind, Node, Scalar};
use crate::faults::{Faults, quoted};
use crate::mistake::Place;
use crate::variables::{self, Expanded};

/// How deep lists and maps may lie within each other; the form needs six.
const MAX_DEPTH: usize = 32;

/// How many parts may be copies made by aliases.
const MAX_COPIES: usize = 100_000;

/// Reads the one document of a text. Nothing when it cannot be read as YAML or has no content, which is among the faults then.
pub(crate) fn compose(
    text: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
    faults: &mut Faults<'_>,
) -> Option<Node> {
    let options = options! { emit_unresolved_aliases: true, flow_nesting_limit: 2 * MAX_DEPTH, block_nesting_limit: 2 * MAX_DEPTH };
    let parser = Parser::new_from_str_with_options(text, options);
    let mut composer = Composer { parser, text, lookup, faults, anchors: HashMap::new(), copies: 0 };
    composer.document()
}

struct Composer<'t, 'f, 's> {
    parser: Parser<'t, StrInput<'t>>,
    text: &'t str,
    lookup: &'f dyn Fn(&str) -> Option<String>,
    faults: &'f mut Faults<'s>,
    /// What has an anchor, with its size.
    anchors: HashMap<usize, (Node, usize)>,
    copies: usize,
}

impl<'t> Composer<'t, '_, '_> {
    fn document(&mut self) -> Option<Node> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::DocumentStart(..) if root.is_some() => {
                    self.faults.add(
                        place(&span),
                        "a second document begins here",
                        "an inventory is one document: remove this line, or what is not part of it",
                    );
                    break;
                }
                Event::StreamEnd => break,
                event if event.is_node() => root = Some(self.node(event, &span, 0)?),
                _ => {}
            }
        }
        let root = root.filter(|node| !node.is_null());
        if root.is_none() {
            self.faults.add(
                Place::START,
                "the inventory is empty",
                "`clusterctl init` asks a few questions and writes one",
            );
        }
        root
    }

    /// The next event. Nothing behind a mistake that ends the reading.
    fn next(&mut self) -> Option<(Event<'t>, Span)> {
        match self.parser.next_event()? {
            Ok(event) => Some(event),
            Err(error) => {
                self.syntax(&error);
                None
            }
        }
    }

    fn syntax(&mut self, error: &ScanError) {
        let mark = error.marker();
        let place = Place { line: mark.line(), column: mark.col() + 1 };
        let line = self.text.split('\n').nth(place.line.saturating_sub(1)).unwrap_or_default();
        let space: &str = line.get(..line.len() - line.trim_start().len()).unwrap_or_default();
        let write = if space.contains('\t') {
            "indent with spaces: YAML takes no tabs there"
        } else if line.contains('{') && line.contains("{{") {
            "`{{` has no meaning here; variables are written `${NAME}`"
        } else if has_bare_range(line) {
            "a range within braces stands in quotes, like `{name: \"a[01:20]\"}`"
        } else {
            "look for a missing quote, bracket, comma or colon here or just before, and at the indentation"
        };
        self.faults.add(place, format!("this is no YAML: {}", error.kind()), write);
    }

    /// A node that begins with an event.
    fn node(&mut self, event: Event<'t>, span: &Span, depth: usize) -> Option<Node> {
        let place = place(span);
        if depth > MAX_DEPTH {
            self.faults.add(
                place,
                "lists and maps lie too deep within each other here",
                "no part of an inventory lies deeper than six levels",
            );
            return None;
        }
        let is_text = self.tag(&event, span);
        let anchor = event.anchor_id();
        let kind = match event {
            Event::Scalar(value, style, ..) => {
                self.scalar(&value, style == ScalarStyle::Plain && !is_text, span)
            }
            Event::SequenceStart(..) => self.list(depth)?,
            Event::MappingStart(..) => self.map(depth)?,
            Event::Alias(id) => return self.alias(id, place),
            Event::UnresolvedAlias(name) => {
                let message = format!("nothing before this has the anchor `&{name}`");
                self.faults.add(place, message, "quote a value that begins with `*`");
                Kind::Broken
            }
            _ => return None,
        };
        let node = Node { place, kind };
        if let Some(id) = anchor.filter(|id| *id > 0) {
            self.anchors.insert(id, (node.clone(), node.size()));
        }
        Some(node)
    }

    /// Whether a tag says that this is a text. Other tags of YAML's own say nothing that is not known.
    fn tag(&mut self, event: &Event<'t>, span: &Span) -> bool {
        let Some(tag) = event.tag() else { return false };
        match tag.core_suffix() {
            Some("str") => return true,
            Some("int" | "float" | "bool" | "null" | "map" | "seq") => return false,
            _ => {}
        }
        let at = span.tag_span().map_or_else(|| place(span), |span| place(&span));
        let message = format!("the tag {} means nothing in an inventory", quoted(&tag.original()));
        self.faults.add(at, message, "remove it, or quote a text that begins with `!`");
        false
    }

    fn scalar(&mut self, written: &str, plain: bool, span: &Span) -> Kind {
        let raw = span.slice(self.text).unwrap_or_default();
        let inset = if raw == written {
            Some(0)
        } else {
            (raw.get(1..raw.len().saturating_sub(1)) == Some(written)).then_some(1)
        };
        match variables::expand(written, self.lookup) {
            Ok(Expanded { text, has_variable }) => {
                Kind::Scalar(Scalar { text, written: written.to_owned(), has_variable, inset, plain })
            }
            Err(wrong) => {
                let mut at = place(span);
                at.column += inset.map_or(0, |inset| inset + wrong.at);
                self.faults.add(at, wrong.message, wrong.write);
                Kind::Broken
            }
        }
    }

    fn list(&mut self, depth: usize) -> Option<Kind> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Some(Kind::List(items)),
                (event, span) if event.is_node() => items.push(self.node(event, &span, depth + 1)?),
                _ => {}
            }
        }
    }

    fn map(&mut self, depth: usize) -> Option<Kind> {
        let (mut entries, mut merged) = (Vec::new(), Vec::new());
        let mut places: HashMap<String, Place> = HashMap::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                break;
            }
            if !event.is_node() {
                continue;
            }
            let (key, plain) = match &event {
                Event::Scalar(key, style, ..) => {
                    (Some(key.clone().into_owned()), *style == ScalarStyle::Plain)
                }
                _ => (None, false),
            };
            let key_place = place(&span);
            if key.is_none() {
                self.faults.add(
                    key_place,
                    "a key has to be a text",
                    "write `key: value`; quote a text that begins with `[`, `{` or `*`",
                );
                self.node(event, &span, depth + 1)?;
            }
            let mut value = self.following(depth)?;
            if value.is_null() {
                // It stands nowhere.
                value.place = key_place;
            }
            match key {
                Some(key) if plain && key == "<<" => merged.push(Entry { key, place: key_place, value }),
                Some(key) => match places.get(&key) {
                    Some(first) => {
                        let message = format!(
                            "{} stands here a second time, first in line {}",
                            quoted(&key),
                            first.line
                        );
                        self.faults.add(key_place, message, "keep one of the two");
                    }
                    None => {
                        places.insert(key.clone(), key_place);
                        entries.push(Entry { key, place: key_place, value });
                    }
                },
                None => {}
            }
        }
        for merge in merged {
            self.merge(merge, &mut entries, &mut places);
        }
        Some(Kind::Map(entries))
    }

    /// The next node.
    fn following(&mut self, depth: usize) -> Option<Node> {
        loop {
            let (event, span) = self.next()?;
            if event.is_node() {
                return self.node(event, &span, depth + 1);
            }
        }
    }

    /// `<<: *defaults`: what is not written in the map itself comes from another; of several, from the first that has it.
    fn merge(&mut self, merge: Entry, entries: &mut Vec<Entry>, places: &mut HashMap<String, Place>) {
        let maps = match merge.value.kind {
            Kind::List(items) => items,
            _ => vec![merge.value],
        };
        for map in maps {
            match map.kind {
                Kind::Map(others) => {
                    for other in others {
                        if !places.contains_key(&other.key) {
                            places.insert(other.key.clone(), other.place);
                            entries.push(other);
                        }
                    }
                }
                Kind::Broken => {}
                _ => self.faults.add(
                    merge.place,
                    "`<<` takes in maps alone",
                    "write `<<: *anchor`, and `&anchor` at a map that stands before",
                ),
            }
        }
    }

    fn alias(&mut self, id: usize, place: Place) -> Option<Node> {
        let Some((node, size)) = self.anchors.get(&id) else {
            self.faults.add(
                place,
                "this alias stands within what it stands for",
                "an alias stands for what is complete before it",
            );
            return Some(Node { place, kind: Kind::Broken });
        };
        self.copies += size;
        if self.copies > MAX_COPIES {
            self.faults.add(
                place,
                "aliases make too much of the inventory",
                "ranges like `a[01:20]` describe many hosts in one entry",
            );
            return None;
        }
        let mut kind = node.kind.clone();
        if let Kind::Scalar(scalar) = &mut kind {
            scalar.inset = None;
        }
        Some(Node { place, kind })
    }
}

/// Whether a line has a range like `a[01:20]` without quotes, which YAML takes for a list within braces.
fn has_bare_range(line: &str) -> bool {
    line.match_indices('[').any(|(at, _)| {
        let inside =
            line.get(at + 1..).and_then(|rest| rest.split_once(']')).map_or("", |(inside, _)| inside);
        let is_quoted = line.get(..at).is_some_and(|before| before.matches(['"', '\'']).count() % 2 == 1);
        let is_range = inside.contains(':') && inside.chars().all(|c| c.is_ascii_digit() || c == ':');
        is_range && !is_quoted
    })
}

fn place(span: &Span) -> Place {
    Place { line: span.start.line().max(1), column: span.start.col() + 1 }
}
