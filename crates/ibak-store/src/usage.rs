//! What a phone's directory takes on the disk, exactly, and kept so that asking is cheap.
//!
//! What lies under `gens`, `trash`, `quarantine` changes by whole names, by a commit, and by a
//! sweep, so its sum is known by the names it is the sum of; `usage.json` keeps it over a
//! restart. A name that is new is counted alone, one that went unseen costs a walk of everything,
//! and so does losing the file. Each inode counts once, wherever its names are. A walk holds the
//! inodes with several names in memory, some 40 bytes each.

use crate::error::{Context, StoreError};
use crate::fs::util::{DEPTH_MAX, absent_ok};
use crate::fs::{Errno, Fs, Kind, Open, Stat};
use crate::phone::PhoneDir;
use crate::record::UsageRecord;
use crate::store::{Inner, Store};
use ibak_core::{BackupId, Udid};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

const LEDGER: &str = "usage.json";
/// Where only whole names come and go.
const SETTLED: [&str; 3] = ["gens", TRASH, "quarantine"];
/// Where somebody writes; what they share with a committed backup is counted there.
const PASSING: [&str; 2] = ["staging", "adopting"];
/// What is being removed.
pub(crate) const TRASH: &str = "trash";
/// The part of all that may have changed before what somebody writes is counted again.
const STALE_PART: u64 = 4000;
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
            Some(phone) => Ok(usage(&phone)?.used),
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
            match self.inner.fs.stat(&gens, id.as_str()) {
                Ok(_) => walk.entry(&gens, id.as_str(), Rule::Whole)?,
                Err(Errno::NOENT) => return Err(none(id)),
                Err(errno) => return Err(errno).at("look at", phone.at(&format!("gens/{id}"))),
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
    let account = phone.inner.accounts.of(&phone.udid);
    let mut known = account.lock();
    if known.settle(phone, Recount::IfNeeded)? {
        known.save(phone);
    }
    let settled = known.settled.as_ref().map_or(0, |settled| settled.bytes);
    let staged = known.staged(phone, &account, settled)?;
    let rest = rest(phone)?;
    Ok(Usage {
        used: settled.saturating_add(staged).saturating_add(rest),
        trash: known.trash(&phone.inner.fs, &phone.dir)?,
    })
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
            if let Some(stat) = walk.look(&phone.dir, &entry.name)? {
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
        let areas = Areas::open(phone)?;
        let loaded = self.settled.take().or_else(|| load(phone));
        let known = loaded.filter(|known| known.names.is_subset(&areas.names));
        let Some(mut known) = known else {
            if recount == Recount::Never {
                return Ok(true);
            }
            let mut walk = Walk::new(&phone.inner.fs);
            areas.walk(&mut walk, &BTreeSet::new(), Rule::Once)?;
            self.settled = Some(UsageRecord {
                bytes: walk.bytes,
                names: areas.names,
            });
            self.doubtful = walk.skipped;
            return Ok(true);
        };
        let changed = known.names != areas.names;
        if changed {
            let mut walk = Walk::new(&phone.inner.fs);
            areas.walk(&mut walk, &known.names, Rule::Whole)?;
            // A file whose other names are all in a working copy counts too.
            for sub in PASSING {
                walk.below(&phone.dir, sub, Rule::Closing)?;
            }
            known.bytes = known.bytes.saturating_add(walk.bytes);
            known.names = areas.names;
            self.doubtful |= walk.skipped;
        }
        self.settled = Some(known);
        Ok(changed)
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
    found: Vec<(F::Handle, Vec<(String, String)>)>,
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
                names.push((entry.name, key));
            }
            areas.found.push((dir, names));
        }
        Ok(areas)
    }

    fn walk(
        &self,
        walk: &mut Walk<'_, F>,
        except: &BTreeSet<String>,
        rule: Rule,
    ) -> Result<(), StoreError> {
        for (dir, names) in &self.found {
            for (name, key) in names {
                if !except.contains(key) {
                    walk.entry(dir, name, rule)?;
                }
            }
        }
        Ok(())
    }
}

/// Which files count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// Each, at its first name.
    Once,
    /// Those with one name.
    Sole,
    /// Those that have all their names here.
    Whole,
    /// Those that this walk lacked a name of; no directories.
    Closing,
}

type Inode = (u64, u64);

/// Counts blocks. What goes while it looks is not counted.
struct Walk<'a, F: Fs> {
    fs: &'a F,
    bytes: u64,
    once: HashSet<Inode>,
    /// Names still to be met.
    lacking: HashMap<Inode, u64>,
    /// Whether the disk did not let something be looked at.
    skipped: bool,
}

impl<'a, F: Fs> Walk<'a, F> {
    fn new(fs: &'a F) -> Self {
        Self {
            fs,
            bytes: 0,
            once: HashSet::new(),
            lacking: HashMap::new(),
            skipped: false,
        }
    }

    /// Counts what is in a directory, not itself; absent is nothing.
    fn below(&mut self, dir: &F::Handle, name: &str, rule: Rule) -> Result<(), StoreError> {
        self.inside(dir, name, rule, 0)
    }

    /// Counts a name and what is below it; absent is nothing.
    fn entry(&mut self, dir: &F::Handle, name: &str, rule: Rule) -> Result<(), StoreError> {
        self.entry_at(dir, name, rule, 0)
    }

    fn entry_at(
        &mut self,
        dir: &F::Handle,
        name: &str,
        rule: Rule,
        depth: u32,
    ) -> Result<(), StoreError> {
        let Some(stat) = self.look(dir, name)? else {
            return Ok(());
        };
        self.add(&stat, rule);
        if stat.kind == Kind::Directory {
            self.inside(dir, name, rule, depth + 1)?;
        }
        Ok(())
    }

    fn inside(
        &mut self,
        dir: &F::Handle,
        name: &str,
        rule: Rule,
        depth: u32,
    ) -> Result<(), StoreError> {
        if depth > DEPTH_MAX {
            return Err(Errno::NAMETOOLONG).at("look into", name);
        }
        let opened = self.fs.open(dir, name, Open::Directory);
        let listed = opened.and_then(|inner| Ok((self.fs.read_dir(&inner)?, inner)));
        let Some((names, inner)) = self.seen(listed, "list", name)? else {
            return Ok(());
        };
        for entry in names {
            self.entry_at(&inner, &entry.name, rule, depth)?;
        }
        Ok(())
    }

    fn look(&mut self, dir: &F::Handle, name: &str) -> Result<Option<Stat>, StoreError> {
        let stat = self.fs.stat(dir, name);
        self.seen(stat, "look at", name)
    }

    /// Takes what is not there for nothing, and what the disk lost for as good as nothing.
    fn seen<T>(
        &mut self,
        found: Result<T, Errno>,
        action: &'static str,
        name: &str,
    ) -> Result<Option<T>, StoreError> {
        match found {
            Ok(found) => Ok(Some(found)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(Errno::IO) => {
                tracing::warn!(name, action, "not counted, for it cannot be read");
                self.skipped = true;
                Ok(None)
            }
            Err(errno) => Err(errno).at(action, name),
        }
    }

    fn add(&mut self, stat: &Stat, rule: Rule) {
        let inode = (stat.device, stat.inode);
        let counts = if stat.kind == Kind::Directory {
            rule != Rule::Closing
        } else {
            match rule {
                Rule::Once => stat.links <= 1 || self.once.insert(inode),
                Rule::Sole => stat.links <= 1,
                Rule::Whole if stat.links <= 1 => true,
                Rule::Whole => {
                    let lacking = self.lacking.entry(inode).or_insert(stat.links);
                    *lacking = lacking.saturating_sub(1);
                    *lacking == 0
                }
                Rule::Closing => self.lacking.get_mut(&inode).is_some_and(|lacking| {
                    *lacking = lacking.saturating_sub(1);
                    *lacking == 0
                }),
            }
        };
        if counts {
            self.lacking.remove(&inode);
            self.bytes = self.bytes.saturating_add(stat.allocated);
        }
    }
}
