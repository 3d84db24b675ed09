//! The real binary and a restore: checked first, never implicit, explained when refused.

use super::fixtures::{ada, backup, job, studio};
use super::mock::{Mock, Ran, Script, Step};
use super::tty::{Tty, without_terminal};
use ibak_dbus::views::{BackupView, CompletedView, JobView};
use ibak_dbus::words::{Outcome, Phase};
use rustix::process::Signal;
use std::collections::VecDeque;
use std::process::Command;

const ID: &str = "01JD9Z3YQ9V6W2X4T5R7P8N0KM";

fn showing(phase: Phase) -> Step {
    Step::Show(JobView { phase, ..job() })
}

fn end(result: Outcome) -> Step {
    Step::End(result, CompletedView::default())
}

async fn house(backup: BackupView) -> Mock {
    Mock::start(Script {
        phones: vec![ada(), studio()],
        backups: vec![backup],
        queue: VecDeque::from([vec![showing(Phase::Unlocking), end(Outcome::Succeeded)]]),
        steps: vec![
            showing(Phase::Asking),
            showing(Phase::Sending),
            end(Outcome::Succeeded),
        ],
        ..Script::default()
    })
    .await
}

fn plain() -> BackupView {
    BackupView {
        encrypted: false,
        keybag: None,
        ..backup(ID, "2026-11-21T02:14:00Z")
    }
}

async fn run(mut command: Command) -> Ran {
    tokio::task::spawn_blocking(move || Ran::of(&command.output().unwrap()))
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_checks_offers_a_backup_asks_and_only_then_begins() {
    let mock = house(backup(ID, "2026-11-21T02:14:00Z")).await;
    let mut tty = Tty::start(&mock, &["restore", "ada"]);
    tty.until("Password of the backup of Ada's iPhone from yesterday 02:14: ");
    assert!(!tty.echoes());
    tty.types("open sesame\n")
        .until("Checking, without touching the phone.")
        .until("Everything checks out.")
        .until("Comes back: ")
        .until("Does not come back: ")
        .until("Back up what is on Ada's iPhone now, before it is replaced? [Y/n] ")
        .types("y\n")
        .until("Ada's iPhone is backed up:")
        .until("To begin, type the name of the phone (Ada's iPhone): ")
        .types("ada\u{2019}s IPHONE\n")
        .until("Enter the passcode on Ada's iPhone now.")
        .until("Ada's iPhone has the backup. It restarts now");
    let (code, shown) = tty.end();
    assert_eq!(code, Some(0), "{shown}");
    assert!(!shown.contains("sesame"), "{shown}");
    assert_eq!(
        mock.calls(),
        [
            format!("restore {ID} source=\"\" password=Some(\"open sesame\") dry-run"),
            "backup when-ready=false full=false".to_owned(),
            format!("restore {ID} source=\"\" password=Some(\"open sesame\")"),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn anything_but_the_name_does_nothing() {
    let mock = house(plain()).await;
    let mut tty = Tty::start(&mock, &["restore", "ada", "--from", "01jd9"]);
    // Two phones of the mock share one list, so the id alone names two.
    let (code, shown) = {
        tty.until("is more than one backup");
        tty.end()
    };
    assert_eq!(code, Some(4), "{shown}");
    for (answers, want) in [
        (&["n\n", "\n"][..], 1),
        (&["n\n", "yes\n"], 1),
        (&["n\n", "\x03"], 130),
        (&["\x03"], 130),
        (&["n\n", "\x04"], 130),
    ] {
        let mut tty = Tty::start(&mock, &["restore", "ada", "--from", "ada@latest"]);
        for (question, answer) in ["[Y/n] ", "(Ada's iPhone): "].iter().zip(answers) {
            tty.until(question).types(answer);
        }
        let (code, shown) = tty.end();
        assert_eq!(code, Some(want), "{answers:?}: {shown}");
    }
    assert!(
        mock.calls().iter().all(|call| call.ends_with(" dry-run")),
        "{:?}",
        mock.calls()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_means_yes_only_when_said() {
    let mock = house(plain()).await;
    let ran = run(without_terminal(&mock, &["restore", "ada"])).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{ran:?}");
    assert!(mock.calls().is_empty());
    let args = [
        "restore",
        "studio",
        "--from",
        "ada@2026-11-21",
        "--yes",
        "--keep-settings",
        "--remove-others",
        "--no-reboot",
    ];
    let ran = run(without_terminal(&mock, &args)).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        ran.out.contains("Restart it to finish") && ran.err.contains("goes onto Studio iPad"),
        "{ran:?}"
    );
    let source = "source=\"00008110-000A1B2C3D4E5F60\" password=None";
    let flags = "keep-settings remove-others no-reboot";
    assert_eq!(
        mock.calls(),
        [
            format!("restore {ID} {source} dry-run {flags}"),
            format!("restore {ID} {source} {flags}")
        ]
    );
}

/// What the phone or the checks refuse: nothing begins, and each has its remedy.
#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_says_what_to_do() {
    let mock = house(plain()).await;
    for (result, code, remedy) in [
        (Outcome::FindMy, 1, "Find My iPhone, off"),
        (
            Outcome::SetupUnfinished,
            1,
            "finish the phone's setup up to the home",
        ),
        (
            Outcome::WrongPassword,
            1,
            "use the password this backup was made under",
        ),
        (
            Outcome::Encryption,
            1,
            "use the password this backup was made under",
        ),
        (Outcome::OlderSystem, 1, "update the phone first"),
        (Outcome::NoRoomOnPhone, 3, "make room on the phone"),
        (Outcome::NotConnected, 3, "plug the phone in"),
        (Outcome::NotConfirmed, 7, "type its passcode there"),
        (
            Outcome::ICloudRestore,
            1,
            "wait until the phone has everything back",
        ),
    ] {
        mock.script().queue = VecDeque::from([vec![end(result.clone())]]);
        let ran = run(without_terminal(&mock, &["restore", "ada", "--yes"])).await;
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (Some(code), ""),
            "{result}: {ran:?}"
        );
        assert!(
            ran.err.contains("Error: the check before the restore "),
            "{ran:?}"
        );
        assert!(ran.err.contains(remedy), "{result}: {ran:?}");
        assert!(!ran.err.contains("Everything checks out"), "{ran:?}");
    }
    assert!(mock.calls().iter().all(|call| call.ends_with(" dry-run")));
    mock.script().queue =
        VecDeque::from([vec![end(Outcome::Succeeded)], vec![end(Outcome::FindMy)]]);
    let ran = run(without_terminal(&mock, &["restore", "ada", "--yes"])).await;
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.err
            .contains("Error: the restore failed: Find My is on\nHint: on the phone: Settings"),
        "{ran:?}"
    );
    mock.script().backups.clear();
    let ran = run(without_terminal(&mock, &["restore", "ada", "--yes"])).await;
    assert_eq!(ran.code, Some(4), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_does_not_leave_a_phone_half_restored() {
    let mock = house(plain()).await;
    mock.script().steps = vec![showing(Phase::Sending), Step::Gate];
    let mut tty = Tty::start(&mock, &["restore", "ada", "--yes"]);
    // A typed Ctrl-C has the terminal throw away what it has not shown yet.
    tty.until("the phone takes its files").signal(Signal::INT);
    let (code, shown) = tty.end();
    assert_eq!(code, Some(130), "{shown}");
    assert!(shown.contains("The restore goes on without you"), "{shown}");
    assert!(!mock.calls().iter().any(|call| call.starts_with("cancel")));
}
