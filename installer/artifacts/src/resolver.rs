//! From what a package says of an artifact to a file in the cache. I/O.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use reqwest::{Client, Url};

use crate::cache::{Cache, Held, Known};
use crate::closure::{Part, assemble};
use crate::error::{Fault, ObtainError, Tried};
use crate::event::{Event, Progress};
use crate::http::{self, Partial};
use crate::names;
use crate::purl::{self, Package};
use crate::spec::{Artifact, ArtifactKind, At, Member, Source, Sum, shown};
use crate::sums::{self, Found};
use crate::tree::Limits;
use crate::{clients, rootfs};

/// Between two counts of bytes that are told.
const TOLD: u64 = 1 << 20;

/// How artifacts are obtained.
#[derive(Clone, Debug)]
pub struct Options {
    /// The directory of the cache.
    pub cache: PathBuf,
    /// Who hears how it goes.
    pub progress: Progress,
    /// To connect, with TLS.
    pub connect_timeout: Duration,
    /// Between two pieces of an answer.
    pub idle_timeout: Duration,
    /// For one attempt from its beginning to its end.
    pub download_timeout: Duration,
    /// For one run of pip, mvn, npm or apt-get.
    pub program_timeout: Duration,
    /// For mmdebstrap.
    pub rootfs_timeout: Duration,
    /// How many attempts in a row may bring nothing.
    pub attempts: u32,
    /// Before the second attempt; doubled for each further one, up to 30 s.
    pub backoff: Duration,
    /// The largest file, in bytes.
    pub max_bytes: u64,
    /// How many redirects are followed.
    pub redirects: usize,
    /// How many members of a closure are obtained at a time.
    pub at_once: usize,
    /// Where programs are looked for.
    pub path: OsString,
    /// Bounds on what comes out of archives.
    pub limits: Limits,
}

impl Options {
    /// The defaults, with this cache.
    #[must_use]
    pub fn new(cache: PathBuf) -> Self {
        Self {
            cache,
            progress: Progress::silent(),
            connect_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(60),
            download_timeout: Duration::from_secs(3600),
            program_timeout: Duration::from_secs(1800),
            rootfs_timeout: Duration::from_secs(1800),
            attempts: 4,
            backoff: Duration::from_millis(500),
            // What masters take.
            max_bytes: 16 << 30,
            redirects: 10,
            at_once: 4,
            path: std::env::var_os("PATH").unwrap_or_default(),
            limits: Limits::default(),
        }
    }

    /// Where the cache is unless somebody says otherwise: below `$XDG_CACHE_HOME`, else `~/.cache`; nothing where there is no home.
    #[must_use]
    pub fn usual_cache() -> Option<PathBuf> {
        let of = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let base = of("XDG_CACHE_HOME").or_else(|| Some(of("HOME")?.join(".cache")))?;
        Some(base.join("clusterctl").join("artifacts"))
    }
}

/// An artifact that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obtained {
    /// Where it is, on this machine.
    pub path: PathBuf,
    /// Its sum.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
    /// The directory within that matters; empty for its top.
    pub home: String,
    /// Its name in the sandbox.
    pub file: String,
    /// Whether agents unpack it.
    pub extract: bool,
    /// Which source it came from.
    pub source: String,
}

/// Obtains artifacts. Clones share the cache.
#[derive(Clone, Debug)]
pub struct Resolver {
    options: Arc<Options>,
    cache: Cache,
    client: Client,
}

/// Runs what blocks off the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Fault> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(Fault::Stopped))
}

impl Resolver {
    /// With the cache opened. A TLS provider must be installed.
    ///
    /// # Errors
    /// When the cache cannot be used.
    pub fn new(options: Options) -> Result<Self, Fault> {
        let cache = Cache::open(&options.cache)?;
        let client = http::client(&options)?;
        Ok(Self { options: Arc::new(options), cache, client })
    }

    pub(crate) fn tell(&self, event: Event) {
        self.options.progress.tell(event);
    }

    /// The artifact, out of the cache or from where it can be had. Files are relative to `base`; without it, no `file` source is
    /// read. When it is dropped, downloads and programs end; what came is kept, and the next attempt goes on from there.
    ///
    /// # Errors
    /// When none of its sources can be had, with each, why, and what to do.
    pub async fn obtain(&self, artifact: &Artifact, base: Option<&Path>) -> Result<Obtained, ObtainError> {
        let (held, home, source) = match &artifact.kind {
            ArtifactKind::Sources(sources) => self.first(artifact, sources, base).await?,
            ArtifactKind::Closure(members) => {
                let held = self.closure(&artifact.name, members, base).await?;
                (held, String::new(), format!("{} members put together", members.len()))
            }
            ArtifactKind::Rootfs { debian, packages } => {
                let made = self.rootfs(&artifact.name, debian, packages).await;
                let held = made.map_err(|why| ObtainError::Made { artifact: artifact.name.clone(), why })?;
                (held, String::new(), format!("Debian {debian}: {}", packages.join(", ")))
            }
        };
        let Held { path, sha256, bytes, file, cached } = held;
        let file = artifact.file.clone().unwrap_or(file);
        let extract = artifact.extract.unwrap_or_else(|| names::is_archive(&file));
        let file = names::for_agents(file, extract);
        self.tell(Event::Done { artifact: artifact.name.clone(), sha256: sha256.clone(), bytes, cached });
        Ok(Obtained { path, sha256, bytes, home, file, extract, source })
    }

    /// The first of the sources that can be had; of what is in the cache, before any is asked for.
    async fn first(
        &self,
        artifact: &Artifact,
        sources: &[Source],
        base: Option<&Path>,
    ) -> Result<(Held, String, String), ObtainError> {
        let name = &artifact.name;
        for source in sources {
            // One on this machine is as near as the cache.
            if matches!(source.at, At::File(_)) {
                break;
            }
            if let Ok(Some(held)) = self.cached(name, &source.at, source.sum.as_ref()).await {
                return Ok((held, source.home.clone(), shown(&source.at)));
            }
        }
        let mut tried = Vec::new();
        for source in sources {
            let shown = shown(&source.at);
            self.tell(Event::Trying { artifact: name.clone(), source: shown.clone() });
            match self.one(name, &source.at, source.sum.as_ref(), base).await {
                Ok(held) => return Ok((held, source.home.clone(), shown)),
                Err(why) => {
                    let failed =
                        Event::Failed { artifact: name.clone(), source: shown.clone(), why: why.to_string() };
                    self.tell(failed);
                    tried.push(Tried { source: shown, why });
                }
            }
        }
        Err(ObtainError::Sources { artifact: name.clone(), tried })
    }

    /// One file, checked.
    async fn one(&self, name: &str, at: &At, sum: Option<&Sum>, base: Option<&Path>) -> Result<Held, Fault> {
        if let At::File(path) = at {
            return self.local(name, Path::new(path), sum, base).await;
        }
        let key = key(at, sum);
        let waiting = || self.tell(Event::Waiting { artifact: name.to_owned() });
        let _lock = self.cache.lock(&key, waiting).await?;
        if let Some(held) = self.cached(name, at, sum).await? {
            return Ok(held);
        }
        let (sha256, bytes, file) = match at {
            At::Url(url) => self.url(name, url, sum, &key).await?,
            At::Purl(purl) => self.purl(name, purl, sum).await?,
            At::File(_) => return Err(Fault::Stopped),
        };
        let known = Known { sha256: sha256.clone(), file: file.clone() };
        let (cache, keys) = (self.cache.clone(), vec![key, name_key(&sha256)]);
        blocking(move || cache.learn(&keys, &known)).await?;
        Ok(Held { path: self.cache.path(&sha256), sha256, bytes, file, cached: false })
    }

    /// What is in the cache of a source that is not on this machine.
    async fn cached(&self, name: &str, at: &At, sum: Option<&Sum>) -> Result<Option<Held>, Fault> {
        let (cache, key) = (self.cache.clone(), key(at, sum));
        let known = blocking(move || Ok(cache.known(&key))).await?;
        let wanted = match check(sum)? {
            Some(Sum::Sha256(sum)) => Some(sum),
            _ => None,
        };
        let (sha256, file) = match (known, wanted) {
            (Some(known), Some(wanted)) if known.sha256 != wanted => return Ok(None),
            (Some(known), _) => (known.sha256, known.file),
            (None, Some(wanted)) => {
                // The same file by another way: it is the same, and only its name is another's.
                let (cache, key) = (self.cache.clone(), name_key(&wanted));
                let other = blocking(move || Ok(cache.known(&key))).await?;
                match expected_name(at).or(other.map(|known| known.file)) {
                    Some(file) => (wanted, file),
                    None => return Ok(None),
                }
            }
            (None, None) => return Ok(None),
        };
        self.take(name, &sha256, file).await
    }

    async fn take(&self, name: &str, sha256: &str, file: String) -> Result<Option<Held>, Fault> {
        let (cache, told, sha256) = (self.cache.clone(), self.verifying(name), sha256.to_owned());
        blocking(move || {
            let taken = cache.take(&sha256, told);
            Ok(taken.map(|(path, bytes)| Held { path, sha256, bytes, file, cached: true }))
        })
        .await
    }

    /// Tells how much of a file was read.
    fn verifying(&self, name: &str) -> impl Fn(u64, u64) + Send + use<> {
        let (progress, name) = (self.options.progress.clone(), name.to_owned());
        let last = std::cell::Cell::new(0);
        move |done, total| {
            if done == total || done >= last.get() + 16 * TOLD {
                last.set(done);
                progress.tell(Event::Verifying { artifact: name.clone(), done, total });
            }
        }
    }

    async fn local(
        &self,
        name: &str,
        path: &Path,
        sum: Option<&Sum>,
        base: Option<&Path>,
    ) -> Result<Held, Fault> {
        let Some(base) = base else {
            let why = "files of the operator's machine are read for packages of a directory alone";
            return Err(Fault::Address(why.to_owned()));
        };
        let path = base.join(path);
        let file = path.file_name().and_then(|name| name.to_str()).map(str::to_owned).ok_or(Fault::NoName)?;
        let wanted = self.wanted(sum, &file).await?;
        let (cache, told, most) = (self.cache.clone(), self.verifying(name), self.options.max_bytes);
        blocking(move || {
            let open = std::fs::File::open(&path).map_err(Fault::io("open", &path))?;
            let meta = open.metadata().map_err(Fault::io("read", &path))?;
            if !meta.is_file() {
                let source = std::io::Error::other("it is no plain file");
                return Err(Fault::Io { action: "read", path, source });
            }
            if meta.len() > most {
                return Err(Fault::Large(most));
            }
            // A copy, since the original may change before it is used.
            let mut copy = cache.temporary()?;
            let found = {
                let tee = Tee { input: open, output: copy.as_file_mut() };
                sums::of(tee, |done| told(done, meta.len())).map_err(Fault::io("copy", &path))?
            };
            compare(&found, wanted.as_ref())?;
            let kept = cache.keep(copy.path(), &found.sha256)?;
            Ok(Held { path: kept, sha256: found.sha256, bytes: found.bytes, file, cached: false })
        })
        .await
    }

    async fn url(
        &self,
        name: &str,
        text: &str,
        sum: Option<&Sum>,
        key: &str,
    ) -> Result<(String, u64, String), Fault> {
        let url = parse(text)?;
        let file = names::of_url(&url).ok_or(Fault::NoName)?;
        let wanted = self.wanted(sum, &file).await?;
        let partial = Partial::new(&self.cache.tmp(), key);
        let had = partial.path().metadata().is_ok_and(|meta| meta.len() > 0);
        let found = self.fetch(name, text, &url, &partial, wanted.is_some()).await?;
        let found = match compare(&found, wanted.as_ref()) {
            Ok(()) => found,
            // What an earlier attempt left may have been of another file.
            Err(_differs) if had => {
                partial.forget();
                let again = self.fetch(name, text, &url, &partial, wanted.is_some()).await?;
                self.or_forget(&partial, compare(&again, wanted.as_ref()))?;
                again
            }
            Err(differs) => return self.or_forget(&partial, Err(differs)),
        };
        let (cache, sha256) = (self.cache.clone(), found.sha256.clone());
        blocking(move || {
            cache.keep(partial.path(), &sha256)?;
            partial.forget();
            Ok(())
        })
        .await?;
        Ok((found.sha256, found.bytes, file))
    }

    /// What has another sum is not gone on with.
    fn or_forget<T>(&self, partial: &Partial, compared: Result<T, Fault>) -> Result<T, Fault> {
        if compared.is_err() {
            partial.forget();
        }
        compared
    }

    async fn fetch(
        &self,
        name: &str,
        text: &str,
        url: &Url,
        partial: &Partial,
        is_known: bool,
    ) -> Result<Found, Fault> {
        let last = std::sync::atomic::AtomicU64::new(u64::MAX);
        let told = |done: u64, total: Option<u64>| {
            let before = last.load(std::sync::atomic::Ordering::Relaxed);
            if before == u64::MAX || done < before || done >= before + TOLD || total == Some(done) {
                last.store(done, std::sync::atomic::Ordering::Relaxed);
                let (artifact, source) = (name.to_owned(), names::shown(text));
                self.tell(Event::Downloading { artifact, source, done, total });
            }
        };
        http::download(&self.client, url, partial, is_known, &self.options, &told).await?;
        self.sums(name, partial.path().to_owned()).await
    }

    async fn sums(&self, name: &str, path: PathBuf) -> Result<Found, Fault> {
        let told = self.verifying(name);
        blocking(move || {
            let file = std::fs::File::open(&path).map_err(Fault::io("open", &path))?;
            let total = file.metadata().map_or(0, |meta| meta.len());
            sums::of(file, |done| told(done, total)).map_err(Fault::io("read", &path))
        })
        .await
    }

    async fn purl(&self, name: &str, text: &str, sum: Option<&Sum>) -> Result<(String, u64, String), Fault> {
        let package = purl::parse(text)?;
        let pinned = match check(sum)? {
            Some(Sum::Sha256(sum)) => Some(sum),
            _ => None,
        };
        let cache = self.cache.clone();
        let work = blocking(move || cache.work()).await?;
        let hear = |line| self.tell(Event::Said { artifact: name.to_owned(), line });
        let Options { path, program_timeout, .. } = &*self.options;
        let fetched =
            clients::fetch(&package, pinned.as_deref(), path, work.path(), *program_timeout, hear).await?;
        let file =
            fetched.file_name().and_then(|name| name.to_str()).map(str::to_owned).ok_or(Fault::NoName)?;
        let most = self.options.max_bytes;
        if fetched.metadata().is_ok_and(|meta| meta.len() > most) {
            return Err(Fault::Large(most));
        }
        let wanted = self.wanted(sum, &file).await?;
        let found = self.sums(name, fetched.clone()).await?;
        compare(&found, wanted.as_ref())?;
        let (cache, sha256) = (self.cache.clone(), found.sha256.clone());
        blocking(move || {
            cache.keep(&fetched, &sha256)?;
            drop(work);
            Ok(())
        })
        .await?;
        Ok((found.sha256, found.bytes, file))
    }

    /// The sum itself; one that is published is asked for.
    async fn wanted(&self, sum: Option<&Sum>, file: &str) -> Result<Option<Sum>, Fault> {
        match check(sum)? {
            Some(Sum::Published(text)) => {
                let url = parse(&text)?;
                let shown = names::shown(&text);
                if url.scheme() != "https" && !http::is_loopback(&url) {
                    return Err(Fault::Plain { url: shown });
                }
                let body = http::text(&self.client, &url, &self.options).await?;
                let found = sums::published(&body, file);
                found.map(Some).ok_or_else(|| Fault::NotPublished { url: shown, name: file.to_owned() })
            }
            other => Ok(other),
        }
    }

    async fn closure(
        &self,
        name: &str,
        members: &[Member],
        base: Option<&Path>,
    ) -> Result<Held, ObtainError> {
        let made = |why| ObtainError::Made { artifact: name.to_owned(), why };
        let file = format!("{name}.tar");
        // What was put together before needs none of them.
        if let Some(key) = self.known_closure(members).await.map_err(made)?
            && let Some(held) = self.known(name, &key).await.map_err(made)?
        {
            return Ok(held);
        }
        let obtain = |(n, member): (usize, &Member)| {
            let label = format!("{name} ({} of {})", n + 1, members.len());
            let member = member.clone();
            async move {
                let source = shown(&member.at);
                self.tell(Event::Trying { artifact: label.clone(), source: source.clone() });
                let held = self.one(&label, &member.at, member.sum.as_ref(), base).await;
                held.map(|held| (member, held)).map_err(|why| ObtainError::Member {
                    artifact: name.to_owned(),
                    member: Tried { source, why },
                })
            }
        };
        let work: Vec<_> = members.iter().enumerate().map(obtain).collect();
        let held: Vec<(Member, Held)> =
            stream::iter(work).buffered(self.options.at_once.max(1)).try_collect().await?;
        let sums: Vec<&str> = held.iter().map(|(_, held)| held.sha256.as_str()).collect();
        let key = closure_key(members, &sums);
        let waiting = || self.tell(Event::Waiting { artifact: name.to_owned() });
        let _lock = self.cache.lock(&key, waiting).await.map_err(made)?;
        if let Some(held) = self.known(name, &key).await.map_err(made)? {
            return Ok(held);
        }
        let parts = held
            .into_iter()
            .map(|(member, held)| Part { file: held.path, path: member.path, unpack: member.unpack })
            .collect::<Vec<_>>();
        let (cache, limits, progress) =
            (self.cache.clone(), self.options.limits.clone(), self.options.progress.clone());
        let (label, total) = (name.to_owned(), parts.len());
        let work = tokio::task::spawn_blocking(move || -> Result<Held, (Option<usize>, Fault)> {
            let own = |fault| (None, fault);
            let heap = cache.temporary().map_err(own)?;
            let out = cache.temporary().map_err(own)?;
            let told = |done| progress.tell(Event::Assembling { artifact: label.clone(), done, total });
            assemble(&parts, heap.as_file(), out.as_file(), &limits, told)
                .map_err(|(n, fault)| (Some(n), fault))?;
            let kept = || {
                let path = out.path();
                let read = std::fs::File::open(path).and_then(sums::sha256_of);
                let (sha256, bytes) = read.map_err(Fault::io("read", path))?;
                let path = cache.keep(path, &sha256)?;
                let known = Known { sha256: sha256.clone(), file: file.clone() };
                cache.learn(&[key, name_key(&sha256)], &known)?;
                Ok(Held { path, sha256, bytes, file: known.file, cached: false })
            };
            kept().map_err(own)
        });
        match work.await {
            Ok(Ok(held)) => Ok(held),
            Ok(Err((Some(n), why))) => {
                let source = members.get(n).map_or_else(String::new, |member| shown(&member.at));
                Err(ObtainError::Member { artifact: name.to_owned(), member: Tried { source, why } })
            }
            Ok(Err((None, why))) => Err(made(why)),
            Err(_ended) => Err(made(Fault::Stopped)),
        }
    }

    /// The key of a closure all of whose members' sums are known without asking anybody.
    async fn known_closure(&self, members: &[Member]) -> Result<Option<String>, Fault> {
        let mut sums = Vec::new();
        for member in members {
            match check(member.sum.as_ref())? {
                Some(Sum::Sha256(sum)) => sums.push(sum),
                // A file may have changed since.
                _ if matches!(member.at, At::File(_)) => return Ok(None),
                _ => {
                    let (cache, key) = (self.cache.clone(), key(&member.at, member.sum.as_ref()));
                    match blocking(move || Ok(cache.known(&key))).await? {
                        Some(known) => sums.push(known.sha256),
                        None => return Ok(None),
                    }
                }
            }
        }
        let sums: Vec<&str> = sums.iter().map(String::as_str).collect();
        Ok(Some(closure_key(members, &sums)))
    }

    /// What was made before.
    async fn known(&self, name: &str, key: &str) -> Result<Option<Held>, Fault> {
        let (cache, key) = (self.cache.clone(), key.to_owned());
        match blocking(move || Ok(cache.known(&key))).await? {
            Some(known) => self.take(name, &known.sha256, known.file).await,
            None => Ok(None),
        }
    }

    async fn rootfs(&self, name: &str, debian: &str, packages: &[String]) -> Result<Held, Fault> {
        let key = sums::of_text(&rootfs::key(debian, packages)?);
        let waiting = || self.tell(Event::Waiting { artifact: name.to_owned() });
        let _lock = self.cache.lock(&key, waiting).await?;
        if let Some(held) = self.known(name, &key).await? {
            return Ok(held);
        }
        self.tell(Event::Trying { artifact: name.to_owned(), source: format!("mmdebstrap {debian}") });
        let cache = self.cache.clone();
        let work = blocking(move || cache.work()).await?;
        let target = work.path().join("root.tar");
        let hear = |line| self.tell(Event::Said { artifact: name.to_owned(), line });
        let Options { path, rootfs_timeout, .. } = &*self.options;
        rootfs::make((debian, packages), path, work.path(), &target, *rootfs_timeout, hear).await?;
        let found = self.sums(name, target.clone()).await?;
        if found.bytes > self.options.max_bytes {
            return Err(Fault::Large(self.options.max_bytes));
        }
        let (cache, sha256) = (self.cache.clone(), found.sha256.clone());
        let file = format!("{name}.tar");
        let known = Known { sha256: sha256.clone(), file: file.clone() };
        blocking(move || {
            cache.keep(&target, &known.sha256)?;
            drop(work);
            cache.learn(&[key, name_key(&known.sha256)], &known)
        })
        .await?;
        Ok(Held { path: self.cache.path(&sha256), sha256, bytes: found.bytes, file, cached: false })
    }
}

fn parse(text: &str) -> Result<Url, Fault> {
    let url = Url::parse(text).map_err(|error| Fault::Address(error.to_string()))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(Fault::Address(format!("the scheme {other}: is not supported; use https"))),
    }
}

/// By what a source is known again.
fn key(at: &At, sum: Option<&Sum>) -> String {
    sums::of_text(&format!("source {at:?} {sum:?}"))
}

/// Where stands what a file of this sum was called.
fn name_key(sha256: &str) -> String {
    format!("name {sha256}")
}

/// By what a closure is known again.
fn closure_key(members: &[Member], sums: &[&str]) -> String {
    let mut text = String::from("closure 1");
    for (member, sum) in members.iter().zip(sums) {
        let Member { path, unpack, .. } = member;
        text.push_str(&format!("\n{sum} {unpack} {path:?}"));
    }
    sums::of_text(&text)
}

/// What the file is called that this leads to, where that is known before.
fn expected_name(at: &At) -> Option<String> {
    match at {
        At::Url(url) => names::of_url(&Url::parse(url).ok()?),
        At::File(_) => None,
        At::Purl(purl) => match purl::parse(purl).ok()? {
            Package::Pypi { file, .. } => file,
            Package::Maven { name, version, kind, classifier, .. } => {
                let classifier = classifier.map(|one| format!("-{one}")).unwrap_or_default();
                Some(format!("{name}-{version}{classifier}.{kind}"))
            }
            Package::Npm { name, version } => {
                Some(format!("{}-{version}.tgz", name.trim_start_matches('@').replace('/', "-")))
            }
            Package::Deb { .. } => None,
        },
    }
}

/// A sum that can be one, in lower case.
fn check(sum: Option<&Sum>) -> Result<Option<Sum>, Fault> {
    let digits = |text: &str, length| match sums::is_hex(text, length) {
        true => Ok(text.to_ascii_lowercase()),
        false => Err(Fault::NoSum(text.chars().take(200).collect())),
    };
    Ok(match sum {
        None => None,
        Some(Sum::Sha256(text)) => Some(Sum::Sha256(digits(text, 64)?)),
        Some(Sum::Sha512(text)) => Some(Sum::Sha512(digits(text, 128)?)),
        Some(Sum::Published(url)) => Some(Sum::Published(url.clone())),
    })
}

fn compare(found: &Found, wanted: Option<&Sum>) -> Result<(), Fault> {
    let (kind, found, wanted) = match wanted {
        None => return Ok(()),
        Some(Sum::Sha256(wanted)) => ("SHA-256", &found.sha256, wanted),
        Some(Sum::Sha512(wanted)) => ("SHA-512", &found.sha512, wanted),
        // It was asked for before.
        Some(Sum::Published(_)) => return Err(Fault::Stopped),
    };
    match found == wanted {
        true => Ok(()),
        false => Err(Fault::Differs { kind, found: found.clone(), wanted: wanted.clone() }),
    }
}

/// Writes down what is read.
struct Tee<R, W> {
    input: R,
    output: W,
}

impl<R: std::io::Read, W: std::io::Write> std::io::Read for Tee<R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.input.read(buffer)?;
        self.output.write_all(buffer.get(..n).unwrap_or_default())?;
        Ok(n)
    }
}
