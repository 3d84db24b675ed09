//! Secrets come in as file descriptors, never as strings that the bus daemon would see.

use crate::executor::reopen;
use ibak_core::Secret;
use ibak_dbus::Error;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, OFlags};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// The longest secret in bytes.
pub(super) const SECRET_LEN_MAX: usize = 4096;
/// Secrets that are read at once at most; further ones wait.
static READERS: Semaphore = Semaphore::const_new(8);
/// How long a client may take to hand it over.
const PATIENCE: Duration = Duration::from_secs(10);

/// Reads a secret to its end; `None` when there is nothing. One newline at its end is cut off.
///
/// # Errors
/// [`Error::InvalidOption`] for one that is too long, not UTF-8, holds a NUL, or does not come.
pub(super) async fn read_secret(fd: OwnedFd) -> Result<Option<Secret>, Error> {
    let _turn = READERS
        .acquire()
        .await
        .map_err(|_| Error::Failed("the daemon is stopping".into()))?;
    crate::executor::blocking(move || read(&fd, PATIENCE)).await
}

/// Opens a pipe anew, so that nothing the client does to its own end makes a read wait; anything
/// else must be memory of the client's.
fn opened(fd: &OwnedFd) -> Result<OwnedFd, String> {
    let pipe = reopen(fd, OFlags::RDONLY).map_err(|error| format!("cannot be read: {error}"))?;
    if let Some(pipe) = pipe {
        return Ok(pipe);
    }
    let stat = rustix::fs::fstat(fd).map_err(|errno| format!("cannot be read: {errno}"))?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_nlink == 0 {
        return fd
            .try_clone()
            .map_err(|error| format!("cannot be read: {error}"));
    }
    Err("comes neither through a pipe nor in a memory file".to_owned())
}

fn read(fd: &OwnedFd, patience: Duration) -> Result<Option<Secret>, Error> {
    let bad = |what: &str| Error::InvalidOption(format!("the password {what}"));
    let fd = &opened(fd).map_err(|why| bad(&why))?;
    let until = Instant::now() + patience;
    let mut text = Zeroizing::new(Vec::with_capacity(SECRET_LEN_MAX + 1024));
    let mut block = Zeroizing::new([0_u8; 512]);
    loop {
        wait(fd, until).map_err(|why| bad(&why))?;
        match rustix::io::read(fd, &mut block[..]) {
            Ok(0) => break,
            Ok(count) => text.extend_from_slice(block.get(..count).unwrap_or_default()),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(bad(&format!("cannot be read: {errno}"))),
        }
        if text.len() > SECRET_LEN_MAX + 1 {
            return Err(bad(&format!("is longer than {SECRET_LEN_MAX} bytes")));
        }
    }
    if text.last() == Some(&b'\n') {
        text.pop();
    }
    if text.len() > SECRET_LEN_MAX {
        return Err(bad(&format!("is longer than {SECRET_LEN_MAX} bytes")));
    }
    if text.is_empty() {
        return Ok(None);
    }
    if text.contains(&0) {
        return Err(bad("holds a NUL"));
    }
    match std::str::from_utf8(&text) {
        Ok(text) => Ok(Some(Secret::new(text.to_owned()))),
        Err(_) => Err(bad("is not UTF-8 text")),
    }
}

fn wait(fd: &OwnedFd, until: Instant) -> Result<(), String> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err("did not come in time".to_owned());
        }
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        let mut fds = [PollFd::new(fd, PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            Ok(_) => return Ok(()),
            Err(errno) => return Err(format!("cannot be read: {errno}")),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_in_result, reason = "a pipe of the test itself")]
mod tests {
    use super::*;
    use std::io::Write;

    fn given(bytes: &[u8]) -> Result<Option<String>, String> {
        let (theirs, ours) = rustix::pipe::pipe().unwrap();
        let mut file = std::fs::File::from(ours);
        file.write_all(bytes).unwrap();
        drop(file);
        read(&theirs, PATIENCE)
            .map(|secret| secret.map(|it| it.expose().to_owned()))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_secret_is_what_stands_before_the_end_less_one_newline() {
        for (bytes, secret) in [
            (&b""[..], None),
            (b"\n", None),
            (b"open sesame", Some("open sesame")),
            (b"open sesame\n", Some("open sesame")),
            (b"two\n\n", Some("two\n")),
            ("z\u{e4}h".as_bytes(), Some("z\u{e4}h")),
        ] {
            assert_eq!(given(bytes).unwrap().as_deref(), secret, "{bytes:?}");
        }
        assert_eq!(given(&[b'x'; 4096]).unwrap().unwrap().len(), 4096);
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        for (bytes, why) in [
            (vec![b'x'; 4097], "longer than 4096 bytes"),
            (vec![b'x'; 20_000], "longer than 4096 bytes"),
            (vec![b'a', 0, b'b'], "NUL"),
            (vec![0xff, 0xfe], "UTF-8"),
        ] {
            let error = given(&bytes).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn a_memory_file_is_read_and_a_named_one_is_not() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"hidden\n").unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        let secret = read(&file.into(), PATIENCE).unwrap().unwrap();
        assert_eq!(secret.expose(), "hidden");
        let named = tempfile::NamedTempFile::new().unwrap();
        let file = named.reopen().unwrap();
        let error = read(&file.into(), PATIENCE).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("neither"), "{error}");
    }

    #[test]
    fn one_that_never_comes_is_not_waited_for() {
        let (theirs, _ours) = rustix::pipe::pipe().unwrap();
        let error = read(&theirs, Duration::from_millis(10))
            .map(|_| ())
            .unwrap_err();
        assert!(error.to_string().contains("in time"), "{error}");
    }
}
