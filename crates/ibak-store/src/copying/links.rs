//! Which files of a phone share an inode at the source, so that they share one at the target.
//!
//! Most are found without a memory: the backup before has the same inode under the same path.
//! The others are looked up here, up to a bound; beyond it a file gets a copy of its own, which
//! takes room and loses nothing.

use crate::staging::Key;
use ibak_core::BackupPath;
use std::collections::HashMap;

/// Inodes remembered at most; some 50 bytes each.
const REMEMBERED_MAX: usize = 1_000_000;

#[derive(Debug)]
struct Seen {
    /// Names of it that were not met yet.
    left: u64,
    /// The place in `trees` of where it lies at the target.
    tree: u32,
    path: Key,
}

/// The inodes of one phone that have more names to come.
#[derive(Debug, Default)]
pub(super) struct Links {
    seen: HashMap<u64, Seen>,
    /// Directories of the target, below the phone's, that paths are relative to.
    trees: Vec<String>,
}

impl Links {
    /// Takes note of a tree that is being copied; what is remembered from here on lies in it.
    pub(super) fn enter(&mut self, tree: String) {
        self.trees.push(tree);
    }

    /// Returns where a copy of an inode lies, below the phone's directory.
    pub(super) fn find(&self, inode: u64) -> Option<String> {
        let seen = self.seen.get(&inode)?;
        let tree = self.trees.get(usize::try_from(seen.tree).ok()?)?;
        Some(format!("{tree}/{}", seen.path.path().as_str()))
    }

    /// Takes note that one of an inode's names went over as `path` of the present tree.
    pub(super) fn met(&mut self, inode: u64, names: u64, path: &str) {
        if names < 2 {
            return;
        }
        if let Some(seen) = self.seen.get_mut(&inode) {
            seen.left = seen.left.saturating_sub(1);
            if seen.left == 0 {
                self.seen.remove(&inode);
            }
            return;
        }
        if self.seen.len() >= REMEMBERED_MAX {
            return;
        }
        let Some(tree) = self.trees.len().checked_sub(1) else {
            return;
        };
        self.seen.insert(
            inode,
            Seen {
                left: names - 1,
                tree: u32::try_from(tree).unwrap_or(u32::MAX),
                path: Key::new(&BackupPath::Tree(path.to_owned())),
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inode_is_remembered_until_its_last_name() {
        let blob = "3d/3d0d7e5fb2ce288813306e4d4636395e047a3d28";
        let mut links = Links::default();
        links.enter("gens/A/U".to_owned());
        links.met(1, 1, "Info.plist");
        links.met(2, 3, blob);
        links.met(3, 2, "Manifest.db");
        links.enter("gens/B/U".to_owned());
        assert_eq!(links.find(1), None);
        assert_eq!(links.find(2), Some(format!("gens/A/U/{blob}")));
        assert_eq!(links.find(3).as_deref(), Some("gens/A/U/Manifest.db"));
        links.met(2, 3, "Manifest.db");
        assert_eq!(links.find(2), Some(format!("gens/A/U/{blob}")));
        links.met(2, 3, "x");
        assert_eq!(links.find(2), None);
    }
}
