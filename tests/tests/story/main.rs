//! The story of the demo, and nights that go wrong: what `ibakctl why` says, to the letter.
//!
//! The real daemon and the real `ibakctl`, at the time of a house in Berlin that begins on a
//! Saturday at 21:00.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod evening;
mod wrong;

use ibak_dbus::words::{ConditionName, ConditionReason, ConditionStatus};
use ibak_sim::PhoneSpec;
use ibak_tests::night::{Night, Setup, phone};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const MET: ConditionStatus = ConditionStatus::Met;
const UNMET: ConditionStatus = ConditionStatus::Unmet;

/// A phone that never asks for its passcode, on the cable.
fn ada() -> PhoneSpec {
    phone("Ada's iPhone")
}

/// A phone that asks for its passcode.
fn new_ada() -> PhoneSpec {
    PhoneSpec {
        ios: "17.2".parse().unwrap(),
        product: "iPhone15,2".to_owned(),
        ..ada()
    }
}

async fn house(phone: PhoneSpec, keys: &str) -> Night {
    let setup = Setup::of(vec![phone]).by_cable().keys(keys);
    let mut night = setup.zone("Europe/Berlin").begin().await;
    night
        .until_phone(0, "it is read", |view| {
            view.condition(&ConditionName::Power).observed.is_some()
        })
        .await;
    night
}

/// Waits until the daemon has read these as they are now.
async fn known(night: &mut Night, wanted: &[(ConditionName, ConditionStatus)]) {
    let what = format!("{wanted:?}");
    night
        .until_phone(0, &what, |view| {
            wanted
                .iter()
                .all(|(name, status)| view.condition(name).status == *status)
        })
        .await;
    night.settle().await;
}

/// What `ibakctl why` says, once a lock that was heard of has been read as well.
async fn why(night: &mut Night) -> String {
    let locked = night.simulated(0).state().locked.is_on();
    night
        .until_phone(0, "its lock was read", |view| {
            let read = view.condition(&ConditionName::Locked).reason;
            !locked || view.transports.is_empty() || read == ConditionReason::ScreenLocked
        })
        .await;
    // Who asks has everything read anew; what was old until then is seen the second time.
    night.says(&["why", "ada"]).await;
    night
        .until_phone(0, "the store was looked at", |view| {
            view.condition(&ConditionName::Space).status != ConditionStatus::Unknown
        })
        .await;
    night.settle().await;
    night.says(&["why", "ada"]).await
}
