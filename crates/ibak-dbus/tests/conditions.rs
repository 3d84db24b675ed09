//! What the core knows of a condition arrives at a client, amounts and all.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use ibak_core::{
    Basis, Bytes, ConditionState, Estimate, Met, Monotonic, Now, Room, Source, StoreNumbers,
    Transport, Unmet, Verdict, Wall,
};
use ibak_dbus::views::ConditionView;
use ibak_dbus::words::{ConditionReason, ConditionStatus, EvidenceSource};

fn at(secs: i64) -> Now {
    Now {
        monotonic: Monotonic::ZERO,
        wall: Wall::from_secs(secs),
    }
}

fn room() -> Room {
    Room {
        store: StoreNumbers {
            free: Bytes::from_gib(212),
            reserve: Bytes::from_gib(10),
            used: Bytes::from_gib(288),
            quota: Some(Bytes::from_gib(500)),
        },
        share: ibak_core::PhoneShare::default(),
        promised: Bytes::ZERO,
        estimate: Estimate {
            needed: Bytes::from_gib(9),
            basis: Basis::EarlierBackups,
        },
    }
}

#[test]
fn amounts_come_along() {
    for (verdict, status, reason) in [
        (
            Verdict::Met(Met::Room(room())),
            ConditionStatus::Met,
            ConditionReason::EnoughRoom,
        ),
        (
            Verdict::Unmet(Unmet::NoRoom(room())),
            ConditionStatus::Unmet,
            ConditionReason::NoRoom,
        ),
    ] {
        let state = ConditionState {
            verdict,
            since: at(100),
            source: Some(Source::Store),
            observed: Some(at(160)),
        };
        let sent = ConditionView::of(&state, true, None);
        let read = ConditionView::from_dict(&sent.to_dict());
        assert_eq!(read, sent);
        assert_eq!(
            read,
            ConditionView {
                since: Some(Wall::from_secs(100)),
                source: Some(EvidenceSource::Store),
                observed: Some(Wall::from_secs(160)),
                free: Some(Bytes::from_gib(212)),
                needed: Some(Bytes::from_gib(9)),
                used: Some(Bytes::from_gib(288)),
                quota: Some(Bytes::from_gib(500)),
                basis: Some(ibak_dbus::words::Basis::EarlierBackups),
                ..ConditionView::new(status, reason)
            }
        );
    }
}

#[test]
fn power_and_lock_details() {
    let state = |verdict| ConditionState {
        verdict,
        since: at(1),
        source: Some(Source::Lockdown(Transport::Wifi)),
        observed: None,
    };
    let power = ConditionView::of(&state(Verdict::Met(Met::ExternalPower)), true, Some(80));
    assert_eq!(ConditionView::from_dict(&power.to_dict()), power);
    assert_eq!(
        (power.percent, power.source),
        (Some(80), Some(EvidenceSource::LockdownWifi))
    );
    let locked = ConditionView::of(
        &state(Verdict::Unmet(Unmet::Unlocked {
            lock_ever_seen: false,
        })),
        false,
        None,
    );
    let read = ConditionView::from_dict(&locked.to_dict());
    assert_eq!(
        (read.lock_ever_seen, read.required, read.reason),
        (Some(false), false, ConditionReason::Unlocked)
    );
}
