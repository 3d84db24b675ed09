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
            Found::Damaged(failure) => Err(*failure),
            Found::Interrupted => Ok(Exit::Interrupted),
        };
    }
    let all = every(&session, args.backup.as_deref(), &style).await?;
    let count = all.len();
    let mut damaged = 0_u64;
    for (at, chosen) in all.into_iter().enumerate() {
        let which = render::backup_of(&chosen.phone, &chosen.backup, &style);
        console.say(&format!("{} of {count}: {which}\n", at + 1));
        match check(&mut session, &chosen, as_json, console).await? {
            Found::Sound => {}
            Found::Damaged(failure) => {
                damaged += 1;
                let style = console.err_style();
                console.say(&render::error(&failure, &style));
            }
            Found::Interrupted => return Ok(Exit::Interrupted),
        }
    }
    if damaged > 0 {
        return Err(Failure::new(
            Exit::Failed,
            format!("{damaged} of {count} backups are damaged"),
        )
        .hint("the next backup of each phone repairs what is damaged; `ibakctl backups` shows which are good"));
    }
    Ok(Exit::Done)
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
    let path = session
        .phone(&chosen.phone)
        .await?
        .verify_backup(chosen.backup.id.as_str(), Dict::new())
        .await
        .map_err(|error| Failure::of_call("read the backup again", error))?;
    let job = job_of(path.as_str())?;
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
    Err(failed(
        &JobKind::Verify,
        "the check",
        &ended.result,
        &ended.details,
        &me,
    ))
}
