//! The user's ssh-agent.

use std::path::PathBuf;
use std::time::Duration;

use russh::keys::agent::client::AgentClient;
use russh::keys::agent::{AgentIdentity, AgentSessionBinding};
use tokio::net::UnixStream;
use tokio::sync::OnceCell;
use tokio::time::timeout;

/// An agent is on this machine; one that does not list its keys in this time is stuck.
const PATIENCE: Duration = Duration::from_secs(5);

/// The agent, and the keys that it had when it was first asked.
pub(crate) struct Agent {
    socket: Option<PathBuf>,
    identities: OnceCell<Result<Vec<AgentIdentity>, String>>,
}

impl Agent {
    pub(crate) fn new(socket: Option<PathBuf>) -> Self {
        Self { socket, identities: OnceCell::new() }
    }

    /// Its keys; none when there is no agent. An agent that fails says why.
    pub(crate) async fn identities(&self) -> Result<&[AgentIdentity], &str> {
        let list = || async {
            let Some(mut client) = self.connect(None).await? else { return Ok(Vec::new()) };
            let listed = timeout(PATIENCE, client.request_identities()).await;
            listed.map_err(|_elapsed| late())?.map_err(|error| format!("the agent fails: {error}"))
        };
        self.identities.get_or_init(list).await.as_deref().map_err(String::as_str)
    }

    /// A connection to it, told for which server it is, since it may hold keys for some servers alone.
    pub(crate) async fn connect(
        &self,
        binding: Option<&AgentSessionBinding>,
    ) -> Result<Option<AgentClient<UnixStream>>, String> {
        let Some(socket) = &self.socket else { return Ok(None) };
        let connected =
            timeout(PATIENCE, AgentClient::connect_uds(socket)).await.map_err(|_elapsed| late())?;
        let mut client =
            connected.map_err(|error| format!("the agent at {} fails: {error}", socket.display()))?;
        if let Some(binding) = binding {
            // Agents before OpenSSH 8.9 do not know it, and refuse.
            if timeout(PATIENCE, client.bind_session(binding, false))
                .await
                .map_err(|_elapsed| late())?
                .is_err()
            {
                tracing::debug!("the agent does not bind its keys to servers");
            }
        }
        Ok(Some(client))
    }
}

fn late() -> String {
    format!("the agent did not answer within {} s", PATIENCE.as_secs())
}
