//! What a package says of its artifacts: plain data, as `universe` reads it.

pub use universe::artifact::{Artifact, ArtifactKind, At, Member, Source, Sum};

/// A place as it may be shown: without what may be secret.
pub(crate) fn shown(at: &At) -> String {
    match at {
        At::Url(url) => crate::names::shown(url),
        At::File(path) => path.clone(),
        At::Purl(purl) => purl.clone(),
    }
}
