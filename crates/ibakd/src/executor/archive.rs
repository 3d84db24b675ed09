//! A tar stream into a client's pipe. One that breaks off has no end, so that nobody takes it for
//! whole.

use super::pipe::Pipe;
use std::io::{self, Read, Write};
use std::time::SystemTime;

/// A tar stream being written.
pub(super) struct Archive {
    builder: tar::Builder<Gate>,
}

/// Lets nothing through once something failed: the builder would end the stream when it is dropped.
struct Gate {
    pipe: Pipe,
    open: bool,
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.open {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.pipe.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pipe.flush()
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        self.builder.get_mut().open = false;
    }
}

impl Archive {
    /// Begins a stream.
    pub(super) fn new(pipe: Pipe) -> Self {
        let builder = tar::Builder::new(Gate { pipe, open: true });
        Self { builder }
    }

    /// Returns the bytes written.
    pub(super) fn written(&self) -> u64 {
        self.builder.get_ref().pipe.written()
    }

    /// Writes one file; `content` gives as many bytes as the header says, or an error.
    ///
    /// # Errors
    /// Whose they are; after one the stream has no end.
    pub(super) fn append(
        &mut self,
        header: &mut tar::Header,
        path: &str,
        content: impl Read,
    ) -> Result<(), AppendError> {
        let size = header.size().map_err(AppendError::Content)?;
        let mut content = Promised {
            content,
            left: size,
            failed: None,
        };
        let done = self.builder.append_data(header, path, &mut content);
        if done.is_err() {
            self.builder.get_mut().open = false;
        }
        match (done, content.failed) {
            (Ok(()), None) => Ok(()),
            (_, Some(error)) => Err(AppendError::Content(error)),
            (Err(error), None) => Err(AppendError::Client(error)),
        }
    }

    /// Writes a symbolic link.
    ///
    /// # Errors
    /// The pipe's, and that of a path that leads out of a directory.
    pub(super) fn append_link(
        &mut self,
        header: &mut tar::Header,
        path: &str,
        target: &str,
    ) -> io::Result<()> {
        let done = self.builder.append_link(header, path, target);
        if done.is_err() {
            self.builder.get_mut().open = false;
        }
        done
    }

    /// Ends the stream and returns the bytes written.
    ///
    /// # Errors
    /// The pipe's.
    pub(super) fn finish(mut self) -> io::Result<u64> {
        self.builder.finish()?;
        Ok(self.written())
    }
}

/// Why a file is not in a stream, and the stream has no end.
#[derive(Debug)]
pub(super) enum AppendError {
    /// What was to be written could not be read as promised.
    Content(io::Error),
    /// It could not be written.
    Client(io::Error),
}

/// Gives exactly as many bytes as were promised, or remembers why not.
struct Promised<R> {
    content: R,
    left: u64,
    failed: Option<io::Error>,
}

impl<R: Read> Read for Promised<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let length = buffer.len().min(most);
        let Some(part) = buffer.get_mut(..length).filter(|part| !part.is_empty()) else {
            return Ok(0);
        };
        let read = match self.content.read(part) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            other => other,
        };
        match read {
            Ok(count) => {
                self.left = self.left.saturating_sub(u64::try_from(count).unwrap_or(0));
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let kind = error.kind();
                self.failed = Some(error);
                Err(kind.into())
            }
        }
    }
}

/// Makes the header of a regular file.
pub(super) fn file_header(size: u64, mode: u32, modified: Option<SystemTime>) -> tar::Header {
    let since = modified.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    header(
        tar::EntryType::Regular,
        size,
        mode,
        since.map_or(0, |since| since.as_secs()),
    )
}

/// Makes a header; `modified` is in seconds since 1970.
pub(super) fn header(kind: tar::EntryType, size: u64, mode: u32, modified: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode & 0o7777);
    header.set_mtime(modified);
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::Stop;

    fn archive() -> (std::fs::File, Archive) {
        let (read, write) = rustix::pipe::pipe().unwrap();
        let pipe = Pipe::new(&write, Stop::default()).unwrap();
        (std::fs::File::from(read), Archive::new(pipe))
    }

    fn bytes(mut read: std::fs::File) -> Vec<u8> {
        let mut bytes = Vec::new();
        read.read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn what_is_appended_is_read_back() {
        let (read, mut archive) = archive();
        let long = format!("HomeDomain/{}/file", "d".repeat(300));
        let mut first = file_header(5, 0o644, None);
        archive.append(&mut first, &long, &b"hello"[..]).unwrap();
        let mut link = header(tar::EntryType::Symlink, 0, 0o777, 7);
        archive
            .append_link(&mut link, "HomeDomain/l", "../up")
            .unwrap();
        assert!(archive.finish().unwrap() >= 2048);
        let stream = bytes(read);
        let mut tar = tar::Archive::new(&stream[..]);
        let mut entries = tar.entries().unwrap();
        let mut file = entries.next().unwrap().unwrap();
        assert_eq!(file.path().unwrap().to_str(), Some(long.as_str()));
        let mut content = String::new();
        file.read_to_string(&mut content).unwrap();
        assert_eq!(content, "hello");
        let link = entries.next().unwrap().unwrap();
        assert_eq!(link.link_name().unwrap().unwrap().to_str(), Some("../up"));
    }

    #[test]
    fn a_stream_that_breaks_off_has_no_end() {
        for content in [&b"hell"[..], b""] {
            let (read, mut archive) = archive();
            let error = archive
                .append(&mut file_header(5, 0o644, None), "a", content)
                .unwrap_err();
            assert!(matches!(error, AppendError::Content(_)), "{error:?}");
            drop(archive);
            assert!(bytes(read).len() <= 1024, "no two empty blocks at its end");
        }
    }

    #[test]
    fn a_path_that_leads_out_is_refused() {
        for path in ["../a", "a/../../b"] {
            let (_read, mut archive) = archive();
            let mut header = file_header(0, 0o644, None);
            assert!(
                archive.append(&mut header, path, io::empty()).is_err(),
                "{path}"
            );
        }
    }
}
