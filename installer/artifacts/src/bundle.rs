//! Packages' artifacts in one file, for operators without the internet.
//!
//! ```text
//! manifest.json      what is in it: packages, their artifacts, their sums
//! sha256/<hex>       each file once, sorted
//! ```
//!
//! It is a plain tar, the same for the same artifacts. Blocks.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::cache::Cache;
use crate::error::Fault;
use crate::names::is_plain;
use crate::resolver::Obtained;
use crate::sums;

/// The form of the manifest.
const FORM: u32 = 1;
const MANIFEST: &str = "manifest.json";
/// A manifest is short.
const MANIFEST_BYTES: u64 = 16 << 20;

/// A package whose artifacts go into a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// The package's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its artifacts, by their names.
    pub artifacts: BTreeMap<String, Obtained>,
}

/// What a bundle has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// The packages, in order.
    pub packages: Vec<Bundled>,
}

/// A package of a bundle, its artifacts in the cache now.
pub type Bundled = Packed;

impl Bundle {
    /// An artifact of a package.
    #[must_use]
    pub fn artifact(&self, package: &str, version: &str, artifact: &str) -> Option<&Obtained> {
        let package = self.packages.iter().find(|one| one.name == package && one.version == version)?;
        package.artifacts.get(artifact)
    }
}

/// Why a bundle is not written or read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BundleError {
    /// A file.
    #[error("{} cannot be used: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The cache.
    #[error(transparent)]
    Cache(#[from] Fault),
    /// It is none.
    #[error("{} is no bundle: {why}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// It is written by a newer version.
    #[error("{} is a bundle of the form {found}, and this version reads up to {FORM}: use a newer clusterctl", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its form.
        found: u32,
    },
    /// A file in it is not what its name says.
    #[error("{}: sha256/{wanted} has the sum {found}: the bundle is damaged; nothing of that file was kept", path.display())]
    Differs {
        /// The file.
        path: PathBuf,
        /// Its name.
        wanted: String,
        /// What it has.
        found: String,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    form: u32,
    packages: Vec<ManifestPackage>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ManifestPackage {
    name: String,
    version: String,
    artifacts: BTreeMap<String, ManifestArtifact>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ManifestArtifact {
    sha256: String,
    bytes: u64,
    home: String,
    file: String,
    extract: bool,
    source: String,
}

fn fault(path: &Path) -> impl Fn(io::Error) -> BundleError {
    move |source| BundleError::Io { path: path.to_owned(), source }
}

/// Writes the artifacts of these packages to `out`, each file once. There is nothing there, or what was, until it is whole.
///
/// # Errors
/// When a file cannot be read or written, or is not what its sum says.
pub fn pack(packages: &[Packed], out: &Path) -> Result<(), BundleError> {
    let manifest = Manifest {
        form: FORM,
        packages: packages
            .iter()
            .map(|package| ManifestPackage {
                name: package.name.clone(),
                version: package.version.clone(),
                artifacts: package.artifacts.iter().map(|(name, one)| (name.clone(), one.into())).collect(),
            })
            .collect(),
    };
    let all = packages.iter().flat_map(|package| package.artifacts.values());
    let files: BTreeMap<&str, &Obtained> = all.map(|one| (one.sha256.as_str(), one)).collect();
    let dir = out.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = tempfile::NamedTempFile::new_in(dir).map_err(fault(dir))?;
    let mut builder = tar::Builder::new(BufWriter::with_capacity(256 << 10, file.as_file()));
    let text = serde_json::to_vec_pretty(&manifest).map_err(|error| fault(out)(error.into()))?;
    let mut header = plain(text.len() as u64);
    builder.append_data(&mut header, MANIFEST, text.as_slice()).map_err(fault(out))?;
    for (sha256, one) in files {
        let open = File::open(&one.path).map_err(fault(&one.path))?;
        let mut hashed = Hashed { inner: open.take(one.bytes), sums: sums::Sums::default() };
        let mut header = plain(one.bytes);
        builder
            .append_data(&mut header, format!("sha256/{sha256}"), &mut hashed)
            .map_err(fault(&one.path))?;
        let found = hashed.sums.end().sha256;
        if found != sha256 {
            let (path, wanted) = (one.path.clone(), sha256.to_owned());
            return Err(BundleError::Differs { path, wanted, found });
        }
    }
    builder.into_inner().and_then(|mut out| out.flush()).map_err(fault(out))?;
    file.as_file().sync_all().map_err(fault(out))?;
    file.persist(out).map_err(|error| fault(out)(error.error))?;
    Ok(())
}

fn plain(bytes: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(bytes);
    header
}

struct Hashed<R> {
    inner: R,
    sums: sums::Sums,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.sums.add(buffer.get(..n).unwrap_or_default());
        Ok(n)
    }
}

impl From<&Obtained> for ManifestArtifact {
    fn from(one: &Obtained) -> Self {
        let Obtained { sha256, bytes, home, file, extract, source, path: _ } = one;
        Self {
            sha256: sha256.clone(),
            bytes: *bytes,
            home: home.clone(),
            file: file.clone(),
            extract: *extract,
            source: source.clone(),
        }
    }
}

/// Puts what is in a bundle into the cache at `cache`, each file when it has its sum.
///
/// # Errors
/// When it is no bundle, is damaged or not whole, or the cache cannot be written.
pub fn load(bundle: &Path, cache: &Path) -> Result<Bundle, BundleError> {
    let cache = Cache::open(cache)?;
    let form = |why: String| BundleError::Form { path: bundle.to_owned(), why };
    let damaged = |error: io::Error| form(error.to_string());
    let file = File::open(bundle).map_err(fault(bundle))?;
    let mut archive = tar::Archive::new(BufReader::with_capacity(256 << 10, file));
    let mut entries = archive.entries().map_err(damaged)?;
    let first = entries.next().ok_or_else(|| form("it is empty".to_owned()))?.map_err(damaged)?;
    let is_manifest = first.header().entry_type().is_file()
        && &*first.path_bytes() == MANIFEST.as_bytes()
        && first.size() <= MANIFEST_BYTES;
    if !is_manifest {
        return Err(form(format!("it does not begin with a {MANIFEST}")));
    }
    let mut text = Vec::new();
    first.take(MANIFEST_BYTES).read_to_end(&mut text).map_err(damaged)?;
    let manifest = read(&text, bundle)?;
    let all = || manifest.packages.iter().flat_map(|package| package.artifacts.values());
    let sizes: BTreeMap<&str, u64> = all().map(|one| (one.sha256.as_str(), one.bytes)).collect();
    let mut there = std::collections::BTreeSet::new();
    for entry in entries {
        let mut entry = entry.map_err(damaged)?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let sum = path.strip_prefix("sha256/").filter(|sum| sizes.get(sum) == Some(&entry.size()));
        let Some(sum) = sum.filter(|_| entry.header().entry_type().is_file()) else {
            return Err(form(format!("its manifest says nothing of the entry {path:?}")));
        };
        let mut temporary = cache.temporary()?;
        let mut hashed = Hashed { inner: &mut entry, sums: sums::Sums::default() };
        io::copy(&mut hashed, temporary.as_file_mut()).map_err(fault(bundle))?;
        let found = hashed.sums.end().sha256;
        if found != sum {
            return Err(BundleError::Differs { path: bundle.to_owned(), wanted: sum.to_owned(), found });
        }
        cache.keep(temporary.path(), sum)?;
        there.insert(sum.to_owned());
    }
    if let Some(missing) = sizes.keys().find(|sum| !there.contains(**sum)) {
        return Err(form(format!("sha256/{missing} is missing; the file may have been cut off")));
    }
    let packages = manifest.packages.into_iter().map(|package| Packed {
        name: package.name,
        version: package.version,
        artifacts: package.artifacts.into_iter().map(|(name, one)| (name, obtained(&cache, one))).collect(),
    });
    Ok(Bundle { packages: packages.collect() })
}

fn obtained(cache: &Cache, one: ManifestArtifact) -> Obtained {
    let ManifestArtifact { sha256, bytes, home, file, extract, source } = one;
    Obtained { path: cache.path(&sha256), sha256, bytes, home, file, extract, source }
}

/// The manifest, where all in it can be.
fn read(text: &[u8], bundle: &Path) -> Result<Manifest, BundleError> {
    #[derive(Deserialize)]
    struct Form {
        form: u32,
    }
    let form = |why: String| BundleError::Form { path: bundle.to_owned(), why };
    let found: Form = serde_json::from_slice(text).map_err(|error| form(error.to_string()))?;
    if found.form > FORM {
        return Err(BundleError::Newer { path: bundle.to_owned(), found: found.form });
    }
    let manifest: Manifest = serde_json::from_slice(text).map_err(|error| form(error.to_string()))?;
    for one in manifest.packages.iter().flat_map(|package| package.artifacts.values()) {
        let is_sum = sums::is_hex(&one.sha256, 64) && !one.sha256.contains(|c: char| c.is_ascii_uppercase());
        let is_home = !one.home.starts_with('/') && !one.home.split('/').any(|part| part == "..");
        if !is_sum || !is_plain(&one.file) || !is_home {
            let ManifestArtifact { sha256, file, home, .. } = one;
            return Err(form(format!("its manifest has {sha256:?}, {file:?}, {home:?}, which cannot be")));
        }
    }
    Ok(manifest)
}
