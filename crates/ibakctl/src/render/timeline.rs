//! `ibakctl timeline`: the night as a picture, one row a condition, hours across.
//!
//! A column is filled when the condition held all along, but for moments; what is not known is never
//! drawn as if it were. Columns are steps of absolute time, so an hour that a clock shows twice is
//! drawn twice.

use super::night::{NAMES, longest, shorter, unknown};
use super::outcome;
use crate::moment;
use crate::night::{Gap, Record, Spans, Stretch};
use crate::select::shown_name;
use crate::style::{Glyphs, Style, Tone};
use crate::text;
use ibak_dbus::Wall;
use ibak_dbus::views::{AttemptView, PhoneView};
use ibak_dbus::words::{ConditionStatus, DecisionWord, JobKind, Outcome, PhoneState};
use std::time::Duration;

/// What `timeline` shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimelineView {
    /// The phone.
    pub phone: PhoneView,
    /// Where the picture begins: a full hour.
    pub from: Wall,
    /// Where it ends; may be later than the present moment.
    pub until: Wall,
    /// What is known.
    pub record: Record,
    /// The tries at backups, oldest first.
    pub attempts: Vec<AttemptView>,
}

/// Columns of the names.
const NAME_COLUMNS: usize = 8;
/// Columns before the further lines of a sentence.
const INDENT: usize = 2;
/// Columns of a picture that goes to no terminal.
const COLUMNS: usize = 80;
/// The narrowest picture.
const COLUMNS_MIN: usize = 40;
/// What a column may stand for, in seconds.
const STEPS: [u64; 17] = [
    60, 120, 180, 240, 300, 360, 450, 600, 900, 1_200, 1_800, 3_600, 7_200, 10_800, 14_400, 21_600,
    43_200,
];
/// A share of a column that does not count: one in so many.
const SPECK: u64 = 20;
/// More hours than these have days above them.
const HOURS_LABELLED_MAX: u64 = 48;

/// What a column shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cell {
    /// It is yet to come, or there is nothing to show.
    Empty,
    /// It held.
    Met,
    /// It did not.
    Unmet,
    /// It was not known.
    Unknown,
    /// Nothing was noted.
    Gap,
    /// A backup was due and waited.
    Due,
    /// A backup ran.
    Work,
    /// One worked.
    Good,
    /// One did not.
    Bad,
}

impl Cell {
    const fn glyph(self, glyphs: Glyphs) -> char {
        match (glyphs, self) {
            (_, Self::Empty) => ' ',
            (_, Self::Unknown) => '?',
            (Glyphs::Unicode, Self::Met) => '█',
            (Glyphs::Unicode, Self::Unmet) => '─',
            (Glyphs::Unicode, Self::Gap) => '╱',
            (Glyphs::Unicode, Self::Due) => '·',
            (Glyphs::Unicode, Self::Work) => '━',
            (Glyphs::Unicode, Self::Good) => '✓',
            (Glyphs::Unicode, Self::Bad) => '✗',
            (Glyphs::Ascii, Self::Met) => '#',
            (Glyphs::Ascii, Self::Unmet) => '-',
            (Glyphs::Ascii, Self::Gap) => '/',
            (Glyphs::Ascii, Self::Due) => '.',
            (Glyphs::Ascii, Self::Work) => '=',
            (Glyphs::Ascii, Self::Good) => 'v',
            (Glyphs::Ascii, Self::Bad) => 'x',
        }
    }

    const fn tone(self) -> Option<Tone> {
        match self {
            Self::Empty => None,
            Self::Met | Self::Good => Some(Tone::Good),
            Self::Unmet | Self::Bad => Some(Tone::Bad),
            Self::Unknown => Some(Tone::Wary),
            Self::Gap | Self::Due => Some(Tone::Dim),
            Self::Work => Some(Tone::Head),
        }
    }

    const fn meaning(self) -> &'static str {
        match self {
            Self::Empty => "",
            Self::Met => "held",
            Self::Unmet => "did not hold",
            Self::Unknown => "not known",
            Self::Gap => "nothing noted",
            Self::Due => "due, and waiting",
            Self::Work => "backup",
            Self::Good => "it worked",
            Self::Bad => "it did not",
        }
    }
}

/// Renders the picture.
pub fn render(view: &TimelineView, style: &Style) -> String {
    let step = step(view, style);
    let columns: Vec<(Wall, Wall)> = columns(view, step).collect();
    let mut rows: Vec<(String, Vec<Cell>)> = NAMES
        .iter()
        .map(|name| {
            let stretches = view.record.condition(name);
            let of = |status: ConditionStatus| {
                let those = stretches.iter().filter(|it| it.value.status == status);
                spans(those)
            };
            let (unmet, unknown) = (of(ConditionStatus::Unmet), of(ConditionStatus::Unknown));
            let met = of(ConditionStatus::Met);
            let cells = columns
                .iter()
                .map(|column| condition(*column, &view.record, &met, &unmet, &unknown));
            (name.as_str().to_owned(), cells.collect())
        })
        .collect();
    let backup = columns.iter().map(|column| backup(*column, view));
    rows.push(("backup".to_owned(), backup.collect()));
    let mut out = heading(view, style);
    out.push_str(&labels(view, &columns, step, style));
    for (name, cells) in &rows {
        out.push_str(&row(name, cells, style));
    }
    out.push('\n');
    out.push_str(&legend(&rows, style));
    out.push_str(&reasons(view, style));
    out.push_str(&tries(view, style));
    out
}

fn heading(view: &TimelineView, style: &Style) -> String {
    let day = |at: Wall| {
        moment::civil(at, style)
            .map_or_else(String::new, |at| at.strftime("%a %-d %b %H:%M").to_string())
    };
    let name = text::capital(&shown_name(&view.phone, style));
    let date = |at: Wall| moment::civil(at, style).map(|at| at.date());
    let end = if date(view.from) == date(view.until) {
        moment::time_of_day(view.until, style)
    } else {
        day(view.until)
    };
    let line = format!("{name}, {} to {end}", day(view.from));
    let lines = hanging(&line, style);
    let lines = lines.lines().map(|line| style.tone(Tone::Head, line));
    format!("{}\n\n", lines.collect::<Vec<_>>().join("\n"))
}

/// Chooses what a column stands for: the finest that fits.
fn step(view: &TimelineView, style: &Style) -> u64 {
    let room = style.width.unwrap_or(COLUMNS).max(COLUMNS_MIN) - NAME_COLUMNS;
    let room = u64::try_from(room).unwrap_or(u64::MAX);
    let all = view.until.saturating_since(view.from).as_secs();
    let fits = |step: &u64| all.div_ceil(*step) <= room;
    STEPS.into_iter().find(fits).unwrap_or(86_400)
}

fn columns(view: &TimelineView, step: u64) -> impl Iterator<Item = (Wall, Wall)> + '_ {
    let step = Duration::from_secs(step);
    std::iter::successors(Some(view.from), move |at| Some(*at + step))
        .take_while(|at| *at < view.until)
        .map(move |at| (at, (at + step).min(view.until)))
}

fn spans<'a, T: 'a>(stretches: impl Iterator<Item = &'a Stretch<T>>) -> Spans {
    Spans::of(stretches.map(|it| (it.from, it.until)))
}

/// Says how a condition stood in a column. What it was for a speck of the column does not count.
fn condition(
    column: (Wall, Wall),
    record: &Record,
    met: &Spans,
    unmet: &Spans,
    unknown: &Spans,
) -> Cell {
    let length = column.1.min(record.until).saturating_since(column.0);
    let speck = length.as_secs() / SPECK;
    let column = Spans::of([column]);
    let counts = |spans: &Spans| {
        let secs = spans.and(&column).secs();
        secs > speck && secs > 0
    };
    let gaps = gaps(record);
    let cells = [
        (Cell::Unmet, unmet),
        (Cell::Gap, &gaps),
        (Cell::Unknown, unknown),
        (Cell::Met, met),
    ];
    let found = cells.into_iter().find(|(_, spans)| counts(spans));
    found.map_or(Cell::Empty, |(cell, _)| cell)
}

/// When nothing is known; a time that the clock jumped over never was.
fn gaps(record: &Record) -> Spans {
    spans(record.gaps.iter().filter(|gap| gap.value != Gap::ClockSet))
}

fn backup(column: (Wall, Wall), view: &TimelineView) -> Cell {
    let within = |at: Wall| column.0 <= at && at < column.1;
    let ends = |good: bool| {
        view.attempts.iter().any(|attempt| {
            let worked = attempt.result == Some(Outcome::Succeeded);
            attempt.ended.is_some_and(within) && worked == good
        })
    };
    if ends(true) {
        return Cell::Good;
    }
    if ends(false) {
        return Cell::Bad;
    }
    let column = Spans::of([column]);
    let tried = view.attempts.iter().filter_map(|attempt| {
        let ran = attempt.result != Some(Outcome::NotReadyInTime);
        attempt.started.zip(attempt.ended).filter(|_| ran)
    });
    let at_work = |state: &&Stretch<PhoneState>| {
        matches!(
            state.value,
            PhoneState::BackingUp | PhoneState::Committing | PhoneState::Asking
        )
    };
    let jobs = view.record.jobs.iter();
    let jobs = spans(jobs.filter(|job| job.value.kind == JobKind::Backup));
    let working = spans(view.record.states.iter().filter(at_work)).and(&jobs);
    if Spans::of(tried).or(&working).and(&column).secs() > 0 {
        return Cell::Work;
    }
    let due = view
        .record
        .decisions
        .iter()
        .filter(|it| match it.value.word {
            DecisionWord::Wait
            | DecisionWord::Start
            | DecisionWord::Ask
            | DecisionWord::Other(_) => true,
            DecisionWord::NotDue | DecisionWord::Refuse => false,
        });
    if spans(due).and(&column).secs() > 0 {
        Cell::Due
    } else if gaps(&view.record).and(&column).secs() > 0 {
        Cell::Gap
    } else {
        Cell::Empty
    }
}

/// Writes the hours, or the days of a long time, above their columns.
fn labels(view: &TimelineView, columns: &[(Wall, Wall)], step: u64, style: &Style) -> String {
    let hours = view.until.saturating_since(view.from).as_secs() / 3_600;
    let by_day = hours > HOURS_LABELLED_MAX;
    let least = if by_day { 4 } else { 3 };
    let every = [1_u64, 2, 3, 4, 6, 8, 12, 24, 48, 72, 168]
        .into_iter()
        .filter(|hours| !by_day || *hours >= 24)
        .find(|hours| hours * 3_600 / step >= least)
        .unwrap_or(24);
    let mut line = " ".repeat(NAME_COLUMNS);
    let mut days = 0;
    for (at, (from, until)) in columns.iter().enumerate() {
        let Some((hour, label)) = hour_in(*from, *until, by_day, style) else {
            continue;
        };
        let wanted = if by_day {
            days += 1;
            (days - 1) % (every / 24).max(1) == 0
        } else {
            u64::try_from(hour).is_ok_and(|hour| hour % every == 0)
        };
        let place = NAME_COLUMNS + at;
        let fits = line.trim_end().len() < place || line.len() <= NAME_COLUMNS;
        if wanted && fits {
            line.push_str(&" ".repeat(place.saturating_sub(line.len())));
            line.push_str(&label);
        }
    }
    let end = NAME_COLUMNS + columns.len();
    line.truncate(end.max(NAME_COLUMNS));
    format!("{}\n", style.tone(Tone::Dim, line.trim_end()))
}

/// Returns the full hour that a clock comes to show in this column, and how it is written.
fn hour_in(from: Wall, until: Wall, by_day: bool, style: &Style) -> Option<(i8, String)> {
    let mut at = from;
    while at < until {
        let civil = moment::civil(at, style)?;
        if civil.minute() == 0 && (!by_day || civil.hour() == 0) {
            let label = if by_day { "%a" } else { "%H" };
            return Some((civil.hour(), civil.strftime(label).to_string()));
        }
        // Offsets are whole quarters of an hour.
        at = at + Duration::from_secs(900 - u64::try_from(at.as_secs()).unwrap_or(0) % 900);
    }
    None
}

fn row(name: &str, cells: &[Cell], style: &Style) -> String {
    let mut line = text::pad(name, NAME_COLUMNS);
    let end = cells
        .iter()
        .rposition(|cell| *cell != Cell::Empty)
        .map_or(0, |last| last + 1);
    let cells = cells.get(..end).unwrap_or_default();
    for run in cells.chunk_by(|a, b| a.tone() == b.tone()) {
        let drawn: String = run.iter().map(|cell| cell.glyph(style.glyphs)).collect();
        let tone = run.first().and_then(|cell| cell.tone());
        line.push_str(&tone.map_or_else(|| drawn.clone(), |tone| style.tone(tone, &drawn)));
    }
    format!("{}\n", line.trim_end())
}

/// Says what the signs mean that were drawn.
fn legend(rows: &[(String, Vec<Cell>)], style: &Style) -> String {
    let mut cells: Vec<Cell> = rows.iter().flat_map(|(_, cells)| cells).copied().collect();
    cells.sort_unstable();
    cells.dedup();
    let width = style.width.unwrap_or(COLUMNS).max(COLUMNS_MIN);
    let (mut lines, mut used) = (String::new(), 0);
    for cell in cells.into_iter().filter(|cell| *cell != Cell::Empty) {
        let glyph = cell.glyph(style.glyphs).to_string();
        let columns = 2 + text::columns(cell.meaning());
        if used > 0 && used + 3 + columns > width {
            lines.push('\n');
            used = 0;
        } else if used > 0 {
            lines.push_str("   ");
            used += 3;
        }
        let sign = cell
            .tone()
            .map_or_else(|| glyph.clone(), |tone| style.tone(tone, &glyph));
        lines.push_str(&format!("{sign} {}", cell.meaning()));
        used += columns;
    }
    if lines.is_empty() {
        lines
    } else {
        format!("{lines}\n")
    }
}

/// Says why there are gaps, of the longest of them when there are many.
fn reasons(view: &TimelineView, style: &Style) -> String {
    let (gaps, left) = longest(&view.record.gaps);
    let lines = gaps.into_iter().map(|gap| {
        let long = gap.until.saturating_since(gap.from).as_secs() >= 86_400;
        let at = |at| match long {
            true => moment::exact(at, style),
            false => moment::time_of_day(at, style),
        };
        let (from, until) = (at(gap.from), at(gap.until));
        format!("{from} to {until}: {}", unknown(gap.value))
    });
    let lines = lines.chain(shorter(left));
    lines.map(|line| hanging(&line, style)).collect()
}

fn tries(view: &TimelineView, style: &Style) -> String {
    let lines = view.attempts.iter();
    let lines = lines.map(|attempt| hanging(&outcome::attempt(attempt, style), style));
    lines.collect()
}

/// Breaks a line at the terminal's edge and indents what follows.
fn hanging(line: &str, style: &Style) -> String {
    format!("{}\n", text::paragraph(line, INDENT, style))
}
