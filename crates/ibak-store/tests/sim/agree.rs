//! The simulated file system is no private mistake: whatever is asked of it and of the kernel,
//! both give the same answers and end with the same tree.

use crate::device::scratch_dir;
use crate::fs::disk::Disk;
use crate::fs::{Rules, SimFs};
use ibak_store::fs::{Errno, Fs, Kind, Open, RealFs, Replace, Stat};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Handles are kept in few places, names are few: so that they meet.
const SLOTS: usize = 5;
const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
const PATHS: [&str; 16] = [
    "a", "b", "c", "a/b", "b/a", "a/b/c", "a/./b", "a/..", "a/../b", "..", ".", "", "/a", "c/d",
    "d", "e",
];

#[derive(Clone, Debug)]
enum Ask {
    Open(usize, usize, Open, usize),
    MakeDir(usize, usize),
    Link(usize, usize, usize, usize),
    Rename(usize, usize, usize, usize, Replace),
    Symlink(usize, usize),
    ReadLink(usize, usize),
    Unlink(usize, usize),
    RemoveDir(usize, usize),
    Stat(usize, usize),
    StatHandle(usize),
    ReadDir(usize),
    Read(usize, usize),
    ReadAt(usize, usize, u64),
    Write(usize, Vec<u8>, usize),
    CopyRange(usize, usize, usize),
    SetMode(usize, u32),
    SetModified(usize, u64),
    Sync(usize),
    SyncFs(usize),
    Close(usize),
    TryLock(usize),
    PathOf(usize),
    BadName(usize, usize),
}

fn ask() -> impl Strategy<Value = Ask> {
    let s = || 0..SLOTS;
    let n = || 0..NAMES.len();
    let how = prop_oneof![
        4 => Just(Open::Directory),
        2 => Just(Open::Read),
        3 => Just(Open::CreateNew),
        1 => Just(Open::Append),
        1 => Just(Open::Lock),
    ];
    let replace = prop_oneof![Just(Replace::Yes), Just(Replace::No)];
    let length = prop_oneof![0..40_usize, 4000..9000_usize];
    let mode = prop_oneof![Just(0o400), Just(0o600), Just(0o700), Just(0o444)];
    prop_oneof![
        8 => (s(), 0..PATHS.len(), how, s()).prop_map(|(d, p, h, to)| Ask::Open(d, p, h, to)),
        4 => (s(), n()).prop_map(|(d, p)| Ask::MakeDir(d, p)),
        4 => (s(), n(), s(), n()).prop_map(|(a, b, c, d)| Ask::Link(a, b, c, d)),
        6 => (s(), n(), s(), n(), replace).prop_map(|(a, b, c, d, r)| Ask::Rename(a, b, c, d, r)),
        1 => (s(), n()).prop_map(|(d, p)| Ask::Symlink(d, p)),
        1 => (s(), n()).prop_map(|(d, p)| Ask::ReadLink(d, p)),
        3 => (s(), n()).prop_map(|(d, p)| Ask::Unlink(d, p)),
        3 => (s(), n()).prop_map(|(d, p)| Ask::RemoveDir(d, p)),
        2 => (s(), n()).prop_map(|(d, p)| Ask::Stat(d, p)),
        1 => s().prop_map(Ask::StatHandle),
        2 => s().prop_map(Ask::ReadDir),
        2 => (s(), 0..9000_usize).prop_map(|(f, l)| Ask::Read(f, l)),
        1 => (s(), 0..9000_usize, 0..9000_u64).prop_map(|(f, l, at)| Ask::ReadAt(f, l, at)),
        4 => (s(), any::<[u8; 3]>(), length).prop_map(|(f, b, l)| Ask::Write(f, b.to_vec(), l)),
        2 => (s(), s(), 0..9000_usize).prop_map(|(a, b, l)| Ask::CopyRange(a, b, l)),
        1 => (s(), mode).prop_map(|(f, m)| Ask::SetMode(f, m)),
        1 => (s(), any::<u32>()).prop_map(|(f, t)| Ask::SetModified(f, u64::from(t))),
        1 => s().prop_map(Ask::Sync),
        1 => s().prop_map(Ask::SyncFs),
        2 => s().prop_map(Ask::Close),
        1 => s().prop_map(Ask::TryLock),
        1 => s().prop_map(Ask::PathOf),
        1 => (s(), 0..6_usize).prop_map(|(d, b)| Ask::BadName(d, b)),
    ]
}

/// What is the same on every file system; an inode is known by the first path that led to it.
#[derive(Clone, Debug, PartialEq)]
struct Facts {
    kind: Kind,
    size: u64,
    allocated: u64,
    links: u64,
    mode: u32,
    owner: u32,
}

impl From<Stat> for Facts {
    fn from(stat: Stat) -> Self {
        let file = stat.kind == Kind::Regular;
        let of_file = |value| if file { value } else { 0 };
        Self {
            kind: stat.kind,
            size: if stat.kind == Kind::Directory {
                0
            } else {
                stat.size
            },
            allocated: of_file(stat.allocated),
            links: stat.links,
            mode: stat.mode,
            owner: stat.owner,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Said {
    Nothing,
    Yes(bool),
    Facts(Facts),
    Text(String),
    Bytes(Vec<u8>),
    Count(usize),
    Names(Vec<(String, Kind)>),
}

struct Side<F: Fs> {
    fs: F,
    slots: Vec<F::Handle>,
}

impl<F: Fs> Side<F> {
    fn new(fs: F, root: &Path) -> Self {
        let slots = (0..SLOTS)
            .map(|_| fs.open_root(root, false).unwrap())
            .collect();
        Self { fs, slots }
    }

    /// Asks, and puts what was opened into its place.
    fn ask(&mut self, ask: &Ask) -> Result<Said, Errno> {
        let nothing = |()| Said::Nothing;
        let fs = self.fs.clone();
        let slot = |slot: &usize| &self.slots[*slot];
        match ask {
            Ask::Open(dir, path, how, to) => {
                self.slots[*to] = fs.open(slot(dir), PATHS[*path], *how)?;
                Ok(Said::Nothing)
            }
            Ask::MakeDir(dir, name) => fs.make_dir(slot(dir), NAMES[*name]).map(nothing),
            Ask::Link(from, name, to, new) => fs
                .link(slot(from), NAMES[*name], slot(to), NAMES[*new])
                .map(nothing),
            Ask::Rename(from, name, to, new, replace) => fs
                .rename(slot(from), NAMES[*name], slot(to), NAMES[*new], *replace)
                .map(nothing),
            Ask::Symlink(dir, name) => fs.symlink("a/b", slot(dir), NAMES[*name]).map(nothing),
            Ask::ReadLink(dir, name) => fs.read_link(slot(dir), NAMES[*name]).map(Said::Text),
            Ask::Unlink(dir, name) => fs.unlink(slot(dir), NAMES[*name]).map(nothing),
            Ask::RemoveDir(dir, name) => fs.remove_dir(slot(dir), NAMES[*name]).map(nothing),
            Ask::Stat(dir, name) => {
                let stat = fs.stat(slot(dir), NAMES[*name])?;
                Ok(Said::Facts(stat.into()))
            }
            Ask::Close(file) => {
                let root = fs.open(slot(file), ".", Open::Directory)?;
                fs.close(std::mem::replace(&mut self.slots[*file], root))
                    .map(nothing)
            }
            Ask::BadName(dir, which) => {
                let long = "x".repeat(256);
                let name = ["", ".", "..", "a/b", "a\0b", &long][*which];
                let made = fs.make_dir(slot(dir), name);
                assert_eq!(fs.unlink(slot(dir), name).is_err(), made.is_err());
                made.map(nothing)
            }
            other => self.ask_file(other),
        }
    }

    /// Asks what concerns open files alone.
    fn ask_file(&self, ask: &Ask) -> Result<Said, Errno> {
        let nothing = |()| Said::Nothing;
        let fs = &self.fs;
        let slot = |slot: &usize| &self.slots[*slot];
        match ask {
            Ask::StatHandle(file) => Ok(Said::Facts(fs.stat_handle(slot(file))?.into())),
            Ask::ReadDir(dir) => {
                let names = fs.read_dir(slot(dir))?;
                let mut names: Vec<_> = names.into_iter().map(|n| (n.name, n.kind)).collect();
                names.sort_by(|a, b| a.0.cmp(&b.0));
                Ok(Said::Names(names))
            }
            Ask::Read(file, length) => {
                let mut buffer = vec![0; *length];
                let some = fs.read(slot(file), &mut buffer)?;
                buffer.truncate(some);
                Ok(Said::Bytes(buffer))
            }
            Ask::ReadAt(file, length, at) => {
                let mut buffer = vec![0; *length];
                let some = fs.read_at(slot(file), &mut buffer, *at)?;
                buffer.truncate(some);
                Ok(Said::Bytes(buffer))
            }
            Ask::Write(file, bytes, length) => {
                let block: Vec<u8> = bytes.iter().copied().cycle().take(*length).collect();
                fs.write(slot(file), &block).map(Said::Count)
            }
            Ask::CopyRange(from, to, length) => fs
                .copy_range(slot(from), slot(to), *length)
                .map(Said::Count),
            Ask::SetMode(file, mode) => fs.set_mode(slot(file), *mode).map(nothing),
            Ask::SetModified(file, secs) => {
                let time = SystemTime::UNIX_EPOCH + Duration::new(*secs, 7);
                fs.set_modified(slot(file), time)?;
                assert_eq!(fs.stat_handle(slot(file))?.modified, time);
                Ok(Said::Nothing)
            }
            Ask::Sync(file) => fs.sync(slot(file)).map(nothing),
            Ask::SyncFs(file) => fs.sync_fs(slot(file)).map(nothing),
            Ask::TryLock(file) => fs.try_lock(slot(file)).map(Said::Yes),
            Ask::PathOf(file) => {
                if fs.stat_handle(slot(file))?.kind != Kind::Regular {
                    return Ok(Said::Nothing);
                }
                // A handle that cannot read has no path to read by.
                fs.read_at(slot(file), &mut [0], 0)?;
                let path = fs.path_of(slot(file))?;
                Ok(Said::Bytes(std::fs::read(path).unwrap()))
            }
            _ => panic!("{ask:?} concerns names"),
        }
    }

    /// Everything below, with the first name of each inode.
    fn tree(&self, root: &Path) -> Vec<(String, Facts, String, Vec<u8>)> {
        let mut found = Vec::new();
        let root = self.fs.open_root(root, false).unwrap();
        self.tree_below(&root, "", &mut Vec::new(), &mut found);
        found
    }

    fn tree_below(
        &self,
        dir: &F::Handle,
        at: &str,
        first: &mut Vec<(u64, String)>,
        found: &mut Vec<(String, Facts, String, Vec<u8>)>,
    ) {
        let mut names = self.fs.read_dir(dir).unwrap();
        names.sort_by(|a, b| a.name.cmp(&b.name));
        for entry in names {
            let path = format!("{at}/{}", entry.name);
            let stat = self.fs.stat(dir, &entry.name).unwrap();
            assert_eq!(stat.kind, entry.kind);
            let known = first.iter().find(|(inode, _)| *inode == stat.inode);
            let known = known.map_or(path.clone(), |(_, path)| path.clone());
            first.push((stat.inode, known.clone()));
            let mut bytes = Vec::new();
            match stat.kind {
                Kind::Directory => {}
                Kind::Symlink => {
                    bytes = self.fs.read_link(dir, &entry.name).unwrap().into_bytes();
                }
                _ => {
                    let file = self.fs.open(dir, &entry.name, Open::Read).unwrap();
                    bytes = vec![0; stat.size as usize + 1];
                    let some = self.fs.read(&file, &mut bytes).unwrap();
                    bytes.truncate(some);
                }
            }
            found.push((path.clone(), stat.into(), known, bytes));
            if stat.kind == Kind::Directory {
                let inner = self.fs.open(dir, &entry.name, Open::Directory).unwrap();
                self.tree_below(&inner, &path, first, found);
            }
        }
    }
}

fn cases() -> ProptestConfig {
    let slow = std::env::var_os("RUN_SLOW_TESTS").is_some();
    ProptestConfig {
        cases: if slow { 100_000 } else { 3000 },
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    }
}

fn compare(asks: &[Ask]) -> Result<(), TestCaseError> {
    let dir = scratch_dir();
    let mut real = Side::new(RealFs, dir.path());
    let rules = Rules {
        user: RealFs.user(),
        ..Rules::USUAL
    };
    let mut sim = Side::new(SimFs::new(Disk::new(), rules), Path::new("/"));
    for (number, ask) in asks.iter().enumerate() {
        let wanted = real.ask(ask);
        let got = sim.ask(ask);
        prop_assert_eq!(got, wanted, "{}: {:?}", number, ask);
    }
    prop_assert_eq!(sim.tree(Path::new("/")), real.tree(dir.path()));
    Ok(())
}

/// What is asked is answered in every way there is, or the comparison would prove little.
#[test]
fn every_question_and_every_answer_comes_up() {
    let mut runner = TestRunner::deterministic();
    let many = proptest::collection::vec(ask(), 60);
    let mut done = BTreeSet::new();
    let mut errnos = BTreeSet::new();
    for _ in 0..3000 {
        let asks = many.new_tree(&mut runner).unwrap().current();
        let mut sim = Side::new(SimFs::new(Disk::new(), Rules::USUAL), Path::new("/"));
        for ask in &asks {
            let name = format!("{ask:?}");
            let kind = name.split('(').next().unwrap().to_owned();
            match sim.ask(ask) {
                Ok(_) => drop(done.insert(kind)),
                Err(errno) => drop(errnos.insert(errno.raw_os_error())),
            }
        }
    }
    // A bad name is never taken.
    assert_eq!(done.len(), 22, "{done:?}");
    let wanted = [
        Errno::NOENT,
        Errno::EXIST,
        Errno::NOTDIR,
        Errno::ISDIR,
        Errno::NOTEMPTY,
        Errno::INVAL,
        Errno::LOOP,
        Errno::XDEV,
        Errno::BADF,
        Errno::PERM,
        Errno::NAMETOOLONG,
        Errno::ACCESS,
    ];
    assert_eq!(errnos, wanted.map(Errno::raw_os_error).into());
}

proptest! {
    #![proptest_config(cases())]
    #[test]
    fn the_simulation_answers_as_the_kernel_does(asks in proptest::collection::vec(ask(), 1..60)) {
        compare(&asks)?;
    }
}
