//! `ibakctl backups --explain`: why each one stays, and which goes next. Looking removes nothing.

use super::backups::{BackupsView, PhoneBackups, heading, ids, marked, newest_first, short_id};
use super::table::{self, Cell};
use crate::moment;
use crate::style::{Style, Tone};
use crate::text;
use ibak_dbus::views::BackupView;
use ibak_dbus::words::KeepReason;

/// Renders a table for each phone, the newest backup first.
pub fn render(view: &BackupsView, style: &Style) -> String {
    let ids = ids(view);
    let parts: Vec<String> = view
        .phones
        .iter()
        .filter(|phone| !phone.backups.is_empty())
        .map(|phone| part(phone, &ids, style))
        .collect();
    if parts.is_empty() {
        "There is no backup yet.\n".to_owned()
    } else {
        parts.join("\n")
    }
}

fn part(phone: &PhoneBackups, ids: &[&str], style: &Style) -> String {
    let backups = newest_first(phone);
    let rows: Vec<[Cell; 3]> = backups
        .iter()
        .map(|backup| {
            [
                Cell::new(
                    backup
                        .finished
                        .map_or_else(|| "?".to_owned(), |at| moment::full(at, style)),
                ),
                Cell::new(short_id(backup.id.as_str(), ids)),
                why(backup, phone, style),
            ]
        })
        .collect();
    let going = backups.iter().filter(|backup| goes(backup, phone)).count();
    let told = !phone.phone.retired && backups.iter().all(|backup| backup.keep.is_some());
    let sum = match u64::try_from(going).unwrap_or(u64::MAX) {
        0 if !told => String::new(),
        0 => "None of them goes after the next backup.\n".to_owned(),
        count => format!(
            "{} after the next backup, or before it if that lacks room.\n",
            text::count(count, "goes", "go")
        ),
    };
    format!(
        "{}{}{}{sum}",
        heading(phone, style),
        table::render(["FINISHED", "ID", "WHY IT STAYS"], &rows, style),
        marked(&backups, phone.phone.retired, style),
    )
}

/// Says whether it goes after the next backup; a retired phone has no next one.
fn goes(backup: &BackupView, phone: &PhoneBackups) -> bool {
    !phone.phone.retired && backup.keep.as_ref().is_some_and(Vec::is_empty)
}

fn why(backup: &BackupView, phone: &PhoneBackups, style: &Style) -> Cell {
    let damage = match backup.damaged {
        0 => String::new(),
        files => format!("; {} damaged", text::count(files, "file is", "files are")),
    };
    let origin = if backup.adopted {
        "; another program made it"
    } else {
        ""
    };
    let (words, tone) = match &backup.keep {
        Some(reasons) if !reasons.is_empty() => {
            (reasons_of(backup, reasons, phone.last, style), None)
        }
        _ if phone.phone.retired => ("the phone is retired, so nothing goes".to_owned(), None),
        Some(_) => ("goes after the next backup".to_owned(), Some(Tone::Wary)),
        None => ("the daemon does not say".to_owned(), Some(Tone::Dim)),
    };
    let words = format!("{words}{damage}{origin}");
    match tone {
        _ if backup.damaged > 0 => Cell::toned(words, Tone::Bad),
        Some(tone) => Cell::toned(words, tone),
        None => Cell::new(words),
    }
}

/// Says all reasons, the ones that stand alone first.
fn reasons_of(backup: &BackupView, reasons: &[KeepReason], last: u64, style: &Style) -> String {
    let mut said: Vec<String> = reasons
        .iter()
        .filter_map(|reason| alone(backup, reason, last, style))
        .collect();
    let periods: Vec<String> = reasons
        .iter()
        .filter_map(|reason| period(backup, reason, style))
        .collect();
    if !periods.is_empty() {
        said.push(format!("the newest of {}", text::join(&periods)));
    }
    said.join("; ")
}

fn alone(backup: &BackupView, reason: &KeepReason, last: u64, style: &Style) -> Option<String> {
    let words = match reason {
        // The guard's hold counts as a pin; a person wants to know whose it is.
        KeepReason::Pinned if backup.guarded && !backup.pinned => {
            "held, because the next one lost much or changed its encryption"
        }
        KeepReason::Pinned => "pinned",
        KeepReason::NewestVerified => "the newest good one",
        KeepReason::Last if last > 1 => return Some(format!("one of the last {last}")),
        KeepReason::Last => "the last one",
        KeepReason::NewerDamaged => "a newer one is not known to be good",
        KeepReason::ClockJumped => "its date cannot be trusted, for the clock has jumped",
        KeepReason::Daily | KeepReason::Weekly | KeepReason::Monthly | KeepReason::Yearly => {
            return None;
        }
        KeepReason::Other(word) => return Some(text::escape(word, style)),
    };
    Some(words.to_owned())
}

/// Completes "the newest of …".
fn period(backup: &BackupView, reason: &KeepReason, style: &Style) -> Option<String> {
    let at = backup
        .finished
        .and_then(|finished| moment::civil(finished, style));
    let dated = |format: &str, otherwise: &str| {
        at.map_or_else(
            || otherwise.to_owned(),
            |at| at.strftime(format).to_string(),
        )
    };
    Some(match reason {
        KeepReason::Daily => dated("%b %-d", "its day"),
        KeepReason::Weekly => "its week".to_owned(),
        KeepReason::Monthly => dated("%B", "its month"),
        KeepReason::Yearly => dated("%Y", "its year"),
        KeepReason::Pinned
        | KeepReason::NewestVerified
        | KeepReason::Last
        | KeepReason::NewerDamaged
        | KeepReason::ClockJumped
        | KeepReason::Other(_) => return None,
    })
}
