//! What xtask tells the person: sentences on the standard error, the answer on the standard output.

use std::io::Write;

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
