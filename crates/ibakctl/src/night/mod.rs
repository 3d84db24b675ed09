//! A night made whole again from what the daemon noted: rows in, stretches of time out. Pure.
//!
//! A value holds from its row to the next row about the same thing. Where nothing is known, there is
//! a [`Gap`] and no stretch: neither a start of the daemon nor a sleep of the computer lets a value
//! go on as if it had been watched.

mod account;
mod down;
#[cfg(test)]
pub(crate) mod script;
mod spans;
mod which;

pub use account::{Account, Cause, How, Part, account};
pub use down::Down;
pub use spans::Spans;
pub use which::Night;

use ibak_dbus::views::ObservationView;
use ibak_dbus::words::{
    ConditionName, ConditionReason, ConditionStatus, DecisionWord, EvidenceSource, GapWord,
    JobKind, ObservationKind, PhoneState, WaitsFor,
};
use ibak_dbus::{JobId, Wall};
use std::collections::BTreeMap;

/// Something that was so from one moment to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch<T> {
    /// Since when, not before the beginning of what was asked for.
    pub from: Wall,
    /// Until when.
    pub until: Wall,
    /// When it really began.
    pub began: Wall,
    /// What was so.
    pub value: T,
}

/// What was known of a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Whether it held.
    pub status: ConditionStatus,
    /// Why.
    pub reason: ConditionReason,
    /// From where.
    pub source: Option<EvidenceSource>,
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// In a word.
    pub word: DecisionWord,
    /// What was waited for.
    pub waits_for: Vec<WaitsFor>,
}

/// A job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worked {
    /// What it did.
    pub kind: JobKind,
    /// Which it was.
    pub id: Option<JobId>,
}

/// Why nothing is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gap {
    /// Nothing was noted yet, or no longer is.
    Nothing,
    /// The daemon was stopped.
    Stopped,
    /// The daemon ended, and nobody saw when: it may have watched for a while.
    Unseen,
    /// The computer was asleep.
    Asleep,
    /// The computer's clock was set forward: the time never was.
    ClockSet,
    /// So much changed that not all was noted.
    TooMany,
    /// A newer daemon's reason.
    Other,
}

/// What is known of a phone between two moments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The first of them.
    pub from: Wall,
    /// The second.
    pub until: Wall,
    /// The conditions.
    pub conditions: BTreeMap<ConditionName, Vec<Stretch<Seen>>>,
    /// The decisions.
    pub decisions: Vec<Stretch<Decided>>,
    /// The phone's states.
    pub states: Vec<Stretch<PhoneState>>,
    /// Its jobs.
    pub jobs: Vec<Stretch<Worked>>,
    /// When nothing is known.
    pub gaps: Vec<Stretch<Gap>>,
}

impl Record {
    /// Returns the stretches of one condition.
    pub fn condition(&self, name: &ConditionName) -> &[Stretch<Seen>] {
        self.conditions.get(name).map_or(&[], Vec::as_slice)
    }

    /// Returns what is known of a condition at the end.
    pub fn last_of(&self, name: &ConditionName) -> Option<&Stretch<Seen>> {
        let last = self.condition(name).last()?;
        (last.until == self.until).then_some(last)
    }
}

/// Puts rows together to what was so from `from` to `until`. The rows come in the order in which
/// they were noted, those of how things stood at `from` first.
pub fn reconstruct(rows: &[ObservationView], from: Wall, until: Wall) -> Record {
    let mut builder = Builder::default();
    for row in rows.iter().filter(|row| row.at < until) {
        builder.take(row);
    }
    builder.finish(from, until)
}

/// One thing as it is being put together.
#[derive(Debug)]
struct Track<T> {
    done: Vec<Stretch<T>>,
    open: Option<(Wall, T)>,
}

impl<T> Default for Track<T> {
    fn default() -> Self {
        Self {
            done: Vec::new(),
            open: None,
        }
    }
}

impl<T> Track<T> {
    fn close(&mut self, at: Wall) {
        if let Some((began, value)) = self.open.take() {
            self.done.push(Stretch {
                from: began,
                until: at,
                began,
                value,
            });
        }
    }

    fn begin(&mut self, at: Wall, value: T) {
        self.close(at);
        self.open = Some((at, value));
    }
}

impl<T: Clone> Track<T> {
    /// Ends it, and leaves out what lies outside and what lies in a gap.
    fn finish(mut self, from: Wall, until: Wall, gaps: &[Stretch<Gap>]) -> Vec<Stretch<T>> {
        self.close(until);
        let mut kept = Vec::new();
        for stretch in self.done {
            let mut left = vec![(stretch.from.max(from), stretch.until.min(until))];
            for gap in gaps {
                left = left
                    .into_iter()
                    .flat_map(|(a, b)| [(a, b.min(gap.from)), (a.max(gap.until), b)])
                    .filter(|(a, b)| a < b)
                    .collect();
            }
            let pieces = left.into_iter().filter(|(a, b)| a < b);
            kept.extend(pieces.map(|(a, b)| Stretch {
                from: a,
                until: b,
                began: stretch.began,
                value: stretch.value.clone(),
            }));
        }
        kept
    }
}

#[derive(Debug, Default)]
struct Builder {
    conditions: BTreeMap<ConditionName, Track<Seen>>,
    decisions: Track<Decided>,
    states: Track<PhoneState>,
    jobs: Track<Option<Worked>>,
    gaps: Vec<Stretch<Gap>>,
    /// A gap whose end is not known yet.
    open: Option<(Wall, Gap)>,
    /// Whether anything was known yet.
    begun: bool,
}

impl Builder {
    fn take(&mut self, row: &ObservationView) {
        match &row.what {
            ObservationKind::Daemon => self.daemon(row),
            ObservationKind::Computer => {
                let kind = match GapWord::parse(&row.word) {
                    GapWord::Asleep => Gap::Asleep,
                    GapWord::ClockSet => Gap::ClockSet,
                    GapWord::Started
                    | GapWord::Restarted
                    | GapWord::Stopped
                    | GapWord::TooMany
                    | GapWord::Other(_) => Gap::Other,
                };
                if let Some(since) = row.since {
                    self.gap(kind, since, row.at);
                }
            }
            ObservationKind::Other(_) => {}
            ObservationKind::Power
            | ObservationKind::Wifi
            | ObservationKind::Locked
            | ObservationKind::Space
            | ObservationKind::Decision
            | ObservationKind::State
            | ObservationKind::Job => self.phone(row),
        }
    }

    fn phone(&mut self, row: &ObservationView) {
        self.end_gap(row.at);
        self.begun = true;
        let condition = match &row.what {
            ObservationKind::Power => ConditionName::Power,
            ObservationKind::Wifi => ConditionName::Wifi,
            ObservationKind::Locked => ConditionName::Locked,
            ObservationKind::Space => ConditionName::Space,
            ObservationKind::Decision => {
                let decided = Decided {
                    word: DecisionWord::parse(&row.word),
                    waits_for: row.waits_for.clone(),
                };
                return self.decisions.begin(row.at, decided);
            }
            ObservationKind::State => {
                return self.states.begin(row.at, PhoneState::parse(&row.word));
            }
            ObservationKind::Job => {
                let job = (!row.word.is_empty()).then(|| Worked {
                    kind: JobKind::parse(&row.word),
                    id: row.job,
                });
                return self.jobs.begin(row.at, job);
            }
            ObservationKind::Daemon | ObservationKind::Computer | ObservationKind::Other(_) => {
                return;
            }
        };
        let seen = Seen {
            status: ConditionStatus::parse(&row.word),
            reason: row
                .reason
                .clone()
                .unwrap_or(ConditionReason::Other(String::new())),
            source: row.source.clone(),
        };
        let track = self.conditions.entry(condition).or_default();
        track.begin(row.at, seen);
    }

    fn daemon(&mut self, row: &ObservationView) {
        let since = row.since.unwrap_or(row.at);
        let kind = match GapWord::parse(&row.word) {
            GapWord::Started => Gap::Stopped,
            GapWord::Restarted => Gap::Unseen,
            GapWord::Stopped | GapWord::TooMany => {
                self.close_all(row.at);
                let stopped = row.word == GapWord::Stopped.as_str();
                let kind = if stopped { Gap::Stopped } else { Gap::TooMany };
                self.open = Some((row.at, kind));
                return;
            }
            GapWord::Asleep | GapWord::ClockSet | GapWord::Other(_) => Gap::Other,
        };
        self.close_all(since);
        self.end_gap(since);
        if row.since.is_some() {
            self.gap(kind, since, row.at);
            self.begun = true;
        }
    }

    fn end_gap(&mut self, at: Wall) {
        if let Some((since, kind)) = self.open.take() {
            self.gap(kind, since, at);
        }
    }

    fn gap(&mut self, kind: Gap, from: Wall, until: Wall) {
        if from < until {
            self.gaps.push(Stretch {
                from,
                until,
                began: from,
                value: kind,
            });
        }
    }

    fn close_all(&mut self, at: Wall) {
        for track in self.conditions.values_mut() {
            track.close(at);
        }
        self.decisions.close(at);
        self.states.close(at);
        self.jobs.close(at);
    }

    fn finish(mut self, from: Wall, until: Wall) -> Record {
        self.end_gap(until);
        // What lies before the first word about the phone, and in no other gap.
        let first = self.states.done.first().map(|it| it.from);
        let first = first.or(self.states.open.as_ref().map(|(at, _)| *at));
        let others = self.gaps.first().map(|it| it.from);
        let known = first.into_iter().chain(others).min().unwrap_or(until);
        if known > from {
            self.gap(Gap::Nothing, from, known);
        }
        let mut gaps: Vec<Stretch<Gap>> = self
            .gaps
            .into_iter()
            .map(|gap| Stretch {
                from: gap.from.max(from),
                until: gap.until.min(until),
                ..gap
            })
            .filter(|gap| gap.from < gap.until)
            .collect();
        gaps.sort_by_key(|gap| gap.from);
        let jobs = self.jobs.finish(from, until, &gaps);
        Record {
            from,
            until,
            conditions: self
                .conditions
                .into_iter()
                .map(|(name, track)| (name, track.finish(from, until, &gaps)))
                .collect(),
            decisions: self.decisions.finish(from, until, &gaps),
            states: self.states.finish(from, until, &gaps),
            jobs: jobs
                .into_iter()
                .filter_map(|it| {
                    Some(Stretch {
                        from: it.from,
                        until: it.until,
                        began: it.began,
                        value: it.value?,
                    })
                })
                .collect(),
            gaps,
        }
    }
}

#[cfg(test)]
#[path = "reconstruct_tests.rs"]
mod tests;
