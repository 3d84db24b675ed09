//! How things look: width, glyphs, colour, and the moment that counts as now.

use ibak_dbus::Wall;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Which characters may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glyphs {
    /// All of Unicode.
    Unicode,
    /// Plain ASCII, also in place of what phones are called.
    Ascii,
}

/// Whether colours are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// They are.
    Color,
    /// They are not.
    Plain,
}

/// What every rendering is told beside its view.
#[derive(Clone, Debug)]
pub struct Style {
    /// Which characters.
    pub glyphs: Glyphs,
    /// Whether in colour.
    pub paint: Paint,
    /// Columns of the terminal; `None` when it is none, and nothing is cut.
    pub width: Option<usize>,
    /// The present moment.
    pub now: Timestamp,
    /// Where the reader is.
    pub zone: TimeZone,
}

/// A meaning that has a colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Good.
    Good,
    /// Not so good.
    Wary,
    /// Bad.
    Bad,
    /// A heading.
    Head,
    /// Of less weight.
    Dim,
}

impl Style {
    /// Makes the style of a dumb pipe in UTC, for tests and files.
    pub fn plain(now: Timestamp) -> Self {
        Self {
            glyphs: Glyphs::Unicode,
            paint: Paint::Plain,
            width: None,
            now,
            zone: TimeZone::UTC,
        }
    }

    /// Colours text that is already padded.
    pub fn tone(&self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Good => "32",
            Tone::Wary => "33",
            Tone::Bad => "31",
            Tone::Head => "1",
            Tone::Dim => "2",
        };
        match self.paint {
            Paint::Color => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            Paint::Plain => text.to_owned(),
        }
    }

    /// Returns the seconds from `then` to now, below zero when `then` is to come.
    pub fn seconds_since(&self, then: Wall) -> i64 {
        self.now
            .as_microsecond()
            .saturating_sub(then.as_micros())
            .div_euclid(1_000_000)
    }
}
