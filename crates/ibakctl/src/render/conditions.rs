//! The four lines of `why`, each with its evidence.

use super::waits;
use crate::moment;
use crate::style::{Style, Tone};
use crate::text;
use ibak_dbus::views::{ConditionView, PhoneView};
use ibak_dbus::words::{Basis, ConditionName, ConditionReason, ConditionStatus, EvidenceSource};

/// Is the conditions in the order in which people read them.
const NAMES: [ConditionName; 4] = [
    ConditionName::Power,
    ConditionName::Wifi,
    ConditionName::Locked,
    ConditionName::Space,
];

/// The four lines. Evidence stands in a column of its own.
pub(super) fn render(phone: &PhoneView, style: &Style) -> String {
    let rows: Vec<(ConditionName, ConditionView, String, Option<String>)> = NAMES
        .iter()
        .map(|name| {
            let condition = phone.condition(name);
            let words = words(name, phone, &condition, style);
            let evidence = evidence(name, &condition, style);
            (name.clone(), condition, words, evidence)
        })
        .collect();
    let column = rows
        .iter()
        .filter(|row| row.3.is_some())
        .map(|row| text::columns(&row.2))
        .max()
        .unwrap_or(0)
        + 4;
    let mut out = String::new();
    for (name, condition, words, evidence) in rows {
        let (mark, tone) = match condition.status {
            ConditionStatus::Met => ("yes", Tone::Good),
            ConditionStatus::Unmet => ("NO ", Tone::Bad),
            ConditionStatus::Unknown | ConditionStatus::Other(_) => ("?  ", Tone::Wary),
        };
        let mut line = format!(
            "  {}  {}{words}",
            style.tone(tone, mark),
            text::pad(name.as_str(), 9)
        );
        if let Some(evidence) = evidence {
            let width = 16 + column + text::columns(&evidence);
            if style.width.is_none_or(|columns| width <= columns) {
                line.push_str(&" ".repeat(column.saturating_sub(text::columns(&words))));
            } else {
                line.push('\n');
                line.push_str(&" ".repeat(16));
            }
            line.push_str(&style.tone(Tone::Dim, &evidence));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// Says what is known of a condition.
fn words(
    name: &ConditionName,
    phone: &PhoneView,
    condition: &ConditionView,
    style: &Style,
) -> String {
    let since = condition.since.map_or_else(String::new, |since| {
        format!(" since {}", moment::exact(since, style))
    });
    let charge = condition
        .percent
        .map_or_else(String::new, |percent| format!(" at {percent} %"));
    let known = match &condition.reason {
        ConditionReason::ExternalPower => format!("on power{since}"),
        ConditionReason::OnBattery => format!("on battery{charge}{since}"),
        ConditionReason::OnNetwork => format!("reachable on the network{since}"),
        ConditionReason::ByCable => {
            format!("connected by cable{since}, which counts for this phone")
        }
        ConditionReason::NotOnNetwork => format!("not seen on the network{since}"),
        ConditionReason::ScreenLocked => format!("the screen is locked{since}"),
        ConditionReason::LockSeen => {
            format!("its screen is off{since}; it has no passcode, so this counts as locked")
        }
        ConditionReason::Unlocked => format!("the screen is unlocked{since}"),
        ConditionReason::EnoughRoom | ConditionReason::NoRoom => room(phone, condition),
        ConditionReason::NotReachable => "the phone is not here to be asked".to_owned(),
        ConditionReason::NotRead => "the phone has not been asked yet".to_owned(),
        ConditionReason::NotTold => "the phone was asked and did not say".to_owned(),
        ConditionReason::Stale => match condition.observed {
            Some(observed) => format!(
                "last heard at {}, too long ago to count",
                moment::exact(observed, style)
            ),
            None => "last heard too long ago to count".to_owned(),
        },
        ConditionReason::NoPasscode => {
            "it has no passcode, so it never says whether it is locked".to_owned()
        }
        ConditionReason::SizeNotKnown => size_not_known(condition),
        ConditionReason::StoreNotRead => "the store has not been looked at yet".to_owned(),
        ConditionReason::Other(word) => format!("{}{since}", text::escape(word, style)),
        trouble @ (ConditionReason::StoreMissing
        | ConditionReason::StoreOnRoot
        | ConditionReason::StoreReadOnly
        | ConditionReason::StoreNoRights
        | ConditionReason::StoreUnsupported
        | ConditionReason::StoreLocked
        | ConditionReason::StoreDamaged
        | ConditionReason::StoreFailing
        | ConditionReason::StoreMoving
        | ConditionReason::StoreNewer) => match waits::store_trouble(trouble) {
            Some(trouble) => format!("the store cannot be used: {trouble}"),
            None => "the store cannot be used".to_owned(),
        },
    };
    let known = if known.is_empty() {
        name.as_str().to_owned()
    } else {
        known
    };
    if condition.required {
        known
    } else {
        format!("{known}; this phone does not need it")
    }
}

fn size_not_known(condition: &ConditionView) -> String {
    let free = condition
        .free
        .map_or_else(String::new, |free| format!("{} free; ", text::bytes(free)));
    format!("{free}how much the first backup needs is not known yet")
}

fn room(phone: &PhoneView, condition: &ConditionView) -> String {
    let mut parts = Vec::new();
    if let Some(free) = condition.free {
        parts.push(format!("{} free", text::bytes(free)));
    }
    // A backup that runs says what it needs only bit by bit, and at its beginning nothing.
    let needed = condition
        .needed
        .filter(|_| condition.basis != Some(Basis::Running));
    if let Some(needed) = needed {
        parts.push(format!("about {} needed", text::bytes(needed)));
    }
    if let (Some(used), Some(quota)) = (condition.used, condition.quota) {
        let whose = if phone.quota.is_some() {
            "own quota"
        } else {
            "quota"
        };
        parts.push(format!("{} {whose} used", text::of_bytes(used, quota)));
    }
    parts.join(", ")
}

/// Says how the need was estimated.
fn basis(condition: &ConditionView) -> Option<String> {
    condition.needed?;
    Some(
        match condition.basis.as_ref()? {
            Basis::DataUsed => "(estimated from what is in use on the phone)",
            Basis::EarlierBackups => "(estimated from its earlier backups)",
            Basis::Full => "(estimated for a backup of everything)",
            Basis::Running | Basis::Other(_) => return None,
        }
        .to_owned(),
    )
}

/// Names where the evidence is from and how old it is; the store's own needs no naming.
fn evidence(name: &ConditionName, condition: &ConditionView, style: &Style) -> Option<String> {
    if *name == ConditionName::Space {
        return basis(condition);
    }
    let source = condition.source.as_ref()?;
    let observed = condition.observed?;
    match condition.status {
        ConditionStatus::Met | ConditionStatus::Unmet => {}
        // What is not known has no evidence.
        ConditionStatus::Unknown | ConditionStatus::Other(_) => return None,
    }
    let report = match name {
        ConditionName::Power => "battery report",
        ConditionName::Locked => "lock report",
        ConditionName::Wifi | ConditionName::Space | ConditionName::Other(_) => "report",
    };
    let source = match source {
        EvidenceSource::LockdownUsb => format!("{report} by cable"),
        EvidenceSource::LockdownWifi => format!("{report} over Wi-Fi"),
        EvidenceSource::Usbmuxd => "usbmuxd".to_owned(),
        EvidenceSource::UsbBus => "USB".to_owned(),
        EvidenceSource::Notification => "told by the phone".to_owned(),
        EvidenceSource::Diagnostics => "diagnostics".to_owned(),
        EvidenceSource::Mdns => "mDNS".to_owned(),
        EvidenceSource::Heartbeat => "heartbeat".to_owned(),
        EvidenceSource::Store => "store".to_owned(),
        EvidenceSource::Other(word) => text::escape(word, style),
    };
    let age = u64::try_from(style.seconds_since(observed)).unwrap_or(0);
    Some(format!("({source}, {} ago)", text::span(age)))
}
