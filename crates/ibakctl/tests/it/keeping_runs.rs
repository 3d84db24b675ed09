//! The real binary and what is kept: checked, pinned, removed, bounded, retired, forgotten.

use super::fixtures::{ada, job, studio};
use super::keeping::kept;
use super::mock::{Mock, Ran, Script, Step};
use super::storing::storage;
use super::tty::{Tty, without_terminal};
use ibak_dbus::views::{BackupView, CompletedView, JobView, PhoneView};
use ibak_dbus::words::{Outcome, Phase};
use ibak_dbus::{Bytes, Error};
use std::collections::VecDeque;
use std::process::Command;

/// The ids of `kept`, whose number is in the fifth place.
const NEWEST: &str = "01JD8Z3YQ9V6W2X4T5R7P8N0KM";
const DAMAGED: &str = "01JD6Z3YQ9V6W2X4T5R7P8N0KM";
const PINNED: &str = "01JD4Z3YQ9V6W2X4T5R7P8N0KM";
const HELD: &str = "01JD3Z3YQ9V6W2X4T5R7P8N0KM";
const PLAIN: &str = "01JD2Z3YQ9V6W2X4T5R7P8N0KM";

async fn house() -> Mock {
    Mock::start(Script {
        phones: vec![ada()],
        backups: kept(),
        storage: storage(),
        ..Script::default()
    })
    .await
}

async fn run(mut command: Command) -> Ran {
    tokio::task::spawn_blocking(move || Ran::of(&command.output().unwrap()))
        .await
        .unwrap()
}

fn end(result: Outcome) -> Step {
    Step::End(result, CompletedView::default())
}

fn reading() -> Step {
    Step::Show(JobView {
        phase: Phase::Verifying,
        ..job()
    })
}

#[tokio::test]
async fn looking_explains_and_removes_nothing() {
    let mock = house().await;
    let ran = mock.run(&["backups", "--explain"]).await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
    assert!(ran.out.contains("one of the last 4; "), "{}", ran.out);
    // Among the last are as many as there will be, not as many as are shown.
    let ran = mock.run(&["backups", "--explain", "01jd7"]).await;
    assert!(ran.out.contains("one of the last 4; "), "{}", ran.out);
    let ran = mock.run(&["backups", "--json"]).await;
    assert_eq!(ran.json()["backups"][5]["damaged_files"], 2);
    assert_eq!(ran.json()["backups"][4]["keep"], serde_json::json!([]));
    assert!(mock.calls().is_empty());
}

#[tokio::test]
async fn a_sound_backup_is_read_again_with_progress() {
    let mock = house().await;
    mock.script().steps = vec![reading(), end(Outcome::Succeeded)];
    let ran = mock.run(&["verify"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(
        ran.out,
        "The backup of Ada's iPhone from yesterday 02:14 is good: 2,012 files, 7.6 GiB, all of it read again.\n"
    );
    assert!(ran.err.contains("checking: 41 %"), "{ran:?}");
    let ran = mock.run(&["verify", "ada@2026-11-20", "--json"]).await;
    assert_eq!(ran.json()["result"], "succeeded");
    assert_eq!(
        mock.calls(),
        [
            format!("verify {NEWEST}"),
            "verify 01JD7Z3YQ9V6W2X4T5R7P8N0KM".to_owned()
        ]
    );
}

#[tokio::test]
async fn damage_is_told_with_what_follows() {
    let mock = house().await;
    mock.script().steps = vec![reading(), end(Outcome::BackupDamaged)];
    let ran = mock.run(&["verify", "01jd6"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran:?}");
    let told = ran.err.split_once("Error: ").unwrap().1;
    assert_eq!(
        told,
        "the backup of Ada's iPhone from Thu 02:14 is damaged\n\
         Caused by:\n1: 2 of its 2,012 files are not as they were written\n\
         Hint: its next backup repairs that, for the phone sends those files again; known to be \
         good: Fri 02:14, 15 Nov 02:14, 14 Nov 02:14 and 3 more\n"
    );
    let ran = mock.run(&["verify", DAMAGED, "--json"]).await;
    assert_eq!(ran.code, Some(1));
    assert_eq!(ran.json()["damaged_files"], 2);
}

#[tokio::test]
async fn a_check_that_could_not_run_is_no_damage() {
    let mock = house().await;
    for (result, code) in [
        (Outcome::StoreIo, 1),
        (Outcome::StoreUnavailable, 3),
        (Outcome::NoSuchBackup, 4),
        (Outcome::DaemonStopped, 6),
    ] {
        mock.script().steps = vec![reading(), end(result.clone())];
        let ran = mock.run(&["verify"]).await;
        assert_eq!(ran.code, Some(code), "{result}: {ran:?}");
        assert!(ran.err.contains("Error: the check "), "{ran:?}");
        assert!(!ran.err.contains("damaged"), "{ran:?}");
    }
    mock.script().backups.clear();
    assert_eq!(mock.run(&["verify"]).await.code, Some(4));
    assert_eq!(mock.run(&["verify", "--all"]).await.code, Some(4));
}

#[tokio::test]
async fn all_backups_are_read_also_after_damage() {
    let mock = house().await;
    mock.script().backups.truncate(3);
    mock.script().queue = VecDeque::from([
        vec![reading(), end(Outcome::Succeeded)],
        vec![reading(), end(Outcome::BackupDamaged)],
        vec![reading(), end(Outcome::Succeeded)],
    ]);
    let ran = mock.run(&["verify", "--all"]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(ran.out.matches("is good").count(), 2, "{ran:?}");
    assert!(
        ran.err.contains("3 of 3: ") && ran.err.contains("Error: 1 of 3 backups is damaged\n"),
        "{ran:?}"
    );
    mock.script().steps = vec![reading(), end(Outcome::Succeeded)];
    let ran = mock.run(&["verify", "--all", "ada", "--json"]).await;
    assert_eq!((ran.code, ran.out.lines().count()), (Some(0), 3), "{ran:?}");
}

#[tokio::test]
async fn one_that_cannot_be_read_does_not_keep_the_others_from_it() {
    let mock = house().await;
    mock.script().backups.truncate(4);
    let steps = |result: Outcome| vec![reading(), end(result)];
    mock.script().queue = VecDeque::from([
        steps(Outcome::BackupUnreadable),
        steps(Outcome::NoSuchBackup),
        steps(Outcome::BackupDamaged),
        steps(Outcome::Succeeded),
    ]);
    let ran = mock.run(&["verify", "--all"]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(ran.out.matches("is good").count(), 1, "{ran:?}");
    for words in [
        "Error: the check failed: what is stored cannot be read as a backup\n",
        "Error: the check failed: there is no such backup\n",
        "4 of 4: ",
        "Error: 1 of 4 backups is damaged, and 2 could not be read again\n",
    ] {
        assert!(ran.err.contains(words), "{words}: {ran:?}");
    }
    mock.script().steps = steps(Outcome::StoreIo);
    let ran = mock.run(&["verify", "--all"]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let last = "Error: 4 of 4 backups could not be read again\nHint: what kept them";
    assert!(ran.err.contains(last), "{ran:?}");
    // What ends this check would end all of them.
    mock.script().steps = steps(Outcome::DaemonStopped);
    let ran = mock.run(&["verify", "--all"]).await;
    assert_eq!(ran.code, Some(6), "{ran:?}");
    assert!(!ran.err.contains("2 of 4"), "{ran:?}");
    for (refuse, code) in [
        ((|| Error::NoSuchBackup("gone".into())) as fn() -> Error, 1),
        (|| Error::Busy("job 7 runs".into()), 1),
        (|| Error::NotAuthorized("polkit says no".into()), 5),
    ] {
        mock.script().refuse = Some(refuse);
        let ran = mock.run(&["verify", "--all"]).await;
        assert_eq!(ran.code, Some(code), "{ran:?}");
        assert_eq!(ran.err.contains("4 of 4: "), code == 1, "{ran:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_calls_a_check_off() {
    let mock = house().await;
    mock.script().steps = vec![reading(), Step::Gate];
    let mut tty = Tty::start(&mock, &["verify"]);
    tty.until("checking").signal(rustix::process::Signal::INT);
    let (code, shown) = tty.end();
    assert_eq!(code, Some(130), "{shown}");
    assert_eq!(mock.calls().last().unwrap(), "cancel 101");
}

#[tokio::test]
async fn pins_are_set_once_and_told_twice() {
    let mock = house().await;
    for (args, want) in [
        (
            ["pin", "01jd2"],
            "The backup of Ada's iPhone from 31 Oct 02:14 is pinned: it stays until you unpin or remove it.\n",
        ),
        (
            ["pin", "01jd4"],
            "The backup of Ada's iPhone from 14 Nov 02:14 is pinned, as it was.\n",
        ),
        (
            ["unpin", "01jd4"],
            "The backup of Ada's iPhone from 14 Nov 02:14 is not pinned any more: it goes in its turn.\n",
        ),
        (
            ["unpin", "01jd2"],
            "The backup of Ada's iPhone from 31 Oct 02:14 is not pinned, as it was.\n",
        ),
        (
            ["unpin", "01jd3"],
            "The backup of Ada's iPhone from 12 Nov 02:14 is no longer held because of what came after it: it goes in its turn.\n",
        ),
    ] {
        let ran = mock.run(&args).await;
        assert_eq!(
            (ran.code, ran.out.as_str(), ran.err.as_str()),
            (Some(0), want, "")
        );
    }
    let ran = mock.run(&["pin", "01jd2", "--json"]).await;
    assert_eq!(ran.json()["backup"], PLAIN);
    assert_eq!(
        mock.calls()[..2],
        [format!("pin {PLAIN} true"), format!("pin {PINNED} true")]
    );
    assert_eq!(mock.run(&["pin", "01jdx"]).await.code, Some(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn removing_says_what_goes_and_asks() {
    let mock = house().await;
    let mut tty = Tty::start(&mock, &["remove", "01jd2"]);
    tty.until("removing it frees 120 MiB, for the rest it shares with others.")
        .until("7 others of Ada's iPhone stay, the newest from yesterday 02:14.")
        .until("Remove it? [y/N] ")
        .types("y\n")
        .until("is removed. 120 MiB come free in a moment.");
    assert_eq!(tty.end().0, Some(0));
    assert_eq!(mock.calls(), [format!("remove {PLAIN} pinned=false")]);
    for answer in ["\n", "n\n"] {
        let mut tty = Tty::start(&mock, &["remove", "01jd2"]);
        tty.until("Remove it? [y/N] ").types(answer);
        let (code, shown) = tty.end();
        assert_eq!(code, Some(1), "{shown}");
        assert!(shown.contains("nothing was done"), "{shown}");
    }
    let mut tty = Tty::start(&mock, &["remove", "01jd4"]);
    tty.until("It is pinned: ")
        .until("Remove it all the same? [y/N] ")
        .types("yes\n");
    assert_eq!(tty.end().0, Some(0));
    assert_eq!(mock.calls().len(), 2);
    assert_eq!(mock.calls()[1], format!("remove {PINNED} pinned=true"));
}

#[tokio::test]
async fn without_a_person_removing_needs_a_yes_and_a_second_one_for_what_is_kept() {
    let mock = house().await;
    let ran = run(without_terminal(&mock, &["remove", "01jd2"])).await;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    for kept in [PINNED, HELD] {
        let ran = run(without_terminal(&mock, &["remove", kept, "--yes"])).await;
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(
            ran.err.contains("`--even-pinned` removes it now"),
            "{ran:?}"
        );
    }
    assert!(mock.calls().is_empty());
    let args = ["remove", HELD, "--yes", "--even-pinned", "--json"];
    let ran = run(without_terminal(&mock, &args)).await;
    assert_eq!(
        (ran.code, ran.json()["what"].as_str()),
        (Some(0), Some("removed"))
    );
    assert_eq!(mock.calls(), [format!("remove {HELD} pinned=true")]);
    // No later one is known to be good: told, and then a yes is enough.
    let ran = run(without_terminal(&mock, &["remove", "01jd7", "--yes"])).await;
    assert!(
        ran.err
            .contains("It is the newest one that is known to be good."),
        "{ran:?}"
    );
    assert!(mock.calls().last().unwrap().ends_with("pinned=true"));
    mock.script().refuse = Some(|| Error::Busy("a job reads it".into()));
    let ran = run(without_terminal(&mock, &["remove", PLAIN, "--yes"])).await;
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(
        ran.err.contains("`ibakctl watch` shows what runs"),
        "{ran:?}"
    );
}

#[tokio::test]
async fn storage_is_shown_whole_or_for_one() {
    let mock = house().await;
    mock.script().phones.push(studio());
    let ran = mock.run(&["storage"]).await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran:?}");
    assert!(
        ran.out.contains("The store is full in about 41 days"),
        "{ran:?}"
    );
    let one = mock.run(&["storage", "ada"]).await;
    assert!(
        one.out.contains("Ada's iPhone") && !one.out.contains("all together"),
        "{one:?}"
    );
    let ran = mock.run(&["storage", "--json", "ada"]).await;
    assert_eq!(ran.json()["phones"][0]["used_bytes"], 130_996_502_528_u64);
    assert!(ran.json()["whole"].is_null());
    assert_eq!(mock.run(&["storage", "bob"]).await.code, Some(4));
}

#[tokio::test]
async fn quotas_are_bounds_of_any_size_but_nothing() {
    let mock = house().await;
    let ran = mock.run(&["storage", "quota", "200G"]).await;
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (
            Some(0),
            "The backups of Ada's iPhone may take 200 GiB; they take 122 GiB now.\n"
        ),
        "{ran:?}"
    );
    let ran = mock
        .run(&["storage", "quota", "ada", "1.5TiB", "--json"])
        .await;
    assert_eq!(ran.json()["what"], "quota-set");
    let ran = mock.run(&["storage", "quota", "ada", "60G"]).await;
    assert!(ran.out.contains("That is used up already"), "{ran:?}");
    let ran = mock.run(&["storage", "quota", "ada", "none"]).await;
    assert!(ran.out.contains("have no quota of their own"), "{ran:?}");
    for bad in ["0", "much", "-1G"] {
        let ran = mock.run(&["storage", "quota", "ada", "--", bad]).await;
        assert_eq!(ran.code, Some(2), "{bad}: {ran:?}");
    }
    let gib = |count: u64| format!("set-quota {}", Bytes::from_gib(count).get());
    assert_eq!(
        mock.calls(),
        [gib(200), gib(1536), gib(60), "set-quota 0".to_owned()]
    );
}

#[tokio::test]
async fn a_phone_retires_and_comes_back() {
    let mock = house().await;
    let ran = mock.run(&["retire"]).await;
    assert!(
        ran.out
            .starts_with("Ada's iPhone is retired: its backups stay"),
        "{ran:?}"
    );
    mock.script().phones[0] = PhoneView {
        retired: true,
        overdue: true,
        ..ada()
    };
    let ran = mock.run(&["retire", "ada"]).await;
    assert_eq!(ran.out, "Ada's iPhone is retired, as it was.\n");
    assert_eq!(mock.run(&["status", "--check"]).await.code, Some(0));
    let ran = mock.run(&["enable", "ada"]).await;
    assert_eq!(
        ran.out,
        "Automatic backup is on for Ada's iPhone, which is not retired any more.\n"
    );
    assert_eq!(
        mock.calls(),
        ["retire true", "retire true", "set-automatic true"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn forgetting_needs_the_name() {
    let mock = house().await;
    let mut tty = Tty::start(&mock, &["forget", "ada"]);
    tty.until("This removes all 8 backups of Ada's iPhone (122 GiB on the disk), for good")
        .until("type the name of the phone (Ada's iPhone): ")
        .types("ada\n");
    let (code, shown) = tty.end();
    assert_eq!(code, Some(1), "{shown}");
    assert!(mock.calls().is_empty());
    let mut tty = Tty::start(&mock, &["forget", "ada"]);
    tty.until("(Ada's iPhone): ").types("ada’s iphone\n");
    let (code, shown) = tty.end();
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("is forgotten"), "{shown}");
    for (args, code) in [
        (&["forget", "ada"][..], 2),
        (&["forget", "ada", "--yes-delete", "Bob"], 1),
        (&["forget", "ada", "--yes-delete", "Ada's iPhone"], 0),
        (
            &["forget", "ada", "--json", "--yes-delete", "Ada's iPhone"],
            0,
        ),
    ] {
        let ran = run(without_terminal(&mock, args)).await;
        assert_eq!(ran.code, Some(code), "{ran:?}");
    }
    assert_eq!(mock.calls(), ["forget"; 3]);
}

#[tokio::test]
async fn a_new_phone_takes_the_place_of_an_old_one() {
    let mock = house().await;
    mock.script().phones.push(studio());
    // The mock shows its phones as they were when it began.
    let mock = {
        let phones = mock.script().phones.clone();
        Mock::start(Script {
            phones,
            ..Script::default()
        })
        .await
    };
    let ran = mock.run(&["replace", "ada", "studio"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        ran.out
            .contains("`ibakctl restore studio --from ada@latest`"),
        "{ran:?}"
    );
    let want = format!("replace {} {}", ada().udid, studio().udid);
    assert_eq!(mock.calls(), [want]);
    let ran = mock.run(&["replace", "ada", "Ada's iPhone"]).await;
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert_eq!(mock.run(&["replace", "ada", "bob"]).await.code, Some(4));
}

#[tokio::test]
async fn every_refusal_is_told() {
    let mock = house().await;
    mock.script().refuse = Some(|| Error::NotAuthorized("polkit says no".into()));
    for args in [
        &["verify"][..],
        &["pin", PLAIN],
        &["unpin", PLAIN],
        &["remove", PLAIN, "--yes"],
        &["storage", "quota", "200G"],
        &["retire"],
        &["forget", "ada", "--yes-delete", "ada's iphone"],
    ] {
        let ran = mock.run(args).await;
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (Some(5), ""),
            "{args:?}: {ran:?}"
        );
        assert!(ran.err.contains("1: polkit says no\n"), "{ran:?}");
    }
}

/// A row of a daemon that knows nothing of what is new.
#[tokio::test]
async fn an_older_daemon_is_not_misread() {
    let mock = house().await;
    mock.script().backups = vec![BackupView {
        keep: None,
        frees: None,
        ..kept()[1].clone()
    }];
    let ran = mock.run(&["backups", "--explain"]).await;
    assert!(ran.out.contains("the daemon does not say"), "{ran:?}");
    assert!(!ran.out.contains("goes after"), "{ran:?}");
}
