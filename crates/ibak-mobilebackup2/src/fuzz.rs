//! Ways in for the fuzzer: a phone's bytes in memory, everything else as in earnest.
//!
//! Each function must end by itself, must not panic, and takes no more memory than its limits say,
//! whatever the bytes are.

use crate::message::Message;
use crate::{
    Deed, Ended, Entry, EntryKind, Hooks, Limits, Outcome, Request, RestoreOptions, Vault,
    VaultError, VaultErrorKind, converse,
};
use ibak_core::{BackupPath, Udid, plist_guard};
use std::io::Read;
use std::time::{Duration, SystemTime};
use tokio_util::sync::CancellationToken;

/// The folder that every path of a conversation names.
pub const UDID: &str = "00008030-001A2B3C4D5E6F70";
/// Size of a file the vault gives, in bytes: several frames.
const FILE_BYTES: u64 = 100_000;
/// Bytes the vault gives in all; later files are empty, so that a short script ends soon.
const SHELF_BYTES: u64 = 2_000_000;

/// Parses one message.
pub fn message(payload: &[u8]) {
    drop(Message::parse(payload, &plist_guard::Limits::MESSAGE));
}

/// Holds a whole conversation with a phone that says `bytes` and hangs up. The first byte chooses
/// the deed.
pub fn devicelink(bytes: &[u8]) {
    let outcome = conversation(bytes);
    tracing::trace!(?outcome, "the fuzzer's conversation");
}

/// The same, and says how it ended; `None` when it did not begin.
pub fn conversation(bytes: &[u8]) -> Option<Outcome> {
    let (choice, script) = bytes.split_first()?;
    let udid = Udid::parse(UDID).ok()?;
    let request = Request {
        udid,
        folder: UDID.into(),
        target: UDID.into(),
        deed: deed(*choice),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .ok()?;
    let stream = tokio::io::join(script, tokio::io::sink());
    let cancel = CancellationToken::new();
    let limits = limits();
    let shelf = Shelf { left: SHELF_BYTES };
    let talk = converse(stream, shelf, request, Hooks::default(), &limits, cancel);
    let Ended { outcome, .. } = runtime.block_on(talk);
    Some(outcome)
}

fn deed(choice: u8) -> Deed {
    match choice % 4 {
        0 => Deed::Backup { full: false },
        1 => Deed::Restore(RestoreOptions {
            system_files: true,
            reboot: true,
            copy: false,
            preserve_settings: true,
            remove_others: false,
            password: None,
        }),
        2 => Deed::ChangePassword {
            old: None,
            new: None,
        },
        _ => Deed::EnableCloudBackup { on: true },
    }
}

fn limits() -> Limits {
    let mut limits = Limits {
        message_bytes_max: 16 << 10,
        large_message_bytes_max: 32 << 10,
        files_max: 10_000,
        bytes_max: 4 << 20,
        messages_max: 10_000,
        buffers: 3,
        ..Limits::default()
    };
    limits.timeouts.farewell = Duration::from_millis(10);
    limits
}

/// A vault that takes everything, keeps nothing, and has a file under every name.
struct Shelf {
    left: u64,
}

impl Vault for Shelf {
    fn free_space(&mut self) -> Result<u64, VaultError> {
        Ok(1 << 40)
    }

    fn purge(&mut self, amount: u64, _: u64) -> Result<u64, VaultError> {
        Ok(amount)
    }

    fn list(&mut self, dir: &BackupPath) -> Result<Vec<Entry>, VaultError> {
        let entry = |name: &str, kind| Entry {
            name: name.into(),
            kind,
            size: 1,
            modified: SystemTime::UNIX_EPOCH,
        };
        Ok(vec![
            entry(dir.as_str(), EntryKind::Regular),
            entry("x", EntryKind::Directory),
        ])
    }

    fn create_dir(&mut self, dir: &BackupPath) -> Result<(), VaultError> {
        if dir.as_str() == "Snapshot" {
            return Err(VaultError::new(VaultErrorKind::Exists, "it is there"));
        }
        Ok(())
    }

    fn rename(&mut self, _: &BackupPath, _: &BackupPath) -> Result<(), VaultError> {
        Ok(())
    }

    fn remove(&mut self, _: &BackupPath) -> Result<(), VaultError> {
        Ok(())
    }

    fn copy(&mut self, _: &BackupPath, _: &BackupPath) -> Result<(), VaultError> {
        Ok(())
    }

    fn open(&mut self, path: &BackupPath) -> Result<Box<dyn Read + Send>, VaultError> {
        if path.as_str() == "Info.plist" {
            return Err(VaultError::new(VaultErrorKind::NotFound, "it is not there"));
        }
        let size = FILE_BYTES.min(self.left);
        self.left -= size;
        Ok(Box::new(std::io::repeat(b'x').take(size)))
    }

    fn create(&mut self, _: &BackupPath) -> Result<(), VaultError> {
        Ok(())
    }

    fn write(&mut self, _: &[u8]) -> Result<(), VaultError> {
        Ok(())
    }

    fn finish(&mut self) -> Result<(), VaultError> {
        Ok(())
    }

    fn abandon(&mut self, _: Option<&str>) -> Result<(), VaultError> {
        Ok(())
    }
}
