//! `ibakctl history`: night after night, what came of it, newest first.

use super::account::clause;
use super::night::NightView;
use super::outcome;
use super::table::{self, Cell};
use crate::moment;
use crate::night::{Cause, Gap};
use crate::style::{Style, Tone};
use crate::text;
use ibak_dbus::views::AttemptView;
use ibak_dbus::words::Outcome;

/// What `history` shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryView {
    /// The nights, newest first.
    pub nights: Vec<NightView>,
}

/// Renders the nights as a table: a row a try, and one for each night without any.
pub fn render(view: &HistoryView, style: &Style) -> String {
    let mut rows = Vec::new();
    for night in &view.nights {
        let date = night.night.evening.strftime("%a %-d %b").to_string();
        if night.attempts.is_empty() {
            rows.push(without(night, &date, style));
        }
        for attempt in night.attempts.iter().rev() {
            rows.push(with(attempt, &date, style));
        }
    }
    table::render(["NIGHT OF", "OUTCOME", "SIZE", "TOOK", "WHY"], &rows, style)
}

fn without(night: &NightView, date: &str, style: &Style) -> [Cell; 5] {
    let (outcome, tone) = match night.account.cause {
        Cause::NotDue => ("not due", Tone::Dim),
        Cause::Running(_) => ("running", Tone::Head),
        Cause::Nothing | Cause::Down(_) if night.record.is_none() => ("none tried", Tone::Dim),
        Cause::Down(ref kinds)
            if kinds
                .iter()
                .all(|it| matches!(it.gap, Gap::Stopped | Gap::Asleep)) =>
        {
            ("no backup", Tone::Bad)
        }
        Cause::Nothing | Cause::Down(_) => ("not known", Tone::Wary),
        Cause::Refused(_) => ("off", Tone::Dim),
        Cause::Ran { .. }
        | Cause::Tried { .. }
        | Cause::Held(..)
        | Cause::NotSeen(_)
        | Cause::Store(_)
        | Cause::Never(_)
        | Cause::Short(..)
        | Cause::Apart(_) => ("no backup", Tone::Bad),
    };
    let why = match (&night.account.cause, &night.record) {
        (Cause::NotDue, _) | (_, None) => String::new(),
        (cause, Some(_)) => clause(cause, night.account.windowed, style),
    };
    [
        Cell::new(date),
        Cell::toned(outcome, tone),
        Cell::new(""),
        Cell::new(""),
        Cell::new(why),
    ]
}

fn with(attempt: &AttemptView, date: &str, style: &Style) -> [Cell; 5] {
    let began = attempt.started.map_or_else(String::new, |started| {
        format!("began at {}", moment::time_of_day(started, style))
    });
    let (outcome, tone, why) = match &attempt.result {
        None => ("running", Tone::Head, began),
        Some(Outcome::Succeeded) => ("backed up", Tone::Good, began),
        Some(Outcome::Cancelled | Outcome::CancelledOnDevice) => {
            ("cancelled", Tone::Wary, phrase(attempt))
        }
        Some(_) => ("no backup", Tone::Bad, phrase(attempt)),
    };
    let received = attempt.bytes.get() > 0;
    let size = if received {
        text::bytes(attempt.bytes)
    } else {
        String::new()
    };
    let took = outcome::took(attempt).filter(|_| received).map(text::span);
    [
        Cell::new(date),
        Cell::toned(outcome, tone),
        Cell::new(size),
        Cell::new(took.unwrap_or_default()),
        Cell::new(why),
    ]
}

fn phrase(attempt: &AttemptView) -> String {
    let result = attempt.result.as_ref().map(outcome::phrase);
    let phrase = result.map_or_else(String::new, |phrase| {
        let phrase = phrase.strip_prefix("did not start: ").unwrap_or(&phrase);
        let phrase = phrase.strip_prefix("failed: ").unwrap_or(phrase);
        phrase.to_owned()
    });
    let waits: Vec<String> = attempt
        .waits_for
        .iter()
        .map(|word| word.as_str().to_owned())
        .collect();
    if waits.is_empty() {
        phrase
    } else {
        format!("{phrase} ({} missing)", text::join(&waits))
    }
}
