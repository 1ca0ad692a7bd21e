//! What stands in the editor: some lines of ours, marked so that they can be told from the user's, and the definition.

use api::client::ClientError;
use api::marathon::AppId;
use serde_json::{Map, Value};

use crate::commands::service::args::EditFormat;
use crate::error::CliError;
use crate::input;

/// What is wrong with the definition, and on which of its lines, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    line: Option<u64>,
    words: String,
}

impl Mistake {
    pub(super) fn about(words: impl Into<String>) -> Self {
        Self { line: None, words: words.into() }
    }

    pub(super) fn at(line: Option<u64>, words: impl Into<String>) -> Self {
        Self { line, words: words.into() }
    }

    /// Out of an error of the reader, which begins with `:LINE:COLUMN: `.
    pub(super) fn of_reading(error: &CliError) -> Self {
        let mut parts = error.message.splitn(4, ':');
        let read =
            (parts.next(), parts.next().and_then(|line| line.parse().ok()), parts.next(), parts.next());
        match read {
            (Some(""), Some(line), Some(_), Some(words)) => Self::at(Some(line), words.trim()),
            _ => Self::about(error.message.trim_start_matches([':', ' '])),
        }
    }
}

/// How a definition stands in the editor.
pub(super) struct Page<'a> {
    app: &'a AppId,
    mark: &'static str,
}

impl<'a> Page<'a> {
    pub(super) fn new(app: &'a AppId, format: EditFormat) -> Self {
        Self { app, mark: if format == EditFormat::Json { "//~" } else { "#~" } }
    }

    /// The text with what there is to say at its top.
    pub(super) fn compose(&self, body: &str, mistakes: &[Mistake]) -> String {
        let mut head = vec![
            format!("The definition of {}. Save and leave, and it is deployed;", self.app),
            "leave without a change, and nothing happens. What you do not name gets its default.".to_owned(),
        ];
        if !mistakes.is_empty() {
            head.push(String::new());
            head.push("It was not taken:".to_owned());
        }
        // Lines are counted as the editor counts them, with these above.
        let above = (head.len() + mistakes.len()) as u64;
        head.extend(mistakes.iter().map(|mistake| {
            let line = mistake.line.map(|line| format!("line {}: ", line + above)).unwrap_or_default();
            let words: Vec<&str> = mistake.words.lines().map(str::trim).collect();
            format!("  {line}{}", words.join(" "))
        }));
        let head: String =
            head.iter().map(|line| format!("{} {line}", self.mark).trim_end().to_owned() + "\n").collect();
        head + body
    }

    /// What the user wrote: all without our lines.
    pub(super) fn body(&self, text: &str) -> String {
        text.split_inclusive('\n').filter(|line| !line.trim_start().starts_with(self.mark)).collect()
    }

    /// The line of something in the definition.
    pub(super) fn line(&self, body: &str, path: &str) -> Option<u64> {
        let documents = input::parse("", body).ok()?;
        let place = documents.first()?.place(path)?;
        place.rsplit(':').next()?.parse().ok()
    }

    /// All that the server finds wrong.
    pub(super) fn refused(&self, body: &str, error: &ClientError) -> Vec<Mistake> {
        let ClientError::Refused(refusal) = error else { return vec![Mistake::about(error.to_string())] };
        if refusal.mistakes.is_empty() {
            return vec![Mistake::about(&refusal.message)];
        }
        let one = |mistake: &api::client::Mistake| {
            let line = Some(mistake.path.as_str())
                .filter(|path| !path.is_empty())
                .and_then(|path| self.line(body, path));
            let path = if mistake.path.is_empty() { String::new() } else { format!("{}: ", mistake.path) };
            Mistake::at(line, format!("{path}{}", mistake.errors.join("; ")))
        };
        refusal.mistakes.iter().map(one).collect()
    }
}

/// A definition as JSON that reads well.
pub(super) fn json(object: &Map<String, Value>) -> Result<String, CliError> {
    serde_json::to_string_pretty(object)
        .map(|text| text + "\n")
        .map_err(|error| CliError::internal(format!("cannot write JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_stand_at_the_top_with_the_lines_that_the_editor_shows() {
        let app = "/web".parse().unwrap();
        let page = Page::new(&app, EditFormat::Yaml);
        let body = "# mine\nid: /web\ncpus: -1\n";
        let mistakes = [
            Mistake::at(page.line(body, "/cpus"), "/cpus: must be\n  more"),
            Mistake::about("something else"),
        ];
        let text = page.compose(body, &mistakes);
        insta::assert_snapshot!(text, @r"
        #~ The definition of /web. Save and leave, and it is deployed;
        #~ leave without a change, and nothing happens. What you do not name gets its default.
        #~
        #~ It was not taken:
        #~   line 9: /cpus: must be more
        #~   something else
        # mine
        id: /web
        cpus: -1
        ");
        assert_eq!(text.lines().nth(8), Some("cpus: -1"));
        assert_eq!(page.body(&text), body);
    }

    #[test]
    fn what_the_reader_says_is_taken_apart() {
        for (text, expected) in
            [("id: /web\ncmd: [\n", Some(2)), ("{\"id\": \"/web\",\n\"cpus\": }", Some(2)), ("", None)]
        {
            let errors = input::parse("", text).unwrap_err();
            let mistake = Mistake::of_reading(&errors[0]);
            assert_eq!(mistake.line.map(|line| line.min(2)), expected, "{mistake:?}");
            assert!(!mistake.words.starts_with([':', ' ']) && !mistake.words.is_empty(), "{mistake:?}");
        }
    }
}
