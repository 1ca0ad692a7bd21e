//! What a package brings along: had on this machine, given to the masters, and named there by its sum.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use api::client::Client;
use artifacts::Obtained;
use serde_json::{Value, json};
use universe::artifact::Artifact;

use super::obtain::{Now, Obtaining, State, watched};
use crate::commands::bundle;
use crate::error::CliError;
use crate::event::Event;
use crate::printer::Printer;
use crate::{text, value};

/// Sees to it that the masters hold all artifacts of a package.
pub(super) async fn bring(ui: &mut Printer, client: &Client, package: &Value) -> Result<(), CliError> {
    let (name, version) = (value::text(package, "name"), value::text(package, "version"));
    let wanted = universe::artifact::of_definition(package).map_err(|problems| {
        let mut error = CliError::usage(format!("the files of {name} {version} cannot be had"));
        error.causes = problems;
        error
    })?;
    if wanted.is_empty() {
        return Ok(());
    }
    let known = client.package_artifacts(name, version).await?;
    let held = |artifact: &str| {
        let record = known.pointer("/artifacts").and_then(|all| all.get(artifact));
        record.and_then(|record| record.get("held")).and_then(Value::as_bool) == Some(true)
    };
    let missing: BTreeMap<&String, &Artifact> = wanted.iter().filter(|(name, _)| !held(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let (cache, obtaining) = (bundle::cache()?, Obtaining::new()?);
    for (artifact, spec) in missing {
        let obtained = match bundle::bundled(&cache, (name, version), spec) {
            Some(obtained) => obtained,
            None => obtaining.obtain(ui, spec, None).await?,
        };
        upload(ui, client, obtaining.state(), artifact, &obtained).await?;
        let record = json!({
            "sha256": obtained.sha256, "home": obtained.home, "file": obtained.file,
            "extract": obtained.extract, "source": obtained.source,
        });
        client.set_package_artifact((name, version, artifact), &record).await?;
    }
    Ok(())
}

async fn upload(
    ui: &mut Printer,
    client: &Client,
    state: &Arc<State>,
    artifact: &str,
    obtained: &Obtained,
) -> Result<(), CliError> {
    if client.has_artifact(&obtained.sha256).await? {
        return Ok(());
    }
    let (total, sent) = (obtained.bytes, Arc::new(AtomicU64::new(0)));
    let (told, name) = (Arc::clone(state), artifact.to_owned());
    let progress = move |bytes: u64| {
        let done = sent.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let what = format!("uploading {} of {}", text::bytes(done), text::bytes(total));
        told.now(Now { artifact: name.clone(), what, done, total: Some(total) });
    };
    watched(ui, state, client.put_artifact(&obtained.sha256, &obtained.path, progress)).await??;
    let line = format!("{artifact}: {} on the masters, from {}", text::bytes(total), obtained.source);
    ui.progress(&line, &Event::Done { what: "uploaded", name: artifact })
}
