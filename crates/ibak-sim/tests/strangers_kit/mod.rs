//! Finding and running other people's programs.
//!
//! A missing one skips its test loudly; `IBAK_STRANGERS=required` makes that a failure, as CI does.
#![allow(dead_code, reason = "each test program uses its own part")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

/// How long a client may take before it counts as hanging.
pub(crate) const CLIENT_MAX: Duration = Duration::from_secs(300);

/// Finds a program in `IBAK_PMD3` (default /opt/ibak-pmd3/bin) or PATH.
pub(crate) fn find(tool: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::iter::once(python_home("IBAK_PMD3", "/opt/ibak-pmd3/bin"))
        .chain(std::env::split_paths(&path))
        .collect();
    find_in(dirs, tool)
}

/// Finds the Python of one environment: the one in PATH does not have its readers.
pub(crate) fn find_python(variable: &str, usual: &str) -> Option<PathBuf> {
    find_in(vec![python_home(variable, usual)], "python")
}

fn python_home(variable: &str, usual: &str) -> PathBuf {
    std::env::var_os(variable).map_or_else(|| PathBuf::from(usual), PathBuf::from)
}

fn find_in(dirs: Vec<PathBuf>, tool: &str) -> Option<PathBuf> {
    let found = dirs
        .iter()
        .map(|dir| dir.join(tool))
        .find(|file| file.is_file());
    if found.is_none() {
        assert_ne!(
            std::env::var("IBAK_STRANGERS").as_deref(),
            Ok("required"),
            "{tool} is missing in {dirs:?}"
        );
        eprintln!("SKIPPED: {tool} is not installed, so nobody else checked the simulator");
    }
    found
}

/// Runs a client against the usbmuxd in this directory; returns whether it ended well and what it
/// said.
pub(crate) async fn says(dir: &Path, tool: &Path, args: &[&str]) -> (bool, String) {
    let usbmuxd = format!("UNIX:{}", dir.join("usbmuxd").display());
    let running = Command::new(tool)
        .args(args)
        .env("USBMUXD_SOCKET_ADDRESS", usbmuxd)
        .env("HOME", dir)
        .env("NO_COLOR", "1")
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(CLIENT_MAX, running)
        .await
        .expect("the client ends")
        .unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    (output.status.success(), text)
}
