//! Several phones, their usbmuxd and their network, running together.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::addresses::{addresses, first_free};
use crate::backup::Quirks;
use crate::control;
use crate::mdns::Responder;
use crate::mux::{Mode, Muxer};
use crate::network;
use crate::pairing::{PairingError, record_bytes};
use crate::phone::Phone;
use crate::profile::PhoneSpec;
use crate::state::{Setting, SettingError};
use crate::status::{MuxStatus, PhoneStatus, Status};

/// The installation's identifier, which a paired host's record repeats.
const SYSTEM_BUID: &str = "5C3D2A10-7B1E-4E0B-9F55-1BA15ED00001";
/// How long a phone that reboots goes on, so that its last words reach the host.
const FINAL_WORDS: Duration = Duration::from_millis(200);
/// How long a reboot takes; real ones take a minute.
const REBOOT: Duration = Duration::from_millis(500);
/// How long a phone may take to appear on the network or to leave it.
const NETWORK_WAIT_MAX: Duration = Duration::from_secs(5);

/// What to simulate.
#[derive(Clone, Debug, Default)]
pub struct SimOptions {
    /// Where usbmuxd's Unix socket is made.
    pub usbmuxd: PathBuf,
    /// Where usbmuxd also listens on TCP; port 0 takes a free one.
    pub usbmuxd_tcp: Option<SocketAddr>,
    /// Where the control socket is made.
    pub control: Option<PathBuf>,
    /// The network interface on which phones on Wi-Fi are announced.
    pub mdns: Option<String>,
    /// The switches that are on.
    pub quirks: Quirks,
    /// The phones.
    pub phones: Vec<PhoneSpec>,
}

/// Why the simulator could not do something, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// A socket could not be made.
    #[error("{what} {place}: {source}; choose another place or end what uses it")]
    Listen {
        /// What was to listen.
        what: &'static str,
        /// Where.
        place: String,
        /// Why not.
        source: io::Error,
    },
    /// Two phones have one UDID.
    #[error("two phones have the UDID {0}: give them different seeds")]
    SameUdid(String),
    /// No phone at all.
    #[error("there is no phone to simulate: give a phone file with --phone FILE.toml")]
    NoPhone,
    /// No such phone.
    #[error("there is no phone {udid}; the simulator has {known}")]
    NoSuchPhone {
        /// What was asked for.
        udid: String,
        /// What there is.
        known: String,
    },
    /// A setting is wrong.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// mDNS cannot be used.
    #[error(
        "mDNS on {interface}: {message}; use an interface that can do multicast, see `ip link`"
    )]
    Mdns {
        /// The interface.
        interface: String,
        /// Why not.
        message: String,
    },
    /// A key or certificate could not be made.
    #[error(transparent)]
    Pairing(#[from] PairingError),
    /// A phone did not appear on the network, or did not leave it.
    #[error("phone {0} did not change its place on the network within 5 s; is its address free?")]
    Network(String),
    /// The simulator itself failed.
    #[error("the simulator failed: {0}")]
    Failed(String),
}

/// A verb for usbmuxd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MuxVerb {
    /// Accept connections and never answer.
    Mute,
    /// Answer.
    Normal,
    /// End and begin again: every connection breaks, DeviceIDs start over.
    Restart,
    /// End, as if it were not installed.
    Stop,
    /// Begin again after `Stop`.
    Start,
}

struct OnNetwork {
    udid: String,
    address: SocketAddr,
    listening: watch::Receiver<bool>,
}

/// What the simulator and its control socket share.
pub(crate) struct Core {
    phones: Vec<Arc<Phone>>,
    muxer: Arc<Muxer>,
    networks: Vec<OnNetwork>,
}

/// Simulated phones that run until this is dropped.
pub struct Simulator {
    core: Arc<Core>,
    tasks: TaskTracker,
    control: Option<PathBuf>,
    _stop: DropGuard,
}

impl Simulator {
    /// Starts everything; when it returns, clients can connect.
    ///
    /// # Errors
    /// [`SimError`] when a socket cannot be made or the options contradict each other.
    pub async fn start(options: SimOptions) -> Result<Self, SimError> {
        if options.phones.is_empty() {
            return Err(SimError::NoPhone);
        }
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let guard = stop.clone().drop_guard();
        let phones = make_phones(&options, &stop, &tasks).await?;
        let muxer = Muxer::new(
            &options.usbmuxd,
            options.usbmuxd_tcp,
            SYSTEM_BUID,
            phones.clone(),
            &stop,
        );
        for phone in phones.iter().filter(|phone| phone.spec().paired) {
            let record = phone.pair_earlier(SYSTEM_BUID)?;
            let bytes =
                record_bytes(&record).map_err(|error| SimError::Failed(error.to_string()))?;
            muxer.save_record(&phone.identity().udid, bytes);
        }
        muxer.start().await.map_err(|source| SimError::Listen {
            what: "usbmuxd's socket",
            place: options.usbmuxd.display().to_string(),
            source,
        })?;
        for phone in &phones {
            let rebooting = reboot_on_demand(Arc::clone(phone), Arc::clone(&muxer));
            tasks.spawn(stop.clone().run_until_cancelled_owned(rebooting));
        }
        let networks = start_networks(&options, &phones, &stop, &tasks).await?;
        let core = Arc::new(Core {
            phones,
            muxer,
            networks,
        });
        if let Some(path) = &options.control {
            let serving = control::listen(path, Arc::clone(&core), tasks.clone(), stop.clone());
            serving.await.map_err(|source| SimError::Listen {
                what: "the control socket",
                place: path.display().to_string(),
                source,
            })?;
        }
        let simulator = Self {
            core,
            tasks,
            control: options.control,
            _stop: guard,
        };
        for phone in &simulator.core.phones {
            simulator.core.settle(phone).await?;
        }
        Ok(simulator)
    }

    /// Returns the phones, in the order they were given.
    pub fn phones(&self) -> &[Arc<Phone>] {
        &self.core.phones
    }

    /// Finds a phone by its UDID, with or without the dash.
    ///
    /// # Errors
    /// [`SimError::NoSuchPhone`].
    pub fn phone(&self, udid: &str) -> Result<Arc<Phone>, SimError> {
        self.core.phone(udid)
    }

    /// Returns usbmuxd.
    pub fn muxer(&self) -> &Muxer {
        &self.core.muxer
    }

    /// Returns where a phone's lockdown listens on the network, if it may.
    pub fn wifi_address(&self, udid: &str) -> Option<SocketAddr> {
        self.core
            .networks
            .iter()
            .find(|network| network.udid == udid)
            .map(|network| network.address)
    }

    /// Changes how a phone stands; when it returns, the change is visible everywhere.
    ///
    /// # Errors
    /// [`SimError`] when there is no such phone or it cannot come onto the network.
    pub async fn set(&self, udid: &str, settings: &[Setting]) -> Result<(), SimError> {
        self.core.set(udid, settings).await
    }

    /// Changes a phone's data: touches, adds and deletes so many files.
    ///
    /// # Errors
    /// [`SimError::NoSuchPhone`].
    pub fn change(&self, udid: &str, touch: u64, add: u64, delete: u64) -> Result<(), SimError> {
        self.core.change(udid, touch, add, delete)
    }

    /// The person cancels the sync or backup on the phone's screen.
    ///
    /// # Errors
    /// [`SimError::NoSuchPhone`].
    pub fn cancel(&self, udid: &str) -> Result<(), SimError> {
        self.core.cancel(udid)
    }

    /// Makes usbmuxd mute, answer, end or begin again.
    ///
    /// # Errors
    /// [`SimError::Listen`] when its socket cannot be made again.
    pub async fn mux(&self, verb: MuxVerb) -> Result<(), SimError> {
        self.core.mux(verb).await
    }

    /// Returns how everything stands and what happened.
    pub fn status(&self) -> Status {
        self.core.status()
    }

    /// Ends everything and waits until it ended.
    pub async fn stop(self) {
        let tasks = self.tasks.clone();
        self.core.muxer.stop().await;
        drop(self);
        tasks.close();
        tasks.wait().await;
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.core.muxer.unlink();
        if let Some(path) = &self.control
            && let Err(error) = std::fs::remove_file(path)
        {
            tracing::debug!(%error, "cannot remove the control socket");
        }
    }
}

async fn make_phones(
    options: &SimOptions,
    stop: &CancellationToken,
    tasks: &TaskTracker,
) -> Result<Vec<Arc<Phone>>, SimError> {
    let mut making = Vec::new();
    for spec in options.phones.clone() {
        let (quirks, stop, tasks) = (options.quirks.clone(), stop.clone(), tasks.clone());
        making.push(tokio::task::spawn_blocking(move || {
            Phone::new(&spec, quirks, &stop, tasks)
        }));
    }
    let mut phones: Vec<Arc<Phone>> = Vec::new();
    for made in making {
        let phone = made
            .await
            .map_err(|error| SimError::Failed(error.to_string()))??;
        if phones
            .iter()
            .any(|other| other.identity().udid == phone.identity().udid)
        {
            return Err(SimError::SameUdid(phone.identity().udid.clone()));
        }
        phones.push(phone);
    }
    Ok(phones)
}

/// Takes a phone down and up again, each time it wants that.
async fn reboot_on_demand(phone: Arc<Phone>, muxer: Arc<Muxer>) {
    loop {
        phone.reboots.notified().await;
        tokio::time::sleep(FINAL_WORDS).await;
        let attached = phone.go_down();
        muxer.look_if_running().await;
        tokio::time::sleep(REBOOT).await;
        phone.start_up(attached);
        muxer.look_if_running().await;
    }
}

/// Gives each phone its address on the network: its own, or the interface's next free one.
async fn start_networks(
    options: &SimOptions,
    phones: &[Arc<Phone>],
    stop: &CancellationToken,
    tasks: &TaskTracker,
) -> Result<Vec<OnNetwork>, SimError> {
    let mut responder = None;
    let mut spare = Vec::new();
    if let Some(interface) = &options.mdns {
        let refuse = |message: String| SimError::Mdns {
            interface: interface.clone(),
            message,
        };
        spare = addresses(interface).map_err(|error| refuse(error.to_string()))?;
        if spare.is_empty() {
            return Err(refuse(
                "there is no such interface, or it has no IPv4 address".to_owned(),
            ));
        }
        spare.reverse();
        responder = Some(Arc::new(
            Responder::new(interface).map_err(|error| refuse(error.to_string()))?,
        ));
    }
    let mut networks = Vec::new();
    for phone in phones {
        let own = phone.spec().wifi_address;
        let candidates = own.map_or_else(|| std::mem::take(&mut spare), |own| vec![own]);
        let Some((address, left)) = first_free(candidates).await? else {
            continue;
        };
        if own.is_none() {
            spare = left;
        }
        let (sender, listening) = watch::channel(false);
        let supervising = network::supervise(Arc::clone(phone), address, responder.clone(), sender);
        tasks.spawn(stop.clone().run_until_cancelled_owned(supervising));
        networks.push(OnNetwork {
            udid: phone.identity().udid.clone(),
            address,
            listening,
        });
    }
    Ok(networks)
}

impl Core {
    pub(crate) fn phone(&self, udid: &str) -> Result<Arc<Phone>, SimError> {
        let plain = |text: &str| text.replace('-', "").to_ascii_lowercase();
        let found = self
            .phones
            .iter()
            .find(|phone| plain(&phone.identity().udid) == plain(udid));
        found.cloned().ok_or_else(|| SimError::NoSuchPhone {
            udid: udid.to_owned(),
            known: self
                .phones
                .iter()
                .map(|p| p.identity().udid.clone())
                .collect::<Vec<_>>()
                .join(", "),
        })
    }

    pub(crate) async fn set(&self, udid: &str, settings: &[Setting]) -> Result<(), SimError> {
        let phone = self.phone(udid)?;
        for setting in settings {
            // A password is as much work as the phone's costs say.
            let (phone, setting) = (Arc::clone(&phone), setting.clone());
            tokio::task::spawn_blocking(move || phone.set(&setting))
                .await
                .map_err(|error| SimError::Failed(error.to_string()))?;
        }
        self.muxer.look_if_running().await;
        self.settle(&phone).await
    }

    /// Waits until the network shows how the phone stands.
    async fn settle(&self, phone: &Phone) -> Result<(), SimError> {
        let Some(network) = self
            .networks
            .iter()
            .find(|network| network.udid == phone.identity().udid)
        else {
            return Ok(());
        };
        let wanted = phone.is_on_network();
        let mut listening = network.listening.clone();
        let settled = listening.wait_for(|now| *now == wanted);
        match tokio::time::timeout(NETWORK_WAIT_MAX, settled).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(SimError::Network(network.udid.clone())),
        }
    }

    pub(crate) fn change(
        &self,
        udid: &str,
        touch: u64,
        add: u64,
        delete: u64,
    ) -> Result<(), SimError> {
        self.phone(udid)?.change(touch, add, delete);
        Ok(())
    }

    pub(crate) fn cancel(&self, udid: &str) -> Result<(), SimError> {
        self.phone(udid)?.person_cancels();
        Ok(())
    }

    pub(crate) async fn mux(&self, verb: MuxVerb) -> Result<(), SimError> {
        let begin = || async {
            self.muxer.start().await.map_err(|source| SimError::Listen {
                what: "usbmuxd's socket",
                place: self.muxer.path().display().to_string(),
                source,
            })
        };
        match verb {
            MuxVerb::Mute => self.muxer.set_mode(Mode::Mute),
            MuxVerb::Normal => self.muxer.set_mode(Mode::Normal),
            MuxVerb::Stop => self.muxer.stop().await,
            MuxVerb::Start => begin().await?,
            MuxVerb::Restart => {
                self.muxer.stop().await;
                self.muxer.set_mode(Mode::Normal);
                begin().await?;
            }
        }
        Ok(())
    }

    pub(crate) fn status(&self) -> Status {
        let address = |udid: &str| {
            self.networks
                .iter()
                .find(|n| n.udid == udid)
                .map(|n| n.address)
        };
        Status {
            usbmuxd: MuxStatus::of(&self.muxer),
            phones: self
                .phones
                .iter()
                .map(|p| PhoneStatus::of(p, address(&p.identity().udid)))
                .collect(),
        }
    }
}

impl SimOptions {
    /// Makes options with both sockets in a directory, as `usbmuxd` and `control`.
    pub fn in_dir(dir: &Path, phones: Vec<PhoneSpec>) -> Self {
        Self {
            usbmuxd: dir.join("usbmuxd"),
            control: Some(dir.join("control")),
            phones,
            ..Self::default()
        }
    }
}
