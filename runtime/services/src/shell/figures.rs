//! Figures about services, under the reference's names.

use api::Moment;

use super::view::View;

/// One number that goes up and down.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figure {
    /// The reference's name, like `marathon.apps.active.gauge`.
    pub name: &'static str,
    /// What it counts.
    pub help: &'static str,
    /// How much it is.
    pub value: f64,
}

/// What `view` says at `now`, while so many streams of events are open.
pub(crate) fn of(view: &View, streams: usize, now: Moment) -> Vec<Figure> {
    let apps = view.apps.values().filter(|app| app.app.is_some()).count();
    let sum = |count: &dyn Fn(&crate::core::view::AppView) -> u32| {
        view.apps.values().map(|app| u64::from(count(app))).sum::<u64>()
    };
    let queued = |app: &crate::core::view::AppView| app.queued.as_ref().map_or(0, |queued| queued.count);
    [
        ("marathon.apps.active.gauge", "Apps", number(apps)),
        ("marathon.deployments.active.gauge", "Deployments that run", number(view.deployments.len())),
        (
            "marathon.instances.staged.gauge",
            "Instances that are launched and not running yet",
            amount(sum(&|app| app.counts.tasks_staged)),
        ),
        (
            "marathon.instances.running.gauge",
            "Instances that run",
            amount(sum(&|app| app.counts.tasks_running)),
        ),
        (
            "marathon.instances.healthy.gauge",
            "Instances that run and pass every check",
            amount(sum(&|app| app.counts.tasks_healthy)),
        ),
        (
            "marathon.instances.unhealthy.gauge",
            "Instances that run and fail a check",
            amount(sum(&|app| app.counts.tasks_unhealthy)),
        ),
        ("marathon.instances.queued.gauge", "Instances that wait to be launched", amount(sum(&queued))),
        ("marathon.http.event-streams.active.gauge", "Streams of events that are open", number(streams)),
        (
            "marathon.leadership.duration.gauge.seconds",
            "Seconds since this master leads",
            now.elapsed.as_secs_f64(),
        ),
    ]
    .map(|(name, help, value)| Figure { name, help, value })
    .to_vec()
}

fn number(count: usize) -> f64 {
    amount(u64::try_from(count).unwrap_or(u64::MAX))
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 of them")]
fn amount(count: u64) -> f64 {
    count as f64
}
