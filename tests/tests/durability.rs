//! No earlier backup is lost, and what arrived is gone on with: the connection cut at many places,
//! the daemon killed in the middle.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ibak_core::{BackupId, JobId, Udid};
use ibak_dbus::views::JobView;
use ibak_dbus::words::{Outcome as Word, Phase};
use ibak_mobilebackup2::Outcome;
use ibak_sim::backup::Quirk;
use ibak_sim::content::ContentSpec;
use ibak_sim::{IosVersion, Phone, Setting};
use ibak_store::Store;
use ibak_tests::headless::{Came, PhoneAlone, Wish, back_up, directory, open_store};
use ibak_tests::trouble::{
    Dice, House, Watcher, ensure_equal, fingerprint, newest, phone, say, udid_of,
};
use ibakd::clock::Clock;

/// Places at which a connection is cut, spread over the whole conversation.
const CUTS: u64 = 12;
/// How many bytes a second the phone sends while a daemon is to be killed.
const SLOWLY: u64 = 6 << 20;

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

/// What is known of the store and must stay so.
struct Kept {
    store: PathBuf,
    udid: Udid,
    backups: Vec<(BackupId, String)>,
}

impl Kept {
    fn generation(&self, id: &BackupId) -> PathBuf {
        self.store
            .join(self.udid.as_str())
            .join("gens")
            .join(id.as_str())
    }

    /// Every backup known is listed and as it was; one that is new holds all of the phone.
    async fn check(&mut self, house: &House, phone: &Phone) -> Result<()> {
        let listed: Vec<BackupId> = house
            .backups(&self.udid)
            .await?
            .into_iter()
            .map(|row| row.id)
            .collect();
        ensure!(
            listed.len() >= self.backups.len(),
            "a backup is lost: {listed:?}"
        );
        for (known, found) in self.backups.iter().zip(&listed) {
            ensure!(known.0 == *found, "{} is not listed: {listed:?}", known.0);
            ensure!(
                fingerprint(&self.generation(found))? == known.1,
                "{found} has changed"
            );
        }
        for fresh in listed.iter().skip(self.backups.len()) {
            let tree = self.generation(fresh).join(&phone.identity().udid);
            let content = phone.content();
            let snapshot = content
                .lock()
                .map_err(|_| anyhow::anyhow!("poisoned"))?
                .snapshot();
            ensure_equal(&tree, &snapshot)?;
            let print = fingerprint(&self.generation(fresh))?;
            self.backups.push((fresh.clone(), print));
        }
        Ok(())
    }
}

/// Waits until the phone sent so many bytes in all; false when the job ended before.
async fn sent_or_ended(
    watcher: &mut Watcher,
    job: JobId,
    phone: &Phone,
    target: u64,
) -> Result<bool> {
    let sent = async {
        // The simulator counts and does not tell.
        let mut tick = tokio::time::interval(Duration::from_millis(2));
        while phone.bytes_sent() < target {
            tick.tick().await;
        }
    };
    tokio::select! {
        () = sent => Ok(true),
        ended = watcher.job(job, "progress", JobView::ended) => ended.map(|_| false),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_daemon_loses_no_backup_and_the_next_run_finishes() {
    let kills: u64 = if ibak_tests::slow() { 100 } else { 3 };
    killed_again_and_again(kills, 0x1bac_dead).await.unwrap();
}

async fn killed_again_and_again(kills: u64, seed: u64) -> Result<()> {
    let house = House::build(vec![phone(41, 300, 16 << 20)]).await?;
    let (ada, config) = (house.phone(0), house.config(""));
    let mut kept = Kept {
        store: house.path("store"),
        udid: udid_of(&ada),
        backups: Vec::new(),
    };
    first_backup(&house, &config, &mut kept, &ada).await?;
    let full = ada.bytes_sent();
    ada.change(120, 20, 20);
    let slowly = Setting::UploadRate(Some(SLOWLY));
    house.simulator().set(kept.udid.as_str(), &[slowly]).await?;
    let (mut dice, mut restarts) = (Dice::new(seed), Vec::new());
    let (mut killed, mut finished) = (0, 0);
    while killed < kills {
        let begun = Instant::now();
        let daemon = house.daemon(&config).await?;
        let mut watcher = house.watch().await?;
        watcher.ready(&kept.udid).await?;
        restarts.push(begun.elapsed());
        kept.check(&house, &ada)
            .await
            .with_context(|| format!("after {killed} kills, seed {seed:#x}"))?;
        let job = house.ask_backup(&kept.udid, false).await?;
        watcher
            .job(job, "files on their way", |job| {
                job.ended() || (job.phase == Phase::Receiving && job.bytes_done.get() > 0)
            })
            .await?;
        let target = ada.bytes_sent() + dice.below(full / 4);
        if sent_or_ended(&mut watcher, job, &ada, target).await? {
            daemon.kill().await?;
            killed += 1;
        } else {
            ensure!(watcher.end_of(job).await? == Word::Succeeded, "it failed");
            finished += 1;
            kept.check(&house, &ada).await?;
            ada.change(120, 20, 20);
            daemon.stop().await?;
        }
    }
    let resumed = ada.activity().files_resumed;
    let daemon = house.daemon(&config).await?;
    let mut watcher = house.watch().await?;
    watcher.ready(&kept.udid).await?;
    kept.check(&house, &ada).await?;
    let job = house.ask_backup(&kept.udid, false).await?;
    let end = watcher.end_of(job).await?;
    ensure!(end == Word::Succeeded, "{end:?}\n{}", daemon.last_words());
    kept.check(&house, &ada).await?;
    ensure_equal(
        &newest(&kept.store, &ada),
        &ada.content()
            .lock()
            .map_err(|_| anyhow::anyhow!("poisoned"))?
            .snapshot(),
    )?;
    restarts.sort();
    say(&format!(
        "kills: {killed} (and {finished} backups that were faster), restart to a phone that can be backed up {:.0} to {:.0} ms, files not sent again {}",
        restarts.first().copied().unwrap_or_default().as_secs_f64() * 1e3,
        restarts.last().copied().unwrap_or_default().as_secs_f64() * 1e3,
        ada.activity().files_resumed.max(resumed),
    ));
    Ok(())
}

async fn first_backup(house: &House, config: &str, kept: &mut Kept, ada: &Phone) -> Result<()> {
    let daemon = house.daemon(config).await?;
    let mut watcher = house.watch().await?;
    watcher.ready(&kept.udid).await?;
    let job = house.ask_backup(&kept.udid, false).await?;
    let end = watcher.end_of(job).await?;
    ensure!(end == Word::Succeeded, "{end:?}\n{}", daemon.last_words());
    kept.check(house, ada).await?;
    ensure!(kept.backups.len() == 1, "{:?}", kept.backups);
    daemon.stop().await?;
    Ok(())
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
