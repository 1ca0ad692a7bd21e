//! `/clusterctl/v1/users`.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::Allowed;
use super::body::{Field, Fields};
use super::error::HttpError;
use crate::book::User;
use crate::change::{Change, ChangeError, NewPassword, Outcome};
use crate::name::UserName;
use crate::password::{MAX_PASSWORD, MIN_PASSWORD, PasswordError, PasswordHash};
use crate::role::UserRole;
use crate::shell::Access;

fn shown(user: &User) -> Value {
    json!({
        "name": user.name.as_str(),
        "role": user.role.as_str(),
        "has_password": user.has_password(),
        "created": user.created,
        "changed": user.changed,
        "by": user.by,
    })
}

fn name_of(text: &str) -> Result<UserName, HttpError> {
    text.parse().map_err(|error: crate::NameError| HttpError::BadRequest(error.to_string()))
}

pub(super) async fn list(State(access): State<Access>, Allowed(_): Allowed) -> Json<Value> {
    let users: Vec<Value> = access.book().users().map(|user| shown(user)).collect();
    Json(json!({ "users": users }))
}

pub(super) async fn show(
    State(access): State<Access>,
    Allowed(_): Allowed,
    Path(name): Path<String>,
) -> Result<Json<Value>, HttpError> {
    let name = name_of(&name)?;
    let book = access.book();
    let user = book.user(&name).ok_or_else(|| ChangeError::NoUser(name.clone()))?;
    Ok(Json(shown(user)))
}

pub(super) async fn put(
    State(access): State<Access>,
    Allowed(caller): Allowed,
    Path(name): Path<String>,
    body: Body,
) -> Result<Response, HttpError> {
    let name = name_of(&name)?;
    let mut fields = Fields::read(body).await?;
    let role = fields.required("role");
    let role = role.parse::<UserRole>().map_err(|error| {
        if !role.is_empty() {
            fields.wrong("role", error.to_string());
        }
    });
    let password = fields.secret("password");
    if let Field::Value(password) = &password
        && !(MIN_PASSWORD..=MAX_PASSWORD).contains(&password.expose_secret().len())
    {
        fields.wrong("password", format!("must have {MIN_PASSWORD} to {MAX_PASSWORD} bytes"));
    }
    fields.finish("role, password")?;
    let Ok(role) = role else {
        return Err(HttpError::BadRequest("/role must be viewer, operator or admin".to_owned()));
    };
    let password = match password {
        Field::Missing => NewPassword::Keep,
        Field::Null => NewPassword::Remove,
        Field::Value(password) => hashed(&access, &name, password).await?,
    };
    let change = Change::PutUser { name: name.clone(), role, password };
    let (outcome, book) = access.change(change, caller.who(), access.clock.now()).await?;
    let user = book.user(&name).ok_or(ChangeError::NoUser(name))?;
    let status = if outcome == Outcome::Created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(shown(user))).into_response())
}

/// The password that the user has already stays as it is: a second `PUT` of the same changes nothing and ends no login.
async fn hashed(access: &Access, name: &UserName, password: SecretString) -> Result<NewPassword, HttpError> {
    let has = access.book().user(name).and_then(|user| user.password.clone());
    let cost = access.cost;
    let work = move || {
        if let Some(has) = has
            && has.cost == cost
            && has.matches(&password)?
        {
            return Ok(NewPassword::Keep);
        }
        Ok::<_, PasswordError>(NewPassword::Set(PasswordHash::new(&password, cost)?))
    };
    Ok(access.checker.gate().run(None, work).await??)
}

pub(super) async fn remove(
    State(access): State<Access>,
    Allowed(caller): Allowed,
    Path(name): Path<String>,
) -> Result<StatusCode, HttpError> {
    let name = name_of(&name)?;
    access.change(Change::RemoveUser { name }, caller.who(), access.clock.now()).await?;
    Ok(StatusCode::NO_CONTENT)
}
