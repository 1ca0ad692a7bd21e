//! Puts the commit and the build date into the binary, for `clusterctl --version`.
//!
//! Only the root package has this, so that a commit alone recompiles no other crate. A source tree
//! without git builds as well: its commit is `unknown`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};
use std::{env, error, fs};

#[path = "src/version/date.rs"]
mod date;

/// What the binary is made from. A change elsewhere (tests, pages) makes no build dirty.
const SOURCES: [&str; 9] = [
    "build.rs",
    "Cargo.toml",
    "Cargo.lock",
    "src",
    "installer",
    "packages-universe",
    "templates",
    "runtime",
    "tui",
];

fn main() -> Result<(), Box<dyn error::Error>> {
    // Every task has a shim, which is this program: at a fixed address the linker, not each process, writes the addresses
    // into its tables, and all shims share these pages (ARCHITECTURE.md, decisions).
    println!("cargo:rustc-link-arg-bins=-no-pie");
    println!("cargo:rustc-env=CLUSTERCTL_COMMIT={}", commit().as_deref().unwrap_or("unknown"));
    println!("cargo:rustc-env=CLUSTERCTL_BUILD_DATE={}", date::civil(build_second()? / 86_400));

    println!("cargo:rerun-if-env-changed=SOURCE_DATE_EPOCH");
    for path in SOURCES.iter().map(PathBuf::from).filter(|path| path.exists()).chain(git_state()) {
        println!("cargo:rerun-if-changed={}", path.display());
    }
    Ok(())
}

/// The commit that was built, with `-dirty` when the sources differ from it.
fn commit() -> Option<String> {
    // Sources that lie unpacked inside some other project's checkout have no commit of their own.
    if !git(&["rev-parse", "--show-prefix"])?.is_empty() {
        return None;
    }
    let commit = git(&["rev-parse", "--verify", "--short=12", "HEAD"])?;
    let changes = git(&[&["status", "--porcelain", "--"], SOURCES.as_slice()].concat())?;
    Some(if changes.is_empty() { commit } else { format!("{commit}-dirty") })
}

/// The files of git whose change means that another commit is checked out.
///
/// Only paths that exist: cargo takes a missing one for changed, and would run this at every build.
fn git_state() -> Vec<PathBuf> {
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    ["HEAD", "packed-refs"]
        .into_iter()
        .filter_map(git_path)
        .filter(|path| path.exists())
        .chain(branch.as_deref().and_then(git_path).and_then(|path| nearest_existing(&path)))
        .collect()
}

/// Where git keeps `name`, also in a worktree, whose branches lie in the main checkout.
fn git_path(name: &str) -> Option<PathBuf> {
    git(&["rev-parse", "--git-path", name]).map(PathBuf::from)
}

/// A branch that is packed or has no commit yet has no file: the folder where it will appear changes instead.
fn nearest_existing(path: &Path) -> Option<PathBuf> {
    path.ancestors().find(|path| fs::metadata(path).is_ok()).map(Path::to_path_buf)
}

/// What git answers, or nothing where there is no git, no checkout, or not that object.
fn git(arguments: &[&str]) -> Option<String> {
    // `status` would else refresh the index, and compete for its lock with a git the user runs.
    let output = Command::new("git").env("GIT_OPTIONAL_LOCKS", "0").args(arguments).output().ok()?;
    if !output.status.success() {
        return None;
    }
    String::from_utf8(output.stdout).ok().map(|text| text.trim_end().to_owned())
}

/// Seconds since 1970: now, or what a reproducible build says is now.
fn build_second() -> Result<u64, Box<dyn error::Error>> {
    match env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text.parse().map_err(|cause| format!("SOURCE_DATE_EPOCH={text}: {cause}").into()),
        Err(env::VarError::NotPresent) => Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs()),
        Err(cause) => Err(format!("SOURCE_DATE_EPOCH: {cause}").into()),
    }
}
