//! Times as the log writes them: UTC, with milliseconds.
//!
//! A calendar of twenty lines, so that the runtime of an agent does not carry a time library.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Writes times, and remembers the last second: of many lines in one only the milliseconds differ.
#[derive(Default)]
pub(super) struct Timestamps {
    second: u64,
    /// `2026-11-22T11:02:22`; empty at first.
    text: String,
}

impl Timestamps {
    /// Adds a time as `2026-11-22T11:02:22.835Z`.
    pub(super) fn write(&mut self, time: SystemTime, out: &mut Vec<u8>) {
        let elapsed = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let second = elapsed.as_secs();
        if self.text.is_empty() || self.second != second {
            self.text = to_the_second(second);
            self.second = second;
        }
        out.extend_from_slice(self.text.as_bytes());
        let millis = elapsed.subsec_millis();
        out.push(b'.');
        for unit in [100, 10, 1] {
            let digit = u8::try_from(millis / unit % 10).unwrap_or_default();
            out.push(b'0' + digit);
        }
        out.push(b'Z');
    }
}

fn to_the_second(elapsed: u64) -> String {
    let (days, second) = (elapsed / 86_400, elapsed % 86_400);
    let (year, month, day) = date(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// Turns days since 1970-01-01 into a date of the Gregorian calendar.
///
/// Years are counted from March, so that the leap day is a year's last, and in eras of 400 years, which all have
/// the same number of days.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // from 0000-03-01
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_with_milliseconds() {
        let mut timestamps = Timestamps::default();
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (9, "1970-01-01T00:00:00.009Z"),
            (1_000, "1970-01-01T00:00:01.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_795_345_342_835, "2026-11-22T11:02:22.835Z"),
            (4_107_542_399_001, "2100-02-28T23:59:59.001Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            let mut written = Vec::new();
            timestamps.write(UNIX_EPOCH + Duration::from_millis(millis), &mut written);
            assert_eq!(String::from_utf8(written).unwrap(), text);
        }
    }
}
