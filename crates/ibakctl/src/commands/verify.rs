//! `ibakctl verify`: a backup read again, all of it, and what follows when it is damaged.

use super::choose::{self, Chosen, backups_of, newest};
use super::deed::{CtrlC, call_off};
use super::ended::{failed, job_of};
use super::reading::me;
use super::wait::{self, Ended, Waiting};
use crate::cli::VerifyArgs;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::json;
use crate::render;
use crate::select::{self, shown_name};
use crate::session::Session;
use ibak_dbus::Dict;
use ibak_dbus::views::{BackupView, PhoneView};
use ibak_dbus::words::{JobKind, Outcome};

/// What a check found.
enum Found {
    /// All of it is as it was written.
    Sound,
    /// Some of it is not.
    Damaged(Box<Failure>),
    /// Nobody knows, for it could not be read; what this says of the others is nothing.
    Unread(Box<Failure>),
    /// Nobody waited for the end.
    Interrupted,
}

pub(super) async fn verify(
    args: &VerifyArgs,
    as_json: bool,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let mut session = Session::open().await?;
    let style = console.out_style();
    if !args.all {
        let chosen = one(&session, args.backup.as_deref(), &style).await?;
        return match check(&mut session, &chosen, as_json, console).await? {
            Found::Sound => Ok(Exit::Done),
            Found::Damaged(failure) | Found::Unread(failure) => Err(*failure),
            Found::Interrupted => Ok(Exit::Interrupted),
        };
    }
    let all = every(&session, args.backup.as_deref(), &style).await?;
    let count = all.len();
    let (mut damaged, mut unread) = (0_u64, 0_u64);
    for (at, chosen) in all.into_iter().enumerate() {
        let which = render::backup_of(&chosen.phone, &chosen.backup, &style);
        console.say(&format!("{} of {count}: {which}\n", at + 1));
        let failure = match check(&mut session, &chosen, as_json, console).await? {
            Found::Sound => continue,
            Found::Damaged(failure) => {
                damaged += 1;
                failure
            }
            Found::Unread(failure) => {
                unread += 1;
                failure
            }
            Found::Interrupted => return Ok(Exit::Interrupted),
        };
        let style = console.err_style();
        console.say(&render::error(&failure, &style));
    }
    sum(damaged, unread, count)
}

/// Ends the check of `count` backups.
fn sum(damaged: u64, unread: u64, count: usize) -> Result<Exit, Failure> {
    let is = if damaged == 1 { "is" } else { "are" };
    let message = match (damaged, unread) {
        (0, 0) => return Ok(Exit::Done),
        (_, 0) => format!("{damaged} of {count} backups {is} damaged"),
        (0, _) => format!("{unread} of {count} backups could not be read again"),
        (_, _) => format!(
            "{damaged} of {count} backups {is} damaged, and {unread} could not be read again"
        ),
    };
    let hint = if damaged > 0 {
        "the next backup of each phone repairs what is damaged; `ibakctl backups` shows which are good"
    } else {
        "what kept them from being read is said above; `ibakctl verify BACKUP` tries one again"
    };
    Err(Failure::new(Exit::Failed, message).hint(hint))
}

/// Says whether what ended this check would end that of every other backup.
fn concerns_all(result: &Outcome) -> bool {
    [
        Outcome::Cancelled,
        Outcome::DaemonStopped,
        Outcome::StoreUnavailable,
    ]
    .contains(result)
}

/// Finds the backup that is meant; without a name the newest of the only phone.
async fn one(
    session: &Session,
    asked: Option<&str>,
    style: &crate::Style,
) -> Result<Chosen, Failure> {
    if let Some(asked) = asked {
        return choose::backup(session, asked, style).await;
    }
    let phone = select::phone(&session.phones(), None, style)?.clone();
    match newest(&backups_of(session, &phone).await?) {
        Some(backup) => Ok(Chosen {
            backup: backup.clone(),
            phone,
        }),
        None => Err(none_yet(&phone, style)),
    }
}

fn none_yet(phone: &PhoneView, style: &crate::Style) -> Failure {
    Failure::new(
        Exit::NoSuch,
        format!("{} has no backup yet", shown_name(phone, style)),
    )
}

/// Lists all backups of a phone, or of every phone, the newest of each first.
async fn every(
    session: &Session,
    asked: Option<&str>,
    style: &crate::Style,
) -> Result<Vec<Chosen>, Failure> {
    let phones = session.phones();
    let wanted = match asked {
        None => phones,
        Some(_) => vec![select::phone(&phones, asked, style)?.clone()],
    };
    let mut all = Vec::new();
    for phone in wanted {
        let backups = backups_of(session, &phone).await?;
        all.extend(backups.into_iter().rev().map(|backup| Chosen {
            phone: phone.clone(),
            backup,
        }));
    }
    if all.is_empty() {
        return Err(Failure::new(Exit::NoSuch, "there is no backup yet"));
    }
    Ok(all)
}

async fn check(
    session: &mut Session,
    chosen: &Chosen,
    as_json: bool,
    console: &mut Console,
) -> Result<Found, Failure> {
    let begun = session
        .phone(&chosen.phone)
        .await?
        .verify_backup(chosen.backup.id.as_str(), Dict::new())
        .await;
    let job = match begun {
        Ok(path) => job_of(path.as_str())?,
        Err(error) => {
            let is_busy = matches!(error, ibak_dbus::Error::Busy(_));
            let failure = Failure::of_call("read the backup again", error);
            return if is_busy || failure.exit == Exit::NoSuch {
                Ok(Found::Unread(Box::new(failure)))
            } else {
                Err(failure)
            };
        }
    };
    let ended = match wait::for_job(session, job, Some(&chosen.phone), console).await? {
        Waiting::Ended(ended) => ended,
        Waiting::Interrupted => {
            call_off(session, job, CtrlC::Cancels, console).await?;
            return Ok(Found::Interrupted);
        }
    };
    let all = backups_of(session, &chosen.phone).await?;
    let now = all
        .iter()
        .find(|backup| backup.id == chosen.backup.id)
        .unwrap_or(&chosen.backup);
    if as_json {
        console.answer_json(&json::verified(
            &chosen.phone.udid,
            now,
            &ended.result,
            &ended.details,
        ))?;
    }
    conclude(session, chosen, &ended, (now, &all), as_json, console)
}

/// Tells how it ended; damage is no error of the check.
fn conclude(
    session: &Session,
    chosen: &Chosen,
    ended: &Ended,
    (now, all): (&BackupView, &[BackupView]),
    as_json: bool,
    console: &mut Console,
) -> Result<Found, Failure> {
    let style = console.out_style();
    let what = render::backup_of(&chosen.phone, now, &style);
    if ended.result == Outcome::Succeeded {
        if !as_json {
            console.answer(&render::sound(&chosen.phone, now, &style))?;
        }
        return Ok(Found::Sound);
    }
    if ended.result == Outcome::BackupDamaged {
        return Ok(Found::Damaged(Box::new(
            Failure::new(Exit::Failed, format!("{what} is damaged"))
                .because(render::damage(now))
                .hint(render::after_damage(now, all, &style)),
        )));
    }
    let me = me(None, &session.phones(), &chosen.phone, &style);
    let failure = failed(
        &JobKind::Verify,
        "the check",
        &ended.result,
        &ended.details,
        &me,
    );
    if concerns_all(&ended.result) {
        Err(failure)
    } else {
        Ok(Found::Unread(Box::new(failure)))
    }
}
