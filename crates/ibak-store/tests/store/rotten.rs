//! A store that is damaged, copied: it arrives as damaged as it is, and nobody is deceived.

use crate::copying::{copy, late, look, same, two_places};
use crate::device::*;
use crate::fault::{Fault, FaultFs};
use ibak_store::fs::Errno;
use ibak_store::{Generation, Store, StoreError};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Changes a file without anybody's knowledge.
fn rot(path: &Path) {
    let mode =
        |mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o600);
    let mut bytes = std::fs::read(path).unwrap();
    bytes[0] ^= 1;
    std::fs::write(path, bytes).unwrap();
    mode(0o400);
}

type Spoil = fn(&Path, &[Generation]) -> Vec<usize>;

fn file(home: &Path, made: &Generation, path: &str) -> PathBuf {
    gens(home).join(made.id.as_str()).join(UDID).join(path)
}

/// What is done to a chain of three, and which of them are damaged by it.
const CASES: [(&str, Spoil); 6] = [
    ("a file all share", |home, list| {
        rot(&file(home, &list[0], &place("Library/a")));
        vec![0, 1, 2]
    }),
    ("a file of two", |home, list| {
        rot(&file(home, &list[1], &place("Library/c")));
        vec![1, 2]
    }),
    ("one that is gone", |home, list| {
        std::fs::remove_file(file(home, &list[1], &place("Library/a"))).unwrap();
        vec![1]
    }),
    ("one too many", |home, list| {
        std::fs::write(file(home, &list[2], "zz"), "zz").unwrap();
        vec![2]
    }),
    ("an index", |home, list| {
        rot(&gens(home).join(list[0].id.as_str()).join("index.zst"));
        vec![0]
    }),
    ("a replaced one, which is no link any more", |home, list| {
        let path = file(home, &list[2], &place("Library/a"));
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "something else").unwrap();
        vec![2]
    }),
];

#[test]
fn what_is_damaged_arrives_as_damaged_as_it_is() {
    for (what, spoil) in CASES {
        for stops in [false, true] {
            arrives_as_it_is(what, spoil, stops);
        }
    }
}

fn arrives_as_it_is(what: &str, spoil: Spoil, stops: bool) {
    let (_dir, here, there) = two_places();
    let list = Store::open(&here, late()).unwrap().0.list(&udid()).unwrap();
    let bad = spoil(&here, &list);
    let (from, _) = Store::open(&here, late()).unwrap();
    let before = look(&here, UDID);
    let (to, _) = Store::open(&there, late()).unwrap();
    let mut damaged = BTreeSet::new();
    if stops {
        // After the first backup: what is known of it has to be found again.
        let outcome = from.copy_to(&to, &mut |progress| {
            if progress.files > list[0].files + 1 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        assert_eq!(outcome, Err(StoreError::Cancelled));
        let known = to.list(&udid()).unwrap();
        damaged.extend(
            known
                .into_iter()
                .filter(|made| !made.verified)
                .map(|made| made.id),
        );
    }
    let copied = copy(&from, &to).unwrap();
    damaged.extend(copied.damaged.into_iter().map(|(_, id)| id));
    let want: BTreeSet<_> = bad.iter().map(|place| list[*place].id.clone()).collect();
    assert_eq!(damaged, want, "{what}");
    same(&look(&here, UDID), &before, what);
    let arrived = to.list(&udid()).unwrap();
    assert_eq!(arrived.len(), 3, "{what}");
    for (place, made) in arrived.iter().enumerate() {
        assert_eq!(made.verified, !bad.contains(&place), "{what} {place}");
    }
    for (place, made) in arrived.iter().enumerate() {
        let (here, there) = (verify(&from, &list[place]), verify(&to, made));
        assert_eq!(here, there, "{what} {place}");
        assert_eq!(there.is_good(), !bad.contains(&place), "{what} {place}");
    }
    assert!(look(&there, UDID).0 == before.0, "{what}");
}

#[test]
fn a_block_that_cannot_be_read_is_damage_and_never_a_short_file() {
    let dir = scratch_dir();
    let here = dir.path().join("here");
    {
        let (store, _) = open(&here);
        back_up(&store, &Device::new(&[("a", "1"), ("b", "2")]), at(0)).unwrap();
        back_up(&store, &Device::new(&[("a", "1"), ("b", "3")]), at(1)).unwrap();
    }
    let (mut marked, mut failed) = (0, 0);
    let opened = {
        let fs = FaultFs::new(Fault::None, 0);
        Store::open_on(fs.clone(), &here, options(2)).unwrap();
        fs.operations()
    };
    for operation in opened.. {
        let there = dir.path().join(format!("there-{operation}"));
        let fs = FaultFs::new(Fault::Once(Errno::IO), operation);
        let (from, _) = Store::open_on(fs.clone(), &here, options(2)).unwrap();
        let (to, _) = open(&there);
        let outcome = copy(&from, &to);
        let over = fs.operations() <= operation;
        drop(from);
        let known = to.list(&udid()).unwrap();
        match &outcome {
            Ok(copied) => {
                assert_eq!(known.len(), 2, "{operation}");
                marked += copied.damaged.len();
            }
            Err(_) => failed += 1,
        }
        for made in &known {
            let report = verify(&to, made);
            assert_eq!(
                report.is_good(),
                made.verified,
                "{operation}: {made:?} {report:?}"
            );
        }
        if over {
            assert!(outcome.is_ok_and(|copied| copied.damaged.is_empty()));
            break;
        }
        std::fs::remove_dir_all(&there).unwrap();
    }
    assert!(marked > 4 && failed > 4, "{marked} {failed}");
}

#[test]
fn what_is_no_backup_goes_where_an_opening_would_put_it() {
    let (_dir, here, there) = two_places();
    let (from, _) = Store::open(&here, late()).unwrap();
    let list = from.list(&udid()).unwrap();
    let dir_of = |made: &Generation| gens(&here).join(made.id.as_str());
    std::fs::remove_dir_all(dir_of(&list[0]).join(UDID)).unwrap();
    std::fs::remove_file(dir_of(&list[1]).join("commit.json")).unwrap();
    let (to, _) = Store::open(&there, late()).unwrap();
    let copied = copy(&from, &to).unwrap();
    assert_eq!((copied.backups, copied.unreadable), (2, vec![]));
    let kept = to.list(&udid()).unwrap();
    assert_eq!(kept.len(), 1);
    assert!(verify(&to, &kept[0]).is_good());
    let aside = there.join(UDID).join("quarantine");
    assert_eq!(std::fs::read_dir(&aside).unwrap().count(), 3);
    let lost = aside.join(list[1].id.as_str()).join(UDID);
    let file = std::fs::read(lost.join(place("Library/a"))).unwrap();
    assert_eq!(file, b"never changes");
    assert_eq!(copy(&from, &to).unwrap().written, 0);
}
