//! `ibakctl doctor`: each check with its remedy.

use crate::select::shown_name;
use crate::style::{Style, Tone};
use crate::text;
use ibak_dbus::views::{CheckView, PhoneView};
use ibak_dbus::words::{CheckDetail, CheckId, CheckStatus, Remedy};

/// What the CLI itself can see of the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnCheck {
    /// The daemon answers on this bus, in this version.
    Running {
        /// The bus, as `IBAK_BUS` has it.
        bus: String,
        /// The daemon's version.
        version: String,
    },
    /// The bus can be reached, and the daemon is not on it.
    NoDaemon {
        /// The bus, as `IBAK_BUS` has it.
        bus: String,
        /// Whether its service is installed.
        installed: bool,
    },
    /// The bus cannot be reached.
    NoBus {
        /// The bus, as `IBAK_BUS` has it.
        bus: String,
        /// Why, in the bus library's words.
        why: String,
    },
}

/// What `doctor` shows.
#[derive(Clone, Debug, PartialEq)]
pub struct DoctorView {
    /// What the CLI sees.
    pub own: OwnCheck,
    /// What the daemon sees.
    pub checks: Vec<CheckView>,
    /// The phones, for their names.
    pub phones: Vec<PhoneView>,
}

impl DoctorView {
    /// Says whether backups cannot work like this.
    pub fn fails(&self) -> bool {
        let daemon = match self.own {
            OwnCheck::Running { .. } => false,
            OwnCheck::NoDaemon { .. } | OwnCheck::NoBus { .. } => true,
        };
        daemon
            || self
                .checks
                .iter()
                .any(|check| check.status == CheckStatus::Fail)
    }
}

struct Line {
    status: CheckStatus,
    what: String,
    remedy: Option<String>,
}

/// Renders one line a check, its remedy beneath it, and a sum.
pub fn render(view: &DoctorView, style: &Style) -> String {
    let mut lines = vec![own(&view.own, style)];
    lines.extend(
        view.checks
            .iter()
            .map(|check| line(check, &view.phones, style)),
    );
    let mut out = String::new();
    for line in &lines {
        let (mark, tone) = match line.status {
            CheckStatus::Ok => ("ok   ", Tone::Good),
            CheckStatus::Warn => ("warn ", Tone::Wary),
            CheckStatus::Fail => ("FAIL ", Tone::Bad),
            CheckStatus::Unknown | CheckStatus::Other(_) => ("?    ", Tone::Wary),
        };
        out.push_str(&format!("  {} {}\n", style.tone(tone, mark), line.what));
        if let Some(remedy) = &line.remedy {
            out.push_str(&format!("         -> {remedy}\n"));
        }
    }
    let count = |wanted: &CheckStatus| {
        u64::try_from(lines.iter().filter(|line| line.status == *wanted).count()).unwrap_or(0)
    };
    let (fails, warns) = (count(&CheckStatus::Fail), count(&CheckStatus::Warn));
    out.push_str(&match (fails, warns) {
        (0, 0) => "Nothing stands in the way of backups.\n".to_owned(),
        (0, warns) => format!(
            "Backups can run; {} could be better.\n",
            text::count(warns, "thing", "things")
        ),
        (fails, _) => format!(
            "Backups cannot run: {} to put right.\n",
            text::count(fails, "thing", "things")
        ),
    });
    out
}

fn own(check: &OwnCheck, style: &Style) -> Line {
    let bus_name = |bus: &str| match bus {
        "system" => "the system bus".to_owned(),
        "session" => "the session bus (IBAK_BUS=session)".to_owned(),
        address => format!("the bus at {}", text::escape(address, style)),
    };
    match check {
        OwnCheck::Running { bus, version } => Line {
            status: CheckStatus::Ok,
            what: format!("the daemon answers on {}, version {}", bus_name(bus), text::escape(version, style)),
            remedy: None,
        },
        OwnCheck::NoDaemon { bus, installed } => Line {
            status: CheckStatus::Fail,
            what: format!("the daemon is not on {}", bus_name(bus)),
            remedy: Some(match (installed, bus.as_str()) {
                (true, "system") => "start it: `systemctl enable --now ibakd`; `journalctl -u ibakd` says why it ended".to_owned(),
                (false, "system") => "install it: its service ibakd.service is not installed".to_owned(),
                (_, _) => "start `ibakd` with the same IBAK_BUS".to_owned(),
            }),
        },
        OwnCheck::NoBus { bus, why } => Line {
            status: CheckStatus::Fail,
            what: format!("{} cannot be reached: {}", bus_name(bus), text::escape(why, style)),
            remedy: Some("see whether D-Bus runs, and what IBAK_BUS says".to_owned()),
        },
    }
}

fn line(check: &CheckView, phones: &[PhoneView], style: &Style) -> Line {
    let phone = check.phone.as_ref().map(|udid| {
        phones
            .iter()
            .find(|phone| phone.udid == *udid)
            .map_or_else(|| udid.to_string(), |phone| shown_name(phone, style))
    });
    let subject = text::escape(&check.subject, style);
    let mut about = topic(&check.id, style);
    if let Some(phone) = phone {
        about = format!("{phone}: {about}");
    } else if !subject.is_empty() {
        about = format!("{about} ({subject})");
    }
    let mut what = format!("{about}: {}", detail(check, &subject, style));
    let room = room(check);
    if !room.is_empty() {
        what = format!("{what}; {room}");
    }
    Line {
        status: check.status.clone(),
        what,
        remedy: check
            .remedy
            .as_ref()
            .and_then(|remedy| remedy_words(remedy, &subject)),
    }
}

fn room(check: &CheckView) -> String {
    let free = check.free.map(|free| format!("{} free", text::bytes(free)));
    let quota = match (check.used, check.quota) {
        (Some(used), Some(quota)) => Some(format!("{} quota used", text::of_bytes(used, quota))),
        (_, _) => None,
    };
    [free, quota]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(", ")
}

fn topic(id: &CheckId, style: &Style) -> String {
    match id {
        CheckId::Config => "configuration",
        CheckId::Bus => "bus name",
        CheckId::Unit => "service",
        CheckId::Usbmuxd => "usbmuxd",
        CheckId::UsbPresence => "watching USB",
        CheckId::Mdns => "finding phones on the network",
        CheckId::StorePath => "store",
        CheckId::StoreRootFilesystem => "the store's disk",
        CheckId::StoreSpace => "room in the store",
        CheckId::Inhibitor => "keeping the computer awake",
        CheckId::Polkit => "polkit",
        CheckId::PhoneSettings => "settings",
        CheckId::PhoneTrust => "trust",
        CheckId::PhoneReachable => "reachable",
        CheckId::PhoneEncryption => "encryption",
        CheckId::PhoneSignals => "signals",
        CheckId::Other(word) => return text::escape(word, style),
    }
    .to_owned()
}

/// Says what a check found, without its subject.
pub fn found(check: &CheckView, style: &Style) -> String {
    detail(check, "", style)
}

fn detail(check: &CheckView, subject: &str, style: &Style) -> String {
    match &check.detail {
        CheckDetail::Fine => "fine",
        CheckDetail::Absent => "not there",
        CheckDetail::Mute => "it is there and does not answer",
        CheckDetail::Refused => "refused",
        CheckDetail::StoreMissing => "its directory does not exist",
        CheckDetail::StoreOnRoot => {
            "it is on the root file system, and the configuration does not say that it may be"
        }
        CheckDetail::StoreReadOnly => "its file system is mounted read-only",
        CheckDetail::StoreNoRights => "the daemon may not write there",
        CheckDetail::StoreUnsupported => {
            "its file system cannot do what the store needs, such as hard links"
        }
        CheckDetail::StoreLocked => "another daemon is using it",
        CheckDetail::StoreDamaged => "it holds what no store of ours holds",
        CheckDetail::StoreFailing => "reading or writing it failed",
        CheckDetail::StoreMoving => "it is being moved to another place",
        CheckDetail::StoreNewer => "a newer ibak wrote it, and this one cannot read it",
        CheckDetail::OnRootAllowed => {
            "it is on the root file system, as the configuration says it may be"
        }
        CheckDetail::Low => "nearly full",
        CheckDetail::Full => "full",
        CheckDetail::Unreadable => "it cannot be read",
        CheckDetail::NotAService => "started by hand, not by systemd",
        CheckDetail::SeenOnBusOnly => "an Apple device is plugged in, and usbmuxd does not show it",
        CheckDetail::NoInterface => "no network interface can be used",
        CheckDetail::TableOfNobody => "no known phone goes by this name, so it holds for none",
        CheckDetail::TableOfSeveral => "several phones go by this name, so it holds for none",
        CheckDetail::TableTwice => {
            "another table names the same phone by its UDID, so this one holds for none"
        }
        CheckDetail::SettingLeftOut if subject.is_empty() => {
            "a setting does not fit with the configuration and is left out"
        }
        CheckDetail::SettingLeftOut => {
            return format!("{subject} does not fit with the configuration and is left out");
        }
        CheckDetail::NotPaired => "it was never paired",
        CheckDetail::NotTrusted => "it does not trust this computer",
        CheckDetail::NotReachable => "it is not here",
        CheckDetail::NotEncrypted => {
            "off, so passwords, health data and calls are not in its backups"
        }
        CheckDetail::AsksPasscode => {
            "it asks for its passcode before every backup, so somebody must be there"
        }
        CheckDetail::ConditionUnknown if subject.is_empty() => "a condition cannot be told",
        CheckDetail::ConditionUnknown => return format!("{subject} cannot be told"),
        CheckDetail::Other(word) => return text::escape(word, style),
    }
    .to_owned()
}

fn remedy_words(remedy: &Remedy, subject: &str) -> Option<String> {
    Some(
        match remedy {
            Remedy::StartUsbmuxd => "install it, or start it: `systemctl start usbmuxd`",
            Remedy::RestartUsbmuxd => {
                "restart it: `systemctl restart usbmuxd`, then plug the phone in again"
            }
            Remedy::PlugInAndUnlock => "plug the phone in and unlock it once",
            Remedy::Pair => "plug the phone in, unlock it, and run `ibakctl pair`",
            Remedy::CreateStorePath => {
                "create the directory, or correct `store.path` in /etc/ibak/ibakd.toml"
            }
            Remedy::MountStore => "mount its disk",
            Remedy::ChownStore if !subject.is_empty() => {
                return Some(format!("give it to the daemon: `chown ibak: {subject}`"));
            }
            Remedy::ChownStore => "give the directory to the user ibak",
            Remedy::AllowRootFilesystem => {
                "choose another disk in /etc/ibak/ibakd.toml, or say there that this one is meant"
            }
            Remedy::MakeRoom => "make room on this disk, or raise the quota",
            Remedy::Upgrade => {
                "install a newer ibak, or choose another directory in /etc/ibak/ibakd.toml"
            }
            Remedy::StopOther => "stop the other daemon",
            Remedy::FixConfig => "correct it; `ibakd --check` names the line",
            Remedy::NameByUdid => {
                "name the phone by its UDID there; `ibakctl --json` tells each phone's"
            }
            Remedy::SetAnew => "set it anew, or take it back: `ibakctl policy`",
            Remedy::AllowMulticast => "let mDNS through the firewall: UDP port 5353",
            Remedy::EnableUnit => "run it as a service: `systemctl enable --now ibakd`",
            Remedy::InstallPolkit => "install polkit; until then only root may change anything",
            Remedy::EncryptBackups => "turn on encrypted backups for it",
            Remedy::AllowUsb => "let the daemon read USB devices; cables are then noticed sooner",
            Remedy::StartLogind => {
                "see whether systemd-logind runs; until then the computer may sleep during a backup"
            }
            Remedy::Other(_) => return None,
        }
        .to_owned(),
    )
}
