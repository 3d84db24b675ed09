//! A Debian under its own systemd, in a container, for as long as a [`Guest`] lives.
//!
//! The daemon's unit, its sandbox, the bus policy, polkit and logind can only be tried where a real
//! systemd is the first process, which on the machines of CI it is not. So a small Debian tree is
//! built once (kept in `IBAK_RIG_DIR`, else `/var/tmp/ibak-rig`) and booted with systemd-nspawn on
//! a throw-away overlay; that takes half a second.
//!
//! Needs root. Ends only what it started: the guest's supervisor holds the reading end of a pipe,
//! so the guest also stops when the test process is killed.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::FlockOperation;
use xtask::manifest::Manifest;

/// How long a guest may take until its systemd says that it is up.
const BOOT_MAX: Duration = Duration::from_secs(60);
/// How long a guest and its supervisor may take to go; the supervisor gives the guest 10 s.
const STOP_MAX: Duration = Duration::from_secs(60);
/// How long a polled condition is waited for.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// How often a polled condition is looked at.
const POLL_EVERY: Duration = Duration::from_millis(50);

/// A Debian release, for its systemd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suite {
    /// Debian 12: systemd 252.
    Bookworm,
    /// Debian 13: systemd 257.
    Trixie,
}

impl Suite {
    /// Every release that the unit must work on.
    pub const ALL: [Self; 2] = [Self::Bookworm, Self::Trixie];

    /// Returns the release's name in the archive.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bookworm => "bookworm",
            Self::Trixie => "trixie",
        }
    }

    /// Returns the view of control groups that its systemd boots with.
    const fn cgroups(self) -> &'static str {
        match self {
            Self::Bookworm => "host",
            Self::Trixie => "unified",
        }
    }
}

/// What a command inside the guest did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// The exit code, or none when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to its standard output.
    pub stdout: String,
    /// What it wrote to its standard error.
    pub stderr: String,
}

/// A command that goes on inside the guest; ended when dropped.
#[derive(Debug)]
pub struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // It may have ended by itself; either way it is reaped.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A booted guest; stops when dropped.
#[derive(Debug)]
pub struct Guest {
    suite: Suite,
    leader: u32,
    supervisor: Child,
    // Holds the console's log until the guest is gone.
    state: tempfile::TempDir,
}

/// Says why no guest can be booted here, or nothing when one can.
pub fn unavailable() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("booting a guest needs root".to_owned());
    }
    let missing: Vec<&str> = [
        "systemd-nspawn",
        "mmdebstrap",
        "nsenter",
        "script",
        "unshare",
        "setpriv",
        "pgrep",
    ]
    .into_iter()
    .filter(|program| xtask::tools::find(program).is_none())
    .collect();
    (!missing.is_empty()).then(|| {
        format!(
            "missing: {} (`cargo xtask test` as root installs them)",
            missing.join(", ")
        )
    })
}

/// Returns false and says why when no guest can be booted here.
///
/// # Panics
/// In CI (`CI` is set) nothing may be skipped.
pub fn available() -> bool {
    let missing = unavailable();
    let there = if missing.is_none() { Some(()) } else { None };
    crate::skip_unless(there, missing.as_deref().unwrap_or_default()).is_some()
}

impl Guest {
    /// Boots a fresh guest, building its tree first if there is none yet.
    ///
    /// # Errors
    /// The tree cannot be built, or the guest does not come up; the console's last lines say why.
    pub fn boot(suite: Suite) -> Result<Self> {
        let tree = tree(suite)?;
        let state = tempfile::Builder::new().prefix("ibak-guest-").tempdir()?;
        let log = state.path().join("console");
        let socket = state.path().join("notify");
        let notify = UnixDatagram::bind(&socket).context("cannot listen for the boot")?;
        notify.set_read_timeout(Some(BOOT_MAX))?;
        let machine = format!("ibak-{}-{}", suite.name(), unique());
        let supervisor = Command::new(rigs().join("boot.sh"))
            .args([
                tree.as_os_str(),
                machine.as_ref(),
                log.as_os_str(),
                suite.cgroups().as_ref(),
            ])
            .env("NOTIFY_SOCKET", &socket)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .context("cannot start the guest's supervisor")?;
        // From here on dropping `guest` stops what was started.
        let mut guest = Self {
            suite,
            leader: 0,
            supervisor,
            state,
        };
        wait_for_boot(&notify)
            .with_context(|| format!("{suite:?} did not boot:\n{}", guest.console()))?;
        guest.leader = leader_below(guest.supervisor.id())
            .context("the guest's first process is not to be found")?;
        // A guest may be `degraded` by a unit that wants hardware; the rest of it is up.
        let up = guest.exec(&["systemctl", "is-system-running", "--wait"])?;
        ensure!(
            ["running", "degraded"].contains(&up.stdout.trim()),
            "{suite:?} is {up:?}:\n{}",
            guest.console()
        );
        Ok(guest)
    }

    /// Returns the guest's release.
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// Returns where a path of the guest lies for the tests.
    pub fn path(&self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root", self.leader)).join(inside.trim_start_matches('/'))
    }

    /// Copies a file of this machine into the guest.
    ///
    /// # Errors
    /// The file cannot be read, or its directory in the guest is missing.
    pub fn copy_in(&self, from: &Path, inside: &str, mode: u32) -> Result<()> {
        let to = self.path(inside);
        fs::copy(from, &to)
            .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
        fs::set_permissions(&to, fs::Permissions::from_mode(mode))?;
        Ok(())
    }

    /// Writes a text file in the guest, with its parents.
    ///
    /// # Errors
    /// The guest's file system refuses.
    pub fn write(&self, inside: &str, text: &str) -> Result<()> {
        let to = self.path(inside);
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&to, text).with_context(|| format!("cannot write {}", to.display()))
    }

    /// Installs ibak from `packaging/manifest.toml` as `cargo xtask install` does, with programs
    /// from `programs`, then lets systemd, the bus and polkit take notice.
    ///
    /// # Errors
    /// A file is missing, or the guest refuses one.
    pub fn install(&self, manifest: &Manifest, programs: &Path) -> Result<()> {
        manifest.lay_out(&crate::repository(), programs, &self.path("/"))?;
        self.run(&["systemd-sysusers"])?;
        self.run(&["systemd-tmpfiles", "--create"])?;
        self.run(&["systemctl", "daemon-reload"])?;
        self.run(&["systemctl", "reload", "dbus"])?;
        // Debian 12's polkit reads action files when it starts.
        self.run(&["systemctl", "try-restart", "polkit"])?;
        Ok(())
    }

    /// Runs a command in the guest as root, to its end.
    ///
    /// # Errors
    /// It cannot be started. How it ended is in what it returns.
    pub fn exec(&self, words: &[&str]) -> Result<Ran> {
        let output = self
            .command(words)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot run {words:?}"))?;
        Ok(Ran {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs a command in the guest as root and returns what it wrote, without the last newline.
    ///
    /// # Errors
    /// It cannot be started, or did not succeed.
    pub fn run(&self, words: &[&str]) -> Result<String> {
        let ran = self.exec(words)?;
        ensure!(
            ran.code == Some(0),
            "{words:?} in {:?}: {ran:?}",
            self.suite
        );
        Ok(ran.stdout.trim_end().to_owned())
    }

    /// Starts a command in the guest as root and leaves it running until the result is dropped.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(&self, words: &[&str]) -> Result<Running> {
        let child = self
            .command(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {words:?}"))?;
        Ok(Running(child))
    }

    /// Waits until a command's output is as wanted; for what announces itself to nobody.
    ///
    /// # Errors
    /// It was not in time; the last output says what was instead.
    pub fn wait_for(&self, words: &[&str], wanted: impl Fn(&str) -> bool) -> Result<String> {
        let deadline = Instant::now() + WAIT_MAX;
        loop {
            let ran = self.exec(words)?;
            if wanted(ran.stdout.trim_end()) {
                return Ok(ran.stdout.trim_end().to_owned());
            }
            ensure!(Instant::now() < deadline, "{words:?} still says {ran:?}");
            std::thread::sleep(POLL_EVERY);
        }
    }

    /// Returns one property of a unit.
    ///
    /// # Errors
    /// systemd does not answer.
    pub fn property(&self, unit: &str, name: &str) -> Result<String> {
        self.run(&["systemctl", "show", "--value", "--property", name, unit])
    }

    /// Returns what a unit wrote to the journal, messages only.
    ///
    /// # Errors
    /// The journal does not answer.
    pub fn journal(&self, unit: &str) -> Result<String> {
        self.run(&["journalctl", "--sync"])?;
        self.run(&["journalctl", "--no-pager", "--output=cat", "--unit", unit])
    }

    /// Kills the supervisor, as a machine short of memory would.
    pub fn kill_supervisor(&self) {
        if let Some(pid) = i32::try_from(self.supervisor.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw)
        {
            // It may have ended by itself, which is as good.
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
        }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &self.leader.to_string(), "--all", "--"])
            .args(words);
        // The guest's own defaults, whatever the tests run with.
        command
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("LC_ALL", "C.UTF-8");
        command
    }

    fn console(&self) -> String {
        let text = fs::read(self.state.path().join("console")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // The end of its input is the supervisor's order to stop the guest.
        drop(self.supervisor.stdin.take());
        let deadline = Instant::now() + STOP_MAX;
        while Instant::now() < deadline {
            match self.supervisor.try_wait() {
                Ok(None) => std::thread::sleep(POLL_EVERY),
                Ok(Some(_)) | Err(_) => return,
            }
        }
        // The supervisor hangs. What it started is killed with it.
        self.supervisor.kill().ok();
        self.supervisor.wait().ok();
    }
}

/// Reads what systemd-nspawn passes on until the guest's systemd says that it is up.
fn wait_for_boot(notify: &UnixDatagram) -> Result<()> {
    let mut buffer = [0; 4096];
    loop {
        let length = match notify.recv(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                bail!("it was not up after {BOOT_MAX:?}")
            }
            other => other.context("cannot hear from the guest")?,
        };
        let message = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default());
        // systemd-nspawn names the guest's first process with it, by a number that only holds in
        // the supervisor's process namespace.
        if message.lines().any(|line| line == "READY=1") {
            return Ok(());
        }
    }
}

/// Finds the guest's first process below the supervisor: the first that is number 1 in a process
/// namespace within the supervisor's own.
fn leader_below(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let numbers: Vec<&str> = status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))?
        .split_whitespace()
        .collect();
    // Outside, in the supervisor's namespace, in the guest's.
    if let [.., _, _, "1"] = numbers.as_slice() {
        return Some(pid);
    }
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children
        .split_whitespace()
        .filter_map(|child| child.parse().ok())
        .find_map(leader_below)
}

/// Returns a release's tree, building it when there is none for the build script as it is.
fn tree(suite: Suite) -> Result<PathBuf> {
    let script = rigs().join("build-tree.sh");
    let recipe = fs::read(&script).with_context(|| format!("cannot read {}", script.display()))?;
    let digest: String = <sha1::Sha1 as sha1::Digest>::digest(&recipe)
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let cache = std::env::var_os("IBAK_RIG_DIR")
        .map_or_else(|| PathBuf::from("/var/tmp/ibak-rig"), PathBuf::from);
    fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
    // One builder at a time; the others find what it built.
    let lock = File::create(cache.join(format!("{}.lock", suite.name())))?;
    rustix::fs::flock(&lock, FlockOperation::LockExclusive)?;
    let tree = cache.join(format!("{}-{digest}", suite.name()));
    if tree.is_dir() {
        return Ok(tree);
    }
    let partial = cache.join(format!("{}-{digest}.partial", suite.name()));
    if partial.exists() {
        fs::remove_dir_all(&partial).context("cannot remove an unfinished tree")?;
    }
    let built = Command::new(&script)
        .arg(suite.name())
        .arg(&partial)
        .stdin(Stdio::null())
        .output()?;
    ensure!(
        built.status.success(),
        "cannot build {}: {}",
        suite.name(),
        String::from_utf8_lossy(&built.stderr)
    );
    fs::rename(&partial, &tree)?;
    Ok(tree)
}

/// A number that no other guest of this machine has.
fn unique() -> String {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    format!("{}-{count}", std::process::id())
}

fn rigs() -> PathBuf {
    crate::repository().join("tests/rigs")
}
