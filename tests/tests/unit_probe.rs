//! The unit as it is installed, under a real systemd, around a probe that does what the daemon
//! does. It finds what the sandbox strangles before the daemon is there to be strangled.

use anyhow::{Result, ensure};
use ibak_tests::guest::{self, Guest, Suite};
use xtask::manifest::Manifest;

const UNIT: &str = "ibakd.service";
/// The unit stays as it ships but for the program and a watchdog that barks while we wait.
const DROP_IN: &str =
    "[Service]\nExecStart=\nExecStart=/usr/bin/ibak-probe\nExecReload=\nWatchdogSec=2\n";
const CHECKS: [&str; 11] = [
    "usb",
    "mdns",
    "sqlite",
    "files",
    "journal",
    "clock",
    "host",
    "walls",
    "bus",
    "inhibitor",
    "watchdog",
];
/// A network with one station, in which a phone can answer.
const NETWORK: [&str; 3] = [
    "ip link add phones type veth peer name beyond",
    "ip address add 192.168.77.1/24 dev phones",
    "ip link set phones up",
];

#[test]
fn the_sandbox_of_systemd_252_leaves_the_daemon_what_it_needs() {
    the_sandbox_leaves_what_is_needed(Suite::Bookworm);
}

#[test]
fn the_sandbox_of_systemd_257_leaves_the_daemon_what_it_needs() {
    the_sandbox_leaves_what_is_needed(Suite::Trixie);
}

fn the_sandbox_leaves_what_is_needed(suite: Suite) {
    if guest::available() {
        probe(suite).unwrap();
    }
}

fn probe(suite: Suite) -> Result<()> {
    let guest = Guest::boot(suite)?;
    let probe = std::path::Path::new(env!("CARGO_BIN_EXE_ibak-probe"));
    // The probe stands in for both programs: what is tried here is everything around them.
    let programs = tempfile::tempdir()?;
    for name in ["ibakd", "ibakctl"] {
        std::os::unix::fs::symlink(probe, programs.path().join(name))?;
    }
    guest.install(&Manifest::load(&ibak_tests::repository())?, programs.path())?;
    guest.copy_in(probe, "/usr/bin/ibak-probe", 0o755)?;
    guest.write("/etc/systemd/system/ibakd.service.d/probe.conf", DROP_IN)?;
    guest.run(&["systemctl", "daemon-reload"])?;
    for command in NETWORK.into_iter().chain(["ip link set beyond up"]) {
        guest.run(&command.split(' ').collect::<Vec<_>>())?;
    }
    let _phone = guest.start(&["ibak-probe", "advertise", "phones"])?;

    let said = start(&guest)?;
    for name in CHECKS {
        ensure!(
            said.lines()
                .any(|line| line.starts_with(&format!("ok {name}: "))),
            "{suite:?}: no `{name}` in\n{said}"
        );
    }
    ensure!(guest.property(UNIT, "StatusText")? == "all checks hold");
    ensure!(guest.property(UNIT, "User")? == "ibak");
    ensure!(
        guest.run(&[
            "journalctl",
            "--no-pager",
            "--output=cat",
            "IBAK_PROBE=reached"
        ])? == "the probe reached the journal"
    );
    let kernel = guest.exec(&[
        "journalctl",
        "--no-pager",
        "--output=cat",
        "--grep",
        "SECCOMP|SIGSYS",
    ])?;
    ensure!(kernel.stdout.is_empty(), "{suite:?}: {}", kernel.stdout);

    ensure!(
        guest.run(&["ibak-probe", "give-fd", "a secret"])? == "a secret",
        "a descriptor over the bus"
    );
    people(&guest)?;
    watchdog(&guest)?;

    guest.run(&["systemctl", "stop", UNIT])?;
    ensure!(
        guest.property(UNIT, "Result")? == "success",
        "{suite:?}: stopping: {}",
        guest.journal(UNIT)?
    );
    // What the daemon wrote is its user's alone.
    ensure!(guest.run(&["stat", "--format=%a %U %G", "/var/lib/ibak"])? == "700 ibak ibak");
    Ok(())
}

/// Starts the unit, and returns what it has said until then.
fn start(guest: &Guest) -> Result<String> {
    let started = guest.exec(&["systemctl", "start", UNIT])?;
    let said = guest.journal(UNIT)?;
    ensure!(
        started.code == Some(0),
        "{:?}: the unit does not start: {}\n{said}",
        guest.suite(),
        started.stderr
    );
    Ok(said)
}

/// Three people ask: root, somebody in the group, somebody else.
fn people(guest: &Guest) -> Result<()> {
    guest.run(&["useradd", "--create-home", "--groups", "ibak", "ada"])?;
    guest.run(&["useradd", "--create-home", "eve"])?;
    let may = |who: &str, deed: &str| -> Result<String> {
        let call = [
            "busctl",
            "call",
            "org.ibak.Ibak1",
            "/org/ibak/Ibak1/Probe",
            "org.ibak.Ibak1.Probe",
            "May",
            "s",
            deed,
        ];
        let as_user = ["runuser", "--user", who, "--"];
        guest.run(&as_user.into_iter().chain(call).collect::<Vec<_>>())
    };
    for (who, deed, answer) in [
        ("root", "backup", "b true"),
        ("root", "restore", "b true"),
        ("ada", "backup", "b true"),
        ("ada", "manage", "b true"),
        ("ada", "restore", "b false"),
        ("ada", "read-backup", "b false"),
        ("eve", "backup", "b false"),
        ("eve", "manage", "b false"),
    ] {
        let said = may(who, deed)?;
        ensure!(
            said == answer,
            "{:?}: may {who} {deed}: {said}",
            guest.suite()
        );
    }
    // Nobody but the daemon's user may take its name.
    guest.run(&["systemctl", "stop", UNIT])?;
    let taken = guest.exec(&["runuser", "--user", "eve", "--", "ibak-probe"])?;
    ensure!(
        taken.code == Some(1)
            && taken
                .stdout
                .lines()
                .any(|line| line.starts_with("FAILED bus: ")),
        "{:?}: eve: {taken:?}",
        guest.suite()
    );
    start(guest).map(drop)
}

/// A program that hangs is killed by the watchdog and started again; one that does not is left alone.
fn watchdog(guest: &Guest) -> Result<()> {
    let restarts = guest.property(UNIT, "NRestarts")?;
    let pid = guest.property(UNIT, "MainPID")?;
    guest.run(&["kill", "-STOP", &pid])?;
    guest.wait_for(
        &["systemctl", "show", "--value", "--property=NRestarts", UNIT],
        |now| now != restarts,
    )?;
    let said = guest.journal(UNIT)?;
    ensure!(
        said.contains("Watchdog timeout"),
        "{:?}: {said}",
        guest.suite()
    );
    guest.wait_for(&["systemctl", "is-active", UNIT], |state| state == "active")?;
    Ok(())
}

/// A guest goes with whoever booted it, also when that is killed without a word.
#[test]
fn a_guest_does_not_outlive_its_supervisor() {
    if guest::available() {
        let guest = Guest::boot(Suite::Bookworm).unwrap();
        let inside = guest.path("/");
        assert!(inside.join("etc/os-release").exists());
        guest.kill_supervisor();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while inside.exists() {
            assert!(
                std::time::Instant::now() < deadline,
                "{} is still there",
                inside.display()
            );
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
}
