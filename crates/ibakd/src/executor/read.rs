//! Reading a committed backup for a client: a list, files, or the stored tree itself.
//!
//! The daemon writes into the client's pipe and never into the client's files.

use super::archive::{Archive, header};
use super::pipe::{Pipe, is_stopped};
use super::purchases::{gone, share};
use super::unlock::{of_reading, open, unlock};
use super::{End, ReadWhat, ReadWish, Reporter, Stop, blocking};
use ibak_core::{Failure, Outcome, Phase, Udid};
use ibak_store::{Catalogue, ClassKeys, FileEntry, FileKind, Filter, Reader, Store, StoreError};
use serde::Serialize;
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tracing::{info, warn};

/// Bytes of a list that are written at once.
const BUFFER: usize = 64 * 1024;
/// How often progress is told.
const EVERY: Duration = Duration::from_millis(500);

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
    Client(io::Error),
    Nothing(String),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Client(error)
    }
}

/// What was read.
#[derive(Debug, Default)]
struct Counters {
    files: AtomicU64,
    bytes: AtomicU64,
    total: AtomicU64,
}

impl Counters {
    fn add(&self, bytes: u64) {
        self.files.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn read(&self) -> (u64, u64, u64) {
        let get = |it: &AtomicU64| it.load(Ordering::Relaxed);
        (get(&self.files), get(&self.bytes), get(&self.total))
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
        let pipe = match Pipe::new(wish.out, stop.clone()) {
            Ok(pipe) => pipe,
            Err(error) => return End::early(gone(&error)),
        };
        let opened = async {
            let reader = open(&store, &phone, &wish.backup, &stop).await?;
            if wish.what == ReadWhat::Raw {
                return Ok((reader, None));
            }
            let keybag = reader.keybag().map_err(|error| of_reading(&error, &stop))?;
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
        let what = wish.what;
        let work = blocking(move || copy(&reader, keys.as_ref(), &what, pipe, &counted));
        let copied = told(work, &counters, &reporter).await;
        let (files, bytes, total) = counters.read();
        reporter.progress(share(files, bytes, total)).await;
        let outcome = match copied {
            Ok(()) => {
                info!(files, bytes, "read out of a backup");
                Outcome::Done
            }
            Err(Trouble::Store(error)) => of_reading(&error, &stop),
            Err(Trouble::Client(error)) if is_stopped(&error) => stop.outcome(),
            Err(Trouble::Client(error)) => gone(&error),
            Err(Trouble::Nothing(item)) => Outcome::failed(
                Failure::NoSuchBackup,
                format!("the backup holds nothing named {item:?}"),
            ),
        };
        End {
            files,
            bytes,
            ..End::early(outcome)
        }
    }
}

/// Waits for the work and tells how far it is.
async fn told<T>(work: impl Future<Output = T>, counters: &Counters, reporter: &Reporter) -> T {
    tokio::pin!(work);
    let mut every = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            done = &mut work => return done,
            // A paced look at counters that change by the file.
            _ = every.tick() => {
                let (files, bytes, total) = counters.read();
                reporter.progress(share(files, bytes, total)).await;
            }
        }
    }
}

fn copy(
    reader: &Reader,
    keys: Option<&ClassKeys>,
    what: &ReadWhat,
    pipe: Pipe,
    counters: &Counters,
) -> Result<(), Trouble> {
    match what {
        ReadWhat::List { domain, path } => {
            let filter = Filter {
                domain: domain.clone(),
                path: path.clone(),
            };
            list(&reader.catalogue(keys)?, &filter, pipe, counters)
        }
        ReadWhat::Files(selection) => files(&reader.catalogue(keys)?, selection, pipe, counters),
        ReadWhat::Raw => raw(reader, pipe, counters),
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
        counters.add(0);
        match written {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    if listed.refused > 0 {
        warn!(
            rows = listed.refused,
            "rows that no phone makes were left out"
        );
    }
    Ok(out.flush()?)
}

/// Splits an item of a selection: domains hold no slash.
fn filter(item: &str) -> Filter {
    let (domain, path) = match item.split_once('/') {
        Some((domain, path)) => (domain, path.trim_end_matches('/')),
        None => (item, ""),
    };
    Filter {
        domain: Some(domain.to_owned()),
        path: (!path.is_empty()).then(|| path.to_owned()),
    }
}

fn files(
    catalogue: &Catalogue,
    selection: &[String],
    pipe: Pipe,
    counters: &Counters,
) -> Result<(), Trouble> {
    let filters: Vec<(Filter, &str)> = if selection.is_empty() {
        vec![(Filter::default(), "")]
    } else {
        selection
            .iter()
            .map(|item| (filter(item), item.as_str()))
            .collect()
    };
    for (filter, item) in &filters {
        let mut total = 0_u64;
        let listed = catalogue.for_each(filter, &mut |entry| {
            total = total.saturating_add(entry.size);
            ControlFlow::Continue(())
        })?;
        if listed.given == 0 && !item.is_empty() {
            return Err(Trouble::Nothing((*item).to_owned()));
        }
        counters.total.fetch_add(total, Ordering::Relaxed);
    }
    let mut archive = Archive::new(pipe);
    for (filter, _) in &filters {
        let mut failed = None;
        catalogue.for_each(filter, &mut |entry| match append(
            &mut archive,
            catalogue,
            &entry,
            counters,
        ) {
            Ok(()) => ControlFlow::Continue(()),
            Err(trouble) => {
                failed = Some(trouble);
                ControlFlow::Break(())
            }
        })?;
        if let Some(trouble) = failed {
            return Err(trouble);
        }
    }
    archive.finish()?;
    Ok(())
}

fn append(
    archive: &mut Archive,
    catalogue: &Catalogue,
    entry: &FileEntry,
    counters: &Counters,
) -> Result<(), Trouble> {
    let path = if entry.path.is_empty() {
        entry.domain.clone()
    } else {
        format!("{}/{}", entry.domain, entry.path)
    };
    let modified = entry
        .modified
        .and_then(|at| u64::try_from(at).ok())
        .unwrap_or(0);
    let mode = entry.mode.unwrap_or(0o600);
    match &entry.kind {
        FileKind::Directory => {
            let mut header = header(tar::EntryType::Directory, 0, mode, modified);
            archive.append(&mut header, &path, io::empty())?;
        }
        FileKind::Symlink { target } => {
            let mut header = header(tar::EntryType::Symlink, 0, mode, modified);
            archive.append_link(&mut header, &path, target)?;
        }
        FileKind::File => {
            let content = match catalogue.open(entry) {
                Ok(content) => content,
                // The phone could not send it: that is known since the backup was made.
                Err(error) if error.kind() == ibak_store::ErrorKind::NotFound => {
                    warn!(file = %entry.file_id, "a file that the phone could not send is left out");
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            };
            let size = content.size();
            let mut header = header(tar::EntryType::Regular, size, mode, modified);
            archive.append(&mut header, &path, content)?;
            counters.add(size);
        }
    }
    Ok(())
}

fn raw(reader: &Reader, pipe: Pipe, counters: &Counters) -> Result<(), Trouble> {
    counters
        .total
        .store(reader.generation().size_bytes, Ordering::Relaxed);
    let mut archive = Archive::new(pipe);
    for file in reader.raw_files()? {
        let file = file?;
        let content = reader.open(&file.path)?;
        let size = content.size();
        let path = format!("{}/{}", reader.wire_udid(), file.path);
        let mut header = header(tar::EntryType::Regular, size, 0o600, 0);
        archive.append(&mut header, &path, content)?;
        counters.add(size);
    }
    archive.finish()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_names_a_domain_and_perhaps_a_path_in_it() {
        for (item, domain, path) in [
            ("HomeDomain", "HomeDomain", None),
            ("HomeDomain/", "HomeDomain", None),
            ("HomeDomain/Library/SMS/", "HomeDomain", Some("Library/SMS")),
            (
                "AppDomain-org.x.y/Documents/a b.txt",
                "AppDomain-org.x.y",
                Some("Documents/a b.txt"),
            ),
        ] {
            let found = filter(item);
            assert_eq!(found.domain.as_deref(), Some(domain));
            assert_eq!(found.path.as_deref(), path);
        }
    }
}
