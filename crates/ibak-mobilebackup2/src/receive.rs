//! Taking a batch of files from the phone.
//!
//! After a failure the rest of the batch is read and thrown away, since only its end is a place
//! to answer; the budget of bytes and files bounds that too.

use crate::batch::{Batch, Step};
use crate::link::{Stop, Wait};
use crate::message;
use crate::session::Session;
use crate::text::sanitise;
use crate::{RemoteError, Stats, Vault, VaultError, VaultErrorKind};
use ibak_core::BackupPath;
use plist::Value;
use tokio::io::{AsyncRead, AsyncWrite};

/// A block of a file's content follows.
const CODE_DATA: u8 = 0x0c;
/// The file is complete.
const CODE_DONE: u8 = 0x00;
/// The file ended in an error on the sender's side; text follows.
const CODE_LOCAL_ERROR: u8 = 0x06;
/// The file ended in an error on the receiver's side; text follows.
const CODE_REMOTE_ERROR: u8 = 0x0b;

/// How many characters of an error text are kept.
const TEXT_CHARS_MAX: usize = 256;

/// What became of one file's content.
enum FileEnd {
    Done,
    Failed(String),
}

impl<S, V> Session<'_, S, V>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    V: Vault,
{
    /// Takes a batch and returns the answer.
    pub(crate) async fn receive_files(&mut self, announced_bytes: u64) -> Result<Value, Stop> {
        self.has_uploaded = true;
        let was_poisoned = self.poison.is_some();
        self.progress.begin_batch(announced_bytes);
        let mut batch = self.writer.buffer().await?;
        loop {
            let device_name_len = self.name_length().await?;
            if device_name_len == 0 {
                break;
            }
            let device_name = lossy(self.link.take(device_name_len, Wait::Transfer).await?);
            let name_len = self.name_length().await?;
            let parsed = match std::str::from_utf8(self.link.take(name_len, Wait::Transfer).await?)
            {
                Ok(name) => BackupPath::parse(name, &self.request.udid)
                    .map_err(|error| format!("{error}: \"{}\"", sanitise(name, 128))),
                Err(_) => Err("the phone sent a name that is not UTF-8".to_owned()),
            };
            self.files_begun += 1;
            if self.files_begun > self.limits.files_max {
                return Err(Stop::Protocol("the phone sent too many files".into()));
            }
            batch = self.receive_file(batch, parsed, &device_name).await?;
        }
        self.writer.submit(batch).await?;
        if let Err(mut error) = self.writer.settle().await? {
            // A file that was promised is not there. Files are refused only after those that
            // were kept, so this came first.
            error.poisons = true;
            if !was_poisoned {
                self.poison = None;
            }
            self.note(error);
        }
        Ok(match &self.poison {
            None => message::status_ok(message::nothing()),
            Some(error) => message::status_error(error),
        })
    }

    async fn receive_file(
        &mut self,
        mut batch: Batch,
        parsed: Result<BackupPath, String>,
        device_name: &str,
    ) -> Result<Batch, Stop> {
        let keep = match parsed {
            Ok(BackupPath::Tree(inner)) if inner.is_empty() => {
                self.refuse("the phone sent a file in place of its folder");
                false
            }
            Ok(path) if self.poison.is_none() => {
                batch.steps.push(Step::Create(path));
                true
            }
            Ok(_) => false,
            Err(words) => {
                self.refuse(words);
                false
            }
        };
        let end = self.receive_content(&mut batch, keep).await?;
        match (&end, keep) {
            (FileEnd::Done, true) => {
                batch.steps.push(Step::Finish);
                self.stats.files_received += 1;
                self.progress.received_file();
            }
            (FileEnd::Failed(text), true) => batch.steps.push(Step::Abandon(text.clone())),
            (FileEnd::Done | FileEnd::Failed(_), false) => {}
        }
        if let FileEnd::Failed(text) = end {
            self.stats.files_failed += 1;
            tracing::debug!(device_name, text, "the phone could not send a file");
            if self.stats.remote_errors.len() < Stats::REMOTE_ERRORS_MAX {
                self.stats.remote_errors.push(RemoteError {
                    file: device_name.to_owned(),
                    text,
                });
            }
        }
        if batch.is_full() {
            batch = self.exchange(batch).await?;
        }
        Ok(batch)
    }

    /// Takes the blocks of one file up to its last code.
    async fn receive_content(&mut self, batch: &mut Batch, keep: bool) -> Result<FileEnd, Stop> {
        loop {
            let len = self.length().await?;
            let code = match self.link.take(usize::from(len > 0), Wait::Transfer).await? {
                [code] => *code,
                _ => {
                    return Err(Stop::Protocol(
                        "the phone sent a block without a code".into(),
                    ));
                }
            };
            let len = len - 1;
            match code {
                CODE_DATA => self.receive_block(batch, len, keep).await?,
                CODE_DONE => {
                    self.receive_text(len).await?;
                    return Ok(FileEnd::Done);
                }
                CODE_LOCAL_ERROR | CODE_REMOTE_ERROR => {
                    return Ok(FileEnd::Failed(self.receive_text(len).await?));
                }
                code => {
                    return Err(Stop::Protocol(format!(
                        "the phone sent a block with code {code:#04x}"
                    )));
                }
            }
        }
    }

    /// Takes one block in slices of what has arrived, whatever its header claims.
    async fn receive_block(
        &mut self,
        batch: &mut Batch,
        len: usize,
        keep: bool,
    ) -> Result<(), Stop> {
        let mut missing = len;
        while missing > 0 {
            let keep = keep && !self.writer.has_failed();
            if keep && batch.is_full() {
                let full = std::mem::take(batch);
                *batch = self.exchange(full).await?;
            }
            let some = self.link.some(Wait::Transfer).await?;
            let mut slice = some.get(..missing.min(some.len())).unwrap_or_default();
            if keep {
                slice = slice
                    .get(..batch.room().min(slice.len()))
                    .unwrap_or_default();
                batch.append(slice);
            }
            let len = slice.len();
            self.link.consume(len);
            missing -= len;
            self.count(len)?;
        }
        Ok(())
    }

    fn count(&mut self, len: usize) -> Result<(), Stop> {
        let len = u64::try_from(len).unwrap_or(u64::MAX);
        self.stats.bytes_received = self.stats.bytes_received.saturating_add(len);
        self.progress.received(len);
        if self.stats.bytes_received > self.limits.bytes_max {
            return Err(Stop::Protocol(format!(
                "the phone sent more than {} bytes",
                self.limits.bytes_max
            )));
        }
        Ok(())
    }

    /// Takes the text behind a last code, keeping its beginning.
    async fn receive_text(&mut self, len: usize) -> Result<String, Stop> {
        if len > self.limits.error_text_bytes_max {
            return Err(Stop::Protocol(format!(
                "the phone sent an error text of {len} bytes"
            )));
        }
        let mut text = String::new();
        let mut missing = len;
        while missing > 0 {
            let part = missing.min(4 * TEXT_CHARS_MAX);
            let bytes = self.link.take(part, Wait::Transfer).await?;
            if text.is_empty() {
                text = lossy(bytes);
            }
            missing -= part;
        }
        Ok(text)
    }

    async fn name_length(&mut self) -> Result<usize, Stop> {
        let len = self.length().await?;
        if len > self.limits.name_bytes_max {
            return Err(Stop::Protocol(format!(
                "the phone sent a name of {len} bytes"
            )));
        }
        Ok(len)
    }

    /// Gives a full buffer to the vault's thread and takes an empty one.
    async fn exchange(&mut self, full: Batch) -> Result<Batch, Stop> {
        self.writer.submit(full).await?;
        Ok(self.writer.buffer().await?)
    }

    fn refuse(&mut self, words: impl Into<String>) {
        self.note(VaultError::poisoning(VaultErrorKind::Refused, words));
    }
}

fn lossy(bytes: &[u8]) -> String {
    sanitise(&String::from_utf8_lossy(bytes), TEXT_CHARS_MAX)
}
