//! Doing what the core asks for.

use super::{House, Input, Running};
use crate::executor::{self, BackupJob, End, PairJob, PhoneWork, Report, Reporter, Stop};
use ibak_core::{
    Attention, Bytes, Effect, Event, Extent, Failure, JobId, JobKind, JobResult, Outcome, Progress,
    Signal, StartJob, StoreComplaint, Udid,
};
use ibak_dbus::Dict;
use ibak_device::PairOptions;
use std::sync::Arc;
use tokio::sync::mpsc;
use tracing::{debug, info, warn};
use zbus::wire::OwnedVariant;

/// Reports of one job that wait for the loop.
const REPORTS_MAX: usize = 16;

impl House {
    pub(super) fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::StartJob(start) => self.start(start),
            Effect::StopJob { job, phone, why } => {
                let phone = phone.as_ref().map(Udid::as_str);
                info!(
                    phone,
                    job = job.get(),
                    why = why.outcome().result().word(),
                    "stopping the job"
                );
                if let Some(running) = self.running.get(&job) {
                    running.stop.ask(why);
                }
            }
            Effect::RefreshSignals { phone, which, why } => {
                debug!(%phone, ?which, ?why, "reading signals");
                if which.contains(&Signal::Wifi) {
                    self.look_on_network(&phone);
                }
                // The network alone tells that; the phone need not be woken for it.
                if which != [Signal::Wifi] {
                    self.read_phone(&phone, which);
                }
            }
            Effect::RefreshStore => self.look_at_store(),
            Effect::RemoveBackups { phone, backups } => self.remove_old(phone, backups),
            Effect::Forget(udid) => {
                if let Err(error) = self.memory.forget(&udid) {
                    warn!(%error, phone = %udid, "that it is forgotten cannot be kept");
                }
                self.rebuild_book();
                self.looks_of_it_are_old(udid);
            }
            Effect::Attention { phone, attention } => self.attract(phone, &attention),
            Effect::Answer { id, answer } => {
                if let (Ok(_), Some((old, new))) = (&answer, self.hand.heir.take()) {
                    self.inherit(&old, &new);
                }
                if let Some(asker) = self.asked.remove(&id) {
                    self.replies.push(Box::new(move || {
                        if asker.send(answer).is_err() {
                            debug!("the asker has left");
                        }
                    }));
                }
            }
            Effect::Remember(memory) => {
                if let Err(error) = self.memory.remember(&memory) {
                    warn!(%error, phone = %memory.phone, "what was learnt about the phone cannot be kept");
                }
            }
            Effect::RememberHouse(memory) => {
                if let Err(error) = self.memory.remember_house(&memory) {
                    warn!(%error, "the pause cannot be kept across a restart");
                }
            }
        }
    }

    fn attract(&mut self, phone: Option<Udid>, attention: &Attention) {
        let mut details = Dict::new();
        let mut add = |key: &str, value: OwnedVariant| drop(details.insert(key.to_owned(), value));
        let micros = |at: ibak_core::Wall| u64::try_from(at.as_micros()).unwrap_or(0);
        match attention {
            Attention::Asking { job } => add("job", OwnedVariant::from(job.get())),
            Attention::FailedNeedsYou { failure } => add("result", word(failure.word())),
            Attention::Overdue { last, first_seen } => {
                add("last-backup", OwnedVariant::from(last.map_or(0, micros)));
                add("first-seen", OwnedVariant::from(micros(*first_seen)));
            }
            Attention::StoreTrouble(complaint) => {
                add("reason", word(complaint.word()));
                match complaint {
                    StoreComplaint::Damage(backups) => {
                        add("backups", OwnedVariant::from(u64::from(*backups)));
                    }
                    StoreComplaint::NoRoom(room) => {
                        let needed = room.estimate.needed.get();
                        add("needed-bytes", OwnedVariant::from(needed));
                        add("free-bytes", OwnedVariant::from(room.store.free.get()));
                    }
                    StoreComplaint::Unavailable(_) | StoreComplaint::Full => {}
                }
            }
            Attention::DoneAfterGap { gap } => add("gap-secs", OwnedVariant::from(gap.as_secs())),
            Attention::MadeRoom { removed, freed } => {
                add("removed", OwnedVariant::from(u64::from(*removed)));
                add("freed-bytes", OwnedVariant::from(freed.get()));
            }
            Attention::CheckPassword { last } => {
                add("last-checked", OwnedVariant::from(last.map_or(0, micros)));
            }
        }
        self.call_attention(phone, attention.kind().word(), details);
    }

    fn start(&mut self, mut start: StartJob) {
        if let (JobKind::Backup, Some(phone)) = (start.kind, &start.phone)
            && self.afresh.remove(phone)
        {
            start.extent = Extent::Full;
        }
        let (job, phone) = (start.job, start.phone.clone());
        let span = tracing::info_span!(
            "job",
            job = job.get(),
            phone = phone.as_ref().map(Udid::as_str)
        );
        info!(parent: &span, kind = start.kind.word(), trigger = start.trigger.word(), "started");
        let stop = Stop::default();
        let running = Running {
            phone,
            stop: stop.clone(),
            started: self.clock.now().wall,
            trigger: start.trigger.word(),
            kind: start.kind,
        };
        self.running.insert(job, running);
        let reports = self.reports();
        let reporter = Reporter::new(job, reports.clone());
        let work = match (start.kind, start.phone.clone()) {
            (kind, Some(phone)) if self.is_unpairing(&phone) && kind.uses_phone() => Err(
                Outcome::failed(Failure::NotTrusted, "its pairing is just being ended"),
            ),
            (JobKind::Backup, Some(phone)) => self.backup(start, phone, reporter, stop),
            (JobKind::Pair, Some(phone)) => self.pairing(&phone, reporter, stop),
            (JobKind::Errand(errand), Some(phone)) => {
                self.errand(errand, &start, phone, reporter, stop)
            }
            (JobKind::MoveStore, _) => self.moving(reporter, stop),
            (JobKind::Backup | JobKind::Pair | JobKind::Errand(_), None) => Err(Outcome::failed(
                Failure::Crashed,
                "a phone's job without its phone",
            )),
        };
        match work {
            Ok(work) => executor::spawn(job, reports, span, work),
            Err(outcome) => executor::spawn(job, reports, span, async { End::early(outcome) }),
        }
    }

    /// Makes a channel for a job's reports that ends in the loop.
    fn reports(&self) -> mpsc::Sender<Report> {
        let (sender, receiver) = mpsc::channel(REPORTS_MAX);
        self.forward(receiver, Input::Report);
        sender
    }

    fn backup(
        &self,
        start: StartJob,
        phone: Udid,
        reporter: Reporter,
        stop: Stop,
    ) -> Result<Work, Outcome> {
        let gone = || {
            Outcome::failed(
                Failure::NotConnected,
                "the phone left before its backup began",
            )
        };
        let work = self.phone_work(&start, &phone, reporter, stop)?;
        let store = self.open_store()?;
        let locked = self
            .locked
            .get(&phone)
            .map(tokio::sync::watch::Sender::subscribe)
            .ok_or_else(gone)?;
        let job = BackupJob {
            work,
            store,
            quota: self.quota_of(&phone),
            room: self.room_for(&phone),
            locked,
            start,
        };
        Ok(Box::pin(job.run()))
    }

    pub(super) fn open_store(&self) -> Result<ibak_store::Store, Outcome> {
        self.store
            .clone()
            .ok_or_else(|| Outcome::failed(Failure::StoreUnavailable, "the store is not open"))
    }

    /// Puts together what a job needs to talk to its phone.
    pub(super) fn phone_work(
        &self,
        start: &StartJob,
        phone: &Udid,
        reporter: Reporter,
        stop: Stop,
    ) -> Result<PhoneWork, Outcome> {
        let gone = || Outcome::failed(Failure::NotConnected, "the phone has just left");
        let slot = self.phones.get(phone).ok_or_else(gone)?;
        let transport = start.transport.ok_or_else(gone)?;
        Ok(PhoneWork {
            phone: phone.clone(),
            // As the phone spells it; a muxer may leave the dash out, and a network has no word
            // for it.
            wire_udid: phone.as_str().to_owned(),
            link: slot.link(&self.mux, transport).ok_or_else(gone)?,
            records: Arc::clone(&self.records),
            clock: self.clock.clone(),
            reporter,
            stop,
            deadlines: self.deadlines,
            limits: self.limits.clone(),
        })
    }

    fn pairing(&self, udid: &Udid, reporter: Reporter, stop: Stop) -> Result<Work, Outcome> {
        let attached = self.phones.get(udid).and_then(PhoneSlot::by_cable);
        let phone = attached
            .ok_or_else(|| Outcome::failed(Failure::NeedsCable, "the phone is not on a cable"))?;
        let job = PairJob {
            address: self.mux.clone(),
            phone: phone.clone(),
            records: Arc::clone(&self.records),
            options: PairOptions {
                host_name: host_name(),
                deadlines: self.deadlines,
                ..PairOptions::default()
            },
            reporter,
            stop,
        };
        Ok(Box::pin(job.run()))
    }

    pub(super) fn report(&mut self, report: Report) {
        match report {
            Report::Phase(job, phase) => self.handle(Event::JobPhase(job, phase)),
            Report::Progress(job, progress) => self.handle(Event::JobProgress(job, progress)),
            Report::Ended(job, end) => self.ended(job, *end),
        }
    }

    fn ended(&mut self, job: JobId, end: End) {
        let Some(running) = self.running.remove(&job) else {
            return;
        };
        let result = end.outcome.result().word();
        let detail = end.outcome.detail().to_owned();
        let phone = running.phone.clone();
        info!(
            phone = phone.as_ref().map(Udid::as_str),
            job = job.get(),
            result,
            detail,
            bytes = end.bytes,
            files = end.files,
            "ended"
        );
        if let Some(phone) = phone.clone() {
            if end.copy_unusable {
                self.afresh.insert(phone.clone());
            }
            self.recorded.insert(job);
            self.keep_history(job, &running, phone, &end, result, detail);
        }
        self.tell_what_went(phone.as_ref(), &end);
        self.tell_last_progress(job, end.bytes, end.files);
        self.handle(Event::JobEnded(job, end.outcome));
        self.tell_who_waits(job);
        self.look_at_store();
        let Some(phone) = phone else {
            return;
        };
        self.look_at_contents(phone.clone());
        if running.kind == JobKind::Pair {
            if result == JobResult::Succeeded.word()
                && let Err(error) = self.memory.set_import(&phone, true)
            {
                warn!(%error, %phone, "that it is paired again cannot be kept");
            }
            self.reread_after_pairing(&phone);
        }
    }

    /// Tells what had arrived when a job ended: the last paced look is older. It goes out in one
    /// step with the end.
    fn tell_last_progress(&mut self, job: JobId, bytes: u64, files: u64) {
        let Some(last) = self.machine.view().jobs.get(&job).map(|view| view.progress) else {
            return;
        };
        let progress = Progress {
            bytes_done: last.bytes_done.max(Bytes::new(bytes)),
            files_done: last.files_done.max(files),
            ..last
        };
        self.handle(Event::JobProgress(job, progress));
    }
}

pub(super) type Work = std::pin::Pin<Box<dyn Future<Output = End> + Send>>;

use super::phones::PhoneSlot;

fn word(word: &str) -> OwnedVariant {
    OwnedVariant::from(zbus::wire::Str::from(word.to_owned()))
}

/// Returns this computer's name, as the phone's trust question shows it.
fn host_name() -> String {
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    if name.is_empty() {
        "ibak".to_owned()
    } else {
        name
    }
}
