//! A phone that is backed up day after day.

use crate::device::*;
use ibak_core::Bytes;
use ibak_store::fs::Fs;
use ibak_store::{Begin, Full, Generation, Staging, Store, StoreError};
use std::path::{Path, PathBuf};

pub fn phone(path: &Path) -> PathBuf {
    path.join(UDID)
}

/// A phone with a few hundred files of many sizes, some of which change from day to day.
pub fn day(number: usize) -> Device {
    let mut device = Device::default();
    for file in 0..300 {
        let changed = if file % 10 == 0 { number } else { 0 };
        let text = format!("{file} on day {changed} ").repeat(1 + file * 7 % 400);
        device.put(&format!("Library/{file}"), &text);
    }
    device.put(&format!("only on day {number}"), &"x".repeat(70_000));
    device
}

pub fn days<F: Fs>(store: &Store<F>, count: usize) -> Vec<Generation> {
    (0..count)
        .map(|number| {
            let now = at(1 + u64::try_from(number).unwrap());
            back_up(store, &day(number), now).unwrap()
        })
        .collect()
}

pub fn quota_of(store: &Store, quota: u64, now: u64) -> Result<Staging, StoreError> {
    store.begin(Begin {
        udid: &udid(),
        wire_udid: UDID,
        full: Full::IfNeeded,
        quota: Some(Bytes::new(quota)),
        now: at(now),
    })
}
