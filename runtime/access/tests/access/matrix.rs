//! Every route with every method and every kind of credential (reliability.md, P11).

use access::{Right, TABLE};
use axum::http::{Method, header};
use identity::PeerRole;

use crate::world::{Shown, World, basic, bearer, certificate, nothing, root};

/// Every kind of caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Nothing,
    Garbage,
    Malformed,
    Expired,
    Revoked,
    RemovedUser,
    WrongPassword,
    NoUser,
    Viewer,
    Operator,
    Admin,
    ViewersPassword,
    AdminsPassword,
    AdminCertificate,
    Agent,
    AgentNotAdmitted,
    MasterCertificate,
    OtherCluster,
    OtherClustersAgent,
    /// A bad token is not made up for by a good certificate.
    GarbageWithCertificate,
}

/// What has to come out, said once more and in another way than the code says it.
fn wanted(right: Right, kind: Kind) -> u16 {
    use Kind::*;
    if right == Right::Open {
        return 200;
    }
    let good: &[Kind] = match right {
        Right::Open => &[],
        Right::View => &[Viewer, Operator, Admin, ViewersPassword, AdminsPassword, AdminCertificate],
        Right::Fetch => &[Viewer, Operator, Admin, ViewersPassword, AdminsPassword, AdminCertificate, Agent],
        Right::Operate => &[Operator, Admin, AdminsPassword, AdminCertificate],
        Right::Administer => &[Admin, AdminsPassword, AdminCertificate],
        Right::Peer(PeerRole::Agent) => &[Agent],
        Right::Peer(PeerRole::Master) => &[MasterCertificate],
        Right::Peer(PeerRole::Admin) => &[AdminCertificate],
    };
    match kind {
        kind if good.contains(&kind) => 200,
        Nothing
        | Garbage
        | Malformed
        | Expired
        | Revoked
        | RemovedUser
        | WrongPassword
        | NoUser
        | GarbageWithCertificate => 401,
        _ => 403,
    }
}

async fn callers(world: &World) -> Vec<(Kind, Shown)> {
    for (name, role) in [("vic", "viewer"), ("olga", "operator"), ("ann", "admin"), ("gone", "admin")] {
        world.user(name, role).await;
    }
    world.admit("n1").await;
    // A month passes between this one and those that are good.
    let expired = world.log_in("ann").await;
    world.later(40 * 86_400);
    let revoked = world.log_in("ann").await;
    assert_eq!(world.ask("POST /clusterctl/v1/logout", &bearer(&revoked), "").await.status, 204);
    let removed = world.log_in("gone").await;
    assert_eq!(world.ask("DELETE /clusterctl/v1/users/gone", &root(), "").await.status, 204);
    let mut with_certificate = root();
    with_certificate.authorization = Some("Bearer garbage".to_owned());
    let malformed = Shown { authorization: Some("Digest x".to_owned()), ..Shown::default() };
    vec![
        (Kind::Nothing, nothing()),
        (Kind::Garbage, bearer("garbage")),
        (Kind::Malformed, malformed),
        (Kind::Expired, bearer(&expired)),
        (Kind::Revoked, bearer(&revoked)),
        (Kind::RemovedUser, bearer(&removed)),
        (Kind::WrongPassword, basic("ann", "wrong horse")),
        (Kind::NoUser, basic("nobody", "correct horse")),
        (Kind::Viewer, bearer(&world.log_in("vic").await)),
        (Kind::Operator, bearer(&world.log_in("olga").await)),
        (Kind::Admin, bearer(&world.log_in("ann").await)),
        (Kind::ViewersPassword, basic("vic", "correct horse")),
        (Kind::AdminsPassword, basic("ann", "correct horse")),
        (Kind::AdminCertificate, root()),
        (Kind::Agent, certificate("prod", PeerRole::Agent, "n1")),
        (Kind::AgentNotAdmitted, certificate("prod", PeerRole::Agent, "n2")),
        (Kind::MasterCertificate, certificate("prod", PeerRole::Master, "n1")),
        (Kind::OtherCluster, certificate("test", PeerRole::Admin, "root")),
        (Kind::OtherClustersAgent, certificate("test", PeerRole::Agent, "n1")),
        (Kind::GarbageWithCertificate, with_certificate),
    ]
}

#[tokio::test]
async fn every_route_lets_in_exactly_those_that_its_row_says() {
    let world = World::new().await;
    let callers = callers(&world).await;
    let mut tried = 0;
    for row in TABLE {
        for name in row.methods {
            let method: Method = name.parse().unwrap();
            // The limit on wrong passwords is tested elsewhere.
            world.later(20);
            for (kind, shown) in &callers {
                let found = world.enter(&method, &row.example(), shown).await;
                let status = found.as_ref().map_or_else(|answer| answer.status.as_u16(), |_| 200);
                let said = format!("{name} {} by {kind:?}: {found:?}", row.path);
                assert_eq!(status, wanted(row.right, *kind), "{said}");
                if let Err(answer) = found {
                    assert!(!answer.message().is_empty(), "{said}");
                    let challenged = answer.headers.contains_key(header::WWW_AUTHENTICATE);
                    assert_eq!(challenged, status == 401, "{said}");
                }
                tried += 1;
            }
        }
    }
    assert!(tried > 2_000, "{tried}");
}

#[tokio::test]
async fn what_has_no_row_is_told_only_to_those_who_may_read() {
    let world = World::new().await;
    for (kind, shown) in callers(&world).await {
        for (method, path) in
            [(Method::GET, "/v2/secret"), (Method::DELETE, "/state"), (Method::GET, "/mesos/..;/ping")]
        {
            world.later(20);
            let found = world.enter(&method, path, &shown).await.unwrap_err().status.as_u16();
            let reads = wanted(Right::View, kind);
            let nothing = if path == "/state" { 405 } else { 404 };
            assert_eq!(found, if reads == 200 { nothing } else { reads }, "{method} {path} {kind:?}");
        }
    }
}

#[tokio::test]
async fn answers_have_the_form_that_clients_read() {
    let world = World::new().await;
    let build_info = "/pkgpanda/active.buildinfo.full.json";
    let challenges = |answer: &crate::world::Answer| -> Vec<String> {
        let values = answer.headers.get_all(header::WWW_AUTHENTICATE).iter();
        values.map(|value| value.to_str().unwrap().to_owned()).collect()
    };
    let refused = world.enter(&Method::HEAD, build_info, &nothing()).await.unwrap_err();
    assert_eq!((refused.status.as_u16(), challenges(&refused)), (401, vec!["acsjwt".to_owned()]));
    let refused = world.enter(&Method::GET, "/v2/apps", &nothing()).await.unwrap_err();
    let both = vec![
        "Bearer realm=\"clusterctl\"".to_owned(),
        "Basic realm=\"clusterctl\", charset=\"UTF-8\"".to_owned(),
    ];
    assert_eq!(challenges(&refused), both);
    let refused = world.enter(&Method::GET, "/v2/apps", &bearer("x")).await.unwrap_err();
    assert_eq!(challenges(&refused), ["Bearer realm=\"clusterctl\", error=\"invalid_token\""]);
    let refused = world.enter(&Method::PUT, "/state", &root()).await.unwrap_err();
    assert_eq!(refused.headers.get(header::ALLOW).unwrap(), "GET, HEAD");
    let agent = certificate("prod", PeerRole::Agent, "n9");
    let link = "/clusterctl.link.v1.Link/Connect";
    let refused = world.enter(&Method::POST, link, &agent).await.unwrap_err();
    assert!(refused.message().contains("\"n9\" is not admitted"), "{refused:?}");
}
