//! The end of a pairing: on the phone, at usbmuxd, and here.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::wildcard_enum_match_arm,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

mod common;

use common::mux::{Mind, Mux};
use common::phone::{Nature, Phone};
use common::{UDID, contains, keys};
use ibak_core::Udid;
use ibak_device::{
    Deadlines, DeviceError, Link, MuxAddress, MuxCopy, OnPhone, PairRecord, PairStore, Unpaired,
    unpair,
};
use std::sync::{Arc, Mutex};

struct Desk {
    dir: tempfile::TempDir,
    mux: Mux,
    phone: Phone,
}

/// The words for what became of each.
fn words(done: &Unpaired) -> (&'static str, &'static str, bool) {
    let phone = match &done.phone {
        OnPhone::Forgotten => "forgotten",
        OnPhone::Unknown => "unknown",
        OnPhone::Failed(_) => "failed",
        OnPhone::NotAsked => "not asked",
    };
    let usbmuxd = match &done.usbmuxd {
        MuxCopy::Removed => "removed",
        MuxCopy::Untouched => "untouched",
        MuxCopy::Failed(_) => "failed",
    };
    (phone, usbmuxd, done.was_paired)
}

fn udid() -> Udid {
    Udid::parse(UDID).unwrap()
}

impl Desk {
    /// Sits down with a phone that is paired, and its record here.
    async fn paired(at_usbmuxd: Option<Vec<u8>>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let phone = Phone::start(Nature::default()).await;
        let mind = Mind {
            record: at_usbmuxd,
            ..Mind::default()
        };
        let mux = Mux::start(&dir.path().join("usbmuxd"), Arc::new(Mutex::new(mind)));
        let desk = Self { dir, mux, phone };
        let record = PairRecord::parse(&keys::record_plist()).unwrap();
        desk.store().save(&udid(), &record).unwrap();
        desk
    }

    fn store(&self) -> PairStore {
        PairStore::open(&self.dir.path().join("records")).unwrap()
    }

    async fn unpair(&self, link: Option<&Link>) -> Result<Unpaired, DeviceError> {
        let address = MuxAddress::Unix(self.mux.path.clone());
        let deadlines = Deadlines::default();
        unpair(link, &address, UDID, &self.store(), &udid(), &deadlines).await
    }

    fn link(&self) -> Link {
        Link::Tcp {
            address: self.phone.address,
        }
    }

    fn files(&self) -> Vec<String> {
        let files = std::fs::read_dir(self.dir.path().join("records")).unwrap();
        files
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect()
    }
}

#[tokio::test]
async fn everybody_forgets() {
    let desk = Desk::paired(Some(keys::record_plist())).await;
    // A write that was cut short left a copy behind.
    let left = desk
        .dir
        .path()
        .join(format!("records/.{}.plist.new", udid()));
    std::fs::write(left, keys::record_plist()).unwrap();
    let done = desk.unpair(Some(&desk.link())).await.unwrap();
    assert_eq!(words(&done), ("forgotten", "removed", true));
    assert_eq!(desk.phone.deeds(), [format!("unpair {}", keys::HOST_ID)]);
    assert_eq!(desk.files(), Vec::<String>::new());
    assert!(desk.mux.mind.lock().unwrap().record.is_none());
    // The phone was told who we are, encrypted and without our keys.
    let heard = desk.phone.heard.lock().unwrap();
    let (encrypted, request) = heard
        .requests
        .iter()
        .find(|(_, request)| request["Request"].as_string() == Some("Unpair"))
        .unwrap();
    assert!(encrypted);
    let mut names: Vec<&str> = request["PairRecord"]
        .as_dictionary()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    names.sort_unstable();
    let want = [
        "DeviceCertificate",
        "HostCertificate",
        "HostID",
        "RootCertificate",
        "SystemBUID",
    ];
    assert_eq!(names, want);
    assert!(!contains(&heard.wire, &keys::ESCROW_BAG));
}

#[tokio::test]
async fn asking_twice_is_safe() {
    let desk = Desk::paired(None).await;
    desk.unpair(Some(&desk.link())).await.unwrap();
    let again = desk.unpair(Some(&desk.link())).await.unwrap();
    assert_eq!(words(&again), ("not asked", "untouched", false));
}

#[tokio::test]
async fn each_can_fail_by_itself_and_the_record_goes_all_the_same() {
    for (refusal, want) in [
        (("StartSession", "InvalidHostID"), "unknown"),
        (("Unpair", "InvalidHostID"), "forgotten"),
        (("Unpair", "SessionInactive"), "forgotten"),
        (("Unpair", "GetProhibited"), "failed"),
        (("StartSession", "PasswordProtected"), "failed"),
    ] {
        let desk = Desk::paired(None).await;
        desk.phone.change(|nature| nature.refusals = vec![refusal]);
        let done = desk.unpair(Some(&desk.link())).await.unwrap();
        assert_eq!(words(&done), (want, "untouched", true), "{refusal:?}");
        assert_eq!(desk.files(), Vec::<String>::new());
    }
    let desk = Desk::paired(None).await;
    let done = desk.unpair(None).await.unwrap();
    assert_eq!(words(&done), ("failed", "untouched", true));
    assert_eq!(desk.phone.deeds(), Vec::<String>::new());
}

#[tokio::test]
async fn the_pairing_of_another_program_is_not_ours_to_end() {
    let other = String::from_utf8(keys::record_plist())
        .unwrap()
        .replace(keys::HOST_ID, "99999999-2222-4333-8444-555555555555");
    let desk = Desk::paired(Some(other.into_bytes())).await;
    let done = desk.unpair(Some(&desk.link())).await.unwrap();
    assert_eq!(words(&done), ("forgotten", "untouched", true));
    assert!(desk.mux.mind.lock().unwrap().record.is_some());
}

#[tokio::test]
async fn without_usbmuxd_the_rest_is_done() {
    let desk = Desk::paired(None).await;
    std::fs::remove_file(&desk.mux.path).unwrap();
    let done = desk.unpair(Some(&desk.link())).await.unwrap();
    assert_eq!(words(&done), ("forgotten", "failed", true));
    assert_eq!(desk.files(), Vec::<String>::new());
}

#[tokio::test]
async fn a_record_that_opens_nothing_goes_as_well() {
    let desk = Desk::paired(None).await;
    std::fs::write(
        desk.dir.path().join(format!("records/{}.plist", udid())),
        "x",
    )
    .unwrap();
    let done = desk.unpair(Some(&desk.link())).await.unwrap();
    assert_eq!(words(&done), ("not asked", "untouched", true));
    assert_eq!(desk.files(), Vec::<String>::new());
}

#[tokio::test]
async fn a_record_that_cannot_be_removed_is_an_error() {
    let desk = Desk::paired(None).await;
    let store = desk.store();
    let dir = desk.dir.path().join("records");
    std::fs::remove_file(dir.join(format!("{}.plist", udid()))).unwrap();
    std::fs::create_dir(dir.join(format!("{}.plist", udid()))).unwrap();
    let error = store.remove(&udid()).unwrap_err();
    assert!(matches!(error, DeviceError::Store { .. }), "{error:?}");
}
