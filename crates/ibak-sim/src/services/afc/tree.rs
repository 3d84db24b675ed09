//! The media partition in memory, with file locks.

use std::collections::{BTreeMap, HashMap};
use std::time::{SystemTime, UNIX_EPOCH};

use super::Status;
use crate::identity::Identity;
use crate::state::Switch;

/// The file whose lock says that a sync is going on.
const SYNC_LOCK: &str = "com.apple.itunes.lock_sync";
/// The directories a phone has.
const DIRECTORIES: &[&str] = &[
    "Books/Purchases",
    "DCIM/100APPLE",
    "Downloads",
    "MediaAnalysis",
    "PhotoData/Thumbnails",
    "Photos",
    "PublicStaging",
    "Purchases",
    "Radio",
    "Recordings",
    "Safari",
    "general_storage",
    "iTunes_Control/Artwork",
    "iTunes_Control/Music",
    "iTunes_Control/iTunes",
];
/// The longest file a host may write, in bytes.
const FILE_LEN_MAX: usize = 64 << 20;

/// A connection and one of its handles.
pub(crate) type Owner = (u64, u64);

#[derive(Clone, Debug)]
pub(crate) enum Body {
    Directory,
    File(Vec<u8>),
    /// A file that is made while it is read, and that no host may change.
    Made {
        key: u64,
        len: u64,
    },
    Link(String),
}

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) body: Body,
    pub(crate) modified: SystemTime,
    pub(crate) born: SystemTime,
}

impl Node {
    fn new(body: Body) -> Self {
        let now = SystemTime::now();
        Self {
            body,
            modified: now,
            born: now,
        }
    }
}

#[derive(Default)]
struct Lock {
    exclusive: Option<Owner>,
    shared: Vec<Owner>,
}

/// The tree. Paths are relative to its root, without a slash at either end.
pub(crate) struct Tree {
    nodes: BTreeMap<String, Node>,
    locks: HashMap<String, Lock>,
    connections: u64,
}

/// Who holds the sync lock when the simulator is told that somebody does.
const SOMEBODY: Owner = (0, 0);

impl Tree {
    /// Makes the media partition of a phone that iTunes once knew.
    pub(crate) fn of_a_phone(identity: &Identity) -> Self {
        let mut tree = Self {
            nodes: BTreeMap::new(),
            locks: HashMap::new(),
            connections: 0,
        };
        tree.nodes.insert(String::new(), Node::new(Body::Directory));
        for path in DIRECTORIES {
            if let Err(status) = tree.make_dir(path) {
                tracing::error!(path, ?status, "an empty tree refuses a directory");
            }
        }
        for (name, len) in [
            ("iTunesPrefs", 328),
            ("iTunesPrefs.plist", 512),
            ("IC-Info.sidv", 48),
            ("PhotosFolderPrefs", 64),
        ] {
            let seed = identity.udid.bytes().chain(name.bytes());
            let bytes: Vec<u8> = seed
                .collect::<Vec<_>>()
                .into_iter()
                .cycle()
                .take(len)
                .collect();
            tree.nodes.insert(
                format!("iTunes_Control/iTunes/{name}"),
                Node::new(Body::File(bytes)),
            );
        }
        tree
    }

    pub(super) fn connect(&mut self) -> u64 {
        self.connections += 1;
        self.connections
    }

    pub(super) fn find(&self, path: &str) -> Result<&Node, Status> {
        self.nodes.get(path).ok_or(Status::ObjectNotFound)
    }

    fn find_mut(&mut self, path: &str) -> Result<&mut Node, Status> {
        self.nodes.get_mut(path).ok_or(Status::ObjectNotFound)
    }

    fn below<'a>(&'a self, path: &str) -> impl Iterator<Item = (&'a str, &'a String)> + use<'a> {
        let prefix = if path.is_empty() {
            String::new()
        } else {
            format!("{path}/")
        };
        let start = prefix.clone();
        self.nodes
            .range(start..)
            .map(|(key, _)| key)
            .filter(|key| !key.is_empty())
            .map_while(move |key| {
                key.starts_with(&prefix)
                    .then(|| (&key[prefix.len()..], key))
            })
    }

    pub(super) fn list(&self, path: &str) -> Result<Vec<String>, Status> {
        match self.find(path)?.body {
            Body::Directory => {}
            Body::File(_) | Body::Made { .. } | Body::Link(_) => return Err(Status::ReadError),
        }
        let children = self
            .below(path)
            .map(|(name, _)| name)
            .filter(|name| !name.contains('/'));
        Ok(children.map(ToOwned::to_owned).collect())
    }

    /// Makes a directory and those above it.
    pub(super) fn make_dir(&mut self, path: &str) -> Result<(), Status> {
        let ends = path
            .match_indices('/')
            .map(|(at, _)| at)
            .chain([path.len()]);
        for end in ends {
            let node = self
                .nodes
                .entry(path[..end].to_owned())
                .or_insert_with(|| Node::new(Body::Directory));
            match node.body {
                Body::Directory => {}
                Body::File(_) | Body::Made { .. } | Body::Link(_) => {
                    return Err(Status::ObjectExists);
                }
            }
        }
        Ok(())
    }

    fn parent_is_dir(&self, path: &str) -> Result<(), Status> {
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        match self.find(parent)?.body {
            Body::Directory => Ok(()),
            Body::File(_) | Body::Made { .. } | Body::Link(_) => Err(Status::ObjectNotFound),
        }
    }

    /// Opens a file, following one link.
    pub(super) fn open(
        &mut self,
        path: &str,
        create: bool,
        truncate: bool,
    ) -> Result<String, Status> {
        let path = match self.nodes.get(path).map(|node| &node.body) {
            Some(Body::Link(target)) => target.clone(),
            Some(Body::Directory | Body::File(_) | Body::Made { .. }) | None => path.to_owned(),
        };
        match self.nodes.get_mut(&path) {
            Some(Node {
                body: Body::File(bytes),
                ..
            }) => {
                if truncate {
                    bytes.clear();
                }
                Ok(path)
            }
            Some(Node {
                body: Body::Made { .. },
                ..
            }) if create => Err(Status::PermissionDenied),
            Some(Node {
                body: Body::Made { .. },
                ..
            }) => Ok(path),
            Some(_) => Err(Status::ObjectIsDir),
            None if create => {
                self.parent_is_dir(&path)?;
                self.nodes
                    .insert(path.clone(), Node::new(Body::File(Vec::new())));
                Ok(path)
            }
            None => Err(Status::ObjectNotFound),
        }
    }

    pub(super) fn bytes(&self, path: &str) -> Result<&[u8], Status> {
        match &self.find(path)?.body {
            Body::File(bytes) => Ok(bytes),
            Body::Made { .. } => Err(Status::PermissionDenied),
            Body::Directory | Body::Link(_) => Err(Status::ObjectIsDir),
        }
    }

    /// Returns how long a file is, in bytes.
    pub(super) fn len(&self, path: &str) -> Result<u64, Status> {
        match &self.find(path)?.body {
            Body::Made { len, .. } => Ok(*len),
            Body::File(_) | Body::Directory | Body::Link(_) => {
                self.bytes(path).map(|bytes| bytes.len() as u64)
            }
        }
    }

    /// Reads at most `len` bytes of a file from `at`.
    pub(super) fn read(&self, path: &str, at: u64, len: usize) -> Result<Vec<u8>, Status> {
        if let Body::Made { key, len: whole } = self.find(path)?.body {
            return super::purchases::read(key, whole, at, len);
        }
        let bytes = self.bytes(path)?;
        let from = usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
        let to = from.saturating_add(len).min(bytes.len());
        Ok(bytes.get(from..to).unwrap_or(&[]).to_vec())
    }

    /// Puts a file that is made while it is read into its place.
    pub(super) fn plant(&mut self, path: &str, key: u64, len: u64) -> Result<(), Status> {
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.make_dir(parent)?;
        }
        self.nodes
            .insert(path.to_owned(), Node::new(Body::Made { key, len }));
        Ok(())
    }

    /// Returns a copy of a file that a host wrote.
    pub(crate) fn file(&self, path: &str) -> Option<Vec<u8>> {
        self.bytes(path).ok().map(<[u8]>::to_vec)
    }

    pub(super) fn write(&mut self, path: &str, at: u64, data: &[u8]) -> Result<(), Status> {
        let node = self.find_mut(path)?;
        let at = usize::try_from(at).map_err(|_| Status::InvalidArgument)?;
        let end = at
            .checked_add(data.len())
            .filter(|end| *end <= FILE_LEN_MAX)
            .ok_or(Status::NoSpaceLeft)?;
        let Body::File(bytes) = &mut node.body else {
            return Err(Status::ObjectIsDir);
        };
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[at..end].copy_from_slice(data);
        node.modified = SystemTime::now();
        Ok(())
    }

    pub(super) fn set_len(&mut self, path: &str, len: u64) -> Result<(), Status> {
        let len = usize::try_from(len)
            .ok()
            .filter(|len| *len <= FILE_LEN_MAX)
            .ok_or(Status::NoSpaceLeft)?;
        let Body::File(bytes) = &mut self.find_mut(path)?.body else {
            return Err(Status::ObjectIsDir);
        };
        bytes.resize(len, 0);
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &str, with_contents: bool) -> Result<(), Status> {
        if path.is_empty() {
            return Err(Status::PermissionDenied);
        }
        self.find(path)?;
        let inside: Vec<String> = self.below(path).map(|(_, key)| key.clone()).collect();
        if !inside.is_empty() && !with_contents {
            return Err(Status::DirectoryNotEmpty);
        }
        for key in inside {
            self.nodes.remove(&key);
        }
        self.nodes.remove(path);
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> Result<(), Status> {
        if from.is_empty()
            || to.is_empty()
            || to
                .strip_prefix(from)
                .is_some_and(|rest| rest.starts_with('/'))
        {
            return Err(Status::PermissionDenied);
        }
        self.parent_is_dir(to)?;
        let node = self.nodes.remove(from).ok_or(Status::ObjectNotFound)?;
        let inside: Vec<(String, String)> = self
            .below(from)
            .map(|(name, key)| (key.clone(), format!("{to}/{name}")))
            .collect();
        self.nodes.insert(to.to_owned(), node);
        for (old, new) in inside {
            if let Some(node) = self.nodes.remove(&old) {
                self.nodes.insert(new, node);
            }
        }
        Ok(())
    }

    pub(super) fn link(&mut self, target: &str, path: &str, symbolic: bool) -> Result<(), Status> {
        self.parent_is_dir(path)?;
        let node = if symbolic {
            Node::new(Body::Link(target.to_owned()))
        } else {
            self.find(target)?.clone()
        };
        self.nodes.insert(path.to_owned(), node);
        Ok(())
    }

    pub(super) fn set_modified(&mut self, path: &str, nanos: u64) -> Result<(), Status> {
        self.find_mut(path)?.modified = UNIX_EPOCH + std::time::Duration::from_nanos(nanos);
        Ok(())
    }

    /// Takes or lets go of a lock, never waiting.
    pub(super) fn lock(&mut self, path: &str, owner: Owner, wish: Wish) -> Result<(), Status> {
        let lock = self.locks.entry(path.to_owned()).or_default();
        let others_share = lock.shared.iter().any(|other| *other != owner);
        let other_excludes = lock.exclusive.is_some_and(|other| other != owner);
        match wish {
            Wish::Shared | Wish::Exclusive if other_excludes => return Err(Status::WouldBlock),
            Wish::Exclusive if others_share => return Err(Status::WouldBlock),
            Wish::Shared => {
                lock.exclusive = None;
                lock.shared.push(owner);
            }
            Wish::Exclusive => {
                lock.shared.clear();
                lock.exclusive = Some(owner);
            }
            Wish::Free => {
                lock.shared.retain(|other| *other != owner);
                lock.exclusive = lock.exclusive.filter(|other| *other != owner);
            }
        }
        Ok(())
    }

    /// Lets go of every lock of a handle, or of a connection.
    pub(super) fn release(&mut self, gone: impl Fn(&Owner) -> bool) {
        for lock in self.locks.values_mut() {
            lock.shared.retain(|owner| !gone(owner));
            lock.exclusive = lock.exclusive.filter(|owner| !gone(owner));
        }
    }

    /// Makes somebody else hold the sync lock, or let it go.
    pub(crate) fn hold_sync_lock(&mut self, to: Switch) {
        let lock = self.locks.entry(SYNC_LOCK.to_owned()).or_default();
        match to {
            Switch::On => lock.exclusive = Some(SOMEBODY),
            Switch::Off => lock.exclusive = lock.exclusive.filter(|owner| *owner != SOMEBODY),
        }
    }

    /// Tells whether a host holds the sync lock.
    pub(crate) fn sync_lock_is_held(&self) -> bool {
        self.locks
            .get(SYNC_LOCK)
            .is_some_and(|lock| lock.exclusive.is_some())
    }
}

/// What a host wants of a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Shared,
    Exclusive,
    Free,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::IosVersion;

    fn tree() -> Tree {
        Tree::of_a_phone(&Identity::draw(
            1,
            "a",
            "iPhone14,5",
            IosVersion::new(15, 6, 0),
            None,
        ))
    }

    #[test]
    fn files_are_made_moved_and_removed() {
        let mut tree = tree();
        tree.make_dir("a/b").unwrap();
        assert_eq!(
            tree.open("a/b/c", false, false),
            Err(Status::ObjectNotFound)
        );
        assert_eq!(tree.open("x/y", true, false), Err(Status::ObjectNotFound));
        tree.open("a/b/c", true, false).unwrap();
        tree.write("a/b/c", 2, b"xy").unwrap();
        assert_eq!(tree.bytes("a/b/c").unwrap(), b"\0\0xy");
        assert_eq!(tree.remove("a", false), Err(Status::DirectoryNotEmpty));
        tree.rename("a", "z").unwrap();
        assert_eq!(tree.list("z").unwrap(), ["b"]);
        assert_eq!(tree.bytes("z/b/c").unwrap(), b"\0\0xy");
        assert_eq!(tree.rename("z", "z/b/q"), Err(Status::PermissionDenied));
        tree.remove("z", true).unwrap();
        assert_eq!(tree.find("z/b/c").unwrap_err(), Status::ObjectNotFound);
        assert_eq!(tree.remove("", true), Err(Status::PermissionDenied));
    }

    #[test]
    fn only_one_holds_an_exclusive_lock() {
        let mut tree = tree();
        tree.lock("f", (1, 1), Wish::Exclusive).unwrap();
        tree.lock("f", (1, 1), Wish::Exclusive).unwrap();
        assert_eq!(
            tree.lock("f", (2, 1), Wish::Exclusive),
            Err(Status::WouldBlock)
        );
        assert_eq!(
            tree.lock("f", (2, 1), Wish::Shared),
            Err(Status::WouldBlock)
        );
        tree.lock("f", (1, 1), Wish::Free).unwrap();
        tree.lock("f", (2, 1), Wish::Shared).unwrap();
        assert_eq!(
            tree.lock("f", (1, 1), Wish::Exclusive),
            Err(Status::WouldBlock)
        );
        tree.release(|owner| owner.0 == 2);
        tree.lock("f", (1, 1), Wish::Exclusive).unwrap();
    }

    #[test]
    fn somebody_else_may_hold_the_sync_lock() {
        let mut tree = tree();
        tree.hold_sync_lock(Switch::On);
        assert_eq!(
            tree.lock(SYNC_LOCK, (1, 1), Wish::Exclusive),
            Err(Status::WouldBlock)
        );
        tree.hold_sync_lock(Switch::Off);
        assert!(!tree.sync_lock_is_held());
        tree.lock(SYNC_LOCK, (1, 1), Wish::Exclusive).unwrap();
        assert!(tree.sync_lock_is_held());
    }
}
