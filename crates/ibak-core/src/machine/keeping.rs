//! What becomes of the store around the backups: what goes and when, whose share is how large, who
//! is retired, forgotten or replaced, and when nothing else may touch it.

use super::Machine;
use super::job::Job;
use super::phone::Phone;
use crate::retention::{Candidate, Fate, retain_at};
use crate::{
    Answer, Attention, Automatic, BackupId, Bytes, ClockTrust, Day, Demand, Effect, Extent, JobId,
    JobKind, Keep, Now, PhoneShare, Policies, RequestError, StoreComplaint, StoreReport, Udid,
    Unmet, Upkeep, Verdict,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// For how long a store that was copied is left alone: in that time the configuration is to name
/// the copy. What would be written meanwhile would be missing there.
pub const RELOAD_MAX: Duration = Duration::from_secs(120);

impl Machine {
    /// Says why each backup of a phone will stay, newest first, once it has one more, made `today`:
    /// one without a reason goes then. Empty for an unknown phone.
    pub fn fates(&self, phone: &Udid, today: Day) -> Vec<Fate> {
        let Some(phone) = self.phones.get(phone) else {
            return Vec::new();
        };
        let next = Candidate {
            id: BackupId::last(),
            day: today,
            verified: true,
            pinned: false,
        };
        let mut fates = self.fates_of(phone, Some(next), self.now);
        fates.retain(|fate| fate.id != BackupId::last());
        fates
    }

    fn fates_of(&self, phone: &Phone, next: Option<Candidate>, now: Now) -> Vec<Fate> {
        let facts = phone.backups.iter().map(|it| it.facts.candidate());
        let candidates: Vec<Candidate> = facts.chain(next).collect();
        let keep = self.policy(&phone.udid).keep;
        retain_at(&candidates, keep, self.clock.trust(), now.wall)
    }

    /// Removes what no rule keeps, once the store has told what it holds: after a commit, when the
    /// rules have changed, once after a start, and when the next backup has no room.
    pub(super) fn remove_what_is_not_kept(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if self.stopping || !self.recovered || self.store_is_gone() || self.moving().is_some() {
            return;
        }
        let steady = self.clock.trust() == ClockTrust::Steady;
        let mut plans = Vec::new();
        for phone in self.phones.values().filter(|phone| phone.backups_read) {
            let occasion = phone.retention_due || (steady && lacks_room(phone));
            if !occasion {
                continue;
            }
            let mine = |job: &Job| job.phone.as_ref() == Some(&phone.udid) && job.is_running();
            if self.jobs.values().any(mine) {
                continue;
            }
            // A clock that was set back makes the newest look old.
            let goes =
                |fate: &Fate| fate.reasons.is_empty() && phone.committed.as_ref() != Some(&fate.id);
            let gone = self.fates_of(phone, None, now).into_iter().filter(goes);
            let backups: Vec<BackupId> = gone.map(|fate| fate.id).rev().collect();
            plans.push((phone.udid.clone(), backups));
        }
        for (udid, backups) in plans {
            if let Some(phone) = self.phones.get_mut(&udid) {
                phone.retention_due = false;
                phone.room_sought = steady;
            }
            if !backups.is_empty() {
                let phone = udid;
                effects.push(Effect::RemoveBackups { phone, backups });
            }
        }
    }

    /// Takes in new policies; where other backups are to be kept, what no rule keeps any more goes.
    pub(super) fn set_policies(&mut self, policies: Policies) {
        let before: BTreeMap<Udid, Keep> = self
            .phones
            .keys()
            .map(|udid| (udid.clone(), self.policy(udid).keep))
            .collect();
        self.policies = policies;
        for (udid, keep) in before {
            if keep != self.policy(&udid).keep {
                self.look_at_what_is_kept(&udid);
            }
        }
    }

    /// Lets retention look at a phone's backups; those of a retired one are kept as they are.
    pub(super) fn look_at_what_is_kept(&mut self, udid: &Udid) {
        if let Some(phone) = self.phones.get_mut(udid).filter(|phone| !phone.retired) {
            phone.retention_due = true;
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
        if let Some(job) = self.moving() {
            return Err(RequestError::StoreMoving { job });
        }
        if let Some(job) = self.any_job_of(udid) {
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
        let (quota, automatic, was_retired) = (before.quota, before.automatic, before.retired);
        let next = self.phones.get_mut(new).ok_or(RequestError::NoSuchPhone)?;
        let there = next.quota == quota && next.automatic == automatic && !next.retired;
        if was_retired && there {
            return Ok(Answer::AlreadyThere);
        }
        next.quota = quota;
        next.retired = false;
        next.automatic = automatic;
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
        if let Some(job) = self.moving() {
            return Err(RequestError::StoreMoving { job });
        }
        let kind = JobKind::MoveStore;
        let id = self.accept(None, kind, Demand::AtOnce, Extent::Changes, now);
        self.start(id, effects);
        Ok(Answer::Job(id))
    }

    /// Returns the job that moves the store, if one does or did and the copy is not there yet.
    pub fn moving(&self) -> Option<JobId> {
        let moves = |job: &&Job| job.kind == JobKind::MoveStore && !job.has_ended();
        let job = self.jobs.values().find(moves).map(|job| job.id);
        job.or(self.moved.map(|(job, _)| job))
    }

    /// Returns the job of this phone that has not ended, if there is one.
    pub(super) fn any_job_of(&self, udid: &Udid) -> Option<&Job> {
        let mine = |job: &&Job| job.phone.as_ref() == Some(udid) && !job.has_ended();
        self.jobs.values().find(mine)
    }

    fn store_is_gone(&self) -> bool {
        self.store.is_some_and(|seen| match seen.report {
            StoreReport::Unavailable(_) => true,
            StoreReport::Open(_) => false,
        })
    }

    /// Says whether upkeep may work: only while the store is there and no job needs it.
    pub(super) fn upkeep(&self) -> Upkeep {
        let busy = self
            .jobs
            .values()
            .any(|job| job.is_running() && job.kind.uses_store());
        let away = self.store_is_gone() || self.moving().is_some();
        if busy || away || self.stopping || !self.recovered {
            Upkeep::Rests
        } else {
            Upkeep::May
        }
    }

    /// Notes what a person is to hear of the store, now or when a message may go out again: it
    /// happened once, and nobody will say it a second time.
    pub(super) fn note_made_room(&mut self, udid: &Udid, removed: u32, freed: Bytes) {
        if let Some(phone) = self.phones.get_mut(udid) {
            let (before, freed_before) = phone.made_room.unwrap_or_default();
            let freed = Bytes::new(freed_before.get().saturating_add(freed.get()));
            phone.made_room = Some((before.saturating_add(removed), freed));
        }
    }

    pub(super) fn note_damage(&mut self, udid: &Udid, backups: u32) {
        if let Some(phone) = self.phones.get_mut(udid) {
            phone.damaged = phone.damaged.saturating_add(backups);
        }
    }

    /// Tells what was noted, also of a retired phone: what is left of it is all there is.
    pub(super) fn tell_what_befell_backups(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let noted = |phone: &&Phone| phone.damaged > 0 || phone.made_room.is_some();
        let noted: Vec<Udid> = self
            .phones
            .values()
            .filter(noted)
            .map(|it| it.udid.clone())
            .collect();
        for udid in noted {
            let Some(phone) = self.phones.get(&udid) else {
                continue;
            };
            let (damaged, made_room) = (phone.damaged, phone.made_room);
            let message = Attention::StoreTrouble(StoreComplaint::Damage(damaged));
            if damaged > 0
                && self.tell(Some(&udid), message, now, effects)
                && let Some(phone) = self.phones.get_mut(&udid)
            {
                phone.damaged = 0;
            }
            if let Some((removed, freed)) = made_room
                && self.tell(
                    Some(&udid),
                    Attention::MadeRoom { removed, freed },
                    now,
                    effects,
                )
                && let Some(phone) = self.phones.get_mut(&udid)
            {
                phone.made_room = None;
            }
        }
    }

    /// Tells whether dates can be believed.
    pub(super) fn clock_trust(&self) -> ClockTrust {
        self.clock.trust()
    }
}

/// Tells whether the next backup has no room, and nobody has looked yet what of these may go.
fn lacks_room(phone: &Phone) -> bool {
    let no_room = matches!(
        phone.conditions.space.verdict,
        Verdict::Unmet(Unmet::NoRoom(_))
    );
    no_room && !phone.room_sought && !phone.retired
}

const fn changed(changed: bool) -> Answer {
    if changed {
        Answer::Done
    } else {
        Answer::AlreadyThere
    }
}
