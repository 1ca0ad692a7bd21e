//! The agent link's server.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use api::link::wire::{self, agent_message, link_server, master_message};
use api::link::{
    LinkError, MAX_MESSAGE_BYTES, health_from_wire, info_from_wire, info_to_wire, peers_to_wire,
    resources_from_wire, status_from_wire,
};
use futures_util::StreamExt as _;
use futures_util::stream::Map;
use identity::{Identity, PeerRole};
use scheduler::{AgentId, FrameworkId, Host};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::run::Post;
use super::{Agents, Master};
use crate::core::{AgentFacts, FromAgent, Input, Registration, Report, ToAgent};

pub(super) type Out = mpsc::Sender<ToStream>;

/// What goes to an agent. In a box, since a queue keeps room for 32 of what it holds: with ten thousand agents that is much.
pub(super) type ToStream = Box<Result<wire::MasterMessage, Status>>;

/// Answers agents that dial.
#[derive(Clone, Debug)]
pub(crate) struct LinkService(Master);

impl Master {
    /// The agent link, to be merged into the router of the one port.
    pub fn link(&self) -> axum::Router {
        let server = link_server::LinkServer::new(LinkService(self.clone()))
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        axum::Router::new().route_service("/clusterctl.link.v1.Link/{*call}", server)
    }
}

#[tonic::async_trait]
impl link_server::Link for LinkService {
    type ConnectStream = Map<ReceiverStream<ToStream>, fn(ToStream) -> Result<wire::MasterMessage, Status>>;

    async fn connect(
        &self,
        request: Request<Streaming<wire::AgentMessage>>,
    ) -> Result<Response<Self::ConnectStream>, Status> {
        let (sender, receiver) = mpsc::channel(self.0.options().agent_queue);
        let peer = request.extensions().get::<Identity>().cloned();
        tokio::spawn(serve(self.0.clone(), request.into_inner(), peer, sender));
        Ok(Response::new(ReceiverStream::new(receiver).map(|message| *message)))
    }
}

/// An agent that was refused ends its side of the stream within this.
const LEAVES_WITHIN: std::time::Duration = std::time::Duration::from_secs(5);

/// Hears one agent until its connection is over.
async fn serve(
    master: Master,
    mut stream: Streaming<wire::AgentMessage>,
    peer: Option<Identity>,
    sender: Out,
) {
    let agents = master.options().agents.clone();
    let first = match first(&mut stream, master.options().register_within).await {
        Ok(Some(registration)) => {
            admit(&agents, peer.as_ref(), &registration.facts.name).map(|admission| (registration, admission))
        }
        Ok(None) => return,
        Err(refusal) => Err(refusal),
    };
    let (registration, mut admission) = match first {
        Ok(admitted) => admitted,
        Err(refusal) => return refuse(&master, &sender, refusal),
    };
    let name = registration.facts.name.clone();
    // To have the last word, in case.
    let last_word = sender.downgrade();
    let connection = master.number();
    let (end, mut ended) = oneshot::channel();
    if master.posts().send(Post::Agent { connection, registration, sender, end }).await.is_err() {
        return;
    }
    loop {
        let message = tokio::select! {
            _ = &mut ended => return,
            () = &mut admission => {
                // With the end of a reign ends what is known of admissions; that is no refusal.
                let refusal = admit(&agents, peer.as_ref(), &name).err();
                let sender = last_word.upgrade();
                if let (Some(sender), Some(refusal)) = (&sender, refusal) {
                    refuse(&master, sender, refusal);
                }
                // Sends nothing more. A master that is gone need not be told.
                let _ = master.posts().send(Post::Input(Input::AgentDisconnected { connection })).await;
                // Ended from here while the agent still speaks, a stream is reset, and the last word may be lost with it.
                let leaves = async { while let Ok(Some(_)) = stream.message().await {} };
                let _ = tokio::time::timeout(LEAVES_WITHIN, leaves).await;
                drop(sender);
                return;
            }
            message = stream.message() => message,
        };
        let (input, over) = match message {
            Ok(Some(message)) => match from_wire(message) {
                Ok(Some(message)) => {
                    if matches!(message, FromAgent::Update { .. }) {
                        store::failpoint::reach("update");
                    }
                    (Input::AgentMessage { connection, message }, false)
                }
                // A later version may say more.
                Ok(None) => continue,
                Err(error) => {
                    tracing::warn!(connection, "an agent says what cannot be: {error}");
                    continue;
                }
            },
            Ok(None) | Err(_) => (Input::AgentDisconnected { connection }, true),
        };
        if master.posts().send(Post::Input(input)).await.is_err() || over {
            return;
        }
    }
}

#[derive(Debug)]
struct Refusal {
    message: String,
    last: bool,
}

fn refuse(master: &Master, sender: &Out, refusal: Refusal) {
    let Refusal { message, last } = refusal;
    tracing::warn!("refused an agent: {message}");
    let refused = to_wire(master.epoch(), master.id(), ToAgent::Refused { message, last });
    // It may have hung up already.
    let _ = sender.try_send(Box::new(Ok(refused)));
}

/// Ends with an agent's admission.
type Admission = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Whether an agent by this name may register: it has a certificate by that name, and is admitted.
fn admit(agents: &Agents, peer: Option<&Identity>, name: &str) -> Result<Admission, Refusal> {
    let Agents::Admitted(admissions) = agents else { return Ok(Box::pin(std::future::pending())) };
    let refuse = |message: String, last| Err(Refusal { message, last });
    match peer {
        None => refuse("an agent has to show its certificate".to_owned(), true),
        Some(peer) if peer.role() != PeerRole::Agent => {
            refuse(format!("the certificate {peer} is no agent's"), true)
        }
        Some(peer) if peer.name() != name => refuse(
            format!("the certificate is for agent {:?}, and the registration for {name:?}", peer.name()),
            true,
        ),
        // An admission may come at any time.
        Some(_) => admissions.admission(name).map_or_else(|| refuse(not_admitted(name), false), Ok),
    }
}

fn not_admitted(name: &str) -> String {
    format!(
        "agent {name:?} is not admitted to this cluster; an administrator's `clusterctl install` admits it"
    )
}

impl From<LinkError> for Refusal {
    fn from(error: LinkError) -> Self {
        Self { message: format!("the registration is not readable: {error}"), last: true }
    }
}

/// The registration, which is the first message. `None` when the agent hung up.
async fn first(
    stream: &mut Streaming<wire::AgentMessage>,
    within: Duration,
) -> Result<Option<Registration>, Refusal> {
    let message = match timeout(within, stream.message()).await {
        Ok(Ok(Some(message))) => message,
        Ok(Ok(None)) => return Ok(None),
        Ok(Err(status)) => {
            return Err(Refusal {
                message: format!("the first message is not readable: {status}"),
                last: true,
            });
        }
        Err(_elapsed) => {
            return Err(Refusal { message: format!("no registration within {within:?}"), last: false });
        }
    };
    match message.body {
        Some(agent_message::Body::Register(register)) => Ok(Some(registration(register)?)),
        _ => Err(Refusal { message: "the first message is no registration".to_owned(), last: true }),
    }
}

fn wrong(field: &'static str, problem: impl std::fmt::Display) -> LinkError {
    LinkError { field, problem: problem.to_string() }
}

/// What an agent says when it dials.
///
/// # Errors
/// When a field is not what it has to be.
pub fn registration(register: wire::Register) -> Result<Registration, LinkError> {
    let some = |text: String| (!text.is_empty()).then_some(text);
    let id = some(register.agent_id).map(AgentId::from);
    let facts = AgentFacts {
        name: register.name,
        host: Host {
            hostname: register.hostname,
            region: some(register.region),
            zone: some(register.zone),
            attributes: register.attributes.parse().map_err(|e| wrong("attributes", e))?,
        }
        .into(),
        address: register.address.parse().map_err(|e| wrong("address", e))?,
        port: u16::try_from(register.port).map_err(|e| wrong("port", e))?,
        total: resources_from_wire(&register.resources)?,
        version: register.version,
    };
    // Health of tasks carries the agent's id; one without an id has none to speak of.
    let agent = id.clone().unwrap_or_else(|| AgentId::from(""));
    let tasks = register.tasks.into_iter().map(|task| report(&agent, task)).collect::<Result<_, _>>()?;
    Ok(Registration { id, facts, tasks })
}

fn report(agent: &AgentId, task: wire::TaskReport) -> Result<Report, LinkError> {
    let info = task.info.ok_or_else(|| wrong("tasks.info", "is missing"))?;
    let status = task.status.ok_or_else(|| wrong("tasks.status", "is missing"))?;
    Ok(Report {
        framework: FrameworkId::from(task.framework_id),
        info: Arc::new(info_from_wire(info)?),
        status: status_from_wire(status)?,
        health: task.health.into_iter().map(|one| health_from_wire(agent, one)).collect::<Result<_, _>>()?,
        directory: task.directory,
        peers: task.peers_version,
    })
}

/// What an agent says after that; nothing when only a later version understands it.
///
/// # Errors
/// When a field is not what it has to be.
pub fn from_wire(message: wire::AgentMessage) -> Result<Option<FromAgent>, LinkError> {
    use agent_message::Body;
    Ok(match message.body {
        Some(Body::Update(update)) => {
            let status = update.status.ok_or_else(|| wrong("update.status", "is missing"))?;
            let framework = FrameworkId::from(update.framework_id);
            Some(FromAgent::Update { framework, status: status_from_wire(status)? })
        }
        Some(Body::Health(report)) => {
            let framework = FrameworkId::from(report.framework_id.clone());
            // The core says which agent it is by the connection.
            let report = health_from_wire(&AgentId::from(""), report)?;
            Some(FromAgent::Health { framework, report })
        }
        Some(Body::PeersHeld(held)) => Some(FromAgent::PeersHeld {
            framework: FrameworkId::from(held.framework_id),
            task: held.task_id.parse().map_err(|e| wrong("peers_held.task_id", e))?,
            version: held.version,
        }),
        Some(Body::Pong(_)) => Some(FromAgent::Pong),
        Some(Body::Register(_)) => return Err(wrong("register", "comes a second time")),
        None => None,
    })
}

/// A message to an agent.
pub fn to_wire(epoch: u64, master: &str, message: ToAgent) -> wire::MasterMessage {
    use master_message::Body;
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let body = match message {
        ToAgent::Registered { agent, silence } => Body::Registered(wire::Registered {
            agent_id: agent.to_string(),
            master_id: master.to_owned(),
            silence_ms: millis(silence),
        }),
        ToAgent::Refused { message, last } => Body::Refused(wire::Refused { message, r#final: last }),
        ToAgent::Launch { framework, info } => Body::Launch(wire::Launch {
            framework_id: framework.to_string(),
            info: Some(info_to_wire(&info)),
        }),
        ToAgent::Kill { framework, task, grace } => Body::Kill(wire::Kill {
            framework_id: framework.to_string(),
            task_id: task.to_string(),
            grace_ms: grace.map(millis),
        }),
        ToAgent::Acknowledge { framework, task, uuid } => Body::Acknowledge(wire::Acknowledge {
            framework_id: framework.to_string(),
            task_id: task.to_string(),
            uuid: uuid.as_u128().to_be_bytes().to_vec(),
        }),
        ToAgent::Peers { framework, task, peers } => Body::PeersChanged(wire::PeersChanged {
            framework_id: framework.to_string(),
            task_id: task.to_string(),
            peers: Some(peers_to_wire(&peers)),
        }),
        ToAgent::Ping => Body::Ping(wire::Ping {}),
    };
    wire::MasterMessage { epoch, body: Some(body) }
}

#[cfg(test)]
mod tests {
    use super::super::Admissions;
    use super::*;

    /// Admits one.
    #[derive(Debug)]
    struct Only(&'static str);

    impl Admissions for Only {
        fn admission(&self, name: &str) -> Option<Admission> {
            let one: Admission = Box::pin(std::future::ready(()));
            (name == self.0).then_some(one)
        }
    }

    fn id(role: PeerRole, name: &str) -> Identity {
        Identity::new("prod", role, name).unwrap()
    }

    #[test]
    fn only_an_admitted_agent_by_the_name_of_its_certificate_registers() {
        let agents = Agents::Admitted(Arc::new(Only("a1")));
        let a1 = id(PeerRole::Agent, "a1");
        assert!(admit(&agents, Some(&a1), "a1").is_ok());
        assert!(admit(&Agents::Anybody, None, "x").is_ok());
        for (peer, name, last) in [
            (None, "a1", true),
            (Some(id(PeerRole::Master, "a1")), "a1", true),
            (Some(id(PeerRole::Admin, "a1")), "a1", true),
            (Some(a1.clone()), "a2", true),
            (Some(id(PeerRole::Agent, "a2")), "a1", true),
            (Some(id(PeerRole::Agent, "a2")), "a2", false),
        ] {
            let Err(refusal) = admit(&agents, peer.as_ref(), name) else { panic!("{peer:?} {name}") };
            assert_eq!(refusal.last, last, "{peer:?} {name} {refusal:?}");
        }
    }
}
