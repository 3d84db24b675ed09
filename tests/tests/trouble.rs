//! What goes wrong in a house, one test each, against the real daemon: a clear state on the bus, a
//! true sentence of `ibakctl` with what to do about it, and nothing lost.

mod hostile;
mod load;
mod store;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use ibak_core::{JobId, Udid};
use ibak_dbus::views::{JobView, PhoneView};
use ibak_dbus::words::{Outcome, Phase, PhoneState, Trust};
use ibak_sim::state::{Attachment, Switch};
use ibak_sim::{MuxVerb, Phone, Setting, state};
use ibak_tests::trouble::{
    Daemon, House, Watcher, ensure_equal, fingerprint, newest, phone, say, udid_of,
};

/// The most memory that the daemon may ever hold, in bytes.
const MEMORY_MAX: u64 = 96 << 20;
/// How many files have arrived in the middle of a backup.
const MIDDLE: u64 = 34;
/// How many bytes a second a phone sends that is to be disturbed.
const SLOWLY: u64 = 3 << 20;

/// A daemon with a phone that has one backup already.
struct Settled {
    house: House,
    daemon: Option<Daemon>,
    watcher: Watcher,
    phone: Arc<Phone>,
    udid: Udid,
    config: String,
}

impl Settled {
    async fn new(seed: u64) -> Self {
        let house = House::build(vec![phone(seed, 80, 4 << 20)]).await.unwrap();
        let config = house.config("");
        Self::with(house, config).await
    }

    async fn with(house: House, config: String) -> Self {
        let daemon = house.daemon(&config).await.unwrap();
        let watcher = house.watch().await.unwrap();
        let phone = house.phone(0);
        let mut settled = Self {
            udid: udid_of(&phone),
            house,
            daemon: Some(daemon),
            watcher,
            phone,
            config,
        };
        assert_eq!(settled.back_up().await, Outcome::Succeeded);
        settled
    }

    /// Asks the daemon to end; returns how it did, and how long that took.
    async fn stop(&mut self) -> (ExitStatus, Duration) {
        self.daemon.take().unwrap().stop().await.unwrap()
    }

    async fn start_again(&mut self) {
        self.daemon = Some(self.house.daemon(&self.config).await.unwrap());
        self.watcher = self.house.watch().await.unwrap();
    }

    /// Asks for a backup and waits for its end.
    async fn back_up(&mut self) -> Outcome {
        self.watcher.ready(&self.udid).await.unwrap();
        let job = self.house.ask_backup(&self.udid, false).await.unwrap();
        self.watcher.end_of(job).await.unwrap()
    }

    /// Changes much of the phone, slows it down and waits until files are on their way.
    async fn in_the_middle(&mut self) -> JobId {
        self.phone.change(50, 20, 10);
        self.set(&[Setting::UploadRate(Some(SLOWLY))]).await;
        self.watcher.ready(&self.udid).await.unwrap();
        let job = self.house.ask_backup(&self.udid, false).await.unwrap();
        receiving(&mut self.watcher, job).await;
        job
    }

    async fn set(&self, settings: &[Setting]) {
        let udid = self.udid.as_str();
        self.house.simulator().set(udid, settings).await.unwrap();
    }

    async fn at_full_speed(&self) {
        self.set(&[Setting::UploadRate(None)]).await;
    }

    fn store(&self) -> PathBuf {
        self.house.path("store")
    }

    fn generations(&self) -> PathBuf {
        self.store().join(self.udid.as_str()).join("gens")
    }

    fn equals_the_phone(&self) {
        equals(&self.store(), &self.phone);
    }
}

fn equals(store: &Path, phone: &Phone) {
    let content = phone.content().lock().unwrap().snapshot();
    ensure_equal(&newest(store, phone), &content).unwrap();
}

async fn receiving(watcher: &mut Watcher, job: JobId) {
    let going =
        |job: &JobView| job.ended() || (job.phase == Phase::Receiving && job.files_done >= MIDDLE);
    let seen = watcher.job(job, "files on their way", going).await.unwrap();
    assert!(!seen.ended(), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usbmuxd_absent_then_there_then_restarted() {
    let mut house = House::without_usbmuxd().await.unwrap();
    let _daemon = house.daemon(&house.config("")).await.unwrap();
    house
        .doctor(&["usbmuxd", "not there", "systemctl start usbmuxd"])
        .await
        .unwrap()
        .says(&["the store's disk"]);
    house.bring(vec![phone(51, 40, 1 << 20)]).await.unwrap();
    let udid = udid_of(&house.phone(0));
    let mut watcher = house.watch().await.unwrap();
    watcher.ready(&udid).await.unwrap();
    house.simulator().mux(MuxVerb::Stop).await.unwrap();
    let absent = watcher
        .phone(&udid, "an absent phone", |phone| {
            phone.state == PhoneState::Absent
        })
        .await
        .unwrap();
    assert!(absent.transports.is_empty());
    let why = house.ctl(&["why"]).await.unwrap();
    why.says(&[
        "has not been seen since",
        "Hint: plug it in, or bring it to the network",
    ]);
    let refused = house.ctl(&["backup"]).await.unwrap();
    assert_eq!(refused.code, Some(3), "{refused:?}");
    refused.says(&["Error: ", "Hint: plug the phone in"]);
    house.simulator().mux(MuxVerb::Start).await.unwrap();
    watcher.ready(&udid).await.unwrap();
    let job = house.ask_backup(&udid, false).await.unwrap();
    assert_eq!(watcher.end_of(job).await.unwrap(), Outcome::Succeeded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usbmuxd_restarted_in_the_middle_of_a_backup() {
    let mut it = Settled::new(52).await;
    let job = it.in_the_middle().await;
    it.house.simulator().mux(MuxVerb::Restart).await.unwrap();
    assert_eq!(
        it.watcher.end_of(job).await.unwrap(),
        Outcome::LostConnection
    );
    it.at_full_speed().await;
    assert_eq!(it.back_up().await, Outcome::Succeeded);
    it.equals_the_phone();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usbmuxd_mute_then_answering() {
    let house = House::build(vec![phone(53, 40, 1 << 20)]).await.unwrap();
    house.simulator().mux(MuxVerb::Mute).await.unwrap();
    let _daemon = house.daemon(&house.config("")).await.unwrap();
    house
        .doctor(&[
            "it is there and does not answer",
            "systemctl restart usbmuxd",
        ])
        .await
        .unwrap();
    house.simulator().mux(MuxVerb::Normal).await.unwrap();
    let mut watcher = house.watch().await.unwrap();
    watcher.ready(&udid_of(&house.phone(0))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unpaired_phone_is_refused_then_denies_then_trusts() {
    let mut stranger = phone(54, 40, 1 << 20);
    stranger.paired = false;
    stranger.state.trust = state::Trust::Deny;
    stranger.state.locked = Switch::Off;
    let house = House::build(vec![stranger]).await.unwrap();
    let udid = udid_of(&house.phone(0));
    let _daemon = house.daemon(&house.config("")).await.unwrap();
    let mut watcher = house.watch().await.unwrap();
    watcher
        .phone(&udid, "an untrusted phone", |phone| {
            phone.state == PhoneState::Untrusted && phone.trust == Trust::Untrusted
        })
        .await
        .unwrap();
    let why = house.ctl(&["why"]).await.unwrap();
    why.says(&[
        "does not trust this computer, so it cannot be backed up",
        "Hint: plug it in, unlock it, and run `ibakctl pair",
    ]);
    house
        .doctor(&["it does not trust this computer", "run `ibakctl pair`"])
        .await
        .unwrap();
    let refused = house.ctl(&["backup"]).await.unwrap();
    assert_eq!(refused.code, Some(3), "{refused:?}");
    refused.says(&["run `ibakctl pair"]);
    let denied = house.ctl(&["pair"]).await.unwrap();
    assert_eq!(denied.code, Some(1), "{denied:?}");
    denied.says(&["Don't Trust", "Hint: "]);
    house
        .simulator()
        .set(udid.as_str(), &[Setting::Trust(state::Trust::Accept)])
        .await
        .unwrap();
    let paired = house.ctl(&["pair"]).await.unwrap();
    assert_eq!(paired.code, Some(0), "{paired:?}");
    watcher.ready(&udid).await.unwrap();
    let done = house.ctl(&["backup", "--wait"]).await.unwrap();
    assert_eq!(done.code, Some(0), "{done:?}");
    equals(&house.path("store"), &house.phone(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_pulled_in_the_middle_of_a_file_is_gone_on_with() {
    let mut it = Settled::new(55).await;
    let before = fingerprint(&it.generations()).unwrap();
    let job = it.in_the_middle().await;
    it.set(&[Setting::Attached(Attachment::None)]).await;
    assert_eq!(
        it.watcher.end_of(job).await.unwrap(),
        Outcome::LostConnection
    );
    let absent = |phone: &PhoneView| phone.state == PhoneState::Absent;
    it.watcher
        .phone(&it.udid, "an absent phone", absent)
        .await
        .unwrap();
    let why = it.house.ctl(&["why"]).await.unwrap();
    why.says(&[
        "It is not here since",
        "stopped because the phone went away; what arrived is kept",
        "Hint: ",
    ]);
    assert_eq!(fingerprint(&it.generations()).unwrap(), before);
    it.set(&[
        Setting::Attached(Attachment::Usb),
        Setting::UploadRate(None),
    ])
    .await;
    assert_eq!(it.back_up().await, Outcome::Succeeded);
    assert!(it.phone.activity().files_resumed > 0);
    it.equals_the_phone();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_graceful_stop_in_the_middle_is_quick_and_gone_on_with() {
    let mut it = Settled::new(56).await;
    let job = it.in_the_middle().await;
    let mut told = it.house.watch().await.unwrap();
    let end = tokio::spawn(async move { told.end_of(job).await });
    let (status, took) = it.stop().await;
    assert!(status.success(), "{status:?}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_eq!(end.await.unwrap().unwrap(), Outcome::DaemonStopped);
    it.at_full_speed().await;
    it.start_again().await;
    assert_eq!(it.back_up().await, Outcome::Succeeded);
    assert!(it.phone.activity().files_resumed > 0);
    it.equals_the_phone();
    say(&format!(
        "graceful stop in the middle of a transfer: {:.0} ms",
        took.as_secs_f64() * 1e3
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_bus_ends_the_daemon_with_a_failure() {
    let mut it = Settled::new(57).await;
    it.house.end_bus().await.unwrap();
    let mut daemon = it.daemon.take().unwrap();
    let status = daemon.ended().await.unwrap();
    assert!(!status.success(), "{status:?}");
    assert!(
        daemon
            .last_words()
            .contains("the connection to the bus is lost")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_configuration_is_refused_with_its_line() {
    let house = House::build(vec![phone(62, 40, 1 << 20)]).await.unwrap();
    let good = house.config("");
    let table = [
        ("no such key", good.replace("settle", "setle"), "setle"),
        ("no TOML", good.replace("\"0s\"", "\"0s"), "line 3"),
        (
            "out of range",
            good.replace("\"0s\"", "\"900d\""),
            "line 3: `settle`",
        ),
        (
            "a store that is no path",
            good.replace("store = \"", "store = \"../"),
            "line 1: `store`",
        ),
    ];
    for (what, bad, line) in &table {
        let file = house.path("bad.toml");
        fs::write(&file, bad).unwrap();
        let check = |words: &'static [&'static str]| {
            let mut command = house.command("ibakd").unwrap();
            command
                .args(words)
                .arg("--config")
                .arg(&file)
                .arg("--state-dir")
                .arg(house.path("bad"));
            command
        };
        for words in [&["--check"][..], &[]] {
            let output = check(words).output().await.unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(1), "{what}: {said}");
            assert!(
                said.starts_with("Error: ") && said.contains(line),
                "{what}: {said}"
            );
        }
    }
    assert!(!house.path("bad").exists(), "it began to work");
    let daemon = house.daemon(&good).await.unwrap();
    for (what, bad, line) in &table {
        fs::write(daemon.configuration(), bad).unwrap();
        let refused = house.ctl(&["reload"]).await.unwrap();
        assert_eq!(refused.code, Some(1), "{what}: {refused:?}");
        refused.says(&["Error: ", line]);
    }
    house
        .doctor(&[
            "configuration",
            "it cannot be read",
            "`ibakd --check` names the line",
        ])
        .await
        .unwrap();
    // It goes on with what it had.
    let udid = udid_of(&house.phone(0));
    let mut watcher = house.watch().await.unwrap();
    watcher.ready(&udid).await.unwrap();
    let job = house.ask_backup(&udid, false).await.unwrap();
    assert_eq!(watcher.end_of(job).await.unwrap(), Outcome::Succeeded);
    fs::write(daemon.configuration(), &good).unwrap();
    assert_eq!(house.ctl(&["reload"]).await.unwrap().code, Some(0));
    house.doctor(&["configuration", "fine"]).await.unwrap();
}
