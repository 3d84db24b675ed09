//! Errors: what, why, and one thing to do.

use crate::failure::Failure;
use crate::style::{Style, Tone};
use crate::text;

/// Renders `Error:`, the numbered `Caused by:` and one `Hint:`.
pub fn render(failure: &Failure, style: &Style) -> String {
    let mut out = format!(
        "{} {}\n",
        style.tone(Tone::Bad, "Error:"),
        text::escape(&failure.message, style)
    );
    if !failure.causes.is_empty() {
        out.push_str("Caused by:\n");
    }
    for (at, cause) in failure.causes.iter().enumerate() {
        out.push_str(&format!("{}: {}\n", at + 1, text::escape(cause, style)));
    }
    if let Some(hint) = &failure.hint {
        out.push_str(&text::hint(&text::escape(hint, style), style));
    }
    out
}
