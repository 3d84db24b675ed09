//! Views for tests: an evening of 22 November 2026, seen at 23:05 UTC.

use ibak_dbus::views::{
    AttemptView, BackupView, ConditionView, Conditions, JobView, ManagerView, PhoneView,
};
use ibak_dbus::words::{
    ConditionName, ConditionReason, ConditionStatus, EvidenceSource, JobKind, JobState,
    ManagerMode, OnOff, Outcome, Passcode, Phase, PhoneState, StorageState, TransportWord, Trigger,
    Trust, WaitsFor,
};
use ibak_dbus::{BackupId, Bytes, JobId, Udid, Wall};
use ibakctl::Style;
use jiff::Timestamp;

pub(crate) const NOW: &str = "2026-11-22T23:05:00Z";

pub(crate) fn wall(text: &str) -> Wall {
    Wall::from_micros(text.parse::<Timestamp>().unwrap().as_microsecond())
}

/// A moment of the evening, `21:04` or `22:59:48`.
pub(crate) fn at(clock: &str) -> Wall {
    wall(&if clock.len() == 5 {
        format!("2026-11-22T{clock}:00Z")
    } else {
        format!("2026-11-22T{clock}Z")
    })
}

pub(crate) fn style() -> Style {
    Style {
        width: Some(80),
        ..Style::plain(NOW.parse().unwrap())
    }
}

pub(crate) fn wide() -> Style {
    Style::plain(NOW.parse().unwrap())
}

pub(crate) fn manager() -> ManagerView {
    ManagerView {
        version: "0.1.0".into(),
        mode: ManagerMode::Automatic,
        paused_until: None,
        storage_state: StorageState::Ok,
        storage_free: Bytes::from_gib(212),
        storage_used: Bytes::from_gib(288),
        quota: Some(Bytes::from_gib(500)),
        store_path: "/var/lib/ibak/store".into(),
        config_path: "/etc/ibak/ibakd.toml".into(),
        notify: Vec::new(),
    }
}

/// The four conditions as the design shows them: all but the lock.
pub(crate) fn conditions() -> Conditions {
    let new = |status, reason, since| ConditionView {
        since: Some(at(since)),
        ..ConditionView::new(status, reason)
    };
    Conditions::from([
        (
            ConditionName::Power,
            ConditionView {
                source: Some(EvidenceSource::LockdownWifi),
                observed: Some(at("23:04:48")),
                ..new(
                    ConditionStatus::Met,
                    ConditionReason::ExternalPower,
                    "21:04",
                )
            },
        ),
        (
            ConditionName::Wifi,
            ConditionView {
                source: Some(EvidenceSource::Mdns),
                observed: Some(at("23:04:52")),
                ..new(ConditionStatus::Met, ConditionReason::OnNetwork, "20:51")
            },
        ),
        (
            ConditionName::Locked,
            new(ConditionStatus::Unmet, ConditionReason::Unlocked, "23:02"),
        ),
        (
            ConditionName::Space,
            ConditionView {
                source: Some(EvidenceSource::Store),
                observed: Some(at("23:04:50")),
                free: Some(Bytes::from_gib(212)),
                needed: Some(Bytes::from_gib(9)),
                used: Some(Bytes::from_gib(288)),
                quota: Some(Bytes::from_gib(500)),
                ..new(ConditionStatus::Met, ConditionReason::EnoughRoom, "20:51")
            },
        ),
    ])
}

/// Changes one condition of a phone.
pub(crate) fn set(
    phone: &mut PhoneView,
    name: ConditionName,
    status: ConditionStatus,
    reason: ConditionReason,
) {
    let condition = phone.conditions.get_mut(&name).unwrap();
    condition.status = status;
    condition.reason = reason;
}

pub(crate) fn met_all(phone: &mut PhoneView) {
    set(
        phone,
        ConditionName::Locked,
        ConditionStatus::Met,
        ConditionReason::ScreenLocked,
    );
    phone.waits_for.clear();
}

pub(crate) fn ada() -> PhoneView {
    PhoneView {
        udid: Udid::parse("00008110-000A1B2C3D4E5F60").unwrap(),
        name: "Ada's iPhone".into(),
        product_type: "iPhone14,5".into(),
        os_version: "15.6".into(),
        state: PhoneState::Waiting,
        transports: vec![TransportWord::Wifi],
        trust: Trust::Trusted,
        automatic: true,
        conditions: conditions(),
        encryption: OnOff::On,
        passcode: Passcode::Never,
        icloud_backup: OnOff::Off,
        next_attempt: None,
        waits_for: vec![WaitsFor::Locked],
        last_seen: None,
        last_backup: Some(wall("2026-11-21T02:14:00Z")),
        last_result: Some(Outcome::Succeeded),
        overdue: false,
        current_job: None,
        encryption_required: false,
        password_checked: Some(wall("2026-11-01T12:00:00Z")),
        password_check_due: false,
        last_icloud_backup: None,
        staged: Bytes::ZERO,
        used: Bytes::from_gib(122),
        quota: None,
        retired: false,
        notify: Vec::new(),
    }
}

pub(crate) fn studio() -> PhoneView {
    let mut phone = PhoneView {
        udid: Udid::parse("abcdef0123456789abcdef0123456789abcdef01").unwrap(),
        name: "Studio iPad".into(),
        product_type: "iPad11,6".into(),
        os_version: "26.1".into(),
        state: PhoneState::BackingUp,
        encryption: OnOff::Off,
        last_backup: Some(wall("2026-11-19T01:00:00Z")),
        current_job: Some(JobId::new(7)),
        ..ada()
    };
    met_all(&mut phone);
    phone
}

pub(crate) fn job() -> JobView {
    JobView {
        id: JobId::new(7),
        kind: JobKind::Backup,
        phone: Some(studio().udid),
        trigger: Trigger::Schedule,
        started: Some(at("22:50")),
        state: JobState::Running,
        phase: Phase::Receiving,
        progress: Some(0.41),
        bytes_done: Bytes::new(3_345_899_028),
        bytes_total: Some(Bytes::new(8_160_437_862)),
        files_done: 1234,
        rate: Some(Bytes::from_mib(42)),
        expected_end: Some(at("23:17")),
        waits_for: vec![],
        result: None,
    }
}

pub(crate) fn attempt(result: Outcome) -> AttemptView {
    AttemptView {
        kind: ibak_dbus::words::JobKind::Backup,
        started: Some(wall("2026-11-21T02:08:00Z")),
        ended: Some(wall("2026-11-21T02:14:00Z")),
        trigger: Trigger::Schedule,
        result: Some(result),
        job: Some(JobId::new(5)),
        backup: None,
        bytes: Bytes::from_mib(1229),
        files: 2012,
        device_code: None,
        detail: String::new(),
        waits_for: vec![],
    }
}

pub(crate) fn backup(id: &str, finished: &str) -> BackupView {
    BackupView {
        id: BackupId::parse(id).unwrap(),
        finished: Some(wall(finished)),
        size: Bytes::new(8_160_437_862),
        unique: Bytes::from_mib(120),
        os_version: "15.6".into(),
        encrypted: true,
        verified: Some(wall(finished)),
        pinned: false,
        full: false,
        files: 2012,
        keybag: Some("a1b2c3d4e5f60718293a4b5c6d7e8f90".into()),
        damaged: 0,
        guarded: false,
        adopted: false,
        frees: None,
        keep: None,
    }
}

/// Makes the cause of a message, as this computer would tell it.
pub(crate) fn cause<'a>(
    kind: &'a ibak_dbus::words::AttentionKind,
    name: Option<&'a str>,
    details: &'a ibak_dbus::Dict,
) -> ibakctl::render::Cause<'a, ibak_dbus::Dict> {
    ibakctl::render::Cause {
        kind,
        name,
        me: "",
        host: "attic",
        details,
    }
}
