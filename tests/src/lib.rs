//! What the whole-system tests of ibak share: the repository, its programs, and the rigs.

pub mod guest;
pub mod headless;
pub mod mock;
pub mod night;
pub mod programs;
pub mod trouble;
pub mod words;

use std::io::Write;
use std::path::PathBuf;

/// Returns the root of the repository.
pub fn repository() -> PathBuf {
    xtask::workspace::repository()
}

/// Passes on what a test needs; when it is not there, says aloud that the test is skipped and why.
///
/// # Panics
/// In CI (`CI` is set) nothing may be skipped.
pub fn skip_unless<T>(there: Option<T>, reason: &str) -> Option<T> {
    if there.is_none() {
        assert!(
            std::env::var_os("CI").is_none(),
            "not skipped in CI: {reason}"
        );
        skipped(reason);
    }
    there
}

/// Says aloud, past the capture of the test runner, that the current test did not run and why.
pub fn skipped(reason: &str) {
    let thread = std::thread::current();
    let line = format!("SKIPPED {}: {reason}\n", thread.name().unwrap_or("a test"));
    // Nothing is lost when nobody listens.
    std::io::stderr().lock().write_all(line.as_bytes()).ok();
}

/// Returns whether the slow tests are asked for (`RUN_SLOW_TESTS=1`).
pub fn slow() -> bool {
    std::env::var_os("RUN_SLOW_TESTS").is_some_and(|value| value == "1")
}
