//! What a package brings along: had on this machine, given to the masters, and named there by its sum.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use api::client::Client;
use artifacts::Obtained;
use serde_json::{Value, json};
use universe::artifact::Artifact;

use super::obtain::{Ear, Now, Obtaining, State, watched};
use crate::commands::bundle;
use crate::commands::universe::local::files_of;
use crate::error::CliError;
use crate::event::Event;
use crate::printer::Printer;
use crate::{text, value};

/// Sees to it that the masters hold all artifacts of a package.
pub(crate) async fn bring(
    ui: &mut Printer,
    client: &Client,
    package: &Value,
    ear: Option<Ear>,
) -> Result<(), CliError> {
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
    // A package of that name and version in another repository may have had another one.
    let held = |name: &str, artifact: &Artifact| {
        let record = known.pointer("/artifacts").and_then(|all| all.get(name)).unwrap_or(&Value::Null);
        record.get("held").and_then(Value::as_bool) == Some(true)
            && bundle::fits(artifact, value::text(record, "sha256"))
    };
    let missing: BTreeMap<&String, &Artifact> =
        wanted.iter().filter(|(name, artifact)| !held(name, artifact)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let (cache, obtaining) = (bundle::cache()?, Obtaining::heard_by(ear)?);
    for (artifact, spec) in missing {
        let obtained = match bundle::bundled(&cache, (name, version), spec) {
            Some(obtained) => obtained,
            None => obtaining.obtain(ui, spec, None).await.map_err(|error| {
                let from_a_directory = files_of(spec).next().is_some();
                let hint = "`clusterctl universe add` uploads it with its package's directory, where that is";
                if from_a_directory { error.hint(hint) } else { error }
            })?,
        };
        upload(ui, client, obtaining.state(), artifact, &obtained).await?;
        client.set_package_artifact((name, version, artifact), &record(&obtained)).await?;
        obtaining.state().done(artifact, obtained.bytes);
    }
    Ok(())
}

/// What the masters are told of it.
pub(crate) fn record(obtained: &Obtained) -> Value {
    json!({
        "sha256": obtained.sha256, "home": obtained.home, "file": obtained.file,
        "extract": obtained.extract, "source": obtained.source,
    })
}

/// Gives it to the masters, unless they hold it.
pub(crate) async fn upload(
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
