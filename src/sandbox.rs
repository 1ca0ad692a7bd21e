//! What a task wrote: its sandbox's files, read through the master piece by piece.

use api::client::{Client, ClientError};
use serde_json::Value;

use crate::value;

/// How much one request reads, in bytes: less than servers give, so that all that was asked for comes.
const PIECE: u64 = 32 << 10;

/// How far back the last lines are looked for, in bytes.
const FARTHEST: u64 = 8 << 20;

/// A line longer than this, in bytes, is shown in parts.
const LONGEST_LINE: usize = 64 << 10;

/// The directory of a task's run, as the files interface names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sandbox {
    /// The agent that has it.
    pub(crate) agent: String,
    root: String,
}

impl Sandbox {
    /// Of a task as `/tasks` lists it. A command task's executor has the task's id.
    pub(crate) fn of(task: &Value) -> Option<Self> {
        let executor = Some(value::text(task, "executor_id")).filter(|id| !id.is_empty());
        let executor = executor.unwrap_or(value::text(task, "id"));
        Self::new(value::text(task, "slave_id"), value::text(task, "framework_id"), executor)
    }

    /// Of a task of which only ids are known.
    pub(crate) fn new(agent: &str, framework: &str, executor: &str) -> Option<Self> {
        let known = [agent, framework, executor].iter().all(|id| !id.is_empty() && !id.contains('/'));
        known.then(|| Self {
            agent: agent.to_owned(),
            root: format!("/frameworks/{framework}/executors/{executor}/runs/latest"),
        })
    }

    /// The virtual path of something in it.
    pub(crate) fn path(&self, within: &str) -> String {
        match within.trim_matches('/') {
            "" => self.root.clone(),
            within => format!("{}/{within}", self.root),
        }
    }

    /// The part of a virtual path that is within it.
    pub(crate) fn within<'a>(&self, path: &'a str) -> &'a str {
        // The server may name the run itself where `latest` was asked for.
        let after = path.split_once("/runs/").and_then(|(_, rest)| rest.split_once('/'));
        after.map_or(path, |(_, within)| within)
    }
}

/// Makes lines of pieces.
#[derive(Debug, Default)]
struct Lines {
    open: String,
}

impl Lines {
    fn push(&mut self, text: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for piece in text.split_inclusive('\n') {
            self.open.push_str(piece);
            if self.open.ends_with('\n') || self.open.len() > LONGEST_LINE {
                let mut line = std::mem::take(&mut self.open);
                line.truncate(line.trim_end_matches(['\r', '\n']).len());
                lines.push(line);
            }
        }
        lines
    }
}

/// How much of a piece can be taken: its text, and how many bytes of the file that is. A character that the end of the
/// piece cuts in two comes as a mark of replacement; it is left for the next piece.
fn usable(data: &str, asked: u64) -> (&str, u64) {
    if data.len() as u64 == asked {
        return (data, asked);
    }
    let whole = data.trim_end_matches('\u{fffd}');
    let exact = !whole.contains('\u{fffd}') && asked.saturating_sub(whole.len() as u64) <= 3;
    if exact && !whole.is_empty() { (whole, whole.len() as u64) } else { (data, asked) }
}

/// A file that grows, and how far it was read.
pub(crate) struct Reader<'a> {
    client: &'a Client,
    agent: String,
    path: String,
    offset: u64,
    lines: Lines,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(client: &'a Client, sandbox: &Sandbox, file: &str) -> Self {
        Self {
            client,
            agent: sandbox.agent.clone(),
            path: sandbox.path(file),
            offset: 0,
            lines: Lines::default(),
        }
    }

    /// The last `count` lines, and no more than the last 8 MiB. [`Self::more`] goes on from there.
    pub(crate) async fn last(&mut self, count: usize) -> Result<Vec<String>, ClientError> {
        let size = self.client.file_size(&self.agent, &self.path).await?;
        self.offset = size;
        self.lines = Lines::default();
        if count == 0 {
            return Ok(Vec::new());
        }
        let mut back = PIECE;
        loop {
            self.offset = size.saturating_sub(back);
            self.lines = Lines::default();
            let mut lines = self.up_to(size).await?;
            let open = usize::from(!self.lines.open.is_empty());
            if self.offset_was_start(size, back) || lines.len() + open > count || back >= FARTHEST {
                let first_is_cut = !self.offset_was_start(size, back);
                if first_is_cut && !lines.is_empty() {
                    lines.remove(0);
                }
                lines.drain(..(lines.len() + open).saturating_sub(count).min(lines.len()));
                return Ok(lines);
            }
            back *= 4;
        }
    }

    fn offset_was_start(&self, size: u64, back: u64) -> bool {
        size <= back
    }

    /// What was written since, in whole lines.
    pub(crate) async fn more(&mut self) -> Result<Vec<String>, ClientError> {
        let size = self.client.file_size(&self.agent, &self.path).await?;
        if size < self.offset {
            // The shim began a new file when the old one was full.
            self.offset = 0;
        }
        self.up_to(size).await
    }

    /// What is left of a line that has no end yet.
    pub(crate) fn rest(&mut self) -> Option<String> {
        Some(std::mem::take(&mut self.lines.open)).filter(|line| !line.is_empty())
    }

    async fn up_to(&mut self, size: u64) -> Result<Vec<String>, ClientError> {
        let mut lines = Vec::new();
        while self.offset < size {
            let asked = (size - self.offset).min(PIECE);
            let piece = self.client.read_file(&self.agent, &self.path, self.offset, asked).await?;
            if piece.data.is_empty() {
                break;
            }
            let (text, bytes) = usable(&piece.data, asked);
            lines.extend(self.lines.push(text));
            self.offset += bytes;
        }
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_command_task_has_a_sandbox_of_its_own_name() {
        let task = json!({"id": "t.1", "executor_id": "", "framework_id": "F", "slave_id": "S"});
        let sandbox = Sandbox::of(&task).unwrap();
        assert_eq!(sandbox.path(""), "/frameworks/F/executors/t.1/runs/latest");
        assert_eq!(sandbox.path("/logs/"), "/frameworks/F/executors/t.1/runs/latest/logs");
        assert_eq!(sandbox.within("/frameworks/F/executors/t.1/runs/latest/logs/a"), "logs/a");
        assert_eq!(Sandbox::of(&json!({"id": "t.1"})), None);
    }

    #[test]
    fn pieces_make_lines_wherever_they_are_cut() {
        let mut lines = Lines::default();
        assert_eq!(lines.push("one\ntw"), ["one"]);
        assert_eq!(lines.push("o\r\n\nthr"), ["two", ""]);
        assert_eq!(lines.open, "thr");
        assert_eq!(lines.push(&"x".repeat(LONGEST_LINE)).len(), 1);
    }

    #[test]
    fn a_character_that_is_cut_in_two_is_left_for_the_next_piece() {
        assert_eq!(usable("héllo", 6), ("héllo", 6));
        assert_eq!(usable("h\u{fffd}", 2), ("h", 1));
        assert_eq!(usable("a\u{fffd}b\u{fffd}", 4), ("a\u{fffd}b\u{fffd}", 4));
        assert_eq!(usable("\u{fffd}", 1), ("\u{fffd}", 1));
    }
}
