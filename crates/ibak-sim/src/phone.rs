//! One simulated phone: what it is, how it stands, and what happened on it.
//!
//! Lockdown, the services, the muxer and the network all hold an `Arc<Phone>`; none of them
//! keeps state of its own that outlives a connection.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use plist::Value;
use tokio::sync::{Notify, broadcast, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backup::{BackupMemory, Quirk, Quirks};
use crate::content::{Content, ContentSpec};
use crate::hostile::{Attack, Loot, Record};
use crate::identity::Identity;
use crate::pairing::{Key, Pairing, PairingError, earlier_record, escrow_bag};
use crate::ports::Ports;
use crate::products::Product;
use crate::profile::PhoneSpec;
use crate::restored::Restored;
use crate::services::afc::{self, Tree};
use crate::state::{PhoneState, Setting};

/// How many notifications a slow listener may be behind before it loses some.
const POSTS_MAX: usize = 256;
/// How many posts of hosts the log keeps.
const POSTED_LOG_MAX: usize = 64;

/// How a host reached the phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Through usbmuxd.
    Usb,
    /// By TCP to this address of the phone.
    Network(std::net::IpAddr),
}

/// What happened on a phone since the simulator started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Activity {
    /// Lockdown sessions that were started.
    pub sessions: u64,
    /// Connections of the backup service.
    pub backups_begun: u64,
    /// Backups that ended with error code 0.
    pub backups_finished: u64,
    /// Whether the last finished backup was a full one.
    pub last_was_full: bool,
    /// How often the phone asked for its passcode.
    pub passcode_prompts: u64,
    /// The last thing that went wrong in a backup, in words.
    pub last_error: Option<String>,
    /// Files that finished backups uploaded.
    pub files_sent: u64,
    /// Files an interrupted backup had left on the host and that were not sent again.
    pub files_resumed: u64,
    /// What the backup service is doing.
    pub phase: Option<crate::backup::Phase>,
    /// The last notifications that hosts posted, oldest first.
    pub posted_by_hosts: Vec<String>,
    /// How often the phone asked for its passcode when a computer paired.
    pub pairing_prompts: u64,
    /// Whether such a question is on the screen.
    pub pairing_asks: bool,
    /// Restores that ended with error code 0.
    pub restores_finished: u64,
    /// How often it was started again.
    pub reboots: u64,
}

/// A domain and a key in it.
type ValueName = (Option<String>, String);

/// A simulated phone.
pub struct Phone {
    spec: PhoneSpec,
    identity: Identity,
    product: Product,
    key: Arc<Key>,
    quirks: Quirks,
    content: Arc<Mutex<Content>>,
    memory: Arc<Mutex<BackupMemory>>,
    state: watch::Sender<PhoneState>,
    posts: broadcast::Sender<Arc<str>>,
    written: Mutex<BTreeMap<ValueName, Option<Value>>>,
    pairings: Mutex<BTreeMap<String, Pairing>>,
    last_host: Mutex<String>,
    activity: Mutex<Activity>,
    loot: Mutex<Loot>,
    pub(crate) record: Record,
    pub(crate) restored: Mutex<Restored>,
    pub(crate) reboots: Notify,
    pub(crate) ports: Ports,
    pub(crate) afc: Mutex<Tree>,
    pub(crate) bytes_sent: AtomicU64,
    pub(crate) person_cancels: Notify,
    pub(crate) usb: Link,
    pub(crate) wifi: Link,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
}

/// A way to the phone that can break: everything on it ends when it does.
pub(crate) struct Link(Mutex<CancellationToken>);

impl Link {
    fn new(stop: &CancellationToken) -> Self {
        Self(Mutex::new(stop.child_token()))
    }

    /// Returns what a connection over this link has to watch.
    pub(crate) fn token(&self) -> CancellationToken {
        locked(&self.0).clone()
    }

    /// Ends every connection over this link.
    fn cut(&self, stop: &CancellationToken) {
        let old = std::mem::replace(&mut *locked(&self.0), stop.child_token());
        old.cancel();
    }
}

/// Locks a mutex; what a panicking test left behind is still usable.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Phone {
    /// Makes the phone of a phone file. Takes a while: it draws an RSA key and the content.
    ///
    /// # Errors
    /// [`PairingError::Make`] when the key cannot be made.
    pub fn new(
        spec: &PhoneSpec,
        quirks: Quirks,
        stop: &CancellationToken,
        tasks: TaskTracker,
    ) -> Result<Arc<Self>, PairingError> {
        let identity = spec.identity();
        let content = Content::generate(
            &ContentSpec {
                seed: spec.seed,
                files: spec.files,
                bytes: spec.bytes,
                apps: spec.apps,
                largest_file: spec.largest_file,
            },
            &identity,
        );
        let key = Key::of_seed(spec.seed ^ 0x0707_0000_0000)?;
        let mut afc = Tree::of_a_phone(&identity);
        afc::plant(&mut afc, spec);
        let phone = Arc::new(Self {
            product: Product::find(&spec.product),
            key,
            quirks,
            content: Arc::new(Mutex::new(content)),
            memory: Arc::default(),
            state: watch::Sender::new(spec.state.clone()),
            posts: broadcast::Sender::new(POSTS_MAX),
            written: Mutex::default(),
            pairings: Mutex::default(),
            last_host: Mutex::default(),
            activity: Mutex::default(),
            loot: Mutex::default(),
            record: Record::default(),
            restored: Mutex::default(),
            reboots: Notify::new(),
            ports: Ports::default(),
            afc: Mutex::new(afc),
            bytes_sent: AtomicU64::new(0),
            person_cancels: Notify::new(),
            usb: Link::new(stop),
            wifi: Link::new(stop),
            tasks,
            stop: stop.clone(),
            identity,
            spec: spec.clone(),
        });
        if spec.password.is_some() {
            phone.set_password(spec.password.as_ref());
        }
        Ok(phone)
    }

    /// Returns who the phone is.
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Returns the board and chip.
    pub const fn product(&self) -> &Product {
        &self.product
    }

    /// Returns the phone file's values.
    pub const fn spec(&self) -> &PhoneSpec {
        &self.spec
    }

    /// Returns the phone's own key.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Returns the phone's data.
    pub fn content(&self) -> Arc<Mutex<Content>> {
        Arc::clone(&self.content)
    }

    /// Returns what the phone remembers of its backups.
    pub fn memory(&self) -> Arc<Mutex<BackupMemory>> {
        Arc::clone(&self.memory)
    }

    /// Returns the switches that are on.
    pub const fn quirks(&self) -> &Quirks {
        &self.quirks
    }

    /// Returns how the phone stands.
    pub fn state(&self) -> PhoneState {
        self.state.borrow().clone()
    }

    /// Returns a watch on how the phone stands.
    pub fn watch_state(&self) -> watch::Receiver<PhoneState> {
        self.state.subscribe()
    }

    /// Returns what happened on it.
    pub fn activity(&self) -> Activity {
        locked(&self.activity).clone()
    }

    /// Returns how many bytes its backup service sent, frames included.
    pub fn bytes_sent(&self) -> u64 {
        self.bytes_sent.load(Ordering::Relaxed)
    }

    pub(crate) fn change_state(&self, change: impl FnOnce(&mut PhoneState)) {
        self.state.send_modify(change);
    }

    pub(crate) fn note<T>(&self, change: impl FnOnce(&mut Activity) -> T) -> T {
        change(&mut locked(&self.activity))
    }

    /// Changes how the phone stands and posts what a real phone posts then.
    pub fn set(&self, setting: &Setting) {
        if let Setting::Password(password) = setting {
            self.set_password(password.as_ref());
        }
        let changed = self.state.send_if_modified(|state| state.apply(setting));
        if !changed {
            return;
        }
        let names: &[&str] = match setting {
            Setting::Locked(to) => self.lock_notifications(to.is_on()),
            Setting::Power(to) if to.is_on() => &["com.apple.springboard.pluggedin"],
            Setting::Wifi(_) => &["com.apple.system.config.network_change"],
            Setting::Attached(_) => &["com.apple.mobile.lockdown.host_attached"],
            Setting::Power(_)
            | Setting::Passcode(_)
            | Setting::Awake(_)
            | Setting::Trust(_)
            | Setting::Battery(_)
            | Setting::PasscodeAnswer(_)
            | Setting::PasscodePatience(_)
            | Setting::DropAfter(_)
            | Setting::UploadRate(_)
            | Setting::Silence(_)
            | Setting::RefuseWith(_)
            | Setting::FileErrors(_)
            | Setting::RemoteErrors(_)
            | Setting::ErrorsEnd(_)
            | Setting::DropIn(_)
            | Setting::FindMy(_)
            | Setting::Setup(_)
            | Setting::ICloud(_)
            | Setting::ICloudAccount(_)
            | Setting::Attack(_)
            | Setting::Password(_)
            | Setting::RequiresEncryption(_)
            | Setting::SyncLock(_) => &[],
            Setting::FreeSpace(_) => &["com.apple.mobile.lockdown.disk_usage_changed"],
        };
        if let Setting::SyncLock(to) = setting {
            locked(&self.afc).hold_sync_lock(*to);
        }
        for name in names {
            self.post(name);
        }
    }

    /// Locking posts lockcomplete and lockstate within a second, unlocking a lone lockstate, and
    /// hasBlankedScreen comes with both (phone.md §2).
    fn lock_notifications(&self, locks: bool) -> &'static [&'static str] {
        const LOCK: &[&str] = &[
            "com.apple.springboard.hasBlankedScreen",
            "com.apple.springboard.lockcomplete",
            "com.apple.springboard.lockstate",
        ];
        const UNLOCK: &[&str] = &[
            "com.apple.springboard.hasBlankedScreen",
            "com.apple.springboard.lockstate",
        ];
        const SILENT: &[&str] = &["com.apple.springboard.hasBlankedScreen"];
        let no_passcode = !self.state.borrow().passcode.is_on();
        match (locks, no_passcode && self.quirks.has(Quirk::SilentLock)) {
            (true, true) => SILENT,
            (true, false) => LOCK,
            (false, _) => UNLOCK,
        }
    }

    /// Changes the phone's data between two backups.
    pub fn change(&self, touch: u64, add: u64, delete: u64) {
        locked(&self.content).change(touch, add, delete);
        self.post("com.apple.mobile.lockdown.disk_usage_changed");
    }

    /// The person taps ✕ on the phone while a sync or backup runs.
    pub fn person_cancels(&self) {
        self.post("com.apple.itunes-client.syncCancelRequest");
        self.person_cancels.notify_waiters();
    }

    pub(crate) fn attack(&self) -> Option<Attack> {
        self.state.borrow().attack
    }

    /// Returns what its attacks got out of hosts since the simulator started.
    pub fn loot(&self) -> Loot {
        locked(&self.loot).clone()
    }

    pub(crate) fn take_loot(&self, take: impl FnOnce(&mut Loot)) {
        take(&mut locked(&self.loot));
    }

    /// Posts a notification to whoever observes it.
    pub fn post(&self, name: &str) {
        tracing::debug!(udid = self.identity.udid, name, "post");
        // Nobody listening is no error.
        drop(self.posts.send(Arc::from(name)));
    }

    pub(crate) fn listen(&self) -> broadcast::Receiver<Arc<str>> {
        self.posts.subscribe()
    }

    pub(crate) fn host_posts(&self, name: &str) {
        self.note(|activity| {
            if activity.posted_by_hosts.len() == POSTED_LOG_MAX {
                activity.posted_by_hosts.remove(0);
            }
            activity.posted_by_hosts.push(name.to_owned());
        });
        self.post(name);
    }

    /// Keeps what a host wrote with SetValue, or that it removed a value.
    pub(crate) fn write_value(&self, domain: Option<&str>, key: &str, value: Option<Value>) {
        locked(&self.written).insert((domain.map(ToOwned::to_owned), key.to_owned()), value);
        // The network watches the state to see EnableWifiConnections change.
        self.state.send_modify(|_| {});
    }

    /// Gives it another name, as its owner does in its settings.
    pub fn rename(&self, name: &str) {
        self.write_value(None, "DeviceName", Some(name.into()));
        self.post("com.apple.mobile.lockdown.device_name_changed");
    }

    pub(crate) fn written(&self, domain: Option<&str>) -> Vec<(String, Option<Value>)> {
        locked(&self.written)
            .iter()
            .filter(|((of, _), _)| of.as_deref() == domain)
            .map(|((_, key), value)| (key.clone(), value.clone()))
            .collect()
    }

    /// Returns `EnableWifiConnections`: off until a host turns it on, on for an earlier pairing.
    pub fn wifi_connections(&self) -> bool {
        let name = (
            Some("com.apple.mobile.wireless_lockdown".to_owned()),
            "EnableWifiConnections".to_owned(),
        );
        match locked(&self.written).get(&name) {
            Some(value) => value.as_ref().and_then(Value::as_boolean).unwrap_or(false),
            None => self.spec.paired,
        }
    }

    /// Tells whether the network reaches the phone.
    pub fn is_on_network(&self) -> bool {
        let state = self.state.borrow();
        state.wifi.is_on()
            && state.awake.is_on()
            && state.unlocked_once.is_on()
            && self.wifi_connections()
    }

    pub(crate) fn pairing(&self, host_id: &str) -> Option<Pairing> {
        locked(&self.pairings).get(host_id).cloned()
    }

    /// Returns the identifiers of the hosts it trusts.
    pub fn hosts(&self) -> Vec<String> {
        locked(&self.pairings).keys().cloned().collect()
    }

    pub(crate) fn trust_host(&self, pairing: Pairing) {
        locked(&self.last_host).clone_from(&pairing.system_buid);
        locked(&self.pairings).insert(pairing.host_id.clone(), pairing);
        self.state.send_modify(|_| {});
        self.post("com.apple.mobile.lockdown.trusted_host_attached");
    }

    pub(crate) fn forget_host(&self, host_id: &str) -> bool {
        let known = locked(&self.pairings).remove(host_id).is_some();
        self.state.send_modify(|_| {});
        known
    }

    pub(crate) fn last_host_buid(&self) -> String {
        locked(&self.last_host).clone()
    }

    /// Pairs as if it had been done before the simulator started.
    pub(crate) fn pair_earlier(
        &self,
        system_buid: &str,
    ) -> Result<plist::Dictionary, PairingError> {
        let bag = escrow_bag(self.spec.seed ^ 0xe5c0);
        let record = earlier_record(&self.identity, &self.key, system_buid, &bag)?;
        self.trust_host(Pairing::from_record(&record, &self.key, bag)?);
        Ok(record)
    }

    /// Ends every connection by cable and closes the ports of services that wait.
    pub(crate) fn unplug(&self) {
        self.ports.close();
        self.usb.cut(&self.stop);
    }

    /// Ends every connection over the network.
    pub(crate) fn drop_network_hosts(&self) {
        self.wifi.cut(&self.stop);
    }

    /// Tells whether a host holds the sync lock.
    pub fn sync_lock_is_held(&self) -> bool {
        locked(&self.afc).sync_lock_is_held()
    }

    /// Returns the bytes in use and the bytes of the whole disk.
    pub fn disk_usage(&self) -> (u64, u64) {
        let used = locked(&self.content).used_bytes();
        let marketing = [64_u64, 128, 256, 512, 1024]
            .into_iter()
            .map(|gb| gb * 1_000_000_000);
        let total = marketing
            .into_iter()
            .find(|total| used < total / 2)
            .unwrap_or(2_000_000_000_000);
        (used, total)
    }

    /// Runs a connection until it ends or its link breaks.
    pub(crate) async fn run<F>(&self, what: &'static str, link: CancellationToken, work: F)
    where
        F: Future<Output = io::Result<()>> + Send,
    {
        let udid = &self.identity.udid;
        match link.run_until_cancelled(work).await {
            Some(Err(error)) => tracing::debug!(udid, what, %error, "connection ended"),
            Some(Ok(())) => tracing::trace!(udid, what, "connection ended"),
            None => tracing::debug!(udid, what, "link broke"),
        }
    }
}

/// Returns seconds since 2001-01-01, Apple's epoch, as its plists count them.
pub(crate) fn apple_seconds(time: SystemTime) -> i64 {
    const EPOCH_2001: u64 = 978_307_200;
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_secs();
    i64::try_from(since.saturating_sub(EPOCH_2001)).unwrap_or(i64::MAX)
}
