//! The real binary and a backup that another program made: told, asked about, sent whole or not at all.

use super::fixtures::{ada, job};
use super::mock::{Ran, Step};
use super::places::{House, end, fine};
use super::tty::{Tty, without_terminal};
use ibak_dbus::views::{CompletedView, JobView};
use ibak_dbus::words::{Outcome, Phase};
use ibak_dbus::{BackupId, Bytes};
use ibakctl::intake::{Folder, Stopped, pack};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Makes a folder such as other programs make.
fn folder(at: &Path, encrypted: bool) {
    let dict = |body: &str| {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n<plist version=\"1.0\"><dict>{body}</dict></plist>\n"
        )
    };
    let pair = |key: &str, value: &str| format!("<key>{key}</key><string>{value}</string>");
    fs::create_dir_all(at.join("00")).unwrap();
    fs::create_dir_all(at.join("ff")).unwrap();
    let info = [
        pair("Target Identifier", ada().udid.as_str()),
        pair("Unique Identifier", ada().udid.as_str()),
        pair("Device Name", "Ada&apos;s iPhone"),
        pair("Product Version", "17.5.1"),
        "<key>Last Backup Date</key><date>2025-03-11T20:10:00Z</date>".to_owned(),
    ];
    fs::write(at.join("Info.plist"), dict(&info.concat())).unwrap();
    let locked = if encrypted { "<true/>" } else { "<false/>" };
    let manifest = format!("<key>IsEncrypted</key>{locked}");
    fs::write(at.join("Manifest.plist"), dict(&manifest)).unwrap();
    let status = "<key>Date</key><date>2025-03-12T20:10:00Z</date>";
    fs::write(at.join("Status.plist"), dict(status)).unwrap();
    fs::write(at.join("Manifest.db"), vec![7; 70_000]).unwrap();
    fs::write(at.join("00/00aa"), "").unwrap();
    fs::write(at.join("ff/ffbb"), vec![b'x'; 512]).unwrap();
}

/// Waits until all was poured in, then ends.
fn adopting(details: CompletedView) -> Vec<Step> {
    vec![
        Step::Show(JobView {
            phase: Phase::Receiving,
            progress: Some(0.48),
            bytes_total: Some(Bytes::new(72_500)),
            bytes_done: Bytes::new(35_000),
            ..job()
        }),
        Step::Gate,
        Step::End(Outcome::Succeeded, details),
    ]
}

async fn run(mut command: Command) -> Ran {
    tokio::task::spawn_blocking(move || Ran::of(&command.output().unwrap()))
        .await
        .unwrap()
}

#[tokio::test]
async fn a_strange_backup_is_told_and_sent_whole() {
    let house = House::new(fine).await;
    house.mock.script().steps = adopting(CompletedView::default());
    let backup = house.home.path().join("Backup").join(ada().udid.as_str());
    folder(&backup, true);
    fs::write(backup.join(".DS_Store"), "junk").unwrap();
    fs::write(backup.join("00/._00aa"), "junk").unwrap();
    fs::create_dir(backup.join("Snapshot")).unwrap();
    let above = backup.parent().unwrap();
    let ran = house
        .run(&["adopt", above.to_str().unwrap(), "--yes"])
        .await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        ran.err.starts_with(
            "This takes in a backup of Ada's iPhone, iOS 17.5.1, of 12 Mar 2025 20:10, 70 KiB, encrypted; the original stays as it is.\n\
             It keeps the password it was made under.\n\
             Left out: 2 files that are no part of a backup, such as .DS_Store.\n"
        ),
        "{ran:?}"
    );
    assert!(ran.err.contains("receiving: 48 %, 34 of 71 KiB"), "{ran:?}");
    assert_eq!(
        ran.out,
        "The backup of Ada's iPhone from 12 Mar 2025 20:10 is taken in (70 KiB) and pinned, so it stays; `ibakctl backups` lists it.\n"
    );
    let stream = house.mock.script().poured.take().unwrap();
    let mut archive = tar::Archive::new(stream.as_slice());
    let sent: Vec<(String, u64)> = archive
        .entries()
        .unwrap()
        .map(|entry| {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().to_str().unwrap().to_owned();
            let size = entry.size();
            let read = std::io::copy(&mut entry, &mut std::io::sink()).unwrap();
            assert_eq!(read, size, "{name}");
            let made = fs::metadata(backup.join(&name)).unwrap();
            let changed = made.modified().unwrap();
            let seconds = changed
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap()
                .as_secs();
            assert_eq!(entry.header().mtime().unwrap(), seconds);
            assert_eq!(made.len(), size);
            (name, size)
        })
        .collect();
    let size: u64 = sent.iter().map(|(_, size)| size).sum();
    assert_eq!(house.mock.calls(), [format!("adopt {} {size}", ada().udid)]);
    let names: Vec<&str> = sent.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "Info.plist",
            "Manifest.db",
            "Manifest.plist",
            "Status.plist",
            "00/00aa",
            "ff/ffbb"
        ]
    );
    assert_eq!(stream.len() % 512, 0);
    assert!(stream.ends_with(&[0; 1024]));
}

#[tokio::test]
async fn what_is_here_already_is_not_kept_twice() {
    let house = House::new(fine).await;
    let known = CompletedView {
        backup: Some(BackupId::parse("01JD1Z3YQ9V6W2X4T5R7P8N0KM").unwrap()),
        ..CompletedView::default()
    };
    house.mock.script().steps = adopting(known);
    let backup = house.home.path().join("x");
    folder(&backup, false);
    let ran = house
        .run(&["adopt", backup.to_str().unwrap(), "--yes"])
        .await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("is here already"), "{ran:?}");
    assert!(ran.err.contains("not encrypted"), "{ran:?}");
    let ran = house
        .run(&["adopt", backup.to_str().unwrap(), "--yes", "--json"])
        .await;
    assert_eq!(ran.json()["result"], "succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_asked_before_anything_is_sent() {
    let house = House::new(fine).await;
    house.mock.script().steps = adopting(CompletedView::default());
    let backup = house.home.path().join("x");
    folder(&backup, true);
    let args = ["adopt", backup.to_str().unwrap()];
    let ran = run(without_terminal(&house.mock, &args)).await;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    let mut tty = Tty::start(&house.mock, &args);
    tty.until("Take it in? [Y/n] ").types("n\n");
    assert_eq!(tty.end().0, Some(1));
    assert!(house.mock.calls().is_empty());
    let mut tty = Tty::start(&house.mock, &args);
    tty.until("Take it in? [Y/n] ")
        .types("\n")
        .until("is taken in");
    assert_eq!(tty.end().0, Some(0));
}

/// Makes what is no backup, or not only one; with it, what is wrong with it.
fn no_backups(house: &House) -> Vec<(PathBuf, &'static str)> {
    let home = house.home.path();
    let good = home.join("good");
    folder(&good, true);
    let with = |name: &str, spoil: &dyn Fn(&Path)| {
        let at = home.join(name);
        folder(&at, true);
        spoil(&at);
        at
    };
    let many = home.join("many");
    folder(&many.join("one"), true);
    folder(&many.join("two"), true);
    let info =
        |text: &'static str| move |at: &Path| fs::write(at.join("Info.plist"), text).unwrap();
    let deep = |at: &Path| fs::create_dir_all(at.join("a/b/c/d/e/f/g/h/i/j")).unwrap();
    vec![
        (home.join("nothing"), "No such file"),
        (house.new_place(), "there is no backup in "),
        (good.join("Manifest.db"), "is no directory"),
        (many, "holds 2 backups"),
        (
            with("link", &|at| {
                symlink("/etc/passwd", at.join("ff/ffcc")).unwrap()
            }),
            "ff/ffcc is a symbolic link, and a backup holds only files",
        ),
        (
            with("linked", &|at| {
                fs::remove_file(at.join("Info.plist")).unwrap();
                symlink("/etc/passwd", at.join("Info.plist")).unwrap();
            }),
            "Info.plist is a link, and a backup holds only files",
        ),
        (
            with("socket", &|at| {
                drop(std::os::unix::net::UnixListener::bind(at.join("00/s")).unwrap());
            }),
            "00/s is a socket",
        ),
        (
            with("long", &|at| {
                fs::write(at.join(format!("ff/{}", "f".repeat(120))), "x").unwrap()
            }),
            "has a longer name than any phone gives",
        ),
        (with("deep", &deep), "more, or deeper, than any backup"),
        (with("odd", &info("what?")), "Info.plist cannot be read: "),
        (
            with(
                "nobody",
                &info("<plist version=\"1.0\"><dict></dict></plist>"),
            ),
            "does not say which phone it is of",
        ),
        (
            with("bomb", &|at| {
                fs::write(at.join("Info.plist"), vec![b' '; 17 << 20]).unwrap()
            }),
            "larger than any phone writes",
        ),
    ]
}

#[tokio::test]
async fn what_is_no_backup_is_refused_with_a_sentence() {
    let house = House::new(fine).await;
    house.mock.script().steps = vec![Step::Gate, end(Outcome::NotWhole)];
    for (path, why) in no_backups(&house) {
        let ran = house.run(&["adopt", path.to_str().unwrap(), "--yes"]).await;
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (Some(1), ""),
            "{why}: {ran:?}"
        );
        assert!(ran.err.contains(why), "{why}: {ran:?}");
    }
    // Only the one with the long name was begun, and it has no end mark.
    assert_eq!(house.mock.calls().len(), 1, "{:?}", house.mock.calls());
    assert!(
        !house
            .mock
            .script()
            .poured
            .take()
            .unwrap()
            .ends_with(&[0; 1024])
    );
}

#[tokio::test]
async fn a_refusal_of_the_daemon_is_the_reason() {
    let house = House::new(fine).await;
    let backup = house.home.path().join("x");
    folder(&backup, true);
    for (result, words) in [
        (Outcome::NotAdoptable, "cannot be taken in as a backup"),
        (Outcome::NoSpace, "the store ran out of room"),
        (Outcome::NotWhole, "not a whole backup"),
    ] {
        let details = CompletedView {
            detail: "it has no Status.plist".into(),
            ..CompletedView::default()
        };
        house.mock.script().steps = vec![Step::Gate, Step::End(result.clone(), details)];
        let ran = house
            .run(&["adopt", backup.to_str().unwrap(), "--yes"])
            .await;
        assert_ne!(ran.code, Some(0), "{result}: {ran:?}");
        assert!(ran.err.contains("Error: taking the backup in "), "{ran:?}");
        assert!(ran.err.contains(words), "{result}: {ran:?}");
        assert!(ran.err.contains("1: it has no Status.plist\n"), "{ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_takes_nothing_keeps_nobody() {
    let house = House::new(fine).await;
    let backup = house.home.path().join("x");
    folder(&backup, true);
    // More than a pipe holds.
    fs::write(backup.join("ff/ffcc"), vec![1; 1 << 20]).unwrap();
    {
        let mut script = house.mock.script();
        script.hold = true;
        script.steps = adopting(CompletedView::default());
    }
    let args = ["adopt", backup.to_str().unwrap(), "--yes"];
    let mut tty = Tty::start(&house.mock, &args);
    tty.until("receiving").signal(rustix::process::Signal::INT);
    let (code, shown) = tty.end();
    assert_eq!(code, Some(130), "{shown}");
    assert_eq!(house.mock.calls().last().unwrap(), "cancel 101");
}

/// A disk on which something happens when the first bytes are sent.
struct Meanwhile<F: FnMut()> {
    sent: Vec<u8>,
    happens: Option<F>,
}

impl<F: FnMut()> std::io::Write for Meanwhile<F> {
    fn write(&mut self, block: &[u8]) -> std::io::Result<usize> {
        if let Some(mut happens) = self.happens.take() {
            happens();
        }
        self.sent.extend_from_slice(block);
        Ok(block.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_changes_while_it_is_sent_is_noticed() {
    let home = tempfile::tempdir().unwrap();
    let backup = home.path().join("x");
    let last = backup.join("ff/ffbb");
    let cases: [(&dyn Fn(), &str); 4] = [
        (
            &|| {
                let mut options = fs::OpenOptions::new();
                let file = options.write(true).open(backup.join("Info.plist"));
                file.unwrap().set_len(3).unwrap();
            },
            "Info.plist became shorter while it was read",
        ),
        (
            &|| {
                fs::remove_file(&last).unwrap();
                symlink("/etc/passwd", &last).unwrap();
            },
            "ff/ffbb is a link, and a backup holds only files",
        ),
        (
            &|| {
                fs::remove_dir_all(backup.join("ff")).unwrap();
                symlink("00", backup.join("ff")).unwrap();
            },
            "ff/ffbb is a link, and a backup holds only files",
        ),
        (&|| fs::remove_file(&last).unwrap(), "ff/ffbb: No such file"),
    ];
    for (happens, why) in cases {
        if backup.exists() {
            fs::remove_dir_all(&backup).unwrap();
        }
        folder(&backup, true);
        // Longer than what is read at once, so that it is still being read.
        let mut info = fs::read(backup.join("Info.plist")).unwrap();
        info.extend(vec![b'\n'; 300_000]);
        fs::write(backup.join("Info.plist"), info).unwrap();
        let found = Folder::find(&backup).unwrap();
        let contents = found.contents().unwrap();
        let mut out = Meanwhile {
            sent: Vec::new(),
            happens: Some(happens),
        };
        let ended = pack(&found, &contents, &mut out);
        let Err(Stopped::Folder(trouble)) = ended else {
            panic!("{why}: {ended:?}")
        };
        assert!(trouble.why.contains(why), "{why}: {trouble:?}");
        assert!(!out.sent.ends_with(&[0; 1024]), "{why}");
    }
}

#[test]
fn a_reader_that_goes_away_and_a_full_pipe_are_told_apart() {
    struct Broken(std::io::ErrorKind);
    impl std::io::Write for Broken {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let home = tempfile::tempdir().unwrap();
    folder(home.path(), false);
    let found = Folder::find(home.path()).unwrap();
    let contents = found.contents().unwrap();
    assert_eq!(contents.skipped, 0);
    let mut gone = Broken(std::io::ErrorKind::BrokenPipe);
    assert!(matches!(
        pack(&found, &contents, &mut gone),
        Err(Stopped::Gone)
    ));
    let mut other = Broken(std::io::ErrorKind::Other);
    assert!(matches!(
        pack(&found, &contents, &mut other),
        Err(Stopped::Write(_))
    ));
}
