//! The harms of the damage matrix, and what is expected of each.

use crate::device::*;
use crate::scrubbing::flip;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

pub type Harm = fn(&Path);

pub struct Case {
    pub what: &'static str,
    pub harm: Harm,
    /// list, open, verify, scrub, read, remove, and what the next one builds on when the newest
    /// and when all are harmed.
    pub want: [&'static str; 8],
}

fn inside(top: &Path, name: &str) -> PathBuf {
    top.join(UDID).join(name)
}

/// Writes other bytes into a file, through whatever names it has.
fn rewrite(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o400)).unwrap();
}

/// Writes other bytes under one name, and leaves the others theirs.
fn replace(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

fn a(top: &Path) -> PathBuf {
    inside(top, &place("a"))
}

/// Starts nobody for it: a child would hold the locks of the tests beside this one.
/// Not by another program: a child would hold the locks of the stores of other tests for a moment.
fn fifo(path: &Path) {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR, 0).unwrap();
}

pub const GARBAGE: &[u8] = b"\x00\xffgarbage\n";

const fn case(what: &'static str, harm: Harm, want: [&'static str; 8]) -> Case {
    Case { what, harm, want }
}

pub const CASES: &[Case] = &[
    case(
        "file missing",
        |top| fs::remove_file(a(top)).unwrap(),
        MISSING,
    ),
    case("byte changed", |top| flip(&a(top), 12), CHANGED),
    case(
        "file truncated",
        |top| rewrite(&a(top), |b| b.truncate(3)),
        SHORTER,
    ),
    case(
        "file extended",
        |top| rewrite(&a(top), |b| b.push(b'x')),
        SHORTER,
    ),
    case("file emptied", |top| rewrite(&a(top), Vec::clear), SHORTER),
    case(
        "foreign file",
        |top| fs::write(inside(top, "foreign"), "x").unwrap(),
        FOREIGN,
    ),
    case("foreign fifo", |top| fifo(&inside(top, "foreign")), FOREIGN),
    case(
        "foreign link",
        |top| symlink("/etc/passwd", inside(top, "foreign")).unwrap(),
        FOREIGN,
    ),
    case(
        "two files swapped",
        |top| {
            let (one, two, three) = (a(top), inside(top, &place("e")), inside(top, "x"));
            fs::rename(&one, &three).unwrap();
            fs::rename(&two, &one).unwrap();
            fs::rename(&three, &two).unwrap();
        },
        SWAPPED,
    ),
    case(
        "link in its place",
        |top| {
            fs::remove_file(a(top)).unwrap();
            symlink("/etc/passwd", a(top)).unwrap();
        },
        LINKED,
    ),
    case(
        "fifo in its place",
        |top| {
            fs::remove_file(a(top)).unwrap();
            fifo(&a(top));
        },
        LINKED,
    ),
    case(
        "directory in its place",
        |top| {
            fs::remove_file(a(top)).unwrap();
            fs::create_dir(a(top)).unwrap();
        },
        LINKED,
    ),
    case(
        "writable for all",
        |top| fs::set_permissions(a(top), fs::Permissions::from_mode(0o666)).unwrap(),
        UNHARMED,
    ),
    case(
        "its directory gone",
        |top| fs::remove_dir_all(a(top).parent().unwrap()).unwrap(),
        MISSING,
    ),
    case(
        "all files gone",
        |top| fs::remove_dir_all(top.join(UDID)).unwrap(),
        NO_TREE,
    ),
    case(
        "index missing",
        |top| fs::remove_file(top.join("index.zst")).unwrap(),
        NO_INDEX,
    ),
    case(
        "index garbled",
        |top| replace(&top.join("index.zst"), GARBAGE),
        BAD_INDEX,
    ),
    case(
        "record missing",
        |top| fs::remove_file(top.join("commit.json")).unwrap(),
        NO_RECORD,
    ),
    case(
        "record garbled",
        |top| replace(&top.join("commit.json"), GARBAGE),
        BAD_RECORD,
    ),
    case(
        "record altered",
        |top| {
            let text = fs::read_to_string(top.join("commit.json")).unwrap();
            let at = text.find("\"Ada\"").unwrap() + 2;
            flip(&top.join("commit.json"), at * 8);
        },
        ALTERED,
    ),
    case(
        "Manifest.plist garbled",
        |top| replace(&inside(top, "Manifest.plist"), GARBAGE),
        PLIST,
    ),
    case(
        "Status.plist garbled",
        |top| replace(&inside(top, "Status.plist"), GARBAGE),
        STATUS,
    ),
    case(
        "Info.plist garbled",
        |top| replace(&inside(top, "Info.plist"), GARBAGE),
        INFO_LIST,
    ),
    case(
        "Manifest.db garbled",
        |top| replace(&inside(top, "Manifest.db"), GARBAGE),
        DATABASE,
    ),
];

// list, open, verify, scrub, read, remove, next if newest, next if all.
const MISSING: [&str; 8] = [
    "verified",
    "verified",
    "missing a",
    "a",
    GONE,
    "removed",
    MIDDLE,
    NEWEST,
];
const CHANGED: [&str; 8] = [
    "verified",
    "verified",
    "damaged a",
    "a",
    OTHER,
    "removed",
    NEWEST,
    NEWEST,
];
const SHORTER: [&str; 8] = [
    "verified",
    "verified",
    "damaged a",
    "a",
    OTHER,
    "removed",
    MIDDLE,
    NEWEST,
];
const FOREIGN: [&str; 8] = [
    "verified",
    "verified",
    "extra foreign",
    "foreign",
    SAME,
    "removed",
    MIDDLE,
    NEWEST,
];
const SWAPPED: [&str; 8] = [
    "verified",
    "verified",
    "damaged e, a",
    "e, a",
    OTHER,
    "removed",
    NEWEST,
    NEWEST,
];
const LINKED: [&str; 8] = [
    "verified",
    "verified",
    "damaged a",
    "a",
    GONE,
    "removed",
    MIDDLE,
    NEWEST,
];
const UNHARMED: [&str; 8] = [
    "verified", "verified", "good", "nothing", SAME, "removed", NEWEST, NEWEST,
];
const NO_TREE: [&str; 8] = [
    "verified",
    "set aside",
    "its files are gone",
    "its files are gone",
    "error: cannot open UDID/gens/ID/UDID: No such file or directory (os error 2)",
    "removed",
    MIDDLE,
    NOTHING,
];
const NO_INDEX: [&str; 8] = [
    "verified",
    "set aside",
    INDEX,
    INDEX,
    SAME,
    "removed",
    MIDDLE,
    NOTHING,
];
const BAD_INDEX: [&str; 8] = [
    "verified", "verified", INDEX, INDEX, SAME, "removed", MIDDLE, NOTHING,
];
const NO_RECORD: [&str; 8] = [
    "hidden",
    "set aside",
    "error: cannot read UDID/gens/ID/commit.json: No such file or directory (os error 2)",
    RECORD,
    "error: cannot read UDID/gens/ID/commit.json: No such file or directory (os error 2)",
    "removed",
    MIDDLE,
    NOTHING,
];
const BAD_RECORD: [&str; 8] = [
    "hidden",
    "set aside",
    "error: UDID/gens/ID/commit.json of the backup store is damaged",
    RECORD,
    "error: UDID/gens/ID/commit.json of the backup store is damaged",
    "removed",
    MIDDLE,
    NOTHING,
];
const ALTERED: [&str; 8] = [
    RECORD, RECORD, RECORD, RECORD, SAME, "removed", MIDDLE, NOTHING,
];
const PLIST: [&str; 8] = [
    "verified",
    "verified",
    "damaged Manifest.plist",
    "Manifest.plist",
    UNNAMED,
    "removed",
    MIDDLE,
    NOTHING,
];
const STATUS: [&str; 8] = [
    "verified",
    "verified",
    "damaged Status.plist",
    "Status.plist",
    SAME,
    "removed",
    MIDDLE,
    NOTHING,
];
const INFO_LIST: [&str; 8] = [
    "verified",
    "verified",
    "damaged Info.plist",
    "Info.plist",
    SAME,
    "removed",
    MIDDLE,
    NEWEST,
];
const DATABASE: [&str; 8] = [
    "verified",
    "verified",
    "damaged Manifest.db",
    "Manifest.db",
    UNNAMED,
    "removed",
    MIDDLE,
    NOTHING,
];
const NEWEST: &str = "newest, night 1";
const MIDDLE: &str = "middle, night 1";
const NOTHING: &str = "nothing, night 1";
const INDEX: &str = "its index is damaged";
const RECORD: &str = "its record commit.json is damaged";
/// The content as it lies there, by its name on the phone, in a restore.
const SAME: &str = "same, same, same";
/// No hash stands between a damage that nobody has found and who reads: the scrub does.
const OTHER: &str = "other, other, other";
const GONE: &str = "refused, refused, refused";
const UNNAMED: &str = "same, refused, same";
