//! Streams that want to write where they may not: nothing outside the directory changes, ever.

use super::tarball::{Entry, Tarball};
use ibakctl::extract::name::Odd;
use ibakctl::extract::tar::TarError;
use ibakctl::extract::target::{PART_PREFIX, Target};
use ibakctl::extract::{Rules, Stopped, Summary, Why, unpack};
use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A directory to unpack into, beside things that must stay as they are.
struct House {
    home: TempDir,
}

impl House {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("in")).unwrap();
        std::fs::create_dir(home.path().join("outside")).unwrap();
        std::fs::write(home.path().join("outside/secret"), "keep me").unwrap();
        Self { home }
    }

    fn inside(&self) -> PathBuf {
        self.home.path().join("in")
    }

    /// Everything but the directory: names, kinds, sizes, contents, times.
    fn outside(&self) -> BTreeMap<PathBuf, String> {
        let mut seen = BTreeMap::new();
        look(self.home.path(), &self.inside(), &mut seen);
        seen
    }

    /// Unpacks, and sees that nothing outside changed and no half file is left.
    fn unpack(&self, stream: &[u8], rules: Rules) -> (Summary, Result<(), Stopped>) {
        let before = self.outside();
        let mut target = Target::open(&self.inside()).unwrap();
        let mut summary = Summary::default();
        let ended = unpack(stream, &mut target, rules, &mut summary);
        assert_eq!(self.outside(), before, "something outside changed");
        assert!(
            !self.tree().iter().any(|name| name.contains(PART_PREFIX)),
            "a half file stays: {:?}",
            self.tree()
        );
        (summary, ended)
    }

    fn fine(&self, stream: &[u8], rules: Rules) -> Summary {
        let (summary, ended) = self.unpack(stream, rules);
        ended.unwrap();
        summary
    }

    /// What is in the directory, by name.
    fn tree(&self) -> Vec<String> {
        let mut seen = BTreeMap::new();
        look(&self.inside(), Path::new("/nowhere"), &mut seen);
        seen.into_keys()
            .map(|path| {
                path.strip_prefix(self.inside())
                    .unwrap()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect()
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.inside().join(name)).unwrap()
    }
}

fn look(here: &Path, but: &Path, seen: &mut BTreeMap<PathBuf, String>) {
    for entry in std::fs::read_dir(here).unwrap() {
        let path = entry.unwrap().path();
        let meta = path.symlink_metadata().unwrap();
        if path == but {
            continue;
        }
        let content = if meta.is_symlink() {
            format!("-> {}", path.read_link().unwrap().display())
        } else if meta.is_dir() {
            look(&path, but, seen);
            String::new()
        } else {
            std::fs::read_to_string(&path).unwrap()
        };
        seen.insert(
            path,
            format!("{:o} {} {content}", meta.mode(), meta.mtime()),
        );
    }
}

const ALL: Rules = Rules {
    overwrite: true,
    symlinks: true,
};

#[test]
fn files_get_their_names_times_and_the_owners_mode() {
    let house = House::new();
    let stream = Tarball::default()
        .directory("HomeDomain/Library/")
        .file("HomeDomain/Library/Notes.txt", "milk")
        .entry(&Entry {
            name: b"HomeDomain/run.sh",
            data: b"#!",
            mode: 0o6777,
            modified: 86_400,
            ..Entry::default()
        })
        .end();
    let summary = house.fine(&stream, Rules::default());
    let want = Summary {
        files: 2,
        bytes: 6,
        ..Summary::default()
    };
    assert_eq!(summary, want);
    assert_eq!(house.text("HomeDomain/Library/Notes.txt"), "milk");
    let meta = |name: &str| house.inside().join(name).metadata().unwrap();
    let notes = meta("HomeDomain/Library/Notes.txt");
    assert_eq!(
        (notes.mtime(), notes.permissions().mode() & 0o7777),
        (1_700_000_000, 0o600)
    );
    let run = meta("HomeDomain/run.sh");
    assert_eq!(
        (run.mtime(), run.permissions().mode() & 0o7777),
        (86_400, 0o700)
    );
    assert_eq!(meta("HomeDomain").permissions().mode() & 0o7777, 0o700);
}

#[test]
fn names_that_lead_elsewhere_are_refused_and_the_others_are_not() {
    let house = House::new();
    let absolute = house.home.path().join("outside/secret");
    let long = "n".repeat(10_000);
    let deep = vec!["d"; 1_000].join("/");
    let mut stream = Tarball::default().file("D/first", "1");
    let odd = [
        ("../outside/secret", Odd::Dots),
        ("D/../../outside/secret", Odd::Dots),
        ("D/./x", Odd::Dots),
        ("..", Odd::Dots),
        (absolute.to_str().unwrap(), Odd::Absolute),
        ("//x", Odd::Absolute),
        ("", Odd::Empty),
        ("D//x", Odd::Empty),
        ("D/\u{1b}[2J", Odd::Control),
        ("D/a\nb", Odd::Control),
        ("D/\u{202e}gpj.exe", Odd::Bidi),
        (&long, Odd::Long),
        (&deep, Odd::Deep),
    ];
    for (name, _) in odd {
        stream = stream.file(name, "evil");
    }
    let stream = stream
        .entry(&Entry {
            name: b"D/\xff\xfe",
            data: b"evil",
            ..Entry::default()
        })
        .file("D/last", "2")
        .end();
    let summary = house.fine(&stream, ALL);
    assert_eq!((summary.files, summary.refused), (2, odd.len() as u64 + 1));
    assert_eq!(house.tree(), ["D", "D/first", "D/last"]);
    for ((name, why), listed) in odd.iter().zip(&summary.listed) {
        assert_eq!(listed.1, Why::Name(*why), "{name:?}");
    }
    assert!(summary.listed.iter().all(|(name, _)| name.len() <= 800));
}

#[test]
fn a_file_never_goes_through_a_link_of_the_stream() {
    let house = House::new();
    let outside = house.home.path().join("outside");
    let stream = Tarball::default()
        .symlink("D/way", outside.to_str().unwrap())
        .file("D/way/secret", "evil")
        .symlink("D/up", "../../outside")
        .file("D/up/new", "evil")
        .directory("D/up/newdir")
        .symlink("D/file", outside.join("secret").to_str().unwrap())
        .file("D/file", "evil")
        .end();
    let summary = house.fine(&stream, ALL);
    assert_eq!((summary.files, summary.links, summary.refused), (0, 3, 4));
    let whys: Vec<Why> = summary.listed.iter().map(|(_, why)| *why).collect();
    assert_eq!(whys, [Why::Way, Why::Way, Why::Way, Why::Twice]);
    // Unless they are asked for, there are no links at all.
    let house = House::new();
    let summary = house.fine(&stream, Rules::default());
    assert_eq!((summary.links, summary.links_skipped), (0, 3));
    assert!(
        house
            .tree()
            .iter()
            .all(|name| !house.inside().join(name).is_symlink())
    );
}

#[test]
fn a_link_somebody_planted_is_not_followed_and_not_written_through() {
    for rules in [Rules::default(), ALL] {
        let house = House::new();
        let outside = house.home.path().join("outside");
        std::fs::create_dir(house.inside().join("D")).unwrap();
        symlink(&outside, house.inside().join("D/way")).unwrap();
        symlink(outside.join("secret"), house.inside().join("D/file")).unwrap();
        symlink(&outside, house.inside().join("E")).unwrap();
        let stream = Tarball::default()
            .file("D/way/secret", "evil")
            .file("D/way/sub/secret", "evil")
            .file("E/secret", "evil")
            .file("D/file", "mine")
            .file("D/good", "good")
            .end();
        let summary = house.fine(&stream, rules);
        assert_eq!(summary.refused, 3, "{summary:?}");
        assert_eq!(house.text("D/good"), "good");
        if rules.overwrite {
            // The link itself is replaced; what it led to is untouched.
            assert!(!house.inside().join("D/file").is_symlink());
            assert_eq!(house.text("D/file"), "mine");
        } else {
            assert_eq!(summary.present, 1);
            assert!(house.inside().join("D/file").is_symlink());
        }
    }
}

#[test]
fn hard_links_devices_and_unknown_letters_are_refused() {
    let house = House::new();
    let secret = house.home.path().join("outside/secret");
    let mut stream = Tarball::default();
    for letter in [b'1', b'3', b'4', b'6', b'7', b'S', b'M', b'?'] {
        stream = stream.entry(&Entry {
            name: &[b'D', b'/', letter],
            letter,
            link: secret.to_str().unwrap().as_bytes(),
            ..Entry::default()
        });
    }
    let summary = house.fine(&stream.file("D/good", "good").end(), ALL);
    assert_eq!((summary.files, summary.refused), (1, 8));
    assert!(summary.listed.iter().all(|(_, why)| *why == Why::Kind));
    assert_eq!(house.tree(), ["D", "D/good"]);
}

#[test]
fn the_first_of_two_wins_and_what_is_there_stays() {
    let house = House::new();
    std::fs::create_dir(house.inside().join("D")).unwrap();
    std::fs::write(house.inside().join("D/old"), "old").unwrap();
    let stream = Tarball::default()
        .file("D/new", "first")
        .file("D/new", "second")
        .file("D/old", "replaced")
        .file("D", "a file where a directory is")
        .file("D/new/beneath", "a directory where a file is")
        .end();
    let summary = house.fine(&stream, Rules::default());
    assert_eq!(
        (summary.files, summary.present, summary.refused),
        (1, 2, 2),
        "{summary:?}"
    );
    assert_eq!(
        (house.text("D/new"), house.text("D/old")),
        ("first".into(), "old".into())
    );
    let summary = house.fine(&stream, ALL);
    assert_eq!(summary.files, 2, "{summary:?}");
    assert_eq!(
        (house.text("D/new"), house.text("D/old")),
        ("first".into(), "replaced".into())
    );
}

#[test]
fn a_stream_that_ends_early_is_an_error_and_leaves_whole_files_only() {
    let house = House::new();
    let whole = Tarball::default()
        .file("D/one", "1")
        .file("D/two", &"2".repeat(5_000))
        .file("D/three", "3")
        .cut();
    let mut sizes = Vec::new();
    for length in (0..whole.len()).step_by(61) {
        std::fs::remove_dir_all(house.inside()).unwrap();
        let (summary, ended) = house.unpack(&whole[..length], Rules::default());
        assert!(
            matches!(ended, Err(Stopped::Stream(TarError::Short))),
            "{length}: {ended:?}"
        );
        sizes.push(summary.files);
        if summary.files >= 2 {
            assert_eq!(house.text("D/two").len(), 5_000);
        }
    }
    assert!(sizes.is_sorted() && sizes.last() == Some(&3), "{sizes:?}");
    let (_, ended) = house.unpack(&whole, Rules::default());
    assert!(matches!(ended, Err(Stopped::Stream(TarError::Short))));
}

#[test]
fn what_is_no_tar_stream_is_refused_at_once() {
    let huge = Entry {
        name: b"pax",
        letter: b'x',
        data: &vec![b'a'; 70_000],
        ..Entry::default()
    };
    let bad_record = Entry {
        name: b"pax",
        letter: b'x',
        data: b"99 path=short\n",
        ..Entry::default()
    };
    let endless = (0..20).fold(Tarball::default(), |ball, _| {
        ball.entry(&Entry {
            name: b"g",
            letter: b'g',
            ..Entry::default()
        })
    });
    let mut negative = Tarball::default().file("D/x", "").end();
    negative[124] = 0xff;
    let mut sum: u64 = 8 * 32;
    for (at, byte) in negative[..512].iter().enumerate() {
        if !(148..156).contains(&at) {
            sum += u64::from(*byte);
        }
    }
    negative[148..155].copy_from_slice(format!("{sum:07o}").as_bytes());
    for (what, stream) in [
        ("noise", vec![b'x'; 4096]),
        ("a long extension", Tarball::default().entry(&huge).end()),
        ("a bad record", Tarball::default().entry(&bad_record).end()),
        ("endless extensions", endless.end()),
        ("a negative size", negative),
    ] {
        let house = House::new();
        let (summary, ended) = house.unpack(&stream, ALL);
        assert!(
            matches!(ended, Err(Stopped::Stream(TarError::Malformed(_)))),
            "{what}: {ended:?}"
        );
        assert_eq!(summary, Summary::default(), "{what}");
    }
}

/// A size of many exbibytes costs nothing: the data are what they are.
#[test]
fn a_size_that_is_a_lie_ends_with_the_data() {
    let mut stream = Tarball::default().file("D/huge", "few").cut();
    stream[124..136].copy_from_slice(b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff");
    let sum: u64 = 8 * 32
        + stream[..512]
            .iter()
            .enumerate()
            .filter(|(at, _)| !(148..156).contains(at))
            .map(|(_, byte)| u64::from(*byte))
            .sum::<u64>();
    stream[148..155].copy_from_slice(format!("{sum:07o}").as_bytes());
    let house = House::new();
    let (summary, ended) = house.unpack(&stream, ALL);
    assert!(
        matches!(ended, Err(Stopped::Stream(TarError::Short))),
        "{ended:?}"
    );
    assert_eq!((summary.files, house.tree()), (0, vec!["D".to_owned()]));
}

/// Two tar programs write what ours reads: long names, long links, fractions of seconds.
#[test]
fn streams_of_another_program_are_read() {
    let home = tempfile::tempdir().unwrap();
    let long = format!("D/{}/{}", "directory".repeat(15), "file".repeat(40));
    let path = home.path().join(&long);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, "x".repeat(70_000)).unwrap();
    symlink("t".repeat(300), home.path().join("D/link")).unwrap();
    for format in ["pax", "gnu", "posix"] {
        let house = House::new();
        let output = std::process::Command::new("tar")
            .arg(format!("--format={format}"))
            .args(["-c", "-C"])
            .arg(home.path())
            .arg("D")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let summary = house.fine(&output.stdout, ALL);
        assert_eq!(
            (summary.files, summary.bytes, summary.links, summary.refused),
            (1, 70_000, 1, 0),
            "{format}: {summary:?}"
        );
        assert_eq!(house.text(&long).len(), 70_000);
        let time = |path: &Path| path.metadata().unwrap().mtime();
        assert_eq!(time(&house.inside().join(&long)), time(&path), "{format}");
        assert_eq!(
            house.inside().join("D/link").read_link().unwrap(),
            PathBuf::from("t".repeat(300))
        );
    }
}

#[test]
fn an_export_goes_only_where_nothing_is() {
    let house = House::new();
    let mut target = Target::open(&house.inside()).unwrap();
    target.enter_new("UDID", "UDID.part").unwrap();
    let stream = Tarball::default()
        .file("UDID/Manifest.db", "db")
        .file("UDID/00/00ab", "content")
        .file("OTHER/00/00ab", "evil")
        .file("stray", "evil")
        .end();
    let mut summary = Summary::default();
    unpack(
        stream.as_slice(),
        &mut target,
        Rules::default(),
        &mut summary,
    )
    .unwrap();
    assert_eq!((summary.files, summary.refused), (2, 2));
    assert!(house.inside().join("UDID.part/Manifest.db").exists());
    assert!(!house.inside().join("UDID").exists());
    target.leave().unwrap();
    assert_eq!(house.text("UDID/00/00ab"), "content");
    assert_eq!(
        house.tree(),
        ["UDID", "UDID/00", "UDID/00/00ab", "UDID/Manifest.db"]
    );
    let again = Target::open(&house.inside())
        .unwrap()
        .enter_new("UDID", "UDID.part");
    assert_eq!(again.unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
}

#[test]
fn what_is_there_is_told_and_half_files_are_not() {
    let house = House::new();
    let inside = house.inside();
    std::fs::create_dir_all(inside.join("Purchases/a")).unwrap();
    std::fs::write(inside.join("Purchases/a/film.m4v"), "12345").unwrap();
    std::fs::write(inside.join(format!("Purchases/{PART_PREFIX}1")), "half").unwrap();
    symlink(
        house.home.path().join("outside"),
        inside.join("Purchases/link"),
    )
    .unwrap();
    let have = Target::open(&inside).unwrap().have().unwrap();
    assert_eq!(
        have,
        BTreeMap::from([("Purchases/a/film.m4v".to_owned(), 5)])
    );
}
