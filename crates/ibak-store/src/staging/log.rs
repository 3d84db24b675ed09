//! `received.log`: what a resume may trust.
//!
//! Lines are kept back until `syncfs` has made the files they speak of durable, and each carries
//! a checksum, so that a torn tail is seen. Tags: `R` received, `M` renamed, `G` gone, `F` the
//! phone could not send it.

use super::ledger::{Ledger, Received};
use crate::error::{Context, StoreError};
use crate::fs::util::{replace, write_all};
use crate::fs::{Errno, Fs, Open};
use crate::index::{hex, unhex};
use ibak_core::{BackupPath, Monotonic};
use std::time::Duration;

/// Bytes received between two checkpoints at most.
pub(super) const CHECKPOINT_BYTES: u64 = 1 << 30;
/// Time between two checkpoints at most.
pub(super) const CHECKPOINT_EVERY: Duration = Duration::from_secs(60);
/// Bytes of log lines held back at most.
const PENDING_MAX: usize = 8 << 20;
const NAME: &str = "received.log";

#[derive(Debug, Default)]
pub(super) struct ReceivedLog {
    pending: String,
    bytes: u64,
    last: Option<Monotonic>,
}

impl ReceivedLog {
    pub(super) fn received(&mut self, path: &BackupPath, received: &Received) {
        self.line(&format!(
            "R\t{}\t{}\t{}",
            received.size,
            hex(&received.hash),
            spell(path)
        ));
        self.bytes = self.bytes.saturating_add(received.size);
    }

    pub(super) fn renamed(&mut self, from: &BackupPath, to: &BackupPath, is_dir: bool) {
        self.line(&format!(
            "M\t{}\t{}\t{}",
            if is_dir { "d" } else { "f" },
            spell(from),
            spell(to)
        ));
    }

    pub(super) fn gone(&mut self, path: &BackupPath, is_dir: bool) {
        self.line(&format!(
            "G\t{}\t{}",
            if is_dir { "d" } else { "f" },
            spell(path)
        ));
    }

    pub(super) fn failed(&mut self, path: &BackupPath) {
        self.line(&format!("F\t{}", spell(path)));
    }

    fn line(&mut self, body: &str) {
        self.pending.push_str(&sealed(body));
    }

    /// Returns the bytes that the next flush adds to the log.
    pub(super) fn pending_bytes(&self) -> u64 {
        u64::try_from(self.pending.len()).unwrap_or(u64::MAX)
    }

    /// Says whether enough came in since the last checkpoint.
    pub(super) fn is_due(&mut self, now: Monotonic) -> bool {
        let last = *self.last.get_or_insert(now);
        let waited = now.saturating_since(last) >= CHECKPOINT_EVERY && !self.pending.is_empty();
        waited || self.bytes >= CHECKPOINT_BYTES || self.pending.len() >= PENDING_MAX
    }

    /// Writes the lines; what they speak of is durable already.
    pub(super) fn flush<F: Fs>(
        &mut self,
        fs: &F,
        dir: &F::Handle,
        now: Monotonic,
    ) -> Result<(), StoreError> {
        if !self.pending.is_empty() {
            let file = fs.open(dir, NAME, Open::Append).at("open", NAME)?;
            write_all(fs, &file, self.pending.as_bytes()).at("write", NAME)?;
            fs.sync(&file).at("sync", NAME)?;
            fs.close(file).at("close", NAME)?;
            self.pending.clear();
        }
        self.bytes = 0;
        self.last = Some(now);
        Ok(())
    }

    /// Begins a log that says exactly what a ledger says.
    pub(super) fn restart<F: Fs>(
        fs: &F,
        dir: &F::Handle,
        ledger: &Ledger,
    ) -> Result<Self, StoreError> {
        let mut log = Self::default();
        for (path, received) in ledger.iter() {
            log.received(&path, &received);
        }
        for path in ledger.failed() {
            log.failed(path);
        }
        replace(fs, dir, NAME, log.pending.as_bytes()).at("write", NAME)?;
        Ok(Self::default())
    }
}

/// Returns the bytes of everything a log says was received.
pub(crate) fn logged_bytes<F: Fs>(fs: &F, dir: &F::Handle) -> Result<u64, StoreError> {
    let ledger = replay(fs, dir)?;
    Ok(ledger
        .iter()
        .fold(0, |sum, (_, received)| received.size.saturating_add(sum)))
}

/// Reads a log up to the first line that is not whole.
pub(super) fn replay<F: Fs>(fs: &F, dir: &F::Handle) -> Result<Ledger, StoreError> {
    use std::io::{BufRead, BufReader, Read};
    let mut ledger = Ledger::default();
    let file = match fs.open(dir, NAME, Open::Read) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(ledger),
        Err(errno) => return Err(errno).at("open", NAME),
    };
    let mut lines = BufReader::new(crate::fs::util::Reading {
        fs: fs.clone(),
        file,
    });
    let mut line = Vec::new();
    loop {
        line.clear();
        (&mut lines)
            .take(8192)
            .read_until(b'\n', &mut line)
            .map_err(|error| {
                let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
                StoreError::System {
                    action: "read",
                    path: NAME.to_owned(),
                    errno,
                }
            })?;
        let body = std::str::from_utf8(&line).ok().and_then(opened);
        if body.and_then(|body| apply(&mut ledger, body)).is_none() {
            return Ok(ledger);
        }
    }
}

fn apply(ledger: &mut Ledger, body: &str) -> Option<()> {
    let fields: Vec<&str> = body.split('\t').collect();
    match *fields.as_slice() {
        ["R", size, hash, path] => {
            ledger.set(
                &unspell(path)?,
                Received {
                    size: size.parse().ok()?,
                    hash: unhex(hash)?,
                },
            );
        }
        ["M", kind, from, to] => ledger.rename(&unspell(from)?, &unspell(to)?, kind == "d"),
        ["G", kind, path] => ledger.forget(&unspell(path)?, kind == "d"),
        ["F", path] => ledger.fail(&unspell(path)?),
        _ => return None,
    }
    Some(())
}

fn seal(body: &str) -> String {
    hex(blake3::hash(body.as_bytes())
        .as_bytes()
        .get(..4)
        .unwrap_or_default())
}

fn sealed(body: &str) -> String {
    format!("{}\t{body}\n", seal(body))
}

fn opened(line: &str) -> Option<&str> {
    let (check, body) = line.strip_suffix('\n')?.split_once('\t')?;
    (check == seal(body)).then_some(body)
}

fn spell(path: &BackupPath) -> String {
    match path {
        BackupPath::Tree(path) => format!("tree/{path}"),
        BackupPath::Scratch(path) => format!("scratch/{path}"),
    }
}

fn unspell(text: &str) -> Option<BackupPath> {
    if let Some(path) = text.strip_prefix("tree/") {
        return Some(BackupPath::Tree(path.to_owned()));
    }
    text.strip_prefix("scratch/")
        .map(|path| BackupPath::Scratch(path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_or_altered_line_is_not_taken() {
        let line = sealed("F\ttree/ab");
        assert_eq!(opened(&line), Some("F\ttree/ab"));
        assert_eq!(opened(line.trim_end()), None);
        assert_eq!(opened(&line.replace("ab", "ac")), None);
        assert_eq!(opened("\0\0\0\n"), None);
        assert_eq!(opened(""), None);
    }

    #[test]
    fn checkpoints_come_by_time_and_by_size() {
        let at = |secs| Monotonic::new(Duration::from_secs(secs));
        let path = BackupPath::Tree("Manifest.db".into());
        let mut log = ReceivedLog::default();
        assert!(!log.is_due(at(5)));
        log.received(
            &path,
            &Received {
                size: 1,
                hash: [0; 32],
            },
        );
        assert!(!log.is_due(at(64)));
        assert!(log.is_due(at(65)));
        log.received(
            &path,
            &Received {
                size: CHECKPOINT_BYTES,
                hash: [0; 32],
            },
        );
        assert!(log.is_due(at(6)));
    }
}
