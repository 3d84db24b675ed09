//! What the whole-system tests of ibak share: the repository, its programs, and the rigs.

pub mod guest;
pub mod programs;

use std::path::PathBuf;

/// Returns the root of the repository.
pub fn repository() -> PathBuf {
    let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    tests.parent().map_or_else(|| tests.clone(), PathBuf::from)
}

/// Says aloud, past the capture of the test runner, that the current test did not run and why.
pub fn skipped(reason: &str) {
    let thread = std::thread::current();
    guest::aloud(&format!(
        "SKIPPED {}: {reason}",
        thread.name().unwrap_or("a test")
    ));
}

/// Returns whether the slow tests are asked for (`RUN_SLOW_TESTS=1`).
pub fn slow() -> bool {
    std::env::var_os("RUN_SLOW_TESTS").is_some_and(|value| value == "1")
}
