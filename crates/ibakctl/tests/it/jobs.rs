//! The real binary against the mock daemon: commands that do something, and their exit codes.

use super::fixtures::{self, ada, attempt, job};
use super::mock::{Mock, Script, Step};
use ibak_dbus::views::{CompletedView, JobView, PhoneView};
use ibak_dbus::words::{Outcome, Phase, PhoneState};
use ibak_dbus::{Bytes, Error, JobId};

#[tokio::test]
async fn backup_returns_at_once_with_its_options() {
    let mock = Mock::ada().await;
    let ran = mock.run(&["backup"]).await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert_eq!(
        ran.out,
        "The backup of Ada's iPhone has started (job 101). `ibakctl watch` shows how it goes on.\n"
    );
    let ran = mock
        .run(&["backup", "--when-ready", "--full", "ada", "--json"])
        .await;
    assert_eq!((ran.code, ran.json()["job"].as_u64()), (Some(0), Some(102)));
    assert_eq!(
        mock.calls(),
        [
            "backup when-ready=false full=false",
            "backup when-ready=true full=true"
        ]
    );
}

pub(crate) fn receiving(progress: f64) -> Step {
    Step::Show(JobView {
        progress: Some(progress),
        ..job()
    })
}

#[tokio::test]
async fn waiting_talks_on_stderr_and_answers_on_stdout() {
    let done = CompletedView {
        bytes: Bytes::from_mib(40),
        files: 2000,
        ..CompletedView::default()
    };
    let asking = JobView {
        phase: Phase::Asking,
        progress: None,
        bytes_total: None,
        bytes_done: Bytes::ZERO,
        ..job()
    };
    let row = ibak_dbus::views::AttemptView {
        kind: ibak_dbus::words::JobKind::Backup,
        job: Some(JobId::new(101)),
        ..attempt(Outcome::Succeeded)
    };
    let mock = Mock::start(Script {
        steps: vec![
            Step::Show(asking),
            receiving(0.41),
            receiving(0.45),
            receiving(0.92),
            Step::End(Outcome::Succeeded, done),
        ],
        attempts: vec![row],
        phones: vec![ada()],
        ..Script::default()
    })
    .await;
    let ran = mock.run(&["backup", "--wait"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(
        ran.out,
        "Ada's iPhone is backed up: 1.2 GiB, 2,012 files received in 6 min.\n"
    );
    assert!(
        ran.err
            .contains("Enter the passcode on Ada's iPhone now.\n"),
        "{}",
        ran.err
    );
    assert!(
        ran.err
            .contains("receiving: 92 %, 3.1 of 7.6 GiB, 42 MiB/s, 12 min left\n"),
        "{}",
        ran.err
    );
    assert!(
        !ran.err.contains("45 %"),
        "ten lines are enough: {}",
        ran.err
    );
    assert!(!ran.err.contains('\r'), "no bar in a pipe");
    mock.script().attempts.clear();
    let ran = mock.run(&["backup", "--wait"]).await;
    assert_eq!(
        ran.out,
        "Ada's iPhone is backed up: 40 MiB, 2,000 files received.\n"
    );
    let ran = mock.run(&["backup", "--wait", "--json"]).await;
    assert_eq!(
        (ran.code, ran.json()["result"].as_str()),
        (Some(0), Some("succeeded"))
    );
}

#[tokio::test]
async fn results_become_exit_codes() {
    let mock = Mock::ada().await;
    for (result, code) in [
        (Outcome::NotConfirmed, 7),
        (Outcome::NotConnected, 3),
        (Outcome::NoSpace, 3),
        (Outcome::NotTrusted, 3),
        (Outcome::NotReadyInTime, 3),
        (Outcome::SyncLocked, 3),
        (Outcome::DaemonStopped, 6),
        (Outcome::Cancelled, 1),
        (Outcome::CancelledOnDevice, 1),
        (Outcome::LostPower, 1),
        (Outcome::Protocol, 1),
        (Outcome::Other("from-the-future".into()), 1),
    ] {
        let details = CompletedView {
            detail: "in its own \u{1b} words".into(),
            ..CompletedView::default()
        };
        mock.script().steps = vec![Step::End(result.clone(), details)];
        let ran = mock.run(&["backup", "--wait", "ada"]).await;
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (Some(code), ""),
            "{result}: {ran:?}"
        );
        assert!(
            ran.err.contains("Error: the backup ")
                && ran
                    .err
                    .contains("Caused by:\n1: in its own \\u{1b} words\n"),
            "{ran:?}"
        );
        let ran = mock.run(&["backup", "--wait", "--json"]).await;
        assert_eq!(
            (ran.code, ran.json()["result"].as_str()),
            (Some(code), Some(result.as_str())),
            "{ran:?}"
        );
    }
}

#[tokio::test]
async fn a_late_client_learns_the_result_from_the_phone() {
    let mock = Mock::start(Script {
        steps: vec![receiving(0.5), Step::Vanish(Outcome::NotConfirmed)],
        phones: vec![ada()],
        ..Script::default()
    })
    .await;
    let ran = mock.run(&["backup", "--wait"]).await;
    assert_eq!(ran.code, Some(7), "{ran:?}");
}

#[tokio::test]
async fn refusals_become_exit_codes() {
    let cases: [(fn() -> Error, i32); 7] = [
        (|| Error::NotAuthorized("polkit says no".into()), 5),
        (|| Error::Busy("the phone is busy with job 7".into()), 3),
        (
            || Error::NotConnected("the phone is not connected".into()),
            3,
        ),
        (
            || Error::NotTrusted("the phone does not trust this computer".into()),
            3,
        ),
        (|| Error::NoSpace("there is no room".into()), 3),
        (
            || Error::ConditionsNotMet("the store cannot take backups".into()),
            3,
        ),
        (|| Error::Failed("it broke".into()), 1),
    ];
    let mock = Mock::ada().await;
    for (refuse, code) in cases {
        mock.script().refuse = Some(refuse);
        for args in [
            &["backup"][..],
            &["pair"],
            &["enable"],
            &["disable"],
            &["pause"],
            &["resume"],
            &["reload"],
            &["doctor"],
        ] {
            let ran = mock.run(args).await;
            assert_eq!(
                (ran.code, ran.out.as_str()),
                (Some(code), ""),
                "{args:?}: {ran:?}"
            );
            assert!(
                ran.err.starts_with("Error: cannot ") && ran.err.contains("Caused by:\n1: "),
                "{ran:?}"
            );
        }
    }
}

#[tokio::test]
async fn reload_names_the_line() {
    let mock = Mock::ada().await;
    assert_eq!(
        mock.run(&["reload"]).await.out,
        "The daemon uses the new configuration.\n"
    );
    mock.script().refuse =
        Some(|| Error::Failed("/etc/ibak/ibakd.toml:3: unknown key `stor`".into()));
    let ran = mock.run(&["reload"]).await;
    assert_eq!(ran.code, Some(1));
    assert_eq!(
        ran.err,
        "Error: cannot load the configuration; the daemon keeps the one it has\nCaused by:\n1: /etc/ibak/ibakd.toml:3: unknown key `stor`\nHint: correct the line; `ibakd --check` tells without the daemon\n"
    );
}

#[tokio::test]
async fn settings_reach_the_daemon() {
    let mock = Mock::ada().await;
    assert_eq!(
        mock.run(&["enable"]).await.out,
        "Automatic backup is on for Ada's iPhone, as it was.\n"
    );
    assert_eq!(
        mock.run(&["disable", "ada"]).await.out,
        "Automatic backup is off for Ada's iPhone. Its backups stay.\n"
    );
    assert_eq!(
        mock.run(&["pause", "--until", "08:00"]).await.out,
        "Automatic backups are paused until tomorrow 08:00. What runs goes on.\n"
    );
    assert_eq!(mock.run(&["pause"]).await.code, Some(0));
    assert_eq!(
        mock.run(&["resume"]).await.out,
        "Automatic backups are on, as they were.\n"
    );
    let bad = mock.run(&["pause", "--until", "yesterday"]).await;
    assert_eq!(bad.code, Some(2), "{bad:?}");
    let eight = fixtures::wall("2026-11-23T08:00:00Z").as_micros();
    assert_eq!(
        mock.calls(),
        [
            "set-automatic true",
            "set-automatic false",
            &format!("pause {eight}"),
            "pause 0",
            "resume"
        ]
    );
}

#[tokio::test]
async fn cancel_ends_what_runs() {
    let mock = Mock::start(Script {
        steps: vec![Step::Gate],
        phones: vec![ada()],
        ..Script::default()
    })
    .await;
    let nothing = mock.run(&["cancel"]).await;
    assert_eq!(
        (nothing.code, nothing.out.as_str()),
        (Some(0), "Nothing is running for Ada's iPhone.\n")
    );
    mock.run(&["backup"]).await;
    mock.set_phone(PhoneView {
        current_job: Some(JobId::new(101)),
        state: PhoneState::BackingUp,
        ..ada()
    })
    .await;
    let ran = mock.run(&["cancel"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(mock.calls().last().unwrap(), "cancel 101");
}
