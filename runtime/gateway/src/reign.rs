//! All that stands on one leadership: it begins with what the store has, and ends as a whole.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use access::Access;
use axum::Router;
use master::Master;
use packages::Packages;
use secrecy::ExposeSecret as _;
use secrets::Secrets;
use services::Services;
use store::{Candidate, LeaderView, Leadership, Prefix, Store, StoreError};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::options::{GatewayError, Options};
use crate::watch::Watch;

/// A part that was told to end and has not is ended.
const ENDED_WITHIN: Duration = Duration::from_secs(5);
/// A store that does not take the leadership back in time lets it run out.
const RESIGNED_WITHIN: Duration = Duration::from_secs(2);
/// A store that does not close in time is left to itself.
const CLOSED_WITHIN: Duration = Duration::from_secs(5);
/// From the answer that the leader steps down to its doing so.
const BEFORE_ABDICATION: Duration = Duration::from_millis(500);

/// All that stands on one leadership.
pub(crate) struct Reign {
    lease: Lease,
    master: Master,
    services: Services,
    /// Nothing once it has ended.
    master_ended: Option<JoinHandle<Result<(), master::MasterError>>>,
    services_ended: Option<JoinHandle<Result<(), services::ServicesError>>>,
    /// Where there is a login.
    access: Option<Access>,
    access_ended: Option<JoinHandle<Result<(), StoreError>>>,
    packages: Packages,
    packages_ended: Option<JoinHandle<Result<(), StoreError>>>,
    secrets: Secrets,
    secrets_ended: Option<JoinHandle<Result<(), StoreError>>>,
    watch: Watch,
}

/// Admissions, as the master asks for them.
#[derive(Debug)]
struct Admitted(Access);

impl master::Admissions for Admitted {
    fn admission(&self, name: &str) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        let admission = self.0.admitted(name)?;
        Some(Box::pin(self.0.dismissed(&admission)))
    }
}

/// Secrets, as the master asks for them.
#[derive(Debug)]
struct Revealed(Secrets);

impl master::Secrets for Revealed {
    fn reveal(&self, path: &str) -> Result<api::Secret, String> {
        let value = self.0.reveal(path).map_err(|error| error.to_string())?;
        Ok(api::Secret::from(value.expose_secret()))
    }
}

/// The leadership, and the store that says until when it certainly holds.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    store: Arc<dyn Store>,
    leadership: Leadership,
}

impl Lease {
    /// Since when another one may lead; nothing as long as that cannot be.
    pub(crate) fn lapsed(&self, now: Instant) -> Option<Instant> {
        self.store.valid_until(&self.leadership).filter(|until| *until <= now)
    }

    /// Until another one may lead: at once after this process stood still for too long.
    async fn lapses(&self) {
        let mut views = self.store.observe_leader();
        let mut observed = true;
        loop {
            let Some(until) = self.store.valid_until(&self.leadership) else {
                return std::future::pending().await;
            };
            if until <= Instant::now() {
                return;
            }
            // A lease that is known to be lost ends before its time.
            tokio::select! {
                () = tokio::time::sleep_until(until.into()) => {}
                changed = views.changed(), if observed => observed = changed.is_ok(),
            }
        }
    }

    /// Until the store says that another one leads, or nobody, after it has said that this one does. Who.
    async fn is_taken(&self) -> String {
        let (mut views, own) = (self.store.observe_leader(), self.leadership.epoch());
        let mut seen = false;
        loop {
            match &*views.borrow_and_update() {
                LeaderView::Led(leader) if leader.epoch > own => return leader.name.clone(),
                LeaderView::Led(leader) => seen |= leader.epoch == own,
                LeaderView::Vacant if seen => return "nobody".to_owned(),
                LeaderView::Vacant | LeaderView::Unknown => {}
            }
            if views.changed().await.is_err() {
                // The end of the store shows elsewhere.
                return std::future::pending().await;
            }
        }
    }
}

/// What requests need of it.
#[derive(Clone)]
pub(crate) struct Rooms {
    pub(crate) link: Router,
    pub(crate) master: Router,
    pub(crate) services: Router,
    pub(crate) packages: Router,
    pub(crate) secrets: Router,
    pub(crate) watch: Router,
    pub(crate) of_master: Master,
    pub(crate) of_services: Services,
    /// Where there is a login.
    pub(crate) access: Option<Access>,
    /// Nothing when it is over.
    pub(crate) lease: Option<Lease>,
}

/// Why a reign is over.
pub(crate) enum Over {
    /// A part of it ended, as it does when the store fails it.
    Failed(String),
    /// Another one may lead since.
    Lapsed,
    /// Another one leads, or nobody.
    Taken(String),
    /// A client asked the leader to step down.
    Abdicated,
}

impl std::fmt::Display for Over {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Failed(why) => f.write_str(why),
            Self::Lapsed => f.write_str("the lease ran out: the store did not renew it in time"),
            Self::Taken(by) => write!(f, "the leadership was lost: now {by} leads"),
            Self::Abdicated => f.write_str("a client asked the leader to step down"),
        }
    }
}

impl Reign {
    /// Begins, as soon as nobody else leads. `won` is called then.
    pub(crate) async fn begin(
        store: Arc<dyn Store>,
        options: &Options,
        artifacts: &Router,
        won: impl FnOnce(),
    ) -> Result<Reign, GatewayError> {
        let leadership = store.campaign(&Candidate::new(&options.advertised)).await?;
        won();
        let begun = Reign::upon(Arc::clone(&store), leadership.clone(), options, artifacts).await;
        if begun.is_err() && options.store.is_shared() {
            // So that others may try.
            resign(store.as_ref(), &leadership).await;
        }
        begun
    }

    async fn upon(
        store: Arc<dyn Store>,
        leadership: Leadership,
        options: &Options,
        artifacts: &Router,
    ) -> Result<Reign, GatewayError> {
        let snapshot = store.load(&Prefix::all()).await?;
        if store::import_pending(&snapshot) {
            return Err(GatewayError::Importing);
        }
        store::large::collect(store.as_ref(), &leadership, &snapshot).await?;
        let (access, access_ended) = match &options.tls {
            None => (None, None),
            Some(tls) => {
                let mut with = access::Options::new(tls.own().cluster());
                with.clock = options.clock.clone();
                let (access, ended) = Access::start(with, Arc::clone(&store), leadership.clone(), &snapshot)?;
                (Some(access), Some(ended))
            }
        };
        let of_secrets = secrets::Options { key: options.secrets_key.clone(), clock: options.clock.clone() };
        let (secrets, secrets_ended) =
            Secrets::start(of_secrets, Arc::clone(&store), leadership.clone(), &snapshot)?;
        let mut of_master = options.master.clone();
        of_master.secrets = Some(Arc::new(Revealed(secrets.clone())));
        of_master.certificate.clone_from(&options.tls);
        if let Some(access) = &access {
            of_master.agents = master::Agents::Admitted(Arc::new(Admitted(access.clone())));
        }
        let (master, master_ended) =
            Master::start(of_master, Arc::clone(&store), leadership.clone(), &snapshot).await?;
        let started = Services::start(
            options.services.clone(),
            Arc::clone(&store),
            leadership.clone(),
            &snapshot,
            Arc::new(master.clone()),
        );
        match started {
            Ok((services, services_ended)) => {
                let of_packages = options.packages.clone();
                let begun = Packages::start(
                    of_packages,
                    Arc::clone(&store),
                    leadership.clone(),
                    &snapshot,
                    services.router(),
                    artifacts.clone(),
                    secrets.clone(),
                );
                let (packages, packages_ended) = match begun {
                    Ok(begun) => begun,
                    Err(error) => {
                        services.stop().await;
                        stop(Some(services_ended)).await;
                        master.stop().await;
                        stop(Some(master_ended)).await;
                        return Err(error.into());
                    }
                };
                Ok(Reign {
                    watch: Watch::new(master.clone(), services.clone(), options),
                    lease: Lease { store, leadership },
                    master,
                    services,
                    master_ended: Some(master_ended),
                    services_ended: Some(services_ended),
                    access,
                    access_ended,
                    packages,
                    packages_ended: Some(packages_ended),
                    secrets,
                    secrets_ended: Some(secrets_ended),
                })
            }
            Err(error) => {
                master.stop().await;
                stop(Some(master_ended)).await;
                Err(error.into())
            }
        }
    }

    pub(crate) fn rooms(&self) -> Rooms {
        Rooms {
            link: self.master.link(),
            master: self.master.router(),
            services: self.services.router(),
            packages: self.packages.router(),
            secrets: self.secrets.router(),
            watch: self.watch.router(),
            of_master: self.master.clone(),
            of_services: self.services.clone(),
            access: self.access.clone(),
            lease: Some(self.lease.clone()),
        }
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.lease.leadership.epoch().get()
    }

    /// What the store says of who leads.
    pub(crate) fn leaders(&self) -> watch::Receiver<LeaderView> {
        self.lease.store.observe_leader()
    }

    /// Since when another one may lead: now, when nothing earlier is known.
    pub(crate) fn over_since(&self) -> Instant {
        let now = Instant::now();
        self.lease.lapsed(now).unwrap_or(now)
    }

    /// From now on nothing is launched; see [`Services::freeze`].
    pub(crate) async fn freeze(&self) {
        self.services.freeze().await;
    }

    /// Until master or services end, which they do when the store fails them, until the leadership is lost or may be, or until a
    /// client wants another leader.
    pub(crate) async fn over(&mut self) -> Over {
        let abdicated = async {
            self.services.abdicated().await;
            // Time for the answer.
            tokio::time::sleep(BEFORE_ABDICATION).await;
        };
        tokio::select! {
            ended = over(&mut self.master_ended) => Over::Failed(format!("the master ended: {ended}")),
            ended = over(&mut self.services_ended) => Over::Failed(format!("the services ended: {ended}")),
            ended = over(&mut self.access_ended) => Over::Failed(format!("the record of users ended: {ended}")),
            ended = over(&mut self.packages_ended) => Over::Failed(format!("the record of packages ended: {ended}")),
            ended = over(&mut self.secrets_ended) => Over::Failed(format!("the record of secrets ended: {ended}")),
            () = self.lease.lapses() => Over::Lapsed,
            by = self.lease.is_taken() => Over::Taken(by),
            () = abdicated => Over::Abdicated,
        }
    }

    /// Ends everything that could write, gives the leadership back where others wait for it, and closes the store.
    pub(crate) async fn end(self, shared: bool) -> Result<(), StoreError> {
        // All let go of the store before it is closed. One that waits for the store holds the others up for its own time alone.
        let services = async {
            within(self.services.stop()).await;
            stop(self.services_ended).await;
        };
        let master = async {
            within(self.master.stop()).await;
            stop(self.master_ended).await;
        };
        let access = async {
            if let Some(access) = &self.access {
                access.stop();
            }
            stop(self.access_ended).await;
        };
        let packages = async {
            self.packages.stop();
            stop(self.packages_ended).await;
        };
        let secrets = async {
            self.secrets.stop();
            stop(self.secrets_ended).await;
        };
        tokio::join!(services, master, access, packages, secrets);
        let Lease { store, leadership } = self.lease;
        if shared {
            resign(store.as_ref(), &leadership).await;
        }
        close(store.as_ref()).await
    }
}

/// Gives the leadership back, so that the next one need not wait for the end of the lease.
async fn resign(store: &dyn Store, leadership: &Leadership) {
    match tokio::time::timeout(RESIGNED_WITHIN, store.resign(leadership)).await {
        Ok(Ok(())) => tracing::info!(epoch = %leadership.epoch(), "the leadership was given back"),
        // It had ended already.
        Ok(Err(StoreError::NotLeading { .. })) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the leadership was not given back, and runs out"),
        Err(_elapsed) => tracing::warn!("the store did not take the leadership back in time; it runs out"),
    }
}

/// Lets go of the store.
pub(crate) async fn close(store: &dyn Store) -> Result<(), StoreError> {
    match tokio::time::timeout(CLOSED_WITHIN, store.close()).await {
        Ok(closed) => closed,
        Err(_elapsed) => {
            tracing::warn!("the store did not close in time");
            Ok(())
        }
    }
}

async fn within(telling: impl Future<Output = ()>) {
    // One that does not hear is ended without having been told.
    let _ = tokio::time::timeout(ENDED_WITHIN, telling).await;
}

/// Waits for a task that has not been seen to end; for ever for one that has.
async fn over<E: std::error::Error>(task: &mut Option<JoinHandle<Result<(), E>>>) -> String {
    let Some(handle) = task else { return std::future::pending().await };
    let ended = handle.await;
    *task = None;
    why(ended)
}

/// Waits for a task that was told to end, and ends it when it does not.
async fn stop<T>(task: Option<JoinHandle<T>>) {
    if let Some(mut task) = task
        && tokio::time::timeout(ENDED_WITHIN, &mut task).await.is_err()
    {
        task.abort();
        let _ = task.await;
    }
}

fn why<E: std::error::Error>(ended: Result<Result<(), E>, tokio::task::JoinError>) -> String {
    match ended {
        Ok(Ok(())) => "without an error".to_owned(),
        Ok(Err(error)) => chain(&error),
        Err(panicked) => panicked.to_string(),
    }
}

/// An error with all of its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
