//! The client's end of a pipe: written as long as somebody reads, and never waited for without end.

use super::Stop;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// How long a client may take to read on.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often a stop is looked for while the client does not read.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Why nothing more can be written; the kind of an [`io::Error`] tells them apart.
pub(super) const GONE: io::ErrorKind = io::ErrorKind::BrokenPipe;

/// A pipe, socket or file that a client gave to be written to.
pub(super) struct Pipe {
    fd: OwnedFd,
    stop: Stop,
    written: u64,
}

impl Pipe {
    /// Takes the client's descriptor.
    ///
    /// # Errors
    /// When it cannot be made non-blocking.
    pub(super) fn new(fd: OwnedFd, stop: Stop) -> io::Result<Self> {
        let flags = rustix::fs::fcntl_getfl(&fd)?;
        rustix::fs::fcntl_setfl(&fd, flags | rustix::fs::OFlags::NONBLOCK)?;
        Ok(Self {
            fd,
            stop,
            written: 0,
        })
    }

    /// Returns the bytes written.
    pub(super) const fn written(&self) -> u64 {
        self.written
    }

    /// Waits until the client reads on.
    fn wait(&self) -> io::Result<()> {
        let until = Instant::now() + PATIENCE;
        let slice = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(LOOK_EVERY.subsec_nanos()),
        };
        loop {
            if self.stop.why().is_some() {
                // Not `Interrupted`, which `write_all` would try again.
                return Err(io::Error::other(Stopped));
            }
            let mut fds = [PollFd::new(&self.fd, PollFlags::OUT)];
            match poll(&mut fds, Some(&slice)) {
                Ok(0) | Err(rustix::io::Errno::INTR) if Instant::now() < until => {}
                Ok(0) | Err(rustix::io::Errno::INTR) => {
                    return Err(io::Error::new(GONE, "the reader stopped reading"));
                }
                Ok(_) => return Ok(()),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

/// Says that a job was asked to end, inside an [`io::Error`].
#[derive(Debug, thiserror::Error)]
#[error("it was asked to end")]
pub(super) struct Stopped;

/// Tells whether an error of a [`Pipe`] means that the job was asked to end.
pub(super) fn is_stopped(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Stopped>())
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            if self.stop.why().is_some() {
                return Err(io::Error::other(Stopped));
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

#[cfg(test)]
mod tests {
    use super::*;
    use ibak_core::StopWhy;
    use std::io::Read;

    fn pipe() -> (std::fs::File, Pipe, Stop) {
        let (read, write) = rustix::pipe::pipe().unwrap();
        let stop = Stop::default();
        let pipe = Pipe::new(write, stop.clone()).unwrap();
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
        assert_eq!((error.kind(), is_stopped(&error)), (GONE, false));
    }

    #[test]
    fn a_stop_ends_it_while_nobody_reads() {
        let (_read, mut pipe, stop) = pipe();
        let writer = std::thread::spawn(move || pipe.write_all(&vec![0; 1 << 22]).unwrap_err());
        stop.ask(StopWhy::ByUser);
        assert!(is_stopped(&writer.join().unwrap()));
    }
}
