//! What is said before and after backups go or stay: removing, checking, retiring, forgetting,
//! replacing.

use super::encryption::backup_of;
use crate::moment;
use crate::select::shown_name;
use crate::style::Style;
use crate::text;
use ibak_dbus::Bytes;
use ibak_dbus::views::{BackupView, PhoneView};

/// Is how many good backups are named beside a damaged one.
const NAMED_MAX: usize = 3;

/// A backup that is about to be removed.
#[derive(Clone, Debug, PartialEq)]
pub struct RemovalView {
    /// The phone it is of.
    pub phone: PhoneView,
    /// The backup, with what removing it frees if that is known.
    pub backup: BackupView,
    /// The phone's other backups, in any order.
    pub others: Vec<BackupView>,
}

impl RemovalView {
    /// Says whether somebody, or the store for them, wants it kept.
    pub fn is_kept(&self) -> bool {
        self.backup.pinned || self.backup.guarded
    }

    /// Says whether no later backup is known to be good, so that nothing but a person's word
    /// removes it.
    pub fn is_last_good(&self) -> bool {
        let newest_good = self
            .others
            .iter()
            .chain([&self.backup])
            .filter(|backup| is_good(backup))
            .max_by_key(|backup| (backup.finished, &backup.id));
        newest_good.is_none_or(|newest| newest.id == self.backup.id)
    }
}

fn is_good(backup: &BackupView) -> bool {
    backup.verified.is_some() && backup.damaged == 0
}

fn paragraphs(said: &[String], style: &Style) -> String {
    said.iter()
        .map(|sentence| format!("{}\n", text::paragraph(sentence, 0, style)))
        .collect()
}

fn number(backups: &[BackupView]) -> u64 {
    u64::try_from(backups.len()).unwrap_or(u64::MAX)
}

fn newest(backups: &[BackupView]) -> Option<&BackupView> {
    backups
        .iter()
        .max_by_key(|backup| (backup.finished, &backup.id))
}

fn when(backup: &BackupView, style: &Style) -> String {
    backup.finished.map_or_else(
        || "an unknown time".to_owned(),
        |finished| moment::exact(finished, style),
    )
}

/// Says what removing frees, what stays, and what speaks against it.
pub fn before_removal(view: &RemovalView, style: &Style) -> String {
    let (backup, name) = (&view.backup, shown_name(&view.phone, style));
    let which = text::capital(&backup_of(&view.phone, backup, style));
    let mut said = vec![match backup.frees {
        Some(frees) if frees < backup.size && !view.others.is_empty() => format!(
            "{which} holds {}; removing it frees {}, for the rest it shares with others.",
            text::bytes(backup.size),
            text::bytes(frees)
        ),
        Some(frees) => format!("{which}: removing it frees {}.", text::bytes(frees)),
        None => format!("{which} holds {}.", text::bytes(backup.size)),
    }];
    match newest(&view.others) {
        None => said.push(format!(
            "It is the ONLY backup of {name}: after it there is none, and nothing brings it back."
        )),
        Some(kept) => {
            let others = number(&view.others);
            said.push(format!(
                "{} of {name} {}, {} {}.",
                text::count(others, "other", "others"),
                if others == 1 { "stays" } else { "stay" },
                if others == 1 {
                    "from"
                } else {
                    "the newest from"
                },
                when(kept, style)
            ));
            said.extend(against(backup, &view.others).map(str::to_owned));
        }
    }
    if backup.pinned {
        said.push("It is pinned: somebody wanted it kept whatever comes.".to_owned());
    }
    if backup.guarded {
        said.push(
            "It is held, because the next one lost much or changed its encryption: it may hold what the phone has lost."
                .to_owned(),
        );
    }
    paragraphs(&said, style)
}

/// Says whether it is the newest, or the newest that is good.
fn against(backup: &BackupView, others: &[BackupView]) -> Option<&'static str> {
    let is_later = |other: &BackupView| (other.finished, &other.id) > (backup.finished, &backup.id);
    let good = is_good(backup);
    if !good && !others.iter().any(is_good) {
        Some("None of them is known to be good, so that each one may be needed.")
    } else if good && !others.iter().any(is_good) {
        Some("It is the only one that is known to be good.")
    } else if !others.iter().any(is_later) {
        Some("It is the newest: what came after the others is only in it.")
    } else if good && !others.iter().any(|other| is_good(other) && is_later(other)) {
        Some("It is the newest one that is known to be good.")
    } else {
        None
    }
}

/// Says that it is gone.
pub fn removed(view: &RemovalView, style: &Style) -> String {
    let which = text::capital(&backup_of(&view.phone, &view.backup, style));
    let frees = match view.backup.frees {
        Some(frees) => format!(" {} come free in a moment.", text::bytes(frees)),
        None => String::new(),
    };
    paragraphs(&[format!("{which} is removed.{frees}")], style)
}

/// Says that a backup was read again and is good.
pub fn sound(phone: &PhoneView, backup: &BackupView, style: &Style) -> String {
    let which = text::capital(&backup_of(phone, backup, style));
    paragraphs(
        &[format!(
            "{which} is good: {}, {}, all of it read again.",
            text::count(backup.files, "file", "files"),
            text::bytes(backup.size)
        )],
        style,
    )
}

/// Completes "… is damaged": `3 of its 2,012 files cannot be read as they were written`.
pub fn damage(backup: &BackupView) -> String {
    let of = match backup.files {
        0 => String::new(),
        files => format!(" of its {}", text::count(files, "file", "files")),
    };
    match backup.damaged {
        0 => "how many of its files is not known".to_owned(),
        1 => format!("1{of} is not as it was written"),
        many => format!(
            "{}{of} are not as they were written",
            text::count(many, "", "").trim()
        ),
    }
}

/// Says what follows from damage: who repairs it, and what else is good.
pub fn after_damage(backup: &BackupView, all: &[BackupView], style: &Style) -> String {
    let mut good: Vec<&BackupView> = all
        .iter()
        .filter(|other| other.id != backup.id && is_good(other))
        .collect();
    good.sort_by(|a, b| (b.finished, &b.id).cmp(&(a.finished, &a.id)));
    let mut named: Vec<String> = good
        .iter()
        .take(NAMED_MAX)
        .map(|other| when(other, style))
        .collect();
    if let Some(more) = good.len().checked_sub(NAMED_MAX).filter(|more| *more > 0) {
        named.push(format!("{more} more"));
    }
    let others = if named.is_empty() {
        "no other one is known to be good".to_owned()
    } else {
        format!("known to be good: {}", text::join(&named))
    };
    format!("its next backup repairs that, for the phone sends those files again; {others}")
}

/// Says that a phone's backups stay and no more are made.
pub fn retired(phone: &PhoneView, me: &str, style: &Style) -> String {
    let name = text::capital(&shown_name(phone, style));
    paragraphs(
        &[format!(
            "{name} is retired: its backups stay, no more are made, and none is missed. `ibakctl enable{me}` brings it back."
        )],
        style,
    )
}

/// Says what forgetting a phone removes.
pub fn before_forgetting(phone: &PhoneView, backups: &[BackupView], style: &Style) -> String {
    let name = shown_name(phone, style);
    let mut said = Vec::new();
    match number(backups) {
        0 => said.push(format!("{} has no backup here.", text::capital(&name))),
        count => {
            said.push(format!(
                "This removes {} of {name}{}, for good: nothing brings {} back.",
                if count == 1 {
                    "the only backup".to_owned()
                } else {
                    format!("all {}", text::count(count, "backup", "backups"))
                },
                taken(phone.used),
                if count == 1 { "it" } else { "them" }
            ));
            if let Some(newest) = newest(backups) {
                said.push(format!("The newest is from {}.", when(newest, style)));
            }
        }
    }
    let kept = backups
        .iter()
        .filter(|backup| backup.pinned || backup.guarded)
        .count();
    if kept > 0 {
        said.push(format!(
            "{} pinned or held, and {} too.",
            text::count(
                u64::try_from(kept).unwrap_or(u64::MAX),
                "of them is",
                "of them are"
            ),
            if kept == 1 { "goes" } else { "go" }
        ));
    }
    if !backups.is_empty() {
        said.push("To keep what is there and make no more, use `ibakctl retire`.".to_owned());
    }
    paragraphs(&said, style)
}

fn taken(used: Bytes) -> String {
    if used == Bytes::ZERO {
        String::new()
    } else {
        format!(" ({} on the disk)", text::bytes(used))
    }
}

/// Says that a phone and its backups are gone.
pub fn forgotten_phone(name: &str, backups: &[BackupView], style: &Style) -> String {
    let name = text::capital(name);
    paragraphs(
        &[match number(backups) {
            0 => format!("{name} is forgotten."),
            1 => format!(
                "{name} is forgotten, and its backup is removed; the room comes free in a moment."
            ),
            count => format!(
                "{name} is forgotten, and its {} are removed; the room comes free in a moment.",
                text::count(count, "backup", "backups")
            ),
        }],
        style,
    )
}

/// Says what replacing an old phone by a new one means. `other` is how hints name the new one,
/// with a space before, `source` the old one, without.
pub fn replaced(
    old: &PhoneView,
    new: &PhoneView,
    source: &str,
    other: &str,
    style: &Style,
) -> String {
    let (old_name, new_name) = (shown_name(old, style), shown_name(new, style));
    let quota = old.quota.map_or_else(String::new, |quota| {
        format!(", with its quota of {}", text::bytes(quota))
    });
    let mut said = paragraphs(
        &[
            format!(
                "{} takes the place of {old_name}{quota}.",
                text::capital(&new_name)
            ),
            format!(
                "{} is retired: its backups stay, and no more are made.",
                text::capital(&old_name)
            ),
        ],
        style,
    );
    said.push_str(&text::hint(
        &format!(
            "`ibakctl restore{other} --from {source}@latest` puts what was on {old_name} onto {new_name}."
        ),
        style,
    ));
    said
}
