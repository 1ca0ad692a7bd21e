//! What Marathon's interface has and this cluster does not do yet. Apart from the reading, so that definitions
//! round-trip and the list gets shorter without touching anything else.

use super::container::{NetworkMode, Volume};
use super::model::App;
use crate::marathon::error::{ApiError, Detail};

/// Refuses (422) every field of a valid app that is not supported yet, by its path.
pub fn check_supported(app: &App) -> Result<(), ApiError> {
    let mut fields: Vec<String> = Vec::new();
    let mut refuse = |given: bool, path: &str| {
        if given {
            fields.push(path.to_owned());
        }
    };
    refuse(app.gpus > 0, "/gpus");
    for (at, network) in app.networks.iter().enumerate() {
        refuse(network.mode != NetworkMode::Host, &format!("/networks({at})/mode"));
    }
    if let Some(container) = &app.container {
        refuse(container.docker.is_some(), "/container/docker");
        refuse(container.linux_info.is_some(), "/container/linuxInfo");
        for (at, volume) in container.volumes.iter().enumerate() {
            let key = match volume {
                Volume::Host { .. } => continue,
                Volume::Persistent { .. } => "persistent",
                Volume::External { .. } => "external",
                Volume::Secret { .. } => "secret",
            };
            refuse(true, &format!("/container/volumes({at})/{key}"));
        }
    }
    refuse(app.residency.is_some(), "/residency");
    refuse(app.tty == Some(true), "/tty");
    if fields.is_empty() {
        return Ok(());
    }
    let detail = |path: String| {
        let name = path.trim_start_matches('/').replace('/', ".");
        Detail { path, errors: vec![format!("{name} is not supported yet")] }
    };
    Err(ApiError::Invalid(fields.into_iter().map(detail).collect()))
}
