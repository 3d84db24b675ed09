//! Two phones at once, many small files, one large file: bounded memory, and the figures.

use std::time::Instant;

use ibak_dbus::words::{JobState, Outcome};
use ibak_sim::Phone;
use ibak_tests::trouble::{House, phone, say, udid_of};

use super::{MEMORY_MAX, equals};

/// How much there is of it: with `RUN_SLOW_TESTS=1` what issue 2 names, else a sample.
struct Amounts {
    files: u64,
    large: u64,
}

fn amounts() -> Amounts {
    if ibak_tests::slow() {
        Amounts {
            files: 100_000,
            large: 4 << 30,
        }
    } else {
        Amounts {
            files: 5_000,
            large: 64 << 20,
        }
    }
}

fn figure(what: &str, files: u64, bytes: u64, secs: f64, peak: u64) {
    say(&format!(
        "{what}: {files} files, {:.1} MB in {secs:.1} s = {:.1} MB/s, {:.0} files/s, peak memory of ibakd {:.1} MiB",
        bytes as f64 / 1e6,
        bytes as f64 / 1e6 / secs,
        files as f64 / secs,
        peak as f64 / f64::from(1 << 20)
    ));
}

fn held(phone: &Phone) -> (u64, u64) {
    let content = phone.content();
    let content = content.lock().unwrap();
    let files = content.files().filter(|file| file.size > 0).count() as u64;
    (files, content.used_bytes())
}

/// Backs up one phone through a daemon of its own, twice; returns the peak of its memory.
async fn alone(what: &str, spec: ibak_sim::PhoneSpec) -> u64 {
    let house = House::build(vec![spec]).await.unwrap();
    let daemon = house
        .daemon(&house.config("").replace("debug", "info"))
        .await
        .unwrap();
    let mut watcher = house.watch().await.unwrap();
    let it = house.phone(0);
    let udid = udid_of(&it);
    watcher.ready(&udid).await.unwrap();
    let begun = Instant::now();
    let job = house.ask_backup(&udid, false).await.unwrap();
    assert_eq!(watcher.long_end_of(job).await.unwrap(), Outcome::Succeeded);
    let (files, bytes) = held(&it);
    figure(
        what,
        files,
        bytes,
        begun.elapsed().as_secs_f64(),
        daemon.memory_peak().unwrap(),
    );
    equals(&house.path("store"), &it);
    it.change(20, 5, 5);
    watcher.ready(&udid).await.unwrap();
    let begun = Instant::now();
    let job = house.ask_backup(&udid, false).await.unwrap();
    assert_eq!(watcher.long_end_of(job).await.unwrap(), Outcome::Succeeded);
    let peak = daemon.memory_peak().unwrap();
    figure(
        &format!("{what}, 30 changed"),
        25,
        0,
        begun.elapsed().as_secs_f64(),
        peak,
    );
    equals(&house.path("store"), &it);
    peak
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_small_files_take_little_memory() {
    let files = amounts().files;
    let peak = alone("small files", phone(71, files, files * 1_000)).await;
    assert!(peak < MEMORY_MAX, "{peak}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_large_file_takes_little_memory() {
    let large = amounts().large;
    let mut spec = phone(72, 30, large + (1 << 20));
    spec.largest_file = Some(large);
    let peak = alone("one large file", spec).await;
    assert!(peak < MEMORY_MAX, "{peak}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_phones_are_backed_up_at_the_same_time() {
    let house = House::build(vec![phone(73, 600, 6 << 20), phone(74, 600, 6 << 20)])
        .await
        .unwrap();
    let daemon = house.daemon(&house.config("")).await.unwrap();
    let mut watcher = house.watch().await.unwrap();
    let phones = [house.phone(0), house.phone(1)];
    let mut jobs = Vec::new();
    for phone in &phones {
        watcher.ready(&udid_of(phone)).await.unwrap();
    }
    for phone in &phones {
        jobs.push(house.ask_backup(&udid_of(phone), false).await.unwrap());
    }
    watcher
        .until("both at once", |state| {
            let running = |job: &ibak_dbus::views::JobView| {
                job.state == JobState::Running && job.bytes_done.get() > 0
            };
            (state.jobs().iter().filter(|job| running(job)).count() == 2).then_some(())
        })
        .await
        .unwrap();
    for (job, phone) in jobs.into_iter().zip(&phones) {
        assert_eq!(watcher.end_of(job).await.unwrap(), Outcome::Succeeded);
        equals(&house.path("store"), phone);
    }
    let peak = daemon.memory_peak().unwrap();
    assert!(peak < MEMORY_MAX, "{peak}");
    say(&format!(
        "two phones at once: peak memory of ibakd {:.1} MiB",
        peak as f64 / f64::from(1 << 20)
    ));
}
