//! The power is cut after every operation, and of what was not synced by then every kind of
//! subset persists.
//!
//! Each scenario runs once; the cuts are made in its journal. `RUN_SLOW_TESTS=1` takes as many
//! seeds as it needs for more than a million states of the disk, all of them different.

use crate::fault::Fault;
use crate::fs::disk::Disk;
use crate::fs::journal::{Journal, Moment, Op};
use crate::fs::{Rules, SimFs};
use crate::oracle::*;
use std::collections::{BTreeMap, HashSet};

/// What kind of subset persists of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    None,
    All,
    /// As where a journal commits in order.
    Prefix,
    /// Names and sizes without bytes: zeroes, or what lay there before.
    NamesAndSizes,
    /// Names alone: empty files.
    Names,
    /// Bytes without names.
    Bytes,
    /// Each name on its own, all bytes.
    SomeNames,
    /// All names, each block and each size on its own.
    SomeBytes,
    /// Each on its own, half, few or most of them.
    Some,
    Few,
    Most,
    AllBut,
    Only,
}

/// Seeds for each kind at each cut: usually, and for more than a million states.
const SEEDS: (u64, u64) = (1, 400);

const SURE: [Class; 5] = [
    Class::None,
    Class::All,
    Class::NamesAndSizes,
    Class::Names,
    Class::Bytes,
];
const SEEDED: [Class; 8] = [
    Class::Prefix,
    Class::SomeNames,
    Class::SomeBytes,
    Class::Some,
    Class::Few,
    Class::Most,
    Class::AllBut,
    Class::Only,
];

/// Numbers that look random and are not (splitmix64).
struct Seed(u64);

impl Seed {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % below
    }
}

impl Class {
    fn crash(self, moment: &Moment<'_>, seed: &mut Seed) -> Disk {
        let pending = moment.pending.len() as u64;
        let chosen = seed.next(pending.max(1)) as usize;
        let fill = [0, 0xdb][seed.next(2) as usize];
        moment.crash(fill, |place, op: &Op| match self {
            Self::None => false,
            Self::All => true,
            Self::Prefix => place < chosen,
            Self::NamesAndSizes => !op.is_write(),
            Self::Names => op.is_name(),
            Self::Bytes => !op.is_name(),
            Self::SomeNames => !op.is_name() || seed.next(2) == 0,
            Self::SomeBytes => op.is_name() || seed.next(2) == 0,
            Self::Some => seed.next(2) == 0,
            Self::Few => seed.next(8) == 0,
            Self::Most => seed.next(8) != 0,
            Self::AllBut => place != chosen,
            Self::Only => place == chosen,
        })
    }
}

/// What cutting everywhere came to.
#[derive(Debug, Default)]
pub struct Cuts {
    pub states: u64,
    pub checks: u64,
    /// What went wrong, and the first time it did.
    pub wrong: BTreeMap<&'static str, String>,
}

/// Cuts the power everywhere in a scenario.
pub fn cut_everywhere(
    scenario: SimScenario,
    rules: Rules,
    honest: impl FnOnce(&mut Faulty),
    seeds: u64,
) -> Cuts {
    let (base, before) = stage(&scenario, rules);
    let (journal, told) = recorded(scenario, (base, &before), rules, honest);
    cut(scenario, (&journal, &told), rules, seeds)
}

/// Runs a scenario once and notes everything.
fn recorded(
    scenario: SimScenario,
    (base, before): (Disk, &Told),
    rules: Rules,
    honest: impl FnOnce(&mut Faulty),
) -> (Journal, Told) {
    let sim = SimFs::new(base, rules);
    sim.record();
    let mut fs = Faulty::on(sim.clone(), Fault::None, 0);
    honest(&mut fs);
    let mut told = Told::after(before, looking(&sim));
    (scenario.run)(path(), &fs, &mut told).unwrap();
    (sim.journal(), told)
}

fn cut(
    scenario: SimScenario,
    (journal, told): (&Journal, &Told),
    rules: Rules,
    seeds: u64,
) -> Cuts {
    let expected = Expected::new(told);
    let mut cuts = Cuts::default();
    let mut states = HashSet::new();
    let mut checked = HashSet::new();
    let mut moment = Moment::first(journal);
    loop {
        let due = expected.due(moment.at);
        let seeded = (0..seeds).flat_map(|seed| SEEDED.map(|class| (class, seed)));
        for (class, number) in SURE.map(|class| (class, 0)).into_iter().chain(seeded) {
            let mut seed = Seed((moment.at as u64) << 32 | number);
            let mut disk = class.crash(&moment, &mut seed);
            let state = disk.collect();
            states.insert(state);
            if !checked.insert((state, due)) {
                continue;
            }
            if let Err(error) = expected.check(disk, moment.at, rules) {
                let (at, name, pending) = (moment.at, scenario.name, &moment.pending);
                cuts.wrong.entry(error.what).or_insert_with(|| {
                    let detail = error.detail;
                    format!(
                        "{name}, cut at {at}, seed {number}, {class:?} of {pending:?}: {detail}"
                    )
                });
            }
        }
        if !moment.advance() {
            break;
        }
    }
    cuts.states = states.len() as u64;
    cuts.checks = checked.len() as u64;
    cuts
}

/// Cuts the power in a scenario, and again everywhere in what is done after it.
fn cut_twice(scenario: SimScenario, rules: Rules, every: usize, seeds: u64) -> Cuts {
    let (base, before) = stage(&scenario, rules);
    let (journal, told) = recorded(scenario, (base, &before), rules, |_| {});
    let mut all = Cuts::default();
    let mut moment = Moment::first(&journal);
    loop {
        if moment.at.is_multiple_of(every) {
            for class in [Class::None, Class::All, Class::Some] {
                let disk = class.crash(&moment, &mut Seed(moment.at as u64));
                let first = told.as_of(moment.at);
                let again = recorded(SimScenario::REOPENED, (disk, &first), rules, |_| {});
                let cuts = cut(SimScenario::REOPENED, (&again.0, &again.1), rules, seeds);
                all.states += cuts.states;
                all.checks += cuts.checks;
                all.wrong.extend(cuts.wrong);
            }
        }
        if !moment.advance() {
            return all;
        }
    }
}

fn all_hold(scenario: SimScenario, rules: Rules, seeds: (u64, u64)) {
    let seeds = if is_slow() { seeds.1 } else { seeds.0 };
    assert_none(scenario.name, || {
        cut_everywhere(scenario, rules, |_| {}, seeds)
    });
}

fn assert_none(name: &str, cut: impl FnOnce() -> Cuts) {
    let started = std::time::Instant::now();
    let cuts = cut();
    let rate = cuts.checks as f64 / started.elapsed().as_secs_f64();
    let Cuts { states, checks, .. } = cuts;
    eprintln!("{name}: {states} states, {checks} checks, {rate:.0}/s");
    assert!(cuts.wrong.is_empty(), "{:#?}", cuts.wrong);
    assert!(states > 20, "{name}: {states} states");
}

/// The power goes again while the store is being put right.
#[test]
fn a_second_cut() {
    let (every, seeds) = if is_slow() { (3, 2) } else { (97, 1) };
    for scenario in [SimScenario::INCREMENTAL, SimScenario::RETENTION] {
        assert_none("a second cut", || {
            cut_twice(scenario, Rules::USUAL, every, seeds)
        });
    }
}

#[test]
fn a_full_backup() {
    all_hold(SimScenario::FULL, Rules::USUAL, SEEDS);
}

#[test]
fn an_incremental_backup() {
    all_hold(SimScenario::INCREMENTAL, Rules::USUAL, SEEDS);
}

#[test]
fn a_resumed_backup() {
    all_hold(SimScenario::RESUMED, Rules::USUAL, SEEDS);
}

#[test]
fn a_recovery() {
    all_hold(SimScenario::RECOVERY, Rules::USUAL, SEEDS);
}

#[test]
fn a_rekeyed_working_copy() {
    all_hold(SimScenario::REKEYED, Rules::USUAL, SEEDS);
}

#[test]
fn a_retention_run() {
    all_hold(SimScenario::RETENTION, Rules::USUAL, SEEDS);
}

#[test]
fn room_made_for_a_backup() {
    all_hold(SimScenario::MADE_ROOM, Rules::USUAL, SEEDS);
}

/// Files that have all the names a file system gives are copied, not linked.
#[test]
fn a_backup_of_files_with_all_their_names() {
    let rules = Rules {
        names_max: 2,
        ..Rules::USUAL
    };
    all_hold(SimScenario::THIRD, rules, SEEDS);
}

#[test]
fn a_forgotten_phone() {
    all_hold(SimScenario::FORGOTTEN, Rules::USUAL, SEEDS);
}

#[test]
fn an_adopted_backup() {
    all_hold(SimScenario::ADOPTED, Rules::USUAL, SEEDS);
}

#[test]
fn a_copied_store() {
    all_hold(SimScenario::COPIED, Rules::USUAL, SEEDS);
}

#[test]
fn a_scrub() {
    all_hold(SimScenario::SCRUBBED, Rules::USUAL, SEEDS);
}

#[test]
fn a_served_backup() {
    all_hold(SimScenario::SERVED, Rules::USUAL, SEEDS);
}

/// Where `syncfs` is not known to suffice, each file and directory is synced (I6).
#[test]
fn a_backup_where_each_file_is_synced() {
    for scenario in [
        SimScenario::FULL,
        SimScenario::INCREMENTAL,
        SimScenario::RESUMED,
    ] {
        all_hold(scenario, UNTRUSTED, SEEDS);
    }
}

const UNTRUSTED: Rules = Rules {
    trusts_sync_fs: false,
    ..Rules::USUAL
};
