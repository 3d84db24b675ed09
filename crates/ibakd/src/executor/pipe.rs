//! The client's end of a pipe: written as long as somebody reads, and never waited for without end.

use super::Stop;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long a client may take to read on.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long one stream may take in all: a reader keeps its backup from being removed.
const STREAM_MAX: Duration = Duration::from_secs(24 * 3600);
/// How often a stop is looked for while the client does not read.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A pipe that a client gave to be written to.
pub(super) struct Pipe {
    fd: OwnedFd,
    stop: Stop,
    until: Instant,
    patience: Duration,
    written: u64,
    waits_for: PollFlags,
}

impl Pipe {
    /// Takes the client's pipe. It is opened anew: whether a descriptor blocks is a property that
    /// the client shares, and could change.
    ///
    /// # Errors
    /// When it is not a pipe, or cannot be opened.
    pub(super) fn new(fd: &OwnedFd, stop: Stop) -> io::Result<Self> {
        Self::opened(fd, OFlags::WRONLY, PollFlags::OUT, stop)
    }

    /// Takes a client's pipe that is to be read.
    ///
    /// # Errors
    /// As [`Pipe::new`].
    pub(super) fn reading(fd: &OwnedFd, stop: Stop) -> io::Result<Self> {
        Self::opened(fd, OFlags::RDONLY, PollFlags::IN, stop)
    }

    fn opened(fd: &OwnedFd, flags: OFlags, waits_for: PollFlags, stop: Stop) -> io::Result<Self> {
        let fd = reopen(fd, flags)?.ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "files go through a pipe only")
        })?;
        Ok(Self {
            fd,
            waits_for,
            stop,
            until: Instant::now() + STREAM_MAX,
            patience: PATIENCE,
            written: 0,
        })
    }

    /// Returns the bytes written.
    pub(super) const fn written(&self) -> u64 {
        self.written
    }

    /// Waits until the client goes on.
    fn wait(&self) -> io::Result<()> {
        let until = self.until.min(Instant::now() + self.patience);
        let slice = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(LOOK_EVERY.subsec_nanos()),
        };
        loop {
            if self.stop.why().is_some() {
                return Err(stopped());
            }
            let mut fds = [PollFd::new(&self.fd, self.waits_for)];
            match poll(&mut fds, Some(&slice)) {
                Ok(0) | Err(rustix::io::Errno::INTR) if Instant::now() < until => {}
                Ok(0) | Err(rustix::io::Errno::INTR) => {
                    return Err(io::Error::new(
                        io::ErrorKind::BrokenPipe,
                        "the other end stopped",
                    ));
                }
                Ok(_) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

/// Opens a client's pipe anew, not blocking; `None` when it is no pipe.
///
/// # Errors
/// A system call's.
pub(crate) fn reopen(fd: &OwnedFd, flags: OFlags) -> io::Result<Option<OwnedFd>> {
    let stat = rustix::fs::fstat(fd)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Fifo {
        return Ok(None);
    }
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let flags = flags | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    Ok(Some(rustix::fs::open(path, flags, Mode::empty())?))
}

/// Says that a job was asked to end, inside an [`io::Error`]: not as `Interrupted`, which would be
/// tried again.
#[derive(Debug, thiserror::Error)]
#[error("it was asked to end")]
struct Stopped;

fn stopped() -> io::Error {
    io::Error::other(Stopped)
}

/// Tells whether an error of a [`Pipe`] means that the job was asked to end.
pub(super) fn is_stopped(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Stopped>())
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            if self.stop.why().is_some() {
                return Err(stopped());
            }
            match rustix::io::write(&self.fd, bytes) {
                Ok(count) => {
                    self.written = self
                        .written
                        .saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
                    return Ok(count);
                }
                Err(rustix::io::Errno::AGAIN) => self.wait()?,
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.stop.why().is_some() {
                return Err(stopped());
            }
            match rustix::io::read(&self.fd, &mut *buffer) {
                Ok(count) => return Ok(count),
                Err(rustix::io::Errno::AGAIN) => self.wait()?,
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ibak_core::StopWhy;

    fn pipe() -> (std::fs::File, Pipe, Stop) {
        let (read, write) = rustix::pipe::pipe().unwrap();
        let stop = Stop::default();
        let pipe = Pipe::new(&write, stop.clone()).unwrap();
        (std::fs::File::from(read), pipe, stop)
    }

    #[test]
    fn what_is_written_arrives_also_when_it_is_more_than_fits() {
        let (mut read, mut pipe, _stop) = pipe();
        let sent: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let copy = sent.clone();
        let writer = std::thread::spawn(move || {
            pipe.write_all(&copy).unwrap();
            pipe.written()
        });
        let mut got = Vec::new();
        read.read_to_end(&mut got).unwrap();
        assert_eq!(writer.join().unwrap(), 1_000_000);
        assert_eq!(got, sent);
    }

    #[test]
    fn a_reader_that_leaves_ends_it() {
        let (read, mut pipe, _stop) = pipe();
        drop(read);
        let error = pipe.write_all(b"x").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        assert!(!is_stopped(&error));
    }

    #[test]
    fn a_stop_ends_it_while_nobody_reads() {
        let (_read, mut pipe, stop) = pipe();
        let writer = std::thread::spawn(move || pipe.write_all(&vec![0; 1 << 22]).unwrap_err());
        stop.ask(StopWhy::ByUser);
        assert!(is_stopped(&writer.join().unwrap()));
    }

    #[test]
    fn a_reader_that_does_not_read_on_is_taken_to_have_gone() {
        let (_read, mut pipe, _stop) = pipe();
        pipe.patience = Duration::ZERO;
        let error = pipe.write_all(&vec![0; 1 << 22]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        assert!(!is_stopped(&error));
    }

    #[test]
    fn what_a_client_writes_is_read_to_its_end_and_a_stop_ends_the_wait() {
        let (read, write) = rustix::pipe::pipe().unwrap();
        let stop = Stop::default();
        let mut pipe = Pipe::reading(&read, stop.clone()).unwrap();
        drop(read);
        let mut client = std::fs::File::from(write);
        client.write_all(b"all of it").unwrap();
        let mut got = [0; 9];
        pipe.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"all of it");
        let reader = std::thread::spawn(move || pipe.read(&mut [0; 9]).unwrap_err());
        stop.ask(StopWhy::ByUser);
        assert!(is_stopped(&reader.join().unwrap()));
        let (read, write) = rustix::pipe::pipe().unwrap();
        let mut pipe = Pipe::reading(&read, Stop::default()).unwrap();
        drop(write);
        assert_eq!(pipe.read(&mut got).unwrap(), 0);
    }

    #[test]
    fn the_clients_own_descriptor_goes_on_blocking() {
        let (_read, write) = rustix::pipe::pipe().unwrap();
        let _pipe = Pipe::new(&write, Stop::default()).unwrap();
        let flags = rustix::fs::fcntl_getfl(&write).unwrap();
        assert!(!flags.contains(OFlags::NONBLOCK));
    }

    #[test]
    fn only_a_pipe_is_written_to() {
        let file = tempfile::tempfile().unwrap();
        let refused = Pipe::new(&OwnedFd::from(file), Stop::default());
        assert!(refused.is_err_and(|error| error.kind() == io::ErrorKind::InvalidInput));
    }
}
