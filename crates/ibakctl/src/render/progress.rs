//! How far a job is: a bar on a terminal, a line elsewhere.

use crate::select::shown_name;
use crate::style::{Glyphs, Style, Tone};
use crate::text;
use ibak_dbus::Wall;
use ibak_dbus::views::{JobView, PhoneView};
use ibak_dbus::words::{JobKind, Phase};

/// Is the widest the bar itself gets, in columns.
const BAR_COLUMNS_MAX: usize = 40;
/// Is the narrowest bar worth drawing.
const BAR_COLUMNS_MIN: usize = 8;

/// Names what a job is doing.
fn phase(phase: &Phase) -> &str {
    match phase {
        Phase::Queued => "queued",
        Phase::Connecting => "connecting",
        Phase::Preparing => "preparing",
        Phase::Asking => "waiting for your answer on the phone",
        Phase::AwaitingLock => "waiting for the screen to be locked",
        Phase::Scanning => "the phone looks for changes",
        Phase::Receiving => "receiving",
        Phase::Arranging => "arranging files",
        Phase::Verifying => "checking",
        Phase::Committing => "keeping",
        Phase::Unlocking => "making the key from the password",
        Phase::Sending => "the phone takes its files",
        Phase::Copying => "copying",
        Phase::Other(word) => word,
    }
}

fn percent(job: &JobView) -> Option<u64> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the view clamps it to 0..=1"
    )]
    job.progress
        .map(|progress| (progress * 100.0).floor() as u64)
}

fn left(until: Wall, style: &Style) -> Option<String> {
    let seconds = u64::try_from(-style.seconds_since(until))
        .ok()
        .filter(|seconds| *seconds > 0)?;
    Some(format!("{} left", text::span(seconds)))
}

fn amount(job: &JobView) -> Option<String> {
    match (job.bytes_done.get(), job.bytes_total) {
        (0, None) => None,
        (_, None) => Some(text::bytes(job.bytes_done)),
        (_, Some(total)) => Some(text::of_bytes(job.bytes_done.min(total), total)),
    }
}

/// Writes it for a table's last column: `41 % of 7.6 GiB, 12 min left`, or what it is doing.
pub fn short(job: &JobView, style: &Style) -> String {
    let done = match (percent(job), job.bytes_total) {
        (Some(percent), Some(total)) => format!("{percent} % of {}", text::bytes(total)),
        (Some(percent), None) => format!("{percent} %"),
        (None, _) => return text::escape(phase(&job.phase), style),
    };
    match job.expected_end.and_then(|end| left(end, style)) {
        Some(left) => format!("{done}, {left}"),
        None => done,
    }
}

/// Writes it as a line of a log: `receiving: 41 %, 3.1 of 7.6 GiB, 42 MiB/s, 12 min left`.
pub fn line(job: &JobView, style: &Style) -> String {
    let parts = parts(job, style);
    let phase = text::escape(phase(&job.phase), style);
    if parts.is_empty() {
        format!("{phase}\n")
    } else {
        format!("{phase}: {}\n", parts.join(", "))
    }
}

fn parts(job: &JobView, style: &Style) -> Vec<String> {
    let moving = match job.phase {
        Phase::Receiving | Phase::Sending | Phase::Copying => true,
        Phase::Queued
        | Phase::Connecting
        | Phase::Preparing
        | Phase::Asking
        | Phase::AwaitingLock
        | Phase::Scanning
        | Phase::Arranging
        | Phase::Verifying
        | Phase::Committing
        | Phase::Unlocking
        | Phase::Other(_) => false,
    };
    let percent = percent(job).map(|percent| format!("{percent} %"));
    let rate = job
        .rate
        .filter(|_| moving)
        .map(|rate| format!("{}/s", text::bytes(rate)));
    let left = job
        .expected_end
        .filter(|_| moving)
        .and_then(|end| left(end, style));
    [percent, amount(job), rate, left]
        .into_iter()
        .flatten()
        .collect()
}

/// Draws the bar for one line of a terminal, without a line's end.
pub fn bar(job: &JobView, style: &Style) -> String {
    let columns = style.width.unwrap_or(80).saturating_sub(1);
    let phase = text::escape(phase(&job.phase), style);
    let parts = parts(job, style).join("  ");
    let used = text::columns(&phase) + text::columns(&parts) + 6;
    let room = columns.saturating_sub(used).min(BAR_COLUMNS_MAX);
    match job.progress {
        Some(progress) if room >= BAR_COLUMNS_MIN => {
            format!(
                "{phase}  {}  {parts}",
                style.tone(Tone::Good, &drawn(progress, room, style))
            )
        }
        Some(_) | None => text::fit(&format!("{phase}  {parts}"), columns, style)
            .trim_end()
            .to_owned(),
    }
}

fn drawn(progress: f64, room: usize, style: &Style) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "at most 40 columns, and the view clamps progress to 0..=1"
    )]
    let full = ((progress * room as f64) as usize).min(room);
    let (done, rest) = match style.glyphs {
        Glyphs::Unicode => ("━", "─"),
        Glyphs::Ascii => ("#", "-"),
    };
    format!("{}{}", done.repeat(full), rest.repeat(room - full))
}

/// Says what a person has to do at the phone for the job to go on, if anything.
pub fn prompt(job: &JobView, phone: &PhoneView, style: &Style) -> Option<String> {
    let name = shown_name(phone, style);
    match (&job.phase, &job.kind) {
        (Phase::Asking, JobKind::Pair) => Some(format!(
            "Unlock {name}, choose \"Trust\" and type its passcode there.\n"
        )),
        (Phase::Asking, _) => Some(format!("Enter the passcode on {name} now.\n")),
        (Phase::AwaitingLock, _) => Some(format!(
            "Thank you. Lock {name} now, and the backup begins.
"
        )),
        (
            Phase::Queued
            | Phase::Connecting
            | Phase::Preparing
            | Phase::Scanning
            | Phase::Receiving
            | Phase::Arranging
            | Phase::Verifying
            | Phase::Committing
            | Phase::Unlocking
            | Phase::Sending
            | Phase::Copying
            | Phase::Other(_),
            _,
        ) => None,
    }
}
