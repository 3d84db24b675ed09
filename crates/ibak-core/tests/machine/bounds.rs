//! The bounds of policies, and the words of everything.

use crate::decide::room;
use crate::house::{DAY, HOUR};
use ibak_core::*;
use std::time::Duration;

#[test]
fn policies_have_bounds() {
    assert_eq!(Policies::default().check(), Ok(()));
    let bad = |change: fn(&mut Policy)| {
        let mut policy = Policy::default();
        change(&mut policy);
        policy.check().is_err()
    };
    assert!(bad(|it| it.interval = Duration::ZERO));
    assert!(bad(|it| it.settle = 2 * HOUR));
    assert!(bad(|it| it.battery_min = Some(101)));
    assert!(bad(|it| it.battery_min = Some(0)));
    assert!(bad(|it| it.backoff.max = 8 * DAY));
    assert!(bad(|it| it.on_loss.power = OnLoss::Grace(2 * DAY)));
    assert!(bad(|it| it.hold_until_locked_max = 2 * HOUR));
    assert!(
        Policies {
            parallel_max: 0,
            ..Policies::default()
        }
        .check()
        .is_err()
    );
    assert!(
        Policies {
            parallel_max: 65,
            ..Policies::default()
        }
        .check()
        .is_err()
    );
}

#[test]
fn every_word_is_kebab_case_and_no_two_reasons_share_one() {
    let troubles = [
        StoreTrouble::Missing,
        StoreTrouble::OnRoot,
        StoreTrouble::ReadOnly,
        StoreTrouble::NoRights,
        StoreTrouble::Unsupported,
        StoreTrouble::Locked,
        StoreTrouble::Damaged,
        StoreTrouble::Failing,
    ];
    let unknown = [
        Unknown::NotReachable,
        Unknown::NotRead,
        Unknown::NotTold,
        Unknown::Stale,
        Unknown::NoPasscode,
        Unknown::SizeNotKnown,
        Unknown::StoreNotRead,
    ];
    let met = [
        Met::ExternalPower,
        Met::OnNetwork,
        Met::ByCable,
        Met::ScreenLocked,
        Met::LockSeen,
    ];
    let mut reasons: Vec<&str> = vec![
        Verdict::Met(Met::Room(room(9))).word(),
        Verdict::Unmet(Unmet::OnBattery).word(),
        Verdict::Unmet(Unmet::NotOnNetwork).word(),
        Verdict::Unmet(Unmet::Unlocked {
            lock_ever_seen: true,
        })
        .word(),
        Verdict::Unmet(Unmet::NoRoom(room(9))).word(),
    ];
    reasons.extend(troubles.map(|it| Verdict::Unmet(Unmet::Store(it)).word()));
    reasons.extend(unknown.map(|it| Verdict::Unknown(it).word()));
    reasons.extend(met.map(|it| Verdict::Met(it).word()));
    let phases = Phase::ALL.map(Phase::word).to_vec();
    let states = PhoneState::ALL.map(PhoneState::word).to_vec();
    for words in [reasons, phases, states] {
        let unique: std::collections::BTreeSet<&str> = words.iter().copied().collect();
        assert_eq!(unique.len(), words.len(), "{words:?}");
        let part = |it: &str| !it.is_empty() && it.bytes().all(|b| b.is_ascii_lowercase());
        assert!(words.iter().all(|it| it.split('-').all(part)), "{words:?}");
    }
}
