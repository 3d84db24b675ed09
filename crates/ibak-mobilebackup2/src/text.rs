//! Makes text from a phone fit to keep.

/// Replaces control and direction characters and cuts after `chars_max` characters.
pub(crate) fn sanitise(text: &str, chars_max: usize) -> String {
    let clean = |c: char| if is_hostile(c) { '\u{fffd}' } else { c };
    let mut out: String = text.chars().take(chars_max).map(clean).collect();
    if text.chars().nth(chars_max).is_some() {
        out.push('…');
    }
    out
}

/// Says whether a character could move the cursor or reorder what stands around it.
fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::sanitise;

    #[test]
    fn texts() {
        let cases = [
            (
                "Device locked (MBErrorDomain/208)",
                99,
                "Device locked (MBErrorDomain/208)",
            ),
            (
                "a\u{1b}[2Jb\u{202e}c\nd",
                99,
                "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d",
            ),
            ("äöü", 3, "äöü"),
            ("äöüß", 3, "äöü…"),
            ("", 0, ""),
        ];
        for (text, max, want) in cases {
            assert_eq!(sanitise(text, max), want);
        }
    }
}
