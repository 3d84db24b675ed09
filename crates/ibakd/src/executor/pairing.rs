//! One pairing: the person is guided on the phone's screen, the record is stored.

use super::outcome::of_device;
use super::{End, Reporter, Stop};
use ibak_core::{Outcome, Phase};
use ibak_device::{Attachment, MuxAddress, PairOptions, PairStore, pair};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Events kept for the reporter.
const EVENTS_MAX: usize = 8;

/// All that one pairing needs.
#[derive(Debug)]
pub struct PairJob {
    /// Where usbmuxd listens.
    pub address: MuxAddress,
    /// The phone on the cable.
    pub phone: Attachment,
    /// Where records are kept.
    pub records: Arc<PairStore>,
    /// How.
    pub options: PairOptions,
    /// Where reports go.
    pub reporter: Reporter,
    /// Ends it.
    pub stop: Stop,
}

impl PairJob {
    /// Runs it to its end.
    pub async fn run(self) -> End {
        self.reporter.phase(Phase::Connecting).await;
        let (events, mut told) = mpsc::channel(EVENTS_MAX);
        let asking = pair(
            &self.address,
            &self.phone,
            &self.records,
            &self.options,
            &events,
        );
        let token = self.stop.token();
        let telling = async {
            while let Some(event) = told.recv().await {
                tracing::debug!(?event, "pairing");
                self.reporter.phase(Phase::Asking).await;
            }
            std::future::pending().await
        };
        let outcome = tokio::select! {
            paired = asking => match paired {
                Ok(_) => Outcome::Paired,
                Err(error) => of_device(&error),
            },
            () = token.cancelled() => self.stop.outcome(),
            () = telling => Outcome::Cancelled,
        };
        End::early(outcome)
    }
}
