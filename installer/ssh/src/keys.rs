//! Private key files: each is read and decrypted once, for all hosts.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use russh::keys::{Error, PrivateKey, PublicKey, decode_secret_key};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{OnceCell, Semaphore};

/// How often a person may mistype a passphrase before nobody is asked any more.
const MAX_WRONG: u32 = 3;
/// More than this is no key.
const MAX_BYTES: u64 = 1 << 20;

/// Who is asked for passphrases. One question at a time, and each key at most once but for mistakes.
pub trait Prompt: Send + Sync {
    /// The passphrase of a key, or nothing when there is nobody to ask or no answer. `attempt` counts from 1.
    fn passphrase<'a>(&'a self, path: &'a Path, attempt: u32) -> BoxFuture<'a, Option<SecretString>>;
}

/// What a file turned out to be.
#[derive(Debug, Clone)]
pub(crate) enum Loaded {
    Key(Arc<PrivateKey>),
    Missing,
    /// It stays encrypted, or it is no key.
    Unusable(String),
}

pub(crate) struct Keys {
    prompt: Option<Arc<dyn Prompt>>,
    loaded: Mutex<HashMap<PathBuf, Arc<OnceCell<Loaded>>>>,
    /// One question at a time.
    asking: Semaphore,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    /// Those that opened a key: people use one for several.
    passphrases: Vec<SecretString>,
    wrong: u32,
}

impl Keys {
    pub(crate) fn new(prompt: Option<Arc<dyn Prompt>>) -> Self {
        Self { prompt, loaded: Mutex::default(), asking: Semaphore::new(1), book: Mutex::default() }
    }

    /// The key in a file; whoever comes while it is being decrypted waits for that.
    pub(crate) async fn load(&self, path: &Path) -> Loaded {
        let cell = {
            let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(loaded.entry(path.to_owned()).or_default())
        };
        cell.get_or_init(|| self.open(path)).await.clone()
    }

    /// What a file, or the `.pub` file beside it, shows without a passphrase.
    pub(crate) async fn look(&self, path: &Path) -> Option<PublicKey> {
        let inside =
            read(path).await.ok().and_then(|text| PrivateKey::from_openssh(text.expose_secret()).ok());
        if let Some(key) = inside {
            return Some(key.public_key().clone());
        }
        let mut beside = path.as_os_str().to_owned();
        beside.push(".pub");
        let text = read(Path::new(&beside)).await.ok()?;
        PublicKey::from_openssh(text.expose_secret().trim()).ok()
    }

    async fn open(&self, path: &Path) -> Loaded {
        let text = match read(path).await {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Loaded::Missing,
            Err(error) => return Loaded::Unusable(format!("cannot be read: {error}")),
        };
        match decode(&text, None).await {
            Ok(key) => Loaded::Key(Arc::new(key)),
            Err(error) if is_encrypted(&text, &error) => self.unlock(path, &text).await,
            Err(error) => Loaded::Unusable(format!("is no private key that can be used: {error}")),
        }
    }

    async fn unlock(&self, path: &Path, text: &SecretString) -> Loaded {
        let locked = |reason: &str| Loaded::Unusable(format!("is encrypted, and {reason}"));
        // Held while a person thinks: that is what it is for. It is never closed.
        let Ok(_turn) = self.asking.acquire().await else { return locked("nobody can be asked") };
        for passphrase in self.known_passphrases() {
            if let Ok(key) = decode(text, Some(&passphrase)).await {
                return Loaded::Key(Arc::new(key));
            }
        }
        let Some(prompt) = &self.prompt else { return locked("there is nobody to ask for its passphrase") };
        for attempt in 1.. {
            if self.wrong() >= MAX_WRONG {
                return locked("its passphrase was wrong three times");
            }
            let Some(passphrase) = prompt.passphrase(path, attempt).await else {
                return locked("no passphrase was given");
            };
            match decode(text, Some(&passphrase)).await {
                Ok(key) => {
                    let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
                    book.passphrases.push(passphrase);
                    return Loaded::Key(Arc::new(key));
                }
                Err(_) => self.book.lock().unwrap_or_else(PoisonError::into_inner).wrong += 1,
            }
        }
        locked("its passphrase was wrong")
    }

    fn known_passphrases(&self) -> Vec<SecretString> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner).passphrases.clone()
    }

    fn wrong(&self) -> u32 {
        self.book.lock().unwrap_or_else(PoisonError::into_inner).wrong
    }
}

async fn read(path: &Path) -> std::io::Result<SecretString> {
    let path = path.to_owned();
    let work = tokio::task::spawn_blocking(move || {
        if std::fs::metadata(&path)?.len() > MAX_BYTES {
            return Err(std::io::Error::new(ErrorKind::FileTooLarge, "it is too large for a key"));
        }
        std::fs::read_to_string(&path).map(SecretString::from)
    });
    work.await.unwrap_or_else(|error| Err(std::io::Error::other(error)))
}

/// A passphrase is stretched for as long as its owner chose: not on a thread that serves connections.
async fn decode(text: &SecretString, passphrase: Option<&SecretString>) -> Result<PrivateKey, Error> {
    let (text, passphrase) = (text.clone(), passphrase.cloned());
    let work = tokio::task::spawn_blocking(move || {
        decode_secret_key(text.expose_secret(), passphrase.as_ref().map(ExposeSecret::expose_secret))
    });
    work.await.unwrap_or(Err(Error::CouldNotReadKey))
}

fn is_encrypted(text: &SecretString, error: &Error) -> bool {
    let text = text.expose_secret();
    matches!(error, Error::KeyIsEncrypted)
        || text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----")
        || text.contains("Proc-Type: 4,ENCRYPTED")
}
