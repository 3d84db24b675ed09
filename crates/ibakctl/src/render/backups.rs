//! `ibakctl backups`: what is kept, newest first.

use super::encryption::short_keybag;
use super::table::{self, Cell};
use crate::moment;
use crate::select::shown_name;
use crate::style::{Glyphs, Style, Tone};
use crate::text;
use ibak_dbus::views::{BackupView, PhoneView};
use ibak_dbus::words::OnOff;

/// The backups of one phone.
#[derive(Clone, Debug, PartialEq)]
pub struct PhoneBackups {
    /// The phone.
    pub phone: PhoneView,
    /// Its backups, in any order.
    pub backups: Vec<BackupView>,
    /// How many stay for being among the last, the next one counted; 0 when that was not asked.
    pub last: u64,
}

/// What `backups` shows.
#[derive(Clone, Debug, PartialEq)]
pub struct BackupsView {
    /// By phone, in order.
    pub phones: Vec<PhoneBackups>,
}

/// Is how many characters of an id are shown at least.
const ID_CHARS_MIN: usize = 10;

/// Renders a table for each phone. Ids are cut to what tells them apart.
pub fn render(view: &BackupsView, style: &Style) -> String {
    let ids = ids(view);
    let mut parts = Vec::new();
    for phone in view.phones.iter().filter(|phone| !phone.backups.is_empty()) {
        let backups = newest_first(phone);
        let current = current_keybag(&phone.phone, &backups);
        let rows: Vec<[Cell; 7]> = backups
            .iter()
            .map(|backup| row(backup, current, &ids, style))
            .collect();
        parts.push(format!(
            "{}{}{}{}",
            heading(phone, style),
            table::render(
                [
                    "FINISHED", "SIZE", "OWN", "IOS", "PASSWORD", "VERIFIED", "ID"
                ],
                &rows,
                style
            ),
            passwords(&backups, current, style),
            marked(&backups, phone.phone.retired, style),
        ));
    }
    let own = "\nOWN is what it added to the disk when it was made.\n";
    if parts.is_empty() {
        "There is no backup yet.\n".to_owned()
    } else {
        format!("{}{own}", parts.join("\n"))
    }
}

/// Returns every id that is shown.
pub(super) fn ids(view: &BackupsView) -> Vec<&str> {
    view.phones
        .iter()
        .flat_map(|phone| &phone.backups)
        .map(|backup| backup.id.as_str())
        .collect()
}

/// The password that holds now is the newest backup's, unless the phone says it has none.
fn current_keybag<'a>(phone: &PhoneView, newest_first: &[&'a BackupView]) -> Option<&'a str> {
    match phone.encryption {
        OnOff::Off => None,
        OnOff::On | OnOff::Unknown | OnOff::Other(_) => newest_first
            .iter()
            .find(|backup| backup.encrypted)
            .and_then(|backup| backup.keybag.as_deref()),
    }
}

fn password(backup: &BackupView, current: Option<&str>, style: &Style) -> Cell {
    match (backup.encrypted, backup.keybag.as_deref()) {
        (false, _) => Cell::toned("none", Tone::Wary),
        (true, None) => Cell::new("yes"),
        (true, keybag) if keybag == current => Cell::new("current"),
        (true, Some(keybag)) => Cell::new(format!("older {}", short_keybag(keybag, style))),
    }
}

/// Explains each older password there is.
fn passwords(newest_first: &[&BackupView], current: Option<&str>, style: &Style) -> String {
    let mut older: Vec<(&str, u64)> = Vec::new();
    for keybag in newest_first
        .iter()
        .filter(|backup| backup.encrypted)
        .filter_map(|backup| backup.keybag.as_deref())
        .filter(|keybag| Some(*keybag) != current)
    {
        match older.iter_mut().find(|(known, _)| *known == keybag) {
            Some((_, count)) => *count += 1,
            None => older.push((keybag, 1)),
        }
    }
    let ellipsis = match style.glyphs {
        Glyphs::Unicode => "…",
        Glyphs::Ascii => "...",
    };
    older
        .into_iter()
        .map(|(keybag, count)| {
            let sentence = format!(
                "{} under an older password ({}{ellipsis}); only that one opens {}.",
                text::count(count, "backup is", "backups are"),
                short_keybag(keybag, style),
                if count == 1 { "it" } else { "them" },
            );
            format!("{}\n", text::paragraph(&sentence, 0, style))
        })
        .collect()
}

/// Names a phone and says how many backups it has.
pub(super) fn heading(phone: &PhoneBackups, style: &Style) -> String {
    let number = u64::try_from(phone.backups.len()).unwrap_or(u64::MAX);
    format!(
        "{}: {}\n",
        style.tone(Tone::Head, &text::capital(&shown_name(&phone.phone, style))),
        text::count(number, "backup", "backups")
    )
}

/// Returns a phone's backups, the newest first.
pub(super) fn newest_first(phone: &PhoneBackups) -> Vec<&BackupView> {
    let mut backups: Vec<&BackupView> = phone.backups.iter().collect();
    backups.sort_by(|a, b| (b.finished, &b.id).cmp(&(a.finished, &a.id)));
    backups
}

/// Says what is special about a backup, in words that stand behind its id.
fn marks(backup: &BackupView, style: &Style) -> String {
    let pinned = match style.glyphs {
        Glyphs::Unicode => "📌",
        Glyphs::Ascii => "pinned",
    };
    [
        (backup.pinned, pinned),
        (backup.guarded, "held"),
        (backup.adopted, "adopted"),
    ]
    .iter()
    .filter(|(set, _)| *set)
    .map(|(_, word)| format!(" {word}"))
    .collect()
}

/// Says what becomes of damage in one backup, or in several.
pub(super) fn repair(count: u64, retired: bool) -> String {
    let them = if count == 1 { "it" } else { "them" };
    if retired {
        "the phone is retired, so nothing repairs that".to_owned()
    } else {
        format!("what is damaged in {them} is sent again with the next one")
    }
}

/// Explains the marks that ask for something.
pub(super) fn marked(newest_first: &[&BackupView], retired: bool, style: &Style) -> String {
    let count = |is: fn(&BackupView) -> bool| {
        let found = newest_first.iter().filter(|backup| is(backup)).count();
        u64::try_from(found).unwrap_or(u64::MAX)
    };
    let mut said = Vec::new();
    match count(|backup| backup.damaged > 0) {
        0 => {}
        1 => said.push(format!("One backup is damaged; {}.", repair(1, retired))),
        many => said.push(format!(
            "{many} backups are damaged; {}.",
            repair(many, retired)
        )),
    }
    if count(|backup| backup.guarded) > 0 {
        said.push(
            "What is held stays until you unpin it, because the next one lost much or changed its encryption: look at both."
                .to_owned(),
        );
    }
    said.iter()
        .map(|sentence| format!("{}\n", text::paragraph(sentence, 0, style)))
        .collect()
}

fn row(backup: &BackupView, current: Option<&str>, ids: &[&str], style: &Style) -> [Cell; 7] {
    [
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
        password(backup, current, style),
        match backup.verified {
            _ if backup.damaged > 0 => Cell::toned("damaged", Tone::Bad),
            Some(verified) => Cell::new(moment::ago(verified, style)),
            None => Cell::toned("never", Tone::Wary),
        },
        Cell::new(format!(
            "{}{}",
            short_id(backup.id.as_str(), ids),
            marks(backup, style)
        )),
    ]
}

/// Cuts an id to the shortest beginning that no other id has.
pub(super) fn short_id<'a>(id: &'a str, ids: &[&str]) -> &'a str {
    (ID_CHARS_MIN..id.len())
        .filter_map(|length| id.get(..length))
        .find(|prefix| ids.iter().filter(|other| other.starts_with(prefix)).count() == 1)
        .unwrap_or(id)
}
