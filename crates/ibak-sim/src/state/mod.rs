//! What may be changed on a phone while it runs, and the words for it (`power=on`).

mod parse;
mod telling;

use std::collections::BTreeMap;
use std::fmt;

use crate::backup::Phase;
use crate::hostile::Attack;

pub use parse::{SettingError, parse_size, settings_help};
pub use telling::{Telling, ValueName, value_name};

/// On or off; also written yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// On, yes.
    On,
    /// Off, no.
    Off,
}

impl Switch {
    /// Tells whether it is on.
    pub const fn is_on(self) -> bool {
        match self {
            Self::On => true,
            Self::Off => false,
        }
    }
}

impl From<bool> for Switch {
    fn from(on: bool) -> Self {
        if on { Self::On } else { Self::Off }
    }
}

/// How a phone is attached to the computer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// By its cable, so that usbmuxd shows it.
    Usb,
    /// Not at all.
    None,
}

/// What the person does with the question "Trust This Computer?".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Taps Trust.
    Accept,
    /// Taps Don't Trust.
    Deny,
    /// Nothing yet: the question stays on the screen.
    Ask,
}

/// What the person does when the phone asks for its passcode before a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasscodeAnswer {
    /// Types it in.
    Give,
    /// Does nothing until the phone gives up.
    Ignore,
    /// Taps Cancel.
    Dismiss,
}

/// A backup password; it shows itself to nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Takes a password.
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// Returns it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// One thing to change on a phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// Connected to external power.
    Power(Switch),
    /// Joined to the Wi-Fi network.
    Wifi(Switch),
    /// The screen is locked.
    Locked(Switch),
    /// Has a passcode.
    Passcode(Switch),
    /// Awake: a sleeping phone withdraws its mDNS record and sends `SleepyTime`.
    Awake(Switch),
    /// Attached to the computer.
    Attached(Attachment),
    /// The answer to the trust question.
    Trust(Trust),
    /// Battery level in percent, 0 to 100.
    Battery(u8),
    /// The answer to the passcode question of a backup.
    PasscodeAnswer(PasscodeAnswer),
    /// Cuts the next backup's connection once the phone sent this many bytes; then forgets it.
    DropAfter(Option<u64>),
    /// How fast the phone sends backup data at most, in bytes a second.
    UploadRate(Option<u64>),
    /// How long the phone waits for its passcode before it gives up with 208, in seconds.
    PasscodePatience(u32),
    /// How long the phone is silent before its first message and while it scans, in milliseconds.
    Silence(u32),
    /// The code of MBErrorDomain that the next backup is refused with; then forgets it.
    RefuseWith(Option<u32>),
    /// How many files of the next backup cannot be read; then forgets it.
    FileErrors(u32),
    /// Somebody else holds the sync lock.
    SyncLock(Switch),
    /// How many files of the next backup end with a remote error; then forgets it.
    RemoteErrors(u32),
    /// Whether files that could not be read end the next backup with 104.
    ErrorsEnd(Switch),
    /// The phase in which [`Setting::DropAfter`] counts, from its beginning; then forgets it.
    DropIn(Option<Phase>),
    /// Find My is on: a restore is refused with 211.
    FindMy(Switch),
    /// The setup assistant is through; otherwise backup and restore are refused with 212.
    Setup(Switch),
    /// iCloud Backup is on.
    ICloud(Switch),
    /// Somebody is signed in to iCloud.
    ICloudAccount(Switch),
    /// Free bytes on the phone; `None` follows from its content.
    FreeSpace(Option<u64>),
    /// The attack the phone plays.
    Attack(Option<Attack>),
    /// The backup password, as if another computer had set it; `None` is Reset All Settings.
    Password(Option<Password>),
    /// A management profile wants every backup encrypted.
    RequiresEncryption(Switch),
    /// What the phone says in the place of one of lockdown's values.
    Tell(ValueName, Telling),
    /// Says everything as it is again.
    TellTruth,
    /// Where the phone stops charging, in percent.
    ChargeLimit(u8),
    /// Locked for so long that its cable carries power and no data until it is unlocked.
    UsbRestricted(Switch),
    /// Every pairing has expired, as one that was not used for 30 days.
    PairingsExpired,
}

/// How a phone stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhoneState {
    /// Connected to external power.
    pub power: Switch,
    /// Joined to the Wi-Fi network.
    pub wifi: Switch,
    /// The screen is locked.
    pub locked: Switch,
    /// Has a passcode.
    pub passcode: Switch,
    /// Awake.
    pub awake: Switch,
    /// Attached to the computer.
    pub attached: Attachment,
    /// What the person answers to the trust question.
    pub trust: Trust,
    /// Battery level in percent.
    pub battery: u8,
    /// What the person answers to a backup's passcode question.
    pub passcode_answer: PasscodeAnswer,
    /// Where the next backup's connection is cut, in bytes.
    pub drop_after: Option<u64>,
    /// How fast the phone sends, in bytes a second.
    pub upload_rate: Option<u64>,
    /// How long the phone waits for its passcode, in seconds.
    pub passcode_patience_secs: u32,
    /// How long the phone is silent before it speaks and while it scans, in milliseconds.
    pub silence_ms: u32,
    /// The code the next backup is refused with.
    pub refuse_with: Option<u32>,
    /// How many files of the next backup cannot be read.
    pub file_errors: u32,
    /// Somebody else holds the sync lock.
    pub sync_lock: Switch,
    /// How many files of the next backup end with a remote error.
    pub remote_errors: u32,
    /// Whether files that could not be read end the next backup with 104.
    pub errors_end: Switch,
    /// The phase in which the connection is cut.
    pub drop_in: Option<Phase>,
    /// Find My is on.
    pub find_my: Switch,
    /// The setup assistant is through.
    pub setup: Switch,
    /// iCloud Backup is on.
    pub icloud: Switch,
    /// Somebody is signed in to iCloud.
    pub icloud_account: Switch,
    /// Free bytes on the phone, where they do not follow from its content.
    pub free_space: Option<u64>,
    /// The attack the phone plays.
    pub attack: Option<Attack>,
    /// Whether it was unlocked since it started: before that nothing answers over Wi-Fi.
    pub unlocked_once: Switch,
    /// A management profile wants every backup encrypted.
    pub requires_encryption: Switch,
    /// What it says in the place of the truth.
    pub tells: BTreeMap<ValueName, Telling>,
    /// Where it stops charging, in percent.
    pub charge_limit: u8,
    /// Its cable carries no data until it is unlocked.
    pub usb_restricted: Switch,
}

impl Default for PhoneState {
    fn default() -> Self {
        Self {
            power: Switch::Off,
            wifi: Switch::Off,
            locked: Switch::Off,
            passcode: Switch::Off,
            awake: Switch::On,
            attached: Attachment::Usb,
            trust: Trust::Accept,
            battery: 80,
            passcode_answer: PasscodeAnswer::Give,
            drop_after: None,
            upload_rate: None,
            passcode_patience_secs: 180,
            silence_ms: 0,
            refuse_with: None,
            file_errors: 0,
            sync_lock: Switch::Off,
            remote_errors: 0,
            errors_end: Switch::Off,
            drop_in: None,
            find_my: Switch::Off,
            setup: Switch::On,
            icloud: Switch::On,
            icloud_account: Switch::On,
            free_space: None,
            attack: None,
            unlocked_once: Switch::On,
            requires_encryption: Switch::Off,
            tells: BTreeMap::new(),
            charge_limit: 100,
            usb_restricted: Switch::Off,
        }
    }
}

impl PhoneState {
    /// Takes a setting over; tells whether anything changed.
    pub fn apply(&mut self, setting: &Setting) -> bool {
        let before = self.clone();
        match *setting {
            Setting::Tell(ref name, Telling::Truth) => drop(self.tells.remove(name)),
            Setting::Tell(ref name, what) => drop(self.tells.insert(name.clone(), what)),
            Setting::TellTruth => self.tells.clear(),
            Setting::ChargeLimit(to) => self.charge_limit = to,
            Setting::UsbRestricted(to) => self.usb_restricted = to,
            Setting::Power(to) => self.power = to,
            Setting::Wifi(to) => self.wifi = to,
            Setting::Locked(to) => {
                self.locked = to;
                if !to.is_on() {
                    self.unlocked_once = Switch::On;
                    self.usb_restricted = Switch::Off;
                }
            }
            Setting::Passcode(to) => self.passcode = to,
            Setting::Awake(to) => self.awake = to,
            Setting::Attached(to) => self.attached = to,
            Setting::Trust(to) => self.trust = to,
            Setting::Battery(to) => self.battery = to,
            Setting::PasscodeAnswer(to) => self.passcode_answer = to,
            Setting::DropAfter(to) => self.drop_after = to,
            Setting::UploadRate(to) => self.upload_rate = to,
            Setting::PasscodePatience(to) => self.passcode_patience_secs = to,
            Setting::Silence(to) => self.silence_ms = to,
            Setting::RefuseWith(to) => self.refuse_with = to,
            Setting::FileErrors(to) => self.file_errors = to,
            Setting::SyncLock(to) => self.sync_lock = to,
            Setting::RemoteErrors(to) => self.remote_errors = to,
            Setting::ErrorsEnd(to) => self.errors_end = to,
            Setting::DropIn(to) => self.drop_in = to,
            Setting::FindMy(to) => self.find_my = to,
            Setting::Setup(to) => self.setup = to,
            Setting::ICloud(to) => self.icloud = to,
            Setting::ICloudAccount(to) => self.icloud_account = to,
            Setting::FreeSpace(to) => self.free_space = to,
            Setting::Attack(to) => self.attack = to,
            Setting::RequiresEncryption(to) => self.requires_encryption = to,
            // Neither is part of how it stands: see `Phone::set`.
            Setting::Password(_) | Setting::PairingsExpired => {}
        }
        before != *self
    }

    /// Starts anew: a phone with a passcode is locked and waits for its first unlock.
    pub const fn start(&mut self, attached: Attachment) {
        self.attached = attached;
        if self.passcode.is_on() {
            self.locked = Switch::On;
            self.unlocked_once = Switch::Off;
        }
    }

    /// Tells whether the battery takes in power: external power alone does not say so.
    pub const fn is_charging(&self) -> bool {
        self.power.is_on() && self.battery < self.charge_limit
    }

    /// Tells whether its cable carries data to the computer.
    pub fn is_on_usb(&self) -> bool {
        self.attached == Attachment::Usb && !(self.usb_restricted.is_on() && self.is_protected())
    }

    /// Tells what lockdown says as `PasswordProtected`: locked, and there is a passcode.
    pub const fn is_protected(&self) -> bool {
        self.locked.is_on() && self.passcode.is_on()
    }
}

impl fmt::Display for Switch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::On => "on",
            Self::Off => "off",
        })
    }
}

impl fmt::Display for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Usb => "usb",
            Self::None => "none",
        })
    }
}

impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accept => "accept",
            Self::Deny => "deny",
            Self::Ask => "ask",
        })
    }
}

impl fmt::Display for PasscodeAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Give => "give",
            Self::Ignore => "ignore",
            Self::Dismiss => "dismiss",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_its_charge_limit_a_phone_is_plugged_in_and_does_not_charge() {
        let mut state = PhoneState::default();
        state.apply(&Setting::Power(Switch::On));
        state.apply(&Setting::Battery(79));
        state.apply(&Setting::ChargeLimit(80));
        assert!(state.is_charging());
        state.apply(&Setting::Battery(80));
        assert!(!state.is_charging());
    }

    #[test]
    fn a_restricted_cable_carries_data_again_once_it_is_unlocked() {
        let mut state = PhoneState {
            passcode: Switch::On,
            locked: Switch::On,
            ..PhoneState::default()
        };
        assert!(state.is_on_usb());
        state.apply(&Setting::UsbRestricted(Switch::On));
        assert!(!state.is_on_usb());
        state.apply(&Setting::Locked(Switch::Off));
        assert!(state.is_on_usb());
        state.apply(&Setting::Locked(Switch::On));
        assert!(state.is_on_usb());
    }

    #[test]
    fn only_a_locked_phone_with_a_passcode_is_protected() {
        let mut state = PhoneState::default();
        assert!(state.apply(&Setting::Locked(Switch::On)));
        assert!(!state.is_protected());
        assert!(state.apply(&Setting::Passcode(Switch::On)));
        assert!(state.is_protected());
        assert!(!state.apply(&Setting::Passcode(Switch::On)));
    }
}
