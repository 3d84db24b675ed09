//! The damage matrix: what is harmed, where, and what the next operation makes of it.
//!
//! Whatever it is: nothing panics, the other backups stay as they are and listed, and the next
//! backup comes about. `DAMAGE_TABLE=1` prints the tables as they are found to be.

use crate::device::*;
use crate::harms::{CASES, GARBAGE, Harm};
use crate::scrubbing::{home, whole};
use ibak_store::{Full, Generation, Recovery, Remover, Store, StoreError};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What becomes of a harmed backup; as the operations say it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Row {
    /// A list right after the harm.
    list: String,
    /// A list after the next opening.
    open: String,
    verify: String,
    scrub: String,
    /// Reading the harmed file, from a reader and through a restore.
    read: String,
    remove: String,
    /// What the next backup builds on if the newest, the middle, the oldest, all are harmed.
    next: Vec<String>,
}

fn device(round: u64) -> Device {
    let mut device = Device::new(&[("shared", "the same in all"), ("empty", "")]);
    device.put("a", &format!("version {round} of a"));
    device.put("e", &format!("version {round} of e"));
    device
}

fn three(dir: &Path) -> (Store, Vec<Generation>) {
    let (store, _) = open(dir);
    let made = (0..3)
        .map(|round| back_up(&store, &device(round), at(round)).unwrap())
        .collect();
    (store, made)
}

/// In words that are the same in every run.
fn plain(text: &str) -> String {
    let mut text = text.replace(UDID, "UDID");
    for name in ["a", "e"] {
        text = text.replace(&place(name), name);
    }
    // The name of a backup.
    let is_id = |word: &str| word.len() == 26 && word.starts_with("01");
    let words = text.split_inclusive([' ', '/']).map(|word| {
        let bare = word.trim_end_matches([' ', '/']);
        if is_id(bare) {
            word.replace(bare, "ID")
        } else {
            word.to_owned()
        }
    });
    words.collect()
}

fn shown(store: &Store, id: &Generation) -> String {
    let list = store.list(&udid()).unwrap();
    match list.into_iter().find(|found| found.id == id.id) {
        None => "hidden".to_owned(),
        Some(found) if found.verified => "verified".to_owned(),
        Some(found) => plain(&found.damaged.join(", ")),
    }
}

fn told<T>(outcome: Result<T, StoreError>, well: impl FnOnce(T) -> String) -> String {
    match outcome {
        Ok(value) => well(value),
        Err(error) => {
            let text = plain(&error.to_string());
            assert!(text.len() > 10, "{text}");
            format!("error: {text}")
        }
    }
}

fn verified(store: &Store, id: &Generation) -> String {
    let go_on = &mut |_| std::ops::ControlFlow::Continue(());
    let outcome = store.verify(&udid(), &id.id, at(9).wall, go_on);
    told(outcome, |report| {
        let mut parts = Vec::new();
        for (what, paths) in [
            ("missing", &report.missing),
            ("damaged", &report.damaged),
            ("extra", &report.extra),
        ] {
            if !paths.is_empty() {
                parts.push(format!("{what} {}", plain(&paths.join(", "))));
            }
        }
        parts.extend(report.structure.as_deref().map(plain));
        if parts.is_empty() {
            "good".to_owned()
        } else {
            parts.join("; ")
        }
    })
}

fn reading(store: &Store, id: &Generation, round: u64) -> String {
    let want = device(round).files["a"].clone();
    let judged = |bytes: std::io::Result<Vec<u8>>| match bytes {
        Ok(bytes) if bytes == want => "same",
        Ok(_) => "other",
        Err(_) => "fails",
    };
    let all = |mut from: Box<dyn std::io::Read + Send>| {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).map(|_| bytes)
    };
    let read = store.reader(&udid(), &id.id).map(|reader| {
        let raw = match reader.open(&place("a")) {
            Ok(content) => judged(all(Box::new(content))),
            Err(_) => "refused",
        };
        let named = reader.catalogue(None).and_then(|catalogue| {
            let entry = catalogue.find("HomeDomain", "a")?;
            Ok(match entry.map(|entry| catalogue.open(&entry)) {
                Some(Ok(content)) => judged(all(Box::new(content))),
                Some(Err(_)) => "refused",
                None => "absent",
            })
        });
        (raw, named.unwrap_or("refused"))
    });
    let served = store.serve(&udid(), &id.id).and_then(|serving| {
        let outcome = match serving.open(&tree(&place("a"))) {
            Ok(from) => judged(all(from)),
            Err(_) => "refused",
        };
        serving.close()?;
        Ok(outcome)
    });
    match (read, served) {
        (Ok((raw, named)), Ok(served)) => format!("{raw}, {named}, {served}"),
        (read, served) => {
            let read = told(read, |_| "read".to_owned());
            assert_eq!(read, told(served, str::to_owned));
            read
        }
    }
}

/// The next nights: a phone that is not content ends its session, and has another try.
fn next(dir: &Path, store: &Store, made: &[Generation]) -> String {
    // As it was, and one new file: what is harmed is wanted still.
    let mut device = device(2);
    device.put("new", "since last night");
    for night in 1..4 {
        let Ok(new) = back_up(store, &device, at(10 + night)) else {
            continue;
        };
        assert_eq!(content(store, &new), device.backup());
        assert!(new.verified && verify(store, &new).is_good());
        assert!(home(dir, &new.id).is_dir());
        let names = ["oldest", "middle", "newest"];
        let parent = new.parent.map_or("nothing", |parent| {
            let number = made.iter().position(|made| made.id == parent);
            names[number.unwrap()]
        });
        return format!("{parent}, night {night}");
    }
    "never".to_owned()
}

struct Bench {
    dir: tempfile::TempDir,
    made: Vec<Generation>,
    harmed: Vec<usize>,
    others: BTreeMap<PathBuf, (u32, i64, i64, Vec<u8>)>,
}

impl Bench {
    fn new(harm: Harm, harmed: &[usize]) -> (Store, Self) {
        let dir = scratch_dir();
        let (store, made) = three(dir.path());
        let bench = Self {
            harmed: harmed.to_vec(),
            others: BTreeMap::new(),
            made,
            dir,
        };
        for number in harmed {
            harm(&gens(bench.dir.path()).join(bench.made[*number].id.as_str()));
        }
        let others = bench.unharmed();
        (store, Self { others, ..bench })
    }

    fn unharmed(&self) -> BTreeMap<PathBuf, (u32, i64, i64, Vec<u8>)> {
        let whole = (0..3).filter(|number| !self.harmed.contains(number));
        whole
            .flat_map(|number| {
                fingerprint(&gens(self.dir.path()).join(self.made[number].id.as_str()))
            })
            .collect()
    }

    /// The others are there, as they were, and said to be good.
    fn check(&self, store: &Store, what: &str) {
        assert_eq!(self.unharmed(), self.others, "{what}");
        for number in (0..3).filter(|number| !self.harmed.contains(number)) {
            assert_eq!(shown(store, &self.made[number]), "verified", "{what}");
        }
    }

    /// One and the same answer of all the harmed ones.
    fn each(&self, what: &str, ask: impl Fn(&Generation, u64) -> String) -> String {
        let mut answers: Vec<String> = self
            .harmed
            .iter()
            .map(|number| ask(&self.made[*number], *number as u64))
            .collect();
        answers.dedup();
        assert_eq!(answers.len(), 1, "{what}: {answers:?}");
        answers.remove(0)
    }
}

/// Does each next operation on a store of its own.
fn row(what: &str, harm: Harm, harmed: &[usize]) -> Row {
    let mut row = Row::default();
    let (store, bench) = Bench::new(harm, harmed);
    row.list = bench.each(what, |made, _| shown(&store, made));
    row.read = bench.each(what, |made, round| reading(&store, made, round));
    bench.check(&store, what);

    let (store, bench) = Bench::new(harm, harmed);
    drop(store);
    let (store, recovery): (_, Recovery) = open(bench.dir.path());
    row.open = bench.each(what, |made, _| shown(&store, made));
    if !recovery.quarantined.is_empty() {
        assert_eq!(recovery.quarantined.len(), harmed.len());
        row.open = "set aside".to_owned();
    }
    bench.check(&store, what);

    let (store, bench) = Bench::new(harm, harmed);
    row.verify = bench.each(what, |made, _| verified(&store, made));
    bench.check(&store, what);

    let (store, bench) = Bench::new(harm, harmed);
    let report = whole(&store, 9);
    row.scrub = bench.each(what, |made, _| {
        let found = report.damaged.get(&made.id);
        found.map_or("nothing".to_owned(), |found| plain(&found.join(", ")))
    });
    assert!(report.damaged.len() <= harmed.len(), "{what}");
    bench.check(&store, what);

    let (store, bench) = Bench::new(harm, harmed);
    row.remove = bench.each(what, |made, _| {
        told(store.remove(&udid(), &made.id, Remover::Person), |()| {
            "removed".to_owned()
        })
    });
    bench.check(&store, what);

    let (store, bench) = Bench::new(harm, harmed);
    row.next.push(next(bench.dir.path(), &store, &bench.made));
    bench.check(&store, what);
    row
}

#[test]
fn what_is_harmed_where_and_what_comes_next() {
    let print = std::env::var_os("DAMAGE_TABLE").is_some();
    let mut wrong = Vec::new();
    for case in CASES {
        let newest = row(case.what, case.harm, &[2]);
        let all = row(case.what, case.harm, &[0, 1, 2]);
        let found = [
            &newest.list,
            &newest.open,
            &newest.verify,
            &newest.scrub,
            &newest.read,
            &newest.remove,
            &newest.next[0],
            &all.next[0],
        ];
        if print {
            eprintln!(
                "{:24} | {}",
                case.what,
                found.map(String::as_str).join(" | ")
            );
        }
        if found != case.want {
            wrong.push(format!(
                "{}: {found:?} instead of {:?}",
                case.what, case.want
            ));
        }
        // Where it is makes no difference to what is said of it.
        for harmed in [&[0][..], &[1], &[0, 1, 2]] {
            let there = match harmed.len() {
                1 => row(case.what, case.harm, harmed),
                _ => all.clone(),
            };
            let same = Row {
                next: there.next.clone(),
                ..newest.clone()
            };
            assert_eq!(there, same, "{} at {harmed:?}", case.what);
            if harmed.len() == 1 {
                assert_eq!(there.next, ["newest, night 1"], "{}", case.what);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn records_beside_the_backups_that_are_garbled_lose_nothing() {
    let contents: [&[u8]; 6] = [b"", b"{", b"[]", b"{}", b"null", GARBAGE];
    for name in ["checks.json", "pins.json", "scrub.json", "usage.json"] {
        for bytes in contents {
            let dir = scratch_dir();
            let (store, made) = three(dir.path());
            whole(&store, 5);
            store.pin(&udid(), &made[0].id, true).unwrap();
            let used = store.used(&udid()).unwrap();
            drop(store);
            let kept = fingerprint(&gens(dir.path()));
            let record = dir.path().join(UDID).join(name);
            fs::write(&record, bytes).unwrap();
            let what = format!("{name} {bytes:?}");
            let (store, recovery) = open(dir.path());
            assert_eq!(
                (&recovery.quarantined, &recovery.unreadable),
                (&vec![], &vec![])
            );
            let list = store.list(&udid()).unwrap();
            assert_eq!(list.len(), 3, "{what}");
            assert!(list.iter().all(|found| found.verified), "{what}");
            // A pin that may be lost is a guard.
            assert!(
                list[0].pinned || list[0].guarded || name == "pins.json" && bytes == b"{}",
                "{what}"
            );
            let error = store.used(&udid()).unwrap().abs_diff(used);
            assert!(error <= 8192, "{what}: {error}");
            assert_eq!(fingerprint(&gens(dir.path())), kept, "{what}");
            assert!(verify(&store, &made[1]).is_good(), "{what}");
            let next = back_up(&store, &device(9), at(6)).unwrap();
            assert_eq!(next.parent.as_ref(), Some(&made[2].id), "{what}");
            assert_eq!(whole(&store, 7).damaged, BTreeMap::new(), "{what}");
            store.remove(&udid(), &made[1].id, Remover::Person).unwrap();
            store.pin(&udid(), &made[2].id, true).unwrap();
            let list = store.list(&udid()).unwrap();
            assert_eq!(list.len(), 3, "{what}");
            assert!(
                list.iter().all(|found| found.checked >= Some(at(6).wall)),
                "{what}"
            );
            assert!(list[1].pinned, "{what}");
        }
    }
}

#[test]
fn a_garbled_store_record_is_refused_and_nothing_is_touched() {
    for bytes in [b"".as_slice(), b"{", b"{}", b"null", GARBAGE] {
        let dir = scratch_dir();
        let (store, made) = three(dir.path());
        drop(store);
        let record = dir.path().join("store.json");
        let good = fs::read(&record).unwrap();
        let kept = fingerprint(dir.path());
        fs::write(&record, bytes).unwrap();
        let error = Store::open(dir.path(), options(1)).map(drop).unwrap_err();
        assert!(error.to_string().contains("store.json"), "{error}");
        fs::write(&record, &good).unwrap();
        let mut now = fingerprint(dir.path());
        let mut kept = kept;
        for list in [&mut now, &mut kept] {
            list.remove(&record);
        }
        assert_eq!(now, kept);
        fs::remove_file(&record).unwrap();
        let error = Store::open(dir.path(), options(1)).map(drop).unwrap_err();
        assert!(error.to_string().contains("no backup store"), "{error}");
        fs::write(&record, &good).unwrap();
        let (store, _) = open(dir.path());
        assert_eq!(store.list(&udid()).unwrap(), made);
        let staging = begin(&store, Full::IfNeeded, at(2)).unwrap();
        assert_eq!(staging.parent(), Some(&made[2].id));
    }
}
