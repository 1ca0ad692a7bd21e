//! Crates that must not come into the binary, not even through others.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop at the first surprise")]

use std::env;
use std::process::Command;

/// What is banned, and what goes wrong with it. `deny.toml` says the same.
const BANNED: [(&str, &str); 3] = [
    (
        "ring",
        "a second crypto provider beside aws-lc-rs: rustls cannot choose and panics at the first handshake",
    ),
    ("openssl-sys", "TLS is rustls with aws-lc-rs alone, and needs no OpenSSL on a node"),
    ("native-tls", "TLS is rustls with aws-lc-rs alone, whatever the system has"),
];

/// The banned crates in a listing of packages, one `name version` per line.
fn forbidden(listing: &str) -> Vec<(&'static str, &'static str)> {
    let present = |name| listing.lines().any(|line| line.split_whitespace().next() == Some(name));
    BANNED.into_iter().filter(|(name, _)| present(*name)).collect()
}

#[test]
fn the_tree_holds_one_tls_crypto_provider() {
    let output = Command::new(env!("CARGO"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["tree", "--workspace", "--locked", "--edges", "normal,build,dev", "--prefix", "none"])
        .args(["--format", "{p}"])
        .output()
        .unwrap();
    let listing = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    assert!(listing.contains(env!("CARGO_PKG_NAME")), "cargo tree lists nothing:\n{listing}");

    let found: Vec<String> = forbidden(&listing)
        .into_iter()
        .map(|(name, reason)| {
            format!("{name}: {reason}\n`cargo tree --workspace -i {name}` shows who brings it")
        })
        .collect();
    assert!(found.is_empty(), "banned crates are in the dependency tree\n{}", found.join("\n"));
}

/// The features of the store in the binary, as `cargo tree` resolves them with these kinds of dependencies.
fn features_of_the_store(edges: &str) -> String {
    let output = Command::new(env!("CARGO"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["tree", "--package", env!("CARGO_PKG_NAME"), "--locked", "--edges", edges, "--prefix", "none"])
        .args(["--format", "{p} features={f}"])
        .output()
        .unwrap();
    let listing = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let store = listing.lines().find(|line| line.starts_with("store v"));
    let features =
        store.and_then(|line| line.split_once(" features=")).map(|(_, features)| features.to_owned());
    features.unwrap_or_else(|| panic!("the store is not in it:\n{listing}"))
}

#[test]
fn the_binary_that_is_tested_has_failpoints_and_the_one_that_is_shipped_has_none() {
    let tested = features_of_the_store("normal,build,dev");
    assert!(tested.contains("failpoints"), "{tested}");
    let shipped = features_of_the_store("normal,build");
    assert!(!shipped.contains("failpoints") && !shipped.contains("suite"), "{shipped}");
}

#[test]
fn a_listing_with_a_banned_crate_is_noticed() {
    let listing = "clusterctl v0.1.0 (somewhere)\nrustls v0.23.46\nring v0.17.14\nring v0.17.14 (*)\nnative-tls v0.2.14";
    let names: Vec<_> = forbidden(listing).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["ring", "native-tls"]);
}

#[test]
fn a_name_that_only_begins_like_a_banned_one_passes() {
    assert_eq!(forbidden("ring-buffer v1.0.0\nspring v2.0.0\nopenssl-probe v0.1.6"), []);
}
