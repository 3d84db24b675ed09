//! What should happen, in the plainest words: hours and yes or no. It knows nothing of the daemon.

use crate::life::{Answer, Mishap, Moment, PHONES, Stand, Trouble};

/// The policy of a house.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Phones lie on this computer's cable, and that is as good as Wi-Fi.
    pub(crate) cable: bool,
    /// The screen must be locked.
    pub(crate) lock_counts: bool,
    /// How long after a backup the next one is due, in minutes: the interval less a twelfth.
    pub(crate) due_after: i64,
    /// Within which local time of day backups begin by themselves, in minutes.
    pub(crate) window: (i64, i64),
    /// All phones may be backed up at once, not one after the other.
    pub(crate) together: bool,
}

/// Which phone it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It has a passcode and an iOS that never asks for it.
    Never,
    /// It has no passcode: that it is locked can only be heard, never read.
    Open,
    /// It asks for its passcode, which is known once it was seen locked.
    Asks,
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
    /// Nobody gave the passcode.
    NotConfirmed,
    /// It was given, and the phone was not locked.
    NotLocked,
}

impl End {
    /// Returns the word for it in figures.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Lost => "lost",
            Self::Stopped => "stopped",
            Self::NotConfirmed => "not-confirmed",
            Self::NotLocked => "not-locked",
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
    /// It was seen locked.
    lock_seen: bool,
    /// The local day on which it last asked: once a day is enough.
    asked: Option<i64>,
    before: Stand,
    /// The daemon could talk to it at the moment before.
    was_reached: bool,
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
/// When a phone may ask, in minutes of the local time of day: 19:00 to 23:30.
const ASK_HOURS: (i64, i64) = (19 * 60, 23 * 60 + 30);
/// Summer time in Berlin, in minutes since the first midnight (2026-11-22, UTC): from 2027-03-28
/// to 2027-10-31, both at 1:00 UTC.
const SUMMER: std::ops::Range<i64> = 126 * 1440 + 60..343 * 1440 + 60;

/// Returns what a clock in Berlin shows, in minutes since the first midnight.
fn local(wall: i64) -> i64 {
    wall + if SUMMER.contains(&wall) { 120 } else { 60 }
}

/// Tells whether a local time of day is within some hours, perhaps over midnight; hours from a time
/// to the same one are the whole day.
fn within((from, to): (i64, i64), local: i64) -> bool {
    let now = local.rem_euclid(1440);
    if from < to {
        (from..to).contains(&now)
    } else {
        now >= from || now < to
    }
}

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
            lock_seen: false,
            asked: None,
            before: Stand::default(),
            was_reached: false,
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
            let stand = moment.phones[at];
            let end = if self.asks(at, stand, wall) || self.tries(at, stand, wall) {
                self.phones[at].asked = Some(local(wall) / 1440);
                self.phones[at].lock_seen = true;
                self.answered(moment.answers[at])
            } else if self.starts(at, stand, passed, wall) {
                self.end(moment.troubles[at])
            } else {
                return None;
            };
            self.remember(at, end, passed, wall);
            self.afterwards(at, moment.troubles[at], end);
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
        let was_there = phone.was_reached && !phone.silent;
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
        phone.lock_seen |= is_there && stand.locked;
        phone.before = stand;
        phone.was_reached = is_there;
        self.phones[at] = phone;
    }

    /// What every backup needs that begins by itself: due, within the hours, room, power, Wi-Fi.
    fn may_begin(&self, at: usize, stand: Stand, wall: i64) -> bool {
        let phone = &self.phones[at];
        let due = phone
            .last
            .is_none_or(|last| wall - last >= self.rules.due_after);
        let space = self.mishap != Some(Mishap::Full);
        let power = stand.plugged;
        let wifi = stand.near || (self.rules.cable && stand.plugged);
        let open = within(self.rules.window, local(wall));
        due && open && space && power && wifi && self.reaches(phone, stand)
    }

    /// A phone that asks does so while somebody has it in hand: unlocked and on power, in the
    /// evening, once a day.
    fn asks(&self, at: usize, stand: Stand, wall: i64) -> bool {
        let phone = &self.phones[at];
        let known = phone.kind == Kind::Asks && phone.lock_seen;
        let hours = within(ASK_HOURS, local(wall));
        let not_yet = phone.asked != Some(local(wall) / 1440);
        known && !stand.locked && hours && not_yet && self.may_begin(at, stand, wall)
    }

    /// Whether a phone asks is not known before it was seen locked; where that does not count, one
    /// try finds out.
    fn tries(&self, at: usize, stand: Stand, wall: i64) -> bool {
        let phone = &self.phones[at];
        let unknown = phone.kind == Kind::Asks && !phone.lock_seen;
        unknown && !self.rules.lock_counts && self.may_begin(at, stand, wall)
    }

    /// A phone that does not ask starts when it is locked as well, and does not wait after a failure.
    fn starts(&self, at: usize, stand: Stand, passed: i64, wall: i64) -> bool {
        let phone = &self.phones[at];
        let locked = match phone.kind {
            Kind::Never => stand.locked,
            Kind::Open => phone.lock_heard,
            Kind::Asks => return false,
        };
        let four = self.may_begin(at, stand, wall) && (locked || !self.rules.lock_counts);
        four && passed >= phone.not_before
    }

    fn answered(&self, answer: Answer) -> End {
        match answer {
            Answer::Ignores | Answer::Dismisses => End::NotConfirmed,
            Answer::Stays if self.rules.lock_counts => End::NotLocked,
            Answer::Gives | Answer::Stays => End::Done,
        }
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
    fn afterwards(&mut self, at: usize, trouble: Option<Trouble>, end: End) {
        let locks = self.phones[at].kind == Kind::Asks && self.rules.lock_counts;
        let phone = &mut self.phones[at];
        match (self.mishap, trouble) {
            (Some(Mishap::StopsMidway), _) | (_, Some(Trouble::Leaves)) => {
                phone.was_reached = false;
            }
            (_, Some(Trouble::Unlocked)) => phone.before.locked = false,
            // Who gave the passcode locked the phone.
            (_, Some(_) | None) => phone.before.locked |= locks && end == End::Done,
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
            End::Stopped | End::NotConfirmed | End::NotLocked => return,
            End::Refused => 5,
            End::Lost => 1,
        };
        let wait = (first << phone.failures.min(8)).min(WAIT_MAX);
        phone.failures += 1;
        phone.not_before = passed + wait;
    }
}
