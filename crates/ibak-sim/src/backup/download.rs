//! DLMessageDownloadFiles: the phone reads files of the host.

use std::io::Write;
use std::time::Duration;

use plist::Value;
use sha1::{Digest, Sha1};
use tokio::io::{AsyncRead, AsyncWrite};

use super::BackupError;
use super::link::{Stop, integer, nothing};
use super::quirks::Quirk;
use super::refusal::Refusal;
use super::restore::Intake;
use super::session::Session;

/// Larger frames than this make the backup agent exceed its memory limit on a large file (corpus 17).
pub(super) const FRAME_BYTES_WISE: usize = 32 << 10;
/// Frames of 128 MiB got the agent killed (corpus 17).
const FRAME_BYTES_MAX: usize = 128 << 20;
const PLIST_BYTES_MAX: usize = 16 << 20;
const PATH_BYTES_MAX: usize = 4 << 10;
const ENOENT: i64 = -6;

/// Where a downloaded file goes.
pub(super) enum Sink {
    /// A property list, at most 16 MiB.
    Memory(Vec<u8>),
    /// Manifest.db.
    File(std::fs::File),
    /// Only its SHA-1 is wanted.
    Digest(Sha1),
    /// A file of a restore.
    Restored(Box<Intake>),
}

impl Sink {
    pub(super) fn digest() -> Self {
        Self::Digest(Sha1::new())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        match self {
            Self::Memory(memory) if memory.len() + bytes.len() > PLIST_BYTES_MAX => {
                return Err(BackupError::Protocol(
                    "a property list of more than 16 MiB".into(),
                ));
            }
            Self::Memory(memory) => memory.extend_from_slice(bytes),
            Self::File(file) => file.write_all(bytes)?,
            Self::Digest(hash) => hash.update(bytes),
            Self::Restored(intake) => intake.write(bytes)?,
        }
        Ok(())
    }
}

/// What came of one file.
pub(super) enum Fetched {
    Whole(Sink),
    /// The host could not send it, with its code.
    Failed(i64),
}

impl Fetched {
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Failed(ENOENT))
    }

    pub(super) fn bytes(self) -> Option<Vec<u8>> {
        match self {
            Self::Whole(Sink::Memory(bytes)) => Some(bytes),
            Self::Whole(Sink::File(_) | Sink::Digest(_) | Sink::Restored(_)) | Self::Failed(_) => {
                None
            }
        }
    }

    pub(super) fn sha1(self) -> Option<[u8; 20]> {
        match self {
            Self::Whole(Sink::Digest(hash)) => Some(hash.finalize().into()),
            Self::Whole(Sink::File(_) | Sink::Memory(_) | Sink::Restored(_)) | Self::Failed(_) => {
                None
            }
        }
    }
}

enum Progress {
    Pending(Sink),
    Whole(Sink),
    Failed,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<'_, S> {
    /// Downloads files, by one message, or by one each with the quirk.
    pub(super) async fn download(
        &mut self,
        files: Vec<(String, Sink)>,
        progress: Value,
    ) -> Result<Vec<Fetched>, Stop> {
        if files.is_empty() || !self.host.quirks().has(Quirk::DownloadsOneByOne) {
            return self.download_together(files, progress).await;
        }
        let mut fetched = Vec::new();
        for file in files {
            fetched.extend(self.download_together(vec![file], progress.clone()).await?);
        }
        Ok(fetched)
    }

    async fn download_together(
        &mut self,
        files: Vec<(String, Sink)>,
        progress: Value,
    ) -> Result<Vec<Fetched>, Stop> {
        let (paths, sinks): (Vec<String>, Vec<Sink>) = files.into_iter().unzip();
        let paths: Vec<String> = paths.iter().map(|path| self.host_path(path)).collect();
        let list = Value::Array(paths.iter().map(|path| path.as_str().into()).collect());
        self.link
            .send(vec![
                "DLMessageDownloadFiles".into(),
                list,
                nothing(),
                progress,
                0.into(),
            ])
            .await?;
        let mut states: Vec<Progress> = sinks.into_iter().map(Progress::Pending).collect();
        loop {
            let len = self.link.read_u32().await? as usize;
            if len == 0 {
                break;
            }
            let name = self.read_text(len).await?;
            let at = paths.iter().position(|path| *path == name);
            let Some(state) = at.and_then(|at| states.get_mut(at)) else {
                return Err(BackupError::Protocol(format!("\"{name}\" was not asked for")).into());
            };
            let Progress::Pending(mut sink) = std::mem::replace(state, Progress::Failed) else {
                return Err(BackupError::Protocol(format!("\"{name}\" came twice")).into());
            };
            if self.receive_file(&mut sink).await? {
                *state = Progress::Whole(sink);
            }
        }
        let reply = self.link.reply().await?;
        if reply.code != 0 && reply.code != -13 {
            let first = paths.first().map_or("", String::as_str);
            return Err(
                Refusal::reading_properties(first, &format!("Error {}", reply.code)).into(),
            );
        }
        let failures = reply.value.as_dictionary();
        let fetched = states.into_iter().zip(&paths).map(|(state, path)| {
            let failure = failures
                .and_then(|failures| failures.get(path))
                .and_then(Value::as_dictionary)
                .and_then(|failure| failure.get("DLFileErrorCode"))
                .and_then(integer);
            match (state, failure) {
                (Progress::Whole(sink), None) => Fetched::Whole(sink),
                (Progress::Whole(_) | Progress::Pending(_) | Progress::Failed, code) => {
                    Fetched::Failed(code.unwrap_or(-1))
                }
            }
        });
        Ok(fetched.collect())
    }

    async fn read_text(&mut self, len: usize) -> Result<String, BackupError> {
        if len > PATH_BYTES_MAX {
            return Err(BackupError::Protocol(format!(
                "a text of {len} bytes in a file transfer"
            )));
        }
        let mut bytes = vec![0; len];
        self.link.read_exact(&mut bytes).await?;
        String::from_utf8(bytes)
            .map_err(|_| BackupError::Protocol("a text that is not UTF-8".into()))
    }

    /// Receives the blocks of one file; returns whether it came whole.
    async fn receive_file(&mut self, sink: &mut Sink) -> Result<bool, BackupError> {
        let mut buffer = vec![0; FRAME_BYTES_WISE];
        loop {
            let len = self.link.read_u32().await? as usize;
            let Some(mut left) = len.checked_sub(1) else {
                return Err(BackupError::Protocol("a block without a code".into()));
            };
            match self.link.read_u8().await? {
                0x0c => {
                    self.judge_frame(left)?;
                    while left > 0 {
                        let n = left.min(buffer.len());
                        let Some(part) = buffer.get_mut(..n) else {
                            break;
                        };
                        self.link.read_exact(part).await?;
                        sink.write(part)?;
                        left -= n;
                        if self.throttled
                            && let Some(rate) = self.host.upload_rate()
                        {
                            let secs = n as f64 / rate.max(1) as f64;
                            tokio::time::sleep(Duration::from_secs_f64(secs)).await;
                        }
                    }
                }
                0x00 if left == 0 => return Ok(true),
                0x06 | 0x0b => {
                    let text = self.read_text(left).await?;
                    tracing::debug!(%text, "the host could not send a file");
                    return Ok(false);
                }
                code => {
                    return Err(BackupError::Protocol(format!(
                        "a block with code {code:#04x}"
                    )));
                }
            }
        }
    }

    fn judge_frame(&mut self, data_len: usize) -> Result<(), BackupError> {
        if data_len <= FRAME_BYTES_WISE {
            return Ok(());
        }
        self.end.large_frames += 1;
        if data_len >= FRAME_BYTES_MAX || self.host.quirks().has(Quirk::FrameStrict) {
            return Err(BackupError::Protocol(format!(
                "the backup agent was killed: a frame of {data_len} bytes"
            )));
        }
        Ok(())
    }
}
