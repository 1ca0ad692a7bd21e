//! A text in the user's editor: in a private file, which is kept when what was typed could not be used.

use std::env;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use crate::error::CliError;

/// The most that is read back, in bytes; more is no definition.
const MOST: u64 = 8 << 20;

/// How many names are tried for a file that nobody else has.
const NAMES: u32 = 100;

/// A file that is being edited.
pub(crate) struct Draft {
    path: PathBuf,
}

impl Draft {
    /// An empty file in the directory for temporary files, which only the user can read: a definition may hold secrets.
    pub(crate) fn new(name: &str, ending: &str) -> Result<Self, CliError> {
        let folder = env::temp_dir();
        let mut last = None;
        for number in 0..NAMES {
            let path = folder.join(format!("clusterctl{name}-{}-{number}.{ending}", std::process::id()));
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Ok(_) => return Ok(Self { path }),
                Err(error) => last = Some(error),
            }
        }
        let error = CliError::internal(format!("cannot make a file in {}", folder.display()));
        Err(last
            .iter()
            .fold(error, |error, cause| error.caused_by(cause))
            .hint("TMPDIR names another directory"))
    }

    fn fault(&self, what: &str, error: &std::io::Error) -> CliError {
        CliError::internal(format!("cannot {what} {}", self.path.display())).caused_by(error)
    }

    pub(crate) fn write(&self, text: &str) -> Result<(), CliError> {
        let file = OpenOptions::new().write(true).truncate(true).create(true).mode(0o600).open(&self.path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| self.fault("write", &error))
    }

    /// Runs the editor until it ends; what stands in the file then.
    pub(crate) async fn edit(&self) -> Result<String, CliError> {
        // Ctrl-C in the editor is the editor's; this program must be there when the editor ends.
        let _heard = signal(SignalKind::interrupt())
            .map_err(|error| CliError::internal("cannot hear Ctrl-C").caused_by(&error))?;
        let editor = editor(|name| env::var(name).ok());
        // The shell takes an editor with arguments apart, as people write it: EDITOR='code --wait'.
        let status =
            Command::new("sh").args(["-c", &format!("{editor} \"$@\""), "sh"]).arg(&self.path).status().await;
        match status {
            Ok(status) if status.success() => {}
            Ok(status) => {
                return Err(self.kept(
                    CliError::usage(format!(
                        "the editor `{editor}` ended with {status}; nothing was changed"
                    ))
                    .hint("VISUAL or EDITOR names another one"),
                ));
            }
            Err(error) => {
                return Err(
                    self.kept(CliError::internal("cannot start a shell for the editor").caused_by(&error))
                );
            }
        }
        let size = fs::metadata(&self.path).map_err(|error| self.fault("read", &error))?.len();
        if size > MOST {
            return Err(self.kept(CliError::usage(format!("the text is larger than {} MiB", MOST >> 20))));
        }
        fs::read_to_string(&self.path).map_err(|error| self.fault("read", &error))
    }

    /// An error that says where the text is.
    pub(crate) fn kept(&self, error: CliError) -> CliError {
        error.hint(format!("what you wrote is in {}", self.path.display()))
    }

    /// The text is of no use any more.
    pub(crate) fn remove(self) {
        remove(&self.path);
    }
}

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::warn!(path = %path.display(), %error, "cannot remove");
    }
}

/// What the user calls an editor.
fn editor(variable: impl Fn(&str) -> Option<String>) -> String {
    let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
    set("VISUAL").or_else(|| set("EDITOR")).unwrap_or_else(|| "vi".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn visual_goes_before_editor_and_vi_is_everywhere() {
        let of = |variables: &[(&str, &str)]| {
            editor(|name| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            })
        };
        assert_eq!(of(&[("VISUAL", "code --wait"), ("EDITOR", "ed")]), "code --wait");
        assert_eq!(of(&[("VISUAL", " "), ("EDITOR", "ed")]), "ed");
        assert_eq!(of(&[]), "vi");
    }

    #[test]
    fn a_draft_is_the_users_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let draft = Draft::new("-test", "yaml").unwrap();
        draft.write("id: /web\n").unwrap();
        assert_eq!(fs::metadata(&draft.path).unwrap().permissions().mode() & 0o777, 0o600);
        let path = draft.path.clone();
        draft.remove();
        assert!(!path.exists());
    }
}
