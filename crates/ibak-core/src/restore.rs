//! Whether a phone can take a backup, as far as that is known before it is touched.
//!
//! What the phone does not say is no reason against it: it has the last word itself.

use crate::{Bytes, Failure};

/// What a phone says of itself that a restore depends on; `None` where it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoreTarget {
    /// Its system, for example `16.3.1`.
    pub os_version: String,
    /// Whether Find My is on.
    pub find_my: Option<bool>,
    /// Whether its setup was finished.
    pub setup_done: Option<bool>,
    /// Bytes that a restore may fill.
    pub room: Option<Bytes>,
}

/// What is to be restored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoreSource {
    /// The system it was made on, if it says so.
    pub os_version: Option<String>,
    /// All it holds.
    pub size: Bytes,
    /// Whether a later reading found it damaged.
    pub damaged: bool,
}

/// Says why this phone cannot take this backup; `None` when nothing known stands against it.
///
/// ```
/// use ibak_core::{Failure, RestoreSource, RestoreTarget, restore_refused};
/// let target = RestoreTarget { os_version: "15.6".into(), ..RestoreTarget::default() };
/// let source = RestoreSource { os_version: Some("16.3.1".into()), ..RestoreSource::default() };
/// assert_eq!(restore_refused(&target, &source), Some(Failure::OlderSystem));
/// ```
pub fn restore_refused(target: &RestoreTarget, source: &RestoreSource) -> Option<Failure> {
    let made_on = source.os_version.as_deref();
    if source.damaged {
        Some(Failure::BackupUnreadable)
    } else if target.find_my == Some(true) {
        Some(Failure::FindMy)
    } else if target.setup_done == Some(false) {
        Some(Failure::SetupUnfinished)
    } else if made_on.is_some_and(|made_on| is_older(&target.os_version, made_on)) {
        Some(Failure::OlderSystem)
    } else if target.room.is_some_and(|room| room < source.size) {
        Some(Failure::NoRoomOnPhone)
    } else {
        None
    }
}

/// Tells whether version `a` is older than `b`; what is no version is not.
fn is_older(a: &str, b: &str) -> bool {
    let numbers = |text: &str| -> Option<Vec<u32>> {
        let parsed: Result<Vec<u32>, _> = text.split('.').map(str::parse).collect();
        let mut numbers = parsed.ok()?;
        while numbers.last() == Some(&0) {
            numbers.pop();
        }
        Some(numbers)
    };
    match (numbers(a), numbers(b)) {
        (Some(a), Some(b)) => a < b,
        (_, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (a, b, older) in [
            ("15.6", "15.6", false),
            ("15.6", "15.6.1", true),
            ("15.6.0", "15.6", false),
            ("9.3.5", "15.6", true),
            ("26.3", "16.3.1", false),
            ("16.3", "16.10", true),
            ("?", "16.10", false),
            ("16.1", "", false),
        ] {
            assert_eq!(is_older(a, b), older, "{a} {b}");
        }
    }

    #[test]
    fn each_reason_alone_and_the_worst_first() {
        let target = RestoreTarget {
            os_version: "16.3.1".to_owned(),
            find_my: Some(false),
            setup_done: Some(true),
            room: Some(Bytes::from_gib(10)),
        };
        let source = RestoreSource {
            os_version: Some("15.6".to_owned()),
            size: Bytes::from_gib(10),
            damaged: false,
        };
        assert_eq!(restore_refused(&target, &source), None);
        let silent = RestoreTarget {
            os_version: "16.3.1".to_owned(),
            ..RestoreTarget::default()
        };
        assert_eq!(
            restore_refused(&silent, &source),
            None,
            "not known is no no"
        );
        let find_my = RestoreTarget {
            find_my: Some(true),
            ..target.clone()
        };
        let setup = RestoreTarget {
            setup_done: Some(false),
            ..target.clone()
        };
        let small = RestoreTarget {
            room: Some(Bytes::from_gib(9)),
            ..target.clone()
        };
        let newer = RestoreSource {
            os_version: Some("16.4".to_owned()),
            ..source.clone()
        };
        let damaged = RestoreSource {
            damaged: true,
            ..source.clone()
        };
        for (target, source, why) in [
            (&find_my, &source, Failure::FindMy),
            (&setup, &source, Failure::SetupUnfinished),
            (&target, &newer, Failure::OlderSystem),
            (&small, &source, Failure::NoRoomOnPhone),
            (&small, &newer, Failure::OlderSystem),
            (&find_my, &damaged, Failure::BackupUnreadable),
        ] {
            assert_eq!(restore_refused(target, source), Some(why));
        }
    }
}
