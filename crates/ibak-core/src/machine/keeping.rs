//! What becomes of the store around the backups: what goes after a commit, whose share is how large,
//! who is retired, forgotten or replaced, and when nothing else may touch it.

use super::Machine;
use super::job::Job;
use super::phone::Phone;
use crate::retention::{Candidate, retain};
use crate::{
    Answer, Attention, Automatic, BackupId, Bytes, ClockTrust, Demand, Effect, Extent, JobKind,
    Now, PhoneShare, RequestError, StoreComplaint, Udid, Upkeep,
};

impl Machine {
    /// Removes what no rule keeps, once the store has told what it holds after a commit.
    pub(super) fn retain_after_commit(&mut self, effects: &mut Vec<Effect>) {
        let clock = self.clock.trust();
        let due = self
            .phones
            .values()
            .filter(|phone| phone.retain_due && phone.backups_read)
            .map(|phone| phone.udid.clone());
        let due: Vec<Udid> = due.collect();
        for udid in due {
            // One that talks about a backup goes first.
            if self.job_of(&udid).is_some_and(|job| job.is_running()) {
                continue;
            }
            let keep = self.policy(&udid).keep;
            let Some(phone) = self.phones.get_mut(&udid) else {
                continue;
            };
            phone.retain_due = false;
            let candidates: Vec<Candidate> = phone
                .backups
                .iter()
                .map(|it| it.facts.candidate())
                .collect();
            let mut backups: Vec<BackupId> = retain(&candidates, keep, clock)
                .into_iter()
                .filter(|fate| fate.reasons.is_empty())
                .map(|fate| fate.id)
                .collect();
            backups.reverse();
            if !backups.is_empty() {
                effects.push(Effect::RemoveBackups {
                    phone: udid,
                    backups,
                });
            }
        }
    }

    pub(super) fn share_of(&self, phone: &Phone) -> PhoneShare {
        PhoneShare {
            used: phone.used,
            quota: phone.quota,
        }
    }

    pub(super) fn set_quota(
        &mut self,
        udid: &Udid,
        quota: Option<Bytes>,
    ) -> Result<Answer, RequestError> {
        let phone = self.phones.get_mut(udid).ok_or(RequestError::NoSuchPhone)?;
        let before = std::mem::replace(&mut phone.quota, quota);
        Ok(changed(before != quota))
    }

    pub(super) fn set_retired(
        &mut self,
        udid: &Udid,
        retired: bool,
    ) -> Result<Answer, RequestError> {
        if let Some(job) = self.job_of(udid) {
            return Err(RequestError::Busy { job: job.id });
        }
        let phone = self.phones.get_mut(udid).ok_or(RequestError::NoSuchPhone)?;
        let before = std::mem::replace(&mut phone.retired, retired);
        Ok(changed(before != retired))
    }

    pub(super) fn forget(
        &mut self,
        udid: &Udid,
        effects: &mut Vec<Effect>,
    ) -> Result<Answer, RequestError> {
        if !self.phones.contains_key(udid) {
            return Err(RequestError::NoSuchPhone);
        }
        let mine = |job: &&Job| job.phone.as_ref() == Some(udid) && !job.has_ended();
        if let Some(job) = self.jobs.values().find(mine) {
            return Err(RequestError::Busy { job: job.id });
        }
        let phone = self.phones.remove(udid);
        let now = self.now;
        effects.push(Effect::Forget(udid.clone()));
        // One that is there is met anew.
        if let Some(before) = phone.filter(|phone| phone.reach.best().is_some())
            && let Some(phone) = self.phone_mut(udid, now)
        {
            phone.identity = before.identity;
            phone.set_reach(before.reach, now);
            phone.automatic = Some(Automatic::Off);
        }
        Ok(Answer::Done)
    }

    pub(super) fn replace(&mut self, old: &Udid, new: &Udid) -> Result<Answer, RequestError> {
        if old == new {
            return Err(RequestError::SamePhone);
        }
        if let Some(job) = self.job_of(old) {
            return Err(RequestError::Busy { job: job.id });
        }
        let before = self.phones.get(old).ok_or(RequestError::NoSuchPhone)?;
        let (quota, automatic) = (before.quota, self.automatic_wish(before));
        let was_retired = before.retired;
        let next = self.phones.get_mut(new).ok_or(RequestError::NoSuchPhone)?;
        let same = was_retired && next.quota == quota && !next.retired;
        if same {
            return Ok(Answer::AlreadyThere);
        }
        next.quota = quota;
        next.retired = false;
        next.automatic = Some(automatic);
        if let Some(before) = self.phones.get_mut(old) {
            before.retired = true;
        }
        Ok(Answer::Done)
    }

    /// Begins to move the store; everybody else lets go of it before and comes back after.
    pub(super) fn request_move(
        &mut self,
        now: Now,
        effects: &mut Vec<Effect>,
    ) -> Result<Answer, RequestError> {
        if self.stopping {
            return Err(RequestError::Stopping);
        }
        let holds = |job: &&Job| job.kind.uses_store() && job.is_running();
        if let Some(job) = self.jobs.values().find(holds) {
            return Err(RequestError::StoreInUse { job: job.id });
        }
        let kind = JobKind::MoveStore;
        let id = self.accept(None, kind, Demand::AtOnce, Extent::Changes, now);
        self.start(id, effects);
        Ok(Answer::Job(id))
    }

    /// Returns the job that moves the store, if one does.
    pub(super) fn moving(&self) -> Option<&Job> {
        let moves = |job: &&Job| job.kind == JobKind::MoveStore && !job.has_ended();
        self.jobs.values().find(moves)
    }

    /// Says whether upkeep may work: only while no job needs the disk.
    pub(super) fn upkeep(&self) -> Upkeep {
        let busy = self
            .jobs
            .values()
            .any(|job| job.is_running() && job.kind.uses_store());
        if busy || self.stopping || !self.recovered {
            Upkeep::Rests
        } else {
            Upkeep::May
        }
    }

    pub(super) fn tell_made_room(
        &mut self,
        udid: &Udid,
        removed: u32,
        freed: Bytes,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        let message = Attention::MadeRoom { removed, freed };
        self.tell(Some(udid), message, now, effects);
    }

    pub(super) fn tell_damage(
        &mut self,
        udid: &Udid,
        backups: u32,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        let message = Attention::StoreTrouble(StoreComplaint::Damage(backups));
        self.tell(Some(udid), message, now, effects);
    }

    /// Tells whether dates can be believed.
    pub(super) fn clock_trust(&self) -> ClockTrust {
        self.clock.trust()
    }
}

const fn changed(changed: bool) -> Answer {
    if changed {
        Answer::Done
    } else {
        Answer::AlreadyThere
    }
}
