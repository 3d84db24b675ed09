//! Fuzz targets: whatever another end says, and whatever lies in a backup, the reader ends by itself,
//! does not panic, and takes no more memory than its limits say.
//!
//! `cargo test` runs each for [`TURN`] with random changes of good material; with coverage as the
//! guide they run as CONTRIBUTING.md says.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

#[path = "fuzz/database.rs"]
mod database;
#[path = "fuzz/material.rs"]
mod material;
#[path = "fuzz/seeds.rs"]
mod seeds;

use ibak_core::Secret;
use ibak_core::plist_guard::{self, Limits};
use ibak_store::{Keybag, Unlocking};
use material::{material, within};
use plist::Value;
use std::sync::LazyLock;
use std::time::Duration;

/// For how long a target runs in `cargo test`.
const TURN: Duration = Duration::from_secs(2);
/// Bytes of an input at most; most are changes of a seed, which may be longer.
const LEN_MAX: usize = 4096;
/// What one reading of any input may take, in bytes: the guard lets 32 MiB pass, and a parser
/// holds each value in some dozens of bytes.
const MEMORY_MAX: u64 = 64 << 20;
/// Rounds of a key derivation that a fuzzer has time for.
const ROUNDS_MAX: u32 = 2_000;

/// Runs one target over seeds.
fn fuzz<T>(
    seeds: &LazyLock<Vec<Vec<u8>>>,
    target: impl Fn(&[u8]) -> T + std::panic::RefUnwindSafe,
) {
    for seed in &**seeds {
        target(seed);
    }
    bolero::check!()
        .with_max_len(LEN_MAX)
        .with_test_time(TURN)
        .for_each(|input: &[u8]| {
            let bytes = material(input, seeds);
            within(MEMORY_MAX, &bytes, &target);
        });
}

macro_rules! seeds {
    ($name:ident, $made:expr) => {
        static $name: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| $made);
    };
}

seeds!(CONVERSATIONS, seeds::conversations());
seeds!(MESSAGES, seeds::messages());
seeds!(LISTS, seeds::property_lists());
seeds!(KEYBAGS, seeds::keybags());
seeds!(BLOBS, database::blobs());
seeds!(MUXED, seeds::usbmuxd());
seeds!(LOCKDOWN, seeds::lockdown());
seeds!(PACKETS, seeds::afc());
seeds!(RECORDS, seeds::pair_records());

#[test]
fn devicelink_stream() {
    fuzz(&CONVERSATIONS, ibak_mobilebackup2::fuzz::devicelink);
}

#[test]
fn devicelink_message() {
    fuzz(&MESSAGES, ibak_mobilebackup2::fuzz::message);
}

/// Counts values and keys as a parser has made them, without recursion.
fn expanded(value: &Value) -> usize {
    let mut count = 0;
    let mut left = vec![value];
    while let Some(next) = left.pop() {
        count += 1;
        if let Some(list) = next.as_array() {
            left.extend(list);
        }
        if let Some(pairs) = next.as_dictionary() {
            count += pairs.len();
            left.extend(pairs.iter().map(|(_, value)| value));
        }
    }
    count
}

/// What the guard lets pass is bounded in the parser.
fn guarded(bytes: &[u8]) {
    let limits = Limits {
        bytes_max: 1 << 20,
        depth_max: 64,
        nodes_max: 20_000,
        expanded_bytes_max: 4 << 20,
    };
    if plist_guard::check(bytes, &limits).is_ok()
        && let Ok(value) = plist::from_bytes::<Value>(bytes)
    {
        assert!(expanded(&value) <= limits.nodes_max);
    }
}

#[test]
fn plist_guard_before_the_parser() {
    fuzz(&LISTS, guarded);
}

#[test]
fn property_list_of_a_backup() {
    fuzz(&LISTS, ibak_store::fuzz::property_list);
}

/// Stops a derivation that nobody has time for.
struct Hurry;

impl Unlocking for Hurry {
    fn progress(&self, _done: f64) {}

    fn cancelled(&self) -> bool {
        false
    }
}

fn keybag(bytes: &[u8]) {
    let Ok(bag) = Keybag::parse(bytes) else {
        return;
    };
    let (outer, inner) = bag.cost();
    assert!(outer <= Keybag::DPIC_MAX && (1..=Keybag::ITER_MAX).contains(&inner));
    assert_eq!(bag.uuid().len(), 32);
    if outer <= ROUNDS_MAX && inner <= ROUNDS_MAX {
        let password = Secret::new(seeds::PASSWORD.to_owned());
        // Mostly it is the wrong one: the seeds open, their changes do not.
        drop(bag.unlock(&password, &Hurry));
    }
}

#[test]
fn keybag_of_a_backup() {
    fuzz(&KEYBAGS, keybag);
}

#[test]
fn mbfile_of_a_row() {
    fuzz(&BLOBS, ibak_store::fuzz::mbfile);
}

#[test]
fn manifest_database() {
    static DATABASES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(database::databases);
    let bench = database::Bench::new();
    fuzz(&DATABASES, |bytes| bench.read(bytes));
}

#[test]
fn usbmuxd_reply() {
    fuzz(&MUXED, ibak_device::fuzz::usbmuxd_reply);
}

#[test]
fn lockdown_reply() {
    fuzz(&LOCKDOWN, ibak_device::fuzz::lockdown_reply);
}

#[test]
fn lockdown_error() {
    fuzz(&RECORDS, |bytes| {
        ibak_device::fuzz::lockdown_error(&String::from_utf8_lossy(bytes));
    });
}

#[test]
fn afc_reply() {
    fuzz(&PACKETS, ibak_device::fuzz::afc_reply);
}

#[test]
fn pair_record() {
    fuzz(&RECORDS, ibak_device::fuzz::pair_record);
}

/// The seeds lead deep: what a fuzzer changes is something that would have been read.
#[test]
fn the_seeds_are_read_to_their_end() {
    use ibak_mobilebackup2::Outcome;
    let finished =
        |seed: &&Vec<u8>| ibak_mobilebackup2::fuzz::conversation(seed) == Some(Outcome::Finished);
    assert!(CONVERSATIONS.iter().filter(finished).count() >= 4);
    assert!(
        MUXED
            .iter()
            .any(|seed| ibak_device::fuzz::usbmuxd_steps(seed) >= 3)
    );
    assert!(
        LOCKDOWN
            .iter()
            .any(|seed| ibak_device::fuzz::lockdown_steps(seed) >= 3)
    );
    assert!(
        PACKETS
            .iter()
            .any(|seed| ibak_device::fuzz::afc_steps(seed) >= 9)
    );
    assert!(BLOBS.len() > 10 && BLOBS.iter().all(|seed| ibak_store::fuzz::mbfile(seed)));
    let lists = LISTS
        .iter()
        .filter(|seed| ibak_store::fuzz::property_list(seed));
    assert!(lists.count() >= 3);
    let opened = |seed: &&Vec<u8>| {
        let password = Secret::new(seeds::PASSWORD.to_owned());
        Keybag::parse(seed).is_ok_and(|bag| bag.unlock(&password, &Hurry).is_ok())
    };
    assert!(KEYBAGS.iter().filter(opened).count() >= 1);
    assert!(database::Bench::new().read(&database::honest()) > 20);
}
