//! Reading one backup again, for a person who wants to know.

use super::counted::{Counted, told};
use super::unlock::of_reading;
use super::{End, Reporter, Stop, blocking};
use crate::clock::Clock;
use ibak_core::{BackupId, Failure, Outcome, Phase, Udid};
use ibak_store::Store;
use std::ops::ControlFlow;
use std::sync::Arc;
use tracing::{info, warn};

/// All that a verification needs; the phone is not among it.
pub struct VerifyJob {
    /// Whose backup it is.
    pub phone: Udid,
    /// Where backups lie.
    pub store: Store,
    /// Which backup.
    pub backup: BackupId,
    /// For the date of the reading.
    pub clock: Clock,
    /// Where reports go.
    pub reporter: Reporter,
    /// Ends it.
    pub stop: Stop,
}

impl VerifyJob {
    /// Runs it to its end.
    pub async fn run(self) -> End {
        let Self {
            phone,
            store,
            backup,
            clock,
            reporter,
            stop,
        } = self;
        reporter.phase(Phase::Verifying).await;
        let counted = Arc::new(Counted::default());
        let (counting, asked) = (Arc::clone(&counted), stop.clone());
        let work = blocking(move || {
            store.verify(&phone, &backup, clock.now().wall, &mut |seen| {
                counting.expect(seen.bytes_total);
                counting.set(seen.files, seen.bytes);
                match asked.why() {
                    None => ControlFlow::Continue(()),
                    Some(_) => ControlFlow::Break(()),
                }
            })
        });
        let report = told(work, &counted, &reporter).await;
        let (files, bytes) = counted.read();
        let outcome = match report {
            Ok(report) if report.is_good() => {
                info!(files, bytes, "read again: all of it is as it was received");
                Outcome::Done
            }
            Ok(report) => {
                warn!(
                    missing = report.missing.len(),
                    damaged = report.damaged.len(),
                    extra = report.extra.len(),
                    structure = report.structure,
                    "reading it again found damage"
                );
                let bad = report.missing.len() + report.damaged.len() + report.extra.len();
                let words = match report.structure {
                    Some(structure) if bad == 0 => structure,
                    Some(_) | None => format!("{bad} of its files are damaged or lost"),
                };
                Outcome::failed(Failure::BackupDamaged, words)
            }
            Err(error) => of_reading(&error, &stop),
        };
        End {
            files,
            bytes,
            ..End::early(outcome)
        }
    }
}
