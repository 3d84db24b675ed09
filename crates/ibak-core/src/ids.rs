//! Names that must not be swapped for each other.

use std::fmt;
use std::str::FromStr;

/// Says what is wrong with a name that came from outside.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not `8-16` hex digits with a dash, and not 40 hex digits.
    #[error("a UDID is 40 hex digits, or 8 and 16 hex digits with a dash between")]
    Udid,
    /// Not 26 characters of Crockford base 32.
    #[error("a backup id is 26 characters of the digits 0-9 and letters A-Z without I, L, O, U")]
    BackupId,
    /// Not a positive number.
    #[error("a job id is a number")]
    JobId,
}

/// A phone's unique device identifier, in canonical spelling.
///
/// Canonical: 40 lower-case hex digits (before iPhone XS), or 8 upper-case hex digits, a dash
/// and 16 more. usbmuxd on some systems leaves the dash out; the wire spelling is the
/// transport's business and is kept beside this value there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Udid(String);

impl Udid {
    /// Parses any usual spelling: with or without the dash, upper or lower case.
    ///
    /// # Errors
    /// [`IdError::Udid`] when the digits or their number are wrong.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let hex = |s: &str| s.bytes().all(|b| b.is_ascii_hexdigit());
        match (text.len(), text.split_once('-')) {
            (40, None) if hex(text) => Ok(Self(text.to_ascii_lowercase())),
            (24, None) if hex(text) => {
                let (head, tail) = text.split_at(8);
                Ok(Self(format!("{head}-{tail}").to_ascii_uppercase()))
            }
            (25, Some((head, tail))) if head.len() == 8 && hex(head) && hex(tail) => {
                Ok(Self(text.to_ascii_uppercase()))
            }
            _ => Err(IdError::Udid),
        }
    }

    /// Returns the canonical spelling.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Udid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Udid {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::parse(text)
    }
}

/// One committed, restorable backup: a ULID, so that ids sort by the time they were begun.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackupId(String);

impl BackupId {
    /// Parses the 26 characters of a ULID; letters are taken in either case.
    ///
    /// # Errors
    /// [`IdError::BackupId`] for any other text.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let upper = text.to_ascii_uppercase();
        let ok = upper.len() == 26
            && upper
                .bytes()
                .all(|b| b.is_ascii_digit() || (b.is_ascii_uppercase() && !b"ILOU".contains(&b)))
            && upper
                .as_bytes()
                .first()
                .is_some_and(|b| (b'0'..=b'7').contains(b));
        if ok {
            Ok(Self(upper))
        } else {
            Err(IdError::BackupId)
        }
    }

    /// Returns the name that sorts after all others, for a backup that is yet to come.
    pub(crate) fn last() -> Self {
        Self("7ZZZZZZZZZZZZZZZZZZZZZZZZZ".to_owned())
    }

    /// Returns the 26 characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for BackupId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::parse(text)
    }
}

/// A job's number. Never used again, also not after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(u64);

impl JobId {
    /// Makes the id with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Returns the number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for JobId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        text.parse().map(Self).map_err(|_| IdError::JobId)
    }
}

/// A size in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(u64);

impl Bytes {
    /// Is no bytes at all.
    pub const ZERO: Self = Self(0);

    /// Makes a size of `bytes` bytes.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Makes a size of `mib` mebibytes, saturating.
    pub const fn from_mib(mib: u64) -> Self {
        Self(mib.saturating_mul(1 << 20))
    }

    /// Makes a size of `gib` gibibytes, saturating.
    pub const fn from_gib(gib: u64) -> Self {
        Self(gib.saturating_mul(1 << 30))
    }

    /// Returns the number of bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Adds, staying at the largest size on overflow.
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Subtracts, staying at zero on underflow.
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn udid_spellings() {
        let old = "ABCDEF0123456789abcdef0123456789abcdef01";
        let cases = [
            (old, Some("abcdef0123456789abcdef0123456789abcdef01")),
            (
                "00008030-001a2b3c4d5e6f70",
                Some("00008030-001A2B3C4D5E6F70"),
            ),
            (
                "00008030001A2B3C4D5E6F70",
                Some("00008030-001A2B3C4D5E6F70"),
            ),
            ("", None),
            ("..", None),
            ("0000803-0001A2B3C4D5E6F70", None),
            ("00008030-001A2B3C4D5E6F7g", None),
            ("00008030-001A2B3C4D5E6F7é", None),
            ("abcdef0123456789abcdef0123456789abcdef0", None),
            ("abcdef0123456789abcdef0123456789abcdef0/", None),
        ];
        for (text, want) in cases {
            assert_eq!(
                Udid::parse(text).ok().as_ref().map(Udid::as_str),
                want,
                "{text}"
            );
        }
    }

    #[test]
    fn backup_id_spellings() {
        assert!(BackupId::parse("01JD8Z3YQ9V6W2X4T5R7P8N0KM").is_ok());
        assert_eq!(
            BackupId::parse("01jd8z3yq9v6w2x4t5r7p8n0km"),
            BackupId::parse("01JD8Z3YQ9V6W2X4T5R7P8N0KM")
        );
        for bad in [
            "",
            "..",
            "01JD8Z3YQ9V6W2X4T5R7P8N0K",
            "01JD8Z3YQ9V6W2X4T5R7P8N0KI",
            "../../../../../../../../etc",
            "81JD8Z3YQ9V6W2X4T5R7P8N0KM",
        ] {
            assert_eq!(BackupId::parse(bad), Err(IdError::BackupId), "{bad}");
        }
    }
}
