//! Package URLs through the user's own clients: their mirrors, logins and proxies, their arguments. The command is pure; running it
//! is I/O.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::error::Fault;
use crate::program::{Run, find};
use crate::purl::Package;

/// The part of Maven that copies one file of a repository.
const COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy";
/// Maven's local repository is not made for several at a time.
static MAVEN: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(1));

/// A program and what it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Command {
    program: PathBuf,
    args: Vec<String>,
    /// Files that it reads: name and contents.
    files: Vec<(&'static str, String)>,
}

/// Where requirements stand, beside the directory that pip fills.
const REQUIREMENTS: &str = "requirements.txt";
/// The directory that a client fills.
const RESULT: &str = "result";

/// Has the client fetch that file below `work`, which is empty; the file it left.
pub(crate) async fn fetch(
    package: &Package,
    sha256: Option<&str>,
    path: &OsStr,
    work: &Path,
    within: Duration,
    hear: impl Fn(String) + Sync,
) -> Result<PathBuf, Fault> {
    let command = command(package, sha256, &|name| find(name, path))?;
    let result = work.join(RESULT);
    tokio::fs::create_dir(&result).await.map_err(Fault::io("make", &result))?;
    for (name, text) in &command.files {
        let file = work.join(name);
        tokio::fs::write(&file, text).await.map_err(Fault::io("write", &file))?;
    }
    let _place = match package {
        Package::Maven { .. } => Some(MAVEN.acquire().await.map_err(|_closed| Fault::Stopped)?),
        _ => None,
    };
    let args: Vec<OsString> = command.args.into_iter().map(Into::into).collect();
    let run = Run { program: &command.program, args: &args, dir: &result, env: &ENV, within };
    run.run(hear).await?;
    one_file(&result, package).await
}

/// Nobody is there to be asked, and nothing is looked for that was not asked for.
const ENV: [(&str, &str); 5] = [
    ("PIP_NO_INPUT", "1"),
    ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
    ("NPM_CONFIG_UPDATE_NOTIFIER", "false"),
    ("NPM_CONFIG_AUDIT", "false"),
    ("DEBIAN_FRONTEND", "noninteractive"),
];

async fn one_file(dir: &Path, package: &Package) -> Result<PathBuf, Fault> {
    let mut entries = tokio::fs::read_dir(dir).await.map_err(Fault::io("list", dir))?;
    let mut files = Vec::new();
    while let Some(entry) = entries.next_entry().await.map_err(Fault::io("list", dir))? {
        if entry.file_type().await.is_ok_and(|kind| kind.is_file()) {
            files.push(entry.path());
        }
    }
    let name = match package {
        Package::Pypi { .. } => "pip",
        Package::Maven { .. } => "mvn",
        Package::Npm { .. } => "npm",
        Package::Deb { .. } => "apt-get",
    };
    match files.as_slice() {
        [file] => Ok(file.clone()),
        files => Err(Fault::Files { name: name.to_owned(), count: files.len() }),
    }
}

fn command(
    package: &Package,
    sha256: Option<&str>,
    find: &dyn Fn(&str) -> Option<PathBuf>,
) -> Result<Command, Fault> {
    let program = |name: &'static str, advice| find(name).ok_or(Fault::NoProgram { name, advice });
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    match package {
        Package::Pypi { name, version, file } => {
            let (program, mut args) = pip(find)?;
            args.extend(words(&["download", "--no-deps", "--no-cache-dir", "--ignore-requires-python"]));
            args.extend(words(&["--dest", ".", "--progress-bar", "off"]));
            match file {
                Some(file) if file.ends_with(".whl") => {
                    args.extend(words(&["--only-binary", ":all:"]));
                    args.extend(wheel(file));
                }
                // A source distribution: pip runs code of it, so it has to be the right one before.
                Some(_) if sha256.is_none() => return Err(Fault::Unpinned),
                Some(_) => args.extend(words(&["--no-binary", ":all:"])),
                None if sha256.is_none() => args.extend(words(&["--only-binary", ":all:"])),
                None => {}
            }
            let hash = match sha256 {
                Some(sum) => {
                    args.push("--require-hashes".to_owned());
                    format!(" --hash=sha256:{sum}")
                }
                None => String::new(),
            };
            args.extend(words(&["-r", "../requirements.txt"]));
            let text = format!("{name}=={version}{hash}\n");
            Ok(Command { program, args, files: vec![(REQUIREMENTS, text)] })
        }
        Package::Maven { group, name, version, kind, classifier } => {
            let program =
                program("mvn", "install Maven (Debian: apt-get install maven), or name a further source")?;
            let classifier = classifier.as_deref().map(|one| format!(":{one}")).unwrap_or_default();
            let mut args = words(&["-B", "-q", COPY, "-Dmdep.useBaseVersion=true", "-DoutputDirectory=."]);
            args.push(format!("-Dartifact={group}:{name}:{version}:{kind}{classifier}"));
            Ok(Command { program, args, files: Vec::new() })
        }
        Package::Npm { name, version } => {
            let program =
                program("npm", "install npm (Debian: apt-get install npm), or name a further source")?;
            let args = words(&["pack", "--ignore-scripts", "--silent", &format!("{name}@{version}")]);
            Ok(Command { program, args, files: Vec::new() })
        }
        Package::Deb { name, version, arch } => {
            let advice =
                "Debian packages are fetched on a Debian or Ubuntu machine; name a further source for others";
            let program = program("apt-get", advice)?;
            let arch = arch.as_deref().map(|arch| format!(":{arch}")).unwrap_or_default();
            let version = version.as_deref().map(|version| format!("={version}")).unwrap_or_default();
            let args = words(&["-q", "download", &format!("{name}{arch}{version}")]);
            Ok(Command { program, args, files: Vec::new() })
        }
    }
}

/// Pip by one of its names.
fn pip(find: &dyn Fn(&str) -> Option<PathBuf>) -> Result<(PathBuf, Vec<String>), Fault> {
    if let Some(pip) = find("pip3").or_else(|| find("pip")) {
        return Ok((pip, Vec::new()));
    }
    let python = find("python3").ok_or(Fault::NoProgram {
        name: "pip",
        advice: "install pip (Debian: apt-get install python3-pip), or name a further source",
    })?;
    Ok((python, vec!["-m".to_owned(), "pip".to_owned()]))
}

/// What makes pip choose the wheel of this name, which need not be for this machine.
fn wheel(file: &str) -> Vec<String> {
    let parts: Vec<&str> = file.trim_end_matches(".whl").rsplitn(4, '-').collect();
    let [platforms, abis, pythons, _] = parts.as_slice() else { return Vec::new() };
    if *platforms == "any" {
        return Vec::new();
    }
    let mut args = Vec::new();
    for platform in platforms.split('.') {
        args.extend(["--platform".to_owned(), platform.to_owned()]);
    }
    for abi in abis.split('.') {
        args.extend(["--abi".to_owned(), abi.to_owned()]);
    }
    let python = pythons.split('.').next_back().unwrap_or_default();
    let digits = python.find(|c: char| c.is_ascii_digit()).unwrap_or(python.len());
    let (implementation, version) = python.split_at(digits);
    if !version.is_empty() {
        args.extend(["--implementation".to_owned(), implementation.to_owned()]);
        args.extend(["--python-version".to_owned(), version.to_owned()]);
    }
    args
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::purl::parse;

    fn told(purl: &str, sha256: Option<&str>) -> String {
        let found = |name: &str| Some(Path::new("/bin").join(name));
        match command(&parse(purl).unwrap(), sha256, &found) {
            Ok(command) => {
                let files: Vec<_> =
                    command.files.iter().map(|(name, text)| format!(" [{name}: {}]", text.trim())).collect();
                format!("{} {}{}", command.program.display(), command.args.join(" "), files.concat())
            }
            Err(fault) => fault.to_string(),
        }
    }

    #[test]
    fn every_client_is_told_one_file() {
        let pip = "/bin/pip3 download --no-deps --no-cache-dir --ignore-requires-python --dest . --progress-bar off";
        for (purl, sum, expected) in [
            (
                "pkg:pypi/pyspark@3.5.3",
                Some("ab"),
                format!(
                    "{pip} --require-hashes -r ../requirements.txt [requirements.txt: pyspark==3.5.3 --hash=sha256:ab]"
                ),
            ),
            (
                "pkg:pypi/six@1.16.0",
                None,
                format!("{pip} --only-binary :all: -r ../requirements.txt [requirements.txt: six==1.16.0]"),
            ),
            (
                "pkg:pypi/numpy@2.0.1?file_name=numpy-2.0.1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
                None,
                format!(
                    "{pip} --only-binary :all: --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 --abi cp311 \
                     --implementation cp --python-version 311 -r ../requirements.txt [requirements.txt: numpy==2.0.1]"
                ),
            ),
            (
                "pkg:pypi/x@1?file_name=x-1.tar.gz",
                Some("ab"),
                format!(
                    "{pip} --no-binary :all: --require-hashes -r ../requirements.txt [requirements.txt: x==1 --hash=sha256:ab]"
                ),
            ),
            ("pkg:pypi/x@1?file_name=x-1.tar.gz", None, Fault::Unpinned.to_string()),
            (
                "pkg:maven/org.apache.cassandra/apache-cassandra@4.1.5?classifier=bin&type=tar.gz",
                None,
                format!(
                    "/bin/mvn -B -q {COPY} -Dmdep.useBaseVersion=true -DoutputDirectory=. \
                     -Dartifact=org.apache.cassandra:apache-cassandra:4.1.5:tar.gz:bin"
                ),
            ),
            ("pkg:npm/%40a/b@1.0.0", None, "/bin/npm pack --ignore-scripts --silent @a/b@1.0.0".to_owned()),
            (
                "pkg:deb/debian/hello@2.10-3?arch=amd64",
                None,
                "/bin/apt-get -q download hello:amd64=2.10-3".to_owned(),
            ),
        ] {
            assert_eq!(told(purl, sum), expected, "{purl}");
        }
    }

    #[test]
    fn pip_has_several_names_and_may_be_missing() {
        let package = parse("pkg:pypi/x@1").unwrap();
        let with = |has: &'static [&'static str]| {
            command(&package, None, &|name| has.contains(&name).then(|| Path::new("/b").join(name)))
        };
        assert_eq!(with(&["pip", "python3"]).unwrap().program, Path::new("/b/pip"));
        let python = with(&["python3"]).unwrap();
        assert_eq!(
            (python.program.as_path(), &python.args[..2]),
            (Path::new("/b/python3"), &["-m".into(), "pip".into()][..])
        );
        let error = with(&[]).unwrap_err();
        assert_eq!(error.to_string(), "there is no pip on this machine");
        assert!(error.advice().contains("apt-get install python3-pip"));
    }
}
