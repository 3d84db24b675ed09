//! What a running job stands on, and what happens when that is lost.
//!
//! The table is the policy's ([`crate::LossTable`]); this file only reads it. A job that has all
//! it needs from the phone is never stopped: what is left is ours to do.

use super::Machine;
use super::job::{Job, LockCounts, Stage};
use super::phone::Phone;
use crate::decision::counts;
use crate::{
    Condition, Demand, Effect, Host, HostNetwork, HostPower, Interruption, JobId, JobKind,
    Monotonic, Now, OnLoss, Policy, StopWhy, Transport, Trust, Verdict,
};
use std::time::Duration;

/// For how long an automatic backup goes on while this computer runs from its own battery: a plug
/// that was pulled by mistake is back by then.
const HOST_POWER_GRACE: Duration = Duration::from_secs(600);
/// For how long an automatic backup goes on over a network that is not fit: one that only connects
/// anew is fit again by then.
const HOST_NETWORK_GRACE: Duration = Duration::from_secs(60);

impl Machine {
    /// Asks the shell to stop a running job, once. Tells whether it was asked now.
    pub(super) fn stop(&mut self, id: JobId, why: StopWhy, effects: &mut Vec<Effect>) -> bool {
        let Some(job) = self.jobs.get_mut(&id) else {
            return false;
        };
        let Stage::Running { transport } = job.stage else {
            return false;
        };
        job.stage = Stage::Stopping { transport, why };
        effects.push(Effect::StopJob {
            job: id,
            phone: job.phone.clone(),
            why,
        });
        true
    }

    pub(super) fn stop_what_lost_its_ground(&mut self, now: Now, effects: &mut Vec<Effect>) {
        let mut lost = Vec::new();
        for job in self.jobs.values_mut() {
            let phone = job.phone.as_ref().and_then(|udid| self.phones.get(udid));
            if let Some(phone) = phone {
                lost.extend(
                    ground_lost(job, phone, self.policies.of(&phone.udid), now)
                        .or_else(|| host_lost(job, self.host, self.policies.host_power, now))
                        .map(|by| (job.id, by)),
                );
            }
        }
        for (id, by) in lost {
            self.stop(id, StopWhy::Interrupted(by), effects);
        }
    }
}

/// Tells what stops the job now, and notes since when each condition is lost.
fn ground_lost(job: &mut Job, phone: &Phone, policy: &Policy, now: Now) -> Option<Interruption> {
    let Stage::Running {
        transport: Some(transport),
    } = job.stage
    else {
        return None;
    };
    if job.has_arrived() || matches!(job.kind, JobKind::Errand(_) | JobKind::MoveStore) {
        return None;
    }
    if transport == Transport::Usb && !phone.reach.usb {
        return Some(Interruption::ConnectionLost);
    }
    if job.kind == JobKind::Pair {
        return None;
    }
    if phone.trust == Trust::Untrusted {
        return Some(Interruption::ConnectionLost);
    }
    let mut stop = None;
    for condition in Condition::ALL {
        if !is_lost(job, phone, policy, condition, transport) {
            job.losing.remove(&condition);
            continue;
        }
        let since = *job.losing.entry(condition).or_insert(now.monotonic);
        let over = match policy.on_loss.get(condition) {
            OnLoss::Finish => false,
            OnLoss::Grace(time) => now.monotonic >= since + time,
            OnLoss::Stop => true,
        };
        if over && stop.is_none() {
            stop = Some(Interruption::Lost(condition));
        }
    }
    let wifi_counts = counts(job.demand, Condition::Wifi, policy);
    if stop.is_none() && transport == Transport::Wifi && !phone.reach.wifi && !wifi_counts {
        return Some(Interruption::ConnectionLost);
    }
    stop
}

/// Tells whether this computer itself stops an automatic backup: after [`HOST_NETWORK_GRACE`] when
/// its network is not fit and the phone is reached over it, after [`HOST_POWER_GRACE`] when it runs
/// from its own battery.
fn host_lost(job: &mut Job, host: Host, needs: HostPower, now: Now) -> Option<Interruption> {
    let Stage::Running { transport } = job.stage else {
        return None;
    };
    let automatic = job.kind == JobKind::Backup && job.demand == Demand::Schedule;
    if !automatic || job.has_arrived() {
        return None;
    }
    if transport == Some(Transport::Wifi) && host.network != HostNetwork::Fit {
        let since = *job.network_fell.get_or_insert(now.monotonic);
        if now.monotonic >= since + HOST_NETWORK_GRACE {
            return Some(Interruption::HostNetwork);
        }
    } else {
        job.network_fell = None;
    }
    if needs == HostPower::Any || !host.is_on_battery() {
        job.host_fell = None;
        return None;
    }
    let since = *job.host_fell.get_or_insert(now.monotonic);
    (now.monotonic >= since + HOST_POWER_GRACE).then_some(Interruption::HostPower)
}

/// A condition is lost when it is known not to hold. By cable, the network cannot be lost.
fn is_lost(
    job: &Job,
    phone: &Phone,
    policy: &Policy,
    condition: Condition,
    transport: Transport,
) -> bool {
    let lock_may_wait = condition == Condition::Locked && job.lock != LockCounts::Yes;
    if !counts(job.demand, condition, policy) || lock_may_wait {
        return false;
    }
    let unmet = matches!(phone.conditions.get(condition).verdict, Verdict::Unmet(_));
    match (condition, transport) {
        (Condition::Wifi, Transport::Usb) => false,
        (Condition::Wifi, Transport::Wifi) => unmet || !phone.reach.wifi,
        (Condition::Power | Condition::Locked | Condition::Space, _) => unmet,
    }
}

/// Lists when the graces of this job end.
pub(super) fn graces<'a>(job: &'a Job, policy: &'a Policy) -> impl Iterator<Item = Monotonic> + 'a {
    let running = matches!(job.stage, Stage::Running { .. });
    let on_battery = job.host_fell.map(|since| since + HOST_POWER_GRACE);
    let losing = job
        .losing
        .iter()
        .filter(move |_| running)
        .filter_map(|(condition, since)| match policy.on_loss.get(*condition) {
            OnLoss::Grace(time) => Some(*since + time),
            OnLoss::Finish | OnLoss::Stop => None,
        });
    let abroad = job.network_fell.map(|since| since + HOST_NETWORK_GRACE);
    let host = on_battery.into_iter().chain(abroad);
    losing.chain(host.filter(move |_| running))
}
