//! `/clusterctl/v1/admissions`: the agents that may join.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::Allowed;
use super::body::Fields;
use super::error::HttpError;
use crate::book::Admission;
use crate::change::{Change, ChangeError, Outcome};
use crate::shell::Access;

fn shown(admission: &Admission) -> Value {
    json!({ "name": admission.name, "admitted": admission.admitted, "by": admission.by })
}

pub(super) async fn list(State(access): State<Access>, Allowed(_): Allowed) -> Json<Value> {
    let admissions: Vec<Value> = access.book().admissions().map(shown).collect();
    Json(json!({ "admissions": admissions }))
}

pub(super) async fn show(
    State(access): State<Access>,
    Allowed(_): Allowed,
    Path(name): Path<String>,
) -> Result<Json<Value>, HttpError> {
    let admission = access.admitted(&name).ok_or(ChangeError::NoAdmission(name))?;
    Ok(Json(shown(&admission)))
}

pub(super) async fn admit(
    State(access): State<Access>,
    Allowed(caller): Allowed,
    Path(name): Path<String>,
    body: Body,
) -> Result<Response, HttpError> {
    Fields::read(body).await?.finish("")?;
    let change = Change::Admit { name: name.clone() };
    let (outcome, book) = access.change(change, caller.who(), access.clock.now()).await?;
    let admission = book.admission(&name).ok_or(ChangeError::NoAdmission(name))?;
    let status = if outcome == Outcome::Created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(shown(admission))).into_response())
}

pub(super) async fn dismiss(
    State(access): State<Access>,
    Allowed(caller): Allowed,
    Path(name): Path<String>,
) -> Result<StatusCode, HttpError> {
    access.change(Change::Dismiss { name }, caller.who(), access.clock.now()).await?;
    Ok(StatusCode::NO_CONTENT)
}
