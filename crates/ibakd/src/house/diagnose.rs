//! The daemon's own checks for `ibakctl doctor`: words and remedies; the sentences are the CLI's.

use super::House;
use ibak_core::{Bytes, MuxerState, StorageState, StoreReport, StoreTrouble, Trust, Verdict, View};
use ibak_dbus::Dict;
use ibak_dbus::views::CheckView;
use ibak_dbus::words::{CheckDetail, CheckId, CheckStatus, Remedy};

impl House {
    /// Checks everything that backups need, in the order in which a person should read it.
    pub(super) fn diagnose(&self) -> Vec<Dict> {
        let view = self.machine.view();
        let mut checks = vec![self.check_config(), check_unit(), self.check_usbmuxd(&view)];
        checks.push(check_usb(&view));
        checks.push(self.check_mdns());
        checks.extend(self.check_store(&view));
        checks.extend(self.check_settings(&view));
        for phone in view.phones.values() {
            checks.extend(check_phone(phone, self.policies.of(&phone.udid)));
        }
        checks.iter().map(CheckView::to_dict).collect()
    }

    fn check_config(&self) -> CheckView {
        let subject = self
            .config_path
            .as_ref()
            .map(|path| path.display().to_string())
            .unwrap_or_default();
        let readable = self
            .config_path
            .as_ref()
            .is_none_or(|path| crate::config::Config::load(path).is_ok());
        if readable {
            CheckView {
                subject,
                ..ok(CheckId::Config)
            }
        } else {
            CheckView {
                subject,
                ..bad(
                    CheckId::Config,
                    CheckStatus::Warn,
                    CheckDetail::Unreadable,
                    Remedy::FixConfig,
                )
            }
        }
    }

    fn check_usbmuxd(&self, view: &View) -> CheckView {
        let check = match view.house.muxer {
            MuxerState::Up => ok(CheckId::Usbmuxd),
            MuxerState::Unknown => {
                CheckView::new(CheckId::Usbmuxd, CheckStatus::Unknown, CheckDetail::Absent)
            }
            // Debian's usbmuxd is started with the first phone and leaves with the last.
            MuxerState::Absent if view.house.apple_on_usb == Some(0) => bad(
                CheckId::Usbmuxd,
                CheckStatus::Warn,
                CheckDetail::Absent,
                Remedy::StartUsbmuxd,
            ),
            MuxerState::Absent => bad(
                CheckId::Usbmuxd,
                CheckStatus::Fail,
                CheckDetail::Absent,
                Remedy::StartUsbmuxd,
            ),
            MuxerState::Mute => bad(
                CheckId::Usbmuxd,
                CheckStatus::Fail,
                CheckDetail::Mute,
                Remedy::RestartUsbmuxd,
            ),
        };
        CheckView {
            subject: self.mux.to_string(),
            ..check
        }
    }

    fn check_mdns(&self) -> CheckView {
        match (self.network.deaf(), self.network.listens()) {
            (Some(reason), _) => CheckView {
                subject: reason.to_owned(),
                ..bad(
                    CheckId::Mdns,
                    CheckStatus::Fail,
                    CheckDetail::NoInterface,
                    Remedy::AllowMulticast,
                )
            },
            (None, true) => ok(CheckId::Mdns),
            (None, false) => CheckView::new(CheckId::Mdns, CheckStatus::Warn, CheckDetail::Absent),
        }
    }

    fn check_store(&self, view: &View) -> Vec<CheckView> {
        let path = self.config.store.display().to_string();
        let with_path = |check: CheckView| CheckView {
            subject: path.clone(),
            ..check
        };
        let numbers = match view.house.store {
            None => {
                return vec![with_path(CheckView::new(
                    CheckId::StorePath,
                    CheckStatus::Unknown,
                    CheckDetail::Absent,
                ))];
            }
            Some(StoreReport::Unavailable(trouble)) => {
                return vec![with_path(store_trouble(trouble))];
            }
            Some(StoreReport::Open(numbers)) => numbers,
        };
        let on_root = self
            .store
            .as_ref()
            .is_some_and(|store| store.facts().on_root_filesystem);
        let root = if on_root {
            CheckView::new(
                CheckId::StoreRootFilesystem,
                CheckStatus::Warn,
                CheckDetail::OnRootAllowed,
            )
        } else {
            ok(CheckId::StoreRootFilesystem)
        };
        let space = match view.house.storage {
            StorageState::Full => bad(
                CheckId::StoreSpace,
                CheckStatus::Fail,
                CheckDetail::Full,
                Remedy::MakeRoom,
            ),
            StorageState::Low => bad(
                CheckId::StoreSpace,
                CheckStatus::Warn,
                CheckDetail::Low,
                Remedy::MakeRoom,
            ),
            StorageState::Ok | StorageState::Unavailable | StorageState::Unknown => {
                ok(CheckId::StoreSpace)
            }
        };
        let space = CheckView {
            free: Some(numbers.free),
            used: Some(numbers.used),
            quota: numbers.quota.filter(|quota| *quota != Bytes::ZERO),
            ..space
        };
        vec![with_path(ok(CheckId::StorePath)), with_path(root), space]
    }
}

fn ok(id: CheckId) -> CheckView {
    CheckView::new(id, CheckStatus::Ok, CheckDetail::Fine)
}

pub(super) fn bad(
    id: CheckId,
    status: CheckStatus,
    detail: CheckDetail,
    remedy: Remedy,
) -> CheckView {
    CheckView {
        remedy: Some(remedy),
        ..CheckView::new(id, status, detail)
    }
}

fn check_unit() -> CheckView {
    if std::env::var_os("INVOCATION_ID").is_some() {
        ok(CheckId::Unit)
    } else {
        bad(
            CheckId::Unit,
            CheckStatus::Warn,
            CheckDetail::NotAService,
            Remedy::EnableUnit,
        )
    }
}

fn check_usb(view: &View) -> CheckView {
    match (view.house.apple_on_usb, view.house.unseen_by_muxer) {
        (None, _) => bad(
            CheckId::UsbPresence,
            CheckStatus::Warn,
            CheckDetail::Absent,
            Remedy::AllowUsb,
        ),
        (Some(_), 0) => ok(CheckId::UsbPresence),
        (Some(_), _) => bad(
            CheckId::UsbPresence,
            CheckStatus::Fail,
            CheckDetail::SeenOnBusOnly,
            Remedy::RestartUsbmuxd,
        ),
    }
}

fn store_trouble(trouble: StoreTrouble) -> CheckView {
    let (detail, remedy) = match trouble {
        StoreTrouble::Missing => (CheckDetail::StoreMissing, Remedy::MountStore),
        StoreTrouble::OnRoot => {
            return bad(
                CheckId::StoreRootFilesystem,
                CheckStatus::Fail,
                CheckDetail::StoreOnRoot,
                Remedy::AllowRootFilesystem,
            );
        }
        StoreTrouble::ReadOnly => (CheckDetail::StoreReadOnly, Remedy::MountStore),
        StoreTrouble::NoRights => (CheckDetail::StoreNoRights, Remedy::ChownStore),
        StoreTrouble::Unsupported => (CheckDetail::StoreUnsupported, Remedy::CreateStorePath),
        StoreTrouble::Newer => (CheckDetail::StoreNewer, Remedy::Upgrade),
        // It comes back by itself.
        StoreTrouble::Moving => {
            return CheckView::new(
                CheckId::StorePath,
                CheckStatus::Warn,
                CheckDetail::StoreMoving,
            );
        }
        StoreTrouble::Locked => (CheckDetail::StoreLocked, Remedy::StopOther),
        StoreTrouble::Damaged => (CheckDetail::StoreDamaged, Remedy::CreateStorePath),
        StoreTrouble::Failing => (CheckDetail::StoreFailing, Remedy::MountStore),
    };
    bad(CheckId::StorePath, CheckStatus::Fail, detail, remedy)
}

fn check_phone(phone: &ibak_core::PhoneView, policy: &ibak_core::Policy) -> Vec<CheckView> {
    let with_phone = |check: CheckView| CheckView {
        phone: Some(phone.udid.clone()),
        ..check
    };
    if phone.reach.best().is_none() {
        let absent = CheckView::new(
            CheckId::PhoneReachable,
            CheckStatus::Unknown,
            CheckDetail::NotReachable,
        );
        return vec![with_phone(absent)];
    }
    let trust = match phone.trust {
        Trust::Trusted => ok(CheckId::PhoneTrust),
        Trust::Untrusted => {
            let untrusted = bad(
                CheckId::PhoneTrust,
                CheckStatus::Fail,
                CheckDetail::NotTrusted,
                Remedy::Pair,
            );
            return vec![with_phone(untrusted)];
        }
        Trust::Unknown => bad(
            CheckId::PhoneTrust,
            CheckStatus::Unknown,
            CheckDetail::NotReachable,
            Remedy::PlugInAndUnlock,
        ),
    };
    let mut checks = vec![with_phone(trust)];
    let unknown = phone.conditions.iter().find(|(condition, state)| {
        policy.requires(*condition) && matches!(state.verdict, Verdict::Unknown(_))
    });
    if let Some((condition, _)) = unknown {
        let told = CheckView::new(
            CheckId::PhoneSignals,
            CheckStatus::Warn,
            CheckDetail::ConditionUnknown,
        );
        checks.push(with_phone(CheckView {
            subject: condition.word().to_owned(),
            ..told
        }));
    }
    match phone.encrypts {
        Some(false) => checks.push(with_phone(bad(
            CheckId::PhoneEncryption,
            CheckStatus::Warn,
            CheckDetail::NotEncrypted,
            Remedy::EncryptBackups,
        ))),
        Some(true) => checks.push(with_phone(ok(CheckId::PhoneEncryption))),
        None => {}
    }
    checks
}
