//! `systemd/` as systemd reads it. What the sandbox does to the daemon is in `unit_probe`.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// The most that `systemd-analyze security` may complain, in tenths.
const EXPOSURE_MAX_TENTHS: u32 = 15;

fn run(program: &str, arguments: &[&str]) -> Option<Output> {
    let path = ibak_tests::programs::of_machine(program)?;
    Some(
        Command::new(path)
            .args(arguments)
            .env("LC_ALL", "C.UTF-8")
            .output()
            .unwrap(),
    )
}

fn unit() -> String {
    ibak_tests::repository()
        .join("systemd/ibakd.service")
        .to_string_lossy()
        .into_owned()
}

/// Copies the unit with programs that exist here, so that only real complaints are left.
fn unit_for_this_machine(directory: &Path, extra: &str) -> String {
    let text = fs::read_to_string(unit()).unwrap();
    let text = text
        .replace("/usr/bin/ibakd", "/bin/true")
        .replace("/usr/bin/ibakctl", "/bin/true");
    let path = directory.join("ibakd.service");
    fs::write(&path, format!("{text}\n{extra}")).unwrap();
    path.to_string_lossy().into_owned()
}

#[test]
fn the_unit_verifies_without_a_word() {
    let directory = tempfile::tempdir().unwrap();
    let path = unit_for_this_machine(directory.path(), "");
    let Some(output) = run(
        "systemd-analyze",
        &["verify", "--man=no", "--recursive-errors=no", &path],
    ) else {
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    // The exit code is 0 also for unknown keys: what it says is what counts. Other units of the
    // machine may have their own troubles.
    let ours: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("ibakd.service"))
        .collect();
    assert!(ours.is_empty() && output.status.success(), "{said}");
}

#[test]
fn verify_would_say_what_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let path = unit_for_this_machine(directory.path(), "[Service]\nProtectEverything=yes\n");
    let Some(output) = run(
        "systemd-analyze",
        &["verify", "--man=no", "--recursive-errors=no", &path],
    ) else {
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("ibakd.service") && said.contains("ProtectEverything"),
        "{said}"
    );
}

#[test]
fn the_sandbox_scores_as_designed() {
    let Some(output) = run(
        "systemd-analyze",
        &["security", "--offline=true", "--no-pager", &unit()],
    ) else {
        return;
    };
    let said = String::from_utf8_lossy(&output.stdout);
    let exposure = said
        .lines()
        .find_map(|line| line.split_once("Overall exposure level for ibakd.service: "))
        .map(|(_, rest)| rest.split_whitespace().next().unwrap())
        .unwrap_or_else(|| {
            panic!(
                "no score in:\n{said}{}",
                String::from_utf8_lossy(&output.stderr)
            )
        });
    let (whole, tenths) = exposure.split_once('.').unwrap();
    let score = whole.parse::<u32>().unwrap() * 10 + tenths.parse::<u32>().unwrap();
    assert!(score <= EXPOSURE_MAX_TENTHS, "exposure {exposure}:\n{said}");
}

#[test]
fn system_calls_are_denied_on_a_line_of_their_own() {
    let text = fs::read_to_string(unit()).unwrap();
    let filters: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("SystemCallFilter="))
        .collect();
    // A `~` that is not the first character of its line is ignored without a word.
    assert_eq!(filters, ["@system-service", "~@privileged @resources"]);
}

#[test]
fn users_and_directories_are_understood() {
    let root = tempfile::tempdir().unwrap();
    let at = format!("--root={}", root.path().display());
    // Locks are taken in it, and it is there on any machine.
    fs::create_dir(root.path().join("etc")).unwrap();
    let source = |name: &str| {
        ibak_tests::repository()
            .join("systemd")
            .join(name)
            .to_string_lossy()
            .into_owned()
    };
    if !rustix::process::geteuid().is_root() {
        ibak_tests::skipped("making users in a tree needs root");
        return;
    }
    let Some(users) = run("systemd-sysusers", &[&at, &source("ibak.sysusers")]) else {
        return;
    };
    assert!(
        users.status.success(),
        "{}",
        String::from_utf8_lossy(&users.stderr)
    );
    let passwd = fs::read_to_string(root.path().join("etc/passwd")).unwrap();
    let line = passwd
        .lines()
        .find(|line| line.starts_with("ibak:"))
        .unwrap();
    assert!(
        line.ends_with(":iPhone backups:/var/lib/ibak:/usr/sbin/nologin"),
        "{line}"
    );
    let group = fs::read_to_string(root.path().join("etc/group")).unwrap();
    assert!(
        group.lines().any(|line| line.starts_with("ibak:")),
        "{group}"
    );

    let tmpfiles = run(
        "systemd-tmpfiles",
        &[&at, "--create", &source("ibak.tmpfiles")],
    )
    .unwrap();
    assert!(
        tmpfiles.status.success(),
        "{}",
        String::from_utf8_lossy(&tmpfiles.stderr)
    );
    let state = fs::metadata(root.path().join("var/lib/ibak")).unwrap();
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&state.permissions()) & 0o7777,
        0o700
    );
}
