//! Local time: the computer's time zone, on which day a moment falls, and the table for the core.

use ibak_core::{CHANGES_MAX, Day, Wall, Zone};
use jiff::tz::TimeZone;
use std::time::Duration;

/// For how long before and after the present the core is told how local time goes.
const AROUND: Duration = Duration::from_secs(2 * 366 * 86_400);

/// Reads the computer's time zone as it is at this moment: `TZ`, else `/etc/localtime`, else UTC.
pub(super) fn of_computer() -> TimeZone {
    jiff::tz::reset_system_time_zone_cache();
    TimeZone::system()
}

/// Writes down how local time follows from UTC around a moment.
pub(super) fn table(zone: &TimeZone, around: Wall) -> Zone {
    let micros = i64::try_from(AROUND.as_micros()).unwrap_or(i64::MAX);
    let stamp = |at: i64| jiff::Timestamp::from_microsecond(at).ok();
    let first = stamp(around.as_micros().saturating_sub(micros));
    let Some(first) = first else {
        return Zone::default();
    };
    let last = stamp(around.as_micros().saturating_add(micros)).unwrap_or(jiff::Timestamp::MAX);
    let begins_with = zone.to_offset(first).seconds();
    let mut offset = begins_with;
    let mut changes = Vec::new();
    for change in zone.following(first) {
        if change.timestamp() > last || changes.len() >= CHANGES_MAX {
            break;
        }
        let next = change.offset().seconds();
        // A change may also be of the name alone.
        if std::mem::replace(&mut offset, next) != next {
            changes.push((Wall::from_micros(change.timestamp().as_microsecond()), next));
        }
    }
    Zone::new(begins_with, changes)
}

/// Returns the day on which a moment falls where this computer is, in any year.
pub fn local_day(at: Wall) -> Day {
    day_in(&TimeZone::system(), at)
}

fn day_in(zone: &TimeZone, at: Wall) -> Day {
    let offset = jiff::Timestamp::from_microsecond(at.as_micros())
        .map_or(0, |stamp| zone.to_offset(stamp).seconds());
    Zone::new(offset, Vec::new()).civil(at).day
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 25 October 2026, 01:00 UTC: Berlin sets its clocks back.
    const AUTUMN: i64 = 1_792_890_000;

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).unwrap()
    }

    #[test]
    fn the_table_shows_what_the_rules_say() {
        for name in [
            "UTC",
            "Europe/Berlin",
            "America/Sao_Paulo",
            "Australia/Lord_Howe",
            "Africa/Casablanca",
            "Asia/Kathmandu",
            "America/St_Johns",
        ] {
            let zone = zone(name);
            let table = table(&zone, Wall::from_secs(AUTUMN));
            // Every six hours, from nearly two years ago until nearly two years on.
            for step in -2_900..2_900 {
                let at = AUTUMN + step * 21_600;
                let stamp = jiff::Timestamp::from_second(at).unwrap();
                let wanted = zone.to_offset(stamp).seconds();
                assert_eq!(table.offset_at(Wall::from_secs(at)), wanted, "{name} {at}");
                let day = day_in(&zone, Wall::from_secs(at));
                assert_eq!(table.civil(Wall::from_secs(at)).day, day, "{name} {at}");
            }
        }
    }

    #[test]
    fn the_moment_of_a_change_is_exact() {
        let table = table(&zone("Europe/Berlin"), Wall::from_secs(AUTUMN));
        let offsets = [AUTUMN - 1, AUTUMN].map(|at| table.offset_at(Wall::from_secs(at)));
        assert_eq!(offsets, [7_200, 3_600]);
    }

    #[test]
    fn a_day_begins_at_midnight_on_the_wall() {
        let kiritimati = zone("Pacific/Kiritimati");
        let midnight = 1_795_046_400 - 14 * 3_600;
        let days = [midnight - 1, midnight].map(|at| day_in(&kiritimati, Wall::from_secs(at)));
        assert_eq!(days[1].0 - days[0].0, 1);
        assert_eq!(i64::from(days[1].0), 1_795_046_400 / 86_400);
        assert_eq!(day_in(&TimeZone::UTC, Wall::from_secs(-1)), Day(-1));
    }

    #[test]
    fn far_times_are_no_trouble() {
        for at in [i64::MIN, i64::MAX] {
            let at = Wall::from_micros(at);
            assert_eq!(table(&TimeZone::UTC, at), Zone::default());
            day_in(&TimeZone::UTC, at);
        }
    }
}
