//! Moments as people say them, seen from now; and moments people type.

use crate::style::Style;
use ibak_dbus::Wall;
use jiff::civil::{Date, DateTime, Time};
use jiff::{Span, Timestamp, Zoned};

fn local(moment: Wall, style: &Style) -> Option<Zoned> {
    Some(
        Timestamp::from_microsecond(moment.as_micros())
            .ok()?
            .to_zoned(style.zone.clone()),
    )
}

/// Returns the calendar days from today to `date`, negative for the past.
fn days_from_today(date: Date, style: &Style) -> i32 {
    let today = style.now.to_zoned(style.zone.clone()).date();
    today.until(date).map_or(0, |span| span.get_days())
}

fn clock(zoned: &Zoned) -> String {
    zoned.strftime("%H:%M").to_string()
}

/// Writes a moment exactly, and as briefly as today allows: `21:04`, `yesterday 02:14`,
/// `tomorrow 02:00`, `Tue 22:10`, `14 Nov 22:10`, `14 Nov 2025 22:10`.
pub fn exact(moment: Wall, style: &Style) -> String {
    let Some(zoned) = local(moment, style) else {
        return "an unknown time".to_owned();
    };
    let same_year = zoned.year() == style.now.to_zoned(style.zone.clone()).year();
    match days_from_today(zoned.date(), style) {
        0 => clock(&zoned),
        -1 => format!("yesterday {}", clock(&zoned)),
        1 => format!("tomorrow {}", clock(&zoned)),
        -6..=6 => zoned.strftime("%a %H:%M").to_string(),
        _ if same_year => zoned.strftime("%-d %b %H:%M").to_string(),
        _ => zoned.strftime("%-d %b %Y %H:%M").to_string(),
    }
}

/// Writes a moment as an adverb: `at 21:04`, `tomorrow 02:00`, `on Tue 22:10`.
pub fn at(moment: Wall, style: &Style) -> String {
    let exact = exact(moment, style);
    match local(moment, style).map(|zoned| days_from_today(zoned.date(), style)) {
        None => exact,
        Some(0) => format!("at {exact}"),
        Some(-1 | 1) => exact,
        Some(_) => format!("on {exact}"),
    }
}

/// Writes a moment in a table: as [`exact`] for today and yesterday, then `3 days ago`, then the date.
pub fn ago(moment: Wall, style: &Style) -> String {
    let Some(zoned) = local(moment, style) else {
        return "an unknown time".to_owned();
    };
    match days_from_today(zoned.date(), style) {
        0 => format!("today {}", clock(&zoned)),
        days @ -30..=-2 => format!("{} days ago", -days),
        days if days < -30 => zoned.strftime("%-d %b %Y").to_string(),
        _ => exact(moment, style),
    }
}

/// Writes a moment with its date: `2026-11-20 02:14`.
pub fn full(moment: Wall, style: &Style) -> String {
    local(moment, style).map_or_else(
        || "an unknown time".to_owned(),
        |zoned| zoned.strftime("%Y-%m-%d %H:%M").to_string(),
    )
}

/// Writes a moment's time of day alone: `02:14`.
pub fn time_of_day(moment: Wall, style: &Style) -> String {
    local(moment, style).map_or_else(|| "an unknown time".to_owned(), |zoned| clock(&zoned))
}

/// Returns the next full hour of the reader's clock; the present moment when it is one.
pub fn next_full_hour(style: &Style) -> Wall {
    let now = style.now.to_zoned(style.zone.clone());
    let into = i64::from(now.minute()) * 60 + i64::from(now.second());
    let part = now.timestamp().subsec_nanosecond() != 0;
    let secs = now.timestamp().as_second();
    let full = match (into, part) {
        (0, false) => secs,
        (into, _) => secs - into + 3_600,
    };
    Wall::from_secs(full)
}

/// Writes the present day: `2026-11-22`.
pub fn today(style: &Style) -> String {
    style
        .now
        .to_zoned(style.zone.clone())
        .strftime("%Y-%m-%d")
        .to_string()
}

/// Writes the time of day with seconds.
pub fn clock_with_seconds(style: &Style) -> String {
    style
        .now
        .to_zoned(style.zone.clone())
        .strftime("%H:%M:%S")
        .to_string()
}

/// Writes a moment for machines: RFC 3339 in UTC.
pub fn rfc3339(moment: Wall) -> Option<String> {
    Some(
        Timestamp::from_microsecond(moment.as_micros())
            .ok()?
            .to_string(),
    )
}

/// Returns a moment's date and time of day where the reader is.
pub fn civil(moment: Wall, style: &Style) -> Option<DateTime> {
    Some(local(moment, style)?.datetime())
}

/// Reads when a pause is to end: `08:00` (the next one), a date, a date and time, or a length of
/// time such as `2h` or `3 days`.
///
/// # Errors
/// Says what can be read.
pub fn parse_until(text: &str, style: &Style) -> Result<Wall, String> {
    let now = style.now.to_zoned(style.zone.clone());
    let bad = || format!("{text:?} is no time: write 08:00, 2026-11-24, 2026-11-24T08:00 or 3h");
    let zoned = if let Ok(moment) = text.parse::<Timestamp>() {
        moment.to_zoned(style.zone.clone())
    } else if let Ok(civil) = text.parse::<DateTime>() {
        civil.to_zoned(style.zone.clone()).map_err(|_| bad())?
    } else if let Ok(time) = text.parse::<Time>() {
        let today = now.with().time(time).build().map_err(|_| bad())?;
        if today > now {
            today
        } else {
            today.checked_add(Span::new().days(1)).map_err(|_| bad())?
        }
    } else if let Ok(span) = text.parse::<Span>() {
        now.checked_add(span).map_err(|_| bad())?
    } else {
        return Err(bad());
    };
    if zoned <= now {
        return Err(format!("{text:?} has passed already"));
    }
    Ok(Wall::from_micros(zoned.timestamp().as_microsecond()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;

    fn style(zone: &str) -> Style {
        let mut style = Style::plain("2026-11-22T22:30:00Z".parse().unwrap());
        style.zone = TimeZone::get(zone).unwrap();
        style
    }

    fn wall(text: &str) -> Wall {
        Wall::from_micros(text.parse::<Timestamp>().unwrap().as_microsecond())
    }

    #[test]
    fn moments_seen_from_a_sunday_evening() {
        let style = style("UTC");
        let cases = [
            ("2026-11-22T21:04:00Z", "21:04", "today 21:04"),
            ("2026-11-21T02:14:00Z", "yesterday 02:14", "yesterday 02:14"),
            ("2026-11-23T02:00:00Z", "tomorrow 02:00", "tomorrow 02:00"),
            ("2026-11-19T22:10:00Z", "Thu 22:10", "3 days ago"),
            ("2026-11-14T22:10:00Z", "14 Nov 22:10", "8 days ago"),
            ("2025-11-14T22:10:00Z", "14 Nov 2025 22:10", "14 Nov 2025"),
            ("2026-11-26T02:00:00Z", "Thu 02:00", "Thu 02:00"),
        ];
        for (moment, want, want_ago) in cases {
            assert_eq!(
                (
                    exact(wall(moment), &style).as_str(),
                    ago(wall(moment), &style).as_str()
                ),
                (want, want_ago),
                "{moment}"
            );
        }
    }

    #[test]
    fn the_day_is_the_readers() {
        // 22:30 UTC is half past midnight of the 23rd in Helsinki.
        assert_eq!(
            exact(wall("2026-11-22T21:04:00Z"), &style("Europe/Helsinki")),
            "yesterday 23:04"
        );
        assert_eq!(
            full(wall("2026-11-22T23:04:00Z"), &style("Europe/Helsinki")),
            "2026-11-23 01:04"
        );
        assert_eq!(
            exact(Wall::from_micros(i64::MAX), &style("UTC")),
            "an unknown time"
        );
    }

    #[test]
    fn what_people_type() {
        let style = style("Europe/Berlin"); // 23:30 there
        let cases = [
            ("23:45", "2026-11-22T22:45:00Z"),
            ("08:00", "2026-11-23T07:00:00Z"),
            ("2026-11-24", "2026-11-23T23:00:00Z"),
            ("2026-11-24T08:00", "2026-11-24T07:00:00Z"),
            ("2026-11-24 08:00", "2026-11-24T07:00:00Z"),
            ("2026-11-24T08:00Z", "2026-11-24T08:00:00Z"),
            ("2h", "2026-11-23T00:30:00Z"),
            ("3 days", "2026-11-25T22:30:00Z"),
        ];
        for (text, want) in cases {
            assert_eq!(parse_until(text, &style), Ok(wall(want)), "{text}");
        }
        for bad in [
            "",
            "later",
            "2026-11-21",
            "2026-11-22T08:00",
            "-2h",
            "25:00",
        ] {
            assert!(parse_until(bad, &style).is_err(), "{bad}");
        }
    }
}
