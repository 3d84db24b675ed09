//! `cargo xtask test`: everything CI runs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::say::{answer, say};
use crate::tools::{self, For};
use crate::workspace::{self, PROGRAMS_VARIABLE, cargo};

/// Tests at once in each program: most of their time they wait for phones and guests, not for a core.
const TEST_THREADS: &str = "6";

/// One step: its name, and the command.
struct Step {
    name: &'static str,
    command: Command,
}

/// Installs or names what is missing, runs every step to its end and sums up.
///
/// # Errors
/// Something is missing, or a step failed; every step has run by then.
pub fn test() -> Result<()> {
    let start = Instant::now();
    tools::ensure_system(For::Test)?;
    let strangers = tools::ensure_strangers()?;
    let programs = workspace::target_dir()?.join("debug");
    let ready = start.elapsed();

    let mut summary = vec![("machine", true, ready)];
    for mut step in steps(&programs, &strangers) {
        say(&format!("\n== {}", step.name));
        let start = Instant::now();
        let passed = step
            .command
            .stdin(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        summary.push((step.name, passed, start.elapsed()));
    }

    answer("");
    for (name, passed, took) in &summary {
        answer(&format!(
            "{} {name} ({})",
            if *passed { "passed" } else { "FAILED" },
            seconds(*took)
        ));
    }
    let failed: Vec<&str> = summary
        .iter()
        .filter(|(_, passed, _)| !passed)
        .map(|(name, ..)| *name)
        .collect();
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    answer(&format!(
        "everything passed in {}",
        seconds(start.elapsed())
    ));
    Ok(())
}

fn steps(programs: &Path, strangers: &[(&str, PathBuf)]) -> Vec<Step> {
    let with = |words: &[&str]| {
        let mut command = cargo();
        command.args(words);
        // What is built once gains nothing from being able to be built again in parts.
        if std::env::var_os("CI").is_some() {
            command.env("CARGO_INCREMENTAL", "0");
        }
        command
    };
    let mut document = with(&["doc", "--workspace", "--no-deps", "--locked", "--quiet"]);
    document.env("RUSTDOCFLAGS", "-D warnings");
    // The tests start the programs that are built with them, not others.
    let mut tests = with(&["test", "--workspace", "--locked", "--no-fail-fast"]);
    tests
        .env(PROGRAMS_VARIABLE, programs)
        .env("RUST_TEST_THREADS", TEST_THREADS)
        .envs(strangers.iter().map(|(name, programs)| (name, programs)))
        .env(tools::STRANGERS_VARIABLE, "required");
    let mut configuration = Command::new(programs.join("ibakd"));
    configuration
        .args(["--check", "--config"])
        .arg(workspace::repository().join("config/ibakd.toml"));
    vec![
        Step {
            name: "format",
            command: with(&["fmt", "--all", "--check"]),
        },
        Step {
            name: "lints",
            command: with(&[
                "clippy",
                "--workspace",
                "--all-targets",
                "--locked",
                "--quiet",
                "--",
                "-D",
                "warnings",
            ]),
        },
        Step {
            name: "documents",
            command: document,
        },
        Step {
            name: "build",
            command: with(&[
                "build",
                "--workspace",
                "--all-targets",
                "--locked",
                "--quiet",
            ]),
        },
        Step {
            name: "configuration",
            command: configuration,
        },
        Step {
            name: "tests",
            command: tests,
        },
    ]
}

fn seconds(time: Duration) -> String {
    format!("{}.{} s", time.as_secs(), time.subsec_millis() / 100)
}
