//! Every sentence about encryption, restore, files, iCloud and pairing, with the moment pinned.

use super::fixtures::{ada, at, backup, job, manager, studio, style, wall, wide};
use ibak_dbus::Bytes;
use ibak_dbus::views::{BackupView, JobView, PhoneView};
use ibak_dbus::words::{ConditionName, JobKind, OnOff, Outcome, Phase, TransportWord};
use ibakctl::extract::name::Odd;
use ibakctl::extract::{Summary, Why};
use ibakctl::render::{
    self, FileRow, FullAgain, Listing, PhoneBackups, RestoreView, SheetView, WhyView,
};
use ibakctl::{Glyphs, Style};
use std::path::Path;

fn ascii() -> Style {
    Style {
        glyphs: Glyphs::Ascii,
        ..style()
    }
}

fn of(id: &str, finished: &str, keybag: Option<&str>) -> BackupView {
    BackupView {
        encrypted: keybag.is_some(),
        keybag: keybag.map(str::to_owned),
        ..backup(id, finished)
    }
}

const NEW: &str = "5e6f708192a3b4c5d6e7f80918273645";
const OLD: &str = "a1b2c3d4e5f60718293a4b5c6d7e8f90";

#[test]
fn passwords_of_backups() {
    let backups = vec![
        of("01JD5Z3YQ9V6W2X4T5R7P8N0KM", "2026-11-10T02:14:00Z", None),
        of(
            "01JD6Z3YQ9V6W2X4T5R7P8N0KM",
            "2026-11-14T02:14:00Z",
            Some(OLD),
        ),
        of(
            "01JD7Z3YQ9V6W2X4T5R7P8N0KM",
            "2026-11-15T02:14:00Z",
            Some(OLD),
        ),
        of(
            "01JD8Z3YQ9V6W2X4T5R7P8N0KM",
            "2026-11-20T02:14:00Z",
            Some(NEW),
        ),
    ];
    let mut shown = Vec::new();
    for encryption in [OnOff::On, OnOff::Off] {
        let view = render::BackupsView {
            phones: vec![PhoneBackups {
                last: 0,
                phone: PhoneView {
                    encryption,
                    ..ada()
                },
                backups: backups.clone(),
            }],
        };
        shown.push(render::backups(&view, &style()));
        shown.push(render::backups(&view, &ascii()));
    }
    for line in shown.iter().flat_map(|text| text.lines()) {
        assert!(ibakctl::text::columns(line) <= 80, "{line}");
    }
    insta::assert_snapshot!(shown.join("----\n"));
}

#[test]
fn before_and_after_a_password() {
    let full = FullAgain::of(Bytes::from_gib(118), &manager());
    assert!(full.fits() && full.room() == Bytes::from_gib(212));
    let tight = FullAgain::of(
        Bytes::from_gib(118),
        &ibak_dbus::views::ManagerView {
            quota: Some(Bytes::from_gib(300)),
            ..manager()
        },
    );
    let small = FullAgain {
        quota_left: None,
        free: Bytes::from_gib(20),
        ..tight
    };
    assert!(!tight.fits() && !small.fits());
    let style = style();
    insta::assert_snapshot!(
        [
            render::before_encryption(None, &style),
            render::before_encryption(Some(&full), &style),
            format!("{}\n{}\n", tight.lack(), small.lack()),
            render::before_plain(None, &style),
            render::before_plain(Some(&full), &style),
            render::before_change(&style),
            render::encryption_on("Ada's iPhone", " ada", &style),
            render::encryption_changed("Ada's iPhone", "", &style),
            render::forgotten(" ada", &style),
        ]
        .join("----\n")
    );
}

#[test]
fn the_card() {
    let view = SheetView {
        phone: ada(),
        backup: Some(of(
            "01JD8Z3YQ9V6W2X4T5R7P8N0KM",
            "2026-11-20T02:14:00Z",
            Some(NEW),
        )),
        store: Some("/srv/a-long-way-to-the-place-where-all-of-the-backups-are/ibak".into()),
        computer: "cellar".into(),
    };
    let bare = SheetView {
        backup: None,
        store: None,
        phone: PhoneView {
            name: "\u{1b}[2JAda\u{202e}".into(),
            ..ada()
        },
        computer: String::new(),
    };
    insta::assert_snapshot!(
        [
            render::sheet(&view, None, &wide()),
            render::sheet(
                &view,
                Some("ocean-tulip-badge-window-copper-lantern"),
                &wide()
            ),
            render::sheet(&bare, None, &ascii()),
        ]
        .join("")
    );
    assert!(!render::sheet(&bare, None, &wide()).contains(['\u{1b}', '\u{202e}']));
}

#[test]
fn before_and_after_a_restore() {
    let view = RestoreView {
        phone: ada(),
        source: ada(),
        backup: backup("01JD8Z3YQ9V6W2X4T5R7P8N0KM", "2026-11-20T02:14:00Z"),
        keep_settings: false,
        remove_others: false,
    };
    let plain = RestoreView {
        keep_settings: true,
        remove_others: true,
        backup: BackupView {
            encrypted: false,
            keybag: None,
            ..view.backup.clone()
        },
        ..view.clone()
    };
    let other = RestoreView {
        phone: studio(),
        ..view.clone()
    };
    let style = style();
    insta::assert_snapshot!(
        [
            render::before_restore(&view, &style),
            render::before_restore(&plain, &style),
            render::before_restore(&other, &style),
            render::restored(&ada(), false, &style),
            render::restored(&ada(), true, &style),
        ]
        .join("----\n")
    );
}

#[test]
fn remedies_differ_by_what_was_wanted() {
    let mut shown = String::new();
    for kind in [
        JobKind::Restore,
        JobKind::Encryption,
        JobKind::CheckPassword,
        JobKind::Pair,
    ] {
        shown.push_str(&format!("{kind}\n"));
        for outcome in Outcome::ALL {
            let here = render::remedy_of(&kind, outcome, " ada");
            if here != render::remedy_of(&JobKind::Backup, outcome, " ada") {
                shown.push_str(&format!("  {outcome}: {}\n", here.unwrap_or_default()));
            }
        }
    }
    shown.push_str(&format!(
        "the restore {}\n",
        render::phrase_of(&JobKind::Restore, &Outcome::LostConnection)
    ));
    insta::assert_snapshot!(shown);
}

fn row(domain: &str, path: &str, kind: &str, size: u64) -> FileRow {
    FileRow {
        domain: domain.into(),
        path: path.into(),
        kind: kind.into(),
        size,
        modified: 1_700_000_000 + i64::try_from(size).unwrap(),
        mode: 0o644,
        target: if kind == "symlink" {
            "/var/\u{1b}[2J".into()
        } else {
            String::new()
        },
    }
}

fn rows() -> Vec<FileRow> {
    vec![
        row("HomeDomain", "", "directory", 0),
        row("HomeDomain", "Library", "directory", 0),
        row("HomeDomain", "Library/SMS", "directory", 0),
        row("HomeDomain", "Library/SMS/sms.db", "file", 8_160_437),
        row("HomeDomain", "Library/SMS/Parts/00/a.jpg", "file", 900_000),
        row("HomeDomain", "Library/link", "symlink", 0),
        row("HomeDomain", "Library/\u{202e}gpj.exe", "file", 12),
        row("HomeDomain", "Libraryx/y", "file", 1),
        row("HealthDomain", "Health/healthdb.sqlite", "file", 77_000_000),
    ]
}

#[test]
fn what_a_backup_holds() {
    let list = |mut listing: Listing, domain: Option<&str>| {
        for row in rows() {
            if domain.is_none_or(|domain| row.domain == domain) {
                listing.add(row);
            }
        }
        listing
    };
    let home = Some("HomeDomain");
    let lists = [
        list(Listing::domains(), None),
        list(Listing::beneath(""), home),
        list(Listing::beneath("Library"), home),
        list(Listing::beneath("Library/SMS/sms.db"), home),
    ];
    let mut shown: Vec<String> = lists
        .iter()
        .map(|listing| render::listing(listing, &style()))
        .collect();
    shown.push(format!("{}\n", ibakctl::json::listing(&lists[2])));
    insta::assert_snapshot!(shown.join("----\n"));
    assert!(!shown[2].contains(['\u{1b}', '\u{202e}']));
    let mut nothing = Listing::beneath("Nowhere");
    assert!(nothing.is_empty());
    nothing.add(row("HomeDomain", "Nowhere", "directory", 0));
    assert!(!nothing.is_empty() && nothing.rows().is_empty());
}

#[test]
fn what_came_out_of_a_backup() {
    let summary = Summary {
        files: 2012,
        bytes: 8_160_437_862,
        links: 2,
        links_skipped: 1,
        present: 3,
        refused: 12,
        listed: vec![
            ("../../.ssh/authorized_keys".into(), Why::Name(Odd::Dots)),
            ("D/\u{1b}[2J".into(), Why::Name(Odd::Control)),
            (format!("D/{}", "x".repeat(190)), Why::Name(Odd::Long)),
            ("D/twice".into(), Why::Twice),
            ("D/way/file".into(), Why::Way),
            ("D/null".into(), Why::Kind),
            ("D/readonly/x".into(), Why::Denied),
        ],
    };
    let fine = Summary {
        files: 1,
        bytes: 12,
        ..Summary::default()
    };
    let out = Path::new("/home/ada/out");
    let udid = "00008110-000A1B2C3D4E5F60";
    let name = "the backup of Ada's iPhone from Fri 02:14";
    insta::assert_snapshot!(
        [
            render::unpacked(&summary, out, &style()),
            render::refused(&summary, &style()),
            render::unpacked(&fine, Path::new("/tmp/\u{1b}[2J"), &style()),
            render::exported(name, udid, true, &summary, out, &style()),
            format!("{}\n", ibakctl::json::unpacked("extracted", &summary)),
        ]
        .join("----\n")
    );
    assert_eq!(render::refused(&fine, &style()), "");
}

#[test]
fn both_ways_in_one_place() {
    let shown: Vec<String> = [OnOff::On, OnOff::Off, OnOff::Unknown]
        .into_iter()
        .map(|icloud_backup| PhoneView {
            icloud_backup,
            ..ada()
        })
        .chain([
            PhoneView {
                icloud_backup: OnOff::Unknown,
                transports: vec![],
                last_backup: None,
                ..ada()
            },
            PhoneView {
                icloud_backup: OnOff::On,
                last_icloud_backup: Some(wall("2026-11-19T03:12:00Z")),
                ..ada()
            },
        ])
        .map(|phone| render::icloud(&phone, " ada", &style()))
        .collect();
    insta::assert_snapshot!(shown.join("----\n"));
}

fn needing(gib: f64) -> PhoneView {
    let mut phone = ada();
    let space = phone.conditions.get_mut(&ConditionName::Space).unwrap();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a few sizes"
    )]
    let bytes = (gib * 1024.0 * 1024.0 * 1024.0) as u64;
    space.needed = Some(Bytes::new(bytes));
    phone
}

#[test]
fn from_the_cable_to_the_first_backup() {
    let style = style();
    let cabled = PhoneView {
        transports: vec![TransportWord::Usb],
        ..ada()
    };
    let sizes: Vec<String> = [0.5, 7.6, 40.0, 60.0, 118.0, 480.0]
        .into_iter()
        .map(|gib| render::first_backup(&needing(gib)).unwrap())
        .collect();
    assert_eq!(
        sizes[4],
        "About 118 GiB: by cable about 1 h, over Wi-Fi 2 to 4 h."
    );
    let backups = [
        backup("01JD8Z3YQ9V6W2X4T5R7P8N0KM", "2026-11-20T02:14:00Z"),
        backup("01JD9Z3YQ9V6W2X4T5R7P8N0KM", "2026-11-21T02:14:00Z"),
    ];
    insta::assert_snapshot!(
        [
            render::passcode_forgotten(&style),
            render::paired(&ada(), &style),
            render::paired(&cabled, &style),
            render::foreign_password("Ada's iPhone", " ada", &style),
            render::recommend_encryption("Ada's iPhone", " ada", true, &style),
            render::recommend_encryption("Ada's iPhone", " ada", false, &style),
            render::automatic_is_on("Ada's iPhone", &style),
            format!("{}\n", sizes.join("\n")),
            render::first_backup_hint(Some(&sizes[4]), " ada", &style),
            render::first_backup_hint(None, "", &style),
            render::first_backup_later(" ada", &style),
            render::before_unpairing(&ada(), &backups, &style),
            render::before_unpairing(&ada(), &[], &style),
        ]
        .join("----\n")
    );
    let mut unknown = ada();
    unknown.conditions.clear();
    assert_eq!(render::first_backup(&unknown), None);
}

#[test]
fn an_unfinished_backup_and_a_password_to_try() {
    let half = PhoneView {
        staged: Bytes::from_gib(41),
        ..ada()
    };
    let untried = PhoneView {
        password_checked: None,
        password_check_due: true,
        ..ada()
    };
    let long_ago = PhoneView {
        password_checked: Some(wall("2026-03-01T12:00:00Z")),
        password_check_due: true,
        ..ada()
    };
    let mut shown = Vec::new();
    for phone in [half.clone(), untried, long_ago] {
        let view = WhyView {
            phone,
            job: None,
            attempts: vec![],
            last: 0,
            me: " ada".into(),
        };
        shown.push(render::why(&view, &style()));
    }
    let status = render::StatusView {
        manager: manager(),
        phones: vec![half],
        jobs: vec![],
    };
    shown.push(render::status(&status, &style()));
    insta::assert_snapshot!(shown.join("----\n"));
}

#[test]
fn every_kind_of_job_has_its_words() {
    let mut shown = String::new();
    for kind in JobKind::ALL {
        let phases: &[Phase] = match kind {
            JobKind::Restore => &[Phase::Connecting, Phase::Asking, Phase::Sending],
            JobKind::Encryption => &[Phase::Preparing, Phase::Asking],
            JobKind::CheckPassword => &[Phase::Unlocking],
            JobKind::Read | JobKind::Purchases => &[Phase::Copying],
            _ => &[Phase::Preparing],
        };
        for phase in phases {
            let job = JobView {
                kind: kind.clone(),
                phase: phase.clone(),
                expected_end: Some(at("23:17")),
                ..job()
            };
            let view = WhyView {
                phone: ada(),
                job: Some(job.clone()),
                attempts: vec![],
                last: 0,
                me: String::new(),
            };
            shown.push_str(&format!(
                "{kind} {phase}\n  {}\n  {}  {}",
                render::why_sentence(&view, &style()),
                render::progress_line(&job, &style()),
                render::job_line(&job, Some(&ada()), None, &style()),
            ));
            if let Some(prompt) = render::prompt(&job, &ada(), &style()) {
                shown.push_str(&format!("  {prompt}"));
            }
        }
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn every_result_has_words_and_most_have_a_remedy() {
    let mut shown = String::new();
    for outcome in Outcome::ALL
        .iter()
        .chain([&Outcome::Other("new-word".into())])
    {
        let phrase = render::outcome_phrase(outcome);
        assert!(
            !phrase.ends_with('.') && phrase.starts_with(char::is_lowercase),
            "{phrase}"
        );
        let remedy = render::outcome_remedy(outcome, " ada").unwrap_or_else(|| "-".into());
        shown.push_str(&format!("{outcome}: the backup {phrase}\n    {remedy}\n"));
    }
    insta::assert_snapshot!(shown);
}
