//! The shell: one task changes the book, by commits; everyone else reads it without waiting.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use api::marathon::Timestamp;
use axum::http::{HeaderMap, Method};
use identity::Identity;
use store::{Leadership, Snapshot, Store, StoreError};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::book::{Admission, Book};
use crate::change::{Change, ChangeError, Outcome, Plan, plan};
use crate::enter::{Checker, authorize};
use crate::ground::Ground;
use crate::password::{Cost, PasswordError, PasswordHash};
use crate::record::RecordError;
use crate::refusal::Refusal;
use crate::role::{Caller, Right};
use crate::secret::RandomError;
use crate::table::right_of;

/// A clock may be set meanwhile: it is looked at so often at least.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// So many changes may wait.
const INBOX: usize = 64;

/// Tells the date.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// Whatever `now` says.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The date.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

/// This machine's.
impl Default for Clock {
    fn default() -> Self {
        Self::new(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
        })
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// What it is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// The cluster's name: certificates of others are not let in.
    pub cluster: String,
    /// What hashing a password costs.
    pub cost: Cost,
    /// By which its own routes tell the date.
    pub clock: Clock,
}

impl Options {
    /// For the cluster of this name.
    pub fn new(cluster: impl Into<String>) -> Self {
        Self { cluster: cluster.into(), cost: Cost::default(), clock: Clock::default() }
    }
}

/// Why it could not be started.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AccessError {
    /// What the store has cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// No random numbers.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The costs of a password are none.
    #[error(transparent)]
    Password(#[from] PasswordError),
}

/// A change, on its way to the task that makes it.
struct Order {
    change: Change,
    by: String,
    now: Timestamp,
    answer: oneshot::Sender<Result<(Outcome, Book), ChangeError>>,
}

/// Users, tokens and admissions of a cluster, as long as one leadership lasts. Clones are the same.
#[derive(Debug, Clone)]
pub struct Access {
    book: watch::Receiver<Book>,
    orders: mpsc::Sender<Order>,
    stop: Arc<watch::Sender<bool>>,
    pub(crate) checker: Arc<Checker>,
    pub(crate) cost: Cost,
    pub(crate) clock: Clock,
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Order").field("change", &self.change).field("by", &self.by).finish_non_exhaustive()
    }
}

impl Access {
    /// Reads what the store has, and starts the task that changes it with this leadership. The task ends when it is told to stop
    /// or all clones are gone, and with an error when the store failed or the leadership is over: everything is to be built
    /// again from the store then.
    ///
    /// # Errors
    /// When a record is damaged or of a later version, or the machine gives no random numbers.
    pub fn start(
        options: Options,
        store: Arc<dyn Store>,
        leadership: Leadership,
        snapshot: &Snapshot,
    ) -> Result<(Self, JoinHandle<Result<(), StoreError>>), AccessError> {
        let book = Book::load(snapshot)?;
        let Options { cluster, cost, clock } = options;
        let checker = Checker::new(cluster.clone(), PasswordHash::of_nobody(cost)?)?;
        let (books, seen) = watch::channel(book);
        let (orders, inbox) = mpsc::channel(INBOX);
        let (stop, stopped) = watch::channel(false);
        let writer = Writer { cluster, store, leadership, books };
        let ended = tokio::spawn(writer.run(inbox, stopped));
        let (stop, checker) = (Arc::new(stop), Arc::new(checker));
        Ok((Self { book: seen, orders, stop, checker, cost, clock }, ended))
    }

    /// Ends the task after the change that it is at.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// All users, tokens and admissions at this moment.
    #[must_use]
    pub fn book(&self) -> Book {
        self.book.borrow().clone()
    }

    /// The book, and each one after it.
    #[must_use]
    pub fn books(&self) -> watch::Receiver<Book> {
        self.book.clone()
    }

    /// The admission of the agent of this name.
    #[must_use]
    pub fn admitted(&self, name: &str) -> Option<Admission> {
        self.book.borrow().admission(name).cloned()
    }

    /// Ends when this very admission is no more, also when another was given at once; and when this `Access` is stopped. Whoever
    /// holds an agent's stream closes it then.
    pub fn dismissed(&self, admission: &Admission) -> impl Future<Output = ()> + Send + use<> {
        let (mut books, admission) = (self.book.clone(), admission.clone());
        async move {
            let gone = |book: &Book| book.admission(&admission.name) != Some(&admission);
            // An error says that the task has ended.
            let _ = books.wait_for(gone).await;
        }
    }

    /// Ends when this caller, who was let in, would not be again: its token was revoked or expired, its password is another one, its
    /// user is gone, or its admission; and when this `Access` is stopped. Whoever answers for long ends it then.
    pub fn void(&self, caller: &Caller) -> impl Future<Output = ()> + Send + use<> {
        let (mut books, clock) = (self.book.clone(), self.clock.clone());
        let ground = Ground::of(caller, &self.book.borrow());
        async move {
            loop {
                let (now, until) = (clock.now(), {
                    let book = books.borrow_and_update();
                    if !ground.holds(&book, clock.now()) {
                        return;
                    }
                    ground.until(&book)
                });
                let left = until.map_or(LOOK_AGAIN, |until| {
                    let millis = u64::try_from(until.as_millis() - now.as_millis()).unwrap_or_default();
                    Duration::from_millis(millis).min(LOOK_AGAIN)
                });
                tokio::select! {
                    changed = books.changed() => if changed.is_err() {
                        // The task has ended.
                        return;
                    },
                    () = tokio::time::sleep(left), if until.is_some() => {}
                }
            }
        }
    }

    /// Who sends a request with these headers over a connection with this certificate. Headers count more than the certificate, and
    /// what is wrong in them is not made up for by it. Without either it is [`Caller::Anyone`]. Wrong passwords are counted by `from`.
    ///
    /// # Errors
    /// 401 for what is shown and does not hold, 403 for another cluster's certificate, 429 after too many wrong passwords, 503 when too
    /// many are checked at once.
    pub async fn authenticate(
        &self,
        headers: &HeaderMap,
        peer: Option<&Identity>,
        from: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<Caller, Refusal> {
        let book = self.book();
        self.checker.authenticate(&book, headers, peer, from, now).await
    }

    /// Whether the caller may send this request; `path` as the rooms see it. See [`authorize`].
    ///
    /// # Errors
    /// As [`authorize`] has them.
    pub fn authorize(&self, caller: &Caller, method: &Method, path: &str) -> Result<(), Refusal> {
        authorize(caller, method, path)
    }

    /// Both at once, and what the door calls. Open routes ignore credentials, wrong ones too: who asks for health with an old token
    /// is told it.
    ///
    /// # Errors
    /// As [`Access::authenticate`] and [`authorize`] have them.
    pub async fn enter(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        peer: Option<&Identity>,
        from: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<Caller, Refusal> {
        if right_of(method, path) == Some(Right::Open) {
            return Ok(Caller::Anyone);
        }
        let caller = self.authenticate(headers, peer, from, now).await?;
        authorize(&caller, method, path)?;
        Ok(caller)
    }

    /// Makes a change, and answers when it is stored. A caller who gives up does not stop it.
    pub(crate) async fn change(
        &self,
        change: Change,
        by: String,
        now: Timestamp,
    ) -> Result<(Outcome, Book), ChangeError> {
        let (answer, answered) = oneshot::channel();
        let order = Order { change, by, now, answer };
        self.orders.send(order).await.map_err(|_gone| ChangeError::Ended)?;
        answered.await.map_err(|_gone| ChangeError::Ended)?
    }
}

struct Writer {
    cluster: String,
    store: Arc<dyn Store>,
    leadership: Leadership,
    books: watch::Sender<Book>,
}

impl Writer {
    async fn run(
        self,
        mut inbox: mpsc::Receiver<Order>,
        mut stopped: watch::Receiver<bool>,
    ) -> Result<(), StoreError> {
        loop {
            let order = tokio::select! {
                order = inbox.recv() => order,
                _ = stopped.wait_for(|stop| *stop) => None,
            };
            let Some(Order { change, by, now, answer }) = order else { return Ok(()) };
            let done = self.make(change, &by, now).await;
            let over = match &done {
                Err(ChangeError::Store(error)) if is_over(error) => Some(error.clone()),
                _ => None,
            };
            // Whoever asked may have given up.
            let _ = answer.send(done);
            if let Some(error) = over {
                return Err(error);
            }
        }
    }

    /// Plans, commits, and only then lets others see it.
    async fn make(&self, change: Change, by: &str, now: Timestamp) -> Result<(Outcome, Book), ChangeError> {
        let before = self.books.borrow().clone();
        let what = format!("{change:?}");
        let Plan { book, batch, outcome } = plan(&before, &self.cluster, change, by, now)?;
        // Also when it changes nothing: only the leader may say so.
        self.store.commit(&self.leadership, batch).await?;
        self.books.send_replace(book.clone());
        if outcome != Outcome::Unchanged {
            tracing::info!(by, change = what, "who may do what has changed");
        }
        Ok((outcome, book))
    }
}

/// Whether nothing can be written with this leadership and this store any more.
fn is_over(error: &StoreError) -> bool {
    error.must_reopen() || matches!(error, StoreError::NotLeading { .. } | StoreError::Undecided { .. })
}
