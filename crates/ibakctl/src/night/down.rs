//! Whether nobody watched when a backup could have run: the computer asleep, the daemon stopped.
//!
//! Of a gap nobody noted whether a backup was due in it and the window open; what was decided on
//! both sides of it tells. Without a backup nothing that is due ceases to be, so what was not due
//! after a gap was not due in it either. And a day has one window: once it was seen open, it was
//! not open in a gap on both sides of which it was shut.

use super::account::{Cause, MOMENT, decided, is_due};
use super::{Decided, Gap, Record, Spans, Stretch};
use ibak_dbus::Wall;
use ibak_dbus::words::{DecisionWord, WaitsFor};

/// A gap as long as this, in seconds, is worth a word.
pub(super) const GAP_MIN: u64 = 1_800;

/// The gaps of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Down {
    /// Their kind.
    pub gap: Gap,
    /// When the first began.
    pub from: Wall,
    /// When the last ended.
    pub until: Wall,
    /// How many seconds they are in all.
    pub secs: u64,
}

/// Nothing was watched in it, and the time was.
pub(super) const fn is_down(gap: Gap) -> bool {
    match gap {
        Gap::Stopped | Gap::Unseen | Gap::Asleep | Gap::TooMany | Gap::Other => true,
        Gap::Nothing | Gap::ClockSet => false,
    }
}

fn spans<'a>(gaps: impl Iterator<Item = &'a Stretch<Gap>>) -> Spans {
    Spans::of(gaps.map(|gap| (gap.from, gap.until)))
}

/// Tells whether the gaps are why there was no backup: nothing else is known, or they cover nearly
/// all of the time in which one could have run.
pub(super) fn of_gaps(record: &Record) -> Option<Cause> {
    let all = record.until.saturating_since(record.from).as_secs();
    let of = |is: &dyn Fn(Gap) -> bool| spans(record.gaps.iter().filter(|it| is(it.value))).secs();
    let nothing = of(&|gap| gap == Gap::Nothing);
    let others = of(&|gap| gap != Gap::Nothing);
    if nothing + others >= all || record.decisions.is_empty() || nothing * 10 >= all * 9 {
        let kinds = kinds(record.gaps.iter().filter(|it| is_down(it.value)));
        return Some(if kinds.is_empty() || others <= nothing {
            Cause::Nothing
        } else {
            Cause::Down(kinds)
        });
    }
    let open = decided(record, |it| is_due(it) && !is_shut(it)).secs();
    let lost = || {
        let gaps = record.gaps.iter();
        gaps.filter(|gap| is_down(gap.value) && may_have_run(record, gap, open))
    };
    let secs = spans(lost()).secs();
    (secs >= GAP_MIN && secs * 10 >= (secs + open) * 9).then(|| Cause::Down(kinds(lost())))
}

fn is_shut(decided: &Decided) -> bool {
    decided.waits_for.contains(&WaitsFor::Window)
}

/// Tells whether a backup may have been due in a gap and the window open, which it was for `open`
/// seconds while somebody watched.
fn may_have_run(record: &Record, gap: &Stretch<Gap>, open: u64) -> bool {
    let decisions = || record.decisions.iter();
    let before = decisions().rfind(|it| it.until <= gap.from);
    let after = decisions().find(|it| it.from >= gap.until);
    if after.or(before).is_some_and(|it| !is_due(&it.value)) {
        return false;
    }
    let mut sides = [before, after].into_iter().flatten();
    if sides.any(|it| is_due(&it.value) && !is_shut(&it.value)) {
        return true;
    }
    // The window may have been open in the gap, or else while nothing was due.
    let idle = decided(record, |it| it.word == DecisionWord::NotDue).secs();
    open < MOMENT && gap.until.saturating_since(gap.from).as_secs() > idle
}

/// Puts the gaps of each kind together, in order of time; without kinds that hardly count.
fn kinds<'a>(gaps: impl Iterator<Item = &'a Stretch<Gap>>) -> Vec<Down> {
    let gaps: Vec<&Stretch<Gap>> = gaps.collect();
    let mut names: Vec<Gap> = Vec::new();
    for gap in &gaps {
        if !names.contains(&gap.value) {
            names.push(gap.value);
        }
    }
    let all = spans(gaps.iter().copied()).secs();
    let kinds = names.into_iter().filter_map(|gap| {
        let those = spans(gaps.iter().copied().filter(|it| it.value == gap));
        let ((from, until), secs) = (those.ends()?, those.secs());
        let counts = secs * 10 > all;
        counts.then_some(Down {
            gap,
            from,
            until,
            secs,
        })
    });
    kinds.collect()
}
