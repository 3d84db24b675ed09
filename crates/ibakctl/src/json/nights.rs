//! Nights as JSON.

use super::{attempt, message, time, word, words};
use crate::night::{Cause, Gap, Record, Stretch};
use crate::render::{self, HistoryView, NightView, TimelineView};
use crate::style::Style;
use ibak_dbus::JobId;
use serde_json::{Map, Value, json};

fn stretch<T>(stretch: &Stretch<T>, more: &[(&str, Value)]) -> Value {
    let mut object = Map::new();
    object.insert("from".to_owned(), time(Some(stretch.from)));
    object.insert("until".to_owned(), time(Some(stretch.until)));
    for (key, value) in more {
        object.insert((*key).to_owned(), value.clone());
    }
    Value::Object(object)
}

fn list<T>(
    stretches: &[Stretch<T>],
    more: impl Fn(&T) -> Vec<(&'static str, Value)>,
) -> Vec<Value> {
    stretches
        .iter()
        .map(|it| stretch(it, &more(&it.value)))
        .collect()
}

fn record(record: &Record) -> Value {
    let conditions: Map<String, Value> = record
        .conditions
        .iter()
        .map(|(name, stretches)| {
            let seen = list(stretches, |seen| {
                vec![
                    ("status", seen.status.as_str().into()),
                    ("reason", seen.reason.as_str().into()),
                    ("source", word(seen.source.as_ref())),
                ]
            });
            (name.to_string(), seen.into())
        })
        .collect();
    json!({
        "conditions": conditions,
        "decisions": list(&record.decisions, |it| vec![
            ("decision", it.word.as_str().into()),
            ("waits_for", words(&it.waits_for)),
        ]),
        "states": list(&record.states, |it| vec![("state", it.as_str().into())]),
        "jobs": list(&record.jobs, |it| vec![
            ("kind", it.kind.as_str().into()),
            ("job", it.id.map(JobId::get).into()),
        ]),
        "gaps": list(&record.gaps, |it| vec![("why", gap(*it).into())]),
    })
}

fn gap(gap: Gap) -> &'static str {
    match gap {
        Gap::Nothing => "nothing-noted",
        Gap::Stopped => "daemon-stopped",
        Gap::Unseen => "daemon-ended-unseen",
        Gap::Asleep => "computer-asleep",
        Gap::ClockSet => "clock-set",
        Gap::TooMany => "too-many",
        Gap::Other => "unknown",
    }
}

fn cause(cause: &Cause) -> &'static str {
    match cause {
        Cause::Ran { .. } => "backed-up",
        Cause::Running(_) => "running",
        Cause::Tried { .. } => "tried",
        Cause::Nothing => "nothing-noted",
        Cause::Down(..) => "not-watched",
        Cause::NotDue => "not-due",
        Cause::Refused(_) => "refused",
        Cause::Held(..) => "held",
        Cause::NotSeen(_) => "not-seen",
        Cause::Store(_) => "store",
        Cause::Never(_) => "condition-never-met",
        Cause::Short(..) => "too-short",
        Cause::Apart(_) => "never-together",
    }
}

fn night_value(view: &NightView, style: &Style) -> Value {
    let known = view.record.is_some();
    // Whoever may not read it cannot know that nothing was noted.
    let told = known || view.account.cause != Cause::Nothing;
    let sentence = || render::night_sentence(&view.night.name(style), &view.account, style);
    json!({
        "night": view.night.evening.to_string(),
        "from": time(Some(view.night.from)),
        "until": time(Some(view.night.until)),
        "known": known,
        "cause": told.then(|| cause(&view.account.cause)),
        "sentence": told.then(sentence),
        "attempts": view.attempts.iter().map(attempt).collect::<Vec<_>>(),
        "record": view.record.as_ref().map(record),
    })
}

/// Writes one night.
pub fn night(what: &str, view: &NightView, style: &Style) -> Value {
    let mut value = night_value(view, style);
    if let Value::Object(object) = &mut value {
        object.insert("udid".to_owned(), view.phone.udid.as_str().into());
    }
    message(what, value)
}

/// Adds nights to `why`: whether the last one was missed, and what came of each.
pub fn with_nights(
    mut why: Value,
    missed: Option<String>,
    nights: &[NightView],
    style: &Style,
) -> Value {
    if let Value::Object(object) = &mut why {
        object.insert("missed".to_owned(), missed.into());
        let nights: Vec<Value> = nights.iter().map(|it| short(it, style)).collect();
        object.insert("nights".to_owned(), nights.into());
    }
    why
}

/// A night without what it is concluded from.
fn short(view: &NightView, style: &Style) -> Value {
    let mut value = night_value(view, style);
    if let Value::Object(object) = &mut value {
        object.remove("record");
    }
    value
}

/// Writes `history`.
pub fn history(view: &HistoryView, style: &Style) -> Value {
    let nights: Vec<Value> = view.nights.iter().map(|it| short(it, style)).collect();
    message("history", json!({ "nights": nights }))
}

/// Writes `timeline`.
pub fn timeline(view: &TimelineView) -> Value {
    message(
        "timeline",
        json!({
            "udid": view.phone.udid.as_str(),
            "from": time(Some(view.from)),
            "until": time(Some(view.until)),
            "record": record(&view.record),
            "attempts": view.attempts.iter().map(attempt).collect::<Vec<_>>(),
        }),
    )
}
