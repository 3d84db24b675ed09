//! Durations and sizes as people write them in a configuration: `24h`, `10 min`, `500 GiB`.

use std::time::Duration;

/// Says what is wrong with a duration or a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Not a whole number and a unit of time.
    #[error(
        "`{0}` is not a duration: write a whole number and s, min, h or d, for example 10min or 24h"
    )]
    Duration(String),
    /// Not a number and a unit of size.
    #[error(
        "`{0}` is not a size: write a whole number and B, KiB, MiB, GiB or TiB (K, M, G and T mean the same), for example 500GiB"
    )]
    Size(String),
}

fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim()))
}

/// Parses a duration of whole seconds, minutes, hours or days.
///
/// # Errors
/// [`UnitError::Duration`] for anything else, also when it exceeds 100 years.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let error = || UnitError::Duration(text.to_owned());
    let (number, unit) = split(text).ok_or_else(error)?;
    let secs_each = match unit {
        "s" | "sec" | "secs" | "second" | "seconds" => 1,
        "m" | "min" | "minute" | "minutes" => 60,
        "h" | "hour" | "hours" => 3_600,
        "d" | "day" | "days" => 86_400,
        _ => return Err(error()),
    };
    number
        .checked_mul(secs_each)
        .filter(|s| *s <= 36_525 * 86_400)
        .map(Duration::from_secs)
        .ok_or_else(error)
}

/// Parses a size in bytes with binary units.
///
/// # Errors
/// [`UnitError::Size`] for anything else, also on overflow.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let error = || UnitError::Size(text.to_owned());
    let (number, unit) = split(text).ok_or_else(error)?;
    let shift = match unit {
        "B" => 0,
        "K" | "KiB" => 10,
        "M" | "MiB" => 20,
        "G" | "GiB" => 30,
        "T" | "TiB" => 40,
        _ => return Err(error()),
    };
    number.checked_mul(1 << shift).ok_or_else(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let cases = [
            ("24h", Some(86_400)),
            ("10 min", Some(600)),
            ("90s", Some(90)),
            ("3d", Some(259_200)),
            ("0s", Some(0)),
            ("", None),
            ("10", None),
            ("h", None),
            ("-1h", None),
            ("1.5h", None),
            ("99999999999999999999h", None),
            ("40000d", None),
        ];
        for (text, want) in cases {
            assert_eq!(
                parse_duration(text).ok().map(|d| d.as_secs()),
                want,
                "{text}"
            );
        }
    }

    #[test]
    fn sizes() {
        let cases = [
            ("500GiB", Some(500 << 30)),
            ("500 G", Some(500 << 30)),
            ("2T", Some(2 << 40)),
            ("0B", Some(0)),
            ("500", None),
            ("500GB!", None),
            ("99999999999T", None),
        ];
        for (text, want) in cases {
            assert_eq!(parse_size(text).ok(), want, "{text}");
        }
    }
}
