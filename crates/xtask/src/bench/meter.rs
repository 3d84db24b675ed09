//! Measures one backup: time, processor time, memory.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::figures::Run;
use super::plan::{Extent, Who, peer_directory};
use crate::demo::stage::Stage;
use crate::tools;

/// How long one backup may take.
const RUN_MAX: Duration = Duration::from_secs(3600);
/// How often a running program is looked at: the precision of the times.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// What /proc counts processor time in: USER_HZ, which is 100 wherever Debian runs.
const TICKS_PER_SECOND: f64 = 100.0;
/// How many lines of a failed program's output are told.
const LAST_LINES: usize = 8;

/// Measures on one stage.
pub(super) struct Meter<'a> {
    stage: &'a Stage,
    daemon: u32,
    simulator: u32,
}

impl<'a> Meter<'a> {
    pub(super) fn new(stage: &'a Stage) -> Result<Self> {
        fs::create_dir_all(peer_directory(stage))?;
        Ok(Self {
            stage,
            daemon: stage.process("ibakd")?,
            simulator: stage.process("ibak-sim")?,
        })
    }

    /// Makes one backup.
    ///
    /// Before it, everything written earlier is brought to the disk; no cache is dropped.
    pub(super) fn run(&self, who: Who, extent: Extent) -> Result<Run> {
        let directory = File::open(self.stage.path())?;
        let log = self.stage.path().join("measured.log");
        let (program, words) = who.words(self.stage, extent);
        let mut command = match who {
            Who::Ours => self.stage.command(program),
            Who::Peer => {
                let path = tools::find(program).context("the peer is gone")?;
                self.stage.command(&path.to_string_lossy())
            }
        };
        let output = File::create(&log)?;
        command
            .args(words)
            .env("HOME", self.stage.path())
            .stdin(Stdio::null())
            .stderr(output.try_clone()?)
            .stdout(output);
        rustix::fs::syncfs(&directory)?;
        let is_reset = reset_peak(self.daemon);
        let (load, before) = (load()?, self.processor(who)?);
        let began = Instant::now();
        let (seconds, peak) = finish(&mut command, &log)
            .with_context(|| format!("{} did not make a backup", who.name()))?;
        let after = self.processor(who)?;
        rustix::fs::syncfs(&directory)?;
        let durable_seconds = began.elapsed().as_secs_f64();
        let peak_rss_bytes = match who {
            Who::Ours => peak_rss(self.daemon)?,
            Who::Peer => peak,
        };
        Ok(Run {
            seconds,
            durable_seconds,
            host_cpu_seconds: after.0 - before.0,
            phone_cpu_seconds: after.1 - before.1,
            peak_rss_bytes,
            peak_is_of_this_run: is_reset || who == Who::Peer,
            load_1min: load,
        })
    }

    /// Returns the processor time that the host's side and the phone's side have used, in seconds.
    fn processor(&self, who: Who) -> Result<(f64, f64)> {
        let ours = match who {
            Who::Ours => own_ticks(&format!("/proc/{}/stat", self.daemon))?,
            Who::Peer => 0,
        };
        let host = ours + ticks("/proc/self/stat", CHILDREN)?;
        let phone = own_ticks(&format!("/proc/{}/stat", self.simulator))?;
        Ok((
            f64::from(host) / TICKS_PER_SECOND,
            f64::from(phone) / TICKS_PER_SECOND,
        ))
    }
}

/// Runs a program to its end; returns its time in seconds and its peak memory in bytes.
fn finish(command: &mut Command, log: &Path) -> Result<(f64, u64)> {
    let began = Instant::now();
    let mut child = command.spawn()?;
    let mut peak = 0;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        // It may be ending at this moment.
        peak = peak_rss(child.id()).unwrap_or(0).max(peak);
        if began.elapsed() > RUN_MAX {
            give_up(&mut child)?;
        }
        std::thread::sleep(LOOK_EVERY);
    };
    let seconds = began.elapsed().as_secs_f64();
    ensure!(
        status.success(),
        "it ended with {status}:\n{}",
        last_lines(log)
    );
    Ok((seconds, peak))
}

fn give_up(child: &mut Child) -> Result<()> {
    child.kill()?;
    child.wait()?;
    bail!("it was not done in {} s", RUN_MAX.as_secs())
}

fn last_lines(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).replace('\r', "\n");
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let last = lines.len().saturating_sub(LAST_LINES);
    lines.get(last..).unwrap_or_default().join("\n")
}

/// Has the kernel count a process's peak from here on; not everybody may.
fn reset_peak(process: u32) -> bool {
    fs::write(format!("/proc/{process}/clear_refs"), "5").is_ok()
}

/// Returns a process's peak resident memory, in bytes.
fn peak_rss(process: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line
        .and_then(|rest| rest.trim().strip_suffix(" kB"))
        .context("no VmHWM in /proc")?;
    Ok(kib.trim().parse::<u64>()? << 10)
}

/// Where /proc/PID/stat counts a process's own time and that of its reaped children, from the
/// field behind its name on.
const OWN: usize = 11;
const CHILDREN: usize = 13;

fn own_ticks(file: &str) -> Result<u32> {
    ticks(file, OWN)
}

fn ticks(file: &str, at: usize) -> Result<u32> {
    let stat = fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
    let (_, rest) = stat.rsplit_once(')').context("no name in /proc")?;
    let mut fields = rest.split_whitespace().skip(at);
    let user: u32 = fields.next().context("no user time in /proc")?.parse()?;
    let system: u32 = fields.next().context("no system time in /proc")?.parse()?;
    Ok(user + system)
}

/// Returns the machine's load over the last minute.
pub(super) fn load() -> Result<f64> {
    let text = fs::read_to_string("/proc/loadavg")?;
    let first = text
        .split_whitespace()
        .next()
        .context("an empty /proc/loadavg")?;
    Ok(first.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proc_says_of_us_is_understood() {
        let here = std::process::id();
        assert!(peak_rss(here).unwrap() > 1 << 20);
        let mut word = Command::new("sh");
        word.args(["-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"]);
        let before = ticks("/proc/self/stat", CHILDREN).unwrap();
        let (seconds, _) = finish(&mut word, Path::new("/dev/null")).unwrap();
        let after = ticks("/proc/self/stat", CHILDREN).unwrap();
        assert!(after > before && seconds > 0.0, "{before} {after}");
        let error = finish(&mut Command::new("false"), Path::new("/dev/null")).unwrap_err();
        assert!(error.to_string().contains("exit status: 1"), "{error}");
    }
}
