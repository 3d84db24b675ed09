//! The password of a phone's backups: set, changed, taken away, proved, asked for again; what it
//! costs, and what stays under which.

use super::{house, ready};
use ibak_dbus::Error;
use ibak_dbus::views::BackupView;
use ibak_dbus::words::{JobKind, OnOff, Outcome, Phase, PhoneState};
use ibak_sim::PhoneSpec;
use ibak_sim::backup::crypto::Costs;
use ibak_tests::night::errands::members_of;
use ibak_tests::night::{DAY, EVENING, Night, Setup, fingerprint, phone};

/// The passwords of these tests.
pub(super) const FIRST: &str = "correct horse battery staple";
pub(super) const SECOND: &str = "z\u{e4}h wie Leder";

/// A phone whose passwords are quick to try.
pub(super) fn quick(name: &str) -> PhoneSpec {
    PhoneSpec {
        password_costs: Costs { dpic: 20, iter: 10 },
        ..phone(name)
    }
}

pub(super) async fn ada() -> Night {
    house(vec![quick("Ada's iPhone")]).await
}

async fn newest(night: &mut Night) -> BackupView {
    night.backups(0).await.pop().expect("a backup")
}

pub(super) async fn backed_up(night: &mut Night) -> BackupView {
    ready(night, 0).await;
    assert_eq!(night.back_up_now(0, &[]).await, Outcome::Succeeded);
    newest(night).await
}

/// Fails unless the password gives every file of a backup as the phone has it, names and times too.
async fn assert_opens(night: &mut Night, backup: &BackupView, password: &str) {
    let content = night.simulated(0).content();
    let wanted = members_of(&content.lock().unwrap().snapshot_with_secrets());
    let unpacked = night.unpack(0, &backup.id, Some(password), &[]).await;
    let unpacked = unpacked.unwrap();
    assert!(unpacked.whole);
    assert_eq!(unpacked.members, wanted);
}

async fn assert_refused(night: &mut Night, backup: &BackupView, password: Option<&str>) {
    let read = night.unpack(0, &backup.id, password, &[]).await;
    assert_eq!(read.err(), Some(Outcome::WrongPassword));
    let listed = night.list_files(0, &backup.id, password, &[]).await;
    assert!(matches!(listed, Err(Error::WrongPassword(_))), "{listed:?}");
}

pub(super) async fn until_encryption(night: &mut Night, wanted: OnOff) {
    let what = format!("encryption is {wanted}");
    night
        .until_phone(0, &what, |view| view.encryption == wanted)
        .await;
}

/// Brings what a phone sent in its last attempt, in bytes.
async fn sent(night: &mut Night) -> u64 {
    night.attempts(0).await.pop().unwrap().bytes.get()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn switched_on_the_next_backup_is_full_and_opens_with_the_password_alone() {
    let mut night = ada().await;
    let plain = backed_up(&mut night).await;
    assert_eq!((plain.encrypted, plain.keybag.clone()), (false, None));
    assert_eq!(
        night.change_password(0, None, Some(FIRST)).await,
        Outcome::Succeeded
    );
    until_encryption(&mut night, OnOff::On).await;
    assert_eq!(night.phone(0).password_checked, Some(EVENING));
    let sealed = backed_up(&mut night).await;
    assert!(sealed.encrypted && night.simulated(0).activity().last_was_full);
    assert_eq!(sealed.keybag, night.simulated(0).keybag_uuid());
    assert!(sealed.keybag.is_some());
    assert_opens(&mut night, &sealed, FIRST).await;
    for wrong in [None, Some("wrong"), Some("correct horse battery staple ")] {
        assert_refused(&mut night, &sealed, wrong).await;
    }
    let list = night
        .list_files(0, &sealed.id, Some(FIRST), &[])
        .await
        .unwrap();
    let content = night.simulated(0).content();
    let rows = content.lock().unwrap().snapshot_with_secrets().len();
    assert_eq!(list.len(), rows);
    assert!(list.iter().any(|line| line["domain"] == "KeychainDomain"));
    assert!(night.unpack(0, &plain.id, None, &[]).await.unwrap().whole);

    // And it goes on from there.
    let udid = night.simulated(0).identity().udid.clone();
    night.sim.change(&udid, 3, 2, 2).unwrap();
    let next = backed_up(&mut night).await;
    assert!(!night.simulated(0).activity().last_was_full);
    assert_eq!((next.encrypted, &next.keybag), (true, &sealed.keybag));
    assert_opens(&mut night, &next, FIRST).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_the_chain_stays_incremental_and_old_backups_keep_their_password() {
    let mut night = ada().await;
    assert_eq!(
        night.change_password(0, None, Some(FIRST)).await,
        Outcome::Succeeded
    );
    let old = backed_up(&mut night).await;
    let before = fingerprint(&night.backup_dir(0, &old.id));
    let all = sent(&mut night).await;
    ready(&mut night, 0).await;
    let end = night.change_password(0, Some(FIRST), Some(SECOND)).await;
    assert_eq!(end, Outcome::Succeeded);
    assert_eq!(fingerprint(&night.backup_dir(0, &old.id)), before);
    assert_opens(&mut night, &old, FIRST).await;
    assert_eq!(night.phone(0).staged.get(), 0, "no backup is unfinished");
    let new = backed_up(&mut night).await;
    assert!(!night.simulated(0).activity().last_was_full);
    let again = sent(&mut night).await;
    assert!(again * 4 < all, "{again} of {all}");
    assert_eq!(new.keybag, night.simulated(0).keybag_uuid());
    assert_opens(&mut night, &new, SECOND).await;
    assert_refused(&mut night, &new, Some(FIRST)).await;
    assert_opens(&mut night, &old, FIRST).await;
    assert_refused(&mut night, &old, Some(SECOND)).await;
    assert_ne!(new.keybag, old.keybag, "which password it is can be told");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_twice_and_restarted_between_it_still_goes_on() {
    let mut night = ada().await;
    assert_eq!(
        night.change_password(0, None, Some(FIRST)).await,
        Outcome::Succeeded
    );
    backed_up(&mut night).await;
    ready(&mut night, 0).await;
    let end = night.change_password(0, Some(FIRST), Some(SECOND)).await;
    assert_eq!(end, Outcome::Succeeded);
    night.restart_daemon().await;
    ready(&mut night, 0).await;
    let end = night.change_password(0, Some(SECOND), Some("third")).await;
    assert_eq!(end, Outcome::Succeeded);
    // Longer than what an interrupted backup is kept.
    night.advance(DAY * 8).await;
    let udid = night.simulated(0).identity().udid.clone();
    night.sim.change(&udid, 3, 2, 2).unwrap();
    let new = backed_up(&mut night).await;
    assert!(!night.simulated(0).activity().last_was_full);
    assert_opens(&mut night, &new, "third").await;
    assert_refused(&mut night, &new, Some(SECOND)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn switched_off_the_next_backup_is_plain_and_full() {
    let mut night = ada().await;
    assert_eq!(
        night.change_password(0, None, Some(FIRST)).await,
        Outcome::Succeeded
    );
    let sealed = backed_up(&mut night).await;
    ready(&mut night, 0).await;
    assert_eq!(
        night.change_password(0, Some(FIRST), None).await,
        Outcome::Succeeded
    );
    until_encryption(&mut night, OnOff::Off).await;
    assert_eq!(night.phone(0).password_checked, None);
    let plain = backed_up(&mut night).await;
    assert!(night.simulated(0).activity().last_was_full);
    assert_eq!((plain.encrypted, plain.keybag.clone()), (false, None));
    night.assert_equals_phone(0, &plain.id);
    assert_opens(&mut night, &sealed, FIRST).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_old_password_changes_nothing() {
    let mut night = ada().await;
    assert_eq!(
        night.change_password(0, None, Some(FIRST)).await,
        Outcome::Succeeded
    );
    backed_up(&mut night).await;
    for (old, new) in [
        (Some("wrong"), Some(SECOND)),
        (Some("wrong"), None),
        (None, Some(SECOND)),
    ] {
        ready(&mut night, 0).await;
        let end = night.change_password(0, old, new).await;
        assert_eq!(end, Outcome::WrongPassword, "{old:?}");
    }
    assert_eq!(night.simulated(0).will_encrypt(), Some(true));
    let next = backed_up(&mut night).await;
    assert!(!night.simulated(0).activity().last_was_full);
    assert_opens(&mut night, &next, FIRST).await;
    assert_eq!(
        night.attempts(0).await.len(),
        2,
        "a password is no attempt to back up"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_manages_the_phone_may_demand_it() {
    let mut spec = quick("Managed iPhone");
    spec.state.requires_encryption = ibak_sim::state::Switch::On;
    let mut night = house(vec![spec]).await;
    night
        .until_phone(0, "it is said", |view| view.encryption_required)
        .await;
    assert_eq!(
        night.change_password(0, None, Some(FIRST)).await,
        Outcome::Succeeded
    );
    ready(&mut night, 0).await;
    let prompts = night.simulated(0).activity().passcode_prompts;
    assert_eq!(
        night.change_password(0, Some(FIRST), None).await,
        Outcome::EncryptionRequired
    );
    assert_eq!(
        night.simulated(0).activity().passcode_prompts,
        prompts,
        "it was not asked"
    );
    let said = night
        .ctl(&["encryption", "off", "--password-fd", "0"], FIRST)
        .await;
    assert_eq!(said.code, Some(1), "{said:?}");
    let end = night.change_password(0, Some(FIRST), Some(SECOND)).await;
    assert_eq!(end, Outcome::Succeeded);
    let sealed = backed_up(&mut night).await;
    assert_opens(&mut night, &sealed, SECOND).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_passcode_is_waited_for_and_may_be_refused() {
    let mut night = ada().await;
    for answer in [
        &["passcode-answer=ignore", "passcode-patience=1"][..],
        &["passcode-answer=dismiss", "passcode-patience=180"],
    ] {
        night.set(0, answer).await;
        assert_eq!(
            night.change_password(0, None, Some(FIRST)).await,
            Outcome::NotConfirmed
        );
        ready(&mut night, 0).await;
    }
    assert_eq!(night.simulated(0).will_encrypt(), None);
    night.set(0, &["passcode-answer=ignore"]).await;
    let job = night.set_encryption(0, None, Some(FIRST)).await.unwrap();
    assert_eq!(night.job(job).kind, JobKind::Encryption);
    night
        .until("the phone asks", |state| {
            state
                .job(job)
                .is_some_and(|view| view.phase == Phase::Asking)
        })
        .await;
    let busy = night.back_up(0, &[]).await;
    assert!(matches!(busy, Err(Error::Busy(_))), "{busy:?}");
    night.simulated(0).person_cancels();
    assert_eq!(night.ended(job).await, Outcome::CancelledOnDevice);
    ready(&mut night, 0).await;
    let job = night.set_encryption(0, None, Some(FIRST)).await.unwrap();
    night
        .until("the phone asks", |state| {
            state
                .job(job)
                .is_some_and(|view| view.phase == Phase::Asking)
        })
        .await;
    night.set(0, &["passcode-answer=give"]).await;
    assert_eq!(night.ended(job).await, Outcome::Succeeded);
    until_encryption(&mut night, OnOff::On).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_room_for_a_full_backup_it_is_not_switched_on() {
    let setup = Setup::of(vec![quick("Ada's iPhone")]).by_cable();
    // Room for what a backup needs beside itself, and not for two.
    let mut night = setup.keys("quota = \"131MiB\"").begin().await;
    ready(&mut night, 0).await;
    backed_up(&mut night).await;
    let said = night
        .ctl(&["encryption", "on", "--password-fd", "0"], FIRST)
        .await;
    assert_eq!(said.code, Some(3), "{said:?}");
    let refused = night.set_encryption(0, None, Some(FIRST)).await;
    assert!(matches!(refused, Err(Error::NoSpace(_))), "{refused:?}");
    assert_eq!(night.simulated(0).will_encrypt(), None);
    assert_eq!(night.simulated(0).activity().passcode_prompts, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forgotten_and_reset_on_the_phone_the_chain_begins_anew() {
    let mut night = ada().await;
    assert_eq!(
        night.change_password(0, None, Some(FIRST)).await,
        Outcome::Succeeded
    );
    let sealed = backed_up(&mut night).await;
    // Reset All Settings.
    night.set(0, &["password=", "attached=none"]).await;
    night.until_state(0, PhoneState::Absent).await;
    night.set(0, &["attached=usb"]).await;
    until_encryption(&mut night, OnOff::Off).await;
    let plain = backed_up(&mut night).await;
    assert!(!plain.encrypted && night.simulated(0).activity().last_was_full);
    night.assert_equals_phone(0, &plain.id);
    assert_opens(&mut night, &sealed, FIRST).await;
    ready(&mut night, 0).await;
    assert_eq!(
        night.change_password(0, None, Some(SECOND)).await,
        Outcome::Succeeded
    );
    let sealed = backed_up(&mut night).await;
    assert_opens(&mut night, &sealed, SECOND).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_breaks_in_a_change_leaves_a_phone_that_can_be_backed_up() {
    let mut night = ada().await;
    assert_eq!(
        night.change_password(0, None, Some(FIRST)).await,
        Outcome::Succeeded
    );
    backed_up(&mut night).await;
    for phase in ["asked", "scanning", "uploading"] {
        ready(&mut night, 0).await;
        night
            .set(0, &[&format!("drop-in={phase}"), "drop-after=10"])
            .await;
        let end = night.change_password(0, Some(FIRST), Some(SECOND)).await;
        assert_eq!(end, Outcome::LostConnection, "{phase}");
        night.set(0, &["drop-in=none", "drop-after=none"]).await;
        let next = backed_up(&mut night).await;
        let keybag = night.simulated(0).keybag_uuid();
        assert_eq!(next.keybag, keybag, "{phase}");
        assert_opens(&mut night, &next, FIRST).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_interrupted_backup_left_is_not_gone_on_with_under_another_password() {
    let mut night = ada().await;
    // The very first one, plain.
    night.set(0, &["drop-after=600000"]).await;
    assert_eq!(night.back_up_now(0, &[]).await, Outcome::LostConnection);
    ready(&mut night, 0).await;
    assert_eq!(
        night.change_password(0, None, Some(FIRST)).await,
        Outcome::Succeeded
    );
    let sealed = backed_up(&mut night).await;
    assert_opens(&mut night, &sealed, FIRST).await;
    // And one that goes on from another.
    let udid = night.simulated(0).identity().udid.clone();
    night.sim.change(&udid, 20, 20, 5).unwrap();
    night.set(0, &["drop-after=100000"]).await;
    ready(&mut night, 0).await;
    assert_eq!(night.back_up_now(0, &[]).await, Outcome::LostConnection);
    ready(&mut night, 0).await;
    let end = night.change_password(0, Some(FIRST), Some(SECOND)).await;
    assert_eq!(end, Outcome::Succeeded);
    night.settle().await;
    let next = backed_up(&mut night).await;
    assert!(!night.simulated(0).activity().last_was_full);
    assert_opens(&mut night, &next, SECOND).await;
    assert_refused(&mut night, &next, Some(FIRST)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_switches_it_on_reads_with_it_and_switches_it_off() {
    let mut night = ada().await;
    let fd = ["--password-fd", "0"];
    let said = night
        .ctl(
            &["encryption", "on", "Ada's iPhone", "--password-fd", "0"],
            FIRST,
        )
        .await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(!format!("{said:?}").contains(FIRST), "it is not said aloud");
    let sealed = backed_up(&mut night).await;
    assert_opens(&mut night, &sealed, FIRST).await;
    let said = night.ctl(&["backups"], "").await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let listed = night
        .ctl(&[&["ls", "Ada's iPhone@latest"], &fd[..]].concat(), FIRST)
        .await;
    assert_eq!(listed.code, Some(0), "{listed:?}");
    listed.says(&["KeychainDomain"]);
    let out = night.dir().join("out").display().to_string();
    let words = ["extract", "Ada's iPhone@latest", "HealthDomain", "-o", &out];
    let extracted = night.ctl(&[&words, &fd[..]].concat(), FIRST).await;
    assert_eq!(extracted.code, Some(0), "{extracted:?}");
    let files = fingerprint(&night.dir().join("out"));
    assert!(
        files.keys().any(|path| path.ends_with("healthdb.sqlite")),
        "{files:?}"
    );
    let wrong = night
        .ctl(&[&["ls", "Ada's iPhone@latest"], &fd[..]].concat(), "wrong")
        .await;
    assert_eq!(wrong.code, Some(1), "{wrong:?}");
    ready(&mut night, 0).await;
    let said = night
        .ctl(&[&["encryption", "off"], &fd[..]].concat(), FIRST)
        .await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(night.simulated(0).will_encrypt(), Some(false));
}
