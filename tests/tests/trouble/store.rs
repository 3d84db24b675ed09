//! The store in trouble: a full disk, one that is not mounted, the root file system, another daemon.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use ibak_dbus::words::{
    ConditionName, ConditionReason, ConditionStatus, Outcome, PhoneState, StorageState, Trust,
    WaitsFor,
};
use ibak_dbus::{BusChoice, MirrorState};
use ibak_device::{Deadlines, MuxAddress};
use ibak_mobilebackup2::Limits;
use ibak_sim::PhoneSpec;
use ibak_sim::state::Switch;
use ibak_tests::trouble::{House, fingerprint, phone, udid_of};
use ibakd::clock::Clock;
use ibakd::config::Config;
use ibakd::house::Options;
use ibakd::sources::host::HostOptions;

use super::{Settled, equals};

fn storage(state: &MirrorState) -> Option<StorageState> {
    state.manager().map(|manager| manager.storage_state)
}

/// A phone that meets every condition, so that only what is wrong holds its backup back.
fn willing(seed: u64) -> PhoneSpec {
    let mut spec = phone(seed, 40, 1 << 20);
    spec.state.power = Switch::On;
    spec
}

/// A file system of its own, unmounted when dropped.
struct Disk {
    at: PathBuf,
    mounted: bool,
}

impl Disk {
    /// Makes an ext4 of so many MiB; none without root.
    fn new(house: &House, mib: u64) -> Option<Self> {
        let reason = "a disk that is full needs root, mkfs.ext4 and a loop device";
        let root = rustix::process::geteuid().is_root().then_some(());
        ibak_tests::skip_unless(root.and_then(|()| xtask::tools::find("mkfs.ext4")), reason)?;
        let (image, at) = (house.path("disk.img"), house.path("disk"));
        fs::File::create(&image)
            .unwrap()
            .set_len(mib << 20)
            .unwrap();
        fs::create_dir(&at).unwrap();
        run(
            "mkfs.ext4",
            &[Path::new("-q"), Path::new("-m"), Path::new("0"), &image],
        );
        let mut disk = Self { at, mounted: false };
        disk.mount(&image);
        Some(disk)
    }

    fn mount(&mut self, image: &Path) {
        run(
            "mount",
            &[Path::new("-o"), Path::new("loop"), image, &self.at],
        );
        self.mounted = true;
    }

    fn unmount(&mut self) {
        if std::mem::take(&mut self.mounted) {
            run("umount", &[&self.at]);
        }
    }

    /// Fills it to the last block.
    fn fill(&self) {
        let filler = fs::File::create(self.at.join("filler")).unwrap();
        let (mut at, mut step) = (0, 64 << 20);
        while step >= 4_096 {
            let flags = rustix::fs::FallocateFlags::empty();
            match rustix::fs::fallocate(&filler, flags, at, step) {
                Ok(()) => at += step,
                Err(rustix::io::Errno::NOSPC) => step /= 2,
                Err(error) => panic!("cannot fill the disk: {error}"),
            }
        }
    }

    fn empty(&self) {
        fs::remove_file(self.at.join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounted {
            // The daemon may still hold it; lazily, so that nothing stays behind.
            Command::new("umount")
                .arg("--lazy")
                .arg(&self.at)
                .status()
                .ok();
        }
    }
}

#[track_caller]
fn run(program: &str, words: &[&Path]) {
    let status = Command::new(program).args(words).status().unwrap();
    assert!(status.success(), "{program} {words:?}: {status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fills_up_in_the_middle_keeps_what_there_is() {
    let house = House::build(vec![phone(58, 80, 8 << 20)]).await.unwrap();
    let Some(disk) = Disk::new(&house, 300) else {
        return;
    };
    let store = disk.at.join("store");
    let config = house.config_at(&store, "");
    let mut it = Settled::with(house, config).await;
    let generations = store.join(it.udid.as_str()).join("gens");
    let before = fingerprint(&generations).unwrap();
    let job = it.in_the_middle().await;
    disk.fill();
    let end = it.watcher.end_of(job).await.unwrap();
    let log = it.daemon.as_ref().unwrap().last_words();
    assert_eq!(end, Outcome::NoSpace, "{log}");
    assert_eq!(fingerprint(&generations).unwrap(), before);
    let listed = it.house.ctl(&["backups"]).await.unwrap();
    assert_eq!(listed.code, Some(0), "{listed:?}");
    listed.says(&[": 1 backup\n"]);
    it.watcher
        .until("a full store", |state| {
            (storage(state) == Some(StorageState::Full)).then_some(())
        })
        .await
        .unwrap();
    it.house
        .ctl(&["why"])
        .await
        .unwrap()
        .says(&["failed: the store ran out of room", "Hint: make room"]);
    it.house
        .doctor(&["full", "make room on this disk"])
        .await
        .unwrap();
    let refused = it.house.ctl(&["backup"]).await.unwrap();
    assert_eq!(refused.code, Some(3), "{refused:?}");
    refused.says(&["Hint: make room on the store's disk"]);
    disk.empty();
    it.at_full_speed().await;
    // A reload looks at the store at once.
    assert_eq!(it.house.ctl(&["reload"]).await.unwrap().code, Some(0));
    assert_eq!(it.back_up().await, Outcome::Succeeded);
    equals(&store, &it.phone);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_whose_disk_is_not_mounted_is_never_made_again() {
    let house = House::build(vec![phone(59, 40, 1 << 20)]).await.unwrap();
    let Some(mut disk) = Disk::new(&house, 300) else {
        return;
    };
    let config = house.config_at(&disk.at, "");
    let mut it = Settled::with(house, config).await;
    it.stop().await;
    disk.unmount();
    it.start_again().await;
    gone(&mut it).await;
    assert_eq!(
        fs::read_dir(&disk.at).unwrap().count(),
        0,
        "a new store was made"
    );
    let image = it.house.path("disk.img");
    disk.mount(&image);
    assert_eq!(it.house.ctl(&["reload"]).await.unwrap().code, Some(0));
    assert_eq!(it.back_up().await, Outcome::Succeeded);
    assert_eq!(it.house.backups(&it.udid).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_was_moved_away_is_never_made_again() {
    let mut it = Settled::new(60).await;
    it.stop().await;
    let away = it.house.path("elsewhere");
    fs::rename(it.store(), &away).unwrap();
    it.start_again().await;
    gone(&mut it).await;
    assert!(!it.store().exists(), "a new store was made");
    fs::rename(&away, it.store()).unwrap();
    assert_eq!(it.house.ctl(&["reload"]).await.unwrap().code, Some(0));
    assert_eq!(it.back_up().await, Outcome::Succeeded);
    assert_eq!(it.house.backups(&it.udid).await.unwrap().len(), 2);
}

/// The store is missing, and that is said everywhere.
async fn gone(it: &mut Settled) {
    it.watcher
        .until("an unavailable store", |state| {
            (storage(state) == Some(StorageState::Unavailable)).then_some(())
        })
        .await
        .unwrap();
    let phone = it
        .watcher
        .phone(&it.udid, "a missing store", |phone| {
            phone.trust == Trust::Trusted
                && phone.condition(&ConditionName::Space).reason == ConditionReason::StoreMissing
        })
        .await
        .unwrap();
    assert_eq!(
        phone.condition(&ConditionName::Space).status,
        ConditionStatus::Unmet
    );
    it.house
        .ctl(&["why"])
        .await
        .unwrap()
        .says(&["Hint: `ibakctl doctor` says what to do about the store"]);
    it.house
        .doctor(&["store", "its directory does not exist", "mount its disk"])
        .await
        .unwrap();
    let refused = it.house.ctl(&["backup"]).await.unwrap();
    assert_eq!(refused.code, Some(3), "{refused:?}");
    refused.says(&["Hint: `ibakctl doctor`"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_on_the_root_file_system_must_be_named() {
    let house = House::build(vec![willing(61)]).await.unwrap();
    let device = |path: &Path| fs::metadata(path).unwrap().dev();
    let on_root = (device(&house.path("")) == device(Path::new("/"))).then_some(());
    if ibak_tests::skip_unless(
        on_root,
        "the temporary directory is not on the root file system",
    )
    .is_none()
    {
        return;
    }
    // The configuration that says nothing, at a place that the test may write to.
    let mut nothing_said = Config {
        store: house.path("store"),
        mdns: false,
        reserve_bytes: Some(1 << 20),
        ..Config::parse("").unwrap()
    };
    nothing_said.rules.settle = Duration::ZERO;
    nothing_said.rules.wifi = ibakd::config::Requirement::OrUsb;
    assert!(!nothing_said.store_is_explicit);
    let bus = BusChoice::Address(house.bus_address());
    let options = Options {
        config: nothing_said,
        config_path: None,
        state_dir: house.path("state"),
        host: HostOptions::of(&bus),
        bus,
        mux: MuxAddress::Unix(house.path("usbmuxd")),
        clock: Clock::system(),
        deadlines: Deadlines::default(),
        limits: Limits::default(),
    };
    let daemon = ibakd::house::Daemon::start(options).await.unwrap();
    let udid = udid_of(&house.phone(0));
    let mut watcher = house.watch().await.unwrap();
    let waiting = watcher
        .phone(&udid, "only the store is missing", |phone| {
            phone.state == PhoneState::Waiting
                && phone.condition(&ConditionName::Space).reason == ConditionReason::StoreOnRoot
                && phone.waits_for == [WaitsFor::Space]
        })
        .await
        .unwrap();
    assert_eq!(waiting.current_job, None);
    house.ctl(&["why"]).await.unwrap().says(&[
        "for the store: it is on the root file system, and the configuration does not say that it may be",
        "Hint: `ibakctl doctor`",
    ]);
    house
        .doctor(&[
            "the store's disk",
            "choose another disk in /etc/ibak/ibakd.toml, or say there that this one is meant",
        ])
        .await
        .unwrap();
    assert_eq!(house.ctl(&["backup"]).await.unwrap().code, Some(3));
    daemon.stop().await.unwrap();
    assert_eq!(house.phone(0).activity().backups_begun, 0);
    // Named, the same place will do, and the same phone is backed up by itself.
    let _named = house.daemon(&house.config("")).await.unwrap();
    let mut watcher = house.watch().await.unwrap();
    watcher
        .phone(&udid, "a backup that began by itself", |phone| {
            phone.last_backup.is_some()
        })
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_daemons_on_one_store_or_one_bus() {
    let mut first = Settled::new(63).await;
    let other = House::build(vec![phone(64, 40, 1 << 20)]).await.unwrap();
    let _second = other
        .daemon(&other.config_at(&first.store(), ""))
        .await
        .unwrap();
    let udid = udid_of(&other.phone(0));
    let mut watcher = other.watch().await.unwrap();
    watcher
        .phone(&udid, "a locked store", |phone| {
            phone.trust == Trust::Trusted
                && phone.condition(&ConditionName::Space).reason == ConditionReason::StoreLocked
        })
        .await
        .unwrap();
    other
        .doctor(&["another daemon is using it", "stop the other daemon"])
        .await
        .unwrap();
    other
        .ctl(&["why"])
        .await
        .unwrap()
        .says(&["another daemon is using it", "Hint: "]);
    assert_eq!(other.ctl(&["backup"]).await.unwrap().code, Some(3));
    let mut third = first.house.spawn(&first.config, "third").unwrap();
    let status = third.ended().await.unwrap();
    assert!(!status.success(), "{status:?}");
    assert!(
        third.last_words().contains("Error: cannot serve"),
        "{}",
        third.last_words()
    );
    first.stop().await;
    assert_eq!(other.ctl(&["reload"]).await.unwrap().code, Some(0));
    watcher.ready(&udid).await.unwrap();
    let job = other.ask_backup(&udid, false).await.unwrap();
    assert_eq!(watcher.end_of(job).await.unwrap(), Outcome::Succeeded);
}
