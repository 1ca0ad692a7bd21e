//! The time, as decisions are given it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use api::Moment;
use api::marathon::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// Since this host was started, so that every task that runs started after the origin.
pub(super) fn now() -> Moment {
    let boot = clock_gettime(ClockId::Boottime);
    let elapsed =
        Duration::new(u64::try_from(boot.tv_sec).unwrap_or(0), u32::try_from(boot.tv_nsec).unwrap_or(0));
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Moment { elapsed, wall: Timestamp::from_millis(i64::try_from(wall.as_millis()).unwrap_or(i64::MAX)) }
}

/// Until this moment on the clock of [`now`]; for ever without one.
pub(super) async fn until(at: Option<Duration>) {
    match at {
        Some(at) => tokio::time::sleep(at.saturating_sub(now().elapsed)).await,
        None => std::future::pending().await,
    }
}
