//! Rendering what is known into the one picture that bus and CLI may see.

use super::Machine;
use super::errand::check_at;
use super::job::{Job, Stage};
use super::phone::Phone;
use crate::{
    Automatic, Decision, Hold, HouseView, JobKind, JobState, JobView, Now, Phase, PhoneState,
    PhoneView, Refusal, StorageState, Trust, Udid, View,
};
use std::time::Duration;

/// For how long an ended job stays visible.
pub const JOB_KEPT: Duration = Duration::from_secs(60);

impl Machine {
    /// Returns how a person switched automatic backup of this phone; `None` leaves it to its policy.
    pub fn switched(&self, phone: &Udid) -> Option<Automatic> {
        self.phones.get(phone)?.automatic
    }

    /// Returns all that may be seen, as of the last call of [`Machine::handle`].
    pub fn view(&self) -> View {
        let store = self.store_report(self.now).ok();
        let on_cable = self.phones.values().filter(|phone| phone.reach.usb).count();
        let on_cable = u32::try_from(on_cable).unwrap_or(u32::MAX);
        View {
            house: HouseView {
                pause: self.pause,
                storage: StorageState::of(store.as_ref()),
                store,
                recovered: self.recovered,
                muxer: self.muxer,
                apple_on_usb: self.apple_on_usb,
                host: self.host,
                unseen_by_muxer: self
                    .apple_on_usb
                    .map_or(0, |seen| seen.saturating_sub(on_cable)),
                running: self.running(),
                parallel_max: self.policies.parallel_max,
                upkeep: self.upkeep(),
                clock: self.clock_trust(),
            },
            phones: self
                .phones
                .values()
                .map(|it| (it.udid.clone(), self.phone_view(it, self.now)))
                .collect(),
            jobs: self
                .jobs
                .values()
                .map(|job| (job.id, self.job_view(job)))
                .collect(),
        }
    }

    fn phone_view(&self, phone: &Phone, now: Now) -> PhoneView {
        let job = self.job_of(&phone.udid);
        let mut backups: Vec<_> = phone.backups.iter().map(|it| it.facts.clone()).collect();
        backups.sort_by(|a, b| b.id.cmp(&a.id));
        PhoneView {
            udid: phone.udid.clone(),
            identity: phone.identity.clone(),
            state: state(phone, job),
            reach: phone.reach,
            trust: phone.trust,
            automatic: self.automatic(phone),
            retired: phone.retired,
            share: self.share_of(phone),
            conditions: phone.conditions,
            room: phone.room,
            battery_percent: phone.facts.battery_percent(now),
            encrypts: phone.facts.encrypts,
            encryption_required: phone.facts.encryption_required,
            password_proved: phone.password_proved,
            password_due: check_at(phone, self.policy(&phone.udid))
                .is_some_and(|at| at <= now.wall),
            staged: phone.staged,
            icloud: phone.facts.icloud,
            icloud_date: phone.facts.icloud_date,
            passcode: phone.passcode(),
            decision: phone.decision.clone(),
            next_attempt: phone.decision.next_attempt(),
            last_backup: backups.first().map(|it| it.finished),
            backups,
            last_result: phone.last_result,
            overdue: self.is_overdue(&phone.udid, now),
            job: job.map(|job| job.id),
            first_seen: phone.first_seen,
            last_seen: if phone.reach.best().is_some() {
                None
            } else {
                phone.last_seen
            },
        }
    }

    fn job_view(&self, job: &Job) -> JobView {
        let phone = job.phone.as_ref().and_then(|udid| self.phones.get(udid));
        let waits_for = match (&job.stage, phone) {
            (Stage::Queued, Some(phone)) => phone.decision.waits_for(),
            (Stage::Queued, None)
            | (Stage::Running { .. } | Stage::Stopping { .. } | Stage::Ended { .. }, _) => {
                Vec::new()
            }
        };
        let mut view = JobView {
            id: job.id,
            kind: job.kind,
            phone: job.phone.clone(),
            trigger: job.trigger(),
            extent: job.extent,
            transport: job.transport(),
            started: job.accepted.wall,
            state: JobState::Running,
            phase: job.phase,
            progress: job.progress,
            waits_for,
            may_move: self.may_move(job),
            result: None,
            detail: String::new(),
            backup: None,
            ended: None,
        };
        if let Stage::Ended {
            result,
            detail,
            backup,
            at,
        } = &job.stage
        {
            view.state = result.job_state();
            view.result = Some(*result);
            view.detail.clone_from(detail);
            view.backup.clone_from(backup);
            view.ended = Some(at.wall);
        }
        view
    }
}

fn state(phone: &Phone, job: Option<&Job>) -> PhoneState {
    if let Some(job) = job.filter(|job| job.is_running()) {
        match (job.phase, job.kind) {
            (Phase::Asking, _) => return PhoneState::Asking,
            (Phase::Verifying | Phase::Committing, JobKind::Backup) => {
                return PhoneState::Committing;
            }
            (_, JobKind::Backup) => return PhoneState::BackingUp,
            (_, JobKind::Pair | JobKind::Errand(_) | JobKind::MoveStore) => {}
        }
    }
    if phone.reach.best().is_none() {
        return PhoneState::Absent;
    }
    if phone.trust == Trust::Untrusted {
        return PhoneState::Untrusted;
    }
    match &phone.decision {
        Decision::NotDue { .. } | Decision::Refuse(Refusal::AutomaticOff) => PhoneState::Idle,
        Decision::Refuse(Refusal::NotTrusted) => PhoneState::Untrusted,
        Decision::Start | Decision::Ask => PhoneState::Waiting,
        Decision::Wait { also, .. } => {
            let paused = also.iter().any(|hold| matches!(hold, Hold::Paused { .. }));
            let backing_off = also
                .iter()
                .any(|hold| matches!(hold, Hold::BackingOff { .. }));
            let settling = also
                .iter()
                .any(|hold| matches!(hold, Hold::Settling { .. }))
                && also.len() == 1;
            match (paused, backing_off, settling) {
                (true, _, _) => PhoneState::Paused,
                (false, true, _) => PhoneState::BackingOff,
                (false, false, true) => PhoneState::Settling,
                (false, false, false) => PhoneState::Waiting,
            }
        }
    }
}
