//! Who a task runs as: numbers, looked up in the machine's own files.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use rustix::fs::OFlags;

use serde::{Deserialize, Serialize};

use crate::files::beneath::{Links, Root};

/// Of a root file system's list of users or groups.
const MAX_FILE: u64 = 1 << 20;

/// A user as the kernel knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The user's number.
    pub uid: u32,
    /// The main group's number.
    pub gid: u32,
    /// Further groups.
    #[serde(default)]
    pub groups: Vec<u32>,
}

/// Finds a user by name in `/etc/passwd` and `/etc/group`; `None` when there is none. Users who live
/// elsewhere (LDAP) are not found: give their numbers.
///
/// # Errors
/// When the files cannot be read.
pub fn lookup(name: &str) -> io::Result<Option<User>> {
    Ok(find(name, &fs::read_to_string("/etc/passwd")?, &fs::read_to_string("/etc/group")?))
}

/// The same in the `/etc/passwd` and `/etc/group` of a root file system; links in there lead nowhere else.
///
/// # Errors
/// When the files are there and cannot be read.
pub(crate) fn lookup_in(image: &Path, name: &str) -> io::Result<Option<User>> {
    let root = Root::open(image)?;
    let read = |path: &str| match root.get(Path::new(path), OFlags::RDONLY | OFlags::NONBLOCK, Links::Inside)
    {
        Ok(file) => {
            let mut text = String::new();
            File::from(file).take(MAX_FILE).read_to_string(&mut text)?;
            Ok(text)
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(e) => Err(e),
    };
    Ok(find(name, &read("etc/passwd")?, &read("etc/group")?))
}

fn find(name: &str, passwd: &str, group: &str) -> Option<User> {
    let line = passwd.lines().map(|l| l.split(':').collect::<Vec<_>>()).find(|f| f.first() == Some(&name))?;
    let uid = line.get(2)?.parse().ok()?;
    let gid = line.get(3)?.parse().ok()?;
    let mut groups: Vec<u32> = group
        .lines()
        .map(|l| l.split(':').collect::<Vec<_>>())
        .filter(|f| f.get(3).is_some_and(|members| members.split(',').any(|m| m == name)))
        .filter_map(|f| f.get(2)?.parse().ok())
        .filter(|g| *g != gid)
        .collect();
    groups.sort_unstable();
    Some(User { uid, gid, groups })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_with_all_groups() {
        let passwd = "root:x:0:0::/:/bin/sh\nann:x:1000:1000:Ann:/:/bin/sh\nbad:x:one:1::/:\n";
        let group = "root:x:0:\nann:x:1000:ann\ndocker:x:90:bob,ann\nannex:x:91:annex\n";
        assert_eq!(find("ann", passwd, group), Some(User { uid: 1000, gid: 1000, groups: vec![90] }));
        assert_eq!(find("root", passwd, group), Some(User { uid: 0, gid: 0, groups: vec![] }));
        for name in ["bad", "nobody", "", "an"] {
            assert_eq!(find(name, passwd, group), None, "{name}");
        }
    }
}
