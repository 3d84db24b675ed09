//! When the machine must be called although nothing happens.

use super::Machine;
use super::job::{Job, Stage};
use super::phone::Phone;
use super::running::graces;
use super::starting::NOT_KNOWN_MAX;
use super::viewing::JOB_KEPT;
use crate::consent::{asks, present_at};
use crate::{Decision, Demand, Hold, Monotonic, Now, Opening, Wall, Windows};
use std::time::Duration;

/// No deadline is further away: what waits for a date looks at the calendar this often, because
/// the wall clock may be set meanwhile.
pub const DEADLINE_MAX: Duration = Duration::from_secs(900);

impl Machine {
    /// Returns the earliest moment after `now` at which something changes by itself.
    pub(super) fn find_deadline(&self, now: Now) -> Option<Monotonic> {
        let mut moments = self.next_messages(now);
        moments.extend(self.clock.steady_at());
        moments.extend(self.moved.map(|(_, until)| until));
        moments.extend(self.next_store_reread(now));
        moments.extend(
            self.store
                .and_then(|seen| seen.time_to_live.map(|time| seen.at.monotonic + time)),
        );
        moments.extend(
            self.pause
                .and_then(|pause| pause.until)
                .map(|until| on_calendar(until, now)),
        );
        for job in self.jobs.values() {
            self.job_moments(job, now, &mut moments);
        }
        for phone in self.phones.values() {
            moments.extend(phone.facts.lapses(now));
            moments.extend(self.next_reread(phone, now));
            moments.extend(phone.backing_off.map(|wait| wait.until));
            let overdue_at = phone.overdue_at(self.policy(&phone.udid), self.automatic(phone), now);
            moments.extend(overdue_at.map(|at| on_calendar(at, now)));
            match &phone.decision {
                Decision::NotDue { until } => moments.push(on_calendar(*until, now)),
                Decision::Wait { also, .. } => {
                    let ends = |hold: &Hold| hold_ends(hold, phone, now);
                    moments.extend(also.iter().filter_map(ends));
                    moments.extend(self.hours_end(phone, now));
                }
                Decision::Start | Decision::Ask | Decision::Refuse(_) => {}
            }
        }
        let first = moments.into_iter().filter(|at| *at > now.monotonic).min()?;
        Some(first.min(now.monotonic + DEADLINE_MAX))
    }

    /// Returns when the hours for a backup that waits are over: then it waits for other hours, and
    /// nothing is asked of the phone until they come.
    fn hours_end(&self, phone: &Phone, now: Now) -> Option<Monotonic> {
        let policy = self.policy(&phone.udid);
        let asks = asks(self.demand(&phone.udid), phone.passcode());
        let hours = [Some(&policy.window), asks.then_some(&policy.ask.window)];
        let closes = |windows: &Windows| match windows.at(&self.zone, now.wall) {
            Opening::Open { until } => until,
            Opening::Closed { .. } => None,
        };
        let first = hours.into_iter().flatten().filter_map(closes).min()?;
        Some(on_calendar(first, now))
    }

    fn job_moments(&self, job: &Job, now: Now, moments: &mut Vec<Monotonic>) {
        let policy = match &job.phone {
            Some(udid) => self.policy(udid),
            None => &self.policies.default,
        };
        let accepted = job.accepted.monotonic;
        match &job.stage {
            Stage::Queued => {
                moments.push(accepted + policy.when_ready_max);
                if job.demand == Demand::AtOnce {
                    moments.push(accepted + NOT_KNOWN_MAX);
                }
            }
            Stage::Running { .. } => moments.extend(graces(job, policy)),
            Stage::Stopping { .. } => {}
            Stage::Ended { at, .. } => moments.push(at.monotonic + JOB_KEPT),
        }
        moments.retain(|at| *at > now.monotonic);
    }
}

/// Translates a date; one that has passed is not waited for.
fn on_calendar(at: Wall, now: Now) -> Monotonic {
    now.monotonic + at.saturating_since(now.wall)
}

/// Returns when time alone ends what holds a backup back.
fn hold_ends(hold: &Hold, phone: &Phone, now: Now) -> Option<Monotonic> {
    match hold {
        Hold::Settling {
            until_monotonic, ..
        } => Some(*until_monotonic),
        Hold::Person => Some(present_at(&phone.conditions.locked)),
        Hold::Window { opens: Some(at) }
        | Hold::AskWindow { opens: Some(at) }
        | Hold::Asked { next: at } => Some(on_calendar(*at, now)),
        // The pause and the wait after failures stand among the moments by themselves.
        Hold::Paused { .. }
        | Hold::BackingOff { .. }
        | Hold::Window { opens: None }
        | Hold::AskWindow { opens: None }
        | Hold::Absent { .. }
        | Hold::TrustUnknown
        | Hold::Job { .. }
        | Hold::HostPower
        | Hold::Network(_)
        | Hold::Passcode
        | Hold::Battery { .. }
        | Hold::Slot { .. } => None,
    }
}
