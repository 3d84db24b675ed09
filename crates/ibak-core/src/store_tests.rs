//! Tables for room, shares and estimates.

use super::*;

const GIB: u64 = 1 << 30;

fn backup(n: u8, size: u64, added: u64) -> BackupFacts {
    let id = BackupId::parse(&format!("01JD8Z3YQ9V6W2X4T5R7P8N0{n:02}")).unwrap();
    BackupFacts {
        id,
        finished: Wall::from_secs(i64::from(n)),
        size: Bytes::new(size),
        added: Bytes::new(added),
        encrypted: false,
        day: Day(i32::from(n)),
        verified: true,
        pinned: false,
        adopted: false,
    }
}

#[test]
fn available_is_the_tighter_of_disk_and_quota() {
    let numbers = |free, used, quota| StoreNumbers {
        free: Bytes::new(free),
        reserve: Bytes::new(2),
        used: Bytes::new(used),
        quota,
    };
    for (free, used, quota, want, state) in [
        (10, 5, None, 8, StorageState::Ok),
        (10, 5, Some(Bytes::new(6)), 1, StorageState::Low),
        (10, 5, Some(Bytes::new(5)), 0, StorageState::Full),
        (10, 9, Some(Bytes::new(5)), 0, StorageState::Full),
        (3, 0, None, 1, StorageState::Low),
        (2, 0, None, 0, StorageState::Full),
        (1, 0, None, 0, StorageState::Full),
    ] {
        let it = numbers(free, used, quota);
        assert_eq!(it.available(), Bytes::new(want), "{it:?}");
        assert_eq!(
            StorageState::of(Some(&StoreReport::Open(it))),
            state,
            "{it:?}"
        );
    }
    assert_eq!(StorageState::of(None), StorageState::Unknown);
    let gone = StoreReport::Unavailable(StoreTrouble::Missing);
    assert_eq!(StorageState::of(Some(&gone)), StorageState::Unavailable);
    let moving = StoreReport::Unavailable(StoreTrouble::Moving);
    assert_eq!(StorageState::of(Some(&moving)), StorageState::Unknown);
}

#[test]
fn a_share_is_the_tighter_of_both_quotas() {
    for (quota, used, promised, own, of_phone, want) in [
        (None, 90, 4, None, 20, None),
        (None, 90, 4, Some(50), 20, Some(50)),
        (Some(100), 90, 0, None, 20, Some(30)),
        (Some(100), 90, 4, None, 20, Some(26)), // the others write 4 more
        (Some(100), 90, 4, Some(25), 20, Some(25)),
        (Some(100), 90, 0, Some(50), 20, Some(30)),
        (Some(100), 90, 4, Some(50), 20, Some(26)),
        (Some(100), 90, 11, None, 20, Some(20)), // more is promised than is left: what it has
        (Some(100), 130, 0, None, 20, Some(20)), // more is used than may be: no more than it has
        (Some(100), 130, 4, Some(10), 20, Some(10)),
        (Some(u64::MAX), 0, 0, None, 20, Some(u64::MAX)),
    ] {
        let store = StoreNumbers {
            free: Bytes::new(1),
            reserve: Bytes::new(1),
            used: Bytes::new(used),
            quota: quota.map(Bytes::new),
        };
        let share = PhoneShare {
            used: Bytes::new(of_phone),
            quota: own.map(Bytes::new),
        };
        let got = store.quota_of(share, Bytes::new(promised));
        let row = format!("{quota:?} {used} {promised} {own:?}");
        assert_eq!(got, want.map(Bytes::new), "{row}");
        let left = own.map(|own: u64| Bytes::new(own.saturating_sub(of_phone)));
        assert_eq!(share.left(), left);
    }
}

/// What `du` says of the phone counts the unfinished backup, and so does what the quota leaves;
/// the estimate counts only what is still to come. So the sum is the whole, once.
#[test]
fn an_unfinished_backup_counts_once() {
    // 10 GiB committed; the next writes 8 GiB, of which so much is there already.
    for (quota, staged, want) in [(19, 0, true), (19, 5, true), (18, 0, false), (18, 5, false)] {
        let backups = PhoneBackups {
            committed: vec![backup(2, 10 * GIB, 8 * GIB), backup(1, 2 * GIB, 2 * GIB)],
            staged: Bytes::new(staged * GIB),
            used: Bytes::new((10 + staged) * GIB),
        };
        let room = Room {
            store: StoreNumbers {
                free: Bytes::new(900 * GIB),
                ..StoreNumbers::default()
            },
            share: PhoneShare {
                used: backups.used,
                quota: Some(Bytes::new(quota * GIB)),
            },
            promised: Bytes::ZERO,
            estimate: estimate(&backups, None, false).unwrap(),
        };
        assert_eq!(room.fits(), want, "{quota} with {staged}");
    }
}

#[test]
fn estimates() {
    let of = |committed: Vec<BackupFacts>, staged, used: Option<u64>, full| {
        let backups = PhoneBackups {
            committed,
            staged: Bytes::new(staged),
            used: Bytes::ZERO,
        };
        estimate(&backups, used.map(Bytes::new), full)
            .map(|it| (it.needed.get() - MARGIN.get(), it.basis))
    };
    assert_eq!(of(vec![], 0, None, false), None);
    assert_eq!(of(vec![], 0, None, true), None);
    assert_eq!(
        of(vec![], 0, Some(9 * GIB), false),
        Some((9 * GIB, Basis::DataUsed))
    );
    assert_eq!(
        of(vec![], 5 * GIB, Some(9 * GIB), false),
        Some((4 * GIB, Basis::DataUsed))
    );
    assert_eq!(
        of(vec![], 10 * GIB, Some(9 * GIB), false),
        Some((0, Basis::DataUsed))
    );
    let one = vec![backup(1, 20 * GIB, 20 * GIB)];
    assert_eq!(
        of(one.clone(), 0, None, false),
        Some((2 * GIB, Basis::EarlierBackups))
    );
    assert_eq!(
        of(one.clone(), 0, None, true),
        Some((20 * GIB, Basis::Full))
    );
    assert_eq!(
        of(one, 0, Some(30 * GIB), true),
        Some((30 * GIB, Basis::Full))
    );
    let grown = vec![backup(2, 26 * GIB, GIB), backup(1, 20 * GIB, 20 * GIB)];
    assert_eq!(
        of(grown, 0, None, false),
        Some((6 * GIB, Basis::EarlierBackups))
    );
    let busy = vec![
        backup(3, 20 * GIB, GIB),
        backup(2, 20 * GIB, 5 * GIB),
        backup(1, 20 * GIB, 20 * GIB),
    ];
    assert_eq!(
        of(busy, 0, None, false),
        Some((5 * GIB, Basis::EarlierBackups))
    );
    // What a damaged newest added comes again; with no good one at all nobody knows how much.
    let mut damaged = vec![
        backup(3, 20 * GIB, 4 * GIB),
        backup(2, 20 * GIB, 3 * GIB),
        backup(1, 20 * GIB, 20 * GIB),
    ];
    damaged[0].verified = false;
    assert_eq!(
        of(damaged.clone(), 0, None, false),
        Some((8 * GIB, Basis::EarlierBackups))
    );
    damaged[1].verified = false;
    assert_eq!(
        of(damaged.clone(), GIB, None, false),
        Some((10 * GIB, Basis::EarlierBackups))
    );
    damaged[2].verified = false;
    assert_eq!(
        of(damaged, 0, None, false),
        Some((4 * GIB, Basis::EarlierBackups))
    );
}
