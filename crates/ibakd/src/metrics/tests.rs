use super::*;
use ibak_core::{
    Bytes, Event, Failure, Identity, JobId, JobResult, LastResult, Machine, Monotonic, Now,
    PhoneMemory, Policies, StoreNumbers, StoreObservation, Udid,
};
use std::os::unix::fs::symlink;

fn now() -> Now {
    Now {
        monotonic: Monotonic::ZERO,
        wall: Wall::from_secs(1_795_291_200),
    }
}

fn phone(udid: &str, name: &str, retired: bool) -> PhoneMemory {
    PhoneMemory {
        phone: Udid::parse(udid).unwrap(),
        identity: Some(Identity {
            name: name.to_owned(),
            product_type: "iPhone14,5".to_owned(),
            os_version: "15.6".to_owned(),
        }),
        automatic: None,
        quota: None,
        retired,
        passcode_learned: None,
        lock_ever_seen: false,
        last_result: Some(LastResult {
            result: JobResult::Failed(Failure::NoSpace),
            at: Wall::from_secs(1_795_200_000),
        }),
        password_proved: None,
        failures: 1,
        not_before: None,
        first_seen: Wall::from_secs(1_795_000_000),
        last_seen: None,
        data_used: None,
        told: Vec::new(),
        asked: None,
    }
}

fn view() -> View {
    let mut machine = Machine::new(Policies::default(), JobId::new(1), now());
    let evil = "Ada's \"iPhone\" \\\n} 1\nibak_phone_overdue{udid=\"x\"} 0\u{7}";
    for memory in [
        phone("00008030-001A2B3C4D5E6F70", evil, false),
        phone("00008030-001A2B3C4D5E6F71", "Old", true),
    ] {
        drop(machine.handle(Event::Recalled(memory), now()));
    }
    let numbers = StoreNumbers {
        free: Bytes::from_gib(200),
        reserve: Bytes::from_gib(1),
        used: Bytes::from_gib(100),
        quota: Some(Bytes::from_gib(500)),
    };
    let seen = StoreObservation {
        report: StoreReport::Open(numbers),
        at: now(),
        time_to_live: None,
    };
    drop(machine.handle(Event::Store(seen), now()));
    drop(machine.handle(Event::StoreRecovered(Vec::new()), now()));
    machine.view()
}

#[test]
fn the_file_as_prometheus_reads_it() {
    insta::assert_snapshot!(render(&view()));
}

#[tokio::test(start_paused = true)]
async fn it_is_written_when_something_changed_and_at_most_once_a_minute() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ibak.prom");
    let (metrics, writing) = Metrics::new();
    let writing = tokio::spawn(writing);
    let mut view = view();
    let until = async |holds: &dyn Fn() -> bool| {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let used = |path: &Path| -> Option<String> {
        let text = std::fs::read_to_string(path).ok()?;
        let line = text.lines().find(|it| it.starts_with("ibak_paused "));
        line.map(str::to_owned)
    };
    metrics.show(None, &view);
    metrics.show(Some(&path), &view);
    until(&|| used(&path).is_some()).await;
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);

    // The same again is not written again.
    std::fs::remove_file(&path).unwrap();
    metrics.show(Some(&path), &view);
    tokio::time::sleep(WRITE_EVERY * 3).await;
    assert!(!path.exists());

    view.house.pause = Some(ibak_core::Pause { until: None });
    metrics.show(Some(&path), &view);
    until(&|| used(&path).as_deref() == Some("ibak_paused 1")).await;
    let first = Instant::now();
    view.house.pause = None;
    metrics.show(Some(&path), &view);
    until(&|| used(&path).as_deref() == Some("ibak_paused 0")).await;
    assert!(first.elapsed() >= WRITE_EVERY);

    // What is new at the end is written before the end.
    view.house.pause = Some(ibak_core::Pause { until: None });
    metrics.show(Some(&path), &view);
    drop(metrics);
    writing.await.unwrap();
    assert_eq!(used(&path).as_deref(), Some("ibak_paused 1"));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_figures_move_with_the_path_and_go_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (dir.path().join("old.prom"), dir.path().join("new.prom"));
    let (metrics, writing) = Metrics::new();
    let writing = tokio::spawn(writing);
    let there = async |wanted: [bool; 2]| {
        while [old.exists(), new.exists()] != wanted {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let view = view();
    assert!(metrics.is_at(None) && !metrics.is_at(Some(&old)));
    metrics.show(Some(&old), &view);
    assert!(metrics.is_at(Some(&old)));
    there([true, false]).await;
    metrics.show(Some(&new), &view);
    there([false, true]).await;
    metrics.show(None, &view);
    assert!(metrics.is_at(None));
    there([false, false]).await;
    drop(metrics);
    writing.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn they_go_on_while_nobody_looks_at_the_store_and_wait_until_it_was_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ibak.prom");
    std::fs::write(&path, "of the daemon before").unwrap();
    let text = async |view: &View| {
        let (metrics, writing) = Metrics::new();
        metrics.show(Some(&path), view);
        drop(metrics);
        writing.await;
        std::fs::read_to_string(&path).unwrap()
    };
    let mut machine = Machine::new(Policies::default(), JobId::new(1), now());
    let missing = StoreObservation {
        report: StoreReport::Unavailable(ibak_core::StoreTrouble::Missing),
        at: now(),
        time_to_live: None,
    };
    drop(machine.handle(Event::Store(missing), now()));
    assert_eq!(text(&machine.view()).await, "of the daemon before");
    let mut view = view();
    view.house.store = None;
    let text = text(&view).await;
    assert!(text.contains("ibak_phone_overdue") && !text.contains("ibak_store"));
}

#[test]
fn nothing_planted_in_the_folder_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let victim = dir.path().join("victim");
    std::fs::write(&victim, "mine").unwrap();
    let path = dir.path().join("ibak.prom");
    symlink(&victim, dir.path().join("ibak.prom.new")).unwrap();
    symlink(&victim, &path).unwrap();
    replace(&path, "figures").unwrap();
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "mine");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "figures");
    assert!(!std::fs::symlink_metadata(&path).unwrap().is_symlink());
}
