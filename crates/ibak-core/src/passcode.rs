//! Whether a phone asks for its passcode before a backup (phone.md §1).
//!
//! What happened outweighs what can be inferred; with neither it is unknown, and one automatic
//! try finds out.

use crate::Asking;

/// What is known about a phone's passcode prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Passcode {
    /// It asks before every backup.
    Asks,
    /// It never asks.
    Never,
    /// Nobody knows yet.
    Unknown,
}

impl Passcode {
    /// Returns the word on the bus.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Asks => "asks",
            Self::Never => "never",
            Self::Unknown => "unknown",
        }
    }

    /// Concludes from what was learned, the system's version and whether the phone is known
    /// to have a passcode.
    ///
    /// ```
    /// use ibak_core::{Asking, Passcode};
    /// assert_eq!(Passcode::conclude(None, Some("15.6"), true), Passcode::Never);
    /// assert_eq!(Passcode::conclude(None, Some("16.3.1"), true), Passcode::Asks);
    /// assert_eq!(Passcode::conclude(None, Some("16.3.1"), false), Passcode::Unknown);
    /// assert_eq!(Passcode::conclude(Some(Asking::Never), Some("16.3.1"), false), Passcode::Never);
    /// ```
    pub fn conclude(learned: Option<Asking>, os_version: Option<&str>, has_passcode: bool) -> Self {
        if learned == Some(Asking::Asks) {
            return Self::Asks;
        }
        match (os_version.and_then(system_prompts), has_passcode, learned) {
            (Some(false), _, _) => Self::Never,
            (Some(true), true, _) => Self::Asks,
            (_, _, Some(_)) => Self::Never,
            (_, _, None) => Self::Unknown,
        }
    }
}

/// Tells whether this version of the phone's system has the prompt: from 16.1, and from 15.7.1
/// within 15. `None` when the version cannot be read.
fn system_prompts(version: &str) -> Option<bool> {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().ok());
    let major = parts.next()??;
    let minor = parts.next().map_or(Some(0), |part| part)?;
    let patch = parts.next().map_or(Some(0), |part| part)?;
    let version = (major, minor, patch);
    Some(version >= (16, 1, 0) || ((15, 7, 1)..(16, 0, 0)).contains(&version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_systems_prompt() {
        for (version, want) in [
            ("9.3.5", Some(false)),
            ("15.6", Some(false)),
            ("15.7", Some(false)),
            ("15.7.1", Some(true)),
            ("15.8.4", Some(true)),
            ("16.0", Some(false)),
            ("16", Some(false)),
            ("16.0.3", Some(false)),
            ("16.1", Some(true)),
            ("26.0.1", Some(true)),
            ("", None),
            ("sixteen", None),
            ("16.x", None),
        ] {
            assert_eq!(system_prompts(version), want, "{version}");
        }
    }

    #[test]
    fn conclusions() {
        use Passcode::{Asks, Never, Unknown};
        for (learned, version, has_passcode, want) in [
            (None, None, false, Unknown),
            (None, None, true, Unknown),
            (None, Some("15.6"), true, Never),
            (None, Some("16.0"), false, Never),
            (None, Some("17.0"), true, Asks),
            (None, Some("17.0"), false, Unknown),
            (Some(Asking::Asks), Some("15.6"), false, Asks),
            (Some(Asking::Asks), None, false, Asks),
            (Some(Asking::Never), Some("17.0"), false, Never),
            (Some(Asking::Never), Some("17.0"), true, Asks),
            (Some(Asking::Never), None, true, Never),
        ] {
            assert_eq!(
                Passcode::conclude(learned, version, has_passcode),
                want,
                "{learned:?} {version:?} {has_passcode}"
            );
        }
    }
}
