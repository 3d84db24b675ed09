//! Any sequence of verbs against a model, above committed backups that never change.

use crate::device::*;
use crate::either::Verbs;
use ibak_store::{ErrorKind, Full, Generation, Store};
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
enum Op {
    Send(usize, Vec<u8>),
    Abandon(usize),
    MakeDir(usize),
    Rename(usize, usize),
    Remove(usize),
    Copy(usize, usize),
}

/// Few names, so that they meet; some are the committed files' own.
fn names() -> Vec<String> {
    let mut names: Vec<String> = [
        "Manifest.db",
        "Snapshot",
        "Snapshot/ab",
        "Snapshot/ab/f",
        "x",
        "x/y",
        "x/y/z",
        "q",
    ]
    .map(str::to_owned)
    .into();
    for blob in ["a", "b"] {
        names.push(place(blob));
        names.push(place(blob)[..2].to_owned());
    }
    names
}

fn op() -> impl Strategy<Value = Op> {
    let name = 0..names().len();
    prop_oneof![
        3 => (name.clone(), proptest::collection::vec(any::<u8>(), 0..40)).prop_map(|(n, b)| Op::Send(n, b)),
        1 => name.clone().prop_map(Op::Abandon),
        1 => name.clone().prop_map(Op::MakeDir),
        4 => (name.clone(), name.clone()).prop_map(|(a, b)| Op::Rename(a, b)),
        1 => name.clone().prop_map(Op::Remove),
        2 => (name.clone(), name).prop_map(|(a, b)| Op::Copy(a, b)),
    ]
}

/// Files with their content, directories with none.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model(BTreeMap<String, Option<Vec<u8>>>);

impl Model {
    fn parents(path: &str) -> impl Iterator<Item = &str> {
        path.match_indices('/').map(|(at, _)| &path[..at])
    }

    fn file_above(&self, path: &str) -> bool {
        Self::parents(path).any(|above| matches!(self.0.get(above), Some(Some(_))))
    }

    fn make_parents(&mut self, path: &str) {
        for above in Self::parents(path) {
            self.0.insert(above.to_owned(), None);
        }
    }

    fn remove(&mut self, path: &str) {
        let inside = format!("{path}/");
        self.0
            .retain(|name, _| name != path && !name.starts_with(&inside));
    }

    fn subtree(&self, path: &str) -> Vec<(String, Option<Vec<u8>>)> {
        let inside = format!("{path}/");
        let own = |name: &str| name == path || name.starts_with(&inside);
        self.0
            .iter()
            .filter(|(name, _)| own(name))
            .map(|(n, c)| (n[path.len()..].to_owned(), c.clone()))
            .collect()
    }

    /// Says what the store shall answer, and does it.
    fn apply(&mut self, op: &Op, names: &[String]) -> Result<(), ErrorKind> {
        match op {
            Op::Send(name, _) | Op::Abandon(name) => {
                let path = &names[*name];
                if self.file_above(path) {
                    return Err(ErrorKind::NotDirectory);
                }
                if self.0.get(path) == Some(&None) {
                    return Err(ErrorKind::IsDirectory);
                }
                self.make_parents(path);
                self.0.remove(path);
                if let Op::Send(_, bytes) = op {
                    self.0.insert(path.clone(), Some(bytes.clone()));
                }
            }
            Op::MakeDir(name) => {
                let path = &names[*name];
                if self.file_above(path) {
                    return Err(ErrorKind::NotDirectory);
                }
                self.make_parents(path);
                if self.0.contains_key(path) {
                    return Err(ErrorKind::Exists);
                }
                self.0.insert(path.clone(), None);
            }
            Op::Remove(name) => {
                if self.file_above(&names[*name]) {
                    return Err(ErrorKind::NotDirectory);
                }
                self.remove(&names[*name]);
            }
            Op::Rename(from, to) | Op::Copy(from, to) => {
                let (from, to) = (&names[*from], &names[*to]);
                if self.file_above(from) {
                    return Err(ErrorKind::NotDirectory);
                }
                if !self.0.contains_key(from) {
                    return Err(ErrorKind::NotFound);
                }
                if from == to {
                    return Ok(());
                }
                if to.starts_with(&format!("{from}/")) || from.starts_with(&format!("{to}/")) {
                    return Err(ErrorKind::Refused);
                }
                if self.file_above(to) {
                    return Err(ErrorKind::NotDirectory);
                }
                let moved = self.subtree(from);
                if matches!(op, Op::Rename(..)) {
                    self.remove(from);
                }
                self.remove(to);
                self.make_parents(to);
                self.0.extend(
                    moved
                        .into_iter()
                        .map(|(rest, content)| (format!("{to}{rest}"), content)),
                );
            }
        }
        Ok(())
    }
}

fn whole(staging: &impl Verbs) -> Model {
    let mut found = Model::default();
    let mut dirs = vec![String::new()];
    while let Some(dir) = dirs.pop() {
        for entry in staging.list(&tree(&dir)).unwrap() {
            let path = if dir.is_empty() {
                entry.name
            } else {
                format!("{dir}/{}", entry.name)
            };
            let content = staging.content(&tree(&path));
            if content.is_none() {
                dirs.push(path.clone());
            }
            found.0.insert(path, content);
        }
    }
    found
}

/// Does all of it to both; they agree about every answer.
fn play(verbs: &mut impl Verbs, model: &mut Model, ops: &[Op]) -> Result<(), TestCaseError> {
    let names = names();
    for op in ops {
        let want = model.apply(op, &names);
        let path = |name: &usize| tree(&names[*name]);
        let got = match op {
            Op::Send(name, bytes) => verbs.send(&path(name), bytes),
            Op::Abandon(name) => verbs
                .create(&path(name))
                .and_then(|()| verbs.write(b"half"))
                .and_then(|()| verbs.abandon()),
            Op::MakeDir(name) => verbs.create_dir(&path(name)),
            Op::Rename(from, to) => verbs.rename(&path(from), &path(to)),
            Op::Remove(name) => verbs.remove(&path(name)),
            Op::Copy(from, to) => verbs.copy(&path(from), &path(to)),
        };
        prop_assert_eq!(got.map_err(|error| error.kind()), want, "{:?}", op);
    }
    prop_assert_eq!(&whole(verbs), &*model);
    Ok(())
}

/// A backup with more in it than a phone puts there, so that the names of [`names`] meet it.
fn crowded(store: &Store) -> Generation {
    let mut staging = begin(store, Full::IfNeeded, at(0)).unwrap();
    for path in ["x/y/z", "x/y/w", "x/v", "q"] {
        send(&mut staging, path, path.as_bytes(), at(0)).unwrap();
    }
    let device = Device::new(&[("a", "first"), ("b", "second")]);
    upload(&mut staging, &device, at(0)).unwrap();
    settle(&mut staging, &device, at(0)).unwrap();
    staging.commit(done(), at(0)).unwrap()
}

fn cases() -> ProptestConfig {
    let slow = std::env::var_os("RUN_SLOW_TESTS").is_some();
    ProptestConfig {
        cases: if slow { 3000 } else { 150 },
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases())]
    #[test]
    fn any_verbs_leave_the_model_s_tree_and_committed_bytes(ops in proptest::collection::vec(op(), 1..40), stop in any::<bool>()) {
        let dir = scratch_dir();
        let (store, _) = open(dir.path());
        back_up(&store, &Device::new(&[("a", "first"), ("b", "second")]), at(0)).unwrap();
        let before = fingerprint(&gens(dir.path()));
        let mut staging = begin(&store, Full::IfNeeded, at(1)).unwrap();
        let mut model = whole(&staging);
        play(&mut staging, &mut model, &ops)?;
        prop_assert_eq!(&fingerprint(&gens(dir.path())), &before);
        // What was kept is believed again, all of it: the log said so.
        send(&mut staging, "Status.plist", &status("uploading"), at(1)).unwrap();
        let model = whole(&staging);
        if stop {
            prop_assert_eq!(staging.keep(at(2)), Ok(true));
            let staging = begin(&store, Full::IfNeeded, at(3)).unwrap();
            prop_assert!(staging.resumed());
            prop_assert_eq!(&whole(&staging), &model);
            prop_assert_eq!(&fingerprint(&gens(dir.path())), &before);
        }
    }

    #[test]
    fn any_verbs_on_a_served_backup_leave_the_model_s_view_and_committed_bytes(ops in proptest::collection::vec(op(), 1..40)) {
        let dir = scratch_dir();
        let (store, _) = open(dir.path());
        let made = crowded(&store);
        let before = fingerprint(&gens(dir.path()));
        let mut serving = store.serve(&udid(), &made.id).unwrap();
        let mut model = whole(&serving);
        let files = model.0.iter().filter_map(|(path, content)| Some((path.clone(), content.clone()?)));
        prop_assert_eq!(files.collect::<Files>(), content(&store, &made));
        play(&mut serving, &mut model, &ops)?;
        prop_assert_eq!(&fingerprint(&gens(dir.path())), &before);
        serving.close().unwrap();
        prop_assert_eq!(&fingerprint(&gens(dir.path())), &before);
        prop_assert_eq!(std::fs::read_dir(dir.path().join(UDID).join("scratch")).unwrap().count(), 0);
        prop_assert!(verify(&store, &made).is_good());
    }
}
