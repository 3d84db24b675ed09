//! What rots is found, said and repaired; the history may rot as it likes.

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

use ibak_dbus::MirrorEvent;
use ibak_dbus::words::{AttentionKind, Outcome};
use ibak_tests::night::{self, DAY, Night, Setup};
use ibak_tests::trouble::phone;

use crate::home::{Home, some_file};

/// Turns one bit of a file over.
fn flip(path: &Path) {
    let mode = path.metadata().unwrap().permissions();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    let file = fs::File::options()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    let at = file.metadata().unwrap().len() / 2;
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    drop(file);
    fs::set_permissions(path, mode).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_is_found_said_and_repaired() {
    let mut home = Home::of(phone(96, 80, 4 << 20), "").await;
    let (first, whole) = home.back_up().await;
    let second = home.next().await;
    home.ctl(&["verify", &second]).await.says(&["is good"]);
    // Both share it.
    let file = some_file(&home.place, &second);
    let size = file.metadata().unwrap().len();
    flip(&file);
    let said = home.house.ctl(&["verify", &second]).await.unwrap();
    assert_eq!(said.code, Some(1), "{said:?}");
    said.says(&["damaged"]);
    let row = home.row(&second).await;
    assert_eq!((row.damaged, row.verified), (1, None), "{row:?}");
    home.ctl(&["backups"]).await.says(&["damaged"]);
    let one = home.row(&first).await;
    let shared = home.place.damaged(&first).unwrap() == 1;
    assert_eq!(one.damaged > 0, shared, "{one:?}");

    // The next backup has the phone send that file again, and little else.
    let (third, sent) = home.back_up().await;
    home.holds_the_phone(&third);
    assert!(
        sent >= size && sent < whole / 2,
        "{sent} of {whole}, the file has {size}"
    );
    home.ctl(&["verify", &third]).await.says(&["is good"]);
    assert!(home.row(&third).await.verified.is_some());
    assert_eq!(
        home.row(&second).await.damaged,
        1,
        "it is no better for that"
    );
    let latest = fs::read_link(home.place.phone.join("latest")).unwrap();
    assert!(latest.ends_with(&third), "{latest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_rots_unseen_is_found_within_the_month_and_told() {
    let mut night = Setup::of(vec![night::phone("Ada's iPhone")])
        .by_cable()
        .begin()
        .await;
    night
        .until_phone(0, "it is known", |view| !view.name.is_empty())
        .await;
    assert_eq!(night.back_up_now(0, &[]).await, Outcome::Succeeded);
    let id = night.backups(0).await[0].id.clone();
    let place = crate::tree::Place::new(&night.store(), night.udid(0).as_str());
    flip(&some_file(&place, id.as_str()));
    night.set(0, &["attached=none"]).await;
    night.stop_daemon().await;
    night.clock.advance(31 * DAY);
    night.start_daemon().await;
    // It is read when nobody is looking, and told as an event of its own.
    for _ in 0..600 {
        if !troubles(&night).is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        night.settle().await;
    }
    assert_eq!(troubles(&night), ["damage-found"]);
    assert_eq!(night.backups(0).await[0].damaged, 1);
}

/// What was said to be wrong with the store.
fn troubles(night: &Night) -> Vec<String> {
    night
        .events
        .iter()
        .filter_map(|event| match event {
            MirrorEvent::Attention { kind, details, .. }
                if *kind == AttentionKind::StoreTrouble =>
            {
                Some(String::try_from(details["reason"].try_clone().unwrap()).unwrap())
            }
            _ => None,
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_that_is_lost_or_garbled_loses_no_backup() {
    let mut home = Home::of(phone(97, 60, 1 << 20), "").await;
    let mut made = vec![home.back_up().await.0];
    let state = home.house.path("ibakd.state");
    let histories = || -> Vec<_> {
        let files = crate::tree::files_below(&state).unwrap();
        let named = files.iter().filter(|name| name.starts_with("history"));
        named.map(|name| state.join(name)).collect()
    };
    assert!(!histories().is_empty(), "nothing to lose");
    // Gone while it runs, then garbled while it runs.
    for garble in [false, true] {
        for file in histories() {
            if garble {
                fs::write(&file, [0xa5; 20_000]).unwrap();
            } else {
                fs::remove_file(&file).unwrap();
            }
        }
        made.push(home.next().await);
        assert_eq!(home.listed().await, made);
    }
    // At its start: gone, garbled, a directory, cut off in the middle.
    for harm in 0..4 {
        home.stop().await;
        for file in histories() {
            match harm {
                0 => fs::remove_file(&file).unwrap(),
                1 => fs::write(&file, [0x5a; 20_000]).unwrap(),
                2 => {
                    fs::remove_file(&file).unwrap();
                    fs::create_dir(&file).unwrap();
                    fs::write(file.join("inside"), "").unwrap();
                }
                _ => {
                    let length = file.metadata().unwrap().len();
                    fs::File::options()
                        .write(true)
                        .open(&file)
                        .unwrap()
                        .set_len(length / 2)
                        .unwrap();
                }
            }
        }
        home.start().await;
        assert_eq!(home.listed().await, made, "{harm}");
        made.push(home.next().await);
        // Of one day only the last three stay.
        made.remove(0);
        home.comes_to(&made.iter().collect::<Vec<_>>()).await;
        home.holds_the_phone(&made[2]);
        if harm == 2 {
            home.stop().await;
            for file in fs::read_dir(&state).unwrap() {
                let path = file.unwrap().path();
                if path.is_dir()
                    && path
                        .file_name()
                        .unwrap()
                        .to_string_lossy()
                        .starts_with("history")
                {
                    fs::remove_dir_all(path).unwrap();
                }
            }
            home.start().await;
        }
    }
}
