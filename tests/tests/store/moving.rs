//! Backups that come from elsewhere, and a store that goes elsewhere.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use ibak_dbus::words::{Outcome, StorageState};
use ibak_sim::PhoneSpec;
use ibak_tests::programs;
use ibak_tests::trouble::{House, phone};
use tokio::process::Command;

use crate::home::{Home, until};
use crate::image::Kind;
use crate::power::image;

/// A phone of an iOS that `idevicebackup2` 1.3.0 still speaks to.
fn older(seed: u64) -> PhoneSpec {
    PhoneSpec {
        ios: "13.3.1".parse().unwrap(),
        product: "iPhone9,1".to_owned(),
        ..phone(seed, 120, 6 << 20)
    }
}

/// Runs the other program, which succeeds and says so.
async fn other_program(house: &House, program: &Path, words: &[&str], says: &str) {
    let output = Command::new(program)
        .args(words)
        .env(
            "USBMUXD_SOCKET_ADDRESS",
            format!("UNIX:{}", house.path("usbmuxd").display()),
        )
        .env("HOME", house.path("home"))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains(says), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_programs_backup_is_taken_in_gone_on_from_and_given_back() {
    let Some(program) = programs::of_machine("idevicebackup2") else {
        return;
    };
    let mut home = Home::of(older(101), "").await;
    let udid = home.phone.identity().udid.clone();
    let theirs = home.house.path("theirs");
    fs::create_dir(&theirs).unwrap();
    let place = theirs.display().to_string();
    let words = ["-u", &udid, "backup", "--full", &place];
    other_program(&home.house, &program, &words, "Backup Successful").await;
    let whole = home.phone.bytes_sent();
    let original = ibak_tests::trouble::fingerprint(&theirs).unwrap();

    let folder = theirs.join(&udid).display().to_string();
    home.ctl(&["adopt", &folder, "--yes"]).await;
    let adopted = home.listed().await;
    assert_eq!(adopted.len(), 1);
    let row = home.row(&adopted[0]).await;
    assert!(row.adopted, "{row:?}");
    home.holds_the_phone(&adopted[0]);
    assert_eq!(
        ibak_tests::trouble::fingerprint(&theirs).unwrap(),
        original,
        "the original stays as it is"
    );
    // Twice is once.
    home.ctl(&["adopt", &folder, "--yes"]).await;
    assert_eq!(home.listed().await, adopted);

    home.phone.change(6, 2, 2);
    let (next, sent) = home.back_up().await;
    let row = home.row(&next).await;
    assert!(!row.full && sent < whole / 2, "{sent} of {whole}: {row:?}");
    home.holds_the_phone(&next);

    let out = home.house.path("out");
    let target = out.display().to_string();
    home.ctl(&["export", &next, &target]).await;
    let content = home.phone.content().lock().unwrap().clone();
    home.phone.change(10, 5, 5);
    let words = [
        "-u",
        &udid,
        "restore",
        "--system",
        "--settings",
        "--no-reboot",
        &target,
    ];
    other_program(&home.house, &program, &words, "Restore Successful").await;
    let restored = home.phone.restored().expect("a restored backup");
    assert_eq!(restored.differences(&content), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_moved_to_another_disk_is_gone_on_with() {
    let Some(disk) = image(Kind::Ext4, 512) else {
        return;
    };
    let mut home = Home::of(phone(102, 120, 6 << 20), "").await;
    let (first, whole) = home.back_up().await;
    home.ctl(&["pin", &first]).await;
    let second = home.next().await;
    let old = home.house.path("store");
    let before = ibak_tests::trouble::fingerprint(&home.place.phone.join("gens")).unwrap();
    let new = disk.mountpoint().join("ibak");
    fs::create_dir(&new).unwrap();
    let target = new.display().to_string();
    let file = home.daemon.as_ref().unwrap().configuration().to_owned();
    home.ctl(&["store", "move", &target]).await;
    let shown = home
        .ear
        .until("the store elsewhere", |ear| {
            ear.state()
                .manager()
                .filter(|manager| Path::new(&manager.store_path) == new)
        })
        .await
        .unwrap();
    assert_ne!(shown.storage_state, StorageState::Unavailable);
    assert!(fs::read_to_string(&file).unwrap().contains(&target));
    // The old one is kept until somebody asks.
    home.place.read_all().unwrap();
    let after = ibak_tests::trouble::fingerprint(&old.join(home.udid.as_str()).join("gens"));
    assert_eq!(after.unwrap(), before, "the old store is as it was");
    home.place.phone = new.join(home.udid.as_str());
    assert_eq!(home.listed().await, [first.clone(), second.clone()]);
    assert!(home.row(&first).await.pinned, "pins come along");
    for found in home.place.read_all().unwrap() {
        assert!(found.files > 0);
    }
    // Two backups share files there as they did here.
    assert!(home.du() < 2 * whole, "{} of {whole}", home.du());
    home.phone.change(6, 2, 2);
    let (third, sent) = home.back_up().await;
    assert!(sent < whole / 2, "{sent} of {whole}");
    home.holds_the_phone(&third);
    // Also after another start, with the configuration as it was rewritten.
    home.config = fs::read_to_string(&file).unwrap();
    home.stop().await;
    home.start().await;
    assert_eq!(home.listed().await, [first, second, third]);
    home.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_whose_disk_comes_later() {
    let Some(disk) = image(Kind::Xfs, 0) else {
        return;
    };
    let house = House::build(vec![phone(103, 60, 1 << 20)]).await.unwrap();
    let mut home = Home::at(house, &disk.mountpoint(), "").await;
    let (first, _) = home.back_up().await;
    home.stop().await;
    assert!(disk.unmount());
    home.daemon = Some(home.house.daemon(&home.config).await.unwrap());
    home.ear
        .until("an unavailable store", |ear| {
            let state = ear.state().manager()?.storage_state;
            (state == StorageState::Unavailable).then_some(())
        })
        .await
        .unwrap();
    let refused = home.house.ctl(&["backup"]).await.unwrap();
    assert_eq!(refused.code, Some(3), "{refused:?}");
    let under = fs::read_dir(disk.mountpoint()).unwrap().count();
    assert_eq!(under, 0, "something was written where the disk should be");
    assert!(disk.mount());
    home.ctl(&["reload"]).await;
    let second = home.next().await;
    assert_eq!(home.listed().await, [first, second]);
    home.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_daemons_on_one_store() {
    let mut home = Home::of(phone(104, 60, 1 << 20), "").await;
    let (first, _) = home.back_up().await;
    let other = House::build(vec![phone(105, 60, 1 << 20)]).await.unwrap();
    let store = home.house.path("store");
    let mut second = other.daemon(&other.config_at(&store, "")).await.unwrap();
    let said = other.doctor(&["another daemon is using it"]).await.unwrap();
    said.says(&["stop the other daemon"]);
    let refused = other.ctl(&["backup"]).await.unwrap();
    assert_eq!(refused.code, Some(3), "{refused:?}");
    let next = home.next().await;
    assert_eq!(home.listed().await, [first, next]);
    assert!(second.lives().unwrap());
    second.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_that_does_not_fit_hurts_none_that_does() {
    let Some(disk) = image(Kind::Ext4, 400) else {
        return;
    };
    let house = House::build(vec![phone(106, 80, 8 << 20)]).await.unwrap();
    let store = disk.mountpoint().join("store");
    let mut home = Home::at(house, &store, "").await;
    let (first, _) = home.back_up().await;
    let second = home.next().await;
    // Somebody else fills the disk while files arrive: to the last block, but for one MiB.
    let udid = home.udid.clone();
    let slowly = ibak_sim::Setting::UploadRate(Some(3 << 20));
    home.house
        .simulator()
        .set(udid.as_str(), &[slowly])
        .await
        .unwrap();
    home.phone.change(60, 30, 5);
    home.ear.ready(&udid).await.unwrap();
    let job = home.house.ask_backup(&udid, false).await.unwrap();
    home.ear
        .until("files on their way", |ear| {
            let job = ear.state().job(job)?;
            assert!(!job.ended(), "{job:?}");
            (job.bytes_done.get() > 300_000).then_some(())
        })
        .await
        .unwrap();
    let filler = disk.mountpoint().join("filler");
    fill(&filler);
    let end = home.ear.end_of(job).await.unwrap();
    assert_eq!(end, Outcome::NoSpace, "{}", home.log());

    storage_is(&mut home, |state| *state == StorageState::Full).await;
    // Full to the last block: what there is lists, reads and can be removed.
    assert_eq!(home.listed().await, [first.clone(), second.clone()]);
    home.ctl(&["backups"]).await.says(&[": 2 backups\n"]);
    for id in [&first, &second] {
        home.place.read(id).unwrap();
    }
    let out = home.house.path("out");
    home.ctl(&["export", &second, &out.display().to_string()])
        .await;
    let exported = crate::tree::files_below(&out.join(udid.as_str())).unwrap();
    assert_eq!(exported.len(), home.place.read(&second).unwrap().files);
    home.ctl(&["remove", &first, "--yes"]).await;
    assert_eq!(home.listed().await, std::slice::from_ref(&second));
    home.swept().await;
    // With the room of that one, what a reading finds can be written down.
    home.ctl(&["verify", &second]).await.says(&["is good"]);

    fs::remove_file(&filler).unwrap();
    let fast = ibak_sim::Setting::UploadRate(None);
    home.house
        .simulator()
        .set(udid.as_str(), &[fast])
        .await
        .unwrap();
    home.ctl(&["reload"]).await;
    storage_is(&mut home, |state| *state != StorageState::Full).await;
    let (third, _) = home.back_up().await;
    home.holds_the_phone(&third);
    assert_eq!(home.listed().await, [second, third]);
    until("nothing left in the trash", || {
        home.place.trash().is_empty()
    })
    .await
    .unwrap();
    home.stop().await;
}

async fn storage_is(home: &mut Home, wanted: impl Fn(&StorageState) -> bool) {
    home.ear
        .until("how full it is", |ear| {
            let manager = ear.state().manager()?;
            wanted(&manager.storage_state).then_some(())
        })
        .await
        .unwrap();
}

/// Fills a disk to its last block.
fn fill(filler: &Path) {
    let file = fs::File::create(filler).unwrap();
    let (mut at, mut step) = (0, 64 << 20);
    while step >= 4_096 {
        match rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), at, step) {
            Ok(()) => at += step,
            Err(rustix::io::Errno::NOSPC) => step /= 2,
            Err(error) => panic!("cannot fill the disk: {error}"),
        }
    }
}
