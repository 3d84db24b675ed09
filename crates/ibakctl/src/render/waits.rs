//! What a phone waits for, as clauses of a sentence.

use crate::moment;
use crate::style::Style;
use crate::text;
use ibak_dbus::Wall;
use ibak_dbus::views::{ConditionView, PhoneView};
use ibak_dbus::words::{ConditionName, ConditionReason, ConditionStatus, WaitsFor};

/// A condition's place in a waiting list, if the word is one.
pub(super) fn condition_of(word: &WaitsFor) -> Option<ConditionName> {
    match word {
        WaitsFor::Power => Some(ConditionName::Power),
        WaitsFor::Wifi => Some(ConditionName::Wifi),
        WaitsFor::Locked => Some(ConditionName::Locked),
        WaitsFor::Space => Some(ConditionName::Space),
        WaitsFor::Phone
        | WaitsFor::Trust
        | WaitsFor::Job
        | WaitsFor::Pause
        | WaitsFor::Backoff
        | WaitsFor::Window
        | WaitsFor::HostPower
        | WaitsFor::Network
        | WaitsFor::Passcode
        | WaitsFor::AskWindow
        | WaitsFor::Asked
        | WaitsFor::Person
        | WaitsFor::Battery
        | WaitsFor::Settling
        | WaitsFor::Slot
        | WaitsFor::Due
        | WaitsFor::AutomaticOff
        | WaitsFor::NotTrusted
        | WaitsFor::Other(_) => None,
    }
}

fn is_unmet(condition: &ConditionView) -> bool {
    match condition.status {
        ConditionStatus::Unmet => true,
        ConditionStatus::Met | ConditionStatus::Unknown | ConditionStatus::Other(_) => false,
    }
}

/// Completes "it waits …": `for its screen to be locked`, `to know whether it has power`.
pub(super) fn waits(word: &WaitsFor, phone: &PhoneView, style: &Style) -> String {
    if let Some(name) = condition_of(word) {
        let condition = phone.condition(&name);
        return if is_unmet(&condition) {
            for_condition(&name, &condition)
        } else {
            to_know(&name)
        };
    }
    for_hold(word, phone.next_attempt, style)
}

fn for_condition(name: &ConditionName, condition: &ConditionView) -> String {
    match name {
        ConditionName::Power => "for power".to_owned(),
        ConditionName::Wifi => "to be on the network".to_owned(),
        ConditionName::Locked => "for its screen to be locked".to_owned(),
        ConditionName::Space => match (&condition.reason, condition.needed, condition.free) {
            (ConditionReason::NoRoom, Some(needed), Some(_)) => format!(
                "for room in the store: about {} needed",
                text::bytes(needed)
            ),
            (ConditionReason::NoRoom, _, _) => "for room in the store".to_owned(),
            (reason, _, _) => store_trouble(reason).map_or_else(
                || "for the store".to_owned(),
                |trouble| format!("for the store: {trouble}"),
            ),
        },
        ConditionName::Other(word) => format!("for {word}"),
    }
}

fn to_know(name: &ConditionName) -> String {
    match name {
        ConditionName::Power => "to know whether it has power".to_owned(),
        ConditionName::Wifi => "to know whether it is on the network".to_owned(),
        ConditionName::Locked => "to know whether its screen is locked".to_owned(),
        ConditionName::Space => "to know whether the backup fits".to_owned(),
        ConditionName::Other(word) => format!("to know {word}"),
    }
}

fn for_hold(word: &WaitsFor, next: Option<Wall>, style: &Style) -> String {
    match word {
        WaitsFor::Phone => "for the phone to come back".to_owned(),
        WaitsFor::Trust => "to know whether it trusts this computer".to_owned(),
        WaitsFor::NotTrusted => "for the phone to trust this computer".to_owned(),
        WaitsFor::Job => "for its running job to end".to_owned(),
        WaitsFor::Pause => match next {
            Some(next) => format!("for the pause to end ({})", moment::exact(next, style)),
            None => "for you to resume automatic backups".to_owned(),
        },
        WaitsFor::Backoff => dated("for the pause after a failure to end", next, style),
        WaitsFor::Window => dated("for the backup window to open", next, style),
        WaitsFor::HostPower => "for this computer to be on mains power".to_owned(),
        WaitsFor::Network => "for this computer to be on a network that backups may use".to_owned(),
        WaitsFor::AskWindow => dated(
            "for the hours in which it may ask for its passcode",
            next,
            style,
        ),
        WaitsFor::Asked => dated("for the next time it may ask for its passcode", next, style),
        WaitsFor::Person => {
            "for somebody to unlock it, because it asks for its passcode".to_owned()
        }
        WaitsFor::Passcode => "for somebody to start it and type the passcode".to_owned(),
        WaitsFor::Battery => "for its battery to be charged enough".to_owned(),
        WaitsFor::Settling => "for the conditions to hold a little longer".to_owned(),
        WaitsFor::Slot => "for another phone's backup to end".to_owned(),
        WaitsFor::Due => dated("for the next backup to be due", next, style),
        WaitsFor::AutomaticOff => "for automatic backup to be switched on".to_owned(),
        WaitsFor::Power | WaitsFor::Wifi | WaitsFor::Locked | WaitsFor::Space => String::new(),
        WaitsFor::Other(word) => format!("for {}", text::escape(word, style)),
    }
}

fn dated(what: &str, next: Option<Wall>, style: &Style) -> String {
    match next {
        Some(next) => format!("{what} ({})", moment::exact(next, style)),
        None => what.to_owned(),
    }
}

/// Completes "also waits for: …": `another phone's backup to end`.
pub(super) fn awaited(word: &WaitsFor, phone: &PhoneView, style: &Style) -> String {
    let waits = waits(word, phone, style);
    match waits.strip_prefix("for ") {
        Some(noun) => noun.to_owned(),
        None => waits.replacen("to know", "knowing", 1),
    }
}

/// Completes "next …" in a table: `when its screen is locked`.
pub(super) fn when(word: &WaitsFor, phone: &PhoneView, style: &Style) -> String {
    if let Some(name) = condition_of(word) {
        let unmet = is_unmet(&phone.condition(&name));
        return match (name, unmet) {
            (ConditionName::Power, true) => "it has power".to_owned(),
            (ConditionName::Power, false) => "it is known to have power".to_owned(),
            (ConditionName::Wifi, true) => "it is on the network".to_owned(),
            (ConditionName::Wifi, false) => "it is known to be on the network".to_owned(),
            (ConditionName::Locked, true) => "its screen is locked".to_owned(),
            (ConditionName::Locked, false) => "its screen is known to be locked".to_owned(),
            (ConditionName::Space, true) => {
                match store_trouble(&phone.condition(&ConditionName::Space).reason) {
                    Some(_) => "the store can be used".to_owned(),
                    None => "there is room".to_owned(),
                }
            }
            (ConditionName::Space, false) => "it is known to fit".to_owned(),
            (ConditionName::Other(word), _) => format!("{word} holds"),
        };
    }
    match word {
        WaitsFor::Phone => "it is here".to_owned(),
        WaitsFor::Trust => "it is known to trust this computer".to_owned(),
        WaitsFor::NotTrusted => "it trusts this computer".to_owned(),
        WaitsFor::Job => "its running job has ended".to_owned(),
        WaitsFor::Pause => "the pause has ended".to_owned(),
        WaitsFor::Backoff => "the wait after a failure has ended".to_owned(),
        WaitsFor::Window => "the backup window opens".to_owned(),
        WaitsFor::HostPower => "this computer is on mains power".to_owned(),
        WaitsFor::Network => "this computer is on a network that backups may use".to_owned(),
        WaitsFor::AskWindow => "it may ask for its passcode".to_owned(),
        WaitsFor::Asked => "it may ask for its passcode again".to_owned(),
        WaitsFor::Person => "somebody unlocks it and types the passcode".to_owned(),
        WaitsFor::Passcode => "somebody starts it and types the passcode".to_owned(),
        WaitsFor::Battery => "its battery is charged enough".to_owned(),
        WaitsFor::Settling => "the conditions have held a little longer".to_owned(),
        WaitsFor::Slot => "another phone's backup has ended".to_owned(),
        WaitsFor::Due => "it is due".to_owned(),
        WaitsFor::AutomaticOff => "automatic backup is switched on".to_owned(),
        WaitsFor::Power | WaitsFor::Wifi | WaitsFor::Locked | WaitsFor::Space => String::new(),
        WaitsFor::Other(word) => format!("{} holds", text::escape(word, style)),
    }
}

/// Says what is wrong with the store; `None` for a reason that is none of its troubles.
pub(super) fn store_trouble(reason: &ConditionReason) -> Option<&'static str> {
    match reason {
        ConditionReason::StoreMissing => Some("its directory does not exist"),
        ConditionReason::StoreOnRoot => {
            Some("it is on the root file system, and the configuration does not say that it may be")
        }
        ConditionReason::StoreReadOnly => Some("its file system is mounted read-only"),
        ConditionReason::StoreNoRights => Some("the daemon may not write there"),
        ConditionReason::StoreUnsupported => {
            Some("its file system cannot do what the store needs, such as hard links")
        }
        ConditionReason::StoreLocked => Some("another daemon is using it"),
        ConditionReason::StoreDamaged => Some("it holds what no store of ours holds"),
        ConditionReason::StoreFailing => Some("reading or writing it failed"),
        ConditionReason::StoreMoving => Some("it is being moved to another place"),
        ConditionReason::StoreNewer => Some("a newer ibak wrote it, and this one cannot read it"),
        ConditionReason::ExternalPower
        | ConditionReason::OnBattery
        | ConditionReason::OnNetwork
        | ConditionReason::ByCable
        | ConditionReason::NotOnNetwork
        | ConditionReason::ScreenLocked
        | ConditionReason::LockSeen
        | ConditionReason::Unlocked
        | ConditionReason::EnoughRoom
        | ConditionReason::NoRoom
        | ConditionReason::NotReachable
        | ConditionReason::NotRead
        | ConditionReason::NotTold
        | ConditionReason::Stale
        | ConditionReason::NoPasscode
        | ConditionReason::SizeNotKnown
        | ConditionReason::StoreNotRead
        | ConditionReason::Other(_) => None,
    }
}
