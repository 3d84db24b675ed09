//! What a person can ask of a phone and of its backups, through the real daemon, on the real bus
//! and, where a person would, through the real `ibakctl`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

#[path = "phone/authorised.rs"]
mod authorised;
#[path = "phone/cloud.rs"]
mod cloud;
#[path = "phone/encryption.rs"]
mod encryption;
#[path = "phone/pairing.rs"]
mod pairing;
#[path = "phone/passcode.rs"]
mod passcode;
#[path = "phone/proofs.rs"]
mod proofs;
#[path = "phone/purchases.rs"]
mod purchases;
#[path = "phone/reading.rs"]
mod reading;
#[path = "phone/restoring.rs"]
mod restoring;
#[path = "phone/resuming.rs"]
mod resuming;
#[path = "phone/secrets.rs"]
mod secrets;
#[path = "phone/strangers.rs"]
mod strangers;

use ibak_dbus::words::{ConditionName, ConditionStatus, TransportWord, Trust};
use ibak_sim::PhoneSpec;
use ibak_tests::night::{Night, Setup, phone};

/// Begins a house with these phones on their cables, and waits until all of them are read.
async fn house(phones: Vec<PhoneSpec>) -> Night {
    let count = phones.len();
    let mut night = Setup::of(phones).by_cable().begin().await;
    for phone in 0..count {
        ready(&mut night, phone).await;
    }
    night
}

/// Begins a house with one phone.
async fn ada() -> Night {
    house(vec![phone("Ada's iPhone")]).await
}

/// Waits until a phone could be backed up if somebody asked.
async fn ready(night: &mut Night, phone: usize) {
    night
        .until_phone(phone, "it is there and read", |view| {
            view.trust == Trust::Trusted
                && view.transports.contains(&TransportWord::Usb)
                && view.current_job.is_none()
                && view.condition(&ConditionName::Space).status == ConditionStatus::Met
        })
        .await;
}
