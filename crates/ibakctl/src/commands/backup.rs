//! Commands that start or end a job.

use super::ended::{failed, job_of};
use super::reading::{attempts, me};
use super::wait::{self, Ended, Waiting};
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::json;
use crate::render;
use crate::select::{self, shown_name};
use crate::session::{self, Session};
use ibak_dbus::views::{AttemptView, PhoneView};
use ibak_dbus::words::{JobKind, Outcome};
use ibak_dbus::{Dict, JobId};

/// How a backup is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    pub(super) wait: bool,
    pub(super) when_ready: bool,
    pub(super) full: bool,
    pub(super) json: bool,
}

pub(super) async fn backup(
    asked: Option<&str>,
    wish: Wish,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let mut session = Session::open().await?;
    let style = console.out_style();
    let phones = session.phones();
    let phone = select::phone(&phones, asked, &style)?.clone();
    let me = me(asked, &phones, &phone, &style);
    let options = session::options(&[("when-ready", wish.when_ready), ("full", wish.full)]);
    let path = session
        .phone(&phone)
        .await?
        .backup(options)
        .await
        .map_err(|error| Failure::of_call("start the backup", error))?;
    let job = job_of(path.as_str())?;
    if !wish.wait {
        if wish.json {
            console.answer_json(&json::started(job, &phone.udid))?;
        } else {
            let name = shown_name(&phone, &style);
            console.answer(&if wish.when_ready {
                format!("The backup of {name} waits for its conditions (job {job}). `ibakctl why{me}` shows which.\n")
            } else {
                format!("The backup of {name} has started (job {job}). `ibakctl watch{me}` shows how it goes on.\n")
            })?;
        }
        return Ok(Exit::Done);
    }
    match wait::for_job(&mut session, job, Some(&phone), console).await? {
        Waiting::Interrupted => {
            let name = shown_name(&phone, &style);
            console.say(&format!("The backup of {name} goes on without you (job {job}). `ibakctl cancel{me}` ends it.\n"));
            Ok(Exit::Interrupted)
        }
        Waiting::Ended(ended) => {
            report(&session, &phone, job, &ended, &me, wish.json, console).await
        }
    }
}

/// Starts a backup and stays until it has worked; `false` when it was interrupted.
pub(super) async fn stay(
    session: &mut Session,
    phone: &PhoneView,
    me: &str,
    console: &mut Console,
) -> Result<bool, Failure> {
    let path = session
        .phone(phone)
        .await?
        .backup(Dict::new())
        .await
        .map_err(|error| Failure::of_call("start the backup", error))?;
    let job = job_of(path.as_str())?;
    match wait::for_job(session, job, Some(phone), console).await? {
        Waiting::Interrupted => {
            console.say(&format!(
                "The backup goes on without you (job {job}). `ibakctl cancel{me}` ends it.\n"
            ));
            Ok(false)
        }
        Waiting::Ended(ended) => {
            report(session, phone, job, &ended, me, false, console).await?;
            Ok(true)
        }
    }
}

/// Says how a backup that was waited for ended.
async fn report(
    session: &Session,
    phone: &PhoneView,
    job: JobId,
    ended: &Ended,
    me: &str,
    as_json: bool,
    console: &mut Console,
) -> Result<Exit, Failure> {
    if as_json {
        console.answer_json(&json::completed(
            job,
            Some(&phone.udid),
            &ended.result,
            &ended.details,
        ))?;
    }
    if ended.result != Outcome::Succeeded {
        return Err(failed(
            &JobKind::Backup,
            "the backup",
            &ended.result,
            &ended.details,
            me,
        ));
    }
    if !as_json {
        let style = console.out_style();
        // The history knows more; the backup is kept whether or not it can be read.
        let attempt = finished_attempt(session, phone, job, ended).await;
        let (bytes, files) = attempt
            .as_ref()
            .map_or((ended.details.bytes, ended.details.files), |row| {
                (row.bytes, row.files)
            });
        let took = attempt.as_ref().and_then(render::attempt_took);
        console.answer(&render::finished(phone, bytes, files, took, &style))?;
    }
    Ok(Exit::Done)
}

/// Finds the row of this job, if there is one.
async fn finished_attempt(
    session: &Session,
    phone: &PhoneView,
    job: JobId,
    ended: &Ended,
) -> Option<AttemptView> {
    let since = ended
        .started
        .map_or(0, |started| u64::try_from(started.as_micros()).unwrap_or(0));
    let rows = attempts(session, phone, since).await.ok()?;
    rows.into_iter()
        .rev()
        .find(|attempt| attempt.job == Some(job))
}

pub(super) async fn cancel(
    asked: Option<&str>,
    as_json: bool,
    console: &mut Console,
) -> Result<Exit, Failure> {
    let session = Session::open().await?;
    let style = console.out_style();
    let status = session.status()?;
    let phone = select::phone(&status.phones, asked, &style)?;
    let name = shown_name(phone, &style);
    let Some(job) = status.job_of(phone).filter(|job| !job.ended()) else {
        if as_json {
            console.answer_json(&json::done("nothing-to-cancel", Some(&phone.udid)))?;
        } else {
            console.answer(&format!("Nothing is running for {name}.\n"))?;
        }
        return Ok(Exit::Done);
    };
    session
        .job(job.id)
        .await?
        .cancel(Dict::new())
        .await
        .map_err(|error| Failure::of_call("cancel the job", error))?;
    if as_json {
        console.answer_json(&json::done("cancelled", Some(&phone.udid)))?;
    } else {
        console.answer(&format!(
            "The job of {name} ends (job {}). What arrived is kept for the next one.\n",
            job.id
        ))?;
    }
    Ok(Exit::Done)
}
