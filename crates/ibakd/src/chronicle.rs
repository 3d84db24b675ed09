//! What is worth noting for the morning after: from picture to picture, whatever came to be
//! different about a phone's conditions, its decision, its state and its job.
//!
//! Pure: a picture and the time in, notes out. A value that stays as it was makes no note, and of a
//! condition only its status and reason are its value: where the evidence came from is noted with
//! them, and makes no note by itself. What is between two notes about one thing is what the first
//! of them says; [`Gap`]s say when nothing is known. A phone that flaps makes at most
//! [`NOTES_PER_HOUR_MAX`] notes an hour, the last of which says so; with the next hour everything
//! about it is noted afresh.

use ibak_core::{Condition, ConditionState, Decision, Now, PhoneView, Udid, View, Wall};
use ibak_dbus::words::EvidenceSource;
use std::collections::BTreeMap;
use std::time::Duration;

/// Most notes about one phone in an hour of UTC: a lively evening has about twenty.
pub const NOTES_PER_HOUR_MAX: u32 = 120;
/// Shortest sleep of the computer, and smallest step of its clock, that is noted.
pub const GAP_MIN: Duration = Duration::from_secs(60);

/// What a note is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum What {
    /// One of the four conditions.
    Condition(Condition),
    /// What was decided about the automatic backup.
    Decision,
    /// The phone's state.
    State,
    /// Its job.
    Job,
    /// The daemon.
    Daemon,
    /// This computer.
    Computer,
}

impl What {
    /// Lists all.
    pub const ALL: [Self; 9] = [
        Self::Condition(Condition::Power),
        Self::Condition(Condition::Wifi),
        Self::Condition(Condition::Locked),
        Self::Condition(Condition::Space),
        Self::Decision,
        Self::State,
        Self::Job,
        Self::Daemon,
        Self::Computer,
    ];

    /// Returns the word on the bus and on the disk.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Condition(condition) => condition.word(),
            Self::Decision => "decision",
            Self::State => "state",
            Self::Job => "job",
            Self::Daemon => "daemon",
            Self::Computer => "computer",
        }
    }
}

/// Why nothing is known for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// The daemon began, for the first time or after it was stopped.
    Started,
    /// The daemon began after an end that nobody saw.
    Restarted,
    /// The daemon was stopped.
    Stopped,
    /// The computer was asleep.
    Asleep,
    /// The computer's clock was set forward.
    ClockSet,
    /// Too much changed to note all of it.
    TooMany,
}

impl Gap {
    /// Returns the word on the bus and on the disk.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Restarted => "restarted",
            Self::Stopped => "stopped",
            Self::Asleep => "asleep",
            Self::ClockSet => "clock-set",
            Self::TooMany => "too-many",
        }
    }
}

/// One note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// When it came to be so.
    pub at: Wall,
    /// Of which phone; `None` concerns all.
    pub phone: Option<Udid>,
    /// About what.
    pub what: What,
    /// What it came to be.
    pub word: String,
    /// The reason of a condition, what a decision waits for (with commas), the trigger of a job.
    pub more: String,
    /// Where the evidence of a condition came from; empty when from nowhere.
    pub source: String,
    /// A job's number, 0 = none.
    pub job: u64,
    /// When the gap began that ends here.
    pub since: Option<Wall>,
}

impl Note {
    /// Makes a note about a gap that began at `since`.
    pub fn gap(gap: Gap, since: Option<Wall>, at: Wall) -> Self {
        let what = match gap {
            Gap::Started | Gap::Restarted | Gap::Stopped | Gap::TooMany => What::Daemon,
            Gap::Asleep | Gap::ClockSet => What::Computer,
        };
        Self {
            at,
            phone: None,
            what,
            word: gap.word().to_owned(),
            more: String::new(),
            source: String::new(),
            job: 0,
            since,
        }
    }
}

/// A value that is compared with the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Value {
    word: &'static str,
    more: String,
    job: u64,
}

/// Remembers what was noted last.
#[derive(Debug, Default)]
pub struct Chronicle {
    phones: BTreeMap<Udid, Known>,
    last: Option<(Now, Duration)>,
}

/// What was last noted about one phone.
#[derive(Debug, Default)]
struct Known {
    values: BTreeMap<What, Value>,
    hour: i64,
    notes: u32,
}

impl Chronicle {
    /// Begins with so many notes that each phone has already in this hour.
    pub fn new(now: Wall, counts: BTreeMap<Udid, u32>) -> Self {
        let known = |notes| Known {
            notes,
            hour: hour(now),
            ..Known::default()
        };
        Self {
            phones: counts.into_iter().map(|(p, n)| (p, known(n))).collect(),
            last: None,
        }
    }

    /// Compares this picture with the one before and returns what is to be noted. `slept` is how
    /// long this computer has slept since it was switched on.
    pub fn observe(&mut self, view: &View, now: Now, slept: Duration) -> Vec<Note> {
        let mut notes = self.gaps(now, slept);
        self.phones.retain(|udid, known| {
            // The count of one that is forgotten and comes back goes on.
            let there = view.phones.contains_key(udid);
            if !there {
                known.values.clear();
            }
            there || known.hour == hour(now.wall)
        });
        for (udid, phone) in &view.phones {
            let known = self.phones.entry(udid.clone()).or_default();
            known.observe(udid, phone, job_of(view, phone), now.wall, &mut notes);
        }
        notes
    }

    /// Has everything noted afresh.
    pub fn forget(&mut self) {
        self.phones.clear();
    }

    /// Notices that the computer slept or that its clock was set forward since the last look. The
    /// end of either is taken to be this moment.
    fn gaps(&mut self, now: Now, slept: Duration) -> Vec<Note> {
        let Some((then, slept_then)) = self.last.replace((now, slept)) else {
            return Vec::new();
        };
        let passed = now.monotonic.saturating_since(then.monotonic);
        let set = now.wall.saturating_since(then.wall).saturating_sub(passed);
        let asleep = slept.saturating_sub(slept_then).min(passed);
        [(Gap::Asleep, asleep), (Gap::ClockSet, set)]
            .into_iter()
            .filter(|(_, length)| *length >= GAP_MIN)
            .map(|(gap, length)| Note::gap(gap, Some(now.wall - length), now.wall))
            .collect()
    }
}

impl Known {
    fn observe(
        &mut self,
        udid: &Udid,
        phone: &PhoneView,
        job: Option<Value>,
        at: Wall,
        notes: &mut Vec<Note>,
    ) {
        if self.hour != hour(at) {
            if self.is_full() {
                self.values.clear();
            }
            (self.hour, self.notes) = (hour(at), 0);
        }
        for (what, value, source) in values(phone, job) {
            if self.values.get(&what) == Some(&value) || self.is_full() {
                continue;
            }
            if what == What::Job && value.word.is_empty() && !self.values.contains_key(&what) {
                // None is what it is without a note.
                self.values.insert(what, value);
                continue;
            }
            self.notes += 1;
            let mut note = Note {
                at,
                phone: Some(udid.clone()),
                what,
                word: value.word.to_owned(),
                more: value.more.clone(),
                source: source.unwrap_or_default(),
                job: value.job,
                since: None,
            };
            if self.is_full() {
                note = Note {
                    phone: Some(udid.clone()),
                    ..Note::gap(Gap::TooMany, None, at)
                };
            }
            self.values.insert(what, value);
            notes.push(note);
        }
    }

    fn is_full(&self) -> bool {
        self.notes >= NOTES_PER_HOUR_MAX
    }
}

/// Lists everything about a phone that is noted, with where the evidence is from.
fn values(
    phone: &PhoneView,
    job: Option<Value>,
) -> impl Iterator<Item = (What, Value, Option<String>)> + '_ {
    let conditions = phone.conditions.iter().map(|(condition, state)| {
        (
            What::Condition(condition),
            of_condition(state),
            state
                .source
                .map(|source| EvidenceSource::from(source).to_string()),
        )
    });
    let plain = |word| Value {
        word,
        more: String::new(),
        job: 0,
    };
    let job = job.unwrap_or(plain(""));
    let others = [
        (What::Decision, of_decision(&phone.decision), None),
        (What::State, plain(phone.state.word()), None),
        (What::Job, job, None),
    ];
    conditions.chain(others)
}

fn of_condition(state: &ConditionState) -> Value {
    Value {
        word: state.verdict.status().word(),
        more: state.verdict.word().to_owned(),
        job: 0,
    }
}

fn of_decision(decision: &Decision) -> Value {
    let waits = match decision {
        Decision::NotDue { .. } => Vec::new(),
        other => other.waits_for(),
    };
    Value {
        word: decision.word(),
        more: waits.join(","),
        job: 0,
    }
}

fn job_of(view: &View, phone: &PhoneView) -> Option<Value> {
    let job = view.jobs.get(&phone.job?)?;
    Some(Value {
        word: job.kind.word(),
        more: job.trigger.word().to_owned(),
        job: job.id.get(),
    })
}

fn hour(at: Wall) -> i64 {
    at.as_secs().div_euclid(3_600)
}

#[cfg(test)]
#[path = "chronicle_tests.rs"]
mod tests;
