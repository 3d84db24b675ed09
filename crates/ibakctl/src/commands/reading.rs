//! Commands that only read.

use super::choose::backups_with;
use super::nights;
use crate::cli::{BackupsArgs, StatusArgs};
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::json;
use crate::render::{self, BackupsView, DoctorView, OwnCheck, PhoneBackups, StatusView, WhyView};
use crate::select::{self, BackupName};
use crate::session::{self, Session};
use crate::text;
use ibak_dbus::Dict;
use ibak_dbus::views::{AttemptView, BackupView, CheckView, PhoneView};
use ibak_dbus::words::KeepReason;
use std::path::Path;

pub(super) async fn status(
    args: &StatusArgs,
    as_json: bool,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let session = Session::open().await?;
    let style = console.out_style();
    let mut view = session.status()?;
    if args.phone.is_some() {
        let phone = select::phone(&view.phones, args.phone.as_deref(), &style)?.clone();
        view = StatusView {
            jobs: view
                .jobs
                .into_iter()
                .filter(|job| job.phone.as_ref() == Some(&phone.udid))
                .collect(),
            manager: view.manager,
            phones: vec![phone],
        };
    }
    if as_json {
        console.answer_json(&json::status(&view))?;
    } else {
        console.answer(&render::status(&view, &style))?;
    }
    if !args.check {
        return Ok(Exit::Done);
    }
    let trouble = render::trouble(&view, &style);
    for line in &trouble {
        console.say(&format!("{line}\n"));
    }
    Ok(if trouble.is_empty() {
        Exit::Done
    } else {
        Exit::Failed
    })
}

pub(super) async fn why(
    asked: Option<&str>,
    last: usize,
    as_json: bool,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let session = Session::open().await?;
    let style = console.out_style();
    let status = session.status()?;
    let mut phone = select::phone(&status.phones, asked, &style)?.clone();
    let me = me(asked, &status.phones, &phone, &style);
    let attempts = attempts(&session, &phone, 0).await?;
    let past = nights::past(&session, &mut phone, &attempts, last, &me, &style).await?;
    let view = WhyView {
        job: status.job_of(&phone).cloned(),
        attempts,
        last,
        me,
        phone,
    };
    let missed = past.first().and_then(|night| render::missed(night, &style));
    if as_json {
        let why = json::why(&view, &render::why_sentence(&view, &style));
        console.answer_json(&json::with_nights(why, missed, &past, &style))?;
    } else {
        let first = missed.map_or_else(String::new, |missed| {
            format!("{}\n", text::paragraph(&missed, 0, &style))
        });
        // The last night is not told twice.
        let told = usize::from(!first.is_empty());
        let nights = render::nights(past.get(told..last).unwrap_or_default(), &style);
        let why = render::why(&view, &style);
        console.answer(&format!("{first}{why}{nights}"))?;
    }
    Ok(Exit::Done)
}

/// Returns how hints name a phone: as it was asked for, or the shortest way; with a space before.
pub(super) fn me(
    asked: Option<&str>,
    phones: &[PhoneView],
    phone: &PhoneView,
    style: &crate::Style,
) -> String {
    let name = match asked {
        Some(asked)
            if asked
                .chars()
                .all(|c| c.is_alphanumeric() || c == '-' || c == '_') =>
        {
            Some(asked.to_owned())
        }
        Some(asked) => Some(format!("\"{}\"", text::escape(asked, style))),
        None => select::short_name(phones, phone, style),
    };
    name.map_or_else(String::new, |name| format!(" {name}"))
}

/// Asks for a phone's tries since `since` µs, oldest first.
pub(super) async fn attempts(
    session: &Session,
    phone: &PhoneView,
    since: u64,
) -> Result<Vec<AttemptView>, Failure> {
    let rows = session
        .phone(phone)
        .await?
        .list_attempts(since, Dict::new())
        .await
        .map_err(|error| Failure::of_call("read what was tried", error))?;
    Ok(rows.iter().map(AttemptView::from_dict).collect())
}

pub(super) async fn backups(
    args: &BackupsArgs,
    as_json: bool,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let session = Session::open().await?;
    let style = console.out_style();
    let phones = session.phones();
    let which = args.which.as_deref();
    // A phone's own name wins over the beginning of an id that looks like it.
    let as_phone = which.map(|which| select::phone(&phones, Some(which), &style));
    let named = which
        .and_then(BackupName::parse)
        .filter(|_| !matches!(as_phone, Some(Ok(_))));
    let wanted: Vec<PhoneView> = match (&named, as_phone) {
        (Some(BackupName::Id(_)), _) | (None, None) => phones.clone(),
        (Some(name), _) => vec![select::phone(&phones, name.phone(), &style)?.clone()],
        (None, Some(found)) => vec![found?.clone()],
    };
    let mut view = BackupsView { phones: Vec::new() };
    for phone in wanted {
        let options = session::options(&[("explain", args.explain)]);
        let all = backups_with(&session, &phone, options).await?;
        let last = count_last(&all);
        let backups = match &named {
            Some(name) => name.pick(&all, &style).into_iter().cloned().collect(),
            None => all,
        };
        view.phones.push(PhoneBackups {
            phone,
            backups,
            last,
        });
    }
    if named.is_some() && view.phones.iter().all(|phone| phone.backups.is_empty()) {
        let asked = text::escape(which.unwrap_or_default(), &style);
        return Err(
            Failure::new(Exit::NoSuch, format!("there is no backup {asked:?}"))
                .hint("`ibakctl backups` lists them"),
        );
    }
    if as_json {
        console.answer_json(&json::backups(&view))?;
    } else if args.explain {
        console.answer(&render::explained(&view, &style))?;
    } else {
        console.answer(&render::backups(&view, &style))?;
    }
    Ok(Exit::Done)
}

/// Counts the backups that stay for being among the last: the daemon foretells with one more.
fn count_last(backups: &[BackupView]) -> u64 {
    let is_last = |backup: &&BackupView| {
        let keep = backup.keep.as_deref().unwrap_or_default();
        keep.contains(&KeepReason::Last)
    };
    u64::try_from(backups.iter().filter(is_last).count() + 1).unwrap_or(u64::MAX)
}

/// Is where a package or an administrator puts the service.
const UNIT_PATHS: [&str; 4] = [
    "/etc/systemd/system/ibakd.service",
    "/usr/local/lib/systemd/system/ibakd.service",
    "/usr/lib/systemd/system/ibakd.service",
    "/lib/systemd/system/ibakd.service",
];

pub(super) async fn doctor(
    asked: Option<&str>,
    as_json: bool,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let style = console.out_style();
    let view = examine(asked, &style).await?;
    if as_json {
        console.answer_json(&json::doctor(&view))?;
    } else {
        console.answer(&render::doctor(&view, &style))?;
    }
    Ok(match view.own {
        OwnCheck::NoDaemon { .. } | OwnCheck::NoBus { .. } => Exit::NoDaemon,
        OwnCheck::Running { .. } if view.fails() => Exit::Failed,
        OwnCheck::Running { .. } => Exit::Done,
    })
}

async fn examine(asked: Option<&str>, style: &crate::Style) -> Result<DoctorView, Failure> {
    let choice = session::bus();
    let bus = choice.to_string();
    let alone = |own| DoctorView {
        own,
        checks: Vec::new(),
        phones: Vec::new(),
    };
    let connection = match session::connect(&choice).await {
        Ok(connection) => connection,
        Err(failure) => {
            return Ok(alone(OwnCheck::NoBus {
                bus,
                why: failure.causes.join(": "),
            }));
        }
    };
    let session = match Session::on(connection).await {
        Ok(session) => session,
        Err(failure) if failure.exit == Exit::NoDaemon => {
            let installed = UNIT_PATHS.iter().any(|path| Path::new(path).exists());
            return Ok(alone(OwnCheck::NoDaemon { bus, installed }));
        }
        Err(failure) => return Err(failure),
    };
    let status = session.status()?;
    let only = match asked {
        Some(_) => Some(select::phone(&status.phones, asked, style)?.udid.clone()),
        None => None,
    };
    let rows = session
        .manager()
        .await?
        .diagnose(Dict::new())
        .await
        .map_err(|error| Failure::of_call("examine the daemon", error))?;
    let checks = rows
        .iter()
        .filter_map(CheckView::from_dict)
        .filter(|check| only.is_none() || check.phone.is_none() || check.phone == only)
        .collect();
    Ok(DoctorView {
        own: OwnCheck::Running {
            bus,
            version: status.manager.version,
        },
        checks,
        phones: status.phones,
    })
}
