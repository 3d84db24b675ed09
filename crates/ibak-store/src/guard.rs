//! The poison guard: whether a new backup has lost so much that the one before it is kept until a
//! person has looked.
//!
//! A phone that was wiped, or taken over, makes whole and valid backups of next to nothing, and
//! retention would in time leave only those. So the last one from before is guarded: shown with
//! its reason, and never removed by itself. The new one is committed all the same.

/// What of a backup is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) encrypted: bool,
}

/// Files below which a loss says nothing: an emptier backup than any phone in use makes, of which
/// the lists and property lists of the protocol are a good part.
const FILES_MIN: u64 = 20;
/// Loss that a phone in use does not show from one day to the next, in percent.
const LOSS_MAX: u128 = 30;

/// Returns why a backup is guarded when `new` follows it, in one word.
pub(crate) fn why(old: Shape, new: Shape) -> Option<&'static str> {
    if old.encrypted != new.encrypted {
        return Some(if new.encrypted {
            "encryption-on"
        } else {
            "encryption-off"
        });
    }
    if old.files < FILES_MIN {
        return None;
    }
    if has_lost(old.files, new.files) {
        return Some("fewer-files");
    }
    has_lost(old.bytes, new.bytes).then_some("fewer-bytes")
}

fn has_lost(old: u64, new: u64) -> bool {
    u128::from(old.saturating_sub(new)) * 100 > u128::from(old) * LOSS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_as_a_loss() {
        let shape = |files, bytes, encrypted| Shape {
            files,
            bytes,
            encrypted,
        };
        let old = shape(1000, 1_000_000, true);
        for (old, new, want) in [
            (old, old, None),
            (old, shape(5000, 9_000_000, true), None),
            (old, shape(700, 1_000_000, true), None),
            (old, shape(699, 1_000_000, true), Some("fewer-files")),
            (old, shape(1000, 700_000, true), None),
            (old, shape(1000, 699_999, true), Some("fewer-bytes")),
            (old, shape(0, 0, true), Some("fewer-files")),
            (old, shape(1000, 1_000_000, false), Some("encryption-off")),
            (shape(1, 1, false), shape(1, 1, true), Some("encryption-on")),
            (shape(19, 5000, false), shape(4, 0, false), None),
            (
                shape(20, 5000, false),
                shape(13, 5000, false),
                Some("fewer-files"),
            ),
            (shape(20, 0, false), shape(20, 0, false), None),
            (
                shape(u64::MAX, u64::MAX, false),
                shape(u64::MAX, u64::MAX / 2, false),
                Some("fewer-bytes"),
            ),
        ] {
            assert_eq!(why(old, new), want, "{old:?} {new:?}");
        }
    }
}
