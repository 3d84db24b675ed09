//! What should happen, in the plainest words: hours and yes or no. It knows nothing of the daemon.

use crate::life::{Mishap, Moment, PHONES, Stand, Trouble};

/// The policy of a house.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Phones lie on this computer's cable, and that is as good as Wi-Fi.
    pub cable: bool,
    /// The screen must be locked.
    pub lock_counts: bool,
    /// How long after a backup the next one is due, in minutes: the interval less a twelfth.
    pub due_after: i64,
    /// All phones may be backed up at once, not one after the other.
    pub together: bool,
}

/// Which phone it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It has a passcode and an iOS that never asks for it.
    Never,
    /// It has no passcode: that it is locked can only be heard, never read.
    Open,
}

/// How a backup ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Well.
    Done,
    /// The phone refused it.
    Refused,
    /// The phone went away.
    Lost,
    /// The daemon was stopped.
    Stopped,
}

impl End {
    /// Returns the word for it in figures.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Lost => "lost",
            Self::Stopped => "stopped",
        }
    }
}

/// What is to be known of a phone.
#[derive(Clone, Copy, Debug)]
struct Past {
    kind: Kind,
    /// The last backup, in minutes of the wall clock.
    last: Option<i64>,
    /// Backups in a row that went wrong.
    failures: u32,
    /// No try before this, in minutes that really passed.
    not_before: i64,
    /// It has started again and was not unlocked since: it answers nobody.
    silent: bool,
    /// The daemon was there when its screen went off.
    lock_heard: bool,
    before: Stand,
}

/// The model of a house.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    rules: Rules,
    phones: Vec<Past>,
    /// What of the house does not work at this moment.
    mishap: Option<Mishap>,
}

/// Longest wait after a failure, in minutes.
const WAIT_MAX: i64 = 240;

impl Model {
    /// Begins with phones that were never seen.
    pub(crate) fn new(rules: Rules, kinds: [Kind; PHONES]) -> Self {
        let phones = kinds.map(|kind| Past {
            kind,
            last: None,
            failures: 0,
            not_before: 0,
            silent: false,
            lock_heard: false,
            before: Stand::default(),
        });
        Self {
            rules,
            phones: phones.to_vec(),
            mishap: None,
        }
    }

    /// Says which backups there are at a moment, and how each ends. `passed` are the minutes that
    /// really passed since the beginning, `wall` is what the clock on the wall shows.
    pub(crate) fn at(&mut self, moment: &Moment, passed: i64, wall: i64) -> [Option<End>; PHONES] {
        self.mishap = moment.mishap;
        std::array::from_fn(|at| {
            self.hear(at, moment);
            if !self.starts(at, moment.phones[at], passed, wall) {
                return None;
            }
            let end = self.end(moment.troubles[at]);
            self.remember(at, end, passed, wall);
            self.afterwards(at, moment.troubles[at]);
            Some(end)
        })
    }

    /// Returns when a phone was last backed up, in minutes of the wall clock.
    pub(crate) fn last(&self, phone: usize) -> Option<i64> {
        self.phones[phone].last
    }

    /// Tells whether the daemon can talk to a phone.
    fn reaches(&self, phone: &Past, stand: Stand) -> bool {
        let daemon = self.mishap != Some(Mishap::Down);
        let way = if self.rules.cable {
            stand.plugged && self.mishap != Some(Mishap::UsbmuxdGone)
        } else {
            stand.near
        };
        daemon && way && !phone.silent
    }

    /// Takes in what changed since the moment before.
    fn hear(&mut self, at: usize, moment: &Moment) {
        let (stand, mut phone) = (moment.phones[at], self.phones[at]);
        let has_passcode = phone.kind != Kind::Open;
        if !stand.locked {
            phone.silent = false;
        } else if has_passcode && moment.troubles[at] == Some(Trouble::Reboots) {
            phone.silent = true;
        }
        let was_there = self.reaches(&phone, phone.before);
        let is_there = self.reaches(&phone, stand);
        let connection_lives = match self.mishap {
            Some(Mishap::Restart | Mishap::Down) => false,
            Some(Mishap::UsbmuxdRestart | Mishap::UsbmuxdGone) => !self.rules.cable,
            _ => true,
        };
        let locks = stand.locked && !phone.before.locked;
        phone.lock_heard = was_there
            && is_there
            && stand.locked
            && connection_lives
            && (locks || phone.lock_heard);
        phone.before = stand;
        self.phones[at] = phone;
    }

    /// The four conditions, due, and no wait after a failure.
    fn starts(&self, at: usize, stand: Stand, passed: i64, wall: i64) -> bool {
        let phone = &self.phones[at];
        let power = stand.plugged;
        let wifi = stand.near || (self.rules.cable && stand.plugged);
        let locked = match phone.kind {
            Kind::Never => stand.locked,
            Kind::Open => phone.lock_heard,
        };
        let space = self.mishap != Some(Mishap::Full);
        let four = power && wifi && (locked || !self.rules.lock_counts) && space;
        let due = phone
            .last
            .is_none_or(|last| wall - last >= self.rules.due_after);
        four && due && self.reaches(phone, stand) && passed >= phone.not_before
    }

    fn end(&self, trouble: Option<Trouble>) -> End {
        match (self.mishap, trouble) {
            (Some(Mishap::StopsMidway), _) => End::Stopped,
            (_, Some(Trouble::Refuses)) => End::Refused,
            (_, Some(Trouble::Breaks | Trouble::Leaves)) => End::Lost,
            // What began under four conditions may finish.
            (_, Some(Trouble::Unlocked | Trouble::Reboots) | None) => End::Done,
        }
    }

    /// What happened during a backup holds until the next moment.
    fn afterwards(&mut self, at: usize, trouble: Option<Trouble>) {
        let before = &mut self.phones[at].before;
        match (self.mishap, trouble) {
            (Some(Mishap::StopsMidway), _) | (_, Some(Trouble::Leaves)) => {
                (before.near, before.plugged) = (false, false);
            }
            (_, Some(Trouble::Unlocked)) => before.locked = false,
            (_, Some(_) | None) => {}
        }
    }

    fn remember(&mut self, at: usize, end: End, passed: i64, wall: i64) {
        let phone = &mut self.phones[at];
        let first = match end {
            End::Done => {
                phone.failures = 0;
                phone.last = Some(wall);
                return;
            }
            End::Stopped => return,
            End::Refused => 5,
            End::Lost => 1,
        };
        let wait = (first << phone.failures.min(8)).min(WAIT_MAX);
        phone.failures += 1;
        phone.not_before = passed + wait;
    }
}
