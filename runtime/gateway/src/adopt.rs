//! From one master to several: what the one had in a file of its own is copied into the store that they share, once, before it
//! stands for election there.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use store::{Answer, EmbeddedStore, Store, StoreError};

use crate::options::Shared;
use crate::reign::close;

/// The file of an embedded store, in its directory.
const FILE: &str = "store.redb";
/// What it is called after it was copied: kept, and not looked at any more.
const COPIED: &str = "store.redb.copied";

/// A shared store into which this master's own file, if it has one, is copied before anything else.
#[derive(Debug)]
pub struct Adopting {
    dir: PathBuf,
    options: store::Options,
    name: String,
    shared: Arc<dyn Shared>,
}

impl Adopting {
    /// From the state's directory `dir` of the master that is reached at `name`.
    #[must_use]
    pub fn new(dir: &Path, name: impl Into<String>, shared: Arc<dyn Shared>) -> Self {
        Self { dir: dir.join("store"), options: store::Options::default(), name: name.into(), shared }
    }

    /// A copy that was cut off is finished by the next one; whoever leads meanwhile sees that it is not, and resigns.
    async fn adopt(&self, to: &dyn Store) -> Result<(), StoreError> {
        let file = self.dir.join(FILE);
        let failed = |action: &'static str| {
            let path = file.clone();
            move |source: std::io::Error| StoreError::Open { path, action, source: Arc::new(source) }
        };
        if !tokio::fs::try_exists(&file).await.map_err(failed("look for the file"))? {
            return Ok(());
        }
        tracing::info!(file = %file.display(), "copying this master's own state into the store that several masters share");
        let from = EmbeddedStore::open(&self.dir, self.options.clone()).await?;
        let copied = store::copy(&from, to, &self.name).await;
        let closed = close(&from).await;
        let stamp = copied?;
        closed?;
        tokio::fs::rename(&file, self.dir.join(COPIED))
            .await
            .map_err(failed("rename the file that was copied"))?;
        tracing::info!(epoch = %stamp.epoch, kept = COPIED, "all of it is copied");
        Ok(())
    }
}

impl Shared for Adopting {
    fn open(&self) -> Answer<'_, Arc<dyn Store>> {
        Box::pin(async move {
            let store = self.shared.open().await?;
            match self.adopt(store.as_ref()).await {
                Ok(()) => Ok(store),
                Err(error) => {
                    let _ = close(store.as_ref()).await;
                    Err(error)
                }
            }
        })
    }
}
