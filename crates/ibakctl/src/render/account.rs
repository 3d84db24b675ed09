//! Why a night came as it did, in one sentence.

use super::night::between;
use super::{outcome, waits};
use crate::moment;
use crate::night::{Account, Cause, Down, Gap, How, Part};
use crate::style::Style;
use crate::text;
use ibak_dbus::words::{ConditionReason, Outcome, Trigger, WaitsFor};
use ibak_dbus::{Bytes, Wall};

/// The longest that the conditions may have to hold together before a backup begins, in seconds.
const SETTLE_MAX: u64 = 3_600;
/// Shorter times than this between two gaps, in seconds, do not make them two.
const BREAK: u64 = 120;

/// The one true sentence of a night that is called `name` at the beginning of a sentence.
pub fn sentence(name: &str, account: &Account, style: &Style) -> String {
    let clause = clause(&account.cause, account.windowed, style);
    let gap = account.gap.map_or_else(String::new, |(gap, from, until)| {
        let at = |at| moment::time_of_day(at, style);
        format!(
            "; from {} to {} {}",
            at(from),
            at(until),
            match gap {
                Gap::Nothing => "nothing was noted",
                Gap::Stopped => "ibakd was not running",
                Gap::Unseen => "nothing is known, for ibakd ended unseen",
                Gap::Asleep => "this computer was asleep",
                Gap::ClockSet => "there was no time, for the clock was set",
                Gap::TooMany => "too much changed to note all of it",
                Gap::Other => "nothing is known",
            }
        )
    });
    format!("{name}: {clause}{gap}.")
}

/// The sentence without the night's name and the dot, for a table too.
pub(super) fn clause(cause: &Cause, windowed: bool, style: &Style) -> String {
    let at = |at: Wall| moment::time_of_day(at, style);
    let inside = if windowed {
        "in its backup window "
    } else {
        ""
    };
    match cause {
        Cause::Ran {
            started,
            ended,
            bytes,
            trigger,
        } => ran(*started, *ended, *bytes, trigger, style),
        Cause::Running(since) => format!("it has been backed up since {}", at(*since)),
        Cause::Tried {
            result,
            started,
            tries,
        } => tried(result, *started, *tries, style),
        Cause::Nothing => "nothing was noted, so nobody can say".to_owned(),
        Cause::Down(kinds) => down(kinds, style),
        Cause::NotDue => "no backup was due".to_owned(),
        Cause::Refused(WaitsFor::NotTrusted) => {
            "it did not trust this computer, so it could not be backed up".to_owned()
        }
        Cause::Refused(_) => "automatic backup was off for it".to_owned(),
        Cause::Held(word, when) => held(word, *when, style),
        Cause::NotSeen(Some(since)) => format!(
            "it had not been seen since {}, so nothing could run",
            moment::exact(*since, style)
        ),
        Cause::NotSeen(None) => "it was not here, so nothing could run".to_owned(),
        Cause::Store(reason) => store(reason),
        Cause::Never(parts) => {
            format!("{inside}{}, so nothing could run", join(parts, style))
        }
        Cause::Short(from, until) => {
            let secs = until.saturating_since(*from).as_secs();
            if secs > SETTLE_MAX {
                let when = between(*from, *until, style);
                format!("the conditions held together from {when}, and yet no backup began")
            } else {
                format!(
                    "{inside}the conditions held together for {} at most (from {}), which is too short to start",
                    text::span(secs),
                    at(*from)
                )
            }
        }
        Cause::Apart(parts) => format!(
            "{inside}{}, so the conditions never held together",
            join(parts, style)
        ),
    }
}

fn ran(
    started: Option<Wall>,
    ended: Option<Wall>,
    bytes: Bytes,
    trigger: &Trigger,
    style: &Style,
) -> String {
    let when = started.map_or_else(String::new, |started| {
        format!(" at {}", moment::time_of_day(started, style))
    });
    let took = started
        .zip(ended)
        .map(|(started, ended)| text::span(ended.saturating_since(started).as_secs()));
    let took = took.map_or_else(String::new, |took| format!(" in {took}"));
    let asked = match trigger {
        Trigger::User => ", as it was asked to",
        Trigger::Schedule | Trigger::Other(_) => "",
    };
    format!(
        "it was backed up{when}{asked}: {}{took}",
        text::bytes(bytes)
    )
}

fn tried(result: &Outcome, started: Option<Wall>, tries: usize, style: &Style) -> String {
    let at = started.map_or_else(String::new, |started| {
        format!(" at {}", moment::time_of_day(started, style))
    });
    let often = match tries {
        0 | 1 => String::new(),
        tries => format!("{tries} backups were tried; the last, "),
    };
    match (result, tries) {
        (Outcome::NotConfirmed, 0 | 1) => {
            format!("it asked for its passcode{at}, and nobody typed it")
        }
        (Outcome::NotConfirmed, tries) => {
            format!("it asked for its passcode {tries} times, and nobody typed it")
        }
        (Outcome::NotLockedInTime, 0 | 1) => {
            format!("its passcode was typed{at}, and its screen was not locked in time")
        }
        (other, 0 | 1) => format!("the backup that began{at} {}", outcome::phrase(other)),
        (other, _) => format!("{often}begun{at}, {}", outcome::phrase(other)),
    }
}

/// Says what was off, and for how long.
fn down(kinds: &[Down], style: &Style) -> String {
    let sure = kinds
        .iter()
        .all(|it| matches!(it.gap, Gap::Stopped | Gap::Asleep));
    let end = match kinds {
        _ if sure => "nothing could run",
        [one] if one.gap == Gap::Unseen => "nobody can say what could have run",
        _ => "nobody can say",
    };
    let clauses: Vec<String> = kinds.iter().map(|it| off(it, style)).collect();
    format!("{}, so {end}", text::join(&clauses))
}

fn off(down: &Down, style: &Style) -> String {
    let at = |at| moment::time_of_day(at, style);
    let (from, until) = (at(down.from), at(down.until));
    // Several of them, with time between in which something could have been.
    let several = down.until.saturating_since(down.from).as_secs() > down.secs + BREAK;
    let when = match several {
        true => format!(
            "for {} in all between {from} and {until}",
            text::span(down.secs)
        ),
        false => format!("from {from} to {until}"),
    };
    match down.gap {
        Gap::Stopped => format!("ibakd was not running {when}"),
        Gap::Asleep => format!("this computer was asleep {when}"),
        Gap::Unseen if several => {
            format!("ibakd ended unseen several times between {from} and {until}")
        }
        Gap::Unseen => format!("ibakd ended unseen between {from} and {until}"),
        Gap::TooMany => format!("its signals changed too often to be noted {when}"),
        Gap::Nothing | Gap::ClockSet | Gap::Other => format!("nothing is known {when}"),
    }
}

fn held(word: &WaitsFor, when: Option<(Wall, Wall)>, style: &Style) -> String {
    let when = when.map_or_else(String::new, |(from, until)| {
        format!(" from {}", between(from, until, style))
    });
    let together = format!("the conditions held together{when}, but");
    match word {
        WaitsFor::Pause => "automatic backups were paused".to_owned(),
        WaitsFor::Window => "it was due only outside its backup window".to_owned(),
        WaitsFor::HostPower => "this computer ran from its battery".to_owned(),
        WaitsFor::Backoff => "it was waiting after a failure, to try again later".to_owned(),
        WaitsFor::Passcode => {
            "it asks for its passcode before every backup, and nobody started one".to_owned()
        }
        WaitsFor::Asked => "it had asked for its passcode as often as it may".to_owned(),
        WaitsFor::AskWindow => {
            "it was due only outside the hours in which it may ask for its passcode".to_owned()
        }
        WaitsFor::Job => "it was busy with another job".to_owned(),
        WaitsFor::AutomaticOff => "automatic backup was off for it".to_owned(),
        WaitsFor::NotTrusted => "it did not trust this computer".to_owned(),
        WaitsFor::Person => format!(
            "it could have been asked for its passcode{when}, but nobody had it unlocked then"
        ),
        WaitsFor::Network => {
            format!("{together} this computer was on a network that backups must not use")
        }
        WaitsFor::Battery => format!("{together} its battery was too low"),
        WaitsFor::Slot => format!("{together} other phones' backups took all the time"),
        WaitsFor::Trust => {
            format!("{together} it could not be asked whether it trusts this computer")
        }
        WaitsFor::Due | WaitsFor::Settling => "no backup was due".to_owned(),
        WaitsFor::Power => "it was not on power".to_owned(),
        WaitsFor::Wifi => "it was not on the network".to_owned(),
        WaitsFor::Locked => "it was not locked".to_owned(),
        WaitsFor::Space => "the store had no room".to_owned(),
        WaitsFor::Phone => "it was not here".to_owned(),
        WaitsFor::Other(word) => format!("{together} it waited for {}", text::escape(word, style)),
    }
}

fn store(reason: &ConditionReason) -> String {
    match (reason, waits::store_trouble(reason)) {
        (_, Some(trouble)) => format!("the store could not be used: {trouble}"),
        (ConditionReason::NoRoom, None) => "the store had too little room".to_owned(),
        (ConditionReason::SizeNotKnown, None) => {
            "how much room its first backup needs was not known".to_owned()
        }
        (_, None) => "whether the store had room was not known".to_owned(),
    }
}

/// Joins what was so of each condition, in one sentence about "it".
fn join(parts: &[Part], style: &Style) -> String {
    let (own, others): (Vec<&Part>, Vec<&Part>) = parts.iter().partition(|part| is_own(part));
    let own: Vec<String> = own.iter().map(|it| own_part(it, style)).collect();
    let mut clauses = Vec::new();
    if !own.is_empty() {
        clauses.push(format!("it {}", text::join(&own)));
    }
    clauses.extend(others.iter().map(|it| other_part(it, style)));
    text::join(&clauses)
}

/// Whether the clause is about "it", the phone.
fn is_own(part: &Part) -> bool {
    part.what != WaitsFor::Space && part.how != How::NotKnown
}

fn own_part(part: &Part, style: &Style) -> String {
    let at = |at: Wall| moment::time_of_day(at, style);
    let words = [
        (
            WaitsFor::Power,
            ("on power", "left its charger", "came to power"),
        ),
        (
            WaitsFor::Wifi,
            ("on the network", "left the network", "came to the network"),
        ),
        (WaitsFor::Locked, ("locked", "", "")),
    ];
    let own = words.iter().find(|(what, _)| *what == part.what);
    let (was, left, came) = own.map_or(("here", "went away", "came"), |(_, words)| *words);
    match (&part.what, part.how) {
        (WaitsFor::Locked, How::Until(when)) => format!("was unlocked from {} on", at(when)),
        (WaitsFor::Locked, How::From(when)) => format!("was unlocked until {}", at(when)),
        (_, How::Never | How::NotKnown) => format!("was never {was}"),
        (_, How::NoPasscode) => "has no passcode and never said that it was locked".to_owned(),
        (_, How::Until(when)) => format!("{left} at {}", at(when)),
        (_, How::From(when)) => format!("{came} only at {}", at(when)),
        (_, How::Within(from, until)) => {
            format!("was {was} only from {}", between(from, until, style))
        }
        (_, How::NowAndThen(secs)) => {
            format!("was {was} only now and then ({} in all)", text::span(secs))
        }
    }
}

fn other_part(part: &Part, style: &Style) -> String {
    let at = |at: Wall| moment::time_of_day(at, style);
    match (&part.what, part.how) {
        (WaitsFor::Power, How::NotKnown) => "nobody could say whether it had power".to_owned(),
        (WaitsFor::Wifi, How::NotKnown) => {
            "nobody could say whether it was on the network".to_owned()
        }
        (WaitsFor::Locked, How::NotKnown) => "nobody could say whether it was locked".to_owned(),
        (_, How::Never | How::NoPasscode) => "the store could not take a backup".to_owned(),
        (_, How::NotKnown) => "nobody could say whether the backup fits".to_owned(),
        (_, How::Until(when)) => format!("the store could take a backup only until {}", at(when)),
        (_, How::From(when)) => format!("the store could take a backup only from {} on", at(when)),
        (_, How::Within(from, until)) => format!(
            "the store could take a backup only from {}",
            between(from, until, style)
        ),
        (_, How::NowAndThen(_)) => "the store could take a backup only now and then".to_owned(),
    }
}
