//! Mesos' reads, and our own.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Call, Client, ClientError};

/// How many tasks one request asks for.
const PAGE: usize = 1000;

/// More tasks than this are not listed: no cluster has them, and a server that ignores `offset` would never end.
const MOST_TASKS: usize = 1_000_000;

/// One master of several is not waited for longer.
const ONE_WITHIN: Duration = Duration::from_secs(5);

impl Client {
    /// `{"slaves": […]}`, all nodes that run tasks.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn nodes(&self) -> Result<Value, ClientError> {
        self.json(Call::get(["slaves"])).await
    }

    /// `{"tasks": […]}`, all tasks that the master remembers, in as many requests as it takes.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn tasks(&self) -> Result<Value, ClientError> {
        let mut all = Vec::new();
        while all.len() < MOST_TASKS {
            let call =
                Call::get(["tasks"]).query("limit", PAGE.to_string()).query("offset", all.len().to_string());
            let mut page = self.json(call.query("order", "asc")).await?;
            let Some(Value::Array(tasks)) = page.get_mut("tasks").map(Value::take) else {
                let request = Call::get(["tasks"]).name(self.first());
                return Err(ClientError::BadAnswer {
                    request,
                    reason: "it has no list \"tasks\"".to_owned(),
                });
            };
            let last = tasks.len() < PAGE;
            all.extend(tasks);
            if last {
                break;
            }
        }
        Ok(json!({ "tasks": all }))
    }

    /// What the master at this place of [`Client::masters`] says of itself, whoever leads: `{"address", "name", "version", "leads",
    /// "leader", "epoch", "certificate_days"}`. No other one is asked in its stead, and it is not waited for as long as others.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn master(&self, at: usize) -> Result<Value, ClientError> {
        let master = self.masters.get(at).unwrap_or(self.first());
        let call = Call::get(["clusterctl", "v1", "master"]);
        let asking = async {
            let (request, response) = self.follow(&call, master).await.map_err(super::Stop::into_error)?;
            let (request, mut response) = super::good(request, response).await?;
            let body = super::read_body(&request, &mut response).await?;
            serde_json::from_slice(&body)
                .map_err(|error| ClientError::BadAnswer { request, reason: error.to_string() })
        };
        let within = ONE_WITHIN.min(self.timeout);
        tokio::time::timeout(within, asking).await.unwrap_or_else(|_elapsed| {
            Err(ClientError::Timeout { request: call.name(master), after: within })
        })
    }

    /// The cluster at a glance: leader, masters, agents, resources.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn cluster(&self) -> Result<Value, ClientError> {
        self.json(Call::get(["clusterctl", "v1", "cluster"])).await
    }
}
