//! `ibakctl backups`: what is kept, newest first.

use super::table::{self, Cell};
use crate::moment;
use crate::select::shown_name;
use crate::style::{Glyphs, Style, Tone};
use crate::text;
use ibak_dbus::Bytes;
use ibak_dbus::views::{BackupView, PhoneView};

/// The backups of one phone.
#[derive(Clone, Debug, PartialEq)]
pub struct PhoneBackups {
    /// The phone.
    pub phone: PhoneView,
    /// Its backups, in any order.
    pub backups: Vec<BackupView>,
}

/// What `backups` shows.
#[derive(Clone, Debug, PartialEq)]
pub struct BackupsView {
    /// By phone, in order.
    pub phones: Vec<PhoneBackups>,
}

/// Renders one table, and the sum beneath it.
pub fn render(view: &BackupsView, style: &Style) -> String {
    let mut rows = Vec::new();
    let (mut number, mut unique) = (0_u64, Bytes::ZERO);
    for phone in &view.phones {
        let mut backups: Vec<&BackupView> = phone.backups.iter().collect();
        backups.sort_by(|a, b| (b.finished, &b.id).cmp(&(a.finished, &a.id)));
        for backup in backups {
            number += 1;
            unique = unique.saturating_add(backup.unique);
            rows.push(row(&phone.phone, backup, style));
        }
    }
    if rows.is_empty() {
        return "There is no backup yet.\n".to_owned();
    }
    let mut out = table::render(
        [
            "PHONE",
            "FINISHED",
            "SIZE",
            "OWN",
            "IOS",
            "ENCRYPTED",
            "VERIFIED",
            "ID",
        ],
        &rows,
        style,
    );
    out.push_str(&format!(
        "\n{}; removing them all would free at least {}.\n",
        text::count(number, "backup", "backups"),
        text::bytes(unique)
    ));
    out
}

fn row(phone: &PhoneView, backup: &BackupView, style: &Style) -> [Cell; 8] {
    let pinned = match (backup.pinned, style.glyphs) {
        (true, Glyphs::Unicode) => " 📌",
        (true, Glyphs::Ascii) => " pinned",
        (false, _) => "",
    };
    let encrypted = match (backup.encrypted, style.glyphs) {
        (true, Glyphs::Unicode) => "🔒 yes",
        (true, Glyphs::Ascii) => "yes",
        (false, _) => "no",
    };
    [
        Cell::new(shown_name(phone, style)),
        Cell::new(
            backup
                .finished
                .map_or_else(|| "?".to_owned(), |finished| moment::full(finished, style)),
        ),
        Cell::new(text::bytes(backup.size)),
        Cell::new(text::bytes(backup.unique)),
        Cell::new(text::fit(
            &text::escape(&backup.os_version, style),
            12,
            style,
        )),
        Cell::new(encrypted),
        match backup.verified {
            Some(verified) => Cell::new(moment::ago(verified, style)),
            None => Cell::toned("never", Tone::Wary),
        },
        Cell::new(format!("{}{pinned}", backup.id)),
    ]
}
