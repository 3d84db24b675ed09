//! What may be changed on a phone while it runs, and the words for it (`power=on`).

use std::fmt;
use std::str::FromStr;

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
}

/// Says that a text is no setting, and what would be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// No `=`.
    #[error("'{0}' is not a setting: write KEY=VALUE, such as power=on")]
    Form(String),
    /// An unknown key.
    #[error(
        "there is no setting '{0}': use one of power, wifi, locked, passcode, awake, attached, trust, battery, passcode-answer, passcode-patience, drop-after, upload-rate, silence-ms, refuse-with, file-errors, sync-lock"
    )]
    Key(String),
    /// A value the key does not take.
    #[error("{key} cannot be '{value}': use {expected}")]
    Value {
        /// The key.
        key: String,
        /// What was given.
        value: String,
        /// What may be given.
        expected: &'static str,
    },
}

impl FromStr for Setting {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| SettingError::Form(text.to_owned()))?;
        let bad = |expected| SettingError::Value {
            key: key.to_owned(),
            value: value.to_owned(),
            expected,
        };
        let switch = |expected| match value {
            "on" | "yes" | "true" => Ok(Switch::On),
            "off" | "no" | "false" => Ok(Switch::Off),
            _ => Err(bad(expected)),
        };
        match key {
            "power" => Ok(Self::Power(switch("on or off")?)),
            "wifi" => Ok(Self::Wifi(switch("on or off")?)),
            "locked" => Ok(Self::Locked(switch("yes or no")?)),
            "passcode" => Ok(Self::Passcode(switch("yes or no")?)),
            "awake" => Ok(Self::Awake(switch("yes or no")?)),
            "attached" => match value {
                "usb" => Ok(Self::Attached(Attachment::Usb)),
                "none" => Ok(Self::Attached(Attachment::None)),
                _ => Err(bad("usb or none")),
            },
            "trust" => match value {
                "accept" => Ok(Self::Trust(Trust::Accept)),
                "deny" => Ok(Self::Trust(Trust::Deny)),
                "ask" => Ok(Self::Trust(Trust::Ask)),
                _ => Err(bad("accept, deny or ask")),
            },
            "battery" => match value.trim_end_matches('%').parse() {
                Ok(percent @ 0..=100) => Ok(Self::Battery(percent)),
                Ok(_) | Err(_) => Err(bad("a percentage from 0 to 100")),
            },
            "passcode-answer" => match value {
                "give" => Ok(Self::PasscodeAnswer(PasscodeAnswer::Give)),
                "ignore" => Ok(Self::PasscodeAnswer(PasscodeAnswer::Ignore)),
                "dismiss" => Ok(Self::PasscodeAnswer(PasscodeAnswer::Dismiss)),
                _ => Err(bad("give, ignore or dismiss")),
            },
            _ => fault(key, value),
        }
    }
}

/// Parses a setting that makes something slow or go wrong.
fn fault(key: &str, value: &str) -> Result<Setting, SettingError> {
    let bad = |expected| SettingError::Value {
        key: key.to_owned(),
        value: value.to_owned(),
        expected,
    };
    match key {
        "drop-after" => limit(value)
            .map(Setting::DropAfter)
            .ok_or_else(|| bad("a number of bytes such as 1000000 or \"5 MiB\", or none")),
        "upload-rate" => match limit(value) {
            Some(Some(0)) | None => {
                Err(bad("bytes a second such as 1000000 or \"5 MiB\", or none"))
            }
            Some(rate) => Ok(Setting::UploadRate(rate)),
        },
        "passcode-patience" => value
            .parse()
            .map(Setting::PasscodePatience)
            .map_err(|_| bad("a number of seconds such as 180")),
        "silence-ms" => value
            .parse()
            .map(Setting::Silence)
            .map_err(|_| bad("a number of milliseconds such as 500")),
        "refuse-with" => match value {
            "none" => Ok(Setting::RefuseWith(None)),
            _ => value
                .parse()
                .map(|code| Setting::RefuseWith(Some(code)))
                .map_err(|_| bad("a code such as 105, or none")),
        },
        "file-errors" => value
            .parse()
            .map(Setting::FileErrors)
            .map_err(|_| bad("a number of files")),
        "sync-lock" => match value {
            "held" => Ok(Setting::SyncLock(Switch::On)),
            "free" => Ok(Setting::SyncLock(Switch::Off)),
            _ => Err(bad("held or free")),
        },
        _ => Err(SettingError::Key(key.to_owned())),
    }
}

fn limit(value: &str) -> Option<Option<u64>> {
    match value {
        "none" => Some(None),
        _ => parse_size(value.trim_end_matches("/s")).map(Some),
    }
}

/// Parses a size: a number of bytes, or with kB, MB, GB, KiB, MiB, GiB after it.
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let factor: u64 = match unit.trim() {
        "" | "B" => 1,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
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
        }
    }
}

impl PhoneState {
    /// Takes a setting over; tells whether anything changed.
    pub fn apply(&mut self, setting: &Setting) -> bool {
        let before = self.clone();
        match *setting {
            Setting::Power(to) => self.power = to,
            Setting::Wifi(to) => self.wifi = to,
            Setting::Locked(to) => self.locked = to,
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
        }
        before != *self
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
    fn every_setting_of_the_contract_parses() {
        let table = [
            ("power=on", Setting::Power(Switch::On)),
            ("wifi=off", Setting::Wifi(Switch::Off)),
            ("locked=yes", Setting::Locked(Switch::On)),
            ("locked=no", Setting::Locked(Switch::Off)),
            ("attached=usb", Setting::Attached(Attachment::Usb)),
            ("attached=none", Setting::Attached(Attachment::None)),
            ("trust=accept", Setting::Trust(Trust::Accept)),
            ("trust=deny", Setting::Trust(Trust::Deny)),
            ("trust=ask", Setting::Trust(Trust::Ask)),
            ("battery=42", Setting::Battery(42)),
            (
                "passcode-answer=ignore",
                Setting::PasscodeAnswer(PasscodeAnswer::Ignore),
            ),
            ("drop-after=1 MiB", Setting::DropAfter(Some(1 << 20))),
            ("drop-after=none", Setting::DropAfter(None)),
            ("upload-rate=5 MB/s", Setting::UploadRate(Some(5_000_000))),
        ];
        for (text, setting) in table {
            assert_eq!(text.parse(), Ok(setting), "{text}");
        }
    }

    #[test]
    fn a_wrong_setting_says_what_to_write_instead() {
        let say = |text: &str| text.parse::<Setting>().unwrap_err().to_string();
        assert_eq!(
            say("power"),
            "'power' is not a setting: write KEY=VALUE, such as power=on"
        );
        assert_eq!(say("power=maybe"), "power cannot be 'maybe': use on or off");
        assert_eq!(
            say("attached=wifi"),
            "attached cannot be 'wifi': use usb or none"
        );
        assert_eq!(
            say("battery=101"),
            "battery cannot be '101': use a percentage from 0 to 100"
        );
        assert!(
            say("colour=red").starts_with("there is no setting 'colour': use one of power, wifi")
        );
        assert!(say("upload-rate=0").contains("bytes a second"));
    }

    #[test]
    fn sizes_parse_with_their_units() {
        assert_eq!(parse_size("40 MiB"), Some(40 << 20));
        assert_eq!(parse_size("4GB"), Some(4_000_000_000));
        assert_eq!(parse_size("17"), Some(17));
        for bad in ["", "MiB", "1.5 GB", "5 parsec", "99999999999999999999"] {
            assert_eq!(parse_size(bad), None, "{bad}");
        }
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
