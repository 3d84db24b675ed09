//! The words for what may be changed: `power=on`.

use std::str::FromStr;

use super::{Attachment, PasscodeAnswer, Password, Setting, Switch, Telling, Trust};
use crate::backup::Phase;

/// Says that a text is no setting, and what would be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// No `=`.
    #[error("'{0}' is not a setting: write KEY=VALUE, such as power=on")]
    Form(String),
    /// An unknown key.
    #[error("there is no setting '{0}': use one of {names}", names = names())]
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

/// One key: what it may be, what it does, how it is read.
struct Word {
    key: &'static str,
    expected: &'static str,
    about: &'static str,
    read: fn(&str) -> Option<Setting>,
}

const fn word(
    key: &'static str,
    expected: &'static str,
    about: &'static str,
    read: fn(&str) -> Option<Setting>,
) -> Word {
    Word {
        key,
        expected,
        about,
        read,
    }
}

const ON_OFF: &str = "on or off";
const YES_NO: &str = "yes or no";
const BYTES: &str = "a number of bytes such as 1000000 or \"5 MiB\", or none";

/// Every key, in the order in which the help shows them.
const WORDS: &[Word] = &[
    word("power", ON_OFF, "external power", |v| {
        switch(v).map(Setting::Power)
    }),
    word("wifi", ON_OFF, "joined to the Wi-Fi network", |v| {
        switch(v).map(Setting::Wifi)
    }),
    word("locked", YES_NO, "the screen is locked", |v| {
        switch(v).map(Setting::Locked)
    }),
    word("passcode", YES_NO, "there is a passcode", |v| {
        switch(v).map(Setting::Passcode)
    }),
    word(
        "awake",
        YES_NO,
        "a sleeping phone leaves the network",
        |v| switch(v).map(Setting::Awake),
    ),
    word("attached", "usb or none", "the cable", |v| match v {
        "usb" => Some(Setting::Attached(Attachment::Usb)),
        "none" => Some(Setting::Attached(Attachment::None)),
        _ => None,
    }),
    word(
        "trust",
        "accept, deny or ask",
        "the answer to \"Trust This Computer?\"",
        |v| match v {
            "accept" => Some(Setting::Trust(Trust::Accept)),
            "deny" => Some(Setting::Trust(Trust::Deny)),
            "ask" => Some(Setting::Trust(Trust::Ask)),
            _ => None,
        },
    ),
    word(
        "battery",
        "a percentage from 0 to 100",
        "the battery's level",
        |v| {
            let percent = v.trim_end_matches('%').parse().ok()?;
            (percent <= 100).then_some(Setting::Battery(percent))
        },
    ),
    word(
        "charge-limit",
        "a percentage such as 80",
        "where the battery stops charging, still on external power",
        |v| {
            let percent = v.trim_end_matches('%').parse().ok()?;
            (1..=100)
                .contains(&percent)
                .then_some(Setting::ChargeLimit(percent))
        },
    ),
    word(
        "usb-restricted",
        ON_OFF,
        "locked for more than an hour: the cable carries no data until it is unlocked",
        |v| switch(v).map(Setting::UsbRestricted),
    ),
    word(
        "pairings",
        "expired",
        "every pairing has expired, as one not used for 30 days",
        |v| (v == "expired").then_some(Setting::PairingsExpired),
    ),
    word(
        "tell",
        "truth, or DOMAIN/KEY:WORD (KEY:WORD for the root domain) with missing, prohibited, text, number, data or truth",
        "what lockdown says in the place of one value; truth alone takes all back",
        |v| match v {
            "truth" => Some(Setting::TellTruth),
            _ => Telling::parse(v).map(|(name, what)| Setting::Tell(name, what)),
        },
    ),
    word(
        "passcode-answer",
        "give, ignore or dismiss",
        "what the person does when asked for the passcode: pairing, backup, restore, password",
        |v| match v {
            "give" => Some(Setting::PasscodeAnswer(PasscodeAnswer::Give)),
            "ignore" => Some(Setting::PasscodeAnswer(PasscodeAnswer::Ignore)),
            "dismiss" => Some(Setting::PasscodeAnswer(PasscodeAnswer::Dismiss)),
            _ => None,
        },
    ),
    word(
        "passcode-patience",
        "a number of seconds such as 180",
        "how long the phone waits for its passcode before it gives up with 208",
        |v| v.parse().ok().map(Setting::PasscodePatience),
    ),
    word(
        "drop-after",
        BYTES,
        "cuts the next backup or restore after so many bytes",
        |v| limit(v).map(Setting::DropAfter),
    ),
    word(
        "drop-in",
        "asked, scanning, uploading, moving, removing, verifying, sending or none",
        "the phase from whose beginning drop-after counts, on the wire and both ways",
        |v| match v {
            "none" => Some(Setting::DropIn(None)),
            _ => Phase::CUTTABLE
                .iter()
                .find(|phase| phase.word() == v)
                .map(|phase| Setting::DropIn(Some(*phase))),
        },
    ),
    word(
        "upload-rate",
        "bytes a second such as 1000000 or \"5 MiB\", or none",
        "how fast backup data go over the link, either way",
        |v| {
            limit(v)
                .filter(|rate| *rate != Some(0))
                .map(Setting::UploadRate)
        },
    ),
    word(
        "silence-ms",
        "a number of milliseconds such as 500",
        "how long the phone is silent before it speaks and while it scans",
        |v| v.parse().ok().map(Setting::Silence),
    ),
    word(
        "refuse-with",
        "a code such as 105, or none",
        "the code of MBErrorDomain that ends the next request",
        |v| match v {
            "none" => Some(Setting::RefuseWith(None)),
            _ => v.parse().ok().map(|code| Setting::RefuseWith(Some(code))),
        },
    ),
    word(
        "file-errors",
        "a number of files",
        "files the next backup cannot read (code 0x06)",
        |v| v.parse().ok().map(Setting::FileErrors),
    ),
    word(
        "remote-errors",
        "a number of files",
        "files the next backup ends with a remote error (code 0x0b)",
        |v| v.parse().ok().map(Setting::RemoteErrors),
    ),
    word(
        "errors-end",
        YES_NO,
        "such files end the next backup with 104",
        |v| switch(v).map(Setting::ErrorsEnd),
    ),
    word(
        "sync-lock",
        "held or free",
        "somebody else holds the sync lock",
        |v| match v {
            "held" => Some(Setting::SyncLock(Switch::On)),
            "free" => Some(Setting::SyncLock(Switch::Off)),
            _ => None,
        },
    ),
    word(
        "find-my",
        ON_OFF,
        "Find My: a restore is refused with 211",
        |v| switch(v).map(Setting::FindMy),
    ),
    word(
        "setup",
        "done or unfinished",
        "the setup assistant: unfinished refuses with 212",
        |v| match v {
            "done" => Some(Setting::Setup(Switch::On)),
            "unfinished" => Some(Setting::Setup(Switch::Off)),
            _ => None,
        },
    ),
    word("icloud", ON_OFF, "iCloud Backup", |v| {
        switch(v).map(Setting::ICloud)
    }),
    word(
        "icloud-account",
        YES_NO,
        "an iCloud account: without one its switch refuses with 210",
        |v| switch(v).map(Setting::ICloudAccount),
    ),
    word(
        "free-space",
        BYTES,
        "free bytes on the phone: too few refuse a restore with 105",
        |v| limit(v).map(Setting::FreeSpace),
    ),
    word(
        "password",
        "a password, or nothing for none",
        "the backup password, as if another computer had set it; none is Reset All Settings",
        |v| {
            let given = (!v.is_empty()).then(|| Password::new(v.to_owned()));
            Some(Setting::Password(given))
        },
    ),
    word(
        "requires-encryption",
        ON_OFF,
        "a management profile: plain backups and encryption off are refused with 207",
        |v| switch(v).map(Setting::RequiresEncryption),
    ),
    word(
        "attack",
        "none or a name that `ibak-sim attacks` shows",
        "the phone is hostile",
        |v| match v {
            "none" => Some(Setting::Attack(None)),
            _ => v.parse().ok().map(|attack| Setting::Attack(Some(attack))),
        },
    ),
];

fn names() -> String {
    let names: Vec<&str> = WORDS.iter().map(|word| word.key).collect();
    names.join(", ")
}

/// Describes every setting for the help, a line each.
pub fn settings_help() -> String {
    WORDS
        .iter()
        .map(|word| format!("  {} = {}\n      {}\n", word.key, word.expected, word.about))
        .collect()
}

impl FromStr for Setting {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let (key, value) = text
            .split_once('=')
            .ok_or_else(|| SettingError::Form(text.to_owned()))?;
        let word = WORDS
            .iter()
            .find(|word| word.key == key)
            .ok_or_else(|| SettingError::Key(key.to_owned()))?;
        (word.read)(value).ok_or_else(|| SettingError::Value {
            key: key.to_owned(),
            value: value.to_owned(),
            expected: word.expected,
        })
    }
}

fn switch(value: &str) -> Option<Switch> {
    match value {
        "on" | "yes" | "true" => Some(Switch::On),
        "off" | "no" | "false" => Some(Switch::Off),
        _ => None,
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
            ("charge-limit=80%", Setting::ChargeLimit(80)),
            ("usb-restricted=on", Setting::UsbRestricted(Switch::On)),
            ("pairings=expired", Setting::PairingsExpired),
            ("tell=truth", Setting::TellTruth),
            (
                "tell=PasswordProtected:missing",
                Setting::Tell((None, "PasswordProtected".to_owned()), Telling::Missing),
            ),
            (
                "tell=com.apple.mobile.battery/ExternalConnected:text",
                Setting::Tell(
                    (
                        Some("com.apple.mobile.battery".to_owned()),
                        "ExternalConnected".to_owned(),
                    ),
                    Telling::Text,
                ),
            ),
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
    fn every_key_says_what_it_takes_and_takes_it() {
        for word in WORDS {
            let anything = word.key == "password";
            assert_eq!(
                (word.read)("colourless").is_some(),
                anything,
                "{}",
                word.key
            );
            let first = word.expected.split([' ', ',']).next().unwrap();
            let sample = match first {
                "a" | "bytes" => "17",
                sample => sample,
            };
            assert!((word.read)(sample).is_some(), "{} = {sample}", word.key);
            assert!(settings_help().contains(&format!("  {} = ", word.key)));
        }
    }
}
