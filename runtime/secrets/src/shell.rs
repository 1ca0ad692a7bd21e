//! The shell: one task changes the book, by commits; everyone else reads it without waiting.

use std::fmt;
use std::sync::Arc;

use access::Clock;
use secrecy::SecretString;
use store::{KeyError as PlaceError, Leadership, Snapshot, Store, StoreError};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::book::{Book, New, SecretError, Shown, line};
use crate::key::{Key, KeyFile};
use crate::path::SecretPath;

/// So many changes may wait.
const INBOX: usize = 64;

/// What they are started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the key is.
    pub key: KeyFile,
    /// By which changes are dated.
    pub clock: Clock,
}

enum Change {
    Put(Vec<New>),
    Remove(SecretPath),
    RemoveOf(String),
}

struct Order {
    change: Change,
    answer: oneshot::Sender<Result<Book, SecretError>>,
}

/// The cluster's secrets, as long as one leadership lasts. Clones are the same.
#[derive(Clone)]
pub struct Secrets(Arc<Inner>);

struct Inner {
    book: watch::Receiver<Book>,
    key: Result<Arc<Key>, String>,
    orders: mpsc::Sender<Order>,
    stop: watch::Sender<bool>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").field("key", &self.0.key).finish_non_exhaustive()
    }
}

impl Secrets {
    /// Reads what the store has and the key, and starts the task that makes changes with this leadership. Without the key, or with
    /// another one, only what needs it is refused. The task ends when it is told to stop or all clones are gone, and with an error
    /// when the store failed or the leadership is over.
    ///
    /// # Errors
    /// Never, as long as the place of secrets is a key of the store.
    pub fn start(
        options: Options,
        store: Arc<dyn Store>,
        leadership: Leadership,
        snapshot: &Snapshot,
    ) -> Result<(Self, JoinHandle<Result<(), StoreError>>), PlaceError> {
        let loaded = Book::load(snapshot)?;
        let key = options.key.open(!loaded.is_empty()).map(Arc::new).map_err(|error| line(&error));
        match &key {
            Ok(key) => {
                if let Some(error) = loaded.foreign(key) {
                    tracing::error!(%error, "this master has another key of secrets than they were sealed with");
                }
            }
            // A cluster without secrets needs none.
            Err(problem) if loaded.is_empty() => tracing::info!(problem, "there is no key of secrets"),
            Err(problem) => tracing::error!(problem, "there is no key of secrets, which services need"),
        }
        let (books, book) = watch::channel(loaded);
        let (orders, inbox) = mpsc::channel(INBOX);
        let (stop, stopped) = watch::channel(false);
        let writer = Writer { store, leadership, books, key: key.clone(), clock: options.clock };
        let ended = tokio::spawn(writer.run(inbox, stopped));
        Ok((Self(Arc::new(Inner { book, key, orders, stop })), ended))
    }

    /// Ends the task after the change that it is at.
    pub fn stop(&self) {
        self.0.stop.send_replace(true);
    }

    fn key(&self) -> Option<&Key> {
        self.0.key.as_deref().ok()
    }

    /// Why secrets cannot be used here; nothing when they can.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        match &self.0.key {
            Ok(key) => self.0.book.borrow().foreign(key).map(|error| error.to_string()),
            Err(problem) => Some(problem.clone()),
        }
    }

    /// What is told of all, by their paths.
    #[must_use]
    pub fn all(&self) -> Vec<Shown> {
        self.0.book.borrow().all(self.key())
    }

    /// What is told of one.
    ///
    /// # Errors
    /// When there is none.
    pub fn one(&self, path: &SecretPath) -> Result<Shown, SecretError> {
        self.0.book.borrow().one(path, self.key())
    }

    /// The value of a secret, for a launch.
    ///
    /// # Errors
    /// When there is none, or nobody can read it. No error has a value in it.
    pub fn reveal(&self, path: &str) -> Result<SecretString, SecretError> {
        let path: SecretPath = path.parse()?;
        let book = self.0.book.borrow();
        let key = self.0.key.as_ref().map_err(|problem| SecretError::NoKey(problem.clone()))?;
        book.reveal(&path, key)
    }

    /// Keeps values by their paths, all or none, and answers when they are stored; whether all are new. Those of a `package` go when
    /// it does.
    ///
    /// # Errors
    /// Why nothing is kept.
    pub async fn put(
        &self,
        values: Vec<(SecretPath, SecretString)>,
        by: &str,
        package: Option<&str>,
    ) -> Result<bool, SecretError> {
        let fresh = {
            let book = self.0.book.borrow();
            values.iter().all(|(path, _)| book.one(path, None).is_err())
        };
        let news = values.into_iter().map(|(path, value)| New {
            path,
            value,
            by: by.to_owned(),
            package: package.map(str::to_owned),
        });
        self.change(Change::Put(news.collect())).await?;
        Ok(fresh)
    }

    /// Forgets one.
    ///
    /// # Errors
    /// When there is none, or it cannot be stored.
    pub async fn remove(&self, path: SecretPath) -> Result<(), SecretError> {
        self.change(Change::Remove(path)).await.map(drop)
    }

    /// Forgets those of a package, which was removed.
    ///
    /// # Errors
    /// When it cannot be stored.
    pub async fn remove_of(&self, package: &str) -> Result<(), SecretError> {
        let left = |book: &Book| book.all(None).iter().any(|shown| shown.package.as_deref() == Some(package));
        let mut some = left(&self.0.book.borrow());
        while some {
            some = left(&self.change(Change::RemoveOf(package.to_owned())).await?);
        }
        Ok(())
    }

    /// Makes a change. A caller who gives up does not stop it.
    async fn change(&self, change: Change) -> Result<Book, SecretError> {
        let (answer, answered) = oneshot::channel();
        self.0.orders.send(Order { change, answer }).await.map_err(|_gone| SecretError::Ended)?;
        answered.await.map_err(|_gone| SecretError::Ended)?
    }
}

struct Writer {
    store: Arc<dyn Store>,
    leadership: Leadership,
    books: watch::Sender<Book>,
    key: Result<Arc<Key>, String>,
    clock: Clock,
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
                Err(SecretError::Store(error)) if is_over(error) => Some(error.clone()),
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
    async fn make(&self, change: Change) -> Result<Book, SecretError> {
        let before = self.books.borrow().clone();
        let (book, batch) = match change {
            Change::Put(news) => {
                let key = self.key.as_ref().map_err(|problem| SecretError::NoKey(problem.clone()))?;
                before.put(news, key, self.clock.now())?
            }
            Change::Remove(path) => before.remove(&path)?,
            Change::RemoveOf(package) => before.remove_of(&package)?,
        };
        self.store.commit(&self.leadership, batch).await?;
        self.books.send_replace(book.clone());
        Ok(book)
    }
}

/// Whether nothing can be written with this leadership and this store any more.
fn is_over(error: &StoreError) -> bool {
    error.must_reopen() || matches!(error, StoreError::NotLeading { .. } | StoreError::Undecided { .. })
}
