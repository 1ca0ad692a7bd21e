//! The files of a task's sandbox.

use std::path::Path;

use api::client::Client;
use tokio::fs;

use super::view;
use crate::error::CliError;
use crate::event::Event;
use crate::exit::Exit;
use crate::output::OutputArgs;
use crate::printer::Printer;
use crate::sandbox::Sandbox;
use crate::text;

/// Lists a directory.
pub(super) async fn list(
    ui: &mut Printer,
    client: &Client,
    sandbox: &Sandbox,
    path: &str,
    output: OutputArgs,
) -> Result<Exit, CliError> {
    let answer = client
        .browse(&sandbox.agent, &sandbox.path(path))
        .await
        .map_err(|error| missing(error.into(), path))?;
    if answer.as_array().is_some_and(Vec::is_empty) && output.is_table() && !ui.is_json() {
        ui.hint("there are no files");
        return Ok(Exit::Done);
    }
    let now = text::now();
    output.show(ui, "files", &answer, |wide| view::files(&answer, sandbox, wide, now).render())
}

/// Fetches one file, which appears under its name when it is whole.
pub(super) async fn download(
    ui: &mut Printer,
    client: &Client,
    sandbox: &Sandbox,
    path: &str,
    to: &Path,
) -> Result<Exit, CliError> {
    let shown = to.display().to_string();
    let unwritable =
        |error: std::io::Error| CliError::usage(format!("cannot write {shown}")).caused_by(&error);
    let mut partial = to.as_os_str().to_owned();
    partial.push(".partial");
    let mut file = fs::File::create(&partial).await.map_err(unwritable)?;
    let written = client.download(&sandbox.agent, &sandbox.path(path), &mut file).await;
    let bytes = match written {
        Ok(bytes) => bytes,
        Err(error) => {
            // The first error is the one to tell.
            let _ = fs::remove_file(&partial).await;
            return Err(missing(error.into(), path));
        }
    };
    file.sync_all().await.map_err(unwritable)?;
    fs::rename(&partial, to).await.map_err(unwritable)?;
    ui.result(
        &format!("wrote {shown}, {}\n", text::bytes(bytes)),
        &Event::Done { what: "downloaded", name: &shown },
    )?;
    Ok(Exit::Done)
}

fn missing(error: CliError, path: &str) -> CliError {
    let error = if path.is_empty() { error } else { error.context(path) };
    error.hint("`clusterctl task files TASK` lists the sandbox; a sandbox goes some time after its task")
}
