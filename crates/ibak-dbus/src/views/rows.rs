//! Rows of `ListBackups`, `ListAttempts`, `Diagnose`, and the details of `Completed`.

use crate::dict::{Dict, Lookup, Writer};
use crate::words::{
    CheckDetail, CheckId, CheckStatus, JobKind, KeepReason, Outcome, Remedy, Trigger, WaitsFor,
};
use ibak_core::{BackupId, Bytes, JobId, Udid, Wall};

/// One committed backup: a row of `ListBackups`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupView {
    /// `id`.
    pub id: BackupId,
    /// `finished`: when it was committed.
    pub finished: Option<Wall>,
    /// `size-bytes`: everything in it.
    pub size: Bytes,
    /// `unique-bytes`: what it added to the disk when it was made.
    pub unique: Bytes,
    /// `os-version`; untrusted text.
    pub os_version: String,
    /// `encrypted`.
    pub encrypted: bool,
    /// `verified`: when its files were last checked; `None` is never.
    pub verified: Option<Wall>,
    /// `pinned`: never removed by retention.
    pub pinned: bool,
    /// `full`: the phone sent everything anew.
    pub full: bool,
    /// `files`: how many files it holds.
    pub files: u64,
    /// `keybag`: 32 hex digits naming the password it is under; `None` for a plain one.
    pub keybag: Option<String>,
    /// `damaged`: how many of its files were found damaged when it was read again.
    pub damaged: u64,
    /// `guarded`: kept by the guard, for the backup after it lost much or changed its encryption.
    pub guarded: bool,
    /// `adopted`: another program made it.
    pub adopted: bool,
    /// `frees-bytes`: what removing it alone would free; only if asked for with `frees`.
    pub frees: Option<Bytes>,
    /// `keep`: why it stays, empty for one that goes after the next backup; only if asked for with
    /// `explain`.
    pub keep: Option<Vec<KeepReason>>,
}

impl BackupView {
    /// Reads a row; `None` without a well-formed id.
    pub fn from_dict(dict: &impl Lookup) -> Option<Self> {
        Some(Self {
            id: BackupId::parse(dict.text("id")?).ok()?,
            finished: dict.time("finished"),
            size: Bytes::new(dict.number("size-bytes").unwrap_or(0)),
            unique: Bytes::new(dict.number("unique-bytes").unwrap_or(0)),
            os_version: dict.text("os-version").unwrap_or_default().to_owned(),
            encrypted: dict.flag("encrypted").unwrap_or(false),
            verified: dict.time("verified"),
            pinned: dict.flag("pinned").unwrap_or(false),
            full: dict.flag("full").unwrap_or(false),
            files: dict.number("files").unwrap_or(0),
            keybag: dict
                .text("keybag")
                .filter(|text| !text.is_empty())
                .map(str::to_owned),
            damaged: dict.number("damaged").unwrap_or(0),
            guarded: dict.flag("guarded").unwrap_or(false),
            adopted: dict.flag("adopted").unwrap_or(false),
            frees: dict.number("frees-bytes").map(Bytes::new),
            keep: dict
                .flag("explained")
                .filter(|explained| *explained)
                .map(|_| dict.texts("keep"))
                .map(|words| words.iter().map(|word| KeepReason::parse(word)).collect()),
        })
    }

    /// Writes a row.
    pub fn to_dict(&self) -> Dict {
        let mut writer = Writer::default();
        if let Some(keep) = &self.keep {
            let words = keep.iter().map(|word| word.as_str().to_owned());
            writer = writer
                .flag("explained", true)
                .texts("keep", words.collect());
        }
        writer
            .number_if("frees-bytes", self.frees.map(Bytes::get))
            .number("damaged", self.damaged)
            .flag("guarded", self.guarded)
            .flag("adopted", self.adopted)
            .text_if("keybag", self.keybag.as_deref())
            .text("id", self.id.as_str())
            .time("finished", self.finished)
            .number("size-bytes", self.size.get())
            .number("unique-bytes", self.unique.get())
            .text("os-version", &self.os_version)
            .flag("encrypted", self.encrypted)
            .time("verified", self.verified)
            .flag("pinned", self.pinned)
            .flag("full", self.full)
            .number("files", self.files)
            .done()
    }
}

/// One try: a row of `ListAttempts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptView {
    /// `kind`: what was tried; absent is a backup.
    pub kind: JobKind,
    /// `started`.
    pub started: Option<Wall>,
    /// `ended`; `None` while it runs.
    pub ended: Option<Wall>,
    /// `trigger`.
    pub trigger: Trigger,
    /// `result`; `None` while it runs.
    pub result: Option<Outcome>,
    /// `job`: its number; `None` when there never was one.
    pub job: Option<JobId>,
    /// `backup`: the backup it made.
    pub backup: Option<BackupId>,
    /// `bytes`: how much the phone sent.
    pub bytes: Bytes,
    /// `files`: how many files it sent.
    pub files: u64,
    /// `device-code`: the phone's own error number (MBErrorDomain).
    pub device_code: Option<i64>,
    /// `detail`: the error in its own words; untrusted, not a sentence for people.
    pub detail: String,
    /// `waits-for`: what was missing, for `not-ready-in-time`.
    pub waits_for: Vec<WaitsFor>,
}

impl AttemptView {
    /// Reads a row.
    pub fn from_dict(dict: &impl Lookup) -> Self {
        let word = |key| dict.text(key).filter(|word| !word.is_empty());
        Self {
            kind: JobKind::parse(word("kind").unwrap_or("backup")),
            started: dict.time("started"),
            ended: dict.time("ended"),
            trigger: Trigger::parse(dict.text("trigger").unwrap_or_default()),
            result: word("result").map(Outcome::parse),
            job: dict.number("job").filter(|n| *n != 0).map(JobId::new),
            backup: word("backup").and_then(|id| BackupId::parse(id).ok()),
            bytes: Bytes::new(dict.number("bytes").unwrap_or(0)),
            files: dict.number("files").unwrap_or(0),
            device_code: dict.integer("device-code").filter(|code| *code != 0),
            detail: dict.text("detail").unwrap_or_default().to_owned(),
            waits_for: dict
                .texts("waits-for")
                .iter()
                .map(|word| WaitsFor::parse(word))
                .collect(),
        }
    }

    /// Writes a row; absent details are left out.
    pub fn to_dict(&self) -> Dict {
        Writer::default()
            .text("kind", self.kind.as_str())
            .time("started", self.started)
            .time("ended", self.ended)
            .text("trigger", self.trigger.as_str())
            .text("result", self.result.as_ref().map_or("", Outcome::as_str))
            .number_if("job", self.job.map(JobId::get))
            .text_if("backup", self.backup.as_ref().map(BackupId::as_str))
            .number("bytes", self.bytes.get())
            .number("files", self.files)
            .integer("device-code", self.device_code.unwrap_or(0))
            .text("detail", &self.detail)
            .texts(
                "waits-for",
                self.waits_for
                    .iter()
                    .map(|word| word.as_str().to_owned())
                    .collect(),
            )
            .done()
    }
}

/// The details of a job's `Completed`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompletedView {
    /// `backup`: the backup it made.
    pub backup: Option<BackupId>,
    /// `bytes`: how much the phone sent.
    pub bytes: Bytes,
    /// `files`: how many files it sent.
    pub files: u64,
    /// `device-code`: the phone's own error number (MBErrorDomain).
    pub device_code: Option<i64>,
    /// `detail`: the error in its own words; untrusted, not a sentence for people.
    pub detail: String,
}

impl CompletedView {
    /// Reads the details.
    pub fn from_dict(dict: &impl Lookup) -> Self {
        Self {
            backup: dict.text("backup").and_then(|id| BackupId::parse(id).ok()),
            bytes: Bytes::new(dict.number("bytes").unwrap_or(0)),
            files: dict.number("files").unwrap_or(0),
            device_code: dict.integer("device-code").filter(|code| *code != 0),
            detail: dict.text("detail").unwrap_or_default().to_owned(),
        }
    }

    /// Writes the details; absent ones are left out.
    pub fn to_dict(&self) -> Dict {
        Writer::default()
            .text_if("backup", self.backup.as_ref().map(BackupId::as_str))
            .number("bytes", self.bytes.get())
            .number("files", self.files)
            .integer("device-code", self.device_code.unwrap_or(0))
            .text("detail", &self.detail)
            .done()
    }
}

/// One thing that was checked: a row of `Diagnose`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckView {
    /// `id`.
    pub id: CheckId,
    /// `status`.
    pub status: CheckStatus,
    /// `detail`: what was found.
    pub detail: CheckDetail,
    /// `remedy`; `None` when nothing needs doing.
    pub remedy: Option<Remedy>,
    /// `subject`: the file, directory, address or word it is about; untrusted text.
    pub subject: String,
    /// `phone` it is about.
    pub phone: Option<Udid>,
    /// `free-bytes`.
    pub free: Option<Bytes>,
    /// `used-bytes`.
    pub used: Option<Bytes>,
    /// `quota-bytes`.
    pub quota: Option<Bytes>,
}

impl CheckView {
    /// Makes a check without remedy or numbers.
    pub fn new(id: CheckId, status: CheckStatus, detail: CheckDetail) -> Self {
        Self {
            id,
            status,
            detail,
            remedy: None,
            subject: String::new(),
            phone: None,
            free: None,
            used: None,
            quota: None,
        }
    }

    /// Reads a row; `None` without an id.
    pub fn from_dict(dict: &impl Lookup) -> Option<Self> {
        Some(Self {
            id: CheckId::parse(dict.text("id")?),
            status: CheckStatus::parse(dict.text("status").unwrap_or("unknown")),
            detail: CheckDetail::parse(dict.text("detail").unwrap_or_default()),
            remedy: dict
                .text("remedy")
                .filter(|word| !word.is_empty())
                .map(Remedy::parse),
            subject: dict.text("subject").unwrap_or_default().to_owned(),
            phone: dict.text("phone").and_then(|udid| Udid::parse(udid).ok()),
            free: dict.number("free-bytes").map(Bytes::new),
            used: dict.number("used-bytes").map(Bytes::new),
            quota: dict
                .number("quota-bytes")
                .filter(|n| *n != 0)
                .map(Bytes::new),
        })
    }

    /// Writes a row; absent details are left out.
    pub fn to_dict(&self) -> Dict {
        Writer::default()
            .text("id", self.id.as_str())
            .text("status", self.status.as_str())
            .text("detail", self.detail.as_str())
            .text("remedy", self.remedy.as_ref().map_or("", Remedy::as_str))
            .text("subject", &self.subject)
            .text_if("phone", self.phone.as_ref().map(Udid::as_str))
            .number_if("free-bytes", self.free.map(Bytes::get))
            .number_if("used-bytes", self.used.map(Bytes::get))
            .number_if("quota-bytes", self.quota.map(Bytes::get))
            .done()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backup() -> BackupView {
        BackupView {
            id: BackupId::parse("01JD8Z3YQ9V6W2X4T5R7P8N0KM").unwrap(),
            finished: Some(Wall::from_secs(1_763_691_240)),
            size: Bytes::from_gib(7),
            unique: Bytes::from_mib(120),
            os_version: "15.6".into(),
            encrypted: true,
            verified: Some(Wall::from_secs(1_763_691_241)),
            pinned: false,
            full: true,
            files: 2000,
            keybag: Some("00112233445566778899aabbccddeeff".to_owned()),
            damaged: 3,
            guarded: true,
            adopted: true,
            frees: Some(Bytes::from_mib(100)),
            keep: Some(vec![KeepReason::Last, KeepReason::Other("luck".into())]),
        }
    }

    #[test]
    fn rows_read_as_written() {
        let backup = backup();
        assert_eq!(
            BackupView::from_dict(&backup.to_dict()),
            Some(backup.clone())
        );

        let attempt = AttemptView {
            kind: JobKind::Verify,
            started: Some(Wall::from_secs(1)),
            ended: Some(Wall::from_secs(2)),
            trigger: Trigger::Schedule,
            result: Some(Outcome::LostPower),
            job: Some(JobId::new(7)),
            backup: Some(backup.id.clone()),
            bytes: Bytes::new(3),
            files: 4,
            device_code: Some(-104),
            detail: "what it said".into(),
            waits_for: vec![WaitsFor::Wifi, WaitsFor::Other("moon".into())],
        };
        assert_eq!(AttemptView::from_dict(&attempt.to_dict()), attempt);

        let completed = CompletedView {
            backup: Some(backup.id),
            bytes: Bytes::new(3),
            files: 4,
            device_code: Some(-208),
            detail: "what it said".into(),
        };
        assert_eq!(CompletedView::from_dict(&completed.to_dict()), completed);

        let check = CheckView {
            remedy: Some(Remedy::MakeRoom),
            subject: "/srv/ibak".into(),
            phone: Some(Udid::parse("00008110-000A1B2C3D4E5F60").unwrap()),
            free: Some(Bytes::new(1)),
            used: Some(Bytes::new(2)),
            quota: Some(Bytes::new(3)),
            ..CheckView::new(CheckId::StoreSpace, CheckStatus::Warn, CheckDetail::Low)
        };
        assert_eq!(CheckView::from_dict(&check.to_dict()), Some(check));
    }

    #[test]
    fn keys_are_the_contracts() {
        let mut keys: Vec<String> = backup().to_dict().into_keys().collect();
        keys.sort();
        insta::assert_debug_snapshot!(keys);
    }

    #[test]
    fn a_row_without_an_id_is_no_row() {
        assert_eq!(BackupView::from_dict(&Dict::new()), None);
        let mut row = backup().to_dict();
        row.extend(CheckView::new(CheckId::Bus, CheckStatus::Ok, CheckDetail::Fine).to_dict());
        assert_eq!(
            BackupView::from_dict(&row),
            None,
            "an id that is no backup's"
        );
        assert_eq!(CheckView::from_dict(&Dict::new()), None);
    }
}
