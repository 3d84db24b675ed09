//! The phone's file service, as far as a backup needs it: one lock and a few small files.
//!
//! Uses the library's packets and not its file handles, which keep futures of themselves.

use crate::guard::{Framing, PlistGuard};
use crate::wire::within;
use crate::{Deadlines, DeviceError, Escrow, Session};
use ibak_core::plist_guard::Limits;
use idevice::afc::AfcClient;
use idevice::afc::errors::AfcError;
use idevice::afc::opcode::{AfcFopenMode, AfcLockOp, AfcOpcode};
use idevice::afc::packet::AfcPacket;
use idevice::{Idevice, IdeviceError};

pub(super) const SERVICE: &str = "com.apple.afc";
/// Bytes asked for at a time.
const CHUNK: u64 = 256 << 10;

/// An open file of the phone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Handle(u64);

/// Whether a lock was got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lock {
    Taken,
    Busy,
}

#[derive(Debug)]
pub(super) struct Afc {
    client: AfcClient,
    deadlines: Deadlines,
}

impl Afc {
    pub(super) async fn open(session: &mut Session) -> Result<Self, DeviceError> {
        let service = session.start_service(SERVICE, Escrow::No).await?;
        let guarded = PlistGuard::new(service.stream, Framing::Afc, Limits::MESSAGE);
        let client = AfcClient::new(Idevice::new(Box::new(guarded), "ibak"));
        Ok(Self {
            client,
            deadlines: *session.deadlines(),
        })
    }

    /// Opens a file for reading and writing, making it when it is absent.
    pub(super) async fn open_read_write(&mut self, path: &str) -> Result<Handle, DeviceError> {
        self.open_file(path, AfcFopenMode::Rw)
            .await
            .map_err(DeviceError::service(SERVICE))
    }

    /// Asks for the only lock on a file.
    pub(super) async fn lock(&mut self, file: Handle) -> Result<Lock, DeviceError> {
        match self.lock_op(file, AfcLockOp::ExclusiveLock).await {
            Ok(_) => Ok(Lock::Taken),
            Err(IdeviceError::Afc(AfcError::OpWouldBlock)) => Ok(Lock::Busy),
            Err(error) => Err(DeviceError::service(SERVICE)(error)),
        }
    }

    pub(super) async fn unlock(&mut self, file: Handle) -> Result<(), DeviceError> {
        self.lock_op(file, AfcLockOp::Unlock)
            .await
            .map(drop)
            .map_err(DeviceError::service(SERVICE))
    }

    pub(super) async fn close(&mut self, file: Handle) -> Result<(), DeviceError> {
        let sent = self
            .send(AfcOpcode::FileClose, file.0.to_le_bytes().to_vec())
            .await;
        sent.map(drop).map_err(DeviceError::service(SERVICE))
    }

    /// Reads a whole file of at most `len_max` bytes; `None` when it is absent or longer.
    pub(super) async fn read_file(
        &mut self,
        path: &str,
        len_max: usize,
    ) -> Result<Option<Vec<u8>>, DeviceError> {
        let file = match self.open_file(path, AfcFopenMode::RdOnly).await {
            Ok(file) => file,
            Err(IdeviceError::Afc(error)) => {
                tracing::debug!(path, %error, "the phone has no such file");
                return Ok(None);
            }
            Err(error) => return Err(DeviceError::service(SERVICE)(error)),
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
            let request = [file.0.to_le_bytes(), CHUNK.to_le_bytes()].concat();
            let packet = self
                .send(AfcOpcode::Read, request)
                .await
                .map_err(DeviceError::service(SERVICE))?;
            if packet.payload.is_empty() {
                return Ok(Some(content));
            }
            if content.len() + packet.payload.len() > len_max {
                return Ok(None);
            }
            content.extend_from_slice(&packet.payload);
        }
    }

    async fn open_file(&mut self, path: &str, mode: AfcFopenMode) -> Result<Handle, IdeviceError> {
        let mut request = (mode as u64).to_le_bytes().to_vec();
        request.extend_from_slice(path.as_bytes());
        request.push(0);
        let packet = self.send(AfcOpcode::FileOpen, request).await?;
        let number = packet.header_payload.first_chunk::<8>();
        number
            .map(|bytes| Handle(u64::from_le_bytes(*bytes)))
            .ok_or_else(|| {
                IdeviceError::UnexpectedResponse("an opened file without a handle".into())
            })
    }

    async fn lock_op(
        &mut self,
        file: Handle,
        operation: AfcLockOp,
    ) -> Result<AfcPacket, IdeviceError> {
        let request = [file.0.to_le_bytes(), (operation as u64).to_le_bytes()].concat();
        self.send(AfcOpcode::FileLock, request).await
    }

    async fn send(
        &mut self,
        operation: AfcOpcode,
        request: Vec<u8>,
    ) -> Result<AfcPacket, IdeviceError> {
        let exchange = self.client.send_op(operation, request, Vec::new());
        match tokio::time::timeout(self.deadlines.request, exchange).await {
            Ok(result) => result,
            Err(_elapsed) => Err(IdeviceError::Timeout),
        }
    }

    /// Reads a small file within the deadline for all inputs.
    pub(super) async fn small_file(
        &mut self,
        path: &str,
        len_max: usize,
    ) -> Result<Option<Vec<u8>>, DeviceError> {
        let deadline = self.deadlines.inputs;
        within(SERVICE, deadline, self.read_file(path, len_max)).await
    }
}
