//! `clusterctl init`: asks a few questions and writes the first inventory.

use std::env;
use std::fs::{self, OpenOptions};
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use dialoguer::Input;
use inventory::answers;

use crate::confirm::confirm;
use crate::error::CliError;
use crate::event::Event;
use crate::exit::Exit;
use crate::inventory_file::{self, DEFAULT};
use crate::printer::Printer;
use crate::text::count;

mod questions;

use questions::{Asked, Likely, Question};

const EXAMPLES: &str = "\
Examples:
  clusterctl init                  asks, and writes inventory.yaml
  clusterctl init --name demo --user admin --master 192.0.2.11 --agent '192.0.2.[21:40]'
  clusterctl init --name lab --user root --master m1=192.0.2.11 --agent m1=192.0.2.11 --agent db=192.0.2.50 lab.yaml

Every question has a flag; on a terminal what no flag says is asked, elsewhere it is an error.";

/// Arguments of `clusterctl init`.
#[derive(Args, Debug, Default)]
#[command(after_help = EXAMPLES)]
pub(crate) struct InitArgs {
    /// Where to write the inventory
    #[arg(value_name = "FILE", default_value = DEFAULT)]
    file: PathBuf,
    /// Name of the cluster
    #[arg(long)]
    name: Option<String>,
    /// Whom to log in as on all hosts
    #[arg(long)]
    user: Option<String>,
    /// File of your private key, or `agent` for those of the SSH agent
    #[arg(long, value_name = "FILE")]
    identity_file: Option<String>,
    /// Machines that lead: one, three or five; ADDRESS or NAME=ADDRESS, several with commas or by repeating the flag
    #[arg(long = "master", value_name = "ADDRESS")]
    masters: Vec<String>,
    /// Machines that run tasks, and ranges of them like `192.0.2.[21:40]`; one that leads may stand here too
    #[arg(long = "agent", value_name = "ADDRESS")]
    agents: Vec<String>,
    /// Whom tasks run as that name no user [default: nobody]
    #[arg(long, value_name = "USER")]
    task_user: Option<String>,
    /// Write over a file that is there
    #[arg(long)]
    force: bool,
}

/// Asks and writes.
pub(crate) fn run(ui: &mut Printer, args: &InitArgs) -> Result<Exit, CliError> {
    questions::check_flags(args)?;
    let name = args.file.display().to_string();
    let is_attended = !ui.is_json() && io::stdin().is_terminal() && io::stderr().is_terminal();
    let mut may_replace = args.force;
    if !may_replace && is_there(&args.file) {
        if !is_attended {
            return Err(exists(&name));
        }
        confirm(ui, false, &format!("{name} exists. Write a new one in its place?"))?;
        may_replace = true;
    }
    let missing = questions::missing(args);
    let answers = if is_attended {
        questions::ask(args, &likely(&args.file), &mut Terminal)?
    } else if missing.is_empty() {
        questions::from_flags(args)?
    } else {
        return Err(CliError::usage(format!(
            "nobody is here to answer, and flags are missing: {}",
            missing.join(", ")
        ))
        .hint("`clusterctl init --help` shows an example with all of them"));
    };
    let inventory = answers.check().map_err(|mistakes| inventory_file::refused("the answers", &mistakes))?;
    write(&args.file, may_replace, answers::render(&answers).as_bytes()).map_err(|cause| {
        match cause.kind() {
            io::ErrorKind::AlreadyExists => exists(&name),
            _ => CliError::usage(format!("cannot write {name}")).caused_by(&cause),
        }
    })?;
    let hosts = count(inventory.hosts.len() as u64, "host");
    let done = format!("{name} describes the cluster {} of {hosts}\n", inventory.cluster.name);
    ui.result(&done, &Event::Done { what: "written", name: &name })?;
    ui.hint(&format!("look it over, then `clusterctl install {name}`"));
    Ok(Exit::Done)
}

fn exists(name: &str) -> CliError {
    CliError::usage(format!("{name} exists already")).hint("`--force` writes a new one in its place")
}

/// Also when it is a link to nothing.
fn is_there(file: &Path) -> bool {
    file.symlink_metadata().is_ok()
}

fn likely(file: &Path) -> Likely {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = fs::canonicalize(folder).unwrap_or_default();
    Likely::find(&folder, |name| env::var(name).ok(), Path::is_file)
}

/// Writes beside the file, then puts it in its place: a file is never half written.
fn write(file: &Path, may_replace: bool, bytes: &[u8]) -> io::Result<()> {
    // Where the file is a link to one that is kept elsewhere, the link stays.
    let target = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let name = target.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::IsADirectory))?;
    let mut beside = std::ffi::OsString::from(".");
    beside.push(name);
    beside.push(format!(".{}", std::process::id()));
    let beside = target.with_file_name(beside);
    let written = write_new(&beside, &target, bytes).and_then(|()| {
        if !may_replace && is_there(file) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        fs::rename(&beside, &target)
    });
    if written.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&beside);
    }
    written
}

/// With the rights of the one that it replaces.
fn write_new(beside: &Path, target: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(beside)?;
    if let Ok(before) = fs::metadata(target) {
        file.set_permissions(before.permissions())?;
    }
    file.write_all(bytes)?;
    file.sync_all()
}

/// Somebody at a terminal.
struct Terminal;

impl Asked for Terminal {
    fn ask(&mut self, question: &Question<'_>) -> Result<String, CliError> {
        let mut input = Input::<String>::new().with_prompt(question.text);
        if let Some(default) = &question.default {
            input = input.default(default.clone());
        }
        let check = question.check;
        let answer = input.validate_with(|answer: &String| check(answer.trim())).interact_text();
        answer.map(|answer| answer.trim().to_owned()).map_err(|dialoguer::Error::IO(cause)| {
            match cause.kind() {
                io::ErrorKind::Interrupted | io::ErrorKind::UnexpectedEof => {
                    CliError::interrupted("nothing was written")
                }
                _ => CliError::internal("cannot read the answer").caused_by(&cause),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_only_when_it_may_be_and_never_left_half_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("inventory.yaml");
        write(&file, false, b"one").unwrap();
        assert_eq!(write(&file, false, b"two").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&file).unwrap(), "one");
        write(&file, true, b"two").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
        assert!(write(&folder.path().join("none/inventory.yaml"), true, b"x").is_err());
    }

    #[test]
    fn a_link_stays_a_link_and_rights_stay() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let folder = tempfile::tempdir().unwrap();
        let (kept, file) = (folder.path().join("kept"), folder.path().join("inventory.yaml"));
        fs::write(&kept, "one").unwrap();
        fs::set_permissions(&kept, fs::Permissions::from_mode(0o600)).unwrap();
        symlink(&kept, &file).unwrap();
        write(&file, true, b"two").unwrap();
        assert!(file.symlink_metadata().unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&kept).unwrap(), "two");
        assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
