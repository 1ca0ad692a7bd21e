use super::*;

fn method(name: &str) -> Method {
    name.parse().unwrap()
}

#[test]
fn every_row_is_found_by_its_own_example_and_no_other_row_contradicts_it() {
    for row in TABLE {
        for name in row.methods {
            let path = row.example();
            let rights: Vec<Right> = TABLE
                .iter()
                .filter(|other| matches(other.path, &path) && other.methods.contains(name))
                .map(|other| other.right)
                .collect();
            assert_eq!(rights, [row.right], "{name} {path}");
            assert_eq!(right_of(&method(name), &path), Some(row.right), "{name} {path}");
        }
        assert!(!row.methods.contains(&"HEAD"), "HEAD goes with GET: {}", row.path);
        assert!(row.path.starts_with('/') && !row.path.contains("//"), "{}", row.path);
    }
}

#[test]
fn head_asks_for_what_get_asks_for() {
    for row in TABLE.iter().filter(|row| row.methods.contains(&"GET")) {
        assert_eq!(right_of(&Method::HEAD, &row.example()), Some(row.right));
    }
}

#[test]
fn requests_ask_for_what_they_do() {
    for (name, path, right) in [
        ("GET", "/ping", Right::Open),
        ("GET", "/v2/apps", Right::View),
        ("GET", "//v2//apps//", Right::View),
        ("GET", "/v2/apps/shop/web/versions", Right::View),
        ("POST", "/v2/apps//shop/web/restart", Right::Operate),
        // What services decode, they decode below this.
        ("DELETE", "/v2/apps/%2Fshop%2Fweb", Right::Operate),
        ("DELETE", "/v2/apps/..%2F..%2Fping", Right::Operate),
        ("DELETE", "/v2/apps/..;/ping", Right::Operate),
        ("DELETE", "/v2/apps/../leader", Right::Operate),
        ("PUT", "/v2/groups", Right::Operate),
        ("DELETE", "/v2/queue/shop/web/delay", Right::Operate),
        ("DELETE", "/v2/leader", Right::Administer),
        ("DELETE", "//v2/leader/", Right::Administer),
        ("PUT", "/clusterctl/v1/users/joe", Right::Administer),
        ("GET", "/clusterctl/v1/artifacts/sha256/0", Right::Fetch),
        ("DELETE", "/clusterctl/v1/artifacts/sha256/0", Right::Operate),
        ("GET", "/clusterctl/v1/artifacts", Right::Fetch),
        ("PUT", "/clusterctl/v1/copies/sha256/0", Right::Peer(PeerRole::Master)),
        ("POST", "/clusterctl.link.v1.Link/Connect", Right::Peer(PeerRole::Agent)),
        ("GET", "/agent/a-S1/files/read.json", Right::View),
    ] {
        assert_eq!(right_of(&method(name), path), Some(right), "{name} {path}");
    }
}

#[test]
fn what_has_no_row_has_no_right() {
    for (name, path) in [
        ("GET", ""),
        ("GET", "ping"),
        ("OPTIONS", "*"),
        ("GET", "/pingx"),
        ("GET", "/ping/x"),
        ("GET", "/PING"),
        ("GET", "/%70ing"),
        ("GET", "/ping;x"),
        ("GET", "/ping%2F"),
        ("GET", "/v2"),
        ("GET", "/v2x/apps"),
        ("GET", "/v2%2Fapps"),
        ("GET", "/v2/appsx"),
        ("GET", "/v2/apps;x"),
        ("DELETE", "/ping/../v2/leader"),
        ("GET", "/service/marathon/v2/apps"),
        ("GET", "/mesos/state"),
        ("GET", "/clusterctl/v1"),
        ("GET", "/clusterctl/v1/artifacts/sha256/0/1"),
        ("GET", "/clusterctl/v1/artifacts/sha256"),
        ("GET", "/clusterctl/v1/users/joe/x"),
        ("GET", "/clusterctl/v1/users%2Fjoe/x"),
        ("GET", "/agent/a-S1/files/read/x"),
        ("POST", "/clusterctl.link.v1.Link/Other"),
        ("POST", "/clusterctl.link.v1.Link/Connect/x"),
        ("GET", "/v2/apps?x"),
    ] {
        assert_eq!(look(&method(name), path), Found::Nothing, "{name} {path}");
    }
}

#[test]
fn another_method_is_told_which_there_are() {
    for (name, path, allowed) in [
        ("POST", "/ping", "GET, HEAD"),
        ("DELETE", "/v2/apps", "GET, HEAD, POST, PUT, PATCH"),
        ("OPTIONS", "/v2/leader", "GET, HEAD, DELETE"),
        ("TRACE", "/v2/tasks/delete", "POST"),
        ("GET", "/clusterctl.link.v1.Link/Connect", "POST"),
        ("get", "/ping", "GET, HEAD"),
    ] {
        assert_eq!(look(&method(name), path), Found::Methods(allowed.to_owned()), "{name} {path}");
    }
}

#[test]
fn little_is_open_to_everyone() {
    let open: Vec<&str> = TABLE.iter().filter(|row| row.right == Right::Open).map(|row| row.path).collect();
    assert_eq!(
        open,
        [
            "/ping",
            "/health",
            "/health.json",
            "/master/health",
            "/master/health.json",
            "/clusterctl/v1/login",
            "/acs/api/v1/auth/login",
            "/acs/api/v1/auth/providers",
            "/ca/dcos-ca.crt",
        ]
    );
}
