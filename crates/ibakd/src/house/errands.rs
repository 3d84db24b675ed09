//! Errands: what a client hands in stays here until the core has said yes, and goes with the job.

use super::effects::Work;
use super::{AnswerTo, House, Input, answer};
use crate::executor::{
    AdoptJob, CheckJob, EncryptionJob, ErrandWork, ICloudJob, PhoneWork, PurchasesJob, ReadJob,
    Reporter, RestoreJob, Stop, VerifyJob,
};
use ibak_core::{
    Errand, Fact, Failure, JobId, JobResult, Outcome, Request, Source, StartJob, Udid,
};
use ibak_dbus::Error;
use ibak_device::{Link, OnPhone, Unpaired};
use std::sync::Arc;
use tokio::sync::oneshot;
use tracing::{debug, info, warn};

/// Told how a job ended, with the error in its own words.
pub(super) type JobEnd = oneshot::Sender<(JobResult, String)>;

impl House {
    pub(super) fn errand_asked(
        &mut self,
        phone: Udid,
        errand: Errand,
        work: ErrandWork,
        reply: AnswerTo,
    ) {
        // An errand begins in this very step or not at all.
        self.hand.work = Some(work);
        self.ask(Request::Errand { phone, errand }, reply);
        self.hand.work = None;
    }

    /// Makes the job of an errand that the core has let begin.
    pub(super) fn errand(
        &mut self,
        errand: Errand,
        start: &StartJob,
        phone: Udid,
        reporter: Reporter,
        stop: Stop,
    ) -> Result<Work, Outcome> {
        let Some(work) = self.hand.work.take() else {
            return Err(mistaken());
        };
        match work {
            ErrandWork::CheckPassword { .. }
            | ErrandWork::Read(_)
            | ErrandWork::Verify { .. }
            | ErrandWork::Adopt { .. } => self.reading(work, phone, reporter, stop),
            ErrandWork::Encryption { .. }
            | ErrandWork::Restore(_)
            | ErrandWork::Purchases { .. }
            | ErrandWork::ICloud { .. } => {
                let talk = self.phone_work(start, &phone, reporter, stop)?;
                self.talking(work, errand, &phone, talk)
            }
        }
    }

    /// Makes the job of an errand that does without the phone.
    fn reading(
        &self,
        work: ErrandWork,
        phone: Udid,
        reporter: Reporter,
        stop: Stop,
    ) -> Result<Work, Outcome> {
        Ok(match work {
            ErrandWork::CheckPassword { backup, password } => {
                let job = CheckJob {
                    phone,
                    store: self.open_store()?,
                    backup,
                    password,
                    reporter,
                    stop,
                };
                Box::pin(job.run())
            }
            ErrandWork::Read(wish) => {
                let job = ReadJob {
                    phone,
                    store: self.open_store()?,
                    wish,
                    reporter,
                    stop,
                };
                Box::pin(job.run())
            }
            ErrandWork::Verify { backup } => {
                let job = VerifyJob {
                    phone,
                    store: self.open_store()?,
                    backup,
                    clock: self.clock.clone(),
                    reporter,
                    stop,
                };
                Box::pin(job.run())
            }
            ErrandWork::Adopt { input, size } => {
                let job = AdoptJob {
                    left: self.left_for(&phone),
                    phone,
                    store: self.open_store()?,
                    input,
                    size,
                    clock: self.clock.clone(),
                    reporter,
                    stop,
                };
                Box::pin(job.run())
            }
            ErrandWork::Encryption { .. }
            | ErrandWork::Restore(_)
            | ErrandWork::Purchases { .. }
            | ErrandWork::ICloud { .. } => return Err(mistaken()),
        })
    }

    /// Makes the job of an errand that talks to the phone.
    fn talking(
        &self,
        work: ErrandWork,
        errand: Errand,
        phone: &Udid,
        talk: PhoneWork,
    ) -> Result<Work, Outcome> {
        Ok(match work {
            ErrandWork::Encryption { old, new } => {
                let required = self.demands_encryption(phone);
                let job = EncryptionJob {
                    work: talk,
                    errand,
                    store: self.open_store()?,
                    quota: self.quota_of(phone),
                    old,
                    new,
                    required,
                };
                Box::pin(job.run())
            }
            ErrandWork::Restore(wish) => {
                let job = RestoreJob {
                    work: talk,
                    store: self.open_store()?,
                    wish,
                };
                Box::pin(job.run())
            }
            ErrandWork::Purchases { out, have } => {
                let job = PurchasesJob {
                    work: talk,
                    out,
                    have,
                };
                Box::pin(job.run())
            }
            ErrandWork::ICloud { on } => {
                let work = talk;
                Box::pin(ICloudJob { work, on }.run())
            }
            ErrandWork::CheckPassword { .. }
            | ErrandWork::Read(_)
            | ErrandWork::Verify { .. }
            | ErrandWork::Adopt { .. } => return Err(mistaken()),
        })
    }

    fn demands_encryption(&self, phone: &Udid) -> bool {
        let view = self.machine.view();
        let phone = view.phones.get(phone);
        phone.and_then(|phone| phone.encryption_required) == Some(true)
    }

    /// Tells how a job ends, at once if it has.
    pub(super) fn await_job(&mut self, job: JobId, reply: JobEnd) {
        if self.running.contains_key(&job) {
            self.awaited.entry(job).or_default().push(reply);
            return;
        }
        let ended = self.machine.view().jobs.get(&job).and_then(|view| {
            let result = view.result?;
            Some((result, view.detail.clone()))
        });
        // One that nobody knows any more ended long ago; dropping the reply says so.
        if let Some(ended) = ended {
            self.replies.push(Box::new(move || answer(reply, ended)));
        }
    }

    /// Tells those who wait for this job. Their answers go out after what the job has changed.
    pub(super) fn tell_who_waits(&mut self, job: JobId) {
        for reply in self.awaited.remove(&job).unwrap_or_default() {
            self.await_job(job, reply);
        }
    }

    /// Ends a pairing: here in any case, on the phone if it is there.
    pub(super) fn unpair(&mut self, phone: Udid, reply: oneshot::Sender<Result<(), Error>>) {
        let view = self.machine.view();
        let Some(known) = view.phones.get(&phone) else {
            return answer(reply, Err(Error::Failed("there is no such phone".into())));
        };
        if let Some(job) = known.job {
            let busy = format!("the phone is busy with job {}", job.get());
            return answer(reply, Err(Error::Busy(busy)));
        }
        if !self.unpairing.insert(phone.clone()) {
            let busy = "the phone is being unpaired already".to_owned();
            return answer(reply, Err(Error::Busy(busy)));
        }
        let (link, wire_udid) = self.way_to_unpair(&phone);
        // Its own reading would find the pairing gone in the middle.
        self.leave_alone(&phone);
        let (address, deadlines) = (self.mux.clone(), self.deadlines);
        let (records, inputs) = (Arc::clone(&self.records), self.inputs.clone());
        tokio::spawn(async move {
            let done = ibak_device::unpair(
                link.as_ref(),
                &address,
                &wire_udid,
                &records,
                &phone,
                &deadlines,
            )
            .await;
            let result = match done {
                Ok(done) => {
                    tell(&phone, &done);
                    Ok(())
                }
                Err(error) => Err(Error::Failed(error.to_string())),
            };
            if inputs
                .send(Input::Unpaired(phone, result.is_ok()))
                .await
                .is_err()
            {
                debug!("the loop has ended before the unpairing");
            }
            answer(reply, result);
        });
    }

    fn way_to_unpair(&self, phone: &Udid) -> (Option<Link>, String) {
        use ibak_core::Transport;
        let slot = self.phones.get(phone);
        let link = slot.and_then(|slot| {
            slot.link(&self.mux, Transport::Usb)
                .or_else(|| slot.link(&self.mux, Transport::Wifi))
        });
        let attachment = slot.and_then(super::phones::PhoneSlot::by_cable);
        let wire_udid = attachment.map_or(phone.as_str(), |it| it.wire_udid.as_str());
        (link, wire_udid.to_owned())
    }

    /// Says whether the pairing of this phone is just being ended: then nothing else begins.
    pub(super) fn is_unpairing(&self, phone: &Udid) -> bool {
        self.unpairing.contains(phone)
    }

    pub(super) fn unpaired(&mut self, phone: &Udid, done: bool) {
        self.unpairing.remove(phone);
        if done {
            // Otherwise the next cable would take usbmuxd's copy for a pairing of ours.
            if let Err(error) = self.memory.set_import(phone, false) {
                warn!(%error, %phone, "that it was unpaired cannot be kept");
            }
            self.leave_alone(phone);
            self.observe(phone, Fact::Trusted(Some(false)), Source::Usbmuxd);
        }
        self.attend(phone);
    }
}

fn mistaken() -> Outcome {
    Outcome::failed(Failure::Crashed, "an errand without its work")
}

fn tell(phone: &Udid, done: &Unpaired) {
    match &done.phone {
        OnPhone::Failed(error) => warn!(
            phone = %phone,
            %error,
            "unpaired here; the phone could not be asked to forget this computer"
        ),
        OnPhone::Forgotten | OnPhone::Unknown | OnPhone::NotAsked => {
            info!(phone = %phone, on_phone = ?done.phone, usbmuxd = ?done.usbmuxd, "unpaired");
        }
    }
}
