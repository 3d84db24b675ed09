//! What a simulated phone holds: domains, apps and files, all drawn from a seed.
//!
//! The shape follows the corpus (shape.md, domains.json, manifest_db.md): the same domains, real
//! SQLite databases and property lists, many small files and few large ones, more directories than
//! one expects, an empty-path row per domain, some links. Sizes by percentile are an assumption:
//! no public figures were found. No file's bytes are kept: they are made while they are read.

mod change;
mod databases;
mod drafts;
mod fill;
mod names;
mod plan;
mod preferences;
mod rng;
mod secrets;
mod shares;
mod tree;

use std::sync::{Arc, OnceLock};

use crate::identity::Identity;

pub use fill::ContentReader;
pub(crate) use tree::{Body, Row};
pub use tree::{FileId, FileKind, FileView, Tree};

/// Unix seconds of the phone's state before any change: 2025-01-01.
pub(crate) const FIRST_MOMENT: u32 = 1_735_689_600;

/// How much a phone holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentSpec {
    /// The seed everything is drawn from.
    pub seed: u64,
    /// Regular files in a backup.
    pub files: u64,
    /// Bytes of those files together.
    pub bytes: u64,
    /// User apps.
    pub apps: u32,
    /// One file of exactly so many bytes, counted in `files` and `bytes`.
    pub largest_file: Option<u64>,
}

impl Default for ContentSpec {
    fn default() -> Self {
        Self {
            seed: 1,
            files: 200,
            bytes: 4 << 20,
            apps: 3,
            largest_file: None,
        }
    }
}

/// A user app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    /// `CFBundleIdentifier`.
    pub bundle_id: String,
    /// `CFBundleDisplayName`.
    pub name: String,
    /// `CFBundleShortVersionString`.
    pub version: String,
    /// `CFBundleVersion`.
    pub build: String,
}

/// The phone's data.
#[derive(Clone, Debug)]
pub struct Content {
    apps: Vec<App>,
    tree: Arc<Tree>,
    /// What only encrypted backups hold.
    secrets: Tree,
    /// Both together, once somebody asked.
    joined: OnceLock<Arc<Tree>>,
    revision: u32,
    added: u64,
}

impl Content {
    /// Draws the phone's data from the spec.
    ///
    /// Exactly `files` regular files of exactly `bytes` bytes come out, except that `files = 0`
    /// leaves no bytes and `largest_file` is cut to `bytes`.
    pub fn generate(spec: &ContentSpec, identity: &Identity) -> Self {
        let apps = plan::apps(spec);
        let tree = Arc::new(plan::tree(spec, &apps, identity.ios));
        Self {
            apps,
            tree,
            secrets: secrets::tree(spec, identity.ios),
            joined: OnceLock::new(),
            revision: 0,
            added: 0,
        }
    }

    /// Changes, adds and deletes so many files, always in the same way for the same history.
    ///
    /// Databases change first, as on a real phone; half of the other changed files keep their size.
    pub fn change(&mut self, touch: u64, add: u64, delete: u64) {
        self.revision += 1;
        self.joined = OnceLock::new();
        let tree = Arc::make_mut(&mut self.tree);
        change::change(
            tree,
            self.revision,
            &mut self.added,
            change::Amounts { touch, add, delete },
        );
    }

    /// Returns the user apps.
    pub fn apps(&self) -> &[App] {
        &self.apps
    }

    /// Returns the bytes of all regular files together.
    pub fn used_bytes(&self) -> u64 {
        self.tree.bytes()
    }

    /// Returns the data as they are at this moment; later changes do not touch what was returned.
    pub fn snapshot(&self) -> Arc<Tree> {
        Arc::clone(&self.tree)
    }

    /// Returns the same with what only an encrypted backup holds (phone.md §6).
    pub fn snapshot_with_secrets(&self) -> Arc<Tree> {
        let join = || Arc::new(self.tree.with(&self.secrets));
        Arc::clone(self.joined.get_or_init(join))
    }

    /// Returns every row of a plain backup: files, directories and links.
    pub fn files(&self) -> impl ExactSizeIterator<Item = FileView<'_>> {
        self.tree.files()
    }

    /// Opens the file a view shows.
    pub fn reader(&self, view: &FileView<'_>) -> ContentReader {
        self.tree.reader(view)
    }

    /// Returns SHA-1 of a file's content.
    ///
    /// # Errors
    /// None in practice: the bytes are made in memory.
    pub fn sha1_of(&self, view: &FileView<'_>) -> std::io::Result<[u8; 20]> {
        self.tree.sha1_of(view)
    }
}

#[cfg(test)]
mod tests;
