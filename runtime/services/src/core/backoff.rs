//! How long a version of an app waits after failures before it is launched again (§8).

use std::time::Duration;

use api::marathon::App;

/// A task without checks that ran for so long counts as a success (the reference's minimum execution time).
pub(crate) const STABLE: Duration = Duration::from_secs(60);

/// Failures in a row, and when the next launch may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backoff {
    pub(crate) failures: u32,
    pub(crate) until: Duration,
}

/// The delay after so many failures in a row: `backoffSeconds` after the first, times `backoffFactor` after each further
/// one, and `maxLaunchDelaySeconds` at most.
pub(crate) fn delay(app: &App, failures: u32) -> Duration {
    let most = f64::from(app.max_launch_delay_seconds);
    let exponent = f64::from(failures.saturating_sub(1));
    let seconds = f64::from(app.backoff_seconds) * app.backoff_factor.powf(exponent);
    Duration::try_from_secs_f64(seconds.min(most)).unwrap_or(Duration::from_secs_f64(most))
}

impl Backoff {
    /// One more failure.
    pub(crate) fn after_failure(earlier: Option<Backoff>, app: &App, now: Duration) -> Backoff {
        let failures = earlier.map_or(0, |backoff| backoff.failures).saturating_add(1);
        Backoff { failures, until: now + delay(app, failures) }
    }
}
