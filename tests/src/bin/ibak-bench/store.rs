//! The store without a phone: a working copy of the newest backup, committed as it is.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ibak_core::{Bytes, Udid};
use ibak_store::{Begin, Create, DeviceDone, Full, OpenOptions, Reserve, Store};
use ibakd::clock::Clock;
use serde_json::{Value, json};

/// Measures both; each begins with nothing left to write, and with the tree's names in the cache.
pub(crate) fn measure(path: &Path, udid: &str, copy: &Path) -> Result<Value> {
    let clock = Clock::system();
    let options = OpenOptions {
        create: Create::Never,
        reserve: Reserve::Fixed(Bytes::new(1 << 20)),
        now: clock.now().wall,
    };
    let (store, _) = Store::open(path, options)?;
    let udid_parsed = Udid::parse(udid)?;
    let newest = store.list(&udid_parsed)?;
    let newest = newest.last().context("the store has no backup")?;
    let tree = path
        .join(udid_parsed.as_str())
        .join("gens")
        .join(newest.id.as_str())
        .join(&newest.wire_udid);
    let info = fs::read(tree.join("Info.plist"))?;
    let disk = File::open(path)?;
    let files = walk(&tree)?;

    rustix::fs::syncfs(&disk)?;
    let began = Instant::now();
    let mut command = Command::new("cp");
    let status = command.arg("-al").arg(&tree).arg(copy).status()?;
    ensure!(status.success(), "cp -al ended with {status}");
    let cp = began.elapsed();
    rustix::fs::syncfs(&disk)?;
    let cp_durable = began.elapsed();

    let began = Instant::now();
    let mut staging = store.begin(Begin {
        udid: &udid_parsed,
        wire_udid: &newest.wire_udid,
        full: Full::IfNeeded,
        quota: None,
        now: clock.now(),
    })?;
    let clone = began.elapsed();
    ensure!(staging.parent().is_some(), "the store made no working copy");
    // A commit wants to see that somebody wrote the host's own file.
    staging.write_info_plist(&info, clock.now())?;
    let done = DeviceDone::from_error_code(0).context("0 is no error")?;
    let began = Instant::now();
    let committed = staging.commit(done, clock.now())?;
    let commit = began.elapsed();
    ensure!(
        (committed.files, committed.size_bytes) == (newest.files, newest.size_bytes),
        "the copy is not the original"
    );
    let seconds = |time: Duration| time.as_secs_f64();
    Ok(json!({
        "files": files,
        "clone_seconds": seconds(clone),
        "commit_seconds": seconds(commit),
        "cp_seconds": seconds(cp),
        "cp_durable_seconds": seconds(cp_durable),
    }))
}

/// Looks at every file; returns how many there are.
fn walk(directory: &Path) -> Result<u64> {
    let mut files = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.metadata()?.is_dir() {
            files += walk(&entry.path())?;
        } else {
            files += 1;
        }
    }
    Ok(files)
}
