//! Users, tokens and admissions: our own interface.

use std::fmt;
use std::time::Duration;

use reqwest::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};

use super::{Call, Client, ClientError};

/// A token, shown once.
#[derive(Clone)]
pub struct NewToken {
    /// The token itself.
    pub token: SecretString,
    /// All else that is told of it: `{id, user, role, label, expires}`.
    pub about: Value,
}

impl fmt::Debug for NewToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewToken").field("about", &self.about).finish_non_exhaustive()
    }
}

const OWN: [&str; 2] = ["clusterctl", "v1"];

fn call<'a>(method: Method, path: &[&'a str]) -> Call<'a> {
    Call::new(method, OWN.into_iter().chain(path.iter().copied()))
}

impl Client {
    /// Logs in; `label` says where, for whoever looks at tokens later.
    ///
    /// # Errors
    /// See [`ClientError`]; 401 for a wrong name or password. [`ClientError::Clear`] before anything is sent.
    pub async fn login(
        &self,
        user: &str,
        password: &SecretString,
        label: &str,
    ) -> Result<NewToken, ClientError> {
        self.safe_for("a password")?;
        let body = json!({ "user": user, "password": password.expose_secret(), "label": label });
        self.new_token(call(Method::POST, &["login"]).body(&body)).await
    }

    /// Revokes the token that this client shows.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn logout(&self) -> Result<(), ClientError> {
        self.json(call(Method::POST, &["logout"])).await.map(|_nothing| ())
    }

    /// Who this client is to the cluster.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn whoami(&self) -> Result<Value, ClientError> {
        self.json(call(Method::GET, &["whoami"])).await
    }

    /// `{"users": […]}`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn users(&self) -> Result<Value, ClientError> {
        self.json(call(Method::GET, &["users"])).await
    }

    /// One user.
    ///
    /// # Errors
    /// See [`ClientError`]; 404 when there is none of that name.
    pub async fn user(&self, name: &str) -> Result<Value, ClientError> {
        self.json(call(Method::GET, &["users", name])).await
    }

    /// Makes or changes a user; without a password an old one stays.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn put_user(
        &self,
        name: &str,
        role: &str,
        password: Option<&SecretString>,
    ) -> Result<Value, ClientError> {
        if password.is_some() {
            self.safe_for("a password")?;
        }
        let mut body = Map::new();
        body.insert("role".to_owned(), role.into());
        if let Some(password) = password {
            body.insert("password".to_owned(), password.expose_secret().into());
        }
        self.json(call(Method::PUT, &["users", name]).body(&Value::Object(body))).await
    }

    /// Removes a user with all tokens.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn remove_user(&self, name: &str) -> Result<(), ClientError> {
        self.json(call(Method::DELETE, &["users", name])).await.map(|_nothing| ())
    }

    /// Makes a token for a user; without a lifetime it lasts as long as a login.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn make_token(
        &self,
        user: &str,
        label: &str,
        lifetime: Option<Duration>,
    ) -> Result<NewToken, ClientError> {
        let mut body = json!({ "user": user, "label": label });
        if let (Some(lifetime), Some(body)) = (lifetime, body.as_object_mut()) {
            body.insert("lifetime_seconds".to_owned(), lifetime.as_secs().into());
        }
        self.new_token(call(Method::POST, &["tokens"]).body(&body)).await
    }

    /// `{"admissions": […]}`: the agents that may join.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn admissions(&self) -> Result<Value, ClientError> {
        self.json(call(Method::GET, &["admissions"])).await
    }

    /// Lets the agent of this name join.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn admit(&self, agent: &str) -> Result<Value, ClientError> {
        self.json(call(Method::PUT, &["admissions", agent])).await
    }

    /// Takes an admission back; the agent's stream is closed.
    ///
    /// # Errors
    /// See [`ClientError`]; 404 when it is not admitted.
    pub async fn dismiss(&self, agent: &str) -> Result<(), ClientError> {
        self.json(call(Method::DELETE, &["admissions", agent])).await.map(|_nothing| ())
    }

    async fn new_token(&self, call: Call<'_>) -> Result<NewToken, ClientError> {
        // It comes back as it would be sent.
        self.safe_for("a token")?;
        let request = call.name(self.first());
        let mut about = self.json(call).await?;
        match about.as_object_mut().and_then(|object| object.remove("token")) {
            Some(Value::String(token)) => Ok(NewToken { token: token.into(), about }),
            _ => Err(ClientError::BadAnswer { request, reason: "it has no token".to_owned() }),
        }
    }
}
