//! What this framework does not do yet, beside what the cluster does not do: refused, so that nobody waits for it.

use std::path::{Component, Path, PathBuf};

use api::marathon::{ApiError, App, Detail, Volume, VolumeMode, check_supported};

use super::{Config, HostPaths};

/// Refuses (422) what could not be carried out.
pub(crate) fn check(app: &App, config: &Config) -> Result<(), ApiError> {
    check_supported(app)?;
    let mut details = Vec::new();
    let mut refuse = |given: bool, path: &str, error: String| {
        if given {
            details.push(Detail { path: path.to_owned(), errors: vec![error] });
        }
    };
    if let Some(role) = &app.role {
        let known = config.roles.iter().any(|known| known.as_str() == role);
        let names: Vec<&str> = config.roles.iter().map(scheduler::Role::as_str).collect();
        refuse(!known, "/role", format!("offers are asked for in the roles {} alone", names.join(", ")));
    }
    let bytes = app.to_json().to_string().len();
    let most = config.max_app_bytes;
    refuse(bytes > most, "/", format!("the definition has {bytes} bytes, {most} at most are possible"));
    details.extend(volumes(app, &config.host_paths));
    if details.is_empty() { Ok(()) } else { Err(ApiError::Invalid(details)) }
}

/// Host paths need a right, which the operator gives; where they appear must be possible too.
fn volumes(app: &App, host_paths: &HostPaths) -> Vec<Detail> {
    let mut details = Vec::new();
    let mut taken: Vec<PathBuf> = Vec::new();
    let volumes = app.container.iter().flat_map(|container| &container.volumes).enumerate();
    for (at, volume) in volumes {
        let Volume::Host { container_path, host_path, mode } = volume else { continue };
        let mut refuse = |given: bool, key: &str, error: String| {
            if given {
                let path = format!("/container/volumes({at})/{key}");
                details.push(Detail { path, errors: vec![error] });
            }
        };
        let (host, place) = (clean(host_path), clean(container_path));
        let right = host.is_absolute() && host_paths.allowed.iter().any(|allowed| host.starts_with(allowed));
        refuse(!right, "hostPath", no_right(host_path, &host_paths.allowed));
        let somewhere = place.components().any(|part| matches!(part, Component::Normal(_)));
        refuse(!somewhere, "containerPath", "must name a place".to_owned());
        let in_the_way = taken.iter().any(|other| place.starts_with(other) || other.starts_with(&place));
        refuse(
            somewhere && in_the_way,
            "containerPath",
            "must not lie in that of another volume, nor around it".to_owned(),
        );
        if host_paths.links_only {
            let why = "this cluster runs without root, where a volume is a link in the sandbox";
            refuse(place.is_absolute(), "containerPath", format!("must be relative: {why}"));
            refuse(*mode == VolumeMode::ReadOnly, "mode", format!("must be RW: {why}"));
        }
        taken.push(place);
    }
    details
}

/// Without `.` and double slashes; that it does not climb was checked before.
fn clean(path: &str) -> PathBuf {
    Path::new(path).components().filter(|part| *part != Component::CurDir).collect()
}

fn no_right(path: &str, allowed: &[PathBuf]) -> String {
    let names: Vec<String> = allowed.iter().map(|path| path.display().to_string()).collect();
    let now = if names.is_empty() { "which is none".to_owned() } else { format!("now {}", names.join(", ")) };
    format!(
        "{path} is in no host directory that tasks may use, {now}: \
         the operator allows one with `clusterctl up --allow-host-path DIR`"
    )
}
