//! The backups of one moment: each is let come to its end, and what a person or the world does
//! meanwhile is done.

use crate::house::House;
use crate::life::{Answer, Mishap, Moment, PHONES, Trouble};
use crate::model::{End, Kind};
use ibak_core::JobId;
use ibak_dbus::MirrorEvent;
use ibak_dbus::views::JobView;
use ibak_dbus::words::{ConditionStatus, JobKind, Outcome, Phase};
use std::time::Duration;

/// When a job gives up that waits for the phone to be locked, with a second more.
const NOT_LOCKED: Duration = Duration::from_secs(301);

/// Every way in which a backup may end in a year.
const ENDS: [(Outcome, End); 8] = [
    (Outcome::Succeeded, End::Done),
    (Outcome::PhoneReadWrite, End::Refused),
    (Outcome::LostConnection, End::Lost),
    (Outcome::LostWifi, End::Lost),
    (Outcome::LostPower, End::Lost),
    (Outcome::DaemonStopped, End::Stopped),
    (Outcome::NotConfirmed, End::NotConfirmed),
    (Outcome::NotLockedInTime, End::NotLocked),
];

impl House {
    /// Lets every backup of this moment come to its end, and tells how each ended.
    pub(crate) async fn backups(
        &mut self,
        moment: &Moment,
        wanted: &[Option<End>; PHONES],
    ) -> [Option<End>; PHONES] {
        let mut ends = [None; PHONES];
        let mut met = [false; PHONES];
        loop {
            self.settle().await;
            let mut running = self.running();
            // Time passes for who does not lock; those who do come first.
            running.sort_by_key(|(at, _)| moment.answers[*at] == Answer::Stays);
            for (at, job) in &running {
                if !std::mem::replace(&mut met[*at], true) {
                    self.midway(*at, *job, moment).await;
                }
            }
            let all_began = (0..PHONES).all(|at| met[at] || wanted[at].is_none());
            if moment.mishap == Some(Mishap::StopsMidway) && all_began && met.contains(&true) {
                self.night.restart_daemon().await;
                self.listens = [false; PHONES];
            } else if let Some((_, job)) = self.running().first() {
                // Not one that ended while time passed for another, and is shown no more.
                self.night.ended(*job).await;
            }
            for (at, end) in self.told() {
                assert_eq!(ends[at], None, "twice in one moment: {}", self.here);
                ends[at] = Some(end);
                met[at] = true;
            }
            if self.running().is_empty() {
                return ends;
            }
        }
    }

    /// Lists the backups that run, by their phone's place.
    fn running(&mut self) -> Vec<(usize, JobId)> {
        let jobs = self.night.state().jobs();
        let backups = jobs
            .iter()
            .filter(|job| job.kind == JobKind::Backup && !job.ended());
        let running: Vec<_> = backups
            .map(|job: &JobView| (self.place(job), job.id))
            .collect();
        let seen = running.iter().map(|(at, job)| (*job, *at));
        self.seen_running.extend(seen);
        running
    }

    fn place(&self, job: &JobView) -> usize {
        let is = |at: &usize| job.phone == Some(self.night.udid(*at));
        (0..PHONES).find(is).expect("a phone of the house")
    }

    /// What happens to a phone once its backup has begun.
    async fn midway(&mut self, at: usize, job: JobId, moment: &Moment) {
        let way = if self.rules.cable {
            "attached=none"
        } else {
            "wifi=off"
        };
        match moment.troubles[at] {
            _ if moment.mishap == Some(Mishap::StopsMidway) => {}
            Some(Trouble::Leaves) => {
                self.until_asked(job).await;
                self.night.set(at, &["power=off", way]).await;
                (self.stands[at].plugged, self.stands[at].near) = (false, false);
                self.listens[at] = false;
            }
            Some(Trouble::Unlocked) => {
                self.until_asked(job).await;
                self.night.set(at, &["locked=no"]).await;
                self.stands[at].locked = false;
                self.until_heard(at, ConditionStatus::Unmet).await;
            }
            Some(Trouble::Refuses | Trouble::Breaks | Trouble::Reboots) | None => {}
        }
        if self.kinds[at] == Kind::Asks {
            self.consent(at, job, moment.answers[at]).await;
        }
    }

    /// What the person does who was asked.
    async fn consent(&mut self, at: usize, job: JobId, answer: Answer) {
        let what = format!("the question of job {job} is settled: {}", self.here);
        let waits = self
            .night
            .until_some(&what, |state| {
                let view = state.job(job)?;
                let moves = matches!(
                    view.phase,
                    Phase::Receiving | Phase::Arranging | Phase::Verifying | Phase::Committing
                );
                let waits = view.phase == Phase::AwaitingLock && !view.ended();
                (waits || moves || view.ended()).then_some(waits)
            })
            .await;
        match answer {
            _ if !waits => {}
            Answer::Gives => {
                self.night.set(at, &["locked=yes"]).await;
                self.stands[at].locked = true;
                let what = format!("data of job {job} move: {}", self.here);
                self.night
                    .until(&what, |state| {
                        let view = state.job(job);
                        view.is_none_or(|it| it.ended() || it.phase != Phase::AwaitingLock)
                    })
                    .await;
            }
            Answer::Stays => self.advance(NOT_LOCKED).await,
            Answer::Ignores | Answer::Dismisses => panic!("nobody answered: {}", self.here),
        }
    }

    /// Waits until a backup's conversation with its phone has begun.
    async fn until_asked(&mut self, job: JobId) {
        let what = format!("job {job} waits for the phone: {}", self.here);
        self.night
            .until(&what, |state| {
                state.job(job).is_some_and(|view| match view.phase {
                    Phase::Queued | Phase::Connecting | Phase::Preparing => view.ended(),
                    Phase::Asking
                    | Phase::AwaitingLock
                    | Phase::Scanning
                    | Phase::Receiving
                    | Phase::Arranging
                    | Phase::Verifying
                    | Phase::Committing
                    | Phase::Unlocking
                    | Phase::Sending
                    | Phase::Copying
                    | Phase::Other(_) => true,
                })
            })
            .await;
    }

    /// Takes what the daemon told of ends since it was last asked.
    fn told(&mut self) -> Vec<(usize, End)> {
        self.note_ends();
        std::mem::take(&mut self.told)
    }

    /// Notes what the daemon told of ends: a minute later it shows the job no more.
    pub(crate) fn note_ends(&mut self) {
        for event in std::mem::take(&mut self.night.events) {
            let MirrorEvent::Completed { job, result, .. } = event else {
                continue;
            };
            // What ended with the daemon is shown no more.
            let view = self.night.state().job(job);
            let shown = view.filter(|view| view.kind == JobKind::Backup);
            let seen = self.seen_running.remove(&job);
            let Some(place) = shown.map(|view| self.place(&view)).or(seen) else {
                continue;
            };
            let end = ENDS.iter().find(|(outcome, _)| *outcome == result);
            let Some((_, end)) = end else {
                panic!("ended with {result}: {}{}", self.here, self.night.picture())
            };
            self.told.push((place, *end));
        }
    }
}
