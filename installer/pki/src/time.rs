//! Times as certificates have them: whole seconds since 1970.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{CertificateParams, date_time_ymd};
use x509_parser::time::ASN1Time;

pub(crate) const HOUR: u64 = 3600;
pub(crate) const DAY: u64 = 86_400;
/// The last second that a certificate can name: the end of the year 9999.
const LAST: u64 = 253_402_300_799;

/// Seconds since 1970; what lies outside of what certificates can say becomes the nearest that they can.
pub(crate) fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()).min(LAST)
}

/// The time of an ASN.1 date; one before 1970 becomes 1970.
pub(crate) fn seconds_of(at: ASN1Time) -> u64 {
    u64::try_from(at.timestamp()).unwrap_or(0).min(LAST)
}

/// Back to the system's type.
pub(crate) fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds.min(LAST))
}

/// For people: the date and the time of day, UTC.
pub(crate) fn text(seconds: u64) -> String {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| ASN1Time::from_timestamp(seconds).ok())
        .and_then(|time| time.to_rfc2822().ok())
        .unwrap_or_else(|| format!("{seconds} s after 1970"))
}

/// From when to when a certificate is valid.
pub(crate) fn set_validity(params: &mut CertificateParams, from: u64, until: u64) {
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(from.min(LAST));
    params.not_after = epoch + Duration::from_secs(until.min(LAST));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_outside_of_what_a_certificate_can_say_become_the_nearest() {
        assert_eq!(seconds(UNIX_EPOCH - Duration::from_secs(5)), 0);
        assert_eq!(seconds(UNIX_EPOCH + Duration::from_secs(u64::MAX >> 2)), LAST);
        assert_eq!(seconds(at(1_790_000_000)), 1_790_000_000);
    }

    #[test]
    fn a_time_is_shown_as_a_date() {
        assert_eq!(text(1_790_000_000), "Mon, 21 Sep 2026 14:13:20 +0000");
    }
}
