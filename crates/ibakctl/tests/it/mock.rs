//! A daemon of our own making on a private bus: what it is told to do, and runs of the real binary.

use super::fixtures;
use super::objects::{Manager, Shared, tell};
use super::phone_object::Phone;
use ibak_dbus::views::{
    AttemptView, BackupView, CheckView, CompletedView, JobView, ObservationView, PhoneView,
    PolicyView, StorageView,
};
use ibak_dbus::words::{Outcome, StorageState};
use ibak_dbus::{Error, Udid, names};
use std::collections::{HashMap, VecDeque};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use tempfile::TempDir;
use tokio::sync::Notify;
use zbus::Connection;
use zbus::wire::Variant;

/// One thing a scripted job does.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Shows itself so.
    Show(JobView),
    /// Ends, with its signal.
    End(Outcome, CompletedView),
    /// Is gone at once, without a signal; the phone remembers this result.
    Vanish(Outcome),
    /// Waits for [`Mock::open_gate`].
    Gate,
    /// Has the daemon refuse every call from here on.
    Refuse(fn() -> Error),
}

/// What the daemon would answer, and what it was asked.
#[derive(Default)]
pub(crate) struct Script {
    pub(crate) phones: Vec<PhoneView>,
    pub(crate) backups: Vec<BackupView>,
    pub(crate) attempts: Vec<AttemptView>,
    /// What was noted; `None` when that is not for whom asks.
    pub(crate) observations: Option<Vec<ObservationView>>,
    pub(crate) checks: Vec<CheckView>,
    pub(crate) storage: Vec<StorageView>,
    pub(crate) policy: Vec<PolicyView>,
    /// What a store is like once the daemon was told to use it; absent, it never looks.
    pub(crate) look: Option<fn(&str) -> StorageState>,
    /// What was poured into the daemon, once it has ended.
    pub(crate) poured: Option<Vec<u8>>,
    pub(crate) steps: Vec<Step>,
    /// What the next jobs do, one after the other; then it is `steps` again.
    pub(crate) queue: VecDeque<Vec<Step>>,
    /// What is written where files are asked for.
    pub(crate) stream: Vec<u8>,
    /// Whether the pipe stays open behind it.
    pub(crate) hold: bool,
    pub(crate) refuse: Option<fn() -> Error>,
    pub(crate) calls: Vec<String>,
    pub(crate) jobs: u64,
}

/// A private bus, and on it the daemon, if there is one.
pub(crate) struct Mock {
    bus: Child,
    _home: TempDir,
    pub(crate) address: String,
    shared: Arc<Shared>,
    connection: Option<Connection>,
}

impl Drop for Mock {
    fn drop(&mut self) {
        self.bus.kill().unwrap();
        self.bus.wait().unwrap();
    }
}

impl Mock {
    /// Starts a bus without a daemon.
    pub(crate) fn bus() -> Self {
        let home = tempfile::tempdir().unwrap();
        let address = format!("unix:path={}/bus", home.path().display());
        let mut bus = Command::new("dbus-daemon")
            .args(["--session", "--nofork", "--nopidfile", "--print-address=1"])
            .arg(format!("--address={address}"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("dbus-daemon is installed");
        let mut printed = String::new();
        BufReader::new(bus.stdout.take().unwrap())
            .read_line(&mut printed)
            .unwrap();
        assert!(printed.starts_with("unix:"), "{printed}");
        let shared = Arc::new(Shared {
            manager: Mutex::new(fixtures::manager()),
            script: Mutex::new(Script {
                phones: vec![fixtures::ada()],
                ..Script::default()
            }),
            gate: Notify::new(),
            held: Mutex::new(Vec::new()),
        });
        Self {
            bus,
            _home: home,
            address,
            shared,
            connection: None,
        }
    }

    /// Starts a bus with a daemon that follows `script`.
    pub(crate) async fn start(script: Script) -> Self {
        let mut mock = Self::bus();
        *mock.shared.script() = script;
        mock.start_daemon().await;
        mock
    }

    /// Starts a daemon with one phone that waits.
    pub(crate) async fn ada() -> Self {
        Self::start(Script {
            phones: vec![fixtures::ada()],
            ..Script::default()
        })
        .await
    }

    pub(crate) async fn start_daemon(&mut self) {
        let connection = zbus::connection::Builder::address(self.address.as_str())
            .build()
            .await
            .unwrap();
        let server = connection.object_server();
        server
            .at(names::MANAGER_PATH, Manager(self.shared.clone()))
            .await
            .unwrap();
        let udids: Vec<Udid> = self
            .script()
            .phones
            .iter()
            .map(|phone| phone.udid.clone())
            .collect();
        for udid in udids {
            server
                .at(names::phone_path(&udid), Phone(self.shared.clone(), udid))
                .await
                .unwrap();
        }
        server
            .at(names::ROOT_PATH, zbus::fdo::ObjectManager)
            .await
            .unwrap();
        connection.request_name(names::BUS_NAME).await.unwrap();
        self.connection = Some(connection);
    }

    /// Ends the daemon as a crash does: its connection is gone.
    pub(crate) async fn kill_daemon(&mut self) {
        self.connection.take().unwrap().close().await.unwrap();
    }

    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        self.shared.script()
    }

    pub(crate) fn calls(&self) -> Vec<String> {
        self.script().calls.clone()
    }

    pub(crate) fn open_gate(&self) {
        self.shared.gate.notify_one();
    }

    /// Changes what the daemon says of its store.
    pub(crate) fn manager(&self) -> MutexGuard<'_, ibak_dbus::views::ManagerView> {
        self.shared.manager.lock().unwrap()
    }

    /// Tells a phone's state anew.
    pub(crate) async fn set_phone(&self, phone: PhoneView) {
        let path = names::phone_path(&phone.udid);
        let word = Variant::from(phone.state.to_string())
            .try_into_owned()
            .unwrap();
        *self
            .script()
            .phones
            .iter_mut()
            .find(|view| view.udid == phone.udid)
            .unwrap() = phone.clone();
        tell(
            self.connection.as_ref().unwrap(),
            &path,
            names::PHONE_INTERFACE,
            HashMap::from([("State".to_owned(), word)]),
        )
        .await;
    }

    /// Prepares a run of the real binary on this bus, at the pinned moment, in UTC.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ibakctl"));
        command
            .args(args)
            .env_remove("NO_COLOR")
            .env_remove("LC_ALL")
            .env_remove("LC_CTYPE")
            .env("LANG", "C.UTF-8")
            .env("TZ", "UTC")
            .env("IBAK_BUS", &self.address)
            .env("IBAK_TIMESTAMP", fixtures::NOW)
            .stdin(Stdio::null());
        command
    }

    /// Runs the real binary to its end.
    pub(crate) async fn run(&self, args: &[&str]) -> Ran {
        let mut command = self.command(args);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap();
        Ran::of(&output)
    }
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Self {
            code: output.status.code(),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }

    /// Reads the answer as one JSON document.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}
