//! Windows: the times of the week at which something may happen, in the house's local time.
//!
//! A window is open when a clock on the wall shows a time within it; so it is an hour longer on the
//! night the clock is set back, and one that lies in an hour that is skipped does not open that night.

use crate::zone::{Civil, DAY_SECS};
use crate::{Day, Wall, Zone};
use std::fmt;
use std::time::Duration;

/// Most windows of one list.
pub const WINDOWS_MAX: usize = 32;
const NAMES: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const EVERY_DAY: u8 = 0b111_1111;
const MINUTES: u16 = 24 * 60;

/// One stretch of time, on some days of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// The days on which it begins; the lowest bit is Monday.
    days: u8,
    /// Minutes since midnight, 0 to 1439.
    from: u16,
    /// The same; when not after `from`, on the next day.
    to: u16,
}

/// Some windows; none at all is always.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Windows(Vec<Window>);

/// How windows are at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// One is open, until then; `None` for always.
    Open {
        /// When the last one that is open closes.
        until: Option<Wall>,
    },
    /// None is, until then; `None` when none opens within a week.
    Closed {
        /// When the next one opens.
        opens: Option<Wall>,
    },
}

/// Says what is wrong with the text of a window.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// It does not read like one.
    #[error(
        "must be like \"22:00-08:00\" or \"Mon-Fri 22:00-08:00\" (days: Mon Tue Wed Thu Fri Sat Sun)"
    )]
    Text,
    /// There are too many.
    #[error("must be at most {WINDOWS_MAX} windows")]
    TooMany,
}

impl Window {
    /// Reads `22:00-08:00`, `Mon-Fri 22:00-08:00` or `Sat,Sun 20:00-10:00`. From a time to the same
    /// time is a whole day; `24:00` is the end of a day.
    ///
    /// # Errors
    /// [`WindowError::Text`].
    pub fn parse(text: &str) -> Result<Self, WindowError> {
        let mut words = text.split_whitespace();
        let (days, times) = match (words.next(), words.next(), words.next()) {
            (Some(times), None, None) => (EVERY_DAY, times),
            (Some(days), Some(times), None) => (parse_days(days)?, times),
            _ => return Err(WindowError::Text),
        };
        let (from, to) = times.split_once('-').ok_or(WindowError::Text)?;
        let from = parse_time(from).filter(|from| *from < MINUTES);
        let to = parse_time(to).map(|to| to % MINUTES);
        match (from, to) {
            (Some(from), Some(to)) => Ok(Self { days, from, to }),
            _ => Err(WindowError::Text),
        }
    }

    fn begins_on(self, day: Day) -> bool {
        // 1970-01-01 was a Thursday.
        let weekday = (i64::from(day.0) + 3).rem_euclid(7);
        self.days >> weekday & 1 == 1
    }

    fn contains(self, civil: Civil) -> bool {
        let minute = civil.second / 60;
        let (from, to) = (u32::from(self.from), u32::from(self.to));
        let yesterday = Day(civil.day.0.saturating_sub(1));
        if from < to {
            return self.begins_on(civil.day) && (from..to).contains(&minute);
        }
        (self.begins_on(civil.day) && minute >= from) || (self.begins_on(yesterday) && minute < to)
    }
}

impl Windows {
    /// Reads one window from each text.
    ///
    /// # Errors
    /// What is wrong with the first that cannot be read.
    pub fn parse<T: AsRef<str>>(texts: &[T]) -> Result<Self, WindowError> {
        if texts.len() > WINDOWS_MAX {
            return Err(WindowError::TooMany);
        }
        let windows = texts.iter().map(|text| Window::parse(text.as_ref()));
        Ok(Self(windows.collect::<Result<_, _>>()?))
    }

    /// Makes the one in which people are asked unless they wish otherwise: 19:00 to 23:30.
    pub fn evening() -> Self {
        Self(vec![Window {
            days: EVERY_DAY,
            from: 19 * 60,
            to: 23 * 60 + 30,
        }])
    }

    /// Tells whether they are always open.
    pub fn is_always(&self) -> bool {
        self.0.is_empty()
    }

    /// Lists the windows.
    pub fn iter(&self) -> impl Iterator<Item = &Window> {
        self.0.iter()
    }

    /// Tells whether there is a time of the week at which both are open.
    pub fn meets(&self, other: &Self) -> bool {
        let either = self.is_always() || other.is_always();
        let zone = Zone::default();
        let mut week = (0..7 * i64::from(MINUTES)).map(|minute| Wall::from_secs(minute * 60));
        either || week.any(|at| self.contain(&zone, at) && other.contain(&zone, at))
    }

    fn contain(&self, zone: &Zone, at: Wall) -> bool {
        let civil = zone.civil(at);
        self.0.iter().any(|window| window.contains(civil))
    }

    /// Returns how they are at this moment, and until when.
    pub fn at(&self, zone: &Zone, now: Wall) -> Opening {
        if self.is_always() {
            return Opening::Open { until: None };
        }
        let open = self.contain(zone, now);
        // Most turn within a day; this is asked often.
        let soon = now + Duration::from_secs(DAY_SECS.unsigned_abs());
        let turn = self
            .turn(zone, now, 2)
            .filter(|at| *at <= soon)
            .or_else(|| self.turn(zone, now, 9));
        if open {
            Opening::Open { until: turn }
        } else {
            Opening::Closed { opens: turn }
        }
    }

    /// Returns the next moment within so many days at which they open, or all are closed.
    fn turn(&self, zone: &Zone, now: Wall, days: i32) -> Option<Wall> {
        let open = self.contain(zone, now);
        let turns = self.edges(zone, now, days).into_iter();
        turns
            .filter(|at| *at > now)
            .find(|at| self.contain(zone, *at) != open)
    }

    /// Lists, in order, every moment from a day ago to so many days on at which one may open or close.
    fn edges(&self, zone: &Zone, now: Wall, days: i32) -> Vec<Wall> {
        let today = zone.civil(now).day.0;
        let mut edges: Vec<Wall> = (-1..=days)
            .flat_map(|days| {
                let day = Day(today.saturating_add(days));
                let minutes = self.0.iter().flat_map(|it| [it.from, it.to]);
                minutes.map(move |minute| Civil {
                    day,
                    second: u32::from(minute) * 60,
                })
            })
            .flat_map(|civil| zone.moments(civil))
            .collect();
        // Setting the clock back may open one again.
        edges.extend(zone.changes_within(now, DAY_SECS * i64::from(days)));
        edges.sort_unstable();
        edges.dedup();
        edges
    }
}

fn parse_time(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let digits =
        |it: &str| !it.is_empty() && it.len() <= 2 && it.bytes().all(|b| b.is_ascii_digit());
    if !digits(hours) || minutes.len() != 2 || !digits(minutes) {
        return None;
    }
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    let time = hours * 60 + minutes;
    (minutes < 60 && time <= MINUTES).then_some(time)
}

fn parse_days(text: &str) -> Result<u8, WindowError> {
    let day = |name: &str| {
        let found = NAMES.iter().position(|it| it.eq_ignore_ascii_case(name));
        found.ok_or(WindowError::Text)
    };
    let mut days = 0;
    for part in text.split(',') {
        match part.split_once('-') {
            None => days |= 1 << day(part)?,
            Some((first, last)) => {
                let (first, last) = (day(first)?, day(last)?);
                let count = (last + 7 - first) % 7;
                for at in 0..=count {
                    days |= 1 << ((first + at) % 7);
                }
            }
        }
    }
    Ok(days)
}

/// Writes days of the week, three or more in a row as `Mon-Fri`.
fn written_days(days: u8) -> String {
    let on = |at: &usize| days >> at & 1 == 1;
    let name = |at: usize| NAMES.get(at).copied().unwrap_or_default();
    let mut parts: Vec<String> = Vec::new();
    let mut at = 0;
    while at < NAMES.len() {
        let run = (at..NAMES.len()).take_while(on).count();
        match run {
            0..=2 => parts.extend((at..at + run).map(|at| name(at).to_owned())),
            _ => parts.push(format!("{}-{}", name(at), name(at + run - 1))),
        }
        at += run.max(1);
    }
    parts.join(",")
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.days != EVERY_DAY {
            write!(f, "{} ", written_days(self.days))?;
        }
        let time = |minutes: u16| (minutes / 60, minutes % 60);
        let ((from_h, from_m), (to_h, to_m)) = (time(self.from), time(self.to));
        write!(f, "{from_h:02}:{from_m:02}-{to_h:02}:{to_m:02}")
    }
}

impl fmt::Display for Windows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, window) in self.0.iter().enumerate() {
            write!(f, "{}{window}", if at == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;
