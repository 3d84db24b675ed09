//! Emptying the trash, at the caller's pace.
//!
//! What is to go is renamed into a trash at once, and unlinked here file by file, so that a
//! million names delay nobody. Stopped or crashed anywhere, the next sweep goes on. Promises:
//! only what lies in a trash goes, no link is followed, and a file goes before its directory.

use crate::error::{Context, ErrorKind, StoreError};
use crate::fs::util::DEPTH_MAX;
use crate::fs::{Errno, Fs, Kind, Open};
use crate::phone::{PhoneDir, phones};
use crate::store::{Inner, Store};
use crate::usage::{Account, Recount, TRASH};
use std::ops::ControlFlow;

/// What a sweep has removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Names that were no directories.
    pub files: u64,
    /// Bytes that are free on the disk again.
    pub bytes: u64,
}

/// Hears what a sweep has removed so far, and may stop it.
pub(crate) type Pace<'a> = &'a mut dyn FnMut(Swept) -> ControlFlow<()>;

impl<F: Fs> Store<F> {
    /// Empties the trash of every phone and that of the store; `pace` is called after each file
    /// with what is gone so far. The next sweep goes on where one stopped.
    ///
    /// # Errors
    /// The first system call's that failed; everything else is removed all the same.
    pub fn sweep(
        &self,
        pace: &mut dyn FnMut(Swept) -> ControlFlow<()>,
    ) -> Result<Swept, StoreError> {
        let inner = &*self.inner;
        inner.writable()?;
        let mut broom = Broom::new(inner, pace);
        let mut first = Ok(());
        for udid in phones(inner)? {
            let swept = match PhoneDir::open(inner, &udid) {
                Ok(Some(phone)) => broom.phone(&phone),
                Ok(None) => Ok(ControlFlow::Continue(())),
                Err(error) => Err(error),
            };
            match swept {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => return first.map(|()| broom.swept),
                Err(error) => first = first.and(Err(error)),
            }
        }
        if let Err(error) = broom.trash(&inner.root, &inner.accounts.forgotten) {
            first = first.and(Err(error));
        }
        first.map(|()| broom.swept)
    }

    /// Returns how many things wait in the trashes for a sweep.
    ///
    /// # Errors
    /// A system call's.
    pub fn trash_waiting(&self) -> Result<u64, StoreError> {
        waiting(&self.inner)
    }
}

pub(crate) fn waiting<F: Fs>(inner: &Inner<F>) -> Result<u64, StoreError> {
    let readable = |names: Result<Vec<String>, StoreError>| match names {
        // A sweep says so.
        Err(error) if error.kind() == ErrorKind::Io => {
            tracing::error!(%error, "a trash cannot be looked at");
            Ok(0)
        }
        names => names.map(|names| names.len()),
    };
    let mut count = readable(names(&inner.fs, &inner.root))?;
    for udid in phones(inner)? {
        count += readable(match PhoneDir::open(inner, &udid) {
            Ok(Some(phone)) => names(&inner.fs, &phone.dir),
            Ok(None) => Ok(Vec::new()),
            Err(error) => Err(error),
        })?;
    }
    Ok(u64::try_from(count).unwrap_or(u64::MAX))
}

/// Lists the trash of a directory; one without has nothing in it.
fn names<F: Fs>(fs: &F, dir: &F::Handle) -> Result<Vec<String>, StoreError> {
    match fs.open(dir, TRASH, Open::Directory) {
        Ok(trash) => {
            let names = crate::fs::util::sorted(fs, &trash).at("list", TRASH)?;
            Ok(names.into_iter().map(|entry| entry.name).collect())
        }
        Err(Errno::NOENT) => Ok(Vec::new()),
        Err(errno) => Err(errno).at("open", TRASH),
    }
}

/// Removes, counts and asks whether to go on.
pub(crate) struct Broom<'a, F: Fs> {
    inner: &'a Inner<F>,
    pub(crate) swept: Swept,
    pace: Pace<'a>,
}

type Flow = Result<ControlFlow<()>, StoreError>;

impl<'a, F: Fs> Broom<'a, F> {
    pub(crate) fn new(inner: &'a Inner<F>, pace: Pace<'a>) -> Self {
        Self {
            inner,
            swept: Swept::default(),
            pace,
        }
    }

    /// Empties a phone's trash.
    pub(crate) fn phone(&mut self, phone: &PhoneDir<'_, F>) -> Flow {
        if names(&self.inner.fs, &phone.dir)?.is_empty() {
            return Ok(ControlFlow::Continue(()));
        }
        let account = self.inner.accounts.of(&phone.udid);
        {
            // A crash in between must not leave a sum of what is half gone.
            let mut known = account.lock();
            known.settle(phone, Recount::Never)?;
            known.unsave(phone)?;
        }
        let outcome = self.trash(&phone.dir, &account);
        let is_known = match outcome {
            Ok(ControlFlow::Continue(())) => true,
            // What is gone stays gone then.
            Ok(ControlFlow::Break(())) => {
                self.inner.trusts_sync_fs && self.inner.fs.sync_fs(&phone.dir).is_ok()
            }
            Err(_) => false,
        };
        if is_known {
            account.lock().swept(phone);
        }
        outcome
    }

    fn trash(&mut self, dir: &F::Handle, account: &Account) -> Flow {
        let fs = &self.inner.fs;
        let trash = match fs.open(dir, TRASH, Open::Directory) {
            Ok(trash) => trash,
            Err(Errno::NOENT) => return Ok(ControlFlow::Continue(())),
            Err(errno) => return Err(errno).at("open", TRASH),
        };
        let mut first = Ok(ControlFlow::Continue(()));
        for name in names(fs, dir)? {
            match self.entry(&trash, &name, account, 0) {
                Ok(ControlFlow::Continue(())) => account.lock().left(&name),
                Ok(ControlFlow::Break(())) => return first.and(Ok(ControlFlow::Break(()))),
                Err(error) => first = first.and(Err(error)),
            }
        }
        first
    }

    fn entry(&mut self, dir: &F::Handle, name: &str, account: &Account, depth: u32) -> Flow {
        let fs = &self.inner.fs;
        if self.unlink(dir, name, account)? {
            return Ok((self.pace)(self.swept));
        }
        if depth == DEPTH_MAX {
            return Err(Errno::NAMETOOLONG).at("remove", name);
        }
        let inner = match fs.open(dir, name, Open::Directory) {
            Ok(inner) => inner,
            Err(Errno::NOENT) => return Ok(ControlFlow::Continue(())),
            Err(errno) => return Err(errno).at("open", name),
        };
        let before = fs.stat_handle(&inner).at("look at", name)?;
        if before.mode & 0o700 != 0o700 {
            fs.set_mode(&inner, 0o700).at("open up", name)?;
        }
        let emptied = self.contents(&inner, name, account, depth);
        if !matches!(emptied, Ok(ControlFlow::Continue(()))) {
            // What a directory gave back while its names went is not counted again.
            if let Ok(stat) = fs.stat_handle(&inner) {
                let mut known = account.lock();
                self.count(0, before.allocated.saturating_sub(stat.allocated));
                known.freed(before.allocated.saturating_sub(stat.allocated));
            }
            return emptied;
        }
        drop(inner);
        let mut known = account.lock();
        match fs.remove_dir(dir, name) {
            Ok(()) => {
                self.count(0, before.allocated);
                known.freed(before.allocated);
                Ok(ControlFlow::Continue(()))
            }
            Err(Errno::NOENT) => Ok(ControlFlow::Continue(())),
            Err(errno) => Err(errno).at("remove", name),
        }
    }

    fn contents(&mut self, dir: &F::Handle, name: &str, account: &Account, depth: u32) -> Flow {
        for entry in self.inner.fs.read_dir(dir).at("list", name)? {
            if self.entry(dir, &entry.name, account, depth + 1)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Removes a name unless it is a directory's; returns whether it is gone.
    fn unlink(
        &mut self,
        dir: &F::Handle,
        name: &str,
        account: &Account,
    ) -> Result<bool, StoreError> {
        let fs = &self.inner.fs;
        // Held over both, so that nobody counts between them.
        let mut known = account.lock();
        let stat = match fs.stat(dir, name) {
            Ok(stat) if stat.kind == Kind::Directory => return Ok(false),
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(true),
            Err(errno) => return Err(errno).at("look at", name),
        };
        match fs.unlink(dir, name) {
            Ok(()) => {
                let freed = if stat.links <= 1 { stat.allocated } else { 0 };
                known.freed(freed);
                self.count(1, freed);
                Ok(true)
            }
            Err(Errno::NOENT) => Ok(true),
            Err(errno) => Err(errno).at("remove", name),
        }
    }

    fn count(&mut self, files: u64, bytes: u64) {
        self.swept.files = self.swept.files.saturating_add(files);
        self.swept.bytes = self.swept.bytes.saturating_add(bytes);
    }
}
