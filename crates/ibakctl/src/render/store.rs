//! What is said when the store is laid somewhere else, and when a backup is taken in.

use crate::moment;
use crate::style::Style;
use crate::text;
use ibak_dbus::words::CheckDetail;
use ibak_dbus::{Bytes, Wall};
use std::path::Path;

fn paragraphs(said: &[String], style: &Style) -> String {
    said.iter()
        .map(|sentence| format!("{}\n", text::paragraph(sentence, 0, style)))
        .collect()
}

/// Returns a path as it may be shown.
pub fn place(path: &Path, style: &Style) -> String {
    text::escape(&path.display().to_string(), style)
}

/// Returns a path as a shell takes it, escaped for the screen.
pub fn shell_place(path: &Path, style: &Style) -> String {
    let shown = place(path, style);
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,@:".contains(c);
    if shown.chars().all(plain) {
        shown
    } else {
        format!("'{}'", shown.replace('\'', r"'\''"))
    }
}

/// Returns a path as a systemd unit takes it, escaped for the screen.
fn unit_place(path: &Path, style: &Style) -> String {
    let shown = place(path, style).replace('%', "%%");
    if shown.contains([' ', '"', '\\', '\'']) {
        format!("\"{}\"", shown.replace('\\', r"\\").replace('"', "\\\""))
    } else {
        shown
    }
}

/// Says that the daemon uses another store, and what stays in the old one.
pub fn store_used(new: &Path, old: &Path, backups: Option<u64>, style: &Style) -> String {
    let mut said = vec![format!("The store is {} from here on.", place(new, style))];
    match backups {
        None | Some(0) => {}
        Some(count) => said.push(format!(
            "No backup was moved: {} in {}; `ibakctl store move` would have taken {} along.",
            text::count(count, "backup stays", "backups stay"),
            place(old, style),
            if count == 1 { "it" } else { "them" }
        )),
    }
    paragraphs(&said, style)
}

/// Says what a move is going to copy.
pub fn before_move(
    old: &Path,
    new: &Path,
    backups: Option<u64>,
    used: Option<Bytes>,
    style: &Style,
) -> String {
    let what = match (backups, used) {
        (Some(count @ 1..), Some(used)) => format!(
            "{} ({}) {}",
            text::count(count, "backup", "backups"),
            text::bytes(used),
            if count == 1 { "is" } else { "are" }
        ),
        (_, _) => "All backups are".to_owned(),
    };
    paragraphs(
        &[
            format!(
                "{what} copied from {} to {}, and each file is checked on the way.",
                place(old, style),
                place(new, style)
            ),
            "No backup runs meanwhile. It can be stopped at any time: the same command goes on from there."
                .to_owned(),
        ],
        style,
    )
}

/// Says that the store has moved, and how the old one is removed.
pub fn store_moved(new: &Path, old: &Path, style: &Style) -> String {
    let mut out = paragraphs(
        &[format!(
            "The store has moved to {}. The old one stays in {} until you remove it yourself.",
            place(new, style),
            place(old, style)
        )],
        style,
    );
    out.push_str(&text::hint(
        &format!(
            "once you have seen that all is well, `sudo rm -r -- {}` removes the old one.",
            shell_place(old, style)
        ),
        style,
    ));
    out
}

/// Says what to do about a directory that the daemon cannot use as its store.
pub fn store_remedy(detail: &CheckDetail, dir: &Path, style: &Style) -> String {
    let paths = format!("ReadWritePaths={}", unit_place(dir, style));
    let dir = shell_place(dir, style);
    match detail {
        CheckDetail::StoreNoRights => format!("`sudo chown ibak: {dir}` gives it to the daemon"),
        CheckDetail::StoreReadOnly => {
            format!(
                "unless its disk is mounted read-only, let the service write there: `sudo systemctl edit ibakd`, the lines `[Service]` and `{paths}`, then `sudo systemctl restart ibakd`, and run this again"
            )
        }
        CheckDetail::StoreMissing => format!(
            "see whether its disk is mounted, and whether it is empty or holds a store; below /home the service sees nothing, unless `sudo systemctl edit ibakd` says `[Service]`, `ProtectHome=no` and `{paths}`"
        ),
        CheckDetail::StoreOnRoot => {
            "see whether its disk is mounted: this directory is on the root file system".to_owned()
        }
        CheckDetail::StoreUnsupported => "choose a disk with ext4, XFS or btrfs on it".to_owned(),
        CheckDetail::StoreLocked => "end the other daemon that uses it".to_owned(),
        CheckDetail::StoreNewer => "install a newer ibak, or choose another directory".to_owned(),
        CheckDetail::StoreDamaged => {
            "choose an empty directory, or one that holds a store and nothing else".to_owned()
        }
        CheckDetail::StoreFailing
        | CheckDetail::StoreMoving
        | CheckDetail::Fine
        | CheckDetail::Absent
        | CheckDetail::Mute
        | CheckDetail::Refused
        | CheckDetail::OnRootAllowed
        | CheckDetail::Low
        | CheckDetail::Full
        | CheckDetail::Unreadable
        | CheckDetail::NotAService
        | CheckDetail::SeenOnBusOnly
        | CheckDetail::NoInterface
        | CheckDetail::TableOfNobody
        | CheckDetail::TableOfSeveral
        | CheckDetail::TableTwice
        | CheckDetail::SettingLeftOut
        | CheckDetail::NotPaired
        | CheckDetail::NotTrusted
        | CheckDetail::NotReachable
        | CheckDetail::NotEncrypted
        | CheckDetail::AsksPasscode
        | CheckDetail::ConditionUnknown
        | CheckDetail::Other(_) => "`journalctl -u ibakd` says more".to_owned(),
    }
}

/// A backup of another program, as it is told before it is taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdoptionView {
    /// What the phone is called; its UDID when it does not say.
    pub name: String,
    /// Its iOS, when it says.
    pub os_version: Option<String>,
    /// When it was made, when it says.
    pub made: Option<Wall>,
    /// Whether it is encrypted; `None` when that cannot be read.
    pub encrypted: Option<bool>,
    /// Bytes of all its files.
    pub size: Bytes,
    /// How many there are.
    pub files: u64,
    /// What computers leave in folders and no backup holds, left out.
    pub skipped: u64,
    /// Whether the daemon knows the phone.
    pub known: bool,
}

/// Says what is going to be taken in.
pub fn before_adoption(view: &AdoptionView, style: &Style) -> String {
    let mut facts = vec![format!("a backup of {}", text::name(&view.name, style))];
    if let Some(version) = &view.os_version {
        facts.push(format!(
            "iOS {}",
            text::fit(&text::escape(version, style), 12, style)
        ));
    }
    if let Some(made) = view.made {
        facts.push(format!("of {}", moment::exact(made, style)));
    }
    facts.push(text::bytes(view.size));
    match view.encrypted {
        Some(true) => facts.push("encrypted".to_owned()),
        Some(false) => facts.push("not encrypted".to_owned()),
        None => {}
    }
    let mut said = vec![format!(
        "This takes in {}; the original stays as it is.",
        facts.join(", ")
    )];
    if view.encrypted == Some(true) {
        said.push("It keeps the password it was made under.".to_owned());
    }
    if !view.known {
        said.push(
            "The phone is not known here yet; paired, its next backup goes on from this one."
                .to_owned(),
        );
    }
    if view.skipped > 0 {
        said.push(format!(
            "Left out: {} no part of a backup, such as .DS_Store.",
            text::count(view.skipped, "file that is", "files that are")
        ));
    }
    paragraphs(&said, style)
}

/// Says that it was taken in, or was here `again`.
pub fn adopted(view: &AdoptionView, again: bool, me: &str, style: &Style) -> String {
    let when = view.made.map_or_else(String::new, |made| {
        format!(" from {}", moment::exact(made, style))
    });
    if again {
        return paragraphs(
            &[format!(
                "The backup of {}{when} is here already; nothing of it was kept twice.",
                text::name(&view.name, style)
            )],
            style,
        );
    }
    paragraphs(
        &[format!(
            "The backup of {}{when} is taken in ({}) and pinned, so it stays; `ibakctl backups{me}` \
             lists it.",
            text::name(&view.name, style),
            text::bytes(view.size)
        )],
        style,
    )
}
