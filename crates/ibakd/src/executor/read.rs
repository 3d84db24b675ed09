//! Reading a committed backup for a client: a list, files, or the stored tree itself.
//!
//! The daemon writes into the client's pipe and never into the client's files.

use super::archive::{AppendError, Archive, header};
use super::counted::{Counted, told};
use super::pipe::{Pipe, is_stopped};
use super::purchases::gone;
use super::unlock::{keybag_of, of_reading, open, unlock};
use super::{End, ReadWhat, ReadWish, Reporter, Stop, blocking};
use ibak_core::{Failure, Outcome, Phase, Udid};
use ibak_store::{Catalogue, ClassKeys, FileEntry, FileKind, Filter, Reader, Store, StoreError};
use serde::Serialize;
use std::collections::BTreeSet;
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tracing::{info, warn};

/// Bytes of a list that are written at once.
const BUFFER: usize = 64 * 1024;

/// All that reading a backup needs; the phone is not among it.
pub struct ReadJob {
    /// Whose backup it is.
    pub phone: Udid,
    /// Where backups lie.
    pub store: Store,
    /// What is wanted, and where to.
    pub wish: ReadWish,
    /// Where reports go.
    pub reporter: Reporter,
    /// Ends it.
    pub stop: Stop,
}

/// Why a reading ended early.
enum Trouble {
    Store(StoreError),
    Content(String, io::Error),
    Client(io::Error),
    Nothing(String),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Trouble {
    fn outcome(self, stop: &Stop) -> Outcome {
        match self {
            Self::Store(error) => of_reading(&error, stop),
            Self::Client(error) if is_stopped(&error) => stop.outcome(),
            Self::Client(error) => gone(&error),
            Self::Content(file, error) => Outcome::failed(
                Failure::BackupUnreadable,
                format!("{file} cannot be read to its end: {error}"),
            ),
            Self::Nothing(item) => Outcome::failed(
                Failure::NoSuchBackup,
                format!("the backup holds nothing named {item:?}"),
            ),
        }
    }
}

/// What was read, and how many files are listed and cannot be read; the others were written.
#[derive(Debug, Default)]
struct Counters {
    copied: Counted,
    unread: AtomicU64,
}

impl Counters {
    /// Says how a reading ended that went through to the end.
    fn outcome(&self) -> Outcome {
        match self.unread.load(Ordering::Relaxed) {
            0 => Outcome::Done,
            unread => Outcome::failed(
                Failure::BackupUnreadable,
                format!("{unread} of the files are damaged or lost; the others are there"),
            ),
        }
    }
}

impl ReadJob {
    /// Runs it to its end.
    pub async fn run(self) -> End {
        let Self {
            phone,
            store,
            wish,
            reporter,
            stop,
        } = self;
        reporter.phase(Phase::Preparing).await;
        let pipe = match Pipe::new(&wish.out, stop.clone()) {
            Ok(pipe) => pipe,
            Err(error) => return End::early(gone(&error)),
        };
        let opened = async {
            let reader = open(&store, &phone, &wish.backup, &stop).await?;
            if wish.what == ReadWhat::Raw {
                return Ok((reader, None));
            }
            let (reader, keybag) = keybag_of(reader, &stop).await?;
            let keys = unlock(keybag, wish.password, &reporter, &stop).await?;
            Ok((reader, keys))
        };
        let (reader, keys) = match opened.await {
            Ok(opened) => opened,
            Err(outcome) => return End::early(outcome),
        };
        reporter.phase(Phase::Copying).await;
        let counters = Arc::new(Counters::default());
        let counted = Arc::clone(&counters);
        let (what, stopped) = (wish.what, stop.clone());
        let work = blocking(move || copy(&reader, keys.as_ref(), &what, pipe, &counted, stopped));
        let copied = told(work, &counters.copied, &reporter).await;
        let (files, bytes) = counters.copied.read();
        let outcome = match copied {
            Ok(()) => counters.outcome(),
            Err(trouble) => trouble.outcome(&stop),
        };
        info!(
            files,
            bytes,
            result = outcome.result().word(),
            "read out of a backup"
        );
        End {
            files,
            bytes,
            ..End::early(outcome)
        }
    }
}

fn copy(
    reader: &Reader,
    keys: Option<&ClassKeys>,
    what: &ReadWhat,
    pipe: Pipe,
    counters: &Counters,
    stop: Stop,
) -> Result<(), Trouble> {
    if *what == ReadWhat::Raw {
        return raw(reader, pipe, counters);
    }
    let mut catalogue = reader.catalogue(keys)?;
    catalogue.stop_when(move || stop.why().is_some())?;
    match what {
        ReadWhat::List { domain, path } => {
            let path = path.as_deref().map(|path| path.trim_end_matches('/'));
            let filter = Filter {
                domain: domain.clone(),
                path: path.filter(|path| !path.is_empty()).map(str::to_owned),
            };
            list(&catalogue, &filter, pipe, counters)
        }
        ReadWhat::Files(items) => files(&catalogue, &Selection::of(items), pipe, counters),
        ReadWhat::Raw => Ok(()),
    }
}

/// One line of a list.
#[derive(Serialize)]
struct Line<'a> {
    domain: &'a str,
    path: &'a str,
    kind: &'static str,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    modified: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<&'a str>,
}

impl<'a> Line<'a> {
    fn of(entry: &'a FileEntry) -> Self {
        let (kind, target) = match &entry.kind {
            FileKind::File => ("file", None),
            FileKind::Directory => ("directory", None),
            FileKind::Symlink { target } => ("symlink", Some(target.as_str())),
        };
        Self {
            domain: &entry.domain,
            path: &entry.path,
            kind,
            size: entry.size,
            modified: entry.modified,
            mode: entry.mode.map(|mode| mode & 0o7777),
            target,
        }
    }
}

fn list(
    catalogue: &Catalogue,
    filter: &Filter,
    pipe: Pipe,
    counters: &Counters,
) -> Result<(), Trouble> {
    let mut out = BufWriter::with_capacity(BUFFER, pipe);
    let mut failed = None;
    let listed = catalogue.for_each(filter, &mut |entry| {
        let written = serde_json::to_writer(&mut out, &Line::of(&entry))
            .map_err(io::Error::from)
            .and_then(|()| out.write_all(b"\n"));
        counters.copied.add(1, 0);
        match written {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    if let Some(error) = failed {
        return Err(Trouble::Client(error));
    }
    if listed.refused > 0 {
        warn!(
            rows = listed.refused,
            "rows that no phone makes were left out"
        );
    }
    out.flush().map_err(Trouble::Client)
}

/// What of a backup is wanted: each item a domain, or a domain and a path; none is all.
#[derive(Debug, Default)]
struct Selection {
    items: BTreeSet<String>,
}

impl Selection {
    fn of(items: &[String]) -> Self {
        let trimmed = items.iter().map(|item| item.trim_end_matches('/'));
        Self {
            items: trimmed.map(str::to_owned).collect(),
        }
    }

    /// Returns the item that wants this file: its own name, or one that it lies beneath.
    fn wants<'a>(&'a self, name: &str) -> Option<&'a str> {
        let mut name = name;
        loop {
            if let Some(item) = self.items.get(name) {
                return Some(item);
            }
            name = name.rsplit_once('/')?.0;
        }
    }
}

fn name_of(entry: &FileEntry) -> String {
    if entry.path.is_empty() {
        entry.domain.clone()
    } else {
        format!("{}/{}", entry.domain, entry.path)
    }
}

/// Goes through the list twice, whatever is wanted of it: to know how much it is, and to write it.
fn files(
    catalogue: &Catalogue,
    selection: &Selection,
    pipe: Pipe,
    counters: &Counters,
) -> Result<(), Trouble> {
    let all = selection.items.is_empty();
    let mut unseen: BTreeSet<&str> = selection.items.iter().map(String::as_str).collect();
    let mut total = 0_u64;
    catalogue.for_each(&Filter::default(), &mut |entry| {
        let item = selection.wants(&name_of(&entry));
        if all || item.is_some() {
            total = total.saturating_add(entry.size);
        }
        if let Some(item) = item {
            unseen.remove(item);
        }
        ControlFlow::Continue(())
    })?;
    if let Some(item) = unseen.first() {
        return Err(Trouble::Nothing((*item).to_owned()));
    }
    counters.copied.expect(total);
    let mut archive = Archive::new(pipe);
    let mut failed = None;
    catalogue.for_each(&Filter::default(), &mut |entry| {
        let name = name_of(&entry);
        if !all && selection.wants(&name).is_none() {
            return ControlFlow::Continue(());
        }
        match append(&mut archive, catalogue, &entry, &name, counters) {
            Ok(()) => ControlFlow::Continue(()),
            Err(trouble) => {
                failed = Some(trouble);
                ControlFlow::Break(())
            }
        }
    })?;
    match failed {
        Some(trouble) => Err(trouble),
        None => archive.finish().map(drop).map_err(Trouble::Client),
    }
}

fn append(
    archive: &mut Archive,
    catalogue: &Catalogue,
    entry: &FileEntry,
    name: &str,
    counters: &Counters,
) -> Result<(), Trouble> {
    let modified = entry
        .modified
        .and_then(|at| u64::try_from(at).ok())
        .unwrap_or(0);
    let mode = entry.mode.unwrap_or(0o600);
    let whose = |error| match error {
        AppendError::Content(error) => Trouble::Content(entry.file_id.clone(), error),
        AppendError::Client(error) => Trouble::Client(error),
    };
    match &entry.kind {
        FileKind::Directory => {
            let mut header = header(tar::EntryType::Directory, 0, mode, modified);
            archive
                .append(&mut header, name, io::empty())
                .map_err(whose)
        }
        // No phone makes such a link, and no stream can hold it.
        FileKind::Symlink { target } if target.is_empty() || target.contains('\0') => Ok(()),
        FileKind::Symlink { target } => {
            let mut header = header(tar::EntryType::Symlink, 0, mode, modified);
            let linked = archive.append_link(&mut header, name, target);
            linked.map_err(Trouble::Client)
        }
        FileKind::File => {
            let content = match catalogue.open(entry) {
                Ok(content) => content,
                // The phone could not send it: that is known since the backup was made.
                Err(_) if catalogue.never_came(entry) => return Ok(()),
                Err(error) if spoils_one(&error) => {
                    warn!(file = %entry.file_id, %error, "a file of the backup cannot be read");
                    counters.unread.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            };
            let size = content.size();
            let mut header = header(tar::EntryType::Regular, size, mode, modified);
            archive.append(&mut header, name, content).map_err(whose)?;
            counters.copied.add(1, size);
            Ok(())
        }
    }
}

/// Says whether an error is about one file, so that the others can still be had.
fn spoils_one(error: &StoreError) -> bool {
    use ibak_store::ErrorKind;
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::Io | ErrorKind::IsDirectory | ErrorKind::Loop => true,
        ErrorKind::Exists
        | ErrorKind::NotDirectory
        | ErrorKind::NoSpace
        | ErrorKind::Refused
        | ErrorKind::Other => false,
    }
}

fn raw(reader: &Reader, pipe: Pipe, counters: &Counters) -> Result<(), Trouble> {
    counters.copied.expect(reader.generation().size_bytes);
    let mut archive = Archive::new(pipe);
    for file in reader.raw_files()? {
        let file = file?;
        let content = reader.open(&file.path)?;
        let size = content.size();
        let path = format!("{}/{}", reader.wire_udid(), file.path);
        let mut header = header(tar::EntryType::Regular, size, 0o600, 0);
        archive
            .append(&mut header, &path, content)
            .map_err(|error| match error {
                AppendError::Content(error) => Trouble::Content(file.path.clone(), error),
                AppendError::Client(error) => Trouble::Client(error),
            })?;
        counters.copied.add(1, size);
    }
    archive.finish().map(drop).map_err(Trouble::Client)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_wants_itself_and_what_lies_beneath() {
        let items = ["HomeDomain/Library/SMS/", "CameraRollDomain"].map(str::to_owned);
        let selection = Selection::of(&items);
        for (name, wanted) in [
            ("HomeDomain/Library/SMS", true),
            ("HomeDomain/Library/SMS/sms.db", true),
            ("HomeDomain/Library/SMS2", false),
            ("HomeDomain/Library", false),
            ("HomeDomain", false),
            ("CameraRollDomain", true),
            ("CameraRollDomain/Media/DCIM/a.jpg", true),
            ("CameraRollDomain2/a", false),
        ] {
            assert_eq!(selection.wants(name).is_some(), wanted, "{name}");
        }
    }
}
