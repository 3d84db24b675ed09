//! A password reaches the phone and the arithmetic, and nothing else: not the log at its most
//! talkative, not what the system shows of the process, not the bus, not what the daemon remembers.

use ibak_core::{BackupId, JobId, Udid};
use ibak_dbus::words::{Outcome, Phase};
use ibak_dbus::{BusChoice, Dict, PhoneProxy, names};
use ibak_sim::backup::crypto::Costs;
use ibak_sim::{PhoneSpec, Setting};
use ibak_tests::night::errands::{pipe, reading, secret, untar, with_password};
use ibak_tests::trouble::{House, Watcher, fingerprint, phone, udid_of};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Passwords that are found when they are anywhere.
const FIRST: &str = "Ferkel-Quitte-7311-Zaunkoenig";
const SECOND: &str = "Muschel-Abakus-8420-Wendeltreppe";
const WRONG: &str = "Distel-Orkan-9953-Tintenfass";

struct Talk {
    house: House,
    watcher: Watcher,
    phone: PhoneProxy<'static>,
    udid: Udid,
}

impl Talk {
    async fn about(house: House) -> Self {
        let watcher = house.watch().await.unwrap();
        let udid = udid_of(&house.phone(0));
        let connection = BusChoice::Address(house.bus_address()).connect().await;
        let phone = PhoneProxy::builder(&connection.unwrap())
            .path(names::phone_path(&udid))
            .cache_properties(zbus::proxy::CacheProperties::No)
            .build()
            .await
            .unwrap();
        Self {
            house,
            watcher,
            phone,
            udid,
        }
    }

    async fn end_of(&mut self, path: &str) -> Outcome {
        let job: JobId = names::job_of(path).unwrap();
        self.watcher.end_of(job).await.unwrap()
    }

    async fn set(&mut self, old: &str, new: &str) -> Outcome {
        self.watcher.ready(&self.udid).await.unwrap();
        let asked = self
            .phone
            .set_encryption(secret(old), secret(new), Dict::new());
        let job = asked.await.unwrap();
        self.end_of(job.as_str()).await
    }

    async fn back_up(&mut self) -> BackupId {
        self.watcher.ready(&self.udid).await.unwrap();
        let job = self.house.ask_backup(&self.udid, false).await.unwrap();
        let end = self.watcher.end_of(job).await.unwrap();
        assert_eq!(end, Outcome::Succeeded);
        let backups = self.house.backups(&self.udid).await.unwrap();
        backups.last().unwrap().id.clone()
    }

    async fn check(&mut self, backup: &BackupId, password: &str) -> Outcome {
        let asked = self
            .phone
            .check_password(backup.as_str(), secret(password), Dict::new());
        let job = asked.await.unwrap();
        self.end_of(job.as_str()).await
    }

    async fn read(&mut self, backup: &BackupId, password: &str) -> (Outcome, bool) {
        let (out, stream) = pipe();
        let options = with_password(Some(password));
        let asked = self
            .phone
            .read_files(backup.as_str(), Vec::new(), out, options);
        let job = asked.await.unwrap();
        let stream = reading(stream);
        let end = self.end_of(job.as_str()).await;
        (end, untar(&stream.await.unwrap()).whole)
    }

    async fn restore(&mut self, backup: &BackupId, password: &str, dry: bool) -> String {
        self.watcher.ready(&self.udid).await.unwrap();
        let mut options = with_password(Some(password));
        options.insert("dry-run".to_owned(), dry.into());
        let asked = self.phone.restore(backup.as_str(), options);
        asked.await.unwrap().to_string()
    }
}

/// Listens to everything that anybody says on the bus.
async fn eavesdrop(house: &House) -> Arc<Mutex<Vec<u8>>> {
    use futures_util::StreamExt;
    let connection = BusChoice::Address(house.bus_address())
        .connect()
        .await
        .unwrap();
    let mut said = zbus::MessageStream::from(&connection);
    connection
        .call_method(
            Some("org.freedesktop.DBus"),
            "/org/freedesktop/DBus",
            Some("org.freedesktop.DBus.Monitoring"),
            "BecomeMonitor",
            &(Vec::<String>::new(), 0_u32),
        )
        .await
        .unwrap();
    let tape: Arc<Mutex<Vec<u8>>> = Arc::default();
    let writer = Arc::clone(&tape);
    tokio::spawn(async move {
        while let Some(Ok(message)) = said.next().await {
            writer.lock().unwrap().extend_from_slice(message.data());
        }
        drop(connection);
    });
    tape
}

fn quick(seed: u64) -> PhoneSpec {
    let mut spec = phone(seed, 60, 2 << 20);
    spec.password_costs = Costs { dpic: 20, iter: 10 };
    spec
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

fn assert_nowhere(what: &str, bytes: &[u8]) {
    for text in [FIRST, SECOND, WRONG] {
        assert!(!holds(bytes, text), "{what} holds a password");
        let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        assert!(!holds(bytes, &hex), "{what} holds a password in hex");
        let list = text.bytes().map(|byte| byte.to_string());
        let list = list.collect::<Vec<_>>().join(", ");
        assert!(!holds(bytes, &list), "{what} holds a password as a list");
    }
}

fn assert_nowhere_below(directory: &Path) -> usize {
    let mut files = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let meta = path.symlink_metadata().unwrap();
        if meta.is_dir() {
            files += assert_nowhere_below(&path);
        } else if meta.is_file() {
            assert_nowhere(&path.display().to_string(), &std::fs::read(&path).unwrap());
            files += 1;
        }
    }
    files
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_leaves_no_trace() {
    let house = House::build(vec![quick(71)]).await.unwrap();
    let config = house
        .config("")
        .replace("log = \"debug\"", "log = \"trace\"");
    let tape = eavesdrop(&house).await;
    let daemon = house.daemon(&config).await.unwrap();
    let mut talk = Talk::about(house).await;

    assert_eq!(talk.set("", FIRST).await, Outcome::Succeeded);
    let backup = talk.back_up().await;
    assert_eq!(talk.set(WRONG, SECOND).await, Outcome::WrongPassword);
    assert_eq!(talk.check(&backup, WRONG).await, Outcome::WrongPassword);
    assert_eq!(talk.check(&backup, FIRST).await, Outcome::Succeeded);
    let read = talk.read(&backup, WRONG).await;
    assert_eq!(read, (Outcome::WrongPassword, false));
    assert_eq!(talk.read(&backup, FIRST).await, (Outcome::Succeeded, true));
    for (password, end) in [(WRONG, Outcome::WrongPassword), (FIRST, Outcome::Succeeded)] {
        let job = talk.restore(&backup, password, true).await;
        assert_eq!(talk.end_of(&job).await, end);
    }
    assert_eq!(talk.set(FIRST, SECOND).await, Outcome::Succeeded);
    let job = talk.restore(&backup, FIRST, false).await;
    assert_eq!(talk.end_of(&job).await, Outcome::Succeeded);

    let pid = daemon.pid().unwrap();
    for name in ["cmdline", "environ"] {
        let shown = std::fs::read(format!("/proc/{pid}/{name}")).unwrap();
        assert!(!shown.is_empty());
        assert_nowhere(name, &shown);
    }
    let (status, _) = daemon.stop().await.unwrap();
    assert!(status.success());
    let log = std::fs::read(talk.house.path("ibakd.log")).unwrap();
    assert!(holds(&log, "TRACE"), "the log is talkative");
    assert_nowhere("the log", &log);
    let said = tape.lock().unwrap();
    assert!(holds(&said, "SetEncryption") && holds(&said, "wrong-password"));
    assert_nowhere("the bus", &said);
    assert!(assert_nowhere_below(&talk.house.path("ibakd.state")) >= 2);
    assert!(assert_nowhere_below(&talk.house.path("store")) > 60);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_killed_in_the_middle_of_a_restore_leaves_nothing_over() {
    let house = House::build(vec![quick(72)]).await.unwrap();
    let config = house.config("");
    let daemon = house.daemon(&config).await.unwrap();
    let mut talk = Talk::about(house).await;
    assert_eq!(talk.set("", FIRST).await, Outcome::Succeeded);
    let backup = talk.back_up().await;
    let of_phone = talk.house.path("store").join(talk.udid.as_str());
    let before = fingerprint(&of_phone.join("gens")).unwrap();
    let udid = talk.udid.to_string();
    let slow = [Setting::UploadRate(Some(60_000))];
    talk.house.simulator().set(&udid, &slow).await.unwrap();
    let path = talk.restore(&backup, FIRST, false).await;
    let job = names::job_of(&path).unwrap();
    let sending = talk.watcher.job(job, "files on their way", |view| {
        assert!(!view.ended(), "{view:?}");
        view.phase == Phase::Sending && view.bytes_done.get() > 0
    });
    sending.await.unwrap();
    daemon.kill().await.unwrap();
    let fast = [Setting::UploadRate(None)];
    talk.house.simulator().set(&udid, &fast).await.unwrap();

    let daemon = talk.house.daemon(&config).await.unwrap();
    talk.watcher = talk.house.watch().await.unwrap();
    for place in ["staging", "scratch"] {
        let left = std::fs::read_dir(of_phone.join(place)).map_or(0, Iterator::count);
        assert_eq!(left, 0, "{place}");
    }
    assert_eq!(fingerprint(&of_phone.join("gens")).unwrap(), before);
    assert!(talk.house.phone(0).restored().is_none());
    let path = talk.restore(&backup, FIRST, false).await;
    assert_eq!(talk.end_of(&path).await, Outcome::Succeeded);
    let restored = talk.house.phone(0).restored().unwrap();
    assert!(restored.encrypted && restored.files().len() > 60);
    drop(daemon);
}
