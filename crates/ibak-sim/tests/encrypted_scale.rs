//! Large phones with a backup password: a file is encrypted while it is sent, and memory stays as
//! small as without.
//!
//! Slow: runs with `RUN_SLOW_TESTS=1`.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

mod backup_host;

use std::time::Instant;

use backup_host::{Manners, TestPhone, session};
use ibak_sim::backup::crypto::encrypted_bytes;
use ibak_sim::content::ContentSpec;

/// Peak memory of this process, the host of the test included, in MiB.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line.unwrap().split_whitespace().nth(1).unwrap();
    kib.parse::<u64>().unwrap() / 1024
}

#[tokio::test]
async fn a_file_of_4_gib_and_100_000_small_files_are_encrypted_in_little_memory() {
    if std::env::var_os("RUN_SLOW_TESTS").is_none() {
        eprintln!("SKIPPED: set RUN_SLOW_TESTS=1 to run it");
        return;
    }
    let manners = || Manners {
        keep_bytes: 64 << 10,
        ..Manners::default()
    };
    let large = ContentSpec {
        seed: 1,
        files: 20,
        bytes: 5 << 30,
        apps: 1,
        largest_file: Some(4 << 30),
    };
    let phone = TestPhone::new("15.6", &large).with_password("one");
    let root = backup_host::scratch();
    let began = Instant::now();
    let first = session(&phone, root.path(), "Backup", None, manners()).await;
    assert_eq!(first.code(), 0);
    assert!(first.end().uploaded_bytes > encrypted_bytes(5 << 30));
    let peak = peak_mib();
    eprintln!("5 GiB in {:?}, peak {peak} MiB", began.elapsed());
    assert!(peak < 100, "{peak} MiB");

    let small = ContentSpec {
        seed: 2,
        files: 100_000,
        bytes: 400 << 20,
        apps: 40,
        largest_file: None,
    };
    let phone = TestPhone::new("15.6", &small).with_password("one");
    let root = backup_host::scratch();
    let began = Instant::now();
    let first = session(&phone, root.path(), "Backup", None, manners()).await;
    assert_eq!(first.code(), 0);
    assert!(first.end().uploaded_files > 100_000, "and the secrets");
    let took = began.elapsed();
    eprintln!("full backup in {took:?}, peak {} MiB", peak_mib());
    eprintln!("{}", phone.durations());
    phone.change(24, 4, 2);
    let began = Instant::now();
    let next = session(&phone, root.path(), "Backup", None, manners()).await;
    let end = next.end();
    assert_eq!((next.code(), end.uploaded_files, end.full), (0, 28, false));
    eprintln!("incremental backup in {:?}", began.elapsed());
    eprintln!("{}", phone.durations());
    let peak = peak_mib();
    // The test keeps all 100 000 messages, and reads Manifest.db as a whole to send it.
    assert!(peak < 800, "{peak} MiB");
}
