//! The real binary and a person's password: typed unseen, handed over unseen, and never kept.

use super::fixtures::{ada, backup, job};
use super::mock::{Mock, Ran, Script, Step};
use super::tty::{Tty, without_terminal};
use ibak_dbus::views::{BackupView, CheckView, CompletedView, JobView, PhoneView};
use ibak_dbus::words::{CheckDetail, CheckId, CheckStatus, OnOff, Outcome, Phase};
use ibak_dbus::{Bytes, Error};
use rustix::process::Signal;
use std::io::Write;
use std::process::{Command, Stdio};

const SECRET: &str = "open sesame";

fn plain_phone() -> PhoneView {
    PhoneView {
        encryption: OnOff::Off,
        ..ada()
    }
}

fn showing(phase: Phase) -> Step {
    Step::Show(JobView {
        phase,
        progress: None,
        bytes_total: None,
        bytes_done: Bytes::ZERO,
        ..job()
    })
}

fn end(result: Outcome) -> Step {
    Step::End(result, CompletedView::default())
}

fn plain_backup() -> BackupView {
    BackupView {
        encrypted: false,
        keybag: None,
        ..backup("01JD8Z3YQ9V6W2X4T5R7P8N0KM", "2026-11-20T02:14:00Z")
    }
}

fn encrypted_backup() -> BackupView {
    backup("01JD9Z3YQ9V6W2X4T5R7P8N0KM", "2026-11-21T02:14:00Z")
}

async fn plain() -> Mock {
    Mock::start(Script {
        phones: vec![plain_phone()],
        backups: vec![plain_backup()],
        steps: vec![showing(Phase::Asking), end(Outcome::Succeeded)],
        ..Script::default()
    })
    .await
}

async fn encrypted() -> Mock {
    Mock::start(Script {
        phones: vec![ada()],
        backups: vec![plain_backup(), encrypted_backup()],
        steps: vec![showing(Phase::Unlocking), end(Outcome::Succeeded)],
        ..Script::default()
    })
    .await
}

/// Runs it with something to read on descriptor 0.
async fn fed(mock: &Mock, args: &[&str], input: &str) -> Ran {
    let mut command = without_terminal(mock, args);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let input = input.to_owned();
    tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        Ran::of(&child.wait_with_output().unwrap())
    })
    .await
    .unwrap()
}

async fn run(mut command: Command) -> Ran {
    tokio::task::spawn_blocking(move || Ran::of(&command.output().unwrap()))
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_typed_twice_and_never_seen() {
    let mock = plain().await;
    let mut tty = Tty::start(&mock, &["encryption", "on", "ada"]);
    tty.until("Nobody, not even Apple, can recover this password")
        .until("this means one full backup more: about 7.6 GiB")
        .until("The password then also holds for backups that Finder or iTunes make.")
        .until("New password for the backups of Ada's iPhone: ");
    assert!(!tty.echoes());
    tty.types("open sesame\n").until("The same again: ");
    assert!(!tty.echoes());
    tty.types("open sesame\n")
        .until("Enter the passcode on Ada's iPhone now.");
    assert!(tty.echoes(), "the terminal is as it was");
    let (code, shown) = tty.end();
    assert_eq!(code, Some(0), "{shown}");
    assert!(!shown.contains("sesame"), "{shown}");
    assert!(
        shown.contains("Backups of Ada's iPhone are encrypted from the next one on.\nHint: `ibakctl encryption sheet ada`"),
        "{shown}"
    );
    assert_eq!(mock.calls(), ["set-encryption \"\" \"open sesame\""]);
}

/// Whatever ends the question, the shell gets its terminal back and nothing was changed.
#[tokio::test(flavor = "multi_thread")]
async fn every_way_out_puts_the_terminal_back() {
    let mock = plain().await;
    for (what, key, signal, want) in [
        ("Ctrl-C", "half a sec\x03", None, 130),
        ("Ctrl-D", "\x04", None, 130),
        ("Ctrl-Z and then Ctrl-C", "\x1a\x03", None, 130),
        ("terminate", "", Some(Signal::TERM), 130),
        ("hang up", "", Some(Signal::HUP), 130),
        ("quit", "", Some(Signal::QUIT), 130),
        ("an empty line", "\n", None, 2),
        ("a tab", "a\tb\n", None, 2),
    ] {
        let mut tty = Tty::start(&mock, &["encryption", "on"]);
        tty.until("New password for the backups of Ada's iPhone: ");
        assert!(!tty.echoes(), "{what}");
        tty.types(key);
        if let Some(signal) = signal {
            tty.signal(signal);
        }
        let watch = tty.watch();
        let (code, shown) = tty.end();
        assert_eq!(code, Some(want), "{what}: {shown}");
        assert!(watch.echoes(), "{what}");
        assert!(!shown.contains("half"), "{what}: {shown}");
    }
    assert!(mock.calls().is_empty(), "{:?}", mock.calls());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_differ_change_nothing() {
    let mock = plain().await;
    let mut tty = Tty::start(&mock, &["encryption", "on"]);
    tty.until("Ada's iPhone: ").types("open sesame\n");
    tty.until("again: ").types("open sesami\n");
    let (code, shown) = tty.end();
    assert_eq!(code, Some(2));
    assert!(
        shown.contains(
            "Error: the two passwords are not the same\nCaused by:\n1: nothing was changed"
        ),
        "{shown}"
    );
    assert!(mock.calls().is_empty() && !shown.contains("sesam"));
}

#[tokio::test(flavor = "multi_thread")]
async fn six_words_are_shown_once() {
    let mock = plain().await;
    let mut tty = Tty::start(&mock, &["encryption", "on", "--generate"]);
    tty.until("shown only this once:")
        .until("press Enter. ")
        .types("\n");
    let (code, shown) = tty.end();
    assert_eq!(code, Some(0), "{shown}");
    let call = mock.calls().concat();
    let words = call
        .strip_prefix("set-encryption \"\" \"")
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or_else(|| panic!("{call}"));
    assert_eq!(words.split('-').count(), 6, "{words}");
    assert_eq!(shown.matches(words).count(), 1, "{shown}");
    // Nobody would see them.
    let ran = run(without_terminal(&mock, &["encryption", "on", "--generate"])).await;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(
        ran.err.contains("no terminal to show the words on"),
        "{ran:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_terminal_it_comes_from_a_descriptor_or_a_credential() {
    let mock = plain().await;
    let on = ["encryption", "on", "ada"];
    let ran = run(without_terminal(&mock, &on)).await;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(
        ran.err.contains("Error: there is no terminal to ask for the password on\nHint: give it with `--password-fd N`"),
        "{ran:?}"
    );
    for option in ["--password-fd", "--new-password-fd"] {
        let ran = fed(&mock, &[&on[..], &[option, "0"]].concat(), "open sesame\n").await;
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(
            !ran.err.contains("sesame") && !ran.out.contains("sesame"),
            "{ran:?}"
        );
    }
    let credentials = tempfile::tempdir().unwrap();
    std::fs::write(credentials.path().join("ibak-password"), "from systemd").unwrap();
    let mut command = without_terminal(&mock, &on);
    command.env("CREDENTIALS_DIRECTORY", credentials.path());
    let ran = run(command).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for (input, why) in [
        ("", "is empty"),
        ("two\nlines\n", "nobody can type"),
        (&"x".repeat(5_000), "is longer than 4096 bytes"),
    ] {
        let ran = fed(&mock, &[&on[..], &["--password-fd", "0"]].concat(), input).await;
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(
            ran.err
                .contains(&format!("the password from --password-fd 0 {why}"))
                || ran.err.contains(&format!(
                    "the password from --password-fd 0 holds a character that {why}"
                )),
            "{ran:?}"
        );
    }
    let ran = fed(&mock, &[&on[..], &["--password-fd", "77"]].concat(), "").await;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(
        ran.err
            .contains("cannot read the password from --password-fd 77"),
        "{ran:?}"
    );
    assert_eq!(
        mock.calls(),
        [
            "set-encryption \"\" \"open sesame\"",
            "set-encryption \"\" \"open sesame\"",
            "set-encryption \"\" \"from systemd\"",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_work_is_refused_before_anything_is_typed() {
    let mock = plain().await;
    let refused = async |args: &[&str], code: i32, words: &str| {
        let ran = run(without_terminal(&mock, args)).await;
        assert_eq!(ran.code, Some(code), "{args:?}: {ran:?}");
        assert!(ran.err.contains(words), "{args:?}: {ran:?}");
    };
    let on: &[&str] = &["encryption", "on"];
    mock.manager().storage_free = Bytes::from_gib(5);
    refused(
        on,
        3,
        "it takes about 7.6 GiB, and 5 GiB are free\nHint: make room",
    )
    .await;
    mock.manager().storage_free = Bytes::from_gib(500);
    mock.manager().quota = Some(Bytes::from_gib(289));
    refused(on, 3, "it takes about 7.6 GiB, and the quota leaves 1 GiB").await;
    mock.manager().quota = None;
    refused(
        &["encryption", "change"],
        1,
        "have no password yet\nHint: `ibakctl encryption on` sets one",
    )
    .await;
    refused(
        &["encryption", "check"],
        4,
        "no backup of Ada's iPhone has a password yet",
    )
    .await;
    mock.script().phones = vec![PhoneView {
        transports: vec![],
        ..plain_phone()
    }];
    refused(on, 3, "Ada's iPhone is not here\nHint: plug the phone in").await;
    mock.script().phones = vec![ada()];
    refused(on, 1, "have a password already").await;
    mock.script().phones = vec![PhoneView {
        encryption_required: true,
        ..ada()
    }];
    refused(&["encryption", "off"], 1, "demands encrypted backups").await;
    assert!(mock.calls().is_empty(), "{:?}", mock.calls());
}

#[tokio::test(flavor = "multi_thread")]
async fn off_and_change_take_the_password_that_holds() {
    let mock = encrypted().await;
    let ran = fed(&mock, &["encryption", "off", "--password-fd", "0"], SECRET).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        ran.err
            .contains("leave out health data and saved passwords"),
        "{ran:?}"
    );
    assert_eq!(
        ran.out,
        "Backups of Ada's iPhone are plain from the next one on. Older ones keep their password.\n"
    );
    let mut tty = Tty::start(&mock, &["encryption", "change"]);
    tty.until("Present password of the backups of Ada's iPhone: ")
        .types("open sesame\n");
    tty.until("New password for the backups of Ada's iPhone: ")
        .types("new one\n");
    tty.until("The same again: ").types("new one\n");
    let (code, shown) = tty.end();
    assert_eq!(code, Some(0), "{shown}");
    assert_eq!(
        mock.calls(),
        [
            "set-encryption \"open sesame\" \"\"",
            "set-encryption \"open sesame\" \"new one\""
        ]
    );
    mock.script().steps = vec![end(Outcome::WrongPassword)];
    let ran = fed(&mock, &["encryption", "off", "--password-fd", "0"], "wrong").await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran:?}");
    assert!(
        ran.err.contains("Error: switching encryption off failed: the password is not the right one\nHint: try the password another computer"),
        "{ran:?}"
    );
    mock.script().steps = vec![end(Outcome::NotConfirmed)];
    let ran = fed(&mock, &["encryption", "off", "--password-fd", "0"], SECRET).await;
    assert_eq!(ran.code, Some(7), "{ran:?}");
    let already = Mock::start(Script {
        phones: vec![plain_phone()],
        ..Script::default()
    })
    .await;
    let ran = already.run(&["encryption", "off"]).await;
    assert_eq!(
        ran.out,
        "The backups of Ada's iPhone have no password, as it was.\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_tried_without_the_phone() {
    let mock = encrypted().await;
    mock.script().phones = vec![PhoneView {
        transports: vec![],
        ..ada()
    }];
    let check = ["encryption", "check", "--password-fd", "0"];
    let ran = fed(&mock, &check, SECRET).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(
        ran.out,
        "This is the password of the backup of Ada's iPhone from yesterday 02:14.\n"
    );
    assert!(
        ran.err.contains("making the key from the password"),
        "{ran:?}"
    );
    mock.script().steps = vec![end(Outcome::WrongPassword)];
    let wrong = fed(&mock, &check, "wrong").await;
    assert_eq!((wrong.code, wrong.out.as_str()), (Some(1), ""), "{wrong:?}");
    assert!(
        wrong.err.contains("Reset All Settings") && wrong.err.contains("Apple Pay cards"),
        "{wrong:?}"
    );
    assert!(
        wrong.err.contains("Error: this is not the password of the backup of Ada's iPhone from yesterday 02:14\nHint: try another one"),
        "{wrong:?}"
    );
    mock.script().refuse = Some(|| Error::WrongPassword("wrong".into()));
    let refused = fed(&mock, &check, "wrong").await;
    assert_eq!(refused.code, wrong.code);
    assert!(wrong.err.ends_with(&refused.err), "{refused:?}");
    mock.script().refuse = None;
    let json = fed(&mock, &[&check[..], &["--json"]].concat(), "wrong").await;
    assert_eq!(json.json()["result"], "wrong-password");
    let ran = fed(
        &mock,
        &[&check[..], &["--backup", "ada@2026-11-20"]].concat(),
        SECRET,
    )
    .await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("this backup has no password"), "{ran:?}");
    let newest = "check-password 01JD9Z3YQ9V6W2X4T5R7P8N0KM";
    assert_eq!(
        mock.calls(),
        [
            format!("{newest} \"open sesame\""),
            format!("{newest} \"wrong\""),
            format!("{newest} \"wrong\""),
            format!("{newest} \"wrong\"")
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_calls_the_check_off() {
    let mock = encrypted().await;
    mock.script().steps = vec![showing(Phase::Unlocking), Step::Gate];
    let mut tty = Tty::start(&mock, &["encryption", "check", "ada"]);
    tty.until("from yesterday 02:14: ").types("open sesame\n");
    // A typed Ctrl-C has the terminal throw away what it has not shown yet.
    tty.until("making the key from the password")
        .signal(Signal::INT);
    let (code, shown) = tty.end();
    assert_eq!(code, Some(130), "{shown}");
    assert!(shown.ends_with("Cancelled.\n"), "{shown}");
    assert_eq!(mock.calls().last().unwrap(), "cancel 101");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_holds_the_secret_only_when_asked_and_only_the_right_one() {
    let mock = encrypted().await;
    mock.script().checks = vec![CheckView {
        subject: "/srv/ibak".into(),
        ..CheckView::new(CheckId::StorePath, CheckStatus::Ok, CheckDetail::Fine)
    }];
    let sheet = ["encryption", "sheet", "ada"];
    let bare = run(without_terminal(&mock, &sheet)).await;
    assert_eq!((bare.code, bare.err.as_str()), (Some(0), ""), "{bare:?}");
    assert!(
        bare.out.contains("/srv/ibak")
            && bare.out.contains("______")
            && bare.out.contains("a1b2 (backup of 2026-11-21 02:14)"),
        "{}",
        bare.out
    );
    let with = [&sheet[..], &["--with-password", "--password-fd", "0"]].concat();
    let ran = fed(&mock, &with, SECRET).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        ran.out.contains("open sesame") && !ran.err.contains("sesame"),
        "{ran:?}"
    );
    mock.script().steps = vec![end(Outcome::WrongPassword)];
    let ran = fed(&mock, &with, "wrong").await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran:?}");
}
