//! Sizes that people type.

use ibak_dbus::Bytes;

/// Reads a size: `200G`, `200 GiB`, `1.5TiB`, `200GB` (of 1000) or a number of bytes. As in the
/// configuration, a single letter is the same as with `iB`.
///
/// # Errors
/// Says what can be read.
pub fn parse(text: &str) -> Result<Bytes, String> {
    let bad = || format!("{text:?} is no size: write 200G, 1.5TiB or a number of bytes");
    let trimmed = text.trim();
    let split = trimmed
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at_checked(split).ok_or_else(bad)?;
    let unit = unit.trim().to_ascii_lowercase();
    let (letter, step) = match unit.strip_suffix("ib") {
        Some(letter) => (letter, 1024_u128),
        None => match unit.strip_suffix('b') {
            Some(letter) => (letter, 1000),
            None => (unit.as_str(), 1024),
        },
    };
    let power = match letter {
        "" if unit == "ib" => return Err(bad()),
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return Err(bad()),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    // More decimals than six say nothing about a disk, and bound the arithmetic.
    let decimals = u32::try_from(fraction.len()).map_err(|_| bad())?;
    if whole.is_empty() || decimals > 6 || number.ends_with('.') || (power == 0 && decimals > 0) {
        return Err(bad());
    }
    let digits: u128 = format!("{whole}{fraction}").parse().map_err(|_| bad())?;
    digits
        .checked_mul(step.pow(power))
        .map(|scaled| scaled / 10_u128.pow(decimals))
        .and_then(|bytes| u64::try_from(bytes).ok())
        .map(Bytes::new)
        .ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type() {
        const G: u64 = 1 << 30;
        let cases = [
            ("200G", 200 * G),
            ("200 GiB", 200 * G),
            ("200gib", 200 * G),
            ("1.5TiB", 1536 * G),
            ("1.5t", 1536 * G),
            ("200GB", 200_000_000_000),
            ("4096", 4096),
            ("4096B", 4096),
            (" 0 ", 0),
            ("0.5K", 512),
            ("2p", 2048 * 1024 * G),
        ];
        for (text, want) in cases {
            assert_eq!(parse(text), Ok(Bytes::new(want)), "{text}");
        }
        for bad in [
            "",
            "G",
            ".5G",
            "5.G",
            "1.5",
            "1,5G",
            "-1G",
            "five",
            "1 iB",
            "1.2.3G",
            "1EiB",
            "99999999999999999999",
            "99999999P",
            "1.1234567G",
            "1 G B",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
