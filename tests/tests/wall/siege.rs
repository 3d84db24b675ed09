//! A house with a fence: the real daemon, a phone with one honest backup, and somebody else's
//! things all around its folder.

use crate::fence::Fence;
use anyhow::Context;
use ibak_core::{JobId, Udid};
use ibak_dbus::words::Outcome;
use ibak_dbus::{BusChoice, Dict, PhoneProxy, names};
use ibak_sim::hostile::{Attack, FOREIGN_UDID};
use ibak_sim::{Phone, Setting};
use ibak_tests::trouble::{Daemon, House, Watcher, ensure_equal, newest, phone, udid_of};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

/// A file of a backup.
const ID: &str = "3d0d7e5fb2ce288813306e4d4636395e047a3d28";
/// What is in everything that the phone must not get.
pub const CANARY: &[u8] = b"canary-canary-canary-canary";

/// A daemon under siege.
pub struct Siege {
    pub house: House,
    pub daemon: Daemon,
    pub watcher: Watcher,
    pub phone: Arc<Phone>,
    pub udid: Udid,
    connection: zbus::Connection,
}

impl Siege {
    pub async fn lay(seed: u64) -> Self {
        let house = House::build(vec![phone(seed, 80, 2 << 20)]).await.unwrap();
        let store = house.path("fence/yard/store");
        fs::create_dir_all(store.parent().unwrap()).unwrap();
        // What was there is there at the end, however many backups succeed.
        let config = house.config_at(&store, "[keep]\nlast = 1000\n");
        let daemon = house.daemon(&config).await.unwrap();
        let watcher = house.watch().await.unwrap();
        let phone = house.phone(0);
        let choice = BusChoice::Address(house.bus_address());
        let mut siege = Self {
            udid: udid_of(&phone),
            connection: choice.connect().await.unwrap(),
            house,
            daemon,
            watcher,
            phone,
        };
        assert_eq!(siege.back_up().await, Outcome::Succeeded);
        siege.plant();
        siege
    }

    /// Puts somebody else's files wherever a path may lead.
    fn plant(&self) {
        let root = self.root();
        let store = self.store();
        let foreign = store.join(FOREIGN_UDID);
        let generation = foreign.join("gens/somebody").join(FOREIGN_UDID);
        for dir in [
            &root,
            &root.join("yard"),
            &root.join(FOREIGN_UDID),
            &root.join("yard").join(FOREIGN_UDID),
            &foreign,
            &generation,
        ] {
            fs::create_dir_all(dir.join("3d")).unwrap();
            fs::create_dir_all(dir.join("Snapshot")).unwrap();
            for name in [
                "outside",
                "lock",
                "Manifest.db",
                "Info.plist",
                "Status.plist",
                "x",
            ] {
                fs::write(dir.join(name), CANARY).unwrap();
            }
            fs::write(dir.join("3d").join(ID), CANARY).unwrap();
        }
        fs::write(store.join("outside"), CANARY).unwrap();
    }

    pub fn root(&self) -> PathBuf {
        self.house.path("fence")
    }

    pub fn store(&self) -> PathBuf {
        self.house.path("fence/yard/store")
    }

    pub fn own(&self) -> PathBuf {
        self.store().join(self.udid.as_str())
    }

    pub fn generations(&self) -> PathBuf {
        self.own().join("gens")
    }

    pub fn fence(&self) -> Fence {
        Fence::around(&self.root(), &self.own())
    }

    pub async fn back_up(&mut self) -> Outcome {
        let job = self.ask_backup().await;
        self.watcher.end_of(job).await.unwrap()
    }

    pub async fn ask_backup(&mut self) -> JobId {
        self.watcher.ready(&self.udid).await.unwrap();
        self.house.ask_backup(&self.udid, false).await.unwrap()
    }

    pub async fn ask_restore(&mut self) -> JobId {
        self.watcher.ready(&self.udid).await.unwrap();
        let backups = self.house.backups(&self.udid).await.unwrap();
        let newest = backups.last().context("no backup").unwrap().id.clone();
        let path = self
            .proxy()
            .await
            .restore(newest.as_str(), Dict::new())
            .await
            .unwrap();
        names::job_of(path.as_str()).unwrap()
    }

    pub async fn proxy(&self) -> PhoneProxy<'static> {
        let built = PhoneProxy::builder(&self.connection)
            .path(names::phone_path(&self.udid))
            .cache_properties(zbus::proxy::CacheProperties::No)
            .build()
            .await;
        built.unwrap()
    }

    /// Has the phone attack from its next connection on, or be itself again.
    pub async fn attack(&self, attack: Option<Attack>) {
        self.set(Setting::Attack(attack)).await;
    }

    pub async fn set(&self, setting: Setting) {
        let udid = self.udid.as_str();
        self.house.simulator().set(udid, &[setting]).await.unwrap();
    }

    /// Fails unless the newest backup holds what the phone does, and nothing else.
    pub fn equals_the_phone(&self) {
        let content = self.phone.content().lock().unwrap().snapshot();
        ensure_equal(&newest(&self.store(), &self.phone), &content).unwrap();
    }

    /// Fails unless the phone itself is backed up whole, in the same daemon.
    pub async fn honest_again(&mut self) {
        self.attack(None).await;
        assert_eq!(self.back_up().await, Outcome::Succeeded);
        self.equals_the_phone();
        assert!(self.daemon.lives().unwrap());
    }
}

pub fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
