//! Lines of `ibakctl watch`.

use super::jobs::noun;
use super::{outcome, progress};
use crate::moment;
use crate::select::shown_name;
use crate::style::{Style, Tone};
use crate::text;
use ibak_dbus::views::{CompletedView, JobView, ManagerView, PhoneView};
use ibak_dbus::words::{
    AttentionKind, ConditionReason, JobKind, ManagerMode, Outcome, PhoneState, StorageState,
};
use ibak_dbus::{Bytes, Lookup};

fn stamped(text: &str, style: &Style) -> String {
    format!(
        "{}  {text}\n",
        style.tone(Tone::Dim, &moment::clock_with_seconds(style))
    )
}

/// Says what the daemon as a whole is doing.
pub fn manager_line(manager: &ManagerView, style: &Style) -> String {
    let mode = match &manager.mode {
        ManagerMode::Automatic => "automatic backups are on".to_owned(),
        ManagerMode::Paused => match manager.paused_until {
            Some(until) => format!(
                "automatic backups are paused until {}",
                moment::exact(until, style)
            ),
            None => "automatic backups are paused until you resume them".to_owned(),
        },
        ManagerMode::Other(word) => format!("mode {}", text::escape(word, style)),
    };
    let store = match &manager.storage_state {
        StorageState::Ok => format!("{} free in the store", text::bytes(manager.storage_free)),
        StorageState::Low => format!(
            "the store is nearly full, {} free",
            text::bytes(manager.storage_free)
        ),
        StorageState::Full => "the store is full".to_owned(),
        StorageState::Unavailable => "the store cannot be used".to_owned(),
        StorageState::Unknown | StorageState::Other(_) => {
            "the store has not been looked at yet".to_owned()
        }
    };
    stamped(&format!("{mode}; {store}"), style)
}

/// Says what a phone is doing.
pub fn phone_line(phone: &PhoneView, style: &Style) -> String {
    let waits = match phone.state {
        PhoneState::Waiting if !phone.waits_for.is_empty() => {
            let clauses: Vec<String> = phone
                .waits_for
                .iter()
                .map(|word| super::waits::waits(word, phone, style))
                .collect();
            format!(" {}", text::join(&clauses))
        }
        PhoneState::Waiting
        | PhoneState::Absent
        | PhoneState::Untrusted
        | PhoneState::Settling
        | PhoneState::Asking
        | PhoneState::BackingUp
        | PhoneState::Committing
        | PhoneState::Idle
        | PhoneState::BackingOff
        | PhoneState::Paused
        | PhoneState::Other(_) => String::new(),
    };
    stamped(
        &format!(
            "{}: {}{waits}",
            shown_name(phone, style),
            text::escape(phone.state.as_str(), style)
        ),
        style,
    )
}

/// Says how far a job is, or how it ended.
pub fn job_line(
    job: &JobView,
    phone: Option<&PhoneView>,
    completed: Option<&CompletedView>,
    style: &Style,
) -> String {
    let name = match (phone, &job.kind) {
        (Some(phone), _) => shown_name(phone, style),
        (None, JobKind::MoveStore) => "the store".to_owned(),
        (None, _) => "a phone".to_owned(),
    };
    let kind = noun(&job.kind, style);
    let what = match &job.result {
        Some(Outcome::Succeeded) => match completed {
            // A check counts what it read in its own words, and may have nothing to count.
            Some(done) if done.files == 0 => format!("{kind} worked"),
            Some(done) => format!(
                "{kind} worked: {}, {}",
                text::bytes(done.bytes),
                text::count(done.files, "file", "files")
            ),
            None => format!("{kind} worked"),
        },
        Some(result) => format!("{kind} {}", outcome::phrase_of(&job.kind, result)),
        None => format!("{kind} {}", progress::line(job, style).trim_end()),
    };
    stamped(&format!("{name}: {}", text::escape(&what, style)), style)
}

/// Says what somebody should look at; `details` are the signal's.
pub fn attention(
    kind: &AttentionKind,
    phone: Option<&PhoneView>,
    details: &impl Lookup,
    style: &Style,
) -> String {
    let name = phone.map_or_else(|| "a phone".to_owned(), |phone| shown_name(phone, style));
    let what = match kind {
        AttentionKind::Asking => format!("{name} asks for its passcode"),
        AttentionKind::FailedNeedsYou => {
            format!("{name} could not be backed up and needs you; `ibakctl why` says more")
        }
        AttentionKind::Overdue => format!("{name} has been without a backup for too long"),
        AttentionKind::StoreTrouble => trouble(phone.map(|_| name.as_str()), details),
        AttentionKind::DoneAfterGap => format!("{name} is backed up again"),
        AttentionKind::MadeRoom => made_room(phone.map(|_| name.as_str()), details),
        AttentionKind::CheckPassword => format!(
            "nobody has shown for long that the backup password of {name} is still known; `ibakctl encryption check` does"
        ),
        AttentionKind::Other(word) => format!("{name}: {}", text::escape(word, style)),
    };
    stamped(&style.tone(Tone::Wary, &what), style)
}

/// Is the reason of a trouble that is no condition's.
const DAMAGE_FOUND: &str = "damage-found";

fn trouble(name: Option<&str>, details: &impl Lookup) -> String {
    let reason = details.text("reason").unwrap_or_default();
    if reason == DAMAGE_FOUND {
        let which = match (details.number("backups"), name) {
            (Some(count @ 1..), Some(name)) => {
                format!("{} of {name}", text::count(count, "backup", "backups"))
            }
            (Some(count @ 1..), None) => text::count(count, "backup", "backups"),
            (Some(0) | None, Some(name)) => format!("a backup of {name}"),
            (Some(0) | None, None) => "a backup".to_owned(),
        };
        return format!(
            "damage was found in {which}; the next backup repairs that, and `ibakctl backups` shows which are good"
        );
    }
    match super::waits::store_trouble(&ConditionReason::parse(reason)) {
        Some(trouble) => {
            format!("the store cannot be used: {trouble}; `ibakctl doctor` says what to do")
        }
        None => "the store needs you; `ibakctl doctor` says more".to_owned(),
    }
}

fn made_room(name: Option<&str>, details: &impl Lookup) -> String {
    let of = name.map_or_else(String::new, |name| format!(" of {name}"));
    let what = match details.number("removed") {
        Some(count @ 1..) => format!(
            "removed {}{of} to make room",
            text::count(count, "old backup", "old backups")
        ),
        Some(0) | None => format!("old backups{of} were removed to make room"),
    };
    match details.number("freed-bytes") {
        Some(freed @ 1..) => format!("{what}; {} came free", text::bytes(Bytes::new(freed))),
        Some(0) | None => what,
    }
}
