//! The conversation against every guess about real phones: each switch of the simulator alone,
//! all pairs, all together, and many mixtures. Each backup, full and incremental, ends in a commit
//! whose content equals the phone's, or in a refusal with its reason.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ibak_mobilebackup2::{DeviceError, Outcome, Release};
use ibak_sim::IosVersion;
use ibak_sim::backup::{Quirk, Quirks};
use ibak_sim::content::ContentSpec;
use ibak_tests::headless::{PhoneAlone, Wish, back_up, directory, open_store};
use ibak_tests::trouble::{Dice, ensure_equal, say};
use ibakd::clock::Clock;

/// Mixtures beyond the singles, the pairs and the whole; so many with `RUN_SLOW_TESTS=1`.
const MIXTURES_SLOW: usize = 512;
/// Mixtures otherwise.
const MIXTURES: usize = 48;
/// The seed of the mixtures.
const SEED: u64 = 0x1bac_0002;
/// Switches of lockdown and of the screen, which the conversation never sees.
const ELSEWHERE: [Quirk; 3] = [
    Quirk::SilentLock,
    Quirk::NoCloudBackupKeys,
    Quirk::PromptHidden,
];

fn phone(quirks: impl IntoIterator<Item = Quirk>) -> PhoneAlone {
    let spec = ContentSpec {
        seed: 5,
        files: 24,
        bytes: 300 << 10,
        apps: 1,
        largest_file: None,
    };
    PhoneAlone::new(
        IosVersion::new(15, 6, 0),
        &spec,
        quirks.into_iter().collect(),
    )
}

/// Returns each set of switches once, the small ones first.
fn combinations() -> Vec<BTreeSet<Quirk>> {
    let known: Vec<Quirk> = Quirk::ALL
        .iter()
        .copied()
        .filter(|quirk| !ELSEWHERE.contains(quirk))
        .collect();
    let mut all = vec![BTreeSet::new(), known.iter().copied().collect()];
    for (at, &one) in known.iter().enumerate() {
        all.push(BTreeSet::from([one]));
        all.extend(
            known
                .iter()
                .skip(at + 1)
                .map(|&two| BTreeSet::from([one, two])),
        );
    }
    let mixtures = if ibak_tests::slow() {
        MIXTURES_SLOW
    } else {
        MIXTURES
    };
    let mut dice = Dice::new(SEED);
    while all.len() < 2 + known.len() * (known.len() + 1) / 2 + mixtures {
        let bits = dice.roll();
        let mixture: BTreeSet<Quirk> = known
            .iter()
            .enumerate()
            .filter(|(at, _)| bits >> at & 1 == 1)
            .map(|(_, &quirk)| quirk)
            .collect();
        if !all.contains(&mixture) {
            all.push(mixture);
        }
    }
    all
}

/// A full backup, a change, an incremental one, and, where the phone would ask for room in another
/// way, one for which there is none.
async fn backups(quirks: &BTreeSet<Quirk>, directory: &Path) {
    let phone = phone(quirks.iter().copied());
    let clock = Clock::system();
    let store = open_store(directory, &clock).unwrap();
    let tree = |id: &ibak_core::BackupId| {
        directory
            .join(phone.wire_udid())
            .join("gens")
            .join(id.as_str())
            .join(phone.wire_udid())
    };
    for incremental in [false, true] {
        if incremental {
            phone.change(5, 3, 4);
        }
        let came = back_up(&phone, &store, &clock, Wish::default())
            .await
            .unwrap();
        assert_eq!(
            came.outcome,
            Outcome::Finished,
            "{quirks:?}: {:?}",
            came.phone
        );
        let made = came.committed.unwrap();
        let made = made.unwrap_or_else(|error| panic!("{quirks:?}: {error}"));
        assert_eq!(made.full, !incremental, "{quirks:?}");
        ensure_equal(&tree(&made.id), &phone.tree())
            .unwrap_or_else(|error| panic!("{quirks:?}, incremental {incremental}: {error:#}"));
        let end = came.phone.unwrap();
        assert_eq!(
            (end.full, end.large_frames),
            (!incremental, 0),
            "{quirks:?}"
        );
    }
    if ![Quirk::PurgeExact, Quirk::PurgeHuge]
        .iter()
        .any(|quirk| quirks.contains(quirk))
    {
        return;
    }
    phone.change(5, 3, 4);
    let udid = ibak_core::Udid::parse(phone.wire_udid()).unwrap();
    let wish = Wish {
        quota: Some(store.used(&udid).unwrap() + (1 << 20)),
        ..Wish::default()
    };
    let came = back_up(&phone, &store, &clock, wish).await.unwrap();
    assert!(
        matches!(
            &came.outcome,
            Outcome::Refused {
                error: DeviceError::NoSpace,
                ..
            }
        ),
        "{quirks:?}: {:?}",
        came.outcome
    );
    assert_eq!(store.list(&udid).unwrap().len(), 2, "{quirks:?}");
}

#[test]
fn every_combination_ends_in_an_equal_backup_or_a_reasoned_refusal() {
    let begun = Instant::now();
    let combinations = combinations();
    let (next, workers) = (
        AtomicUsize::new(0),
        std::thread::available_parallelism().unwrap(),
    );
    std::thread::scope(|scope| {
        for _ in 0..workers.get() {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                while let Some(quirks) = combinations.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let place = directory().unwrap();
                    runtime.block_on(backups(quirks, place.path()));
                }
            });
        }
    });
    say(&format!(
        "quirks: {} combinations of {} switches, two or three backups each, in {:.1} s",
        combinations.len(),
        Quirk::ALL.len() - ELSEWHERE.len(),
        begun.elapsed().as_secs_f64()
    ));
}

/// Holding the first reply (phone.md §1) until an impatient phone leaves is a typed end, and the
/// next backup works.
#[tokio::test]
async fn an_impatient_phone_that_is_held_leaves_and_comes_back() {
    if !ibak_tests::slow() {
        return ibak_tests::skipped("it takes the minute that the phone waits (RUN_SLOW_TESTS=1)");
    }
    let place = directory().unwrap();
    let clock = Clock::system();
    let store = open_store(place.path(), &clock).unwrap();
    let phone = phone([Quirk::Impatient]);
    let wish = Wish {
        hold: Some(Box::pin(async {
            tokio::time::sleep(Duration::from_secs(61)).await;
            Release::Run
        })),
        ..Wish::default()
    };
    let held = back_up(&phone, &store, &clock, wish).await.unwrap();
    assert!(
        matches!(held.outcome, Outcome::Disconnected { .. }),
        "{:?}",
        held.outcome
    );
    let again = back_up(&phone, &store, &clock, Wish::default())
        .await
        .unwrap();
    assert_eq!(again.outcome, Outcome::Finished);
    assert!(again.committed.unwrap().is_ok());
}

/// A switch that is not tried above would be forgotten silently.
#[test]
fn every_switch_is_tried_or_named_as_foreign() {
    let tried: BTreeSet<Quirk> = combinations().into_iter().flatten().collect();
    let foreign: BTreeSet<Quirk> = ELSEWHERE.into_iter().collect();
    let all: BTreeSet<Quirk> = Quirk::ALL.iter().copied().collect();
    assert_eq!(tried.union(&foreign).copied().collect::<BTreeSet<_>>(), all);
    assert_eq!(Quirks::all_names().count(), all.len());
}
