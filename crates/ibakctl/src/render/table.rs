//! Columns that line up, whatever is in them.

use crate::style::{Style, Tone};
use crate::text;

/// A cell: escaped text, and the tone it is painted in.
pub(super) struct Cell {
    text: String,
    tone: Option<Tone>,
}

impl Cell {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            tone: None,
        }
    }

    pub(super) fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self {
            text: text.into(),
            tone: Some(tone),
        }
    }
}

/// Is how many columns lie after the first column and after the others: as much as there is room for.
const GAPS: [(usize, usize); 3] = [(4, 3), (3, 2), (2, 1)];
/// Is the narrowest the last column is wrapped to.
const LAST_COLUMNS_MIN: usize = 16;

/// Renders rows under a heading. In a narrow terminal the columns move together, and the last one
/// goes on in the next line.
pub(super) fn render<const N: usize>(
    heading: [&str; N],
    rows: &[[Cell; N]],
    style: &Style,
) -> String {
    let mut cells = [0; N];
    for (at, width) in cells.iter_mut().enumerate() {
        let widest = rows
            .iter()
            .filter_map(|row| row.get(at))
            .map(|cell| text::columns(&cell.text))
            .max();
        *width = widest
            .unwrap_or(0)
            .max(heading.get(at).map_or(0, |h| text::columns(h)));
    }
    let total = |(first, other): (usize, usize)| {
        cells.iter().sum::<usize>() + first + other * N.saturating_sub(2)
    };
    let columns = style.width.unwrap_or(usize::MAX);
    let gaps = GAPS
        .into_iter()
        .find(|gaps| total(*gaps) <= columns)
        .unwrap_or((3, 2));
    let starts: Vec<usize> = cells
        .iter()
        .enumerate()
        .scan(0, |start, (at, width)| {
            let this = *start;
            *start += width + if at == 0 { gaps.0 } else { gaps.1 };
            Some(this)
        })
        .collect();
    let mut out = line(
        heading.iter().map(|h| Cell::toned(*h, Tone::Head)),
        &starts,
        columns,
        style,
    );
    for row in rows {
        let cells = row.iter().map(|cell| Cell {
            text: cell.text.clone(),
            tone: cell.tone,
        });
        out.push_str(&line(cells, &starts, columns, style));
    }
    out
}

fn line(
    cells: impl Iterator<Item = Cell>,
    starts: &[usize],
    columns: usize,
    style: &Style,
) -> String {
    let mut out = String::new();
    let mut used = 0;
    for (at, (cell, start)) in cells.zip(starts).enumerate() {
        out.push_str(&" ".repeat(start.saturating_sub(used)));
        let paint = |text: &str| {
            cell.tone
                .map_or_else(|| text.to_owned(), |tone| style.tone(tone, text))
        };
        if at + 1 == starts.len() {
            let room = columns.saturating_sub(*start).max(LAST_COLUMNS_MIN);
            let lines: Vec<String> = text::wrap(&cell.text, room)
                .iter()
                .map(|line| paint(line))
                .collect();
            out.push_str(&lines.join(&format!("\n{}", " ".repeat(*start))));
        } else {
            out.push_str(&paint(&cell.text));
        }
        used = start + text::columns(&cell.text);
    }
    let mut out = out.trim_end().to_owned();
    out.push('\n');
    out
}
