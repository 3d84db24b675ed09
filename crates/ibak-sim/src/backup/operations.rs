//! The file operations the phone asks the host for.

use std::collections::HashMap;

use plist::{Dictionary, Value};
use tokio::io::{AsyncRead, AsyncWrite};

use super::link::{Stop, integer, nothing};
use super::quirks::Quirk;
use super::refusal::{Operation, Refusal};
use super::session::Session;
use crate::content::FileId;

const EEXIST: i64 = -7;
const ENOENT: i64 = -6;

/// One entry of a host directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) directory: bool,
    /// Bytes.
    pub(super) size: u64,
}

/// Returns the 256 prefixes, `00` to `ff`.
pub(super) fn prefixes() -> impl DoubleEndedIterator<Item = String> {
    (0..=u8::MAX).map(|byte| format!("{byte:02x}"))
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<'_, S> {
    fn quirk(&self, quirk: Quirk) -> bool {
        self.host.quirks().has(quirk)
    }

    /// Spells a backup-relative path for the host.
    pub(super) fn host_path(&self, path: &str) -> String {
        if self.quirk(Quirk::AbsolutePaths) && !path.starts_with('/') {
            format!("/{path}")
        } else {
            path.to_owned()
        }
    }

    /// Creates a directory; one that exists is fine.
    pub(super) async fn create_directory(&mut self, path: &str) -> Result<(), Stop> {
        let path = self.host_path(path);
        let message = vec![
            "DLMessageCreateDirectory".into(),
            path.as_str().into(),
            nothing(),
            Value::Real(0.0),
        ];
        match self.link.ask(message).await?.code {
            0 | EEXIST => Ok(()),
            code => Err(Refusal::operation(Operation::Create, code, &path).into()),
        }
    }

    /// Lists a directory; one that does not exist is empty.
    pub(super) async fn list(&mut self, path: &str) -> Result<HashMap<String, Entry>, Stop> {
        let path = self.host_path(path);
        let message = vec![
            "DLContentsOfDirectory".into(),
            path.as_str().into(),
            nothing(),
            Value::Real(0.0),
        ];
        let reply = self.link.ask(message).await?;
        match reply.code {
            0 => {}
            ENOENT => return Ok(HashMap::new()),
            code => return Err(Refusal::operation(Operation::List, code, &path).into()),
        }
        let Some(listing) = reply.value.as_dictionary() else {
            return Err(Refusal::operation(Operation::List, -1, &path).into());
        };
        Ok(listing
            .iter()
            .filter_map(|(name, entry)| Some((name.clone(), parse_entry(entry)?)))
            .collect())
    }

    /// Lists the files below the prefixes of `base` that `present` shows.
    pub(super) async fn list_files(
        &mut self,
        base: &str,
        present: &HashMap<String, Entry>,
    ) -> Result<HashMap<FileId, u64>, Stop> {
        let mut names: Vec<String> = prefixes()
            .filter(|prefix| present.get(prefix).is_some_and(|entry| entry.directory))
            .collect();
        if self.quirk(Quirk::ListBackwards) {
            names.reverse();
        }
        let mut files = HashMap::new();
        for prefix in names {
            for (name, entry) in self.list(&format!("{base}/{prefix}")).await? {
                if let (false, Some(id)) = (entry.directory, FileId::parse(&name)) {
                    files.insert(id, entry.size);
                }
            }
        }
        Ok(files)
    }

    /// Moves files by one message.
    pub(super) async fn move_items(
        &mut self,
        items: Vec<(String, String)>,
        progress: f64,
    ) -> Result<(), Stop> {
        let name = if self.quirk(Quirk::MoveFiles) {
            "DLMessageMoveFiles"
        } else {
            "DLMessageMoveItems"
        };
        let first = items
            .first()
            .map(|(from, _)| self.host_path(from))
            .unwrap_or_default();
        let moves: Dictionary = items
            .into_iter()
            .map(|(from, to)| (self.host_path(&from), Value::String(self.host_path(&to))))
            .collect();
        let message = vec![
            name.into(),
            Value::Dictionary(moves),
            nothing(),
            Value::Real(progress),
        ];
        self.end.moves += 1;
        match self.link.ask(message).await?.code {
            0 => Ok(()),
            code => Err(Refusal::operation(Operation::Move, code, &first).into()),
        }
    }

    /// Copies one file.
    pub(super) async fn copy_item(
        &mut self,
        from: &str,
        to: &str,
        progress: f64,
    ) -> Result<(), Stop> {
        let (from, to) = (self.host_path(from), self.host_path(to));
        let message = vec![
            "DLMessageCopyItem".into(),
            from.as_str().into(),
            to.into(),
            Value::Real(progress),
        ];
        match self.link.ask(message).await?.code {
            0 => Ok(()),
            code => Err(Refusal::operation(Operation::Copy, code, &from).into()),
        }
    }

    /// Removes files or trees.
    pub(super) async fn remove_items(
        &mut self,
        paths: &[String],
        progress: f64,
    ) -> Result<(), Stop> {
        let name = if self.quirk(Quirk::MoveFiles) {
            "DLMessageRemoveFiles"
        } else {
            "DLMessageRemoveItems"
        };
        let list = paths
            .iter()
            .map(|path| self.host_path(path).into())
            .collect();
        let message = vec![
            name.into(),
            Value::Array(list),
            nothing(),
            Value::Real(progress),
        ];
        match self.link.ask(message).await?.code {
            0 | ENOENT => Ok(()),
            code => Err(Refusal::operation(
                Operation::Remove,
                code,
                paths.first().map_or("", String::as_str),
            )
            .into()),
        }
    }

    /// Asks for the host's free space, in bytes.
    async fn free_space(&mut self) -> Result<u64, Stop> {
        let reply = self
            .link
            .ask(vec!["DLMessageGetFreeDiskSpace".into()])
            .await?;
        match (reply.code, reply.value.as_unsigned_integer()) {
            (0, Some(free)) => Ok(free),
            (_, _) => Err(Refusal::no_space().into()),
        }
    }

    /// Makes sure that the host has room: more than the upload and 128 MiB (corpus 11).
    ///
    /// From iOS 14 the host is asked to purge, and its free space is read again if it did.
    pub(super) async fn claim_space(&mut self, upload_bytes: u64) -> Result<(), Stop> {
        const HEADROOM_BYTES: u64 = 128 << 20;
        const PURGE_EXTRA_BYTES: u64 = 2 << 30;
        const HUGE_BYTES: u64 = 11 << 40;
        const URGENCY: i64 = 4;
        let need = upload_bytes.saturating_add(HEADROOM_BYTES);
        let free = self.free_space().await?;
        if free > need {
            return Ok(());
        }
        if self.host.identity().ios.major < 14 {
            return Err(Refusal::no_space().into());
        }
        let amount = if self.quirk(Quirk::PurgeHuge) {
            HUGE_BYTES
        } else if self.quirk(Quirk::PurgeExact) {
            need - free
        } else {
            need - free + PURGE_EXTRA_BYTES
        };
        let reply = self
            .link
            .ask(vec![
                "DLMessagePurgeDiskSpace".into(),
                amount.into(),
                URGENCY.into(),
            ])
            .await?;
        let purged = reply.code == 0 && integer(&reply.value).is_some_and(|purged| purged > 0);
        if purged && self.free_space().await? > need {
            return Ok(());
        }
        Err(Refusal::no_space().into())
    }
}

fn parse_entry(entry: &Value) -> Option<Entry> {
    let entry = entry.as_dictionary()?;
    Some(Entry {
        directory: entry.get("DLFileType").and_then(Value::as_string)
            == Some("DLFileTypeDirectory"),
        size: entry
            .get("DLFileSize")
            .and_then(integer)
            .and_then(|size| u64::try_from(size).ok())
            .unwrap_or(0),
    })
}
