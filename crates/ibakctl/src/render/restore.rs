//! What is said before and after a backup is given back to a phone.

use super::encryption::backup_of;
use crate::select::shown_name;
use crate::style::Style;
use crate::text;
use ibak_dbus::views::{BackupView, PhoneView};

/// A restore that is about to begin.
#[derive(Clone, Debug, PartialEq)]
pub struct RestoreView {
    /// The phone that gets the backup.
    pub phone: PhoneView,
    /// The phone the backup is of.
    pub source: PhoneView,
    /// The backup.
    pub backup: BackupView,
    /// Whether the phone's own settings stay.
    pub keep_settings: bool,
    /// Whether what the backup does not hold goes away.
    pub remove_others: bool,
}

/// Says what goes where, what comes back and what does not.
pub fn before_restore(view: &RestoreView, style: &Style) -> String {
    let name = shown_name(&view.phone, style);
    let other = view.phone.udid != view.source.udid;
    let kind = if view.backup.encrypted {
        "encrypted"
    } else {
        "plain"
    };
    let mut said = vec![format!(
        "Everything checks out. {} ({}, iOS {}, {kind}) goes onto {name}.",
        text::capital(&backup_of(&view.source, &view.backup, style)),
        text::bytes(view.backup.size),
        text::fit(&text::escape(&view.backup.os_version, style), 12, style),
    )];
    let mut back = vec![
        "messages",
        "photos that are not in iCloud",
        "the apps' own data",
    ];
    if !view.keep_settings {
        back.push("settings and the home screen");
    }
    let mut gone = vec![
        "the apps themselves (the phone loads them from the App Store)",
        "what is only in iCloud",
        "Apple Pay cards, Face ID and Touch ID",
        "music and films from the stores",
    ];
    let secret = [
        "saved passwords and known Wi-Fi networks",
        "health and activity data",
        "call and Safari history",
    ];
    if view.backup.encrypted {
        back.extend(secret);
    } else {
        gone.extend(secret);
    }
    let list = |parts: &[&str]| {
        text::join(
            &parts
                .iter()
                .map(|part| (*part).to_owned())
                .collect::<Vec<_>>(),
        )
    };
    said.push(format!("Comes back: {}.", list(&back)));
    said.push(format!("Does not come back: {}.", list(&gone)));
    if other && view.backup.encrypted {
        said.push(
            "It is another phone's backup, so passwords that apps bind to one phone do not come back: banks will ask you to sign in anew.".to_owned(),
        );
    }
    if view.remove_others {
        said.push(format!(
            "What is on {name} and not in the backup is removed."
        ));
    }
    said.push(format!(
        "It replaces what is on {name} now; leave it on the cable and in peace until it has restarted."
    ));
    said.iter()
        .map(|sentence| format!("{}\n", text::paragraph(sentence, 0, style)))
        .collect()
}

/// Says that it worked, and what the phone does next.
pub fn restored(phone: &PhoneView, no_reboot: bool, style: &Style) -> String {
    let name = text::capital(&shown_name(phone, style));
    let next = if no_reboot {
        "Restart it to finish; it then loads its apps from the App Store, best on power and Wi-Fi."
    } else {
        "It restarts now, then loads its apps from the App Store: leave it on power and Wi-Fi."
    };
    format!(
        "{}\n",
        text::paragraph(&format!("{name} has the backup. {next}"), 0, style)
    )
}
