//! What is said from the first cable to the first backup, and when a pairing ends.

use crate::select::shown_name;
use crate::style::Style;
use crate::text;
use ibak_dbus::Bytes;
use ibak_dbus::views::{BackupView, PhoneView};
use ibak_dbus::words::{ConditionName, TransportWord};

/// Is what a cable carries in a second, as phones were seen to send.
const CABLE_BYTES_PER_SEC: u64 = 34 * 1024 * 1024;
/// Is what Wi-Fi carries in a second when it is good.
const WIFI_BYTES_PER_SEC_BEST: u64 = 17 * 1024 * 1024;
/// Is what Wi-Fi carries in a second when it is not.
const WIFI_BYTES_PER_SEC_WORST: u64 = 8 * 1024 * 1024;

fn paragraphs(said: &[String], style: &Style) -> String {
    said.iter()
        .map(|sentence| format!("{}\n", text::paragraph(sentence, 0, style)))
        .collect()
}

/// Says what to do when nobody knows the phone's passcode.
pub fn passcode_forgotten(style: &Style) -> String {
    paragraphs(
        &[
            "Have the phone's passcode at hand. If it is forgotten, nothing can read the phone: erase it (\"Forgot Passcode?\" on its lock screen after some tries, or recovery mode), set it up, and give it a backup with `ibakctl restore`.".to_owned(),
        ],
        style,
    )
}

/// Says that the phone trusts this computer, and how it will be reached.
pub fn paired(phone: &PhoneView, style: &Style) -> String {
    let name = text::capital(&shown_name(phone, style));
    let mut said = vec![format!("{name} trusts this computer.")];
    said.push(if phone.transports.contains(&TransportWord::Wifi) {
        "It is reached over Wi-Fi too, so its backups need no cable.".to_owned()
    } else {
        "It is reached by cable only so far; on the same Wi-Fi, unlocked once, it should be found within minutes, as Wi-Fi connections are switched on with the pairing where the phone can.".to_owned()
    });
    paragraphs(&said, style)
}

/// Says that the phone's backups have a password from elsewhere.
pub fn foreign_password(name: &str, me: &str, style: &Style) -> String {
    paragraphs(
        &[
            format!(
                "The backups of {name} already have a password, set with another computer (Finder, iTunes, or somebody at work). Find it: without it no backup can be read or given back."
            ),
            format!(
                "After the first backup, `ibakctl encryption check{me}` shows whether you have the right one."
            ),
        ],
        style,
    )
}

/// Recommends a password before the first backup.
pub fn recommend_encryption(name: &str, me: &str, asks: bool, style: &Style) -> String {
    let mut said = vec![format!(
        "Give the backups of {name} a password before the first one: only then do they hold saved passwords, and the health and activity data of phone and Watch; and a stolen disk tells nothing. Set later, it means a second full backup."
    )];
    if !asks {
        said.push(format!("`ibakctl encryption on{me}` sets one."));
    }
    paragraphs(&said, style)
}

/// Says that backups run by themselves from here on.
pub fn automatic_is_on(name: &str, style: &Style) -> String {
    paragraphs(
        &[format!(
            "Automatic backup is on: {name} is backed up when it is on power, on Wi-Fi, locked, and there is room."
        )],
        style,
    )
}

/// Says what the first backup takes: `About 118 GiB: by cable about 1 h, over Wi-Fi 2 to 4 h.`
/// `None` when the size is not known.
pub fn first_backup(phone: &PhoneView) -> Option<String> {
    let needed = phone.condition(&ConditionName::Space).needed?;
    (needed != Bytes::ZERO).then(|| {
        let (best, worst) = (
            hours(needed, WIFI_BYTES_PER_SEC_BEST),
            hours(needed, WIFI_BYTES_PER_SEC_WORST),
        );
        let wifi = match (best.split_once(' '), worst.split_once(' ')) {
            (Some((low, unit)), Some((high, same))) if unit == same && low != high => {
                format!("{low} to {high} {unit}")
            }
            _ if best == worst => format!("about {best}"),
            _ => format!("{best} to {worst}"),
        };
        format!(
            "About {}: by cable about {}, over Wi-Fi {wifi}.",
            text::bytes(needed),
            hours(needed, CABLE_BYTES_PER_SEC)
        )
    })
}

/// Rounds to what one would say: minutes up to 50, then hours.
fn hours(size: Bytes, bytes_per_sec: u64) -> String {
    let minutes = size.get() / bytes_per_sec / 60;
    match minutes {
        0..=9 => format!("{} min", minutes.max(1)),
        10..=50 => format!("{} min", minutes.div_ceil(5) * 5),
        _ => format!("{} h", (minutes + 30) / 60),
    }
}

/// Says how the first backup is started, to somebody who is not asked.
pub fn first_backup_hint(takes: Option<&str>, me: &str, style: &Style) -> String {
    let takes = takes.map_or_else(String::new, |takes| format!(" {takes}"));
    text::hint(
        &format!("`ibakctl backup{me}` starts the first one now.{takes}"),
        style,
    )
}

/// Says what happens when the first backup is not started now.
pub fn first_backup_later(me: &str, style: &Style) -> String {
    paragraphs(
        &[format!(
            "It runs when the four conditions hold, and goes on the next time when the night was too short; `ibakctl status{me}` shows how much has arrived."
        )],
        style,
    )
}

/// Says what becomes of the backups when a pairing ends.
pub fn before_unpairing(phone: &PhoneView, backups: &[BackupView], style: &Style) -> String {
    let name = shown_name(phone, style);
    let number = u64::try_from(backups.len()).unwrap_or(u64::MAX);
    let kept = if backups.is_empty() {
        format!("{name} has no backup here.")
    } else {
        let own = backups
            .iter()
            .map(|backup| backup.unique.get())
            .fold(0, u64::saturating_add);
        let newest = backups.iter().map(|backup| backup.size.get()).max();
        format!(
            "The {} ({} or more on the disk), and can still be read, exported and given back.",
            if number == 1 {
                format!("one backup of {name} stays")
            } else {
                format!(
                    "{} of {name} stay",
                    text::count(number, "backup", "backups")
                )
            },
            text::bytes(Bytes::new(own.max(newest.unwrap_or(0))))
        )
    };
    paragraphs(
        &[
            kept,
            "No new one is made until it is paired again, by cable and with its passcode."
                .to_owned(),
        ],
        style,
    )
}
