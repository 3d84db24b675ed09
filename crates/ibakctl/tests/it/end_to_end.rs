//! The real binary against the mock daemon: what it reads, how it names things, what it does alone.

use super::fixtures::{ada, attempt, backup, studio};
use super::mock::{Mock, Ran, Script};
use ibak_dbus::Bytes;
use ibak_dbus::views::{CheckView, PhoneView};
use ibak_dbus::words::{CheckDetail, CheckId, CheckStatus, Outcome};

pub(crate) fn two() -> Script {
    Script {
        phones: vec![ada(), studio()],
        ..Script::default()
    }
}

#[tokio::test]
async fn status_goes_to_stdout_and_nothing_to_stderr() {
    let mock = Mock::start(two()).await;
    for args in [&["status"][..], &[]] {
        let ran = mock.run(args).await;
        assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
        assert!(ran.out.starts_with("PHONE           STATE        LAST BACKUP       ENCRYPTED   NEXT\nAda's iPhone    waiting "), "{}", ran.out);
        assert!(!ran.out.contains('\u{1b}'), "no colour in a pipe");
    }
    let one = mock.run(&["studio"]).await;
    assert_eq!((one.code, one.out.lines().count()), (Some(0), 2), "{one:?}");
    assert!(
        mock.run(&["--color", "always"])
            .await
            .out
            .contains("\u{1b}[")
    );
}

#[tokio::test]
async fn overdue_is_a_question_for_check() {
    let mock = Mock::start(Script {
        phones: vec![PhoneView {
            overdue: true,
            ..ada()
        }],
        ..Script::default()
    })
    .await;
    assert_eq!(mock.run(&["status"]).await.code, Some(0));
    assert_eq!(mock.run(&["status", "--check"]).await.code, Some(1));
    assert_eq!(mock.run(&["--check"]).await.code, Some(1));
}

#[tokio::test]
async fn phones_are_named_in_many_ways() {
    let twin = PhoneView {
        name: "Ada’s iPad".into(),
        udid: ibak_dbus::Udid::parse("00008030-001A2B3C4D5E6F70").unwrap(),
        ..ada()
    };
    let mock = Mock::start(Script {
        phones: vec![ada(), twin, studio()],
        ..Script::default()
    })
    .await;
    for (asked, code) in [
        ("studio", 0),
        ("STUDIO IPAD", 0),
        ("Ada's iPad", 0),
        ("ada's iph", 0),
        ("abcdef01", 0),
        ("00008030001a2b3c4d5e6f70", 0),
        ("00008030", 0),
        ("ada", 4),
        ("0000", 4),
        ("bob", 4),
        ("", 4),
        ("\u{1b}[2J", 4),
    ] {
        let ran = mock.run(&["why", asked]).await;
        assert_eq!(ran.code, Some(code), "{asked:?}: {ran:?}");
        assert_eq!(ran.out.is_empty(), code != 0, "{asked}");
        assert!(!ran.err.contains('\u{1b}'), "{ran:?}");
    }
    let ambiguous = mock.run(&["why", "ada"]).await;
    assert!(ambiguous.err.contains("\"ada\" is more than one phone\nHint: name one of: Ada's iPhone (00008110-000A1B2C3D4E5F60), Ada’s iPad"), "{}", ambiguous.err);
    let none = mock.run(&["why"]).await;
    assert_eq!(none.code, Some(2), "{none:?}");
}

#[tokio::test]
async fn why_names_the_phone_as_it_was_asked_for() {
    let mock = Mock::start(two()).await;
    let ran = mock.run(&["why", "ada"]).await;
    assert!(
        ran.out.starts_with(
            "Ada's iPhone is due and waits for its screen to be locked.\n  yes  power "
        ),
        "{}",
        ran.out
    );
    assert!(
        ran.out
            .ends_with("Hint: `ibakctl backup ada` starts one now.\n"),
        "{}",
        ran.out
    );
    let quoted = mock.run(&["why", "Ada's iPhone"]).await;
    assert!(
        quoted
            .out
            .ends_with("Hint: `ibakctl backup \"Ada's iPhone\"` starts one now.\n"),
        "{}",
        quoted.out
    );
    let alone = Mock::ada().await.run(&["why"]).await;
    assert!(
        alone
            .out
            .ends_with("Hint: `ibakctl backup` starts one now.\n"),
        "{}",
        alone.out
    );
}

#[tokio::test]
async fn an_evil_name_cannot_move_the_cursor() {
    let evil = PhoneView {
        name: "\u{1b}]0;x\u{7}\u{202e}\nError: ".into(),
        ..ada()
    };
    let mock = Mock::start(Script {
        phones: vec![evil],
        ..Script::default()
    })
    .await;
    for args in [&["status"][..], &["why"], &["backup"]] {
        let ran = mock.run(args).await;
        assert_eq!(ran.code, Some(0));
        assert!(
            !ran.out.contains(['\u{1b}', '\u{7}', '\u{202e}']),
            "{ran:?}"
        );
    }
}

#[tokio::test]
async fn json_has_a_type_and_the_buss_words() {
    let mock = Mock::start(Script {
        backups: vec![backup("01JD8Z3YQ9V6W2X4T5R7P8N0KM", "2026-11-20T02:14:00Z")],
        attempts: vec![attempt(Outcome::NotConfirmed)],
        checks: vec![CheckView::new(
            CheckId::Usbmuxd,
            CheckStatus::Ok,
            CheckDetail::Fine,
        )],
        ..two()
    })
    .await;
    for (args, message_type) in [
        (&["status", "--json"][..], "status"),
        (&["why", "ada", "--json"], "why"),
        (&["--json", "backups", "ada"], "backups"),
        (&["doctor", "--json"], "doctor"),
    ] {
        let ran = mock.run(args).await;
        assert_eq!(
            (ran.code, ran.err.as_str(), ran.out.lines().count()),
            (Some(0), "", 1),
            "{ran:?}"
        );
        assert_eq!(ran.json()["message_type"], message_type);
    }
    let status = mock.run(&["status", "--json"]).await.json();
    let phone = &status["phones"][0];
    assert_eq!(phone["state"], "waiting");
    assert_eq!(phone["conditions"]["locked"]["reason"], "unlocked");
    assert_eq!(
        phone["conditions"]["space"]["free_bytes"],
        Bytes::from_gib(212).get()
    );
    assert_eq!(phone["last_backup"], "2026-11-21T02:14:00Z");
    assert_eq!(status["manager"]["quota_bytes"], Bytes::from_gib(500).get());
    let why = mock.run(&["why", "ada", "--json"]).await.json();
    assert_eq!(
        why["sentence"],
        "Ada's iPhone is due and waits for its screen to be locked."
    );
    assert_eq!(why["attempts"][0]["result"], "not-confirmed");
}

#[tokio::test]
async fn backups_have_names() {
    let mock = Mock::start(Script {
        backups: vec![
            backup("01JD8Z3YQ9V6W2X4T5R7P8N0KM", "2026-11-20T02:14:00Z"),
            backup("01JD9Z3YQ9V6W2X4T5R7P8N0KM", "2026-11-21T02:14:30Z"),
        ],
        phones: vec![ada()],
        ..Script::default()
    })
    .await;
    for (asked, ids) in [
        (
            None,
            &["01JD8Z3YQ9V6W2X4T5R7P8N0KM", "01JD9Z3YQ9V6W2X4T5R7P8N0KM"][..],
        ),
        (
            Some("ada"),
            &["01JD8Z3YQ9V6W2X4T5R7P8N0KM", "01JD9Z3YQ9V6W2X4T5R7P8N0KM"],
        ),
        (Some("ada@latest"), &["01JD9Z3YQ9V6W2X4T5R7P8N0KM"]),
        (Some("@latest"), &["01JD9Z3YQ9V6W2X4T5R7P8N0KM"]),
        (Some("ada@2026-11-20"), &["01JD8Z3YQ9V6W2X4T5R7P8N0KM"]),
        (
            Some("ada@2026-11-21T02:14"),
            &["01JD9Z3YQ9V6W2X4T5R7P8N0KM"],
        ),
        (Some("01jd9"), &["01JD9Z3YQ9V6W2X4T5R7P8N0KM"]),
    ] {
        let args: Vec<&str> = ["backups", "--json"].into_iter().chain(asked).collect();
        let ran = mock.run(&args).await;
        let found: Vec<String> = ran.json()["backups"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["id"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(
            (ran.code, found),
            (Some(0), ids.iter().map(ToString::to_string).collect()),
            "{asked:?}"
        );
    }
    for asked in ["ada@2020-01-01", "01JZZZ", "bob@latest", "ada@", "bob"] {
        let ran = mock.run(&["backups", asked]).await;
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (Some(4), ""),
            "{asked}: {ran:?}"
        );
    }
}

#[tokio::test]
async fn doctor_says_what_is_wrong() {
    let mock = Mock::start(Script {
        checks: vec![CheckView::new(
            CheckId::Usbmuxd,
            CheckStatus::Ok,
            CheckDetail::Fine,
        )],
        phones: vec![ada()],
        ..Script::default()
    })
    .await;
    let fine = mock.run(&["doctor"]).await;
    assert_eq!(fine.code, Some(0), "{fine:?}");
    mock.script().checks = vec![CheckView::new(
        CheckId::Usbmuxd,
        CheckStatus::Fail,
        CheckDetail::Absent,
    )];
    let ran = mock.run(&["doctor"]).await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.out.contains("FAIL  usbmuxd: not there"), "{ran:?}");
}

#[tokio::test]
async fn without_a_daemon_everything_says_so() {
    let mock = Mock::bus();
    for args in [
        &["status"][..],
        &["why"],
        &["backup"],
        &["cancel"],
        &["watch"],
        &["backups"],
        &["pair"],
        &["enable"],
        &["pause"],
        &["resume"],
        &["reload"],
    ] {
        let ran = mock.run(args).await;
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (Some(6), ""),
            "{args:?}: {ran:?}"
        );
        assert!(
            ran.err
                .starts_with("Error: the ibak daemon is not running\nHint: "),
            "{ran:?}"
        );
    }
    let doctor = mock.run(&["doctor"]).await;
    assert_eq!(doctor.code, Some(6));
    assert!(
        doctor
            .out
            .contains("FAIL  the daemon is not on the bus at unix:path="),
        "{doctor:?}"
    );
    let mut nowhere = mock.command(&["status"]);
    nowhere.env("IBAK_BUS", "unix:path=/nowhere/bus");
    let ran = Ran::of(&nowhere.output().unwrap());
    assert_eq!(ran.code, Some(6), "{ran:?}");
    assert!(
        ran.err
            .starts_with("Error: cannot reach the bus (unix:path=/nowhere/bus)\nCaused by:\n1: "),
        "{ran:?}"
    );
}

#[tokio::test]
async fn what_needs_no_daemon_works_without() {
    let mock = Mock::bus();
    let ran = mock.run(&["completions", "bash"]).await;
    assert_eq!(ran.code, Some(0));
    assert!(ran.out.contains("_ibakctl"));
    assert_eq!(mock.run(&["--version"]).await.code, Some(0));
    let help = mock.run(&["--help"]).await;
    assert!(help.code == Some(0) && help.err.is_empty() && help.out.contains("Exit codes"));
    for args in [
        &["frobnicate", "now"][..],
        &["--nonsense"],
        &["ada", "status"],
        &["why", "--last", "-1"],
    ] {
        let ran = mock.run(args).await;
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (Some(2), ""),
            "{args:?}: {ran:?}"
        );
    }
    let mut bad = mock.command(&["status"]);
    bad.env("IBAK_TIMESTAMP", "teatime");
    assert_eq!(Ran::of(&bad.output().unwrap()).code, Some(2));
}
