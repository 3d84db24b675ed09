//! `ibakctl status`: what every phone is doing, its last backup, what it waits for.

use super::progress;
use super::table::{self, Cell};
use super::waits;
use super::why::unfinished;
use crate::moment;
use crate::select::shown_name;
use crate::style::{Glyphs, Style, Tone};
use crate::text;
use ibak_dbus::views::{JobView, ManagerView, PhoneView};
use ibak_dbus::words::{JobKind, ManagerMode, OnOff, Phase, PhoneState, StorageState, WaitsFor};

/// What `status` shows.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusView {
    /// The whole daemon.
    pub manager: ManagerView,
    /// The phones, in order.
    pub phones: Vec<PhoneView>,
    /// Every job.
    pub jobs: Vec<JobView>,
}

impl StatusView {
    /// Returns the job a phone has.
    pub fn job_of(&self, phone: &PhoneView) -> Option<&JobView> {
        let id = phone.current_job?;
        self.jobs.iter().find(|job| job.id == id)
    }
}

/// Lists what a monitor should alarm about, a sentence each.
pub fn trouble(view: &StatusView, style: &Style) -> Vec<String> {
    let mut lines = Vec::new();
    match view.manager.storage_state {
        StorageState::Unavailable => {
            lines.push("The store cannot be used; `ibakctl doctor` says what to do.".to_owned());
        }
        StorageState::Full => {
            lines
                .push("The store is full; `ibakctl storage` shows what takes the room.".to_owned());
        }
        StorageState::Ok | StorageState::Low | StorageState::Unknown | StorageState::Other(_) => {}
    }
    for phone in view.phones.iter().filter(|it| it.overdue && !it.retired) {
        let name = shown_name(phone, style);
        lines.push(format!("{name} has been without a backup for too long."));
    }
    lines
}

/// Renders the table, and beneath it what concerns all phones.
pub fn render(view: &StatusView, style: &Style) -> String {
    let mut out = if view.phones.is_empty() {
        "No phone is known yet.\nHint: plug one in, unlock it, and run `ibakctl pair`.\n".to_owned()
    } else {
        let rows: Vec<[Cell; 5]> = view
            .phones
            .iter()
            .map(|phone| row(view, phone, style))
            .collect();
        table::render(
            ["PHONE", "STATE", "LAST BACKUP", "ENCRYPTED", "NEXT"],
            &rows,
            style,
        )
    };
    let moving = moving(view, style);
    out.push_str(&house(&view.manager, moving.is_empty(), style));
    out.push_str(&moving);
    out
}

fn row(view: &StatusView, phone: &PhoneView, style: &Style) -> [Cell; 5] {
    let job = view.job_of(phone).filter(|job| !job.ended());
    [
        Cell::new(shown_name(phone, style)),
        state(phone, style),
        last_backup(phone, style),
        Cell::new(encrypted(&phone.encryption, style)),
        Cell::new(next(phone, job, style)),
    ]
}

/// A retired phone is quiet until something runs for it all the same.
fn state(phone: &PhoneView, style: &Style) -> Cell {
    if phone.retired && phone.current_job.is_none() {
        Cell::toned("retired", Tone::Dim)
    } else {
        Cell::toned(
            text::escape(phone.state.as_str(), style),
            tone(&phone.state),
        )
    }
}

fn tone(state: &PhoneState) -> Tone {
    match state {
        PhoneState::BackingUp
        | PhoneState::Committing
        | PhoneState::Settling
        | PhoneState::Idle => Tone::Good,
        PhoneState::Waiting | PhoneState::Asking | PhoneState::Paused => Tone::Wary,
        PhoneState::Untrusted | PhoneState::BackingOff => Tone::Bad,
        PhoneState::Absent | PhoneState::Other(_) => Tone::Dim,
    }
}

fn last_backup(phone: &PhoneView, style: &Style) -> Cell {
    let when = phone
        .last_backup
        .map_or_else(|| "never".to_owned(), |last| moment::ago(last, style));
    if phone.overdue && !phone.retired {
        Cell::toned(format!("{when}, overdue"), Tone::Bad)
    } else {
        Cell::new(when)
    }
}

fn encrypted(encryption: &OnOff, style: &Style) -> &'static str {
    match (encryption, style.glyphs) {
        (OnOff::On, Glyphs::Unicode) => "🔒 yes",
        (OnOff::On, Glyphs::Ascii) => "yes",
        (OnOff::Off, _) => "no",
        (OnOff::Unknown | OnOff::Other(_), _) => "?",
    }
}

/// Says what comes next for a phone.
fn next(phone: &PhoneView, job: Option<&JobView>, style: &Style) -> String {
    let at = |prefix: &str| {
        phone
            .next_attempt
            .map(|next| format!("{prefix}{}", moment::exact(next, style)))
    };
    match job {
        Some(job) if job.phase == Phase::Queued => return when(&job.waits_for, phone, style),
        Some(job) => return progress::short(job, style),
        None if phone.retired => return "its backups stay, and no more are made".to_owned(),
        None => {}
    }
    let next = next_without_job(phone, at, style);
    match unfinished(phone) {
        Some(staged) => format!("{next}; {staged} of an unfinished backup are here"),
        None => next,
    }
}

fn next_without_job(
    phone: &PhoneView,
    at: impl Fn(&str) -> Option<String>,
    style: &Style,
) -> String {
    match &phone.state {
        PhoneState::BackingUp => "being backed up".to_owned(),
        PhoneState::Committing => "being checked and kept".to_owned(),
        PhoneState::Asking => "waiting for your answer on the phone".to_owned(),
        PhoneState::Absent => match phone.last_seen {
            Some(seen) => format!("when it is back; last seen {}", moment::exact(seen, style)),
            None => "when it is here".to_owned(),
        },
        PhoneState::Untrusted => "when it trusts this computer".to_owned(),
        PhoneState::Settling => "in a moment, if the conditions hold".to_owned(),
        PhoneState::BackingOff => at("again at ").unwrap_or_else(|| "again later".to_owned()),
        PhoneState::Paused => {
            at("after the pause, ").unwrap_or_else(|| "when you resume".to_owned())
        }
        PhoneState::Idle if !phone.automatic => "only on request".to_owned(),
        PhoneState::Idle => at("").unwrap_or_else(|| "when it is due".to_owned()),
        PhoneState::Waiting | PhoneState::Other(_) => when(&phone.waits_for, phone, style),
    }
}

fn when(waits_for: &[WaitsFor], phone: &PhoneView, style: &Style) -> String {
    let clauses: Vec<String> = waits_for
        .iter()
        .map(|word| waits::when(word, phone, style))
        .collect();
    if clauses.is_empty() {
        "in a moment".to_owned()
    } else {
        format!("when {}", text::join(&clauses))
    }
}

/// Tells of a store that is being moved, which is no phone's job.
fn moving(view: &StatusView, style: &Style) -> String {
    view.jobs
        .iter()
        .find(|job| job.kind == JobKind::MoveStore && !job.ended())
        .map_or_else(String::new, |job| {
            format!(
                "\nThe store is being copied to another place: {}.\n",
                progress::short(job, style)
            )
        })
}

/// `troubled` says whether a store that cannot be used is news.
fn house(manager: &ManagerView, troubled: bool, style: &Style) -> String {
    let mut out = String::new();
    match &manager.mode {
        ManagerMode::Automatic => {}
        ManagerMode::Paused => {
            let until = manager.paused_until.map_or_else(
                || "you run `ibakctl resume`".to_owned(),
                |until| moment::exact(until, style),
            );
            out.push_str(&format!("\nAutomatic backups are paused until {until}.\n"));
        }
        ManagerMode::Other(word) => out.push_str(&format!(
            "\nThe daemon is in mode \"{}\".\n",
            text::escape(word, style)
        )),
    }
    let trouble = match manager.storage_state {
        StorageState::Full => Some("The store is full"),
        StorageState::Low => Some("The store is nearly full"),
        StorageState::Unavailable if !troubled => None,
        StorageState::Unavailable => Some("The store cannot be used; `ibakctl doctor` says why"),
        StorageState::Ok | StorageState::Unknown | StorageState::Other(_) => None,
    };
    if let Some(trouble) = trouble {
        let free = match manager.storage_state {
            StorageState::Full | StorageState::Low => {
                format!(": {} free", text::bytes(manager.storage_free))
            }
            StorageState::Ok
            | StorageState::Unavailable
            | StorageState::Unknown
            | StorageState::Other(_) => String::new(),
        };
        let quota = match (free.is_empty(), manager.quota) {
            (false, Some(quota)) => format!(
                ", {} quota used",
                text::of_bytes(manager.storage_used, quota)
            ),
            (_, _) => String::new(),
        };
        out.push_str(&format!(
            "\n{}\n",
            style.tone(Tone::Bad, &format!("{trouble}{free}{quota}."))
        ));
    }
    out
}
