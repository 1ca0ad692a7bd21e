//! The crate's own routes. Bodies and answers are JSON; times are like `2026-01-31T08:15:30.123Z`; a body of another form is answered
//! 400 with all its mistakes: `{"message": "…", "details": [{"path": "/role", "errors": ["…"]}]}`, other refusals
//! `{"message": "…"}`.
//!
//! | route | body | answer |
//! |---|---|---|
//! | `POST /clusterctl/v1/login` | `{user, password, label?}` | 200 `{token, id, user, role, label, expires}` |
//! | `POST /clusterctl/v1/logout` | | 204: the token that was shown is revoked |
//! | `GET /clusterctl/v1/whoami` | | 200 `{kind: "user", name, role, token, expires}` or `{kind: "certificate", name, role, identity}` |
//! | `GET …/users` | | 200 `{users: […]}` |
//! | `GET …/users/{name}` | | 200 `{name, role, has_password, created, changed, by}` |
//! | `PUT …/users/{name}` | `{role, password?}` | 201 or 200, the user; without `password` it stays as it is, `null` removes it |
//! | `DELETE …/users/{name}` | | 204; all tokens of the user go with it |
//! | `GET …/tokens` | | 200 `{tokens: […]}`: one's own, for an admin all |
//! | `POST …/tokens` | `{user?, label?, lifetime_seconds?}` | 201 `{token, id, user, role, label, expires}` |
//! | `GET …/tokens/{id}` | | 200 `{id, user, label, login, created, expires, by}` |
//! | `DELETE …/tokens/{id}` | | 204 |
//! | `GET …/admissions` | | 200 `{admissions: […]}` |
//! | `GET …/admissions/{name}` | | 200 `{name, admitted, by}` |
//! | `PUT …/admissions/{name}` | | 201 or 200, the admission |
//! | `DELETE …/admissions/{name}` | | 204; the agent's stream is closed |
//!
//! And of DC/OS: `POST /acs/api/v1/auth/login` with `{uid, password}` → `{token}`, mistakes as `{title, description, code}`;
//! `GET /acs/api/v1/auth/providers`; `GET /pkgpanda/active.buildinfo.full.json`, by which its client learns whether it is logged in.

mod admissions;
mod body;
mod dcos;
mod error;
mod login;
mod tokens;
mod users;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};

use axum::Router;
use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::routing::{get, post};

use crate::enter::authorize;
use crate::refusal::Refusal;
use crate::role::Caller;
use crate::shell::Access;
use crate::table::BUILD_INFO;

/// What lies below `/clusterctl/v1` of ours.
const OWN: [&str; 6] = ["users", "tokens", "admissions", "login", "logout", "whoami"];

/// Whether [`Access::router`] answers this path; as the rooms see it.
#[must_use]
pub fn serves(path: &str) -> bool {
    let own = path.strip_prefix("/clusterctl/v1/").and_then(|rest| rest.split('/').next());
    own.is_some_and(|own| OWN.contains(&own)) || path.starts_with("/acs/api/v1/auth/") || path == BUILD_INFO
}

impl Access {
    /// The routes. The door puts the [`Caller`] that [`Access::enter`] gave it into the request's extensions, and leaves the path as it
    /// is: a request without one is anyone's, and the table is asked here once more.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/clusterctl/v1/login", post(login::log_in))
            .route("/clusterctl/v1/logout", post(login::log_out))
            .route("/clusterctl/v1/whoami", get(login::whoami))
            .route("/clusterctl/v1/users", get(users::list))
            .route("/clusterctl/v1/users/{name}", get(users::show).put(users::put).delete(users::remove))
            .route("/clusterctl/v1/tokens", get(tokens::list).post(tokens::make))
            .route("/clusterctl/v1/tokens/{id}", get(tokens::show).delete(tokens::revoke))
            .route("/clusterctl/v1/admissions", get(admissions::list))
            .route(
                "/clusterctl/v1/admissions/{name}",
                get(admissions::show).put(admissions::admit).delete(admissions::dismiss),
            )
            .route("/acs/api/v1/auth/login", post(dcos::log_in))
            .route("/acs/api/v1/auth/providers", get(dcos::providers))
            .route("/pkgpanda/active.buildinfo.full.json", get(dcos::build_info))
            .with_state(self.clone())
    }
}

/// Where a request comes from, as the connection says.
struct Origin(Option<IpAddr>);

impl<S: Sync> FromRequestParts<S> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip())))
    }
}

/// The caller, who may send this request.
struct Allowed(Caller);

impl<S: Sync> FromRequestParts<S> for Allowed {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        let caller = parts.extensions.get::<Caller>().cloned().unwrap_or(Caller::Anyone);
        authorize(&caller, &parts.method, parts.uri.path())?;
        Ok(Self(caller))
    }
}
