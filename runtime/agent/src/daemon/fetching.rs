//! What the daemon needs of those who fetch files and show sandboxes.

use std::fmt::Display;
use std::future::Future;
use std::path::Path;

use api::mesos::Uri;

use crate::user::User;

/// Brings a task's files into its sandbox.
pub trait Fetcher: Clone + Send + Sync + 'static {
    /// Says what is wrong, where, and what to do.
    type Error: Display + Send;

    /// Fetches all, as the user.
    fn fetch(
        &self,
        uris: &[Uri],
        sandbox: &Path,
        user: Option<&User>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Unpacks the root file system that an artifact is into an empty directory, with its owners.
    fn unpack_root(&self, address: &str, into: &Path)
    -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// Shows sandboxes by other names.
pub trait Attach: Clone + Send + Sync + 'static {
    /// From now on `virtual_path` is `real`.
    fn attach(&self, virtual_path: &str, real: &Path);
    /// No more.
    fn detach(&self, virtual_path: &str);
}

/// Fetches nothing: tasks that want files fail, and say so.
#[derive(Clone, Copy, Debug, Default)]
pub struct NothingToFetch;

impl Fetcher for NothingToFetch {
    type Error = String;

    async fn fetch(&self, uris: &[Uri], _: &Path, _: Option<&User>) -> Result<(), String> {
        match uris.first() {
            None => Ok(()),
            Some(uri) => {
                Err(format!("this agent was started without a fetcher and cannot get {}", uri.value))
            }
        }
    }

    async fn unpack_root(&self, address: &str, _: &Path) -> Result<(), String> {
        Err(format!("this agent was started without a fetcher and cannot get {address}"))
    }
}

/// Shows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NothingToShow;

impl Attach for NothingToShow {
    fn attach(&self, _: &str, _: &Path) {}
    fn detach(&self, _: &str) {}
}

impl Fetcher for crate::fetch::Fetcher {
    type Error = crate::fetch::FetchError;

    fn fetch(
        &self,
        uris: &[Uri],
        sandbox: &Path,
        user: Option<&User>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send {
        crate::fetch::Fetcher::fetch(self, uris, sandbox, user)
    }

    fn unpack_root(
        &self,
        address: &str,
        into: &Path,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send {
        crate::fetch::Fetcher::unpack_root(self, address, into)
    }
}

impl Attach for crate::files::Attached {
    fn attach(&self, virtual_path: &str, real: &Path) {
        crate::files::Attached::attach(self, virtual_path, real);
    }

    fn detach(&self, virtual_path: &str) {
        crate::files::Attached::detach(self, virtual_path);
    }
}
