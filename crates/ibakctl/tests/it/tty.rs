//! A terminal for the real binary, with a person's fingers on it.

use super::mock::Mock;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

/// A run on a terminal of its own. Its methods block: tests need a runtime of several threads.
pub(crate) struct Tty {
    screen: File,
    child: Child,
    shown: String,
    all: String,
}

impl Tty {
    /// Starts the binary with a terminal as its only stream and its controlling terminal.
    pub(crate) fn start(mock: &Mock, args: &[&str]) -> Self {
        Self::with(mock.command(args))
    }

    /// Starts a prepared command so.
    pub(crate) fn with(prepared: Command) -> Self {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&terminal, size).unwrap();
        let name = ptsname(&terminal, Vec::new()).unwrap();
        let other_end = OpenOptions::new()
            .read(true)
            .write(true)
            .open(name.into_string().unwrap())
            .unwrap();
        // Only a session's leader may have a terminal; `setsid` makes one and becomes the binary.
        let mut command = Command::new("setsid");
        command
            .arg("--ctty")
            .arg(prepared.get_program())
            .args(prepared.get_args())
            .stdin(other_end.try_clone().unwrap())
            .stdout(other_end.try_clone().unwrap())
            .stderr(other_end)
            .env("TERM", "xterm")
            .env("NO_COLOR", "1");
        for (key, value) in prepared.get_envs() {
            match value {
                Some(value) => command.env(key, value),
                None if key == "NO_COLOR" => &mut command,
                None => command.env_remove(key),
            };
        }
        let child = command.spawn().unwrap();
        Self {
            screen: terminal.into(),
            child,
            shown: String::new(),
            all: String::new(),
        }
    }

    /// Reads until the screen shows this after what was waited for before; where a line was
    /// broken does not matter.
    pub(crate) fn until(&mut self, wanted: &str) -> &mut Self {
        let mut block = [0; 4096];
        loop {
            let flat = self.shown.replace("\r\n", " ");
            if let Some(at) = flat.find(wanted) {
                self.shown = flat[at + wanted.len()..].to_owned();
                return self;
            }
            let read = self
                .screen
                .read(&mut block)
                .unwrap_or_else(|error| panic!("waiting for {wanted:?}: {error}: {}", self.all));
            self.take(&block[..read]);
        }
    }

    /// Types.
    pub(crate) fn types(&mut self, text: &str) -> &mut Self {
        self.screen.write_all(text.as_bytes()).unwrap();
        self
    }

    /// Keeps looking at the terminal after the run has ended.
    pub(crate) fn watch(&self) -> Watch {
        Watch(self.screen.try_clone().unwrap())
    }

    /// Says whether what is typed shows on the screen.
    pub(crate) fn echoes(&self) -> bool {
        tcgetattr(&self.screen)
            .unwrap()
            .local_modes
            .contains(LocalModes::ECHO)
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    fn take(&mut self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        self.shown.push_str(&text);
        self.all.push_str(&text);
    }

    /// Reads the rest of the screen and waits for the end; gives everything that was ever shown.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let mut block = [0; 4096];
        // A terminal whose other end closed reads as an error; that is the end.
        while let Ok(read @ 1..) = self.screen.read(&mut block) {
            self.take(&block[..read]);
        }
        let code = self.child.wait().unwrap().code();
        (code, self.all.replace("\r\n", "\n"))
    }
}

/// The terminal itself, which outlives the run.
pub(crate) struct Watch(File);

impl Watch {
    /// Says whether what is typed shows on the screen.
    pub(crate) fn echoes(&self) -> bool {
        tcgetattr(&self.0)
            .unwrap()
            .local_modes
            .contains(LocalModes::ECHO)
    }
}

/// Runs the binary with nothing that is a terminal, and no controlling one either.
pub(crate) fn without_terminal(mock: &Mock, args: &[&str]) -> Command {
    let prepared = mock.command(args);
    let mut command = Command::new("setsid");
    command
        .arg("--wait")
        .arg(prepared.get_program())
        .args(prepared.get_args())
        .stdin(Stdio::null());
    for (key, value) in prepared.get_envs() {
        match value {
            Some(value) => command.env(key, value),
            None => command.env_remove(key),
        };
    }
    command
}
