//! Packages from directories, archives and repository indexes. A bad package does not hide the others.

mod archive;
mod native;
mod old;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::{fs, io};

use serde_json::{Value, json};

use crate::fault::{Fault, Problem, Severity};
use crate::package::{Form, Package};
use crate::version;

pub use archive::archive;

/// How large one file of a package may be, in bytes.
const LARGEST_FILE: u64 = 4 << 20;
/// How much all files together may be, in bytes.
const MOST_BYTES: u64 = 256 << 20;
/// How many files and directories are looked at.
const MOST_ENTRIES: usize = 100_000;
/// How deep directories are looked into.
const DEEPEST: usize = 10;

/// The files that packages consist of.
const FILES: [&str; 9] = [
    "package.json",
    "config.json",
    "resource.json",
    "command.json",
    "marathon.json.mustache",
    "package.yaml",
    "config.yaml",
    "resource.yaml",
    "service.json.tera",
];

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The packages that can be used.
    pub packages: Vec<Package>,
    /// What is wrong with the others; warnings with these, too.
    pub faults: Vec<Fault>,
}

impl Loaded {
    /// The faults for which something was not loaded.
    pub fn errors(&self) -> impl Iterator<Item = &Fault> {
        self.faults.iter().filter(|fault| fault.severity == Severity::Error)
    }
}

/// Why nothing could be loaded at all.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// What.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The index is none.
    #[error("this is no repository index: {0}")]
    Index(String),
    /// The archive is none.
    #[error("this is no zip, tar or tar.gz: {0}")]
    Archive(String),
    /// The archive holds what a good one does not.
    #[error("the archive is refused: {0}")]
    Refused(String),
    /// It is more than a repository is.
    #[error("this is more than a repository may be: {0}")]
    TooLarge(String),
}

/// The files of packages, by directory and name.
type Tree = BTreeMap<String, BTreeMap<String, Vec<u8>>>;

/// A package, and the release that its place says.
struct Read {
    package: Package,
    release: Option<u64>,
}

/// Loads a package's directory, a catalogue (`<name>/<version>/`), or a tree of the old form (`repo/packages/<F>/<name>/<n>/`).
/// Links are not followed.
///
/// # Errors
/// When the directory cannot be read, or is larger than repositories are.
pub fn directory(path: &Path) -> Result<Loaded, LoadError> {
    let (tree, mut faults) = collect(path)?;
    let mut loaded = from_tree(&tree, Some(path));
    loaded.faults.append(&mut faults);
    Ok(loaded)
}

/// The files below a directory, and what was passed over.
fn collect(path: &Path) -> Result<(Tree, Vec<Fault>), LoadError> {
    let failed = |path: &Path, source| LoadError::Read { path: path.display().to_string(), source };
    let (mut tree, mut faults) = (Tree::new(), Vec::new());
    let mut budget = Budget::default();
    let mut open = vec![(path.to_owned(), String::new(), 0)];
    while let Some((directory, name, depth)) = open.pop() {
        for entry in fs::read_dir(&directory).map_err(|error| failed(&directory, error))? {
            let entry = entry.map_err(|error| failed(&directory, error))?;
            budget.entry()?;
            let file = entry.file_name().to_string_lossy().into_owned();
            let inner = if name.is_empty() { file.clone() } else { format!("{name}/{file}") };
            let kind = entry.file_type().map_err(|error| failed(&entry.path(), error))?;
            if kind.is_dir() {
                if depth < DEEPEST && !file.starts_with('.') {
                    open.push((entry.path(), inner, depth + 1));
                }
            } else if FILES.contains(&file.as_str()) {
                if !kind.is_file() {
                    faults.push(Fault::error(
                        &inner,
                        None,
                        "this is no plain file, and is not read",
                        "links are not followed: copy the file here",
                    ));
                    continue;
                }
                let source = fs::File::open(entry.path()).map_err(|error| failed(&entry.path(), error))?;
                let content = budget.read(source, &inner).map_err(|error| match error {
                    LoadError::Read { source, .. } => failed(&entry.path(), source),
                    other => other,
                })?;
                tree.entry(name.clone()).or_default().insert(file, content);
            }
        }
    }
    Ok((tree, faults))
}

/// Counts what is read.
#[derive(Default)]
struct Budget {
    entries: usize,
    bytes: u64,
}

impl Budget {
    fn entry(&mut self) -> Result<(), LoadError> {
        self.entries += 1;
        if self.entries > MOST_ENTRIES {
            return Err(LoadError::TooLarge(format!("it has more than {MOST_ENTRIES} files")));
        }
        Ok(())
    }

    fn read(&mut self, source: impl io::Read, name: &str) -> Result<Vec<u8>, LoadError> {
        use io::Read as _;
        let mut content = Vec::new();
        let read = source.take(LARGEST_FILE + 1).read_to_end(&mut content);
        read.map_err(|source| LoadError::Read { path: name.to_owned(), source })?;
        self.bytes += content.len() as u64;
        if content.len() as u64 > LARGEST_FILE {
            return Err(LoadError::TooLarge(format!("{name} has more than {LARGEST_FILE} bytes")));
        }
        if self.bytes > MOST_BYTES {
            return Err(LoadError::TooLarge(format!("its files have more than {MOST_BYTES} bytes together")));
        }
        Ok(content)
    }
}

/// The packages of a tree. `base` is where it is on this machine.
fn from_tree(tree: &Tree, base: Option<&Path>) -> Loaded {
    let (mut read, mut faults) = (Vec::new(), Vec::new());
    for (directory, files) in tree {
        let place = Place { directory, files };
        let one = if files.contains_key("package.yaml") {
            native::read(&place, base.is_some(), &mut faults)
        } else if files.contains_key("package.json") {
            old::read(&place, &mut faults)
        } else {
            let file = files.keys().next().map(String::as_str).unwrap_or_default();
            let hint = "a package's directory has package.yaml, or package.json in the old form";
            faults.push(Fault::error(&place.name(file), None, "this belongs to no package", hint));
            None
        };
        if let Some(mut one) = one {
            one.package.base = base.map(|base| base.join(directory));
            read.push(one);
        }
    }
    Loaded { packages: released(read, &mut faults), faults }
}

/// Loads a repository index: `{"packages": […]}` as v3 to v5 have it, with whatever media type.
///
/// # Errors
/// When it is no such object, or larger than indexes are.
pub fn index(bytes: &[u8]) -> Result<Loaded, LoadError> {
    if bytes.len() as u64 > MOST_BYTES {
        return Err(LoadError::TooLarge(format!("it has more than {MOST_BYTES} bytes")));
    }
    let index: Value = serde_json::from_slice(bytes).map_err(|error| LoadError::Index(error.to_string()))?;
    let packages = index.get("packages").and_then(Value::as_array);
    let packages = packages.ok_or_else(|| LoadError::Index("it has no list `packages`".to_owned()))?;
    if packages.len() > MOST_ENTRIES {
        return Err(LoadError::TooLarge(format!("it has more than {MOST_ENTRIES} packages")));
    }
    let (mut read, mut faults) = (Vec::new(), Vec::new());
    for (at, definition) in packages.iter().enumerate() {
        let mut problems = Vec::new();
        let one = old::from_definition(definition.clone(), &mut problems);
        let text = |key: &str| definition.get(key).and_then(Value::as_str).unwrap_or("?");
        let file = format!("packages[{at}] ({} {})", text("name"), text("version"));
        faults.extend(problems.into_iter().map(|problem| Fault {
            severity: problem.severity,
            ..Fault::error(&file, None, in_path(&problem), &problem.hint)
        }));
        read.extend(one);
    }
    Ok(Loaded { packages: released(read, &mut faults), faults })
}

/// What a problem is, with the path to it where no line says that.
fn in_path(problem: &Problem) -> String {
    if problem.path.is_empty() {
        problem.what.clone()
    } else {
        format!("{}: {}", problem.path.join("."), problem.what)
    }
}

/// Gives a release to packages whose place says none, by the order of their versions.
fn released(read: Vec<Read>, faults: &mut Vec<Fault>) -> Vec<Package> {
    let mut unknown: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for one in read.iter().filter(|one| one.release.is_none()) {
        unknown.entry(one.package.name.clone()).or_default().push(one.package.version.clone());
    }
    for versions in unknown.values_mut() {
        versions.sort_by(|a, b| version::compare(a, b));
        versions.dedup();
    }
    let mut seen = BTreeSet::new();
    let mut packages = Vec::new();
    for Read { mut package, release } in read {
        // Of the old form, the later release of a version counts.
        if package.form == Form::Native && !seen.insert((package.name.clone(), package.version.clone())) {
            let what = format!("{} {} is here twice", package.name, package.version);
            let file = package.base.as_ref().map_or_else(
                || "package.yaml".to_owned(),
                |base| base.join("package.yaml").display().to_string(),
            );
            faults.push(Fault::error(&file, None, what, "each version has a directory of its own"));
            continue;
        }
        let order =
            unknown.get(&package.name).and_then(|all| all.iter().position(|one| *one == package.version));
        package.release = release.or(order.and_then(|at| u64::try_from(at).ok())).unwrap_or_default();
        if let Some(map) = package.definition.as_object_mut() {
            map.insert("releaseVersion".to_owned(), json!(package.release));
        }
        packages.push(package);
    }
    packages
}

/// The catalogue that is compiled in, as a tree.
pub(crate) fn compiled_in(files: &[(&str, &[u8])]) -> Loaded {
    let mut tree = Tree::new();
    for (path, content) in files {
        let (directory, file) = path.rsplit_once('/').unwrap_or(("", path));
        if FILES.contains(&file) {
            tree.entry(directory.to_owned()).or_default().insert(file.to_owned(), content.to_vec());
        }
    }
    from_tree(&tree, None)
}

/// The files of one package, and where they are.
struct Place<'a> {
    directory: &'a str,
    files: &'a BTreeMap<String, Vec<u8>>,
}

impl Place<'_> {
    /// A file's path below what was loaded.
    fn name(&self, file: &str) -> String {
        if self.directory.is_empty() { file.to_owned() } else { format!("{}/{file}", self.directory) }
    }

    /// A file's text, if there is such a file.
    fn text(&self, file: &str, faults: &mut Vec<Fault>) -> Option<&str> {
        let content = self.files.get(file)?;
        match std::str::from_utf8(content) {
            Ok(text) => Some(text.strip_prefix('\u{feff}').unwrap_or(text)),
            Err(error) => {
                let whole = content.get(..error.valid_up_to()).unwrap_or_default();
                let line = whole.iter().filter(|byte| **byte == b'\n').count() + 1;
                faults.push(Fault::error(
                    &self.name(file),
                    Some(line),
                    "this is no text in UTF-8",
                    "save it as UTF-8",
                ));
                None
            }
        }
    }

    /// A file's problems as faults.
    fn faults(&self, file: &str, text: &str, problems: Vec<Problem>, faults: &mut Vec<Fault>) {
        let name = self.name(file);
        faults.extend(problems.into_iter().map(|problem| problem.at(&name, text)));
    }
}

/// Whether a text is a package's name.
fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    name.len() >= 2
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.ends_with(plain)
        && name.chars().all(|c| plain(c) || c == '-')
}

/// Whether a text is a version as packages have it since 3.0.
fn is_version(version: &str) -> bool {
    !version.is_empty() && version.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'))
}

const NAME_HINT: &str = "lower-case letters, digits and `-`, a letter first, at least two of them";
const VERSION_HINT: &str = "letters, digits, `-` and `.`";
