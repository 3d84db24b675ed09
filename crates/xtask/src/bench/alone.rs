//! `cargo xtask bench --store`: the store without a phone, at two sizes. Each measurement is a
//! process of its own, so that its memory is the store's and not a simulated phone's.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::figures::Machine;
use super::{Options, programs};
use crate::say::Teller;

/// How many files the larger of the two backups has for each of the smaller.
const LARGER: u64 = 5;

/// A backup that was made to be measured.
#[derive(Debug, Deserialize)]
struct Filled {
    udid: String,
}

/// What was measured.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Alone {
    files: u64,
    changed: u64,
    cp_seconds: f64,
    cp_durable_seconds: f64,
    clone_seconds: f64,
    change_seconds: f64,
    commit_seconds: f64,
    peak_rss_bytes: u64,
    scrub_seconds: f64,
    scrub_files: u64,
    scrub_bytes: u64,
    scrub_peak_rss_bytes: u64,
}

/// Everything.
#[derive(Debug, Serialize)]
struct Figures {
    build: String,
    begin: Machine,
    end: Machine,
    sizes: Vec<Vec<Alone>>,
}

/// Builds the programs and measures; never judges a time.
///
/// # Errors
/// Something does not build, or what was made is not a whole backup.
pub(super) fn bench(options: Options) -> Result<()> {
    let teller = Teller::new(options.json);
    let (programs, build) = programs(options.profile)?;
    let program = programs.join("ibak-bench");
    let begin = Machine::now()?;
    let mut sizes = Vec::new();
    for files in [options.files, options.files * LARGER] {
        teller.part(&format!("The store alone, {files} files"));
        let directory = tempfile::Builder::new().prefix("ibak-alone-").tempdir()?;
        let store = directory.path().join("store");
        let filled: Filled = ask(&program, &["fill"], &store, &[&files.to_string()])?;
        teller.tell("a backup of them is there");
        let mut rounds = Vec::new();
        for _ in 0..options.rounds {
            let alone: Alone = ask(&program, &["alone"], &store, &[&filled.udid])?;
            show(teller, &alone);
            rounds.push(alone);
        }
        sizes.push(rounds);
    }
    let figures = Figures {
        build,
        begin,
        end: Machine::now()?,
        sizes,
    };
    teller.tell(&format!(
        "\nbuild: {}; {} processors, load {:.2} at the beginning and {:.2} at the end",
        figures.build, figures.begin.cores, figures.begin.load_1min, figures.end.load_1min,
    ));
    if options.json {
        crate::say::answer(&serde_json::to_string(&figures)?);
    }
    Ok(())
}

fn ask<T: DeserializeOwned>(
    program: &Path,
    verb: &[&str],
    store: &Path,
    words: &[&str],
) -> Result<T> {
    let output = Command::new(program)
        .args(verb)
        .arg(store)
        .args(words)
        .stdin(Stdio::null())
        .output()
        .context("cannot run ibak-bench")?;
    ensure!(
        output.status.success(),
        "{verb:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).context("ibak-bench did not answer in JSON")
}

fn show(teller: Teller, alone: &Alone) {
    let whole = alone.clone_seconds + alone.change_seconds + alone.commit_seconds;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    teller.tell(&format!(
        "{} files, {} of them changed: {whole:.2} s until it is a backup on the disk (clone {:.2}, change {:.2}, commit {:.2})",
        alone.files, alone.changed, alone.clone_seconds, alone.change_seconds, alone.commit_seconds
    ));
    teller.tell(&format!(
        "cp -al of the same tree: {:.2} s, {:.2} s until it is on the disk; clone / cp {:.2}, all of it / cp on the disk {:.2}",
        alone.cp_seconds,
        alone.cp_durable_seconds,
        alone.clone_seconds / alone.cp_seconds,
        whole / alone.cp_durable_seconds
    ));
    teller.tell(&format!(
        "peak memory: {:.1} MiB, {:.1} MiB once everything was read again",
        mib(alone.peak_rss_bytes),
        mib(alone.scrub_peak_rss_bytes)
    ));
    teller.tell(&format!(
        "read again without a brake: {} files of {:.0} MiB in {:.2} s, {:.0} files/s, {:.0} MB/s",
        alone.scrub_files,
        mib(alone.scrub_bytes),
        alone.scrub_seconds,
        alone.scrub_files as f64 / alone.scrub_seconds,
        alone.scrub_bytes as f64 / 1e6 / alone.scrub_seconds
    ));
}
