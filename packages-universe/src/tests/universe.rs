//! Several repositories in their order.

use serde_json::json;

use crate::load::index;
use crate::{Missing, Repository, Universe};

/// A repository with packages of these names, versions and releases.
fn repository(name: &str, packages: &[(&str, &str, u64)]) -> Repository {
    let packages: Vec<_> = packages
        .iter()
        .map(|(package, version, release)| {
            json!({"packagingVersion": "3.0", "name": package, "version": version, "releaseVersion": release, "maintainer": "m",
                "description": format!("{package} of {name}"), "tags": ["Tag-One"], "selected": *package == "zebra"})
        })
        .collect();
    let loaded = index(json!({"packages": packages}).to_string().as_bytes()).unwrap();
    Repository { name: name.to_owned(), uri: format!("https://{name}.example"), packages: loaded.packages }
}

fn universe() -> Universe {
    Universe::new(vec![
        repository("first", &[("kafka", "1.9", 3), ("kafka", "1.10", 2), ("zebra", "1", 0)]),
        repository(
            "second",
            &[("kafka", "2.0", 9), ("kafka", "1.9", 7), ("spark", "3.5.3", 1), ("spark", "3.6.0-beta", 0)],
        ),
    ])
}

#[test]
fn the_first_repository_that_has_it_says_the_default() {
    let universe = universe();
    let found = |name: &str, version: Option<&str>| {
        let found = universe.find(name, version).unwrap();
        (found.package.version.clone(), found.repository.name.clone())
    };
    assert_eq!(found("kafka", None), ("1.9".into(), "first".into()));
    assert_eq!(found("kafka", Some("2.0")), ("2.0".into(), "second".into()));
    assert_eq!(found("kafka", Some("1.9")), ("1.9".into(), "first".into()));
    assert_eq!(found("spark", None), ("3.5.3".into(), "second".into()));
    assert_eq!(universe.versions("kafka"), [("1.10".into(), 2), ("1.9".into(), 3), ("2.0".into(), 9)].into());
    let error = universe.find("sprak", None).unwrap_err();
    assert_eq!(error.to_string(), "there is no package `sprak`; did you mean spark?");
    let error = universe.find("kafka", Some("3")).unwrap_err();
    assert!(
        matches!(&error, Missing::Version { known, .. } if known == &["2.0", "1.10", "1.9"]),
        "{error:?}"
    );
    assert!(universe.find("nothing", None).unwrap_err().to_string().ends_with("`nothing`"));
}

#[test]
fn a_search_looks_at_names_descriptions_and_tags() {
    let universe = universe();
    let names = |query: Option<&str>| -> Vec<String> {
        universe.search(query).iter().map(|hit| hit.current.package.name.clone()).collect()
    };
    for (query, found) in [
        (None, vec!["zebra", "kafka", "spark"]),
        (Some(""), vec!["zebra", "kafka", "spark"]),
        (Some("KAF"), vec!["kafka"]),
        (Some("tag-one"), vec!["zebra", "kafka", "spark"]),
        (Some("of second"), vec!["kafka", "spark"]),
        (Some("s*k"), vec!["spark"]),
        (Some("k*s"), vec!["kafka", "spark"]),
        (Some("*"), vec!["zebra", "kafka", "spark"]),
        (Some("none"), vec![]),
        (Some(".*"), vec![]),
    ] {
        assert_eq!(names(query), found, "{query:?}");
    }
    let hits = universe.search(Some("kafka"));
    assert_eq!((hits[0].current.package.version.as_str(), hits[0].versions.len()), ("1.9", 3));
}
