//! What the daemon shows on its bus, waited for.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use ibak_core::{JobId, Udid};
use ibak_dbus::views::{JobView, PhoneView};
use ibak_dbus::words::{ConditionName, ConditionStatus, Outcome, Trust};
use ibak_dbus::{Mirror, MirrorEvent, MirrorState};

use super::{LONG_MAX, WAIT_MAX, last_lines};

/// A view of the daemon that can wait.
pub struct Watcher {
    pub(super) mirror: Mirror,
    pub(super) log: PathBuf,
}

impl Watcher {
    /// Returns what the daemon shows.
    pub fn state(&self) -> &MirrorState {
        self.mirror.state()
    }

    /// Waits until the daemon shows what is wanted.
    ///
    /// # Errors
    /// It does not in time; what it shows instead is told.
    pub async fn until<T>(
        &mut self,
        what: &str,
        wanted: impl Fn(&MirrorState) -> Option<T>,
    ) -> Result<T> {
        self.until_within(WAIT_MAX, what, wanted).await
    }

    async fn until_within<T>(
        &mut self,
        longest: Duration,
        what: &str,
        wanted: impl Fn(&MirrorState) -> Option<T>,
    ) -> Result<T> {
        let deadline = tokio::time::Instant::now() + longest;
        loop {
            if let Some(found) = wanted(self.mirror.state()) {
                return Ok(found);
            }
            let next = tokio::time::timeout_at(deadline, self.mirror.next()).await;
            let event = next.with_context(|| {
                format!(
                    "waited for: {what}\n{:#?}\n{:#?}\n{}",
                    self.mirror.state().phones(),
                    self.mirror.state().jobs(),
                    last_lines(&self.log)
                )
            })?;
            match event? {
                MirrorEvent::Changed
                | MirrorEvent::Attention { .. }
                | MirrorEvent::Completed { .. }
                | MirrorEvent::Lost
                | MirrorEvent::Back => {}
            }
        }
    }

    /// Waits until a phone is as wanted.
    ///
    /// # Errors
    /// As [`Watcher::until`].
    pub async fn phone(
        &mut self,
        udid: &Udid,
        what: &str,
        wanted: impl Fn(&PhoneView) -> bool,
    ) -> Result<PhoneView> {
        self.until(what, |state| state.phone(udid).filter(&wanted))
            .await
    }

    /// Waits until a phone could be backed up if somebody asked: it is there and trusted, and there is room.
    ///
    /// # Errors
    /// As [`Watcher::until`].
    pub async fn ready(&mut self, udid: &Udid) -> Result<PhoneView> {
        self.phone(udid, "a phone that can be backed up", |phone| {
            phone.trust == Trust::Trusted
                && !phone.transports.is_empty()
                && phone.current_job.is_none()
                && phone.condition(&ConditionName::Space).status == ConditionStatus::Met
        })
        .await
    }

    /// Waits until a job is as wanted.
    ///
    /// # Errors
    /// As [`Watcher::until`].
    pub async fn job(
        &mut self,
        id: JobId,
        what: &str,
        wanted: impl Fn(&JobView) -> bool,
    ) -> Result<JobView> {
        self.until(what, |state| state.job(id).filter(&wanted))
            .await
    }

    /// Waits until a job has ended and returns how.
    ///
    /// # Errors
    /// As [`Watcher::until`].
    pub async fn end_of(&mut self, id: JobId) -> Result<Outcome> {
        let job = self.job(id, "the job's end", JobView::ended).await?;
        job.result.context("an ended job without a result")
    }

    /// Is [`Watcher::end_of`] for a job with much to do.
    ///
    /// # Errors
    /// As [`Watcher::until`].
    pub async fn long_end_of(&mut self, id: JobId) -> Result<Outcome> {
        let ended = |state: &MirrorState| state.job(id).filter(JobView::ended);
        let job = self.until_within(LONG_MAX, "the job's end", ended).await?;
        job.result.context("an ended job without a result")
    }
}
