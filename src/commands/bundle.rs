//! `clusterctl bundle`: what packages bring along, in one file, for places without the internet.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use artifacts::{Obtained, Options, Packed};
use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use universe::artifact::{Artifact, ArtifactKind, Sum};
use universe::{Missing, Package, Repository, Universe};

use crate::commands::package::obtain::Obtaining;
use crate::commands::universe::{hex, sum};
use crate::connect::block_on;
use crate::error::CliError;
use crate::event::Event;
use crate::exit::Exit;
use crate::printer::Printer;
use crate::text;

const EXAMPLES: &str = "\
Examples:
  clusterctl bundle --package spark,elasticsearch --out packages.bundle
  clusterctl bundle --package spark@3.5.9 --out spark.bundle
  clusterctl bundle --package shop --from ./packages --out shop.bundle
  clusterctl bundle load packages.bundle

It is made where there is the internet, and loaded where `clusterctl package install` is to need none.";

/// Arguments of `clusterctl bundle`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct BundleArgs {
    #[command(subcommand)]
    command: Option<BundleCommand>,
    /// The packages, with @VERSION where it is not to be the newest
    #[arg(long, value_name = "PACKAGE", value_delimiter = ',', required = true)]
    package: Vec<String>,
    /// The file to write
    #[arg(long, value_name = "FILE", required = true)]
    out: Option<PathBuf>,
    /// A directory of packages of your own, which are taken before those of the catalogue
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum BundleCommand {
    /// Take what is in a bundle to this machine, for later installs
    #[command(after_help = "Example:\n  clusterctl bundle load packages.bundle")]
    Load {
        /// The bundle
        file: PathBuf,
    },
}

/// Carries out a `bundle` command.
pub(crate) fn run(ui: &mut Printer, args: &BundleArgs) -> Result<Exit, CliError> {
    match (&args.command, &args.out) {
        (Some(BundleCommand::Load { file }), _) => load(ui, file),
        (None, Some(out)) => block_on(make(ui, &args.package, args.from.as_deref(), out)),
        // Clap asks for it.
        (None, None) => Err(CliError::usage("no file to write is named").hint("name it by --out")),
    }
}

async fn make(ui: &mut Printer, names: &[String], from: Option<&Path>, out: &Path) -> Result<Exit, CliError> {
    let universe = universe(from)?;
    let mut chosen = Vec::new();
    for name in names {
        let (name, version) =
            name.split_once('@').map_or((name.as_str(), None), |(name, version)| (name, Some(version)));
        let package = find(&universe, name, version)?;
        if !chosen.contains(&package) {
            chosen.push(package);
        }
    }
    let obtaining = Obtaining::new()?;
    let mut packed = Vec::new();
    for package in chosen {
        let mut artifacts = BTreeMap::new();
        for (name, artifact) in &package.artifacts {
            artifacts.insert(name.clone(), obtaining.obtain(ui, artifact, package.base.as_deref()).await?);
        }
        packed.push(Packed { name: package.name.clone(), version: package.version.clone(), artifacts });
    }
    artifacts::pack(&packed, out).map_err(|error| {
        CliError::failed(format!("{} cannot be written", out.display())).caused_by(&error)
    })?;
    let shown = out.display().to_string();
    let bytes = std::fs::metadata(out).map(|meta| meta.len()).unwrap_or_default();
    let line = format!("{shown}: {}, {}\n", text::count(count(packed.len()), "package"), text::bytes(bytes));
    ui.result(&line, &Event::Done { what: "bundled", name: &shown })?;
    ui.hint(&format!("`clusterctl bundle load {shown}` takes it in, on a machine without the internet"));
    Ok(Exit::Done)
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// The operator's own packages before those that are compiled in.
fn universe(from: Option<&Path>) -> Result<Universe, CliError> {
    let mut repositories = Vec::new();
    if let Some(dir) = from {
        let loaded = universe::load::directory(dir).map_err(|error| {
            CliError::usage(format!("{} cannot be read", dir.display())).caused_by(&error)
        })?;
        if let Some(first) = loaded.errors().next() {
            return Err(CliError::usage(format!("there are mistakes in {}: {first}", dir.display()))
                .hint(format!("`clusterctl universe lint {}` lists all", dir.display())));
        }
        let (name, uri) = (dir.display().to_string(), String::new());
        repositories.push(Repository { name, uri, packages: loaded.packages });
    }
    repositories.push(universe::catalog());
    Ok(Universe::new(repositories))
}

fn find<'u>(universe: &'u Universe, name: &str, version: Option<&str>) -> Result<&'u Package, CliError> {
    universe.find(name, version).map(|found| found.package).map_err(|missing| {
        let error = CliError::usage(missing.to_string());
        match missing {
            Missing::Package { .. } => error.hint("packages of your own are found with --from DIR"),
            Missing::Version { .. } => error,
        }
    })
}

fn load(ui: &mut Printer, file: &Path) -> Result<Exit, CliError> {
    let cache = cache()?;
    let bundle = artifacts::load(file, &cache).map_err(|error| {
        CliError::failed(format!("{} cannot be loaded", file.display())).caused_by(&error)
    })?;
    for package in &bundle.packages {
        note(&cache, package)?;
    }
    let names: Vec<String> =
        bundle.packages.iter().map(|package| format!("{} {}", package.name, package.version)).collect();
    let line = format!("loaded: {}\n", text::visible(&names.join(", ")));
    ui.result(&line, &Event::Done { what: "loaded", name: &file.to_string_lossy() })?;
    if let Some(first) = bundle.packages.first() {
        ui.hint(&format!(
            "`clusterctl package install {}` takes its files from here",
            text::visible(&first.name)
        ));
    }
    Ok(Exit::Done)
}

/// Where downloaded files are kept on this machine.
pub(super) fn cache() -> Result<PathBuf, CliError> {
    Options::usual_cache().ok_or_else(|| {
        CliError::usage("there is no place for downloaded files").hint("set HOME, or XDG_CACHE_HOME")
    })
}

/// What a bundle had for one artifact.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    sha256: String,
    home: String,
    file: String,
    extract: bool,
    source: String,
}

/// Where it stands what a bundle had for this package. A name or version may be anything: its sum is a file's name.
fn notes(cache: &Path, name: &str, version: &str) -> PathBuf {
    let sum = hex(&Sha256::digest(format!("{name}\0{version}")));
    cache.join("bundled").join(format!("{sum}.json"))
}

fn note(cache: &Path, package: &Packed) -> Result<(), CliError> {
    let notes: BTreeMap<&String, Note> = package
        .artifacts
        .iter()
        .map(|(name, one)| {
            let Obtained { sha256, home, file, extract, source, .. } = one.clone();
            (name, Note { sha256, home, file, extract, source })
        })
        .collect();
    let path = self::notes(cache, &package.name, &package.version);
    let write = || {
        let dir = path.parent().unwrap_or(cache);
        std::fs::create_dir_all(dir)?;
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        serde_json::to_writer(file.as_file_mut(), &notes)?;
        file.persist(&path).map_err(|error| error.error)
    };
    write()
        .map(drop)
        .map_err(|error| CliError::failed(format!("{} cannot be written", path.display())).caused_by(&error))
}

/// What a bundle that was loaded here had for an artifact of a package, when it is what the package asks for and still whole.
pub(super) fn bundled(cache: &Path, (name, version): (&str, &str), wanted: &Artifact) -> Option<Obtained> {
    let text = std::fs::read(notes(cache, name, version)).ok()?;
    let Note { sha256, home, file, extract, source } =
        serde_json::from_slice::<BTreeMap<String, Note>>(&text).ok()?.remove(&wanted.name)?;
    let path = cache.join("sha256").join(&sha256);
    let mut open = File::open(&path).ok()?;
    let bytes = open.metadata().ok()?.len();
    let whole = sum(&mut open).ok()? == sha256;
    let obtained = Obtained { path, sha256, bytes, home, file, extract, source };
    (whole && fits(wanted, &obtained.sha256)).then_some(obtained)
}

/// Whether none of the sums that the package states speaks against a file with this one.
pub(super) fn fits(wanted: &Artifact, sha256: &str) -> bool {
    let ArtifactKind::Sources(sources) = &wanted.kind else { return true };
    let stated: Vec<&String> = sources
        .iter()
        .filter_map(|source| match &source.sum {
            Some(Sum::Sha256(sum)) => Some(sum),
            _ => None,
        })
        .collect();
    // One whose sum is of another kind may be the one that it came from.
    stated.len() < sources.len() || stated.iter().any(|sum| *sum == sha256)
}
