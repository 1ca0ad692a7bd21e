//! Fetching what a task needs into its sandbox before it starts.
//!
//! ```text
//! address ──plan──▶ download / local file ──▶ cache (by checksum) ──stdin──▶ child as the task's user ──▶ sandbox
//! ```
//!
//! Downloads are bounded in time, size and redirects; several tasks that wait for the same share one. What
//! came is hostile, so only a child that has given up all other rights looks into it (`shim unpack`).

mod cache;
mod child;
mod digest;
mod error;
mod http;
mod job;
mod local;
mod plan;
mod unpack;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::mesos::Uri;
use futures_util::future::{BoxFuture, FutureExt, Shared, WeakShared};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use reqwest::{Client, Url};
use tokio::sync::{OnceCell, Semaphore};

use crate::launch::Program;
use crate::user::User;
use cache::{Cache, Got, Known};
pub use digest::Digest;
pub use error::{FetchError, Why};
use http::{Answer, Body};
pub use job::Limits;
use job::{Action, Job};
use plan::{Plan, Source};

/// How many addresses of one task are downloaded at a time.
const AT_ONCE: usize = 4;
/// Where masters serve artifacts, before the sum.
const ARTIFACTS: &str = "clusterctl/v1/artifacts/sha256";

/// How an agent fetches.
#[derive(Clone, Debug)]
pub struct Options {
    /// Directory of the cache; this agent's alone.
    pub cache_dir: PathBuf,
    /// What the cache may hold, in bytes.
    pub cache_bytes: u64,
    /// How this program is started as the unpacking child.
    pub program: Program,
    /// Directories that `file:` addresses and absolute paths may lead into. None by default.
    pub file_roots: Vec<PathBuf>,
    /// URLs of the masters, for artifacts; tried in turn.
    pub masters: Vec<String>,
    /// A client that the masters accept; the general one when absent.
    pub master_client: Option<Client>,
    /// The largest download, in bytes.
    pub max_bytes: u64,
    /// To connect, with TLS.
    pub connect_timeout: Duration,
    /// Between two pieces of an answer.
    pub idle_timeout: Duration,
    /// For one attempt from its beginning to its end.
    pub download_timeout: Duration,
    /// For unpacking one file.
    pub unpack_timeout: Duration,
    /// How often a download is tried whose fault may pass (connections, 5xx, 408, 425, 429).
    pub attempts: u32,
    /// Before the second attempt; doubled for each further one, up to 30 s.
    pub backoff: Duration,
    /// How many redirects are followed.
    pub redirects: usize,
    /// How many children unpack at a time, for all tasks.
    pub unpackers: usize,
    /// Bounds on what comes out of one archive.
    pub limits: Limits,
}

impl Options {
    /// The defaults.
    #[must_use]
    pub fn new(cache_dir: PathBuf, program: Program) -> Self {
        Self {
            cache_dir,
            cache_bytes: 10 << 30,
            program,
            file_roots: Vec::new(),
            masters: Vec::new(),
            master_client: None,
            max_bytes: 16 << 30,
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            download_timeout: Duration::from_secs(3600),
            unpack_timeout: Duration::from_secs(1800),
            attempts: 5,
            backoff: Duration::from_millis(500),
            redirects: 10,
            unpackers: 4,
            limits: Limits::default(),
        }
    }
}

/// One download that several may wait for; given up when nobody does any more.
type Loading = Shared<BoxFuture<'static, Result<Got, Why>>>;
/// Downloads under way, by source and sum.
type Flights = HashMap<String, WeakShared<BoxFuture<'static, Result<Got, Why>>>>;

/// Fetches for the tasks of one agent. Clones share the cache and the downloads under way.
#[derive(Clone, Debug)]
pub struct Fetcher {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    options: Options,
    ready: OnceCell<Ready>,
    flights: Mutex<Flights>,
    unpackers: Semaphore,
}

#[derive(Debug)]
struct Ready {
    cache: Arc<Cache>,
    client: Client,
}

/// Runs as the unpacking child; `job` is its argument.
pub(crate) fn unpack(job: &OsStr) -> ExitCode {
    unpack::run(job)
}

impl Fetcher {
    /// A fetcher; its cache is opened when it is first needed. A TLS provider must be installed by then.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let unpackers = Semaphore::new(options.unpackers.max(1));
        Self {
            inner: Arc::new(Inner { options, ready: OnceCell::new(), flights: Mutex::default(), unpackers }),
        }
    }

    /// Puts all of them into the sandbox, in order, as `user` (else as this process' own user), who must be
    /// able to write there. Stops and cleans up when dropped; may be done again.
    ///
    /// # Errors
    /// For the first address that fails, saying which and why. What came before lies in the sandbox.
    pub async fn fetch(&self, uris: &[Uri], sandbox: &Path, user: Option<&User>) -> Result<(), FetchError> {
        // All are looked at before any is downloaded.
        let plans: Vec<(String, Plan)> = uris.iter().map(look).collect::<Result<_, _>>()?;
        let obtain = |(uri, plan): (String, Plan)| {
            let inner = self.inner.clone();
            async move {
                match inner.obtain(&plan).await {
                    Ok(got) => Ok((uri, plan, got)),
                    Err(why) => Err(FetchError { uri, why }),
                }
            }
        };
        let got: Vec<(String, Plan, Got)> =
            stream::iter(plans).map(obtain).buffered(AT_ONCE).try_collect().await?;
        for (uri, plan, got) in got {
            let delivered = self.inner.deliver(plan, &got, sandbox, user).await;
            delivered.map_err(|why| FetchError { uri, why })?;
        }
        Ok(())
    }

    /// Unpacks a root file system into an empty directory, as root, with its owners and links. Stops when dropped.
    ///
    /// # Errors
    /// When the address is no artifact's, it cannot be had, or is no archive of a root file system. What was unpacked is left.
    pub async fn unpack_root(&self, address: &str, into: &Path) -> Result<(), FetchError> {
        let (uri, mut plan) = look(&whole(address))?;
        let unpacked = async {
            artifact_sum(address)?;
            let got = self.inner.obtain(&plan).await?;
            plan.action = Action::Root;
            self.inner.deliver(plan, &got, into, None).await
        };
        unpacked.await.map_err(|why| FetchError { uri, why })
    }
}

/// The sum in an artifact's address.
///
/// # Errors
/// When it is none.
pub fn artifact_sum(address: &str) -> Result<Digest, Why> {
    match plan::plan(&whole(address))?.source {
        Source::Artifact(sum) => Ok(sum),
        Source::Http(_) | Source::File(_) => {
            Err(Why::Address("an artifact's address is artifact://sha256/ and 64 hexadecimal digits".into()))
        }
    }
}

fn whole(address: &str) -> Uri {
    Uri { value: address.to_owned(), executable: false, extract: false, cache: true, output_file: None }
}

fn look(uri: &Uri) -> Result<(String, Plan), FetchError> {
    let shown = plan::shown(&uri.value);
    match plan::plan(uri) {
        Ok(plan) => Ok((shown, plan)),
        Err(why) => Err(FetchError { uri: shown, why }),
    }
}

impl Inner {
    async fn ready(&self) -> Result<&Ready, Why> {
        self.ready
            .get_or_try_init(|| async {
                let client = http::client(&self.options)?;
                let (dir, max) = (self.options.cache_dir.clone(), self.options.cache_bytes);
                let cache = Arc::new(blocking(move || Cache::open(&dir, max)).await?);
                Ok(Ready { cache, client })
            })
            .await
    }

    async fn obtain(self: &Arc<Self>, plan: &Plan) -> Result<Got, Why> {
        match (&plan.source, plan.sum, plan.cache) {
            // It is on this machine already.
            (Source::File(path), None, _) => {
                let (path, roots) = (path.clone(), self.options.file_roots.clone());
                let file = blocking(move || local::open(&path, &roots)).await?;
                Ok(Got::Once(Arc::new(file)))
            }
            (_, None, false) => self.clone().load(plan.clone()).await,
            _ => self.flight(plan).await,
        }
    }

    /// Joins the download under way, or starts it.
    fn flight(self: &Arc<Self>, plan: &Plan) -> Loading {
        let key = format!("{:?} {:?}", plan.source, plan.sum);
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        // One that is done is not joined: a server may have something new by now.
        let under_way = flights.get(&key).and_then(WeakShared::upgrade).filter(|f| f.peek().is_none());
        if let Some(loading) = under_way {
            return loading;
        }
        let loading = self.clone().load(plan.clone()).boxed().shared();
        flights.retain(|_, flight| flight.upgrade().is_some_and(|f| f.peek().is_none()));
        if let Some(weak) = loading.downgrade() {
            flights.insert(key, weak);
        }
        loading
    }

    async fn load(self: Arc<Self>, plan: Plan) -> Result<Got, Why> {
        let ready = self.ready().await?;
        if let Some(sum) = plan.sum
            && let Some(got) = take(&ready.cache, sum).await?
        {
            return Ok(got);
        }
        let body = match &plan.source {
            Source::File(path) => {
                let (path, roots, max) =
                    (path.clone(), self.options.file_roots.clone(), self.options.max_bytes);
                let cache = ready.cache.clone();
                blocking(move || local::copy(&path, &roots, max, &cache)).await?
            }
            Source::Artifact(sum) => {
                let client = self.options.master_client.as_ref().unwrap_or(&ready.client);
                let urls = artifact(&self.options.masters, *sum)?;
                match http::download(client, &urls, &self.options, &ready.cache, None).await? {
                    Answer::New(body) => body,
                    Answer::Same => return Err(Why::Stopped),
                }
            }
            Source::Http(url) => match self.ask(ready, url, &plan).await? {
                Ok(got) => return Ok(got),
                Err(body) => body,
            },
        };
        if let Some(wanted) = plan.sum.filter(|sum| *sum != body.sum) {
            return Err(Why::Sum { wanted, got: body.sum });
        }
        store(ready, plan, body).await
    }

    /// Downloads, or has the server say that what is in the cache is still right.
    async fn ask(&self, ready: &Ready, url: &Url, plan: &Plan) -> Result<Result<Got, Body>, Why> {
        let urls = std::slice::from_ref(url);
        let download = |known: Option<Known>| async move {
            http::download(&ready.client, urls, &self.options, &ready.cache, known.as_ref()).await
        };
        let known = if plan.cache && plan.sum.is_none() { ready.cache.known(url.as_str()) } else { None };
        if let Some(known) = known
            && let Some(sum) = Digest::parse(&known.sum)
            && let Some(got) = take(&ready.cache, sum).await?
        {
            return Ok(match download(Some(known)).await? {
                Answer::Same => Ok(got),
                Answer::New(body) => Err(body),
            });
        }
        match download(None).await? {
            Answer::New(body) => Ok(Err(body)),
            Answer::Same => Err(Why::Stopped),
        }
    }

    async fn deliver(&self, plan: Plan, got: &Got, sandbox: &Path, user: Option<&User>) -> Result<(), Why> {
        let _permit = self.unpackers.acquire().await.map_err(|_closed| Why::Stopped)?;
        let again = got.clone();
        let input = blocking(move || again.open().map_err(Why::io("open", "what was fetched"))).await?;
        let sandbox = std::path::absolute(sandbox).map_err(Why::io("find", sandbox))?;
        let job =
            Job { sandbox, user: user.cloned(), action: plan.action, limits: self.options.limits.clone() };
        child::run(&self.options.program, &job, input, self.options.unpack_timeout).await
    }
}

async fn take(cache: &Arc<Cache>, sum: Digest) -> Result<Option<Got>, Why> {
    let cache = cache.clone();
    blocking(move || Ok(cache.take(sum))).await
}

/// Keeps what came if it may be kept.
async fn store(ready: &Ready, plan: Plan, body: Body) -> Result<Got, Why> {
    let cache = ready.cache.clone();
    blocking(move || {
        if !plan.cache && plan.sum.is_none() {
            return cache::once(&body.temporary);
        }
        let got = cache.keep(&body.temporary, body.sum, body.size)?;
        if let Source::Http(url) = &plan.source
            && plan.cache
        {
            cache.learn(url.as_str(), Known::new(body.sum, body.etag, body.last_modified));
        }
        Ok(got)
    })
    .await
}

fn artifact(masters: &[String], sum: Digest) -> Result<Vec<Url>, Why> {
    if masters.is_empty() {
        return Err(Why::NoMaster);
    }
    masters
        .iter()
        .map(|master| {
            let url = format!("{}/{ARTIFACTS}/{sum}", master.trim_end_matches('/'));
            Url::parse(&url).map_err(|e| Why::Address(format!("the master's URL {master:?} is wrong: {e}")))
        })
        .collect()
}

/// Runs what blocks off the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Why> + Send + 'static,
) -> Result<T, Why> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(Why::Stopped))
}
