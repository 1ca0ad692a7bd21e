//! Secrets: values are sent, never read.

use reqwest::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::{Call, Client, ClientError};

fn call(method: Method, path: &str) -> Call<'_> {
    let names = path.strip_prefix('/').unwrap_or(path).split('/');
    Call::new(method, ["clusterctl", "v1", "secrets"].into_iter().chain(names))
}

impl Client {
    /// `{"secrets": [{path, size, created, changed, by, package?, problem?}], "problem"?}`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn secrets(&self) -> Result<Value, ClientError> {
        self.json(Call::get(["clusterctl", "v1", "secrets"])).await
    }

    /// Keeps a value; what is told of the secret then.
    ///
    /// # Errors
    /// See [`ClientError`]; 409 when the masters cannot use secrets. [`ClientError::Clear`] before anything is sent.
    pub async fn put_secret(&self, path: &str, value: &SecretString) -> Result<Value, ClientError> {
        self.safe_for("a secret")?;
        let body = json!({ "value": value.expose_secret() });
        self.json(call(Method::PUT, path).body(&body)).await
    }

    /// Forgets a secret.
    ///
    /// # Errors
    /// See [`ClientError`]; 404 when there is none.
    pub async fn remove_secret(&self, path: &str) -> Result<(), ClientError> {
        self.json(call(Method::DELETE, path)).await.map(drop)
    }
}
