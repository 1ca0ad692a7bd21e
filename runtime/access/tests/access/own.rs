//! The crate's own routes.

use access::{Access, MAX_TOKENS};
use axum::body::Body;
use axum::http::{Method, Request};
use identity::PeerRole;
use serde_json::json;
use tower::ServiceExt as _;

use crate::world::{PASSWORD, World, basic, bearer, certificate, nothing, read, root};

#[tokio::test]
async fn a_user_is_made_changed_listed_and_removed() {
    let world = World::new().await;
    let body = format!(r#"{{"role": "viewer", "password": "{PASSWORD}"}}"#);
    let put = "PUT /clusterctl/v1/users/joe@example.org";
    let made = world.ask(put, &root(), &body).await;
    let shown = json!({
        "name": "joe@example.org", "role": "viewer", "has_password": true,
        "created": "2023-11-14T22:13:20.000Z", "changed": "2023-11-14T22:13:20.000Z",
        "by": "clusterctl://prod/admin/root",
    });
    assert_eq!((made.status.as_u16(), made.json()), (201, shown.clone()));
    world.later(5);
    // The same again, with the password and without, changes nothing.
    for body in [body.as_str(), r#"{"role": "viewer"}"#] {
        let again = world.ask(put, &root(), body).await;
        assert_eq!((again.status.as_u16(), again.json()), (200, shown.clone()));
    }
    let changed = world.ask(put, &root(), r#"{"role": "operator", "password": null}"#).await.json();
    assert_eq!(changed["role"], "operator");
    assert_eq!(
        (&changed["has_password"], &changed["changed"]),
        (&json!(false), &json!("2023-11-14T22:13:25.000Z"))
    );
    let one = world.ask("GET /clusterctl/v1/users/joe@example.org", &root(), "").await.json();
    assert_eq!(one, changed);
    assert_eq!(
        world.ask("GET /clusterctl/v1/users", &root(), "").await.json(),
        json!({ "users": [changed] })
    );
    let remove = "DELETE /clusterctl/v1/users/joe@example.org";
    assert_eq!(world.ask(remove, &root(), "").await.status, 204);
    let gone = world.ask(remove, &root(), "").await;
    assert_eq!((gone.status.as_u16(), gone.message()), (404, "there is no user joe@example.org".to_owned()));
    assert_eq!(world.ask("GET /clusterctl/v1/users/joe@example.org", &root(), "").await.status, 404);
}

#[tokio::test]
async fn every_mistake_in_a_body_is_named_at_once() {
    let world = World::new().await;
    let put = "PUT /clusterctl/v1/users/joe";
    let answer =
        world.ask(put, &root(), r#"{"role": "root", "password": "short", "rights": 1, "x": null}"#).await;
    assert_eq!(answer.status, 400);
    let details = answer.json()["details"].clone();
    let paths: Vec<&str> =
        details.as_array().unwrap().iter().map(|it| it["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["/role", "/password", "/rights", "/x"]);
    assert!(
        answer.message().contains("/role a user's role is viewer, operator or admin"),
        "{}",
        answer.message()
    );
    for (request, body, wanted) in [
        (put, "", "/role is missing"),
        (put, "{", "line 1"),
        (put, "[]", "not an object"),
        (put, r#"{"role": 1}"#, "/role must be a text"),
        (put, r#"{"role": "admin", "password": 12345678}"#, "/password must be a text"),
        ("PUT /clusterctl/v1/users/-joe", r#"{"role": "admin"}"#, "no name of a user"),
        ("PUT /clusterctl/v1/users/a%2Fb", r#"{"role": "admin"}"#, "no name of a user"),
        ("POST /clusterctl/v1/login", "{}", "/user is missing; /password is missing"),
        ("POST /clusterctl/v1/tokens", "{}", "a certificate is no user"),
        (
            "POST /clusterctl/v1/tokens",
            r#"{"user": "a b", "lifetime_seconds": -1, "label": "\u0007"}"#,
            "/label",
        ),
        ("POST /clusterctl/v1/tokens", r#"{"user": "a", "lifetime_seconds": 1}"#, "must be from 60"),
        ("GET /clusterctl/v1/tokens/xyz", "", "16 digits"),
        ("PUT /clusterctl/v1/admissions/n1", r#"{"by": "me"}"#, "no body is needed"),
        ("PUT /clusterctl/v1/admissions/a%0Ab", "", "control character"),
        ("POST /clusterctl/v1/logout", "", "password or a certificate"),
    ] {
        let answer = world.ask(request, &root(), body).await;
        assert_eq!(answer.status, 400, "{request} {body}: {answer:?}");
        assert!(answer.message().contains(wanted), "{request} {body}: {}", answer.message());
    }
    let long = format!(r#"{{"role": "{}"}}"#, "x".repeat(20_000));
    assert_eq!(world.ask(put, &root(), &long).await.status, 413);
    assert_eq!(world.access.book().users().count(), 0);
}

#[tokio::test]
async fn a_login_gives_a_token_that_a_logout_ends() {
    let world = World::new().await;
    world.user("joe", "operator").await;
    let body = format!(r#"{{"user": "joe", "password": "{PASSWORD}", "label": "laptop"}}"#);
    let answer = world.ask("POST /clusterctl/v1/login", &nothing(), &body).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.headers["cache-control"]),
        (200, &"no-store".parse().unwrap())
    );
    let got = answer.json();
    assert_eq!(
        (&got["user"], &got["role"], &got["label"]),
        (&json!("joe"), &json!("operator"), &json!("laptop"))
    );
    assert_eq!(got["expires"], "2023-12-14T22:13:20.000Z");
    let token = bearer(got["token"].as_str().unwrap());
    let who = world.ask("GET /clusterctl/v1/whoami", &token, "").await.json();
    let wanted = json!({
        "kind": "user", "name": "joe", "role": "operator", "token": got["id"], "expires": got["expires"],
    });
    assert_eq!(who, wanted);
    assert_eq!(world.ask("POST /clusterctl/v1/logout", &token, "").await.status, 204);
    assert_eq!(world.ask("GET /clusterctl/v1/whoami", &token, "").await.status, 401);
    let with_password = world.ask("POST /clusterctl/v1/logout", &basic("joe", PASSWORD), "").await;
    assert_eq!(with_password.status, 400);
    let certificate = world.ask("GET /clusterctl/v1/whoami", &root(), "").await.json();
    assert_eq!((&certificate["kind"], &certificate["role"]), (&json!("certificate"), &json!("admin")));
}

#[tokio::test]
async fn a_token_may_what_its_user_may_now_and_ends_with_its_time() {
    let world = World::new().await;
    world.user("joe", "admin").await;
    let token = bearer(&world.log_in("joe").await);
    assert_eq!(world.ask("GET /clusterctl/v1/users", &token, "").await.status, 200);
    world.ask("PUT /clusterctl/v1/users/joe", &root(), r#"{"role": "viewer"}"#).await;
    assert_eq!(world.ask("GET /clusterctl/v1/users", &token, "").await.status, 403);
    world.later(30 * 86_400 - 1);
    assert_eq!(world.ask("GET /clusterctl/v1/whoami", &token, "").await.status, 200);
    world.later(1);
    let expired = world.ask("GET /clusterctl/v1/whoami", &token, "").await;
    assert_eq!(expired.status, 401);
    assert!(expired.message().contains("has expired"), "{}", expired.message());
}

#[tokio::test]
async fn everyone_sees_and_ends_ones_own_tokens_and_admins_those_of_all() {
    let world = World::new().await;
    for (name, role) in [("vic", "viewer"), ("olga", "operator"), ("ann", "admin")] {
        world.user(name, role).await;
    }
    let [vic, olga, ann] = [world.log_in("vic").await, world.log_in("olga").await, world.log_in("ann").await]
        .map(|text| bearer(&text));
    let tokens = "GET /clusterctl/v1/tokens";
    let count = async |shown| world.ask(tokens, shown, "").await.json()["tokens"].as_array().unwrap().len();
    assert_eq!(
        (count(&vic).await, count(&olga).await, count(&ann).await, count(&root()).await),
        (1, 1, 3, 3)
    );

    let made =
        world.ask("POST /clusterctl/v1/tokens", &vic, r#"{"label": "ci", "lifetime_seconds": 60}"#).await;
    assert_eq!(made.status, 201);
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let one = format!("/clusterctl/v1/tokens/{id}");
    let shown = world.ask(&format!("GET {one}"), &vic, "").await.json();
    assert_eq!(
        (&shown["label"], &shown["login"], &shown["by"]),
        (&json!("ci"), &json!(false), &json!("vic"))
    );
    assert!(shown.get("token").is_none());
    // For others there is none, whoever asks.
    for method in ["GET", "DELETE"] {
        assert_eq!(world.ask(&format!("{method} {one}"), &olga, "").await.status, 404);
    }
    let others = world.ask("POST /clusterctl/v1/tokens", &olga, r#"{"user": "ann"}"#).await;
    assert_eq!(others.status, 403);
    let for_vic = world.ask("POST /clusterctl/v1/tokens", &ann, r#"{"user": "vic"}"#).await.json();
    assert_eq!(for_vic["role"], "viewer");
    let none = world.ask("POST /clusterctl/v1/tokens", &ann, r#"{"user": "nobody"}"#).await;
    assert_eq!(none.status, 404);
    assert_eq!(world.ask(&format!("DELETE {one}"), &ann, "").await.status, 204);
    assert_eq!(
        world
            .ask("GET /clusterctl/v1/whoami", &bearer(made.json()["token"].as_str().unwrap()), "")
            .await
            .status,
        401
    );
    // With the login; ten more are kept for logins.
    for _ in 0..MAX_TOKENS - 11 {
        assert_eq!(world.ask("POST /clusterctl/v1/tokens", &vic, "{}").await.status, 201);
    }
    let full = world.ask("POST /clusterctl/v1/tokens", &vic, "{}").await;
    assert_eq!(full.status, 409);
    assert!(full.message().contains("revoke some"), "{}", full.message());
}

#[tokio::test]
async fn wrong_passwords_and_wrong_users_look_the_same_and_are_limited() {
    let world = World::new().await;
    world.user("joe", "viewer").await;
    world.ask("PUT /clusterctl/v1/users/ann", &root(), r#"{"role": "viewer"}"#).await;
    let log_in = async |user: &str, password: &str| {
        let body = json!({ "user": user, "password": password }).to_string();
        world.ask("POST /clusterctl/v1/login", &nothing(), &body).await
    };
    let long = "x".repeat(2000);
    let mut answers = Vec::new();
    for (user, password) in
        [("joe", "wrong horse"), ("ann", ""), ("nobody", "x"), ("no name", "x"), ("joe", &long)]
    {
        let answer = log_in(user, password).await;
        answers.push((answer.status, answer.text, answer.headers));
    }
    assert_eq!(answers[0].0, 401);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    for user in ["joe", "nobody"] {
        let mut last = log_in(user, "wrong").await;
        for _ in 0..10 {
            last = log_in(user, "wrong").await;
        }
        assert_eq!(last.status, 429, "{last:?}");
        assert!(
            last.headers.contains_key("retry-after") && last.message().contains("try again in 10 s"),
            "{last:?}"
        );
    }
    // Also with the right one; also by Basic; not with a token; and not for others.
    assert_eq!(log_in("joe", PASSWORD).await.status, 429);
    assert_eq!(world.ask("GET /clusterctl/v1/whoami", &basic("joe", PASSWORD), "").await.status, 429);
    world.user("eve", "viewer").await;
    assert_eq!(log_in("eve", PASSWORD).await.status, 200);
    world.later(10);
    assert_eq!(log_in("joe", PASSWORD).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_with_a_password_at_once_are_all_let_in() {
    let world = std::sync::Arc::new(World::new().await);
    world.user("joe", "viewer").await;
    let mut running = Vec::new();
    for _ in 0..30 {
        let world = world.clone();
        running.push(tokio::spawn(async move {
            world.ask("GET /clusterctl/v1/whoami", &basic("joe", PASSWORD), "").await.status
        }));
    }
    for answer in running {
        assert_eq!(answer.await.unwrap(), 200);
    }
}

#[tokio::test]
async fn a_remembered_password_is_forgotten_when_it_changes_and_when_its_user_goes() {
    let world = World::new().await;
    world.user("joe", "viewer").await;
    let old = basic("joe", PASSWORD);
    let whoami = "GET /clusterctl/v1/whoami";
    assert_eq!(world.ask(whoami, &old, "").await.status, 200);
    world
        .ask("PUT /clusterctl/v1/users/joe", &root(), r#"{"role": "viewer", "password": "another horse"}"#)
        .await;
    assert_eq!(world.ask(whoami, &old, "").await.status, 401);
    let new = basic("joe", "another horse");
    assert_eq!(world.ask(whoami, &new, "").await.status, 200);
    world.ask("DELETE /clusterctl/v1/users/joe", &root(), "").await;
    assert_eq!(world.ask(whoami, &new, "").await.status, 401);
}

#[tokio::test]
async fn dcos_clients_log_in_as_they_know_it() {
    let world = World::new().await;
    world.user("joe", "viewer").await;
    let providers = world.ask("GET /acs/api/v1/auth/providers", &nothing(), "").await.json();
    assert_eq!(providers["dcos-users"]["authentication-type"], "dcos-uid-password");
    let body = json!({ "uid": "joe", "password": PASSWORD }).to_string();
    let got = world.ask("POST /acs/api/v1/auth/login", &nothing(), &body).await.json();
    let mut shown = nothing();
    shown.authorization = Some(format!("token={}", got["token"].as_str().unwrap()));
    let info = "HEAD /pkgpanda/active.buildinfo.full.json";
    assert_eq!(world.ask(info, &shown, "").await.status, 200);
    assert_eq!(world.ask(info, &nothing(), "").await.status, 401);
    for (body, status, code) in [
        (json!({ "uid": "joe", "password": "wrong" }), 401, "ERR_INVALID_CREDENTIALS"),
        (json!({ "uid": "joe" }), 400, "ERR_INVALID_DATA"),
    ] {
        let answer = world.ask("POST /acs/api/v1/auth/login", &nothing(), &body.to_string()).await;
        assert_eq!((answer.status.as_u16(), answer.json()["code"].as_str()), (status, Some(code)));
        assert!(answer.json()["description"].is_string() && answer.json()["title"].is_string());
    }
}

#[tokio::test]
async fn an_agent_is_admitted_and_its_stream_ends_with_its_admission() {
    let world = World::new().await;
    let admission = "/clusterctl/v1/admissions/n1";
    let link = "/clusterctl.link.v1.Link/Connect";
    let agent = certificate("prod", PeerRole::Agent, "n1");
    assert!(world.enter(&Method::POST, link, &agent).await.is_err());
    let made = world.ask(&format!("PUT {admission}"), &root(), "{}").await;
    assert_eq!(made.status, 201);
    let wanted =
        json!({ "name": "n1", "admitted": "2023-11-14T22:13:20.000Z", "by": "clusterctl://prod/admin/root" });
    assert_eq!(made.json(), wanted);
    assert_eq!(world.ask(&format!("PUT {admission}"), &root(), "").await.status, 200);
    assert_eq!(
        world.ask("GET /clusterctl/v1/admissions", &root(), "").await.json(),
        json!({ "admissions": [wanted] })
    );
    assert!(world.enter(&Method::POST, link, &agent).await.is_ok());

    let first = world.access.admitted("n1").unwrap();
    let dismissed = tokio::spawn(world.access.dismissed(&first));
    world.admit("n2").await;
    assert!(!dismissed.is_finished());
    assert_eq!(world.ask(&format!("DELETE {admission}"), &root(), "").await.status, 204);
    assert!(world.enter(&Method::POST, link, &agent).await.is_err());
    world.admit("n1").await;
    // Though it is admitted again by now: what was opened before is not opened by this.
    dismissed.await.unwrap();
    world.access.dismissed(&first).await;
    assert_eq!(world.ask("GET /clusterctl/v1/admissions/n3", &root(), "").await.status, 404);

    let second = tokio::spawn(world.access.dismissed(&world.access.admitted("n1").unwrap()));
    world.access.stop();
    second.await.unwrap();
}

#[tokio::test]
async fn the_next_leader_knows_all_of_it() {
    let world = World::new().await;
    world.user("joe", "operator").await;
    let token = world.log_in("joe").await;
    world.admit("n1").await;
    let world = world.again().await;
    let who = world.ask("GET /clusterctl/v1/whoami", &bearer(&token), "").await;
    assert_eq!(who.json()["name"], "joe");
    assert_eq!(world.ask("GET /clusterctl/v1/whoami", &basic("joe", PASSWORD), "").await.status, 200);
    assert!(world.access.admitted("n1").is_some());
}

#[tokio::test]
async fn the_routes_refuse_what_came_past_the_door() {
    let world = World::new().await;
    world.user("joe", "viewer").await;
    let access: &Access = &world.access;
    for row in access::TABLE.iter().filter(|row| access::serves(row.path)) {
        for method in row.methods {
            let request = Request::builder().method(*method).uri(row.example()).body(Body::empty()).unwrap();
            let answer = read(access.router().oneshot(request).await.unwrap()).await;
            let wanted = match (row.right, row.path) {
                (access::Right::Open, "/acs/api/v1/auth/providers") => 200,
                // Without a body.
                (access::Right::Open, _) => 400,
                _ => 401,
            };
            assert_eq!(answer.status, wanted, "{method} {}: {answer:?}", row.path);
        }
    }
}

#[tokio::test]
async fn whoever_guesses_passwords_locks_nobody_out_who_is_elsewhere() {
    let world = World::new().await;
    world.user("joe", "viewer").await;
    let from = |address: &str| {
        let mut shown = nothing();
        shown.from = Some(address.parse().unwrap());
        shown
    };
    let body = |password: &str| json!({ "user": "joe", "password": password }).to_string();
    let login = "POST /clusterctl/v1/login";
    for n in 0..15 {
        let status = world.ask(login, &from("192.0.2.66"), &body("wrong")).await.status;
        assert_eq!(status, if n < 10 { 401 } else { 429 }, "{n}");
    }
    let mut shown = basic("joe", "wrong");
    shown.from = from("192.0.2.66").from;
    assert_eq!(world.enter(&Method::GET, "/state", &shown).await.unwrap_err().status, 429);
    assert_eq!(world.ask(login, &from("192.0.2.1"), &body(PASSWORD)).await.status, 200);
}

#[tokio::test]
async fn what_goes_on_for_long_ends_with_what_it_was_let_in_by() {
    let world = World::new().await;
    world.user("joe", "viewer").await;
    world.admit("n1").await;
    let agent = certificate("prod", PeerRole::Agent, "n1");
    let fetch = format!("/clusterctl/v1/artifacts/sha256/{}", "0".repeat(64));
    let one = world.log_in("joe").await;
    let other = world.log_in("joe").await;
    let caller = async |path: &str, shown| world.enter(&Method::GET, path, &shown).await.unwrap();
    let void = |caller| tokio::spawn(world.access.void(&caller));
    let by_token = void(caller("/v2/events", bearer(&one)).await);
    let by_login = void(caller("/v2/events", bearer(&other)).await);
    let by_password = void(caller("/v2/events", basic("joe", PASSWORD)).await);
    let by_admission = void(caller(&fetch, agent).await);
    let by_certificate = void(caller("/v2/events", root()).await);

    assert_eq!(world.ask("POST /clusterctl/v1/logout", &bearer(&one), "").await.status, 204);
    by_token.await.unwrap();
    tokio::task::yield_now().await;
    assert!(!by_login.is_finished() && !by_password.is_finished() && !by_admission.is_finished());
    let body = json!({ "role": "viewer", "password": "another horse" }).to_string();
    assert_eq!(world.ask("PUT /clusterctl/v1/users/joe", &root(), &body).await.status, 200);
    by_login.await.unwrap();
    by_password.await.unwrap();
    assert_eq!(world.ask("DELETE /clusterctl/v1/admissions/n1", &root(), "").await.status, 204);
    by_admission.await.unwrap();

    let wish = json!({ "user": "joe", "lifetime_seconds": 3600 }).to_string();
    let made = world.ask("POST /clusterctl/v1/tokens", &root(), &wish).await;
    let short = made.json()["token"].as_str().unwrap().to_owned();
    let by_time = void(caller("/v2/events", bearer(&short)).await);
    // It has begun to wait. The clock moves, and sleepers wake at once.
    tokio::task::yield_now().await;
    world.later(3600);
    tokio::time::pause();
    by_time.await.unwrap();
    tokio::time::resume();

    assert!(!by_certificate.is_finished());
    world.access.stop();
    by_certificate.await.unwrap();
}
