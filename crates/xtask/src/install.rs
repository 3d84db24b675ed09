//! `cargo xtask install` and `uninstall`: a plain systemd machine, without a package manager.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, bail, ensure};

use crate::manifest::{Laid, Manifest};
use crate::say::{answer, say};
use crate::tools::{self, For, run};
use crate::workspace::{self, Profile};

const UNITS: [&str; 2] = ["ibakd.service", "ibak-hooks.service"];

/// Builds the programs, puts every file of the list in its place and tells systemd, the bus and
/// polkit. Starts nothing that was not running; says how to.
///
/// # Errors
/// Not root, no systemd, a build that fails, or a file that cannot be written.
pub fn install() -> Result<()> {
    privileged()?;
    tools::ensure_system(For::Build)?;
    let programs = workspace::build(&["ibakd", "ibakctl"], Profile::Release)?;
    let repository = workspace::repository();
    for (path, laid) in
        Manifest::load(&repository)?.lay_out(&repository, &programs, Path::new("/"))?
    {
        match laid {
            Laid::Written => answer(&format!("installed {}", path.display())),
            Laid::Kept => answer(&format!("kept      {} (yours)", path.display())),
        }
    }
    run(&mut Command::new("systemd-sysusers"))?;
    run(Command::new("systemd-tmpfiles").args(["--create", "/usr/lib/tmpfiles.d/ibak.conf"]))?;
    notice()?;
    if booted() {
        // A new version takes over at once where the old one ran.
        run(Command::new("systemctl").arg("try-restart").args(UNITS))?;
    }
    answer(
        "\nNext:\n  \
         edit /etc/ibak/ibakd.toml      say where the backups go (`store`)\n  \
         systemctl enable --now ibakd   start it now and at every boot\n  \
         usermod -aG ibak YOU           let yourself start backups without a password\n  \
         ibakctl pair                   with the phone on a cable, unlocked\n  \
         ibakctl doctor                 what is missing, each with its remedy\n  \
         /usr/share/doc/ibak/telling.md how messages reach you (mail, phone, desktop, watchdog)",
    );
    Ok(())
}

/// Stops the daemon and removes every installed file. Configuration, backups, pairing records and
/// the user stay.
///
/// # Errors
/// Not root, or a file that cannot be removed.
pub fn uninstall() -> Result<()> {
    privileged()?;
    if booted() {
        // Not being known or running is what is wanted.
        let stopped = Command::new("systemctl")
            .args(["disable", "--now"])
            .args(UNITS)
            .stdin(Stdio::null())
            .output()?;
        if !stopped.status.success() {
            say(String::from_utf8_lossy(&stopped.stderr).trim_end());
        }
    }
    for path in Manifest::load(&workspace::repository())?.remove(Path::new("/"))? {
        answer(&format!("removed {}", path.display()));
    }
    notice()?;
    answer(
        "kept: /etc/ibak, /var/lib/ibak with the pairing records and every backup there, the user ibak",
    );
    Ok(())
}

fn privileged() -> Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "this needs root; run it as `sudo env PATH=\"$PATH\" cargo xtask …`"
    );
    if tools::find("systemctl").is_none() {
        bail!("this machine has no systemd; see packaging/manifest.toml for what goes where");
    }
    Ok(())
}

fn booted() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// Lets those who read our files at their start read them again. The bus and polkit watch theirs,
/// but Debian 12's polkit only the rules.
fn notice() -> Result<()> {
    if booted() {
        run(Command::new("systemctl").arg("daemon-reload"))?;
        run(Command::new("systemctl").args(["reload", "dbus"]))?;
        run(Command::new("systemctl").args(["try-restart", "polkit"]))?;
    }
    Ok(())
}
