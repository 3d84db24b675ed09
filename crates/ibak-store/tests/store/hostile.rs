//! Keybags and lists of files that no phone made.

use crate::device::*;
use crate::sealed::*;
use ibak_store::{Filter, Keybag, KeybagError, Listed, Store, StoreError, Unlocking};
use proptest::prelude::*;
use std::ops::ControlFlow;
use std::sync::Mutex;

fn bag() -> Bag {
    Bag::new(PASSWORD, 20, 3, 0xab)
}

fn refused(bag: &Bag) -> KeybagError {
    Keybag::parse(&bag.bytes()).err().unwrap()
}

#[test]
fn work_no_phone_asks_for_is_refused_before_any_is_done() {
    let number = |number: u32| number.to_be_bytes();
    for (dpic, iter) in [
        (4_000_000_000, 3),
        (u32::MAX, u32::MAX),
        (Keybag::DPIC_MAX + 1, 3),
        (20, Keybag::ITER_MAX + 1),
    ] {
        let bent = bag()
            .set(b"DPIC", &number(dpic))
            .set(b"ITER", &number(iter));
        assert_eq!(refused(&bent), KeybagError::TooCostly { dpic, iter });
    }
    let most = bag()
        .set(b"DPIC", &number(Keybag::DPIC_MAX))
        .set(b"ITER", &number(Keybag::ITER_MAX));
    let most = Keybag::parse(&most.bytes()).unwrap();
    assert_eq!(most.cost(), (50_000_000, 1_000_000));
    for tag in [b"DPIC", b"ITER"] {
        let none = refused(&bag().set(tag, &number(0)));
        assert!(matches!(none, KeybagError::Malformed(_)));
    }
}

#[test]
fn a_keybag_is_whole_or_refused() {
    let good = bag().bytes();
    assert!(Keybag::parse(&good).is_ok());
    let class = 8 + 16 + 3 * (8 + 4) + 8 + 40;
    for cut in 0..good.len() {
        let parsed = Keybag::parse(&good[..cut]);
        // Cut between two classes it is a shorter keybag, and a whole one.
        let rest = good.len() - cut;
        let whole = rest.is_multiple_of(class) && rest / class < 5;
        assert_eq!(parsed.is_ok(), whole, "{cut}");
    }
    let long = [good.as_slice(), &[0; 70_000]].concat();
    let mut bents = vec![
        bag().set(b"WPKY", &[0; 39]),
        bag().set(b"WPKY", &[0; 41]),
        bag().set(b"WPKY", &[]),
        bag().set(b"UUID", &[0; 15]),
        bag().set(b"TYPE", &3_u32.to_be_bytes()),
        bag().set(b"ITER", &[0; 8]),
        bag().set(b"DPIC", &[1]),
        bag().set(b"SALT", &[]),
        bag().set(b"SALT", &[0; 1000]),
        bag().set(b"CLAS", &2_u32.to_be_bytes()),
    ];
    for tag in [
        b"TYPE", b"UUID", b"SALT", b"ITER", b"DPIC", b"DPSL", b"CLAS", b"WPKY",
    ] {
        bents.push(bag().without(tag));
    }
    let mut twice = bag();
    twice.fields.insert(3, (*b"SALT", vec![1; 20]));
    bents.push(twice);
    let mut many = bag();
    let class = many.fields[10..15].to_vec();
    for number in 100..200_u32 {
        let mut class = class.clone();
        class[1].1 = number.to_be_bytes().to_vec();
        many.fields.extend(class);
    }
    bents.push(many);
    for bent in &bents {
        assert!(matches!(refused(bent), KeybagError::Malformed(_)));
    }
    assert!(matches!(
        Keybag::parse(&long).err(),
        Some(KeybagError::Malformed(_))
    ));
    // A length of 4 GiB in a few bytes.
    let mut giant = good.clone();
    giant[4..8].copy_from_slice(&[0xff; 4]);
    assert!(Keybag::parse(&giant).is_err());
}

#[test]
fn a_keybag_from_before_ios_10_2_and_unknown_fields_open() {
    let mut kek = [0; 32];
    pbkdf2::pbkdf2::<hmac::Hmac<sha1::Sha1>>(PASSWORD.as_bytes(), &[7; 20], 3, &mut kek).unwrap();
    let mut wrapped = [0; 40];
    aes_kw::KekAes256::from(kek)
        .wrap(&class_key(1), &mut wrapped)
        .unwrap();
    let old = bag()
        .without(b"DPSL")
        .without(b"DPIC")
        .set(b"WPKY", &wrapped);
    let old = Keybag::parse(&old.bytes()).unwrap();
    assert_eq!(old.cost(), (0, 3));
    assert!(old.unlock(&secret(), &()).is_ok());
    let mut newer = bag();
    newer.fields.insert(4, (*b"NEWX", vec![1; 300]));
    newer.fields.push((*b"PBKY", vec![1; 32]));
    assert!(
        Keybag::parse(&newer.bytes())
            .unwrap()
            .unlock(&secret(), &())
            .is_ok()
    );
}

/// Notes how far it was, and says stop at the fourth question.
#[derive(Default)]
struct Watch(Mutex<Vec<f64>>);

impl Unlocking for Watch {
    fn progress(&self, share: f64) {
        self.0.lock().unwrap().push(share);
    }

    fn cancelled(&self) -> bool {
        self.0.lock().unwrap().len() >= 3
    }
}

#[test]
fn fifty_million_rounds_stop_when_told_after_a_few_thousand() {
    let most = bag().set(b"DPIC", &Keybag::DPIC_MAX.to_be_bytes());
    let keybag = Keybag::parse(&most.bytes()).unwrap();
    let watch = Watch::default();
    assert_eq!(
        keybag.unlock(&secret(), &watch).err(),
        Some(KeybagError::Cancelled)
    );
    let seen = watch.0.into_inner().unwrap();
    assert_eq!(seen.len(), 3);
    let rounds = seen[2] * f64::from(Keybag::DPIC_MAX);
    assert!((2000.0..2100.0).contains(&rounds), "{rounds}");
}

proptest! {
    #[test]
    fn broken_keybags_never_panic_and_never_cost(flips in proptest::collection::vec((0usize..700, any::<u8>()), 1..8), cut in 0usize..700) {
        let mut bytes = bag().bytes();
        let length = bytes.len();
        for (at, value) in flips {
            bytes[at % length] = value;
        }
        bytes.truncate(length - cut % 60);
        if let Ok(keybag) = Keybag::parse(&bytes) {
            let (dpic, iter) = keybag.cost();
            prop_assert!(dpic <= Keybag::DPIC_MAX && iter <= Keybag::ITER_MAX);
            if dpic < 1000 && iter < 1000 {
                prop_assert_ne!(keybag.unlock(&secret(), &()).err(), Some(KeybagError::Cancelled));
            }
        }
    }
}

/// What an encrypted backup with this Manifest.db lists, for its structure is not looked into.
fn listed(
    store: &Store,
    database: Vec<u8>,
    secs: u64,
) -> Result<(Vec<String>, Listed), StoreError> {
    let sealed = Sealed {
        database: Some(database),
        ..Sealed::new()
    };
    let made = sealed.commit(store, at(secs));
    let reader = store.reader(&udid(), &made.id)?;
    let catalogue = reader.catalogue(Some(&keys(&reader)))?;
    let mut names = Vec::new();
    let listed = catalogue.for_each(&Filter::default(), &mut |entry| {
        names.push(format!("{}/{}", entry.domain, entry.path));
        ControlFlow::Continue(())
    })?;
    Ok((names, listed))
}

#[test]
fn a_list_of_files_that_is_no_table_is_refused() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let real = "CREATE TABLE real (fileID TEXT, domain TEXT, relativePath TEXT, flags INTEGER, file BLOB);";
    let schemas = [
        format!("{real} CREATE VIEW Files AS SELECT * FROM real;"),
        format!("{real} CREATE VIEW Files AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT x AS fileID, x AS domain, x AS relativePath, 1 AS flags, NULL AS file FROM c;"),
        "CREATE VIRTUAL TABLE Files USING fts5(fileID, domain, relativePath, flags, file);".to_owned(),
        "CREATE TABLE Files (fileID TEXT, domain TEXT, relativePath TEXT, flags INTEGER, file BLOB AS (zeroblob(16000000)));".to_owned(),
        "CREATE TABLE Files (fileID TEXT, domain TEXT);".to_owned(),
        "CREATE TABLE Other (x);".to_owned(),
    ];
    for (secs, schema) in (0..).zip(&schemas) {
        let found = listed(&store, database(schema, &[]), secs);
        assert!(
            matches!(found, Err(StoreError::Damaged { .. })),
            "{schema}: {found:?}"
        );
    }
    // A plain one does not even become a backup.
    let mut files = Sealed::plain().files();
    files.insert("Manifest.db".into(), database(&schemas[0], &[]));
    assert!(matches!(
        try_commit(&store, &files, at(90)),
        Err(StoreError::Incomplete(_))
    ));
    for junk in [vec![0; 4096], b"SQLite format 3\0".repeat(64)] {
        assert!(listed(&store, junk, 100).is_err());
    }
}

#[test]
fn triggers_do_not_run_and_a_giant_row_is_an_error() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let trigger = format!(
        "{SCHEMA} CREATE TRIGGER t AFTER INSERT ON Properties BEGIN DELETE FROM Files; END;"
    );
    let row = |blob: Vec<u8>| {
        let id = id_of("HomeDomain", "a");
        [(id, "HomeDomain".to_owned(), "a".to_owned(), 1, blob)]
    };
    let (names, _) = listed(&store, database(&trigger, &row(vec![])), 0).unwrap();
    assert_eq!(names, ["HomeDomain/a"]);
    let giant = listed(&store, database(SCHEMA, &row(vec![0; 20 << 20])), 1);
    assert!(
        matches!(giant, Err(StoreError::Damaged { .. })),
        "{giant:?}"
    );
}

#[test]
fn rows_no_phone_makes_are_counted_and_passed_over() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let row = |domain: &str, path: &str, flags: i64| {
        (
            id_of(domain, path),
            domain.to_owned(),
            path.to_owned(),
            flags,
            b"no archive".to_vec(),
        )
    };
    let long = "x/".repeat(3000);
    let bad = [
        row("HomeDomain", "../../.ssh/authorized_keys", 1),
        row("HomeDomain", "a/../../b", 1),
        row("HomeDomain", "..", 2),
        row("HomeDomain", "/etc/passwd", 1),
        row("HomeDomain", "a//b", 1),
        row("HomeDomain", "a/", 2),
        row("HomeDomain", "./a", 1),
        row("HomeDomain", "a\0b", 1),
        row("HomeDomain", &long, 1),
        row("../HomeDomain", "a", 1),
        row("..", "a", 1),
        row("", "a", 1),
        row("a/b", "c", 1),
        row("MediaDomain", "", 1),
        row("HomeDomain", "a", 3),
        row("HomeDomain", "b", 0),
        // A link that leads nowhere.
        row("HomeDomain", "c", 4),
        ("0".repeat(40), "HomeDomain".into(), "d".into(), 1, vec![]),
        ("../../x".into(), "HomeDomain".into(), "e".into(), 1, vec![]),
        ("A".repeat(40), "HomeDomain".into(), "f".into(), 1, vec![]),
    ];
    let good = [
        row("HomeDomain", "a\u{1b}[2J\u{202e}b\n", 1),
        row("HomeDomain", "...", 1),
        row("HomeDomain", "", 2),
    ];
    let rows: Vec<_> = bad.iter().chain(&good).cloned().collect();
    let (names, found) = listed(&store, database(SCHEMA, &rows), 0).unwrap();
    assert_eq!(
        names,
        [
            "HomeDomain/a\u{1b}[2J\u{202e}b\n",
            "HomeDomain/...",
            "HomeDomain/"
        ]
    );
    assert_eq!(
        found,
        Listed {
            given: 3,
            refused: bad.len() as u64
        }
    );
    // Columns of other types.
    let odd = format!(
        "{SCHEMA} INSERT INTO Files VALUES (1, 2, 3, 'x', 5), (NULL, NULL, NULL, NULL, NULL), (x'00', x'01', x'02', x'03', x'04'), (7, 'HomeDomain', x'ff', 1, 'text');"
    );
    let (names, found) = listed(&store, database(&odd, &[]), 1).unwrap();
    assert_eq!((names.len(), found.refused), (0, 4));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if std::env::var_os("RUN_SLOW_TESTS").is_some() { 3000 } else { 60 }, ..ProptestConfig::default() })]
    #[test]
    fn broken_lists_of_files_never_panic(flips in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..30), cut in 0usize..3) {
        let dir = scratch_dir();
        let (store, _) = open(dir.path());
        let plain = Sealed::plain().files();
        let mut bytes = plain["Manifest.db"].clone();
        for (at, value) in flips {
            let length = bytes.len();
            // The magic stays, and most of the rest is reached.
            bytes[16 + at % (length - 16)] = value;
        }
        bytes.truncate(bytes.len() - cut * 1000);
        match listed(&store, bytes, 0) {
            Ok(_) | Err(StoreError::Damaged { .. }) => {}
            Err(other) => prop_assert!(false, "{other}"),
        }
    }
}

#[test]
fn a_million_rows_are_read_one_by_one() {
    let rows_max = if std::env::var_os("RUN_SLOW_TESTS").is_some() {
        1_000_000
    } else {
        20_000
    };
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let rows: Vec<_> = (0..rows_max)
        .map(|number| {
            let path = format!("Library/file {number}");
            let id = id_of("HomeDomain", &path);
            (id, "HomeDomain".to_owned(), path, 1, vec![])
        })
        .collect();
    let made = Sealed {
        database: Some(database(SCHEMA, &rows)),
        ..Sealed::new()
    }
    .commit(&store, at(0));
    drop(rows);
    let reader = store.reader(&udid(), &made.id).unwrap();
    let catalogue = reader.catalogue(Some(&keys(&reader))).unwrap();
    let mut seen = 0_u64;
    let listed = catalogue
        .for_each(&Filter::default(), &mut |_| {
            seen += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(
        (seen, listed.given, listed.refused),
        (rows_max, rows_max, 0)
    );
    let last = format!("Library/file {}", rows_max - 1);
    assert!(catalogue.find("HomeDomain", &last).unwrap().is_some());
}
