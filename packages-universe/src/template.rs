//! Templates of native packages: tera, one file, with limits.
//!
//! A package is somebody else's text, and rendered where clusters are decided about. So it may not include, define or import
//! anything; what it makes is counted as it is written; loops count their turns, and what is kept in a variable is measured: both
//! by calls that are put behind the tags before tera reads the template. Filters that make much of little have a limit of their own.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tera::{Context, ErrorKind, EscapeFn, Kwargs, State, Tera};

/// How much one rendering may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The bytes it makes.
    pub bytes: usize,
    /// The turns of all its loops.
    pub turns: u64,
    /// How long it takes.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 4 << 20, turns: 100_000, time: Duration::from_secs(5) }
    }
}

/// How large a template may be, in bytes.
const LARGEST_TEMPLATE: usize = 256 << 10;
/// How large a value may be that is kept in a variable, or that a filter makes, in bytes.
const LARGEST_VALUE: usize = 256 << 10;
/// How many texts one tag may put together.
const MOST_JOINED: usize = 32;
/// The calls that are put into templates; no template of ours has such names.
const TURN: &str = "universe__turn";
const KEPT: &str = "universe__kept";
const THERE: &str = "universe__there";

/// Why a template cannot be rendered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It asks for something that is not there, or is not written as it has to be.
    #[error("{}{what}", .line.map(|line| format!("line {line}: ")).unwrap_or_default())]
    Wrong {
        /// The line in the template, from 1, where it is known.
        line: Option<usize>,
        /// What is wrong.
        what: String,
    },
    /// It makes more than a definition can be.
    #[error("the template makes more than {0} bytes")]
    TooLarge(usize),
    /// It takes more time or more turns of loops than it may.
    #[error("the template takes too long")]
    TooLong,
}

/// Renders a template over a context, with every string escaped for JSON.
///
/// # Errors
/// When the template is wrong, names what is not there, or makes or takes too much.
pub fn render(template: &str, context: &Value, limits: Limits) -> Result<String, TemplateError> {
    render_with(template, context, limits, json_escape)
}

/// Renders a line of plain text, with nothing escaped.
///
/// # Errors
/// As [`render`].
pub fn render_text(template: &str, context: &Value, limits: Limits) -> Result<String, TemplateError> {
    render_with(template, context, limits, |text, out| out.write_all(text.as_bytes()))
}

fn render_with(
    template: &str,
    context: &Value,
    limits: Limits,
    escape: EscapeFn,
) -> Result<String, TemplateError> {
    if template.len() > LARGEST_TEMPLATE {
        return Err(wrong(None, format!("the template is larger than {LARGEST_TEMPLATE} bytes")));
    }
    let counted = prepare(template, context)?;
    let deadline = Instant::now() + limits.time;
    let turns = Arc::new(AtomicU64::new(0));
    let mut tera = Tera::new();
    tera.autoescape_on([""]);
    tera.set_escape_fn(escape);
    guard_filters(&mut tera);
    let count = turns.clone();
    tera.register_function(TURN, move |_: Kwargs, _: &State<'_>| -> tera::TeraResult<&'static str> {
        if count.fetch_add(1, Ordering::Relaxed) >= limits.turns || Instant::now() > deadline {
            return Err(tera::Error::message(TOO_LONG));
        }
        Ok("")
    });
    tera.register_function(KEPT, |kwargs: Kwargs, _: &State<'_>| -> tera::TeraResult<&'static str> {
        fits(kwargs.must_get::<&tera::Value>("it")?)?;
        Ok("")
    });
    let known = context.clone();
    tera.register_function(THERE, move |kwargs: Kwargs, _: &State<'_>| -> tera::TeraResult<&'static str> {
        there(kwargs.must_get::<&str>("path")?, &known).map_err(tera::Error::message)?;
        Ok("")
    });
    tera.add_raw_template(NAME, &counted).map_err(|error| fault(&error))?;
    let context = Context::from_serialize(context).map_err(|error| fault(&error))?;
    let mut out = Bounded { bytes: Vec::new(), most: limits.bytes, deadline, stopped: None };
    let rendered = tera.render_to(NAME, &context, &mut out);
    match (rendered, out.stopped) {
        (_, Some(stopped)) => Err(stopped),
        (Err(error), None) => Err(fault(&error)),
        (Ok(()), None) => {
            String::from_utf8(out.bytes).map_err(|error| wrong(None, error.utf8_error().to_string()))
        }
    }
}

/// What a stopped rendering says of itself, within tera's errors.
const TOO_LONG: &str = "universe: the template takes too long";
const TOO_MUCH: &str = "a value is larger than a definition needs";
const NAME: &str = "service.json.tera";

fn wrong(line: Option<usize>, what: impl Into<String>) -> TemplateError {
    TemplateError::Wrong { line, what: what.into() }
}

/// What tera says, with the line. The calls that were put in are on the lines of their tags.
fn fault(error: &tera::Error) -> TemplateError {
    match error.kind() {
        ErrorKind::SyntaxError(report) | ErrorKind::RenderingError(report) => {
            if report.message().contains(TOO_LONG) {
                return TemplateError::TooLong;
            }
            wrong(Some(report.span().start_line), report.message())
        }
        ErrorKind::Msg(message) if message.contains(TOO_LONG) => TemplateError::TooLong,
        _ => wrong(None, error.to_string()),
    }
}

/// Takes what is written, up to a limit in size and time.
struct Bounded {
    bytes: Vec<u8>,
    most: usize,
    deadline: Instant,
    stopped: Option<TemplateError>,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let stop = if self.bytes.len() + bytes.len() > self.most {
            TemplateError::TooLarge(self.most)
        } else if Instant::now() > self.deadline {
            TemplateError::TooLong
        } else {
            self.bytes.extend_from_slice(bytes);
            return Ok(bytes.len());
        };
        let error = io::Error::other(stop.to_string());
        self.stopped = Some(stop);
        Err(error)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Escapes as JSON does, without quotes.
fn json_escape(text: &str, out: &mut dyn Write) -> io::Result<()> {
    let quoted = Value::from(text).to_string();
    out.write_all(quoted.as_bytes().get(1..quoted.len() - 1).unwrap_or_default())
}

/// Refuses a value that is too large, counting what is shared as often as it would be written.
fn fits(value: &tera::Value) -> tera::TeraResult<()> {
    fn size(value: &tera::Value, left: usize) -> Option<usize> {
        if let Some(text) = value.as_str() {
            return left.checked_sub(text.len());
        }
        let mut left = left.checked_sub(8)?;
        for one in value.as_array().into_iter().flatten() {
            left = size(one, left)?;
        }
        for (key, one) in value.as_map().into_iter().flatten() {
            left = size(one, left.checked_sub(key.as_str().map_or(8, str::len))?)?;
        }
        Some(left)
    }
    size(value, LARGEST_VALUE).map(|_| ()).ok_or_else(|| tera::Error::message(TOO_MUCH))
}

/// Puts limits on the filters that make much of little, and adds `json_encode`.
fn guard_filters(tera: &mut Tera) {
    tera.register_filter(
        "json_encode",
        |value: &tera::Value, _: Kwargs, _: &State<'_>| -> tera::TeraResult<tera::Value> {
            if value.is_undefined() {
                return Err(tera::Error::message("the value is not defined"));
            }
            fits(value)?;
            let text =
                serde_json::to_string(value).map_err(|error| tera::Error::message(error.to_string()))?;
            Ok(tera::Value::safe_string(&text))
        },
    );
    tera.register_filter(
        "replace",
        |text: &str, kwargs: Kwargs, _: &State<'_>| -> tera::TeraResult<String> {
            let (from, to) = (kwargs.must_get::<&str>("from")?, kwargs.must_get::<&str>("to")?);
            let found = text.matches(from).count();
            if text.len().saturating_add(found.saturating_mul(to.len())) > LARGEST_VALUE {
                return Err(tera::Error::message(TOO_MUCH));
            }
            Ok(text.replace(from, to))
        },
    );
    tera.register_filter(
        "join",
        |list: Vec<tera::Value>, kwargs: Kwargs, _: &State<'_>| -> tera::TeraResult<String> {
            let between = kwargs.get::<&str>("sep")?.unwrap_or_default();
            let mut joined = String::new();
            for (at, one) in list.iter().enumerate() {
                if at > 0 {
                    joined.push_str(between);
                }
                joined.push_str(&one.to_string());
                if joined.len() > LARGEST_VALUE {
                    return Err(tera::Error::message(TOO_MUCH));
                }
            }
            Ok(joined)
        },
    );
    tera.register_function("range", |kwargs: Kwargs, _: &State<'_>| -> tera::TeraResult<Vec<i64>> {
        let (start, end) = (kwargs.get::<i64>("start")?.unwrap_or(0), kwargs.must_get::<i64>("end")?);
        let step = kwargs.get::<i64>("step_by")?.unwrap_or(1);
        let step = usize::try_from(step).ok().filter(|step| *step > 0);
        let step = step.ok_or_else(|| tera::Error::message("`step_by` has to be 1 or more"))?;
        if end.checked_sub(start).is_none_or(|many| many > 10_000) {
            return Err(tera::Error::message("a range may have 10000 numbers"));
        }
        Ok((start..end).step_by(step).collect())
    });
    for made in ["indent", "newlines_to_br", "escape", "escape_html", "escape_xml"] {
        tera.register_filter(
            made,
            move |_: &tera::Value, _: Kwargs, _: &State<'_>| -> tera::TeraResult<String> {
                Err(tera::Error::message(format!("the filter `{made}` is not for JSON")))
            },
        );
    }
}

/// One tag of a template.
struct Tag<'t> {
    /// Where it begins, and where what is behind it begins.
    start: usize,
    end: usize,
    /// What stands in it, without the marks for blanks.
    inner: &'t str,
    /// `{% … %}`, not `{{ … }}`.
    statement: bool,
    /// Blanks before it go.
    trims_before: bool,
    /// Blanks behind it go.
    trims: bool,
}

/// The tags of a template, as tera's lexer finds them: not in comments, not in raw blocks.
fn tags(template: &str) -> Result<Vec<Tag<'_>>, TemplateError> {
    let mut tags = Vec::new();
    let (mut at, mut raw) = (0, false);
    while let Some(found) = template[at..].find('{') {
        let start = at + found;
        let rest = &template[start..];
        let line = || Some(template[..start].matches('\n').count() + 1);
        if rest.starts_with("{#") {
            // A comment within a raw block is text.
            let end = if raw { Some(0) } else { rest.find("#}") };
            let Some(end) = end else { return Err(wrong(line(), "a comment has no end; write #}")) };
            at = start + end + 2;
            continue;
        }
        let statement = rest.starts_with("{%");
        if !statement && (raw || !rest.starts_with("{{")) {
            at = start + 1;
            continue;
        }
        let close = if statement { "%}" } else { "}}" };
        if raw {
            let word = rest[2..].trim_start_matches('-').trim_start();
            if !word.starts_with("endraw") {
                at = start + 2;
                continue;
            }
        }
        let Some(length) = end_of(&rest[2..], close) else {
            return Err(wrong(line(), format!("a tag has no end; write {close}")));
        };
        let inner = &rest[2..2 + length];
        let (trims_before, trims) = (inner.starts_with('-'), inner.ends_with('-'));
        let inner = inner.strip_prefix('-').unwrap_or(inner);
        let inner = inner.strip_suffix('-').unwrap_or(inner).trim();
        at = start + 2 + length + 2;
        if statement && (inner == "raw" || inner == "endraw") {
            raw = inner == "raw";
            continue;
        }
        tags.push(Tag { start, end: at, inner, statement, trims_before, trims });
    }
    Ok(tags)
}

/// The paths with dots that a template's tags name, with their lines.
pub(crate) fn paths(template: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for tag in tags(template).unwrap_or_default() {
        let line = template[..tag.start].matches('\n').count() + 1;
        let plain = without_texts(tag.inner);
        // An index within brackets is no part of the path.
        let words = plain.split(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.')));
        found.extend(
            words.filter(|word| word.contains('.')).map(|word| (line, word.trim_end_matches('.').to_owned())),
        );
    }
    found
}

/// Where a tag's end stands, which is not within a text.
fn end_of(rest: &str, close: &str) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in rest.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if matches!(c, '"' | '\'' | '`') => quote = Some(c),
            // Also where a map's braces were meant: so tera reads it.
            None if rest[at..].starts_with(close) => return Some(at),
            None => {}
        }
    }
    None
}

/// What stands in a tag, without its texts.
fn without_texts(inner: &str) -> String {
    let mut plain = String::with_capacity(inner.len());
    let mut quote = None;
    let mut escaped = false;
    for c in inner.chars() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if matches!(c, '"' | '\'' | '`') => {
                quote = Some(c);
                // A text is a value: what stands around it is not joined.
                plain.push('"');
            }
            None => plain.push(c),
        }
    }
    plain
}

/// Looks at every tag, and puts the counting calls in.
fn prepare(template: &str, context: &Value) -> Result<String, TemplateError> {
    let mut counted = String::with_capacity(template.len() * 2);
    let mut copied = 0;
    let tags = tags(template)?;
    let bound = bound(&tags);
    for tag in tags {
        let line = Some(template[..tag.start].matches('\n').count() + 1);
        let plain = without_texts(tag.inner);
        let mut words = plain
            .split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.'))
            .filter(|word| !word.is_empty());
        let first = if tag.statement { words.next().unwrap_or_default() } else { "" };
        if plain.contains("universe__") {
            return Err(wrong(line, "names with `universe__` are not for templates"));
        }
        if matches!(
            first,
            "include" | "extends" | "import" | "block" | "endblock" | "component" | "macro" | "filter"
        ) {
            return Err(wrong(
                line,
                format!("`{first}` is not taken: a package's template is one file that renders to JSON"),
            ));
        }
        if words.clone().any(|word| word == "for") {
            return Err(wrong(
                line,
                "lists are not made within a tag; write {% for … in … %} around what is to be repeated",
            ));
        }
        if plain.matches('~').count() > MOST_JOINED {
            return Err(wrong(line, format!("a tag may put {MOST_JOINED} texts together")));
        }
        let sets = matches!(first, "set" | "set_global");
        if sets && !plain.contains('=') {
            return Err(wrong(line, "`set` needs a value: {% set name = value %}"));
        }
        if !tag.statement || sets {
            counted.push_str(&template[copied..tag.start]);
            copied = tag.start;
            let trims = if tag.trims_before { "-" } else { "" };
            for path in asked(&plain, context).filter(|path| !bound.contains(&root(path))) {
                counted.push_str(&format!("{{{{{trims} {THERE}(path='{path}') }}}}"));
            }
        }
        let call = match first {
            "for" => format!("{TURN}()"),
            "set" | "set_global" => format!("{KEPT}(it={})", words.next().unwrap_or_default()),
            _ => continue,
        };
        counted.push_str(&template[copied..tag.end]);
        counted.push_str(&format!("{{{{ {call} {}}}}}", if tag.trims { "-" } else { "" }));
        copied = tag.end;
    }
    counted.push_str(&template[copied..]);
    Ok(counted)
}

/// The names that a template gives to values of its own.
fn bound(tags: &[Tag<'_>]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for tag in tags.iter().filter(|tag| tag.statement) {
        let mut words =
            tag.inner.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty());
        match words.next() {
            Some("for") => names.extend(words.take_while(|word| *word != "in").map(str::to_owned)),
            Some("set" | "set_global") => names.extend(words.next().map(str::to_owned)),
            _ => {}
        }
    }
    names
}

/// The first key of a path.
fn root(path: &str) -> String {
    path.split('.').next().unwrap_or_default().to_owned()
}

/// The paths from the context that a tag cannot do without; none when it asks whether something is there.
fn asked<'p>(plain: &'p str, context: &'p Value) -> impl Iterator<Item = &'p str> {
    let asks = [" if ", " is ", "default", " or ", " and ", "?"].iter().any(|word| plain.contains(word));
    let words = plain.split(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '.' | '[' | '"')));
    let paths = words.map(|word| word.split('[').next().unwrap_or_default().trim_end_matches('.'));
    paths.filter(move |path| {
        !asks && path.contains('.') && !path.contains('"') && context.get(root(path)).is_some()
    })
}

/// Says which key of a path is not there. Tera says less of most, and nothing of what is joined to other texts.
fn there(path: &str, context: &Value) -> Result<(), String> {
    let mut at = context;
    for key in path.split('.') {
        let Some(map) = at.as_object() else { break };
        match map.get(key) {
            Some(next) => at = next,
            None => {
                let near = crate::similar::did_you_mean(key, map.keys().map(String::as_str));
                let near = if near.is_empty() { near } else { format!("; {near}") };
                return Err(format!("`{path}` is not there: there is no `{key}`{near}"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rendered(template: &str) -> Result<String, TemplateError> {
        let context = json!({
            "options": {"name": "a\"b", "list": ["x", "y\""], "n": 2, "f": 0.5, "on": true, "off": false, "none": null, "map": {"k": "v"}},
            "artifacts": {"my-art": {"uri": "artifact://sha256/0"}},
        });
        render(template, &context, Limits::default())
    }

    #[test]
    fn templates_render_to_json() {
        for (template, made) in [
            (r#"{"a": "{{ options.name }}"}"#, r#"{"a": "a\"b"}"#),
            ("{{ options.list | json_encode }}", r#"["x","y\""]"#),
            ("{{ options.map | json_encode }} {{ options.none | json_encode }}", r#"{"k":"v"} null"#),
            ("{{ options.n }}{{ options.f }}{{ options.on }}", "20.5true"),
            ("{% for one in options.list %}[{{ one }}]{% endfor %}", r#"[x][y\"]"#),
            ("{% for one in options.list -%}\n  {{ one }}\n{%- endfor %}", r#"xy\""#),
            ("{% if options.off %}a{% else %}b{% endif %}{% if options.absent %}c{% endif %}", "b"),
            ("{% if options.absent %}{{ options.absent.deep ~ 'x' }}{{ options.gone }}{% endif %}!", "!"),
            (
                "{% for options in [1] %}{{ options }}{% endfor %} {%- set artifacts = {'x': 'y'} %}  {{- artifacts.x }}",
                "1y",
            ),
            ("{% set both = options.name ~ '/' ~ options.n %}{{ both }}", r#"a\"b/2"#),
            (r#"{{ artifacts["my-art"].uri }}"#, "artifact://sha256/0"),
            (r#"{{ options.absent | default(value="d") }}"#, "d"),
            ("{{ options.list | join(sep='-') }}", r#"x-y\""#),
            ("{{ options.name | replace(from='a', to='c') }}", r#"c\"b"#),
            ("{% for i in range(end=3) %}{{ i }}{% endfor %}", "012"),
            ("{% raw %}{{ x }} {% for %}{% endraw %}{# {{ y }} {% include 'z' %} #}!", "{{ x }} {% for %}!"),
            (r#"{{ "}}{{" }}{{ '{% include %}' }}"#, "}}{{{% include %}"),
            ("{{ {'a': {'b': 1} } | json_encode }}", r#"{"a":{"b":1}}"#),
        ] {
            assert_eq!(rendered(template).as_deref(), Ok(made), "{template}");
        }
    }

    #[test]
    fn what_is_not_there_is_an_error_with_its_line() {
        for template in [
            "\n{{ absent }}",
            "\n{{ options.absent }}",
            "\n{{ options.nmae }}",
            "\n{{ options.absent | json_encode }}",
            "\n{{ absent | json_encode }}",
            "\n{{ 'x' ~ options.absent }}",
            "\n{% set x = options.absent ~ 'y' %}{{ x }}",
            "\n{% for x in options.absent %}{% endfor %}",
            "\n{{ options.map.absent }}",
            "\n{{ artifacts['none'].uri }}",
        ] {
            match rendered(template) {
                Err(TemplateError::Wrong { line: Some(2), .. }) => {}
                other => panic!("{template}: {other:?}"),
            }
        }
        let error = rendered("{{ options.nmae }}").unwrap_err().to_string();
        assert!(error.contains("did you mean name?"), "{error}");
    }

    #[test]
    fn nothing_but_one_file_is_taken() {
        for template in [
            "{% include 'x' %}",
            "{%- extends 'x' -%}",
            "{% import 'x' as y %}",
            "{% block a %}{% endblock %}",
            "{% component a() %}{% endcomponent %}",
            "{% filter upper %}a{% endfilter %}",
            "{% set a %}x{% endset %}",
            "{{ [x for x in options.list] }}",
            "{{ universe__turn() }}",
            "{{ options.name | indent(width=1000000000) }}",
            "{{ get_env(name='HOME') }}",
            "{{ a",
            "{% if x %}",
        ] {
            assert!(
                matches!(rendered(template), Err(TemplateError::Wrong { .. })),
                "{template}: {:?}",
                rendered(template)
            );
        }
    }

    #[test]
    fn what_would_not_end_is_stopped() {
        let loops = "{% for a in range(end=10000) %}{% for b in range(end=10000) %}{% endfor %}{% endfor %}";
        assert_eq!(rendered(loops), Err(TemplateError::TooLong));
        let doubled = format!("{{% set a = 'x' %}}{}", "{% set a = a ~ a %}".repeat(40));
        assert!(
            matches!(rendered(&doubled), Err(TemplateError::Wrong { what, .. }) if what.contains("larger"))
        );
        let lists = format!("{{% set a = ['x'] %}}{}", "{% set a = [a, a] %}".repeat(40));
        assert!(
            matches!(rendered(&lists), Err(TemplateError::Wrong { what, .. }) if what.contains("larger"))
        );
        let global =
            "{% set_global a = 'x' %}{% for i in range(end=99) %}{% set_global a = a ~ a %}{% endfor %}";
        assert!(
            matches!(rendered(global), Err(TemplateError::Wrong { what, .. }) if what.contains("larger"))
        );
        let much = "{% for i in range(end=10000) %}{{ options.name | replace(from='a', to='aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa') }}{% endfor %}";
        let limits = Limits { bytes: 1000, ..Limits::default() };
        assert_eq!(
            render(much, &json!({"options": {"name": "a"}}), limits),
            Err(TemplateError::TooLarge(1000))
        );
        let limits = Limits { time: Duration::ZERO, ..Limits::default() };
        assert_eq!(render("a{{ 'b' }}", &json!({}), limits), Err(TemplateError::TooLong));
    }
}
