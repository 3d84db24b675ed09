//! No earlier backup is lost, and what arrived is gone on with: the connection cut at many places.
//! The daemon killed at many places is `store::kills`.

use std::path::{Path, PathBuf};

use ibak_core::Udid;
use ibak_mobilebackup2::Outcome;
use ibak_sim::IosVersion;
use ibak_sim::backup::Quirk;
use ibak_sim::content::ContentSpec;
use ibak_store::Store;
use ibak_tests::headless::{Came, PhoneAlone, Wish, back_up, directory, open_store};
use ibak_tests::trouble::{ensure_equal, fingerprint};
use ibakd::clock::Clock;

/// Places at which a connection is cut, spread over the whole conversation.
const CUTS: u64 = 12;

fn alone(seed: u64) -> PhoneAlone {
    let spec = ContentSpec {
        seed,
        files: 160,
        bytes: 2 << 20,
        apps: 2,
        largest_file: Some(600 << 10),
    };
    // What is gone on with are whole batches.
    let quirks = [Quirk::SmallBatches].into_iter().collect();
    PhoneAlone::new(IosVersion::new(15, 6, 0), &spec, quirks)
}

/// A phone, a store, and what lies in it.
struct Bench {
    phone: PhoneAlone,
    store: Store,
    clock: Clock,
    directory: tempfile::TempDir,
}

impl Bench {
    fn new(seed: u64) -> Self {
        let directory = directory().unwrap();
        let clock = Clock::system();
        Self {
            phone: alone(seed),
            store: open_store(directory.path(), &clock).unwrap(),
            clock,
            directory,
        }
    }

    async fn run(&self, cut_after: Option<u64>) -> Came {
        let wish = Wish {
            cut_after,
            ..Wish::default()
        };
        back_up(&self.phone, &self.store, &self.clock, wish)
            .await
            .unwrap()
    }

    /// Runs to the end and returns the backup's tree.
    async fn commit(&self) -> (Came, PathBuf) {
        let mut came = self.run(None).await;
        assert_eq!(came.outcome, Outcome::Finished, "{:?}", came.phone);
        let made = came.committed.take().unwrap().unwrap();
        let wire = self.phone.wire_udid();
        let generations = self.directory.path().join(wire).join("gens");
        (came, generations.join(made.id.as_str()).join(wire))
    }

    fn committed(&self) -> usize {
        let udid = Udid::parse(self.phone.wire_udid()).unwrap();
        self.store.list(&udid).unwrap().len()
    }
}

/// Returns how many bytes a phone sends in a full backup and in the incremental one after it.
async fn lengths(seed: u64) -> (u64, u64) {
    let bench = Bench::new(seed);
    let (full, _) = bench.commit().await;
    bench.phone.change(60, 20, 10);
    let (incremental, _) = bench.commit().await;
    (full.sent, incremental.sent)
}

#[tokio::test]
async fn a_full_backup_cut_anywhere_is_gone_on_with_and_equal() {
    let (full, _) = lengths(31).await;
    let mut went_on = 0;
    for at in [1, 200]
        .into_iter()
        .chain((1..CUTS).map(|n| full * n / CUTS))
    {
        let bench = Bench::new(31);
        let cut = bench.run(Some(at)).await;
        assert!(
            matches!(cut.outcome, Outcome::Disconnected { .. }),
            "{at}: {:?}",
            cut.outcome
        );
        assert_eq!(bench.committed(), 0, "{at}");
        let (again, tree) = bench.commit().await;
        ensure_equal(&tree, &bench.phone.tree()).unwrap();
        let resumed = again.phone.unwrap().resumed_files;
        assert!(resumed == 0 || again.resumed, "{at}");
        went_on += usize::from(resumed > 0);
    }
    // The first cuts are before any file; most others are after some.
    assert!(went_on >= CUTS as usize / 2, "{went_on}");
}

#[tokio::test]
async fn an_incremental_backup_cut_anywhere_leaves_the_earlier_one_as_it_was() {
    let (_, incremental) = lengths(32).await;
    let mut went_on = 0;
    for n in 1..CUTS {
        let bench = Bench::new(32);
        let (_, first) = bench.commit().await;
        let before = fingerprint(first.parent().unwrap()).unwrap();
        bench.phone.change(60, 20, 10);
        let cut = bench.run(Some(incremental * n / CUTS)).await;
        assert!(
            matches!(cut.outcome, Outcome::Disconnected { .. }),
            "{n}: {:?}",
            cut.outcome
        );
        assert_eq!(bench.committed(), 1, "{n}");
        let (again, second) = bench.commit().await;
        ensure_equal(&second, &bench.phone.tree()).unwrap();
        assert_eq!(fingerprint(first.parent().unwrap()).unwrap(), before, "{n}");
        went_on += usize::from(again.phone.unwrap().resumed_files > 0);
    }
    assert!(went_on >= CUTS as usize / 3, "{went_on}");
}

#[tokio::test]
async fn a_backup_cut_again_and_again_gets_there_in_pieces() {
    let (full, _) = lengths(33).await;
    let bench = Bench::new(33);
    let mut resumed = 0;
    for _ in 0..4 {
        let cut = bench.run(Some(full / 3)).await;
        if cut.outcome == Outcome::Finished {
            break;
        }
        assert!(
            matches!(cut.outcome, Outcome::Disconnected { .. }),
            "{:?}",
            cut.outcome
        );
        resumed += u64::from(cut.resumed);
    }
    assert!(resumed >= 2, "{resumed}");
    let (_, tree) = bench.commit().await;
    ensure_equal(&tree, &bench.phone.tree()).unwrap();
}

/// A fingerprint that could not see a change would prove nothing above.
#[test]
fn a_fingerprint_sees_a_changed_byte_a_new_name_and_another_mode() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let file: &Path = &directory.path().join("a");
    std::fs::write(file, "one").unwrap();
    let mut seen = vec![fingerprint(directory.path()).unwrap()];
    std::fs::write(file, "two").unwrap();
    seen.push(fingerprint(directory.path()).unwrap());
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o400)).unwrap();
    seen.push(fingerprint(directory.path()).unwrap());
    std::fs::hard_link(file, directory.path().join("b")).unwrap();
    seen.push(fingerprint(directory.path()).unwrap());
    seen.dedup();
    assert_eq!(seen.len(), 4);
    assert_eq!(fingerprint(directory.path()).unwrap(), seen[3]);
}
