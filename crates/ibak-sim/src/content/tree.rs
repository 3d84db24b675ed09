//! The rows a backup is made of, as they stand at one moment.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;

use sha1::{Digest, Sha1};

use super::databases::Schema;
use super::fill::{ContentReader, Flavor};
use super::preferences::preferences;
use super::rng::mix;

/// SHA-1 of domain, "-" and relative path: the name of a file in the backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub [u8; 20]);

impl FileId {
    /// Makes the id of a file.
    pub fn of(domain: &str, path: &str) -> Self {
        let mut hash = Sha1::new();
        hash.update(domain);
        hash.update(b"-");
        hash.update(path);
        Self(hash.finalize().into())
    }

    /// Reads 40 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 40 || !text.is_ascii() {
            return None;
        }
        let mut id = [0; 20];
        for (slot, at) in id.iter_mut().zip((0..40).step_by(2)) {
            *slot = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
        }
        Some(Self(id))
    }

    /// Returns the 40 lower-case hexadecimal digits.
    pub fn hex(&self) -> String {
        let mut text = String::with_capacity(40);
        for byte in self.0 {
            // Writing to a String cannot fail.
            write!(text, "{byte:02x}").unwrap_or_default();
        }
        text
    }
}

/// What a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file: flags 1.
    Regular,
    /// A directory: flags 2.
    Directory,
    /// A symbolic link: flags 4.
    Symlink,
}

impl FileKind {
    /// Returns `flags` of the row in Manifest.db.
    pub const fn flags(self) -> i64 {
        match self {
            Self::Regular => 1,
            Self::Directory => 2,
            Self::Symlink => 4,
        }
    }
}

/// One row, as others may see it.
#[derive(Clone, Copy, Debug)]
pub struct FileView<'a> {
    /// Its name in the backup.
    pub id: FileId,
    /// The domain, with the bundle or group id where it has one.
    pub domain: &'a str,
    /// The path below the domain's root; empty for the root itself.
    pub path: &'a str,
    /// What it is.
    pub kind: FileKind,
    /// Bytes of a regular file; 0 for others.
    pub size: u64,
    /// How often it was changed.
    pub version: u32,
    pub(crate) row: &'a Row,
}

impl FileView<'_> {
    /// Returns when it was last changed, in seconds since 1970.
    pub const fn modified(&self) -> u32 {
        self.row.modified
    }

    /// Returns its kind and permissions.
    pub const fn mode(&self) -> u32 {
        self.row.mode()
    }

    /// Returns where a symbolic link leads.
    pub fn target(&self) -> Option<&str> {
        match &self.row.body {
            Body::Link(target) => Some(target),
            Body::Bytes(_) | Body::Preferences | Body::Database { .. } | Body::Directory => None,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Domain {
    pub(crate) name: Box<str>,
    /// Where the domain lies on the phone.
    pub(crate) root: Box<str>,
}

#[derive(Clone, Debug)]
pub(crate) enum Body {
    Bytes(Flavor),
    Preferences,
    Database {
        schema: Schema,
        key: u64,
        rows: u64,
        bytes: Arc<[u8]>,
    },
    Directory,
    Link(Box<str>),
}

/// Who owns a row: the forms seen on real phones (corpus manifest_db.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    Mobile,
    Root,
    /// uid and gid −2, mode 040000.
    Nobody,
}

impl Owner {
    pub(crate) const fn uid(self) -> i64 {
        match self {
            Self::Mobile => 501,
            Self::Root => 0,
            Self::Nobody => -2,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) id: FileId,
    pub(crate) domain: u32,
    pub(crate) version: u32,
    pub(crate) path: Box<str>,
    pub(crate) body: Body,
    pub(crate) size: u64,
    pub(crate) inode: u64,
    /// Unix seconds.
    pub(crate) born: u32,
    /// Unix seconds.
    pub(crate) modified: u32,
    pub(crate) owner: Owner,
}

impl Row {
    pub(crate) const fn kind(&self) -> FileKind {
        match self.body {
            Body::Bytes(_) | Body::Preferences | Body::Database { .. } => FileKind::Regular,
            Body::Directory => FileKind::Directory,
            Body::Link(_) => FileKind::Symlink,
        }
    }

    pub(crate) const fn mode(&self) -> u32 {
        match (self.kind(), self.owner) {
            (FileKind::Regular, _) => 0o100_600,
            (FileKind::Symlink, _) => 0o120_755,
            (FileKind::Directory, Owner::Nobody) => 0o040_000,
            (FileKind::Directory, Owner::Mobile | Owner::Root) => 0o040_755,
        }
    }

    /// Returns the protection class: most files open at the first unlock (3), few never close (4)
    /// or close with the screen (1, 2).
    pub(crate) const fn protection_class(&self) -> u8 {
        match (self.kind(), self.inode % 16) {
            (FileKind::Directory | FileKind::Symlink, _) => 0,
            (FileKind::Regular, 0) => 1,
            (FileKind::Regular, 1) => 2,
            (FileKind::Regular, 2..=4) => 4,
            (FileKind::Regular, _) => 3,
        }
    }

    fn key(&self, seed: u64) -> u64 {
        mix(mix(seed, self.inode), u64::from(self.version))
    }
}

/// The phone's data at one moment; cheap to share, never changed while it is shared.
#[derive(Clone, Debug)]
pub struct Tree {
    pub(crate) seed: u64,
    pub(crate) domains: Vec<Domain>,
    pub(crate) rows: Vec<Row>,
    next_inode: u64,
}

impl Tree {
    pub(crate) fn new(seed: u64) -> Self {
        Self::from_inode(seed, 12_884_901_890)
    }

    /// Makes an empty tree whose inodes follow a number.
    pub(crate) const fn from_inode(seed: u64, next_inode: u64) -> Self {
        Self {
            seed,
            domains: Vec::new(),
            rows: Vec::new(),
            next_inode,
        }
    }

    /// Joins two trees; what both have is taken from this one.
    pub(crate) fn with(&self, other: &Self) -> Self {
        let mut joined = self.clone();
        let ids: HashSet<FileId> = self.rows.iter().map(|row| row.id).collect();
        let mut places = Vec::new();
        for domain in &other.domains {
            let known = joined.domains.iter();
            let place = known
                .map(|known| &known.name)
                .position(|name| *name == domain.name);
            let place = place.unwrap_or_else(|| {
                joined.domains.push(domain.clone());
                joined.domains.len() - 1
            });
            places.push(u32::try_from(place).unwrap_or(u32::MAX));
        }
        let new = other.rows.iter().filter(|row| !ids.contains(&row.id));
        joined.rows.extend(new.map(|row| Row {
            domain: places.get(row.domain as usize).copied().unwrap_or(u32::MAX),
            ..row.clone()
        }));
        joined
    }

    /// Returns every row: files, directories and links.
    pub fn files(&self) -> impl ExactSizeIterator<Item = FileView<'_>> {
        self.rows.iter().map(|row| self.view(row))
    }

    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns whether there is nothing at all.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(crate) fn view<'a>(&'a self, row: &'a Row) -> FileView<'a> {
        FileView {
            id: row.id,
            domain: self.domain(row),
            path: &row.path,
            kind: row.kind(),
            size: row.size,
            version: row.version,
            row,
        }
    }

    /// Returns each domain's name and where it lies on the phone.
    pub(crate) fn domains(&self) -> impl Iterator<Item = (&str, &str)> {
        self.domains
            .iter()
            .map(|domain| (&*domain.name, &*domain.root))
    }

    pub(crate) fn domain(&self, row: &Row) -> &str {
        self.domains
            .get(row.domain as usize)
            .map_or("", |domain| &domain.name)
    }

    /// Returns where the row lies on the phone.
    pub(crate) fn device_path(&self, row: &Row) -> String {
        let root = self
            .domains
            .get(row.domain as usize)
            .map_or("", |domain| &domain.root);
        format!("{root}/{}", row.path)
    }

    /// Opens a regular file; directories and links read as empty.
    pub(crate) fn open(&self, row: &Row) -> ContentReader {
        let key = row.key(self.seed);
        match &row.body {
            Body::Bytes(flavor) => ContentReader::pool(key, *flavor, row.size),
            Body::Preferences => match preferences(key, row.size) {
                Some(bytes) => ContentReader::memory(bytes.into()),
                None => ContentReader::pool(key, Flavor::Plain, row.size),
            },
            Body::Database { bytes, .. } => ContentReader::memory(Arc::clone(bytes)),
            Body::Directory | Body::Link(_) => ContentReader::memory(Arc::from([])),
        }
    }

    /// Opens the file a view shows.
    pub fn reader(&self, view: &FileView<'_>) -> ContentReader {
        self.open(view.row)
    }

    /// Returns SHA-1 of a file's content.
    ///
    /// # Errors
    /// None in practice: the bytes are made in memory.
    pub fn sha1_of(&self, view: &FileView<'_>) -> std::io::Result<[u8; 20]> {
        let mut hash = Sha1::new();
        std::io::copy(&mut self.reader(view), &mut hash)?;
        Ok(hash.finalize().into())
    }

    /// Returns the bytes of all regular files together.
    pub fn bytes(&self) -> u64 {
        self.rows.iter().map(|row| row.size).sum()
    }

    pub(crate) fn take_inode(&mut self) -> u64 {
        self.next_inode += 1 + mix(self.next_inode, self.seed) % 7;
        self.next_inode
    }
}

/// Adds rows to a tree: parents come by themselves, and nothing comes twice.
pub(crate) struct Planter<'a> {
    tree: &'a mut Tree,
    seen: HashSet<FileId>,
    /// Unix seconds of what is planted.
    pub(crate) moment: u32,
}

impl<'a> Planter<'a> {
    pub(crate) fn new(tree: &'a mut Tree, moment: u32) -> Self {
        let seen = tree.rows.iter().map(|row| row.id).collect();
        Self { tree, seen, moment }
    }

    /// Adds a domain with its empty-path row, or finds it.
    pub(crate) fn domain(&mut self, name: &str, root: &str) -> u32 {
        let at = self
            .tree
            .domains
            .iter()
            .position(|domain| &*domain.name == name);
        let at = at.unwrap_or_else(|| {
            self.tree.domains.push(Domain {
                name: name.into(),
                root: root.into(),
            });
            self.tree.domains.len() - 1
        });
        let at = u32::try_from(at).unwrap_or(u32::MAX);
        self.row(at, "", Body::Directory, 0, Owner::Mobile);
        at
    }

    /// Adds a directory and its parents.
    pub(crate) fn directory(&mut self, domain: u32, path: &str, owner: Owner) {
        self.parents(domain, path);
        self.row(domain, path, Body::Directory, 0, owner);
    }

    /// Adds a file and its parents; returns whether it was not there before.
    pub(crate) fn file(&mut self, domain: u32, path: &str, body: Body, size: u64) -> bool {
        self.parents(domain, path);
        self.row(domain, path, body, size, Owner::Mobile)
    }

    /// Adds a link and its parents.
    pub(crate) fn link(&mut self, domain: u32, path: &str, target: &str) {
        self.parents(domain, path);
        self.row(domain, path, Body::Link(target.into()), 0, Owner::Root);
    }

    /// Adds the parents that are not there: above one that is, all are.
    fn parents(&mut self, domain: u32, path: &str) {
        let name = self
            .tree
            .domains
            .get(domain as usize)
            .map_or("", |domain| &domain.name);
        let missing: Vec<&str> = path
            .rmatch_indices('/')
            .map(|(at, _)| path.get(..at).unwrap_or(""))
            .take_while(|parent| !self.seen.contains(&FileId::of(name, parent)))
            .collect();
        for parent in missing.into_iter().rev() {
            self.row(domain, parent, Body::Directory, 0, Owner::Mobile);
        }
    }

    fn row(&mut self, domain: u32, path: &str, body: Body, size: u64, owner: Owner) -> bool {
        let name = self
            .tree
            .domains
            .get(domain as usize)
            .map_or("", |domain| &domain.name);
        let id = FileId::of(name, path);
        if !self.seen.insert(id) {
            return false;
        }
        let inode = self.tree.take_inode();
        let age = u32::try_from(mix(inode, 3) % 94_000_000).unwrap_or(0);
        let born = if self.moment == super::FIRST_MOMENT {
            self.moment - age
        } else {
            self.moment
        };
        let modified =
            born + u32::try_from(mix(inode, 4) % u64::from(self.moment - born + 1)).unwrap_or(0);
        self.tree.rows.push(Row {
            id,
            domain,
            version: 0,
            path: path.into(),
            body,
            size,
            inode,
            born,
            modified,
            owner,
        });
        true
    }
}
