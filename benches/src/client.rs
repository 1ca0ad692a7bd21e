//! A client of Marathon's interface that measures: requests over HTTP/1.1 with kept connections, and the ends of deployments
//! as the stream of events tells them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use api::client::{Client, EventStream, ServerEvent};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::Result;

/// Nothing that is measured takes so long.
const PATIENCE: Duration = Duration::from_secs(120);
/// As do deployments that are waited for together.
const ENDED_WITHIN: Duration = Duration::from_secs(600);
/// After so long without an end of a deployment, all that run are asked for: the stream may have been cut off.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
const KINDS: [&str; 2] = ["deployment_success", "deployment_failed"];

/// Sends requests. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Http {
    client: reqwest::Client,
    url: String,
}

impl Http {
    /// Of the master at this address.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn new(master: SocketAddr) -> Result<Self> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .http1_only()
            .tls_certs_only([])
            .tcp_nodelay(true)
            .timeout(PATIENCE)
            .build()?;
        Ok(Self { client, url: format!("http://{master}") })
    }

    /// Status and body; the body is read whole and not looked at.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Vec<u8>)> {
        let mut request = self.client.request(method, format!("{}{path}", self.url));
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await?;
        let status = response.status();
        Ok((status, response.bytes().await?.into()))
    }

    /// The bytes of a good answer.
    ///
    /// # Errors
    /// When it is another one.
    pub async fn get(&self, path: &str) -> Result<Vec<u8>> {
        match self.send(Method::GET, path, None).await? {
            (status, body) if status.is_success() => Ok(body),
            (status, body) => Err(format!("GET {path}: {status} {}", String::from_utf8_lossy(&body)).into()),
        }
    }

    /// Sends a change; answers the id of the deployment that makes it.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn change(&self, method: Method, path: &str, body: Option<&Value>) -> Result<String> {
        let named = method.clone();
        let (status, bytes) = self.send(method, path, body).await?;
        let wrong = || format!("{named} {path}: {status} {}", String::from_utf8_lossy(&bytes));
        if !status.is_success() {
            return Err(wrong().into());
        }
        let answer: Value = serde_json::from_slice(&bytes).map_err(|_no_json| wrong())?;
        let id = answer["deploymentId"].as_str().or(answer["deployments"][0]["id"].as_str());
        Ok(id.ok_or_else(wrong)?.to_owned())
    }

    /// Subscribes to events of these types.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn events(&self, kinds: &[&str]) -> Result<EventStream> {
        let client = Client::new(vec![self.url.parse()?], PATIENCE)?;
        Ok(client.events(kinds).await?)
    }
}

/// Hears how deployments end.
pub struct Ends {
    http: Http,
    stream: EventStream,
    /// Those that nobody has asked for yet.
    ended: HashMap<String, Instant>,
    /// How often the stream was cut off.
    pub cuts: u32,
}

impl Ends {
    /// Listens from now on.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn listen(http: &Http) -> Result<Self> {
        let stream = http.events(&KINDS).await?;
        Ok(Self { http: http.clone(), stream, ended: HashMap::new(), cuts: 0 })
    }

    /// Waits until all of these have succeeded; answers when each did, in their order.
    ///
    /// # Errors
    /// When one failed, or did not end in time.
    pub async fn of(&mut self, deployments: &[String]) -> Result<Vec<Instant>> {
        let late = Instant::now() + ENDED_WITHIN;
        while !deployments.iter().all(|id| self.ended.contains_key(id)) {
            match tokio::time::timeout(LOOK_AGAIN, self.stream.next()).await {
                Ok(event) => match event? {
                    Some(event) => self.take(&event)?,
                    None => {
                        self.cuts += 1;
                        self.stream = self.http.events(&KINDS).await?;
                        self.look(deployments).await?;
                    }
                },
                Err(_quiet) if Instant::now() < late => {}
                Err(_quiet) => return Err("deployments did not end in time".into()),
            }
        }
        Ok(deployments.iter().filter_map(|id| self.ended.remove(id)).collect())
    }

    fn take(&mut self, event: &ServerEvent) -> Result<()> {
        let id = event.data["id"].as_str().unwrap_or_default();
        if event.kind != KINDS[0] {
            return Err(format!("deployment {id} ended with {}", event.data).into());
        }
        self.ended.insert(id.to_owned(), Instant::now());
        Ok(())
    }

    /// What ended while nobody listened.
    async fn look(&mut self, deployments: &[String]) -> Result<()> {
        let running: Value = serde_json::from_slice(&self.http.get("/v2/deployments").await?)?;
        let runs = |id: &str| running.as_array().into_iter().flatten().any(|one| one["id"] == id);
        for id in deployments {
            if !runs(id) {
                self.ended.entry(id.clone()).or_insert_with(Instant::now);
            }
        }
        Ok(())
    }
}
