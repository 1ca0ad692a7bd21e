//! On which line of a document something stands.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_yaml::Spanned;

/// What a value holds, each part with its line.
enum Node {
    Leaf,
    Map(Vec<(String, u64, Node)>),
    List(Vec<(u64, Node)>),
}

/// The line of what a path like `/container/volumes(1)/mode` names, from 1; of the whole for an empty path. JSON is YAML
/// here.
pub(super) fn line(text: &str, path: &str) -> Option<u64> {
    let root: Spanned<Node> = super::yaml(text).ok()?;
    let (mut line, mut node) = (root.referenced.line(), &root.value);
    for part in parts(path) {
        (line, node) = match (node, part) {
            (Node::Map(entries), Part::Key(key)) => {
                entries.iter().find(|(name, ..)| name == key).map(|(_, line, node)| (*line, node))?
            }
            (Node::List(items), Part::Index(at)) => items.get(at).map(|(line, node)| (*line, node))?,
            _ => return None,
        };
    }
    Some(line)
}

enum Part<'a> {
    Key(&'a str),
    Index(usize),
}

/// Marathon writes `/apps(0)/id`.
fn parts(path: &str) -> impl Iterator<Item = Part<'_>> {
    path.split('/').flat_map(|element| {
        let mut pieces = element.split('(');
        let key = pieces.next().filter(|key| !key.is_empty()).map(Part::Key);
        let index = |piece: &str| piece.trim_end_matches(')').parse().ok().map(Part::Index);
        key.into_iter().chain(pieces.filter_map(index).collect::<Vec<_>>())
    })
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Outline)
    }
}

struct Outline;

impl<'de> Visitor<'de> for Outline {
    type Value = Node;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("anything")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_str<E>(self, _: &str) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            entries.push((key.value, key.referenced.line(), map.next_value()?));
        }
        Ok(Node::Map(entries))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element::<Spanned<Node>>()? {
            items.push((item.referenced.line(), item.value));
        }
        Ok(Node::List(items))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<Node, D::Error> {
        IgnoredAny::deserialize(inner).map(|_| Node::Leaf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_document_has_its_line() {
        let yaml = "id: /web\n\nenv:\n  A: x\ncontainer:\n  volumes:\n  - {mode: RW}\n  - hostPath: /\n    mode: RX\n";
        let json = "{\n  \"id\": \"/web\",\n  \"apps\": [\n    {\"id\": 1},\n    {\n      \"cpus\": true\n    }\n  ]\n}";
        for (text, path, expected) in [
            (yaml, "", Some(1)),
            (yaml, "/id", Some(1)),
            (yaml, "/env", Some(3)),
            (yaml, "/env/A", Some(4)),
            (yaml, "/container/volumes(1)/mode", Some(9)),
            (yaml, "/container/volumes(2)", None),
            (yaml, "/cpus", None),
            (json, "/apps(1)/cpus", Some(6)),
            (json, "/apps(0)", Some(4)),
            ("- id: a\n- id: b\n", "(1)/id", Some(2)),
            ("x: [", "/x", None),
        ] {
            assert_eq!(line(text, path), expected, "{path}");
        }
    }
}
