use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::*;
use crate::blob::Blob;
use crate::facts::Looked;
use crate::manifest::Manifest;
use crate::phase::Phase;
use crate::plan::plan;
use crate::probe::Look;

/// A host's file system below a temporary directory.
struct World {
    dir: tempfile::TempDir,
    owner: (String, String),
}

impl World {
    fn new() -> Self {
        let name = |flag| {
            let output = Command::new("id").arg(flag).output().unwrap();
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        Self { dir: tempfile::tempdir().unwrap(), owner: (name("-un"), name("-gn")) }
    }

    fn at(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn places(&self) -> Places {
        Places {
            staging: self.at("var/staging"),
            lock: self.at("run/lock"),
            manifest: Some(self.at("var/manifest")),
        }
    }

    fn access(&self, mode: u32) -> Access {
        Access::of(&self.owner.0, &self.owner.1, mode)
    }

    fn desired(&self) -> Desired {
        let blob = self.at("blob.source");
        if !Path::new(&blob).exists() {
            std::fs::write(&blob, vec![7; 300_000]).unwrap();
        }
        let file = |name: &str, mode, content| Item::File {
            path: self.at(name),
            access: self.access(mode),
            content,
        };
        let mut desired = Desired::default();
        for item in [
            Item::Dir { path: self.at("etc"), access: self.access(0o755), data: false },
            Item::Dir { path: self.at("data"), access: self.access(0o700), data: true },
            file("etc/it's plain", 0o644, Content::Text(Arc::from("text\nwith $(odd) `things`\n"))),
            file("etc/empty", 0o644, Content::Text(Arc::from(""))),
            file("etc/key", 0o640, Content::Secret(Arc::new("canary".to_owned().into()))),
            file("etc/blob", 0o755, Content::Blob(Arc::new(Blob::open(Path::new(&blob)).unwrap()))),
            Item::Link { path: self.at("current"), target: "etc".to_owned() },
            Item::Command {
                what: "makes a mark".to_owned(),
                guard: format!("test -e '{}'", self.at("data/mark")),
                command: format!("echo made >'{}'", self.at("data/mark")),
            },
        ] {
            desired.push(Phase::Distribute, item);
        }
        desired
    }

    fn facts(&self, desired: &Desired) -> Facts {
        let look = Look { desired: desired.clone(), ..Look::default() };
        let output = Command::new("sh").args(["-c", &look.script()]).stdin(Stdio::null()).output().unwrap();
        let now = SystemTime::now();
        let looked = Looked { began: now - Duration::from_secs(60), ended: now };
        let mut facts = Look::read(&String::from_utf8(output.stdout).unwrap(), looked).unwrap();
        facts.manifest = self.manifest();
        facts
    }

    fn manifest(&self) -> Manifest {
        let mut manifest = Manifest::default();
        let text = std::fs::read_to_string(self.at("var/manifest")).unwrap_or_default();
        text.lines().for_each(|line| manifest.read(line));
        manifest
    }

    /// Sends as much of the files as `cut` lets through.
    fn send(&self, parcel: &Parcel, cut: Option<usize>) -> Vec<Progress> {
        let mut child = Command::new("sh")
            .args(["-c", &parcel.script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut bytes = parcel.input.concat();
        bytes.truncate(cut.unwrap_or(usize::MAX));
        // A host that has failed already does not read on.
        let _ = child.stdin.take().unwrap().write_all(&bytes);
        let output = child.wait_with_output().unwrap();
        String::from_utf8(output.stdout).unwrap().lines().filter_map(progress).collect()
    }
}

#[test]
fn what_was_planned_is_put_in_place_and_then_nothing_is_left_to_do() {
    let world = World::new();
    let desired = world.desired();
    let facts = world.facts(&desired);
    let steps = plan(&desired, &facts).unwrap();
    assert_eq!(steps.len(), 8);
    let parcel = parcel(&world.places(), &desired, &steps, &facts).unwrap();
    assert!(!parcel.script.contains("canary"));
    let heard = world.send(&parcel, None);
    assert_eq!(heard.last(), Some(&Progress::Ended), "{heard:?}");
    assert_eq!(heard.len(), 17);

    assert_eq!(
        std::fs::read_to_string(world.at("current/it's plain")).unwrap(),
        "text\nwith $(odd) `things`\n"
    );
    assert_eq!(std::fs::read(world.at("etc/blob")).unwrap(), vec![7; 300_000]);
    let mode = std::fs::metadata(world.at("etc/key")).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode, 0o640);
    assert_eq!(plan(&desired, &world.facts(&desired)), Ok(Vec::new()));
    assert!(!Path::new(&world.at("var/staging")).exists());
    let manifest = world.manifest();
    assert!(manifest.has(&world.at("current")) && manifest.dirs[&world.at("data")]);
    assert_eq!(manifest.files.len(), 4);
}

#[test]
fn only_what_differs_is_sent_and_touched() {
    let world = World::new();
    let desired = world.desired();
    let facts = world.facts(&desired);
    let first = parcel(&world.places(), &desired, &plan(&desired, &facts).unwrap(), &facts).unwrap();
    world.send(&first, None);
    std::fs::write(world.at("etc/empty"), "changed by somebody\n").unwrap();
    std::fs::remove_file(world.at("current")).unwrap();
    std::os::unix::fs::symlink("data", world.at("current")).unwrap();
    std::fs::set_permissions(world.at("etc"), std::fs::Permissions::from_mode(0o700)).unwrap();

    let facts = world.facts(&desired);
    let steps = plan(&desired, &facts).unwrap();
    let shown: Vec<_> = steps.iter().map(|step| step.deed.words()).collect();
    assert_eq!(shown.len(), 3, "{shown:?}");
    assert!(
        shown[0].contains("becomes 0755")
            && shown[1].starts_with("changed")
            && shown[2].contains("data to etc")
    );
    let second = parcel(&world.places(), &desired, &steps, &facts).unwrap();
    // Of the large file nothing is sent; small ones are not compressed.
    assert!(second.input.concat().len() < 8192);
    assert_eq!(world.send(&second, None).last(), Some(&Progress::Ended));
    assert_eq!(std::fs::read_link(world.at("current")).unwrap(), Path::new("etc"));
    assert_eq!(plan(&desired, &world.facts(&desired)), Ok(Vec::new()));
}

#[test]
fn cut_off_anywhere_nothing_is_half_there_and_a_second_run_finishes() {
    let world = World::new();
    let desired = world.desired();
    let facts = world.facts(&desired);
    let steps = plan(&desired, &facts).unwrap();
    let whole = parcel(&world.places(), &desired, &steps, &facts).unwrap();
    let length = whole.input.concat().len();
    // While files are on their way.
    for cut in [0, 10, length / 2, length - 30] {
        let heard = world.send(&whole, Some(cut));
        assert!(matches!(heard.as_slice(), [Progress::Failed { step: None, .. }]), "{cut}: {heard:?}");
        assert!(!Path::new(&world.at("etc")).exists());
    }
    // After each step: what comes then is left out, as if the host went down.
    for kept in 0..steps.len() {
        let mut cut = parcel(&world.places(), &desired, &steps, &facts).unwrap();
        let end = cut.script.find(&format!("step {kept} ")).unwrap();
        cut.script.truncate(end);
        cut.script.push_str("kill -9 $$\n");
        world.send(&cut, None);
        let manifest = world.manifest();
        for item in desired.iter() {
            let Some(path) = item.path() else { continue };
            let path = path.display().to_string();
            assert!(
                !Path::new(&path).exists() || manifest.has(&path),
                "{path} is in the list before it is there"
            );
        }
        let facts = world.facts(&desired);
        let rest = plan(&desired, &facts).unwrap();
        let parcel = parcel(&world.places(), &desired, &rest, &facts).unwrap();
        assert_eq!(world.send(&parcel, None).last(), Some(&Progress::Ended), "{kept}");
        assert_eq!(plan(&desired, &world.facts(&desired)), Ok(Vec::new()), "{kept}");
        for name in ["etc", "data", "current"] {
            let _ = std::fs::remove_dir_all(world.at(name)).or_else(|_| std::fs::remove_file(world.at(name)));
        }
    }
}

#[test]
fn what_does_not_get_smaller_goes_as_it_is_and_is_checked_all_the_same() {
    let world = World::new();
    let (mut state, mut noise) = (7_u64, Vec::new());
    while noise.len() < 300_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        noise.extend_from_slice(&state.to_be_bytes()[..4]);
    }
    std::fs::write(world.at("blob.source"), &noise).unwrap();
    let desired = world.desired();
    let facts = world.facts(&desired);
    let steps = plan(&desired, &facts).unwrap();
    let whole = parcel(&world.places(), &desired, &steps, &facts).unwrap();
    let bytes = whole.input.concat();
    assert!(
        whole.script.contains("receive plain\n") && bytes.windows(512).any(|part| noise.starts_with(part))
    );
    for cut in [0, 10, 100_000, bytes.len() - 1600] {
        let heard = world.send(&whole, Some(cut));
        assert!(matches!(heard.as_slice(), [Progress::Failed { step: None, .. }]), "{cut}: {heard:?}");
        assert!(!Path::new(&world.at("etc")).exists());
    }
    assert_eq!(world.send(&whole, None).last(), Some(&Progress::Ended));
    assert_eq!(std::fs::read(world.at("etc/blob")).unwrap(), noise);
}

#[test]
fn the_first_step_that_fails_is_the_last_and_says_why() {
    let world = World::new();
    let mut desired = Desired::default();
    for command in ["true", "echo so it is; exit 3", "touch never"] {
        let (what, guard) = ("x".to_owned(), "false".to_owned());
        desired.push(Phase::Distribute, Item::Command { what, guard, command: command.to_owned() });
    }
    let facts = Facts::default();
    let steps = plan(&desired, &facts).unwrap();
    let heard = world.send(&parcel(&world.places(), &desired, &steps, &facts).unwrap(), None);
    let failed = Progress::Failed { step: Some(1), status: 3, said: "so it is".to_owned() };
    assert_eq!(heard, [Progress::Started(0), Progress::Done(0), Progress::Started(1), failed]);
}

#[test]
fn lines_that_say_nothing_of_steps_are_passed_over() {
    for line in ["", "start", "start\tx", "failed\t1", "failed\t1\tx\t", "failed\t1\t2\t%%", "hello\tworld"] {
        assert_eq!(progress(line), None, "{line:?}");
    }
}
