//! One option: what it may be, what stands in it, and what is wrong with that.

use api::Secret;
use regex::{Regex, RegexBuilder};
use serde_json::{Number, Value};

/// A pattern that compiles to more than this is left to the server.
const PATTERN_BYTES: usize = 256 << 10;
/// Up to so many values are shown beside each other; more are chosen from a list.
pub(crate) const FEW: usize = 4;

/// How an option is filled in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// Yes or no.
    Check,
    /// One of these.
    Choice(Vec<Value>),
    /// A number without a fraction.
    Integer,
    /// Any number.
    Number,
    /// A line of text.
    Text(Hint),
    /// A text of several lines, for the editor.
    Lines,
    /// A text that is not shown.
    Secret,
    /// Anything else, as YAML in the editor.
    Yaml,
}

/// What a text means, by the schema's `media`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hint {
    Plain,
    /// The name of a region of the cluster.
    Region,
    /// Constraints as JSON in a text.
    Constraints,
    /// The name of a service account.
    Account,
    /// The name of a stored secret.
    SecretName,
}

impl Hint {
    /// What to write there.
    pub(crate) fn says(self) -> Option<&'static str> {
        Some(match self {
            Self::Plain => return None,
            Self::Region => "the name of a region; enter lists those of the nodes",
            Self::Constraints => r#"constraints as JSON: [["@zone", "GROUP_BY", "3"]]"#,
            Self::Account => "the name of a service account",
            Self::SecretName => "the name of a stored secret",
        })
    }
}

/// What the user put in the place of the default.
#[derive(Clone, Debug, PartialEq)]
enum Set {
    Value(Value),
    Text(String),
    Secret(Secret),
    /// A text from the editor that is no YAML, and why.
    Broken(String, String),
}

/// One option.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    /// The names that lead to it.
    pub(crate) path: Vec<String>,
    pub(crate) about: String,
    /// How many groups it is in, below its section.
    pub(crate) depth: usize,
    pub(crate) kind: Kind,
    pub(crate) default: Option<Value>,
    pub(crate) required: bool,
    rules: Rules,
    set: Option<Set>,
}

#[derive(Clone, Debug, Default)]
struct Rules {
    types: Vec<String>,
    values: Option<Vec<Value>>,
    minimum: Option<(f64, bool)>,
    maximum: Option<(f64, bool)>,
    lengths: (Option<u64>, Option<u64>),
    items: (Option<u64>, Option<u64>),
    pattern: Option<(String, Option<Regex>)>,
}

impl Rules {
    fn of(schema: &Value) -> Self {
        let whole = |key: &str| schema.get(key).and_then(Value::as_u64);
        // Draft 4 has a switch beside the limit, later drafts a limit of its own.
        let limit = |key: &str, beside: &str| match (schema.get(key), schema.get(beside)) {
            (_, Some(Value::Number(n))) => n.as_f64().map(|n| (n, true)),
            (Some(Value::Number(n)), other) => n.as_f64().map(|n| (n, other == Some(&Value::Bool(true)))),
            _ => None,
        };
        let types = match schema.get("type") {
            Some(Value::String(one)) => vec![one.clone()],
            Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        Self {
            types,
            values: schema.get("enum").and_then(Value::as_array).filter(|all| !all.is_empty()).cloned(),
            minimum: limit("minimum", "exclusiveMinimum"),
            maximum: limit("maximum", "exclusiveMaximum"),
            lengths: (whole("minLength"), whole("maxLength")),
            items: (whole("minItems"), whole("maxItems")),
            pattern: schema.get("pattern").and_then(Value::as_str).map(|pattern| {
                // One of another dialect is left to the server.
                let compiled = RegexBuilder::new(pattern).size_limit(PATTERN_BYTES).build().ok();
                (pattern.to_owned(), compiled)
            }),
        }
    }

    fn fault(&self, value: &Value) -> Option<String> {
        if !self.types.is_empty() && !self.types.iter().any(|kind| is(value, kind)) {
            return Some(self.types.iter().map(|kind| called(kind)).collect::<Vec<_>>().join(" or "));
        }
        if let Some(values) = &self.values
            && !values.iter().any(|one| same(one, value))
        {
            let names: Vec<String> = values.iter().take(6).map(shown).collect();
            let more = if values.len() > names.len() { ", …" } else { "" };
            return Some(format!("one of {}{more}", names.join(", ")));
        }
        if let Some(number) = value.as_f64() {
            if let Some((least, beyond)) = self.minimum
                && (number < least || (beyond && number <= least))
            {
                return Some(format!("{} {least}", if beyond { "more than" } else { "at least" }));
            }
            if let Some((most, beyond)) = self.maximum
                && (number > most || (beyond && number >= most))
            {
                return Some(format!("{} {most}", if beyond { "less than" } else { "at most" }));
            }
        }
        let (count, (least, most), what) = match value {
            Value::String(text) => (text.chars().count(), self.lengths, "characters"),
            Value::Array(items) => (items.len(), self.items, "entries"),
            _ => (0, (None, None), ""),
        };
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        if let Some(least) = least.filter(|least| count < *least) {
            return Some(format!("at least {least} {what}"));
        }
        if let Some(most) = most.filter(|most| count > *most) {
            return Some(format!("at most {most} {what}"));
        }
        if let (Some((pattern, Some(compiled))), Some(text)) = (&self.pattern, value.as_str())
            && !compiled.is_match(text)
        {
            return Some(format!("has to match {pattern}"));
        }
        None
    }

    fn limits(&self) -> Option<String> {
        let word = |(limit, beyond): (f64, bool), plain: &str, strict: &str| {
            format!("{} {limit}", if beyond { strict } else { plain })
        };
        let parts: Vec<String> = [
            self.minimum.map(|limit| word(limit, "at least", "more than")),
            self.maximum.map(|limit| word(limit, "at most", "less than")),
            self.lengths.0.map(|least| format!("at least {least} characters")),
            self.lengths.1.map(|most| format!("at most {most} characters")),
        ]
        .into_iter()
        .flatten()
        .collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

fn is(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => match value {
            Value::Number(number) => number.as_f64().is_some_and(|number| number.fract() == 0.0),
            _ => false,
        },
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        // A type that nobody knows forbids nothing here.
        _ => true,
    }
}

fn called(kind: &str) -> &str {
    match kind {
        "null" => "nothing (null)",
        "boolean" => "true or false",
        "integer" => "a whole number",
        "number" => "a number",
        "string" => "a text",
        "array" => "a list",
        "object" => "names with values",
        other => other,
    }
}

/// Whether two values are the same to a schema: 1 and 1.0 are.
fn same(a: &Value, b: &Value) -> bool {
    a == b || (a.is_number() && b.is_number() && a.as_f64() == b.as_f64())
}

/// A value as it stands in a field.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Where the last so many characters of a text begin.
fn before(text: &str, back: usize) -> usize {
    if back == 0 { text.len() } else { text.char_indices().rev().nth(back - 1).map_or(0, |(at, _)| at) }
}

/// Puts a character before the last so many of a text.
pub(crate) fn put_before(text: &mut String, back: usize, c: char) {
    text.insert(before(text, back), c);
}

/// Takes away the character before the last so many of a text.
pub(crate) fn take_before(text: &mut String, back: usize) {
    let end = before(text, back);
    if let Some((at, _)) = text[..end].char_indices().next_back() {
        text.remove(at);
    }
}

/// The name in `{"secret": "<name>"}`, which stands for a value that is stored.
fn reference(value: &Value) -> Option<&str> {
    value.as_object().filter(|map| map.len() == 1)?.get("secret")?.as_str()
}

impl Field {
    pub(crate) fn new(
        schema: &Value,
        path: Vec<String>,
        depth: usize,
        default: Option<Value>,
        required: bool,
    ) -> Self {
        let rules = Rules::of(schema);
        let media = schema
            .get("media")
            .map(|media| media.get("type").unwrap_or(media))
            .and_then(Value::as_str)
            .unwrap_or_default();
        let kind = match (&rules.values, rules.types.as_slice()) {
            _ if schema.get("secret") == Some(&Value::Bool(true)) => Kind::Secret,
            (Some(values), _) => Kind::Choice(values.clone()),
            (None, [one]) => match one.as_str() {
                "boolean" => Kind::Check,
                "integer" => Kind::Integer,
                "number" => Kind::Number,
                "string" if media.contains("yaml") => Kind::Lines,
                "string" if default.as_ref().is_some_and(|default| shown(default).contains('\n')) => {
                    Kind::Lines
                }
                "string" if media.contains("zone-constraints") => Kind::Text(Hint::Constraints),
                "string" if media.contains("region") => Kind::Text(Hint::Region),
                "string" if media.contains("service-account") => Kind::Text(Hint::Account),
                "string" if media.contains("secret") => Kind::Text(Hint::SecretName),
                "string" => Kind::Text(Hint::Plain),
                _ => Kind::Yaml,
            },
            _ => Kind::Yaml,
        };
        let about = schema.get("description").and_then(Value::as_str).unwrap_or_default().to_owned();
        Self { path, about, depth, kind, default, required, rules, set: None }
    }

    /// Its own name.
    pub(crate) fn name(&self) -> &str {
        self.path.last().map(String::as_str).unwrap_or_default()
    }

    /// What stands in it: what the user put there, else its default, else nothing.
    pub(crate) fn value(&self) -> Option<Value> {
        match &self.set {
            None => self.default.clone(),
            Some(Set::Value(value)) => Some(value.clone()),
            Some(Set::Secret(secret)) => self.worth(secret.expose()),
            Some(Set::Text(text)) => self.worth(text),
            Some(Set::Broken(text, _)) => Some(Value::String(text.clone())),
        }
    }

    /// A text as the value that it means here. What means none stays a text, and is refused as one.
    fn worth(&self, text: &str) -> Option<Value> {
        if text.is_empty() && self.default.is_none() {
            return None;
        }
        let number = || serde_json::from_str::<Number>(text.trim()).map(Value::Number).ok();
        match self.kind {
            Kind::Integer | Kind::Number => number(),
            _ => None,
        }
        .or_else(|| Some(Value::String(text.to_owned())))
    }

    /// What differs from the default.
    pub(crate) fn kept(&self) -> Option<Value> {
        self.set.as_ref()?;
        self.value().filter(|value| Some(value) != self.default.as_ref())
    }

    /// Whether what stands in it is not to be seen.
    pub(crate) fn hidden(&self) -> bool {
        self.kind == Kind::Secret
    }

    /// What differs from the default, for eyes.
    pub(crate) fn kept_for_eyes(&self) -> Option<Value> {
        let kept = self.kept()?;
        Some(if self.hidden() && reference(&kept).is_none() {
            Value::String("••••••".into())
        } else {
            kept
        })
    }

    /// As it stands on the screen.
    pub(crate) fn text(&self) -> String {
        if self.hidden() {
            return match &self.set {
                Some(Set::Value(value)) => {
                    reference(value).map(|name| format!("stored as {name}")).unwrap_or_default()
                }
                Some(Set::Secret(secret)) => "•".repeat(secret.expose().chars().count().min(24)),
                _ => match self.default.as_ref().map(shown) {
                    Some(default) if !default.is_empty() => "••••".into(),
                    _ => String::new(),
                },
            };
        }
        match &self.set {
            Some(Set::Text(text) | Set::Broken(text, _)) => text.clone(),
            _ => self.value().as_ref().map(shown).unwrap_or_default(),
        }
    }

    /// Whether letters go into it.
    pub(crate) fn types(&self) -> bool {
        matches!(self.kind, Kind::Integer | Kind::Number | Kind::Text(_) | Kind::Secret)
    }

    fn set_text(&mut self, text: String) {
        self.set = Some(if self.hidden() { Set::Secret(text.into()) } else { Set::Text(text) });
    }

    fn typed(&self) -> String {
        match (&self.set, self.hidden()) {
            (Some(Set::Secret(secret)), _) => secret.expose().to_owned(),
            // What is stored, or the default, cannot be seen, and so not be continued.
            (_, true) => String::new(),
            _ => self.text(),
        }
    }

    /// How many characters can be gone over.
    pub(crate) fn length(&self) -> usize {
        self.typed().chars().count()
    }

    /// Types a letter before the last so many.
    pub(crate) fn push(&mut self, c: char, back: usize) {
        let mut text = self.typed();
        put_before(&mut text, back, c);
        self.set_text(text);
    }

    /// Takes away the letter before the last so many.
    pub(crate) fn pop(&mut self, back: usize) {
        let mut text = self.typed();
        take_before(&mut text, back);
        self.set_text(text);
    }

    pub(crate) fn empty(&mut self) {
        self.set_text(String::new());
    }

    /// Back to the default.
    pub(crate) fn reset(&mut self) {
        self.set = None;
    }

    /// Whether it is as it was before anybody touched it.
    pub(crate) fn is_reset(&self) -> bool {
        self.set.is_none()
    }

    /// The other answer, or the next choice.
    pub(crate) fn turn(&mut self, forward: bool) {
        let value = self.value();
        match &self.kind {
            Kind::Check => {
                self.set = Some(Set::Value(Value::Bool(value != Some(Value::Bool(true)))));
            }
            Kind::Choice(values) if !values.is_empty() => {
                let at = value.and_then(|value| values.iter().position(|one| same(one, &value)));
                let next = match (at, forward) {
                    (None, true) => 0,
                    (None, false) => values.len() - 1,
                    (Some(at), true) => (at + 1) % values.len(),
                    (Some(at), false) => (at + values.len() - 1) % values.len(),
                };
                self.set = values.get(next).cloned().map(Set::Value);
            }
            _ => {}
        }
    }

    /// Puts a value there.
    pub(crate) fn put(&mut self, value: Value) {
        self.set = Some(match value {
            Value::String(text) if self.hidden() => Set::Secret(text.into()),
            // Objects are merged into their defaults, so that is what has to be shown.
            value => Set::Value(match &self.default {
                Some(default) if value.is_object() => super::merge(default.clone(), value),
                _ => value,
            }),
        });
    }

    /// What goes to the editor, and by which ending.
    pub(crate) fn for_editor(&self) -> Option<(String, String)> {
        match self.kind {
            Kind::Lines => Some((self.text(), ".txt".into())),
            Kind::Yaml => {
                let text = match (&self.set, self.value()) {
                    (Some(Set::Broken(text, _)), _) => text.clone(),
                    (_, Some(value)) => super::to_yaml(&value),
                    (_, None) => String::new(),
                };
                Some((text, ".yaml".into()))
            }
            _ => None,
        }
    }

    /// What came back from there.
    pub(crate) fn edited(&mut self, text: String) {
        if self.kind == Kind::Lines {
            self.set = Some(Set::Text(text));
        } else if text.trim().is_empty() {
            self.set = None;
        } else {
            match super::from_yaml(&text) {
                Ok(value) => self.put(value),
                Err(why) => self.set = Some(Set::Broken(text, why)),
            }
        }
    }

    /// What is wrong with what stands in it. Never says the value itself.
    pub(crate) fn fault(&self) -> Option<String> {
        if let Some(Set::Broken(_, why)) = &self.set {
            return Some(format!("no YAML: {why}"));
        }
        let value = self.value()?;
        if self.hidden() && reference(&value).is_some() {
            return None;
        }
        if self.kind == Kind::Text(Hint::Constraints)
            && let Some(text) = value.as_str().filter(|text| !text.trim().is_empty())
            && !serde_json::from_str::<Value>(text).is_ok_and(|value| value.is_array())
        {
            return Some(r#"a list as JSON, like [["@zone", "GROUP_BY"]]"#.into());
        }
        self.rules.fault(&value)
    }

    /// What there is to know besides its description: default, limits, pattern, values.
    pub(crate) fn facts(&self) -> Vec<String> {
        let mut facts = Vec::new();
        match &self.default {
            Some(_) if self.hidden() => {}
            Some(Value::String(text)) if text.is_empty() => facts.push("empty by default".into()),
            Some(default) => facts.push(format!("default {}", crate::text::fit(&shown(default), 40))),
            None if self.required => facts.push("required".into()),
            None => facts.push("no default".into()),
        }
        facts.extend(self.rules.limits());
        facts.extend(self.rules.pattern.as_ref().map(|(pattern, _)| format!("matches {pattern}")));
        if let Kind::Text(hint) = self.kind {
            facts.extend(hint.says().map(str::to_owned));
        }
        if self.hidden() {
            facts.push("secret: kept by the masters, shown nowhere".into());
        }
        facts
    }
}
