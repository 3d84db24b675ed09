//! The cuts find what they are made to find: a store that leaves out a part of the barrier loses
//! backups that it announced, and they see it.

use crate::crash::{Cuts, cut_everywhere};
use crate::fs::Rules;
use crate::oracle::{Faulty, SimScenario};

const UNTRUSTED: Rules = Rules {
    trusts_sync_fs: false,
    ..Rules::USUAL
};

fn cut(rules: Rules, lies: impl FnOnce(&mut Faulty)) -> Cuts {
    cut_everywhere(SimScenario::INCREMENTAL, rules, lies, 1)
}

#[track_caller]
fn assert_found(cuts: &Cuts, wanted: &[&str]) {
    for what in wanted {
        assert!(cuts.wrong.contains_key(what), "{:?}", cuts.wrong.keys());
    }
}

#[test]
fn without_syncfs_announced_backups_are_lost() {
    let cuts = cut(Rules::USUAL, |fs| fs.syncs_all = false);
    // What the rename made visible has not arrived.
    assert_found(&cuts, &["changed"]);
}

#[test]
fn without_syncing_the_directories_announced_backups_are_lost() {
    let cuts = cut(Rules::USUAL, |fs| fs.syncs_each = false);
    assert_found(&cuts, &["announced, and gone"]);
}

#[test]
fn without_syncing_each_file_where_that_is_needed_announced_backups_are_lost() {
    let cuts = cut(UNTRUSTED, |fs| fs.syncs_each = false);
    assert_found(&cuts, &["announced, and gone"]);
}

/// The store takes the word of a file system whose syncfs writes nothing.
#[test]
fn where_syncfs_is_trusted_and_does_nothing_announced_backups_are_lost() {
    let cuts = cut(Rules::USUAL, |fs| {
        (fs.syncs_all, fs.syncs_each) = (false, false)
    });
    assert_found(&cuts, &["announced, and gone"]);
}
