//! From the first cable to the first backup, with the real binary; and the end of a pairing.

use super::fixtures::{ada, backup, job, studio};
use super::mock::{Mock, Script, Step};
use super::tty::{Tty, without_terminal};
use ibak_dbus::Bytes;
use ibak_dbus::views::{CompletedView, JobView, PhoneView};
use ibak_dbus::words::{ConditionName, OnOff, Outcome, Phase, TransportWord, Trust};

/// A phone on a cable that does not trust us yet.
fn open() -> PhoneView {
    let mut phone = PhoneView {
        trust: Trust::Untrusted,
        transports: vec![TransportWord::Usb],
        last_backup: None,
        current_job: None,
        automatic: false,
        ..studio()
    };
    phone
        .conditions
        .get_mut(&ConditionName::Space)
        .unwrap()
        .needed = Some(Bytes::from_gib(118));
    phone
}

fn asking() -> Step {
    Step::Show(JobView {
        phase: Phase::Asking,
        progress: None,
        bytes_total: None,
        ..job()
    })
}

fn end(result: Outcome) -> Step {
    Step::End(result, CompletedView::default())
}

async fn house(phone: PhoneView) -> Mock {
    Mock::start(Script {
        phones: vec![ada(), phone],
        steps: vec![asking(), end(Outcome::Succeeded)],
        ..Script::default()
    })
    .await
}

async fn run(mut command: std::process::Command) -> super::mock::Ran {
    tokio::task::spawn_blocking(move || super::mock::Ran::of(&command.output().unwrap()))
        .await
        .unwrap()
}

const PAIR: &str = "pair abcdef0123456789abcdef0123456789abcdef01";

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_asked_nothing_and_told_how() {
    let mock = house(open()).await;
    let ran = run(without_terminal(&mock, &["pair"])).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        ran.out
            .starts_with("Studio iPad trusts this computer.\nIt is reached by cable only so far"),
        "{ran:?}"
    );
    for said in [
        "Have the phone's passcode at hand. If it is forgotten",
        "Unlock Studio iPad, choose \"Trust\" and type its passcode there.\n",
        "health and activity data of phone and Watch",
        "`ibakctl encryption on studio` sets one.",
        "Automatic backup is on: Studio iPad",
        "Hint: `ibakctl backup studio` starts the first one now. About 118 GiB: by cable about 1 h, over Wi-Fi 2 to 4 h.\n",
    ] {
        assert!(ran.err.contains(said), "{said:?}: {}", ran.err);
    }
    assert_eq!(mock.calls(), [PAIR, "set-automatic true"]);
    for (result, code, hint) in [
        (Outcome::TrustDenied, 1, "choose \"Trust\""),
        (Outcome::TrustNotAnswered, 1, "choose \"Trust\""),
        (Outcome::NeedsCable, 3, "plug the phone in and unlock it"),
        (Outcome::SystemTooOld, 1, "update the phone"),
    ] {
        mock.script().steps = vec![end(result)];
        let ran = run(without_terminal(&mock, &["pair"])).await;
        assert_eq!(ran.code, Some(code), "{ran:?}");
        assert!(ran.err.contains(hint), "{ran:?}");
    }
    let json = run(without_terminal(&mock, &["pair", "--json"])).await;
    assert_eq!(json.json()["result"], "system-too-old");
    mock.script().steps = vec![end(Outcome::Succeeded)];
    let json = run(without_terminal(&mock, &["pair", "--json"])).await;
    assert_eq!(
        (json.code, json.json()["result"].as_str()),
        (Some(0), Some("succeeded")),
        "{json:?}"
    );
    assert_eq!(mock.calls().last().unwrap(), "set-automatic true");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_led_to_an_encrypted_first_backup() {
    let mock = house(open()).await;
    let mut tty = Tty::start(&mock, &["pair", "studio"]);
    tty.until("choose \"Trust\"")
        .until("trusts this computer")
        .until("Set a password for its backups now? [Y/n] ");
    // The daemon has seen meanwhile that the phone trusts us.
    mock.script().phones[1].trust = Trust::Trusted;
    mock.set_phone(PhoneView {
        trust: Trust::Trusted,
        ..open()
    })
    .await;
    tty.types("n\n")
        .until("Automatic backup is on")
        .until("About 118 GiB: by cable about 1 h, over Wi-Fi 2 to 4 h. Start now? [Y/n] ")
        .types("\n")
        .until("Studio iPad is backed up:");
    let (code, shown) = tty.end();
    assert_eq!(code, Some(0), "{shown}");
    assert_eq!(
        mock.calls(),
        [
            PAIR,
            "set-automatic true",
            "backup when-ready=false full=false"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_yes_sets_the_password_and_a_no_starts_nothing() {
    // Its trust is not told anew here, so it must be trusted from the start to be spoken to.
    let mock = house(PhoneView {
        trust: Trust::Trusted,
        automatic: true,
        ..open()
    })
    .await;
    let mut tty = Tty::start(&mock, &["pair", "studio"]);
    tty.until("now? [Y/n] ").types("y\n");
    tty.until("Nobody, not even Apple")
        .until("New password")
        .types("secret\n");
    tty.until("again: ").types("secret\n");
    tty.until("Start now? [Y/n] ").types("n\n");
    let (code, shown) = tty.end();
    assert_eq!(code, Some(0), "{shown}");
    assert!(
        shown
            .replace('\n', " ")
            .contains("goes on the next time when the night was too")
            && !shown.contains("secret"),
        "{shown}"
    );
    assert_eq!(mock.calls(), [PAIR, "set-encryption \"\" \"secret\""]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_from_elsewhere_is_told_and_later_pairings_ask_nothing() {
    let mock = house(PhoneView {
        encryption: OnOff::On,
        ..open()
    })
    .await;
    let ran = run(without_terminal(&mock, &["pair"])).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        ran.err
            .contains("already have a password, set with another computer")
            && ran
                .err
                .contains("`ibakctl encryption check studio` shows whether"),
        "{ran:?}"
    );
    // A phone with backups was asked once; that is enough.
    mock.script().backups = vec![backup("01JD9Z3YQ9V6W2X4T5R7P8N0KM", "2026-11-21T02:14:00Z")];
    mock.script().phones[1].encryption = OnOff::Off;
    let mut tty = Tty::start(&mock, &["pair", "studio"]);
    tty.until("Automatic backup is on");
    let (code, shown) = tty.end();
    assert_eq!(code, Some(0), "{shown}");
    assert!(
        !shown.contains("password for its backups") && !shown.contains("Start now?"),
        "{shown}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_pairing_says_what_stays_and_asks() {
    let mock = Mock::ada().await;
    mock.script().backups = vec![backup("01JD9Z3YQ9V6W2X4T5R7P8N0KM", "2026-11-21T02:14:00Z")];
    let ran = run(without_terminal(&mock, &["unpair"])).await;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(
        ran.err.contains("The one backup of Ada's iPhone stays"),
        "{ran:?}"
    );
    for (answer, code) in [("\n", 1), ("n\n", 1), ("y\n", 0)] {
        let mut tty = Tty::start(&mock, &["unpair", "ada"]);
        tty.until("End the pairing with Ada's iPhone? [y/N] ")
            .types(answer);
        let (got, shown) = tty.end();
        assert_eq!(got, Some(code), "{answer:?}: {shown}");
    }
    let ran = run(without_terminal(&mock, &["unpair", "--yes", "--json"])).await;
    assert_eq!(
        (ran.code, ran.json()["what"].as_str()),
        (Some(0), Some("unpaired"))
    );
    assert_eq!(mock.calls(), ["unpair", "unpair"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn icloud_is_shown_and_switched() {
    let mock = Mock::ada().await;
    let ran = mock.run(&["icloud", "status"]).await;
    assert!(
        ran.out.starts_with("iCloud Backup is off for Ada's iPhone.\nIts last backup here is from yesterday 02:14.\n"),
        "{ran:?}"
    );
    assert_eq!(
        mock.run(&["icloud", "status", "ada", "--json"])
            .await
            .json()["icloud_backup"],
        "off"
    );
    let on = mock.run(&["icloud", "on", "ada"]).await;
    assert_eq!(
        on.out,
        "iCloud Backup is on for Ada's iPhone. Backups here go on as before.\n"
    );
    assert_eq!(mock.run(&["icloud", "off"]).await.code, Some(0));
    mock.script().refuse =
        Some(|| ibak_dbus::Error::NotConnected("the phone is not connected".into()));
    assert_eq!(mock.run(&["icloud", "on"]).await.code, Some(3));
    assert_eq!(
        mock.calls(),
        [
            "set-icloud-backup true",
            "set-icloud-backup false",
            "set-icloud-backup true"
        ]
    );
}
