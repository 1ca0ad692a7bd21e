//! The shell: one task changes the book, by commits; everyone else reads it without waiting.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use secrets::Secrets;
use store::{Leadership, Snapshot, Store, StoreError};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::book::{Book, Change, ChangeError, RecordError};
use crate::marathon::Marathon;
use crate::sources::{Shelf, Sources};

/// So many changes may wait.
const INBOX: usize = 64;

/// What it is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Fetches the indexes of repositories.
    pub http: reqwest::Client,
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotChanged {
    #[error(transparent)]
    Change(#[from] ChangeError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("it cannot be stored: {0}")]
    Store(#[from] StoreError),
    #[error("this master leads no more")]
    Ended,
}

struct Order {
    change: Change,
    answer: oneshot::Sender<Result<Book, NotChanged>>,
}

/// Packages of a cluster, as long as one leadership lasts. Clones are the same.
#[derive(Clone)]
pub struct Packages(Arc<Inner>);

struct Inner {
    book: watch::Receiver<Book>,
    orders: mpsc::Sender<Order>,
    stop: watch::Sender<bool>,
    sources: Sources,
    marathon: Marathon,
    secrets: Secrets,
}

impl fmt::Debug for Packages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Packages")
    }
}

impl Packages {
    /// Reads what the store has, and starts the task that changes it with this leadership. `services` answers Marathon's interface,
    /// `artifacts` has files by their sums, `secrets` keeps the secret options of what is installed. The task ends when it is told to stop or all clones are gone, and with an error when the
    /// store failed or the leadership is over.
    ///
    /// # Errors
    /// When a record is damaged or of a later version.
    pub fn start(
        options: Options,
        store: Arc<dyn Store>,
        leadership: Leadership,
        snapshot: &Snapshot,
        services: Router,
        artifacts: Router,
        secrets: Secrets,
    ) -> Result<(Self, JoinHandle<Result<(), StoreError>>), RecordError> {
        let (books, book) = watch::channel(Book::load(snapshot)?);
        let (orders, inbox) = mpsc::channel(INBOX);
        let (stop, stopped) = watch::channel(false);
        let writer = Writer { store, leadership, books };
        let ended = tokio::spawn(writer.run(inbox, stopped));
        let sources = Sources::new(options.http, artifacts);
        let marathon = Marathon(services);
        let inner = Inner { book, orders, stop, sources, marathon, secrets };
        Ok((Self(Arc::new(inner)), ended))
    }

    /// Ends the task after the change that it is at.
    pub fn stop(&self) {
        self.0.stop.send_replace(true);
    }

    /// All that is stored, at this moment.
    #[must_use]
    pub fn book(&self) -> Book {
        self.0.book.borrow().clone()
    }

    pub(crate) fn sources(&self) -> &Sources {
        &self.0.sources
    }

    pub(crate) fn marathon(&self) -> &Marathon {
        &self.0.marathon
    }

    pub(crate) fn secrets(&self) -> &Secrets {
        &self.0.secrets
    }

    /// All packages there are to choose from.
    pub(crate) async fn shelf(&self) -> Shelf {
        let repositories = self.book().repositories().to_vec();
        self.0.sources.shelf(&repositories).await
    }

    /// Makes a change, and answers when it is stored. A caller who gives up does not stop it.
    pub(crate) async fn change(&self, change: Change) -> Result<Book, NotChanged> {
        let (answer, answered) = oneshot::channel();
        self.0.orders.send(Order { change, answer }).await.map_err(|_gone| NotChanged::Ended)?;
        answered.await.map_err(|_gone| NotChanged::Ended)?
    }
}

struct Writer {
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
            let Some(Order { change, answer }) = order else { return Ok(()) };
            let done = self.make(change).await;
            let over = match &done {
                Err(NotChanged::Store(error)) if is_over(error) => Some(error.clone()),
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
    async fn make(&self, change: Change) -> Result<Book, NotChanged> {
        let before = self.books.borrow().clone();
        let (book, batch) = before.plan(change)??;
        self.store.commit(&self.leadership, batch).await?;
        self.books.send_replace(book.clone());
        Ok(book)
    }
}

/// Whether nothing can be written with this leadership and this store any more.
fn is_over(error: &StoreError) -> bool {
    error.must_reopen() || matches!(error, StoreError::NotLeading { .. } | StoreError::Undecided { .. })
}
