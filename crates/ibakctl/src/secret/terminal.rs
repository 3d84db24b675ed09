//! The terminal as a place for questions, also when stdin and stdout lead elsewhere.
//!
//! A secret is typed without echo, and the terminal is put back on every way out: an answer, an
//! error, a panic, Ctrl-C (the future is dropped) and the signals that end a process. Reading is
//! asynchronous, so that nothing keeps the process when it is to end.

use super::{PASSWORD_BYTES_MAX, Password, Unfit};
use crate::failure::{Exit, Failure};
use rustix::fs::{Mode, OFlags, open};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use tokio::io::unix::AsyncFd;
use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

/// Is the terminal of this process, whatever its streams are.
const TERMINAL: &str = "/dev/tty";
/// Turns a special character off (`_POSIX_VDISABLE` of Linux).
const NO_CHARACTER: u8 = 0;

/// The terminal.
pub(crate) struct Terminal(AsyncFd<OwnedFd>);

impl Terminal {
    /// Opens it; `None` when the process has none.
    pub(crate) fn open() -> Option<Self> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = open(TERMINAL, flags, Mode::empty()).ok()?;
        super::watched(fd).ok().map(Self)
    }

    /// Asks for a secret, without echo.
    ///
    /// # Errors
    /// [`Exit::Interrupted`] when the question was called off, [`Exit::Usage`] for an answer that
    /// is no password.
    pub(crate) async fn secret(&self, question: &str) -> Result<Password, Failure> {
        let quiet = Quiet::new(self.0.get_ref()).map_err(|error| unasked(&error))?;
        let answer = self.ask(question).await;
        drop(quiet);
        Password::parse(&answer?).map_err(refuse)
    }

    /// Asks for a line that may be seen.
    ///
    /// # Errors
    /// [`Exit::Interrupted`] when the question was called off.
    pub(crate) async fn line(&self, question: &str) -> Result<String, Failure> {
        let answer = self.ask(question).await?;
        Ok(String::from_utf8_lossy(&answer).trim().to_owned())
    }

    /// Shows text that only the person may see.
    pub(crate) async fn show(&self, text: &str) -> Result<(), Failure> {
        self.write(text).await.map_err(|error| unasked(&error))
    }

    async fn ask(&self, question: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let mut ended = Vec::new();
        for kind in [
            SignalKind::terminate(),
            SignalKind::hangup(),
            SignalKind::quit(),
        ] {
            ended.push(signal(kind).map_err(|error| unasked(&error))?);
        }
        let any_ended = futures_util::future::select_all(
            ended.iter_mut().map(|signal| Box::pin(signal.recv())),
        );
        tokio::select! {
            biased;
            answer = async {
                self.write(question).await?;
                self.read_line().await
            } => match answer {
                Ok(Some(line)) => Ok(line),
                Ok(None) => Err(called_off()),
                Err(error) => Err(unasked(&error)),
            },
            _ended = any_ended => Err(called_off()),
        }
    }

    async fn write(&self, text: &str) -> io::Result<()> {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let mut ready = self.0.writable().await?;
            if let Ok(written) = ready.try_io(|fd| Ok(rustix::io::write(fd.get_ref(), rest)?)) {
                rest = rest.get(written?..).unwrap_or_default();
            }
        }
        Ok(())
    }

    /// Reads up to the end of the line; `None` when there is no more to come.
    async fn read_line(&self) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        // Never grows, so that no copy of a secret is left behind.
        let mut line = Zeroizing::new(Vec::with_capacity(PASSWORD_BYTES_MAX + 2));
        let mut block = Zeroizing::new([0_u8; 512]);
        loop {
            let mut ready = self.0.readable().await?;
            let Ok(read) = ready.try_io(|fd| Ok(rustix::io::read(fd.get_ref(), &mut *block)?))
            else {
                continue;
            };
            let read = block.get(..read?).unwrap_or_default();
            if read.is_empty() {
                return Ok(None);
            }
            let room = (PASSWORD_BYTES_MAX + 2).saturating_sub(line.len());
            line.extend_from_slice(read.get(..read.len().min(room)).unwrap_or_default());
            if read.ends_with(b"\n") {
                return Ok(Some(line));
            }
        }
    }
}

/// A terminal that does not echo, for as long as this lives.
struct Quiet<'t> {
    terminal: &'t OwnedFd,
    before: Termios,
}

impl<'t> Quiet<'t> {
    fn new(terminal: &'t OwnedFd) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut quiet = before.clone();
        quiet.local_modes -= LocalModes::ECHO | LocalModes::ECHOE | LocalModes::ECHOK;
        quiet.local_modes -= LocalModes::ECHONL;
        quiet.local_modes |= LocalModes::ICANON | LocalModes::ISIG;
        // Ctrl-Z would leave a terminal without echo to the shell.
        quiet.special_codes[SpecialCodeIndex::VSUSP] = NO_CHARACTER;
        // What was typed before the question is no answer to it.
        tcsetattr(terminal, OptionalActions::Flush, &quiet)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        // The end of the line was not echoed either. A terminal that is gone needs nothing.
        let line_ended = rustix::io::write(self.terminal.as_fd(), b"\n");
        let restored = tcsetattr(self.terminal, OptionalActions::Now, &self.before);
        match (line_ended, restored) {
            (Ok(_) | Err(_), Ok(()) | Err(_)) => {}
        }
    }
}

fn called_off() -> Failure {
    Failure::new(Exit::Interrupted, "the question was not answered")
}

fn unasked(error: &io::Error) -> Failure {
    Failure::new(Exit::Failed, "cannot ask on the terminal").because(error.to_string())
}

fn refuse(unfit: Unfit) -> Failure {
    Failure::new(Exit::Usage, format!("the password {}", unfit.phrase()))
}
