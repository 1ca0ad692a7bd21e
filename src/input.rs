//! Files that the user wrote: read with limits, and every mistake with its line and column.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::error::CliError;

mod pieces;
mod places;

/// The most that a definition may hold, in bytes.
const MAX_INPUT: u64 = 8 << 20;

/// The most files that are taken from one directory.
const MAX_FILES: usize = 1000;

/// What files of a directory are definitions.
const ENDINGS: [&str; 3] = ["json", "yaml", "yml"];

/// One JSON value or YAML document, and where it came from.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    /// The file's name, or `standard input`.
    pub(crate) name: String,
    pub(crate) value: Value,
    text: String,
    /// How many lines of the file stand before the text.
    before: u64,
}

impl Document {
    /// `FILE:LINE` of what a path like `/container/volumes(1)/mode` names; nothing when it is not there.
    pub(crate) fn place(&self, path: &str) -> Option<String> {
        let line = places::line(&self.text, path)?;
        Some(format!("{}:{}", self.name, self.before + line))
    }

    /// `FILE:LINE` of the nearest thing around what the path names.
    pub(crate) fn near(&self, path: &str) -> String {
        let around = path.rmatch_indices(['/', '(']).filter_map(|(at, _)| path.get(..at));
        let found = std::iter::once(path).chain(around).find_map(|path| self.place(path));
        found.unwrap_or_else(|| format!("{}:{}", self.name, self.before + pieces::first_line(&self.text)))
    }
}

/// Reads JSON or YAML: a file, all `*.json`, `*.yaml` and `*.yml` of a directory in the order of their names, or standard
/// input for `-`. A file of YAML may hold several documents. When one cannot be read, the error names every one that
/// cannot.
pub(crate) fn read(path: &Path) -> Result<Vec<Document>, CliError> {
    let mut documents = Vec::new();
    let mut wrong = Vec::new();
    for (name, source) in sources(path)? {
        let read = content(&name, &source).and_then(|text| parse(&name, &text));
        match read {
            Ok(read) => documents.extend(read),
            Err(errors) => wrong.extend(errors),
        }
    }
    together(wrong).map_or(Ok(documents), Err)
}

/// All of several errors as one; a single one stays as it is.
pub(crate) fn together(mut errors: Vec<CliError>) -> Option<CliError> {
    if errors.len() < 2 {
        return errors.pop();
    }
    let mut all = CliError::usage(format!("{} mistakes; nothing was sent", errors.len()));
    for error in errors {
        all.causes.push(error.message);
        all.causes.extend(error.causes);
        for hint in error.hints {
            if !all.hints.contains(&hint) {
                all.hints.push(hint);
            }
        }
    }
    Some(all)
}

/// Where bytes come from.
enum Source {
    Stdin,
    File(PathBuf),
}

fn cannot_read(name: &str, error: &io::Error) -> CliError {
    CliError::usage(format!("cannot read {name}")).caused_by(error)
}

fn sources(path: &Path) -> Result<Vec<(String, Source)>, CliError> {
    if path == Path::new("-") {
        return Ok(vec![("standard input".to_owned(), Source::Stdin)]);
    }
    let name = path.display().to_string();
    if !path.is_dir() {
        return Ok(vec![(name, Source::File(path.to_owned()))]);
    }
    let entries: io::Result<Vec<PathBuf>> =
        fs::read_dir(path).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    let is_definition = |path: &PathBuf| {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        ENDINGS.contains(&ending) && !path.is_dir()
    };
    let entries = entries.map_err(|error| cannot_read(&name, &error))?;
    let mut files: Vec<PathBuf> = entries.into_iter().filter(is_definition).collect();
    files.sort();
    if files.is_empty() {
        return Err(CliError::usage(format!("{name} holds no definitions"))
            .hint("of a directory all *.json, *.yaml and *.yml are read, those of its subdirectories not"));
    }
    if files.len() > MAX_FILES {
        return Err(CliError::usage(format!("{name} holds {} definitions", files.len()))
            .hint(format!("at most {MAX_FILES} files are read at once")));
    }
    Ok(files.into_iter().map(|file| (file.display().to_string(), Source::File(file))).collect())
}

fn content(name: &str, source: &Source) -> Result<String, Vec<CliError>> {
    let bytes = match source {
        Source::Stdin => limited(io::stdin().lock()),
        Source::File(file) => File::open(file).and_then(limited),
    };
    let bytes = bytes.map_err(|error| vec![cannot_read(name, &error)])?;
    String::from_utf8(bytes).map_err(|error| {
        vec![CliError::usage(format!("{name} is no text in UTF-8")).caused_by(&error.utf8_error())]
    })
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
pub(crate) fn parse(name: &str, text: &str) -> Result<Vec<Document>, Vec<CliError>> {
    let document =
        |value, text: &str, before| Document { name: name.to_owned(), value, text: text.to_owned(), before };
    if is_json(text) {
        return match serde_json::from_str(text) {
            Ok(value) => Ok(vec![document(value, text, 0)]),
            Err(error) => Err(vec![wrong_json(name, &error)]),
        };
    }
    let (mut documents, mut wrong) = (Vec::new(), Vec::new());
    for piece in pieces::of(text) {
        match yaml(&piece.text) {
            Ok(value) => documents.push(document(value, &piece.text, piece.before)),
            Err(error) => wrong.push(wrong_yaml(name, piece.before, &error)),
        }
    }
    if documents.is_empty() && wrong.is_empty() {
        wrong.push(CliError::usage(format!("{name} is empty")));
    }
    if wrong.is_empty() { Ok(documents) } else { Err(wrong) }
}

fn wrong_json(name: &str, error: &serde_json::Error) -> CliError {
    let words = error.to_string();
    let words = words.split(" at line ").next().unwrap_or_default();
    CliError::usage(format!("{name}:{}:{}: {words}", error.line(), error.column()))
        .hint("it begins like JSON and was read as such")
}

fn wrong_yaml(name: &str, before: u64, error: &serde_yaml::Error) -> CliError {
    let place = error.location().map(|at| format!(":{}:{}", before + at.line(), at.column()));
    CliError::usage(format!("{name}{}: {}", place.unwrap_or_default(), without_place(error)))
        .hint("definitions are JSON or YAML")
}

/// YAML would take some of JSON's mistakes for something else, such as a value that is missing.
fn is_json(text: &str) -> bool {
    let inside = |text: &str, open: char| text.trim_start().strip_prefix(open).map(str::to_owned);
    // A list of objects begins like its first object.
    let text = inside(text, '[').unwrap_or_else(|| text.to_owned());
    inside(&text, '{').is_some_and(|rest| rest.trim_start().starts_with(['"', '}']))
}

/// Without snippets, which may show what is secret; with `yes` and `on` as the texts that they are in commands.
fn yaml<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, serde_yaml::Error> {
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
mod tests;
