//! No password, token or hash is said or stored in clear (reliability.md, P13).

use axum::http::Method;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use store::{Key, Prefix};

use crate::world::{Answer, World, basic, bearer, nothing, root};

const CANARY: &str = "canary-8Yq2vT";

#[tokio::test]
async fn nothing_that_is_secret_is_said_or_stored() {
    let world = World::new().await;
    let mut said: Vec<String> = Vec::new();
    let body = format!(r#"{{"role": "admin", "password": "{CANARY}"}}"#);
    let log_in = format!(r#"{{"user": "joe", "password": "{CANARY}"}}"#);
    let mut keep = |answer: Answer| said.push(format!("{answer:?}"));
    keep(world.ask("PUT /clusterctl/v1/users/joe", &root(), &body).await);
    let token = {
        let answer = world.ask("POST /clusterctl/v1/login", &nothing(), &log_in).await;
        answer.json()["token"].as_str().unwrap().to_owned()
    };
    // Bodies with the secret in all the wrong places.
    for body in [
        format!(r#"{{"role": "admin", "password": "{CANARY}""#),
        format!(r#"{{"role": "admin", "password": "{CANARY}"]}}"#),
        format!(r#""{CANARY}""#),
        format!(r#"["{CANARY}"]"#),
        CANARY.to_owned(),
        format!(r#"{{"role": "{CANARY}"}}"#),
        format!(r#"{{"role": "admin", "password": ["{CANARY}"]}}"#),
        format!(r#"{{"role": "admin", "password": {{"x": "{CANARY}"}}}}"#),
        format!(r#"{{"role": "admin", "secret": "{CANARY}"}}"#),
    ] {
        let answer = world.ask("PUT /clusterctl/v1/users/joe", &root(), &body).await;
        assert_eq!(answer.status, 400, "{body}");
        keep(answer);
        keep(world.ask("POST /clusterctl/v1/login", &nothing(), &body).await);
        keep(world.ask("POST /acs/api/v1/auth/login", &nothing(), &body).await);
        keep(world.ask("POST /clusterctl/v1/tokens", &root(), &body).await);
        keep(world.ask("PUT /clusterctl/v1/admissions/n1", &root(), &body).await);
    }
    for get in ["whoami", "users", "users/joe", "tokens", "admissions"] {
        keep(world.ask(&format!("GET /clusterctl/v1/{get}"), &bearer(&token), "").await);
    }
    let id = world.access.book().tokens().next().unwrap().id.clone();
    keep(world.ask(&format!("GET /clusterctl/v1/tokens/{id}"), &bearer(&token), "").await);
    let mut odd = nothing();
    for value in
        [format!("Digest {CANARY}"), format!("Basic {CANARY}"), format!("token={CANARY}"), CANARY.to_owned()]
    {
        odd.authorization = Some(value);
        keep(world.enter(&Method::GET, "/state", &odd).await.unwrap_err());
    }
    keep(world.enter(&Method::GET, "/state", &basic("ann", CANARY)).await.unwrap_err());
    let caller = world.enter(&Method::GET, "/state", &basic("joe", CANARY)).await.unwrap();
    said.push(format!("{caller:?} {:?} {:?}", world.access, world.access.book()));

    // What the store has is neither password nor token, and what it has is said to nobody.
    let snapshot = world.store.load(&Prefix::all()).await.unwrap();
    let stored: Vec<String> =
        snapshot.entries.values().map(|entry| String::from_utf8_lossy(&entry.value).into_owned()).collect();
    let user: Value =
        serde_json::from_slice(snapshot.get(&Key::new("access/users/joe").unwrap()).unwrap()).unwrap();
    let record: Value =
        serde_json::from_slice(snapshot.get(&Key::new(format!("access/tokens/{id}")).unwrap()).unwrap())
            .unwrap();
    let hashes = [&user["password"]["hash"], &user["password"]["salt"], &record["sum"]];
    let hashes = hashes.map(|hash| hash.as_str().unwrap().to_owned());
    for secret in [CANARY, token.as_str()] {
        let in_base64 = STANDARD.encode(secret);
        let in_hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
        for form in [secret, in_base64.trim_end_matches('='), &in_hex] {
            for text in said.iter().chain(&stored) {
                assert!(!text.contains(form), "{form} in {text}");
            }
        }
    }
    for hash in hashes {
        let bytes: Vec<u8> = (0..hash.len() / 2)
            .map(|at| u8::from_str_radix(&hash[2 * at..2 * at + 2], 16).unwrap())
            .collect();
        let listed = bytes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        for text in &said {
            assert!(!text.contains(&hash) && !text.contains(&listed), "{hash} in {text}");
        }
    }
}
