//! The phone's own iCloud Backup: seen, switched, and refused where nobody is signed in.

use super::{ada, house};
use ibak_dbus::Error;
use ibak_dbus::words::{OnOff, PhoneState};
use ibak_tests::night::phone;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_seen_and_switched() {
    let mut night = ada().await;
    let seen = night.until_phone(0, "it is on", |view| view.icloud_backup == OnOff::On);
    seen.await;
    night.set_icloud(0, false).await.unwrap();
    assert!(!night.simulated(0).state().icloud.is_on());
    night
        .until_phone(0, "it is seen to be off", |view| {
            view.icloud_backup == OnOff::Off
        })
        .await;
    night.set_icloud(0, true).await.unwrap();
    assert!(night.simulated(0).state().icloud.is_on());
    night
        .until_phone(0, "it is seen to be on", |view| {
            view.icloud_backup == OnOff::On
        })
        .await;
    assert_eq!(night.bytes_sent(0) / 10_000, 0, "nothing but talk");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_sees_and_switches_it() {
    let mut night = ada().await;
    night
        .until_phone(0, "it is on", |view| view.icloud_backup == OnOff::On)
        .await;
    let said = night.ctl(&["icloud", "status"], "").await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.answer.contains("on"), "{said:?}");
    let said = night.ctl(&["icloud", "off"], "").await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(!night.simulated(0).state().icloud.is_on());
    night
        .until_phone(0, "it is off", |view| view.icloud_backup == OnOff::Off)
        .await;
    let said = night.ctl(&["icloud", "status"], "").await;
    assert!(said.answer.contains("off"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_account_it_is_refused_and_says_so() {
    let mut spec = phone("Nobody's iPhone");
    spec.state.icloud = ibak_sim::state::Switch::Off;
    spec.state.icloud_account = ibak_sim::state::Switch::Off;
    let mut night = house(vec![spec]).await;
    let refused = night.set_icloud(0, true).await;
    assert!(
        matches!(&refused, Err(Error::Failed(text)) if text.starts_with("no-icloud-account")),
        "{refused:?}"
    );
    assert!(!night.simulated(0).state().icloud.is_on());
    let said = night.ctl(&["icloud", "on"], "").await;
    assert_eq!(said.code, Some(1), "{said:?}");
    said.says(&["iCloud"]);
    night.set(0, &["attached=none"]).await;
    night.until_state(0, PhoneState::Absent).await;
    let gone = night.set_icloud(0, true).await;
    assert!(matches!(gone, Err(Error::NotConnected(_))), "{gone:?}");
}
