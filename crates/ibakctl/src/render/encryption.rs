//! What is said about encrypted backups: before, after, and when the password is forgotten.

use crate::moment;
use crate::select::shown_name;
use crate::style::{Glyphs, Style, Tone};
use crate::text;
use ibak_dbus::Bytes;
use ibak_dbus::views::{BackupView, ManagerView, PhoneView};

/// The full backup that switching encryption brings, and the room for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FullAgain {
    /// As much as the newest backup holds.
    pub size: Bytes,
    /// What the store's disk has free.
    pub free: Bytes,
    /// What the quota leaves; `None` without one.
    pub quota_left: Option<Bytes>,
}

impl FullAgain {
    /// Compares a size with what the daemon says of its store.
    pub fn of(size: Bytes, manager: &ManagerView) -> Self {
        Self {
            size,
            free: manager.storage_free,
            quota_left: manager
                .quota
                .map(|quota| Bytes::new(quota.get().saturating_sub(manager.storage_used.get()))),
        }
    }

    /// Returns the room there is.
    pub fn room(&self) -> Bytes {
        self.quota_left
            .map_or(self.free, |left| left.min(self.free))
    }

    /// Says whether it fits.
    pub fn fits(&self) -> bool {
        self.size <= self.room()
    }

    /// Says what is missing: `it takes about 118 GiB, and 20 GiB are free`.
    pub fn lack(&self) -> String {
        let room = match self.quota_left {
            Some(left) if left < self.free => {
                format!("the quota leaves {}", text::bytes(left))
            }
            Some(_) | None => format!("{} are free", text::bytes(self.free)),
        };
        format!("it takes about {}, and {room}", text::bytes(self.size))
    }
}

fn lines(sentences: &[String], style: &Style) -> String {
    sentences
        .iter()
        .map(|sentence| format!("{}\n", text::paragraph(sentence, 0, style)))
        .collect()
}

/// Is the sentence about a password that everybody must have read.
const NOBODY: &str = "Nobody, not even Apple, can recover this password, so write it down and keep it safe; without one, a backup leaves out health data and saved passwords.";

/// Says what a password means, before it is asked for.
pub fn before_encryption(full: Option<&FullAgain>, style: &Style) -> String {
    let mut said = vec![NOBODY.to_owned()];
    if let Some(full) = full {
        said.push(format!(
            "There are plain backups already, so this means one full backup more: about {}, and there is room for {}.",
            text::bytes(full.size),
            text::bytes(full.room())
        ));
    }
    said.push("The password then also holds for backups that Finder or iTunes make.".to_owned());
    lines(&said, style)
}

/// Says what going without a password means, before the old one is asked for.
pub fn before_plain(full: Option<&FullAgain>, style: &Style) -> String {
    let mut said = vec![
        "Without a password, backups leave out health data and saved passwords, and whoever has the disk can read them; that holds for Finder and iTunes too.".to_owned(),
    ];
    if let Some(full) = full {
        said.push(format!(
            "It means one full backup more: about {}, and there is room for {}.",
            text::bytes(full.size),
            text::bytes(full.room())
        ));
    }
    lines(&said, style)
}

/// Says what another password means, before both are asked for.
pub fn before_change(style: &Style) -> String {
    lines(
        &[
            "Nobody, not even Apple, can recover this password, so write the new one down and keep it safe.".to_owned(),
            "It holds for backups from the next one on, also those that Finder or iTunes make; keep the old one for the backups there are.".to_owned(),
        ],
        style,
    )
}

/// Says that encryption is on.
pub fn encryption_on(name: &str, me: &str, style: &Style) -> String {
    format!(
        "{}{}",
        lines(
            &[format!(
                "Backups of {name} are encrypted from the next one on."
            )],
            style
        ),
        text::hint(
            &format!("`ibakctl encryption sheet{me}` prints a card to write the password on"),
            style
        )
    )
}

/// Says that another password holds.
pub fn encryption_changed(name: &str, me: &str, style: &Style) -> String {
    format!(
        "{}{}",
        lines(
            &[format!(
                "The new password of {name} holds from the next backup on. Older backups keep the one they were made under."
            )],
            style
        ),
        text::hint(
            &format!("`ibakctl encryption sheet{me}` prints a card to write the password on"),
            style
        )
    )
}

/// Says what remains when a password is forgotten, and what it costs.
pub fn forgotten(me: &str, style: &Style) -> String {
    lines(
        &[
            "If the password is forgotten, nobody can recover it, and the backups under it stay locked; keep them in case it is found.".to_owned(),
            "For new backups the phone can be freed of it: Settings, General, Transfer or Reset iPhone, Reset, Reset All Settings, and its passcode.".to_owned(),
            "That keeps photos, messages and apps. It costs all settings: known Wi-Fi networks and their passwords, Apple Pay cards, the home screen's layout, wallpaper, alarms, the keyboard's dictionary, and what apps may see of you.".to_owned(),
            format!("Then `ibakctl encryption on{me}` sets a new password."),
        ],
        style,
    )
}

/// Names a backup in a sentence: `the backup of Ada's iPhone from yesterday 02:14`.
pub fn backup_of(phone: &PhoneView, backup: &BackupView, style: &Style) -> String {
    let when = backup.finished.map_or_else(
        || "an unknown time".to_owned(),
        |finished| moment::exact(finished, style),
    );
    format!("the backup of {} from {when}", shown_name(phone, style))
}

/// Is how much of a keybag's name tells passwords apart.
const KEYBAG_CHARS: usize = 4;

/// Returns what a keybag is called on a screen: its first digits.
pub fn short_keybag(keybag: &str, style: &Style) -> String {
    let short: String = keybag.chars().take(KEYBAG_CHARS).collect();
    text::escape(&short, style)
}

/// What a card says.
#[derive(Clone, Debug, PartialEq)]
pub struct SheetView {
    /// The phone.
    pub phone: PhoneView,
    /// Its newest backup that has a password.
    pub backup: Option<BackupView>,
    /// Where the backups are, as the daemon says.
    pub store: Option<String>,
    /// What this computer is called.
    pub computer: String,
}

/// Is how wide a card is, in columns.
const CARD_COLUMNS: usize = 64;

/// Renders a card to print; the password is on it only when it is given.
pub fn sheet(view: &SheetView, password: Option<&str>, style: &Style) -> String {
    let name = shown_name(&view.phone, style);
    let none = || "not known yet".to_owned();
    let store = view
        .store
        .as_ref()
        .map_or_else(none, |store| text::escape(store, style));
    let keybag = match &view.backup {
        Some(backup) => match (&backup.keybag, backup.finished) {
            (Some(keybag), Some(finished)) => format!(
                "{} (backup of {})",
                short_keybag(keybag, style),
                moment::full(finished, style)
            ),
            (Some(keybag), None) => short_keybag(keybag, style),
            (None, _) => none(),
        },
        None => "of the first backup, which is still to come".to_owned(),
    };
    let today = moment::today(style);
    let rows = [
        ("Phone", name),
        ("UDID", view.phone.udid.to_string()),
        ("Computer", text::escape(&view.computer, style)),
        ("Backups in", store),
        ("Password no.", keybag),
        ("Printed", today),
    ];
    let mut out = vec![
        rule(style),
        boxed("Password of the backups", style),
        rule(style),
    ];
    for (what, value) in rows {
        let room = CARD_COLUMNS - 18;
        for (at, line) in cut(&value, room).into_iter().enumerate() {
            let what = if at == 0 { what } else { "" };
            out.push(boxed(&format!("{}{line}", text::pad(what, 14)), style));
        }
    }
    out.push(boxed("", style));
    match password {
        Some(password) => {
            for (at, line) in cut(password, CARD_COLUMNS - 18).into_iter().enumerate() {
                let what = if at == 0 { "Password" } else { "" };
                out.push(boxed(&format!("{}{line}", text::pad(what, 14)), style));
            }
        }
        None => out.push(boxed(
            &format!(
                "{}{}",
                text::pad("Password", 14),
                "_".repeat(CARD_COLUMNS - 18)
            ),
            style,
        )),
    }
    out.push(boxed("", style));
    for line in text::wrap(
        "Nobody can recover this password. Without it these backups cannot be read or given back to a phone. Keep this card away from the computer and the disk.",
        CARD_COLUMNS - 4,
    ) {
        out.push(boxed(&line, style));
    }
    out.push(rule(style));
    format!("{}\n", out.join("\n"))
}

/// Breaks at any character: a path or a password has no words.
fn cut(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for c in text.chars() {
        if lines.last().is_some_and(|line| text::columns(line) >= room) {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            line.push(c);
        }
    }
    lines
}

fn rule(style: &Style) -> String {
    let line = match style.glyphs {
        Glyphs::Unicode => "─",
        Glyphs::Ascii => "-",
    };
    style.tone(Tone::Dim, &format!("+{}+", line.repeat(CARD_COLUMNS - 2)))
}

fn boxed(text: &str, style: &Style) -> String {
    let edge = style.tone(Tone::Dim, "|");
    format!("{edge} {} {edge}", text::pad(text, CARD_COLUMNS - 4))
}
