//! What the daemon announces, heard to the last word, also after its death.

use std::time::Duration;

use anyhow::{Context, Result};
use ibak_core::{JobId, Udid};
use ibak_dbus::views::PhoneView;
use ibak_dbus::words::{AttentionKind, ConditionName, ConditionStatus, Outcome, Trust};
use ibak_dbus::{BusChoice, Dict, Mirror, MirrorEvent, MirrorState};
use ibak_tests::trouble::House;

/// How long anything may take before the test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client that forgets nothing it was told.
pub struct Ear {
    mirror: Mirror,
    /// How jobs ended, in order.
    pub ended: Vec<(JobId, Outcome)>,
    /// What was drawn attention to, in order.
    pub attentions: Vec<(AttentionKind, Dict)>,
}

impl Ear {
    /// Listens from here on.
    pub async fn open(house: &House) -> Result<Self> {
        let connection = BusChoice::Address(house.bus_address()).connect().await?;
        Ok(Self {
            mirror: Mirror::open(&connection).await?,
            ended: Vec::new(),
            attentions: Vec::new(),
        })
    }

    pub fn state(&self) -> &MirrorState {
        self.mirror.state()
    }

    /// Hears one thing.
    pub async fn next(&mut self) -> Result<MirrorEvent> {
        let event = self.mirror.next().await?;
        match &event {
            MirrorEvent::Completed { job, result, .. } => self.ended.push((*job, result.clone())),
            MirrorEvent::Attention { kind, details, .. } => {
                self.attentions.push((kind.clone(), details.clone()));
            }
            MirrorEvent::Changed | MirrorEvent::Lost | MirrorEvent::Back => {}
        }
        Ok(event)
    }

    /// Listens until this is so.
    pub async fn until<T>(
        &mut self,
        what: &str,
        mut find: impl FnMut(&Self) -> Option<T>,
    ) -> Result<T> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            if let Some(found) = find(self) {
                return Ok(found);
            }
            tokio::time::timeout_at(deadline, self.next())
                .await
                .with_context(|| {
                    format!(
                        "waited for: {what}\n{:#?}\n{:#?}\n{:#?}",
                        self.state().phones(),
                        self.state().jobs(),
                        self.attentions
                    )
                })??;
        }
    }

    /// Waits until a phone could be backed up if somebody asked.
    pub async fn ready(&mut self, udid: &Udid) -> Result<PhoneView> {
        self.until("a phone that can be backed up", |ear| {
            ear.state().phone(udid).filter(|phone| {
                phone.trust == Trust::Trusted
                    && !phone.transports.is_empty()
                    && phone.current_job.is_none()
                    && phone.condition(&ConditionName::Space).status == ConditionStatus::Met
            })
        })
        .await
    }

    /// Returns how a job ended, once it has.
    pub async fn end_of(&mut self, job: JobId) -> Result<Outcome> {
        self.until("the job's end", |ear| ear.outcome(job)).await
    }

    /// Returns how a job ended, if it did.
    pub fn outcome(&self, job: JobId) -> Option<Outcome> {
        self.ended
            .iter()
            .rev()
            .find(|(id, _)| *id == job)
            .map(|(_, outcome)| outcome.clone())
    }

    /// Listens until the daemon has left the bus: what it said before is heard by then.
    pub async fn until_gone(&mut self) -> Result<()> {
        self.until("the daemon gone from the bus", |ear| {
            ear.state().manager().is_none().then_some(())
        })
        .await
    }
}
