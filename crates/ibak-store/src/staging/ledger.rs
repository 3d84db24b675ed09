//! What this session received: length and BLAKE3 of every file that is not a link to the parent.

use ibak_core::BackupPath;
use std::collections::{BTreeSet, HashMap};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Received {
    pub(super) size: u64,
    pub(super) hash: [u8; 32],
}

/// A path in as few bytes as nearly all of them need: a backup has up to millions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    Blob { snapshot: bool, id: [u8; 20] },
    Other(Box<BackupPath>),
}

impl Key {
    pub(crate) fn new(path: &BackupPath) -> Self {
        let blob = |text: &str| {
            let (snapshot, inner) = match text.strip_prefix("Snapshot/") {
                Some(inner) => (true, inner),
                None => (false, text),
            };
            let (prefix, id) = inner.split_once('/')?;
            if !id.starts_with(prefix) || prefix.len() != 2 {
                return None;
            }
            Some(Self::Blob {
                snapshot,
                id: crate::index::unhex(id)?,
            })
        };
        match path {
            BackupPath::Tree(text) => {
                blob(text).unwrap_or_else(|| Self::Other(Box::new(path.clone())))
            }
            BackupPath::Scratch(_) => Self::Other(Box::new(path.clone())),
        }
    }

    pub(crate) fn path(&self) -> BackupPath {
        match self {
            Self::Blob { snapshot, id } => {
                let id = crate::index::hex(id);
                let prefix = id.get(..2).unwrap_or_default();
                BackupPath::Tree(format!(
                    "{}{prefix}/{id}",
                    if *snapshot { "Snapshot/" } else { "" }
                ))
            }
            Self::Other(path) => (**path).clone(),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    files: HashMap<Key, Received>,
    /// Paths whose content the phone could not send.
    failed: BTreeSet<BackupPath>,
    /// Paths left out of the clone, which the phone has neither sent again nor removed.
    awaited: BTreeSet<BackupPath>,
}

impl Ledger {
    pub(super) fn await_again(&mut self, paths: impl IntoIterator<Item = BackupPath>) {
        self.awaited.extend(paths);
    }

    pub(super) fn awaited(&self) -> impl Iterator<Item = &BackupPath> {
        self.awaited.iter()
    }

    pub(super) fn get(&self, path: &BackupPath) -> Option<Received> {
        self.files.get(&Key::new(path)).copied()
    }

    pub(super) fn set(&mut self, path: &BackupPath, received: Received) {
        self.files.insert(Key::new(path), received);
        self.failed.remove(path);
        self.awaited.remove(path);
    }

    pub(super) fn fail(&mut self, path: &BackupPath) {
        self.files.remove(&Key::new(path));
        self.awaited.remove(path);
        self.failed.insert(path.clone());
    }

    pub(super) fn failed(&self) -> impl Iterator<Item = &BackupPath> {
        self.failed.iter()
    }

    /// Forgets a file, or everything below a directory.
    pub(super) fn forget(&mut self, path: &BackupPath, is_dir: bool) {
        self.files.remove(&Key::new(path));
        self.awaited.remove(path);
        if is_dir {
            self.files.retain(|key, _| !is_below(&key.path(), path));
            self.awaited.retain(|awaited| !is_below(awaited, path));
        }
    }

    /// Follows a rename of a file or directory.
    pub(super) fn rename(&mut self, from: &BackupPath, to: &BackupPath, is_dir: bool) {
        self.forget(to, is_dir);
        match self.files.remove(&Key::new(from)) {
            Some(received) => self.set(to, received),
            None => {
                self.files.remove(&Key::new(to));
            }
        }
        if is_dir {
            let moved: Vec<BackupPath> = self
                .files
                .keys()
                .map(Key::path)
                .filter(|path| is_below(path, from))
                .collect();
            for path in moved {
                if let (Some(received), Some(target)) =
                    (self.files.remove(&Key::new(&path)), rebase(&path, from, to))
                {
                    self.files.insert(Key::new(&target), received);
                }
            }
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (BackupPath, Received)> {
        self.files
            .iter()
            .map(|(key, received)| (key.path(), *received))
    }
}

fn is_below(path: &BackupPath, dir: &BackupPath) -> bool {
    let same_root = matches!(
        (path, dir),
        (BackupPath::Tree(_), BackupPath::Tree(_))
            | (BackupPath::Scratch(_), BackupPath::Scratch(_))
    );
    let below = |rest: &str| dir.as_str().is_empty() || rest.starts_with('/');
    same_root
        && path
            .as_str()
            .strip_prefix(dir.as_str())
            .is_some_and(|rest| !rest.is_empty() && below(rest))
}

fn rebase(path: &BackupPath, from: &BackupPath, to: &BackupPath) -> Option<BackupPath> {
    let rest = path.as_str().strip_prefix(from.as_str())?;
    let text = format!("{}{rest}", to.as_str());
    Some(match to {
        BackupPath::Tree(_) => BackupPath::Tree(text),
        BackupPath::Scratch(_) => BackupPath::Scratch(text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(path: &str) -> BackupPath {
        BackupPath::Tree(path.to_owned())
    }

    #[test]
    fn follows_files_and_directories() {
        let id = "3d0d7e5fb2ce288813306e4d4636395e047a3d28";
        let one = Received {
            size: 1,
            hash: [1; 32],
        };
        let two = Received {
            size: 2,
            hash: [2; 32],
        };
        let mut ledger = Ledger::default();
        ledger.set(&tree(&format!("Snapshot/3d/{id}")), one);
        ledger.set(&tree("Snapshot/Manifest.db"), two);
        ledger.rename(
            &tree(&format!("Snapshot/3d/{id}")),
            &tree(&format!("3d/{id}")),
            false,
        );
        assert_eq!(ledger.get(&tree(&format!("3d/{id}"))), Some(one));
        assert_eq!(ledger.get(&tree(&format!("Snapshot/3d/{id}"))), None);
        ledger.rename(&tree("3d"), &tree("Snapshot/3d"), true);
        assert_eq!(ledger.get(&tree(&format!("Snapshot/3d/{id}"))), Some(one));
        ledger.forget(&tree("Snapshot"), true);
        assert_eq!(ledger.iter().count(), 0);
        let scratch = BackupPath::Scratch(".b/1".into());
        ledger.set(&scratch, one);
        ledger.forget(&tree(""), true);
        assert_eq!(ledger.get(&scratch), Some(one));
        // A file of the parent moved onto a received one: nothing is known of it any more.
        ledger.set(&tree("Manifest.db"), two);
        ledger.rename(&tree("Manifest.db-wal"), &tree("Manifest.db"), false);
        assert_eq!(ledger.get(&tree("Manifest.db")), None);
    }
}
