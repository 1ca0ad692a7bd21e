//! What a machine must have, checked before anything is made, all at once.

use std::path::Path;

use crate::error::{Error, Result};

/// A program and the Debian package it comes in.
type Tool = (&'static str, &'static str);

const ALWAYS: [Tool; 13] = [
    ("systemd-nspawn", "systemd-container"),
    ("mmdebstrap", "mmdebstrap"),
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("ssh", "openssh-client"),
    ("ssh-keygen", "openssh-client"),
    ("unshare", "util-linux"),
    ("setsid", "util-linux"),
    ("setpriv", "util-linux"),
    ("nsenter", "util-linux"),
    ("losetup", "mount"),
    ("mount", "mount"),
    ("mke2fs", "e2fsprogs"),
];
const GUESTS: [Tool; 1] = [("qemu-system-x86_64", "qemu-system-x86")];

/// What is asked of the machine.
pub(crate) struct Machine<'a> {
    pub(crate) root: bool,
    pub(crate) has_program: &'a dyn Fn(&str) -> bool,
    pub(crate) has_path: &'a dyn Fn(&str) -> bool,
}

/// What a machine is to be fit for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum For {
    Removing,
    Containers,
    Guests,
}

/// The lines that say what is missing, and how to get it; none when all is there.
fn missing(what: For, machine: &Machine<'_>) -> Vec<String> {
    let guests = what == For::Guests;
    let tools: Vec<&Tool> = match what {
        For::Removing => ALWAYS.iter().filter(|(name, _)| ["ip", "nft", "losetup"].contains(name)).collect(),
        For::Containers => ALWAYS.iter().collect(),
        For::Guests => ALWAYS.iter().chain(&GUESTS).collect(),
    };
    let mut lines = Vec::new();
    if !machine.root {
        lines.push(
            "  root: hosts need namespaces, mounts and a bridge; run as root, for example with `sudo`".into(),
        );
    }
    let mut packages = Vec::new();
    for (program, package) in tools {
        if !(machine.has_program)(program) {
            lines.push(format!("  {program}: in the package {package}"));
            packages.push(*package);
        }
    }
    if what != For::Removing && !(machine.has_path)("/usr/share/keyrings/debian-archive-keyring.gpg") {
        lines.push("  Debian's archive keys: in the package debian-archive-keyring".into());
        packages.push("debian-archive-keyring");
    }
    if guests && !cfg!(target_arch = "x86_64") {
        lines.push("  an x86-64 machine: guests are not supported on other processors".into());
    }
    if guests && !(machine.has_path)("/dev/net/tun") {
        lines.push("  /dev/net/tun: guests need the kernel's tun module; try `modprobe tun`".into());
    }
    packages.sort_unstable();
    packages.dedup();
    if !packages.is_empty() {
        lines.push(format!("install them with `apt-get install {}`", packages.join(" ")));
    }
    lines
}

/// Refuses a machine that cannot run a testbed.
///
/// # Errors
/// One [`Error::Missing`] that lists everything that is missing.
pub(crate) fn check(guests: bool) -> Result<()> {
    check_for(if guests { For::Guests } else { For::Containers })
}

/// Refuses a machine on which nothing can be removed: it needs less than making hosts does.
///
/// # Errors
/// As [`check`].
pub(crate) fn check_for_removing() -> Result<()> {
    check_for(For::Removing)
}

fn check_for(what: For) -> Result<()> {
    let machine = Machine {
        root: rustix::process::geteuid().is_root(),
        has_program: &|name| {
            std::env::split_paths(&crate::command::search_path()).any(|dir| dir.join(name).is_file())
        },
        has_path: &|path| Path::new(path).exists(),
    };
    let lines = missing(what, &machine);
    if lines.is_empty() { Ok(()) } else { Err(Error::Missing(lines.join("\n"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_missing_is_named_at_once_with_one_command_that_installs_it() {
        let machine = Machine {
            root: false,
            has_program: &|name| {
                !["systemd-nspawn", "ssh", "ssh-keygen", "qemu-system-x86_64"].contains(&name)
            },
            has_path: &|_| true,
        };
        insta::assert_snapshot!(missing(For::Guests, &machine).join("\n"), @"
          root: hosts need namespaces, mounts and a bridge; run as root, for example with `sudo`
          systemd-nspawn: in the package systemd-container
          ssh: in the package openssh-client
          ssh-keygen: in the package openssh-client
          qemu-system-x86_64: in the package qemu-system-x86
        install them with `apt-get install openssh-client qemu-system-x86 systemd-container`
        ");
    }

    #[test]
    fn containers_alone_do_not_need_qemu() {
        let machine = Machine {
            root: true,
            has_program: &|name| !name.starts_with("qemu"),
            has_path: &|p| p != "/dev/net/tun",
        };
        assert_eq!(missing(For::Containers, &machine), Vec::<String>::new());
        assert_eq!(missing(For::Guests, &machine).len(), 3);
    }
}
