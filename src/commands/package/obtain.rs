//! Having what a package brings along on this machine, and showing how it goes: one line that changes on a terminal, plain lines
//! elsewhere.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use artifacts::{Event as Told, Obtained, Options, Progress, Resolver};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use universe::artifact::Artifact;

use crate::commands::bundle;
use crate::error::CliError;
use crate::event::Event;
use crate::printer::Printer;
use crate::text;

/// Between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(200);
/// Between two plain lines that only count.
const COUNTED: Duration = Duration::from_secs(5);

/// The way to artifacts on this machine.
pub(crate) struct Obtaining {
    resolver: Resolver,
    state: Arc<State>,
}

impl Obtaining {
    /// With the usual cache.
    pub(crate) fn new() -> Result<Self, CliError> {
        Self::heard_by(None)
    }

    /// The same; somebody else hears how far it is as well.
    pub(crate) fn heard_by(ear: Option<Ear>) -> Result<Self, CliError> {
        let state = Arc::new(State { shown: Mutex::default(), ear });
        let mut options = Options::new(bundle::cache()?);
        let told = Arc::clone(&state);
        options.progress = Progress::new(move |event| told.hear(event));
        let resolver = Resolver::new(options).map_err(|error| {
            CliError::internal("the place for downloaded files cannot be used").caused_by(&error)
        })?;
        Ok(Self { resolver, state })
    }

    /// An artifact, out of the cache or from where it can be had. Its files are below `base`.
    pub(crate) async fn obtain(
        &self,
        ui: &mut Printer,
        artifact: &Artifact,
        base: Option<&Path>,
    ) -> Result<Obtained, CliError> {
        let obtained = watched(ui, &self.state, self.resolver.obtain(artifact, base)).await?;
        obtained
            .map_err(|error| CliError::failed(format!("{} cannot be had", artifact.name)).caused_by(&error))
    }

    pub(crate) fn state(&self) -> &Arc<State> {
        &self.state
    }
}

/// What there is to say, until somebody says it.
pub(crate) struct State {
    shown: Mutex<Shown>,
    ear: Option<Ear>,
}

/// Hears how far it is, each time that it is said.
pub(crate) type Ear = Box<dyn Fn(&Now) + Send + Sync>;

#[derive(Default)]
struct Shown {
    /// Each is said.
    news: Vec<String>,
    /// Only the last one is.
    now: Option<Now>,
    last: Option<Instant>,
}

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Now {
    pub(crate) artifact: String,
    pub(crate) what: String,
    /// In which unit is the one's who says it.
    pub(crate) done: u64,
    pub(crate) total: Option<u64>,
}

impl State {
    fn shown(&self) -> std::sync::MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn news(&self, line: String) {
        self.shown().news.push(line);
    }

    /// It is where it was to be.
    pub(super) fn done(&self, artifact: &str, bytes: u64) {
        if let Some(ear) = &self.ear {
            ear(&Now {
                artifact: artifact.to_owned(),
                what: "done".to_owned(),
                done: bytes,
                total: Some(bytes),
            });
        }
    }

    pub(super) fn now(&self, now: Now) {
        if let Some(ear) = &self.ear {
            ear(&now);
        }
        self.shown().now = Some(now);
    }

    fn hear(&self, event: Told) {
        match event {
            Told::Trying { artifact, source } => self.news(format!("{artifact}: from {source}")),
            Told::Waiting { artifact } => self.news(format!("{artifact}: another process gets it")),
            Told::Failed { artifact, source, why } => {
                self.news(format!("{artifact}: not from {source}: {why}"));
            }
            Told::Downloading { artifact, done, total, .. } => {
                let of = total.map(|total| format!(" of {}", text::bytes(total))).unwrap_or_default();
                self.now(Now { artifact, what: format!("{}{of}", text::bytes(done)), done, total });
            }
            Told::Verifying { artifact, done, total } => {
                self.now(Now {
                    artifact,
                    what: "comparing its checksum".to_owned(),
                    done,
                    total: Some(total),
                });
            }
            Told::Assembling { artifact, done, total } => {
                let what = format!("{done} of {total} files put together");
                let (done, total) = (u64::try_from(done).unwrap_or_default(), u64::try_from(total).ok());
                self.now(Now { artifact, what, done, total });
            }
            Told::Said { artifact, line } => self.now(Now { artifact, what: line, done: 0, total: None }),
            _ => {}
        }
    }

    /// What is to be said now, and how far it is where that is to be shown: each time on a terminal, now and then elsewhere.
    fn take(&self, live: bool, now: Instant) -> (Vec<String>, Option<Now>) {
        let mut shown = self.shown();
        let news = std::mem::take(&mut shown.news);
        let due = live || shown.last.is_none_or(|last| now >= last + COUNTED);
        let how_far = if due { shown.now.take() } else { None };
        if how_far.is_some() || !news.is_empty() {
            shown.last = Some(now);
        }
        (news, how_far)
    }
}

/// One line that changes, and is gone with this.
struct Live(ProgressBar);

impl Live {
    fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// All of the line at once: each change of a part would be drawn.
    fn draw(&self, now: &Now) {
        self.0.set_message(now.line());
    }
}

impl Now {
    /// With a bar where the total is known.
    fn line(&self) -> String {
        const WIDTH: u64 = 24;
        let Self { artifact, what, done, total } = self;
        let bar = total.filter(|total| *total > 0).map(|total| {
            let full = (done.saturating_mul(WIDTH) / total).min(WIDTH);
            let of = |sign: &str, times: u64| sign.repeat(usize::try_from(times).unwrap_or_default());
            format!("[{}{}] ", of("=", full), of(" ", WIDTH - full))
        });
        text::visible(&format!("{artifact} {}{what}", bar.unwrap_or_default()))
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Does the work and shows meanwhile how far it is.
pub(super) async fn watched<T>(
    ui: &mut Printer,
    state: &State,
    work: impl Future<Output = T>,
) -> Result<T, CliError> {
    tokio::pin!(work);
    let live = ui.is_live().then(Live::new);
    let mut ticks = tokio::time::interval(LOOK);
    loop {
        let done = tokio::select! {
            done = &mut work => Some(done),
            pressed = tokio::signal::ctrl_c() => {
                pressed.map_err(|error| CliError::internal("cannot hear Ctrl-C").caused_by(&error))?;
                return Err(CliError::interrupted("what was fetched is kept; the same command goes on from there"));
            }
            _ = ticks.tick() => None,
        };
        let (news, now) = state.take(live.is_some(), Instant::now());
        for line in &news {
            let mut say = || ui.progress(&text::visible(line), &Event::Artifact { line });
            match &live {
                Some(live) => live.0.suspend(say)?,
                None => say()?,
            }
        }
        match (&live, now) {
            (Some(live), Some(now)) => live.draw(&now),
            (None, Some(Now { artifact, what, .. })) if done.is_none() => {
                let line = format!("{artifact}: {what}");
                ui.progress(&text::visible(&line), &Event::Artifact { line: &line })?;
            }
            _ => {}
        }
        if let Some(done) = done {
            return Ok(done);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(done: u64) -> Told {
        Told::Downloading { artifact: "spark".to_owned(), source: "s".to_owned(), done, total: Some(4096) }
    }

    #[test]
    fn a_line_has_a_bar_where_the_total_is_known() {
        let now = |total| Now { artifact: "spark".to_owned(), what: "half".to_owned(), done: 50, total };
        assert_eq!(now(Some(100)).line(), "spark [============            ] half");
        assert_eq!(now(Some(10)).line(), "spark [========================] half");
        for none in [None, Some(0)] {
            assert_eq!(now(none).line(), "spark half");
        }
    }

    #[test]
    fn news_are_all_told_and_counts_now_and_then() {
        let state = State { shown: Mutex::default(), ear: None };
        let start = Instant::now();
        state.hear(Told::Trying { artifact: "spark".to_owned(), source: "https://a".to_owned() });
        state.hear(Told::Failed {
            artifact: "spark".to_owned(),
            source: "https://a".to_owned(),
            why: "gone".to_owned(),
        });
        state.hear(counted(1024));
        state.hear(counted(2048));
        let (news, now) = state.take(false, start);
        assert_eq!(news, ["spark: from https://a", "spark: not from https://a: gone"]);
        assert_eq!(now.unwrap().what, "2.0 KiB of 4.0 KiB");
        state.hear(counted(3072));
        assert_eq!(state.take(false, start + Duration::from_secs(1)), (vec![], None));
        assert_eq!(state.take(false, start + COUNTED).1.unwrap().done, 3072);
        // A terminal shows each.
        state.hear(counted(4096));
        assert_eq!(state.take(true, start + COUNTED).1.unwrap().done, 4096);
    }
}
