//! The members of an etcd cluster: one connection to each, so that what one does not answer is asked of the next.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use etcd_client::{Certificate, Client, ConnectOptions, Error, Identity, MemberListResponse, TlsOptions};
use secrecy::ExposeSecret;

use super::EtcdOptions;
use crate::{Cause, Coordinator, CoordinatorState, StoreError};

/// The most that one answer may hold: a page of a load.
pub(super) const ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// Between two rounds over all members.
const ROUND: Duration = Duration::from_millis(100);

/// A member that does not say within this how it is, is taken to be away.
const LOOK: Duration = Duration::from_secs(1);

/// Why a member did not do what it was asked for.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    /// No answer: it may have been done, or may be done yet.
    Silent(Cause),
    /// The member has no majority behind it, or not in time. It may have been done, or may be done yet.
    NoQuorum(Cause),
    /// The quota is used up: not done.
    NoSpace,
    /// The revision is not there any more, or not yet: not done.
    Compacted,
    /// The answer is larger than [`ANSWER_BYTES`].
    TooLarge,
    /// There is no such lease.
    LeaseGone,
    /// Not done, and never will be.
    Refused(Cause),
}

impl Fault {
    /// Another member may do it, or this one later.
    pub(super) fn passes(&self) -> bool {
        matches!(self, Self::Silent(_) | Self::NoQuorum(_))
    }

    fn of(error: Error) -> Self {
        use tonic::Code;
        let Error::GRpcStatus(status) = &error else {
            return match &error {
                Error::LeaseKeepAliveError(text) if text.contains("not found") => Self::LeaseGone,
                Error::TransportError(_)
                | Error::IoError(_)
                | Error::WatchError(_)
                | Error::LeaseKeepAliveError(_) => Self::Silent(Arc::new(error)),
                _ => Self::Refused(Arc::new(error)),
            };
        };
        let says = |text: &str| status.message().contains(text);
        match status.code() {
            Code::ResourceExhausted if says("database space exceeded") => Self::NoSpace,
            Code::OutOfRange if says("message length too large") => Self::TooLarge,
            Code::OutOfRange if says("revision") => Self::Compacted,
            Code::NotFound if says("lease not found") => Self::LeaseGone,
            Code::InvalidArgument
            | Code::FailedPrecondition
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::Unimplemented
            | Code::AlreadyExists
            | Code::NotFound
            | Code::OutOfRange
            | Code::DataLoss => Self::Refused(Arc::new(error)),
            _ if says("etcdserver:") => Self::NoQuorum(Arc::new(error)),
            _ => Self::Silent(Arc::new(error)),
        }
    }
}

/// An answer, and whether an earlier question like it may have been carried out, or may yet be.
pub(super) struct Asked<T> {
    pub(super) result: Result<T, Fault>,
    pub(super) unsure: bool,
}

/// How the member `id` is that says this of itself; its errors are texts, of which etcd has no list.
fn state(id: u64, leader: u64, errors: &[String]) -> CoordinatorState {
    match (leader, errors) {
        (0, _) => CoordinatorState::NoQuorum,
        (_, [_, ..]) => CoordinatorState::Alarmed,
        (leader, []) if leader == id => CoordinatorState::Leader,
        _ => CoordinatorState::Follower,
    }
}

pub(super) struct Members {
    endpoints: Vec<String>,
    clients: Vec<Client>,
    /// The one that answered last.
    preferred: AtomicUsize,
    place: String,
    request: Duration,
}

impl Members {
    /// Connects to none yet.
    pub(super) async fn new(options: &EtcdOptions) -> Result<Self, StoreError> {
        let endpoint = |place: &str, detail: String| StoreError::Endpoint { place: place.to_owned(), detail };
        if options.endpoints.is_empty() {
            return Err(endpoint("etcd", "no endpoint is named".to_owned()));
        }
        let mut connect = ConnectOptions::new()
            .with_connect_timeout(options.connect)
            .with_keep_alive(options.request, options.request)
            .with_keep_alive_while_idle(true)
            .with_require_leader(true);
        if let Some(tls) = &options.tls {
            let identity = Identity::from_pem(&tls.certificate, tls.key.expose_secret());
            let tls = TlsOptions::new().ca_certificate(Certificate::from_pem(&tls.ca)).identity(identity);
            connect = connect.with_tls(tls);
        }
        let mut clients = Vec::with_capacity(options.endpoints.len());
        for name in &options.endpoints {
            let wanted = if options.tls.is_some() { "https://" } else { "http://" };
            if !name.starts_with(wanted) {
                return Err(endpoint(name, format!("it does not begin with {wanted}")));
            }
            let client = Client::connect([name], Some(connect.clone())).await;
            clients.push(client.map_err(|fault| endpoint(name, super::chain(&fault)))?);
        }
        Ok(Self {
            clients,
            preferred: AtomicUsize::new(0),
            place: options.endpoints.join(", "),
            endpoints: options.endpoints.clone(),
            request: options.request,
        })
    }

    pub(super) fn place(&self) -> String {
        self.place.clone()
    }

    /// How each member is, all asked at once and none for long.
    pub(super) async fn look(&self) -> Vec<Coordinator> {
        let looks = self.endpoints.iter().zip(&self.clients).map(|(endpoint, client)| async move {
            let (mut status, mut list) = (client.clone(), client.clone());
            let status = async { tokio::time::timeout(LOOK, status.status()).await.ok() };
            let list = async { tokio::time::timeout(LOOK, list.member_list()).await.ok()?.ok() };
            let (status, list) = tokio::join!(status, list);
            let id = match &status {
                Some(Ok(status)) => status.header().map_or(0, |header| header.member_id()),
                _ => 0,
            };
            let named = |list: MemberListResponse| {
                let name = list.members().iter().find(|member| member.id() == id)?.name().to_owned();
                Some(name).filter(|name| !name.is_empty())
            };
            let place = endpoint.split_once("://").map_or(endpoint.as_str(), |(_, place)| place);
            Coordinator {
                name: list.and_then(named),
                address: place.to_owned(),
                state: match status {
                    Some(Ok(status)) => state(id, status.leader(), status.errors()),
                    // It answers that it may not: the client asks for members with a leader alone.
                    Some(Err(error)) => match Fault::of(error) {
                        Fault::NoQuorum(_) => CoordinatorState::NoQuorum,
                        _ => CoordinatorState::Unreachable,
                    },
                    None => CoordinatorState::Unreachable,
                },
            }
        });
        futures_util::future::join_all(looks).await
    }

    /// Asks the member that answered last, once.
    pub(super) async fn ask_one<T, F>(
        &self,
        within: Duration,
        question: impl FnOnce(Client) -> F,
    ) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let at = self.preferred.load(Ordering::Relaxed) % self.clients.len().max(1);
        let Some(client) = self.clients.get(at) else {
            return Err(Fault::Refused(Arc::new(std::io::Error::other("no members"))));
        };
        let answer = tokio::time::timeout(within, question(client.clone())).await;
        let result = match answer {
            Ok(answer) => answer.map_err(Fault::of),
            Err(elapsed) => Err(Fault::Silent(Arc::new(elapsed))),
        };
        if result.as_ref().is_err_and(Fault::passes) {
            // Unless another question moved on first.
            let next = (at + 1) % self.clients.len().max(1);
            let _ = self.preferred.compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed);
        }
        result
    }

    /// Asks one member after the other until one answers or it is `until`, which may move meanwhile.
    pub(super) async fn ask<T, F>(
        &self,
        until: impl Fn() -> Instant,
        question: impl Fn(Client) -> F,
    ) -> Asked<T>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let (mut unsure, mut tries) = (false, 0);
        loop {
            let left = until().saturating_duration_since(Instant::now());
            let result = self.ask_one(self.request.min(left), &question).await;
            match &result {
                Err(fault) if fault.passes() => unsure = true,
                _ => return Asked { result, unsure },
            }
            tries += 1;
            let pause = if tries % self.clients.len() == 0 { ROUND } else { Duration::ZERO };
            if Instant::now() + pause >= until() {
                return Asked { result, unsure };
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// For a question that may be asked any number of times.
    pub(super) async fn ask_within<T, F>(
        &self,
        patience: Duration,
        question: impl Fn(Client) -> F,
    ) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let until = Instant::now() + patience;
        self.ask(|| until, question).await.result
    }

    /// The fault as a caller is told it, of something that was not done.
    pub(super) fn error(&self, fault: Fault) -> StoreError {
        let place = self.place();
        match fault {
            Fault::Silent(source) => StoreError::Unreachable { place, source },
            Fault::NoQuorum(source) => StoreError::NoQuorum { place, source },
            Fault::NoSpace => StoreError::NoSpace { place },
            Fault::Refused(source) => StoreError::Refused { place, source },
            other => {
                let text = match other {
                    Fault::Compacted => "the revision that is read is compacted again and again",
                    Fault::TooLarge => "one value is larger than any that was written",
                    _ => "the lease ended at once",
                };
                StoreError::Refused { place, source: Arc::new(std::io::Error::other(text)) }
            }
        }
    }
}
