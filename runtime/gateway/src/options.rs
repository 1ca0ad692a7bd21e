//! What a master is started with, and why it could not be.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use access::Clock;
use store::{Answer, EmbeddedStore, Store, StoreError};
use thiserror::Error;
use tls::Tls;

/// What a master is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the cluster's state is.
    pub store: Source,
    /// The directory of artifacts.
    pub artifacts: PathBuf,
    /// `host:port` that clients, agents and other masters reach this master at; its name in elections.
    pub advertised: String,
    /// `host:port` of all masters, this one among them: each upload of an artifact is kept by most of them. None where this is the
    /// only one.
    pub masters: Vec<String>,
    /// This master's certificate. With it everybody logs in, and agents are admitted; without it nobody does, and it listens on
    /// loopback alone.
    pub tls: Option<Tls>,
    /// By which is told whether a token still holds.
    pub clock: Clock,
    /// Of the master.
    pub master: master::Options,
    /// Of the services framework.
    pub services: services::Options,
    /// Of packages.
    pub packages: packages::Options,
    /// Where the key of secrets is.
    pub secrets_key: secrets::KeyFile,
}

impl Options {
    /// For a cluster on one machine, with its state in `dir`, reached at `address`.
    #[must_use]
    pub fn one_machine(dir: &Path, address: SocketAddr, http: reqwest::Client) -> Self {
        let mut options = Self::new("up", dir, address.to_string(), http);
        options.secrets_key = secrets::KeyFile::OrMade(dir.join("secrets.key"));
        options
    }

    /// For the one master of this cluster, with its state in `dir`, reached at `advertised` (`host:port`). `http` goes to agents.
    #[must_use]
    pub fn new(cluster: &str, dir: &Path, advertised: String, http: reqwest::Client) -> Self {
        Self {
            store: Source::embedded(dir),
            artifacts: dir.join("artifacts"),
            packages: packages::Options { http: http.clone() },
            secrets_key: secrets::KeyFile::None,
            master: master::Options::new(cluster, &advertised, http),
            services: services::Options::new(&advertised),
            advertised,
            masters: Vec::new(),
            tls: None,
            clock: Clock::default(),
        }
    }

    /// The state is in a store that several masters share.
    pub fn share(&mut self, store: Arc<dyn Shared>) {
        self.store = Source::Shared(store);
        self.services.high_availability = true;
    }

    /// Tasks may have what is in these directories of agents' hosts; `links_only` where agents have no root.
    pub fn host_paths(&mut self, allowed: Vec<PathBuf>, links_only: bool) {
        self.services.host_paths = services::HostPaths { allowed, links_only };
    }
}

/// Where the cluster's state is.
#[derive(Debug, Clone)]
pub enum Source {
    /// In a file of this master, which is the only one.
    Embedded {
        /// Its directory.
        dir: PathBuf,
        /// How it is opened.
        options: store::Options,
    },
    /// In a store that several masters share.
    Shared(Arc<dyn Shared>),
}

/// Opens a store that several masters share, again after every reign: each opening is a candidate of its own.
pub trait Shared: std::fmt::Debug + Send + Sync {
    /// Opens it. One that cannot be reached now may be later: it is tried again for ever.
    ///
    /// # Errors
    /// Whatever is in the way.
    fn open(&self) -> Answer<'_, Arc<dyn Store>>;
}

impl Source {
    /// In the state's directory `dir` of a master.
    #[must_use]
    pub fn embedded(dir: &Path) -> Self {
        Self::Embedded { dir: dir.join("store"), options: store::Options::default() }
    }

    /// Whether others may lead.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self, Self::Shared(_))
    }

    pub(crate) async fn open(&self) -> Result<Arc<dyn Store>, StoreError> {
        match self {
            Self::Embedded { dir, options } => Ok(Arc::new(EmbeddedStore::open(dir, options.clone()).await?)),
            Self::Shared(shared) => shared.open().await,
        }
    }
}

/// Why a master could not be started or went down.
#[derive(Debug, Error)]
pub enum GatewayError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The port's address is not told.
    #[error("the port's own address cannot be told")]
    Address(#[source] std::io::Error),
    /// The directory of artifacts.
    #[error("{}: cannot keep artifacts", path.display())]
    Artifacts {
        /// The directory.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The master.
    #[error("the master could not start")]
    Master(#[from] master::MasterError),
    /// The services framework.
    #[error("the services could not start")]
    Services(#[from] services::ServicesError),
    /// Repositories and what was uploaded for packages.
    #[error("what is known of packages could not be read")]
    Packages(#[from] packages::RecordError),
    /// Secrets.
    #[error("what is known of secrets could not be read")]
    Secrets(#[from] store::KeyError),
    /// Users, tokens and admissions.
    #[error("what is known of users could not be read")]
    Access(#[from] access::AccessError),
    /// The certificate.
    #[error("TLS cannot be set up")]
    Tls(#[from] tls::TlsError),
    /// Requests cannot be passed on.
    #[error("the way to other masters cannot be set up")]
    Proxy(#[source] reqwest::Error),
    /// What is in the store is not whole yet.
    #[error(
        "the state is still being copied into this store by the master that has it in a file; it leads when that is done"
    )]
    Importing,
    /// Without a certificate it listens on loopback alone.
    #[error(
        "{address} is reached by others, and without a certificate there is no login: give the master one, or let it listen on 127.0.0.1"
    )]
    Exposed {
        /// Where it was to listen.
        address: SocketAddr,
    },
}
