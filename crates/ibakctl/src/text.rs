//! Text that may be shown: escaping, measuring, cutting; sizes and lengths of time.

use crate::style::{Glyphs, Style, Tone};
use ibak_dbus::Bytes;
use std::fmt::Write as _;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Is how many columns a phone's own name may take.
pub const NAME_COLUMNS_MAX: usize = 40;

/// Escapes whatever could move the cursor, turn the text around or hide in it.
///
/// Control characters, the bidirectional controls, line and paragraph separators, and invisible
/// format characters come out as `\u{…}`; the joiner inside an emoji stays.
pub fn escape(text: &str, style: &Style) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match (style.glyphs, c) {
            (_, c) if c.is_control() || is_hidden(c) => push_escape(&mut out, c),
            (Glyphs::Ascii, '\u{2019}' | '\u{2018}') => out.push('\''),
            (Glyphs::Ascii, c) if !c.is_ascii() => out.push('?'),
            (Glyphs::Unicode | Glyphs::Ascii, c) => out.push(c),
        }
    }
    out
}

/// Escapes a name and cuts it to [`NAME_COLUMNS_MAX`].
pub fn name(text: &str, style: &Style) -> String {
    fit(&escape(text, style), NAME_COLUMNS_MAX, style)
}

/// Leaves out whatever [`escape`] would escape, and cuts to `chars_max` characters: for text that
/// is to be read by a program rather than looked at.
pub fn bare(text: &str, chars_max: usize) -> String {
    let shown = |c: &char| !c.is_control() && !is_hidden(*c);
    let mut out: String = text.chars().filter(shown).take(chars_max).collect();
    out.truncate(out.trim_end().len());
    out
}

fn push_escape(out: &mut String, c: char) {
    // Writing into a string cannot fail.
    if write!(out, "\\u{{{:x}}}", u32::from(c)).is_err() {
        out.push('?');
    }
}

fn is_hidden(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
    )
}

/// Returns how many columns escaped text takes.
pub fn columns(text: &str) -> usize {
    text.width()
}

/// Pads escaped text with spaces to `width` columns.
pub fn pad(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(columns(text))))
}

/// Cuts escaped text to at most `width` columns, with an ellipsis where it was cut.
pub fn fit(text: &str, width: usize, style: &Style) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let ellipsis = match style.glyphs {
        Glyphs::Unicode => "…",
        Glyphs::Ascii => "...",
    };
    let room = width.saturating_sub(columns(ellipsis));
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > room {
            break;
        }
        out.push(c);
    }
    while out.ends_with([' ', '\u{200d}']) {
        out.pop();
    }
    out.push_str(ellipsis);
    out
}

/// Breaks escaped text between words into lines of at most `width` columns; a longer word stays whole.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { break };
        if line.is_empty() {
            line.push_str(word);
        } else if columns(line) + 1 + columns(word) <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// Breaks a sentence between words at the terminal's edge; further lines begin under `indent`
/// columns, which the first line already has. Without a terminal it stays one line.
pub fn paragraph(sentence: &str, indent: usize, style: &Style) -> String {
    match style.width {
        None => sentence.to_owned(),
        Some(width) => {
            wrap(sentence, width.saturating_sub(indent)).join(&format!("\n{}", " ".repeat(indent)))
        }
    }
}

/// Renders the one thing to do, beside its word.
pub fn hint(sentence: &str, style: &Style) -> String {
    let word = "Hint:";
    let sentence = paragraph(sentence, word.len() + 1, style);
    format!("{} {sentence}\n", style.tone(Tone::Wary, word))
}

const UNITS: [&str; 7] = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// Writes a size: `7.6 GiB`, `212 GiB`, `9 GiB`, `512 bytes`.
pub fn bytes(size: Bytes) -> String {
    let (number, unit) = parts(size);
    format!("{number} {unit}")
}

/// Writes a share of a size: `288 of 500 GiB`, `900 MiB of 2 GiB`.
pub fn of_bytes(part: Bytes, whole: Bytes) -> String {
    let ((part, part_unit), (whole, whole_unit)) = (parts(part), parts(whole));
    if part_unit == whole_unit {
        format!("{part} of {whole} {whole_unit}")
    } else {
        format!("{part} {part_unit} of {whole} {whole_unit}")
    }
}

fn parts(size: Bytes) -> (String, &'static str) {
    let mut tenths = u128::from(size.get()) * 10;
    let mut unit = 0;
    // 1023.5 and more would round to 1024 of its unit.
    while (tenths + 5) / 10 >= 1024 && unit + 1 < UNITS.len() {
        tenths = (tenths + 512) / 1024;
        unit += 1;
    }
    let whole = tenths / 10;
    let number = if unit == 0 || whole >= 10 || tenths % 10 == 0 {
        ((tenths + 5) / 10).to_string()
    } else {
        format!("{whole}.{}", tenths % 10)
    };
    let unit = match (unit, size.get()) {
        (0, 1) => "byte",
        (unit, _) => UNITS.get(unit).copied().unwrap_or("bytes"),
    };
    (number, unit)
}

/// Writes a length of time in its largest unit that is at least two, or in seconds: `12 s`,
/// `12 min`, `36 h`, `3 days`.
pub fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", (seconds + 30) / 60),
        7_200..172_800 => format!("{} h", (seconds + 1_800) / 3_600),
        _ => format!("{} days", (seconds + 43_200) / 86_400),
    }
}

/// Writes a number with its noun: `1 file`, `2,000 files`.
pub fn count(number: u64, one: &str, many: &str) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{grouped} {}", if number == 1 { one } else { many })
}

/// Joins `a`, `b` and `c` as `a, b and c`.
pub fn join(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [init @ .., last] => format!("{} and {last}", init.join(", ")),
    }
}

/// Makes the first letter a capital.
pub fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(chars).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use proptest::prelude::*;

    fn unicode() -> Style {
        Style::plain(Timestamp::UNIX_EPOCH)
    }

    fn ascii() -> Style {
        Style {
            glyphs: Glyphs::Ascii,
            ..unicode()
        }
    }

    #[test]
    fn sizes() {
        let cases = [
            (0, "0 bytes"),
            (1, "1 byte"),
            (1023, "1023 bytes"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (10 << 20, "10 MiB"),
            ((76 << 30) / 10, "7.6 GiB"),
            (9 << 30, "9 GiB"),
            (212 << 30, "212 GiB"),
            ((1 << 30) - 1, "1 GiB"),
            (u64::MAX, "16 EiB"),
        ];
        for (size, want) in cases {
            assert_eq!(bytes(Bytes::new(size)), want);
        }
        assert_eq!(
            of_bytes(Bytes::from_gib(288), Bytes::from_gib(500)),
            "288 of 500 GiB"
        );
        assert_eq!(
            of_bytes(Bytes::from_mib(900), Bytes::from_gib(2)),
            "900 MiB of 2 GiB"
        );
    }

    #[test]
    fn spans_and_counts() {
        let cases = [
            (0, "0 s"),
            (119, "119 s"),
            (120, "2 min"),
            (719, "12 min"),
            (7_199, "120 min"),
            (7_200, "2 h"),
            (259_200, "3 days"),
        ];
        for (seconds, want) in cases {
            assert_eq!(span(seconds), want);
        }
        assert_eq!(count(1, "file", "files"), "1 file");
        assert_eq!(count(100_000, "file", "files"), "100,000 files");
    }

    #[test]
    fn what_moves_or_hides_is_escaped() {
        let evil = "A\u{1b}[2Jda\u{202e}moc\u{7}\n\u{9b}\u{200b}\u{2066}\u{feff}";
        assert_eq!(
            escape(evil, &unicode()),
            r"A\u{1b}[2Jda\u{202e}moc\u{7}\u{a}\u{9b}\u{200b}\u{2066}\u{feff}"
        );
        let family = "👩\u{200d}👧 Ada’s";
        assert_eq!(escape(family, &unicode()), family);
        assert_eq!(escape(family, &ascii()), "??? Ada's");
    }

    #[test]
    fn cutting_counts_columns() {
        assert_eq!(fit("🔒🔒🔒🔒", 5, &unicode()), "🔒🔒…");
        assert_eq!(columns("🔒 yes"), 6);
        assert_eq!(fit("abcdef", 5, &ascii()), "ab...");
        assert_eq!(fit("abcde", 5, &ascii()), "abcde");
        assert_eq!(pad("🔒", 4), "🔒  ");
    }

    #[test]
    fn wrapping_keeps_every_word() {
        assert_eq!(
            wrap("when its screen is locked", 10),
            ["when its", "screen is", "locked"]
        );
        assert_eq!(wrap("unbreakable 🔒 x", 4), ["unbreakable", "🔒 x"]);
        assert_eq!(wrap("", 4), [""]);
    }

    #[test]
    fn a_hint_hangs_under_its_first_word() {
        let narrow = Style {
            width: Some(16),
            ..ascii()
        };
        assert_eq!(
            hint("plug the phone in", &narrow),
            "Hint: plug the\n      phone in\n"
        );
        assert_eq!(
            hint("plug the phone in", &ascii()),
            "Hint: plug the phone in\n"
        );
    }

    proptest! {
        #[test]
        fn nothing_escaped_reaches_a_terminal(text in "\\PC*|[\\x00-\\x1f\\x7f-\\x9f\u{202a}-\u{202e}\u{2066}-\u{2069}]*|.*") {
            for style in [unicode(), ascii()] {
                let shown = escape(&text, &style);
                prop_assert!(!shown.chars().any(|c| c.is_control() || is_hidden(c)));
                prop_assert!(style.glyphs == Glyphs::Unicode || shown.is_ascii());
                prop_assert!(columns(&fit(&shown, 20, &style)) <= 20);
            }
        }
    }
}
