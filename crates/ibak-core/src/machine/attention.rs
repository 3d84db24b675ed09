//! Telling people: seldom, and each cause at most once a day.

use super::Machine;
use super::errand::check_at;
use super::phone::{TellAgain, tell_again};
use crate::{
    Attention, AttentionKind, Decision, Effect, Hold, Monotonic, Now, StorageState, StoreComplaint,
    StoreReport, StoreTrouble, Topic, Udid, Unmet, Verdict,
};

impl Machine {
    /// Sends a message unless one on its topic went out within a day. Tells whether it went out.
    pub(super) fn tell(
        &mut self,
        udid: Option<&Udid>,
        what: Attention,
        now: Now,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let told = match udid {
            None => &mut self.told,
            Some(udid) => match self.phones.get_mut(udid) {
                Some(phone) => &mut phone.told,
                None => return false,
            },
        };
        let topic = what.topic();
        if told
            .get(&topic)
            .is_some_and(|it| it.not_before > now.monotonic)
        {
            return false;
        }
        told.insert(
            topic,
            TellAgain {
                at: now.wall,
                not_before: now.monotonic + tell_again(topic.kind),
            },
        );
        effects.push(Effect::Attention {
            phone: udid.cloned(),
            attention: what,
        });
        true
    }

    pub(super) fn call_for_attention(&mut self, now: Now, effects: &mut Vec<Effect>) {
        if let Some(complaint) = self.store_complaint(now) {
            self.tell(None, Attention::StoreTrouble(complaint), now, effects);
        }
        self.tell_what_befell_backups(now, effects);
        // Before the store is recovered nobody can say when the last backup was.
        if !self.recovered {
            return;
        }
        let mut messages = self.passwords_to_check(now);
        for phone in self.phones.values().filter(|phone| !phone.retired) {
            if self.is_overdue(&phone.udid, now) {
                let last = phone.newest().map(|it| it.facts.finished);
                let overdue = Attention::Overdue {
                    last,
                    first_seen: phone.first_seen,
                };
                messages.push((phone.udid.clone(), overdue));
            }
            let Decision::Wait { unmet, also } = &phone.decision else {
                continue;
            };
            let soon = also.iter().all(Hold::awaits_the_moment);
            for (_, verdict) in unmet.iter().filter(|_| soon) {
                if let Verdict::Unmet(Unmet::NoRoom(room)) = verdict {
                    let no_room = Attention::StoreTrouble(StoreComplaint::NoRoom(*room));
                    messages.push((phone.udid.clone(), no_room));
                }
            }
        }
        for (udid, message) in messages {
            self.tell(Some(&udid), message, now, effects);
        }
    }

    fn store_complaint(&self, now: Now) -> Option<StoreComplaint> {
        let report = self.store_report(now).ok()?;
        match (StorageState::of(Some(&report)), report) {
            // That is wanted, and over soon.
            (_, StoreReport::Unavailable(StoreTrouble::Moving)) => None,
            (_, StoreReport::Unavailable(trouble)) => Some(StoreComplaint::Unavailable(trouble)),
            (StorageState::Full, StoreReport::Open(_)) => Some(StoreComplaint::Full),
            (
                StorageState::Ok
                | StorageState::Low
                | StorageState::Unavailable
                | StorageState::Unknown,
                StoreReport::Open(_),
            ) => None,
        }
    }

    /// Tells whether the phone has been without a backup for too long.
    pub(super) fn is_overdue(&self, udid: &Udid, now: Now) -> bool {
        let Some(phone) = self.phones.get(udid) else {
            return false;
        };
        let at = phone.overdue_at(self.policy(udid), self.automatic(phone), now);
        self.recovered && at.is_some_and(|at| at <= now.wall)
    }

    /// Lists when standing complaints may be repeated.
    pub(super) fn next_messages(&self, now: Now) -> Vec<Monotonic> {
        let again = |it: Option<&TellAgain>| it.map(|it| it.not_before);
        let mut moments = Vec::new();
        if let Some(complaint) = self.store_complaint(now) {
            let topic = Attention::StoreTrouble(complaint).topic();
            moments.extend(again(self.told.get(&topic)));
        }
        for phone in self.phones.values() {
            if self.is_overdue(&phone.udid, now) {
                moments.extend(again(phone.told.get(&Topic::of(AttentionKind::Overdue))));
            }
            if phone.damaged > 0 {
                moments.extend(again(
                    phone
                        .told
                        .get(&Attention::StoreTrouble(StoreComplaint::Damage(0)).topic()),
                ));
            }
            if phone.made_room.is_some() {
                moments.extend(again(phone.told.get(&Topic::of(AttentionKind::MadeRoom))));
            }
            if let Some(at) = check_at(phone, self.policy(&phone.udid)) {
                let told = again(phone.told.get(&Topic::of(AttentionKind::CheckPassword)));
                let at = now.monotonic + at.saturating_since(now.wall);
                moments.push(told.unwrap_or(at).max(at));
            }
        }
        moments
    }
}
