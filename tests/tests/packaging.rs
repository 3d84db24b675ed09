//! `packaging/manifest.toml` against the tree, and the policies against each other.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use xtask::manifest::{Manifest, Origin};

const BUS_NAME: &str = "org.ibak.Ibak1";
/// The deeds that polkit decides about, one action each.
const DEEDS: [&str; 6] = [
    "backup",
    "manage",
    "set-encryption",
    "remove-backup",
    "restore",
    "read-backup",
];

fn manifest() -> Manifest {
    Manifest::load(&ibak_tests::repository()).unwrap()
}

fn text(path: &str) -> String {
    fs::read_to_string(ibak_tests::repository().join(path)).unwrap()
}

fn destination_of(source: &str) -> PathBuf {
    let manifest = manifest();
    let entry = manifest
        .files
        .iter()
        .find(|entry| entry.origin == Origin::Source(source.into()));
    entry
        .unwrap_or_else(|| panic!("{source} is not installed"))
        .destination
        .clone()
}

#[test]
fn each_file_is_installed_once_and_exists() {
    let manifest = manifest();
    let destinations: BTreeSet<&Path> = manifest
        .files
        .iter()
        .map(|entry| entry.destination.as_path())
        .collect();
    assert_eq!(
        destinations.len(),
        manifest.files.len(),
        "a destination is named twice"
    );
    for entry in &manifest.files {
        match &entry.origin {
            Origin::Program(name) => {
                let room = ibak_tests::repository().join("crates").join(name);
                assert!(
                    room.join("src/main.rs").is_file(),
                    "{name} is not a program of the workspace"
                );
                assert_eq!(entry.mode, 0o755, "{name}");
            }
            Origin::Source(path) => {
                assert!(
                    ibak_tests::repository().join(path).is_file(),
                    "{} is missing",
                    path.display()
                );
                let mode = match path.to_str().unwrap() {
                    hook if hook.starts_with("packaging/hooks/") => 0o755,
                    // It holds the keys to other services.
                    "config/hooks.conf" => 0o600,
                    _ => 0o644,
                };
                assert_eq!(entry.mode, mode, "{}", path.display());
            }
        }
    }
}

#[test]
fn everything_made_to_be_installed_is_in_the_list() {
    let listed: BTreeSet<PathBuf> = manifest()
        .files
        .into_iter()
        .filter_map(|entry| match entry.origin {
            Origin::Source(path) => Some(path),
            Origin::Program(_) => None,
        })
        .collect();
    for directory in [
        "systemd",
        "systemd/user",
        "packaging/hooks",
        "packaging/polkit",
        "packaging/dbus",
        "config",
    ] {
        for entry in fs::read_dir(ibak_tests::repository().join(directory)).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                continue;
            }
            let name = entry.file_name();
            // Introspection XML documents the bus for people; nothing reads it at run time.
            if Path::new(&name)
                .extension()
                .is_some_and(|extension| extension == "xml")
            {
                continue;
            }
            let path = Path::new(directory).join(&name);
            assert!(
                listed.contains(&path),
                "{} is not in the list",
                path.display()
            );
        }
    }
}

#[test]
fn the_simulator_is_never_installed() {
    let shipped: Vec<String> = manifest()
        .files
        .into_iter()
        .filter_map(|entry| match entry.origin {
            Origin::Program(name) => Some(name),
            Origin::Source(_) => None,
        })
        .collect();
    assert_eq!(shipped, ["ibakd", "ibakctl"]);
}

#[test]
fn the_units_name_what_is_installed() {
    let installed: BTreeSet<PathBuf> = manifest()
        .files
        .into_iter()
        .map(|entry| entry.destination)
        .collect();
    for (unit, keys) in [
        (
            "systemd/ibakd.service",
            &["ExecStart=", "ExecReload=", "Documentation=file://"][..],
        ),
        (
            "systemd/ibak-hooks.service",
            &["ExecStart=", "EnvironmentFile=-", "Documentation=file://"],
        ),
        (
            "systemd/user/ibak-notify.service",
            &["ExecStart=", "Documentation=file://"],
        ),
    ] {
        let unit = text(unit);
        for key in keys {
            let line = unit
                .lines()
                .find_map(|line| line.strip_prefix(key))
                .unwrap();
            let program = line.split_whitespace().next().unwrap();
            assert!(
                installed.contains(Path::new(program)),
                "{key}{program} is not installed"
            );
        }
    }
    let unit = text("systemd/ibakd.service");
    assert!(unit.contains(&format!("\nBusName={BUS_NAME}\n")));
    assert_eq!(
        destination_of("systemd/ibakd.service"),
        Path::new("/usr/lib/systemd/system/ibakd.service")
    );
}

#[test]
fn the_bus_policy_is_two_rules() {
    let policy = text("packaging/dbus/org.ibak.Ibak1.conf");
    let rules: Vec<&str> = policy
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("<allow") || line.starts_with("<deny"))
        .collect();
    assert_eq!(
        rules,
        [
            format!("<allow own=\"{BUS_NAME}\"/>"),
            format!("<allow send_destination=\"{BUS_NAME}\"/>")
        ]
    );
    assert!(policy.contains("<policy user=\"ibak\">"));
    assert_eq!(
        destination_of("packaging/dbus/org.ibak.Ibak1.conf"),
        PathBuf::from(format!("/usr/share/dbus-1/system.d/{BUS_NAME}.conf"))
    );
}

#[test]
fn every_deed_has_its_action_and_lets_the_daemon_ask() {
    let policy = text("packaging/polkit/org.ibak.Ibak1.policy");
    let actions: Vec<&str> = policy
        .split("<action id=\"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
        .collect();
    let wanted: Vec<String> = DEEDS
        .iter()
        .map(|deed| format!("{BUS_NAME}.{deed}"))
        .collect();
    assert_eq!(actions, wanted);
    for action in policy.split("<action ").skip(1) {
        let body = action.split("</action>").next().unwrap();
        assert!(
            body.contains(
                "<annotate key=\"org.freedesktop.policykit.owner\">unix-user:ibak</annotate>"
            ),
            "{body}"
        );
        // Somebody without a seat is never let in without a password.
        assert!(body.contains("<allow_any>auth_admin</allow_any>"), "{body}");
        assert!(!body.contains("<allow_inactive>yes"), "{body}");
    }
}

#[test]
fn the_units_of_messages_name_what_there_is() {
    let service = text("systemd/ibak-hooks.service");
    assert!(
        service.contains("\nExecStart=/usr/bin/ibakctl notify hooks --dir /etc/ibak/hooks.d\n")
    );
    assert!(text("systemd/ibak.tmpfiles").contains("\nd /etc/ibak/hooks.d 0755 root root -\n"));
    assert!(service.contains("\nUser=ibak-hooks\n"));
    assert!(text("systemd/ibak.sysusers").contains("\nu ibak-hooks - "));
    // A setting that a hook reads is in the file of settings, and the other way round.
    let mut read = BTreeSet::new();
    for entry in fs::read_dir(ibak_tests::repository().join("packaging/hooks")).unwrap() {
        let script = fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(script.starts_with("#!/bin/sh\n#") && script.contains("\nset -eu\n"));
        let names = script.lines().filter_map(|line| line.strip_prefix("#   "));
        let names = names.filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()));
        read.extend(names.map(|line| line.split(' ').next().unwrap().to_owned()));
    }
    let settings = text("config/hooks.conf");
    let known = settings.lines().filter_map(|line| line.strip_prefix('#'));
    let known = known.filter_map(|line| line.split_once('='));
    let known: BTreeSet<String> = known.map(|(name, _)| name.to_owned()).collect();
    assert_eq!(read, known);
}
