//! Logging in and out, and who one is.

use std::time::Duration;

use api::marathon::Timestamp;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::body::Fields;
use super::error::HttpError;
use super::{Allowed, Origin};
use crate::book::{Book, Token};
use crate::change::{Change, LOGIN_FOR, NewToken};
use crate::name::UserName;
use crate::password::PasswordHash;
use crate::role::Caller;
use crate::secret::{TokenId, new_token};
use crate::shell::Access;

/// A token that was just made: the only time that it is shown.
pub(super) struct Made {
    pub(super) text: SecretString,
    id: TokenId,
    book: Book,
}

impl Made {
    fn token(&self) -> Option<&Token> {
        self.book.token(&self.id).map(AsRef::as_ref)
    }

    pub(super) fn into_response(self, status: StatusCode) -> Response {
        let Some(token) = self.token() else {
            return HttpError::NotFound("the token was revoked in this moment".to_owned()).into_response();
        };
        let role = self.book.user(&token.user).map(|user| user.role.as_str());
        let body = json!({
            "token": self.text.expose_secret(),
            "id": token.id.as_str(),
            "user": token.user.as_str(),
            "role": role,
            "label": token.label,
            "expires": token.expires,
        });
        (status, [(CACHE_CONTROL, "no-store")], Json(body)).into_response()
    }
}

/// Makes a token; for a login, with the password that was checked.
pub(super) async fn make(
    access: &Access,
    user: UserName,
    label: String,
    lifetime: Duration,
    login: Option<PasswordHash>,
    by: String,
) -> Result<Made, HttpError> {
    let (text, sum) = new_token()?;
    let id = TokenId::new()?;
    let token = NewToken { id: id.clone(), sum, user, label, lifetime, login };
    let (_created, book) = access.change(Change::AddToken(Box::new(token)), by, access.clock.now()).await?;
    Ok(Made { text, id, book })
}

/// Checks the password, and makes a token.
pub(super) async fn enter(
    access: &Access,
    user: &str,
    password: SecretString,
    label: String,
    from: &Origin,
) -> Result<Made, HttpError> {
    let now: Timestamp = access.clock.now();
    let (user, hash) = access.checker.by_password(&access.book(), user, password, false, from.0, now).await?;
    make(access, user.name.clone(), label, LOGIN_FOR, Some(hash), user.name.to_string()).await
}

pub(super) async fn log_in(
    State(access): State<Access>,
    from: Origin,
    body: Body,
) -> Result<Response, HttpError> {
    let mut fields = Fields::read(body).await?;
    let user = fields.required("user");
    let password = fields.required_secret("password");
    let label = fields.text("label").unwrap_or_default();
    fields.finish("user, password, label")?;
    Ok(enter(&access, &user, password, label, &from).await?.into_response(StatusCode::OK))
}

pub(super) async fn log_out(
    State(access): State<Access>,
    Allowed(caller): Allowed,
    body: Body,
) -> Result<StatusCode, HttpError> {
    Fields::read(body).await?.finish("")?;
    let Caller::User { token: Some(id), .. } = &caller else {
        let why = "there is no token to revoke: this request came with a password or a certificate";
        return Err(HttpError::BadRequest(why.to_owned()));
    };
    access.change(Change::RemoveToken { id: id.clone() }, caller.who(), access.clock.now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn whoami(State(access): State<Access>, Allowed(caller): Allowed) -> Json<Value> {
    Json(match &caller {
        Caller::User { name, role, token } => {
            let book = access.book();
            let expires = token.as_ref().and_then(|id| book.token(id)).map(|token| token.expires);
            let token = token.as_ref().map(TokenId::as_str);
            json!({
                "kind": "user",
                "name": name.as_str(),
                "role": role.as_str(),
                "token": token,
                "expires": expires,
            })
        }
        Caller::Peer { identity, .. } => json!({
            "kind": "certificate",
            "name": identity.name(),
            "role": identity.role().as_str(),
            "identity": identity.to_uri(),
        }),
        Caller::Anyone => json!({ "kind": "nobody" }),
    })
}
