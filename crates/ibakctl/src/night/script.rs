//! Nights written down in a line, for tests: what held when, as `power 22:00-03:02; locked *`.
//!
//! The night is that of 21 November 2026, noon to noon UTC. What is not named never held; `due` says
//! when a backup is due (all night by itself), `here` when the phone is there, `unknown-locked` when
//! that is not known, and any other word what else is waited for. `stopped`, `unseen` and `asleep`
//! are gaps.

use super::{Record, reconstruct};
use ibak_dbus::Wall;
use ibak_dbus::views::ObservationView;
use ibak_dbus::words::{
    ConditionReason, DecisionWord, EvidenceSource, GapWord, ObservationKind, WaitsFor,
};
use std::collections::{BTreeMap, BTreeSet};

/// Noon of 21 November 2026 UTC.
const NOON: i64 = 1_795_262_400;

/// A moment of the night, `23:10`: before noon is the next day.
pub(crate) fn at(clock: &str) -> Wall {
    Wall::from_secs(NOON + minute(clock) * 60)
}

fn minute(clock: &str) -> i64 {
    let (hours, minutes) = clock.trim().split_once(':').unwrap();
    let minutes: i64 = hours.parse::<i64>().unwrap() * 60 + minutes.parse::<i64>().unwrap();
    (minutes - 720).rem_euclid(1_440)
}

type Times = BTreeMap<String, Vec<(i64, i64)>>;

fn parse(script: &str) -> Times {
    let mut times = Times::from([
        ("due".to_owned(), vec![(0, 1_440)]),
        ("here".to_owned(), vec![(0, 1_440)]),
        ("space".to_owned(), vec![(0, 1_440)]),
    ]);
    for part in script
        .split(';')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        let (name, list) = part.split_once(' ').unwrap_or((part, ""));
        let spans = list.split_whitespace().map(|span| match span {
            "*" => (0, 1_440),
            span => {
                let (from, until) = span.split_once('-').unwrap();
                let until = if until.is_empty() {
                    1_440
                } else {
                    minute(until)
                };
                (if from.is_empty() { 0 } else { minute(from) }, until)
            }
        });
        times.insert(name.to_owned(), spans.collect());
    }
    times
}

/// Writes the rows that the daemon would have given for this night.
pub(crate) fn rows(script: &str) -> Vec<ObservationView> {
    let times = parse(script);
    let holds = |name: &str, minute: i64| {
        times
            .get(name)
            .is_some_and(|spans| spans.iter().any(|(a, b)| *a <= minute && minute < *b))
    };
    let ends = times.values().flatten().flat_map(|(a, b)| [*a, *b]);
    let moments: BTreeSet<i64> = ends.chain([0]).filter(|minute| *minute < 1_440).collect();
    let mut rows: Vec<ObservationView> = Vec::new();
    let mut last: BTreeMap<ObservationKind, ObservationView> = BTreeMap::new();
    let mut down = None;
    for minute in moments {
        let now = Wall::from_secs(NOON + minute * 60);
        let gap = ["stopped", "unseen"]
            .into_iter()
            .find(|gap| holds(gap, minute));
        match (gap, down) {
            (Some(_), Some(_)) => continue,
            (Some(gap), None) => {
                if gap == "stopped" {
                    let word = GapWord::Stopped.to_string();
                    rows.push(ObservationView::new(now, ObservationKind::Daemon, &word));
                }
                down = Some((now, gap));
                continue;
            }
            (None, Some((since, gap))) => {
                let word = if gap == "stopped" {
                    GapWord::Started
                } else {
                    GapWord::Restarted
                };
                let row = ObservationView::new(now, ObservationKind::Daemon, word.as_str());
                rows.push(ObservationView {
                    since: Some(since),
                    ..row
                });
                last.clear();
                down = None;
            }
            (None, None) => {}
        }
        for mut row in at_minute(&times, &|name| holds(name, minute)) {
            if last.get(&row.what) != Some(&row) {
                last.insert(row.what.clone(), row.clone());
                row.at = now;
                rows.push(row);
            }
        }
        for (from, until) in times.get("asleep").into_iter().flatten() {
            if *until == minute {
                let row = ObservationView::new(now, ObservationKind::Computer, "asleep");
                let since = Some(Wall::from_secs(NOON + from * 60));
                rows.push(ObservationView { since, ..row });
            }
        }
    }
    rows
}

fn at_minute(times: &Times, holds: &dyn Fn(&str) -> bool) -> Vec<ObservationView> {
    let here = holds("here");
    let conditions = [
        ("power", ObservationKind::Power, WaitsFor::Power),
        ("wifi", ObservationKind::Wifi, WaitsFor::Wifi),
        ("locked", ObservationKind::Locked, WaitsFor::Locked),
        ("space", ObservationKind::Space, WaitsFor::Space),
    ];
    let mut waits = Vec::new();
    let mut rows: Vec<ObservationView> = Vec::new();
    for (name, what, word) in conditions {
        let met = holds(name) && (here || name == "space");
        let unknown = !here && name != "space" || holds(&format!("unknown-{name}"));
        let (status, reason) = match (met, unknown) {
            (true, _) => ("met", reason(name, true)),
            (false, true) if here => ("unknown", ConditionReason::Stale),
            (false, true) => ("unknown", ConditionReason::NotReachable),
            (false, false) => ("unmet", reason(name, false)),
        };
        if !met {
            waits.push(word);
        }
        rows.push(ObservationView {
            reason: Some(reason),
            source: (name == "locked" && !unknown).then_some(EvidenceSource::Notification),
            ..ObservationView::new(Wall::default(), what, status)
        });
    }
    if !here {
        waits.push(WaitsFor::Phone);
    }
    let known = [
        "due", "here", "space", "power", "wifi", "locked", "stopped", "unseen", "asleep", "off",
    ];
    for name in times.keys().filter(|name| !known.contains(&name.as_str())) {
        if holds(name) && !name.starts_with("unknown-") {
            waits.push(WaitsFor::parse(name));
        }
    }
    let (word, waits) = if holds("off") {
        (DecisionWord::Refuse, vec![WaitsFor::AutomaticOff])
    } else if !holds("due") {
        (DecisionWord::NotDue, Vec::new())
    } else if waits.is_empty() {
        (DecisionWord::Start, Vec::new())
    } else {
        (DecisionWord::Wait, waits)
    };
    rows.push(ObservationView {
        waits_for: waits,
        ..ObservationView::new(Wall::default(), ObservationKind::Decision, word.as_str())
    });
    let state = if here { "waiting" } else { "absent" };
    rows.push(ObservationView::new(
        Wall::default(),
        ObservationKind::State,
        state,
    ));
    rows
}

fn reason(name: &str, met: bool) -> ConditionReason {
    match (name, met) {
        ("power", true) => ConditionReason::ExternalPower,
        ("power", false) => ConditionReason::OnBattery,
        ("wifi", true) => ConditionReason::OnNetwork,
        ("wifi", false) => ConditionReason::NotOnNetwork,
        ("locked", true) => ConditionReason::ScreenLocked,
        ("locked", false) => ConditionReason::Unlocked,
        (_, true) => ConditionReason::EnoughRoom,
        (_, false) => ConditionReason::StoreMissing,
    }
}

/// Puts the whole night together.
pub(crate) fn record(script: &str) -> Record {
    let end = Wall::from_secs(NOON + 1_440 * 60);
    reconstruct(&rows(script), at("12:00"), end)
}
