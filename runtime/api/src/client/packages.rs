//! Packages by Cosmos' interface, and our own routes for their artifacts.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use reqwest::Method;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use tokio::sync::watch;

use super::{Call, Client, ClientError, MasterUrl, SILENCE, broken, good, innermost, read_body};

/// Of a file, at once.
const PART: usize = 256 << 10;
/// What is sent has to be on the disks of a majority of masters.
const KEPT: Duration = Duration::from_secs(600);

/// A call of Cosmos', and the version of its answer that this client reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CosmosCall {
    /// `{query?}`
    Search,
    /// `{packageName, packageVersion?}`
    Describe,
    /// `{packageName, includePackageVersions}`
    ListVersions,
    /// `{packageName, packageVersion?, options?, appId?}`
    Render,
    /// The same.
    Install,
    /// `{packageName?, appId?}`
    List,
    /// `{packageName, appId?, all?}`
    Uninstall,
    /// `{}`
    RepositoryList,
    /// `{name, uri, index?}`
    RepositoryAdd,
    /// `{name?, uri?}`
    RepositoryDelete,
    /// `{appId}`
    ServiceDescribe,
    /// `{appId, packageVersion?, options?, replace}`
    ServiceUpdate,
}

impl CosmosCall {
    /// Family, path below it, version of the answer.
    fn parts(self) -> (&'static str, &'static [&'static str], &'static str) {
        match self {
            Self::Search => ("package", &["search"], "v1"),
            Self::Describe => ("package", &["describe"], "v3"),
            Self::ListVersions => ("package", &["list-versions"], "v1"),
            Self::Render => ("package", &["render"], "v1"),
            Self::Install => ("package", &["install"], "v2"),
            Self::List => ("package", &["list"], "v1"),
            Self::Uninstall => ("package", &["uninstall"], "v1"),
            Self::RepositoryList => ("package", &["repository", "list"], "v1"),
            Self::RepositoryAdd => ("package", &["repository", "add"], "v1"),
            Self::RepositoryDelete => ("package", &["repository", "delete"], "v1"),
            Self::ServiceDescribe => ("service", &["describe"], "v1"),
            Self::ServiceUpdate => ("service", &["update"], "v1"),
        }
    }
}

impl Client {
    /// Sends a call of Cosmos' and reads its answer.
    ///
    /// # Errors
    /// See [`ClientError`]; so for every call here. 400 for nearly all that Cosmos refuses, with its own sentence as the message.
    pub async fn cosmos(&self, which: CosmosCall, body: &Value) -> Result<Value, ClientError> {
        let (family, path, version) = which.parts();
        let name = path.join(".");
        let mut call =
            Call::new(Method::POST, std::iter::once(family).chain(path.iter().copied())).body(body);
        call.sent =
            Some(format!("application/vnd.dcos.{family}.{name}-request+json;charset=utf-8;version=v1"));
        call.accept = Cow::Owned(format!(
            "application/vnd.dcos.{family}.{name}-response+json;charset=utf-8;version={version}"
        ));
        self.json(call).await
    }

    /// What was uploaded for a version of a package: `{"artifacts": {name: {"sha256","home","file","extract","source","held"}}}`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn package_artifacts(&self, name: &str, version: &str) -> Result<Value, ClientError> {
        self.json(Call::get(["clusterctl", "v1", "packages", name, version, "artifacts"])).await
    }

    /// Says by which sum an artifact of a package is uploaded.
    ///
    /// # Errors
    /// See [`ClientError`]; 409 when the masters do not hold it.
    pub async fn set_package_artifact(
        &self,
        (name, version, artifact): (&str, &str, &str),
        record: &Value,
    ) -> Result<(), ClientError> {
        let path = ["clusterctl", "v1", "packages", name, version, "artifacts", artifact];
        self.json(Call::new(Method::PUT, path).body(record)).await.map(drop)
    }

    /// Whether the masters hold the artifact with this SHA-256.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn has_artifact(&self, sha256: &str) -> Result<bool, ClientError> {
        let call = Call::new(Method::HEAD, ["clusterctl", "v1", "artifacts", "sha256", sha256]);
        match self.json(call).await {
            Ok(_) => Ok(true),
            Err(error) if error.status() == Some(404) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Uploads the file with this SHA-256; `sent` is told of each part, in bytes. It may take as long as it goes on.
    ///
    /// # Errors
    /// See [`ClientError`]; 422 when the file has another sum, 507 when a master's disk is full.
    pub async fn put_artifact(
        &self,
        sha256: &str,
        file: &Path,
        sent: impl Fn(u64) + Send + Sync + 'static,
    ) -> Result<(), ClientError> {
        // A master answers when all of it is there, and at others as well: the answer may be silent for long.
        let client = self.recipe.client(&self.masters, None)?;
        let sent: Sent = Arc::new(sent);
        let mut tried = Vec::new();
        for master in &self.masters {
            let request = format!("PUT {}", master.join(["clusterctl", "v1", "artifacts", "sha256", sha256]));
            let response = self.send(&client, master, sha256, file, &sent).await;
            match response {
                Ok(response) => {
                    let (request, mut response) = good(request, response).await?;
                    return read_body(&request, &mut response).await.map(drop);
                }
                Err(Fault::Http(error)) if error.is_connect() => {
                    tried.push((master.to_string(), innermost(&error)));
                }
                Err(Fault::Http(error)) => return Err(broken(&request, &error)),
                Err(Fault::File(source)) => return Err(ClientError::Read { source }),
            }
        }
        Err(ClientError::CannotConnect { tried })
    }

    async fn send(
        &self,
        client: &reqwest::Client,
        master: &MasterUrl,
        sha256: &str,
        file: &Path,
        sent: &Sent,
    ) -> Result<reqwest::Response, Fault> {
        let file = File::open(file).await.map_err(Fault::File)?;
        let length = file.metadata().await.map_err(Fault::File)?.len();
        let url = master.join(["clusterctl", "v1", "artifacts", "sha256", sha256]);
        let mut request =
            client.put(url).header(CONTENT_TYPE, "application/octet-stream").header(CONTENT_LENGTH, length);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose_secret());
        }
        let (moving, moved) = watch::channel(0_u64);
        let parts =
            stream::try_unfold((file, Arc::clone(sent), moving), |(mut file, sent, moving)| async move {
                let mut part = vec![0; PART];
                let read = file.read(&mut part).await?;
                part.truncate(read);
                sent(read as u64);
                moving.send_modify(|total| *total += read as u64);
                Ok::<_, std::io::Error>((read > 0).then_some((part, (file, sent, moving))))
            });
        let response = request.body(reqwest::Body::wrap_stream(parts)).send();
        tokio::pin!(response);
        stands_still(&mut response, moved, length).await
    }
}

/// Is told of each part.
type Sent = Arc<dyn Fn(u64) + Send + Sync>;

enum Fault {
    Http(reqwest::Error),
    File(std::io::Error),
}

/// Waits for the answer as long as something is sent, and then as long as masters may take to keep it.
async fn stands_still(
    response: &mut (impl Future<Output = Result<reqwest::Response, reqwest::Error>> + Unpin),
    mut moved: watch::Receiver<u64>,
    length: u64,
) -> Result<reqwest::Response, Fault> {
    loop {
        let all = *moved.borrow_and_update() >= length;
        let patience = if all { KEPT } else { SILENCE };
        tokio::select! {
            response = &mut *response => return response.map_err(Fault::Http),
            changed = moved.changed(), if !all => if changed.is_err() {
                // The body has ended, well or not: the answer says it.
                return match tokio::time::timeout(KEPT, response).await {
                    Ok(response) => response.map_err(Fault::Http),
                    Err(elapsed) => Err(Fault::File(elapsed.into())),
                };
            },
            () = tokio::time::sleep(patience) => {
                return Err(Fault::File(std::io::Error::new(
                    std::io::ErrorKind::TimedOut,
                    format!("the masters took nothing for {} s", patience.as_secs()),
                )));
            }
        }
    }
}
