//! `systemd/` as systemd reads it. What the sandbox does to the daemon is in `unit_probe`.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// The services, and the most that `systemd-analyze security` may complain of each, in tenths.
const EXPOSURE_MAX_TENTHS: [(&str, u32); 2] = [("ibakd.service", 15), ("ibak-hooks.service", 15)];
/// What a user's session starts.
const USER_UNIT: &str = "user/ibak-notify.service";

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

fn unit(name: &str) -> String {
    ibak_tests::repository()
        .join("systemd")
        .join(name)
        .to_string_lossy()
        .into_owned()
}

/// Copies a unit with programs that exist here, so that only real complaints are left.
fn unit_for_this_machine(name: &str, directory: &Path, extra: &str) -> String {
    let text = fs::read_to_string(unit(name)).unwrap();
    let text = text
        .replace("/usr/bin/ibakd", "/bin/true")
        .replace("/usr/bin/ibakctl", "/bin/true");
    let path = directory.join(Path::new(name).file_name().unwrap());
    fs::write(&path, format!("{text}\n{extra}")).unwrap();
    path.to_string_lossy().into_owned()
}

fn verify(name: &str, extra: &str) -> Option<(bool, Vec<String>)> {
    let directory = tempfile::tempdir().unwrap();
    let path = unit_for_this_machine(name, directory.path(), extra);
    let whose = if name == USER_UNIT {
        "--user"
    } else {
        "--system"
    };
    let program = ibak_tests::programs::of_machine("systemd-analyze")?;
    let output = Command::new(program)
        .args(["verify", whose, "--man=no", "--recursive-errors=no", &path])
        .env("LC_ALL", "C.UTF-8")
        // A session's, as a user's units want one.
        .env("XDG_RUNTIME_DIR", directory.path())
        .env("HOME", directory.path())
        .output()
        .unwrap();
    // The exit code is 0 also for unknown keys: what it says is what counts. Other units of the
    // machine may have their own troubles.
    let own = Path::new(name).file_name()?.to_string_lossy();
    let said = String::from_utf8_lossy(&output.stderr);
    let ours = said.lines().filter(|line| line.contains(&*own));
    Some((output.status.success(), ours.map(str::to_owned).collect()))
}

#[test]
fn the_units_verify_without_a_word() {
    for name in ["ibakd.service", "ibak-hooks.service", USER_UNIT] {
        let Some(said) = verify(name, "") else {
            return;
        };
        assert_eq!(said, (true, Vec::new()), "{name}");
    }
}

#[test]
fn verify_would_say_what_is_wrong() {
    for name in ["ibakd.service", "ibak-hooks.service", USER_UNIT] {
        let Some((_, said)) = verify(name, "[Service]\nProtectEverything=yes\n") else {
            return;
        };
        assert!(
            said.iter().any(|line| line.contains("ProtectEverything")),
            "{name}: {said:?}"
        );
    }
}

#[test]
fn the_sandboxes_score_as_designed() {
    for (name, most) in EXPOSURE_MAX_TENTHS {
        let Some(output) = run(
            "systemd-analyze",
            &["security", "--offline=true", "--no-pager", &unit(name)],
        ) else {
            return;
        };
        let said = String::from_utf8_lossy(&output.stdout);
        let exposure = said
            .lines()
            .find_map(|line| line.split_once(&format!("Overall exposure level for {name}: ")))
            .map(|(_, rest)| rest.split_whitespace().next().unwrap())
            .unwrap_or_else(|| {
                panic!(
                    "no score in:\n{said}{}",
                    String::from_utf8_lossy(&output.stderr)
                )
            });
        let (whole, tenths) = exposure.split_once('.').unwrap();
        let score = whole.parse::<u32>().unwrap() * 10 + tenths.parse::<u32>().unwrap();
        assert!(score <= most, "{name}: exposure {exposure}:\n{said}");
    }
}

#[test]
fn system_calls_are_denied_on_a_line_of_their_own() {
    for name in ["ibakd.service", "ibak-hooks.service", USER_UNIT] {
        let text = fs::read_to_string(unit(name)).unwrap();
        let filters: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("SystemCallFilter="))
            .collect();
        // A `~` that is not the first character of its line is ignored without a word.
        assert_eq!(
            filters,
            ["@system-service", "~@privileged @resources"],
            "{name}"
        );
    }
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
    let hooks = passwd
        .lines()
        .find(|line| line.starts_with("ibak-hooks:"))
        .unwrap();
    assert!(hooks.ends_with(":/:/usr/sbin/nologin"), "{hooks}");
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
    let hooks = fs::metadata(root.path().join("etc/ibak/hooks.d")).unwrap();
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&hooks.permissions()) & 0o7777,
        0o755
    );
}
