//! A root file system of Debian packages, made by mmdebstrap with this machine's own sources, keys and proxies. What is asked for
//! is pure; running it is I/O.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::Duration;

use crate::error::Fault;
use crate::program::{Run, find};

/// As reproducible as the packages are: no time in it is later than this.
const EPOCH: &str = "946684800";

/// Options that are the same for every root file system.
const OPTIONS: [&str; 7] = [
    "--variant=minbase",
    "--components=main",
    "--format=tar",
    // Agents make their own, and unpack no devices.
    "--skip=output/dev",
    "--aptopt=APT::Install-Recommends \"false\"",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
];

/// What is asked for, by which a cached one is known again.
pub(crate) fn key(debian: &str, packages: &[String]) -> Result<String, Fault> {
    Ok(format!(
        "rootfs {} {debian} {} {}",
        std::env::consts::ARCH,
        names(debian, packages)?.join(","),
        OPTIONS.join(" ")
    ))
}

/// The packages, each once, all of them names.
fn names(debian: &str, packages: &[String]) -> Result<Vec<String>, Fault> {
    let is_name = |name: &str| {
        name.len() > 1
            && name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '+' | '.' | '-'))
    };
    if let Some(wrong) = packages.iter().map(String::as_str).chain([debian]).find(|name| !is_name(name)) {
        return Err(Fault::Address(format!("{wrong:?} is no name of a Debian release or package")));
    }
    let mut names = packages.to_vec();
    names.sort();
    names.dedup();
    Ok(names)
}

/// How it is run.
struct How<'a> {
    is_root: bool,
    /// What apt is told, in a file.
    apt: &'a Path,
    /// This machine's Debian mirror.
    mirror: Option<&'a str>,
    target: &'a Path,
}

fn arguments(debian: &str, packages: &[String], how: &How<'_>) -> Vec<OsString> {
    let mut args: Vec<OsString> = Vec::new();
    if how.is_root {
        // Its mounts are seen by itself alone and end with it, however it ends; and it ends when this process does.
        args.extend(
            [
                "--pdeathsig=KILL",
                "unshare",
                "--mount",
                "--propagation=slave",
                "--pid",
                "--mount-proc",
                "--fork",
                "--kill-child",
                "mmdebstrap",
                "--mode=root",
            ]
            .map(Into::into),
        );
    } else {
        args.push("--mode=unshare".into());
    }
    args.extend(OPTIONS.map(Into::into));
    if !packages.is_empty() {
        args.push(format!("--include={}", packages.join(",")).into());
    }
    let mut apt = OsString::from("--aptopt=");
    apt.push(how.apt);
    args.extend([apt, debian.into(), how.target.into()]);
    args.extend(how.mirror.map(Into::into));
    args
}

/// Makes it at `target`, with what is needed meanwhile below `work`.
pub(crate) async fn make(
    (debian, packages): (&str, &[String]),
    path: &OsStr,
    work: &Path,
    target: &Path,
    within: Duration,
    hear: impl Fn(String) + Sync,
) -> Result<(), Fault> {
    let packages = names(debian, packages)?;
    let program = |name: &'static str, advice| find(name, path).ok_or(Fault::NoProgram { name, advice });
    let mmdebstrap = program(
        "mmdebstrap",
        "install mmdebstrap (Debian, Ubuntu: apt-get install mmdebstrap), or make a bundle on a machine that has it: clusterctl bundle",
    )?;
    let is_root = rustix::process::geteuid().is_root();
    let program = if is_root {
        program("unshare", "install util-linux")?;
        program("setpriv", "install util-linux")?
    } else {
        mmdebstrap
    };
    let dump = answer("apt-config", &["dump"], path).await;
    let targets = answer(
        "apt-get",
        &["indextargets", "--format", "$(REPO_URI) $(ORIGIN)", "Created-By: Packages"],
        path,
    );
    let mirror = debian_mirror(&targets.await);
    let apt = work.join("apt.conf");
    tokio::fs::write(&apt, apt_options(&dump)).await.map_err(Fault::io("write", &apt))?;
    let how = How { is_root, apt: &apt, mirror: mirror.as_deref(), target };
    let args = arguments(debian, &packages, &how);
    let tmp = work.to_string_lossy();
    let mut env = vec![("SOURCE_DATE_EPOCH", EPOCH), ("LC_ALL", "C.UTF-8")];
    if is_root {
        // Without root, another user of a namespace of its own has to get there.
        env.push(("TMPDIR", &tmp));
    }
    Run { program: &program, args: &args, dir: work, env: &env, within }.run(hear).await
}

/// What a program of apt says, where it is there and says it soon.
async fn answer(name: &str, args: &[&str], path: &OsStr) -> String {
    let Some(program) = find(name, path) else { return String::new() };
    let mut command = tokio::process::Command::new(program);
    command.args(args).stdin(std::process::Stdio::null()).kill_on_drop(true);
    match tokio::time::timeout(Duration::from_secs(30), command.output()).await {
        Ok(Ok(output)) => String::from_utf8_lossy(&output.stdout).into_owned(),
        _ => String::new(),
    }
}

/// The Debian mirror among the lines `URI ORIGIN` of `apt-get indextargets`: only forms that mmdebstrap takes.
fn debian_mirror(targets: &str) -> Option<String> {
    const SCHEMES: [&str; 4] = ["http://", "https://", "file://", "copy://"];
    let mut lines = targets.lines().filter_map(|line| line.split_once(' '));
    let found = lines.find(|(uri, origin)| {
        *origin == "Debian"
            && SCHEMES.iter().any(|scheme| uri.starts_with(scheme))
            && !uri.contains("security")
            && !uri.contains('@')
    });
    found.map(|(uri, _)| uri.to_owned())
}

/// The settings of this machine's apt by which it reaches its mirrors.
fn apt_options(dump: &str) -> String {
    const KEPT: [&str; 4] = [
        "Acquire::http::Proxy ",
        "Acquire::https::Proxy ",
        "Acquire::Check-Valid-Until ",
        "Acquire::Check-Date ",
    ];
    let mut text = String::from("Acquire::Retries \"3\";\n");
    for line in dump.lines().filter(|line| KEPT.iter().any(|key| line.starts_with(key))) {
        text.push_str(line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_asked_for_what_is_in_it_and_nothing_else() {
        let packages = names("bookworm", &["redis-server".into(), "nginx".into(), "nginx".into()]).unwrap();
        let told = |is_root| {
            let how = How {
                is_root,
                apt: Path::new("/w/apt.conf"),
                mirror: Some("http://m/debian"),
                target: Path::new("/w/root.tar"),
            };
            let args = arguments("bookworm", &packages, &how);
            args.iter().map(|arg| arg.to_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
        };
        let end = "--include=nginx,redis-server --aptopt=/w/apt.conf bookworm /w/root.tar http://m/debian";
        assert!(
            told(true).starts_with("--pdeathsig=KILL unshare ") && told(true).ends_with(end),
            "{}",
            told(true)
        );
        assert!(
            told(false).starts_with("--mode=unshare --variant") && told(false).ends_with(end),
            "{}",
            told(false)
        );
    }

    #[test]
    fn names_are_names_and_their_order_does_not_matter() {
        let of =
            |all: &[&str]| key("bookworm", &all.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["b1", "a1"]).unwrap(), of(&["a1", "b1", "a1"]).unwrap());
        assert_ne!(of(&["a1"]).unwrap(), of(&["b1"]).unwrap());
        for wrong in ["", "-x", "a,b", "a b", "A1", "../a"] {
            assert!(of(&[wrong]).is_err(), "{wrong}");
        }
        assert!(key("bookworm --x", &[]).is_err());
    }

    #[test]
    fn of_apts_settings_only_the_way_to_the_mirror_is_taken() {
        let dump = "APT::Architecture \"amd64\";\nAcquire::http::Proxy \"x://p:1\";\nDPkg::Post-Invoke:: \"rm -rf x\";\n";
        assert_eq!(apt_options(dump), "Acquire::Retries \"3\";\nAcquire::http::Proxy \"x://p:1\";\n");
        for (targets, expected) in [
            (
                "http://n/ Node\nhttp://d/debian-security/ Debian\nhttp://d/debian/ Debian",
                Some("http://d/debian/"),
            ),
            ("mirror+file:/etc/apt/mirrors/debian.list/ Debian", None),
            ("http://me:pw@d/debian/ Debian", None),
            ("", None),
        ] {
            assert_eq!(debian_mirror(targets).as_deref(), expected, "{targets}");
        }
    }
}
