//! One bit, anywhere below `gens/`: the scrub finds it, names it, and accuses nothing else.

use crate::device::*;
use crate::scrubbing::{flip, inode, whole};
use crate::watch::Inode;
use ibak_core::BackupId;
use ibak_store::Store;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Files hit in one round: of one inode only one bit, so that none hides another.
const BLOBS: usize = 6;

/// A file below `gens/`, under all its names.
struct Target {
    names: Vec<(BackupId, String)>,
    path: PathBuf,
    bits: usize,
}

fn targets(dir: &Path, ids: &[BackupId]) -> (Vec<Target>, Vec<Target>) {
    let mut blobs: BTreeMap<Inode, Target> = BTreeMap::new();
    let mut records = Vec::new();
    for id in ids {
        let top = gens(dir).join(id.as_str());
        for path in fingerprint(&top).into_keys().filter(|path| path.is_file()) {
            let bits = usize::try_from(path.metadata().unwrap().len()).unwrap() * 8;
            let name = path.strip_prefix(&top).unwrap().to_str().unwrap();
            let target = |name: &str| Target {
                names: vec![(id.clone(), name.to_owned())],
                path: path.clone(),
                bits,
            };
            match name.strip_prefix(&format!("{UDID}/")) {
                Some(inside) => blobs
                    .entry(inode(&path))
                    .and_modify(|known| known.names.push((id.clone(), inside.to_owned())))
                    .or_insert_with(|| target(inside)),
                None => {
                    records.push(target(name));
                    continue;
                }
            };
        }
    }
    let blobs = blobs
        .into_values()
        .filter(|target| target.bits > 0)
        .collect();
    (blobs, records)
}

fn store_of_four(dir: &Path) -> (Store, Vec<BackupId>) {
    let (store, _) = open(dir);
    let mut device = Device::default();
    for number in 0..12 {
        device.put(
            &format!("{number}"),
            &format!("content {number} ").repeat(number * 3),
        );
    }
    let ids = (0..4).map(|round| {
        device.put("0", &format!("version {round}"));
        device.put(&format!("{}", round + 1), &format!("version {round}"));
        back_up(&store, &device, at(round)).unwrap().id
    });
    let ids = ids.collect();
    (store, ids)
}

fn known(store: &Store) -> BTreeMap<BackupId, BTreeSet<String>> {
    let list = store.list(&udid()).unwrap();
    list.into_iter()
        .map(|found| (found.id, found.damaged.into_iter().collect()))
        .collect()
}

fn hit<'t>(random: &mut ChaCha8Rng, from: &'t [Target], most: usize) -> Vec<(&'t Target, usize)> {
    let picked: BTreeSet<usize> = (0..most)
        .map(|_| random.random_range(0..from.len()))
        .collect();
    picked
        .into_iter()
        .map(|number| (&from[number], random.random_range(0..from[number].bits)))
        .collect()
}

#[test]
fn ten_thousand_single_bits_are_all_found() {
    let seed = std::env::var("FLIPS_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or(20_261_122);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let dir = scratch_dir();
    let (store, ids) = store_of_four(dir.path());
    let (blobs, records) = targets(dir.path(), &ids);
    assert!(blobs.len() >= 30 && records.len() == 8);
    let mut found = BTreeMap::from([("content", 0), ("index.zst", 0), ("commit.json", 0)]);
    let mut secs = 10;
    while found.values().sum::<i32>() < 10_000 {
        secs += 1;
        let flips = hit(&mut random, &blobs, BLOBS);
        let mut want: BTreeMap<BackupId, BTreeSet<String>> =
            ids.iter().map(|id| (id.clone(), BTreeSet::new())).collect();
        for (target, bit) in &flips {
            flip(&target.path, *bit);
            for (id, name) in &target.names {
                want.get_mut(id).unwrap().insert(name.clone());
            }
        }
        whole(&store, secs);
        assert_eq!(known(&store), want, "seed {seed}, round {secs}");
        flips
            .iter()
            .for_each(|(target, bit)| flip(&target.path, *bit));
        *found.get_mut("content").unwrap() += i32::try_from(flips.len()).unwrap();
        if secs % 3 != 0 {
            continue;
        }
        secs += 1;
        // Of each backup's two records only one, for the one may hide the other.
        let flips: BTreeMap<BackupId, (&Target, usize)> = hit(&mut random, &records, 4)
            .into_iter()
            .map(|(target, bit)| (target.names[0].0.clone(), (target, bit)))
            .collect();
        flips
            .values()
            .for_each(|(target, bit)| flip(&target.path, *bit));
        let report = whole(&store, secs);
        let known = known(&store);
        for id in &ids {
            let Some((target, bit)) = flips.get(id) else {
                assert_eq!(known[id], BTreeSet::new(), "seed {seed}, round {secs}");
                continue;
            };
            let name = target.names[0].1.as_str();
            let what = match name {
                "index.zst" => "its index is damaged",
                _ => "its record commit.json is damaged",
            };
            // A record that makes no sense is not listed; all others say what it is.
            let seen = match known.get(id) {
                Some(known) => known.contains(what) || known.contains("its index is damaged"),
                None => name == "commit.json" && report.damaged[id] == [what],
            };
            assert!(
                seen,
                "seed {seed}, round {secs}: bit {bit} of {name}: {known:?}"
            );
            *found.get_mut(name).unwrap() += 1;
        }
        flips
            .values()
            .for_each(|(target, bit)| flip(&target.path, *bit));
    }
    eprintln!("bit flips: {found:?}, all found, seed {seed}");
    assert!(found.values().all(|count| *count > 500), "{found:?}");
    whole(&store, secs + 1);
    assert!(known(&store).values().all(BTreeSet::is_empty));
}
