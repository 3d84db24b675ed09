//! How everything stands, for people and as JSON.

use std::net::SocketAddr;

use serde::Serialize;

use crate::backup::Phase;
use crate::mux::{Mode, Muxer};
use crate::phone::Phone;

/// How the simulator stands.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Its usbmuxd.
    pub usbmuxd: MuxStatus,
    /// Its phones.
    pub phones: Vec<PhoneStatus>,
}

/// How usbmuxd stands.
#[derive(Clone, Debug, Serialize)]
pub struct MuxStatus {
    /// Where its socket is.
    pub path: String,
    /// Where it listens on TCP.
    pub tcp: Option<SocketAddr>,
    /// `normal` or `mute`.
    pub mode: &'static str,
    /// The UDIDs it shows.
    pub shows: Vec<String>,
}

/// How a phone stands and what happened on it.
#[derive(Clone, Debug, Serialize)]
pub struct PhoneStatus {
    /// The UDID.
    pub udid: String,
    /// The name.
    pub name: String,
    /// The iOS version.
    pub ios: String,
    /// The product identifier.
    pub product: String,
    /// On external power.
    pub power: bool,
    /// Joined to the Wi-Fi network.
    pub wifi: bool,
    /// Locked.
    pub locked: bool,
    /// Has a passcode.
    pub passcode: bool,
    /// Awake.
    pub awake: bool,
    /// `usb` or `none`.
    pub attached: String,
    /// `accept`, `deny` or `ask`.
    pub trust: String,
    /// Battery level in percent.
    pub battery: u8,
    /// `give`, `ignore` or `dismiss`.
    pub passcode_answer: String,
    /// Where lockdown listens on the network.
    pub wifi_address: Option<SocketAddr>,
    /// Whether the network reaches it.
    pub on_network: bool,
    /// Whether a host holds the sync lock.
    pub sync_lock_held: bool,
    /// How many hosts it trusts.
    pub hosts: usize,
    /// Lockdown sessions that were started.
    pub sessions: u64,
    /// Connections of the backup service.
    pub backups_begun: u64,
    /// Backups that ended with error code 0.
    pub backups_finished: u64,
    /// Whether the last finished backup was a full one.
    pub last_was_full: bool,
    /// What the backup service is doing; `null` when nothing.
    pub backup_phase: Option<&'static str>,
    /// How often the phone asked for its passcode.
    pub passcode_prompts: u64,
    /// Bytes the backup service sent, frames included.
    pub bytes_sent: u64,
    /// Files that finished backups uploaded.
    pub files_sent: u64,
    /// Files that were not sent again after an interruption.
    pub files_resumed: u64,
    /// How often the phone asked for its passcode when a computer paired.
    pub pairing_prompts: u64,
    /// The attack it plays.
    pub attack: Option<String>,
    /// Restores that ended with error code 0.
    pub restores_finished: u64,
    /// How often it was started again.
    pub reboots: u64,
    /// Whether iCloud Backup is on.
    pub icloud: bool,
    /// `WillEncrypt`: whether there is a backup password; `null` if there never was one.
    pub will_encrypt: Option<bool>,
    /// The UUID of its keybag, 32 hexadecimal digits.
    pub keybag: Option<String>,
    /// Whether Find My is on.
    pub find_my: bool,
    /// The last thing that went wrong in a backup.
    pub last_error: Option<String>,
    /// The last notifications that hosts posted.
    pub posted_by_hosts: Vec<String>,
}

impl MuxStatus {
    pub(crate) fn of(muxer: &Muxer) -> Self {
        Self {
            path: muxer.path().display().to_string(),
            tcp: muxer.tcp_address(),
            mode: match muxer.mode() {
                Mode::Normal => "normal",
                Mode::Mute => "mute",
            },
            shows: muxer.devices().into_iter().map(|(_, udid)| udid).collect(),
        }
    }
}

impl PhoneStatus {
    pub(crate) fn of(phone: &Phone, wifi_address: Option<SocketAddr>) -> Self {
        let (identity, state, activity) = (phone.identity(), phone.state(), phone.activity());
        Self {
            udid: identity.udid.clone(),
            name: identity.name.clone(),
            ios: identity.ios.to_string(),
            product: identity.product_type.clone(),
            power: state.power.is_on(),
            wifi: state.wifi.is_on(),
            locked: state.locked.is_on(),
            passcode: state.passcode.is_on(),
            awake: state.awake.is_on(),
            attached: state.attached.to_string(),
            trust: state.trust.to_string(),
            battery: state.battery,
            passcode_answer: state.passcode_answer.to_string(),
            wifi_address,
            on_network: wifi_address.is_some() && phone.is_on_network(),
            sync_lock_held: phone.sync_lock_is_held(),
            hosts: phone.hosts().len(),
            sessions: activity.sessions,
            backups_begun: activity.backups_begun,
            backups_finished: activity.backups_finished,
            last_was_full: activity.last_was_full,
            backup_phase: activity.phase.map(Phase::word),
            passcode_prompts: activity.passcode_prompts,
            bytes_sent: phone.bytes_sent(),
            files_sent: activity.files_sent,
            files_resumed: activity.files_resumed,
            pairing_prompts: activity.pairing_prompts,
            attack: state.attack.map(|attack| attack.name()),
            restores_finished: activity.restores_finished,
            reboots: activity.reboots,
            icloud: state.icloud.is_on(),
            will_encrypt: phone.will_encrypt(),
            keybag: phone.keybag_uuid(),
            find_my: state.find_my.is_on(),
            last_error: activity.last_error,
            posted_by_hosts: activity.posted_by_hosts,
        }
    }
}

impl Status {
    /// Renders it for people.
    pub fn to_text(&self) -> String {
        let word = |on: bool| if on { "on" } else { "off" };
        let mut text = format!(
            "usbmuxd {} ({}), shows {} of {}\n",
            self.usbmuxd.path,
            self.usbmuxd.mode,
            self.usbmuxd.shows.len(),
            self.phones.len()
        );
        for phone in &self.phones {
            let locked = if phone.locked { "locked" } else { "unlocked" };
            let error = phone.last_error.as_deref().unwrap_or("none");
            text.push_str(&format!("{} {} ({}, iOS {})\n  power {}, Wi-Fi {}, {locked}, attached {}, trust {}, battery {} %\n  backups finished {}, bytes sent {}, passcode prompts {}, last error: {error}\n",
                phone.udid,
                phone.name,
                phone.product,
                phone.ios,
                word(phone.power),
                word(phone.wifi),
                phone.attached,
                phone.trust,
                phone.battery,
                phone.backups_finished,
                phone.bytes_sent,
                phone.passcode_prompts,
            ));
        }
        text
    }
}
