//! The real binary and places: another store, the whole store moved.

use super::fixtures::{ada, job};
use super::keeping::kept;
use super::mock::{Mock, Ran, Script, Step};
use super::storing::storage;
use super::tty::Tty;
use ibak_dbus::Error;
use ibak_dbus::views::{CheckView, CompletedView, JobView};
use ibak_dbus::words::{CheckDetail, CheckId, CheckStatus, Outcome, Phase, StorageState};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use tempfile::TempDir;

const CONFIG: &str = "# our house\nstore = \"/old/store\" # on the first disk\nlog = \"info\"\n";

/// A house whose configuration and disks are in a directory of its own.
pub(crate) struct House {
    pub(crate) mock: Mock,
    pub(crate) home: TempDir,
}

impl House {
    pub(crate) async fn new(look: fn(&str) -> StorageState) -> Self {
        let home = tempfile::tempdir().unwrap();
        let config = home.path().join("ibakd.toml");
        fs::write(&config, CONFIG).unwrap();
        fs::set_permissions(&config, fs::Permissions::from_mode(0o640)).unwrap();
        fs::create_dir(home.path().join("new")).unwrap();
        let mock = Mock::start(Script {
            phones: vec![ada()],
            backups: kept(),
            storage: storage(),
            look: Some(look),
            ..Script::default()
        })
        .await;
        {
            let mut manager = mock.manager();
            manager.store_path = "/old/store".into();
            manager.config_path = config.to_str().unwrap().into();
        }
        Self { mock, home }
    }

    pub(crate) fn new_place(&self) -> PathBuf {
        self.home.path().join("new").canonicalize().unwrap()
    }

    fn config(&self) -> String {
        let path = self.home.path().join("ibakd.toml");
        let mode = path.metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, 0o640);
        fs::read_to_string(path).unwrap()
    }

    /// What the configuration is once the new place holds the store.
    fn changed(&self) -> String {
        CONFIG.replace("/old/store", self.new_place().to_str().unwrap())
    }

    pub(crate) async fn run(&self, args: &[&str]) -> Ran {
        self.mock.run(args).await
    }
}

pub(crate) fn fine(_: &str) -> StorageState {
    StorageState::Ok
}

#[tokio::test]
async fn another_store_is_used_and_the_file_keeps_its_comments() {
    let house = House::new(fine).await;
    let new = house.new_place();
    let link = house.home.path().join("link");
    symlink("new", &link).unwrap();
    let ran = house.run(&["store", "use", link.to_str().unwrap()]).await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran:?}");
    assert_eq!(
        ran.out,
        format!(
            "The store is {} from here on.\nNo backup was moved: 27 backups stay in /old/store; `ibakctl store move` would have taken them along.\n",
            new.display()
        )
    );
    assert_eq!(house.config(), house.changed());
    assert_eq!(house.mock.calls(), ["reload", "diagnose"]);
    let ran = house.run(&["store", "use", new.to_str().unwrap()]).await;
    assert_eq!(
        ran.out,
        format!("The store is {}, as it was.\n", new.display())
    );
    assert_eq!(house.config(), house.changed());
}

#[tokio::test]
async fn what_the_daemon_cannot_use_is_undone_with_the_remedy() {
    let house = House::new(|store| {
        if store == "/old/store" {
            StorageState::Ok
        } else {
            StorageState::Unavailable
        }
    })
    .await;
    let new = house.new_place();
    let new = new.to_str().unwrap();
    for (detail, remedy) in [
        (
            CheckDetail::StoreNoRights,
            format!("Hint: `sudo chown ibak: {new}` gives"),
        ),
        (
            CheckDetail::StoreReadOnly,
            format!("`ReadWritePaths={new}`"),
        ),
        (CheckDetail::StoreMissing, "`ProtectHome=no`".to_owned()),
        (
            CheckDetail::StoreUnsupported,
            "choose a disk with ext4".to_owned(),
        ),
        (CheckDetail::StoreNewer, "install a newer ibak".to_owned()),
    ] {
        house.mock.script().checks = vec![
            CheckView::new(CheckId::Bus, CheckStatus::Fail, CheckDetail::Absent),
            CheckView::new(CheckId::StorePath, CheckStatus::Fail, detail.clone()),
        ];
        let ran = house.run(&["store", "use", new]).await;
        assert_eq!((ran.code, ran.out.as_str()), (Some(3), ""), "{ran:?}");
        assert!(
            ran.err
                .contains(&format!("Error: the daemon cannot use {new}\n")),
            "{ran:?}"
        );
        assert!(ran.err.contains(&remedy), "{detail}: {ran:?}");
        assert!(ran.err.contains("are as they were"), "{ran:?}");
        assert_eq!(house.config(), CONFIG);
        assert_eq!(house.mock.manager().store_path, "/old/store");
    }
    // Nobody says what is wrong, and it is wrong all the same.
    house.mock.script().checks.clear();
    let ran = house.run(&["store", "use", new]).await;
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert_eq!(house.config(), CONFIG);
    let left: Vec<_> = fs::read_dir(house.home.path()).unwrap().collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[tokio::test]
async fn a_refused_reload_is_undone() {
    let house = House::new(fine).await;
    house.mock.script().refuse = Some(|| Error::Failed("it broke".into()));
    let new = house.new_place();
    let ran = house.run(&["store", "use", new.to_str().unwrap()]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.err.contains("it broke") && ran.err.contains("has not read it again"),
        "{ran:?}"
    );
    assert_eq!(house.config(), CONFIG);
    assert_eq!(house.mock.calls(), ["reload", "reload"]);
    // A busy daemon has read the file and taken nothing of it.
    house.mock.script().refuse = Some(|| Error::Busy("a job uses the store".into()));
    let ran = house.run(&["store", "use", new.to_str().unwrap()]).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(3), ""), "{ran:?}");
    assert!(
        ran.err
            .contains("1: a job uses the store\n2: the configuration is as it was\n")
            && ran.err.contains("run this again when it is done"),
        "{ran:?}"
    );
    assert_eq!(house.config(), CONFIG);
    assert_eq!(house.mock.calls(), ["reload"; 3]);
}

#[tokio::test]
async fn a_place_that_is_none_changes_nothing() {
    let house = House::new(fine).await;
    let file = house.home.path().join("file");
    fs::write(&file, "x").unwrap();
    let ran = house.run(&["store", "use", "/nowhere/at/all"]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("sudo install -d -o ibak"), "{ran:?}");
    let ran = house.run(&["store", "move", file.to_str().unwrap()]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("not a directory"), "{ran:?}");
    let new = house.new_place();
    let new = new.to_str().unwrap();
    let ran = house
        .run(&["store", "use", new, "--config", "/nowhere/ibakd.toml"])
        .await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.err.contains("name the right one with `--config`"),
        "{ran:?}"
    );
    house.mock.manager().config_path = String::new();
    let ran = house.run(&["store", "use", new]).await;
    assert!(ran.err.contains("without a configuration file"), "{ran:?}");
    let broken = house.home.path().join("broken.toml");
    fs::write(&broken, "store = [").unwrap();
    let ran = house
        .run(&["store", "use", new, "--config", broken.to_str().unwrap()])
        .await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.err.contains("cannot change the configuration"),
        "{ran:?}"
    );
    assert_eq!(fs::read_to_string(&broken).unwrap(), "store = [");
    assert_eq!(house.config(), CONFIG);
    assert!(house.mock.calls().is_empty(), "{:?}", house.mock.calls());
}

fn copying() -> Step {
    Step::Show(JobView {
        phase: Phase::Copying,
        ..job()
    })
}

pub(crate) fn end(result: Outcome) -> Step {
    Step::End(result, CompletedView::default())
}

#[tokio::test]
async fn a_store_moves_and_the_old_one_stays() {
    let house = House::new(fine).await;
    house.mock.script().steps = vec![copying(), end(Outcome::Succeeded)];
    let new = house.new_place();
    let ran = house.run(&["store", "move", new.to_str().unwrap()]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        ran.err
            .starts_with("27 backups (288 GiB) are copied from /old/store to ")
            && ran.err.contains("copying: 41 %"),
        "{ran:?}"
    );
    assert!(
        ran.out
            .contains("The old one stays in /old/store until you remove it yourself.")
            && ran.out.contains("`sudo rm -r -- /old/store`"),
        "{ran:?}"
    );
    assert_eq!(house.config(), house.changed());
    let moved = format!("move-store {}", new.display());
    assert_eq!(house.mock.calls(), [moved.as_str(), "reload", "diagnose"]);
}

#[tokio::test]
async fn a_move_that_breaks_off_changes_nothing() {
    let house = House::new(fine).await;
    let new = house.new_place();
    for (result, code, words) in [
        (Outcome::NoSpace, 3, "the new place has too little room"),
        (Outcome::Cancelled, 1, "run the same command again"),
        (Outcome::DaemonStopped, 6, "run the same command again"),
        (Outcome::StoreIo, 1, "`ibakctl doctor`"),
    ] {
        house.mock.script().steps = vec![copying(), end(result.clone())];
        let ran = house.run(&["store", "move", new.to_str().unwrap()]).await;
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (Some(code), ""),
            "{result}: {ran:?}"
        );
        assert!(ran.err.contains("Error: the move of the store "), "{ran:?}");
        assert!(ran.err.contains(words), "{result}: {ran:?}");
        assert_eq!(house.config(), CONFIG);
    }
    assert!(!house.mock.calls().contains(&"reload".to_owned()));
}

#[tokio::test]
async fn a_move_that_left_backups_behind_is_not_switched_to() {
    let house = House::new(fine).await;
    let new = house.new_place();
    let details = CompletedView {
        detail: "2 backups were left behind".into(),
        ..CompletedView::default()
    };
    house.mock.script().steps = vec![copying(), Step::End(Outcome::BackupDamaged, details)];
    let ran = house.run(&["store", "move", new.to_str().unwrap()]).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran:?}");
    for words in [
        "Error: the move of the store did not take every backup along\n",
        "Caused by:\n1: 2 backups were left behind\n",
        "Hint: the store stays where it is: ",
        "`ibakctl verify --all`",
    ] {
        assert!(ran.err.contains(words), "{words}: {ran:?}");
    }
    assert!(!ran.err.contains("rm -r"), "{ran:?}");
    assert_eq!(house.config(), CONFIG);
    assert!(!house.mock.calls().contains(&"reload".to_owned()));
}

#[tokio::test]
async fn a_busy_daemon_is_given_the_new_place_later() {
    let house = House::new(fine).await;
    house.mock.script().steps = vec![
        copying(),
        Step::Refuse(|| Error::Busy("a job uses the store".into())),
        end(Outcome::Succeeded),
    ];
    let new = house.new_place();
    let ran = house.run(&["store", "move", new.to_str().unwrap()]).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(3), ""), "{ran:?}");
    let ready = format!(
        "2: everything is copied, and {0} is ready; the configuration is as it was\nHint: `ibakctl store use {0}` finishes it once the job is done",
        new.display()
    );
    assert!(ran.err.contains(&ready), "{ran:?}");
    assert_eq!(house.config(), CONFIG);
    assert_eq!(house.mock.calls()[1..], ["reload"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_stops_a_move_that_can_go_on() {
    let house = House::new(fine).await;
    house.mock.script().steps = vec![copying(), Step::Gate];
    let new = house.new_place();
    let mut tty = Tty::start(&house.mock, &["store", "move", new.to_str().unwrap()]);
    tty.until("copying ").signal(rustix::process::Signal::INT);
    tty.until("the same command goes on from there");
    let (code, shown) = tty.end();
    assert_eq!(code, Some(130), "{shown}");
    assert_eq!(house.mock.calls().last().unwrap(), "cancel 101");
    assert_eq!(house.config(), CONFIG);
}

#[tokio::test]
async fn a_move_whose_end_the_daemon_cannot_use_keeps_both_places() {
    let house = House::new(fine).await;
    let new = house.new_place();
    house.mock.script().steps = vec![copying(), end(Outcome::Succeeded)];
    house.mock.script().checks = vec![CheckView::new(
        CheckId::StorePath,
        CheckStatus::Fail,
        CheckDetail::StoreReadOnly,
    )];
    let args = ["store", "move", new.to_str().unwrap(), "--json"];
    let ran = house.run(&args).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(3), ""), "{ran:?}");
    assert!(
        ran.err.contains("everything is copied") && ran.err.contains("ReadWritePaths="),
        "{ran:?}"
    );
    assert_eq!(house.config(), CONFIG);
    assert_eq!(house.mock.manager().store_path, "/old/store");
    // The same command again, once that is put right.
    house.mock.script().checks.clear();
    let ran = house.run(&args).await;
    assert_eq!(ran.json()["message_type"], "store-moved", "{ran:?}");
    assert_eq!(house.config(), house.changed());
    // What is the store already is looked at all the same.
    house.mock.script().checks = vec![CheckView::new(
        CheckId::StorePath,
        CheckStatus::Fail,
        CheckDetail::StoreNoRights,
    )];
    let ran = house.run(&args).await;
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.err.contains("sudo chown ibak:"), "{ran:?}");
}
