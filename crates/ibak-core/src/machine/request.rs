//! What a person asks for, answered at once: a job, "done", or the reason why not.

use super::Machine;
use super::job::Job;
use crate::{
    Answer, Automatic, Demand, Effect, Extent, JobId, JobKind, Now, Outcome, Pause, Request,
    RequestError, StopWhy, Trust, Udid, Unmet, Verdict, When,
};

impl Machine {
    pub(super) fn request(
        &mut self,
        request: Request,
        now: Now,
        effects: &mut Vec<Effect>,
    ) -> Result<Answer, RequestError> {
        match request {
            Request::BackUp { phone, when, full } => self.request_backup(&phone, when, full, now),
            Request::Pair { phone } => self.request_pairing(&phone, now),
            Request::Errand { phone, errand } => self.request_errand(&phone, errand, now, effects),
            Request::Cancel { job } => self.request_cancel(job, now, effects),
            Request::Pause { until } => {
                if until.is_some_and(|until| until <= now.wall) {
                    return Err(RequestError::PauseInThePast);
                }
                let same = self.pause == Some(Pause { until });
                self.pause = Some(Pause { until });
                Ok(if same {
                    Answer::AlreadyThere
                } else {
                    Answer::Done
                })
            }
            Request::Resume => Ok(if self.pause.take().is_some() {
                Answer::Done
            } else {
                Answer::AlreadyThere
            }),
            Request::SetQuota { phone, quota } => self.set_quota(&phone, quota),
            Request::SetRetired { phone, retired } => self.set_retired(&phone, retired),
            Request::Forget { phone } => self.forget(&phone, effects),
            Request::Replace { old, new } => self.replace(&old, &new),
            Request::MoveStore => self.request_move(now, effects),
            Request::SetAutomatic { phone, automatic } => self.set_automatic(&phone, automatic),
            Request::UnsetAutomatic { phone } => self.unset_automatic(&phone),
        }
    }

    /// Accepts a backup when what is known does not forbid it. What is not known yet (the room
    /// needed, a pairing not tried) is given a moment, in which the job waits.
    fn request_backup(
        &mut self,
        udid: &Udid,
        when: When,
        extent: Extent,
        now: Now,
    ) -> Result<Answer, RequestError> {
        self.evaluate_one(udid, now);
        let phone = self.phones.get(udid).ok_or(RequestError::NoSuchPhone)?;
        if self.stopping {
            return Err(RequestError::Stopping);
        }
        if let Some(job) = self.job_of(udid) {
            return Err(RequestError::Busy { job: job.id });
        }
        if phone.trust == Trust::Untrusted {
            return Err(RequestError::NotTrusted);
        }
        let demand = match when {
            When::AtOnce => Demand::AtOnce,
            When::Ready => Demand::WhenReady,
        };
        if demand == Demand::AtOnce {
            if phone.reach.best().is_none() {
                return Err(RequestError::NotConnected);
            }
            match self.space_for(udid, extent, now).0 {
                Verdict::Unmet(Unmet::NoRoom(room)) => return Err(RequestError::NoSpace(room)),
                Verdict::Unmet(Unmet::Store(trouble)) => {
                    return Err(RequestError::StoreUnavailable(trouble));
                }
                Verdict::Unmet(_) | Verdict::Met(_) | Verdict::Unknown(_) => {}
            }
        }
        Ok(Answer::Job(self.accept(
            Some(udid),
            JobKind::Backup,
            demand,
            extent,
            now,
        )))
    }

    fn request_pairing(&mut self, udid: &Udid, now: Now) -> Result<Answer, RequestError> {
        let phone = self.phones.get(udid).ok_or(RequestError::NoSuchPhone)?;
        if self.stopping {
            return Err(RequestError::Stopping);
        }
        if let Some(job) = self.job_of(udid) {
            return Err(RequestError::Busy { job: job.id });
        }
        if !phone.reach.usb {
            let nowhere = phone.reach.best().is_none();
            return Err(if nowhere {
                RequestError::NotConnected
            } else {
                RequestError::NeedsCable
            });
        }
        Ok(Answer::Job(self.accept(
            Some(udid),
            JobKind::Pair,
            Demand::AtOnce,
            Extent::Changes,
            now,
        )))
    }

    pub(super) fn accept(
        &mut self,
        udid: Option<&Udid>,
        kind: JobKind,
        demand: Demand,
        extent: Extent,
        now: Now,
    ) -> JobId {
        let id = self.next_job;
        self.next_job = JobId::new(id.get().saturating_add(1));
        self.jobs
            .insert(id, Job::new(id, udid.cloned(), kind, demand, extent, now));
        id
    }

    fn request_cancel(
        &mut self,
        id: JobId,
        now: Now,
        effects: &mut Vec<Effect>,
    ) -> Result<Answer, RequestError> {
        let job = self
            .jobs
            .get(&id)
            .filter(|job| !job.has_ended())
            .ok_or(RequestError::NoSuchJob)?;
        if job.is_queued() {
            self.finish(id, Outcome::Cancelled, now, effects);
            return Ok(Answer::Done);
        }
        Ok(if self.stop(id, StopWhy::ByUser, effects) {
            Answer::Done
        } else {
            Answer::AlreadyThere
        })
    }

    fn unset_automatic(&mut self, udid: &Udid) -> Result<Answer, RequestError> {
        let phone = self.phones.get_mut(udid).ok_or(RequestError::NoSuchPhone)?;
        Ok(match phone.automatic.take() {
            Some(_) => Answer::Done,
            None => Answer::AlreadyThere,
        })
    }

    fn set_automatic(&mut self, udid: &Udid, automatic: Automatic) -> Result<Answer, RequestError> {
        let phone = self.phones.get(udid).ok_or(RequestError::NoSuchPhone)?;
        let before = self.automatic(phone);
        if let Some(phone) = self.phones.get_mut(udid) {
            phone.automatic = Some(automatic);
            // Who wants it backed up again has it back.
            phone.retired &= automatic == Automatic::Off;
        }
        Ok(if before == automatic {
            Answer::AlreadyThere
        } else {
            Answer::Done
        })
    }
}
