//! Which names a file may have: relative, plain, visible.

/// Is how many bytes one part of a name may have, as Linux has it.
pub const PART_BYTES_MAX: usize = 255;
/// Is how many bytes a whole name may have.
pub const NAME_BYTES_MAX: usize = 3_072;
/// Is how many parts a name may have.
pub const PARTS_MAX: usize = 128;

/// Why a name is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Odd {
    /// It is empty, or a part of it is.
    Empty,
    /// It begins with `/`.
    Absolute,
    /// A part of it is `.` or `..`.
    Dots,
    /// It holds a control character: an escape, a line's end, a zero.
    Control,
    /// It holds a character that turns text around, so that it reads as another name.
    Bidi,
    /// It, or a part of it, is too long.
    Long,
    /// It has too many parts.
    Deep,
    /// It is not UTF-8.
    Utf8,
}

impl Odd {
    /// Completes "its name …".
    pub fn phrase(self) -> &'static str {
        match self {
            Self::Empty => "has an empty part",
            Self::Absolute => "begins with a slash",
            Self::Dots => "leads elsewhere",
            Self::Control => "holds a control character",
            Self::Bidi => "holds a character that turns text around",
            Self::Long => "is too long",
            Self::Deep => "is nested too deep",
            Self::Utf8 => "is not UTF-8",
        }
    }
}

/// A name that stays beneath where it is put.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name {
    parts: Vec<String>,
}

impl Name {
    /// Reads a name; one slash at the end, as directories have, is left away.
    ///
    /// # Errors
    /// [`Odd`], the first that holds.
    pub fn parse(bytes: &[u8]) -> Result<Self, Odd> {
        let bytes = bytes.strip_suffix(b"/").unwrap_or(bytes);
        if bytes.len() > NAME_BYTES_MAX {
            return Err(Odd::Long);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| Odd::Utf8)?;
        if text.starts_with('/') {
            return Err(Odd::Absolute);
        }
        let parts: Vec<String> = text.split('/').map(str::to_owned).collect();
        if parts.len() > PARTS_MAX {
            return Err(Odd::Deep);
        }
        for part in &parts {
            match part.as_str() {
                "" => return Err(Odd::Empty),
                "." | ".." => return Err(Odd::Dots),
                long if long.len() > PART_BYTES_MAX => return Err(Odd::Long),
                odd if odd.chars().any(char::is_control) => return Err(Odd::Control),
                odd if odd.chars().any(turns) => return Err(Odd::Bidi),
                _ => {}
            }
        }
        Ok(Self { parts })
    }

    /// Returns its parts; there is at least one.
    pub fn parts(&self) -> &[String] {
        &self.parts
    }

    /// Returns the directories on its way, and its last part.
    pub fn split(&self) -> (&[String], &str) {
        match self.parts.split_last() {
            Some((last, way)) => (way, last),
            None => (&[], ""),
        }
    }
}

/// The embeddings, overrides and isolates, and what separates lines without being a control.
fn turns(c: char) -> bool {
    matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_and_what_is_odd_about_them() {
        let long = "a".repeat(256);
        let deep = vec!["a"; 129].join("/");
        let huge = "a/".repeat(5_000);
        for (name, want) in [
            (&b"HomeDomain/Library/Notes.sqlite"[..], Ok(3)),
            (b"HomeDomain/Library/", Ok(2)),
            (
                "CameraRollDomain/Gr\u{fc}\u{df}e \u{1f44b}.jpg".as_bytes(),
                Ok(2),
            ),
            ("a/\u{200e}PHOTO.jpg".as_bytes(), Ok(2)),
            (b"...", Ok(1)),
            (b"a/.hidden", Ok(2)),
            (b"", Err(Odd::Empty)),
            (b"/", Err(Odd::Empty)),
            (b"a//b", Err(Odd::Empty)),
            (b"/etc/passwd", Err(Odd::Absolute)),
            (b"//etc/passwd", Err(Odd::Absolute)),
            (b"..", Err(Odd::Dots)),
            (b"../", Err(Odd::Dots)),
            (b"a/../../b", Err(Odd::Dots)),
            (b"./a", Err(Odd::Dots)),
            (b"a/\x1b[2Jb", Err(Odd::Control)),
            (b"a\nb", Err(Odd::Control)),
            (b"a\0b", Err(Odd::Control)),
            ("a/\u{9b}b".as_bytes(), Err(Odd::Control)),
            ("gpj.\u{202e}exe".as_bytes(), Err(Odd::Bidi)),
            ("a\u{2066}b".as_bytes(), Err(Odd::Bidi)),
            (b"a/\xff", Err(Odd::Utf8)),
            (long.as_bytes(), Err(Odd::Long)),
            (huge.as_bytes(), Err(Odd::Long)),
            (deep.as_bytes(), Err(Odd::Deep)),
        ] {
            assert_eq!(
                Name::parse(name).map(|name| name.parts().len()),
                want,
                "{:?}",
                String::from_utf8_lossy(name)
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_accepted_stays_beneath(bytes in proptest::collection::vec(any::<u8>(), 0..64), text in "[a./\\\\\u{202e}\x1b]{0,40}") {
            for bytes in [bytes.as_slice(), text.as_bytes()] {
                if let Ok(name) = Name::parse(bytes) {
                    prop_assert!(!name.parts().is_empty());
                    for part in name.parts() {
                        prop_assert!(!part.is_empty() && part != "." && part != "..");
                        let odd = ['/', '\0', '\x1b', '\u{202e}'];
                        prop_assert!(!part.contains(odd));
                    }
                }
            }
        }
    }
}
