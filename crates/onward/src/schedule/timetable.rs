use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use cronexpr::{Crontab, FallbackTimezoneOption, MakeTimestamp, ParseOptions, parse_crontab_with};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// When a job is due, by a cron expression. All times are in seconds since 1970.
#[derive(Debug, Clone)]
pub(crate) struct Timetable {
    text: &'static str,
    crontab: Crontab,
}

/// The time now.
pub(crate) fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

impl Timetable {
    /// Reads `minute hour day month weekday`, with a time zone behind it if it is not UTC: `0 3 * * * Europe/Berlin`.
    pub(crate) fn parse(text: &'static str) -> Result<Self, String> {
        let mut options = ParseOptions::default();
        options.fallback_timezone_option = FallbackTimezoneOption::UTC;
        let crontab = parse_crontab_with(text, options).map_err(|error| error.to_string())?;
        Ok(Self { text, crontab })
    }

    /// The first due time after this one.
    pub(crate) fn next(&self, after: i64) -> Option<i64> {
        let next = self.crontab.find_next(MakeTimestamp::from_second(after).ok()?).ok()?;
        Some(next.timestamp().as_second())
    }

    /// The last due time that is not later than `now`. One that is more than a year ago is none.
    pub(crate) fn last(&self, now: i64) -> Option<i64> {
        // From the shortest time back that has one, because there is no way to ask for the one before.
        [HOUR, DAY, 32 * DAY, 367 * DAY].into_iter().find_map(|back| {
            let first = self.next(now - back).filter(|due| *due <= now)?;
            let mut last = first;
            while let Some(next) = self.next(last).filter(|due| *due <= now) {
                last = next;
            }
            Some(last)
        })
    }
}

impl fmt::Display for Timetable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-28 12:34:56 UTC.
    const NOW: i64 = 1_795_869_296;

    fn timetable(text: &'static str) -> Timetable {
        Timetable::parse(text).expect("can be read")
    }

    #[test]
    fn the_last_and_the_next_due_time_surround_now() {
        let midnight = NOW - NOW % DAY;
        for (text, last, next) in [
            ("* * * * *", NOW - 56, NOW + 4),
            ("0 3 * * *", midnight + 3 * HOUR, midnight + 27 * HOUR),
            ("0 3 * * * Europe/Berlin", midnight + 2 * HOUR, midnight + 26 * HOUR),
            ("0 0 1 * *", midnight - 27 * DAY, midnight + 3 * DAY),
        ] {
            let timetable = timetable(text);
            assert_eq!((timetable.last(NOW), timetable.next(NOW)), (Some(last), Some(next)), "{text}");
        }
        assert_eq!(timetable("* * * * *").last(NOW - 56), Some(NOW - 56), "a due time itself is due");
    }

    #[test]
    fn what_is_no_timetable_is_refused() {
        for text in ["", "0 3 * *", "99 3 * * *", "0 3 * * * Nowhere/Land", "nightly"] {
            assert!(Timetable::parse(text).is_err(), "{text}");
        }
    }
}
