//! A job that a command starts and stays with until it ends.

use super::ended::failed;
use super::wait::{self, Ended, Waiting};
use crate::console::Console;
use crate::failure::Failure;
use crate::json;
use crate::session::Session;
use ibak_dbus::views::PhoneView;
use ibak_dbus::words::{JobKind, Outcome};
use ibak_dbus::{Dict, JobId};

/// A job, and how it is spoken of.
pub(super) struct Deed<'a> {
    pub(super) kind: JobKind,
    /// Names it at the beginning of a sentence: "the restore".
    pub(super) what: &'a str,
    /// Absent for a job of the whole house.
    pub(super) phone: Option<&'a PhoneView>,
    /// How hints name the phone.
    pub(super) me: &'a str,
    pub(super) json: bool,
}

/// What Ctrl-C does to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CtrlC {
    /// It is called off.
    Cancels,
    /// It goes on, and this is said.
    Leaves(&'static str),
}

/// Stays until the job has succeeded; `None` when it was interrupted.
///
/// # Errors
/// The job's failure, with its remedy.
pub(super) async fn see_through(
    session: &mut Session,
    job: JobId,
    deed: &Deed<'_>,
    ctrl_c: CtrlC,
    console: &mut Console,
) -> Result<Option<Ended>, Failure> {
    match wait::for_job(session, job, deed.phone, console).await? {
        Waiting::Interrupted => {
            call_off(session, job, ctrl_c, console).await?;
            Ok(None)
        }
        Waiting::Ended(ended) => conclude(job, ended, deed, console).map(Some),
    }
}

/// Does what Ctrl-C means.
pub(super) async fn call_off(
    session: &Session,
    job: JobId,
    ctrl_c: CtrlC,
    console: &mut Console,
) -> Result<(), Failure> {
    match ctrl_c {
        CtrlC::Leaves(words) => console.say(&format!("{words}\n")),
        CtrlC::Cancels => {
            session
                .job(job)
                .await?
                .cancel(Dict::new())
                .await
                .map_err(|error| Failure::of_call("cancel the job", error))?;
            console.say("Cancelled.\n");
        }
    }
    Ok(())
}

/// Tells how it ended; anything but success is an error.
pub(super) fn conclude(
    job: JobId,
    ended: Ended,
    deed: &Deed<'_>,
    console: &mut Console,
) -> Result<Ended, Failure> {
    if deed.json {
        console.answer_json(&json::completed(
            job,
            deed.phone.map(|phone| &phone.udid),
            &ended.result,
            &ended.details,
        ))?;
    }
    if ended.result == Outcome::Succeeded {
        Ok(ended)
    } else {
        Err(failed(
            &deed.kind,
            deed.what,
            &ended.result,
            &ended.details,
            deed.me,
        ))
    }
}
