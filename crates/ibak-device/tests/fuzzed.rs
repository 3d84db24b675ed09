//! The fuzzer's ways in, given good answers that were damaged.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::wildcard_enum_match_arm,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

mod common;

use common::{UDID, dict, keys};
use ibak_device::fuzz::{
    afc_reply, afc_steps, lockdown_error, lockdown_reply, lockdown_steps, pair_record,
    usbmuxd_reply, usbmuxd_steps,
};
use plist::{Dictionary, Value};
use proptest::prelude::*;

fn xml(message: Dictionary) -> Vec<u8> {
    let mut body = Vec::new();
    Value::Dictionary(message).to_writer_xml(&mut body).unwrap();
    body
}

fn binary(message: Dictionary) -> Vec<u8> {
    let mut body = Vec::new();
    Value::Dictionary(message)
        .to_writer_binary(&mut body)
        .unwrap();
    body
}

fn packet(message: Dictionary) -> Vec<u8> {
    let body = xml(message);
    let head = [body.len() as u32 + 16, 1, 8, 1].map(u32::to_le_bytes);
    [head.concat(), body].concat()
}

fn usbmuxd() -> Vec<u8> {
    let attached = || {
        let properties = dict([
            ("ConnectionType", "USB".into()),
            ("SerialNumber", UDID.into()),
        ]);
        dict([
            ("MessageType", "Attached".into()),
            ("DeviceID", 5.into()),
            ("Properties", Value::Dictionary(properties)),
        ])
    };
    let list = Value::Array(vec![Value::Dictionary(attached())]);
    let record = Value::Data(keys::record_plist());
    [
        packet(dict([("DeviceList", list)])),
        packet(dict([("PairRecordData", record)])),
        packet(attached()),
    ]
    .concat()
}

fn lockdown() -> Vec<u8> {
    let frame = |body: Vec<u8>| [(body.len() as u32).to_be_bytes().to_vec(), body].concat();
    let value = dict([
        ("Value", "15.6".into()),
        ("WillEncrypt", true.into()),
        ("RequiresEncryption", 0.into()),
        ("TotalDataCapacity", 1_000_000.into()),
        ("BatteryCurrentCapacity", 80.into()),
    ]);
    [
        frame(xml(dict([("Type", "com.apple.mobile.lockdown".into())]))),
        frame(xml(dict([("Value", "15.6".into())]))),
        frame(binary(value.clone())),
        frame(xml(value)),
        frame(xml(dict([("Error", "InvalidHostID".into())]))),
    ]
    .concat()
}

fn afc() -> Vec<u8> {
    const MAGIC: u64 = 0x4141_504c_3641_4643;
    let packet = |operation: u64, first: &[u8], data: &[u8]| {
        let head_len = 40 + first.len() as u64;
        let head = [MAGIC, head_len + data.len() as u64, head_len, 0, operation];
        [&head.map(u64::to_le_bytes).concat(), first, data].concat()
    };
    [
        packet(2, &[], b".\0..\0book.epub\0"),
        packet(2, &[], b"st_size\x006\0st_ifmt\0S_IFREG\0"),
        packet(2, &[], b"x.m4a\0"),
        packet(2, &[], b"st_size\x003\0st_ifmt\0S_IFREG\0"),
        packet(0x0e, &7_u64.to_le_bytes(), &[]),
        packet(2, &[], b"conten"),
        packet(1, &0_u64.to_le_bytes(), &[]),
        packet(0x0e, &8_u64.to_le_bytes(), &[]),
        packet(2, &[], b"abc"),
        packet(1, &0_u64.to_le_bytes(), &[]),
    ]
    .concat()
}

type Way = (fn(&[u8]), Vec<u8>);

/// Every way in with its good answers.
fn ways() -> [Way; 4] {
    [
        (usbmuxd_reply, usbmuxd()),
        (lockdown_reply, lockdown()),
        (afc_reply, afc()),
        (pair_record, keys::record_plist()),
    ]
}

#[test]
fn good_answers_are_read_to_their_end() {
    assert_eq!(usbmuxd_steps(&usbmuxd()), 3);
    assert_eq!(lockdown_steps(&lockdown()), 4);
    assert_eq!(afc_steps(&afc()), 9);
}

#[test]
fn answers_that_are_cut_anywhere_are_survived() {
    for (way, good) in ways() {
        for end in (0..good.len()).step_by(13).chain([good.len()]) {
            way(&good[..end]);
        }
    }
}

#[test]
fn lengths_that_lie_are_survived() {
    for (way, good) in ways() {
        for at in 0..good.len().min(200) {
            for lie in [u32::MAX, 1 << 31, 0, 1] {
                let mut bytes = good.clone();
                let end = bytes.len().min(at + 4);
                bytes[at..end].copy_from_slice(&lie.to_be_bytes()[..end - at]);
                way(&bytes);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn changed_answers_are_survived(
        which in 0_usize..4,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let (way, mut bytes) = ways()[which].clone();
        for (at, byte) in changes {
            let len = bytes.len();
            bytes[at.index(len)] = byte;
        }
        way(&bytes);
    }

    #[test]
    fn noise_is_survived(which in 0_usize..4, bytes in proptest::collection::vec(any::<u8>(), 0..1_000)) {
        ways()[which].0(&bytes);
    }

    #[test]
    fn reasons_are_survived(text in ".{0,200}") {
        lockdown_error(&text);
    }
}
