//! The civil calendar in UTC, from microseconds since 1970-01-01T00:00:00Z and back. Proleptic Gregorian, no leap seconds.

/// Microseconds in a second.
pub const SECOND: i64 = 1_000_000;
/// Microseconds in an hour.
pub const HOUR: i64 = 3_600 * SECOND;
/// Microseconds in a day.
pub const DAY: i64 = 24 * HOUR;

/// A day of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date {
    /// Year; 0 is the year before 1.
    pub year: i64,
    /// 1 to 12.
    pub month: u32,
    /// 1 to 31.
    pub day: u32,
}

/// The date of an instant.
#[must_use]
pub fn date(micros: i64) -> Date {
    // Days to civil after Hinnant: years begin in March, so that the leap day is the last of its year.
    let days = micros.div_euclid(DAY) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    Date { year: era * 400 + year_of_era + i64::from(month <= 2), month: month as u32, day: day as u32 }
}

/// Days since 1970-01-01 of a date; `month` and `day` have to be of the calendar.
#[must_use]
pub fn days(Date { year, month, day }: Date) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = (i64::from(month) + 9) % 12;
    let day_of_year = (153 * shifted_month + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The hour of the day, 0 to 23.
#[must_use]
pub fn hour(micros: i64) -> u32 {
    (micros.rem_euclid(DAY) / HOUR) as u32
}

/// The day of the week, 0 for Monday to 6 for Sunday.
#[must_use]
pub fn weekday(micros: i64) -> u32 {
    (micros.div_euclid(DAY) + 3).rem_euclid(7) as u32
}

/// The number of days in a month.
#[must_use]
pub fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// An instant as `2013-07-04T09:30:00`, with microseconds only where there are some; in UTC, without a suffix.
#[must_use]
pub fn format(micros: i64) -> String {
    let Date { year, month, day } = date(micros);
    let time = micros.rem_euclid(DAY);
    let (hour, minute, second) = (time / HOUR, time / (60 * SECOND) % 60, time / SECOND % 60);
    let fraction = match time % SECOND {
        0 => String::new(),
        fraction => format!(".{fraction:06}"),
    };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}")
}

/// Reads RFC 3339, or the same without an offset for UTC: `2013-07-04T09:30:00[.123456][Z|+02:00]`, a space for the `T`
/// and a date alone allowed. Digits beyond the microsecond have to be zero.
#[must_use]
pub fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    let number = |part: Option<&str>| -> Option<i64> {
        part.filter(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()
    };
    let year = number(text.get(0..4))?;
    let month = number(text.get(5..7))? as u32;
    let day = number(text.get(8..10))? as u32;
    let dashes = text.get(4..5) == Some("-") && text.get(7..8) == Some("-");
    if !dashes || !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
        return None;
    }
    let midnight = days(Date { year, month, day }) * DAY;
    let rest = text.get(10..)?;
    if rest.is_empty() {
        return Some(midnight);
    }
    let time = rest.strip_prefix(['T', 't', ' '])?;
    let (clock, offset) = match time.find(['Z', 'z', '+', '-']) {
        Some(at) => (time.get(..at)?, time.get(at..)?),
        None => (time, ""),
    };
    let offset = match offset {
        "" | "Z" | "z" => 0,
        signed => {
            let (hours, minutes) = signed.get(1..)?.split_once(':')?;
            let (hours, minutes) = (number(Some(hours))?, number(Some(minutes))?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let size = (hours * 60 + minutes) * 60 * SECOND;
            if signed.starts_with('-') { -size } else { size }
        }
    };
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut parts = clock.split(':');
    let (hour, minute) = (number(parts.next())?, number(parts.next())?);
    let second = parts.next().map_or(Some(0), |second| number(Some(second)))?;
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    number(Some(fraction))?;
    let (kept, beyond) = fraction.split_at(fraction.len().min(6));
    if beyond.bytes().any(|b| b != b'0') {
        return None;
    }
    let micros = number(Some(kept))? * 10_i64.pow(6 - kept.len() as u32);
    Some(midnight + hour * HOUR + (minute * 60 + second) * SECOND + micros - offset)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_days_are_found() {
        assert_eq!(date(0), Date { year: 1970, month: 1, day: 1 });
        assert_eq!(weekday(0), 3, "1970-01-01 was a Thursday");
        assert_eq!(date(-1), Date { year: 1969, month: 12, day: 31 });
        assert_eq!(hour(-1), 23);
        let leap = parse("2000-02-29T23:59:59.999999Z").unwrap();
        assert_eq!(date(leap + 1), Date { year: 2000, month: 3, day: 1 });
        assert_eq!(weekday(leap), 1, "2000-02-29 was a Tuesday");
        assert_eq!(days_in_month(1900, 2), 28);
    }

    #[test]
    fn offsets_and_fractions_are_read() {
        let noon = parse("2013-07-04T12:00:00").unwrap();
        assert_eq!(parse("2013-07-04T14:00:00+02:00"), Some(noon));
        assert_eq!(parse("2013-07-04 05:00:00.000000000-07:00"), Some(noon));
        assert_eq!(parse("2013-07-04T12:00Z"), Some(noon));
        assert_eq!(parse("2013-07-04"), Some(noon - 12 * HOUR));
        assert_eq!(parse("2013-07-04T12:00:00.5"), Some(noon + SECOND / 2));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2013",
            "2013-02-29",
            "2013-13-01",
            "2013-01-01T24:00:00",
            "2013-01-01T00:00:00+25:00",
            "日本語日本語",
            "2013-01-01T00:00:00.1234567",
            "2013-01-01T00:00:60",
            "2013-01-01x",
            "2013-01-01T0a:00",
            "-013-01-01",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(micros in -62_135_596_800_000_000_i64..253_402_300_800_000_000) {
            prop_assert_eq!(parse(&format(micros)), Some(micros));
            prop_assert_eq!(days(date(micros)), micros.div_euclid(DAY));
        }

        #[test]
        fn no_instant_panics(micros in any::<i64>(), text in "\\PC{0,40}") {
            let _ = (date(micros), hour(micros), weekday(micros), format(micros), parse(&text));
        }
    }
}
