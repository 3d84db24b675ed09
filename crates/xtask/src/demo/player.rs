//! A process of the demo.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::say::Teller;

/// How long a process may take to end by itself when asked to.
const END_MAX: Duration = Duration::from_secs(15);
/// How often an ending process is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long a line that must come may take.
const LINE_MAX: Duration = Duration::from_secs(60);
/// How many lines may wait to be looked at.
const LINES_MAX: usize = 256;

/// A process of the demo; ended and reaped when dropped.
#[derive(Debug)]
pub(crate) struct Player {
    name: String,
    child: Option<Child>,
    reader: Option<JoinHandle<()>>,
}

impl Player {
    /// Starts a process.
    pub(crate) fn start(name: &str, mut command: Command) -> Result<Self> {
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self {
            name: name.to_owned(),
            child: Some(child),
            reader: None,
        })
    }

    /// Hands out its standard output, once.
    pub(crate) fn output(&mut self) -> Option<ChildStdout> {
        self.child.as_mut().and_then(|child| child.stdout.take())
    }

    /// Writes a line to its input.
    pub(crate) fn tell(&mut self, line: &str) -> Result<()> {
        let input = self.child.as_mut().and_then(|child| child.stdin.as_mut());
        let input = input.with_context(|| format!("`{}` has no input", self.name))?;
        input.write_all(format!("{line}\n").as_bytes())?;
        Ok(())
    }

    /// Lets it go: neither stopped nor reaped, it belongs to nobody from here on.
    pub(crate) fn release(mut self) {
        drop(self.child.take());
    }

    /// Also waits for this thread, which reads the process's output, when it ends.
    pub(crate) fn reader(&mut self, thread: JoinHandle<()>) {
        self.reader = Some(thread);
    }

    /// Waits until it ends by itself.
    pub(crate) fn end(mut self) -> Result<()> {
        let mut child = self.child.take().context("it has ended already")?;
        let status = child.wait()?;
        ensure!(status.success(), "`{}` ended with {status}", self.name);
        Ok(())
    }

    pub(crate) fn is_named(&self, name: &str) -> bool {
        self.name == name
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Asks it to end, and insists when it does not.
    pub(crate) fn stop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        if let Some(pid) = i32::try_from(child.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw)
        {
            // It may have ended a moment ago.
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
        }
        let looks = END_MAX.as_millis() / LOOK_EVERY.as_millis();
        for _ in 0..looks {
            match child.try_wait() {
                Ok(None) => std::thread::sleep(LOOK_EVERY),
                Ok(Some(_)) | Err(_) => break,
            }
        }
        // Both do nothing to a process that has been reaped.
        child.kill().ok();
        child.wait().ok();
        if let Some(reader) = self.reader.take() {
            reader.join().ok();
        }
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A command whose lines are shown while it runs.
pub(crate) struct Showing {
    player: Player,
    lines: Receiver<String>,
}

impl Showing {
    /// Shows each line of a process that goes on.
    pub(crate) fn new(mut player: Player, output: ChildStdout, teller: Teller) -> Self {
        let (sender, lines) = sync_channel(LINES_MAX);
        player.reader(std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                teller.tell(&line);
                // Who no longer wants them has dropped the other end.
                sender.try_send(line).ok();
            }
        }));
        Self { player, lines }
    }

    /// Waits until it said a line with this in it, then ends it.
    pub(crate) fn until_line_with(self, text: &str) -> Result<()> {
        loop {
            let line = self
                .lines
                .recv_timeout(LINE_MAX)
                .with_context(|| format!("`{}` did not say `{text}`", self.player.name))?;
            if line.contains(text) {
                return Ok(());
            }
        }
    }
}
