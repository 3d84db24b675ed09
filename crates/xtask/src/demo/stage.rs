//! What the demo plays on: a directory, a bus, a simulated phone, the daemon.
//!
//! Whatever is started here ends with this program, however that ends: each process is killed and
//! reaped when its [`Player`] is dropped, and asks the kernel to be killed should this program die
//! without a word (`setpriv --pdeathsig`). With `keep` they are left alone once all went well.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::janitor::Janitor;
use super::phones;
use super::player::{Player, Showing};
use super::wifi::Wifi;
use crate::say::Teller;
use crate::tools;

/// How long a process may take until it is ready.
const READY_MAX: Duration = Duration::from_secs(60);
/// How many lines of each log are shown when something went wrong.
const LAST_LINES: usize = 15;

const BUS: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:path=DIRECTORY/bus</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
    <allow own="*"/>
  </policy>
</busconfig>
"#;

/// The stage; taken down when dropped, unless it was left running.
pub(crate) struct Stage {
    // In the order in which they are to end.
    players: Vec<Player>,
    programs: PathBuf,
    /// The phones, in the order in which they were given.
    udids: Vec<String>,
    wifi: Wifi,
    keep: bool,
    janitor: Option<Janitor>,
    // Last: it is removed when nobody is in it any more.
    directory: Option<tempfile::TempDir>,
    path: PathBuf,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Stage {
    /// Starts everything and waits until it is ready.
    pub(crate) fn set_up(
        programs: &Path,
        phones: &[&str],
        day: Duration,
        settle: Duration,
        keep: bool,
    ) -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("ibak-demo-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir()?;
        let path = directory.path().to_owned();
        let wifi = Wifi::find();
        let mut stage = Self {
            players: Vec::new(),
            programs: programs.to_owned(),
            udids: Vec::new(),
            wifi,
            keep,
            janitor: None,
            directory: Some(directory),
            path,
        };
        stage
            .raise(phones, day, settle)
            .map_err(|error| stage.explain(error))?;
        Ok(stage)
    }

    fn raise(&mut self, phones: &[&str], day: Duration, settle: Duration) -> Result<()> {
        self.janitor = Some(Janitor::new(&self.path)?);
        self.bus()?;
        self.simulated_phones(phones)?;
        self.daemon(day, settle)
    }

    /// Adds the last lines of each log to an error.
    pub(crate) fn explain(&self, error: anyhow::Error) -> anyhow::Error {
        let words = self.last_words();
        if words.is_empty() {
            error
        } else {
            anyhow::anyhow!("{error:#}\n{}", words.join("\n"))
        }
    }

    /// Returns the UDID of the first phone.
    pub(crate) fn udid(&self) -> &str {
        self.udid_of(0)
    }

    /// Returns the UDID of a phone, by its place; empty when there is none.
    pub(crate) fn udid_of(&self, which: usize) -> &str {
        self.udids.get(which).map_or("", String::as_str)
    }

    pub(crate) const fn wifi(&self) -> Wifi {
        self.wifi
    }

    /// Returns the directory that everything of the demo is in.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path.join("store")
    }

    pub(crate) fn control(&self) -> PathBuf {
        self.path.join("control")
    }

    pub(crate) fn stop_script(&self) -> PathBuf {
        self.path.join("stop")
    }

    /// Returns what a shell needs to reach this house.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let path = std::env::var("PATH").unwrap_or_default();
        vec![
            (
                "IBAK_BUS".to_owned(),
                format!("unix:path={}/bus", self.path.display()),
            ),
            (
                "USBMUXD_SOCKET_ADDRESS".to_owned(),
                format!("UNIX:{}/usbmuxd", self.path.display()),
            ),
            (
                "PATH".to_owned(),
                format!("{}:{path}", self.programs.display()),
            ),
        ]
    }

    /// Changes how a phone stands.
    pub(crate) fn phone(&self, which: usize, settings: &[&str]) -> Result<()> {
        self.simulator(&[&["set", self.udid_of(which)], settings].concat())
    }

    /// Tells the simulator something.
    pub(crate) fn simulator(&self, words: &[&str]) -> Result<()> {
        let output = self
            .command("ibak-sim")
            .arg("--control")
            .arg(self.control())
            .args(words)
            .stdin(Stdio::null())
            .output()?;
        ensure!(
            output.status.success(),
            "ibak-sim {words:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    /// Asks `ibakctl` and returns its JSON.
    pub(crate) fn ask(&self, words: &[&str]) -> Result<Value> {
        let output = self
            .command("ibakctl")
            .args(words)
            .stdin(Stdio::null())
            .output()?;
        ensure!(
            output.status.success(),
            "ibakctl {words:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("ibakctl {words:?} did not answer in JSON"))
    }

    /// Shows what `ibakctl` says to these words.
    pub(crate) fn show(&self, teller: Teller, words: &[&str]) -> Result<()> {
        self.begin(teller, words)?.end()
    }

    /// Starts an `ibakctl` that speaks for itself.
    pub(crate) fn begin(&self, teller: Teller, words: &[&str]) -> Result<Player> {
        teller.tell(&format!("\n$ ibakctl {}", words.join(" ")));
        let mut command = self.command("ibakctl");
        command
            .args(words)
            .stdin(Stdio::null())
            .stdout(teller.stream());
        Player::start(&format!("ibakctl {}", words.join(" ")), command)
    }

    /// Starts an `ibakctl` whose lines are shown as they come, until told otherwise.
    pub(crate) fn show_running(&self, teller: Teller, words: &[&str]) -> Result<Showing> {
        teller.tell(&format!("\n$ ibakctl {}", words.join(" ")));
        let (player, output) = self.listen(words)?;
        Ok(Showing::new(player, output, teller))
    }

    /// Starts an `ibakctl` and hands out what it says.
    pub(crate) fn listen(&self, words: &[&str]) -> Result<(Player, ChildStdout)> {
        let mut command = self.command("ibakctl");
        command
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut player = Player::start(&format!("ibakctl {}", words.join(" ")), command)?;
        let output = player.output().context("no output")?;
        Ok((player, output))
    }

    /// Stops everything and keeps the directory with the backups.
    pub(crate) fn leave_store(&mut self) {
        if let Some(directory) = self.directory.take() {
            self.path = directory.keep();
        }
        self.stop();
    }

    fn stop(&mut self) {
        for player in &mut self.players {
            player.stop();
        }
        self.players.clear();
        // Goes before it hears of our end: there is nothing left for it to do.
        self.janitor = None;
    }

    /// Returns the process of one of the services.
    pub(crate) fn process(&self, name: &str) -> Result<u32> {
        let player = self.players.iter().find(|player| player.is_named(name));
        player
            .and_then(Player::pid)
            .with_context(|| format!("{name} does not run"))
    }

    /// Ends one of the services.
    pub(crate) fn end(&mut self, name: &str) {
        self.players.retain(|player| !player.is_named(name));
    }

    /// Leaves everything running; returns the program that ends it.
    pub(crate) fn leave_running(&mut self) -> Result<PathBuf> {
        let pids: Vec<String> = self
            .players
            .iter()
            .filter_map(Player::pid)
            .map(|pid| pid.to_string())
            .collect();
        let script = format!(
            "#!/bin/sh\n# Ends the demo that was left running and removes its directory, the backups included.\nkill {} 2>/dev/null\nfor again in 1 2 3 4 5 6 7 8 9 10 11 12; do rm -rf -- '{}' && exit; sleep 1; done\n",
            pids.join(" "),
            self.path.display()
        );
        let path = self.stop_script();
        fs::write(&path, script)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700))?;
        if let Some(janitor) = self.janitor.take() {
            janitor.keep()?;
        }
        self.players.drain(..).for_each(Player::release);
        if let Some(directory) = self.directory.take() {
            self.path = directory.keep();
        }
        Ok(path)
    }

    fn last_words(&self) -> Vec<String> {
        let mut words = Vec::new();
        for name in ["bus", "ibak-sim", "ibakd"] {
            let text = fs::read_to_string(self.log(name)).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let last = lines
                .get(lines.len().saturating_sub(LAST_LINES)..)
                .unwrap_or_default();
            words.extend(last.iter().map(|line| format!("{name}: {line}")));
        }
        words
    }

    /// Returns a phone's file, as the simulator read it.
    pub(crate) fn phone_file(&self, which: usize) -> PathBuf {
        self.path.join(format!("phone-{which}.toml"))
    }

    fn log(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}.log"))
    }

    /// Prepares one of our programs, or any by its whole path, to run in this house for as long as
    /// this program does.
    pub(crate) fn command(&self, program: &str) -> Command {
        self.at_home(Self::tied(&self.programs.join(program)))
    }

    fn at_home(&self, mut command: Command) -> Command {
        command
            .envs(self.environment())
            .env_remove("NOTIFY_SOCKET")
            .env_remove("STATE_DIRECTORY");
        command
    }

    /// Prepares a program that the kernel ends when this one is gone, however it went.
    fn tied(program: &Path) -> Command {
        let mut command = match tools::find("setpriv") {
            Some(setpriv) => {
                let mut tied = Command::new(setpriv);
                tied.args(["--pdeathsig", "TERM", "--"]).arg(program);
                tied
            }
            None => Command::new(program),
        };
        command.current_dir("/");
        command
    }

    /// Prepares a service: it does not hear this terminal's Ctrl-C, and may have to outlive us.
    fn prepare(&self, program: &Path) -> Command {
        let mut command = if self.keep {
            Command::new(program)
        } else {
            Self::tied(program)
        };
        command.process_group(0).current_dir("/");
        command
    }

    /// Starts a service of the house with its log; hands out its standard output when wanted.
    fn service(
        &mut self,
        name: &str,
        mut command: Command,
        stdout: Output,
    ) -> Result<Option<ChildStdout>> {
        let log = File::create(self.log(name))?;
        command.stdin(Stdio::null()).stderr(log.try_clone()?);
        command.stdout(match stdout {
            Output::Log => Stdio::from(log),
            Output::Read => Stdio::piped(),
        });
        let mut player = Player::start(name, command)?;
        let output = player.output();
        let pid = player.pid();
        // In the order in which they are to end, also when the next line fails.
        self.players.insert(0, player);
        if let (Some(janitor), Some(pid)) = (&mut self.janitor, pid) {
            janitor.see_to(pid)?;
        }
        Ok(output)
    }

    fn bus(&mut self) -> Result<()> {
        let configuration = self.path.join("bus.conf");
        fs::write(
            &configuration,
            BUS.replace("DIRECTORY", &self.path.to_string_lossy()),
        )?;
        let daemon = tools::find("dbus-daemon").context("dbus-daemon is not installed")?;
        let mut command = self.prepare(&daemon);
        command
            .args(["--nofork", "--nopidfile", "--nosyslog", "--print-address=1"])
            .arg(format!("--config-file={}", configuration.display()));
        let output = self
            .service("bus", command, Output::Read)?
            .context("no output")?;
        // It prints its address when it listens.
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        ensure!(!line.is_empty(), "the bus did not start");
        Ok(())
    }

    fn simulated_phones(&mut self, given: &[&str]) -> Result<()> {
        let mut command = self.at_home(self.prepare(&self.programs.join("ibak-sim")));
        command
            .arg("serve")
            .arg("--usbmuxd")
            .arg(self.path.join("usbmuxd"))
            .arg("--control")
            .arg(self.control());
        for (which, phone) in given.iter().enumerate() {
            let file = self.phone_file(which);
            phones::write(&file, which, phone)?;
            command.arg("--phone").arg(file);
        }
        match self.wifi {
            Wifi::Announced => drop(command.args(["--mdns", "lo"])),
            Wifi::Cable => {}
        }
        let output = self
            .service("ibak-sim", command, Output::Read)?
            .context("no output")?;
        for line in BufReader::new(output).lines() {
            let line = line?;
            if line == "ready" {
                ensure!(
                    self.udids.len() == given.len(),
                    "ibak-sim named {:?}",
                    self.udids
                );
                return Ok(());
            }
            let phone: Value =
                serde_json::from_str(&line).with_context(|| format!("ibak-sim said {line}"))?;
            let udid = phone["udid"].as_str().context("a phone without a UDID")?;
            self.udids.push(udid.to_owned());
        }
        bail!("ibak-sim ended before it was ready")
    }

    fn daemon(&mut self, day: Duration, settle: Duration) -> Result<()> {
        let (wifi, network) = match self.wifi {
            Wifi::Announced => ("required", "interfaces = [\"lo\"]"),
            Wifi::Cable => ("or-usb", "mdns = false"),
        };
        let configuration = self.path.join("ibakd.toml");
        fs::write(
            &configuration,
            format!(
                "store = \"{}\"\nreserve = \"64MiB\"\ninterval = \"{}s\"\nsettle = \"{}s\"\nask_window = \"always\"\n\n[conditions]\nwifi = \"{wifi}\"\n\n[network]\n{network}\n",
                self.store().display(),
                day.as_secs(),
                settle.as_secs(),
            ),
        )?;
        // The daemon tells its service manager when it is ready; that is us.
        let socket = self.path.join("notify");
        let notify = UnixDatagram::bind(&socket)?;
        notify.set_read_timeout(Some(READY_MAX))?;
        let mut command = self.at_home(self.prepare(&self.programs.join("ibakd")));
        command
            .arg("--config")
            .arg(&configuration)
            .arg("--state-dir")
            .arg(self.path.join("state"))
            .env("NOTIFY_SOCKET", &socket);
        self.service("ibakd", command, Output::Log)?;
        let mut buffer = [0; 4096];
        loop {
            let length = notify
                .recv(&mut buffer)
                .context("the daemon was not ready in time")?;
            let message =
                String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned();
            if message.lines().any(|line| line == "READY=1") {
                break;
            }
        }
        // From here on nobody needs to listen, but the daemon goes on talking.
        std::thread::spawn(move || {
            notify.set_read_timeout(None).ok();
            while notify.recv(&mut [0; 4096]).is_ok() {}
        });
        Ok(())
    }
}

/// Where a service's standard output goes.
enum Output {
    /// Into its log.
    Log,
    /// To us, until it is ready.
    Read,
}
