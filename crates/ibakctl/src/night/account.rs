//! Which one sentence is true of a night: the rules, most telling first.
//!
//! 1. A backup worked, or is running.
//! 2. One was tried; how the last of them ended.
//! 3. Nothing is known of the night, or the daemon or the computer was off for nearly all of the time
//!    in which a backup was due and its window open.
//! 4. Nothing was due, or nothing would ever have started by itself.
//! 5. What held it back for all the time it was due: a pause, its window, a wait after a failure…
//! 6. Of what is left: the phone was never there; the store could not take it; a condition was never
//!    met; the conditions held together, and something else was missing; they held together, and
//!    never for long enough; they never held together, and which of them were in each other's way.
//!
//! What counts is what the daemon waited for, moment by moment, as it noted it then: so the policy
//! of that night counts, not today's.

use super::down::{Down, GAP_MIN, is_down, of_gaps};
use super::{Decided, Gap, Record, Seen, Spans, Stretch};
use ibak_dbus::views::AttemptView;
use ibak_dbus::words::{
    ConditionName, ConditionReason, ConditionStatus, DecisionWord, JobKind, Outcome, Trigger,
    WaitsFor,
};
use ibak_dbus::{Bytes, Wall};

/// Shorter than this, in seconds, is as good as never.
pub(super) const MOMENT: u64 = 60;
/// Breaks shorter than this, in seconds, are none.
const BREAK: u64 = 120;

/// What came of a night.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Why.
    pub cause: Cause,
    /// The longest time of which nothing is known, when that is not the cause and long.
    pub gap: Option<(Gap, Wall, Wall)>,
    /// Whether only the time inside the backup window counted.
    pub windowed: bool,
}

/// Why a night's backup did or did not happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It did.
    Ran {
        /// When it began.
        started: Option<Wall>,
        /// When it ended.
        ended: Option<Wall>,
        /// What arrived.
        bytes: Bytes,
        /// Who wanted it.
        trigger: Trigger,
    },
    /// It is just being made.
    Running(Wall),
    /// It was tried.
    Tried {
        /// How the last try ended.
        result: Outcome,
        /// When that began.
        started: Option<Wall>,
        /// How many there were.
        tries: usize,
    },
    /// Nothing is known of this night.
    Nothing,
    /// Nothing was watched in nearly all of the time that counts: why, in order of time.
    Down(Vec<Down>),
    /// No backup was due.
    NotDue,
    /// Nothing would have started by itself: automatic backup is off, or it is not trusted.
    Refused(WaitsFor),
    /// This held it back.
    Held(WaitsFor, Option<(Wall, Wall)>),
    /// The phone was not there; since when.
    NotSeen(Option<Wall>),
    /// The store could not take it.
    Store(ConditionReason),
    /// These were never met.
    Never(Vec<Part>),
    /// The conditions held together, and not for long enough.
    Short(Wall, Wall),
    /// The conditions never held together.
    Apart(Vec<Part>),
}

/// One condition of a night.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which, or the phone itself.
    pub what: WaitsFor,
    /// When it held.
    pub how: How,
}

/// When a condition held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Never.
    Never,
    /// Never, and nobody could say whether it did.
    NotKnown,
    /// Never could it be said, for it has no passcode.
    NoPasscode,
    /// From the beginning until then.
    Until(Wall),
    /// From then to the end.
    From(Wall),
    /// From then to then.
    Within(Wall, Wall),
    /// Several times; seconds in all.
    NowAndThen(u64),
}

/// What a person or the configuration decides, not the phone's night.
const DECIDED: [WaitsFor; 10] = [
    WaitsFor::AutomaticOff,
    WaitsFor::NotTrusted,
    WaitsFor::Pause,
    WaitsFor::Window,
    WaitsFor::Passcode,
    WaitsFor::HostPower,
    WaitsFor::Backoff,
    WaitsFor::Asked,
    WaitsFor::AskWindow,
    WaitsFor::Job,
];

const CONDITIONS: [(WaitsFor, ConditionName); 4] = [
    (WaitsFor::Power, ConditionName::Power),
    (WaitsFor::Wifi, ConditionName::Wifi),
    (WaitsFor::Locked, ConditionName::Locked),
    (WaitsFor::Space, ConditionName::Space),
];

/// Chooses what to say of a night. The attempts are those at backups that touch it, oldest first.
pub fn account(record: &Record, attempts: &[AttemptView]) -> Account {
    let gap = record
        .gaps
        .iter()
        .filter(|gap| is_down(gap.value))
        .max_by_key(|gap| gap.until.saturating_since(gap.from));
    let (cause, windowed) = of_attempts(record, attempts)
        .or_else(|| of_gaps(record))
        .map_or_else(|| of_waiting(record), |cause| (cause, false));
    let told = match cause {
        Cause::Ran { .. } | Cause::Running(_) | Cause::Nothing | Cause::Down(..) => None,
        Cause::Tried { .. }
        | Cause::NotDue
        | Cause::Refused(_)
        | Cause::Held(..)
        | Cause::NotSeen(_)
        | Cause::Store(_)
        | Cause::Never(_)
        | Cause::Short(..)
        | Cause::Apart(_) => gap,
    };
    Account {
        gap: told
            .filter(|gap| gap.until.saturating_since(gap.from).as_secs() >= GAP_MIN)
            .map(|gap| (gap.value, gap.from, gap.until)),
        cause,
        windowed,
    }
}

fn of_attempts(record: &Record, attempts: &[AttemptView]) -> Option<Cause> {
    let backups = || {
        attempts
            .iter()
            .filter(|attempt| attempt.kind == JobKind::Backup)
    };
    let worked = |attempt: &&AttemptView| attempt.result == Some(Outcome::Succeeded);
    if let Some(good) = backups().rfind(worked) {
        return Some(Cause::Ran {
            started: good.started,
            ended: good.ended,
            bytes: good.bytes,
            trigger: good.trigger.clone(),
        });
    }
    let running = record
        .jobs
        .last()
        .filter(|job| job.until == record.until && job.value.kind == JobKind::Backup);
    if let Some(job) = running
        && record.states.last().is_some_and(at_work)
    {
        return Some(Cause::Running(job.began));
    }
    // One that was never ready is no try: why it was not is in the conditions.
    let tried = || {
        backups().filter(|attempt| {
            !matches!(
                attempt.result,
                None | Some(Outcome::NotReadyInTime | Outcome::Cancelled)
            )
        })
    };
    let last = tried().next_back()?;
    Some(Cause::Tried {
        result: last.result.clone()?,
        started: last.started,
        tries: tried().count(),
    })
}

fn at_work(state: &Stretch<ibak_dbus::words::PhoneState>) -> bool {
    use ibak_dbus::words::PhoneState;
    matches!(
        state.value,
        PhoneState::Asking | PhoneState::BackingUp | PhoneState::Committing
    )
}

/// When the decision was so.
pub(super) fn decided(record: &Record, is: impl Fn(&Decided) -> bool) -> Spans {
    let those = record.decisions.iter().filter(|it| is(&it.value));
    Spans::of(those.map(|it| (it.from, it.until)))
}

/// Whether a backup was due.
pub(super) fn is_due(decided: &Decided) -> bool {
    match decided.word {
        DecisionWord::Start | DecisionWord::Ask | DecisionWord::Wait | DecisionWord::Other(_) => {
            true
        }
        DecisionWord::NotDue | DecisionWord::Refuse => false,
    }
}

/// Explains a night of which enough is known and in which nothing was tried.
fn of_waiting(record: &Record) -> (Cause, bool) {
    let due = decided(record, is_due);
    let refused = decided(record, |it| it.word == DecisionWord::Refuse);
    if due.secs() < MOMENT || refused.secs() > due.secs() {
        let not_due = decided(record, |it| it.word == DecisionWord::NotDue);
        if refused.secs() <= not_due.secs() {
            return (Cause::NotDue, false);
        }
        let why = most(record, &refused, |_| true).unwrap_or(WaitsFor::AutomaticOff);
        return (Cause::Refused(why), false);
    }
    let held = decided(record, |it| {
        it.waits_for.iter().any(|word| DECIDED.contains(word))
    });
    let free = due.minus(&held);
    let windowed = decided(record, |it| it.waits_for.contains(&WaitsFor::Window)).secs() > 0;
    if free.secs() < MOMENT {
        let absent = blocked(record, &due, &WaitsFor::Phone);
        if nearly_all(&absent, &due) {
            return (not_seen(record), false);
        }
        let why = most(record, &due, |word| DECIDED.contains(word));
        return (Cause::Held(why.unwrap_or(WaitsFor::Window), None), false);
    }
    (of_conditions(record, &free), windowed)
}

fn blocked(record: &Record, within: &Spans, word: &WaitsFor) -> Spans {
    decided(record, |it| it.waits_for.contains(word)).and(within)
}

/// Returns the word that was waited for longest.
fn most(record: &Record, within: &Spans, counts: impl Fn(&WaitsFor) -> bool) -> Option<WaitsFor> {
    let mut words: Vec<&WaitsFor> = Vec::new();
    for word in record.decisions.iter().flat_map(|it| &it.value.waits_for) {
        if counts(word) && !words.contains(&word) {
            words.push(word);
        }
    }
    let time = |word: &&WaitsFor| blocked(record, within, word).secs();
    // The first of those that were waited for equally long: the most telling.
    words.into_iter().rev().max_by_key(time).cloned()
}

fn nearly_all(part: &Spans, whole: &Spans) -> bool {
    whole.minus(part).secs() < MOMENT
}

fn not_seen(record: &Record) -> Cause {
    use ibak_dbus::words::PhoneState;
    let absent = record
        .states
        .iter()
        .find(|state| state.value == PhoneState::Absent);
    Cause::NotSeen(absent.map(|state| state.began))
}

/// Explains what the phone's own night lacked, within the time that counts.
fn of_conditions(record: &Record, free: &Spans) -> Cause {
    let absent = blocked(record, free, &WaitsFor::Phone);
    if nearly_all(&absent, free) {
        return not_seen(record);
    }
    let space = blocked(record, free, &WaitsFor::Space);
    if nearly_all(&space, free) {
        return of_store(record, &space);
    }
    let lacking: Vec<(WaitsFor, Spans)> = CONDITIONS
        .iter()
        .map(|(word, _)| (word.clone(), blocked(record, free, word)))
        .collect();
    let apart = lacking.iter().fold(absent.clone(), |all, it| all.or(&it.1));
    let together = free.minus(&apart);
    if together.secs() > 0 {
        return of_together(record, &together);
    }
    of_parts(record, free, &absent, lacking)
}

fn of_store(record: &Record, space: &Spans) -> Cause {
    let within = |seen: &&Stretch<Seen>| Spans::of([(seen.from, seen.until)]).and(space).secs();
    let seen = record.condition(&ConditionName::Space).iter();
    let longest = seen
        .filter(|seen| seen.value.status != ConditionStatus::Met)
        .max_by_key(within);
    Cause::Store(longest.map_or(ConditionReason::StoreNotRead, |it| it.value.reason.clone()))
}

/// The conditions held together: for too short a time, or something else was missing.
fn of_together(record: &Record, together: &Spans) -> Cause {
    let alone = decided(record, |it| {
        it.waits_for.iter().all(|word| *word == WaitsFor::Settling)
    })
    .and(together);
    let longest = together.joined(BREAK).longest();
    let other = most(record, together, |word| *word != WaitsFor::Settling);
    match (alone.longest(), other) {
        (None, Some(word)) => Cause::Held(word, longest),
        (Some((from, until)), Some(word)) => {
            let other = blocked(record, together, &word).secs();
            if other > MOMENT && other > alone.secs() {
                Cause::Held(word, longest)
            } else {
                Cause::Short(from, until)
            }
        }
        (Some((from, until)), None) => Cause::Short(from, until),
        (None, None) => Cause::NotDue,
    }
}

fn of_parts(
    record: &Record,
    free: &Spans,
    absent: &Spans,
    lacking: Vec<(WaitsFor, Spans)>,
) -> Cause {
    let here = free.minus(absent);
    let mut held: Vec<(Part, Spans)> = lacking
        .into_iter()
        .map(|(what, lack)| {
            let (when, lack) = (here.minus(&lack), lack.and(&here));
            let how = how(record, &when, &here).unwrap_or_else(|| unmet(record, &what, &lack));
            (Part { what, how }, when)
        })
        .collect();
    let is_never = |part: &Part| matches!(part.how, How::Never | How::NotKnown | How::NoPasscode);
    let away = (absent.secs() * 10 >= free.secs()).then(|| Part {
        what: WaitsFor::Phone,
        how: how(record, &here, free).unwrap_or(How::Never),
    });
    if held.iter().any(|(part, _)| is_never(part)) {
        let never = held.into_iter().map(|(part, _)| part).filter(is_never);
        return Cause::Never(away.into_iter().chain(never).collect());
    }
    // The fewest that were never met together, beginning with the one that was met least.
    held.sort_by_key(|(_, when)| when.secs());
    let mut parts: Vec<Part> = away.into_iter().collect();
    let mut both = here;
    for (part, when) in held {
        if both.secs() == 0 {
            break;
        }
        let fewer = both.and(&when);
        if fewer.secs() < both.secs() {
            parts.push(part);
        }
        both = fewer;
    }
    // As people read them.
    let place = |part: &Part| CONDITIONS.iter().position(|(word, _)| *word == part.what);
    parts.sort_by_key(place);
    Cause::Apart(parts)
}

/// Says when something was so, of all the time; `None` for never.
fn how(record: &Record, when: &Spans, all: &Spans) -> Option<How> {
    let secs = when.secs();
    let when = bridged(record, &when.joined(BREAK));
    if when.secs() < MOMENT {
        return None;
    }
    let ((from, until), (first, last)) = (when.ends()?, all.ends()?);
    let early = from.saturating_since(first).as_secs() < MOMENT;
    let late = last.saturating_since(until).as_secs() < MOMENT;
    Some(match (when.iter().count(), early, late) {
        (1, true, false) => How::Until(until),
        (1, false, true) => How::From(from),
        (1, _, _) => How::Within(from, until),
        (_, _, _) => How::NowAndThen(secs),
    })
}

/// Adds the gaps on both sides of which it was so: that nobody watched is no change.
fn bridged(record: &Record, when: &Spans) -> Spans {
    let near = |a: Wall, b: Wall| a <= b && b.saturating_since(a).as_secs() < BREAK;
    let gaps = record.gaps.iter().filter_map(|gap| {
        let before = when.iter().find(|(_, end)| near(*end, gap.from))?;
        let after = when.iter().find(|(start, _)| near(gap.until, *start))?;
        Some((before.1, after.0))
    });
    when.or(&Spans::of(gaps))
}

/// Says in which way a condition was never met.
fn unmet(record: &Record, what: &WaitsFor, lack: &Spans) -> How {
    let Some((_, name)) = CONDITIONS.iter().find(|(word, _)| word == what) else {
        return How::Never;
    };
    let time = |is: &dyn Fn(&Seen) -> bool| {
        let seen = record.condition(name).iter().filter(|it| is(&it.value));
        Spans::of(seen.map(|it| (it.from, it.until)))
            .and(lack)
            .secs()
    };
    let unmet = time(&|seen| seen.status == ConditionStatus::Unmet);
    let silent = time(&|seen| seen.reason == ConditionReason::NoPasscode);
    let all = lack.secs();
    if silent * 2 > all {
        How::NoPasscode
    } else if unmet * 2 < all {
        How::NotKnown
    } else {
        How::Never
    }
}

#[cfg(test)]
#[path = "account_tests.rs"]
mod tests;
