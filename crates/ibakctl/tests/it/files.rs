//! The real binary and files out of a backup: the daemon streams, this program writes.

use super::fixtures::{ada, backup};
use super::mock::{Mock, Ran, Script, Step};
use super::tarball::Tarball;
use super::tty::Tty;
use ibak_dbus::Error;
use ibak_dbus::views::{BackupView, CompletedView};
use ibak_dbus::words::Outcome;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

const OLD: &str = "01JD8Z3YQ9V6W2X4T5R7P8N0KM";
const NEW: &str = "01JD9Z3YQ9V6W2X4T5R7P8N0KM";
const UDID: &str = "00008110-000A1B2C3D4E5F60";

fn plain(id: &str, finished: &str) -> BackupView {
    BackupView {
        encrypted: false,
        keybag: None,
        ..backup(id, finished)
    }
}

fn end(result: Outcome) -> Step {
    Step::End(result, CompletedView::default())
}

async fn house(stream: Vec<u8>) -> Mock {
    Mock::start(Script {
        phones: vec![ada()],
        backups: vec![
            backup(OLD, "2026-11-20T02:14:00Z"),
            plain(NEW, "2026-11-21T02:14:00Z"),
        ],
        steps: vec![end(Outcome::Succeeded)],
        stream,
        ..Script::default()
    })
    .await
}

fn files() -> Tarball {
    Tarball::default()
        .directory("HomeDomain/Library/")
        .file("HomeDomain/Library/SMS/sms.db", "messages")
        .file("HomeDomain/Library/Notes/\u{201c}list\u{201d}.txt", "milk")
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_come_out_under_their_names() {
    let mock = house(files().symlink("HomeDomain/link", "/etc").end()).await;
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("new/out");
    let out = out.to_str().unwrap();
    let ran = mock
        .run(&[
            "extract",
            "ada@latest",
            "HomeDomain",
            "WirelessDomain/x",
            "-o",
            out,
        ])
        .await;
    assert_eq!(
        (ran.code, ran.err.contains("Error")),
        (Some(0), false),
        "{ran:?}"
    );
    assert_eq!(
        ran.out,
        format!(
            "2 files, 12 bytes, in {out}.\n1 symbolic link left out; `--symlinks` makes them.\n"
        )
    );
    assert_eq!(
        text(&Path::new(out).join("HomeDomain/Library/SMS/sms.db")),
        "messages"
    );
    let again = mock
        .run(&["extract", "ada", "HomeDomain", "--symlinks", "-o", out])
        .await;
    assert_eq!(again.code, Some(0), "{again:?}");
    assert!(
        again.out.contains("0 files, 0 bytes")
            && again
                .out
                .contains("2 files that were there left as they were"),
        "{again:?}"
    );
    assert!(Path::new(out).join("HomeDomain/link").is_symlink());
    let json = mock
        .run(&[
            "extract",
            "01jd9",
            "HomeDomain",
            "--overwrite",
            "-o",
            out,
            "--json",
        ])
        .await;
    assert_eq!(
        (json.code, json.json()["files"].as_u64()),
        (Some(0), Some(2)),
        "{json:?}"
    );
    assert_eq!(
        mock.calls(),
        [
            format!(
                "read-files {NEW} [\"HomeDomain\", \"WirelessDomain/x\"] password=None raw=false"
            ),
            format!("read-files {NEW} [\"HomeDomain\"] password=None raw=false"),
            format!("read-files {NEW} [\"HomeDomain\"] password=None raw=false"),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_told_and_fails_the_command() {
    let stream = files()
        .file("../../.ssh/authorized_keys", "evil")
        .file("HomeDomain/\u{1b}]0;x\u{7}", "evil")
        .end();
    let mock = house(stream).await;
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("a/b");
    let ran = mock
        .run(&["extract", "ada", "HomeDomain", "-o", out.to_str().unwrap()])
        .await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.err.contains("2 entries were not written:\n  ../../.ssh/authorized_keys: its name leads elsewhere\n  HomeDomain/\\u{1b}]0;x\\u{7}: its name holds a control character\n"),
        "{ran:?}"
    );
    assert!(!ran.err.contains('\u{1b}') && !home.path().join(".ssh").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_fails_is_told_with_the_jobs_own_reason() {
    let mock = house(files().cut()).await;
    mock.script().steps = vec![end(Outcome::BackupUnreadable)];
    let home = tempfile::tempdir().unwrap();
    let out = home.path().to_str().unwrap();
    let ran = mock.run(&["extract", "ada", "HomeDomain", "-o", out]).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran:?}");
    assert!(
        ran.err.contains("Error: the reading of the backup failed: what is stored cannot be read as a backup\nHint: choose another backup"),
        "{ran:?}"
    );
    // Whole, but some of it could not be read: what could is there, and said to be.
    mock.script().stream = Tarball::default().raw(&files().cut()).end();
    let ran = mock
        .run(&["extract", "ada", "HomeDomain", "--overwrite", "-o", out])
        .await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.err.contains("Caused by:\n1: 2 files were written\n"),
        "{ran:?}"
    );
    mock.script().steps = vec![end(Outcome::NoSuchBackup)];
    mock.script().stream = Vec::new();
    let ran = mock.run(&["extract", "ada", "Nowhere", "-o", out]).await;
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(
        ran.err.contains("found nothing: there is no such backup, or nothing of that name in it\nHint: `ibakctl ls BACKUP`"),
        "{ran:?}"
    );
    mock.script().stream = files().cut();
    mock.script().steps = vec![end(Outcome::Succeeded)];
    let ran = mock.run(&["extract", "ada", "HomeDomain", "-o", out]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.err
            .contains("what the daemon sent cannot be used\nCaused by:\n1: it ended early"),
        "{ran:?}"
    );
    mock.script().stream = vec![b'x'; 2048];
    let ran = mock.run(&["extract", "ada", "HomeDomain", "-o", out]).await;
    assert!(ran.err.contains("it is malformed: a checksum"), "{ran:?}");
    mock.script().stream = Tarball::default().end();
    let ran = mock.run(&["extract", "ada", "Nowhere", "-o", out]).await;
    assert_eq!(ran.code, Some(4), "nothing was found: {ran:?}");
    std::fs::write(home.path().join("file"), "").unwrap();
    let blocked = home.path().join("file/out");
    let ran = mock
        .run(&[
            "extract",
            "ada",
            "HomeDomain",
            "-o",
            blocked.to_str().unwrap(),
        ])
        .await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("Error: cannot write into "), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_backup_asks_for_its_password() {
    let mock = house(files().end()).await;
    let home = tempfile::tempdir().unwrap();
    let out = home.path().to_str().unwrap();
    let args = ["extract", "ada@2026-11-20", "HomeDomain", "-o", out];
    let mut tty = Tty::start(&mock, &args);
    tty.until("Password of the backup of Ada's iPhone from Fri 02:14: ");
    assert!(!tty.echoes());
    tty.types("open sesame\n");
    let (code, shown) = tty.end();
    assert_eq!(code, Some(0), "{shown}");
    assert!(!shown.contains("sesame"));
    assert_eq!(
        mock.calls(),
        [format!(
            "read-files {OLD} [\"HomeDomain\"] password=Some(\"open sesame\") raw=false"
        )]
    );
    mock.script().refuse = Some(|| Error::WrongPassword("the password is wrong".into()));
    let mut command = mock.command(&[&args[..], &["--password-fd", "0"]].concat());
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"wrong").unwrap();
    let ran = Ran::of(&child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.err.contains("Error: cannot read the backup\nCaused by:\n1: the password is wrong\nHint: a backup keeps the password"),
        "{ran:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_stops_both_ends_and_leaves_no_half_file() {
    let half = Tarball::default()
        .file("HomeDomain/whole", "1")
        .file("HomeDomain/half", &"2".repeat(300_000))
        .cut();
    let mock = house(half[..200_000].to_vec()).await;
    mock.script().hold = true;
    mock.script().steps = vec![super::jobs::receiving(0.5), Step::Gate];
    let home = tempfile::tempdir().unwrap();
    let out = home.path().to_str().unwrap();
    let mut tty = Tty::start(&mock, &["extract", "ada", "HomeDomain", "-o", out]);
    tty.until("50 %");
    let whole = home.path().join("HomeDomain/whole");
    while !whole.exists() {
        std::thread::yield_now();
    }
    // A typed Ctrl-C has the terminal throw away what it has not shown yet.
    tty.signal(rustix::process::Signal::INT);
    let (code, shown) = tty.end();
    assert_eq!(code, Some(130), "{shown}");
    assert!(shown.contains("Cancelled.\n"), "{shown}");
    assert_eq!(mock.calls().last().unwrap(), "cancel 101");
    let left: Vec<_> = std::fs::read_dir(home.path().join("HomeDomain"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["whole"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_whole_or_has_another_name() {
    let stream = Tarball::default()
        .file(&format!("{UDID}/Manifest.db"), "db")
        .file(&format!("{UDID}/00/00{}", "a".repeat(38)), "content");
    let mock = house(
        Tarball::default()
            .raw(&{
                let whole = stream.end();
                whole[..whole.len() - 1024].to_vec()
            })
            .cut(),
    )
    .await;
    let home = tempfile::tempdir().unwrap();
    let out = home.path().to_str().unwrap();
    let short = mock.run(&["export", "ada@2026-11-20", out]).await;
    assert_eq!((short.code, short.out.as_str()), (Some(1), ""), "{short:?}");
    assert!(
        short
            .err
            .contains(&format!("{UDID}.part, and is no backup")),
        "{short:?}"
    );
    assert!(!home.path().join(UDID).exists());
    let again = mock.run(&["export", "ada@2026-11-20", out]).await;
    assert!(
        again.err.contains("an export goes only where nothing is"),
        "{again:?}"
    );
    let whole = Tarball::default().raw(&mock.script().stream).end();
    mock.script().stream = whole;
    let home = tempfile::tempdir().unwrap();
    let out = home.path().to_str().unwrap();
    let ran = mock.run(&["export", "ada@2026-11-20", out]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(text(&home.path().join(UDID).join("Manifest.db")), "db");
    assert!(
        ran.out.contains("Finder restores it from")
            && ran
                .out
                .contains(&format!("idevicebackup2 --source {UDID} restore")),
        "{ran:?}"
    );
    // No password: what is encrypted stays so.
    assert_eq!(
        mock.calls()[0],
        format!("read-files {OLD} [] password=None raw=true")
    );
    let again = mock.run(&["export", "ada@2026-11-20", out]).await;
    assert_eq!(again.code, Some(1), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_level_of_a_backup_at_a_time() {
    let line = |domain: &str, path: &str, kind: &str, size: u64| {
        format!(
            "{{\"domain\":\"{domain}\",\"path\":\"{path}\",\"kind\":\"{kind}\",\"size\":{size},\"modified\":1700000000,\"mode\":420,\"new\":1}}\n"
        )
    };
    let lines = [
        line("HomeDomain", "Library", "directory", 0),
        line("HomeDomain", "Library/SMS/sms.db", "file", 2048),
        line("HomeDomain", "Library/evil\\u001b[2J", "file", 1),
    ]
    .concat();
    let mock = house(lines.clone().into_bytes()).await;
    let domains = mock.run(&["ls", "ada"]).await;
    assert_eq!(
        domains.out,
        "FILES      SIZE    CHANGED            DOMAIN\n2 files    2 KiB   2023-11-14 22:13   HomeDomain\n",
        "{domains:?}"
    );
    let ran = mock.run(&["ls", "ada@latest", "HomeDomain/Library/"]).await;
    assert!(
        ran.out.contains("SMS/\n") && ran.out.contains("evil\\u{1b}[2J"),
        "{ran:?}"
    );
    let json = mock
        .run(&["ls", "ada", "HomeDomain/Library", "--json"])
        .await
        .json();
    assert_eq!(json["entries"][0]["name"], "SMS");
    assert_eq!(
        mock.calls(),
        [
            format!("list-files {NEW} password=None domain=None path=None"),
            format!(
                "list-files {NEW} password=None domain=Some(\"HomeDomain\") path=Some(\"Library\")"
            ),
            format!(
                "list-files {NEW} password=None domain=Some(\"HomeDomain\") path=Some(\"Library\")"
            ),
        ]
    );
    for (stream, code, words) in [
        (String::new(), 4, "this backup holds no \"HomeDomain/x\""),
        (
            "nonsense\n".into(),
            1,
            "what the daemon sent cannot be used",
        ),
        (lines.trim_end().to_owned(), 1, "a line is not whole"),
        (
            format!("\"{}\"\n", "x".repeat(70_000)),
            1,
            "a line is not whole",
        ),
    ] {
        mock.script().stream = stream.into_bytes();
        let ran = mock.run(&["ls", "ada", "HomeDomain/x"]).await;
        assert_eq!((ran.code, ran.out.as_str()), (Some(code), ""), "{ran:?}");
        assert!(ran.err.contains(words), "{words}: {ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_bought_is_saved_once() {
    let mock = house(
        Tarball::default()
            .file("Purchases/a/film.m4v", "12345")
            .end(),
    )
    .await;
    let home = tempfile::tempdir().unwrap();
    let out = home.path().to_str().unwrap();
    let ran = mock.run(&["purchases", "save", "ada", out]).await;
    assert_eq!(
        (ran.code, ran.out),
        (Some(0), format!("1 file, 5 bytes, in {out}.\n"))
    );
    mock.script().stream = Tarball::default().file("Books/Purchases/b.epub", "b").end();
    let ran = mock.run(&["purchases", "save", "ada", out]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    mock.script().stream = Tarball::default().end();
    let ran = mock.run(&["purchases", "save", "ada", out]).await;
    assert_eq!(
        ran.out,
        "Nothing new was bought on Ada's iPhone; 2 files are here already.\n"
    );
    assert_eq!(
        mock.calls(),
        [
            "save-purchases {}",
            "save-purchases {\"Purchases/a/film.m4v\": 5}",
            "save-purchases {\"Books/Purchases/b.epub\": 1, \"Purchases/a/film.m4v\": 5}",
        ]
    );
    // A file that is not whole comes again and replaces what is there.
    std::fs::write(home.path().join("Purchases/a/film.m4v"), "12").unwrap();
    mock.script().stream = Tarball::default()
        .file("Purchases/a/film.m4v", "12345")
        .end();
    mock.run(&["purchases", "save", "ada", out]).await;
    assert_eq!(text(&home.path().join("Purchases/a/film.m4v")), "12345");
    mock.script().steps = vec![end(Outcome::LostConnection)];
    mock.script().stream = Tarball::default().file("Purchases/c", "c").cut();
    let ran = mock.run(&["purchases", "save", "ada", out]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(home.path().join("Purchases/c").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_has_many_names_and_two_are_too_many() {
    let mock = house(files().end()).await;
    mock.script()
        .backups
        .push(plain("01JDAZ3YQ9V6W2X4T5R7P8N0KM", "2026-11-21T22:00:00Z"));
    let home = tempfile::tempdir().unwrap();
    let out = home.path().to_str().unwrap();
    for (asked, id) in [
        ("ada", "01JDAZ"),
        ("@latest", "01JDAZ"),
        ("ada@2026-11-21T02:14", "01JD9Z"),
        ("01jd9", "01JD9Z"),
    ] {
        let ran = mock.run(&["extract", asked, "HomeDomain", "-o", out]).await;
        assert_eq!(ran.code, Some(0), "{asked}: {ran:?}");
        assert!(mock.calls().last().unwrap().contains(id), "{asked}");
    }
    for (asked, words) in [
        (
            "ada@2026-11-21",
            format!(
                "\"ada@2026-11-21\" is more than one backup\nHint: name one of: {NEW} (Ada's iPhone of 2026-11-21 02:14), 01JDAZ"
            ),
        ),
        (
            "01JD",
            "\"01JD\" is more than one backup\nHint: name one of: ".to_owned(),
        ),
        (
            "ada@2020-01-01",
            "there is no backup \"ada@2020-01-01\"\nHint: `ibakctl backups` lists them".to_owned(),
        ),
        ("bob@latest", "no phone is called \"bob\"".to_owned()),
        ("bob", "no phone is called \"bob\"".to_owned()),
        ("01ZZ", "there is no backup \"01ZZ\"".to_owned()),
    ] {
        for args in [
            &["ls", asked][..],
            &["export", asked, out],
            &["extract", asked, "x", "-o", out],
        ] {
            let ran = mock.run(args).await;
            assert_eq!(
                (ran.code, ran.out.as_str()),
                (Some(4), ""),
                "{asked}: {ran:?}"
            );
            assert!(ran.err.contains(&words), "{words:?}: {ran:?}");
        }
    }
}
