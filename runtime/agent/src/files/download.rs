//! A whole file, piece by piece.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;

const BLOCK: u64 = 64 << 10;

/// The name under which a browser keeps it.
pub(super) fn name(path: &str) -> String {
    let last = path.rsplit('/').find(|part| !part.is_empty()).unwrap_or("file");
    last.to_owned()
}

/// The file as large as it was when it was opened; one that becomes shorter breaks the connection.
pub(super) fn response(file: File, size: u64, name: &str) -> Response {
    let state = (Arc::new(file), 0);
    let body = stream::try_unfold(state, move |(file, at)| async move {
        if at >= size {
            return Ok::<_, io::Error>(None);
        }
        let again = file.clone();
        let block = tokio::task::spawn_blocking(move || block(&again, at, (size - at).min(BLOCK)));
        let block = block.await.map_err(io::Error::other)??;
        let next = at.saturating_add(block.len() as u64);
        Ok(Some((block, (file, next))))
    });
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, size.to_string()),
        (header::CONTENT_DISPOSITION, disposition(name)),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    (headers, Body::from_stream(body)).into_response()
}

fn block(file: &File, at: u64, length: u64) -> io::Result<Bytes> {
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    let n = loop {
        match file.read_at(&mut bytes, at) {
            Ok(0) => return Err(io::Error::other("the file became shorter")),
            Ok(n) => break n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    };
    bytes.truncate(n);
    Ok(bytes.into())
}

/// RFC 6266: a plain name for all, and the exact one for who knows UTF-8.
fn disposition(name: &str) -> String {
    let plain =
        |c: char| if c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '%') || c == ' ' { c } else { '_' };
    let ascii: String = name.chars().map(plain).collect();
    let exact: String = name
        .bytes()
        .map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' => char::from(b).to_string(),
            _ => format!("%{b:02X}"),
        })
        .collect();
    if ascii == name {
        format!("attachment; filename=\"{ascii}\"")
    } else {
        format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''{exact}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_out_of_their_header() {
        for (path, expected) in [
            ("/a/stdout", "attachment; filename=\"stdout\""),
            ("/a/d/", "attachment; filename=\"d\""),
            ("a\"\r\nX: y", "attachment; filename=\"a___X: y\"; filename*=UTF-8''a%22%0D%0AX%3A%20y"),
            ("/ü", "attachment; filename=\"_\"; filename*=UTF-8''%C3%BC"),
        ] {
            assert_eq!(disposition(&name(path)), expected);
        }
    }
}
