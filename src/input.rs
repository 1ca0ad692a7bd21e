//! Files that the user wrote: read with limits, and every mistake with its line and column.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use serde_json::Value;

use crate::error::CliError;

/// The most that a definition may hold, in bytes.
const MAX_INPUT: u64 = 8 << 20;

/// Reads JSON or YAML from a file, or from standard input for `-`.
pub(crate) fn read(path: &Path) -> Result<Value, CliError> {
    let stdin = path == Path::new("-");
    let name = if stdin { "standard input".to_owned() } else { path.display().to_string() };
    let bytes = if stdin { limited(io::stdin().lock()) } else { File::open(path).and_then(limited) };
    let bytes = bytes.map_err(|error| CliError::usage(format!("cannot read {name}")).caused_by(&error))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        CliError::usage(format!("{name} is no text in UTF-8")).caused_by(&error.utf8_error())
    })?;
    parse(&name, &text)
}

fn limited(from: impl io::Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(MAX_INPUT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_INPUT {
        return Err(io::Error::other(format!("it is larger than {} MiB", MAX_INPUT >> 20)));
    }
    Ok(bytes)
}

/// Reads JSON or YAML. What begins like JSON is JSON, so that its mistakes are told in its terms.
fn parse(name: &str, text: &str) -> Result<Value, CliError> {
    if text.trim().is_empty() {
        return Err(CliError::usage(format!("{name} is empty")));
    }
    if is_json(text) {
        return serde_json::from_str(text).map_err(|error| {
            let words = error.to_string();
            let words = words.split(" at line ").next().unwrap_or_default();
            CliError::usage(format!("{name}:{}:{}: {words}", error.line(), error.column()))
                .hint("it begins like JSON and was read as such")
        });
    }
    yaml(text).map_err(|error| {
        let place = error.location().map(|at| format!(":{}:{}", at.line(), at.column())).unwrap_or_default();
        CliError::usage(format!("{name}{place}: {}", without_place(&error)))
            .hint("definitions are JSON or YAML")
    })
}

/// YAML would take some of JSON's mistakes for something else, such as a value that is missing.
fn is_json(text: &str) -> bool {
    text.trim_start().strip_prefix('{').is_some_and(|rest| rest.trim_start().starts_with(['"', '}']))
}

/// Without snippets, which may show what is secret; with `yes` and `on` as the texts that they are in commands.
fn yaml(text: &str) -> Result<Value, serde_yaml::Error> {
    serde_yaml::from_str_with_options(
        text,
        serde_yaml::options! { with_snippet: false, strict_booleans: true },
    )
}

/// The words of an error of the YAML reader, which ends them with the place.
pub(crate) fn without_place(error: &serde_yaml::Error) -> String {
    let words = error.to_string();
    let end = words.rfind(" at line ").or_else(|| words.rfind(" at ")).unwrap_or(words.len());
    let words = words.get(..end).unwrap_or(&words).trim();
    // Advice for programmers is none for users.
    words.split(", set ").next().unwrap_or(words).to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn json_and_yaml_say_the_same() {
        let expected = json!({"id": "/web", "cmd": "yes", "cpus": 0.5, "env": {"A": "1"}});
        assert_eq!(
            parse("f", r#"{"id":"/web","cmd":"yes","cpus":0.5,"env":{"A":"1"}}"#),
            Ok(expected.clone())
        );
        assert_eq!(parse("f", "id: /web\ncmd: yes\ncpus: 0.5\nenv: {A: '1'}\n"), Ok(expected.clone()));
        assert_eq!(parse("f", "{id: /web, cmd: 'yes', cpus: 0.5, env: {A: '1'}}"), Ok(expected));
    }

    fn refused(text: &str) -> String {
        anstream::adapter::strip_str(&parse("web.json", text).unwrap_err().styled()).to_string()
    }

    #[test]
    fn mistakes_have_a_place() {
        insta::assert_snapshot!(refused("{\n  \"id\": \"/web\",,\n}"), @r"
        error: web.json:2:16: key must be a string
        hint: it begins like JSON and was read as such
        ");
        insta::assert_snapshot!(refused("id: /web\nid: /db\n"), @r"
        error: web.json:2:1: duplicate mapping key: id
        hint: definitions are JSON or YAML
        ");
        insta::assert_snapshot!(refused("id: [/web\nx: {"), @r"
        error: web.json:2:2: illegal placement of ':' indicator
        hint: definitions are JSON or YAML
        ");
        insta::assert_snapshot!(refused(" \n"), @r"
        error: web.json is empty
        ");
    }
}
