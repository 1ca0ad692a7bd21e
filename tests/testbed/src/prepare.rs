//! What a host has of its own on top of the shared root file system: name, addresses, keys, identity.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::error::{Error, Result};
use crate::layout::Layout;

/// The password of `admin`, for sudo and for logging in.
pub const ADMIN_PASSWORD: &str = "admin";

/// A host's files, as paths below its root with their text and mode.
pub(crate) fn files(
    layout: Layout,
    name: &str,
    address: Ipv4Addr,
    others: &[(String, Ipv4Addr)],
    key: &str,
    machine_id: &str,
) -> Vec<(&'static str, String, u32)> {
    let network = format!(
        "[Match]\n\
         # A container's card has the first name, a guest's the second.\n\
         Name=host0 eth0\n\n\
         [Network]\n\
         Address={address}/24\n\
         Gateway={}\n\
         LinkLocalAddressing=no\n\
         IPv6AcceptRA=no\n",
        layout.gateway()
    );
    let mut hosts = format!("127.0.0.1 localhost\n127.0.1.1 {name}\n");
    for (other, at) in others.iter().filter(|(other, _)| other != name) {
        hosts.push_str(&format!("{at} {other}\n"));
    }
    vec![
        ("etc/hostname", format!("{name}\n"), 0o644),
        ("etc/hosts", hosts, 0o644),
        ("etc/machine-id", format!("{machine_id}\n"), 0o444),
        ("etc/ssh/testbed_keys", key.to_owned(), 0o644),
        ("etc/systemd/network/10-testbed.network", network, 0o644),
    ]
}

/// Writes files below `root`. Directories are made as a root file system has them, whatever this process's
/// umask.
pub(crate) fn write(root: &Path, files: &[(&'static str, String, u32)]) -> Result<()> {
    for (path, text, mode) in files {
        let path = root.join(path);
        if let Some(dir) = path.parent() {
            make_directories(root, dir)?;
        }
        fs::write(&path, text).map_err(Error::io("write", &path))?;
        set_mode(&path, *mode)?;
    }
    Ok(())
}

/// Makes `dir`, at or below `root`, readable for all with every directory between them.
pub(crate) fn make_directories(root: &Path, dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).map_err(Error::io("create", dir))?;
    dir.ancestors().take_while(|d| d.starts_with(root)).try_for_each(|d| set_mode(d, 0o755))
}

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(Error::io("set the mode of", path))
}

/// A new machine id: 32 hexadecimal digits (machine-id(5)).
pub(crate) fn machine_id() -> Result<String> {
    let path = "/proc/sys/kernel/random/uuid";
    Ok(fs::read_to_string(path).map_err(Error::io("read", path))?.trim().replace('-', ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_knows_its_name_its_address_and_the_others() {
        let layout = Layout::new(3);
        let others = [("h1".to_owned(), layout.address(1)), ("h2".to_owned(), layout.address(2))];
        let files = files(layout, "h1", layout.address(1), &others, "ssh-ed25519 AAAA\n", "0123");
        let text = files
            .iter()
            .map(|(path, text, mode)| format!("{path} {mode:o}\n{text}"))
            .collect::<Vec<_>>()
            .join("\n");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn directories_are_readable_for_all_whatever_they_were() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("upper");
        fs::create_dir(&root).unwrap();
        set_mode(&root, 0o700).unwrap();
        write(&root, &[("etc/ssh/key", "x".into(), 0o600)]).unwrap();
        for (path, mode) in [("", 0o755), ("etc", 0o755), ("etc/ssh", 0o755), ("etc/ssh/key", 0o600)] {
            assert_eq!(fs::metadata(root.join(path)).unwrap().permissions().mode() & 0o777, mode, "{path}");
        }
    }

    #[test]
    fn machine_ids_are_32_digits_and_differ() {
        let (a, b) = (machine_id().unwrap(), machine_id().unwrap());
        assert!(a.len() == 32 && a.bytes().all(|c| c.is_ascii_hexdigit()), "{a}");
        assert_ne!(a, b);
    }
}
