//! Passwords: asked for, read, made, and handed on as file descriptors.
//!
//! A password never is an argument, an environment variable, a log line or part of an error. It
//! has neither `Debug` nor `Display`, its memory is wiped, and the daemon gets it through a pipe.

mod source;
mod terminal;
mod words;

use rustix::pipe::{PipeFlags, pipe_with};
use std::io;
use std::os::fd::OwnedFd;
use tokio::io::unix::AsyncFd;
use zeroize::Zeroizing;

pub(crate) use source::{Source, given};
pub(crate) use terminal::Terminal;
pub(crate) use words::generate;

/// Is how many bytes of a password there may be; the daemon reads no more either.
pub(crate) const PASSWORD_BYTES_MAX: usize = 4096;

/// A backup password.
pub(crate) struct Password(Zeroizing<String>);

/// Why text cannot be a backup password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// There is none.
    Empty,
    /// It is longer than [`PASSWORD_BYTES_MAX`].
    TooLong,
    /// It is not UTF-8.
    NotText,
    /// It holds a character that cannot be typed, such as a tab or an escape.
    Control,
}

impl Unfit {
    /// Completes "the password …".
    pub(crate) fn phrase(self) -> &'static str {
        match self {
            Self::Empty => "is empty",
            Self::TooLong => "is longer than 4096 bytes",
            Self::NotText => "is not UTF-8 text",
            Self::Control => "holds a character that nobody can type, such as a tab",
        }
    }
}

impl Password {
    /// Takes bytes as a password; one newline at the end is not part of it.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Unfit> {
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let text = std::str::from_utf8(bytes).map_err(|_| Unfit::NotText)?;
        match text {
            "" => Err(Unfit::Empty),
            long if long.len() > PASSWORD_BYTES_MAX => Err(Unfit::TooLong),
            odd if odd.chars().any(char::is_control) => Err(Unfit::Control),
            text => Ok(Self(Zeroizing::new(text.to_owned()))),
        }
    }

    /// Shows it to the one place that prints it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// Says whether two are the same.
    pub(crate) fn is(&self, other: &Self) -> bool {
        *self.0 == *other.0
    }

    /// Puts it into a pipe and returns the end to read, for the daemon.
    pub(crate) fn hand_over(&self) -> io::Result<OwnedFd> {
        filled_pipe(self.0.as_bytes())
    }
}

/// Makes the file descriptor that stands for "no password": it yields no bytes.
pub(crate) fn no_password() -> io::Result<OwnedFd> {
    filled_pipe(b"")
}

/// Even the smallest pipe holds a page, so that writing never waits.
fn filled_pipe(bytes: &[u8]) -> io::Result<OwnedFd> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    let mut rest = bytes;
    while !rest.is_empty() {
        let written = rustix::io::write(&writer, rest)?;
        rest = rest.get(written..).unwrap_or_default();
    }
    Ok(reader)
}

/// Lets the runtime say when a descriptor can be read or written.
fn watched(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    #[expect(
        deprecated,
        reason = "its successor needs `unsafe`; an `OwnedFd` keeps the promise that is about"
    )]
    AsyncFd::new(fd)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn of(fd: OwnedFd) -> String {
        let mut text = String::new();
        std::fs::File::from(fd).read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn what_is_a_password() {
        for (bytes, want) in [
            (&b"secret"[..], Ok("secret")),
            (b"two words\n", Ok("two words")),
            ("gr\u{fc}n\n".as_bytes(), Ok("gr\u{fc}n")),
            (b" \n", Ok(" ")),
            (b"", Err(Unfit::Empty)),
            (b"\n", Err(Unfit::Empty)),
            (b"two\nlines\n", Err(Unfit::Control)),
            (b"tab\there", Err(Unfit::Control)),
            (b"\x1b[A", Err(Unfit::Control)),
            (b"\xff\xfe", Err(Unfit::NotText)),
        ] {
            let got = Password::parse(bytes);
            assert_eq!(got.as_ref().map(|p| p.expose()).map_err(|e| *e), want);
        }
        let longest = vec![b'a'; PASSWORD_BYTES_MAX];
        let password = Password::parse(&longest).ok().unwrap();
        assert_eq!(of(password.hand_over().unwrap()).len(), PASSWORD_BYTES_MAX);
        assert!(matches!(
            Password::parse(&vec![b'a'; PASSWORD_BYTES_MAX + 1]),
            Err(Unfit::TooLong)
        ));
    }

    #[test]
    fn the_daemon_reads_what_was_typed_and_then_the_end() {
        let password = Password::parse(b"open sesame\n").ok().unwrap();
        assert_eq!(of(password.hand_over().unwrap()), "open sesame");
        assert_eq!(of(no_password().unwrap()), "");
    }
}
