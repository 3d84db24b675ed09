//! Every deed of a phone asks who is asking, before it looks at anything that was handed in.

use super::ada;
use ibak_dbus::words::{ConditionName, ConditionStatus, JobKind, Outcome};
use ibak_dbus::{Dict, Error, ManagerProxy, NO_USER_INTERACTION, PhoneProxy, names};
use ibak_tests::night::errands::{pipe, secret, with_password};
use ibak_tests::night::{Night, Setup};
use ibak_tests::skip_unless;
use std::os::unix::net::UnixStream;
use zbus::wire::OwnedFd;

/// Who nobody is.
const NOBODY: u32 = 65_534;

/// Connects to the bus as another user of the machine: the bus looks at who connects, and a thread
/// that is about to end may be somebody else.
async fn as_nobody(night: &Night) -> Option<zbus::Connection> {
    let root = rustix::process::geteuid().is_root().then_some(());
    skip_unless(root, "only root can become somebody else")?;
    let path = night.dir().join("bus");
    let connecting = std::thread::spawn(move || {
        let nobody = rustix::process::Uid::from_raw(NOBODY);
        rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
        UnixStream::connect(path).unwrap()
    });
    let stream = connecting.join().unwrap();
    let builder = zbus::connection::Builder::unix_stream(stream).user_id(NOBODY);
    let timeout = ibak_dbus::CALL_TIMEOUT;
    Some(builder.method_timeout(timeout).build().await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_without_polkit_may_do_none_of_it() {
    let mut night = ada().await;
    assert_eq!(night.back_up_now(0, &[]).await, Outcome::Succeeded);
    let id = night.backups(0).await[0].id.to_string();
    let Some(stranger) = as_nobody(&night).await else {
        return;
    };
    let phone = PhoneProxy::builder(&stranger)
        .path(names::phone_path(&night.udid(0)))
        .cache_properties(zbus::proxy::CacheProperties::No)
        .build()
        .await
        .unwrap();
    // Nobody ever writes into it: a daemon that reads it first would sit there for seconds.
    let mut silent = Vec::new();
    let mut silence = || -> OwnedFd {
        let (theirs, ours) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        silent.push(ours);
        theirs.into()
    };
    let mut options = |key: &str| {
        let value = zbus::wire::Variant::from(zbus::wire::Fd::from(silence()));
        Dict::from([(key.to_owned(), value.try_into_owned().unwrap())])
    };
    let mut answers: Vec<(&str, Option<Error>)> = Vec::new();
    answers.push((
        "Restore",
        phone.restore(&id, options("password")).await.err(),
    ));
    let dry = Dict::from([("dry-run".to_owned(), true.into())]);
    answers.push(("dry-run", phone.restore(&id, dry).await.err()));
    let list = phone.list_files(&id, pipe().0, options("password")).await;
    answers.push(("ListFiles", list.err()));
    let read = phone.read_files(&id, Vec::new(), pipe().0, options("password"));
    answers.push(("ReadFiles", read.await.err()));
    let quiet = Dict::from([(NO_USER_INTERACTION.to_owned(), true.into())]);
    let set = phone.set_encryption(silence(), silence(), quiet).await;
    answers.push(("SetEncryption", set.err()));
    let check = phone.check_password(&id, silence(), Dict::new()).await;
    answers.push(("CheckPassword", check.err()));
    let cloud = phone.set_icloud_backup(false, Dict::new()).await;
    answers.push(("SetICloudBackup", cloud.err()));
    answers.push(("Unpair", phone.unpair(Dict::new()).await.err()));
    let save = phone.save_purchases(pipe().0, Dict::new()).await;
    answers.push(("SavePurchases", save.err()));
    for (method, error) in &answers {
        assert!(
            matches!(error, Some(Error::NotAuthorized(_))),
            "{method}: {error:?}"
        );
    }
    assert_eq!(answers.len(), 9);
    let activity = night.simulated(0).activity();
    let hosts = night.simulated(0).hosts().len();
    assert_eq!((activity.backups_begun, hosts), (1, 1));
    assert!(night.simulated(0).state().icloud.is_on());
    let jobs = night.state().jobs();
    assert!(
        jobs.iter().all(|job| job.kind == JobKind::Backup),
        "{jobs:?}"
    );
    // One who is refused learns nothing of what there is.
    let proxy = PhoneProxy::builder(&stranger)
        .path(names::phone_path(&night.udid(0)))
        .cache_properties(zbus::proxy::CacheProperties::No)
        .build()
        .await
        .unwrap();
    let none = proxy
        .restore("01ARZ3NDEKTSV4RRFFQ69G5FAV", with_password(Some("x")))
        .await;
    assert!(matches!(none, Err(Error::NotAuthorized(_))), "{none:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_night_is_its_owners_and_roots() {
    let mut night = ada().await;
    assert_eq!(night.back_up_now(0, &[]).await, Outcome::Succeeded);
    let Some(stranger) = as_nobody(&night).await else {
        return;
    };
    let path = names::phone_path(&night.udid(0));
    let phone = PhoneProxy::builder(&stranger)
        .path(path)
        .cache_properties(zbus::proxy::CacheProperties::No)
        .build()
        .await
        .unwrap();
    let all = || phone.list_observations(0, i64::MAX as u64, Dict::new());
    let refused = all().await;
    assert!(
        matches!(refused, Err(Error::NotAuthorized(_))),
        "{refused:?}"
    );
    // How things are and how they ended is for everybody.
    assert_eq!(phone.list_attempts(0, Dict::new()).await.unwrap().len(), 1);
    let locked = night.phone(0).condition(&ConditionName::Locked);
    assert_ne!(locked.status, ConditionStatus::Unknown);
    assert_eq!(
        (locked.since, locked.source, locked.observed),
        (None, None, None)
    );
    // Whoever the configuration names, by name or by number; and root still.
    for (owner, may) in [("nobody", true), ("65534", true), ("daemon", false)] {
        night.configure(|setup| Setup {
            keys: format!("owner = {owner:?}\n"),
            ..setup
        });
        night.reload().await.unwrap();
        let rows = all().await;
        assert_eq!(rows.is_ok(), may, "{owner}: {rows:?}");
        let proxy = night.phone_proxy(&night.udid(0)).await;
        let root = proxy.list_observations(0, i64::MAX as u64, Dict::new());
        assert!(!night.drive(root).await.unwrap().is_empty());
    }
    let unknown = Dict::from([("all".to_owned(), true.into())]);
    let unknown = phone.list_observations(0, 1, unknown).await;
    assert!(
        matches!(unknown, Err(Error::InvalidOption(_))),
        "{unknown:?}"
    );
}

/// A folder's descriptor, as `MoveStore` takes it.
fn folder(path: &std::path::Path) -> OwnedFd {
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY;
    let flags = flags | rustix::fs::OFlags::CLOEXEC;
    rustix::fs::open(path, flags, rustix::fs::Mode::empty())
        .unwrap()
        .into()
}

async fn manager(connection: &zbus::Connection) -> ManagerProxy<'static> {
    ManagerProxy::builder(connection)
        .cache_properties(zbus::proxy::CacheProperties::No)
        .build()
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_changes_nothing_of_the_store() {
    let mut night = ada().await;
    assert_eq!(night.back_up_now(0, &[]).await, Outcome::Succeeded);
    let before = night.backups(0).await;
    let id = before[0].id.to_string();
    let Some(stranger) = as_nobody(&night).await else {
        return;
    };
    let udid = night.udid(0);
    let phone = PhoneProxy::builder(&stranger)
        .path(names::phone_path(&udid))
        .cache_properties(zbus::proxy::CacheProperties::No)
        .build()
        .await
        .unwrap();
    let manager = manager(&stranger).await;
    let none = Dict::new;
    let insist = Dict::from([("pinned".to_owned(), true.into())]);
    let other = "00008110-0000000000000001";
    let target = tempfile::tempdir().unwrap();
    let answers = [
        ("RemoveBackup", phone.remove_backup(&id, none()).await.err()),
        ("pinned", phone.remove_backup(&id, insist).await.err()),
        ("PinBackup", phone.pin_backup(&id, true, none()).await.err()),
        ("VerifyBackup", phone.verify_backup(&id, none()).await.err()),
        ("SetQuota", phone.set_quota(1, none()).await.err()),
        ("Retire", phone.retire(true, none()).await.err()),
        ("Forget", phone.forget(none()).await.err()),
        ("Adopt", manager.adopt(other, pipe().0, none()).await.err()),
        (
            "Replace",
            manager.replace(udid.as_str(), other, none()).await.err(),
        ),
        (
            "MoveStore",
            manager
                .move_store(folder(target.path()), none())
                .await
                .err(),
        ),
    ];
    for (method, error) in &answers {
        assert!(
            matches!(error, Some(Error::NotAuthorized(_))),
            "{method}: {error:?}"
        );
    }
    assert_eq!(night.backups(0).await, before);
    let view = night.phone(0);
    assert_eq!((view.quota, view.retired), (None, false));
    assert_eq!(
        night.state().phones().len(),
        1,
        "nobody else came to be known"
    );
    assert_eq!(std::fs::read_dir(target.path()).unwrap().count(), 0);
    // To look is everybody's right.
    assert_eq!(manager.list_storage(none()).await.unwrap().len(), 2);
    let explain = Dict::from([("explain".to_owned(), true.into())]);
    assert_eq!(phone.list_backups(explain).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_is_none_begins_nothing() {
    let mut night = ada().await;
    assert_eq!(night.back_up_now(0, &[]).await, Outcome::Succeeded);
    let jobs = night.state().jobs().len();
    let nothing = night.set_encryption(0, None, None).await;
    assert!(
        matches!(nothing, Err(Error::InvalidOption(_))),
        "{nothing:?}"
    );
    let long = "x".repeat(4097);
    for (old, new) in [(None, Some(long.as_str())), (Some("a\0b"), Some("new"))] {
        let refused = night.set_encryption(0, old, new).await;
        assert!(
            matches!(&refused, Err(Error::InvalidOption(text)) if !text.contains("xxx")),
            "{refused:?}"
        );
    }
    let id = night.backups(0).await[0].id.clone();
    let empty = night.check_password(0, &id, "").await;
    assert!(matches!(empty, Err(Error::InvalidOption(_))), "{empty:?}");
    // Not what a descriptor is for: it cannot be read.
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let proxy = night.phone_proxy(&night.udid(0)).await;
    let wrong = night
        .drive(async move {
            proxy
                .set_encryption(writer.into(), secret("new"), Dict::new())
                .await
        })
        .await;
    assert!(matches!(wrong, Err(Error::InvalidOption(_))), "{wrong:?}");
    drop(reader);
    assert_eq!(night.state().jobs().len(), jobs);
}
