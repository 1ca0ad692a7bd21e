//! Files in the sandboxes of tasks, through the master.

use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::{Call, Client, ClientError, broken};

/// A piece of a file as Mesos sends it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FileData {
    /// Its text; bytes that are no UTF-8 are replaced.
    pub data: String,
    /// Where in the file it begins, in bytes; the file's size where offset -1 was asked for.
    pub offset: u64,
}

fn files<'a>(agent: &'a str, what: &'static str, path: &str) -> Call<'a> {
    Call::get(["agent", agent, "files", what]).query("path", path)
}

impl Client {
    /// What is in a directory: an array of `{path,nlink,size,mtime,mode,uid,gid}`.
    ///
    /// # Errors
    /// See [`ClientError`]; 404 when there is no such directory.
    pub async fn browse(&self, agent: &str, path: &str) -> Result<Value, ClientError> {
        self.json(files(agent, "browse", path)).await
    }

    /// The size of a file in bytes.
    ///
    /// # Errors
    /// See [`ClientError`]; 404 when there is no such file.
    pub async fn file_size(&self, agent: &str, path: &str) -> Result<u64, ClientError> {
        Ok(self.read(files(agent, "read", path).query("offset", "-1")).await?.offset)
    }

    /// Up to `length` bytes from `offset`; servers give at most 64 KiB at once.
    ///
    /// # Errors
    /// See [`ClientError`]; 404 when there is no such file.
    pub async fn read_file(
        &self,
        agent: &str,
        path: &str,
        offset: u64,
        length: u64,
    ) -> Result<FileData, ClientError> {
        self.read(
            files(agent, "read", path)
                .query("offset", offset.to_string())
                .query("length", length.to_string()),
        )
        .await
    }

    async fn read(&self, call: Call<'_>) -> Result<FileData, ClientError> {
        let request = call.name(self.first());
        let answer = self.json(call).await?;
        serde_json::from_value(answer)
            .map_err(|error| ClientError::BadAnswer { request, reason: error.to_string() })
    }

    /// Writes a whole file to `to`, byte for byte; answers how many bytes there were.
    ///
    /// # Errors
    /// See [`ClientError`]; what has been written by then is incomplete.
    pub async fn download(
        &self,
        agent: &str,
        path: &str,
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Result<u64, ClientError> {
        let mut call = files(agent, "download", path);
        call.accept = "*/*".into();
        let (request, mut response) = self.timed(&call, self.answer(&call)).await?;
        let mut written = 0;
        while let Some(chunk) = response.chunk().await.map_err(|error| broken(&request, &error))? {
            to.write_all(&chunk).await.map_err(|source| ClientError::Write { source })?;
            written += chunk.len() as u64;
        }
        to.flush().await.map_err(|source| ClientError::Write { source })?;
        Ok(written)
    }
}
