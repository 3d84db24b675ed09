//! Where in the conversation an operation of the phone puts a session.

use crate::message::Message;
use crate::{Deed, Phase};

/// Returns the phase that serving an operation is, and the phone's percentage, 0 for none.
///
/// `now` is the phase so far; `has_uploaded` says whether the phone has sent files.
pub(crate) fn of_operation(
    deed: &Deed,
    now: Phase,
    has_uploaded: bool,
    operation: &Message,
) -> (Phase, f64) {
    let before = match now {
        Phase::Handshake | Phase::WaitingForPhone | Phase::WaitingForPasscode | Phase::Held => {
            Phase::Comparing
        }
        Phase::Comparing
        | Phase::Receiving
        | Phase::Sending
        | Phase::Moving
        | Phase::Removing
        | Phase::Verifying
        | Phase::Ending => now,
    };
    let percent = percent_of(operation);
    let phase = match deed {
        // The phone takes; whatever else it asks for between two files is part of that.
        Deed::Restore(_) if matches!(operation, Message::Download { .. }) => Phase::Sending,
        Deed::Restore(_) => before,
        Deed::Backup { .. } | Deed::ChangePassword { .. } | Deed::EnableCloudBackup { .. } => {
            of_writing(before, has_uploaded, operation, percent)
        }
    };
    (phase, percent)
}

/// Returns the phase where the phone writes a backup here.
fn of_writing(before: Phase, has_uploaded: bool, operation: &Message, percent: f64) -> Phase {
    match operation {
        // Between moving and removing the phone uploads its status: no second transfer.
        Message::Upload { bytes: 0, .. } if is_late(before) => before,
        Message::Upload { .. } => Phase::Receiving,
        // Reading back before the end belongs to the comparison.
        Message::Download { .. } if has_uploaded && (is_late(before) || percent >= 99.0) => {
            Phase::Verifying
        }
        Message::Move { .. } if has_uploaded => Phase::Moving,
        Message::Remove { .. } if has_uploaded => Phase::Removing,
        Message::Download { .. }
        | Message::Move { .. }
        | Message::Remove { .. }
        | Message::Copy { .. }
        | Message::FreeSpace
        | Message::Purge { .. }
        | Message::Contents { .. }
        | Message::CreateDirectory { .. }
        | Message::Unknown(_)
        | Message::VersionExchange { .. }
        | Message::DeviceReady
        | Message::Process(_)
        | Message::Disconnect => before,
    }
}

fn percent_of(operation: &Message) -> f64 {
    match operation {
        Message::Upload { percent, .. }
        | Message::Download { percent, .. }
        | Message::Move { percent, .. }
        | Message::Remove { percent, .. }
        | Message::Copy { percent, .. } => *percent,
        Message::FreeSpace
        | Message::Purge { .. }
        | Message::Contents { .. }
        | Message::CreateDirectory { .. }
        | Message::Unknown(_)
        | Message::VersionExchange { .. }
        | Message::DeviceReady
        | Message::Process(_)
        | Message::Disconnect => 0.0,
    }
}

/// Says whether all content has arrived.
fn is_late(phase: Phase) -> bool {
    matches!(phase, Phase::Moving | Phase::Removing | Phase::Verifying)
}
