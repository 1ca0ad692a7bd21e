//! What a package brings along: had on this machine, given to the masters, and named there by its sum.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use api::client::Client;
use artifacts::{Event as Told, Obtained, Options, Progress, Resolver};
use serde_json::{Value, json};
use universe::artifact::Artifact;

use crate::error::CliError;
use crate::event::Event;
use crate::printer::Printer;
use crate::{text, value};

/// Between two looks at how far it is.
const SHOWN_EVERY: Duration = Duration::from_secs(1);

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
    let cache = Options::usual_cache().ok_or_else(|| {
        CliError::usage("there is no place for downloaded files").hint("set HOME, or XDG_CACHE_HOME")
    })?;
    let state = Arc::new(State::default());
    let mut options = Options::new(cache);
    let told = Arc::clone(&state);
    options.progress = Progress::new(move |event| told.hear(event));
    let resolver = Resolver::new(options).map_err(|error| {
        CliError::internal("the place for downloaded files cannot be used").caused_by(&error)
    })?;
    for (artifact, spec) in missing {
        let obtained = watched(ui, &state, resolver.obtain(spec, None)).await?;
        let obtained = obtained
            .map_err(|error| CliError::failed(format!("{artifact} cannot be had")).caused_by(&error))?;
        upload(ui, client, &state, artifact, &obtained).await?;
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
        told.say(format!("{name}: uploading {} of {}", text::bytes(done), text::bytes(total)), false);
    };
    watched(ui, state, client.put_artifact(&obtained.sha256, &obtained.path, progress)).await??;
    let line = format!("{artifact}: {} on the masters, from {}", text::bytes(total), obtained.source);
    ui.progress(&line, &Event::Done { what: "uploaded", name: artifact })
}

/// What there is to say, until somebody says it.
#[derive(Default)]
struct State(Mutex<Shown>);

#[derive(Default)]
struct Shown {
    line: Option<(String, bool)>,
    last: Option<Instant>,
}

impl State {
    /// A line; one that is not of weight is left out when another comes soon.
    fn say(&self, line: String, weighty: bool) {
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if weighty || !matches!(shown.line, Some((_, true))) {
            shown.line = Some((line, weighty));
        }
    }

    fn hear(&self, event: Told) {
        match event {
            Told::Trying { artifact, source } => self.say(format!("{artifact}: from {source}"), true),
            Told::Waiting { artifact } => self.say(format!("{artifact}: another process gets it"), true),
            Told::Downloading { artifact, done, total, .. } => {
                let of = total.map(|total| format!(" of {}", text::bytes(total))).unwrap_or_default();
                self.say(format!("{artifact}: {}{of}", text::bytes(done)), false);
            }
            Told::Assembling { artifact, done, total } => {
                self.say(format!("{artifact}: {done} of {total} files put together"), false);
            }
            Told::Failed { artifact, source, why } => {
                self.say(format!("{artifact}: not from {source}: {why}"), true);
            }
            Told::Said { artifact, line } => self.say(format!("{artifact}: {line}"), false),
            _ => {}
        }
    }

    /// What is to be shown now.
    fn take(&self, now: Instant) -> Option<String> {
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let weighty = matches!(shown.line, Some((_, true)));
        if !weighty && shown.last.is_some_and(|last| now < last + SHOWN_EVERY * 5) {
            return None;
        }
        let (line, _) = shown.line.take()?;
        shown.last = Some(now);
        Some(line)
    }
}

/// Does the work and says meanwhile how far it is.
async fn watched<T>(ui: &mut Printer, state: &State, work: impl Future<Output = T>) -> Result<T, CliError> {
    tokio::pin!(work);
    let mut ticks = tokio::time::interval(SHOWN_EVERY / 4);
    loop {
        let done = tokio::select! {
            done = &mut work => Some(done),
            pressed = tokio::signal::ctrl_c() => {
                pressed.map_err(|error| CliError::internal("cannot hear Ctrl-C").caused_by(&error))?;
                return Err(CliError::interrupted("what was fetched is kept; the same command goes on from there"));
            }
            _ = ticks.tick() => None,
        };
        if let Some(line) = state.take(Instant::now()) {
            ui.progress(&text::visible(&line), &Event::Artifact { line: &line })?;
        }
        if let Some(done) = done {
            return Ok(done);
        }
    }
}
