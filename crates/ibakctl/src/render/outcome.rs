//! How a job ended, as a sentence, an exit code's worth of meaning, and what to do about it.

use crate::moment;
use crate::select::shown_name;
use crate::style::Style;
use crate::text;
use ibak_dbus::Bytes;
use ibak_dbus::views::{AttemptView, PhoneView};
use ibak_dbus::words::{JobKind, Outcome};

/// Completes "the backup …" (a clause in the past tense, no final dot).
pub fn phrase(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Succeeded => "worked",
        Outcome::Cancelled => "was cancelled here",
        Outcome::CancelledOnDevice => "was cancelled on the phone",
        Outcome::NotConfirmed => {
            "did not start: the phone asked for its passcode, and nobody typed it"
        }
        Outcome::NotLockedInTime => {
            "did not start: the passcode was typed, and the screen was not locked in time"
        }
        Outcome::NotReadyInTime => "did not start: the conditions never held together in time",
        Outcome::LostPower => "stopped because the phone lost its power; what arrived is kept",
        Outcome::LostWifi => "stopped because the phone left the network; what arrived is kept",
        Outcome::LostLocked => "stopped because the screen was unlocked; what arrived is kept",
        Outcome::LostSpace => "stopped because the store ran out of room; what arrived is kept",
        Outcome::LostConnection => "stopped because the phone went away; what arrived is kept",
        Outcome::LostHostPower => {
            "stopped because this computer ran from its battery; what arrived is kept"
        }
        Outcome::LostHostNetwork => {
            "stopped because this computer came to a network that backups must not use; what arrived is kept"
        }
        Outcome::DaemonStopped => "stopped because the daemon was stopped; what arrived is kept",
        Outcome::NotConnected => "failed: the phone was not there",
        Outcome::NotTrusted => "failed: the phone does not trust this computer",
        Outcome::NoAnswer => "failed: the phone did not answer in time",
        Outcome::Protocol => "failed: the phone said something unexpected",
        Outcome::Version => "failed: the phone and ibak share no version of the backup protocol",
        Outcome::PhoneInternal => "failed: the phone reported an internal error",
        Outcome::SnapshotLeft => "failed: an earlier backup left a snapshot on the phone",
        Outcome::ICloudRestore => "failed: the phone is being restored from iCloud",
        Outcome::PhoneReadWrite => "failed: the phone could not read or write its own files",
        Outcome::NoSpace => "failed: the store ran out of room",
        Outcome::SpaceUnknown => {
            "did not start: how much room it needs could not be learned in time"
        }
        Outcome::PreviousUnreadable => {
            "failed: the phone could not read the previous backup; that backup is untouched"
        }
        Outcome::Encryption => "failed: the backup password is wrong, or encryption is required",
        Outcome::NoICloudAccount => "failed: the phone has no iCloud account",
        Outcome::FindMy => "failed: Find My is on",
        Outcome::SetupUnfinished => "failed: the phone's setup is not finished",
        Outcome::SyncLocked => "did not start: another program is syncing the phone",
        Outcome::StoreIo => "failed: the store could not be read or written",
        Outcome::StoreUnavailable => "did not start: the store cannot be used",
        Outcome::NotWhole => "failed: what arrived was not a whole backup, so it was not kept",
        Outcome::TrustDenied => "failed: somebody chose \"Don't Trust\" on the phone",
        Outcome::TrustNotAnswered => {
            "failed: nobody answered on the phone whether to trust this computer"
        }
        Outcome::NeedsCable => "did not start: it needs the cable, and the phone is not plugged in",
        Outcome::WrongPassword => "failed: the password is not the right one",
        Outcome::EncryptionRequired => {
            "failed: whoever manages this phone demands encrypted backups"
        }
        Outcome::OlderSystem => "did not start: the backup is from a newer iOS than the phone has",
        Outcome::SystemTooOld => "failed: the phone's iOS is older than any that ibak can speak to",
        Outcome::NoRoomOnPhone => "did not start: the backup does not fit on the phone",
        Outcome::NoSuchBackup => "failed: there is no such backup",
        Outcome::BackupUnreadable => "failed: what is stored cannot be read as a backup",
        Outcome::ClientGone => "stopped: nobody was there to take the files",
        Outcome::BackupDamaged => "found damage",
        Outcome::NotAdoptable => "failed: what lies there cannot be taken in as a backup",
        Outcome::Crashed => "failed because of a bug in ibak",
        Outcome::Other(word) => return format!("ended with \"{}\"", word.escape_default()),
    }
    .to_owned()
}

/// Completes "the restore …" and the like: only a backup keeps what arrived.
pub fn phrase_of(kind: &JobKind, outcome: &Outcome) -> String {
    let phrase = phrase(outcome);
    match (kind, phrase.strip_suffix("; what arrived is kept")) {
        (JobKind::MoveStore, _) if *outcome == Outcome::NoSpace => {
            "failed: the new place has too little room".to_owned()
        }
        (JobKind::MoveStore, _) if *outcome == Outcome::BackupDamaged => {
            "did not take every backup along".to_owned()
        }
        (JobKind::Read, _) if *outcome == Outcome::NoSuchBackup => {
            "found nothing: there is no such backup, or nothing of that name in it".to_owned()
        }
        (JobKind::Backup, _) | (_, None) => phrase,
        (_, Some(short)) => short.to_owned(),
    }
}

/// Says what a person can do after a job of this kind; `None` when nothing needs doing. `me` is
/// how the phone is named on a command line, with a space before it, or nothing.
pub fn remedy_of(kind: &JobKind, outcome: &Outcome, me: &str) -> Option<String> {
    let special = match kind {
        JobKind::Restore => of_restore(outcome, me),
        JobKind::Encryption => of_encryption(outcome, me),
        JobKind::CheckPassword | JobKind::Read => of_reading(outcome, me),
        JobKind::Purchases | JobKind::ICloud | JobKind::Pair => of_visit(outcome),
        JobKind::Adopt | JobKind::MoveStore => of_taking(kind, outcome),
        JobKind::Backup | JobKind::Verify | JobKind::Prune | JobKind::Other(_) => None,
    };
    special.or_else(|| remedy(outcome, me))
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "only what differs from a backup; `remedy` has an arm for every word"
)]
fn of_restore(outcome: &Outcome, me: &str) -> Option<String> {
    Some(match outcome {
        Outcome::NotConfirmed => {
            format!("run `ibakctl restore{me}` with the phone at hand, and type its passcode there")
        }
        Outcome::WrongPassword | Outcome::Encryption => format!(
            "use the password this backup was made under; `ibakctl encryption check{me} --backup BACKUP` tries one without the phone"
        ),
        Outcome::FindMy => {
            "on the phone: Settings, your name, Find My, Find My iPhone, off; switch it on again afterwards".to_owned()
        }
        Outcome::SetupUnfinished => {
            "finish the phone's setup up to the home screen (\"Set Up Without Another Device\", \"Don't Transfer Anything\"), then run it again".to_owned()
        }
        Outcome::OlderSystem => {
            "update the phone first (Settings, General, Software Update), or choose an older backup with `--from`".to_owned()
        }
        Outcome::NoRoomOnPhone => {
            "make room on the phone, or choose a smaller backup with `--from`".to_owned()
        }
        Outcome::LostConnection | Outcome::LostPower | Outcome::LostWifi => format!(
            "plug the phone in, and run `ibakctl restore{me}` again: a restore begins anew"
        ),
        Outcome::BackupUnreadable | Outcome::PreviousUnreadable => {
            "choose another backup with `--from`; `ibakctl backups` lists them".to_owned()
        }
        _ => return None,
    })
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "only what differs from a backup; `remedy` has an arm for every word"
)]
fn of_encryption(outcome: &Outcome, me: &str) -> Option<String> {
    Some(match outcome {
        Outcome::NotConfirmed => {
            "run it again with the phone at hand, and type its passcode there; the password is as it was".to_owned()
        }
        Outcome::WrongPassword | Outcome::Encryption => format!(
            "try the password another computer may have set; when it is forgotten, `ibakctl encryption check{me}` says what remains"
        ),
        Outcome::EncryptionRequired => {
            "encrypted backups cannot be switched off on this phone; ask whoever manages it".to_owned()
        }
        _ => return None,
    })
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "only what differs from a backup; `remedy` has an arm for every word"
)]
fn of_reading(outcome: &Outcome, me: &str) -> Option<String> {
    Some(match outcome {
        Outcome::WrongPassword | Outcome::Encryption => format!(
            "a backup keeps the password it was made under; `ibakctl backups{me}` shows which are under an older one"
        ),
        Outcome::BackupUnreadable => {
            "choose another backup; `ibakctl backups` lists them".to_owned()
        }
        Outcome::NoSuchBackup => "`ibakctl ls BACKUP` lists what a backup holds".to_owned(),
        Outcome::NoSpace | Outcome::LostSpace => "make room on the disk".to_owned(),
        _ => return None,
    })
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "only what differs from a backup; `remedy` has an arm for every word"
)]
fn of_visit(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::NotConfirmed => {
            Some("run it again with the phone at hand, and type its passcode there".to_owned())
        }
        _ => None,
    }
}

fn of_taking(kind: &JobKind, outcome: &Outcome) -> Option<String> {
    Some(match (kind, outcome) {
        (
            JobKind::MoveStore,
            Outcome::Cancelled | Outcome::DaemonStopped | Outcome::LostSpace | Outcome::Crashed,
        ) => "run the same command again: what is there already stays, and it goes on".to_owned(),
        (JobKind::MoveStore, Outcome::NoSpace) => {
            "make room on the new disk, and run the same command again: it goes on".to_owned()
        }
        (JobKind::MoveStore, Outcome::BackupDamaged) => {
            "the store stays where it is: `journalctl -u ibakd` names what was left behind, and `ibakctl verify --all` reads the others again; once its disk reads well, run the same command again, or go on without them by `ibakctl store use DIR`".to_owned()
        }
        (JobKind::Adopt, Outcome::NotWhole | Outcome::NotAdoptable) => {
            "see whether the program that made it can still read it, and take in another one if there is one".to_owned()
        }
        _ => return None,
    })
}

const MAKE_ROOM: &str = "make room on the store's disk, or raise the quota";

/// Says what a person can do after a backup; `None` when nothing needs doing. `me` is how the
/// phone is named on a command line, with a space before it, or nothing.
pub fn remedy(outcome: &Outcome, me: &str) -> Option<String> {
    Some(match outcome {
        Outcome::NotConfirmed => format!(
            "run `ibakctl backup{me}` when you have the phone at hand, and type its passcode there"
        ),
        Outcome::NotLockedInTime => {
            format!("run `ibakctl backup{me}`, type the passcode and then lock the phone")
        }
        Outcome::NotTrusted | Outcome::TrustDenied | Outcome::TrustNotAnswered => {
            format!("plug the phone in, unlock it, run `ibakctl pair{me}` and choose \"Trust\"")
        }
        Outcome::NeedsCable => "plug the phone in and unlock it".to_owned(),
        Outcome::NotConnected | Outcome::NoAnswer | Outcome::LostConnection => {
            "plug the phone in, or bring it to the network, and unlock it once".to_owned()
        }
        Outcome::SnapshotLeft | Outcome::PhoneInternal => "restart the phone".to_owned(),
        Outcome::NoSpace | Outcome::LostSpace => MAKE_ROOM.to_owned(),
        Outcome::SetupUnfinished => "finish the phone's setup".to_owned(),
        Outcome::FindMy => {
            "switch Find My off on the phone (Settings, your name, Find My)".to_owned()
        }
        Outcome::NoICloudAccount => "sign in to iCloud on the phone".to_owned(),
        Outcome::SyncLocked => {
            "end the other program, for example Finder, iTunes or a file manager".to_owned()
        }
        Outcome::StoreUnavailable | Outcome::StoreIo => {
            "`ibakctl doctor` shows what is wrong with the store".to_owned()
        }
        Outcome::PreviousUnreadable => format!("run `ibakctl backup{me} --full`"),
        Outcome::Version => "update ibak".to_owned(),
        Outcome::Crashed => "`journalctl -u ibakd` has the details; please report them".to_owned(),
        Outcome::NotReadyInTime => format!("`ibakctl why{me}` shows what is missing"),
        Outcome::LostPower => {
            "plug the phone into power; the next run goes on from there".to_owned()
        }
        Outcome::LostHostPower => {
            "plug this computer into power; the next run goes on from there".to_owned()
        }
        Outcome::ICloudRestore => {
            "wait until the phone has everything back from iCloud (Settings, your name, iCloud), then run it again".to_owned()
        }
        Outcome::PhoneReadWrite => {
            "restart the phone, and leave it alone while it runs".to_owned()
        }
        Outcome::WrongPassword | Outcome::Encryption => {
            format!("`ibakctl encryption check{me}` tries a password, and says what to do when it is forgotten")
        }
        Outcome::EncryptionRequired => format!("run `ibakctl encryption on{me}`"),
        Outcome::OlderSystem | Outcome::SystemTooOld => {
            "update the phone: Settings, General, Software Update".to_owned()
        }
        Outcome::NoRoomOnPhone => "make room on the phone".to_owned(),
        Outcome::NoSuchBackup | Outcome::BackupUnreadable => {
            "`ibakctl backups` lists what there is".to_owned()
        }
        Outcome::BackupDamaged => {
            format!("run `ibakctl backup{me}`: it has the phone send what is damaged again")
        }
        Outcome::NotWhole => format!("run `ibakctl backup{me}`; it begins from the last good backup"),
        Outcome::Succeeded
        | Outcome::Cancelled
        | Outcome::CancelledOnDevice
        | Outcome::LostWifi
        | Outcome::LostLocked
        | Outcome::LostHostNetwork
        | Outcome::DaemonStopped
        | Outcome::Protocol
        | Outcome::SpaceUnknown
        | Outcome::ClientGone
        | Outcome::NotAdoptable
        | Outcome::Other(_) => return None,
    })
}

/// Says that a backup ended well: `Ada's iPhone is backed up: 1.2 GiB, 212 files received in 6 min.`
/// `took` is in seconds.
pub fn finished(
    phone: &PhoneView,
    bytes: Bytes,
    files: u64,
    took: Option<u64>,
    style: &Style,
) -> String {
    let name = text::capital(&shown_name(phone, style));
    format!("{name} is backed up: {}.\n", received(bytes, files, took))
}

fn received(bytes: Bytes, files: u64, took: Option<u64>) -> String {
    let took = took.map_or_else(String::new, |took| format!(" in {}", text::span(took)));
    format!(
        "{}, {} received{took}",
        text::bytes(bytes),
        text::count(files, "file", "files")
    )
}

/// Returns how long a try took, in seconds.
pub fn took(attempt: &AttemptView) -> Option<u64> {
    Some(attempt.ended?.saturating_since(attempt.started?).as_secs())
}

/// Writes one try as a line: `yesterday 02:14   by schedule   worked: 1.2 GiB in 6 min`.
pub(super) fn attempt(attempt: &AttemptView, style: &Style) -> String {
    let when = attempt.started.map_or_else(
        || "an unknown time".to_owned(),
        |started| moment::exact(started, style),
    );
    let by = match &attempt.trigger {
        ibak_dbus::words::Trigger::Schedule => "by itself",
        ibak_dbus::words::Trigger::User => "on request",
        ibak_dbus::words::Trigger::Other(_) => "otherwise",
    };
    let what = match &attempt.result {
        None => "is running".to_owned(),
        Some(Outcome::Succeeded) => format!(
            "worked: {}",
            received(attempt.bytes, attempt.files, took(attempt))
        ),
        Some(other) => phrase(other),
    };
    format!("{}  {}  {what}", text::pad(&when, 15), text::pad(by, 10))
}
