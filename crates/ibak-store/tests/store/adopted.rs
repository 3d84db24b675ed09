//! What was adopted stays, and what it follows too.

use crate::adopting::{DAY, offer, phone, theirs};
use crate::device::*;
use crate::fault::{Fault, FaultFs};
use ibak_store::fs::Errno;
use ibak_store::{Adopted, Remover, Store};

#[test]
fn it_is_pinned_before_it_is_there_and_no_plan_removes_it() {
    let dir = scratch_dir();
    let home = dir.path().join("store");
    let (store, _) = open(&home);
    let own = back_up(&store, &phone(), at(9 * DAY)).unwrap();
    back_up(&store, &phone(), at(10 * DAY)).unwrap();
    let outcome = offer(&store, &theirs(phone().backup(), 1), 11 * DAY).unwrap();
    let Adopted::New(made) = outcome else {
        panic!("{outcome:?}");
    };
    assert!(made.pinned);
    assert_eq!(store.list(&udid()).unwrap()[0], made);
    let error = store.remove(&udid(), &made.id, Remover::Plan).unwrap_err();
    assert!(error.to_string().contains("pinned"), "{error}");
    store.remove(&udid(), &own.id, Remover::Plan).unwrap();
    // Until a person says so.
    assert!(store.pin(&udid(), &made.id, false).unwrap());
    store.remove(&udid(), &made.id, Remover::Plan).unwrap();
}

#[test]
fn a_failed_one_leaves_no_pin() {
    let dir = scratch_dir();
    let opened = {
        let fs = FaultFs::new(Fault::None, 0);
        Store::open_on(fs.clone(), &dir.path().join("new"), options(0)).unwrap();
        fs.operations()
    };
    let (mut failed, mut came) = (0, 0);
    for operation in (opened..).step_by(7) {
        let home = dir.path().join(format!("store-{operation}"));
        let fs = FaultFs::new(Fault::Once(Errno::IO), operation);
        let (store, _) = Store::open_on(fs.clone(), &home, options(0)).unwrap();
        let outcome = offer(&store, &theirs(phone().backup(), 1), 11 * DAY);
        if fs.operations() <= operation {
            assert!(outcome.is_ok());
            break;
        }
        let list = store.list(&udid()).unwrap();
        assert!(list.iter().all(|made| made.pinned), "{operation}");
        assert!(list.len() == 1 || outcome.is_err(), "{operation}");
        let pins = std::fs::read(home.join(UDID).join("pins.json"));
        let pins = pins.map_or(0, |pins| {
            let record: serde_json::Value = serde_json::from_slice(&pins).unwrap();
            record["pinned"].as_array().unwrap().len()
        });
        assert_eq!(pins, list.len(), "{operation}");
        if list.is_empty() {
            failed += 1;
        } else {
            came += 1;
        }
        std::fs::remove_dir_all(&home).unwrap();
    }
    assert!(failed > 10 && came > 0, "{failed} {came}");
}

#[test]
fn what_it_follows_is_guarded_when_it_has_lost_much() {
    let dir = scratch_dir();
    let (store, _) = open(&dir.path().join("store"));
    let own = back_up(&store, &phone(), at(DAY)).unwrap();
    let few = Device::new(&[("Library/1", "1")]);
    // One from before is no loss.
    offer(&store, &theirs(few.backup(), 0), 11 * DAY).unwrap();
    let guarded = || {
        let list = store.list(&udid()).unwrap();
        list.iter()
            .find(|found| found.id == own.id)
            .unwrap()
            .guarded
    };
    assert!(!guarded());
    offer(&store, &theirs(few.backup(), 5), 11 * DAY).unwrap();
    assert!(guarded());
}
