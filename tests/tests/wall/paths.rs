//! Paths that are not the phone's, in every message that has one, to the real daemon, in a backup
//! and in a restore. Whether something was read or written is asked of the kernel, not of the daemon.

use crate::fence::Event;
use crate::siege::Siege;
use ibak_core::BackupPath;
use ibak_dbus::words::Outcome;
use ibak_sim::hostile::{Attack, FOREIGN_UDID, PathUse, Spelling};
use ibak_tests::trouble::{fingerprint, say};
use std::fs;
use std::path::PathBuf;

/// In so many of the nine messages each spelling is tried; in all of them with the slow tests.
const USES_EACH: usize = 4;

#[derive(Clone, Copy, Debug)]
enum Deed {
    Backup,
    Restore,
}

fn attacks() -> Vec<(PathUse, Spelling)> {
    let uses = PathUse::ALL;
    let each = if ibak_tests::slow() {
        uses.len()
    } else {
        USES_EACH
    };
    Spelling::all()
        .enumerate()
        .flat_map(|(number, spelling)| {
            (0..each).map(move |turn| (uses[(number + turn * 4) % uses.len()], spelling))
        })
        .collect()
}

async fn no_path_leads_out(deed: Deed, seed: u64) {
    let mut siege = Siege::lay(seed).await;
    let mut fence = siege.fence();
    let committed = committed(&siege);
    let attacks = attacks();
    let mut refused = 0;
    for (usage, spelling) in &attacks {
        let path = spelling.write(siege.udid.as_str());
        let attack = Attack::Path(*usage, *spelling);
        let before = siege.phone.loot();
        siege.attack(Some(attack)).await;
        let job = match deed {
            Deed::Backup => siege.ask_backup().await,
            Deed::Restore => siege.ask_restore().await,
        };
        let end = siege.watcher.end_of(job).await.unwrap();
        let what = format!("{deed:?} {attack} {path:?}");
        let after = siege.phone.loot();
        if BackupPath::parse(&path, &siege.udid).is_err() {
            assert_eq!(end, Outcome::Protocol, "{what}");
            assert_eq!(after, before, "{what}");
            refused += 1;
        }
        let crossed: Vec<Event> = fence
            .take()
            .into_iter()
            .filter(|event| !is_the_way(event, &siege))
            .collect();
        assert!(crossed.is_empty(), "{what}: {crossed:#?}");
    }
    fence.assert_untouched();
    for (backup, print) in committed {
        // Where a path was the phone's own after all, there may be one more.
        assert_eq!(fingerprint(&backup).unwrap(), print, "{backup:?}");
    }
    assert!(refused >= 200, "{refused}");
    siege.honest_again().await;
    say(&format!(
        "paths in a {deed:?}: {} sent, {refused} of them refused, nothing outside was touched",
        attacks.len()
    ));
}

/// Prints every backup that is there.
fn committed(siege: &Siege) -> Vec<(PathBuf, String)> {
    let entries = fs::read_dir(siege.generations()).unwrap();
    let all: Vec<(PathBuf, String)> = entries
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fingerprint(&path).unwrap()))
        .collect();
    assert!(!all.is_empty());
    all
}

/// What a phone's directory takes, as the store has counted it; and the same on its way.
const SUM: &str = "usage.json";
const SUM_TMP: &str = "usage.json.tmp";

/// The directories that lead to the store are opened by their names, and the store looks for
/// itself which phones and which backups it has, and counts what each directory takes; it opens no
/// file of theirs, and writes one number beside them.
fn is_the_way(event: &Event, siege: &Siege) -> bool {
    let (path, foreign) = (
        siege.root().join(&event.path),
        siege.store().join(FOREIGN_UDID),
    );
    let is_counted = path.starts_with(&foreign) || path == siege.store().join("trash");
    let is_the_sum = event.path.ends_with(SUM) || event.path.ends_with(SUM_TMP);
    is_the_sum
        || event.only_looks_at_a_directory() && (is_counted || siege.store().starts_with(path))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_path_of_a_backup_leads_out_of_the_phones_folder() {
    no_path_leads_out(Deed::Backup, 301).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_path_of_a_restore_leads_out_of_the_phones_folder() {
    no_path_leads_out(Deed::Restore, 302).await;
}
