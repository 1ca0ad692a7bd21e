//! Files that the agent itself keeps in sandboxes: replaced as a whole, and through no link.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use api::mesos::Peers;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid, fchown, openat, renameat, unlinkat};
use rustix::io::Errno;

use crate::files::beneath::Root;
use crate::user::User;

/// Lets a sandbox tell of these peers.
pub(super) fn write_peers(sandbox: &Path, peers: &Peers, user: Option<&User>) -> Result<(), String> {
    // Whoever waits for a change of peers.json finds the other one there.
    for (name, text) in [("peers.tsv", &peers.tsv), ("peers.json", &peers.json)] {
        replace(sandbox, name, text.as_bytes(), user)
            .map_err(|e| format!("cannot write {}: {e}", sandbox.join(name).display()))?;
    }
    Ok(())
}

/// A file in the sandbox itself, the user's own. The task may plant what it likes in its place: a link is replaced, not followed.
fn replace(sandbox: &Path, name: &str, bytes: &[u8], user: Option<&User>) -> io::Result<()> {
    let root = Root::open(sandbox)?;
    let draft = format!(".{name}.new");
    match unlinkat(&root, draft.as_str(), AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(e) => return Err(e.into()),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(&root, draft.as_str(), flags, Mode::from_raw_mode(0o644))?;
    if let Some(user) = user {
        fchown(&file, Some(Uid::from_raw(user.uid)), Some(Gid::from_raw(user.gid)))?;
    }
    File::from(file).write_all(bytes)?;
    Ok(renameat(&root, draft.as_str(), &root, name)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn peers(text: &str) -> Peers {
        Peers { version: 1, json: text.into(), tsv: format!("{text}\t").into() }
    }

    #[test]
    fn files_are_replaced_as_a_whole_and_through_no_link() {
        let dir = tempfile::tempdir().unwrap();
        let (sandbox, outside) = (dir.path().join("sandbox"), dir.path().join("outside"));
        fs::create_dir(&sandbox).unwrap();
        fs::write(&outside, "untouched").unwrap();
        write_peers(&sandbox, &peers("one"), None).unwrap();
        let open = File::open(sandbox.join("peers.json")).unwrap();
        // Whatever the task does there, and wherever a writer was killed.
        for name in ["peers.json", ".peers.json.new", "peers.tsv", ".peers.tsv.new"] {
            let _ = fs::remove_file(sandbox.join(name));
            symlink(&outside, sandbox.join(name)).unwrap();
        }
        write_peers(&sandbox, &peers("two"), None).unwrap();
        assert_eq!(fs::read_to_string(sandbox.join("peers.json")).unwrap(), "two");
        assert_eq!(fs::read_to_string(sandbox.join("peers.tsv")).unwrap(), "two\t");
        assert_eq!(io::read_to_string(open).unwrap(), "one", "who reads the old one reads all of it");
        assert_eq!(fs::read_to_string(&outside).unwrap(), "untouched");
        fs::remove_file(sandbox.join("peers.json")).unwrap();
        fs::create_dir(sandbox.join("peers.json")).unwrap();
        assert!(write_peers(&sandbox, &peers("three"), None).unwrap_err().contains("peers.json"));
        assert_eq!(fs::read_dir(outside.parent().unwrap()).unwrap().count(), 2);
    }
}
