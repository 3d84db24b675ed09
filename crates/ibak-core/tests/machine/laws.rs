//! The laws, and how each is checked against the second account.

use crate::house::{DAY, MINUTE};
use crate::property::{Heard, Run};
use ibak_core::*;
use std::collections::BTreeSet;

impl Run {
    pub(crate) fn law_of_starts(&mut self, start: &StartJob) {
        assert!(
            self.started.insert(start.job),
            "a job starts once, and its number is never used again"
        );
        let has_the_phone = |it: &StartJob| it.phone == start.phone && it.kind.uses_phone();
        let free = !start.kind.uses_phone() || !self.open.values().any(has_the_phone);
        assert!(free, "a phone does one thing at a time");
        let slot = self.slots_taken() < self.slots;
        assert!(slot || !start.kind.takes_slot(), "no start without a slot");
        let phone = start.phone.as_ref();
        let heard = phone
            .and_then(|it| self.heard.get(it))
            .cloned()
            .unwrap_or_default();
        let reached = match start.transport {
            Some(Transport::Usb) => heard.usb,
            Some(Transport::Wifi) => heard.wifi_link && !heard.usb,
            None => !start.kind.uses_phone(),
        };
        assert!(reached, "no start without a way");
        let moves = |it: &StartJob| it.kind == JobKind::MoveStore;
        let holds = |it: &StartJob| it.kind.uses_store();
        let stands_still = self.moving().is_none() || !holds(start);
        assert!(stands_still, "while the store moves nobody uses it");
        let let_go = !moves(start) || !self.open.values().any(holds);
        assert!(let_go, "nobody uses a store that begins to move");
        self.open.insert(start.job, start.clone());
        match start.kind {
            JobKind::Backup => {}
            JobKind::Pair => return,
            JobKind::Errand(_) | JobKind::MoveStore => {
                assert_eq!(start.trigger, Trigger::User, "an errand is never automatic");
                return;
            }
        }
        assert!(heard.trusted, "no backup of a phone that does not trust us");
        let asks = self.asking.take().map(|it| it == start.job);
        assert_ne!(asks, Some(false), "who is told of a question is asked");
        let asks = asks.is_some();
        if asks {
            self.law_of_questions(start, &heard);
        }
        let space = self.store_open && self.store_until.is_some_and(|end| self.now.monotonic < end);
        assert!(space, "space is never overridden");
        if start.trigger == Trigger::User {
            return;
        }
        let fresh = |it: Option<(bool, Monotonic)>| {
            it.is_some_and(|(on, end)| on && self.now.monotonic < end)
        };
        assert!(fresh(heard.power), "power, heard and fresh: {heard:?}");
        assert!(
            heard.wifi_link || fresh(heard.wifi),
            "wifi, heard and fresh: {heard:?}"
        );
        assert!(
            asks || fresh(heard.locked) || heard.edge == Some(true),
            "locked, heard and fresh: {heard:?}"
        );
        let hour = self.now.wall.as_secs().rem_euclid(86_400) / 3600;
        assert!(!(12..18).contains(&hour), "not outside the window");
        assert!(!self.on_battery, "not from this computer's own battery");
        let by_network = start.transport == Some(Transport::Wifi);
        assert!(!(by_network && self.abroad), "not over a foreign network");
        assert!(!self.paused, "a pause is kept");
        let wanted = !heard.retired && heard.automatic != Some(Automatic::Off);
        assert!(wanted, "nobody switched it off: {heard:?}");
        if let Some(then) = heard.succeeded {
            // Of a phone that asks, the interval counts from the question.
            let led_to_it = |it: &Now| it.wall <= then.wall && then.wall <= it.wall + DAY;
            let then = heard.question.filter(led_to_it).unwrap_or(then);
            let monotonic = self.now.monotonic.saturating_since(then.monotonic);
            let wall = self.now.wall.saturating_since(then.wall);
            let rested = monotonic.max(wall) >= 22 * 60 * MINUTE;
            assert!(rested, "not again within the interval");
        }
        self.scheduled += 1;
    }

    /// Nobody is asked who is not there; nor unbidden outside the hours, twice within an hour, or twice
    /// a day.
    fn law_of_questions(&mut self, start: &StartJob, heard: &Heard) {
        let now = self.now.monotonic;
        let read = heard.locked.is_some_and(|(on, end)| !on && now < end);
        assert!(read || heard.edge == Some(false), "unlocked: {heard:?}");
        assert_eq!(start.hold_until_locked, Some(5 * MINUTE), "and held");
        let wall = self.now.wall.as_secs();
        let today = wall.div_euclid(86_400);
        let (phone, unbidden) = (
            start.phone.clone().unwrap(),
            start.trigger == Trigger::Schedule,
        );
        let asked = self.now;
        let before = self.account(&phone).question.replace(asked);
        if !unbidden {
            return;
        }
        let minute = wall.rem_euclid(86_400) / 60;
        assert!(
            (19 * 60..23 * 60 + 30).contains(&minute),
            "outside the hours for asking"
        );
        let rested = before.is_none_or(|at| now.saturating_since(at.monotonic) >= 60 * MINUTE);
        assert!(rested, "not twice within an hour");
        self.account(&phone).may_be_given_back = Some((start.job, today));
        let first = self.account(&phone).days_asked.insert(today);
        assert!(first, "not twice a day");
        self.questions += 1;
    }

    pub(crate) fn slots_taken(&self) -> usize {
        self.open.values().filter(|it| it.kind.takes_slot()).count()
    }

    pub(crate) fn law_of_the_view(&self) {
        let view = self.machine.view();
        let running: BTreeSet<JobId> = view
            .jobs
            .values()
            .filter(|it| it.state == JobState::Running && it.phase != Phase::Queued)
            .map(|it| it.id)
            .collect();
        assert_eq!(
            running,
            self.open.keys().copied().collect(),
            "the view shows the jobs that run"
        );
        assert_eq!(view.house.running, self.slots_taken());
        assert!(self.slots_taken() <= self.slots.max(self.slots_were));
        let held = self.open.values().any(|it| it.kind.uses_store());
        let upkeep = if self.store_there && !held && self.moving().is_none() {
            Upkeep::May
        } else {
            Upkeep::Rests
        };
        assert_eq!(view.house.upkeep, upkeep, "upkeep yields");
        for (udid, phone) in &view.phones {
            let heard = self.heard.get(udid).cloned().unwrap_or_default();
            let automatic = heard.automatic.filter(|_| !heard.retired);
            let automatic = match automatic {
                None if heard.retired => Automatic::Off,
                None => Automatic::On,
                Some(automatic) => automatic,
            };
            assert_eq!(
                (phone.retired, phone.automatic, phone.share.quota),
                (heard.retired, automatic, heard.quota),
                "what was asked is so"
            );
            let job = phone.job.and_then(|id| view.jobs.get(&id));
            assert_eq!(
                phone.job.is_some(),
                job.is_some_and(|it| it.phone.as_ref() == Some(udid) && it.result.is_none())
            );
            if matches!(phone.state, PhoneState::BackingUp | PhoneState::Committing) {
                assert!(
                    job.is_some_and(|it| self.open.contains_key(&it.id)),
                    "who backs up has a job"
                );
            }
        }
    }

    pub(crate) fn law_of_messages(&mut self, phone: Option<&Udid>, attention: &Attention) {
        let key = (phone.cloned(), attention.topic());
        if let Attention::Asking { job } = attention {
            assert_eq!(self.asking.replace(*job), None, "one question at a time");
            return;
        }
        let again = self.told.insert(key, self.now.monotonic);
        let rested = again.is_none_or(|at| self.now.monotonic.saturating_since(at) >= DAY);
        assert!(rested, "one message a day for one cause");
        let Some(heard) = phone.and_then(|it| self.heard.get_mut(it)) else {
            return;
        };
        match attention {
            Attention::MadeRoom { removed, .. } => {
                assert_eq!(std::mem::take(&mut heard.made_room), *removed);
            }
            Attention::StoreTrouble(StoreComplaint::Damage(backups)) => {
                assert_eq!(std::mem::take(&mut heard.damaged), *backups);
            }
            Attention::Asking { .. }
            | Attention::StoreTrouble(_)
            | Attention::FailedNeedsYou { .. }
            | Attention::Overdue { .. }
            | Attention::DoneAfterGap { .. }
            | Attention::CheckPassword { .. } => {
                assert!(
                    !heard.retired,
                    "a retired phone is left in peace: {attention:?}"
                );
            }
        }
    }

    pub(crate) fn law_of_removal(&mut self, phone: &Udid, backups: &[BackupId]) {
        let mine = |it: &StartJob| it.phone.as_ref() == Some(phone);
        assert!(
            !self.open.values().any(mine),
            "never while a job of that phone runs"
        );
        assert_eq!(self.moving(), None, "never while the store moves");
        assert!(self.store_there, "nor from one that is away");
        let rested = |at| self.now.monotonic.saturating_since(at) >= 2 * DAY;
        assert!(
            self.clock_jumped.is_none_or(rested),
            "never after the clock jumped"
        );
        let space = self.machine.view().phones[phone].conditions.space.verdict;
        let no_room = matches!(space, Verdict::Unmet(Unmet::NoRoom(_)));
        let heard = self.heard.get_mut(phone).unwrap();
        let unseen = heard.sought.as_ref() != Some(&heard.listed);
        let occasion = std::mem::take(&mut heard.may_go) || (no_room && !heard.retired && unseen);
        assert!(occasion, "when there is an occasion, and once: {heard:?}");
        heard.sought = Some(heard.listed.clone());
        self.removed_for_room += usize::from(no_room);
        let told = |id: &BackupId| heard.listed.iter().find(|it| it.id == *id);
        assert!(heard.told, "only once the store told what it holds");
        if let Some(committed) = &heard.committed {
            assert!(!backups.contains(committed), "what was just made stays");
        }
        assert!(!backups.is_empty() && backups.is_sorted(), "oldest first");
        let newest_good = heard
            .listed
            .iter()
            .filter(|it| it.verified)
            .map(|it| &it.id)
            .max();
        for id in backups {
            let facts = told(id).expect("only what there is goes");
            assert!(!facts.pinned, "a pinned one stays");
            assert_ne!(newest_good, Some(id), "the newest good one stays");
            let newer_damaged = heard.listed.iter().any(|it| it.id > *id && !it.verified);
            assert!(!newer_damaged, "none goes while a newer one is damaged");
        }
        heard.stored.retain(|it| !backups.contains(&it.id));
        let left = heard.listed.len() - backups.len();
        assert!(
            left >= self.slots.min(heard.listed.len()),
            "the last few stay"
        );
        self.removed += backups.len();
    }

    pub(crate) fn law_of_forgetting(&mut self, phone: &Udid) {
        let mine = |it: &StartJob| it.phone.as_ref() == Some(phone);
        assert!(
            !self.open.values().any(mine),
            "who is busy is not forgotten"
        );
        self.told.retain(|(of, _), _| of.as_ref() != Some(phone));
        let before = self.heard.remove(phone).unwrap_or_default();
        if !matches!(self.pending, Some(Request::Forget { .. })) {
            let nobody = !before.met && before.listed.is_empty() && before.quota.is_none();
            assert!(nobody, "only nobody is forgotten unasked: {before:?}");
            // What was taken in and not told of yet is told of later.
            let stored = before.stored.clone();
            self.account(phone).stored = stored;
            self.forgotten += 1;
            return;
        }
        let view = self.machine.view().phones.remove(phone);
        assert_eq!(
            view.is_some(),
            before.reached(),
            "it is unknown, unless it is there"
        );
        if let Some(view) = view {
            assert_eq!(view.backups, [], "it begins anew");
            assert_eq!((view.first_seen, view.last_result), (self.now.wall, None));
            let (usb, wifi_link) = (before.usb, before.wifi_link);
            let anew = Heard {
                usb,
                wifi_link,
                automatic: Some(Automatic::Off),
                ..Heard::default()
            };
            self.heard.insert(phone.clone(), anew);
        }
    }
}
