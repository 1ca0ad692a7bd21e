//! What the dashboard hears.

use api::watch::Frame;
use crossterm::event::{KeyEvent, MouseEvent};
use serde_json::Value;

/// Everything that changes the state. Times are milliseconds since 1970.
#[derive(Clone, Debug)]
pub enum Input {
    /// A key was pressed.
    Key(KeyEvent),
    /// The mouse did something; only while it is on.
    Mouse(MouseEvent),
    /// Text was pasted.
    Paste(String),
    /// The terminal has this size: columns, rows.
    Resize(u16, u16),
    /// What time it is. Comes once a second, and before everything else that comes.
    Tick(u64),
    /// The cluster's stream said something.
    Frame(Box<Frame>),
    /// How the stream stands.
    Connection(Connection),
    /// What became of a request.
    Answer(u64, Result<Value, Failed>),
    /// How far a long request has come: a package on its way to the masters.
    Progress(u64, Progress),
    /// A log that is followed has more.
    Log(u64, LogPiece),
}

/// How the stream of the cluster stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connection {
    /// It is being made.
    Connecting,
    /// It is there.
    Live,
    /// It is not there, for this reason; it is tried again.
    Lost(String),
}

/// A request that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failed {
    /// What went wrong, in a sentence.
    pub text: String,
    /// What to do instead; empty when nothing is known.
    pub hint: String,
    /// It was refused since a deployment holds the service: it can be forced.
    pub locked: bool,
    /// The answer's body, where there was one.
    pub body: Value,
}

/// How far something long has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Which of the things it does: the name of an artifact, or of a step.
    pub step: String,
    /// What happens to it: `downloading`, `checking`, `uploading`, `done`.
    pub what: String,
    /// How much is done, in bytes or what else is counted.
    pub done: u64,
    /// Of how much; 0 when it is not known.
    pub of: u64,
}

/// More of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPiece {
    /// The task.
    pub task: String,
    /// It was written to standard error.
    pub stderr: bool,
    /// The text, of whole lines where they are; nothing of it is cleaned.
    pub text: String,
    /// Something that concerns the reading itself: the file is gone, the agent does not answer.
    pub fault: Option<String>,
}
