//! The programs of the workspace, built when a test asks for them.
//!
//! Cargo builds the programs of a package for that package's tests only, and a stale `ibakd`
//! would be tested without a word. So the first that asks builds them all; that is a no-op of
//! half a second when they are fresh.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow};

/// What is built, in the profile of the tests.
const PACKAGES: [&str; 3] = ["ibakd", "ibakctl", "ibak-sim"];

/// Returns the directory of `ibakd`, `ibakctl` and `ibak-sim`, built from the sources as they are.
///
/// # Errors
/// They do not build; the compiler's words are in the error.
pub fn directory() -> Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BUILT
        .get_or_init(|| build().map_err(|error| format!("{error:#}")))
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

fn build() -> Result<PathBuf> {
    // This program is <target>/<profile>/deps/<test>.
    let this = std::env::current_exe().context("cannot find this program")?;
    let profile_dir = this
        .ancestors()
        .nth(2)
        .context("this program is not in a target directory")?;
    let target_dir = profile_dir
        .parent()
        .context("this program is not in a target directory")?;
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(crate::repository())
        .args(["build", "--quiet", "--offline"])
        .arg("--target-dir")
        .arg(target_dir);
    if profile_dir.ends_with("release") {
        cargo.arg("--release");
    }
    for package in PACKAGES {
        cargo.args(["--package", package]);
    }
    let output = cargo
        .stdin(Stdio::null())
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        return Err(anyhow!(
            "the programs do not build:\n{}",
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    Ok(profile_dir.to_owned())
}
