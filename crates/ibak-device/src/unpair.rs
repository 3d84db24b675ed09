//! Ending a pairing, on the phone and here, and saying what became of each.

use crate::{Deadlines, DeviceError, Link, MuxAddress, MuxClient, MuxRefusal};
use crate::{PairRecord, PairStore, Session};
use ibak_core::Udid;
use std::sync::Arc;

/// What became of the pairing on the phone.
#[derive(Debug)]
pub enum OnPhone {
    /// It does not trust this computer any more.
    Forgotten,
    /// It did not know this computer before.
    Unknown,
    /// It could not be reached, or did not answer: it may trust this computer still. Nobody has
    /// the key to that any more; Settings, Transfer or Reset, Reset Location & Privacy ends it.
    Failed(DeviceError),
    /// There was no record here to say who we are.
    NotAsked,
}

/// What became of usbmuxd's copy of the pairing.
#[derive(Debug)]
pub enum MuxCopy {
    /// It held the same pairing, and has removed it.
    Removed,
    /// It holds none, or one of another program's.
    Untouched,
    /// It could not be asked.
    Failed(DeviceError),
}

/// What ending a pairing came to.
#[derive(Debug)]
pub struct Unpaired {
    /// On the phone.
    pub phone: OnPhone,
    /// At usbmuxd, which would otherwise give the ended pairing back to us.
    pub usbmuxd: MuxCopy,
    /// Whether there was a record here; it is gone in any case.
    pub was_paired: bool,
}

/// Ends the pairing with a phone: asks the phone to forget us when there is a way to it, has
/// usbmuxd drop the same pairing, and removes our record, which succeeds without the other two.
///
/// `wire_udid` is the phone's UDID as usbmuxd spells it.
///
/// # Errors
/// [`DeviceError::Store`] when our record cannot be removed; then the phone has forgotten us or not.
pub async fn unpair(
    link: Option<&Link>,
    address: &MuxAddress,
    wire_udid: &str,
    store: &PairStore,
    udid: &Udid,
    deadlines: &Deadlines,
) -> Result<Unpaired, DeviceError> {
    let record = match store.load(udid) {
        Ok(record) => record.map(Arc::new),
        // One that cannot be read opens nothing, and goes as well.
        Err(DeviceError::BadRecord(reason)) => {
            tracing::debug!(reason, "the pairing record to be removed is unusable");
            None
        }
        Err(error) => return Err(error),
    };
    let (phone, usbmuxd) = match &record {
        None => (OnPhone::NotAsked, MuxCopy::Untouched),
        Some(record) => (
            on_phone(link, Arc::clone(record), udid, deadlines).await,
            at_usbmuxd(address, wire_udid, record, deadlines).await,
        ),
    };
    let was_paired = store.remove(udid)?;
    Ok(Unpaired {
        phone,
        usbmuxd,
        was_paired,
    })
}

async fn on_phone(
    link: Option<&Link>,
    record: Arc<PairRecord>,
    udid: &Udid,
    deadlines: &Deadlines,
) -> OnPhone {
    let Some(link) = link else {
        return OnPhone::Failed(DeviceError::Unreachable {
            address: udid.to_string(),
            reason: "it is neither on a cable nor on the network".into(),
        });
    };
    let mut session = match Session::open(link, record, udid, deadlines).await {
        Ok(session) => session,
        Err(error) if error.is_not_paired() => return OnPhone::Unknown,
        Err(error) => return OnPhone::Failed(error),
    };
    match session.unpair().await {
        Ok(()) => OnPhone::Forgotten,
        // It hung up, was asked again in a new session, and knew us no more.
        Err(error) if error.is_not_paired() => OnPhone::Forgotten,
        Err(error) => OnPhone::Failed(error),
    }
}

async fn at_usbmuxd(
    address: &MuxAddress,
    wire_udid: &str,
    record: &PairRecord,
    deadlines: &Deadlines,
) -> MuxCopy {
    let removed = async {
        let mut client = MuxClient::open(address, deadlines).await?;
        let theirs = match client.read_pair_record(wire_udid).await {
            Ok(theirs) => theirs,
            // As for an import: so it says that it has none.
            Err(DeviceError::MuxRefused(MuxRefusal::BadDevice | MuxRefusal::Other(_))) => {
                return Ok(MuxCopy::Untouched);
            }
            Err(error) => return Err(error),
        };
        if PairRecord::parse(&theirs)?.host_id() != record.host_id() {
            return Ok(MuxCopy::Untouched);
        }
        MuxClient::open(address, deadlines)
            .await?
            .delete_pair_record(wire_udid)
            .await?;
        Ok(MuxCopy::Removed)
    };
    removed.await.unwrap_or_else(MuxCopy::Failed)
}
