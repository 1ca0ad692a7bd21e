//! An editor for tests of commands that open one.
#![expect(clippy::unwrap_used, reason = "a test's own editor: where it cannot be made, the test fails")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::server::Cluster;

/// An editor: a script that gets the file as its argument.
pub(crate) struct Editor(tempfile::TempDir);

impl Editor {
    pub(crate) fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("editor");
        fs::write(&path, format!("#!/bin/sh\nset -e\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(folder.path().join("tmp")).unwrap();
        Self(folder)
    }

    pub(crate) fn run(&self, cluster: &Cluster, arguments: &[&str]) -> (i32, String, String) {
        let path = |name: &str| self.0.path().join(name);
        let mut command = cluster.command(arguments);
        command.env("EDITOR", path("editor")).env("TMPDIR", path("tmp")).env("PATH", "/usr/bin:/bin");
        let output = command.env("NOTES", path("notes")).output().unwrap();
        let folder = self.0.path().display().to_string();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&folder, "DIR");
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    }

    pub(crate) fn left(&self) -> Vec<String> {
        let files = fs::read_dir(self.0.path().join("tmp")).unwrap();
        files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect()
    }

    pub(crate) fn notes(&self) -> String {
        fs::read_to_string(self.0.path().join("notes")).unwrap()
    }
}
