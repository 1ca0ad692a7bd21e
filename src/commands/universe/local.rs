//! Files of this machine that packages of a directory name: they go to the masters with the packages, where sums name them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use api::client::Client;
use serde_json::{Value, json};
use universe::Package;
use universe::artifact::{Artifact, ArtifactKind, At};

use crate::commands::package::artifacts;
use crate::commands::package::obtain::Obtaining;
use crate::error::CliError;
use crate::printer::Printer;

/// What packages of a directory bring from this machine.
#[derive(Debug, Default)]
pub(super) struct Local {
    /// Resource files as masters are to read them, by their place on this machine.
    pub(super) resources: BTreeMap<PathBuf, String>,
    /// Files that are uploaded by themselves.
    pub(super) uploaded: BTreeSet<PathBuf>,
    /// What the masters are told when they know the packages: package, version, artifact, and what it is.
    records: Vec<(String, String, String, Value)>,
}

impl Local {
    /// Uploads what the packages of the directory `top` have there.
    ///
    /// # Errors
    /// When a file cannot be had, or is none of that directory.
    pub(super) async fn upload(
        ui: &mut Printer,
        client: &Client,
        top: &Path,
        packages: &[Package],
    ) -> Result<Self, CliError> {
        let mut local = Self::default();
        for package in packages {
            let Some(base) = package.base.as_deref() else { continue };
            let Files { sums, paths } = files(top, base, package)?;
            if sums.is_empty() && package.artifacts.values().all(|one| files_of(one).next().is_none()) {
                continue;
            }
            let obtaining = Obtaining::new()?;
            for (name, artifact) in package.artifacts.iter().filter(|(_, one)| is_here(one, &sums)) {
                let obtained = obtaining.obtain(ui, artifact, Some(base)).await?;
                artifacts::upload(ui, client, obtaining.state(), name, &obtained).await?;
                let record = artifacts::record(&obtained);
                local.records.push((package.name.clone(), package.version.clone(), name.clone(), record));
            }
            local.uploaded.extend(paths);
            local.resources.insert(base.join("resource.yaml"), pinned(&package.resource, &sums).to_string());
        }
        Ok(local)
    }

    /// Tells the masters which files are whose.
    ///
    /// # Errors
    /// When they do not take it.
    pub(super) async fn tell(&self, client: &Client) -> Result<(), CliError> {
        for (package, version, artifact, record) in &self.records {
            client.set_package_artifact((package, version, artifact), record).await?;
        }
        Ok(())
    }
}

/// The files of this machine that an artifact may be from.
pub(crate) fn files_of(artifact: &Artifact) -> impl Iterator<Item = &str> {
    let (sources, members) = match &artifact.kind {
        ArtifactKind::Sources(sources) => (sources.as_slice(), [].as_slice()),
        ArtifactKind::Closure(members) => ([].as_slice(), members.as_slice()),
        ArtifactKind::Rootfs { .. } => ([].as_slice(), [].as_slice()),
    };
    let places = sources.iter().map(|source| &source.at).chain(members.iter().map(|member| &member.at));
    places.filter_map(|at| match at {
        At::File(path) => Some(path.as_str()),
        At::Url(_) | At::Purl(_) => None,
    })
}

/// Whether an artifact is brought now: it is on this machine, or nowhere else.
fn is_here(artifact: &Artifact, sums: &BTreeMap<String, String>) -> bool {
    let mut files = files_of(artifact).peekable();
    if files.peek().is_none() {
        return false;
    }
    match &artifact.kind {
        ArtifactKind::Sources(sources) => {
            files.any(|file| sums.contains_key(file))
                || sources.iter().all(|source| matches!(source.at, At::File(_)))
        }
        ArtifactKind::Closure(_) | ArtifactKind::Rootfs { .. } => true,
    }
}

/// The files of a package that are there.
#[derive(Debug, Default)]
struct Files {
    /// Sums by what the package calls them.
    sums: BTreeMap<String, String>,
    /// Where they are.
    paths: BTreeSet<PathBuf>,
}

/// A package may be somebody else's: what lies elsewhere on this machine is none of its business.
fn files(top: &Path, base: &Path, package: &Package) -> Result<Files, CliError> {
    let mut files = Files::default();
    for name in package.artifacts.values().flat_map(files_of) {
        let path = base.join(name);
        let unreadable = |cause: &io::Error| {
            CliError::usage(format!("{} cannot be read", path.display())).caused_by(cause)
        };
        let real = match path.canonicalize() {
            Ok(real) => real,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(unreadable(&error)),
        };
        let inside = top.canonicalize().map_err(|error| unreadable(&error))?;
        if !real.starts_with(&inside) {
            let error = CliError::usage(format!(
                "{} {} brings {}, which is not below {}",
                package.name,
                package.version,
                path.display(),
                top.display()
            ));
            return Err(error.hint("copy it into the package's directory, and name it from there"));
        }
        let sum = File::open(&real).and_then(|mut file| super::sum(&mut file));
        files.sums.insert(name.to_owned(), sum.map_err(|error| unreadable(&error))?);
        files.paths.insert(path);
    }
    Ok(files)
}

/// A resource file whose local files have sums. Those that are not there and have none are left out.
fn pinned(resource: &Value, sums: &BTreeMap<String, String>) -> Value {
    let mut resource = resource.clone();
    let artifacts = resource.get_mut("artifacts").and_then(Value::as_object_mut).into_iter().flatten();
    for (_, artifact) in artifacts {
        for list in ["sources", "closure"] {
            let Some(places) = artifact.get_mut(list).and_then(Value::as_array_mut) else { continue };
            places.retain_mut(|place| {
                let Some(place) = place.as_object_mut() else { return true };
                let Some(file) = place.get("file").and_then(Value::as_str) else { return true };
                if let Some(sum) = sums.get(file)
                    && !place.contains_key("sha256")
                {
                    let sum = json!(sum);
                    place.insert("sha256".to_owned(), sum);
                }
                ["sha256", "sha512"].iter().any(|key| place.contains_key(*key))
            });
        }
    }
    resource
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(dir: &Path, resource: &Value) -> Package {
        let base = dir.join("shop/1.0.0");
        std::fs::create_dir_all(&base).unwrap();
        for (name, text) in [
            ("package.yaml", "name: shop\nversion: 1.0.0\ndescription: d\nmaintainer: m\n".to_owned()),
            ("resource.yaml", resource.to_string()),
            ("service.json.tera", r#"{"id": "{{ id }}", "cmd": "true"}"#.to_owned()),
        ] {
            std::fs::write(base.join(name), text).unwrap();
        }
        let mut loaded = universe::load::directory(dir).unwrap();
        assert_eq!(loaded.errors().count(), 0, "{:?}", loaded.faults);
        loaded.packages.remove(0)
    }

    fn sha(text: &str) -> String {
        use sha2::Digest as _;
        super::super::hex(&sha2::Sha256::digest(text))
    }

    #[test]
    fn files_that_are_there_get_sums_and_others_go() {
        let dir = tempfile::tempdir().unwrap();
        let (here, other) = (sha("tea"), "0".repeat(64));
        let resource = json!({"images": {}, "artifacts": {
            "tea": {"sources": [{"file": "tea.txt"}, {"file": "gone.txt"}, {"url": "https://a.example/tea", "sha256": here}]},
            "all": {"closure": [{"file": "tea.txt", "path": "a"}, {"purl": "pkg:pypi/z@1", "sha256": other, "path": "b"}]},
            "far": {"sources": [{"file": "gone.txt", "sha256": other}, {"url": "https://a.example/x", "sha256": other}]},
            "root": {"rootfs": {"debian": "bookworm", "packages": ["redis-server"]}}}});
        std::fs::create_dir_all(dir.path().join("shop/1.0.0")).unwrap();
        std::fs::write(dir.path().join("shop/1.0.0/tea.txt"), "tea").unwrap();
        let package = package(dir.path(), &resource);
        let found = files(dir.path(), package.base.as_deref().unwrap(), &package).unwrap();
        assert_eq!(found.sums, BTreeMap::from([("tea.txt".to_owned(), here.clone())]));
        assert_eq!(found.paths, BTreeSet::from([dir.path().join("shop/1.0.0/tea.txt")]));
        let brought: Vec<&String> = package
            .artifacts
            .iter()
            .filter(|(_, one)| is_here(one, &found.sums))
            .map(|(name, _)| name)
            .collect();
        assert_eq!(brought, ["all", "tea"]);

        let pinned = pinned(&package.resource, &found.sums);
        let tea = &pinned["artifacts"]["tea"]["sources"];
        assert_eq!(tea[0], json!({"file": "tea.txt", "sha256": here}));
        assert_eq!(tea.as_array().unwrap().len(), 2, "{tea}");
        assert_eq!(pinned["artifacts"]["all"]["closure"][0]["sha256"], here);
        assert_eq!(pinned["artifacts"]["far"], resource["artifacts"]["far"]);
        // As masters read it.
        let known = universe::artifact::of_definition(&json!({ "resource": pinned })).unwrap();
        assert_eq!(known.len(), 4);
        assert!(universe::artifact::of_definition(&json!({ "resource": resource })).is_err());
    }

    #[test]
    fn what_lies_elsewhere_on_this_machine_is_not_brought() {
        let outside = tempfile::NamedTempFile::new().unwrap();
        let name = outside.path().to_str().unwrap();
        for link in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            std::fs::create_dir_all(dir.path().join("shop/1.0.0")).unwrap();
            let file = if link { "link" } else { name };
            std::os::unix::fs::symlink(name, dir.path().join("shop/1.0.0/link")).unwrap();
            let resource = json!({"artifacts": {"a": {"sources": [{"file": file}]}}});
            let package = package(dir.path(), &resource);
            let refused = files(dir.path(), package.base.as_deref().unwrap(), &package).unwrap_err();
            assert!(refused.message.contains("which is not below"), "{}", refused.message);
        }
    }

    #[test]
    fn one_that_is_nowhere_else_is_asked_for_though_it_is_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let package = package(dir.path(), &json!({"artifacts": {"a": {"sources": [{"file": "gone"}]}}}));
        let found = files(dir.path(), package.base.as_deref().unwrap(), &package).unwrap();
        assert!(found.sums.is_empty() && is_here(&package.artifacts["a"], &found.sums));
    }
}
