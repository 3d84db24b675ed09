//! The store alone, without the simulator in the same process: `fill` makes a backup of many small
//! files, `alone` makes the next one of it, in which one file in a hundred is another.

use std::fs::{self, File};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ibak_core::{BackupPath, Udid};
use ibak_sim::IosVersion;
use ibak_sim::backup::Quirks;
use ibak_sim::content::ContentSpec;
use ibak_store::{Begin, DeviceDone, Full, Store};
use ibak_tests::headless::{PhoneAlone, Wish, back_up, open_store};
use ibakd::clock::Clock;
use serde_json::{Value, json};

/// The mean size of a file, in bytes.
const FILE_BYTES: u64 = 1 << 10;
/// One file in so many is another.
const ONE_IN: usize = 100;

/// Makes a store with one backup of so many files.
pub(crate) fn fill(path: &Path, files: u64) -> Result<Value> {
    let spec = ContentSpec {
        seed: 7,
        files,
        bytes: files * FILE_BYTES,
        apps: 12,
        largest_file: None,
    };
    let phone = PhoneAlone::new(IosVersion::new(15, 6, 0), &spec, Quirks::default());
    let clock = Clock::system();
    fs::create_dir(path)?;
    let store = open_store(path, &clock)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let came = runtime.block_on(back_up(&phone, &store, &clock, Wish::default()))?;
    let made = came.committed.context("no backup was made")??;
    Ok(json!({ "udid": phone.wire_udid(), "files": made.files, "bytes": made.size_bytes }))
}

/// Measures the next backup, next to `cp -al` of the same tree, and reading everything again.
pub(crate) fn measure(path: &Path, udid: &str) -> Result<Value> {
    let clock = Clock::system();
    let store = open_store(path, &clock)?;
    let udid = Udid::parse(udid)?;
    let disk = File::open(path)?;
    let newest = store.list(&udid)?.pop().context("no backup")?;
    let tree = path
        .join(udid.as_str())
        .join("gens")
        .join(newest.id.as_str())
        .join(&newest.wire_udid);
    let (files, changing) = look(&tree)?;

    let copy = path.with_extension("copy");
    rustix::fs::syncfs(&disk)?;
    let began = Instant::now();
    let mut command = Command::new("cp");
    let status = command.arg("-al").arg(&tree).arg(&copy).status()?;
    ensure!(status.success(), "cp -al ended with {status}");
    let cp = began.elapsed();
    rustix::fs::syncfs(&disk)?;
    let cp_durable = began.elapsed();

    let times = next(&store, &udid, &newest.wire_udid, &tree, &changing, &clock)?;
    let peak_next = peak_rss()?;

    let began = Instant::now();
    let read = store.scrub(&udid, clock.now().wall, &mut |_| ControlFlow::Continue(()))?;
    let scrub = began.elapsed();
    ensure!(
        read.complete && read.damaged.is_empty(),
        "reading it again found damage"
    );
    fs::remove_dir_all(&copy)?;
    let seconds = |time: Duration| time.as_secs_f64();
    Ok(json!({
        "files": files,
        "changed": changing.len(),
        "cp_seconds": seconds(cp),
        "cp_durable_seconds": seconds(cp_durable),
        "clone_seconds": seconds(times.clone),
        "change_seconds": seconds(times.change),
        "commit_seconds": seconds(times.commit),
        "peak_rss_bytes": peak_next,
        "scrub_seconds": seconds(scrub),
        "scrub_files": read.files,
        "scrub_bytes": read.bytes,
        "scrub_peak_rss_bytes": peak_rss()?,
    }))
}

struct Times {
    clone: Duration,
    change: Duration,
    commit: Duration,
}

/// Makes the next backup.
fn next(
    store: &Store,
    udid: &Udid,
    wire_udid: &str,
    tree: &Path,
    changing: &[(String, usize)],
    clock: &Clock,
) -> Result<Times> {
    let info = fs::read(tree.join("Info.plist"))?;
    let began = Instant::now();
    let mut staging = store.begin(Begin {
        udid,
        wire_udid,
        full: Full::IfNeeded,
        quota: None,
        now: clock.now(),
    })?;
    let clone = began.elapsed();
    ensure!(staging.parent().is_some(), "the store made no working copy");
    let began = Instant::now();
    staging.write_info_plist(&info, clock.now())?;
    for (path, size) in changing {
        staging.create(&BackupPath::Tree(path.clone()))?;
        staging.write(&vec![0x5a; *size])?;
        staging.finish(clock.now())?;
    }
    let change = began.elapsed();
    let began = Instant::now();
    let done = DeviceDone::from_error_code(0).context("0 is no error")?;
    let made = staging.commit(done, clock.now())?;
    let commit = began.elapsed();
    ensure!(
        made.new_files >= changing.len() as u64 && made.warnings.is_empty(),
        "it is not the backup that was meant: {} new files, {:?}",
        made.new_files,
        made.warnings
    );
    Ok(Times {
        clone,
        change,
        commit,
    })
}

/// Counts the files of a backup and chooses those that change, with their sizes.
fn look(tree: &Path) -> Result<(u64, Vec<(String, usize)>)> {
    let (mut files, mut seen, mut chosen) = (0, 0_usize, Vec::new());
    for entry in fs::read_dir(tree)? {
        let entry = entry?;
        if !entry.metadata()?.is_dir() {
            files += 1;
            continue;
        }
        let folder = entry.file_name().to_string_lossy().into_owned();
        for file in fs::read_dir(entry.path())? {
            let file = file?;
            files += 1;
            let size = usize::try_from(file.metadata()?.len())?;
            if seen.is_multiple_of(ONE_IN) {
                let name = file.file_name().to_string_lossy().into_owned();
                chosen.push((format!("{folder}/{name}"), size));
            }
            seen += 1;
        }
    }
    Ok((files, chosen))
}

/// The most memory that this process ever held, in bytes.
fn peak_rss() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line
        .and_then(|rest| rest.trim().strip_suffix(" kB"))
        .context("no VmHWM in /proc")?;
    Ok(kib.trim().parse::<u64>()? << 10)
}
