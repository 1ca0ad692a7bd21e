//! What this framework does not do yet, beside what the cluster does not do: refused, so that nobody waits for it.

use api::marathon::{ApiError, App, Detail, Volume, check_supported};

use super::Config;

/// Refuses (422) what could not be carried out.
pub(crate) fn check(app: &App, config: &Config) -> Result<(), ApiError> {
    check_supported(app)?;
    let mut details = Vec::new();
    let mut refuse = |given: bool, path: &str, error: String| {
        if given {
            details.push(Detail { path: path.to_owned(), errors: vec![error] });
        }
    };
    let not_yet = |what: &str| format!("{what} is not supported yet");
    refuse(!app.readiness_checks.is_empty(), "/readinessChecks", not_yet("readinessChecks"));
    refuse(app.check.is_some(), "/check", not_yet("check"));
    let volumes = app.container.iter().flat_map(|container| &container.volumes);
    for (at, volume) in volumes.enumerate() {
        let path = format!("/container/volumes({at})/hostPath");
        refuse(matches!(volume, Volume::Host { .. }), &path, not_yet("container.volumes.hostPath"));
    }
    if let Some(role) = &app.role {
        let known = config.roles.iter().any(|known| known.as_str() == role);
        let names: Vec<&str> = config.roles.iter().map(scheduler::Role::as_str).collect();
        refuse(!known, "/role", format!("offers are asked for in the roles {} alone", names.join(", ")));
    }
    let bytes = app.to_json().to_string().len();
    let most = config.max_app_bytes;
    refuse(bytes > most, "/", format!("the definition has {bytes} bytes, {most} at most are possible"));
    if details.is_empty() { Ok(()) } else { Err(ApiError::Invalid(details)) }
}
