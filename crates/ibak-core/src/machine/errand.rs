//! Errands: what a person asks for is begun at once or refused; what came of it is learned.

use super::phone::Phone;
use super::{Machine, PHONES_MAX};
use crate::{
    Answer, Attention, Demand, Effect, Errand, Extent, Failure, JobKind, Now, Outcome, Policy,
    RequestError, Trust, Udid, Unmet, Verdict, Wall,
};

/// The most people who read one house's backups at once.
pub const READERS_MAX: usize = 4;

impl Machine {
    /// Begins an errand. Whoever talks to the phone finds it there, trusting and free.
    pub(super) fn request_errand(
        &mut self,
        udid: &Udid,
        errand: Errand,
        now: Now,
        effects: &mut Vec<Effect>,
    ) -> Result<Answer, RequestError> {
        // The owner of what is taken in may never have been here.
        let met_here = errand == Errand::Adopt && self.phones.len() < PHONES_MAX;
        let phone = self.phones.get(udid);
        if phone.is_none() && !met_here {
            return Err(RequestError::NoSuchPhone);
        }
        if self.stopping {
            return Err(RequestError::Stopping);
        }
        if let Some(job) = self
            .moving()
            .filter(|_| JobKind::Errand(errand).uses_store())
        {
            return Err(RequestError::StoreMoving { job });
        }
        if errand.uses_phone() {
            if let Some(job) = self.job_of(udid) {
                return Err(RequestError::Busy { job: job.id });
            }
            if phone.is_none_or(|phone| phone.reach.best().is_none()) {
                return Err(RequestError::NotConnected);
            }
            if phone.is_some_and(|phone| phone.trust == Trust::Untrusted) {
                return Err(RequestError::NotTrusted);
            }
        } else if self.readers() >= READERS_MAX {
            return Err(RequestError::TooManyReaders);
        }
        // After it is switched on everything comes once more, beside the plain backups.
        let sends_all_again =
            errand == Errand::EncryptionOn && phone.is_some_and(|phone| !phone.backups.is_empty());
        if sends_all_again
            && let Verdict::Unmet(Unmet::NoRoom(room)) = self.space_for(udid, Extent::Full, now).0
        {
            return Err(RequestError::NoSpace(room));
        }
        self.phone_mut(udid, now);
        let kind = JobKind::Errand(errand);
        let id = self.accept(Some(udid), kind, Demand::AtOnce, Extent::Changes, now);
        self.start(id, effects);
        Ok(Answer::Job(id))
    }

    fn readers(&self) -> usize {
        let reads = |job: &&super::Job| {
            matches!(job.kind, JobKind::Errand(_)) && !job.has_ended() && !job.kind.uses_phone()
        };
        self.jobs.values().filter(reads).count()
    }

    pub(super) fn errand_ended(
        &mut self,
        udid: &Udid,
        errand: Errand,
        outcome: &Outcome,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        let Some(phone) = self.phones.get_mut(udid) else {
            return;
        };
        if let Outcome::Failed {
            failure: Failure::NotTrusted,
            ..
        } = outcome
        {
            phone.trust = Trust::Untrusted;
        }
        match (errand, outcome) {
            (Errand::EncryptionOn | Errand::ChangePassword, Outcome::Done) => {
                phone.password_proved = Some(now.wall);
            }
            (Errand::CheckPassword, Outcome::PasswordProved(backup)) => {
                // An older backup may be under an older password.
                let newest = phone.newest().map(|it| &it.facts.id);
                if newest == Some(backup) {
                    phone.password_proved = Some(now.wall);
                }
            }
            (Errand::EncryptionOff, Outcome::Done) => phone.password_proved = None,
            _ => {}
        }
        // What it says of itself may have changed.
        phone.asked.appeared |= errand.uses_phone();
        // Whoever was only known because a backup was to be taken in, and none was, is unknown again.
        let taken_in = matches!(outcome, Outcome::Adopted(_));
        if !taken_in && phone.is_nobody() && self.any_job_of(udid).is_none() {
            self.phones.remove(udid);
            effects.push(Effect::Forget(udid.clone()));
        }
    }

    /// Tells whose password was not proved for too long: forgotten, it would be missed on the
    /// worst day.
    pub(super) fn passwords_to_check(&self, now: Now) -> Vec<(Udid, Attention)> {
        let to_check = |phone: &Phone| {
            let at = check_at(phone, self.policy(&phone.udid))?;
            let last = phone.password_proved;
            (at <= now.wall).then(|| (phone.udid.clone(), Attention::CheckPassword { last }))
        };
        self.phones.values().filter_map(to_check).collect()
    }
}

/// Returns when the password of the newest backup is to be proved (again): at once when it never
/// was, for then it came from another computer. Nobody is asked about a retired phone.
pub(super) fn check_at(phone: &Phone, policy: &Policy) -> Option<Wall> {
    let every = policy.password_check.filter(|_| !phone.retired)?;
    // Once it is switched off, nobody needs to know it for what comes.
    let newest = phone
        .newest()
        .filter(|it| it.facts.encrypted && phone.facts.encrypts != Some(false))?;
    Some(match phone.password_proved {
        Some(proved) => proved + every,
        None => newest.facts.finished,
    })
}
