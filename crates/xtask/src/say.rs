//! What xtask tells the person: sentences on the standard error, the answer on the standard output.

use std::io::Write;
use std::process::Stdio;

/// Writes one line of conversation to the standard error.
pub fn say(line: &str) {
    // Whoever closed the stream does not want to read it.
    std::io::stderr()
        .lock()
        .write_all(format!("{line}\n").as_bytes())
        .ok();
}

/// Writes one line of answer to the standard output.
pub fn answer(line: &str) {
    let mut out = std::io::stdout().lock();
    // As above.
    out.write_all(format!("{line}\n").as_bytes())
        .and_then(|()| out.flush())
        .ok();
}

/// Tells a story: on the standard output, or on the standard error when the output is JSON.
#[derive(Debug, Clone, Copy)]
pub struct Teller {
    json: bool,
}

impl Teller {
    /// Makes a teller; `json` keeps the standard output free.
    pub const fn new(json: bool) -> Self {
        Self { json }
    }

    /// Tells one line.
    pub fn tell(self, line: &str) {
        if self.json { say(line) } else { answer(line) }
    }

    /// Begins a part of the story.
    pub fn part(self, title: &str) {
        self.tell(&format!("\n\u{2501}\u{2501} {title}"));
    }

    /// Returns the same stream for a process to write to.
    pub fn stream(self) -> Stdio {
        if self.json {
            Stdio::from(std::io::stderr())
        } else {
            Stdio::from(std::io::stdout())
        }
    }
}
