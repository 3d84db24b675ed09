//! JSON for programs: the same facts as the text, with the bus's own words.
//!
//! Times are RFC 3339 in UTC or null, sizes are bytes, every object carries its `message_type`.
//! Keys are added, never changed.

mod nights;
mod policy;

pub use nights::{history, night, timeline, with_nights};
pub use policy::policy;

use crate::extract::Summary;
use crate::moment;
use crate::render::{
    BackupsView, DoctorView, Listing, OwnCheck, SheetView, StatusView, StorageReport, WhyView,
};
use ibak_dbus::views::{
    AttemptView, BackupView, CheckView, CompletedView, ConditionView, JobView, ManagerView,
    PhoneView, StorageView,
};
use ibak_dbus::words::{AttentionKind, Outcome};
use ibak_dbus::{BackupId, Bytes, JobId, Lookup, Udid, Wall};
use serde_json::{Map, Value, json};
use std::path::Path;

fn time(moment: Option<Wall>) -> Value {
    moment.and_then(moment::rfc3339).into()
}

fn size(bytes: Option<Bytes>) -> Value {
    bytes.map(Bytes::get).into()
}

fn words<T: std::fmt::Display>(list: &[T]) -> Value {
    list.iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .into()
}

fn word<T: std::fmt::Display>(word: Option<&T>) -> Value {
    word.map(ToString::to_string).into()
}

/// Writes the Manager's properties.
pub fn manager(manager: &ManagerView) -> Value {
    json!({
        "version": manager.version,
        "mode": manager.mode.as_str(),
        "paused_until": time(manager.paused_until),
        "storage_state": manager.storage_state.as_str(),
        "storage_free_bytes": manager.storage_free.get(),
        "storage_used_bytes": manager.storage_used.get(),
        "quota_bytes": size(manager.quota),
        "store_path": manager.store_path,
        "config_path": manager.config_path,
    })
}

/// Writes a phone's properties.
pub fn phone(phone: &PhoneView) -> Value {
    let conditions: Map<String, Value> = phone
        .conditions
        .iter()
        .map(|(name, view)| (name.to_string(), condition(view)))
        .collect();
    json!({
        "udid": phone.udid.as_str(),
        "name": phone.name,
        "product_type": phone.product_type,
        "os_version": phone.os_version,
        "state": phone.state.as_str(),
        "transports": words(&phone.transports),
        "trust": phone.trust.as_str(),
        "automatic": phone.automatic,
        "conditions": conditions,
        "encryption": phone.encryption.as_str(),
        "passcode": phone.passcode.as_str(),
        "icloud_backup": phone.icloud_backup.as_str(),
        "next_attempt": time(phone.next_attempt),
        "waits_for": words(&phone.waits_for),
        "last_seen": time(phone.last_seen),
        "last_backup": time(phone.last_backup),
        "last_result": word(phone.last_result.as_ref()),
        "overdue": phone.overdue,
        "job": phone.current_job.map(JobId::get),
        "encryption_required": phone.encryption_required,
        "password_checked": time(phone.password_checked),
        "password_check_due": phone.password_check_due,
        "staged_bytes": phone.staged.get(),
        "used_bytes": phone.used.get(),
        "quota_bytes": size(phone.quota),
        "retired": phone.retired,
    })
}

fn condition(condition: &ConditionView) -> Value {
    json!({
        "status": condition.status.as_str(),
        "since": time(condition.since),
        "reason": condition.reason.as_str(),
        "source": word(condition.source.as_ref()),
        "observed": time(condition.observed),
        "required": condition.required,
        "percent": condition.percent,
        "free_bytes": size(condition.free),
        "needed_bytes": size(condition.needed),
        "used_bytes": size(condition.used),
        "quota_bytes": size(condition.quota),
        "basis": word(condition.basis.as_ref()),
    })
}

/// Writes a job's properties.
pub fn job(job: &JobView) -> Value {
    json!({
        "job": job.id.get(),
        "kind": job.kind.as_str(),
        "udid": job.phone.as_ref().map(Udid::as_str),
        "trigger": job.trigger.as_str(),
        "started": time(job.started),
        "state": job.state.as_str(),
        "phase": job.phase.as_str(),
        "progress": job.progress,
        "bytes_done": job.bytes_done.get(),
        "bytes_total": size(job.bytes_total),
        "files_done": job.files_done,
        "bytes_per_second": size(job.rate),
        "expected_end": time(job.expected_end),
        "waits_for": words(&job.waits_for),
        "result": word(job.result.as_ref()),
    })
}

fn attempt(attempt: &AttemptView) -> Value {
    json!({
        "kind": attempt.kind.as_str(),
        "started": time(attempt.started),
        "ended": time(attempt.ended),
        "trigger": attempt.trigger.as_str(),
        "result": word(attempt.result.as_ref()),
        "job": attempt.job.map(JobId::get),
        "backup": attempt.backup.as_ref().map(|id| id.as_str()),
        "bytes": attempt.bytes.get(),
        "files": attempt.files,
        "device_code": attempt.device_code,
        "detail": attempt.detail,
        "waits_for": words(&attempt.waits_for),
    })
}

fn backup(udid: &Udid, backup: &BackupView) -> Value {
    json!({
        "id": backup.id.as_str(),
        "udid": udid.as_str(),
        "finished": time(backup.finished),
        "size_bytes": backup.size.get(),
        "unique_bytes": backup.unique.get(),
        "os_version": backup.os_version,
        "encrypted": backup.encrypted,
        "verified": time(backup.verified),
        "pinned": backup.pinned,
        "full": backup.full,
        "files": backup.files,
        "keybag": backup.keybag,
        "damaged_files": backup.damaged,
        "guarded": backup.guarded,
        "adopted": backup.adopted,
        "keep": backup.keep.as_deref().map(words),
    })
}

fn check(check: &CheckView) -> Value {
    json!({
        "id": check.id.as_str(),
        "status": check.status.as_str(),
        "detail": check.detail.as_str(),
        "remedy": word(check.remedy.as_ref()),
        "subject": check.subject,
        "udid": check.phone.as_ref().map(Udid::as_str),
        "free_bytes": size(check.free),
        "used_bytes": size(check.used),
        "quota_bytes": size(check.quota),
    })
}

/// Puts `message_type` first into an object.
pub fn message(message_type: &str, value: Value) -> Value {
    let mut object = Map::new();
    object.insert("message_type".to_owned(), message_type.into());
    if let Value::Object(fields) = value {
        object.extend(fields);
    }
    Value::Object(object)
}

/// Writes `status`.
pub fn status(view: &StatusView) -> Value {
    message(
        "status",
        json!({
            "manager": manager(&view.manager),
            "phones": view.phones.iter().map(phone).collect::<Vec<_>>(),
            "jobs": view.jobs.iter().map(job).collect::<Vec<_>>(),
        }),
    )
}

/// Writes `why`, with the sentence a person would read.
pub fn why(view: &WhyView, sentence: &str) -> Value {
    message(
        "why",
        json!({
            "sentence": sentence,
            "phone": phone(&view.phone),
            "job": view.job.as_ref().map(job),
            "attempts": view.attempts.iter().map(attempt).collect::<Vec<_>>(),
        }),
    )
}

/// Writes `backups`.
pub fn backups(view: &BackupsView) -> Value {
    let rows: Vec<Value> = view
        .phones
        .iter()
        .flat_map(|phone| {
            phone
                .backups
                .iter()
                .map(|row| backup(&phone.phone.udid, row))
        })
        .collect();
    message("backups", json!({ "backups": rows }))
}

/// Writes `doctor`.
pub fn doctor(view: &DoctorView) -> Value {
    let own = match &view.own {
        OwnCheck::Running { bus, version } => {
            json!({ "bus": bus, "running": true, "version": version })
        }
        OwnCheck::NoDaemon { bus, installed } => {
            json!({ "bus": bus, "running": false, "installed": installed })
        }
        OwnCheck::NoBus { bus, why } => json!({ "bus": bus, "running": false, "why": why }),
    };
    message(
        "doctor",
        json!({
            "ok": !view.fails(),
            "daemon": own,
            "checks": view.checks.iter().map(check).collect::<Vec<_>>(),
        }),
    )
}

/// Writes a card; the password is on it only when it was asked for.
pub fn sheet(view: &SheetView, password: Option<&str>) -> Value {
    message(
        "sheet",
        json!({
            "udid": view.phone.udid.as_str(),
            "name": view.phone.name,
            "computer": view.computer,
            "store": view.store,
            "backup": view.backup.as_ref().map(|row| row.id.as_str()),
            "keybag": view.backup.as_ref().and_then(|row| row.keybag.clone()),
            "password": password,
        }),
    )
}

/// Writes what files became of a stream: `extracted`, `exported` or `saved`.
pub fn unpacked(what: &str, summary: &Summary) -> Value {
    message(
        what,
        json!({
            "files": summary.files,
            "bytes": summary.bytes,
            "links": summary.links,
            "links_skipped": summary.links_skipped,
            "present": summary.present,
            "refused": summary.refused,
            "refused_names": summary.listed.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(),
        }),
    )
}

/// Writes `ls`.
pub fn listing(listing: &Listing) -> Value {
    let rows: Vec<Value> = listing
        .rows()
        .iter()
        .map(|(name, row)| {
            json!({
                "name": name,
                "directory": row.directory,
                "files": row.files,
                "size_bytes": row.bytes,
                "modified": time(Some(Wall::from_micros(row.modified.saturating_mul(1_000_000)))),
                "target": row.target,
            })
        })
        .collect();
    message("ls", json!({ "entries": rows }))
}

/// Writes `icloud status`.
pub fn icloud(phone: &PhoneView) -> Value {
    message(
        "icloud",
        json!({
            "udid": phone.udid.as_str(),
            "icloud_backup": phone.icloud_backup.as_str(),
            "last_icloud_backup": time(phone.last_icloud_backup),
            "last_backup": time(phone.last_backup),
        }),
    )
}

/// Writes a job that was started and is not waited for.
pub fn started(id: JobId, udid: &Udid) -> Value {
    message("started", json!({ "job": id.get(), "udid": udid.as_str() }))
}

/// Writes how a job ended.
pub fn completed(
    id: JobId,
    udid: Option<&Udid>,
    result: &Outcome,
    details: &CompletedView,
) -> Value {
    message(
        "completed",
        json!({
            "job": id.get(),
            "udid": udid.map(Udid::as_str),
            "result": result.as_str(),
            "backup": details.backup.as_ref().map(|id| id.as_str()),
            "bytes": details.bytes.get(),
            "files": details.files,
            "device_code": details.device_code,
            "detail": details.detail,
        }),
    )
}

/// Writes that somebody should look.
pub fn attention(kind: &AttentionKind, udid: Option<&Udid>, details: &impl Lookup) -> Value {
    message(
        "attention",
        json!({
            "kind": kind.as_str(),
            "udid": udid.map(Udid::as_str),
            "reason": details.text("reason"),
            "backups": details.number("backups"),
            "removed": details.number("removed"),
            "freed_bytes": details.number("freed-bytes"),
        }),
    )
}

/// Writes that the store lies somewhere else.
pub fn store(what: &str, new: &Path, old: &Path) -> Value {
    message(
        what,
        json!({ "store": new.to_string_lossy(), "before": old.to_string_lossy() }),
    )
}

/// Writes that something was done with a backup.
pub fn done_with(what: &str, udid: &Udid, backup: &BackupId) -> Value {
    message(
        "done",
        json!({ "what": what, "udid": udid.as_str(), "backup": backup.as_str() }),
    )
}

/// Writes what reading a backup again found.
pub fn verified(
    udid: &Udid,
    backup: &BackupView,
    result: &Outcome,
    details: &CompletedView,
) -> Value {
    message(
        "verified",
        json!({
            "udid": udid.as_str(),
            "backup": backup.id.as_str(),
            "result": result.as_str(),
            "files": backup.files,
            "damaged_files": backup.damaged,
            "verified": time(backup.verified),
            "detail": details.detail,
        }),
    )
}

/// Writes `storage`.
pub fn storage(report: &StorageReport) -> Value {
    let row = |row: &StorageView| {
        json!({
            "udid": row.phone.as_ref().map(Udid::as_str),
            "used_bytes": row.used.get(),
            "quota_bytes": size(row.quota),
            "left_bytes": row.left.get(),
            "full": time(row.full),
            "backups": row.backups,
            "damaged": row.damaged,
            "oldest": time(row.oldest),
            "newest": time(row.newest),
            "last_read": time(row.read),
            "trash": row.trash,
            "retired": row.retired,
        })
    };
    message(
        "storage",
        json!({
            "store": report.store,
            "whole": report.whole.as_ref().map(row),
            "phones": report.phones.iter().map(|(_, view)| row(view)).collect::<Vec<_>>(),
        }),
    )
}

/// Writes that something was done or was so already.
pub fn done(what: &str, udid: Option<&Udid>) -> Value {
    message(
        "done",
        json!({ "what": what, "udid": udid.map(Udid::as_str) }),
    )
}
