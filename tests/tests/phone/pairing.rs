//! Pairing and its end; a phone that is too old.

use super::{ada, house, ready};
use ibak_dbus::Error;
use ibak_dbus::words::{Outcome, Phase, PhoneState, Trust};
use ibak_sim::PhoneSpec;
use ibak_tests::night::{Night, phone};

async fn strange(spec: PhoneSpec) -> Night {
    let spec = PhoneSpec {
        paired: false,
        ..spec
    };
    let setup = ibak_tests::night::Setup::of(vec![spec]).by_cable();
    let mut night = setup.begin().await;
    night.until_state(0, PhoneState::Untrusted).await;
    night
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_with_a_passcode_pairs_once_trust_is_tapped() {
    let mut night = strange(phone("New iPhone")).await;
    assert!(!night.simulated(0).wifi_connections());
    let said = night.ctl(&["pair"], "").await;
    assert_eq!(said.code, Some(0), "{said:?}");
    ready(&mut night, 0).await;
    assert!(
        night.simulated(0).wifi_connections(),
        "Wi-Fi is switched on"
    );
    assert_eq!(night.simulated(0).hosts().len(), 1);
    assert!(night.phone(0).automatic);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_on_the_cable_is_called_by_its_name_before_it_is_paired() {
    let mut night = strange(phone("New iPhone")).await;
    let udid = night.udid(0);
    night
        .until("its name", |state| {
            state
                .phone(&udid)
                .is_some_and(|view| view.name == "New iPhone")
        })
        .await;
    assert_eq!(night.phone(0).trust, Trust::Untrusted);
    assert_eq!(night.simulated(0).hosts(), Vec::<String>::new());
}

/// Begins to pair and waits until the phone, or the job for it, asks for something.
async fn asking(night: &mut Night) -> ibak_dbus::JobId {
    let (manager, udid) = (night.manager().await, night.udid(0));
    let path = night
        .drive(async move { manager.pair(udid.as_str(), ibak_dbus::Dict::new()).await })
        .await
        .unwrap();
    let job = ibak_dbus::names::job_of(path.as_str()).unwrap();
    night
        .until("a person is asked", |state| {
            state
                .job(job)
                .is_some_and(|view| view.phase == Phase::Asking)
        })
        .await;
    job
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_phone_is_waited_for_until_it_is_unlocked() {
    let mut night = strange(phone("New iPhone")).await;
    night.set(0, &["locked=yes"]).await;
    let job = asking(&mut night).await;
    assert_eq!(night.simulated(0).hosts(), Vec::<String>::new());
    night.set(0, &["locked=no"]).await;
    assert_eq!(night.ended(job).await, Outcome::Succeeded);
    ready(&mut night, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_passcode_after_trust_may_be_waited_for_or_refused() {
    let mut night = strange(phone("New iPhone")).await;
    night.set(0, &["passcode-answer=ignore"]).await;
    let job = asking(&mut night).await;
    night.set(0, &["passcode-answer=dismiss"]).await;
    assert_eq!(night.ended(job).await, Outcome::TrustDenied);
    assert_eq!(night.phone(0).trust, Trust::Untrusted);
    assert_eq!(night.simulated(0).hosts(), Vec::<String>::new());
    night.set(0, &["passcode-answer=ignore"]).await;
    let job = asking(&mut night).await;
    night.set(0, &["passcode-answer=give"]).await;
    assert_eq!(night.ended(job).await, Outcome::Succeeded);
    assert!(night.simulated(0).activity().pairing_prompts >= 2);
    ready(&mut night, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unpairing_is_forgotten_on_both_sides_and_the_backups_stay() {
    let mut night = ada().await;
    assert_eq!(night.back_up_now(0, &[]).await, Outcome::Succeeded);
    let backup = night.backups(0).await[0].id.clone();
    assert_eq!(night.simulated(0).hosts().len(), 1);
    let records = |night: &Night| records_of(night);
    assert_eq!(records(&night).len(), 1);
    night.unpair(0).await.unwrap();
    let view = night.until_state(0, PhoneState::Untrusted).await;
    assert_eq!(view.trust, Trust::Untrusted);
    assert_eq!(night.simulated(0).hosts(), Vec::<String>::new());
    assert_eq!(records(&night), Vec::<String>::new());
    let refused = night.back_up(0, &[]).await;
    assert!(matches!(refused, Err(Error::NotTrusted(_))), "{refused:?}");
    assert_eq!(night.backups(0).await[0].id, backup);
    let unpacked = night.unpack(0, &backup, None, &[]).await.unwrap();
    assert!(unpacked.whole);

    // Nor does it come back by itself, whatever usbmuxd remembers.
    night.restart_daemon().await;
    night.until_state(0, PhoneState::Untrusted).await;
    assert_eq!(night.pair_now(0).await, Outcome::Succeeded);
    ready(&mut night, 0).await;
    assert_eq!(night.back_up_now(0, &[]).await, Outcome::Succeeded);
    let backups = night.backups(0).await;
    assert_eq!(backups.len(), 2);
    assert!(!backups[1].full, "it goes on from the old backups");
    night.assert_equals_phone(0, &backups[1].id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_that_is_away_is_unpaired_here() {
    let mut night = ada().await;
    night.set(0, &["attached=none"]).await;
    night.until_state(0, PhoneState::Absent).await;
    let said = night.ctl(&["unpair", "--yes"], "").await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(records_of(&night), Vec::<String>::new());
    night.set(0, &["attached=usb"]).await;
    night.until_state(0, PhoneState::Untrusted).await;
}

/// Before the first pairing usbmuxd's record is taken over; after a person has ended it, no other
/// program's pairing stands in for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_programs_pairing_does_not_undo_an_unpairing() {
    let Some(idevicepair) = ibak_tests::programs::of_machine("idevicepair") else {
        return;
    };
    let mut night = ada().await;
    night.unpair(0).await.unwrap();
    night.until_state(0, PhoneState::Untrusted).await;
    let usbmuxd = format!("UNIX:{}", night.dir().join("usbmuxd").display());
    let mut command = tokio::process::Command::new(idevicepair);
    command
        .args(["-u", &night.simulated(0).identity().udid, "pair"])
        .env("USBMUXD_SOCKET_ADDRESS", usbmuxd);
    let output = night.drive(command.output()).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(night.simulated(0).hosts().len(), 1, "the other program's");
    night.set(0, &["attached=none"]).await;
    night.until_state(0, PhoneState::Absent).await;
    night.set(0, &["attached=usb"]).await;
    night
        .until("it was asked whether it trusts us", |state| {
            let phone = state.phones().pop();
            phone.is_some_and(|view| view.trust != Trust::Unknown && !view.transports.is_empty())
        })
        .await;
    assert_eq!(night.phone(0).trust, Trust::Untrusted);
    assert_eq!(records_of(&night), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_in_the_middle_of_a_backup_is_not_unpaired() {
    let mut night = ada().await;
    night.set(0, &[ibak_tests::night::SLOW]).await;
    let job = night.back_up(0, &[]).await.unwrap();
    night.until_receiving(job).await;
    let busy = night.unpair(0).await;
    assert!(matches!(busy, Err(Error::Busy(_))), "{busy:?}");
    night.set(0, &["upload-rate=none"]).await;
    assert_eq!(night.ended(job).await, Outcome::Succeeded);
}

/// Lists the pair records that the daemon keeps.
fn records_of(night: &Night) -> Vec<String> {
    let state = ibak_tests::night::fingerprint(&night.dir().join("state"));
    let udid = night.udid(0);
    let records = state.into_iter().filter(|(path, print)| {
        path.contains(udid.as_str()) && path.contains("pair") && !print.content.is_empty()
    });
    records.map(|(path, _)| path).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_that_is_too_old_gets_a_sentence() {
    let (major, minor) = ibak_device::OLDEST_IOS;
    let old = PhoneSpec {
        ios: format!("{}.3.5", major - 1).parse().unwrap(),
        product: "iPhone6,2".to_owned(),
        paired: false,
        ..phone("Old iPhone")
    };
    let setup = ibak_tests::night::Setup::of(vec![old]).by_cable();
    let mut night = setup.begin().await;
    night.until_state(0, PhoneState::Untrusted).await;
    assert_eq!(night.pair_now(0).await, Outcome::SystemTooOld);
    let said = night.ctl(&["pair"], "").await;
    assert_ne!(said.code, Some(0), "{said:?}");
    let oldest = if minor == 0 {
        format!("iOS {major}")
    } else {
        format!("iOS {major}.{minor}")
    };
    said.says(&[&oldest]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_that_is_too_old_and_paired_by_another_program_is_not_backed_up() {
    let (major, _) = ibak_device::OLDEST_IOS;
    let old = PhoneSpec {
        ios: format!("{}.3.5", major - 1).parse().unwrap(),
        product: "iPhone6,2".to_owned(),
        ..phone("Old iPhone")
    };
    let setup = ibak_tests::night::Setup::of(vec![old]).by_cable();
    let mut night = setup.begin().await;
    night
        .until_phone(0, "it is seen", |view| !view.transports.is_empty())
        .await;
    night.settle().await;
    let said = night.ctl(&["backup", "--wait"], "").await;
    assert_ne!(said.code, Some(0), "{said:?}");
    assert_eq!(night.bytes_sent(0), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_oldest_that_works_works() {
    let (major, minor) = ibak_device::OLDEST_IOS;
    let oldest = PhoneSpec {
        ios: format!("{major}.{minor}").parse().unwrap(),
        product: "iPhone7,2".to_owned(),
        ..phone("Oldest iPhone")
    };
    let mut night = house(vec![oldest]).await;
    assert_eq!(night.back_up_now(0, &[]).await, Outcome::Succeeded);
    let backups = night.backups(0).await;
    night.assert_equals_phone(0, &backups[0].id);
}
