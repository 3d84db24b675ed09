//! Noting what happens, for the morning after. The loop only puts notes down; they are written
//! together, beside it, a little later.

use super::House;
use crate::chronicle::{Chronicle, Gap, Note, What};
use crate::config::same_name;
use crate::executor::blocking;
use crate::history::History;
use ibak_core::{ClockTrust, Condition, Monotonic, Now, Udid, View, Wall};
use ibak_dbus::Dict;
use ibak_dbus::views::ObservationView;
use ibak_dbus::words::{ConditionReason, EvidenceSource, ObservationKind, Trigger, WaitsFor};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long a note may wait for others to be written with: what an end that nobody sees may lose.
const WRITE_WITHIN: Duration = Duration::from_secs(30);
/// An hour.
const HOUR_SECS: i64 = 3_600;

/// What the loop needs for it.
pub(super) struct Chronicling {
    chronicle: Chronicle,
    /// When what was put down is to be written; `None` when all is.
    write_at: Option<Monotonic>,
    /// Whether anything is kept.
    keeps: bool,
    /// The note that the daemon has begun, until it is put down.
    begun: Option<Note>,
}

impl Chronicling {
    /// Looks at how the last daemon ended.
    pub(super) fn begin(history: &History, now: Now) -> Self {
        let hour = now.wall.as_secs().div_euclid(HOUR_SECS) * HOUR_SECS;
        let beginning = history.begin(now.wall, Wall::from_secs(hour));
        Self {
            chronicle: Chronicle::new(now.wall, beginning.counts),
            write_at: None,
            keeps: true,
            begun: beginning.note,
        }
    }
}

impl House {
    /// Returns the next moment at which the loop has something to do by itself.
    pub(super) fn next_deadline(&self) -> Option<Monotonic> {
        let machine = self.machine.next_deadline();
        [machine, self.chronicling.write_at]
            .into_iter()
            .flatten()
            .min()
    }

    /// For how long notes are kept.
    fn notes_kept(&self) -> Duration {
        Duration::from_secs(86_400) * u32::from(self.config.signal_history_days)
    }

    /// Notes what is different in this picture, and has notes written whose time has come.
    pub(super) fn keep_chronicle(&mut self, view: &View) {
        let now = self.clock.now();
        let keeps = !self.notes_kept().is_zero();
        self.history
            .believe_date(view.house.clock == ClockTrust::Steady);
        let it = &mut self.chronicling;
        if keeps && !it.keeps {
            // Nothing was noted meanwhile.
            it.chronicle.forget();
            it.begun = Some(Note::gap(Gap::Started, None, now.wall));
        }
        if it.keeps && !keeps {
            // What was kept goes.
            it.write_at = Some(now.monotonic);
        }
        it.keeps = keeps;
        if keeps {
            let mut notes: Vec<Note> = it.begun.take().into_iter().collect();
            notes.extend(it.chronicle.observe(view, now, self.clock.slept()));
            if !notes.is_empty() {
                self.history.put_down(notes);
                it.write_at.get_or_insert(now.monotonic + WRITE_WITHIN);
            }
        }
        if it.write_at.is_some_and(|at| at <= now.monotonic) {
            self.write_chronicle();
        }
    }

    /// Notes that the daemon ends.
    pub(super) fn end_chronicle(&mut self) {
        if self.chronicling.keeps {
            let now = self.clock.now().wall;
            self.history
                .put_down(vec![Note::gap(Gap::Stopped, None, now)]);
            self.write_chronicle();
        }
    }

    fn write_chronicle(&mut self) {
        self.chronicling.write_at = None;
        let (history, now) = (Arc::clone(&self.history), self.clock.now().wall);
        let kept = self.notes_kept();
        while self.keeping.try_join_next().is_some() {}
        self.keeping
            .spawn(blocking(move || history.write_notes(now, kept)));
    }

    /// Returns the login name of a phone's owner, if the configuration gives one.
    ///
    /// A table of its name counts even when several phones are called so: then others see less.
    pub(super) fn owner_of(&self, phone: &Udid) -> Option<String> {
        let view = self.machine.view();
        let identity = view.phones.get(phone).and_then(|it| it.identity.as_ref());
        let name = identity.map_or("", |it| it.name.as_str());
        let tables = &self.config.phones;
        let by_udid = tables.iter().find(|it| it.udid().as_ref() == Some(phone));
        let by_name = || tables.iter().find(|it| same_name(&it.name, name));
        let rules = by_udid
            .or_else(by_name)
            .map_or(&self.config.rules, |it| &it.rules);
        rules.owner.clone()
    }

    pub(super) fn list_observations(
        &self,
        phone: Udid,
        since: Wall,
        until: Wall,
        reply: oneshot::Sender<Vec<Dict>>,
    ) {
        let (history, now) = (Arc::clone(&self.history), self.clock.now().wall);
        let kept = self.notes_kept();
        let read = move || -> Vec<Dict> {
            let notes = history.notes(&phone, since, until, now, kept);
            notes.iter().map(|note| row(note).to_dict()).collect()
        };
        tokio::spawn(async move { super::answer(reply, blocking(read).await) });
    }
}

/// Converts a note for the bus.
fn row(note: &Note) -> ObservationView {
    let what = match note.what {
        What::Condition(Condition::Power) => ObservationKind::Power,
        What::Condition(Condition::Wifi) => ObservationKind::Wifi,
        What::Condition(Condition::Locked) => ObservationKind::Locked,
        What::Condition(Condition::Space) => ObservationKind::Space,
        What::Decision => ObservationKind::Decision,
        What::State => ObservationKind::State,
        What::Job => ObservationKind::Job,
        What::Daemon => ObservationKind::Daemon,
        What::Computer => ObservationKind::Computer,
    };
    let more = Some(note.more.as_str()).filter(|more| !more.is_empty());
    let source = Some(note.source.as_str()).filter(|source| !source.is_empty());
    let mut row = ObservationView {
        source: source.map(EvidenceSource::parse),
        job: (note.job != 0).then(|| ibak_core::JobId::new(note.job)),
        since: note.since,
        ..ObservationView::new(note.at, what, &note.word)
    };
    match note.what {
        What::Condition(_) => row.reason = more.map(ConditionReason::parse),
        What::Decision => row.waits_for = waited_for(&note.more),
        What::Job => row.trigger = more.map(Trigger::parse),
        What::State | What::Daemon | What::Computer => {}
    }
    row
}

/// Reads words with commas between.
pub(super) fn waited_for(words: &str) -> Vec<WaitsFor> {
    let words = words.split(',').filter(|word| !word.is_empty());
    words.map(WaitsFor::parse).collect()
}
