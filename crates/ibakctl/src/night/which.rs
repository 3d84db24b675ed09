//! Which night: from noon to noon where the reader is, named by the day of its evening.

use crate::style::Style;
use ibak_dbus::Wall;
use jiff::ToSpan;
use jiff::civil::Date;

/// One night.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Night {
    /// The day of its evening.
    pub evening: Date,
    /// Noon of that day.
    pub from: Wall,
    /// Noon of the next day.
    pub until: Wall,
}

/// Until this hour a night that goes on is not yet "last night".
const MORNING: i8 = 4;

impl Night {
    /// Returns the night whose evening is on this day; `None` when no calendar has it.
    pub fn of(evening: Date, style: &Style) -> Option<Self> {
        let noon = |day: Date| {
            let zoned = day.at(12, 0, 0, 0).to_zoned(style.zone.clone()).ok()?;
            Some(Wall::from_micros(zoned.timestamp().as_microsecond()))
        };
        Some(Self {
            evening,
            from: noon(evening)?,
            until: noon(evening.checked_add(1.day()).ok()?)?,
        })
    }

    /// Returns the night that a person calls the last one: in the morning the one that goes on.
    pub fn last(style: &Style) -> Option<Self> {
        let now = style.now.to_zoned(style.zone.clone());
        let back = if (MORNING..12).contains(&now.hour()) || now.hour() >= 12 {
            1
        } else {
            2
        };
        Self::of(now.date().checked_sub(back.days()).ok()?, style)
    }

    /// Returns the night that goes on now.
    pub fn present(style: &Style) -> Option<Self> {
        let now = style.now.to_zoned(style.zone.clone());
        let back = i64::from(now.hour() < 12);
        Self::of(now.date().checked_sub(back.days()).ok()?, style)
    }

    /// Returns the night before this one.
    pub fn before(&self, style: &Style) -> Option<Self> {
        Self::of(self.evening.checked_sub(1.day()).ok()?, style)
    }

    /// Reads which night is meant: a date, `last` or `tonight`.
    ///
    /// # Errors
    /// Says what can be read.
    pub fn parse(text: &str, style: &Style) -> Result<Self, String> {
        let night = match text {
            "last" => Self::last(style),
            "tonight" => Self::present(style),
            date => date
                .parse::<Date>()
                .ok()
                .and_then(|evening| Self::of(evening, style)),
        };
        let night = night.ok_or_else(|| {
            format!("{text:?} is no night: write the date of its evening, as 2026-11-21, or last")
        })?;
        if night.from.as_micros() > style.now.as_microsecond() {
            return Err(format!("the night of {} is yet to come", night.evening));
        }
        Ok(night)
    }

    /// Tells whether it goes on.
    pub fn goes_on(&self, style: &Style) -> bool {
        style.now.as_microsecond() < self.until.as_micros()
    }

    /// Returns its end, or the present moment while it goes on.
    pub fn end(&self, style: &Style) -> Wall {
        self.until
            .min(Wall::from_micros(style.now.as_microsecond()))
    }

    /// Names it, at the beginning of a sentence: `Last night`, `Tonight`, `In the night of Sat 21 Nov`.
    pub fn name(&self, style: &Style) -> String {
        let now = style.now.to_zoned(style.zone.clone());
        if self.goes_on(style) && !(MORNING..12).contains(&now.hour()) {
            return "Tonight".to_owned();
        }
        if Self::last(style).as_ref() == Some(self) {
            return "Last night".to_owned();
        }
        format!("In the night of {}", self.evening.strftime("%a %-d %b"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;

    fn style(now: &str, zone: &str) -> Style {
        let mut style = Style::plain(now.parse().unwrap());
        style.zone = TimeZone::get(zone).unwrap();
        style
    }

    #[test]
    fn what_people_call_last_night() {
        let cases = [
            // now (UTC), last, present, name of the present one
            (
                "2026-11-22T08:00:00Z",
                "2026-11-21",
                "2026-11-21",
                "Last night",
            ),
            (
                "2026-11-22T13:00:00Z",
                "2026-11-21",
                "2026-11-22",
                "Tonight",
            ),
            (
                "2026-11-22T23:30:00Z",
                "2026-11-21",
                "2026-11-22",
                "Tonight",
            ),
            (
                "2026-11-23T01:00:00Z",
                "2026-11-21",
                "2026-11-22",
                "Tonight",
            ),
            (
                "2026-11-23T04:00:00Z",
                "2026-11-22",
                "2026-11-22",
                "Last night",
            ),
        ];
        for (now, last, present, name) in cases {
            let style = style(now, "UTC");
            let (a, b) = (
                Night::last(&style).unwrap(),
                Night::present(&style).unwrap(),
            );
            assert_eq!(
                (
                    a.evening.to_string().as_str(),
                    b.evening.to_string().as_str()
                ),
                (last, present),
                "{now}"
            );
            assert_eq!(b.name(&style), name, "{now}");
            assert_eq!(a.name(&style), "Last night", "{now}");
        }
        let style = style("2026-11-22T08:00:00Z", "UTC");
        let night = Night::parse("2026-11-18", &style).unwrap();
        assert_eq!(night.name(&style), "In the night of Wed 18 Nov");
    }

    #[test]
    fn nights_of_a_clock_change_are_longer_or_shorter() {
        let style = style("2026-12-01T08:00:00Z", "Europe/Berlin");
        let hours = |date: &str| {
            let night = Night::parse(date, &style).unwrap();
            night.until.saturating_since(night.from).as_secs() / 3600
        };
        assert_eq!(
            (
                hours("2026-10-24"),
                hours("2026-03-28"),
                hours("2026-10-25")
            ),
            (25, 23, 24)
        );
    }

    #[test]
    fn what_is_no_night() {
        let style = style("2026-11-22T08:00:00Z", "UTC");
        for bad in [
            "",
            "yesterday",
            "2026-13-01",
            "2026-11-22",
            "2027-01-01",
            "-9999-01-01",
        ] {
            assert!(Night::parse(bad, &style).is_err(), "{bad}");
        }
        assert!(Night::parse("tonight", &style).is_ok());
    }
}
