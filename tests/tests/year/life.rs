//! A year in the life of a house, drawn from a seed: when each phone is plugged in, locked and
//! carried about, and what goes wrong.
//!
//! Time is a few moments a day. What ends, ends just before its moment, and what begins, begins at
//! it; between two moments nothing changes, so that the model needs no clock of its own.

use ibak_tests::trouble::Dice;

/// How many phones the house has.
pub(crate) const PHONES: usize = 5;
/// The hours of a day's moments, from its evening to the next afternoon. No two of them are 22 or
/// 66 hours apart (modulo a day), so that no backup is due at the very second of a moment.
pub(crate) const HOURS: [i64; 10] = [18, 19, 22, 23, 26, 27, 30, 31, 34, 38];

/// How a phone stands at a moment.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Stand {
    /// It is at home, on the Wi-Fi.
    pub(crate) near: bool,
    /// It is on the charger; in a house with cables, on this computer's.
    pub(crate) plugged: bool,
    /// Its screen is locked.
    pub(crate) locked: bool,
}

impl std::fmt::Debug for Stand {
    /// `hpl`: at home, on power, locked; a dash for what is not so.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let letters = [(self.near, 'h'), (self.plugged, 'p'), (self.locked, 'l')];
        let text: String = letters
            .map(|(so, letter)| if so { letter } else { '-' })
            .iter()
            .collect();
        f.write_str(&text)
    }
}

/// What happens to a phone at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It refuses the backup.
    Refuses,
    /// The connection breaks while files arrive.
    Breaks,
    /// It is carried away once the backup has begun.
    Leaves,
    /// It is unlocked once the backup has begun.
    Unlocked,
    /// It starts again, and nobody unlocks it before the morning.
    Reboots,
}

/// What the person does with the question for the passcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Enters it and locks the phone.
    Gives,
    /// Enters it and goes on using the phone.
    Stays,
    /// Does not see it.
    Ignores,
    /// Taps it away.
    Dismisses,
}

/// What happens to the house at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mishap {
    /// The daemon ends and starts again.
    Restart,
    /// The daemon ends, and starts again at the next moment.
    Down,
    /// The daemon ends once a backup has begun, and starts again.
    StopsMidway,
    /// usbmuxd ends and starts again.
    UsbmuxdRestart,
    /// usbmuxd ends, and starts again at the next moment.
    UsbmuxdGone,
    /// There is no room for a backup until the next moment.
    Full,
    /// Somebody sets the wall clock, by so many minutes.
    Clock(i64),
}

/// A moment of a day.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// When, in minutes since the day's midnight.
    pub(crate) minute: i64,
    /// How the phones stand.
    pub(crate) phones: [Stand; PHONES],
    /// What happens to them.
    pub(crate) troubles: [Option<Trouble>; PHONES],
    /// What the persons do when they are asked.
    pub(crate) answers: [Answer; PHONES],
    /// What happens to the house.
    pub(crate) mishap: Option<Mishap>,
}

/// How somebody treats a phone; chances in percent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Habits {
    /// Nights away from home.
    away: u64,
    /// Nights at home without a charger.
    forgets: u64,
    /// Nights in which the phone is looked at.
    restless: u64,
    /// Nights with a trouble.
    unlucky: u64,
}

/// The habits of the five.
pub(crate) const HABITS: [Habits; PHONES] = [
    habits(3, 3, 5, 10),
    habits(5, 10, 10, 15),
    habits(15, 15, 20, 10),
    habits(10, 35, 30, 15),
    habits(40, 20, 10, 25),
];

const fn habits(away: u64, forgets: u64, restless: u64, unlucky: u64) -> Habits {
    Habits {
        away,
        forgets,
        restless,
        unlucky,
    }
}

/// How one phone spends a night, by the places of its moments in [`HOURS`].
struct Night {
    away: bool,
    plugged: std::ops::Range<usize>,
    locked: std::ops::Range<usize>,
    /// Unlocked at this moment, in the middle of the night.
    looked_at: Option<usize>,
    /// Off the charger at this moment, or off the Wi-Fi.
    moved: Option<usize>,
    trouble: Option<(usize, Trouble)>,
    answer: Answer,
}

fn chance(dice: &mut Dice, percent: u64) -> bool {
    dice.below(100) < percent
}

fn between(dice: &mut Dice, from: usize, to: usize) -> usize {
    let span = u64::try_from(to - from).unwrap_or(0);
    from + usize::try_from(dice.below(span)).unwrap_or(0)
}

impl Night {
    fn draw(dice: &mut Dice, habits: Habits) -> Self {
        const TROUBLES: [Trouble; 5] = [
            Trouble::Refuses,
            Trouble::Breaks,
            Trouble::Leaves,
            Trouble::Unlocked,
            Trouble::Reboots,
        ];
        let away = chance(dice, habits.away);
        let forgets = chance(dice, habits.forgets);
        let (plugs, wakes) = (between(dice, 0, 4), between(dice, 6, 9));
        let locks = between(dice, plugs + 1, 6);
        let mut sometimes = |percent, from, to| {
            let at = between(dice, from, to);
            chance(dice, percent).then_some(at)
        };
        let looked_at = sometimes(habits.restless, locks, wakes);
        let moved = sometimes(habits.restless, plugs, wakes);
        // In the hand of somebody who may be asked nothing else goes wrong.
        let trouble = sometimes(habits.unlucky, locks, wakes).filter(|at| looked_at != Some(*at));
        let answer = match dice.below(10) {
            0 => Answer::Stays,
            1 => Answer::Ignores,
            2 => Answer::Dismisses,
            _ => Answer::Gives,
        };
        let kind = TROUBLES[between(dice, 0, TROUBLES.len())];
        Self {
            away,
            plugged: if forgets { 0..0 } else { plugs..wakes },
            locked: locks..wakes,
            looked_at,
            moved,
            trouble: trouble.map(|at| (at, kind)),
            answer,
        }
    }

    fn stand(&self, at: usize) -> Stand {
        let here = !self.away && self.moved != Some(at);
        Stand {
            near: here,
            plugged: here && self.plugged.contains(&at),
            locked: self.locked.contains(&at) && self.looked_at != Some(at),
        }
    }
}

/// Draws a day.
pub(crate) fn day(dice: &mut Dice) -> Vec<Moment> {
    const MISHAPS: [Mishap; 8] = [
        Mishap::Restart,
        Mishap::Down,
        Mishap::StopsMidway,
        Mishap::UsbmuxdRestart,
        Mishap::UsbmuxdGone,
        Mishap::Full,
        Mishap::Clock(40),
        Mishap::Clock(-40),
    ];
    let nights = HABITS.map(|habits| Night::draw(dice, habits));
    // Never at the first: what lasts until the next moment is over before another day's mishap.
    let (when, what) = (between(dice, 1, HOURS.len()), between(dice, 0, 8));
    // Nor is the daemon stopped while somebody answers.
    let mishap = if MISHAPS[what] == Mishap::StopsMidway && HOURS[when] < 24 {
        Mishap::Restart
    } else {
        MISHAPS[what]
    };
    let happens = chance(dice, 30);
    let moment = |(at, hour): (usize, &i64)| Moment {
        minute: hour * 60,
        phones: nights.each_ref().map(|night| night.stand(at)),
        troubles: nights.each_ref().map(|night| {
            let (_, trouble) = night.trouble.filter(|(when, _)| *when == at)?;
            Some(trouble)
        }),
        answers: nights.each_ref().map(|night| night.answer),
        mishap: (happens && when == at).then_some(mishap),
    };
    HOURS.iter().enumerate().map(moment).collect()
}
