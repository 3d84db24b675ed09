//! What was lost, or cannot be read, is never taken for good.

use crate::device::*;
use crate::scrubbing::{flip, found, home, three, whole};
use std::ops::ControlFlow;

#[test]
fn a_pass_from_before_the_loss_does_not_make_up_for_it() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let (_, made) = three(&store);
    flip(&home(dir.path(), &made[2].id).join(place("b")), 1);
    let report = store
        .scrub(&udid(), at(5).wall, &mut |told| {
            // The newest, which has the damage, is done.
            if told.files > made[2].files {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .unwrap();
    assert!(!report.complete && report.backups == 1);
    assert_eq!(found(&store)[2], [place("b")]);
    std::fs::write(dir.path().join(UDID).join("checks.json"), "{").unwrap();
    whole(&store, 6);
    assert_eq!(found(&store), [vec![], vec![], vec![place("b")]]);
}

#[test]
fn a_loss_during_a_pass_is_not_made_up_for_by_that_pass() {
    let dir = scratch_dir();
    let (store, _) = open(dir.path());
    let (_, made) = three(&store);
    let checks = dir.path().join(UDID).join("checks.json");
    let mut lost = false;
    store
        .scrub(&udid(), at(5).wall, &mut |told| {
            if told.files > made[2].files && !lost {
                std::fs::write(&checks, "{").unwrap();
                lost = true;
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    let guarded = || {
        let list = store.list(&udid()).unwrap();
        list.iter().filter(|found| found.guarded).count()
    };
    assert_eq!(guarded(), 3, "nobody knows what the newest was found to be");
    whole(&store, 6);
    assert_eq!(guarded(), 0);
}
