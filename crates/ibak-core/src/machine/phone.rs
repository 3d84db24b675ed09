//! What the machine keeps of one phone, and what follows from it at a given moment.

use crate::consent::is_unlocked;
use crate::facts::Facts;
use crate::{
    Asking, AttentionKind, Automatic, BackingOff, BackupFacts, BackupId, Bytes, Cadence, Calendar,
    ConditionState, Conditions, Decision, Due, Identity, JobResult, LastAsked, LastResult, Met,
    Monotonic, Now, Passcode, PhoneMemory, Policy, Reach, Retry, Room, Signal, Source, Told, Topic,
    Trust, Udid, Unknown, Unmet, Verdict, Wall,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// How far in the future a backup's date may lie and still be believed.
const FUTURE_MAX: Duration = Duration::from_secs(3600);
/// For how long a date beyond that, read from the store, is given the benefit of the doubt:
/// the clock may not have been set yet after a start.
const FUTURE_WAIT: Duration = Duration::from_secs(3600);
/// A cable that was away for less is a bad contact, not a person who came back.
const REPLUG_MIN: Duration = Duration::from_secs(10);
const DAY: Duration = Duration::from_secs(86_400);
/// Power that came and an unlocked screen within this time of each other belong together.
const SAME_MOMENT: Duration = Duration::from_secs(5);

/// Returns in what time one message per cause is enough.
pub(super) const fn tell_again(kind: AttentionKind) -> Duration {
    match kind {
        AttentionKind::FailedNeedsYou
        | AttentionKind::Overdue
        | AttentionKind::StoreTrouble
        | AttentionKind::DoneAfterGap
        | AttentionKind::MadeRoom => DAY,
        // Each question is a cause of its own; how often there is one, the policy says.
        AttentionKind::Asking => Duration::ZERO,
        AttentionKind::CheckPassword => Duration::from_secs(7 * 86_400),
    }
}

/// A committed backup, and how long this process has known of it.
#[derive(Clone, Debug)]
pub(super) struct KnownBackup {
    pub(super) facts: BackupFacts,
    pub(super) known_at: Monotonic,
    pub(super) made_here: bool,
    /// Whether the store told of it, or should have.
    pub(super) listed: bool,
}

impl KnownBackup {
    /// Returns for how long a date in the future still counts as just now.
    fn benefit_of_doubt(&self, policy: &Policy, now: Now) -> Duration {
        let interval = policy.interval.saturating_sub(policy.slack());
        let wait = if self.made_here {
            interval
        } else {
            interval.min(FUTURE_WAIT)
        };
        (self.known_at + wait).saturating_since(now.monotonic)
    }
}

/// Tells whether a backup's date can be believed.
fn believed(backup: &KnownBackup, now: Now) -> bool {
    backup.facts.finished <= now.wall + FUTURE_MAX
}

/// When something was last told, and when it may be told again.
#[derive(Clone, Copy, Debug)]
pub(super) struct TellAgain {
    pub(super) at: Wall,
    pub(super) not_before: Monotonic,
}

/// When messages on each topic were last sent.
pub(super) type ToldTable = BTreeMap<Topic, TellAgain>;

/// When one thing may next be asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    pub(super) not_before: Monotonic,
    pub(super) tries: u32,
}

/// When the phone's signals may next be asked for: each at its own pace, so that one that is
/// never told does not let the others grow stale.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    pub(super) paces: BTreeMap<Signal, Pace>,
    pub(super) looked_at_until: Option<Monotonic>,
    pub(super) appeared: bool,
    pub(super) edge: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Phone {
    pub(super) udid: Udid,
    pub(super) identity: Option<Identity>,
    /// Whether anything was seen of it since the start.
    pub(super) seen: bool,
    pub(super) reach: Reach,
    pub(super) unplugged_at: Option<Monotonic>,
    pub(super) trust: Trust,
    pub(super) facts: Facts,
    pub(super) conditions: Conditions,
    pub(super) room: Option<Room>,
    pub(super) automatic: Option<Automatic>,
    pub(super) learned: Option<Asking>,
    /// When it was last asked for its passcode.
    pub(super) prompted: Option<crate::Asked>,
    /// When it was last seen to come to its cable, or from its battery to power.
    pub(super) plugged_at: Option<Monotonic>,
    /// When it was last put on power while its screen was unlocked.
    pub(super) plugged_in_hand: Option<Monotonic>,
    pub(super) backups: Vec<KnownBackup>,
    pub(super) staged: Bytes,
    /// What its backups take on the disk.
    pub(super) used: Bytes,
    /// The most they may take.
    pub(super) quota: Option<Bytes>,
    /// Whether nothing further is made or missed.
    pub(super) retired: bool,
    /// The last commit; whatever its date, it stays.
    pub(super) committed: Option<BackupId>,
    /// Whether retention is to look at the backups.
    pub(super) retention_due: bool,
    /// Whether retention has seen these backups, so that a want of room brings nothing new.
    pub(super) room_sought: bool,
    /// Whether the store told all it holds since the last job that used it.
    pub(super) backups_read: bool,
    /// How many backups were found damaged that nobody was told of yet.
    pub(super) damaged: u32,
    /// What was removed to make room, and freed, that nobody was told of yet.
    pub(super) made_room: Option<(u32, Bytes)>,
    pub(super) password_proved: Option<Wall>,
    pub(super) failures: u32,
    pub(super) backing_off: Option<BackingOff>,
    /// The end of that wait on the wall clock, as it is kept.
    pub(super) not_before: Option<Wall>,
    pub(super) last_result: Option<LastResult>,
    pub(super) first_seen: Wall,
    pub(super) last_seen: Option<Wall>,
    pub(super) told: ToldTable,
    pub(super) asked: Asked,
    pub(super) decision: Decision,
    pub(super) remembered: Option<PhoneMemory>,
}

impl Phone {
    pub(super) fn new(udid: Udid, now: Now) -> Self {
        let unknown = ConditionState {
            verdict: Verdict::Unknown(Unknown::NotReachable),
            since: now,
            source: None,
            observed: None,
        };
        Self {
            udid,
            identity: None,
            seen: false,
            reach: Reach::default(),
            unplugged_at: None,
            trust: Trust::Unknown,
            facts: Facts::default(),
            conditions: Conditions {
                power: unknown,
                wifi: unknown,
                locked: unknown,
                space: unknown,
            },
            room: None,
            automatic: None,
            learned: None,
            prompted: None,
            plugged_at: None,
            plugged_in_hand: None,
            backups: Vec::new(),
            staged: Bytes::ZERO,
            used: Bytes::ZERO,
            quota: None,
            retired: false,
            committed: None,
            retention_due: false,
            room_sought: false,
            damaged: 0,
            made_room: None,
            backups_read: false,
            password_proved: None,
            failures: 0,
            backing_off: None,
            not_before: None,
            last_result: None,
            first_seen: now.wall,
            last_seen: None,
            told: BTreeMap::new(),
            asked: Asked::default(),
            decision: Decision::Wait {
                unmet: Vec::new(),
                also: vec![crate::Hold::Absent { last_seen: None }],
            },
            remembered: None,
        }
    }

    pub(super) fn passcode(&self) -> Passcode {
        let version = self.identity.as_ref().map(|it| it.os_version.as_str());
        Passcode::conclude(self.learned, version, self.facts.has_passcode())
    }

    /// Takes in that the phone can, or can no longer, be reached this way.
    pub(super) fn set_reach(&mut self, reach: Reach, now: Now) {
        let before = std::mem::replace(&mut self.reach, reach);
        if before.best().is_none() != reach.best().is_none() {
            self.facts.forget_connection();
        }
        if before.best().is_some() && reach.best().is_none() {
            self.last_seen = Some(now.wall);
        }
        if (reach.usb && !before.usb) || (reach.wifi && !before.wifi) {
            self.asked.appeared = true;
        }
        if before.usb && !reach.usb {
            self.facts.forget_power();
            self.unplugged_at = Some(now.monotonic);
        }
        if reach.usb && !before.usb {
            self.plugged_at = Some(now.monotonic);
            let away = self
                .unplugged_at
                .map(|at| now.monotonic.saturating_since(at));
            if away.is_some_and(|away| away >= REPLUG_MIN) {
                self.forgive();
            }
        }
    }

    /// Ends the wait after failures, because a person did something about the phone. What a
    /// person cancelled, or what nothing here can mend, keeps waiting.
    fn forgive(&mut self) {
        let keep = self.backing_off.is_some_and(|wait| match wait.after {
            JobResult::Failed(failure) => failure.retry() == Retry::Never,
            JobResult::Interrupted(_) => false,
            JobResult::Succeeded
            | JobResult::Cancelled
            | JobResult::CancelledOnDevice
            | JobResult::NotConfirmed
            | JobResult::NotLockedInTime
            | JobResult::NotReadyInTime => true,
        });
        if !keep {
            self.clear_back_off();
        }
    }

    /// Evaluates the conditions. `space` is decided by the caller, who sees the whole store.
    pub(super) fn evaluate(&mut self, policy: &Policy, space: (Verdict, Option<Now>), now: Now) {
        let (verdict, observed) = space;
        let space = ConditionState {
            verdict,
            since: now,
            source: observed.map(|_| Source::Store),
            observed,
        };
        let seen = Conditions {
            power: self.facts.power(self.reach, now),
            wifi: self.facts.wifi(self.reach, policy.wifi, now),
            locked: self.facts.locked(self.reach, now),
            space,
        };
        let was_on_battery = matches!(self.conditions.power.verdict, Verdict::Unmet(_));
        self.conditions = seen.after(&self.conditions);
        if was_on_battery && self.conditions.power.verdict.is_met() {
            self.plugged_at = Some(now.monotonic);
        }
        self.look_for_a_hand(now);
        self.room = match verdict {
            Verdict::Met(Met::Room(room)) | Verdict::Unmet(Unmet::NoRoom(room)) => Some(room),
            Verdict::Met(_) | Verdict::Unmet(_) | Verdict::Unknown(_) => None,
        };
    }

    /// Notes when the phone was put on power while its screen was unlocked.
    fn look_for_a_hand(&mut self, now: Now) {
        let Some(plugged) = self.plugged_at else {
            return;
        };
        let just_now = now.monotonic <= plugged + SAME_MOMENT;
        let Conditions { power, locked, .. } = &self.conditions;
        if just_now && power.verdict.is_met() && is_unlocked(locked) {
            self.plugged_in_hand = Some(plugged);
        }
    }

    /// Returns the newest backup.
    pub(super) fn newest(&self) -> Option<&KnownBackup> {
        self.backups
            .iter()
            .max_by(|a, b| a.facts.id.cmp(&b.facts.id))
    }

    /// Tells whether a backup is due, by the wall clock. A date too far in the future cannot be
    /// believed: then the monotonic clock decides, from when this process learned of it.
    pub(super) fn due(&self, policy: &Policy, calendar: Calendar, now: Now) -> Due {
        match policy.cadence {
            Cadence::Interval => self.due_by_interval(policy, now),
            Cadence::Calendar => self.due_by_calendar(policy, calendar, now),
        }
    }

    /// A backup is due when a time of the calendar came that no backup followed.
    fn due_by_calendar(&self, policy: &Policy, calendar: Calendar, now: Now) -> Due {
        let served = |fired: Wall| {
            let mut since = self.backups.iter().filter(|it| it.facts.finished >= fired);
            since.any(|it| believed(it, now) || !it.benefit_of_doubt(policy, now).is_zero())
        };
        match calendar.fired {
            Some(fired) if fired <= now.wall && !served(fired) => Due::Since(Some(fired)),
            Some(_) | None => {
                let next = calendar.next.filter(|next| *next > now.wall);
                Due::NotUntil(next.unwrap_or(now.wall + policy.interval))
            }
        }
    }

    fn due_by_interval(&self, policy: &Policy, now: Now) -> Due {
        let interval = policy.interval.saturating_sub(policy.slack());
        let mut since: Option<Wall> = None;
        let mut until = now.wall;
        for backup in &self.backups {
            let at = self.begun(backup.facts.finished);
            if believed(backup, now) {
                until = until.max(at + interval);
                since = since.max(Some(at + interval));
            } else {
                let left = backup.benefit_of_doubt(policy, now);
                if !left.is_zero() {
                    until = until.max(whole_second_after(now.wall + left));
                }
            }
        }
        if until > now.wall {
            Due::NotUntil(until)
        } else {
            Due::Since(since)
        }
    }

    /// Returns from when the interval of a backup that finished then counts: of a phone that asks, from
    /// the question that led to it, so that a long night does not push the next one out of the evening.
    fn begun(&self, finished: Wall) -> Wall {
        let asked = self.prompted.filter(|_| self.passcode() == Passcode::Asks);
        let led_to_it = |asked: &Wall| *asked <= finished && finished <= *asked + DAY;
        asked
            .map(|it| it.last)
            .filter(led_to_it)
            .unwrap_or(finished)
    }

    /// Returns the moment at which the phone is, or was, without a backup for too long; `None`
    /// for a phone that is not to be backed up.
    pub(super) fn overdue_at(
        &self,
        policy: &Policy,
        automatic: Automatic,
        now: Now,
    ) -> Option<Wall> {
        // A phone whose backups were all taken in may never come.
        let made_here = self.backups.iter().any(|it| !it.facts.adopted);
        let ours = self.trust == Trust::Trusted || made_here;
        if automatic == Automatic::Off || !ours {
            return None;
        }
        let backups = self.backups.iter().filter(|it| believed(it, now));
        let newest = backups.map(|it| it.facts.finished).max();
        // What another computer did, or did not do, before it was known here is not missed.
        let known = Some(self.first_seen).filter(|at| newest.is_none() || *at <= now.wall);
        newest.max(known).map(|since| since + policy.overdue_after)
    }

    /// Starts nothing automatically for `wait`.
    pub(super) fn back_off(&mut self, wait: Duration, after: JobResult, now: Now) {
        let until_wall = now.wall + wait;
        self.backing_off = Some(BackingOff {
            until: now.monotonic + wait,
            until_wall,
            after,
            failures: self.failures,
        });
        self.not_before = Some(until_wall);
    }

    /// Ends the wait after failures.
    pub(super) fn clear_back_off(&mut self) {
        self.backing_off = None;
        self.not_before = None;
        self.failures = 0;
    }

    /// Tells whether there is nothing to keep in mind of it: it never came, holds nothing, and nobody
    /// asked anything of it.
    pub(super) fn is_nobody(&self) -> bool {
        let never_met = !self.seen && self.last_seen.is_none() && self.identity.is_none();
        let holds_nothing = self.backups.is_empty() && self.staged == Bytes::ZERO;
        let nothing_asked = self.quota.is_none() && self.automatic.is_none() && !self.retired;
        never_met && holds_nothing && nothing_asked && self.last_result.is_none()
    }

    pub(super) fn memory(&self) -> PhoneMemory {
        PhoneMemory {
            phone: self.udid.clone(),
            identity: self.identity.clone(),
            automatic: self.automatic,
            quota: self.quota,
            retired: self.retired,
            passcode_learned: self.learned,
            asked: self.prompted.map(|it| LastAsked {
                at: it.last,
                day: it.day,
                count: it.count,
            }),
            lock_ever_seen: self.facts.lock_ever_seen,
            last_result: self.last_result,
            password_proved: self.password_proved,
            failures: self.failures,
            not_before: self.not_before,
            first_seen: self.first_seen,
            last_seen: self.last_seen,
            data_used: self.facts.data_used_kept,
            told: told_list(&self.told),
        }
    }

    /// Takes back what was kept before a restart.
    pub(super) fn recall(&mut self, memory: PhoneMemory, policy: &Policy, now: Now) {
        self.identity = self.identity.take().or(memory.identity.clone());
        self.automatic = memory.automatic;
        self.quota = memory.quota;
        self.retired = memory.retired;
        self.learned = memory.passcode_learned;
        self.prompted = memory
            .asked
            .map(|it| crate::Asked::recall(it.at, it.day, it.count, now));
        self.facts.lock_ever_seen |= memory.lock_ever_seen;
        self.facts.data_used_kept = self.facts.data_used_kept.or(memory.data_used);
        self.last_result = memory.last_result;
        self.password_proved = memory.password_proved;
        self.failures = memory.failures;
        self.not_before = memory.not_before;
        self.first_seen = memory.first_seen.min(now.wall);
        self.last_seen = memory.last_seen;
        self.told = recall_told(&memory.told, now);
        self.backing_off = memory
            .not_before
            .zip(memory.last_result)
            .and_then(|(until, last)| {
                let left = until
                    .saturating_since(now.wall)
                    .min(policy.backoff.max.max(policy.interval));
                let wait = BackingOff {
                    until: now.monotonic + left,
                    until_wall: now.wall + left,
                    after: last.result,
                    failures: memory.failures,
                };
                (!left.is_zero()).then_some(wait)
            });
        self.remembered = Some(memory);
    }
}

/// Rounds up, so that two clocks read a moment apart give one date.
const fn whole_second_after(at: Wall) -> Wall {
    Wall::from_secs(at.as_secs().saturating_add(1))
}

pub(super) fn told_list(told: &ToldTable) -> Vec<Told> {
    told.iter()
        .map(|(topic, it)| Told {
            topic: *topic,
            at: it.at,
        })
        .collect()
}

/// Translates the dates of messages sent before a restart; a date in the future counts as now.
pub(super) fn recall_told(told: &[Told], now: Now) -> ToldTable {
    told.iter()
        .map(|it| {
            let left = tell_again(it.topic.kind).saturating_sub(now.wall.saturating_since(it.at));
            (
                it.topic,
                TellAgain {
                    at: it.at,
                    not_before: now.monotonic + left,
                },
            )
        })
        .collect()
}
