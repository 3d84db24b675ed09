//! What jobs are called.

use super::progress;
use crate::style::Style;
use crate::text;
use ibak_dbus::views::JobView;
use ibak_dbus::words::{JobKind, Phase};

/// Says what a job is doing.
pub(super) fn of_job(name: &str, job: &JobView, style: &Style) -> String {
    match (&job.kind, &job.phase) {
        (JobKind::Pair, Phase::Asking) => {
            format!("{name} asks whether to trust this computer; answer on its screen.")
        }
        (JobKind::Pair, _) => format!("{name} is being paired with this computer."),
        (JobKind::Backup, Phase::AwaitingLock) => {
            format!("{name} has its passcode; its backup begins when its screen is locked.")
        }
        (JobKind::Backup, Phase::Verifying | Phase::Committing) => {
            format!("The new backup of {name} is being checked and kept.")
        }
        (kind, Phase::Asking) => format!(
            "{name} asks for its passcode; type it there, and the {} goes on.",
            noun(kind, style)
        ),
        (kind, _) => format!(
            "{}: {}.",
            of_kind(name, kind, style),
            progress::short(job, style)
        ),
    }
}

/// Names a job.
pub(super) fn noun(kind: &JobKind, style: &Style) -> String {
    match kind {
        JobKind::Backup => "backup",
        JobKind::Verify => "check",
        JobKind::Restore => "restore",
        JobKind::Pair => "pairing",
        JobKind::Encryption => "change of password",
        JobKind::Prune => "clean-up",
        JobKind::CheckPassword => "check of the password",
        JobKind::Read => "reading of files",
        JobKind::Purchases => "copy of what was bought",
        JobKind::ICloud => "switch of iCloud Backup",
        JobKind::Adopt => "taking in of a backup",
        JobKind::MoveStore => "move",
        JobKind::Other(word) => return text::escape(word, style),
    }
    .to_owned()
}

fn of_kind(name: &str, kind: &JobKind, style: &Style) -> String {
    match kind {
        JobKind::Backup => format!("{name} is being backed up"),
        JobKind::Verify => format!("A backup of {name} is being checked"),
        JobKind::Restore => format!("{name} is getting a backup back"),
        JobKind::Pair => format!("{name} is being paired with this computer"),
        JobKind::Encryption => format!("The backup password of {name} is being changed"),
        JobKind::Prune => format!("Old backups of {name} are being removed"),
        JobKind::CheckPassword => format!("A backup password of {name} is being tried"),
        JobKind::Read => format!("Files are being read out of a backup of {name}"),
        JobKind::Purchases => format!("What was bought on {name} is being copied off it"),
        JobKind::ICloud => format!("iCloud Backup of {name} is being switched"),
        JobKind::Adopt => format!("A backup of {name} that another program made is being taken in"),
        JobKind::MoveStore => "The store is being copied to another place".to_owned(),
        JobKind::Other(word) => format!("{name} is busy with {}", text::escape(word, style)),
    }
}
