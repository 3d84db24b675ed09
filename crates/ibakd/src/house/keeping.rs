//! What people ask of the store itself, and what is removed without their asking.
//!
//! Whatever needs the disk is done beside the loop.

use super::effects::Work;
use super::{House, Input, answer};
use crate::bus::{StorageCall, refusal};
use crate::clock::local_day;
use crate::executor::{End, MoveJob, Reporter, RoomMaker, Stop, blocking};
use crate::history::{History, Use};
use crate::sources::store::StoreSettings;
use ibak_core::retention::Fate;
use ibak_core::{
    BackupId, Bytes, Event, Failure, Outcome, PhoneShare, PhoneView, Request, RequestError,
    StoreNumbers, StoreReport, Udid, Wall, forecast,
};
use ibak_dbus::views::{BackupView, StorageView};
use ibak_dbus::words::KeepReason;
use ibak_dbus::{Dict, Error};
use ibak_store::{Generation, Remover, Reserve, Store, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tracing::{debug, info};

/// How far back a forecast looks.
const USES_BACK: Duration = Duration::from_secs(90 * 86_400);

impl House {
    pub(super) fn storage_call(&mut self, call: StorageCall) {
        match call {
            StorageCall::Remove {
                phone,
                backup,
                remover,
                reply,
            } => {
                let work = move |store: &Store, phone: &Udid| store.remove(phone, &backup, remover);
                self.change(phone, work, reply);
            }
            StorageCall::Pin {
                phone,
                backup,
                pinned,
                reply,
            } => {
                let work =
                    move |store: &Store, phone: &Udid| store.pin(phone, &backup, pinned).map(drop);
                self.change(phone, work, reply);
            }
            StorageCall::Forget { phone, reply } => self.forget(phone, reply),
            StorageCall::Backups {
                phone,
                frees,
                explain,
                reply,
            } => self.list_backups(phone, frees, explain, reply),
            StorageCall::Storage(reply) => self.list_storage(reply),
            StorageCall::Move { target, reply } => {
                self.hand.target = Some(target);
                self.ask(Request::MoveStore, reply);
                self.hand.target = None;
            }
        }
    }

    /// Does something to a phone's backups and looks at them again.
    fn change(
        &self,
        phone: Udid,
        work: impl FnOnce(&Store, &Udid) -> Result<(), StoreError> + Send + 'static,
        reply: oneshot::Sender<Result<(), Error>>,
    ) {
        let store = match self.machine.moving() {
            // The copy would not have it.
            Some(job) => Err(refusal(RequestError::StoreMoving { job })),
            None => self.usable_store(),
        };
        let inputs = self.inputs.clone();
        tokio::spawn(async move {
            let done = match store {
                Err(error) => Err(error),
                Ok(store) => {
                    let udid = phone.clone();
                    let done = blocking(move || work(&store, &udid)).await;
                    done.map_err(|error| bus_error(&error))
                }
            };
            if done.is_ok() && inputs.send(Input::StoreChanged(phone)).await.is_err() {
                debug!("the loop has ended before the change");
            }
            answer(reply, done);
        });
    }

    /// Looks again at what was changed, and at what is left to be swept.
    pub(super) fn store_changed(&mut self, phone: Udid) {
        self.upkeep.wake();
        self.look_at_contents(phone);
        self.look_at_store();
    }

    fn usable_store(&self) -> Result<Store, Error> {
        let trouble = || {
            let words = self.store_trouble.clone();
            Error::Failed(words.unwrap_or_else(|| "the store is not open yet".to_owned()))
        };
        self.store.clone().ok_or_else(trouble)
    }

    /// Removes what the core no longer keeps.
    pub(super) fn remove_old(&self, phone: Udid, backups: Vec<BackupId>) {
        let Ok(store) = self.usable_store() else {
            return;
        };
        let inputs = self.inputs.clone();
        tokio::spawn(async move {
            let udid = phone.clone();
            blocking(move || {
                for backup in backups {
                    match store.remove(&udid, &backup, Remover::Plan) {
                        Ok(()) => {}
                        // The next backup's plan has it again.
                        Err(error) => info!(phone = %udid, %backup, %error, "it stays for now"),
                    }
                }
            })
            .await;
            if inputs.send(Input::StoreChanged(phone)).await.is_err() {
                debug!("the loop has ended before the removal");
            }
        });
    }

    /// Asks the core first: it knows of every job that would miss what is removed. A phone that is
    /// there is met anew, and not backed up by itself.
    fn forget(&mut self, phone: Udid, reply: oneshot::Sender<Result<(), Error>>) {
        let store = match self.usable_store() {
            Ok(store) => store,
            Err(error) => return answer(reply, Err(error)),
        };
        let (told, asked) = oneshot::channel();
        let request = Request::Forget {
            phone: phone.clone(),
        };
        self.ask(request, told);
        let (inputs, history) = (self.inputs.clone(), Arc::clone(&self.history));
        tokio::spawn(async move {
            match asked.await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return answer(reply, Err(refusal(error))),
                // The loop has ended; dropping the reply says so.
                Err(_) => return,
            }
            let udid = phone.clone();
            let gone = blocking(move || {
                store.forget(&udid)?;
                history.forget(&udid);
                Ok(())
            })
            .await
            .map_err(|error: StoreError| bus_error(&error));
            // If it could not be removed, it is seen again.
            if inputs.send(Input::StoreChanged(phone)).await.is_err() {
                debug!("the loop has ended before the phone was forgotten");
            }
            answer(reply, gone);
        });
    }

    fn list_backups(
        &self,
        phone: Udid,
        frees: bool,
        explain: bool,
        reply: oneshot::Sender<Result<Vec<Dict>, Error>>,
    ) {
        let store = self.usable_store();
        let today = local_day(self.clock.now().wall);
        // Of one that nobody knows, or that is retired, there will be no next backup.
        let goes_on = |view: &PhoneView| !view.retired;
        let known = self.machine.view().phones.get(&phone).is_some_and(goes_on);
        let fates = (explain && known).then(|| self.machine.fates(&phone, today));
        let measuring = Arc::clone(&self.measuring);
        tokio::spawn(async move {
            let rows = match store {
                Err(error) => Err(error),
                Ok(store) => {
                    // To measure is to walk through a whole backup: one at a time.
                    let _turn = if frees {
                        measuring.acquire_owned().await.ok()
                    } else {
                        None
                    };
                    let list = move || rows(&store, &phone, frees, fates.as_deref());
                    blocking(list).await.map_err(|error| bus_error(&error))
                }
            };
            answer(reply, rows);
        });
    }

    fn list_storage(&self, reply: oneshot::Sender<Result<Vec<Dict>, Error>>) {
        let store = self.usable_store();
        let view = self.machine.view();
        let numbers = match view.house.store {
            Some(StoreReport::Open(numbers)) => numbers,
            Some(StoreReport::Unavailable(_)) | None => StoreNumbers::default(),
        };
        let phones: Vec<_> = view
            .phones
            .into_values()
            .map(|phone| (phone.udid, phone.share, phone.retired))
            .collect();
        let (history, now) = (Arc::clone(&self.history), self.clock.now().wall);
        tokio::spawn(async move {
            let rows = match store {
                Err(error) => Err(error),
                Ok(store) => {
                    let look = move || storage(&store, numbers, &phones, &history, now);
                    blocking(look).await.map_err(|error| bus_error(&error))
                }
            };
            answer(reply, rows);
        });
    }

    /// Returns the most that this phone's backups may take on the disk.
    pub(super) fn quota_of(&self, phone: &Udid) -> Option<Bytes> {
        let view = self.machine.view();
        let share = view
            .phones
            .get(phone)
            .map_or_else(PhoneShare::default, |phone| phone.share);
        match view.house.store {
            Some(StoreReport::Open(numbers)) => {
                numbers.quota_of(share, self.machine.promised_to_others(phone))
            }
            Some(StoreReport::Unavailable(_)) | None => share.quota,
        }
    }

    /// Returns what may still be written for this phone.
    pub(super) fn left_for(&self, phone: &Udid) -> Bytes {
        let view = self.machine.view();
        let share = view
            .phones
            .get(phone)
            .map_or_else(PhoneShare::default, |phone| phone.share);
        let whole = match view.house.store {
            Some(StoreReport::Open(numbers)) => numbers.available(),
            Some(StoreReport::Unavailable(_)) | None => Bytes::ZERO,
        };
        share.left().map_or(whole, |own| own.min(whole))
    }

    /// Returns what a backup of this phone may do about a full store.
    pub(super) fn room_for(&self, phone: &Udid) -> Option<RoomMaker> {
        Some(RoomMaker {
            phone: phone.clone(),
            store: self.store.clone()?,
            capacity: self.phones.get(phone).and_then(|slot| slot.capacity),
            trust: self.machine.view().house.clock,
            clock: self.clock.clone(),
            made: None,
        })
    }

    /// Tells what a job removed to make room.
    pub(super) fn tell_what_went(&mut self, phone: Option<&Udid>, end: &End) {
        if let (Some(phone), Some(made)) = (phone, end.made_room) {
            self.handle(Event::MadeRoom {
                phone: phone.clone(),
                removed: made.removed,
                freed: made.freed,
            });
        }
    }

    /// Makes the job that copies the store.
    pub(super) fn moving(&mut self, reporter: Reporter, stop: Stop) -> Result<Work, Outcome> {
        let Some(target) = self.hand.target.take() else {
            return Err(Outcome::failed(
                Failure::Crashed,
                "moving the store without a place",
            ));
        };
        let settings = StoreSettings::of(&self.config, true);
        let job = MoveJob {
            store: self.open_store()?,
            target,
            reserve: settings.reserve.map_or(Reserve::Usual, Reserve::Fixed),
            clock: self.clock.clone(),
            reporter,
            stop,
        };
        Ok(Box::pin(job.run()))
    }

    /// Notes what a phone's backups take, for the forecast.
    pub(super) fn note_use(&mut self, phone: &Udid, used: Bytes) {
        let noted = Use {
            phone: phone.clone(),
            at: self.clock.now().wall,
            used,
        };
        let history = Arc::clone(&self.history);
        while self.keeping.try_join_next().is_some() {}
        self.keeping
            .spawn(blocking(move || history.note_use(&noted)));
    }
}

/// Names the bus error of what the store refused.
fn bus_error(error: &StoreError) -> Error {
    let words = error.to_string();
    match error {
        StoreError::NoSuchBackup(_) => Error::NoSuchBackup(words),
        StoreError::InUse(_) | StoreError::Busy(_) | StoreError::LayingOut(_) => Error::Busy(words),
        StoreError::NoRoom { .. } => Error::NoSpace(words),
        StoreError::System { .. }
        | StoreError::Unavailable { .. }
        | StoreError::UnsafePath { .. }
        | StoreError::Locked { .. }
        | StoreError::Unfit { .. }
        | StoreError::NewerFormat { .. }
        | StoreError::Damaged { .. }
        | StoreError::Keybag(_)
        | StoreError::PasswordNeeded
        | StoreError::NotEncrypted
        | StoreError::Poisoned
        | StoreError::Refused { .. }
        | StoreError::Incomplete(_)
        | StoreError::Unadoptable(_)
        | StoreError::Cancelled => Error::Failed(words),
    }
}

fn rows(
    store: &Store,
    phone: &Udid,
    frees: bool,
    fates: Option<&[Fate]>,
) -> Result<Vec<Dict>, StoreError> {
    let list = store.list(phone)?;
    let mut rows = Vec::new();
    for found in &list {
        let mut row = backup_row(found);
        if frees {
            match store.gains(phone, std::slice::from_ref(&found.id)) {
                Ok(bytes) => row.frees = Some(Bytes::new(bytes)),
                // It went while the others were measured.
                Err(StoreError::NoSuchBackup(_)) => continue,
                Err(error) => return Err(error),
            }
        }
        row.keep = fates.map(|fates| reasons(fates, &found.id));
        rows.push(row.to_dict());
    }
    Ok(rows)
}

fn reasons(fates: &[Fate], id: &BackupId) -> Vec<KeepReason> {
    let fate = fates.iter().find(|fate| &fate.id == id);
    fate.into_iter()
        .flat_map(|fate| &fate.reasons)
        .map(|reason| KeepReason::parse(reason.word()))
        .collect()
}

fn backup_row(generation: &Generation) -> BackupView {
    BackupView {
        id: generation.id.clone(),
        finished: Some(generation.finished),
        size: Bytes::new(generation.size_bytes),
        unique: Bytes::new(generation.unique_bytes),
        os_version: generation.os_version.clone().unwrap_or_default(),
        encrypted: generation.encrypted,
        verified: generation
            .verified
            .then(|| generation.checked.unwrap_or(generation.finished)),
        pinned: generation.pinned,
        full: generation.full,
        files: generation.files,
        keybag: generation.keybag_uuid.clone(),
        damaged: u64::try_from(generation.damaged.len()).unwrap_or(u64::MAX),
        guarded: generation.guarded,
        adopted: generation.adopted,
        frees: None,
        keep: None,
    }
}

fn storage(
    store: &Store,
    numbers: StoreNumbers,
    phones: &[(Udid, PhoneShare, bool)],
    history: &History,
    now: Wall,
) -> Result<Vec<Dict>, StoreError> {
    let since = now - USES_BACK;
    let left = numbers.available();
    let mut whole = StorageView {
        used: numbers.used,
        quota: numbers.quota,
        left,
        full: forecast(&history.uses_of_all(since), left, now),
        trash: store.trash_waiting()?,
        ..StorageView::default()
    };
    let mut rows = Vec::new();
    for (phone, share, retired) in phones {
        let list = store.list(phone)?;
        if list.is_empty() && share.quota.is_none() {
            continue;
        }
        let left = share.left().map_or(left, |own| own.min(left));
        let damaged = list.iter().filter(|found| !found.verified).count();
        let row = StorageView {
            phone: Some(phone.clone()),
            used: share.used,
            quota: share.quota,
            left,
            full: forecast(&history.uses(phone, since), left, now),
            backups: u64::try_from(list.len()).unwrap_or(u64::MAX),
            damaged: u64::try_from(damaged).unwrap_or(u64::MAX),
            oldest: list.first().map(|found| found.finished),
            newest: list.last().map(|found| found.finished),
            read: store.last_read(phone)?,
            trash: 0,
            retired: *retired,
        };
        whole.backups = whole.backups.saturating_add(row.backups);
        whole.damaged = whole.damaged.saturating_add(row.damaged);
        whole.oldest = [whole.oldest, row.oldest].into_iter().flatten().min();
        whole.newest = whole.newest.max(row.newest);
        whole.read = [whole.read, row.read].into_iter().flatten().min();
        rows.push(row);
    }
    rows.insert(0, whole);
    Ok(rows.iter().map(StorageView::to_dict).collect())
}
