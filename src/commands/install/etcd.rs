//! The etcd that coordinators get: where it comes from, and whether it will do.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use installer::artifact::{self, ArtifactError};
use installer::binary;
use installer::blob::Blob;
use installer::connect::Base;
use installer::desired::Etcd;
use installer::preflight::EtcdProgram;
use inventory::{Artifact, Inventory, Origin, Role};

use crate::error::CliError;

/// What to write where there is none.
const NAME_IT: &str = "name it in the inventory: `artifacts: {etcd: {file: PATH}}`, or `{url: URL, sha256: DIGITS}` for a release of etcd's makers";

/// The program, and what is checked of it.
pub(super) type Found = (Etcd, EtcdProgram);

/// The etcd of an inventory with coordinators; nothing for one without. `state` is where what is fetched is kept.
pub(super) async fn find(
    inventory: &Inventory,
    base: &Base,
    state: &Path,
    fetching: impl FnOnce(&str),
) -> Result<Option<Found>, CliError> {
    if inventory.with_role(Role::Coordinator).next().is_none() {
        return Ok(None);
    }
    let file = match &inventory.artifacts.etcd {
        None => on_path(env::var_os("PATH").as_deref()).ok_or_else(|| {
            CliError::usage("coordinators need etcd, and there is none on this machine's PATH")
                .hint("`apt-get install etcd-server` brings one; its own service is not needed")
                .hint(NAME_IT)
        })?,
        Some(Artifact { origin: Origin::File(path), sha256, .. }) => {
            let file = base.resolve(path);
            if let Some(sha256) = sha256 {
                artifact::verify(&file, sha256).map_err(|cause| refused(&cause))?;
            }
            file
        }
        Some(Artifact { origin: Origin::Url(url), sha256: Some(sha256), .. }) => {
            fetching(url);
            artifact::fetch(url, sha256, "etcd", &state.join("artifacts"))
                .await
                .map_err(|cause| refused(&cause))?
        }
        Some(Artifact { origin: Origin::Url(_), sha256: None, .. }) => {
            return Err(CliError::usage("`artifacts: etcd` has a URL and no `sha256`").hint(NAME_IT));
        }
        Some(Artifact { origin: Origin::Package(_), .. }) => {
            return Err(CliError::usage(
                "`artifacts: {etcd: {package: …}}` is not supported by this version",
            )
            .hint("fetch the package on this machine, and name the program that is in it as `file:`")
            .hint(NAME_IT));
        }
        Some(Artifact { origin: Origin::Purl(_), .. }) => {
            return Err(CliError::usage("`artifacts: {etcd: {purl: …}}` is not supported by this version")
                .hint(NAME_IT));
        }
    };
    let wrong = |cause: &(dyn std::error::Error + 'static)| {
        CliError::usage(format!("{} cannot go to coordinators", file.display()))
            .caused_by(cause)
            .hint(NAME_IT)
    };
    let opened = fs::File::open(&file).map_err(|cause| wrong(&cause))?;
    let needs = binary::needs(opened).map_err(|cause| wrong(&cause))?;
    // One for other machines does not say.
    let version = match needs.machine == env::consts::ARCH {
        true => artifact::etcd_version(&file).await.map_err(|cause| refused(&cause))?,
        false => None,
    };
    let blob = Arc::new(Blob::open(&file).map_err(|cause| wrong(&cause))?);
    let (size, is_named) = (blob.size(), inventory.artifacts.etcd.is_some());
    let checked = EtcdProgram { needs, size, version: version.clone(), is_named };
    Ok(Some((Etcd { blob, version }, checked)))
}

fn refused(cause: &ArtifactError) -> CliError {
    CliError::usage("this etcd cannot go to coordinators").caused_by(cause).hint(NAME_IT)
}

/// The first program of that name in a list of directories.
fn on_path(path: Option<&OsStr>) -> Option<PathBuf> {
    let is_program = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    env::split_paths(path?).filter(|dir| dir.is_absolute()).map(|dir| dir.join("etcd")).find(is_program)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(artifacts: &str, role: &str) -> Inventory {
        let text = format!(
            "cluster: {{name: demo}}\nhosts:\n  - {{name: m1, address: 192.0.2.1, roles: [{role}, master]}}\n{artifacts}"
        );
        inventory::read("i", text.as_bytes(), |_| None).unwrap()
    }

    async fn of(artifacts: &str, dir: &Path) -> Result<Option<Found>, String> {
        let base = Base { home: dir.to_owned(), dir: dir.to_owned() };
        find(&read(artifacts, "coordinator"), &base, dir, |_| {}).await.map_err(|error| error.styled())
    }

    #[tokio::test]
    async fn what_cannot_be_had_says_what_to_write() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("script"), "#!/bin/sh\n").unwrap();
        for (artifacts, expected) in [
            ("artifacts: {etcd: {package: etcd-server}}", "is not supported by this version"),
            ("artifacts: {etcd: {purl: 'pkg:generic/etcd@3.5.0'}}", "is not supported by this version"),
            ("artifacts: {etcd: {file: ./none}}", "cannot go to coordinators"),
            ("artifacts: {etcd: {file: ./script}}", "it is no Linux program"),
            (
                &format!("artifacts: {{etcd: {{file: ./script, sha256: {}}}}}", "0".repeat(64)),
                "and the inventory says 0000",
            ),
        ] {
            let error = of(artifacts, dir.path()).await.unwrap_err();
            assert!(error.contains(expected) && error.contains("sha256: DIGITS"), "{artifacts}: {error}");
        }
        // A program of this machine that is no etcd.
        fs::copy(env::current_exe().unwrap(), dir.path().join("other")).unwrap();
        let error = of("artifacts: {etcd: {file: ./other}}", dir.path()).await.unwrap_err();
        assert!(error.contains("says nothing of etcd"), "{error}");
    }

    #[tokio::test]
    async fn without_coordinators_there_is_none() {
        let base = Base { home: PathBuf::new(), dir: PathBuf::new() };
        let none =
            find(&read("artifacts: {etcd: {file: ./none}}", "agent"), &base, Path::new(""), |_| {}).await;
        assert!(none.unwrap().is_none());
    }

    #[test]
    fn the_first_program_of_the_path_is_taken() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = env::join_paths(["relative".as_ref(), one.path(), two.path()]).unwrap();
        assert_eq!(on_path(None), None);
        assert_eq!(on_path(Some(&path)), None);
        fs::write(one.path().join("etcd"), "").unwrap();
        let program = two.path().join("etcd");
        fs::write(&program, "").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(on_path(Some(&path)), Some(program), "the first one is no program");
    }
}
