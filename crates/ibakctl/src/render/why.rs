//! `ibakctl why`: one true sentence, the four conditions with their evidence, what else holds it
//! back, what to do.

use super::jobs::of_job;
use super::{conditions, outcome, waits};
use crate::moment;
use crate::select::shown_name;
use crate::style::Style;
use crate::text;
use ibak_dbus::views::{AttemptView, JobView, PhoneView};
use ibak_dbus::words::{
    ConditionName, ConditionReason, ConditionStatus, JobKind, Outcome, Passcode, Phase, PhoneState,
    TransportWord, Trust, WaitsFor,
};

/// What `why` shows.
#[derive(Clone, Debug, PartialEq)]
pub struct WhyView {
    /// The phone.
    pub phone: PhoneView,
    /// Its job, if it has one.
    pub job: Option<JobView>,
    /// Its tries, oldest first.
    pub attempts: Vec<AttemptView>,
    /// How many of them were asked for; with 0 the last one shows only when it went wrong.
    pub last: usize,
    /// How the phone is named on a command line, with a space before it; empty for the only one.
    pub me: String,
}

/// Renders all of it.
pub fn render(view: &WhyView, style: &Style) -> String {
    let mut out = format!("{}\n", text::paragraph(&sentence(view, style), 0, style));
    out.push_str(&conditions::render(&view.phone, style));
    let also = also(view, style);
    if !also.is_empty() {
        out.push_str(&format!("also waits for: {}\n", also.join(", ")));
    }
    out.push_str(&overdue(&view.phone, style));
    out.push_str(&staged(view, style));
    out.push_str(&password(&view.phone, style));
    out.push_str(&attempts(view, style));
    if let Some(hint) = hint(view) {
        out.push_str(&text::hint(&hint, style));
    }
    out
}

/// What is waited for: by a queued job, or else by the automatic backup.
fn waits_for(view: &WhyView) -> &[WaitsFor] {
    match queued(view) {
        Some(job) => &job.waits_for,
        None => &view.phone.waits_for,
    }
}

fn queued(view: &WhyView) -> Option<&JobView> {
    view.job
        .as_ref()
        .filter(|job| !job.ended() && job.phase == Phase::Queued)
}

fn running(view: &WhyView) -> Option<&JobView> {
    view.job
        .as_ref()
        .filter(|job| !job.ended() && job.phase != Phase::Queued)
}

/// The one true sentence.
pub fn sentence(view: &WhyView, style: &Style) -> String {
    let name = text::capital(&shown_name(&view.phone, style));
    if let Some(job) = running(view) {
        return of_job(&name, job, style);
    }
    if queued(view).is_some() {
        return format!(
            "A backup of {} was asked for and waits{}.",
            shown_name(&view.phone, style),
            main_waits(view, style)
        );
    }
    if view.phone.retired {
        return format!("{name} is retired: its backups stay, and no more are made.");
    }
    of_state(&name, view, style)
}

/// The sentence of a phone without a job.
fn of_state(name: &str, view: &WhyView, style: &Style) -> String {
    let phone = &view.phone;
    let next = phone.next_attempt.map(|next| moment::exact(next, style));
    match &phone.state {
        PhoneState::Absent => of_absent(name, phone, style),
        PhoneState::Untrusted => {
            format!("{name} does not trust this computer, so it cannot be backed up.")
        }
        PhoneState::Asking => format!("{name} is waiting for an answer on its screen."),
        PhoneState::BackingUp => format!("{name} is being backed up."),
        PhoneState::Committing => format!("The new backup of {name} is being checked and kept."),
        PhoneState::Settling => of_settling(name, phone, style),
        PhoneState::Paused => match next {
            Some(next) => format!("{name} is due, and automatic backups are paused until {next}."),
            None => {
                format!("{name} is due, and automatic backups are paused until you resume them.")
            }
        },
        PhoneState::BackingOff => {
            let after = match &phone.last_result {
                Some(result) => format!("the last backup {}", outcome::phrase(result)),
                None => "the last backup failed".to_owned(),
            };
            match phone.next_attempt {
                Some(next) => format!(
                    "{name} is due and tries again {}: {after}.",
                    moment::at(next, style)
                ),
                None => format!("{name} is due and tries again later: {after}."),
            }
        }
        PhoneState::Idle if !phone.automatic => {
            format!("Automatic backup is off for {name}, so it runs only when you ask.")
        }
        PhoneState::Idle => of_idle(name, phone, style),
        PhoneState::Waiting | PhoneState::Other(_) => of_waiting(name, view, style),
    }
}

/// The sentence of a phone that is not here: only of one that is due, that is what holds it back.
fn of_absent(name: &str, phone: &PhoneView, style: &Style) -> String {
    let since = phone.last_seen.map(|seen| moment::exact(seen, style));
    let kept = phone.waits_for.contains(&WaitsFor::Due) && phone.last_backup.is_some();
    let rest = kept.then(|| of_idle(name, phone, style));
    match (rest, since) {
        (Some(rest), Some(since)) => format!("{rest} It is not here since {since}."),
        (Some(rest), None) => format!("{rest} It is not here."),
        (None, Some(since)) => {
            format!("{name} has not been seen since {since}, so nothing could run.")
        }
        (None, None) => format!("{name} is not here, so nothing can run."),
    }
}

/// The sentence of a phone that is not due.
fn of_idle(name: &str, phone: &PhoneView, style: &Style) -> String {
    let next = phone.next_attempt.map(|next| moment::exact(next, style));
    let last = phone.last_backup.map(|last| moment::ago(last, style));
    match (last, next) {
        (Some(last), Some(next)) => {
            format!("{name} was backed up {last}; the next backup is due {next}.")
        }
        (Some(last), None) => format!("{name} was backed up {last}; nothing is due."),
        (None, _) => format!("Nothing is due for {name}."),
    }
}

fn of_settling(name: &str, phone: &PhoneView, style: &Style) -> String {
    let left = phone
        .next_attempt
        .and_then(|next| u64::try_from(-style.seconds_since(next)).ok())
        .filter(|left| *left > 0);
    let when = left.map_or_else(|| "a moment".to_owned(), text::span);
    if phone.passcode == Passcode::Asks {
        return format!("{name} is due and asks for its passcode in {when}, if it stays as it is.");
    }
    format!("All conditions hold for {name}; its backup starts in {when}, if they keep holding.")
}

fn of_waiting(name: &str, view: &WhyView, style: &Style) -> String {
    match view.phone.waits_for.first() {
        None => format!("{name} is due, and its backup starts in a moment."),
        Some(WaitsFor::AutomaticOff) => {
            format!("Automatic backup is off for {name}, so it runs only when you ask.")
        }
        Some(WaitsFor::Due) => match view.phone.next_attempt {
            Some(next) => format!("{name} is not due until {}.", moment::exact(next, style)),
            None => format!("{name} is not due yet."),
        },
        Some(WaitsFor::NotTrusted) => {
            format!("{name} does not trust this computer, so it cannot be backed up.")
        }
        Some(WaitsFor::Passcode) => {
            format!(
                "{name} is due and asks for its passcode before every backup, so it cannot start by itself."
            )
        }
        Some(word) => of_hours(name, word, &view.phone, style)
            .unwrap_or_else(|| format!("{name} is due and waits{}.", main_waits(view, style))),
    }
}

/// The sentence of a phone that has to wait for its hours, or for somebody to ask; `None` when the
/// word is another.
fn of_hours(name: &str, word: &WaitsFor, phone: &PhoneView, style: &Style) -> Option<String> {
    const ASKS: &str = "asks for its passcode before every backup";
    let next = phone.next_attempt.map(|next| moment::exact(next, style));
    let sentence = match (word, next) {
        (WaitsFor::Window, Some(next)) => {
            format!("{name} is due, and its backup window opens {next}.")
        }
        (WaitsFor::AskWindow, Some(next)) => {
            format!("{name} is due and {ASKS}, which it may not do until {next}.")
        }
        (WaitsFor::Asked, Some(next)) => format!(
            "{name} is due; it asked for its passcode already, and may ask again {next} at the earliest."
        ),
        (WaitsFor::Person, _) => {
            format!("{name} is due and {ASKS}, so it waits until somebody has it unlocked.")
        }
        (_, _) => return None,
    };
    Some(sentence)
}

/// The conditions that are waited for; without any, the first other thing.
fn main_waits(view: &WhyView, style: &Style) -> String {
    let words = waits_for(view);
    let conditions: Vec<String> = words
        .iter()
        .filter(|word| waits::condition_of(word).is_some())
        .map(|word| waits::waits(word, &view.phone, style))
        .collect();
    if !conditions.is_empty() {
        return format!(" {}", text::join(&conditions));
    }
    match words.first() {
        Some(word) => format!(" {}", waits::waits(word, &view.phone, style)),
        None => " for its turn".to_owned(),
    }
}

/// What else is waited for, beyond what the sentence said.
fn also(view: &WhyView, style: &Style) -> Vec<String> {
    if running(view).is_some() || view.phone.retired {
        return Vec::new();
    }
    let words = waits_for(view);
    let conditions = words.iter().any(|word| waits::condition_of(word).is_some());
    let said = |at: usize, word: &WaitsFor| {
        let by_state = match (&view.phone.state, word) {
            (PhoneState::Absent, WaitsFor::Phone)
            | (PhoneState::Untrusted, WaitsFor::NotTrusted | WaitsFor::Trust)
            | (PhoneState::Paused, WaitsFor::Pause)
            | (PhoneState::BackingOff, WaitsFor::Backoff)
            | (PhoneState::Settling, WaitsFor::Settling)
            | (PhoneState::Idle, WaitsFor::Due | WaitsFor::AutomaticOff) => true,
            (PhoneState::Absent, WaitsFor::Due) => view.phone.last_backup.is_some(),
            (_, _) => false,
        };
        // Conditions stand in their own lines; the sentence of a waiting phone says the first word.
        by_state
            || waits::condition_of(word).is_some()
            || (says_first_wait(view) && at == 0 && !conditions)
    };
    words
        .iter()
        .enumerate()
        .filter(|(at, word)| !said(*at, word))
        .map(|(_, word)| waits::awaited(word, &view.phone, style))
        .collect()
}

fn says_first_wait(view: &WhyView) -> bool {
    match view.phone.state {
        PhoneState::Waiting | PhoneState::Other(_) => true,
        PhoneState::Absent
        | PhoneState::Untrusted
        | PhoneState::Settling
        | PhoneState::Asking
        | PhoneState::BackingUp
        | PhoneState::Committing
        | PhoneState::Idle
        | PhoneState::BackingOff
        | PhoneState::Paused => queued(view).is_some(),
    }
}

fn overdue(phone: &PhoneView, style: &Style) -> String {
    match (phone.overdue && !phone.retired, phone.last_backup) {
        (false, _) => String::new(),
        (true, Some(last)) => format!(
            "It is overdue: its last backup is from {}.\n",
            moment::exact(last, style)
        ),
        (true, None) => "It is overdue: it has no backup yet.\n".to_owned(),
    }
}

/// Says how much of an unfinished backup is here already.
fn staged(view: &WhyView, style: &Style) -> String {
    let backing_up = running(view).is_some_and(|job| job.kind == JobKind::Backup);
    match unfinished(&view.phone) {
        Some(staged) if !backing_up => format!(
            "{}\n",
            text::paragraph(
                &format!(
                    "Of an unfinished backup {staged} have arrived; the next run goes on from there."
                ),
                0,
                style
            )
        ),
        Some(_) | None => String::new(),
    }
}

/// Says what an unfinished backup already has; `None` without one.
pub(super) fn unfinished(phone: &PhoneView) -> Option<String> {
    (phone.staged != ibak_dbus::Bytes::ZERO).then(|| text::bytes(phone.staged))
}

/// Reminds of proving that the backup password is still known.
fn password(phone: &PhoneView, style: &Style) -> String {
    if !phone.password_check_due {
        return String::new();
    }
    let since = match phone.password_checked {
        Some(checked) => format!("was last tried {}", moment::ago(checked, style)),
        None => "was never tried here".to_owned(),
    };
    format!(
        "{}\n",
        text::paragraph(
            &format!(
                "Its backup password {since}; `ibakctl encryption check` shows that it is still known."
            ),
            0,
            style
        )
    )
}

fn attempts(view: &WhyView, style: &Style) -> String {
    if view.last > 0 {
        let skipped = view.attempts.len().saturating_sub(view.last);
        let lines: Vec<String> = view
            .attempts
            .iter()
            .skip(skipped)
            .rev()
            .map(|attempt| format!("  {}\n", outcome::attempt(attempt, style)))
            .collect();
        return if lines.is_empty() {
            "No backup was tried yet.\n".to_owned()
        } else {
            format!("Tries, newest first:\n{}", lines.concat())
        };
    }
    let failed = view
        .attempts
        .last()
        .and_then(|last| Some((last, last.result.as_ref()?)));
    match failed {
        None | Some((_, Outcome::Succeeded)) => String::new(),
        // The sentence of a phone that backs off says it already.
        Some((_, _)) if view.phone.state == PhoneState::BackingOff => String::new(),
        Some((last, result)) => {
            let when = last.started.map_or_else(String::new, |started| {
                format!(" ({})", moment::exact(started, style))
            });
            format!("The last backup{when} {}.\n", outcome::phrase(result))
        }
    }
}

/// The one thing to do.
fn hint(view: &WhyView) -> Option<String> {
    let me = &view.me;
    let phone = &view.phone;
    if let Some(job) = running(view) {
        return match job.kind {
            JobKind::Backup => Some(format!(
                "`ibakctl watch{me}` shows how it goes on; `ibakctl cancel{me}` ends it."
            )),
            JobKind::Pair
            | JobKind::Verify
            | JobKind::Restore
            | JobKind::Encryption
            | JobKind::Prune
            | JobKind::CheckPassword
            | JobKind::Read
            | JobKind::Purchases
            | JobKind::ICloud
            | JobKind::Adopt
            | JobKind::MoveStore
            | JobKind::Other(_) => None,
        };
    }
    if queued(view).is_some() {
        return Some(format!("`ibakctl cancel{me}` calls it off."));
    }
    if phone.retired {
        return Some(format!("`ibakctl enable{me}` brings it back."));
    }
    if phone.trust == Trust::Untrusted {
        return Some(format!(
            "plug it in, unlock it, and run `ibakctl pair{me}`."
        ));
    }
    if phone.transports.is_empty() {
        return Some(
            "plug it in, or bring it to the network and unlock it once; `ibakctl doctor` checks usbmuxd and the network."
                .to_owned(),
        );
    }
    let space = phone.condition(&ConditionName::Space);
    if space.status == ConditionStatus::Unmet {
        return Some(match waits::store_trouble(&space.reason) {
            Some(_) if space.reason == ConditionReason::StoreMoving => {
                "`ibakctl watch` shows how the move goes on.".to_owned()
            }
            Some(_) => "`ibakctl doctor` says what to do about the store.".to_owned(),
            None => "make room on the store's disk, or raise the quota.".to_owned(),
        });
    }
    if !phone.automatic {
        return Some(format!(
            "`ibakctl enable{me}` switches it on; `ibakctl backup{me}` starts one now."
        ));
    }
    hint_of_lock(view)
        .or_else(|| hint_of_cable(view))
        .or_else(|| hint_of_state(view))
}

/// A cable is there and nothing but the network is missing: the cable may stand in for it.
fn hint_of_cable(view: &WhyView) -> Option<String> {
    let wifi = view.phone.condition(&ConditionName::Wifi);
    let missing: Vec<ConditionName> = waits_for(view)
        .iter()
        .filter_map(waits::condition_of)
        .collect();
    let plugged_in = view.phone.transports.contains(&TransportWord::Usb);
    let only_wifi = missing == [ConditionName::Wifi] && wifi.status == ConditionStatus::Unmet;
    (plugged_in && only_wifi).then(|| {
        format!(
            "`ibakctl policy{} conditions.wifi=or-usb` lets its cable stand in for Wi-Fi.",
            view.me
        )
    })
}

/// A phone without a passcode never says that it is locked; its owner can leave the lock out.
fn hint_of_lock(view: &WhyView) -> Option<String> {
    let locked = view.phone.condition(&ConditionName::Locked);
    let silent =
        locked.reason == ConditionReason::NoPasscode || locked.lock_ever_seen == Some(false);
    let waited = waits_for(view).contains(&WaitsFor::Locked);
    (locked.required && silent && waited).then(|| {
        format!(
            "`ibakctl backup{me}` starts one now. If this phone has no passcode, `ibakctl policy{me} conditions.locked=ignored` leaves the lock out.",
            me = view.me
        )
    })
}

fn hint_of_state(view: &WhyView) -> Option<String> {
    let (phone, me) = (&view.phone, &view.me);
    match (&phone.state, &phone.passcode) {
        (PhoneState::Paused, _) => Some(format!(
            "`ibakctl resume` ends the pause; `ibakctl backup{me}` starts one now."
        )),
        (PhoneState::BackingOff, _) => Some(
            match phone
                .last_result
                .as_ref()
                .and_then(|result| outcome::remedy(result, me))
            {
                Some(remedy) => format!("{remedy}."),
                None => format!("`ibakctl backup{me}` tries again now."),
            },
        ),
        (PhoneState::Waiting, _)
            if phone
                .waits_for
                .iter()
                .any(|word| matches!(word, WaitsFor::Slot | WaitsFor::Job)) =>
        {
            Some("`ibakctl watch` shows what is running.".to_owned())
        }
        (PhoneState::Waiting, _) if phone.waits_for.contains(&WaitsFor::Trust) => {
            Some("unlock the phone once, so that it can be asked.".to_owned())
        }
        (PhoneState::Waiting, Passcode::Asks) => Some(format!(
            "`ibakctl backup{me}` starts one now; have the phone at hand, it will ask for its passcode."
        )),
        (PhoneState::Waiting | PhoneState::Settling | PhoneState::Idle, _) => {
            Some(format!("`ibakctl backup{me}` starts one now."))
        }
        (
            PhoneState::Absent
            | PhoneState::Untrusted
            | PhoneState::Asking
            | PhoneState::BackingUp
            | PhoneState::Committing
            | PhoneState::Other(_),
            _,
        ) => None,
    }
}
