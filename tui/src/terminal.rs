//! The edge: the terminal and the one loop.

use crate::{Backend, Options};

/// The terminal cannot be used.
#[derive(Debug)]
pub struct TerminalError(pub std::io::Error);

/// Runs the dashboard until it is quit.
///
/// # Errors
/// When the terminal cannot be set up or written to.
pub async fn run(_backend: impl Backend, _options: Options) -> Result<(), TerminalError> {
    Ok(())
}
