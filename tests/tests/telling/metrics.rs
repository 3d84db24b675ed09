//! The file for Prometheus, written by the real daemon and read as a collector reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;

use ibak_dbus::MirrorState;
use ibak_dbus::words::Outcome;
use ibak_tests::trouble::{House, phone, udid_of};

/// Samples by name and labels.
type Samples = BTreeMap<(String, BTreeMap<String, String>), f64>;

/// Reads the text format, and panics where a collector would complain.
fn parse(text: &str) -> Samples {
    let mut samples = Samples::new();
    let mut typed = BTreeSet::new();
    let mut explained = BTreeSet::new();
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(
                help.ends_with('.') && explained.insert(name.to_owned()),
                "{line}"
            );
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(kind, "gauge");
            assert!(typed.insert(name.to_owned()), "{line}");
        } else {
            let (name, labels, value) = sample(line);
            assert!(typed.contains(&name) && explained.contains(&name), "{line}");
            let value = value.parse().unwrap();
            assert!(
                samples.insert((name, labels), value).is_none(),
                "twice: {line}"
            );
        }
    }
    samples
}

fn sample(line: &str) -> (String, BTreeMap<String, String>, String) {
    let end = line.find(['{', ' ']).unwrap();
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (key, text) = rest.split_once("=\"").unwrap();
            let mut value = String::new();
            let mut chars = text.char_indices();
            let end = loop {
                match chars.next().unwrap() {
                    (_, '\\') => match chars.next().unwrap().1 {
                        'n' => value.push('\n'),
                        c => value.push(c),
                    },
                    (at, '"') => break at,
                    (_, c) => value.push(c),
                }
            };
            assert!(labels.insert(key.to_owned(), value).is_none());
            rest = &text[end + 1..];
            match rest.strip_prefix(',') {
                Some(more) => rest = more,
                None => break,
            }
        }
        rest = rest.strip_prefix('}').unwrap();
    }
    (
        name.to_owned(),
        labels,
        rest.strip_prefix(' ').unwrap().to_owned(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_daemon_writes_what_a_collector_reads() {
    let evil = "A \"b\" \\ c";
    let spec = ibak_sim::PhoneSpec {
        name: evil.to_owned(),
        ..phone(71, 40, 1 << 20)
    };
    let house = House::build(vec![spec]).await.unwrap();
    let path = house.path("ibak.prom");
    let config = house.config(&format!("metrics_textfile = {path:?}"));
    let daemon = house.daemon(&config).await.unwrap();
    let mut watcher = house.watch().await.unwrap();
    let udid = udid_of(&house.phone(0));
    watcher.ready(&udid).await.unwrap();
    let job = house.ask_backup(&udid, false).await.unwrap();
    assert_eq!(watcher.end_of(job).await.unwrap(), Outcome::Succeeded);
    let shown = watcher
        .phone(&udid, "its backup", |view| {
            view.last_backup.is_some() && view.used.get() > 0
        })
        .await
        .unwrap();
    let store_is_read =
        |state: &MirrorState| (state.manager()?.storage_used.get() > 0).then_some(());
    watcher
        .until("what the store holds", store_is_read)
        .await
        .unwrap();
    // What is new is written within a minute, or before the daemon ends.
    daemon.stop().await.unwrap();

    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644, "for another user to read");
    let samples = parse(&fs::read_to_string(&path).unwrap());
    let of_phone: BTreeMap<String, String> = [("udid", udid.as_str()), ("name", evil)]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
    let value = |name: &str, labels: &BTreeMap<String, String>| {
        let found = samples.get(&(name.to_owned(), labels.clone()));
        *found.unwrap_or_else(|| panic!("no {name} {labels:?} in {samples:#?}"))
    };
    let seconds = shown.last_backup.unwrap().as_micros() / 1_000_000;
    let last = value("ibak_phone_last_backup_timestamp_seconds", &of_phone);
    assert!((last - seconds as f64).abs() < 0.5);
    assert!(value("ibak_phone_used_bytes", &of_phone) > 0.0);
    assert!((value("ibak_phone_overdue", &of_phone)).abs() < 0.5);
    let with = |key: &str, word: &str| {
        let mut labels = of_phone.clone();
        labels.insert(key.to_owned(), word.to_owned());
        labels
    };
    value("ibak_phone_last_result", &with("result", "succeeded"));
    let none = BTreeMap::new();
    assert!(value("ibak_jobs_running", &none).abs() < 0.5);
    assert!(value("ibak_store_free_bytes", &none) > 0.0);
    assert!(value("ibak_store_used_bytes", &none) > 0.0);
    let state = [("state".to_owned(), "ok".to_owned())].into();
    value("ibak_store_state", &state);
    assert!(!house.path("ibak.prom.new").exists());
}
