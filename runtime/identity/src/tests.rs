use proptest::prelude::*;

use super::*;

#[test]
fn an_identity_is_written_in_one_way() {
    let table = [
        ("prod", PeerRole::Master, "m1", "clusterctl://prod/master/m1"),
        ("prod", PeerRole::Agent, "node7.example.org", "clusterctl://prod/agent/node7.example.org"),
        ("a b", PeerRole::Admin, "joe@x", "clusterctl://a%20b/admin/joe%40x"),
        ("a/b", PeerRole::Admin, "100%", "clusterctl://a%2Fb/admin/100%25"),
        ("\u{e9}", PeerRole::Agent, "a:1?b#c", "clusterctl://%C3%A9/agent/a%3A1%3Fb%23c"),
    ];
    for (cluster, role, name, uri) in table {
        let identity = Identity::new(cluster, role, name).unwrap();
        assert_eq!(identity.to_uri(), uri);
        assert_eq!(uri.parse::<Identity>().unwrap(), identity);
    }
}

#[test]
fn everything_but_that_one_form_is_refused() {
    for uri in [
        "",
        "clusterctl://",
        "clusterctl://prod",
        "clusterctl://prod/agent",
        "clusterctl://prod/agent/",
        "clusterctl:///agent/n1",
        "clusterctl://prod//n1",
        "clusterctl://prod/agent/n1/",
        "clusterctl://prod/agent/n1/more",
        "clusterctl://prod/Agent/n1",
        "clusterctl://prod/agent2/n1",
        "clusterctl://prod/age/n1",
        "clusterctl://prod/user/n1",
        "Clusterctl://prod/agent/n1",
        "clusterctl:/prod/agent/n1",
        "https://prod/agent/n1",
        " clusterctl://prod/agent/n1",
        "clusterctl://prod/agent/n1 ",
        "clusterctl://prod/agent/n%31",
        "clusterctl://prod/agent/a%2fb",
        "clusterctl://prod/agent/a%2",
        "clusterctl://prod/agent/a%",
        "clusterctl://prod/agent/a%+1",
        "clusterctl://prod/agent/%FF",
        "clusterctl://prod/agent/%00",
        "clusterctl://prod/agent/..",
        "clusterctl://prod/agent/.",
        "clusterctl://prod/agent/n1?x",
        "clusterctl://prod/agent/n1#x",
        "clusterctl://prod:5050/agent/n1",
        "clusterctl://joe@prod/agent/n1",
        "clusterctl://prod/agent/\u{e9}",
    ] {
        assert!(uri.parse::<Identity>().is_err(), "{uri:?}");
    }
    let long = "n".repeat(MAX_PART_BYTES + 1);
    assert!(Identity::new("prod", PeerRole::Agent, long).is_err());
    assert!(Identity::new("prod", PeerRole::Agent, "n".repeat(MAX_PART_BYTES)).is_ok());
}

#[test]
fn a_fault_says_what_is_wrong_and_what_would_be_right() {
    let said = |uri: &str| uri.parse::<Identity>().unwrap_err().to_string();
    assert!(said("spiffe://x/y").contains("clusterctl://<cluster>/<role>/<name>"));
    assert!(said("clusterctl://prod/root/n1").contains("master, agent or admin"));
    assert!(said("clusterctl://prod/agent/").contains("the peer name \"\" is empty"));
    assert!(said("clusterctl://prod/agent/n%31").contains("clusterctl://prod/agent/n1"));
}

#[test]
fn a_role_counts_only_in_its_own_cluster() {
    let agent = Identity::new("prod", PeerRole::Agent, "n1").unwrap();
    assert!(agent.is("prod", PeerRole::Agent));
    assert!(!agent.is("prod2", PeerRole::Agent));
    assert!(!agent.is("pro", PeerRole::Agent));
    assert!(!agent.is("prod", PeerRole::Master));
    assert!(!agent.is("prod", PeerRole::Admin));
}

proptest! {
    #[test]
    fn whatever_the_names_are_they_come_back(cluster in "\\PC{1,60}", role in 0..3_usize, name in "\\PC{1,60}") {
        prop_assume!(![".", ".."].contains(&cluster.as_str()) && ![".", ".."].contains(&name.as_str()));
        let identity = Identity::new(cluster, PeerRole::ALL[role], name).unwrap();
        let uri = identity.to_uri();
        prop_assert!(uri.bytes().all(|byte| byte.is_ascii_graphic()));
        prop_assert_eq!(uri.parse::<Identity>().unwrap(), identity);
    }

    #[test]
    fn what_is_read_is_written_the_same(uri in "(clusterctl://)?[a-z%/.A-F0-9]{0,40}") {
        if let Ok(identity) = uri.parse::<Identity>() {
            prop_assert_eq!(identity.to_uri(), uri);
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC*") {
        let _ = text.parse::<Identity>();
    }
}
