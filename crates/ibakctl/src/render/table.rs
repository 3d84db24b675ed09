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

/// Is how many columns lie between two columns; one more after the first.
const GAP: usize = 3;

/// Renders rows under a heading. The last column is cut at the terminal's edge.
pub(super) fn render<const N: usize>(
    heading: [&str; N],
    rows: &[[Cell; N]],
    style: &Style,
) -> String {
    let mut widths = [0; N];
    for (at, width) in widths.iter_mut().enumerate() {
        let cells = rows
            .iter()
            .filter_map(|row| row.get(at))
            .map(|cell| text::columns(&cell.text))
            .max()
            .unwrap_or(0);
        let gap = if at == 0 { GAP + 1 } else { GAP };
        *width = cells.max(heading.get(at).map_or(0, |h| text::columns(h))) + gap;
    }
    let mut out = line(
        heading.iter().map(|h| Cell::toned(*h, Tone::Head)),
        &widths,
        style,
    );
    for row in rows {
        out.push_str(&line(
            row.iter().map(|cell| Cell {
                text: cell.text.clone(),
                tone: cell.tone,
            }),
            &widths,
            style,
        ));
    }
    out
}

fn line(cells: impl Iterator<Item = Cell>, widths: &[usize], style: &Style) -> String {
    let mut out = String::new();
    let mut used = 0;
    for (at, (cell, width)) in cells.zip(widths).enumerate() {
        let last = at + 1 == widths.len();
        let shown = match style.width {
            Some(columns) if last => {
                text::fit(&cell.text, columns.saturating_sub(used).max(10), style)
            }
            Some(_) | None => cell.text,
        };
        let padding = if last {
            0
        } else {
            width.saturating_sub(text::columns(&shown))
        };
        out.push_str(
            &cell
                .tone
                .map_or_else(|| shown.clone(), |tone| style.tone(tone, &shown)),
        );
        out.push_str(&" ".repeat(padding));
        used += width;
    }
    let mut out = out.trim_end().to_owned();
    out.push('\n');
    out
}
