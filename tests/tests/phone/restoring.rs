//! A backup goes back to a phone: checked here first, served read-only, equal by hash.

use super::{house, ready};
use ibak_dbus::words::{JobKind, JobState, Outcome, Phase};
use ibak_dbus::{BackupId, Error};
use ibak_sim::PhoneSpec;
use ibak_sim::content::{Content, FileKind};
use ibak_sim::state::Switch;
use ibak_tests::night::errands::Wish;
use ibak_tests::night::{Night, Print, SLOW, fingerprint, phone};
use std::collections::{BTreeMap, BTreeSet};

/// Ada's iPhone, and one that is new and empty and has a UDID of its own.
async fn two() -> Night {
    let (ada, mut new) = (phone("Ada's iPhone"), phone("New iPhone"));
    (new.files, new.bytes, new.apps) = (5, 4096, 0);
    house(vec![ada, new]).await
}

/// Has the first phone backed up and returns the backup with what the phone held.
async fn backed_up(night: &mut Night) -> (BackupId, Content) {
    assert_eq!(night.back_up_now(0, &[]).await, Outcome::Succeeded);
    let backup = night.backups(0).await.pop().unwrap().id;
    let content = night.simulated(0).content();
    let content = content.lock().unwrap().clone();
    (backup, content)
}

fn assert_restored(night: &Night, phone: usize, content: &Content) {
    let restored = night
        .simulated(phone)
        .restored()
        .expect("a restored backup");
    assert_eq!(restored.differences(content), Vec::<String>::new());
    let apps: BTreeSet<String> = content
        .apps()
        .iter()
        .map(|it| it.bundle_id.clone())
        .collect();
    assert!(!apps.is_empty());
    assert_eq!(restored.apps, apps);
    assert_eq!(restored.restore_applications, Some(apps));
}

/// Describes all that the store keeps: every backup with its content, modes and times. Where work
/// is done comes and goes, and only what stays there counts.
fn kept(night: &Night) -> BTreeMap<String, Print> {
    let mut kept = fingerprint(&night.store());
    kept.retain(|path, _| !path.ends_with("/scratch"));
    for (path, print) in &mut kept {
        if !path.contains("/gens/") {
            print.modified = 0;
        }
    }
    assert!(kept.keys().any(|path| path.contains("/gens/")));
    kept
}

/// Fails unless the store keeps what it kept, and nothing else.
#[track_caller]
fn assert_kept(night: &Night, before: &BTreeMap<String, Print>) {
    let after = kept(night);
    let differ = |path: &&String| before.get(*path) != after.get(*path);
    let different: Vec<&String> = before.keys().chain(after.keys()).filter(differ).collect();
    assert_eq!(different, Vec::<&String>::new());
}

async fn until_back(night: &mut Night, phone: usize) {
    let simulated = std::sync::Arc::clone(night.simulated(phone));
    night
        .until_phone(phone, "it restarts and comes back", |view| {
            simulated.activity().reboots == 1 && !view.transports.is_empty()
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn onto_the_same_phone_after_it_changed() {
    let mut night = two().await;
    let (backup, content) = backed_up(&mut night).await;
    let udid = night.simulated(0).identity().udid.clone();
    night.sim.change(&udid, 20, 10, 10).unwrap();
    let before = kept(&night);
    let job = night.restore(0, &backup, &Wish::default()).await.unwrap();
    assert_eq!(night.job(job).kind, JobKind::Restore);
    assert_eq!(night.ended(job).await, Outcome::Succeeded);
    assert_restored(&night, 0, &content);
    assert_kept(&night, &before);
    until_back(&mut night, 0).await;
    let restored = night.simulated(0).restored().unwrap();
    let options = restored.options;
    assert!(
        options.system_files && options.reboot && !options.copy,
        "{options:?}"
    );
    assert_eq!(
        (options.preserve_settings, options.remove_others),
        (false, false)
    );
    let attempt = night.attempts(0).await;
    assert_eq!(
        attempt.len(),
        1,
        "a restore is no attempt to back up: {attempt:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn onto_a_new_phone_with_a_udid_of_its_own() {
    let mut night = two().await;
    let (backup, content) = backed_up(&mut night).await;
    let before = kept(&night);
    let wish = Wish {
        source: Some(0),
        flags: &["keep-settings", "remove-others", "no-reboot"],
        ..Wish::default()
    };
    let job = night.restore(1, &backup, &wish).await.unwrap();
    night
        .until("files go out", |state| {
            state
                .job(job)
                .is_some_and(|view| view.ended() || view.bytes_done.get() > 0)
        })
        .await;
    assert_eq!(night.ended(job).await, Outcome::Succeeded);
    assert_restored(&night, 1, &content);
    let restored = night.simulated(1).restored().unwrap();
    assert_eq!(restored.source, night.simulated(0).identity().udid);
    let options = restored.options;
    assert!(options.preserve_settings && options.remove_others && !options.reboot);
    assert_eq!(night.simulated(1).activity().reboots, 0);
    assert_kept(&night, &before);
    assert_eq!(night.simulated(0).restored(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_checked_first_leaves_the_phone_alone() {
    let mut night = two().await;
    let (backup, _) = backed_up(&mut night).await;
    let dry = Wish {
        flags: &["dry-run"],
        ..Wish::default()
    };
    assert_eq!(
        night.restore_now(0, &backup, &dry).await,
        Outcome::Succeeded
    );
    let table = [
        ("find-my=on", "find-my=off", Outcome::FindMy),
        ("setup=unfinished", "setup=done", Outcome::SetupUnfinished),
        ("free-space=1000", "free-space=none", Outcome::NoRoomOnPhone),
    ];
    for (set, unset, word) in table {
        for wish in [&dry, &Wish::default()] {
            night.set(0, &[set]).await;
            assert_eq!(night.restore_now(0, &backup, wish).await, word, "{set}");
            night.set(0, &[unset]).await;
        }
    }
    let other = BackupId::parse("01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap();
    let none = night.restore_now(0, &other, &dry).await;
    assert_eq!(none, Outcome::NoSuchBackup);
    // A phone without backups, whose own is meant by default.
    let none = night.restore_now(1, &backup, &dry).await;
    assert_eq!(none, Outcome::NoSuchBackup);
    for phone in 0..2 {
        let activity = night.simulated(phone).activity();
        assert_eq!((activity.restores_finished, activity.reboots), (0, 0));
        assert_eq!(night.simulated(phone).restored(), None);
    }
    let begun = night.simulated(0).activity().backups_begun;
    assert_eq!(
        begun, 1,
        "the backup service was asked for the backup alone"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_system_does_not_take_it() {
    let older = PhoneSpec {
        ios: "15.5".parse().unwrap(),
        ..phone("Old iPhone")
    };
    let mut night = house(vec![phone("Ada's iPhone"), older]).await;
    let (backup, _) = backed_up(&mut night).await;
    let wish = Wish {
        source: Some(0),
        flags: &["dry-run"],
        ..Wish::default()
    };
    assert_eq!(
        night.restore_now(1, &backup, &wish).await,
        Outcome::OlderSystem
    );
    let words = ["restore", "Old iPhone", "--from", backup.as_str(), "--yes"];
    let said = night.ctl(&words, "").await;
    assert_ne!(said.code, Some(0), "{said:?}");
    said.says(&["15.6", "15.5"]);
    assert_eq!(night.simulated(1).restored(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_phones_own_refusals_have_their_words() {
    let mut night = two().await;
    let (backup, content) = backed_up(&mut night).await;
    let before = kept(&night);
    let table = [
        (1, Outcome::PhoneInternal),
        (104, Outcome::PhoneReadWrite),
        (105, Outcome::NoRoomOnPhone),
        (205, Outcome::BackupUnreadable),
        (207, Outcome::WrongPassword),
        (208, Outcome::NotConfirmed),
        (211, Outcome::FindMy),
        (212, Outcome::SetupUnfinished),
    ];
    for (code, word) in table {
        night.set(0, &[&format!("refuse-with={code}")]).await;
        let end = night.restore_now(0, &backup, &Wish::default()).await;
        assert_eq!(end, word, "{code}");
    }
    assert_eq!(night.simulated(0).restored(), None);
    assert_kept(&night, &before);
    let end = night.restore_now(0, &backup, &Wish::default()).await;
    assert_eq!(end, Outcome::Succeeded);
    assert_restored(&night, 0, &content);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn called_off_or_cut_in_the_middle_the_store_is_as_it_was() {
    let mut night = two().await;
    let (backup, content) = backed_up(&mut night).await;
    let before = kept(&night);
    night.set(0, &[SLOW]).await;
    let job = night.restore(0, &backup, &Wish::default()).await.unwrap();
    night
        .until("files go out", |state| {
            state
                .job(job)
                .is_some_and(|view| view.phase == Phase::Sending && view.bytes_done.get() > 0)
        })
        .await;
    let busy = night.back_up(0, &[]).await;
    assert!(matches!(busy, Err(Error::Busy(_))), "{busy:?}");
    night.cancel(job).await.unwrap();
    assert_eq!(night.ended(job).await, Outcome::Cancelled);
    assert_eq!(night.job(job).state, JobState::Cancelled);
    assert_kept(&night, &before);

    night
        .set(
            0,
            &["upload-rate=none", "drop-in=sending", "drop-after=100000"],
        )
        .await;
    let end = night.restore_now(0, &backup, &Wish::default()).await;
    assert_eq!(end, Outcome::LostConnection);
    assert_kept(&night, &before);
    assert_eq!(night.simulated(0).restored(), None);
    ready(&mut night, 0).await;

    night.set(0, &[SLOW]).await;
    let job = night.restore(0, &backup, &Wish::default()).await.unwrap();
    night
        .until("files go out", |state| {
            state
                .job(job)
                .is_some_and(|view| view.phase == Phase::Sending && view.bytes_done.get() > 0)
        })
        .await;
    night.simulated(0).person_cancels();
    assert_eq!(night.ended(job).await, Outcome::CancelledOnDevice);
    night.set(0, &["upload-rate=none"]).await;

    let end = night.restore_now(0, &backup, &Wish::default()).await;
    assert_eq!(end, Outcome::Succeeded);
    assert_restored(&night, 0, &content);
    assert_kept(&night, &before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_that_asks_for_its_passcode_is_waited_for() {
    let mut spec = phone("New iPhone");
    (spec.ios, spec.product) = ("26.3".parse().unwrap(), "iPhone17,4".to_owned());
    let mut night = house(vec![spec]).await;
    let (backup, content) = backed_up(&mut night).await;
    night.set(0, &["passcode-answer=ignore"]).await;
    let job = night.restore(0, &backup, &Wish::default()).await.unwrap();
    night
        .until("it asks", |state| {
            state
                .job(job)
                .is_some_and(|view| view.phase == Phase::Asking)
        })
        .await;
    night.set(0, &["passcode-answer=dismiss"]).await;
    assert_eq!(night.ended(job).await, Outcome::NotConfirmed);
    night.set(0, &["passcode-answer=give"]).await;
    let end = night.restore_now(0, &backup, &Wish::default()).await;
    assert_eq!(end, Outcome::Succeeded);
    assert_restored(&night, 0, &content);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_restores_after_a_word_about_what_comes_back() {
    let mut night = two().await;
    let (backup, content) = backed_up(&mut night).await;
    // Nothing happens without a yes.
    let words = ["restore", "New iPhone", "--from", "Ada's iPhone@latest"];
    let said = night.ctl(&words, "no\n").await;
    assert_ne!(said.code, Some(0), "{said:?}");
    assert_eq!(night.simulated(1).restored(), None);
    let words = ["restore", "New iPhone", "--from", backup.as_str(), "--yes"];
    let said = night.ctl(&words, "").await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_restored(&night, 1, &content);
    until_back(&mut night, 1).await;
    night.set(1, &["find-my=on"]).await;
    ready(&mut night, 1).await;
    let said = night.ctl(&words, "").await;
    assert_eq!(said.code, Some(1), "{said:?}");
    said.says(&["Find My"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_with_files_that_never_came_still_goes_back() {
    let mut night = two().await;
    night.set(0, &["remote-errors=2"]).await;
    let (backup, content) = backed_up(&mut night).await;
    let end = night.restore_now(0, &backup, &Wish::default()).await;
    assert_eq!(end, Outcome::Succeeded);
    let restored = night.simulated(0).restored().unwrap();
    let missing = content
        .files()
        .filter(|view| view.kind == FileKind::Regular)
        .count()
        - restored
            .files()
            .filter(|it| it.kind == FileKind::Regular)
            .count();
    assert_eq!(missing, 2);
    assert_eq!(night.simulated(0).state().setup, Switch::On);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_encrypted_backup_needs_its_password_and_goes_onto_either_phone() {
    const PASSWORD: &str = "correct horse battery staple";
    let ada = PhoneSpec {
        password_costs: ibak_sim::backup::crypto::Costs { dpic: 20, iter: 10 },
        ..phone("Ada's iPhone")
    };
    let mut new = phone("New iPhone");
    (new.files, new.bytes, new.apps) = (5, 4096, 0);
    let mut night = house(vec![ada, new]).await;
    let end = night.change_password(0, None, Some(PASSWORD)).await;
    assert_eq!(end, Outcome::Succeeded);
    ready(&mut night, 0).await;
    let (backup, content) = backed_up(&mut night).await;
    let before = kept(&night);
    let udid = night.simulated(0).identity().udid.clone();
    night.sim.change(&udid, 10, 5, 5).unwrap();
    let begun = night.simulated(1).activity().backups_begun;
    for password in [None, Some("wrong")] {
        let wish = Wish {
            source: Some(0),
            password,
            ..Wish::default()
        };
        let end = night.restore_now(1, &backup, &wish).await;
        assert_eq!(end, Outcome::WrongPassword);
    }
    assert_eq!(
        night.simulated(1).activity().backups_begun,
        begun,
        "it was not asked"
    );
    for target in 0..2 {
        let wish = Wish {
            source: Some(0),
            password: Some(PASSWORD),
            ..Wish::default()
        };
        ready(&mut night, target).await;
        assert_eq!(
            night.restore_now(target, &backup, &wish).await,
            Outcome::Succeeded
        );
        assert!(night.simulated(target).restored().unwrap().encrypted);
        assert_restored(&night, target, &content);
        until_back(&mut night, target).await;
    }
    assert_kept(&night, &before);
}
