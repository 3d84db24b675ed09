//! What bus clients ask of the loop. Whatever needs the disk is answered beside it.

use super::book::Book;
use super::{AnswerTo, House, answer};
use crate::bus::Call;
use crate::config::Config;
use crate::executor::blocking;
use crate::history::{Attempt, History};
use ibak_core::{Event, Request, RequestId, StoreObservation, StoreReport, StoreTrouble, Wall};
use ibak_dbus::views::AttemptView;
use ibak_dbus::words::{JobKind, Outcome, Trigger};
use ibak_dbus::{Dict, Error};
use std::sync::Arc;
use tracing::info;

impl House {
    pub(super) fn call(&mut self, call: Call) {
        match call {
            Call::Request(request, reply) => {
                if let Request::Replace { old, new } = &request {
                    self.hand.heir = Some((old.clone(), new.clone()));
                }
                self.ask(request, reply);
                self.hand.heir = None;
            }
            Call::GetPolicy { phone, reply } => {
                let rows = self.get_policy(&phone);
                self.replies.push(Box::new(move || answer(reply, rows)));
            }
            Call::SetPolicy {
                phone,
                changes,
                reply,
            } => self.set_policy(&phone, changes, reply),
            Call::Errand {
                phone,
                errand,
                work,
                reply,
            } => self.errand_asked(phone, errand, work, reply),
            Call::Await { job, reply } => self.await_job(job, reply),
            Call::Unpair { phone, reply } => self.unpair(phone, reply),
            Call::TestNotification { phone, reply } => self.test_notification(phone, reply),
            Call::LookedAt(udid) => self.handle(Event::LookedAt(udid)),
            Call::Reload(reply) => match self.reload() {
                Ok(Taken::OtherStore) => self.reloading.push(reply),
                Ok(Taken::Same) => self.replies.push(Box::new(move || answer(reply, Ok(())))),
                Err(error) => self
                    .replies
                    .push(Box::new(move || answer(reply, Err(error)))),
            },
            Call::Diagnose(reply) => {
                let rows = self.diagnose();
                self.replies.push(Box::new(move || answer(reply, rows)));
            }
            Call::Storage(call) => self.storage_call(call),
            Call::OwnerOf(phone, reply) => answer(reply, self.owner_of(&phone)),
            Call::ListObservations {
                phone,
                since,
                until,
                reply,
            } => self.list_observations(phone, since, until, reply),
            Call::ListAttempts {
                phone,
                since,
                all,
                reply,
            } => {
                let history = Arc::clone(&self.history);
                let read = move || history_rows(&history, &phone, since, all);
                tokio::spawn(async move { answer(reply, blocking(read).await) });
            }
        }
    }

    /// Asks the core; what it answers is told once it is kept.
    pub(super) fn ask(&mut self, request: Request, reply: AnswerTo) {
        let id = RequestId(self.next_request);
        self.next_request += 1;
        self.asked.insert(id, reply);
        self.handle(Event::Requested { id, request });
    }

    /// Takes the whole new configuration or refuses it whole. What is bound at the start
    /// (usbmuxd, log level, network) must be as it was; another store is taken while no job holds
    /// the present one.
    fn reload(&mut self) -> Result<Taken, Error> {
        let failed = |error: &dyn std::fmt::Display| Error::Failed(error.to_string());
        let without = "the daemon was started without a configuration file";
        let path = self.config_path.clone().ok_or_else(|| failed(&without))?;
        let fresh = Config::load(&path).map_err(|error| failed(&error))?;
        let old = &self.config;
        let fixed = [
            ("usbmuxd", old.usbmuxd == fresh.usbmuxd),
            ("log", old.log == fresh.log),
            (
                "network",
                old.mdns == fresh.mdns && old.interfaces == fresh.interfaces,
            ),
        ];
        if let Some((key, _)) = fixed.iter().find(|(_, same)| !same) {
            return Err(failed(&format!(
                "`{key}` has changed, which takes a restart: systemctl restart ibakd"
            )));
        }
        let other_store = (&old.store, old.reserve_bytes) != (&fresh.store, fresh.reserve_bytes);
        if other_store && self.store_is_used() {
            return Err(Error::Busy(
                "`store` or `reserve` has changed, and a job is using the store: reload again when \
                 it is done"
                    .to_owned(),
            ));
        }
        let candidates = self.candidates();
        let book = Book::new(&fresh, &self.memory.settings(), &candidates);
        let policies = book.policies(&fresh);
        policies.check().map_err(|error| failed(&error))?;
        info!("configuration taken");
        self.config = fresh;
        self.candidates = candidates;
        self.scrub_within.send_replace(self.config.scrub);
        self.upkeep.wake();
        if other_store {
            self.close_store();
            self.handle(Event::Store(StoreObservation {
                report: StoreReport::Unavailable(StoreTrouble::Moving),
                at: self.clock.now(),
                time_to_live: None,
            }));
            // A look at the store as it was says nothing of this one.
            self.looks.store += 1;
            self.looks.busy = false;
        }
        self.take_book(book);
        self.plan_schedule();
        self.look_at_store();
        Ok(if other_store {
            Taken::OtherStore
        } else {
            Taken::Same
        })
    }
}

/// What a new configuration brought.
enum Taken {
    /// The store is as it was.
    Same,
    /// Another store is about to be looked at.
    OtherStore,
}

fn history_rows(history: &History, phone: &ibak_core::Udid, since: Wall, all: bool) -> Vec<Dict> {
    history
        .attempts(phone, since, all)
        .iter()
        .map(attempt_row)
        .collect()
}

fn attempt_row(attempt: &Attempt) -> Dict {
    AttemptView {
        kind: JobKind::parse(&attempt.kind),
        started: Some(attempt.started),
        ended: Some(attempt.ended),
        trigger: Trigger::parse(&attempt.trigger),
        result: Some(Outcome::parse(&attempt.result)),
        job: Some(ibak_core::JobId::new(attempt.job)),
        backup: attempt
            .backup
            .as_deref()
            .and_then(|id| ibak_core::BackupId::parse(id).ok()),
        bytes: ibak_core::Bytes::new(attempt.bytes),
        files: attempt.files,
        device_code: (attempt.device_code != 0).then_some(attempt.device_code),
        detail: attempt.detail.clone(),
        waits_for: super::chronicling::waited_for(&attempt.waits_for),
    }
    .to_dict()
}
