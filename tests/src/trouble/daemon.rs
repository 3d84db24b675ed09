//! The daemon as a process.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal};
use tokio::net::UnixDatagram;
use tokio::process::Child;

use super::{WAIT_MAX, last_lines};

/// A daemon that runs as a process; killed when dropped.
pub struct Daemon {
    pub(super) child: Child,
    pub(super) log: PathBuf,
    pub(super) configuration: PathBuf,
    pub(super) notify: Option<UnixDatagram>,
}

impl Daemon {
    /// Waits until it says that it is ready.
    ///
    /// # Errors
    /// It ended instead, or takes too long.
    pub async fn ready(&mut self) -> Result<()> {
        let notify = self.notify.take().context("it was ready before")?;
        let deadline = tokio::time::Instant::now() + WAIT_MAX;
        let mut buffer = [0; 4096];
        loop {
            let length = tokio::select! {
                received = notify.recv(&mut buffer) => received?,
                ended = self.child.wait() => bail!("the daemon ended with {:?}:\n{}", ended?, self.last_words()),
                () = tokio::time::sleep_until(deadline) => bail!("the daemon is not ready:\n{}", self.last_words()),
            };
            let text = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default());
            if text.lines().any(|line| line == "READY=1") {
                break;
            }
        }
        // It goes on talking, and a full queue would hold it up.
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while notify.recv(&mut buffer).await.is_ok() {}
        });
        Ok(())
    }

    /// Ends it as a power cut would end the process.
    ///
    /// # Errors
    /// It has ended already.
    pub async fn kill(mut self) -> Result<()> {
        let status = self.child.try_wait()?;
        ensure!(
            status.is_none(),
            "it had ended: {status:?}\n{}",
            self.last_words()
        );
        self.child.kill().await?;
        Ok(())
    }

    /// Asks it to end, and waits for that; returns how it ended and how long that took.
    ///
    /// # Errors
    /// It does not end.
    pub async fn stop(mut self) -> Result<(ExitStatus, Duration)> {
        let begun = Instant::now();
        self.signal(Signal::TERM)?;
        let status = self.ended().await?;
        Ok((status, begun.elapsed()))
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.pid()?)?).context("no process")?;
        rustix::process::kill_process(pid, signal)?;
        Ok(())
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// It does not.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        let ended = tokio::time::timeout(WAIT_MAX, self.child.wait()).await;
        Ok(ended.with_context(|| format!("the daemon does not end:\n{}", self.last_words()))??)
    }

    /// Says whether it still runs.
    ///
    /// # Errors
    /// The system's.
    pub fn lives(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Returns the most memory it ever held, in bytes (`VmHWM`).
    ///
    /// # Errors
    /// It has ended.
    pub fn memory_peak(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()?))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .context("no VmHWM")?;
        let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib << 10)
    }

    /// Has the kernel count its most memory anew from here on. Where that is not allowed, the count
    /// goes on, which tells no less.
    pub fn forget_memory_peak(&self) {
        if let Ok(pid) = self.pid() {
            // 5 is the mark of the most memory held, in proc(5).
            fs::write(format!("/proc/{pid}/clear_refs"), "5").ok();
        }
    }

    /// Returns its configuration file.
    pub fn configuration(&self) -> &Path {
        &self.configuration
    }

    /// Returns the last lines of its log.
    pub fn last_words(&self) -> String {
        last_lines(&self.log)
    }

    /// Returns its process id.
    ///
    /// # Errors
    /// It has ended.
    pub fn pid(&self) -> Result<u32> {
        self.child.id().context("the daemon has ended")
    }
}
