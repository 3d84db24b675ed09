//! The programs that the tests start: ours, built when a test asks for them, and strangers'.
//!
//! Cargo builds the programs of a package for that package's tests only, and a stale `ibakd`
//! would be tested without a word. So the first that asks builds them; that takes half a second
//! when they are fresh. `cargo xtask test` has built them and says where (`IBAK_PROGRAMS`).

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Result, anyhow, ensure};
use xtask::workspace::{self, Profile};

/// What is built, in the profile of the tests.
const PACKAGES: [&str; 4] = ["ibakd", "ibakctl", "ibak-sim", "xtask"];

/// Returns the directory of `ibakd`, `ibakctl`, `ibak-sim` and `xtask`, built from the sources as they are.
///
/// # Errors
/// They do not build.
pub fn directory() -> Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BUILT
        .get_or_init(|| {
            workspace::build(&PACKAGES, Profile::Dev).map_err(|error| format!("{error:#}"))
        })
        .clone()
        .map_err(|error| anyhow!(error))
}

/// Returns one program of the workspace, as [`directory`].
///
/// # Errors
/// As [`directory`].
pub fn path(name: &str) -> Result<PathBuf> {
    Ok(directory()?.join(name))
}

/// Returns a program of the strangers' Python clients (`pymobiledevice3`, `python` with
/// `pyiosbackup`), or says aloud that the test is skipped.
///
/// # Panics
/// In CI (`CI` is set) nothing may be skipped.
pub fn stranger(name: &str) -> Option<PathBuf> {
    let found = xtask::tools::find_strangers().map(|programs| programs.join(name));
    crate::skip_unless(
        found,
        "the Python clients are not installed (`cargo xtask test` installs them)",
    )
}

/// Returns a program of the machine, or says aloud that the test is skipped.
///
/// # Panics
/// In CI (`CI` is set) nothing may be skipped.
pub fn of_machine(name: &str) -> Option<PathBuf> {
    let reason = format!("{name} is not installed (`cargo xtask test` as root installs it)");
    crate::skip_unless(xtask::tools::find(name), &reason)
}

/// Puts a program there. A child writes it: what this process has open for writing, a child of
/// another test inherits for a moment, and a program that is open for writing cannot be begun.
///
/// # Errors
/// It cannot be written.
pub fn put(path: &Path, text: &str) -> Result<()> {
    let draft = tempfile::NamedTempFile::new()?;
    std::fs::write(draft.path(), text)?;
    let mut install = std::process::Command::new("install");
    install.args(["-m", "755"]).arg(draft.path()).arg(path);
    let status = install.status()?;
    ensure!(status.success(), "{}: install: {status}", path.display());
    Ok(())
}
