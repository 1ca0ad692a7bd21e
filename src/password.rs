//! A password from a file, from standard input, or from a person.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _};
use std::path::Path;

use secrecy::SecretString;

use crate::error::CliError;
use crate::printer::Printer;

/// No password is longer, in bytes.
const LONGEST: u64 = 4096;

/// Reads it from the file (`-`: standard input), of which it is the first line, or asks for it.
pub(crate) fn read(ui: &Printer, file: Option<&Path>, prompt: &str) -> Result<SecretString, CliError> {
    let Some(file) = file else { return ask(ui, prompt, false) };
    from(file)
}

/// The same for a new password, which a person says twice.
pub(crate) fn read_new(ui: &Printer, file: Option<&Path>, prompt: &str) -> Result<SecretString, CliError> {
    let Some(file) = file else { return ask(ui, prompt, true) };
    from(file)
}

fn from(file: &Path) -> Result<SecretString, CliError> {
    let name = if file == Path::new("-") { "standard input".to_owned() } else { file.display().to_string() };
    let read = match name.as_str() {
        "standard input" => first_line(io::stdin().lock()),
        _ => File::open(file).and_then(first_line),
    };
    read.map_err(|cause| CliError::usage(format!("cannot read a password from {name}")).caused_by(&cause))
}

fn first_line(from: impl io::Read) -> io::Result<SecretString> {
    let mut text = String::new();
    from.take(LONGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LONGEST {
        return Err(io::Error::other("it is too long for a password"));
    }
    let line = text.split('\n').next().unwrap_or_default().trim_end_matches('\r');
    if line.is_empty() { Err(io::Error::other("its first line is empty")) } else { Ok(line.into()) }
}

fn ask(ui: &Printer, prompt: &str, twice: bool) -> Result<SecretString, CliError> {
    if ui.is_json() || !io::stdin().is_terminal() {
        return Err(CliError::usage("nobody is here to say the password")
            .hint("`--password-file FILE` reads it, `--password-file -` from standard input"));
    }
    ask_twice(prompt, twice)
}

/// Asks a person, once.
pub(crate) fn ask_once(prompt: &str) -> Result<SecretString, CliError> {
    ask_twice(prompt, false)
}

fn ask_twice(prompt: &str, twice: bool) -> Result<SecretString, CliError> {
    let mut question = dialoguer::Password::new().with_prompt(prompt);
    if twice {
        question = question.with_confirmation("Once more", "They differ");
    }
    let said = question.interact();
    said.map(SecretString::from)
        .map_err(|cause| CliError::interrupted("nobody said a password").caused_by(&cause))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn the_first_line_is_the_password() {
        for (text, password) in
            [("one", "one"), ("one\n", "one"), ("one\r\ntwo\n", "one"), (" a b \nx", " a b ")]
        {
            assert_eq!(first_line(text.as_bytes()).unwrap().expose_secret(), password);
        }
        for text in ["".to_owned(), "\nx".to_owned(), "x".repeat(5000)] {
            assert!(first_line(text.as_bytes()).is_err());
        }
    }
}
