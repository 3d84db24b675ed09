//! Consent: when a phone that asks for its passcode may be asked, and whether anybody is there to
//! give it (phone.md §1).
//!
//! The prompt appears on the phone as soon as its backup is asked for, so it is asked for only when a
//! person has the phone in hand. No data moves before the screen is locked again:
//! [`crate::StartJob::hold_until_locked`].

use crate::{
    AskPolicy, Condition, ConditionState, Day, Demand, Hold, Monotonic, Now, Opening, Passcode,
    Snapshot, Unmet, Verdict, Wall, Zone,
};
use std::time::Duration;

/// For how long a screen must have been seen unlocked until somebody counts as there: a glance at the
/// time is no moment for a question.
pub const PRESENT_AFTER: Duration = Duration::from_secs(10);
/// For how long after a phone was put on power in somebody's hand any unlocked screen counts.
pub const IN_HAND_FOR: Duration = Duration::from_secs(5 * 60);
/// A screen seen unlocked longer ago than this may be locked by now.
pub const SCREEN_SEEN_WITHIN: Duration = Duration::from_secs(30);
/// Before a question the conditions need not hold longer than this: who plugs a phone in puts it down
/// soon after. Before data moves they are looked at again.
pub const ASK_SETTLE_MAX: Duration = Duration::from_secs(5);
const DAY: Duration = Duration::from_secs(86_400);

/// When a phone was last asked for its passcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The last time.
    pub last: Wall,
    /// The day of the house's calendar on which that was.
    pub day: Day,
    /// How often on that day without anybody having asked for it.
    pub count: u8,
    /// From when this process counts: that time, or when it was recalled.
    pub since: Monotonic,
    /// What had passed by then.
    pub rested: Duration,
    /// Whether it was recalled by a clock that was behind it, so that nobody knows what had passed.
    pub ahead: bool,
}

impl Asked {
    /// Returns `before` with one more question asked now; `counts` when nobody had asked for it.
    #[must_use]
    pub fn again(before: Option<Self>, counts: bool, zone: &Zone, now: Now) -> Self {
        let day = zone.civil(now.wall).day;
        let count = before.map_or(0, |it| it.on(day, now));
        Self {
            last: now.wall,
            day,
            count: count.saturating_add(u8::from(counts)),
            since: now.monotonic,
            rested: Duration::ZERO,
            ahead: false,
        }
    }

    /// Takes back what was kept before a restart.
    pub fn recall(last: Wall, day: Day, count: u8, now: Now) -> Self {
        Self {
            last,
            day,
            count,
            since: now.monotonic,
            rested: now.wall.saturating_since(last),
            ahead: now.wall < last,
        }
    }

    /// Takes in what had passed before it was recalled, once a clock that was behind then is right.
    #[must_use]
    pub(crate) fn seen_by_a_steady_clock(self, now: Now) -> Self {
        if !self.ahead || now.wall < self.last {
            return self;
        }
        let passed = now.monotonic.saturating_since(self.since);
        let known = self.rested.saturating_add(passed);
        Self {
            since: now.monotonic,
            rested: known.max(now.wall.saturating_since(self.last)),
            ahead: false,
            ..self
        }
    }

    /// Returns how often it was asked on `today`. A day that lies ahead was written by a clock that
    /// was wrong, and counts as today for a day.
    fn on(&self, today: Day, now: Now) -> u8 {
        let ahead = self.day > today && now.monotonic < self.since + DAY;
        if self.day == today || ahead {
            self.count
        } else {
            0
        }
    }

    /// Returns what is left of `every` since the last time; the wall clock may have jumped meanwhile.
    fn left_of(&self, every: Duration, now: Now) -> Duration {
        let passed = now.monotonic.saturating_since(self.since);
        every.saturating_sub(self.rested.saturating_add(passed))
    }
}

/// Tells whether a backup wanted for `demand` has to ask a person first. Who starts one at once is
/// there.
pub(crate) fn asks(demand: Demand, passcode: Passcode) -> bool {
    demand != Demand::AtOnce && passcode == Passcode::Asks
}

/// Returns what forbids asking unbidden at this moment, be anybody there or not.
pub(crate) fn not_now(phone: &Snapshot, policy: &AskPolicy, now: Now) -> Option<Hold> {
    if policy.per_day == 0 {
        return Some(Hold::Passcode);
    }
    if let Some(next) = asked_enough(phone, policy, now) {
        return Some(Hold::Asked { next });
    }
    match policy.window.at(&phone.zone, now.wall) {
        Opening::Open { .. } => None,
        Opening::Closed { opens } => Some(Hold::AskWindow { opens }),
    }
}

/// Returns when a phone that was asked often enough may be asked again.
fn asked_enough(phone: &Snapshot, policy: &AskPolicy, now: Now) -> Option<Wall> {
    let asked = phone.asked?;
    let mut next = None;
    if asked.on(phone.zone.civil(now.wall).day, now) >= policy.per_day {
        next = Some(phone.zone.day_after(now.wall));
    }
    let left = asked.left_of(policy.every, now);
    if !left.is_zero() {
        // Counted from where it began, so that two clocks read a moment apart give one date.
        let rested = asked.last + policy.every;
        let believed = asked.last <= now.wall && rested > now.wall;
        next = next.max(Some(if believed { rested } else { now.wall + left }));
    }
    let next = next?;
    Some(match policy.window.at(&phone.zone, next) {
        Opening::Open { .. } | Opening::Closed { opens: None } => next,
        Opening::Closed { opens: Some(opens) } => opens,
    })
}

/// Tells whether somebody has the phone in hand.
pub(crate) fn person_is_there(phone: &Snapshot, now: Now) -> bool {
    let screen = phone.conditions.get(Condition::Locked);
    let seen = screen
        .observed
        .is_some_and(|at| now.monotonic <= at.monotonic + SCREEN_SEEN_WITHIN);
    let in_hand = phone
        .plugged_in_hand
        .is_some_and(|at| now.monotonic <= at + IN_HAND_FOR);
    is_unlocked(screen) && seen && (in_hand || present_at(screen) <= now.monotonic)
}

/// Returns when whoever unlocked this screen counts as there.
pub(crate) fn present_at(screen: &ConditionState) -> Monotonic {
    screen.since.monotonic + PRESENT_AFTER
}

pub(crate) fn is_unlocked(screen: &ConditionState) -> bool {
    matches!(screen.verdict, Verdict::Unmet(Unmet::Unlocked { .. }))
}
