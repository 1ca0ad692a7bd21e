//! `/clusterctl/v1/tokens`: everyone's own, and for admins those of all.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::Allowed;
use super::body::Fields;
use super::error::HttpError;
use super::login;
use crate::book::Token;
use crate::change::{Change, ChangeError, LOGIN_FOR, LONGEST};
use crate::name::UserName;
use crate::refusal::Refusal;
use crate::role::{Caller, Right};
use crate::secret::{TokenId, TokenIdError};
use crate::shell::Access;

/// The shortest life of a token, in seconds.
const SHORTEST: u64 = 60;

fn shown(token: &Token) -> Value {
    json!({
        "id": token.id.as_str(),
        "user": token.user.as_str(),
        "label": token.label,
        "login": token.login,
        "created": token.created,
        "expires": token.expires,
        "by": token.by,
    })
}

fn may_see(caller: &Caller, token: &Token) -> bool {
    caller.may(Right::Administer) || caller.user() == Some(&token.user)
}

/// The token of this id, for who may know of it; for others there is none.
fn find(access: &Access, caller: &Caller, id: &str) -> Result<Arc<Token>, HttpError> {
    let id: TokenId = id.parse().map_err(|error: TokenIdError| HttpError::BadRequest(error.to_string()))?;
    let book = access.book();
    let token = book.token(&id).filter(|token| may_see(caller, token)).cloned();
    Ok(token.ok_or(ChangeError::NoToken(id))?)
}

pub(super) async fn list(State(access): State<Access>, Allowed(caller): Allowed) -> Json<Value> {
    let book = access.book();
    let tokens = book.tokens().filter(|token| may_see(&caller, token));
    Json(json!({ "tokens": tokens.map(|token| shown(token)).collect::<Vec<_>>() }))
}

pub(super) async fn show(
    State(access): State<Access>,
    Allowed(caller): Allowed,
    Path(id): Path<String>,
) -> Result<Json<Value>, HttpError> {
    Ok(Json(shown(&*find(&access, &caller, &id)?)))
}

pub(super) async fn make(
    State(access): State<Access>,
    Allowed(caller): Allowed,
    body: Body,
) -> Result<Response, HttpError> {
    let mut fields = Fields::read(body).await?;
    let named = fields.text("user");
    let user = match (&named, caller.user()) {
        (Some(name), _) => match name.parse::<UserName>() {
            Ok(name) => Some(name),
            Err(error) => {
                fields.wrong("user", error.to_string());
                None
            }
        },
        (None, Some(own)) => Some(own.clone()),
        (None, None) => {
            fields.wrong("user", "is missing: a certificate is no user");
            None
        }
    };
    let label = fields.text("label").unwrap_or_default();
    let lifetime = fields.number("lifetime_seconds").unwrap_or(LOGIN_FOR.as_secs());
    if !(SHORTEST..=LONGEST.as_secs()).contains(&lifetime) {
        fields.wrong("lifetime_seconds", format!("must be from {SHORTEST} to {}", LONGEST.as_secs()));
    }
    fields.finish("user, label, lifetime_seconds")?;
    let user = user.ok_or_else(|| HttpError::BadRequest("/user is missing".to_owned()))?;
    if caller.user() != Some(&user) && !caller.may(Right::Administer) {
        return Err(Refusal::OthersToken { who: caller.who(), user }.into());
    }
    let lifetime = Duration::from_secs(lifetime);
    let made = login::make(&access, user, label, lifetime, None, caller.who()).await?;
    Ok(made.into_response(StatusCode::CREATED))
}

pub(super) async fn revoke(
    State(access): State<Access>,
    Allowed(caller): Allowed,
    Path(id): Path<String>,
) -> Result<StatusCode, HttpError> {
    let id = find(&access, &caller, &id)?.id.clone();
    access.change(Change::RemoveToken { id }, caller.who(), access.clock.now()).await?;
    Ok(StatusCode::NO_CONTENT)
}
