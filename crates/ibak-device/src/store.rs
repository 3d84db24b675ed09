//! Our own pairing records: a directory closed to others, one closed file a phone.
//!
//! Once a record is here, usbmuxd's is never read again: its socket is open to every local
//! user on most systems, and whoever can replace a record there would choose whom we believe.

use crate::mux::{Attachment, MuxAddress, MuxClient};
use crate::{Deadlines, DeviceError, MuxRefusal, PairRecord};
use ibak_core::{Transport, Udid};
use rustix::fs::{AtFlags, Mode, OFlags};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Longest record that is read, in bytes; real ones have about 10 000.
const RECORD_LEN_MAX: u64 = 1 << 20;
const SYSTEM_BUID: &str = "SystemBUID";

/// What an import found.
#[derive(Debug)]
pub enum Imported {
    /// There was a record of ours already; usbmuxd was not asked.
    AlreadyOurs(PairRecord),
    /// usbmuxd's record was copied and is ours from here on.
    FromUsbmuxd(PairRecord),
    /// usbmuxd has none either.
    None,
}

/// The directory of our pairing records.
#[derive(Debug)]
pub struct PairStore {
    dir: OwnedFd,
    path: PathBuf,
}

impl PairStore {
    /// Opens the directory, making it when it is absent. Blocking, as all of this type, for
    /// the time of reading a small file.
    ///
    /// # Errors
    /// [`DeviceError::StoreOpen`] when it is not ours alone.
    pub fn open(path: &Path) -> Result<Self, DeviceError> {
        let fail = |source| DeviceError::Store {
            path: path.to_owned(),
            source,
        };
        match std::fs::DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(fail(error)),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir =
            rustix::fs::open(path, flags, Mode::empty()).map_err(|error| fail(error.into()))?;
        let stat = File::from(dir.try_clone().map_err(fail)?)
            .metadata()
            .map_err(fail)?;
        if stat.mode() & 0o077 != 0 || stat.uid() != rustix::process::geteuid().as_raw() {
            return Err(DeviceError::StoreOpen {
                path: path.to_owned(),
                mode: stat.mode() & 0o7777,
            });
        }
        Ok(Self {
            dir,
            path: path.to_owned(),
        })
    }

    /// Lists the phones we have records of, in order.
    ///
    /// # Errors
    /// [`DeviceError::Store`] when the directory cannot be read.
    pub fn phones(&self) -> Result<Vec<Udid>, DeviceError> {
        let fail = |error: rustix::io::Errno| self.fail("", error.into());
        let mut phones = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.dir).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            phones.extend(
                name.strip_suffix(".plist")
                    .and_then(|stem| Udid::parse(stem).ok()),
            );
        }
        phones.sort();
        phones.dedup();
        Ok(phones)
    }

    /// Reads our record of a phone.
    ///
    /// # Errors
    /// [`DeviceError::BadRecord`] when the file is damaged; it is left as it is.
    pub fn load(&self, phone: &Udid) -> Result<Option<PairRecord>, DeviceError> {
        self.read(&file_name(phone))?
            .map(|bytes| PairRecord::parse(&bytes))
            .transpose()
    }

    /// Writes a record, replacing an older one as a whole or not at all.
    ///
    /// # Errors
    /// [`DeviceError::Store`] when it cannot be written.
    pub fn save(&self, phone: &Udid, record: &PairRecord) -> Result<(), DeviceError> {
        self.write(&file_name(phone), &record.to_plist()?)
    }

    /// Removes our record of a phone; false when there was none.
    ///
    /// # Errors
    /// [`DeviceError::Store`] when it cannot be removed.
    pub fn remove(&self, phone: &Udid) -> Result<bool, DeviceError> {
        let name = file_name(phone);
        let unlink = |name: &str| match rustix::fs::unlinkat(&self.dir, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::NOENT) => Ok(false),
            Err(error) => Err(self.fail(name, error.into())),
        };
        // A write that was cut short may have left a second copy.
        unlink(&temporary_name(&name))?;
        let was_there = unlink(&name)?;
        rustix::fs::fsync(&self.dir).map_err(|error| self.fail(&name, error.into()))?;
        Ok(was_there)
    }

    /// Takes over usbmuxd's record of a phone on the cable, unless there is one of ours.
    ///
    /// # Errors
    /// [`DeviceError::PairingNeedsCable`] for a phone on the network: there the record decides
    /// whom we believe, so it must not come from a muxer that others may speak through.
    pub async fn import(
        &self,
        address: &MuxAddress,
        phone: &Attachment,
        deadlines: &Deadlines,
    ) -> Result<Imported, DeviceError> {
        if let Some(record) = self.load(&phone.udid)? {
            return Ok(Imported::AlreadyOurs(record));
        }
        if phone.transport != Transport::Usb {
            return Err(DeviceError::PairingNeedsCable);
        }
        let mut client = MuxClient::open(address, deadlines).await?;
        let bytes = match client.read_pair_record(&phone.wire_udid).await {
            Ok(bytes) => bytes,
            // usbmuxd says 2 (ENOENT) for a record it does not have.
            Err(DeviceError::MuxRefused(MuxRefusal::BadDevice | MuxRefusal::Other(_))) => {
                return Ok(Imported::None);
            }
            Err(error) => return Err(error),
        };
        let record = PairRecord::parse(&bytes)?;
        self.save(&phone.udid, &record)?;
        Ok(Imported::FromUsbmuxd(record))
    }

    /// Returns this computer's id towards all phones, made once.
    ///
    /// # Errors
    /// [`DeviceError::Store`] when it can be neither read nor made.
    pub fn system_buid(&self) -> Result<String, DeviceError> {
        if let Some(bytes) = self.read(SYSTEM_BUID)? {
            let text = String::from_utf8_lossy(&bytes).trim().to_owned();
            return uuid::Uuid::parse_str(&text)
                .map(|_| text)
                .map_err(|_| DeviceError::BadRecord("the file SystemBUID holds no UUID"));
        }
        let id = uuid::Uuid::new_v4().to_string().to_uppercase();
        self.write(SYSTEM_BUID, id.as_bytes())?;
        Ok(id)
    }

    fn read(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, DeviceError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = match rustix::fs::openat(&self.dir, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(error) => return Err(self.fail(name, error.into())),
        };
        let mut bytes = Zeroizing::new(Vec::with_capacity(32 << 10));
        file.take(RECORD_LEN_MAX)
            .read_to_end(&mut bytes)
            .map_err(|error| self.fail(name, error))?;
        Ok(Some(bytes))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), DeviceError> {
        let temporary = temporary_name(name);
        let result = self.write_through(&temporary, name, bytes);
        if result.is_err() {
            // The first cause is what matters; an orphan is overwritten by the next try.
            if let Err(error) =
                rustix::fs::unlinkat(&self.dir, temporary.as_str(), AtFlags::empty())
            {
                tracing::debug!(%error, "an unfinished pairing record stays behind");
            }
        }
        result.map_err(|error| self.fail(name, error))
    }

    fn write_through(&self, temporary: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.dir, temporary, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let mut file = File::from(rustix::fs::openat(&self.dir, temporary, flags, mode)?);
        file.write_all(bytes)?;
        file.sync_all()?;
        rustix::fs::renameat(&self.dir, temporary, &self.dir, name)?;
        rustix::fs::fsync(&self.dir)?;
        Ok(())
    }

    fn fail(&self, name: &str, source: io::Error) -> DeviceError {
        DeviceError::Store {
            path: self.path.join(name),
            source,
        }
    }
}

fn temporary_name(name: &str) -> String {
    format!(".{name}.new")
}

fn file_name(phone: &Udid) -> String {
    format!("{phone}.plist")
}
