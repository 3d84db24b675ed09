//! What bus clients ask of the loop. Whatever needs the disk is answered beside it.

use super::{House, policy};
use crate::bus::Call;
use crate::config::Config;
use crate::executor::blocking;
use crate::history::{Attempt, History};
use ibak_core::{Event, RequestId, Wall};
use ibak_dbus::Dict;
use ibak_dbus::views::{AttemptView, BackupView};
use ibak_dbus::words::{Outcome, Trigger};
use std::sync::Arc;
use tokio::sync::oneshot;
use tracing::{debug, info};

impl House {
    pub(super) fn call(&mut self, call: Call) {
        match call {
            Call::Request(request, reply) => {
                let id = RequestId(self.next_request);
                self.next_request += 1;
                self.asked.insert(id, reply);
                self.handle(Event::Requested { id, request });
            }
            Call::Errand {
                phone,
                errand,
                work,
                reply,
            } => self.errand_asked(phone, errand, work, reply),
            Call::Await { job, reply } => self.await_job(job, reply),
            Call::Unpair { phone, reply } => self.unpair(phone, reply),
            Call::LookedAt(udid) => self.handle(Event::LookedAt(udid)),
            Call::Reload(reply) => {
                let outcome = self.reload();
                self.replies.push(Box::new(move || answer(reply, outcome)));
            }
            Call::Diagnose(reply) => {
                let rows = self.diagnose();
                self.replies.push(Box::new(move || answer(reply, rows)));
            }
            Call::ListBackups { phone, reply } => {
                let store = self.store.clone();
                let trouble = self.store_trouble.clone();
                tokio::spawn(async move {
                    let rows = match store {
                        None => {
                            Err(trouble.unwrap_or_else(|| "the store is not open yet".to_owned()))
                        }
                        Some(store) => blocking(move || store.list(&phone))
                            .await
                            .map_err(|error| error.to_string()),
                    };
                    answer(
                        reply,
                        rows.map(|list| list.iter().map(backup_row).collect()),
                    );
                });
            }
            Call::ListAttempts {
                phone,
                since,
                reply,
            } => {
                let history = Arc::clone(&self.history);
                let read = move || history_rows(&history, &phone, since);
                tokio::spawn(async move { answer(reply, blocking(read).await) });
            }
        }
    }

    /// Takes the whole new configuration or refuses it whole. What is bound at the start
    /// (store, usbmuxd, log level, network) must be as it was.
    fn reload(&mut self) -> Result<(), String> {
        let path = self
            .config_path
            .clone()
            .ok_or("the daemon was started without a configuration file")?;
        let fresh = Config::load(&path).map_err(|error| error.to_string())?;
        let old = &self.config;
        let fixed = [
            ("store", old.store == fresh.store),
            ("usbmuxd", old.usbmuxd == fresh.usbmuxd),
            ("log", old.log == fresh.log),
            ("reserve", old.reserve_bytes == fresh.reserve_bytes),
            (
                "network",
                old.mdns == fresh.mdns && old.interfaces == fresh.interfaces,
            ),
        ];
        if let Some((key, _)) = fixed.iter().find(|(_, same)| !same) {
            return Err(format!(
                "`{key}` has changed, which takes a restart: systemctl restart ibakd"
            ));
        }
        let policies = policy::policies(&fresh);
        policies.check().map_err(|error| error.to_string())?;
        info!("configuration taken");
        self.config = fresh;
        self.policies = policies.clone();
        self.handle(Event::PoliciesChanged(policies));
        self.plan_schedule();
        self.look_at_store();
        Ok(())
    }
}

fn answer<T>(reply: oneshot::Sender<T>, value: T) {
    if reply.send(value).is_err() {
        debug!("the asker has left");
    }
}

fn backup_row(generation: &ibak_store::Generation) -> Dict {
    BackupView {
        id: generation.id.clone(),
        finished: Some(generation.finished),
        size: ibak_core::Bytes::new(generation.size_bytes),
        unique: ibak_core::Bytes::new(generation.unique_bytes),
        os_version: generation.os_version.clone().unwrap_or_default(),
        encrypted: generation.encrypted,
        verified: generation
            .verified
            .then(|| generation.checked.unwrap_or(generation.finished)),
        pinned: generation.pinned,
        full: generation.full,
        files: generation.files,
        keybag: generation.keybag_uuid.clone(),
    }
    .to_dict()
}

fn history_rows(history: &History, phone: &ibak_core::Udid, since: Wall) -> Vec<Dict> {
    history
        .attempts(phone, since)
        .iter()
        .map(attempt_row)
        .collect()
}

fn attempt_row(attempt: &Attempt) -> Dict {
    AttemptView {
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
        waits_for: Vec::new(),
    }
    .to_dict()
}
