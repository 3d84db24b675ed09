//! What stays and what goes: after a commit, by a person, for ever.

use ibak_dbus::words::{KeepReason, PhoneState};
use ibak_dbus::{Dict, Error};
use ibak_tests::trouble::{House, phone, say, udid_of};

use crate::home::Home;

/// Only the newest two stay.
const TWO: &str = "[keep]\nlast = 2\ndaily = 0\nweekly = 0\nmonthly = 0\n";

fn ids(said: &[&String]) -> Vec<String> {
    said.iter().map(|id| (*id).clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retention_pins_and_removal() {
    let mut home = Home::of(phone(91, 60, 2 << 20), TWO).await;
    let (first, _) = home.back_up().await;
    let second = home.next().await;
    assert_eq!(home.listed().await, ids(&[&first, &second]));
    home.ctl(&["pin", &first]).await;
    assert!(home.row(&first).await.pinned);
    let third = home.next().await;
    let fourth = home.next().await;
    // The first is pinned, the second was the third of the newest.
    home.comes_to(&[&first, &third, &fourth]).await;
    home.swept().await;
    let said = home.ctl(&["backups", "--explain"]).await;
    said.says(&["pinned"]);
    let explain = Dict::from([("explain".to_owned(), true.into())]);
    let rows = home.proxy().await.list_backups(explain).await.unwrap();
    let reasons: Vec<_> = rows
        .iter()
        .filter_map(ibak_dbus::views::BackupView::from_dict)
        .map(|row| row.keep.unwrap())
        .collect();
    // The third goes with the next backup: nothing keeps it then.
    assert_eq!(
        reasons,
        [vec![KeepReason::Pinned], vec![], vec![KeepReason::Last]]
    );
    home.holds_the_phone(&fourth);

    // What is pinned is not removed by the way.
    let refused = home.house.ctl(&["remove", &first, "--yes"]).await.unwrap();
    assert_ne!(refused.code, Some(0), "{refused:?}");
    refused.says(&["pinned"]);
    home.ctl(&["unpin", &first]).await;
    assert!(!home.row(&first).await.pinned);
    // Unpinned, it goes with the next backup.
    let fifth = home.next().await;
    home.comes_to(&[&fourth, &fifth]).await;
    home.swept().await;

    // By hand, also the newest; what it says that this frees is what it frees.
    let frees = Dict::from([("frees".to_owned(), true.into())]);
    let rows = home.proxy().await.list_backups(frees).await.unwrap();
    let row = ibak_dbus::views::BackupView::from_dict(&rows[1]).unwrap();
    let before = home.du();
    home.ctl(&["remove", &fifth, "--yes", "--even-pinned"])
        .await;
    home.swept().await;
    assert_eq!(home.listed().await, ids(&[&fourth]));
    let freed = before - home.du();
    // Directories of the phone shrink or grow by a block.
    assert!(
        freed.abs_diff(row.frees.unwrap().get()) <= 4096,
        "{freed} {row:?}"
    );
    let latest = std::fs::read_link(home.place.phone.join("latest")).unwrap();
    assert!(latest.ends_with(&fourth), "{latest:?}");
    let answer = home.proxy().await.remove_backup(&fifth, Dict::new()).await;
    assert!(matches!(answer, Err(Error::NoSuchBackup(_))), "{answer:?}");
    // And on from there.
    let sixth = home.next().await;
    home.holds_the_phone(&sixth);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_used_is_what_du_says() {
    let mut home = Home::of(phone(92, 120, 6 << 20), TWO).await;
    home.back_up().await;
    let mut worst = 0.0_f64;
    for _ in 0..4 {
        home.next().await;
        crate::home::until("retention", || home.place.generations().len() <= 2)
            .await
            .unwrap();
        home.swept().await;
        worst = worst.max(error_of_used(&home).await);
    }
    // What another hand removed is noticed when the store is opened again.
    home.stop().await;
    let oldest = home.place.generations().remove(0);
    std::fs::remove_dir_all(home.place.generation(&oldest)).unwrap();
    home.start().await;
    worst = worst.max(error_of_used(&home).await);
    say(&format!(
        "used bytes on the bus against du: off by {:.4} % at most",
        worst * 100.0
    ));
}

/// How far what the bus says is off what du says, once it has been counted.
async fn error_of_used(home: &Home) -> f64 {
    let mut last = (0, 0);
    for _ in 0..500 {
        last = (home.used().await.get(), home.du());
        let error = last.0.abs_diff(last.1) as f64 / last.1 as f64;
        if error <= 0.001 {
            return error;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("{} instead of {}", last.0, last.1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_that_is_forgotten_leaves_nothing() {
    let mut home = Home::of(phone(93, 60, 1 << 20), "").await;
    let (first, _) = home.back_up().await;
    let second = home.next().await;
    home.ctl(&["pin", &first]).await;
    let name = home.phone.identity().name.clone();
    let unsure = home
        .house
        .ctl(&["forget", &name, "--yes-delete", "somebody"])
        .await
        .unwrap();
    assert_ne!(unsure.code, Some(0), "{unsure:?}");
    assert_eq!(home.listed().await, ids(&[&first, &second]));
    home.ctl(&["forget", &name, "--yes-delete", &name]).await;
    assert!(home.place.generations().is_empty());
    let trash = home.place.phone.parent().unwrap().join("trash");
    crate::home::until("an empty trash", || {
        std::fs::read_dir(&trash).map_or(0, Iterator::count) == 0
    })
    .await
    .unwrap();
    // It is still plugged in: asked, it is backed up from the beginning.
    let (again, _) = home.back_up().await;
    assert!(home.row(&again).await.full);
    home.holds_the_phone(&again);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retired_phone_and_the_one_that_takes_its_place() {
    let house = House::build(vec![phone(94, 60, 1 << 20), phone(95, 60, 1 << 20)])
        .await
        .unwrap();
    let store = house.path("store");
    let mut home = Home::at(house, &store, "").await;
    let (old, _) = home.back_up().await;
    let (one, other) = (home.phone.identity().name.clone(), home.house.phone(1));
    let two = other.identity().name.clone();
    let other_udid = udid_of(&other);
    home.ear.ready(&other_udid).await.unwrap();
    home.ctl(&["storage", "quota", &one, "5G"]).await;
    home.ctl(&["replace", &one, &two]).await;
    let shown = home
        .ear
        .until("a retired phone", |ear| {
            ear.state().phone(&home.udid).filter(|phone| phone.retired)
        })
        .await
        .unwrap();
    assert!(
        !shown.overdue && shown.state != PhoneState::BackingUp,
        "{shown:#?}"
    );
    let row = home.storage().await;
    let quota = row
        .iter()
        .find(|row| row.phone.as_ref() == Some(&other_udid));
    assert_eq!(quota.unwrap().quota.unwrap().get(), 5 << 30);
    // Its backups stay, and lie there also after another start.
    home.daemon.take().unwrap().stop().await.unwrap();
    home.ear.until_gone().await.unwrap();
    home.daemon = Some(home.house.daemon(&home.config).await.unwrap());
    let udid = home.udid.clone();
    home.ear
        .until("still retired", |ear| {
            ear.state().phone(&udid).filter(|phone| phone.retired)
        })
        .await
        .unwrap();
    assert_eq!(home.listed().await, ids(&[&old]));
    home.holds_the_phone(&old);
    home.ctl(&["enable", &one]).await;
    let next = home.next().await;
    home.holds_the_phone(&next);
    assert!(store.join(udid.as_str()).metadata().unwrap().is_dir());
}
