//! A house where things go wrong: a private bus, simulated phones in this process, and the real
//! `ibakd` and `ibakctl` as processes of their own, which may be killed.
//!
//! Nothing here waits by sleeping: a test waits for what the daemon shows on its bus, and every
//! wait has an end. Whatever is started ends with the test, also when the test is killed.

mod daemon;
mod tree;
mod watcher;

pub use daemon::Daemon;
pub use tree::{ensure_equal, fingerprint, newest, udid_of};
pub use watcher::Watcher;

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ibak_core::{JobId, Udid};
use ibak_dbus::views::BackupView;
use ibak_dbus::{BusChoice, Dict, Mirror, PhoneProxy, names};
use ibak_sim::backup::Quirk;
use ibak_sim::state::{PhoneState, Switch};
use ibak_sim::{Phone, PhoneSpec, SimOptions, Simulator};
use tokio::net::UnixDatagram;
use tokio::process::{Child, Command};

/// How long anything may take before the test gives up.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// How long a backup with much to do may take.
const LONG_MAX: Duration = Duration::from_secs(1_800);
/// How many lines of the daemon's log a failed wait shows.
const LOG_LINES: usize = 40;

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

/// Returns a paired phone that asks nobody anything: iOS 15.6, locked, unplugged from power, so
/// that no backup of it starts by itself.
pub fn phone(seed: u64, files: u64, bytes: u64) -> PhoneSpec {
    PhoneSpec {
        name: format!("Phone {seed}"),
        seed,
        files,
        bytes,
        paired: true,
        state: PhoneState {
            passcode: Switch::On,
            locked: Switch::On,
            ..PhoneState::default()
        },
        ..PhoneSpec::default()
    }
}

/// The private bus, the phones, and a directory for everything else.
pub struct House {
    connection: zbus::Connection,
    simulator: Option<Simulator>,
    bus: Option<Child>,
    directory: tempfile::TempDir,
}

impl House {
    /// Starts the bus and the phones.
    ///
    /// # Errors
    /// `dbus-daemon` is not there, or the phones cannot be simulated.
    pub async fn build(phones: Vec<PhoneSpec>) -> Result<Self> {
        let mut house = Self::without_usbmuxd().await?;
        house.bring(phones).await?;
        Ok(house)
    }

    /// Starts the bus alone; nobody listens where usbmuxd should.
    ///
    /// # Errors
    /// As [`House::build`].
    pub async fn without_usbmuxd() -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("ibak-trouble-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir()?;
        let (bus, connection) = start_bus(directory.path()).await?;
        Ok(Self {
            connection,
            simulator: None,
            bus: Some(bus),
            directory,
        })
    }

    /// Starts the bus again, at the same place, after [`House::end_bus`].
    ///
    /// # Errors
    /// As [`House::build`].
    pub async fn start_bus_again(&mut self) -> Result<()> {
        let (bus, connection) = start_bus(self.directory.path()).await?;
        (self.bus, self.connection) = (Some(bus), connection);
        Ok(())
    }

    /// Returns where something of the house lies.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Returns the simulated phones.
    ///
    /// # Panics
    /// In a house without usbmuxd.
    pub fn simulator(&self) -> &Simulator {
        match &self.simulator {
            Some(simulator) => simulator,
            None => panic!("this house has no usbmuxd"),
        }
    }

    /// Returns one of the phones, in the order in which they were given.
    ///
    /// # Panics
    /// When there are fewer.
    pub fn phone(&self, at: usize) -> Arc<Phone> {
        match self.simulator().phones().get(at) {
            Some(phone) => Arc::clone(phone),
            None => panic!("there are fewer phones than {}", at + 1),
        }
    }

    /// Returns the bus's address.
    pub fn bus_address(&self) -> String {
        format!("unix:path={}", self.path("bus").display())
    }

    /// Ends the bus.
    ///
    /// # Errors
    /// It cannot be ended.
    pub async fn end_bus(&mut self) -> Result<()> {
        if let Some(mut bus) = self.bus.take() {
            bus.kill().await?;
        }
        Ok(())
    }

    /// Returns the usual configuration: the store in this house, a cable instead of Wi-Fi, no
    /// settling; `top` is put before the tables.
    pub fn config(&self, top: &str) -> String {
        self.config_at(&self.path("store"), top)
    }

    /// Is [`House::config`] with the store elsewhere.
    pub fn config_at(&self, store: &Path, top: &str) -> String {
        format!(
            "store = \"{}\"\nreserve = \"1MiB\"\nsettle = \"0s\"\nlog = \"debug\"\n{top}\n[conditions]\nwifi = \"or-usb\"\n[network]\nmdns = false\n",
            store.display()
        )
    }

    /// Prepares one of our programs to run in this house.
    ///
    /// # Errors
    /// The programs do not build.
    pub fn command(&self, program: &str) -> Result<Command> {
        Ok(self.in_this_house(tied(&crate::programs::path(program)?)))
    }

    fn in_this_house(&self, mut command: Command) -> Command {
        command
            .env("IBAK_BUS", self.bus_address())
            .env(
                "USBMUXD_SOCKET_ADDRESS",
                format!("UNIX:{}", self.path("usbmuxd").display()),
            )
            .env("NO_COLOR", "1")
            .env_remove("NOTIFY_SOCKET")
            .env_remove("STATE_DIRECTORY")
            .stdin(Stdio::null());
        command
    }

    /// Starts the daemon and waits until it is ready.
    ///
    /// # Errors
    /// It ended instead; the last lines of its log say why.
    pub async fn daemon(&self, config: &str) -> Result<Daemon> {
        let mut daemon = self.spawn(config, "ibakd")?;
        daemon.ready().await?;
        Ok(daemon)
    }

    /// Is [`House::daemon`] in a network with nobody else in it: what others say there wakes it.
    /// Where that is not allowed it says aloud that the test is skipped.
    ///
    /// # Errors
    /// As [`House::daemon`].
    ///
    /// # Panics
    /// In CI (`CI` is set) nothing may be skipped.
    pub async fn daemon_alone(&self, config: &str) -> Result<Option<Daemon>> {
        let alone = ["--net", "--map-root-user"];
        let unshare = xtask::tools::find("unshare").filter(|unshare| {
            let tried = std::process::Command::new(unshare)
                .args(alone)
                .arg("true")
                .status();
            tried.is_ok_and(|status| status.success())
        });
        let reason = "a network of its own is not allowed here";
        let Some(unshare) = crate::skip_unless(unshare, reason) else {
            return Ok(None);
        };
        let mut command = tied(&unshare);
        command
            .args(alone)
            .arg("--")
            .arg(crate::programs::path("ibakd")?);
        let mut daemon = self.start(self.in_this_house(command), config, "ibakd")?;
        daemon.ready().await?;
        Ok(Some(daemon))
    }

    /// Starts the daemon under a name of its own (state, configuration, log) and does not wait.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn spawn(&self, config: &str, name: &str) -> Result<Daemon> {
        self.start(self.command("ibakd")?, config, name)
    }

    fn start(&self, mut command: Command, config: &str, name: &str) -> Result<Daemon> {
        let configuration = self.path(&format!("{name}.toml"));
        fs::write(&configuration, config)?;
        let socket = self.path(&format!("{name}.notify"));
        if socket.exists() {
            fs::remove_file(&socket)?;
        }
        let notify = UnixDatagram::bind(&socket)?;
        let log = self.path(&format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log)?;
        let child = command
            .arg("--config")
            .arg(&configuration)
            .arg("--state-dir")
            .arg(self.path(&format!("{name}.state")))
            .env("NOTIFY_SOCKET", &socket)
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        Ok(Daemon {
            child,
            log,
            configuration,
            notify: Some(notify),
        })
    }

    /// Runs `ibakctl` to its end.
    ///
    /// # Errors
    /// It cannot be started, or does not end.
    pub async fn ctl(&self, words: &[&str]) -> Result<Said> {
        let output = self.command("ibakctl")?.args(words).output();
        let output = tokio::time::timeout(WAIT_MAX, output)
            .await
            .with_context(|| format!("`ibakctl {words:?}` does not end"))??;
        Ok(Said {
            code: output.status.code(),
            answer: String::from_utf8_lossy(&output.stdout).into_owned(),
            conversation: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Asks `ibakctl doctor` until it says every one of `parts`: not all it knows is announced.
    ///
    /// # Errors
    /// It does not say them in time; what it says instead is told.
    pub async fn doctor(&self, parts: &[&str]) -> Result<Said> {
        let deadline = Instant::now() + WAIT_MAX;
        let mut tick = tokio::time::interval(Duration::from_millis(200));
        loop {
            tick.tick().await;
            let said = self.ctl(&["doctor"]).await?;
            if parts.iter().all(|part| said.answer.contains(part)) {
                return Ok(said);
            }
            ensure!(
                Instant::now() < deadline,
                "waited for {parts:?}:\n{said:#?}"
            );
        }
    }

    /// Makes usbmuxd and the phones appear in a house that was built without.
    ///
    /// # Errors
    /// The phones cannot be simulated.
    pub async fn bring(&mut self, phones: Vec<PhoneSpec>) -> Result<()> {
        let options = SimOptions {
            usbmuxd: self.path("usbmuxd"),
            phones,
            // What a phone goes on from are whole batches of files.
            quirks: [Quirk::SmallBatches].into_iter().collect(),
            ..SimOptions::default()
        };
        self.simulator = Some(Simulator::start(options).await?);
        Ok(())
    }

    /// Looks at the daemon through its bus, from here on.
    ///
    /// # Errors
    /// There is none.
    pub async fn watch(&self) -> Result<Watcher> {
        Ok(Watcher {
            mirror: Mirror::open(&self.connection).await?,
            log: self.path("ibakd.log"),
        })
    }

    /// Asks for a backup of a phone.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn ask_backup(&self, udid: &Udid, full: bool) -> Result<JobId> {
        let mut options = Dict::new();
        if full {
            options.insert("full".to_owned(), true.into());
        }
        let path = self.proxy(udid).await?.backup(options).await?;
        names::job_of(path.as_str()).context("a job's path")
    }

    /// Lists the backups of a phone, oldest first.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn backups(&self, udid: &Udid) -> Result<Vec<BackupView>> {
        let rows = self.proxy(udid).await?.list_backups(Dict::new()).await?;
        Ok(rows.iter().filter_map(BackupView::from_dict).collect())
    }

    async fn proxy(&self, udid: &Udid) -> Result<PhoneProxy<'_>> {
        Ok(PhoneProxy::builder(&self.connection)
            .path(names::phone_path(udid))
            .cache_properties(zbus::proxy::CacheProperties::No)
            .build()
            .await?)
    }
}

/// What `ibakctl` said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Its exit code.
    pub code: Option<i32>,
    /// What it wrote to its standard output.
    pub answer: String,
    /// What it wrote to its standard error.
    pub conversation: String,
}

impl Said {
    /// Fails unless every one of `parts` was said somewhere.
    ///
    /// # Panics
    /// With everything that was said.
    #[track_caller]
    pub fn says(&self, parts: &[&str]) -> &Self {
        for part in parts {
            assert!(
                self.answer.contains(part) || self.conversation.contains(part),
                "`{part}` is not in (exit code {:?}):\n{}{}",
                self.code,
                self.answer,
                self.conversation
            );
        }
        self
    }
}

/// Draws numbers from a seed, the same ones for the same seed.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Makes dice of a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns the next number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound.max(1)
    }

    /// Returns the next number (splitmix64).
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Says a figure aloud, past the capture of the test runner.
pub fn say(line: &str) {
    use std::io::Write;
    // Nothing is lost when nobody listens.
    writeln!(std::io::stderr().lock(), "FIGURE {line}").ok();
}

/// Starts a bus in a directory, and connects to it.
async fn start_bus(directory: &Path) -> Result<(Child, zbus::Connection)> {
    let configuration = directory.join("bus.conf");
    fs::write(
        &configuration,
        BUS.replace("DIRECTORY", &directory.to_string_lossy()),
    )?;
    let program = xtask::tools::find("dbus-daemon").context("dbus-daemon is not installed")?;
    let mut bus = tied(&program)
        .args(["--nofork", "--nopidfile", "--nosyslog", "--print-address=1"])
        .arg(format!("--config-file={}", configuration.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let output = bus.stdout.take().context("the bus has no output")?;
    let mut line = String::new();
    // It prints its address once it listens.
    tokio::io::AsyncBufReadExt::read_line(&mut tokio::io::BufReader::new(output), &mut line)
        .await?;
    ensure!(!line.is_empty(), "the bus did not start");
    let address = format!("unix:path={}/bus", directory.display());
    let connecting = BusChoice::Address(address);
    let connection = tokio::time::timeout(WAIT_MAX, connecting.connect())
        .await
        .context("the bus does not answer")??;
    Ok((bus, connection))
}

/// Prepares a program that ends with this process, however that ends.
fn tied(program: &Path) -> Command {
    let mut command = match xtask::tools::find("setpriv") {
        Some(setpriv) => {
            let mut tied = Command::new(setpriv);
            tied.args(["--pdeathsig", "KILL", "--"]).arg(program);
            tied
        }
        None => Command::new(program),
    };
    command.kill_on_drop(true).current_dir("/");
    command
}

fn last_lines(path: &Path) -> String {
    let Ok(file) = File::open(path) else {
        return "(no log)".to_owned();
    };
    let lines: Vec<String> = BufReader::new(file).lines().map_while(Result::ok).collect();
    lines
        .get(lines.len().saturating_sub(LOG_LINES)..)
        .unwrap_or_default()
        .join("\n")
}
