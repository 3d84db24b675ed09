//! Every word the core can say is a word of the contract.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use ibak_core::{
    AttentionKind, Condition, Errand, Failure, Hold, JobId, JobKind, JobResult, JobState, Met,
    Monotonic, Phase, PhoneState, Refusal, Status, StorageState, StoreTrouble, Trigger, Trust,
    Unknown, Unmet, Verdict, Wall,
};
use ibak_dbus::words;

macro_rules! known {
    ($list:ident, $words:expr) => {
        for word in $words {
            let read = words::$list::parse(word);
            assert!(
                !matches!(read, words::$list::Other(_)),
                "{}: {word}",
                stringify!($list)
            );
            assert_eq!(read.as_str(), word);
        }
    };
}

#[test]
fn results_and_jobs() {
    known!(Outcome, JobResult::all().map(JobResult::word));
    assert_eq!(
        JobResult::all().count(),
        words::Outcome::ALL.len(),
        "no word that nobody says"
    );
    known!(
        JobState,
        [
            JobState::Running,
            JobState::Succeeded,
            JobState::Failed,
            JobState::Cancelled
        ]
        .map(JobState::word)
    );
    known!(JobKind, [JobKind::Backup, JobKind::Pair].map(JobKind::word));
    known!(JobKind, Errand::ALL.map(Errand::word));
    known!(
        Trigger,
        [Trigger::Schedule, Trigger::User].map(Trigger::word)
    );
    let phases = [
        Phase::Queued,
        Phase::Connecting,
        Phase::Preparing,
        Phase::Asking,
        Phase::AwaitingLock,
        Phase::Scanning,
        Phase::Receiving,
        Phase::Arranging,
        Phase::Verifying,
        Phase::Committing,
        Phase::Unlocking,
        Phase::Sending,
        Phase::Copying,
    ];
    known!(Phase, phases.map(Phase::word));
    assert_eq!(phases.len(), words::Phase::ALL.len());
}

#[test]
fn phones_and_the_house() {
    let states = [
        PhoneState::Absent,
        PhoneState::Untrusted,
        PhoneState::Waiting,
        PhoneState::Settling,
        PhoneState::Asking,
        PhoneState::BackingUp,
        PhoneState::Committing,
        PhoneState::Idle,
        PhoneState::BackingOff,
        PhoneState::Paused,
    ];
    known!(PhoneState, states.map(PhoneState::word));
    assert_eq!(states.len(), words::PhoneState::ALL.len());
    known!(
        Trust,
        [Trust::Trusted, Trust::Untrusted, Trust::Unknown].map(Trust::word)
    );
    let passcodes = [
        ibak_core::Passcode::Asks,
        ibak_core::Passcode::Never,
        ibak_core::Passcode::Unknown,
    ];
    known!(Passcode, passcodes.map(ibak_core::Passcode::word));
    let storage = [
        StorageState::Ok,
        StorageState::Low,
        StorageState::Full,
        StorageState::Unavailable,
        StorageState::Unknown,
    ];
    known!(StorageState, storage.map(StorageState::word));
    known!(AttentionKind, AttentionKind::ALL.map(AttentionKind::word));
}

#[test]
fn conditions() {
    known!(ConditionName, Condition::ALL.map(Condition::word));
    known!(
        ConditionStatus,
        [Status::Met, Status::Unmet, Status::Unknown].map(Status::word)
    );
    known!(ConditionReason, StoreTrouble::ALL.map(StoreTrouble::word));
    known!(CheckDetail, StoreTrouble::ALL.map(StoreTrouble::word));
    let bases = [
        ibak_core::Basis::DataUsed,
        ibak_core::Basis::EarlierBackups,
        ibak_core::Basis::Full,
        ibak_core::Basis::Running,
    ];
    known!(Basis, bases.map(ibak_core::Basis::word));
    let reasons = ibak_core::retention::Reason::ALL;
    known!(KeepReason, reasons.map(ibak_core::retention::Reason::word));
    let met = [
        Met::ExternalPower,
        Met::OnNetwork,
        Met::ByCable,
        Met::ScreenLocked,
        Met::LockSeen,
    ]
    .map(Verdict::Met);
    let unmet = [
        Unmet::OnBattery,
        Unmet::NotOnNetwork,
        Unmet::Unlocked {
            lock_ever_seen: false,
        },
    ]
    .map(Verdict::Unmet);
    let unknown = [
        Unknown::NotReachable,
        Unknown::NotRead,
        Unknown::NotTold,
        Unknown::Stale,
        Unknown::NoPasscode,
        Unknown::SizeNotKnown,
        Unknown::StoreNotRead,
    ]
    .map(Verdict::Unknown);
    let said = met.iter().chain(&unmet).chain(&unknown);
    known!(ConditionReason, said.clone().map(Verdict::word));
    // `enough-room` and `no-room` carry amounts and are checked with them in tests/conditions.rs.
    assert_eq!(
        said.count() + StoreTrouble::ALL.len() + 2,
        words::ConditionReason::ALL.len()
    );
}

#[test]
fn waits() {
    let holds = [
        Hold::Absent { last_seen: None },
        Hold::TrustUnknown,
        Hold::Job { job: JobId::new(1) },
        Hold::Paused { until: None },
        Hold::BackingOff {
            until: Wall::default(),
            after: JobResult::Failed(Failure::Protocol),
            failures: 1,
        },
        Hold::Window { opens: None },
        Hold::HostPower,
        Hold::Network(ibak_core::HostNetwork::Metered),
        Hold::Passcode,
        Hold::AskWindow { opens: None },
        Hold::Asked {
            next: Wall::default(),
        },
        Hold::Person,
        Hold::Battery {
            percent: None,
            min: 20,
        },
        Hold::Settling {
            until: Wall::default(),
            until_monotonic: Monotonic::ZERO,
        },
        Hold::Slot {
            running: 1,
            ahead: 0,
            max: 1,
        },
    ];
    known!(WaitsFor, holds.iter().map(Hold::word));
    known!(WaitsFor, Condition::ALL.map(Condition::word));
    known!(
        WaitsFor,
        [Refusal::AutomaticOff, Refusal::NotTrusted].map(Refusal::word)
    );
    known!(
        WaitsFor,
        ibak_core::Decision::NotDue {
            until: Wall::default()
        }
        .waits_for()
    );
}
