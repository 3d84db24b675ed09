//! `ibakctl policy`: each key with its value and who says so.

use super::table::{self, Cell};
use crate::select::shown_name;
use crate::style::{Style, Tone};
use crate::text;
use ibak_dbus::views::{PhoneView, PolicyView};
use ibak_dbus::words::PolicySource;

/// Is the narrowest column in which values are broken into lines.
const VALUE_COLUMNS_MIN: usize = 12;

/// What `policy` shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyReport {
    /// The phone.
    pub phone: PhoneView,
    /// Each key of it.
    pub rows: Vec<PolicyView>,
    /// How the phone is named on a command line, with a space before it; empty for the only one.
    pub me: String,
}

/// Renders a line a key. A value stands there as it can be set again, in as many lines as it takes.
pub fn render(report: &PolicyReport, style: &Style) -> String {
    let mut out = format!(
        "{}\n",
        text::paragraph(
            &format!("What holds for {}:", shown_name(&report.phone, style)),
            0,
            style
        )
    );
    let room = room_for_values(&report.rows, style);
    let rows: Vec<[Cell; 3]> = report
        .rows
        .iter()
        .flat_map(|row| lines(row, room, style))
        .collect();
    out.push_str(&table::render(["KEY", "VALUE", "FROM"], &rows, style));
    if report.rows.iter().any(|row| row.key == "cron") {
        let words = "`cron` says when backups are due, for all phones; `interval` does not count.";
        out.push_str(&format!("{}\n", text::paragraph(words, 0, style)));
    }
    out.push_str(&text::hint(
        &format!(
            "`ibakctl policy{} KEY=VALUE` sets one, `KEY=` takes that back; a value with spaces takes quotes.",
            report.me
        ),
        style,
    ));
    out
}

/// Says what each of these keys is, and what it was.
pub fn set(report: &PolicyReport, before: &[PolicyView], keys: &[&str], style: &Style) -> String {
    let name = shown_name(&report.phone, style);
    let find = |rows: &[PolicyView], key: &str| rows.iter().find(|row| row.key == key).cloned();
    let mut out = String::new();
    for key in keys {
        let Some(now) = find(&report.rows, key) else {
            continue;
        };
        let value = shown_value(&now, style);
        let from = match now.source {
            PolicySource::Set => String::new(),
            PolicySource::Default
            | PolicySource::Config
            | PolicySource::ConfigPhone
            | PolicySource::Other(_) => format!(" ({})", from(&now.source, style)),
        };
        let was = match find(before, key) {
            Some(was) if was.value == now.value => ", as it was".to_owned(),
            Some(was) => format!("; it was {}", shown_value(&was, style)),
            None => String::new(),
        };
        let sentence = format!("{key} is {value}{from} for {name}{was}.");
        out.push_str(&format!("{}\n", text::paragraph(&sentence, 0, style)));
    }
    out
}

fn shown_value(row: &PolicyView, style: &Style) -> String {
    if row.value.is_empty() {
        "(nobody)".to_owned()
    } else {
        text::escape(&row.value, style)
    }
}

fn from(source: &PolicySource, style: &Style) -> String {
    match source {
        PolicySource::Default => "default".to_owned(),
        PolicySource::Config => "configuration".to_owned(),
        PolicySource::ConfigPhone => "its own table".to_owned(),
        PolicySource::Set => "set".to_owned(),
        PolicySource::Other(word) => text::escape(word, style),
    }
}

/// Returns how many columns are left for values between the keys and who says so.
fn room_for_values(rows: &[PolicyView], style: &Style) -> usize {
    let Some(width) = style.width else {
        return usize::MAX;
    };
    let widest = |of: &dyn Fn(&PolicyView) -> String| {
        let columns = rows.iter().map(|row| text::columns(&of(row)));
        columns.max().unwrap_or(0)
    };
    let keys = widest(&|row| text::escape(&row.key, style));
    let sources = widest(&|row| from(&row.source, style));
    // The gaps of a table at its widest.
    width
        .saturating_sub(keys + sources + 7)
        .max(VALUE_COLUMNS_MIN)
}

fn lines(row: &PolicyView, room: usize, style: &Style) -> Vec<[Cell; 3]> {
    let is_default = row.source == PolicySource::Default;
    let cell = |words: String| match is_default {
        true => Cell::toned(words, Tone::Dim),
        false => Cell::new(words),
    };
    let values = text::wrap(&shown_value(row, style), room);
    let rest = values.iter().skip(1);
    let first = values.first().cloned().unwrap_or_default();
    let mut lines = vec![[
        Cell::new(text::escape(&row.key, style)),
        cell(first),
        cell(from(&row.source, style)),
    ]];
    lines.extend(rest.map(|more| [Cell::new(""), cell(more.clone()), Cell::new("")]));
    lines
}
