//! Artifacts from servers that break off, lie or are gone, from clients of all kinds, put together, and in bundles.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod place;

use std::collections::BTreeMap;
use std::fs;

use artifacts::spec::{At, Member, Sum};
use artifacts::{Event, Fault, ObtainError, Packed, load, pack};
use place::{Answer, Place, Server, gzip, sha256, sha512, tar_of, zip_of};

/// More than one piece.
fn noise(bytes: u32) -> Vec<u8> {
    (0..bytes).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[2]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_goes_on_where_it_broke_off_and_is_not_done_twice() {
    let body = noise(300_000);
    let server = Server::start(vec![
        Answer::Whole { body: body.clone(), etag: Some("\"a\""), cut: Some(100_000) },
        Answer::Ranges { body: body.clone(), etag: "\"a\"", cut: Some(50_000) },
        Answer::Ranges { body: body.clone(), etag: "\"a\"", cut: None },
    ])
    .await;
    let place = Place::new();
    let artifact =
        place.url("spark", &server.url("/dist/spark-3.5.tgz?x=y"), Some(Sum::Sha256(sha256(&body))));
    let got = place.resolver().obtain(&artifact, None).await.unwrap();
    assert_eq!(fs::read(&got.path).unwrap(), body);
    assert_eq!((got.file.as_str(), got.extract, got.bytes), ("spark-3.5.tgz", true, 300_000));
    assert_eq!(got.sha256, sha256(&body));
    let asked = server.asked();
    let ranges: Vec<_> = asked
        .iter()
        .map(|request| (request.get("range").cloned(), request.get("if-range").cloned()))
        .collect();
    let tag = Some("\"a\"".to_owned());
    assert_eq!(ranges[0], (None, None));
    assert_eq!(ranges[1], (Some("bytes=100000-".to_owned()), tag.clone()));
    assert_eq!(ranges[2], (Some("bytes=150000-".to_owned()), tag));

    // A second time nobody is asked, also by another process.
    let again = place.resolver().obtain(&artifact, None).await.unwrap();
    assert_eq!((again, server.asked().len()), (got.clone(), 3));
    assert_eq!(place.left(), 0, "nothing is left under way");
    // What is damaged is noticed, and had again.
    fs::write(&got.path, "damaged").unwrap();
    server.then(Answer::Whole { body: body.clone(), etag: None, cut: None });
    let again = place.resolver().obtain(&artifact, None).await.unwrap();
    assert_eq!(fs::read(&again.path).unwrap(), body);
    assert_eq!(server.asked().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_process_goes_on_with_what_one_left() {
    let body = noise(200_000);
    let server = Server::start(vec![
        Answer::Whole { body: body.clone(), etag: Some("\"a\""), cut: Some(70_000) },
        Answer::Status(404),
        Answer::Ranges { body: body.clone(), etag: "\"a\"", cut: None },
    ])
    .await;
    let place = Place::new();
    let artifact = place.url("x", &server.url("/x.bin"), Some(Sum::Sha512(sha512(&body))));
    let error = place.resolver().obtain(&artifact, None).await.unwrap_err();
    assert!(error.to_string().contains("answered 404"), "{error}");
    let got = place.resolver().obtain(&artifact, None).await.unwrap();
    assert_eq!(fs::read(&got.path).unwrap(), body);
    assert_eq!(server.asked()[2].get("range").unwrap(), "bytes=70000-");
    assert!(!got.extract);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ignores_ranges_or_has_another_file_by_now_is_asked_for_all() {
    let (old, body) = (noise(100_000), noise(150_000).into_iter().rev().collect::<Vec<_>>());
    let server = Server::start(vec![
        Answer::Whole { body: body.clone(), etag: Some("\"a\""), cut: Some(60_000) },
        Answer::Whole { body: body.clone(), etag: Some("\"a\""), cut: None },
    ])
    .await;
    let place = Place::new();
    let artifact = place.url("x", &server.url("/x.bin"), Some(Sum::Sha256(sha256(&body))));
    assert_eq!(fs::read(place.resolver().obtain(&artifact, None).await.unwrap().path).unwrap(), body);
    assert_eq!(server.asked().len(), 2);

    // Another file under the same address, and a server without names for what it has: the sum tells.
    let place = Place::new();
    let server = Server::start(vec![
        Answer::Whole { body: old.clone(), etag: None, cut: Some(60_000) },
        Answer::Status(404),
        Answer::Ranges { body: body.clone(), etag: "\"b\"", cut: None },
        Answer::Whole { body: body.clone(), etag: Some("\"b\""), cut: None },
    ])
    .await;
    let artifact = place.url("x", &server.url("/x.bin"), Some(Sum::Sha256(sha256(&body))));
    place.resolver().obtain(&artifact, None).await.unwrap_err();
    assert_eq!(fs::read(place.resolver().obtain(&artifact, None).await.unwrap().path).unwrap(), body);
    assert_eq!(server.asked().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_another_sum_is_not_kept_and_the_next_source_is_taken() {
    let (good, bad) = (b"good".to_vec(), b"bad".to_vec());
    let server = Server::start(vec![
        Answer::Whole { body: bad.clone(), etag: None, cut: None },
        Answer::Status(403),
        Answer::Whole { body: good.clone(), etag: None, cut: None },
    ])
    .await;
    let place = Place::new();
    let sum = || Some(Sum::Sha256(sha256(&good)));
    let one = |path: &str| place.source(At::Url(server.url(path)), sum(), "");
    let mut last = one("/c.zip");
    last.home = "c-1".to_owned();
    let artifact = place.artifact("x", vec![one("/a.tgz"), one("/b.tgz"), last]);
    let got = place.resolver().obtain(&artifact, None).await.unwrap();
    assert_eq!((fs::read(&got.path).unwrap(), got.home.as_str(), got.file.as_str()), (good, "c-1", "c.zip"));
    assert_eq!(got.source, server.url("/c.zip"));
    assert_eq!(place.kept(), std::slice::from_ref(&got.sha256));
    let failed = place.events(|event| match event {
        Event::Failed { source, why, .. } => Some(format!("{source}: {why}")),
        _ => None,
    });
    assert!(failed[0].contains("SHA-256") && failed[1].contains("403"), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_none_can_be_had_each_is_named_with_what_to_do() {
    let server = Server::start(vec![Answer::Status(404)]).await;
    let place = Place::new();
    let nobody = "http://127.0.0.1:1/x.tgz".to_owned();
    let artifact = place.artifact(
        "spark",
        vec![
            place.source(At::Url(server.url("/x.tgz?token=secret")), None, ""),
            place.source(At::Url(nobody), None, ""),
            place.source(At::Purl("pkg:maven/a/b@1".into()), None, ""),
            place.source(At::Purl("pkg:golang/a/b@1".into()), None, ""),
            place.source(At::File("x".into()), None, ""),
            place.source(At::Url("https://h/x".into()), Some(Sum::Sha256("12".into())), ""),
        ],
    );
    let error = place.resolver().obtain(&artifact, None).await.unwrap_err();
    let text = error.to_string();
    for part in [
        "artifact spark: none of its sources can be had\n  1. http://127.0.0.1:",
        "x.tgz?…: 127.0.0.1 answered 404\n     → it is not there any more",
        "\n  2. http://127.0.0.1:1/x.tgz: 127.0.0.1: error sending request",
        "\n  3. pkg:maven/a/b@1: there is no mvn on this machine\n     → install Maven",
        "\n  4. pkg:golang/a/b@1: package URLs of the type \"golang\" are not supported",
        "\n  5. x: ",
        "\n  6. https://h/x: \"12\" is no checksum",
    ] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    assert!(!text.contains("secret"));
    let ObtainError::Sources { tried, .. } = error else { panic!("{error:?}") };
    assert_eq!(tried.len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn published_checksums_are_asked_for_once() {
    let body = b"the release".to_vec();
    let long = sha512(&body);
    let apache = format!("x-1.tgz: {} {}\n         {}\n", &long[..32], &long[32..64], &long[64..]);
    let server = Server::start(vec![
        Answer::Whole {
            body: apache.to_uppercase().replace("X-1.TGZ", "x-1.tgz").into_bytes(),
            etag: None,
            cut: None,
        },
        Answer::Whole { body: body.clone(), etag: None, cut: None },
    ])
    .await;
    let place = Place::new();
    let sum = || Some(Sum::Published(server.url("/x-1.tgz.sha512")));
    let artifact = place.url("x", &server.url("/x-1.tgz"), sum());
    place.resolver().obtain(&artifact, None).await.unwrap();
    place.resolver().obtain(&artifact, None).await.unwrap();
    assert_eq!(server.asked().len(), 2);

    server.then(Answer::Whole {
        body: format!("{}  y.tgz\n{}  z.tgz", sha256(b""), sha256(b"")).into_bytes(),
        etag: None,
        cut: None,
    });
    server.then(Answer::Whole { body: sha256(b"other").into_bytes(), etag: None, cut: None });
    server.then(Answer::Whole { body: b"not it".to_vec(), etag: None, cut: None });
    let other = place.url("x", &server.url("/other.tgz"), sum());
    let error = place.resolver().obtain(&other, None).await.unwrap_err().to_string();
    assert!(error.contains("says nothing of other.tgz"), "{error}");
    let error = place.resolver().obtain(&other, None).await.unwrap_err().to_string();
    assert!(error.contains("it has the SHA-256"), "{error}");
    let plain =
        place.url("x", "http://192.0.2.1/x", Some(Sum::Published("http://192.0.2.1/x.sha256".into())));
    let error = place.resolver().obtain(&plain, None).await.unwrap_err().to_string();
    assert!(error.contains("not encrypted"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_asked_in_a_directory_of_their_own_and_what_is_in_the_cache_is_not_asked_for() {
    let place = Place::new();
    place.program(
        "pip3",
        r#"[ "$1" = download ] || exit 9
echo "Looking in indexes: https://me:secret@pypi.example/simple"
cat ../requirements.txt
for a; do case $a in --require-hashes) ;; --index*) exit 8;; esac; done
printf 'a wheel' > six-1.16.0-py3-none-any.whl"#,
    );
    let sum = sha256(b"a wheel");
    let six = |sum: &str| {
        let source = place.source(At::Purl("pkg:pypi/six@1.16.0".into()), Some(Sum::Sha256(sum.into())), "");
        place.artifact("six", vec![source])
    };
    let got = place.resolver().obtain(&six(&sum), None).await.unwrap();
    assert_eq!((got.file.as_str(), got.extract), ("six-1.16.0-py3-none-any.whl.zip", true));
    let said = place.events(|event| match event {
        Event::Said { line, .. } => Some(line.clone()),
        _ => None,
    });
    assert_eq!(
        said,
        [
            "Looking in indexes: https://pypi.example/simple".to_owned(),
            format!("six==1.16.0 --hash=sha256:{sum}")
        ]
    );
    // Another source of higher rank that is not reached: what is there is taken.
    place.program("pip3", "exit 7");
    let mut artifact = six(&sum);
    let artifacts::spec::ArtifactKind::Sources(sources) = &mut artifact.kind else { panic!() };
    sources.insert(
        0,
        place.source(At::Url("http://127.0.0.1:1/a.whl".into()), Some(Sum::Sha512(sha512(b"a wheel"))), ""),
    );
    assert_eq!(place.resolver().obtain(&artifact, None).await.unwrap().sha256, sum);
    // A client that fails says why.
    place.program("pip3", "echo 'ERROR: No matching distribution found for six' >&2; exit 1");
    let error = place.resolver().obtain(&six(&sha256(b"other")), None).await.unwrap_err().to_string();
    assert!(error.contains("pip3 ended with exit status: 1:\n  ERROR: No matching"), "{error}");
    place.program("pip3", "printf x > a.whl; printf y > b.whl");
    let error = place.resolver().obtain(&six(&sha256(b"other")), None).await.unwrap_err().to_string();
    assert!(error.contains("pip left 2 files"), "{error}");
    assert_eq!(place.left(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn maven_npm_and_apt_are_asked_for_one_file() {
    let place = Place::new();
    place.program(
        "mvn",
        r#"case "$*" in *-Dartifact=org.x:y:1:tar.gz:bin) printf jar > y-1-bin.tar.gz;; *) exit 3;; esac"#,
    );
    place
        .program("npm", r#"case "$*" in *--ignore-scripts*@a/b@1) printf js > a-b-1.tgz;; *) exit 3;; esac"#);
    place.program(
        "apt-get",
        r#"case "$*" in *hello:amd64=2.10-3) printf deb > hello_2.10-3_amd64.deb;; *) exit 3;; esac"#,
    );
    for (purl, body, file) in [
        ("pkg:maven/org.x/y@1?type=tar.gz&classifier=bin", "jar", "y-1-bin.tar.gz"),
        ("pkg:npm/%40a/b@1", "js", "a-b-1.tgz"),
        ("pkg:deb/debian/hello@2.10-3?arch=amd64", "deb", "hello_2.10-3_amd64.deb"),
    ] {
        let artifact = place.artifact("x", vec![place.source(At::Purl(purl.into()), None, "")]);
        let got = place.resolver().obtain(&artifact, None).await.unwrap();
        assert_eq!((got.file.as_str(), got.sha256), (file, sha256(body.as_bytes())), "{purl}");
    }
}

fn member(at: At, body: &[u8], path: &str, unpack: bool) -> Member {
    Member { at, sum: Some(Sum::Sha256(sha256(body))), path: path.into(), unpack }
}

/// A directory with files, and a closure of them.
fn closure(place: &Place, jar: &[u8]) -> Vec<Member> {
    let wheel = zip_of(&[("pkg/__init__.py", "import x"), ("pkg-1.dist-info/METADATA", "Name: pkg")]);
    let sdist = gzip(&tar_of(&[("pkg-2/run", 0o755, "#!"), ("pkg-2/lib/a.py", 0o644, "a")]));
    for (name, body) in [("a.jar", jar), ("b.whl", &wheel), ("c.tar.gz", &sdist)] {
        fs::write(place.dir().join(name), body).unwrap();
    }
    vec![
        member(At::File("b.whl".into()), &wheel, "site-packages", true),
        member(At::File("a.jar".into()), jar, "lib/a.jar", false),
        member(At::File("c.tar.gz".into()), &sdist, "site-packages", true),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closure_is_one_tar_and_always_the_same() {
    let place = Place::new();
    let members = closure(&place, b"a jar");
    let artifact = place.closure("jars", members.clone());
    let got = place.resolver().obtain(&artifact, Some(place.dir())).await.unwrap();
    assert_eq!((got.file.as_str(), got.extract, got.home.as_str()), ("jars.tar", true, ""));
    let listing = place::listing(&got.path);
    let listing: Vec<&str> = listing.iter().map(String::as_str).collect();
    assert_eq!(
        listing,
        [
            "755 0 0 0 lib/",
            "644 0 0 0 lib/a.jar a jar",
            "755 0 0 0 site-packages/",
            "755 0 0 0 site-packages/pkg/",
            "755 0 0 0 site-packages/pkg-1.dist-info/",
            "644 0 0 0 site-packages/pkg-1.dist-info/METADATA Name: pkg",
            "755 0 0 0 site-packages/pkg-2/",
            "755 0 0 0 site-packages/pkg-2/lib/",
            "644 0 0 0 site-packages/pkg-2/lib/a.py a",
            "755 0 0 0 site-packages/pkg-2/run #!",
            "644 0 0 0 site-packages/pkg/__init__.py import x",
        ]
    );
    // The same elsewhere, whatever the order of what does not meet.
    let other = Place::new();
    let mut turned = closure(&other, b"a jar");
    turned.reverse();
    let again = other.resolver().obtain(&other.closure("jars", turned), Some(other.dir())).await.unwrap();
    assert_eq!(again.sha256, got.sha256);
    // Without its members, and with the name of another artifact, it is there yet.
    for name in ["a.jar", "b.whl", "c.tar.gz"] {
        fs::remove_file(place.dir().join(name)).unwrap();
    }
    let again = place.resolver().obtain(&place.closure("jars", members), Some(place.dir())).await.unwrap();
    assert_eq!(again, got);
    assert_eq!(place.left(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_not_right_is_named() {
    let place = Place::new();
    let jar = b"a jar";
    let evil = gzip(&tar_of(&[("../canary", 0o644, "x")]));
    fs::write(place.dir().join("evil.tar.gz"), &evil).unwrap();
    let good = closure(&place, jar);
    let mut wrong = good.clone();
    wrong[1].sum = Some(Sum::Sha256(sha256(b"another")));
    let mut twice = good.clone();
    twice.push(twice[1].clone());
    let mut outside = good.clone();
    outside[1].path = "../a.jar".into();
    let mut escape = good.clone();
    escape.push(member(At::File("evil.tar.gz".into()), &evil, "lib", true));
    let mut below = good;
    below.push(member(At::File("a.jar".into()), jar, "lib/a.jar/x", false));
    for (members, source, why) in [
        (wrong, "a.jar", "it has the SHA-256"),
        (twice, "a.jar", "there are two of this path"),
        (outside, "a.jar", "its name has a \"..\""),
        (escape, "evil.tar.gz", "its name has a \"..\""),
        (below, "a.jar", "there is a file or a link where its directory must be"),
    ] {
        let error =
            place.resolver().obtain(&place.closure("jars", members), Some(place.dir())).await.unwrap_err();
        let ObtainError::Member { artifact, member } = &error else { panic!("{error:?}") };
        assert_eq!((artifact.as_str(), member.source.as_str()), ("jars", source));
        assert!(member.why.to_string().contains(why), "{error}");
    }
    assert!(!place.dir().parent().unwrap().join("canary").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_at_a_time_obtain_it_once() {
    let body = noise(100_000);
    let server = Server::start(vec![Answer::Whole { body: body.clone(), etag: None, cut: None }]).await;
    let place = Place::new();
    let artifact = place.url("x", &server.url("/x.bin"), Some(Sum::Sha256(sha256(&body))));
    let (one, other) = (place.resolver(), place.resolver());
    let (one, other) = tokio::join!(one.obtain(&artifact, None), other.obtain(&artifact, None));
    assert_eq!(one.unwrap(), other.unwrap());
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_not_taken() {
    let place = Place::new();
    let server = Server::start(vec![
        Answer::Whole { body: noise(2 << 20), etag: None, cut: None },
        Answer::Chunked(noise(2 << 20)),
    ])
    .await;
    let artifact = place.url("x", &server.url("/x.bin"), None);
    let resolver = place.resolver_with(|options| options.max_bytes = 1 << 20);
    for _ in 0..2 {
        let error = resolver.obtain(&artifact, None).await.unwrap_err();
        let ObtainError::Sources { tried, .. } = &error else { panic!("{error:?}") };
        assert!(matches!(tried[0].why, Fault::Large(_)), "{error}");
    }
    assert_eq!((place.left(), place.kept().len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_has_each_file_once_and_is_read_back() {
    let place = Place::new();
    fs::write(place.dir().join("a.tgz"), "aaa").unwrap();
    fs::write(place.dir().join("b.jar"), "bb").unwrap();
    let mut packed = Vec::new();
    for (name, files) in [("spark", &["a.tgz", "b.jar"][..]), ("other", &["a.tgz"])] {
        let mut all = BTreeMap::new();
        for file in files {
            let artifact =
                place.artifact(&file[..1], vec![place.source(At::File((*file).into()), None, "home")]);
            let got = place.resolver().obtain(&artifact, Some(place.dir())).await.unwrap();
            all.insert(file[..1].to_owned(), got);
        }
        packed.push(Packed { name: name.into(), version: "1.0".into(), artifacts: all });
    }
    let file = place.dir().join("all.bundle");
    pack(&packed, &file).unwrap();
    let first = fs::read(&file).unwrap();
    pack(&packed, &file).unwrap();
    assert_eq!(fs::read(&file).unwrap(), first, "it is always the same");

    let other = Place::new();
    let bundle = load(&file, &other.cache()).unwrap();
    let jar = bundle.artifact("spark", "1.0", "b").unwrap();
    assert_eq!(
        (jar.file.as_str(), jar.home.as_str(), fs::read(&jar.path).unwrap()),
        ("b.jar", "home", b"bb".to_vec())
    );
    assert_eq!(bundle.packages.len(), 2);
    assert_eq!(other.kept().len(), 2);
    assert!(bundle.artifact("spark", "2.0", "b").is_none());

    // What is damaged, cut off, no bundle, or has more in it than it says.
    let third = Place::new();
    let broken = third.dir().join("broken");
    let at = first.windows(3).rposition(|bytes| bytes == b"aaa").unwrap();
    let mut wrong = first.clone();
    wrong[at] = b'x';
    let cut = first[..first.len() - 3000].to_vec();
    let mut more = first.clone();
    more.truncate(more.len() - 1024);
    more.extend(tar_of(&[("../evil", 0o644, "x")]));
    let newer = tar_of(&[("manifest.json", 0o644, "{\"form\": 2}")]);
    let outside = "{\"form\":1,\"packages\":[{\"name\":\"x\",\"version\":\"1\",\"artifacts\":{\"a\":{\"sha256\":\"../../x\",\
                   \"bytes\":1,\"home\":\"\",\"file\":\"x\",\"extract\":false,\"source\":\"\"}}}]}";
    for (bytes, why) in [
        (wrong, "the bundle is damaged"),
        (cut, "broken"),
        (more, "says nothing of the entry \"../evil\""),
        (newer, "use a newer clusterctl"),
        (tar_of(&[("manifest.json", 0o644, outside)]), "which cannot be"),
        (tar_of(&[("x", 0o644, "x")]), "does not begin with a manifest.json"),
        (b"nothing of the kind".to_vec(), "broken"),
        (vec![], "it is empty"),
    ] {
        fs::write(&broken, bytes).unwrap();
        let error = load(&broken, &third.cache()).unwrap_err().to_string();
        assert!(error.contains(why), "{why}: {error}");
    }
    assert_eq!(third.left(), 0);
}
