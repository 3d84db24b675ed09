//! The phone's file service, as far as it is needed: one lock, small files, and the shop's content.
//!
//! Uses the library's packets and not its file handles, which keep futures of themselves. Every
//! operation has the deadline of a request; one whose answer was not read ends the connection's
//! use, since the next answer would be taken for another question's.

use crate::guard::{Framing, PlistGuard};
use crate::wire::{Stream, within};
use crate::{Deadlines, DeviceError, Escrow, Session};
use ibak_core::plist_guard::Limits;
use idevice::afc::AfcClient;
use idevice::afc::errors::AfcError;
use idevice::afc::opcode::{AfcFopenMode, AfcLockOp, AfcOpcode};
use idevice::afc::packet::AfcPacket;
use idevice::{Idevice, IdeviceError};
use std::time::{Duration, SystemTime};

pub(crate) const SERVICE: &str = "com.apple.afc";
/// Bytes asked for at a time; other clients ask phones for up to 1 MiB.
pub(crate) const CHUNK_BYTES: u64 = 256 << 10;
/// Bytes written at a time, as the oldest clients do.
const WRITE_BYTES: usize = 32 << 10;

/// An open file of the phone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handle(u64);

/// Whether a lock was got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lock {
    Taken,
    Busy,
}

/// What something on the phone is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
    /// A link, a device, or something unheard of: never followed.
    Other,
}

/// What the phone tells of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Info {
    pub(crate) kind: Kind,
    /// In bytes.
    pub(crate) size: u64,
    pub(crate) modified: Option<SystemTime>,
}

/// Why an operation failed.
#[derive(Debug)]
enum Fail {
    /// The phone declined; the connection is good.
    Status(AfcError),
    /// The conversation failed.
    Device(DeviceError),
}

impl From<Fail> for DeviceError {
    fn from(fail: Fail) -> Self {
        match fail {
            Fail::Status(error) => Self::Service {
                service: SERVICE,
                reason: error.to_string(),
            },
            Fail::Device(error) => error,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Afc {
    client: AfcClient,
    deadlines: Deadlines,
    /// A request went out and its answer was not read.
    unfinished: bool,
}

impl Afc {
    pub(crate) async fn open(session: &mut Session) -> Result<Self, DeviceError> {
        let service = session.start_service(SERVICE, Escrow::No).await?;
        let deadlines = *session.deadlines();
        Ok(Self::over(service.stream, deadlines, Limits::MESSAGE))
    }

    /// Speaks over a stream; `limits` bounds each packet.
    pub(crate) fn over(stream: Box<dyn Stream>, deadlines: Deadlines, limits: Limits) -> Self {
        let guarded = PlistGuard::new(stream, Framing::Afc, limits);
        Self {
            client: AfcClient::new(Idevice::new(Box::new(guarded), "ibak")),
            deadlines,
            unfinished: false,
        }
    }

    /// Opens a file for reading and writing, making it when it is absent.
    pub(crate) async fn open_read_write(&mut self, path: &str) -> Result<Handle, DeviceError> {
        Ok(self.open_file(path, AfcFopenMode::Rw).await?)
    }

    /// Opens a file for reading.
    pub(crate) async fn open_read(&mut self, path: &str) -> Result<Handle, DeviceError> {
        Ok(self.open_file(path, AfcFopenMode::RdOnly).await?)
    }

    /// Asks for the only lock on a file.
    pub(crate) async fn lock(&mut self, file: Handle) -> Result<Lock, DeviceError> {
        match self.lock_op(file, AfcLockOp::ExclusiveLock).await {
            Ok(_) => Ok(Lock::Taken),
            Err(Fail::Status(AfcError::OpWouldBlock)) => Ok(Lock::Busy),
            Err(fail) => Err(fail.into()),
        }
    }

    pub(crate) async fn unlock(&mut self, file: Handle) -> Result<(), DeviceError> {
        self.lock_op(file, AfcLockOp::Unlock).await?;
        Ok(())
    }

    pub(crate) async fn close(&mut self, file: Handle) -> Result<(), DeviceError> {
        self.send(AfcOpcode::FileClose, file.0.to_le_bytes().to_vec())
            .await?;
        Ok(())
    }

    /// Goes to a place in a file, in bytes from its beginning.
    pub(crate) async fn seek(&mut self, file: Handle, to: u64) -> Result<(), DeviceError> {
        const FROM_START: u64 = 0;
        let request = [file.0, FROM_START, to].map(u64::to_le_bytes).concat();
        self.send(AfcOpcode::FileSeek, request).await?;
        Ok(())
    }

    /// Reads at most `len` bytes; empty at the end. A phone that sends more is refused.
    pub(crate) async fn read(&mut self, file: Handle, len: u64) -> Result<Vec<u8>, DeviceError> {
        let request = [file.0, len].map(u64::to_le_bytes).concat();
        let content = self.send(AfcOpcode::Read, request).await?.payload;
        if u64::try_from(content.len()).map_or(true, |came| came > len) {
            let reason = format!("{} bytes where {len} were asked for", content.len());
            return Err(DeviceError::refused(SERVICE, reason));
        }
        Ok(content)
    }

    /// Lists the names in a directory, each ended by a NUL; `None` when it is absent.
    pub(crate) async fn read_dir(&mut self, path: &str) -> Result<Option<Vec<u8>>, DeviceError> {
        match self.send(AfcOpcode::ReadDir, c_string(path)).await {
            Ok(packet) => Ok(Some(packet.payload)),
            Err(Fail::Status(AfcError::ObjectNotFound)) => Ok(None),
            Err(fail) => Err(fail.into()),
        }
    }

    /// Asks what is at a path; `None` when nothing is.
    pub(crate) async fn info(&mut self, path: &str) -> Result<Option<Info>, DeviceError> {
        match self.send(AfcOpcode::GetFileInfo, c_string(path)).await {
            Ok(packet) => Ok(Some(parse_info(&packet.payload)?)),
            Err(Fail::Status(AfcError::ObjectNotFound)) => Ok(None),
            Err(fail) => Err(fail.into()),
        }
    }

    /// Writes a file as a whole, with the directory it lies in. What it leaves after a failure is
    /// removed, as far as the phone still listens.
    pub(crate) async fn write_file(
        &mut self,
        dir: &str,
        path: &str,
        content: &[u8],
    ) -> Result<(), DeviceError> {
        match self.send(AfcOpcode::MakeDir, c_string(dir)).await {
            Ok(_) | Err(Fail::Status(AfcError::ObjectExists)) => {}
            Err(fail) => return Err(fail.into()),
        }
        let file = self.open_file(path, AfcFopenMode::WrOnly).await?;
        let written = self.write_all(file, content).await;
        let closed = self.close(file).await;
        let done = written.and(closed);
        if done.is_err() {
            // The first cause is what matters; a part that stays is replaced by the next try.
            match self.send(AfcOpcode::RemovePath, c_string(path)).await {
                Ok(_) | Err(Fail::Status(AfcError::ObjectNotFound)) => {}
                Err(fail) => {
                    let error = DeviceError::from(fail);
                    tracing::debug!(path, %error, "a part of a file stays on the phone");
                }
            }
        }
        done
    }

    async fn write_all(&mut self, file: Handle, content: &[u8]) -> Result<(), DeviceError> {
        for part in content.chunks(WRITE_BYTES) {
            let handle = file.0.to_le_bytes().to_vec();
            self.exchange(AfcOpcode::Write, handle, part.to_vec())
                .await?;
        }
        Ok(())
    }

    /// Reads a whole file of at most `len_max` bytes; `None` when it is absent or longer.
    async fn read_file(
        &mut self,
        path: &str,
        len_max: usize,
    ) -> Result<Option<Vec<u8>>, DeviceError> {
        let file = match self.open_file(path, AfcFopenMode::RdOnly).await {
            Ok(file) => file,
            Err(Fail::Status(error)) => {
                tracing::debug!(path, %error, "the phone has no such file");
                return Ok(None);
            }
            Err(Fail::Device(error)) => return Err(error),
        };
        let content = self.read_to_end(file, len_max).await;
        self.close(file).await?;
        content
    }

    async fn read_to_end(
        &mut self,
        file: Handle,
        len_max: usize,
    ) -> Result<Option<Vec<u8>>, DeviceError> {
        let mut content = Vec::new();
        loop {
            let part = self.read(file, CHUNK_BYTES).await?;
            if part.is_empty() {
                return Ok(Some(content));
            }
            if content.len() + part.len() > len_max {
                return Ok(None);
            }
            content.extend_from_slice(&part);
        }
    }

    async fn open_file(&mut self, path: &str, mode: AfcFopenMode) -> Result<Handle, Fail> {
        let mut request = (mode as u64).to_le_bytes().to_vec();
        request.extend_from_slice(&c_string(path));
        let packet = self.send(AfcOpcode::FileOpen, request).await?;
        let number = packet.header_payload.first_chunk::<8>();
        number
            .map(|bytes| Handle(u64::from_le_bytes(*bytes)))
            .ok_or_else(|| Fail::Device(misunderstood("an opened file without a handle")))
    }

    async fn lock_op(&mut self, file: Handle, operation: AfcLockOp) -> Result<AfcPacket, Fail> {
        let request = [file.0, operation as u64].map(u64::to_le_bytes).concat();
        self.send(AfcOpcode::FileLock, request).await
    }

    async fn send(&mut self, operation: AfcOpcode, request: Vec<u8>) -> Result<AfcPacket, Fail> {
        self.exchange(operation, request, Vec::new()).await
    }

    async fn exchange(
        &mut self,
        operation: AfcOpcode,
        request: Vec<u8>,
        payload: Vec<u8>,
    ) -> Result<AfcPacket, Fail> {
        if std::mem::replace(&mut self.unfinished, true) {
            return Err(Fail::Device(DeviceError::Service {
                service: SERVICE,
                reason: "an earlier question was not answered".into(),
            }));
        }
        let after = self.deadlines.request;
        let exchange = self.client.send_op(operation, request, payload);
        let result = tokio::time::timeout(after, exchange)
            .await
            .map_err(|_elapsed| {
                let what = SERVICE;
                Fail::Device(DeviceError::TimedOut { what, after })
            })?;
        match result {
            Ok(packet) => {
                self.unfinished = false;
                Ok(packet)
            }
            // These two are the library's own words for a packet that it did not read to its end.
            Err(IdeviceError::Afc(error))
                if error != AfcError::UnknownOpcode && error != AfcError::InvalidMagic =>
            {
                self.unfinished = false;
                Err(Fail::Status(error))
            }
            Err(error) => Err(Fail::Device(DeviceError::service(SERVICE)(error))),
        }
    }

    /// Reads a small file within the deadline for all inputs.
    pub(crate) async fn small_file(
        &mut self,
        path: &str,
        len_max: usize,
    ) -> Result<Option<Vec<u8>>, DeviceError> {
        let deadline = self.deadlines.inputs;
        within(SERVICE, deadline, self.read_file(path, len_max)).await
    }
}

fn c_string(path: &str) -> Vec<u8> {
    let mut bytes = path.as_bytes().to_vec();
    bytes.push(0);
    bytes
}

fn misunderstood(reason: &str) -> DeviceError {
    DeviceError::Protocol {
        what: SERVICE,
        reason: reason.to_owned(),
    }
}

/// Reads the pairs of name and value, each ended by a NUL, that describe a file.
fn parse_info(payload: &[u8]) -> Result<Info, DeviceError> {
    let mut words = payload.split(|byte| *byte == 0);
    let (mut kind, mut size, mut modified) = (None, None, None);
    while let (Some(name), Some(value)) = (words.next(), words.next()) {
        let number = || std::str::from_utf8(value).ok()?.parse::<u64>().ok();
        match name {
            b"st_ifmt" => {
                kind = Some(match value {
                    b"S_IFREG" => Kind::File,
                    b"S_IFDIR" => Kind::Directory,
                    _ => Kind::Other,
                });
            }
            b"st_size" => size = number(),
            b"st_mtime" => modified = number().map(Duration::from_nanos),
            _ => {}
        }
    }
    Ok(Info {
        kind: kind.ok_or_else(|| misunderstood("a file of no kind"))?,
        size: size.ok_or_else(|| misunderstood("a file without a size"))?,
        modified: modified.and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since)),
    })
}

#[cfg(test)]
mod tests {
    use super::{Info, Kind, parse_info};
    use std::time::{Duration, SystemTime};

    #[test]
    fn what_a_phone_tells_of_a_file() {
        let file =
            b"st_size\x0012345\0st_blocks\x0024\0st_nlink\x001\0st_ifmt\0S_IFREG\0st_mtime\x001500000000\0";
        let want = Info {
            kind: Kind::File,
            size: 12_345,
            modified: Some(SystemTime::UNIX_EPOCH + Duration::from_millis(1_500)),
        };
        assert_eq!(parse_info(file).unwrap(), want);
        let link = parse_info(b"st_ifmt\0S_IFLNK\0LinkTarget\0/etc\0st_size\x003\0").unwrap();
        assert_eq!((link.kind, link.modified), (Kind::Other, None));
        for bad in [
            &b""[..],
            b"\0\0\0",
            b"st_size\x001\0",
            b"st_ifmt\0S_IFREG\0st_size\0-1\0",
            b"st_ifmt\0S_IFREG\0st_size\099999999999999999999999\0",
            b"st_ifmt\0S_IFREG\0st_size",
        ] {
            assert!(parse_info(bad).is_err(), "{bad:?}");
        }
    }
}
