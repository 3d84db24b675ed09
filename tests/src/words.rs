//! Finds words on the bus that the contract does not have.

use ibak_dbus::views::{JobView, ManagerView, PhoneView};
use ibak_dbus::words::{
    AttentionKind, ConditionName, ConditionReason, ConditionStatus, EvidenceSource, JobKind,
    JobState, ManagerMode, OnOff, Outcome, Passcode, Phase, PhoneState, StorageState,
    TransportWord, Trigger, Trust, WaitsFor,
};
use ibak_dbus::{MirrorEvent, MirrorState};

macro_rules! note {
    ($into:ident, $list:ident, $words:expr) => {
        for word in $words {
            if let $list::Other(word) = word {
                $into.push(format!("{}: {word:?}", stringify!($list)));
            }
        }
    };
}

/// Lists every word of the picture and of the newest event that this build's contract lacks.
pub fn unknown_words(state: &MirrorState, event: Option<&MirrorEvent>) -> Vec<String> {
    let mut unknown = Vec::new();
    if let Some(manager) = state.manager() {
        of_manager(&manager, &mut unknown);
    }
    for phone in state.phones() {
        of_phone(&phone, &mut unknown);
    }
    for job in state.jobs() {
        of_job(&job, &mut unknown);
    }
    match event {
        Some(MirrorEvent::Attention { kind, .. }) => note!(unknown, AttentionKind, [kind]),
        Some(MirrorEvent::Completed { result, .. }) => note!(unknown, Outcome, [result]),
        Some(MirrorEvent::Changed | MirrorEvent::Lost | MirrorEvent::Back) | None => {}
    }
    unknown
}

fn of_manager(manager: &ManagerView, unknown: &mut Vec<String>) {
    note!(unknown, ManagerMode, [&manager.mode]);
    note!(unknown, StorageState, [&manager.storage_state]);
}

fn of_phone(phone: &PhoneView, unknown: &mut Vec<String>) {
    note!(unknown, PhoneState, [&phone.state]);
    note!(unknown, TransportWord, &phone.transports);
    note!(unknown, Trust, [&phone.trust]);
    note!(unknown, OnOff, [&phone.encryption, &phone.icloud_backup]);
    note!(unknown, Passcode, [&phone.passcode]);
    note!(unknown, WaitsFor, &phone.waits_for);
    note!(unknown, Outcome, phone.last_result.iter());
    note!(unknown, ConditionName, phone.conditions.keys());
    for condition in phone.conditions.values() {
        note!(unknown, ConditionStatus, [&condition.status]);
        note!(unknown, ConditionReason, [&condition.reason]);
        note!(unknown, EvidenceSource, condition.source.iter());
    }
}

fn of_job(job: &JobView, unknown: &mut Vec<String>) {
    note!(unknown, JobKind, [&job.kind]);
    note!(unknown, Trigger, [&job.trigger]);
    note!(unknown, JobState, [&job.state]);
    note!(unknown, Phase, [&job.phase]);
    note!(unknown, WaitsFor, &job.waits_for);
    note!(unknown, Outcome, job.result.iter());
}
