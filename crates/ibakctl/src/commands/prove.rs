//! Trying a password on a backup, without the phone; and the card it is written on.

use super::choose::{self, backups_of, newest};
use super::deed::{CtrlC, Deed, call_off, conclude};
use super::encryption::{Subject, no_pipe};
use super::ended::job_of;
use super::password::existing;
use super::wait::{self, Waiting};
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::render::{self, SheetView};
use crate::secret::{Password, Source};
use crate::session::Session;
use ibak_dbus::views::{BackupView, CheckView};
use ibak_dbus::words::{CheckId, JobKind, OnOff, Outcome};
use ibak_dbus::{BackupId, Dict};

/// `ibakctl encryption check`.
pub(super) async fn check(
    session: &mut Session,
    subject: &Subject,
    asked: Option<&str>,
    source: Source,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let style = console.out_style();
    let chosen = match asked {
        Some(asked) => choose::backup(session, asked, &style).await?,
        None => {
            let encrypted: Vec<BackupView> = backups_of(session, &subject.phone)
                .await?
                .into_iter()
                .filter(|backup| backup.encrypted)
                .collect();
            let Some(newest) = newest(&encrypted) else {
                return Err(no_encrypted(subject));
            };
            choose::Chosen {
                phone: subject.phone.clone(),
                backup: newest.clone(),
            }
        }
    };
    if !chosen.backup.encrypted {
        return Err(Failure::new(
            Exit::Failed,
            "this backup has no password: everybody can read it",
        ));
    }
    let which = render::backup_of(&chosen.phone, &chosen.backup, &style);
    let password = existing(source, &format!("Password of {which}: "), console).await?;
    match prove(session, subject, &chosen, &password, console).await? {
        Proof::Interrupted => Ok(Exit::Interrupted),
        Proof::Right => {
            if !subject.json {
                console.answer(&format!("This is the password of {which}.\n"))?;
            }
            Ok(Exit::Done)
        }
        Proof::Wrong => {
            if !subject.json {
                let style = console.err_style();
                console.say(&render::forgotten(&subject.me, &style));
            }
            Err(wrong(&which, &subject.me))
        }
    }
}

fn wrong(which: &str, me: &str) -> Failure {
    Failure::new(Exit::Failed, format!("this is not the password of {which}")).hint(format!(
        "try another one; `ibakctl backups{me}` shows which backups are under an older password"
    ))
}

/// What trying a password showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    Right,
    Wrong,
    Interrupted,
}

fn no_encrypted(subject: &Subject) -> Failure {
    let failure = Failure::new(
        Exit::NoSuch,
        format!("no backup of {} has a password yet", subject.name),
    );
    match subject.phone.encryption {
        OnOff::On => failure.hint(format!(
            "the first backup will have one: `ibakctl backup{}`",
            subject.me
        )),
        OnOff::Off | OnOff::Unknown | OnOff::Other(_) => {
            failure.hint(format!("`ibakctl encryption on{}` sets one", subject.me))
        }
    }
}

/// Has the daemon try a password on a backup.
async fn prove(
    session: &mut Session,
    subject: &Subject,
    chosen: &choose::Chosen,
    password: &Password,
    console: &mut Console,
) -> Result<Proof, Failure> {
    let id: &BackupId = &chosen.backup.id;
    let started = session
        .phone(&chosen.phone)
        .await?
        .check_password(
            id.as_str(),
            password.hand_over().map_err(no_pipe)?.into(),
            Dict::new(),
        )
        .await;
    let path = match started {
        Ok(path) => path,
        Err(ibak_dbus::Error::WrongPassword(_)) => return Ok(Proof::Wrong),
        Err(error) => return Err(Failure::of_call("try the password", error)),
    };
    let job = job_of(path.as_str())?;
    let deed = Deed {
        kind: JobKind::CheckPassword,
        what: "the check",
        phone: Some(&chosen.phone),
        me: &subject.me,
        json: subject.json,
    };
    match wait::for_job(session, job, Some(&chosen.phone), console).await? {
        Waiting::Interrupted => {
            call_off(session, job, CtrlC::Cancels, console).await?;
            Ok(Proof::Interrupted)
        }
        Waiting::Ended(ended) => {
            let is_wrong = matches!(ended.result, Outcome::WrongPassword | Outcome::Encryption);
            match conclude(job, ended, &deed, console) {
                Ok(_) => Ok(Proof::Right),
                Err(failure) if is_wrong && failure.exit == Exit::Failed => Ok(Proof::Wrong),
                Err(failure) => Err(failure),
            }
        }
    }
}

/// `ibakctl encryption sheet`.
pub(super) async fn sheet(
    session: &mut Session,
    subject: &Subject,
    source: Option<Source>,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let backups = backups_of(session, &subject.phone).await?;
    let encrypted: Vec<BackupView> = backups.into_iter().filter(|b| b.encrypted).collect();
    let newest = newest(&encrypted).cloned();
    let password = match (source, &newest) {
        (None, _) => None,
        (Some(_), None) => return Err(no_encrypted(subject)),
        (Some(source), Some(backup)) => {
            let question = format!("Password of the backups of {}: ", subject.name);
            let password = existing(source, &question, console).await?;
            let chosen = choose::Chosen {
                phone: subject.phone.clone(),
                backup: backup.clone(),
            };
            let quiet = Subject {
                json: false,
                ..subject.clone()
            };
            // A card with a wrong password on it is worse than none.
            match prove(session, &quiet, &chosen, &password, console).await? {
                Proof::Right => Some(password),
                Proof::Interrupted => return Ok(Exit::Interrupted),
                Proof::Wrong => {
                    let style = console.err_style();
                    let which = render::backup_of(&chosen.phone, &chosen.backup, &style);
                    return Err(wrong(&which, &subject.me));
                }
            }
        }
    };
    let view = SheetView {
        phone: subject.phone.clone(),
        backup: newest,
        store: store_path(session).await?,
        computer: computer(),
    };
    let style = console.out_style();
    if subject.json {
        console.answer_json(&crate::json::sheet(
            &view,
            password.as_ref().map(Password::expose),
        ))?;
    } else {
        console.answer(&render::sheet(
            &view,
            password.as_ref().map(Password::expose),
            &style,
        ))?;
    }
    Ok(Exit::Done)
}

/// Asks the daemon where the backups are; `None` when it does not say.
async fn store_path(session: &Session) -> Result<Option<String>, Failure> {
    let rows = session
        .manager()
        .await?
        .diagnose(Dict::new())
        .await
        .map_err(|error| Failure::of_call("ask where the backups are", error))?;
    Ok(rows
        .iter()
        .filter_map(CheckView::from_dict)
        .find(|check| check.id == CheckId::StorePath && !check.subject.is_empty())
        .map(|check| check.subject))
}

fn computer() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}
