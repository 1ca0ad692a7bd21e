//! Why a request is not let in, and how that is answered: 401 with what to show, 403, and 404 or 405 for what no room has.

use std::time::Duration;

use axum::Json;
use axum::http::header::{ALLOW, CACHE_CONTROL, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use thiserror::Error;

use crate::header::HeaderError;
use crate::name::UserName;
use crate::password::PasswordError;
use crate::role::Right;
use crate::secret::RandomError;
use crate::table::BUILD_INFO;

/// Why a request is not let in. Its text is the answer's message, and never has anything of a credential in it.
#[derive(Debug, Clone, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Nothing was shown, and the route asks for something.
    #[error(
        "this needs {wanted}; send 'Authorization: Bearer <token>' with a token from 'clusterctl login', or a client certificate"
    )]
    NoCredential {
        /// What is asked for.
        wanted: String,
        /// As the rooms see it.
        path: String,
    },
    /// The header cannot be read; holds why.
    #[error("{0}")]
    Malformed(String),
    /// The token is none of ours, or none any more.
    #[error(
        "the token is not valid: it was revoked, its user was removed, or it is of another cluster; get one with 'clusterctl login'"
    )]
    UnknownToken,
    /// The token was good once.
    #[error("the token has expired; get a new one with 'clusterctl login'")]
    Expired,
    /// User and password do not belong together. Which of the two is wrong is not said.
    #[error("the user or the password is wrong")]
    WrongPassword,
    /// Too many wrong passwords.
    #[error("too many wrong passwords for this user; try again in {} s", seconds(*.wait))]
    TooOften {
        /// When one may be tried again.
        wait: Duration,
    },
    /// A password cannot be checked now.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The certificate is another cluster's.
    #[error("the certificate is of the cluster {found:?}, this is {own:?}")]
    OtherCluster {
        /// In the certificate.
        found: String,
        /// This one.
        own: String,
    },
    /// The agent has a certificate, but no admission.
    #[error(
        "the agent {name:?} is not admitted; an admin admits it with PUT /clusterctl/v1/admissions/<name>, as 'clusterctl install' does"
    )]
    NotAdmitted {
        /// The agent.
        name: String,
    },
    /// The caller may not do this.
    #[error("{who} may not do this: it needs {wanted}")]
    NotAllowed {
        /// The caller.
        who: String,
        /// What is asked for.
        wanted: Right,
    },
    /// A route without a row, for a caller who may not even read.
    #[error("{who} may not do this")]
    NotListed {
        /// The caller.
        who: String,
    },
    /// Tokens of somebody else.
    #[error("{who} may not make tokens for {user}: it needs the role admin")]
    OthersToken {
        /// The caller.
        who: String,
        /// Whose.
        user: UserName,
    },
    /// There is no such path; holds it.
    #[error("There is nothing at {0}")]
    Nothing(String),
    /// There is such a path, but not with this method; holds those there are.
    #[error("Method Not Allowed")]
    OtherMethod(String),
    /// No randomness for a token.
    #[error(transparent)]
    Random(#[from] RandomError),
}

fn seconds(wait: Duration) -> u64 {
    wait.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)
}

impl From<HeaderError> for Refusal {
    fn from(error: HeaderError) -> Self {
        Self::Malformed(error.to_string())
    }
}

impl Refusal {
    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoCredential { .. }
            | Self::Malformed(_)
            | Self::UnknownToken
            | Self::Expired
            | Self::WrongPassword => StatusCode::UNAUTHORIZED,
            Self::TooOften { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Password(PasswordError::Busy) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Password(_) | Self::Random(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::OtherCluster { .. }
            | Self::NotAdmitted { .. }
            | Self::NotAllowed { .. }
            | Self::NotListed { .. }
            | Self::OthersToken { .. } => StatusCode::FORBIDDEN,
            Self::Nothing(_) => StatusCode::NOT_FOUND,
            Self::OtherMethod(_) => StatusCode::METHOD_NOT_ALLOWED,
        }
    }

    /// The headers that go with it: how to authenticate, when to come again, which methods there are.
    ///
    /// DC/OS' client learns from `acsjwt` on the build information that it must send user and password to
    /// `/acs/api/v1/auth/login`, and reads one such header only.
    #[must_use]
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut challenge = |text: &'static str| {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(text));
        };
        match self {
            Self::NoCredential { path, .. } if path == BUILD_INFO => challenge("acsjwt"),
            Self::UnknownToken | Self::Expired => {
                challenge("Bearer realm=\"clusterctl\", error=\"invalid_token\"");
            }
            refusal if refusal.status() == StatusCode::UNAUTHORIZED => {
                challenge("Bearer realm=\"clusterctl\"");
                challenge("Basic realm=\"clusterctl\", charset=\"UTF-8\"");
            }
            Self::TooOften { wait } => {
                headers.insert(RETRY_AFTER, HeaderValue::from(seconds(*wait)));
            }
            Self::Password(PasswordError::Busy) => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Self::OtherMethod(allowed) => {
                if let Ok(allowed) = HeaderValue::from_str(allowed) {
                    headers.insert(ALLOW, allowed);
                }
            }
            _ => {}
        }
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers
    }
}

/// `{"message": "…"}`, as Marathon's clients read it.
impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status(), self.headers(), Json(json!({ "message": self.to_string() }))).into_response()
    }
}
