//! The HTTP client of a cluster, as the command line uses it.
//!
//! Answers come as [`serde_json::Value`], so that a caller can print the API's own object. Every request has a timeout
//! and every body a limit. Only reads are sent again, and only for faults that pass; what changes something goes to
//! the next master when the first did not even take the connection, and never twice. The process installs a TLS
//! crypto provider before it makes a client.

mod access;
mod error;
mod events;
mod files;
mod groups;
mod marathon;
mod mesos;
mod packages;
mod retry;
mod secrets;
mod url;
mod watch;

use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::header::LOCATION;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use tls::Dialler;

pub use access::NewToken;
pub use error::{ClientError, Mistake, Refusal};
pub use events::{EventStream, ServerEvent};
pub use files::FileData;
pub use marathon::AppEmbed;
pub use packages::CosmosCall;
pub use url::MasterUrl;
pub use watch::WatchStream;

/// The most that an answer may hold, in bytes: the state of a large cluster, and far from this machine's memory.
const MAX_BODY: usize = 64 << 20;

/// The most that a connection may take, so that the next master gets its turn within one request's time.
const CONNECT: Duration = Duration::from_secs(5);

/// The same where there is a next one: a host that is off does not say so.
const CONNECT_TO_ONE_OF_SEVERAL: Duration = Duration::from_secs(2);

/// How many redirects are followed: a standby names the leader, which may just have changed.
const REDIRECTS: usize = 3;

/// How long a stream may be silent; servers send something every ten seconds.
const SILENCE: Duration = Duration::from_secs(35);

/// A client of one cluster, which may have several masters.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    /// How others like it are made.
    recipe: Recipe,
    masters: Vec<MasterUrl>,
    /// The master that answered last; tried first.
    preferred: AtomicUsize,
    timeout: Duration,
    token: Option<SecretString>,
}

/// Whom a client believes, and what it shows of itself.
#[derive(Debug, Default)]
pub struct Credentials {
    /// The way to masters that have certificates; without it, those are believed that the system believes.
    pub dialler: Option<Dialler>,
    /// A token of a user. It is not sent in the clear, but to this machine.
    pub token: Option<SecretString>,
}

/// A request before it is known which master gets it.
struct Call<'a> {
    method: Method,
    path: Vec<&'a str>,
    query: Vec<(&'static str, String)>,
    body: Option<&'a Value>,
    /// The type of answer that is asked for, where it is not JSON.
    accept: Cow<'static, str>,
    /// The type of the body, where it is more than JSON.
    sent: Option<String>,
}

impl<'a> Call<'a> {
    fn new(method: Method, path: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            method,
            path: path.into_iter().collect(),
            query: Vec::new(),
            body: None,
            accept: Cow::Borrowed("application/json"),
            sent: None,
        }
    }

    fn get(path: impl IntoIterator<Item = &'a str>) -> Self {
        Self::new(Method::GET, path)
    }

    fn query(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.query.push((key, value.into()));
        self
    }

    /// A flag that is sent only when it is set.
    fn flag(self, key: &'static str, set: bool) -> Self {
        if set { self.query(key, "true") } else { self }
    }

    fn body(mut self, body: &'a Value) -> Self {
        self.body = Some(body);
        self
    }

    fn on(&self, client: &Client, master: &MasterUrl) -> RequestBuilder {
        let mut url = master.join(self.path.iter().copied());
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        let mut request =
            client.http.request(self.method.clone(), url).header(reqwest::header::ACCEPT, &*self.accept);
        if let Some(token) = &client.token {
            request = request.bearer_auth(token.expose_secret());
        }
        if let Some(sent) = &self.sent {
            request = request.header(reqwest::header::CONTENT_TYPE, sent);
        }
        match self.body {
            Some(body) => request.json(body),
            None => request,
        }
    }

    /// For messages: queries may be long, and say little.
    fn name(&self, master: &MasterUrl) -> String {
        format!("{} {}", self.method, master.join(self.path.iter().copied()))
    }
}

impl Client {
    /// A client of the masters at these URLs, which shows nothing of itself; a call may take up to `timeout`, repetitions
    /// included.
    ///
    /// # Errors
    /// When there is no URL, or TLS cannot be set up.
    pub fn new(masters: Vec<MasterUrl>, timeout: Duration) -> Result<Self, ClientError> {
        Self::with(masters, timeout, Credentials::default())
    }

    /// A client of the masters at these URLs with credentials.
    ///
    /// # Errors
    /// When there is no URL, TLS cannot be set up, or a token would go over a network in the clear.
    pub fn with(
        masters: Vec<MasterUrl>,
        timeout: Duration,
        credentials: Credentials,
    ) -> Result<Self, ClientError> {
        let Credentials { dialler, token } = credentials;
        if masters.is_empty() {
            return Err(ClientError::BadUrl { text: String::new(), reason: "no master is named".to_owned() });
        }
        let connect = match u32::try_from(masters.len()).unwrap_or(u32::MAX) {
            1 => CONNECT.min(timeout),
            several => CONNECT_TO_ONE_OF_SEVERAL.min(timeout / several.saturating_add(1)),
        };
        if token.is_some() {
            safe_for("a token", &masters)?;
        }
        let recipe = Recipe { connect, dialler };
        let http = recipe.client(&masters, Some(SILENCE))?;
        Ok(Self { http, recipe, masters, preferred: AtomicUsize::new(0), timeout, token })
    }

    /// The masters that this client speaks to.
    pub fn masters(&self) -> &[MasterUrl] {
        &self.masters
    }

    /// Whether a password, or what else is `what`, can be sent to whichever master takes it without that others on the way read
    /// it. Whoever is asked for one is asked only then.
    ///
    /// # Errors
    /// [`ClientError::Clear`].
    pub fn safe_for(&self, what: &'static str) -> Result<(), ClientError> {
        safe_for(what, &self.masters)
    }

    /// Asks, and reads the whole answer as JSON; nothing is `null`.
    async fn json(&self, call: Call<'_>) -> Result<Value, ClientError> {
        let (request, body) = self.timed(&call, self.attempts(&call)).await?;
        if body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&body)
            .map_err(|error| ClientError::BadAnswer { request, reason: error.to_string() })
    }

    async fn timed<T>(
        &self,
        call: &Call<'_>,
        work: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        tokio::time::timeout(self.timeout, work).await.unwrap_or_else(|_| {
            Err(ClientError::Timeout { request: call.name(self.first()), after: self.timeout })
        })
    }

    /// A read is tried again when its fault may pass.
    async fn attempts(&self, call: &Call<'_>) -> Result<(String, Vec<u8>), ClientError> {
        let mut pauses = retry::Pauses::new();
        loop {
            let error = match self.whole(call).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let answered = matches!(error, ClientError::Refused(_));
            let again = call.method == Method::GET && error.is_passing();
            let Some(pause) = again.then(|| pauses.next(answered)).flatten() else { return Err(error) };
            tokio::time::sleep(pause).await;
            // Another one may know who leads, or lead itself.
            let next = (self.preferred.load(Ordering::Relaxed) + 1) % self.masters.len();
            self.preferred.store(next, Ordering::Relaxed);
        }
    }

    async fn whole(&self, call: &Call<'_>) -> Result<(String, Vec<u8>), ClientError> {
        let (request, mut response) = self.answer(call).await?;
        let body = read_body(&request, &mut response).await?;
        Ok((request, body))
    }

    /// The head of a good answer, from the first master that takes the connection, or from the one that it names as the leader.
    async fn answer(&self, call: &Call<'_>) -> Result<(String, Response), ClientError> {
        let first = self.preferred.load(Ordering::Relaxed);
        let mut tried = Vec::new();
        for offset in 0..self.masters.len() {
            let at = (first + offset) % self.masters.len();
            let master = self.masters.get(at).unwrap_or(self.first());
            match self.follow(call, master).await {
                Ok(answer) => {
                    self.preferred.store(at, Ordering::Relaxed);
                    return good(answer.0, answer.1).await;
                }
                Err(Stop::NotTaken(master, reason)) => tried.push((master, reason)),
                Err(Stop::Fault(error)) => return Err(error),
            }
        }
        Err(ClientError::CannotConnect { tried })
    }

    /// What this master answers, or the one that it sends us to, with the same credentials: a master that could name another one to
    /// spy on us was itself given them.
    async fn follow(&self, call: &Call<'_>, master: &MasterUrl) -> Result<(String, Response), Stop> {
        let mut master = master.clone();
        for _ in 0..=REDIRECTS {
            let request = call.name(&master);
            let response = call.on(self, &master).send().await.map_err(|error| {
                if error.is_connect() {
                    return Stop::NotTaken(master.to_string(), innermost(&error));
                }
                Stop::Fault(match error.is_timeout() {
                    true => {
                        ClientError::Timeout { request: request.clone(), after: self.timeout.min(SILENCE) }
                    }
                    false => ClientError::Broken { request: request.clone(), reason: reasons(&error) },
                })
            })?;
            let Some(to) = moved(&call.method, &response) else { return Ok((request, response)) };
            let wrong = |reason: &str| {
                let (request, reason) = (request.clone(), reason.to_owned());
                Stop::Fault(ClientError::BadAnswer { request, reason })
            };
            let next = master.leader(to).ok_or_else(|| wrong("it sends us to what is no master"))?;
            if !master.is_plain() && next.is_plain() {
                return Err(wrong("it sends us to a master without TLS"));
            }
            if self.token.is_some() {
                safe_for("a token", std::slice::from_ref(&next)).map_err(Stop::Fault)?;
            }
            master = next;
        }
        let (request, reason) = (call.name(&master), "its masters send us round in a circle".to_owned());
        Err(Stop::Fault(ClientError::BadAnswer { request, reason }))
    }

    /// The master to name when it is not known which one it was; there is always one.
    fn first(&self) -> &MasterUrl {
        let at = self.preferred.load(Ordering::Relaxed);
        self.masters.get(at).unwrap_or(&self.masters[0])
    }
}

/// How HTTP is spoken to these masters.
#[derive(Debug)]
struct Recipe {
    connect: Duration,
    dialler: Option<Dialler>,
}

impl Recipe {
    /// One that gives an answer up that is `silent` for so long.
    fn client(
        &self,
        masters: &[MasterUrl],
        silent: Option<Duration>,
    ) -> Result<reqwest::Client, ClientError> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("clusterctl/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(self.connect)
            .redirect(reqwest::redirect::Policy::none());
        if let Some(silent) = silent {
            builder = builder.read_timeout(silent);
        }
        if !masters.iter().any(MasterUrl::is_plain) {
            // Also where a master's answer leads.
            builder = builder.https_only(true);
        }
        if let Some(dialler) = &self.dialler {
            builder = builder.tls_backend_preconfigured(dialler.config());
        } else if masters.iter().all(MasterUrl::is_plain) {
            // The system's certificates take time to read, and a small container has none.
            builder = builder.tls_certs_only([]);
        }
        if masters.iter().all(MasterUrl::is_loopback) {
            builder = builder.no_proxy();
        }
        builder.build().map_err(|error| ClientError::Setup { reason: reasons(&error) })
    }
}

/// Why a master did not answer.
enum Stop {
    /// It took no connection, so that another one may be asked: its URL, and why.
    NotTaken(String, String),
    /// What else.
    Fault(ClientError),
}

impl Stop {
    fn into_error(self) -> ClientError {
        match self {
            Self::NotTaken(master, reason) => ClientError::CannotConnect { tried: vec![(master, reason)] },
            Self::Fault(error) => error,
        }
    }
}

/// Where the leader is, when the answer is that another one leads: such an answer means that nothing was done.
fn moved<'r>(method: &Method, response: &'r Response) -> Option<&'r str> {
    let found = *method == Method::GET && response.status() == StatusCode::FOUND;
    let sent = found || response.status() == StatusCode::TEMPORARY_REDIRECT;
    response.headers().get(LOCATION).filter(|_| sent)?.to_str().ok()
}

/// In the clear a secret goes to this machine alone.
fn safe_for(what: &'static str, masters: &[MasterUrl]) -> Result<(), ClientError> {
    match masters.iter().find(|master| master.is_plain() && !master.is_loopback()) {
        Some(master) => Err(ClientError::Clear { what, master: master.to_string() }),
        None => Ok(()),
    }
}

/// Turns a refusal into an error.
async fn good(request: String, mut response: Response) -> Result<(String, Response), ClientError> {
    let status = response.status();
    if status.is_success() {
        return Ok((request, response));
    }
    let body = read_body(&request, &mut response).await.unwrap_or_default();
    Err(ClientError::Refused(Box::new(Refusal::read(request, status.as_u16(), &body))))
}

/// The whole body, up to [`MAX_BODY`].
async fn read_body(request: &str, response: &mut Response) -> Result<Vec<u8>, ClientError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| broken(request, &error))? {
        if body.len() + chunk.len() > MAX_BODY {
            return Err(ClientError::TooLarge { request: request.to_owned(), limit: MAX_BODY });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn broken(request: &str, error: &reqwest::Error) -> ClientError {
    let request = request.to_owned();
    if error.is_timeout() {
        ClientError::Timeout { request, after: SILENCE }
    } else {
        ClientError::Broken { request, reason: reasons(error) }
    }
}

fn chain<'a>(error: &'a reqwest::Error) -> impl Iterator<Item = String> + 'a {
    let first: Option<&dyn std::error::Error> = Some(error);
    std::iter::successors(first, |&error| error.source()).map(ToString::to_string)
}

/// All that is in an error: its own words alone say less than its causes.
fn reasons(error: &reqwest::Error) -> String {
    chain(error).collect::<Vec<_>>().join(": ")
}

/// The cause that the system names.
fn innermost(error: &reqwest::Error) -> String {
    chain(error).last().unwrap_or_default()
}

#[cfg(test)]
mod tests;
