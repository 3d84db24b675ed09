//! What a phone's directory takes on the disk, exactly, and kept so that asking is cheap.
//!
//! What lies under `gens`, `trash`, `quarantine` changes by whole names, by a commit, and by a
//! sweep, so its sum is known by the names it is the sum of; `usage.json` keeps it over a
//! restart. A name that is new is counted alone, one that went unseen costs a walk of everything,
//! and so does losing the file. Each inode counts once, wherever its names are. A walk holds the
//! inodes with several names in memory, some 40 bytes each.

mod walk;

use crate::error::{Context, StoreError};
use crate::fs::util::absent_ok;
use crate::fs::{Errno, Fs, Open};
use crate::phone::PhoneDir;
use crate::record::UsageRecord;
use crate::store::{Inner, Store};
use ibak_core::{BackupId, Udid};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use walk::{Rule, Seen, Walk};

const LEDGER: &str = "usage.json";
/// Where only whole names come and go.
const SETTLED: [&str; 3] = ["gens", TRASH, "quarantine"];
/// Where somebody writes; what they share with a committed backup is counted there.
const PASSING: [&str; 2] = ["staging", "adopting"];
/// What is being removed.
pub(crate) const TRASH: &str = "trash";
/// The part of all that may have changed before what somebody writes is counted again.
const STALE_PART: u64 = 4000;
/// How often everything is looked for again when something was moved meanwhile.
const MOVED_MAX: u32 = 16;
/// More than can be a small part of anything.
const CHURN_UNKNOWN: u64 = 1 << 50;

impl<F: Fs> Store<F> {
    /// Returns what a phone's directory takes on the disk, in bytes: blocks of files and
    /// directories, each shared file once, to a thousandth of what `du` says.
    ///
    /// # Errors
    /// A system call's.
    pub fn used(&self, udid: &Udid) -> Result<u64, StoreError> {
        match PhoneDir::open(&self.inner, udid)? {
            Some(phone) => used(&phone),
            None => Ok(0),
        }
    }

    /// Returns the bytes on the disk that removing all of these backups together would free:
    /// their directories, and the files that no other name keeps. Only once they are swept.
    ///
    /// # Errors
    /// `NoSuchBackup`, or a system call's.
    pub fn gains(&self, udid: &Udid, ids: &[BackupId]) -> Result<u64, StoreError> {
        let ids: BTreeSet<&BackupId> = ids.iter().collect();
        let Some(first) = ids.first() else {
            return Ok(0);
        };
        let none = |id: &BackupId| StoreError::NoSuchBackup(id.clone());
        let phone = PhoneDir::open(&self.inner, udid)?.ok_or_else(|| none(first))?;
        let gens = phone.sub("gens")?;
        let mut walk = Walk::new(&self.inner.fs);
        for id in ids {
            if !walk.entry(&gens, id.as_str(), Rule::Whole)? {
                return Err(none(id));
            }
        }
        Ok(walk.bytes)
    }
}

/// What a directory takes, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// All of it.
    pub(crate) used: u64,
    /// What goes when the trash is swept.
    pub(crate) trash: u64,
}

pub(crate) fn usage<F: Fs>(phone: &PhoneDir<'_, F>) -> Result<Usage, StoreError> {
    let used = used(phone)?;
    let account = phone.inner.accounts.of(&phone.udid);
    let trash = account.lock().trash(&phone.inner.fs, &phone.dir)?;
    Ok(Usage { used, trash })
}

pub(crate) fn used<F: Fs>(phone: &PhoneDir<'_, F>) -> Result<u64, StoreError> {
    let account = phone.inner.accounts.of(&phone.udid);
    let mut known = account.lock();
    if known.settle(phone, Recount::IfNeeded)? {
        known.save(phone);
    }
    let settled = known.settled.as_ref().map_or(0, |settled| settled.bytes);
    let staged = known.staged(phone, &account, settled)?;
    let rest = rest(phone)?;
    Ok(settled.saturating_add(staged).saturating_add(rest))
}

/// Returns what the phones that were forgotten still take.
pub(crate) fn forgotten<F: Fs>(inner: &Inner<F>) -> Result<u64, StoreError> {
    inner
        .accounts
        .forgotten
        .lock()
        .trash(&inner.fs, &inner.root)
}

/// Counts the phone's directory itself and what lies beside gens and the like.
fn rest<F: Fs>(phone: &PhoneDir<'_, F>) -> Result<u64, StoreError> {
    let fs = &phone.inner.fs;
    let mut walk = Walk::new(fs);
    walk.bytes = fs
        .stat_handle(&phone.dir)
        .at("look at", &phone.udid)?
        .allocated;
    for entry in fs.read_dir(&phone.dir).at("list", &phone.udid)? {
        if SETTLED.contains(&entry.name.as_str()) || PASSING.contains(&entry.name.as_str()) {
            if let Seen::There(stat) = walk.look(&phone.dir, &entry.name)? {
                walk.add(&stat, Rule::Sole);
            }
        } else {
            walk.entry(&phone.dir, &entry.name, Rule::Whole)?;
        }
    }
    Ok(walk.bytes)
}

/// What is known of every phone's directory.
#[derive(Default)]
pub(crate) struct Accounts {
    phones: Mutex<BTreeMap<Udid, Arc<Account>>>,
    /// `<store>/trash`
    pub(crate) forgotten: Arc<Account>,
}

impl Accounts {
    pub(crate) fn of(&self, udid: &Udid) -> Arc<Account> {
        let mut phones = self.phones.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(phones.entry(udid.clone()).or_default())
    }

    pub(crate) fn forget(&self, udid: &Udid) {
        let mut phones = self.phones.lock().unwrap_or_else(PoisonError::into_inner);
        phones.remove(udid);
    }
}

/// What is known of one directory.
#[derive(Default)]
pub(crate) struct Account {
    /// Bytes that may have come or gone in what somebody writes, ever; it wraps.
    churn: AtomicU64,
    known: Mutex<Known>,
}

impl Account {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that about so many bytes came or went in a working copy.
    pub(crate) fn churn(&self, bytes: u64) {
        self.churn.fetch_add(bytes, Ordering::SeqCst);
    }

    /// Says that nobody knows what came or went in a working copy.
    pub(crate) fn churn_unknown(&self) {
        self.churn(CHURN_UNKNOWN);
    }

    /// Says that a working copy became a backup that adds so many bytes. Never waits: while
    /// everything is being counted, the new name is found by itself.
    pub(crate) fn committed<F: Fs>(&self, phone: &PhoneDir<'_, F>, id: &BackupId, bytes: u64) {
        let mut known = match self.known.try_lock() {
            Ok(known) => known,
            Err(TryLockError::Poisoned(error)) => error.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        let Some(settled) = &mut known.settled else {
            return;
        };
        if settled.names.insert(id.as_str().to_owned()) {
            settled.bytes = settled.bytes.saturating_add(bytes);
            known.save(phone);
        }
    }
}

#[derive(Default)]
pub(crate) struct Known {
    settled: Option<UsageRecord>,
    staged: Option<Staged>,
    trash: Option<UsageRecord>,
    /// The disk did not let something be counted: nothing is kept for the next process, which
    /// counts it again.
    doubtful: bool,
    /// A sweep is half done. What it removed comes back with a power cut, and then a sum without
    /// it would be wrong: none is kept before the sweep is.
    sweeping: bool,
    /// Its directory is not a phone's any more: nothing is written there.
    gone: bool,
}

/// What working copies took when they were counted.
struct Staged {
    names: Vec<String>,
    churn: u64,
    bytes: u64,
}

/// Whether everything may be counted anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recount {
    IfNeeded,
    Never,
}

impl Known {
    /// Brings the sum up to what lies there; returns whether it changed.
    pub(crate) fn settle<F: Fs>(
        &mut self,
        phone: &PhoneDir<'_, F>,
        recount: Recount,
    ) -> Result<bool, StoreError> {
        let before = self.settled.take().or_else(|| load(phone));
        for _ in 0..MOVED_MAX {
            let areas = Areas::open(phone)?;
            let mut walk = Walk::new(&phone.inner.fs);
            let (known, rule) = match &before {
                Some(known) if known.names.is_subset(&areas.names) => (known.clone(), Rule::Whole),
                Some(_) | None if recount == Recount::Never => return Ok(true),
                Some(_) | None => (UsageRecord::default(), Rule::Once),
            };
            if !areas.walk(&mut walk, &known.names, rule)? {
                // A name was moved while it was looked for.
                continue;
            }
            if walk.lacks_names() {
                // A file whose other names are all in a working copy counts too.
                for sub in PASSING {
                    walk.below(&phone.dir, sub, Rule::Closing)?;
                }
            }
            let changed = known.names != areas.names;
            self.settled = Some(UsageRecord {
                bytes: known.bytes.saturating_add(walk.bytes),
                names: areas.names,
            });
            self.doubtful = walk.skipped || (self.doubtful && rule == Rule::Whole);
            return Ok(changed);
        }
        Err(Errno::AGAIN).at("count", &phone.udid)
    }

    /// Counts the working copies, unless little can have changed since the last time.
    fn staged<F: Fs>(
        &mut self,
        phone: &PhoneDir<'_, F>,
        account: &Account,
        settled: u64,
    ) -> Result<u64, StoreError> {
        let churn = account.churn.load(Ordering::SeqCst);
        let mut names = Vec::new();
        for sub in PASSING {
            names.extend(
                list(phone, sub)?
                    .into_iter()
                    .map(|name| format!("{sub}/{name}")),
            );
        }
        names.sort();
        if let Some(known) = &self.staged
            && known.names == names
            && churn.wrapping_sub(known.churn) <= settled.saturating_add(known.bytes) / STALE_PART
        {
            return Ok(known.bytes);
        }
        let mut walk = Walk::new(&phone.inner.fs);
        for sub in PASSING {
            walk.below(&phone.dir, sub, Rule::Sole)?;
        }
        let bytes = walk.bytes;
        self.staged = Some(Staged {
            names,
            churn,
            bytes,
        });
        Ok(bytes)
    }

    /// Counts what the trash of a directory would give back.
    fn trash<F: Fs>(&mut self, fs: &F, dir: &F::Handle) -> Result<u64, StoreError> {
        let names: BTreeSet<String> = match fs.open(dir, TRASH, Open::Directory) {
            Ok(trash) => fs
                .read_dir(&trash)
                .at("list", TRASH)?
                .into_iter()
                .map(|it| it.name)
                .collect(),
            Err(Errno::NOENT) => BTreeSet::new(),
            Err(errno) => return Err(errno).at("open", TRASH),
        };
        if let Some(known) = &mut self.trash
            && (known.names == names || names.is_empty())
        {
            return Ok(if names.is_empty() { 0 } else { known.bytes });
        }
        let mut walk = Walk::new(fs);
        walk.below(dir, TRASH, Rule::Whole)?;
        self.trash = Some(UsageRecord {
            bytes: walk.bytes,
            names,
        });
        Ok(walk.bytes)
    }

    /// Says what the trash of a directory holds, for somebody who knows.
    pub(crate) fn expect_in_trash(&mut self, name: &str, bytes: u64) {
        if let Some(known) = &mut self.trash
            && known.names.insert(name.to_owned())
        {
            known.bytes = known.bytes.saturating_add(bytes);
        }
    }

    /// Says that so many bytes of the trash are free again.
    pub(crate) fn freed(&mut self, bytes: u64) {
        for known in [&mut self.settled, &mut self.trash].into_iter().flatten() {
            known.bytes = known.bytes.saturating_sub(bytes);
        }
    }

    /// Says that a name is gone from the trash.
    pub(crate) fn left(&mut self, name: &str) {
        for known in [&mut self.settled, &mut self.trash].into_iter().flatten() {
            known.names.remove(name);
        }
    }

    /// Says that the directory is not a phone's any more.
    pub(crate) fn end(&mut self) {
        self.gone = true;
    }

    /// Removes what is kept on the disk, durably, before what it says becomes wrong.
    pub(crate) fn unsave<F: Fs>(&mut self, phone: &PhoneDir<'_, F>) -> Result<(), StoreError> {
        self.sweeping = true;
        let fs = &phone.inner.fs;
        match fs.unlink(&phone.dir, LEDGER) {
            Err(Errno::NOENT) => Ok(()),
            other => other
                .and_then(|()| fs.sync(&phone.dir))
                .at("remove", phone.at(LEDGER)),
        }
    }

    /// Says that nothing is left of what was to be swept, and keeps the sum again.
    pub(crate) fn swept<F: Fs>(&mut self, phone: &PhoneDir<'_, F>) {
        self.sweeping = false;
        self.save(phone);
    }

    /// Keeps the sum for the next process. Failing at it costs only a walk then.
    pub(crate) fn save<F: Fs>(&self, phone: &PhoneDir<'_, F>) {
        let Some(settled) = &self.settled else {
            return;
        };
        if !self.gone
            && !self.doubtful
            && !self.sweeping
            && let Err(error) = phone.write_small(LEDGER, settled)
        {
            tracing::debug!(phone = %phone.udid, %error, "the disk use is not remembered");
            let torn = format!("{LEDGER}.tmp");
            if let Err(errno) = absent_ok(phone.inner.fs.unlink(&phone.dir, &torn)) {
                tracing::debug!(phone = %phone.udid, %errno, "and its draft stays");
            }
        }
    }
}

fn load<F: Fs>(phone: &PhoneDir<'_, F>) -> Option<UsageRecord> {
    phone.small::<Option<UsageRecord>>(LEDGER).ok()??
}

fn list<F: Fs>(phone: &PhoneDir<'_, F>, sub: &str) -> Result<Vec<String>, StoreError> {
    let fs = &phone.inner.fs;
    let names = match fs.open(&phone.dir, sub, Open::Directory) {
        Ok(dir) => fs.read_dir(&dir).at("list", phone.at(sub))?,
        Err(Errno::NOENT) => Vec::new(),
        Err(errno) => return Err(errno).at("open", phone.at(sub)),
    };
    Ok(names.into_iter().map(|entry| entry.name).collect())
}

/// What lies in the directories where only whole names come and go.
struct Areas<F: Fs> {
    names: BTreeSet<String>,
    found: Vec<(F::Handle, Vec<Named>)>,
}

/// A name in one of them, and what its sum is known by.
struct Named {
    name: String,
    key: String,
}

impl<F: Fs> Areas<F> {
    fn open(phone: &PhoneDir<'_, F>) -> Result<Self, StoreError> {
        let fs = &phone.inner.fs;
        let mut areas = Self {
            names: BTreeSet::new(),
            found: Vec::new(),
        };
        for sub in SETTLED {
            let dir = match fs.open(&phone.dir, sub, Open::Directory) {
                Ok(dir) => dir,
                Err(Errno::NOENT) => continue,
                Err(errno) => return Err(errno).at("open", phone.at(sub)),
            };
            let mut names = Vec::new();
            for entry in fs.read_dir(&dir).at("list", phone.at(sub))? {
                // A name keeps its sum wherever it is moved; a second one of it is another.
                let mut key = entry.name.clone();
                while !areas.names.insert(key.clone()) {
                    key = format!("{key} in {sub}");
                }
                names.push(Named {
                    name: entry.name,
                    key,
                });
            }
            areas.found.push((dir, names));
        }
        Ok(areas)
    }

    /// Returns false when one of the names is not there any more.
    fn walk(
        &self,
        walk: &mut Walk<'_, F>,
        except: &BTreeSet<String>,
        rule: Rule,
    ) -> Result<bool, StoreError> {
        for (dir, names) in &self.found {
            for Named { name, key } in names {
                if !except.contains(key) && !walk.entry(dir, name, rule)? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}
