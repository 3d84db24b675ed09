//! What came of a night: one sentence, then how each condition stood.

use super::account::sentence;
use super::{outcome, waits};
use crate::moment;
use crate::night::{Account, Cause, Gap, Night, Record, Seen, Stretch};
use crate::style::{Style, Tone};
use crate::text;
use ibak_dbus::Wall;
use ibak_dbus::views::{AttemptView, PhoneView};
use ibak_dbus::words::{ConditionName, ConditionReason, ConditionStatus, EvidenceSource};

/// Most stretches of a condition, and most gaps, that are listed.
const STRETCHES_MAX: usize = 8;

/// A night of a phone, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NightView {
    /// The phone.
    pub phone: PhoneView,
    /// Which night.
    pub night: Night,
    /// What is known of it; `None` when it may not be read.
    pub record: Option<Record>,
    /// Its tries at backups, oldest first.
    pub attempts: Vec<AttemptView>,
    /// Why it came so.
    pub account: Account,
    /// How the phone is named on a command line, with a space before it; empty for the only one.
    pub me: String,
}

/// Is the conditions in the order in which people read them.
pub(super) const NAMES: [ConditionName; 4] = [
    ConditionName::Power,
    ConditionName::Wifi,
    ConditionName::Locked,
    ConditionName::Space,
];

/// Renders a night: the sentence, the conditions, the tries.
pub fn render(view: &NightView, style: &Style) -> String {
    let name = view.night.name(style);
    let sentence = sentence(&name, &view.account, style);
    let mut out = format!("{}\n", text::paragraph(&sentence, 0, style));
    if let Some(record) = &view.record {
        for name in &NAMES {
            let required = view.phone.condition(name).required;
            out.push_str(&condition(name, record, required, style));
        }
        let (gaps, left) = longest(&record.gaps);
        for gap in gaps {
            let when = between(gap.from, gap.until, style);
            let line = format!(
                "  ?    {}{when}  {}\n",
                text::pad("nothing", 9),
                unknown(gap.value)
            );
            out.push_str(&style.tone(Tone::Dim, &line));
        }
        if let Some(shorter) = shorter(left) {
            out.push_str(&format!("{}{shorter}\n", " ".repeat(16)));
        }
    }
    let tries: Vec<String> = view
        .attempts
        .iter()
        .map(|attempt| {
            let line = outcome::attempt(attempt, style);
            format!("  {}\n", text::paragraph(&line, 4, style))
        })
        .collect();
    if !tries.is_empty() {
        out.push_str(&format!("Tries:\n{}", tries.concat()));
    }
    let hint = match &view.record {
        Some(_) => format!(
            "`ibakctl timeline{} --date {}` draws it.",
            view.me, view.night.evening
        ),
        None => "how a phone's night went is for its owner and root.".to_owned(),
    };
    out.push_str(&text::hint(&hint, style));
    out
}

/// The hours of a day in which a missed night is what a person wants to hear of first.
const MISSED_HOURS: std::ops::Range<i8> = 4..20;

/// Says first thing in the day why the last night's backup is missing; `None` when none is, or when
/// it is too late for the last night and too early for the next.
pub fn missed(view: &NightView, style: &Style) -> Option<String> {
    let hour = style.now.to_zoned(style.zone.clone()).hour();
    let made_since = view
        .phone
        .last_backup
        .is_some_and(|at| at >= view.night.from);
    let missing = match view.account.cause {
        Cause::Ran { .. }
        | Cause::Running(_)
        | Cause::Nothing
        | Cause::NotDue
        | Cause::Refused(_) => false,
        Cause::Tried { .. }
        | Cause::Down(..)
        | Cause::Held(..)
        | Cause::NotSeen(_)
        | Cause::Store(_)
        | Cause::Never(_)
        | Cause::Short(..)
        | Cause::Apart(_) => true,
    };
    let told = missing && !made_since && !view.phone.retired && MISSED_HOURS.contains(&hour);
    (told && view.record.is_some() && Night::last(style) == Some(view.night))
        .then(|| sentence(&view.night.name(style), &view.account, style))
}

/// Lists nights, a sentence each.
pub fn nights(nights: &[NightView], style: &Style) -> String {
    let known = nights.iter().filter(|night| night.record.is_some());
    let lines: String = known
        .map(|night| {
            let sentence = sentence(&night.night.name(style), &night.account, style);
            format!("  {}\n", text::paragraph(&sentence, 2, style))
        })
        .collect();
    if lines.is_empty() {
        lines
    } else {
        format!("Nights, newest first:\n{lines}")
    }
}

/// The stretches of one condition, the longest of them when there are many.
fn condition(name: &ConditionName, record: &Record, required: bool, style: &Style) -> String {
    let (shown, left) = longest(record.condition(name));
    let mut out = String::new();
    for (at, stretch) in shown.into_iter().enumerate() {
        let (mark, tone) = match stretch.value.status {
            ConditionStatus::Met => ("yes", Tone::Good),
            ConditionStatus::Unmet => ("NO ", Tone::Bad),
            ConditionStatus::Unknown | ConditionStatus::Other(_) => ("?  ", Tone::Wary),
        };
        let label = if at == 0 { name.as_str() } else { "" };
        let needless = if required || at > 0 {
            ""
        } else {
            "; this phone does not need it"
        };
        let line = format!(
            "  {}  {}{}  {}{needless}{}",
            style.tone(tone, mark),
            text::pad(label, 9),
            match (stretch.from, stretch.until) == (record.from, record.until) {
                true => text::pad("all along", 14),
                false => between(stretch.from, stretch.until, style),
            },
            state(&stretch.value, style),
            source(&stretch.value)
                .map_or_else(String::new, |it| style.tone(Tone::Dim, &format!(" ({it})")))
        );
        out.push_str(line.trim_end());
        out.push('\n');
    }
    if let Some(shorter) = shorter(left) {
        out.push_str(&format!("{}{shorter}\n", " ".repeat(16)));
    }
    out
}

/// Returns the longest of them in order of time, the first of equal ones, and how many are left.
pub(super) fn longest<T>(stretches: &[Stretch<T>]) -> (Vec<&Stretch<T>>, usize) {
    let mut shown: Vec<&Stretch<T>> = stretches.iter().collect();
    shown.sort_by_key(|it| std::cmp::Reverse(it.until.saturating_since(it.from)));
    let left = shown.len().saturating_sub(STRETCHES_MAX);
    shown.truncate(STRETCHES_MAX);
    shown.sort_by_key(|it| it.from);
    (shown, left)
}

/// Says how many were left out; `None` for none.
pub(super) fn shorter(left: usize) -> Option<String> {
    let left = u64::try_from(left).unwrap_or(u64::MAX);
    let more = text::count(left, "shorter time", "shorter times");
    (left > 0).then(|| format!("and {more}"))
}

pub(super) fn between(from: Wall, until: Wall, style: &Style) -> String {
    format!(
        "{} to {}",
        moment::time_of_day(from, style),
        moment::time_of_day(until, style)
    )
}

/// Says what was known of a condition.
fn state(seen: &Seen, style: &Style) -> String {
    match &seen.reason {
        ConditionReason::ExternalPower => "on power".to_owned(),
        ConditionReason::OnBattery => "on battery".to_owned(),
        ConditionReason::OnNetwork => "on the network".to_owned(),
        ConditionReason::ByCable => "connected by cable".to_owned(),
        ConditionReason::NotOnNetwork => "not seen on the network".to_owned(),
        ConditionReason::ScreenLocked => "locked".to_owned(),
        ConditionReason::LockSeen => "screen off".to_owned(),
        ConditionReason::Unlocked => "unlocked".to_owned(),
        ConditionReason::EnoughRoom => "enough room".to_owned(),
        ConditionReason::NoRoom => "too little room".to_owned(),
        ConditionReason::NotReachable => "the phone was not here".to_owned(),
        ConditionReason::NotRead => "not asked yet".to_owned(),
        ConditionReason::NotTold => "asked, and it did not say".to_owned(),
        ConditionReason::Stale => "heard too long ago to count".to_owned(),
        ConditionReason::NoPasscode => "it has no passcode and did not say".to_owned(),
        ConditionReason::SizeNotKnown => "how much it needs was not known".to_owned(),
        ConditionReason::StoreNotRead => "the store was not looked at yet".to_owned(),
        ConditionReason::Other(word) => text::escape(word, style),
        ConditionReason::StoreMissing
        | ConditionReason::StoreOnRoot
        | ConditionReason::StoreReadOnly
        | ConditionReason::StoreNoRights
        | ConditionReason::StoreUnsupported
        | ConditionReason::StoreLocked
        | ConditionReason::StoreDamaged
        | ConditionReason::StoreFailing
        | ConditionReason::StoreMoving
        | ConditionReason::StoreNewer => waits::store_trouble(&seen.reason)
            .map_or_else(String::new, |trouble| format!("the store: {trouble}")),
    }
}

fn source(seen: &Seen) -> Option<&'static str> {
    if !matches!(seen.status, ConditionStatus::Met | ConditionStatus::Unmet) {
        return None;
    }
    match seen.source.as_ref()? {
        EvidenceSource::LockdownUsb => Some("asked by cable"),
        EvidenceSource::LockdownWifi => Some("asked over Wi-Fi"),
        EvidenceSource::Usbmuxd => Some("usbmuxd"),
        EvidenceSource::UsbBus => Some("USB"),
        EvidenceSource::Notification => Some("told by the phone"),
        EvidenceSource::Diagnostics => Some("diagnostics"),
        EvidenceSource::Mdns => Some("mDNS"),
        EvidenceSource::Heartbeat => Some("heartbeat"),
        EvidenceSource::Store | EvidenceSource::Other(_) => None,
    }
}

/// Says why nothing is known.
pub(super) fn unknown(gap: Gap) -> &'static str {
    match gap {
        Gap::Nothing => "nothing was noted",
        Gap::Stopped => "ibakd was not running",
        Gap::Unseen => "not known: ibakd ended unseen in this time",
        Gap::Asleep => "this computer was asleep",
        Gap::ClockSet => "this computer's clock was set forward",
        Gap::TooMany => "too much changed to note all of it",
        Gap::Other => "not known",
    }
}

#[cfg(test)]
#[path = "night_tests.rs"]
mod tests;
