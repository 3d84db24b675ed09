//! Bad input through the whole daemon: the job fails with a word for it, the daemon lives, nothing
//! is written outside the phone's own working copy, and memory stays bounded (security.md).

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use ibak_dbus::words::Outcome;
use ibak_sim::hostile::FOREIGN_UDID;
use ibak_sim::{Attack, Loot, Setting};
use ibak_tests::trouble::{House, fingerprint, phone, say, udid_of};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use super::{MEMORY_MAX, Settled};

/// The attacks of one run through the daemon; all of them are the wall's business.
fn attacks() -> Vec<Attack> {
    const PATHS: &[&str] = &[
        "root",
        "empty",
        "dotdot",
        "dot",
        "foreign",
        "foreign-file",
        "slash-dotdot",
        "absolute-etc",
        "own-up-twice",
        "own-elsewhere",
        "own-double-slash",
        "nul",
        "long-component",
    ];
    const OTHERS: &[&str] = &[
        "devicelink/giant",
        "devicelink/bomb-wide",
        "devicelink/bomb-deep",
        "devicelink/cut",
        "devicelink/empty",
        "batch/giant-dir-name",
        "batch/giant-file-name",
        "batch/long-dir-name",
        // The last, for it is left hanging: a block that claims 4 GB and brings 96 MiB.
        GIANT_BLOCK,
    ];
    let uses = [
        "upload",
        "create",
        "remove",
        "move-from",
        "move-to",
        "copy-from",
    ];
    let paths = uses
        .iter()
        .flat_map(|usage| PATHS.iter().map(move |path| format!("path/{usage}/{path}")));
    paths
        .chain(OTHERS.iter().map(|name| (*name).to_owned()))
        .map(|name| name.parse().unwrap())
        .collect()
}

/// Its bytes come in, so it ends when somebody cancels it.
const GIANT_BLOCK: &str = "batch/giant-block";

/// Makes a binary plist of nested arrays: `depth` levels, each naming the next `width` times.
fn bomb(depth: u8, width: u8) -> Vec<u8> {
    let mut bytes = b"bplist00".to_vec();
    let mut offsets = Vec::new();
    for level in 0..depth {
        offsets.push(u16::try_from(bytes.len()).unwrap());
        bytes.push(0xa0 | width);
        bytes.extend(std::iter::repeat_n(level + 1, usize::from(width)));
    }
    offsets.push(u16::try_from(bytes.len()).unwrap());
    bytes.extend(b"\x54boom");
    let table = bytes.len() as u64;
    bytes.extend(offsets.iter().flat_map(|offset| offset.to_be_bytes()));
    bytes.extend([0, 0, 0, 0, 0, 0, 2, 1]);
    for number in [offsets.len() as u64, 0, table] {
        bytes.extend(number.to_be_bytes());
    }
    bytes
}

/// Lists everything in the house that no phone may touch.
fn names(root: &Path, at: &Path, own: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(at).unwrap() {
        let path = entry.unwrap().path();
        // The store notes beside each phone's backups what they take.
        let ours = |name: &std::ffi::OsStr| name == "ibakd.state" || name == "usage.json";
        if path.starts_with(own) || path.file_name().is_some_and(ours) {
            continue;
        }
        found.insert(path.strip_prefix(root).unwrap().display().to_string());
        if path.is_dir() && !path.is_symlink() {
            names(root, &path, own, found);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_phone_reaches_nothing() {
    let mut it = Settled::new(81).await;
    let foreign = it.store().join(FOREIGN_UDID);
    let committed = foreign.join("gens/somebody").join(FOREIGN_UDID);
    std::fs::create_dir_all(&committed).unwrap();
    std::fs::write(committed.join("Manifest.db"), "another's").unwrap();
    let own = it.store().join(it.udid.as_str());
    let outside = it.house.path("");
    let look = |found: &mut BTreeSet<String>| names(&outside, &outside, &own, found);
    let mut before = BTreeSet::new();
    look(&mut before);
    let generations = it.generations();
    let theirs = foreign.join("gens");
    let prints = || [&theirs, &generations].map(|at| fingerprint(at).unwrap());
    let printed = prints();
    let attacks = attacks();
    for attack in &attacks {
        it.phone.set(&Setting::Attack(Some(*attack)));
        it.watcher.ready(&it.udid).await.unwrap();
        let job = it.house.ask_backup(&it.udid, false).await.unwrap();
        if attack.name() == GIANT_BLOCK {
            let most =
                |job: &ibak_dbus::views::JobView| job.ended() || job.bytes_done.get() >= 95 << 20;
            it.watcher
                .job(job, "most of the endless block", most)
                .await
                .unwrap();
            assert_eq!(it.house.ctl(&["cancel"]).await.unwrap().code, Some(0));
            assert_eq!(it.watcher.end_of(job).await.unwrap(), Outcome::Cancelled);
            continue;
        }
        let end = it.watcher.end_of(job).await.unwrap();
        assert!(
            matches!(end, Outcome::Protocol | Outcome::NotWhole),
            "{attack} ended in {end:?}"
        );
    }
    assert_eq!(it.phone.loot(), Loot::default());
    let mut after = BTreeSet::new();
    look(&mut after);
    assert_eq!(before, after);
    assert_eq!(prints(), printed);
    assert!(!Path::new("/etc/outside").exists());
    let peak = it.daemon.as_ref().unwrap().memory_peak().unwrap();
    assert!(peak < MEMORY_MAX, "{peak}");
    it.house.ctl(&["why"]).await.unwrap().says(&["Hint: "]);
    // The phone itself goes on from what it has.
    it.phone.set(&Setting::Attack(None));
    assert_eq!(it.back_up().await, Outcome::Succeeded);
    it.equals_the_phone();
    say(&format!(
        "a hostile phone: {} attacks, peak memory {} MiB",
        attacks.len(),
        peak >> 20
    ));
}

/// Answers every request of one connection with the same bytes.
async fn answer(mut stream: UnixStream, bytes: Arc<Vec<u8>>) -> Result<()> {
    loop {
        let length = stream.read_u32_le().await?;
        let mut rest = vec![0; (length.clamp(4, 1 << 20) - 4) as usize];
        stream.read_exact(&mut rest).await?;
        stream.write_all(&bytes).await?;
    }
}

/// Makes a usbmuxd message of the plist kind.
fn muxed(payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in [u32::try_from(payload.len() + 16).unwrap(), 1, 8, 1] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(payload);
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_usbmuxd_harms_nobody_and_a_good_one_is_found_again() {
    let mut house = House::without_usbmuxd().await.unwrap();
    let mut giant = muxed(b"");
    giant.splice(0..4, [0xff, 0xff, 0xff, 0xff]);
    let nested = format!("<plist>{}", "<array>".repeat(100_000));
    let entities = "<?xml version=\"1.0\"?><!DOCTYPE plist [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]><plist><string>&b;</string></plist>";
    let table = [
        giant,
        muxed(&bomb(31, 15)),
        muxed(nested.as_bytes()),
        muxed(entities.as_bytes()),
        muxed(b"<plist><dict><key>DeviceList</key><string>no</string></dict></plist>"),
    ];
    let daemon = house.daemon(&house.config("")).await.unwrap();
    for bytes in table {
        let bytes = Arc::new(bytes);
        let listener = UnixListener::bind(house.path("usbmuxd")).unwrap();
        // Twice: after the first answer it comes back.
        for _ in 0..2 {
            let (stream, _) = listener.accept().await.context("nobody comes").unwrap();
            // How a connection ends is the daemon's choice.
            answer(stream, Arc::clone(&bytes)).await.ok();
        }
        house
            .doctor(&["usbmuxd"])
            .await
            .unwrap()
            .says(&["systemctl"]);
        drop(listener);
        std::fs::remove_file(house.path("usbmuxd")).unwrap();
    }
    let peak = daemon.memory_peak().unwrap();
    assert!(peak < MEMORY_MAX, "{peak}");
    house.bring(vec![phone(82, 40, 1 << 20)]).await.unwrap();
    let mut watcher = house.watch().await.unwrap();
    watcher.ready(&udid_of(&house.phone(0))).await.unwrap();
}
