//! Fetching as another user, which needs root.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use agent::fetch::{Fetcher, Options};
use agent::launch::Program;
use agent::user::User;
use api::mesos::Uri;

const USER: u32 = 65_534;

fn uri(value: &str) -> Uri {
    Uri { value: value.into(), executable: false, extract: true, cache: false, output_file: None }
}

#[tokio::test]
#[ignore = "needs root"]
async fn what_is_fetched_belongs_to_the_tasks_user_who_made_it() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut builder = tar::Builder::new(fs::File::create(at("app.tar")).unwrap());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o4755);
    header.set_uid(0);
    header.set_size(4);
    builder.append_data(&mut header, "bin/run", &b"#!sh"[..]).unwrap();
    builder.finish().unwrap();
    // Readable by root alone: the child gets it opened.
    fs::set_permissions(at("app.tar"), fs::Permissions::from_mode(0o600)).unwrap();

    // As in an installation: a program that everybody may run.
    fs::copy(env!("CARGO_BIN_EXE_agent-shim"), at("shim")).unwrap();
    let mut options = Options::new(at("cache"), Program { path: at("shim"), args: vec![] });
    options.file_roots = vec![dir.path().to_owned()];
    let fetcher = Fetcher::new(options);
    let user = User { uid: USER, gid: USER, groups: vec![] };
    let wanted = [uri(at("app.tar").to_str().unwrap())];

    fs::create_dir(at("sandbox")).unwrap();
    let error = fetcher.fetch(&wanted, &at("sandbox"), Some(&user)).await.unwrap_err().to_string();
    assert!(error.contains("Permission denied"), "root's sandbox is not the user's: {error}");
    assert_eq!(fs::read_dir(at("sandbox")).unwrap().count(), 0);

    chown(at("sandbox"), Some(USER), Some(USER)).unwrap();
    fetcher.fetch(&wanted, &at("sandbox"), Some(&user)).await.unwrap();
    for name in ["sandbox/bin", "sandbox/bin/run"] {
        let meta = fs::metadata(at(name)).unwrap();
        assert_eq!((meta.uid(), meta.gid(), meta.mode() & 0o7777), (USER, USER, 0o755), "{name}");
    }
}
