//! Mustache for JSON, as packages of the old form are written in it.
//!
//! Strings go in with what JSON escapes escaped and without quotes, since the template has them; within arrays with quotes. Whole
//! numbers have no decimal point, null and what is missing are empty. `{{x}}`, `{{{x}}}` and `{{&x}}` are the same. `{{#asJson}}name{{/asJson}}` is
//! the text of the option `name` as it is.

use serde_json::{Number, Value};

/// How deep sections may be nested.
const DEEPEST: usize = 64;
/// How many parts of a template may be gone through, those in sections as often as they are.
const MOST_STEPS: usize = 1_000_000;
/// How much may come out, in bytes.
const MOST_BYTES: usize = 4 << 20;

/// Why a template cannot be rendered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MustacheError {
    /// It is not written as it has to be.
    #[error("line {line}: {what}")]
    Syntax {
        /// The line in the template, from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// It makes more than a definition can be.
    #[error("the template makes more than {MOST_BYTES} bytes")]
    TooLarge,
    /// Its sections run too often.
    #[error("the template takes more than {MOST_STEPS} steps")]
    TooLong,
}

/// A part of a template.
#[derive(Debug, PartialEq, Eq)]
enum Part<'t> {
    Text(&'t str),
    Value(&'t str),
    Section { name: &'t str, inverted: bool, parts: Vec<Part<'t>>, body: &'t str },
}

/// Renders a template.
///
/// # Errors
/// When it is no template, or makes too much.
pub fn render(template: &str, context: &Value) -> Result<String, MustacheError> {
    let mut parser = Parser { template, at: 0, open: "{{", close: "}}" };
    let (parts, _) = parser.parts(None, 0)?;
    let mut renderer =
        Renderer { root: context, scopes: vec![(context, false)], out: String::new(), steps: 0 };
    renderer.parts(&parts)?;
    Ok(renderer.out)
}

struct Parser<'t> {
    template: &'t str,
    at: usize,
    open: &'t str,
    close: &'t str,
}

impl<'t> Parser<'t> {
    fn wrong<T>(&self, at: usize, what: String) -> Result<T, MustacheError> {
        let line = self.template[..at].matches('\n').count() + 1;
        Err(MustacheError::Syntax { line, what })
    }

    /// The parts up to the end of a section, or of the template; and where that end begins.
    fn parts(
        &mut self,
        section: Option<(&'t str, usize)>,
        depth: usize,
    ) -> Result<(Vec<Part<'t>>, usize), MustacheError> {
        if depth > DEEPEST {
            return self.wrong(self.at, format!("sections are nested deeper than {DEEPEST}"));
        }
        let mut parts = Vec::new();
        loop {
            let rest = &self.template[self.at..];
            let Some(text) = rest.find(self.open) else {
                if let Some((name, at)) = section {
                    return self.wrong(at, format!("the section `{name}` has no end; write {{{{/{name}}}}}"));
                }
                parts.push(Part::Text(rest));
                self.at = self.template.len();
                return Ok((parts, self.at));
            };
            let start = self.at + text;
            let before = &rest[..text];
            let (kind, inner, end) = self.tag(start)?;
            let alone = matches!(kind, '#' | '^' | '/' | '!' | '=') && self.alone(start, end);
            // The blanks of a line that has nothing else go with the tag, and so does the line's end.
            let before = if alone { before.trim_end_matches([' ', '\t']) } else { before };
            if !before.is_empty() {
                parts.push(Part::Text(before));
            }
            self.at = end;
            if alone {
                let rest = &self.template[end..];
                let blanks = rest.len() - rest.trim_start_matches([' ', '\t', '\r']).len();
                self.at = (end + blanks + 1).min(self.template.len());
            }
            let name = inner.trim();
            match kind {
                '!' => {}
                '=' => self.delimiters(start, name)?,
                '>' => {
                    return self.wrong(
                        start,
                        format!("the partial `{name}` is not here: a package's template is one file"),
                    );
                }
                '#' | '^' => {
                    if name.is_empty() {
                        return self.wrong(start, "a section has no name".to_owned());
                    }
                    let body = self.at;
                    let (inside, end) = self.parts(Some((name, start)), depth + 1)?;
                    parts.push(Part::Section {
                        name,
                        inverted: kind == '^',
                        parts: inside,
                        body: &self.template[body..end],
                    });
                }
                '/' => {
                    return match section {
                        Some((open, _)) if open == name => Ok((parts, start)),
                        Some((open, _)) => self.wrong(
                            start,
                            format!("{{{{/{name}}}}} ends the section `{open}`; write {{{{/{open}}}}}"),
                        ),
                        None => self.wrong(start, format!("{{{{/{name}}}}} ends no section")),
                    };
                }
                _ if name.is_empty() => return self.wrong(start, "a variable has no name".to_owned()),
                _ => parts.push(Part::Value(name)),
            }
        }
    }

    /// A tag's kind, what stands in it, and where it ends.
    fn tag(&self, start: usize) -> Result<(char, &'t str, usize), MustacheError> {
        let inside = start + self.open.len();
        let rest = &self.template[inside..];
        let skipped = rest.len() - rest.trim_start().len();
        let kind = rest.trim_start().chars().next().unwrap_or(' ');
        let (kind, from, close): (char, usize, String) = match kind {
            // Three braces only where braces are what opens a tag.
            '{' if self.open == "{{" => ('{', skipped + 1, format!("}}{}", self.close)),
            '#' | '^' | '/' | '!' | '>' | '&' => (kind, skipped + 1, self.close.to_owned()),
            '=' => (kind, skipped + 1, format!("={}", self.close)),
            _ => (' ', skipped, self.close.to_owned()),
        };
        match rest[from..].find(&close) {
            Some(end) => Ok((kind, &rest[from..from + end], inside + from + end + close.len())),
            None => self.wrong(start, "a tag has no end; write }}".to_owned()),
        }
    }

    /// Whether a tag is alone on its line.
    fn alone(&self, start: usize, end: usize) -> bool {
        let before = self.template[..start].rsplit('\n').next().unwrap_or_default();
        let (after, ended) = match self.template[end..].split_once('\n') {
            Some((after, _)) => (after, true),
            None => (&self.template[end..], true),
        };
        ended && before.trim().is_empty() && after.trim().is_empty()
    }

    fn delimiters(&mut self, start: usize, inner: &'t str) -> Result<(), MustacheError> {
        let mut words = inner.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some(open), Some(close), None) if !open.contains('=') && !close.contains('=') => {
                (self.open, self.close) = (open, close);
                Ok(())
            }
            _ => self.wrong(start, format!("`{inner}` names no two delimiters")),
        }
    }
}

struct Renderer<'v> {
    root: &'v Value,
    /// The objects in which names are looked up, the innermost last; and whether one is an entry of an array.
    scopes: Vec<(&'v Value, bool)>,
    out: String,
    steps: usize,
}

impl<'v> Renderer<'v> {
    fn parts(&mut self, parts: &[Part<'_>]) -> Result<(), MustacheError> {
        for part in parts {
            self.steps += 1;
            if self.steps > MOST_STEPS {
                return Err(MustacheError::TooLong);
            }
            match part {
                Part::Text(text) => self.out.push_str(text),
                Part::Value(name) => {
                    let (value, entry) = self.find(name);
                    write(value, entry, &mut self.out);
                }
                Part::Section { name: "asJson", inverted: false, body, .. } => {
                    let value = self.root.get(body.trim());
                    self.out.push_str(value.and_then(Value::as_str).unwrap_or("null"));
                }
                Part::Section { name, inverted, parts, .. } => self.section(name, *inverted, parts)?,
            }
            if self.out.len() > MOST_BYTES {
                return Err(MustacheError::TooLarge);
            }
        }
        Ok(())
    }

    fn section(&mut self, name: &str, inverted: bool, parts: &[Part<'_>]) -> Result<(), MustacheError> {
        let (value, entry) = self.find(name);
        if inverted {
            return if truthy(value) { Ok(()) } else { self.parts(parts) };
        }
        match value {
            value if !truthy(value) => Ok(()),
            Value::Array(list) => {
                for one in list {
                    self.steps += 1;
                    self.scopes.push((one, true));
                    let rendered = self.parts(parts);
                    self.scopes.pop();
                    rendered?;
                    if self.steps > MOST_STEPS {
                        return Err(MustacheError::TooLong);
                    }
                }
                Ok(())
            }
            value => {
                self.scopes.push((value, entry));
                let rendered = self.parts(parts);
                self.scopes.pop();
                rendered
            }
        }
    }

    /// What a name stands for: its first part in the innermost object that has it, the others below that. And whether it is an entry of an array.
    fn find(&self, name: &str) -> (&'v Value, bool) {
        const NOTHING: &Value = &Value::Null;
        if name == "." {
            return self.scopes.last().copied().unwrap_or((NOTHING, false));
        }
        let mut keys = name.split('.').map(str::trim);
        let first = keys.next().unwrap_or_default();
        let mut at = self.scopes.iter().rev().find_map(|(scope, _)| scope.get(first));
        for key in keys {
            at = at.and_then(|value| value.get(key));
        }
        (at.unwrap_or(NOTHING), false)
    }
}

/// Whether a section is gone into.
fn truthy(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => true,
    }
}

fn write(value: &Value, quoted: bool, out: &mut String) {
    match value {
        Value::Null if !quoted => {}
        Value::String(text) if !quoted => escape(text, out),
        Value::Number(number) => out.push_str(&decimal(number)),
        Value::Array(list) => {
            out.push('[');
            for (at, one) in list.iter().enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                write(one, true, out);
            }
            out.push(']');
        }
        other => out.push_str(&other.to_string()),
    }
}

/// A text with what JSON escapes escaped, without quotes.
pub(crate) fn escape(text: &str, out: &mut String) {
    let quoted = Value::from(text).to_string();
    out.push_str(quoted.get(1..quoted.len() - 1).unwrap_or_default());
}

/// A number without a decimal point when it is whole, and without an exponent.
fn decimal(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() => format!("{float}"),
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn every_tag_does_what_it_says() {
        let context = json!({
            "name": "a\"b\\c\nd<&>é", "n": 3, "whole": 4.0, "half": 0.5, "tiny": 1e-7, "big": 1e21, "yes": true, "no": false,
            "nothing": null, "empty": "", "list": ["x", "y\"", 1, null, true], "none": [], "object": {"a": {"b": "deep"}, "name": "inner"},
            "objects": [{"k": "1"}, {"k": "2"}], "zero": 0, "raw": "{\"x\": [1]}", "with-dash_1": "d",
            "resource": {"assets": {"uris": {"my-tar.gz": "no", "tgz": "http://x/y"}}},
        });
        for (template, rendered) in [
            ("{{name}}", r#"a\"b\\c\nd<&>é"#),
            ("{{{name}}}", r#"a\"b\\c\nd<&>é"#),
            ("{{&name}}", r#"a\"b\\c\nd<&>é"#),
            ("{{ n }}|{{whole}}|{{half}}|{{tiny}}|{{big}}", "3|4|0.5|0.0000001|1000000000000000000000"),
            ("{{yes}}{{no}}{{nothing}}{{missing}}{{missing.deep}}{{n.deep}}", "truefalse"),
            ("{{list}}", r#"["x", "y\"", 1, null, true]"#),
            ("{{#list}}{{.}};{{/list}}", r#""x";"y\"";1;null;true;"#),
            ("{{object.a.b}} {{object.name}} {{with-dash_1}}", "deep inner d"),
            ("{{#object}}{{name}}{{n}}{{/object}}", "inner3"),
            ("{{#objects}}{{k}},{{n}} {{/objects}}", "1,3 2,3 "),
            (
                "{{#yes}}a{{/yes}}{{#no}}b{{/no}}{{^no}}c{{/no}}{{^missing}}d{{/missing}}{{^none}}e{{/none}}{{#none}}f{{/none}}",
                "acde",
            ),
            ("{{#empty}}a{{/empty}}{{^empty}}b{{/empty}}{{#zero}}c{{/zero}}{{#name}}d{{/name}}", "bcd"),
            ("{{#object.a}}{{b}}{{/object.a}}", "deep"),
            ("a{{! a comment\n over lines }}b", "ab"),
            ("[\n  {{#yes}}\n  1\n  {{/yes}}\n]", "[\n  1\n]"),
            (
                "{{#asJson}}raw{{/asJson}} {{#asJson}} n {{/asJson}} {{#asJson}}missing{{/asJson}}",
                r#"{"x": [1]} null null"#,
            ),
            ("{{=<% %>=}}<%n%> {{n}} <%={{ }}=%>{{n}}", "3 {{n}} 3"),
            ("{{resource.assets.uris.tgz}}", "http://x/y"),
            ("{{# yes }}{{#no}}x{{/no}}y{{/ yes }}", "y"),
            ("no tags } {", "no tags } {"),
            ("{{#objects}}{{#objects}}{{k}}{{/objects}}{{/objects}}", "1212"),
        ] {
            assert_eq!(render(template, &context).as_deref(), Ok(rendered), "{template}");
        }
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        for (template, line, what) in [
            ("\n{{#a}}", 2, "the section `a` has no end; write {{/a}}"),
            ("\n\n{{/a}}", 3, "{{/a}} ends no section"),
            ("{{#a}}\n{{/b}}", 2, "{{/b}} ends the section `a`; write {{/a}}"),
            ("{{a", 1, "a tag has no end; write }}"),
            ("{{{a}}", 1, "a tag has no end; write }}"),
            ("{{}}", 1, "a variable has no name"),
            ("{{> part}}", 1, "the partial `part` is not here: a package's template is one file"),
            ("{{=a=}}", 1, "`a` names no two delimiters"),
        ] {
            let error = render(template, &json!({})).unwrap_err();
            assert_eq!(error, MustacheError::Syntax { line, what: what.to_owned() }, "{template}");
        }
    }

    #[test]
    fn what_would_not_end_is_stopped() {
        let context = json!({"a": vec![1; 1000], "text": "x".repeat(1 << 20)});
        let nested = format!("{}{}", "{{#a}}".repeat(8), "{{/a}}".repeat(8));
        assert_eq!(render(&nested, &context), Err(MustacheError::TooLong));
        assert_eq!(render("{{#a}}{{text}}{{/a}}", &context), Err(MustacheError::TooLarge));
        let deep = format!("{}{}", "{{#a}}".repeat(100), "{{/a}}".repeat(100));
        assert!(matches!(render(&deep, &context), Err(MustacheError::Syntax { .. })));
    }

    proptest! {
        #[test]
        fn no_value_breaks_out_of_its_string(text in "\\PC*|[\"\\\\{}\n\u{0}-\u{1f}]*") {
            let rendered = render(r#"{"a": "{{x}}", "b": {{y}}}"#, &json!({"x": text, "y": [text]})).unwrap();
            let parsed: Value = serde_json::from_str(&rendered).unwrap();
            prop_assert_eq!(parsed, json!({"a": text, "b": [text]}));
        }

        #[test]
        fn nothing_panics(template in "([{}#^/!&>=.a ]|\n|é){0,40}") {
            let _ = render(&template, &json!({"a": [{"a": "x"}]}));
        }
    }
}
