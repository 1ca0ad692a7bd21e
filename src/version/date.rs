//! Days since 1970 as a date. Compiled into `build.rs`, which knows the build's day, and here for its tests.

/// `YYYY-MM-DD` of the day that comes `days` after 1970-01-01.
///
/// Counts in years that begin in March, which puts the leap day at a year's end, and in eras of
/// 400 years, which all have the same number of days.
pub(crate) fn civil(days: u64) -> String {
    const DAYS_PER_ERA: u64 = 146_097;
    const FROM_MARCH_OF_YEAR_0_TO_1970: u64 = 719_468;
    let day = days + FROM_MARCH_OF_YEAR_0_TO_1970;
    let (era, day_of_era) = (day / DAYS_PER_ERA, day % DAYS_PER_ERA);
    // Take out the leap days (every 4 years, not every 100, but every 400), and years have 365 days.
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // From March on, five months always have 153 days.
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let (month, next_year) =
        if month_from_march < 10 { (month_from_march + 3, 0) } else { (month_from_march - 9, 1) };
    let year = era * 400 + year_of_era + next_year;
    format!("{year:04}-{month:02}-{day_of_month:02}")
}

#[cfg(test)]
mod tests {
    use super::civil;

    #[test]
    fn known_days_have_their_dates() {
        for (days, date) in [
            (0, "1970-01-01"),
            (59, "1970-03-01"),
            (11_016, "2000-02-29"),
            (11_017, "2000-03-01"),
            (19_782, "2024-02-29"),
            (20_454, "2026-01-01"),
            (20_818, "2026-12-31"),
            (47_540, "2100-02-28"),
            (47_541, "2100-03-01"),
            (2_932_896, "9999-12-31"),
        ] {
            assert_eq!(civil(days), date, "day {days}");
        }
    }

    #[test]
    fn each_day_is_later_than_the_one_before() {
        let dates: Vec<String> = (0..150_000).map(civil).collect();
        assert!(dates.is_sorted_by(|earlier, later| earlier < later));
    }
}
