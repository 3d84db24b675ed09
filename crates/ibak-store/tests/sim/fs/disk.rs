//! What a disk holds: inodes, and the names that lead to them. Copying one shares every inode.

use ibak_store::fs::{Errno, Kind};
use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

pub type Ino = usize;
pub const ROOT: Ino = 0;
/// Bytes in a block, and what is written whole or not at all.
pub const BLOCK: usize = 4096;

/// The bytes of a file, with their hash once somebody asked.
#[derive(Debug, Default)]
pub struct Bytes {
    pub bytes: Vec<u8>,
    hash: OnceLock<u64>,
}

impl Clone for Bytes {
    fn clone(&self) -> Self {
        Self::from(self.bytes.clone())
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            hash: OnceLock::new(),
        }
    }
}

impl Bytes {
    fn hash(&self) -> u64 {
        *self.hash.get_or_init(|| {
            let mut hasher = DefaultHasher::new();
            self.bytes.hash(&mut hasher);
            hasher.finish()
        })
    }

    fn change(this: &mut Arc<Self>) -> &mut Vec<u8> {
        let own = Arc::make_mut(this);
        own.hash = OnceLock::new();
        &mut own.bytes
    }
}

#[derive(Clone, Debug)]
pub enum Body {
    File(Arc<Bytes>),
    Directory(BTreeMap<Arc<str>, Ino>),
    Symlink(Arc<str>),
}

#[derive(Clone, Debug)]
pub struct Node {
    pub body: Body,
    pub mode: u32,
    /// Bytes of a file; its content may be longer while a crash is being made up.
    pub size: usize,
    /// How many names lead here.
    pub names: u64,
    /// Nanoseconds since the epoch.
    pub modified: u64,
}

impl Node {
    pub fn new(body: Body, mode: u32, modified: u64) -> Self {
        let size = match &body {
            Body::Symlink(target) => target.len(),
            Body::File(_) | Body::Directory(_) => 0,
        };
        Self {
            body,
            mode,
            size,
            names: 0,
            modified,
        }
    }

    pub fn kind(&self) -> Kind {
        match self.body {
            Body::File(_) => Kind::Regular,
            Body::Directory(_) => Kind::Directory,
            Body::Symlink(_) => Kind::Symlink,
        }
    }

    /// Blocks it takes: a directory one, a symbolic link none.
    pub fn blocks(&self) -> u64 {
        match self.body {
            Body::File(_) => self.size.div_ceil(BLOCK) as u64,
            Body::Directory(_) => 1,
            Body::Symlink(_) => 0,
        }
    }

    pub fn entries(&self) -> Result<&BTreeMap<Arc<str>, Ino>, Errno> {
        match &self.body {
            Body::Directory(entries) => Ok(entries),
            Body::File(_) | Body::Symlink(_) => Err(Errno::NOTDIR),
        }
    }

    pub fn is_directory(&self) -> bool {
        matches!(self.body, Body::Directory(_))
    }

    pub fn is_empty_directory(&self) -> bool {
        self.entries().is_ok_and(BTreeMap::is_empty)
    }
}

/// What lies below a directory, as far as anybody can see it.
pub type Tree = BTreeMap<String, Leaf>;

#[derive(Clone, Debug)]
pub struct Leaf {
    pub kind: Kind,
    pub mode: u32,
    pub modified: u64,
    pub bytes: Arc<Bytes>,
}

/// Says whether two trees are the same, and where they are not; files whose path ends as one of
/// `damaged` may hold anything or be missing.
pub fn difference(a: &Tree, b: &Tree, damaged: &[String]) -> Option<String> {
    let excused = |path: &str| {
        let named = damaged.iter().any(|damaged| path.ends_with(damaged));
        // Damage of the index has a sentence, not a path.
        named || (path == "index.zst" && !damaged.is_empty())
    };
    let same = |path: &str, one: &Leaf, two: &Leaf| {
        // The time of a directory changes when the tree is moved or linked from.
        let when = one.kind == Kind::Directory || one.modified == two.modified;
        let bytes = Arc::ptr_eq(&one.bytes, &two.bytes) || one.bytes.bytes == two.bytes.bytes;
        (one.kind, one.mode) == (two.kind, two.mode) && (when && bytes || excused(path))
    };
    a.iter()
        .find(|(path, leaf)| match b.get(*path) {
            Some(other) => !same(path, leaf, other),
            None => !excused(path),
        })
        .map(|(path, _)| path.clone())
        .or_else(|| b.keys().find(|path| !a.contains_key(*path)).cloned())
}

#[derive(Clone, Debug)]
pub struct Disk {
    nodes: Vec<Option<Arc<Node>>>,
    free: Vec<Ino>,
}

impl Disk {
    /// An empty file system.
    pub fn new() -> Self {
        let mut root = Node::new(Body::Directory(BTreeMap::new()), 0o755, 0);
        root.names = 1;
        Self {
            nodes: vec![Some(Arc::new(root))],
            free: Vec::new(),
        }
    }

    /// Takes a number for a new inode; `reuse` as real file systems do.
    pub fn add(&mut self, node: Node, reuse: bool) -> Ino {
        let ino = match self.free.pop().filter(|_| reuse) {
            Some(ino) => ino,
            None => {
                self.nodes.push(None);
                self.nodes.len() - 1
            }
        };
        self.nodes[ino] = Some(Arc::new(node));
        ino
    }

    /// Puts a new inode at a number that somebody else gave it.
    pub fn put(&mut self, ino: Ino, node: Node) {
        if self.nodes.len() <= ino {
            self.nodes.resize(ino + 1, None);
        }
        self.nodes[ino] = Some(Arc::new(node));
    }

    pub fn remove(&mut self, ino: Ino) {
        self.nodes[ino] = None;
        self.free.push(ino);
    }

    pub fn node(&self, ino: Ino) -> &Node {
        self.nodes[ino].as_ref().unwrap()
    }

    pub fn node_mut(&mut self, ino: Ino) -> &mut Node {
        Arc::make_mut(self.nodes[ino].as_mut().unwrap())
    }

    pub fn entry(&self, dir: Ino, name: &str) -> Option<Ino> {
        self.node(dir).entries().ok()?.get(name).copied()
    }

    fn entries_mut(&mut self, dir: Ino) -> &mut BTreeMap<Arc<str>, Ino> {
        match &mut self.node_mut(dir).body {
            Body::Directory(entries) => entries,
            Body::File(_) | Body::Symlink(_) => panic!("not a directory"),
        }
    }

    pub fn enter(&mut self, dir: Ino, name: &Arc<str>, ino: Ino) {
        self.entries_mut(dir).insert(Arc::clone(name), ino);
        self.node_mut(ino).names += 1;
    }

    pub fn leave(&mut self, dir: Ino, name: &str) -> Option<Ino> {
        let ino = self.entries_mut(dir).remove(name)?;
        self.node_mut(ino).names -= 1;
        Some(ino)
    }

    /// Writes into a file; bytes beyond its size are kept for when the size follows.
    pub fn write(&mut self, ino: Ino, at: usize, bytes: &[u8]) {
        if let Body::File(content) = &mut self.node_mut(ino).body {
            let content = Bytes::change(content);
            if content.len() < at + bytes.len() {
                content.resize(at + bytes.len(), 0);
            }
            content[at..at + bytes.len()].copy_from_slice(bytes);
        }
    }

    /// Makes the content of every file as long as its size says, with `fill` where nothing was
    /// written; blocks beyond it are gone.
    pub fn settle(&mut self, fill: u8) {
        for ino in 0..self.nodes.len() {
            let Some(node) = &self.nodes[ino] else {
                continue;
            };
            if let Body::File(content) = &node.body
                && content.bytes.len() != node.size
            {
                let size = node.size;
                if let Body::File(content) = &mut self.node_mut(ino).body {
                    Bytes::change(content).resize(size, fill);
                }
            }
        }
    }

    /// Says whether `ino` is `above` or lies below it.
    pub fn is_below(&self, ino: Ino, above: Ino) -> bool {
        ino == above
            || self.node(above).entries().is_ok_and(|entries| {
                entries
                    .values()
                    .any(|inner| self.node(*inner).is_directory() && self.is_below(ino, *inner))
            })
    }

    /// Number of names of a directory as `stat` has it: its own, `.`, and every `..`.
    pub fn directory_links(&self, node: &Node) -> u64 {
        let inner = node.entries().map_or(0, |entries| {
            entries
                .values()
                .filter(|ino| self.node(**ino).is_directory())
                .count() as u64
        });
        if node.names == 0 { 0 } else { 2 + inner }
    }

    /// Forgets what no name leads to. Returns a number that is the same for equal disks, whatever
    /// their inodes are called.
    pub fn collect(&mut self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let mut seen: BTreeMap<Ino, u64> = BTreeMap::new();
        self.visit(ROOT, &mut seen, &mut hasher);
        self.free.clear();
        for ino in 0..self.nodes.len() {
            if !seen.contains_key(&ino) {
                self.nodes[ino] = None;
                self.free.push(ino);
            }
        }
        hasher.finish()
    }

    fn visit(&self, ino: Ino, seen: &mut BTreeMap<Ino, u64>, hasher: &mut DefaultHasher) {
        let next = seen.len() as u64;
        let number = *seen.entry(ino).or_insert(next);
        number.hash(hasher);
        if number != next {
            return;
        }
        let node = self.node(ino);
        (node.mode, node.size).hash(hasher);
        match &node.body {
            Body::File(content) => content.hash().hash(hasher),
            Body::Symlink(target) => target.hash(hasher),
            Body::Directory(entries) => {
                entries.len().hash(hasher);
                for (name, inner) in entries {
                    name.hash(hasher);
                    self.visit(*inner, seen, hasher);
                }
            }
        }
    }

    /// Blocks in use.
    pub fn blocks(&self) -> u64 {
        self.nodes.iter().flatten().map(|node| node.blocks()).sum()
    }

    /// Blocks below a directory, with its own, each inode once: what `du` says.
    pub fn blocks_below(&self, path: &str) -> u64 {
        let mut seen = BTreeMap::new();
        if let Some(ino) = self.find(path) {
            self.visit(ino, &mut seen, &mut DefaultHasher::new());
        }
        seen.keys().map(|ino| self.node(*ino).blocks()).sum()
    }

    pub fn find(&self, path: &str) -> Option<Ino> {
        path.split('/')
            .filter(|part| !part.is_empty())
            .try_fold(ROOT, |dir, name| self.entry(dir, name))
    }

    /// Names in a directory; none when there is no such directory.
    pub fn names(&self, path: &str) -> Vec<String> {
        let found = self
            .find(path)
            .and_then(|ino| self.node(ino).entries().ok());
        found.map_or_else(Vec::new, |entries| {
            entries.keys().map(|name| (**name).to_owned()).collect()
        })
    }

    /// Everything below a directory.
    pub fn tree(&self, path: &str) -> Tree {
        let mut tree = Tree::new();
        if let Some(ino) = self.find(path) {
            self.tree_below(ino, "", &mut tree);
        }
        tree
    }

    fn tree_below(&self, ino: Ino, at: &str, tree: &mut Tree) {
        let node = self.node(ino);
        let bytes = match &node.body {
            Body::File(content) => Arc::clone(content),
            Body::Symlink(target) => Arc::new(Bytes::from(target.as_bytes().to_vec())),
            Body::Directory(entries) => {
                for (name, inner) in entries {
                    let path = if at.is_empty() {
                        (**name).to_owned()
                    } else {
                        format!("{at}/{name}")
                    };
                    self.tree_below(*inner, &path, tree);
                }
                Arc::default()
            }
        };
        let leaf = Leaf {
            kind: node.kind(),
            mode: node.mode,
            modified: node.modified,
            bytes,
        };
        tree.insert(at.to_owned(), leaf);
    }
}
