//! What is said about the phone's own iCloud Backup.

use crate::moment;
use crate::select::shown_name;
use crate::style::Style;
use crate::text;
use ibak_dbus::views::PhoneView;
use ibak_dbus::words::OnOff;

/// Renders both ways side by side.
pub fn render(phone: &PhoneView, me: &str, style: &Style) -> String {
    let name = shown_name(phone, style);
    let cloud = match &phone.icloud_backup {
        OnOff::On => match phone.last_icloud_backup {
            Some(last) => format!(
                "iCloud Backup is on for {name}; its last one is from {}.",
                moment::exact(last, style)
            ),
            None => format!("iCloud Backup is on for {name}."),
        },
        OnOff::Off => format!("iCloud Backup is off for {name}."),
        OnOff::Unknown | OnOff::Other(_) => {
            format!(
                "{} has not said whether iCloud Backup is on.",
                text::capital(&name)
            )
        }
    };
    let here = match phone.last_backup {
        Some(last) => format!(
            "Its last backup here is from {}.",
            moment::exact(last, style)
        ),
        None => "It has no backup here yet.".to_owned(),
    };
    let hint = match (&phone.icloud_backup, phone.transports.is_empty()) {
        (OnOff::On, _) => Some(format!(
            "`ibakctl icloud off{me}` switches it off; the two do not depend on each other"
        )),
        (OnOff::Off, _) => Some(format!(
            "`ibakctl icloud on{me}` switches it on as a second way, away from home"
        )),
        (OnOff::Unknown | OnOff::Other(_), true) => {
            Some("plug the phone in, or bring it to the network and unlock it once".to_owned())
        }
        (OnOff::Unknown | OnOff::Other(_), false) => None,
    };
    let hint = hint.map_or_else(String::new, |hint| text::hint(&hint, style));
    format!("{}\n{here}\n{hint}", text::paragraph(&cloud, 0, style))
}
