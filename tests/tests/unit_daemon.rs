//! The installed daemon under a real systemd: its unit, its user, its policies, a whole night.

use anyhow::{Context, Result, ensure};
use ibak_tests::guest::{self, Guest, Ran, Running, Suite};
use serde_json::Value;
use xtask::manifest::Manifest;

const UNIT: &str = "ibakd.service";
/// A phone that is ready to be backed up, and slow enough to be caught in the middle.
const PHONE: &str = r#"ios = "15.6"
product = "iPhone14,5"
name = "Ada's iPhone"
seed = 7
files = 300
bytes = "24 MiB"
apps = 4
passcode = true
paired = true
attached = "usb"
power = "on"
wifi = "on"
locked = "no"
upload_rate = "8 MiB"
"#;
const CONFIGURATION: &str = r#"store = "/var/lib/ibak/store"
reserve = "64MiB"
settle = "1s"

[network]
interfaces = ["phones"]
"#;

#[test]
fn a_night_under_systemd_252() {
    a_night(Suite::Bookworm);
}

#[test]
fn a_night_under_systemd_257() {
    a_night(Suite::Trixie);
}

fn a_night(suite: Suite) {
    if guest::available() {
        night(suite).unwrap();
    }
}

/// A house with a phone in it.
struct House {
    guest: Guest,
    udid: String,
    _phone: Running,
}

fn night(suite: Suite) -> Result<()> {
    let house = House::furnish(suite)?;
    let outcome = house
        .first_start()
        .and_then(|()| house.killed_in_the_middle())
        .and_then(|()| house.people())
        .and_then(|()| house.reload())
        .and_then(|()| house.stop());
    outcome.with_context(|| {
        format!(
            "{suite:?}: {}",
            house.guest.journal(UNIT).unwrap_or_default()
        )
    })
}

impl House {
    fn furnish(suite: Suite) -> Result<Self> {
        let guest = Guest::boot(suite)?;
        let programs = ibak_tests::programs::directory()?;
        guest.install(&Manifest::load(&ibak_tests::repository())?, &programs)?;
        guest.copy_in(&programs.join("ibak-sim"), "/usr/bin/ibak-sim", 0o755)?;
        guest.write("/etc/ibak/ibakd.toml", CONFIGURATION)?;
        guest.write("/root/ada.toml", PHONE)?;
        for command in [
            "ip link add phones type veth peer name beyond",
            "ip address add 192.168.77.1/24 dev phones",
            "ip link set phones up",
            "ip link set beyond up",
            "useradd --create-home --groups ibak ada",
            "useradd --create-home eve",
        ] {
            guest.run(&command.split(' ').collect::<Vec<_>>())?;
        }
        let simulator = [
            "ibak-sim",
            "serve",
            "--usbmuxd",
            "/run/usbmuxd",
            "--control",
            "/run/ibak-sim",
        ];
        let phone = guest.start(
            &[
                &simulator[..],
                &["--mdns", "phones", "--phone", "/root/ada.toml"],
            ]
            .concat(),
        )?;
        guest.wait_for(&["stat", "--format=%F", "/run/usbmuxd"], |kind| {
            kind == "socket"
        })?;
        // As Debian's usbmuxd leaves it.
        guest.run(&["chmod", "0666", "/run/usbmuxd"])?;
        let status = guest.wait_for(
            &["ibak-sim", "--control", "/run/ibak-sim", "status", "--json"],
            |text| text.contains("udid"),
        )?;
        let status: Value = serde_json::from_str(&status)?;
        let udid = status["phones"][0]["udid"]
            .as_str()
            .context("no phone")?
            .to_owned();
        Ok(Self {
            guest,
            udid,
            _phone: phone,
        })
    }

    fn phone(&self, setting: &str) -> Result<()> {
        self.guest
            .run(&[
                "ibak-sim",
                "--control",
                "/run/ibak-sim",
                "set",
                &self.udid,
                setting,
            ])
            .map(drop)
    }

    fn ask(&self, words: &[&str]) -> Result<Value> {
        let text = self.guest.run(&[&["ibakctl", "--json"], words].concat())?;
        serde_json::from_str(&text).with_context(|| format!("ibakctl {words:?}: {text}"))
    }

    /// Waits until `ibakctl status` shows the phone as wanted.
    fn wait_for_phone(&self, wanted: impl Fn(&Value) -> bool) -> Result<()> {
        let look = |text: &str| {
            serde_json::from_str::<Value>(text).is_ok_and(|status| wanted(&status["phones"][0]))
        };
        self.guest
            .wait_for(&["ibakctl", "--json", "status"], look)
            .map(drop)
    }

    fn backups(&self) -> Result<usize> {
        Ok(self.ask(&["backups"])?["backups"]
            .as_array()
            .context("no list")?
            .len())
    }

    fn as_user(&self, who: &str, words: &[&str]) -> Result<Ran> {
        self.guest
            .exec(&[&["runuser", "--user", who, "--", "ibakctl"], words].concat())
    }

    fn first_start(&self) -> Result<()> {
        self.guest.run(&["systemctl", "enable", "--now", UNIT])?;
        ensure!(self.guest.property(UNIT, "ActiveState")? == "active");
        ensure!(
            !self.guest.property(UNIT, "StatusText")?.is_empty(),
            "systemctl status has no sentence"
        );
        // Everything but the lock holds, so nothing moves.
        self.wait_for_phone(|phone| phone["waits_for"] == serde_json::json!(["locked"]))?;
        ensure!(self.backups()? == 0);
        Ok(())
    }

    /// The daemon dies in the middle of a transfer; systemd starts it again, and the night ends well.
    fn killed_in_the_middle(&self) -> Result<()> {
        self.phone("locked=yes")?;
        self.guest
            .wait_for(&["ibakctl", "--json", "status"], |text| {
                let status: Value = serde_json::from_str(text).unwrap_or_default();
                status["jobs"][0]["bytes_done"]
                    .as_u64()
                    .is_some_and(|bytes| bytes > 1 << 20)
            })?;
        let pid = self.guest.property(UNIT, "MainPID")?;
        self.guest.run(&["kill", "-KILL", &pid])?;
        self.guest.wait_for(
            &["systemctl", "show", "--value", "--property=NRestarts", UNIT],
            |count| count != "0",
        )?;
        self.guest
            .wait_for(&["systemctl", "is-active", UNIT], |state| state == "active")?;
        ensure!(self.backups()? == 0, "half a backup is listed");
        self.phone("upload-rate=none")?;
        self.wait_for_phone(|phone| !phone["last_backup"].is_null())?;
        ensure!(self.backups()? == 1);
        let latest = format!("/var/lib/ibak/store/{0}/latest/{0}/Manifest.db", self.udid);
        ensure!(
            self.guest
                .run(&["stat", "--format=%a %U", "--dereference", &latest])?
                == "400 ibak"
        );
        ensure!(
            self.guest
                .run(&["stat", "--format=%a %U", "/var/lib/ibak"])?
                == "700 ibak"
        );
        Ok(())
    }

    /// Somebody in the group backs up without a password, somebody else may look.
    fn people(&self) -> Result<()> {
        let done = self.as_user("ada", &["backup", "--wait"])?;
        ensure!(done.code == Some(0), "ada: {done:?}");
        ensure!(self.backups()? == 2);
        let looks = self.as_user("eve", &["status"])?;
        ensure!(
            looks.code == Some(0) && looks.stdout.contains("Ada's iPhone"),
            "eve: {looks:?}"
        );
        for deed in [&["backup"][..], &["pause"], &["disable", "ada"]] {
            let refused = self.as_user("eve", deed)?;
            ensure!(refused.code == Some(5), "eve {deed:?}: {refused:?}");
        }
        ensure!(self.backups()? == 2);
        Ok(())
    }

    /// `systemctl reload` ends when the daemon has taken the whole file, or refused it.
    fn reload(&self) -> Result<()> {
        self.guest.write(
            "/etc/ibak/ibakd.toml",
            &format!("parallel_max = 2\n{CONFIGURATION}"),
        )?;
        self.guest.run(&["systemctl", "reload", UNIT])?;
        self.guest.write(
            "/etc/ibak/ibakd.toml",
            &format!("parralel_max = 2\n{CONFIGURATION}"),
        )?;
        let refused = self.guest.exec(&["systemctl", "reload", UNIT])?;
        ensure!(refused.code != Some(0), "a misspelt key was taken");
        ensure!(
            self.guest.journal(UNIT)?.contains("parralel_max"),
            "the journal does not name the key"
        );
        ensure!(
            self.guest.property(UNIT, "ActiveState")? == "active",
            "a refused reload ended the daemon"
        );
        self.guest.write("/etc/ibak/ibakd.toml", CONFIGURATION)
    }

    fn stop(&self) -> Result<()> {
        let kernel = self.guest.exec(&[
            "journalctl",
            "--no-pager",
            "--output=cat",
            "--grep",
            "SECCOMP|SIGSYS",
        ])?;
        ensure!(kernel.stdout.is_empty(), "{}", kernel.stdout);
        self.guest.run(&["systemctl", "stop", UNIT])?;
        ensure!(self.guest.property(UNIT, "Result")? == "success");
        // In a guest systemd 257 at times cannot begin a process at all, and tries again.
        let journal = self.guest.journal(UNIT)?;
        let not_begun = journal.matches("Failed to spawn executor").count();
        let fallen: usize = self.guest.property(UNIT, "NRestarts")?.parse()?;
        ensure!(
            fallen == 1 + not_begun,
            "it fell more often than it was pushed"
        );
        let silent = self.guest.exec(&["ibakctl", "status"])?;
        ensure!(silent.code == Some(6), "a stopped daemon: {silent:?}");
        Ok(())
    }
}
