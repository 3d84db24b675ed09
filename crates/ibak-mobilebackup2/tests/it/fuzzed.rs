//! The fuzzer's ways in, given what is known to be hard.

use crate::phone::recorded;
use ibak_mobilebackup2::Outcome;
use ibak_mobilebackup2::fuzz::{conversation, devicelink, message};
use proptest::prelude::*;
use std::io::Cursor;

/// Where each frame of the recorded session begins; only its messages are taken apart.
fn messages() -> Vec<Vec<u8>> {
    let (bytes, _) = recorded();
    let mut found = Vec::new();
    for at in 0..bytes.len() - 4 {
        let len = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        let body = bytes.get(at + 4..at + 4 + len).unwrap_or_default();
        if body.starts_with(b"bplist00") && plist::Value::from_reader(Cursor::new(body)).is_ok() {
            found.push(body.to_vec());
        }
    }
    found
}

#[test]
fn the_recorded_session_passes_whole_and_cut_anywhere() {
    let (bytes, _) = recorded();
    for deed in 0..4 {
        for end in (0..=bytes.len()).step_by(7) {
            devicelink(&[&[deed], &bytes[..end]].concat());
        }
    }
    assert!(messages().len() > 10);
    for deed in 0..4 {
        let outcome = conversation(&[&[deed][..], &bytes].concat());
        assert_eq!(outcome, Some(Outcome::Finished), "{deed}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn changed_bytes_are_survived(
        deed in 0_u8..4,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let (mut bytes, _) = recorded();
        for (at, byte) in changes {
            let len = bytes.len();
            bytes[at.index(len)] = byte;
        }
        devicelink(&[&[deed][..], &bytes].concat());
    }

    #[test]
    fn changed_messages_are_survived(
        which in any::<prop::sample::Index>(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let messages = messages();
        let mut payload = messages[which.index(messages.len())].clone();
        for (at, byte) in changes {
            let len = payload.len();
            payload[at.index(len)] = byte;
        }
        message(&payload);
    }

    #[test]
    fn noise_is_survived(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        devicelink(&bytes);
        message(&bytes);
    }
}
