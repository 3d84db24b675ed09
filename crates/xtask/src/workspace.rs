//! Where the repository and its programs are.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::tools::run;

/// Names a directory with the programs ready built; for tests that must not build them twice.
pub const PROGRAMS_VARIABLE: &str = "IBAK_PROGRAMS";

/// How programs are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Quickly, with every check.
    Dev,
    /// As installed.
    Release,
}

/// Returns the root of the repository.
pub fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// Returns a cargo of the toolchain that runs this, at work in the repository.
pub fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // Cargo sets these for us; for a cargo below us they would only undo its own cache.
    for name in [
        "CARGO_MANIFEST_DIR",
        "CARGO_MANIFEST_PATH",
        "CARGO_PKG_NAME",
        "CARGO_PKG_VERSION",
    ] {
        cargo.env_remove(name);
    }
    cargo.current_dir(repository());
    cargo
}

/// Returns the target directory in which this program, or the test that calls, was built.
///
/// # Errors
/// The program was moved out of it.
pub fn target_dir() -> Result<PathBuf> {
    let this = std::env::current_exe().context("cannot find this program")?;
    // Cargo marks its target directories so.
    let marked = this
        .ancestors()
        .find(|directory| directory.join("CACHEDIR.TAG").is_file());
    marked
        .map(Path::to_owned)
        .context("this program is not in a target directory")
}

/// Builds programs of the workspace; returns their directory.
///
/// # Errors
/// They do not build.
pub fn build(packages: &[&str], profile: Profile) -> Result<PathBuf> {
    if let (Some(ready), Profile::Dev) = (std::env::var_os(PROGRAMS_VARIABLE), profile) {
        return Ok(ready.into());
    }
    let target = target_dir()?;
    let mut command = cargo();
    command
        .args(["build", "--locked", "--target-dir"])
        .arg(&target);
    let directory = match profile {
        Profile::Dev => target.join("debug"),
        Profile::Release => {
            command.arg("--release");
            target.join("release")
        }
    };
    for package in packages {
        command.args(["--package", package]);
    }
    run(&mut command)?;
    Ok(directory)
}
