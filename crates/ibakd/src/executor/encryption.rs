//! Setting, changing or removing the password of a phone's backups.
//!
//! The phone changes the Manifest.plist of its newest backup with it. It works on a working copy,
//! which the next backup goes on with: so a changed password costs no full backup, and the
//! committed backups stay under the password they were made with.

use super::backup::{Doubt, begin, prepare, put_away};
use super::work::Opened;
use super::{End, PhoneWork, StagingVault, blocking};
use ibak_core::{Bytes, Errand, Failure, JobResult, Outcome, Phase, Secret};
use ibak_mobilebackup2::Deed;
use ibak_store::{Full, Staging, Store, StoreError};
use tracing::{info, warn};

/// All that a change of the password needs.
pub struct EncryptionJob {
    /// The phone and the way to it.
    pub work: PhoneWork,
    /// Which change it is.
    pub errand: Errand,
    /// Where backups lie.
    pub store: Store,
    /// The most bytes that backups may use.
    pub quota: Option<Bytes>,
    /// The present password, if there is one.
    pub old: Option<Secret>,
    /// The new password; `None` removes it.
    pub new: Option<Secret>,
    /// Whether the phone's management demands encrypted backups.
    pub required: bool,
}

impl EncryptionJob {
    /// Runs it to its end.
    pub async fn run(self) -> End {
        if self.required && self.new.is_none() {
            return End::early(Outcome::failed(
                Failure::EncryptionRequired,
                "whoever manages this phone demands encrypted backups",
            ));
        }
        self.work.reporter.phase(Phase::Connecting).await;
        match prepare(&self.work, self.work.announce(), self.lay_out()).await {
            Ok((opened, staging)) => self.converse(opened, staging).await,
            Err(outcome) => End::early(outcome),
        }
    }

    /// Lays out a working copy of the newest backup. What an interrupted backup left was made under
    /// the present password and cannot be gone on with under another: it is let go. A copy that
    /// holds an earlier change is the newest the phone knows of.
    async fn lay_out(&self) -> Result<Staging, StoreError> {
        let staging = begin(&self.work, &self.store, self.quota, Full::IfNeeded).await?;
        if !staging.resumed() || staging.phase() == ibak_store::Phase::Rekeyed {
            return Ok(staging);
        }
        blocking(move || staging.discard()).await?;
        begin(&self.work, &self.store, self.quota, Full::IfNeeded).await
    }

    async fn converse(mut self, opened: Opened, staging: Staging) -> End {
        let vault = StagingVault {
            // It writes a few plists.
            room: None,
            staging,
            clock: self.work.clock.clone(),
        };
        let deed = Deed::ChangePassword {
            old: self.old.take(),
            new: self.new.take(),
        };
        let talked = self.work.converse(opened, vault, deed, None).await;
        let told = talked.told();
        let ended = talked.ended;
        let device_code = ended.outcome.device_code();
        let outcome = match told {
            None => {
                self.keep(ended.vault.staging).await;
                info!(change = ?self.errand, "the backup password has changed");
                Outcome::Done
            }
            Some(outcome) => {
                put_away(ended.vault.staging, Doubt::None, &self.work.clock).await;
                explained(outcome)
            }
        };
        End {
            device_code,
            ..End::early(outcome)
        }
    }

    /// Keeps the working copy for the next backup. Without one that backup is a full one, which
    /// costs time and room, and nothing else.
    async fn keep(&self, staging: Staging) {
        let worth_it = staging.parent().is_some() || staging.resumed();
        let clock = self.work.clock.clone();
        let kept = blocking(move || {
            if worth_it {
                staging.keep_rekeyed(clock.now())
            } else {
                staging.discard().map(|()| false)
            }
        })
        .await;
        if let Err(error) = kept {
            warn!(%error, "the working copy with the new password cannot be kept; the next backup sends everything");
        }
    }
}

/// In this conversation the phone's 207 says one thing only.
fn explained(outcome: Outcome) -> Outcome {
    if outcome.result() != JobResult::Failed(Failure::Encryption) {
        return outcome;
    }
    Outcome::failed(Failure::WrongPassword, outcome.detail())
}
