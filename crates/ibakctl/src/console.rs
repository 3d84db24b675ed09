//! stdout for answers, stderr for the conversation, and what the terminal is like.

use crate::cli::When;
use crate::failure::{Exit, Failure};
use crate::interrupt::Interrupts;
use crate::style::{Glyphs, Paint, Style};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::io::{self, IsTerminal, Write};

/// Is the variable that pins the present moment.
const TIMESTAMP_VARIABLE: &str = "IBAK_TIMESTAMP";

/// Where a command writes, and how.
pub(crate) struct Console {
    color: When,
    pinned: Option<Timestamp>,
    zone: TimeZone,
    glyphs: Glyphs,
    bar_shown: bool,
    interrupts: Interrupts,
}

impl Console {
    /// Looks at the environment and the terminal.
    pub(crate) fn new(color: When) -> Result<Self, Failure> {
        let pinned = match std::env::var(TIMESTAMP_VARIABLE) {
            Ok(text) if !text.is_empty() => Some(text.parse().map_err(|error| {
                Failure::new(Exit::Usage, format!("{TIMESTAMP_VARIABLE} is no moment"))
                    .because(format!("{error}"))
                    .hint("write it as 2026-11-22T21:04:00Z")
            })?),
            Ok(_) | Err(_) => None,
        };
        Ok(Self {
            color,
            pinned,
            zone: TimeZone::system(),
            glyphs: glyphs(),
            bar_shown: false,
            interrupts: Interrupts::default(),
        })
    }

    fn style(&self, terminal: bool, columns: Option<usize>) -> Style {
        let paint = match self.color {
            When::Always => Paint::Color,
            When::Never => Paint::Plain,
            When::Auto if terminal && colour_is_welcome() => Paint::Color,
            When::Auto => Paint::Plain,
        };
        Style {
            glyphs: self.glyphs,
            paint,
            width: columns.filter(|_| terminal),
            now: self.pinned.unwrap_or_else(Timestamp::now),
            zone: self.zone.clone(),
        }
    }

    /// Returns the style of answers, with the present moment.
    pub(crate) fn out_style(&self) -> Style {
        let out = io::stdout();
        self.style(out.is_terminal(), columns(&out))
    }

    /// Returns the style of the conversation, with the present moment.
    pub(crate) fn err_style(&self) -> Style {
        let err = io::stderr();
        self.style(err.is_terminal(), columns(&err))
    }

    /// Says whether a bar can be drawn.
    pub(crate) fn draws_bars(&self) -> bool {
        io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
    }

    /// Writes an answer.
    pub(crate) fn answer(&mut self, text: &str) -> Result<(), Failure> {
        self.end_bar();
        write_all(io::stdout().lock(), text)
    }

    /// Writes one line of JSON.
    pub(crate) fn answer_json(&mut self, value: &serde_json::Value) -> Result<(), Failure> {
        self.answer(&format!("{value}\n"))
    }

    /// Writes a part of the conversation. Nobody reading it is no failure of the command.
    pub(crate) fn say(&mut self, text: &str) {
        self.end_bar();
        if write_all(io::stderr().lock(), text).is_err() {
            self.bar_shown = false;
        }
    }

    /// Draws the bar anew, over the last one.
    pub(crate) fn bar(&mut self, text: &str) {
        self.bar_shown = write_all(io::stderr().lock(), &format!("\r{text}\u{1b}[K")).is_ok();
    }

    /// Returns what hears of Ctrl-C.
    pub(crate) fn interrupts(&self) -> Interrupts {
        self.interrupts.clone()
    }

    /// Makes room for what somebody else writes to the terminal.
    pub(crate) fn end_line(&mut self) {
        self.end_bar();
    }

    /// Says whether a person is there to be asked something.
    pub(crate) fn has_person(&self) -> bool {
        io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Leaves the bar as it is and goes to the next line.
    fn end_bar(&mut self) {
        if std::mem::take(&mut self.bar_shown) && write_all(io::stderr().lock(), "\n").is_err() {
            self.bar_shown = false;
        }
    }
}

fn colour_is_welcome() -> bool {
    let quiet = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    !quiet && !dumb
}

fn columns(stream: &impl std::os::fd::AsFd) -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(stream).ok()?;
    (size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// Reads the character set from the locale, as the C library would: LC_ALL, LC_CTYPE, LANG.
/// Without any of them files and pipes are UTF-8 today.
fn glyphs() -> Glyphs {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .filter_map(std::env::var_os)
        .find(|value| !value.is_empty())
        .map(|value| value.to_string_lossy().to_lowercase());
    match locale {
        None => Glyphs::Unicode,
        Some(locale) if locale.contains("utf-8") || locale.contains("utf8") => Glyphs::Unicode,
        Some(_) => Glyphs::Ascii,
    }
}

/// Writes all of it. A reader who went away (`| head`) has what it wanted: the command ends well.
fn write_all(mut stream: impl Write, text: &str) -> Result<(), Failure> {
    match stream
        .write_all(text.as_bytes())
        .and_then(|()| stream.flush())
    {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Done, "the reader went away"))
        }
        Err(error) => {
            Err(Failure::new(Exit::Failed, "cannot write the answer").because(error.to_string()))
        }
    }
}
