//! The scrub: in one pass everything of a phone's backups is read again, each file once.
//!
//! Newest first. A file that is the very inode a backup read in this pass has at the same path,
//! with the same content to be, is taken as read. How far the pass is lies in `scrub.json`; losing
//! it costs a new pass and nothing else. A backup is leased while it is read, no longer: what is
//! removed or committed meanwhile is no error.

mod neighbour;

use crate::error::{ErrorKind, StoreError};
use crate::fs::Fs;
use crate::index::{IndexEntry, IndexReader, walk_order};
use crate::lease::Lease;
use crate::marks::{Bad, Findings, Found, Stats, look};
use crate::phone::{PhoneDir, Unreadable};
use crate::record::{
    ChecksRecord, CommitRecord, RECORD_DAMAGED, SCRUB, ScrubDone, ScrubHere, ScrubRecord,
};
use crate::store::{Inner, Store};
use crate::verify::{extra, look_again, whole_tree};
use ibak_core::{BackupId, Udid, Wall};
use neighbour::{Neighbour, taken};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

/// How far a pass is; told before each file and at least once a MiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScrubProgress {
    /// Bytes read since the last call.
    pub read: u64,
    /// Bytes read in this pass, also by earlier calls.
    pub bytes: u64,
    /// Files of all backups that are done with, read or taken as read.
    pub files: u64,
    /// Files of all backups.
    pub files_total: u64,
}

/// What one call of [`Store::scrub`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrubReport {
    /// Whether the pass came to its end; if not, the next call goes on with it.
    pub complete: bool,
    /// Backups whose reading was finished in this call.
    pub backups: u64,
    /// Files read in this call.
    pub files: u64,
    /// Bytes read in this call.
    pub bytes: u64,
    /// What is damaged and was not known to be: paths below the MobileSync directory, or a
    /// sentence about the whole.
    pub damaged: BTreeMap<BackupId, Vec<String>>,
}

/// Bytes read, and files passed, after which a crash has something to lose.
const SAVE_BYTES: u64 = 1 << 30;
const SAVE_FILES: u64 = 100_000;
/// Bad files of one backup after which the others are marked.
const PENDING_MAX: usize = 1000;

impl<F: Fs> Store<F> {
    /// Reads a phone's backups again, newest first, each distinct file once, and goes on where an
    /// earlier call was stopped. `pace` may stop it at any time, and slow it down by taking long.
    /// What is found is shown by [`Store::list`], for every backup that holds it.
    ///
    /// # Errors
    /// `Refused` while another scrub of this phone runs, or a system call's that is not about one
    /// file.
    pub fn scrub(
        &self,
        udid: &Udid,
        now: Wall,
        pace: &mut dyn FnMut(ScrubProgress) -> ControlFlow<()>,
    ) -> Result<ScrubReport, StoreError> {
        let Some(phone) = PhoneDir::open(&self.inner, udid)? else {
            return Ok(ScrubReport {
                complete: true,
                ..ScrubReport::default()
            });
        };
        let _claim = Claim::take(&self.inner, udid)?;
        let mut files_total = 0_u64;
        for found in phone.list(Unreadable::Skip)? {
            files_total = files_total.saturating_add(found.files);
        }
        let mut pass = Pass {
            inner: &self.inner,
            state: begun(&phone, now)?,
            phone,
            now,
            pace,
            told: ScrubProgress {
                files_total,
                ..ScrubProgress::default()
            },
            unsaved: (0, 0),
            report: ScrubReport::default(),
        };
        pass.told.bytes = pass.state.bytes;
        pass.told.files = pass.state.files();
        match pass.all() {
            Ok(()) => pass.report.complete = true,
            Err(StoreError::Cancelled) => {}
            Err(error) => return Err(error),
        }
        pass.phone.point_latest()?;
        Ok(pass.report)
    }

    /// Returns the day by which everything of a phone's backups had last been read: the oldest of
    /// their readings, or of their commits where there was none. `None` without backups.
    ///
    /// # Errors
    /// A system call's.
    pub fn last_read(&self, udid: &Udid) -> Result<Option<Wall>, StoreError> {
        let Some(phone) = PhoneDir::open(&self.inner, udid)? else {
            return Ok(None);
        };
        let list = phone.list(Unreadable::Skip)?;
        let oldest = list
            .iter()
            .map(|found| found.checked.unwrap_or(found.finished))
            .min();
        // What earlier readings had found is lost: nothing counts as read.
        let lost = oldest.is_some() && phone.checks()?.lost;
        Ok(if lost {
            Some(Wall::from_micros(0))
        } else {
            oldest
        })
    }
}

/// The right to scrub a phone.
struct Claim<'a, F: Fs> {
    inner: &'a Inner<F>,
    udid: Udid,
}

impl<'a, F: Fs> Claim<'a, F> {
    fn take(inner: &'a Inner<F>, udid: &Udid) -> Result<Self, StoreError> {
        if !inner.sessions().scrubs.insert(udid.clone()) {
            return Err(StoreError::refused(
                udid,
                "its backups are being read already",
            ));
        }
        Ok(Self {
            inner,
            udid: udid.clone(),
        })
    }
}

impl<F: Fs> Drop for Claim<'_, F> {
    fn drop(&mut self) {
        self.inner.sessions().scrubs.remove(&self.udid);
    }
}

/// Returns the pass that was begun, however long ago, or a new one.
fn begun<F: Fs>(phone: &PhoneDir<'_, F>, now: Wall) -> Result<ScrubRecord, StoreError> {
    let found: Option<ScrubRecord> = phone.small(SCRUB)?;
    let lost = phone.checks()?.lost;
    let usable = |state: &ScrubRecord| {
        // A clock that went back would give readings a date to come. What a pass had found
        // before the loss is lost too, so that it proves nothing.
        let began = Wall::from_micros(state.began_unix_us);
        *state != ScrubRecord::default() && began <= now && (!lost || state.after_loss)
    };
    Ok(found.filter(usable).unwrap_or_else(|| ScrubRecord {
        began_unix_us: now.as_micros(),
        after_loss: lost,
        ..ScrubRecord::default()
    }))
}

struct Pass<'a, F: Fs> {
    inner: &'a Arc<Inner<F>>,
    phone: PhoneDir<'a, F>,
    state: ScrubRecord,
    now: Wall,
    pace: &'a mut dyn FnMut(ScrubProgress) -> ControlFlow<()>,
    told: ScrubProgress,
    /// Bytes and files since the state was saved.
    unsaved: (u64, u64),
    report: ScrubReport,
}

/// The backup being read.
struct Current<'a, F: Fs> {
    id: BackupId,
    dir: F::Handle,
    record: CommitRecord,
    neighbours: Vec<Neighbour<'a, F>>,
    found: Findings,
    /// Bad files of which the other backups do not know yet.
    pending: Vec<Bad>,
    here: ScrubHere,
}

impl<F: Fs> Pass<'_, F> {
    fn all(&mut self) -> Result<(), StoreError> {
        let mut passed_over = BTreeSet::new();
        loop {
            let ids = self.phone.ids("gens")?;
            self.state
                .done
                .retain(|id, _| ids.iter().any(|there| there.as_str() == id));
            let is_open = |id: &&BackupId| {
                !self.state.done.contains_key(id.as_str()) && !passed_over.contains(*id)
            };
            let begun = self.state.here.as_ref().map(|here| here.id.as_str());
            let begun = ids.iter().find(|id| Some(id.as_str()) == begun);
            let next = begun.filter(is_open).or(ids.iter().rfind(is_open));
            let Some(id) = next.cloned() else { break };
            match self.one(&id) {
                // On its way out.
                Err(StoreError::NoSuchBackup(_) | StoreError::NewerFormat { .. }) => {
                    passed_over.insert(id);
                }
                other => other?,
            }
        }
        self.finish()
    }

    /// Ends the pass.
    fn finish(&mut self) -> Result<(), StoreError> {
        {
            let _guard = self.inner.records();
            let mut checks = self.phone.checks()?;
            if checks.lost && self.makes_up_for_loss(&checks)? {
                checks.lost = false;
                self.phone.write_small("checks.json", &checks)?;
            }
        }
        self.phone.remove_small(SCRUB)
    }

    /// Says whether this pass began after what was known was lost, has passed over nothing, and
    /// what it found is still there.
    fn makes_up_for_loss(&self, checks: &ChecksRecord) -> Result<bool, StoreError> {
        let is_known = |id: &BackupId| {
            let check = checks.checks.get(id.as_str());
            self.state.done.contains_key(id.as_str())
                && check.is_some_and(|check| check.checked_unix_us.is_some())
        };
        Ok(self.state.after_loss && self.phone.ids("gens")?.iter().all(is_known))
    }

    fn one(&mut self, id: &BackupId) -> Result<(), StoreError> {
        let _lease = Lease::take(self.inner, id)?;
        let begun = self.state.here.take().filter(|here| here.id == id.as_str());
        let here = begun.unwrap_or_else(|| ScrubHere {
            id: id.as_str().to_owned(),
            since_unix_us: self.now.as_micros(),
            ..ScrubHere::default()
        });
        let (dir, record) = match self.phone.generation(id) {
            Ok(found) => found,
            Err(error)
                if error.is_absent()
                    || matches!(error, StoreError::Damaged { .. })
                    || error.kind() == ErrorKind::Io =>
            {
                let found = Findings::from_iter([RECORD_DAMAGED]);
                return self.conclude(id, here.since_unix_us, found, false, 0);
            }
            Err(error) => return Err(error),
        };
        let fs = self.inner.fs.clone();
        let whole = whole_tree(&fs, &dir, &record, |_| true, &mut |some| self.tell(some))?;
        let tree = match whole {
            Ok(tree) => tree,
            Err(what) => {
                let found = Findings::from_iter([what]);
                return self.conclude(id, here.since_unix_us, found, false, record.files);
            }
        };
        let mut current = Current {
            id: id.clone(),
            neighbours: self.neighbours(&fs, id, &record)?,
            found: here.damaged.iter().cloned().collect(),
            pending: Vec::new(),
            dir,
            record,
            here,
        };
        let mut stats = Stats::new(&fs, tree);
        if let Err(error) = self.files(&fs, &mut current, &mut stats) {
            // Whoever stops must not lose what was found.
            if let Err(second) = self.save(&mut current) {
                tracing::warn!(phone = %self.phone.udid, error = %second, "how far a scrub came is not kept");
            }
            return Err(error);
        }
        self.publish(&mut current)?;
        let mut index = IndexReader::open(&fs, &current.dir)?;
        extra(&fs, stats.tree(), "", 0, &mut index, &mut current.found)?;
        if !current.record.verified {
            current.found.add(RECORD_DAMAGED);
        }
        let Current {
            here,
            found,
            record,
            ..
        } = current;
        self.conclude(id, here.since_unix_us, found, true, record.files)
    }

    /// Reads what was not read, in the order of the index.
    fn files(
        &mut self,
        fs: &F,
        current: &mut Current<'_, F>,
        stats: &mut Stats<'_, F>,
    ) -> Result<(), StoreError> {
        let mut index = IndexReader::open(fs, &current.dir)?;
        while let Some(entry) = index.take()? {
            let after = current.here.after.as_deref();
            if after.is_some_and(|after| walk_order(&entry.path, after) != Ordering::Greater) {
                continue;
            }
            if self.tell(0).is_break() {
                return Err(StoreError::Cancelled);
            }
            let path = entry.path.clone();
            self.file(fs, current, stats, entry)?;
            current.here.after = Some(path);
            current.here.files += 1;
            self.told.files += 1;
            self.unsaved.1 += 1;
            let many = current.pending.len() >= PENDING_MAX;
            if many || self.unsaved.0 >= SAVE_BYTES || self.unsaved.1 >= SAVE_FILES {
                self.save(current)?;
            }
        }
        Ok(())
    }

    fn file(
        &mut self,
        fs: &F,
        current: &mut Current<'_, F>,
        stats: &mut Stats<'_, F>,
        entry: IndexEntry,
    ) -> Result<(), StoreError> {
        if let Ok(stat) = stats.stat(&entry.path)
            && let Some(since) = taken(&mut current.neighbours, &entry, &stat)?
        {
            current.here.since_unix_us = current.here.since_unix_us.min(since);
            return Ok(());
        }
        let found = look(fs, stats.tree(), &entry, &mut |some| self.tell(some))?;
        self.report.files += 1;
        match found {
            Found::Good => {}
            Found::Missing => current.found.add(entry.path),
            Found::Bad => {
                current.found.add(entry.path.clone());
                current.pending.push(Bad::at(entry, stats));
            }
        }
        Ok(())
    }

    fn tell(&mut self, read: u64) -> ControlFlow<()> {
        self.told.read = read;
        self.told.bytes = self.told.bytes.saturating_add(read);
        self.state.bytes = self.told.bytes;
        self.report.bytes = self.report.bytes.saturating_add(read);
        self.unsaved.0 = self.unsaved.0.saturating_add(read);
        (self.pace)(self.told)
    }

    /// Marks every backup that holds what was found bad, before the state says it was read.
    fn publish(&mut self, current: &mut Current<'_, F>) -> Result<(), StoreError> {
        let pending = std::mem::take(&mut current.pending);
        let news = self.phone.mark(&current.id, &pending, &mut go_on)?;
        for (id, paths) in news {
            self.report.damaged.entry(id).or_default().extend(paths);
        }
        Ok(())
    }

    fn save(&mut self, current: &mut Current<'_, F>) -> Result<(), StoreError> {
        self.publish(current)?;
        current.here.damaged = current.found.to_vec();
        self.state.here = Some(current.here.clone());
        self.unsaved = (0, 0);
        self.phone.write_small(SCRUB, &self.state)
    }

    /// Records what the reading of one backup came to.
    fn conclude(
        &mut self,
        id: &BackupId,
        since_unix_us: i64,
        found: Findings,
        is_whole: bool,
        files: u64,
    ) -> Result<(), StoreError> {
        let before = self.phone.checks()?;
        let known: Findings = before
            .checks
            .get(id.as_str())
            .iter()
            .flat_map(|check| check.damaged.iter().cloned())
            .collect();
        let phone = &self.phone;
        let again = &mut |doubtful| {
            if is_whole {
                look_again(phone, id, doubtful, &mut go_on)
            } else {
                Ok(doubtful)
            }
        };
        let since = Wall::from_micros(since_unix_us);
        let damaged = phone.record_reading(id, since, found, again)?;
        let news: Vec<String> = damaged
            .into_iter()
            .filter(|what| !known.contains(what))
            .collect();
        if !news.is_empty() {
            tracing::error!(phone = %self.phone.udid, backup = %id, damaged = news.len(), "a backup is damaged");
            self.report
                .damaged
                .entry(id.clone())
                .or_default()
                .extend(news);
        }
        let parent = match self.phone.generation(id) {
            Ok((_, record)) => record.parent,
            Err(_) => None,
        };
        self.report.backups += 1;
        self.state.here = None;
        self.state.done.insert(
            id.as_str().to_owned(),
            ScrubDone {
                since_unix_us,
                is_whole,
                files,
                parent,
            },
        );
        self.told.files = self.state.files();
        self.unsaved = (0, 0);
        self.phone.write_small(SCRUB, &self.state)
    }
}

fn go_on(_: u64) -> ControlFlow<()> {
    ControlFlow::Continue(())
}
