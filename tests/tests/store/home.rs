//! One phone, one daemon, one store: what most of these tests live in.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ibak_core::{Bytes, Udid};
use ibak_dbus::views::{BackupView, StorageView};
use ibak_dbus::words::Outcome;
use ibak_dbus::{BusChoice, Dict, ManagerProxy, PhoneProxy, names};
use ibak_sim::{Phone, PhoneSpec};
use ibak_tests::trouble::{Daemon, House, Said, ensure_equal, udid_of};
use zbus::proxy::CacheProperties;

use crate::ear::Ear;
use crate::tree::Place;

/// How long something that nobody announces may take.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Home {
    pub house: House,
    pub daemon: Option<Daemon>,
    pub ear: Ear,
    pub phone: Arc<Phone>,
    pub udid: Udid,
    pub place: Place,
    pub config: String,
    connection: zbus::Connection,
}

impl Home {
    /// A home whose store is in the house; `tables` is put behind the configuration.
    pub async fn of(spec: PhoneSpec, tables: &str) -> Self {
        let house = House::build(vec![spec]).await.unwrap();
        let store = house.path("store");
        Self::at(house, &store, tables).await
    }

    /// A home whose store is elsewhere.
    pub async fn at(house: House, store: &Path, tables: &str) -> Self {
        let config = format!("{}{tables}", house.config_at(store, ""));
        let daemon = house.daemon(&config).await.unwrap();
        let (ear, phone) = (Ear::open(&house).await.unwrap(), house.phone(0));
        let udid = udid_of(&phone);
        let connection = BusChoice::Address(house.bus_address());
        let mut home = Self {
            connection: connection.connect().await.unwrap(),
            place: Place::new(store, udid.as_str()),
            house,
            daemon: Some(daemon),
            ear,
            phone,
            udid,
            config,
        };
        home.ear.ready(&home.udid).await.unwrap();
        home
    }

    pub async fn stop(&mut self) {
        self.daemon.take().unwrap().stop().await.unwrap();
        self.ear.until_gone().await.unwrap();
    }

    pub async fn start(&mut self) {
        self.daemon = Some(self.house.daemon(&self.config).await.unwrap());
        self.ear.ready(&self.udid).await.unwrap();
    }

    /// Asks for a backup and waits for its end.
    pub async fn end_of_backup(&mut self) -> Outcome {
        self.ear.ready(&self.udid).await.unwrap();
        let job = self.house.ask_backup(&self.udid, false).await.unwrap();
        self.ear.end_of(job).await.unwrap()
    }

    /// Makes a good backup; returns its id and how many bytes the phone sent for it.
    pub async fn back_up(&mut self) -> (String, u64) {
        let before = self.phone.bytes_sent();
        let end = self.end_of_backup().await;
        assert_eq!(end, Outcome::Succeeded, "{}", self.log());
        let newest = self.place.generations().pop().unwrap();
        (newest, self.phone.bytes_sent() - before)
    }

    /// Changes the phone and makes a good backup.
    pub async fn next(&mut self) -> String {
        self.phone.change(8, 3, 2);
        self.back_up().await.0
    }

    pub fn log(&self) -> String {
        self.daemon
            .as_ref()
            .map_or_else(String::new, Daemon::last_words)
    }

    /// Runs `ibakctl`, which succeeds.
    #[track_caller]
    pub fn ctl(&self, words: &[&str]) -> impl Future<Output = Said> {
        let caller = std::panic::Location::caller();
        let asked = format!("{words:?} at {caller}");
        let said = self.house.ctl(words);
        async move {
            let said = said.await.unwrap();
            assert_eq!(said.code, Some(0), "{asked}: {said:#?}");
            said
        }
    }

    pub async fn rows(&self) -> Vec<BackupView> {
        self.house.backups(&self.udid).await.unwrap()
    }

    /// The row of one backup.
    pub async fn row(&self, id: &str) -> BackupView {
        let rows = self.rows().await;
        let found = rows.iter().find(|row| row.id.as_str() == id);
        found
            .unwrap_or_else(|| panic!("no {id} in {rows:#?}"))
            .clone()
    }

    /// The ids that the bus lists, which are those that lie there.
    pub async fn listed(&self) -> Vec<String> {
        let rows = self.rows().await;
        let ids: Vec<String> = rows.iter().map(|row| row.id.to_string()).collect();
        assert_eq!(ids, self.place.generations(), "the bus and the tree");
        ids
    }

    /// Waits until these lie there, which retention brings about by the way; the bus lists the same.
    pub async fn comes_to(&self, ids: &[&String]) {
        let wanted: Vec<String> = ids.iter().map(|id| (*id).clone()).collect();
        until("retention", || self.place.generations() == wanted)
            .await
            .unwrap_or_else(|error| {
                panic!("{error}: {:?}, not {wanted:?}", self.place.generations())
            });
        assert_eq!(self.listed().await, wanted);
    }

    pub async fn storage(&self) -> Vec<StorageView> {
        let rows = self
            .manager()
            .await
            .list_storage(Dict::new())
            .await
            .unwrap();
        rows.iter().map(StorageView::from_dict).collect()
    }

    /// What the daemon says that the phone's backups take.
    pub async fn used(&self) -> Bytes {
        let rows = self.storage().await;
        let row = rows
            .iter()
            .find(|row| row.phone.as_ref() == Some(&self.udid));
        row.expect("a row for the phone").used
    }

    pub async fn manager(&self) -> ManagerProxy<'_> {
        let built = ManagerProxy::builder(&self.connection)
            .cache_properties(CacheProperties::No)
            .build();
        built.await.unwrap()
    }

    pub async fn proxy(&self) -> PhoneProxy<'_> {
        let built = PhoneProxy::builder(&self.connection)
            .path(names::phone_path(&self.udid))
            .cache_properties(CacheProperties::No)
            .build();
        built.await.unwrap()
    }

    /// Waits until everything that was removed is gone from the disk, which nobody announces.
    pub async fn swept(&self) {
        until("an empty trash", || self.place.trash().is_empty())
            .await
            .unwrap();
    }

    /// Fails unless a backup is whole by its index and holds what the phone holds.
    #[track_caller]
    pub fn holds_the_phone(&self, id: &str) {
        self.place.read(id).unwrap();
        let content = self.phone.content().lock().unwrap().snapshot();
        ensure_equal(&self.place.backup(id), &content).unwrap();
    }

    /// What du says that the phone's directory takes, in bytes.
    pub fn du(&self) -> u64 {
        let output = std::process::Command::new("du")
            .args(["--summarize", "--block-size=1"])
            .arg(&self.place.phone)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.split_whitespace().next().unwrap().parse().unwrap()
    }
}

/// Some file of a backup that is no list, and large enough to be hit.
pub fn some_file(place: &Place, id: &str) -> PathBuf {
    let backup = place.backup(id);
    let files = crate::tree::files_below(&backup).unwrap();
    let mut found = files
        .iter()
        .map(|path| backup.join(path))
        .filter(|path| path.parent() != Some(&backup))
        .filter(|path| path.metadata().unwrap().len() > 100);
    found.next().expect("a file")
}

/// Waits until something holds that nobody announces.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    while !holds() {
        ensure!(Instant::now() < deadline, "waited for {what}");
        tick.tick().await;
    }
    Ok(())
}
