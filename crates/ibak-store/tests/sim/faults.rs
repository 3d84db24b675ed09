//! In the spirit of SQLite's loops: operation N fails once, or from then on, for every N.
//!
//! Every write is short, too. After each run the store has to be right for the process that
//! goes on, and again after a power cut at that moment: what a failed sync should have written
//! is lost then, and nothing may have been built on it. `RUN_SLOW_TESTS=1` takes every N.

use crate::fault::Fault;
use crate::fs::{Rules, SimFs};
use crate::oracle::*;
use crate::scenarios::assert_kind;
use ibak_store::fs::Errno;

const FAULTS: [Fault; 13] = [
    Fault::Once(Errno::IO),
    Fault::From(Errno::IO),
    Fault::Once(Errno::NOSPC),
    Fault::From(Errno::NOSPC),
    Fault::Unchanging(Errno::NOSPC),
    Fault::Once(Errno::DQUOT),
    Fault::From(Errno::DQUOT),
    Fault::Unchanging(Errno::DQUOT),
    Fault::Once(Errno::ROFS),
    Fault::From(Errno::ROFS),
    Fault::Unchanging(Errno::ROFS),
    Fault::Once(Errno::MFILE),
    Fault::From(Errno::MFILE),
];

fn stride() -> usize {
    if is_slow() { 1 } else { 5 }
}

fn run_loop(scenario: SimScenario) {
    run_loop_by(scenario, Rules::USUAL);
}

fn run_loop_by(scenario: SimScenario, rules: Rules) {
    let started = std::time::Instant::now();
    let (base, before) = stage(&scenario, rules);
    let attempt = |fault, at| {
        let sim = SimFs::new(base.clone(), rules);
        sim.record();
        let fs = Faulty::on(sim.clone(), fault, at);
        let mut told = Told::after(&before, looking(&sim));
        let outcome = (scenario.run)(path(), &fs, &mut told);
        let checked = |what: &str| {
            let expected = Expected::new(&told);
            let killed = expected.check(sim.disk(), usize::MAX, rules);
            killed.unwrap_or_else(|error| panic!("{what}: {error:?}"));
            let cut = expected.check(sim.durable(), usize::MAX, rules);
            cut.unwrap_or_else(|error| panic!("{what}, and a power cut: {error:?}"));
        };
        let name = scenario.name;
        let what = format!("{name}, {fault:?} at {at}");
        if let (Err(error), Fault::Once(errno) | Fault::From(errno) | Fault::Unchanging(errno)) =
            (&outcome, fault)
        {
            assert_kind(error, errno, &what);
        }
        checked(&what);
        (fs.operations(), outcome)
    };
    let (clean, outcome) = attempt(Fault::None, 0);
    outcome.unwrap();
    assert!(clean > 30, "{}: {clean} operations", scenario.name);
    let mut runs = 0;
    for (offset, fault) in FAULTS.into_iter().enumerate() {
        for at in (0..clean).skip(offset % stride()).step_by(stride()) {
            attempt(fault, at).1.err();
            runs += 1;
        }
    }
    let took = started.elapsed();
    eprintln!(
        "{}: {clean} operations, {runs} runs in {took:.1?}",
        scenario.name
    );
}

#[test]
fn a_full_backup() {
    run_loop(SimScenario::FULL);
}

#[test]
fn an_incremental_backup() {
    run_loop(SimScenario::INCREMENTAL);
}

#[test]
fn a_resumed_backup() {
    run_loop(SimScenario::RESUMED);
}

#[test]
fn a_recovery() {
    run_loop(SimScenario::RECOVERY);
}

#[test]
fn a_rekeyed_working_copy() {
    run_loop(SimScenario::REKEYED);
}

#[test]
fn a_served_backup() {
    run_loop(SimScenario::SERVED);
}

#[test]
fn a_retention_run() {
    run_loop(SimScenario::RETENTION);
}

#[test]
fn room_made_for_a_backup() {
    run_loop(SimScenario::MADE_ROOM);
}

#[test]
fn a_backup_where_each_file_is_synced() {
    let rules = Rules {
        trusts_sync_fs: false,
        ..Rules::USUAL
    };
    run_loop_by(SimScenario::INCREMENTAL, rules);
}

#[test]
fn a_forgotten_phone() {
    run_loop(SimScenario::FORGOTTEN);
}

#[test]
fn an_adopted_backup() {
    run_loop(SimScenario::ADOPTED);
}

#[test]
fn a_copied_store() {
    run_loop(SimScenario::COPIED);
}

#[test]
fn a_scrub() {
    run_loop(SimScenario::SCRUBBED);
}
