//! With the real clients of this machine and their registries: `cargo test -p artifacts --test real -- --ignored`.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use artifacts::spec::{Artifact, ArtifactKind, At, Member, Source, Sum};
use artifacts::{Options, Resolver};

const SIX: &str = "8abb2f1d86890a2dfb989f9a77cfcfd3e47c2a354b01111771326f8aa26e0254";

fn resolver(dir: &std::path::Path) -> Resolver {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Resolver::new(Options::new(dir.to_owned())).unwrap()
}

fn artifact(kind: ArtifactKind) -> Artifact {
    Artifact { name: "x".into(), file: None, extract: None, kind }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "asks PyPI, Maven Central, npm's registry and Debian's mirror"]
async fn every_client_fetches_one_file_and_a_closure_is_made_of_some() {
    let dir = tempfile::tempdir().unwrap();
    let member = |purl: &str, sum: Option<Sum>, path: &str, unpack| Member {
        at: At::Purl(purl.into()),
        sum,
        path: path.into(),
        unpack,
    };
    let members = vec![
        member("pkg:pypi/six@1.16.0", Some(Sum::Sha256(SIX.into())), "site-packages", true),
        member("pkg:maven/org.apache.zookeeper/zookeeper-jute@3.8.4", None, "lib/jute.jar", false),
        member("pkg:npm/left-pad@1.3.0", None, "js", true),
        member("pkg:deb/debian/hello", None, "hello.deb", false),
    ];
    let closure = artifact(ArtifactKind::Closure(members));
    let got = resolver(dir.path()).obtain(&closure, None).await.unwrap();
    let mut archive = tar::Archive::new(std::fs::File::open(&got.path).unwrap());
    let names: Vec<String> = archive
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().display().to_string())
        .collect();
    for name in ["site-packages/six.py", "lib/jute.jar", "js/package/package.json", "hello.deb"] {
        assert!(names.iter().any(|found| found == name), "{name} in {names:?}");
    }
    // Once more without any client.
    let mut options = Options::new(dir.path().to_owned());
    options.path = "/nowhere".into();
    let again = Resolver::new(options).unwrap().obtain(&closure, None).await.unwrap();
    assert_eq!(again, got);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "asks Debian's mirror, and takes minutes"]
async fn a_root_file_system_is_made_of_packages() {
    let dir = tempfile::tempdir().unwrap();
    let root = ArtifactKind::Rootfs { debian: "bookworm".into(), packages: vec!["hello".into()] };
    let got = resolver(dir.path()).obtain(&artifact(root), None).await.unwrap();
    assert_eq!(got.file, "x.tar");
    let mut archive = tar::Archive::new(std::fs::File::open(&got.path).unwrap());
    let mut found = false;
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        let kind = entry.header().entry_type();
        assert!(
            !kind.is_character_special() && !kind.is_block_special(),
            "{}",
            entry.path().unwrap().display()
        );
        found |= entry.path().unwrap().ends_with("usr/bin/hello");
    }
    assert!(found);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "asks PyPI for 300 MB"]
async fn sparks_distribution_is_had_from_pypi() {
    let dir = tempfile::tempdir().unwrap();
    let sum = "68b7cc0c0c570a7d8644f49f40d2da8709b01d30c9126cc8cf93b4f84f3d9747";
    let source = Source {
        at: At::Purl("pkg:pypi/pyspark@3.5.3".into()),
        sum: Some(Sum::Sha256(sum.into())),
        home: "pyspark-3.5.3/pyspark".into(),
    };
    let got =
        resolver(dir.path()).obtain(&artifact(ArtifactKind::Sources(vec![source])), None).await.unwrap();
    assert_eq!((got.file.as_str(), got.extract), ("pyspark-3.5.3.tar.gz", true));
}
