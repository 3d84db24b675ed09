//! Switching iCloud Backup on the phone: one conversation without a file in it.

use super::outcome::of_device;
use super::{End, PhoneWork};
use ibak_core::{Outcome, Phase};
use ibak_mobilebackup2::{Deed, NoVault};

/// All that the switch needs.
pub struct ICloudJob {
    /// The phone and the way to it.
    pub work: PhoneWork,
    /// On or off.
    pub on: bool,
}

impl ICloudJob {
    /// Runs it to its end.
    pub async fn run(self) -> End {
        let work = self.work;
        work.reporter.phase(Phase::Connecting).await;
        let token = work.stop.token();
        let opened = tokio::select! {
            opened = work.announce() => opened,
            () = token.cancelled() => return End::early(work.stopped()),
        };
        let opened = match opened {
            Ok(opened) => opened,
            Err(error) => return End::early(of_device(&error)),
        };
        let deed = Deed::EnableCloudBackup { on: self.on };
        let talked = work.converse(opened, NoVault, deed, None).await;
        End {
            device_code: talked.ended.outcome.device_code(),
            ..End::early(talked.told().unwrap_or(Outcome::Done))
        }
    }
}
